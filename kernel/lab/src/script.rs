//! Scripts: an order in which several tasks must come to named points, and what they did on the way.
//!
//! While a script is on, a task that takes part is held at a point until everything before it in the order
//! has happened. So the one order in which a bug shows is brought about each time, without luck.
//!
//! A sound protocol makes that order impossible, for one task waits for a lock that the held one has. That is
//! noticed: the task whose turn it is sleeps, or is held itself, or has ended. Then the script is off,
//! everybody goes on, and it is told who kept whom. The same for a task that goes round and round: its log is
//! full.
//!
//! Lock order: the script's lock is an [`IrqLock`] under which nothing else is taken. Whoever is held sleeps,
//! with whatever locks it came with.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use fs::Errno;
use fs::lab::{Point, Step};

use crate::arch::time;
use crate::steps::{self, Listener};
use crate::sync::IrqLock;
use crate::task::{self, TaskRef, TaskState};

/// A place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The actor begins.
    Start,
    /// The actor has come to the point.
    Comes(Point),
    /// The actor goes on from the point.
    Goes(Point),
    /// The actor has come to the point for so many times, counted from its beginning.
    ComesAgain(Point, u32),
    /// The actor goes on from the point, to which it has come for so many times.
    GoesAgain(Point, u32),
    /// The actor sleeps: it waits for a lock, or to be woken.
    Sleeps,
    /// The actor is at a place of its own, in between.
    Mark(u8),
    /// The actor is through.
    Done,
}

/// Who is where.
pub type Event = (usize, Milestone);

/// Why an order did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prevented {
    /// The actor whose turn it was waits for a lock.
    Waits(usize),
    /// The actor whose turn it was did not come by: it was held elsewhere, or had ended.
    Elsewhere(usize),
    /// The actor whose turn it was took too long.
    Late(usize),
}

/// How long the one whose turn it is may sleep before that is a wait for a lock, and in how many looks. (A
/// machine whose host is busy may not look for long.)
const ASLEEP_NS: u64 = 5_000_000;
const ASLEEP_LOOKS: u32 = 30;
/// How long the one whose turn it is may take at all, in nanoseconds: far longer than on a machine whose
/// host is busy.
const LATE_NS: u64 = 20_000_000_000;
/// How often a held task looks.
const LOOK_NS: u64 = 100_000;
/// Lines that are kept; who writes more goes round.
const LINES: usize = 2048;

/// Something an actor did.
#[derive(Clone, Debug)]
pub struct ScriptLine {
    pub actor: usize,
    pub what: LineKind,
}

/// What an actor did.
#[derive(Clone, Debug)]
pub enum LineKind {
    /// A step of the storage code.
    Step(Step),
    /// What the actor says itself.
    Says(String),
    /// The actor was held until the event had happened, and goes on.
    Held(Event),
    /// The actor was held, until it was seen that the order cannot come about.
    LetGo,
}

/// An order, and how far it is.
pub struct Script {
    order: Vec<Event>,
    state: IrqLock<ScriptProgress>,
}

struct ScriptProgress {
    actors: Vec<ScriptActor>,
    next: usize,
    prevented: Option<Prevented>,
    lines: Vec<ScriptLine>,
    full: bool,
}

impl ScriptProgress {
    fn write(&mut self, actor: usize, what: LineKind) {
        if self.lines.len() < LINES {
            self.lines.push(ScriptLine { actor, what });
        } else {
            self.full = true;
        }
    }
}

struct ScriptActor {
    task: Option<TaskRef>,
    /// Where the actor is held.
    held: Option<Milestone>,
    done: bool,
    /// How often the actor has come to each point.
    came: [u32; Point::ALL.len()],
}

static CURRENT: IrqLock<Option<Arc<Script>>> = IrqLock::new(None);

/// Makes a script for `actors` tasks the one that is played.
///
/// # Errors
/// [`Errno::NoMemory`].
pub fn play(order: &[Event], actors: usize) -> Result<Arc<Script>, Errno> {
    let mut lines = Vec::new();
    lines.try_reserve_exact(LINES).map_err(|_| Errno::NoMemory)?;
    let actors = (0..actors)
        .map(|_| ScriptActor { task: None, held: None, done: false, came: [0; Point::ALL.len()] })
        .collect();
    let progress = ScriptProgress { actors, next: 0, prevented: None, lines, full: false };
    let script = Arc::new(Script { order: order.to_vec(), state: IrqLock::new(progress) });
    let old = CURRENT.lock().replace(script.clone());
    drop(old);
    steps::listen(Listener::Script, reached);
    Ok(script)
}

/// Ends the script.
pub fn end() {
    steps::ignore(Listener::Script);
    let old = CURRENT.lock().take();
    drop(old);
}

/// A step was taken, by whomever.
fn reached(step: Step) {
    let Some(script) = CURRENT.lock().clone() else { return };
    let Some(actor) = script.who() else { return };
    script.write(actor, LineKind::Step(step));
    let time = script.count(actor, step.point);
    // Where interrupts are off nobody can be held: others may wait for this CPU.
    if x86_64::instructions::interrupts::are_enabled() {
        script.pass(actor, Milestone::Comes(step.point));
        script.pass(actor, Milestone::ComesAgain(step.point, time));
        script.pass(actor, Milestone::Goes(step.point));
        script.pass(actor, Milestone::GoesAgain(step.point, time));
    }
}

