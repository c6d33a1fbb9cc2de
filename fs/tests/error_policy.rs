//! What becomes of a file system that met a contradiction: as its superblock says, or as the mount is told.

use crate::common;
use crate::common::layout::{Layout, SUPERBLOCK};
use crate::common::{BLOCK, Image, Machine, at, create, expect_errno, pattern, read_all, session, write};
use fs::ext2::Ext2;
use fs::pmem::Pmem;
use fs::pmem::ram::Ram;
use fs::vfs::{Fallocate, FileKind, FileSystem, MountOptions, OnError};
use fs::{Errno, Error};
use std::sync::Arc;

const S_STATE: u64 = SUPERBLOCK + 0x3a;
const S_ERRORS: u64 = SUPERBLOCK + 0x3c;
const S_ERROR_COUNT: u64 = SUPERBLOCK + 0x194;

/// An image with a file `bad` that has a pointer out of range, and whose superblock says what to do when that
/// is met.
fn stage(errors: u8) -> (Image, Vec<u8>) {
    let image = Image::new(256);
    let number = session(&image, |fs| {
        write(&*create(fs, "good"), 0, &pattern(1, 5000));
        let bad = create(fs, "bad");
        write(&*bad, 0, &pattern(2, 3 * BLOCK as usize));
        bad.ino()
    });
    let mut bytes = image.bytes();
    let place = Layout::of(&bytes).pointer(&bytes, number, 1) as usize;
    bytes[place..place + 4].fill(0xff);
    bytes[S_ERRORS as usize] = errors;
    (image, bytes)
}

fn mounted(bytes: &[u8], on_error: Option<OnError>) -> (Machine, Arc<Ext2<Machine>>) {
    let machine = Machine::new(Ram::from_bytes(bytes));
    let options = MountOptions { on_error, ..MountOptions::default() };
    let fs = fs::ext2::mount(machine.clone(), options).unwrap_or_else(|error| panic!("{error}"));
    (machine, fs)
}

fn meet_it(fs: &Arc<Ext2<Machine>>) {
    let result = at(fs, "bad").read_at(BLOCK, &mut [0; 100]);
    assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
}

fn field(machine: &Machine, at: u64) -> u32 {
    common::layout::u32_at(&machine.ram.to_bytes(), at)
}

/// Whether the image says that it has errors.
fn says_so(machine: &Machine) -> bool {
    machine.ram.to_bytes()[S_STATE as usize] & 2 != 0
}

#[test]
fn continue_goes_on_and_the_image_says_at_once_that_it_has_errors() {
    let (image, bytes) = stage(1);
    let (machine, fs) = mounted(&bytes, None);
    assert!(!says_so(&machine));
    meet_it(&fs);
    assert!(says_so(&machine) && !fs.read_only());
    meet_it(&fs);
    assert_eq!(field(&machine, S_ERROR_COUNT), 2);
    write(&*create(&fs, "new"), 0, &pattern(3, 5000));
    // As tune2fs shows it.
    let mut shown = Vec::new();
    fs.describe(&mut |name, value| shown.push((name, value))).expect("describe");
    let text = |wanted: &str| {
        let found = shown.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| match value {
            fs::vfs::Field::Text(text) => text.clone(),
            fs::vfs::Field::Time(time) => time.to_string(),
        })
    };
    assert_eq!(text("FS Error count:").as_deref(), Some("2"));
    assert_eq!(text("First error function:").as_deref(), Some("inode"));
    assert_eq!(text("Last error inode #:"), Some(at(&fs, "bad").ino().to_string()));
    fs.unmount().expect("unmount");
    drop(fs);
    assert_eq!(machine.ram.to_bytes()[S_STATE as usize], 2, "not clean, with errors");
    // So e2fsck looks at it though nobody forces it to.
    image.store(&machine);
    assert!(image.check().contains("contains a file system with errors"));
}

