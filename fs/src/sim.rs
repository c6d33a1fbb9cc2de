//! The machine of the host's tests: a clock that ticks once a look, a user, a lab, and what a [`Kit`] brings:
//! memory, locks, page tables, and what to do where a machine waits.
//!
//! | kit | where | what it brings |
//! |---|---|---|
//! | [`Plain`] | here | real locks for real threads, page tables in a map ([`Tables`]) |
//! | hooked | `fs/tests/common/rig.rs` | the same, with places where a test's script steps in |
//! | alone | `verify/fuzz/exec/src/machine.rs` | locks for one thread, which find that it waits for itself |
//! | spaces | `vm/tests/machine.rs` | the page tables of `paging`, and TLBs |
//! | loom's | `verify/orders/src/machine.rs` | the locks of `locks`, on loom's threads |
//! | scheduled | `verify/explore/src/hw/mod.rs` | a scheduler that owns every step |

use crate::PAGE_SIZE;
use crate::error::Corrupt;
use crate::lab::{Lab, Step};
use crate::platform::{Mapped, NoFrames, PageSize, PageTables, Platform, Timestamp, User};
use crate::pmem::Pmem;
use crate::pmem::ram::Ram;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use lock_api::{RawMutex, RawRwLock};

/// The second on which every clock starts: 2026-01-01.
pub const START: i64 = 1_767_225_600;

/// What machines of the host differ in. The functions are those of [`Platform`].
pub trait Kit: Clone + Send + Sync + 'static {
    /// The memory.
    type Pmem: Pmem + 'static;
    /// See [`Platform::Mutex`].
    type Mutex: RawMutex + Send + Sync;
    /// See [`Platform::RwLock`] and [`Platform::InodeLock`].
    type RwLock: RawRwLock<GuardMarker: Send> + Send + Sync;
    /// See [`Platform::PageTables`].
    type PageTables: PageTables;
    /// Seconds that the clock goes on at each look.
    const TICK: i64 = 1;

    /// See [`Platform::relax`].
    fn relax(&self) {
        core::hint::spin_loop();
    }

    /// See [`Platform::wait`].
    fn wait(&self, _key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        while still_waiting() {
            self.relax();
        }
    }

    /// See [`Platform::wake`].
    fn wake(&self, _key: usize) {}

    /// See [`Platform::reached`].
    fn reached(&self, _step: Step) {}

    /// See [`Platform::bug`].
    fn bug(&self, _what: &str) {}

    /// See [`Platform::fatal`].
    fn fatal(&self, _ram: &Self::Pmem) {}
}

/// A machine with one region of persistent memory.
pub struct Machine<K: Kit = Plain> {
    /// Its region, shared with the test.
    pub ram: Arc<K::Pmem>,
    /// What it was put together from.
    pub kit: K,
    clock: Arc<AtomicI64>,
    user: Arc<[AtomicU32; 2]>,
    /// Mistakes and steps.
    pub lab: Arc<Lab>,
}

// A derived one would ask for memory that can be cloned, too.
impl<K: Kit> Clone for Machine<K> {
    fn clone(&self) -> Self {
        let Self { ram, kit, clock, user, lab } = self;
        Self {
            ram: ram.clone(),
            kit: kit.clone(),
            clock: clock.clone(),
            user: user.clone(),
            lab: lab.clone(),
        }
    }
}

impl<K: Kit + Default> Machine<K> {
    /// Returns a machine over `ram`; its clock starts on 2026-01-01.
    pub fn new(ram: K::Pmem) -> Self {
        Self::with(Arc::new(ram), Arc::default(), K::default())
    }
}

impl<K: Kit> Machine<K> {
    /// Returns the machine put together from these.
    pub fn with(ram: Arc<K::Pmem>, lab: Arc<Lab>, kit: K) -> Self {
        Self { ram, kit, clock: Arc::new(AtomicI64::new(START)), user: Arc::default(), lab }
    }

    /// Sets the clock, in seconds since 1970.
    pub fn set_clock(&self, seconds: i64) {
        self.clock.store(seconds, SeqCst);
    }

    /// From now on all is done on behalf of `user`. It starts as root.
    pub fn become_user(&self, user: User) {
        self.user[0].store(user.uid, SeqCst);
        self.user[1].store(user.gid, SeqCst);
    }
}

impl<K: Kit> Platform for Machine<K> {
    type Pmem = K::Pmem;
    type Mutex = K::Mutex;
    type RwLock = K::RwLock;
    type InodeLock = K::RwLock;
    type PageTables = K::PageTables;

    fn pmem(&self) -> &K::Pmem {
        &self.ram
    }

    fn now(&self) -> Timestamp {
        Timestamp { secs: self.clock.fetch_add(K::TICK, SeqCst), nanos: 0 }
    }

