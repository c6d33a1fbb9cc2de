//! Mounting and reading what mke2fs and debugfs made.

use super::*;

#[test]
fn what_mke2fs_put_in_reads_back() {
    let folder = Folder::new();
    let source = folder.0.join("tree");
    fs::create_dir_all(source.join("dir/sub")).unwrap();
    let sizes = [0, 1, 4095, 4096, 4097, 12 * 4096, 13 * 4096, 1036 * 4096, 1037 * 4096 + 5, 9_000_000];
    for (index, &size) in sizes.iter().enumerate() {
        fs::write(source.join(format!("dir/sub/file{index}")), pattern(index as u64, size)).unwrap();
    }
    for index in 0..300 {
        fs::write(source.join(format!("a rather long name that fills directory blocks {index}")), "x")
            .unwrap();
    }
    std::os::unix::fs::symlink("dir/sub/file3", source.join("fast")).unwrap();
    std::os::unix::fs::symlink(format!("dir/{}sub/file4", "./".repeat(100)), source.join("slow")).unwrap();
    for options in
        [&["-I", "256"][..], &["-I", "128"], &["-O", "^filetype"], &["-O", "has_journal"], &["-r", "0"]]
    {
        let options = [options, &["-d", source.to_str().unwrap()]].concat();
        let image = mke2fs("64M", &options);
        let (machine, fs) = open(&image);
        assert!(fs.was_clean() && !fs.read_only(), "{options:?}");
        for (index, &size) in sizes.iter().enumerate() {
            let file = at(&fs, &format!("/dir/sub/file{index}"));
            assert_eq!(content(&file), pattern(index as u64, size), "{options:?}: file{index}");
        }
        assert_eq!(names(&root(&fs)).len(), 300 + 6, "{options:?}");
        assert_eq!(content(&at(&fs, "fast")).len(), 4096);
        assert_eq!(content(&at(&fs, "slow")).len(), 4097);
        close(&machine, fs);
    }
}

#[test]
fn a_sparse_file_reads_zeros_and_its_extents_skip_what_is_absent() {
    let folder = Folder::new();
    let source = folder.0.join("tree");
    fs::create_dir_all(&source).unwrap();
    let file = fs::File::create(source.join("sparse")).unwrap();
    let places = [0u64, 11, 12, 1035, 1036, 5000, 1_049_611, 1_049_612, 100_000_000];
    for &page in &places {
        use std::os::unix::fs::FileExt;
        file.write_all_at(&pattern(page, 4096), page * BLOCK).unwrap();
    }
    let image = mke2fs("64M", &["-d", source.to_str().unwrap()]);
    let (machine, fs) = open(&image);
    let sparse = at(&fs, "sparse");
    let mut page = vec![0; 4096];
    for &place in &places {
        sparse.read_at(place * BLOCK, &mut page).unwrap();
        assert_eq!(page, pattern(place, 4096));
        sparse.read_at((place + 2) * BLOCK, &mut page).unwrap();
        assert!(places.contains(&(place + 2)) || place == 100_000_000 || page.iter().all(|&byte| byte == 0));
    }
    let (mut data, mut last) = (0, 0);
    sparse
        .extents(0, &mut |extent| {
            assert_eq!(extent.offset, last);
            last += extent.len;
            data += extent.place().map_or(0, |_| extent.len);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((data, last), (places.len() as u64 * BLOCK, 100_000_001 * BLOCK));
    drop(sparse);
    close(&machine, fs);
}

#[test]
fn an_indexed_directory_reads_and_changes() {
    let folder = Folder::new();
    let source = folder.0.join("tree");
    fs::create_dir_all(source.join("big")).unwrap();
    for index in 0..2000 {
        fs::write(source.join(format!("big/entry number {index}")), "").unwrap();
    }
    let file = folder.0.join("indexed").display().to_string();
    fs::write(&file, mke2fs("64M", &["-N", "4096", "-O", "dir_index", "-d", source.to_str().unwrap()]))
        .unwrap();
    run("e2fsck", &["-fyD", &file]);
    let image = fs::read(&file).unwrap();
    let (machine, fs) = open(&image);
    let big = at(&fs, "big");
    assert!(machine.ram.load_u32(fs.raw_inode(big.ino() as u32).unwrap().at + I_FLAGS) & INDEX_FL != 0);
    assert_eq!(names(&big).len(), 2002);
    for index in 0..100 {
        big.create(format!("new {index}").as_bytes(), FileKind::File, 0o644).unwrap();
        big.unlink(format!("entry number {}", index * 7).as_bytes()).unwrap();
    }
    assert!(machine.ram.load_u32(fs.raw_inode(big.ino() as u32).unwrap().at + I_FLAGS) & INDEX_FL == 0);
    assert_eq!(names(&big).len(), 2002);
    drop(big);
    close(&machine, fs);
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let image = mke2fs("16M", &[]);
    let machine = Machine::new(Ram::from_bytes(&image).read_only());
    let fs = mount(machine.clone(), MountOptions::default()).unwrap();
    assert_eq!(errno(root(&fs).create(b"x", FileKind::File, 0)), Errno::ReadOnly);
    fs.unmount().unwrap();
    let machine = Machine::new(Ram::from_bytes(&image));
    let fs = mount(machine.clone(), MountOptions { read_only: true, ..MountOptions::default() }).unwrap();
    assert_eq!(errno(root(&fs).set_attr(&Default::default())), Errno::ReadOnly);
    fs.sync().unwrap();
    fs.unmount().unwrap();
    assert!(machine.ram.to_bytes() == image);
}

#[test]
fn unmounting_waits_for_handles_and_ends_all_changes() {
    let (machine, fs) = open(&mke2fs("16M", &[]));
    assert_eq!(machine.ram.load_u16(SUPERBLOCK + S_STATE) & VALID_FS, 0);
    let handle = root(&fs);
    assert_eq!(errno(fs.unmount()), Errno::Busy);
    handle.create(b"still", FileKind::File, 0o600).unwrap();
    drop(handle);
    fs.unmount().unwrap();
    assert_eq!(errno(root(&fs).create(b"late", FileKind::File, 0)), Errno::ReadOnly);
    assert_eq!(e2fsck(&machine.ram.to_bytes()), Ok(()));
}
