//! The name index: where in a directory each name is, in DRAM, and where there is room for another.
//!
//! Built in one pass by the first look-up, kept right by every change (`diredit`), dropped when memory is
//! short; nothing depends on it. What is found through it is checked in place like anything else that an
//! image says.
//!
//! ```text
//! hash of the name → (tag, byte position of the entry): 8 bytes, and 1 of the table's
//! ```
//!
//! For new names it remembers of each block how much room it has at most, where the first block with room for
//! a name of about a length is, and the two places that had room last: making a name looks at one entry,
//! mostly.
//!
//! All indexes of a file system together keep to a budget. Whoever needs more takes it from directories that
//! were not used for a while; if there are none, the directory is searched entry by entry.
//!
//! # Locking
//! `inode lock of the directory → its index → list of indexes`, the last a leaf. Making room for one index
//! only tries the locks of others.

use crate::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use crate::ext::dirent::Dirent;
use crate::platform::{Mutex, Platform, RwLock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use hashbrown::HashTable;

/// Look-ups after which a directory that got no index tries again.
const PATIENCE: u32 = 1000;
/// The least need of each class of names, in bytes of their entries.
const CLASSES: [u16; 8] = [0, 20, 28, 36, 52, 84, 132, 200];
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// One directory's index, or the place for it.
pub(in crate::ext2) struct Names<P: Platform> {
    pub index: RwLock<P, Option<Index>>,
    /// It was used since the last look for one that was not.
    used: AtomicBool,
    /// It is on the list.
    listed: AtomicBool,
    /// Look-ups to go without one: there was no memory.
    patience: AtomicU32,
}

impl<P: Platform> Names<P> {
    pub(in crate::ext2) fn new() -> Self {
        Self {
            index: RwLock::<P, _>::new(None),
            used: AtomicBool::new(false),
            listed: AtomicBool::new(false),
            patience: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(in crate::ext2) fn note_use(&self) {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
    }

    /// Returns whether an index may be built now; each call shortens the wait after
    /// [`give_up`](Self::give_up).
    pub(in crate::ext2) fn is_due(&self) -> bool {
        match self.patience.load(Relaxed) {
            0 => true,
            left => {
                self.patience.store(left - 1, Relaxed);
                false
            }
        }
    }

    /// Gives up for a while: no index could be built.
    pub(in crate::ext2) fn give_up(&self) {
        self.patience.store(PATIENCE, Relaxed);
    }
}

/// A name: what its hash is remembered by, and where its entry is.
#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    pos: u32,
}

/// A place that may have room: in or behind the entry at a position, so many bytes.
#[derive(Clone, Copy, Default)]
pub(in crate::ext2) struct Hint {
    pub pos: u64,
    pub len: u16,
}

/// Where a name was put.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) struct Placed {
    /// Byte position of the entry whose room it took.
    pub source: u64,
    /// Byte position of its entry.
    pub pos: u64,
    pub rec_len: u16,
}

/// Which of the two places with room.
const FREED: usize = 0;
const LAST: usize = 1;

pub(in crate::ext2) struct Index {
    table: HashTable<Slot>,
    /// For each block: in units of 4 bytes, no name finds more room in it.
    room: Vec<u8>,
    /// For each class: no block before this one has room for it.
    first: [u32; CLASSES.len()],
    pub hints: [Hint; 2],
    /// Bytes that the budget was charged with.
    charged: usize,
}

#[inline]
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(MULTIPLIER)
}

#[inline]
fn class_of(need: u16) -> usize {
    CLASSES.iter().rposition(|&least| least <= need).unwrap_or(0)
}

impl Index {
    pub(in crate::ext2) fn new() -> Self {
        Self {
            table: HashTable::new(),
            room: Vec::new(),
            first: [0; CLASSES.len()],
            hints: [Hint::default(); 2],
            charged: 0,
        }
    }

    /// Finds the first of the entries remembered under `tag` that `is_it`.
    #[inline]
    pub(in crate::ext2) fn find(&self, tag: u32, mut is_it: impl FnMut(u64) -> bool) -> Option<u64> {
        let found = self.table.find(spread(tag), |slot| slot.tag == tag && is_it(slot.pos.into()));
        found.map(|slot| slot.pos.into())
    }

    /// Remembers a name. False if there is no memory for it.
    pub(in crate::ext2) fn insert<P: Platform>(&mut self, budget: &Budget<P>, tag: u32, pos: u64) -> bool {
        let Ok(pos) = u32::try_from(pos) else { return false };
        if self.table.len() == self.table.capacity() && !self.grow(budget) {
            return false;
        }
        self.table.insert_unique(spread(tag), Slot { tag, pos }, |slot| spread(slot.tag));
        true
    }

