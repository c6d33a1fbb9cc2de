//! What mke2fs put into an image reads back the same: names, contents, attributes, links.

use crate::common;
use crate::common::{BLOCK, Image, LEVELS, Scratch, at, expect_errno, mount_read_only, names, pattern};
use crate::common::{read_all, read_in_steps, read_range};
use fs::Errno;
use fs::vfs::{FileKind, FileSystem, path};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

#[test]
fn names_of_any_bytes_and_deep_directories_are_found() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let odd: Vec<Vec<u8>> = [
        &b"plain"[..],
        b" blank in front",
        b"new\nline",
        b"back\\slash \"quotes\"",
        b"-dash",
        b"...",
        b"\x01\x7f\x80\xfe\xff",
        "größe".as_bytes(),
        &[b'x'; 255],
        &[0xff; 255],
        &[b'y'; 254],
    ]
    .map(<[u8]>::to_vec)
    .into();
    for (number, name) in odd.iter().enumerate() {
        let file = tree.join(OsStr::from_bytes(name));
        std::fs::write(file, format!("file {number}")).expect("the host takes the name");
    }
    let deep = "d/".repeat(40);
    std::fs::create_dir_all(tree.join(&deep)).expect("deep directories");
    std::fs::write(tree.join(&deep).join("f"), "deep").expect("a file in them");

    let fs = mount_read_only(Image::of_tree(scratch, &tree, 512, &[]).machine());
    let root = fs.root().expect("root");
    for (number, name) in odd.iter().enumerate() {
        let file = path::resolve(&root, name).expect("the name is there");
        assert_eq!(read_all(&*file), format!("file {number}").as_bytes());
    }
    let listed: BTreeSet<Vec<u8>> = names(&*root).into_iter().collect();
    let there = odd.into_iter().chain(["d", ".", "..", "lost+found"].map(Vec::from));
    assert_eq!(listed, there.collect());
    assert_eq!(read_all(&*at(&fs, &format!("{deep}f"))), b"deep");
    assert_eq!(at(&fs, &format!("/{}..", "d/".repeat(3))).ino(), at(&fs, "d/d").ino());
}

#[test]
fn paths_are_walked_as_posix_says() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::create_dir(tree.join("d")).expect("a directory");
    std::fs::write(tree.join("d/f"), "x").expect("a file");
    let fs = mount_read_only(Image::of_tree(scratch, &tree, 512, &[]).machine());
    let root = fs.root().expect("root");
    let file = at(&fs, "/d/f").ino();
    for same in ["d/f", "//d///f", "d/./f", "d/../d/f", "../../d/f", "/d/../../d/f"] {
        assert_eq!(at(&fs, same).ino(), file, "{same}");
    }
    for root_too in ["", "/", ".", "..", "d/.."] {
        assert_eq!(at(&fs, root_too).ino(), root.ino(), "{root_too:?}");
    }
    let walk = |path: &str| path::resolve(&root, path.as_bytes()).map(|inode| inode.ino());
    expect_errno(walk("d/f/"), Errno::NotDirectory);
    expect_errno(walk("d/f/.."), Errno::NotDirectory);
    expect_errno(walk("d/g"), Errno::NotFound);
    expect_errno(walk("e/f"), Errno::NotFound);
    expect_errno(walk(&"n".repeat(256)), Errno::NameTooLong);
    expect_errno(walk(&"d/../".repeat(1000)), Errno::NameTooLong);
    let (dir, name) = path::parent(&root, b"/d/new/").expect("the parent");
    assert_eq!((dir.ino(), name), (at(&fs, "d").ino(), &b"new"[..]));
}

#[test]
fn files_of_sizes_around_each_boundary_are_equal_byte_for_byte() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let mut sizes = vec![0, 1, 7, 8, 9, 511, 512];
    for pages in [1, 2, LEVELS[1], LEVELS[2]] {
        sizes.extend([-1, 0, 1].map(|delta| pages as i64 * BLOCK as i64 + delta));
    }
    sizes.extend([5_000_000, 20 * BLOCK as i64 + 17]);
    let source = |size: i64| pattern(size as u64, size as usize);
    for &size in &sizes {
        std::fs::write(tree.join(size.to_string()), source(size)).expect("a file");
    }
    let fs = mount_read_only(Image::of_tree(scratch, &tree, 8192, &[]).machine());
    for size in sizes {
        let file = at(&fs, &size.to_string());
        assert_eq!(file.attr().size, size as u64);
        assert!(read_all(&*file) == source(size), "the file of {size} bytes differs");
        if size < 100_000 {
            assert!(read_in_steps(&*file, 1021) == source(size), "{size} bytes in odd steps");
        }
        // The last is as far as a read may reach: beyond, an offset is invalid.
        for past in [0, 1, BLOCK, i64::MAX as u64 - 10 - size as u64] {
            assert_eq!(read_range(&*file, size as u64 + past, 10), b"");
        }
        // All blocks are there: nothing but one end-to-end run of extents, and none of it a hole.
        let pages: Vec<u64> = (0..(size as u64).div_ceil(BLOCK)).collect();
        assert_eq!(common::allocated_pages(&*file), pages);
    }
}

