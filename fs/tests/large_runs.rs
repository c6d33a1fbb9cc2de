//! 2 MiB allocated at once: whatever a crash leaves of it, and faults of several threads on one file.

use crate::common;
use crate::common::crash::{Fs, Recording, Step};
use crate::common::layout::{Layout, SOIL};
use crate::common::{BLOCK, Image, Machine, Rng, Scratch, View, at, create, mount};
use fs::dax::Protocol;
use fs::vfs::{FileSystem, InodeRef, Transaction};
use std::sync::Barrier;

const RUN: u64 = 512;

#[test]
fn after_a_crash_in_an_allocation_of_2_mib_there_are_zeros_and_nothing_leaks() {
    let image = Image::with(Scratch::new(), (10 << 20) / BLOCK, &["-m", "0", "-N", "64"]);
    common::session(&image, |fs| create(fs, "file").truncate(6 << 20).expect("truncate"));
    // What is free is not zeros, here and there.
    let mut bytes = image.bytes();
    let layout = Layout::of(&bytes);
    let free: Vec<u64> = (0..layout.blocks).filter(|&block| !layout.in_use(&bytes, block)).collect();
    for block in free.into_iter().step_by(37) {
        bytes[(block * BLOCK + 8 * block % BLOCK) as usize] = SOIL;
    }
    image.store_bytes(&bytes);
    fn allocate<'a>(window: u64) -> Step<'a> {
        let work = move |fs: &Fs| {
            let file = at(fs, "file");
            let exclusive = file.mapping().exclusive();
            let run = file
                .look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), window * RUN, RUN)
                .expect("allocate");
            assert!(run.is_new(), "no run for window {window}: {run:?}");
        };
        (["first window", "second window", "third window"][window as usize], Box::new(work))
    }
    // A table made; one that is there; two tables, two more made.
    let recording = Recording::of(image, (0..3).map(allocate).collect());
    let counts = recording
        .judge(&recording.tape, 0..usize::MAX, (common::sample(1, 3), 1), true)
        .unwrap_or_else(|error| panic!("{error}"));
    println!("{counts:?}");
    assert!(counts.repaired > 0 && counts.judged > 3, "{counts:?}");
}

/// Threads store to pages of one file, some of them the same, some their own; what each stored is there.
fn threads_fault(large: bool, seed: u64) {
    const THREADS: u64 = 4;
    const PAGES: u64 = 6 * RUN;
    let image = Image::with(Scratch::new(), (64 << 20) / BLOCK, &["-m", "0"]);
    let mut bytes = image.bytes();
    Layout::of(&bytes).soil_free_blocks(&mut bytes);
    image.store_bytes(&bytes);
    let machine = image.machine();
    let fs = mount(machine.clone());
    let file: InodeRef<Machine> = create(&fs, "file");
    file.truncate(PAGES * BLOCK).expect("truncate");
    let start = Barrier::new(THREADS as usize);
    let stored: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let (file, start) = (&file, &start);
            move || {
                let mut view = View::new(file, 0..PAGES);
                (view.protocol, view.large) = (Protocol::EntryLock, large);
                let mut rng = Rng::new(seed + thread);
                let mut pages = Vec::new();
                start.wait();
                // 1. All of them to the same pages, which need the first indirect blocks.
                for page in (0..40).chain(LEVEL_BORDERS).chain(0..RUN) {
                    view.store(page * BLOCK + thread * 8, &[thread as u8 + 1; 8]).expect("room");
                    pages.push(page);
                }
                // 2. Its own, then any.
                for step in 0..1500 {
                    let page = match step {
                        0..500 => rng.below(PAGES / THREADS) * THREADS + thread,
                        _ => rng.below(PAGES),
                    };
                    if rng.one_in(3) {
                        view.load_byte(page * BLOCK).expect("load");
                    }
                    view.store(page * BLOCK + thread * 8, &[thread as u8 + 1; 8]).expect("room");
                    pages.push(page);
                }
                pages
            }
        };
        let handles: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread")).collect()
    });
    let mut expected = vec![0u8; (PAGES * BLOCK) as usize];
    for (thread, pages) in stored.iter().enumerate() {
        for page in pages {
            expected[(page * BLOCK) as usize + thread * 8..][..8].fill(thread as u8 + 1);
        }
    }
    assert!(common::read_all(&*file) == expected, "a store is lost, or somebody else's bytes are shown");
    drop(file);
    assert!(!fs.met_errors());
    fs.unmount().expect("unmount");
    image.store(&machine);
    image.expect_clean();
}

/// Pages on both sides of the borders of tables.
const LEVEL_BORDERS: [u64; 8] = [11, 12, 1035, 1036, 1037, 2059, 2060, 2061];

#[test]
fn threads_that_fault_under_entry_locks_share_a_block_map() {
    (0..3).for_each(|seed| threads_fault(false, seed * 10));
}

#[test]
fn threads_that_fault_with_both_sizes_share_a_block_map() {
    (0..3).for_each(|seed| threads_fault(true, seed * 10));
}
