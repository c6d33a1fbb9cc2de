//! What everybody saw of a file is explained if it can be, and else refused with what cannot be.

use explore::model::{Done, Final, Look, NEVER, START_BESIDE, START_WORD, Seen, explain};
use fs::lab::schedule::{Op, World};
use proptest::prelude::*;

fn world(text: &str) -> World {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// An operation of a CPU, in address space `a`: what it stores, what it came to, its first and last step.
fn done(cpu: usize, op: Op, value: u64, seen: Seen, begun: u64, ended: u64) -> Done {
    Done { cpu, space: 0, op, value, seen, begun, ended }
}

fn in_space(space: u8, done: Done) -> Done {
    Done { space, ..done }
}

fn load(cpu: usize, word: u64, begun: u64, ended: u64) -> Done {
    done(cpu, Op::Load, 0, Seen::Word(word), begun, ended)
}

fn read(cpu: usize, word: u64, begun: u64, ended: u64) -> Done {
    done(cpu, Op::Read, 0, Seen::Word(word), begun, ended)
}

fn store(cpu: usize, value: u64, begun: u64, ended: u64) -> Done {
    done(cpu, Op::Store, value, Seen::Done, begun, ended)
}

fn private(cpu: usize, value: u64, (own, beside): (u64, u64), begun: u64, ended: u64) -> Done {
    done(cpu, Op::Private, value, Seen::Private { own, beside }, begun, ended)
}

fn simply(cpu: usize, op: Op, begun: u64, ended: u64) -> Done {
    done(cpu, op, 0, Seen::Done, begun, ended)
}

fn bad(cpu: usize, op: Op, seen: Seen, begun: u64, ended: u64) -> Done {
    done(cpu, op, 0x9000, seen, begun, ended)
}

fn reads(word: u64) -> Final {
    Final { read: Some(Seen::Word(word)), ..Final::default() }
}

fn ends(seen: Seen) -> Final {
    Final { read: Some(seen), ..Final::default() }
}

fn loads(space: u8, seen: Seen) -> Final {
    Final { loads: vec![Look { space, small: false, seen }], ..Final::default() }
}

fn privately(seen: Seen) -> Final {
    Final { privates: vec![(0, seen)], ..Final::default() }
}

const HOLE: &str = "read-first/page.hole/a:load/a:load/b:load";
const BLOCK: &str = "read-first/page.block/a:load/a:load/b:load";

fn error() -> Seen {
    Seen::Error("bad".into())
}

#[test]
fn what_can_be_is_explained() {
    use Op::*;
    use Seen::{Bus, Segv};
    let none = Final::default();
    let cases: &[(&str, &str, &[Done], Final)] = &[
        ("nothing at all", BLOCK, &[], reads(START_WORD)),
        ("a hole is zeros", HOLE, &[load(0, 0, 1, 2)], reads(0)),
        ("one after the other", HOLE, &[store(0, 0x1000, 1, 5), load(1, 0x1000, 6, 9)], reads(0x1000)),
        ("together: before", HOLE, &[store(0, 0x1000, 1, 5), load(1, 0, 2, 9)], reads(0x1000)),
        ("together: after", HOLE, &[store(0, 0x1000, 1, 9), load(1, 0x1000, 2, 5)], reads(0x1000)),
        ("the later store may lose", HOLE, &[store(0, 0x1000, 1, 9), store(1, 0x2000, 2, 5)], reads(0x1000)),
        ("or win", HOLE, &[store(0, 0x1000, 1, 9), store(1, 0x2000, 2, 5)], reads(0x2000)),
        (
            "both are seen in between",
            HOLE,
            &[store(0, 0x1000, 1, 9), load(1, 0, 2, 3), read(1, 0x1000, 4, 5)],
            reads(0x1000),
        ),
        (
            "written beyond the end, it grows",
            BLOCK,
            &[simply(0, Truncate, 1, 3), done(1, Write, 0x2000, Seen::Done, 2, 9), load(0, 0x2000, 4, 5)],
            reads(0x2000),
        ),
        (
            "truncated",
            BLOCK,
            &[simply(0, Truncate, 1, 3), bad(1, Load, Bus, 4, 6), bad(1, Read, Bus, 7, 8)],
            ends(Bus),
        ),
        (
            "and zeros after it grew",
            BLOCK,
            &[simply(0, Truncate, 1, 3), simply(0, Grow, 4, 6), load(1, 0, 7, 8)],
            reads(0),
        ),
        (
            "fallocate(2) makes it longer",
            BLOCK,
            &[simply(0, Truncate, 1, 3), simply(0, Fallocate, 4, 6)],
            reads(0),
        ),
        (
            "punched before the store",
            BLOCK,
            &[simply(0, Punch, 1, 9), store(1, 0x2000, 2, 3), load(1, 0x2000, 4, 5)],
            reads(0x2000),
        ),
        (
            "unmapped for its own space only",
            BLOCK,
            &[simply(0, Munmap, 1, 3), bad(1, Load, Segv, 4, 5), in_space(1, load(2, START_WORD, 4, 5))],
            loads(0, Segv),
        ),
        (
            "loaded before it was unmapped",
            BLOCK,
            &[simply(0, Munmap, 1, 9), load(1, START_WORD, 4, 5), bad(1, Load, Segv, 6, 7)],
            none.clone(),
        ),
        (
            "no second area to protect",
            BLOCK,
            &[simply(0, Munmap, 1, 2), bad(0, Mprotect, Segv, 3, 4), simply(0, Munmap, 5, 6)],
            none.clone(),
        ),
        (
            "read-only: loads go on",
            BLOCK,
            &[simply(0, Mprotect, 1, 3), bad(1, Store, Segv, 4, 5), load(1, START_WORD, 6, 7)],
            reads(START_WORD),
        ),
        (
            "a copy is no file's",
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 3), load(1, START_WORD, 4, 5)],
            privately(Seen::Private { own: 0x1000, beside: START_BESIDE }),
        ),
        (
            "punching leaves it",
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 3), simply(1, Punch, 4, 6)],
            privately(Seen::Private { own: 0x1000, beside: START_BESIDE }),
        ),
        (
            "copied before the punch, stored after",
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 9), simply(1, Punch, 2, 3), load(1, 0, 4, 5)],
            reads(0),
        ),
        (
            "truncation takes it away",
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 3), simply(1, Truncate, 4, 6)],
            privately(Bus),
        ),
        (
            "between its store and its loads, too",
            BLOCK,
            &[private(0, 0x1000, (0, 0), 1, 9), simply(1, Truncate, 2, 4), simply(1, Grow, 5, 6)],
            reads(0),
        ),
        (
            "and between the two loads",
            BLOCK,
            &[private(0, 0x1000, (0x1000, 0), 1, 9), simply(1, Truncate, 2, 4), simply(1, Grow, 5, 6)],
            reads(0),
        ),
        (
            "another of the space stores to the copy",
            BLOCK,
            &[
                private(0, 0x1000, (0x2000, START_BESIDE), 1, 9),
                private(1, 0x2000, (0x2000, START_BESIDE), 2, 8),
            ],
            none.clone(),
        ),
        (
            "copied before the punch, stored after another of the space had",
            BLOCK,
            &[
                private(0, 0x1000, (0x1000, START_BESIDE), 1, 20),
                simply(2, Punch, 2, 3),
                private(1, 0x2000, (0x2000, START_BESIDE), 4, 9),
            ],
            privately(Seen::Private { own: 0x1000, beside: START_BESIDE }),
        ),
        (
            "a child without an area",
            BLOCK,
            &[simply(0, Munmap, 1, 2), bad(1, Fork, Segv, 3, 4)],
            none.clone(),
        ),
        (
            "one that never was over says nothing",
            HOLE,
            &[bad(2, Punch, Segv, 1, NEVER), done(0, Store, 0x1000, Segv, 1, NEVER), load(1, 0x1000, 2, 3)],
            reads(0x1000),
        ),
        (
            "a child loads after its parent unmapped",
            BLOCK,
            &[
                done(0, Fork, 0, Seen::Word(0x2000), 1, 9),
                simply(1, Munmap, 2, 3),
                in_space(1, store(2, 0x2000, 4, 5)),
            ],
            loads(0, Segv),
        ),
        (
            "a bad line",
            BLOCK,
            &[
                simply(0, Poison, 1, 2),
                bad(1, Load, Bus, 3, 4),
                bad(1, Read, error(), 5, 6),
                bad(1, Write, error(), 7, 8),
            ],
            ends(error()),
        ),
        ("that nobody met", BLOCK, &[simply(0, Poison, 1, 2), load(1, START_WORD, 3, 4)], reads(START_WORD)),
        (
            "a closed handle",
            BLOCK,
            &[simply(0, Unlink, 1, 2), bad(0, Truncate, error(), 3, 4), read(1, START_WORD, 5, 6)],
            none.clone(),
        ),
        ("both unlink", BLOCK, &[simply(0, Unlink, 1, 2), simply(1, Unlink, 1, 4)], none.clone()),
        (
            "one that never was over, and was done",
            HOLE,
            &[store(0, 0x1000, 1, NEVER), load(1, 0x1000, 2, 3)],
            reads(0x1000),
        ),
        ("or was not", HOLE, &[store(0, 0x1000, 1, NEVER), load(1, 0, 2, 3)], reads(0)),
        (
            "nobody touches the word",
            BLOCK,
            &[
                simply(0, Msync, 1, 4),
                simply(1, Freeze, 2, 5),
                simply(2, PunchBeside, 2, 3),
                simply(2, WriteOther, 4, 5),
                simply(0, Fsync, 6, 7),
            ],
            reads(START_WORD),
        ),
        ("no step, no order", HOLE, &[store(0, 0x1000, 5, 5), load(1, 0, 5, 5)], reads(0x1000)),
    ];
    for (name, start, history, last) in cases {
        assert_eq!(explain(&world(start), history, last), Ok(()), "{name}");
        // Whoever looks in the end sees the same whichever way the history was written down.
        let turned: Vec<Done> = history.iter().rev().cloned().collect();
        assert_eq!(explain(&world(start), &turned, last), Ok(()), "{name}, turned round");
    }
}

