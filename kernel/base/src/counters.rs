//! What is counted: on each CPU for itself, and shown as the sum.

use fs::stats::Stats;

use crate::arch::percpu;
pub use crate::arch::percpu::stats;

/// Returns what all CPUs counted.
pub fn total() -> Stats {
    let total = Stats::new();
    percpu::all().for_each(|cpu| total.add(cpu.stats()));
    total
}

/// Clears every counter.
pub fn reset() {
    percpu::all().for_each(|cpu| cpu.stats().reset());
}
