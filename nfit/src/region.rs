//! The joined view: a region of persistent memory with the DIMMs behind it. `resolve.rs` makes it.

use alloc::vec::Vec;
use core::fmt;

use crate::attribute::MemoryAttribute;
use crate::caps::Capabilities;
use crate::control::ControlRegion;
use crate::error::Error;
use crate::lists::{FlushHints, Interleave};
use crate::mapping::{RegionMapping, StateFlags};
use crate::spa::SpaRange;
use crate::text::ByteRange;

/// What a table says, as far as it makes sense. Made by [`crate::Nfit::contents`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents<'a> {
    /// The persistent memory of this machine: each SPA range of that type with its DIMMs, in order
    /// of address.
    pub regions: Vec<Region<'a>>,
    /// What the platform flushes by itself when power fails; `None` if the table does not say, or
    /// says it twice: believing the wrong one would lose data.
    pub capabilities: Option<Capabilities>,
    /// What is wrong with the table, each with what it costs: see [`Error`]. Empty for a good table.
    pub problems: Vec<Error>,
}

/// A range of byte-addressable persistent memory, as [`crate::Nfit::contents`] vouches for it: not
/// empty, page-aligned, within 64-bit addresses, overlapping no other range but the virtual disks
/// it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region<'a> {
    /// SPA Range Structure Index; not 0, and no other region has it.
    pub spa_index: u16,
    /// First byte's system physical address; a multiple of [`crate::PAGE_BYTES`].
    pub base: u64,
    /// Length in bytes; a multiple of [`crate::PAGE_BYTES`], not 0.
    pub length: u64,
    /// Proximity domain (of the SRAT), if known.
    pub proximity_domain: Option<u32>,
    /// How the region can be mapped.
    pub attribute: MemoryAttribute,
    /// False if any DIMM says that it is not armed: writes would be lost with the power, so the region is to
    /// be used read-only. False, too, if no DIMM was found and a structure of the table could not be read:
    /// that structure may have been the one that says so.
    pub armed: bool,
    /// The state flags of all DIMMs together. A failed save, restore, flush or map means that
    /// content may be damaged.
    pub state: StateFlags,
    /// The DIMMs behind the region, in table order. Empty if the table maps none: the range itself is still
    /// usable.
    pub dimms: Vec<Dimm<'a>>,
    /// RAM disks that firmware has put inside this region. Such disks are not the kernel's to use (ACPI 6.5,
    /// 5.2.25.2).
    pub virtual_disks: Vec<SpaRange>,
}

impl<'a> Region<'a> {
    pub(crate) fn new(spa: &SpaRange) -> Self {
        Self {
            spa_index: spa.index,
            base: spa.base,
            length: spa.length,
            proximity_domain: spa.proximity_domain,
            attribute: spa.attribute,
            armed: true,
            state: StateFlags::default(),
            dimms: Vec::new(),
            virtual_disks: Vec::new(),
        }
    }

    /// Takes note of a DIMM's state; the caller adds the DIMM itself.
    pub(crate) fn note_state(&mut self, state: StateFlags) {
        self.state = self.state.union(state);
        self.armed = !self.state.contains(StateFlags::NOT_ARMED);
    }

    /// Returns the address after the last byte.
    pub fn end(&self) -> u64 {
        // Does not saturate for a region as `regions` makes them; the fields are public.
        self.base.saturating_add(self.length)
    }

    /// Returns every flush hint address of the DIMMs behind this region, with repetitions if DIMMs share
    /// them. To make writes durable on a platform without ADR, write to at least one of each DIMM's.
    pub fn flush_hint_addresses(&self) -> impl Iterator<Item = u64> + '_ {
        self.dimms.iter().filter_map(|dimm| dimm.flush_hints).flat_map(|hints| hints.addresses())
    }
}

impl fmt::Display for Region<'_> {
    /// Writes `region 2: 0x100000000..0x104000000 (64 MiB) proximity 0 attribute WB|NV armed state none
    /// dimms 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "region {}: {} ", self.spa_index, ByteRange(self.base, self.length))?;
        match self.proximity_domain {
            Some(domain) => write!(f, "proximity {domain}")?,
            None => f.write_str("proximity unknown")?,
        }
        let armed = if self.armed { "armed" } else { "read-only" };
        write!(f, " attribute {} {armed} state {} dimms {}", self.attribute, self.state, self.dimms.len())?;
        match self.virtual_disks.len() {
            0 => Ok(()),
            count => write!(f, " virtual disks {count}"),
        }
    }
}

/// One DIMM's share in a region: its mapping, and what the mapping refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimm<'a> {
    /// The region mapping.
    pub mapping: RegionMapping,
    /// The mapping's control region, if it refers to one.
    pub control_region: Option<ControlRegion>,
    /// The mapping's interleave structure, if it refers to one.
    pub interleave: Option<Interleave<'a>>,
    /// The DIMM's flush hints, if it has any: of several structures, the first one's.
    pub flush_hints: Option<FlushHints<'a>>,
}

impl fmt::Display for Dimm<'_> {
    /// Writes `dimm: handle 0x1 (dimm 1 ...) spa 2 vendor 0x8086 serial 0x123456 flush hints 0 state none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RegionMapping { device_handle, spa_index, state, .. } = self.mapping;
        write!(f, "dimm: handle {device_handle} spa {spa_index} ")?;
        if let Some(control) = &self.control_region {
            write!(f, "vendor {:#x} serial {:#x} ", control.vendor_id, control.serial_number)?;
        }
        let hints = self.flush_hints.map_or(0, |hints| hints.addresses().len());
        write!(f, "flush hints {hints} state {state}")
    }
}
