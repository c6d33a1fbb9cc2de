//! Damage that others' reports tell of, made with debugfs or by hand: what is right is not lost with what is
//! wrong.

use crate::common::layout::{DESCRIPTOR, DESCRIPTORS, Layout, SUPERBLOCK, u32_at};
use crate::common::{
    BLOCK, Image, Machine, Scratch, at, create, expect_errno, extents, mkdir, mount, pattern, rename, rmdir,
    session, try_mount, unlink, write,
};
use fs::platform::Timestamp;
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, FileSystem, SetAttr};
use fs::{Errno, Error};

fn machine(image: &[u8]) -> Machine {
    Machine::new(Ram::from_bytes(image))
}

/// An image with a directory `d` in which a file has its only name: one that was patched to `name`.
fn with_dots(name: &[u8]) -> (Image, Vec<u8>, u64) {
    let image = Image::new(256);
    let placeholder = &b"xx"[..name.len()];
    let number = session(&image, |fs| {
        drop(mkdir(fs, "d"));
        let file = at(fs, "d").create(placeholder, FileKind::File, 0o644).expect("create");
        write(&*file, 0, &pattern(5, 3000));
        drop(mkdir(fs, "empty"));
        file.ino()
    });
    let mut bytes = image.bytes();
    let dir = image.inode_number("d");
    let block = u64::from(u32_at(&bytes, Layout::of(&bytes).pointer(&bytes, dir, 0)));
    let at = (block * BLOCK + 24 + 8) as usize;
    assert_eq!(&bytes[at..at + name.len()], placeholder);
    bytes[at..at + name.len()].copy_from_slice(name);
    (image, bytes, number)
}

