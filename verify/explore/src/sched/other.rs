//! Orders by chance, with a guarantee; and a given order.

use super::engine::{Choice, Chooser, ChooserView};
use super::{CPUS, Cpu};

/// Random numbers: xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Makes one. The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Draws a number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end.max(1)
    }
}

/// One order by chance: each CPU has a priority, the highest that can goes; at `depth - 1` steps drawn by lot
/// the one that is about to go falls to the lowest. A bug that needs `depth` orderings among `cpus` CPUs and
/// `steps` steps is met by one such run with a probability of at least `1 / (cpus × steps^(depth - 1))`.
///
/// S. Burckhardt, P. Kothari, M. Musuvathi, S. Nagarakatte: A randomized scheduler with probabilistic
/// guarantees of finding bugs (ASPLOS 2010).
pub struct Pct {
    priority: [u64; CPUS],
    falls: Vec<usize>,
    random: Random,
    /// Who took each step, in which way.
    pub taken: Vec<(Cpu, u8)>,
}

impl Pct {
    /// Makes an order for runs of about `steps` steps.
    pub fn new(seed: u64, steps: usize, depth: usize) -> Self {
        let mut random = Random::new(seed);
        let mut order = [0, 1, 2, 3];
        for at in (1..CPUS).rev() {
            order.swap(at, random.below(at as u64 + 1) as usize);
        }
        let priority = order.map(|place| (place + depth) as u64);
        let falls = (1..depth).map(|_| random.below(steps as u64) as usize).collect();
        Self { priority, falls, random, taken: Vec::new() }
    }
}

impl Chooser for Pct {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        let highest = |priority: &[u64; CPUS]| {
            (0..CPUS)
                .filter(|cpu| view.enabled & 1 << cpu != 0)
                .max_by_key(|&cpu| priority[cpu])
                .expect("one can go")
        };
        let mut cpu = highest(&self.priority);
        if let Some(place) = self.falls.iter().position(|&step| step == view.step) {
            self.priority[cpu] = place as u64;
            cpu = highest(&self.priority);
        }
        // Who goes round waiting for another lets it go.
        if matches!(view.pending[cpu], Some(pending) if pending.need == super::engine::Need::Others) {
            self.priority[cpu] = 0;
        }
        let ways = view.pending[cpu].map_or(1, |pending| pending.ways);
        let way = self.random.below(ways.into()) as u8;
        self.taken.push((cpu, way));
        Choice::Go(cpu, way)
    }
}

/// A given order: who goes at each step; afterwards, and where the one named cannot, whoever went last goes
/// on.
pub struct Given {
    order: Vec<(Cpu, u8)>,
    /// The order that was taken.
    pub taken: Vec<(Cpu, u8)>,
    /// At each step, who could have gone, as bits.
    pub able: Vec<u32>,
    /// At each step, in how many ways it could be taken.
    pub ways: Vec<u8>,
}

impl Given {
    /// Makes one that follows that order.
    pub fn new(order: Vec<(Cpu, u8)>) -> Self {
        Self { order, taken: Vec::new(), able: Vec::new(), ways: Vec::new() }
    }
}

impl Chooser for Given {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        let can = |cpu: Cpu| view.enabled & 1 << cpu != 0;
        let (cpu, way) = match self.order.get(view.step) {
            Some(&(cpu, way)) if can(cpu) => (cpu, way),
            _ if can(view.last) => (view.last, 0),
            _ => (view.enabled.trailing_zeros() as Cpu, 0),
        };
        let ways = view.pending[cpu].map_or(1, |pending| pending.ways);
        let way = way.min(ways - 1);
        self.taken.push((cpu, way));
        self.able.push(view.enabled);
        self.ways.push(ways);
        Choice::Go(cpu, way)
    }
}
