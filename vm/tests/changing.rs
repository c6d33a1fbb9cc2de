//! mprotect and mremap.

use super::*;
use fs::Errno;
use vm::Refusal;

#[test]
fn rights_go_and_come_and_areas_are_cut_and_joined() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 6));
    let at = map(&space, &file, 0, 6, Placement::Any, kind(RW)).unwrap();
    for page in 0..6 {
        space.store(at + page * PAGE + 8, page).unwrap();
    }
    space.mprotect(at + 2 * PAGE, 2 * PAGE, RO).unwrap();
    assert_eq!(space.listed(), [(at, 2, 0), (at + 2 * PAGE, 2, 2), (at + 4 * PAGE, 2, 4)]);
    for page in 0..6 {
        let stored = space.store(at + page * PAGE + 8, page + 10);
        let wanted = if (2..4).contains(&page) { Err(Refusal::NoRight(RO)) } else { Ok(()) };
        assert_eq!(stored, wanted, "page {page}, by whatever a TLB knew");
    }
    assert_eq!(space.load(at + 2 * PAGE + 8), Ok(2));
    space.mprotect(at + 3 * PAGE, PAGE, NONE).unwrap();
    assert_eq!(space.load(at + 3 * PAGE), Err(Refusal::NoRight(NONE)));
    assert_eq!(space.listed().len(), 4);
    space.mprotect(at, 6 * PAGE, RW).unwrap();
    assert_eq!(space.listed(), [(at, 6, 0)]);
    space.store(at + 3 * PAGE + 8, 13).unwrap();
    assert_eq!(space.load(at + 3 * PAGE + 8), Ok(13));
}

#[test]
fn rights_change_up_to_the_first_hole() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 6));
    let at = map(&space, &file, 0, 6, Placement::Any, kind(RW)).unwrap();
    space.munmap(at + 3 * PAGE, PAGE).unwrap();
    assert_eq!(errno(space.mprotect(at + PAGE, 5 * PAGE, RO)), Errno::NoMemory);
    assert_eq!(space.store(at, 1), Ok(()));
    assert_eq!(space.store(at + 2 * PAGE, 1), Err(Refusal::NoRight(RO)));
    assert_eq!(space.store(at + 4 * PAGE, 1), Ok(()), "behind the hole nothing changed");
    // The hole comes first: nothing changes.
    assert_eq!(errno(space.mprotect(at + 3 * PAGE, 2 * PAGE, RO)), Errno::NoMemory);
    assert_eq!(space.store(at + 4 * PAGE, 1), Ok(()));
}

#[test]
fn stores_to_what_was_opened_to_be_read_are_refused_from_there_on() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 6));
    let place = |nth| Placement::Exactly(vm::MMAP + nth * PAGE);
    let no_write = VmaKind { no_write: Some(Errno::NoAccess), ..kind(RO) };
    map(&space, &file, 0, 1, place(0), kind(RO)).unwrap();
    map(&space, &file, 1, 1, place(1), no_write).unwrap();
    map(&space, &file, 2, 1, place(2), kind(RO)).unwrap();
    assert_eq!(errno(space.mprotect(vm::MMAP, 3 * PAGE, RW)), Errno::NoAccess);
    let stores = [0, 1, 2].map(|nth| space.store(vm::MMAP + nth * PAGE, 1).is_ok());
    assert_eq!(stores, [true, false, false]);
    // Private stores do not reach the file.
    map(&space, &file, 3, 1, place(3), VmaKind { private: true, ..no_write }).unwrap();
    space.mprotect(vm::MMAP + 3 * PAGE, PAGE, RW).unwrap();
    assert_eq!(space.store(vm::MMAP + 3 * PAGE, 1), Ok(()));
}

