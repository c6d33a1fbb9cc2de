//! Who runs where: a run queue for each CPU, round robin, preempted by the CPU's timer.
//!
//! # Where a task runs
//! A pinned task on its CPU. Any other, when it becomes ready: where it ran last, if that CPU idles, else on
//! any CPU that idles, else where it ran last. A CPU with nothing to do takes an unpinned task that waits
//! elsewhere; then it halts.
//!
//! # The timer
//! It is armed while another task waits for this CPU, or one that sleeps here is to be woken. A task that has
//! its CPU for itself is never interrupted.
//!
//! # Switching
//! Interrupts are off, and no lock is held. The task that leaves may be on a list already, where another CPU
//! finds it: it is taken from there only when `on_cpu` is down, which the task that comes does
//! ([`finish_switch`]), on its own stack.
//!
//! Lock order: one run queue at a time; a CPU's sleepers, then nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use fs::{Errno, Result};
use x86_64::instructions::interrupts;

use super::queue::Queue;
use super::switch::{first, switch};
use super::{STACK_PAGES, Task, TaskRef, TaskState, try_current};
use crate::arch::percpu::{self, MOST, PerCpu};
use crate::arch::{apic, time};
use crate::counters::stats;
use crate::mm::paging;
use crate::mm::stack::KernelStack;
use crate::sync::{InterruptsOff, IrqLock};

/// How long a task runs while another waits.
const SLICE_NS: u64 = 5_000_000;

/// A CPU's part in this.
#[repr(align(64))]
struct CpuQueue {
    ready: IrqLock<Queue>,
    /// How many tasks are on the queue; to look at without the lock.
    count: AtomicUsize,
    /// What runs if there is nothing else.
    idle: AtomicPtr<Task>,
    /// The CPU has nothing to do and halts, or is about to.
    idling: AtomicBool,
    /// The task that has just left, until [`finish_switch`].
    previous: AtomicPtr<Task>,
    /// Time stamp of the last switch.
    switched: AtomicU64,
    /// When the current task's time is over, in nanoseconds; 0: nobody waits for it.
    slice_end: AtomicU64,
    /// When the timer comes; 0: never.
    timer: AtomicU64,
    sleepers: IrqLock<Vec<(u64, TaskRef)>>,
}

impl CpuQueue {
    const fn new() -> Self {
        Self {
            ready: IrqLock::new(Queue::new()),
            count: AtomicUsize::new(0),
            idle: AtomicPtr::new(core::ptr::null_mut()),
            idling: AtomicBool::new(false),
            previous: AtomicPtr::new(core::ptr::null_mut()),
            switched: AtomicU64::new(0),
            slice_end: AtomicU64::new(0),
            timer: AtomicU64::new(0),
            sleepers: IrqLock::new(Vec::new()),
        }
    }

    fn push(&self, task: TaskRef) {
        let mut ready = self.ready.lock();
        ready.push(task);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn take(&self, wanted: impl FnMut(&Task) -> bool) -> Option<TaskRef> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let task = self.ready.lock().take(wanted)?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }
}

/// By the CPU's number.
static QUEUES: [CpuQueue; MOST] = [const { CpuQueue::new() }; MOST];

/// A CPU's part.
fn sched(cpu: &PerCpu) -> &'static CpuQueue {
    &QUEUES[cpu.number()]
}

/// What becomes of the task that leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SwitchReason {
    /// The task is still ready.
    Yield,
    /// The task waits: whoever wakes it has it.
    Block,
    /// The task has ended.
    Exit,
}

/// Makes `task` the one that runs on this CPU, and gives the CPU an idle one.
pub(super) fn init(task: TaskRef) -> Result<()> {
    let cpu = percpu::this();
    let idle = Arc::new(prepare("idle", Some(cpu.number()), idle_started)?);
    sched(cpu).idle.store(Arc::into_raw(idle).cast_mut(), Ordering::Release);
    adopt(cpu, task);
    Ok(())
}

/// Makes who runs on this CPU its idle task; never returns. Interrupts are off.
pub fn become_idle() -> ! {
    let cpu = percpu::this();
    let idle = Arc::new(Task::new("idle", Some(cpu.number()), None));
    sched(cpu).idle.store(Arc::into_raw(idle.clone()).cast_mut(), Ordering::Release);
    adopt(cpu, idle);
    idle_loop()
}

fn adopt(cpu: &PerCpu, task: TaskRef) {
    task.on_cpu.store(true, Ordering::Relaxed);
    task.cpu.store(cpu.number(), Ordering::Relaxed);
    task.set_state(TaskState::Running);
    sched(cpu).switched.store(time::ticks(), Ordering::Relaxed);
    cpu.set_current(Arc::into_raw(task).cast());
}

