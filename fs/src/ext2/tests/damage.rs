//! Images that are damaged, foreign or hostile: an answer, never an end.

use super::*;
use crate::vfs::Extent;
use crate::vfs::Rename;

fn error_of(image: &[u8]) -> String {
    match try_mount(image) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it mounted"),
    }
}

fn patched(image: &[u8], at: u64, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    image
}

#[test]
fn foreign_images_are_refused_by_what_they_are() {
    let image = mke2fs("16M", &[]);
    // Nothing is corrupt where there never was one.
    assert_eq!(error_of(&vec![0; 1 << 20]), "no ext2 file system (bad magic number 0x0)");
    let other = patched(&vec![0; 1 << 20], SUPERBLOCK + S_MAGIC, &[0x52, 0xef]);
    assert_eq!(error_of(&other), "no ext2 file system (bad magic number 0xef52)");
    assert!(error_of(&image[..1024]).contains("too small"));
    let cut = error_of(&image[..8 << 20]);
    assert!(cut.contains("shorter than the file system (16777216, limit 8388608)"), "{cut}");
    assert!(error_of(&mke2fs("64M", &["-b", "8192"])).contains("block size 8192"));
    let ext4 = error_of(&mke2fs("16M", &["-t", "ext4"]));
    assert!(ext4.contains("extent") && ext4.contains("64bit") && ext4.contains("flex_bg"), "{ext4}");
    assert!(ext4.contains("an ext4 file system"), "{ext4}");
    let field = |at, bytes: &[u8]| error_of(&patched(&image, SUPERBLOCK + at, bytes));
    assert!(field(S_FEATURE_INCOMPAT, &[6]).contains("a journal is to be replayed, and there is none"));
    assert!(field(S_REV_LEVEL, &[2]).contains("revision 2"));
    for (at, bytes) in [
        (S_LOG_BLOCK_SIZE, [9, 0, 0, 0]),
        (S_INODE_SIZE, [130, 0, 0, 0]),
        (S_BLOCKS_PER_GROUP, [0; 4]),
        (S_BLOCKS_PER_GROUP, [0, 0, 1, 0]),
        (S_INODES_PER_GROUP, [0; 4]),
        (S_INODES_COUNT, [1, 0, 0, 0]),
        (S_BLOCKS_COUNT, [0; 4]),
        (S_FIRST_DATA_BLOCK, [1, 0, 0, 0]),
        (S_FIRST_INO, [1, 0, 0, 0]),
    ] {
        assert!(field(at, &bytes).starts_with("corrupt superblock 0"), "{at:#x}");
    }
}

/// Nobody's e2fsck makes an ext2 of an ext4 that crashed, so nobody is sent there; and a name that leads
/// nowhere is a sentence.
#[test]
fn what_is_said_of_a_damaged_or_foreign_image_is_a_sentence_that_helps() {
    let ext4 = mke2fs("16M", &["-t", "ext4"]);
    let crashed = error_of(&patched(&ext4, SUPERBLOCK + S_FEATURE_INCOMPAT, &[ext4[1024 + 0x60] | 4]));
    assert!(crashed.contains("mount -t ext4") && !crashed.contains("e2fsck"), "{crashed}");
    // A journal in which there is nothing is soon replayed.
    let ext3 = mke2fs("16M", &["-t", "ext3"]);
    let crashed = patched(&ext3, SUPERBLOCK + S_FEATURE_INCOMPAT, &[ext3[1024 + 0x60] | 4]);
    let (_, fs) = open(&crashed);
    assert_eq!(fs.replayed.get().map(|replayed| (replayed.transactions, replayed.blocks)), Some((0, 0)));

    let image = sample();
    let (_, fs) = open(&image);
    let ino = at(&fs, "file").ino();
    let raw = fs.raw_inode(ino as u32).unwrap().at;
    let (_, fs) = open(&patched(&image, raw + I_LINKS_COUNT, &[0, 0]));
    let free = path::resolve(&root(&fs), b"file").err().map(|error| error.to_string());
    assert_eq!(free, Some(format!("corrupt inode {ino}: a name leads to it, but it is free")));
}

#[test]
fn a_group_that_claims_more_free_than_it_has_makes_no_space() {
    let image = mke2fs("16M", &["-m", "0"]);
    let (_, fs) = open(&image);
    let sound = fs.stat_fs();
    let lying = patched(&image, fs.sb.desc(0) + BG_FREE_BLOCKS_COUNT, &[0xff; 4]);
    let (_, fs) = open(&lying);
    let stat = fs.stat_fs();
    assert!(sound.blocks_available < stat.blocks_available && sound.inodes_free < stat.inodes_free);
    assert!(stat.blocks_available <= stat.blocks, "{stat:?}");
    assert!(stat.blocks_free <= stat.blocks && stat.inodes_free <= stat.inodes, "{stat:?}");
}

#[test]
fn features_that_only_allow_reading_say_so() {
    let image = patched(&mke2fs("16M", &[]), SUPERBLOCK + S_FEATURE_RO_COMPAT, &[0x8b]);
    let (machine, fs) = open(&image);
    assert!(fs.read_only());
    assert_eq!(
        fs.read_only_reason().unwrap().to_string(),
        "features that allow reading only: huge_file snapshot"
    );
    fs.unmount().unwrap();
    assert!(machine.ram.to_bytes() == image);
}

