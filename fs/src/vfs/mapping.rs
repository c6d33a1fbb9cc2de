//! Where one file is mapped: its invalidate lock `dax_sem`, its areas in every address space, and what is
//! known of its pages.
//!
//! A file system puts one [`Mapping`] in each inode. [`dax`](crate::dax) maps and cleans pages through it;
//! the file system unmaps through it before a block is freed or takes the zero page's place (docs/laws.md,
//! law 6).
//!
//! # Locking
//! `inode lock → dax_sem → areas → page tables`. Areas come and go under the address space's lock, which is
//! taken before.

use super::extent::Extent;
use super::index::PageIndex;
use super::inode_lock::ChangeOk;
use crate::PAGE_SIZE;
use crate::atomic::AtomicU64;
use crate::error::Result;
use crate::lab::{Point, mistake};
use crate::platform::{LARGE_PAGES, Mutex, PageTables, Platform, RwLock};
use crate::pmem::Pmem;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{ControlFlow, Range};
use core::sync::atomic::Ordering::{Acquire, Release};
use lock_api::{RwLockReadGuard, RwLockWriteGuard};

/// One inode's mapping state.
pub struct Mapping<P: Platform> {
    dax_sem: RwLock<P, ()>,
    areas: Mutex<P, Vec<MappingArea<P>>>,
    /// The file's size in bytes, which a fault looks at under `dax_sem`: it does not shrink meanwhile.
    size: AtomicU64,
    /// Its block map changes in transactions.
    has_transactions: bool,
    /// What is known of each page.
    pub index: PageIndex,
}

/// A range of an address space that shows a range of the file.
struct MappingArea<P: Platform> {
    tables: Arc<P::PageTables>,
    va: u64,
    pages: Range<u64>,
}

impl<P: Platform> MappingArea<P> {
    /// The part of `pages` seen through this area: first address and number of pages.
    fn clip(&self, pages: &Range<u64>) -> Option<(u64, u64)> {
        let start = pages.start.max(self.pages.start);
        let end = pages.end.min(self.pages.end);
        (start < end).then(|| (self.va + (start - self.pages.start) * PAGE_SIZE, end - start))
    }
}

/// Proof that an inode's `dax_sem` is held, shared or exclusively, for `'a`. Which inode's, it does not
/// prove.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a>(PhantomData<&'a ()>);

/// Leave to allocate (`alloc_ok`): `dax_sem` is held exclusively, so no fault runs on the same inode; or it
/// is held shared and the entry's lock too, so no fault runs on the same pages; or the inode is mapped
/// nowhere. Which inode's or pages', it does not prove. The one exception is `AllocOk::mistaken`, of the lab.
#[derive(Clone, Copy, Debug)]
pub struct AllocOk<'a>(PhantomData<&'a ()>);

#[cfg(feature = "lab")]
impl Held<'_> {
    /// Makes a proof of a lock that was held a moment ago: a mistake of the lab's.
    pub(crate) fn no_more() -> Self {
        Self(PhantomData)
    }
}

impl<'a> AllocOk<'a> {
    /// Gives leave to allocate under the shared lock: the bug of before the RFC, for the `Racy` protocol and
    /// mistakes of the lab's alone.
    #[cfg(feature = "lab")]
    pub(crate) fn mistaken(_: Held<'a>) -> Self {
        Self(PhantomData)
    }

    /// Gives leave to allocate: the entry's lock is held, and `dax_sem` shared.
    pub(super) fn of_entry() -> Self {
        Self(PhantomData)
    }

    /// Gives leave where no fault runs, nor will before `'a` ends: the inode is mapped nowhere. It is no
    /// regular file; or it has no handle any more, and whoever maps a file holds one.
    #[inline(always)]
    pub(crate) fn of_unmapped(_: ChangeOk<'a>) -> Self {
        Self(PhantomData)
    }

    /// Returns proof that the lock is held: whoever may allocate holds it, or needs none.
    pub fn held(self) -> Held<'a> {
        Held(PhantomData)
    }
}

/// `dax_sem`, held shared.
pub struct Shared<'a, P: Platform>(#[allow(dead_code)] RwLockReadGuard<'a, P::RwLock, ()>);

/// `dax_sem`, held exclusively.
pub struct Exclusive<'a, P: Platform>(#[allow(dead_code)] RwLockWriteGuard<'a, P::RwLock, ()>);

impl<P: Platform> Shared<'_, P> {
    /// Returns proof that `dax_sem` is held.
    pub fn held(&self) -> Held<'_> {
        Held(PhantomData)
    }
}

impl<P: Platform> Exclusive<'_, P> {
    /// Returns proof that `dax_sem` is held.
    pub fn held(&self) -> Held<'_> {
        Held(PhantomData)
    }

    /// Gives leave to allocate.
    pub fn alloc_ok(&self) -> AllocOk<'_> {
        AllocOk(PhantomData)
    }
}

