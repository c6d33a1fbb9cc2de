//! The search for an order: depth first, those that ended first tried first. Where that is the order, nothing
//! is allocated; where it is not, what was found to lead nowhere is kept.

use std::collections::HashSet;

use fs::lab::schedule::World;

use super::state::{ModelState, OVER, Result};
use super::{Done, Final, NEVER};

/// The longest history, in operations.
pub(super) const MOST: usize = 16;
/// With so few operations left, what leads nowhere is found out again rather than kept.
const FEW: u32 = 3;

/// Returns whether `a` must come before `b`: it is earlier on the same CPU, or had ended before `b` began.
pub(super) fn precedes(history: &[Done], a: usize, b: usize) -> bool {
    let ([one, other], program) =
        ([&history[a], &history[b]], |done: &Done, index| (done.begun, done.ended, index));
    match one.cpu == other.cpu {
        true => program(one, a) < program(other, b),
        // Two that took no step have ended before each other: they are as good as together.
        false => one.ended <= other.begun && other.ended > one.begun,
    }
}

/// Returns whether there is an order in which the model says what the history does, and in the end what
/// `last` does.
pub(super) fn is_explained(world: &World, history: &[Done], last: Option<&Final>) -> bool {
    let count = history.len().min(MOST);
    let mut order = [0; MOST];
    for (index, place) in order.iter_mut().enumerate() {
        *place = index;
    }
    order[..count].sort_unstable_by_key(|&index| (history[index].ended, history[index].begun, index));
    let mut search =
        Search { world, history, last, order, before: [0; MOST], finite: 0, dead: HashSet::new() };
    for b in 0..count {
        let before = (0..count).filter(|&a| a != b && precedes(history, a, b));
        search.before[b] = before.fold(0, |bits, a| bits | 1 << a);
        search.finite |= u32::from(history[b].ended != NEVER) << b;
    }
    search.go(&ModelState::first(world.start), OpsProgress(0), (1 << count) - 1)
}

/// How far each operation is: four bits each.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct OpsProgress(u64);

impl OpsProgress {
    fn of(self, index: usize) -> u8 {
        (self.0 >> (index * 4)) as u8 & OVER
    }

    fn with(self, index: usize, stage: u8) -> Self {
        let shift = index * 4;
        Self(self.0 & !(u64::from(OVER) << shift) | u64::from(stage) << shift)
    }
}

struct Search<'a> {
    world: &'a World,
    history: &'a [Done],
    last: Option<&'a Final>,
    /// Which to try first.
    order: [usize; MOST],
    /// Those that must be over before it begins, a bit each.
    before: [u32; MOST],
    /// Those that were over some day.
    finite: u32,
    /// What leads nowhere.
    dead: HashSet<(ModelState, OpsProgress)>,
}

impl Search<'_> {
    /// Whether the operations of `left` can follow. Those that never were over may stop anywhere.
    fn go(&mut self, state: &ModelState, progress: OpsProgress, left: u32) -> bool {
        if left & self.finite == 0 && self.last.is_none_or(|last| is_left_so(state, last)) {
            return true;
        }
        let kept = left.count_ones() > FEW;
        if kept && self.dead.contains(&(*state, progress)) {
            return false;
        }
        for place in 0..self.history.len().min(MOST) {
            let index = self.order[place];
            if left >> index & 1 == 0 || self.before[index] & left != 0 {
                continue;
            }
            let done = &self.history[index];
            let world = self.world;
            let found = state.step(world, done, progress.of(index), &mut |state, stage, result: Result| {
                let left = if stage == OVER { left & !(1 << index) } else { left };
                let fits = done.ended == NEVER || result.is(&done.seen);
                fits && self.go(state, progress.with(index, stage), left)
            });
            if found {
                return true;
            }
        }
        if kept {
            self.dead.insert((*state, progress));
        }
        false
    }
}

/// Whether everybody who looks in the end finds this state.
fn is_left_so(state: &ModelState, last: &Final) -> bool {
    last.read.as_ref().is_none_or(|seen| state.reads(seen))
        && last.loads.iter().all(|look| state.loads(look))
        && last.privates.iter().all(|(space, seen)| state.loads_private(*space, seen))
}