    /// More room in the table. While it moves there are two.
    fn grow<P: Platform>(&mut self, budget: &Budget<P>) -> bool {
        let more = self.table.allocation_size() * 2 + 256;
        if !budget.charge(more) {
            return false;
        }
        self.charged += more;
        let grown = self.table.try_reserve(1, |slot| spread(slot.tag)).is_ok();
        self.settle(budget);
        grown
    }

    /// What is charged is what there is.
    fn settle<P: Platform>(&mut self, budget: &Budget<P>) {
        let bytes = self.table.allocation_size() + self.room.capacity();
        budget.release(self.charged.saturating_sub(bytes));
        self.charged = self.charged.min(bytes);
    }

    /// Forgets a name.
    pub(in crate::ext2) fn remove(&mut self, tag: u32, pos: u64) {
        let slot = self.table.find_entry(spread(tag), |slot| slot.tag == tag && u64::from(slot.pos) == pos);
        if let Ok(slot) = slot {
            slot.remove();
        }
    }

    /// Notes that block `lblk` has at most `most` bytes of room. Blocks come in order. Returns false if there
    /// is no memory for that.
    pub(in crate::ext2) fn set_room<P: Platform>(
        &mut self,
        budget: &Budget<P>,
        lblk: u64,
        most: u16,
    ) -> bool {
        let most = (most / 4).min(255) as u8;
        if let Some(room) = self.room.get_mut(lblk as usize) {
            *room = most;
            return true;
        }
        if self.room.len() == self.room.capacity() {
            let more = self.room.capacity().max(16);
            // The old one is there until the new one is filled.
            if !budget.charge(self.room.capacity() + more) {
                return false;
            }
            self.charged += self.room.capacity() + more;
            let reserved = self.room.try_reserve_exact(more).is_ok();
            self.settle(budget);
            if !reserved {
                return false;
            }
        }
        self.room.push(most);
        true
    }

    /// Finds the next of `blocks` that may have room for `need` bytes, from `from` on; and remembers what was
    /// passed.
    pub(in crate::ext2) fn next_with_room(
        &mut self,
        need: u16,
        from: Option<u64>,
        blocks: u64,
    ) -> Option<u64> {
        let class = class_of(need);
        let least = CLASSES[class];
        let mut lblk = from.unwrap_or(self.first[class].into());
        while lblk < blocks {
            let room = u16::from(*self.room.get(lblk as usize)?) * 4;
            if room >= need {
                return Some(lblk);
            }
            if room < least.max(4) && u64::from(self.first[class]) == lblk {
                self.first[class] = lblk as u32 + 1;
            }
            lblk += 1;
        }
        None
    }

    /// Notes the room of an entry that was taken out of a block of `1 << bits` bytes, with what may be free
    /// on both sides of it.
    pub(in crate::ext2) fn freed(&mut self, entry: &Dirent, bits: u32) {
        let lblk = (entry.pos >> bits) as usize;
        if let Some(room) = self.room.get_mut(lblk) {
            let bound = u32::from(*room) * 2 + u32::from(entry.rec_len) / 4;
            *room = bound.min(255) as u8;
            for (first, &least) in self.first.iter_mut().zip(&CLASSES) {
                if u32::from(least) <= bound * 4 {
                    *first = (*first).min(lblk as u32);
                }
            }
        }
        self.hints[FREED] = Hint { pos: entry.pos, len: entry.rec_len };
    }

    /// Forgets what follows the entry at `pos`, within `rec_len` bytes from there: these are no entries any
    /// more.
    pub(in crate::ext2) fn swallowed(&mut self, pos: u64, rec_len: u16) {
        for hint in &mut self.hints {
            if hint.pos > pos && hint.pos < pos + u64::from(rec_len) {
                *hint = Hint::default();
            }
        }
    }

    /// Notes that a name that needs `used` bytes was put somewhere: what is left behind it is room.
    pub(in crate::ext2) fn placed(&mut self, placed: &Placed, used: u16) {
        let end = placed.pos + u64::from(placed.rec_len);
        let mut which = LAST;
        for (index, hint) in self.hints.iter_mut().enumerate() {
            if (placed.source..end).contains(&hint.pos) {
                // Used up, or swallowed.
                *hint = Hint::default();
                which = index;
            }
        }
        self.hints[which] = Hint { pos: placed.pos, len: placed.rec_len - used };
    }
}

/// What all indexes of a file system share: how much memory they may take, and who has one.
pub(in crate::ext2) struct Budget<P: Platform> {
    limit: usize,
    used: AtomicUsize,
    list: Mutex<P, List<P>>,
    seed: u64,
}

struct List<P: Platform> {
    all: Vec<Arc<Names<P>>>,
    hand: usize,
}

