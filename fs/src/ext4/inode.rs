//! An inode in memory: a copy of its raw form, whose checksum is right, and its locks.

use super::change::EditBytes;
use super::disk::checksum::{self, Seed};
use super::edit::Edit;
use super::fs::{Ext4, Ext4Shared, InodePlace};
use super::meta::MetaBlock;
use super::operation::Ext4Operation;
use crate::PAGE_SIZE;
use crate::atomic::{AtomicBool, AtomicU64};
use crate::error::{Corrupt, Errno, Error, Result, Unsupported};
use crate::ext::cache::Cached;
use crate::ext::dirent::Dirent;
use crate::ext::features::*;
use crate::ext::inode::{FaultTime, RawInode, bad_inode};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::jbd2::{BlockBuffer, BufferMut, Handle};
use crate::platform::{Platform, RwLock};
use crate::vfs::{Attr, FileKind, InodeLock, Mapping};
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

/// An inode of a mounted ext4.
pub struct Ext4Inode<P: Platform> {
    pub(super) fs: Ext4<P>,
    pub(super) ino: u32,
    pub(super) kind: FileKind,
    /// Itself, for the list of those that a commit is to write.
    me: Weak<Self>,
    /// Where it is in its table: the block, and the byte there.
    place: (u64, u64),
    /// Its `s_inode_size` bytes. What is in the table may be older.
    bytes: Arc<BlockBuffer>,
    /// It is among those that the next commit writes.
    unsealed: AtomicBool,
    /// The last transaction that changed it, and the last that changed where its content is, or how much:
    /// their numbers and a bit above, or 0.
    sequence: AtomicU64,
    data_sequence: AtomicU64,
    /// What the checksums of its blocks start with, if they have some.
    pub(super) seed: Option<Seed>,
    /// The inode lock.
    pub(super) lock: InodeLock<P>,
    pub(super) mapping: Mapping<P>,
    /// Its last name is gone: it goes with its last handle.
    pub(super) nameless: AtomicBool,
    /// The lock of its block map.
    pub(super) map_lock: RwLock<P, ()>,
    /// The root of its tree of extents was checked.
    pub(super) is_root_checked: AtomicBool,
    pub(super) fault_time: FaultTime,
    /// It was asked for since the cache last looked for one to let go.
    recent: AtomicBool,
    /// The cache does not know it, or knows it no more.
    forgotten: AtomicBool,
}

/// What of an inode in memory is written to its table, with no more than that takes.
pub(super) struct InodeCopy {
    place: (u64, u64),
    bytes: Arc<BlockBuffer>,
    seed: Option<Seed>,
}

impl InodeCopy {
    /// Returns its bytes, to change them, as [`Ext4Inode::edit`] does.
    pub(super) fn edit(&self) -> EditBytes<'_> {
        EditBytes(BufferMut::new(self.bytes.clone()))
    }

    /// Gets its place in the table: in this transaction, [`seal`](Self::seal) does not fail any more.
    ///
    /// # Errors
    /// The block cannot be read; the journal was given up.
    pub(super) fn expect_place<P: Platform>(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        op.change(self.place.0).map(drop)
    }

    /// Writes it, with its checksum, to its place in the table, in the transaction of `handle`: as it is at
    /// one moment, for others may change it meanwhile, and write it again after that.
    ///
    /// # Errors
    /// As [`expect_place`](Self::expect_place).
    pub(super) fn seal<P: Platform>(&self, fs: &Ext4Shared<P>, handle: &Handle<'_, P>) -> Result<()> {
        let (block, at) = self.place;
        let (table, size) = (handle.change(block)?, fs.sb.inode_size);
        // Whoever is last has the newest bytes.
        let _alone = fs.sealing.lock();
        for word in (0..u64::from(size)).step_by(8) {
            table.store_u64(at + word, self.bytes.load_u64(word));
        }
        if let Some(seed) = self.seed {
            let real = checksum::inode(seed, &*table, at, size);
            table.store_u16(at + I_CHECKSUM_LO, real as u16);
            if checksum::has_checksum_hi(&*table, at, size) {
                table.store_u16(at + I_CHECKSUM_HI, (real >> 16) as u16);
            }
        }
        Ok(())
    }
}

/// In a sequence: there is one.
const HAS_SEQUENCE: u64 = 1 << 32;

