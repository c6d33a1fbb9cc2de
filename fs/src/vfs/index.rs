//! What is known of each mapped page of a file, and of each 2 MiB of it: the mapping entries.
//!
//! A tree of fixed height with a [`Leaf`] for every 2 MiB of the file, as a page table has. Nodes appear on
//! first use and stay until the inode leaves memory; reading and changing bits takes no lock, a look-up is
//! four dependent loads.
//!
//! ```text
//! page 29..23     22..16          15..9           8..0
//!  root[128]  →  middle[128]  →  bottom[128]  →  Leaf { dirty, to-write, zero, locked: 512 bits each;
//!                                                       the same for its 2 MiB as one; its run; pins }
//! ```
//!
//! # Invariants
//! - Where a page table lets a store through to a page, the page is dirty, or its 2 MiB are.
//! - Where a 2 MiB entry lets a store through, its 2 MiB are dirty.
//! - Where the zero page is mapped, of either size, the index says so.
//! - What is to be written is a part of what is dirty.
//! - [`Leaf::run`] is right while `dax_sem` is held: who takes a block out of the file forgets it first, in
//!   [`PageIndex::clear`].
//!
//! # Waiting
//! An entry's lock is a bit. Who finds it set waits, keyed by the leaf: so a fault on 2 MiB and one on a page
//! of it wait in one place, whichever they wait for, and whoever unlocks wakes all of them.

use super::mapping::AllocOk;
use crate::atomic::{AtomicU32, AtomicU64};
use crate::error::{Errno, Result};
use crate::lab::{Point, mistake};
use crate::platform::{LARGE_PAGES, PageSize, Platform};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use once_cell::race::OnceBox;

const LEAF_PAGES: u64 = LARGE_PAGES;
const FANOUT: usize = 128;
/// Words of bits in a leaf.
const WORDS: usize = 8;
/// Words of the bits that are small entries' locks.
pub const LOCK_WORDS: usize = WORDS;
/// Pages that the index covers: files up to 4 TiB.
pub const MAX_PAGES: u64 = LEAF_PAGES * (FANOUT * FANOUT * FANOUT) as u64;

type Bits = [AtomicU64; WORDS];
type Bottom = Node<Leaf>;
type Middle = Node<Bottom>;

/// A node that appears on first use. (An array of one: the only box that safe, stable Rust makes fallibly.)
type Lazy<T> = OnceBox<[T; 1]>;

struct Node<T>([Lazy<T>; FANOUT]);

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self([const { OnceBox::new() }; FANOUT])
    }
}

/// What `lazy` holds, made now if need be, and if `has_memory`.
#[inline]
fn existing_or_new<T: Default>(lazy: &Lazy<T>, has_memory: impl Fn() -> bool) -> Result<&T> {
    lazy.get_or_try_init(|| allocate(has_memory)).map(|[node]| node)
}

#[cold]
fn allocate<T: Default>(has_memory: impl Fn() -> bool) -> Result<Box<[T; 1]>> {
    if !has_memory() {
        return Err(Errno::NoMemory.into());
    }
    let mut one = Vec::new();
    one.try_reserve_exact(1).map_err(|_| Errno::NoMemory)?;
    one.push(T::default());
    Box::try_from(one.into_boxed_slice()).map_err(|_| Errno::NoMemory.into())
}

/// What `lazy` holds, if it is there.
#[inline]
fn existing<T>(lazy: &Lazy<T>) -> Option<&T> {
    lazy.get().map(|[node]| node)
}

/// Bits of [`Leaf::large`]: what is known of the 2 MiB as one.
const LOCKED: u32 = 1;
const DIRTY: u32 = 2;
const TO_WRITE: u32 = 4;
const ZERO: u32 = 8;
/// The blocks are known not to lie in one piece.
const PIECES: u32 = 16;

/// A run that is not known.
const NO_RUN: u64 = 0;

