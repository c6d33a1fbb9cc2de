//! What the image says of itself while it is mounted for writing, and what brings it to rest: sync, freeze,
//! remounting, unmounting.
//!
//! While it is written, the superblock says that its journal has to be replayed after a crash. At rest the
//! journal is empty, and the superblock does not say so.
//!
//! # Locking
//! `ice → freeze (exclusively) → inode locks, one at a time → handle → …`

use super::fs::Ext4;
use super::inode::Ext4Inode;
use super::operation::{CommitOwner, Ext4Operation};
use crate::error::{Errno, Result};
use crate::ext::features::INCOMPAT_64BIT;
use crate::ext::journal::FoundJournal;
use crate::ext::layout::*;
use crate::ext::superblock::RawSuperBlock;
use crate::jbd2::{Journal, LogFeatures};
use crate::platform::Platform;
use crate::pmem::Pmem;
use alloc::boxed::Box;
use core::sync::atomic::Ordering::SeqCst;

/// Blocks that an operation changes which brings the superblock up to date.
const SUMMARY: u32 = 1;

impl<P: Platform> Ext4<P> {
    /// Opens the journal, which is empty, for writing.
    ///
    /// # Errors
    /// It is damaged, or too short.
    pub(super) fn open_journal(&self) -> Result<()> {
        let (sb, pmem) = (&self.sb, self.platform.pmem());
        let size = (sb.block_bits, sb.blocks_count);
        let found = FoundJournal::look(pmem, size, |run| self.journal_runs(sb.journal_inum, run))?;
        let features = LogFeatures { wide: sb.has(INCOMPAT_64BIT), checksums: sb.seed.is_some() };
        let owner = Box::new(CommitOwner(self.unsealed.clone()));
        let journal = Journal::open(self.platform.clone(), found.log, features, owner)?;
        // There is one already where a mount became writable again.
        if self.journal.get().is_none() {
            self.groups.start(self.sum_free());
            let _ = self.journal.set(Box::new(journal));
        }
        Ok(())
    }

    /// Says on the image that it is written, since when, and by whom.
    ///
    /// # Errors
    /// The superblock cannot be read; the journal was given up.
    pub(super) fn start_writing(&self) -> Result<()> {
        self.say_in_use(true)?;
        let op = self.begin(SUMMARY)?;
        let (bytes, at) = op.super_block()?;
        bytes.store_u16(at + S_MNT_COUNT, bytes.load_u16(at + S_MNT_COUNT).saturating_add(1));
        self.store_now(&op, (S_MTIME, S_MTIME_HI))?;
        let mut last_mounted = [0; 64];
        last_mounted[0] = b'/';
        bytes.write(at + S_LAST_MOUNTED, &last_mounted);
        Ok(())
    }

    /// Says in the superblock whether its journal has to be replayed after a crash.
    fn say_in_use(&self, is_in_use: bool) -> Result<()> {
        let pmem = self.platform.pmem();
        let may_be_orphans = is_in_use || self.orphans.lock().may_be_in_file();
        let orphans = may_be_orphans && self.sb.orphan_file_inum != 0;
        RawSuperBlock::load(pmem)?.store_in_use(pmem, is_in_use, orphans);
        Ok(())
    }

    /// Stores the time it is to the superblock, where these fields hold the low 32 bits and the 8 above.
    fn store_now(&self, op: &Ext4Operation<'_, P>, (low, high): (u64, u64)) -> Result<()> {
        let (bytes, at) = op.super_block()?;
        let now = self.platform.now().secs;
        bytes.store_u32(at + low, now as u32);
        bytes.store_u8(at + high, (now >> 32) as u8);
        Ok(())
    }

    /// Makes the superblock's counts right.
    fn store_summary(&self) -> Result<()> {
        let op = self.begin(SUMMARY)?;
        let (bytes, at) = op.super_block()?;
        let (blocks, inodes) = self.groups.free();
        bytes.store_u32(at + S_FREE_BLOCKS_COUNT, blocks as u32);
        if self.sb.has(INCOMPAT_64BIT) {
            bytes.store_u32(at + S_FREE_BLOCKS_COUNT_HI, (blocks >> 32) as u32);
        }
        bytes.store_u32(at + S_FREE_INODES_COUNT, inodes as u32);
        self.store_now(&op, (S_WTIME, S_WTIME_HI))
    }

