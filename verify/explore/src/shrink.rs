//! The shortest order that shows the same.
//!
//! 1. Parts and operations that are not needed go, as long as an exhaustive look at the smaller world still
//!    finds something.
//! 2. In what is left every class of orders is run, up to a bound, and of those that fail the one is taken
//!    that needs the fewest switches between CPUs, then the fewest steps. Within a class the order with the
//!    fewest switches is computed: whoever runs goes on for as long as what happened before allows it.

use crate::find::{Found, Mode, explore, repeat, with};
use crate::sched::dpor::Dpor;
use crate::sched::engine::with_races;
use crate::sched::races::Races;
use crate::sched::{CPUS, Cpu};
use crate::story::Order;
use crate::world::Images;
use fs::lab::schedule::World;

/// Finds the smallest world that still fails, and the shortest order in it. `most`: runs for each world
/// looked at.
pub fn shrink(found: &Found, images: &Images, most: u64) -> Found {
    let mut found = found.clone();
    // 1. Less to do.
    'again: loop {
        for smaller in smaller(&found.world) {
            if let Some(other) = explore(&smaller, images, Mode::Exhaustive { most }).found {
                found = other;
                continue 'again;
            }
        }
        break;
    }
    // 2. Fewer switches.
    let mut best = (switches(&found.order), found.order.len());
    let mut dpor = Box::new(Dpor::new());
    for _ in 0..most {
        let (outcome, back) = with(&found.world, images, dpor, false);
        dpor = back;
        // The steps of this run are looked at before another one is made.
        dpor.note_races();
        if outcome.wrong.is_some() {
            let order = dpor.order();
            let candidate = with_races(|races| fewest_switches(races, &order));
            let size = (switches(&candidate), candidate.len());
            if size < best {
                let (again, taken) = repeat(&found.world, images, candidate, false);
                if let Some(what) = again.wrong {
                    best = size;
                    found = Found { verdict: again.end.verdict(), what, order: taken, ..found };
                }
            }
        }
        if !dpor.go_on() {
            break;
        }
    }
    found
}

/// Worlds with an operation, or a CPU, less.
fn smaller(world: &World) -> Vec<World> {
    let mut worlds = Vec::new();
    for cpu in 0..world.parts.len() {
        if world.parts.len() > 1 {
            let mut less = world.clone();
            less.parts.remove(cpu);
            worlds.push(less);
        }
        for nth in 0..world.parts[cpu].ops.len() {
            if world.parts[cpu].ops.len() > 1 {
                let mut less = world.clone();
                less.parts[cpu].ops.remove(nth);
                worlds.push(less);
            }
        }
    }
    worlds
}

fn switches(order: &Order) -> usize {
    order.windows(2).filter(|two| two[0].0 != two[1].0).count()
}

/// The same run in the order with the fewest switches.
fn fewest_switches(races: &Races, order: &Order) -> Order {
    let mut best: Option<Order> = None;
    for first in 0..CPUS {
        let candidate = from(races, order, first);
        if best.as_ref().is_none_or(|best| switches(&candidate) < switches(best)) {
            best = Some(candidate);
        }
    }
    best.unwrap_or_else(|| order.clone())
}

/// Beginning with `first`: each as far as it can.
fn from(races: &Races, order: &Order, first: Cpu) -> Order {
    let mut again = races.again();
    let mut result = Vec::with_capacity(order.len());
    let mut cpu = first;
    while result.len() < races.taken.len() {
        while let Some(index) = again.take(cpu) {
            result.push(order[index]);
        }
        cpu = (cpu + 1) % CPUS;
    }
    result
}
