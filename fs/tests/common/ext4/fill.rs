//! A tree that has one of everything: every kind of inode, map, directory and attribute.

use crate::common::pattern;
use std::fs::{File, create_dir, create_dir_all, hard_link, remove_dir, remove_file, rename, write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

/// What of it there is to be, on this file system.
#[derive(Clone, Copy)]
pub(crate) struct Fill {
    /// Bytes in a block.
    pub(crate) block: usize,
    /// How many names the large directory gets.
    pub(crate) names: usize,
    /// Files may have unwritten blocks.
    pub(crate) extents: bool,
    /// Inodes have room for times after 2038, and attributes.
    pub(crate) wide: bool,
    /// A file reaches far, for the third level of a block map.
    pub(crate) far: bool,
    /// Values of attributes may be longer than a block.
    pub(crate) values: bool,
    /// Devices, owners, sockets and attributes that only root may make.
    pub(crate) special: bool,
}

fn run(root: &Path, program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).current_dir(root).status().expect(program);
    assert!(status.success(), "{program} {arguments:?}");
}

/// Puts it into a folder.
pub(crate) fn fill(root: &Path, how: &Fill) {
    files(root, how);
    names(root, how);
    removed(root);
    if how.special {
        special(root, how);
    }
    times(root, how);
}

fn files(root: &Path, how: &Fill) {
    create_dir(root.join("files")).expect("room");
    for size in [0, 1, 59, 60, 61, 100, 159, 160, 1000, 4096, 12 * 4096, 12 * 4096 + 1, 300_000, 3_000_000] {
        write(root.join(format!("files/{size}")), pattern(size as u64, size)).expect("room");
    }
    let sparse = File::create(root.join("sparse")).expect("room");
    for place in [0, 70_000, 5 << 20, 6 << 20] {
        sparse.write_all_at(b"here", place).expect("room");
    }
    // Every other block: one level of a tree, and two.
    let in_node = (how.block - 12) / 12;
    for (name, pieces) in [("shallow", 40), ("deep", 4 * in_node + 100)] {
        let file = File::create(root.join(name)).expect("room");
        for piece in 0..pieces {
            let bytes = pattern(piece as u64, how.block);
            file.write_all_at(&bytes, (2 * piece * how.block) as u64).expect("room");
        }
    }
    if how.far {
        let far = File::create(root.join("far")).expect("room");
        for place in [3 << 20, 30 << 20, 70 << 20] {
            far.write_all_at(&pattern(place, 5000), place).expect("room");
        }
    }
    let deep = (0..30).fold(root.join("deeper"), |path, level| path.join(format!("level {level}")));
    create_dir_all(&deep).expect("room");
    write(deep.join("at the bottom"), b"of it all").expect("room");
    for (name, target) in [
        ("short link", "files/1".to_owned()),
        ("link of 59", "x".repeat(59)),
        ("link of 60", "x".repeat(60)),
        ("long link", "y".repeat(900)),
    ] {
        symlink(target, root.join(name)).expect("room");
    }
    for name in ["second name", "deeper/third name"] {
        hard_link(root.join("sparse"), root.join(name)).expect("room");
    }
}

fn names(root: &Path, how: &Fill) {
    let many = root.join("many");
    for (folder, count) in [("few", 3), ("some", 60), ("many", how.names)] {
        let folder = root.join(folder);
        create_dir(&folder).expect("room");
        let linked = folder.join("linked");
        write(&linked, b"one file, many names").expect("room");
        for number in 0..count {
            let accent = if number % 5 == 0 { "é" } else { "" };
            let path = folder.join(format!("{number}{accent}{}", "-".repeat(number % 37)));
            match number % 100 {
                1 => write(path, b"").expect("room"),
                2 => symlink("linked", path).expect("room"),
                3 => create_dir(path).expect("room"),
                _ => hard_link(&linked, path).expect("room"),
            }
        }
    }
    write(many.join("n".repeat(255)), b"the longest name").expect("room");
    for number in (10..how.names).step_by(70) {
        // Names without an accent that are links.
        remove_file(many.join(format!("{}{}", number + 1, "-".repeat((number + 1) % 37))))
            .expect("it is there");
    }
}