impl Script {
    /// Counts that the actor has come to the point; returns for which time.
    fn count(&self, actor: usize, point: Point) -> u32 {
        let mut state = self.state.lock();
        let came = &mut state.actors[actor].came[point as usize];
        *came = came.saturating_add(1);
        *came
    }

    /// Makes the task that runs play `actor` from now on.
    pub fn enter(&self, actor: usize) {
        let task = task::current();
        let before = self.state.lock().actors[actor].task.replace(task);
        // It may be the last that knows of a task: its stack goes, which is not for a lock like this one.
        drop(before);
    }

    /// Returns which actor the task that runs is.
    fn who(&self) -> Option<usize> {
        let id = task::try_current()?.id();
        let is = |actor: &ScriptActor| actor.task.as_ref().is_some_and(|task| task.id() == id);
        self.state.lock().actors.iter().position(is)
    }

    /// Adds a line that the actor says.
    pub fn say(&self, actor: usize, text: String) {
        self.write(actor, LineKind::Says(text));
    }

    fn write(&self, actor: usize, what: LineKind) {
        self.state.lock().write(actor, what);
    }

    /// Holds the actor at a place of the order until all that comes before has happened. A line says so when
    /// the actor goes on, also where the other had been there by chance: the lines are the same in every
    /// run.
    pub fn pass(&self, actor: usize, at: Milestone) {
        let begun = time::monotonic_ns();
        let (mut asleep_since, mut looks, mut waited) = (None, 0, false);
        loop {
            let mut state = self.state.lock();
            state.actors[actor].held = None;
            if at == Milestone::Done {
                state.actors[actor].done = true;
            }
            if state.prevented.is_some() {
                if waited {
                    state.write(actor, LineKind::LetGo);
                }
                return;
            }
            match self.order[state.next..].iter().position(|event| *event == (actor, at)) {
                None => return,
                Some(0) => {
                    let before = state.next.checked_sub(1).map(|last| self.order[last]);
                    if let Some(event) = before.filter(|(other, _)| *other != actor) {
                        state.write(actor, LineKind::Held(event));
                    }
                    state.next += 1;
                    return;
                }
                Some(_) => waited = true,
            }
            let wanted = self.order[state.next];
            state.actors[actor].held = Some(at);
            let awaited = &state.actors[wanted.0];
            let now = time::monotonic_ns();
            // Held at this very place, it will look soon.
            let elsewhere = awaited.done || awaited.held.is_some_and(|held| held != wanted.1);
            let asleep = awaited.held.is_none()
                && awaited.task.as_ref().is_some_and(|task| task.state() == TaskState::Waiting);
            (asleep_since, looks) = if asleep { (asleep_since.or(Some(now)), looks + 1) } else { (None, 0) };
            if elsewhere {
                state.prevented = Some(Prevented::Elsewhere(wanted.0));
                continue;
            } else if looks > ASLEEP_LOOKS && asleep_since.is_some_and(|since| now - since > ASLEEP_NS) {
                if wanted.1 == Milestone::Sleeps {
                    state.next += 1;
                    (asleep_since, looks) = (None, 0);
                    continue;
                }
                state.prevented = Some(Prevented::Waits(wanted.0));
                continue;
            } else if now - begun > LATE_NS {
                state.prevented = Some(Prevented::Late(wanted.0));
                continue;
            }
            drop(state);
            task::sleep_ns(LOOK_NS);
        }
    }

    /// Returns why the order did not come about, if it did not.
    pub fn prevented(&self) -> Option<Prevented> {
        self.state.lock().prevented
    }

    /// Returns whether somebody took more steps than any actor should.
    pub fn is_full(&self) -> bool {
        self.state.lock().full
    }

    /// Returns whether the actor is held.
    pub fn holds(&self, actor: usize) -> bool {
        self.state.lock().actors[actor].held.is_some()
    }

    /// Releases everybody who is held.
    pub fn release(&self, actor: usize) {
        self.state.lock().prevented.get_or_insert(Prevented::Late(actor));
    }

    /// Returns what everybody did, in the order in which they did it.
    pub fn lines(&self) -> Vec<ScriptLine> {
        core::mem::take(&mut self.state.lock().lines)
    }
}

impl fmt::Display for Milestone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("begins"),
            Self::Comes(point) => write!(f, "comes to {point}"),
            Self::Goes(point) | Self::GoesAgain(point, 1) => write!(f, "goes on from {point}"),
            Self::ComesAgain(point, 1) => write!(f, "comes to {point}"),
            Self::ComesAgain(point, time) => write!(f, "comes to {point} for time {time}"),
            Self::GoesAgain(point, time) => write!(f, "goes on from {point}, time {time}"),
            Self::Sleeps => f.write_str("sleeps"),
            Self::Mark(number) => write!(f, "comes to its mark {number}"),
            Self::Done => f.write_str("is through"),
        }
    }
}
