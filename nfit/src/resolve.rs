//! Joins structures into regions, and refuses those that do not fit together.
//!
//! Structures refer to each other by index, in any order:
//!
//! ```text
//!   SPA range <-- spa_index ---- region mapping -- control_region_index --> control region
//!                                      | |------- interleave_index -------> interleave
//!                                      '--------- device_handle ----------> flush hints
//! ```
//!
//! The table may be megabytes of mappings, so every look-up is a binary search in a sorted list and overlaps are found
//! in one sweep; nothing that a structure can refer to more than once is copied if its size is not fixed.
//!
//! **What is an error.** Everything that leaves open which memory is meant. What is not about persistent memory is not
//! judged, with two exceptions: indexes must be unique and a mapping's SPA range must exist, for else it could have
//! been meant to be ours. Index 0 refers to none (virtual disks have it as theirs).
//!
//! Reference: ACPI 6.5, sections 5.2.25.2 and 5.2.25.3.

use alloc::vec::Vec;

use crate::control::ControlRegion;
use crate::error::{Error, Place};
use crate::guid::RangeType;
use crate::lists::{FlushHints, Interleave};
use crate::mapping::{RegionMapping, StateFlags};
use crate::region::{Dimm, Region};
use crate::spa::SpaRange;
use crate::structure::Structure;
use crate::{Nfit, PAGE_BYTES};

/// Something of the table and where it lies.
type Placed<T> = (Place, T);

/// See [`Nfit::regions`].
pub(crate) fn regions<'a>(nfit: &Nfit<'a>) -> Result<Vec<Region<'a>>, Error> {
    // 1. Take the table apart; a malformed structure ends it here.
    let mut parts = Parts::collect(nfit)?;
    // 2. Each persistent range by itself.
    for (at, spa) in parts.ranges.iter().filter(|(_, spa)| is_persistent(spa)) {
        check_range(*at, spa)?;
    }
    // 3. Sort what is looked up by index. Afterwards an index has one meaning.
    sort_unique(&mut parts.ranges, |spa| spa.index)?;
    sort_unique(&mut parts.control_regions, |control| control.index)?;
    sort_unique(&mut parts.interleaves, |interleave| interleave.index)?;
    parts.flush_hints.sort_unstable_by_key(|(at, hints)| (hints.device_handle, at.ordinal));
    // 4. No two meanings for one address, either.
    let mut by_base = Vec::new();
    for range in &parts.ranges {
        push(&mut by_base, *range)?;
    }
    by_base.sort_unstable_by_key(|(at, spa)| (spa.base, at.ordinal));
    check_overlaps(&by_base)?;
    // 5. Regions by address, their virtual disks, their DIMMs.
    let mut regions = Vec::new();
    for (_, spa) in by_base.iter().filter(|(_, spa)| is_persistent(spa)) {
        push(&mut regions, Region::new(spa))?;
    }
    place_virtual_disks(&mut regions, &by_base, &parts)?;
    join(&mut regions, &parts)?;
    Ok(regions)
}

/// The structures that take part, by type. Mappings stay in table order.
#[derive(Default)]
struct Parts<'a> {
    ranges: Vec<Placed<SpaRange>>,
    mappings: Vec<Placed<RegionMapping>>,
    control_regions: Vec<Placed<ControlRegion>>,
    interleaves: Vec<Placed<Interleave<'a>>>,
    flush_hints: Vec<Placed<FlushHints<'a>>>,
}

impl<'a> Parts<'a> {
    fn collect(nfit: &Nfit<'a>) -> Result<Self, Error> {
        let mut parts = Self::default();
        let mut structures = nfit.structures();
        while let Some(next) = structures.next_placed() {
            match next? {
                (at, Structure::SpaRange(spa)) => push(&mut parts.ranges, (at, spa))?,
                (at, Structure::RegionMapping(mapping)) => push(&mut parts.mappings, (at, mapping))?,
                (at, Structure::ControlRegion(control)) => push(&mut parts.control_regions, (at, control))?,
                (at, Structure::Interleave(interleave)) => push(&mut parts.interleaves, (at, interleave))?,
                (at, Structure::FlushHints(hints)) => push(&mut parts.flush_hints, (at, hints))?,
                _ => {}
            }
        }
        Ok(parts)
    }

    /// The flush hints of a mapping's DIMM: the first structure that has them.
    fn flush_hints_of(&self, mapping: &RegionMapping) -> Option<FlushHints<'a>> {
        let handle = mapping.device_handle;
        let first = self.flush_hints.partition_point(|(_, hints)| hints.device_handle < handle);
        let (_, hints) = self.flush_hints.get(first)?;
        (hints.device_handle == handle).then_some(*hints)
    }
}

