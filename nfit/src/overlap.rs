//! What ranges must be to be mapped: whole pages, and no two meanings for one address.
//!
//! Overlaps are found in one sweep over the ranges in order of address. Only those in which
//! persistent memory takes part are judged; firmware's RAM disks lie inside persistent memory by
//! the specification ("OSPM has to exclude" them), so they are given to the region that holds them.
//!
//! Reference: ACPI 6.5, section 5.2.25.2.

use crate::PAGE_BYTES;
use crate::error::{Error, Place};
use crate::guid::RangeType;
use crate::region::Region;
use crate::resolve::{Placed, push};
use crate::spa::SpaRange;

pub(crate) fn is_persistent(spa: &SpaRange) -> bool {
    spa.range_type == RangeType::PersistentMemory
}

/// Refuses a persistent range that could not be mapped page by page.
pub(crate) fn check_range(at: Place, spa: &SpaRange) -> Result<(), Error> {
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

/// One sweep over the ranges by ascending base: refuses overlaps in which persistent memory takes
/// part. Virtual disks inside persistent memory are left to `place_virtual_disks`.
pub(crate) fn check_overlaps(by_base: &[Placed<SpaRange>]) -> Result<(), Error> {
    // Of the ranges so far, the one that reaches furthest: among persistent ones, and among others.
    let (mut persistent, mut others): (Option<Placed<SpaRange>>, Option<Placed<SpaRange>>) = (None, None);
    for (at, spa) in by_base {
        if spa.length == 0 || spa.range_type.is_inside_persistent_memory() {
            continue;
        }
        let rivals = [persistent, if is_persistent(spa) { others } else { None }];
        for (other, reaching) in rivals.into_iter().flatten() {
            if last_byte(&reaching) >= spa.base {
                return Err(overlap(*at, spa, other, &reaching));
            }
        }
        let furthest = if is_persistent(spa) { &mut persistent } else { &mut others };
        if furthest.is_none_or(|(_, reaching)| last_byte(&reaching) < last_byte(spa)) {
            *furthest = Some((*at, *spa));
        }
    }
    Ok(())
}

/// Address of the last byte of a range that is not empty; the last there is if the range overflows.
fn last_byte(spa: &SpaRange) -> u64 {
    spa.base.saturating_add(spa.length.saturating_sub(1))
}

fn overlap(at: Place, spa: &SpaRange, other: Place, other_spa: &SpaRange) -> Error {
    let SpaRange { index, base, length, .. } = *spa;
    Error::Overlap { at, index, base, length, other, other_index: other_spa.index }
}

/// Gives each RAM disk inside persistent memory to the region that holds it. The specification
/// wants them to lie in one; one that lies across a border leaves open what belongs to whom.
pub(crate) fn place_virtual_disks(
    regions: &mut [Region<'_>],
    by_base: &[Placed<SpaRange>],
) -> Result<(), Error> {
    for (at, disk) in by_base {
        if disk.length == 0 || !disk.range_type.is_inside_persistent_memory() {
            continue;
        }
        // Regions are sorted and disjoint: the first that ends after the disk's start is the first
        // it can touch.
        let position = regions.partition_point(|region| region.end() <= disk.base);
        let Some(region) = regions.get_mut(position) else {
            continue;
        };
        if last_byte(disk) < region.base {
            continue;
        }
        if disk.base < region.base || last_byte(disk) >= region.end() {
            let holder = by_base.iter().find(|(_, spa)| spa.index == region.spa_index);
            // It is there, for the region was made from it.
            let (other, spa) = holder.copied().unwrap_or((*at, *disk));
            return Err(overlap(*at, disk, other, &spa));
        }
        push(&mut region.virtual_disks, *disk)?;
    }
    Ok(())
}
