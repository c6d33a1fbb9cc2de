//! A task's half: what faults, files and owners do, alone and at the same time.

use std::format;
use std::sync::Barrier;
use std::thread;

use super::*;
use crate::TaskMachine;
use crate::task::{
    Copies, InstallResult, MappedCount, OutOfFrames, Partial, RightsLeft, TableMistake, TaskTables,
};

type Task = TaskTables<&'static Simulated>;

impl TaskMachine for &'static Simulated {
    type Lock = spin::mutex::SpinMutex<()>;

    fn new_copy(&self, from: Option<u64>) -> Option<u64> {
        let room = |room: u64| room.checked_sub(1);
        self.room.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).ok()?;
        let frame = self.next_copy.fetch_add(KIB4, Ordering::Relaxed);
        let mut copies = self.copies.lock().unwrap();
        let origin = from.map(|from| copies.get(&from).map_or(Some(from), |copy| copy.1));
        copies.insert(frame, (1, origin.flatten()));
        Some(frame)
    }
    fn share_copy(&self, frame: u64) {
        self.copies.lock().unwrap().get_mut(&frame).expect("a copy").0 += 1;
    }
    fn is_shared(&self, frame: u64) -> bool {
        self.copies.lock().unwrap()[&frame].0 > 1
    }
    fn release_copy(&self, frame: u64) {
        let mut copies = self.copies.lock().unwrap();
        let tlb = self.tlb.lock().unwrap();
        assert!(
            tlb.values().all(|entry| entry.address() != frame),
            "{frame:#x} is freed, but a TLB serves it"
        );
        let references = copies.get_mut(&frame).expect("a copy");
        references.0 -= 1;
        if references.0 == 0 {
            copies.remove(&frame);
            self.room.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn makes(&self, mistake: TableMistake) -> bool {
        *self.mistake.lock().unwrap() == Some(mistake)
    }
}

fn task(count: u64) -> (Task, &'static Simulated) {
    let machine = Simulated::new(count);
    (Task::new(machine).unwrap(), machine)
}

impl Task {
    /// As a CPU translates: what its TLB holds, or the tables.
    fn access(&self, at: u64) -> Option<PageTableEntry> {
        let machine = self.tables().machine();
        let mut tlb = machine.tlb.lock().unwrap();
        if let Some(entry) = tlb.get(&at) {
            return Some(*entry);
        }
        let (entry, size) = self.tables().leaf(at)?;
        let entry = PageTableEntry(entry.0 + (at & (size.bytes() - 1)));
        tlb.insert(at, entry);
        Some(entry)
    }

    fn entry(&self, at: u64) -> Option<(u64, bool, LeafSize)> {
        self.tables().leaf(at).map(|(entry, size)| (entry.address(), entry.is_writable(), size))
    }
}

const SMALL: LeafSize = LeafSize::Small;
const LARGE: LeafSize = LeafSize::Large;
const AT: u64 = GIB;

#[test]
fn a_small_entry_is_made_upgraded_kept_and_replaced() {
    let (tables, machine) = task(16);
    assert_eq!(tables.map_small(AT, 0x5000, false), Ok(InstallResult::New));
    assert_eq!(tables.map_small(AT, 0x5000, false), Ok(InstallResult::Already));
    assert_eq!(tables.map_small(AT, 0x5000, true), Ok(InstallResult::Upgraded));
    assert_eq!(tables.map_small(AT, 0x5000, false), Ok(InstallResult::Already));
    assert_eq!(tables.entry(AT), Some((0x5000, true, SMALL)), "an entry is never weakened");
    assert!(machine.invalidated.lock().unwrap().is_empty(), "nothing was taken away");
    assert_eq!(tables.map_small(AT, 0x6000, false), Ok(InstallResult::Replaced));
    assert_eq!(tables.entry(AT), Some((0x6000, false, SMALL)));
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT, 1)]);
    assert_eq!(tables.keep_small(AT, 0x7000), Ok(InstallResult::Already));
    assert_eq!(tables.keep_small(AT + KIB4, 0x7000), Ok(InstallResult::New));
    assert_eq!(tables.entry(AT + KIB4), Some((0x7000, false, SMALL)));
}

