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
//! The table may be megabytes of mappings, so every look-up is a binary search in a sorted list and
//! overlaps are found in one sweep; nothing that a structure can refer to more than once is copied
//! if its size is not fixed.
//!
//! **What is an error.** Everything that leaves open which memory is meant. What is not about
//! persistent memory is not judged, with two exceptions: indexes must be unique and a mapping's SPA
//! range must exist, for else it could have been meant to be ours. Index 0 refers to none (virtual
//! disks have it as theirs).
//!
//! Reference: ACPI 6.5, sections 5.2.25.2 and 5.2.25.3.

use alloc::vec::Vec;

use crate::Nfit;
use crate::control::ControlRegion;
use crate::error::{Error, Place};
use crate::lists::{FlushHints, Interleave};
use crate::mapping::{RegionMapping, StateFlags};
use crate::overlap::{check_overlaps, check_range, is_persistent, place_virtual_disks};
use crate::region::{Dimm, Region};
use crate::spa::SpaRange;
use crate::structure::Structure;

/// Something of the table and where it lies.
pub(crate) type Placed<T> = (Place, T);

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
    place_virtual_disks(&mut regions, &by_base)?;
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
fn find<T>(list: &[Placed<T>], index: u16, index_of: fn(&T) -> u16) -> Option<&T> {
    let position = list.binary_search_by_key(&index, |(_, item)| index_of(item)).ok()?;
    list.get(position).filter(|_| index != 0).map(|(_, item)| item)
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
            // In another kind of range, or in none: then it must say so by index 0 or by a failed
            // map.
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
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Error> {
    list.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    list.push(item);
    Ok(())
}
