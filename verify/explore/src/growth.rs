//! How the number of schedules grows with CPUs and operations, with and without reduction.
//!
//! With reduction it is counted, up to a bound. Without it is counted where that can be done; else it is
//! estimated from some orders drawn by lot ([`Descent`]), and marked with a `~`. The mean of such numbers
//! comes from the few largest: it tells the order of magnitude, and is more often too small than too large.

use crate::find::{Mode, Report, explore, with};
use crate::sched::naive::{Descent, Naive};
use crate::world::Images;
use fs::dax::Protocol;
use fs::lab::schedule::World;
use std::time::{Duration, Instant};

/// What each CPU of a line does: more CPUs, then more operations.
const PARTS: [&str; 10] = [
    "page.dirty/a:load/b:store",
    "page.hole/a:store",
    "page.hole/a:load/a:store",
    "page.hole/a:store/a:store",
    "page.hole/a:store/a:store/a:store",
    "page.hole/a:store/a:store/a:store/a:store",
    "page.block/a:load/b:load",
    "page.block/a:load+store/b:load",
    "page.block/a:load+store/b:load+store",
    "page.block/a:load+store+msync/b:load+store+msync",
];

/// Orders drawn by lot, for an estimate.
const DESCENTS: u64 = 300;

/// How many orders there are without reduction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Without {
    /// All were run.
    Counted(u64),
    /// The logarithm to the base of ten of what is to be expected.
    Estimated(f64),
}

/// Prints the table, line by line. No world is run more often than `most` times, with or without reduction.
pub fn table(images: &Images, most: u64, mut out: impl FnMut(&str)) {
    let line = |cells: [&str; 7]| {
        let [world, cpus, ops, steps, with, without, time] = cells;
        format!("{world:<60} {cpus:>4} {ops:>10} {steps:>6} {with:>10} {without:>12} {time:>8}\n")
    };
    out(&format!(
        "reduction: source sets and sleep sets, every class once, up to {most} schedules (`>`: there are more)\n\
         without: every order, counted up to {most}; `~`: estimated from {DESCENTS} orders by lot (Knuth 1975)\n"
    ));
    out(&line(["world", "CPUs", "operations", "steps", "reduced", "without", "time"]));
    for protocol in Protocol::SOUND {
        for parts in PARTS {
            let world: World = format!("{protocol}/{parts}").parse().expect("the text of a world");
            let Report { schedules, longest, whole, time, found, .. } =
                explore(&world, images, Mode::Exhaustive { most });
            let with = match (&found, whole) {
                (Some(found), _) => found.verdict.to_string(),
                (None, true) => schedules.to_string(),
                (None, false) => format!(">{schedules}"),
            };
            let begun = Instant::now();
            let without = match without(&world, images, most) {
                Without::Counted(count) => count.to_string(),
                Without::Estimated(log) => estimate(log),
            };
            let ops: usize = world.parts.iter().map(|part| part.ops.len()).sum();
            let (cpus, ops, steps) = (world.parts.len().to_string(), ops.to_string(), longest.to_string());
            let time = seconds(time + begun.elapsed());
            out(&line([&world.to_string(), &cpus, &ops, &steps, &with, &without, &time]));
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// As `~3e57`.
fn estimate(log: f64) -> String {
    let exponent = log.floor();
    let digit = 10_f64.powf(log - exponent).round();
    if digit == 10.0 { format!("~1e{}", exponent + 1.0) } else { format!("~{digit}e{exponent}") }
}

/// How many orders the world has: counted if there are no more than `most`.
fn without(world: &World, images: &Images, most: u64) -> Without {
    let logs: Vec<f64> =
        (0..DESCENTS).map(|seed| with(world, images, Box::new(Descent::new(seed)), false).1.log).collect();
    let estimated = mean(&logs) / std::f64::consts::LN_10;
    // Where that is beyond all counting, it is not begun.
    if estimated > (most as f64).log10() + 2.0 {
        return Without::Estimated(estimated);
    }
    let mut naive = Box::new(Naive::new());
    for count in 1..=most {
        naive = with(world, images, naive, false).1;
        if !naive.advance() {
            return Without::Counted(count);
        }
    }
    Without::Estimated(estimated)
}

/// The logarithm of the mean of the numbers whose logarithms these are.
fn mean(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    largest + (sum / logs.len() as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::engine::{Body, Need, run, visible};
    use crate::sched::touch::Touch;
    use std::any::Any;

    /// Three CPUs of three steps each: 9! / 3!³ orders, of which each is as likely as its own estimate says.
    #[test]
    fn what_is_estimated_is_what_is_counted() {
        let bodies = || -> Vec<Body> {
            let body = || {
                (0..3).for_each(|_| {
                    visible(Touch::Nothing, Need::Nothing, 1, "step");
                })
            };
            (0..3).map(|_| Box::new(body) as Body).collect()
        };
        let mut naive = Box::new(Naive::new());
        let mut count = 0;
        loop {
            let chooser: Box<dyn Any> = run(bodies(), naive, false).chooser;
            naive = chooser.downcast().expect("the one that was given");
            count += 1;
            if !naive.advance() {
                break;
            }
        }
        assert_eq!(count, 1680);
        let log = |seed| {
            let chooser: Box<dyn Any> = run(bodies(), Box::new(Descent::new(seed)), false).chooser;
            chooser.downcast::<Descent>().expect("the one that was given").log
        };
        let logs: Vec<f64> = (0..2000).map(log).collect();
        let estimated = mean(&logs).exp();
        assert!((1400.0..2000.0).contains(&estimated), "{estimated}");
    }

    #[test]
    fn an_estimate_is_one_digit_and_a_power() {
        assert_eq!([estimate(57.4771), estimate(2.0), estimate(2.99)], ["~3e57", "~1e2", "~1e3"]);
    }
}
