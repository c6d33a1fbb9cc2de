//! Walking paths across file systems: mount points, `..` out of them, starting places, links.

use crate::common;
use crate::common::{Image, Machine, Scratch, create, expect_errno, mkdir, mount, mount_read_only, rmdir};
use fs::ext2::Ext2;
use fs::vfs::path::{self, Covered, Namespace, PATH_MAX, Place};
use fs::vfs::{FileKind, FileSystem, InodeRef};
use fs::{Errno, Result};
use std::os::unix::fs::symlink;
use std::sync::Arc;

/// What is mounted where: file system 0 is at `/`, each other one on a directory of one before it.
struct Mounts {
    all: Vec<Arc<Ext2<Machine>>>,
    points: Vec<Option<(usize, InodeRef<Machine>)>>,
}

type Found = Place<Machine, usize>;

impl Mounts {
    fn new(root: Arc<Ext2<Machine>>) -> Self {
        Self { all: vec![root], points: vec![None] }
    }

    fn mount(&mut self, fs: Arc<Ext2<Machine>>, point: &str) {
        let place = self.walk(point);
        self.all.push(fs);
        self.points.push(Some((place.mount, place.file)));
    }

    fn place(&self, mount: usize) -> Result<Found> {
        Ok(Place { file: self.all[mount].root()?, mount })
    }

    fn try_walk(&self, path: &str) -> Result<Found> {
        path::walk(self, None, path.as_bytes(), true)
    }

