//! Where VMAs are placed, and which are one.

use super::*;
use vm::{MMAP, TASK_END, TASK_START};

#[test]
fn areas_go_upwards_with_a_page_between_them_and_then_into_the_first_gap() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let one = map(&space, &file, 0, 2, Placement::Any, kind(RW)).unwrap();
    let two = map(&space, &file, 0, 3, Placement::Any, kind(RW)).unwrap();
    let three = map(&space, &file, 0, 1, Placement::Any, kind(RW)).unwrap();
    assert_eq!((one, two, three), (MMAP, MMAP + 3 * PAGE, MMAP + 7 * PAGE));
    // At the top there is no room any more.
    map(&space, &file, 0, 1, Placement::Exactly(TASK_END - PAGE), kind(RW)).unwrap();
    space.munmap(two, 3 * PAGE).unwrap();
    // Three pages and a guard page each side: four do not fit.
    let four = map(&space, &file, 0, 4, Placement::Any, kind(RW)).unwrap();
    assert_eq!(four, three + 2 * PAGE);
    assert_eq!(map(&space, &file, 0, 3, Placement::Any, kind(RW)), Ok(two));
}

#[test]
fn what_has_room_for_2_mib_pages_lies_as_its_file_does() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.sparse("f", 4096));
    for first in [0, 1, 511, 512, 700] {
        let at = map(&space, &file, first, 512, Placement::Any, kind(RW)).unwrap();
        assert_eq!(at % LARGE, first * PAGE % LARGE, "page {first}");
        let small = map(&space, &file, first, 511, Placement::Any, kind(RW)).unwrap();
        assert_eq!(small, at + 513 * PAGE, "no room for one");
    }
}

#[test]
fn a_wish_is_met_where_nothing_is() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let wish = TASK_START + 5 * PAGE;
    assert_eq!(map(&space, &file, 0, 2, Placement::Near(wish + 100), kind(RW)), Ok(wish), "in whole pages");
    assert_eq!(map(&space, &file, 0, 2, Placement::Near(wish + PAGE), kind(RW)), Ok(MMAP), "it is taken");
    for nowhere in [0, TASK_START - PAGE, TASK_END - PAGE, u64::MAX] {
        let at = map(&space, &file, 0, 2, Placement::Near(nowhere), kind(RW)).unwrap();
        assert!(at >= MMAP, "{nowhere:#x} is no task's");
    }
    assert_eq!(map(&space, &file, 0, 2, Placement::Near(TASK_START), kind(RW)), Ok(TASK_START));
    assert_eq!(
        map(&space, &file, 0, 2, Placement::Near(TASK_END - 2 * PAGE), kind(RW)),
        Ok(TASK_END - 2 * PAGE)
    );
}

#[test]
fn a_full_address_space_says_so() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 1));
    // The longest VMA that a file's index covers.
    let most = fs::vfs::index::MAX_PAGES;
    let fit = (TASK_END - MMAP) / (most * PAGE + PAGE);
    for nth in 0..fit {
        map(&space, &file, 0, most, Placement::Any, kind(RW))
            .unwrap_or_else(|error| panic!("VMA {nth}: {error}"));
    }
    assert_eq!(errno(map(&space, &file, 0, most, Placement::Any, kind(RW))), fs::Errno::NoMemory);
}

