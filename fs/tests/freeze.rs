//! Freezing, thawing, remounting; and pins that truncation waits for. Nothing here depends on how long
//! anything takes: a thread that should wait is given time to go wrong, and that it did not is only asserted
//! where it cannot have.

use crate::common;
use crate::common::{
    BLOCK, Image, Machine, Scratch, View, at, create, expect_errno, mkdir, mount, mount_read_only, pattern,
    read_all, rename, session, try_mount, unlink, write,
};
use fs::dax::Protocol;
use fs::ext2::Ext2;
use fs::lab::Mutant;
use fs::platform::Platform;
use fs::pmem::ram::Ram;
use fs::vfs::{Fallocate, FileSystem, InodeRef, SetAttr, SetXattr};
use fs::{Errno, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

type Fs = Arc<Ext2<Machine>>;

/// An image with a file of three pages, mounted.
fn stage() -> (Image, Machine, Fs, InodeRef<Machine>) {
    let image = Image::with(Scratch::new(), (16 << 20) / BLOCK, &["-m", "0"]);
    session(&image, |fs| {
        write(&*create(fs, "file"), 0, &pattern(1, 3 * BLOCK as usize));
        drop(mkdir(fs, "dir"));
    });
    let machine = image.machine();
    let fs = mount(machine.clone());
    let file = at(&fs, "file");
    (image, machine, fs, file)
}

/// Judges what is in memory now as it is: somebody took a copy.
#[track_caller]
fn expect_clean_copy(image: &Image, machine: &Machine) {
    image.store(machine);
    image.expect_clean();
}

/// Runs `work` on a thread while `meanwhile` runs here; `work` must not end before `meanwhile` has.
#[track_caller]
fn waits<T: Send>(work: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let result = work();
            done.store(true, SeqCst);
            result
        });
        thread::sleep(Duration::from_millis(30));
        assert!(!done.load(SeqCst), "it did not wait");
        meanwhile();
        thread.join().expect("the thread that waits")
    })
}

#[test]
fn a_frozen_file_system_is_clean_and_holds_what_was_stored_through_mappings() {
    let (image, machine, fs, file) = stage();
    let views = [View::new(&file, 0..3), View::new(&file, 0..3)];
    views[0].store(100, b"stored").expect("store");
    views[1].store(BLOCK, b"too").expect("store");
    fs.freeze().expect("freeze");
    // 1. No entry lets a store through.
    assert!(
        views.iter().all(|view| (0..3).all(|page| !view.entry(page).is_some_and(|entry| entry.writable)))
    );
    // 2. A copy is a sound file system that nobody has to repair.
    expect_clean_copy(&image, &machine);
    let copy = try_mount(Machine::new(Ram::from_bytes(&machine.ram.to_bytes()))).expect("mount");
    assert!(copy.was_clean());
    let bytes = read_all(&*at(&copy, "file"));
    assert_eq!((&bytes[100..106], &bytes[BLOCK as usize..][..3]), (&b"stored"[..], &b"too"[..]));
    // 3. Reading goes on; freezing again, and unmounting, do not.
    assert_eq!(read_all(&*file), bytes);
    assert_eq!(views[0].load_byte(100), Ok(b's'));
    assert_eq!(fs.sync(), Ok(()));
    expect_errno(fs.freeze(), Errno::Busy);
    expect_errno(fs.unmount(), Errno::Busy);
    fs.thaw().expect("thaw");
    expect_errno(fs.thaw(), Errno::Invalid);
    views[0].store(100, b"again!").expect("store");
    let crashed = try_mount(Machine::new(Ram::from_bytes(&machine.ram.to_bytes()))).expect("mount");
    assert!(!crashed.was_clean(), "thawed, it is in use again");
    drop((views, file));
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
}

