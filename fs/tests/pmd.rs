//! Faults of 2 MiB: when they succeed, why they fall back, and what an entry of 2 MiB and those of 4 KiB know
//! of each other.

use crate::common;
use crate::common::{
    BLOCK, Image, Machine, View, allocated_pages, create, expect_errno, read_range, session, write,
};
use fs::dax::{Outcome, Protocol, fsync};
use fs::ext2::Ext2;
use fs::lab::Mutant;
use fs::platform::PageSize::{Large, Small};
use fs::platform::Platform;
use fs::sim::{LARGE_ZERO_FRAME, Tables};
use fs::stats::Stats;
use fs::vfs::{Fallocate, FileSystem, InodeRef};
use fs::{Errno, Result};
use std::sync::Arc;

/// Pages in 2 MiB.
const RUN: u64 = 512;

/// A file of `pages` pages without a block on a file system of 64 MiB, under both sound protocols; e2fsck
/// judges it.
fn with_file(pages: u64, work: impl Fn(&Arc<Ext2<Machine>>, InodeRef<Machine>, Protocol, &Stats)) {
    for protocol in Protocol::SOUND {
        let image = Image::new(64 << 8);
        session(&image, |fs| {
            let file = create(fs, "f");
            file.truncate(pages * BLOCK).expect("truncate");
            let platform = file.platform().clone();
            platform.stats().reset();
            work(fs, file, protocol, platform.stats());
        });
    }
}

/// All of `pages` mapped in an address space of its own, at an address that suits.
fn large(file: &InodeRef<Machine>, pages: u64, protocol: Protocol) -> View {
    let mut view = View::new(file, 0..pages);
    (view.large, view.protocol) = (true, protocol);
    view
}

fn fallocate(file: &InodeRef<Machine>, pages: u64) {
    let how = Fallocate::Allocate { keep_size: false };
    file.fallocate(how, 0, pages * BLOCK).expect("fallocate");
}

#[test]
fn a_hole_is_read_through_the_large_zero_page_and_stored_to_in_a_run() {
    with_file(4 * RUN, |fs, file, protocol, stats| {
        let (view, other) = (large(&file, 4 * RUN, protocol), large(&file, 4 * RUN, protocol));
        let free = fs.stat_fs().blocks_free;
        assert_eq!(view.fault_sized(RUN + 3, false), Ok((Outcome::ZeroPage, Large)));
        assert_eq!(view.tables.large_entry(view.va(RUN)).map(|entry| entry.frame), Some(LARGE_ZERO_FRAME));
        assert_eq!(view.fault_sized(RUN + 400, false), Ok((Outcome::Spurious, Large)));
        assert_eq!(fs.stat_fs().blocks_free, free);
        assert_eq!(other.fault_sized(RUN + 9, true), Ok((Outcome::Allocated, Large)));
        assert_eq!(
            (view.entry(RUN), stats.zero_page_unmapped.get()),
            (None, 1),
            "the large zero page stayed"
        );
        assert_eq!((stats.pmd_zero_page.get(), stats.pmd_allocated.get()), (1, 1));
        assert_eq!(allocated_pages(&*file), (RUN..2 * RUN).collect::<Vec<_>>());
        other.store((RUN + 511) * BLOCK, b"Z").expect("store");
        assert_eq!(view.load_byte((RUN + 511) * BLOCK), Ok(b'Z'));
        assert_eq!(view.tables.count(), 1);
        assert!(
            read_range(&*file, RUN * BLOCK, 2 << 20)[..(511 * BLOCK) as usize].iter().all(|&byte| byte == 0)
        );
    });
}

#[test]
fn blocks_in_one_run_are_mapped_at_once_also_across_indirect_blocks() {
    with_file(0, |_, file, protocol, stats| {
        fallocate(&file, 6 * RUN);
        let view = large(&file, 6 * RUN, protocol);
        for run in 0..6 {
            assert_eq!(view.fault_sized(run * RUN + 1, false), Ok((Outcome::Block, Large)), "run {run}");
            assert_eq!(view.fault_sized(run * RUN + 2, true), Ok((Outcome::MkWrite, Large)));
        }
        assert_eq!((view.tables.count(), stats.pmd_block.get(), stats.pmd_mkwrite.get()), (6, 6, 6));
        assert_eq!(stats.fault_retry.get(), 0);
    });
}

