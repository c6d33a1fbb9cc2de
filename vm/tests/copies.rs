//! Private copies: made, shared by a fork, kept from sight, let go.

use super::*;
use fs::Errno;
use vm::{Advice, Refusal};

#[test]
fn a_private_store_is_nobody_elses() {
    let stage = Stage::new();
    let (one, two, file) = (stage.space(), stage.space(), stage.file("f", 2));
    let at = map(&one, &file, 0, 2, Placement::Any, private(RW)).unwrap();
    let other = map(&two, &file, 0, 2, Placement::Any, kind(RW)).unwrap();
    one.store(at, 5).unwrap();
    assert_eq!(one.load(at + 8), Ok(0), "the rest is copied");
    assert_eq!((one.load(at), two.load(other)), (Ok(5), Ok(word("f", 0))));
    two.store(other + PAGE, 6).unwrap();
    assert_eq!(one.load(at + PAGE), Ok(6), "what is not copied is the file's");
    let count = one.count(at, 2 * PAGE);
    assert_eq!((count.small, count.copies), (2, 1));
    drop(one);
    assert_eq!(stage.memory.copies(), 0);
    assert!(is_mapped(&*file));
    drop(two);
    assert!(!is_mapped(&*file));
    assert_eq!(stage.memory.tables(), 0);
}

#[test]
fn a_fork_has_all_areas_and_shares_copies_until_one_stores() {
    let stage = Stage::new();
    let (parent, file) = (stage.space(), stage.file("f", 4));
    let shared = map(&parent, &file, 0, 2, Placement::Any, kind(RW)).unwrap();
    let own = map(&parent, &file, 2, 2, Placement::Any, private(RW)).unwrap();
    parent.store(own, 5).unwrap();
    parent.store(shared, 6).unwrap();
    let child = parent.fork().unwrap();
    assert_eq!(child.listed(), parent.listed());
    assert_eq!(stage.memory.copies(), 1);
    assert_eq!((child.load(own), child.load(shared)), (Ok(5), Ok(6)));
    // The parent's TLB knew its copy for stores.
    parent.store(own, 7).unwrap();
    assert_eq!(child.load(own), Ok(5));
    child.store(own, 8).unwrap();
    assert_eq!((parent.load(own), child.load(own)), (Ok(7), Ok(8)));
    child.store(shared, 9).unwrap();
    assert_eq!(parent.load(shared), Ok(9));
    // The file finds the child's pages too.
    file.truncate(0).unwrap();
    for space in [&parent, &child] {
        assert!(matches!(space.load(shared), Err(Refusal::File(_))));
        assert!(matches!(space.load(own), Err(Refusal::File(_))), "copies go with the page");
    }
    assert_eq!(stage.memory.copies(), 0);
    drop(parent);
    assert!(is_mapped(&*file));
    drop(child);
    assert!(!is_mapped(&*file));
}

#[test]
fn whoever_has_a_copy_last_keeps_it_without_another_copy() {
    let stage = Stage::new();
    let (parent, file) = (stage.space(), stage.file("f", 1));
    let at = map(&parent, &file, 0, 1, Placement::Any, private(RW)).unwrap();
    parent.store(at, 5).unwrap();
    let child = parent.fork().unwrap();
    drop(parent);
    child.store(at, 6).unwrap();
    assert_eq!((child.load(at), stage.memory.copies()), (Ok(6), 1));
}

#[test]
fn a_fork_without_memory_leaves_nothing() {
    let stage = Stage::new();
    let (parent, file) = (stage.space(), stage.file("f", 4));
    let at = map(&parent, &file, 0, 4, Placement::Any, private(RW)).unwrap();
    for page in 0..4 {
        parent.store(at + page * PAGE, 50 + page).unwrap();
    }
    let tables = stage.memory.tables();
    // The root, then a table less each time.
    for room in 0..4 {
        stage.memory.leave(room);
        assert_eq!(errno(parent.fork().map(drop)), Errno::NoMemory, "with {room} frames");
        stage.memory.leave(0);
        assert_eq!((stage.memory.tables(), stage.memory.copies()), (tables, 4));
        stage.memory.leave(100);
        for page in 0..4 {
            parent.store(at + page * PAGE, 50 + page).unwrap();
            assert_eq!(parent.load(at + page * PAGE), Ok(50 + page));
        }
        assert_eq!(stage.memory.copies(), 4, "nobody else has them: not copied again");
    }
    stage.memory.leave(4);
    let child = parent.fork().unwrap();
    assert_eq!(child.load(at), Ok(50));
}

#[test]
fn copies_that_may_not_be_seen_are_kept() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let at = map(&space, &file, 0, 2, Placement::Any, private(RW)).unwrap();
    space.store(at, 5).unwrap();
    space.mprotect(at, 2 * PAGE, NONE).unwrap();
    assert_eq!(space.load(at), Err(Refusal::NoRight(NONE)));
    assert_eq!(space.count(at, PAGE).copies, 1);
    let child = space.fork().unwrap();
    space.mprotect(at, 2 * PAGE, RO).unwrap();
    assert_eq!(space.load(at), Ok(5));
    assert_eq!(space.store(at, 6), Err(Refusal::NoRight(RO)));
    space.mprotect(at, 2 * PAGE, RW).unwrap();
    space.store(at, 7).unwrap();
    child.mprotect(at, 2 * PAGE, RW).unwrap();
    assert_eq!((child.load(at), space.load(at)), (Ok(5), Ok(7)));
}

#[test]
fn forgetting_shows_the_file_again() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = map(&space, &file, 0, 4, Placement::Any, private(RW)).unwrap();
    for page in 0..4 {
        space.store(at + page * PAGE, 5).unwrap();
    }
    let child = space.fork().unwrap();
    space.madvise(at + PAGE, 2 * PAGE, Advice::DontNeed).unwrap();
    let shown: Vec<_> = (0..4).map(|page| space.load(at + page * PAGE).unwrap()).collect();
    assert_eq!(shown, [5, word("f", 1), word("f", 2), 5]);
    assert_eq!(child.load(at + PAGE), Ok(5), "the child's is its own");
    assert_eq!(space.listed(), [(at, 4, 0)]);
    drop(child);
    assert_eq!(stage.memory.copies(), 2);
}

#[test]
fn a_punched_hole_leaves_copies_and_a_truncation_takes_them() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let own = map(&space, &file, 0, 2, Placement::Any, private(RW)).unwrap();
    let shared = map(&space, &file, 0, 2, Placement::Any, kind(RW)).unwrap();
    space.store(own, 5).unwrap();
    space.load(shared).unwrap();
    file.fallocate(fs::vfs::Fallocate::PunchHole, 0, PAGE).unwrap();
    assert_eq!((space.load(own), space.load(shared)), (Ok(5), Ok(0)));
    file.truncate(0).unwrap();
    file.truncate(2 * PAGE).unwrap();
    assert_eq!((space.load(own), space.load(shared)), (Ok(0), Ok(0)));
}
