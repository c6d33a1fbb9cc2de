//! A fair reader-writer lock that sleeps, and whose readers on different CPUs share no cache line, or no
//! more than it has slots for.
//!
//! Readers count themselves in one of its slots, by CPU; a reader that has moved may leave by another slot,
//! only the sum counts. Nothing else is written by them, and `writer` is only read. A writer takes its
//! ticket, raises `writer` and waits until the sum is 0.
//!
//! # Fairness
//! Writers go by tickets. A reader that finds `writer` raised takes its count back, *in the same slot* (a sum
//! that is read slot by slot must never see a count go that it did not see come), and queues. A writer that
//! leaves lets in every reader that queued meanwhile: it counts for them, all in the first slot, before it
//! lowers `writer`. So a reader waits for one writer and for those readers that were there, and a writer for
//! the readers that were there.
//!
//! # Waiting
//! Spin a little, answering shootdowns, then sleep: readers on the address of `phase`, writers on that of
//! `serving` or, for the readers to go, of `writer`.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use crate::atomic::{AtomicI64, AtomicU32};
use crate::{LockMachine, Short, wait};

/// Slots, if nobody says how many. loom goes through every order of looks at them: two are enough to be
/// different ones.
pub const SLOTS: usize = if cfg!(loom) { 2 } else { 8 };

/// Nobody writes, or wants to.
const NONE: u32 = 0;
/// A writer is in, or waits for the readers to go.
const WRITER: u32 = 1;
/// A writer is in, or waits for the readers to go; and readers queue.
const QUEUED: u32 = 2;

/// Readers that came minus readers that left, on some of the CPUs.
#[repr(align(64))]
struct ReaderCount(AtomicI64);

/// The distributed reader-writer lock, as `lock_api` wants it. With more slots, readers are in each other's
/// way less, a writer looks at more, and the lock is longer, by 64 bytes each.
#[repr(C, align(64))]
pub struct RawRwLock<M: LockMachine, const N: usize = SLOTS> {
    writer: AtomicU32,
    /// The next writer's ticket, and whose turn it is.
    next: AtomicU32,
    serving: AtomicU32,
    /// Rises when queued readers are let in.
    phase: AtomicU32,
    /// Readers that queue.
    queued: M::Queued,
    slots: [ReaderCount; N],
    machine: PhantomData<fn(M)>,
}

// SAFETY: a writer is in only after it has raised `writer` and then seen every slot's sum at 0; a reader that
// counts itself before that is in the sum, one that counts itself after sees `writer`. Both sides order store
// and load by sequential consistency.
unsafe impl<M: LockMachine, const N: usize> lock_api::RawRwLock for RawRwLock<M, N> {
    const INIT: Self = Self {
        writer: AtomicU32::new(NONE),
        next: AtomicU32::new(0),
        serving: AtomicU32::new(0),
        phase: AtomicU32::new(0),
        queued: M::Queued::NEW,
        slots: [const { ReaderCount(AtomicI64::new(0)) }; N],
        machine: PhantomData,
    };
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock_shared(&self) {
        let slot = self.slot();
        slot.fetch_add(1, Ordering::SeqCst);
        if self.writer.load(Ordering::SeqCst) != NONE {
            self.queue(slot);
        }
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        let slot = self.slot();
        slot.fetch_add(1, Ordering::SeqCst);
        if self.writer.load(Ordering::SeqCst) == NONE {
            return true;
        }
        self.leave(slot);
        false
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        self.leave(self.slot());
    }

    #[inline]
    fn lock_exclusive(&self) {
        // Who steps down must see it, or this one sees that it has its turn: each changes its word, then
        // looks at the other.
        let ticket = self.next.fetch_add(1, Ordering::SeqCst);
        if self.serving.load(Ordering::Acquire) != ticket {
            self.await_turn(ticket);
        }
        self.writer.store(WRITER, Ordering::SeqCst);
        if self.readers() != 0 {
            self.await_readers();
        }
    }