#[test]
fn a_large_entry_is_made_upgraded_kept_and_replaced() {
    let (tables, machine) = task(16);
    assert!(!tables.has_small(AT));
    assert_eq!(tables.keep_large(AT, 0), Ok(InstallResult::New));
    assert_eq!(tables.keep_large(AT, 8 * MIB2), Ok(InstallResult::Already));
    assert!(!tables.has_small(AT), "a large leaf is no table");
    assert_eq!(tables.map_large(AT, 8 * MIB2, false), Ok(InstallResult::Replaced));
    assert_eq!(machine.invalidated.lock().unwrap().len(), 1);
    assert_eq!(tables.map_large(AT, 8 * MIB2, true), Ok(InstallResult::Upgraded));
    assert_eq!(tables.map_large(AT, 8 * MIB2, true), Ok(InstallResult::Already));
    assert_eq!(tables.entry(AT + 5 * KIB4), Some((8 * MIB2, true, LARGE)));
    // The range was in a TLB by any of its pages: one page's invalidation is for all of it.
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT, 1)]);
}

/// R16: small entries in slots 64 to 511 were overlooked, and a large entry went over them.
#[test]
fn no_large_entry_goes_over_a_table_whichever_slot_is_in_use() {
    for slot in [0, 1, 63, 64, 300, 511] {
        let (tables, _) = task(16);
        tables.map_small(AT + slot * KIB4, 0x5000, true).unwrap();
        assert!(tables.has_small(AT) && tables.has_small(AT + MIB2 - KIB4));
        assert!(!tables.has_small(AT + MIB2) && !tables.has_small(AT - KIB4));
        assert_eq!(tables.map_large(AT, MIB2, true), Ok(InstallResult::Table));
        assert_eq!(tables.keep_large(AT, MIB2), Ok(InstallResult::Table));
        assert_eq!(tables.entry(AT + slot * KIB4), Some((0x5000, true, SMALL)), "slot {slot}");
    }
}

#[test]
fn a_large_entry_serves_a_small_fault_or_is_split_or_goes() {
    let (tables, machine) = task(16);
    let page = AT + 3 * KIB4;
    tables.map_large(AT, MIB2, false).unwrap();
    assert_eq!(tables.map_small(page, MIB2 + 3 * KIB4, false), Ok(InstallResult::Already));
    assert_eq!(tables.keep_small(page, 0x5000), Ok(InstallResult::Already));
    assert_eq!(tables.entry(page), Some((MIB2, false, LARGE)));
    // A store to one page must not let stores to its 511 neighbours go unnoticed.
    assert_eq!(tables.map_small(page, MIB2 + 3 * KIB4, true), Ok(InstallResult::Upgraded));
    assert_eq!(tables.entry(page), Some((MIB2 + 3 * KIB4, true, SMALL)));
    assert_eq!(tables.entry(page + KIB4), Some((MIB2 + 4 * KIB4, false, SMALL)));
    assert!(machine.invalidated.lock().unwrap().is_empty(), "what is in TLBs still holds");

    let page = AT + MIB2 + 3 * KIB4;
    tables.map_large(AT + MIB2, 2 * MIB2, true).unwrap();
    assert_eq!(tables.map_small(page, 2 * MIB2 + 3 * KIB4, true), Ok(InstallResult::Already));
    assert_eq!(tables.map_small(page, 0x5000, true), Ok(InstallResult::Replaced));
    assert_eq!(tables.entry(page), Some((0x5000, true, SMALL)));
    assert_eq!(tables.entry(page + KIB4), None);
    assert_eq!(machine.invalidated.lock().unwrap().len(), 1);
}

#[test]
fn a_part_of_a_large_entry_is_split_off_by_the_owner_and_goes_whole_for_the_file() {
    let (tables, machine) = task(16);
    tables.map_large(AT, MIB2, true).unwrap();
    assert_eq!(tables.remove(AT + KIB4, 2, Partial::Split, Copies::Free), 2);
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT + KIB4, 2)]);
    assert_eq!(tables.entry(AT), Some((MIB2, true, SMALL)));
    assert_eq!(tables.entry(AT + KIB4), None);
    assert_eq!(tables.count(AT, 512), MappedCount { small: 510, large: 0, copies: 0 });

    tables.map_large(AT + MIB2, 2 * MIB2, true).unwrap();
    assert_eq!(tables.remove(AT + MIB2 + KIB4, 2, Partial::Whole, Copies::Free), 1);
    assert_eq!(tables.count(AT + MIB2, 512), MappedCount::default());
    // All of it in the range: no table is made for it.
    tables.map_large(AT + MIB2, 2 * MIB2, true).unwrap();
    let before = machine.free_count();
    assert_eq!(tables.remove(AT + MIB2, 512, Partial::Split, Copies::Free), 1);
    assert_eq!(machine.free_count(), before);
}

