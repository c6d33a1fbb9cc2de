//! Directories, changed: entries added, removed, and made to name another inode. Nothing here knows a mounted
//! file system: blocks come from [`DirectoryBlocks`].
//!
//! | file | what it holds |
//! |---|---|
//! | `entries` | the entries of one block |
//! | `index` | a name added through the index, which grows with it |
//! | `node` | the entries of a node |
//!
//! ```text
//! one block ──it is full──► index ──► a block of it is full: split ──► a node is full: split
//!     └─ without dir_index: another block                              └─ the root is: a level more
//! ```
//!
//! # What is left when there is no space
//!
//! A name may need several new blocks. Each is a step of its own: what it needs is taken before the first
//! store, the new block last, and when it is done the directory is sound, and has the same names in one block
//! more. So whatever step finds no space, nothing has to be put back.
//!
//! # Checksums
//!
//! Whoever changes a block seals it, once in a step.

mod entries;
mod index;
mod node;

#[cfg(test)]
pub(in crate::ext4) mod tests;

use super::form::{DirectoryForm, max_levels};
use crate::error::Result;
use crate::ext::dirent::{Dirent, bad_dir, entry_type};
use crate::ext::features::COMPAT_DIR_INDEX;
use crate::ext::layout::*;
use crate::ext4::disk::superblock::SuperBlock;
use crate::ext4::edit::{BlockSeal, Change, Edit, SealedBlock};
use crate::vfs::FileKind;
use core::ops::{ControlFlow, Deref};
use entries::Packer;

/// The most blocks that removing a name changes, or making it name another inode.
pub(crate) const CHANGED_BY_ENTRY: u32 = 1;

/// The most blocks that adding a name changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddedNameCredits {
    /// Those that there are.
    pub changed: u32,
    /// New ones.
    pub appended: u32,
}

impl AddedNameCredits {
    /// Returns them for a directory of a file system.
    pub(crate) fn of(sb: &SuperBlock) -> Self {
        // All nodes on the way, and the block of names. Of these all but the root are split; or all but the
        // root and one of two, and there is a level more.
        let levels = u32::from(max_levels(sb));
        Self { changed: levels + 2, appended: levels + 1 }
    }
}

/// The blocks of a directory, in a transaction. Its inode is part of that.
pub(crate) trait DirectoryBlocks: Change {
    /// Returns how many there are.
    fn blocks(&self) -> u32;

    /// Returns the number of the block that is logical block `lblk`.
    ///
    /// # Errors
    /// There is none, or the way there is damaged.
    fn block(&self, lblk: u32) -> Result<u64>;

    /// Adds a block at the end. Returns its logical number and its bytes: zeros, to change.
    ///
    /// # Errors
    /// No space, or the directory is as large as one may be; as [`Change::change`]. Nothing was added.
    fn append(&self) -> Result<(u32, Self::Block)>;

    /// Tells whether it has an index ([`INDEX_FL`]).
    fn is_indexed(&self) -> bool;

    /// Sets [`INDEX_FL`].
    fn set_indexed(&self);

    /// Returns the major hash of `name` under `hash_version` `version`, with the file system's seed; `None`
    /// if nobody knows that version.
    fn hash(&self, version: u8, name: &[u8]) -> Option<u32>;
}

/// What a new entry says.
#[derive(Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    pub name: &'a [u8],
    pub ino: u32,
    /// `file_type`: 0 without `filetype`.
    pub file_type: u8,
}

/// A directory that is being changed, under its inode lock.
pub(crate) struct DirectoryEdit<'a, D> {
    pub blocks: &'a D,
    pub sb: &'a SuperBlock,
    pub ino: u32,
}

impl<D> Clone for DirectoryEdit<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for DirectoryEdit<'_, D> {}

