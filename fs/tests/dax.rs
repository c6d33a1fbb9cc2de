//! Each outcome of a fault, what it counts, and what it leaves in which address space.

use crate::common;
use crate::common::{BLOCK, EXT2, EXT4, Image, LEVELS, Machine, Tested, View, allocated_pages, at, create};
use crate::common::{expect_errno, mount_read_only, pattern, read_range, session, session_of, write};
use fs::dax::{Outcome, fsync};
use fs::lab::Mutant;
use fs::pmem::ram;
use fs::sim::{Entry, ZERO_FRAME};
use fs::stats::Stats;
use fs::vfs::FileSystemRef;
use fs::{Errno, platform::Platform};

/// A file of `pages` pages without a block, in a mounted image of each type that e2fsck judges afterwards.
fn with_hole(pages: u64, work: impl Fn(&FileSystemRef<Machine>, View, &Stats)) {
    for tested in [EXT2, EXT4] {
        with_hole_on(&tested, pages, &work);
    }
}

/// As [`with_hole`], on one type.
fn with_hole_on(tested: &Tested, pages: u64, work: impl Fn(&FileSystemRef<Machine>, View, &Stats)) {
    session_of(tested.mount, &(tested.image)(), |fs| {
        let file = at(fs, "f");
        file.truncate(pages * BLOCK).expect("truncate");
        let view = View::new(&file, 0..pages + 2);
        let platform = file.platform().clone();
        drop(file);
        platform.stats().reset();
        work(fs, view, platform.stats());
    });
}

const ZERO_PAGE: Option<Entry> = Some(Entry { frame: ZERO_FRAME, writable: false });

#[test]
fn reading_a_hole_maps_the_zero_page_read_only_and_allocates_nothing() {
    with_hole(5, |fs, view, stats| {
        let before = fs.stat_fs();
        assert_eq!(view.fault(3, false), Ok(Outcome::ZeroPage));
        assert_eq!(view.entry(3), ZERO_PAGE);
        assert_eq!(view.load_byte(3 * BLOCK + 9), Ok(0));
        assert_eq!(view.fault(3, false), Ok(Outcome::Spurious));
        assert_eq!(fs.stat_fs(), before);
        assert_eq!(allocated_pages(&*view.file), []);
        assert_eq!((stats.fault_read.get(), stats.fault_zero_page.get()), (2, 1));
        assert_eq!((stats.fault_spurious.get(), stats.fault_retry.get()), (1, 0));
        assert_eq!(stats.pmem_fences.get(), 0, "a read is no reason to wait");
    });
}

#[test]
fn writing_a_hole_retries_once_and_gets_a_zeroed_durable_block() {
    let image = Image::new(512);
    let mut bytes = image.bytes();
    common::layout::Layout::of(&bytes).soil_free_blocks(&mut bytes);
    image.store_bytes(&bytes);
    session(&image, |fs| {
        let file = create(fs, "f");
        file.truncate((LEVELS[3] + 5) * BLOCK).expect("truncate");
        let stats = file.platform().stats();
        let view = View::new(&file, 0..LEVELS[3] + 5);
        // Behind no pointer block, one, two, three: as many blocks more, each of them zeroed.
        for (level, &page) in LEVELS.iter().enumerate() {
            stats.reset();
            assert_eq!(view.fault(page, true), Ok(Outcome::Allocated), "level {level}");
            assert_eq!((stats.fault_write.get(), stats.fault_allocated.get()), (1, 1));
            assert_eq!((stats.fault_retry.get(), stats.fault_retry_found.get()), (1, 0));
            assert_eq!(stats.block_allocated.get(), level as u64 + 1);
            assert!(stats.pmem_bytes_zeroed.get() >= BLOCK);
            assert!(stats.pmem_fences.get() >= 1);
            let entry = view.entry(page).expect("an entry");
            assert!(entry.writable && entry.frame >= ram::BASE);
            let mut content = vec![0xEE; BLOCK as usize];
            view.load(page * BLOCK, &mut content).expect("load");
            assert!(content.iter().all(|&byte| byte == 0), "someone else's bytes at level {level}");
            // The neighbour behind the same pointer block costs one block.
            stats.reset();
            assert_eq!(view.fault(page + 1, true), Ok(Outcome::Allocated));
            assert_eq!(stats.block_allocated.get(), 1);
            assert_eq!(view.fault(page, true), Ok(Outcome::Spurious));
            assert_eq!(stats.fault_retry.get(), 1);
        }
    });
}

