//! The tree over an array of tables.
extern crate std;

mod task;

use crate::task::TableMistake;
use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::Mutex;
use std::vec::Vec;

use crate::{Flags, Half, LeafSize, MapError, PageTable, PageTableEntry, TableMachine, TableTree};

const BASE: u64 = 0x10_0000;
const KIB4: u64 = 4096;
const MIB2: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Frames of private copies are numbered from here on.
const COPIES: u64 = 1 << 40;
const UPPER: u64 = 0xffff_8000_0000_0000;
const RW: Flags = Flags::KERNEL_DATA;
const RO: Flags = Flags::KERNEL_READ;

/// `count` tables in an array; frames are numbered from [`BASE`].
struct Simulated {
    tables: Vec<PageTable>,
    free: Mutex<Vec<u64>>,
    invalidated: Mutex<Vec<(u64, u64)>>,
    /// What the CPUs' TLBs hold: entries by page address.
    tlb: Mutex<HashMap<u64, PageTableEntry>>,
    /// Private copies: who has them, and what they are copies of.
    copies: Mutex<HashMap<u64, (u64, Option<u64>)>>,
    /// As many copies can be made.
    room: AtomicU64,
    next_copy: AtomicU64,
    /// What is done wrong on purpose.
    mistake: Mutex<Option<TableMistake>>,
    /// What another CPU does as soon as it has answered a shootdown.
    answered: Mutex<Option<std::boxed::Box<dyn FnOnce() + Send>>>,
}

impl Simulated {
    fn new(count: u64) -> &'static Self {
        let tables = (0..count).map(|_| [const { AtomicU64::new(0) }; 512]).collect();
        let free = Mutex::new((0..count).rev().map(|i| BASE + i * KIB4).collect());
        std::boxed::Box::leak(std::boxed::Box::new(Self {
            tables,
            free,
            invalidated: Mutex::default(),
            tlb: Mutex::default(),
            copies: Mutex::default(),
            room: AtomicU64::new(1000),
            next_copy: AtomicU64::new(COPIES),
            mistake: Mutex::default(),
            answered: Mutex::default(),
        }))
    }

    fn free_count(&self) -> usize {
        self.free.lock().unwrap().len()
    }
}

impl TableMachine for &'static Simulated {
    type Word = AtomicU64;

    fn allocate_table(&self) -> Option<u64> {
        let frame = self.free.lock().unwrap().pop()?;
        self.table(frame).iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
        Some(frame)
    }
    fn free_table(&self, frame: u64) {
        let mut free = self.free.lock().unwrap();
        assert!(!free.contains(&frame), "double free of {frame:#x}");
        free.push(frame);
    }
    fn table(&self, frame: u64) -> &PageTable {
        assert!(!self.free.lock().unwrap().contains(&frame), "use after free of {frame:#x}");
        &self.tables[((frame - BASE) / KIB4) as usize]
    }
    fn invalidate(&self, start: u64, pages: u64) {
        // Another CPU takes its time to answer.
        std::thread::yield_now();
        self.invalidated.lock().unwrap().push((start, pages));
        self.tlb.lock().unwrap().retain(|at, _| !(start..start + pages * KIB4).contains(at));
        let then = self.answered.lock().unwrap().take();
        then.into_iter().for_each(|then| then());
    }
}

fn upper(count: u64) -> (TableTree<&'static Simulated>, &'static Simulated) {
    let machine = Simulated::new(count);
    (TableTree::new(Half::Upper, machine).unwrap(), machine)
}

fn lower(count: u64) -> (TableTree<&'static Simulated>, &'static Simulated) {
    let machine = Simulated::new(count);
    (TableTree::new(Half::Lower, machine).unwrap(), machine)
}

fn regions(tables: &TableTree<&'static Simulated>) -> Vec<(u64, u64, u64, LeafSize)> {
    let mut found = Vec::new();
    tables.regions(0, u64::MAX, &mut |r| found.push((r.start, r.frame, r.bytes, r.size)));
    found
}

#[test]
fn maps_with_the_largest_pages_that_fit() {
    let (tables, _) = upper(16);
    let at = UPPER + GIB - MIB2 - KIB4;
    let frame = 8 * GIB - MIB2 - KIB4;
    tables.map_range(at, frame, 2 * GIB + 2 * (MIB2 + KIB4), RW, LeafSize::Giant).unwrap();
    let sizes: Vec<_> = regions(&tables).iter().map(|r| (r.2, r.3)).collect();
    let expected = [
        (KIB4, LeafSize::Small),
        (MIB2, LeafSize::Large),
        (2 * GIB, LeafSize::Giant),
        (MIB2, LeafSize::Large),
        (KIB4, LeafSize::Small),
    ];
    assert_eq!(sizes, expected);
    for offset in [0, KIB4 + 5, MIB2 + KIB4, GIB + 7, 2 * GIB + 2 * MIB2 + KIB4 + 1] {
        assert_eq!(tables.translate(at + offset), Some(frame + offset));
    }
    assert_eq!(tables.translate(at - 1), None);
}

#[test]
fn the_last_page_of_the_address_space_works() {
    let (tables, _) = upper(8);
    let last = u64::MAX - (KIB4 - 1);
    tables.map(last, 0x5000, LeafSize::Small, RW).unwrap();
    assert_eq!(tables.translate(u64::MAX), Some(0x5fff));
    assert_eq!(regions(&tables), [(last, 0x5000, KIB4, LeafSize::Small)]);
    assert_eq!(tables.unmap(last, LeafSize::Small).unwrap().address(), 0x5000);
}

