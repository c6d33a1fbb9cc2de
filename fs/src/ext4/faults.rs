//! What a write fault asks of a file: a transaction, blocks for holes, zeros for what was never written.
//!
//! ```text
//! begin ─► (entry) ─► fresh: a block ─► zeroed; FENCE ─► publish: the tree leads to it ─► mapped ─► end
//! ```
//!
//! The zeros are durable before the tree leads to them, so before a commit can: no crash shows what the block
//! held. Nothing but the entry's lock, or `dax_sem`, is held while they are stored.

use super::disk::extent::DiskExtent;
use super::fs::Ext4Shared;
use super::inode::Ext4Inode;
use super::operation::Ext4Operation;
use crate::error::{Errno, Result};
use crate::ext::layout::{APPEND_FL, IMMUTABLE_FL};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{AllocOk, Backing, Thawed, Transaction, Transactions};
use core::mem::ManuallyDrop;

impl<P: Platform> Transactions for Ext4Inode<P> {
    fn end(&self, number: u64) {
        drop(Ext4Operation::resume(&self.fs, number as u32));
    }
}

/// So few free blocks are no reason yet to believe that there is one for a fault.
const FEW: u64 = 1024;

impl<P: Platform> Ext4Shared<P> {
    /// Commits, if what the running transaction frees may be all that is free for `pages`: blocks are not
    /// used again before that.
    ///
    /// # Errors
    /// The journal was given up.
    fn commit_if_short(&self, pages: u64) -> Result<()> {
        let is_short = || self.groups.free().0 < self.sb.r_blocks_count + pages + FEW;
        if self.groups.has_pending() && is_short() { self.commit_all() } else { Ok(()) }
    }
}

impl<P: Platform> Ext4Inode<P> {
    /// Begins the operation of a fault that fills pages, and leaves it open.
    ///
    /// # Errors
    /// The journal was given up.
    pub(super) fn begin_fault(&self, pages: u64) -> Result<Transaction<'_>> {
        // Whoever holds a transaction cannot wait for a commit.
        self.fs.commit_if_short(pages)?;
        let op = self.fs.begin(self.map().credits_to_fill())?;
        Ok(Transaction::new(self, op.into_credits().into()))
    }

    /// Fills the pages, as [`Inode::look_up_for_write`](crate::vfs::Inode::look_up_for_write).
    pub(super) fn fill_for_fault(
        &self,
        _ok: AllocOk<'_>,
        transaction: &Transaction<'_>,
        page: u64,
        pages: u64,
    ) -> Result<Backing> {
        let (backing, count) = self.map().look(page, pages)?;
        if backing.is_mapped() && count >= pages {
            return Ok(self.with_flags(backing));
        }
        let credits = transaction.number().ok_or(Errno::ReadOnly)? as u32;
        // It is the transaction's to end.
        let op = &*ManuallyDrop::new(Ext4Operation::resume(&self.fs, credits)?);
        let lblk = u32::try_from(page).map_err(|_| Errno::FileTooBig)?;
        let fresh = match pages {
            1 => self.map().fresh(op, lblk, 1)?,
            _ => self.map().fresh_run(op, lblk)?,
        };
        match fresh {
            Some(run) => self.fill_with_zeros(op, &run),
            // In pieces, or there is no such space.
            None => Ok(Backing::HOLE),
        }
    }

    fn fill_with_zeros(&self, op: &Ext4Operation<'_, P>, run: &DiskExtent) -> Result<Backing> {
        let (pmem, sb) = (self.fs.platform.pmem(), &self.fs.sb);
        let (place, len) = (sb.byte(run.block), sb.byte(run.len.into()));
        pmem.clear_poison(place, len);
        pmem.zero_nt(place, len);
        pmem.fence();
        self.map().publish(op, run)?;
        Ok(Backing::mapped(place).new().dirty())
    }

    /// Returns `backing` with the flag DIRTY, if a crash may lose the way there.
    #[inline]
    pub(super) fn with_flags(&self, backing: Backing) -> Backing {
        if self.is_data_durable() { backing } else { backing.dirty() }
    }

    /// Lets a write fault begin, as [`Inode::start_write_fault`](crate::vfs::Inode::start_write_fault).
    pub(super) fn let_fault_write(&self) -> Result<Thawed<'_, P>> {
        let thawed = match mistake!(self.fs.platform.lab(), IgnoreFreeze) {
            false => self.fs.start_change()?,
            true => {
                self.fs.check_writable()?;
                Thawed::always()
            }
        };
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        self.touch_for_fault();
        Ok(thawed)
    }
}
