//! When operations began and ended, in the orders of steps that are the same run.
//!
//! The scheduler runs one order of each class. What must hold of "before" and "after" must hold in each order
//! of the class: in one of them a load may come after a store had ended which it overlaps in the one that was
//! run. So the steps are put in order anew, once for each order of preference among the CPUs, as early as
//! what happened before allows. For one operation a CPU these are all there is to tell them apart; for more,
//! not every order is looked at.

use super::{BEFORE_START, Performed};
use crate::model::{Done, START_WORD, Seen};
use crate::sched::engine::with_races;
use crate::sched::races::Races;
use crate::sched::{CPUS, Cpu};
use fs::lab::schedule::{Effect, Start, World};

/// Calls `f` with the history, with times of each such order.
pub(crate) fn each(
    history: &[Performed],
    cpus: usize,
    mut f: impl FnMut(&[Done]) -> Result<(), String>,
) -> Result<(), String> {
    let mut first: Cpu = 0;
    let mut preference: Vec<Cpu> = (0..cpus).collect();
    // All orders of up to four CPUs, by Heap's algorithm.
    let mut counts = [0; CPUS];
    f(&with_races(|races| timed(races, history, &preference)))?;
    while first < cpus {
        if counts[first] < first {
            let other = if first.is_multiple_of(2) { 0 } else { counts[first] };
            preference.swap(other, first);
            f(&with_races(|races| timed(races, history, &preference)))?;
            counts[first] += 1;
            first = 0;
        } else {
            counts[first] = 0;
            first += 1;
        }
    }
    Ok(())
}

/// The history with the times of one order: whoever comes first in `preference` goes as far as it can.
fn timed(races: &Races, history: &[Performed], preference: &[Cpu]) -> Vec<Done> {
    let mut again = races.again();
    // The time of each step, by CPU.
    let mut times: [Vec<u64>; CPUS] = Default::default();
    for time in 1..=races.taken.len() as u64 {
        let next = preference.iter().find(|&&cpu| again.take(cpu).is_some());
        times[*next.expect("what happened before the first that is left is in order")].push(time);
    }
    let each = history.iter().map(|done| {
        let times = &times[done.cpu];
        let at = |step: u32| (step as usize).checked_sub(1).map_or(0, |index| times[index]);
        let begun = at(done.steps.start + u32::from(!done.steps.is_empty()));
        done.at(begun, at(done.steps.end))
    });
    let mut history: Vec<Done> = each.collect();
    history.sort_by_key(|done| done.ended);
    history
}

/// Returns the history so far, with the times of the run itself.
pub(crate) fn as_run(history: &[Performed]) -> Vec<Done> {
    history.iter().map(|done| done.at(done.times.start as u64 + 1, done.times.end as u64)).collect()
}

/// Returns whether what a power failure in the end leaves of the word is right: nothing that was durable is
/// lost.
///
/// What write(2), truncate and punch did is durable when they return; a store, when a sync ends that began
/// after the store had ended.
///
/// # Errors
/// What was lost.
pub(crate) fn survived(world: &World, history: &[Done], survives: &Seen) -> Result<(), String> {
    let has = |effect| world.has(effect);
    if has(Effect::Close)
        || has(Effect::Spoil)
        || has(Effect::Extend)
        || has(Effect::Cut) && (has(Effect::Zero) || has(Effect::Allocate))
    {
        // Which of them came last says what there is: for the reference model alone.
        return Ok(());
    }
    let is_sync = |done: &&Done| done.op.about().syncs && done.seen == Seen::Done;
    let leaves = |done: &Done| match done.op.effect() {
        _ if done.seen != Seen::Done => None,
        Effect::Store | Effect::Write => Some(Seen::Word(done.value)),
        Effect::Zero => Some(Seen::Word(0)),
        Effect::Cut => Some(Seen::Bus),
        // Of the word there is what was there, as far as the above says.
        Effect::Extend | Effect::Allocate | Effect::Close | Effect::Spoil | Effect::Nothing => None,
        Effect::Load | Effect::Read | Effect::Private | Effect::Fork | Effect::WriteOther => None,
        Effect::Unmap | Effect::Protect | Effect::Remap | Effect::Move | Effect::Forget => None,
    };
    // Where it may come from: the time at which that was over.
    let mut origins: Vec<u64> = history
        .iter()
        .filter(|done| leaves(done).as_ref() == Some(survives))
        .map(|done| done.ended)
        .collect();
    let start = match world.start {
        Start::Hole | Start::Zero => 0,
        Start::Block | Start::Dirty | Start::Clean => START_WORD,
    };
    let synced = history.iter().filter(is_sync).count() > 0;
    let was = world.start == Start::Dirty && !synced && *survives == Seen::Word(BEFORE_START);
    if *survives == Seen::Word(start) || was {
        origins.push(0);
    }
    if origins.is_empty() {
        return Err(format!(
            "after a power failure there is {survives}, which should not be there any more, or never was"
        ));
    }
    let durable = |done: &&Done| match done.op.effect() {
        Effect::Store => history.iter().filter(is_sync).any(|sync| done.ended < sync.begun),
        // What is no store through a mapping is durable when it returns.
        _ => leaves(done).is_some(),
    };
    let lost = history.iter().filter(durable).find(|done| {
        let Some(left) = leaves(done) else { return false };
        left != *survives && origins.iter().all(|&ended| ended < done.begun)
    });
    match lost {
        None => Ok(()),
        Some(done) => {
            let what = match done.op.effect().stores() {
                true => format!("{} of {:#x}", done.op, done.value),
                false => done.op.to_string(),
            };
            Err(format!("CPU {}'s {what} was durable; after a power failure there is {survives}", done.cpu))
        }
    }
}
