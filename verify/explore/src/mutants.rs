//! Each mistake, and where it is found.
//!
//! A mistake that is not found is a hole in what is explored, or no mistake. So each has a world here in
//! which it must be found; the schedule is made as short as possible before it is shown.

use crate::find::{Mode, explore};
use crate::shrink::shrink;
use crate::story::tell;
use crate::world::Images;
use fs::lab::Mutant;
use fs::lab::schedule::World;
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

/// Where each is found; the `Racy` protocol first.
const HOMES: &[(Mutant, &str)] = &[
    (Mutant::LookUpBeforeLock, "entry-lock/page.hole/a:load/b:store"),
    (Mutant::NoSecondLookUp, "read-first/page.hole/a:store+load/b:store"),
    (Mutant::ZeroTwice, "read-first/page.block/a:load/b:store"),
    (Mutant::ReadAllocates, "read-first/page.hole/a:load/b:freeze"),
    (Mutant::KeepZeroPage, "read-first/page.hole/a:load/b:store"),
    (Mutant::WriteKeepsZeroPage, "read-first/page.zero/a:write"),
    (Mutant::KeepMapping, "read-first/page.dirty/a:truncate/b:load"),
    (Mutant::ForgetDirty, "read-first/page.dirty/a:punch-beside"),
    (Mutant::KeepLargeWritable, "read-first/pmd.dirty/a:msync"),
    (Mutant::FlushBeforeProtect, "read-first/page.dirty/a:msync/b:store"),
    (Mutant::NoDirtyMark, "read-first/page.hole/a:store"),
    (Mutant::MarkAfterInstall, "read-first/page.hole/a:store"),
    (Mutant::SizeBeforeLock, "read-first/page.hole/a:load/b:truncate"),
    (Mutant::LargeOverSmall, "entry-lock/pmd.hole/a4:load/b:store"),
    (Mutant::LargeIgnoresSmallLocks, "entry-lock/pmd.hole/a4:load/b:store"),
    (Mutant::WakeWrongKey, "entry-lock/page.hole/a:load/b:load"),
    (Mutant::RetryHolding, "read-first/page.hole/a:store/b:store"),
    (Mutant::NoShootdown, "read-first/page.dirty/a:truncate/b:store"),
    (Mutant::IgnorePins, "read-first/page.block/a:direct/b:punch"),
    (Mutant::CopyUnlocked, "read-first/page.hole/a:truncate/b:private"),
    (Mutant::WriteBackStuck, "read-first/page.dirty/a:fsync"),
    (Mutant::PublishBeforeZero, "read-first/page.clean/a:store/b:punch"),
    (Mutant::IgnoreFreeze, "read-first/page.hole/a:store/b:freeze"),
    (Mutant::ReadTakesNoEntry, "entry-lock/page.hole/a:load/b:store"),
    (Mutant::WakeBeforeUnlock, "entry-lock/page.hole/a:load/b:load"),
    (Mutant::InstallUnlocked, "read-first/page.hole/a:load/b:store"),
    (Mutant::LargeAllocatesShared, "read-first/pmd.hole/a:load/b:store"),
    (Mutant::MarkAfterUnlock, "read-first/page.hole/a:store"),
    (Mutant::NoZeroMark, "read-first/page.hole/a:load/b:store"),
    (Mutant::KeepLargeZeroPage, "read-first/pmd.hole/a:load/b4:store"),
    (Mutant::IgnorePoison, "read-first/page.block/a:poison/b:load"),
    (Mutant::PrivateWritesThrough, "read-first/page.hole/a:private"),
    (Mutant::KeepRun, "read-first/pmd.dirty/a:punch"),
    (Mutant::FirstSpaceOnly, "read-first/page.dirty/a:load/b:truncate"),
    (Mutant::UnmapBeforeLock, "read-first/page.hole/a:load/b:truncate"),
    (Mutant::FreeBeforeUnmap, "read-first/page.dirty/a:truncate"),
    (Mutant::TruncateKeepsCopies, "read-first/page.hole/a:truncate/b:private"),
    (Mutant::PunchDropsCopies, "read-first/page.hole/a:punch/b:private"),
    (Mutant::WriteShared, "read-first/page.hole/a:load/b:write"),
    (Mutant::ReadUnlocked, "read-first/page.block/a:read/b:truncate"),
    (Mutant::WriteUnlocked, "read-first/page.block/a:write/b:truncate+write-other"),
    (Mutant::FreeShared, "read-first/page.block/a:load/b:truncate"),
    (Mutant::WriteBackShared, "entry-lock/page.hole/a:store/b:msync"),
    (Mutant::NoFence, "read-first/page.dirty/a:msync"),
    (Mutant::FenceAfterUnlock, "read-first/page.dirty/a:msync/b:msync"),
    (Mutant::SyncTrustsTags, "read-first/page.dirty/a:fsync/b:fsync"),
    (Mutant::FlushBeforeFreeze, "read-first/page.hole/a:store/b:freeze"),
    (Mutant::FreeAtUnlink, "read-first/page.block/a:unlink/b:load"),
    (Mutant::ShootdownFirst, "read-first/page.dirty/a:truncate/b:store"),
    (Mutant::LargeOverTable, "read-first/pmd.block/a:load/a:punch-beside+load+fallocate"),
];

/// Those that no world here can show, and who does.
pub const ELSEWHERE: &[(Mutant, &str)] = &[
    (
        Mutant::PrivateNeedsWritable,
        "no world is mounted read-only: `race R22` in the kernel, fs/tests/mutants.rs",
    ),
    (Mutant::CopyUnderLock, "a mistake of who calls read(2) with a mapped buffer: `race R12` in the kernel"),
];

/// The mistake of that name; `racy` is the protocol.
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

/// The world in which it must be found, with the mistake in it.
///
/// # Errors
/// It has none.
pub fn home(quarry: Quarry) -> Result<World, String> {
    let (text, mutants) = match quarry {
        Quarry::Racy => ("racy/page.hole/a:load/b:store", Vec::new()),
        Quarry::Mutant(mutant) => {
            let home = HOMES.iter().find(|(other, _)| *other == mutant);
            (home.ok_or_else(|| format!("{mutant}: no world is known in which it is found"))?.1, vec![mutant])
        }
    };
    let world: World = text.parse().map_err(|error| format!("{text}: {error}"))?;
    Ok(World { mutants, ..world })
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
        assert!(HOMES.len() >= 30);
    }
}
