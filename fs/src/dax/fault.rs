//! One fault's way: look up under the lock, install under the same lock, or retry with more rights. The same
//! code for pages of 4 KiB and of 2 MiB.
//!
//! # Invariants
//! The laws are those of docs/laws.md.
//!
//! - What is installed was looked up under the lock that is still held (law 2): [`Request::attempt`] does
//!   both.
//! - [`Attempt::Retry`] leaves nothing behind: `attempt` has changed nothing, and its caller drops the lock
//!   (law 4).
//! - A block is mapped only after the file system made its zeros durable and published it (law 3):
//!   [`Inode::look_up_for_write`].
//! - The index knows of a store or a zero page before the entry is there.

use super::{Fallback, Protocol};
use crate::PAGE_SIZE;
use crate::error::{Errno, Error, Result};
use crate::lab::{Point, mistake};
use crate::platform::{LARGE_PAGES, Mapped, NoFrames, PageSize, PageTables, Platform};
use crate::pmem::Pmem;
use crate::stats::Stats;
use crate::vfs::index::{LOCK_WORDS, Leaf, MAX_PAGES};
use crate::vfs::{AllocOk, Backing, Exclusive, Held, Inode, Mapping, Shared, Transaction};
use core::cell::Cell;

/// The area that a fault is in, as far as a fault is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its first address.
    pub start: u64,
    /// The first address after it.
    pub end: u64,
    /// Stores go to a copy of the page (`MAP_PRIVATE`).
    pub private: bool,
    /// Pages of 2 MiB may be used.
    pub large: bool,
    /// No store gets to a page before what leads there is durable (`MAP_SYNC`).
    pub sync: bool,
}

/// A fault inside an area, whose rights were checked already.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The page's virtual address, a multiple of 4 KiB.
    pub va: u64,
    /// The page of the file that belongs there.
    pub page: u64,
    /// A store (the area allows it), not a load.
    pub write: bool,
    /// Where it is.
    pub area: Area,
}

/// How a fault was answered. In every case the access can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A load from a hole: the shared zero page, read-only.
    ZeroPage,
    /// The block that was there.
    Block,
    /// A store to a hole: a block was allocated for it.
    Allocated,
    /// The block was mapped for reading and now is for writing.
    MkWrite,
    /// The entry was there already: another CPU was faster, or the TLB was behind.
    Spurious,
    /// A store to a private area: a copy of the page, of the address space's own.
    Copied,
}

/// Something failed, and the request keeps what. An [`Error`] is long: without it, what comes of a fault is
/// in a register most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed(());

/// What a step of a fault returns.
pub(super) type FaultResult<T> = core::result::Result<T, Failed>;

/// Leave to allocate, and the transaction to do it in; `None` where a try may not allocate.
pub(super) type Leave<'a> = Option<(AllocOk<'a>, &'a Transaction<'a>)>;

/// What came of one try under one lock.
pub(super) enum Attempt {
    Served(Served),
    /// A store met a hole where it may not allocate: nothing was changed, come back with leave to allocate.
    Retry,
}

/// The end of one size's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    Mapped(Outcome),
    /// Not with 2 MiB: nothing was changed.
    Fallback(Fallback),
    /// Not before the file system has committed what leads there: nothing is mapped.
    Uncommitted,
}

impl Served {
    pub(super) fn allocated(self) -> bool {
        self == Self::Mapped(Outcome::Allocated)
    }
}

/// What a look-up found behind the page; `None` for 2 MiB that are not one extent that can be mapped as one.
pub(super) type Lookup = Option<Backing>;

/// Returns whether a look-up found a hole, or what was never written: a store has to have it filled.
#[inline(always)]
pub(super) fn is_absent(found: Lookup) -> bool {
    found.is_some_and(|backing| !backing.is_mapped())
}

