//! Operations on names, and the tree that they are to leave: the reference for everything that is done to
//! names. What stays open by whom, and which names a format can hold, it does not know.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use fs::Errno;
use fs::platform::Platform;
use fs::vfs::{Device, FileKind, FileSystem, Inode, InodeRef, Rename};

/// What is done to a name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameOp {
    /// Makes an inode of this kind, with these permission bits.
    Create(FileKind, u16),
    /// Makes a device.
    MakeDevice(FileKind, u16, Device),
    /// Makes a symbolic link that leads there.
    Symlink(Vec<u8>),
    /// Gives it to the inode of this number, to which the caller holds a handle.
    Link(u64),
    /// Removes it.
    Unlink,
    /// Removes it, and the empty directory.
    Rmdir,
    /// Makes it this name in the directory of this number.
    Rename(u64, Vec<u8>, Rename),
}

impl NameOp {
    /// Does the operation to `name` in `dir`; returns what was made.
    ///
    /// # Errors
    /// What the file system has.
    pub fn perform<P: Platform>(
        &self,
        fs: &dyn FileSystem<P>,
        dir: &dyn Inode<P>,
        name: &[u8],
    ) -> fs::Result<Option<InodeRef<P>>> {
        match self {
            Self::Create(kind, mode) => dir.create(name, *kind, *mode).map(Some),
            Self::MakeDevice(kind, mode, device) => dir.make_device(name, *kind, *mode, *device).map(Some),
            Self::Symlink(target) => dir.symlink(name, target).map(Some),
            Self::Link(ino) => dir.link(name, *ino).map(|()| None),
            Self::Unlink => dir.unlink(name).map(|()| None),
            Self::Rmdir => dir.rmdir(name).map(|()| None),
            Self::Rename(to, new, how) => fs.rename(dir.ino(), name, *to, new, *how).map(|()| None),
        }
    }

    /// Returns the kind of inode that it makes, if it makes one.
    pub fn makes(&self) -> Option<FileKind> {
        match self {
            Self::Create(kind, _) | Self::MakeDevice(kind, ..) => Some(*kind),
            Self::Symlink(_) => Some(FileKind::Symlink),
            Self::Link(_) | Self::Unlink | Self::Rmdir | Self::Rename(..) => None,
        }
    }
}

/// An inode of the tree, and what else whoever compares knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameNode<T> {
    /// What kind of inode it is.
    pub kind: FileKind,
    /// A directory's names, and whose they are.
    pub entries: BTreeMap<Vec<u8>, u64>,
    /// Its own names, each with its directory; none once the last was removed. The root has one, too.
    names: BTreeSet<(u64, Vec<u8>)>,
    /// What else is known.
    pub more: T,
}

/// All inodes by their numbers. One without a name stays until its number is given to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTree<T> {
    nodes: BTreeMap<u64, NameNode<T>>,
    root: u64,
}

impl<T: Default> NameTree<T> {
    /// Returns the tree that is mounted.
    ///
    /// # Errors
    /// What the file system has.
    pub fn of<P: Platform>(fs: &dyn FileSystem<P>) -> fs::Result<Self> {
        let root = fs.root()?;
        let mut tree = Self { nodes: BTreeMap::new(), root: root.ino() };
        tree.insert(root.ino(), root.kind());
        tree.node_mut(root.ino()).names.insert((root.ino(), b"/".to_vec()));
        let mut todo = vec![root];
        while let Some(dir) = todo.pop() {
            let mut found = Vec::new();
            dir.read_dir(0, &mut |entry| {
                if entry.name != b"." && entry.name != b".." {
                    found.push((entry.name.to_vec(), entry.ino));
                }
                ControlFlow::Continue(())
            })?;
            for (name, ino) in found {
                if !tree.nodes.contains_key(&ino) {
                    let inode = dir.lookup(&name)?;
                    tree.insert(ino, inode.kind());
                    if inode.kind() == FileKind::Directory {
                        todo.push(inode);
                    }
                }
                tree.put(dir.ino(), &name, ino);
            }
        }
        Ok(tree)
    }

    /// Does what the operation does to the tree; `made` is the number of the inode that it made.
    pub fn apply(&mut self, dir: u64, name: &[u8], op: &NameOp, made: Option<u64>) {
        if let (Some(kind), Some(ino)) = (op.makes(), made) {
            self.insert(ino, kind);
            self.put(dir, name, ino);
        }
        match op {
            NameOp::Link(ino) => self.put(dir, name, *ino),
            NameOp::Unlink | NameOp::Rmdir => drop(self.take(dir, name)),
            // Two names of one inode stay.
            NameOp::Rename(to, new, how) if self.find(dir, name) != self.find(*to, new) => {
                let source = self.take(dir, name);
                let target = self.take(*to, new);
                if let (Rename::Exchange, Some(target)) = (how, target) {
                    self.put(dir, name, target);
                }
                source.into_iter().for_each(|source| self.put(*to, new, source));
            }
            _ => {}
        }
    }

    fn insert(&mut self, ino: u64, kind: FileKind) {
        let (entries, names) = (BTreeMap::new(), BTreeSet::new());
        self.nodes.insert(ino, NameNode { kind, entries, names, more: T::default() });
    }
}

impl<T> NameTree<T> {
    /// Returns the inode of this number.
    ///
    /// # Panics
    /// There never was one.
    pub fn node(&self, ino: u64) -> &NameNode<T> {
        &self.nodes[&ino]
    }

