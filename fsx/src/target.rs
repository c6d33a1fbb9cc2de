//! What an exercised file must be able to do, and how it refuses.

use crate::op::FileOp;
use alloc::string::{String, ToString};
use core::fmt;
use fs::{Errno, Error};

/// Why a target did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// The target cannot do this at all; nothing changed. The exerciser says so once and does not ask again.
    Unsupported,
    /// No space is left; nothing changed. The exerciser goes on, after seeing that nothing did.
    NoSpace,
    /// Anything else, in the target's words, ends the run.
    Other(String),
}

/// What a target answers.
pub type TargetResult<T = ()> = Result<T, TargetError>;

/// A file to exercise. Offsets and lengths are bytes.
pub trait Target {
    /// Returns the size in bytes of whose multiples are what collapsing and inserting work on.
    fn block_size(&self) -> u64;

    /// Does an operation: reads, or loads, into `bytes`, or writes, or stores, them. Returns how many bytes
    /// those were: as many as there are, fewer of a read only at the end of the file, of a write or store
    /// only if space ran out after them.
    ///
    /// A load or store through a mapping lies in the file's pages, and may go on after the end of the file,
    /// up to the end of its last page.
    fn perform(&mut self, op: &FileOp, bytes: &mut [u8]) -> TargetResult<usize>;

    /// Makes what was stored there through a mapping durable.
    fn msync(&mut self, offset: u64, len: u64) -> TargetResult;

    /// Returns the size in bytes, as stat(2) tells it.
    fn size(&mut self) -> TargetResult<u64>;

    /// Returns the size in bytes, found in another way than [`size`](Self::size): by seeking to the end.
    fn end(&mut self) -> TargetResult<u64>;

    /// Returns the first hole from `from` on, which is in the file: its first byte and the one after its
    /// last. `None` if no hole but the one at the end follows.
    fn hole(&mut self, from: u64) -> TargetResult<Option<(u64, u64)>>;

    /// Closes the file, mappings too, and opens it again.
    fn close_and_open(&mut self) -> TargetResult;

    /// Makes the file durable and forgets all that is cached of it.
    fn flush(&mut self) -> TargetResult;
}

impl From<Errno> for TargetError {
    fn from(errno: Errno) -> Self {
        Error::from(errno).into()
    }
}

impl From<Error> for TargetError {
    fn from(error: Error) -> Self {
        match error {
            Error::Op(Errno::NoSpace) => Self::NoSpace,
            Error::Unsupported(_) => Self::Unsupported,
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("operation not supported"),
            Self::NoSpace => f.write_str("no space left on device"),
            Self::Other(why) => f.write_str(why),
        }
    }
}
