//! Renames: as a whole or not at all, whenever a crash comes; without replacing, and exchanging.

use crate::common;
use crate::common::tape::Tape;
use crate::common::{
    Image, Machine, Scratch, at, create, expect_errno, mkdir, mount, pattern, read_all, write,
};
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, FileSystem, InodeRef, Rename, path};
use fs::{Errno, Error, Result};
use std::collections::BTreeMap;

fn rename<P: Platform>(fs: &Ext2<P>, old: &str, new: &str, how: Rename) -> Result<()> {
    let root = fs.root()?;
    let (old_dir, old_name) = path::parent(&root, old.as_bytes())?;
    let (new_dir, new_name) = path::parent(&root, new.as_bytes())?;
    fs.rename(old_dir.ino(), old_name, new_dir.ino(), new_name, how)
}

/// Each name in the tree, with what it leads to: number, kind, links, and, of a directory, what `..` is.
type Tree = BTreeMap<String, (u64, FileKind, u32, u64)>;

fn tree<P: Platform>(fs: &Ext2<P>) -> Tree {
    let mut tree = Tree::new();
    walk(&mut tree, &fs.root().expect("root"), "");
    tree
}

fn walk<P: Platform>(tree: &mut Tree, dir: &InodeRef<P>, path: &str) {
    for name in common::names(&**dir) {
        let inode = dir.lookup(&name).expect("a name that was listed");
        let whole = format!("{path}/{}", String::from_utf8_lossy(&name));
        let is_dir = inode.kind() == FileKind::Directory;
        let above = if is_dir { inode.lookup(b"..").expect("..").ino() } else { 0 };
        let old = tree.insert(whole.clone(), (inode.ino(), inode.kind(), inode.attr().links, above));
        assert_eq!(old, None, "{whole} is there twice");
        if is_dir && name != b"." && name != b".." {
            walk(tree, &inode, &whole);
        }
    }
}

/// Long enough that no record holds it.
fn long(c: char) -> String {
    c.to_string().repeat(200)
}

fn stage() -> Image {
    let image = Image::with(Scratch::new(), 256, &["-N", "64"]);
    common::session(&image, |fs| {
        for (n, name) in ["f", "g", "a-longer-name.txt"].into_iter().enumerate() {
            write(&*create(fs, name), 0, &pattern(n as u64, 5000));
        }
        for name in ["d", "d/e", "d/e/deep", "x", "x/y", "empty", "x/void", "full"] {
            drop(mkdir(fs, name));
        }
        drop((create(fs, "d/file"), create(fs, "x/file"), create(fs, &format!("x/{}", long('l')))));
        // A directory whose block is full.
        (0..19).for_each(|n| drop(create(fs, &format!("full/{n:0200}"))));
        let g = at(fs, "g").ino();
        fs.root().expect("root").link(b"twin", g).expect("link");
    });
    image
}

/// What is renamed, and how many fences it may take.
fn cases() -> Vec<(String, String, Rename, usize)> {
    let case = |old: &str, new: &str, how, fences| (old.to_owned(), new.to_owned(), how, fences);
    let (replace, exchange) = (Rename::Replace, Rename::Exchange);
    vec![
        case("f", "new", replace, 3),
        case("f", "renamed to a name of some length, for which the old place is too small", replace, 3),
        case("f", "new", Rename::NoReplace, 3),
        case("f", "g", replace, 3),
        case("f", "d/e/new", replace, 3),
        case("f", "d/file", replace, 3),
        case("twin", "f", replace, 3),
        case("d", "x/y/d", replace, 3),
        case("d", "empty", replace, 3),
        case("d", "x/void", replace, 3),
        case("d/e", "e", replace, 3),
        case("d/e", "d/moved", replace, 3),
        case("f", &long('n'), replace, 4),
        case("d/e", &format!("x/{}", long('n')), replace, 4),
        case(&format!("x/{}", long('l')), "d/l", replace, 3),
        case("f", &format!("full/{}", long('n')), replace, 99),
        case("d", "full/d", replace, 99),
        case("f", "g", exchange, 3),
        case("f", "d/file", exchange, 3),
        case("d/e", "x/y", exchange, 3),
        case("d/e", "f", exchange, 3),
        case("f", "x/y", exchange, 3),
        case("d", "x", exchange, 3),
        case("g", &format!("x/{}", long('l')), exchange, 3),
    ]
}

#[test]
fn a_crash_at_any_point_shows_the_tree_as_before_or_as_after() {
    let image = stage();
    let judge = Image::new(256);
    for (old, new, how, fences) in cases() {
        let what = format!("{old:.20} to {new:.20}, {how:?}");
        let (mut tape, rig): (Tape, Machine) = Tape::record(&image.bytes());
        let fs = mount(rig.clone());
        let before = tree(&fs);
        tape.rewind(&rig);
        // What is replaced stays in memory: freeing it is another matter.
        let held = common_held(&fs, &new);
        rename(&fs, &old, &new, how).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(tape.fences() <= fences, "{what}: {} fences", tape.fences());
        let after = tree(&fs);
        assert_ne!(before, after, "{what}");
        let mut seen = [0, 0];
        tape.crashes(30, |point, bytes| {
            let machine = Machine::new(Ram::from_bytes(&bytes));
            let fs = mount(machine.clone());
            let now = tree(&fs);
            assert!(now == before || now == after, "{what}, {point}");
            let which = usize::from(now == after);
            seen[which] += 1;
            if seen[which] % 32 == 1 {
                fs.unmount().expect("unmount");
                judge.store_bytes(&machine.ram.to_bytes());
                judge.judge().unwrap_or_else(|complaints| panic!("{what}, {point}: {complaints}"));
            }
        });
        assert!(seen[0] > 0 && seen[1] > 0, "{what}: {seen:?}");
        drop(held);
        fs.unmount().expect("unmount");
        judge.store_bytes(&rig.ram.to_bytes());
        judge.expect_clean();
    }
}