/// A fault on its way, at one page size. `LAB` is whether the laboratory is used: a fault asks once, and the
/// way without it is compiled without it (docs/exploration.md tells what differs).
pub(super) struct Request<'a, P: Platform, const LAB: bool> {
    space: &'a FaultSpace<'a, P>,
    leaf: &'a Leaf,
    /// A multiple of the page size, as `page` is.
    va: u64,
    pub page: u64,
    pub size: PageSize,
    /// What was asked for: whether a store, and in which area.
    pub fault: &'a Fault,
    /// The file's size as it was before the lock: a mutant's.
    early: Option<u64>,
}

impl<'a, P: Platform, const LAB: bool> core::ops::Deref for Request<'a, P, LAB> {
    type Target = FaultSpace<'a, P>;
    #[inline(always)]
    fn deref(&self) -> &FaultSpace<'a, P> {
        self.space
    }
}

/// Serves one fault on `file` in the address space of `tables`.
///
/// # Errors
/// [`Errno::BeyondEnd`] beyond the page that holds the last byte, [`Errno::NoSpace`], [`Errno::ReadOnly`],
/// [`Errno::NoMemory`] when there is no frame for a table page or a copy, or no memory for the index,
/// [`Error::Corrupt`], [`Error::Poisoned`]. The file's bytes and the page tables are as they were; a refused
/// store has updated the times, and after `NoMemory` the hole may have got a block of zeros.
#[inline(always)]
pub fn fault<P: Platform>(
    protocol: Protocol,
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
) -> Result<(Outcome, PageSize)> {
    let (platform, mapping) = file.parts();
    let stats = platform.stats();
    if fault.write { &stats.fault_write } else { &stats.fault_read }.inc();
    let error = Cell::new(None);
    let space = &FaultSpace { platform, mapping, file, tables, error: &error };
    let served = match platform.lab().is_used() {
        false => serve::<P, false>(protocol, space, fault),
        true => in_the_lab(protocol, space, fault),
    };
    let Ok((outcome, size)) = served else { return Err(counted(stats, error.get())) };
    match (size, outcome) {
        (PageSize::Small, Outcome::ZeroPage) => &stats.fault_zero_page,
        (PageSize::Small, Outcome::Block) => &stats.fault_block,
        (PageSize::Small, Outcome::Allocated) => &stats.fault_allocated,
        (PageSize::Small, Outcome::MkWrite) => &stats.fault_mkwrite,
        (PageSize::Small, Outcome::Spurious) => &stats.fault_spurious,
        (PageSize::Small, Outcome::Copied) => &stats.fault_copied,
        (PageSize::Large, Outcome::ZeroPage) => &stats.pmd_zero_page,
        (PageSize::Large, Outcome::Block) => &stats.pmd_block,
        (PageSize::Large, Outcome::Allocated) => &stats.pmd_allocated,
        (PageSize::Large, Outcome::MkWrite) => &stats.pmd_mkwrite,
        (PageSize::Large, Outcome::Spurious | Outcome::Copied) => &stats.pmd_spurious,
    }
    .inc();
    Ok((outcome, size))
}

/// The error that a fault met, counted.
#[cold]
#[inline(never)]
fn counted(stats: &Stats, error: Option<Error>) -> Error {
    // Whoever fails keeps why.
    let error = error.unwrap_or(Error::Op(Errno::Invalid));
    match error {
        Error::Op(Errno::BeyondEnd) => &stats.fault_beyond_end,
        Error::Op(Errno::NoSpace) => &stats.fault_no_space,
        Error::Poisoned(_) => &stats.fault_poisoned,
        _ => &stats.fault_failed,
    }
    .inc();
    error
}

/// Who has met a fault, and where what failed is kept.
pub(super) struct FaultSpace<'a, P: Platform> {
    pub platform: &'a P,
    pub mapping: &'a Mapping<P>,
    pub file: &'a dyn Inode<P>,
    tables: &'a P::PageTables,
    error: &'a Cell<Option<Error>>,
}

