//! The reduction loses nothing: small programs by chance, in every order and in one order of each class.
//!
//! What is guarded: `sched::dpor` with `sched::races` and `sched::touch`. Each program is run in every order
//! that there is (`sched::naive`). Of these runs those are the same to everybody that have the same steps
//! with the same clocks: a class. The reduction must run each class, run none twice, and reach no other; and
//! so what was read, what is there in the end, and who waits for ever, must be the same.

use explore::sched::CPUS;
use explore::sched::clock::Clock;
use explore::sched::dpor::Dpor;
use explore::sched::engine::{self, Body, Chooser, End, Need, Ran, visible, visible_as, with_races};
use explore::sched::naive::Naive;
use explore::sched::touch::{SharedPlace, Touch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

/// What a CPU of a program does. Words are 0 and 1, locks 0 and 1; there is one list to sleep on.
#[derive(Clone, Debug)]
enum Do {
    Load(usize),
    Store(usize),
    /// Adds one, and says what was there.
    Add(usize),
    /// Stores where 0 is: it is announced as a change and may be none.
    StoreOnce(usize),
    /// Copies that word to the other.
    Copy(usize),
    /// Reads both.
    Both,
    /// Can be taken in two ways.
    Choose,
    /// A lock, shared or not, and what is done under it.
    With(usize, bool, Vec<Do>),
    /// The same if it is free.
    Try(usize, bool, Vec<Do>),
    /// Sleeps unless that word is there.
    Wait(usize),
    Wake,
    /// Goes round until that word is there.
    Spin(usize),
}

/// The list to sleep on, and the locks: addresses.
const LIST: usize = 8;
const LOCKS: [usize; 2] = [16, 24];

#[derive(Default)]
struct State {
    words: RefCell<[u64; 2]>,
    seen: RefCell<[Vec<u64>; CPUS]>,
    through: Cell<u32>,
}

fn perform(state: &State, cpu: usize, what: &[Do], count: &mut u64) {
    let line = |word: usize, change| Touch::line(word as u64, change);
    let step = |touch| visible(touch, Need::Nothing, 1, "step");
    let saw = |value: u64| state.seen.borrow_mut()[cpu].push(value);
    let word = |word: usize| state.words.borrow()[word];
    let store = |word: usize, value| state.words.borrow_mut()[word] = value;
    for what in what {
        *count += 1;
        let new = 100 * (cpu as u64 + 1) + *count;
        match *what {
            Do::Load(at) => {
                step(line(at, false));
                saw(word(at));
            }
            Do::Store(at) => {
                step(line(at, true));
                store(at, new);
            }
            Do::Add(at) => {
                step(line(at, true));
                saw(word(at));
                store(at, word(at) + 1);
            }
            Do::StoreOnce(at) => {
                let taken = || line(at, word(at) == 0);
                visible_as(line(at, true), Need::Nothing, 1, "step", &taken);
                saw(word(at));
                if word(at) == 0 {
                    store(at, new);
                }
            }
            Do::Copy(at) => {
                let lines = [(SharedPlace::line(at as u64), false), (SharedPlace::line(1 - at as u64), true)];
                step(Touch::Three([lines[0], lines[1], (SharedPlace::page(0), false)]));
                store(1 - at, word(at));
            }
            Do::Both => {
                step(Touch::Pages(0, 1, false));
                saw(word(0) * 10_000 + word(1));
            }
            Do::Choose => saw(visible(Touch::Nothing, Need::Nothing, 2, "choice").into()),
            // Nobody shares a lock with itself: `hw::locks` refuses that.
            Do::With(lock, true, _) | Do::Try(lock, true, _) if engine::holds_shared(LOCKS[lock]) => {}
            Do::With(lock, shared, ref inner) => {
                engine::lock(LOCKS[lock], shared, ["lock 0", "lock 1"][lock]);
                perform(state, cpu, inner, count);
                engine::unlock(LOCKS[lock], shared, "unlock");
            }
            Do::Try(lock, shared, ref inner) => {
                let free = engine::try_lock(LOCKS[lock], shared, "try");
                saw(free.into());
                if free {
                    perform(state, cpu, inner, count);
                    engine::unlock(LOCKS[lock], shared, "unlock");
                }
            }
            Do::Wait(at) => {
                engine::lock(LIST, false, "list");
                step(line(at, false));
                saw(word(at));
                if word(at) == 0 {
                    engine::sleep(LIST);
                } else {
                    engine::unlock(LIST, false, "unlock");
                }
            }
            Do::Wake => engine::wake(LIST),
            Do::Spin(at) => {
                loop {
                    step(line(at, false));
                    if word(at) != 0 {
                        break;
                    }
                    visible(Touch::Nothing, Need::Others, 1, "goes round");
                }
                saw(word(at));
            }
        }
    }
}

/// What can be told of a run when it is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    stuck: bool,
    seen: [Vec<u64>; CPUS],
    words: [u64; 2],
    waits: Vec<Option<&'static str>>,
}

