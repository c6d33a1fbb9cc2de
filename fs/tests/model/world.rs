//! A mounted image beside its model, and the steps on contents: copying, mapping, truncating.

use super::reference::Reference;
use crate::common::contents::perform;
use crate::common::{self, BLOCK, Image, LEVELS, Machine, Rng, Scratch, View, mount, pattern};
use fs::Errno;
use fs::ext2::Ext2;
use fs::vfs::{FileSystem, InodeRef, path};
use fsx::FileOp;
use std::ops::Range;
use std::sync::Arc;

/// What kind of sequences.
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) blocks: u64,
    pub(crate) inodes: u64,
    pub(crate) steps: u64,
    pub(crate) sequences: u64,
    /// Files may reach behind every level of the block map.
    pub(crate) far: bool,
}

/// A file system, its model, and who looks at it.
pub(crate) struct World {
    pub(crate) image: Image,
    pub(crate) machine: Machine,
    pub(crate) fs: Arc<Ext2<Machine>>,
    pub(crate) model: Reference,
    pub(crate) open: Vec<(usize, InodeRef<Machine>)>,
    pub(crate) views: Vec<(usize, Range<u64>, View)>,
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
        Self {
            fs: mount(machine.clone()),
            image,
            machine,
            model: Reference::new(),
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
            0..10 => self.create(),
            10..14 => self.mkdir(),
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
    fn note_op(&mut self, kind: fsx::OpKind, offset: u64, len: u64, node: usize) -> FileOp {
        let op = FileOp::new(kind, offset, len);
        let size = self.model.contents(node).size;
        self.note(format!("{} of node {node}", op.line(size)));
        op
    }

    /// The inode of a node that has a name, or is open or mapped.
    pub(crate) fn inode(&self, node: usize) -> InodeRef<Machine> {
        if self.model.nodes[node].place.is_some() {
            let root = self.fs.root().expect("root");
            return path::resolve(&root, &self.model.path(node)).expect("the path of a node");
        }
        let opened = self.open.iter().find(|(which, _)| *which == node).map(|(_, file)| file);
        let viewed = self.views.iter().find(|(which, ..)| *which == node).map(|(.., view)| &view.file);
        opened.or(viewed).expect("a handle to what has no name").clone()
    }

    /// Any file: with a name, or unlinked and still held.
    pub(crate) fn any_file(&mut self) -> Option<usize> {
        let mut files = self.model.living(false);
        files.extend(self.open.iter().map(|(node, _)| *node));
        files.extend(self.views.iter().map(|(node, ..)| *node));
        files.retain(|&node| !self.model.is_directory(node));
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
            0 => self.model.contents(node).size,
            _ => self.offset(),
        };
        let len = [10, 5000, 40_000][self.rng.below(3) as usize];
        let len = self.rng.below(len);
        let op = self.note_op(fsx::OpKind::Write, offset, len, node);
        let bytes = pattern(self.rng.next(), len as usize);
        let result = perform(&*self.inode(node), &op, &bytes);
        self.expect_full(&result, len / BLOCK + 2 + 4);
        let done = result.unwrap_or(0);
        let contents = self.model.contents(node);
        contents.apply(&op, &bytes[..done]).expect("a write");
        contents.vague |= done < bytes.len();
    }

    fn read(&mut self) {
        let Some(node) = self.any_file() else { return };
        let (offset, len) = (self.offset(), self.rng.below(30_000));
        self.note_op(fsx::OpKind::Read, offset, len, node);
        let bytes = common::read_range(&*self.inode(node), offset, len as usize);
        assert!(bytes == self.model.contents(node).read(offset, len), "read something else");
    }

    fn truncate(&mut self) {
        let Some(node) = self.any_file() else { return };
        let size = match self.rng.below(4) {
            0 => 0,
            1 => self.model.contents(node).size / 2,
            _ => self.offset(),
        };
        let op = self.note_op(fsx::OpKind::Truncate, 0, size, node);
        perform(&*self.inode(node), &op, &[]).expect("truncate");
        self.model.contents(node).apply(&op, &[]).expect("truncate");
    }