/// `dax_sem`, held exclusively; or shared, where that mistake is made.
pub enum Changing<'a, P: Platform> {
    /// Exclusively.
    Exclusive(Exclusive<'a, P>),
    /// Shared.
    #[cfg(feature = "lab")]
    Mistaken(Shared<'a, P>),
}

impl<P: Platform> Changing<'_, P> {
    /// Returns proof that `dax_sem` is held.
    pub(crate) fn held(&self) -> Held<'_> {
        Held(PhantomData)
    }

    /// Gives leave to allocate.
    pub(crate) fn alloc_ok(&self) -> AllocOk<'_> {
        match self {
            Self::Exclusive(exclusive) => exclusive.alloc_ok(),
            #[cfg(feature = "lab")]
            Self::Mistaken(shared) => AllocOk::mistaken(shared.held()),
        }
    }
}

impl<P: Platform> Mapping<P> {
    /// Makes the mapping of a file of `size` bytes that is mapped nowhere.
    pub fn new(size: u64) -> Self {
        Self {
            dax_sem: RwLock::<P, ()>::new(()),
            areas: Mutex::<P, _>::new(Vec::new()),
            size: AtomicU64::new(size),
            has_transactions: false,
            index: PageIndex::new(),
        }
    }

    /// Makes a mapping as [`new`](Self::new) does, of a file whose block map changes in
    /// [transactions](super::Transaction).
    pub fn with_transactions(size: u64) -> Self {
        Self { has_transactions: true, ..Self::new(size) }
    }

    /// Returns whether a fault that changes the block map has to open a [transaction](super::Inode::begin)
    /// first.
    #[inline(always)]
    pub fn has_transactions(&self) -> bool {
        self.has_transactions
    }

    /// Tells of its locks.
    #[cfg(feature = "watched")]
    pub fn locks(&self, tell: super::watched::Tell<'_>) {
        tell("dax_sem", super::watched::lies(&self.dax_sem));
        tell("areas of the file", super::watched::lies(&self.areas));
    }

    /// Returns the file's size in bytes. Stable under the inode lock; under `dax_sem` it may grow.
    #[inline]
    pub fn size(&self) -> u64 {
        self.size.load(Acquire)
    }

    /// Sets the file's size: whoever stores another says so here. If it is smaller, under `dax_sem` too, held
    /// exclusively.
    #[inline]
    pub fn set_size(&self, _lock: ChangeOk<'_>, size: u64) {
        self.size.store(size, Release);
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

    /// Takes `dax_sem` exclusively, unless the mistake is made to take it shared.
    #[inline(always)]
    pub(crate) fn exclusive_but_for(&self, mistake: bool) -> Changing<'_, P> {
        match mistake {
            #[cfg(feature = "lab")]
            true => Changing::Mistaken(self.shared()),
            _ => Changing::Exclusive(self.exclusive()),
        }
    }

    /// Notes that from now on pages `pages` of the file may be mapped at `va` in `tables`. Called under the
    /// address space's lock, before the first fault there.
    pub fn attach(&self, tables: Arc<P::PageTables>, va: u64, pages: Range<u64>) {
        self.areas.lock().push(MappingArea { tables, va, pages });
    }

    /// Forgets the area at `va` in `tables` but for the parts `keep` (address and pages of each), in one
    /// step. The caller has unmapped the rest: until then, whoever frees a block must still find it here.
    /// Called under the address space's lock, so that no fault brings an entry back in between.
    pub fn detach(
        &self,
        tables: &Arc<P::PageTables>,
        va: u64,
        keep: impl IntoIterator<Item = (u64, Range<u64>)>,
    ) {
        let mut areas = self.areas.lock();
        areas.retain(|area| !(Arc::ptr_eq(&area.tables, tables) && area.va == va));
        areas.extend(keep.into_iter().map(|(va, pages)| MappingArea { tables: tables.clone(), va, pages }));
    }

    /// Takes `dax_sem` as [`exclusive`](Self::exclusive) does, but waits first, holding nothing, until no
    /// transfer uses pages of `pages` by their physical addresses: for whoever is about to free or move their
    /// blocks. `begin` takes what comes before this lock in the order; it is let go while waiting.
    ///
    /// # Errors
    /// Those of `begin`.
    pub fn exclusive_unpinned<T>(
        &self,
        platform: &P,
        pages: Range<u64>,
        mut begin: impl FnMut() -> Result<T>,
    ) -> Result<(T, Changing<'_, P>)> {
        loop {
            let begun = begin()?;
            let exclusive = self.exclusive_but_for(mistake!(platform.lab(), FreeShared));
            let ignored = mistake!(platform.lab(), IgnorePins);
            if ignored || !self.index.is_pinned(pages.clone()) {
                return Ok((begun, exclusive));
            }
            drop(exclusive);
            drop(begun);
            platform.stats().pin_waits.inc();
            platform.wait(self.index.pin_key(), &mut || self.index.is_pinned(pages.clone()));
        }
    }

