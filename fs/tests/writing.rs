//! What is written here is what debugfs reads and what e2fsck accepts.

use crate::common;
use crate::common::{BLOCK, Image, LEVELS, allocated_pages, at, create, expect_errno, mount};
use crate::common::{mount_read_only, pattern, read_all, read_range, session, unlink, write};
use fs::Errno;
use fs::platform::Platform;
use fs::vfs::{FileKind, FileSystem, Inode, SetAttr};

/// A file and what it should hold.
fn check<P: Platform>(file: &dyn Inode<P>, want: &[u8]) {
    assert_eq!(file.attr().size, want.len() as u64);
    assert!(read_all(file) == want, "a file of {} bytes reads back differently", want.len());
}

/// Writes to the file and to what it should hold.
fn put<P: Platform>(file: &dyn Inode<P>, want: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    write(file, offset as u64, bytes);
    want.resize(want.len().max(offset + bytes.len()), 0);
    want[offset..offset + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn mounting_and_unmounting_changes_nothing_that_e2fsck_minds() {
    let image = Image::new(512);
    for _ in 0..3 {
        session(&image, |fs| assert!(!fs.read_only()));
    }
    let summary = image.debugfs("show_super_stats -h");
    assert!(summary.lines().any(|line| line == "Filesystem state:         clean"), "{summary}");
}

#[test]
fn an_image_is_marked_unclean_only_while_it_is_mounted_for_writing() {
    let image = Image::new(512);
    let machine = image.machine();
    let state = |image: &Image| {
        image.store(&machine);
        let summary = image.debugfs("show_super_stats -h");
        summary.lines().any(|line| line.starts_with("Filesystem state:") && line.contains("not clean"))
    };
    let fs = mount(machine.clone());
    drop(create(&fs, "f"));
    assert!(state(&image), "a power cut now would go unnoticed");
    fs.unmount().expect("unmount");
    assert!(!state(&image));
    expect_errno(
        fs.root().and_then(|root| root.create(b"g", FileKind::File, 0o644)).map(|_| ()),
        Errno::ReadOnly,
    );
}

#[test]
fn writes_at_the_start_in_the_middle_and_at_the_end_read_back() {
    let image = Image::new(4096);
    let mut want = Vec::new();
    session(&image, |fs| {
        let file = create(fs, "f");
        put(&*file, &mut want, 0, b"hello");
        put(&*file, &mut want, 5, &pattern(1, 20_000));
        put(&*file, &mut want, 4090, b"across a page's edge");
        put(&*file, &mut want, 8192, &pattern(2, 4096));
        let end = want.len();
        put(&*file, &mut want, end, b"appended");
        // Into a hole, and once more beside it in the same page.
        put(&*file, &mut want, 100 * 4096 + 77, b"island");
        put(&*file, &mut want, 50 * 4096 + 1000, &pattern(3, 10_000));
        put(&*file, &mut want, 50 * 4096 + 10, b"before it");
        assert_eq!(allocated_pages(&*file), [0, 1, 2, 3, 4, 50, 51, 52, 100]);
        put(&*file, &mut want, LEVELS[2] as usize * 4096 - 3, b"across a level's edge");
        check(&*file, &want);
        assert_eq!(file.write_at(3, b""), Ok(0));
    });
    assert!(image.cat("/f") == want, "debugfs reads something else");
    session(&image, |fs| check(&*at(fs, "f"), &want));
    session(&image, |fs| {
        let file = at(fs, "f");
        put(&*file, &mut want, 3, &pattern(4, 5 << 20));
        check(&*file, &want);
    });
    assert!(image.cat("/f") == want, "debugfs reads something else");
}

#[test]
fn blocks_that_others_used_come_back_zeroed() {
    let image = Image::new(256);
    let mut bytes = image.bytes();
    common::layout::Layout::of(&bytes).soil_free_blocks(&mut bytes);
    image.store_bytes(&bytes);
    session(&image, |fs| {
        let file = create(fs, "f");
        let mut want = Vec::new();
        for page in (0..40).step_by(2) {
            put(&*file, &mut want, page * 4096 + 1000, b"x");
        }
        file.truncate(100 * BLOCK).expect("truncate");
        want.resize(100 * 4096, 0);
        check(&*file, &want);
        let dir = common::mkdir(fs, "d");
        assert_eq!(common::names(&*dir).len(), 2);
    });
}

#[test]
fn truncation_cuts_and_grows_across_every_boundary() {
    let image = Image::new(4096);
    let levels = [1, 2, LEVELS[1], LEVELS[2]].map(|pages| pages as usize * 4096);
    let near = |size: usize| [size - 1, size, size + 1];
    let sizes: Vec<usize> = levels.into_iter().flat_map(near).chain([0, 100]).collect();
    let full = pattern(9, LEVELS[2] as usize * 4096 + 5000);
    session(&image, |fs| {
        let free = fs.stat_fs().blocks_free;
        let file = create(fs, "f");
        for &size in &sizes {
            let mut want = full.clone();
            write(&*file, 0, &full);
            file.truncate(size as u64).expect("truncate");
            want.truncate(size);
            check(&*file, &want);
            let pages: Vec<u64> = (0..(size as u64).div_ceil(BLOCK)).collect();
            assert_eq!(allocated_pages(&*file), pages);
            // What was cut off does not come back: beyond the old end there are zeros.
            file.truncate(full.len() as u64).expect("truncate");
            want.resize(full.len(), 0);
            check(&*file, &want);
            assert_eq!(allocated_pages(&*file), pages);
            file.truncate(0).expect("truncate");
            assert_eq!(fs.stat_fs().blocks_free, free, "blocks lost after cutting to {size}");
        }
        write(&*file, 0, &full[..5000]);
        file.truncate(4500).expect("truncate");
        file.truncate(9000).expect("truncate");
    });
    assert_eq!(image.cat("/f"), [&full[..4500], &[0; 4500]].concat());
}

#[test]
fn sizes_and_offsets_that_cannot_be_are_refused_and_change_nothing() {
    let image = Image::new(256);
    session(&image, |fs| {
        let file = create(fs, "f");
        write(&*file, 0, b"abc");
        for size in [1 << 43, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX] {
            assert!(file.truncate(size).is_err(), "truncate to {size:#x}");
            assert!(file.write_at(size, b"x").is_err(), "write at {size:#x}");
            assert_eq!(file.read_at(size, &mut [0; 8]).unwrap_or(0), 0, "read at {size:#x}");
        }
        assert!(file.write_at(u64::MAX - 1, b"xyz").is_err());
        check(&*file, b"abc");
        let dir = common::mkdir(fs, "d");
        assert!(dir.truncate(0).is_err());
        assert!(dir.write_at(0, b"x").is_err());
    });
}

#[test]
fn attributes_are_kept_and_times_move() {
    let image = Image::new(256);
    session(&image, |fs| {
        let file = create(fs, "f");
        let made = file.attr();
        assert_eq!((made.kind, made.mode, made.links, made.size), (FileKind::File, 0o644, 1, 0));
        write(&*file, 0, b"x");
        let written = file.attr();
        assert!(written.mtime > made.mtime && written.ctime > made.ctime);
        let change = SetAttr { mode: Some(0o4711), uid: Some(70_000), gid: Some(5), ..SetAttr::default() };
        file.set_attr(&change).expect("set_attr");
        let attr = file.attr();
        assert_eq!((attr.mode, attr.uid, attr.gid, attr.mtime), (0o4711, 70_000, 5, written.mtime));
        assert!(attr.ctime > written.ctime);
    });
    let stat = image.debugfs("stat /f");
    for part in ["Mode:  04711", "User: 70000", "Group:     5", "Links: 1   Blockcount: 8"] {
        assert!(stat.contains(part), "{part}: {stat}");
    }
}

#[test]
fn a_file_unlinked_while_open_lives_until_the_last_handle_goes() {
    let image = Image::new(256);
    session(&image, |fs| {
        let free = fs.stat_fs();
        let file = create(fs, "f");
        let mut want = pattern(1, 100_000);
        write(&*file, 0, &want);
        unlink(fs, "f").expect("unlink");
        expect_errno(unlink(fs, "f"), Errno::NotFound);
        assert_eq!(file.attr().links, 0);
        put(&*file, &mut want, 150_000, b"still here");
        check(&*file, &want);
        expect_errno(fs.unmount(), Errno::Busy);
        let again = create(fs, "f");
        assert_ne!(again.ino(), file.ino(), "the number of a living inode was given away");
        write(&*again, 0, &pattern(2, 50_000));
        check(&*file, &want);
        check(&*again, &pattern(2, 50_000));
        drop((file, again));
        unlink(fs, "f").expect("unlink");
        let after = fs.stat_fs();
        assert_eq!((after.blocks_free, after.inodes_free), (free.blocks_free, free.inodes_free));
    });
}

#[test]
fn a_read_only_mount_changes_not_one_byte() {
    let image = Image::new(256);
    session(&image, |fs| {
        write(&*create(fs, "f"), 0, &pattern(1, 30_000));
        drop(common::mkdir(fs, "d"));
    });
    let before = image.bytes();
    let machine = image.machine();
    let fs = mount_read_only(machine.clone());
    assert!(fs.read_only());
    let (root, file) = (fs.root().expect("root"), at(&fs, "f"));
    check(&*file, &pattern(1, 30_000));
    assert_eq!(read_range(&*file, 1 << 40, 5), b"");
    for kind in [FileKind::File, FileKind::Directory] {
        expect_errno(root.create(b"g", kind, 0o644).map(|_| ()), Errno::ReadOnly);
    }
    expect_errno(file.write_at(0, b"x"), Errno::ReadOnly);
    expect_errno(file.truncate(0), Errno::ReadOnly);
    expect_errno(file.set_attr(&SetAttr { mode: Some(0), ..SetAttr::default() }), Errno::ReadOnly);
    expect_errno(unlink(&fs, "f"), Errno::ReadOnly);
    expect_errno(common::rmdir(&fs, "d"), Errno::ReadOnly);
    expect_errno(common::rename(&fs, "f", "g"), Errno::ReadOnly);
    fs.sync().expect("sync");
    drop((root, file));
    fs.unmount().expect("unmount");
    assert!(machine.ram.to_bytes() == before, "the image was changed");
}
