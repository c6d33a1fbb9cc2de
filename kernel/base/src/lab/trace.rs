//! Steps written down: a ring for each CPU, with records of fixed size.
//!
//! Writing takes no lock and waits for nobody: interrupts are off while a CPU fills a slot of its own ring. A ring keeps
//! the latest records; how many older ones made way is told. Rings are made when tracing starts for the first time and
//! stay. To read them while they are filled would mix records: [`stop`] comes first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use fs::Errno;
use fs::lab::{Point, Step};
use spin::Once;

use super::{Listener, listen};
use crate::arch::{percpu, time};
use crate::sync::InterruptsOff;

/// Records in a ring: 640 KiB.
const RECORDS: usize = 1 << 14;

/// A step, and who took it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Ticks of the time-stamp counter.
    pub ticks: u64,
    /// The CPU.
    pub cpu: usize,
    /// The task's number.
    pub task: u32,
    /// What it did.
    pub step: Step,
}

/// A record in a ring: ticks; task and point; inode; page; argument.
type Slot = [AtomicU64; 5];

/// A CPU's records.
struct Ring {
    /// How many were written, also those that made way.
    written: AtomicUsize,
    slots: Box<[Slot]>,
}

static RINGS: [Once<Ring>; percpu::MOST] = [const { Once::new() }; percpu::MOST];

fn new_ring() -> Result<Ring, Errno> {
    let mut slots = Vec::new();
    slots.try_reserve_exact(RECORDS).map_err(|_| Errno::NoMemory)?;
    slots.resize_with(RECORDS, Slot::default);
    Ok(Ring { written: AtomicUsize::new(0), slots: slots.into_boxed_slice() })
}

/// Writes a step down, if this CPU has a ring.
pub(super) fn record(step: Step) {
    let _here = InterruptsOff::new();
    let Some(ring) = RINGS[percpu::number()].get() else { return };
    let number = ring.written.load(Relaxed);
    let who = u64::from(super::task_id()) << 8 | step.point as u64;
    let words = [time::ticks(), who, step.ino, step.page, step.arg];
    for (slot, word) in ring.slots[number % RECORDS].iter().zip(words) {
        slot.store(word, Relaxed);
    }
    ring.written.store(number + 1, Relaxed);
}

/// Starts to write down, in addition to what was written before.
///
/// # Errors
/// [`Errno::NoMemory`] for the rings.
pub fn start() -> Result<(), Errno> {
    for cpu in percpu::all() {
        RINGS[cpu.number()].try_call_once(new_ring)?;
    }
    listen(Listener::Trace, true);
    Ok(())
}

/// Ends it. What is being written just now may still come.
pub fn stop() {
    listen(Listener::Trace, false);
}

/// Forgets what was written down.
pub fn clear() {
    RINGS.iter().filter_map(Once::get).for_each(|ring| ring.written.store(0, Relaxed));
}

/// How many records there are, and how many made way.
pub fn counts() -> (usize, usize) {
    let written = RINGS.iter().filter_map(Once::get).map(|ring| ring.written.load(Relaxed));
    written.fold((0, 0), |(kept, lost), written| {
        (kept + written.min(RECORDS), lost + written.saturating_sub(RECORDS))
    })
}

/// Everything that was written down, in the order of time.
///
/// # Errors
/// [`Errno::NoMemory`].
pub fn records() -> Result<Vec<Record>, Errno> {
    let mut records = Vec::new();
    records.try_reserve_exact(counts().0).map_err(|_| Errno::NoMemory)?;
    for (cpu, ring) in RINGS.iter().enumerate().filter_map(|(cpu, ring)| Some((cpu, ring.get()?))) {
        let written = ring.written.load(Relaxed);
        for number in written.saturating_sub(RECORDS)..written {
            let slot = &ring.slots[number % RECORDS];
            let [ticks, who, ino, page, arg] = [0, 1, 2, 3, 4].map(|word: usize| slot[word].load(Relaxed));
            // A slot that was never filled has ticks of 0.
            let Some(&point) = Point::ALL.get((who & 0xff) as usize).filter(|_| ticks != 0) else { continue };
            if records.len() == records.capacity() {
                break;
            }
            records.push(Record {
                ticks,
                cpu,
                task: (who >> 8) as u32,
                step: Step { point, ino, page, arg },
            });
        }
    }
    records.sort_unstable_by_key(|record| record.ticks);
    Ok(records)
}
