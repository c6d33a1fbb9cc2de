//! Chance: where no script says who comes first, one of those who race is held for a while at one of its
//! steps, so that the others come in between.
//!
//! Without that, what goes wrong between two steps that lie a hundred instructions apart is met once in a
//! thousand rounds or never: on an emulator, a CPU runs for long before another one gets its turn. So in
//! three rounds of four the director deals one actor a step at which it is held: each of the steps that it
//! took in its last round is as likely as the others. It goes on when the others are through or sleep, for
//! instance because they wait for a lock that it has; at the latest after [`HOLD_NS`]. A bug that shows when
//! one task is overtaken between two steps of n is met in about one of 3 n rounds ("A randomized scheduler
//! with probabilistic guarantees of finding bugs", Burckhardt and others, 2010).
//!
//! Lock order: an actor's task is looked at under an [`IrqLock`] under which nothing else is taken.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use fs::lab::{Point, Step};

use super::waiting::until;
use crate::arch::time;
use crate::steps::{self, Listener};
use crate::sync::IrqLock;
use crate::task::{self, TaskRef, TaskState};

/// Nobody is held for longer. On a host that is busy, another CPU may not run for tens of milliseconds.
const HOLD_NS: u64 = 50_000_000;
/// Steps that an actor is taken to have before it has acted once.
const STEPS: u32 = 8;

/// Who races, and what was dealt for this round.
pub struct Chance {
    actors: Vec<ChanceActor>,
}

struct ChanceActor {
    task: IrqLock<Option<TaskRef>>,
    /// The task's number; 0 before there is one.
    id: AtomicU32,
    /// Steps in this round, and how many there were in the last.
    steps: AtomicU32,
    usual: AtomicU32,
    /// The step at which the actor is held; 0 for none.
    held_at: AtomicU32,
    /// The actor's part of the round is done.
    through: AtomicBool,
    /// The points that the actor has come by in this round: a bit each.
    passed: AtomicU64,
    /// The actor's random numbers.
    random: AtomicU64,
}

static CURRENT: IrqLock<Option<Arc<Chance>>> = IrqLock::new(None);

/// Listens to the steps of `actors` tasks from now on.
pub fn play(actors: usize, seed: u64) -> Arc<Chance> {
    const { assert!(Point::ALL.len() <= 64, "a bit for each point") };
    let actor = |number: usize| ChanceActor {
        task: IrqLock::new(None),
        id: AtomicU32::new(0),
        steps: AtomicU32::new(0),
        usual: AtomicU32::new(STEPS),
        held_at: AtomicU32::new(0),
        through: AtomicBool::new(true),
        passed: AtomicU64::new(0),
        random: AtomicU64::new(mix(seed ^ mix(number as u64 + 1)) | 1),
    };
    let chance = Arc::new(Chance { actors: (0..actors).map(actor).collect() });
    let old = CURRENT.lock().replace(chance.clone());
    drop(old);
    steps::listen(Listener::Chance, reached);
    chance
}

/// Listens no more.
pub fn end() {
    steps::ignore(Listener::Chance);
    let old = CURRENT.lock().take();
    drop(old);
}

/// A step was taken, by whomever.
fn reached(step: Step) {
    let Some(id) = task::try_current().map(task::Task::id) else { return };
    let Some(chance) = CURRENT.lock().clone() else { return };
    let is = |actor: &ChanceActor| actor.id.load(SeqCst) == id;
    if let Some(actor) = chance.actors.iter().position(is) {
        chance.actors[actor].passed.fetch_or(1 << step.point as u8, SeqCst);
        chance.step(actor);
    }
}

impl Chance {
    /// Makes the task that runs play `actor` from now on.
    pub fn enter(&self, actor: usize) {
        let task = task::current();
        self.actors[actor].id.store(task.id(), SeqCst);
        let before = self.actors[actor].task.lock().replace(task);
        // It may be the last that knows of a task: its stack goes, which is not for a lock like this one.
        drop(before);
    }

    /// Says who is held in the next round, and where.
    pub fn deal(&self, random: &mut u64) {
        let number = next(random);
        let held = (number >> 8) as usize % self.actors.len();
        for (index, actor) in self.actors.iter().enumerate() {
            actor.steps.store(0, SeqCst);
            actor.passed.store(0, SeqCst);
            let nobody = self.actors.len() == 1 || number.is_multiple_of(4) || index != held;
            let at = 1 + (number >> 24) as u32 % actor.usual.load(SeqCst).max(1);
            actor.held_at.store(if nobody { 0 } else { at }, SeqCst);
            actor.through.store(false, SeqCst);
        }
    }

    /// Notes that the actor is through with its part of the round.
    pub fn through(&self, actor: usize) {
        let actor = &self.actors[actor];
        actor.through.store(true, SeqCst);
        actor.usual.store(actor.steps.load(SeqCst), SeqCst);
    }

    /// Returns whether the actor has come by `point` in this round.
    pub fn has_passed(&self, actor: usize, point: Point) -> bool {
        self.actors[actor].passed.load(SeqCst) & 1 << point as u8 != 0
    }

    /// Lets up to a thousand or up to 2^`most` ticks pass, for nobody knows which fits best. Only the actor
    /// itself calls it.
    pub fn stagger(&self, actor: usize, most: u64) {
        let actor = &self.actors[actor].random;
        let mut random = actor.load(SeqCst);
        let number = next(&mut random);
        actor.store(random, SeqCst);
        let ticks = (number >> 8) % (1 << (10 + number % (most - 9)));
        // On one CPU the last to stand ready would always be the first to act.
        if number >> 60 & 1 == 1 {
            task::yield_now();
        }
        let end = time::ticks() + ticks;
        while time::ticks() < end {
            core::hint::spin_loop();
        }
    }

    /// Counts a step of the actor, and holds the actor there if that was dealt.
    pub fn step(&self, index: usize) {
        let actor = &self.actors[index];
        if actor.through.load(SeqCst) {
            return;
        }
        let number = actor.steps.fetch_add(1, SeqCst) + 1;
        // Where nobody may sleep, others may wait for this CPU.
        if number != actor.held_at.load(SeqCst) || !task::may_sleep() {
            return;
        }
        let end = time::monotonic_ns() + HOLD_NS;
        until(|| {
            let mut others = self.actors.iter().enumerate().filter(|(other, _)| *other != index);
            others.all(|(_, other)| other.rests()) || time::monotonic_ns() > end
        });
    }
}

impl ChanceActor {
    /// Returns whether the actor does nothing just now.
    fn rests(&self) -> bool {
        let sleeps = |task: &TaskRef| task.state() == TaskState::Waiting;
        self.through.load(SeqCst) || self.task.lock().as_ref().is_some_and(sleeps)
    }
}

/// Spreads the bits of a seed: a step of splitmix64.
pub fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The next random number (splitmix64).
fn next(state: &mut u64) -> u64 {
    let number = mix(*state);
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    number
}