#[test]
fn errors_say_what_is_in_the_way() {
    let (tables, _) = upper(8);
    tables.map(UPPER, 0, LeafSize::Large, RW).unwrap();
    let found = PageTableEntry::new(0, RW | Flags::LARGE);
    let again = tables.map(UPPER, MIB2, LeafSize::Large, RW);
    assert_eq!(again, Err(MapError::AlreadyMapped { at: UPPER, entry: found, size: LeafSize::Large }));
    let inside = tables.map(UPPER + KIB4, MIB2, LeafSize::Small, RW);
    assert_eq!(
        inside,
        Err(MapError::AlreadyMapped { at: UPPER + KIB4, entry: found, size: LeafSize::Large })
    );
    let misaligned = Err(MapError::Misaligned { at: UPPER + KIB4, size: LeafSize::Large });
    assert_eq!(tables.map(UPPER + KIB4, 0, LeafSize::Large, RW), misaligned);
    assert_eq!(tables.map(0x1000, 0, LeafSize::Small, RW), Err(MapError::OutOfRange { at: 0x1000 }));
    assert_eq!(
        tables.map_range(u64::MAX - 4095, 0, 8192, RW, LeafSize::Small).unwrap_err(),
        MapError::OutOfRange { at: u64::MAX - 4095 }
    );
    assert_eq!(tables.map_range(UPPER, 0, 0, RW, LeafSize::Small), Err(MapError::OutOfRange { at: UPPER }));
    assert_eq!(tables.unmap(UPPER + GIB, LeafSize::Small), Err(MapError::NotMapped { at: UPPER + GIB }));
}

#[test]
fn unmapping_a_part_splits_a_giant_page_twice() {
    let (tables, machine) = upper(8);
    tables.map(UPPER, GIB, LeafSize::Giant, RW).unwrap();
    let hole = UPPER + 5 * MIB2 + 3 * KIB4;
    assert_eq!(tables.unmap_range(hole, KIB4, |_, _, _| {}), Ok(1));
    assert_eq!(tables.translate(hole), None);
    assert_eq!(tables.translate(hole - 1), Some(hole - 1 - UPPER + GIB));
    assert_eq!(tables.translate(hole + KIB4), Some(hole + KIB4 - UPPER + GIB));
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(hole, 1)]);
    let total: u64 = regions(&tables).iter().map(|r| r.2).sum();
    assert_eq!(total, GIB - KIB4);
}

#[test]
fn out_of_frames_leaves_the_tree_usable() {
    let (tables, machine) = upper(3);
    let no_frames = Err(MapError::NoFrames);
    assert_eq!(tables.map(UPPER, 0, LeafSize::Small, RW), no_frames);
    tables.map(UPPER, 0, LeafSize::Large, RW).unwrap();
    assert_eq!(tables.unmap_range(UPPER, KIB4, |_, _, _| {}), Err(MapError::NoFrames));
    assert_eq!(tables.translate(UPPER), Some(0));
    assert_eq!(machine.free_count(), 0);
}

#[test]
fn protecting_keeps_accessed_and_dirty() {
    let (tables, _) = upper(8);
    tables.map(UPPER, 0, LeafSize::Large, RW | Flags::DIRTY | Flags::ACCESSED).unwrap();
    assert_eq!(tables.protect_range(UPPER, KIB4, RO), Ok(1));
    let (entry, size) = tables.leaf(UPPER).unwrap();
    assert_eq!((entry.flags(), size), (RO | Flags::DIRTY | Flags::ACCESSED, LeafSize::Small));
    assert!(tables.leaf(UPPER + KIB4).unwrap().0.is_writable());
}

#[test]
fn pruning_frees_empty_tables_only() {
    let (tables, machine) = lower(16);
    let before = machine.free_count();
    tables.map(0, 0, LeafSize::Small, RW).unwrap();
    tables.map(GIB, 0, LeafSize::Small, RW).unwrap();
    assert_eq!(machine.free_count(), before - 5);
    tables.unmap(0, LeafSize::Small).unwrap();
    tables.prune(0, 4 * GIB);
    assert_eq!(machine.free_count(), before - 3);
    assert_eq!(tables.translate(GIB), Some(0));
    tables.unmap(GIB, LeafSize::Small).unwrap();
    tables.prune(0, 1 << 47);
    assert_eq!(machine.free_count(), before);
}

#[test]
fn the_kernel_half_is_shared_and_survives_pruning() {
    let machine = Simulated::new(16);
    let kernel = TableTree::new(Half::Upper, machine).unwrap();
    kernel.reserve_slots(UPPER, 1 << 40).unwrap();
    let mut task = TableTree::new(Half::Lower, machine).unwrap();
    task.share_upper_half(&kernel);
    kernel.map(UPPER, 0x7000, LeafSize::Small, RW).unwrap();
    assert_eq!(task.translate(UPPER + 1), Some(0x7001));
    assert_eq!(task.map(UPPER, 0, LeafSize::Small, RW), Err(MapError::OutOfRange { at: UPPER }));
    kernel.unmap(UPPER, LeafSize::Small).unwrap();
    kernel.prune(UPPER, 1 << 40);
    kernel.map(UPPER + (1 << 39), 0x8000, LeafSize::Small, RW).unwrap();
    assert_eq!(task.translate(UPPER + (1 << 39)), Some(0x8000));
    let before = machine.free_count();
    task.map(0x1000, 0x9000, LeafSize::Small, RW).unwrap();
    task.clear();
    assert_eq!(machine.free_count(), before);
    assert_eq!(kernel.translate(UPPER + (1 << 39)), Some(0x8000));
}
