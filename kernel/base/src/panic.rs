//! The end of the kernel: message, registers, backtrace, exit code.
//!
//! Output goes past all locks to COM1 (first line `KERNEL PANIC: …`), and in exec mode as one line `panic:
//! MESSAGE at FILE:LINE` to COM3. A panic while this runs ends at once. Nothing here allocates, and every
//! address of the backtrace is checked in the page tables before it is read.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use x86_64::instructions::interrupts;

use crate::arch::frame::{TrapFrame, write_control};
use crate::arch::stop;
use crate::console::Emergency;
use crate::exit::{ExitOutcome, exit};
use crate::mm::fault::FaultCode;
use crate::mm::layout::DIRECT_MAP;
use crate::mm::{boot, paging};

static PANICKING: AtomicBool = AtomicBool::new(false);
/// The registers of the exception that is being turned into a panic.
static TRAPPED: AtomicU64 = AtomicU64::new(0);

/// Frames of a backtrace, at most.
const DEPTH: usize = 32;

/// Panics for an exception, with its registers.
#[track_caller]
pub fn exception(what: &str, frame: &TrapFrame) -> ! {
    TRAPPED.store(&raw const *frame as u64, Ordering::Relaxed);
    panic!("{what} at rip {:#x} (error {:#x})", frame.rip, frame.error);
}

/// Panics for a page fault that nobody could serve.
#[track_caller]
pub fn page_fault(address: u64, access: FaultCode, frame: &TrapFrame) -> ! {
    TRAPPED.store(&raw const *frame as u64, Ordering::Relaxed);
    let cause = if access.is_protection() { "not allowed by its entry" } else { "not mapped" };
    let what = match access {
        _ if access.is_fetch() => "instruction fetch",
        _ if access.is_write() => "write",
        _ => "read",
    };
    panic!("page fault: {what} at {address:#x}, {cause}, rip {:#x}", frame.rip);
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    interrupts::disable();
    let mut console = Emergency::console();
    // Writing to a serial port can't fail.
    if PANICKING.swap(true, Ordering::AcqRel) {
        let _ = console.write_str("\nKERNEL PANIC: panic inside a panic\n");
        if let Some(mut err) = Emergency::err() {
            let _ = err.write_str("panic: panic inside a panic\n");
        }
        exit(ExitOutcome::Panic);
    }
    stop::stop_others();
    let _ = write!(console, "\nKERNEL PANIC: {}{}\n", OneLine(info), PanicSite(info));
    if let Some(mut err) = Emergency::err() {
        let _ = writeln!(err, "panic: {}{}", OneLine(info), PanicSite(info));
    }
    let _ = report(&mut console);
    exit(ExitOutcome::Panic)
}

/// Where the panic was.
struct PanicSite<'a>(&'a PanicInfo<'a>);

impl fmt::Display for PanicSite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.location() {
            Some(location) => write!(f, " at {}:{}", location.file(), location.line()),
            None => Ok(()),
        }
    }
}

/// The message with its line ends shown as spaces.
struct OneLine<'a>(&'a PanicInfo<'a>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Spaces<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Spaces<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                text.split_inclusive('\n').try_for_each(|part| match part.strip_suffix('\n') {
                    Some(line) => write!(self.0, "{line} "),
                    None => self.0.write_str(part),
                })
            }
        }
        write!(Spaces(f), "{}", self.0.message())
    }
}

/// Registers and backtrace.
fn report(out: &mut Emergency) -> fmt::Result {
    let trapped = TRAPPED.load(Ordering::Relaxed);
    let start = if trapped == 0 {
        write_control(out)?;
        let rbp: u64;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
        rbp
    } else {
        // SAFETY: `exception` and `page_fault` never return, so the frame they were given is still on its
        // stack.
        let frame = unsafe { &*(trapped as *const TrapFrame) };
        write!(out, "{frame}")?;
        writeln!(out, "backtrace:\n  {}", CodeAddress(frame.rip))?;
        frame.rbp
    };
    if trapped == 0 {
        writeln!(out, "backtrace:")?;
    }
    backtrace(start, out)
}

/// Follows the chain of frame pointers as long as it makes sense: aligned, mapped, upwards.
fn backtrace(mut rbp: u64, out: &mut Emergency) -> fmt::Result {
    for _ in 0..DEPTH {
        if !rbp.is_multiple_of(8) || rbp < DIRECT_MAP || !mapped(rbp) || !mapped(rbp.wrapping_add(8)) {
            break;
        }
        // SAFETY: both words are aligned and mapped in the kernel's half.
        let (next, rip) = unsafe { (*(rbp as *const u64), *((rbp + 8) as *const u64)) };
        if rip == 0 {
            break;
        }
        writeln!(out, "  {}", CodeAddress(rip))?;
        if next <= rbp {
            break;
        }
        rbp = next;
    }
    Ok(())
}

fn mapped(address: u64) -> bool {
    match paging::try_kernel() {
        Some(tables) if tables.root() == paging::active_root() => tables.leaf(address).is_some(),
        // An address space's tables share the kernel's half; before there are tables, the boot stack is
        // mapped.
        Some(tables) => tables.leaf(address).is_some(),
        None => true,
    }
}

/// A code address, and its offset in the image, for `addr2line`.
struct CodeAddress(u64);

impl fmt::Display for CodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = boot::image();
        if (start..end).contains(&self.0) {
            write!(f, "{:#018x} (kernel+{:#x})", self.0, self.0 - start)
        } else {
            write!(f, "{:#018x}", self.0)
        }
    }
}
