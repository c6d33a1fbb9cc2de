//! CPUs as coroutines: each stops before every step that others could notice, and goes on when it is chosen.
//!
//! Everything runs on one thread of the host. A step is announced ([`visible`]) with what it [touches](Touch)
//! and when it can be taken; the [`Chooser`] says who goes next. Between two steps of its own a CPU does only
//! what nobody else can see, so it does not matter when.
//!
//! Outside of a run (while a world is set up, or looked at in the end) steps are taken as they come.

use super::clock::Clock;
use super::races::Races;
use super::touch::{SharedPlace, Touch};
use super::{CPUS, Cpu};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use fs::atomic::watched::{Access, Watcher, watch};
use fs::lab::Point;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Why a step has to wait, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It can be taken at any time.
    Nothing,
    /// That lock must be free, for shared use or alone.
    Free(SharedPlace, bool),
    /// It sleeps until somebody wakes it.
    Woken,
    /// Another CPU must have taken a step.
    Others,
}

/// A step that a CPU is about to take.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// What it touches.
    pub touch: Touch,
    /// When it can be taken.
    pub need: Need,
    /// How many ways there are to take it.
    pub ways: u8,
    /// What it is, for people.
    pub what: &'static str,
}

/// Who goes next?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This CPU, in this way.
    Go(Cpu, u8),
    /// Nobody: the rest of the run is known already.
    Stop,
}

/// What a chooser sees: the CPUs and what they are about to do.
pub struct ChooserView<'a> {
    /// Steps taken so far.
    pub step: usize,
    /// Who took the last one.
    pub last: Cpu,
    /// Those whose step can be taken, as bits.
    pub enabled: u32,
    /// What each is about to do; `None` for who is through.
    pub pending: &'a [Option<Pending>; CPUS],
    /// The named steps that each has come to, and how many steps it had taken then; only while it is written
    /// down what happens.
    pub points: &'a [Vec<(Point, u32)>; CPUS],
}

