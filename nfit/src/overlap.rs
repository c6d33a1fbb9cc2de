//! What ranges must be to be mapped: whole pages, and no two meanings for one address.
//!
//! Overlaps are found in one sweep over the ranges in order of address. Only those in which
//! persistent memory takes part are judged; firmware's RAM disks lie inside persistent memory by
//! the specification ("OSPM has to exclude" them), so they are given to the region that holds them.
//! A range that is empty or ends beyond 64-bit addresses is nowhere, and overlaps nothing.
//!
//! Reference: ACPI 6.5, section 5.2.25.2.

use alloc::vec::Vec;

use crate::PAGE_BYTES;
use crate::error::{Error, Location};
use crate::guid::RangeType;
use crate::region::Region;
use crate::resolve::{Located, push};
use crate::spa::SpaRange;

pub(crate) fn is_persistent(spa: &SpaRange) -> bool {
    spa.range_type == RangeType::PersistentMemory
}

/// Refuses a persistent range that could not be mapped page by page.
pub(crate) fn check_range(at: Location, spa: &SpaRange) -> Result<(), Error> {
    let SpaRange { index, base, length, .. } = *spa;
    if index == 0 {
        return Err(Error::ReservedIndex { at });
    }
    if length == 0 {
        return Err(Error::EmptyRange { at, index });
    }
    if spa.end().is_none() {
        return Err(Error::RangeOverflow { at, index, base, length });
    }
    if base % PAGE_BYTES != 0 || length % PAGE_BYTES != 0 {
        return Err(Error::UnalignedRange { at, index, base, length });
    }
    Ok(())
}

/// Returns, for each range, one that overlaps it, if there is one. The ranges are not empty, and in order of
/// base.
pub(crate) fn overlaps(by_base: &[Located<SpaRange>]) -> impl Iterator<Item = Option<&Located<SpaRange>>> {
    // Of the ranges so far, the one that reaches furthest.
    let mut furthest: Option<&Located<SpaRange>> = None;
    by_base.iter().enumerate().map(move |(position, range)| {
        let before = furthest.filter(|(_, reaching)| last_byte(reaching) >= range.1.base);
        let after = by_base.get(position + 1).filter(|(_, next)| next.base <= last_byte(&range.1));
        if furthest.is_none_or(|(_, reaching)| last_byte(reaching) < last_byte(&range.1)) {
            furthest = Some(range);
        }
        before.or(after)
    })
}

/// Address of the last byte of a range that is not empty; the last there is if the range overflows.
fn last_byte(spa: &SpaRange) -> u64 {
    spa.base.saturating_add(spa.length.saturating_sub(1))
}

pub(crate) fn overlap((at, spa): (Location, &SpaRange), (other, other_spa): &Located<SpaRange>) -> Error {
    let SpaRange { index, base, length, .. } = *spa;
    Error::Overlap { at, index, base, length, other: *other, other_index: other_spa.index }
}

/// Gives each RAM disk inside persistent memory to the region that holds it. The specification wants such
/// disks to lie in one region; a disk across a border leaves open what belongs to whom, so it costs the
/// regions it touches. Both lists are in order of base.
pub(crate) fn place_virtual_disks(
    regions: &mut Vec<Located<Region<'_>>>,
    disks: &[Located<SpaRange>],
    problems: &mut Vec<Error>,
) -> Result<(), Error> {
    let mut across = Vec::new();
    for disk in disks {
        let (start, last) = (disk.1.base, last_byte(&disk.1));
        // Regions are disjoint: the first that ends after the disk's start is the first it can touch.
        let position = regions.partition_point(|(_, region)| region.end() <= start);
        match regions.get_mut(position) {
            Some((_, region)) if region.base <= start && last < region.end() => {
                push(&mut region.virtual_disks, disk.1)?;
            }
            Some((_, region)) if region.base <= last => push(&mut across, disk)?,
            _ => {}
        }
    }
    let mut across = across.into_iter().peekable();
    // Of the disks that start before a region's end, the one that reaches furthest.
    let mut furthest: Option<&Located<SpaRange>> = None;
    let mut outcome = Ok(());
    regions.retain(|(at, region)| {
        while let Some(disk) = across.next_if(|(_, disk)| disk.base < region.end()) {
            if furthest.is_none_or(|(_, reaching)| last_byte(reaching) < last_byte(&disk.1)) {
                furthest = Some(disk);
            }
        }
        let Some(disk) = furthest.filter(|(_, reaching)| last_byte(reaching) >= region.base) else {
            return true;
        };
        let Region { spa_index: index, base, length, .. } = *region;
        let (other, other_index) = (disk.0, disk.1.index);
        let problem = Error::Overlap { at: *at, index, base, length, other, other_index };
        outcome = outcome.and_then(|()| push(problems, problem));
        false
    });
    outcome
}
