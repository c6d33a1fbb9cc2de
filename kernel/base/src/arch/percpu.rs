//! What each CPU has for itself, found through GS: number, counters, mailbox, segments, and two words for
//! those above.
//!
//! The area of the CPU that runs begins at GS:0, with a pointer to itself. A task may move to another CPU
//! whenever interrupts are on: who needs to stay turns them off first ([`super::interrupts::InterruptsOff`]).
//! Counting needs not: a count is atomic, and only the sum over all CPUs is shown.
//!
//! The words lead to the task that runs and to its address space: whoever fills them in knows what they lead
//! to. What else is kept for each CPU is in arrays of [`MOST`], where it is used, by a CPU's number.

use alloc::boxed::Box;
use core::arch::asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use fs::stats::Stats;
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

use super::gdt::{self, InterruptStack};
use super::mailbox::Mailbox;

/// More CPUs than this stay off: their numbers are bits of one word.
pub const MOST: usize = 64;

/// One CPU's area.
#[repr(C, align(64))]
pub struct PerCpu {
    this: AtomicPtr<PerCpu>,
    number: usize,
    /// The task that runs, of which the CPU holds a reference; null before there are tasks.
    current: AtomicPtr<()>,
    /// The address space of the task that runs; null: none.
    space: AtomicPtr<()>,
    /// The local APIC's identifier.
    pub(super) apic_id: AtomicU32,
    /// Shootdowns, sent and received.
    pub(super) mailbox: Mailbox,
    /// Descriptor table, task state, interrupt stacks.
    segments: gdt::Segments,
    /// What was counted on this CPU.
    stats: Stats,
}

static BOOT: PerCpu = PerCpu::new(0);
static CPUS: [AtomicPtr<PerCpu>; MOST] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MOST];
/// Areas that exist: the numbers below it.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The CPUs that take part: interrupts reach them, and they answer shootdowns.
static ONLINE: AtomicU64 = AtomicU64::new(0);

impl PerCpu {
    const fn new(number: usize) -> Self {
        Self {
            this: AtomicPtr::new(core::ptr::null_mut()),
            number,
            current: AtomicPtr::new(core::ptr::null_mut()),
            space: AtomicPtr::new(core::ptr::null_mut()),
            apic_id: AtomicU32::new(0),
            mailbox: Mailbox::new(),
            segments: gdt::Segments::new(),
            stats: Stats::new(),
        }
    }

    /// Gives an exception its stack, which begins below `top` and stays for good.
    pub fn set_interrupt_stack(&self, which: InterruptStack, top: u64) {
        self.segments.set(which, top);
    }

    /// Returns the CPU's number: 0 is the CPU that booted.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns the CPU's bit in a set of CPUs.
    pub fn bit(&self) -> u64 {
        1 << self.number
    }

    /// Returns whether the CPU takes part.
    pub fn is_online(&self) -> bool {
        online_set() & self.bit() != 0
    }

    /// Returns the local APIC's identifier.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// Sets that the CPU takes part from now on.
    pub fn set_online(&self) {
        ONLINE.fetch_or(self.bit(), Ordering::SeqCst);
    }

    /// Notes the task that runs, with a reference of it. Interrupts are off, and `self` is the CPU that
    /// runs.
    pub fn set_current(&self, task: *const ()) {
        self.current.store(task.cast_mut(), Ordering::Relaxed);
    }