#[test]
fn an_area_that_is_cut_shows_the_same_pages_as_before() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 8));
    let at = map(&space, &file, 0, 8, Placement::Any, kind(RW)).unwrap();
    for page in 0..8 {
        assert_eq!(space.load(at + page * PAGE), Ok(word("f", page)));
    }
    space.munmap(at + 3 * PAGE, 2 * PAGE).unwrap();
    assert_eq!(space.listed(), [(at, 3, 0), (at + 5 * PAGE, 3, 5)]);
    assert_eq!(space.count(at, 8 * PAGE).small, 6, "what is left stays in the page tables");
    for page in 0..8 {
        let gone = (3..5).contains(&page);
        let wanted = if gone { Err(vm::Refusal::NoVma) } else { Ok(word("f", page)) };
        assert_eq!(space.load(at + page * PAGE), wanted, "page {page}");
    }
    // Across a hole, from one VMA into the other; and where nothing is.
    space.munmap(at + 2 * PAGE, 4 * PAGE).unwrap();
    space.munmap(at + 3 * PAGE, PAGE).unwrap();
    assert_eq!(space.listed(), [(at, 2, 0), (at + 6 * PAGE, 2, 6)]);
    assert!(is_mapped(&*file));
    space.munmap(at - PAGE, 10 * PAGE).unwrap();
    assert_eq!(space.listed(), []);
    assert!(!is_mapped(&*file));
    assert_eq!(stage.memory.tables(), 1, "the root alone is left");
}

#[test]
fn areas_that_go_on_in_every_respect_are_one() {
    let stage = Stage::new();
    let (space, file, other) = (stage.space(), stage.file("f", 8), stage.file("g", 8));
    let at = MMAP;
    let place = |nth: u64| Placement::Exactly(at + nth * PAGE);
    map(&space, &file, 0, 2, place(0), kind(RW)).unwrap();
    map(&space, &file, 4, 2, place(4), kind(RW)).unwrap();
    assert_eq!(space.listed().len(), 2);
    map(&space, &file, 2, 2, place(2), kind(RW)).unwrap();
    assert_eq!(space.listed(), [(at, 6, 0)], "joined on both sides");
    for page in 0..6 {
        assert_eq!(space.load(at + page * PAGE), Ok(word("f", page)));
    }
    // Another page than the next, another file, other rights, no huge pages, copies, another name.
    map(&space, &file, 0, 1, place(6), kind(RW)).unwrap();
    map(&space, &other, 1, 1, place(7), kind(RW)).unwrap();
    map(&space, &other, 2, 1, place(8), kind(RO)).unwrap();
    map(&space, &other, 3, 1, place(9), VmaKind { large: false, ..kind(RO) }).unwrap();
    map(&space, &other, 4, 1, place(10), VmaKind { private: true, large: false, ..kind(RO) }).unwrap();
    let name = Arc::from("another");
    let kind = VmaKind { private: true, large: false, ..kind(RO) };
    let (offset, len, at) = (5 * PAGE, PAGE, place(11));
    space.map(&MapRequest { file: &other, name: &name, offset, len, at, kind, populate: false }).unwrap();
    assert_eq!(space.listed().len(), 7);
}

#[test]
fn what_is_mapped_over_is_gone_and_the_rest_stays() {
    let stage = Stage::new();
    let (space, file, other) = (stage.space(), stage.file("f", 6), stage.file("g", 6));
    let at = map(&space, &file, 0, 6, Placement::Any, kind(RW)).unwrap();
    for page in 0..6 {
        space.store(at + page * PAGE + 8, 77).unwrap();
    }
    assert_eq!(map(&space, &other, 1, 2, Placement::Exactly(at + 2 * PAGE), kind(RW)), Ok(at + 2 * PAGE));
    assert_eq!(space.listed(), [(at, 2, 0), (at + 2 * PAGE, 2, 1), (at + 4 * PAGE, 2, 4)]);
    let shown: Vec<_> = (0..6).map(|page| space.load(at + page * PAGE).unwrap()).collect();
    let wanted = [word("f", 0), word("f", 1), word("g", 1), word("g", 2), word("f", 4), word("f", 5)];
    assert_eq!(shown, wanted);
    assert_eq!(space.load(at + 2 * PAGE + 8), Ok(0), "what was stored is the other file's");
    // All of it: the first file is mapped nowhere any more.
    map(&space, &other, 0, 6, Placement::Exactly(at), kind(RW)).unwrap();
    assert!(!is_mapped(&*file) && is_mapped(&*other));
    let mut bytes = [0; 8];
    file.read_at(2 * PAGE + 8, &mut bytes).unwrap();
    assert_eq!(u64::from_le_bytes(bytes), 77, "a shared store is the file's");
}
