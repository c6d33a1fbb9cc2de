//! Which steps of a run happened before which, and which pairs of them could have come the other way round.

use super::clock::Clock;
use super::touch::{SharedPlace, Touch};
use super::{CPUS, Cpu};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub struct TakenStep {
    /// By whom.
    pub cpu: Cpu,
    /// Its number among the steps of that CPU, from 1 on.
    pub number: u32,
    /// What happened before it, and itself.
    pub clock: Clock,
}

/// Two steps, by their indices, that could have come the other way round.
pub type RacePair = (u32, u32);

/// Index of a step plus one; 0: none.
type StepIndex = u32;

/// Who touched a place last.
#[derive(Clone, Copy, Default)]
struct Last {
    change: StepIndex,
    looks: [StepIndex; CPUS],
}

/// Who had a lock last.
#[derive(Clone, Copy, Default)]
struct LastHeld {
    alone: StepIndex,
    shared: [StepIndex; CPUS],
    /// Who tried to have it alone, and shared, while somebody had it.
    failed: [StepIndex; CPUS],
    shared_failed: [StepIndex; CPUS],
    let_go: StepIndex,
    shared_let_go: [StepIndex; CPUS],
    /// What was known when it was let go.
    after_alone: Clock,
    after_shared: Clock,
}

impl LastHeld {
    /// Those that who takes it now, or tries to, could have come before.
    fn before(&self, touch: &Touch, shared: bool, candidates: &mut Vec<StepIndex>) {
        candidates.push(self.alone);
        if !shared {
            candidates.extend(self.shared);
        }
        // Who waits cannot come before it is let go; who tries can.
        if !matches!(touch, Touch::Take(..)) {
            candidates.push(self.let_go);
            if !shared {
                candidates.extend(self.shared_let_go);
            }
        }
        // Who wants it alone cannot come to where another has failed: somebody had it there. Who shares it
        // can.
        if shared && !matches!(touch, Touch::Try(..)) {
            candidates.extend(self.failed);
        }
    }
}

/// The steps of a run, in order, with their clocks.
#[derive(Default)]
pub struct Races {
    /// The steps.
    pub taken: Vec<TakenStep>,
    /// Steps that were never taken, for locks that were never free: their indices go on behind those of the
    /// others.
    waiting: Vec<TakenStep>,
    /// The pairs found, the later one being at or after `from`.
    pub found: Vec<RacePair>,
    from: u32,
    now: [Clock; CPUS],
    places: HashMap<SharedPlace, Last, BuildHasherDefault<Mix>>,
    locks: HashMap<SharedPlace, LastHeld, BuildHasherDefault<Mix>>,
    candidates: Vec<StepIndex>,
}

impl Races {
    /// Begins a new run. Races are wanted whose later step has index `from` or more: the others are known.
    pub fn begin(&mut self, from: u32) {
        self.taken.clear();
        self.waiting.clear();
        self.found.clear();
        self.places.clear();
        self.locks.clear();
        self.now = Default::default();
        self.from = from;
    }

    /// Notes a step of CPU `cpu`. `woken_by`: what it must know, having been woken.
    pub fn step(&mut self, cpu: Cpu, touch: &Touch, woken_by: Option<&Clock>) {
        let me = self.taken.len() as StepIndex + 1;
        let mut clock = self.now[cpu];
        self.candidates.clear();
        let mut learn = Clock::default();
        match *touch {
            Touch::Take(place, shared) | Touch::Try(place, shared) | Touch::Got(place, shared) => {
                let last = self.locks.entry(place).or_default();
                last.before(touch, shared, &mut self.candidates);
                learn.join(&last.after_alone);
                if !shared {
                    learn.join(&last.after_shared);
                }
                match (touch, shared) {
                    (Touch::Try(..), true) => last.shared_failed[cpu] = me,
                    (Touch::Try(..), false) => last.failed[cpu] = me,
                    (_, true) => last.shared[cpu] = me,
                    (_, false) => {
                        (last.alone, last.shared) = (me, Default::default());
                        (last.failed, last.shared_failed) = Default::default();
                    }
                }
            }
            Touch::LetGo(place, shared) => {
                let last = self.locks.entry(place).or_default();
                self.candidates.extend(last.failed);
                if shared {
                    last.shared_let_go[cpu] = me;
                } else {
                    self.candidates.extend(last.shared_failed);
                    (last.failed, last.shared_failed) = Default::default();
                    last.let_go = me;
                }
            }
            _ => touch.each(|place, change| {
                let last = self.places.entry(place).or_default();
                self.candidates.push(last.change);
                if change {
                    self.candidates.extend(last.looks);
                    *last = Last { change: me, looks: Default::default() };
                } else {
                    last.looks[cpu] = me;
                }
            }),
        }
        self.note(cpu, me, &mut clock);
        clock.join(&learn);
        if let Some(woken_by) = woken_by {
            clock.join(woken_by);
        }
        let number = clock.tick(cpu);
        if let Touch::LetGo(place, shared) = *touch {
            let last = self.locks.entry(place).or_default();
            if shared { &mut last.after_shared } else { &mut last.after_alone }.join(&clock);
        }
        self.now[cpu] = clock;
        self.taken.push(TakenStep { cpu, number, clock });
    }

