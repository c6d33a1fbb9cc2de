//! The ring of the log's blocks: where the next one goes, and how many are free.

use super::log::LogMap;
use super::superblock::{AllHome, JournalSuper};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};

/// The ring of the log's blocks, and how much of it is in use.
pub(super) struct LogSpace {
    pub(super) sb: JournalSuper,
    /// Where the next block goes.
    pub(super) head: u32,
    /// Blocks from `sb.start` to there.
    live: u32,
    /// The number of the next transaction.
    pub(super) sequence: u32,
}

impl LogSpace {
    pub(super) fn new(sb: JournalSuper) -> Self {
        Self { head: sb.ring.start, live: 0, sequence: sb.sequence, sb }
    }

    /// Returns how many blocks are free.
    pub(super) fn free(&self) -> u32 {
        self.sb.ring.len() as u32 - self.live
    }

    /// Takes the next block.
    pub(super) fn take(&mut self) -> u32 {
        let block = self.head;
        self.head = self.sb.after(block, 1);
        self.live += 1;
        block
    }

    /// Empties the log; `goes_on`: the next transaction is about to be written.
    pub(super) fn restart(
        &mut self,
        pmem: &impl Pmem,
        log: &LogMap,
        goes_on: bool,
        home: Staged<AllHome, Clean>,
    ) {
        let start = if goes_on { self.head } else { 0 };
        self.sb.restart(pmem, log, self.live, (self.sequence, start), home);
        self.live = 0;
        pmem.stats().journal_checkpoints.inc();
    }
}
