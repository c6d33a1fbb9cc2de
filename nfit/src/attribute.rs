//! The memory mapping attribute of an SPA range: how firmware says the range can be cached and what
//! it is.
//!
//! Reference: ACPI 6.5, section 5.2.25.2; the bits are those of UEFI 2.10, section 7.2.3
//! (`EFI_MEMORY_*`).

use core::fmt;

use crate::text::write_bits;

/// Address Range Memory Mapping Attribute: `EFI_MEMORY_*` bits. The cacheability ones say what the
/// range *can* do; several may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemoryAttribute(
    /// The bits as they are in the table.
    pub u64,
);

impl MemoryAttribute {
    /// `EFI_MEMORY_UC`: can be mapped uncached.
    pub const UC: Self = Self(0x1);
    /// `EFI_MEMORY_WC`: can be mapped write-combining.
    pub const WC: Self = Self(0x2);
    /// `EFI_MEMORY_WT`: can be mapped write-through.
    pub const WT: Self = Self(0x4);
    /// `EFI_MEMORY_WB`: can be mapped write-back.
    pub const WB: Self = Self(0x8);
    /// `EFI_MEMORY_NV`: is non-volatile.
    pub const NV: Self = Self(0x8000);
    /// `EFI_MEMORY_RO`: is read-only.
    pub const RO: Self = Self(0x2_0000);

    const NAMES: [(u64, &str); 14] = [
        (0x1, "UC"),
        (0x2, "WC"),
        (0x4, "WT"),
        (0x8, "WB"),
        (0x10, "UCE"),
        (0x1000, "WP"),
        (0x2000, "RP"),
        (0x4000, "XP"),
        (0x8000, "NV"),
        (0x1_0000, "MORE_RELIABLE"),
        (0x2_0000, "RO"),
        (0x4_0000, "SP"),
        (0x8_0000, "CPU_CRYPTO"),
        (1 << 63, "RUNTIME"),
    ];

    /// Returns whether every bit of `bits` is set.
    pub fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

impl fmt::Display for MemoryAttribute {
    /// Writes `WB|NV`; bits without a name as one number: `WB|0x100`; `none` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_bits(f, self.0, &Self::NAMES)
    }
}