/// What was there and went.
fn removed(root: &Path) {
    let gone = root.join("gone");
    create_dir(&gone).expect("room");
    for number in 0..40 {
        write(gone.join(format!("file {number}")), pattern(number, 9000)).expect("room");
        create_dir(gone.join(format!("dir {number}"))).expect("room");
    }
    for number in (0..40).step_by(2) {
        remove_file(gone.join(format!("file {number}"))).expect("it is there");
        remove_dir(gone.join(format!("dir {number}"))).expect("it is empty");
    }
    rename(gone.join("file 1"), gone.join("file 3")).expect("both are there");
    rename(gone.join("dir 1"), root.join("few/moved")).expect("it is there");
}

fn special(root: &Path, how: &Fill) {
    if how.extents {
        // Unwritten blocks: the whole of a file, with something written among them, and beyond the end.
        run(root, "fallocate", &["-l", "1M", "unwritten"]);
        run(root, "fallocate", &["-l", "1M", "partly"]);
        let partly = File::options().write(true).open(root.join("partly")).expect("it is there");
        partly.write_all_at(&pattern(1, 3 * how.block), 100 * how.block as u64).expect("room");
        write(root.join("beyond"), pattern(2, 5000)).expect("room");
        run(root, "fallocate", &["-n", "-l", "500000", "beyond"]);
        write(root.join("punched"), pattern(3, 100_000)).expect("room");
        run(root, "fallocate", &["-p", "-o", "20000", "-l", "50000", "punched"]);
    }
    run(root, "mkfifo", &["pipe"]);
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a socket"));
    for (name, kind, major, minor) in [
        ("old char", "c", "1", "3"),
        ("new char", "c", "300", "70000"),
        ("old disk", "b", "8", "255"),
        ("new disk", "b", "259", "256"),
    ] {
        run(root, "mknod", &[name, kind, major, minor]);
    }
    run(root, "chown", &["70000:100000", "few"]);
    run(root, "chown", &["-h", "123456:65535", "short link"]);
    run(root, "chown", &["65536:1", "files/1"]);
    for (name, mode) in [("few", 0o2751), ("some", 0o1777), ("files/1000", 0o4711), ("files/4096", 0)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(root.join(name), mode).expect("it is there");
    }
    let mut attributes = vec![
        ("few", "user.comment", b"a directory".to_vec()),
        ("sparse", "user.empty", Vec::new()),
        ("sparse", "trusted.bytes", vec![0, 1, 255]),
        ("files/1", "security.test", b"value".to_vec()),
        ("files/60", "user.a", b"small".to_vec()),
        ("files/60", "user.bb", vec![9; 500]),
        ("long link", "trusted.link", b"of a link".to_vec()),
        ("short link", "trusted.link", vec![5; 300]),
        ("pipe", "trusted.pipe", b"p".to_vec()),
    ];
    // The same in each: they share a block.
    for name in ["files/100", "files/159", "files/160", "some"] {
        attributes.push((name, "user.shared", vec![7; 300]));
        attributes.push((name, "user.s\u{e9}", vec![8; 301]));
    }
    if how.values {
        attributes.push(("files/1000", "user.large", pattern(5, 20_000)));
        attributes.push(("files/4096", "user.large", pattern(5, 20_000)));
        attributes.push(("files/0", "user.larger", pattern(6, 60_000)));
        attributes.push(("files/0", "user.small", b"beside it".to_vec()));
    }
    for (path, name, value) in attributes {
        xattr::set(root.join(path), name, &value).unwrap_or_else(|error| panic!("{path} {name}: {error}"));
    }
}

fn times(root: &Path, how: &Fill) {
    let mut list =
        vec![("1902-01-02 03:04:05.6", "early"), ("1969-12-31 23:59:59.5", "before"), ("2037-01-01", "late")];
    if how.wide {
        list.extend([
            ("2038-01-19 03:14:08.25", "later"),
            ("2106-02-07 06:28:16.125", "long"),
            ("2440-01-01", "last"),
        ]);
    }
    for (date, name) in list {
        write(root.join(name), b"").expect("room");
        run(root, "touch", &["-m", "-d", &format!("{date} UTC"), name]);
        run(root, "touch", &["-a", "-d", "2001-02-03 04:05:06.789 UTC", name]);
    }
}
