//! A region as a device: every page of it mapped as it lies, by the largest pages, with nothing to allocate;
//! stored to only while nobody has mounted it for writing.

use crate::common;
use crate::common::{BLOCK, Machine, View, expect_errno, pattern, read_all, write};
use fs::block::Devices;
use fs::dax::{Outcome, Protocol};
use fs::platform::PageSize;
use fs::pmem::ram::Ram;
use fs::pmem::{Pmem, ram};
use fs::vfs::{Backing, Extent, Fallocate, FileKind, FileSystem, InodeRef, Seek, Transaction};
use fs::{Errno, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Two and a half runs of 2 MiB.
const SIZE: u64 = 5 << 20;

struct Stage {
    machine: Machine,
    devices: Devices<Machine>,
    file: InodeRef<Machine>,
    in_use: Arc<AtomicBool>,
}

fn stage() -> Stage {
    let machine = Machine::new(Ram::from_bytes(&pattern(1, SIZE as usize)));
    let in_use = Arc::new(AtomicBool::new(false));
    let asked = in_use.clone();
    let list =
        vec![(b"pmem0".to_vec(), machine.clone(), Box::new(move || asked.load(SeqCst)) as fs::block::InUse)];
    let devices = Devices::new(list).expect("a device");
    let file = devices.root().expect("the directory").lookup(b"pmem0").expect("the device");
    Stage { machine, devices, file, in_use }
}

#[test]
fn the_directory_lists_its_devices_and_nothing_is_made_in_it() {
    let stage = stage();
    let dir = stage.devices.root().expect("the directory");
    assert_eq!(common::names(&*dir), [&b"."[..], b"..", b"pmem0"]);
    assert_eq!((dir.kind(), stage.file.kind()), (FileKind::Directory, FileKind::BlockDevice));
    assert_eq!((stage.file.attr().size, stage.file.attr().device.major), (SIZE, 259));
    expect_errno(dir.lookup(b"pmem1").map(|_| ()), Errno::NotFound);
    expect_errno(dir.create(b"x", FileKind::File, 0o644).map(|_| ()), Errno::NotPermitted);
    expect_errno(dir.unlink(b"pmem0"), Errno::NotPermitted);
    expect_errno(stage.file.lookup(b"x").map(|_| ()), Errno::NotDirectory);
    expect_errno(stage.devices.unmount(), Errno::Busy);
    assert!(Devices::<Machine>::new(Vec::new()).is_none());
}

#[test]
fn reading_and_writing_reach_the_region_as_it_lies() {
    let Stage { machine, file, .. } = stage();
    assert!(read_all(&*file) == machine.ram.to_bytes());
    write(&*file, 12_345, b"bytes");
    let mut back = [0; 5];
    machine.ram.read(12_345, &mut back);
    assert_eq!(&back, b"bytes");
    // At its end.
    assert_eq!(file.write_at(SIZE - 3, b"12345"), Ok(3));
    expect_errno(file.write_at(SIZE, b"x").map(|_| ()), Errno::NoSpace);
    assert_eq!(file.read_at(SIZE, &mut back), Ok(0));
    assert_eq!((file.seek(5, Seek::Data), file.seek(5, Seek::Hole)), (Ok(5), Ok(SIZE)));
    expect_errno(file.seek(SIZE, Seek::Data).map(|_| ()), Errno::NoSuchAddress);
    expect_errno(file.truncate(0), Errno::Invalid);
    assert!(matches!(file.fallocate(Fallocate::PunchHole, 0, BLOCK), Err(Error::Unsupported(_))));
    assert_eq!(common::allocated_pages(&*file).len() as u64, SIZE / BLOCK);
}

#[test]
fn it_is_mapped_by_the_largest_pages_and_asks_for_nothing() {
    for protocol in Protocol::SOUND {
        let Stage { machine, file, .. } = stage();
        let mut view = View::new(&file, 0..SIZE / BLOCK);
        (view.protocol, view.large) = (protocol, true);
        assert_eq!(view.fault_sized(3, true), Ok((Outcome::Block, PageSize::Large)));
        assert_eq!(view.fault_sized(700, false), Ok((Outcome::Block, PageSize::Large)));
        // The last piece is no whole 2 MiB.
        assert_eq!(view.fault_sized(1100, true), Ok((Outcome::Block, PageSize::Small)));
        assert_eq!(view.entry(3).map(|entry| entry.frame), Some(ram::BASE + 3 * BLOCK));
        view.store(5 * BLOCK, b"stored").expect("store");
        assert_eq!(view.msync(), Ok(512 + 1));
        let stats = machine.ram.stats();
        assert_eq!((stats.device_retry.get(), stats.fault_retry.get()), (0, 0));
        drop(view);
    }
}

#[test]
fn a_fault_that_asks_it_to_allocate_is_counted_and_refused() {
    let Stage { machine, file, .. } = stage();
    let exclusive = file.mapping().exclusive();
    for pages in [1, 512] {
        let refused = file.look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), 0, pages);
        assert!(matches!(refused, Err(Error::Unsupported(_))));
    }
    assert_eq!(machine.ram.stats().device_retry.get(), 2);
    let found = |page| file.look_up(exclusive.held(), page, 512).expect("nothing can be wrong");
    assert_eq!(found(512), Extent { offset: 2 << 20, len: 2 << 20, backing: Backing::mapped(2 << 20) });
    assert!(found(1024).len < 2 << 20, "the device ends there");
}

