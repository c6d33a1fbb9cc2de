//! One world explored: which orders are run, and what that covers.

use crate::sched::Cpu;
use crate::sched::dpor::Dpor;
use crate::sched::engine::{Chooser, End};
use crate::sched::other::{Given, Pct};
use crate::world::{Images, WorldOutcome, run};
use fs::lab::schedule::World;
use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

/// Which orders are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One of each class of orders that are the same to everybody; as many runs at most.
    Exhaustive {
        /// After so many runs it is given up.
        most: u64,
    },
    /// So many orders by chance, each with a few changes of who goes first (PCT).
    Random {
        /// Runs.
        runs: u64,
        /// The order that a bug may need: `depth - 1` changes.
        depth: usize,
        /// The same seed gives the same orders.
        seed: u64,
    },
}

/// What was run, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Runs.
    pub schedules: u64,
    /// Of them those that were broken off, for the rest was known.
    pub cut: u64,
    /// Steps taken on new ground.
    pub places: u64,
    /// The longest run.
    pub longest: u64,
    /// Digests of the states that runs ended in.
    pub states: HashSet<u64>,
    /// Every class of orders was run.
    pub whole: bool,
    /// How long it took.
    pub time: Duration,
    /// What does not hold.
    pub found: Option<Found>,
}

/// What is said of an order in which a property does not hold. The kernel's races say the same, and `kept` of
/// the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something is wrong with what was stored or seen.
    Lost,
    /// Nobody can go on, or somebody goes round and round.
    Stuck,
}

impl End {
    /// Returns what is said of a run that ended so and in which something does not hold.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Stuck | Self::Endless => Verdict::Stuck,
            Self::Through | Self::Stopped | Self::Failed => Verdict::Lost,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lost => "lost",
            Self::Stuck => "stuck",
        })
    }
}

/// A property that does not hold, and the order that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The world.
    pub world: World,
    /// What is said of it.
    pub verdict: Verdict,
    /// What does not hold.
    pub what: String,
    /// Who took each step, in which way.
    pub order: Vec<(Cpu, u8)>,
}

/// Explores `world`; ends at the first that does not hold.
pub fn explore(world: &World, images: &Images, mode: Mode) -> Report {
    let begun = Instant::now();
    let mut report = Report::default();
    match mode {
        Mode::Exhaustive { most } => {
            let mut dpor = Box::new(Dpor::new());
            loop {
                let (outcome, back) = with(world, images, dpor, false);
                dpor = back;
                if report.count(world, &outcome, || dpor.order()) {
                    break;
                }
                if !dpor.next() {
                    report.whole = true;
                    break;
                }
                if report.schedules >= most {
                    break;
                }
            }
            report.places = dpor.places;
        }
        Mode::Random { runs, depth, seed } => {
            let mut steps = 100;
            for nth in 0..runs {
                let pct = Box::new(Pct::new(seed.wrapping_add(nth), steps, depth));
                let (outcome, pct) = with(world, images, pct, false);
                steps = steps.max(outcome.steps);
                report.places += outcome.steps as u64;
                if report.count(world, &outcome, || pct.taken.clone()) {
                    break;
                }
            }
        }
    }
    report.time = begun.elapsed();
    report
}

/// Runs the world once in that order; and the order that was taken.
pub fn repeat(
    world: &World,
    images: &Images,
    order: Vec<(Cpu, u8)>,
    log: bool,
) -> (WorldOutcome, Vec<(Cpu, u8)>) {
    let (outcome, given) = with(world, images, Box::new(Given::new(order)), log);
    (outcome, given.taken)
}

/// Runs once, and gives the chooser back.
pub(crate) fn with<C: Chooser>(
    world: &World,
    images: &Images,
    chooser: Box<C>,
    log: bool,
) -> (WorldOutcome, Box<C>) {
    let mut outcome = run(world, images, chooser, log);
    let chooser: Box<dyn Any> = outcome.chooser.take().expect("a run gives its chooser back");
    (outcome, chooser.downcast().unwrap_or_else(|_| unreachable!("it is the one that was given")))
}

impl Report {
    /// Takes a run into account; true if it is the last, for something was found.
    fn count(
        &mut self,
        world: &World,
        outcome: &WorldOutcome,
        order: impl FnOnce() -> Vec<(Cpu, u8)>,
    ) -> bool {
        self.schedules += 1;
        self.longest = self.longest.max(outcome.steps as u64);
        match (&outcome.wrong, outcome.end) {
            (Some(what), _) => {
                let (world, what, verdict) = (world.clone(), what.clone(), outcome.end.verdict());
                self.found = Some(Found { world, verdict, what, order: order() });
                return true;
            }
            (None, End::Stopped) => self.cut += 1,
            (None, _) => {
                self.states.insert(outcome.state);
            }
        }
        false
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhaustive { most: u64::MAX } => f.write_str("exhaustive, with partial-order reduction"),
            Self::Exhaustive { most } => {
                write!(f, "exhaustive, with partial-order reduction, up to {most} schedules a world")
            }
            Self::Random { runs, depth, seed } => {
                write!(f, "random (PCT): {runs} schedules a world, depth {depth}, seed {seed}")
            }
        }
    }
}
