//! One fault's way: look up under the lock, install under the same lock, or retry with more rights. The same code for
//! pages of 4 KiB and of 2 MiB.
//!
//! # Invariants
//! The laws are those of docs/laws.md.
//!
//! - What is installed was looked up under the lock that is still held (law 2): [`Request::attempt`] does both.
//! - [`Attempt::Retry`] leaves nothing behind: `attempt` has changed nothing, and its caller drops the lock (law 4).
//! - A block is mapped only after the file system made its zeros durable and published it (law 3), which is also all that
//!   `MAP_SYNC` asks for: `Inode::allocate`, `Inode::allocate_run`.
//! - The index knows of a store or a zero page before the entry is there.

use super::{Fallback, Protocol};
use crate::PAGE_SIZE;
use crate::error::{Errno, Error, Result};
use crate::lab::{Mutant, Point};
use crate::platform::{LARGE_PAGES, Mapped, NoFrames, PageSize, PageTables, Platform};
use crate::pmem::Pmem;
use crate::vfs::index::{LOCK_WORDS, Leaf, MAX_PAGES};
use crate::vfs::{AllocOk, BlockRun, Exclusive, Held, Inode, Mapping, Place, Shared};

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
}

impl Served {
    pub(super) fn allocated(self) -> bool {
        self == Self::Mapped(Outcome::Allocated)
    }
}

/// What a look-up found.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// Byte offset in the region.
    Block(u64),
    Hole,
    /// Pieces, under 2 MiB.
    Pieces,
}

/// A fault on its way, at one page size. `LAB` is whether the laboratory is used: a fault asks once, and the way without
/// it is compiled without it.
pub(super) struct Request<'a, P: Platform, const LAB: bool> {
    pub platform: &'a P,
    mapping: &'a Mapping<P>,
    file: &'a dyn Inode<P>,
    tables: &'a P::PageTables,
    leaf: &'a Leaf,
    /// A multiple of the page size, as `page` is.
    va: u64,
    page: u64,
    pub size: PageSize,
    pub write: bool,
    private: bool,
    /// The file's pages as they were before the lock: a mutant's.
    early: Option<u64>,
}

/// Serves one fault on `file` in the address space of `tables`.
///
/// # Errors
/// [`Errno::BeyondEnd`] beyond the page that holds the last byte, [`Errno::NoSpace`], [`Errno::ReadOnly`],
/// [`Errno::NoMemory`] when there is no frame for a table page or a copy, or no memory for the index, [`Error::Corrupt`],
/// [`Error::Poisoned`]. The file's bytes and the page tables are as they were; a refused store has updated the times, and
/// after `NoMemory` the hole may have got a block of zeros.
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
    let result = match platform.lab().is_used() {
        false => serve::<P, false>(protocol, platform, mapping, file, tables, fault),
        true => in_the_lab(protocol, platform, mapping, file, tables, fault),
    };
    match result {
        Ok((outcome, PageSize::Small)) => match outcome {
            Outcome::ZeroPage => &stats.fault_zero_page,
            Outcome::Block => &stats.fault_block,
            Outcome::Allocated => &stats.fault_allocated,
            Outcome::MkWrite => &stats.fault_mkwrite,
            Outcome::Spurious => &stats.fault_spurious,
            Outcome::Copied => &stats.fault_copied,
        },
        Ok((outcome, PageSize::Large)) => match outcome {
            Outcome::ZeroPage => &stats.pmd_zero_page,
            Outcome::Block => &stats.pmd_block,
            Outcome::Allocated => &stats.pmd_allocated,
            Outcome::MkWrite => &stats.pmd_mkwrite,
            Outcome::Spurious | Outcome::Copied => &stats.pmd_spurious,
        },
        Err(Error::Op(Errno::BeyondEnd)) => &stats.fault_beyond_end,
        Err(Error::Op(Errno::NoSpace)) => &stats.fault_no_space,
        Err(Error::Poisoned(_)) => &stats.fault_poisoned,
        Err(_) => &stats.fault_failed,
    }
    .inc();
    result
}

