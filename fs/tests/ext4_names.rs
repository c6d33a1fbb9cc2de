//! Names on ext4: made, removed and moved as the model says, on every format that is written; what has no
//! name any more goes with its last handle, or at the next mount; listings survive what becomes of blocks.

use crate::common::crash::hash;
use crate::common::ext4::{expect_clean, judge};
use crate::common::tape::Tape;
use crate::common::unlink;
use crate::common::{
    Image, Machine, Rng, Scratch, at, create, expect_errno, mkdir, names, rmdir, sample, seeds,
};
use fs::platform::Timestamp;
use fs::pmem::ram::Ram;
use fs::vfs::{Device, FileKind, FileSystemRef, InodeRef, MountOptions, Rename, SetAttr};
use fs::{Errno, Error};
use fsx::{NameOp, NameTree};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Formats, and what tells which one failed.
const FORMATS: [(&str, &[&str]); 5] = [
    ("4 KiB", &["-b", "4096"]),
    ("orphan file", &["-b", "4096", "-O", "orphan_file,metadata_csum_seed"]),
    ("no checksums", &["-b", "4096", "-O", "^metadata_csum"]),
    ("1 KiB", &["-b", "1024", "-g", "4096"]),
    ("1 KiB, orphan file, no index", &["-b", "1024", "-O", "orphan_file,^dir_index"]),
];

fn image(options: &[&str]) -> Image {
    Image::of_type("ext4", Scratch::new(), 4096, options)
}

fn mount(machine: &Machine) -> FileSystemRef<Machine> {
    fs::registry::mount(machine.clone(), MountOptions::default())
        .unwrap_or_else(|error| panic!("mount: {error}"))
}

/// Mounts `image`, lets `work` change it, unmounts, and has it judged.
fn session<R>(image: &Image, what: &str, work: impl FnOnce(&FileSystemRef<Machine>) -> R) -> R {
    let machine = image.machine();
    let fs = mount(&machine);
    assert!(!fs.read_only(), "{what}");
    let result = work(&fs);
    fs.unmount().unwrap_or_else(|error| panic!("{what}: unmount: {error}"));
    drop(fs);
    image.store(&machine);
    expect_clean(image, what);
    result
}

#[test]
fn what_is_made_and_removed_is_found_and_gone_and_the_image_is_sound() {
    for (what, options) in FORMATS {
        let image = image(options);
        session(&image, what, |fs| {
            let before = fs.stat_fs();
            let dir = mkdir(fs, "d");
            assert_eq!((dir.attr().links, at(fs, "/").attr().links), (2, 4));
            assert_eq!(names(&*dir), [b".".to_vec(), b"..".to_vec()]);
            let file = create(fs, "d/f");
            assert_eq!((file.attr().links, file.attr().size, file.attr().mode), (1, 0, 0o644));
            at(fs, "/").link(b"again", file.ino()).expect("link");
            assert_eq!(file.attr().links, 2);
            expect_errno(rmdir(fs, "d"), Errno::NotEmpty);
            expect_errno(unlink(fs, "d"), Errno::IsDirectory);
            expect_errno(rmdir(fs, "d/f"), Errno::NotDirectory);
            expect_errno(dir.create(b"f", FileKind::File, 0o644), Errno::Exists);
            unlink(fs, "d/f").expect("unlink");
            assert_eq!(at(fs, "again").attr().links, 1);
            rmdir(fs, "d").expect("rmdir");
            expect_errno(dir.create(b"f", FileKind::File, 0o644), Errno::NotFound);
            expect_errno(dir.lookup(b".."), Errno::NotFound);
            unlink(fs, "again").expect("unlink");
            assert_eq!(file.attr().links, 0);
            drop((dir, file));
            fs.sync().expect("sync");
            assert_eq!(fs.stat_fs(), before, "{what}");
            // What stays.
            drop(mkdir(fs, "dir"));
            let root = fs.root().expect("root");
            for (name, len) in [("fast", 59), ("slow", 60), ("long", 900)] {
                let link = root.symlink(name.as_bytes(), &vec![b't'; len]).expect("symlink");
                assert_eq!(link.read_link(), Ok(vec![b't'; len]));
            }
            for (name, kind, major, minor) in
                [("null", FileKind::CharDevice, 1, 3), ("disk", FileKind::BlockDevice, 300, 70_000)]
            {
                let device = Device { major, minor };
                let made = root.make_device(name.as_bytes(), kind, 0o600, device).expect("mknod");
                assert_eq!(made.attr().device, device);
            }
            drop(root.create(b"pipe", FileKind::Fifo, 0o600).expect("mkfifo"));
            drop(root.create(b"socket", FileKind::Socket, 0o600).expect("bind"));
        });
        session(&image, what, |fs| {
            assert_eq!(at(fs, "/").lookup(b"slow").expect("it is there").read_link(), Ok(vec![b't'; 60]));
            for name in ["fast", "slow", "long", "null", "disk", "pipe", "socket"] {
                fs.root().expect("root").unlink(name.as_bytes()).expect("unlink");
            }
            rmdir(fs, "dir").expect("rmdir");
        });
    }
}

