//! Steps written down: a ring for each CPU, with records of fixed size.
//!
//! Writing hardly ever waits: a CPU fills a slot of its own ring, under that ring's lock, which others take
//! only to read a piece of it or to put another in its place. A ring keeps the latest records; how many older
//! ones made way is told. Rings are made when tracing starts for the first time, and again where more or
//! fewer records are asked for.

use alloc::boxed::Box;
use alloc::vec::Vec;

use fs::Errno;
use fs::lab::{Point, Step};

use crate::arch::{percpu, time};
use crate::steps::{self, Listener};
use crate::sync::{InterruptsOff, IrqLock};
use crate::task;

/// Records in a ring, unless somebody says another number: 640 KiB.
const RECORDS: usize = 1 << 14;
/// The most that can be asked for: 640 MiB.
pub const MOST: usize = 1 << 24;
/// Records that are read before the ring's lock is let go of for a moment: interrupts are off as long as it
/// is held.
const PIECE: usize = 1 << 12;

/// A step, and who took it when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Ticks of the time-stamp counter.
    pub ticks: u64,
    /// The CPU.
    pub cpu: usize,
    /// The task's number.
    pub task: u32,
    /// What the task did.
    pub step: Step,
}

/// A record in a ring: ticks; task and point; inode; page; argument.
type PackedRecord = [u64; 5];

/// A CPU's records.
struct StepRing {
    /// How many were written, also those that made way.
    written: usize,
    slots: Box<[PackedRecord]>,
}

impl StepRing {
    fn new(records: usize) -> Result<Self, Errno> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(records).map_err(|_| Errno::NoMemory)?;
        slots.resize(records, PackedRecord::default());
        Ok(Self { written: 0, slots: slots.into_boxed_slice() })
    }

    /// Returns how many records there are.
    fn kept(&self) -> usize {
        self.written.min(self.slots.len())
    }
}

static RINGS: [IrqLock<Option<StepRing>>; percpu::MOST] = [const { IrqLock::new(None) }; percpu::MOST];

/// Writes a step down, if this CPU has a ring.
fn record(step: Step) {
    let _here = InterruptsOff::new();
    let who = u64::from(task::try_current().map_or(0, task::Task::id)) << 8 | step.point as u64;
    if let Some(ring) = &mut *RINGS[percpu::number()].lock() {
        let at = ring.written % ring.slots.len();
        ring.slots[at] = [time::ticks(), who, step.ino, step.page, step.arg];
        ring.written += 1;
    }
}

/// Starts to write down, in addition to what was written before; up to `records` on each CPU, if that is
/// said. What was written before goes if that is another number than before.
///
/// # Errors
/// [`Errno::NoMemory`] for the rings: none has changed.
pub fn start(records: Option<usize>) -> Result<(), Errno> {
    let mut rings = Vec::new();
    for cpu in percpu::all() {
        let there = RINGS[cpu.number()].lock().as_ref().map(|ring| ring.slots.len());
        if there.is_none_or(|there| records.is_some_and(|wanted| wanted != there)) {
            rings.push((cpu.number(), StepRing::new(records.unwrap_or(RECORDS))?));
        }
    }
    for (cpu, ring) in rings {
        let old = RINGS[cpu].lock().replace(ring);
        drop(old);
    }
    steps::listen(Listener::Trace, record);
    Ok(())
}

/// Ends the trace. What is being written just now may still come.
pub fn stop() {
    steps::ignore(Listener::Trace);
}

/// Forgets what was written down.
pub fn clear() {
    RINGS.iter().for_each(|ring| {
        if let Some(ring) = &mut *ring.lock() {
            ring.written = 0;
        }
    });
}

/// How much was written down.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceCounts {
    /// Records that there are.
    pub kept: usize,
    /// Records that made way.
    pub lost: usize,
    /// How many all would be on the CPU that wrote most.
    pub most: usize,
}

/// Returns how much was written down, on all CPUs.
pub fn counts() -> TraceCounts {
    let mut counts = TraceCounts::default();
    for ring in &RINGS {
        if let Some(ring) = &*ring.lock() {
            counts.kept += ring.kept();
            counts.lost += ring.written - ring.kept();
            counts.most = counts.most.max(ring.written);
        }
    }
    counts
}

/// Returns everything that was written down, in the order of time. What is written meanwhile does not come;
/// what makes way for it may be missing.
///
/// # Errors
/// [`Errno::NoMemory`].
pub fn records() -> Result<Vec<StepRecord>, Errno> {
    let mut records = Vec::new();
    records.try_reserve_exact(counts().kept).map_err(|_| Errno::NoMemory)?;
    for (cpu, ring) in RINGS.iter().enumerate() {
        let end = ring.lock().as_ref().map_or(0, |ring| ring.written);
        let mut next = 0;
        while next < end {
            next = read_piece(cpu, next, end, &mut records);
        }
    }
    records.sort_unstable_by_key(|record| record.ticks);
    Ok(records)
}

/// Adds a CPU's next records before number `end` to `records`, as far as there is room. Returns where to go
/// on.
fn read_piece(cpu: usize, next: usize, end: usize, records: &mut Vec<StepRecord>) -> usize {
    let ring = RINGS[cpu].lock();
    let Some(ring) = &*ring else { return end };
    // Some may have made way since the last piece; all of them, if the ring is another or was cleared.
    let first = next.max(ring.written - ring.kept());
    let last = end.min(ring.written).min(first + PIECE);
    for number in first..last {
        let [ticks, who, ino, page, arg] = ring.slots[number % ring.slots.len()];
        let Some(&point) = Point::ALL.get((who & 0xff) as usize) else { continue };
        if records.len() == records.capacity() {
            return end;
        }
        let step = Step { point, ino, page, arg };
        records.push(StepRecord { ticks, cpu, task: (who >> 8) as u32, step });
    }
    if first < last { last } else { end }
}
