//! Loads and stores at task addresses, which a fault may refuse.
//!
//! A task's address can be bad in ways only the page fault finds out: no VMA, beyond the file's end, no
//! space left. The functions here are assembly with known ranges. When [`super::trap`] can't serve a fault
//! inside one of them, it continues at the fixup with 1 in RAX and the address in RDX, which becomes a
//! [`FaultAt`].
//!
//! Outside them, a fault at a task's address that can't be served is a kernel bug and panics. None of this
//! may run under a lock (docs/laws.md, lock order), but for [`store_present`] and [`zero_present`]: they
//! touch what is in the page tables, and end where a fault would have to be served.

use alloc::string::ToString;
use core::arch::global_asm;
use core::fmt;
use core::sync::atomic::Ordering;

use x86_64::instructions::interrupts;

use crate::arch::{cpu, percpu};
use crate::mm::fault::{self, Refusal};
use crate::mm::frames::FRAME;
use crate::mm::layout::TASK_END;
use crate::pmem::MappedRegion;
use crate::task::{self, ExitStatus};

/// An access that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultAt {
    /// The address; bytes before it (in the order of the access) were transferred.
    pub address: u64,
    /// Whether a store was refused.
    pub write: bool,
    /// Whether the fetch of an instruction was refused.
    pub fetch: bool,
    /// Why.
    pub why: Refusal,
}

impl fmt::Display for FaultAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match (self.fetch, self.write) {
            (true, _) => "instruction fetch",
            (_, true) => "write",
            _ => "read",
        };
        write!(f, "{access} at {:#x}: {}", self.address, self.why)
    }
}

impl From<FaultAt> for ExitStatus {
    fn from(fault: FaultAt) -> Self {
        Self::Killed(fault.why.into(), fault.to_string())
    }
}

/// What the assembly returns: RAX is 0, RDX a value; or RAX is 1, RDX the refused address.
#[repr(C)]
struct AccessResult {
    refused: u64,
    value: u64,
}

global_asm!(
    r#"
    .text
    /* Seen by all units and crates that call them inline, and by nobody beyond the image. */
    .irp name, user_load_u64, user_store_u64, user_load_u8, user_store_u8, user_copy, user_fill, user_touch
        .global \name
        .hidden \name
    .endr
    .irp name, user_timed_load, user_timed_store, user_access_fixup, user_timed_nothing, user_call
        .global \name
        .hidden \name
    .endr
    .balign 16
    user_load_u64:
        xor eax, eax
        mov rdx, [rdi]
        ret
    .balign 16
    user_store_u64:
        xor eax, eax
        mov [rdi], rsi
        ret
    .balign 16
    user_load_u8:
        xor eax, eax
        movzx edx, byte ptr [rdi]
        ret
    .balign 16
    user_store_u8:
        xor eax, eax
        mov [rdi], sil
        ret
    /* rdi: to, rsi: from, rdx: bytes. Whole words first: one instruction each where REP MOVSB is slow. */
    .balign 16
    user_copy:
        mov rcx, rdx
        shr rcx, 3
        rep movsq
        mov ecx, edx
        and ecx, 7
        rep movsb
        xor eax, eax
        ret
    /* rdi: to, rsi: the byte in each of its eight bytes, rdx: bytes. */
    .balign 16
    user_fill:
        mov rax, rsi
        mov rcx, rdx
        shr rcx, 3
        rep stosq
        mov ecx, edx
        and ecx, 7
        rep stosb
        xor eax, eax
        ret
    /* A store that changes nothing, whatever other CPUs store. */
    .balign 16
    user_touch:
        lock or byte ptr [rdi], 0
        xor eax, eax
        ret
    /* As user_load_u64 and user_store_u64, but the value is the ticks between two readings around the access. */
    .macro read_ticks
        rdtsc
        shl rdx, 32
        or rdx, rax
    .endm
    /* What stands for \access may use rcx and rdi. */
    .macro timed access:vararg
        read_ticks
        mov rsi, rdx
        \access
        read_ticks
        sub rdx, rsi
        xor eax, eax
        ret
    .endm
    .balign 16
    user_timed_load:
        timed mov rcx, [rdi]
    .balign 16
    user_timed_store:
        mov rcx, rsi
        timed mov [rdi], rcx
    user_access_fixup:
        ret
    /* The same readings around nothing. */
    .balign 16
    user_timed_nothing:
        timed
    .balign 16
    user_call:
        jmp rdi
    "#
);

