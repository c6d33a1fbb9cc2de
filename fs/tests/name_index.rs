//! The name index and the inode cache: they save work, keep to their bounds, and change no answer.

use crate::common;
use crate::common::{BLOCK, Image, Machine, Scratch, View, at, create, mkdir, names, unlink};
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::{FileKind, FileSystem, InodeRef, MountOptions};
use fs::{Errno, Error};
use fuzz_exec::meter::allocations;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

fn mount_with<P: Platform>(platform: P, inodes: usize, bytes: usize) -> Arc<Ext2<P>> {
    let options = MountOptions {
        cached_inodes: Some(inodes),
        name_index_bytes: Some(bytes),
        ..MountOptions::default()
    };
    fs::ext2::mount(platform, options).expect("mount")
}

fn root<P: Platform>(fs: &Ext2<P>) -> InodeRef<P> {
    fs.root().expect("root")
}

#[test]
fn a_name_looked_up_again_allocates_nothing() {
    let image = Image::new(256);
    common::session(&image, |fs| {
        drop((mkdir(fs, "a"), mkdir(fs, "a/b"), create(fs, "a/b/file")));
        let look = || {
            let file = root(fs).lookup(b"a").and_then(|a| a.lookup(b"b")).and_then(|b| b.lookup(b"file"));
            file.expect("lookup").ino()
        };
        let ino = look();
        assert_eq!(allocations(look), (0, ino));
        // Without what is cached it is the same inode, and costs.
        assert!(fs.shrink() > 0 && fs.name_index_bytes() == 0);
        let (count, again) = allocations(look);
        assert!(count > 0 && again == ino, "shrink gave nothing back");
    });
}

#[test]
fn making_the_last_of_a_hundred_thousand_names_costs_what_the_first_did() {
    let image = Image::with(Scratch::new(), 4096, &["-N", "64"]);
    let loads = Arc::new(AtomicU64::new(0));
    let counting = loads.clone();
    let rig = Machine::new(Ram::watched(&image.bytes(), move |_, touch| {
        if matches!(touch, RamAccess::Load(_)) {
            counting.fetch_add(1, SeqCst);
        }
    }));
    let fs = mount_with(rig.clone(), 64, 16 << 20);
    // Links, so that few inodes do: 32,000 names each.
    let files: Vec<_> = (0..4).map(|number| create(&fs, &format!("f{number}"))).collect();
    let dir = mkdir(&fs, "d");
    let mut thousands = Vec::new();
    for number in 0..100_000u64 {
        if number.is_multiple_of(1000) {
            thousands.push(loads.load(SeqCst));
        }
        let file = &files[number as usize / 31_000];
        dir.link(format!("name-{number}").as_bytes(), file.ino()).expect("link");
    }
    thousands.push(loads.load(SeqCst));
    let cost = |at: usize| thousands[at + 1] - thousands[at];
    println!("loads of a thousand: {} at first, {} at last", cost(0), cost(99));
    assert!(cost(99) <= 2 * cost(0), "{} loads at first, {} at last", cost(0), cost(99));
    let before = loads.load(SeqCst);
    drop(dir.lookup(b"name-99999").expect("lookup"));
    assert!(loads.load(SeqCst) - before < 200);
    // Taken out and made again, the names find room where they were.
    let size = dir.attr().size;
    for number in (0..100_000).step_by(7) {
        dir.unlink(format!("name-{number}").as_bytes()).expect("unlink");
    }
    let before = loads.load(SeqCst);
    for number in (0..100_000u64).step_by(7) {
        dir.link(format!("name-{number}").as_bytes(), files[number as usize / 31_000].ino()).expect("link");
    }
    assert_eq!(dir.attr().size, size);
    println!("loads of a name made in a gap: {}", (loads.load(SeqCst) - before) / 14_286);
    assert_eq!(names(&*dir).len(), 100_002);
    drop((dir, files));
    fs.unmount().expect("unmount");
    image.store_bytes(&rig.ram.to_bytes());
    image.expect_clean();
}