/// Of each step, by CPU: what happened before it, and which lock or word it was about. The same: the same to
/// everybody.
type Class = Vec<[u32; CPUS]>;

/// Runs the program once. None: the chooser broke it off.
fn once<C: Chooser>(program: &[Vec<Do>], chooser: Box<C>) -> (Option<(Outcome, Class)>, Box<C>) {
    let state = Rc::new(State::default());
    let body = |cpu: usize| -> Body {
        let (state, part) = (state.clone(), program[cpu].clone());
        Box::new(move || {
            perform(&state, cpu, &part, &mut 0);
            state.through.set(state.through.get() | 1 << cpu);
        })
    };
    let Ran { end, wrong, chooser, pending, .. } =
        engine::run((0..program.len()).map(body).collect(), chooser, false);
    assert_eq!(wrong, None);
    assert!(matches!(end, End::Through | End::Stuck | End::Stopped), "{end:?}");
    assert_eq!(end == End::Through, state.through.get() == (1 << program.len()) - 1);
    let class = with_races(|races| {
        let mut steps: Vec<_> =
            races.taken.iter().map(|taken| (taken.cpu, taken.number, taken.clock)).collect();
        steps.sort_by_key(|&(cpu, number, _)| (cpu, number));
        let clock = |clock: Clock| std::array::from_fn(|cpu| clock.of(cpu));
        steps.into_iter().map(|(.., known)| clock(known)).collect()
    });
    let waits = pending.iter().map(|pending| pending.map(|pending| pending.what)).collect();
    let (seen, words) = (state.seen.borrow().clone(), *state.words.borrow());
    let outcome = Outcome { stuck: end == End::Stuck, seen, words, waits };
    let chooser: Box<dyn Any> = chooser;
    ((end != End::Stopped).then_some((outcome, class)), chooser.downcast().expect("the one that was given"))
}

/// In every order; none if there are more than so many.
fn naive(program: &[Vec<Do>], most: usize) -> Option<Vec<(Outcome, Class)>> {
    let (mut runs, mut chooser) = (Vec::new(), Box::new(Naive::new()));
    loop {
        let (run, back) = once(program, chooser);
        chooser = back;
        runs.push(run.expect("nothing is broken off"));
        if !chooser.advance() {
            return Some(runs);
        }
        if runs.len() == most {
            return None;
        }
    }
}

/// In one order of each class; and how many runs were broken off.
fn reduced(program: &[Vec<Do>], most: usize) -> Result<(Vec<(Outcome, Class)>, usize), TestCaseError> {
    let (mut runs, mut cut, mut chooser) = (Vec::new(), 0, Box::new(Dpor::new()));
    loop {
        let (run, back) = once(program, chooser);
        chooser = back;
        match run {
            Some(run) => runs.push(run),
            None => cut += 1,
        }
        if !chooser.next() {
            return Ok((runs, cut));
        }
        prop_assert!(runs.len() + cut <= most, "more runs than there are orders: {}", most);
    }
}

/// Whether a step of it may turn out to be less than was announced.
fn is_vague(program: &[Vec<Do>]) -> bool {
    program.iter().flatten().any(|what| match what {
        Do::StoreOnce(_) => true,
        Do::With(.., inner) | Do::Try(.., inner) => is_vague(std::slice::from_ref(inner)),
        _ => false,
    })
}

/// How much was compared.
#[derive(Default, Debug)]
struct Compared {
    programs: usize,
    too_long: usize,
    orders: usize,
    runs: usize,
    cut: usize,
    outcomes: usize,
    stuck: usize,
}

