//! The file that does one thing at a time: one word, the one beside it, and who may access them.

use fs::lab::schedule::{Effect, MAX_PARTS, Start, World};

use super::{Done, Look, START_BESIDE, START_WORD, Seen};

/// The shared area of an address space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum AreaState {
    #[default]
    Whole,
    ReadOnly,
    Gone,
}

/// A page: the word, and that beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Page {
    word: u64,
    beside: u64,
}

/// Everything that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ModelState {
    page: Page,
    /// Whether the file is long enough for the word. If not, the page is zeros.
    inside: bool,
    /// For each address space, and with and without 2 MiB pages.
    areas: [[AreaState; 2]; MAX_PARTS],
    /// What a CPU has moved elsewhere, and will bring back.
    away: [AreaState; MAX_PARTS],
    /// Copies in private areas.
    copies: [Option<Page>; MAX_PARTS],
    /// Whether the private area is elsewhere.
    private_away: [bool; MAX_PARTS],
    /// Whether the word's line has gone bad.
    poisoned: bool,
    /// The CPUs that have closed their handle, a bit each.
    closed: u64,
}

/// What part of an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Result {
    /// Nothing that anybody sees.
    Silent,
    Done,
    Word(u64),
    /// The first load of a private store.
    Own(u64),
    /// The second.
    Beside(u64),
    Bus,
    Segv,
    Error,
}

impl Result {
    /// Returns whether it is what was seen, or part of that.
    pub(super) fn is(self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Silent, _)
            | (Self::Done, Seen::Done)
            | (Self::Bus, Seen::Bus)
            | (Self::Segv, Seen::Segv) => true,
            (Self::Error, Seen::Error(_)) => true,
            (Self::Word(word), Seen::Word(seen)) => word == *seen,
            (Self::Own(word), Seen::Private { own, .. }) => word == *own,
            (Self::Beside(word), Seen::Private { beside, .. }) => word == *beside,
            _ => false,
        }
    }
}

/// Whether an address space has a private area: somebody stores to it.
fn has_private(world: &World, space: usize) -> bool {
    let mut parts = world.parts.iter().filter(|part| usize::from(part.space) == space);
    parts.any(|part| part.ops.iter().any(|op| op.effect() == Effect::Private))
}

/// How far an operation is: 0 at first, and this when it is over.
pub(super) const OVER: u8 = 15;

/// What may come next of an operation: the state, how far it is then, and what it saw.
pub(super) type Next<'a> = &'a mut dyn FnMut(&ModelState, u8, Result) -> bool;

impl ModelState {
    /// Makes what is there before anybody runs.
    pub(super) fn first(start: Start) -> Self {
        let page = match start {
            Start::Hole | Start::Zero => Page::default(),
            Start::Block | Start::Dirty | Start::Clean => Page { word: START_WORD, beside: START_BESIDE },
        };
        let (areas, copies) = ([[AreaState::Whole; 2]; MAX_PARTS], [None; MAX_PARTS]);
        let (away, private_away) = ([AreaState::Gone; MAX_PARTS], [false; MAX_PARTS]);
        Self { page, inside: true, areas, away, copies, private_away, poisoned: false, closed: 0 }
    }

