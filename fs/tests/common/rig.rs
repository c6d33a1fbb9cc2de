//! The machine of all tests here: memory that can be watched, locks with hooks.
//!
//! It is one type: the storage code is compiled anew for each.
//!
//! Hooks belong to a *thread*, not to a lock: a test's script says what the reader's thread or the writer's
//! thread does when it gets somewhere, whichever inode's lock it meets there.

use fs::lab::Step;
use fs::pmem::Pmem;
use fs::pmem::ram::Ram;
use fs::sim::{Kit, SimMutex, SimRwLock, Tables};
use lock_api::RawRwLock;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

/// The machine.
pub(crate) type Machine = fs::sim::Machine<Hooked>;

/// Real locks, with hooks.
#[derive(Clone, Default)]
pub(crate) struct Hooked {
    /// What the image says of its state, each time that the machine is to be stopped.
    pub(crate) fatal: Arc<Mutex<Vec<u8>>>,
}

impl Kit for Hooked {
    type Pmem = Ram;
    type Mutex = SimMutex;
    type RwLock = HookedLock;
    type PageTables = Tables;

    fn fatal(&self, ram: &Ram) {
        self.fatal.lock().expect("the list").push(ram.load_u8(1024 + 0x3a));
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
    static RELAXES: RefCell<Option<Hook>> = const { RefCell::new(None) };
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
    let mut hook = Some(hook);
    on_each_step(move |step| {
        if step.point == point
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
    /// The thread waits without a lock, and has looked once.
    Relaxes,
}

impl Point {
    fn slot(self) -> &'static std::thread::LocalKey<RefCell<Option<Hook>>> {
        match self {
            Self::BeforeExclusive => &BEFORE_EXCLUSIVE,
            Self::WaitsExclusive => &WAITS_EXCLUSIVE,
            Self::Relaxes => &RELAXES,
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
        // SAFETY: the caller holds it exclusively.
        unsafe { self.0.unlock_exclusive() }
    }
}
