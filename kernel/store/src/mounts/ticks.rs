//! The task that asks each mounted file system, once a second, to make durable what it has kept back for long
//! enough.
//!
//! It is there as long as one of them may keep anything back, and is otherwise not there at all. Nor is it
//! with `--icount`, where the clock of a machine that rests jumps to the next timer, so that it would never
//! rest: there, what is kept back waits for a sync, an unmount or a full journal.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::task::{self, Builder, ExitStatus, TaskSpace};
use crate::{fw_cfg, klog, time};

const EVERY_NS: u64 = 1_000_000_000;

/// The task is there.
static RUNS: AtomicBool = AtomicBool::new(false);

/// Starts the task if a file system has become one that keeps something back.
pub(super) fn start() {
    if fw_cfg::asked_for("icount") || !ask_all() || RUNS.swap(true, SeqCst) {
        return;
    }
    let builder = Builder { name: "commit", space: TaskSpace::Kernel, cpu: None };
    if let Err(error) = task::spawn(builder, run) {
        RUNS.store(false, SeqCst);
        klog!(Warn, "nothing is committed by time: {error}");
    }
}

fn run() -> ExitStatus {
    loop {
        task::sleep_ns(EVERY_NS);
        if ask_all() {
            continue;
        }
        RUNS.store(false, SeqCst);
        // What was mounted meanwhile has found the task there.
        if !ask_all() || RUNS.swap(true, SeqCst) {
            return ExitStatus::SUCCESS;
        }
    }
}

/// Asks each of them, and returns whether one wants to be asked again.
fn ask_all() -> bool {
    super::all().iter().filter(|mount| mount.fs.tick(time::now())).count() > 0
}