impl<P: Platform> FaultSpace<'_, P> {
    /// Keeps `error` for the end.
    #[cold]
    fn fail(&self, error: impl Into<Error>) -> Failed {
        self.error.set(Some(error.into()));
        Failed(())
    }

    /// Keeps what went wrong for the end.
    #[inline(always)]
    pub(super) fn step<T>(&self, result: Result<T>) -> FaultResult<T> {
        result.map_err(|error| self.fail(error))
    }
}

/// [`serve`], with its beginning and end reported.
#[cold]
#[inline(never)]
fn in_the_lab<P: Platform>(
    protocol: Protocol,
    space: &FaultSpace<'_, P>,
    fault: Fault,
) -> FaultResult<(Outcome, PageSize)> {
    let (platform, file) = (space.platform, space.file);
    let sync = fault.area.sync && !mistake!(platform.lab(), IgnoreUncommitted);
    let fault = Fault { area: Area { sync, ..fault.area }, ..fault };
    let how = u64::from(fault.write) | u64::from(fault.area.large) << 1 | u64::from(fault.area.private) << 2;
    platform.at(Point::FaultBegin, file.ino(), fault.page, how);
    let result = serve::<P, true>(protocol, space, fault);
    platform.at(Point::FaultEnd, file.ino(), fault.page, u64::from(result.is_err()));
    result
}

#[inline(always)]
fn serve<P: Platform, const LAB: bool>(
    protocol: Protocol,
    space: &FaultSpace<'_, P>,
    fault: Fault,
) -> FaultResult<(Outcome, PageSize)> {
    // What the index cannot hold, no file system may make a file of: it is refused before the index is
    // touched.
    if fault.page >= MAX_PAGES {
        return Err(space.fail(Errno::BeyondEnd));
    }
    let FaultSpace { platform, mapping, file, .. } = *space;
    let changes = !fault.area.private || LAB && mistake!(platform.lab(), PrivateNeedsWritable);
    let _thawed = match fault.write && changes {
        true => Some(space.step(file.start_write_fault())?),
        false => None,
    };
    let leaf = space.step(mapping.index.leaf(fault.page, P::has_memory_for_tasks))?;
    let Fault { va, page, .. } = fault;
    let early = (LAB && mistake!(platform.lab(), SizeBeforeLock)).then(|| mapping.size());
    let size = PageSize::Small;
    let request = &Request::<P, LAB> { space, leaf, va, page, size, fault: &fault, early };
    if fault.area.large {
        let why = match large(request.tables, &fault) {
            Ok((va, page)) => match serve_large(protocol, request, va, page)? {
                Ok(outcome) => return Ok((outcome, PageSize::Large)),
                Err(why) => why,
            },
            Err(why) => why,
        };
        why.counter(request.platform.stats()).inc();
        request.report(Point::Fallback, why as u64);
    }
    match serve_durably(protocol, request)? {
        Ok(outcome) => Ok((outcome, PageSize::Small)),
        Err(_) => unreachable!("there is nothing smaller"),
    }
}

/// Serves it by the protocol; if what leads to the pages has to be committed first, once more after that.
#[inline(always)]
fn serve_durably<P: Platform, const LAB: bool>(
    protocol: Protocol,
    request: &Request<'_, P, LAB>,
) -> FaultResult<core::result::Result<Outcome, Fallback>> {
    let served = match protocol.serve(request)? {
        Served::Uncommitted => serve_committed(protocol, request)?,
        served => served,
    };
    match served {
        Served::Mapped(outcome) => Ok(Ok(outcome)),
        Served::Fallback(why) => Ok(Err(why)),
        Served::Uncommitted => unreachable!("it is served when it is committed"),
    }
}

/// [`serve_durably`], after the first try. Others may change the file between the commit and the next
/// look-up.
#[cold]
#[inline(never)]
fn serve_committed<P: Platform, const LAB: bool>(
    protocol: Protocol,
    request: &Request<'_, P, LAB>,
) -> FaultResult<Served> {
    loop {
        request.commit()?;
        match protocol.serve(request)? {
            Served::Uncommitted => {}
            served => return Ok(served),
        }
    }
}