/// The entries of 2 MiB of a file: one of 2 MiB, 512 of 4 KiB.
#[derive(Default)]
pub struct Leaf {
    dirty: Bits,
    to_write: Bits,
    zero: Bits,
    locked: Bits,
    large: AtomicU32,
    /// Transfers that use pages of it by their physical addresses.
    pins: AtomicU32,
    /// Who waits for an entry's lock.
    waiters: AtomicU32,
    /// Byte offset of the run that holds all of it, plus one; or [`NO_RUN`].
    run: AtomicU64,
    /// Look-ups of single pages since it was last unknown whether there is a run.
    looks: AtomicU32,
}

/// So many look-ups of single pages are worth one of all 512.
const LOOKS: u32 = 8;

impl Leaf {
    /// Notes that a store to `page` may follow.
    #[inline]
    pub fn mark_dirty(&self, page: u64) {
        set(&self.dirty, page);
    }

    /// Notes that a store to any page of the 2 MiB may follow.
    #[inline]
    pub fn mark_large_dirty(&self) {
        if self.large.load(SeqCst) & DIRTY == 0 {
            self.large.fetch_or(DIRTY, SeqCst);
        }
    }

    /// Notes that the zero page is about to be mapped at `page`.
    #[inline]
    pub fn mark_zero(&self, page: u64) {
        set(&self.zero, page);
    }

    /// Notes that the zero page of 2 MiB is about to be mapped.
    #[inline]
    pub fn mark_large_zero(&self) {
        if self.large.load(SeqCst) & ZERO == 0 {
            self.large.fetch_or(ZERO, SeqCst);
        }
    }

    /// Returns whether the zero page may be mapped at `page`, or the 2 MiB are known to lie in pieces:
    /// allocating there changes what is known here ([`PageIndex::take_zero`]).
    #[inline]
    pub fn cares_for_allocation(&self, page: u64) -> bool {
        let (word, mask) = bit(page);
        self.zero[word].load(SeqCst) & mask != 0 || self.large.load(SeqCst) & (ZERO | PIECES) != 0
    }

    /// Returns whether the zero page of 4 KiB may be mapped at `page`.
    pub fn is_zero(&self, page: u64) -> bool {
        let (word, mask) = bit(page);
        self.zero[word].load(SeqCst) & mask != 0
    }

    /// Returns the byte offset of the 2 MiB, if they are known to lie in one aligned piece. Under `dax_sem`.
    #[inline]
    pub fn run(&self) -> Option<u64> {
        self.run.load(SeqCst).checked_sub(1)
    }

    /// Notes that all 512 pages lie in one piece from byte `place` on. Under `dax_sem`.
    pub fn set_run(&self, place: u64) {
        self.run.store(place + 1, SeqCst);
    }

    /// Notes that a page was looked up on its own. Returns true once in a while, as long as it is not known
    /// whether the 2 MiB are one run.
    #[inline]
    pub fn should_learn_run(&self) -> bool {
        // Counts of several CPUs may get lost: it is a matter of about how many.
        let looks = self.looks.load(Relaxed);
        if looks > LOOKS {
            return false;
        }
        self.looks.store(looks + 1, Relaxed);
        looks == LOOKS
    }

    /// Returns whether the 2 MiB are known not to be one run, nor one hole. Under `dax_sem`.
    #[inline]
    pub fn known_pieces(&self) -> bool {
        self.large.load(SeqCst) & PIECES != 0
    }

    /// Notes that the 2 MiB are not one run, nor one hole. Under `dax_sem`.
    pub fn set_pieces(&self) {
        self.large.fetch_or(PIECES, SeqCst);
    }

    /// Any page in these words is locked.
    fn any_locked(&self, words: Range<usize>) -> bool {
        self.locked[words].iter().any(|word| word.load(SeqCst) != 0)
    }

