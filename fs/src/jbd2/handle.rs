//! A handle: one operation's part in the running transaction. What a handle changes is in the log as a whole,
//! or not at all.

use super::buffer::{BlockBuffer, BufferMut};
use super::journal::Journal;
use super::transaction::JournalState;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use alloc::sync::Arc;
use core::ops::Range;

/// An operation's part in the running transaction; it ends when this is dropped. Before that, blocks of files
/// that it publishes are durable, past the cache and fenced: the commit may follow at once, on another CPU.
///
/// Nobody opens a second one, and nobody waits for a commit, while he holds one: the commit waits for him.
#[must_use = "it ends when it is dropped"]
pub struct Handle<'j, P: Platform> {
    journal: &'j Journal<P>,
    sequence: u32,
    /// Blocks that it may change.
    credits: u32,
}

impl<'j, P: Platform> Handle<'j, P> {
    pub(super) fn new(journal: &'j Journal<P>, sequence: u32, credits: u32) -> Self {
        Self { journal, sequence, credits }
    }

    /// Returns the number of its transaction, for [`Journal::commit`].
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// Returns its credits and leaves it open: [`Journal::resume`] makes a handle of them again.
    pub fn into_credits(self) -> u32 {
        let credits = self.credits;
        core::mem::forget(self);
        credits
    }

    /// Returns block `block` as the newest transaction has it, to change it in this one.
    ///
    /// # Errors
    /// "journal" if the block is part of the log, or not in the file system; bad memory; a journal that was
    /// aborted; more blocks than the log can take.
    pub fn change(&self, block: u64) -> Result<BufferMut<'_>> {
        self.take(block, |journal, state| match state.latest(block) {
            Some(latest) => Ok(latest.copy()),
            None => {
                let (pmem, len) = (journal.platform.pmem(), journal.log.block_size());
                match pmem.poisoned(block * len, len) {
                    Some(bad) => Err(Error::Poisoned(bad)),
                    None => Ok(BlockBuffer::of_home(pmem, block * len, len)),
                }
            }
        })
    }

    /// Returns block `block`, which was free until now, full of zeros, to change it in this transaction.
    ///
    /// # Errors
    /// As for [`change`](Self::change), bad memory apart.
    pub fn create(&self, block: u64) -> Result<BufferMut<'_>> {
        self.journal.lock().running.buffers.remove(&block);
        self.take(block, |journal, _| Ok(BlockBuffer::zeros(journal.log.block_size())))
    }

    /// Puts a block into the transaction, unless it is there.
    fn take(
        &self,
        block: u64,
        make: impl FnOnce(&Journal<P>, &JournalState) -> Result<BlockBuffer>,
    ) -> Result<BufferMut<'_>> {
        let journal = self.journal;
        let mut state = journal.lock();
        if let Some(error) = state.failed {
            return Err(error);
        }
        if let Some(buffer) = state.running.buffers.get(&block) {
            return Ok(BufferMut::new(buffer.clone()));
        }
        if !journal.log.is_home(block) {
            return Err(Corrupt::with("journal", 0, "metadata in the log", block).into());
        }
        if state.running.buffers.len() >= journal.limit as usize {
            return Err(Errno::Overflow.into());
        }
        let buffer = Arc::new(make(journal, &state)?);
        let running = &mut state.running;
        running.buffers.insert(block, buffer.clone());
        // What is logged again is not to be forgotten.
        running.revoked.remove(&block);
        running.since.get_or_insert_with(|| journal.platform.now_coarse());
        journal.set_dirty(true);
        Ok(BufferMut::new(buffer))
    }

    /// Forgets block `block`, which held metadata and is free from now on: no replay writes to it any more.
    ///
    /// # Errors
    /// A journal that was aborted; more revokes than the log can take.
    pub fn revoke(&self, block: u64) -> Result<()> {
        let journal = self.journal;
        let mut state = journal.lock();
        if let Some(error) = state.failed {
            return Err(error);
        }
        state.running.buffers.remove(&block);
        if !state.logged.contains(&block) || mistake!(journal.platform.lab(), NoRevoke) {
            return Ok(());
        }
        if state.running.revoked.len() >= journal.most_revokes() {
            return Err(Errno::Overflow.into());
        }
        state.running.revoked.insert(block);
        Ok(())
    }

    /// Frees `blocks`: once the transaction is durable, the file system is told that it may use them again.
    pub fn free(&self, blocks: Range<u64>) {
        if mistake!(self.journal.platform.lab(), ReuseBeforeCommit) {
            return self.journal.owner.reusable(&[blocks]);
        }
        self.journal.lock().running.freed.push(blocks);
    }

    /// Asks for leave to change `credits` more blocks. False if the transaction has no room for them: then
    /// this handle is to end, and another to begin, with everything as a crash may find it.
    pub fn extend(&mut self, credits: u32) -> bool {
        let mut state = self.journal.lock();
        let has_room = state.running.has_room(credits, self.journal.most);
        if has_room {
            state.running.credits += credits;
            self.credits += credits;
        }
        has_room
    }
}

impl<P: Platform> Drop for Handle<'_, P> {
    fn drop(&mut self) {
        self.journal.end(self.credits);
    }
}
