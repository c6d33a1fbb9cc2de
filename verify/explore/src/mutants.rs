//! Each mistake, and where it is found.
//!
//! A mistake that is not found is a hole in what is explored, or no mistake. So each has a world in the table
//! of races in which it must be found; the schedule is made as short as possible before it is shown.

use crate::find::{Mode, explore};
use crate::shrink::shrink;
use crate::story::tell;
use crate::world::Images;
use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::lab::schedule::World;
use fs::lab::schedule::races::{RACES, Race};
use std::collections::VecDeque;
use std::sync::Mutex;

/// A mistake: a mutant, or the racy protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarry {
    /// What Linux did before 2016.
    Racy,
    /// A named mistake.
    Mutant(Mutant),
}

/// Runs after which a world is given up.
const MOST: u64 = 20_000;

const NO_JOURNAL: &str = "no world's file system has a journal: fs/tests/journaled.rs";
const THE_JOURNAL: &str = "no world has a journal: `each_mistake_is_found` in fs/tests/jbd2_writer.rs";

/// Those that no world here can show, and who does.
pub const ELSEWHERE: &[(Mutant, &str)] = &[
    (
        Mutant::PrivateNeedsWritable,
        "no world is mounted read-only: `race R22` in the kernel, fs/tests/dax.rs",
    ),
    (Mutant::CopyUnderLock, "a mistake of who calls read(2) with a mapped buffer: `race R12` in the kernel"),
    (Mutant::IgnoreUncommitted, NO_JOURNAL),
    (Mutant::BeginBeforeLock, NO_JOURNAL),
    (Mutant::BeginUnderEntry, NO_JOURNAL),
    (Mutant::NoCommit, NO_JOURNAL),
    (Mutant::CommitBeforeData, THE_JOURNAL),
    (Mutant::NoCommitFence, THE_JOURNAL),
    (Mutant::TailTooEarly, THE_JOURNAL),
    (Mutant::NoRevoke, THE_JOURNAL),
    (Mutant::ReuseBeforeCommit, THE_JOURNAL),
];

/// Finds the mistake of that name; `racy` is the protocol.
///
/// # Errors
/// There is none, or none here.
pub fn named(name: &str) -> Result<Quarry, String> {
    if name == "racy" {
        return Ok(Quarry::Racy);
    }
    let mutant = name.parse::<Mutant>().map_err(|_| {
        let near = Mutant::ALL.iter().find(|mutant| mutant.name().split('-').any(|word| name.contains(word)));
        let near = near.map_or_else(String::new, |mutant| format!(" (`{mutant}`?)"));
        format!("no such mistake: `{}`{near}", name.escape_debug())
    })?;
    match ELSEWHERE.iter().find(|(other, _)| *other == mutant) {
        Some((_, why)) => Err(format!("{mutant}: {why}")),
        None => Ok(Quarry::Mutant(mutant)),
    }
}

/// Returns the world in which it must be found, with the mistake in it.
///
/// # Errors
/// It has none.
pub fn home(quarry: Quarry) -> Result<World, String> {
    let mutants = match quarry {
        Quarry::Racy => Vec::new(),
        Quarry::Mutant(mutant) => vec![mutant],
    };
    let protocol = |race: &Race| race.on.first().copied().unwrap_or_default();
    let mut worlds = RACES.iter().filter_map(|race| Some(race.on(protocol(race)).ok()?.world));
    let is_racy = |world: &World| world.protocol == Protocol::Racy;
    let is_home = |world: &World| world.mutants == mutants && is_racy(world) == (quarry == Quarry::Racy);
    worlds.find(is_home).ok_or_else(|| format!("{quarry:?}: no world is known in which it is found"))
}

/// Looks for each of them (all, if none is given); `line` is told of each. True if one survived.
pub fn all(quarries: &[Quarry], images: &Images, line: &(dyn Fn(String) + Sync)) -> bool {
    let every: Vec<Quarry> = match quarries {
        [] => {
            let mutants =
                Mutant::ALL.iter().filter(|mutant| !ELSEWHERE.iter().any(|(other, _)| other == *mutant));
            [Quarry::Racy].into_iter().chain(mutants.map(|&mutant| Quarry::Mutant(mutant))).collect()
        }
        some => some.to_vec(),
    };
    let count = every.len();
    let next = Mutex::new(VecDeque::from(every));
    let survivors = Mutex::new(Vec::new());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let quarry = next.lock().expect("no thread panicked").pop_front();
                    let Some(quarry) = quarry else { break };
                    let (found, text) = look_for(quarry, images);
                    line(text);
                    if !found {
                        survivors.lock().expect("no thread panicked").push(quarry);
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("no thread panicked").len();
    line(format!("{} of {count} mistakes found", count - survivors));
    if quarries.is_empty() {
        ELSEWHERE.iter().for_each(|(mutant, why)| line(format!("not here: {mutant}: {why}")));
    }
    survivors > 0
}

/// Whether it is found, and in what words.
fn look_for(quarry: Quarry, images: &Images) -> (bool, String) {
    let name = match quarry {
        Quarry::Racy => "racy".to_owned(),
        Quarry::Mutant(mutant) => mutant.to_string(),
    };
    let world = match home(quarry) {
        Ok(world) => world,
        Err(why) => return (false, format!("SURVIVED: {why}")),
    };
    let report = explore(&world, images, Mode::Exhaustive { most: MOST });
    let Some(found) = report.found else {
        return (false, format!("SURVIVED: {name}: {} schedules of {world}", report.schedules));
    };
    let shortest = shrink(&found, images, MOST / 10);
    let (story, again) = tell(&shortest.world, images, shortest.order);
    let (verdict, what) = (shortest.verdict, again.wrong.unwrap_or(shortest.what));
    let (schedules, ms) = (report.schedules, report.time.as_millis());
    (true, format!("{name}: {verdict}: {what}; after {schedules} schedules, {ms} ms\n  story: {story}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_a_world_or_a_reason_and_not_both() {
        for &mutant in Mutant::ALL {
            let elsewhere = ELSEWHERE.iter().any(|(other, _)| *other == mutant);
            assert_ne!(home(Quarry::Mutant(mutant)).is_ok(), elsewhere, "{mutant}");
            assert_eq!(named(mutant.name()).is_ok(), !elsewhere, "{mutant}");
        }
    }
}
