//! From the boot loader's page tables, stack and boot information to our own.
//!
//! The boot loader is asked to show physical memory where our direct map will be ([`layout::DIRECT_MAP`]), so
//! addresses of RAM stay good across the switch. Nothing else of it is used after [`init`] and [`reclaim`]:
//!
//! 1. the memory map is copied;
//! 2. the frame allocator starts with what is usable;
//! 3. our tables are built: image, direct map of RAM, root entries of the other regions;
//! 4. CR3 is loaded, and `main` goes on with a stack of our own;
//! 5. the boot loader's memory is taken into management, but the frames the image lies in.
//!
//! Regions that firmware reserves are not mapped here (with an AMD CPU model, SeaBIOS reports one just below
//! 1 TiB); ACPI tables and NVDIMMs are mapped when they are found.

use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use paging::{Flags, Half, LeafSize, MapError, PageTableEntry, TableTree};
use spin::Once;

use super::frames;
use super::layout::{self, direct};
use super::paging::{self as kernel_paging, KernelTableMachine};

/// What a range of physical addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// RAM, free from the start.
    Usable,
    /// RAM the boot loader used, with our image in it.
    Boot,
    /// Whatever firmware keeps: ACPI tables, its own memory, devices. The number is E820's or UEFI's.
    Reserved(u32),
}

/// A range of physical addresses, as the boot loader reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First address.
    pub start: u64,
    /// First address beyond.
    pub end: u64,
    /// What the range is.
    pub kind: MemoryKind,
}

/// More ranges than this are cut off; firmware reports a few dozen.
const MOST: usize = 256;

/// The memory map, sorted by address.
#[derive(Debug)]
pub struct MemoryMap {
    ranges: [MemoryRange; MOST],
    len: usize,
    /// Ranges that did not fit.
    pub lost: usize,
}

static MAP: Once<MemoryMap> = Once::new();

impl MemoryMap {
    fn copy(boot: &BootInfo) -> Self {
        let empty = MemoryRange { start: 0, end: 0, kind: MemoryKind::Reserved(0) };
        let mut map = Self { ranges: [empty; MOST], len: 0, lost: 0 };
        for region in boot.memory_regions.iter().filter(|region| region.start < region.end) {
            let kind = match region.kind {
                MemoryRegionKind::Usable => MemoryKind::Usable,
                MemoryRegionKind::Bootloader => MemoryKind::Boot,
                MemoryRegionKind::UnknownBios(kind) | MemoryRegionKind::UnknownUefi(kind) => {
                    MemoryKind::Reserved(kind)
                }
                _ => MemoryKind::Reserved(u32::MAX),
            };
            if map.len == MOST {
                map.lost += 1;
                continue;
            }
            map.ranges[map.len] = MemoryRange { start: region.start, end: region.end, kind };
            map.len += 1;
        }
        map.ranges[..map.len].sort_unstable_by_key(|range| range.start);
        map
    }

    /// Returns the ranges, in order.
    pub fn ranges(&self) -> &[MemoryRange] {
        &self.ranges[..self.len]
    }

    /// Calls `each` with every stretch of RAM; neighbours are joined.
    fn each_ram(&self, each: &mut dyn FnMut(u64, u64)) {
        let mut current = None;
        for range in self.ranges().iter().filter(|range| !matches!(range.kind, MemoryKind::Reserved(_))) {
            current = match current {
                Some((start, end)) if range.start <= end => Some((start, range.end.max(end))),
                other => {
                    if let Some((start, end)) = other {
                        each(start, end);
                    }
                    Some((range.start, range.end))
                }
            };
        }
        if let Some((start, end)) = current {
            each(start, end);
        }
    }

    /// Returns whether the range is RAM or something firmware told about: reading it is harmless.
    pub fn covers(&self, start: u64, bytes: u64) -> bool {
        let Some(end) = start.checked_add(bytes) else { return false };
        let mut at = start;
        for range in self.ranges() {
            if range.start <= at && at < range.end {
                at = range.end;
            }
        }
        at >= end
    }
}

/// Returns the memory map.
pub fn memory_map() -> &'static [MemoryRange] {
    MAP.get().map_or(&[], MemoryMap::ranges)
}

/// Returns whether firmware's memory map tells of all of this range.
pub fn covers(start: u64, bytes: u64) -> bool {
    MAP.get().is_some_and(|map| map.covers(start, bytes))
}

/// Returns whether all of this range is RAM by firmware's memory map.
pub fn is_ram(start: u64, bytes: u64) -> bool {
    let mut all = false;
    if let Some(map) = MAP.get() {
        map.each_ram(&mut |from, to| all |= from <= start && start + bytes <= to);
    }
    all
}

