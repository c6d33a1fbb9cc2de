//! Writing, growing, shrinking; e2fsck and debugfs agree.

use super::*;
use crate::vfs::{Backing, Held};

fn fs_block(node: &Node, page: u64) -> Option<u64> {
    let shared = node.mapping().shared();
    let held: Held<'_> = shared.held();
    node.place(held, page).unwrap()
}

#[test]
fn what_is_written_reads_back_and_debugfs_agrees() {
    for options in [
        &[][..],
        &["-I", "128"],
        &["-r", "0"],
        &["-O", "^filetype,^sparse_super,^resize_inode"],
        &["-g", "1024"],
    ] {
        let (machine, fs) = open(&mke2fs("64M", options));
        let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
        let mut model = vec![0u8; 6 << 20];
        let mut size = 0;
        // Unaligned pieces, backwards and forwards, over every level up to double indirect.
        for step in 0..200u64 {
            let at = (step * 7_919_777) % (5 << 20);
            let bytes = pattern(step, 1 + (step as usize * 1237) % 40_000);
            assert_eq!(file.write_at(at, &bytes).unwrap(), bytes.len());
            model[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
            size = size.max(at as usize + bytes.len());
            assert_eq!(file.attr().size, size as u64);
        }
        assert!(content(&file) == model[..size], "{options:?}");
        drop(file);
        let image = close(&machine, fs);
        assert!(debugfs(&image, "cat /file") == model[..size], "{options:?}");
    }
}

#[test]
fn truncation_both_ways_frees_everything_and_leaves_no_old_bytes() {
    let (machine, fs) = open(&mke2fs("64M", &[]));
    let before = fs.stat_fs();
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    for &size in &[0u64, 5000, 49_152, 49_153, 4_243_456, 4_250_000, 8_400_000] {
        let bytes = pattern(size, 9_000_000);
        file.write_at(0, &bytes).unwrap();
        file.truncate(size).unwrap();
        file.truncate(9_000_000).unwrap();
        let back = content(&file);
        assert!(back[..size as usize] == bytes[..size as usize]);
        assert!(back[size as usize..].iter().all(|&byte| byte == 0), "old bytes beyond {size}");
        // What was cut holds no blocks.
        assert_eq!(fs_block(&file, size.div_ceil(BLOCK)), None);
    }
    file.truncate(0).unwrap();
    assert_eq!(file.attr().blocks, 0);
    let after = fs.stat_fs();
    assert_eq!((after.blocks_free, after.inodes_free), (before.blocks_free, before.inodes_free - 1));
    drop(file);
    close(&machine, fs);
}

#[test]
fn a_sparse_file_up_to_the_limit_is_made_and_cut() {
    let (machine, fs) = open(&mke2fs("64M", &[]));
    let before = fs.stat_fs().blocks_free;
    let file = root(&fs).create(b"sparse", FileKind::File, 0o644).unwrap();
    let last = fs.max_file_size() - 1;
    let places = [0, 12 << 12, 1036 << 12, (1_049_612 << 12) + 77, 700 << 30, last];
    for &place in &places {
        assert_eq!(file.write_at(place, b"!").unwrap(), 1);
    }
    assert_eq!(errno(file.write_at(last + 1, b"!")), Errno::FileTooBig);
    assert_eq!(errno(file.truncate(last + 2)), Errno::FileTooBig);
    assert_eq!(file.write_at(last, b"!!").unwrap(), 1);
    assert_eq!(file.attr().size, last + 1);
    fs.sync().unwrap();
    let mut byte = [0];
    for &place in &places {
        file.read_at(place, &mut byte).unwrap();
        assert_eq!(byte, *b"!");
    }
    let mut image = machine.ram.to_bytes();
    image[(SUPERBLOCK + S_STATE) as usize] |= VALID_FS as u8;
    assert_eq!(e2fsck(&image), Ok(()));
    // From the end, piece by piece; each cut leaves what is before.
    for &place in places.iter().rev() {
        file.truncate(place + 1).unwrap();
        file.read_at(place, &mut byte).unwrap();
        assert_eq!(byte, *b"!");
        file.truncate(place).unwrap();
    }
    assert_eq!(fs.stat_fs().blocks_free, before);
    drop(file);
    close(&machine, fs);
}

#[test]
fn a_full_disk_refuses_cleanly_and_gives_everything_back() {
    let (machine, fs) = open(&mke2fs("8M", &["-N", "64"]));
    let before = fs.stat_fs();
    let root_dir = root(&fs);
    let file = root_dir.create(b"file", FileKind::File, 0o644).unwrap();
    let piece = pattern(1, 50_000);
    let mut size = 0;
    let full = loop {
        match file.write_at(size, &piece) {
            Ok(0) => panic!("nothing written, no error"),
            Ok(count) => size += count as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(full, Errno::NoSpace.into());
    // A hole far away would need indirect blocks too: nothing may be left of the attempt.
    let blocks = file.attr().blocks;
    assert_eq!(errno(file.write_at(5 << 30, b"x")), Errno::NoSpace);
    let exclusive = file.mapping().exclusive();
    assert_eq!(
        errno(file.look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), 2_000_000, 1)),
        Errno::NoSpace
    );
    drop(exclusive);
    assert_eq!((file.attr().blocks, fs.stat_fs().blocks_free), (blocks, 0));
    assert_eq!(errno(root_dir.create(b"dir", FileKind::Directory, 0o755)), Errno::NoSpace);
    // Two blocks left: not enough for a block behind two indirect ones, as none is there.
    file.truncate(size - 2 * BLOCK).unwrap();
    let other = root_dir.create(b"other", FileKind::File, 0o644).unwrap();
    assert_eq!(fs.stat_fs().blocks_free, 2);
    assert_eq!(errno(other.write_at(5 << 30, b"x")), Errno::NoSpace);
    assert_eq!(fs.stat_fs().blocks_free, 2);
    other.write_at(20 * BLOCK, b"x").unwrap();
    assert_eq!(fs.stat_fs().blocks_free, 0);
    // Inodes run out too.
    let mut made = 0;
    let full = loop {
        match root_dir.create(format!("i{made}").as_bytes(), FileKind::File, 0) {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((full, fs.stat_fs().inodes_free), (Errno::NoSpace.into(), 0));
    drop((file, other));
    for index in 0..made {
        root_dir.unlink(format!("i{index}").as_bytes()).unwrap();
    }
    root_dir.unlink(b"file").unwrap();
    root_dir.unlink(b"other").unwrap();
    assert_eq!(fs.stat_fs(), before);
    drop(root_dir);
    assert!(!fs.met_errors());
    close(&machine, fs);
}

#[test]
fn a_hole_is_filled_once_with_zeros_and_neighbours_lie_together() {
    let (machine, fs) = open(&mke2fs("64M", &[]));
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    // Used space with old bytes in it, to be found again.
    let litter = root(&fs).create(b"litter", FileKind::File, 0o644).unwrap();
    litter.write_at(0, &pattern(3, 20 << 20)).unwrap();
    drop(litter);
    root(&fs).unlink(b"litter").unwrap();
    file.truncate(8 << 20).unwrap();
    for page in (0..2048).step_by(3).chain((0..2048).rev()) {
        let exclusive = file.mapping().exclusive();
        let filled = file.look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), page, 1).unwrap();
        let place = filled.place().unwrap();
        let again = file.look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), page, 1).unwrap();
        assert_eq!(again, Backing::mapped(place));
        assert!(!filled.is_new() || (0..512).all(|word| machine.ram.load_u64(place + word * 8) == 0));
    }
    assert!(content(&file).iter().all(|&byte| byte == 0));
    let stats = crate::platform::Platform::stats(&machine);
    assert_eq!(stats.block_allocated.get() - stats.block_freed.get(), 2048 + 3);
    let ordered = root(&fs).create(b"ordered", FileKind::File, 0o644).unwrap();
    for page in 0..2048 {
        ordered.write_at(page * BLOCK, &pattern(page, 4096)).unwrap();
    }
    let mut runs = 0;
    ordered
        .extents(0, &mut |_| {
            runs += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(runs <= 5, "{runs} runs");
    drop((file, ordered));
    close(&machine, fs);
}

#[test]
fn a_file_beyond_two_gib_sets_the_feature_and_revision_0_refuses_it() {
    let (machine, fs) = open(&mke2fs("16M", &["-O", "^large_file"]));
    let file = root(&fs).create(b"large", FileKind::File, 0o644).unwrap();
    file.truncate(5 << 30).unwrap();
    file.truncate(3 << 30).unwrap();
    file.truncate(5 << 30).unwrap();
    drop(file);
    close(&machine, fs);
    let (machine, fs) = open(&mke2fs("16M", &["-r", "0"]));
    let file = root(&fs).create(b"large", FileKind::File, 0o644).unwrap();
    assert_eq!(errno(file.truncate(1 << 31)), Errno::FileTooBig);
    assert_eq!(errno(file.write_at((1 << 31) - 1, b"xx")), Errno::FileTooBig);
    assert_eq!(file.attr().size, 0);
    drop(file);
    close(&machine, fs);
}

#[test]
fn attributes_and_times_are_as_debugfs_shows_them() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    let file = root(&fs).create(b"file", FileKind::File, 0o640).unwrap();
    let time = crate::platform::Timestamp { secs: 1 << 32, nanos: 987_654_321 };
    let change = crate::vfs::SetAttr {
        mode: Some(0o4755),
        uid: Some(70_000),
        gid: Some(80_000),
        mtime: Some(time),
        ..Default::default()
    };
    file.set_attr(&change).unwrap();
    let attr = file.attr();
    assert_eq!((attr.mode, attr.uid, attr.gid, attr.mtime), (0o4755, 70_000, 80_000, time));
    drop(file);
    let image = close(&machine, fs);
    let shown = String::from_utf8(debugfs(&image, "stat /file")).unwrap();
    assert!(shown.contains("Mode:  04755") && shown.contains("70000") && shown.contains("80000"), "{shown}");
    assert!(shown.contains("2106"), "{shown}");
}
