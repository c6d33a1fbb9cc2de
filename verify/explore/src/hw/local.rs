//! State of a simulated machine: shared by its coroutines, never by threads.

use std::cell::{RefCell, RefMut};
use std::thread::{ThreadId, current};

/// What one thread of the host has alone, in types that must be `Sync`.
pub(crate) struct Local<T> {
    owner: ThreadId,
    value: RefCell<T>,
}

// SAFETY: `get` refuses every thread but the owner, and nothing else looks at the value.
unsafe impl<T> Sync for Local<T> {}
// SAFETY: as above; a value dropped by another thread is one that no coroutine looks at any more, and `T`
// holds plain data.
unsafe impl<T> Send for Local<T> {}

thread_local! {
    static ME: ThreadId = current().id();
}

impl<T> Local<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { owner: ME.with(|me| *me), value: RefCell::new(value) }
    }

    /// Borrows the value. No step is taken while it is held.
    pub(crate) fn get(&self) -> RefMut<'_, T> {
        assert!(ME.with(|me| *me) == self.owner, "a machine belongs to one thread");
        self.value.borrow_mut()
    }
}
