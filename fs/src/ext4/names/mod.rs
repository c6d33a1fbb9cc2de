//! Directories: names looked up, through the index of hashes where there is one, and listed. Everything here
//! runs under the directory's inode lock.
//!
//! | file | what it holds |
//! |---|---|
//! | `form` | what the blocks look like, and what checks them |
//! | `list` | a directory listed, so that a listing survives what becomes of its blocks |
//! | `edit` | names added, removed, changed: knows no mounted file system |
//! | `blocks` | a directory's blocks in an operation, for `edit` |
//! | `namei`, `rename` | names made, removed, moved |
//! | `birth`, `death` | inodes made; orphans, and what goes with the last handle |
//!
//! A small directory may be in its inode: the number of `..`, and entries without those two; what does not
//! fit into `i_block` goes on in the attribute `system.data`.

mod birth;
mod blocks;
pub(super) mod death;
pub(crate) mod edit;
mod form;
mod list;
mod namei;
mod rename;

use super::disk::hash::hash;
use super::disk::htree::{self, HtreeBlock, HtreeNode, IndexedDirectory};
use super::inode::Ext4Inode;
use super::meta::MetaBlock;
use crate::error::{Errno, Error, Result};
use crate::ext::dirent::{Dirent, bad_dir, each_block, is_dot_name};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::platform::Platform;
use crate::vfs::FileKind;
use core::ops::ControlFlow;
use form::DirectoryForm;

/// Bytes in front of the entries of a directory in its inode: the number of `..`.
const INLINE_HEAD: u64 = 4;
/// Where a listing's positions are for the entries behind `i_block`.
const INLINE_REST: u64 = I_BLOCK_BYTES;

/// A directory: an inode whose kind was looked at.
pub(super) struct Dir<'a, P: Platform>(&'a Ext4Inode<P>);

view!(Dir of Ext4Inode);

impl<P: Platform> Ext4Inode<P> {
    /// Returns it as a directory.
    ///
    /// # Errors
    /// [`Errno::NotDirectory`]; unsupported, if its names are encrypted.
    pub(super) fn dir(&self) -> Result<Dir<'_, P>> {
        if self.kind != FileKind::Directory {
            return Err(Errno::NotDirectory.into());
        }
        self.expect_readable().map(|()| Dir(self))
    }
}

/// What a search calls with each entry, and the bytes that it is in.
type EntryVisit<'f, B> = &'f mut dyn FnMut(&Dirent, &dyn Load) -> ControlFlow<B>;

impl<'a, P: Platform> Dir<'a, P> {
    /// Returns the inode that the entry called `name` names.
    ///
    /// # Errors
    /// [`Errno::NotFound`]
    pub(super) fn find(self, name: &[u8]) -> Result<u32> {
        let inode = self.0;
        let inline = match name {
            b"." => Some(inode.ino),
            b".." => Some(inode.bytes().load_u32(I_BLOCK)),
            _ => None,
        };
        let ino = match inline.filter(|_| inode.has(INLINE_DATA_FL)) {
            Some(ino) => ino,
            None => self.find_entry(name)?.ok_or(Errno::NotFound)?.ino,
        };
        inode.fs.sb.expect_ino(ino)?;
        Ok(ino)
    }

    /// Returns the entry called `name`, if there is one. A directory in its inode has none that are called
    /// `.` and `..`.
    fn find_entry(self, name: &[u8]) -> Result<Option<Dirent>> {
        let inode = self.0;
        if is_dot_name(name) && !inode.has(INLINE_DATA_FL) {
            return self.search_block(0, name);
        }
        if inode.has(INDEX_FL) && !inode.has(INLINE_DATA_FL) {
            return match inode.fs.noted(self.search_index(name)) {
                // What is wrong with the index hides no name.
                Err(error @ Error::Corrupt(_)) => Ok(Some(self.search(name)?.ok_or(error)?)),
                found => found,
            };
        }
        self.search(name)
    }

    fn search(self, name: &[u8]) -> Result<Option<Dirent>> {
        self.each_entry(0, &mut named(name))
    }

    fn search_block(self, lblk: u64, name: &[u8]) -> Result<Option<Dirent>> {
        self.each_in_block(lblk, &mut named(name))
    }

    // -- The index

    fn search_index(self, name: &[u8]) -> Result<Option<Dirent>> {
        let index = self.form().index(self.lblks());
        let (version, root) = self.open_root(&index)?;
        let sb = &self.0.fs.sb;
        let hash = hash(version, sb.hash_unsigned, &sb.hash_seed, name)
            .ok_or_else(|| bad_dir(self.0.ino, "a hash_version that is not known", 0))?;
        htree::look_up(&root, hash.major, &mut |child| self.open_node(&index, child), &mut |lblk| {
            self.expect_names(&index, lblk)?;
            self.search_block(lblk.into(), name)
        })
    }