#[test]
fn each_2_mib_of_a_sparse_file_are_one_entry() {
    let image = Image::new(80_000);
    session(&image, |fs| {
        let file = create(fs, "f");
        file.truncate(256 << 20).expect("truncate");
        let view = large(&file, 128 * RUN, Protocol::ReadFirst);
        for run in 0..128 {
            assert_eq!(view.fault_sized(run * RUN + run, true), Ok((Outcome::Allocated, Large)), "run {run}");
        }
        assert_eq!(view.tables.count(), 128);
        assert!((0..128).all(|run| view.tables.large_entry(view.va(run * RUN)).is_some()));
    });
}

#[test]
fn each_reason_for_4_kib_is_counted() {
    with_file(4 * RUN, |fs, file, protocol, stats| {
        let tables = || Arc::new(Tables::default());
        let within = |va, pages| {
            let mut view = View::within(tables(), va, &file, pages);
            (view.large, view.protocol) = (true, protocol);
            view
        };
        let small = |view: &View, page, write| {
            let (_, size) = view.fault_sized(page, write).expect("a fault");
            assert_eq!(size, Small);
        };
        // Address and offset do not agree; then they do, but the area ends too early.
        small(&within(0x1000_1000, 0..4 * RUN), 5, false);
        assert_eq!(stats.pmd_fallback_alignment.get(), 1);
        small(&within(0x1000_0000, 0..RUN - 1), 5, false);
        small(&within(0x1000_1000, 1..3 * RUN), 5, false);
        assert_eq!(stats.pmd_fallback_area.get(), 2);
        // A store to a private area.
        let mut private = large(&file, 4 * RUN, protocol);
        private.private = true;
        assert_eq!(private.fault_sized(RUN, false), Ok((Outcome::ZeroPage, Large)));
        assert_eq!(private.fault_sized(RUN, true), Ok((Outcome::Copied, Small)));
        assert_eq!(stats.pmd_fallback_private.get(), 1);
        // A small page is there.
        let mut view = large(&file, 4 * RUN, protocol);
        view.large = false;
        small(&view, 3, true);
        view.large = true;
        small(&view, 4, true);
        assert_eq!(stats.pmd_fallback_small.get(), 1);
        // Pieces: those two pages and holes.
        small(&large(&file, 4 * RUN, protocol), 5, false);
        small(&large(&file, 4 * RUN, protocol), 3, false);
        assert_eq!(stats.pmd_fallback_pieces.get(), 2);
        // The end of the file, in the middle of the last 2 MiB.
        file.truncate(3 * RUN * BLOCK + 1).expect("truncate");
        small(&large(&file, 4 * RUN, protocol), 3 * RUN, true);
        assert_eq!(stats.pmd_fallback_end.get(), 1);
        expect_errno(large(&file, 4 * RUN, protocol).fault(3 * RUN + 1, true), Errno::BeyondEnd);
        // No run is free.
        let rest = create(fs, "rest");
        let mut len = fs.stat_fs().blocks_available.saturating_sub(40) * BLOCK;
        while rest.fallocate(Fallocate::Allocate { keep_size: false }, 0, len).is_err() {
            len -= 8 * BLOCK;
        }
        small(&large(&file, 4 * RUN, protocol), 2 * RUN, true);
        assert_eq!(stats.pmd_fallback_space.get(), 1);
    });
}

#[test]
fn what_fills_the_holes_among_pieces_makes_a_run_of_them() {
    with_file(2 * RUN, |_, file, protocol, stats| {
        write(&*file, 0, b"first");
        let view = large(&file, 2 * RUN, protocol);
        assert_eq!(view.fault_sized(1, false), Ok((Outcome::ZeroPage, Small)));
        drop(view);
        fallocate(&file, RUN);
        let whole = allocated_pages(&*file).len() as u64 == RUN;
        assert!(whole);
        let view = large(&file, 2 * RUN, protocol);
        let (_, size) = view.fault_sized(1, false).expect("a fault");
        // Where the first page lay decides whether the rest could be put around it.
        let run = common::extents(&*file)[0];
        let in_one = run.len == RUN * BLOCK && run.place().is_some_and(|place| place % (2 << 20) == 0);
        assert_eq!(size == Large, in_one, "{run:?}");
        assert_eq!(stats.pmd_fallback_pieces.get(), 1 + u64::from(!in_one));
    });
}

