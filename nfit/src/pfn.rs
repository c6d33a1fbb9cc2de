//! The information block that Linux puts at byte 4096 of a namespace in *fsdax* mode: where the data begins,
//! for the space before it holds the block itself and maybe the kernel's page structures.
//!
//! ```text
//! 0          4096     8192                  start_pad + dataoff             len - end_trunc
//! | unused   | block  | page structures, …  | what /dev/pmemN shows         | unused
//! ```
//!
//! Facts, not code: the layout is `struct nd_pfn_sb` in Linux's `drivers/nvdimm/pfn.h` and `struct pfn_sb` in
//! ndctl's `ndctl/namespace.h`, which agree. All numbers are little-endian.
//!
//! | at | bytes | field | since version |
//! |---|---|---|---|
//! | 0 | 16 | signature | 1.0 |
//! | 16 | 16 | uuid | 1.0 |
//! | 32 | 16 | parent_uuid: the namespace's, 0 if it has no label | 1.0 |
//! | 48 | 4 | flags | 1.0 |
//! | 52 | 2, 2 | version_major, version_minor | 1.0 |
//! | 56 | 8 | dataoff | 1.0 |
//! | 64 | 8 | npfns: pages of data | 1.0 |
//! | 72 | 4 | mode: where page structures are, 1 in RAM, 2 in the namespace | 1.0 |
//! | 76 | 4 | start_pad | 1.1 |
//! | 80 | 4 | end_trunc | 1.1 |
//! | 84 | 4 | align | 1.2 |
//! | 88 | 4 | page_size | 1.4 |
//! | 92 | 2 | page_struct_size | 1.4 |
//! | 4088 | 8 | checksum: Fletcher's with two 32-bit sums, over the block with this field 0 | 1.0 |
//!
//! Where the data begins: Linux's block device maps the namespace from `start_pad` on, and counts `dataoff`
//! from there. (Linux's DAX counted it from the namespace's start, which is why no `start_pad` is made any
//! more.)
//!
//! What Linux does not look at is not refused here either: other tools leave `version_major` and `npfns` 0.

use core::fmt;

use crate::PAGE_BYTES;
use crate::read::{array_at, u16_at, u32_at, u64_at};

/// Where the block lies, in bytes from the start of the namespace.
pub const PFN_OFFSET: u64 = 4096;
/// The information block's length in bytes.
pub const PFN_BYTES: usize = 4096;

const FSDAX: [u8; 16] = *b"NVDIMM_PFN_INFO\0";
const DEVDAX: [u8; 16] = *b"NVDIMM_DAX_INFO\0";
const CHECKSUM: usize = PFN_BYTES - 8;

/// An information block that is right in itself and for its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PfnInfo {
    /// Of the fsdax device: 16 bytes in reading order, unlike a table's GUIDs.
    pub uuid: [u8; 16],
    /// Of the namespace; all zeros if that has no label.
    pub parent_uuid: [u8; 16],
    /// `version_major`, which is 0 or 1, and `version_minor`.
    pub version: (u16, u16),
    /// Where Linux keeps its page structures.
    pub mode: PfnMode,
    /// First byte of the data, from the start of the namespace: `start_pad` and `dataoff`. A multiple of
    /// 4096.
    pub data_offset: u64,
    /// Bytes of data: a multiple of 4096, not 0.
    pub data_len: u64,
    /// `align`: what Linux can map at once; 0 before version 1.2.
    pub align: u32,
}

/// Where Linux keeps its page structures (`mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PfnMode {
    /// In RAM.
    Ram,
    /// In the namespace, before the data.
    Pmem,
}

/// Why a block that has a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PfnError {
    /// The namespace belongs to device-dax, which has no file system.
    DeviceDax,
    /// The checksum is not the block's.
    Checksum {
        /// The field.
        found: u64,
        /// The value that the field should have.
        expected: u64,
    },
    /// `version_major` is above 1.
    Version {
        /// `version_major`, `version_minor`.
        found: (u16, u16),
    },
    /// `mode` is neither 1 nor 2.
    Mode {
        /// The field.
        found: u32,
    },
    /// `page_size` is not 4096.
    PageSize {
        /// The field, in bytes.
        found: u32,
    },
    /// `align` is not a power of two of at least 4096, or larger than the namespace.
    Align {
        /// The field, in bytes.
        found: u32,
    },
    /// `dataoff` is inside the block or before it, not a multiple of 4096, not at a multiple of `align`, or
    /// beyond the end.
    DataOffset {
        /// The field, in bytes.
        found: u64,
    },
    /// `start_pad` and `end_trunc` are no multiples of 4096, or leave no data.
    Padding {
        /// `start_pad`, in bytes.
        start: u32,
        /// `end_trunc`, in bytes.
        end: u32,
    },
    /// `npfns` says more pages of data than there are: the namespace was longer once.
    Pages {
        /// The field.
        found: u64,
        /// How many there are.
        limit: u64,
    },
}

impl PfnInfo {
    /// Reads the block at [`PFN_OFFSET`] of the namespace of `len` bytes at address `base`. `None` if there
    /// is none: no signature.
    ///
    /// # Errors
    /// What [`PfnError`] says: there is a signature, but not the rest of it.
    pub fn parse(block: &[u8; PFN_BYTES], base: u64, len: u64) -> Result<Option<Self>, PfnError> {
        match read(block, base, len) {
            Ok(answer) => answer,
            // All fields lie in the block.
            Err(_) => Ok(None),
        }
    }
}

