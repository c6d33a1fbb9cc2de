//! The journal of a mounted file system: who may join the running transaction, who waits for a commit.
//!
//! # Locking
//! `state` guards what is in memory and is held for a look-up or the copy of a block. `space` guards the log;
//! who commits holds it until everything is home, and takes `state` inside for a moment. Both are leaves
//! otherwise: nothing else is taken under them. Handles are no lock, but a commit waits for all of them:
//! `dax_sem → handle → mapping entry → …`, and nobody asks for a commit while a handle of his is open.
//!
//! Who waits looks at `state` again each time `changes` has moved on.

use super::buffer::{BlockBuffer, BufferMut};
use super::handle::Handle;
use super::log::LogMap;
use super::space::LogSpace;
use super::superblock::{AllHome, JournalSuper, LogFeatures};
use super::transaction::{JournalState, is_reached};
use crate::atomic::{AtomicBool, AtomicU64};
use crate::error::{Corrupt, Errno, Error, Result};
use crate::lab::Point;
use crate::platform::{Mutex, Platform, Timestamp};
use crate::pmem::Pmem;
use crate::pmem::state::Staged;
use crate::vfs::JournalInfo;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use lock_api::MutexGuard;

/// A transaction that is so old is committed by [`Journal::tick`].
const OLD: i64 = 5;
/// Blocks that a log must have.
const SHORTEST: u32 = 16;
/// What Linux calls an input or output error.
const EIO: i32 = 5;

/// The file system that a journal belongs to, as whoever commits sees it. Called without a lock of the
/// journal.
pub trait JournalOwner<P: Platform>: Send + Sync {
    /// Tells whether [`seal`](Self::seal) would change anything.
    fn is_dirty(&self) -> bool {
        false
    }

    /// Puts into the transaction what was left to its end: what many operations change, and checksums over
    /// it. No other handle is open. It waits for nobody who waits for one.
    ///
    /// # Errors
    /// A block cannot be read: the journal is aborted.
    fn seal(&self, _handle: &Handle<'_, P>) -> Result<()> {
        Ok(())
    }