#[test]
fn what_cannot_be_is_refused_and_says_what_it_should_have_been() {
    use Op::*;
    use Seen::Bus;
    let none = Final::default();
    let cases: &[(&str, &[Done], Final, &str)] = &[
        (
            HOLE,
            &[store(0, 0x1000, 1, 5), load(1, 0, 6, 9)],
            reads(0x1000),
            "CPU 1 loaded 0x0 after CPU 0 had stored 0x1000; it could only be 0x1000",
        ),
        // The RFC's: the load had begun long before.
        (
            HOLE,
            &[load(0, 0, 1, 20), store(1, 0x2000, 2, 15), load(1, 0, 16, 22)],
            none.clone(),
            "CPU 1 loaded 0x0 after CPU 1 had stored 0x2000; it could only be 0x2000",
        ),
        (
            HOLE,
            &[store(0, 0x1000, 1, 5), load(1, 0, 2, 9)],
            reads(0),
            "in the end read(2) gives 0x0 after CPU 0 had stored 0x1000; it could only be 0x1000",
        ),
        (
            BLOCK,
            &[simply(0, Punch, 1, 5), store(1, 0x2000, 6, 7), read(1, START_WORD, 8, 9)],
            none.clone(),
            "CPU 1 read 0x101 after CPU 0 had punched the range and CPU 1 had stored 0x2000; it could only be 0x2000",
        ),
        (
            BLOCK,
            &[simply(0, Punch, 1, 5), load(1, 0, 2, 3), in_space(1, load(2, START_WORD, 4, 9))],
            none.clone(),
            "CPU 2 loaded 0x101 after CPU 1 had loaded 0x0, while CPU 0 punched the range; it could only be 0x0",
        ),
        (
            HOLE,
            &[store(0, 0x1000, 1, 20), load(1, 0x1000, 2, 3), load(2, 0, 4, 6)],
            none.clone(),
            "CPU 2 loaded 0x0 after CPU 1 had loaded 0x1000, while CPU 0 stored 0x1000; it could only be 0x1000",
        ),
        // Two who see two stores in both orders.
        (
            HOLE,
            &[
                store(0, 0x1000, 1, 30),
                store(1, 0x2000, 1, 30),
                load(2, 0x1000, 2, 3),
                load(2, 0x2000, 4, 5),
                in_space(1, load(3, 0x2000, 2, 3)),
                in_space(1, load(3, 0x1000, 6, 7)),
            ],
            none.clone(),
            "CPU 3 loaded 0x1000 after CPU 3 had loaded 0x2000 and CPU 2 had loaded 0x2000, while CPU 0 stored 0x1000 \
             and CPU 1 stored 0x2000; it could only be 0x2000",
        ),
        (BLOCK, &[load(0, 0x5000, 1, 2)], none.clone(), "CPU 0 loaded 0x5000; it could only be 0x101"),
        (
            BLOCK,
            &[simply(0, Truncate, 1, 3), load(1, START_WORD, 4, 5)],
            none.clone(),
            "CPU 1 loaded 0x101 after CPU 0 had truncated the file; it could only be SIGBUS",
        ),
        (
            BLOCK,
            &[simply(0, Truncate, 1, 3), store(1, 0x2000, 4, 5)],
            none.clone(),
            "CPU 1 stored 0x2000 after CPU 0 had truncated the file; it could only be SIGBUS",
        ),
        (
            BLOCK,
            &[simply(0, Truncate, 1, 3), simply(0, Grow, 4, 6)],
            reads(START_WORD),
            "in the end read(2) gives 0x101 after CPU 0 had truncated the file and CPU 0 had made the file longer; it \
             could only be 0x0",
        ),
        (
            BLOCK,
            &[bad(0, Load, Bus, 1, 2), simply(1, Truncate, 3, 4)],
            none.clone(),
            "CPU 0 got SIGBUS from its load; it could only be 0x101",
        ),
        (
            BLOCK,
            &[simply(0, Munmap, 1, 3), load(1, START_WORD, 4, 5)],
            none.clone(),
            "CPU 1 loaded 0x101 after CPU 0 had unmapped the area; it could only be SIGSEGV",
        ),
        (
            BLOCK,
            &[simply(0, Mprotect, 1, 3), store(1, 0x2000, 4, 5)],
            none.clone(),
            "CPU 1 stored 0x2000 after CPU 0 had made the area read-only; it could only be SIGSEGV",
        ),
        (
            BLOCK,
            &[bad(0, Read, error(), 1, 2), simply(1, Poison, 3, 4)],
            none.clone(),
            "CPU 0 got the error `bad` from its read; it could only be 0x101",
        ),
        (
            BLOCK,
            &[simply(0, Poison, 1, 2), store(1, 0x2000, 3, 4), load(1, START_WORD, 5, 6)],
            none.clone(),
            "CPU 1 loaded 0x101 after CPU 0 had made the line go bad and CPU 1 had stored 0x2000; it could only be \
             0x2000 or SIGBUS",
        ),
        (
            BLOCK,
            &[simply(0, Punch, 1, 3), private(1, 0x2000, (0x2000, START_BESIDE), 4, 9)],
            none.clone(),
            "CPU 1 stored 0x2000 to its private area, and found 0x2000 and 0x202 beside it after CPU 0 had punched the \
             range; it could only be 0x2000 and 0x0 beside it",
        ),
        (
            BLOCK,
            &[private(0, 0x1000, (START_WORD, START_BESIDE), 1, 9), simply(1, Punch, 2, 3)],
            none.clone(),
            "CPU 0 stored 0x1000 to its private area, and found 0x101 and 0x202 beside it, while CPU 1 punched the \
             range; it could only be 0x1000 and 0x0 beside it or 0x1000 and 0x202 beside it",
        ),
        (
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 2)],
            reads(0x1000),
            "in the end read(2) gives 0x1000; it could only be 0x101",
        ),
        (
            BLOCK,
            &[private(0, 0x1000, (0x1000, START_BESIDE), 1, 2), done(1, Write, 0x2000, Seen::Done, 3, 4)],
            privately(Seen::Private { own: 0x2000, beside: START_BESIDE }),
            "in the end address space a's private area has 0x2000 and 0x202 beside it after CPU 1 had written 0x2000; it \
             could only be 0x1000 and 0x202 beside it",
        ),
        (
            HOLE,
            &[store(0, 0x1000, 1, 4)],
            loads(1, Seen::Word(0)),
            "in the end address space b loads 0x0 after CPU 0 had stored 0x1000; it could only be 0x1000",
        ),
        // Each is right alone.
        (
            HOLE,
            &[store(0, 0x1000, 1, 9), store(1, 0x2000, 2, 8)],
            Final { read: Some(Seen::Word(0x1000)), ..loads(0, Seen::Word(0x2000)) },
            "in the end not all see the same file: read(2) gives 0x1000, address space a loads 0x2000 after CPU 1 had \
             stored 0x2000 and CPU 0 had stored 0x1000",
        ),
        (
            HOLE,
            &[done(0, Write, 0x1000, error(), 1, 4)],
            none.clone(),
            "CPU 0 got the error `bad` from its write; it could only be done",
        ),
        (
            BLOCK,
            &[simply(1, Unlink, 1, 2), bad(0, Truncate, error(), 3, 4)],
            none.clone(),
            "CPU 0 got the error `bad` from its truncate; it could only be done",
        ),
        (
            BLOCK,
            &[simply(0, Munmap, 1, 2), done(1, Fork, 0, Seen::Word(START_WORD), 3, 4)],
            none.clone(),
            "CPU 1 forked a child that loaded 0x101 after CPU 0 had unmapped the area; it could only be SIGSEGV",
        ),
        (
            BLOCK,
            &[done(0, Fork, 0, Seen::Segv, 1, 2), simply(1, Munmap, 3, 4)],
            none.clone(),
            "CPU 0 got SIGSEGV from its fork; it could only be 0x101",
        ),
        (
            HOLE,
            &[store(0, 0x1000, 1, NEVER), load(1, 0x1000, 2, 3), load(1, 0, 4, 5)],
            none.clone(),
            "CPU 1 loaded 0x0 after CPU 1 had loaded 0x1000, while CPU 0 stored 0x1000; it could only be 0x1000",
        ),
        // What begins with the number of the other's last step begins after it.
        (
            HOLE,
            &[store(0, 0x1000, 1, 5), load(1, 0, 5, 9)],
            none.clone(),
            "CPU 1 loaded 0x0 after CPU 0 had stored 0x1000; it could only be 0x1000",
        ),
    ];
    for (start, history, last, says) in cases {
        assert_eq!(explain(&world(start), history, last), Err(says.to_string()));
        let turned: Vec<Done> = history.iter().rev().cloned().collect();
        assert!(explain(&world(start), &turned, last).is_err(), "{says}");
    }
}

