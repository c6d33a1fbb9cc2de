//! A platform that tests look into: watched memory, locks with hooks, page tables that can pause.
//!
//! It is one type: the storage code is compiled anew for each.
//!
//! Hooks belong to a *thread*, not to a lock: a test's script says what the reader's thread or the writer's
//! thread does when it gets somewhere, whichever inode's lock it meets there.

use super::spy::Spy;
use fs::error::Corrupt;
use fs::lab::{Lab, Step};
use fs::platform::{Mapped, NoFrames, PageSize, PageTables, Platform, Timestamp};
use fs::pmem::Pmem;
use fs::sim::{Entry, SimMutex, SimRwLock, Tables};
use lock_api::RawRwLock;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A machine whose memory is watched.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) pmem: Arc<Spy>,
    clock: Arc<AtomicI64>,
    lab: Arc<Lab>,
    /// The state of the file system in the image whenever it was told to stop the machine.
    fatal: Arc<Mutex<Vec<u8>>>,
}

impl Rig {
    /// A machine over `pmem`, on 2026-01-01.
    pub(crate) fn new(pmem: Spy) -> Self {
        let clock = Arc::new(AtomicI64::new(1_767_225_600));
        Self { pmem: Arc::new(pmem), clock, lab: Arc::default(), fatal: Arc::default() }
    }

    /// A machine with a copy of `image`, which nobody watches.
    pub(crate) fn over(image: &[u8]) -> Self {
        Self::new(Spy::new(image, |_| ()))
    }

    /// What the image says of its state each time the machine is to be stopped.
    pub(crate) fn fatal_with_state(&self) -> Arc<Mutex<Vec<u8>>> {
        self.fatal.clone()
    }
}

impl Platform for Rig {
    type Pmem = Spy;
    type Mutex = SimMutex;
    type RwLock = HookedLock;
    type InodeLock = HookedLock;
    type PageTables = PausingTables;

    fn pmem(&self) -> &Spy {
        &self.pmem
    }

    fn now(&self) -> Timestamp {
        Timestamp { secs: self.clock.fetch_add(1, SeqCst), nanos: 0 }
    }

    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn fatal(&self, _: &Corrupt) {
        self.fatal.lock().expect("the list").push(self.pmem.load_u8(1024 + 0x3a));
    }

    fn reached(&self, step: Step) {
        // Out while it runs: a hook may get to steps itself.
        if let Some(mut hook) = STEP.take() {
            hook(step);
            STEP.with_borrow_mut(|slot| {
                slot.get_or_insert(hook);
            });
        }
    }

    fn relax(&self) {
        Point::Relaxes.reached();
        std::thread::yield_now();
    }
}

type Hook = Box<dyn FnMut()>;
type StepHook = Box<dyn FnMut(Step)>;
type CallHook = Box<dyn FnMut(String)>;

thread_local! {
    static EXCLUSIVE: Cell<u64> = const { Cell::new(0) };
    static BEFORE_EXCLUSIVE: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static WAITS_EXCLUSIVE: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static LETS_GO: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static RELAXES: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static BEFORE_ZERO_PAGE: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static STEP: RefCell<Option<StepHook>> = const { RefCell::new(None) };
    static CALL: RefCell<Option<CallHook>> = const { RefCell::new(None) };
}

/// From now on this thread calls `hook` at each step of the storage code, as long as its machine's hooks are
/// on.
pub(crate) fn on_each_step(hook: impl FnMut(Step) + 'static) {
    STEP.set(Some(Box::new(hook)));
}

/// Calls `hook` with whatever this thread asks of reader-writer locks and page tables while it does `work`.
pub(crate) fn with_each_call<R>(hook: impl FnMut(String) + 'static, work: impl FnOnce() -> R) -> R {
    CALL.set(Some(Box::new(hook)));
    let result = work();
    CALL.set(None);
    result
}

/// Tells of a call, if anybody listens. Out while the hook runs: it may call, too.
pub(crate) fn called(what: impl FnOnce() -> String) {
    if let Some(mut hook) = CALL.take() {
        hook(what());
        CALL.set(Some(hook));
    }
}

/// Runs `hook` once, when this thread gets to `point` next.
pub(crate) fn at_step(point: fs::lab::Point, hook: impl FnOnce() + 'static) {
    at_first_of(vec![point], hook);
}

/// Runs `hook` once, when this thread gets to the first of `points`.
pub(crate) fn at_first_of(points: Vec<fs::lab::Point>, hook: impl FnOnce() + 'static) {
    let mut hook = Some(hook);
    on_each_step(move |step| {
        if points.contains(&step.point)
            && let Some(hook) = hook.take()
        {
            hook();
        }
    });
}