    fn walk(&self, path: &str) -> Found {
        self.try_walk(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// File system and inode number of what `path` names.
    fn id(&self, path: &str) -> (usize, u64) {
        id(&self.walk(path))
    }
}

fn id(place: &Found) -> (usize, u64) {
    (place.mount, place.file.ino())
}

impl Namespace<Machine> for Mounts {
    type Mount = usize;

    fn root(&self) -> Result<Found> {
        self.place(0)
    }

    fn mounted_on(&self, mount: &usize, ino: u64) -> Option<Result<Found>> {
        let here = |point: &Option<(usize, InodeRef<Machine>)>| {
            point.as_ref().is_some_and(|(on, dir)| on == mount && dir.ino() == ino)
        };
        self.points.iter().position(here).map(|index| self.place(index))
    }

    fn covered_by(&self, mount: &usize, ino: u64) -> Option<Covered<Machine, usize>> {
        if self.all[*mount].root().ok()?.ino() != ino {
            return None;
        }
        Some(match &self.points[*mount] {
            None => Covered::Nothing,
            Some((mount, file)) => Covered::Directory(Place { file: file.clone(), mount: *mount }),
        })
    }
}

const ROOT: u64 = 2;

/// `/` with `a/b/point` and links; on `point` a second file system with `c/d`; on its `c/d` a third with `e`.
fn three() -> (Mounts, Vec<Image>) {
    let (one, two, three) = (Scratch::new(), Scratch::new(), Scratch::new());
    let tree = one.tree();
    std::fs::create_dir_all(tree.join("a/b/point")).expect("directories");
    std::fs::write(tree.join("a/f"), "x").expect("a file");
    symlink("/a/b/point/c", tree.join("a/in")).expect("a link");
    symlink("b/point/c/d/../..", tree.join("a/around")).expect("a link");
    let images = vec![
        Image::of_tree(one, &tree, 512, &[]),
        {
            let tree = two.tree();
            std::fs::create_dir_all(tree.join("c/d")).expect("directories");
            symlink("../../../..", tree.join("c/out")).expect("a link");
            symlink("/a", tree.join("c/absolute")).expect("a link");
            Image::of_tree(two, &tree, 512, &[])
        },
        {
            let tree = three.tree();
            std::fs::create_dir(tree.join("e")).expect("a directory");
            Image::of_tree(three, &tree, 512, &[])
        },
    ];
    let mut mounts = Mounts::new(mount_read_only(images[0].machine()));
    mounts.mount(mount_read_only(images[1].machine()), "/a/b/point");
    mounts.mount(mount_read_only(images[2].machine()), "/a/b/point/c/d");
    (mounts, images)
}

#[test]
fn a_mount_point_leads_into_what_is_mounted_and_dots_lead_out() {
    let (mounts, _images) = three();
    assert_eq!(mounts.id("/a/b/point"), (1, ROOT));
    assert_eq!(mounts.id("/a/b/point/"), (1, ROOT));
    assert_eq!(mounts.id("/a/b/point/."), (1, ROOT));
    assert_eq!(mounts.id("/a/b/point/c/d"), (2, ROOT));
    assert_eq!(mounts.walk("/a/b/point/c/d/e").mount, 2);
    // `..` of a mounted root is the directory above the one it covers, not the root itself and not the
    // covered one.
    assert_eq!(mounts.id("/a/b/point/.."), mounts.id("/a/b"));
    assert_eq!(mounts.id("/a/b/point/c/d/.."), mounts.id("/a/b/point/c"));
    assert_eq!(mounts.id("/a/b/point/c/d/e/../../../../../.."), (0, ROOT));
    // Going up and down again enters the mount again.
    assert_eq!(mounts.id("/a/b/point/../point/c/../c/d"), (2, ROOT));
    assert_eq!(mounts.id("/../../a/../.."), (0, ROOT));
}

#[test]
fn links_lead_into_mounts_and_out_of_them() {
    let (mounts, _images) = three();
    assert_eq!(mounts.id("/a/in"), mounts.id("/a/b/point/c"));
    assert_eq!(mounts.id("/a/in/d"), (2, ROOT));
    // `..` behind a link goes up from where the link led.
    assert_eq!(mounts.id("/a/in/.."), (1, ROOT));
    assert_eq!(mounts.id("/a/around"), (1, ROOT));
    assert_eq!(mounts.id("/a/around/c/out"), (0, ROOT));
    assert_eq!(mounts.id("/a/in/absolute"), mounts.id("/a"));
    assert_eq!(mounts.id("/a/in/absolute/in/absolute/f"), mounts.id("/a/f"));
    expect_errno(mounts.try_walk("/a/in/absolute/f/"), Errno::NotDirectory);
    let unfollowed = path::walk(&mounts, None, b"/a/in", false).expect("the link");
    assert_eq!((unfollowed.mount, unfollowed.file.kind()), (0, FileKind::Symlink));
    assert!(path::walk(&mounts, None, b"/a/in/", false).expect("what it leads to").is_directory());
}

#[test]
fn a_walk_starts_where_it_is_told_unless_the_path_begins_at_the_root() {
    let (mounts, _images) = three();
    let start = mounts.walk("/a/b/point/c");
    let walk = |path: &str| path::walk(&mounts, Some(&start), path.as_bytes(), true).map(|place| id(&place));
    for same in ["", ".", "./", "d/..", "../c", "../../point/c"] {
        assert_eq!(walk(same), Ok(mounts.id("/a/b/point/c")), "{same:?}");
    }
    assert_eq!(walk("d/e"), Ok(mounts.id("/a/b/point/c/d/e")));
    assert_eq!(walk(".."), Ok((1, ROOT)));
    assert_eq!(walk("../.."), Ok(mounts.id("/a/b")));
    assert_eq!(walk("/a/f"), Ok(mounts.id("/a/f")));
    expect_errno(walk("f"), Errno::NotFound);
    let (dir, name) = path::parent_place(&mounts, Some(&start), b"../new//").expect("the parent");
    assert_eq!((id(&dir), name), ((1, ROOT), &b"new"[..]));
    let (dir, name) = path::parent_place(&mounts, Some(&start), b"new").expect("the parent");
    assert_eq!((id(&dir), name), (id(&start), &b"new"[..]));
    // A file is no place to start, but for itself.
    let file = mounts.walk("/a/f");
    for path in [&b"x"[..], b".", b".."] {
        expect_errno(path::walk(&mounts, Some(&file), path, true).map(|_| ()), Errno::NotDirectory);
    }
}

#[test]
fn a_directory_is_found_in_those_above_it() {
    let (mounts, _images) = three();
    let path_to = |path: &str| path::path_to(&mounts, &mounts.walk(path)).expect("a path");
    assert_eq!(path_to("/"), b"/");
    assert_eq!(path_to("/a/./b/.."), b"/a");
    assert_eq!(path_to("/a/in"), b"/a/b/point/c");
    assert_eq!(path_to("/a/in/d"), b"/a/b/point/c/d");
    assert_eq!(path_to("/a/in/d/e"), b"/a/b/point/c/d/e");
    let within = |place: &str, dir: &str| path::is_within(&mounts, &mounts.walk(place), &mounts.walk(dir));
    for (place, dir, yes) in [
        ("/a", "/a", true),
        ("/a/b", "/a", true),
        ("/a", "/a/b", false),
        ("/a/in/d/e", "/", true),
        ("/a/in/d/e", "/a/b/point", true),
        ("/a/in/d", "/a/in/d/e", false),
        // Roots have the same number on every file system.
        ("/", "/a/b/point", false),
    ] {
        assert_eq!(within(place, dir), Ok(yes), "{place} in {dir}");
    }
}

#[test]
fn a_name_is_not_taken_for_a_path() {
    let (mounts, _images) = three();
    let dir = mounts.walk("/a/b");
    let child = |name: &str| path::child(&mounts, &dir, name.as_bytes()).map(|place| id(&place));
    assert_eq!(child("point"), Ok((1, ROOT)));
    expect_errno(child("point/c"), Errno::Invalid);
    expect_errno(child("/a"), Errno::Invalid);
    for dots in [".", ".."] {
        expect_errno(child(dots), Errno::Invalid);
    }
    expect_errno(child(""), Errno::NotFound);
    let dir = mounts.walk("/a");
    let link = path::child(&mounts, &dir, b"in").expect("the link");
    assert_eq!(link.file.kind(), FileKind::Symlink);
}

#[test]
fn directories_in_a_circle_are_an_error_not_an_endless_loop() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::create_dir_all(tree.join("a/b/c")).expect("directories");
    let image = Image::of_tree(scratch, &tree, 256, &[]);
    let inode = |path: &str| common::at(&mount_read_only(image.machine()), path).ino();
    let (a, c) = (inode("a"), inode("a/b/c"));
    // `..` of a is c: it is above itself, and nobody gets out of it.
    let at = (image.bmap("/a", 0).expect("its block") * common::BLOCK) as usize + 12;
    let mut bytes = image.bytes();
    bytes[at..at + 4].copy_from_slice(&(c as u32).to_le_bytes());
    image.store_bytes(&bytes);
    let mounts = Mounts::new(mount_read_only(image.machine()));
    assert_eq!(mounts.id("/a/.."), (0, c));
    let start = mounts.walk("/a/b");
    let root = mounts.walk("/");
    expect_errno(path::is_within(&mounts, &start, &root), Errno::Loop);
    assert_eq!(
        path::is_within(&mounts, &start, &Place { file: common::at(&mounts.all[0], "a"), mount: 0 }),
        Ok(true)
    );
    assert_eq!(common::at(&mounts.all[0], "a").ino(), a);
    assert!(path::path_to(&mounts, &start).is_err());
}

#[test]
fn a_path_has_its_limits() {
    let (mounts, _images) = three();
    let longest = "./".repeat(PATH_MAX / 2) + "a";
    assert_eq!(longest.len(), PATH_MAX);
    assert_eq!(mounts.id(&longest), mounts.id("/a"));
    expect_errno(mounts.try_walk(&format!("{longest}/")), Errno::NameTooLong);
    let new = "./".repeat(PATH_MAX / 2) + "new";
    expect_errno(path::parent_place(&mounts, None, new.as_bytes()).map(|_| ()), Errno::NameTooLong);
}

#[test]
fn forty_links_are_followed_and_one_more_is_a_loop() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::create_dir(tree.join("d")).expect("a directory");
    for number in 0..41 {
        let target = if number == 0 { "d".to_owned() } else { format!("link-{}", number - 1) };
        symlink(target, tree.join(format!("link-{number}"))).expect("a link");
    }
    symlink("self/x", tree.join("self")).expect("a link");
    symlink(".", tree.join("here")).expect("a link");
    // Each step makes what is left to walk longer: 40 of the longest links must be no trouble.
    symlink(format!("{}grow", "here/../".repeat(500)), tree.join("grow")).expect("a link");
    let image = Image::of_tree(scratch, &tree, 512, &[]);
    let fs = mount_read_only(image.machine());
    let mounts = Mounts::new(fs);
    assert_eq!(mounts.id("/link-39"), mounts.id("/d"));
    expect_errno(mounts.try_walk("/link-40"), Errno::Loop);
    expect_errno(mounts.try_walk("/self"), Errno::Loop);
    expect_errno(mounts.try_walk("/grow"), Errno::Loop);
    assert_eq!(mounts.id(&"here/".repeat(40)), (0, ROOT));
    expect_errno(mounts.try_walk(&"here/".repeat(41)), Errno::Loop);
    expect_errno(mounts.try_walk(&"d/".repeat(2)), Errno::NotFound);
}

#[test]
fn nothing_is_found_from_a_directory_that_was_removed() {
    let image = Image::new(256);
    let machine = image.machine();
    let fs = mount(machine);
    drop((mkdir(&fs, "a"), mkdir(&fs, "a/b")));
    let start = Place { file: common::at(&fs, "a/b"), mount: () };
    rmdir(&fs, "a/b").expect("rmdir");
    rmdir(&fs, "a").expect("rmdir of the parent");
    // Its parent's inode is somebody else's by now.
    drop(create(&fs, "f"));
    let root = fs.root().expect("root");
    for path in [&b".."[..], b"../f", b"x", b"./.."] {
        expect_errno(path::walk(&root, Some(&start), path, true).map(|_| ()), Errno::NotFound);
    }
    assert_eq!(
        path::walk(&root, Some(&start), b"/f", true).expect("from the root").file.ino(),
        common::at(&fs, "f").ino()
    );
    assert!(!fs.met_errors(), "a removed directory was taken for a contradiction in the image");
}
