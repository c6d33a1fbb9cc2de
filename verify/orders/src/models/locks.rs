//! The mutex and the reader-writer lock.

use std::cell::Cell;
use std::rc::Rc;

use lock_api::{RawMutex as _, RawRwLock as _};
use locks::{RawMutex, RawRwLock};

use super::{Guarded, Model, three, two};
use crate::machine::{Loom, boot, run_on, sleeps};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "mutex-2",
        holds: "two that lock a mutex are in one after the other, and both get in",
        preemptions: None,
        run: || mutex(false),
    },
    Model {
        name: "mutex-3",
        holds: "the same of three: who is woken leaves the mark for the next",
        preemptions: Some(3),
        run: || mutex(true),
    },
    Model {
        name: "mutex-try",
        holds: "who tries is in alone, or is told that it is not",
        preemptions: None,
        run: mutex_try,
    },
    Model {
        name: "rwlock-read-write",
        holds: "a reader and a writer are in one after the other, and both get in",
        preemptions: Some(4),
        run: read_write,
    },
    Model {
        name: "rwlock-2-writers",
        holds: "two writers are in one after the other, and both get in",
        preemptions: None,
        run: || writers(false),
    },
    Model {
        name: "rwlock-2-readers-writer",
        holds: "two readers on different CPUs and a writer: nobody is in with the writer, all get in",
        preemptions: Some(2),
        run: || readers_writer(false),
    },
    Model {
        name: "rwlock-moved",
        holds: "the same, if one reader is on another CPU when it leaves",
        preemptions: Some(3),
        run: || readers_writer(true),
    },
    Model {
        name: "rwlock-2-writers-reader",
        holds: "two writers and a reader: nobody is in with a writer, all get in",
        preemptions: Some(3),
        run: || writers(true),
    },
    Model {
        name: "rwlock-try",
        holds: "a reader and a writer that try are in as they should be, or are told that they are not",
        preemptions: Some(3),
        run: rwlock_try,
    },
    Model {
        name: "rwlock-try-wakes",
        holds: "who waits for one that tried and gave up gets in",
        preemptions: Some(3),
        run: rwlock_try_wakes,
    },
    Model {
        name: "rwlock-try-2-readers",
        holds: "two readers that try on one CPU are both in, and both out afterwards",
        preemptions: None,
        run: try_readers,
    },
    Model {
        name: "rwlock-fair",
        holds: "a reader that queued before a writer left is in before the next writer",
        preemptions: Some(4),
        run: fair,
    },
];

fn mutex(third: bool) {
    boot();
    let lock = Rc::new((RawMutex::<Loom>::INIT, Guarded::new()));
    lock.0.prepare();
    let job = {
        let lock = lock.clone();
        move || {
            lock.0.lock();
            lock.1.change();
            // SAFETY: locked above.
            unsafe { lock.0.unlock() };
        }
    };
    three(job.clone(), job.clone(), third.then_some(job));
    lock.0.lock();
    assert_eq!(lock.1.look(), if third { 3 } else { 2 });
}

fn mutex_try() {
    boot();
    let lock = Rc::new((RawMutex::<Loom>::INIT, Guarded::new()));
    lock.0.prepare();
    let other = lock.clone();
    two(
        || {
            if lock.0.try_lock() {
                lock.1.change();
                // SAFETY: locked above.
                unsafe { lock.0.unlock() };
            }
        },
        move || {
            other.0.lock();
            other.1.change();
            // SAFETY: locked above.
            unsafe { other.0.unlock() };
        },
    );
    assert!(lock.0.try_lock() && !lock.0.try_lock());
}

type GuardedLock = Rc<(RawRwLock<Loom>, Guarded)>;

fn rwlock() -> GuardedLock {
    boot();
    let lock = Rc::new((RawRwLock::INIT, Guarded::new()));
    lock.0.prepare();
    lock
}