/// Returns a copy of the `len` bytes at `at` of a block of an inode table.
fn copy(table: &impl Load, at: u64, len: u32) -> Arc<BlockBuffer> {
    let copy = BufferMut::new(Arc::new(BlockBuffer::zeros(len.into())));
    for word in (0..u64::from(len)).step_by(8) {
        let low = u64::from(table.load_u32(at + word));
        copy.store_u64(word, u64::from(table.load_u32(at + word + 4)) << 32 | low);
    }
    copy.into_buffer()
}

impl<P: Platform> Ext4<P> {
    /// Returns inode `ino`, in memory or loaded. The caller found its number under a lock that keeps it from
    /// being freed.
    pub(super) fn inode(&self, ino: u32) -> Result<Arc<Ext4Inode<P>>> {
        self.cache.get(&self.platform, ino, || self.load_inode(ino))
    }

    /// Returns inode `ino` as [`inode`](Self::inode) does, of a number that somebody tells.
    ///
    /// # Errors
    /// [`Errno::NotFound`] for that of nothing: it is his mistake, not the image's.
    pub(super) fn inode_if_in_use(&self, ino: u64) -> Result<Arc<Ext4Inode<P>>> {
        let ino = self.sb.ino_of(ino)?;
        self.cache.get(&self.platform, ino, || match self.is_in_use(&self.place_of_inode(ino)?.group, ino) {
            true => self.load_inode(ino),
            false => Err(Errno::NotFound.into()),
        })
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
        Ok(inode.known())
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
        let bytes = copy(&*table, at, self.sb.inode_size);
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
        Ok(self.inode_of(ino, (block, at), bytes, kind, size))
    }

    /// Returns the inode that `bytes` are, whose place in the table is byte `place.1` of block `place.0`.
    pub(super) fn inode_of(
        &self,
        ino: u32,
        place: (u64, u64),
        bytes: Arc<BlockBuffer>,
        kind: FileKind,
        size: u64,
    ) -> Ext4Inode<P> {
        let generation = RawInode::new(&*bytes, &self.sb, ino, 0).generation();
        Ext4Inode {
            fs: self.share(),
            ino,
            kind,
            me: Weak::new(),
            place,
            bytes,
            unsealed: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
            data_sequence: AtomicU64::new(0),
            seed: self.sb.seed.map(|seed| seed.of_inode(ino, generation)),
            lock: InodeLock::new(),
            nameless: AtomicBool::new(false),
            mapping: Mapping::with_transactions(size),
            map_lock: RwLock::<P, ()>::new(()),
            is_root_checked: AtomicBool::new(false),
            fault_time: FaultTime::default(),
            recent: AtomicBool::new(false),
            forgotten: AtomicBool::new(true),
        }
    }

    /// Refuses flags that decide how content is read, and that cannot be there.
    ///
    /// # Errors
    /// [`Corrupt`]: the file system lacks a flag's feature, or two of them exclude each other.
    fn check_flags(&self, raw: &RawInode<'_, BlockBuffer>) -> Result<()> {
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
    fn check_size(&self, raw: &RawInode<'_, BlockBuffer>, kind: FileKind) -> Result<u64> {
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
    pub(super) fn raw(&self) -> RawInode<'_, BlockBuffer> {
        RawInode::new(&*self.bytes, &self.fs.sb, self.ino, 0)
    }

    /// Returns its raw bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &BlockBuffer {
        &self.bytes
    }

