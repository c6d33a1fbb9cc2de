//! Huge pages (2 MiB) that meet pages of 4 KiB of the same file.

use fs::PAGE_SIZE;
use fs::dax::{self, Protocol};
use fs::lab::{Mutant, Point};

use super::super::script::{Event, Milestone};
use super::super::stage::{Answer, Turn};
use super::{
    ANY, ActorPart, ActorView, Breaks, FIRST_THEN_SECOND, OVERTAKEN_AFTER_LOOK_UP, Scenario, blind, expect,
    nothing, word,
};

const VALUE: u64 = 0x2020;
/// Pages of the 2 MiB that a word of locks has, and one that is not the first one.
const NEAR: u64 = 3 * PAGE_SIZE;
const FAR: u64 = 100 * PAGE_SIZE;

/// Loads a word of a page of 4 KiB.
const fn load(act: fn(&Turn<'_>) -> Answer, look: fn(&Turn<'_>) -> Answer<u64>) -> ActorPart {
    ActorPart { view: ActorView::Small, name: "4 KiB load", act, look }
}

const LOAD_NEAR: ActorPart = load(|turn| turn.load(NEAR).map(|_| ()), |turn| turn.load(NEAR));
const LOAD_FAR: ActorPart = load(|turn| turn.load(FAR).map(|_| ()), |turn| turn.load(FAR));

/// Stores through an entry of 2 MiB to both pages.
const STORE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "2 MiB store",
    act: |turn| {
        turn.store_told(NEAR, VALUE)?;
        turn.store_told(FAR, VALUE)
    },
    look: |turn| {
        let count = turn.stage.views[turn.actor].space.count(turn.at(0), 512 * PAGE_SIZE);
        Ok(count.large)
    },
};

/// The load sees what was stored, `byte` bytes into the 2 MiB.
fn load_sees_store(turn: &Turn<'_>, byte: u64) -> Answer {
    let (seen, found) = (turn.stage.seen(0), word(turn, byte)?);
    expect(found == VALUE, || alloc::format!("{VALUE:#x} was stored, the file has {found:#x}"))?;
    expect(seen == found, || alloc::format!("{found:#x} was stored, the other mapping still shows {seen:#x}"))
}

/// The small fault has its entry; the large one sleeps.
const LARGE_WAITS: &[Event] = &[
    (0, Milestone::Comes(Point::EntryLocked)),
    (1, Milestone::Start),
    (1, Milestone::Sleeps),
    (0, Milestone::Goes(Point::EntryLocked)),
];

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "R6",
        about: "zero pages of 4 KiB are mapped, then 2 MiB are stored to as one",
        parts: &[LOAD_NEAR, STORE],
        pages: 512,
        units: 3,
        breaks: &[
            Breaks::by(Mutant::KeepZeroPage, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::KeepZeroPage, Protocol::EntryLock, FIRST_THEN_SECOND),
        ],
        prepare: nothing,
        check: |turn| load_sees_store(turn, NEAR),
    },
    Scenario {
        name: "R10",
        about: "a store through a 2 MiB entry, fsync, a store, fsync: the second one misses it",
        parts: &[ActorPart {
            view: ActorView::Shared,
            name: "2 MiB store",
            act: |turn| {
                turn.store_told(NEAR, 1)?;
                let pages = turn.page..turn.page + 512;
                let flushed = dax::msync(&*turn.stage.file, pages);
                flushed.map_err(|error| alloc::format!("msync: {error}"))?;
                turn.say(|| "has synced".into());
                turn.store_told(NEAR, 2)
            },
            look: blind,
        }],
        pages: 512,
        units: 3,
        breaks: &[
            Breaks::by(Mutant::KeepLargeWritable, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::KeepLargeWritable, Protocol::EntryLock, ANY),
        ],
        prepare: nothing,
        check: |turn| {
            let dirty = turn.stage.file.mapping().index.is_dirty(turn.page);
            expect(dirty, || "2 MiB that were stored to after a sync are not dirty".into())
        },
    },
    Scenario {
        name: "R15",
        about: "a 2 MiB fault waits for a 4 KiB one, which wakes whoever waits elsewhere",
        parts: &[LOAD_NEAR, STORE],
        pages: 512,
        units: 3,
        breaks: &[Breaks::by(Mutant::WakeWrongKey, Protocol::EntryLock, LARGE_WAITS)],
        prepare: nothing,
        check: |turn| load_sees_store(turn, NEAR),
    },
    Scenario {
        name: "R16",
        about: "a 2 MiB fault overlooks a 4 KiB one in the second half of the 2 MiB",
        parts: &[LOAD_FAR, STORE],
        pages: 512,
        units: 3,
        breaks: &[Breaks::by(Mutant::LargeOverSmall, Protocol::EntryLock, OVERTAKEN_AFTER_LOOK_UP)],
        prepare: nothing,
        check: |turn| load_sees_store(turn, FAR),
    },
    Scenario {
        name: "R17",
        about: "a 2 MiB fault does not wait for a 4 KiB one on the way",
        parts: &[LOAD_NEAR, STORE],
        pages: 512,
        units: 3,
        breaks: &[Breaks::by(Mutant::LargeIgnoresSmallLocks, Protocol::EntryLock, OVERTAKEN_AFTER_LOOK_UP)],
        prepare: nothing,
        check: |turn| load_sees_store(turn, NEAR),
    },
];
