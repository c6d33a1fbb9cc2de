//! Faults that meet faults on one page of 4 KiB.

use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::lab::{Mutant, Point};

use super::super::script::{Event, Milestone};
use super::super::stage::{Answer, Turn};
use super::{
    ANY, ActorPart, ActorView, Breaks, FIRST_THEN_SECOND, OVERTAKEN_AFTER_LOOK_UP, OVERTAKEN_BEFORE_RETRY,
    Scenario, blind, expect, first_word, nothing, word,
};

/// What is stored: by the first actor, and by the second.
const VALUES: [u64; 2] = [0x1111, 0x2222];

/// Stores its value to its own word.
const STORE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "store",
    act: |turn| turn.store_told(turn.actor as u64 * 8, VALUES[turn.actor]),
    look: |turn| turn.load(turn.actor as u64 * 8),
};

/// Loads the word that the second actor stores to.
const LOAD: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "load",
    act: |turn| {
        let value = turn.load(8)?;
        turn.say(|| alloc::format!("has loaded {value:#x}"));
        Ok(())
    },
    look: |turn| turn.load(8),
};

const LOAD_FIRST: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "load",
    act: |turn| turn.load(0).map(|_| ()),
    look: first_word,
};

/// Both words are in the file.
fn both_stored(turn: &Turn<'_>) -> Answer {
    for (actor, value) in VALUES.into_iter().enumerate() {
        let found = word(turn, actor as u64 * 8)?;
        expect(found == value, || alloc::format!("{value:#x} was stored, the file has {found:#x}"))?;
    }
    Ok(())
}

/// What the second has stored the first sees, and the file has.
fn load_sees_store(turn: &Turn<'_>) -> Answer {
    let (seen, found) = (turn.stage.seen(0), word(turn, 8)?);
    expect(found == VALUES[1], || alloc::format!("{:#x} was stored, the file has {found:#x}", VALUES[1]))?;
    expect(seen == found, || alloc::format!("{found:#x} was stored, the other mapping still shows {seen:#x}"))
}

/// Three CPUs want one entry; the first has it, the others wait.
const TWO_WAIT: &[Event] = &[
    (0, Milestone::Comes(Point::EntryLocked)),
    (1, Milestone::Start),
    (1, Milestone::Sleeps),
    (2, Milestone::Start),
    (2, Milestone::Sleeps),
    (0, Milestone::Goes(Point::EntryLocked)),
];

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "R1",
        about: "two stores to a hole: the second one's block, or its zeros, replace the first one's",
        parts: &[STORE, STORE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::racy(OVERTAKEN_AFTER_LOOK_UP),
            Breaks::by(Mutant::NoSecondLookUp, Protocol::ReadFirst, OVERTAKEN_BEFORE_RETRY),
        ],
        prepare: nothing,
        check: both_stored,
    },
    Scenario {
        name: "R2",
        about: "two faults that keep their lock while they wait for a stronger one",
        parts: &[STORE, STORE],
        pages: 1,
        units: 256,
        breaks: &[Breaks::by(
            Mutant::RetryHolding,
            Protocol::ReadFirst,
            &[
                (0, Milestone::Comes(Point::Retry)),
                (1, Milestone::Comes(Point::Retry)),
                (0, Milestone::Goes(Point::Retry)),
            ],
        )],
        prepare: nothing,
        check: both_stored,
    },
    Scenario {
        name: "R3",
        about: "two stores to a hole: the second fault zeroes the block that it finds",
        parts: &[STORE, STORE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::ZeroTwice, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::ZeroTwice, Protocol::EntryLock, FIRST_THEN_SECOND),
        ],
        prepare: nothing,
        check: both_stored,
    },
    Scenario {
        name: "R4",
        about: "a load finds a hole, a store fills it, the load maps the zero page",
        parts: &[LOAD, STORE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::racy(OVERTAKEN_AFTER_LOOK_UP),
            Breaks::by(Mutant::KeepZeroPage, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::KeepZeroPage, Protocol::EntryLock, FIRST_THEN_SECOND),
        ],
        prepare: nothing,
        check: load_sees_store,
    },
    Scenario {
        name: "R5",
        about: "a load from a hole allocates a block",
        parts: &[LOAD],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::ReadAllocates, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::ReadAllocates, Protocol::EntryLock, ANY),
        ],
        prepare: nothing,
        check: |turn| {
            let lock = turn.stage.file.mapping().shared();
            let block = turn.stage.file.place(lock.held(), turn.page);
            expect(matches!(block, Ok(None)), || "the hole was only read, and has a block".into())
        },
    },
    Scenario {
        name: "R7",
        about: "a load has looked a hole up before it has the entry's lock, and a store fills it",
        parts: &[LOAD, STORE],
        pages: 1,
        units: 256,
        breaks: &[Breaks::by(Mutant::LookUpBeforeLock, Protocol::EntryLock, OVERTAKEN_AFTER_LOOK_UP)],
        prepare: nothing,
        check: load_sees_store,
    },
    Scenario {
        name: "R14",
        about: "three loads of one hole: whoever lets go of the entry wakes nobody who waits for it",
        parts: &[LOAD_FIRST, LOAD_FIRST, LOAD_FIRST],
        pages: 1,
        units: 256,
        breaks: &[Breaks::by(Mutant::WakeWrongKey, Protocol::EntryLock, TWO_WAIT)],
        prepare: nothing,
        check: nothing,
    },
    Scenario {
        name: "mark",
        about: "a store to a block does not mark its page dirty, or does so too late: fsync misses it",
        parts: &[ActorPart {
            view: ActorView::Shared,
            name: "store",
            act: |turn| turn.store_told(0, VALUES[0]),
            look: blind,
        }],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::NoDirtyMark, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::NoDirtyMark, Protocol::EntryLock, ANY),
        ],
        prepare: |turn| super::write_word(turn, PAGE_SIZE - 8, 1),
        check: |turn| {
            let dirty = turn.stage.file.mapping().index.is_dirty(turn.page);
            expect(dirty, || "a page that was stored to is not dirty".into())
        },
    },
];