#[test]
fn an_unclean_image_is_looked_through_and_clean_again() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    root(&fs).create(b"file", FileKind::File, 0).unwrap();
    fs.sync().unwrap();
    // The power goes.
    let (machine, fs) = open(&machine.ram.to_bytes());
    assert!(!fs.was_clean());
    assert!(fs.recovered().is_some_and(super::super::Recovered::is_nothing), "{:?}", fs.recovered());
    at(&fs, "file");
    fs.unmount().unwrap();
    assert_eq!(e2fsck(&machine.ram.to_bytes()), Ok(()));
}

/// An image with a file of every depth, a directory of some blocks and a link.
fn sample() -> Vec<u8> {
    let (machine, fs) = open(&mke2fs("8M", &["-N", "128"]));
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    for page in [0, 5, 12, 700, 1036, 400_000, 1_049_612, 5_000_000] {
        file.write_at(page * BLOCK, b"data").unwrap();
    }
    drop(file);
    let dir = root(&fs).create(b"dir", FileKind::Directory, 0o755).unwrap();
    for index in 0..60 {
        dir.create(format!("{index}{}", "z".repeat(200)).as_bytes(), FileKind::File, 0o644).unwrap();
    }
    drop(dir);
    close(&machine, fs)
}

#[test]
fn wild_pointers_and_circles_are_found() {
    let image = sample();
    let (_, fs) = open(&image);
    let file = at(&fs, "file");
    let raw = fs.raw_inode(file.ino() as u32).unwrap().at;
    let pointer =
        |image: &[u8], at: u64| u32::from_le_bytes(image[at as usize..at as usize + 4].try_into().unwrap());
    drop(file);
    // Out of range.
    let wild = patched(&image, raw + I_BLOCK, &0x00ff_ffffu32.to_le_bytes());
    let (_, fs) = open(&wild);
    let error = at(&fs, "file").read_at(0, &mut [0]).unwrap_err();
    assert!(error.to_string().contains("block pointer out of range (16777215)"), "{error}");
    assert!(fs.met_errors());
    // Each level leads to itself; to the other; to the superblock; each is cut in bounded time.
    for (slot, target) in [(12, 12), (13, 13), (14, 14), (14, 13), (13, 12), (12, 14)] {
        let block = pointer(&image, raw + I_BLOCK + target * 4);
        let place = byte(pointer(&image, raw + I_BLOCK + slot * 4));
        let many: Vec<u8> = (0..1024).flat_map(|_| block.to_le_bytes()).collect();
        let (machine, fs) = open(&patched(&image, place, &many));
        let file = at(&fs, "file");
        let mut extents = 0u64;
        let _ = file.extents(0, &mut |_: Extent| {
            extents += 1;
            ControlFlow::Continue(())
        });
        assert!(extents < 10_000);
        let cut = file.truncate(0);
        assert!(matches!(cut, Err(Error::Corrupt(_))), "{slot} → {target}: {cut:?}");
        drop(file);
        root(&fs).unlink(b"file").unwrap();
        fs.unmount().unwrap();
        // It is not called clean.
        assert_eq!(machine.ram.load_u16(SUPERBLOCK + S_STATE) & (VALID_FS | ERROR_FS), ERROR_FS);
    }
    // A pointer to the file system's own blocks is never freed.
    let (machine, fs) = open(&patched(&image, raw + I_BLOCK, &1u32.to_le_bytes()));
    assert!(matches!(at(&fs, "file").truncate(0), Err(Error::Corrupt(_))));
    fs.sync().unwrap();
    assert_eq!(machine.ram.load_u8(byte(machine.ram.load_u32(fs.sb.desc(0)))), 0xff);
}

#[test]
fn a_bitmap_that_gives_away_the_groups_own_blocks_is_caught() {
    let image = sample();
    let (_, fs) = open(&image);
    let bitmap = byte(fs.groups().group(0).unwrap().block_bitmap);
    let (_, fs) = open(&patched(&image, bitmap, &[0]));
    let file = root(&fs).create(b"new", FileKind::File, 0).unwrap();
    let error = file.write_at(0, b"x").unwrap_err();
    assert!(error.to_string().contains("file system's own"), "{error}");
    // An inode bitmap that gives away reserved ones.
    let bitmap = byte(fs.groups().group(0).unwrap().inode_bitmap);
    let (_, fs) = open(&patched(&image, bitmap, &[2]));
    assert!(matches!(root(&fs).create(b"new", FileKind::File, 0), Err(Error::Corrupt(_))));
    // A descriptor that leads elsewhere.
    for field in [BG_BLOCK_BITMAP, BG_INODE_BITMAP, BG_INODE_TABLE] {
        for wrong in [0u32, 1, 2048, u32::MAX] {
            let damaged = patched(&image, BLOCK + field, &wrong.to_le_bytes());
            let error = error_of(&damaged);
            assert!(error.starts_with("corrupt group descriptor 0"), "{error}");
        }
    }
}

