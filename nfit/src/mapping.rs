//! NVDIMM region mapping structure (type 1): which part of which DIMM lies in an SPA range, and in
//! what state it is.
//!
//! Reference: ACPI 6.5, section 5.2.25.3.

use core::fmt;

use crate::read::{Needs, at_least, u16_at, u32_at, u64_at};
use crate::text::{ByteSize, StructureIndex, write_bits};

/// NFIT Device Handle: where an NVDIMM is plugged in. Unique to each NVDIMM; `_ADR` of its ACPI
/// device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceHandle(
    /// The handle as it is in the table.
    pub u32,
);

impl DeviceHandle {
    /// Returns the DIMM number within the memory channel (bits 3:0).
    pub fn dimm(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// Returns the memory channel number within the memory controller (bits 7:4).
    pub fn channel(self) -> u8 {
        (self.0 >> 4 & 0xf) as u8
    }

    /// Returns the memory controller ID within the socket (bits 11:8).
    pub fn controller(self) -> u8 {
        (self.0 >> 8 & 0xf) as u8
    }

    /// Returns the socket ID within the node controller (bits 15:12).
    pub fn socket(self) -> u8 {
        (self.0 >> 12 & 0xf) as u8
    }

    /// Returns the node controller ID (bits 27:16).
    pub fn node(self) -> u16 {
        (self.0 >> 16 & 0xfff) as u16
    }
}

impl fmt::Display for DeviceHandle {
    /// Writes `0x1 (dimm 1 channel 0 controller 0 socket 0 node 0)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dimm, channel, controller) = (self.dimm(), self.channel(), self.controller());
        let (socket, node) = (self.socket(), self.node());
        write!(
            f,
            "{:#x} (dimm {dimm} channel {channel} controller {controller} socket {socket} node {node})",
            self.0
        )
    }
}

/// NVDIMM State Flags: what firmware found before it handed over to the operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StateFlags(
    /// The flags as they are in the table.
    pub u16,
);

impl StateFlags {
    /// The previous SAVE operation to the NVDIMM failed.
    pub const SAVE_FAILED: Self = Self(1 << 0);
    /// The last RESTORE operation from the NVDIMM failed.
    pub const RESTORE_FAILED: Self = Self(1 << 1);
    /// The last platform flush failed: what was written last may be lost.
    pub const FLUSH_FAILED: Self = Self(1 << 2);
    /// The NVDIMM is not armed: what is written now is lost with the power, so it is to be used
    /// read-only.
    pub const NOT_ARMED: Self = Self(1 << 3);
    /// SMART and health events were observed.
    pub const SMART_HEALTH_OBSERVED: Self = Self(1 << 4);
    /// The platform notifies of SMART and health events.
    pub const SMART_EVENTS_NOTIFY: Self = Self(1 << 5);
    /// Firmware did not map the NVDIMM into an SPA range.
    pub const MAP_FAILED: Self = Self(1 << 6);

    const NAMES: [(u64, &str); 7] = [
        (1 << 0, "save-failed"),
        (1 << 1, "restore-failed"),
        (1 << 2, "flush-failed"),
        (1 << 3, "not-armed"),
        (1 << 4, "smart-health-observed"),
        (1 << 5, "smart-events-notify"),
        (1 << 6, "map-failed"),
    ];

    /// Returns whether every flag of `flags` is set.
    pub fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Returns the flags that are set in one of the two or in both.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for StateFlags {
    /// Writes `not-armed|map-failed`; `none` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bits(f, self.0.into(), &Self::NAMES)
    }
}

/// NVDIMM Region Mapping Structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionMapping {
    /// NFIT Device Handle of the NVDIMM.
    pub device_handle: DeviceHandle,
    /// NVDIMM Physical ID: handle of its SMBIOS Memory Device (type 17) structure.
    pub physical_id: u16,
    /// NVDIMM Region ID: unique among this NVDIMM's regions.
    pub region_id: u16,
    /// SPA Range Structure Index of the range this region lies in; 0: in none.
    pub spa_index: u16,
    /// NVDIMM Control Region Structure Index; 0: none.
    pub control_region_index: u16,
    /// NVDIMM Region Size, in bytes: this NVDIMM's share.
    pub region_size: u64,
    /// Region Offset, in bytes: where this NVDIMM's share starts, counted from the start of the SPA
    /// range.
    pub region_offset: u64,
    /// NVDIMM Physical Address Region Base (DPA), in bytes: where the region starts on the NVDIMM
    /// itself.
    pub dpa: u64,
    /// Interleave Structure Index; 0: not interleaved.
    pub interleave_index: u16,
    /// Interleave Ways: number of NVDIMMs in the interleave set; 1 (or 0) if not interleaved.
    pub interleave_ways: u16,
    /// NVDIMM State Flags.
    pub state: StateFlags,
}

impl RegionMapping {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Needs> {
        at_least(bytes, 48)?;
        Ok(Self {
            device_handle: DeviceHandle(u32_at(bytes, 4)?),
            physical_id: u16_at(bytes, 8)?,
            region_id: u16_at(bytes, 10)?,
            spa_index: u16_at(bytes, 12)?,
            control_region_index: u16_at(bytes, 14)?,
            region_size: u64_at(bytes, 16)?,
            region_offset: u64_at(bytes, 24)?,
            dpa: u64_at(bytes, 32)?,
            interleave_index: u16_at(bytes, 40)?,
            interleave_ways: u16_at(bytes, 42)?,
            state: StateFlags(u16_at(bytes, 44)?),
        })
    }
}

impl fmt::Display for RegionMapping {
    /// Writes `mapping: handle 0x1 (dimm 1 ...) spa 2 control region 3 size 64 MiB offset 0x0 dpa 0x0 ...
    /// state none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device_handle, physical_id, region_id, region_offset, dpa, interleave_ways, state, ..
        } = self;
        let (spa, control) = (StructureIndex(self.spa_index), StructureIndex(self.control_region_index));
        let (size, interleave) = (ByteSize(self.region_size), StructureIndex(self.interleave_index));
        write!(f, "mapping: handle {device_handle} physical id {physical_id} region id {region_id} ")?;
        write!(f, "spa {spa} control region {control} size {size} offset {region_offset:#x} dpa {dpa:#x} ")?;
        write!(f, "interleave {interleave} ways {interleave_ways} state {state}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_part_of_a_handle_comes_from_its_own_bits() {
        let handle = DeviceHandle(0xfabc_4321);
        assert_eq!(handle.to_string(), "0xfabc4321 (dimm 1 channel 2 controller 3 socket 4 node 2748)");
    }

    #[test]
    fn every_state_flag_has_its_name() {
        let all = "save-failed|restore-failed|flush-failed|not-armed|smart-health-observed|\
                   smart-events-notify|map-failed|0x80";
        assert_eq!(StateFlags(0xff).to_string(), all);
        assert_eq!(StateFlags(0).to_string(), "none");
    }
}
