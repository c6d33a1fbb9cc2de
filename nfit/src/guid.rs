//! GUIDs, and the address range types they stand for in SPA range structures.
//!
//! Reference: ACPI 6.5, section 5.2.25.2 (Address Range Type GUID); the mixed byte order is that of
//! UEFI, appendix A.

use core::fmt;

/// A GUID as it lies in memory: the first three groups little-endian, the last two in reading
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guid(
    /// The 16 bytes as they are in the table.
    pub [u8; 16],
);

impl Guid {
    /// Makes a GUID from its groups as they are written: `66F0D379-B4F3-4074-AC43-0D3318B78CDB` is
    /// `from_groups(0x66F0_D379, 0xB4F3, 0x4074, 0xAC43_0D33_18B7_8CDB)`.
    pub const fn from_groups(time_low: u32, time_mid: u16, time_high: u16, rest: u64) -> Self {
        let ([a, b, c, d], [e, f]) = (time_low.to_le_bytes(), time_mid.to_le_bytes());
        let ([g, h], [i, j, k, l, m, n, o, p]) = (time_high.to_le_bytes(), rest.to_be_bytes());
        Self([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Guid {
    /// Writes `66f0d379-b4f3-4074-ac43-0d3318b78cdb`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.0;
        let (low, mid) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
        let (high, sequence) = (u16::from_le_bytes([g, h]), u16::from_be_bytes([i, j]));
        let node = u64::from_be_bytes([0, 0, k, l, m, n, o, p]);
        write!(out, "{low:08x}-{mid:04x}-{high:04x}-{sequence:04x}-{node:012x}")
    }
}

/// What an SPA range is (ACPI 6.5, 5.2.25.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeType {
    /// Volatile memory.
    VolatileMemory,
    /// Byte-addressable persistent memory: what this kernel is about.
    PersistentMemory,
    /// NVDIMM control region.
    ControlRegion,
    /// NVDIMM block data window.
    BlockDataWindow,
    /// RAM disk that is gone with the power.
    VolatileVirtualDisk,
    /// RAM disk with an ISO image that is gone with the power.
    VolatileVirtualCd,
    /// RAM disk inside persistent memory, put there by firmware.
    PersistentVirtualDisk,
    /// RAM disk with an ISO image inside persistent memory, put there by firmware.
    PersistentVirtualCd,
    /// A GUID this specification does not name.
    Unknown(Guid),
}

impl RangeType {
    /// The types the specification names, with their GUIDs.
    const NAMED: [(Self, Guid); 8] = [
        (Self::VolatileMemory, Guid::from_groups(0x7305_944F, 0xFDDA, 0x44E3, 0xB16C_3F22_D252_E5D0)),
        (Self::PersistentMemory, Guid::from_groups(0x66F0_D379, 0xB4F3, 0x4074, 0xAC43_0D33_18B7_8CDB)),
        (Self::ControlRegion, Guid::from_groups(0x92F7_01F6, 0x13B4, 0x405D, 0x910B_2993_67E8_234C)),
        (Self::BlockDataWindow, Guid::from_groups(0x91AF_0530, 0x5D86, 0x470E, 0xA6B0_0A2D_B940_8249)),
        (Self::VolatileVirtualDisk, Guid::from_groups(0x77AB_535A, 0x45FC, 0x624B, 0x5560_F7B2_81D1_F96E)),
        (Self::VolatileVirtualCd, Guid::from_groups(0x3D5A_BD30, 0x4175, 0x87CE, 0x6D64_D2AD_E523_C4BB)),
        (Self::PersistentVirtualDisk, Guid::from_groups(0x5CEA_02C9, 0x4D07, 0x69D3, 0x269F_4496_FBE0_96F9)),
        (Self::PersistentVirtualCd, Guid::from_groups(0x0801_8188, 0x42CD, 0xBB48, 0x100F_5387_D53D_ED3D)),
    ];

    /// Returns the type a GUID stands for.
    pub fn from_guid(guid: Guid) -> Self {
        let named = Self::NAMED.iter().find(|(_, known)| *known == guid);
        named.map_or(Self::Unknown(guid), |(range_type, _)| *range_type)
    }

    /// Returns the GUID that stands for this type.
    pub fn guid(self) -> Guid {
        if let Self::Unknown(guid) = self {
            return guid;
        }
        let named = Self::NAMED.iter().find(|(range_type, _)| *range_type == self);
        named.map_or(Guid([0; 16]), |(_, guid)| *guid)
    }

    /// Returns whether the type is a RAM disk inside persistent memory. Such a disk overlaps the persistent
    /// range that holds it, by the specification, and is to be left alone.
    pub fn is_inside_persistent_memory(self) -> bool {
        matches!(self, Self::PersistentVirtualDisk | Self::PersistentVirtualCd)
    }
}

impl fmt::Display for RangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VolatileMemory => "volatile memory",
            Self::PersistentMemory => "persistent memory",
            Self::ControlRegion => "control region",
            Self::BlockDataWindow => "block data window",
            Self::VolatileVirtualDisk => "volatile virtual disk",
            Self::VolatileVirtualCd => "volatile virtual cd",
            Self::PersistentVirtualDisk => "persistent virtual disk",
            Self::PersistentVirtualCd => "persistent virtual cd",
            Self::Unknown(guid) => return write!(f, "unknown type {guid}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn guids_print_as_the_specification_writes_them() {
        let texts = [
            "7305944f-fdda-44e3-b16c-3f22d252e5d0",
            "66f0d379-b4f3-4074-ac43-0d3318b78cdb",
            "92f701f6-13b4-405d-910b-299367e8234c",
            "91af0530-5d86-470e-a6b0-0a2db9408249",
            "77ab535a-45fc-624b-5560-f7b281d1f96e",
            "3d5abd30-4175-87ce-6d64-d2ade523c4bb",
            "5cea02c9-4d07-69d3-269f-4496fbe096f9",
            "08018188-42cd-bb48-100f-5387d53ded3d",
        ];
        for ((range_type, guid), text) in RangeType::NAMED.into_iter().zip(texts) {
            assert_eq!(guid.to_string(), text);
            assert_eq!(RangeType::from_guid(guid), range_type);
            assert_eq!(range_type.guid(), guid);
        }
    }

    #[test]
    fn an_unnamed_guid_is_kept() {
        let guid = Guid([0x11; 16]);
        assert_eq!(RangeType::from_guid(guid), RangeType::Unknown(guid));
        assert_eq!(RangeType::Unknown(guid).guid(), guid);
        assert_eq!(RangeType::Unknown(guid).to_string(), "unknown type 11111111-1111-1111-1111-111111111111");
    }
}
