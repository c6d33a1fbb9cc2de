//! What a machine supplies to the storage code: memory, locks, page tables, a clock.
//!
//! The kernel implements [`Platform`] once over hardware; host tests implement it over RAM and over schedulers that own
//! every step. Locks come in through the `lock_api` traits, so the same code runs with spinning, sleeping or scheduled
//! ones.

use crate::pmem::Pmem;
use crate::stats::Stats;
use lock_api::{RawMutex, RawRwLock};

/// A machine, as one mounted file system sees it.
pub trait Platform: Sized + Send + Sync + 'static {
    /// The region the file system is on.
    type Pmem: Pmem;
    /// A lock with interrupts as they are; the holder takes no fault. Mostly held for a few dozen instructions; a block
    /// map's while blocks are zeroed, a file's areas' while TLBs are shot down, the rename lock for a whole rename.
    type Mutex: RawMutex + Send + Sync;
    /// A reader-writer lock that may be held while blocks are zeroed and other CPUs answer (`dax_sem`). Readers that keep
    /// coming must not keep a writer out for ever.
    type RwLock: RawRwLock + Send + Sync;
    /// The page tables of one address space.
    type PageTables: PageTables;

    /// The region the file system is on.
    fn pmem(&self) -> &Self::Pmem;

    /// The time of day.
    fn now(&self) -> Timestamp;

    /// On whose behalf this CPU works: owner of new inodes; may blocks reserved for root be taken? Root, unless the
    /// platform knows of others.
    fn user(&self) -> User {
        User::default()
    }

    /// One turn of a wait for another CPU. Whoever waits without a lock calls it each time it looked in vain; the
    /// kernel answers TLB shootdowns in it (law 7).
    fn relax(&self) {
        core::hint::spin_loop();
    }

    /// Where everything is counted.
    fn stats(&self) -> &Stats {
        self.pmem().stats()
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

/// The page tables of one address space, as the fault protocols need them. They are the leaf of the lock order: an
/// implementation takes no other lock inside, so they may be changed under every other one.
///
/// Virtual addresses are multiples of the page size. When a function that takes a right or an entry away returns, no
/// CPU's TLB serves the old translation any more.
pub trait PageTables: Send + Sync + 'static {
    /// Maps the page at `va` to physical address `frame`; entries for other frames are replaced.
    ///
    /// # Errors
    /// [`NoFrames`] when there was no memory for a table page; nothing changed.
    fn map(&self, va: u64, frame: u64, writable: bool) -> Result<Mapped, NoFrames>;

    /// Maps the page at `va` to the shared zero page, read-only; an existing entry is kept.
    ///
    /// # Errors
    /// As for [`map`](PageTables::map).
    fn map_zero(&self, va: u64) -> Result<Mapped, NoFrames>;

    /// Takes out the entries of `pages` pages from `va` on. Returns how many there were.
    fn unmap(&self, va: u64, pages: u64) -> u64;

    /// Makes the entries of `pages` pages from `va` on read-only. Returns how many were writable.
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
}

/// There was no memory for a page-table page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrames;
