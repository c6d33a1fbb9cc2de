//! Hard links, symbolic links, devices, pipes and sockets: made here, judged by e2fsck and debugfs; and what
//! an inode's flags forbid.

use crate::common::durable::Durable;
use crate::common::layout::{Layout, u32_at};
use crate::common::{
    Image, Machine, Scratch, at, create, expect_errno, mkdir, mount, names, read_all, rename, rmdir, session,
    unlink, write,
};
use fs::Errno;
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::pmem::ram::Ram;
use fs::vfs::{Device, FileKind, FileSystem, InodeRef, SetAttr, path};

fn root(fs: &Ext2<Machine>) -> InodeRef<Machine> {
    fs.root().expect("root")
}

fn look(fs: &Ext2<Machine>, name: &str) -> InodeRef<Machine> {
    path::resolve_no_follow(&root(fs), name.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_file_gets_more_names_and_stays_until_the_last_is_gone() {
    let image = Image::new(256);
    session(&image, |fs| {
        let before = fs.stat_fs();
        let file = create(fs, "f");
        write(&*file, 0, b"shared");
        drop(mkdir(fs, "d"));
        root(fs).link(b"g", file.ino()).expect("link");
        at(fs, "d").link(&[b'h'; 255], file.ino()).expect("link in another directory");
        assert_eq!(file.attr().links, 3);
        expect_errno(root(fs).link(b"g", file.ino()), Errno::Exists);
        expect_errno(root(fs).link(b".", file.ino()), Errno::Exists);
        expect_errno(root(fs).link(b"d2", at(fs, "d").ino()), Errno::NotPermitted);
        expect_errno(root(fs).link(&[b'h'; 256], file.ino()), Errno::NameTooLong);
        expect_errno(root(fs).link(b"", file.ino()), Errno::NotFound);
        for nothing in [0, 1, 5000, u64::MAX] {
            expect_errno(root(fs).link(b"x", nothing), Errno::NotFound);
        }
        expect_errno(file.link(b"x", file.ino()), Errno::NotDirectory);
        unlink(fs, "f").expect("unlink");
        let long = format!("d/{}", "h".repeat(255));
        assert_eq!(read_all(&*at(fs, &long)), b"shared");
        unlink(fs, &long).expect("unlink");
        unlink(fs, "g").expect("unlink");
        assert_eq!((file.attr().links, read_all(&*file)), (0, b"shared".to_vec()));
        // Without a name it cannot get one again.
        expect_errno(root(fs).link(b"again", file.ino()), Errno::NotFound);
        drop(file);
        rmdir(fs, "d").expect("rmdir");
        assert_eq!(fs.stat_fs(), before);
        assert!(!fs.met_errors());
        // For e2fsck: two names that stay.
        root(fs).link(b"two", create(fs, "one").ino()).expect("link");
    });
    assert!(image.debugfs("stat /one").contains("Links: 2"));
}

#[test]
fn links_stop_at_the_limit() {
    let image = Image::with(Scratch::new(), 2048, &["-N", "64"]);
    session(&image, |fs| {
        let file = create(fs, "f");
        let dir = mkdir(fs, "d");
        for number in 1..32_000 {
            dir.link(format!("{number}").as_bytes(), file.ino()).expect("link");
        }
        assert_eq!(file.attr().links, 32_000);
        let names_before = names(&*dir).len();
        expect_errno(dir.link(b"one too many", file.ino()), Errno::TooManyLinks);
        assert_eq!(names(&*dir).len(), names_before);
        unlink(fs, "d/17").expect("unlink");
        dir.link(b"one", file.ino()).expect("link");
    });
}

#[test]
fn symbolic_links_of_every_length_lead_where_they_say() {
    let image = Image::with(Scratch::new(), 512, &["-N", "64"]);
    let target = |len: usize| (0..len).map(|at| b'a' + (at % 26) as u8).collect::<Vec<u8>>();
    let lengths = [1, 58, 59, 60, 61, 255, 1023, 1024, 4094, 4095];
    session(&image, |fs| {
        let before = fs.stat_fs();
        for len in lengths {
            let link = root(fs).symlink(format!("l{len}").as_bytes(), &target(len)).expect("symlink");
            assert_eq!((link.kind(), link.attr().size), (FileKind::Symlink, len as u64));
            assert_eq!(link.attr().mode, 0o777);
            assert_eq!(link.attr().blocks, if len < 60 { 0 } else { 8 }, "{len} bytes");
        }
        for len in [4096, 5000, 100_000] {
            expect_errno(root(fs).symlink(b"x", &target(len)).map(|_| ()), Errno::NameTooLong);
        }
        expect_errno(root(fs).symlink(b"x", b"").map(|_| ()), Errno::NotFound);
        expect_errno(root(fs).symlink(b"x", b"a\0b").map(|_| ()), Errno::Invalid);
        expect_errno(root(fs).symlink(b"l1", b"y").map(|_| ()), Errno::Exists);
        unlink(fs, "l1023").expect("unlink");
        let after = fs.stat_fs();
        // One link fewer than were made; those of 60 bytes and more had a block.
        assert_eq!(before.inodes_free - after.inodes_free, lengths.len() as u64 - 1);
        assert_eq!(before.blocks_free - after.blocks_free, 6);
        root(fs).symlink(b"l1023", &target(1023)).expect("symlink");
        drop(create(fs, "there"));
        root(fs).symlink(b"way", b"there").expect("symlink");
        assert_eq!(at(fs, "way").ino(), at(fs, "there").ino());
    });
    session(&image, |fs| {
        for len in lengths {
            assert_eq!(look(fs, &format!("l{len}")).read_link().expect("read_link"), target(len));
        }
    });
    let dump = image.dump();
    for len in lengths.into_iter().filter(|&len| len < 4095) {
        let read = std::fs::read_link(dump.join(format!("l{len}"))).expect("debugfs made the link");
        assert_eq!(read.into_os_string().into_encoded_bytes(), target(len));
    }
}

#[test]
fn devices_pipes_and_sockets_are_kept_and_shown() {
    let image = Image::new(256);
    let devices = [(1, 3), (8, 0), (255, 255), (256, 0), (0, 256), (4095, 1_048_575), (0, 0), (259, 70_000)];
    session(&image, |fs| {
        for (number, (major, minor)) in devices.into_iter().enumerate() {
            let kind = if number % 2 == 0 { FileKind::CharDevice } else { FileKind::BlockDevice };
            let device = Device { major, minor };
            let name = format!("dev{number}");
            let made = root(fs).make_device(name.as_bytes(), kind, 0o620, device).expect("make_device");
            assert_eq!((made.kind(), made.attr().device), (kind, device));
        }
        for (name, kind) in [("pipe", FileKind::Fifo), ("socket", FileKind::Socket)] {
            let made = root(fs).create(name.as_bytes(), kind, 0o600).expect("create");
            assert_eq!((made.kind(), made.attr().size), (kind, 0));
        }
        let none = Device { major: 4096, minor: 0 };
        expect_errno(root(fs).make_device(b"x", FileKind::CharDevice, 0, none).map(|_| ()), Errno::Invalid);
        let none = Device { major: 0, minor: 1 << 20 };
        expect_errno(root(fs).make_device(b"x", FileKind::BlockDevice, 0, none).map(|_| ()), Errno::Invalid);
        expect_errno(
            root(fs).make_device(b"x", FileKind::File, 0, Device::default()).map(|_| ()),
            Errno::Invalid,
        );
        for kind in [FileKind::CharDevice, FileKind::BlockDevice, FileKind::Symlink] {
            expect_errno(root(fs).create(b"x", kind, 0).map(|_| ()), Errno::Invalid);
        }
    });
    for (number, (major, minor)) in devices.into_iter().enumerate() {
        let stat = image.debugfs(&format!("stat /dev{number}"));
        let style = if major < 256 && minor < 256 { "Old-style" } else { "New-style" };
        let want = format!("({style}) Device major/minor number: {major:02}:{minor:02}");
        // debugfs's own words, without the parentheses it uses.
        let plain = stat.contains(&format!("Device major/minor number: {major:02}:{minor:02}"));
        assert!(plain, "not {want}: {stat}");
    }
    assert!(image.debugfs("stat /pipe").contains("Type: FIFO"));
    assert!(image.debugfs("stat /socket").contains("Type: socket"));
    session(&image, |fs| {
        for (number, (major, minor)) in devices.into_iter().enumerate() {
            assert_eq!(look(fs, &format!("dev{number}")).attr().device, Device { major, minor });
            unlink(fs, &format!("dev{number}")).expect("unlink");
        }
    });
}

#[test]
fn a_crash_shows_a_symbolic_link_with_its_whole_target_or_not_at_all() {
    let image = Image::new(256);
    let mut bytes = image.bytes();
    Layout::of(&bytes).soil_free_blocks(&mut bytes);
    image.store_bytes(&bytes);
    // Only what was flushed and fenced survives.
    let (memory, machine) = Durable::watch(&image);
    let fs = mount(machine.clone());
    let fences = machine.stats().pmem_fences.get();
    let target = vec![b't'; 700];
    fs.root().expect("root").symlink(b"slow", &target).expect("symlink");
    assert_eq!(machine.stats().pmem_fences.get() - fences, 3, "fences of a slow symbolic link");
    let after = memory.lock().expect("the watcher").durable.clone();
    let fs = mount(Machine::new(Ram::from_bytes(&after)));
    assert_eq!(look(&fs, "slow").read_link().expect("read_link"), target);
}

/// Sets `i_flags` of the inode at `path`.
fn set_flags(image: &Image, path: &str, flags: u32) {
    image.debugfs_write(&format!("set_inode_field {path} flags {flags:#x}"));
}

#[test]
fn flags_forbid_what_they_forbid_under_linux() {
    let image = Image::new(512);
    session(&image, |fs| {
        drop((mkdir(fs, "still"), mkdir(fs, "still/sub"), mkdir(fs, "grows"), mkdir(fs, "d")));
        for name in ["still/f", "grows/f", "d/still", "d/grows", "d/free"] {
            write(&*create(fs, name), 0, b"text");
        }
    });
    for (path, flags) in [("/still", 0x10), ("/grows", 0x20), ("/d/still", 0x10), ("/d/grows", 0x20)] {
        set_flags(&image, path, flags);
    }
    let before = image.bytes();
    session(&image, |fs| {
        let no = |result: fs::Result<()>| expect_errno(result, Errno::NotPermitted);
        // Directories: nothing changes in the one, names only come into the other.
        for dir in ["still", "grows"] {
            no(unlink(fs, &format!("{dir}/f")));
            no(rename(fs, &format!("{dir}/f"), "d/new"));
            no(rename(fs, "d/free", &format!("{dir}/f")));
            no(at(fs, dir).set_attr(&SetAttr { mode: Some(0), ..SetAttr::default() }));
            no(rename(fs, dir, "elsewhere"));
        }
        no(rmdir(fs, "still/sub"));
        no(rmdir(fs, "still"));
        let still = at(fs, "still");
        no(still.create(b"x", FileKind::File, 0).map(|_| ()));
        no(still.create(b"x", FileKind::Directory, 0).map(|_| ()));
        no(still.symlink(b"x", b"y").map(|_| ()));
        no(still.make_device(b"x", FileKind::CharDevice, 0, Device::default()).map(|_| ()));
        no(still.link(b"x", at(fs, "d/free").ino()));
        no(rename(fs, "d/free", "still/x"));
        expect_errno(still.create(b"f", FileKind::File, 0).map(|_| ()), Errno::Exists);
        // Files.
        for name in ["d/still", "d/grows"] {
            let file = at(fs, name);
            no(file.write_at(0, b"x").map(|_| ()));
            no(file.truncate(0));
            no(file.truncate(100));
            no(file.start_write_fault().map(drop));
            no(file.set_attr(&SetAttr { uid: Some(1), ..SetAttr::default() }));
            no(root(fs).link(b"x", file.ino()));
            no(unlink(fs, name));
            no(rename(fs, name, "d/x"));
            no(rename(fs, "d/free", name));
        }
        no(at(fs, "d/still").write_at(4, b"x").map(|_| ()));
        write(&*at(fs, "d/grows"), 4, b"more");
        assert_eq!(read_all(&*at(fs, "d/grows")), b"textmore");
        // Names come into a directory that only grows.
        drop(create(fs, "grows/x"));
        at(fs, "grows").link(b"y", at(fs, "d/free").ino()).expect("link");
        rename(fs, "d/free", "grows/z").expect("rename");
    });
    assert!(before != image.bytes());
    for (path, flags) in [("/still", 0x10), ("/grows", 0x20), ("/d/still", 0x10), ("/d/grows", 0x20)] {
        let bytes = image.bytes();
        let ino: u64 = image.inode_number(path);
        assert_eq!(u32_at(&bytes, Layout::of(&bytes).inode(&bytes, ino) + 32), flags, "flags of {path}");
    }
}

#[test]
fn new_inodes_inherit_the_flags_that_linux_passes_on() {
    let image = Image::new(512);
    session(&image, |fs| drop(mkdir(fs, "d")));
    // Append-only, synchronous, no dump, no atime, directories synchronous, top of hierarchies.
    set_flags(&image, "/d", 0x3_00e8);
    session(&image, |fs| {
        drop((create(fs, "d/f"), mkdir(fs, "d/d")));
        at(fs, "d").symlink(b"l", b"x").expect("symlink");
    });
    let bytes = image.bytes();
    let flags = |path: &str| u32_at(&bytes, Layout::of(&bytes).inode(&bytes, image.inode_number(path)) + 32);
    assert_eq!((flags("/d/f"), flags("/d/d"), flags("/d/l")), (0xc8, 0x1_00c8, 0xc0));
}

#[test]
fn without_room_nothing_is_half_made() {
    // No inode left.
    let image = Image::with(Scratch::new(), 512, &["-N", "16"]);
    session(&image, |fs| {
        let first = create(fs, "f");
        for number in 1..fs.stat_fs().inodes_free + 1 {
            drop(create(fs, &format!("f{number}")));
        }
        let (stat, before) = (fs.stat_fs(), names(&*root(fs)));
        assert_eq!(stat.inodes_free, 0);
        let no = |result: fs::Result<()>| expect_errno(result, Errno::NoSpace);
        no(root(fs).symlink(b"x", b"short").map(|_| ()));
        no(root(fs).symlink(b"x", &[b't'; 500]).map(|_| ()));
        no(root(fs).make_device(b"x", FileKind::CharDevice, 0, Device::default()).map(|_| ()));
        no(root(fs).create(b"x", FileKind::Fifo, 0).map(|_| ()));
        assert_eq!((fs.stat_fs(), names(&*root(fs))), (stat, before));
        // A link takes no inode.
        root(fs).link(b"more", first.ino()).expect("link");
    });
    // No block left.
    let image = Image::with(Scratch::new(), 128, &["-N", "256"]);
    session(&image, |fs| {
        let big = create(fs, "big");
        let mut at_byte = 0;
        while let Ok(done) = big.write_at(at_byte, &[7; 4096]) {
            at_byte += done as u64;
        }
        let (stat, before) = (fs.stat_fs(), names(&*root(fs)));
        let no = |result: fs::Result<()>| expect_errno(result, Errno::NoSpace);
        no(root(fs).symlink(b"x", &[b't'; 500]).map(|_| ()));
        no(root(fs).create(b"x", FileKind::Directory, 0).map(|_| ()));
        assert_eq!((fs.stat_fs(), names(&*root(fs))), (stat, before));
        root(fs).symlink(b"x", b"short").expect("a short link takes no block");
        // Names until the directory would have to grow.
        let mut made = 0;
        while root(fs).link(format!("{made:0200}").as_bytes(), big.ino()).is_ok() {
            made += 1;
        }
        assert_eq!((big.attr().links, made > 10), (made + 1, true), "a refused name kept its link");
    });
}