fn compare(program: &[Vec<Do>], classes: bool, so_far: &RefCell<Compared>) -> Result<(), TestCaseError> {
    let mut so_far = so_far.borrow_mut();
    let Some(all) = naive(program, 4000) else {
        so_far.too_long += 1;
        return Ok(());
    };
    let (some, cut) = reduced(program, all.len())?;
    let outcomes = |runs: &[(Outcome, Class)]| runs.iter().map(|run| run.0.clone()).collect::<BTreeSet<_>>();
    let (there_are, reached) = (outcomes(&all), outcomes(&some));
    prop_assert_eq!(&reached, &there_are);
    if classes {
        // A way of a step is no part of the clocks: outcome and clocks together.
        let of = |runs: &[(Outcome, Class)]| runs.iter().cloned().collect::<BTreeSet<_>>();
        let (there_are, reached) = (of(&all), of(&some));
        // What is announced as a change and is none wakes who need not be woken.
        let twice = some.len() - reached.len();
        prop_assert!(twice == 0 || is_vague(program), "run twice: {} classes", twice);
        let lost = there_are.difference(&reached).next();
        prop_assert!(lost.is_none(), "lost: {:?}", lost);
        prop_assert_eq!(&reached, &there_are);
    }
    so_far.programs += 1;
    so_far.orders += all.len();
    so_far.runs += some.len();
    so_far.cut += cut;
    so_far.outcomes += there_are.len();
    so_far.stuck += there_are.iter().filter(|outcome| outcome.stuck).count();
    Ok(())
}

/// A step that is no block.
fn simple() -> impl Strategy<Value = Do> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Do::Load),
        3 => (0..2_usize).prop_map(Do::Store),
        1 => (0..2_usize).prop_map(Do::Add),
        1 => (0..2_usize).prop_map(Do::StoreOnce),
        1 => (0..2_usize).prop_map(Do::Copy),
        1 => Just(Do::Both),
        1 => Just(Do::Choose),
    ]
}

/// Locks one in the other, to a depth of two.
fn block(lists: bool) -> impl Strategy<Value = Do> {
    let inner = prop_oneof![
        3 => simple(),
        1 => (0..2_usize, any::<bool>(), vec(simple(), 0..2)).prop_map(|(lock, shared, inner)| Do::With(lock, shared, inner)),
    ];
    let lists = u32::from(lists);
    prop_oneof![
        6 => simple(),
        3 => (0..2_usize, any::<bool>(), vec(inner, 0..3)).prop_map(|(lock, shared, inner)| Do::With(lock, shared, inner)),
        2 => (0..2_usize, any::<bool>(), vec(simple(), 0..2)).prop_map(|(lock, shared, inner)| Do::Try(lock, shared, inner)),
        1 + 2 * lists => (0..2_usize).prop_map(move |at| if lists == 1 { Do::Wait(at) } else { Do::Load(at) }),
        1 + 2 * lists => (0..2_usize).prop_map(move |at| if lists == 1 { Do::Wake } else { Do::Store(at) }),
    ]
}

fn programs(lists: bool) -> impl Strategy<Value = Vec<Vec<Do>>> {
    prop_oneof![vec(vec(block(lists), 1..5), 2), vec(vec(block(lists), 1..3), 3), vec(vec(simple(), 1..3), 4)]
}

fn check(cases: u32, programs: impl Strategy<Value = Vec<Vec<Do>>>, classes: bool) -> Compared {
    // The same programs each time; PROPTEST_RNG_SEED asks for others.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let seeded = std::env::var_os("PROPTEST_RNG_SEED").is_some();
    let config = if seeded { config } else { ProptestConfig { rng_seed: RngSeed::Fixed(5), ..config } };
    let compared = RefCell::new(Compared::default());
    let result = TestRunner::new(config).run(&programs, |program| compare(&program, classes, &compared));
    if let Err(why) = result {
        panic!("{why}");
    }
    let compared = compared.into_inner();
    println!("{compared:?}");
    compared
}

#[test]
fn each_class_of_orders_is_run_once() {
    let compared = check(3000, programs(false), true);
    assert!(
        compared.programs > 2000 && compared.stuck > 50 && compared.runs < compared.orders / 5,
        "{compared:?}"
    );
}

#[test]
fn sleeping_and_waking_is_reduced_to_each_class_once() {
    let compared = check(3000, programs(true), true);
    assert!(
        compared.programs > 2000 && compared.stuck > 500 && compared.runs < compared.orders / 5,
        "{compared:?}"
    );
}

/// Who goes round waiting for a word can go on only when another has taken a step. That makes orders of steps
/// differ that have nothing else in common, but not what anybody sees: what is reached must be the same.
#[test]
fn going_round_loses_no_outcome() {
    let waits =
        (vec(block(false), 0..2), 0..2_usize, vec(simple(), 0..2)).prop_map(|(mut part, word, behind)| {
            part.push(Do::Spin(word));
            part.extend(behind);
            part
        });
    let programs = (waits, vec(vec(block(false), 1..4), 1..3)).prop_map(|(first, mut others)| {
        others.insert(0, first);
        others
    });
    let compared = check(1500, programs, false);
    assert!(
        compared.programs > 700 && compared.stuck > 50 && compared.runs < compared.orders / 5,
        "{compared:?}"
    );
}