/// Decides which CPU goes next.
pub trait Chooser: Any {
    /// At least one CPU can go.
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice;
    /// The index of the first step whose races are wanted.
    fn races_from(&self) -> u32 {
        u32::MAX
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All CPUs are through.
    Through,
    /// The chooser stopped it.
    Stopped,
    /// Those who are not through wait, and nobody can go.
    Stuck,
    /// There were so many steps that somebody must go round and round.
    Endless,
    /// Somebody said that a property does not hold ([`fail`]).
    Failed,
}

/// A line of what is told of a run that is recorded.
#[derive(Clone, Debug)]
pub struct Note {
    /// Steps taken before it.
    pub step: usize,
    /// Who did it.
    pub cpu: Cpu,
    /// What.
    pub what: Noted,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Noted {
    /// A step.
    Step(&'static str, Touch),
    /// A named step of the storage code.
    Point(fs::lab::Step),
    /// An operation begins.
    Begins(String),
    /// It ends.
    Ends(String),
    /// It cannot take its next step now: what that is.
    Waits(&'static str, Touch),
    /// How page tables, TLBs and locks are, if that has changed.
    State(String),
    /// A property broke.
    Wrong(String),
}

/// More steps than any run should have.
const MANY: usize = 100_000;

struct LockState {
    shared: [u8; CPUS],
    alone: Option<Cpu>,
}

struct Engine {
    cpus: usize,
    running: bool,
    last: Cpu,
    current: Cpu,
    next: Choice,
    pending: [Option<Pending>; CPUS],
    sleeps_on: [Option<SharedPlace>; CPUS],
    woken_by: [Option<Clock>; CPUS],
    /// Steps taken by others since.
    idle_since: [usize; CPUS],
    locks:
        std::collections::HashMap<SharedPlace, LockState, std::hash::BuildHasherDefault<super::races::Mix>>,
    races: Races,
    chooser: Option<Box<dyn Chooser>>,
    wrong: Option<String>,
    way: u8,
    end: Option<End>,
    log: Option<Vec<Note>>,
    points: [Vec<(Point, u32)>; CPUS],
}

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::new());
    static DESCRIBE: Cell<Option<Box<dyn Fn() -> String>>> = const { Cell::new(None) };
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    static YIELDERS: [Cell<*const Yielder<(), ()>>; CPUS] = const { [const { Cell::new(std::ptr::null()) }; CPUS] };
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

/// What comes of a step.
enum AfterStep {
    /// Taken: go on.
    Go,
    /// Another CPU's turn.
    Leave,
}

impl Engine {
    fn new() -> Self {
        Self {
            cpus: 0,
            running: false,
            last: 0,
            current: 0,
            next: Choice::Stop,
            pending: [None; CPUS],
            sleeps_on: [None; CPUS],
            woken_by: [None; CPUS],
            idle_since: [0; CPUS],
            locks: Default::default(),
            races: Races::default(),
            chooser: None,
            wrong: None,
            way: 0,
            end: None,
            log: None,
            points: Default::default(),
        }
    }

    fn is_free(&self, place: SharedPlace, shared: bool) -> bool {
        self.locks.get(&place).is_none_or(|lock| {
            lock.alone.is_none() && (shared || lock.shared.iter().all(|&count| count == 0))
        })
    }

    fn can_go(&self, cpu: Cpu) -> bool {
        self.pending[cpu].is_some_and(|pending| match pending.need {
            Need::Nothing => true,
            Need::Free(place, shared) => self.is_free(place, shared),
            Need::Woken => self.sleeps_on[cpu].is_none(),
            Need::Others => self.idle_since[cpu] != self.races.taken.len(),
        })
    }

    /// What a step touches that tries to take a lock, now.
    fn as_it_is(&self, touch: Touch) -> Touch {
        match touch {
            Touch::Try(place, shared) | Touch::Got(place, shared) if self.is_free(place, shared) => {
                Touch::Got(place, shared)
            }
            Touch::Got(place, shared) => Touch::Try(place, shared),
            touch => touch,
        }
    }

    /// Chooses who goes next; or ends the run.
    fn choose(&mut self) {
        let last = self.last;
        if self.log.is_some()
            && let Some(pending) = self.pending[last]
            && !self.can_go(last)
        {
            let (step, what) = (self.races.taken.len(), Noted::Waits(pending.what, pending.touch));
            self.log.as_mut().expect("it was there").push(Note { step, cpu: last, what });
        }
        let enabled = (0..self.cpus).filter(|&cpu| self.can_go(cpu)).fold(0, |bits, cpu| bits | 1 << cpu);
        let step = self.races.taken.len();
        self.next = Choice::Stop;
        if self.wrong.is_some() {
            self.end = Some(End::Failed);
        } else if self.pending[..self.cpus].iter().all(Option::is_none) {
            self.end = Some(End::Through);
        } else if enabled == 0 {
            self.end = Some(End::Stuck);
            for cpu in 0..self.cpus {
                if let Some(pending) = self.pending[cpu] {
                    self.races.waits(cpu, &pending.touch);
                }
            }
        } else if step >= MANY {
            self.end = Some(End::Endless);
        } else {
            for cpu in 0..self.cpus {
                if let Some(Pending { touch: touch @ (Touch::Try(..) | Touch::Got(..)), .. }) =
                    self.pending[cpu]
                {
                    let touch = self.as_it_is(touch);
                    self.pending[cpu].as_mut().expect("it is there").touch = touch;
                }
            }
            let (pending, points) = (&self.pending, &self.points);
            let view = ChooserView { step, last: self.last, enabled, pending, points };
            self.next = self.chooser.as_mut().expect("a chooser while it runs").choose(&view);
            if self.next == Choice::Stop {
                self.end = Some(End::Stopped);
            }
        }
    }

    /// `cpu`, which is chosen, takes its step.
    fn take(&mut self, cpu: Cpu, way: u8, touch: Touch) {
        let Pending { what, .. } = self.pending[cpu].take().expect("who is chosen has a step to take");
        let touch = self.as_it_is(touch);
        if let Some(log) = &mut self.log {
            log.push(Note { step: self.races.taken.len(), cpu, what: Noted::Step(what, touch) });
        }
        let woken_by = self.woken_by[cpu].take();
        self.races.step(cpu, &touch, woken_by.as_ref());
        (self.last, self.way) = (cpu, way);
    }
}

/// Makes accesses to the storage code's atomic words steps, from now on.
pub fn watch_words() {
    static WATCHER: Watcher = |address, access| {
        let (change, what) = match access {
            Access::Load => (false, "loads a word"),
            Access::Change => (true, "changes a word"),
        };
        visible(Touch::One(SharedPlace::word(address), change), Need::Nothing, 1, what);
    };
    watch(&WATCHER);
}

/// Returns whether a run is under way on this thread: otherwise steps are nobody's business.
#[inline]
pub fn is_running() -> bool {
    RUNNING.get()
}

/// Returns the CPU that runs; 0 outside of a run.
pub fn current() -> Cpu {
    if is_running() { ENGINE.with_borrow(|engine| engine.current) } else { 0 }
}

/// Returns how many steps were taken.
pub fn steps() -> usize {
    ENGINE.with_borrow(|engine| engine.races.taken.len())
}

/// Returns how many steps the CPU that runs has taken.
pub fn own_steps() -> u32 {
    ENGINE.with_borrow(|engine| engine.races.known_to(engine.current).of(engine.current))
}

/// Announces a step of the CPU: returns when it has been chosen to take it, in which way.
pub fn visible(touch: Touch, need: Need, ways: u8, what: &'static str) -> u8 {
    visible_as(touch, need, ways, what, &|| touch)
}

/// Does as [`visible`], where it shows only when the step is taken that it touches less than was announced.
pub fn visible_as(touch: Touch, need: Need, ways: u8, what: &'static str, taken: &dyn Fn() -> Touch) -> u8 {
    if !is_running() {
        return 0;
    }
    describe();
    let (cpu, verdict) = ENGINE.with_borrow_mut(|engine| {
        let cpu = engine.current;
        engine.pending[cpu] = Some(Pending { touch, need, ways, what });
        if need == Need::Others {
            engine.idle_since[cpu] = engine.races.taken.len();
        }
        if !engine.running {
            // Everybody comes to a first step before anyone takes it.
            return (cpu, AfterStep::Leave);
        }
        engine.choose();
        match engine.next {
            Choice::Go(next, way) if next == cpu => {
                engine.take(cpu, way, taken());
                (cpu, AfterStep::Go)
            }
            _ => (cpu, AfterStep::Leave),
        }
    });
    if let AfterStep::Leave = verdict {
        let yielder = YIELDERS.with(|yielders| yielders[cpu].get());
        // SAFETY: the pointer was set by this coroutine when it began, to what lives as long as the coroutine
        // does.
        unsafe { &*yielder }.suspend(());
        if !is_running() {
            return 0;
        }
        ENGINE.with_borrow_mut(|engine| {
            engine.current = cpu;
            let Choice::Go(next, way) = engine.next else { unreachable!("resumed without a choice") };
            debug_assert_eq!(next, cpu);
            engine.take(cpu, way, taken());
        });
    }
    ENGINE.with_borrow(|engine| engine.way)
}

/// Takes a lock, waiting for it.
pub fn lock(address: usize, shared: bool, what: &'static str) {
    let place = SharedPlace::lock(address);
    visible(Touch::Take(place, shared), Need::Free(place, shared), 1, what);
    hold(place, shared);
}

/// Takes a lock if it is free.
pub fn try_lock(address: usize, shared: bool, what: &'static str) -> bool {
    let place = SharedPlace::lock(address);
    visible(Touch::Try(place, shared), Need::Nothing, 1, what);
    let free = ENGINE.with_borrow(|engine| engine.is_free(place, shared));
    if free {
        hold(place, shared);
    }
    free
}

/// Lets a lock go.
pub fn unlock(address: usize, shared: bool, what: &'static str) {
    let place = SharedPlace::lock(address);
    visible(Touch::LetGo(place, shared), Need::Nothing, 1, what);
    ENGINE.with_borrow_mut(|engine| {
        let cpu = engine.current;
        let Some(lock) = engine.locks.get_mut(&place) else { return };
        if !shared {
            lock.alone = None;
        } else if lock.shared[cpu] > 0 {
            lock.shared[cpu] -= 1;
        } else if let Some(count) = lock.shared.iter_mut().find(|count| **count > 0) {
            // Taken by another CPU, or before the run.
            *count -= 1;
        }
    });
}

fn hold(place: SharedPlace, shared: bool) {
    ENGINE.with_borrow_mut(|engine| {
        let cpu = engine.current;
        let lock = engine.locks.entry(place).or_insert(LockState { shared: [0; CPUS], alone: None });
        if shared {
            lock.shared[cpu] += 1;
        } else {
            lock.alone = Some(cpu);
        }
    });
}

/// Says how a lock is held: by how many shared, and by whom alone.
pub fn holders(address: usize) -> (u32, Option<Cpu>) {
    ENGINE.with_borrow(|engine| {
        let lock = engine.locks.get(&SharedPlace::lock(address));
        lock.map_or((0, None), |lock| (lock.shared.iter().map(|&count| u32::from(count)).sum(), lock.alone))
    })
}

/// Sleeps until somebody [wakes](wake) those who wait for `key`. The caller has looked whether it must, under
/// the lock of the list for `key`, and lets that go in the same step.
pub fn sleep(key: usize) {
    let list = SharedPlace::lock(key);
    ENGINE.with_borrow_mut(|engine| {
        let cpu = engine.current;
        engine.sleeps_on[cpu] = Some(list);
    });
    unlock(key, false, "sleeps");
    visible(Touch::Nothing, Need::Woken, 1, "is awake");
}

/// Wakes everybody who waits for `key`.
pub fn wake(key: usize) {
    if !is_running() {
        return;
    }
    lock(key, false, "wakes");
    ENGINE.with_borrow_mut(|engine| {
        let clock = engine.races.known_to(engine.current);
        for cpu in 0..CPUS {
            if engine.sleeps_on[cpu] == Some(SharedPlace::lock(key)) {
                engine.sleeps_on[cpu] = None;
                engine.woken_by[cpu] = Some(clock);
            }
        }
    });
    unlock(key, false, "woke");
}

/// Sets what says how the machine is, after each step, while it is written down what happens.
pub fn tell_state(tell: Option<Box<dyn Fn() -> String>>) {
    DESCRIBE.set(tell);
}

/// Writes down how the machine is, if that has changed.
fn describe() {
    if !is_noted() {
        return;
    }
    let Some(tell) = DESCRIBE.take() else { return };
    let state = unwatched(&tell);
    DESCRIBE.set(Some(tell));
    let is_new = ENGINE.with_borrow(|engine| {
        let last = engine.log.iter().flatten().rev().find_map(|note| match &note.what {
            Noted::State(state) => Some(state),
            _ => None,
        });
        last != Some(&state)
    });
    if is_new {
        note(|| Noted::State(state));
    }
}

/// Writes something down about the CPU that runs, if that is wanted.
pub fn note(what: impl FnOnce() -> Noted) {
    ENGINE.with_borrow_mut(|engine| {
        let (step, cpu) = (engine.races.taken.len(), engine.current);
        if let Some(log) = &mut engine.log
            && RUNNING.get()
        {
            let what = what();
            if let Noted::Point(point) = what {
                engine.points[cpu].push((point.point, engine.races.known_to(cpu).of(cpu)));
            }
            log.push(Note { step, cpu, what });
        }
    });
}

/// Returns whether it is written down what happens.
pub fn is_noted() -> bool {
    is_running() && ENGINE.with_borrow(|engine| engine.log.is_some())
}

/// Returns whether the CPU that runs holds a lock shared.
pub fn holds_shared(address: usize) -> bool {
    ENGINE.with_borrow(|engine| {
        engine.locks.get(&SharedPlace::lock(address)).is_some_and(|lock| lock.shared[engine.current] > 0)
    })
}

/// Looks at something without steps.
pub fn unwatched<R>(look: impl FnOnce() -> R) -> R {
    let was = RUNNING.replace(false);
    let result = look();
    RUNNING.set(was);
    result
}

/// Ends the run here: a property does not hold. The first that is said counts.
pub fn fail(why: impl FnOnce() -> String) {
    ENGINE.with_borrow_mut(|engine| {
        if engine.wrong.is_none() {
            let why = why();
            let (step, cpu) = (engine.races.taken.len(), engine.current);
            if let Some(log) = &mut engine.log {
                log.push(Note { step, cpu, what: Noted::Wrong(why.clone()) });
            }
            engine.wrong = Some(why);
        }
    });
}

/// What came of a run.
pub struct Ran {
    /// How it ended.
    pub end: End,
    /// What does not hold, if it ended so.
    pub wrong: Option<String>,
    /// Who decided.
    pub chooser: Box<dyn Chooser>,
    /// What the CPUs that are not through were about to do.
    pub pending: [Option<Pending>; CPUS],
    /// What happened, if that was wanted.
    pub log: Vec<Note>,
}

/// A CPU's part.
pub type Body = Box<dyn FnOnce()>;

/// Runs the parts, one a CPU, to their end or until there is none.
pub fn run(bodies: Vec<Body>, chooser: Box<dyn Chooser>, log: bool) -> Ran {
    assert!(!is_running() && bodies.len() <= CPUS);
    ENGINE.with_borrow_mut(|engine| {
        let races = std::mem::take(&mut engine.races);
        let mut locks = std::mem::take(&mut engine.locks);
        locks.clear();
        *engine = Engine { cpus: bodies.len(), races, locks, ..Engine::new() };
        engine.races.begin(chooser.races_from());
        engine.chooser = Some(chooser);
        engine.log = log.then(Vec::new);
    });
    RUNNING.set(true);
    let mut coroutines: Vec<Option<Coroutine<(), (), (), DefaultStack>>> = Vec::new();
    for (cpu, body) in bodies.into_iter().enumerate() {
        let stack = STACKS
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| DefaultStack::new(256 << 10).expect("a stack"));
        coroutines.push(Some(Coroutine::with_stack(stack, move |yielder, ()| {
            YIELDERS.with(|yielders| yielders[cpu].set(yielder));
            body();
        })));
    }
    // 1. Each to its first step.
    for (cpu, coroutine) in coroutines.iter_mut().enumerate() {
        resume(cpu, coroutine);
    }
    // 2. Step by step.
    ENGINE.with_borrow_mut(|engine| {
        engine.running = true;
        engine.choose();
    });
    loop {
        let next = ENGINE.with_borrow_mut(|engine| {
            if engine.wrong.is_some() {
                engine.end = Some(End::Failed);
            }
            if engine.end.is_some() { None } else { Some(engine.next) }
        });
        let Some(Choice::Go(cpu, _)) = next else { break };
        ENGINE.with_borrow_mut(|engine| engine.current = cpu);
        if resume(cpu, &mut coroutines[cpu]) {
            ENGINE.with_borrow_mut(Engine::choose);
        }
    }
    // 3. Who is not through is unwound; what it does on the way is no part of the run.
    RUNNING.set(false);
    for coroutine in coroutines.into_iter().flatten() {
        let mut coroutine = coroutine;
        if !coroutine.done() {
            coroutine.force_unwind();
        }
        STACKS.with_borrow_mut(|stacks| stacks.push(coroutine.into_stack()));
    }
    ENGINE.with_borrow_mut(|engine| {
        engine.locks.clear();
        Ran {
            end: engine.end.expect("a run ends for a reason"),
            wrong: engine.wrong.take(),
            chooser: engine.chooser.take().expect("it was given"),
            pending: engine.pending,
            log: engine.log.take().unwrap_or_default(),
        }
    })
}

/// Lets a CPU go on; true if it is through. A panic in it is something wrong.
fn resume(cpu: Cpu, slot: &mut Option<Coroutine<(), (), (), DefaultStack>>) -> bool {
    let Some(coroutine) = slot else { return true };
    ENGINE.with_borrow_mut(|engine| engine.current = cpu);
    match catch_unwind(AssertUnwindSafe(|| coroutine.resume(()))) {
        Ok(CoroutineResult::Yield(())) => false,
        Ok(CoroutineResult::Return(())) => {
            let stack = slot.take().expect("it has just run").into_stack();
            STACKS.with_borrow_mut(|stacks| stacks.push(stack));
            true
        }
        Err(panic) => {
            *slot = None;
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            match text {
                Some(text) => fail(|| format!("CPU {cpu} panicked: {text}")),
                None => resume_unwind(panic),
            }
            true
        }
    }
}

/// Looks at the steps of the run that was last.
pub fn with_races<R>(look: impl FnOnce(&mut Races) -> R) -> R {
    ENGINE.with_borrow_mut(|engine| look(&mut engine.races))
}
