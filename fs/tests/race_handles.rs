//! The last handle of an inode is dropped while another CPU asks for the inode again: one number never has
//! two instances, with two locks, of which one knows nothing of what the other does.
//!
//! The dropping thread stops at its first access to the memory until the other one waits for it, or is done.

use crate::common;
use crate::common::rig::Point;
use crate::common::stage::Script;
use crate::common::{BLOCK, Image, Machine, View, create, pattern, read_all, unlink, write};
use fs::ext2::Ext2;
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::{FileSystem, InodeRef, MountOptions};
use std::cell::RefCell;
use std::sync::Arc;

type Hook = Box<dyn FnOnce()>;

thread_local! {
    static ON_LOAD: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

fn machine(image: &Image) -> Machine {
    Machine::new(Ram::watched(&image.bytes(), |_, touch| {
        if let (RamAccess::Load(_), Some(hook)) = (touch, ON_LOAD.take()) {
            hook();
        }
    }))
}

/// Mounts so that an inode goes with its last handle, as it does when the cache needs its place.
fn mount_uncached(machine: Machine) -> Arc<Ext2<Machine>> {
    let options = MountOptions { cached_inodes: Some(0), ..MountOptions::default() };
    fs::ext2::mount(machine, options).expect("mount")
}

/// Drops `file`; in the middle of it, another thread does `work`. True if that thread had to wait.
fn drop_beside(
    fs: &Arc<Ext2<Machine>>,
    file: InodeRef<Machine>,
    work: impl FnOnce(&Arc<Ext2<Machine>>) + Send + 'static,
) -> bool {
    let script = Script::default();
    let (other, fs) = (script.clone(), fs.clone());
    let (send, thread) = std::sync::mpsc::channel();
    ON_LOAD.set(Some(Box::new(move || {
        let waiting = other.clone();
        let work = std::thread::spawn(move || {
            let waits = waiting.clone();
            Point::Relaxes.hook(move || waits.say("it waits"));
            work(&fs);
            waiting.say("it is done");
        });
        other.wait(&["it waits", "it is done"]);
        send.send(work).expect("the test waits for it");
    })));
    drop(file);
    thread.recv().expect("the drop looked at the memory").join().expect("the other thread");
    script.said("it waits")
}

#[test]
fn an_inode_unlinked_beside_its_drop_is_freed_once() {
    let image = Image::new(512);
    common::session(&image, |fs| write(&*create(fs, "f"), 0, &pattern(1, 9000)));
    let rig = machine(&image);
    let fs = mount_uncached(rig.clone());
    let file = common::at(&fs, "f");
    // A dirty page gives the drop something to do.
    let view = View::new(&file, 0..1);
    view.store(0, b"hello").expect("store");
    drop(view);
    let waited = drop_beside(&fs, file, |fs| {
        unlink(fs, "f").expect("unlink");
        // It gets the number that was just freed.
        write(&*create(fs, "g"), 0, &pattern(2, 9000));
    });
    assert!(waited, "a second instance was made beside the first");
    assert!(!fs.met_errors());
    assert!(read_all(&*common::at(&fs, "g")) == pattern(2, 9000));
    fs.unmount().expect("unmount");
    image.store_bytes(&rig.ram.to_bytes());
    image.expect_clean();
}

#[test]
fn an_inode_opened_beside_its_drop_has_no_dirty_pages_left_behind() {
    let image = Image::new(512);
    common::session(&image, |fs| create(fs, "f").truncate(8 * BLOCK).expect("truncate"));
    let fs = mount_uncached(machine(&image));
    let file = common::at(&fs, "f");
    let view = View::new(&file, 0..8);
    view.store(3 * BLOCK, b"hello").expect("store");
    drop(view);
    // What the first instance knew to be dirty was flushed before fsync looks at the second one.
    let waited = drop_beside(&fs, file, |fs| {
        assert_eq!(fs::dax::fsync(&*common::at(fs, "f")), Ok(0));
    });
    assert!(waited, "fsync asked a second instance, which knows of no dirty page");
}
