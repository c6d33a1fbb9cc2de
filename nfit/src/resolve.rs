//! Joins structures into regions, and leaves out those that do not fit together.
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
//! **What is a problem, and what it costs.** Whatever leaves open which memory is meant costs the ranges it
//! is about: a range that is no whole pages, overlapping ranges (both), an index that two ranges have (both).
//! A missing control region or interleave structure costs its DIMM that description. What is not about
//! persistent memory is not judged, with two exceptions: indexes must be unique and a mapping's SPA range
//! must exist, for else it could have been meant to be ours. Index 0 refers to none (virtual disks have it as
//! theirs).
//!
//! Reference: ACPI 6.5, sections 5.2.25.2 and 5.2.25.3.

use alloc::vec::Vec;

use crate::Nfit;
use crate::caps::Capabilities;
use crate::control::ControlRegion;
use crate::error::{Error, Location};
use crate::lists::{FlushHints, Interleave};
use crate::mapping::{RegionMapping, StateFlags};
use crate::overlap::{check_range, is_persistent, overlap, overlaps, place_virtual_disks};
use crate::region::{Contents, Dimm, Region};
use crate::spa::SpaRange;
use crate::structure::Structure;

/// Something of the table and where it lies.
pub(crate) type Located<T> = (Location, T);

/// Joins what the structures say: [`Nfit::contents`].
pub(crate) fn contents<'a>(nfit: &Nfit<'a>) -> Result<Contents<'a>, Error> {
    let mut problems = Vec::new();
    // 1. Take the table apart.
    let mut parts = Parts::collect(nfit, &mut problems)?;
    let unread = !problems.is_empty();
    let capabilities = parts.believed_capabilities(&mut problems)?;
    // 2. Each persistent range by itself.
    for (at, spa) in parts.ranges.iter().filter(|(_, spa)| is_persistent(spa)) {
        if let Err(problem) = check_range(*at, spa) {
            push(&mut problems, problem)?;
        }
    }
    // 3. Sort what is looked up by index.
    sort_by_index(&mut parts.ranges, |spa| spa.index, &mut problems)?;
    sort_by_index(&mut parts.control_regions, |control| control.index, &mut problems)?;
    sort_by_index(&mut parts.interleaves, |interleave| interleave.index, &mut problems)?;
    parts.flush_hints.sort_unstable_by_key(|(at, hints)| (hints.device_handle, at.ordinal));
    // 4. By address: ranges and the virtual disks that may lie in them.
    let (mut by_base, mut disks) = (Vec::new(), Vec::new());
    for (at, spa) in parts.ranges.iter().filter(|(_, spa)| spa.length != 0 && spa.end().is_some()) {
        let list = if spa.range_type.is_inside_persistent_memory() { &mut disks } else { &mut by_base };
        push(list, (*at, *spa))?;
    }
    by_base.sort_unstable_by_key(|(at, spa)| (spa.base, at.ordinal));
    disks.sort_unstable_by_key(|(at, spa)| (spa.base, at.ordinal));
    // 5. Regions: the persistent ranges that have one meaning for each address and index.
    let mut regions = Vec::new();
    for ((at, spa), other) in by_base.iter().zip(overlaps(&by_base)) {
        if !is_persistent(spa) || check_range(*at, spa).is_err() {
            continue;
        }
        if let Some(other) = other {
            push(&mut problems, overlap((*at, spa), other))?;
        } else if is_unique(&parts.ranges, spa.index) {
            push(&mut regions, (*at, Region::new(spa)))?;
        }
    }
    // 6. Their virtual disks, their DIMMs.
    place_virtual_disks(&mut regions, &disks, &mut problems)?;
    let mut joined = Vec::new();
    for (_, region) in regions {
        push(&mut joined, region)?;
    }
    join(&mut joined, &parts, &mut problems)?;
    for region in joined.iter_mut().filter(|region| unread && region.dimms.is_empty()) {
        region.armed = false;
    }
    Ok(Contents { regions: joined, capabilities, problems })
}

/// The structures that take part, by type. Mappings stay in table order.
#[derive(Default)]
struct Parts<'a> {
    ranges: Vec<Located<SpaRange>>,
    mappings: Vec<Located<RegionMapping>>,
    control_regions: Vec<Located<ControlRegion>>,
    interleaves: Vec<Located<Interleave<'a>>>,
    flush_hints: Vec<Located<FlushHints<'a>>>,
    capabilities: Vec<Located<Capabilities>>,
}