#[test]
fn a_write_takes_the_zero_page_from_every_address_space() {
    with_hole(5, |_, view, stats| {
        let other = View::new(&view.file, 1..4);
        let twice = View::within(view.tables.clone(), 0x1000_0000, &view.file, 2..3);
        for seen in [&view, &other, &twice] {
            assert_eq!(seen.fault(2, false), Ok(Outcome::ZeroPage));
        }
        assert_eq!(other.fault(3, false), Ok(Outcome::ZeroPage));
        assert_eq!(view.fault(2, true), Ok(Outcome::Allocated));
        assert_eq!(stats.zero_page_unmapped.get(), 3);
        assert_eq!((other.entry(2), twice.entry(2)), (None, None));
        assert_eq!(other.entry(3), ZERO_PAGE, "another page's zero page went too");
        view.store(2 * BLOCK, b"Z").expect("store");
        assert_eq!((other.load_byte(2 * BLOCK), twice.load_byte(2 * BLOCK)), (Ok(b'Z'), Ok(b'Z')));
        assert_eq!(stats.fault_retry.get(), 1);
    });
}

#[test]
fn a_plain_write_into_a_hole_takes_the_zero_page_too() {
    with_hole(5, |_, view, _| {
        assert_eq!(view.load_byte(BLOCK), Ok(0));
        write(&*view.file, BLOCK, b"plain");
        assert_eq!(view.entry(1), None);
        assert_eq!(view.load_byte(BLOCK + 1), Ok(b'l'));
        view.store(BLOCK + 2, b"A").expect("store");
        assert_eq!(read_range(&*view.file, BLOCK, 5), b"plAin");
    });
}

#[test]
fn a_block_is_mapped_read_only_for_a_load_and_upgraded_by_a_store() {
    with_hole(5, |_, view, stats| {
        write(&*view.file, 0, &pattern(1, 10_000));
        stats.reset();
        assert_eq!(view.fault(1, false), Ok(Outcome::Block));
        let entry = view.entry(1).expect("an entry");
        assert!(!entry.writable, "the first store would go unnoticed");
        assert_eq!(view.msync(), Ok(0), "a load made the page dirty");
        assert_eq!(view.fault(1, true), Ok(Outcome::MkWrite));
        assert_eq!(view.entry(1), Some(Entry { writable: true, ..entry }));
        assert_eq!(view.fault(2, true), Ok(Outcome::Block));
        assert_eq!((stats.fault_mkwrite.get(), stats.fault_block.get()), (1, 2));
        assert_eq!((stats.fault_retry.get(), stats.block_allocated.get()), (0, 0));
        assert_eq!(view.msync(), Ok(2));
    });
}

#[test]
fn the_page_of_the_last_byte_is_served_and_the_next_is_beyond_the_end() {
    with_hole(3, |_, view, stats| {
        view.file.truncate(2 * BLOCK + 1).expect("truncate");
        assert_eq!(view.fault(2, false), Ok(Outcome::ZeroPage));
        assert_eq!(view.fault(2, true), Ok(Outcome::Allocated));
        for write in [false, true] {
            expect_errno(view.fault(3, write), Errno::BeyondEnd);
            assert_eq!(view.entry(3), None);
        }
        view.file.truncate(2 * BLOCK).expect("truncate");
        expect_errno(view.fault(2, false), Errno::BeyondEnd);
        view.file.truncate(0).expect("truncate");
        expect_errno(view.fault(0, true), Errno::BeyondEnd);
        assert_eq!(stats.fault_beyond_end.get(), 4);
        assert_eq!(allocated_pages(&*view.file), []);
    });
}

#[test]
fn bytes_beyond_the_end_are_zero_in_the_last_page() {
    with_hole(3, |_, view, _| {
        write(&*view.file, 0, &pattern(1, 3 * BLOCK as usize));
        view.file.truncate(BLOCK + 100).expect("truncate");
        let mut tail = vec![0xEE; BLOCK as usize - 100];
        view.load(BLOCK + 100, &mut tail).expect("the last page");
        assert!(tail.iter().all(|&byte| byte == 0), "cut-off bytes show beyond the end");
    });
}

#[test]
fn stores_beyond_the_end_never_become_part_of_the_file() {
    // A program may store to the rest of the last page.
    for by_writing in [false, true] {
        with_hole(1, |_, view, _| {
            view.file.truncate(100).expect("truncate");
            view.store(50, &[0xDB; 500]).expect("store");
            if by_writing {
                write(&*view.file, 5000, b"x");
            } else {
                view.file.truncate(5000).expect("truncate");
            }
            let bytes = read_range(&*view.file, 0, 5000);
            assert!(bytes[100..].iter().all(|&byte| byte == 0), "by writing: {by_writing}");
        });
    }
}

