//! Superblocks and descriptors in every form that mke2fs gives them: descriptors in meta groups, copies in
//! other groups, a clean journal; and what they say, compared with tune2fs.

use crate::common;
use crate::common::{Image, Machine, Scratch, at, create, pattern, read_all, session};
use fs::ext2::Ext2;
use fs::vfs::Field;
use fs::vfs::{FileKind, FileSystem, MountOptions};
use std::process::Command;
use std::sync::Arc;

/// Fills a file system over all of its groups, then removes every other file.
fn fill(fs: &Arc<Ext2<Machine>>) {
    let root = fs.root().expect("root");
    for number in 0..40 {
        let dir = root.create(format!("dir{number}").as_bytes(), FileKind::Directory, 0o755).expect("room");
        for file in 0..5 {
            let name = format!("file{file}");
            let file = dir.create(name.as_bytes(), FileKind::File, 0o644).expect("room");
            common::write(&*file, 0, &pattern(number, 30_000));
        }
        dir.unlink(b"file3").expect("it is there");
    }
}

#[test]
fn descriptors_in_meta_groups_are_found_and_their_copies_left_alone() {
    for (options, blocks) in [
        // 37 groups: two meta groups, of which the second is short.
        (&["-b", "1024", "-g", "2048", "-O", "meta_bg,^resize_inode"] as &[&str], 75_000),
        (&["-b", "1024", "-g", "256", "-O", "meta_bg,^resize_inode,^sparse_super"], 20_000),
        (&["-b", "2048", "-g", "1024", "-N", "2000", "-O", "meta_bg,^resize_inode"], 40_000),
        (&["-b", "4096", "-g", "512", "-O", "meta_bg,^resize_inode,sparse_super2"], 20_000),
    ] {
        let image = Image::with(Scratch::new(), blocks, options);
        session(&image, fill);
        session(&image, |fs| {
            for number in 0..40 {
                assert!(
                    read_all(&*at(fs, &format!("/dir{number}/file4"))) == pattern(number, 30_000),
                    "{options:?}"
                );
            }
            // All that is left is taken: nothing of it is a structure.
            let file = create(fs, "/all");
            let chunk = pattern(7, 1 << 20);
            let mut offset = 0;
            while let Ok(done) = file.write_at(offset, &chunk) {
                offset += done as u64;
            }
        });
    }
}

/// The superblock's times have 40 bits, where it has the fields for them.
#[test]
fn after_2106_the_superblock_tells_when_it_was_mounted() {
    const LATER: i64 = (1 << 32) + 1_000_000_000;
    for (revision, above) in [("1", LATER), ("0", 1_000_000_000)] {
        let image = Image::with(Scratch::new(), 2000, &["-r", revision]);
        let machine = image.machine();
        machine.set_clock(LATER);
        let fs = common::mount(machine.clone());
        create(&fs, "file");
        fs.unmount().expect("unmount");
        let mut times = Vec::new();
        let describe = &mut |name: &'static str, field: Field| {
            if let ("Last mount time:" | "Last write time:", Field::Time(time)) = (name, field) {
                times.push(time as i64);
            }
        };
        fs.describe(describe).expect("a superblock");
        assert!(
            matches!(times[..], [a, b] if (above..b).contains(&a) && b < above + 100),
            "{revision}: {times:?}"
        );
        image.store(&machine);
        image.expect_clean();
    }
}

/// What the file system in the image says of itself, as its tools would print it.
fn described(image: &Image) -> Vec<String> {
    let read_only = MountOptions { read_only: true, ..MountOptions::default() };
    let fs = fs::registry::mount(image.machine(), read_only).expect("a sound image");
    let mut lines = Vec::new();
    let describe = &mut |name: &'static str, field: Field| {
        let value = match field {
            Field::Text(text) => text,
            Field::Time(0) => "n/a".to_owned(),
            Field::Time(time) => {
                let date = Command::new("date")
                    .args(["-u", "-d", &format!("@{time}"), "+%a %b %e %H:%M:%S %Y"])
                    .output();
                String::from_utf8(date.expect("date").stdout).expect("text").trim().to_owned()
            }
        };
        lines.push(words(&format!("{name} {value}")));
    };
    fs.describe(describe).expect("a superblock");
    lines
}

