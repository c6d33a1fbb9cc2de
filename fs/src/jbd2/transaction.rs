//! Transactions in memory: the one that runs, which handles join, and the one that is being committed.

use super::buffer::BlockBuffer;
use crate::error::Error;
use crate::platform::Timestamp;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// The transaction that handles join.
#[derive(Debug)]
pub(super) struct RunningTransaction {
    pub(super) sequence: u32,
    /// The blocks that it changes.
    pub(super) buffers: BTreeMap<u64, Arc<BlockBuffer>>,
    /// Blocks whose images in the log count no more.
    pub(super) revoked: BTreeSet<u64>,
    /// Blocks that it frees.
    pub(super) freed: Vec<Range<u64>>,
    /// Handles that are open, and the blocks that they may still change.
    pub(super) handles: u32,
    pub(super) credits: u32,
    /// It is to be committed: no handle joins it any more.
    pub(super) is_locked: bool,
    /// When it changed its first block.
    pub(super) since: Option<Timestamp>,
}

/// A transaction that nobody changes any more.
#[derive(Debug)]
pub(super) struct FrozenTransaction {
    pub(super) sequence: u32,
    pub(super) buffers: BTreeMap<u64, Arc<BlockBuffer>>,
    pub(super) revoked: BTreeSet<u64>,
    pub(super) freed: Vec<Range<u64>>,
}

/// What a journal's lock guards.
#[derive(Debug)]
pub(super) struct JournalState {
    pub(super) running: RunningTransaction,
    /// The one that is being committed, and whose blocks are not all home.
    pub(super) committing: Option<Arc<FrozenTransaction>>,
    /// Somebody is writing that one.
    pub(super) is_writing: bool,
    /// The last transaction that is durable.
    pub(super) committed: u32,
    /// Blocks with an image in the log that a recovery would see.
    pub(super) logged: BTreeSet<u64>,
    /// Why nothing works any more.
    pub(super) failed: Option<Error>,
}

/// Returns true if transaction `sequence` is `other` or after it: numbers go round.
pub(super) fn is_reached(sequence: u32, other: u32) -> bool {
    sequence.wrapping_sub(other) as i32 >= 0
}

impl RunningTransaction {
    pub(super) fn new(sequence: u32) -> Self {
        Self {
            sequence,
            buffers: BTreeMap::new(),
            revoked: BTreeSet::new(),
            freed: Vec::new(),
            handles: 0,
            credits: 0,
            is_locked: false,
            since: None,
        }
    }

    /// Returns true if it changes nothing so far.
    pub(super) fn is_empty(&self) -> bool {
        self.buffers.is_empty() && self.revoked.is_empty() && self.freed.is_empty()
    }

    /// Returns true if `credits` more blocks are within `most`. (A block that an open handle has changed
    /// counts twice.)
    pub(super) fn has_room(&self, credits: u32, most: u32) -> bool {
        let used = self.buffers.len() as u32;
        used.saturating_add(self.credits).saturating_add(credits) <= most
    }
}

impl JournalState {
    pub(super) fn new(sequence: u32) -> Self {
        Self {
            running: RunningTransaction::new(sequence),
            committing: None,
            is_writing: false,
            committed: sequence.wrapping_sub(1),
            logged: BTreeSet::new(),
            failed: None,
        }
    }

    /// Returns a block as the newest transaction has it, if one that is not home has it.
    pub(super) fn latest(&self, block: u64) -> Option<&Arc<BlockBuffer>> {
        let committing = || self.committing.as_ref()?.buffers.get(&block);
        self.running.buffers.get(&block).or_else(committing)
    }

    /// Ends the running transaction, which no handle is in, and begins the next one.
    pub(super) fn freeze(&mut self) -> Arc<FrozenTransaction> {
        let next = RunningTransaction::new(self.running.sequence.wrapping_add(1));
        let RunningTransaction { sequence, buffers, revoked, freed, .. } =
            core::mem::replace(&mut self.running, next);
        let frozen = Arc::new(FrozenTransaction { sequence, buffers, revoked, freed });
        self.logged.extend(frozen.buffers.keys());
        self.committing = Some(frozen.clone());
        self.is_writing = true;
        frozen
    }
}
