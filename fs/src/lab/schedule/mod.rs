//! Worlds, schedules, and the one line of text that says both: which CPUs do what to a file, and in which
//! order.
//!
//! A [`World`] is what is there before anybody runs; the order in which its CPUs run is a list of
//! [`Segment`]s. Together they are a [`Story`], which the explorer prints for what it finds, and which it and
//! the kernel's `race replay` take:
//!
//! ```text
//! racy/page.hole/a:load/b:store@0:looked-up+3,1:end,0:end
//! └──┘ └──┘ └──┘ └────┘ └─────┘ └───────────┘ └───┘
//! │    │    │    │      │       │             └ then CPU 1 until it is through, ...
//! │    │    │    │      │       └ CPU 0 runs until it has come to `looked-up`, and 3 steps more
//! │    │    │    └──────┴ a CPU each: address space (`a4`: no 2 MiB pages), operations joined by `+`
//! │    │    └ the state that the range starts in
//! │    └ a page, or 2 MiB
//! └ the protocol
//! ```
//!
//! Mistakes come after the CPUs, as `!zero-twice,read-allocates`. `looked-up#2` is the second time that the
//! CPU comes there, counted from its beginning; `+7` alone is so many steps from its beginning; `waits` is
//! until it waits for another. `~1` after a place is about TLBs: [`Segment::ways`]. When the schedule is
//! over, whoever is left runs on. (An interactive bash wants `'` around a text with a `!`.)
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the types and how they are printed |
//! | `op` | the operations, and what there is to know of each |
//! | `parse` | how they are read, and what can be wrong with the text |
//! | [`races`] | the stories of the races that are known |
//!
//! Printing and then parsing gives the same value, for all that [`MAX_PARTS`], [`MAX_OPS`] and the CPUs'
//! number allow.

mod op;
mod parse;
pub mod races;

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

pub use op::{About, Effect, Op, UnknownOp, Uses};
pub use parse::{StoryError, WordKind};

use super::{Mutant, Point};
use crate::dax::Protocol;

/// A world has no more CPUs, and no more address spaces: `a` to `d`.
pub const MAX_PARTS: usize = 4;
/// A CPU does no more operations.
pub const MAX_OPS: usize = 3;

named! {
    /// What of the file the operations are about.
    Range, UnknownRange {
        /// A page of 4 KiB: the file's page 1, that is the second.
        Page => "page",
        /// 2 MiB: the pages 512 to 1023; the word that is loaded and stored is in page 812.
        Pmd => "pmd",
    }
}

impl Range {
    /// Returns the first page and how many there are.
    pub const fn pages(self) -> (u64, u64) {
        match self {
            Self::Page => (1, 1),
            Self::Pmd => (512, 512),
        }
    }

    /// Returns the page whose first word is loaded and stored.
    pub const fn word_page(self) -> u64 {
        match self {
            Self::Page => 1,
            Self::Pmd => 812,
        }
    }
}

named! {
    /// The state that the range is in before anybody runs.
    Start, UnknownStart {
        /// A hole, mapped nowhere.
        Hole => "hole",
        /// A hole, and the zero page of the range's size mapped in every address space.
        Zero => "zero",
        /// Blocks with a known word, mapped nowhere.
        Block => "block",
        /// Stored to through every address space: mapped writable, known as dirty.
        Dirty => "dirty",
        /// As dirty, and then fsync: mapped read-only.
        Clean => "clean",
    }
}

impl Start {
    /// Returns the word that the range holds at the start.
    pub const fn word(self) -> u64 {
        match self {
            Self::Hole | Self::Zero => 0,
            Self::Block | Self::Dirty | Self::Clean => 0x0101,
        }
    }
}

/// What a CPU does, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The address space: 0 is `a`. CPUs with the same one share it.
    pub space: u8,
    /// Its area has no pages of 2 MiB (`a4`).
    pub small: bool,
    /// One after the other.
    pub ops: Vec<Op>,
}

/// What is there before anybody runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct World {
    /// How faults keep out of each other's way.
    pub protocol: Protocol,
    /// What of the file it is about.
    pub range: Range,
    /// The state of that.
    pub start: Start,
    /// The CPUs.
    pub parts: Vec<Part>,
    /// The mistakes that are made, each once.
    pub mutants: Vec<Mutant>,
}

/// How far a CPU runs before another does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stop {
    /// Until it is through (`end`).
    End,
    /// Until it waits for another (`waits`).
    Waits,
    /// Until it is at a place.
    Place {
        /// The point that it has come to, and for which time, counted from its beginning and from 1. None:
        /// its beginning.
        point: Option<(Point, u32)>,
        /// So many visible steps more.
        steps: u32,
    },
}

/// A stretch of a schedule: this CPU runs, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The CPU's number: its place in [`World::parts`].
    pub cpu: usize,
    /// How far.
    pub until: Stop,
    /// Which translation it takes (0 to 9), each time that its TLB may still have another than the tables, or
    /// none any more: the first is what the tables say. Of those that are not there, the first. A real TLB
    /// decides by itself.
    pub ways: Vec<u8>,
}

/// A world and an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Story {
    /// The world.
    pub world: World,
    /// The order.
    pub schedule: Vec<Segment>,
}

impl World {
    /// Returns the word that operation `op` of CPU `cpu` stores, if it is one that does: 0x1000 for each CPU
    /// up to that one, and the operation's place in the part, from 1. No world's first word is among these.
    pub fn stored(&self, cpu: usize, op: usize) -> Option<u64> {
        let stores = self.parts.get(cpu)?.ops.get(op)?.effect().stores();
        stores.then_some(0x1000 * (cpu as u64 + 1) + op as u64 + 1)
    }

    /// Returns all operations of all CPUs.
    pub fn ops(&self) -> impl Iterator<Item = Op> + '_ {
        self.parts.iter().flat_map(|part| part.ops.iter().copied())
    }

    /// Returns whether a CPU does something with such an effect.
    pub fn has(&self, effect: Effect) -> bool {
        self.ops().any(|op| op.effect() == effect)
    }
}

/// The items with `between` between them.
fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if n == 0 { "" } else { between })?;
    }
    Ok(())
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = if self.small { "4" } else { "" };
        write!(f, "{}{small}:", char::from(b'a'.saturating_add(self.space)))?;
        join(f, &self.ops, "+")
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}/", self.protocol, self.range, self.start)?;
        join(f, &self.parts, "/")?;
        if !self.mutants.is_empty() {
            f.write_str("!")?;
        }
        join(f, &self.mutants, ",")
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (point, steps) = match *self {
            Self::End => return f.write_str("end"),
            Self::Waits => return f.write_str("waits"),
            Self::Place { point, steps } => (point, steps),
        };
        if let Some((point, time)) = point {
            write!(f, "{point}")?;
            if time != 1 {
                write!(f, "#{time}")?;
            }
        }
        if point.is_none() || steps != 0 {
            write!(f, "+{steps}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.cpu, self.until)?;
        if !self.ways.is_empty() {
            f.write_str("~")?;
        }
        join(f, &self.ways, "")
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.world)?;
        if !self.schedule.is_empty() {
            f.write_str("@")?;
        }
        join(f, &self.schedule, ",")
    }
}
