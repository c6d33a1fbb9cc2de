//! Why 2 MiB could not be mapped as one: each reason has its counter.

use crate::stats::{Counter, Stats};
use core::fmt;

/// The reason for going on with a page of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Address and file offset differ modulo 2 MiB.
    Alignment,
    /// The 2 MiB reach beyond the area.
    Area,
    /// A store to a private area copies 4 KiB.
    Private,
    /// The 2 MiB reach beyond the end of the file.
    End,
    /// Pages of 4 KiB are mapped there.
    Small,
    /// The blocks do not lie in one aligned piece.
    Pieces,
    /// No aligned run is free.
    Space,
    /// There is no large zero page, or no memory for a table.
    Memory,
    /// A memory error lies in the 2 MiB.
    Poison,
}

impl Fallback {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Alignment,
        Self::Area,
        Self::Private,
        Self::End,
        Self::Small,
        Self::Pieces,
        Self::Space,
        Self::Memory,
        Self::Poison,
    ];

    /// Returns the counter in which the reason is counted.
    pub const fn counter(self, stats: &Stats) -> &Counter {
        match self {
            Self::Alignment => &stats.pmd_fallback_alignment,
            Self::Area => &stats.pmd_fallback_area,
            Self::Private => &stats.pmd_fallback_private,
            Self::End => &stats.pmd_fallback_end,
            Self::Small => &stats.pmd_fallback_small,
            Self::Pieces => &stats.pmd_fallback_pieces,
            Self::Space => &stats.pmd_fallback_space,
            Self::Memory => &stats.pmd_fallback_memory,
            Self::Poison => &stats.pmd_fallback_poison,
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Alignment => "alignment",
            Self::Area => "area",
            Self::Private => "private",
            Self::End => "end",
            Self::Small => "small",
            Self::Pieces => "pieces",
            Self::Space => "space",
            Self::Memory => "memory",
            Self::Poison => "poison",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_the_number_that_a_step_carries() {
        for (number, &reason) in Fallback::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason}");
        }
    }
}
