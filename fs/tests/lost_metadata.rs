//! Memory errors under what is the file system's own: each is an error of that structure, which is named, and
//! of nothing else.

use crate::common;
use crate::common::layout::{DESCRIPTORS, Layout, SUPERBLOCK, u32_at};
use crate::common::{
    BLOCK, Image, Machine, Scratch, at, create, mkdir, mount, names, pattern, read_all, session, write,
};
use fs::error::Corrupt;
use fs::ext::features::ReadOnlyReason;
use fs::ext2::Ext2;
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, FileSystem, MountOptions, SetXattr};
use fs::{Error, Result};
use std::ops::ControlFlow;
use std::sync::Arc;

const LINE: u64 = 64;
const S_STATE: usize = SUPERBLOCK as usize + 0x3a;

/// Four groups of 8 MiB, with one of everything.
fn stage() -> (Image, Vec<u8>) {
    let image = Image::with(Scratch::new(), (32 << 20) / BLOCK, &["-g", "2048", "-N", "512"]);
    session(&image, |fs| {
        write(&*create(fs, "small"), 0, &pattern(1, 100));
        write(&*create(fs, "large"), 0, &pattern(2, 20 * BLOCK as usize));
        drop(mkdir(fs, "dir"));
        for number in 0..60 {
            drop(create(fs, &format!("dir/{number:0200}")));
        }
        let root = fs.root().expect("root");
        drop(root.symlink(b"link", &[b'l'; 200]).expect("symlink"));
        let small = at(fs, "small");
        small.set_xattr(b"user.a", &[b'v'; 2000], SetXattr::Any).expect("set_xattr");
    });
    let bytes = image.bytes();
    (image, bytes)
}

/// What is said of a structure that a memory error took.
#[track_caller]
fn expect_lost<T>(result: Result<T>, what: &str, index: u64) {
    match result.map(drop) {
        Err(Error::Corrupt(corrupt)) => {
            let told = (corrupt.what, corrupt.index, corrupt.why);
            assert_eq!(told, (what, index, "an uncorrectable memory error at this byte of the region"));
        }
        other => panic!("{other:?}, not that {what} {index} is lost"),
    }
}

/// Mounts `image` with a bad line at byte `place`, which is told before (as the firmware does) or afterwards
/// (as a machine check does).
fn mounted(image: &[u8], place: u64, before: bool) -> (Machine, Arc<Ext2<Machine>>) {
    let machine = Machine::new(Ram::from_bytes(image));
    if before {
        machine.ram.poison.add(place, 1).expect("room");
    }
    let fs = mount(machine.clone());
    if !before {
        machine.ram.poison.add(place, 1).expect("room");
        fs.memory_failed(place / LINE * LINE, LINE);
    }
    (machine, fs)
}

fn ino(image: &[u8], path: &str) -> u64 {
    at(&common::mount_read_only(Machine::new(Ram::from_bytes(image))), path).ino()
}

#[test]
fn a_superblock_is_lost_until_a_copy_takes_its_place() {
    let (image, bytes) = stage();
    let machine = Machine::new(Ram::from_bytes(&bytes));
    machine.ram.poison.add(SUPERBLOCK + 300, 1).expect("room");
    expect_lost(common::try_mount(machine.clone()), "superblock", 1);
    let options = MountOptions { super_block: Some(2048 * BLOCK / 1024), ..MountOptions::default() };
    let fs = fs::ext2::mount(machine.clone(), options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read_all(&*at(&fs, "large")), pattern(2, 20 * BLOCK as usize));
    fs.unmount().expect("unmount");
    drop(fs);
    assert!(machine.ram.poison.ranges().is_empty());
    image.store(&machine);
    image.expect_clean();
    drop(mount(image.machine()));
}

