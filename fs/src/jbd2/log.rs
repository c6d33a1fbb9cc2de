//! Where the log's blocks are: the journal's inode is a file, which may lie in several pieces.

use crate::error::{Corrupt, Result};
use alloc::vec::Vec;
use core::ops::Range;

const WHAT: &str = "journal";

/// A piece of the log that lies in one piece in the file system, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRun {
    /// Its first block, counted in the log.
    pub log: u32,
    /// The block of the file system which that is.
    pub block: u64,
    /// Blocks in it.
    pub count: u32,
}

/// Where each block of a log is. It lies in the file system as a whole, and nowhere twice.
#[derive(Clone, Debug)]
pub struct LogMap {
    block_size: u64,
    blocks_count: u64,
    /// In the log's order, without a gap.
    runs: Vec<LogRun>,
    /// The same blocks, in the file system's order.
    home: Vec<Range<u64>>,
}

impl LogMap {
    /// Returns the log that consists of `runs`, in a file system of so many blocks.
    ///
    /// # Errors
    /// "journal", with the number of a run that leaves a gap, is empty, reaches out of the file system, or
    /// holds a block of another run.
    ///
    /// # Panics
    /// If the file system is larger than its region: who calls has checked that.
    pub fn new(runs: Vec<LogRun>, block_size: u64, blocks_count: u64) -> Result<Self> {
        let mut next = 0_u32;
        for (number, run) in (0..).zip(&runs) {
            let wrong = |why, value| Corrupt::with(WHAT, number, why, value);
            if run.log != next || run.count == 0 {
                return Err(wrong("its blocks have a gap", next.into()).into());
            }
            next = run.log.checked_add(run.count).ok_or(wrong("it is too long", run.count.into()))?;
            let end = run.block.checked_add(run.count.into());
            if end.is_none_or(|end| end > blocks_count) {
                return Err(wrong("blocks beyond the end of the file system", run.block).into());
            }
        }
        if runs.is_empty() {
            return Err(Corrupt::new(WHAT, 0, "it has no blocks").into());
        }
        let mut home: Vec<_> = runs.iter().map(|run| run.block..run.block + u64::from(run.count)).collect();
        home.sort_by_key(|range| range.start);
        if let Some(twice) = home.windows(2).find(|pair| pair[0].end > pair[1].start) {
            return Err(Corrupt::with(WHAT, 0, "a block is in it twice", twice[1].start).into());
        }
        Ok(Self { block_size, blocks_count, runs, home })
    }

    /// Returns the bytes in a block.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Returns how many blocks it has.
    pub fn blocks(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.log + run.count)
    }

    /// Returns true if block `block` of the file system may be written home: it is there, and no part of the
    /// log.
    pub fn is_home(&self, block: u64) -> bool {
        let after = self.home.partition_point(|range| range.start <= block);
        let in_log = after.checked_sub(1).is_some_and(|before| self.home[before].contains(&block));
        block < self.blocks_count && !in_log
    }

    /// Returns the byte offset in the region of block `log` of the log.
    ///
    /// # Panics
    /// If the log is shorter.
    pub(super) fn offset(&self, log: u32) -> u64 {
        let run = &self.runs[self.runs.partition_point(|run| run.log <= log) - 1];
        assert!(log - run.log < run.count, "block {log} of a log of {}", self.blocks());
        (run.block + u64::from(log - run.log)) * self.block_size
    }
}
