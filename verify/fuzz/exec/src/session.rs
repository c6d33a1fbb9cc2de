//! One file system while it is mounted: the operations, and what must hold after each.

use crate::InputReport;
use crate::anatomy::Anatomy;
use crate::input::{Input, MountMode, Op};
use crate::machine::{Bench, Machine};
use crate::view::FuzzView;
use fs::error::{Errno, Error};
use fs::ext::features::ReadOnlyReason;
use fs::ext2::Ext2;
use fs::platform::{Timestamp, User};
use fs::vfs::{
    Device, Fallocate, FileKind, FileSystem, InodeRef, MountOptions, Rename, Seek, SetAttr, SetXattr, path,
};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Operations; the number is the place in the list, for ever.
const OPS: [&str; 43] = [
    "walk the tree",
    "read",
    "write",
    "truncate",
    "fallocate",
    "seek",
    "extents",
    "stat",
    "read directory",
    "create",
    "make device",
    "symlink",
    "link",
    "unlink",
    "rmdir",
    "read link",
    "get attribute",
    "set attribute",
    "remove attribute",
    "list attributes",
    "change attributes",
    "rename",
    "open",
    "close",
    "map",
    "load through a mapping",
    "store through a mapping",
    "msync",
    "fsync",
    "unmap",
    "statfs",
    "sync",
    "unmount and mount",
    "unmount while in use",
    "crash",
    "crash after some stores",
    "shrink caches",
    "create many",
    "unlink many",
    "append much",
    "become a user",
    "fill the disk",
    "resolve a path",
];

/// How many operations there are.
pub const COUNT: u8 = OPS.len() as u8;

/// Returns what operation `code` does.
pub fn name(code: u8) -> &'static str {
    OPS.get(usize::from(code & 63)).copied().unwrap_or("nothing")
}

/// Returns the number of the operation called `name`.
pub fn code(name: &str) -> u8 {
    OPS.iter().position(|&op| op == name).expect("an operation's name") as u8
}

/// Names of what is there, and of what may be made.
const NAMES: [&str; 30] = [
    "",
    "dir",
    "dir/file",
    "dir/sub",
    "long",
    "sparse",
    "fast",
    "slow",
    "many",
    "dir/hard",
    "fifo",
    "device",
    "lost+found",
    "loop",
    "new",
    "dir/new",
    "dir/sub/new",
    "many/new",
    "new/inside",
    "made",
    "made/inside",
    "made/sub/deep",
    ".",
    "..",
    "dir/..",
    "dir/sub/.",
    "dir/sub/../../long",
    "slow/through/a/file",
    "nul\0and/\u{fffd}",
    "///",
];
/// How many names there are: two long ones come last.
const NAMES_COUNT: u8 = NAMES.len() as u8 + 2;

const ATTRIBUTES: [&str; 12] = [
    "user.one",
    "user.two",
    "user.shared",
    "trusted.of_dir",
    "user.",
    "",
    "system.posix_acl_access",
    "security.selinux",
    "nonsense",
    "user.a-much-longer-name-than-all-the-others-have-so-that-entries-are-of-many-sizes",
    "user.z",
    "trusted.z",
];

/// Files kept open.
const SLOTS: usize = 4;
/// Files kept mapped.
const VIEWS: usize = 2;
/// The most bytes that one operation reads or writes.
const MOST_COPIED: u64 = 1 << 16;

/// A file system under test.
pub struct Session<'a> {
    bench: &'a Bench,
    anatomy: &'a Anatomy,
    options: MountOptions,
    fs: Option<Arc<Ext2<Machine>>>,
    open: [Option<InodeRef<Machine>>; SLOTS],
    views: Vec<FuzzView>,
    ops: &'a [Op],
    /// Nothing was damaged: no contradiction may be met.
    honest: bool,
    report: InputReport,
}

