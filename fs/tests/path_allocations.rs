//! What a walk costs: a path without symbolic links allocates nothing, one with them only for their targets.
//!
//! The allocator counts; each thread its own, so that tests beside it don't disturb.

use crate::common::{Image, Scratch, mount_read_only};
use fs::vfs::path::{self, Place};
use fs::vfs::{FileSystem, InodeRef};
use fuzz_exec::meter;
use std::os::unix::fs::symlink;

/// Allocations that `work` makes on this thread.
fn allocations<R>(work: impl FnOnce() -> R) -> u64 {
    meter::allocations(work).0
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| std::hint::black_box(Box::new(5))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_walk_without_links_allocates_nothing() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    let deep = "some-directory/another/".repeat(20);
    std::fs::create_dir_all(tree.join(&deep)).expect("directories");
    std::fs::write(tree.join(&deep).join("file"), "x").expect("a file");
    symlink("some-directory", tree.join("link")).expect("a link");
    let image = Image::of_tree(scratch, &tree, 512, &[]);
    let fs = mount_read_only(image.machine());
    let root = fs.root().expect("root");
    let path = format!("/{deep}file");
    // The inodes on the way stay in memory as long as somebody holds them.
    let mut held: Vec<InodeRef<_>> = Vec::new();
    for (end, _) in path.match_indices('/').skip(1) {
        held.push(path::resolve(&root, &path.as_bytes()[..end]).expect("on the way"));
    }
    held.push(path::resolve(&root, path.as_bytes()).expect("the file"));
    held.push(path::resolve_no_follow(&root, b"link").expect("the link"));
    let middle = Place { file: held[held.len() / 2].clone(), mount: () };

    let absolute = || path::walk(&root, None, path.as_bytes(), true).expect("the file");
    assert_eq!(allocations(absolute), 0, "an absolute path");
    let up = "../".repeat(10);
    let relative = || path::walk(&root, Some(&middle), up.as_bytes(), true).expect("above");
    assert_eq!(allocations(relative), 0, "a relative path with dots");
    let parent = || path::parent_place(&root, None, path.as_bytes()).expect("the directory");
    assert_eq!(allocations(parent), 0, "the parent directory");
    let missing = || path::walk(&root, None, b"some-directory/missing", true).map(|_| ());
    assert_eq!(allocations(missing), 0, "a name that is not there");
    let unfollowed = || path::walk(&root, None, b"link", false).expect("the link");
    assert_eq!(allocations(unfollowed), 0, "a link itself");
    // The target, and room for what is left of the path.
    let linked = || path::walk(&root, None, b"link/another", true).expect("behind a link");
    assert!((1..=2).contains(&allocations(linked)), "behind a link");
}