fn read(lock: &GuardedLock) {
    lock.0.lock_shared();
    lock.1.look();
    // SAFETY: locked above.
    unsafe { lock.0.unlock_shared() };
}

fn write(lock: &GuardedLock) {
    lock.0.lock_exclusive();
    lock.1.change();
    // SAFETY: locked above.
    unsafe { lock.0.unlock_exclusive() };
}

fn read_write() {
    let lock = rwlock();
    let other = lock.clone();
    two(|| write(&lock), move || read(&other));
    assert!(lock.0.try_lock_exclusive() && lock.1.look() == 1);
}

fn writers(and_reader: bool) {
    let lock = rwlock();
    let (second, reader) = (lock.clone(), lock.clone());
    three(|| write(&lock), move || write(&second), and_reader.then_some(move || read(&reader)));
    assert!(lock.0.try_lock_exclusive() && lock.1.look() == 2);
}

fn readers_writer(moves: bool) {
    let lock = rwlock();
    let (first, second) = (lock.clone(), lock.clone());
    let one = move || {
        first.0.lock_shared();
        first.1.look();
        if moves {
            run_on(0);
        }
        // SAFETY: locked above.
        unsafe { first.0.unlock_shared() };
    };
    three(|| write(&lock), one, Some(move || read(&second)));
    assert!(lock.0.try_lock_exclusive() && lock.1.look() == 1);
}

fn rwlock_try() {
    let lock = rwlock();
    let other = lock.clone();
    two(
        || {
            if lock.0.try_lock_exclusive() {
                lock.1.change();
                // SAFETY: locked above.
                unsafe { lock.0.unlock_exclusive() };
            }
        },
        move || {
            if other.0.try_lock_shared() {
                other.1.look();
                // SAFETY: locked above.
                unsafe { other.0.unlock_shared() };
            }
            write(&other);
        },
    );
    assert!(lock.0.try_lock_shared() && !lock.0.try_lock_exclusive());
}

fn rwlock_try_wakes() {
    let lock = rwlock();
    let (reader, writer) = (lock.clone(), lock.clone());
    two(
        || {
            if lock.0.try_lock_exclusive() {
                lock.1.change();
                // SAFETY: locked above.
                unsafe { lock.0.unlock_exclusive() };
            }
            if lock.0.try_lock_shared() {
                lock.1.look();
                // SAFETY: locked above.
                unsafe { lock.0.unlock_shared() };
            }
        },
        move || {
            read(&reader);
            write(&writer);
        },
    );
    assert!(lock.0.try_lock_exclusive());
}

fn try_readers() {
    let lock = rwlock();
    let job = || {
        let lock = lock.clone();
        move || {
            run_on(0);
            assert!(lock.0.try_lock_shared(), "nobody writes");
            lock.1.look();
            // SAFETY: locked above.
            unsafe { lock.0.unlock_shared() };
        }
    };
    two(job(), job());
    assert!(lock.0.try_lock_exclusive());
}

fn fair() {
    let lock = rwlock();
    let out = Rc::new(Cell::new(false));
    lock.0.lock_exclusive();
    let (reader, left) = (lock.clone(), out.clone());
    let writer = || {
        lock.1.change();
        // Who sleeps now queues: there is nothing else to wait for.
        let queued = sleeps() > 0;
        // SAFETY: locked above.
        unsafe { lock.0.unlock_exclusive() };
        // It did before it woke, as loom's threads take turns; it may have left since.
        let in_again = lock.0.try_lock_exclusive();
        assert!(
            !(in_again && queued) || out.get(),
            "a writer is in before a reader that queued for the last one"
        );
        if in_again {
            lock.1.change();
            // SAFETY: locked above.
            unsafe { lock.0.unlock_exclusive() };
        }
    };
    two(writer, move || {
        reader.0.lock_shared();
        reader.1.look();
        left.set(true);
        // SAFETY: locked above.
        unsafe { reader.0.unlock_shared() };
    });
    assert!(lock.0.try_lock_exclusive());
}
