//! Faults that meet what else changes a file: write(2), holes that are punched, truncation, transfers.

use core::sync::atomic::Ordering::SeqCst;

use base::entry::transfer;
use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::lab::{Mutant, Point};
use fs::vfs::Fallocate;

use super::super::script::{Event, Milestone};
use super::super::stage::{Answer, Turn};
use super::super::waiting::until;
use super::{
    ANY, ActorPart, ActorView, Breaks, FIRST_THEN_SECOND, OVERTAKEN_AFTER_LOOK_UP, Scenario, blind, expect,
    first_word, nothing, word, write_word,
};
use crate::steps::LAB;
use base::counters::total;

const VALUE: u64 = 0x5a5a;

const LOAD: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "load",
    act: |turn| {
        let value = turn.load(0)?;
        turn.say(|| alloc::format!("has loaded {value:#x}"));
        Ok(())
    },
    look: first_word,
};

const WRITE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "write(2)",
    act: |turn| {
        write_word(turn, 0, VALUE)?;
        turn.say(|| alloc::format!("has written {VALUE:#x}"));
        Ok(())
    },
    look: first_word,
};

/// Stores to both pages.
const STORE_TWO: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "store",
    act: |turn| {
        turn.store_told(0, VALUE)?;
        turn.store_told(PAGE_SIZE, VALUE)
    },
    look: |turn| turn.load(PAGE_SIZE),
};

/// Punches the second page.
const PUNCH: ActorPart =
    ActorPart { view: ActorView::Shared, name: "punch hole", act: |turn| punch(turn, 1), look: blind };

fn punch(turn: &Turn<'_>, page: u64) -> Answer {
    let from = turn.offset() + page * PAGE_SIZE;
    let done = turn.stage.file.fallocate(Fallocate::PunchHole, from, PAGE_SIZE);
    done.map_err(|error| alloc::format!("punch: {error}"))?;
    turn.say(|| "has punched the hole".into());
    Ok(())
}

/// read(2) of the page into a mapping of its file. With the mistake, the lock that a fault takes is held
/// meanwhile: by [`HOLDER`], in the actor's name.
const READ: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "read(2)",
    act: |turn| {
        if LAB.has(Mutant::CopyUnderLock) {
            turn.wait_for(HELD);
        }
        let (from, to) = (turn.page * PAGE_SIZE, turn.at(PAGE_SIZE));
        let read = transfer::read(&turn.stage.file, from, to, 8).map_err(|error| alloc::format!("{error}"));
        turn.say(|| "has read the page into its mapping".into());
        turn.leave(COPIED, 1);
        expect(read? == 8, || "fewer bytes were read".into())
    },
    look: |turn| turn.load(PAGE_SIZE),
};

/// The words that are left: the lock is held; the copy is done.
const HELD: usize = 0;
const COPIED: usize = 1;

const HOLDER: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "its dax_sem",
    act: |turn| {
        if !LAB.has(Mutant::CopyUnderLock) {
            return Ok(());
        }
        let lock = turn.stage.file.mapping().exclusive();
        turn.leave(HELD, 1);
        turn.say(|| "is held".into());
        turn.wait_for(COPIED);
        drop(lock);
        Ok(())
    },
    look: blind,
};

/// A transfer that has pinned the page: from here until the other has come, it stores by physical address.
const TRANSFER: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "transfer",
    act: |turn| {
        let (file, pages) = (&turn.stage.file, turn.page..turn.page + 1);
        let index = &file.mapping().index;
        let waits = || total().pin_waits.get();
        let before = waits();
        index.pin(pages.clone()).map_err(|error| alloc::format!("pin: {error}"))?;
        turn.say(|| "has pinned the page".into());
        turn.leave(PINNED, 1);
        // Until the block is gone, or the other one waits for us; but not for ever.
        let late = crate::arch::time::monotonic_ns() + 10_000_000_000;
        until(|| {
            turn.stage.notes[PUNCHED].load(SeqCst) != 0
                || waits() != before
                || crate::arch::time::monotonic_ns() > late
        });
        let block = {
            let lock = file.mapping().shared();
            file.place(lock.held(), turn.page)
        };
        turn.leave(KEPT, u64::from(matches!(block, Ok(Some(_)))));
        turn.say(|| "is through with its transfer".into());
        index.unpin(file.platform(), pages);
        Ok(())
    },
    look: blind,
};

/// The words that are left: the page is pinned; it is punched; its block was there at the transfer's end.
const PINNED: usize = 0;
const PUNCHED: usize = 1;
const KEPT: usize = 2;