impl<'a> Session<'a> {
    /// Makes one for `input`, whose damage is done.
    pub fn new(bench: &'a Bench, anatomy: &'a Anatomy, input: &'a Input) -> Self {
        let mut options = MountOptions::default();
        match input.mount {
            MountMode::Plain => {}
            MountMode::ReadOnly => options.read_only = true,
            MountMode::Protected => bench.set_writable(false),
            MountMode::Copy(which) => {
                let copy = anatomy.supers[usize::from(which) % anatomy.supers.len()];
                options.super_block = Some(copy / 1024);
            }
        }
        let honest = input.patches.is_empty();
        Self {
            bench,
            anatomy,
            options,
            fs: None,
            open: [const { None }; SLOTS],
            views: Vec::new(),
            ops: &input.ops,
            honest,
            report: InputReport::default(),
        }
    }

    /// Mounts, does everything, unmounts.
    pub fn run(&mut self) -> InputReport {
        self.mount();
        for op in self.ops {
            if self.fs.is_none() {
                break;
            }
            self.bench.begin();
            self.report.tried += 1;
            let result = self.operate(op);
            self.note(result);
            self.check_views();
        }
        if !self.bench.has_power() {
            self.crash();
        }
        self.unmount();
        self.report
    }

    fn note<T>(&mut self, result: fs::Result<T>) -> Option<T> {
        if let Err(error @ Error::Corrupt(_)) = &result {
            assert!(!self.honest, "nothing was damaged: {error}");
        }
        self.report.worked += u32::from(result.is_ok());
        result.ok()
    }

    fn mount(&mut self) {
        self.bench.begin();
        self.bench.seal(self.options.read_only);
        // What is told by a redo record is stored before anything else is looked at. A copy that is asked for
        // is put into the first one's place if it leads to a root; what is read-only then was no less damaged
        // before.
        let stores_first = self.bench.has_redo_record();
        let by_copy = self.options.super_block.is_some();
        let untouched = (!stores_first).then(|| self.bench.stores());
        let unchanged = |bench: &Bench| untouched.is_none_or(|stores| stores == bench.stores());
        let result = fs::ext2::mount(self.bench.machine().clone(), self.options);
        match result {
            Ok(fs) => {
                self.report.mounted = true;
                // The copy is in the first one's place now. To ask for it again after a crash would make the
                // crash another system's, whose traces may be beyond a repair.
                self.options.super_block = None;
                self.report.read_only = fs.read_only();
                let asked = self.options.read_only || !self.bench.is_writable();
                let reason = fs.read_only_reason();
                assert!(
                    asked || !self.honest || !fs.read_only(),
                    "nothing was damaged, and it is read-only: {reason:?}"
                );
                if fs.read_only() {
                    self.bench.seal(true);
                    // What is repaired before room runs out for names in lost+found stays repaired.
                    let reason = fs.read_only_reason();
                    let full = matches!(&reason, Some(ReadOnlyReason::Damaged(what))
                        if what.what == "lost+found" && what.why.starts_with("no room"));
                    assert!(
                        full || by_copy || unchanged(self.bench),
                        "mounted read-only, and stored to: {reason:?}"
                    );
                }
                self.fs = Some(fs);
            }
            Err(error) => {
                assert!(unchanged(self.bench), "refused, and stored to: {error}");
                assert!(!self.honest, "nothing was damaged, and the mount was refused: {error}");
            }
        }
    }

    fn forget_handles(&mut self) {
        self.views.clear();
        self.open = [const { None }; SLOTS];
    }

    fn unmount(&mut self) {
        self.bench.begin();
        self.forget_handles();
        let Some(fs) = self.fs.take() else { return };
        self.bench.begin();
        let sync = fs.sync();
        self.note(sync);
        self.bench.begin();
        match fs.unmount() {
            Err(Error::Op(Errno::Busy)) => panic!("busy, and nothing is in use"),
            result => {
                self.report.unmounted = result.is_ok();
                self.note(result);
            }
        }
        assert!(!self.honest || !fs.met_errors(), "nothing was damaged, and errors are noted");
    }

    /// The power fails, if it has not; what is let go of stores no more. Then it is mounted again.
    fn crash(&mut self) {
        self.bench.power_off();
        self.forget_handles();
        self.fs = None;
        self.bench.power_on();
        self.bench.seal(false);
        self.mount();
    }

