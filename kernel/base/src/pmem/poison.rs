//! Memory that has lost its content: what machine checks tell, and what the shell says to try it.
//!
//! The list is by physical address, for all regions. A machine check adds to it where it comes; that mappings of it go, so
//! that the next access faults and is refused, is done by a task, for it takes locks that sleep.
//!
//! Lock order: none for the list; [`unmap`] takes inode locks.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use fs::pmem::poison::{Full, Poison};

use crate::arch::mce;
use crate::klog;
use crate::mounts;
use crate::task::{self, Builder, ExitStatus, Space};

/// What is bad, by physical address.
pub(super) static BAD: Poison = Poison::new();
/// How often something was added that mappings may still lead to.
static ADDED: AtomicU64 = AtomicU64::new(0);

fn key() -> usize {
    (&raw const ADDED).addr()
}

/// Listens to machine checks, and starts the task that unmaps what they tell of. After the first task.
pub fn init() {
    let body = || -> ExitStatus {
        let mut seen = 0;
        loop {
            task::wait(key(), &mut || ADDED.load(Ordering::SeqCst) == seen);
            let now = ADDED.load(Ordering::SeqCst);
            if now != seen {
                seen = now;
                ranges().iter().for_each(unmap);
            }
        }
    };
    let builder = Builder { name: "memory-errors", space: Space::Kernel, cpu: None };
    match task::spawn(builder, body) {
        Ok(_) => mce::on_memory_error(machine_check),
        Err(error) => klog!(Warn, "memory errors are not listened to: {error}"),
    }
}

/// A machine check has told of `len` bad bytes. Interrupts are off; nothing is waited for.
fn machine_check(physical: u64, len: u64) {
    if BAD.add(physical, len).is_err() {
        klog!(Error, "memory errors: the list is full");
    }
    ADDED.fetch_add(1, Ordering::SeqCst);
    task::wake(key());
}

/// The bad ranges of physical addresses, in order.
pub fn ranges() -> alloc::vec::Vec<Range<u64>> {
    BAD.ranges()
}

/// `len` bytes from `physical` on are bad; when it returns, no mapping leads to them.
///
/// # Errors
/// The list is full.
pub fn add(physical: u64, len: u64) -> Result<(), Full> {
    BAD.add(physical, len)?;
    unmap(&(physical..physical + len));
    Ok(())
}

/// The lines that lie in the `len` bytes from `physical` on as a whole are good again, with whatever is in them.
///
/// # Errors
/// The list is full: more became good.
pub fn clear(physical: u64, len: u64) -> Result<(), Full> {
    BAD.clear(physical, len)
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

/// What is bad of a region: for [`Pmem`].
#[inline]
pub(super) fn first_in(physical: u64, len: u64) -> Option<u64> {
    BAD.first_in(physical, len)
}
