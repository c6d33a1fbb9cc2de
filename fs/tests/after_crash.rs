//! What a crash or a failed truncation left beyond the end of a file never comes back; a directory grows
//! again; a refused unmount leaks nothing; a contradiction met halfway is noted.

use crate::common;
use crate::common::hostile::{inode_of, sound_image};
use crate::common::layout::Layout;
use crate::common::{BLOCK, Image, Machine, create, mount, pattern, read_all, read_range, write};
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::{FileKind, FileSystem};
use std::cell::RefCell;
use std::sync::{Arc, Mutex};

type Hook = Box<dyn FnMut() -> bool>;
thread_local! {
    static ON_FENCE: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

fn watch(_: &Ram, touch: RamAccess<'_>) {
    if let (RamAccess::Fence, Some(mut hook)) = (touch, ON_FENCE.take())
        && hook()
    {
        ON_FENCE.set(Some(hook));
    }
}

#[test]
fn a_directory_grows_again_after_any_crash() {
    let image = Image::new(512);
    let name = |n: u32| format!("d/{n:0200}");
    common::session(&image, |fs| {
        common::mkdir(fs, "d");
        for n in 0..19 {
            create(fs, &name(n));
        }
    });
    let rig = Machine::new(Ram::watched(&image.bytes(), watch));
    let fs = mount(rig.clone());
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let (c2, p2) = (crashes.clone(), rig.ram.clone());
    ON_FENCE.set(Some(Box::new(move || {
        c2.lock().unwrap().push(p2.to_bytes());
        true
    })));
    create(&fs, &name(100));
    ON_FENCE.set(None);
    for (at, crash) in crashes.lock().unwrap().iter().enumerate() {
        let fs = mount(Machine::new(Ram::from_bytes(crash)));
        for n in 200..230 {
            let d = common::at(&fs, "d");
            let r = d.create(format!("{n:0200}").as_bytes(), FileKind::File, 0o644).map(|_| ());
            assert_eq!(r, Ok(()), "after a crash at fence {at}");
        }
    }
}

#[test]
fn a_crash_in_truncate_brings_nothing_back() {
    let image = Image::new(512);
    common::session(&image, |fs| write(&*create(fs, "f"), 0, &pattern(1, 20 * 4096)));
    let rig = Machine::new(Ram::watched(&image.bytes(), watch));
    let fs = mount(rig.clone());
    let file = common::at(&fs, "f");
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let (c2, p2) = (crashes.clone(), rig.ram.clone());
    ON_FENCE.set(Some(Box::new(move || {
        c2.lock().unwrap().push(p2.to_bytes());
        true
    })));
    file.truncate(0).unwrap();
    ON_FENCE.set(None);
    for (n, crash) in crashes.lock().unwrap().iter().enumerate() {
        let fs = mount(Machine::new(Ram::from_bytes(crash)));
        let f = common::at(&fs, "f");
        if f.attr().size != 0 {
            continue;
        }
        f.truncate(20 * BLOCK).unwrap();
        assert!(
            read_all(&*f).iter().all(|b| *b == 0),
            "crash at fence {n}: truncated data is back after mount + grow"
        );
    }
}

#[test]
fn an_append_that_a_crash_lost_does_not_come_back() {
    let image = Image::new(512);
    common::session(&image, |fs| write(&*create(fs, "f"), 0, &pattern(1, 4096)));
    let rig = Machine::new(Ram::watched(&image.bytes(), watch));
    let fs = mount(rig.clone());
    let f = common::at(&fs, "f");
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let (c2, p2) = (crashes.clone(), rig.ram.clone());
    ON_FENCE.set(Some(Box::new(move || {
        c2.lock().unwrap().push(p2.to_bytes());
        true
    })));
    write(&*f, 4096, &[0xAA; 4096]);
    ON_FENCE.set(None);
    let mut all = crashes.lock().unwrap().clone();
    all.push(rig.ram.to_bytes());
    for (at, crash) in all.iter().enumerate() {
        let fs = mount(Machine::new(Ram::from_bytes(crash)));
        let f = common::at(&fs, "f");
        if f.attr().size != 4096 {
            continue;
        }
        write(&*f, 4096 + 100, b"x");
        assert!(read_range(&*f, 4096, 100).iter().all(|b| *b == 0), "after a crash at fence {at}");
    }
}

#[test]
fn a_failed_truncate_brings_nothing_back() {
    let image = sound_image();
    let layout = Layout::of(image);
    let mut bytes = image.to_vec();
    let at = layout.pointer(image, inode_of("long"), 9) as usize;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let fs = mount(Machine::new(Ram::from_bytes(&bytes)));
    let f = common::at(&fs, "long");
    let _ = f.truncate(BLOCK);
    let _ = f.truncate(8 * BLOCK);
    assert!(read_range(&*f, 2 * BLOCK, 4096).iter().all(|b| *b == 0), "cut data is back");
}

#[test]
fn a_refused_unmount_leaks_nothing() {
    let image = Image::new(2048);
    let machine = image.machine();
    let fs = mount(machine.clone());
    // Held from before the first unmount on: every one must be refused.
    let held = fs.root().unwrap();
    let root = &held;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let spurious = std::thread::scope(|s| {
        let t = s.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let _ = fs.unmount();
                std::thread::yield_now();
            }
        });
        let mut spurious = 0;
        for _ in 0..20_000 {
            match root.create(b"t", FileKind::File, 0o644) {
                Ok(f) => {
                    while root.unlink(b"t").is_err() {
                        spurious += 1;
                    }
                    drop(f);
                }
                Err(_) => spurious += 1,
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        t.join().unwrap();
        spurious
    });
    assert_eq!(spurious, 0);
    drop(held);
    fs.unmount().unwrap();
    drop(fs);
    image.store(&machine);
    image.expect_clean();
}

#[test]
fn a_contradiction_met_by_a_partial_write_is_noted() {
    let image = sound_image();
    let layout = Layout::of(image);
    let mut bytes = image.to_vec();
    let at = layout.pointer(image, inode_of("long"), 3) as usize;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let fs = mount(Machine::new(Ram::from_bytes(&bytes)));
    let r = common::at(&fs, "long").write_at(0, &[1; 5 * 4096]);
    assert!(fs.met_errors(), "{r:?} and nothing noted");
}
