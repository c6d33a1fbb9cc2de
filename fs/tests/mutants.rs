//! Each named mistake of the lab does harm that a test sees, and without it the same test passes: what guards
//! against the mistake can fail. One thread where that is enough; two and a script where it takes a race.

use crate::common;
use crate::common::mistakes::{BEFORE_LOCK, HARMED, file, on, overtaken};
use crate::common::rig::{at_step, on_each_step};
use crate::common::{BLOCK, View, create, read_range, unlink, write};
use fs::Errno;
use fs::dax::{Outcome, Protocol, fsync};
use fs::lab::{Mutant, Point};
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::sim::ZERO_FRAME;
use fs::vfs::Fallocate;
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn a_read_fault_allocates_nothing() {
    on(Mutant::ReadAllocates, &HARMED, |stage| {
        stage.views[0].fault(1, false).expect("a read fault");
        stage.machine.stats().block_allocated.get() > 0
    });
}

#[test]
fn a_block_that_is_there_is_not_zeroed() {
    on(Mutant::ZeroTwice, &HARMED, |stage| {
        write(file(stage), BLOCK, b"there");
        stage.views[0].fault(1, true).expect("a write fault");
        read_range(file(stage), BLOCK, 5) != b"there"
    });
}

#[test]
fn the_zero_page_goes_from_other_address_spaces_by_a_fault() {
    on(Mutant::KeepZeroPage, &HARMED, |stage| {
        let [reader, writer] = &stage.views;
        assert_eq!(reader.load_byte(BLOCK), Ok(0));
        writer.store(BLOCK, b"Z").expect("store");
        reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

#[test]
fn the_zero_page_goes_by_a_write() {
    on(Mutant::WriteKeepsZeroPage, &HARMED, |stage| {
        assert_eq!(stage.views[0].load_byte(BLOCK), Ok(0));
        write(file(stage), BLOCK, b"Z");
        stage.views[0].load_byte(BLOCK) != Ok(b'Z')
    });
}

#[test]
fn no_entry_outlives_its_block() {
    on(Mutant::KeepMapping, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        file(stage).truncate(0).expect("truncate");
        let left = stage.views[0].entry(1).is_some();
        file(stage).truncate(4 * BLOCK).expect("truncate");
        left
    });
}

#[test]
fn a_hole_punched_beside_it_leaves_a_page_dirty() {
    on(Mutant::ForgetDirty, &HARMED, |stage| {
        stage.views[0].store(0, &[1; 2 * BLOCK as usize]).expect("store");
        file(stage).fallocate(Fallocate::PunchHole, BLOCK, BLOCK).expect("punch");
        stage.views[0].msync() != Ok(1)
    });
}

#[test]
fn a_store_makes_its_page_dirty() {
    on(Mutant::NoDirtyMark, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        stage.views[0].msync() != Ok(1)
    });
}

#[test]
fn a_page_is_dirty_before_a_store_can_reach_it() {
    on(Mutant::MarkAfterInstall, &HARMED, |stage| {
        let clean = Rc::new(Cell::new(false));
        let (seen, file) = (clean.clone(), stage.views[0].file.clone());
        at_step(Point::Installed, move || seen.set(!file.mapping().index.is_dirty(1)));
        stage.views[0].fault(1, true).expect("a write fault");
        clean.get()
    });
}

#[test]
fn write_back_takes_the_right_to_store_before_it_flushes() {
    on(Mutant::FlushBeforeProtect, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let writable = Rc::new(Cell::new(false));
        let (seen, tables, va) = (writable.clone(), stage.views[0].tables.clone(), stage.views[0].va(1));
        at_step(Point::Flushed, move || {
            let entry = tables.entry(va).expect("still mapped");
            seen.set(entry.writable);
        });
        assert_eq!(stage.views[0].msync(), Ok(1));
        writable.get()
    });
}

#[test]
fn write_back_comes_to_an_end() {
    on(Mutant::WriteBackStuck, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let rounds = Rc::new(Cell::new(0));
        let (seen, lab_of) = (rounds.clone(), stage.machine.clone());
        // The store that keeps it going comes from the hook: it is dirty again as soon as it is clean.
        let inode = stage.views[0].file.clone();
        on_each_step(move |step| {
            if step.point == Point::Flushed {
                seen.set(seen.get() + 1);
                inode.mapping().index.leaf(1).expect("a leaf").mark_dirty(1);
                if seen.get() == 100 {
                    lab_of.lab().heal();
                }
            }
        });
        // Of the whole file: a few pages are done in one go.
        fsync(file(stage)).expect("fsync");
        on_each_step(|_| {});
        fsync(file(stage)).expect("fsync");
        rounds.get() >= 100
    });
}

