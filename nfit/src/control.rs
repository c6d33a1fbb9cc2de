//! NVDIMM control region (type 4) and block data window region (type 5): who made a DIMM, and how
//! its block mode is driven. Daxiom prints both and uses neither.
//!
//! Reference: ACPI 6.5, sections 5.2.25.6 and 5.2.25.7.

use core::fmt;

use crate::read::{Needs, at_least, u8_at, u16_at, u32_at, u64_at};
use crate::text::ByteSize;

/// NVDIMM Control Region Structure. The identifiers mirror bytes of the DIMM's SPD (JEDEC annex L)
/// in that order; they are read here as little-endian numbers, like every other field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRegion {
    /// NVDIMM Control Region Structure Index: how region mappings refer to it.
    pub index: u16,
    /// Vendor ID (SPD bytes 320, 321).
    pub vendor_id: u16,
    /// Device ID.
    pub device_id: u16,
    /// Revision ID.
    pub revision_id: u16,
    /// Subsystem Vendor ID.
    pub subsystem_vendor_id: u16,
    /// Subsystem Device ID.
    pub subsystem_device_id: u16,
    /// Subsystem Revision ID.
    pub subsystem_revision_id: u16,
    /// Valid Fields: bit 0 says that manufacturing location and date are valid.
    pub valid_fields: u8,
    /// Manufacturing Location as found; see [`ControlRegion::manufactured`].
    pub manufacturing_location: u8,
    /// Manufacturing Date as found (two BCD bytes: year, week); see
    /// [`ControlRegion::manufactured`].
    pub manufacturing_date: u16,
    /// Serial Number (SPD bytes 325 to 328).
    pub serial_number: u32,
    /// Region Format Interface Code: JEDEC class and interface.
    pub format_interface_code: u16,
    /// The block control windows, `None` if their number is 0 (the structure may then end before
    /// them).
    pub block_control_windows: Option<BlockControlWindows>,
}

/// The part of a control region that is about block control windows. Offsets are logical, from the
/// window's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockControlWindows {
    /// Number of Block Control Windows; not 0.
    pub number: u16,
    /// Size of Block Control Window, in bytes.
    pub window_size: u64,
    /// Command Register Offset in Block Control Window, in bytes.
    pub command_register_offset: u64,
    /// Size of Command Register in Block Control Windows, in bytes.
    pub command_register_size: u64,
    /// Status Register Offset in Block Control Window, in bytes.
    pub status_register_offset: u64,
    /// Size of Status Register in Block Control Windows, in bytes.
    pub status_register_size: u64,
    /// NVDIMM Control Region Flag: bit 0 says that the block data windows are buffered.
    pub flags: u16,
}

impl ControlRegion {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Needs> {
        at_least(bytes, 32)?;
        let block_control_windows = match u16_at(bytes, 30)? {
            0 => None,
            number => Some(BlockControlWindows::decode(bytes, number)?),
        };
        Ok(Self {
            index: u16_at(bytes, 4)?,
            vendor_id: u16_at(bytes, 6)?,
            device_id: u16_at(bytes, 8)?,
            revision_id: u16_at(bytes, 10)?,
            subsystem_vendor_id: u16_at(bytes, 12)?,
            subsystem_device_id: u16_at(bytes, 14)?,
            subsystem_revision_id: u16_at(bytes, 16)?,
            valid_fields: u8_at(bytes, 18)?,
            manufacturing_location: u8_at(bytes, 19)?,
            manufacturing_date: u16_at(bytes, 20)?,
            serial_number: u32_at(bytes, 24)?,
            format_interface_code: u16_at(bytes, 28)?,
            block_control_windows,
        })
    }

    /// Returns the manufacturing location and date, if valid.
    pub fn manufactured(&self) -> Option<(u8, u16)> {
        (self.valid_fields & 1 != 0).then_some((self.manufacturing_location, self.manufacturing_date))
    }

    /// Returns what the region format interface code says in words, if it is one of the three that are in
    /// use.
    pub fn format_interface_name(&self) -> Option<&'static str> {
        match self.format_interface_code {
            0x101 => Some("byte-addressable energy-backed"),
            0x201 => Some("block-addressable"),
            0x301 => Some("byte-addressable not-energy-backed"),
            _ => None,
        }
    }
}

impl BlockControlWindows {
    fn decode(bytes: &[u8], number: u16) -> Result<Self, Needs> {
        at_least(bytes, 80)?;
        Ok(Self {
            number,
            window_size: u64_at(bytes, 32)?,
            command_register_offset: u64_at(bytes, 40)?,
            command_register_size: u64_at(bytes, 48)?,
            status_register_offset: u64_at(bytes, 56)?,
            status_register_size: u64_at(bytes, 64)?,
            flags: u16_at(bytes, 72)?,
        })
    }
}

impl fmt::Display for ControlRegion {
    /// Writes `control region 3: vendor 0x8086 device 0x1 revision 0x1 ... serial 0x123456 format 0x301
    /// (...) block windows 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, vendor_id, device_id, revision_id, serial_number, .. } = self;
        write!(
            f,
            "control region {index}: vendor {vendor_id:#x} device {device_id:#x} revision {revision_id:#x} "
        )?;
        let (vendor, device) = (self.subsystem_vendor_id, self.subsystem_device_id);
        write!(f, "subsystem {vendor:#x}:{device:#x}:{:#x} ", self.subsystem_revision_id)?;
        write!(f, "serial {serial_number:#x} format {:#x} ", self.format_interface_code)?;
        if let Some(name) = self.format_interface_name() {
            write!(f, "({name}) ")?;
        }
        if let Some((location, date)) = self.manufactured() {
            write!(f, "made at {location:#x} on {date:#06x} ")?;
        }
        match &self.block_control_windows {
            Some(windows) => {
                write!(f, "block windows {} of {}", windows.number, ByteSize(windows.window_size))
            }
            None => f.write_str("block windows 0"),
        }
    }
}

/// NVDIMM Block Data Window Region Structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDataWindow {
    /// NVDIMM Control Region Structure Index of the control region that the window belongs to.
    pub control_region_index: u16,
    /// Number of Block Data Windows.
    pub number: u16,
    /// Block Data Window Start Offset, in bytes: logical, from the start of the data window region.
    pub start_offset: u64,
    /// Size of Block Data Window, in bytes.
    pub window_size: u64,
    /// Block Accessible Memory Capacity, in bytes.
    pub capacity: u64,
    /// Beginning address of first block in Block Accessible Memory, in bytes.
    pub first_block: u64,
}

impl BlockDataWindow {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Needs> {
        at_least(bytes, 40)?;
        Ok(Self {
            control_region_index: u16_at(bytes, 4)?,
            number: u16_at(bytes, 6)?,
            start_offset: u64_at(bytes, 8)?,
            window_size: u64_at(bytes, 16)?,
            capacity: u64_at(bytes, 24)?,
            first_block: u64_at(bytes, 32)?,
        })
    }
}

impl fmt::Display for BlockDataWindow {
    /// Writes `block data window: control region 3 windows 2 of 8 KiB start 0x0 capacity 1 GiB first block
    /// 0x0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { control_region_index, number, start_offset, first_block, .. } = self;
        let (size, capacity) = (ByteSize(self.window_size), ByteSize(self.capacity));
        write!(f, "block data window: control region {control_region_index} windows {number} of {size} ")?;
        write!(f, "start {start_offset:#x} capacity {capacity} first block {first_block:#x}")
    }
}
