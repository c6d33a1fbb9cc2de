//! Tasks in a row: a list linked through the tasks themselves, so that nothing is allocated under a lock.
//!
//! A task is on one list at most: it either waits for a CPU or for something to happen.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::Task;

/// A first-in, first-out list that owns a reference to each task on it.
pub struct Queue {
    first: *const Task,
    last: *const Task,
}

/// A task's place on a list: the next task.
pub(super) struct Link(AtomicPtr<Task>);

impl Link {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    fn set(&self, next: *const Task) {
        self.0.store(next.cast_mut(), Ordering::Relaxed);
    }

    fn get(&self) -> *const Task {
        self.0.load(Ordering::Relaxed)
    }
}

// SAFETY: the pointers are references to tasks that the list owns, and tasks are `Send` and `Sync`.
unsafe impl Send for Queue {}

impl Queue {
    pub const fn new() -> Self {
        Self { first: core::ptr::null(), last: core::ptr::null() }
    }

    /// Adds a task, which is on no list, at the end.
    pub fn push(&mut self, task: Arc<Task>) {
        task.link.set(core::ptr::null());
        let task = Arc::into_raw(task);
        // SAFETY: `last` is a task the list owns, if it is not null.
        match unsafe { self.last.as_ref() } {
            Some(last) => last.link.set(task),
            None => self.first = task,
        }
        self.last = task;
    }

    /// Takes out the first task for which `wanted` holds.
    pub fn take(&mut self, mut wanted: impl FnMut(&Task) -> bool) -> Option<Arc<Task>> {
        let (mut before, mut at) = (core::ptr::null::<Task>(), self.first);
        // SAFETY: every pointer on the list came from `push` and is owned by the list until it is taken out
        // here, where the reference passes to the caller; `before` is on the list as well.
        unsafe {
            while let Some(task) = at.as_ref() {
                let next = task.link.get();
                if wanted(task) {
                    match before.as_ref() {
                        Some(before) => before.link.set(next),
                        None => self.first = next,
                    }
                    if next.is_null() {
                        self.last = before;
                    }
                    return Some(Arc::from_raw(at));
                }
                (before, at) = (at, next);
            }
        }
        None
    }
}
