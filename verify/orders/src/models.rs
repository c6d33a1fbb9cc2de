//! The models: a few threads each, which loom runs in every order.

mod index;
mod lists;
mod locks;

use loom::thread;

/// A model.
pub(crate) struct Model {
    /// Its name.
    pub(crate) name: &'static str,
    /// What must hold.
    pub(crate) holds: &'static str,
    /// Threads are taken off their CPU at most so often where they could have gone on; `None`: any number of
    /// times.
    pub(crate) preemptions: Option<usize>,
    /// One execution.
    pub(crate) run: fn(),
}

/// Lists all of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Model> {
    locks::MODELS.iter().chain(lists::MODELS).chain(index::MODELS)
}

/// Runs `other` on CPU 1 and `own` on CPU 0.
fn two(own: impl FnOnce(), other: impl FnOnce() + 'static) {
    three(own, other, None::<fn()>);
}

/// The same, with one more on CPU 0.
fn three(own: impl FnOnce(), other: impl FnOnce() + 'static, third: Option<impl FnOnce() + 'static>) {
    loomed::concurrent(true);
    let on = |cpu, run: Box<dyn FnOnce()>| {
        thread::spawn(move || {
            crate::machine::run_on(cpu);
            run();
        })
    };
    let mut threads = vec![on(1, Box::new(other))];
    threads.extend(third.map(|third| on(0, Box::new(third))));
    own();
    for thread in threads {
        thread.join().expect("it would have ended the execution");
    }
    loomed::concurrent(false);
}

/// What a lock guards: loom fails the model when two are in at once, or when one cannot have seen what the
/// last one did.
struct Guarded(loom::cell::UnsafeCell<u64>);

impl Guarded {
    fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(0))
    }

    /// Changes it.
    fn change(&self) {
        // SAFETY: loom lets nobody else in while the pointer is used, or fails the model.
        self.0.with_mut(|value| unsafe { *value += 1 });
    }

    /// Looks at it.
    fn look(&self) -> u64 {
        // SAFETY: as in `change`.
        self.0.with(|value| unsafe { *value })
    }
}
