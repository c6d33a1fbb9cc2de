//! Waiting for something to happen: lists of tasks, found by the address of what they wait for.
//!
//! A waiter looks at its condition once more under its list's lock. Whoever changes the condition calls [`wake`] after:
//! either it finds the waiter on the list, or the waiter has seen the change. No wake-up is lost.
//!
//! Where nobody may sleep (before there are tasks, interrupts off, a [`super::NoPreempt`] held) waiting is spinning.
//!
//! Lock order: a list's lock, then whatever the condition takes, which must wait for nothing.

use core::sync::atomic::{AtomicU32, Ordering, fence};

use spin::relax::RelaxStrategy;
use x86_64::instructions::interrupts;

use super::queue::Queue;
use super::{State, sched, try_current};
use crate::arch::time;
use crate::sync::{Answering, InterruptsOff, IrqLock};

const LISTS: usize = 64;

/// The tasks that wait for keys with the same hash.
#[repr(align(64))]
struct List {
    /// How many wait, or are about to.
    count: AtomicU32,
    tasks: IrqLock<Queue>,
}

static TABLE: [List; LISTS] =
    [const { List { count: AtomicU32::new(0), tasks: IrqLock::new(Queue::new()) } }; LISTS];

fn list(key: usize) -> &'static List {
    // Fibonacci hashing: the upper bits of the product depend on all bits of the key.
    &TABLE[(key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (64 - LISTS.trailing_zeros())]
}

/// Whether this is a place to sleep at.
fn may_sleep() -> bool {
    let task = try_current().filter(|task| !sched::is_idle(task));
    task.is_some_and(|task| task.guards.load(Ordering::Relaxed) == 0) && interrupts::are_enabled()
}

/// Waits while `still_waiting`, until woken by [`wake`] for the same key; may return early. The condition is looked at
/// with interrupts off and must take no lock that sleeps.
pub(crate) fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool) {
    if !may_sleep() {
        while still_waiting() {
            Answering::relax();
        }
        return;
    }
    let _here = InterruptsOff::new();
    let list = list(key);
    list.count.fetch_add(1, Ordering::SeqCst);
    {
        let mut tasks = list.tasks.lock();
        if !still_waiting() {
            list.count.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let task = super::current();
        task.key.store(key, Ordering::Relaxed);
        task.set_state(State::Waiting);
        tasks.push(task);
    }
    sched::block();
}

/// Wakes everybody who waits for `key`. Costs little if nobody does.
pub(crate) fn wake(key: usize) {
    while wake_next(key) {}
}

/// Wakes the one who has waited for `key` for longest.
pub(crate) fn wake_one(key: usize) {
    wake_next(key);
}

fn wake_next(key: usize) -> bool {
    // What was changed was changed before.
    fence(Ordering::SeqCst);
    let list = list(key);
    if list.count.load(Ordering::SeqCst) == 0 {
        return false;
    }
    let woken = list.tasks.lock().take(|task| task.key.load(Ordering::Relaxed) == key);
    let Some(task) = woken else { return false };
    list.count.fetch_sub(1, Ordering::SeqCst);
    sched::make_ready(task);
    true
}

/// Wakes everybody who waits for anything: they look again. For the lab, which has kept somebody from being woken.
pub(crate) fn wake_everybody() {
    for list in &TABLE {
        loop {
            let woken = list.tasks.lock().take(|_| true);
            let Some(task) = woken else { break };
            list.count.fetch_sub(1, Ordering::SeqCst);
            sched::make_ready(task);
        }
    }
}

/// Sleeps for at least so many nanoseconds.
pub(crate) fn sleep_ns(ns: u64) {
    let end = time::monotonic_ns().saturating_add(ns);
    if !may_sleep() {
        return while time::monotonic_ns() < end {
            Answering::relax();
        };
    }
    let _here = InterruptsOff::new();
    let task = super::current();
    task.set_state(State::Waiting);
    sched::sleep_until(end, task);
    sched::block();
}
