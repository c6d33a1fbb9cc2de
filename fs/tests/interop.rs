//! Linux and this file system read what the other wrote: contents, holes, names, links, owners, times,
//! devices and extended attributes, on every format that mke2fs makes for ext2.
//!
//! Linux's driver mounts the image through a loop device, which takes root and a kernel that has both:
//! `./test.sh` runs these tests where that works and says so where it does not.
//!
//! `cargo test -p fs interop:: -- --ignored`

use crate::common;
use crate::common::linux::LinuxMount;
use crate::common::tree::{Tree, expect_equal, tree_below, tree_of};
use crate::common::{Image, Machine, Scratch, pattern, sample};
use fs::ext2::Ext2;
use fs::platform::Timestamp;
use fs::vfs::{Device, Fallocate, FileKind, FileSystem, InodeRef, Rename, SetAttr, SetXattr};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// What to tell mke2fs, and whether inodes keep nanoseconds.
const FORMATS: [(&[&str], bool); 9] = [
    (&["-b", "4096"], true),
    (&["-b", "4096", "-I", "128"], false),
    (&["-b", "4096", "-r", "0"], false),
    (&["-b", "4096", "-O", "has_journal", "-J", "size=4"], true),
    (&["-b", "2048", "-O", "^sparse_super,^resize_inode"], true),
    (&["-b", "1024"], true),
    (&["-b", "1024", "-I", "128", "-O", "^filetype"], false),
    (&["-b", "1024", "-O", "meta_bg,^resize_inode"], true),
    (&["-b", "1024", "-I", "1024", "-O", "^dir_index,^large_file"], true),
];
const BLOCKS: u64 = 16_384;

/// Mounts the image here, lets `work` change it, and says what is there at the end.
fn ours(image: &Image, work: impl FnOnce(&Arc<Ext2<Machine>>)) -> Tree {
    common::session(image, |fs| {
        work(fs);
        tree_of(&**fs)
    })
}

/// Mounts the image in Linux, lets `work` change it, and says what is there at the end.
fn linux(image: &Image, options: &str, work: impl FnOnce(&Path)) -> Tree {
    let mount = LinuxMount::new(image, options).unwrap_or_else(|why| panic!("mount -o {options}: {why}"));
    work(mount.root());
    let tree = tree_below(mount.root());
    mount.unmount();
    image.expect_clean();
    tree
}

fn moment(secs: i64, nanos: u32) -> Timestamp {
    Timestamp { secs, nanos }
}

