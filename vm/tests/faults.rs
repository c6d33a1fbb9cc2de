//! Faults, and what is said of those that are refused.

use super::*;
use fs::{Errno, Error};
use paging::Access;
use vm::Refusal;

#[test]
fn a_fault_says_why_it_is_refused() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    assert_eq!(space.fault(vm::MMAP, Access::LOAD), Err(Refusal::NoArea), "there is none at all");
    let at = map(&space, &file, 0, 4, At::Any, kind(RO)).unwrap();
    assert_eq!(space.fault(at - 1, Access::LOAD), Err(Refusal::NoArea));
    assert_eq!(space.fault(at + 4 * PAGE, Access::LOAD), Err(Refusal::NoArea));
    assert_eq!(space.fault(at, Access::STORE), Err(Refusal::NoRight(RO)));
    assert_eq!(space.fault(at + 2 * PAGE, Access::LOAD), Err(Refusal::File(Error::Op(Errno::BeyondEnd))));
    assert_eq!(space.fault(at + PAGE + 4095, Access::LOAD), Ok(()));
    let write_only = Rights { read: false, write: true, exec: false };
    let at = map(&space, &file, 0, 1, At::Any, kind(write_only)).unwrap();
    assert_eq!(space.fault(at, Access::LOAD), Err(Refusal::NoRight(write_only)));
    assert_eq!(space.fault(at, Access::STORE), Ok(()));
    let told = [Refusal::NoArea, Refusal::NoRight(RO), Refusal::File(Errno::BeyondEnd.into())];
    let told = told.map(|refusal| refusal.to_string());
    assert_eq!(told[..2], ["nothing is mapped there", "the mapping allows r--"]);
    assert_eq!(told[2], Error::Op(Errno::BeyondEnd).to_string());
}

#[test]
fn a_hole_shows_zeros_until_somebody_stores() {
    let stage = Stage::new();
    let (one, two, file) = (stage.space(), stage.space(), stage.sparse("f", 2));
    let (here, there) = (
        map(&one, &file, 0, 2, At::Any, kind(RW)).unwrap(),
        map(&two, &file, 1, 1, At::Any, kind(RW)).unwrap(),
    );
    assert_eq!((one.load(here + PAGE), two.load(there)), (Ok(0), Ok(0)));
    one.store(here + PAGE, 5).unwrap();
    assert_eq!(two.load(there), Ok(5), "its zero page is gone, from its TLB too");
    let own = map(&two, &file, 0, 1, At::Any, private(RW)).unwrap();
    assert_eq!(two.load(own), Ok(0));
    two.store(own, 6).unwrap();
    assert_eq!((two.load(own), one.load(here)), (Ok(6), Ok(0)));
}

#[test]
fn memory_that_is_out_is_told_and_comes_back() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let at = map(&space, &file, 0, 2, At::Any, private(RW)).unwrap();
    let out = Err(Refusal::File(Errno::NoMemory.into()));
    stage.memory.leave(2);
    assert_eq!(space.store(at, 1), out, "no table");
    // The tables, then the copy.
    stage.memory.leave(3 - (stage.memory.tables() as u64 - 1));
    assert_eq!(space.store(at, 1), out, "no copy");
    assert_eq!(space.load(at).err(), None);
    stage.memory.leave(1);
    assert_eq!(space.store(at, 1), Ok(()));
    stage.memory.leave(0);
    assert_eq!(errno(Space::new(Hardware::new(&stage.memory)).map(drop)), Errno::NoMemory);
}

#[test]
fn what_is_mapped_is_listed() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 4));
    let at = space.mmap(&file, Protocol::default(), "a name", PAGE, 2 * PAGE, RO).unwrap();
    let areas = space.areas();
    let [area] = &areas[..] else { panic!("{} areas", areas.len()) };
    assert_eq!((area.start, area.len, area.offset, area.name.as_str()), (at, 2 * PAGE, PAGE, "a name"));
    assert_eq!(area.kind, kind(RO));
    assert!(std::ptr::eq(area.file.mapping(), file.mapping()));
    assert_eq!(kind(RO).to_string(), "r--s");
    assert_eq!(Kind { sync: true, large: false, ..private(RW) }.to_string(), "rw-p sync nohuge");
}