#[test]
fn threads_agree_whatever_little_is_cached() {
    for (inodes, bytes) in [(0, 0), (1, 3000), (20, 100_000)] {
        let image = Image::with(Scratch::new(), 2048, &["-N", "2048"]);
        let machine = image.machine();
        let fs = mount_with(machine.clone(), inodes, bytes);
        for number in 0..3 {
            drop(mkdir(&fs, &format!("d{number}")));
        }
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let fs = &fs;
                scope.spawn(move || {
                    for step in 0..300u64 {
                        let dir = at(fs, &format!("d{}", step % 3));
                        let name = format!("{thread}-{step}{}", "x".repeat((step * 37 % 150) as usize));
                        let made = dir.create(name.as_bytes(), FileKind::File, 0o644).expect("create");
                        assert_eq!(dir.lookup(name.as_bytes()).expect("lookup").ino(), made.ino());
                        drop(made);
                        if step % 3 != 1 {
                            dir.unlink(name.as_bytes()).expect("unlink");
                            let gone = dir.lookup(name.as_bytes()).map(|_| ());
                            assert_eq!(gone, Err(Error::Op(Errno::NotFound)));
                        }
                        if step % 50 == 0 {
                            fs.shrink();
                        }
                        assert!(fs.name_index_bytes() <= bytes);
                    }
                });
            }
        });
        let total: usize = (0..3).map(|number| names(&*at(&fs, &format!("d{number}"))).len() - 2).sum();
        assert_eq!((total, fs.met_errors()), (400, false));
        fs.unmount().expect("unmount");
        drop(fs);
        image.store(&machine);
        image.expect_clean();
    }
}

#[test]
fn positions_stay_while_the_directory_changes_between_the_steps() {
    let image = Image::with(Scratch::new(), 512, &["-N", "1024"]);
    common::session(&image, |fs| {
        let dir = mkdir(fs, "d");
        let name = |number: usize| format!("{number:03}{}", "y".repeat(number % 40));
        for number in 0..300 {
            drop(create(fs, &format!("d/{}", name(number))));
        }
        let (mut from, mut seen, mut step) = (0, Vec::new(), 0);
        loop {
            let mut next = None;
            let result = dir.read_dir(from, &mut |entry| {
                next = Some((entry.name.to_vec(), entry.next));
                ControlFlow::Break(())
            });
            result.expect("read_dir");
            let Some((found, position)) = next else { break };
            seen.push(found);
            from = position;
            // Two in three go somewhere on the way, and others come, short and long, in their place.
            if step < 300 && step % 3 != 0 {
                unlink(fs, &format!("d/{}", name(step))).expect("unlink");
                drop(create(fs, &format!("d/new{step}{}", "z".repeat(step % 90))));
            }
            step += 1;
            assert!(step < 5000, "no end");
        }
        let listed: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(listed.len(), seen.len(), "a name was listed twice");
        for number in (0..300).step_by(3) {
            assert!(listed.contains(name(number).as_bytes()), "{} stayed and was missed", name(number));
        }
    });
}

#[test]
fn an_inode_without_names_is_not_kept_and_a_dropped_file_system_goes() {
    let image = Image::new(256);
    common::session(&image, |fs| {
        let before = fs.stat_fs();
        for number in 0..20 {
            drop(create(fs, "f"));
            unlink(fs, "f").expect("unlink");
            assert_eq!(fs.stat_fs(), before, "after file {number}");
        }
    });
    let machine = image.machine();
    let fs = mount_with(machine.clone(), 100, 100_000);
    drop((mkdir(&fs, "d"), create(&fs, "d/f")));
    let ram = Arc::downgrade(&machine.ram);
    drop((fs, machine));
    assert!(ram.upgrade().is_none(), "what is cached keeps the file system that was dropped");
}

#[test]
fn what_was_stored_and_not_synced_is_flushed_when_its_inode_leaves_memory() {
    for (inodes, at_once) in [(0, true), (100, false)] {
        let image = Image::new(256);
        let machine = image.machine();
        let fs = mount_with(machine.clone(), inodes, 100_000);
        let file = create(&fs, "f");
        file.truncate(8 * BLOCK).expect("truncate");
        let view = View::new(&file, 0..8);
        for page in [2, 3, 6] {
            view.store(page * BLOCK, b"not synced").expect("store");
        }
        drop(file);
        machine.stats().reset();
        let lines = || machine.stats().pmem_lines_flushed.get();
        drop(view);
        assert_eq!(lines(), if at_once { 3 * BLOCK / 64 } else { 0 });
        fs.unmount().expect("unmount");
        // The superblock's lines come on top.
        assert!(lines() >= 3 * BLOCK / 64, "unmount left pages behind");
    }
}
