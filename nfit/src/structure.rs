//! The list of structures after the header: each begins with its type and length, 2 bytes each.
//!
//! Reference: ACPI 6.5, section 5.2.25.1 (NFIT structure types).

use core::fmt;
use core::iter::FusedIterator;

use crate::HEADER_BYTES;
use crate::caps::Capabilities;
use crate::control::{BlockDataWindow, ControlRegion};
use crate::error::{Error, Location};
use crate::lists::{FlushHints, Interleave, Smbios};
use crate::mapping::RegionMapping;
use crate::read::{Needs, u16_at};
use crate::spa::SpaRange;

/// NFIT Structure Type: the first two bytes of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StructureType(
    /// The number as it is in the table.
    pub u16,
);

impl StructureType {
    /// System Physical Address (SPA) Range Structure.
    pub const SPA_RANGE: Self = Self(0);
    /// NVDIMM Region Mapping Structure.
    pub const REGION_MAPPING: Self = Self(1);
    /// Interleave Structure.
    pub const INTERLEAVE: Self = Self(2);
    /// SMBIOS Management Information Structure.
    pub const SMBIOS: Self = Self(3);
    /// NVDIMM Control Region Structure.
    pub const CONTROL_REGION: Self = Self(4);
    /// NVDIMM Block Data Window Region Structure.
    pub const BLOCK_DATA_WINDOW: Self = Self(5);
    /// Flush Hint Address Structure.
    pub const FLUSH_HINTS: Self = Self(6);
    /// Platform Capabilities Structure.
    pub const CAPABILITIES: Self = Self(7);
}

impl fmt::Display for StructureType {
    /// Returns the name a structure's line begins with, as in `spa range`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::SPA_RANGE => "spa range",
            Self::REGION_MAPPING => "region mapping",
            Self::INTERLEAVE => "interleave",
            Self::SMBIOS => "smbios",
            Self::CONTROL_REGION => "control region",
            Self::BLOCK_DATA_WINDOW => "block data window",
            Self::FLUSH_HINTS => "flush hints",
            Self::CAPABILITIES => "capabilities",
            _ => "unknown",
        })
    }
}

/// One structure of the table, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Structure<'a> {
    /// Type 0 (5.2.25.2).
    SpaRange(SpaRange),
    /// Type 1 (5.2.25.3).
    RegionMapping(RegionMapping),
    /// Type 2 (5.2.25.4).
    Interleave(Interleave<'a>),
    /// Type 3 (5.2.25.5).
    Smbios(Smbios<'a>),
    /// Type 4 (5.2.25.6).
    ControlRegion(ControlRegion),
    /// Type 5 (5.2.25.7).
    BlockDataWindow(BlockDataWindow),
    /// Type 6 (5.2.25.8).
    FlushHints(FlushHints<'a>),
    /// Type 7 (5.2.25.9).
    Capabilities(Capabilities),
    /// A type this specification does not know; skipped by its length, as the specification asks.
    Unknown {
        /// The structure's type.
        structure_type: StructureType,
        /// The structure's length in bytes, type and length included.
        length: u16,
    },
}

impl<'a> Structure<'a> {
    /// Decodes a structure from exactly the bytes its length field covers. Longer ones than known
    /// are fine: later specifications append fields.
    fn decode(structure_type: StructureType, length: u16, bytes: &'a [u8]) -> Result<Self, Needs> {
        Ok(match structure_type {
            StructureType::SPA_RANGE => Self::SpaRange(SpaRange::decode(bytes)?),
            StructureType::REGION_MAPPING => Self::RegionMapping(RegionMapping::decode(bytes)?),
            StructureType::INTERLEAVE => Self::Interleave(Interleave::decode(bytes)?),
            StructureType::SMBIOS => Self::Smbios(Smbios::decode(bytes)?),
            StructureType::CONTROL_REGION => Self::ControlRegion(ControlRegion::decode(bytes)?),
            StructureType::BLOCK_DATA_WINDOW => Self::BlockDataWindow(BlockDataWindow::decode(bytes)?),
            StructureType::FLUSH_HINTS => Self::FlushHints(FlushHints::decode(bytes)?),
            StructureType::CAPABILITIES => Self::Capabilities(Capabilities::decode(bytes)?),
            _ => Self::Unknown { structure_type, length },
        })
    }
}

impl fmt::Display for Structure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpaRange(spa) => spa.fmt(f),
            Self::RegionMapping(mapping) => mapping.fmt(f),
            Self::Interleave(interleave) => interleave.fmt(f),
            Self::Smbios(smbios) => smbios.fmt(f),
            Self::ControlRegion(control) => control.fmt(f),
            Self::BlockDataWindow(window) => window.fmt(f),
            Self::FlushHints(hints) => hints.fmt(f),
            Self::Capabilities(capabilities) => capabilities.fmt(f),
            Self::Unknown { structure_type, length } => {
                write!(f, "unknown structure: type {} length {length}", structure_type.0)
            }
        }
    }
}

/// Bytes of a structure's type and length fields.
const STRUCTURE_HEADER_BYTES: usize = 4;

/// Iterator over a table's structures, made by [`crate::Nfit::structures`]. A structure that is too
/// short for its type is an error, and the next one follows. Where the length leads nowhere (0, or
/// past the end), the error is the last item: without a length to believe in there is no next one.
#[derive(Clone, Debug)]
pub struct Structures<'a> {
    /// The whole table.
    table: &'a [u8],
    /// Where the next structure starts; the table's length when there is none.
    offset: usize,
    /// The next structure's ordinal.
    ordinal: usize,
}

impl<'a> Structures<'a> {
    pub(crate) fn new(table: &'a [u8]) -> Self {
        Self { table, offset: HEADER_BYTES, ordinal: 0 }
    }

    /// Returns the next structure and where it lies.
    pub(crate) fn next_placed(&mut self) -> Option<Result<(Location, Structure<'a>), Error>> {
        let rest = self.table.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let (at, bytes) = match self.delimit(rest) {
            Ok(found) => found,
            Err(error) => {
                self.offset = self.table.len();
                return Some(Err(error));
            }
        };
        // No overflow: the structure was found inside the table.
        (self.offset, self.ordinal) = (self.offset + bytes.len(), self.ordinal + 1);
        // A structure's length comes from 16 bits.
        let length = bytes.len() as u16;
        Some(match Structure::decode(at.structure_type, length, bytes) {
            Ok(structure) => Ok((at, structure)),
            Err(Needs(needed)) => Err(Error::StructureTooShort { at, length, needed }),
        })
    }

    /// Returns the location and bytes of the structure that `rest` begins with; an error if there is no
    /// telling where the structure ends.
    fn delimit(&self, rest: &'a [u8]) -> Result<(Location, &'a [u8]), Error> {
        let (offset, ordinal, remaining) = (self.offset, self.ordinal, rest.len());
        let (Ok(structure_type), Ok(length)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            return Err(Error::Remainder { ordinal, offset, remaining });
        };
        let at = Location { structure_type: StructureType(structure_type), ordinal, offset };
        match usize::from(length) {
            0 => Err(Error::ZeroLength { at }),
            size @ STRUCTURE_HEADER_BYTES.. => {
                rest.get(..size).map(|bytes| (at, bytes)).ok_or(Error::PastEnd { at, length, remaining })
            }
            _ => Err(Error::StructureTooShort { at, length, needed: STRUCTURE_HEADER_BYTES }),
        }
    }
}

impl<'a> Iterator for Structures<'a> {
    type Item = Result<Structure<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_placed()?.map(|(_, structure)| structure))
    }
}

impl FusedIterator for Structures<'_> {}