impl<'a> Parts<'a> {
    /// Returns every structure that can be read; a problem for each that can not.
    fn collect(nfit: &Nfit<'a>, problems: &mut Vec<Error>) -> Result<Self, Error> {
        let mut parts = Self::default();
        let mut structures = nfit.structures();
        while let Some(next) = structures.next_placed() {
            match next {
                Ok((at, Structure::SpaRange(spa))) => push(&mut parts.ranges, (at, spa))?,
                Ok((at, Structure::RegionMapping(mapping))) => push(&mut parts.mappings, (at, mapping))?,
                Ok((at, Structure::ControlRegion(control))) => {
                    push(&mut parts.control_regions, (at, control))?;
                }
                Ok((at, Structure::Interleave(interleave))) => {
                    push(&mut parts.interleaves, (at, interleave))?
                }
                Ok((at, Structure::FlushHints(hints))) => push(&mut parts.flush_hints, (at, hints))?,
                Ok((at, Structure::Capabilities(promise))) => push(&mut parts.capabilities, (at, promise))?,
                Ok(_) => {}
                Err(problem) => push(problems, problem)?,
            }
        }
        Ok(parts)
    }

    /// Returns the platform's promise, if it is given once.
    fn believed_capabilities(&self, problems: &mut Vec<Error>) -> Result<Option<Capabilities>, Error> {
        let Some(((first, promise), others)) = self.capabilities.split_first() else {
            return Ok(None);
        };
        for (at, _) in others {
            push(problems, Error::DuplicateCapabilities { at: *at, first: *first })?;
        }
        Ok(others.is_empty().then_some(*promise))
    }

    /// Returns the flush hints of a mapping's DIMM: the first structure that has them.
    fn flush_hints_of(&self, mapping: &RegionMapping) -> Option<FlushHints<'a>> {
        let handle = mapping.device_handle;
        let first = self.flush_hints.partition_point(|(_, hints)| hints.device_handle < handle);
        let (_, hints) = self.flush_hints.get(first)?;
        (hints.device_handle == handle).then_some(*hints)
    }
}

/// Sorts by index, then by place; a problem for each whose index one before has, unless it is 0.
fn sort_by_index<T>(
    list: &mut [Located<T>],
    index_of: fn(&T) -> u16,
    problems: &mut Vec<Error>,
) -> Result<(), Error> {
    list.sort_unstable_by_key(|(at, item)| (index_of(item), at.ordinal));
    let mut first: Option<(Location, u16)> = None;
    for (at, item) in list.iter() {
        let index = index_of(item);
        match first {
            Some((first, taken)) if taken == index && index != 0 => {
                push(problems, Error::DuplicateIndex { at: *at, first, index })?;
            }
            _ => first = Some((*at, index)),
        }
    }
    Ok(())
}

/// Finds an index in a list that `sort_by_index` has sorted, the first in the table that has it; 0 is never
/// found.
fn find<T>(list: &[Located<T>], index: u16, index_of: fn(&T) -> u16) -> Option<&T> {
    let position = list.partition_point(|(_, item)| index_of(item) < index);
    list.get(position).map(|(_, item)| item).filter(|item| index != 0 && index_of(item) == index)
}

/// Whether only one range has this index, of those that `sort_by_index` has sorted.
fn is_unique(ranges: &[Located<SpaRange>], index: u16) -> bool {
    let position = ranges.partition_point(|(_, spa)| spa.index < index);
    ranges.get(position + 1).is_none_or(|(_, spa)| spa.index != index)
}

/// Gives each region the DIMMs that are mapped into it.
fn join<'a>(regions: &mut [Region<'a>], parts: &Parts<'a>, problems: &mut Vec<Error>) -> Result<(), Error> {
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
            // In another kind of range, in one that is refused, or in none: then it must say so by index 0 or
            // by a failed map.
            let in_none = spa_index == 0 || mapping.state.contains(StateFlags::MAP_FAILED);
            if !in_none && find(&parts.ranges, spa_index, |spa| spa.index).is_none() {
                push(problems, Error::MissingSpaRange { at, index: spa_index })?;
            }
            continue;
        };
        let index = mapping.control_region_index;
        let control_region = find(&parts.control_regions, index, |control| control.index).copied();
        if index != 0 && control_region.is_none() {
            push(problems, Error::MissingControlRegion { at, index, spa_index })?;
        }
        let index = mapping.interleave_index;
        let interleave = find(&parts.interleaves, index, |interleave| interleave.index).copied();
        if index != 0 && interleave.is_none() {
            push(problems, Error::MissingInterleave { at, index, spa_index })?;
        }
        let flush_hints = parts.flush_hints_of(mapping);
        region.note_state(mapping.state);
        push(&mut region.dimms, Dimm { mapping: *mapping, control_region, interleave, flush_hints })?;
    }
    Ok(())
}

/// Pushes like `Vec::push`, with an error instead of the kernel's end when memory is short.
pub(crate) fn push<T>(list: &mut Vec<T>, item: T) -> Result<(), Error> {
    list.try_reserve(1).map_err(|_| Error::OutOfMemory)?;
    list.push(item);
    Ok(())
}