    fn map(&mut self) {
        if self.views.len() > 5 {
            return self.unmap();
        }
        let Some(node) = self.any_file() else { return };
        // Often where another mapping of the file is: then each must see what the other stores.
        let seen = self.views.iter().find(|(other, ..)| *other == node).map(|(_, pages, _)| pages.start);
        let first = match seen {
            Some(start) if !self.rng.one_in(4) => start,
            _ => (self.offset() / BLOCK).saturating_sub(3),
        };
        let pages = first..first + 1 + self.rng.below(64);
        self.note(format!("map pages {pages:?} of node {node}"));
        let file = self.inode(node);
        // In an address space of its own, or beside another mapping.
        let view = match self.views.last() {
            Some((.., other)) if self.rng.one_in(3) => {
                let va = (1 << 40) + ((self.trace.len() as u64) << 30);
                View::within(other.tables.clone(), va, &file, pages.clone())
            }
            _ => View::new(&file, pages.clone()),
        };
        self.views.push((node, pages, view));
    }

    fn any_view(&mut self) -> Option<usize> {
        (!self.views.is_empty()).then(|| self.rng.below(self.views.len() as u64) as usize)
    }

    fn store(&mut self) {
        let Some(which) = self.any_view() else { return };
        let (node, pages, view) = &self.views[which];
        let (node, page) = (*node, near_start(&mut self.rng, pages));
        let within = self.rng.below(BLOCK);
        let len = 1 + self.rng.below(BLOCK - within);
        let bytes = pattern(self.rng.next(), len as usize);
        let offset = page * BLOCK + within;
        let op = FileOp::new(fsx::OpKind::MapWrite, offset, len);
        let contents = self.model.contents(node);
        *self.trace.last_mut().expect("a step") = format!("{} of node {node}", op.line(contents.size));
        let result = view.store(offset, &bytes);
        if page >= contents.size.div_ceil(BLOCK) {
            return common::expect_errno(result, Errno::BeyondEnd);
        }
        if result.is_ok() {
            contents.apply(&op, &bytes).expect("a store");
        }
        self.expect_full(&result, 1 + 3);
    }

    fn load(&mut self) {
        let Some(which) = self.any_view() else { return };
        let (node, pages, view) = &self.views[which];
        let (node, page) = (*node, near_start(&mut self.rng, pages));
        let op = FileOp::new(fsx::OpKind::MapRead, page * BLOCK, BLOCK);
        let contents = self.model.contents(node);
        *self.trace.last_mut().expect("a step") = format!("{} of node {node}", op.line(contents.size));
        let mut bytes = vec![0xEE; BLOCK as usize];
        let result = view.load(page * BLOCK, &mut bytes);
        if page >= contents.size.div_ceil(BLOCK) {
            return common::expect_errno(result, Errno::BeyondEnd);
        }
        result.expect("load");
        // Beyond the end, in the last page, may be what someone stored there.
        let want = contents.read(page * BLOCK, BLOCK);
        assert!(bytes[..want.len()] == want, "loaded something else");
    }

    fn msync(&mut self) {
        let Some(which) = self.any_view() else { return };
        self.note(format!("msync node {}", self.views[which].0));
        self.views[which].2.msync().expect("msync");
    }

    fn unmap(&mut self) {
        let Some(which) = self.any_view() else { return };
        self.note(format!("munmap node {}", self.views[which].0));
        self.views.remove(which);
    }
}

/// A page of `pages`: mostly one of the first few, so that several address spaces meet there.
fn near_start(rng: &mut Rng, pages: &Range<u64>) -> u64 {
    let len = pages.end - pages.start;
    let limit = if rng.one_in(4) { len } else { len.min(4) };
    pages.start + rng.below(limit)
}