#[test]
fn while_it_is_mounted_for_writing_it_is_read_only() {
    let Stage { machine, devices, file, in_use } = stage();
    let view = View::new(&file, 0..10);
    view.store(0, b"mine").expect("store");
    in_use.store(true, SeqCst);
    devices.protect(ram::BASE).expect("protect");
    assert!(!view.entry(0).expect("an entry").writable);
    expect_errno(view.store(0, b"late"), Errno::Busy);
    expect_errno(file.write_at(0, b"late").map(|_| ()), Errno::Busy);
    assert_eq!(view.load_byte(0), Ok(b'm'));
    in_use.store(false, SeqCst);
    view.store(0, b"then").expect("store");
    drop(view);
    let unarmed = Machine::new(Ram::from_bytes(&machine.ram.to_bytes()).read_only());
    let list = vec![(b"d".to_vec(), unarmed, Box::new(|| false) as fs::block::InUse)];
    let file = Devices::new(list).expect("a device").root().expect("root").lookup(b"d").expect("it");
    expect_errno(file.write_at(0, b"x").map(|_| ()), Errno::ReadOnly);
}

#[test]
fn a_memory_error_is_read_mapped_and_overwritten_as_in_a_file() {
    let Stage { machine, devices, file, .. } = stage();
    let mut view = View::new(&file, 0..SIZE / BLOCK);
    view.large = true;
    assert_eq!(view.fault_sized(3, false), Ok((Outcome::Block, PageSize::Large)));
    machine.ram.poison.add(3 * BLOCK, 1).expect("room");
    devices.memory_failed_at(&(ram::BASE + 3 * BLOCK..ram::BASE + 3 * BLOCK + 1));
    assert!(view.entry(3).is_none());
    assert_eq!(view.fault(3, false), Err(Error::Poisoned(3 * BLOCK)));
    assert_eq!(view.fault_sized(4, false), Ok((Outcome::Block, PageSize::Small)));
    let mut back = [0; 8192];
    assert_eq!(file.read_at(2 * BLOCK, &mut back), Ok(BLOCK as usize));
    assert_eq!(file.read_at(3 * BLOCK, &mut back), Err(Error::Poisoned(3 * BLOCK)));
    assert_eq!(file.write_at(3 * BLOCK + 1, b"x"), Err(Error::Poisoned(3 * BLOCK)));
    write(&*file, 3 * BLOCK, &[5; 4096]);
    assert_eq!(view.load_byte(3 * BLOCK), Ok(5));
}