#[test]
fn attributes_are_kept_over_an_unmount() {
    for (what, options) in FORMATS {
        let image = image(options);
        let time = |secs| Some(Timestamp { secs, nanos: 123_456_789 });
        let change = SetAttr {
            mode: Some(0o4711),
            uid: Some(70_000),
            gid: Some(5),
            atime: time(-5),
            mtime: time(1 << 33),
        };
        let before = session(&image, what, |fs| {
            let file = create(fs, "f");
            file.set_attr(&change).expect("set_attr");
            let nobody = SetAttr { uid: Some(u32::MAX), ..SetAttr::default() };
            expect_errno(file.set_attr(&nobody), Errno::Invalid);
            let attr = file.attr();
            assert_eq!((attr.mode, attr.uid, attr.gid), (0o4711, 70_000, 5));
            assert_eq!((Some(attr.atime), Some(attr.mtime)), (time(-5), time(1 << 33)));
            attr
        });
        assert_eq!(session(&image, what, |fs| at(fs, "f").attr()), before);
    }
}

/// A name from a pool so small that they meet; some fill a good part of a block.
fn name(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => [b"long".to_vec(), vec![b'a' + rng.below(20) as u8; 200]].concat(),
        1 => vec![0x80 + rng.below(4) as u8; 255],
        _ => vec![b'a' + rng.below(12) as u8, b'a' + rng.below(8) as u8],
    }
}

/// Names that are changed by chance, on a file system and on the model.
struct World {
    machine: Machine,
    fs: FileSystemRef<Machine>,
    tree: NameTree<()>,
    open: Vec<InodeRef<Machine>>,
    rng: Rng,
}