/// A place where a thread's script can step in; each hook runs once.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    /// Before the thread takes a reader-writer lock exclusively, or waits for it.
    BeforeExclusive,
    /// The thread found the lock held and is going to wait for it exclusively.
    WaitsExclusive,
    /// Before the thread lets go of a reader-writer lock that it holds exclusively.
    LetsGo,
    /// The thread waits without a lock, and has looked once.
    Relaxes,
    /// Before a zero page is put into the page tables.
    BeforeZeroPage,
}

impl Point {
    fn slot(self) -> &'static std::thread::LocalKey<RefCell<Option<Hook>>> {
        match self {
            Self::BeforeExclusive => &BEFORE_EXCLUSIVE,
            Self::WaitsExclusive => &WAITS_EXCLUSIVE,
            Self::LetsGo => &LETS_GO,
            Self::Relaxes => &RELAXES,
            Self::BeforeZeroPage => &BEFORE_ZERO_PAGE,
        }
    }

    /// Lets this thread run `hook` when it next gets there.
    pub(crate) fn hook(self, hook: impl FnMut() + 'static) {
        self.slot().set(Some(Box::new(hook)));
    }

    fn reached(self) {
        if let Some(mut hook) = self.slot().take() {
            hook();
        }
    }
}

/// How often this thread took a [`HookedLock`] exclusively.
pub(crate) fn exclusive_count() -> u64 {
    EXCLUSIVE.get()
}

/// A reader-writer lock that counts, and stops at, each exclusive acquisition.
pub(crate) struct HookedLock(SimRwLock);

// SAFETY: every call is handed on to a lock that keeps the contract; what is added touches thread-locals
// only.
unsafe impl RawRwLock for HookedLock {
    // The constant is how lock_api makes a lock: each use is a new one, none is shared through it.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self(<SimRwLock as RawRwLock>::INIT);
    type GuardMarker = <SimRwLock as RawRwLock>::GuardMarker;

    fn lock_shared(&self) {
        called(|| "lock shared".into());
        RawRwLock::lock_shared(&self.0);
    }
    fn try_lock_shared(&self) -> bool {
        self.0.try_lock_shared()
    }
    unsafe fn unlock_shared(&self) {
        called(|| "unlock shared".into());
        // SAFETY: the caller holds it shared.
        unsafe { self.0.unlock_shared() }
    }
    fn lock_exclusive(&self) {
        called(|| "lock exclusively".into());
        Point::BeforeExclusive.reached();
        EXCLUSIVE.set(EXCLUSIVE.get() + 1);
        if !self.0.try_lock_exclusive() {
            Point::WaitsExclusive.reached();
            RawRwLock::lock_exclusive(&self.0);
        }
    }
    fn try_lock_exclusive(&self) -> bool {
        EXCLUSIVE.set(EXCLUSIVE.get() + 1);
        self.0.try_lock_exclusive()
    }
    unsafe fn unlock_exclusive(&self) {
        called(|| "unlock exclusively".into());
        Point::LetsGo.reached();
        // SAFETY: the caller holds it exclusively.
        unsafe { self.0.unlock_exclusive() }
    }
}

/// Page tables with a place to pause at.
#[derive(Default)]
pub(crate) struct PausingTables(Tables);

impl PageTables for PausingTables {
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        called(|| format!("map {va:x} to {frame:x}, {size:?}, {writable}"));
        self.0.map(va, frame, size, writable)
    }
    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        called(|| format!("map {va:x} to zeros, {size:?}"));
        Point::BeforeZeroPage.reached();
        self.0.map_zero(va, size)
    }
    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        called(|| format!("map {va:x} to a copy of {from:x?}"));
        self.0.map_copy(va, from)
    }
    fn has_small(&self, va: u64) -> bool {
        self.0.has_small(va)
    }
    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        called(|| format!("unmap {va:x}, {pages}, {copies}"));
        self.0.unmap(va, pages, copies)
    }
    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        called(|| format!("protect {va:x}, {pages}"));
        self.0.write_protect(va, pages)
    }
}

/// Page tables that a test can look into.
pub(crate) trait Entries: PageTables + Default {
    /// The entry at `va`.
    fn entry(&self, va: u64) -> Option<Entry>;
}

impl Entries for Tables {
    fn entry(&self, va: u64) -> Option<Entry> {
        Tables::entry(self, va)
    }
}

impl Entries for PausingTables {
    fn entry(&self, va: u64) -> Option<Entry> {
        self.0.entry(va)
    }
}
