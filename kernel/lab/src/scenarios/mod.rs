//! The scenarios: who does what, in which order it goes wrong, on which protocol or with which mistake, and
//! how that is seen. docs/races.md tells of each.
//!
//! | file | scenarios |
//! |---|---|
//! | [`faults`] | faults that meet faults |
//! | [`changes`] | faults that meet write(2), holes that are punched, truncation |
//! | [`large`] | huge pages (2 MiB) that meet pages of 4 KiB |
//! | [`private`] | stores to private mappings |
//! | [`sync`] | stores that meet write-back, a frozen file system |
//! | this one | the list; what cannot exist here |

mod changes;
mod faults;
mod large;
mod private;
mod sync;

use alloc::string::String;
use alloc::vec::Vec;

use fs::dax::Protocol;
use fs::lab::{Mutant, Point};

use super::script::{Event, Milestone};
pub use super::stage::ActorView;
use super::stage::{Answer, Play, Role, Turn};

/// A race.
pub struct Scenario {
    /// `R4`
    pub name: &'static str,
    /// What happens, in a line.
    pub about: &'static str,
    /// Who takes part; there is an address space for each.
    pub parts: &'static [ActorPart],
    /// Pages of the file that a round is about, and how many such pieces there are.
    pub pages: u64,
    pub units: u64,
    /// What the scenario must fail on, and in which order.
    pub breaks: &'static [Breaks],
    /// Makes the pages ready, which are holes and mapped nowhere.
    pub prepare: fn(&Turn<'_>) -> Answer,
    /// What was lost, if anything, when all have acted and looked.
    pub check: fn(&Turn<'_>) -> Answer,
}

/// What one task does in a round.
pub struct ActorPart {
    pub name: &'static str,
    /// How the actor maps the file.
    pub view: ActorView,
    pub act: fn(&Turn<'_>) -> Answer,
    /// What the actor sees afterwards.
    pub look: fn(&Turn<'_>) -> Answer<u64>,
}

/// What a scenario must fail on.
pub struct Breaks {
    pub protocol: Protocol,
    pub mutant: Option<Mutant>,
    pub order: &'static [Event],
}

/// Each part has an address space of its own.
impl Play for &'static Scenario {
    fn name(&self) -> &str {
        self.name
    }

    fn actors(&self) -> usize {
        self.parts.len()
    }

    fn role(&self, actor: usize) -> Role<'_> {
        let part = &self.parts[actor];
        Role { name: part.name, space: actor, look: part.view }
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn units(&self) -> u64 {
        self.units
    }

    fn prepare(&self, turn: &Turn<'_>) -> Answer {
        (self.prepare)(turn)
    }

    fn act(&self, turn: &Turn<'_>) -> Answer {
        (self.parts[turn.actor].act)(turn)
    }

    fn look(&self, turn: &Turn<'_>) -> Answer<u64> {
        (self.parts[turn.actor].look)(turn)
    }

    fn check(&self, turn: &Turn<'_>) -> Answer {
        (self.check)(turn)
    }
}

impl Breaks {
    const fn racy(order: &'static [Event]) -> Self {
        Self { protocol: Protocol::Racy, mutant: None, order }
    }

    const fn by(mutant: Mutant, protocol: Protocol, order: &'static [Event]) -> Self {
        Self { protocol, mutant: Some(mutant), order }
    }
}

/// Returns every scenario: R1, R2, R10, then those with a word for a name.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    let mut all: Vec<&Scenario> =
        [faults::ALL, large::ALL, changes::ALL, private::ALL, sync::ALL].into_iter().flatten().collect();
    let number = |name: &str| name.strip_prefix('R')?.parse::<u32>().ok();
    all.sort_by_key(|scenario| (number(scenario.name).unwrap_or(u32::MAX), scenario.name));
    all.into_iter()
}

/// Races of Linux's that cannot exist here, and why.
pub const ABSENT: &[(&str, &str)] = &[
    (
        "R11",
        "the journal is started before the entry's lock: there is no journal, and no lock is taken after the block map's",
    ),
    ("R18", "a 2 MiB entry for an address inside the page: addresses are rounded down before anything else"),
    (
        "R19",
        "an entry is gone for a moment while write-back protects it: that is one compare-exchange, and who takes entries away holds the tables' removal lock",
    ),
    ("R21", "a memory error's path sleeps under a spinning lock: that path takes no lock"),
    ("R23", "a file changes between DAX and the page cache while it is mapped: there is no page cache"),
    ("R24", "a 2 MiB entry taken for a table by those who walk page tables: they ask the entry's own type"),
];

/// Nothing to prepare.
fn nothing(_: &Turn<'_>) -> Answer {
    Ok(())
}

/// What the first word of the round's pages is to this actor.
fn first_word(turn: &Turn<'_>) -> Answer<u64> {
    turn.load(0)
}

/// Nothing to look at.
fn blind(_: &Turn<'_>) -> Answer<u64> {
    Ok(0)
}

/// Returns the word at byte `byte` of the round's pages, as read(2) sees it.
fn word(turn: &Turn<'_>, byte: u64) -> Answer<u64> {
    let mut bytes = [0; 8];
    let read = turn.stage.file.read_at(turn.offset() + byte, &mut bytes);
    read.map_err(|error| alloc::format!("read: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes a word by write(2).
fn write_word(turn: &Turn<'_>, byte: u64, value: u64) -> Answer {
    let written = turn.stage.file.write_at(turn.offset() + byte, &value.to_le_bytes());
    written.map(|_| ()).map_err(|error| alloc::format!("write: {error}"))
}

/// Returns `what` as the error unless `holds`.
fn expect(holds: bool, what: impl FnOnce() -> String) -> Answer {
    if holds { Ok(()) } else { Err(what()) }
}

/// The first actor has looked the page up, and is held; the second does all of its part.
const OVERTAKEN_AFTER_LOOK_UP: &[Event] = &[
    (0, Milestone::Comes(Point::LookedUp)),
    (1, Milestone::Start),
    (1, Milestone::Done),
    (0, Milestone::Goes(Point::LookedUp)),
];
/// The first actor is overtaken where it has let go of everything.
const OVERTAKEN_BEFORE_RETRY: &[Event] = &[
    (0, Milestone::Comes(Point::Retry)),
    (1, Milestone::Start),
    (1, Milestone::Done),
    (0, Milestone::Goes(Point::Retry)),
];
/// One after the other.
const FIRST_THEN_SECOND: &[Event] = &[(0, Milestone::Done), (1, Milestone::Start)];
/// Any order, as it comes.
const ANY: &[Event] = &[];
