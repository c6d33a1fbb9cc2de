//! An inode in memory: a copy of its raw form, whose checksum is right, and its locks.

use super::disk::checksum::{self, Seed};
use super::fs::{Ext4, InodePlace};
use super::meta::MetaBlock;
use crate::PAGE_SIZE;
use crate::atomic::AtomicBool;
use crate::error::{Corrupt, Errno, Error, Result, Unsupported};
use crate::ext::cache::Cached;
use crate::ext::dirent::Dirent;
use crate::ext::features::*;
use crate::ext::inode::{RawInode, bad_inode};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::platform::Platform;
use crate::vfs::{Attr, FileKind, InodeLock, Mapping};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// An inode of a mounted ext4.
pub struct Ext4Inode<P: Platform> {
    pub(super) fs: Ext4<P>,
    pub(super) ino: u32,
    pub(super) kind: FileKind,
    /// Its `s_inode_size` bytes.
    bytes: Box<[u8]>,
    /// What the checksums of its blocks start with, if they have some.
    pub(super) seed: Option<Seed>,
    /// The inode lock.
    pub(super) lock: InodeLock<P>,
    pub(super) mapping: Mapping<P>,
    /// It was asked for since the cache last looked for one to let go.
    recent: AtomicBool,
    /// The cache does not know it, or knows it no more.
    forgotten: AtomicBool,
}

impl<P: Platform> Ext4<P> {
    /// Returns inode `ino`, in memory or loaded. The caller found its number under a lock that keeps it from
    /// being freed.
    pub(super) fn inode(&self, ino: u32) -> Result<Arc<Ext4Inode<P>>> {
        self.cache.get(&self.platform, ino, || self.load_inode(ino))
    }

    /// Returns the root directory.
    pub(super) fn root_inode(&self) -> Result<Arc<Ext4Inode<P>>> {
        let root = self.inode(ROOT_INO)?;
        match root.kind {
            FileKind::Directory => Ok(root),
            _ => Err(Corrupt::new("inode", ROOT_INO.into(), "the root is not a directory").into()),
        }
    }

    fn load_inode(&self, ino: u32) -> Result<Arc<Ext4Inode<P>>> {
        let wrong = |why| Err(Corrupt::new("inode", ino.into(), why).into());
        let place = self.place_of_inode(ino)?;
        if self.sb.is_reserved(ino) || ino == self.sb.orphan_file_inum {
            return wrong("a name leads to it, but it is reserved");
        }
        if !self.is_in_use(&place.group, ino) {
            return wrong("a name leads to it, but it is free");
        }
        let inode = self.read_inode_at(ino, &place)?;
        if inode.raw().links() == 0 {
            return wrong("a name leads to it, but it is free");
        }
        if inode.has(EA_INODE_FL) {
            return wrong("a name leads to it, but it is the value of an attribute");
        }
        inode.forgotten.store(false, Relaxed);
        Ok(Arc::new(inode))
    }

    /// Reads inode `ino`, whatever leads to it.
    ///
    /// # Errors
    /// [`Corrupt`]: its checksum is wrong, or what it says makes no sense.
    pub(super) fn read_inode(&self, ino: u32) -> Result<Ext4Inode<P>> {
        self.read_inode_at(ino, &self.place_of_inode(ino)?)
    }