    /// Returns the inode of this number, to change what is known of it.
    ///
    /// # Panics
    /// There never was one.
    pub fn node_mut(&mut self, ino: u64) -> &mut NameNode<T> {
        self.nodes.get_mut(&ino).expect("an inode of the tree")
    }

    /// Returns the numbers of all inodes of a kind that have a name.
    pub fn named(&self, kind: FileKind) -> Vec<u64> {
        let of_kind = self.nodes.iter().filter(|(_, node)| node.kind == kind && !node.names.is_empty());
        of_kind.map(|(ino, _)| *ino).collect()
    }

    /// Forgets the inodes without a name.
    pub fn forget_nameless(&mut self) {
        self.nodes.retain(|_, node| !node.names.is_empty());
    }

    /// Returns the number of the inode called `name` in `dir`.
    pub fn find(&self, dir: u64, name: &[u8]) -> Option<u64> {
        self.nodes.get(&dir)?.entries.get(name).copied()
    }

    /// Returns how many links an inode has.
    pub fn links(&self, ino: u64) -> u32 {
        let node = self.node(ino);
        if node.kind != FileKind::Directory || node.names.is_empty() {
            return node.names.len() as u32;
        }
        2 + node.entries.values().filter(|inner| self.is_directory(**inner)).count() as u32
    }

    /// Returns the names from the root to an inode, each after a slash; `None` if it has none.
    pub fn path(&self, ino: u64) -> Option<Vec<u8>> {
        if ino == self.root {
            return Some(Vec::new());
        }
        let (dir, name) = self.nodes.get(&ino)?.names.first()?;
        Some([&self.path(*dir)?, &b"/"[..], name].concat())
    }

    /// Returns how the operation may be refused. If there is no way, it is to be done, unless space or what a
    /// format has room for runs out.
    pub fn refusals(&self, dir: u64, name: &[u8], op: &NameOp) -> Vec<Errno> {
        let found = self.find(dir, name);
        match (op, found) {
            (NameOp::Rename(to, new, how), _) => self.rename_refusals((dir, name), (*to, new), *how),
            (NameOp::Link(ino), _) if self.is_directory(*ino) => vec![Errno::NotPermitted, Errno::Exists],
            (NameOp::Unlink | NameOp::Rmdir, None) => vec![Errno::NotFound],
            (NameOp::Unlink, Some(ino)) if self.is_directory(ino) => vec![Errno::IsDirectory],
            (NameOp::Rmdir, Some(ino)) if !self.is_directory(ino) => vec![Errno::NotDirectory],
            (NameOp::Rmdir, Some(ino)) if !self.node(ino).entries.is_empty() => vec![Errno::NotEmpty],
            (NameOp::Unlink | NameOp::Rmdir, Some(_)) | (_, None) => Vec::new(),
            (_, Some(_)) => vec![Errno::Exists],
        }
    }

    fn rename_refusals(
        &self,
        (old_dir, old): (u64, &[u8]),
        (new_dir, new): (u64, &[u8]),
        how: Rename,
    ) -> Vec<Errno> {
        let Some(source) = self.find(old_dir, old) else { return vec![Errno::NotFound] };
        let target = self.find(new_dir, new);
        match (how, target) {
            (Rename::NoReplace, Some(_)) => return vec![Errno::Exists],
            (Rename::Exchange, None) => return vec![Errno::NotFound],
            _ => {}
        }
        if target == Some(source) {
            return Vec::new();
        }
        let mut errors = Vec::new();
        if self.is_below(new_dir, source) {
            errors.push(Errno::Invalid);
        }
        let around = target.is_some_and(|target| self.is_below(old_dir, target));
        if how == Rename::Exchange {
            if around {
                errors.push(Errno::Invalid);
            }
            return errors;
        }
        match target.map(|target| (self.is_directory(source), self.is_directory(target), target)) {
            Some((true, false, _)) => errors.push(Errno::NotDirectory),
            Some((false, true, _)) => errors.push(Errno::IsDirectory),
            Some((true, true, target)) if !self.node(target).entries.is_empty() => {
                errors.push(Errno::NotEmpty);
            }
            _ => {}
        }
        // A directory over one that it is in: POSIX leaves open which of the two mistakes counts.
        if errors == [Errno::IsDirectory] && around {
            errors.push(Errno::NotEmpty);
        }
        errors
    }

    /// Returns true for a directory.
    pub fn is_directory(&self, ino: u64) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node.kind == FileKind::Directory)
    }

    fn put(&mut self, dir: u64, name: &[u8], ino: u64) {
        self.node_mut(dir).entries.insert(name.to_vec(), ino);
        self.node_mut(ino).names.insert((dir, name.to_vec()));
    }

    fn take(&mut self, dir: u64, name: &[u8]) -> Option<u64> {
        let ino = self.node_mut(dir).entries.remove(name)?;
        self.node_mut(ino).names.remove(&(dir, name.to_vec()));
        Some(ino)
    }

    fn is_below(&self, ino: u64, top: u64) -> bool {
        let up =
            |ino: &u64| self.nodes.get(ino)?.names.first().map(|(dir, _)| *dir).filter(|_| *ino != self.root);
        core::iter::successors(Some(ino), up).any(|ino| ino == top)
    }
}
