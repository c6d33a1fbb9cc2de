//! Memory that has lost its content: what machine checks tell, and what the shell says to try it.
//!
//! A machine check adds to the list where it comes ([`poison`]); that mappings of it go, so that the next
//! access faults and is refused, is done by a task, for it takes locks that sleep.
//!
//! Lock order: [`unmap`] takes inode locks.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use fs::pmem::poison::Full;

use crate::entry::mce;
use crate::klog;
use crate::mounts;
use crate::pmem::poison;
use crate::task::{self, Builder, ExitStatus, TaskSpace};

/// How often something was added that mappings may still lead to.
static ADDED: AtomicU64 = AtomicU64::new(0);

fn key() -> usize {
    (&raw const ADDED).addr()
}

/// Listens to machine checks, and starts the task that unmaps the memory they tell of. To be called after
/// the first task has started.
pub fn init() {
    let body = || -> ExitStatus {
        let mut seen = 0;
        loop {
            task::wait(key(), &mut || ADDED.load(Ordering::SeqCst) == seen);
            let now = ADDED.load(Ordering::SeqCst);
            if now != seen {
                seen = now;
                poison::ranges().iter().for_each(unmap);
            }
        }
    };
    let builder = Builder { name: "memory-errors", space: TaskSpace::Kernel, cpu: None };
    match task::spawn(builder, body) {
        Ok(_) => mce::on_memory_error(machine_check),
        Err(error) => klog!(Warn, "memory errors are not listened to: {error}"),
    }
}

/// A machine check has told of `len` bad bytes. Interrupts are off; nothing is waited for.
fn machine_check(physical: u64, len: u64) {
    if poison::note(physical, len).is_err() {
        klog!(Error, "memory errors: the list is full");
    }
    ADDED.fetch_add(1, Ordering::SeqCst);
    task::wake(key());
}

/// Adds that `len` bytes from `physical` on are bad. On return, no mapping leads to them.
///
/// # Errors
/// The list is full.
pub fn add(physical: u64, len: u64) -> Result<(), Full> {
    poison::note(physical, len)?;
    unmap(&(physical..physical + len));
    Ok(())
}

/// Takes the pages of `bad` out of every address space.
fn unmap(bad: &Range<u64>) {
    for mount in mounts::all().iter() {
        let region = mount.region();
        let (from, to) = (bad.start.max(region.start), bad.end.min(region.end));
        if from < to {
            mount.fs.memory_failed(from - region.start, to - from);
        }
    }
    mounts::dev::memory_failed(bad);
}