impl World {
    fn inode(&self, ino: u64) -> InodeRef<Machine> {
        let path = self.tree.path(ino).expect("it has a name");
        let found = fs::vfs::path::resolve_no_follow(&self.fs.root().expect("root"), &path);
        found.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(&path)))
    }

    fn any_directory(&mut self) -> u64 {
        *self.rng.pick(&self.tree.named(FileKind::Directory))
    }

    /// A directory, and a name that may or may not be in it.
    fn any_name(&mut self) -> (u64, Vec<u8>) {
        let dir = self.any_directory();
        let names: Vec<_> = self.tree.node(dir).entries.keys().cloned().collect();
        match names.is_empty() || self.rng.one_in(3) {
            true => (dir, name(&mut self.rng)),
            false => (dir, self.rng.pick(&names).clone()),
        }
    }

    fn step(&mut self) -> String {
        let (dir, name) = self.any_name();
        let files = self.tree.named(FileKind::File);
        let op = match self.rng.below(100) {
            0..35 => NameOp::Create(FileKind::File, 0o644),
            35..50 => NameOp::Create(FileKind::Directory, 0o755),
            50..58 if !files.is_empty() => NameOp::Link(*self.rng.pick(&files)),
            50..68 => NameOp::Unlink,
            68..76 => NameOp::Rmdir,
            76..94 => {
                let (to, new) = self.any_name();
                let hows = [Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange];
                NameOp::Rename(to, new, *self.rng.pick(&hows))
            }
            94..97 => {
                let node = if files.is_empty() { dir } else { *self.rng.pick(&files) };
                self.open.push(self.inode(node));
                self.open.push(self.inode(dir));
                return format!("open {node} and {dir}");
            }
            97 => {
                self.open.clear();
                self.tree.forget_nameless();
                return "close".into();
            }
            98 => {
                self.fs.sync().expect("sync");
                return "sync".into();
            }
            _ => {
                self.fs.freeze().expect("freeze");
                self.open.clear();
                self.tree.forget_nameless();
                self.fs.thaw().expect("thaw");
                return "freeze, close, thaw".into();
            }
        };
        let what = format!("{op:?} of {:?} in {dir}", String::from_utf8_lossy(&name));
        let result =
            op.perform(&*self.fs, &*self.inode(dir), &name).map(|made| made.map(|inode| inode.ino()));
        let refusals = self.tree.refusals(dir, &name, &op);
        match result {
            Ok(made) => {
                assert_eq!(refusals, [], "{what}: done what cannot be");
                self.tree.apply(dir, &name, &op, made);
            }
            Err(Error::Op(errno)) if refusals.contains(&errno) => {}
            Err(error) => panic!("{what}: {error}, not {refusals:?}"),
        }
        self.tree.forget_nameless();
        what
    }

    fn compare(&self) {
        for node in self.tree.named(FileKind::Directory) {
            let inode = self.inode(node);
            let all = names(&*inode);
            let listed: BTreeSet<_> = all.iter().cloned().collect();
            assert_eq!(listed.len(), all.len(), "a name is listed twice");
            let dots = [b".".to_vec(), b"..".to_vec()];
            let want: BTreeSet<_> = self.tree.node(node).entries.keys().cloned().chain(dots).collect();
            assert_eq!(listed, want, "names in {node}");
            assert_eq!(inode.attr().links, self.tree.links(node), "links of {node}");
        }
        for node in self.tree.named(FileKind::File) {
            assert_eq!(self.inode(node).attr().links, self.tree.links(node), "links of {node}");
        }
    }
}

#[test]
fn names_change_as_the_model_says() {
    for (what, options) in FORMATS {
        for seed in seeds(sample(3, 60)) {
            let image = image(options);
            let machine = image.machine();
            let fs = mount(&machine);
            let tree = NameTree::of(&*fs).expect("a sound image");
            let mut world = World { machine, fs, tree, open: Vec::new(), rng: Rng::new(seed) };
            let mut trace = Vec::new();
            let run = std::panic::AssertUnwindSafe(|| {
                for step in 0..400 {
                    trace.push(world.step());
                    if step % 40 == 39 {
                        world.compare();
                    }
                    if step % 100 == 99 {
                        // As after a crash: what was open without a name goes with the mount.
                        world.fs.sync().expect("sync");
                        let crashed = Machine::new(Ram::from_bytes(&world.machine.ram.to_bytes()));
                        let fs = mount(&crashed);
                        world.open.clear();
                        world.fs.unmount().expect("unmount");
                        (world.machine, world.fs) = (crashed, fs);
                        world.compare();
                        trace.push("crash".into());
                    }
                }
                world.compare();
                world.open.clear();
                world.fs.unmount().expect("unmount");
            });
            let result = std::panic::catch_unwind(run);
            image.store(&world.machine);
            if result.is_err() {
                let last = &trace[trace.len().saturating_sub(12)..];
                panic!("{what}, seed {seed}, after {}: {last:#?}", trace.len());
            }
            expect_clean(&image, &format!("{what}, seed {seed}"));
        }
    }
}

/// Every name, and what it names.
type Listing = BTreeMap<Vec<u8>, u64>;

fn listing(fs: &FileSystemRef<Machine>) -> Listing {
    let (mut all, mut todo) = (Listing::new(), vec![(Vec::new(), fs.root().expect("root"))]);
    while let Some((path, dir)) = todo.pop() {
        let mut found = Vec::new();
        let listed = dir.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                found.push((entry.name.to_vec(), entry.ino));
            }
            ControlFlow::Continue(())
        });
        listed.expect("read_dir");
        for (name, ino) in found {
            let inode = dir.lookup(&name).expect("lookup");
            assert_eq!(inode.ino(), ino);
            let path = [&path[..], b"/", &name].concat();
            if inode.kind() == FileKind::Directory {
                todo.push((path.clone(), inode));
            }
            all.insert(path, ino);
        }
    }
    all
}

