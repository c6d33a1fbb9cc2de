//! The steps on names and handles.

use super::world::World;
use crate::common::Rng;
use fs::vfs::{FileKind, Rename};
use fs::{Errno, Error, Result};
use fsx::NameOp;

/// A name from a pool so small that they meet; some fill a good part of a directory block.
fn name(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => [b"long".to_vec(), vec![b'a' + rng.below(20) as u8; 200]].concat(),
        1 => vec![0x80 + rng.below(4) as u8; 255],
        _ => vec![b'a' + rng.below(12) as u8],
    }
}

impl World {
    pub(crate) fn any_directory(&mut self) -> u64 {
        *self.rng.pick(&self.model.named(FileKind::Directory))
    }

    /// A directory, and a name that may or may not be in it.
    fn any_name(&mut self) -> (u64, Vec<u8>) {
        let dir = self.any_directory();
        let names: Vec<_> = self.model.node(dir).entries.keys().cloned().collect();
        if names.is_empty() || self.rng.one_in(3) {
            return (dir, name(&mut self.rng));
        }
        (dir, self.rng.pick(&names).clone())
    }

    pub(crate) fn make(&mut self, kind: FileKind) {
        let (dir, name) = (self.any_directory(), name(&mut self.rng));
        self.change_name(dir, &name, &NameOp::Create(kind, 0o700));
    }

    pub(crate) fn link(&mut self) {
        let files = self.model.named(FileKind::File);
        if !files.is_empty() {
            let (dir, name) = (self.any_directory(), name(&mut self.rng));
            let file = *self.rng.pick(&files);
            let file = self.inode(file);
            self.change_name(dir, &name, &NameOp::Link(file.ino()));
        }
    }

    pub(crate) fn remove(&mut self) {
        let (dir, name) = self.any_name();
        let is_directory = self.model.find(dir, &name).is_some_and(|node| self.model.is_directory(node));
        // The wrong call now and then.
        let op = if is_directory != self.rng.one_in(8) { NameOp::Rmdir } else { NameOp::Unlink };
        self.change_name(dir, &name, &op);
    }

    pub(crate) fn rename(&mut self) {
        let ((dir, old), (to, new)) = (self.any_name(), self.any_name());
        let how = *self.rng.pick(&[Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange]);
        self.change_name(dir, &old, &NameOp::Rename(to, new, how));
    }

    /// Does the operation, on both.
    fn change_name(&mut self, dir: u64, name: &[u8], op: &NameOp) {
        self.note(format!("{op:?} of {:?} in node {dir}", String::from_utf8_lossy(name)));
        // A block for a directory, and one more if its parent has to grow (and a pointer block to it).
        // Removing and replacing take no space.
        let pages = match op {
            NameOp::Unlink | NameOp::Rmdir => 0,
            NameOp::Rename(to, new, _) if self.model.find(*to, new).is_some() => 0,
            _ => 3,
        };
        let no_inode = op.makes().is_some() && self.fs.stat_fs().inodes_free == 0;
        let result = op.perform(&*self.fs, &*self.inode(dir), name).map(|made| made.map(|inode| inode.ino()));
        let refusals = self.model.refusals(dir, name, op);
        match result {
            Ok(made) => {
                assert_eq!(refusals, [], "done what cannot be");
                self.model.apply(dir, name, op, made);
            }
            Err(Error::Op(Errno::NoSpace)) if refusals.is_empty() && no_inode => {}
            Err(Error::Op(Errno::NoSpace)) if refusals.is_empty() => self.expect_full(&result, pages),
            Err(Error::Op(errno)) => assert!(refusals.contains(&errno), "{errno:?} and not {refusals:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn open(&mut self) {
        let Some(node) = self.any_file() else { return };
        self.note(format!("open node {node}"));
        if self.open.len() < 6 {
            self.open.push(self.inode(node));
        }
    }

    pub(crate) fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let which = self.rng.below(self.open.len() as u64) as usize;
        self.note(format!("close node {}", self.open[which].ino()));
        self.open.remove(which);
    }

    pub(crate) fn sync(&mut self) {
        self.note("sync".into());
        self.fs.sync().expect("sync");
    }

    pub(crate) fn remount(&mut self) {
        self.note("remount".into());
        self.unmount().expect("unmount");
        self.fs = (self.tested.mount)(self.machine.clone());
    }

    /// Lets go of everything and unmounts.
    pub(crate) fn unmount(&mut self) -> Result<()> {
        if !(self.open.is_empty() && self.views.is_empty()) {
            assert_eq!(self.fs.unmount(), Err(Error::Op(Errno::Busy)));
        }
        self.open.clear();
        self.views.clear();
        self.fs.unmount()
    }
}