    fn try_lock_exclusive(&self) -> bool {
        let turn = self.serving.load(Ordering::Acquire);
        if self
            .next
            .compare_exchange(turn, turn.wrapping_add(1), Ordering::SeqCst, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        self.writer.store(WRITER, Ordering::SeqCst);
        if self.readers() == 0 {
            return true;
        }
        self.step_down();
        false
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        self.step_down();
    }

    fn is_locked(&self) -> bool {
        self.writer.load(Ordering::Relaxed) != NONE || self.readers() != 0
    }

    fn is_locked_exclusive(&self) -> bool {
        self.writer.load(Ordering::Relaxed) != NONE
    }
}

impl<M: LockMachine, const N: usize> RawRwLock<M, N> {
    /// Makes its words known to loom, before there are threads.
    #[cfg(loom)]
    pub fn prepare(&self) {
        [&self.writer, &self.next, &self.serving, &self.phase].into_iter().for_each(AtomicU32::prepare);
        self.slots.iter().for_each(|slot| slot.0.prepare());
    }

    #[inline]
    fn slot(&self) -> &AtomicI64 {
        &self.slots[if N == 1 { 0 } else { M::cpu() % N }].0
    }

    #[inline]
    fn readers(&self) -> i64 {
        self.slots.iter().fold(0, |sum, slot| sum.wrapping_add(slot.0.load(Ordering::SeqCst)))
    }

    /// Lets a reader go; the last one wakes the writer that waits for it.
    #[inline]
    fn leave(&self, slot: &AtomicI64) {
        slot.fetch_sub(1, Ordering::SeqCst);
        if self.writer.load(Ordering::SeqCst) != NONE {
            M::wake(key(&self.writer));
        }
    }

    /// Queues a reader that has counted itself in `slot` and found a writer; returns when the reader is in.
    #[cold]
    fn queue(&self, slot: &AtomicI64) {
        let mut slot = slot;
        loop {
            self.leave(slot);
            let phase = {
                let mut queued = self.queued.lock();
                let now = self.writer.load(Ordering::SeqCst);
                if now != NONE {
                    // Under the lock only the writer itself changes it, from WRITER to NONE.
                    let mark = Ordering::SeqCst;
                    if now == QUEUED || self.writer.compare_exchange(WRITER, QUEUED, mark, mark).is_ok() {
                        *queued += 1;
                        Some(self.phase.load(Ordering::Relaxed))
                    } else {
                        None
                    }
                } else {
                    None
                }
            };
            if let Some(phase) = phase {
                // The writer that leaves counts for us.
                let waiting = || self.phase.load(Ordering::SeqCst) == phase;
                if !wait::spin_until::<M>(|| !waiting()) {
                    wait::wait_while::<M>(key(&self.phase), waiting);
                }
                return;
            }
            // The writer has gone: once more.
            slot = self.slot();
            slot.fetch_add(1, Ordering::SeqCst);
            if self.writer.load(Ordering::SeqCst) == NONE {
                return;
            }
        }
    }

    #[cold]
    fn await_turn(&self, ticket: u32) {
        let waiting = || self.serving.load(Ordering::SeqCst) != ticket;
        if !wait::spin_until::<M>(|| !waiting()) {
            wait::wait_while::<M>(key(&self.serving), waiting);
        }
    }

    #[cold]
    fn await_readers(&self) {
        let waiting = || self.readers() != 0;
        if !wait::spin_until::<M>(|| !waiting()) {
            wait::wait_while::<M>(key(&self.writer), waiting);
        }
    }

    /// Lets the writer go, or give up: queued readers are in, then the next writer has its turn.
    #[inline]
    fn step_down(&self) {
        if self.writer.compare_exchange(WRITER, NONE, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            self.let_in();
        }
        let turn = self.serving.load(Ordering::Relaxed).wrapping_add(1);
        self.serving.store(turn, Ordering::SeqCst);
        if self.next.load(Ordering::SeqCst) != turn {
            M::wake(key(&self.serving));
        }
    }

    #[cold]
    fn let_in(&self) {
        {
            let mut queued = self.queued.lock();
            self.slots[0].0.fetch_add(core::mem::take(&mut *queued), Ordering::SeqCst);
            self.phase.fetch_add(1, Ordering::SeqCst);
            self.writer.store(NONE, Ordering::SeqCst);
        }
        M::wake(key(&self.phase));
    }
}

fn key<T>(word: &T) -> usize {
    core::ptr::from_ref(word) as usize
}
