//! SPA range structure (type 0): a range of system physical addresses, and what it is.
//!
//! Reference: ACPI 6.5, section 5.2.25.2.

use core::fmt;

use crate::attribute::MemoryAttribute;
use crate::guid::{Guid, RangeType};
use crate::read::{Needs, array_at, at_least, u16_at, u32_at, u64_at};
use crate::text::ByteRange;

/// System Physical Address (SPA) Range Structure, as found: base and length are not checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaRange {
    /// SPA Range Structure Index: how region mappings refer to this range. 0 refers to none
    /// (virtual disks have it).
    pub index: u16,
    /// Flags as found; see [`SpaRange::hot_add_only`]. What bits 1 and 2 say is in the two
    /// `Option`s below.
    pub flags: u16,
    /// Proximity Domain (of the SRAT), if flag bit 1 says that the domain is valid.
    pub proximity_domain: Option<u32>,
    /// Address Range Type GUID, decoded.
    pub range_type: RangeType,
    /// System Physical Address Range Base: first byte's physical address.
    pub base: u64,
    /// System Physical Address Range Length, in bytes.
    pub length: u64,
    /// Address Range Memory Mapping Attribute.
    pub attribute: MemoryAttribute,
    /// SPALocationCookie, for the platform's own use, if flag bit 2 says that the cookie is valid.
    pub location_cookie: Option<u64>,
}

impl SpaRange {
    const HOT_ADD_ONLY: u16 = 1 << 0;
    const PROXIMITY_DOMAIN_VALID: u16 = 1 << 1;
    const LOCATION_COOKIE_VALID: u16 = 1 << 2;

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Needs> {
        at_least(bytes, 56)?;
        let flags = u16_at(bytes, 6)?;
        let proximity_domain = u32_at(bytes, 12)?;
        // The cookie came with ACPI 6.4; older structures (QEMU's) end before it.
        let location_cookie = match flags & Self::LOCATION_COOKIE_VALID {
            0 => None,
            _ => Some(u64_at(bytes, 56)?),
        };
        Ok(Self {
            index: u16_at(bytes, 4)?,
            flags,
            proximity_domain: (flags & Self::PROXIMITY_DOMAIN_VALID != 0).then_some(proximity_domain),
            range_type: RangeType::from_guid(Guid(array_at(bytes, 16)?)),
            base: u64_at(bytes, 32)?,
            length: u64_at(bytes, 40)?,
            attribute: MemoryAttribute(u64_at(bytes, 48)?),
            location_cookie,
        })
    }

    /// Returns flag bit 0: the control region is only for managing hot add and online operations.
    pub fn hot_add_only(&self) -> bool {
        self.flags & Self::HOT_ADD_ONLY != 0
    }

    /// Returns the address after the last byte, `None` if that is beyond 64 bits.
    pub fn end(&self) -> Option<u64> {
        self.base.checked_add(self.length)
    }
}

impl fmt::Display for SpaRange {
    /// Writes `spa 1: persistent memory 0x140000000..0x180000000 (1 GiB) proximity 0 attribute WB|NV`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spa {}: {} {} ", self.index, self.range_type, ByteRange(self.base, self.length))?;
        match self.proximity_domain {
            Some(domain) => write!(f, "proximity {domain}")?,
            None => f.write_str("proximity unknown")?,
        }
        write!(f, " attribute {}", self.attribute)?;
        if self.hot_add_only() {
            f.write_str(" hot-add-only")?;
        }
        match self.location_cookie {
            Some(cookie) => write!(f, " cookie {cookie:#x}"),
            None => Ok(()),
        }
    }
}
