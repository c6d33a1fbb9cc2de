//! What a machine supplies to the storage code: memory, locks, page tables, a clock.
//!
//! The kernel implements [`Platform`] once over hardware; host tests implement it over RAM and over
//! schedulers that own every step. Locks come in through the `lock_api` traits, so the same code runs with
//! spinning, sleeping or scheduled ones.

use crate::PAGE_SIZE;
use crate::error::Corrupt;
use crate::lab::{Lab, Point, Step};
use crate::pmem::Pmem;
use crate::stats::Stats;
use lock_api::{RawMutex, RawRwLock};

/// A machine, as one mounted file system sees it.
pub trait Platform: Sized + Send + Sync + 'static {
    /// The region the file system is on.
    type Pmem: Pmem;
    /// A lock with interrupts as they are; the holder takes no fault. Mostly held for a few dozen
    /// instructions; a block map's while blocks are zeroed, a file's areas' while TLBs are shot down, the
    /// rename lock for a whole rename.
    type Mutex: RawMutex + Send + Sync;
    /// A reader-writer lock that may be held while blocks are zeroed and other CPUs answer (`dax_sem`).
    /// Readers that keep coming must not keep a writer out for ever.
    type RwLock: RawRwLock<GuardMarker: Send> + Send + Sync;
    /// A reader-writer lock as that one, of which there is one for each inode in memory: a short one.
    type InodeLock: RawRwLock<GuardMarker: Send> + Send + Sync;
    /// The page tables of one address space.
    type PageTables: PageTables;

    /// The region the file system is on.
    fn pmem(&self) -> &Self::Pmem;

    /// The time of day.
    fn now(&self) -> Timestamp;

    /// On whose behalf this CPU works: owner of new inodes; may blocks reserved for root be taken? Root,
    /// unless the platform knows of others.
    fn user(&self) -> User {
        User::default()
    }

    /// Tells whether there is memory for what serving tasks leaves behind, such as what is known of the pages
    /// that they map. What the kernel itself cannot do without is left to it.
    fn has_memory_for_tasks() -> bool {
        true
    }

    /// One turn of a wait for another CPU. Whoever waits without a lock calls it each time it looked in vain;
    /// the kernel answers TLB shootdowns in it (docs/laws.md, law 7).
    fn relax(&self) {
        core::hint::spin_loop();
    }

    /// As [`now`](Platform::now), but cheap: it may stand still for some milliseconds. For the times of write
    /// faults.
    fn now_coarse(&self) -> Timestamp {
        self.now()
    }

    /// Waits as long as `still_waiting()` says so: whoever changes that calls [`wake`](Platform::wake) for
    /// `key` afterwards. The condition is looked at again under whatever guards the sleepers of `key`, so no
    /// wake-up is lost. It may return early: the caller looks again.
    fn wait(&self, _key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        while still_waiting() {
            self.relax();
        }
    }

    /// Wakes everybody that waits for `key`.
    fn wake(&self, _key: usize) {}

    /// Where everything is counted.
    fn stats(&self) -> &Stats {
        self.pmem().stats()
    }

    /// What the laboratory has turned on. One for a machine.
    fn lab(&self) -> &Lab {
        static OFF: Lab = Lab::new();
        &OFF
    }

    /// Something happened that is a bug, but has an answer: for the log, once.
    fn bug(&self, _what: &str) {}

    /// A file system that is told to do so (`errors=panic`) met a contradiction, and its image says so by
    /// now. A kernel stops the machine here; where this returns, nothing more is written to the image.
    fn fatal(&self, _what: &Corrupt) {}

    /// A file system met a contradiction, and is read-only from now on: for the log.
    fn stopped(&self, _what: &Corrupt) {}

    /// A step was taken; only called while the lab's hooks are on. May hold the CPU for as long as it likes.
    fn reached(&self, _step: Step) {}

    /// Reports a step, if anybody listens.
    #[inline]
    fn at(&self, point: Point, ino: u64, page: u64, arg: u64) {
        if self.lab().hooks() {
            self.reached(Step { point, ino, page, arg });
        }
    }
}

/// A mutex of platform `P`.
pub type Mutex<P, T> = lock_api::Mutex<<P as Platform>::Mutex, T>;
/// A reader-writer lock of platform `P`.
pub type RwLock<P, T> = lock_api::RwLock<<P as Platform>::RwLock, T>;

/// A time since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds, below 10⁹.
    pub nanos: u32,
}

/// Whose work it is. The default is root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What one page-table entry maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageSize {
    /// 4 KiB: an entry of a page table (PTE).
    Small,
    /// 2 MiB: an entry of a page directory (Linux: PMD).
    Large,
}

impl PageSize {
    /// Returns how many pages of 4 KiB a page of this size has.
    #[inline]
    pub const fn pages(self) -> u64 {
        match self {
            Self::Small => 1,
            Self::Large => LARGE_PAGES,
        }
    }

    /// Returns how many bytes a page of this size has.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.pages() * PAGE_SIZE
    }
}

/// Pages of 4 KiB in one of 2 MiB.
pub const LARGE_PAGES: u64 = 512;

/// The page tables of one address space, as the fault protocols need them. They are the leaf of the lock
/// order: an implementation takes no other lock inside than its own, so they may be changed under every other
/// one.
///
/// Virtual addresses and frames are multiples of the page size. When a function that takes a right or an
/// entry away returns, no CPU's TLB serves the old translation any more, also if somebody else had taken it
/// away a moment before.
pub trait PageTables: Send + Sync + 'static {
    /// Maps the page at `va` to physical address `frame`; an entry of the same size for another frame is
    /// replaced. A small page under a large entry is served by it if that leads to the same frame and allows
    /// as much. If it is read-only and a store is to be allowed, it is split: only the page that is marked
    /// dirty may become writable. A large entry for other frames goes. A large page where there is a table of
    /// small ones is [`Mapped::Table`]: nothing changed.
    ///
    /// # Errors
    /// [`NoFrames`] when there was no memory for a table page; nothing changed.
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames>;

    /// Maps the page at `va` to the shared zero page of that size, read-only; an existing entry is kept, and
    /// a table of small ones is [`Mapped::Table`].
    ///
    /// # Errors
    /// As for [`map`](PageTables::map), and for want of a large zero page.
    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames>;

    /// Maps the page of 4 KiB at `va` to a frame of the address space's own that holds a copy of `from` (a
    /// physical address; `None` for zeros), writable. A copy that is there already is kept, and made
    /// writable: shared with another address space since a fork, it is copied again.
    ///
    /// # Errors
    /// As for [`map`](PageTables::map), and for want of a frame for the copy.
    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames>;

    /// True if there is a table of small entries for the 2 MiB from `va` on: a large page cannot be mapped
    /// there. Only a hint, taken without a lock: [`map`](PageTables::map) decides.
    fn has_small(&self, va: u64) -> bool;

    /// Takes out the entries of `pages` pages from `va` on, copies too if `copies`. A large entry of which
    /// only a part is in the range goes as a whole. Returns how many entries there were.
    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64;

    /// Makes the entries of `pages` pages from `va` on read-only, copies excepted; a large entry as a whole.
    /// Returns how many were writable.
    fn write_protect(&self, va: u64, pages: u64) -> u64;
}

/// What mapping a page found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// No entry: it was made.
    New,
    /// A read-only entry for this frame: it was made writable.
    Upgraded,
    /// An entry that serves already: it was left alone.
    Already,
    /// An entry for another frame: it was replaced, and no TLB holds it.
    Replaced,
    /// A table of small pages, where a large one was wanted: it was left alone.
    Table,
}

/// There was no memory for a page-table page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrames;
