//! Checks of tasks and locks: every CPU takes part, waits end, readers and writers exclude each other.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::expect;
use crate::arch::{percpu, time, tlb};
use crate::entry::user_access;
use crate::mm::layout::TASK_START;
use crate::mm::stack;
use crate::sync::{IrqLock, Mutex, RwLock};
use crate::task::{self, Builder, ExitStatus, TaskRef, TaskSpace};

/// What takes longer than this hangs, however busy the host is.
const PATIENCE_NS: u64 = 60_000_000_000;

fn spawn(cpu: Option<usize>, body: impl FnOnce() -> ExitStatus + Send + 'static) -> Result<TaskRef, String> {
    task::spawn(Builder { name: "selftest", space: TaskSpace::New, cpu }, body)
        .map_err(|error| format!("spawn: {error}"))
}

fn join(tasks: Vec<TaskRef>) -> Result<(), String> {
    for task in tasks {
        let status = task.join();
        expect(status == ExitStatus::SUCCESS, &format!("task {}: {status}", task.id()))?;
    }
    Ok(())
}

/// Waits until as many stacks are left as before: a task's goes a moment after it was joined.
fn settle(stacks: u32) -> Result<(), String> {
    let start = time::monotonic_ns();
    while stack::in_use() != stacks && time::monotonic_ns() - start < PATIENCE_NS {
        task::sleep_ns(1_000_000);
    }
    expect(stack::in_use() == stacks, "a task's stack is left")
}

/// The numbers of the CPUs that run.
fn online() -> Vec<usize> {
    percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.number()).collect()
}