    /// Takes the entries of `pages` out of every address space, copies too; when it returns, no TLB serves
    /// them. The index forgets that they were dirty: for blocks about to be freed.
    pub fn unmap(&self, platform: &P, ok: AllocOk<'_>, pages: Range<u64>) {
        self.take_out(platform, ok, pages, true);
    }

    /// Unmaps as [`unmap`](Self::unmap) does, but private copies stay: for a hole that is punched.
    pub fn unmap_shared(&self, platform: &P, ok: AllocOk<'_>, pages: Range<u64>) {
        self.take_out(platform, ok, pages, false);
    }

    /// Unmaps as [`unmap`](Self::unmap) does if `copies` go too, or else as
    /// [`unmap_shared`](Self::unmap_shared).
    pub(crate) fn take_out(&self, platform: &P, ok: AllocOk<'_>, pages: Range<u64>, copies: bool) {
        if !mistake!(platform.lab(), KeepMapping) {
            let unmap = |tables: &P::PageTables, va, count| tables.unmap(va, count, copies);
            let gone = match mistake!(platform.lab(), FirstSpaceOnly) {
                #[cfg(feature = "lab")]
                true => self.first_area(&pages, unmap),
                _ => self.for_each_area(&pages, unmap),
            };
            platform.stats().mapping_unmapped.add(gone);
            platform.at(Point::Unmapped, 0, pages.start, gone);
        }
        let pages = match mistake!(platform.lab(), ForgetDirty) {
            false => pages,
            true => {
                pages.start & !(LARGE_PAGES - 1)
                    ..pages.end.checked_next_multiple_of(LARGE_PAGES).unwrap_or(u64::MAX)
            }
        };
        self.forget(platform, ok, pages);
    }

    /// Forgets what is known of `pages`, which no address space shows and whose blocks are about to be freed
    /// or to move.
    #[inline]
    pub fn forget(&self, platform: &P, _ok: AllocOk<'_>, pages: Range<u64>) {
        self.index.clear(pages, mistake!(platform.lab(), KeepRun));
    }

    /// Takes the zero page, of either size, out of every address space that shows it in `pages`, where blocks
    /// took the place of holes.
    #[inline]
    pub fn unmap_zero(&self, platform: &P, _ok: AllocOk<'_>, pages: Range<u64>) {
        let first = pages.start;
        let mut gone = 0;
        self.index.take_zero(pages, |range| {
            gone += self.for_each_area(&range, |tables, va, count| tables.unmap(va, count, false));
        });
        if gone > 0 {
            platform.stats().zero_page_unmapped.add(gone);
            platform.at(Point::ZeroUnmapped, 0, first, gone);
        }
    }

    /// Makes the entries of `pages` read-only in every address space; when it returns, no TLB lets a store
    /// through. Returns the number of entries that were writable.
    pub fn write_protect(&self, _lock: Held<'_>, pages: Range<u64>) -> u64 {
        self.for_each_area(&pages, |tables, va, count| tables.write_protect(va, count))
    }

    /// Writes back what is dirty of `pages`, which share a word of the index (64 pages); only what is
    /// [to be written](PageIndex::tag), if `tagged`. Write-protects it in every address space, so that the
    /// next store faults and marks it dirty again, and flushes its cache lines; the caller fences before it
    /// lets go of the lock. `find` gives a page's place, or `None` for a hole. Under `dax_sem`, exclusively:
    /// a fault marks a page dirty and installs its entry in one, and must not be between the two here.
    /// Returns how many pages were flushed.
    ///
    /// # Errors
    /// What `find` met; the page stays dirty.
    pub fn write_back(
        &self,
        platform: &P,
        lock: Held<'_>,
        pages: &Range<u64>,
        tagged: bool,
        mut find: impl FnMut(u64) -> Result<Option<u64>>,
    ) -> Result<u64> {
        let Some((leaf, taken)) = self.index.take(pages, tagged) else { return Ok(0) };
        let (stats, lab, span) = (platform.stats(), platform.lab(), taken.span());
        let protect = || {
            if !(taken.large && mistake!(lab, KeepLargeWritable)) {
                stats.write_protected.add(self.write_protect(lock, span.clone()));
            }
            platform.at(Point::Protected, 0, span.start, span.end - span.start);
        };
        platform.at(Point::Cleaned, 0, span.start, u64::from(taken.large));
        let late = mistake!(lab, FlushBeforeProtect);
        if !late {
            protect();
        }
        let mut flush = Flush { pmem: platform.pmem(), start: 0, end: 0, bytes: 0 };
        let mut result = Ok(());
        taken.each_run(|run| {
            // Known to be one piece: no look-up for each page.
            if let Some(place) = leaf.run() {
                let within = run.start % LARGE_PAGES;
                return flush.add(place + within * PAGE_SIZE, (run.end - run.start) * PAGE_SIZE);
            }
            for page in run {
                match find(page) {
                    Ok(Some(place)) => flush.add(place, PAGE_SIZE),
                    // A hole under an entry of 2 MiB, or freed since.
                    Ok(None) => {}
                    Err(error) => {
                        leaf.mark_dirty(page);
                        result = Err(error);
                    }
                }
            }
        });
        let flushed = flush.finish() / PAGE_SIZE;
        platform.at(Point::Flushed, 0, span.start, flushed);
        if late {
            protect();
        }
        stats.sync_pages.add(flushed);
        result.map(|()| flushed)
    }

