//! A machine for one thread: memory that counts accesses, can lose power and goes back to what it was; locks
//! that know that nobody else can hold them.

use fs::platform::User;
use fs::pmem::ram::{Ram, RamAccess};
use fs::pmem::{LINE, Pmem};
use fs::sim::{self, START, Tables};
use lock_api::{GuardSend, RawMutex, RawRwLock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Accesses to the memory (of a line, where more is copied) that one operation may take: some ten times what
/// reads every word of most base images.
pub const MOST_ACCESSES: u64 = 2_000_000;
/// Turns of waiting for another CPU, of which there is none.
const MOST_TURNS: u32 = 1000;
/// Where the redo record's checksum is, which is 0 if there is no record (`fs::ext2`'s redo.rs).
const REDO_CHECKSUM: u64 = 1024 + 0x2a0;
/// Bytes that are put back together.
const UNIT: u64 = 1024;

/// What became of the memory since it was put back, and what is not to happen to it.
struct Watch {
    /// Units that were stored to.
    changed: Box<[AtomicBool]>,
    accesses: AtomicU64,
    stores: AtomicU64,
    /// Stores until the power fails; negative for never.
    left: AtomicI64,
    off: AtomicBool,
    /// What units held when the power failed: stores after that are seen until it is on again, as by a CPU's
    /// cache.
    before: Mutex<BTreeMap<u64, Vec<u8>>>,
    /// A store is a finding.
    sealed: AtomicBool,
}

impl Watch {
    fn see(&self, ram: &Ram, touch: RamAccess<'_>) {
        match touch {
            RamAccess::Load(len) | RamAccess::Flush(_, len) => self.access(len),
            RamAccess::Fence => self.access(0),
            RamAccess::Store(offset, bytes) | RamAccess::Stream(offset, bytes) => {
                self.store(ram, offset, bytes.len() as u64);
            }
        }
    }

    fn access(&self, len: u64) {
        let count = self.accesses.fetch_add(1 + len / LINE, Relaxed);
        // Not while another finding unwinds.
        assert!(count < MOST_ACCESSES || std::thread::panicking(), "one operation takes too many accesses");
    }

    /// Before a store.
    fn store(&self, ram: &Ram, offset: u64, len: u64) {
        self.access(len);
        if std::thread::panicking() {
            ram.set_writable(true);
        }
        assert!(ram.writable(), "a store to a region that is not writable");
        assert!(
            !self.sealed.load(Relaxed) || std::thread::panicking(),
            "a store at {offset:#x}, and it is read-only"
        );
        self.stores.fetch_add(1, Relaxed);
        if self.left.load(Relaxed) >= 0 && self.left.fetch_sub(1, Relaxed) == 0 {
            self.off.store(true, Relaxed);
        }
        for unit in offset / UNIT..offset.saturating_add(len).div_ceil(UNIT) {
            // One beyond the end is a finding, in a moment.
            let Some(changed) = self.changed.get(unit as usize) else { break };
            changed.store(true, Relaxed);
            if self.off.load(Relaxed) {
                self.before().entry(unit).or_insert_with(|| {
                    let mut bytes = vec![0; (ram.len() - unit * UNIT).min(UNIT) as usize];
                    ram.peek(unit * UNIT, &mut bytes);
                    bytes
                });
            }
        }
    }

    fn before(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A base image in memory, to be damaged, used and put back.
pub struct Bench {
    original: Vec<u8>,
    machine: Machine,
    watch: Arc<Watch>,
}

impl Bench {
    /// Makes a machine with `image` in its memory.
    pub fn new(image: Vec<u8>) -> Self {
        let units = (image.len() as u64).div_ceil(UNIT);
        let watch = Arc::new(Watch {
            changed: (0..units).map(|_| AtomicBool::new(false)).collect(),
            accesses: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            left: AtomicI64::new(-1),
            off: AtomicBool::new(false),
            before: Mutex::default(),
            sealed: AtomicBool::new(false),
        });
        let watching = watch.clone();
        let ram = Ram::watched(&image, move |ram, touch| watching.see(ram, touch));
        Self { original: image, machine: Machine::new(ram), watch }
    }

    /// Returns the machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Returns the undamaged image.
    pub fn original(&self) -> &[u8] {
        &self.original
    }

    /// Copies all that is in the memory now.
    pub fn bytes(&self) -> Vec<u8> {
        self.machine.ram.to_bytes()
    }

    /// Changes bytes as someone with a hex editor would; what does not fit is cut off.
    pub fn damage(&self, at: u64, bytes: &[u8]) {
        let ram = &self.machine.ram;
        let fits = ram.len().saturating_sub(at).min(bytes.len() as u64) as usize;
        ram.write(at.min(ram.len()), &bytes[..fits]);
    }

    /// Begins a new operation: it has all its accesses before it.
    pub fn begin(&self) {
        self.watch.accesses.store(0, Relaxed);
        self.machine.kit.turns.store(0, Relaxed);
    }

    /// Returns how often the memory was stored to.
    pub fn stores(&self) -> u64 {
        self.watch.stores.load(Relaxed)
    }

    /// Returns true if there is a redo record, sound or not.
    pub fn has_redo_record(&self) -> bool {
        let mut sum = [0; 8];
        self.machine.ram.peek(REDO_CHECKSUM, &mut sum);
        sum != [0; 8]
    }

    /// Sets whether a store is a finding from now on.
    pub fn seal(&self, sealed: bool) {
        self.watch.sealed.store(sealed, Relaxed);
    }

    /// Sets whether the region takes stores at all.
    pub fn set_writable(&self, writable: bool) {
        self.machine.ram.set_writable(writable);
    }

    /// Returns whether the region takes stores at all.
    pub fn is_writable(&self) -> bool {
        self.machine.ram.writable()
    }

    /// Sets that the power fails before store number `stores` from now.
    pub fn fail_after(&self, stores: u32) {
        self.watch.left.store(stores.into(), Relaxed);
    }

    /// Turns the power off now, if it has not failed.
    pub fn power_off(&self) {
        self.watch.off.store(true, Relaxed);
        self.watch.left.store(-1, Relaxed);
    }

    /// Turns the power on again: what was stored without is gone.
    pub fn power_on(&self) {
        self.watch.off.store(false, Relaxed);
        self.watch.left.store(-1, Relaxed);
        for (unit, bytes) in std::mem::take(&mut *self.watch.before()) {
            self.machine.ram.poke(unit * UNIT, &bytes);
        }
    }

    /// Returns true while there is power.
    pub fn has_power(&self) -> bool {
        !self.watch.off.load(Relaxed)
    }

    /// Puts back everything that was changed.
    pub fn restore(&self) {
        self.power_on();
        self.seal(false);
        self.set_writable(true);
        for (unit, changed) in self.watch.changed.iter().enumerate() {
            if changed.swap(false, Relaxed) {
                let start = unit * UNIT as usize;
                let end = (start + UNIT as usize).min(self.original.len());
                self.machine.ram.poke(start as u64, &self.original[start..end]);
            }
        }
        self.machine.set_clock(START);
        self.machine.become_user(User::default());
        self.begin();
    }
}

/// The machine.
pub type Machine = sim::Machine<FuzzKit>;

/// Locks and waits where nobody else is.
#[derive(Clone, Default)]
pub struct FuzzKit {
    turns: Arc<AtomicU32>,
}

impl sim::Kit for FuzzKit {
    type Pmem = Ram;
    type Mutex = LoneMutex;
    type RwLock = LoneRwLock;
    type PageTables = Tables;

    fn relax(&self) {
        let turns = self.turns.fetch_add(1, Relaxed);
        assert!(turns < MOST_TURNS, "waits for another CPU, and there is none");
    }
}

/// A mutex that nobody else can hold: to find it held is a finding, not a reason to wait.
pub struct LoneMutex(AtomicBool);

// SAFETY: `lock` and `try_lock` return (true) to one holder at a time.
unsafe impl RawMutex for LoneMutex {
    // The constant is how lock_api makes a lock: each use is a new one, none is shared through it.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardSend;

    fn lock(&self) {
        assert!(self.try_lock(), "a mutex is taken that is held already");
    }
    fn try_lock(&self) -> bool {
        !self.0.swap(true, std::sync::atomic::Ordering::Acquire)
    }
    unsafe fn unlock(&self) {
        self.0.store(false, std::sync::atomic::Ordering::Release);
    }
}

/// A reader-writer lock that nobody else can hold. A second reader is a finding too: with a writer between
/// the two, both would wait for ever. The number counts readers; a writer makes it negative.
pub struct LoneRwLock(AtomicI32);

// SAFETY: from 0 only one of -1 (a writer) and 1 (a reader) comes to be, and nothing from those but 0.
unsafe impl RawRwLock for LoneRwLock {
    // As for the mutex.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(AtomicI32::new(0));
    type GuardMarker = GuardSend;

    fn lock_shared(&self) {
        assert!(self.try_lock_shared(), "a lock is taken shared that is held already");
    }
    fn try_lock_shared(&self) -> bool {
        use std::sync::atomic::Ordering::Acquire;
        self.0.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }
    unsafe fn unlock_shared(&self) {
        self.0.store(0, std::sync::atomic::Ordering::Release);
    }
    fn lock_exclusive(&self) {
        assert!(self.try_lock_exclusive(), "a lock is taken exclusively that is held already");
    }
    fn try_lock_exclusive(&self) -> bool {
        use std::sync::atomic::Ordering::Acquire;
        self.0.compare_exchange(0, -1, Acquire, Relaxed).is_ok()
    }
    unsafe fn unlock_exclusive(&self) {
        self.0.store(0, std::sync::atomic::Ordering::Release);
    }
}