#[test]
fn an_area_without_large_pages_is_another_area() {
    let world = world("read-first/pmd.block/a:munmap/a4:load");
    let history = [simply(0, Op::Munmap, 1, 2), load(1, START_WORD, 3, 4)];
    let looks = |small, seen| Final { loads: vec![Look { space: 0, small, seen }], ..Final::default() };
    assert_eq!(explain(&world, &history, &looks(true, Seen::Word(START_WORD))), Ok(()));
    assert_eq!(explain(&world, &history, &looks(false, Seen::Segv)), Ok(()));
    assert!(explain(&world, &history, &looks(true, Seen::Segv)).is_err());
}

#[test]
fn more_than_can_be_put_in_order_is_an_answer() {
    let history: Vec<Done> = (0..17).map(|at| load(0, 0, 2 * at, 2 * at + 1)).collect();
    assert_eq!(explain(&world(HOLE), &history[..16], &reads(0)), Ok(()));
    let said = explain(&world(HOLE), &history, &reads(0));
    assert_eq!(said, Err("a history of 17 operations: 16 can be put in order".into()));
}

/// A file as a list of bytes would do it, and every order tried: slow, and written without the other's
/// tricks.
fn slowly(history: &[Done], read: &Seen) -> bool {
    fn file(word: &mut Option<u64>, done: &Done) -> Seen {
        match (done.op, *word) {
            (Op::Load | Op::Read, Some(word)) => return Seen::Word(word),
            (Op::Load | Op::Read | Op::Store, None) => return Seen::Bus,
            (Op::Store | Op::Write, _) => *word = Some(done.value),
            (Op::Truncate, _) => *word = None,
            (Op::Grow, None) | (Op::Punch, Some(_)) => *word = Some(0),
            _ => {}
        }
        Seen::Done
    }
    fn orders(rest: &[Done], word: Option<u64>, read: &Seen) -> bool {
        let first = |index: usize| {
            let one = &rest[index];
            let waits =
                |other: &Done| other.ended < one.begun || other.cpu == one.cpu && other.begun < one.begun;
            let mut word = word;
            let mut others = rest.to_vec();
            others.remove(index);
            !rest.iter().any(waits) && file(&mut word, one) == one.seen && orders(&others, word, read)
        };
        match rest {
            [] => *read == word.map_or(Seen::Bus, Seen::Word),
            _ => (0..rest.len()).any(first),
        }
    }
    orders(history, Some(START_WORD), read)
}