#[test]
fn an_entry_of_2_mib_serves_faults_of_4_kib() {
    with_file(0, |_, file, protocol, _| {
        fallocate(&file, 2 * RUN);
        let mut view = large(&file, 2 * RUN, protocol);
        assert_eq!(view.fault_sized(9, false), Ok((Outcome::Block, Large)));
        view.large = false;
        assert_eq!(view.fault_sized(10, false), Ok((Outcome::Spurious, Small)));
        assert_eq!(view.tables.count(), 1, "a small entry beside the large one");
        // A store makes one page dirty, so only that one may become writable.
        assert_eq!(view.fault_sized(11, true), Ok((Outcome::MkWrite, Small)));
        assert_eq!(
            [10, 11, 12].map(|page| view.entry(page).is_some_and(|entry| entry.writable)),
            [false, true, false]
        );
        assert_eq!(view.msync(), Ok(1));
        assert_eq!(view.entry(11).map(|entry| entry.writable), Some(false));
    });
}

#[test]
fn write_back_of_2_mib_flushes_all_of_it_once_and_tracks_it_again() {
    with_file(0, |_, file, protocol, stats| {
        fallocate(&file, 2 * RUN);
        let view = large(&file, 2 * RUN, protocol);
        view.store(7 * BLOCK, b"one byte").expect("store");
        stats.reset();
        assert_eq!(fsync(&*file), Ok(RUN));
        assert_eq!((stats.pmem_lines_flushed.get(), stats.write_protected.get()), (RUN * 64, 1));
        assert_eq!(fsync(&*file), Ok(0));
        assert_eq!(view.fault_sized(400, true), Ok((Outcome::MkWrite, Large)));
        assert_eq!(view.msync(), Ok(RUN));
    });
}

#[test]
fn without_write_protection_the_second_store_is_missed() {
    // R10. With the mistake, the entry stays writable: the store after the fsync marks nothing.
    for mutant in [None, Some(Mutant::KeepLargeWritable)] {
        with_file(0, |_, file, protocol, _| {
            fallocate(&file, RUN);
            let view = large(&file, RUN, protocol);
            view.store(0, b"1").expect("store");
            mutant.into_iter().for_each(|mutant| file.platform().lab().add(mutant));
            fsync(&*file).expect("fsync");
            view.store(0, b"2").expect("store");
            assert_eq!(fsync(&*file), Ok(if mutant.is_some() { 0 } else { RUN }));
        });
    }
}

#[test]
fn a_hole_punched_in_the_middle_takes_the_entry_and_leaves_the_rest_dirty() {
    with_file(0, |_, file, protocol, _| {
        fallocate(&file, RUN);
        let view = large(&file, RUN, protocol);
        view.store(5 * BLOCK, b"kept").expect("store");
        file.fallocate(Fallocate::PunchHole, 300 * BLOCK, BLOCK).expect("punch");
        assert_eq!(view.entry(5), None);
        assert_eq!(fsync(&*file), Ok(RUN - 1), "the store of before is forgotten");
        assert_eq!(view.fault_sized(5, false), Ok((Outcome::Block, Small)));
        assert_eq!(view.load_byte(300 * BLOCK), Ok(0));
        assert_eq!(view.load_byte(5 * BLOCK), Ok(b'k'));
        // Fewer than 2 MiB are left: a run that was known is so no more.
        file.truncate(100 * BLOCK).expect("truncate");
        expect_errno(view.fault(200, false), Errno::BeyondEnd);
    });
}

#[test]
fn a_run_that_is_known_is_forgotten_with_its_blocks() {
    with_file(0, |_, file, protocol, _| {
        fallocate(&file, RUN);
        let view = large(&file, RUN, protocol);
        assert_eq!(view.fault_sized(0, true), Ok((Outcome::Block, Large)));
        file.truncate(0).expect("truncate");
        file.truncate(RUN * BLOCK).expect("truncate");
        let hole = |_: ()| -> Result<_> { view.fault_sized(3, false) };
        assert_eq!(hole(()), Ok((Outcome::ZeroPage, Large)), "mapped where the file was");
    });
}

#[test]
fn a_run_beyond_the_end_is_forgotten_with_its_blocks() {
    with_file(100, |_, file, protocol, _| {
        file.fallocate(Fallocate::Allocate { keep_size: true }, 0, RUN * BLOCK).expect("fallocate");
        let view = View::new(&file, 0..RUN);
        // Enough look-ups of single pages for the index to learn that all 512 are one run.
        (0..100).for_each(|page| assert_eq!(view.fault(page, false), Ok(Outcome::Block)));
        assert!(file.mapping().index.existing(0).is_some_and(|leaf| leaf.run().is_some()));
        file.truncate(100 * BLOCK).expect("what is beyond goes");
        file.truncate(RUN * BLOCK).expect("truncate");
        let mut after = View::new(&file, 0..RUN);
        after.protocol = protocol;
        assert_eq!(after.fault(300, false), Ok(Outcome::ZeroPage), "a block is mapped that was freed");
    });
}