/// Returns a task with a stack, whose first code is `entry`.
pub(super) fn prepare(name: &str, pinned: Option<usize>, entry: extern "C" fn() -> !) -> Result<Task> {
    let stack = KernelStack::new(STACK_PAGES).map_err(|_| Errno::NoMemory)?;
    // SAFETY: the stack is new.
    let rsp = unsafe { first(stack.top(), entry) };
    let task = Task::new(name, pinned, Some(stack));
    task.rsp.store(rsp, Ordering::Relaxed);
    Ok(task)
}

/// Returns whether this is some CPU's idle task.
pub(super) fn is_idle(task: &Task) -> bool {
    task.id == 0
}

/// Returns the time-stamp ticks since the last switch on a CPU.
pub(super) fn ticks_of_turn(cpu: usize) -> u64 {
    let switched = percpu::all().nth(cpu).map(|cpu| sched(cpu).switched.load(Ordering::Relaxed));
    switched.map_or(0, |switched| time::ticks().saturating_sub(switched))
}

/// Puts a task that is on no list in a run queue, and sees to it that a CPU looks there.
pub(super) fn make_ready(task: TaskRef) {
    let _here = InterruptsOff::new();
    task.set_state(TaskState::Ready);
    let own = percpu::this();
    let target = place(&task, own);
    let pinned = task.pinned.is_some();
    sched(target).push(task);
    if target.number() != own.number() {
        // It ends its halt, or arms its timer.
        apic::send(target, apic::RESCHEDULE);
    } else {
        arm(own);
    }
    // A CPU that has begun to idle since may take it.
    if !pinned
        && !sched(target).idling.load(Ordering::SeqCst)
        && let Some(idle) = idle_cpu().filter(|idle| idle.number() != target.number())
        && idle.number() != own.number()
    {
        apic::send(idle, apic::RESCHEDULE);
    }
}

fn idle_cpu() -> Option<&'static PerCpu> {
    percpu::all().find(|cpu| cpu.is_online() && sched(cpu).idling.load(Ordering::SeqCst))
}

