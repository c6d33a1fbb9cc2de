//! What can be wrong with a table. Each error says what, where (type, ordinal, byte offset) and
//! why, on one line.
//!
//! An *ordinal* counts structures of all types from 0, in table order. An *offset* counts bytes
//! from the table's start. An *index* is the number by which structures refer to each other.

use core::fmt;

use crate::HEADER_BYTES;
use crate::structure::StructureType;
use crate::text::{ByteRange, FixedText};

/// Where a structure lies in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The structure's type.
    pub structure_type: StructureType,
    /// How many structures come before the structure.
    pub ordinal: usize,
    /// Where the structure starts, in bytes from the table's start.
    pub offset: usize,
}

impl fmt::Display for Location {
    /// Writes `spa range structure (type 0, ordinal 0, byte offset 40)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { structure_type, ordinal, offset } = self;
        write!(
            f,
            "{structure_type} structure (type {}, ordinal {ordinal}, byte offset {offset})",
            structure_type.0
        )
    }
}

/// Why a table, a structure or a range is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than the 40 of an empty table.
    HeaderTruncated {
        /// Bytes given.
        given: usize,
    },
    /// The table is another one.
    Signature {
        /// The signature that is there.
        found: FixedText<4>,
    },
    /// The header's length field is below the 40 bytes of an empty table.
    LengthTooShort {
        /// The length field, in bytes.
        length: u32,
    },
    /// The header's length field says more bytes than were given.
    LengthPastBytes {
        /// The length field, in bytes.
        length: u32,
        /// Bytes given.
        given: usize,
    },
    /// The table's bytes don't sum to 0 modulo 256.
    Checksum {
        /// The length field, in bytes.
        length: u32,
        /// The sum of the bytes.
        sum: u8,
    },
    /// After the last structure, 1 to 3 bytes are left: too few for another's type and length.
    Remainder {
        /// The ordinal another structure would have.
        ordinal: usize,
        /// Where the bytes start.
        offset: usize,
        /// How many there are.
        remaining: usize,
    },
    /// A structure says its length is 0: there is no next structure, so this one is the last that is looked
    /// at.
    ZeroLength {
        /// The structure.
        at: Location,
    },
    /// A structure is too short for its type, or for the number of list entries it says it has; the
    /// structure is skipped. One that is too short for type and length is the last that is looked at.
    StructureTooShort {
        /// The structure.
        at: Location,
        /// The structure's length field, in bytes.
        length: u16,
        /// The bytes that the structure would need.
        needed: usize,
    },
    /// A structure runs past the table's end; it is the last that is looked at.
    PastEnd {
        /// The structure.
        at: Location,
        /// The structure's length field, in bytes.
        length: u16,
        /// Bytes left in the table, from the structure's start.
        remaining: usize,
    },
    /// A persistent memory range has index 0, which refers to none.
    ReservedIndex {
        /// The SPA range.
        at: Location,
    },
    /// A persistent memory range is empty.
    EmptyRange {
        /// The SPA range.
        at: Location,
        /// The structure's index.
        index: u16,
    },
    /// A persistent memory range does not start and end on multiples of [`crate::PAGE_BYTES`].
    UnalignedRange {
        /// The SPA range.
        at: Location,
        /// The range's index.
        index: u16,
        /// The range's base address.
        base: u64,
        /// The range's length in bytes.
        length: u64,
    },
    /// A persistent memory range ends beyond 64-bit addresses.
    RangeOverflow {
        /// The SPA range.
        at: Location,
        /// The range's index.
        index: u16,
        /// The range's base address.
        base: u64,
        /// The range's length in bytes.
        length: u64,
    },
    /// A persistent memory range (`at`) overlaps another range, or a RAM disk that reaches out of the range.
    /// Of two ranges of persistent memory, each has such an error.
    Overlap {
        /// The SPA range.
        at: Location,
        /// The range's index.
        index: u16,
        /// The range's base address.
        base: u64,
        /// The range's length in bytes.
        length: u64,
        /// A range that the range overlaps.
        other: Location,
        /// The other's index.
        other_index: u16,
    },
    /// Two structures of one type have the same index, which is not 0. SPA ranges are both left out; of
    /// other structures the first counts.
    DuplicateIndex {
        /// The second.
        at: Location,
        /// The first.
        first: Location,
        /// The index of both.
        index: u16,
    },
    /// A region mapping refers to an SPA range that is not there.
    MissingSpaRange {
        /// The mapping.
        at: Location,
        /// The index that the structure refers to.
        index: u16,
    },
    /// A region mapping of persistent memory refers to a control region that is not there.
    MissingControlRegion {
        /// The mapping.
        at: Location,
        /// The index that the structure refers to.
        index: u16,
        /// The SPA range that the structure is in.
        spa_index: u16,
    },
    /// A region mapping of persistent memory refers to an interleave structure that is not there.
    MissingInterleave {
        /// The mapping.
        at: Location,
        /// The index that the structure refers to.
        index: u16,
        /// The SPA range that the structure is in.
        spa_index: u16,
    },
    /// There are two platform capabilities structures.
    DuplicateCapabilities {
        /// The second.
        at: Location,
        /// The first.
        first: Location,
    },
    /// No memory for the joined view.
    OutOfMemory,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderTruncated { given } => {
                write!(f, "nfit header: {given} bytes given, the header needs {HEADER_BYTES}")
            }
            Self::Signature { found } => write!(f, "nfit header: signature is {found}, not NFIT"),
            Self::LengthTooShort { length } => {
                write!(f, "nfit header: length field is {length}, the header needs {HEADER_BYTES}")
            }
            Self::LengthPastBytes { length, given } => {
                write!(f, "nfit header: length field is {length}, only {given} bytes given")
            }
            Self::Checksum { length, sum } => {
                write!(f, "nfit header: checksum is wrong, the table's {length} bytes sum to {sum:#x}, not 0")
            }
            Self::Remainder { ordinal, offset, remaining } => {
                write!(f, "nfit structure (ordinal {ordinal}, byte offset {offset}): ")?;
                write!(f, "{remaining} bytes are left, too few for a type and a length")
            }
            Self::ZeroLength { at } => write!(f, "{at}: length is 0"),
            Self::StructureTooShort { at, length, needed } => {
                write!(f, "{at}: length is {length}, needs {needed}")
            }
            Self::PastEnd { at, length, remaining } => {
                write!(f, "{at}: length is {length}, only {remaining} bytes are left in the table")
            }
            Self::ReservedIndex { at } => {
                write!(f, "{at}: persistent memory has index 0, which is reserved")
            }
            Self::EmptyRange { at, index } => write!(f, "{at}: spa {index} has length 0"),
            Self::UnalignedRange { at, index, base, length } => {
                let range = ByteRange(*base, *length);
                write!(
                    f,
                    "{at}: spa {index} {range} does not start and end on a multiple of {}",
                    crate::PAGE_BYTES
                )
            }
            Self::RangeOverflow { at, index, base, length } => {
                write!(f, "{at}: spa {index} {} ends beyond 64-bit addresses", ByteRange(*base, *length))
            }
            Self::Overlap { at, index, base, length, other, other_index } => {
                write!(
                    f,
                    "{at}: spa {index} {} overlaps spa {other_index}, {other}",
                    ByteRange(*base, *length)
                )
            }
            Self::DuplicateIndex { at, first, index } => {
                write!(f, "{at}: index {index} is already taken by {first}")
            }
            Self::MissingSpaRange { at, index } => {
                write!(f, "{at}: refers to spa {index}, which does not exist")
            }
            Self::MissingControlRegion { at, index, spa_index } => {
                write!(f, "{at}: refers to control region {index}, which does not exist, for spa {spa_index}")
            }
            Self::MissingInterleave { at, index, spa_index } => {
                write!(f, "{at}: refers to interleave {index}, which does not exist, for spa {spa_index}")
            }
            Self::DuplicateCapabilities { at, first } => write!(f, "{at}: repeats {first}"),
            Self::OutOfMemory => f.write_str("nfit: out of memory while joining the structures"),
        }
    }
}

impl core::error::Error for Error {}
