//! Tasks: kernel threads with an address space each, or a shared one, that take turns on the CPUs.
//!
//! | file | what |
//! |---|---|
//! | this one | [`Task`], [`spawn`], join, exit status |
//! | `sched.rs` | run queues, preemption, idling |
//! | `switch.rs` | from one stack to another |
//! | `wait.rs` | waiting for something, keyed by an address; sleeping |
//! | `queue.rs` | lists of tasks |
//!
//! A task runs in ring 0, on a stack with a guard page. It is preempted when its time is over and another one
//! waits for its CPU, wherever it is with interrupts on, unless it holds a [`NoPreempt`]. A page fault it
//! cannot be served becomes an error of the access ([`crate::entry::user_access`]); a task that ends because
//! of it has a status as a shell shows one of a program that a signal ended: [`ExitStatus`].
//!
//! # Locking
//! A waiting list's lock → a run queue's lock; both [`IrqLock`]s. Tasks are freed under neither.

mod queue;
mod sched;
mod switch;
mod wait;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use fs::{Errno, Result};

use crate::arch::{percpu, time};
use crate::mm::aspace::AddressSpace;
use crate::mm::fault::Refusal;
use crate::mm::paging;
use crate::mm::stack::KernelStack;
use crate::sync::{InterruptsOff, IrqLock, Sleep, sleep_by};
use queue::Link;

pub use sched::{become_idle, on_reschedule, on_timer, yield_now};
pub use wait::{may_sleep, sleep_ns, wait, wake, wake_everybody, wake_one};

/// Pages of a task's stack, unless told otherwise.
const STACK_PAGES: u64 = 48;

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// By itself; 0 is success.
    Code(u8),
    /// As a program that a signal ended, with what is to be said about it.
    Killed(Signal, String),
}

/// The signals a fault would send to a program (POSIX names, Linux numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The file cannot serve the access: beyond the file's end, no space, poison.
    Bus = 7,
    /// Nothing is mapped there, or not with this right.
    Segv = 11,
}

impl ExitStatus {
    /// All went well.
    pub const SUCCESS: Self = Self::Code(0);

    /// Returns the number a shell shows: 128 and the signal's number for one that was killed.
    pub fn code(&self) -> u8 {
        match self {
            Self::Code(code) => *code,
            Self::Killed(signal, _) => 128 + *signal as u8,
        }
    }
}

impl From<Refusal> for Signal {
    fn from(why: Refusal) -> Self {
        match why {
            Refusal::NoVma | Refusal::NoRight(_) => Self::Segv,
            Refusal::File(_) => Self::Bus,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bus => "SIGBUS",
            Self::Segv => "SIGSEGV",
        })
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Killed(signal, why) => write!(f, "{signal}: {why}"),
        }
    }
}

/// What a task does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// The task has a CPU.
    Running,
    /// The task waits for a CPU.
    Ready,
    /// The task waits for something else.
    Waiting,
    /// The task has ended.
    Done,
}

type TaskBody = Box<dyn FnOnce() -> ExitStatus + Send>;

/// A task.
pub struct Task {
    id: u32,
    name: Box<str>,
    /// The only CPU that the task may run on.
    pinned: Option<usize>,
    /// None where somebody else made the stack: the first task, idle ones.
    _stack: Option<KernelStack>,
    /// The stack pointer while the task does not run.
    rsp: AtomicU64,
    /// A CPU runs on the task's stack: nobody else may.
    on_cpu: AtomicBool,
    /// The CPU that the task runs on, or ran on last.
    cpu: AtomicUsize,
    state: AtomicU8,
    link: Link,
    /// The key that the task waits for.
    key: AtomicUsize,
    /// Time-stamp ticks that the task ran, up to the last switch.
    ran: AtomicU64,
    /// [`NoPreempt`]s that the task holds.
    guards: AtomicU32,
    /// The task's address space, kept alive; only the task itself takes it.
    space: IrqLock<Option<Arc<AddressSpace>>>,
    /// The last refused fault, on its way to the access that it ends.
    refusal: IrqLock<Option<Refusal>>,
    /// The signal that the last refused fault would have sent.
    signal: IrqLock<Option<Signal>>,
    /// The task is about to jump to one of its own addresses.
    calling: AtomicBool,
    body: IrqLock<Option<TaskBody>>,
    status: IrqLock<Option<ExitStatus>>,
}