/// Makes one of everything, by this file system.
fn make_ours(fs: &Arc<Ext2<Machine>>, precise: bool, old_revision: bool) {
    let root = fs.root().expect("root");
    let nanos = |nanos| if precise { nanos } else { 0 };
    let dir = root.create(b"dir", FileKind::Directory, 0o2775).expect("room");
    dir.set_attr(&SetAttr { uid: Some(70_000), gid: Some(100_000), ..SetAttr::default() }).expect("writable");
    let deep = dir.create(b"deep", FileKind::Directory, 0o700).expect("room");
    for (number, size) in [0, 1, 1000, 12 * 4096, 300_000, 5_000_000].into_iter().enumerate() {
        let file = deep.create(format!("file {number}").as_bytes(), FileKind::File, 0o640).expect("room");
        common::write(&*file, 0, &pattern(number as u64, size));
        let time = moment(1_000_000_000 + number as i64, nanos(number as u32 * 1000));
        file.set_attr(&SetAttr { mtime: Some(time), atime: Some(time), ..SetAttr::default() })
            .expect("writable");
    }
    // Times at the ends of what inodes of 256 bytes can say.
    for (name, secs) in
        [(b"early", -2_000_000_000), (b"later", if precise { 4_200_000_000 } else { 2_000_000_000 })]
    {
        let file = root.create(name, FileKind::File, 0o4755).expect("room");
        let time = moment(secs, nanos(123_456_789));
        file.set_attr(&SetAttr { mtime: Some(time), atime: Some(time), ..SetAttr::default() })
            .expect("writable");
    }
    let sparse = root.create(b"sparse", FileKind::File, 0o600).expect("room");
    for place in [0, 70_000, 5 << 20, 6 << 20] {
        common::write(&*sparse, place, b"here");
    }
    sparse.fallocate(Fallocate::PunchHole, 5 << 20, 4096).expect("a file");
    sparse.fallocate(Fallocate::Allocate { keep_size: false }, 4 << 20, 100_000).expect("room");
    sparse.fallocate(Fallocate::CollapseRange, 4096, 8192).expect("a file");
    sparse.fallocate(Fallocate::InsertRange, 16_384, 4096).expect("a file");
    if !old_revision {
        let large = root.create(b"large", FileKind::File, 0o600).expect("room");
        common::write(&*large, (3 << 30) - 5, b"beyond 2 GiB");
        // Three gigabytes of zeros are no use to compare.
        large.truncate(3 << 20).expect("a file");
    }
    root.symlink(b"short link", b"dir/deep/file 1").expect("room");
    root.symlink(b"long link", &[b'x'; 900]).expect("room");
    root.link(b"second name", root.lookup(b"sparse").expect("it is there").ino()).expect("a file");
    root.create(b"pipe", FileKind::Fifo, 0o622).expect("room");
    root.create(b"socket", FileKind::Socket, 0o777).expect("room");
    for (name, kind, major, minor) in [
        (b"old char", FileKind::CharDevice, 1, 3),
        (b"new char", FileKind::CharDevice, 300, 70_000),
        (b"old disk", FileKind::BlockDevice, 8, 255),
        (b"new disk", FileKind::BlockDevice, 259, 256),
    ] {
        root.make_device(name, kind, 0o660, Device { major, minor }).expect("room");
    }
    let set = |inode: &InodeRef<Machine>, name: &[u8], value: &[u8]| {
        // The oldest revision has no attributes.
        if old_revision {
            return;
        }
        inode.set_xattr(name, value, SetXattr::Any).expect("room");
    };
    set(&dir, b"user.comment", b"a directory");
    set(&sparse, b"user.empty", b"");
    set(&sparse, b"user.long", &[7; 700]);
    set(&sparse, b"trusted.bytes", b"\0\x01\xff");
    set(&deep.lookup(b"file 2").expect("it is there"), b"security.test", b"value");
    // Many names, some gone, some moved.
    let many = root.create(b"many", FileKind::Directory, 0o755).expect("room");
    for number in 0..500 {
        many.create(format!("name {number:0100}").as_bytes(), FileKind::File, 0o644).expect("room");
    }
    for number in (0..500).step_by(7) {
        many.unlink(format!("name {number:0100}").as_bytes()).expect("it is there");
        let old = format!("name {:0100}", number + 1);
        fs.rename(many.ino(), old.as_bytes(), deep.ino(), old.as_bytes(), Rename::NoReplace)
            .expect("it is there");
    }
    fs.rename(2, b"early", 2, b"dir", Rename::Exchange).expect("both are there");
}

#[test]
#[ignore = "needs root and loop devices"]
fn linux_reads_what_was_written_here() {
    for (options, precise) in FORMATS {
        let image = Image::with(Scratch::new(), BLOCKS, options);
        let here = ours(&image, |fs| make_ours(fs, precise, options.contains(&"0")));
        assert!(here.len() > 450);
        let there = linux(&image, "ro", |_| {});
        expect_equal(&here, &there, &format!("{options:?}"));
    }
}

