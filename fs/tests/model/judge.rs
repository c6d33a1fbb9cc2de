//! Comparing: the mounted file system with the model, and the image with it as debugfs reads it.

use super::world::World;
use crate::common::{self, names, read_all, read_range};
use fs::vfs::FileKind;
use fs::{Errno, Error, Result};
use fsx::FileContents;
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
            _ => self.any_directory(),
        };
        self.note(format!("compare node {node}"));
        self.compare(node);
    }

    fn compare(&self, number: u64) {
        let (inode, node) = (self.inode(number), self.model.node(number));
        let attr = inode.attr();
        assert_eq!(attr.links, self.model.links(number), "links of node {number}");
        self.compare_attributes(number, &inode);
        if node.kind == FileKind::Directory {
            let all = names(&*inode);
            let listed: BTreeSet<_> = all.iter().cloned().collect();
            assert_eq!(listed.len(), all.len(), "a name is listed twice");
            let dots = [b".".to_vec(), b"..".to_vec()];
            let want = node.entries.keys().cloned().chain(dots).collect();
            return assert_eq!(listed, want, "names in node {number}");
        }
        let contents = &node.more.contents;
        assert_eq!(attr.size, contents.size(), "size of node {number}");
        if !contents.vague {
            let attributes = u64::from(!node.more.attributes.is_empty());
            let blocks = 8 * ((self.tested.blocks_for)(&contents.allocated()) + attributes);
            assert_eq!(attr.blocks, blocks, "i_blocks of node {number}");
            assert_eq!(common::allocated_pages(&*inode), contents.allocated(), "blocks of node {number}");
        }
        if contents.size() < 8 << 20 {
            assert!(read_all(&*inode) == contents.bytes(), "contents of node {number}");
        } else {
            compare_pages(contents, |offset, len| read_range(&*inode, offset, len as usize));
        }
    }

    /// All directories and files that have a name.
    fn named(&self) -> Vec<u64> {
        [FileKind::Directory, FileKind::File].map(|kind| self.model.named(kind)).concat()
    }

    /// Compares all that is left, unmounts, and asks the others.
    pub(crate) fn end(&mut self) {
        for node in self.named().into_iter().chain(self.open.iter().map(|file| file.ino())) {
            self.compare(node);
        }
        self.unmount().expect("unmount");
        self.image.store(&self.machine);
        self.image.expect_clean();
        // debugfs would write gigabytes of zeros for a file that reaches far.
        if !self.far {
            let dump = self.image.dump();
            for node in self.named() {
                let path = self.model.path(node).expect("it has a name");
                self.compare_dumped(node, &dump.join(OsStr::from_bytes(path.get(1..).unwrap_or_default())));
            }
        }
    }

    fn compare_dumped(&self, number: u64, path: &Path) {
        let node = self.model.node(number);
        if node.kind == FileKind::File {
            let bytes = std::fs::read(path).expect("the dumped file");
            return assert!(bytes == node.more.contents.bytes(), "debugfs reads node {number} otherwise");
        }
        let listed = std::fs::read_dir(path).expect("the dumped directory");
        let listed: BTreeSet<Vec<u8>> =
            listed.map(|entry| entry.expect("an entry").file_name().as_bytes().to_vec()).collect();
        assert!(listed.iter().eq(node.entries.keys()), "debugfs lists node {number} otherwise");
    }
}

/// Compares a file that is mostly a hole: each page that is none, and some bytes around it.
fn compare_pages(contents: &FileContents, read: impl Fn(u64, u64) -> Vec<u8>) {
    for page in contents.blocks() {
        let start = (page * common::BLOCK).saturating_sub(100);
        let len = common::BLOCK + 200;
        assert!(read(start, len) == contents.read(start, len), "contents at page {page}");
    }
}
