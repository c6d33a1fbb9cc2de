//! Names: made, removed and moved in every way POSIX knows, with links counted right.

use crate::common::{
    Image, Machine, Scratch, at, create, expect_errno, mkdir, mount_read_only, names, pattern, read_all,
    rename,
};
use crate::common::{rmdir, session, unlink, write};
use fs::Errno;
use fs::ext2::Ext2;
use fs::vfs::{FileKind, FileSystem};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

fn links(fs: &Arc<Ext2<Machine>>, path: &str) -> u32 {
    at(fs, path).attr().links
}

fn gone(fs: &Ext2<Machine>, path: &str) {
    let root = fs.root().expect("root");
    let found = fs::vfs::path::resolve_no_follow(&root, path.as_bytes());
    expect_errno(found.map(|inode| inode.ino()), Errno::NotFound);
}

#[test]
fn directories_are_made_and_removed_and_parents_count_them() {
    let image = Image::new(256);
    session(&image, |fs| {
        let before = (links(fs, "/"), fs.stat_fs());
        let dir = mkdir(fs, "d");
        assert_eq!((dir.attr().links, links(fs, "/")), (2, before.0 + 1));
        assert_eq!(names(&*dir), [b".".to_vec(), b"..".to_vec()]);
        assert_eq!((at(fs, "d/.").ino(), at(fs, "d/..").ino()), (dir.ino(), at(fs, "/").ino()));
        drop(mkdir(fs, "d/e"));
        assert_eq!(dir.attr().links, 3);
        expect_errno(rmdir(fs, "d"), Errno::NotEmpty);
        expect_errno(unlink(fs, "d/e"), Errno::IsDirectory);
        expect_errno(rmdir(fs, "d/x"), Errno::NotFound);
        drop(create(fs, "d/f"));
        expect_errno(rmdir(fs, "d/f"), Errno::NotDirectory);
        rmdir(fs, "d/e").expect("rmdir");
        assert_eq!(dir.attr().links, 2);
        unlink(fs, "d/f").expect("unlink");
        rmdir(fs, "d").expect("rmdir");
        gone(fs, "d");
        // Whoever still stands in the directory cannot put anything into it.
        expect_errno(dir.create(b"f", FileKind::File, 0o644).map(|_| ()), Errno::NotFound);
        expect_errno(dir.create(b"d", FileKind::Directory, 0o755).map(|_| ()), Errno::NotFound);
        drop(dir);
        let after = (links(fs, "/"), fs.stat_fs());
        assert_eq!(after, before);
    });
}

#[test]
fn names_that_cannot_be_are_refused() {
    let image = Image::new(256);
    session(&image, |fs| {
        let root = fs.root().expect("root");
        let make = |name: &[u8]| root.create(name, FileKind::File, 0o644).map(|_| ());
        expect_errno(make(&[b'n'; 256]), Errno::NameTooLong);
        expect_errno(make(&[b'n'; 5000]), Errno::NameTooLong);
        for name in [&b"."[..], b".."] {
            assert!(make(name).is_err(), "{name:?} was made");
            assert!(root.unlink(name).is_err(), "{name:?} was unlinked");
            assert!(root.rmdir(name).is_err(), "{name:?} was removed");
        }
        for name in [&b""[..], b"a/b", b"a\0b", b"/", b"\0"] {
            assert!(make(name).is_err(), "{name:?} was made");
        }
        make(&[0xFF; 255]).expect("255 bytes, whatever they are");
        expect_errno(make(&[0xFF; 255]), Errno::Exists);
        expect_errno(make(b"lost+found"), Errno::Exists);
        assert_eq!(names(&*root).len(), 4);
        root.unlink(&[0xFF; 255]).expect("unlink");
    });
}

