//! The structures that end in a list: interleave (type 2), SMBIOS (type 3), flush hint addresses
//! (type 6).
//!
//! The lists stay in the table and are read from there: many mappings may refer to one of them, and
//! copies would let a table of a few MiB ask for gigabytes.
//!
//! Reference: ACPI 6.5, sections 5.2.25.4, 5.2.25.5 and 5.2.25.8.

use core::fmt;

use crate::mapping::DeviceHandle;
use crate::read::{Needs, at_least, entries, u16_at, u32_at};
use crate::text::ByteSize;

/// At most this many addresses are printed on a line; the rest are counted.
const SHOWN: usize = 4;

/// Interleave Structure: which lines of an SPA range lie on one NVDIMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interleave<'a> {
    /// Interleave Structure Index: how region mappings refer to it.
    pub index: u16,
    /// Number of Lines Described.
    pub number_of_lines: u32,
    /// Line Size, in bytes.
    pub line_size: u32,
    /// The line offsets, 4 bytes each.
    offsets: &'a [u8],
}

impl<'a> Interleave<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Needs> {
        at_least(bytes, 16)?;
        let number_of_lines = u32_at(bytes, 8)?;
        let count = usize::try_from(number_of_lines).unwrap_or(usize::MAX);
        Ok(Self {
            index: u16_at(bytes, 4)?,
            number_of_lines,
            line_size: u32_at(bytes, 12)?,
            offsets: entries(bytes, 16, count, 4)?,
        })
    }

    /// Returns the Line Offsets, one per line: where the line starts, in multiples of the line size from the
    /// start of the SPA range.
    pub fn line_offsets(&self) -> impl ExactSizeIterator<Item = u32> + use<'a> {
        self.offsets.as_chunks::<4>().0.iter().map(|line| u32::from_le_bytes(*line))
    }
}

impl fmt::Display for Interleave<'_> {
    /// Writes `interleave 1: lines 2 of 256 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, number_of_lines, line_size, .. } = self;
        write!(f, "interleave {index}: lines {number_of_lines} of {}", ByteSize((*line_size).into()))
    }
}

/// SMBIOS Management Information Structure: SMBIOS structures of devices the SMBIOS tables do not
/// have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smbios<'a> {
    /// SMBIOS table data, not decoded.
    pub data: &'a [u8],
}

impl<'a> Smbios<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Needs> {
        Ok(Self { data: bytes.get(8..).ok_or(Needs(8))? })
    }
}

impl fmt::Display for Smbios<'_> {
    /// Writes `smbios: 34 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smbios: {} bytes", self.data.len())
    }
}

/// Flush Hint Address Structure: a write to any of the addresses makes earlier writes to the NVDIMM
/// durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushHints<'a> {
    /// NFIT Device Handle of the NVDIMM.
    pub device_handle: DeviceHandle,
    /// The addresses, 8 bytes each.
    addresses: &'a [u8],
}

impl<'a> FlushHints<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Needs> {
        at_least(bytes, 16)?;
        let count = u16_at(bytes, 8)?.into();
        Ok(Self { device_handle: DeviceHandle(u32_at(bytes, 4)?), addresses: entries(bytes, 16, count, 8)? })
    }

    /// Returns the Flush Hint Addresses: system physical addresses, 8 bytes writable at each.
    pub fn addresses(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        self.addresses.as_chunks::<8>().0.iter().map(|address| u64::from_le_bytes(*address))
    }
}

impl fmt::Display for FlushHints<'_> {
    /// Writes `flush hints: handle 0x1 (dimm 1 ...) addresses 2 at 0xfed00000 0xfed00040`; after four, `+3
    /// more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.addresses().len();
        write!(f, "flush hints: handle {} addresses {count}", self.device_handle)?;
        for (position, address) in self.addresses().take(SHOWN).enumerate() {
            write!(f, "{} {address:#x}", if position == 0 { " at" } else { "" })?;
        }
        if count > SHOWN { write!(f, " +{} more", count - SHOWN) } else { Ok(()) }
    }
}