#[test]
fn an_area_grows_and_shrinks_in_its_place() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 9));
    let at = map(&space, &file, 1, 2, Placement::Any, kind(RW)).unwrap();
    assert_eq!(space.mremap(at, 2 * PAGE, 4 * PAGE, false, None), Ok(at));
    assert_eq!(space.listed(), [(at, 4, 1)]);
    assert_eq!(space.load(at + 3 * PAGE), Ok(word("f", 4)));
    assert_eq!(space.mremap(at, 4 * PAGE, PAGE, false, None), Ok(at));
    assert_eq!(space.listed(), [(at, 1, 1)]);
    assert_eq!(space.load(at + PAGE), Err(Refusal::NoVma));
    assert_eq!(space.mremap(at, PAGE, PAGE, false, None), Ok(at));
    // What grows up to what it continues is one with it.
    map(&space, &file, 4, 2, Placement::Exactly(at + 3 * PAGE), kind(RW)).unwrap();
    assert_eq!(space.mremap(at, PAGE, 3 * PAGE, false, None), Ok(at));
    assert_eq!(space.listed(), [(at, 5, 1)]);
    // From its middle there is no place.
    assert_eq!(errno(space.mremap(at, 2 * PAGE, 3 * PAGE, false, None)), Errno::NoMemory);
    // Up to the last page of the task's half, and not beyond.
    let last = map(&space, &file, 0, 1, Placement::Exactly(vm::TASK_END - 2 * PAGE), kind(RW)).unwrap();
    assert_eq!(space.mremap(last, PAGE, 2 * PAGE, false, None), Ok(last));
    assert_eq!(errno(space.mremap(last, 2 * PAGE, 3 * PAGE, false, None)), Errno::NoMemory);
}

#[test]
fn an_area_moves_with_its_copies_and_shared_pages_fault_in_again() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 8));
    let shared = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    let own = map(&space, &file, 4, 3, Placement::Any, private(RW)).unwrap();
    space.store(shared + PAGE, 70).unwrap();
    space.store(own + PAGE, 71).unwrap();
    assert_eq!(space.load(own), Ok(word("f", 4)));
    let copies = stage.memory.copies();
    // Something is in the way behind each: they move.
    let moved = space.mremap(own, 3 * PAGE, 4 * PAGE, true, None).unwrap();
    assert_eq!(moved, own, "nothing is behind it");
    let shared_moved = space.mremap(shared, 4 * PAGE, 6 * PAGE, true, None).unwrap();
    assert_ne!(shared_moved, shared);
    assert_eq!(space.load(shared + PAGE), Err(Refusal::NoVma));
    assert_eq!(space.load(shared_moved + PAGE), Ok(70));
    assert_eq!(space.load(shared_moved + 5 * PAGE), Ok(word("f", 5)));
    let to = shared_moved + 100 * PAGE;
    assert_eq!(space.mremap(own, 4 * PAGE, 2 * PAGE, true, Some(to)), Ok(to));
    assert_eq!(stage.memory.copies(), copies, "the copy itself moved");
    assert_eq!(space.load(own + PAGE), Err(Refusal::NoVma));
    assert_eq!((space.load(to), space.load(to + PAGE)), (Ok(word("f", 4)), Ok(71)));
    // The file knows the new place, and only that: a truncation takes the copy there.
    file.truncate(5 * PAGE).unwrap();
    assert_eq!(stage.memory.copies(), 0);
    assert!(matches!(space.load(to + PAGE), Err(Refusal::File(_))));
    // A part of a VMA moves out of it, over something else.
    let (start, first) = (shared_moved, map(&space, &file, 0, 1, Placement::Any, kind(RO)).unwrap());
    assert_eq!(space.mremap(start + PAGE, PAGE, PAGE, true, Some(first)), Ok(first));
    assert_eq!(space.load(first), Ok(70));
    assert_eq!(space.load(start + PAGE), Err(Refusal::NoVma));
    assert_eq!(space.load(start + 2 * PAGE), Ok(word("f", 2)));
    space.store(first, 72).unwrap();
}

#[test]
fn copies_that_find_no_table_at_the_new_place_stay_where_they_are() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let at = map(&space, &file, 0, 2, Placement::Any, private(RW)).unwrap();
    space.store(at + PAGE, 5).unwrap();
    stage.memory.leave(0);
    let to = vm::MMAP << 1;
    assert_eq!(errno(space.mremap(at, 2 * PAGE, 2 * PAGE, true, Some(to))), Errno::NoMemory);
    stage.memory.leave(100);
    assert_eq!(space.listed(), [(at, 2, 0)]);
    assert_eq!(space.load(at + PAGE), Ok(5));
}
