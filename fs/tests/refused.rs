//! Images that are not for us: a typed answer that says why, and not one byte changed.

use crate::common;
use crate::common::{
    Image, Machine, Scratch, at, create, expect_errno, mount, pattern, read_all, session, try_mount,
};
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, FileSystem, MountOptions};
use fs::{Errno, Error, Unsupported};

/// Tries to mount; asserts that it was refused and that the image is as it was.
fn refusal(bytes: &[u8]) -> Error {
    let machine = Machine::new(Ram::from_bytes(bytes));
    let Err(error) = try_mount(machine.clone()) else { panic!("it was mounted") };
    assert!(machine.ram.to_bytes() == bytes[..bytes.len() / 8 * 8], "refused, but changed");
    assert!(!error.to_string().is_empty());
    error
}

/// The bits of the features that it lacks.
fn missing(error: &Error) -> Option<u32> {
    match error {
        Error::Unsupported(Unsupported::Features(features)) => Some(features.bits),
        _ => None,
    }
}

fn made_with(options: &[&str]) -> Image {
    Image::with(Scratch::new(), 2048, options)
}

/// The smallest journal takes 1024 blocks.
fn with_journal() -> Image {
    Image::with(Scratch::new(), 4096, &["-O", "has_journal", "-J", "size=4"])
}

#[test]
fn what_is_no_ext2_is_not_called_corrupt() {
    for len in [2048, 4096, 1 << 20] {
        let other = |found| Error::Unsupported(Unsupported::Magic { of: "ext2", found });
        assert_eq!(refusal(&vec![0; len]), other(0), "{len} zeros");
        let noise = pattern(1, len);
        let magic = u16::from_le_bytes([noise[1024 + 0x38], noise[1024 + 0x39]]);
        let error = refusal(&noise);
        assert_eq!(error, other(magic.into()), "{len} random bytes");
        assert_eq!(error.to_string(), format!("no ext2 file system (bad magic number {magic:#x})"));
    }
}

#[test]
fn what_is_too_small_for_a_superblock_is_refused() {
    for len in [0, 8, 1024] {
        assert!(matches!(refusal(&vec![0; len]), Error::Corrupt(_)), "{len} zeros");
        assert!(matches!(refusal(&pattern(1, len)), Error::Corrupt(_)), "{len} random bytes");
    }
}

#[test]
fn a_truncated_image_is_called_corrupt() {
    let bytes = made_with(&[]).bytes();
    for len in [2048, 4096, 8192, bytes.len() / 2, bytes.len() - 4096] {
        assert!(matches!(refusal(&bytes[..len]), Error::Corrupt(_)), "{len} bytes of it");
    }
}

#[test]
fn features_that_change_the_format_are_refused_by_name() {
    for (feature, name) in [("extent", "extent"), ("inline_data", "inline_data"), ("encrypt", "encrypt")] {
        let error = refusal(&made_with(&["-O", feature]).bytes());
        assert!(matches!(error, Error::Unsupported(Unsupported::Features(_))), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let mut bytes = made_with(&[]).bytes();
    bytes[1024 + 0x60 + 3] |= 0x40;
    assert_eq!(missing(&refusal(&bytes)), Some(1 << 30));
}

#[test]
fn a_journal_that_needs_replaying_is_refused_where_nothing_may_be_changed() {
    let mut bytes = with_journal().bytes();
    bytes[1024 + 0x60] |= 4;
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    let error = fs::ext2::mount(machine.clone(), options).err().expect("it was mounted");
    assert_eq!(missing(&error), Some(4));
    assert!(error.to_string().ends_with("mount it for writing, or run e2fsck on the image)"), "{error}");
    assert!(machine.ram.to_bytes() == bytes, "refused, but changed");
}

#[test]
fn a_clean_journal_is_no_obstacle_and_stays() {
    let image = with_journal();
    session(&image, |fs| common::write(&*create(fs, "f"), 0, &pattern(1, 100_000)));
    assert!(image.cat("/f") == pattern(1, 100_000));
    assert!(image.debugfs("show_super_stats -h").contains("has_journal"));
}

#[test]
fn other_block_sizes_are_refused_with_the_size_that_is_needed() {
    for size in ["8192", "65536"] {
        let image = made_with(&["-b", size]);
        let error = refusal(&image.bytes());
        let wanted: u64 = size.parse().expect("a number");
        let is_it = |bytes| bytes == wanted;
        assert!(matches!(error, Error::Unsupported(Unsupported::BlockSize { bytes, .. }) if is_it(bytes)));
        assert!(error.to_string().contains("4096"), "{error}");
    }
}

#[test]
fn features_that_only_writers_must_know_mount_read_only() {
    let mut bytes = made_with(&[]).bytes();
    bytes[1024 + 0x64 + 3] |= 0x40;
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let fs = mount(machine.clone());
    assert!(fs.read_only());
    assert!(fs.read_only_reason().is_some());
    let root = fs.root().expect("root");
    expect_errno(root.create(b"f", FileKind::File, 0o644).map(|_| ()), Errno::ReadOnly);
    drop(root);
    fs.unmount().expect("unmount");
    assert!(machine.ram.to_bytes() == bytes);
}

#[test]
fn a_region_that_cannot_be_written_is_mounted_read_only() {
    let image = Image::new(256);
    session(&image, |fs| common::write(&*create(fs, "f"), 0, b"kept"));
    let fs = mount(Machine::new(Ram::from_bytes(&image.bytes()).read_only()));
    assert!(fs.read_only());
    assert_eq!(read_all(&*at(&fs, "f")), b"kept");
    expect_errno(at(&fs, "f").write_at(0, b"x"), Errno::ReadOnly);
    fs.sync().expect("sync");
    fs.unmount().expect("unmount");
}

#[test]
fn formats_of_all_ages_can_be_written() {
    for options in [
        &["-r", "0"][..],
        &["-I", "128"],
        &["-I", "512"],
        &["-O", "^sparse_super,^resize_inode"],
        &["-O", "^resize_inode"],
        &["-O", "^filetype"],
        &["-O", "^dir_index,^ext_attr,^large_file"],
        &["-g", "1024", "-O", "^resize_inode"],
        &["-m", "0", "-N", "2000"],
    ] {
        let image = made_with(options);
        session(&image, |fs| {
            drop(common::mkdir(fs, "d"));
            common::write(&*create(fs, "d/f"), 0, &pattern(1, 2_000_000));
            common::write(&*create(fs, "gone"), 0, &pattern(2, 100_000));
            common::unlink(fs, "gone").expect("unlink");
            common::rename(fs, "d/f", "f").expect("rename");
        });
        assert!(image.cat("/f") == pattern(1, 2_000_000), "made with {options:?}");
    }
}