#[test]
fn a_block_is_zeroed_before_anybody_finds_it() {
    on(Mutant::PublishBeforeZero, &HARMED, |stage| {
        // Every free block holds somebody's bytes.
        let other = create(&stage.fs, "other");
        let mut end = 0;
        while other.write_at(end, &[0xFF; BLOCK as usize]).is_ok() {
            end += BLOCK;
        }
        drop(other);
        unlink(&stage.fs, "other").expect("unlink");
        let foreign = Rc::new(Cell::new(false));
        let (seen, machine) = (foreign.clone(), stage.machine.clone());
        on_each_step(move |step| {
            if step.point == Point::Allocated {
                seen.set(seen.get() | (machine.pmem().load_u8(step.arg) != 0));
            }
        });
        stage.views[0].fault(1, true).expect("a write fault");
        on_each_step(|_| {});
        foreign.get()
    });
}

#[test]
fn a_private_store_needs_no_writable_file_system() {
    for mutant in [None, Some(Mutant::PrivateNeedsWritable)] {
        let image = common::Image::new(256);
        common::session(&image, |fs| write(&*common::create(fs, "f"), 0, &[7; 10]));
        let machine = image.machine();
        mutant.into_iter().for_each(|mutant| machine.lab().add(mutant));
        let fs = common::mount_read_only(machine);
        let mut view = View::new(&common::at(&fs, "f"), 0..1);
        view.private = true;
        let expected = mutant.map_or(Ok(Outcome::Copied), |_| Err(Errno::ReadOnly.into()));
        assert_eq!(view.fault(0, true), expected);
    }
}

#[test]
fn what_is_mapped_was_looked_up_under_the_entrys_lock() {
    on(Mutant::LookUpBeforeLock, &[Protocol::EntryLock], |stage| {
        let [reader, writer] = &stage.views;
        overtaken(
            || reader.fault(1, false).expect("a read fault"),
            &[Point::LookedUp],
            || writer.store(BLOCK, b"Z").expect("store"),
        );
        assert_eq!(writer.load_byte(BLOCK), Ok(b'Z'));
        let stale = reader.entry(1).is_some_and(|entry| entry.frame == ZERO_FRAME);
        stale || reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

#[test]
fn the_size_is_looked_at_under_the_lock() {
    on(Mutant::SizeBeforeLock, &HARMED, |stage| {
        let [reader, _] = &stage.views;
        let file = file(stage);
        // Held before the lock: the truncation finishes first.
        let fault =
            overtaken(|| reader.fault(3, true), BEFORE_LOCK, || file.truncate(BLOCK).expect("truncate"));
        let beyond = reader.entry(3).is_some();
        file.truncate(0).expect("truncate");
        file.truncate(4 * BLOCK).expect("truncate");
        beyond || fault.is_ok()
    });
}

#[test]
fn the_retry_looks_again() {
    on(Mutant::NoSecondLookUp, &[Protocol::ReadFirst], |stage| {
        let [first, second] = &stage.views;
        // Where it holds nothing, if there is such a place.
        let retries = first.protocol == Protocol::ReadFirst;
        let point = if retries { Point::Retry } else { Point::LookedUp };
        overtaken(
            || first.fault(1, true).expect("a write fault"),
            &[point],
            || second.store(BLOCK, b"Z").expect("store"),
        );
        read_range(file(stage), BLOCK, 1) != b"Z"
    });
}

#[test]
fn a_private_copy_is_taken_under_the_lock() {
    on(Mutant::CopyUnlocked, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let mut copier = View::new(&stage.views[0].file, 0..4);
        (copier.private, copier.protocol) = (true, stage.views[0].protocol);
        let file = file(stage);
        // Between look-up and copy the block is freed: the copy would be of somebody else's bytes.
        overtaken(
            || copier.fault(1, true).expect("a private store"),
            &[Point::Marked],
            || file.truncate(0).expect("truncate"),
        );
        // The sound fault holds the lock there: the truncation comes after it, and takes the copy out.
        let kept = copier.entry(1).is_some();
        drop(copier);
        file.truncate(4 * BLOCK).expect("truncate");
        kept
    });
}
