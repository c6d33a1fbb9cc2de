//! The laboratory: named steps at which whoever watches can look or hold a CPU, and named mistakes that can
//! be made on purpose.
//!
//! Both are compiled into the kernel, and off. A fault asks once whether the lab is used at all, and goes
//! its way without looking at steps and mutants if it is not (docs/exploration.md tells what differs);
//! elsewhere each place costs a load and a branch. A [`Step`] is reported when hooks are on: tracing writes
//! it down, the race lab holds the CPU there until its script goes on. A `Mutant` is the smallest change that
//! brings a historic bug back, so that each test which guards against it can be shown to fail. No mutant is
//! on unless the lab's user turns it on. The code that makes one asks for it by `mistake!`.
//!
//! A `schedule` says in a line of text who does what and in which order, for whoever plays it.
//!
//! Without the feature `lab` there are steps, and nothing that makes a mistake: no mutants, no proofs of
//! locks that are not held, no protocol that loses data, no schedules, whose worlds name all of these.
//!
//! References: "R1" to "R25" are the regressions of Linux that docs/races.md tells of.

use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $unknown:ident { $($(#[doc = $about:literal])* $item:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[doc = $about])* $item,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$item,)*];

            /// Returns the name that is printed and parsed.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$item => $text,)* }
            }

            /// Returns what this one is, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$item => concat!($($about),*).trim_ascii_start(),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        /// Not a name of one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $unknown;

        impl FromStr for $name {
            type Err = $unknown;

            fn from_str(name: &str) -> Result<Self, $unknown> {
                Self::ALL.iter().copied().find(|one| one.name() == name).ok_or($unknown)
            }
        }
    };
}

#[cfg(feature = "lab")]
mod mutant;
#[cfg(feature = "lab")]
pub mod schedule;

#[cfg(feature = "lab")]
pub use mutant::{Mutant, UnknownMutant};

/// Whether a mistake is to be made: `mistake!(lab, ZeroTwice)` asks `lab`, a [`Lab`] or what has one.
/// Without the feature `lab` it is `false`.
macro_rules! mistake {
    ($lab:expr, $mutant:ident) => {{
        #[cfg(feature = "lab")]
        let made = $lab.has($crate::lab::Mutant::$mutant);
        #[cfg(not(feature = "lab"))]
        let made = {
            let _ = &$lab;
            false
        };
        made
    }};
}
pub(crate) use mistake;

named! {
    /// A place in the code that a [`Step`] was taken at.
    Point, UnknownPoint {
        /// A fault begins. `arg`: 1 for a store, 2 added for a 2 MiB page, 4 for a private area.
        FaultBegin => "fault-begin",
        /// It waits for `dax_sem` shared.
        SharedWait => "shared-wait",
        /// It has it.
        SharedLocked => "shared-locked",
        /// It waits for the entry's lock.
        EntryWait => "entry-wait",
        /// It has it.
        EntryLocked => "entry-locked",
        /// The block was looked up. `arg`: its byte offset, or `u64::MAX` for a hole.
        LookedUp => "looked-up",
        /// It lets go of everything to come back with the exclusive lock.
        Retry => "retry",
        /// It waits for `dax_sem` exclusively.
        ExclusiveWait => "exclusive-wait",
        /// It has it.
        ExclusiveLocked => "exclusive-locked",
        /// A block was allocated, zeroed and published. `arg`: its byte offset.
        Allocated => "allocated",
        /// The zero page went from every address space. `arg`: how many entries.
        ZeroUnmapped => "zero-unmapped",
        /// The index knows what is about to be mapped.
        Marked => "marked",
        /// The entry is in the page table.
        Installed => "installed",
        /// A 2 MiB fault goes on with a 4 KiB page. `arg`: the reason, as [`Fallback`](crate::dax::Fallback)
        /// counts them.
        Fallback => "fallback",
        /// The fault ends. `arg`: 0 if it was served.
        FaultEnd => "fault-end",
        /// Write-back took the dirty mark from a page or range, in its lock.
        Cleaned => "cleaned",
        /// It write-protected it in every address space.
        Protected => "protected",
        /// It flushed it.
        Flushed => "flushed",
        /// A range was taken out of every address space. `arg`: how many entries.
        Unmapped => "unmapped",
        /// Blocks were freed. `page`: the first block; `arg`: how many.
        Freed => "freed",
        /// write(2) filled a hole. `arg`: its byte offset.
        WriteAllocated => "write-allocated",
        /// A shootdown begins. `arg`: the CPUs asked.
        ShootdownBegin => "shootdown-begin",
        /// Every CPU asked has answered.
        ShootdownEnd => "shootdown-end",
        /// This CPU answers another's shootdown. `arg`: the CPU that asked.
        ShootdownAnswer => "shootdown-answer",
        /// A journal begins to write a transaction. `page`: its number; `arg`: how many blocks it changes.
        CommitBegin => "commit-begin",
        /// It is durable, and home. `page`: as before; `arg`: 0 if all went well.
        CommitEnd => "commit-end",
    }
}

