//! The laboratory on this machine: who listens when the storage code reports a step, and which mistakes it makes on
//! purpose.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the machine's one [`Lab`]; [`reached`] tells whoever listens |
//! | [`trace`] | steps written down, in a ring for each CPU |
//! | [`chrome`] | what was written down, in the format that Perfetto opens |
//! | [`script`] | tasks held at points, so that they come there in one order |
//! | [`chance`] | a task held at one of its points, by chance |
//! | [`race`] | tasks that meet on one file, round by round or by a script, and what comes of it |
//! | [`replay`] | a story of `fs::lab::schedule`, in its order |
//! | [`scenarios`] | which tasks, and what must not happen: R1 to R25 of docs/races.md |
//!
//! Nobody listens unless somebody asks for it; then a step costs a load and a branch.

pub mod chance;
pub mod chrome;
pub mod race;
pub mod replay;
pub mod scenarios;
pub mod script;
pub mod stage;
pub mod trace;

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

use fs::lab::{Lab, Point, Step};

/// What is on.
pub static LAB: Lab = Lab::new();

/// Those who listen: a bit each.
static LISTENERS: AtomicU8 = AtomicU8::new(0);

/// Who may listen to steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Listener {
    /// [`trace`].
    Trace = 1,
    /// [`script`].
    Script = 2,
    /// [`chance`].
    Chance = 4,
}

/// From now on it listens, or not.
pub fn listen(who: Listener, on: bool) {
    let bit = who as u8;
    let before = if on { LISTENERS.fetch_or(bit, SeqCst) } else { LISTENERS.fetch_and(!bit, SeqCst) };
    let now = if on { before | bit } else { before & !bit };
    LAB.set_hooks(now != 0);
}

/// Whether it listens.
pub fn listens(who: Listener) -> bool {
    LISTENERS.load(SeqCst) & who as u8 != 0
}

/// A step was taken. Only called while somebody listens; not inlined, for it is not the way that has to be fast.
#[cold]
#[inline(never)]
pub fn reached(step: Step) {
    if listens(Listener::Trace) {
        trace::record(step);
    }
    if listens(Listener::Script) {
        script::reached(step);
    }
    if listens(Listener::Chance) {
        chance::reached(step);
    }
}

/// What only one may do at a time is being done, until this is dropped.
pub struct Alone(&'static AtomicBool);

impl Alone {
    /// `None` if somebody does it already, as `busy` says.
    pub fn new(busy: &'static AtomicBool) -> Option<Self> {
        (!busy.swap(true, SeqCst)).then_some(Self(busy))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// Reports a step that has no file, if anybody listens.
#[inline]
pub fn at(point: Point, page: u64, arg: u64) {
    if LAB.hooks() {
        reached(Step { point, ino: 0, page, arg });
    }
}

/// The number of the task that runs; 0 before there are tasks.
fn task_id() -> u32 {
    crate::task::try_current().map_or(0, crate::task::Task::id)
}