#[test]
fn every_change_waits_for_the_thaw() {
    type Change = Box<dyn FnOnce(&Fs, &InodeRef<Machine>) + Send>;
    let changes: Vec<(&str, Change)> = vec![
        ("write", Box::new(|_, file| write(&**file, 5, b"new"))),
        ("truncate", Box::new(|_, file| file.truncate(10).expect("truncate"))),
        ("fallocate", Box::new(|_, file| file.fallocate(Fallocate::PunchHole, 0, BLOCK).expect("punch"))),
        ("create", Box::new(|fs, _| drop(create(fs, "new")))),
        ("mkdir", Box::new(|fs, _| drop(mkdir(fs, "new")))),
        (
            "symlink",
            Box::new(|fs, _| drop(fs.root().expect("root").symlink(b"link", b"to").expect("symlink"))),
        ),
        ("link", Box::new(|fs, file| fs.root().expect("root").link(b"second", file.ino()).expect("link"))),
        ("unlink", Box::new(|fs, _| unlink(fs, "file").expect("unlink"))),
        ("rmdir", Box::new(|fs, _| common::rmdir(fs, "dir").expect("rmdir"))),
        ("rename", Box::new(|fs, _| rename(fs, "file", "dir/moved").expect("rename"))),
        (
            "set_attr",
            Box::new(|_, file| {
                file.set_attr(&SetAttr { mode: Some(0o600), ..SetAttr::default() }).expect("chmod")
            }),
        ),
        ("set_xattr", Box::new(|_, file| file.set_xattr(b"user.x", b"y", SetXattr::Any).expect("set_xattr"))),
        ("a write fault", Box::new(|_, file| View::new(file, 0..3).store(7, b"stored").expect("store"))),
    ];
    for (name, change) in changes {
        let (image, machine, fs, file) = stage();
        fs.freeze().expect("freeze");
        let before = machine.ram.to_bytes();
        waits(
            || change(&fs, &file),
            || {
                assert!(machine.ram.to_bytes() == before, "{name} changed a frozen image");
                fs.thaw().expect("thaw");
            },
        );
        assert!(machine.ram.to_bytes() != before, "{name} changed nothing after the thaw");
        drop(file);
        fs.unmount().expect("unmount");
        expect_clean_copy(&image, &machine);
    }
}

#[test]
fn a_write_fault_that_ignores_the_freeze_is_seen_in_the_image() {
    let (_, machine, fs, file) = stage();
    let view = View::new(&file, 0..3);
    fs.freeze().expect("freeze");
    let before = machine.ram.to_bytes();
    machine.lab().add(Mutant::IgnoreFreeze);
    view.store(9, b"too early").expect("store");
    assert!(machine.ram.to_bytes() != before, "the mistake does no harm");
}

#[test]
fn what_is_let_go_while_frozen_is_freed_by_the_thaw() {
    let (image, machine, fs, file) = stage();
    let ahead = create(&fs, "ahead");
    ahead.fallocate(Fallocate::Allocate { keep_size: true }, 0, 4 * BLOCK).expect("room");
    unlink(&fs, "file").expect("unlink");
    let free = fs.stat_fs();
    fs.freeze().expect("freeze");
    let before = machine.ram.to_bytes();
    // An open file without a name: a copy needs a recovery, which finds it.
    let copy = try_mount(Machine::new(Ram::from_bytes(&before))).expect("mount");
    assert!(!copy.was_clean());
    drop((file, ahead));
    assert!(machine.ram.to_bytes() == before, "the last handle changed a frozen image");
    fs.thaw().expect("thaw");
    let now = fs.stat_fs();
    assert_eq!(now.inodes_free, free.inodes_free + 1);
    assert_eq!(now.blocks_free, free.blocks_free + 3 + 4);
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
}

#[test]
fn threads_change_things_while_others_freeze_and_thaw() {
    let (image, machine, fs, file) = stage();
    file.truncate(600 * BLOCK).expect("truncate");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..3u64 {
            let (fs, file, stop) = (&fs, &file, &stop);
            scope.spawn(move || {
                let mut view = View::new(file, 0..600);
                view.protocol = if number == 0 { Protocol::EntryLock } else { Protocol::ReadFirst };
                let mut step = 0;
                while !stop.load(SeqCst) {
                    step += 1;
                    let name = format!("{number}-{step}");
                    let made = create(fs, &name);
                    write(&*made, 0, &pattern(number, 5000));
                    made.fallocate(Fallocate::Allocate { keep_size: true }, 0, 5 * BLOCK).expect("room");
                    view.store((number * 200 + step % 200) * BLOCK, &[number as u8 + 1; 64]).expect("store");
                    unlink(fs, &name).expect("unlink");
                    drop(made);
                }
            });
        }
        for _ in 0..common::sample(6, 60) {
            fs.freeze().expect("freeze");
            let before = machine.ram.to_bytes();
            thread::sleep(Duration::from_millis(2));
            assert!(machine.ram.to_bytes() == before, "somebody changed a frozen image");
            fs.thaw().expect("thaw");
            thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, SeqCst);
    });
    drop(file);
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
}

