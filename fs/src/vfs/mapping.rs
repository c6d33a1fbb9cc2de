//! Where one file is mapped: its `dax_sem`, its areas in every address space, and what is known of its pages.
//!
//! A file system puts one [`Mapping`] in each inode. [`dax`](crate::dax) maps and cleans pages through it; the file
//! system unmaps through it before a block is freed or takes the zero page's place (law 6).
//!
//! # Locking
//! `dax_sem → areas → page tables`. Areas come and go under the address space's lock, which is taken before.

use super::index::PageIndex;
use crate::PAGE_SIZE;
use crate::platform::{Mutex, PageTables, Platform, RwLock};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;
use lock_api::{RwLockReadGuard, RwLockWriteGuard};

/// One inode's mapping state.
pub struct Mapping<P: Platform> {
    dax_sem: RwLock<P, ()>,
    areas: Mutex<P, Vec<Area<P>>>,
    /// What is known of each page.
    pub index: PageIndex,
}

/// A range of an address space that shows a range of the file.
struct Area<P: Platform> {
    tables: Arc<P::PageTables>,
    va: u64,
    pages: Range<u64>,
}

impl<P: Platform> Area<P> {
    /// The part of `pages` seen through this area: first address and number of pages.
    fn clip(&self, pages: &Range<u64>) -> Option<(u64, u64)> {
        let start = pages.start.max(self.pages.start);
        let end = pages.end.min(self.pages.end);
        (start < end).then(|| (self.va + (start - self.pages.start) * PAGE_SIZE, end - start))
    }
}

/// Proof that an inode's `dax_sem` is held, shared or exclusively, for `'a`. Which inode's, it does not prove.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a>(PhantomData<&'a ()>);

/// Leave to allocate (`alloc_ok`): `dax_sem` is held exclusively, so no fault runs on the same inode. Which inode's, it
/// does not prove. The one exception is [`AllocOk::racy`].
#[derive(Clone, Copy, Debug)]
pub struct AllocOk<'a>(PhantomData<&'a ()>);

impl<'a> AllocOk<'a> {
    /// Leave to allocate under the shared lock: the bug of before the RFC, for the `Racy` protocol alone.
    pub(crate) fn racy(_: Held<'a>) -> Self {
        Self(PhantomData)
    }

    /// Whoever may allocate holds the lock.
    pub fn held(self) -> Held<'a> {
        Held(PhantomData)
    }
}

/// `dax_sem`, held shared.
pub struct Shared<'a, P: Platform>(#[allow(dead_code)] RwLockReadGuard<'a, P::RwLock, ()>);

/// `dax_sem`, held exclusively.
pub struct Exclusive<'a, P: Platform>(#[allow(dead_code)] RwLockWriteGuard<'a, P::RwLock, ()>);

impl<P: Platform> Shared<'_, P> {
    /// Proof of it.
    pub fn held(&self) -> Held<'_> {
        Held(PhantomData)
    }
}

impl<P: Platform> Exclusive<'_, P> {
    /// Proof of it.
    pub fn held(&self) -> Held<'_> {
        Held(PhantomData)
    }

    /// Leave to allocate.
    pub fn alloc_ok(&self) -> AllocOk<'_> {
        AllocOk(PhantomData)
    }
}

impl<P: Platform> Default for Mapping<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Mapping<P> {
    /// A file that is mapped nowhere.
    pub fn new() -> Self {
        Self {
            dax_sem: RwLock::<P, ()>::new(()),
            areas: Mutex::<P, _>::new(Vec::new()),
            index: PageIndex::new(),
        }
    }

    /// Takes `dax_sem` shared.
    #[inline]
    pub fn shared(&self) -> Shared<'_, P> {
        Shared(self.dax_sem.read())
    }

    /// Takes `dax_sem` exclusively.
    #[inline]
    pub fn exclusive(&self) -> Exclusive<'_, P> {
        Exclusive(self.dax_sem.write())
    }

    /// Notes that from now on pages `pages` of the file may be mapped at `va` in `tables`. Called under the address
    /// space's lock, before the first fault there.
    pub fn attach(&self, tables: Arc<P::PageTables>, va: u64, pages: Range<u64>) {
        self.areas.lock().push(Area { tables, va, pages });
    }

    /// Forgets the area at `va` in `tables` but for the parts `keep` (address and pages of each), in one step. The
    /// caller has unmapped the rest: until then, whoever frees a block must still find it here. Called under the
    /// address space's lock, so that no fault brings an entry back in between.
    pub fn detach(
        &self,
        tables: &Arc<P::PageTables>,
        va: u64,
        keep: impl IntoIterator<Item = (u64, Range<u64>)>,
    ) {
        let mut areas = self.areas.lock();
        areas.retain(|area| !(Arc::ptr_eq(&area.tables, tables) && area.va == va));
        areas.extend(keep.into_iter().map(|(va, pages)| Area { tables: tables.clone(), va, pages }));
    }

    /// Takes the entries of `pages` out of every address space; when it returns, no TLB serves them. The index forgets
    /// that they were dirty: for blocks about to be freed. Returns the number of entries taken out.
    pub fn unmap(&self, _ok: AllocOk<'_>, pages: Range<u64>) -> u64 {
        let gone = self.for_each_area(&pages, |tables, va, count| tables.unmap(va, count));
        self.index.clear(pages);
        gone
    }

    /// A block took the place of a hole at `page`: takes the zero page out of every address space that shows it there.
    /// Returns the number of entries taken out.
    pub fn unmap_zero(&self, _ok: AllocOk<'_>, page: u64) -> u64 {
        if !self.index.take_zero(page) {
            return 0;
        }
        self.for_each_area(&(page..page + 1), |tables, va, count| tables.unmap(va, count))
    }

    /// Makes the entries of `pages` read-only in every address space; when it returns, no TLB lets a store through.
    /// Returns the number of entries that were writable.
    pub fn write_protect(&self, _lock: Held<'_>, pages: Range<u64>) -> u64 {
        self.for_each_area(&pages, |tables, va, count| tables.write_protect(va, count))
    }

    fn for_each_area(&self, pages: &Range<u64>, mut f: impl FnMut(&P::PageTables, u64, u64) -> u64) -> u64 {
        let areas = self.areas.lock();
        let parts = areas.iter().filter_map(|area| area.clip(pages).map(|(va, count)| (area, va, count)));
        parts.map(|(area, va, count)| f(&area.tables, va, count)).sum()
    }
}
