//! What an exercised file must be able to do, and how it refuses.

/// Why a target did not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError<E> {
    /// The target cannot do this at all; nothing changed. The exerciser says so once and does not ask again.
    Unsupported,
    /// No space is left; nothing changed. The exerciser goes on, after seeing that nothing did.
    NoSpace,
    /// Anything else ends the run.
    Other(E),
}

/// What fallocate(2) does with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Blocks for the whole range; what is there stays.
    Allocate {
        /// The file does not become longer.
        keep_size: bool,
    },
    /// Holes, as far as whole blocks go, and zeros.
    Punch,
    /// Zeros, with blocks.
    Zero {
        /// The file does not become longer.
        keep_size: bool,
    },
    /// Cut out; what comes after moves down.
    Collapse,
    /// Put in; what comes after moves up.
    Insert,
}

/// A file to exercise. Offsets and lengths are bytes.
pub trait Target {
    /// What the target says when something fails.
    type Error: core::fmt::Display;

    /// Returns the size in bytes of whose multiples are what collapsing and inserting work on.
    fn block_size(&self) -> u64;

    /// Returns how many bytes a page of a mapping has.
    fn page_size(&self) -> u64 {
        4096
    }

    /// Reads at `offset`; returns how many bytes there were.
    fn read(&mut self, offset: u64, to: &mut [u8]) -> Result<usize, TargetError<Self::Error>>;

    /// Writes at `offset`; returns how many bytes were written: fewer only if space ran out after them.
    fn write(&mut self, offset: u64, from: &[u8]) -> Result<usize, TargetError<Self::Error>>;

    /// Loads through a mapping. The range may go on after the end of the file, up to the end of its last
    /// page.
    fn map_read(&mut self, offset: u64, to: &mut [u8]) -> Result<(), TargetError<Self::Error>>;

    /// Stores through a mapping, within the file's pages as for [`map_read`](Self::map_read). Returns how
    /// many bytes were stored: fewer only if space ran out after them.
    fn map_write(&mut self, offset: u64, from: &[u8]) -> Result<usize, TargetError<Self::Error>>;

    /// Makes what was stored there through a mapping durable.
    fn msync(&mut self, offset: u64, len: u64) -> Result<(), TargetError<Self::Error>>;

    /// Sets the size.
    fn truncate(&mut self, size: u64) -> Result<(), TargetError<Self::Error>>;

    /// Does what fallocate(2) does.
    fn fallocate(&mut self, how: Range, offset: u64, len: u64) -> Result<(), TargetError<Self::Error>>;

    /// Returns the size in bytes, as stat(2) tells it.
    fn size(&mut self) -> Result<u64, TargetError<Self::Error>>;

    /// Returns the size in bytes, found in another way than [`size`](Self::size): by seeking to the end.
    fn end(&mut self) -> Result<u64, TargetError<Self::Error>>;

    /// Returns the first hole from `from` on, which is in the file: its first byte and the one after its
    /// last. `None` if no hole but the one at the end follows.
    fn hole(&mut self, from: u64) -> Result<Option<(u64, u64)>, TargetError<Self::Error>> {
        let _ = from;
        Err(TargetError::Unsupported)
    }

    /// Makes the file durable.
    fn fsync(&mut self) -> Result<(), TargetError<Self::Error>>;

    /// Closes the file, mappings too, and opens it again.
    fn close_and_open(&mut self) -> Result<(), TargetError<Self::Error>>;

    /// Makes the file durable and forgets all that is cached of it.
    fn flush(&mut self) -> Result<(), TargetError<Self::Error>>;
}

impl<E: core::fmt::Display> core::fmt::Display for TargetError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unsupported => f.write_str("operation not supported"),
            Self::NoSpace => f.write_str("no space left on device"),
            Self::Other(why) => why.fmt(f),
        }
    }
}