    /// Takes the next step of an operation that is at `stage`: each way that this can go is offered, until
    /// one is taken. Whether one was.
    pub(super) fn step(&self, world: &World, done: &Done, stage: u8, next: Next<'_>) -> bool {
        let space = usize::from(done.space) % MAX_PARTS;
        let small = usize::from(world.parts.get(done.cpu).is_some_and(|part| part.small));
        let area = self.areas[space][small];
        let effect = done.op.effect();
        let taken = match effect {
            Effect::Load => match area {
                AreaState::Gone => next(self, OVER, Result::Segv),
                _ => self.load(next),
            },
            Effect::Store => match area {
                AreaState::Gone | AreaState::ReadOnly => next(self, OVER, Result::Segv),
                AreaState::Whole if !self.inside => next(self, OVER, Result::Bus),
                AreaState::Whole => next(&self.with_word(done.value), OVER, Result::Done) || self.bad(next),
            },
            Effect::Read => self.load(next),
            Effect::Private => return self.private(done, space, stage, next),
            Effect::Fork => return self.fork(done, area, stage, next),
            Effect::Move => return self.move_areas(world, done, [space, small], stage, next),
            Effect::Forget => return self.forget(world, [space, small], stage, next),
            Effect::Protect if area == AreaState::Gone => next(self, OVER, Result::Segv),
            // In one step, whatever is there.
            Effect::Unmap | Effect::Protect | Effect::Remap => {
                next(&self.after(done, space, small), OVER, Result::Done)
            }
            Effect::Write | Effect::WriteOther | Effect::Zero => {
                next(&self.after(done, space, small), OVER, Result::Done)
            }
            Effect::Cut | Effect::Extend | Effect::Allocate | Effect::Close => {
                next(&self.after(done, space, small), OVER, Result::Done)
            }
            Effect::Spoil | Effect::Nothing => next(&self.after(done, space, small), OVER, Result::Done),
        };
        taken || self.fails(done, space, small, next)
    }

    /// The word through an area that is there, or read(2).
    fn load(&self, next: Next<'_>) -> bool {
        match self.inside {
            true => next(self, OVER, Result::Word(self.page.word)) || self.bad(next),
            false => next(self, OVER, Result::Bus),
        }
    }

    /// An access to a bad line.
    fn bad(&self, next: Next<'_>) -> bool {
        self.poisoned && next(self, OVER, Result::Bus)
    }

    /// An error of the file system: the handle is closed; or the line is bad, and then it may have done its
    /// work or not.
    fn fails(&self, done: &Done, space: usize, small: usize, next: Next<'_>) -> bool {
        (self.is_closed(done.cpu) || self.poisoned) && next(self, OVER, Result::Error)
            || self.poisoned && next(&self.after(done, space, small), OVER, Result::Error)
    }

    fn is_closed(&self, cpu: usize) -> bool {
        self.closed >> (cpu % 64) & 1 != 0
    }

    fn with_word(&self, word: u64) -> Self {
        Self { page: Page { word, ..self.page }, inside: true, ..*self }
    }

    /// What an operation in one step leaves.
    fn after(&self, done: &Done, space: usize, small: usize) -> Self {
        let mut state = *self;
        match done.op.effect() {
            // Beyond the end: it grows, with zeros around the word, as they are.
            Effect::Write => state = self.with_word(done.value),
            Effect::Cut => {
                state.page = Page::default();
                state.inside = false;
                state.copies = [None; MAX_PARTS];
            }
            // Back to what it was, with zeros; fallocate(2) makes a file longer too.
            Effect::Extend | Effect::Allocate => state.inside = true,
            // Copies are not the file's.
            Effect::Zero => state.page = Page::default(),
            Effect::Unmap => state.areas[space][small] = AreaState::Gone,
            Effect::Remap => state.areas[space][small] = AreaState::Whole,
            Effect::Protect => {
                if state.areas[space][small] != AreaState::Gone {
                    state.areas[space][small] = AreaState::ReadOnly;
                }
            }
            Effect::Close => state.closed |= 1 << (done.cpu % 64),
            Effect::Spoil => state.poisoned = true,
            Effect::WriteOther | Effect::Nothing => {}
            // These do it in steps of their own, or an error has kept them from it.
            Effect::Load | Effect::Store | Effect::Read | Effect::Private | Effect::Fork => {}
            Effect::Move | Effect::Forget => {}
        }
        state
    }

