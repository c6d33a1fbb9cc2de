//! Bad ranges: memory that lost its content, by cache lines.
//!
//! A table of fixed size that is read and changed without a lock, so that a machine check's handler can add
//! to it wherever it comes. While there are none, a look at it is one load.
//!
//! Reading what is bad fails. Overwriting whole lines makes them good; a store to a part of one would bring
//! back the rest, which nobody knows.

use super::{LINE, Pmem};
use crate::atomic::{AtomicU64, AtomicUsize};
use crate::error::{Error, Result};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

const SLOTS: usize = 256;
/// Lines that one slot tells of at most.
const MOST: u64 = (1 << 22) - 1;

/// A list of bad ranges.
pub struct Poison {
    /// Slots in use, or about to be.
    used: AtomicUsize,
    /// First line, and in the low 22 bits how many; 0 if the slot is free.
    slots: [AtomicU64; SLOTS],
}

/// There is no room in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Default for Poison {
    fn default() -> Self {
        Self::new()
    }
}

fn pack(lines: &Range<u64>) -> u64 {
    lines.start << 22 | (lines.end - lines.start)
}

fn unpack(slot: u64) -> Range<u64> {
    slot >> 22..(slot >> 22) + (slot & MOST)
}

impl Poison {
    /// Makes an empty list: everything is good.
    pub const fn new() -> Self {
        Self { used: AtomicUsize::new(0), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// Returns the first bad byte of the `len` from `at` on.
    #[inline]
    pub fn first_in(&self, at: u64, len: u64) -> Option<u64> {
        if self.used.load(SeqCst) == 0 { None } else { self.search(at, len) }
    }

    #[cold]
    fn search(&self, at: u64, len: u64) -> Option<u64> {
        let end = at.saturating_add(len);
        let bytes = self.slots.iter().map(|slot| unpack(slot.load(SeqCst)));
        let bytes = bytes.map(|lines| (lines.start * LINE).max(at)..(lines.end * LINE).min(end));
        bytes.filter(|range| !range.is_empty()).map(|range| range.start).min()
    }

    /// Notes that every line that holds one of the `len` bytes from `at` on is bad.
    ///
    /// # Errors
    /// [`Full`]: a part of it may be known.
    pub fn add(&self, at: u64, len: u64) -> core::result::Result<(), Full> {
        self.add_lines(at / LINE..at.saturating_add(len).div_ceil(LINE))
    }

    fn add_lines(&self, mut lines: Range<u64>) -> core::result::Result<(), Full> {
        while !lines.is_empty() {
            let piece = lines.start..lines.end.min(lines.start + MOST);
            let known = self.slots.iter().map(|slot| unpack(slot.load(SeqCst)));
            if !known.clone().any(|old| old.start <= piece.start && piece.end <= old.end) {
                self.insert(&piece)?;
            }
            lines.start = piece.end;
        }
        Ok(())
    }

    fn insert(&self, lines: &Range<u64>) -> core::result::Result<(), Full> {
        // Counted first: whoever finds the slot must look for it.
        self.used.fetch_add(1, SeqCst);
        let free = |slot: &&AtomicU64| slot.compare_exchange(0, pack(lines), SeqCst, SeqCst).is_ok();
        if self.slots.iter().find(free).is_none() {
            self.used.fetch_sub(1, SeqCst);
            return Err(Full);
        }
        Ok(())
    }

    /// Notes that the lines that lie in the `len` bytes from `at` on as a whole are good.
    ///
    /// # Errors
    /// [`Full`]: they are, but what is bad behind them is not known any more.
    #[inline]
    pub fn clear(&self, at: u64, len: u64) -> core::result::Result<(), Full> {
        if self.used.load(SeqCst) == 0 { Ok(()) } else { self.clear_some(at, len) }
    }

    #[cold]
    fn clear_some(&self, at: u64, len: u64) -> core::result::Result<(), Full> {
        let good = at.div_ceil(LINE)..at.saturating_add(len) / LINE;
        if good.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        for slot in &self.slots {
            let old = slot.load(SeqCst);
            let bad = unpack(old);
            if bad.start.max(good.start) >= bad.end.min(good.end) {
                continue;
            }
            let (before, after) = (bad.start..good.start.max(bad.start), good.end.min(bad.end)..bad.end);
            // What stays behind it is there before the rest goes.
            if !before.is_empty() && !after.is_empty() {
                result = result.and(self.insert(&after));
            }
            let kept = if before.is_empty() { after } else { before };
            let new = if kept.is_empty() { 0 } else { pack(&kept) };
            // Somebody else who clears the same was faster otherwise.
            if slot.compare_exchange(old, new, SeqCst, SeqCst).is_ok() && new == 0 {
                self.used.fetch_sub(1, SeqCst);
            }
        }
        result
    }

    /// Returns the bad ranges, in bytes, in order.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut all: Vec<Range<u64>> = self
            .slots
            .iter()
            .map(|slot| unpack(slot.load(SeqCst)))
            .filter(|lines| !lines.is_empty())
            .collect();
        all.sort_by_key(|lines| lines.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for lines in all {
            let bytes = lines.start * LINE..lines.end * LINE;
            match merged.last_mut() {
                Some(last) if bytes.start <= last.end => last.end = last.end.max(bytes.end),
                _ => merged.push(bytes),
            }
        }
        merged
    }
}

/// Returns how many of the `len` bytes at `at` come before the first that is bad.
///
/// # Errors
/// [`Error::Poisoned`] if that is the first of all.
#[inline]
pub(crate) fn good(pmem: &impl Pmem, at: u64, len: usize) -> Result<usize> {
    match pmem.poisoned(at, len as u64) {
        None => Ok(len),
        Some(bad) if bad == at => Err(Error::Poisoned(bad)),
        Some(bad) => Ok((bad - at) as usize),
    }
}

/// Makes lines good that lie as a whole in the `len` bytes at `at`, which are about to be overwritten.
///
/// # Errors
/// [`Error::Poisoned`] if one that lies there in part is bad; nothing changed.
#[inline]
pub(crate) fn overwrite(pmem: &impl Pmem, at: u64, len: u64) -> Result<()> {
    let lines = at & !(LINE - 1)..(at + len).next_multiple_of(LINE);
    match pmem.poisoned(lines.start, (lines.end - lines.start).min(pmem.len() - lines.start)) {
        None => Ok(()),
        Some(_) => overwrite_bad(pmem, at, len),
    }
}

#[cold]
fn overwrite_bad(pmem: &impl Pmem, at: u64, len: u64) -> Result<()> {
    let (end, whole) = (at + len, at.next_multiple_of(LINE)..(at + len) & !(LINE - 1));
    let parts = [at & !(LINE - 1)..whole.start, whole.end..end.next_multiple_of(LINE)];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if let Some(bad) = pmem.poisoned(part.start, (part.end - part.start).min(pmem.len() - part.start)) {
            return Err(Error::Poisoned(bad));
        }
    }
    if !whole.is_empty() {
        pmem.clear_poison(whole.start, whole.end - whole.start);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range")]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn a_list_knows_what_is_bad_and_says_when_it_is_full() {
        let list = Poison::new();
        assert_eq!(list.first_in(0, u64::MAX), None);
        list.add(130, 1).unwrap();
        assert_eq!(list.ranges(), [128..192]);
        assert_eq!((list.first_in(0, 128), list.first_in(100, 100)), (None, Some(128)));
        assert_eq!((list.first_in(150, 1), list.first_in(192, 64)), (Some(150), None));
        // A part of a line makes nothing good.
        list.clear(129, 63).unwrap();
        assert_eq!(list.ranges(), [128..192]);
        list.clear(128, 64).unwrap();
        assert_eq!((list.ranges(), list.first_in(0, 1 << 40)), (Vec::new(), None));
        // More lines than one slot tells of.
        list.add(0, 1 << 30).unwrap();
        assert_eq!(list.ranges(), [0..1 << 30]);
        list.clear(0, 1 << 30).unwrap();
        for line in 0..SLOTS as u64 {
            list.add(line * 2 * LINE, 1).unwrap();
        }
        assert_eq!(list.add(u64::from(u32::MAX), 1), Err(Full));
        assert_eq!(list.ranges().len(), SLOTS);
    }

    proptest! {
        #[test]
        fn adding_and_clearing_agree_with_a_set(
            steps in prop::collection::vec((any::<bool>(), 0u64..4000, 0u64..1500), 0..40),
            look in (0u64..5000, 1u64..500),
        ) {
            let (list, mut model) = (Poison::new(), BTreeSet::new());
            for (bad, at, len) in steps {
                if bad {
                    list.add(at, len).unwrap();
                    model.extend(if len == 0 { at / LINE..at.div_ceil(LINE) } else { at / LINE..(at + len).div_ceil(LINE) });
                } else {
                    list.clear(at, len).unwrap();
                    (at.div_ceil(LINE)..(at + len) / LINE).for_each(|line| {
                        model.remove(&line);
                    });
                }
            }
            let lines: BTreeSet<u64> =
                list.ranges().into_iter().flat_map(|range| range.start / LINE..range.end / LINE).collect();
            prop_assert_eq!(&lines, &model);
            let bad = (look.0..look.0 + look.1).find(|at| model.contains(&(at / LINE)));
            prop_assert_eq!(list.first_in(look.0, look.1), bad);
        }
    }
}
