//! The ACPI NVDIMM Firmware Interface Table (NFIT), parsed from bytes.
//!
//! **Purpose.** Firmware tells through this table where persistent memory lies in the physical
//! address space, on which DIMMs, whether it may be written, and what must be flushed for a store
//! to survive a power cut. [`Nfit::parse`] checks the table as a whole; [`Nfit::structures`] shows
//! what is in it, one structure after the other, as found; [`Nfit::contents`] joins the structures
//! into what a kernel maps, and leaves out what it could not map safely.
//!
//! **Trust.** The bytes come from firmware and may be anything. Nothing here panics, loops for ever
//! or reads outside the slice; work and memory grow with the table's length (times its logarithm
//! where things are sorted). What is bad is an [`Error`] that names the structure. A bad header or
//! checksum costs the table; a bad structure costs itself, and what follows it only if its length
//! leads nowhere; a bad range costs itself and those it overlaps.
//!
//! **Left out.** Finding the table, `_FIT` and `_DSM` methods, label storage, block windows
//! (decoded, not used), and de-interleaving: what is mapped is the system physical range.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the table: header, checksum, ways in |
//! | `structure.rs` | the list of structures: types, lengths, iteration |
//! | `spa.rs`, `guid.rs`, `attribute.rs` | SPA range, the GUIDs of range types, memory attribute bits |
//! | `mapping.rs` | region mapping, device handle, state flags |
//! | `control.rs` | control region, block data window |
//! | `lists.rs` | interleave, flush hint addresses, SMBIOS |
//! | `caps.rs` | platform capabilities |
//! | `region.rs`, `resolve.rs`, `overlap.rs` | the joined view; how it is joined; how ranges are checked |
//! | `pfn.rs` | not of this table: the block by which Linux marks a DIMM's data as fsdax |
//! | `error.rs`, `read.rs`, `text.rs` | errors, little-endian reading, printing |
//!
//! Reference: ACPI specification 6.5, section 5.2.25 "NVDIMM Firmware Interface Table (NFIT)";
//! section 5.2.6 for the header. Fields carry the specification's names.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod attribute;
mod caps;
mod control;
mod error;
mod guid;
mod lists;
mod mapping;
mod overlap;
mod pfn;
mod read;
mod region;
mod resolve;
mod spa;
mod structure;
mod text;

use core::fmt;

pub use attribute::MemoryAttribute;
pub use caps::Capabilities;
pub use control::{BlockControlWindows, BlockDataWindow, ControlRegion};
pub use error::{Error, Location};
pub use guid::{Guid, RangeType};
pub use lists::{FlushHints, Interleave, Smbios};
pub use mapping::{DeviceHandle, RegionMapping, StateFlags};
pub use pfn::{PFN_BYTES, PFN_OFFSET, PfnError, PfnInfo, PfnMode, pfn_checksum};
pub use region::{Contents, Dimm, Region};
pub use spa::SpaRange;
pub use structure::{Structure, StructureType, Structures};
pub use text::FixedText;

use read::{array_at, u8_at, u32_at};

/// Bytes before the first structure: the 36 of every ACPI table's header, and 4 reserved (ACPI 6.5,
/// 5.2.25.1).
pub const HEADER_BYTES: usize = 40;

/// Smallest unit in which persistent memory is mapped, in bytes: a region starts and ends on a
/// multiple of it.
pub const PAGE_BYTES: u64 = 4096;

/// A whole NFIT whose header and checksum are right (ACPI 6.5, 5.2.25.1).
#[derive(Clone, Copy, Debug)]
pub struct Nfit<'a> {
    /// Exactly the bytes the header's length field covers; never fewer than [`HEADER_BYTES`].
    table: &'a [u8],
    revision: u8,
    oem_id: FixedText<6>,
    oem_table_id: FixedText<8>,
    oem_revision: u32,
}

impl<'a> Nfit<'a> {
    /// Checks header and checksum of the table that begins at `bytes[0]`. Bytes after the table's
    /// own length (firmware tables lie in pages) are ignored.
    ///
    /// # Errors
    /// [`Error::HeaderTruncated`], [`Error::Signature`], [`Error::LengthTooShort`],
    /// [`Error::LengthPastBytes`], [`Error::Checksum`]. Structures are not looked at: they answer
    /// one by one, and so does what is left after the last of them ([`Error::Remainder`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let given = bytes.len();
        let cut = |_| Error::HeaderTruncated { given };
        let signature = array_at::<4>(bytes, 0).map_err(cut)?;
        // A short slice that is some other table is better told so than "cut".
        if signature != *b"NFIT" {
            return Err(Error::Signature { found: FixedText(signature) });
        }
        let length = u32_at(bytes, 4).map_err(cut)?;
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size < HEADER_BYTES {
            return Err(Error::LengthTooShort { length });
        }
        let table = match bytes.get(..size) {
            Some(table) => table,
            None if given < HEADER_BYTES => return Err(Error::HeaderTruncated { given }),
            None => return Err(Error::LengthPastBytes { length, given }),
        };
        let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        if sum != 0 {
            return Err(Error::Checksum { length, sum });
        }
        Ok(Self {
            table,
            revision: u8_at(table, 8).map_err(cut)?,
            oem_id: FixedText(array_at(table, 10).map_err(cut)?),
            oem_table_id: FixedText(array_at(table, 16).map_err(cut)?),
            oem_revision: u32_at(table, 24).map_err(cut)?,
        })
    }

    /// Returns the table's bytes: as many as its length field says.
    pub fn bytes(&self) -> &'a [u8] {
        self.table
    }

    /// Returns the revision of the NFIT's layout; 1 in every specification so far.
    pub fn revision(&self) -> u8 {
        self.revision
    }

    /// Returns the OEM ID: who made the table (`BOCHS` for QEMU 7.2).
    pub fn oem_id(&self) -> FixedText<6> {
        self.oem_id
    }

    /// Returns the OEM Table ID: the maker's name for this table.
    pub fn oem_table_id(&self) -> FixedText<8> {
        self.oem_table_id
    }

    /// Returns the OEM Revision: the maker's version of this table.
    pub fn oem_revision(&self) -> u32 {
        self.oem_revision
    }

    /// Returns every structure in table order, as found: not yet checked against each other.
    pub fn structures(&self) -> Structures<'a> {
        Structures::new(self.table)
    }

    /// Returns what the table says, joined: the persistent memory, what the platform promises, and what had
    /// to be left out.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]. All else that is wrong costs only what it is about, and is told in
    /// [`Contents::problems`].
    pub fn contents(&self) -> Result<Contents<'a>, Error> {
        resolve::contents(self)
    }
}

impl fmt::Display for Nfit<'_> {
    /// Writes `nfit: oem BOCHS table BXPC revision 1 length 224`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oem_id, oem_table_id, revision, .. } = self;
        write!(f, "nfit: oem {oem_id} table {oem_table_id} revision {revision} length {}", self.table.len())
    }
}