/// A task, to be joined or looked at.
pub type TaskRef = Arc<Task>;

/// Which address space a new task gets.
#[allow(dead_code, reason = "not every kind is used by a command")]
pub enum TaskSpace {
    /// None: it only works in the kernel's half.
    Kernel,
    /// An address space of its own, empty.
    New,
    /// An address space that exists, together with whoever else has it: another task's, or a copy of one.
    Shared(Arc<AddressSpace>),
}

/// What a new task is to be.
pub struct Builder<'a> {
    /// For `ps`.
    pub name: &'a str,
    /// The new task's address space.
    pub space: TaskSpace,
    /// The CPU that the task stays on; any, if there is none.
    pub cpu: Option<usize>,
}

static LAST_ID: AtomicU32 = AtomicU32::new(0);
/// Every task, but the idle ones.
static TASKS: IrqLock<Vec<Weak<Task>>> = IrqLock::new(Vec::new());

impl Task {
    fn new(name: &str, pinned: Option<usize>, stack: Option<KernelStack>) -> Self {
        Self {
            id: 0,
            name: name.into(),
            pinned,
            _stack: stack,
            rsp: AtomicU64::new(0),
            on_cpu: AtomicBool::new(false),
            cpu: AtomicUsize::new(pinned.unwrap_or_else(percpu::number)),
            state: AtomicU8::new(TaskState::Ready as u8),
            link: Link::new(),
            key: AtomicUsize::new(0),
            ran: AtomicU64::new(0),
            guards: AtomicU32::new(0),
            space: IrqLock::new(None),
            refusal: IrqLock::new(None),
            signal: IrqLock::new(None),
            calling: AtomicBool::new(false),
            body: IrqLock::new(None),
            status: IrqLock::new(None),
        }
    }

    /// Returns the task's number; 0 for idle tasks.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of the CPU that the task runs on, or ran on last.
    pub fn cpu(&self) -> usize {
        self.cpu.load(Ordering::Relaxed)
    }

    /// Returns what the task does just now.
    pub fn state(&self) -> TaskState {
        match self.state.load(Ordering::Relaxed) {
            0 => TaskState::Running,
            1 => TaskState::Ready,
            2 => TaskState::Waiting,
            _ => TaskState::Done,
        }
    }

    fn set_state(&self, state: TaskState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Returns for how many nanoseconds the task ran. Its present run counts from its last turn on.
    pub fn cpu_ns(&self) -> u64 {
        let now = match self.state() {
            TaskState::Running => sched::ticks_of_turn(self.cpu()),
            _ => 0,
        };
        time::to_ns(self.ran.load(Ordering::Relaxed) + now)
    }

    /// Returns how the task ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status.lock().clone()
    }

    /// Waits until the task has ended, with its address space gone, and returns how it ended.
    pub fn join(&self) -> ExitStatus {
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            wait(self.status_key(), &mut || self.status.lock().is_none());
        }
    }

    fn status_key(&self) -> usize {
        core::ptr::from_ref(&self.status) as usize
    }

    /// Returns where a fault that is refused leaves its reason.
    pub fn refusal(&self) -> &IrqLock<Option<Refusal>> {
        &self.refusal
    }

    /// Takes the reason of the fault that was just refused, and notes which signal that would be.
    pub fn take_refusal(&self) -> Option<Refusal> {
        let why = self.refusal.lock().take()?;
        *self.signal.lock() = Some(why.into());
        Some(why)
    }

    /// Returns the signal that the task's last refused fault would have sent.
    pub fn signal(&self) -> Option<Signal> {
        *self.signal.lock()
    }

    /// Returns the flag that is set while the task jumps to one of its own addresses.
    pub fn calling(&self) -> &AtomicBool {
        &self.calling
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({}, {})", self.id, self.name)
    }
}

/// Makes whoever runs on this CPU the first task, with this address space, and gives the CPU an idle one.
///
/// # Errors
/// [`Errno::NoMemory`].
pub fn init(name: &str, space: Arc<AddressSpace>) -> Result<()> {
    sleep_by(&Sleep { wait, wake, wake_one });
    let first = register(Task::new(name, None, None));
    sched::init(first.clone())?;
    set_space(&first, Some(space));
    Ok(())
}

