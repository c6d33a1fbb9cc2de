//! A commit: from buffers in memory to the log, and home.
//!
//! 1. The log gets room. Whoever commits writes everything home before the next one commits, so all that is
//!    in the log is home: if room is short, the log starts anew behind it.
//! 2. Revokes, descriptors and images go to the log, past the cache, and the commit block but for its magic
//!    number. **Fence.**
//! 3. The magic number, which one store brings with the block's type: a crash cannot tear it, as it could the
//!    block. **Fence**: the transaction is durable.
//! 4. The buffers go home, past the cache. **Fence.** From here on readers look there.
//!
//! Blocks of files that the transaction publishes are durable before it: their handle saw to that.

use super::buffer::BlockBuffer;
use super::format::*;
use super::journal::Journal;
use super::space::LogSpace;
use super::superblock::AllHome;
use super::transaction::FrozenTransaction;
use crate::error::{Errno, Result};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The fact that a transaction is in the log, but for the start of its commit block, which is to be at this
/// byte offset.
struct Logged {
    commit: u64,
}
/// The fact that it is in the log as a whole.
struct LoggedWhole;

/// A transaction on its way to the log.
struct Committer<'a, P: Platform> {
    journal: &'a Journal<P>,
    space: &'a mut LogSpace,
    format: LogFormat,
    transaction: &'a FrozenTransaction,
    /// A block of the log.
    block: Vec<u8>,
}

impl<P: Platform> Journal<P> {
    /// Makes a transaction durable and takes it home; only one at a time. True if it is the first of a log
    /// that starts anew.
    ///
    /// # Errors
    /// Nothing of it is durable: the journal was aborted, or cannot be written.
    pub(super) fn write(&self, transaction: &FrozenTransaction) -> Result<bool> {
        let (pmem, lab) = (self.platform.pmem(), self.platform.lab());
        if !pmem.writable() {
            return Err(Errno::ReadOnly.into());
        }
        let mut space = self.space.lock();
        let format = space.sb.format();
        let block = alloc::vec![0; format.block_size];
        let mut committer = Committer { journal: self, space: &mut space, format, transaction, block };
        let is_anew = committer.make_room()?;
        committer.write_revokes();
        committer.write_images();
        let logged = committer.write_commit();
        let logged = if mistake!(lab, CommitBeforeData) {
            Staged::nothing(logged.unfenced())
        } else {
            logged.fence(pmem)
        };
        if let Some(error) = self.failed() {
            return Err(error);
        }
        let committed = committer.commit(logged);
        let committed = if mistake!(lab, NoCommitFence) {
            Staged::nothing(committed.unfenced())
        } else {
            committed.fence(pmem)
        };
        committer.space.sequence = transaction.sequence.wrapping_add(1);
        if mistake!(lab, TailTooEarly) {
            committer.space.restart(pmem, &self.log, true, Staged::nothing(AllHome));
        }
        committer.write_home(committed).fence(pmem).into_fact();
        pmem.stats().journal_commits.inc();
        Ok(is_anew)
    }
}

impl<P: Platform> Committer<'_, P> {
    fn pmem(&self) -> &P::Pmem {
        self.journal.platform.pmem()
    }

    fn tags_in_descriptor(&self) -> usize {
        (self.format.end() - HEADER - UUID_LEN) / self.format.tag_len()
    }

    fn records_in_block(&self) -> usize {
        (self.format.end() - REVOKE_RECORDS) / self.format.record_len()
    }

    /// Sees to room for the transaction. True if the log starts anew with it.
    fn make_room(&mut self) -> Result<bool> {
        let (images, revokes) = (self.transaction.buffers.len(), self.transaction.revoked.len());
        let descriptors = images.div_ceil(self.tags_in_descriptor());
        let needed = images + descriptors + revokes.div_ceil(self.records_in_block()) + 1;
        if needed > self.space.sb.ring.len() {
            return Err(Errno::Overflow.into());
        }
        let is_anew = self.space.sb.start == 0 || needed > self.space.free() as usize;
        if is_anew {
            // The transaction before this one was taken home by whoever committed it.
            let journal = self.journal;
            self.space.restart(journal.platform.pmem(), &journal.log, true, Staged::nothing(AllHome));
        }
        Ok(is_anew)
    }

    /// Writes what is in `block` to block `log` of the log, past the cache.
    fn write_block(&self, log: u32) {
        let at = self.journal.log.offset(log);
        self.pmem().clear_poison(at, self.block.len() as u64);
        self.pmem().write_nt(at, &self.block);
        self.pmem().stats().journal_blocks.inc();
    }

    fn write_revokes(&mut self) {
        let transaction = self.transaction;
        let mut left = transaction.revoked.iter().copied().peekable();
        while left.peek().is_some() {
            let records = left.by_ref().take(self.records_in_block());
            self.format.put_revokes(&mut self.block, transaction.sequence, records);
            let log = self.space.take();
            self.write_block(log);
        }
        self.pmem().stats().journal_revokes.add(transaction.revoked.len() as u64);
    }

    fn write_images(&mut self) {
        let transaction = self.transaction;
        let mut left = transaction.buffers.iter().peekable();
        while left.peek().is_some() {
            let descriptor = self.space.take();
            let mut tags = Vec::new();
            for (&block, buffer) in left.by_ref().take(self.tags_in_descriptor()) {
                tags.push(self.write_image(block, buffer));
            }
            self.format.put_descriptor(&mut self.block, transaction.sequence, &tags);
            self.write_block(descriptor);
        }
    }

    /// Writes one image; returns what the descriptor is to say of it.
    fn write_image(&mut self, block: u64, buffer: &Arc<BlockBuffer>) -> Tag {
        buffer.copy_to(&mut self.block);
        let mut flags = 0;
        if be32(&self.block, 0) == MAGIC {
            self.block[..4].fill(0);
            flags = ESCAPED;
        }
        let checksum = match self.format.has_tails() {
            true => self.format.image_checksum(self.transaction.sequence, &self.block),
            false => 0,
        };
        let log = self.space.take();
        self.write_block(log);
        Tag { block, flags, checksum }
    }

    /// Writes the commit block without its start.
    fn write_commit(&mut self) -> Staged<Logged, InFlight> {
        let now = self.journal.platform.now();
        self.format.put_commit(&mut self.block, self.transaction.sequence, now);
        self.block[..8].fill(0);
        let log = self.space.take();
        self.write_block(log);
        let commit = self.journal.log.offset(log);
        Staged::streamed(Logged { commit }, commit, self.block.len() as u64)
    }

    /// Stores the start of the commit block.
    fn commit(&self, logged: Staged<Logged, Clean>) -> Staged<LoggedWhole, InFlight> {
        let at = logged.fact().commit;
        self.pmem().store_u64(at, u64::from(COMMIT.swap_bytes()) << 32 | u64::from(MAGIC.swap_bytes()));
        Staged::stored(LoggedWhole, at, 8).flush(self.pmem())
    }

    fn write_home(&mut self, _committed: Staged<LoggedWhole, Clean>) -> Staged<AllHome, InFlight> {
        let len = self.block.len() as u64;
        for (&home, buffer) in &self.transaction.buffers {
            buffer.copy_to(&mut self.block);
            self.pmem().clear_poison(home * len, len);
            self.journal.owner.write_home(self.pmem(), home * len, &self.block);
        }
        Staged::streamed(AllHome, 0, 0)
    }
}