    /// docs/laws.md, law 6: what is mapped is the block that is there.
    fn check_views(&mut self) {
        if self.honest {
            self.views.iter().for_each(FuzzView::check);
        }
    }

    fn fs(&self) -> fs::Result<Arc<Ext2<Machine>>> {
        self.fs.clone().ok_or(Error::Op(Errno::NotFound))
    }

    fn name(number: u8) -> Vec<u8> {
        match NAMES.get(usize::from(number % NAMES_COUNT)) {
            Some(name) => name.as_bytes().to_vec(),
            None if number % NAMES_COUNT == NAMES_COUNT - 1 => vec![b'o'; 256],
            None => vec![b'm'; 255],
        }
    }

    /// What `number` says: an open file, or one by its name.
    fn file(&self, number: u8) -> fs::Result<InodeRef<Machine>> {
        match &self.open[usize::from(number) % SLOTS] {
            Some(file) if number & 0x80 != 0 => Ok(file.clone()),
            _ => path::resolve_no_follow(&self.fs()?.root()?, &Self::name(number & 0x7F)),
        }
    }

    /// A directory, and a name in it.
    fn entry(&self, number: u8) -> fs::Result<(InodeRef<Machine>, Vec<u8>)> {
        let name = Self::name(number & 0x7F);
        let root = self.fs()?.root()?;
        let (dir, name) = match path::parent(&root, &name) {
            Ok((dir, name)) => (dir, name.to_vec()),
            // What a path cannot say is tried all the same.
            Err(_) => (root, name),
        };
        Ok((dir, name))
    }

    /// A place in a file of `size` bytes, or a length: ends of things are likelier than others.
    fn place(&self, coded: u32, size: u64) -> u64 {
        let (small, which) = (u64::from(coded & 0xFFFF), u64::from(coded >> 16 & 0xFF));
        let around = |middle: u64| middle.wrapping_add(small).wrapping_sub(0x8000);
        let block = self.anatomy.block;
        let per = block / 4;
        match coded >> 29 {
            0 => u64::from(coded),
            1 => small,
            2 => around([12, 12 + per, 12 + per + per * per][(which % 3) as usize] * block),
            3 => around(size),
            4 => size.saturating_sub(small),
            5 => around(1 << (which % 64)),
            6 => (u64::MAX >> (which & 1)) - small,
            _ => (small & 0x3FF) * block,
        }
    }

    fn operate(&mut self, op: &Op) -> fs::Result<()> {
        let fs = self.fs()?;
        match name(op.code) {
            "walk the tree" => self.walk()?,
            "open" => self.open[usize::from(op.how) % SLOTS] = Some(self.file(op.what)?),
            "close" => self.open[usize::from(op.how) % SLOTS] = None,
            "map" => {
                let file = self.file(op.what)?;
                file.expect_mappable()?;
                self.views.truncate(VIEWS - 1);
                self.views.insert(0, FuzzView::new(&file));
            }
            "load through a mapping" | "store through a mapping" => {
                let Some(view) = self.views.get_mut(usize::from(op.how) % VIEWS) else { return Ok(()) };
                let size = view.of.file.attr().size;
                let write = name(op.code).starts_with('s');
                let offset = self.place(op.offset, size);
                self.views[usize::from(op.how) % VIEWS].touch(offset, write)?;
            }
            "msync" => {
                let Some(view) = self.views.first() else { return Ok(()) };
                view.of.msync()?;
            }
            "unmap" => self.views.truncate(usize::from(op.how) % VIEWS),
            "statfs" => {
                fs.stat_fs();
            }
            "sync" => fs.sync()?,
            "unmount and mount" => {
                drop(fs);
                if self.bench.has_power() {
                    self.unmount();
                    self.mount();
                }
            }
            "unmount while in use" => {
                let Some(_held) = self.open.iter().flatten().next() else { return Ok(()) };
                match fs.unmount() {
                    Err(Error::Op(Errno::Busy)) => {}
                    result => panic!("unmounted under an open file: {result:?}"),
                }
            }
            "crash" => {
                drop(fs);
                self.crash();
            }
            "crash after some stores" if self.bench.has_power() => self.bench.fail_after(op.offset % 300),
            "shrink caches" => {
                fs.shrink();
            }
            "become a user" => {
                let user = User { uid: op.offset & 3, gid: op.len & 3 };
                self.bench.machine().become_user(user);
            }
            "resolve a path" => {
                path::resolve(&fs.root()?, &Self::name(op.what))?;
            }
            "rename" => {
                let how = [Rename::Replace, Rename::NoReplace, Rename::Exchange][usize::from(op.how) % 3];
                let ((from, old), (to, new)) = (self.entry(op.what)?, self.entry(op.other)?);
                fs.rename(from.ino(), &old, to.ino(), &new, how)?;
            }
            "create" | "make device" | "symlink" | "link" | "unlink" | "rmdir" | "create many"
            | "unlink many" => self.change_names(op)?,
            _ => self.change_file(op)?,
        }
        Ok(())
    }