    /// Makes all operations durable that have ended, and the superblock's counts right.
    ///
    /// # Errors
    /// The journal was given up.
    pub(super) fn sync_all(&self) -> Result<()> {
        let Some(journal) = self.journal.get() else { return Ok(()) };
        // While it is frozen, or about to be, the summary is right without.
        match self.freeze.try_change() {
            Some(_thawed) if self.check_writable().is_ok() => self.store_summary()?,
            _ => {}
        }
        journal.force_commit()
    }

    /// Brings the image to rest: nobody changes anything meanwhile.
    fn come_to_rest(&self) -> Result<()> {
        let Some(journal) = self.journal.get() else { return Ok(()) };
        self.store_summary()?;
        journal.flush()?;
        self.say_in_use(false)
    }

    /// Ends what was begun before the last crash, as far as it is not in the journal. Where that cannot be,
    /// nothing is changed.
    ///
    /// # Errors
    /// The journal was given up.
    pub(super) fn recover(&self) -> Result<()> {
        if let Err(error) = self.noted(self.end_orphans()) {
            self.orphans.lock().refused = Some(error);
            self.come_to_rest()?;
            self.unwritable.store(true, SeqCst);
        }
        Ok(())
    }

    /// Writes back what was stored to files through mappings, so that the next store faults.
    fn flush_mapped(&self) -> Result<()> {
        self.noted(self.cache.try_for_each(|inode| inode.flush_dirty()))
    }

    /// Freezes it, as [`FileSystem::freeze`](crate::vfs::FileSystem::freeze) says.
    pub(super) fn freeze_all(&self) -> Result<()> {
        let mut ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let frozen = self.freeze.freeze();
        self.check_writable()?;
        self.flush_mapped()?;
        self.noted(self.finish_late())?;
        self.come_to_rest()?;
        *ice = Some(frozen);
        Ok(())
    }

    /// Lets changes go on.
    pub(super) fn thaw_all(&self) -> Result<()> {
        let mut ice = self.ice.lock();
        let frozen = ice.take().ok_or(Errno::Invalid)?;
        // Before anything changes, the image says that it is in use.
        let result = self.say_in_use(true).and_then(|()| self.noted(self.finish_late()));
        drop(frozen);
        result
    }

    /// Makes it read-only, or writable.
    pub(super) fn remount_all(&self, read_only: bool) -> Result<()> {
        let ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let _frozen = self.freeze.freeze();
        let is_writable = self.check_writable().is_ok();
        match (read_only, is_writable) {
            (true, true) => {
                self.flush_mapped()?;
                self.noted(self.finish_late())?;
                if !self.orphans.lock().is_empty() {
                    return Err(Errno::Busy.into());
                }
                self.come_to_rest()?;
                self.unwritable.store(true, SeqCst);
                Ok(())
            }
            (false, false) => {
                let is_failed = self.journal.get().is_some_and(|journal| journal.failed().is_some());
                let refused = self.sb.read_only_reason().is_some() || self.overlay.is_some();
                if !self.platform.pmem().writable() || refused || is_failed || self.met_errors() {
                    return Err(Errno::ReadOnly.into());
                }
                self.open_journal()?;
                self.start_writing()?;
                self.unwritable.store(false, SeqCst);
                self.recover()
            }
            _ => Ok(()),
        }
    }

    /// Syncs and marks the image clean, as [`FileSystem::unmount`](crate::vfs::FileSystem::unmount) says.
    pub(super) fn unmount_all(&self) -> Result<()> {
        let ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let _frozen = self.freeze.freeze();
        let is_writable = self.check_writable().is_ok();
        // Inodes that are to be written are not idle.
        self.commit_all().or_else(|error| if is_writable { Err(error) } else { Ok(()) })?;
        if !self.cache.if_idle(|| self.unwritable.store(true, SeqCst)) {
            return Err(Errno::Busy.into());
        }
        self.cache.close();
        if is_writable { self.come_to_rest() } else { Ok(()) }
    }
}

impl<P: Platform> Ext4Inode<P> {
    /// Makes the dirty pages durable; a store that follows faults.
    pub(super) fn flush_dirty(&self) -> Result<()> {
        let (fs, lock) = (&self.fs, self.mapping.exclusive());
        let place = |page| Ok(self.map().look(page, 1)?.0.place());
        if self.mapping.write_back_all(&fs.platform, lock.held(), 0..u64::MAX, place)? > 0 {
            fs.platform.pmem().fence();
        }
        Ok(())
    }
}
