//! One page-table entry: its address, its flags, and the page sizes a leaf can have; and what a fault tells
//! of an access.
//!
//! Bit positions: Intel SDM volume 3A, "Formats of CR3 and Paging-Structure Entries with 4-Level Paging".

use core::fmt;
use core::ops::BitOr;

/// Bits 51..12 of an entry: a frame's physical address.
pub const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// The flag bits of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u64);

impl Flags {
    /// No bit at all.
    pub const NONE: Self = Self(0);
    /// P: the entry is used for translation.
    pub const PRESENT: Self = Self(1);
    /// R/W: stores are allowed (with CR0.WP, for ring 0 too).
    pub const WRITE: Self = Self(1 << 1);
    /// U/S: ring 3 may use it.
    pub const USER: Self = Self(1 << 2);
    /// PWT.
    pub const WRITE_THROUGH: Self = Self(1 << 3);
    /// PCD.
    pub const NO_CACHE: Self = Self(1 << 4);
    /// A: the CPU used the entry.
    pub const ACCESSED: Self = Self(1 << 5);
    /// D: the CPU stored through the entry.
    pub const DIRTY: Self = Self(1 << 6);
    /// PS: a leaf above the last level.
    pub const LARGE: Self = Self(1 << 7);
    /// G: survives a CR3 load.
    pub const GLOBAL: Self = Self(1 << 8);
    /// Bits 9 to 11 are free for software.
    pub const SOFT_0: Self = Self(1 << 9);
    /// The second bit for software.
    pub const SOFT_1: Self = Self(1 << 10);
    /// The third bit for software.
    pub const SOFT_2: Self = Self(1 << 11);
    /// XD: instruction fetches fault.
    pub const NO_EXECUTE: Self = Self(1 << 63);

    /// Kernel data that is only read.
    pub const KERNEL_READ: Self = Self(Self::PRESENT.0 | Self::GLOBAL.0 | Self::NO_EXECUTE.0);
    /// Kernel data.
    pub const KERNEL_DATA: Self = Self(Self::KERNEL_READ.0 | Self::WRITE.0);
    /// Kernel code.
    pub const KERNEL_CODE: Self = Self(Self::PRESENT.0 | Self::GLOBAL.0);
    /// Device registers: uncacheable.
    pub const KERNEL_DEVICE: Self = Self(Self::KERNEL_DATA.0 | Self::NO_CACHE.0 | Self::WRITE_THROUGH.0);

    /// Returns the raw bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether every bit of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns these bits without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns both sets of bits; `const`, unlike `|`.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// `rw-` style rights first, then the rest as words.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |flag, yes: &'static str| if self.contains(flag) { yes } else { "-" };
        let execute = if self.contains(Self::NO_EXECUTE) { "-" } else { "x" };
        f.write_str(letter(Self::PRESENT, "r"))?;
        f.write_str(letter(Self::WRITE, "w"))?;
        f.write_str(execute)?;
        let words = [
            (Self::USER, " user"),
            (Self::WRITE_THROUGH, " wt"),
            (Self::NO_CACHE, " uc"),
            (Self::LARGE, " large"),
            (Self::GLOBAL, " global"),
            (Self::ACCESSED, " accessed"),
            (Self::DIRTY, " dirty"),
            (Self::SOFT_0, " soft0"),
            (Self::SOFT_1, " soft1"),
            (Self::SOFT_2, " soft2"),
        ];
        words.iter().filter(|(flag, _)| self.contains(*flag)).try_for_each(|(_, word)| f.write_str(word))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

/// One entry of a table, as the CPU reads it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PageTableEntry(pub u64);

impl PageTableEntry {
    /// Nothing is mapped.
    pub const EMPTY: Self = Self(0);

    /// Returns an entry for `address` (bits outside the address field are dropped) with `flags`.
    pub const fn new(address: u64, flags: Flags) -> Self {
        Self((address & ADDRESS_MASK) | flags.0)
    }

    /// Returns the frame's physical address. Bit 12 of a large leaf is its PAT bit, which this crate never
    /// sets.
    pub const fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// Returns the flag bits.
    pub const fn flags(self) -> Flags {
        Flags(self.0 & !ADDRESS_MASK)
    }

    /// Returns whether the CPU translates through the entry.
    pub const fn is_present(self) -> bool {
        self.0 & Flags::PRESENT.0 != 0
    }

    /// Stores are allowed.
    pub const fn is_writable(self) -> bool {
        self.0 & Flags::WRITE.0 != 0
    }

    /// Returns whether the entry, found in a table of `level`, ends the walk.
    pub const fn is_leaf(self, level: u32) -> bool {
        level == 1 || self.0 & Flags::LARGE.0 != 0
    }
}

impl fmt::Debug for PageTableEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_present() {
            write!(f, "{:#x} {}", self.address(), self.flags())
        } else {
            write!(f, "empty ({:#x})", self.0)
        }
    }
}

/// What one leaf maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafSize {
    /// 4 KiB, a leaf of a page table.
    Small,
    /// 2 MiB, a leaf of a page directory (Linux: a PMD).
    Large,
    /// 1 GiB, a leaf of a page-directory-pointer table; not on every CPU.
    Giant,
}

impl LeafSize {
    /// Returns the size in bytes.
    pub const fn bytes(self) -> u64 {
        1 << (12 + 9 * (self.level() - 1))
    }

    /// Returns the level whose tables hold leaves of this size; 1 is the last.
    pub const fn level(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Large => 2,
            Self::Giant => 3,
        }
    }

    /// Returns the size of a leaf in a table of `level`.
    pub const fn of_level(level: u32) -> Self {
        match level {
            1 => Self::Small,
            2 => Self::Large,
            _ => Self::Giant,
        }
    }

    /// Returns whether `address` is a multiple of the size.
    pub const fn divides(self, address: u64) -> bool {
        address & (self.bytes() - 1) == 0
    }
}

impl fmt::Display for LeafSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Small => "4 KiB",
            Self::Large => "2 MiB",
            Self::Giant => "1 GiB",
        })
    }
}

/// A page fault's error code (Intel SDM volume 3A, "Page-Fault Exceptions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultCode(pub u64);

impl FaultCode {
    /// A load where nothing is mapped.
    pub const LOAD: Self = Self(0);
    /// A store where nothing is mapped.
    pub const STORE: Self = Self(2);

    /// Returns whether a present entry forbade the access; otherwise there was no entry.
    pub const fn is_protection(self) -> bool {
        self.0 & 1 != 0
    }

    /// Returns whether the access was a store.
    pub const fn is_write(self) -> bool {
        self.0 & 2 != 0
    }

    /// Returns whether the access was an instruction fetch.
    pub const fn is_fetch(self) -> bool {
        self.0 & 16 != 0
    }
}
