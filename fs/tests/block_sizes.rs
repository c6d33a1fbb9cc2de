//! Every block size and inode size that mke2fs makes for ext2: read, changed, judged by e2fsck and debugfs.
//! Mapping needs blocks of the page size, and says so.

use crate::common;
use crate::common::{Image, Scratch, at, create, pattern, session};
use fs::vfs::{FileKind, FileSystem, Rename};
use fs::{Error, Unsupported};

/// What mke2fs is told, and the bytes in a block of what it makes.
const FORMATS: [(&[&str], u64); 8] = [
    (&["-b", "1024"], 1024),
    (&["-b", "1024", "-I", "128"], 1024),
    (&["-b", "1024", "-I", "1024"], 1024),
    (&["-b", "1024", "-r", "0"], 1024),
    (&["-b", "2048"], 2048),
    (&["-b", "2048", "-I", "512", "-O", "^resize_inode,^sparse_super"], 2048),
    (&["-b", "4096", "-I", "128"], 4096),
    (&["-b", "4096", "-r", "0"], 4096),
];

/// Sizes around every border of the block map, but for the triple indirect one.
fn sizes(block: u64) -> Vec<u64> {
    let pointers = block / 4;
    let borders = [0, 1, 12, 12 + pointers, 12 + 2 * pointers];
    let around = |border: u64| [(border * block).saturating_sub(1), border * block, border * block + 7];
    borders.into_iter().flat_map(around).collect()
}

#[test]
fn files_and_directories_of_every_size_come_and_go() {
    for (options, block) in FORMATS {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        for (number, size) in sizes(block).into_iter().enumerate() {
            std::fs::write(tree.join(format!("given{number}")), pattern(number as u64, size as usize))
                .expect("a file");
        }
        let image = Image::of_tree(scratch, &tree, 6 * block, options);
        // 1. What was there reads back; what is written reads back.
        session(&image, |fs| {
            assert_eq!(fs.stat_fs().block_size, block);
            let root = fs.root().expect("root");
            for (number, size) in sizes(block).into_iter().enumerate() {
                let expected = pattern(number as u64, size as usize);
                assert!(
                    common::read_all(&*at(fs, &format!("/given{number}"))) == expected,
                    "{options:?} {size}"
                );
                let file = create(fs, &format!("/made{number}"));
                // In pieces that fit no block.
                for (piece, at) in expected.chunks(3001).zip((0..).step_by(3001)) {
                    assert_eq!(file.write_at(at, piece).expect("room"), piece.len());
                }
            }
            let dir = root.create(b"names", FileKind::Directory, 0o755).expect("room");
            for number in 0..400 {
                dir.create(format!("name-{number:040}").as_bytes(), FileKind::File, 0o644).expect("room");
            }
            for number in (0..400).step_by(3) {
                dir.unlink(format!("name-{number:040}").as_bytes()).expect("it is there");
            }
        });
        for (number, size) in sizes(block).into_iter().enumerate() {
            assert!(
                image.cat(&format!("/made{number}")) == pattern(number as u64, size as usize),
                "{options:?}"
            );
        }
        // 2. Holes behind all levels, cut in the middle, and everything removed: nothing leaks.
        session(&image, |fs| {
            let root = fs.root().expect("root");
            let free = fs.stat_fs().blocks_free;
            let file = create(fs, "/sparse");
            let last = fs.max_file_size().min(i32::MAX as u64) - 5;
            for place in [0, 13 * block, (12 + block) * block, last] {
                assert_eq!(file.write_at(place, b"here").expect("room"), 4);
            }
            file.truncate(13 * block + 2).expect("a file");
            let mut back = [1; 4];
            file.truncate(14 * block).expect("a file");
            assert_eq!(file.read_at(13 * block, &mut back).expect("a file"), 4);
            assert_eq!(&back, b"he\0\0");
            drop(file);
            fs.rename(2, b"sparse", 2, b"given0", Rename::Replace).expect("both are files");
            root.unlink(b"given0").expect("it is there");
            assert_eq!(fs.stat_fs().blocks_free, free);
        });
    }
}

#[test]
fn only_blocks_of_the_page_size_are_mapped() {
    for (options, block) in FORMATS {
        let image = Image::with(Scratch::new(), 2048, options);
        session(&image, |fs| {
            let file = create(fs, "/file");
            let expected =
                if block == 4096 { Ok(()) } else { Err(Error::Unsupported(Unsupported::Mapping(block))) };
            assert_eq!(file.expect_mappable(), expected);
        });
    }
}
