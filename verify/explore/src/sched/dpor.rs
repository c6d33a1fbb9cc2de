//! Every order that matters, once: dynamic partial-order reduction with source sets and sleep sets.
//!
//! Orders that differ only in steps that touch nothing in common are the same to everybody. Of each such
//! class one order is run to its end; where a run shows two steps that could have come the other way round (a
//! [race](super::races::RacePair)), a CPU is noted at the place of the earlier one, from which the other way
//! is reached (a *source set*). What was run from a place already *sleeps* there until somebody takes a step
//! that matters to it: so no class is run to its end twice.
//!
//! P. Abdulla, S. Aronis, B. Jonsson, K. Sagonas: Optimal dynamic partial order reduction (POPL 2014),
//! algorithm 1.

use super::engine::{Choice, Chooser, ChooserView, with_races};
use super::{CPUS, Cpu};

/// A place in the order: what can go from here, what was run, what is to be run.
struct DporNode {
    enabled: u32,
    /// Asleep when it was come to.
    sleep: u32,
    /// To be run from here.
    backtrack: u32,
    /// Were run.
    done: u32,
    chosen: Cpu,
    /// Which of its ways, of how many.
    way: u8,
    ways: [u8; CPUS],
}

/// The exploration of one world.
#[derive(Default)]
pub struct Dpor {
    path: Vec<DporNode>,
    /// Asleep where the run has come to.
    sleep: u32,
    from: u32,
    /// Steps taken on new ground: places in the tree of orders.
    pub places: u64,
}

impl Dpor {
    /// Makes one that has run nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns who took each step of the run that was last, in which way.
    pub fn order(&self) -> Vec<(Cpu, u8)> {
        self.path.iter().map(|node| (node.chosen, node.way)).collect()
    }

    /// Notes, after a run, what else is to be run. False if that was all.
    #[allow(clippy::should_implement_trait)] // It gives nothing to iterate over.
    pub fn next(&mut self) -> bool {
        self.note_races();
        self.go_on()
    }

    /// Does the first half of [`next`](Self::next), while the steps of the run are known.
    pub fn note_races(&mut self) {
        with_races(|races| {
            for at in 0..races.found.len() {
                let race = races.found[at];
                let node = &mut self.path[race.0 as usize];
                let initials = races.initials(race);
                if initials & (node.backtrack | node.sleep) == 0 {
                    let able = initials & node.enabled;
                    // The lowest will do; where none can go yet, whoever can leads there.
                    node.backtrack |= if able != 0 { able & able.wrapping_neg() } else { node.enabled };
                }
            }
        });
    }

    /// Does the second half. False if that was all.
    pub fn go_on(&mut self) -> bool {
        self.sleep = 0;
        while let Some(at) = self.path.len().checked_sub(1) {
            self.from = at as u32;
            let node = &mut self.path[at];
            if node.way + 1 < node.ways[node.chosen] {
                node.way += 1;
                return true;
            }
            node.done |= 1 << node.chosen;
            let next = node.backtrack & !node.done & !node.sleep;
            if next != 0 {
                (node.chosen, node.way) = (next.trailing_zeros() as Cpu, 0);
                return true;
            }
            self.path.pop();
        }
        false
    }
}

impl Chooser for Dpor {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        if view.step == self.path.len() {
            let awake = view.enabled & !self.sleep;
            if awake == 0 {
                return Choice::Stop;
            }
            // Whoever runs goes on: fewer switches to read.
            let chosen = if awake & 1 << view.last != 0 { view.last } else { awake.trailing_zeros() as Cpu };
            let ways = view.pending.map(|pending| pending.map_or(1, |pending| pending.ways));
            let (enabled, sleep) = (view.enabled, self.sleep);
            self.path.push(DporNode {
                enabled,
                sleep,
                backtrack: 1 << chosen,
                done: 0,
                chosen,
                way: 0,
                ways,
            });
            self.places += 1;
        } else if view.step + 1 == self.path.len() {
            self.places += 1;
        }
        let node = &self.path[view.step];
        debug_assert_eq!(node.enabled, view.enabled, "the same order leads to another place");
        let mut sleep = (node.sleep | node.done) & !(1 << node.chosen);
        if sleep != 0 {
            let step = view.pending[node.chosen].expect("a step of the one chosen").touch;
            for cpu in 0..CPUS {
                if sleep & 1 << cpu != 0 && view.pending[cpu].is_none_or(|other| other.touch.meets(&step)) {
                    sleep &= !(1 << cpu);
                }
            }
        }
        self.sleep = sleep;
        Choice::Go(node.chosen, node.way)
    }

    fn races_from(&self) -> u32 {
        self.from
    }
}