#[test]
fn without_a_frame_for_the_table_the_owner_loses_the_large_entry_as_a_whole() {
    // Root, and two tables to the directory: none is left.
    for (name, act) in [
        ("munmap", (|t| t.remove(AT + KIB4, 1, Partial::Split, Copies::Free)) as fn(&Task) -> u64),
        ("mprotect", |t| t.protect(AT + KIB4, 1, RightsLeft::Read)),
    ] {
        let (tables, machine) = task(3);
        tables.map_large(AT, MIB2, true).unwrap();
        assert_eq!(act(&tables), 1, "{name}");
        assert_eq!(tables.entry(AT), None, "{name}");
        assert_eq!(machine.invalidated.lock().unwrap().len(), 1, "{name}");
        assert_eq!(tables.map_small(AT, 0x5000, false), Err(OutOfFrames));
        assert_eq!(tables.map_copy(AT, None), Err(OutOfFrames));
        assert_eq!(tables.map_large(AT, MIB2, true), Ok(InstallResult::New), "{name}: not usable afterwards");
    }
}

#[test]
fn write_protection_is_for_what_is_writable_and_mprotect_splits() {
    let (tables, machine) = task(16);
    tables.map_small(AT, 0x5000, true).unwrap();
    tables.map_small(AT + KIB4, 0x6000, false).unwrap();
    tables.map_copy(AT + 2 * KIB4, None).unwrap();
    tables.map_large(AT + MIB2, MIB2, true).unwrap();
    // The file takes the large entry as a whole, and leaves copies alone.
    assert_eq!(tables.write_protect(AT, 513), 2);
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT, 513)]);
    assert_eq!(tables.entry(AT + MIB2), Some((MIB2, false, LARGE)));
    assert!(tables.entry(AT + 2 * KIB4).unwrap().1);
    assert_eq!(tables.write_protect(AT, 1024), 0);
    assert_eq!(machine.invalidated.lock().unwrap().len(), 1, "nothing changed, nothing to invalidate");
    // The owner takes the right from copies too, and from a part of a large entry.
    tables.map_large(AT + MIB2, MIB2, true).unwrap();
    assert_eq!(tables.protect(AT, 513, RightsLeft::Read), 2);
    assert!(!tables.entry(AT + 2 * KIB4).unwrap().1);
    assert_eq!(tables.entry(AT + MIB2), Some((MIB2, false, SMALL)));
    assert_eq!(tables.entry(AT + MIB2 + KIB4), Some((MIB2 + KIB4, true, SMALL)));
}

#[test]
fn a_copy_is_made_once_survives_the_file_and_is_freed_by_the_owner() {
    let (tables, machine) = task(16);
    tables.map_small(AT, 0x5000, false).unwrap();
    assert_eq!(tables.map_copy(AT, Some(0x5000)), Ok(InstallResult::Replaced));
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT, 1)]);
    assert_eq!(tables.map_copy(AT, Some(0x9000)), Ok(InstallResult::Already));
    assert_eq!(tables.map_copy(AT + KIB4, None), Ok(InstallResult::New));
    let copy = tables.entry(AT).unwrap();
    assert_eq!((copy.1, machine.copies.lock().unwrap()[&copy.0]), (true, (1, Some(0x5000))));
    // A load that looked the file's block up a moment ago.
    assert_eq!(tables.map_small(AT, 0x5000, false), Ok(InstallResult::Already));
    assert_eq!(tables.keep_small(AT, 0x7000), Ok(InstallResult::Already));
    assert_eq!(tables.remove(AT, 512, Partial::Whole, Copies::Keep), 0);
    assert_eq!(tables.entry(AT), Some(copy));
    tables.access(AT);
    assert_eq!(tables.remove(AT, 1, Partial::Split, Copies::Free), 1);
    assert_eq!((tables.entry(AT), machine.copies.lock().unwrap().len()), (None, 1));
    tables.map_large(AT + MIB2, 0, true).unwrap();
    assert_eq!(tables.remove_and_prune(AT, 512), 1);
    assert!(machine.copies.lock().unwrap().is_empty());
    assert_eq!(machine.free_count(), 13, "the directory is in use");
    assert_eq!(tables.remove_and_prune(AT + MIB2, 512), 1);
    assert_eq!(machine.free_count(), 15);
    // Emptied before by somebody else.
    tables.map_small(AT, 0x5000, true).unwrap();
    tables.remove(AT, 1, Partial::Whole, Copies::Free);
    assert_eq!((tables.remove_and_prune(AT, 1), machine.free_count()), (0, 15));
}

