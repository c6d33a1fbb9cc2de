//! The registry of file-system types: a region tells which it holds, and nobody mounts what it does not hold.

use crate::common::{Image, Machine, expect_errno};
use fs::ext::layout::{S_MAGIC, SUPERBLOCK};
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, MountOptions, path};
use fs::{Errno, Error, Unsupported, registry};

fn detect(machine: &Machine, options: &MountOptions) -> fs::Result<&'static str> {
    registry::detect::<Machine>(&machine.ram, options).map(|kind| kind.name)
}

#[test]
fn each_type_is_found_by_its_name_and_no_name_is_there_twice() {
    let names = registry::all::<Machine>().map(|kind| kind.name);
    for name in names {
        assert_eq!(registry::find::<Machine>(name).map(|kind| kind.name), Some(name));
        assert_eq!(names.iter().filter(|other| **other == name).count(), 1);
    }
    assert!(registry::find::<Machine>("frob").is_none());
}

#[test]
fn a_region_is_mounted_as_what_its_magic_number_tells() {
    let image = Image::new(2048);
    let machine = Machine::new(Ram::from_bytes(&image.bytes()));
    assert_eq!(detect(&machine, &MountOptions::default()), Ok("ext2"));
    let fs = registry::mount(machine, MountOptions::default()).expect("a sound image");
    assert_eq!((fs.type_name(), fs.root().expect("a root").kind()), ("ext2", FileKind::Directory));
    fs.unmount().expect("unmount");
}

#[test]
fn what_no_type_recognises_is_refused_unchanged_whatever_type_is_asked_for() {
    let mut bytes = Image::new(2048).bytes();
    bytes[(SUPERBLOCK + S_MAGIC) as usize] ^= 1;
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let refused = registry::mount(machine.clone(), MountOptions::default()).err();
    assert_eq!(refused, Some(Error::Unsupported(Unsupported::Unrecognised)));
    for kind in registry::all::<Machine>() {
        let refused = (kind.mount)(machine.clone(), MountOptions::default()).err();
        let is_said =
            matches!(refused, Some(Error::Unsupported(Unsupported::Magic { of, .. })) if of == kind.name);
        assert!(is_said, "{}: {refused:?}", kind.name);
    }
    assert!(machine.ram.to_bytes() == bytes, "refused, but changed");
}

#[test]
fn a_magic_number_that_cannot_be_read_is_no_other_types() {
    let machine = Machine::new(Ram::from_bytes(&Image::new(2048).bytes()));
    machine.ram.poison.add(SUPERBLOCK + S_MAGIC, 1).expect("room");
    let told = detect(&machine, &MountOptions::default()).expect_err("it cannot be read");
    assert!(matches!(told, Error::Corrupt(what) if what.what == "superblock"), "{told}");
    let small = Machine::new(Ram::from_bytes(&[0; 1024]));
    assert!(matches!(detect(&small, &MountOptions::default()), Err(Error::Corrupt(_))));
}

#[test]
fn a_copy_of_the_superblock_tells_the_type_where_the_first_one_is_gone() {
    let mut bytes = Image::new(64 * 1024).bytes();
    bytes[SUPERBLOCK as usize..][..1024].fill(0);
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let unrecognised = Err(Error::Unsupported(Unsupported::Unrecognised));
    assert_eq!(detect(&machine, &MountOptions::default()), unrecognised);
    let copy = |kib| MountOptions { super_block: Some(kib), ..Default::default() };
    assert_eq!(detect(&machine, &copy(131_072)), Ok("ext2"));
    assert_eq!(detect(&machine, &copy(64)), unrecognised);
    expect_errno(detect(&machine, &copy(u64::MAX)), Errno::Invalid);
    let fs = registry::mount(machine, copy(131_072)).expect("the copy is whole");
    let found = path::resolve(&fs.root().expect("a root"), b"lost+found").expect("it is there");
    assert_eq!(found.kind(), FileKind::Directory);
    drop(found);
    fs.unmount().expect("unmount");
}