/// A crash at any fence, with any of the stores before it that may be lost.
#[test]
fn a_crash_shows_the_names_of_one_moment_since_the_last_sync() {
    for (what, options) in FORMATS {
        for seed in seeds(sample(1, 20)) {
            let image = Image::of_type("ext4", Scratch::new(), 2048, &[options, &["-N", "256"]].concat());
            let (mut tape, machine) = Tape::record(&image.bytes());
            let fs = mount(&machine);
            tape.rewind(&machine);
            let tree = NameTree::of(&*fs).expect("a sound image");
            let mut world = World { machine, fs, tree, open: Vec::new(), rng: Rng::new(100 + seed) };
            // Between two syncs: what was to be seen.
            let mut states = vec![vec![listing(&world.fs)]];
            for _ in 0..4 {
                for _ in 0..5 {
                    world.step();
                    states.last_mut().expect("one").push(listing(&world.fs));
                }
                world.fs.sync().expect("sync");
                tape.mark();
                states.push(vec![listing(&world.fs)]);
            }
            let (mut images, mut results, mut failure) = (0, BTreeSet::new(), None);
            tape.crashes_at(0..usize::MAX, 2, seed, |moment, how, crashed| {
                images += 1;
                if failure.is_some() || images % sample(16, 1) != 0 {
                    return;
                }
                let crashed = crashed();
                if images % sample(128, 8) == 0 {
                    image.store_bytes(&crashed);
                    image.repair("-fp");
                    assert_eq!(image.judge(), Ok(()), "{what}, seed {seed}, {moment:?}, {how}");
                }
                let after = Machine::new(Ram::from_bytes(&crashed));
                let fs = mount(&after);
                let found = (!fs.read_only()).then(|| listing(&fs));
                let known = &states[moment.marks];
                let is_known = found.is_some_and(|found| match moment.returned {
                    true => known.last() == Some(&found),
                    false => known.contains(&found),
                });
                fs.unmount().expect("unmount");
                drop(fs);
                let bytes = after.ram.to_bytes();
                let mut complaints = Vec::new();
                if results.insert(hash(&bytes)) {
                    complaints = judge(&bytes).complaints;
                }
                if !is_known || !complaints.is_empty() {
                    failure = Some(format!("crash at {moment:?}, {how}: {is_known}, {complaints:?}"));
                }
            });
            assert_eq!(failure, None, "{what}, seed {seed}");
            assert!(results.len() > 8, "{what}: {}", results.len());
        }
    }
}

#[test]
fn a_damaged_list_of_orphans_is_left_alone_and_nothing_is_changed() {
    let image = image(FORMATS[0].1);
    session(&image, "empty", |fs| drop((create(fs, "a"), create(fs, "b"))));
    let ino = image.inode_number("a");
    image.debugfs_write("unlink a");
    image.debugfs_write(&format!("sif <{ino}> links_count 0"));
    image.debugfs_write(&format!("sif <{ino}> dtime @{ino}"));
    image.debugfs_write(&format!("ssv last_orphan {ino}"));
    let before = image.bytes();
    let machine = image.machine();
    let fs = mount(&machine);
    let mut notes = String::new();
    fs.mount_notes(&mut |note| notes += &format!("{note}\n"));
    assert!(fs.read_only() && notes.contains("the list of orphans leads to itself"), "{notes}");
    expect_errno(unlink(&fs, "b"), Errno::ReadOnly);
    fs.unmount().expect("unmount");
    let list = |bytes: &[u8]| bytes[1024 + 0xe8..][..4].to_vec();
    assert_eq!(list(&machine.ram.to_bytes()), list(&before));
}

