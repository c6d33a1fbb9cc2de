//! read(2) into memory of a task: straight from persistent memory, without a buffer between.
//!
//! The copy runs under the file's inode lock, which a fault must not be taken under (docs/laws.md, lock
//! order): the task's page may be one of the same file, and the file system may be about to freeze. So it
//! ends where a page of the task's is absent; then, under no lock, a store that changes nothing brings that
//! page in, and it goes on.

use core::fmt;

use fs::vfs::ReadTo;

use super::user_access::{self, FaultAt};
use crate::machine::{File, KernelPlatform};
use crate::pmem::MappedRegion;

/// Why a read into a task's memory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// What reading the file met.
    File(fs::Error),
    /// The task's memory cannot be stored to.
    Task(FaultAt),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Task(fault) => fault.fmt(f),
        }
    }
}

impl From<fs::Error> for TransferError {
    fn from(error: fs::Error) -> Self {
        Self::File(error)
    }
}

impl From<FaultAt> for TransferError {
    fn from(fault: FaultAt) -> Self {
        Self::Task(fault)
    }
}

/// Memory of the running task, as far as it is mapped for stores.
struct Present {
    /// The next address to be stored to.
    at: u64,
    /// What was to be stored there found no page.
    absent: bool,
}

impl Present {
    /// Notes that of `bytes` bytes `taken` were stored.
    fn stored(&mut self, taken: usize, bytes: usize) -> usize {
        self.at += taken as u64;
        self.absent = taken < bytes;
        taken
    }
}

impl ReadTo<KernelPlatform> for Present {
    fn take(&mut self, region: &MappedRegion, place: Option<u64>, bytes: usize) -> usize {
        let taken = match place {
            Some(place) => user_access::store_present(self.at, region, place, bytes),
            None => user_access::zero_present(self.at, bytes),
        };
        self.stored(taken, bytes)
    }

    fn take_copy(&mut self, bytes: &[u8]) -> usize {
        let taken = user_access::copy_present(self.at, bytes);
        self.stored(taken, bytes.len())
    }
}

/// Reads `len` bytes of `file` from byte `offset` on into the running task's memory at address `to`. Returns
/// how many there were: fewer at the end of the file, and where what comes next cannot be read, or stored.
///
/// # Errors
/// What is wrong with the first byte.
pub fn read(file: &File, offset: u64, to: u64, len: u64) -> Result<u64, TransferError> {
    let mut present = Present { at: to, absent: false };
    let done = |present: &Present| present.at - to;
    while done(&present) < len {
        present.absent = false;
        let (from, left) = (offset.saturating_add(done(&present)), len - done(&present));
        let outcome = match file.read_to(from, left as usize, &mut present) {
            // The end of the file, or a line before which a read ends: the next one says why.
            Ok(0) if !present.absent => break,
            Ok(_) if present.absent => user_access::touch(present.at).map_err(TransferError::Task),
            outcome => outcome.map(|_| ()).map_err(TransferError::File),
        };
        match outcome {
            Err(_) if done(&present) > 0 => break,
            outcome => outcome?,
        }
    }
    Ok(done(&present))
}
