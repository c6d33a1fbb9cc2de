//! A directory listed, from a position on.
//!
//! Names that the index orders are listed by their hashes, for they move to other blocks when the index
//! grows. A directory of one block, which gets an index with its second, is listed in this way from the
//! start. In all others a name stays where it is.
//!
//! ```text
//! position  0            `.` and `..`, as bytes
//!           1 << 62 |    hash >> 1, then 31 bits of the name's checksum: a name stands where these lead
//! ```
//!
//! So whoever goes on where he ended misses no name that was there all the time, and sees none twice; but
//! for names that are the same in all these bits, of which there may be some among 2^30.

use super::super::disk::hash::hash;
use super::super::disk::htree;
use super::Dir;
use crate::crc32c;
use crate::error::{Errno, Error, Result};
use crate::ext::dirent::Dirent;
use crate::ext::features::COMPAT_DIR_INDEX;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::platform::Platform;
use crate::vfs::{DirEntry, FileKind};
use alloc::vec::Vec;
use core::ops::{ControlFlow, RangeInclusive};

/// Positions from here on are hashes.
const HASHES: u64 = 1 << 62;

/// Returns the position of a name with this major hash and checksum.
fn position(major: u32, crc: u32) -> u64 {
    HASHES | u64::from(major >> 1) << 31 | u64::from(crc >> 1)
}

/// Returns the major hash of the names at `position`.
fn major_at(position: u64) -> u32 {
    ((position & !HASHES) >> 31 << 1) as u32
}

/// What is called with each entry.
type ShowEntry<'f> = &'f mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>;

impl<P: Platform> Dir<'_, P> {
    /// Lists, as [`Inode::read_dir`](crate::vfs::Inode::read_dir).
    pub(in crate::ext4) fn list(self, from: u64, f: ShowEntry<'_>) -> Result<()> {
        let inode = self.0;
        let has_index = inode.has(INDEX_FL);
        if inode.has(INLINE_DATA_FL) {
            let dots = [(&b"."[..], inode.ino, 1), (b"..", inode.bytes().load_u32(I_BLOCK), 2)];
            for (name, ino, next) in dots {
                let kind = Some(FileKind::Directory);
                if from < next && f(DirEntry { name, ino: ino.into(), kind, next }).is_break() {
                    return Ok(());
                }
            }
            return self.list_entries(from, f);
        }
        let will_have = inode.fs.sb.feature_compat & COMPAT_DIR_INDEX != 0 && self.lblks() == 1;
        match has_index || will_have {
            true => self.list_by_hash(from, has_index, f),
            false => self.list_entries(from, f),
        }
    }

    /// Lists the entries in the order in which they lie there.
    fn list_entries(self, from: u64, f: ShowEntry<'_>) -> Result<()> {
        self.each_entry(from, &mut |entry, bytes| {
            if entry.pos < from || entry.ino == 0 {
                return ControlFlow::Continue(());
            }
            show(entry, bytes, entry.pos + u64::from(entry.rec_len), f)
        })?;
        Ok(())
    }

    fn list_by_hash(self, from: u64, has_index: bool, f: ShowEntry<'_>) -> Result<()> {
        if from < HASHES {
            let dots = self.each_in_block(0, &mut |entry, bytes| {
                let end = entry.pos + u64::from(entry.rec_len);
                match entry.pos >= from && entry.is_dot(bytes) {
                    true if entry.is_called(bytes, b".") => show(entry, bytes, end, f),
                    true => show(entry, bytes, HASHES, f),
                    false => ControlFlow::Continue(()),
                }
            })?;
            if dots.is_some() {
                return Ok(());
            }
        }
        let mut names = ByHash { dir: self, version: 0, from: from.max(HASHES), entries: Vec::new(), f };
        names.version = self.0.fs.sb.hash_version;
        if has_index {
            match self.0.fs.noted(names.by_index()) {
                // What is wrong with the index hides no name: all are looked at, from where it ended.
                Err(Error::Corrupt(_)) => names.entries.clear(),
                listed => return listed.map(drop),
            }
        }
        let failed = self.each_entry(0, &mut |entry, bytes| match names.add(entry, bytes, 0..=u32::MAX) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        let _ = names.show_below(u64::MAX)?;
        failed?.map_or(Ok(()), Err)
    }
}

