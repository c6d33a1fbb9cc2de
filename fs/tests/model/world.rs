//! A mounted image beside its model, and the steps on contents: copying, mapping, truncating.

use super::attributes::Attributes;
use crate::common::{self, BLOCK, Image, LEVELS, Machine, Rng, Scratch, Tested, View, pattern};
use fs::Errno;
use fs::vfs::{FileKind, FileSystemRef, InodeRef, path};
use fsx::{FileContents, FileOp, NameTree, OpKind};
use std::ops::Range;

/// What kind of sequences.
pub(crate) struct Setting {
    pub(crate) tested: &'static Tested,
    pub(crate) name: &'static str,
    pub(crate) blocks: u64,
    pub(crate) inodes: u64,
    pub(crate) steps: u64,
    pub(crate) sequences: u64,
    /// Files may reach behind every level of the block map.
    pub(crate) far: bool,
}

/// What an inode is to hold.
pub(crate) struct Held {
    pub(crate) contents: FileContents,
    pub(crate) attributes: Attributes,
}

impl Default for Held {
    fn default() -> Self {
        Self { contents: FileContents::new(BLOCK), attributes: Attributes::new() }
    }
}

/// A file system, its model, and who looks at it.
pub(crate) struct World {
    pub(crate) tested: &'static Tested,
    pub(crate) image: Image,
    pub(crate) machine: Machine,
    pub(crate) fs: FileSystemRef<Machine>,
    pub(crate) model: NameTree<Held>,
    pub(crate) open: Vec<InodeRef<Machine>>,
    pub(crate) views: Vec<View>,
    pub(crate) rng: Rng,
    pub(crate) trace: Vec<String>,
    pub(crate) far: bool,
}

impl World {
    /// A fresh image.
    pub(crate) fn new(setting: &Setting, seed: u64) -> Self {
        let inodes = setting.inodes.to_string();
        let image = Image::with(Scratch::new(), setting.blocks, &["-N", &inodes]);
        let mut bytes = image.bytes();
        common::layout::Layout::of(&bytes).soil_free_blocks(&mut bytes);
        image.store_bytes(&bytes);
        let machine = image.machine();
        let fs = (setting.tested.mount)(machine.clone());
        Self {
            tested: setting.tested,
            model: NameTree::of(&*fs).expect("a sound image"),
            fs,
            image,
            machine,
            open: Vec::new(),
            views: Vec::new(),
            rng: Rng::new(seed),
            trace: Vec::new(),
            far: setting.far,
        }
    }

    /// One random operation, on both.
    pub(crate) fn step(&mut self) {
        self.trace.push(String::new());
        match self.rng.below(100) {
            0..8 => self.make(FileKind::File),
            8..10 => self.link(),
            10..14 => self.make(FileKind::Directory),
            14..20 => self.remove(),
            20..28 => self.rename(),
            28..46 => self.write(),
            46..52 => self.read(),
            52..60 => self.truncate(),
            60..67 => self.map(),
            67..79 => self.store(),
            79..82 => self.change_attribute(),
            82..88 => self.load(),
            88..90 => self.msync(),
            90..92 => self.unmap(),
            92..94 => self.open(),
            94..96 => self.close(),
            96..98 => self.compare_one(),
            98 => self.sync(),
            _ => self.remount(),
        }
    }

    /// Notes what the step is, before it is done.
    pub(crate) fn note(&mut self, what: String) {
        *self.trace.last_mut().expect("a step") = what;
    }

    /// Notes an operation on a file, before it is done.
    fn note_op(&mut self, kind: OpKind, offset: u64, len: u64, node: u64) -> FileOp {
        let op = FileOp::new(kind, offset, len);
        let size = self.contents(node).size();
        self.note(format!("{} of node {node}", op.line(size)));
        op
    }

    /// What file `node` is to hold.
    fn contents(&mut self, node: u64) -> &mut FileContents {
        &mut self.model.node_mut(node).more.contents
    }

    /// Does to the model what was done to file `node`.
    fn apply(&mut self, node: u64, op: &FileOp, bytes: &[u8]) {
        let number = self.trace.len() as u64;
        self.contents(node).apply(number, op, bytes).expect("it was done");
    }

    /// The inode of a node that has a name, or is open or mapped.
    pub(crate) fn inode(&self, node: u64) -> InodeRef<Machine> {
        if let Some(path) = self.model.path(node) {
            let root = self.fs.root().expect("root");
            return path::resolve(&root, &path).expect("the path of a node");
        }
        let mut held = self.open.iter().chain(self.views.iter().map(|view| &view.file));
        held.find(|file| file.ino() == node).expect("a handle to what has no name").clone()
    }

    /// Any file: with a name, or unlinked and still held.
    pub(crate) fn any_file(&mut self) -> Option<u64> {
        let mut files = self.model.named(FileKind::File);
        files.extend(self.open.iter().chain(self.views.iter().map(|view| &view.file)).map(|file| file.ino()));
        (!files.is_empty()).then(|| *self.rng.pick(&files))
    }