#[test]
fn a_descriptor_and_bitmaps_cost_their_group_and_writes_go_to_others() {
    let (_, bytes) = stage();
    let descriptor = |group: u64, field: u64| u32_at(&bytes, DESCRIPTORS + group * 32 + field);
    for before in [true, false] {
        // 1. The block bitmap of the first group, in which every file here is.
        let (_, fs) = mounted(&bytes, u64::from(descriptor(0, 0)) * BLOCK, before);
        write(&*create(&fs, "new"), 0, &pattern(3, 5 * BLOCK as usize));
        let places: Vec<_> =
            common::extents(&*at(&fs, "new")).iter().filter_map(|extent| extent.place()).collect();
        assert!(places.iter().all(|&place| place >= 2048 * BLOCK), "{places:?}");
        assert!(fs.met_errors());
        expect_lost(at(&fs, "large").truncate(0), "block bitmap", 0);
        // 2. Its inode bitmap: files that are there can be used, new ones are another group's.
        let (machine, fs) = mounted(&bytes, u64::from(descriptor(0, 4)) * BLOCK, before);
        assert_eq!(read_all(&*at(&fs, "large")), pattern(2, 20 * BLOCK as usize));
        assert!(create(&fs, "new").ino() > 128, "{}", at(&fs, "new").ino());
        common::unlink(&fs, "small").expect("unlink");
        assert!(fs.met_errors());
        assert_eq!(machine.ram.poison.ranges().len(), 1, "nothing was stored there");
    }
    // 3. The descriptor of the last group: the others do.
    let (_, fs) = mounted(&bytes, DESCRIPTORS + 3 * 32, false);
    assert!(fs.met_errors());
    let all = fs.stat_fs();
    assert!(all.blocks_free > 0 && all.blocks_free <= all.blocks);
    write(&*create(&fs, "new"), 0, &pattern(3, 5 * BLOCK as usize));
}

#[test]
fn an_inode_is_lost_alone() {
    let (_, bytes) = stage();
    let number = ino(&bytes, "large");
    let place = Layout::of(&bytes).inode(&bytes, number);
    for before in [true, false] {
        let (_, fs) = mounted(&bytes, place + 70, before);
        let root = fs.root().expect("root");
        expect_lost(root.lookup(b"large"), "inode", number);
        assert!(fs.met_errors());
        assert_eq!(read_all(&*at(&fs, "small")), pattern(1, 100));
        assert!(names(&*root).contains(&b"large".to_vec()), "its name is there");
    }
}

#[test]
fn an_indirect_block_an_attribute_block_and_a_target_are_lost_alone() {
    let (_, bytes) = stage();
    let layout = Layout::of(&bytes);
    let block = |path: &str, slot| u64::from(u32_at(&bytes, layout.pointer(&bytes, ino(&bytes, path), slot)));
    let table = block("large", 12);
    let attributes = u64::from(u32_at(&bytes, layout.inode(&bytes, ino(&bytes, "small")) + 0x68));
    for before in [true, false] {
        let (_, fs) = mounted(&bytes, table * BLOCK + 2000, before);
        let file = at(&fs, "large");
        let mut buffer = vec![0; BLOCK as usize];
        assert_eq!(file.read_at(0, &mut buffer), Ok(BLOCK as usize), "in front of it");
        expect_lost(file.read_at(12 * BLOCK, &mut buffer), "indirect block", table);
        expect_lost(file.write_at(12 * BLOCK, b"x"), "indirect block", table);
        let view = common::View::new(&file, 0..20);
        expect_lost(view.load_byte(13 * BLOCK), "indirect block", table);
        expect_lost(file.truncate(0), "indirect block", table);

        let (_, fs) = mounted(&bytes, attributes * BLOCK, before);
        let file = at(&fs, "small");
        expect_lost(file.xattr(b"user.a"), "attribute block", attributes);
        expect_lost(file.set_xattr(b"user.a", b"x", SetXattr::Any), "attribute block", attributes);
        assert_eq!(read_all(&*file), pattern(1, 100));

        let link = fs.root().expect("root").lookup(b"link").expect("lookup");
        let target = u64::from(u32_at(&bytes, layout.pointer(&bytes, link.ino(), 0)));
        drop(link);
        let (_, fs) = mounted(&bytes, target * BLOCK + 10, before);
        let link = fs.root().expect("root").lookup(b"link").expect("lookup");
        expect_lost(link.read_link(), "symbolic link's block", target);
    }
}

