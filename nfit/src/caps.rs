//! Platform capabilities structure (type 7): what the platform flushes by itself when power fails.
//!
//! What a kernel must flush for a store to be durable depends on it, so bits that the structure
//! does not vouch for count as 0.
//!
//! Reference: ACPI 6.5, section 5.2.25.9.

use core::fmt;

use crate::read::{Needs, at_least, u8_at, u32_at};

/// Platform Capabilities Structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Highest Valid Capability: number of the highest bit of `capabilities` that means anything.
    pub highest_valid: u8,
    /// Capabilities as found; see [`Capabilities::valid`].
    pub capabilities: u32,
}

impl Capabilities {
    const CPU_CACHE_FLUSH: u32 = 1 << 0;
    const MEMORY_CONTROLLER_FLUSH: u32 = 1 << 1;
    const MEMORY_MIRRORING: u32 = 1 << 2;

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Needs> {
        at_least(bytes, 16)?;
        Ok(Self { highest_valid: u8_at(bytes, 4)?, capabilities: u32_at(bytes, 8)? })
    }

    /// Returns the capability bits up to the highest valid one.
    pub fn valid(&self) -> u32 {
        // Shifting out the bits above; a highest bit of 31 or more leaves all.
        self.capabilities & (u32::MAX >> 31u8.saturating_sub(self.highest_valid))
    }

    /// Returns bit 0, CPU Cache Flush to NVDIMM Durability on Power Loss (eADR): a store is durable once it
    /// is in a cache.
    pub fn cpu_cache_flush(&self) -> bool {
        self.valid() & Self::CPU_CACHE_FLUSH != 0
    }

    /// Returns bit 1, Memory Controller Flush to NVDIMM Durability on Power Loss (ADR): a store is durable
    /// once it has left the caches and was fenced. The specification wants bit 1 set whenever bit 0 is; the
    /// bit is reported as found.
    pub fn memory_controller_flush(&self) -> bool {
        self.valid() & Self::MEMORY_CONTROLLER_FLUSH != 0
    }

    /// Returns bit 2, Byte Addressable Persistent Memory Hardware Mirroring.
    pub fn memory_mirroring(&self) -> bool {
        self.valid() & Self::MEMORY_MIRRORING != 0
    }
}

impl fmt::Display for Capabilities {
    /// Writes `capabilities: cpu cache flush, memory controller flush`; `capabilities: none` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "capabilities: ";
        for (set, name) in [
            (self.cpu_cache_flush(), "cpu cache flush"),
            (self.memory_controller_flush(), "memory controller flush"),
            (self.memory_mirroring(), "memory mirroring"),
        ] {
            if set {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        let known = Self::CPU_CACHE_FLUSH | Self::MEMORY_CONTROLLER_FLUSH | Self::MEMORY_MIRRORING;
        match self.valid() & !known {
            0 if self.valid() == 0 => f.write_str("capabilities: none"),
            0 => Ok(()),
            rest => write!(f, "{separator}unknown {rest:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn text(highest_valid: u8, capabilities: u32) -> alloc::string::String {
        Capabilities { highest_valid, capabilities }.to_string()
    }

    #[test]
    fn bits_above_the_highest_valid_one_count_for_nothing() {
        let eadr_only = Capabilities { highest_valid: 0, capabilities: 0b111 };
        assert!(
            eadr_only.cpu_cache_flush()
                && !eadr_only.memory_controller_flush()
                && !eadr_only.memory_mirroring()
        );
        assert_eq!(text(0, 0b110), "capabilities: none");
        assert_eq!(text(1, 0b110), "capabilities: memory controller flush");
        assert_eq!(
            text(2, 0b111),
            "capabilities: cpu cache flush, memory controller flush, memory mirroring"
        );
        assert_eq!(text(31, 1 << 31), "capabilities: unknown 0x80000000");
        assert_eq!(text(255, 1 << 31 | 2), "capabilities: memory controller flush, unknown 0x80000000");
    }
}