/// A step that was taken somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub point: Point,
    /// The file's inode number.
    pub ino: u64,
    /// The page of the file.
    pub page: u64,
    /// What else there is to say, as `point` says.
    pub arg: u64,
}

/// What is on: nothing, unless the lab's user asks for it.
#[derive(Debug, Default)]
pub struct Lab([AtomicU64; 2]);

/// The first word's bit of the hooks, and the one that says that the second word is not 0. The others, of
/// both words, are the mutants'.
const HOOKS: u64 = 1 << 63;
const MORE: u64 = 1 << 62;

impl Lab {
    /// Makes a lab with everything off.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 2])
    }

    /// Returns whether anything is on at all: the one question that a fault asks of a lab nobody uses.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.0[0].load(Relaxed) != 0
    }

    /// Returns whether steps are reported.
    #[inline]
    pub fn hooks(&self) -> bool {
        self.0[0].load(Relaxed) & HOOKS != 0
    }

    /// Sets whether steps are reported from now on.
    pub fn set_hooks(&self, on: bool) {
        if on {
            self.0[0].fetch_or(HOOKS, Relaxed)
        } else {
            self.0[0].fetch_and(!HOOKS, Relaxed)
        };
    }
}

#[cfg(feature = "lab")]
impl Lab {
    /// Returns whether a mistake is to be made.
    #[inline]
    pub fn has(&self, mutant: Mutant) -> bool {
        let (word, bit) = mutant.bit();
        self.0[word].load(Relaxed) & bit != 0
    }

    /// Makes a mistake from now on.
    pub fn add(&self, mutant: Mutant) {
        let (word, bit) = mutant.bit();
        self.0[word].fetch_or(bit, Relaxed);
        if word != 0 {
            self.0[0].fetch_or(MORE, Relaxed);
        }
    }

    /// Turns all mistakes off.
    pub fn heal(&self) {
        self.0[0].fetch_and(HOOKS, Relaxed);
        self.0[1].store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_point_is_found_by_the_name_it_prints() {
        for &point in Point::ALL {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert_eq!("".parse::<Point>(), Err(UnknownPoint));
    }

    #[test]
    fn a_mutant_is_on_alone_and_healing_ends_it() {
        let lab = Lab::new();
        lab.add(Mutant::NoDirtyMark);
        let on = Mutant::ALL.iter().filter(|&&mutant| lab.has(mutant)).count();
        assert!(on == 1 && lab.has(Mutant::NoDirtyMark));
        lab.heal();
        assert!(!lab.has(Mutant::NoDirtyMark));
        for &mutant in Mutant::ALL {
            let lab = Lab::new();
            lab.add(mutant);
            assert!(lab.is_used() && !lab.hooks());
            assert!(Mutant::ALL.iter().all(|&other| lab.has(other) == (other == mutant)), "{mutant}");
            lab.heal();
            assert!(!lab.is_used() && !lab.has(mutant));
        }
    }
}