/// Tries it with the 2 MiB at `va`, the file's from `page` on, around the small request.
#[inline(never)]
fn serve_large<P: Platform, const LAB: bool>(
    protocol: Protocol,
    small: &Request<'_, P, LAB>,
    va: u64,
    page: u64,
) -> FaultResult<core::result::Result<Outcome, Fallback>> {
    serve_durably(protocol, &Request { va, page, size: PageSize::Large, ..*small })
}

/// Address and first page of the 2 MiB around the fault, or why they cannot be mapped as one, whatever the
/// file says.
#[inline]
fn large<T: PageTables>(tables: &T, fault: &Fault) -> core::result::Result<(u64, u64), Fallback> {
    const BYTES: u64 = PageSize::Large.bytes();
    let (va, page) = (fault.va & !(BYTES - 1), fault.page & !(LARGE_PAGES - 1));
    if fault.va - va != (fault.page - page) * PAGE_SIZE {
        return Err(Fallback::Alignment);
    }
    if va < fault.area.start || fault.area.end - va < BYTES {
        return Err(Fallback::Area);
    }
    if fault.area.private && fault.write {
        return Err(Fallback::Private);
    }
    if tables.has_small(va) { Err(Fallback::Small) } else { Ok((va, page)) }
}

impl<'a, P: Platform, const LAB: bool> Request<'a, P, LAB> {
    /// Takes `dax_sem` shared.
    #[inline]
    pub(super) fn shared(&self) -> Shared<'a, P> {
        self.report(Point::SharedWait, 0);
        let shared = self.mapping.shared();
        self.report(Point::SharedLocked, 0);
        shared
    }

    /// Takes `dax_sem` exclusively.
    #[inline]
    pub(super) fn exclusive(&self) -> Exclusive<'a, P> {
        self.report(Point::ExclusiveWait, 0);
        let exclusive = self.mapping.exclusive();
        self.report(Point::ExclusiveLocked, 0);
        exclusive
    }

    /// Locks the entry for the page, or for its 2 MiB.
    #[inline]
    pub(super) fn entry(&self) -> crate::vfs::index::EntryLock<'a, P> {
        let looks_at = match () {
            () if mistake!(self, LargeIgnoresSmallLocks) => 0,
            () if mistake!(self, LargeOverSmall) => 1,
            () => LOCK_WORDS,
        };
        let entry = self.leaf.lock(self.platform, self.page, self.size, looks_at);
        self.report(Point::EntryLocked, 0);
        entry
    }

    /// Returns whether a store to what was found changes the block map, in a transaction.
    #[inline(always)]
    pub(super) fn needs_transaction(&self, found: Lookup) -> bool {
        self.mapping.has_transactions() && self.fault.write && !self.fault.area.private && is_absent(found)
    }

    /// Opens the transaction for what is behind the pages, under `dax_sem`.
    #[inline(always)]
    pub(super) fn open<'b>(&'b self, lock: Held<'b>) -> FaultResult<Transaction<'b>> {
        self.step(self.file.begin(lock, self.page, self.size.pages()))
    }

    /// Opens the transaction that a store to what was found needs, under `dax_sem`; returns none where no
    /// transaction is needed.
    #[inline(always)]
    pub(super) fn begin<'b>(&'b self, lock: Held<'b>, found: Lookup) -> FaultResult<Transaction<'b>> {
        if self.needs_transaction(found) { self.open(lock) } else { Ok(Transaction::none()) }
    }

    /// Has the file system commit what leads to the pages. No lock is held, and when it is done the fault
    /// begins anew: the pages may be elsewhere by then.
    #[cold]
    fn commit(&self) -> FaultResult<()> {
        self.platform.stats().fault_sync.inc();
        self.step(self.file.commit(self.page..self.page + self.size.pages(), true))
    }

    /// Tells whoever listens of a step.
    #[inline]
    pub(super) fn report(&self, point: Point, arg: u64) {
        if LAB {
            self.platform.at(point, self.file.ino(), self.page, arg);
        }
    }

    /// Returns whether a mistake is to be made.
    #[cfg(feature = "lab")]
    #[inline]
    pub(super) fn has(&self, mutant: crate::lab::Mutant) -> bool {
        LAB && self.platform.lab().has(mutant)
    }

    /// Looks up and installs, under `lock`; without leave to allocate.
    #[inline(always)]
    pub(super) fn attempt(&self, lock: Held<'_>) -> FaultResult<Attempt> {
        let found = self.look_up(lock)?;
        self.attempt_with(found, lock, None)
    }

    /// Installs what was found under the lock that is still held; first fills it, if a store needs that.
    #[inline(always)]
    pub(super) fn complete(
        &self,
        found: Lookup,
        ok: AllocOk<'_>,
        transaction: &Transaction<'_>,
    ) -> FaultResult<Served> {
        match self.attempt_with(found, ok.held(), Some((ok, transaction)))? {
            Attempt::Served(served) => Ok(served),
            Attempt::Retry => unreachable!("with leave to allocate, a hole is filled or an error"),
        }
    }

    /// Looks up where the pages are, under `lock`.
    #[inline(always)]
    pub(super) fn look_up(&self, lock: Held<'_>) -> FaultResult<Lookup> {
        // A run that the index knows serves both sizes.
        let found = match self.leaf.run() {
            Some(place) => Some(Backing::mapped(place + self.page % LARGE_PAGES * PAGE_SIZE)),
            None => self.look_up_blocks(lock)?,
        };
        self.report(Point::LookedUp, found.and_then(Backing::place).unwrap_or(u64::MAX));
        Ok(found)
    }

    /// As [`look_up`](Self::look_up), where the index does not know.
    #[inline(always)]
    fn look_up_blocks(&self, lock: Held<'_>) -> FaultResult<Lookup> {
        if self.size == PageSize::Large {
            return Ok(self.look_up_run(lock));
        }
        let backing = match self.file.peek(lock, self.page) {
            Some(backing) => backing,
            None => self.step(self.file.look_up(lock, self.page, 1))?.backing,
        };
        if backing.is_settled() && self.leaf.should_learn_run() {
            self.learn_run(lock);
        }
        Ok(Some(backing))
    }

    /// Pages of 4 KiB were looked up here several times: if they all lie in one piece, the next need no
    /// look-up.
    #[cold]
    #[inline(never)]
    fn learn_run(&self, lock: Held<'_>) {
        self.look_up_run(lock);
    }

    #[inline(never)]
    fn look_up_run(&self, lock: Held<'_>) -> Lookup {
        if self.leaf.known_pieces() {
            return None;
        }
        // What is wrong with another page of the 2 MiB is no business of this fault's.
        if let Ok(extent) = self.file.look_up(lock, self.page & !(LARGE_PAGES - 1), LARGE_PAGES)
            && extent.len >= PageSize::Large.bytes()
        {
            let Some(place) = extent.place() else { return Some(extent.backing) };
            if self.is_aligned(place) {
                // The index keeps no flags: what is not committed yet is looked up until it is.
                if !extent.backing.is_dirty() {
                    self.leaf.set_run(place);
                }
                return Some(extent.backing);
            }
        }
        self.leaf.set_pieces();
        None
    }

    fn is_aligned(&self, place: u64) -> bool {
        self.platform.pmem().frame(place).is_multiple_of(PageSize::Large.bytes())
    }

    /// Does what [`attempt`](Self::attempt) does, with what was found.
    #[inline(always)]
    pub(super) fn attempt_with(
        &self,
        found: Lookup,
        _lock: Held<'_>,
        leave: Leave<'_>,
    ) -> FaultResult<Attempt> {
        // The size is looked at under the lock: a truncation that has finished is seen, one to come waits.
        let size = self.early.unwrap_or_else(|| self.mapping.size());
        if (self.page + self.size.pages() - 1) * PAGE_SIZE >= size {
            return match self.size {
                PageSize::Small => Err(self.fail(Errno::BeyondEnd)),
                PageSize::Large => Ok(fallback(Fallback::End)),
            };
        }
        if self.fault.write && self.fault.area.private && !mistake!(self, PrivateWritesThrough) {
            return Ok(Attempt::Served(Served::Mapped(self.copy(found)?)));
        }
        let Some(backing) = found else { return Ok(fallback(Fallback::Pieces)) };
        match backing.place() {
            Some(_) if self.is_uncommitted(backing) => Ok(Attempt::Served(Served::Uncommitted)),
            Some(place) => self.install(place, false),
            None if self.fault.write || mistake!(self, ReadAllocates) => match leave {
                Some((ok, transaction)) => self.allocate(ok, transaction),
                None => Ok(Attempt::Retry),
            },
            None => self.map_zero(),
        }
    }

    /// Whether a store has to wait until the file system has committed what leads there.
    #[inline(always)]
    fn is_uncommitted(&self, backing: Backing) -> bool {
        backing.is_dirty() && self.fault.area.sync && self.fault.write
    }

    /// Fills the hole, or what was never written, and installs what is there then.
    #[inline(never)]
    fn allocate(&self, ok: AllocOk<'_>, transaction: &Transaction<'_>) -> FaultResult<Attempt> {
        // The file system looks up again, under its own locks, before it takes a block.
        let backing = match self.file.look_up_for_write(ok, transaction, self.page, self.size.pages()) {
            // No run is free, but pages may be.
            Err(Error::Op(Errno::NoSpace)) if self.size == PageSize::Large => {
                return Ok(fallback(Fallback::Space));
            }
            backing => self.step(backing)?,
        };
        // Of 2 MiB that cannot be filled as one, nothing was filled.
        let Some(place) = backing.place() else { return Ok(fallback(Fallback::Space)) };
        let fresh = backing.is_new();
        if fresh {
            self.report(Point::Allocated, place);
            // Law 6: the zero page goes from every address space before anyone can store to the block.
            let told = match self.size {
                PageSize::Large => true,
                PageSize::Small if mistake!(self, KeepLargeZeroPage) => self.leaf.is_zero(self.page),
                PageSize::Small => self.leaf.cares_for_allocation(self.page),
            };
            if told && !mistake!(self, KeepZeroPage) {
                let pages = self.page..self.page + self.size.pages();
                self.mapping.unmap_zero(self.platform, ok, pages);
            }
        } else if mistake!(self, NoSecondLookUp) {
            self.platform.pmem().zero_nt(place, PAGE_SIZE);
        }
        if self.size == PageSize::Large {
            // A region that does not begin at a multiple of 2 MiB has runs that no large entry can map.
            if !self.is_aligned(place) {
                return Ok(fallback(Fallback::Space));
            }
            if !backing.is_dirty() {
                self.leaf.set_run(place);
            }
        }
        match self.is_uncommitted(backing) {
            true => Ok(Attempt::Served(Served::Uncommitted)),
            false => self.install(place, fresh),
        }
    }

    #[inline(always)]
    fn install(&self, place: u64, fresh: bool) -> FaultResult<Attempt> {
        let pmem = self.platform.pmem();
        if let Some(at) = pmem.poisoned(place, self.size.bytes())
            && !mistake!(self, IgnorePoison)
        {
            return match self.size {
                PageSize::Small => Err(self.fail(Error::Poisoned(at))),
                // Only the page that lost its content is to fail.
                PageSize::Large => Ok(fallback(Fallback::Poison)),
            };
        }
        if mistake!(self, ZeroTwice) && self.fault.write && !fresh {
            pmem.zero_nt(place, self.size.bytes());
        }
        // Before the entry: a store through it must never find the page clean.
        let late = mistake!(self, MarkAfterInstall);
        let marks = self.fault.write && !mistake!(self, NoDirtyMark) && !mistake!(self, MarkAfterUnlock);
        if marks && !late {
            self.mark_dirty();
        }
        self.report(Point::Marked, 0);
        // A load maps read-only even where stores are allowed: the first store must come here to mark the
        // page dirty.
        let mapped = self.tables.map(self.va, pmem.frame(place), self.size, self.fault.write);
        if marks && late {
            self.report(Point::Installed, 0);
            self.mark_dirty();
        }
        self.finish(mapped, if fresh { Outcome::Allocated } else { Outcome::Block })
    }

    #[inline]
    pub(super) fn mark_dirty(&self) {
        match self.size {
            PageSize::Small => self.leaf.mark_dirty(self.page),
            PageSize::Large => self.leaf.mark_large_dirty(),
        }
    }

    #[inline(always)]
    fn map_zero(&self) -> FaultResult<Attempt> {
        // Before the entry: whoever allocates a block here must know that there is something to unmap.
        match self.size {
            _ if mistake!(self, NoZeroMark) => {}
            PageSize::Small => self.leaf.mark_zero(self.page),
            PageSize::Large => self.leaf.mark_large_zero(),
        }
        self.report(Point::Marked, 0);
        self.finish(self.tables.map_zero(self.va, self.size), Outcome::ZeroPage)
    }

    #[inline(always)]
    fn finish(&self, mapped: core::result::Result<Mapped, NoFrames>, made: Outcome) -> FaultResult<Attempt> {
        // What happens most of the time is compared with first: a table of all answers takes longer.
        let outcome = if mapped == Ok(Mapped::New) {
            made
        } else if mapped == Ok(Mapped::Upgraded) && made != Outcome::Allocated {
            Outcome::MkWrite
        } else {
            return self.finish_other(mapped, made);
        };
        self.report(Point::Installed, 0);
        Ok(Attempt::Served(Served::Mapped(outcome)))
    }

    #[inline(never)]
    fn finish_other(
        &self,
        mapped: core::result::Result<Mapped, NoFrames>,
        made: Outcome,
    ) -> FaultResult<Attempt> {
        let outcome = match mapped {
            Ok(Mapped::New | Mapped::Replaced) => made,
            Ok(_) if made == Outcome::Allocated => made,
            Ok(Mapped::Upgraded) => Outcome::MkWrite,
            Ok(Mapped::Already) => Outcome::Spurious,
            Ok(Mapped::Table) => return Ok(fallback(Fallback::Small)),
            Err(NoFrames) => match self.size {
                PageSize::Small => return Err(self.fail(Errno::NoMemory)),
                PageSize::Large => return Ok(fallback(Fallback::Memory)),
            },
        };
        self.report(Point::Installed, 0);
        Ok(Attempt::Served(Served::Mapped(outcome)))
    }

    /// Answers a store to a private area: maps a copy of what was found.
    #[inline(never)]
    pub(super) fn copy(&self, found: Lookup) -> FaultResult<Outcome> {
        let pmem = self.platform.pmem();
        let from = match found.and_then(Backing::place) {
            Some(place) => match pmem.poisoned(place, PAGE_SIZE) {
                Some(at) => return Err(self.fail(Error::Poisoned(at))),
                None => Some(pmem.frame(place)),
            },
            None => None,
        };
        self.report(Point::Marked, 1);
        match self.tables.map_copy(self.va, from) {
            Ok(Mapped::Already) => Ok(Outcome::Spurious),
            Ok(_) => {
                self.report(Point::Installed, 1);
                Ok(Outcome::Copied)
            }
            Err(NoFrames) => Err(self.fail(Errno::NoMemory)),
        }
    }
}

fn fallback(why: Fallback) -> Attempt {
    Attempt::Served(Served::Fallback(why))
}
