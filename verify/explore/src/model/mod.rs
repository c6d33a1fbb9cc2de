//! Whether what everybody saw of a file can be: a reference model, and the search for an order in which it
//! says the same.
//!
//! A run is a history of operations, each with its beginning, its end and what it came to. [`explain`] looks
//! for an order of them in which a file that does one thing at a time gives exactly that, and the same state
//! in the end. What had ended before another began comes before it, and so does what a CPU did before: the
//! history is then linearizable (Herlihy and Wing, 1990). There is no time inside the model, no lock, no page
//! table and no block: those are for other checks.
//!
//! Every operation is one step, but for these, which are not atomic on any system:
//!
//! - a private store is a fault that copies the page, the store, and two loads. Truncation takes the copy
//!   away, so that a load may find the file's own page again after the file has grown, and SIGBUS before;
//!   another CPU of the address space may store to the copy in between.
//! - fork copies the areas; then the child loads, whatever happened to its parent's areas meanwhile.
//! - mremap here is two, away and back, of one area and then of another. In between others find nothing at
//!   the old place, or map something there, which goes when the area comes back.
//! - madvise here is of two areas, one after the other.
//!
//! All else is: faults, read(2) and write(2) look at the size under the lock that truncation holds until
//! every entry is gone from tables and TLBs, so no read(2) is short because it looked early; munmap and
//! mprotect hold the address space's lock as long, so what one CPU finds gone no other finds still there.
//!
//! Memory errors are told loosely, for which accesses meet a bad line depends on what was allocated: once the
//! line has gone bad, whoever accesses the word may fail, or not. What is delivered all the same must be
//! right.
//!
//! Takes no locks.
//!
//! | file | what |
//! |---|---|
//! | `state.rs` | the file that does one thing at a time |
//! | `search.rs` | the order |
//! | `blame.rs` | what cannot be, in words |

mod blame;
mod search;
mod state;

use std::fmt;

use fs::lab::schedule::{Op, World};

/// What the word holds where the range starts with blocks.
pub const START_WORD: u64 = 0x0101;
/// What another word of its page, which nobody stores to, holds then.
pub const START_BESIDE: u64 = 0x0202;
/// [`Done::ended`] of an operation that was never over.
pub const NEVER: u64 = u64::MAX;

/// What an operation came to. Times are numbers of visible steps, of all CPUs together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// By whom: the number of its part of the world.
    pub cpu: usize,
    /// In which address space.
    pub space: u8,
    /// What.
    pub op: Op,
    /// What it stored or wrote: other than everybody else.
    pub value: u64,
    /// What it came to; says nothing if it was never over.
    pub seen: Seen,
    /// Its first step.
    pub begun: u64,
    /// Its last one, or [`NEVER`]. What begins with the same number begins after that.
    pub ended: u64,
}

/// What somebody got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is done.
    Done,
    /// The word. Of a fork: what the child loaded.
    Word(u64),
    /// Through a private area.
    Private {
        /// The word, loaded first.
        own: u64,
        /// Then that beside it.
        beside: u64,
    },
    /// There is no such byte: beyond the end, or lost to a memory error. SIGBUS, or a read(2) that came back
    /// without it.
    Bus,
    /// No area, or no right to store: SIGSEGV.
    Segv,
    /// An error of the file system.
    Error(String),
}

/// What is there when all CPUs are through. What was not looked at is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Final {
    /// read(2) of the word; `None` if the file is gone.
    pub read: Option<Seen>,
    /// Loads through shared areas.
    pub loads: Vec<Look>,
    /// Loads of both words through private areas, of those that there are: space, and [`Seen::Private`] or
    /// what else came.
    pub privates: Vec<(u8, Seen)>,
}

/// A load through a shared area in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The address space.
    pub space: u8,
    /// The area without 2 MiB pages.
    pub small: bool,
    /// The word, or what else came.
    pub seen: Seen,
}

/// Returns whether there is an order of the operations in which all saw what they did and left the file so.
///
/// # Errors
/// What cannot be, in a line: "CPU 1 loaded 0x0 after CPU 0 had stored 0x1000; it could only be 0x1000". Of
/// several such things, the one that was over first.
pub fn explain(world: &World, history: &[Done], last: &Final) -> Result<(), String> {
    if history.len() > search::MOST {
        return Err(format!(
            "a history of {} operations: {} can be put in order",
            history.len(),
            search::MOST
        ));
    }
    match search::is_explained(world, history, Some(last)) {
        true => Ok(()),
        false => Err(blame::blame(world, history, last)),
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Word(word) => write!(f, "{word:#x}"),
            Self::Private { own, beside } => write!(f, "{own:#x} and {beside:#x} beside it"),
            Self::Bus => f.write_str("SIGBUS"),
            Self::Segv => f.write_str("SIGSEGV"),
            Self::Error(why) => write!(f, "the error `{why}`"),
        }
    }
}