/// Returns whether any of this range is RAM by firmware's memory map.
pub fn overlaps_ram(start: u64, bytes: u64) -> bool {
    let end = start.saturating_add(bytes);
    let ram = memory_map().iter().filter(|range| !matches!(range.kind, MemoryKind::Reserved(_)));
    ram.into_iter().any(|range| range.start < end && start < range.end)
}

// The linker's names for the image's first byte and the first beyond.
unsafe extern "C" {
    static __executable_start: u8;
    static _end: u8;
}

/// Returns the addresses of the image's first and last page, and of its end.
pub fn image() -> (u64, u64) {
    let (start, end) = (&raw const __executable_start as u64, &raw const _end as u64);
    (start & !4095, end.next_multiple_of(4096))
}

/// Does steps 1 to 3: everything up to the switch.
///
/// # Panics
/// If there is not enough memory to start with: nothing could be done without.
pub fn init(boot: &BootInfo) {
    // 1. Copy the map.
    let map = MAP.call_once(|| MemoryMap::copy(boot));
    assert_eq!(
        boot.physical_memory_offset.into_option(),
        Some(layout::DIRECT_MAP),
        "the boot loader did not map physical memory where it was told"
    );
    // 2. Frames.
    let usable = |each: frames::EachRange<'_>| {
        for range in map.ranges().iter().filter(|range| range.kind == MemoryKind::Usable) {
            each(range.start, range.end);
        }
    };
    let mut top = 0;
    map.each_ram(&mut |_, end| top = top.max(end));
    assert!(frames::init(&usable, top), "no usable memory: give the machine more");
    // 3. Tables.
    match build(map) {
        Ok(tables) => kernel_paging::set_kernel(tables),
        Err(error) => panic!("building the kernel's page tables: {error}"),
    };
}

fn build(map: &MemoryMap) -> Result<TableTree<KernelTableMachine>, MapError> {
    let tables = TableTree::new(Half::Upper, KernelTableMachine::Kernel)?;
    let largest = kernel_paging::largest();
    // Image: page by page, with the rights the boot loader took from the ELF segments.
    let boot_tables = BootTables(kernel_paging::active_root());
    let (start, end) = image();
    for at in (start..end).step_by(4096) {
        let Some((frame, flags)) = boot_tables.leaf(at) else { continue };
        tables.map(at, frame, LeafSize::Small, flags)?;
    }
    // Direct map of RAM.
    let mut result = Ok(());
    map.each_ram(&mut |start, end| {
        let (start, end) = (start.next_multiple_of(4096), end & !4095);
        if result.is_ok() && start < end {
            result = tables.map_range(direct(start), start, end - start, Flags::KERNEL_DATA, largest);
        }
    });
    result?;
    for slot in [layout::HEAP, layout::STACKS, layout::DEVICES] {
        tables.reserve_slots(slot, layout::SLOT_BYTES)?;
    }
    Ok(tables)
}

/// The boot loader's tables, read by way of its mapping of physical memory.
struct BootTables(u64);

impl BootTables {
    /// Returns the frame and rights of the page at `at`.
    fn leaf(&self, at: u64) -> Option<(u64, Flags)> {
        let mut table = self.0;
        for level in (1..=4).rev() {
            let shift = 12 + 9 * (level - 1);
            let index = at >> shift & 511;
            // SAFETY: physical memory is mapped at `DIRECT_MAP`, and CR3 and present entries point to tables.
            let entry = PageTableEntry(unsafe { *(direct(table + index * 8) as *const u64) });
            if !entry.is_present() {
                return None;
            }
            if entry.is_leaf(level) {
                let within = (1u64 << shift) - 1;
                let frame = (entry.address() & !within) + (at & within & !4095);
                let mut flags = Flags::PRESENT | Flags::GLOBAL;
                for right in [Flags::WRITE, Flags::NO_EXECUTE] {
                    if entry.flags().contains(right) {
                        flags = flags | right;
                    }
                }
                return Some((frame, flags));
            }
            table = entry.address();
        }
        None
    }
}

/// Does step 5: frees the boot loader's memory. Returns the frames gained.
pub fn reclaim() -> u64 {
    let before = frames::counts().total;
    let (start, end) = image();
    for at in (start..end).step_by(4096) {
        if let Some(frame) = kernel_paging::kernel().translate(at) {
            frames::pin(frame);
        }
    }
    for range in memory_map().iter().filter(|range| range.kind == MemoryKind::Boot) {
        frames::reclaim(range.start, range.end);
    }
    frames::counts().total - before
}