/// [`serve`], with its beginning and end reported.
#[cold]
#[inline(never)]
fn in_the_lab<P: Platform>(
    protocol: Protocol,
    platform: &P,
    mapping: &Mapping<P>,
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
) -> Result<(Outcome, PageSize)> {
    let how = u64::from(fault.write) | u64::from(fault.area.large) << 1 | u64::from(fault.area.private) << 2;
    platform.at(Point::FaultBegin, file.ino(), fault.page, how);
    let result = serve::<P, true>(protocol, platform, mapping, file, tables, fault);
    platform.at(Point::FaultEnd, file.ino(), fault.page, u64::from(result.is_err()));
    result
}

#[inline(always)]
fn serve<P: Platform, const LAB: bool>(
    protocol: Protocol,
    platform: &P,
    mapping: &Mapping<P>,
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
) -> Result<(Outcome, PageSize)> {
    // What the index cannot hold, no file system may make a file of: it is refused before the index is touched.
    if fault.page >= MAX_PAGES {
        return Err(Errno::BeyondEnd.into());
    }
    let private = fault.area.private;
    let has = |mutant| LAB && platform.lab().has(mutant);
    let _thawed = match fault.write {
        true if !private || has(Mutant::PrivateNeedsWritable) => Some(file.start_write_fault()?),
        _ => None,
    };
    let leaf = mapping.index.leaf(fault.page)?;
    let Fault { va, page, write, .. } = fault;
    let early = has(Mutant::SizeBeforeLock).then(|| mapping.size().div_ceil(PAGE_SIZE));
    let size = PageSize::Small;
    let request =
        Request::<P, LAB> { platform, mapping, file, tables, leaf, va, page, size, write, private, early };
    if fault.area.large
        && let Some(outcome) = serve_large(protocol, &request, fault)?
    {
        return Ok((outcome, PageSize::Large));
    }
    if write && private && has(Mutant::CopyUnlocked) {
        let found = request.look_up(request.shared().held())?;
        return Ok((request.copy(found)?, PageSize::Small));
    }
    match protocol.serve(&request)? {
        Served::Mapped(outcome) => {
            request.mark_late();
            Ok((outcome, PageSize::Small))
        }
        Served::Fallback(_) => unreachable!("there is nothing smaller"),
    }
}

/// Tries it with 2 MiB around the small request; `None` if that is not to be.
#[inline(never)]
fn serve_large<P: Platform, const LAB: bool>(
    protocol: Protocol,
    small: &Request<'_, P, LAB>,
    fault: Fault,
) -> Result<Option<Outcome>> {
    let why = match large(small.tables, &fault) {
        Ok((va, page)) => {
            let request = Request { va, page, size: PageSize::Large, ..*small };
            match protocol.serve(&request)? {
                Served::Mapped(outcome) => {
                    request.mark_late();
                    return Ok(Some(outcome));
                }
                Served::Fallback(why) => why,
            }
        }
        Err(why) => why,
    };
    why.counter(small.platform.stats()).inc();
    small.report(Point::Fallback, why as u64);
    Ok(None)
}