#[test]
fn without_room_nothing_is_half_made() {
    for (what, options) in FORMATS {
        let image = Image::of_type("ext4", Scratch::new(), 2048, &[options, &["-N", "4096"]].concat());
        // The root stays as large as it was once.
        let space = |fs: &FileSystemRef<Machine>| {
            let stat = fs.stat_fs();
            stat.blocks_free * stat.block_size + at(fs, "/").attr().blocks * 512
        };
        let before = session(&image, what, space);
        session(&image, what, |fs| {
            let mut made = Vec::new();
            let root = fs.root().expect("root");
            loop {
                let name = format!("{}-{}", made.len(), "-".repeat(made.len() * 7 % 200)).into_bytes();
                match root.create(&name, FileKind::Directory, 0o755) {
                    Ok(_) => made.push(name),
                    Err(error) => {
                        assert_eq!(error, Error::Op(Errno::NoSpace), "{what}");
                        break;
                    }
                }
            }
            assert!(made.len() > 500, "{what}: {}", made.len());
            assert_eq!(names(&*root).len(), made.len() + 3, "{what}");
            expect_errno(root.symlink(b"long", &[b't'; 900]), Errno::NoSpace);
            // What is freed can be had again at once.
            made.drain(..10).for_each(|name| root.rmdir(&name).expect("rmdir"));
            for name in made.drain(..200).collect::<Vec<_>>() {
                root.rmdir(&name).expect("rmdir");
                let again = [&name[..], b"again"].concat();
                drop(root.create(&again, FileKind::Directory, 0o755).expect("room"));
                made.push(again);
            }
            for name in &made {
                root.rmdir(name).expect("rmdir");
            }
        });
        assert_eq!(session(&image, what, space), before, "{what}");
    }
}

#[test]
fn a_directory_with_more_subdirectories_than_it_can_count_counts_none() {
    let image = image(FORMATS[3].1);
    session(&image, "made", |fs| {
        for number in 0..300 {
            drop(mkdir(fs, &format!("{number}")));
        }
    });
    for (links, after) in [(64_999, [65_000, 1, 1]), (65_000, [1, 1, 1]), (1, [1, 1, 1])] {
        image.debugfs_write(&format!("sif / links_count {links}"));
        let fs = mount(&image.machine());
        let root = fs.root().expect("root");
        drop(mkdir(&fs, "one"));
        assert_eq!(root.attr().links, after[0]);
        drop(mkdir(&fs, "two"));
        assert_eq!(root.attr().links, after[1]);
        rmdir(&fs, "one").expect("rmdir");
        assert_eq!(root.attr().links, after[2]);
    }
    // Without an index there is a limit.
    image.debugfs_write("sif 0 links_count 65000");
    let fs = mount(&image.machine());
    expect_errno(at(&fs, "0").create(b"more", FileKind::Directory, 0o755), Errno::TooManyLinks);
    drop(create(&fs, "0/file"));
    image.debugfs_write("sif 0 links_count 64999");
    let fs = mount(&image.machine());
    drop(mkdir(&fs, "0/more"));
    assert_eq!(at(&fs, "0").attr().links, 65_000);
}

/// Returns the block of attributes of what is called `name` in the root.
fn acl(image: &Image, name: &str) -> u64 {
    let stat = image.debugfs(&format!("stat {name}"));
    let digits = stat.split_once("File ACL:").expect("a block").1.trim_start();
    digits.split(|c: char| !c.is_ascii_digit()).next().expect("its number").parse().expect("one")
}

/// Others give up their shares of a block while one reads its attribute there.
#[test]
fn an_attribute_is_read_beside_those_who_give_up_their_block() {
    let image = image(FORMATS[0].1);
    let others: Vec<String> = (0..40).map(|number| format!("f{number}")).collect();
    session(&image, "made", |fs| {
        drop(create(fs, "kept"));
        others.iter().for_each(|name| drop(create(fs, name)));
    });
    image.debugfs_write(&format!("ea_set kept user.long {}", "x".repeat(500)));
    let block = acl(&image, "kept");
    others.iter().for_each(|name| image.debugfs_write(&format!("sif {name} file_acl {block}")));
    image.repair("-fy");
    session(&image, "used", |fs| {
        let (kept, root, left) = (at(fs, "kept"), at(fs, "/"), AtomicU32::new(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                others.iter().for_each(|name| root.unlink(name.as_bytes()).expect("unlink"));
                left.store(0, SeqCst);
            });
            while left.load(SeqCst) > 0 {
                assert_eq!(kept.xattr(b"user.long").expect("the attribute").len(), 500);
            }
        });
    });
}

