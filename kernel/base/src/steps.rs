//! The machine's one laboratory: which mistakes the storage code makes on purpose, and who listens when it
//! reports a step.
//!
//! Those who listen stand far above (crate `lab`), and those who report far below: so a listener leaves a
//! function here. Nobody listens unless somebody asks for it; then a step costs a load and a branch.

use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

use fs::lab::{Lab, Point, Step};
use spin::Once;

/// What is on.
pub static LAB: Lab = Lab::new();

/// The listeners that listen: a bit each.
static LISTENERS: AtomicU8 = AtomicU8::new(0);
/// What each who has ever listened is to be told by.
static HEARS: [Once<Hear>; 3] = [const { Once::new() }; 3];

/// Is told of a step, wherever it was taken: a function that must wait for nothing that whoever takes steps
/// may hold.
type Hear = fn(Step);

/// Who may listen to steps, in the order in which they hear of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Listener {
    /// Writes steps down.
    Trace,
    /// Holds tasks in an order.
    Script,
    /// Holds a task by chance.
    Chance,
}

impl Listener {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Makes the listener listen from now on, by `hear`, which is the same each time.
pub fn listen(who: Listener, hear: Hear) {
    HEARS[who as usize].call_once(|| hear);
    LISTENERS.fetch_or(who.bit(), SeqCst);
    LAB.set_hooks(true);
}

/// Makes the listener listen no more.
pub fn ignore(who: Listener) {
    let before = LISTENERS.fetch_and(!who.bit(), SeqCst);
    LAB.set_hooks(before & !who.bit() != 0);
}

/// Returns whether the listener listens.
pub fn listens(who: Listener) -> bool {
    LISTENERS.load(SeqCst) & who.bit() != 0
}

/// Tells the listeners of a step. Only called while somebody listens; not inlined, for it is not the way
/// that has to be fast.
#[cold]
#[inline(never)]
pub fn reached(step: Step) {
    for who in [Listener::Trace, Listener::Script, Listener::Chance] {
        if listens(who)
            && let Some(hear) = HEARS[who as usize].get()
        {
            hear(step);
        }
    }
}

/// Reports a step that has no file, if anybody listens.
#[inline]
pub fn at(point: Point, page: u64, arg: u64) {
    if LAB.hooks() {
        reached(Step { point, ino: 0, page, arg });
    }
}