/// A line's words, one blank between each two.
fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Insists that the file system in the image says of itself what the command prints, up to what `dumpe2fs`
/// tells of the block of `mmp`.
#[track_caller]
fn expect_as(command: &[&str], image: &Image, what: &dyn std::fmt::Debug) {
    let output =
        tests::image::tool(command[0]).env("TZ", "UTC").args(&command[1..]).arg(image.path()).output();
    let output = String::from_utf8(output.expect("it is part of e2fsprogs").stdout).expect("text");
    let lines = output.lines().filter(|line| !line.starts_with("tune2fs 1."));
    let lines = lines.take_while(|line| !line.starts_with("MMP_block:"));
    let expected: Vec<String> = lines.map(words).filter(|line| !line.is_empty()).collect();
    assert_eq!(described(image), expected, "{what:?}");
}

const TUNE2FS: &[&str] = &["tune2fs", "-l"];
const DUMPE2FS: &[&str] = &["dumpe2fs", "-h"];

#[test]
fn a_superblock_says_the_same_as_tune2fs() {
    for options in [
        &["-b", "4096", "-L", "a label", "-m", "10"] as &[&str],
        &["-b", "1024", "-O", "meta_bg,^resize_inode", "-E", "stride=16,stripe_width=64"],
        &["-b", "1024", "-r", "0"],
        &["-b", "2048", "-O", "none", "-I", "128"],
        &["-b", "4096", "-j", "-J", "size=4"],
        &["-b", "4096", "-i", "16384", "-M", "/somewhere", "-e", "remount-ro"],
    ] {
        expect_as(TUNE2FS, &Image::with(Scratch::new(), 8192, options), &options);
    }
}

#[test]
fn an_ext4_superblock_says_the_same_as_dumpe2fs() {
    for (blocks, options) in [
        (16_384, &["-L", "a label"] as &[&str]),
        (16_384, &["-b", "1024", "-m", "10", "-e", "panic"]),
        (16_384, &["-b", "2048", "-I", "128", "-O", "^64bit"]),
        (16_384, &["-O", "orphan_file,metadata_csum_seed,fast_commit,stable_inodes"]),
        (16_384, &["-O", "^metadata_csum,^has_journal,^flex_bg", "-E", "stride=512,stripe_width=512"]),
        (16_384, &["-O", "^metadata_csum,uninit_bg,^resize_inode,meta_bg,^dir_index"]),
        (16_384, &["-O", "bigalloc", "-C", "65536"]),
        (16_384, &["-O", "quota,project,mmp", "-E", "quotatype=usrquota:grpquota:prjquota,test_fs"]),
        (16_384, &["-O", "encrypt,verity,inline_data,large_dir,ea_inode"]),
        (80_000, &["-O", "sparse_super2,^sparse_super,^resize_inode", "-J", "size=4"]),
    ] {
        expect_as(DUMPE2FS, &Image::of_type("ext4", Scratch::new(), blocks, options), &options);
    }
}

/// Fields that no image has when it is made.
#[test]
fn what_happened_to_a_superblock_is_told_as_the_tools_tell_it() {
    let cases: [(&str, &[&str], &[&str]); 4] = [
        (
            "ext2",
            TUNE2FS,
            &[
                "default_mount_opts 0xf5f",
                "checkinterval 3000001",
                "error_count 2",
                "first_error_time 20270203",
                "first_error_line 17",
                "first_error_func ext2_get",
                "first_error_ino 12",
                "last_error_time 20280203",
            ],
        ),
        (
            "ext4",
            DUMPE2FS,
            &[
                "default_mount_opts 0x32c",
                "mount_opts data=ordered",
                "kbytes_written 12345678",
                "last_orphan 14",
                "state 6",
                "errors 7",
                "mnt_count 3",
                "max_mnt_count 20",
                "checkinterval 2592000",
                "last_error_time 20280102",
                "last_error_line 4711",
                "last_error_func a_function_of_31_letters_in_all",
                "last_error_ino 11",
                "last_error_block 77",
                "journal_uuid 6461786d-0000-4000-8000-000000000009",
                "encrypt_pw_salt 6461786d-0000-4000-8000-000000000007",
                "def_hash_version tea",
                "jnl_backup_type 3",
                "creator_os 3",
            ],
        ),
        ("ext4", DUMPE2FS, &["kbytes_written 8192", "def_hash_version legacy", "flags 7"]),
        (
            "ext4",
            DUMPE2FS,
            &[
                "kbytes_written 12345678901",
                "log_groups_per_flex 0",
                "overhead_clusters 0",
                "r_blocks_count 7",
            ],
        ),
    ];
    for (kind, command, fields) in cases {
        let image = Image::of_type(kind, Scratch::new(), 16_384, &[]);
        for field in fields {
            image.debugfs_write(&format!("set_super_value {field}"));
        }
        if kind == "ext2" {
            // Which kinds the errors are, which debugfs does not set; this superblock has no checksum.
            let mut bytes = image.bytes();
            bytes[1024 + 0x27a..][..2].copy_from_slice(&[5, 99]);
            image.store_bytes(&bytes);
        }
        expect_as(command, &image, &fields);
    }
}