#[test]
fn a_block_of_attributes_goes_with_the_last_inode_that_uses_it() {
    for (what, options) in FORMATS {
        let image = image(options);
        let before = session(&image, what, |fs| {
            let before = fs.stat_fs();
            ["one", "two"].iter().for_each(|name| drop(mkdir(fs, name)));
            before
        });
        for name in ["one", "two"] {
            image.debugfs_write(&format!("ea_set {name} user.long {}", "x".repeat(500)));
        }
        // They share it now.
        let (kept, gone) = (acl(&image, "one"), acl(&image, "two"));
        image.debugfs_write(&format!("sif two file_acl {kept}"));
        image.debugfs_write(&format!("freeb {gone}"));
        image.repair("-fy");
        expect_clean(&image, what);
        session(&image, what, |fs| rmdir(fs, "two").expect("rmdir"));
        session(&image, what, |fs| {
            rmdir(fs, "one").expect("rmdir");
            assert_eq!(fs.stat_fs().blocks_free, before.blocks_free, "{what}");
        });
    }
}

/// Each thread meets what others make and remove, and one commits all the time.
#[test]
fn names_change_side_by_side() {
    for (what, options) in FORMATS {
        let image = image(options);
        session(&image, what, |fs| {
            let dirs = ["x", "y", "y/z"].map(|name| mkdir(fs, name));
            let left = AtomicU32::new(4);
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (dirs, left) = (&dirs, &left);
                    scope.spawn(move || {
                        let mut rng = Rng::new(thread);
                        let mut open = Vec::new();
                        for _ in 0..sample(300, 10_000) {
                            let (dir, to) = (rng.pick(dirs), rng.pick(dirs));
                            let (old, new) = (name(&mut rng), name(&mut rng));
                            let done = match rng.below(10) {
                                0..3 => dir.create(&old, FileKind::File, 0o644).map(|file| open.push(file)),
                                3 => dir.create(&old, FileKind::Directory, 0o755).map(|dir| open.push(dir)),
                                4 => dir.symlink(&old, &[b't'; 70]).map(drop),
                                5 => dir.unlink(&old),
                                6 => dir.rmdir(&old),
                                7 => dir.lookup(&old).and_then(|file| to.link(&new, file.ino())),
                                8 => fs.rename(dir.ino(), &old, to.ino(), &new, Rename::Replace),
                                _ => fs.rename(dir.ino(), &old, to.ino(), &new, Rename::Exchange),
                            };
                            assert!(matches!(done, Ok(()) | Err(Error::Op(_))), "{what}: {done:?}");
                            open.truncate(rng.below(6) as usize);
                        }
                        left.fetch_sub(1, SeqCst);
                    });
                }
                while left.load(SeqCst) > 0 {
                    fs.sync().expect("sync");
                }
            });
        });
    }
}

/// A commit writes descriptors of groups while others load inodes, which lie where those say.
#[test]
fn an_inode_is_loaded_beside_a_commit_that_changes_its_group() {
    for (what, options) in &FORMATS[..2] {
        let image = image(options);
        session(&image, what, |fs| drop(create(fs, "old")));
        let machine = image.machine();
        let options = MountOptions { cached_inodes: Some(0), ..MountOptions::default() };
        let fs = fs::registry::mount(machine, options).unwrap_or_else(|error| panic!("{what}: {error}"));
        let (root, left) = (at(&fs, "/"), AtomicU32::new(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..sample(2_000, 50_000) {
                    root.create(b"new", FileKind::File, 0o644).expect("create");
                    fs.sync().expect("sync");
                    root.unlink(b"new").expect("unlink");
                    fs.sync().expect("sync");
                }
                left.store(0, SeqCst);
            });
            while left.load(SeqCst) > 0 {
                root.lookup(b"old").unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        });
        drop(root);
        fs.unmount().expect("unmount");
    }
}

