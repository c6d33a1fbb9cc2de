//! A machine whose CPUs are loom's threads: what `locks` asks of one, and the `Kit` over it.
//!
//! The lists that threads sleep on are `locks`' own. A thread sleeps on a condition variable of loom's, which
//! keeps a wake-up that comes early, as the kernel's scheduler does. Under loom nobody spins.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use fs::lab::Mutant;
use fs::pmem::ram::Ram;
use fs::sim;
use locks::{Lists, LockMachine, RawMutex, RawRwLock, Short, Tasks};
use loom::sync::{Condvar, Mutex, MutexGuard};

/// The machine.
pub(crate) struct Loom;

/// A thread that sleeps, or is about to.
pub(crate) struct LoomTask {
    woken: Mutex<bool>,
    condition: Condvar,
}

/// What all threads of one execution share, beside what the model makes.
struct LoomShared {
    lists: Lists<Loom, 2>,
    /// Threads that went to sleep so far. Not a step of the model's: loom runs one thread at a time.
    sleeps: Cell<u32>,
    /// Keys that were waited for or woken: the place here stands for a key, whose address differs in each
    /// execution.
    keys: RefCell<Vec<usize>>,
}

thread_local! {
    // Of the host's thread, and so of all of loom's.
    static SHARED: RefCell<Option<Rc<LoomShared>>> = const { RefCell::new(None) };
    static MISTAKE: Cell<Option<Mutant>> = const { Cell::new(None) };
    static LOOK_EARLY: Cell<bool> = const { Cell::new(false) };
}

loom::thread_local! {
    static CPU: Cell<usize> = Cell::new(0);
    static TASK: Arc<LoomTask> = Arc::new(LoomTask { woken: Mutex::new(false), condition: Condvar::new() });
}

fn shared() -> Rc<LoomShared> {
    SHARED.with_borrow(|shared| shared.clone().expect("a model begins with `boot`"))
}

/// Begins an execution of a model, on its first thread.
pub(crate) fn boot() {
    loomed::concurrent(false);
    let shared = LoomShared { lists: Lists::new(), sleeps: Cell::new(0), keys: RefCell::default() };
    shared.lists.prepare();
    SHARED.set(Some(Rc::new(shared)));
}

/// Has every platform make the mistake of `fs`' lab that has this name, from now on.
pub(crate) fn mistake(name: &str) {
    MISTAKE.set(name.parse().ok());
}

/// Has who waits look at its condition before it locks the list, not after, from now on.
pub(crate) fn look_early() {
    LOOK_EARLY.set(true);
}

/// Puts this thread on CPU `number`, from now on.
pub(crate) fn run_on(number: usize) {
    CPU.with(|cpu| cpu.set(number));
}

/// Returns how many times a thread has gone to sleep.
pub(crate) fn sleeps() -> u32 {
    shared().sleeps.get()
}

impl LoomShared {
    fn number(&self, key: usize) -> usize {
        let mut keys = self.keys.borrow_mut();
        keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        })
    }
}

impl LockMachine for Loom {
    type Queued = LoomShort<i64>;

    fn cpu() -> usize {
        CPU.with(Cell::get)
    }

    fn cpus() -> usize {
        1
    }

    fn relax() {}

    fn wait(key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        let shared = shared();
        if LOOK_EARLY.get() {
            let waiting = still_waiting();
            return shared.lists.wait(shared.number(key), &mut || waiting);
        }
        shared.lists.wait(shared.number(key), still_waiting);
    }

    fn wake(key: usize) {
        let shared = shared();
        shared.lists.wake(shared.number(key));
    }

    fn wake_one(key: usize) {
        let shared = shared();
        shared.lists.wake_one(shared.number(key));
    }
}

/// Wakes everybody who sleeps.
pub(crate) fn wake_everybody() {
    shared().lists.wake_everybody();
}

impl Tasks for Loom {
    type Task = Arc<LoomTask>;
    type Queue = VecDeque<(usize, Arc<LoomTask>)>;
    type Lock = LoomShort<Self::Queue>;

    fn enqueue(queue: &mut Self::Queue, key: usize) {
        let shared = shared();
        shared.sleeps.set(shared.sleeps.get() + 1);
        queue.push_back((key, TASK.with(Arc::clone)));
    }

    fn take(queue: &mut Self::Queue, key: Option<usize>) -> Option<Arc<LoomTask>> {
        let at = queue.iter().position(|(own, _)| key.is_none_or(|key| key == *own))?;
        queue.remove(at).map(|(_, task)| task)
    }

    fn block() {
        let task = TASK.with(Arc::clone);
        let mut woken = task.woken.lock().expect("nobody panics");
        while !*woken {
            woken = task.condition.wait(woken).expect("nobody panics");
        }
        *woken = false;
    }

    fn make_ready(task: Arc<LoomTask>) {
        *task.woken.lock().expect("nobody panics") = true;
        task.condition.notify_one();
    }
}

/// The short lock: loom's mutex, known to it from its first use on.
pub(crate) struct LoomShort<T>(OnceLock<Mutex<T>>);

impl<T: Default> Short<T> for LoomShort<T> {
    const NEW: Self = Self(OnceLock::new());
    type Guard<'a>
        = MutexGuard<'a, T>
    where
        T: 'a;

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.get_or_init(Mutex::default).lock().expect("nobody panics")
    }
}

/// The machine as `fs` sees it: these locks and lists.
pub(crate) type Cpus = sim::Machine<Loomed>;

/// The locks and lists.
#[derive(Clone)]
pub(crate) struct Loomed;

/// Makes a machine with the mistake that was asked for.
pub(crate) fn cpus() -> Cpus {
    let machine = Cpus::with(Arc::new(Ram::from_bytes(&[0; 4096])), Arc::default(), Loomed);
    MISTAKE.get().into_iter().for_each(|mistake| machine.lab.add(mistake));
    machine
}

impl sim::Kit for Loomed {
    type Pmem = Ram;
    type Mutex = RawMutex<Loom>;
    type RwLock = RawRwLock<Loom>;
    type PageTables = sim::Tables;

    fn wait(&self, key: usize, still_waiting: &mut dyn FnMut() -> bool) {
        Loom::wait(key, still_waiting);
    }

    fn wake(&self, key: usize) {
        Loom::wake(key);
    }
}
