//! Stores to private mappings.

use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::lab::{Mutant, Point};

use super::super::script::{Event, Milestone};
use super::super::stage::Answer;
use super::{ANY, ActorPart, ActorView, Breaks, Scenario, blind, expect, write_word};
use crate::mounts;

const VALUE: u64 = 0x7777;

/// A store that may be refused.
const STORE: ActorPart = ActorPart {
    view: ActorView::Private,
    name: "private store",
    act: |turn| {
        let refused = turn.store(0, VALUE).err();
        turn.say(|| refused.map_or_else(|| "is through".into(), |why| alloc::format!("refused: {why}")));
        Ok(())
    },
    look: blind,
};

const PUNCH_ALL: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "truncate",
    act: |turn| {
        turn.stage.file.truncate(turn.offset()).map_err(|error| alloc::format!("truncate: {error}"))?;
        turn.say(|| "has ended the file before the page".into());
        Ok(())
    },
    look: blind,
};

/// The store is about to copy what it has looked up, and is held; the file becomes shorter.
const TRUNCATED_BEFORE_COPY: &[Event] = &[
    (0, Milestone::Comes(Point::Marked)),
    (1, Milestone::Start),
    (1, Milestone::Done),
    (0, Milestone::Goes(Point::Marked)),
];

/// Makes the mount of the file read-only, or no longer.
fn remount(turn: &super::super::stage::Turn<'_>, read_only: bool) -> Answer {
    let mount = mounts::of(&turn.stage.file).ok_or("not mounted")?;
    let options = mounts::MountRequest { read_only: Some(read_only), ..Default::default() };
    mounts::remount(&mount, options).map_err(|why| alloc::format!("remount: {why}"))
}

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "R22",
        about: "a store to a private mapping is refused since the mount is read-only",
        parts: &[ActorPart {
            view: ActorView::Private,
            name: "private store",
            act: |turn| {
                remount(turn, true)?;
                let stored = turn.store_told(0, VALUE);
                // Whatever came of it, the next round needs to write.
                remount(turn, false)?;
                stored
            },
            look: |turn| turn.load(0),
        }],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::PrivateNeedsWritable, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::PrivateNeedsWritable, Protocol::EntryLock, ANY),
        ],
        prepare: |turn| write_word(turn, 0, 1),
        check: |turn| {
            let seen = turn.stage.seen(0);
            expect(seen == VALUE, || alloc::format!("{VALUE:#x} was stored, the mapping shows {seen:#x}"))
        },
    },
    Scenario {
        name: "copy",
        about: "a private store copies a block, without the lock that keeps it from being freed",
        parts: &[STORE, PUNCH_ALL],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::CopyUnlocked, Protocol::ReadFirst, TRUNCATED_BEFORE_COPY),
            Breaks::by(Mutant::CopyUnlocked, Protocol::EntryLock, TRUNCATED_BEFORE_COPY),
        ],
        prepare: |turn| {
            let size = turn.stage.play.units() * PAGE_SIZE;
            turn.stage.file.truncate(size).map_err(|error| alloc::format!("truncate: {error}"))?;
            write_word(turn, 0, 1)
        },
        check: |turn| {
            let copied = turn.stage.views[0].space.count(turn.at(0), PAGE_SIZE).small;
            expect(copied == 0, || "there is a copy of a block that was freed before".into())
        },
    },
];
