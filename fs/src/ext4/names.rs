//! Directories, read: names looked up, through the index of hashes where there is one, and listed. Everything
//! here runs under the directory's inode lock.
//!
//! ```text
//! a block of names   entry | entry | …                        | 0 12 0 0xde checksum
//! the index's root   `.` | `..`, which has the rest of the block in front of hashes and their blocks
//! a node of it       an entry without a name, with all of the block in the same way
//! in the inode       number of `..` | entry | …               and the rest in `system.data`
//! ```

use super::disk::checksum;
use super::disk::hash::hash;
use super::disk::htree::{self, HtreeBlock, IndexedDirectory};
use super::inode::{Ext4Inode, expect_checksum};
use super::meta::MetaBlock;
use crate::error::{Errno, Error, Result};
use crate::ext::dirent::{BadBlocks, Dirent, bad_dir};
use crate::ext::features::INCOMPAT_LARGEDIR;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::platform::Platform;
use crate::vfs::{DirEntry, FileKind};
use core::ops::ControlFlow;

/// Bytes of the entry at the end of a block that holds its checksum, and what makes it one.
const TAIL: u64 = 12;
const TAIL_WORDS: [u32; 2] = [0, 0xde00_000c];
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
        let is_dot = name == b"." || name == b"..";
        let inode = self.0;
        let found = if inode.has(INLINE_DATA_FL) {
            match name {
                b"." => Some(inode.ino),
                b".." => Some(inode.bytes().load_u32(I_BLOCK)),
                _ => self.search(name)?,
            }
        } else if is_dot {
            self.search_block(0, name)?
        } else if inode.has(INDEX_FL) {
            match inode.fs.noted(self.search_index(name)) {
                // What is wrong with the index hides no name.
                Err(error @ Error::Corrupt(_)) => Some(self.search(name)?.ok_or(error)?),
                found => found?,
            }
        } else {
            self.search(name)?
        };
        let ino = found.ok_or(Errno::NotFound)?;
        inode.fs.sb.expect_ino(ino)?;
        Ok(ino)
    }

    fn search(self, name: &[u8]) -> Result<Option<u32>> {
        self.each_entry(0, &mut named(name))
    }

    fn search_block(self, lblk: u64, name: &[u8]) -> Result<Option<u32>> {
        self.each_in_block(lblk, &mut named(name))
    }

    // -- The index

    fn indexed(self) -> IndexedDirectory {
        let (inode, sb) = (self.0, &self.0.fs.sb);
        IndexedDirectory {
            ino: inode.ino,
            blocks: u32::try_from(self.lblks()).unwrap_or(u32::MAX),
            block_size: sb.block_size(),
            has_tails: sb.seed.is_some(),
            max_levels: if sb.has(INCOMPAT_LARGEDIR) { 2 } else { 1 },
        }
    }

    fn search_index(self, name: &[u8]) -> Result<Option<u32>> {
        let (index, sb) = (self.indexed(), &self.0.fs.sb);
        let (block, number) = self.block(0)?;
        self.check_index(0, &block, number)?;
        let (version, root) = index.root(block, 0)?;
        root.check()?;
        let hash = hash(version, sb.hash_unsigned, &sb.hash_seed, name)
            .ok_or_else(|| bad_dir(self.0.ino, "a hash_version that is not known", 0))?;
        let mut get = |child: &HtreeBlock| {
            let (block, number) = self.block(child.lblk.into())?;
            self.check_index(child.lblk.into(), &block, number)?;
            let node = index.node(child, block, 0)?;
            node.check().map(|()| node)
        };
        htree::look_up(&root, hash.major, &mut get, &mut |lblk| {
            let (block, number) = self.block(lblk.into())?;
            if self.is_index(lblk.into(), &block) {
                return Err(index.corrupt("a node where names should be", lblk));
            }
            let end = self.check_names(lblk.into(), &block, number)?;
            self.each_in(&*block, lblk.into(), 0, end, &mut named(name))
        })
    }

    // -- Blocks

    fn lblks(self) -> u64 {
        self.0.mapping.size() >> self.0.fs.sb.block_bits
    }

    /// Returns logical block `lblk`, and its number.
    fn block(self, lblk: u64) -> Result<(MetaBlock<'a, P>, u64)> {
        let inode = self.0;
        match inode.map().metadata(lblk)? {
            Some(block) => Ok((inode.fs.meta(block, "directory", inode.ino.into())?, block)),
            None => Err(bad_dir(inode.ino, "a hole in a directory", inode.fs.sb.byte(lblk))),
        }
    }

    /// Tells whether `block`, which is logical block `lblk`, belongs to the index.
    fn is_index(self, lblk: u64, block: &MetaBlock<'a, P>) -> bool {
        self.0.has(INDEX_FL)
            && (lblk == 0
                || block.load_u32(D_INODE) == 0
                    && u64::from(block.load_u16(D_REC_LEN)) == self.0.fs.sb.block_size())
    }

    /// Checks `block` of names, which is block `number` and logical block `lblk`; returns where its entries
    /// end.
    fn check_names(self, lblk: u64, block: &MetaBlock<'a, P>, number: u64) -> Result<u64> {
        let (inode, size) = (self.0, self.0.fs.sb.block_size());
        let Some(seed) = inode.seed else { return Ok(size) };
        let end = size - TAIL;
        if [block.load_u32(end), block.load_u32(end + 4)] != TAIL_WORDS {
            let why = "a block of names without a checksum";
            return Err(bad_dir(inode.ino, why, inode.fs.sb.byte(lblk) + end));
        }
        inode.fs.check_once(number, inode.ino, || {
            let (told, real) = (block.load_u32(end + 8), checksum::names_block(seed, &**block, 0, size));
            expect_checksum("directory block", number, told, real)
        })?;
        Ok(end)
    }

    /// Checks `block` of the index, as [`check_names`](Self::check_names).
    fn check_index(self, lblk: u64, block: &MetaBlock<'a, P>, number: u64) -> Result<u64> {
        let (inode, size) = (self.0, self.0.fs.sb.block_size());
        if let Some(seed) = inode.seed {
            let (used, tail) = node_ends(lblk == 0, &**block, size).ok_or_else(|| {
                bad_dir(inode.ino, "a node of the index that is none", inode.fs.sb.byte(lblk))
            })?;
            inode.fs.check_once(number, inode.ino, || {
                let real = checksum::index_block(seed, &**block, 0, used, tail);
                expect_checksum("index block", number, block.load_u32(tail + 4), real)
            })?;
        }
        Ok(size)
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
        let mut bad = None;
        for lblk in from >> self.0.fs.sb.block_bits..self.lblks() {
            match self.each_in_block(lblk, f) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => BadBlocks::add(&mut bad, error)?,
            }
        }
        match bad {
            None => Ok(None),
            Some(BadBlocks { first, .. }) => Err(first),
        }
    }

    /// As [`each_entry`](Self::each_entry), of logical block `lblk`.
    fn each_in_block<B>(self, lblk: u64, f: EntryVisit<'_, B>) -> Result<Option<B>> {
        let (block, number) = self.block(lblk)?;
        let end = match self.is_index(lblk, &block) {
            true => self.check_index(lblk, &block, number)?,
            false => self.check_names(lblk, &block, number)?,
        };
        self.each_in(&*block, lblk, 0, end, f)
    }

    /// Calls `f` with the entries in `bytes`, from byte `start` to `end`, of logical block `lblk`.
    fn each_in<B>(
        self,
        bytes: &impl Load,
        lblk: u64,
        start: u64,
        end: u64,
        f: EntryVisit<'_, B>,
    ) -> Result<Option<B>> {
        let mut within = start;
        while within < end {
            let entry = Dirent::load(bytes, &self.0.fs.sb, self.0.ino, lblk, 0, within, end)?;
            if let ControlFlow::Break(found) = f(&entry, bytes) {
                return Ok(Some(found));
            }
            within += u64::from(entry.rec_len);
        }
        Ok(None)
    }

    /// As [`each_entry`](Self::each_entry), of a directory in its inode: all but `.` and `..`, of which there
    /// are no entries.
    fn each_inline<B>(self, f: EntryVisit<'_, B>) -> Result<Option<B>> {
        let content = InlineNames(self.0.inline()?);
        let (first, all) = (content.0.len().min(I_BLOCK_BYTES as usize) as u64, content.0.len() as u64);
        match self.each_in(&content, 0, INLINE_HEAD, first, f)? {
            None if all > INLINE_REST => self.each_in(&content, 0, INLINE_REST, all, f),
            found => Ok(found),
        }
    }

    /// Lists, as [`Inode::read_dir`](crate::vfs::Inode::read_dir).
    pub(super) fn list(self, from: u64, f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        let mut name = [0; NAME_MAX];
        if self.0.has(INLINE_DATA_FL) {
            let dots = [(&b"."[..], self.0.ino, 1), (b"..", self.0.bytes().load_u32(I_BLOCK), 2)];
            for (name, ino, next) in dots {
                let kind = Some(FileKind::Directory);
                if from < next && f(DirEntry { name, ino: ino.into(), kind, next }).is_break() {
                    return Ok(());
                }
            }
        }
        self.each_entry(from, &mut |entry, bytes| {
            if entry.pos < from || entry.ino == 0 {
                return ControlFlow::Continue(());
            }
            let name = &mut name[..entry.name_len.into()];
            bytes.read(entry.at + D_NAME, name);
            let next = entry.pos + u64::from(entry.rec_len);
            f(DirEntry { name, ino: entry.ino.into(), kind: entry.kind(), next })
        })?;
        Ok(())
    }
}

/// Returns what looks for the entry called `name`.
fn named(name: &[u8]) -> impl FnMut(&Dirent, &dyn Load) -> ControlFlow<u32> {
    move |entry, bytes| match entry.is_called(bytes, name) {
        true => ControlFlow::Break(entry.ino),
        false => ControlFlow::Continue(()),
    }
}

/// Returns where the last entry of a node of the index ends that is used, and where its tail is; `None` if
/// that cannot be. The root has its entries behind `.` and `..`.
fn node_ends(is_root: bool, block: &impl Load, size: u64) -> Option<(u64, u64)> {
    let (entries, each) = (if is_root { 0x20 } else { 8 }, 8);
    let (limit, count) = (block.load_u16(entries), block.load_u16(entries + 2));
    let fits = u64::from(limit) == (size - entries - each) / each && count <= limit;
    fits.then(|| (entries + each * u64::from(count), entries + each * u64::from(limit)))
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