    fn user(&self) -> User {
        User { uid: self.user[0].load(SeqCst), gid: self.user[1].load(SeqCst) }
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn relax(&self) {
        self.kit.relax();
    }

    fn wait(&self, key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        self.kit.wait(key, still_waiting);
    }

    fn wake(&self, key: usize) {
        self.kit.wake(key);
    }

    fn reached(&self, step: Step) {
        self.kit.reached(step);
    }

    fn bug(&self, what: &str) {
        self.kit.bug(what);
    }

    fn fatal(&self, _: &Corrupt) {
        self.kit.fatal(&self.ram);
    }
}

/// The mutex of [`Plain`].
pub type SimMutex = spin::Mutex<()>;
/// The reader-writer lock of [`Plain`].
pub type SimRwLock = spin::RwLock<()>;

/// Real locks for real threads, which spin.
#[derive(Clone, Copy, Default)]
pub struct Plain;

impl Kit for Plain {
    type Pmem = Ram;
    type Mutex = SimMutex;
    type RwLock = SimRwLock;
    type PageTables = Tables;
}

/// The frame number under which the zero page shows up in [`Tables`].
pub const ZERO_FRAME: u64 = 0;

/// The frame number under which the zero page of 2 MiB shows up.
pub const LARGE_ZERO_FRAME: u64 = 2 << 20;

/// Copies have frames from here on.
pub const COPIES: u64 = 1 << 60;

/// One page's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Physical address, or [`ZERO_FRAME`], or a copy's number above [`COPIES`].
    pub frame: u64,
    /// Stores go through.
    pub writable: bool,
}

/// An address space's page tables: two maps from address to entry. There are no TLBs.
#[derive(Default)]
pub struct Tables {
    small: spin::Mutex<BTreeMap<u64, Entry>>,
    large: spin::Mutex<BTreeMap<u64, Entry>>,
    copies: AtomicU64,
}

const LARGE: u64 = PageSize::Large.bytes();

impl Tables {
    /// The entry that serves the page at `va`, as if it were a small one.
    pub fn entry(&self, va: u64) -> Option<Entry> {
        if let Some(entry) = self.large_entry(va) {
            return Some(Entry { frame: entry.frame + va % LARGE, ..entry });
        }
        self.small.lock().get(&va).copied()
    }

    /// The large entry that serves `va`.
    pub fn large_entry(&self, va: u64) -> Option<Entry> {
        self.large.lock().get(&(va & !(LARGE - 1))).copied()
    }

    /// How many entries there are, of both sizes.
    pub fn count(&self) -> usize {
        self.small.lock().len() + self.large.lock().len()
    }

    fn install(map: &mut BTreeMap<u64, Entry>, va: u64, new: Entry) -> Mapped {
        let answer = match map.get(&va).copied() {
            None => Mapped::New,
            Some(old) if old.frame != new.frame => Mapped::Replaced,
            Some(old) if new.writable && !old.writable => Mapped::Upgraded,
            Some(_) => return Mapped::Already,
        };
        map.insert(va, new);
        answer
    }
}

impl PageTables for Tables {
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let new = Entry { frame, writable };
        match size {
            PageSize::Large if small.range(va..va + LARGE).next().is_some() => Ok(Mapped::Table),
            PageSize::Large => Ok(Self::install(&mut large, va, new)),
            PageSize::Small => {
                let start = va & !(LARGE - 1);
                let Some(around) = large.get(&start).copied() else {
                    return Ok(Self::install(&mut small, va, new));
                };
                let same = around.frame + (va - start) == frame;
                if same && (around.writable || !writable) {
                    return Ok(Mapped::Already);
                }
                large.remove(&start);
                if same {
                    // Split: the others keep what they had.
                    let part = |at| Entry { frame: around.frame + at, writable: false };
                    small.extend((0..LARGE).step_by(PAGE_SIZE as usize).map(|at| (start + at, part(at))));
                }
                small.insert(va, new);
                Ok(if same { Mapped::Upgraded } else { Mapped::Replaced })
            }
        }
    }

    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let (frame, start) =
            (if size == PageSize::Small { ZERO_FRAME } else { LARGE_ZERO_FRAME }, va & !(LARGE - 1));
        let taken = match size {
            PageSize::Small => small.contains_key(&va) || large.contains_key(&start),
            PageSize::Large if small.range(va..va + LARGE).next().is_some() => return Ok(Mapped::Table),
            PageSize::Large => large.contains_key(&va),
        };
        if taken {
            return Ok(Mapped::Already);
        }
        let map = if size == PageSize::Small { &mut small } else { &mut large };
        map.insert(va, Entry { frame, writable: false });
        Ok(Mapped::New)
    }

    fn map_copy(&self, va: u64, _from: Option<u64>) -> Result<Mapped, NoFrames> {
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let around = large.remove(&(va & !(LARGE - 1)));
        let frame = COPIES + self.copies.fetch_add(PAGE_SIZE, SeqCst);
        match small.get(&va) {
            Some(old) if old.frame >= COPIES => Ok(Mapped::Already),
            old => {
                let answer = if old.is_some() || around.is_some() { Mapped::Replaced } else { Mapped::New };
                small.insert(va, Entry { frame, writable: true });
                Ok(answer)
            }
        }
    }

    fn has_small(&self, va: u64) -> bool {
        self.small.lock().range(va..va + LARGE).next().is_some()
    }

    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let before = small.len() + large.len();
        let end = va + pages * PAGE_SIZE;
        small.retain(|&at, entry| !(va..end).contains(&at) || entry.frame >= COPIES && !copies);
        large.retain(|&at, _| at + LARGE <= va || at >= end);
        (before - small.len() - large.len()) as u64
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let end = va + pages * PAGE_SIZE;
        let small = small.range_mut(va..end).filter(|(_, entry)| entry.writable && entry.frame < COPIES);
        let large = large.range_mut(va & !(LARGE - 1)..end).filter(|(_, entry)| entry.writable);
        small.chain(large).map(|(_, entry)| entry.writable = false).count() as u64
    }
}