    /// Returns its raw bytes, to change them: in an operation, and [marked](Self::mark) in it; times without
    /// one, too.
    pub(super) fn edit(&self) -> EditBytes<'_> {
        EditBytes(BufferMut::new(self.bytes.clone()))
    }

    /// Returns it as an inode that the cache is about to know.
    pub(super) fn known(mut self) -> Arc<Self> {
        *self.forgotten.get_mut() = false;
        Arc::new_cyclic(|me| {
            self.me = me.clone();
            self
        })
    }

    /// Remembers that `op` changed it: the commit writes it, and fsync waits for that.
    ///
    /// # Errors
    /// Its table's block cannot be read, where the inode has no name: then it is written at once.
    pub(super) fn mark(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        self.sequence.store(HAS_SEQUENCE | u64::from(op.handle().sequence()), Release);
        self.seal_later(Some(op))
    }

    /// Remembers that `op` changed where its content is, or how much: fdatasync waits for that, too.
    ///
    /// # Errors
    /// As for [`mark`](Self::mark).
    pub(super) fn mark_data(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        self.data_sequence.store(HAS_SEQUENCE | u64::from(op.handle().sequence()), Release);
        self.mark(op)
    }

    /// Has the next commit write it: its times changed, in no operation. Those of an inode without a name go
    /// with it.
    pub(super) fn mark_times(&self) {
        let _ = self.seal_later(None);
    }

    fn seal_later(&self, op: Option<&Ext4Operation<'_, P>>) -> Result<()> {
        if self.raw().links() == 0 {
            // The commit must not be the one with its last handle.
            let _ = self.fs.unsealed.take(self.ino);
            self.unsealed.store(false, SeqCst);
            return op.map_or(Ok(()), |op| self.seal(op.handle()));
        }
        if !self.unsealed.swap(true, SeqCst) {
            match self.me.upgrade() {
                Some(me) => {
                    self.fs.unsealed.add(me);
                    // Whoever took its last name away meanwhile has looked for it there.
                    if self.raw().links() == 0 {
                        let _ = self.fs.unsealed.take(self.ino);
                    }
                }
                None => return op.map_or(Ok(()), |op| self.seal(op.handle())),
            }
        }
        Ok(())
    }

    /// Writes it, with its checksum, to its place in the table, in the transaction of `handle`.
    ///
    /// # Errors
    /// The block cannot be read; the journal was given up.
    pub(super) fn seal(&self, handle: &Handle<'_, P>) -> Result<()> {
        // What changes from here on marks it again.
        self.unsealed.store(false, SeqCst);
        self.copy().seal(&self.fs, handle)
    }

    /// Returns what of it is written to its table.
    pub(super) fn copy(&self) -> InodeCopy {
        InodeCopy { place: self.place, bytes: self.bytes.clone(), seed: self.seed }
    }

    /// Makes durable what operations changed of it that have ended; with `datasync` only what it takes to
    /// find its content.
    ///
    /// # Errors
    /// The journal was given up.
    pub(super) fn commit_changes(&self, datasync: bool) -> Result<()> {
        let Some(journal) = self.fs.journal.get() else { return Ok(()) };
        if !datasync && self.unsealed.load(SeqCst) {
            return journal.force_commit();
        }
        let changed = if datasync { &self.data_sequence } else { &self.sequence };
        match changed.load(Acquire) {
            0 => Ok(()),
            sequence => journal.commit(sequence as u32),
        }
    }

    /// Tells whether where its content is, or how much, is durable.
    pub(super) fn is_data_durable(&self) -> bool {
        let (sequence, journal) = (self.data_sequence.load(Acquire), self.fs.journal.get());
        sequence == 0 || journal.is_none_or(|journal| journal.is_committed(sequence as u32))
    }

    /// Adds `blocks` to what `i_blocks` counts.
    pub(super) fn add_blocks(&self, blocks: i64) {
        let (raw, bits, edit) = (self.raw(), self.fs.sb.block_bits, self.edit());
        let in_units = raw.flags() & HUGE_FILE_FL == 0;
        let count = u64::from(self.bytes.load_u16(I_BLOCKS_HIGH)) << 32 | u64::from(raw.units());
        let more = if in_units { blocks << (bits - 9) } else { blocks };
        let count = count.saturating_add_signed(more);
        edit.store_u32(I_BLOCKS, count as u32);
        edit.store_u16(I_BLOCKS_HIGH, (count >> 32) as u16);
    }

    /// Tells whether one of `flags` (`i_flags`) is set.
    #[inline]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.raw().flags() & flags != 0
    }

    /// Refuses what one of `flags` forbids.
    #[inline]
    pub(super) fn expect_without(&self, flags: u32) -> Result<()> {
        if self.has(flags) { Err(Errno::NotPermitted.into()) } else { Ok(()) }
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
        !self.nameless.load(SeqCst)
    }

    fn has_nothing_to_do(&self) -> bool {
        self.kind != FileKind::File
    }

    fn detach(&self) {
        self.forgotten.store(true, Relaxed);
    }
}

impl<P: Platform> Drop for Ext4Inode<P> {
    fn drop(&mut self) {
        let is_known = !*self.forgotten.get_mut();
        let result = match *self.nameless.get_mut() {
            true => self.finish(),
            // Afterwards nobody knows which of its pages are dirty.
            false if is_known && self.kind == FileKind::File => self.flush_dirty(),
            false => Ok(()),
        };
        // Nobody is there to be told if that fails.
        let _ = self.fs.noted(result);
        if is_known {
            self.fs.cache.forget(self);
        }
    }
}