/// Starts a task that runs `body` and ends with the status that `body` returns.
///
/// # Errors
/// [`Errno::NoMemory`] for its stack or tables, [`Errno::Invalid`] for a CPU that does not run.
pub fn spawn(builder: Builder<'_>, body: impl FnOnce() -> ExitStatus + Send + 'static) -> Result<TaskRef> {
    if builder.cpu.is_some_and(|cpu| cpu >= percpu::MOST || percpu::online_set() >> cpu & 1 == 0) {
        return Err(Errno::Invalid.into());
    }
    let space = match builder.space {
        TaskSpace::Kernel => None,
        TaskSpace::New => Some(Arc::new(AddressSpace::new()?)),
        TaskSpace::Shared(space) => Some(space),
    };
    let task = sched::prepare(builder.name, builder.cpu, started)?;
    *task.space.lock() = space;
    *task.body.lock() = Some(Box::new(body));
    let task = register(task);
    sched::make_ready(task.clone());
    Ok(task)
}

/// Gives a task its number, and notes it for [`all`].
fn register(mut task: Task) -> TaskRef {
    task.id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
    let task = Arc::new(task);
    let mut tasks = TASKS.lock();
    tasks.retain(|task| task.strong_count() > 0);
    tasks.push(Arc::downgrade(&task));
    task
}

/// Returns every task that has not ended, idle ones excepted.
pub fn all() -> Vec<TaskRef> {
    let tasks: Vec<TaskRef> = TASKS.lock().iter().filter_map(Weak::upgrade).collect();
    tasks.into_iter().filter(|task| task.status().is_none()).collect()
}

/// Returns every task's address space.
pub fn spaces() -> Vec<Arc<AddressSpace>> {
    all().iter().filter_map(|task| task.space.lock().clone()).collect()
}

/// Returns the task that runs; none before there are tasks.
#[inline]
pub fn try_current() -> Option<&'static Task> {
    // SAFETY: a task lives as long as it runs, and this is called by the task itself.
    unsafe { percpu::current().cast::<Task>().as_ref() }
}

/// Returns the task that runs.
///
/// # Panics
/// Before [`init`].
#[inline]
pub fn current() -> TaskRef {
    let task: *const Task = percpu::current().cast();
    assert!(!task.is_null(), "no task runs yet");
    // SAFETY: the pointer is that of an `Arc`, of which the CPU holds one reference while the task runs.
    unsafe {
        Arc::increment_strong_count(task);
        Arc::from_raw(task)
    }
}

/// Gives the task that runs another address space, or none. Returns the one it had: dropping it may take
/// long.
fn set_space(task: &Task, space: Option<Arc<AddressSpace>>) -> Option<Arc<AddressSpace>> {
    let _here = InterruptsOff::new();
    percpu::set_space(space.as_ref().map_or(core::ptr::null(), Arc::as_ptr).cast());
    paging::activate(space.as_ref().map(|space| space.page_tables().clone()));
    core::mem::replace(&mut *task.space.lock(), space)
}

/// First code of a new task.
extern "C" fn started() -> ! {
    sched::finish_switch();
    x86_64::instructions::interrupts::enable();
    let body = current().body.lock().take();
    exit(body.map_or(ExitStatus::SUCCESS, |body| body()))
}

/// Ends the task that runs. What its callers hold is not dropped: a task ends by returning from its body.
fn exit(status: ExitStatus) -> ! {
    let task = current();
    // Its mappings go first: who joins it finds them gone.
    drop(set_space(&task, None));
    *task.status.lock() = Some(status);
    wake(task.status_key());
    drop(task);
    sched::leave()
}

/// Proof that the task that made it keeps its CPU, as long as the task does not wait.
pub struct NoPreempt(());

impl NoPreempt {
    /// Keeps the CPU for the task that runs, from now on.
    pub fn new() -> Self {
        if let Some(task) = try_current() {
            task.guards.fetch_add(1, Ordering::Relaxed);
        }
        Self(())
    }
}

impl Drop for NoPreempt {
    fn drop(&mut self) {
        if let Some(task) = try_current() {
            task.guards.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