/// Waits until `count` tasks are here; false if they do not come. No yield, no sleep: only another CPU, or
/// preemption, can bring it about.
fn meet(met: &AtomicUsize, count: usize) -> bool {
    met.fetch_add(1, Ordering::SeqCst);
    let start = time::monotonic_ns();
    while met.load(Ordering::SeqCst) < count {
        if time::monotonic_ns() - start > PATIENCE_NS {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// Checks that tasks on all CPUs which wait for each other all run at the same time; with one more than
/// there are CPUs, in turns.
pub(super) fn check_tasks() -> Result<(), String> {
    let stacks = stack::in_use();
    let cpus = online();
    let met = Arc::new(AtomicUsize::new(0));
    let count = cpus.len();
    let meeting = |cpu: Option<usize>, count: usize, met: &Arc<AtomicUsize>| {
        let met = met.clone();
        spawn(cpu, move || {
            if !meet(&met, count) {
                return ExitStatus::Code(1);
            }
            let right = cpu.is_none_or(|cpu| percpu::number() == cpu);
            ExitStatus::Code(if right { 0 } else { 2 })
        })
    };
    join(cpus.iter().map(|cpu| meeting(Some(*cpu), count, &met)).collect::<Result<_, _>>()?)?;
    let met = Arc::new(AtomicUsize::new(0));
    join((0..2 * count + 1).map(|_| meeting(None, 2 * count + 1, &met)).collect::<Result<_, _>>()?)?;
    let refused = spawn(None, || match user_access::load_u64(TASK_START) {
        Ok(_) => ExitStatus::SUCCESS,
        Err(fault) => fault.into(),
    })?;
    let status = refused.join();
    drop(refused);
    expect(status.code() == 128 + 11, "a refused fault is not a SIGSEGV")?;
    expect(spawn(Some(percpu::MOST), || ExitStatus::SUCCESS).is_err(), "a CPU that is not there")?;
    let start = time::monotonic_ns();
    let sleepers = (1..5).map(|i| {
        spawn(None, move || {
            task::sleep_ns(i * 1_000_000);
            ExitStatus::SUCCESS
        })
    });
    join(sleepers.collect::<Result<_, _>>()?)?;
    expect(time::monotonic_ns() - start >= 4_000_000, "sleepers woke early")?;
    settle(stacks)
}

/// Checks CPUs that ask each other to forget a page at the same time, and some that wait, interrupts off,
/// for a lock whose holder asks: all answer (docs/laws.md, law 7). If one does not, the check never ends.
pub(super) fn check_shootdowns() -> Result<(), String> {
    const ROUNDS: u64 = 200;
    let stacks = stack::in_use();
    let cpus = online();
    let (count, met) = (cpus.len(), Arc::new(AtomicUsize::new(0)));
    let rounds = Arc::new(IrqLock::new(0));
    let tasks = cpus.iter().map(|&cpu| {
        let (met, rounds) = (met.clone(), rounds.clone());
        spawn(Some(cpu), move || {
            if !meet(&met, count) {
                return ExitStatus::Code(1);
            }
            for round in 0..ROUNDS {
                tlb::shootdown(None, TASK_START, 1);
                let mut rounds = rounds.lock();
                if round % 8 == 0 {
                    tlb::shootdown(None, TASK_START, 1);
                }
                *rounds += 1;
            }
            ExitStatus::SUCCESS
        })
    });
    join(tasks.collect::<Result<_, _>>()?)?;
    expect(*rounds.lock() == ROUNDS * count as u64, "a CPU left out a round")?;
    settle(stacks)
}

/// Checks readers and writers on all CPUs: nobody sees half a change, and nobody waits for ever.
pub(super) fn check_locks() -> Result<(), String> {
    const ROUNDS: u64 = 2000;
    let stacks = stack::in_use();
    let workers = 2 * percpu::online() as u64 + 1;
    let pair = Arc::new(RwLock::new((0_u64, 0_u64)));
    let sum = Arc::new(Mutex::new(0_u64));
    let reads = Arc::new(AtomicU64::new(0));
    let tasks = (0..workers).map(|worker| {
        let (pair, sum, reads) = (pair.clone(), sum.clone(), reads.clone());
        spawn(None, move || {
            for round in 0..ROUNDS {
                if (round + worker) % 4 == 0 {
                    let mut pair = pair.write();
                    pair.0 += 1;
                    if round % 64 == 0 {
                        task::yield_now();
                    }
                    pair.1 += 1;
                } else {
                    let pair = pair.read();
                    if pair.0 != pair.1 {
                        return ExitStatus::Code(1);
                    }
                    if round % 64 == 0 {
                        task::yield_now();
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
                *sum.lock() += 1;
            }
            ExitStatus::SUCCESS
        })
    });
    join(tasks.collect::<Result<_, _>>()?)?;
    let (one, two) = *pair.read();
    let reads = reads.load(Ordering::Relaxed);
    expect(one == two && one + reads == workers * ROUNDS, "a change is lost")?;
    expect(*sum.lock() == workers * ROUNDS, "the mutex lost a count")?;
    settle(stacks)
}

/// Checks that a writer gets in although readers keep the lock taken without a gap, and a reader although
/// writers do.
pub(super) fn check_fairness() -> Result<(), String> {
    const TURNS: u64 = 5;
    const STAY_NS: u64 = 30_000_000;
    let stacks = stack::in_use();
    for crowd_writes in [false, true] {
        let lock = Arc::new(RwLock::new(0_u64));
        let (over, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let entered = Arc::new(AtomicUsize::new(0));
        let crowd = (0..2 * percpu::online().max(2)).map(|_| {
            let (lock, over, inside) = (lock.clone(), over.clone(), inside.clone());
            let entered = entered.clone();
            spawn(None, move || {
                let start = time::monotonic_ns();
                while !over.load(Ordering::Relaxed) {
                    if crowd_writes {
                        let mut value = lock.write();
                        *value += 1;
                        task::yield_now();
                    } else {
                        let _value = lock.read();
                        inside.fetch_add(1, Ordering::SeqCst);
                        let mine = entered.fetch_add(1, Ordering::SeqCst) + 1;
                        // Nobody leaves before somebody else has come in, so the lock is never free; unless
                        // nobody can come in, because a writer waits.
                        let end = time::monotonic_ns() + STAY_NS;
                        while entered.load(Ordering::SeqCst) == mine
                            && !over.load(Ordering::Relaxed)
                            && time::monotonic_ns() < end
                        {
                            task::yield_now();
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    if time::monotonic_ns() - start > PATIENCE_NS {
                        return ExitStatus::Code(1);
                    }
                }
                ExitStatus::SUCCESS
            })
        });
        let crowd: Vec<TaskRef> = crowd.collect::<Result<_, _>>()?;
        for _ in 0..TURNS {
            if crowd_writes {
                drop(lock.read());
            } else {
                let _value = lock.write();
                if inside.load(Ordering::SeqCst) != 0 {
                    over.store(true, Ordering::Relaxed);
                    return Err(String::from("a reader is in with a writer"));
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        join(crowd)?;
    }
    settle(stacks)
}