    fn change_names(&mut self, op: &Op) -> fs::Result<()> {
        let (dir, new) = self.entry(op.what)?;
        let mode = op.len as u16 & 0o7777;
        match name(op.code) {
            "create" => {
                use FileKind::{CharDevice, Directory, Fifo, File, Socket, Symlink};
                let kinds = [File, Directory, File, Directory, Fifo, Socket, Symlink, CharDevice];
                let made = dir.create(&new, kinds[usize::from(op.how) % 8], mode)?;
                if op.other & 0x80 != 0 {
                    self.open[usize::from(op.other) % SLOTS] = Some(made);
                }
            }
            "make device" => {
                use FileKind::{BlockDevice, CharDevice, File};
                let kind = [CharDevice, BlockDevice, File][usize::from(op.how) % 3];
                dir.make_device(&new, kind, mode, Device { major: op.offset, minor: op.len })?;
            }
            "symlink" => {
                let target = match op.how % 4 {
                    0 => Self::name(op.other),
                    1 => vec![b't'; (op.len % 64) as usize],
                    2 => b"../".repeat((op.len % 1600) as usize),
                    _ => vec![b't'; (op.len % 5000) as usize],
                };
                dir.symlink(&new, &target)?;
            }
            "link" => {
                let file = self.file(op.other)?;
                dir.link(&new, file.ino())?;
            }
            "unlink" => dir.unlink(&new)?,
            "rmdir" => dir.rmdir(&new)?,
            "create many" => {
                let dir = dir.lookup(&new)?;
                for number in 0..op.len % 40 {
                    let kind = if op.how & 1 == 0 { FileKind::File } else { FileKind::Directory };
                    self.bench.begin();
                    dir.create(Self::one_of_many(op, number).as_bytes(), kind, mode)?;
                }
            }
            _ => {
                let dir = dir.lookup(&new)?;
                for number in 0..op.len % 40 {
                    let name = Self::one_of_many(op, number);
                    self.bench.begin();
                    let result = dir.unlink(name.as_bytes()).or_else(|_| dir.rmdir(name.as_bytes()));
                    self.note(result);
                }
            }
        }
        Ok(())
    }

    /// The same names for the same `offset` and `other`, short or long.
    fn one_of_many(op: &Op, number: u32) -> String {
        let length = usize::from(op.other) % 250;
        format!("{:0length$}", (op.offset & 0xF) * 100 + number)
    }