/// Returns the sum that the checksum field should hold: of all little-endian words of 32 bits, that field
/// taken as 0.
pub fn pfn_checksum(block: &[u8; PFN_BYTES]) -> u64 {
    let (words, _) = block[..CHECKSUM].as_chunks::<4>();
    let (mut low, mut high) = (0_u32, 0_u32);
    for word in words {
        low = low.wrapping_add(u32::from_le_bytes(*word));
        high = high.wrapping_add(low);
    }
    // The field's own two words, as zeros, add to the upper sum.
    high = high.wrapping_add(low).wrapping_add(low);
    u64::from(high) << 32 | u64::from(low)
}

type PfnResult = Result<Option<PfnInfo>, PfnError>;

fn read(block: &[u8; PFN_BYTES], base: u64, len: u64) -> Result<PfnResult, crate::read::Needs> {
    let signature = array_at::<16>(block, 0)?;
    let found = u64_at(block, CHECKSUM)?;
    let expected = pfn_checksum(block);
    let sound = found == expected;
    match signature {
        FSDAX if !sound => return Ok(Err(PfnError::Checksum { found, expected })),
        FSDAX => {}
        // Damaged or not, nobody keeps a file system there.
        DEVDAX => return Ok(Err(PfnError::DeviceDax)),
        _ => return Ok(Ok(None)),
    }
    let version = (u16_at(block, 52)?, u16_at(block, 54)?);
    let (major, minor) = version;
    if major > 1 {
        return Ok(Err(PfnError::Version { found: version }));
    }
    let since = |version, value| if minor >= version { value } else { 0 };
    let mode = match u32_at(block, 72)? {
        1 => PfnMode::Ram,
        2 => PfnMode::Pmem,
        found => return Ok(Err(PfnError::Mode { found })),
    };
    let page_size = u32_at(block, 88)?;
    if minor >= 4 && u64::from(page_size) != PAGE_BYTES {
        return Ok(Err(PfnError::PageSize { found: page_size }));
    }
    let align = since(2, u32_at(block, 84)?);
    let fits = align.is_power_of_two() && u64::from(align) >= PAGE_BYTES && u64::from(align) <= len;
    if align != 0 && !fits {
        return Ok(Err(PfnError::Align { found: align }));
    }
    let (start, end) = (since(1, u32_at(block, 76)?), since(1, u32_at(block, 80)?));
    if !u64::from(start).is_multiple_of(PAGE_BYTES) || !u64::from(end).is_multiple_of(PAGE_BYTES) {
        return Ok(Err(PfnError::Padding { start, end }));
    }
    let dataoff = u64_at(block, 56)?;
    let bad_offset = PfnError::DataOffset { found: dataoff };
    if !dataoff.is_multiple_of(PAGE_BYTES) || dataoff < PFN_OFFSET + PFN_BYTES as u64 || dataoff >= len {
        return Ok(Err(bad_offset));
    }
    // Below 2^64: less than `len`, and 32 bits.
    let data_offset = dataoff.saturating_add(start.into());
    // Aligned is what it lies at, not how far in.
    let place = base.wrapping_add(data_offset);
    if align != 0 && !place.is_multiple_of(align.into()) {
        return Ok(Err(bad_offset));
    }
    let data_len = len.saturating_sub(data_offset).saturating_sub(end.into()) / PAGE_BYTES * PAGE_BYTES;
    if data_len == 0 {
        return Ok(Err(PfnError::Padding { start, end }));
    }
    let (pages, limit) = (u64_at(block, 64)?, data_len / PAGE_BYTES);
    if pages > limit {
        return Ok(Err(PfnError::Pages { found: pages, limit }));
    }
    Ok(Ok(Some(PfnInfo {
        uuid: array_at(block, 16)?,
        parent_uuid: array_at(block, 32)?,
        version,
        mode,
        data_offset,
        data_len,
        align,
    })))
}

impl fmt::Display for PfnInfo {
    /// Writes `fsdax 1.4, data at byte 2097152, 65011712 bytes, page structures in RAM, uuid …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version: (major, minor), data_offset, data_len, .. } = self;
        let place = match self.mode {
            PfnMode::Ram => "RAM",
            PfnMode::Pmem => "the namespace",
        };
        write!(
            f,
            "fsdax {major}.{minor}, data at byte {data_offset}, {data_len} bytes, page structures in {place}, uuid "
        )?;
        for (index, byte) in self.uuid.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PfnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fsdax information block at byte 4096: ")?;
        match self {
            Self::DeviceDax => f.write_str("NVDIMM_DAX_INFO: the namespace is in device-dax mode"),
            Self::Checksum { found, expected } => {
                write!(f, "checksum is {found:#018x}, not {expected:#018x}")
            }
            Self::Version { found: (major, minor) } => write!(f, "version {major}.{minor} is not known"),
            Self::Mode { found } => write!(f, "mode {found} is neither 1 nor 2"),
            Self::PageSize { found } => write!(f, "page_size {found} is not {PAGE_BYTES}"),
            Self::Align { found } => write!(f, "align {found} is not a power of two that fits"),
            Self::DataOffset { found } => {
                write!(f, "dataoff {found} is not inside the namespace and aligned")
            }
            Self::Padding { start, end } => {
                write!(f, "start_pad {start} and end_trunc {end} leave no data, or no whole pages")
            }
            Self::Pages { found, limit } => write!(f, "npfns {found} is more than the {limit} there are"),
        }
    }
}

impl core::error::Error for PfnError {}
