//! As `mutants.rs`, for mistakes in the order of steps and in what is locked: who comes in between sees them.
//! The order that shows each is told with it.

use crate::common::mistakes::{HARMED, file, on, on_large, overtaken};
use crate::common::rig::{self, at_step, on_each_step};
use crate::common::{BLOCK, View, read_range, unlink, write};
use fs::dax::Protocol::{EntryLock, ReadFirst};
use fs::dax::msync;
use fs::lab::{Mutant, Point};
use fs::platform::Platform;
use fs::sim::ZERO_FRAME;
use fs::vfs::Fallocate;
use std::cell::Cell;
use std::rc::Rc;

/// CPU 0 looks up: a hole. CPU 1 stores: a block, mapped. CPU 0 maps the zero page.
#[test]
fn a_read_fault_locks_its_entry() {
    on(Mutant::ReadTakesNoEntry, &[EntryLock], |stage| {
        let [reader, writer] = &stage.views;
        let load = || reader.fault(1, false).expect("a read fault");
        overtaken(load, &[Point::LookedUp], || writer.store(BLOCK, b"Z").expect("store"));
        reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

/// CPU 0 looks up: a block; lets go. CPU 1 punches it out. CPU 0 maps the block, which is free.
#[test]
fn what_is_mapped_is_mapped_under_the_lock_that_it_was_looked_up_under() {
    on(Mutant::InstallUnlocked, &[ReadFirst], |stage| {
        write(file(stage), BLOCK, b"block");
        let [reader, _] = &stage.views;
        let punch = || file(stage).fallocate(Fallocate::PunchHole, BLOCK, BLOCK).expect("punch");
        overtaken(|| reader.fault(1, false).expect("a read fault"), &[Point::Marked], punch);
        reader.entry(1).is_some_and(|entry| entry.frame != ZERO_FRAME)
    });
}

/// CPU 0 looks up: a hole of 2 MiB. CPU 1 stores: a run, mapped. CPU 0 maps the zero page of 2 MiB.
#[test]
fn a_large_fault_allocates_where_no_other_looks_up() {
    on_large(Mutant::LargeAllocatesShared, &[ReadFirst], |stage| {
        let [reader, writer] = &stage.views;
        let load = || reader.fault(1, false).expect("a read fault");
        overtaken(load, &[Point::LookedUp], || writer.store(BLOCK, b"Z").expect("store"));
        reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

/// CPU 0 has its entry, and has let go of the lock. CPU 1, in the same address space, stores through it and
/// calls msync, which finds the page clean. Here: the page is clean when the entry is there.
#[test]
fn a_page_is_marked_dirty_under_the_lock() {
    on(Mutant::MarkAfterUnlock, &HARMED, |stage| {
        let clean = Rc::new(Cell::new(false));
        let (seen, inode) = (clean.clone(), stage.views[0].file.clone());
        at_step(Point::Installed, move || seen.set(!inode.mapping().index.is_dirty(1)));
        stage.views[0].fault(1, true).expect("a write fault");
        clean.get()
    });
}

/// CPU 0 is about to put a block's entry in, and has marked it dirty. CPU 1 writes it back: clean, nothing to
/// protect. CPU 0 stores, through an entry to a page that nobody knows to be dirty.
#[test]
fn write_back_meets_no_fault_between_its_mark_and_its_entry() {
    on(Mutant::WriteBackShared, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let [writer, _] = &stage.views;
        let store = || writer.fault(1, true).expect("a write fault");
        overtaken(store, &[Point::Marked], || assert!(msync(file(stage), 0..4).is_ok()));
        let writable = writer.entry(1).is_some_and(|entry| entry.writable);
        writable && !file(stage).mapping().index.is_dirty(1)
    });
}

/// One CPU: store, msync, power cut.
#[test]
fn msync_waits_for_what_it_flushed() {
    on(Mutant::NoFence, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let fences = stage.machine.stats().pmem_fences.get();
        assert_eq!(stage.views[0].msync(), Ok(1));
        stage.machine.stats().pmem_fences.get() == fences
    });
}

/// CPU 0: store, msync: flushes, lets go. CPU 1: msync: nothing is dirty. Power cut: the store is not there,
/// though CPU 1 relies on it.
#[test]
fn what_was_flushed_is_durable_before_the_lock_is_let_go() {
    on(Mutant::FenceAfterUnlock, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let fences = stage.machine.stats().pmem_fences.get();
        let early = Rc::new(Cell::new(false));
        let (seen, machine) = (early.clone(), stage.machine.clone());
        rig::Point::LetsGo.hook(move || seen.set(machine.stats().pmem_fences.get() == fences));
        assert_eq!(stage.views[0].msync(), Ok(1));
        early.get()
    });
}

/// CPU 0 looks up: a hole. CPU 1 writes: a block; no zero page to unmap. CPU 0 maps the zero page.
#[test]
fn writing_waits_for_faults() {
    on(Mutant::WriteShared, &HARMED, |stage| {
        let [reader, _] = &stage.views;
        let load = || reader.fault(1, false).expect("a read fault");
        overtaken(load, &[Point::LookedUp], || write(file(stage), BLOCK, b"Z"));
        reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

/// CPU 0 loads: looks up a block. CPU 1 truncates: unmaps, frees it. CPU 0 maps it.
#[test]
fn truncation_keeps_faults_out() {
    on(Mutant::FreeShared, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let [reader, _] = &stage.views;
        let load = || reader.fault(1, false).expect("a read fault");
        overtaken(load, &[Point::Marked], || file(stage).truncate(BLOCK).expect("truncate"));
        reader.entry(1).is_some()
    });
}

/// CPU 0 truncates: unmaps, lets go. CPU 1 loads: the block is mapped again. CPU 0 frees it.
#[test]
fn truncation_unmaps_under_the_lock_that_it_frees_under() {
    fn before_each_exclusive(load: Rc<dyn Fn()>) {
        rig::Point::BeforeExclusive.hook(move || {
            before_each_exclusive(load.clone());
            load();
        });
    }
    on(Mutant::UnmapBeforeLock, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let reader = Rc::new(View::new(&stage.views[0].file, 0..4));
        let other = reader.clone();
        before_each_exclusive(Rc::new(move || assert!(other.fault(1, false).is_ok())));
        file(stage).truncate(BLOCK).expect("truncate");
        rig::Point::BeforeExclusive.hook(|| ());
        reader.entry(1).is_some()
    });
}

/// CPU 0 truncates: frees the block. CPU 1 gives it to another file. CPU 2 loads through the entry that is
/// left.
#[test]
fn truncation_frees_what_no_address_space_shows() {
    on(Mutant::FreeBeforeUnmap, &HARMED, |stage| {
        stage.views[0].store(BLOCK, b"x").expect("store");
        let shown = Rc::new(Cell::new(false));
        let (seen, tables, va) = (shown.clone(), stage.views[0].tables.clone(), stage.views[0].va(1));
        at_step(Point::Freed, move || seen.set(tables.entry(va).is_some()));
        file(stage).truncate(0).expect("truncate");
        shown.get()
    });
}

/// One CPU after the other: a load, in one address space and in the other; a truncation; a load.
#[test]
fn truncation_unmaps_in_every_address_space() {
    on(Mutant::FirstSpaceOnly, &HARMED, |stage| {
        let [one, other] = &stage.views;
        one.store(BLOCK, b"x").expect("store");
        assert_eq!(other.load_byte(BLOCK), Ok(b'x'));
        file(stage).truncate(BLOCK).expect("truncate");
        one.entry(1).is_some() || other.entry(1).is_some()
    });
}

/// One CPU: a private store, a truncation, a load beyond the end.
#[test]
fn truncation_takes_private_copies_along() {
    on(Mutant::TruncateKeepsCopies, &HARMED, |stage| {
        let mut view = View::new(&stage.views[0].file, 0..4);
        view.private = true;
        view.fault(1, true).expect("a private store");
        file(stage).truncate(BLOCK).expect("truncate");
        view.entry(1).is_some()
    });
}

/// One CPU: a private store, a hole is punched, a load.
#[test]
fn a_hole_that_is_punched_leaves_private_copies() {
    on(Mutant::PunchDropsCopies, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let mut view = View::new(&stage.views[0].file, 0..4);
        view.private = true;
        view.fault(1, true).expect("a private store");
        file(stage).fallocate(Fallocate::PunchHole, BLOCK, BLOCK).expect("punch");
        view.entry(1).is_none()
    });
}

/// One CPU: a private store, read(2).
#[test]
fn a_private_store_stays_private() {
    on(Mutant::PrivateWritesThrough, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let mut view = View::new(&stage.views[0].file, 0..4);
        (view.private, view.protocol) = (true, stage.views[0].protocol);
        view.fault(1, true).expect("a private store");
        let place = view.entry(1).expect("an entry").frame;
        // Copies have frames that are no memory's.
        place < fs::sim::COPIES
    });
}

/// One CPU: a load from a hole, write(2), a load.
#[test]
fn the_index_knows_of_the_zero_page() {
    on(Mutant::NoZeroMark, &HARMED, |stage| {
        assert_eq!(stage.views[0].load_byte(BLOCK), Ok(0));
        write(file(stage), BLOCK, b"Z");
        stage.views[0].load_byte(BLOCK) != Ok(b'Z')
    });
}

/// CPU 0 loads: the zero page of 2 MiB. CPU 1, by pages of 4 KiB, stores. CPU 0 loads.
#[test]
fn the_large_zero_page_goes_by_a_small_fault() {
    on_large(Mutant::KeepLargeZeroPage, &HARMED, |stage| {
        let [reader, _] = &stage.views;
        assert_eq!(reader.load_byte(BLOCK), Ok(0));
        let mut writer = View::new(&reader.file, 0..1024);
        writer.protocol = reader.protocol;
        writer.store(BLOCK, b"Z").expect("store");
        reader.load_byte(BLOCK) != Ok(b'Z')
    });
}

/// One CPU: a load by 2 MiB, a page of them is punched out, a load of it.
#[test]
fn a_run_is_forgotten_with_any_of_its_blocks() {
    on_large(Mutant::KeepRun, &HARMED, |stage| {
        let [reader, _] = &stage.views;
        let how = Fallocate::Allocate { keep_size: false };
        file(stage).fallocate(how, 0, 512 * BLOCK).expect("fallocate");
        reader.fault(7, false).expect("a read fault");
        file(stage).fallocate(Fallocate::PunchHole, 7 * BLOCK, BLOCK).expect("punch");
        reader.fault(7, false).expect("a read fault");
        reader.entry(7).is_some_and(|entry| entry.frame != ZERO_FRAME)
    });
}

/// A line loses its content; one CPU loads.
#[test]
fn a_page_without_its_content_is_not_mapped() {
    on(Mutant::IgnorePoison, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        let place = {
            let shared = file(stage).mapping().shared();
            file(stage).place(shared.held(), 1).expect("sound").expect("a block")
        };
        stage.machine.ram.poison.add(place, 1).expect("room");
        let mapped = stage.views[0].fault(1, false).is_ok();
        write(file(stage), BLOCK, &[0; BLOCK as usize]);
        mapped
    });
}

/// One CPU: a store through a handle, the name goes, read(2) through the handle.
#[test]
fn a_file_without_a_name_lives_as_long_as_its_handles() {
    on(Mutant::FreeAtUnlink, &HARMED, |stage| {
        write(file(stage), BLOCK, b"block");
        unlink(&stage.fs, "f").expect("unlink");
        on_each_step(|_| {});
        read_range(file(stage), BLOCK, 5) != b"block"
    });
}
