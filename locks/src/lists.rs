//! Waiting for something to happen: lists of tasks, found by the address of what they wait for.
//!
//! A waiter counts itself and looks at its condition once more under its list's lock. Whoever changes the
//! condition wakes after: either it sees the count and finds the waiter on the list, or the waiter has seen
//! the change. No wake-up is lost.
//!
//! Lock order: a list's lock, then whatever the condition takes, which must wait for nothing.

use core::sync::atomic::Ordering;

use crate::Short;
use crate::atomic::{AtomicU32, fence};

/// Who runs, and how it stops and goes on.
pub trait Tasks: 'static {
    /// One that sleeps, or is about to.
    type Task;
    /// Tasks in a row, each with the key it waits for.
    type Queue;
    /// Guards a list.
    type Lock: Short<Self::Queue>;

    /// Puts the task that runs at the end of `queue`, marked as one that waits for `key`.
    fn enqueue(queue: &mut Self::Queue, key: usize);

    /// Takes out the first that waits for `key`; for anything, if there is none.
    fn take(queue: &mut Self::Queue, key: Option<usize>) -> Option<Self::Task>;

    /// Stops the task that runs until [`make_ready`](Tasks::make_ready), which may have come already.
    fn block();

    /// Makes a task go on that was taken out, or not stop if it was about to.
    fn make_ready(task: Self::Task);
}

/// The tasks that wait for keys with the same hash.
#[repr(align(64))]
struct WaitList<T: Tasks> {
    /// How many wait, or are about to.
    count: AtomicU32,
    tasks: T::Lock,
}

/// `N` lists, a power of two from 2 on.
pub struct Lists<T: Tasks, const N: usize>([WaitList<T>; N]);

impl<T: Tasks, const N: usize> Default for Lists<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Tasks, const N: usize> Lists<T, N> {
    /// Makes lists in which nobody waits.
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N > 1) };
        Self([const { WaitList { count: AtomicU32::new(0), tasks: T::Lock::NEW } }; N])
    }

    /// Makes its words known to loom, before there are threads.
    #[cfg(loom)]
    pub fn prepare(&self) {
        self.0.iter().for_each(|list| list.count.prepare());
    }

    fn list(&self, key: usize) -> &WaitList<T> {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
        &self.0[(key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (64 - N.trailing_zeros())]
    }

    /// Stops the task that runs while `still_waiting`, until woken by [`wake`](Lists::wake) for the same key;
    /// may return early. The caller may sleep, and is not preempted before it does.
    pub fn wait(&self, key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        let list = self.list(key);
        list.count.fetch_add(1, Ordering::Relaxed);
        // Counted, then looked; with the other one in `wake_one`, in whatever manner the condition is loaded.
        fence(Ordering::SeqCst);
        {
            let mut tasks = list.tasks.lock();
            if !still_waiting() {
                list.count.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            T::enqueue(&mut tasks, key);
        }
        T::block();
    }

    /// Wakes everybody who waits for `key`. Costs little if nobody does.
    pub fn wake(&self, key: usize) {
        while self.wake_one(key) {}
    }

    /// Wakes the one who has waited for `key` for longest; tells whether there was one.
    pub fn wake_one(&self, key: usize) -> bool {
        // Changed, then looked whether somebody counted.
        fence(Ordering::SeqCst);
        let list = self.list(key);
        if list.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        list.wake(Some(key))
    }

    /// Wakes everybody who waits for anything: they look again.
    pub fn wake_everybody(&self) {
        for list in &self.0 {
            while list.wake(None) {}
        }
    }
}

impl<T: Tasks> WaitList<T> {
    fn wake(&self, key: Option<usize>) -> bool {
        let woken = T::take(&mut self.tasks.lock(), key);
        let Some(task) = woken else { return false };
        self.count.fetch_sub(1, Ordering::Relaxed);
        T::make_ready(task);
        true
    }
}