#[test]
fn remount_ro_ends_all_changes_and_leaves_the_image_as_it_is() {
    for (errors, on_error) in [(2, None), (1, Some(OnError::ReadOnly)), (0, None)] {
        let (_, bytes) = stage(errors);
        let (machine, fs) = mounted(&bytes, on_error);
        // Blocks beyond an end, and a file without a name, that would be freed with their last handles.
        let ahead = create(&fs, "ahead");
        ahead.fallocate(Fallocate::Allocate { keep_size: true }, 0, 3 * BLOCK).expect("fallocate");
        let gone = create(&fs, "gone");
        write(&*gone, 0, &pattern(4, 5000));
        common::unlink(&fs, "gone").expect("unlink");
        meet_it(&fs);
        assert!(fs.read_only() && says_so(&machine), "errors={errors}");
        let then = machine.ram.to_bytes();
        let root = fs.root().expect("root");
        expect_errno(root.create(b"new", FileKind::File, 0o644).map(drop), Errno::ReadOnly);
        expect_errno(at(&fs, "good").write_at(0, b"x"), Errno::ReadOnly);
        expect_errno(root.unlink(b"good"), Errno::ReadOnly);
        let view = common::View::new(&at(&fs, "good"), 0..2);
        expect_errno(view.store(0, b"x"), Errno::ReadOnly);
        assert_eq!(read_all(&*at(&fs, "good")), pattern(1, 5000));
        drop((ahead, gone, root, view));
        assert!(fs.remount(false).is_err(), "it is to be repaired first");
        fs.unmount().expect("unmount");
        drop(fs);
        assert!(machine.ram.to_bytes() == then, "errors={errors}: it was changed after it was stopped");
    }
}

#[test]
fn the_mount_option_and_a_remount_have_the_last_word() {
    let (_, bytes) = stage(2);
    let (machine, fs) = mounted(&bytes, Some(OnError::Continue));
    meet_it(&fs);
    assert!(!fs.read_only() && says_so(&machine));
    assert_eq!(fs.set_on_error(OnError::ReadOnly), Ok(OnError::Continue), "it tells what was");
    meet_it(&fs);
    assert!(fs.read_only());
}

/// What a platform that lives on is told.
#[test]
fn panic_is_told_to_the_platform_after_the_image_says_so() {
    let (_, bytes) = stage(3);
    let rig = Machine::new(Ram::from_bytes(&bytes));
    let fs = common::mount(rig.clone());
    let seen = rig.kit.fatal.clone();
    let result = at(&fs, "bad").read_at(BLOCK, &mut [0; 100]);
    assert!(matches!(result, Err(Error::Corrupt(_))));
    assert_eq!(seen.lock().expect("the list").as_slice(), [2], "the state on the image when it was told");
    assert!(fs.read_only());
}

#[test]
fn nothing_is_written_to_what_is_read_only_or_frozen() {
    let (_, bytes) = stage(2);
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let fs = common::mount_read_only(machine.clone());
    meet_it(&fs);
    drop(fs);
    assert!(machine.ram.to_bytes() == bytes);
    let (machine, fs) = mounted(&bytes, Some(OnError::Continue));
    fs.freeze().expect("freeze");
    let frozen = machine.ram.to_bytes();
    meet_it(&fs);
    assert!(machine.ram.to_bytes() == frozen);
    fs.thaw().expect("thaw");
    assert!(says_so(&machine), "it is made up for");
}

#[test]
fn a_failed_write_is_noted_once() {
    let (_, bytes) = stage(1);
    let (machine, fs) = mounted(&bytes, None);
    let result = at(&fs, "bad").write_at(BLOCK, b"x");
    assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
    assert_eq!(field(&machine, S_ERROR_COUNT), 1);
}

/// Whoever freezes or remounts meets errors himself, in what was stored through mappings, and cannot tell
/// them then.
#[test]
fn an_error_met_while_freezing_or_remounting_is_told_when_that_is_over() {
    for (errors, remounts) in [(1, false), (1, true), (2, false), (2, true)] {
        let (_, bytes) = stage(errors);
        let (machine, fs) = mounted(&bytes, None);
        let file = at(&fs, "good");
        let view = common::View::new(&file, 0..2);
        view.store(BLOCK, b"stored").expect("store");
        let place = Layout::of(&bytes).pointer(&bytes, file.ino(), 1);
        machine.ram.store_u32(place, u32::MAX);
        let result = if remounts { fs.remount(true) } else { fs.freeze() };
        assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
        assert!(says_so(&machine), "errors={errors}, remounts: {remounts}");
        assert_eq!(fs.read_only(), errors == 2);
    }
}

/// Somebody else meets one while it is frozen, and stops it; and the thaw.
#[test]
fn an_error_that_stops_a_frozen_file_system_is_told_by_the_thaw() {
    let (_, bytes) = stage(2);
    let (machine, fs) = mounted(&bytes, None);
    fs.freeze().expect("freeze");
    let frozen = machine.ram.to_bytes();
    meet_it(&fs);
    assert!(fs.read_only() && machine.ram.to_bytes() == frozen);
    fs.thaw().expect("thaw");
    assert!(says_so(&machine));
}