#[test]
fn a_directory_grows_over_blocks_and_its_gaps_are_used_again() {
    let image = Image::with(Scratch::new(), 1024, &["-N", "2048"]);
    let name = |number: usize| format!("d/{number}{}", "-".repeat(number * 7 % 200));
    session(&image, |fs| {
        let dir = mkdir(fs, "d");
        for number in 0..600 {
            drop(create(fs, &name(number)));
        }
        let size = dir.attr().size;
        for number in (0..600).step_by(3) {
            unlink(fs, &name(number)).expect("unlink");
        }
        for number in (0..600).step_by(3) {
            drop(create(fs, &name(number)));
        }
        assert_eq!(dir.attr().size, size, "names of the same lengths found no room where they were");
        let listed: BTreeSet<Vec<u8>> = names(&*dir).into_iter().collect();
        assert_eq!(listed.len(), 602);
    });
    let listed: BTreeSet<String> = std::fs::read_dir(image.dump().join("d"))
        .expect("the dump")
        .map(|entry| format!("d/{}", entry.expect("an entry").file_name().display()))
        .collect();
    assert_eq!(listed, (0..600).map(name).collect());
    session(&image, |fs| {
        for number in 0..600 {
            unlink(fs, &name(number)).expect("unlink");
        }
        rmdir(fs, "d").expect("rmdir");
    });
}

#[test]
fn a_directory_with_a_hash_index_can_be_changed() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::create_dir(tree.join("d")).expect("a directory");
    for number in 0..400 {
        std::fs::write(tree.join(format!("d/name-{number:040}")), "").expect("a file");
    }
    let image = Image::of_tree(scratch, &tree, 1024, &["-N", "2048"]);
    image.index_directories();
    assert!(image.debugfs("stat /d").contains("Flags: 0x1000"), "e2fsck -D made no index");
    session(&image, |fs| {
        for number in 400..600 {
            drop(create(fs, &format!("d/name-{number:040}")));
        }
        for number in (0..600).step_by(2) {
            unlink(fs, &format!("d/name-{number:040}")).expect("unlink");
        }
        rename(fs, &format!("d/name-{:040}", 1), "d/moved").expect("rename");
        assert_eq!(names(&*at(fs, "d")).len(), 302);
    });
    // An index that was left behind and lies would hide names from those who trust it.
    image.debugfs(&format!("stat /d/name-{:040}", 599));
    image.debugfs("stat /d/moved");
}

#[test]
fn files_move_within_and_across_directories_and_replace_others() {
    let image = Image::new(256);
    session(&image, |fs| {
        drop((mkdir(fs, "a"), mkdir(fs, "b")));
        let inodes = fs.stat_fs().inodes_free;
        write(&*create(fs, "a/f"), 0, b"one");
        let ino = at(fs, "a/f").ino();
        rename(fs, "a/f", "a/g").expect("within a directory");
        rename(fs, "a/g", "b/longer-name-than-before").expect("across directories");
        rename(fs, "b/longer-name-than-before", "f").expect("up");
        gone(fs, "a/f");
        assert_eq!((at(fs, "f").ino(), read_all(&*at(fs, "f"))), (ino, b"one".to_vec()));

        // Over a file: it goes, when its last handle does.
        write(&*create(fs, "b/old"), 0, &pattern(1, 60_000));
        let old = at(fs, "b/old");
        rename(fs, "f", "b/old").expect("over a file");
        assert_eq!(at(fs, "b/old").ino(), ino);
        assert_eq!(old.attr().links, 0);
        assert!(read_all(&*old) == pattern(1, 60_000));
        drop(old);
        assert_eq!(fs.stat_fs().inodes_free, inodes - 1);

        rename(fs, "b/old", "b/old").expect("onto itself");
        assert_eq!(at(fs, "b/old").ino(), ino);
        expect_errno(rename(fs, "b/none", "b/x"), Errno::NotFound);
        expect_errno(rename(fs, "b/old", "a"), Errno::IsDirectory);
        expect_errno(rename(fs, "b/old", &format!("a/{}", "x".repeat(256))), Errno::NameTooLong);
        assert!(rename(fs, "b/none", "b/old").is_err());
        assert_eq!(read_all(&*at(fs, "b/old")), b"one");
    });
    assert_eq!(image.cat("/b/old"), b"one");
}

