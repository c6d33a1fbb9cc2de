//! madvise, msync, filling in beforehand.

use super::*;
use fs::Errno;
use vm::{Advice, Refusal};

#[test]
fn entries_go_and_come_back() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    for page in 0..4 {
        space.store(at + page * PAGE, page).unwrap();
    }
    space.madvise(at + PAGE, 2 * PAGE - 1, Advice::DontNeed).unwrap();
    assert_eq!(space.count(at, 4 * PAGE).small, 2);
    assert_eq!(space.load(at + PAGE), Ok(1));
}

#[test]
fn a_hole_in_the_range_is_told_after_the_rest_was_advised() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    for page in 0..4 {
        space.store(at + page * PAGE, page).unwrap();
    }
    space.munmap(at + PAGE, PAGE).unwrap();
    assert_eq!(errno(space.madvise(at, 4 * PAGE, Advice::DontNeed)), Errno::NoMemory);
    assert_eq!(space.count(at, 4 * PAGE).small, 0);
    assert_eq!(errno(space.madvise(at, 4 * PAGE, Advice::NoHugePage)), Errno::NoMemory);
    assert!(space.vmas().iter().all(|vma| !vma.kind.large));
    assert_eq!(errno(space.madvise(at + 3 * PAGE, 2 * PAGE, Advice::HugePage)), Errno::NoMemory);
    let large: Vec<_> = space.vmas().iter().map(|vma| vma.kind.large).collect();
    assert_eq!(large, [false, false, true], "cut where the range begins");
}

#[test]
fn large_pages_are_used_only_where_they_are_welcome() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.sparse("f", 1024));
    let at = map(&space, &file, 0, 1024, Placement::Any, kind(RW)).unwrap();
    space.madvise(at + LARGE, LARGE, Advice::NoHugePage).unwrap();
    assert_eq!(space.listed().len(), 2);
    space.store(at + 5 * PAGE, 1).unwrap();
    space.store(at + LARGE + 5 * PAGE, 2).unwrap();
    let (first, second) = (space.count(at, LARGE), space.count(at + LARGE, LARGE));
    assert_eq!((first.large, first.small, second.large, second.small), (1, 0, 0, 1));
    space.madvise(at + LARGE, LARGE, Advice::HugePage).unwrap();
    assert_eq!(space.listed(), [(at, 1024, 0)]);
    // The part of a large entry that stays mapped is split off.
    space.munmap(at, PAGE).unwrap();
    assert_eq!((space.count(at, LARGE).large, space.count(at, LARGE).small), (0, 511));
    assert_eq!(space.load(at + 5 * PAGE), Ok(1));
}

#[test]
fn pages_are_filled_in_for_loads_or_for_stores() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 3));
    let at = map(&space, &file, 0, 3, Placement::Any, kind(RW)).unwrap();
    let writable = |page: u64| {
        let leaf = space.walk(at + page * PAGE).leaf();
        leaf.map(|(entry, _)| entry.is_writable())
    };
    space.madvise(at, 2 * PAGE, Advice::PopulateRead).unwrap();
    assert_eq!([0, 1, 2].map(writable), [Some(false), Some(false), None]);
    space.madvise(at + PAGE, 2 * PAGE, Advice::PopulateWrite).unwrap();
    assert_eq!([0, 1, 2].map(writable), [Some(false), Some(true), Some(true)]);
    // Copies of a private VMA, at once as it is mapped; shared VMAs for loads.
    let own = map_populated(&space, &file, private(RW));
    assert_eq!(space.count(own, 3 * PAGE).copies, 3);
    let shared = map_populated(&space, &file, kind(RW));
    let count = space.count(shared, 3 * PAGE);
    assert_eq!((count.small, space.walk(shared).leaf().unwrap().0.is_writable()), (3, false));
    // 2 MiB with one entry, and on with the next.
    let large = stage.sparse("g", 1024);
    let at = map(&space, &large, 0, 1024, Placement::Any, kind(RW)).unwrap();
    space.madvise(at + 7 * PAGE, 2 * LARGE - 7 * PAGE, Advice::PopulateRead).unwrap();
    assert_eq!(space.count(at, 2 * LARGE).large, 2);
}

fn map_populated(space: &Space, file: &File, kind: VmaKind) -> u64 {
    let name = Arc::from("f");
    let request =
        MapRequest { file, name: &name, offset: 0, len: 3 * PAGE, at: Placement::Any, kind, populate: true };
    space.map(&request).unwrap()
}

#[test]
fn what_cannot_be_filled_in_is_told() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RO)).unwrap();
    assert_eq!(errno(space.madvise(at, PAGE, Advice::PopulateWrite)), Errno::Invalid);
    assert_eq!(errno(space.madvise(at, 4 * PAGE, Advice::PopulateRead)), Errno::BeyondEnd);
    assert_eq!(space.count(at, 4 * PAGE).small, 2, "what is in front of that is there");
    assert_eq!(errno(space.madvise(at + 3 * PAGE, 2 * PAGE, Advice::PopulateRead)), Errno::BeyondEnd);
    space.munmap(at + PAGE, PAGE).unwrap();
    assert_eq!(errno(space.madvise(at, 2 * PAGE, Advice::PopulateRead)), Errno::NoMemory);
    space.mprotect(at, PAGE, NONE).unwrap();
    assert_eq!(errno(space.madvise(at, PAGE, Advice::PopulateRead)), Errno::Invalid);
}

#[test]
fn a_sync_cleans_what_is_shared_and_leaves_the_rest() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 6));
    fs::dax::fsync(&*file).unwrap();
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    let own = map(&space, &file, 0, 2, Placement::Any, private(RW)).unwrap();
    for page in 0..4 {
        space.store(at + page * PAGE, page).unwrap();
    }
    space.store(own, 9).unwrap();
    let dirty = || [0, 1, 2, 3].map(|page| file.mapping().index.is_dirty(page));
    space.msync(own, 2 * PAGE).unwrap();
    assert_eq!(dirty(), [true; 4], "a private VMA has nothing for the file");
    space.msync(at + PAGE, PAGE).unwrap();
    assert_eq!(dirty(), [true, false, true, true]);
    assert!(!space.walk(at + PAGE).leaf().unwrap().0.is_writable(), "the next store is noticed");
    space.munmap(at + 2 * PAGE, PAGE).unwrap();
    assert_eq!(errno(space.msync(at, 4 * PAGE)), Errno::NoMemory);
    assert_eq!(dirty(), [false, false, true, false], "what is mapped was synced");
    space.store(at + PAGE, 5).unwrap();
    assert!(file.mapping().index.is_dirty(1));
    assert_eq!(space.load(own), Ok(9));
    assert_eq!(space.store(at + 2 * PAGE, 1), Err(Refusal::NoVma));
}