    /// Writes back everything dirty of `pages`, as [`write_back`](Self::write_back) does for 64 pages; the
    /// caller fences. Returns how many pages were flushed.
    ///
    /// # Errors
    /// The first that `find` met; pages it met none for are written back.
    pub fn write_back_all(
        &self,
        platform: &P,
        lock: Held<'_>,
        pages: Range<u64>,
        mut find: impl FnMut(u64) -> Result<Option<u64>>,
    ) -> Result<u64> {
        self.index.tag(pages.clone());
        let (mut from, mut flushed, mut result) = (pages.start, 0, Ok(()));
        while let Some(part) = self.index.next_tagged(from, pages.end) {
            from = part.end;
            match self.write_back(platform, lock, &part, true, &mut find) {
                Ok(count) => flushed += count,
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| flushed)
    }

    /// Takes the pages that lie at `place`, bytes of the region, out of every address space, after what was
    /// stored to others around them is durable. `extents` lists what is behind the file. Waits for
    /// `dax_sem`.
    ///
    /// # Errors
    /// What `extents` met, or the write-back.
    pub(crate) fn unmap_place(
        &self,
        platform: &P,
        place: Range<u64>,
        extents: impl FnOnce(&mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()>,
    ) -> Result<()> {
        let exclusive = self.exclusive();
        let mut bad = Vec::new();
        extents(&mut |extent| {
            let at = extent.place().unwrap_or(u64::MAX);
            let (from, to) = (place.start.max(at), place.end.min(at.saturating_add(extent.len)));
            if from < to {
                let page = |byte: u64| (extent.offset + byte - at) / PAGE_SIZE;
                bad.push((page(from)..page(to - 1) + 1, extent));
            }
            ControlFlow::Continue(())
        })?;
        for (pages, extent) in bad {
            let place = |page: u64| Ok(extent.place().map(|at| at + page * PAGE_SIZE - extent.offset));
            self.write_back_all(platform, exclusive.held(), pages.clone(), place)?;
            self.unmap_shared(platform, exclusive.alloc_ok(), pages);
        }
        platform.pmem().fence();
        Ok(())
    }

    /// Returns whether the file is mapped somewhere.
    pub fn is_mapped(&self) -> bool {
        !self.areas.lock().is_empty()
    }

    fn for_each_area(&self, pages: &Range<u64>, mut f: impl FnMut(&P::PageTables, u64, u64) -> u64) -> u64 {
        let areas = self.areas.lock();
        let parts = areas.iter().filter_map(|area| area.clip(pages).map(|(va, count)| (area, va, count)));
        parts.map(|(area, va, count)| f(&area.tables, va, count)).sum()
    }

    /// As [`for_each_area`](Self::for_each_area), for the first one only: a mistake.
    #[cfg(feature = "lab")]
    #[cold]
    fn first_area(&self, pages: &Range<u64>, f: impl FnOnce(&P::PageTables, u64, u64) -> u64) -> u64 {
        let areas = self.areas.lock();
        let part = areas.first().and_then(|area| area.clip(pages).map(|(va, count)| (area, va, count)));
        part.map_or(0, |(area, va, count)| f(&area.tables, va, count))
    }
}

/// Flushes neighbouring pieces together.
struct Flush<'a, M: Pmem> {
    pmem: &'a M,
    start: u64,
    end: u64,
    bytes: u64,
}

impl<M: Pmem> Flush<'_, M> {
    fn add(&mut self, place: u64, len: u64) {
        if place != self.end {
            self.pmem.flush(self.start, self.end - self.start);
            self.start = place;
        }
        self.end = place + len;
        self.bytes += len;
    }

    fn finish(self) -> u64 {
        self.pmem.flush(self.start, self.end - self.start);
        self.bytes
    }
}