const PUNCH_PINNED: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "punch hole",
    act: |turn| {
        turn.wait_for(PINNED);
        let done = punch(turn, 0);
        turn.leave(PUNCHED, 1);
        done
    },
    look: blind,
};

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "R8",
        about: "write(2) fills a hole that is mapped: a mapping goes on showing the zero page",
        parts: &[LOAD, WRITE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::WriteKeepsZeroPage, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::WriteKeepsZeroPage, Protocol::EntryLock, FIRST_THEN_SECOND),
            Breaks::by(Mutant::WriteKeepsZeroPage, Protocol::ReadFirst, OVERTAKEN_AFTER_LOOK_UP),
        ],
        prepare: nothing,
        check: |turn| {
            let (seen, found) = (turn.stage.seen(0), word(turn, 0)?);
            let lost = || alloc::format!("{VALUE:#x} was written, the mapping shows {seen:#x}");
            expect(found == VALUE && seen == VALUE, lost)
        },
    },
    Scenario {
        name: "R9",
        about: "a hole is punched beside a dirty page, which is forgotten: fsync misses it",
        parts: &[STORE_TWO, PUNCH],
        pages: 2,
        units: 128,
        breaks: &[
            Breaks::by(Mutant::ForgetDirty, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::ForgetDirty, Protocol::EntryLock, FIRST_THEN_SECOND),
        ],
        prepare: nothing,
        check: |turn| {
            let dirty = turn.stage.file.mapping().index.is_dirty(turn.page);
            expect(dirty, || "a page that was stored to is not dirty any more".into())
        },
    },
    Scenario {
        name: "R12",
        about: "read(2) copies into a mapping of the same file with dax_sem held, and faults",
        parts: &[READ, HOLDER],
        pages: 2,
        units: 128,
        breaks: &[
            Breaks::by(Mutant::CopyUnderLock, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::CopyUnderLock, Protocol::EntryLock, ANY),
        ],
        prepare: |turn| write_word(turn, 0, VALUE),
        check: |turn| {
            let seen = turn.stage.seen(0);
            expect(seen == VALUE, || alloc::format!("{VALUE:#x} was read, the buffer shows {seen:#x}"))
        },
    },
    Scenario {
        name: "R13",
        about: "a hole is punched: a mapping goes on leading to the block that was freed",
        parts: &[STORE_TWO, PUNCH],
        pages: 2,
        units: 128,
        breaks: &[
            Breaks::by(Mutant::KeepMapping, Protocol::ReadFirst, FIRST_THEN_SECOND),
            Breaks::by(Mutant::KeepMapping, Protocol::EntryLock, FIRST_THEN_SECOND),
        ],
        prepare: nothing,
        check: |turn| {
            let (seen, found) = (turn.stage.seen(0), word(turn, PAGE_SIZE)?);
            expect(seen == found, || alloc::format!("the file has {found:#x}, the mapping shows {seen:#x}"))
        },
    },
    Scenario {
        name: "R20",
        about: "a hole is punched under a transfer that has pinned the page: it goes on in a freed block",
        parts: &[TRANSFER, PUNCH_PINNED],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::IgnorePins, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::IgnorePins, Protocol::EntryLock, ANY),
        ],
        prepare: |turn| write_word(turn, 0, VALUE),
        check: |turn| {
            let kept = turn.stage.notes[KEPT].load(SeqCst) == 1;
            expect(kept, || "the block was freed while a transfer had it pinned".into())
        },
    },
    Scenario {
        name: "size",
        about: "a fault has looked at the size before it has the lock, and the file becomes shorter",
        parts: &[TRY_TO_LOAD, TRUNCATE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::SizeBeforeLock, Protocol::ReadFirst, TRUNCATED_BEFORE_LOCK),
            Breaks::by(Mutant::SizeBeforeLock, Protocol::EntryLock, TRUNCATED_BEFORE_LOCK),
        ],
        prepare: |turn| resize(turn, turn.stage.play.units() * PAGE_SIZE),
        check: |turn| {
            let mapped = turn.stage.views[0].space.count(turn.at(0), PAGE_SIZE).small;
            expect(mapped == 0, || "a page beyond the file's end is mapped".into())
        },
    },
];

/// The load comes to wait for the lock, and is held; the file becomes shorter.
const TRUNCATED_BEFORE_LOCK: &[Event] = &[
    (0, Milestone::Comes(Point::SharedWait)),
    (1, Milestone::Start),
    (1, Milestone::Done),
    (0, Milestone::Goes(Point::SharedWait)),
];

/// A load that may be refused.
const TRY_TO_LOAD: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "load",
    act: |turn| {
        let refused = turn.load(0).err();
        turn.say(|| refused.map_or_else(|| "is through".into(), |why| alloc::format!("refused: {why}")));
        Ok(())
    },
    look: blind,
};

/// Ends the file before the page.
const TRUNCATE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "truncate",
    act: |turn| {
        resize(turn, turn.offset())?;
        turn.say(|| "has ended the file before the page".into());
        Ok(())
    },
    look: blind,
};

fn resize(turn: &Turn<'_>, size: u64) -> Answer {
    turn.stage.file.truncate(size).map_err(|error| alloc::format!("truncate: {error}"))
}
