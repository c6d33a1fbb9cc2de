//! Persistent memory: the NFIT's regions, mapped, as [`fs::pmem::Pmem`].
//!
//! | module | what |
//! |---|---|
//! | [`flush`] | write-back, non-temporal stores, zeroing, fences |
//! | [`poison`] | what has lost its content |
//! | [`region`] | one region: bounded access, counted |
//!
//! A region that Linux uses in fsdax mode says so in a block of its own ([`NamespaceLayout`]): its data
//! begins behind that.
//!
//! [`init`] finds and maps; whatever goes wrong is kept as text for the `nfit` command, and costs only the
//! regions it is about.

pub mod flush;
pub mod poison;
pub mod region;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fs::pmem::Pmem;
use nfit::{Nfit, PfnError, PfnInfo, StateFlags};
use spin::Once;

use crate::klog;
use crate::mm::boot;
use crate::mm::paging::{self, Flags};
pub use region::MappedRegion;

/// What was found at start.
pub struct PmemInventory {
    /// The table's bytes, or why there is none.
    pub table: Result<Vec<u8>, crate::acpi::Error>,
    /// The regions that could be mapped, in the table's order.
    pub regions: Vec<MappedRegion>,
    /// What Linux's information block says of each region.
    pub layouts: Vec<NamespaceLayout>,
    /// What went wrong, a line each.
    pub problems: Vec<String>,
    /// Caches reach persistence on power loss, by the platform capabilities: flushing is not needed.
    pub persistent_caches: bool,
}

/// Where the data of a region is.
pub enum NamespaceLayout {
    /// Everywhere: there is no information block.
    Raw,
    /// Everywhere, for the block is damaged.
    Damaged(PfnError),
    /// Behind the block: the namespace is in fsdax mode.
    Fsdax(PfnInfo, MappedRegion),
    /// Nowhere that a file system could be: the namespace is in device-dax mode.
    Devdax(PfnError),
}

impl NamespaceLayout {
    fn of(region: &MappedRegion) -> Self {
        let mut block = alloc::boxed::Box::new([0; nfit::PFN_BYTES]);
        if region.len() < nfit::PFN_OFFSET + nfit::PFN_BYTES as u64 {
            return Self::Raw;
        }
        region.read(nfit::PFN_OFFSET, &mut *block);
        match PfnInfo::parse(&block, region.base(), region.len()) {
            Ok(None) => Self::Raw,
            Ok(Some(info)) => Self::Fsdax(info, region.part(info.data_offset, info.data_len)),
            Err(error @ PfnError::DeviceDax) => Self::Devdax(error),
            Err(error) => Self::Damaged(error),
        }
    }
}

/// Returns the part of a region where a file system is, if the region is there.
///
/// # Errors
/// There is none in device-dax mode.
pub fn data(index: usize) -> Option<Result<&'static MappedRegion, PfnError>> {
    let found = FOUND.get()?;
    Some(match found.layouts.get(index)? {
        NamespaceLayout::Raw | NamespaceLayout::Damaged(_) => Ok(found.regions.get(index)?),
        NamespaceLayout::Fsdax(_, data) => Ok(data),
        NamespaceLayout::Devdax(error) => Err(*error),
    })
}

static FOUND: Once<PmemInventory> = Once::new();
/// Returns what [`init`] found; `None` before that.
pub fn found() -> Option<&'static PmemInventory> {
    FOUND.get()
}

/// Returns the regions, to be mounted as `pmem0`, `pmem1`, ….
pub fn regions() -> &'static [MappedRegion] {
    FOUND.get().map_or(&[], |found| &found.regions)
}

/// Returns which region a physical address lies in, and where.
pub fn place_of(physical: u64) -> Option<(usize, u64)> {
    let offset = |region: &MappedRegion| physical.checked_sub(region.base()).filter(|at| *at < region.len());
    regions().iter().enumerate().find_map(|(number, region)| Some((number, offset(region)?)))
}

/// Returns where a physical address lies in a region: its offset from the region's start.
pub fn offset_of(physical: u64) -> Option<u64> {
    place_of(physical).map(|(_, offset)| offset)
}