#[test]
fn a_copy_under_a_large_entry_splits_it() {
    let (tables, machine) = task(16);
    tables.map_large(AT, MIB2, false).unwrap();
    assert_eq!(tables.map_copy(AT + KIB4, Some(MIB2 + KIB4)), Ok(InstallResult::Replaced));
    assert_eq!(tables.entry(AT), Some((MIB2, false, SMALL)));
    assert!(tables.entry(AT + KIB4).is_some_and(|(frame, writable, _)| frame >= COPIES && writable));
    assert_eq!(tables.count(AT, 512), MappedCount { small: 512, large: 0, copies: 1 });
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT + KIB4, 1)]);
}

#[test]
fn without_a_frame_for_the_copy_nothing_changes() {
    let (tables, machine) = task(16);
    tables.map_small(AT, 0x5000, false).unwrap();
    machine.room.store(0, Ordering::Relaxed);
    assert_eq!(tables.map_copy(AT, Some(0x5000)), Err(OutOfFrames));
    assert_eq!(tables.entry(AT), Some((0x5000, false, SMALL)));
    assert!(machine.invalidated.lock().unwrap().is_empty());
}

#[test]
fn a_forked_copy_is_copied_by_the_first_to_store_and_kept_by_the_last() {
    let (parent, machine) = task(32);
    let child = Task::new(machine).unwrap();
    parent.map_copy(AT, Some(0x5000)).unwrap();
    let frame = parent.entry(AT).unwrap().0;
    parent.share_copies(&child, AT, 512).unwrap();
    assert_eq!(machine.invalidated.lock().unwrap().as_slice(), [(AT, 512)], "the parent's TLBs allow stores");
    for tables in [&parent, &child] {
        assert_eq!(tables.entry(AT), Some((frame, false, SMALL)));
    }
    assert_eq!(child.map_copy(AT, None), Ok(InstallResult::Replaced));
    let own = child.entry(AT).unwrap();
    assert!(own.0 != frame && own.1);
    assert_eq!(machine.copies.lock().unwrap()[&own.0], (1, Some(0x5000)), "a copy of the copy");
    assert_eq!(parent.map_copy(AT, None), Ok(InstallResult::Upgraded));
    assert_eq!(parent.entry(AT), Some((frame, true, SMALL)));
    // One that is shared goes with the last.
    parent.share_copies(&Task::new(machine).unwrap(), AT, 1).unwrap();
    parent.remove(AT, 1, Partial::Split, Copies::Free);
    assert_eq!(machine.copies.lock().unwrap()[&frame].0, 1);
}

#[test]
fn a_hidden_copy_keeps_its_bytes_and_is_shared_moved_and_freed_like_others() {
    let (tables, machine) = task(32);
    tables.map_copy(AT, Some(0x5000)).unwrap();
    tables.map_small(AT + KIB4, 0x6000, false).unwrap();
    let frame = tables.entry(AT).unwrap().0;
    assert_eq!(tables.protect(AT, 2, RightsLeft::Nothing), 2);
    assert_eq!((tables.entry(AT), tables.entry(AT + KIB4)), (None, None));
    let child = Task::new(machine).unwrap();
    tables.share_copies(&child, AT, 2).unwrap();
    assert_eq!(child.entry(AT), None);
    assert_eq!(tables.move_copies(AT, AT + GIB, 2), Ok(1));
    // Whichever way the next access comes.
    assert_eq!(child.keep_small(AT, 0x7000), Ok(InstallResult::New));
    assert_eq!(child.entry(AT), Some((frame, false, SMALL)));
    assert_eq!(tables.map_small(AT + GIB, 0x5000, false), Ok(InstallResult::New));
    assert_eq!(tables.entry(AT + GIB), Some((frame, false, SMALL)));
    tables.protect(AT + GIB, 1, RightsLeft::Nothing);
    child.remove(AT, 1, Partial::Split, Copies::Free);
    assert_eq!(tables.map_copy(AT + GIB, None), Ok(InstallResult::Upgraded));
    assert_eq!(tables.entry(AT + GIB), Some((frame, true, SMALL)));
    tables.protect(AT + GIB, 1, RightsLeft::Nothing);
    tables.remove(AT + GIB, 1, Partial::Split, Copies::Free);
    assert!(machine.copies.lock().unwrap().is_empty());
}