    /// What tells its waiters apart from those of others.
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Takes the lock of the entry of `size` for `page`, unless it is taken or one that excludes it is.
    fn try_lock(&self, page: u64, size: PageSize, large_looks_at: usize) -> bool {
        match size {
            PageSize::Small => {
                let (word, mask) = bit(page);
                if self.locked[word].fetch_or(mask, SeqCst) & mask != 0 {
                    return false;
                }
                // Both sides set their bit first and look then: one of the two sees the other.
                if self.large.load(SeqCst) & LOCKED == 0 {
                    return true;
                }
                self.locked[word].fetch_and(!mask, SeqCst);
                false
            }
            PageSize::Large => {
                if self.large.fetch_or(LOCKED, SeqCst) & LOCKED != 0 {
                    return false;
                }
                if !self.any_locked(0..large_looks_at) {
                    return true;
                }
                self.large.fetch_and(!LOCKED, SeqCst);
                false
            }
        }
    }

    /// Returns whether the entry of `size` for `page`, or one that excludes it, is locked.
    pub fn is_locked(&self, page: u64, size: PageSize) -> bool {
        let (word, mask) = bit(page);
        self.large.load(SeqCst) & LOCKED != 0
            || match size {
                PageSize::Small => self.locked[word].load(SeqCst) & mask != 0,
                PageSize::Large => self.any_locked(0..WORDS),
            }
    }

    /// Locks the entry of `size` for `page`. A 4 KiB and a 2 MiB entry of the same page exclude each other;
    /// for that the latter looks at the first `looks_at` words of locks, which are all [`LOCK_WORDS`] but for
    /// a mutant's sake.
    #[inline]
    pub fn lock<'a, P: Platform>(
        &'a self,
        platform: &'a P,
        page: u64,
        size: PageSize,
        looks_at: usize,
    ) -> EntryLock<'a, P> {
        if !self.try_lock(page, size, looks_at) {
            self.lock_slow(platform, page, size, looks_at);
        }
        EntryLock { platform, leaf: self, page, size }
    }

    #[cold]
    fn lock_slow<P: Platform>(&self, platform: &P, page: u64, size: PageSize, looks_at: usize) {
        platform.stats().entry_waits.inc();
        platform.at(Point::EntryWait, 0, page, 0);
        self.waiters.fetch_add(1, SeqCst);
        match size {
            PageSize::Small => loop {
                // Giving up may have been what a fault on 2 MiB waits for: it looks again when it is woken.
                platform.wake(self.key());
                // Woken for another one's sake, it waits on and tries nothing: two who woke each other would
                // never rest.
                while self.is_locked(page, size) {
                    platform.wait(self.key(), &mut || self.is_locked(page, size));
                }
                if self.try_lock(page, size, looks_at) {
                    break;
                }
            },
            // It keeps its claim while it waits for those pages that are locked, and no page is locked any
            // more: if both sides gave up, each could meet the other again, for ever.
            PageSize::Large => {
                while self.large.fetch_or(LOCKED, SeqCst) & LOCKED != 0 {
                    platform.wait(self.key(), &mut || self.large.load(SeqCst) & LOCKED != 0);
                }
                while self.any_locked(0..looks_at) {
                    platform.wait(self.key(), &mut || self.any_locked(0..looks_at));
                }
            }
        }
        self.waiters.fetch_sub(1, SeqCst);
    }

    fn unlock<P: Platform>(&self, platform: &P, page: u64, size: PageSize) {
        self.clear_lock(page, size);
        self.wake_waiters(platform, page);
    }

    #[inline(always)]
    fn clear_lock(&self, page: u64, size: PageSize) {
        match size {
            PageSize::Small => {
                let (word, mask) = bit(page);
                self.locked[word].fetch_and(!mask, SeqCst);
            }
            PageSize::Large => {
                self.large.fetch_and(!LOCKED, SeqCst);
            }
        }
    }

    #[inline(always)]
    fn wake_waiters<P: Platform>(&self, platform: &P, page: u64) {
        // A waiter counts itself before it looks at the lock for the last time.
        if self.waiters.load(SeqCst) != 0 {
            let wrong = mistake!(platform.lab(), WakeWrongKey);
            platform.wake(if wrong { self.key() + page as usize } else { self.key() });
        }
    }

    /// Takes what is dirty of `pages`, which lie in one word; only what is to be written, if `tagged`.
    fn take(&self, pages: &Range<u64>, tagged: bool) -> WritebackPages {
        let mut taken = WritebackPages { first: pages.start & !63, bits: 0, large: false };
        for (word, mask) in words(pages) {
            let to_write = self.to_write[word].load(SeqCst) & mask;
            let mask = if tagged { to_write } else { mask };
            if to_write != 0 {
                self.to_write[word].fetch_and(!to_write, SeqCst);
            }
            if self.dirty[word].load(SeqCst) & mask != 0 {
                taken.bits = self.dirty[word].fetch_and(!mask, SeqCst) & mask;
            }
        }
        if self.large.load(SeqCst) & if tagged { TO_WRITE } else { DIRTY } != 0 {
            taken.large = self.take_large();
        }
        taken
    }

    /// All 2 MiB are written back: no page of them is dirty any more.
    fn take_large(&self) -> bool {
        let was_dirty = self.large.fetch_and(!(TO_WRITE | DIRTY), SeqCst) & DIRTY != 0;
        if was_dirty {
            for bits in self.to_write.iter().chain(&self.dirty).filter(|bits| bits.load(SeqCst) != 0) {
                bits.store(0, SeqCst);
            }
        }
        was_dirty
    }
}

