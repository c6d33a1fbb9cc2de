//! A machine for one thread: memory that counts accesses, can lose power and goes back to what it was; locks
//! that know that nobody else can hold them.

use fs::PAGE_SIZE;
use fs::platform::{Platform, Timestamp, User};
use fs::pmem::{LINE, Pmem, ram};
use fs::sim::Tables;
use fs::stats::Stats;
use lock_api::{GuardSend, RawMutex, RawRwLock};
use std::collections::BTreeMap;
use std::ops::Range;
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

/// The memory.
pub struct Watched {
    /// Behind a mutex, for one thread: copied in one piece, where `Ram`'s atoms would cost a comparison each,
    /// which libFuzzer looks at.
    bytes: Mutex<Vec<u8>>,
    len: u64,
    stats: Stats,
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
    writable: AtomicBool,
}

impl Watched {
    fn access(&self, len: u64) {
        let count = self.accesses.fetch_add(1 + len / LINE, Relaxed);
        // Not while another finding unwinds.
        assert!(count < MOST_ACCESSES || std::thread::panicking(), "one operation takes too many accesses");
    }

    /// Before a store.
    fn store(&self, offset: u64, len: u64) {
        self.access(len);
        assert!(self.writable() || std::thread::panicking(), "a store to a region that is not writable");
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
                    let len = (self.len - unit * UNIT).min(UNIT);
                    self.bytes()[self.range(unit * UNIT, len)].to_vec()
                });
            }
        }
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `len` bytes at `offset`, as a range that is in the region.
    fn range(&self, offset: u64, len: u64) -> Range<usize> {
        let end = offset.checked_add(len).filter(|&end| end <= self.len);
        let Some(end) = end else { panic!("{len} bytes at {offset:#x} of a region of {:#x}", self.len) };
        offset as usize..end as usize
    }

    fn number<const N: usize>(&self, offset: u64) -> Range<usize> {
        assert!(offset.is_multiple_of(N as u64), "{N} bytes at {offset:#x} are not aligned");
        self.range(offset, N as u64)
    }

    /// Stores without counting.
    fn put(&self, offset: u64, from: &[u8]) {
        let range = self.range(offset, from.len() as u64);
        self.bytes()[range].copy_from_slice(from);
    }

    fn before(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<u8>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

macro_rules! watched {
    ($($load:ident $store:ident $number:ident),*) => {$(
        fn $load(&self, offset: u64) -> $number {
            self.access(0);
            let mut value = [0; size_of::<$number>()];
            let range = self.number::<{ size_of::<$number>() }>(offset);
            value.copy_from_slice(&self.bytes()[range]);
            <$number>::from_le_bytes(value)
        }
        fn $store(&self, offset: u64, value: $number) {
            self.store(offset, size_of::<$number>() as u64);
            let range = self.number::<{ size_of::<$number>() }>(offset);
            self.bytes()[range].copy_from_slice(&value.to_le_bytes());
        }
    )*};
}

impl Pmem for Watched {
    watched!(load_u8 store_u8 u8, load_u16 store_u16 u16, load_u32 store_u32 u32, load_u64 store_u64 u64);

    fn len(&self) -> u64 {
        self.len
    }
    fn writable(&self) -> bool {
        self.writable.load(Relaxed)
    }
    fn frame(&self, offset: u64) -> u64 {
        self.range(offset, PAGE_SIZE);
        ram::BASE + offset
    }
    fn read(&self, offset: u64, to: &mut [u8]) {
        self.access(to.len() as u64);
        let range = self.range(offset, to.len() as u64);
        to.copy_from_slice(&self.bytes()[range]);
    }
    fn write(&self, offset: u64, from: &[u8]) {
        self.store(offset, from.len() as u64);
        self.put(offset, from);
    }
    fn write_nt(&self, offset: u64, from: &[u8]) {
        self.write(offset, from);
    }
    fn zero_nt(&self, offset: u64, len: u64) {
        self.store(offset, len);
        let range = self.range(offset, len);
        self.bytes()[range].fill(0);
    }
    fn flush(&self, offset: u64, len: u64) {
        self.access(len);
        self.range(offset, len);
    }
    fn fence(&self) {
        self.access(0);
    }
    fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A base image in memory, to be damaged, used and put back.
pub struct Bench {
    original: Vec<u8>,
    machine: Machine,
}

impl Bench {
    /// A machine with `image` in its memory.
    pub fn new(image: Vec<u8>) -> Self {
        let units = (image.len() as u64).div_ceil(UNIT);
        let memory = Watched {
            bytes: Mutex::new(image.clone()),
            len: image.len() as u64,
            stats: Stats::new(),
            changed: (0..units).map(|_| AtomicBool::new(false)).collect(),
            accesses: AtomicU64::new(0),
            stores: AtomicU64::new(0),
            left: AtomicI64::new(-1),
            off: AtomicBool::new(false),
            before: Mutex::default(),
            sealed: AtomicBool::new(false),
            writable: AtomicBool::new(true),
        };
        Self { original: image, machine: Machine::new(memory) }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The undamaged image.
    pub fn original(&self) -> &[u8] {
        &self.original
    }

    /// All that is in the memory now.
    pub fn bytes(&self) -> Vec<u8> {
        self.memory().bytes().clone()
    }

    fn memory(&self) -> &Watched {
        &self.machine.memory
    }

    /// Changes bytes as someone with a hex editor would; what does not fit is cut off.
    pub fn damage(&self, at: u64, bytes: &[u8]) {
        let len = self.memory().len();
        let fits = len.saturating_sub(at).min(bytes.len() as u64) as usize;
        self.memory().write(at.min(len), &bytes[..fits]);
    }

    /// A new operation begins: it has all its accesses before it.
    pub fn begin(&self) {
        self.memory().accesses.store(0, Relaxed);
        self.machine.turns.store(0, Relaxed);
    }

    /// How often the memory was stored to.
    pub fn stores(&self) -> u64 {
        self.memory().stores.load(Relaxed)
    }

    /// True if there is a redo record, sound or not.
    pub fn has_redo_record(&self) -> bool {
        self.memory().bytes()[REDO_CHECKSUM as usize..][..8] != [0; 8]
    }

    /// From now on, or until told otherwise, a store is a finding.
    pub fn seal(&self, sealed: bool) {
        self.memory().sealed.store(sealed, Relaxed);
    }

    /// Sets whether the region takes stores at all.
    pub fn set_writable(&self, writable: bool) {
        self.memory().writable.store(writable, Relaxed);
    }

    /// Whether it does.
    pub fn is_writable(&self) -> bool {
        self.memory().writable()
    }

    /// The power fails before store number `stores` from now.
    pub fn fail_after(&self, stores: u32) {
        self.memory().left.store(stores.into(), Relaxed);
    }

    /// The power fails now, if it has not.
    pub fn power_off(&self) {
        self.memory().off.store(true, Relaxed);
        self.memory().left.store(-1, Relaxed);
    }

    /// The power is on again: what was stored without is gone.
    pub fn power_on(&self) {
        let memory = self.memory();
        memory.off.store(false, Relaxed);
        memory.left.store(-1, Relaxed);
        for (unit, bytes) in std::mem::take(&mut *memory.before()) {
            memory.put(unit * UNIT, &bytes);
        }
    }

    /// True while there is power.
    pub fn has_power(&self) -> bool {
        !self.memory().off.load(Relaxed)
    }

    /// Puts back everything that was changed.
    pub fn restore(&self) {
        let memory = self.memory();
        self.power_on();
        self.seal(false);
        self.set_writable(true);
        for (unit, changed) in memory.changed.iter().enumerate() {
            if changed.swap(false, Relaxed) {
                let start = unit * UNIT as usize;
                let end = (start + UNIT as usize).min(self.original.len());
                memory.put(start as u64, &self.original[start..end]);
            }
        }
        self.machine.clock.store(START, Relaxed);
        self.machine.become_user(User::default());
        self.begin();
    }
}

/// When every input starts: 2026-01-01.
const START: i64 = 1_767_225_600;

/// The machine.
#[derive(Clone)]
pub struct Machine {
    memory: Arc<Watched>,
    clock: Arc<AtomicI64>,
    turns: Arc<AtomicU32>,
    user: Arc<[AtomicU32; 2]>,
}

impl Machine {
    fn new(memory: Watched) -> Self {
        let clock = Arc::new(AtomicI64::new(START));
        Self { memory: Arc::new(memory), clock, turns: Arc::default(), user: Arc::default() }
    }

    /// From now on all is done on behalf of `user`.
    pub fn become_user(&self, user: User) {
        self.user[0].store(user.uid, Relaxed);
        self.user[1].store(user.gid, Relaxed);
    }
}

impl Platform for Machine {
    type Pmem = Watched;
    type Mutex = LoneMutex;
    type RwLock = LoneRwLock;
    type InodeLock = LoneRwLock;
    type PageTables = Tables;

    fn pmem(&self) -> &Watched {
        &self.memory
    }
    fn now(&self) -> Timestamp {
        Timestamp { secs: self.clock.fetch_add(1, Relaxed), nanos: 0 }
    }
    fn user(&self) -> User {
        User { uid: self.user[0].load(Relaxed), gid: self.user[1].load(Relaxed) }
    }
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