#[test]
fn moving_copies_takes_all_of_them_or_none() {
    let (tables, machine) = task(6);
    for page in [0, 1, 511, 512] {
        tables.map_copy(AT + page * KIB4, Some(page * KIB4)).unwrap();
    }
    // Root, directory pointers, directory, two tables: one is left, and two are needed.
    let from: Vec<_> = [0, 1, 511, 512].map(|page| tables.entry(AT + page * KIB4)).into();
    assert_eq!(tables.move_copies(AT, AT + 4 * MIB2, 1024), Err(OutOfFrames));
    assert_eq!([0, 1, 511, 512].map(|page| tables.entry(AT + page * KIB4)).as_slice(), from);
    assert_eq!(tables.remove_and_prune(AT + 4 * MIB2, 1024), 0);
    let before = machine.invalidated.lock().unwrap().len();
    assert_eq!(tables.move_copies(AT, AT + 4 * MIB2, 512), Ok(3));
    assert_eq!(machine.invalidated.lock().unwrap()[before..], [(AT, 512)]);
    assert_eq!([0, 1, 511].map(|page| tables.entry(AT + 4 * MIB2 + page * KIB4)).as_slice(), &from[..3]);
    assert_eq!(tables.count(AT, 512), MappedCount::default());
}

#[test]
fn a_range_over_absent_tables_is_walked_to_its_end() {
    let (tables, _) = task(32);
    for at in [0x1_0000, 3 * GIB - KIB4, 3 * GIB, 1 << 39, (1 << 40) + GIB, (1 << 47) - KIB4] {
        tables.map_small(at, 0x5000, true).unwrap();
    }
    assert_eq!(tables.count(0, 1 << 35).small, 6);
    assert_eq!(tables.count(3 * GIB, 1).small, 1);
    assert_eq!(tables.write_protect(3 * GIB - KIB4, 2), 2);
    assert_eq!(tables.remove(KIB4, (1 << 35) - 1, Partial::Whole, Copies::Free), 6);
    assert_eq!(tables.remove(0, 0, Partial::Whole, Copies::Free), 0);
}

/// Both sizes are installed, split, weakened and taken out at once: no table is lost, no entry survives,
/// nothing panics.
#[test]
fn faults_files_and_owners_at_once_lose_nothing() {
    let (tables, machine) = task(64);
    // Tables stay until nobody faults any more.
    let block = 8 * MIB2;
    let rounds = 4000;
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..rounds).for_each(|_| {
                let _ = tables.map_large(AT, block, false);
            })
        });
        scope.spawn(|| {
            (0..rounds).for_each(|_| {
                let _ = tables.map_large(AT, block, true);
            })
        });
        scope.spawn(|| {
            for round in 0..rounds {
                let page = round % 512 * KIB4;
                tables.map_small(AT + page, block + page, round % 3 == 0).unwrap();
                tables.map_copy(AT + MIB2 + page, Some(block)).unwrap();
            }
        });
        scope.spawn(|| {
            for round in 0..rounds {
                tables.write_protect(AT + round % 512 * KIB4, 1);
                tables.remove(AT, 1024, Partial::Whole, Copies::Keep);
            }
        });
        scope.spawn(|| {
            for round in 0..rounds {
                tables.protect(AT + round % 512 * KIB4, 3, RightsLeft::Read);
                tables.remove(AT + MIB2 + round % 511 * KIB4, 2, Partial::Split, Copies::Free);
                tables.access(AT + MIB2 + round % 512 * KIB4);
            }
        });
    });
    tables.remove_and_prune(AT, 1024);
    assert_eq!(tables.count(AT, 1024), MappedCount::default());
    assert!(machine.copies.lock().unwrap().is_empty());
    assert_eq!(machine.free_count(), 63, "tables were lost");
}