    /// Does to `block` what `note` says, which an operation [left with it](BufferMut::set_note). No handle is
    /// open, and [`seal`](Self::seal) is done.
    fn finish(&self, _block: BufferMut<'_>, _note: u64) {}

    /// Stores `bytes`, which is a block, at byte `at` of the region, past the cache: in flight until fenced.
    fn write_home(&self, pmem: &P::Pmem, at: u64, bytes: &[u8]) {
        pmem.write_nt(at, bytes);
    }

    /// Is told which blocks may be used again: the transaction that freed them is durable.
    fn reusable(&self, blocks: &[Range<u64>]);
}

impl<P: Platform, F: Fn(&[Range<u64>]) + Send + Sync> JournalOwner<P> for F {
    fn reusable(&self, blocks: &[Range<u64>]) {
        self(blocks);
    }
}

/// The journal of a file system that is mounted for writing.
pub struct Journal<P: Platform> {
    pub(super) platform: Arc<P>,
    pub(super) log: LogMap,
    /// Blocks that a transaction may change: a quarter of the log. More than `limit`, no handle gets.
    pub(super) most: u32,
    pub(super) limit: u32,
    pub(super) owner: Box<dyn JournalOwner<P>>,
    state: Mutex<P, JournalState>,
    pub(super) space: Mutex<P, LogSpace>,
    /// Some block is not home: only then is there something to look up.
    dirty: AtomicBool,
    /// Is counted up when somebody who waits may go on.
    changes: AtomicU64,
}

impl<P: Platform> Journal<P> {
    /// Opens the journal in `log`, whose transactions are all home, for writing. Writes nothing yet.
    ///
    /// # Errors
    /// As [`JournalSuper::read`]; [`Errno::Busy`] if something is to be replayed; a log that is too short, or
    /// whose superblock has no features.
    pub fn open(
        platform: Arc<P>,
        log: LogMap,
        features: LogFeatures,
        owner: Box<dyn JournalOwner<P>>,
    ) -> Result<Self> {
        let mut sb = JournalSuper::read(platform.pmem(), &log)?;
        if sb.start != 0 {
            return Err(Errno::Busy.into());
        }
        sb.set_features(features)?;
        let blocks = sb.ring.len() as u32;
        if blocks < SHORTEST {
            return Err(Corrupt::against("journal", 0, "too short", blocks.into(), SHORTEST.into()).into());
        }
        Ok(Self {
            platform,
            log,
            most: blocks / 4,
            limit: blocks / 2,
            owner,
            state: Mutex::<P, _>::new(JournalState::new(sb.sequence)),
            space: Mutex::<P, _>::new(LogSpace::new(sb)),
            dirty: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, P::Mutex, JournalState> {
        self.state.lock()
    }

    pub(super) fn set_dirty(&self, dirty: bool) {
        self.dirty.store(dirty, Release);
    }

    /// Returns how many revokes a transaction may have: a quarter of the log is theirs.
    pub(super) fn most_revokes(&self) -> usize {
        self.most as usize * (self.log.block_size() as usize / 8 - 3)
    }

    /// Lets everybody who waits look again.
    fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
        self.platform.wake(self.key());
    }

    fn key(&self) -> usize {
        core::ptr::from_ref(&self.changes).addr()
    }

    /// Waits until `ready` has an answer; it is asked under the lock, after each change.
    fn wait_for<R>(&self, mut ready: impl FnMut(&mut JournalState) -> Option<R>) -> R {
        loop {
            let seen = {
                let mut state = self.lock();
                if let Some(answer) = ready(&mut state) {
                    return answer;
                }
                // Whoever changes something counts after it has let go of the lock.
                self.changes.load(SeqCst)
            };
            self.platform.stats().journal_waits.inc();
            self.platform.wait(self.key(), &mut || self.changes.load(SeqCst) == seen);
        }
    }

    /// Joins the running transaction, to change up to `credits` blocks. Waits while it is about to be
    /// committed; commits it if it has no room.
    ///
    /// # Errors
    /// [`Errno::Overflow`] if no transaction has that much room; an aborted journal; what a commit says.
    pub fn start(&self, credits: u32) -> Result<Handle<'_, P>> {
        if credits > self.most {
            return Err(Errno::Overflow.into());
        }
        loop {
            let joined = self.wait_for(|state| match state.failed {
                Some(error) => Some(Err(error)),
                None if state.running.is_locked => None,
                None if state.running.has_room(credits, self.most) => {
                    state.running.handles += 1;
                    state.running.credits += credits;
                    Some(Ok((state.running.sequence, true)))
                }
                None => Some(Ok((state.running.sequence, false))),
            });
            let (sequence, has_joined) = joined?;
            if has_joined {
                self.platform.stats().journal_handles.inc();
                return Ok(Handle::new(self, sequence, credits));
            }
            self.commit(sequence)?;
        }
    }

    /// Returns the handle again that was left open with these credits.
    pub fn resume(&self, credits: u32) -> Handle<'_, P> {
        Handle::new(self, self.lock().running.sequence, credits)
    }

    /// Ends a handle of so many credits.
    pub(super) fn end(&self, credits: u32) {
        let is_waited_for = {
            let mut state = self.lock();
            let running = &mut state.running;
            running.handles -= 1;
            running.credits -= credits;
            running.is_locked && running.handles == 0
        };
        if is_waited_for {
            self.changed();
        }
    }

    /// Returns block `block` as the newest transaction has it; `None` if it is as at home. One load while
    /// nothing is dirty.
    #[inline]
    pub fn latest(&self, block: u64) -> Option<Arc<BlockBuffer>> {
        if self.dirty.load(Acquire) { self.look_up(block) } else { None }
    }

    #[cold]
    fn look_up(&self, block: u64) -> Option<Arc<BlockBuffer>> {
        self.lock().latest(block).cloned()
    }