/// What write-back took out of the index: it is not dirty any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WritebackPages {
    /// The page of the lowest bit.
    first: u64,
    bits: u64,
    /// The whole 2 MiB around it, through an entry of 2 MiB.
    pub large: bool,
}

impl WritebackPages {
    /// Calls `f` with each run of pages.
    #[inline]
    pub fn each_run(&self, mut f: impl FnMut(Range<u64>)) {
        if self.large {
            return f(self.span());
        }
        let (mut bits, mut first) = (self.bits, self.first);
        while bits != 0 {
            let skip = bits.trailing_zeros();
            let len = (bits >> skip).trailing_ones();
            let start = first + u64::from(skip);
            f(start..start + u64::from(len));
            first = start + u64::from(len);
            bits = (bits >> skip).checked_shr(len).unwrap_or(0);
        }
    }

    /// Returns the range from the first to the last page taken; empty if there is none.
    #[inline]
    pub fn span(&self) -> Range<u64> {
        if self.large {
            let start = self.first & !(LEAF_PAGES - 1);
            return start..start + LEAF_PAGES;
        }
        let start = self.first + u64::from(self.bits.trailing_zeros()) % 64;
        start..(self.first + 64 - u64::from(self.bits.leading_zeros())).max(start)
    }

    fn is_something(&self) -> bool {
        self.large || self.bits != 0
    }
}

/// The lock of one entry; unlocks on drop.
pub struct EntryLock<'a, P: Platform> {
    platform: &'a P,
    leaf: &'a Leaf,
    page: u64,
    size: PageSize,
}

impl<P: Platform> EntryLock<'_, P> {
    /// Gives leave to allocate what the entry covers: no other fault on it is between its look-up and its
    /// installing.
    pub fn alloc_ok(&self) -> AllocOk<'_> {
        AllocOk::of_entry()
    }

    /// Wakes its waiters, and unlocks it then: a mistake.
    #[cfg(feature = "lab")]
    pub(crate) fn wake_then_unlock(self) {
        self.leaf.wake_waiters(self.platform, self.page);
        self.leaf.clear_lock(self.page, self.size);
        core::mem::forget(self);
    }
}

impl<P: Platform> Drop for EntryLock<'_, P> {
    #[inline]
    fn drop(&mut self) {
        self.leaf.unlock(self.platform, self.page, self.size);
    }
}

#[inline]
fn set(bits: &Bits, page: u64) {
    let (word, mask) = bit(page);
    // Mostly set already where a page is mapped again: a load leaves the line shared.
    if bits[word].load(SeqCst) & mask == 0 {
        bits[word].fetch_or(mask, SeqCst);
    }
}

/// The index of one file.
pub struct PageIndex {
    root: Lazy<Node<Middle>>,
    /// Transfers under way on the file.
    pins: AtomicU32,
}

