//! A machine in RAM, for host tests: memory of [`Ram`], locks that spin politely, page tables in a map, a clock that
//! ticks once a look.
//!
//! The locks here are real ones for real threads. Tests that own every step bring their own [`Platform`].

use crate::PAGE_SIZE;
use crate::platform::{Mapped, NoFrames, PageTables, Platform, Timestamp, User};
use crate::pmem::ram::Ram;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};

/// The mutex of the simulated machine.
pub type SimMutex = spin::Mutex<()>;
/// The reader-writer lock of the simulated machine.
pub type SimRwLock = spin::RwLock<()>;

/// A machine with one region of persistent memory.
#[derive(Clone)]
pub struct Machine {
    /// Its region, shared with the test.
    pub ram: Arc<Ram>,
    clock: Arc<AtomicI64>,
    user: Arc<[AtomicU32; 2]>,
}

impl Machine {
    /// A machine over `ram`; its clock starts on 2026-01-01.
    pub fn new(ram: Ram) -> Self {
        Self { ram: Arc::new(ram), clock: Arc::new(AtomicI64::new(1_767_225_600)), user: Arc::default() }
    }

    /// From now on all is done on behalf of `user`. It starts as root.
    pub fn become_user(&self, user: User) {
        self.user[0].store(user.uid, SeqCst);
        self.user[1].store(user.gid, SeqCst);
    }
}

impl Platform for Machine {
    type Pmem = Ram;
    type Mutex = SimMutex;
    type RwLock = SimRwLock;
    type PageTables = Tables;

    fn pmem(&self) -> &Ram {
        &self.ram
    }

    fn now(&self) -> Timestamp {
        Timestamp { secs: self.clock.fetch_add(1, SeqCst), nanos: 0 }
    }

    fn user(&self) -> User {
        User { uid: self.user[0].load(SeqCst), gid: self.user[1].load(SeqCst) }
    }
}

/// The frame number under which the zero page shows up in [`Tables`].
pub const ZERO_FRAME: u64 = 0;

/// One page's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Physical address, or [`ZERO_FRAME`].
    pub frame: u64,
    /// Stores go through.
    pub writable: bool,
}

/// An address space's page tables: a map from address to entry. There are no TLBs.
#[derive(Default)]
pub struct Tables {
    entries: spin::Mutex<BTreeMap<u64, Entry>>,
}

impl Tables {
    /// The entry at `va`.
    pub fn entry(&self, va: u64) -> Option<Entry> {
        self.entries.lock().get(&va).copied()
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.entries.lock().len()
    }
}

impl PageTables for Tables {
    fn map(&self, va: u64, frame: u64, writable: bool) -> Result<Mapped, NoFrames> {
        let mut entries = self.entries.lock();
        let old = entries.get(&va).copied();
        let answer = match old {
            None => Mapped::New,
            Some(old) if old.frame != frame => Mapped::Replaced,
            Some(old) if writable && !old.writable => Mapped::Upgraded,
            Some(_) => return Ok(Mapped::Already),
        };
        entries.insert(va, Entry { frame, writable });
        Ok(answer)
    }

    fn map_zero(&self, va: u64) -> Result<Mapped, NoFrames> {
        let mut entries = self.entries.lock();
        if entries.contains_key(&va) {
            return Ok(Mapped::Already);
        }
        entries.insert(va, Entry { frame: ZERO_FRAME, writable: false });
        Ok(Mapped::New)
    }

    fn unmap(&self, va: u64, pages: u64) -> u64 {
        let mut entries = self.entries.lock();
        let before = entries.len();
        entries.retain(|&at, _| !(va..va + pages * PAGE_SIZE).contains(&at));
        (before - entries.len()) as u64
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        let mut entries = self.entries.lock();
        let range = entries.range_mut(va..va + pages * PAGE_SIZE);
        range.filter(|(_, entry)| entry.writable).map(|(_, entry)| entry.writable = false).count() as u64
    }
}
