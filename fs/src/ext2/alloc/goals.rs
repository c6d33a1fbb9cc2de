//! Where an inode's next blocks are to be looked for, by window: `map::place` says how it is used.

use super::runs::RUN;
use crate::atomic::{AtomicU64, AtomicUsize};
use crate::platform::{Mutex, Platform};
use core::sync::atomic::Ordering::Relaxed;
use lock_api::MutexGuard;

/// Goals that an inode has.
const GOALS: usize = 4;

/// Where to look for the next blocks of an inode, by window.
pub(in crate::ext2) struct Goals<P: Platform> {
    slots: [GoalSlot<P>; GOALS],
    /// The one to give to another window next, where none is free.
    next: AtomicUsize,
}

struct GoalSlot<P: Platform> {
    /// The window that it is for, plus one: a hint, read without the mutex.
    window: AtomicU64,
    goal: Mutex<P, Goal>,
}

impl<P: Platform> Goals<P> {
    pub(in crate::ext2) fn new() -> Self {
        let slot = |_| GoalSlot { window: AtomicU64::new(0), goal: Mutex::<P, _>::new(Goal::default()) };
        Self { slots: core::array::from_fn(slot), next: AtomicUsize::new(0) }
    }

    /// Locks the goal for the window of `lblk`: mostly no other window's, though it may be any other's all
    /// the same.
    #[inline]
    pub(in crate::ext2) fn lock(&self, lblk: u64) -> MutexGuard<'_, P::Mutex, Goal> {
        let tag = lblk / u64::from(RUN) + 1;
        match self.slots.iter().find(|slot| slot.window.load(Relaxed) == tag) {
            Some(slot) => slot.goal.lock(),
            None => self.lock_new(tag),
        }
    }

    /// Gives a goal to another window: one that keeps no run, if there is one.
    #[cold]
    fn lock_new(&self, tag: u64) -> MutexGuard<'_, P::Mutex, Goal> {
        for slot in &self.slots {
            if let Some(goal) = slot.goal.try_lock().filter(|goal| goal.run == 0) {
                slot.window.store(tag, Relaxed);
                return goal;
            }
        }
        let slot = &self.slots[self.next.fetch_add(1, Relaxed) % GOALS];
        let goal = slot.goal.lock();
        slot.window.store(tag, Relaxed);
        goal
    }

    /// Calls `f` with each, locked, one after the other.
    pub(in crate::ext2) fn for_each(&self, mut f: impl FnMut(&mut Goal)) {
        for slot in &self.slots {
            f(&mut slot.goal.lock());
        }
    }

    /// Returns whether no run is kept, and nobody is just looking.
    pub(in crate::ext2) fn are_idle(&self) -> bool {
        self.slots.iter().all(|slot| slot.goal.try_lock().is_some_and(|goal| goal.run == 0))
    }
}

/// Where to look for the next block.
#[derive(Debug, Default)]
pub(in crate::ext2) struct Goal {
    /// The logical block that was filled last, and its block; 0 if there was none yet.
    pub lblk: u64,
    pub block: u32,
    /// The indirect block that was taken last; 0 if there was none yet.
    pub table: u32,
    /// The window that is being filled, and the first block of the run kept for it; 0 if none is.
    pub window: u64,
    pub run: u32,
}
