//! What an operation did to metadata is durable when it returns, on the CPU that it ran on: a sync, or an
//! unmount, on another CPU lands none of its flushes.
//!
//! The watcher knows of several CPUs, one a thread: a fence lands what the same thread flushed, nothing else.

use crate::common;
use crate::common::durable::Durable;
use crate::common::{
    BLOCK, Image, Machine, View, create, mkdir, mount, pattern, read_all, read_range, rename, rmdir, unlink,
    write,
};
use fs::dax::Outcome;
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::pmem::ram::Ram;
use fs::vfs::{FileSystem, SetAttr};
use std::sync::{Arc, Mutex};

/// The file system as a power failure would leave it now.
fn after_crash(cpus: &Mutex<Durable>) -> Arc<Ext2<Machine>> {
    mount(Machine::new(Ram::from_bytes(&cpus.lock().expect("the watcher").durable)))
}

fn on_another_cpu<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(work).join().expect("the other CPU"))
}

#[test]
fn msync_finds_the_pointer_that_another_cpu_stored_durable() {
    let image = Image::new(512);
    common::session(&image, |fs| create(fs, "f").truncate(8 * BLOCK).expect("truncate"));
    let (cpus, rig) = Durable::watch(&image);
    let fs = mount(rig);
    let view = View::new(&common::at(&fs, "f"), 0..8);
    on_another_cpu(|| view.store(3 * BLOCK, b"hello").expect("store"));
    assert_eq!(view.msync(), Ok(1));
    assert_eq!(read_range(&*common::at(&after_crash(&cpus), "f"), 3 * BLOCK, 5), b"hello");
}

#[test]
fn fsync_finds_the_size_that_another_cpu_stored_durable() {
    let image = Image::new(512);
    common::session(&image, |fs| drop(create(fs, "f")));
    let (cpus, rig) = Durable::watch(&image);
    let fs = mount(rig);
    let file = common::at(&fs, "f");
    on_another_cpu(|| write(&*file, 0, b"hello"));
    fs::dax::fsync(&*file).expect("fsync");
    assert_eq!(read_all(&*common::at(&after_crash(&cpus), "f")), b"hello");
}

#[test]
fn every_operation_is_durable_on_return_for_a_known_number_of_fences() {
    let image = Image::new(512);
    common::session(&image, |fs| {
        write(&*create(fs, "old"), 0, &pattern(1, BLOCK as usize));
        drop(mkdir(fs, "d"));
    });
    let (cpus, rig) = Durable::watch(&image);
    let fs = mount(rig.clone());
    let file = common::at(&fs, "old");
    let view = View::new(&file, 0..64);
    let expect = |fences: u64, what: &str, work: &mut dyn FnMut()| {
        let before = rig.stats().pmem_fences.get();
        work();
        assert_eq!(rig.stats().pmem_fences.get() - before, fences, "fences of: {what}");
        let cpus = cpus.lock().expect("the watcher");
        let lost = (0..cpus.live.len()).find(|&at| cpus.live[at] != cpus.durable[at]);
        assert_eq!(lost.map(|at| format!("{at:#x}")), None, "not durable after: {what}");
    };
    let page = pattern(2, BLOCK as usize);
    expect(1, "overwrite 4 KiB", &mut || write(&*file, 0, &page));
    expect(3, "append 4 KiB", &mut || write(&*file, BLOCK, &page));
    expect(2, "grow", &mut || file.truncate(20 * BLOCK).expect("truncate"));
    expect(2, "write 4 KiB into a hole", &mut || write(&*file, 5 * BLOCK, &page));
    expect(2, "fault with allocation", &mut || assert_eq!(view.fault(7, true), Ok(Outcome::Allocated)));
    expect(3, "shrink", &mut || file.truncate(BLOCK).expect("truncate"));
    let mode = SetAttr { mode: Some(0o600), ..SetAttr::default() };
    expect(1, "chmod", &mut || file.set_attr(&mode).expect("set_attr"));
    expect(2, "create", &mut || drop(create(&fs, "new")));
    expect(3, "mkdir", &mut || drop(mkdir(&fs, "sub")));
    expect(3, "rename, new name", &mut || rename(&fs, "new", "d/new").expect("rename"));
    expect(2, "link", &mut || {
        fs.root().expect("root").link(b"new", common::at(&fs, "d/new").ino()).expect("link")
    });
    expect(2, "unlink, one of two names", &mut || unlink(&fs, "new").expect("unlink"));
    expect(2, "symlink, in the inode", &mut || {
        drop(fs.root().expect("root").symlink(b"fast", b"x").expect("symlink"))
    });
    expect(3, "unlink, a short symlink", &mut || unlink(&fs, "fast").expect("unlink"));
    expect(3, "unlink, an empty file freed", &mut || unlink(&fs, "d/new").expect("unlink"));
    expect(4, "rmdir", &mut || rmdir(&fs, "sub").expect("rmdir"));
    expect(2, "unlink, a file that is open", &mut || unlink(&fs, "old").expect("unlink"));
    drop(view);
    let mut last = Some(file);
    expect(2, "the last handle of a file without a name", &mut || drop(last.take()));
}