    fn change_file(&mut self, op: &Op) -> fs::Result<()> {
        let file = self.file(op.what)?;
        let size = file.attr().size;
        let (offset, len) = (self.place(op.offset, size), self.place(op.len, size));
        let count = (len % MOST_COPIED) as usize;
        match name(op.code) {
            "read" => {
                file.read_at(offset, &mut vec![0; count])?;
            }
            "write" => {
                file.write_at(offset, &vec![op.how | 1; count])?;
            }
            "truncate" => file.truncate(offset)?,
            "fallocate" => {
                let keep_size = op.how & 0x80 != 0;
                let how = match op.how % 5 {
                    0 => Fallocate::Allocate { keep_size },
                    1 => Fallocate::PunchHole,
                    2 => Fallocate::ZeroRange { keep_size },
                    3 => Fallocate::CollapseRange,
                    _ => Fallocate::InsertRange,
                };
                file.fallocate(how, offset, len)?;
            }
            "seek" => {
                file.seek(offset, if op.how & 1 == 0 { Seek::Data } else { Seek::Hole })?;
            }
            "extents" => {
                let mut left = 1 + op.len % 100;
                file.extents(offset, &mut |_| {
                    left -= 1;
                    if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
            }
            "read directory" => {
                let mut left = 1 + op.len % 100;
                file.read_dir(offset, &mut |_| {
                    left -= 1;
                    if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
            }
            "read link" => {
                file.read_link()?;
            }
            "get attribute" => {
                file.xattr(Self::attribute(op.other))?;
            }
            "set attribute" => {
                let how = [SetXattr::Any, SetXattr::Create, SetXattr::Replace][usize::from(op.how) % 3];
                file.set_xattr(Self::attribute(op.other), &vec![op.how; (len % 5000) as usize], how)?;
            }
            "remove attribute" => file.remove_xattr(Self::attribute(op.other))?,
            "list attributes" => {
                file.list_xattrs()?;
            }
            "change attributes" => {
                let secs = (u64::from(op.offset) << 32 | u64::from(op.len)) as i64 >> (op.other % 64);
                let time = Timestamp { secs, nanos: op.len % 1_000_000_000 };
                let some = |bit: u8| (op.how >> bit & 1 != 0).then_some(());
                file.set_attr(&SetAttr {
                    mode: some(0).map(|()| op.len as u16),
                    uid: some(1).map(|()| op.offset),
                    gid: some(2).map(|()| op.len),
                    atime: some(3).map(|()| time),
                    mtime: some(4).map(|()| time),
                })?;
            }
            "fsync" => {
                fs::dax::fsync(&*file)?;
            }
            "append much" => {
                for _ in 0..op.how % 32 {
                    self.bench.begin();
                    file.write_at(file.attr().size, &vec![1; count])?;
                }
            }
            "fill the disk" => {
                let keep_size = op.how & 1 != 0;
                // Halves, until nothing fits: the last blocks are the interesting ones.
                let mut len = 1 << 24;
                while len >= 1024 {
                    self.bench.begin();
                    let end = file.attr().size;
                    let result = file.fallocate(Fallocate::Allocate { keep_size }, end, len);
                    self.note(result);
                    len >>= 1;
                }
            }
            _ => {
                file.attr();
            }
        }
        Ok(())
    }

    fn attribute(number: u8) -> &'static [u8] {
        ATTRIBUTES[usize::from(number) % ATTRIBUTES.len()].as_bytes()
    }

    /// Looks at what can be reached, within bounds: directories may go in circles.
    fn walk(&mut self) -> fs::Result<()> {
        let mut left = 120;
        let mut todo = vec![(self.fs()?.root()?, 0)];
        while let Some((dir, depth)) = todo.pop() {
            let mut names = Vec::new();
            self.bench.begin();
            let result = dir.read_dir(0, &mut |entry| {
                names.push(entry.name.to_vec());
                if names.len() < 60 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            self.note(result);
            for name in names {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                self.bench.begin();
                let found = dir.lookup(&name);
                let Some(inode) = self.note(found) else { continue };
                let result = self.look(&inode);
                self.note(result);
                if inode.kind() == FileKind::Directory && name != b"." && name != b".." && depth < 5 {
                    todo.push((inode, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, inode: &InodeRef<Machine>) -> fs::Result<()> {
        let size = inode.attr().size;
        let mut buffer = [0; 200];
        match inode.kind() {
            FileKind::File => {
                inode.read_at(size.saturating_sub(100), &mut buffer)?;
                inode.read_at(0, &mut buffer)?;
                let mut left = 40;
                inode.extents(0, &mut |_| {
                    left -= 1;
                    if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
            }
            FileKind::Symlink => {
                inode.read_link()?;
            }
            _ => {}
        }
        match inode.list_xattrs() {
            Ok(names) => {
                for name in names {
                    let value = inode.xattr(&name);
                    self.note(value);
                }
                Ok(())
            }
            Err(Error::Unsupported(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
