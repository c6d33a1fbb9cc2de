//! The steps on names and handles.

use super::reference::Kind;
use super::world::World;
use crate::common::contents::Contents;
use crate::common::{BLOCK, Rng, mount};
use fs::vfs::{FileKind, FileSystem, Rename};
use fs::{Errno, Error, Result};
use std::collections::BTreeMap;

/// A name from a pool so small that they meet; some fill a good part of a directory block.
fn name(rng: &mut Rng) -> Vec<u8> {
    match rng.below(4) {
        0 => [b"long".to_vec(), vec![b'a' + rng.below(20) as u8; 200]].concat(),
        1 => vec![0x80 + rng.below(4) as u8; 255],
        _ => vec![b'a' + rng.below(12) as u8],
    }
}

impl World {
    fn any_directory(&mut self) -> usize {
        let directories = self.model.living(true);
        *self.rng.pick(&directories)
    }

    /// A directory, and a name that may or may not be in it.
    fn any_name(&mut self) -> (usize, Vec<u8>) {
        let dir = self.any_directory();
        let names: Vec<_> = self.model.entries(dir).keys().cloned().collect();
        if names.is_empty() || self.rng.one_in(3) {
            return (dir, name(&mut self.rng));
        }
        (dir, self.rng.pick(&names).clone())
    }

    pub(crate) fn create(&mut self) {
        self.make(FileKind::File, Kind::File(Contents::new(BLOCK)));
    }

    pub(crate) fn mkdir(&mut self) {
        self.make(FileKind::Directory, Kind::Directory(BTreeMap::new()));
    }

    fn make(&mut self, kind: FileKind, node: Kind) {
        let (dir, name) = (self.any_directory(), name(&mut self.rng));
        self.note(format!("create {kind:?} {:?} in node {dir}", String::from_utf8_lossy(&name)));
        let result = self.inode(dir).create(&name, kind, 0o700).map(|_| ());
        if self.model.entries(dir).contains_key(&name) {
            assert_eq!(result, Err(Error::Op(Errno::Exists)));
            return;
        }
        // An inode, a block for a directory, and one more if its parent has to grow (and a pointer block to
        // it).
        if self.fs.stat_fs().inodes_free == 0 && result.is_err() {
            assert_eq!(result, Err(Error::Op(Errno::NoSpace)));
        } else {
            self.expect_full(&result, 3);
        }
        if result.is_ok() {
            self.model.add(dir, &name, node);
        }
    }

    pub(crate) fn remove(&mut self) {
        let (dir, name) = self.any_name();
        let is_directory =
            self.model.entries(dir).get(&name).is_some_and(|&node| self.model.is_directory(node));
        // The wrong call now and then.
        let directory = is_directory != self.rng.one_in(8);
        let call = if directory { "rmdir" } else { "unlink" };
        self.note(format!("{call} {:?} in node {dir}", String::from_utf8_lossy(&name)));
        let inode = self.inode(dir);
        let result = if directory { inode.rmdir(&name) } else { inode.unlink(&name) };
        let want = self.model.removal(dir, &name, directory);
        assert_eq!(result, want.map_err(Error::Op));
        if want.is_ok() {
            self.model.remove(dir, &name);
        }
    }

    pub(crate) fn rename(&mut self) {
        let (old, new) = (self.any_name(), self.any_name());
        let show =
            |(dir, name): &(usize, Vec<u8>)| format!("{:?} in node {dir}", String::from_utf8_lossy(name));
        let how = *self.rng.pick(&[Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange]);
        self.note(format!("rename {} to {}, {how:?}", show(&old), show(&new)));
        let (old, new) = ((old.0, &old.1[..]), (new.0, &new.1[..]));
        let [old_dir, new_dir] = [old.0, new.0].map(|dir| self.inode(dir).ino());
        let result = self.fs.rename(old_dir, old.1, new_dir, new.1, how);
        let errors = self.model.rename_errors(old, new, how);
        match result {
            Ok(()) => {
                assert_eq!(errors, [], "renamed what cannot be");
                self.model.rename(old, new, how);
            }
            Err(Error::Op(Errno::NoSpace)) if errors.is_empty() => {
                assert!(!self.model.entries(new.0).contains_key(new.1), "replacing takes no space");
                self.expect_full(&result, 3);
            }
            Err(Error::Op(errno)) => assert!(errors.contains(&errno), "{errno:?} and not {errors:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn open(&mut self) {
        let Some(node) = self.any_file() else { return };
        self.note(format!("open node {node}"));
        if self.open.len() < 6 {
            self.open.push((node, self.inode(node)));
        }
    }

    pub(crate) fn close(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let which = self.rng.below(self.open.len() as u64) as usize;
        self.note(format!("close node {}", self.open[which].0));
        self.open.remove(which);
    }

    pub(crate) fn sync(&mut self) {
        self.note("sync".into());
        self.fs.sync().expect("sync");
    }

    pub(crate) fn remount(&mut self) {
        self.note("remount".into());
        self.unmount().expect("unmount");
        self.fs = mount(self.machine.clone());
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
