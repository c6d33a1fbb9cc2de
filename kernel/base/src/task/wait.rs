//! Waiting for something to happen: the lists of crate `locks`, of this machine's tasks.
//!
//! A waiter looks at its condition once more under its list's lock. Whoever changes the condition calls
//! [`wake`] after: either it finds the waiter on the list, or the waiter has seen the change. No wake-up is
//! lost.
//!
//! Where nobody may sleep (before there are tasks, interrupts off, a [`super::NoPreempt`] held) waiting is
//! spinning.
//!
//! Lock order: a list's lock, then whatever the condition takes, which must wait for nothing.

use core::sync::atomic::Ordering;

use spin::relax::RelaxStrategy;
use x86_64::instructions::interrupts;

use super::queue::Queue;
use super::{TaskRef, TaskState, sched, try_current};
use crate::arch::time;
use crate::sync::{Answering, InterruptsOff, IrqGuard, IrqLock};

static LISTS: locks::Lists<KernelTasks, 64> = locks::Lists::new();

/// What the lists know of tasks.
struct KernelTasks;

impl locks::Tasks for KernelTasks {
    type Task = TaskRef;
    type Queue = Queue;
    type Lock = IrqLock<Queue>;

    #[inline]
    fn enqueue(queue: &mut Queue, key: usize) {
        let task = super::current();
        task.key.store(key, Ordering::Relaxed);
        task.set_state(TaskState::Waiting);
        queue.push(task);
    }

    #[inline]
    fn take(queue: &mut Queue, key: Option<usize>) -> Option<TaskRef> {
        queue.take(|task| key.is_none_or(|key| task.key.load(Ordering::Relaxed) == key))
    }

    #[inline]
    fn block() {
        sched::block();
    }

    #[inline]
    fn make_ready(task: TaskRef) {
        sched::make_ready(task);
    }
}

impl locks::Short<Queue> for IrqLock<Queue> {
    const NEW: Self = Self::new(Queue::new());
    type Guard<'a> = IrqGuard<'a, Queue>;

    #[inline]
    fn lock(&self) -> IrqGuard<'_, Queue> {
        Self::lock(self)
    }
}

/// Returns whether this is a place to sleep at.
pub fn may_sleep() -> bool {
    let task = try_current().filter(|task| !sched::is_idle(task));
    task.is_some_and(|task| task.guards.load(Ordering::Relaxed) == 0) && interrupts::are_enabled()
}

/// Waits while `still_waiting`, until woken by [`wake`] for the same key; may return early. The condition is
/// looked at with interrupts off and must take no lock that sleeps.
pub fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool) {
    if !may_sleep() {
        while still_waiting() {
            Answering::relax();
        }
        return;
    }
    let _here = InterruptsOff::new();
    LISTS.wait(key, still_waiting);
}

/// Wakes everybody who waits for `key`. Costs little if nobody does.
// Each unlocking calls it if somebody waits, and is better off without it inside.
#[inline(never)]
pub fn wake(key: usize) {
    LISTS.wake(key);
}

/// Wakes the one who has waited for `key` for longest.
#[inline(never)]
pub fn wake_one(key: usize) {
    LISTS.wake_one(key);
}

/// Wakes everybody who waits for anything: they look again. For the lab, which has kept somebody from being
/// woken.
pub fn wake_everybody() {
    LISTS.wake_everybody();
}

/// Sleeps for at least so many nanoseconds.
pub fn sleep_ns(ns: u64) {
    let end = time::monotonic_ns().saturating_add(ns);
    if !may_sleep() {
        return while time::monotonic_ns() < end {
            Answering::relax();
        };
    }
    let _here = InterruptsOff::new();
    let task = super::current();
    task.set_state(TaskState::Waiting);
    sched::sleep_until(end, task);
    sched::block();
}
