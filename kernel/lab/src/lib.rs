//! The laboratory on this machine: those who listen when the storage code reports a step ([`crate::steps`]),
//! and races.
//!
//! | file | what it holds |
//! |---|---|
//! | [`trace`] | steps written down, in a ring for each CPU |
//! | [`chrome`] | what was written down, in the format that Perfetto opens |
//! | [`script`] | tasks held at points, so that they come there in one order |
//! | [`chance`] | a task held at one of its points, by chance |
//! | [`waiting`] | for others |
//! | [`race`] | tasks that meet on one file, round by round or by a script, and what comes of it |
//! | [`replay`] | a story of `fs::lab::schedule`, in its order |
//! | [`scenarios`] | which tasks, and what must not happen: R1 to R25 of docs/races.md |
#![no_std]
#![forbid(unsafe_code)]
// As in `base`.
#![allow(missing_docs, unreachable_pub, clippy::new_without_default)]

extern crate alloc;

pub mod chance;
pub mod chrome;
pub mod race;
pub mod replay;
pub mod scenarios;
pub mod script;
pub mod stage;
pub mod trace;
pub mod waiting;

use base::{arch, entry, machine, mm, pmem, steps, sync, task};
use store::{bad_memory, mounts};

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// What only one may do at a time is being done, until this is dropped.
pub struct Alone(&'static AtomicBool);

impl Alone {
    /// Makes the value that says who uses the lab; `None` if somebody does already, as `busy` says.
    pub fn new(busy: &'static AtomicBool) -> Option<Self> {
        (!busy.swap(true, SeqCst)).then_some(Self(busy))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}
