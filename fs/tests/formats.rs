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

/// What the file system says of itself, as `tune2fs -l` would print it.
fn described(fs: &Ext2<Machine>) -> Vec<String> {
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
        lines.push(format!("{name} {}", value.trim()));
    };
    fs.describe(describe).expect("a superblock");
    lines
}

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
        let image = Image::with(Scratch::new(), 8192, options);
        let machine = image.machine();
        let read_only = MountOptions { read_only: true, ..MountOptions::default() };
        let fs = fs::ext2::mount(machine, read_only).expect("a sound image");
        let output = tests::image::tool("tune2fs").env("TZ", "UTC").arg("-l").arg(image.path()).output();
        let output = String::from_utf8(output.expect("tune2fs is part of e2fsprogs").stdout).expect("text");
        let expected: Vec<String> = output
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with("Journal backup"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let said: Vec<String> =
            described(&fs).iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(said, expected, "{options:?}");
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