#[test]
fn a_directory_of_three_thousand_names_lists_each_once_from_any_position() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let dir = tree.join("many");
    std::fs::create_dir(&dir).expect("a directory");
    let name = |number: usize| format!("{number}-{}", "n".repeat(number % 50));
    let made: BTreeSet<Vec<u8>> = (0..3000).map(|number| name(number).into_bytes()).collect();
    for number in 0..3000 {
        std::fs::write(dir.join(name(number)), "").expect("an empty file");
    }
    let image = Image::of_tree(scratch, &tree, 2048, &["-N", "4096"]);
    check(&image, &made, name);

    // The same with hash trees: a reader that knows nothing of them sees the same names.
    image.index_directories();
    let flags = image.debugfs("stat /many");
    assert!(flags.contains("Flags: 0x1000"), "e2fsck -D made no index: {flags}");
    check(&image, &made, name);

    fn check(image: &Image, made: &BTreeSet<Vec<u8>>, name: impl Fn(usize) -> String) {
        let fs = mount_read_only(image.machine());
        let dir = at(&fs, "many");
        let all = names(&*dir);
        assert_eq!(all.len(), made.len() + 2);
        let listed: BTreeSet<_> = all.iter().filter(|name| !name.starts_with(b".")).cloned().collect();
        assert_eq!(&listed, made);
        for number in (0..3000).step_by(97) {
            let file = dir.lookup(name(number).as_bytes()).expect("the name is there");
            assert_eq!(file.kind(), FileKind::File);
        }
        expect_errno(dir.lookup(b"3000-").map(|inode| inode.ino()), Errno::NotFound);
        // A listing that is taken up again after every seventh name.
        let (mut position, mut pieces) = (0, Vec::new());
        loop {
            let before = pieces.len();
            let result = dir.read_dir(position, &mut |entry| {
                pieces.push(entry.name.to_vec());
                position = entry.next;
                if pieces.len() == before + 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            result.expect("read_dir");
            if pieces.len() == before {
                break;
            }
        }
        assert_eq!(pieces, all);
    }
}

#[test]
fn symlinks_short_and_long_are_read_and_followed() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::create_dir_all(tree.join("d/e")).expect("directories");
    std::fs::write(tree.join("d/f"), "target").expect("a file");
    let link = |target: &str, name: &str| symlink(target, tree.join(name)).expect("a link");
    // 59 bytes are the most that fit in the inode; the others have a block.
    let lengths = [1, 8, 58, 59, 60, 61, 255, 1000, 4095];
    for length in lengths {
        link(&"t".repeat(length), &format!("raw{length}"));
    }
    link("d/f", "relative");
    link("/d/f", "absolute");
    link("../../relative", "d/e/up");
    link("d/", "dir");
    link(&format!("{}d/f", "./".repeat(500)), "slow");
    link("nowhere", "dangling");
    link("loop2", "loop1");
    link("loop1", "loop2");
    link("d/f/", "slash");
    let fs = mount_read_only(Image::of_tree(scratch, &tree, 512, &[]).machine());
    let root = fs.root().expect("root");
    for length in lengths {
        let name = format!("raw{length}");
        let found = path::resolve_no_follow(&root, name.as_bytes()).expect("the link itself");
        assert_eq!(found.kind(), FileKind::Symlink);
        assert_eq!(found.attr().size, length as u64);
        assert_eq!(found.read_link().expect("its target"), "t".repeat(length).into_bytes());
    }
    let file = at(&fs, "d/f").ino();
    for path in ["relative", "absolute", "d/e/up", "dir/f", "dir/e/up", "slow", "dir/../slow"] {
        assert_eq!(at(&fs, path).ino(), file, "{path}");
    }
    let walk = |path: &str| path::resolve(&root, path.as_bytes()).map(|inode| inode.ino());
    expect_errno(walk("dangling"), Errno::NotFound);
    expect_errno(walk("loop1"), Errno::Loop);
    expect_errno(walk("relative/x"), Errno::NotDirectory);
    expect_errno(walk("slash"), Errno::NotDirectory);
    expect_errno(at(&fs, "d/f").read_link(), Errno::Invalid);
    expect_errno(at(&fs, "d").read_link(), Errno::Invalid);
}

#[test]
fn attributes_are_those_of_the_source_in_inodes_of_128_and_256_bytes() {
    for size in ["128", "256"] {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        std::fs::create_dir_all(tree.join("d/e")).expect("directories");
        std::fs::write(tree.join("d/f"), pattern(1, 70_000)).expect("a file");
        std::fs::hard_link(tree.join("d/f"), tree.join("d/e/hard")).expect("a second name");
        let set = |path: &str, mode| {
            let rights = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(tree.join(path), rights).expect("rights");
        };
        set("d/f", 0o4751);
        set("d/e", 0o1777);
        let sources = ["d", "d/e", "d/f", "d/e/hard"].map(|path| (path, host(&tree.join(path))));
        let fs = mount_read_only(Image::of_tree(scratch, &tree, 512, &["-I", size]).machine());
        for (path, source) in sources {
            let attr = at(&fs, path).attr();
            let here = (attr.mode, attr.links, attr.uid, attr.gid, attr.mtime.secs);
            assert_eq!(here, source, "{path} in inodes of {size} bytes");
        }
        assert_eq!(at(&fs, "d/f").ino(), at(&fs, "d/e/hard").ino());
        // 18 blocks of data and one of pointers, in units of 512 bytes.
        assert_eq!(at(&fs, "d/f").attr().blocks, 19 * 8);
    }

    fn host(path: &Path) -> (u16, u32, u32, u32, i64) {
        let meta = std::fs::metadata(path).expect("metadata");
        (meta.mode() as u16 & 0o7777, meta.nlink() as u32, meta.uid(), meta.gid(), meta.mtime())
    }
}
