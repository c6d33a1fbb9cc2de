//! The journal that a crash left, of an ext3 or ext4: found by its inode's map, read, and replayed before
//! anything else is believed.

use super::inode::bad_inode;
use super::superblock::{RawSuperBlock, write_block};
use crate::error::Result;
use crate::jbd2::{self, LogMap, LogRun, Recovery};
use crate::pmem::Pmem;
use crate::vfs::Extent;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{ControlFlow, Range};

/// Calls `f` with each run of blocks of inode `ino`, which is the file system's own and has no hole, in
/// order. `extents` calls what it is given with the extents and holes of all of the inode, and a block has 2
/// to the power `block_bits` bytes.
///
/// # Errors
/// What `extents` answers; a hole, and then `why`.
pub(crate) fn runs(
    ino: u32,
    why: &'static str,
    block_bits: u32,
    extents: impl FnOnce(&mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()>,
    f: &mut dyn FnMut(Range<u64>),
) -> Result<()> {
    let mut hole = None;
    extents(&mut |extent| match extent.place() {
        Some(place) => {
            f(place >> block_bits..(place + extent.len) >> block_bits);
            ControlFlow::Continue(())
        }
        None => {
            hole = Some(extent.offset >> block_bits);
            ControlFlow::Break(())
        }
    })?;
    hole.map_or(Ok(()), |lblk| Err(bad_inode(ino, why, lblk)))
}

/// A journal, looked through.
pub(crate) struct FoundJournal {
    pub log: LogMap,
    pub recovery: Recovery,
}

/// What a mount did about a journal that was not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Transactions.
    pub transactions: u32,
    /// Blocks, each counted once.
    pub blocks: u64,
    /// They are at home. If not, they are read from the journal, for the mount changes nothing.
    pub at_home: bool,
}

impl Replayed {
    /// Returns what is done with all that `recovery` holds.
    pub(crate) fn new(recovery: &Recovery, at_home: bool) -> Self {
        Self { transactions: recovery.transactions(), blocks: recovery.blocks() as u64, at_home }
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, blocks, at_home } = self;
        let how = if *at_home { "replayed" } else { "read as if it were replayed" };
        write!(f, "the journal was {how}: transactions {transactions}, blocks {blocks}")
    }
}

impl FoundJournal {
    /// Looks through the journal of a file system with so many blocks. `runs` calls what it is given with
    /// each run of the journal's blocks, in order.
    ///
    /// # Errors
    /// What `runs` answers; the journal is damaged, or needs what is not known here.
    pub(crate) fn look(
        pmem: &impl Pmem,
        (block_bits, blocks_count): (u32, u64),
        runs: impl FnOnce(&mut dyn FnMut(Range<u64>)) -> Result<()>,
    ) -> Result<Self> {
        let (mut found, mut log) = (Vec::new(), 0);
        runs(&mut |run| {
            // A log has no more blocks than 32 bits count: LogMap sees to that.
            let count = u32::try_from(run.end - run.start).unwrap_or(u32::MAX);
            found.push(LogRun { log, block: run.start, count });
            log = log.saturating_add(count);
        })?;
        let log = LogMap::new(found, 1 << block_bits, blocks_count)?;
        let recovery = jbd2::scan(pmem, &log)?;
        Ok(Self { log, recovery })
    }

    /// Replays it, and says in the superblock that it is replayed. Durable on return. Whatever was read of
    /// the file system before has to be read again, its superblock too.
    ///
    /// # Errors
    /// It has changes that only Linux and e2fsck know how to replay; a memory error in it.
    pub(crate) fn replay(self, pmem: &impl Pmem) -> Result<Replayed> {
        let replayed = Replayed::new(&self.recovery, true);
        let size = self.log.block_size();
        self.recovery.replay(pmem, &self.log, &mut |block, bytes| write_block(pmem, block * size, bytes))?;
        RawSuperBlock::load(pmem)?.with_lost_checksum().store_recovered(pmem);
        Ok(replayed)
    }
}