    /// Returns the counters of this CPU.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// Makes `cpu` the area of the CPU that runs.
///
/// # Safety
/// `cpu` belongs to no other CPU. Whatever loads GS afterwards must call this again.
unsafe fn load(cpu: &'static PerCpu) {
    let pointer = core::ptr::from_ref(cpu).cast_mut();
    cpu.this.store(pointer, Ordering::Relaxed);
    CPUS[cpu.number].store(pointer, Ordering::Release);
    GsBase::write(VirtAddr::new(pointer as u64));
}

/// Loads segments and area of the CPU that boots.
pub fn init_boot() {
    gdt::early_stacks(&BOOT.segments);
    gdt::load(&BOOT.segments);
    // SAFETY: only the boot CPU runs, once.
    unsafe { load(&BOOT) };
    COUNT.store(1, Ordering::Release);
}

/// Returns an area for one more CPU, whose local APIC has this identifier. The area stays for good.
pub fn add(apic_id: u32) -> &'static PerCpu {
    let number = COUNT.load(Ordering::Acquire);
    let cpu = Box::leak(Box::new(PerCpu::new(number)));
    cpu.apic_id.store(apic_id, Ordering::Relaxed);
    CPUS[number].store(cpu, Ordering::Release);
    COUNT.store(number + 1, Ordering::Release);
    cpu
}

/// Loads segments and area of a CPU that was started, on that CPU.
///
/// # Safety
/// `cpu` was made for this CPU.
pub unsafe fn init_started(cpu: &'static PerCpu) {
    gdt::load(&cpu.segments);
    // SAFETY: by the caller.
    unsafe { load(cpu) };
}

/// Returns the area of the CPU that runs: of this moment, unless interrupts are off.
#[inline]
pub fn this() -> &'static PerCpu {
    let this: *const PerCpu;
    // SAFETY: GS leads to this CPU's area, whose first word points to it; areas are never freed. Not `pure`:
    // after a switch of tasks the answer may be another one.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(readonly, nostack, preserves_flags));
        &*this
    }
}

/// Returns the counters of the CPU that runs.
#[inline]
pub fn stats() -> &'static Stats {
    let this: *const PerCpu;
    // SAFETY: as in `this`. `pure`: any CPU's counters will do, so an older answer does.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) this, options(pure, readonly, nostack, preserves_flags));
        &(*this).stats
    }
}

/// Returns the number of the CPU that runs: of this moment, unless interrupts are off.
#[inline]
pub fn number() -> usize {
    let number: usize;
    // SAFETY: as in `this`; the number lies at this offset and does not change.
    unsafe {
        asm!("mov {}, gs:[{at}]", out(reg) number, at = const offset_of!(PerCpu, number),
            options(readonly, nostack, preserves_flags));
    }
    number
}

/// Returns the task that runs; null before there are tasks.
#[inline]
pub fn current() -> *const () {
    let task: *const ();
    // SAFETY: as in `this`; the pointer lies at this offset. A task that moves is the current one there.
    unsafe {
        asm!("mov {}, gs:[{at}]", out(reg) task, at = const offset_of!(PerCpu, current),
            options(readonly, nostack, preserves_flags));
    }
    task
}

/// Returns the current task's address space; null if it has none.
#[inline]
pub fn space() -> *const () {
    let space: *const ();
    // SAFETY: as in `this`; the pointer lies at this offset. A task that moves takes its address space with
    // it.
    unsafe {
        asm!("mov {}, gs:[{at}]", out(reg) space, at = const offset_of!(PerCpu, space),
            options(readonly, nostack, preserves_flags));
    }
    space
}

/// Notes the current task's address space. Interrupts are off, and the task keeps it alive.
pub fn set_space(space: *const ()) {
    this().space.store(space.cast_mut(), Ordering::Relaxed);
}

/// Returns every CPU that has an area, by number, whether it runs yet or not.
pub fn all() -> impl Iterator<Item = &'static PerCpu> {
    CPUS.iter().map_while(|cpu| {
        // SAFETY: areas are never freed, and the pointer was published after the area was made.
        unsafe { cpu.load(Ordering::Acquire).as_ref() }
    })
}

/// Returns the CPUs that take part, by number.
pub fn online_set() -> u64 {
    ONLINE.load(Ordering::SeqCst)
}

/// Returns how many CPUs take part.
pub fn online() -> usize {
    online_set().count_ones() as usize
}
