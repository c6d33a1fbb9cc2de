//! One file system while it is mounted: the operations, and what must hold after each.

use crate::InputReport;
use crate::anatomy::Anatomy;
use crate::input::{Input, MountMode, Op};
use crate::machine::{Bench, Machine};
use crate::ops::{self, name};
use crate::view::FuzzView;
use fs::error::{Errno, Error};
use fs::ext::features::ReadOnlyReason;
use fs::ext2::Ext2;
use fs::platform::{Timestamp, User};
use fs::vfs::{FileKind, FileSystem, InodeRef, MountOptions, Seek, SetAttr, SetXattr, path};
use fsx::{FileOp, NameOp, NameTree, OpKind};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Files kept open.
const SLOTS: usize = 4;
/// Files kept mapped.
const VIEWS: usize = 2;
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
    /// What names there are to be then, from the first operation on names on.
    tree: Option<NameTree<()>>,
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
            tree: None,
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
        if let Some(mut tree) = self.tree.take() {
            self.bench.begin();
            tree.forget_nameless();
            assert_eq!(NameTree::of(&*fs), Ok(tree), "other names than those that were made");
        }
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
        (self.fs, self.tree) = (None, None);
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

    /// What `number` says: an open file, or one by its name.
    fn file(&self, number: u8) -> fs::Result<InodeRef<Machine>> {
        match &self.open[usize::from(number) % SLOTS] {
            Some(file) if number & 0x80 != 0 => Ok(file.clone()),
            _ => path::resolve_no_follow(&self.fs()?.root()?, &ops::path(number & 0x7F)),
        }
    }

    /// A directory, and a name in it.
    fn entry(&self, number: u8) -> fs::Result<(InodeRef<Machine>, Vec<u8>)> {
        let name = ops::path(number & 0x7F);
        let root = self.fs()?.root()?;
        let (dir, name) = match path::parent(&root, &name) {
            Ok((dir, name)) => (dir, name.to_vec()),
            // What a path cannot say is tried all the same.
            Err(_) => (root, name),
        };
        Ok((dir, name))
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
                let offset = ops::place(op.offset, size, self.anatomy.block);
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
                path::resolve(&fs.root()?, &ops::path(op.what))?;
            }
            "create many" | "unlink many" => self.change_many(op)?,
            "create" | "make device" | "symlink" | "link" | "unlink" | "rmdir" | "rename" => {
                let made = self.change_name(op)?;
                if made.is_some() && op.other & 0x80 != 0 && name(op.code) == "create" {
                    self.open[usize::from(op.other) % SLOTS] = made;
                }
            }
            _ => self.change_file(op)?,
        }
        Ok(())
    }

    /// Does what `op` says to a name.
    fn change_name(&mut self, op: &Op) -> fs::Result<Option<InodeRef<Machine>>> {
        let (dir, old) = self.entry(op.what)?;
        let (what, _held) = match name(op.code) {
            "link" => {
                let file = self.file(op.other)?;
                (NameOp::Link(file.ino()), Some(file))
            }
            "rename" => {
                let (to, new) = self.entry(op.other)?;
                (NameOp::Rename(to.ino(), new, ops::rename(op)), Some(to))
            }
            _ => (ops::name_op(op), None),
        };
        self.perform(&dir, &old, &what)
    }

    /// Does an operation on names. What cannot be must not be done; what is done is noted in the tree.
    fn perform(
        &mut self,
        dir: &InodeRef<Machine>,
        name: &[u8],
        op: &NameOp,
    ) -> fs::Result<Option<InodeRef<Machine>>> {
        let fs = self.fs()?;
        if self.honest && self.tree.is_none() {
            self.bench.begin();
            self.tree = Some(NameTree::of(&*fs)?);
            // Nothing shall be known of it that nobody has asked for.
            fs.shrink();
        }
        self.bench.begin();
        let made = op.perform(&*fs, &**dir, name)?;
        if let Some(tree) = &mut self.tree {
            assert_eq!(tree.refusals(dir.ino(), name, op), [], "done what cannot be: {op:?} of {name:?}");
            tree.apply(dir.ino(), name, op, made.as_ref().map(|inode| inode.ino()));
        }
        Ok(made)
    }

    fn change_many(&mut self, op: &Op) -> fs::Result<()> {
        let (parent, name) = self.entry(op.what)?;
        let dir = parent.lookup(&name)?;
        for number in 0..op.len % 40 {
            let name = ops::one_of_many(op, number);
            if ops::name(op.code) == "create many" {
                let kind = if op.how & 1 == 0 { FileKind::File } else { FileKind::Directory };
                self.perform(&dir, name.as_bytes(), &NameOp::Create(kind, ops::mode(op)))?;
            } else {
                let unlinked = self.perform(&dir, name.as_bytes(), &NameOp::Unlink);
                let result = unlinked.or_else(|_| self.perform(&dir, name.as_bytes(), &NameOp::Rmdir));
                self.note(result);
            }
        }
        Ok(())
    }

    fn change_file(&mut self, op: &Op) -> fs::Result<()> {
        let file = self.file(op.what)?;
        let size = file.attr().size;
        let place = |coded| ops::place(coded, size, self.anatomy.block);
        let (offset, len) = (place(op.offset), place(op.len));
        if let Some(what) = ops::file_op(op, offset, len) {
            let copied = if matches!(what.kind, OpKind::Read | OpKind::Write) { what.len } else { 0 };
            what.perform(&*file, &mut vec![op.how | 1; copied as usize])?;
            return Ok(());
        }
        match name(op.code) {
            "seek" => {
                file.seek(offset, if op.how & 1 == 0 { Seek::Data } else { Seek::Hole })?;
            }
            "extents" => {
                let mut left = 1 + op.len % 100;
                file.extents(offset, &mut |_| ops::next(&mut left))?;
            }
            "read directory" => {
                let mut left = 1 + op.len % 100;
                file.read_dir(offset, &mut |_| ops::next(&mut left))?;
            }
            "read link" => {
                file.read_link()?;
            }
            "get attribute" => {
                file.xattr(ops::attribute(op.other))?;
            }
            "set attribute" => {
                let how = [SetXattr::Any, SetXattr::Create, SetXattr::Replace][usize::from(op.how) % 3];
                file.set_xattr(ops::attribute(op.other), &vec![op.how; (len % 5000) as usize], how)?;
            }
            "remove attribute" => file.remove_xattr(ops::attribute(op.other))?,
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
            "append much" => {
                let count = len % ops::MOST_COPIED;
                for _ in 0..op.how % 32 {
                    self.bench.begin();
                    let append = FileOp::new(OpKind::Write, file.attr().size, count);
                    append.perform(&*file, &mut vec![1; count as usize])?;
                }
            }
            "fill the disk" => {
                let keep_size = op.how & 1 != 0;
                // Halves, until nothing fits: the last blocks are the interesting ones.
                let mut len = 1 << 24;
                while len >= 1024 {
                    self.bench.begin();
                    let end = file.attr().size;
                    let allocate = FileOp { keep_size, ..FileOp::new(OpKind::Allocate, end, len) };
                    self.note(allocate.perform(&*file, &mut []));
                    len >>= 1;
                }
            }
            _ => {
                file.attr();
            }
        }
        Ok(())
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
                inode.extents(0, &mut |_| ops::next(&mut left))?;
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
