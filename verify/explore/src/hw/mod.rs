//! A machine whose every step the scheduler owns.
//!
//! | file | what it holds |
//! |---|---|
//! | [`memory`] | persistent memory, and what a power failure leaves of it |
//! | [`tables`] | TLBs, accesses, what `paging` and `vm` need of a machine; the processor's rules and where they are from |
//! | [`frames`] | the words of page tables |
//! | [`locks`] | locks whose waiting the scheduler does |
//! | this one | the [`Kit`] made of them |

pub mod frames;
mod local;
pub mod locks;
pub mod memory;
pub mod tables;

pub(crate) use local::Local;
pub use memory::Memory;
pub use tables::{Hardware, Says, SpaceHardware};

use crate::sched::engine::{self, Need, Noted, visible};
use crate::sched::touch::{SharedPlace, Touch};
use fs::lab::{Lab, Point, Step};
use fs::sim::Kit;
use std::sync::Arc;

/// Looks at the machine when a step of the storage code is reported.
type StepWatch = Box<dyn Fn(Step)>;

/// The machine, as a file system sees it.
pub type Machine = fs::sim::Machine<Scheduled>;

/// What the scheduler owns of it.
#[derive(Clone)]
pub struct Scheduled {
    /// Its CPUs.
    pub hw: Arc<Hardware>,
    watch: Arc<Local<Option<StepWatch>>>,
}

/// Makes a machine with this memory.
pub fn machine(memory: Arc<Memory>) -> Machine {
    let lab = Arc::new(Lab::new());
    lab.set_hooks(true);
    let hw = Hardware::new(lab.clone(), memory.clone());
    Machine::with(memory, lab, Scheduled { hw, watch: Arc::new(Local::new(None)) })
}

impl Scheduled {
    /// Sets what looks at each step that is reported, during a run, from now on.
    pub(crate) fn watch(&self, watch: Option<StepWatch>) {
        *self.watch.get() = watch;
    }
}

impl Kit for Scheduled {
    type Pmem = Memory;
    type Mutex = locks::Mutex;
    type RwLock = locks::RwLock;
    type PageTables = vm::SpaceTables<SpaceHardware>;
    /// The clock stands still: which CPU looked first is of no interest.
    const TICK: i64 = 0;

    fn relax(&self) {
        visible(Touch::Nothing, Need::Others, 1, "waits for another");
    }

    fn wait(&self, key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        if !engine::is_running() {
            assert!(!still_waiting(), "a wait for nobody");
            return;
        }
        engine::lock(key, false, "is about to sleep");
        if still_waiting() {
            engine::sleep(key);
        } else {
            engine::unlock(key, false, "need not sleep");
        }
    }

    fn wake(&self, key: usize) {
        engine::wake(key);
    }

    fn bug(&self, what: &str) {
        engine::fail(|| format!("the storage code says: {what}"));
    }

    fn reached(&self, step: Step) {
        if !engine::is_running() {
            return;
        }
        engine::note(|| Noted::Point(step));
        // Blocks that come and go meet whoever maps them.
        let (first, count) = match step.point {
            Point::Freed => (step.page, step.arg),
            Point::Allocated => (step.arg / fs::PAGE_SIZE, 1),
            _ => (0, 0),
        };
        for block in first..first + count.min(2) {
            visible(Touch::One(SharedPlace::block(block), true), Need::Nothing, 1, "a block comes or goes");
        }
        if let Some(watch) = &*self.watch.get() {
            watch(step);
        }
    }
}