#[test]
fn a_second_dot_that_names_a_file_keeps_its_directory() {
    for name in [&b"."[..], b".."] {
        let (_, bytes, number) = with_dots(name);
        let machine = machine(&bytes);
        let fs = mount(machine.clone());
        let links = fs.root().expect("root").attr().links;
        for result in [rmdir(&fs, "d"), rename(&fs, "empty", "d")] {
            match result {
                Err(Error::Corrupt(corrupt)) => {
                    assert_eq!((corrupt.what, corrupt.why), ("directory", "`.` or `..` names another inode"));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(fs.root().expect("root").attr().links, links);
        drop(fs);
        let after = machine.ram.to_bytes();
        let inode = Layout::of(&after).inode(&after, number) as usize;
        assert_eq!(after[inode + 26], 1, "the file has its link");
    }
}

/// What a repair after our crash finds of such a directory, when that has no name either.
#[test]
fn a_nameless_directory_with_a_second_dot_is_not_freed() {
    for name in [&b"."[..], b".."] {
        let (_, mut bytes, _) = with_dots(name);
        let layout = Layout::of(&bytes);
        let root = u64::from(u32_at(&bytes, layout.pointer(&bytes, 2, 0))) * BLOCK;
        let place = (root..root + BLOCK).step_by(4).find(|&at| bytes[at as usize + 6..][..3] == [1, 2, b'd']);
        let place = place.expect("the entry") as usize;
        bytes[place..place + 4].fill(0);
        let links = layout.inode(&bytes, 2) as usize + 26;
        bytes[links] -= 1;
        bytes[SUPERBLOCK as usize + 0x3a] = 0;
        let machine = machine(&bytes);
        let fs = mount(machine.clone());
        assert!(fs.read_only_reason().is_some(), "{:?}", fs.recovered());
        drop(fs);
        assert!(machine.ram.to_bytes() == bytes);
    }
}

/// Four groups; the first, where the root and its files are, is to be damaged.
fn groups() -> Vec<u8> {
    let image = Image::with(Scratch::new(), (32 << 20) / BLOCK, &["-g", "2048", "-N", "512"]);
    session(&image, |fs| write(&*create(fs, "f"), 0, &pattern(1, 100)));
    image.bytes()
}

/// Errors that the image counts.
fn noted(machine: &Machine) -> u32 {
    u32_at(&machine.ram.to_bytes(), SUPERBLOCK + 0x194)
}

#[test]
fn a_write_passes_over_a_group_that_contradicts_itself() {
    let mut bytes = groups();
    // The bitmap says that some of the group's own structures are free, and nothing else.
    let bitmap = (u64::from(u32_at(&bytes, DESCRIPTORS)) * BLOCK) as usize;
    bytes[bitmap..bitmap + 256].fill(0xff);
    bytes[bitmap] = 0;
    let ours = machine(&bytes);
    let fs = mount(ours.clone());
    let file = create(&fs, "new");
    write(&*file, 0, &pattern(2, 40 * BLOCK as usize));
    assert!(extents(&*file).iter().all(|extent| extent.place().is_none_or(|place| place >= 2048 * BLOCK)));
    assert!(fs.met_errors());
    drop((file, mkdir(&fs, "directory")));
    write(&*create(&fs, "newer"), 0, &pattern(2, 40 * BLOCK as usize));
    assert_eq!(noted(&ours), 1, "it is noted once, not at each search");
    // Inodes too: here a reserved one is marked free.
    let mut bytes = groups();
    let bitmap = (u64::from(u32_at(&bytes, DESCRIPTORS + 4)) * BLOCK) as usize;
    bytes[bitmap] &= !0x10;
    let ours = machine(&bytes);
    let fs = mount(ours.clone());
    assert!(create(&fs, "new").ino() > 128 && create(&fs, "newer").ino() > 128);
    assert_eq!(noted(&ours), 1);
    // With no other group there is nothing else to be told.
    let image = Image::new(256);
    let mut bytes = image.bytes();
    let bitmap = (u64::from(u32_at(&bytes, DESCRIPTORS)) * BLOCK) as usize;
    bytes[bitmap..bitmap + 32].fill(0xff);
    bytes[bitmap] = 0;
    let result = create(&mount(machine(&bytes)), "new").write_at(0, b"x");
    assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
}

#[test]
fn no_group_is_believed_that_it_has_more_free_than_it_can_have() {
    let bytes = groups();
    let honest = mount(machine(&bytes)).stat_fs();
    for group in 0..4 {
        for lie in [u16::MAX, 2049, 2048] {
            let mut bytes = bytes.clone();
            let at = (DESCRIPTORS + group * DESCRIPTOR) as usize;
            bytes[at + 12..at + 14].copy_from_slice(&lie.to_le_bytes());
            bytes[at + 14..at + 16].copy_from_slice(&lie.to_le_bytes());
            let stat = mount(machine(&bytes)).stat_fs();
            assert!(stat.blocks_available <= stat.blocks && stat.blocks_free <= stat.blocks, "{stat:?}");
            assert!(stat.inodes_free <= stat.inodes, "{stat:?}");
            assert!(stat.blocks_free < honest.blocks_free + 2048, "{stat:?}");
        }
    }
}

#[test]
fn what_cannot_help_is_not_advised() {
    let told = |features: u32| {
        let mut bytes = Image::new(256).bytes();
        let at = SUPERBLOCK as usize + 0x60;
        bytes[at..at + 4].copy_from_slice(&features.to_le_bytes());
        try_mount(machine(&bytes)).err().expect("refused").to_string()
    };
    assert!(told(0x6).contains("a journal is to be replayed, and there is none"), "{}", told(0x6));
    // What mke2fs -t ext4 makes, with a journal to be replayed.
    assert_eq!(
        told(0x2c6),
        "unsupported incompatible features: extent 64bit flex_bg \
         (an ext4 file system: mount -t ext4)"
    );
}

#[test]
fn a_name_of_a_free_inode_is_told_in_a_sentence() {
    let image = Image::new(256);
    session(&image, |fs| drop(create(fs, "f")));
    let number = image.inode_number("f");
    let told = |bytes: &[u8]| {
        let fs = mount(machine(bytes));
        let result = fs.root().expect("root").lookup(b"f");
        result.err().expect("refused").to_string()
    };
    let mut bytes = image.bytes();
    let links = Layout::of(&bytes).inode(&bytes, number) as usize + 26;
    bytes[links] = 0;
    assert_eq!(told(&bytes), format!("corrupt inode {number}: a name leads to it, but it is free"));
    image.debugfs_write(&format!("freei <{number}>"));
    assert_eq!(told(&image.bytes()), format!("corrupt inode {number}: a name leads to it, but it is free"));
}

#[test]
fn offsets_beyond_what_is_signed_are_invalid_and_sizes_beyond_the_largest_too_big() {
    let image = Image::new(256);
    let fs = mount(image.machine());
    let file = create(&fs, "f");
    let (last, largest) = (i64::MAX as u64, fs.max_file_size());
    expect_errno(file.read_at(last, &mut [0]), Errno::Invalid);
    expect_errno(file.read_at(last - 1, &mut [0; 4]), Errno::Invalid);
    expect_errno(file.read_at(u64::MAX, &mut [0; 4]), Errno::Invalid);
    assert_eq!(file.read_at(last - 4, &mut [0; 4]), Ok(0));
    assert_eq!(file.read_at(last, &mut []), Ok(0));
    expect_errno(file.write_at(last, b"x"), Errno::Invalid);
    expect_errno(file.write_at(u64::MAX - 3, b"12345678"), Errno::Invalid);
    expect_errno(file.write_at(last - 1, b"x"), Errno::FileTooBig);
    expect_errno(file.write_at(largest, b"x"), Errno::FileTooBig);
    expect_errno(file.truncate(largest + 1), Errno::FileTooBig);
    assert_eq!(file.write_at(largest - 1, b"xy"), Ok(1), "as far as it goes");
    assert_eq!(file.attr().size, 2_196_873_666_560);
}

#[test]
fn nobody_owns_a_file_and_only_files_can_be_mapped() {
    let image = Image::new(256);
    let fs = mount(image.machine());
    let file = create(&fs, "f");
    for change in [
        SetAttr { uid: Some(u32::MAX), ..SetAttr::default() },
        SetAttr { gid: Some(u32::MAX), ..SetAttr::default() },
    ] {
        expect_errno(file.set_attr(&change), Errno::Invalid);
    }
    file.set_attr(&SetAttr { uid: Some(u32::MAX - 1), gid: Some(7), ..SetAttr::default() })
        .expect("set_attr");
    assert_eq!((file.attr().uid, file.attr().gid), (u32::MAX - 1, 7));
    let fifo = fs.root().expect("root").create(b"p", FileKind::Fifo, 0o600).expect("mkfifo");
    expect_errno(fs.root().expect("root").expect_mappable(), Errno::NoDevice);
    expect_errno(fifo.expect_mappable(), Errno::NoDevice);
    assert_eq!(Errno::NoDevice.to_string(), "no such device");
}

/// Times with fractions, from before 1970 and behind 2038, in inodes of each size, and in those that a driver
/// without nanoseconds made.
#[test]
fn times_keep_what_the_inode_has_room_for() {
    let wanted = [(-5, 123_456_789), (1_700_000_000, 1), (5_000_000_000, 999_999_999)];
    for (size, by_another) in [("256", false), ("256", true), ("128", false)] {
        let image = Image::with(Scratch::new(), 256, &["-I", size]);
        session(&image, |fs| drop(create(fs, "f")));
        if by_another {
            // As Linux's ext2 driver leaves it.
            image.debugfs_write("sif f extra_isize 0");
        }
        session(&image, |fs| {
            let file = at(fs, "f");
            for (secs, nanos) in wanted {
                let time = Timestamp { secs, nanos };
                file.set_attr(&SetAttr { atime: Some(time), mtime: Some(time), ..SetAttr::default() })
                    .expect("set_attr");
                let small = Timestamp { secs: secs.min(i32::MAX.into()), nanos: 0 };
                let want = if size == "128" { small } else { time };
                assert_eq!((file.attr().atime, file.attr().mtime), (want, want), "inodes of {size} bytes");
            }
        });
    }
    // Attributes in that place stay.
    let image = Image::with(Scratch::new(), 256, &["-I", "256"]);
    session(&image, |fs| drop(create(fs, "f")));
    image.debugfs_write("ea_set f user.a value");
    let _ = unlink(&mount(image.machine()), "nothing");
    let before = image.debugfs("ea_get f user.a");
    session(&image, |fs| {
        let time = Timestamp { secs: 1, nanos: 5 };
        at(fs, "f").set_attr(&SetAttr { mtime: Some(time), ..SetAttr::default() }).expect("set_attr");
        assert_eq!(at(fs, "f").xattr(b"user.a"), Ok(b"value".to_vec()));
    });
    assert_eq!(image.debugfs("ea_get f user.a"), before);
}