#[test]
fn directories_move_and_take_their_parent_link_along() {
    let image = Image::new(256);
    session(&image, |fs| {
        drop((mkdir(fs, "a"), mkdir(fs, "b"), mkdir(fs, "a/d"), mkdir(fs, "a/d/e")));
        drop(create(fs, "a/d/f"));
        let root_links = links(fs, "/");
        rename(fs, "a/d", "b/d").expect("across directories");
        assert_eq!((links(fs, "a"), links(fs, "b"), links(fs, "b/d")), (2, 3, 3));
        assert_eq!(at(fs, "b/d/..").ino(), at(fs, "b").ino());
        rename(fs, "b/d", "b/dd").expect("within a directory");
        assert_eq!((links(fs, "b"), at(fs, "b/dd/..").ino()), (3, at(fs, "b").ino()));

        // Into itself, below itself, onto what is not empty, onto what is no directory.
        expect_errno(rename(fs, "b", "b/inside"), Errno::Invalid);
        expect_errno(rename(fs, "b", "b/dd/e/inside"), Errno::Invalid);
        expect_errno(rename(fs, "a", "b"), Errno::NotEmpty);
        expect_errno(rename(fs, "a", "b/dd/f"), Errno::NotDirectory);
        assert!(rename(fs, "b/dd", "b").is_err(), "a directory replaced its own parent");

        rename(fs, "b/dd", "a").expect("over an empty directory");
        gone(fs, "b/dd");
        assert_eq!((links(fs, "/"), links(fs, "a"), links(fs, "b")), (root_links, 3, 2));
        assert_eq!(at(fs, "a/..").ino(), at(fs, "/").ino());
        assert_eq!(at(fs, "a/e/..").ino(), at(fs, "a").ino());
        drop(at(fs, "a/f"));
        rename(fs, "a", "b/a").expect("down");
        assert_eq!((links(fs, "/"), links(fs, "b")), (root_links - 1, 3));
    });
    assert!(image.dump().join("b/a/f").is_file());
}

#[test]
fn a_hard_link_keeps_the_file_and_renaming_it_onto_its_twin_does_nothing() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::write(tree.join("f"), "shared").expect("a file");
    std::fs::hard_link(tree.join("f"), tree.join("g")).expect("a second name");
    std::fs::hard_link(tree.join("f"), tree.join("h")).expect("a third name");
    let image = Image::of_tree(scratch, &tree, 256, &[]);
    session(&image, |fs| {
        assert_eq!((links(fs, "f"), at(fs, "f").ino()), (3, at(fs, "g").ino()));
        rename(fs, "f", "g").expect("onto its twin");
        assert_eq!((links(fs, "f"), links(fs, "g")), (3, 3));
        unlink(fs, "f").expect("unlink");
        assert_eq!((links(fs, "g"), read_all(&*at(fs, "g"))), (2, b"shared".to_vec()));
        drop(create(fs, "x"));
        rename(fs, "x", "g").expect("over one of two names");
        assert_eq!((links(fs, "h"), links(fs, "g")), (1, 1));
        assert_eq!(read_all(&*at(fs, "h")), b"shared");
    });
}

#[test]
fn directories_and_files_refuse_what_the_other_does() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::write(tree.join("f"), "x").expect("a file");
    let fs = mount_read_only(Image::of_tree(scratch, &tree, 512, &[]).machine());
    let (root, file) = (fs.root().expect("root"), at(&fs, "f"));
    expect_errno(file.lookup(b"x").map(|inode| inode.ino()), Errno::NotDirectory);
    expect_errno(file.read_dir(0, &mut |_| ControlFlow::Continue(())), Errno::NotDirectory);
    expect_errno(root.read_at(0, &mut [0; 8]), Errno::IsDirectory);
    let stat = fs.stat_fs();
    assert_eq!((stat.block_size, stat.inodes), (4096, 256));
    assert_eq!(stat.inodes_free, 256 - 12);
    assert!(stat.blocks_available < stat.blocks_free && stat.blocks_free < stat.blocks);
}