    /// Returns the root of `index`, checked, and its hash_version.
    fn open_root<'i>(self, index: &'i IndexedDirectory) -> Result<(u8, HtreeNode<'i, MetaBlock<'a, P>>)> {
        let (version, root) = index.root(self.block(0)?, 0)?;
        root.check()?;
        Ok((version, root))
    }

    /// Returns the node of `index` that `child` says, checked.
    fn open_node<'i>(
        self,
        index: &'i IndexedDirectory,
        child: &HtreeBlock,
    ) -> Result<HtreeNode<'i, MetaBlock<'a, P>>> {
        let node = index.node(child, self.block(child.lblk.into())?, 0)?;
        node.check().map(|()| node)
    }

    /// Refuses logical block `lblk` if it is a node of the index.
    fn expect_names(self, index: &IndexedDirectory, lblk: u32) -> Result<()> {
        match self.form().is_index(lblk.into(), &*self.block(lblk.into())?) {
            true => Err(index.corrupt("a node where names should be", lblk)),
            false => Ok(()),
        }
    }

    // -- Blocks

    fn lblks(self) -> u64 {
        self.0.mapping.size() >> self.0.fs.sb.block_bits
    }

    fn form(self) -> DirectoryForm<'a> {
        let inode = self.0;
        DirectoryForm { sb: &inode.fs.sb, ino: inode.ino, seed: inode.seed, is_indexed: inode.has(INDEX_FL) }
    }

    /// Returns logical block `lblk`, checked.
    fn block(self, lblk: u64) -> Result<MetaBlock<'a, P>> {
        let (inode, form) = (self.0, self.form());
        let Some(number) = inode.map().metadata(lblk)? else {
            return Err(bad_dir(inode.ino, "a hole in a directory", inode.fs.sb.byte(lblk)));
        };
        let block = inode.fs.meta(number, "directory", inode.ino.into())?;
        if inode.seed.is_some() {
            inode.fs.check_once(number, inode.ino, || form.check(lblk, number, &*block))?;
        }
        Ok(block)
    }

    // -- Entries

    /// Calls `f` with every entry from the block of byte `from` on, free ones too, in order.
    ///
    /// # Errors
    /// What is wrong with the first block that cannot be read, or not to its end, after those behind it: it
    /// hides only its own names.
    fn each_entry<B>(self, from: u64, f: EntryVisit<'_, B>) -> Result<Option<B>> {
        if self.0.has(INLINE_DATA_FL) {
            return self.each_inline(f);
        }
        each_block(from >> self.0.fs.sb.block_bits..self.lblks(), |lblk| self.each_in_block(lblk, f))
    }

    /// As [`each_entry`](Self::each_entry), of logical block `lblk`.
    fn each_in_block<B>(self, lblk: u64, f: EntryVisit<'_, B>) -> Result<Option<B>> {
        let block = self.block(lblk)?;
        self.form().each(lblk, &*block, &mut |entry| f(entry, &*block))
    }

    /// As [`each_entry`](Self::each_entry), of a directory in its inode: all but `.` and `..`, of which there
    /// are no entries.
    fn each_inline<B>(self, f: EntryVisit<'_, B>) -> Result<Option<B>> {
        let content = InlineNames(self.0.inline()?);
        let (first, all) = (content.0.len().min(I_BLOCK_BYTES as usize) as u64, content.0.len() as u64);
        let mut each = |range| self.form().each_in(0, &content, range, &mut |entry| f(entry, &content));
        match each(INLINE_HEAD..first)? {
            None if all > INLINE_REST => each(INLINE_REST..all),
            found => Ok(found),
        }
    }
}

/// Returns what looks for the entry called `name`.
fn named(name: &[u8]) -> impl FnMut(&Dirent, &dyn Load) -> ControlFlow<Dirent> {
    move |entry, bytes| match entry.is_called(bytes, name) {
        true => ControlFlow::Break(*entry),
        false => ControlFlow::Continue(()),
    }
}

/// A copy of a directory's content.
struct InlineNames(alloc::vec::Vec<u8>);

impl Load for InlineNames {
    fn load_u8(&self, at: u64) -> u8 {
        self.0.load_u8(at)
    }
    fn load_u16(&self, at: u64) -> u16 {
        self.0.load_u16(at)
    }
    fn load_u32(&self, at: u64) -> u32 {
        self.0.load_u32(at)
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        Load::read(&*self.0, at, to);
    }
}
