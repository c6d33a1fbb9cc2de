//! Time: monotonic nanoseconds by the time-stamp counter, wall clock by the CMOS clock read at start.
//!
//! The counter's rate comes from CPUID where it is told (leaf 0x15: crystal ratio; 0x4000_0010: hypervisors,
//! kHz), else it is measured against channel 2 of the 8254 timer for 5 ms. Both
//! are read together, so a busy host does not disturb the result.
//!
//! References: Intel SDM volume 3B "Time-Stamp Counter"; Intel 8254 data sheet.

use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use fs::platform::Timestamp;
use x86_64::instructions::port::Port;

use super::cpu;

/// Ticks per second of the 8254.
const PIT_HZ: u64 = 1_193_182;
const PIT_TICKS: u64 = PIT_HZ / 200;

/// Nanoseconds per tick, times 2³².
static SCALE: AtomicU64 = AtomicU64::new(0);
static START: AtomicU64 = AtomicU64::new(0);
/// Seconds since 1970 when the date was set, and what [`monotonic_ns`] was then. In nanoseconds alone, 64
/// bits end in 2262.
static WALL: AtomicI64 = AtomicI64::new(0);
static WALL_SET: AtomicU64 = AtomicU64::new(0);

/// The coarse clock stands still for 2 to this power ticks.
static COARSE: AtomicU32 = AtomicU32::new(0);
/// The step that the time of day was worked out in last, and what came of it: seconds above, 30 bits of
/// nanoseconds below.
static COARSE_STEP: AtomicU64 = AtomicU64::new(u64::MAX);
static COARSE_NOW: AtomicU64 = AtomicU64::new(0);

/// Returns the time-stamp counter's value, in ticks.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC exists on every 64-bit CPU and is allowed in ring 0.
    unsafe { _rdtsc() }
}

/// Notes the start and finds the rate; `true` if it had to be measured.
pub fn init() -> (u64, bool) {
    START.store(ticks(), Ordering::Relaxed);
    let (hz, measured) = match told() {
        Some(hz) => (hz, false),
        None => (measure(), true),
    };
    // The largest power of two that is no more than 4 ms.
    COARSE.store((hz / 250).max(1).ilog2(), Ordering::Relaxed);
    SCALE.store((1_000_000_000u128 << 32).div_euclid(u128::from(hz.max(1))) as u64, Ordering::Relaxed);
    (hz, measured)
}

/// Sets the date: now is so many seconds after 1970-01-01 00:00:00 UTC. Before the call, it is 1970.
pub fn set_date(seconds: i64) {
    WALL_SET.store(monotonic_ns(), Ordering::Relaxed);
    WALL.store(seconds, Ordering::Relaxed);
}

fn told() -> Option<u64> {
    if cpu::features().hypervisor && __cpuid(0x4000_0000).eax >= 0x4000_0010 {
        let khz = __cpuid(0x4000_0010).eax;
        if khz != 0 {
            return Some(u64::from(khz) * 1000);
        }
    }
    if cpu::features().max_leaf >= 0x15 {
        let leaf = __cpuid(0x15);
        if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
            return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax));
        }
    }
    None
}

/// Compares the two counters over [`PIT_TICKS`].
fn measure() -> u64 {
    let mut gate = Port::<u8>::new(0x61);
    // SAFETY: channel 2 drives the speaker only. Gate on, speaker off; mode 0: it counts down from 0xffff.
    unsafe {
        let old = gate.read();
        gate.write((old & !2) | 1);
        Port::<u8>::new(0x43).write(0b1011_0000);
        Port::<u8>::new(0x42).write(0xff);
        Port::<u8>::new(0x42).write(0xff);
    }
    let start = sample();
    loop {
        let now = sample();
        let counted = u64::from(start.1.wrapping_sub(now.1));
        let passed = now.0 - start.0;
        if counted >= PIT_TICKS {
            return passed * PIT_HZ / counted;
        }
        // Without a timer, the rate is wrong rather than the boot stuck.
        if passed > 1 << 32 {
            return 1 << 32;
        }
    }
}

/// Both counters at the same time: of a few tries, the one that took least.
fn sample() -> (u64, u16) {
    let once = || {
        let before = ticks();
        // SAFETY: latches channel 2's count and reads its two halves.
        let count = unsafe {
            Port::<u8>::new(0x43).write(0b1000_0000);
            let mut channel = Port::<u8>::new(0x42);
            u16::from_le_bytes([channel.read(), channel.read()])
        };
        let after = ticks();
        (after - before, before + (after - before) / 2, count)
    };
    let best = (0..5).map(|_| once()).min();
    best.map_or((ticks(), 0), |(_, at, count)| (at, count))
}

/// Returns the nanoseconds since [`init`].
#[inline]
pub fn monotonic_ns() -> u64 {
    to_ns(ticks().saturating_sub(START.load(Ordering::Relaxed)))
}

/// Returns how many nanoseconds `ticks` take.
#[inline]
pub fn to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32) as u64
}

/// Returns the time of day.
#[inline]
pub fn now() -> Timestamp {
    let ns = monotonic_ns().saturating_sub(WALL_SET.load(Ordering::Relaxed));
    let secs = WALL.load(Ordering::Relaxed) + (ns / 1_000_000_000) as i64;
    Timestamp { secs, nanos: (ns % 1_000_000_000) as u32 }
}

/// Returns the time of day of at most some milliseconds ago. Mostly one look at the counter: it is worked
/// out anew when that has gone on by [`COARSE`] ticks.
#[inline]
pub fn now_coarse() -> Timestamp {
    let step = ticks() >> COARSE.load(Ordering::Relaxed);
    if COARSE_STEP.load(Ordering::Acquire) != step {
        renew_coarse(step);
    }
    let packed = COARSE_NOW.load(Ordering::Relaxed);
    Timestamp { secs: (packed >> 30) as i64, nanos: packed as u32 & ((1 << 30) - 1) }
}

/// Waits for the instant at which [`now_coarse`] is worked out anew, and has it done. What follows finds the
/// clock the same number of instructions old in every run that counts them.
pub fn await_coarse() {
    let step = || ticks() >> COARSE.load(Ordering::Relaxed);
    let before = step();
    while step() == before {
        core::hint::spin_loop();
    }
    now_coarse();
}

#[cold]
fn renew_coarse(step: u64) {
    let Timestamp { secs, nanos } = now();
    // The later one stays, if another CPU is doing the same.
    COARSE_NOW.fetch_max((secs.max(0) as u64) << 30 | u64::from(nanos), Ordering::Relaxed);
    COARSE_STEP.store(step, Ordering::Release);
}

/// Waits at least `us` microseconds.
pub fn stall_us(us: u64) {
    let end = monotonic_ns() + us * 1000;
    while monotonic_ns() < end {
        core::hint::spin_loop();
    }
}
