//! Stores that meet write-back, or a frozen file system.

use core::sync::atomic::Ordering::SeqCst;

use fs::dax::{self, Protocol};
use fs::lab::{Mutant, Point};

use super::super::script::{Event, Milestone};
use super::super::stage::{Answer, Turn};
use super::{ANY, ActorPart, ActorView, Breaks, Scenario, blind, expect, nothing, write_word};
use crate::mounts;

fn sync(turn: &Turn<'_>) -> Answer<u64> {
    let pages = turn.page..turn.page + turn.stage.play.pages();
    dax::msync(&*turn.stage.file, pages).map_err(|error| alloc::format!("msync: {error}"))
}

/// Writes back once, when there is something.
const SYNC: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "msync",
    act: |turn| {
        turn.wait_for(STORED);
        turn.mark(0);
        let flushed = sync(turn)?;
        turn.say(|| alloc::format!("has flushed {flushed} page(s)"));
        turn.leave(SYNCED, 1);
        Ok(())
    },
    look: blind,
};

/// Syncs the whole file, which goes piece by piece.
const SYNC_ALL: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "fsync",
    act: |turn| {
        turn.wait_for(STORED);
        let flushed = dax::fsync(&*turn.stage.file).map_err(|error| alloc::format!("fsync: {error}"))?;
        turn.say(|| alloc::format!("has flushed {flushed} page(s)"));
        turn.leave(SYNCED, 1);
        Ok(())
    },
    look: blind,
};

/// The words that are left: it was stored to; it was synced; the second store came after the flush.
const STORED: usize = 0;
const SYNCED: usize = 1;
const LATE: usize = 2;

/// Stores, which makes its entry writable, and stores once more.
const STORE_TWICE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "stores",
    act: |turn| {
        turn.store_told(0, 1)?;
        turn.leave(STORED, 1);
        turn.mark(0);
        turn.mark(1);
        if turn.has_passed(0, Point::Flushed) {
            turn.leave(LATE, 1);
        }
        turn.store_told(0, 2)
    },
    look: |turn| turn.load(0),
};

/// Stores as long as the other one syncs.
const STORE_ON: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "stores",
    act: |turn| {
        for value in 2.. {
            turn.store(0, value)?;
            turn.leave(STORED, 1);
            if turn.stage.notes[SYNCED].load(SeqCst) != 0 || turn.stage.is_over() {
                break;
            }
            // The other one is to have its turns.
            crate::task::yield_now();
        }
        Ok(())
    },
    look: blind,
};

/// Freezes the file system, waits a little, looks at the page, and thaws.
const FREEZE: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "freeze",
    act: |turn| {
        let mount = mounts::of(&turn.stage.file).ok_or("not mounted")?;
        let text = |error: fs::Error| alloc::format!("freeze: {error}");
        mount.fs.freeze().map_err(text)?;
        turn.say(|| "has frozen the file system".into());
        turn.leave(FROZEN, 1);
        turn.mark(0);
        crate::task::sleep_ns(2_000_000);
        let seen = super::word(turn, 0);
        turn.say(|| "thaws it".into());
        mount.fs.thaw().map_err(text)?;
        turn.leave(SEEN, seen?);
        Ok(())
    },
    look: blind,
};

const STORE_FROZEN: ActorPart = ActorPart {
    view: ActorView::Shared,
    name: "store",
    act: |turn| {
        turn.wait_for(FROZEN);
        turn.store_told(0, 5)
    },
    look: |turn| turn.load(0),
};

/// The words that are left: it is frozen; what the page had before it was thawed.
const FROZEN: usize = 0;
const SEEN: usize = 1;

/// The store is through before the file system is thawed.
const STORED_WHILE_FROZEN: &[Event] = &[(1, Milestone::Done), (0, Milestone::Mark(0))];

/// Write-back has flushed, then comes the second store.
const FLUSHED_THEN_STORED: &[Event] = &[
    (1, Milestone::Mark(0)),
    (0, Milestone::Mark(0)),
    (0, Milestone::Comes(Point::Flushed)),
    (1, Milestone::Mark(1)),
    (1, Milestone::Done),
    (0, Milestone::Goes(Point::Flushed)),
];

pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "R25",
        about: "write-back does not go on behind a page that is stored to again and again",
        parts: &[SYNC_ALL, STORE_ON],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::WriteBackStuck, Protocol::ReadFirst, ANY),
            Breaks::by(Mutant::WriteBackStuck, Protocol::EntryLock, ANY),
        ],
        prepare: |turn| write_word(turn, 0, 1),
        check: |_| Ok(()),
    },
    Scenario {
        name: "flush",
        about: "a store comes after write-back has flushed, and before it has protected: fsync misses it",
        parts: &[SYNC, STORE_TWICE],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::FlushBeforeProtect, Protocol::ReadFirst, FLUSHED_THEN_STORED),
            Breaks::by(Mutant::FlushBeforeProtect, Protocol::EntryLock, FLUSHED_THEN_STORED),
        ],
        prepare: nothing,
        check: |turn| {
            // By chance the store may have come before the flush, as a whole: then it need not be dirty.
            let late = turn.stage.script.is_some() || turn.stage.notes[LATE].load(SeqCst) == 1;
            let dirty = turn.stage.file.mapping().index.is_dirty(turn.page);
            expect(!late || dirty, || "a page that was stored to after its flush is not dirty".into())
        },
    },
    Scenario {
        name: "freeze",
        about: "a store does not wait until a frozen file system is thawed",
        parts: &[FREEZE, STORE_FROZEN],
        pages: 1,
        units: 256,
        breaks: &[
            Breaks::by(Mutant::IgnoreFreeze, Protocol::ReadFirst, STORED_WHILE_FROZEN),
            Breaks::by(Mutant::IgnoreFreeze, Protocol::EntryLock, STORED_WHILE_FROZEN),
        ],
        prepare: |turn| write_word(turn, 0, 1),
        check: |turn| {
            let (before, after) = (turn.stage.notes[SEEN].load(SeqCst), turn.stage.seen(1));
            expect(before == 1, || alloc::format!("the frozen file changed to {before:#x}"))?;
            expect(after == 5, || "what was stored after the thaw is not there".into())
        },
    },
];