    /// Notes, when the run is over, that `cpu` waits for ever for a lock: it could have come before who has
    /// it.
    pub fn waits(&mut self, cpu: Cpu, touch: &Touch) {
        let Touch::Take(place, shared) = *touch else { return };
        let mut clock = self.now[cpu];
        self.candidates.clear();
        let last = self.locks.entry(place).or_default();
        self.candidates.push(last.alone);
        if !shared {
            self.candidates.extend(last.shared);
        }
        let me = (self.taken.len() + self.waiting.len()) as StepIndex + 1;
        self.note(cpu, me, &mut clock);
        let number = clock.tick(cpu);
        self.waiting.push(TakenStep { cpu, number, clock });
    }

    /// Notes the races of step `me` of `cpu` with the candidates, which have happened before it from then on.
    fn note(&mut self, cpu: Cpu, me: StepIndex, clock: &mut Clock) {
        // From the latest on: what happened before a later one of them is no race of its own.
        self.candidates.sort_unstable_by(|a, b| b.cmp(a));
        self.candidates.dedup();
        for &step in self.candidates.iter().filter(|&&step| step != 0) {
            let TakenStep { cpu: other, number, clock: theirs } = self.taken[step as usize - 1];
            if other != cpu && clock.of(other) < number {
                if me > self.from {
                    self.found.push((step - 1, me - 1));
                }
                clock.join(&theirs);
            }
        }
    }

    /// Returns what `cpu` knows now.
    pub fn known_to(&self, cpu: Cpu) -> Clock {
        self.now[cpu]
    }

    /// Returns whether the step of index `first` happened before that of index `then`, or is it.
    pub fn before(&self, first: u32, then: u32) -> bool {
        let TakenStep { cpu, number, .. } = self.taken[first as usize];
        self.taken[then as usize].clock.of(cpu) >= number
    }

    /// Gives the steps once more, to be put in another order that is the same to everybody.
    pub fn again(&self) -> Again<'_> {
        let mut own: [Vec<usize>; CPUS] = Default::default();
        for (index, taken) in self.taken.iter().enumerate() {
            own[taken.cpu].push(index);
        }
        Again { races: self, own, done: [0; CPUS] }
    }

    /// Returns, for a race `(early, late)`, the CPUs, as bits, any of which can go first where `early` was
    /// taken, if `late` is to come before it.
    pub fn initials(&self, (early, late): RacePair) -> u32 {
        let (mut seen, mut initials) = (0_u32, 0_u32);
        // The number of the first step of each CPU that is kept.
        let mut known = [0; CPUS];
        let count = self.taken.len() as u32;
        for step in (early + 1..late.min(count)).chain([late]) {
            let taken = self.taken.get(step as usize).or_else(|| self.waiting.get((step - count) as usize));
            let TakenStep { cpu, number, clock } = *taken.expect("a step of the run");
            if step != late && self.before(early, step) {
                continue;
            }
            let bit = 1 << cpu;
            if seen & bit == 0 {
                seen |= bit;
                // Taken together with what led from `early` to the late one: fewer than there are, never
                // none.
                let depends = (0..CPUS)
                    .any(|other| other != cpu && known[other] != 0 && clock.of(other) >= known[other]);
                if !depends {
                    initials |= bit;
                }
            }
            if known[cpu] == 0 {
                known[cpu] = number;
            }
        }
        initials
    }
}

/// Steps of a run that are put in order anew.
pub struct Again<'a> {
    races: &'a Races,
    /// Those of each CPU, by index.
    own: [Vec<usize>; CPUS],
    /// How many of them are in order.
    done: [usize; CPUS],
}

impl Again<'_> {
    /// Takes the next step of `cpu`, by index, if all that happened before it is in order: then it is, too.
    pub fn take(&mut self, cpu: Cpu) -> Option<usize> {
        let &index = self.own[cpu].get(self.done[cpu])?;
        let clock = self.races.taken[index].clock;
        if (0..CPUS).any(|other| other != cpu && clock.of(other) as usize > self.done[other]) {
            return None;
        }
        self.done[cpu] += 1;
        Some(index)
    }
}

/// A hash of numbers that are different enough already.
#[derive(Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}