impl<P: Platform> Budget<P> {
    /// Makes a budget of `limit` bytes for all indexes; `seed` makes hashes of each mount others.
    pub(in crate::ext2) fn new(limit: usize, seed: u64) -> Self {
        let list = Mutex::<P, _>::new(List { all: Vec::new(), hand: 0 });
        Self { limit, used: AtomicUsize::new(0), list, seed: seed | 1 }
    }

    /// Returns how many bytes all indexes take.
    pub(in crate::ext2) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Returns what a name is remembered by.
    #[inline]
    pub(in crate::ext2) fn tag(&self, name: &[u8]) -> u32 {
        let mix = |state: u64, word: u64| {
            let wide = u128::from(state ^ word) * u128::from(MULTIPLIER);
            (wide >> 64) as u64 ^ wide as u64
        };
        let (words, rest) = name.as_chunks::<8>();
        let mut state = self.seed ^ name.len() as u64;
        for word in words {
            state = mix(state, u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        (mix(mix(state, last), self.seed) >> 32) as u32
    }

    /// Puts a directory on the list of those with an index. False if there is no memory for that.
    pub(in crate::ext2) fn list(&self, names: &Arc<Names<P>>) -> bool {
        if names.listed.load(Relaxed) {
            return true;
        }
        let mut list = self.list.lock();
        // Directories that are not in memory any more: two go for each that comes.
        for _ in 0..list.all.len().min(2) {
            let place = list.hand % list.all.len();
            if Arc::strong_count(&list.all[place]) == 1 {
                list.all.swap_remove(place);
                continue;
            }
            list.hand = place + 1;
        }
        if list.all.try_reserve(1).is_err() {
            return false;
        }
        list.all.push(names.clone());
        names.listed.store(true, Relaxed);
        true
    }

    /// Takes `bytes` of the limit, which is not exceeded for a moment either: others look, and are refused
    /// for it.
    fn charge(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        let take = || self.used.fetch_update(Relaxed, Relaxed, within).is_ok();
        take() || {
            self.evict(self.used().saturating_add(bytes).saturating_sub(self.limit), false);
            take()
        }
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Drops an index.
    pub(in crate::ext2) fn drop_index(&self, index: Option<Index>) {
        if let Some(index) = index {
            self.release(index.charged);
        }
    }

    /// Takes indexes of directories that were not used for a while, until `bytes` are free; with `all`, of
    /// any. Waits for no index. Returns how many bytes became free.
    fn evict(&self, bytes: usize, all: bool) -> usize {
        let Some(mut list) = self.list.try_lock() else { return 0 };
        let (mut freed, mut looks) = (0, list.all.len() * 2);
        while freed < bytes && looks > 0 && !list.all.is_empty() {
            looks -= 1;
            let place = list.hand % list.all.len();
            if Arc::strong_count(&list.all[place]) == 1 {
                list.all.swap_remove(place);
                continue;
            }
            list.hand = place + 1;
            let names = &list.all[place];
            if names.used.swap(false, Relaxed) && !all {
                continue;
            }
            if let Some(mut index) = names.index.try_write() {
                freed += index.as_ref().map_or(0, |index| index.charged);
                self.drop_index(index.take());
            }
        }
        freed
    }

    /// Drops every index whose lock is free. Returns how many bytes that gave back.
    pub(in crate::ext2) fn shrink(&self) -> usize {
        self.evict(usize::MAX, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Machine;

    #[test]
    fn needs_fall_into_classes_that_start_at_or_below_them() {
        for need in (12..=264).step_by(4) {
            let class = class_of(need);
            assert!(CLASSES[class] <= need && CLASSES.get(class + 1).is_none_or(|&next| next > need));
        }
        const { assert!(crate::ext::layout::NAME_MAX + 8 < 255 * 4, "room in a block is told in one byte") };
    }

    #[test]
    fn an_index_keeps_to_its_budget_and_gives_it_back() {
        let budget: Budget<Machine> = Budget::new(20_000, 1);
        let mut index = Index::new();
        let held = (0..100_000u32).take_while(|&pos| index.insert(&budget, pos ^ 0x55, pos.into())).count();
        assert!((500..2500).contains(&held) && budget.used() <= 20_000, "{held} names");
        for pos in 0..held as u64 {
            assert_eq!(index.find(pos as u32 ^ 0x55, |_| true), Some(pos));
        }
        budget.drop_index(Some(index));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn tags_of_names_alike_differ() {
        let budget: Budget<Machine> = Budget::new(0, 7);
        let mut tags = std::collections::BTreeSet::new();
        for number in 0..20_000 {
            tags.insert(budget.tag(std::format!("{number}").as_bytes()));
            tags.insert(budget.tag(std::format!("a-rather-long-name-{number:09}").as_bytes()));
        }
        assert!(tags.len() > 39_900, "{} of 40000", tags.len());
    }
}
