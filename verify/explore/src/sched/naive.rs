//! Every order without reduction, to compare with: all of them, or as many as some random ones let expect.

use super::Cpu;
use super::engine::{Choice, Chooser, ChooserView};
use super::other::Random;

/// A place in the order.
struct NaiveNode {
    enabled: u32,
    chosen: Cpu,
    way: u8,
    ways: [u8; super::CPUS],
}

/// All orders, one after the other, depth first.
#[derive(Default)]
pub struct Naive {
    path: Vec<NaiveNode>,
}

impl Naive {
    /// Makes one that has run nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves on, after a run, to what is next. False if that was all.
    pub fn advance(&mut self) -> bool {
        while let Some(node) = self.path.last_mut() {
            if node.way + 1 < node.ways[node.chosen] {
                node.way += 1;
                return true;
            }
            let others = node.enabled >> node.chosen >> 1;
            if others != 0 {
                node.chosen += 1 + others.trailing_zeros() as usize;
                node.way = 0;
                return true;
            }
            self.path.pop();
        }
        false
    }
}

impl Chooser for Naive {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        if view.step == self.path.len() {
            let ways = view.pending.map(|pending| pending.map_or(1, |pending| pending.ways));
            let chosen = view.enabled.trailing_zeros() as Cpu;
            self.path.push(NaiveNode { enabled: view.enabled, chosen, way: 0, ways });
        }
        let node = &self.path[view.step];
        assert_eq!(node.enabled, view.enabled, "the same order leads to another place");
        Choice::Go(node.chosen, node.way)
    }
}

/// One order by lot, each step any of those that can be taken, with the same probability. How many there were
/// to choose from, multiplied over the steps, is on average the number of orders.
///
/// D. Knuth: Estimating the efficiency of backtrack programs (Mathematics of Computation 29, 1975).
pub struct Descent {
    random: Random,
    /// What the number is estimated as from this order alone: its logarithm.
    pub log: f64,
}

impl Descent {
    /// Makes one. The same seed gives the same order.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), log: 0.0 }
    }
}

impl Chooser for Descent {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        let can = |cpu: &Cpu| view.enabled & 1 << cpu != 0;
        let ways = |cpu: Cpu| view.pending[cpu].map_or(1, |pending| u64::from(pending.ways));
        let count: u64 = (0..super::CPUS).filter(can).map(ways).sum();
        self.log += (count as f64).ln();
        let mut nth = self.random.below(count);
        for cpu in (0..super::CPUS).filter(can) {
            if nth < ways(cpu) {
                return Choice::Go(cpu, nth as u8);
            }
            nth -= ways(cpu);
        }
        unreachable!("the number is below the count")
    }
}