/// Fields that a journal has when it was used, or aborted.
#[test]
fn what_happened_to_a_journal_is_told_as_dumpe2fs_tells_it() {
    let image = Image::of_type("ext4", Scratch::new(), 70_000, &["-J", "size=64"]);
    let block: u64 = image.debugfs("bmap <8> 0").trim().parse().expect("a block");
    let mut bytes = image.bytes();
    let sets: [&[(usize, u32)]; 3] = [
        &[(0x18, 0x1234), (0x28, 0x13), (0x50, 4 << 24), (0xfc, 0xabcd), (0x20, -5_i32 as u32)],
        &[(0x14, 2), (0x24, 1), (0x28, 8)],
        &[(0x40, 0), (0x28, 4)],
    ];
    for set in sets {
        for (field, value) in set {
            let at = (block * common::BLOCK) as usize + field;
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        image.store_bytes(&bytes);
        expect_as(DUMPE2FS, &image, &set);
    }
}

#[test]
fn a_copy_of_the_superblock_stands_in_for_a_damaged_one() {
    // (options, KiB where the first copy is)
    for (options, kib) in [
        (&["-b", "1024"] as &[&str], 8193),
        (&["-b", "2048"], 32768),
        (&["-b", "4096", "-g", "4096"], 16384),
        (&["-b", "1024", "-O", "meta_bg,^resize_inode"], 8193),
    ] {
        let image = Image::with(Scratch::new(), 12_000, options);
        session(&image, fill);
        // The first superblock is gone, and where its descriptors are in one place, those too.
        let mut bytes = image.bytes();
        bytes[1024..2048].fill(0x55);
        let block = options[1].parse::<usize>().expect("a number");
        if !options.contains(&"meta_bg,^resize_inode") {
            let table = if block == 1024 { 2048 } else { block };
            bytes[table..table + block].fill(0xaa);
        }
        image.store_bytes(&bytes);
        let machine = image.machine();
        assert!(common::try_mount(machine.clone()).is_err());
        for wrong in [0, kib - 1, kib + 1, kib * 2, u64::MAX / 1024, u64::MAX] {
            let options = MountOptions { super_block: Some(wrong), ..MountOptions::default() };
            assert!(fs::ext2::mount(machine.clone(), options).is_err(), "{wrong}");
        }
        assert!(machine.ram.to_bytes() == bytes, "a refused mount stored something");
        // Read-only it is used where it is, and nothing is stored.
        let machine = image.machine();
        let read_only = MountOptions { read_only: true, super_block: Some(kib), ..MountOptions::default() };
        let fs = fs::ext2::mount(machine.clone(), read_only).expect("the copy is whole");
        assert!(read_all(&*at(&fs, "/dir7/file1")) == pattern(7, 30_000));
        drop(fs);
        assert!(machine.ram.to_bytes() == image.bytes());
        // For writing, it is put back first.
        let machine = image.machine();
        let writable = MountOptions { super_block: Some(kib), ..MountOptions::default() };
        let fs = fs::ext2::mount(machine.clone(), writable).expect("the copy is whole");
        common::write(&*create(&fs, "/new"), 0, b"new");
        fs.unmount().expect("nothing is open");
        drop(fs);
        image.store(&machine);
        let again = common::mount(image.machine());
        assert!(read_all(&*at(&again, "/dir39/file4")) == pattern(39, 30_000));
        assert_eq!(read_all(&*at(&again, "/new")), b"new");
    }
}
