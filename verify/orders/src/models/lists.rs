//! The lists that tasks sleep on.
//!
//! The conditions are loaded and stored `Relaxed`: whoever waits relies on nothing but the lists.

use std::rc::Rc;

use locks::LockMachine;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::Relaxed;

use super::{Model, three, two};
use crate::machine::{Loom, boot, wake_everybody};

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "lists-wake",
        holds: "who waits is woken by who changes what it waits for",
        preemptions: None,
        run: wake,
    },
    Model {
        name: "lists-wake-both",
        holds: "two that wait for the same are both woken",
        preemptions: Some(3),
        run: wake_both,
    },
    Model {
        name: "lists-keys",
        holds: "two that share a list are each woken by who changes what each waits for, one at a time",
        preemptions: Some(3),
        run: keys,
    },
    Model {
        name: "lists-everybody",
        holds: "who waits is woken with everybody else, if nobody wakes it by its key",
        preemptions: None,
        run: everybody,
    },
];

fn wait(key: usize, word: &AtomicU32) {
    let mut waiting = || word.load(Relaxed) == 0;
    while waiting() {
        Loom::wait(key, &mut waiting);
    }
}

const KEYS: [usize; 2] = [100, 200];

fn wake() {
    boot();
    let word = Rc::new(AtomicU32::new(0));
    let other = word.clone();
    two(
        || wait(KEYS[0], &word),
        move || {
            other.store(1, Relaxed);
            Loom::wake(KEYS[0]);
        },
    );
}

fn wake_both() {
    boot();
    let word = Rc::new(AtomicU32::new(0));
    let (one, two) = (word.clone(), word.clone());
    let change = || {
        word.store(1, Relaxed);
        Loom::wake(KEYS[0]);
    };
    three(change, move || wait(KEYS[0], &one), Some(move || wait(KEYS[0], &two)));
}

fn keys() {
    boot();
    let words = Rc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let (one, two) = (words.clone(), words.clone());
    let change = || {
        for (word, key) in words.iter().zip(KEYS) {
            word.store(1, Relaxed);
            Loom::wake_one(key);
        }
    };
    three(change, move || wait(KEYS[0], &one[0]), Some(move || wait(KEYS[1], &two[1])));
}

fn everybody() {
    boot();
    let word = Rc::new(AtomicU32::new(0));
    let other = word.clone();
    two(
        || wait(KEYS[0], &word),
        move || {
            other.store(1, Relaxed);
            wake_everybody();
        },
    );
}