/// Reads the NFIT and maps its regions write-back, read-only where a DIMM is not armed.
pub fn init() -> &'static PmemInventory {
    FOUND.call_once(|| {
        let mut found = PmemInventory {
            table: Err(crate::acpi::Error::NoTable("NFIT")),
            regions: Vec::new(),
            layouts: Vec::new(),
            problems: Vec::new(),
            persistent_caches: false,
        };
        found.table = table(&mut found.problems);
        let result = match &found.table {
            Ok(bytes) => read(bytes, &mut found.problems),
            Err(error) => Err(error.to_string()),
        };
        match result {
            Ok((regions, persistent_caches)) => {
                found.regions = regions;
                found.persistent_caches = persistent_caches;
            }
            Err(problem) => found.problems.push(problem),
        }
        flush::init(found.persistent_caches);
        found.layouts = found.regions.iter().map(NamespaceLayout::of).collect();
        for (number, layout) in found.layouts.iter().enumerate() {
            match layout {
                NamespaceLayout::Raw => {}
                NamespaceLayout::Fsdax(info, _) => klog!(Info, "pmem{number}: {info}"),
                NamespaceLayout::Damaged(error) => {
                    klog!(Warn, "pmem{number}: {error}; it is taken for a region without one");
                }
                NamespaceLayout::Devdax(error) => klog!(Warn, "pmem{number}: {error}"),
            }
        }
        found
    })
}

/// The NFIT. Firmware may have one; if there are more, the first that is sound counts.
fn table(problems: &mut Vec<String>) -> Result<Vec<u8>, crate::acpi::Error> {
    let mut tables: Vec<_> = crate::acpi::tables("NFIT")?.collect();
    let sound = |table: &Result<Vec<u8>, _>| table.as_ref().is_ok_and(|bytes| Nfit::parse(bytes).is_ok());
    let chosen = tables.iter().position(sound).unwrap_or(0);
    if tables.len() > 1 {
        problems.push(alloc::format!("{} NFIT tables: only number {} is used", tables.len(), chosen + 1));
    }
    if tables.is_empty() { Err(crate::acpi::Error::NoTable("NFIT")) } else { tables.swap_remove(chosen) }
}

/// Of one table, at most this many problems are told; the rest are counted.
const MOST_PROBLEMS: usize = 16;

/// Regions, and whether caches are persistent.
fn read(bytes: &[u8], problems: &mut Vec<String>) -> Result<(Vec<MappedRegion>, bool), String> {
    let nfit = Nfit::parse(bytes).map_err(|error| error.to_string())?;
    let contents = nfit.contents().map_err(|error| error.to_string())?;
    problems.extend(contents.problems.iter().take(MOST_PROBLEMS).map(ToString::to_string));
    if let Some(more @ 1..) = contents.problems.len().checked_sub(MOST_PROBLEMS) {
        problems.push(alloc::format!("the NFIT has {more} more problems"));
    }
    let mut persistent_caches = false;
    if let Some(promise) = contents.capabilities {
        persistent_caches = promise.cpu_cache_flush();
        if !persistent_caches && !promise.memory_controller_flush() {
            problems.push("the platform promises no flush at power loss: what is fenced may be lost".into());
        }
    }
    let mut regions = Vec::new();
    for found in contents.regions {
        let index = found.spa_index;
        if let Some(why) = unusable(&found) {
            problems.push(alloc::format!("region {index}: not used: {why}"));
            continue;
        }
        let damage = StateFlags::SAVE_FAILED
            .union(StateFlags::RESTORE_FAILED)
            .union(StateFlags::FLUSH_FAILED)
            .union(StateFlags::MAP_FAILED);
        let damaged = found.state.0 & damage.0 != 0;
        if damaged {
            problems.push(alloc::format!("region {index}: may have lost data ({}): read only", found.state));
        }
        let writable = found.armed && !damaged;
        let rights = if writable { Flags::KERNEL_DATA } else { Flags::KERNEL_READ };
        // Every root entry must be there before the first task's tables copy them.
        let mapped = paging::reserve_direct(found.base, found.length)
            .and_then(|()| paging::map_direct(found.base, found.length, rights));
        match mapped {
            Ok(at) => {
                klog!(Info, "pmem{}: {found}", regions.len());
                // SAFETY: the NFIT says that the range is persistent memory, no two regions and nothing else
                // in the table overlap it, and it is mapped for good; RAM that the kernel manages is not in
                // it, as checked above.
                regions.push(unsafe { MappedRegion::new(found.base, found.length, at, writable) });
            }
            Err(error) => problems.push(alloc::format!("region {index}: not used: {error}")),
        }
    }
    Ok((regions, persistent_caches))
}

/// Why a region that the table describes soundly can't be used.
fn unusable(region: &nfit::Region<'_>) -> Option<&'static str> {
    // I/O and local APIC registers, in the place where every PC has them.
    const DEVICES: core::ops::Range<u64> = 0xfec0_0000..0xfef0_0000;
    if boot::overlaps_ram(region.base, region.length) {
        Some("the memory map says its addresses are RAM")
    } else if region.base < 1 << 20 || (region.base < DEVICES.end && region.end() > DEVICES.start) {
        Some("devices are at its addresses")
    } else if !region.virtual_disks.is_empty() {
        Some("firmware keeps a virtual disk in it")
    } else {
        None
    }
}
