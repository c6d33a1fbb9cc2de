//! Faults, and what is said of those that are refused.

use super::*;
use fs::{Errno, Error};
use paging::FaultCode;
use vm::Refusal;

#[test]
fn a_fault_says_why_it_is_refused() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    assert_eq!(space.fault(vm::MMAP, FaultCode::LOAD), Err(Refusal::NoVma), "there is none at all");
    let at = map(&space, &file, 0, 4, Placement::Any, kind(RO)).unwrap();
    assert_eq!(space.fault(at - 1, FaultCode::LOAD), Err(Refusal::NoVma));
    assert_eq!(space.fault(at + 4 * PAGE, FaultCode::LOAD), Err(Refusal::NoVma));
    assert_eq!(space.fault(at, FaultCode::STORE), Err(Refusal::NoRight(RO)));
    assert_eq!(space.fault(at + 2 * PAGE, FaultCode::LOAD), Err(Refusal::File(Error::Op(Errno::BeyondEnd))));
    assert_eq!(space.fault(at + PAGE + 4095, FaultCode::LOAD), Ok(()));
    let write_only = Rights { read: false, write: true, exec: false };
    let at = map(&space, &file, 0, 1, Placement::Any, kind(write_only)).unwrap();
    assert_eq!(space.fault(at, FaultCode::LOAD), Err(Refusal::NoRight(write_only)));
    assert_eq!(space.fault(at, FaultCode::STORE), Ok(()));
    let told = [Refusal::NoVma, Refusal::NoRight(RO), Refusal::File(Errno::BeyondEnd.into())];
    let told = told.map(|refusal| refusal.to_string());
    assert_eq!(told[..2], ["nothing is mapped there", "the mapping allows r--"]);
    assert_eq!(told[2], Error::Op(Errno::BeyondEnd).to_string());
}

#[test]
fn a_hole_shows_zeros_until_somebody_stores() {
    let stage = Stage::new();
    let (one, two, file) = (stage.space(), stage.space(), stage.sparse("f", 2));
    let (here, there) = (
        map(&one, &file, 0, 2, Placement::Any, kind(RW)).unwrap(),
        map(&two, &file, 1, 1, Placement::Any, kind(RW)).unwrap(),
    );
    assert_eq!((one.load(here + PAGE), two.load(there)), (Ok(0), Ok(0)));
    one.store(here + PAGE, 5).unwrap();
    assert_eq!(two.load(there), Ok(5), "its zero page is gone, from its TLB too");
    let own = map(&two, &file, 0, 1, Placement::Any, private(RW)).unwrap();
    assert_eq!(two.load(own), Ok(0));
    two.store(own, 6).unwrap();
    assert_eq!((two.load(own), one.load(here)), (Ok(6), Ok(0)));
}

#[test]
fn memory_that_is_out_is_told_and_comes_back() {
    let stage = Stage::new();
    let (space, file) = (stage.space(), stage.file("f", 2));
    let at = map(&space, &file, 0, 2, Placement::Any, private(RW)).unwrap();
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
    let vmas = space.vmas();
    let [vma] = &vmas[..] else { panic!("{} VMAs", vmas.len()) };
    assert_eq!((vma.start, vma.len, vma.offset, vma.name.as_str()), (at, 2 * PAGE, PAGE, "a name"));
    assert_eq!(vma.kind, kind(RO));
    assert!(std::ptr::eq(vma.file.mapping(), file.mapping()));
    assert_eq!(kind(RO).to_string(), "r--s");
    assert_eq!(VmaKind { sync: true, large: false, ..private(RW) }.to_string(), "rw-p sync nohuge");
}