impl<D: DirectoryBlocks> DirectoryEdit<'_, D> {
    /// Makes it one: gives a directory without blocks its first, with `.`, and `..` that names `parent`.
    ///
    /// # Errors
    /// As [`DirectoryBlocks::append`]. Nothing was changed.
    pub(crate) fn start(self, parent: u32) -> Result<()> {
        let (lblk, bytes) = self.blocks.append()?;
        let file_type = entry_type(self.sb, FileKind::Directory);
        let mut packer = Packer::new(&*bytes);
        packer.add(&NewEntry { name: b".", ino: self.ino, file_type });
        packer.add(&NewEntry { name: b"..", ino: parent, file_type });
        packer.finish(self.form().names_end());
        self.seal(lblk, &bytes);
        Ok(())
    }

    /// Adds an entry. There is none with its name, as the caller knows.
    ///
    /// # Errors
    /// No space, or [`IndexFull`](crate::Errno::IndexFull): the names are as they were.
    /// [`Corrupt`](crate::Error::Corrupt): it is damaged, or nobody knows its index's hash.
    pub(crate) fn add(self, new: &NewEntry<'_>) -> Result<()> {
        if self.blocks.is_indexed() {
            return self.add_by_index(new);
        }
        for lblk in 0..self.blocks.blocks() {
            if self.add_to_block(lblk, new)? {
                return Ok(());
            }
        }
        if self.blocks.blocks() == 1 && self.sb.feature_compat & COMPAT_DIR_INDEX != 0 {
            self.make_index()?;
            return self.add_by_index(new);
        }
        let (lblk, bytes) = self.blocks.append()?;
        let mut packer = Packer::new(&*bytes);
        packer.add(new);
        packer.finish(self.form().names_end());
        self.seal(lblk, &bytes);
        Ok(())
    }

    /// Removes the entry at byte `pos` of the directory.
    ///
    /// # Errors
    /// There is none, or its block is damaged.
    pub(crate) fn remove(self, pos: u64) -> Result<()> {
        let (lblk, before, entry) = self.entry_at(pos)?;
        let bytes = self.change(lblk)?;
        match before {
            Some(before) => bytes.store_u16(before.at + D_REC_LEN, before.rec_len + entry.rec_len),
            None => bytes.store_u32(entry.at + D_INODE, 0),
        }
        self.seal(lblk, &bytes);
        Ok(())
    }

    /// Makes the entry at byte `pos` of the directory, which may be `..`, name inode `ino`, of `file_type`.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub(crate) fn redirect(self, pos: u64, ino: u32, file_type: u8) -> Result<()> {
        let (lblk, _, entry) = self.entry_at(pos)?;
        let bytes = self.change(lblk)?;
        bytes.store_u32(entry.at + D_INODE, ino);
        bytes.store_u8(entry.at + D_FILE_TYPE, file_type);
        self.seal(lblk, &bytes);
        Ok(())
    }

    /// Gets all that [`remove`](Self::remove) and [`redirect`](Self::redirect) need of the entry at byte
    /// `pos` of the directory: in this transaction they do not fail any more.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub(crate) fn expect_entry(self, pos: u64) -> Result<()> {
        let (lblk, ..) = self.entry_at(pos)?;
        self.change(lblk).map(drop)
    }

    /// Tells whether nothing is in the directory but its own `.`, and the `..` that names `parent`.
    ///
    /// # Errors
    /// It is damaged, or `.` or `..` names another inode: that may have no other name, so it is not to be
    /// lost.
    pub(crate) fn is_empty(self, parent: u32) -> Result<bool> {
        for lblk in 0..self.blocks.blocks() {
            let bytes = self.read(lblk)?;
            let found = self.form().each(lblk.into(), &*bytes, &mut |entry| {
                let is_own = match entry.ino {
                    0 => true,
                    ino if entry.is_called(&*bytes, b".") => ino == self.ino,
                    ino if entry.is_called(&*bytes, b"..") => ino == parent,
                    _ => false,
                };
                if is_own { ControlFlow::Continue(()) } else { ControlFlow::Break(*entry) }
            })?;
            match found {
                None => {}
                Some(entry) if entry.is_dot(&*bytes) => {
                    return Err(bad_dir(self.ino, "`.` or `..` names another inode", entry.pos));
                }
                Some(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    // -- Blocks

    fn form(&self) -> DirectoryForm<'_> {
        let (seed, is_indexed) = (self.blocks.seed(), self.blocks.is_indexed());
        DirectoryForm { sb: self.sb, ino: self.ino, seed, is_indexed }
    }

    /// Returns logical block `lblk`, checked, to read.
    fn read(&self, lblk: u32) -> Result<D::Read> {
        self.read_with(lblk, |_| Ok(()))
    }

    /// As [`read`](Self::read); `check` says what else is wrong with it.
    fn read_with(
        &self,
        lblk: u32,
        check: impl FnOnce(&<D::Read as Deref>::Target) -> Result<()>,
    ) -> Result<D::Read> {
        let number = self.blocks.block(lblk)?;
        self.blocks.read(number, |bytes| {
            self.form().check(lblk.into(), number, bytes)?;
            check(bytes)
        })
    }

    /// Returns logical block `lblk`, which was read, to change.
    fn change(&self, lblk: u32) -> Result<D::Block> {
        self.blocks.change(self.blocks.block(lblk)?)
    }

    /// Sees to the checksum of logical block `lblk`, after the last change to it.
    fn seal(&self, lblk: u32, bytes: &D::Block) {
        let Some(seed) = self.blocks.seed() else { return };
        let block = match self.form().is_index(lblk.into(), &**bytes) {
            false => SealedBlock::Names,
            true if lblk == 0 => SealedBlock::IndexRoot,
            true => SealedBlock::IndexNode,
        };
        bytes.seal(BlockSeal { block, seed }, self.sb.block_size());
    }

    /// Adds an entry to logical block `lblk`, if that has room. Tells whether it has.
    fn add_to_block(&self, lblk: u32, new: &NewEntry<'_>) -> Result<bool> {
        let need = Dirent::need(new.name.len());
        let bytes = self.read(lblk)?;
        let room = self.form().each(lblk.into(), &*bytes, &mut |entry| match entry.rec_len - entry.used()
            >= need
        {
            true => ControlFlow::Break(*entry),
            false => ControlFlow::Continue(()),
        })?;
        let Some(room) = room else { return Ok(false) };
        let bytes = self.change(lblk)?;
        entries::add(&*bytes, &room, new);
        self.seal(lblk, &bytes);
        Ok(true)
    }

    /// Returns the entry at byte `pos` of the directory, which is in use: its logical block, the entry before
    /// it there, itself.
    fn entry_at(&self, pos: u64) -> Result<(u32, Option<Dirent>, Dirent)> {
        let none = || bad_dir(self.ino, "no entry begins here", pos);
        let lblk = u32::try_from(pos >> self.sb.block_bits).map_err(|_| none())?;
        if lblk >= self.blocks.blocks() {
            return Err(none());
        }
        let bytes = self.read(lblk)?;
        let mut before = None;
        let found = self.form().each(lblk.into(), &*bytes, &mut |entry| {
            if entry.pos >= pos {
                return ControlFlow::Break(*entry);
            }
            before = Some(*entry);
            ControlFlow::Continue(())
        })?;
        match found {
            Some(entry) if entry.pos == pos && entry.ino != 0 => Ok((lblk, before, entry)),
            _ => Err(none()),
        }
    }
}