    /// Makes transaction `sequence` durable, and home. Whoever asks for one that another is committing waits
    /// for that: many share a commit.
    ///
    /// # Errors
    /// An aborted journal, this commit's failure among the reasons.
    pub fn commit(&self, sequence: u32) -> Result<()> {
        let is_ours = self.wait_for(|state| {
            if is_reached(state.committed, sequence) {
                return Some(Ok(false));
            }
            if let Some(error) = state.failed {
                return Some(Err(error));
            }
            if state.is_writing {
                return None;
            }
            // Nobody joins it any more.
            state.running.is_locked = true;
            if state.running.handles != 0 {
                return None;
            }
            state.is_writing = true;
            // For the one that seals it.
            state.running.handles = 1;
            Some(Ok(true))
        })?;
        if !is_ours {
            return Ok(());
        }
        let sequence = self.lock().running.sequence;
        if let Err(error) = self.owner.seal(&Handle::new(self, sequence, 0)) {
            self.abort(error);
            self.lock().is_writing = false;
            self.changed();
            return Err(error);
        }
        self.finish_buffers();
        let frozen = {
            let mut state = self.lock();
            if state.running.is_empty() {
                state.running.is_locked = false;
                state.is_writing = false;
                None
            } else {
                Some(state.freeze())
            }
        };
        self.changed();
        let Some(frozen) = frozen else {
            return Ok(());
        };
        let number = frozen.sequence.into();
        self.platform.at(Point::CommitBegin, 0, number, frozen.buffers.len() as u64);
        let written = self.write(&frozen);
        self.platform.at(Point::CommitEnd, 0, number, written.is_err().into());
        match written {
            // Before anybody else may commit.
            Err(error) => self.abort(error),
            Ok(_) if frozen.freed.is_empty() => {}
            Ok(_) => self.owner.reusable(&frozen.freed),
        }
        let mut state = self.lock();
        state.is_writing = false;
        if let Ok(is_anew) = written {
            state.committed = frozen.sequence;
            state.committing = None;
            if is_anew {
                state.logged = frozen.buffers.keys().copied().collect();
            }
            self.set_dirty(!state.running.buffers.is_empty());
        }
        drop(state);
        self.changed();
        written.map(|_| ())
    }

    /// Has the owner finish the blocks of the running transaction, which no handle is in.
    fn finish_buffers(&self) {
        let mut noted = Vec::new();
        noted.extend(self.lock().running.buffers.values().filter(|buffer| buffer.note() != 0).cloned());
        for buffer in noted {
            let note = buffer.note();
            self.owner.finish(BufferMut::new(buffer), note);
        }
    }

    /// Tells whether transaction `sequence` is durable.
    pub fn is_committed(&self, sequence: u32) -> bool {
        is_reached(self.lock().committed, sequence)
    }

    /// Makes everything durable that handles changed which have ended.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn force_commit(&self) -> Result<()> {
        let running = self.lock().running.sequence;
        self.commit(running)
    }

    /// Commits the running transaction if it began more than 5 seconds ago. For a timer.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn tick(&self, now: Timestamp) -> Result<()> {
        let old = {
            let running = &self.lock().running;
            let is_old = |since: Timestamp| now.secs.saturating_sub(since.secs) >= OLD;
            let is_due = running.since.map_or_else(|| self.owner.is_dirty(), is_old);
            is_due.then_some(running.sequence)
        };
        old.map_or(Ok(()), |sequence| self.commit(sequence))
    }

    /// Makes everything durable and empties the log: nothing is left to replay. For sync, freeze, unmount.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn flush(&self) -> Result<()> {
        self.force_commit()?;
        // Who has this lock knows that everything in the log is home.
        let mut space = self.space.lock();
        if let Some(error) = self.lock().failed {
            return Err(error);
        }
        space.restart(self.platform.pmem(), &self.log, false, Staged::nothing(AllHome));
        Ok(())
    }

    /// Stops the journal for good, because of `error`: everything is refused with it from now on. The log's
    /// superblock is told, once; a commit that is durable is taken home, no other is made.
    pub fn abort(&self, error: Error) {
        let is_first = {
            let mut state = self.lock();
            let is_first = state.failed.is_none();
            state.failed.get_or_insert(error);
            is_first
        };
        if !is_first {
            return;
        }
        self.changed();
        let mut space = self.space.lock();
        if self.platform.pmem().writable() {
            space.sb.errno = -EIO;
            space.restart(self.platform.pmem(), &self.log, false, Staged::nothing(AllHome));
        }
    }

    /// Returns why the journal was aborted, if it was.
    pub fn failed(&self) -> Option<Error> {
        self.lock().failed
    }

    /// Returns what can be seen of it. Waits for a commit that is on its way.
    pub fn info(&self) -> JournalInfo {
        let space = self.space.lock();
        let state = self.lock();
        JournalInfo {
            running: state.running.sequence,
            committed: state.committed,
            handles: state.running.handles,
            credits: state.running.credits,
            buffers: state.running.buffers.len(),
            revokes: state.running.revoked.len(),
            tail: space.sb.start,
            head: space.head,
            free: space.free(),
            blocks: space.sb.ring.len() as u32,
        }
    }
}