    /// A private store: 0 the fault, 1 the store, 2 and 3 the loads.
    fn private(&self, done: &Done, space: usize, stage: u8, next: Next<'_>) -> bool {
        if self.private_away[space] {
            return next(self, OVER, Result::Segv);
        }
        // A load finds the file's page if there is no copy, as a store does that is about to make one.
        let found = self.copies[space].or(self.inside.then_some(self.page));
        let Some(page) = found else { return next(self, OVER, Result::Bus) };
        let with = |page: Page| {
            let mut state = *self;
            state.copies[space] = Some(page);
            state
        };
        let taken = match stage {
            0 => next(&with(page), 1, Result::Silent),
            1 => next(&with(Page { word: done.value, ..page }), 2, Result::Silent),
            2 => next(self, 3, Result::Own(page.word)),
            _ => next(self, OVER, Result::Beside(page.beside)),
        };
        taken || self.bad(next) || self.poisoned && next(self, OVER, Result::Error)
    }

    /// A fork: 0 the copy of the areas; then 1 the child's load, or 2 if it has no area.
    fn fork(&self, done: &Done, area: AreaState, stage: u8, next: Next<'_>) -> bool {
        match stage {
            // Without a handle it may not even begin.
            0 => {
                let stage = if area == AreaState::Gone { 2 } else { 1 };
                next(self, stage, Result::Silent)
                    || self.is_closed(done.cpu) && next(self, OVER, Result::Error)
            }
            1 => self.load(next) || self.poisoned && next(self, OVER, Result::Error),
            _ => next(self, OVER, Result::Segv),
        }
    }

    /// A move: 0 the shared area goes, 1 it comes back; 2 and 3 the private one.
    fn move_areas(
        &self,
        world: &World,
        done: &Done,
        [space, small]: [usize; 2],
        stage: u8,
        next: Next<'_>,
    ) -> bool {
        let (mut state, cpu) = (*self, done.cpu % MAX_PARTS);
        let area = &mut state.areas[space][small];
        match stage {
            0 if *area == AreaState::Gone => next(self, OVER, Result::Segv),
            0 => {
                state.away[cpu] = std::mem::replace(area, AreaState::Gone);
                next(&state, 1, Result::Silent)
            }
            // Whatever is there by now goes.
            1 => {
                *area = std::mem::replace(&mut state.away[cpu], AreaState::Gone);
                match has_private(world, space) {
                    true => next(&state, 2, Result::Silent),
                    false => next(&state, OVER, Result::Done),
                }
            }
            2 if self.private_away[space] => next(self, OVER, Result::Segv),
            2 => {
                state.private_away[space] = true;
                next(&state, 3, Result::Silent)
            }
            _ => {
                state.private_away[space] = false;
                next(&state, OVER, Result::Done)
            }
        }
    }

    /// What is advised to be forgotten: 0 where the shared area is, 1 in the private one.
    fn forget(&self, world: &World, [space, small]: [usize; 2], stage: u8, next: Next<'_>) -> bool {
        match stage {
            0 if self.areas[space][small] == AreaState::Gone => next(self, OVER, Result::Segv),
            0 if has_private(world, space) => next(self, 1, Result::Silent),
            0 => next(self, OVER, Result::Done),
            _ if self.private_away[space] => next(self, OVER, Result::Segv),
            _ => {
                let mut state = *self;
                state.copies[space] = None;
                next(&state, OVER, Result::Done)
            }
        }
    }

    /// Returns whether read(2) gets `seen`.
    pub(super) fn reads(&self, seen: &Seen) -> bool {
        self.load(&mut |_, _, result| result.is(seen)) || self.poisoned && matches!(seen, Seen::Error(_))
    }

    /// Returns whether a load through a shared area gets what `look` saw.
    pub(super) fn loads(&self, look: &Look) -> bool {
        match self.areas[usize::from(look.space) % MAX_PARTS][usize::from(look.small)] {
            AreaState::Gone => look.seen == Seen::Segv,
            _ => self.load(&mut |_, _, result| result.is(&look.seen)),
        }
    }

    /// Returns whether loads through a private area get `seen`.
    pub(super) fn loads_private(&self, space: u8, seen: &Seen) -> bool {
        let page = self.copies[usize::from(space) % MAX_PARTS].or(self.inside.then_some(self.page));
        let whole = page.map_or(Seen::Bus, |page| Seen::Private { own: page.word, beside: page.beside });
        *seen == whole || self.poisoned && *seen == Seen::Bus
    }
}