#[test]
fn damaged_directory_entries_are_named() {
    let image = sample();
    let (_, fs) = open(&image);
    let dir = at(&fs, "dir");
    let shared = dir.mapping().shared();
    let block = dir.place(shared.held(), 0).unwrap().unwrap();
    drop(shared);
    let third = block + 24;
    for (at_byte, bytes, why) in [
        (third + D_REC_LEN, &[0, 0][..], "bad rec_len"),
        (third + D_REC_LEN, &[13, 0], "bad rec_len"),
        (third + D_REC_LEN, &[0, 0x20], "rec_len reaches beyond the block"),
        (third + D_REC_LEN, &[16, 0], "name_len does not fit"),
        (third + D_NAME_LEN, &[0], "without a name"),
        (third, &[0xff; 4], "inode that cannot be"),
        (third, &[5, 0, 0, 0], "leads to it, but it is reserved"),
    ] {
        let (_, fs) = open(&patched(&image, at_byte, bytes));
        let dir = at(&fs, "dir");
        let error =
            dir.lookup(b"9").err().into_iter().chain(dir.lookup(&[&b"0"[..], &[b'z'; 200]].concat()).err());
        let errors: Vec<_> = error.map(|error| error.to_string()).collect();
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
        let _ = dir.create(b"new", FileKind::File, 0);
        let _ = fs.rename(dir.ino(), b"new", 2, b"newer", Rename::Replace);
    }
}

/// Does everything that can be done, and cares for no answer.
fn exercise(image: &[u8]) {
    let Ok((_, fs)) = try_mount(image) else { return };
    let Ok(top) = FileSystem::root(&*fs) else { return };
    fn walk(node: &Node, depth: u32) {
        let mut names = Vec::new();
        let _ = node.read_dir(0, &mut |entry| {
            names.push(entry.name.to_vec());
            if names.len() < 200 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        for name in names {
            let Ok(child) = node.lookup(&name) else { continue };
            let mut buffer = [0; 100];
            let _ = child.read_at(child.attr().size.saturating_sub(50), &mut buffer);
            let _ = child.read_link();
            let mut count = 0;
            let _ = child.extents(0, &mut |_| {
                count += 1;
                if count < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if child.kind() == FileKind::Directory && depth < 3 && name != b"." && name != b".." {
                walk(&child, depth + 1);
            }
        }
    }
    walk(&top, 0);
    for dir in [top.clone()].into_iter().chain(top.lookup(b"dir")) {
        if let Ok(file) = dir.create(b"made", FileKind::File, 0o644) {
            let _ = file.write_at(3 << 20, &[1; 9000]);
            let _ = file.truncate(12_345);
        }
        let _ = dir.create(b"made dir", FileKind::Directory, 0o755);
        let _ = fs.rename(2, b"file", dir.ino(), b"moved", Rename::Replace);
        let _ = dir.unlink(b"made");
        let _ = dir.rmdir(b"made dir");
        let _ = dir.unlink(b"moved");
    }
    let _ = fs.rename(2, b"dir", 2, b"moved dir", Rename::Replace);
    let _ = fs.sync();
    drop(top);
    let _ = fs.unmount();
}

#[test]
fn random_damage_to_metadata_ends_no_operation_in_a_panic() {
    let image = sample();
    let (_, fs) = open(&image);
    let group = fs.groups().group(0).unwrap();
    let file = fs.raw_inode(at(&fs, "file").ino() as u32).unwrap().at;
    let dir = at(&fs, "dir");
    let dir_raw = fs.raw_inode(dir.ino() as u32).unwrap().at;
    let shared = dir.mapping().shared();
    let dir_block = dir.place(shared.held(), 0).unwrap().unwrap();
    let indirect = byte(u32::from_le_bytes(image[(file + I_BLOCK + 48) as usize..][..4].try_into().unwrap()));
    let places = [
        (SUPERBLOCK, 256),
        (BLOCK, 32),
        (byte(group.block_bitmap), 300),
        (byte(group.inode_bitmap), 16),
        (file, 128),
        (dir_raw, 128),
        (fs.raw_inode(2).unwrap().at, 128),
        (dir_block, 600),
        (indirect, 64),
    ];
    let mut state = 42u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..400 {
        let mut damaged = image.clone();
        for _ in 0..1 + random(4) {
            let (place, len) = places[random(places.len() as u64) as usize];
            let byte = &mut damaged[(place + random(len)) as usize];
            *byte = match random(4) {
                0 => 0,
                1 => 0xff,
                2 => *byte ^ 1 << random(8),
                _ => random(256) as u8,
            };
        }
        exercise(&damaged);
    }
}

#[test]
fn debugfs_and_we_share_attribute_blocks() {
    let image = sample();
    let long = "v".repeat(2000);
    let image = debugfs_write(&image, &format!("ea_set /file user.note {long}"));
    assert_eq!(e2fsck(&image), Ok(()));
    let (machine, fs) = open(&image);
    root(&fs).unlink(b"file").unwrap();
    close(&machine, fs);
}
