//! Comparing: the mounted file system with the model, and the image with it as debugfs reads it.

use super::reference::Kind;
use super::world::World;
use crate::common::contents::Contents;
use crate::common::{self, names, read_all, read_range};
use fs::vfs::FileSystem;
use fs::{Errno, Error, Result};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl World {
    /// Checks that there is no space indeed, for an operation that takes `pages` blocks, pointers included.
    pub(crate) fn expect_full<T>(&self, result: &Result<T>, pages: u64) {
        let Err(error) = result else { return };
        assert_eq!(*error, Error::Op(Errno::NoSpace));
        let stat = self.fs.stat_fs();
        assert!(stat.blocks_available < pages, "no space with {} blocks left", stat.blocks_available);
    }

    /// Looks at one node, by whatever way still leads to it.
    pub(crate) fn compare_one(&mut self) {
        let node = match self.any_file() {
            Some(file) if !self.rng.one_in(3) => file,
            _ => {
                let directories = self.model.living(true);
                *self.rng.pick(&directories)
            }
        };
        self.note(format!("compare node {node}"));
        self.compare(node);
    }

    fn compare(&self, node: usize) {
        let inode = self.inode(node);
        let attr = inode.attr();
        assert_eq!(attr.links, self.model.links(node), "links of node {node}");
        self.compare_attributes(node, &inode);
        match &self.model.nodes[node].kind {
            Kind::Directory(entries) => {
                let all = names(&*inode);
                let listed: BTreeSet<_> = all.iter().cloned().collect();
                assert_eq!(listed.len(), all.len(), "a name is listed twice");
                let dots = [b".".to_vec(), b"..".to_vec()];
                assert_eq!(listed, entries.keys().cloned().chain(dots).collect(), "names in node {node}");
            }
            Kind::File(contents) => {
                assert_eq!(attr.size, contents.size, "size of node {node}");
                if !contents.vague {
                    let attributes = u64::from(!self.model.nodes[node].attributes.is_empty());
                    let blocks = 8 * (common::blocks_for(&contents.allocated()) + attributes);
                    assert_eq!(attr.blocks, blocks, "i_blocks of node {node}");
                    assert_eq!(
                        common::allocated_pages(&*inode),
                        contents.allocated(),
                        "blocks of node {node}"
                    );
                }
                if contents.size < 8 << 20 {
                    assert!(read_all(&*inode) == contents.bytes(), "contents of node {node}");
                } else {
                    compare_pages(contents, |offset, len| read_range(&*inode, offset, len as usize));
                }
            }
        }
    }

    /// Compares all that is left, unmounts, and asks the others.
    pub(crate) fn end(&mut self) {
        for node in 0..self.model.nodes.len() {
            if self.model.nodes[node].place.is_some() {
                self.compare(node);
            }
        }
        for node in self.open.iter().map(|(node, _)| *node) {
            self.compare(node);
        }
        self.unmount().expect("unmount");
        self.image.store(&self.machine);
        self.image.expect_clean();
        // debugfs would write gigabytes of zeros for a file that reaches far.
        if !self.far {
            let dump = self.image.dump();
            for node in 1..self.model.nodes.len() {
                if self.model.nodes[node].place.is_some() {
                    let path = dump.join(OsStr::from_bytes(&self.model.path(node)[1..]));
                    self.compare_dumped(node, &path);
                }
            }
        }
    }

    fn compare_dumped(&self, node: usize, path: &Path) {
        match &self.model.nodes[node].kind {
            Kind::Directory(entries) => {
                let listed = std::fs::read_dir(path).expect("the dumped directory");
                let listed: BTreeSet<Vec<u8>> =
                    listed.map(|entry| entry.expect("an entry").file_name().as_bytes().to_vec()).collect();
                assert_eq!(listed, entries.keys().cloned().collect(), "debugfs lists node {node} otherwise");
            }
            Kind::File(contents) => {
                let bytes = std::fs::read(path).expect("the dumped file");
                assert!(bytes == contents.bytes(), "debugfs reads node {node} otherwise");
            }
        }
    }
}

/// Compares a file that is mostly a hole: each page that is none, and some bytes around it.
fn compare_pages(contents: &Contents, read: impl Fn(u64, u64) -> Vec<u8>) {
    for &page in contents.blocks.keys() {
        let start = (page * common::BLOCK).saturating_sub(100);
        let len = common::BLOCK + 200;
        assert!(read(start, len) == contents.read(start, len), "contents at page {page}");
    }
}