#[test]
fn on_a_read_only_file_system_loads_are_served_and_stores_refused() {
    let image = Image::new(256);
    session(&image, |fs| {
        let file = create(fs, "f");
        file.truncate(3 * BLOCK).expect("truncate");
        write(&*file, BLOCK, b"block");
    });
    let (before, machine) = (image.bytes(), image.machine());
    let fs = mount_read_only(machine.clone());
    let view = View::new(&at(&fs, "f"), 0..3);
    assert_eq!(view.fault(0, false), Ok(Outcome::ZeroPage));
    assert_eq!(view.fault(1, false), Ok(Outcome::Block));
    for page in 0..3 {
        let entry = view.entry(page);
        expect_errno(view.fault(page, true), Errno::ReadOnly);
        assert_eq!(view.entry(page), entry);
    }
    assert_eq!(view.msync(), Ok(0));
    assert!(machine.ram.to_bytes() == before);
}

#[test]
fn msync_flushes_the_dirty_pages_alone_and_tracks_stores_after_it() {
    with_hole_on(&EXT2, 64, |_, view, stats| {
        write(&*view.file, 0, &pattern(1, 64 * BLOCK as usize));
        let other = View::new(&view.file, 0..64);
        for page in 0..64 {
            view.load_byte(page * BLOCK).expect("load");
        }
        for page in [3, 4, 40] {
            view.store(page * BLOCK + 5, b"dirty").expect("store");
        }
        other.store(4 * BLOCK, b"too").expect("store");
        stats.reset();
        assert_eq!(view.msync(), Ok(3));
        assert_eq!(stats.pmem_lines_flushed.get(), 3 * 64);
        assert_eq!(stats.pmem_fences.get(), 1);
        assert_eq!((stats.sync_pages.get(), stats.write_protected.get()), (3, 4));
        for seen in [view.entry(3), view.entry(4), other.entry(4), view.entry(40)] {
            assert!(!seen.expect("still mapped").writable);
        }
        assert_eq!(view.msync(), Ok(0));
        assert_eq!(view.fault(4, true), Ok(Outcome::MkWrite));
        view.store(4 * BLOCK, b"again").expect("store");
        assert_eq!((fsync(&*view.file), fsync(&*view.file)), (Ok(1), Ok(0)));
    });
}

#[test]
fn truncation_unmaps_in_every_address_space() {
    with_hole(10, |fs, view, _| {
        let other = View::new(&view.file, 0..10);
        for page in 0..10 {
            view.store(page * BLOCK, b"data").expect("store");
            other.load_byte(page * BLOCK).expect("load");
        }
        let free = fs.stat_fs().blocks_free;
        view.file.truncate(4 * BLOCK + 1).expect("truncate");
        assert_eq!(fs.stat_fs().blocks_free, free + 5);
        for seen in [&view, &other] {
            assert!((0..4).all(|page| seen.entry(page).is_some()), "more was unmapped than cut");
            assert!((5..10).all(|page| seen.entry(page).is_none()), "a freed block is still mapped");
            expect_errno(seen.load_byte(5 * BLOCK), Errno::BeyondEnd);
        }
        view.file.truncate(10 * BLOCK).expect("truncate");
        assert_eq!((view.load_byte(4 * BLOCK), other.load_byte(4 * BLOCK + 1)), (Ok(b'd'), Ok(0)));
        assert_eq!(other.load_byte(5 * BLOCK), Ok(0));
        assert!(view.msync().is_ok_and(|pages| pages <= 5), "freed pages are still dirty");
    });
}

#[test]
fn what_was_stored_and_not_synced_is_known_after_the_last_handle_went() {
    with_hole_on(&EXT2, 8, |fs, view, stats| {
        for page in [2, 3, 6] {
            view.store(page * BLOCK, b"not synced").expect("store");
        }
        // The stats are the machine's, so they outlive the file.
        stats.reset();
        drop(view);
        assert_eq!(stats.pmem_lines_flushed.get(), 0, "the inode is in memory yet");
        let mut pages = 0;
        fs.for_each_inode(&mut |inode| pages += fs::dax::fsync(inode).expect("fsync"));
        assert_eq!(
            (pages, stats.pmem_lines_flushed.get()),
            (3, 3 * BLOCK / 64),
            "its pages, and nothing else"
        );
    });
}

#[test]
fn a_private_store_needs_no_writable_file_system() {
    for mutant in [None, Some(Mutant::PrivateNeedsWritable)] {
        let image = Image::new(256);
        session(&image, |fs| write(&*create(fs, "f"), 0, &[7; 10]));
        let machine = image.machine();
        mutant.into_iter().for_each(|mutant| machine.lab.add(mutant));
        let fs = mount_read_only(machine);
        let mut view = View::new(&at(&fs, "f"), 0..1);
        view.private = true;
        let expected = mutant.map_or(Ok(Outcome::Copied), |_| Err(Errno::ReadOnly.into()));
        assert_eq!(view.fault(0, true), expected);
    }
}