fn is_persistent(spa: &SpaRange) -> bool {
    spa.range_type == RangeType::PersistentMemory
}

/// Refuses a persistent range that could not be mapped page by page.
fn check_range(at: Place, spa: &SpaRange) -> Result<(), Error> {
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

/// Sorts by index and refuses an index that two have, other than 0.
fn sort_unique<T>(list: &mut [Placed<T>], index_of: fn(&T) -> u16) -> Result<(), Error> {
    list.sort_unstable_by_key(|(at, item)| (index_of(item), at.ordinal));
    for ((first, one), (at, two)) in list.iter().zip(list.iter().skip(1)) {
        let index = index_of(two);
        if index != 0 && index == index_of(one) {
            return Err(Error::DuplicateIndex { at: *at, first: *first, index });
        }
    }
    Ok(())
}

/// Finds an index in a list that `sort_unique` has sorted; 0 is never found.
fn find<'l, T>(list: &'l [Placed<T>], index: u16, index_of: fn(&T) -> u16) -> Option<&'l T> {
    let position = list.binary_search_by_key(&index, |(_, item)| index_of(item)).ok()?;
    list.get(position).filter(|_| index != 0).map(|(_, item)| item)
}

/// One sweep over the ranges by ascending base: refuses overlaps in which persistent memory takes part. Virtual disks
/// inside persistent memory are left to `place_virtual_disks`.
fn check_overlaps(by_base: &[Placed<SpaRange>]) -> Result<(), Error> {
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

/// Gives each RAM disk inside persistent memory to the region that holds it. The specification wants them to lie in
/// one; one that lies across a border leaves open what belongs to whom.
fn place_virtual_disks(
    regions: &mut [Region<'_>],
    by_base: &[Placed<SpaRange>],
    parts: &Parts<'_>,
) -> Result<(), Error> {
    for (at, disk) in by_base {
        if disk.length == 0 || !disk.range_type.is_inside_persistent_memory() {
            continue;
        }
        // Regions are sorted and disjoint: the first that ends after the disk's start is the first it can touch.
        let position = regions.partition_point(|region| region.end() <= disk.base);
        let Some(region) = regions.get_mut(position) else { continue };
        if last_byte(disk) < region.base {
            continue;
        }
        if disk.base < region.base || last_byte(disk) >= region.end() {
            let holder = parts.ranges.iter().find(|(_, spa)| spa.index == region.spa_index);
            let (other, spa) = holder.copied().unwrap_or((*at, *disk));
            return Err(overlap(*at, disk, other, &spa));
        }
        push(&mut region.virtual_disks, *disk)?;
    }
    Ok(())
}

/// Gives each region the DIMMs that are mapped into it.
fn join<'a>(regions: &mut [Region<'a>], parts: &Parts<'a>) -> Result<(), Error> {
    // Which region has an index; sorted by index.
    let mut by_index: Vec<(u16, usize)> = Vec::new();
    for (position, region) in regions.iter().enumerate() {
        push(&mut by_index, (region.spa_index, position))?;
    }
    by_index.sort_unstable();

    for (at, mapping) in &parts.mappings {
        let (at, spa_index) = (*at, mapping.spa_index);
        let found = by_index.binary_search_by_key(&spa_index, |(index, _)| *index).ok();
        let position = found.and_then(|found| by_index.get(found)).map(|(_, position)| *position);
        let Some(region) = position.and_then(|position| regions.get_mut(position)) else {
            // In another kind of range, or in none: then it must say so by index 0 or by a failed map.
            let in_none = spa_index == 0 || mapping.state.contains(StateFlags::MAP_FAILED);
            if !in_none && find(&parts.ranges, spa_index, |spa| spa.index).is_none() {
                return Err(Error::MissingSpaRange { at, index: spa_index });
            }
            continue;
        };
        let index = mapping.control_region_index;
        let control_region = find(&parts.control_regions, index, |control| control.index).copied();
        if index != 0 && control_region.is_none() {
            return Err(Error::MissingControlRegion { at, index, spa_index });
        }
        let index = mapping.interleave_index;
        let interleave = find(&parts.interleaves, index, |interleave| interleave.index).copied();
        if index != 0 && interleave.is_none() {
            return Err(Error::MissingInterleave { at, index, spa_index });
        }
        let flush_hints = parts.flush_hints_of(mapping);
        region.note_state(mapping.state);
        push(&mut region.dimms, Dimm { mapping: *mapping, control_region, interleave, flush_hints })?;
    }
    Ok(())
}

/// `Vec::push` that answers instead of ending the kernel when memory is short.
fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Error> {
    list.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    list.push(item);
    Ok(())
}