/// Makes one of everything, by Linux.
fn make_linux(root: &Path, precise: bool) {
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).current_dir(root).status().expect(program);
        assert!(status.success(), "{program} {arguments:?}");
    };
    std::fs::create_dir_all(root.join("dir/deep")).expect("room");
    for (number, size) in [0, 1, 1000, 12 * 4096, 300_000, 5_000_000].into_iter().enumerate() {
        std::fs::write(root.join(format!("dir/deep/file {number}")), pattern(number as u64, size))
            .expect("room");
    }
    let date = if precise { "2100-02-03 04:05:06.789012345 UTC" } else { "2030-02-03 04:05:06 UTC" };
    run("touch", &["-d", date, "dir/deep/file 3"]);
    run("touch", &["-d", "1950-01-01 00:00:00 UTC", "dir/deep/file 4"]);
    run("chown", &["70000:100000", "dir"]);
    run("chmod", &["2751", "dir"]);
    let sparse = std::fs::File::create(root.join("sparse")).expect("room");
    for place in [0, 70_000, 5 << 20, 6 << 20] {
        sparse.write_all_at(b"here", place).expect("room");
    }
    run("ln", &["sparse", "second name"]);
    run("ln", &["-s", "dir/deep/file 1", "short link"]);
    run("ln", &["-s", &"x".repeat(900), "long link"]);
    run("mkfifo", &["pipe"]);
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a socket"));
    run("mknod", &["old char", "c", "1", "3"]);
    run("mknod", &["new char", "c", "300", "70000"]);
    run("mknod", &["old disk", "b", "8", "255"]);
    run("mknod", &["new disk", "b", "259", "256"]);
    for (path, name, value) in [
        ("dir", "user.comment", b"a directory".to_vec()),
        ("sparse", "user.empty", Vec::new()),
        ("sparse", "user.long", vec![7; 700]),
        ("sparse", "trusted.bytes", vec![0, 1, 255]),
        ("dir/deep/file 2", "security.test", b"value".to_vec()),
    ] {
        xattr::set(root.join(path), name, &value).expect("room");
    }
    std::fs::create_dir(root.join("many")).expect("room");
    for number in 0..500 {
        std::fs::write(root.join(format!("many/name {number:0100}")), b"").expect("room");
    }
    for number in (0..500).step_by(7) {
        std::fs::remove_file(root.join(format!("many/name {number:0100}"))).expect("it is there");
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_linux_wrote_is_read_here() {
    for (options, precise) in FORMATS {
        let image = Image::with(Scratch::new(), BLOCKS, options);
        let there = linux(&image, "rw,noatime", |root| make_linux(root, precise));
        assert!(there.len() > 400);
        expect_equal(&ours(&image, |_| {}), &there, &format!("{options:?}"));
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn both_change_the_same_files_in_turn() {
    for (options, precise) in FORMATS {
        let image = Image::with(Scratch::new(), BLOCKS, options);
        linux(&image, "rw,noatime", |root| make_linux(root, precise));
        for round in 0..sample(2, 8) {
            let here = ours(&image, |fs| {
                let root = fs.root().expect("root");
                let many = root.lookup(b"many").expect("it is there");
                for number in 0..60 {
                    let name = format!("round {round} number {number}");
                    let file = many.create(name.as_bytes(), FileKind::File, 0o600).expect("room");
                    common::write(&*file, number * 100, &pattern(round, 3000));
                }
                let sparse = root.lookup(b"sparse").expect("it is there");
                common::write(&*sparse, round * 123_457, &pattern(round, 50_000));
                sparse
                    .set_xattr(b"user.round", &pattern(round, 40 + round as usize * 50), SetXattr::Any)
                    .expect("room");
                sparse.set_xattr(b"user.long", &pattern(round, 300), SetXattr::Any).expect("room");
            });
            let there = linux(&image, "rw,noatime", |_| {});
            expect_equal(&here, &there, &format!("{options:?}, round {round}, ours"));
            let there = linux(&image, "rw,noatime", |root| {
                for number in (0..60).step_by(2) {
                    std::fs::remove_file(root.join(format!("many/round {round} number {number}")))
                        .expect("it is there");
                }
                let sparse =
                    std::fs::File::options().write(true).open(root.join("sparse")).expect("it is there");
                sparse.set_len((5 << 20) + round * 1001).expect("room");
                sparse.write_all_at(&pattern(round + 9, 20_000), 8 << 20).expect("room");
                drop(sparse);
                xattr::set(root.join("sparse"), "user.linux", &pattern(round, 200)).expect("room");
                let link: OsString = OsString::from_vec(vec![b'l', b'0' + round as u8]);
                std::fs::hard_link(root.join("sparse"), root.join(link)).expect("room");
            });
            expect_equal(&ours(&image, |_| {}), &there, &format!("{options:?}, round {round}, Linux"));
        }
    }
}