/// A truncation that finds the entry gone, which a munmap has just taken out, must not believe that no TLB
/// serves it.
#[test]
fn whoever_finds_an_entry_gone_finds_it_gone_from_every_tlb() {
    let (tables, _) = task(16);
    let turn = Barrier::new(3);
    // Told at the end: whoever panics at a barrier leaves the others waiting.
    let served = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3000 {
                    turn.wait();
                    tables.remove(AT, 1, Partial::Whole, Copies::Keep);
                    let held = tables.tables().machine().tlb.lock().unwrap().contains_key(&AT);
                    served.fetch_add(u64::from(held), Ordering::Relaxed);
                    turn.wait();
                }
            });
        }
        for _ in 0..3000 {
            tables.map_small(AT, 0x5000, true).unwrap();
            tables.access(AT);
            turn.wait();
            turn.wait();
        }
    });
    assert_eq!(served.into_inner(), 0, "times a TLB served what was unmapped");
}

/// The last two who share a copy store at once: one keeps the frame, or both copy; nobody stores to what
/// another reads.
#[test]
fn two_who_store_to_a_shared_copy_at_once_end_with_two_frames() {
    for _ in 0..500 {
        let (parent, machine) = task(32);
        let child = Task::new(machine).unwrap();
        parent.map_copy(AT, Some(0x5000)).unwrap();
        parent.share_copies(&child, AT, 1).unwrap();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for tables in [&parent, &child, &parent, &child] {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    tables.map_copy(AT, None).unwrap();
                });
            }
        });
        let (one, two) = (parent.entry(AT).unwrap(), child.entry(AT).unwrap());
        assert!(one.1 && two.1 && one.0 != two.0, "{one:x?} {two:x?}");
        let copies = machine.copies.lock().unwrap();
        let all: Vec<_> = copies.values().collect();
        assert_eq!(format!("{all:?}"), "[(1, Some(20480)), (1, Some(20480))]");
    }
}

#[test]
fn entries_go_before_tlbs_are_shot_down() {
    for mistake in [None, Some(TableMistake::ShootdownFirst)] {
        let (task, machine) = task(8);
        let task = std::sync::Arc::new(task);
        *machine.mistake.lock().unwrap() = mistake;
        task.map_small(MIB2, 0x5000, true).unwrap();
        assert!(task.access(MIB2).is_some());
        // Another CPU loads as soon as it has answered.
        let loads = || {
            let other = task.clone();
            let load = move || {
                other.access(MIB2);
            };
            *machine.answered.lock().unwrap() = Some(std::boxed::Box::new(load));
        };
        loads();
        assert_eq!(task.write_protect(MIB2, 1), 1);
        assert_eq!(task.access(MIB2).is_some_and(PageTableEntry::is_writable), mistake.is_some());
        loads();
        assert_eq!(task.remove(MIB2, 1, Partial::Whole, Copies::Keep), 1);
        assert_eq!(task.access(MIB2).is_some(), mistake.is_some());
    }
}

#[test]
fn a_large_leaf_takes_no_tables_place() {
    for mistake in [None, Some(TableMistake::LargeOverTable)] {
        let (task, machine) = task(8);
        *machine.mistake.lock().unwrap() = mistake;
        task.map_copy(MIB2 + KIB4, None).unwrap();
        let copy = task.access(MIB2 + KIB4).expect("a copy").address();
        machine.tlb.lock().unwrap().clear();
        let _ = task.map_large(MIB2, 4 * MIB2, false);
        let seen = task.access(MIB2 + KIB4).expect("an entry").address();
        assert_eq!(seen != copy, mistake.is_some(), "what was stored privately is lost");
        if mistake.is_some() {
            continue;
        }
        assert_eq!(task.remove(MIB2, 512, Partial::Whole, Copies::Free), 1);
    }
}

#[test]
fn a_fork_takes_the_right_to_store_from_who_forks() {
    for mistake in [None, Some(TableMistake::ForkKeepsWritable)] {
        let (parent, machine) = task(16);
        let child = Task::new(machine).unwrap();
        *machine.mistake.lock().unwrap() = mistake;
        parent.map_copy(AT, None).unwrap();
        parent.share_copies(&child, AT, 1).unwrap();
        let (one, two) = (parent.entry(AT).unwrap(), child.entry(AT).unwrap());
        assert_eq!((one.0, one.1, two.1), (two.0, mistake.is_some(), false), "{mistake:?}");
    }
}
