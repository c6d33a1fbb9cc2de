//! Random sequences of operations, by name, by copying and through mappings, against a model in memory;
//! e2fsck and debugfs judge what is left of each.
//!
//! | variable | meaning |
//! |---|---|
//! | `DAXIOM_SEQUENCES` | how many sequences each test runs (40 or 60; with DAXIOM_LONG 20 times as many) |
//! | `DAXIOM_SEED` | run this one sequence only |
//! | `DAXIOM_STEPS` | stop it after so many steps |
//!
//! A failure prints what to set to see it again, with as few steps as still fail.

mod attributes;
mod judge;
mod names;
mod world;

use crate::common::hostile::message;
use crate::common::{EXT2, sample, seeds, variable};
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Setting, World};

/// Runs the first `steps` steps of sequence `seed`. An error tells what happened up to it.
fn run(setting: &Setting, seed: u64, steps: u64) -> Result<(), (u64, String)> {
    let mut world = World::new(setting, seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..steps {
            world.step();
        }
        world.end();
    }));
    result.map_err(|panic| {
        let trace = std::mem::take(&mut world.trace);
        let last = trace[trace.len().saturating_sub(25)..].join("\n  ");
        // What failed half-way is in no state to be taken down: a second panic would hide the first.
        std::mem::forget(world);
        let text = format!("after {} steps: {}\n  {last}", trace.len(), message(&*panic));
        (trace.len() as u64, text)
    })
}

fn run_all(setting: &Setting) {
    let steps = variable("DAXIOM_STEPS").unwrap_or(setting.steps);
    let seeds = seeds(sample(setting.sequences, setting.sequences * 20));
    println!("{}: seeds {seeds:?}, {steps} steps each", setting.name);
    for seed in seeds {
        if let Err((failed_at, mut text)) = run(setting, seed, steps) {
            // A failure at the end may have come about long before: halve as long as it stays.
            let (mut good, mut bad) = (0, failed_at);
            while bad - good > 1 {
                let middle = good + (bad - good) / 2;
                match run(setting, seed, middle) {
                    Ok(()) => good = middle,
                    Err((_, shorter)) => (bad, text) = (middle, shorter),
                }
            }
            panic!(
                "{text}\nagain: DAXIOM_SEED={seed} DAXIOM_STEPS={bad} cargo test -p fs model::{}",
                setting.name
            );
        }
    }
}

#[test]
fn with_room_enough() {
    run_all(&Setting {
        tested: &EXT2,
        name: "with_room_enough",
        blocks: 2048,
        inodes: 256,
        steps: 250,
        sequences: 60,
        far: false,
    });
}

#[test]
fn on_a_disk_that_is_always_nearly_full() {
    run_all(&Setting {
        tested: &EXT2,
        name: "on_a_disk_that_is_always_nearly_full",
        blocks: 96,
        inodes: 24,
        steps: 300,
        sequences: 60,
        far: false,
    });
}

#[test]
fn with_files_behind_three_levels_of_pointers() {
    run_all(&Setting {
        tested: &EXT2,
        name: "with_files_behind_three_levels_of_pointers",
        blocks: 1024,
        inodes: 64,
        steps: 250,
        sequences: 40,
        far: true,
    });
}