/// Shows an entry, of which `next` is the position behind it.
fn show(entry: &Dirent, bytes: &(impl Load + ?Sized), next: u64, f: ShowEntry<'_>) -> ControlFlow<()> {
    let mut name = [0; NAME_MAX];
    let name = &mut name[..entry.name_len.into()];
    bytes.read(entry.at + D_NAME, name);
    f(DirEntry { name, ino: entry.ino.into(), kind: entry.kind(), next })
}

/// A directory whose names are listed by their hashes.
struct ByHash<'a, 'f, P: Platform> {
    dir: Dir<'a, P>,
    /// The hash, as an index's root names it.
    version: u8,
    /// The position of the next name at the earliest.
    from: u64,
    /// Names that were not shown yet, each with its position.
    entries: Vec<(u64, Dirent)>,
    f: ShowEntry<'f>,
}

impl<P: Platform> ByHash<'_, '_, P> {
    /// Goes through the blocks of names as the index orders them.
    fn by_index(&mut self) -> Result<ControlFlow<()>> {
        let dir = self.dir;
        let index = dir.form().index(dir.lblks());
        let (version, root) = dir.open_root(&index)?;
        self.version = version;
        let mut get = |child: &_| dir.open_node(&index, child);
        let end = htree::walk(&root, major_at(self.from), &mut get, &mut |block| {
            dir.expect_names(&index, block.lblk)?;
            let (hashes, goes_on) = block.hashes();
            let last = *hashes.end();
            let failed = dir.each_in_block(block.lblk.into(), &mut |entry, bytes| {
                self.add(entry, bytes, hashes.clone()).map_or_else(ControlFlow::Break, ControlFlow::Continue)
            })?;
            failed.map_or(Ok(()), Err)?;
            // Names of a hash that goes on in the next block are shown with those.
            self.show_below(if goes_on { position(last, 0) } else { u64::MAX })
        })?;
        if end.is_break() { Ok(end) } else { self.show_below(u64::MAX) }
    }

    /// Adds a name, if it is one that is to be shown, to a block where names have the major hashes `hashes`.
    fn add(&mut self, entry: &Dirent, bytes: &dyn Load, hashes: RangeInclusive<u32>) -> Result<()> {
        if entry.ino == 0 || entry.is_dot(bytes) {
            return Ok(());
        }
        let mut name = [0; NAME_MAX];
        let name = &mut name[..entry.name_len.into()];
        bytes.read(entry.at + D_NAME, name);
        let sb = &self.dir.0.fs.sb;
        // Nobody looks one up by a hash that is not known: any order will do.
        let major = hash(self.version, sb.hash_unsigned, &sb.hash_seed, name).map_or(0, |hash| hash.major);
        let major = major.clamp(*hashes.start(), *hashes.end());
        let position = position(major, crc32c::update(!0, name));
        if position >= self.from {
            self.entries.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            self.entries.push((position, *entry));
        }
        Ok(())
    }

    /// Shows the names whose positions are below `end`, in order.
    fn show_below(&mut self, end: u64) -> Result<ControlFlow<()>> {
        let (dir, bits) = (self.dir, self.dir.0.fs.sb.block_bits);
        self.entries.sort_unstable_by_key(|&(position, entry)| (position, entry.pos));
        let count = self.entries.partition_point(|&(position, _)| position < end);
        let mut block = None;
        for (position, entry) in self.entries.drain(..count) {
            let lblk = entry.pos >> bits;
            let bytes = match block.take() {
                Some((number, bytes)) if number == lblk => bytes,
                _ => dir.block(lblk)?,
            };
            self.from = position + 1;
            if show(&entry, &*bytes, self.from, self.f).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            block = Some((lblk, bytes));
        }
        Ok(ControlFlow::Continue(()))
    }
}