/// The inode at `path`, if there is one.
fn common_held<P: Platform>(fs: &Ext2<P>, path: &str) -> Option<InodeRef<P>> {
    path::resolve(&fs.root().expect("root"), path.as_bytes()).ok()
}

#[test]
fn nothing_is_replaced_that_is_not_to_be() {
    let image = stage();
    common::session(&image, |fs| {
        let before = tree(fs);
        for (old, new) in [("f", "g"), ("f", "f"), ("g", "twin"), ("d", "empty"), ("f", "d"), ("d", "d/e")] {
            expect_errno(rename(fs, old, new, Rename::NoReplace), Errno::Exists);
        }
        expect_errno(rename(fs, "none", "new", Rename::NoReplace), Errno::NotFound);
        expect_errno(rename(fs, "d", "d/new", Rename::NoReplace), Errno::Invalid);
        assert_eq!(tree(fs), before);
        rename(fs, "f", "d/new", Rename::NoReplace).expect("the name is free");
        assert_eq!(read_all(&*at(fs, "d/new")), pattern(0, 5000));
    });
}

#[test]
fn an_exchange_is_of_any_two_that_are_not_in_each_other() {
    let image = stage();
    common::session(&image, |fs| {
        let before = tree(fs);
        expect_errno(rename(fs, "f", "none", Rename::Exchange), Errno::NotFound);
        expect_errno(rename(fs, "none", "f", Rename::Exchange), Errno::NotFound);
        for (one, other) in [
            ("d", "d/e"),
            ("d/e", "d"),
            ("d", "d/e/deep"),
            ("d/e/deep", "d"),
            ("d", "d/file"),
            ("d/file", "d"),
        ] {
            expect_errno(rename(fs, one, other, Rename::Exchange), Errno::Invalid);
        }
        for dots in [&b"."[..], b".."] {
            for how in [Rename::Exchange, Rename::Replace] {
                expect_errno(fs.rename(2, b"f", 2, dots, how), Errno::Busy);
                expect_errno(fs.rename(2, dots, 2, b"f", how), Errno::Busy);
            }
            expect_errno(fs.rename(2, b"f", 2, dots, Rename::NoReplace), Errno::Exists);
        }
        // Two names of one inode: nothing to do.
        rename(fs, "g", "twin", Rename::Exchange).expect("nothing");
        rename(fs, "f", "f", Rename::Exchange).expect("nothing");
        assert_eq!(tree(fs), before);
        // Twice is nothing too, for every pair of kinds, within and across directories.
        let times = |n| {
            for (one, other) in
                [("f", "g"), ("f", "x/file"), ("d/e", "x/y"), ("d/e", "f"), ("f", "empty"), ("d", "x")]
            {
                for _ in 0..n {
                    rename(fs, one, other, Rename::Exchange).unwrap_or_else(|error| panic!("{one}: {error}"));
                }
                if n == 2 {
                    assert_eq!(tree(fs), before, "{one} and {other}");
                }
            }
        };
        times(2);
        times(1);
        assert_ne!(tree(fs), before);
    });
}

#[test]
fn a_directory_with_all_its_links_takes_no_other() {
    let image = stage();
    let set = |what: &str, links: &str| {
        let path = image.path().to_str().expect("a plain path");
        let request = format!("set_inode_field {what} links_count {links}");
        let mut command = tests::image::tool("debugfs");
        command.args(["-w", "-R", &request, path]);
        assert!(command.output().expect("debugfs").status.success());
    };
    set("x", "32000");
    let machine = image.machine();
    let fs = mount(machine);
    expect_errno(rename(&fs, "d", "x/d", Rename::Replace), Errno::TooManyLinks);
    expect_errno(rename(&fs, "d", "x/file", Rename::Exchange), Errno::TooManyLinks);
    rename(&fs, "d", "x/void", Rename::Replace).expect("one comes, one goes");
    assert_eq!(at(&fs, "x").attr().links, 32_000);
    rename(&fs, "f", "x/y", Rename::Exchange).expect("one goes");
    assert_eq!(at(&fs, "x").attr().links, 31_999);
    assert!(matches!(rename(&fs, "empty", "x/empty", Rename::Replace), Ok(())));
    let none: Result<()> = rename(&fs, "full", "x/full", Rename::Replace);
    assert_eq!(none, Err(Error::Op(Errno::TooManyLinks)));
}

#[test]
fn times_of_what_was_renamed_and_of_the_directories_are_new() {
    let image = stage();
    common::session(&image, |fs| {
        let stamp = |path: &str| at(fs, path).attr();
        // The clock of this session starts where that of the one before did.
        rename(fs, "d/file", "x/moved", Rename::Replace).expect("rename");
        rename(fs, "x/moved", "d/file", Rename::Replace).expect("rename");
        let (d, x, f) = (stamp("d"), stamp("x"), stamp("d/file"));
        rename(fs, "d/file", "x/moved", Rename::Replace).expect("rename");
        assert!(stamp("d").mtime > d.mtime && stamp("d").ctime > d.ctime);
        assert!(stamp("x").mtime > x.mtime && stamp("x").ctime > x.ctime);
        assert!(stamp("x/moved").ctime > f.ctime && stamp("x/moved").mtime == f.mtime);
    });
}
