//! Arguments that are refused, each with its number.

use super::*;
use fs::Errno::{BadAddress, Invalid, NoAccess, NoMemory, Overflow};
use fs::vfs::index::MAX_PAGES;
use vm::{Advice, TASK_END, TASK_START};

#[test]
fn mmap_refuses() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let name = Arc::from("f");
    let of = |file: &File, offset, len, at, kind| {
        errno(space.map(&MapRequest { file, name: &name, offset, len, at, kind, populate: false }))
    };
    let any = Placement::Any;
    assert_eq!(of(&file, 0, 0, any, kind(RW)), Invalid, "no bytes");
    assert_eq!(of(&file, 1, PAGE, any, kind(RW)), Invalid, "an offset inside a page");
    assert_eq!(
        of(&file, 0, PAGE, Placement::Exactly(TASK_START - PAGE), kind(RW)),
        Invalid,
        "below the task's half"
    );
    assert_eq!(
        of(&file, 0, PAGE, Placement::Exactly(TASK_START + 1), kind(RW)),
        Invalid,
        "an address inside a page"
    );
    assert_eq!(of(&file, 0, PAGE, Placement::Exactly(TASK_END), kind(RW)), NoMemory, "beyond it");
    assert_eq!(of(&file, 0, u64::MAX, any, kind(RW)), NoMemory, "more than there is");
    assert_eq!(of(&file, 0, TASK_END, any, kind(RW)), NoMemory);
    assert_eq!(of(&file, 0, (MAX_PAGES + 1) * PAGE, any, kind(RW)), Overflow, "more than an index covers");
    assert_eq!(of(&file, (MAX_PAGES - 1) * PAGE, 2 * PAGE, any, kind(RW)), Overflow);
    let no_write = |kind| VmaKind { no_write: Some(NoAccess), ..kind };
    assert_eq!(of(&file, 0, PAGE, any, no_write(kind(RW))), NoAccess);
    let folder = stage.fs.root().unwrap();
    assert_eq!(of(&folder, 0, PAGE, any, kind(RO)), fs::Errno::NoDevice, "a directory");
    assert_eq!(space.listed(), []);
    assert!(!is_mapped(&*file));
    map(&space, &file, 0, 1, any, no_write(private(RW))).unwrap();
    map(&space, &file, MAX_PAGES - 1, 1, any, kind(RW)).unwrap();
}

#[test]
fn munmap_refuses() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    let ranges = [
        (at, 0),
        (at + 1, PAGE),
        (TASK_END, PAGE),
        (TASK_END - PAGE, PAGE + 1),
        (at, u64::MAX),
        (u64::MAX - 4095, 1),
    ];
    for (start, len) in ranges {
        assert_eq!(errno(space.munmap(start, len)), Invalid, "{start:#x}, {len:#x}");
    }
    assert_eq!(space.listed(), [(at, 4, 0)]);
    space.munmap(at, 3 * PAGE + 1).unwrap();
    assert_eq!(space.listed(), [], "in whole pages");
}

#[test]
fn mprotect_madvise_and_msync_refuse() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    assert_eq!(errno(space.mprotect(at + 1, PAGE, RO)), Invalid);
    assert_eq!(errno(space.madvise(at + 1, PAGE, Advice::DontNeed)), Invalid);
    assert_eq!(errno(space.msync(at + 1, PAGE)), Invalid);
    // A range that is no task's.
    assert_eq!(errno(space.mprotect(at, u64::MAX, RO)), NoMemory);
    assert_eq!(errno(space.madvise(at, u64::MAX, Advice::DontNeed)), Invalid);
    assert_eq!(errno(space.msync(at, u64::MAX)), NoMemory);
    // Of no bytes there is nothing to do.
    let nowhere = at + 100 * PAGE;
    assert_eq!(space.mprotect(nowhere, 0, RO), Ok(()));
    assert_eq!(space.madvise(nowhere, 0, Advice::DontNeed), Ok(()));
    assert_eq!(space.msync(nowhere, 0), Ok(()));
    assert_eq!(errno(space.mprotect(nowhere, PAGE, RO)), NoMemory);
    assert_eq!(errno(space.madvise(nowhere, PAGE, Advice::DontNeed)), NoMemory);
    assert_eq!(errno(space.msync(nowhere, PAGE)), NoMemory);
    assert_eq!(space.listed(), [(at, 4, 0)]);
    space.store(at, 1).unwrap();
}

#[test]
fn mremap_refuses() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    let free = at + 100 * PAGE;
    let of = |start, old, new, to| errno(space.mremap(start, old, new, true, to));
    assert_eq!(of(at, PAGE, 0, None), Invalid, "no bytes");
    assert_eq!(of(at, 0, PAGE, None), Invalid);
    assert_eq!(of(at + 1, PAGE, PAGE, None), Invalid, "an address inside a page");
    assert_eq!(of(at, PAGE, PAGE, Some(free + 1)), Invalid);
    assert_eq!(of(at, 4 * PAGE, 4 * PAGE, Some(at + 3 * PAGE)), Invalid, "ranges that overlap");
    assert_eq!(of(at + PAGE, PAGE, 2 * PAGE, Some(at)), Invalid);
    assert_eq!(of(at, PAGE, PAGE, Some(TASK_START - PAGE)), Invalid, "below the task's half");
    assert_eq!(of(at, PAGE, PAGE, Some(TASK_END)), Invalid, "beyond it");
    assert_eq!(of(free, PAGE, PAGE, None), BadAddress, "nothing is there");
    assert_eq!(of(at, 5 * PAGE, PAGE, None), BadAddress, "not in one VMA");
    assert_eq!(of(at, 4 * PAGE, u64::MAX, None), NoMemory);
    assert_eq!(of(at, 4 * PAGE, TASK_END, None), NoMemory);
    assert_eq!(of(at, 4 * PAGE, (MAX_PAGES + 1) * PAGE, None), Overflow);
    assert_eq!(space.listed(), [(at, 4, 0)]);
    // In its place or not at all.
    map(&space, &file, 0, 1, Placement::Exactly(at + 4 * PAGE), kind(RO)).unwrap();
    assert_eq!(errno(space.mremap(at, 4 * PAGE, 5 * PAGE, false, None)), NoMemory);
}
