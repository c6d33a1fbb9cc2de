//! Blocks of metadata: where they are read, and which of them were checked.
//!
//! They are read in place, in persistent memory, unless the journal has a newer copy: of a transaction that
//! is not at home, or from before a crash, where the mount is to change nothing and may not replay it: the
//! *overlay*.
//!
//! A block's checksum is computed once, by the first who reads it: a table remembers the inode that it was
//! checked for. A checksum starts with the inode's number, so a block that two inodes claim is found out by
//! the second.

use super::fs::Ext4Shared;
use crate::atomic::AtomicU32;
use crate::error::{Corrupt, Result};
use crate::ext::load::Load;
use crate::ext::unreadable;
use crate::jbd2::BlockBuffer;
use crate::platform::Platform;
use crate::pmem::Pmem;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::{Deref, Range};
use core::sync::atomic::Ordering::Relaxed;
use once_cell::race::OnceBox;

/// Blocks by their numbers, as a journal has them.
pub(super) type Overlay = BTreeMap<u64, Arc<[u8]>>;

/// Which blocks of one group were checked: for each the inode for which it was, or 0. There is none as long
/// as nothing was.
#[derive(Default)]
pub(super) struct Checked(OnceBox<Box<[AtomicU32]>>);

/// A block of metadata.
pub(super) struct MetaBlock<'a, P: Platform>(MetaBytes<'a, P>);

/// Its bytes. Offsets count from its start.
pub(super) enum MetaBytes<'a, P: Platform> {
    /// In place.
    Home {
        /// The region.
        pmem: &'a P::Pmem,
        /// Where in it the block starts.
        at: u64,
    },
    /// What a journal has that is not replayed.
    Unreplayed(Arc<[u8]>),
    /// What the journal has of a transaction that is not at home.
    Journal(Arc<BlockBuffer>),
}

impl<'a, P: Platform> Deref for MetaBlock<'a, P> {
    type Target = MetaBytes<'a, P>;
    #[inline(always)]
    fn deref(&self) -> &MetaBytes<'a, P> {
        &self.0
    }
}

impl<P: Platform> Load for MetaBytes<'_, P> {
    #[inline]
    fn load_u8(&self, at: u64) -> u8 {
        match self {
            Self::Home { pmem, at: start } => Load::load_u8(*pmem, start + at),
            Self::Unreplayed(bytes) => bytes.load_u8(at),
            Self::Journal(buffer) => buffer.load_u8(at),
        }
    }
    #[inline]
    fn load_u16(&self, at: u64) -> u16 {
        match self {
            Self::Home { pmem, at: start } => Load::load_u16(*pmem, start + at),
            Self::Unreplayed(bytes) => bytes.load_u16(at),
            Self::Journal(buffer) => buffer.load_u16(at),
        }
    }
    #[inline]
    fn load_u32(&self, at: u64) -> u32 {
        match self {
            Self::Home { pmem, at: start } => Load::load_u32(*pmem, start + at),
            Self::Unreplayed(bytes) => bytes.load_u32(at),
            Self::Journal(buffer) => buffer.load_u32(at),
        }
    }
    #[inline]
    fn read(&self, at: u64, to: &mut [u8]) {
        match self {
            Self::Home { pmem, at: start } => Load::read(*pmem, start + at, to),
            Self::Unreplayed(bytes) => Load::read(&**bytes, at, to),
            Self::Journal(buffer) => buffer.read(at, to),
        }
    }
}

impl<P: Platform> Ext4Shared<P> {
    /// Returns block `block` of metadata; whoever it belongs to, structure `what` number `index`, is named if
    /// it cannot be read.
    ///
    /// # Errors
    /// [`Corrupt`]: it is outside of the file system, or a memory error took some of it.
    pub(super) fn meta(&self, block: u64, what: &'static str, index: u64) -> Result<MetaBlock<'_, P>> {
        self.part(block, 0..self.sb.block_size(), what, index)
    }

    /// Returns what [`meta`](Self::meta) does, for who reads no more of it than `bytes`: a memory error
    /// elsewhere in the block is others'.
    pub(super) fn part(
        &self,
        block: u64,
        bytes: Range<u64>,
        what: &'static str,
        index: u64,
    ) -> Result<MetaBlock<'_, P>> {
        if !self.sb.holds(block, 1) {
            let why = "it leads out of the file system";
            return Err(Corrupt::against(what, index, why, block, self.sb.blocks_count).into());
        }
        if let Some(bytes) = self.overlay.as_ref().and_then(|overlay| overlay.get(&block)) {
            return Ok(MetaBlock(MetaBytes::Unreplayed(bytes.clone())));
        }
        if let Some(buffer) = self.journal.get().and_then(|journal| journal.latest(block)) {
            return Ok(MetaBlock(MetaBytes::Journal(buffer)));
        }
        let (pmem, at) = (self.platform.pmem(), self.sb.byte(block));
        match Pmem::poisoned(pmem, at + bytes.start, bytes.end - bytes.start) {
            Some(bad) => Err(unreadable(what, index, bad)),
            None => Ok(MetaBlock(MetaBytes::Home { pmem, at })),
        }
    }

    /// Checks `block`, which belongs to inode `ino`, unless it was checked for that inode before. `check`
    /// says what is wrong with it.
    pub(super) fn check_once(&self, block: u64, ino: u32, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let group = self.sb.group_of_block(block);
        let within = (block - self.sb.first_block(group)) as usize;
        let Some(Checked(table)) = self.checked.get(group as usize) else { return check() };
        if table.get().and_then(|table| table.get(within)).is_some_and(|owner| owner.load(Relaxed) == ino) {
            return Ok(());
        }
        check()?;
        let len = self.sb.group_blocks(group);
        let table = table.get_or_init(|| Box::new((0..len).map(|_| AtomicU32::new(0)).collect()));
        if let Some(owner) = table.get(within) {
            owner.store(ino, Relaxed);
        }
        Ok(())
    }

    /// Forgets whom `block` was checked for: it is free from now on.
    pub(super) fn forget_checked(&self, block: u64) {
        let group = self.sb.group_of_block(block);
        let within = (block - self.sb.first_block(group)) as usize;
        let table = self.checked.get(group as usize).and_then(|Checked(table)| table.get());
        if let Some(owner) = table.and_then(|table| table.get(within)) {
            owner.store(0, Relaxed);
        }
    }
}
