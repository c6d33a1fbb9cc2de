//! Looking at page tables: the way to one address, level by level, and the map of everything.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::entry::{Flags, LeafSize, PageTableEntry};
use crate::tables::{EntryWord, ROOT_LEVEL, TableMachine, TableTree, index};

/// One table that a walk came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkStep {
    /// 4 (PML4) down to 1 (page table).
    pub level: u32,
    /// The table's frame.
    pub table: u64,
    /// The index of the entry in the table.
    pub index: usize,
    /// The entry.
    pub entry: PageTableEntry,
}

/// The way to an address. [`fmt::Display`] prints one line for each level and one for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The address that was looked up.
    pub at: u64,
    /// The steps; the last one present is a leaf or an empty entry.
    pub steps: [Option<WalkStep>; 4],
}

impl Walk {
    /// Returns the leaf, if the address is mapped.
    pub fn leaf(&self) -> Option<(PageTableEntry, LeafSize)> {
        let last = self.steps.iter().flatten().last()?;
        let mapped = last.entry.is_present() && last.entry.is_leaf(last.level);
        mapped.then(|| (last.entry, LeafSize::of_level(last.level)))
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.steps.iter().flatten() {
            let name = ["PT", "PD", "PDPT", "PML4"][step.level as usize - 1];
            writeln!(f, "{name:<4} {:#012x} [{:3}]  {:?}", step.table, step.index, step.entry)?;
        }
        match self.leaf() {
            Some((entry, size)) => {
                let within = size.bytes() - 1;
                let to = (entry.address() & !within) + (self.at & within);
                write!(f, "{:#x} -> {to:#x} ({size}, {})", self.at, entry.flags())
            }
            None => write!(f, "{:#x}: not mapped", self.at),
        }
    }
}

/// Neighbouring leaves of one size with the same rights and consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// First address.
    pub start: u64,
    /// Physical address of the first frame.
    pub frame: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// The leaves' size.
    pub size: LeafSize,
    /// The leaves' flags, without accessed and dirty.
    pub flags: Flags,
}

impl fmt::Display for MappedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.start + (self.bytes - 1);
        let pages = self.bytes / self.size.bytes();
        let flags = self.flags.without(Flags::LARGE);
        write!(
            f,
            "{:#018x}-{last:#018x} -> {:#012x} {pages:>8} x {} {flags}",
            self.start, self.frame, self.size
        )
    }
}

impl<M: TableMachine> TableTree<M> {
    /// Walks to `at`, noting every step.
    pub fn walk(&self, at: u64) -> Walk {
        let mut walk = Walk { at, steps: [None; 4] };
        let mut table = self.root();
        for (i, level) in (1..=ROOT_LEVEL).rev().enumerate() {
            let index = index(at, level);
            let entry = PageTableEntry(self.machine.table(table)[index].load(Ordering::Acquire));
            walk.steps[i] = Some(WalkStep { level, table, index, entry });
            if !entry.is_present() || entry.is_leaf(level) {
                break;
            }
            table = entry.address();
        }
        walk
    }

    /// Calls `show` with every region from `first` to `last` (both included), in order of address.
    pub fn regions(&self, first: u64, last: u64, show: &mut dyn FnMut(MappedRange)) {
        let mut current = None;
        self.regions_of(self.root(), ROOT_LEVEL, 0, (first, last), &mut current, show);
        if let Some(region) = current {
            show(region);
        }
    }

    fn regions_of(
        &self,
        table: u64,
        level: u32,
        base: u64,
        range: (u64, u64),
        current: &mut Option<MappedRange>,
        show: &mut dyn FnMut(MappedRange),
    ) {
        let shift = 12 + 9 * (level - 1);
        for (i, slot) in self.machine.table(table).iter().enumerate() {
            let entry = PageTableEntry(slot.load(Ordering::Acquire));
            let start = base | (i as u64) << shift;
            let start = ((start << 16) as i64 >> 16) as u64;
            let outside = start > range.1 || start + ((1u64 << shift) - 1) < range.0;
            if !entry.is_present() || outside {
                continue;
            }
            if !entry.is_leaf(level) {
                self.regions_of(entry.address(), level - 1, start, range, current, show);
                continue;
            }
            let size = LeafSize::of_level(level);
            let flags = entry.flags().without(Flags::ACCESSED | Flags::DIRTY);
            let next = MappedRange { start, frame: entry.address(), bytes: size.bytes(), size, flags };
            match current {
                Some(region)
                    if region.start.wrapping_add(region.bytes) == start
                        && region.frame + region.bytes == next.frame
                        && (region.size, region.flags) == (size, flags) =>
                {
                    region.bytes += next.bytes;
                }
                _ => {
                    if let Some(region) = current.replace(next) {
                        show(region);
                    }
                }
            }
        }
    }
}