#[test]
fn a_directory_block_hides_only_its_own_names() {
    let (_, bytes) = stage();
    let layout = Layout::of(&bytes);
    let second = u64::from(u32_at(&bytes, layout.pointer(&bytes, ino(&bytes, "dir"), 1)));
    let all: Vec<Vec<u8>> =
        names(&*at(&common::mount_read_only(Machine::new(Ram::from_bytes(&bytes))), "dir"));
    for indexed in [false, true] {
        let machine = Machine::new(Ram::from_bytes(&bytes));
        let fs = mount(machine.clone());
        let dir = at(&fs, "dir");
        if indexed {
            dir.lookup(format!("{:0200}", 3).as_bytes()).expect("a name");
        }
        machine.ram.poison.add(second * BLOCK + 100, 1).expect("room");
        fs.memory_failed(second * BLOCK + 64, LINE);
        // 1. What is in other blocks is listed, then the error comes.
        let mut listed = Vec::new();
        let outcome = dir.read_dir(0, &mut |entry| {
            listed.push(entry.name.to_vec());
            ControlFlow::Continue(())
        });
        expect_lost(outcome, "directory block", second);
        assert!(
            listed.len() < all.len() && listed.len() > all.len() - 25,
            "{} of {}",
            listed.len(),
            all.len()
        );
        assert_eq!(listed.first(), all.first());
        assert_eq!(listed.last(), all.last());
        // 2. What is in them is found, and can be removed; what is not may be in the bad one.
        let (seen, hidden): (Vec<_>, Vec<_>) = all.iter().partition(|name| listed.contains(name));
        for name in &seen[2..] {
            dir.lookup(name).unwrap_or_else(|error| panic!("{error}"));
        }
        dir.unlink(seen[5]).expect("unlink");
        for name in &hidden {
            expect_lost(dir.lookup(name), "directory block", second);
        }
        // 3. A name that is in none is made only if that is known.
        let made = dir.create(b"new", FileKind::File, 0o644);
        match indexed {
            true => drop(made.expect("a name that is known to be in none")),
            false => expect_lost(made, "directory block", second),
        }
        // 4. Nor is it empty, as far as anybody can see.
        for name in seen.iter().skip(2).filter(|name| **name != seen[5]) {
            dir.unlink(name).expect("unlink");
        }
        if indexed {
            dir.unlink(b"new").expect("unlink");
        }
        expect_lost(fs.root().expect("root").rmdir(b"dir"), "directory block", second);
    }
}

#[test]
fn a_repair_that_meets_lost_metadata_changes_nothing() {
    let (_, mut bytes) = stage();
    bytes[S_STATE] = 0;
    let layout = Layout::of(&bytes);
    let block = |path: &str, slot| u64::from(u32_at(&bytes, layout.pointer(&bytes, ino(&bytes, path), slot)));
    let descriptor = |field: u64| u64::from(u32_at(&bytes, DESCRIPTORS + field)) * BLOCK;
    let cases = [
        ("block bitmap", descriptor(0)),
        ("inode", layout.inode(&bytes, ino(&bytes, "small"))),
        ("indirect block", block("large", 12) * BLOCK),
        ("directory block", block("dir", 2) * BLOCK),
        (
            "attribute block",
            u64::from(u32_at(&bytes, layout.inode(&bytes, ino(&bytes, "small")) + 0x68)) * BLOCK,
        ),
        ("group descriptor", DESCRIPTORS + 2 * 32),
    ];
    for (what, place) in cases {
        let machine = Machine::new(Ram::from_bytes(&bytes));
        machine.ram.poison.add(place, 1).expect("room");
        let fs = mount(machine.clone());
        match fs.read_only_reason() {
            Some(ReadOnlyReason::Damaged(Corrupt { what: told, .. })) => assert_eq!(told, what),
            other => panic!("{what}: {other:?}"),
        }
        drop(fs);
        assert!(machine.ram.to_bytes() == bytes, "{what}: something was changed");
    }
}

#[test]
fn what_is_made_where_an_inode_was_lost_is_whole() {
    let (_, bytes) = stage();
    let layout = Layout::of(&bytes);
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let fs = mount(machine.clone());
    let number = create(&fs, "first").ino();
    common::unlink(&fs, "first").expect("unlink");
    let place = layout.inode(&bytes, number);
    machine.ram.poison.add(place, 1).expect("room");
    fs.memory_failed(place, LINE);
    assert_eq!(create(&fs, "second").ino(), number);
    assert!(machine.ram.poison.ranges().is_empty());
    assert_eq!(at(&fs, "second").attr().links, 1);
}