impl Default for PageIndex {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn slots(page: u64) -> [usize; 3] {
    assert!(page < MAX_PAGES, "page {page} beyond the index: files are limited before they are mapped");
    let slot = |shift: u32| (page >> shift) as usize % FANOUT;
    [slot(23), slot(16), slot(9)]
}

#[inline]
fn bit(page: u64) -> (usize, u64) {
    ((page % LEAF_PAGES / 64) as usize, 1 << (page % 64))
}

/// The words, and the bits in each, of `pages`, which are not empty and lie in one leaf.
#[inline]
fn words(pages: &Range<u64>) -> impl Iterator<Item = (usize, u64)> + use<> {
    let (first, last) = (pages.start % LEAF_PAGES, (pages.end - 1) % LEAF_PAGES);
    (first / 64..=last / 64).map(move |word| {
        let from = if word == first / 64 { u64::MAX << (first % 64) } else { u64::MAX };
        let to = if word == last / 64 { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        (word as usize, from & to)
    })
}

impl PageIndex {
    /// Knows nothing of any page.
    pub const fn new() -> Self {
        Self { root: OnceBox::new(), pins: AtomicU32::new(0) }
    }

    /// Returns the leaf of `page`, made if need be, and if `has_memory` says that there is some for it
    /// ([`Platform::has_memory_for_tasks`]).
    ///
    /// # Errors
    /// [`Errno::NoMemory`] for a node.
    #[inline]
    pub fn leaf(&self, page: u64, has_memory: impl Fn() -> bool + Copy) -> Result<&Leaf> {
        let [a, b, c] = slots(page);
        let middle = existing_or_new(&existing_or_new(&self.root, has_memory)?.0[a], has_memory)?;
        existing_or_new(&existing_or_new(&middle.0[b], has_memory)?.0[c], has_memory)
    }

    /// Returns the leaf of `page`, if it is there.
    #[inline]
    pub fn existing(&self, page: u64) -> Option<&Leaf> {
        let [a, b, c] = slots(page);
        existing(&existing(&existing(&existing(&self.root)?.0[a])?.0[b])?.0[c])
    }

    /// Returns whether a store to `page` may have been made that was not written back.
    pub fn is_dirty(&self, page: u64) -> bool {
        let (word, mask) = bit(page);
        self.existing(page).is_some_and(|leaf| {
            leaf.dirty[word].load(SeqCst) & mask != 0 || leaf.large.load(SeqCst) & DIRTY != 0
        })
    }

    /// Forgets that the zero page may be mapped in `pages`, calling `f` with each range where it was. The
    /// zero page of 2 MiB goes for its whole range.
    pub fn take_zero(&self, pages: Range<u64>, mut f: impl FnMut(Range<u64>)) {
        self.for_each_leaf(pages, |first, part, leaf| {
            // Blocks came: what was in pieces may be whole now.
            let large = leaf.large.load(SeqCst) & (ZERO | PIECES);
            if large & PIECES != 0 {
                leaf.looks.store(0, Relaxed);
            }
            if large != 0 && leaf.large.fetch_and(!(ZERO | PIECES), SeqCst) & ZERO != 0 {
                f(first..first + LEAF_PAGES);
            }
            for (word, mask) in words(part) {
                let mask = mask & leaf.zero[word].load(SeqCst);
                if mask != 0 {
                    let bits = leaf.zero[word].fetch_and(!mask, SeqCst) & mask;
                    WritebackPages { first: first + word as u64 * 64, bits, large: false }.each_run(&mut f);
                }
            }
        });
    }

    /// Tags what is dirty of `pages` now as to be written: a write-back that goes from here comes to an end,
    /// however fast others dirty pages.
    pub fn tag(&self, pages: Range<u64>) {
        self.for_each_leaf(pages, |_, part, leaf| {
            for (word, mask) in words(part) {
                let dirty = leaf.dirty[word].load(SeqCst) & mask;
                if dirty != 0 {
                    leaf.to_write[word].fetch_or(dirty, SeqCst);
                }
            }
            if leaf.large.load(SeqCst) & DIRTY != 0 {
                leaf.large.fetch_or(TO_WRITE, SeqCst);
            }
        });
    }

    /// Finds the first pages of `from..end` to be written, as far as they share a word; of 2 MiB that are to
    /// be written as a whole, some.
    pub fn next_tagged(&self, from: u64, end: u64) -> Option<Range<u64>> {
        self.find_leaf(from..end, |_, part, leaf| {
            let large = leaf.large.load(SeqCst) & TO_WRITE != 0;
            let tagged = |(word, mask): &(usize, u64)| large || leaf.to_write[*word].load(SeqCst) & mask != 0;
            words(part).find(tagged).map(|(word, _)| {
                let start = (part.start & !(LEAF_PAGES - 1)) + word as u64 * 64;
                start.max(part.start)..(start + 64).min(part.end)
            })
        })
    }

    /// Forgets that `pages`, which lie in one word, are dirty; only those to be written, if `tagged`. The
    /// caller, under `dax_sem` exclusively, writes them back. `None` if there is nothing.
    pub fn take(&self, pages: &Range<u64>, tagged: bool) -> Option<(&Leaf, WritebackPages)> {
        let leaf = self.existing(pages.start)?;
        let taken = leaf.take(pages, tagged);
        taken.is_something().then_some((leaf, taken))
    }

    /// Forgets everything about `pages`, whose entries were taken out: their blocks are about to be freed or
    /// to move. Of 2 MiB that are not in the range as a whole it stays known that they may be dirty; and
    /// where they lie, if the mistake is made to `keep_run`.
    pub fn clear(&self, pages: Range<u64>, keep_run: bool) {
        self.for_each_leaf(pages, |_, part, leaf| {
            for (word, mask) in words(part) {
                for bits in [&leaf.dirty, &leaf.to_write, &leaf.zero] {
                    if bits[word].load(SeqCst) & mask != 0 {
                        bits[word].fetch_and(!mask, SeqCst);
                    }
                }
            }
            let whole = part.end - part.start == LEAF_PAGES;
            let gone = PIECES | if whole { ZERO | DIRTY | TO_WRITE } else { ZERO };
            leaf.large.fetch_and(!gone, SeqCst);
            if !keep_run {
                leaf.run.store(NO_RUN, SeqCst);
            }
            leaf.looks.store(0, Relaxed);
        });
    }

    /// Pins `pages`, which a transfer uses by their physical addresses: their blocks stay where they are.
    /// Under `dax_sem`.
    ///
    /// # Errors
    /// [`Errno::NoMemory`]; nothing is pinned.
    pub fn pin(&self, pages: Range<u64>) -> Result<()> {
        let leaves =
            || (pages.start / LEAF_PAGES..pages.end.div_ceil(LEAF_PAGES)).map(|leaf| leaf * LEAF_PAGES);
        leaves().try_for_each(|page| self.leaf(page, || true).map(|_| ()))?;
        self.pins.fetch_add(1, SeqCst);
        leaves().filter_map(|page| self.existing(page)).for_each(|leaf| {
            leaf.pins.fetch_add(1, SeqCst);
        });
        Ok(())
    }

    /// Ends a transfer that [`pin`](Self::pin) began; who waited for it is woken.
    pub fn unpin<P: Platform>(&self, platform: &P, pages: Range<u64>) {
        self.for_each_leaf(pages, |_, _, leaf| {
            leaf.pins.fetch_sub(1, SeqCst);
        });
        self.pins.fetch_sub(1, SeqCst);
        platform.wake(self.pin_key());
    }

    /// Returns whether a transfer uses pages in, or in the same 2 MiB as, `pages`.
    pub fn is_pinned(&self, pages: Range<u64>) -> bool {
        let pinned = |leaf: &Leaf| leaf.pins.load(SeqCst) != 0;
        self.pins.load(SeqCst) != 0
            && self.find_leaf(pages, |_, _, leaf| pinned(leaf).then_some(())).is_some()
    }

    /// Returns the key by which those wait who wait for pins of this file to go.
    pub fn pin_key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Calls `f(first page of the leaf, pages of the range in it, leaf)` for each leaf that has pages of
    /// `pages`.
    fn for_each_leaf<'a>(&'a self, pages: Range<u64>, mut f: impl FnMut(u64, &Range<u64>, &'a Leaf)) {
        self.find_leaf(pages, |first, part, leaf| -> Option<()> {
            f(first, part, leaf);
            None
        });
    }

    /// The same, up to the first that finds something.
    fn find_leaf<'a, R>(
        &'a self,
        pages: Range<u64>,
        mut f: impl FnMut(u64, &Range<u64>, &'a Leaf) -> Option<R>,
    ) -> Option<R> {
        let pages = pages.start..pages.end.min(MAX_PAGES);
        if pages.is_empty() {
            return None;
        }
        // Each level from the slot of the first page, if it is on that page's way, to the last.
        let [a, b, c] = slots(pages.start);
        for (a, middle) in existing(&self.root)?.0.iter().enumerate().skip(a) {
            let first_a = (a as u64) << 23;
            if first_a >= pages.end {
                return None;
            }
            let Some(middle) = existing(middle) else { continue };
            let from = if first_a < pages.start { b } else { 0 };
            for (b, bottom) in middle.0.iter().enumerate().skip(from) {
                let first_b = first_a + ((b as u64) << 16);
                if first_b >= pages.end {
                    return None;
                }
                let Some(bottom) = existing(bottom) else { continue };
                let from = if first_b < pages.start { c } else { 0 };
                for (c, leaf) in bottom.0.iter().enumerate().skip(from) {
                    let first = first_b + ((c as u64) << 9);
                    if first >= pages.end {
                        return None;
                    }
                    let Some(leaf) = existing(leaf) else { continue };
                    let part = first.max(pages.start)..(first + LEAF_PAGES).min(pages.end);
                    if let Some(found) = f(first, &part, leaf) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn mark(index: &PageIndex, page: u64) {
        index.leaf(page, || true).unwrap().mark_dirty(page);
    }

    fn taken(index: &PageIndex, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        index.tag(pages.clone());
        let mut from = pages.start;
        while let Some(part) = index.next_tagged(from, pages.end) {
            let (_, taken) = index.take(&part, true).expect("what was found to be tagged");
            assert!(!taken.large);
            taken.each_run(|run| runs.push(run));
            from = part.end;
        }
        runs
    }

    fn zeros(index: &PageIndex, pages: Range<u64>) -> Vec<(u64, u64)> {
        let mut ranges = Vec::new();
        index.take_zero(pages, |range| ranges.push((range.start, range.end)));
        ranges
    }

    #[test]
    fn dirty_pages_come_out_once_and_in_runs() {
        let index = PageIndex::new();
        for page in [5, 6, 7, 63, 64, 511, 512, 70_000, MAX_PAGES - 1] {
            mark(&index, page);
        }
        assert_eq!(taken(&index, 6..64), [6..8, 63..64]);
        assert_eq!(
            taken(&index, 0..u64::MAX),
            [5..6, 64..65, 511..512, 512..513, 70_000..70_001, MAX_PAGES - 1..MAX_PAGES]
        );
        assert_eq!(taken(&index, 0..u64::MAX), []);
    }

    #[test]
    fn what_became_dirty_after_the_tagging_is_left() {
        let index = PageIndex::new();
        mark(&index, 3);
        index.tag(0..10);
        mark(&index, 4);
        let (_, taken) = index.take(&(0..10), true).unwrap();
        assert_eq!(taken.span(), 3..4);
        assert!(index.is_dirty(4) && !index.is_dirty(3));
        assert_eq!(index.next_tagged(0, 512), None);
    }

    #[test]
    fn what_is_taken_untagged_is_tagged_no_more() {
        let index = PageIndex::new();
        [0, 3, 4, 63].into_iter().for_each(|page| mark(&index, page));
        index.tag(0..64);
        let (_, taken) = index.take(&(1..64), false).unwrap();
        let mut runs = Vec::new();
        taken.each_run(|run| runs.push(run));
        assert_eq!((runs, taken.span()), ([3..5, 63..64].to_vec(), 3..64));
        assert!(index.take(&(1..64), true).is_none() && index.is_dirty(0));
        mark(&index, 9);
        assert!(index.take(&(9..10), true).is_none(), "it was not tagged");
        assert_eq!(index.take(&(9..10), false).unwrap().1.span(), 9..10);
    }

    #[test]
    fn zero_and_dirty_are_apart() {
        let index = PageIndex::new();
        index.leaf(9, || true).unwrap().mark_zero(9);
        assert!(!index.is_dirty(9));
        assert_eq!(zeros(&index, 8..9), []);
        assert_eq!(zeros(&index, 8..10), [(9, 10)]);
        assert_eq!(zeros(&index, 8..10), []);
    }

    #[test]
    fn two_mebibytes_are_dirty_and_zero_as_one() {
        let index = PageIndex::new();
        let leaf = index.leaf(1030, || true).unwrap();
        leaf.mark_large_dirty();
        leaf.mark_large_zero();
        leaf.set_run(0);
        assert!(index.is_dirty(1024) && index.is_dirty(1535) && !index.is_dirty(1023));
        assert_eq!(zeros(&index, 1100..1101), [(1024, 1536)]);
        assert_eq!(leaf.run(), Some(0));
        index.tag(1500..1501);
        index.clear(1024..1030, false);
        assert!(index.is_dirty(1040), "a part was cleared, and the rest forgotten");
        assert_eq!(leaf.run(), None);
        assert_eq!(index.next_tagged(0, u64::MAX), Some(1024..1088));
        let (_, taken) = index.take(&(1500..1501), true).unwrap();
        assert!(taken.large && taken.span() == (1024..1536));
        assert!(!index.is_dirty(1040));
        leaf.mark_large_dirty();
        index.clear(1024..1536, false);
        assert!(!index.is_dirty(1040));
    }

    #[test]
    fn pins_are_seen_in_the_whole_two_mebibytes_and_go() {
        let machine = <crate::sim::Machine>::new(crate::pmem::ram::Ram::from_bytes(&[0; 4096]));
        let index = PageIndex::new();
        index.pin(510..514).unwrap();
        assert!(index.is_pinned(0..1) && index.is_pinned(600..601) && !index.is_pinned(1024..2000));
        index.unpin(&machine, 510..514);
        assert!(!index.is_pinned(0..2000));
    }

    #[test]
    fn an_entry_of_either_size_excludes_the_other_and_only_its_own() {
        let leaf = Leaf::default();
        let small = |page| leaf.try_lock(page, PageSize::Small, WORDS);
        let large = || leaf.try_lock(0, PageSize::Large, WORDS);
        assert!(small(511) && !small(511) && small(3));
        assert!(!large(), "a page is locked");
        assert!(leaf.is_locked(0, PageSize::Large) && !leaf.is_locked(4, PageSize::Small));
        let machine = <crate::sim::Machine>::new(crate::pmem::ram::Ram::from_bytes(&[0; 4096]));
        leaf.unlock(&machine, 511, PageSize::Small);
        leaf.unlock(&machine, 3, PageSize::Small);
        assert!(large() && !large() && !small(5));
        assert!(leaf.is_locked(5, PageSize::Small));
        leaf.unlock(&machine, 0, PageSize::Large);
        assert!(small(5));
    }

    proptest! {
        #[test]
        fn taking_and_clearing_agree_with_a_set(
            marks in prop::collection::vec(0u64..3000, 0..100),
            clear in (0u64..3000, 0u64..3000),
            take in (0u64..3000, 0u64..3000),
        ) {
            let (index, mut model) = (PageIndex::new(), BTreeSet::new());
            for page in marks {
                mark(&index, page);
                model.insert(page);
            }
            let range = |(a, b): (u64, u64)| a.min(b)..a.max(b);
            index.clear(range(clear), false);
            model.retain(|page| !range(clear).contains(page));
            let got: Vec<u64> = taken(&index, range(take)).into_iter().flatten().collect();
            let want: Vec<u64> = model.range(range(take)).copied().collect();
            prop_assert_eq!(got, want);
        }
    }
}
