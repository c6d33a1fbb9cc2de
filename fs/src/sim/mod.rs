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
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the machine and its kits |
//! | `tables` | [`Tables`] |
//! | [`view`] | a file in an address space of them |

mod tables;
pub mod view;

pub use tables::{COPIES, Entry, LARGE_ZERO_FRAME, Tables, ZERO_FRAME};

use crate::error::Corrupt;
use crate::lab::{Lab, Step};
use crate::platform::{PageTables, Platform, Timestamp, User};
use crate::pmem::Pmem;
use crate::pmem::ram::Ram;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering::SeqCst};
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

    /// Makes all that follows be done on behalf of `user`. The machine starts as root.
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
