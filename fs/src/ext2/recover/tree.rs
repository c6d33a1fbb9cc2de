//! The directory tree from the root: each directory reached once, each name counted. Iteratively: a tree may
//! be as deep as it has directories.

use super::nodes::InodeMarks;
use super::scan::Scan;
use super::walk::TreeWalk;
use crate::error::{Errno, Result};
use crate::ext::dirent::{Dirent, bad_dir, file_type};
use crate::ext::inode::bad_inode;
use crate::ext::layout::*;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::FileKind;
use alloc::vec::Vec;

/// A directory that is named, but not yet walked.
#[derive(Clone, Copy)]
struct Unwalked {
    ino: u32,
    parent: u32,
}

impl<P: Platform> Scan<'_, P> {
    /// Walks everything that can be reached from the root.
    pub(super) fn walk_tree(&mut self) -> Result<()> {
        let fs = self.fs;
        let raw = fs.raw_inode(ROOT_INO)?;
        if raw.kind() != Some(FileKind::Directory) {
            return Err(bad_inode(ROOT_INO, "the root is not a directory", 0));
        }
        let Some(root) = self.nodes.get_mut(fs, ROOT_INO) else {
            return Err(bad_inode(ROOT_INO, "the root is marked free", 0));
        };
        root.mark(InodeMarks::NAMED | InodeMarks::DIRECTORY);
        // Its `.` and its `..`.
        root.add_link();
        root.add_link();
        let mut pending = Vec::new();
        let mut next = Some(Unwalked { ino: ROOT_INO, parent: ROOT_INO });
        while let Some(directory) = next {
            self.walk_directory(directory, &mut pending)?;
            next = pending.pop();
        }
        Ok(())
    }

    /// Claims a directory's blocks, and reads its entries on the way: so none is read twice, however often an
    /// image points at it.
    fn walk_directory(&mut self, directory: Unwalked, pending: &mut Vec<Unwalked>) -> Result<()> {
        let (fs, Unwalked { ino, .. }) = (self.fs, directory);
        let raw = fs.raw_inode(ino)?;
        raw.expect_readable()?;
        raw.expect_native()?;
        let size = raw.size(FileKind::Directory);
        if size == 0 || !size.is_multiple_of(fs.block_size()) {
            return Err(bad_inode(ino, "bad size of a directory", size));
        }
        let (mut lblks, mut blocks, mut beyond) = (0, 0, false);
        let end = size / fs.block_size();
        // Another system may have lost the size, not the block behind it.
        let may_grow = self.may_grow(ino);
        let mut walk = TreeWalk::new(fs, raw, if may_grow { u64::MAX } else { end });
        while let Some(at) = walk.next()? {
            if at.lblk >= end && !may_grow {
                beyond = true;
                continue;
            }
            self.claims.claim(fs, ino, at.block)?;
            blocks += 1;
            if at.height == 0 {
                if at.lblk != lblks {
                    return Err(bad_dir(ino, "a hole in a directory", lblks * fs.block_size()));
                }
                lblks += 1;
                self.walk_entries(directory, at.lblk, fs.byte(at.block), pending)?;
            }
        }
        if lblks < end {
            return Err(bad_dir(ino, "a hole in a directory", lblks * fs.block_size()));
        }
        if lblks > end
            && let Some(node) = self.nodes.get_mut(fs, ino)
        {
            node.mark(InodeMarks::GROW);
        }
        self.settle(raw, blocks, beyond)
    }

    /// Reads the entries in the block at byte offset `block`, logical block `lblk` of a directory.
    fn walk_entries(
        &mut self,
        directory: Unwalked,
        lblk: u64,
        block: u64,
        pending: &mut Vec<Unwalked>,
    ) -> Result<()> {
        let (fs, Unwalked { ino, parent }) = (self.fs, directory);
        let number = block >> fs.sb.block_bits;
        fs.expect_readable(block, fs.block_size(), "directory block", number)?;
        let (mut within, mut index) = (0, 0);
        while within < fs.block_size() {
            let entry = Dirent::load(fs.pmem(), &fs.sb, ino, lblk, block, within, fs.block_size())?;
            within += u64::from(entry.rec_len);
            let (is_dot, is_dot_dot) = (entry.is_called(fs.pmem(), b"."), entry.is_called(fs.pmem(), b".."));
            let mut target = None;
            match (lblk, index) {
                (0, 0) if !is_dot || entry.ino != ino => {
                    return Err(bad_dir(ino, "the first entry is not `.`", entry.pos));
                }
                (0, 1) if !is_dot_dot => {
                    return Err(bad_dir(ino, "the second entry is not `..`", entry.pos));
                }
                (0, 1) if entry.ino != parent => {
                    return Err(bad_dir(ino, "`..` names another directory", entry.ino.into()));
                }
                (0, 0 | 1) => target = Some(FileKind::Directory),
                _ if is_dot || is_dot_dot => {
                    return Err(bad_dir(ino, "`.` or `..` in the wrong place", entry.pos));
                }
                _ if entry.ino != 0 => target = Some(self.walk_name(directory, &entry, pending)?),
                _ => {}
            }
            if let Some(kind) = target
                && fs.sb.has_filetype()
                && entry.file_type != file_type(kind)
                && let Some(node) = self.nodes.get_mut(fs, ino)
            {
                node.mark(InodeMarks::RETYPE);
            }
            index += 1;
        }
        if lblk == 0 && index < 2 {
            return Err(bad_dir(ino, "no entry `..`", 0));
        }
        Ok(())
    }

    /// Counts a name. Returns the kind of what it names.
    fn walk_name(
        &mut self,
        directory: Unwalked,
        entry: &Dirent,
        pending: &mut Vec<Unwalked>,
    ) -> Result<FileKind> {
        let (fs, Unwalked { ino: dir, .. }) = (self.fs, directory);
        let mut name = entry.at + D_NAME..entry.at + D_NAME + u64::from(entry.name_len);
        if name.any(|at| matches!(fs.pmem().load_u8(at), 0 | b'/')) {
            return Err(bad_dir(dir, "a name with a character that none may have", entry.pos));
        }
        let ino = entry.ino;
        if ino == ROOT_INO || fs.sb.is_reserved(ino) {
            return Err(bad_dir(dir, "an entry names a reserved inode", entry.pos));
        }
        let Some(node) = self.nodes.get_mut(fs, ino) else {
            return Err(bad_dir(dir, "an entry names a free inode", entry.pos));
        };
        let raw = fs.raw_inode(ino)?;
        raw.expect_readable()?;
        let kind = raw.expect_kind()?;
        if kind == FileKind::Directory {
            if node.is(InodeMarks::NAMED) {
                return Err(bad_inode(ino, "a directory has two names", dir.into()));
            }
            node.mark(InodeMarks::DIRECTORY);
            // Its own `.`.
            node.add_link();
            pending.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            pending.push(Unwalked { ino, parent: dir });
        }
        node.mark(InodeMarks::NAMED);
        node.add_link();
        if kind == FileKind::Directory
            && let Some(parent) = self.nodes.get_mut(fs, dir)
        {
            parent.add_link();
        }
        Ok(kind)
    }
}