    /// An offset: mostly small, sometimes near an edge of the block map.
    fn offset(&mut self) -> u64 {
        let near = |rng: &mut Rng, page: u64| (page * BLOCK).saturating_sub(2 * BLOCK) + rng.below(4 * BLOCK);
        let levels = if self.far { 4 } else { 3 };
        match self.rng.below(10) {
            0..5 => self.rng.below(60_000),
            5 => self.rng.below(15) * BLOCK,
            6 => near(&mut self.rng, LEVELS[1]),
            7 => self.rng.below(100) * BLOCK + self.rng.below(100),
            _ => {
                let level = self.rng.below(levels) as usize;
                near(&mut self.rng, LEVELS[level])
            }
        }
    }

    fn write(&mut self) {
        let Some(node) = self.any_file() else { return };
        let offset = match self.rng.below(4) {
            0 => self.contents(node).size(),
            _ => self.offset(),
        };
        let len = [10, 5000, 40_000][self.rng.below(3) as usize];
        let len = self.rng.below(len);
        let op = self.note_op(OpKind::Write, offset, len, node);
        let mut bytes = pattern(self.rng.draw(), len as usize);
        let result = op.perform(&*self.inode(node), &mut bytes);
        self.expect_full(&result, len / BLOCK + 2 + 4);
        let done = result.unwrap_or(0);
        self.apply(node, &op, &bytes[..done]);
        self.contents(node).vague |= done < bytes.len();
    }

    fn read(&mut self) {
        let Some(node) = self.any_file() else { return };
        let (offset, len) = (self.offset(), self.rng.below(30_000));
        let op = self.note_op(OpKind::Read, offset, len, node);
        let mut bytes = vec![0xEE; len as usize];
        let done = op.perform(&*self.inode(node), &mut bytes).expect("read");
        assert!(bytes[..done] == self.contents(node).read(offset, len), "read something else");
    }

    fn truncate(&mut self) {
        let Some(node) = self.any_file() else { return };
        let size = match self.rng.below(4) {
            0 => 0,
            1 => self.contents(node).size() / 2,
            _ => self.offset(),
        };
        let op = self.note_op(OpKind::Truncate, 0, size, node);
        op.perform(&*self.inode(node), &mut []).expect("truncate");
        self.apply(node, &op, &[]);
    }

    fn map(&mut self) {
        if self.views.len() > 5 {
            return self.unmap();
        }
        let Some(node) = self.any_file() else { return };
        // Often where another mapping of the file is: then each must see what the other stores.
        let seen = self.views.iter().find(|view| view.file.ino() == node).map(|view| view.pages().start);
        let first = match seen {
            Some(start) if !self.rng.one_in(4) => start,
            _ => (self.offset() / BLOCK).saturating_sub(3),
        };
        let pages = first..first + 1 + self.rng.below(64);
        self.note(format!("map pages {pages:?} of node {node}"));
        let file = self.inode(node);
        // In an address space of its own, or beside another mapping.
        let view = match self.views.last() {
            Some(other) if self.rng.one_in(3) => {
                let va = (1 << 40) + ((self.trace.len() as u64) << 30);
                View::within(other.tables.clone(), va, &file, pages)
            }
            _ => View::new(&file, pages),
        };
        self.views.push(view);
    }

    fn any_view(&mut self) -> Option<usize> {
        (!self.views.is_empty()).then(|| self.rng.below(self.views.len() as u64) as usize)
    }

    fn store(&mut self) {
        let Some(which) = self.any_view() else { return };
        let page = near_start(&mut self.rng, self.views[which].pages());
        let within = self.rng.below(BLOCK);
        let len = 1 + self.rng.below(BLOCK - within);
        let bytes = pattern(self.rng.draw(), len as usize);
        let node = self.views[which].file.ino();
        let op = self.note_op(OpKind::MapWrite, page * BLOCK + within, len, node);
        let result = self.views[which].store(op.offset, &bytes);
        if page >= self.contents(node).size().div_ceil(BLOCK) {
            return common::expect_errno(result, Errno::BeyondEnd);
        }
        if result.is_ok() {
            self.apply(node, &op, &bytes);
        }
        self.expect_full(&result, 1 + 3);
    }

    fn load(&mut self) {
        let Some(which) = self.any_view() else { return };
        let page = near_start(&mut self.rng, self.views[which].pages());
        let node = self.views[which].file.ino();
        let op = self.note_op(OpKind::MapRead, page * BLOCK, BLOCK, node);
        let mut bytes = vec![0xEE; BLOCK as usize];
        let result = self.views[which].load(op.offset, &mut bytes);
        if page >= self.contents(node).size().div_ceil(BLOCK) {
            return common::expect_errno(result, Errno::BeyondEnd);
        }
        result.expect("load");
        // Beyond the end, in the last page, may be what someone stored there.
        let want = self.contents(node).read(op.offset, BLOCK);
        assert!(bytes[..want.len()] == want, "loaded something else");
    }

    fn msync(&mut self) {
        let Some(which) = self.any_view() else { return };
        self.note(format!("msync node {}", self.views[which].file.ino()));
        self.views[which].msync().expect("msync");
    }

    fn unmap(&mut self) {
        let Some(which) = self.any_view() else { return };
        self.note(format!("munmap node {}", self.views[which].file.ino()));
        self.views.remove(which);
    }
}

/// A page of `pages`: mostly one of the first few, so that several address spaces meet there.
fn near_start(rng: &mut Rng, pages: Range<u64>) -> u64 {
    let len = pages.end - pages.start;
    let limit = if rng.one_in(4) { len } else { len.min(4) };
    pages.start + rng.below(limit)
}