fn place(task: &Task, own: &'static PerCpu) -> &'static PerCpu {
    let cpu = |number| percpu::all().nth(number).unwrap_or(own);
    if let Some(pinned) = task.pinned {
        return cpu(pinned);
    }
    let last = cpu(task.cpu());
    if sched(last).idling.load(Ordering::SeqCst) {
        return last;
    }
    idle_cpu().unwrap_or(last)
}

/// Lets others run, if any wait for this CPU.
pub fn yield_now() {
    let _here = InterruptsOff::new();
    if !sched(percpu::this()).is_empty() {
        schedule(SwitchReason::Yield);
    }
}

/// Makes the task that runs, which is on a list already, wait. Interrupts are off.
pub(super) fn block() {
    schedule(SwitchReason::Block);
}

/// Ends the task that runs.
pub(super) fn leave() -> ! {
    interrupts::disable();
    schedule(SwitchReason::Exit);
    unreachable!("a task that has ended runs");
}

/// Has the task made ready at `end`, by the monotonic clock, in nanoseconds. Interrupts are off.
pub(super) fn sleep_until(end: u64, task: TaskRef) {
    sched(percpu::this()).sleepers.lock().push((end, task));
}

/// Switches to the next task. Interrupts are off.
fn schedule(leave: SwitchReason) {
    let cpu = percpu::this();
    let previous: *const Task = percpu::current().cast();
    // SAFETY: the CPU holds a reference to the task that runs.
    let running = unsafe { &*previous };
    let idle = sched(cpu).idle.load(Ordering::Relaxed).cast_const();
    // Another CPU may not have left a task's stack yet.
    let next =
        sched(cpu).take(|task| core::ptr::from_ref(task) == previous || !task.on_cpu.load(Ordering::Acquire));
    let next = match next {
        Some(task) => Arc::into_raw(task),
        None if leave == SwitchReason::Yield => return arm(cpu),
        None => {
            // SAFETY: the CPU keeps its idle task for good.
            unsafe { Arc::increment_strong_count(idle) };
            idle
        }
    };
    if next == previous {
        // Woken before it had left.
        // SAFETY: the list's reference, which is one too many.
        unsafe { Arc::decrement_strong_count(next) };
        running.set_state(TaskState::Running);
        return arm(cpu);
    }
    // SAFETY: a reference is ours.
    let coming = unsafe { &*next };
    stats().task_switches.inc();
    let now = time::ticks();
    let turn = now - sched(cpu).switched.swap(now, Ordering::Relaxed);
    running.ran.fetch_add(turn, Ordering::Relaxed);
    match leave {
        SwitchReason::Yield if previous != idle => {
            running.set_state(TaskState::Ready);
            // SAFETY: one reference for the list; the CPU's goes in `finish_switch`.
            sched(cpu).push(unsafe {
                Arc::increment_strong_count(previous);
                Arc::from_raw(previous)
            });
        }
        SwitchReason::Exit => running.set_state(TaskState::Done),
        SwitchReason::Yield | SwitchReason::Block => {}
    }
    coming.on_cpu.store(true, Ordering::Relaxed);
    coming.cpu.store(cpu.number(), Ordering::Relaxed);
    coming.set_state(TaskState::Running);
    cpu.set_current(next.cast());
    {
        let space = coming.space.lock();
        percpu::set_space(space.as_ref().map_or(core::ptr::null(), Arc::as_ptr).cast());
        paging::activate(space.as_ref().map(|space| space.page_tables().clone()));
    }
    sched(cpu).slice_end.store(0, Ordering::Relaxed);
    arm(cpu);
    sched(cpu).previous.store(previous.cast_mut(), Ordering::Relaxed);
    // SAFETY: `coming` left its stack by `switch` or is new, and `on_cpu` was down: nobody is on it.
    unsafe { switch(running.rsp.as_ptr(), coming.rsp.load(Ordering::Relaxed)) };
    finish_switch();
}

/// Lets go of the task that left, on the stack of the one that comes. Interrupts are off.
pub(super) fn finish_switch() {
    let previous = sched(percpu::this()).previous.swap(core::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: `schedule` left the reference the CPU held while that task ran. It may be the last, of one that
    // ended.
    let previous = unsafe { Arc::from_raw(previous.cast_const()) };
    previous.on_cpu.store(false, Ordering::Release);
}

/// Runs an idle task that has a stack of its own, from its first code on.
extern "C" fn idle_started() -> ! {
    finish_switch();
    idle_loop()
}

/// Runs what is to be run; otherwise halts. Interrupts are off.
fn idle_loop() -> ! {
    let cpu = percpu::this();
    loop {
        interrupts::disable();
        sched(cpu).idling.store(true, Ordering::SeqCst);
        if sched(cpu).is_empty()
            && let Some(task) = steal(cpu)
        {
            sched(cpu).push(task);
        }
        if sched(cpu).is_empty() {
            arm(cpu);
            // `sti; hlt` lets no interrupt in between: one that makes a task ready from here on ends the
            // halt.
            interrupts::enable_and_hlt();
            continue;
        }
        sched(cpu).idling.store(false, Ordering::SeqCst);
        schedule(SwitchReason::Yield);
        // A task that another CPU has not left yet: let interrupts in, and look again.
        interrupts::enable();
        core::hint::spin_loop();
    }
}

/// Takes a task that waits for another CPU.
fn steal(own: &PerCpu) -> Option<TaskRef> {
    let others = percpu::all().filter(|cpu| cpu.number() != own.number() && cpu.is_online());
    let movable = |task: &Task| task.pinned.is_none() && !task.on_cpu.load(Ordering::Acquire);
    others.into_iter().find_map(|cpu| sched(cpu).take(movable))
}

/// Sets the timer to what comes first: the end of the current task's time, if somebody waits for it, or a
/// sleeper's. Interrupts are off.
fn arm(cpu: &PerCpu) {
    let sched = sched(cpu);
    let busy = try_current().is_some_and(|task| !is_idle(task));
    let slice = if busy && !sched.is_empty() {
        let end = sched.slice_end.load(Ordering::Relaxed);
        let end = if end == 0 { time::monotonic_ns() + SLICE_NS } else { end };
        sched.slice_end.store(end, Ordering::Relaxed);
        end
    } else {
        sched.slice_end.store(0, Ordering::Relaxed);
        u64::MAX
    };
    let wake = sched.sleepers.lock().iter().map(|(end, _)| *end).min().unwrap_or(u64::MAX);
    let at = match slice.min(wake) {
        u64::MAX => 0,
        at => at,
    };
    if sched.timer.swap(at, Ordering::Relaxed) != at {
        match at {
            0 => apic::stop_timer(),
            at => apic::start_timer(at.saturating_sub(time::monotonic_ns())),
        }
    }
}

/// Handles this CPU's timer interrupt. The code that it interrupted had interrupts on.
pub fn on_timer() {
    let cpu = percpu::this();
    sched(cpu).timer.store(0, Ordering::Relaxed);
    let now = time::monotonic_ns();
    loop {
        let mut sleepers = sched(cpu).sleepers.lock();
        let Some(due) = sleepers.iter().position(|(end, _)| *end <= now) else { break };
        let (_, task) = sleepers.swap_remove(due);
        drop(sleepers);
        make_ready(task);
    }
    let end = sched(cpu).slice_end.load(Ordering::Relaxed);
    if end != 0 && end <= now {
        // Over, or once more if it may not be taken away.
        sched(cpu).slice_end.store(0, Ordering::Relaxed);
        if try_current().is_some_and(|task| task.guards.load(Ordering::Relaxed) == 0) {
            stats().task_preemptions.inc();
            return schedule(SwitchReason::Yield);
        }
    }
    arm(cpu);
}

/// Handles the interrupt by which another CPU tells that it has put a task in this one's queue.
pub fn on_reschedule() {
    arm(percpu::this());
}