unsafe extern "C" {
    fn user_load_u64(at: u64) -> AccessResult;
    fn user_store_u64(at: u64, value: u64) -> AccessResult;
    fn user_load_u8(at: u64) -> AccessResult;
    fn user_store_u8(at: u64, value: u64) -> AccessResult;
    fn user_copy(to: u64, from: u64, bytes: u64) -> AccessResult;
    fn user_fill(to: u64, pattern: u64, bytes: u64) -> AccessResult;
    fn user_touch(at: u64) -> AccessResult;
    fn user_timed_load(at: u64) -> AccessResult;
    fn user_timed_store(at: u64, value: u64) -> AccessResult;
    fn user_access_fixup();
    fn user_timed_nothing() -> AccessResult;
    fn user_call(to: u64) -> AccessResult;
}

/// Returns where to continue after a refused fault at `rip`, if that is inside this module's assembly. All
/// functions use no stack but their return address, so one fixup serves them.
pub(super) fn fixup(rip: u64) -> Option<u64> {
    let (start, end) = (user_load_u64 as *const () as u64, user_access_fixup as *const () as u64);
    (start..end).contains(&rip).then_some(end)
}

/// Returns where to continue after a refused fetch by [`call`].
pub(super) fn call_fixup() -> u64 {
    user_access_fixup as *const () as u64
}

/// The range must lie in the lower half: the page fault can't tell a wild kernel address from a good one.
fn check(at: u64, bytes: usize, write: bool) -> Result<(), FaultAt> {
    match at.checked_add(bytes as u64) {
        Some(end) if end <= TASK_END => Ok(()),
        _ => Err(FaultAt { address: at, write, fetch: false, why: Refusal::NoVma }),
    }
}

fn outcome(outcome: AccessResult, write: bool) -> Result<u64, FaultAt> {
    match outcome.refused {
        0 => Ok(outcome.value),
        _ => Err(FaultAt { address: outcome.value, write, fetch: false, why: fault::take_refusal() }),
    }
}

/// Loads the 8 bytes at `at`.
///
/// # Errors
/// The access was refused: where, and why.
pub fn load_u64(at: u64) -> Result<u64, FaultAt> {
    check(at, 8, false)?;
    // SAFETY: the address is in the lower half, which holds no object of Rust's; a refused fault ends in the
    // fixup.
    outcome(unsafe { user_load_u64(at) }, false)
}

/// Stores 8 bytes at `at`, at once if aligned.
///
/// # Errors
/// The access was refused: where, and why.
pub fn store_u64(at: u64, value: u64) -> Result<(), FaultAt> {
    check(at, 8, true)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_store_u64(at, value) }, true).map(|_| ())
}

/// Loads 8 bytes, and returns the time-stamp ticks that the load took, with those of [`timed_nothing`].
///
/// # Errors
/// The access was refused: where, and why.
pub fn timed_load(at: u64) -> Result<u64, FaultAt> {
    check(at, 8, false)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_timed_load(at) }, false)
}

/// Stores 8 bytes, and returns the time-stamp ticks that the store took, with those of [`timed_nothing`].
///
/// # Errors
/// The access was refused: where, and why.
pub fn timed_store(at: u64, value: u64) -> Result<u64, FaultAt> {
    check(at, 8, true)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_timed_store(at, value) }, true)
}

/// Returns the ticks between two readings of the time-stamp counter with nothing in between.
pub fn timed_nothing() -> u64 {
    // SAFETY: it only reads the counter.
    unsafe { user_timed_nothing() }.value
}

/// Loads the byte at `at`.
///
/// # Errors
/// The access was refused: where, and why.
pub fn load_u8(at: u64) -> Result<u8, FaultAt> {
    check(at, 1, false)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_load_u8(at) }, false).map(|value| value as u8)
}

/// Stores a byte at `at`.
///
/// # Errors
/// The access was refused: where, and why.
pub fn store_u8(at: u64, value: u8) -> Result<(), FaultAt> {
    check(at, 1, true)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_store_u8(at, u64::from(value)) }, true).map(|_| ())
}

/// Jumps to a task's address. Nothing is ever executed there, so this always fails, as a jump into data does:
/// with [`Refusal::NoRight`] where something is mapped.
pub fn call(to: u64) -> FaultAt {
    let refused = |why| FaultAt { address: to, write: false, fetch: true, why };
    if let Err(fault) = check(to, 1, false) {
        return refused(fault.why);
    }
    let Some(task) = task::try_current().filter(|_| cpu::features().nx) else {
        // Without execute-disable the bytes would run.
        return refused(Refusal::NoVma);
    };
    task.calling().store(true, Ordering::Relaxed);
    // SAFETY: the address is in the lower half, whose every entry forbids execution, so the fetch faults, and
    // is refused (`fault::handle`); the fault's fixup returns from the call as if it had been made.
    let outcome = unsafe { user_call(to) };
    task.calling().store(false, Ordering::Relaxed);
    debug_assert_eq!(outcome.refused, 1);
    refused(fault::take_refusal())
}

