//! What is said when something differs: where, what was expected, what was found, who stored there last.

use crate::contents::FileContents;
use crate::op::FileOp;
use crate::target::TargetError;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

/// How many operations are kept in mind, and shown.
const KEPT: usize = 200;
/// How many bytes that differ are shown.
const SHOWN: usize = 16;

/// How an operation ended the run.
#[derive(Debug)]
pub struct FsxFailure {
    /// The operation's number.
    pub number: u64,
    /// The operation; `None` before the first and after the last.
    pub op: Option<FileOp>,
    /// What was found.
    pub what: FailureKind,
}

/// What was found.
#[derive(Debug)]
pub enum FailureKind {
    /// Bytes that are not what was stored there.
    Data {
        /// Who returned the bytes: "read", "mapread".
        by: &'static str,
        /// What was asked for: first byte, bytes.
        range: (u64, u64),
        /// How many bytes differ.
        count: u64,
        /// The first bytes that differ.
        bytes: Vec<Differing>,
    },
    /// The size is not the model's.
    Size {
        /// Who told the size.
        by: &'static str,
        /// The model's.
        good: u64,
        /// The file's.
        bad: u64,
    },
    /// A hole that cannot be: it is empty, begins before where it was looked for, or ends after the file.
    Hole {
        /// Where the hole was looked for.
        from: u64,
        /// The hole's first byte.
        start: u64,
        /// The byte after the hole's last.
        end: u64,
    },
    /// Fewer bytes were read or written than asked for, with no error.
    Short {
        /// Bytes asked for.
        asked: u64,
        /// Bytes read or written.
        done: u64,
    },
    /// A call failed.
    Refused {
        /// Which.
        call: &'static str,
        /// How.
        why: TargetError,
    },
}

/// A byte that is not what was stored there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Differing {
    /// The byte's offset in the file.
    pub offset: u64,
    /// What was stored.
    pub good: u8,
    /// What was read.
    pub bad: u8,
    /// The operation that stored the byte; `None` after the end of the file, where zeros should be.
    pub writer: Option<u64>,
}

impl FailureKind {
    /// Returns a failure: `bytes`, which `by` returned for `offset`, differ from byte `first` on.
    pub(crate) fn data(
        by: &'static str,
        model: &FileContents,
        offset: u64,
        bytes: &[u8],
        first: u64,
    ) -> Self {
        let all = || {
            (first..offset + bytes.len() as u64).filter_map(|at| {
                let (good, writer) = model.expected(at);
                let bad = bytes[(at - offset) as usize];
                (good != bad).then_some(Differing { offset: at, good, bad, writer })
            })
        };
        let range = (offset, bytes.len() as u64);
        Self::Data { by, range, count: all().count() as u64, bytes: all().take(SHOWN).collect() }
    }
}

impl fmt::Display for FsxFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.op {
            Some(op) => write!(f, "operation {} ({}): ", self.number, op.kind.name())?,
            None => write!(f, "after operation {}: ", self.number)?,
        }
        match &self.what {
            FailureKind::Data { by, range: (offset, len), count, bytes } => {
                writeln!(f, "BAD DATA: {by}, offset = {offset:#x}, size = {len:#x}, {count} bytes differ")?;
                write!(f, "OFFSET      GOOD  BAD   STORED BY")?;
                for Differing { offset, good, bad, writer } in bytes {
                    write!(f, "\n{offset:#010x}  {good:#04x}  {bad:#04x}  ")?;
                    match writer {
                        Some(0) => f.write_str("nobody: zeros from the start")?,
                        Some(number) => write!(f, "operation {number}")?,
                        None => f.write_str("nobody: after the end of the file")?,
                    }
                }
                if *count > bytes.len() as u64 {
                    f.write_str("\n...")?;
                }
                let number = bytes.first().map_or(0, |first| first.bad);
                write!(f, "\nthe bad byte's operation is {number} (mod 256), if its offset is even")
            }
            FailureKind::Size { by, good, bad } => {
                write!(f, "BAD SIZE: {by} tells {bad:#x}, expected {good:#x}")
            }
            FailureKind::Hole { from, start, end } => {
                write!(f, "BAD HOLE: from {from:#x} on, the first is {start:#x} up to {end:#x}")
            }
            FailureKind::Short { asked, done } => write!(f, "SHORT: {done:#x} bytes of {asked:#x}"),
            FailureKind::Refused { call, why } => write!(f, "{call}: {why}"),
        }
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpOutcome {
    Done,
    /// Not done, for a reason that lies in the file's state.
    Skipped(&'static str),
    /// After so many bytes there was no space.
    NoSpace(u64),
    /// The target cannot do this.
    Unsupported,
}

/// The last operations.
#[derive(Default)]
pub(crate) struct OpLog(VecDeque<(u64, FileOp, u64, OpOutcome)>);

impl OpLog {
    /// Notes an operation, the file's size before it, and what became of it.
    pub(crate) fn push(&mut self, number: u64, op: FileOp, size: u64, outcome: OpOutcome) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((number, op, size, outcome));
    }

    /// Returns the last one, and the size before it.
    pub(crate) fn last(&self) -> Option<(FileOp, u64)> {
        self.0.back().map(|(_, op, size, _)| (*op, *size))
    }
}

/// Lines of a file of operations, the number of each in a comment.
impl fmt::Display for OpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, op, size, outcome) in &self.0 {
            write!(f, "{} # {number}", op.line(*size))?;
            match outcome {
                OpOutcome::Done => {}
                OpOutcome::Skipped(why) => write!(f, " skipped: {why}")?,
                OpOutcome::NoSpace(done) => write!(f, " no space after {done:#x} bytes")?,
                OpOutcome::Unsupported => f.write_str(" not supported")?,
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
