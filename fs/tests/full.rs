//! No space, no inodes: an answer that loses nothing, and an end to it once something is freed.

use crate::common;
use crate::common::{
    BLOCK, Image, Machine, Scratch, View, at, create, expect_errno, mkdir, mount, names, pattern,
};
use crate::common::{read_all, rename, rmdir, session, unlink, write};
use fs::ext2::Ext2;
use fs::vfs::{FileKind, FileSystem};
use fs::{Errno, Error};
use std::sync::Arc;

/// Appends to `path` until there is no space; returns what got in.
fn fill(fs: &Arc<Ext2<Machine>>, path: &str) -> Vec<u8> {
    let file = create(fs, path);
    let mut inside = Vec::new();
    loop {
        let piece = pattern(inside.len() as u64, 30_000);
        match file.write_at(inside.len() as u64, &piece) {
            Ok(count) => {
                assert!(count > 0, "a write of nothing instead of an error");
                inside.extend_from_slice(&piece[..count]);
            }
            Err(error) => {
                assert_eq!(error, Error::Op(Errno::NoSpace));
                return inside;
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_freeing_makes_it_work_again() {
    let image = Image::new(512);
    let mut inside = Vec::new();
    session(&image, |fs| {
        write(&*create(fs, "first"), 0, b"was here first");
        drop(mkdir(fs, "d"));
        inside = fill(fs, "big");
        assert!(fs.stat_fs().blocks_available == 0, "refused with space left: {:?}", fs.stat_fs());
        // Whatever is left (a block may be, where a pointer block and data were needed) goes to single pages.
        while let Ok(count) = at(fs, "first").write_at(at(fs, "first").attr().size, &[7; 4096]) {
            assert!(count > 0);
        }
        let (stat, first) = (fs.stat_fs(), read_all(&*at(fs, "first")));
        assert_eq!(&first[..14], b"was here first");
        let root = fs.root().expect("root");
        expect_errno(root.create(b"dir", FileKind::Directory, 0o755).map(|_| ()), Errno::NoSpace);
        expect_errno(root.lookup(b"dir").map(|_| ()), Errno::NotFound);
        assert_eq!(fs.stat_fs(), stat, "a refused mkdir kept something");
        // What needs no block still works: an empty file, a store over old bytes, a move, a read.
        drop(create(fs, "empty"));
        write(&*at(fs, "big"), 5, b"over");
        inside[5..9].copy_from_slice(b"over");
        rename(fs, "empty", "d/empty").expect("rename");
        assert!(read_all(&*at(fs, "big")) == inside);
        drop(root);
    });
    assert!(image.cat("/big") == inside);
    session(&image, |fs| {
        at(fs, "big").truncate(inside.len() as u64 / 2).expect("truncate");
        drop(mkdir(fs, "dir"));
        write(&*create(fs, "new"), 0, &pattern(5, 100_000));
        assert!(read_all(&*at(fs, "big")) == inside[..inside.len() / 2]);
        unlink(fs, "big").expect("unlink");
        unlink(fs, "first").expect("unlink");
        rmdir(fs, "dir").expect("rmdir");
    });
    assert!(image.cat("/new") == pattern(5, 100_000));
}

#[test]
fn a_write_fault_on_a_full_disk_is_an_error_that_leaks_nothing() {
    let image = Image::new(256);
    session(&image, |fs| {
        let file = create(fs, "f");
        file.truncate((13 + 1024 * 5) * BLOCK).expect("truncate");
        write(&*file, 0, b"block");
        fill(fs, "big");
        while let Ok(count) = at(fs, "big").write_at(at(fs, "big").attr().size, &[7; 4096]) {
            assert!(count > 0);
        }
        let stat = fs.stat_fs();
        let view = View::new(&file, 0..13 + 1024 * 5);
        // Holes at each level: a block, a block and a pointer block, a block and two.
        for page in [1, 12, 12 + 1024] {
            expect_errno(view.fault(page, true), Errno::NoSpace);
            assert_eq!(view.entry(page), None, "an error left an entry");
            assert_eq!(view.load_byte(page * BLOCK), Ok(0));
            expect_errno(view.store(page * BLOCK, b"x"), Errno::NoSpace);
            assert_eq!(view.load_byte(page * BLOCK), Ok(0));
        }
        assert_eq!(fs.stat_fs(), stat, "a refused fault kept something");
        assert_eq!(common::allocated_pages(&*file), [0]);
        view.store(0, b"still").expect("the block that is there");
        unlink(fs, "big").expect("unlink");
        for page in [1, 12, 12 + 1024] {
            view.store(page * BLOCK, b"now").expect("there is space again");
            assert_eq!(view.load_byte(page * BLOCK + 2), Ok(b'w'));
        }
        assert_eq!(view.msync(), Ok(4));
    });
    assert_eq!(&image.cat("/f")[..6], b"still\0");
}

#[test]
fn pointer_blocks_that_a_refused_write_took_are_given_back() {
    // So few blocks that a page behind three levels of pointers gets some of what it needs, but not all.
    for leave in 1..4 {
        let image = Image::new(128);
        session(&image, |fs| {
            let file = create(fs, "f");
            fill(fs, "big");
            let big = at(fs, "big");
            while let Ok(count) = big.write_at(big.attr().size, &[7; 4096]) {
                assert!(count > 0);
            }
            big.truncate(big.attr().size.next_multiple_of(BLOCK) - leave * BLOCK).expect("truncate");
            let stat = fs.stat_fs();
            let far = (12 + 1024 + 1024 * 1024) * BLOCK;
            // One page behind three pointer blocks: four in all, and fewer are free.
            expect_errno(file.write_at(far, b"x"), Errno::NoSpace);
            assert_eq!(fs.stat_fs().blocks_free, stat.blocks_free, "with {leave} blocks left");
            assert_eq!((file.attr().size, file.attr().blocks), (0, 0));
        });
    }
}

#[test]
fn without_inodes_nothing_is_made_until_one_is_freed() {
    let image = Image::with(Scratch::new(), 512, &["-N", "16"]);
    session(&image, |fs| {
        let root = fs.root().expect("root");
        let free = fs.stat_fs().inodes_free;
        assert!(free > 0);
        for number in 0..free {
            write(&*create(fs, &format!("f{number}")), 0, format!("{number}").as_bytes());
        }
        let (stat, before) = (fs.stat_fs(), names(&*root));
        assert_eq!(stat.inodes_free, 0);
        for kind in [FileKind::File, FileKind::Directory] {
            expect_errno(root.create(b"more", kind, 0o644).map(|_| ()), Errno::NoSpace);
        }
        assert_eq!((fs.stat_fs(), names(&*root)), (stat, before));
        for number in 0..free {
            assert_eq!(read_all(&*at(fs, &format!("f{number}"))), format!("{number}").as_bytes());
        }
        unlink(fs, "f0").expect("unlink");
        drop(mkdir(fs, "more"));
        expect_errno(root.create(b"x", FileKind::File, 0o644).map(|_| ()), Errno::NoSpace);
        rmdir(fs, "more").expect("rmdir");
        drop(create(fs, "x"));
    });
}

#[test]
fn a_directory_that_cannot_grow_refuses_the_name_and_keeps_no_inode() {
    let image = Image::with(Scratch::new(), 128, &["-N", "1024"]);
    let fs = mount(image.machine());
    fill(&fs, "big");
    let big = at(&fs, "big");
    while let Ok(count) = big.write_at(big.attr().size, &[7; 4096]) {
        assert!(count > 0);
    }
    let root = fs.root().expect("root");
    let mut made = 0;
    let stat = loop {
        let stat = fs.stat_fs();
        let name = format!("{made:0200}");
        match root.create(name.as_bytes(), FileKind::File, 0o644) {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error, Error::Op(Errno::NoSpace));
                break stat;
            }
        }
    };
    assert!(made > 10 && stat.inodes_free > 0, "{made} names fit into one block");
    assert_eq!(fs.stat_fs(), stat, "a refused create kept its inode");
    assert_eq!(names(&*root).len(), made + 4);
    drop((root, big));
    fs.unmount().expect("unmount");
}