/// Some operations of three CPUs that overlap as they like, and see what they like, of what there is.
fn histories() -> impl Strategy<Value = (Vec<Done>, Seen)> {
    use Op::*;
    let ops = [Load, Load, Load, Read, Store, Store, Write, Truncate, Grow, Punch];
    let op =
        (0..3usize, proptest::sample::select(ops.to_vec()), 1..6u64, 1..12u64, any::<prop::sample::Index>());
    (proptest::collection::vec(op, 1..7), any::<prop::sample::Index>()).prop_map(|(ops, last)| {
        // Each CPU's times go on where they were; no two are the same.
        let mut now = [0, 1, 2];
        let words: Vec<Seen> = [0, START_WORD]
            .into_iter()
            .chain((0..ops.len() as u64).map(|nth| 0x1000 + nth))
            .map(Seen::Word)
            .chain([Seen::Bus])
            .collect();
        let mut history = Vec::new();
        for (nth, (cpu, op, pause, long, seen)) in ops.into_iter().enumerate() {
            let begun = now[cpu] + 3 * pause;
            now[cpu] = begun + 3 * long;
            let seen = match op {
                Load | Read => words[seen.index(words.len())].clone(),
                Store if seen.index(8) == 0 => Seen::Bus,
                _ => Seen::Done,
            };
            history.push(Done {
                cpu,
                space: 0,
                op,
                value: 0x1000 + nth as u64,
                seen,
                begun,
                ended: now[cpu],
            });
        }
        (history, words[last.index(words.len())].clone())
    })
}