#[test]
fn nothing_without_a_name_is_left_on_what_becomes_read_only() {
    for (what, options) in FORMATS {
        let image = image(options);
        session(&image, what, |fs| {
            let open = mkdir(fs, "d");
            rmdir(fs, "d").expect("rmdir");
            expect_errno(fs.remount(true), Errno::Busy);
            expect_errno(fs.unmount(), Errno::Busy);
            drop(open);
            fs.remount(true).expect("remount");
            expect_errno(at(fs, "/").create(b"f", FileKind::File, 0o644), Errno::ReadOnly);
            fs.remount(false).expect("remount");
            let open = create(fs, "f");
            unlink(fs, "f").expect("unlink");
            // A copy of what is frozen has an orphan.
            fs.freeze().expect("freeze");
            drop(open);
            fs.thaw().expect("thaw");
        });
    }
}

#[test]
fn a_large_directory_is_listed_in_pieces_while_its_index_grows() {
    for (what, options) in FORMATS {
        let image = image(options);
        let wanted = |number: usize| format!("stays-{number}-{}", "-".repeat(number * 7 % 180)).into_bytes();
        session(&image, what, |fs| {
            let dir = mkdir(fs, "d");
            let file = create(fs, "d/file");
            let link =
                |name: &[u8]| dir.link(name, file.ino()).unwrap_or_else(|error| panic!("{what}: {error}"));
            (0..50).for_each(|number| link(&wanted(number)));
            let (mut seen, mut from, mut more) = (Vec::new(), 0, 0);
            loop {
                let mut left = 3;
                let mut end = true;
                let listed = dir.read_dir(from, &mut |entry| {
                    if left == 0 {
                        end = false;
                        return ControlFlow::Break(());
                    }
                    left -= 1;
                    from = entry.next;
                    seen.push(entry.name.to_vec());
                    ControlFlow::Continue(())
                });
                listed.expect("read_dir");
                if end {
                    break;
                }
                for _ in 0..20 * u32::from(more < 1500) {
                    link(format!("new-{more}-{}", "+".repeat(more * 11 % 150)).as_bytes());
                    if more % 3 == 0 {
                        dir.unlink(format!("new-{more}-{}", "+".repeat(more * 11 % 150)).as_bytes())
                            .expect("unlink");
                    }
                    more += 1;
                }
            }
            let distinct: BTreeSet<_> = seen.iter().cloned().collect();
            assert_eq!(distinct.len(), seen.len(), "{what}: a name was listed twice");
            for number in 0..50 {
                assert!(distinct.contains(&wanted(number)), "{what}: stays-{number} was not listed");
            }
            assert!(more >= 1500, "{what}: {more}");
            for number in 0..50 {
                assert_eq!(dir.lookup(&wanted(number)).expect("lookup").ino(), file.ino());
            }
        });
    }
}

#[test]
fn what_has_no_name_after_a_crash_is_freed_by_the_next_mount() {
    for (what, options) in FORMATS {
        let image = image(options);
        let before = session(&image, what, |fs| fs.stat_fs());
        let machine = image.machine();
        let fs = mount(&machine);
        let open: Vec<_> = (0..5).map(|number| mkdir(&fs, &format!("d{number}"))).collect();
        let link = fs.root().expect("root").symlink(b"link", &[b't'; 100]).expect("symlink");
        for number in [2, 0, 4, 1, 3] {
            rmdir(&fs, &format!("d{number}")).expect("rmdir");
        }
        unlink(&fs, "link").expect("unlink");
        // One from the middle of the list is no orphan any more.
        let mut open = open;
        drop(open.remove(4));
        fs.sync().expect("sync");
        let crashed = machine.ram.to_bytes();
        // e2fsck frees them.
        image.store_bytes(&crashed);
        image.repair("-fp");
        expect_clean(&image, what);
        // And so do we.
        let after = Machine::new(Ram::from_bytes(&crashed));
        let again = mount(&after);
        let mut notes = String::new();
        again.mount_notes(&mut |note| notes += &format!("{note}\n"));
        assert!(notes.contains("5 inodes without a name"), "{what}: {notes}");
        assert_eq!(again.stat_fs(), before, "{what}");
        again.unmount().expect("unmount");
        drop(again);
        image.store(&after);
        expect_clean(&image, what);
        drop((open, link));
        assert_eq!(fs.stat_fs(), before, "{what}");
        fs.unmount().expect("unmount");
    }
}