    fn read_inode_at(&self, ino: u32, &InodePlace { block, at, .. }: &InodePlace) -> Result<Ext4Inode<P>> {
        let end = at + u64::from(self.sb.inode_size);
        let table: MetaBlock<'_, P> = self.part(block, at..end, "inode", ino.into())?;
        let mut bytes = vec![0; self.sb.inode_size as usize].into_boxed_slice();
        table.read(at, &mut bytes);
        let raw = RawInode::new(&*bytes, &self.sb, ino, 0);
        let seed = self.sb.seed.map(|seed| seed.of_inode(ino, raw.generation()));
        if let Some(seed) = seed {
            let low = u32::from(bytes.load_u16(I_CHECKSUM_LO));
            let has_high = checksum::has_checksum_hi(&*bytes, 0, self.sb.inode_size);
            let high = if has_high { u32::from(bytes.load_u16(I_CHECKSUM_HI)) } else { 0 };
            let (told, real) = (high << 16 | low, checksum::inode(seed, &*bytes, 0, self.sb.inode_size));
            expect_checksum("inode", ino.into(), told, real)?;
        }
        let extra = raw.extra();
        if !extra.is_multiple_of(4) || u64::from(GOOD_OLD_INODE_SIZE) + extra > self.sb.inode_size.into() {
            return Err(bad_inode(ino, "bad i_extra_isize", extra));
        }
        let kind = raw.expect_kind()?;
        self.check_flags(&raw)?;
        let size = self.check_size(&raw, kind)?;
        Ok(Ext4Inode {
            fs: self.share(),
            ino,
            kind,
            bytes,
            seed,
            lock: InodeLock::new(),
            mapping: Mapping::new(size),
            recent: AtomicBool::new(false),
            forgotten: AtomicBool::new(true),
        })
    }

    /// Refuses flags that decide how content is read, and that cannot be there.
    ///
    /// # Errors
    /// [`Corrupt`]: the file system lacks a flag's feature, or two of them exclude each other.
    fn check_flags(&self, raw: &RawInode<'_, [u8]>) -> Result<()> {
        let (flags, sb) = (raw.flags(), &self.sb);
        let of_features = [
            (EXTENTS_FL, sb.has(INCOMPAT_EXTENTS)),
            (INLINE_DATA_FL, sb.has(INCOMPAT_INLINE_DATA)),
            (EA_INODE_FL, sb.has(INCOMPAT_EA_INODE)),
            (ENCRYPT_FL, sb.has(INCOMPAT_ENCRYPT)),
            (VERITY_FL, sb.feature_ro_compat & RO_COMPAT_VERITY != 0),
        ];
        if of_features.iter().any(|&(flag, is_there)| flags & flag != 0 && !is_there) {
            let why = "i_flags of a feature that the file system does not have";
            return Err(bad_inode(raw.ino, why, flags.into()));
        }
        match flags & (EXTENTS_FL | INLINE_DATA_FL) {
            both if both == EXTENTS_FL | INLINE_DATA_FL => {
                Err(bad_inode(raw.ino, "i_flags tell of extents and of content in the inode", flags.into()))
            }
            _ => Ok(()),
        }
    }

    /// Returns the size that a raw inode tells.
    ///
    /// # Errors
    /// [`Corrupt`]: none of its kind can be that large.
    fn check_size(&self, raw: &RawInode<'_, [u8]>, kind: FileKind) -> Result<u64> {
        let flags = raw.flags();
        let wide = kind == FileKind::File || self.sb.has(INCOMPAT_LARGEDIR);
        let size = if wide { raw.wide_size() } else { raw.size(kind) };
        let (bits, is_inline) = (self.sb.block_bits, flags & INLINE_DATA_FL != 0);
        let is_directory_size = match is_inline {
            false => size > 0 && size.is_multiple_of(self.sb.block_size()),
            // What is behind `i_block` has room for an entry.
            true => {
                size.is_multiple_of(4)
                    && (size == I_BLOCK_BYTES || size >= I_BLOCK_BYTES + u64::from(Dirent::need(1)))
            }
        };
        if kind == FileKind::Directory && !is_directory_size {
            return Err(bad_inode(raw.ino, "bad size of a directory", size));
        }
        let limit = match kind {
            _ if is_inline => u64::from(self.sb.inode_size),
            FileKind::File if flags & EXTENTS_FL != 0 => u64::from(u32::MAX) << bits,
            FileKind::File => self.reach.max_lblks << bits,
            // It has no holes.
            FileKind::Directory => self.sb.byte(self.sb.blocks_count),
            FileKind::Symlink => self.sb.block_size(),
            _ => return Ok(size),
        };
        raw.size_within(size, kind, limit, false)
    }
}

/// Refuses structure `what` number `index`, which says that its checksum is `told`, unless that is `real`.
///
/// # Errors
/// [`Corrupt`]
#[inline]
pub(super) fn expect_checksum(what: &'static str, index: u64, told: u32, real: u32) -> Result<()> {
    if told == real {
        return Ok(());
    }
    Err(Corrupt::against(what, index, "wrong checksum", told.into(), real.into()).into())
}