/// The same, with what each would see in the order of their ends: most of these are explained.
fn seen_in_order((mut history, _): (Vec<Done>, Seen), turn: usize) -> (Vec<Done>, Seen) {
    let mut order: Vec<usize> = (0..history.len()).collect();
    order.sort_by_key(|&index| if turn == 0 { history[index].ended } else { history[index].begun });
    let mut word = Some(START_WORD);
    for index in order {
        let done = &mut history[index];
        let there = word.map_or(Seen::Bus, Seen::Word);
        (done.seen, word) = match done.op {
            Op::Load | Op::Read => (there, word),
            Op::Store if word.is_none() => (Seen::Bus, word),
            Op::Store | Op::Write => (Seen::Done, Some(done.value)),
            Op::Truncate => (Seen::Done, None),
            Op::Grow => (Seen::Done, word.or(Some(0))),
            _ => (Seen::Done, word.and(Some(0))),
        };
    }
    (history, word.map_or(Seen::Bus, Seen::Word))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_search_finds_an_order_if_and_only_if_there_is_one(
        history in histories(), turn in 0..3usize, changed in any::<prop::sample::Index>(), word in 0..0x1006u64,
    ) {
        let (mut history, read) = if turn < 2 { seen_in_order(history, turn) } else { history };
        let last = ends(read.clone());
        let said = explain(&world(BLOCK), &history, &last);
        prop_assert_eq!(said.is_ok(), slowly(&history, &read), "{:?}", said);
        prop_assert!(turn == 2 || said.is_ok(), "{:?}", said);
        // One of them saw something else.
        let index = changed.index(history.len());
        if matches!(history[index].op, Op::Load | Op::Read) {
            history[index].seen = Seen::Word(if word < 0x1000 { word % 2 * START_WORD } else { word });
            let said = explain(&world(BLOCK), &history, &last);
            prop_assert_eq!(said.is_ok(), slowly(&history, &read), "{:?}", said);
            if let Err(said) = said {
 prop_assert!(said.starts_with("CPU ") || said.starts_with("in the end "), "{}", said);
 prop_assert!(!said.contains('\n'), "{}", said);
 }
        }
    }
}