#[test]
fn remounted_read_only_stores_are_refused_and_the_image_is_clean() {
    let (image, machine, fs, file) = stage();
    let view = View::new(&file, 0..3);
    view.store(1, b"before").expect("store");
    fs.remount(true).expect("remount");
    assert!(fs.read_only());
    expect_clean_copy(&image, &machine);
    let before = machine.ram.to_bytes();
    expect_errno(view.store(1, b"after!"), Errno::ReadOnly);
    expect_errno(file.write_at(0, b"x").map(|_| ()), Errno::ReadOnly);
    expect_errno(unlink(&fs, "file"), Errno::ReadOnly);
    assert_eq!(view.load_byte(1), Ok(b'b'));
    assert!(machine.ram.to_bytes() == before);
    // And back.
    fs.remount(false).expect("remount");
    view.store(1, b"after!").expect("store");
    write(&*create(&fs, "new"), 0, &pattern(3, 20_000));
    drop((view, file));
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
    assert_eq!(&image.cat("file")[1..7], b"after!");
}

#[test]
fn a_remount_is_refused_where_it_would_leave_something_undone() {
    // A file without a name could not go.
    let (image, machine, fs, file) = stage();
    unlink(&fs, "file").expect("unlink");
    expect_errno(fs.remount(true), Errno::Busy);
    assert!(!fs.read_only());
    drop(file);
    fs.remount(true).expect("remount");
    fs.remount(true).expect("it is");
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
    // Blocks beyond an end go.
    let fs = mount(machine.clone());
    let ahead = create(&fs, "ahead");
    ahead.fallocate(Fallocate::Allocate { keep_size: true }, 0, 4 * BLOCK).expect("room");
    fs.remount(true).expect("remount");
    expect_clean_copy(&image, &machine);
    drop((ahead, fs));
    // Mounted for reading at first: writable if it was clean.
    let fs = mount_read_only(machine.clone());
    fs.remount(false).expect("remount");
    write(&*create(&fs, "later"), 0, b"text");
    let crashed = machine.ram.to_bytes();
    fs.unmount().expect("unmount");
    expect_clean_copy(&image, &machine);
    // If not, it has to be repaired by a mount.
    let fs = mount_read_only(Machine::new(Ram::from_bytes(&crashed)));
    assert!(matches!(fs.remount(false), Err(Error::Unsupported(_))));
    let fs = mount_read_only(Machine::new(Ram::from_bytes(&crashed).read_only()));
    expect_errno(fs.remount(false), Errno::ReadOnly);
}

#[test]
fn what_frees_or_moves_pinned_pages_waits_and_holds_nothing() {
    type Change = Box<dyn FnOnce(&InodeRef<Machine>) + Send>;
    let changes: Vec<Change> = vec![
        Box::new(|file| file.truncate(BLOCK).expect("truncate")),
        Box::new(|file| file.fallocate(Fallocate::PunchHole, 0, 3 * BLOCK).expect("punch")),
        Box::new(|file| file.fallocate(Fallocate::CollapseRange, 0, BLOCK).expect("collapse")),
        Box::new(|file| file.fallocate(Fallocate::InsertRange, 0, BLOCK).expect("insert")),
    ];
    for change in changes {
        let (image, machine, fs, file) = stage();
        let view = View::new(&file, 0..3);
        file.mapping().index.pin(1..2).expect("memory");
        let before = view.file.attr().blocks;
        waits(
            || change(&file),
            || {
                let start = Instant::now();
                while machine.stats().pin_waits.get() == 0 {
                    assert!(
                        start.elapsed() < Duration::from_secs(100),
                        "it does not get to waiting for the pin"
                    );
                    thread::yield_now();
                }
                // Everything else goes on: faults, writes, a freeze even.
                view.store(2 * BLOCK, b"stored").expect("store");
                write(&*file, 5, b"written");
                fs.freeze().expect("freeze");
                fs.thaw().expect("thaw");
                assert_eq!(file.attr().blocks, before);
                file.mapping().index.unpin(&machine, 1..2);
            },
        );
        drop((view, file));
        fs.unmount().expect("unmount");
        expect_clean_copy(&image, &machine);
    }
}

#[test]
fn a_truncation_that_ignores_pins_frees_what_is_in_use() {
    let (_, machine, _fs, file) = stage();
    file.mapping().index.pin(1..2).expect("memory");
    machine.lab().add(Mutant::IgnorePins);
    let before = file.attr().blocks;
    file.truncate(0).expect("truncate");
    assert!(file.attr().blocks < before, "the mistake does no harm");
    file.mapping().index.unpin(&machine, 1..2);
}

#[test]
fn a_file_that_outgrows_its_place_stays_there_while_it_is_pinned() {
    let (_, machine, _fs, file) = stage();
    let place = |page| {
        let shared = file.mapping().shared();
        file.place(shared.held(), page).expect("sound").expect("a block")
    };
    let before = place(0);
    file.mapping().index.pin(0..1).expect("memory");
    write(&*file, 3 * BLOCK, &pattern(2, 100 * BLOCK as usize));
    assert_eq!(place(0), before);
    file.mapping().index.unpin(&machine, 0..1);
}