impl<P: Platform> Ext4Inode<P> {
    /// Returns its fields.
    #[inline]
    pub(super) fn raw(&self) -> RawInode<'_, [u8]> {
        RawInode::new(&*self.bytes, &self.fs.sb, self.ino, 0)
    }

    /// Returns its raw bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells whether one of `flags` (`i_flags`) is set.
    #[inline]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.raw().flags() & flags != 0
    }

    /// Returns a contradiction in this inode.
    pub(super) fn corrupt(&self, why: &'static str, value: u64) -> Error {
        bad_inode(self.ino, why, value)
    }

    /// Refuses an inode whose content cannot be read.
    ///
    /// # Errors
    /// Unsupported: it is encrypted.
    pub(super) fn expect_readable(&self) -> Result<()> {
        match self.has(ENCRYPT_FL) {
            true => Err(Unsupported::Operation("reading what is encrypted").into()),
            false => Ok(()),
        }
    }

    /// Refuses what cannot be mapped: all but regular files with blocks of the page size that are read as
    /// they lie there.
    pub(super) fn check_mappable(&self) -> Result<()> {
        if self.kind != FileKind::File {
            return Err(Errno::NoDevice.into());
        }
        if self.fs.sb.block_size() != PAGE_SIZE {
            return Err(Unsupported::Mapping(self.fs.sb.block_size()).into());
        }
        self.expect_readable()?;
        if self.has(INLINE_DATA_FL) {
            return Err(Unsupported::Operation("mapping a file whose content is in its inode").into());
        }
        if self.has(JOURNAL_DATA_FL) {
            return Err(
                Unsupported::Operation("mapping a file whose content goes through the journal").into()
            );
        }
        if self.has(VERITY_FL) {
            return Err(Unsupported::Operation("mapping a file that is protected by hashes").into());
        }
        Ok(())
    }

    /// Returns the target of a symbolic link.
    pub(super) fn target(&self) -> Result<Vec<u8>> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::Invalid.into());
        }
        self.expect_readable()?;
        let (raw, len) = (self.raw(), self.mapping.size());
        let bad = |limit| {
            Corrupt::against("inode", self.ino.into(), "bad length of a symbolic link", len, limit).into()
        };
        if len == 0 || len >= self.fs.sb.block_size() {
            return Err(bad(self.fs.sb.block_size() - 1));
        }
        let mut target = vec![0; len as usize];
        if self.has(INLINE_DATA_FL) {
            target = self.inline()?;
        } else if len < I_BLOCK_BYTES && !self.has(EXTENTS_FL) {
            self.bytes.read(raw.slot(0), &mut target);
            // The rest of it is zeros.
            if self.bytes.load_u8(raw.slot(0) + len) != 0 {
                return Err(bad(len));
            }
        } else {
            let block = self.map().metadata(0)?;
            let block = block.ok_or_else(|| self.corrupt("a symbolic link without its block", len))?;
            self.fs.part(block, 0..len, "inode", self.ino.into())?.read(0, &mut target);
        }
        match target.contains(&0) {
            true => Err(self.corrupt("a NUL in the target of a symbolic link", len)),
            false => Ok(target),
        }
    }

    /// Returns all attributes.
    pub(super) fn load_attr(&self) -> Attr {
        let raw = self.raw();
        raw.attr(self.kind, self.mapping.size(), raw.wide_units(self.fs.sb.block_bits))
    }
}

impl<P: Platform> Cached for Ext4Inode<P> {
    #[inline]
    fn ino(&self) -> u32 {
        self.ino
    }

    #[inline]
    fn recent(&self) -> &AtomicBool {
        &self.recent
    }

    fn may_be_kept(&self) -> bool {
        true
    }

    fn has_nothing_to_do(&self) -> bool {
        true
    }

    fn detach(&self) {
        self.forgotten.store(true, Relaxed);
    }
}

impl<P: Platform> Drop for Ext4Inode<P> {
    fn drop(&mut self) {
        if !*self.forgotten.get_mut() {
            self.fs.cache.forget(self);
        }
    }
}