/// Calls `f` with the position and length of each part of `bytes` bytes from task address `at` on that lies
/// in one page: a word that straddled two would be refused with bytes of the good one.
fn by_page(
    at: u64,
    bytes: usize,
    mut f: impl FnMut(usize, usize) -> Result<u64, FaultAt>,
) -> Result<(), FaultAt> {
    let mut done = 0;
    while done < bytes {
        let room = FRAME - (at + done as u64) % FRAME;
        let len = (bytes - done).min(room as usize);
        f(done, len)?;
        done += len;
    }
    Ok(())
}

/// Copies bytes of a task, from address `from` on, to the kernel.
///
/// # Errors
/// The access was refused: where, and why. What lies before was copied.
pub fn load(to: &mut [u8], from: u64) -> Result<(), FaultAt> {
    check(from, to.len(), false)?;
    by_page(from, to.len(), |at, len| {
        let part = &mut to[at..at + len];
        // SAFETY: `part` is ours to write, and `from` as in `load_u64`.
        outcome(unsafe { user_copy(part.as_mut_ptr() as u64, from + at as u64, len as u64) }, false)
    })
}

/// Copies bytes of the kernel to a task, from address `to` on.
///
/// # Errors
/// The access was refused: where, and why. What lies before was copied.
pub fn store(to: u64, from: &[u8]) -> Result<(), FaultAt> {
    check(to, from.len(), true)?;
    by_page(to, from.len(), |at, len| {
        let part = &from[at..at + len];
        // SAFETY: `part` is readable, and `to` as in `load_u64`.
        outcome(unsafe { user_copy(to + at as u64, part.as_ptr() as u64, len as u64) }, true)
    })
}

/// Stores `byte` `bytes` times from address `to` on.
///
/// # Errors
/// The access was refused: where, and why. What lies before was stored.
pub fn fill(to: u64, byte: u8, bytes: usize) -> Result<(), FaultAt> {
    check(to, bytes, true)?;
    let pattern = u64::from(byte) * 0x0101_0101_0101_0101;
    by_page(to, bytes, |at, len| {
        // SAFETY: as in `load_u64`.
        outcome(unsafe { user_fill(to + at as u64, pattern, len as u64) }, true)
    })
}

/// Has the page at task address `at` mapped for stores, as a store does, and changes nothing in it.
///
/// # Errors
/// What the fault said.
pub fn touch(at: u64) -> Result<(), FaultAt> {
    check(at, 1, true)?;
    // SAFETY: as in `load_u64`.
    outcome(unsafe { user_touch(at) }, true).map(|_| ())
}

/// Copies `bytes` bytes of `region` from byte offset `place` on to a task, without a fault: may be called
/// under a lock that a fault may wait for. Returns how many were copied: fewer where a page is not mapped for
/// stores or beyond the task's half, or the memory that is read turns out to be bad.
pub fn store_present(to: u64, region: &MappedRegion, place: u64, bytes: usize) -> usize {
    let from = region.address(place, bytes as u64);
    // SAFETY: `address` checked the source, and `to` as in `load_u64`.
    present(to, bytes, |at, len| unsafe { user_copy(to + at as u64, from + at as u64, len as u64) })
}

/// Stores the bytes `from`, as [`store_present`] stores what a region holds.
pub fn copy_present(to: u64, from: &[u8]) -> usize {
    let source = from.as_ptr() as u64;
    // SAFETY: the source is `from`, and `to` as in `load_u64`.
    present(to, from.len(), |at, len| unsafe { user_copy(to + at as u64, source + at as u64, len as u64) })
}

/// Stores `bytes` zeros, as [`store_present`] stores what a region holds.
pub fn zero_present(to: u64, bytes: usize) -> usize {
    // SAFETY: as in `load_u64`.
    present(to, bytes, |at, len| unsafe { user_fill(to + at as u64, 0, len as u64) })
}

/// Stores page by page with `store`, which is given where in the `bytes` bytes a part begins, and its length;
/// returns how many were stored before the first fault. Interrupts are off during a page: this CPU has no
/// address space then, so a fault is refused at once.
fn present(to: u64, bytes: usize, store: impl Fn(usize, usize) -> AccessResult) -> usize {
    // What lies beyond the task's half is never there.
    let bytes = bytes.min(TASK_END.saturating_sub(to) as usize);
    let mut done = 0;
    let _ = by_page(to, bytes, |at, len| {
        let outcome = interrupts::without_interrupts(|| {
            let space = percpu::space();
            percpu::set_space(core::ptr::null());
            let outcome = store(at, len);
            percpu::set_space(space);
            outcome
        });
        done = at + len;
        if outcome.refused != 0 {
            done = (outcome.value - to) as usize;
            // Of a machine check. What the region's list says of it is what counts.
            let _ = fault::take_refusal();
            return Err(FaultAt { address: outcome.value, write: true, fetch: false, why: Refusal::NoVma });
        }
        Ok(0)
    });
    done
}