/// Address and first page of the 2 MiB around the fault, or why they cannot be mapped as one, whatever the file says.
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
    /// `dax_sem`, shared.
    #[inline]
    pub(super) fn shared(&self) -> Shared<'a, P> {
        self.report(Point::SharedWait, 0);
        let shared = self.mapping.shared();
        self.report(Point::SharedLocked, 0);
        shared
    }

    /// `dax_sem`, exclusively.
    #[inline]
    pub(super) fn exclusive(&self) -> Exclusive<'a, P> {
        self.report(Point::ExclusiveWait, 0);
        let exclusive = self.mapping.exclusive();
        self.report(Point::ExclusiveLocked, 0);
        exclusive
    }

    /// `dax_sem`, exclusively, while `kept` is held shared: as long as that mistake is made, it does not come.
    #[cold]
    pub(super) fn exclusive_holding(&self, kept: Shared<'a, P>) -> Exclusive<'a, P> {
        self.report(Point::ExclusiveWait, 0);
        let key = core::ptr::from_ref(self.mapping) as usize;
        while self.mutant(Mutant::RetryHolding) {
            self.platform.wait(key, &mut || self.mutant(Mutant::RetryHolding));
        }
        drop(kept);
        self.exclusive()
    }

    /// As [`attempt`](Self::attempt) without leave to allocate, but nothing is held any more when it installs: a mistake.
    #[cold]
    pub(super) fn attempt_unlocked(&self, shared: Shared<'a, P>) -> Result<Attempt> {
        let found = self.look_up(shared.held())?;
        drop(shared);
        self.attempt_with(found, Held::no_more(), None)
    }

    /// What was done before 2015 by whoever had seen a hole, also when somebody else had filled it meanwhile: it is zeroed
    /// (R1). For the racy protocol alone.
    pub(super) fn zero_once_more(&self, lock: Held<'_>, found: Found, served: Served) -> Result<()> {
        let late = matches!((found, served), (Found::Hole, Served::Mapped(_))) && !served.allocated();
        if late && self.write && !self.private && self.size == PageSize::Small {
            let place = self.file.block(lock, self.page)?;
            place.into_iter().for_each(|place| self.platform.pmem().zero_nt(place, PAGE_SIZE));
        }
        Ok(())
    }

    /// The entry's lock.
    #[inline]
    pub(super) fn entry(&self) -> crate::vfs::index::EntryLock<'a, P> {
        let looks_at = match LAB {
            true if self.mutant(Mutant::LargeIgnoresSmallLocks) => 0,
            true if self.mutant(Mutant::LargeOverSmall) => 1,
            _ => LOCK_WORDS,
        };
        let entry = self.leaf.lock(self.platform, self.page, self.size, looks_at);
        self.report(Point::EntryLocked, 0);
        entry
    }

    /// Tells whoever listens of a step.
    #[inline]
    pub(super) fn report(&self, point: Point, arg: u64) {
        if LAB {
            self.platform.at(point, self.file.ino(), self.page, arg);
        }
    }

    /// Whether a mistake is to be made.
    #[inline]
    pub(super) fn mutant(&self, mutant: Mutant) -> bool {
        LAB && self.platform.lab().has(mutant)
    }

    /// Looks up and installs, under `lock`; allocates if it must and may.
    #[inline(always)]
    pub(super) fn attempt(&self, lock: Held<'_>, ok: Option<AllocOk<'_>>) -> Result<Attempt> {
        let found = self.look_up(lock)?;
        self.attempt_with(found, lock, ok)
    }

    /// Where the pages are, under `lock`.
    #[inline(always)]
    pub(super) fn look_up(&self, lock: Held<'_>) -> Result<Found> {
        // A run that the index knows serves both sizes.
        let found = match self.leaf.run() {
            Some(place) => Found::Block(place + self.page % LARGE_PAGES * PAGE_SIZE),
            None => match self.size {
                PageSize::Small => match self.file.place(lock, self.page) {
                    Place::Block(place) => {
                        if self.leaf.should_learn_run() {
                            self.learn_run(lock);
                        }
                        Found::Block(place)
                    }
                    Place::Hole => Found::Hole,
                    Place::Failed => self.file.block(lock, self.page)?.map_or(Found::Hole, Found::Block),
                },
                PageSize::Large => self.look_up_run(lock)?,
            },
        };
        self.report(Point::LookedUp, if let Found::Block(place) = found { place } else { u64::MAX });
        Ok(found)
    }

    /// Pages of 4 KiB were looked up here several times: if they all lie in one piece, the next need no look-up.
    #[cold]
    #[inline(never)]
    fn learn_run(&self, lock: Held<'_>) {
        // What is wrong with another page of the 2 MiB is no business of this fault's.
        let _ = self.look_up_run(lock);
    }

    #[inline(never)]
    fn look_up_run(&self, lock: Held<'_>) -> Result<Found> {
        if self.leaf.known_pieces() {
            return Ok(Found::Pieces);
        }
        Ok(match self.file.block_run(lock, self.page & !(LARGE_PAGES - 1))? {
            BlockRun::Blocks(place) if self.is_aligned(place) => {
                self.leaf.set_run(place);
                Found::Block(place)
            }
            BlockRun::Hole => Found::Hole,
            _ => {
                self.leaf.set_pieces();
                Found::Pieces
            }
        })
    }

    fn is_aligned(&self, place: u64) -> bool {
        self.platform.pmem().frame(place).is_multiple_of(PageSize::Large.bytes())
    }

    /// As [`attempt`](Self::attempt), with what was found.
    #[inline(always)]
    pub(super) fn attempt_with(
        &self,
        found: Found,
        _lock: Held<'_>,
        ok: Option<AllocOk<'_>>,
    ) -> Result<Attempt> {
        // The size is looked at under the lock: a truncation that has finished is seen, one to come waits.
        let pages = self.early.unwrap_or_else(|| self.mapping.size().div_ceil(PAGE_SIZE));
        if self.page + self.size.pages() > pages {
            return match self.size {
                PageSize::Small => Err(Errno::BeyondEnd.into()),
                PageSize::Large => Ok(fallback(Fallback::End)),
            };
        }
        if self.write && self.private && !self.mutant(Mutant::PrivateWritesThrough) {
            return Ok(Attempt::Served(Served::Mapped(self.copy(found)?)));
        }
        let (place, fresh) = match found {
            Found::Block(place) => (place, false),
            Found::Pieces => return Ok(fallback(Fallback::Pieces)),
            Found::Hole if self.write || self.mutant(Mutant::ReadAllocates) => match ok {
                None => return Ok(Attempt::Retry),
                Some(ok) => match self.allocate(ok)? {
                    Some(allocated) => allocated,
                    None => return Ok(fallback(Fallback::Space)),
                },
            },
            Found::Hole => return self.map_zero(),
        };
        self.install(place, fresh)
    }

    /// Fills the hole: the place, and whether it was filled just now.
    #[inline(never)]
    fn allocate(&self, ok: AllocOk<'_>) -> Result<Option<(u64, bool)>> {
        let (place, fresh) = match self.size {
            // Looks up again under the block map's lock before it allocates.
            PageSize::Small => self.file.allocate(ok, self.page)?,
            PageSize::Large => match self.file.allocate_run(ok, self.page) {
                Ok(Some(place)) => (place, true),
                // No run is free, but pages may be.
                Ok(None) | Err(Error::Op(Errno::NoSpace)) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        if fresh {
            self.report(Point::Allocated, place);
            // Law 6: the zero page goes from every address space before anyone can store to the block.
            let told = match self.size {
                PageSize::Large => true,
                PageSize::Small if self.mutant(Mutant::KeepLargeZeroPage) => self.leaf.is_zero(self.page),
                PageSize::Small => self.leaf.cares_for_allocation(self.page),
            };
            if told && !self.mutant(Mutant::KeepZeroPage) {
                let pages = self.page..self.page + self.size.pages();
                self.mapping.unmap_zero(self.platform, ok, pages);
            }
        } else if self.mutant(Mutant::NoSecondLookUp) {
            self.platform.pmem().zero_nt(place, PAGE_SIZE);
        }
        if self.size == PageSize::Large {
            // A region that does not begin at a multiple of 2 MiB has runs that no large entry can map.
            if !self.is_aligned(place) {
                return Ok(None);
            }
            self.leaf.set_run(place);
        }
        Ok(Some((place, fresh)))
    }

    #[inline(always)]
    fn install(&self, place: u64, fresh: bool) -> Result<Attempt> {
        let pmem = self.platform.pmem();
        if let Some(at) = pmem.poisoned(place, self.size.bytes())
            && !self.mutant(Mutant::IgnorePoison)
        {
            return match self.size {
                PageSize::Small => Err(Error::Poisoned(at)),
                // Only the page that lost its content is to fail.
                PageSize::Large => Ok(fallback(Fallback::Poison)),
            };
        }
        if self.mutant(Mutant::ZeroTwice) && self.write && !fresh {
            pmem.zero_nt(place, self.size.bytes());
        }
        // Before the entry: a store through it must never find the page clean.
        let late = self.mutant(Mutant::MarkAfterInstall);
        if self.write && !late {
            self.mark_dirty();
        }
        self.report(Point::Marked, 0);
        // A load maps read-only even where stores are allowed: the first store must come here to mark the page dirty.
        let mapped = self.tables.map(self.va, pmem.frame(place), self.size, self.write);
        if self.write && late {
            self.report(Point::Installed, 0);
            self.mark_dirty();
        }
        self.finish(mapped, if fresh { Outcome::Allocated } else { Outcome::Block })
    }

    #[inline]
    fn mark_dirty(&self) {
        match self.size {
            _ if self.mutant(Mutant::NoDirtyMark) || self.mutant(Mutant::MarkAfterUnlock) => {}
            PageSize::Small => self.leaf.mark_dirty(self.page),
            PageSize::Large => self.leaf.mark_large_dirty(),
        }
    }

    /// A mistake: the lock was let go of already.
    #[inline(always)]
    fn mark_late(&self) {
        if self.mutant(Mutant::MarkAfterUnlock) && self.write && !self.private {
            match self.size {
                PageSize::Small => self.leaf.mark_dirty(self.page),
                PageSize::Large => self.leaf.mark_large_dirty(),
            }
        }
    }

    #[inline(always)]
    fn map_zero(&self) -> Result<Attempt> {
        // Before the entry: whoever allocates a block here must know that there is something to unmap.
        match self.size {
            _ if self.mutant(Mutant::NoZeroMark) => {}
            PageSize::Small => self.leaf.mark_zero(self.page),
            PageSize::Large => self.leaf.mark_large_zero(),
        }
        self.report(Point::Marked, 0);
        self.finish(self.tables.map_zero(self.va, self.size), Outcome::ZeroPage)
    }

    #[inline(always)]
    fn finish(&self, mapped: core::result::Result<Mapped, NoFrames>, made: Outcome) -> Result<Attempt> {
        let outcome = match mapped {
            Ok(Mapped::New | Mapped::Replaced) => made,
            Ok(_) if made == Outcome::Allocated => made,
            Ok(Mapped::Upgraded) => Outcome::MkWrite,
            Ok(Mapped::Already) => Outcome::Spurious,
            Ok(Mapped::Table) => return Ok(fallback(Fallback::Small)),
            Err(NoFrames) => match self.size {
                PageSize::Small => return Err(Errno::NoMemory.into()),
                PageSize::Large => return Ok(fallback(Fallback::Memory)),
            },
        };
        self.report(Point::Installed, 0);
        Ok(Attempt::Served(Served::Mapped(outcome)))
    }

    /// A store to a private area: a copy of what was found.
    #[inline(never)]
    fn copy(&self, found: Found) -> Result<Outcome> {
        let pmem = self.platform.pmem();
        let from = match found {
            Found::Block(place) => match pmem.poisoned(place, PAGE_SIZE) {
                Some(at) => return Err(Error::Poisoned(at)),
                None => Some(pmem.frame(place)),
            },
            Found::Hole | Found::Pieces => None,
        };
        self.report(Point::Marked, 1);
        match self.tables.map_copy(self.va, from) {
            Ok(Mapped::Already) => Ok(Outcome::Spurious),
            Ok(_) => {
                self.report(Point::Installed, 1);
                Ok(Outcome::Copied)
            }
            Err(NoFrames) => Err(Errno::NoMemory.into()),
        }
    }
}

fn fallback(why: Fallback) -> Attempt {
    Attempt::Served(Served::Fallback(why))
}
