//! Making stores reach persistent memory.
//!
//! The instruction that writes lines back is chosen once, by CPUID: CLWB keeps the line, CLFLUSHOPT drops it,
//! CLFLUSH drops it and orders itself. Where the platform's capabilities say that caches survive a power loss
//! (eADR), nothing is written back and only the fence remains. Zeros and copies go past the cache with
//! MOVNTI.
//!
//! References: Intel SDM volume 2: CLWB, CLFLUSHOPT, CLFLUSH, MOVNTI, SFENCE; volume 1, 12.1 "persistent
//! memory"; ACPI 6.5, 5.2.25.9 (platform capabilities).

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use crate::arch::cpu;

/// Bytes in a line, as `fs` counts them.
pub const LINE: u64 = fs::pmem::LINE;

/// How a line is written back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// CLFLUSH, which every 64-bit CPU has.
    Clflush = 0,
    /// CLFLUSHOPT.
    Clflushopt = 1,
    /// CLWB.
    Clwb = 2,
    /// Not at all: caches are persistent.
    Nothing = 3,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clflush => "clflush",
            Self::Clflushopt => "clflushopt",
            Self::Clwb => "clwb",
            Self::Nothing => "none needed (persistent caches)",
        })
    }
}

static METHOD: AtomicU8 = AtomicU8::new(Method::Clflush as u8);

/// Chooses the method.
pub(super) fn init(persistent_caches: bool) {
    let features = cpu::features();
    let method = match features {
        _ if persistent_caches => Method::Nothing,
        features if features.clwb => Method::Clwb,
        features if features.clflushopt => Method::Clflushopt,
        _ => Method::Clflush,
    };
    METHOD.store(method as u8, Ordering::Relaxed);
}

/// Returns the method of writing back that [`init`] chose.
#[inline]
pub fn method() -> Method {
    match METHOD.load(Ordering::Relaxed) {
        0 => Method::Clflush,
        1 => Method::Clflushopt,
        2 => Method::Clwb,
        _ => Method::Nothing,
    }
}

/// One instruction for each line of `lines` from `at`, eight at a time.
macro_rules! each_line {
    ($instruction:literal, $at:ident, $lines:ident) => {{
        let mut at = $at;
        let mut left = $lines;
        while left >= 8 {
            // SAFETY: by the caller of `write_back`, the lines are mapped; writing them back changes no
            // memory.
            unsafe {
                asm!(
                    concat!($instruction, " [{0}]"),
                    concat!($instruction, " [{0} + 64]"),
                    concat!($instruction, " [{0} + 128]"),
                    concat!($instruction, " [{0} + 192]"),
                    concat!($instruction, " [{0} + 256]"),
                    concat!($instruction, " [{0} + 320]"),
                    concat!($instruction, " [{0} + 384]"),
                    concat!($instruction, " [{0} + 448]"),
                    in(reg) at,
                    options(nostack, preserves_flags)
                );
            }
            at += 8 * LINE;
            left -= 8;
        }
        while left > 0 {
            // SAFETY: as above.
            unsafe { asm!(concat!($instruction, " [{0}]"), in(reg) at, options(nostack, preserves_flags)) };
            at += LINE;
            left -= 1;
        }
    }};
}

/// Writes back the one line that holds the byte at `at`, as [`write_back`] does: what metadata mostly needs.
///
/// # Safety
/// The line is mapped.
#[inline]
pub unsafe fn write_back_line(at: u64) -> u64 {
    if method() != Method::Clwb {
        // SAFETY: by the caller.
        return unsafe { write_back_lines(at, 1) };
    }
    // SAFETY: the line is mapped; writing it back changes no memory.
    unsafe { asm!("clwb [{0}]", in(reg) at, options(nostack, preserves_flags)) };
    1
}

/// Writes back like [`write_back`], which is inlined where this is not.
///
/// # Safety
/// The range is mapped.
#[inline(never)]
pub unsafe fn write_back_lines(at: u64, bytes: u64) -> u64 {
    // SAFETY: by the caller.
    unsafe { write_back(at, bytes) }
}

/// Starts the write-back of every line that holds a byte of the range. Returns how many instructions that
/// took.
///
/// # Safety
/// The range is mapped.
#[inline]
pub unsafe fn write_back(at: u64, bytes: u64) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let first = at & !(LINE - 1);
    let lines = (at + bytes - first).div_ceil(LINE);
    match method() {
        Method::Clwb => each_line!("clwb", first, lines),
        Method::Clflushopt => each_line!("clflushopt", first, lines),
        Method::Clflush => each_line!("clflush", first, lines),
        Method::Nothing => return 0,
    }
    lines
}

/// Orders every write-back and non-temporal store of this CPU before what follows.
#[inline]
pub fn fence() {
    // SAFETY: a fence only orders.
    unsafe { asm!("sfence", options(nostack, preserves_flags)) };
}

/// Copies by ordinary stores.
///
/// # Safety
/// Both ranges are mapped, and `to` may be written. Either may be memory that a task changes meanwhile.
#[inline]
pub unsafe fn copy(to: u64, from: u64, bytes: u64) {
    // SAFETY: by the caller.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, edx",
            "rep movsb",
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") bytes / 8 => _,
            in("rdx") bytes % 8,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies past the cache where `to` is aligned to 8 bytes, 256 bytes at a time: 67 instructions for each,
/// 1,072 for a page; the bytes before and after go through the cache and are written back. Returns the lines
/// written back so.
///
/// # Safety
/// That of [`copy`].
pub unsafe fn copy_past_cache(to: u64, from: u64, bytes: u64) -> u64 {
    let (head, words, tail) = parts(to, bytes);
    let (mut at, mut source) = (to + head, from + head);
    // SAFETY: by the caller; `at` is aligned to 8 and the loops copy `words` words. The ends lie in the
    // ranges.
    unsafe {
        if words >= 32 {
            // Where the source is, counted from the target: one register moves.
            asm!(
                "2:",
                ".set nt_at, 0",
                ".rept 16",
                "mov {a}, [{at} + {apart} + nt_at]",
                "mov {b}, [{at} + {apart} + nt_at + 8]",
                "movnti [{at} + nt_at], {a}",
                "movnti [{at} + nt_at + 8], {b}",
                ".set nt_at, nt_at + 16",
                ".endr",
                "add {at}, 256",
                "dec {count}",
                "jnz 2b",
                at = inout(reg) at,
                apart = in(reg) source.wrapping_sub(at),
                count = inout(reg) words / 32 => _,
                a = out(reg) _,
                b = out(reg) _,
                options(nostack)
            );
            source += words / 32 * 256;
        }
        for _ in 0..words % 32 {
            asm!(
                "mov {word}, [{source}]",
                "movnti [{at}], {word}",
                word = out(reg) _,
                source = in(reg) source,
                at = in(reg) at,
                options(nostack, preserves_flags)
            );
            at += 8;
            source += 8;
        }
        // Hardly ever is there an end: 4 KiB have none.
        if head + tail == 0 {
            return 0;
        }
        copy(to, from, head);
        copy(at, source, tail);
        write_back(to, head) + write_back(at, tail)
    }
}

/// Stores zeros past the cache, 256 bytes at a time: 35 instructions for each, 560 for a page, where REP
/// STOSQ and writing back took over 590. Ends that are not aligned to 8 bytes go through the cache. Returns
/// the lines written back.
///
/// # Safety
/// The range is mapped and may be written.
pub unsafe fn zero_past_cache(to: u64, bytes: u64) -> u64 {
    let (head, words, tail) = parts(to, bytes);
    let mut at = to + head;
    // SAFETY: by the caller; `at` is aligned to 8 and the loops store `words` words.
    unsafe {
        if words >= 32 {
            asm!(
                "2:",
                ".set nt_at, 0",
                ".rept 32",
                "movnti [{at} + nt_at], {zero}",
                ".set nt_at, nt_at + 8",
                ".endr",
                "add {at}, 256",
                "dec {count}",
                "jnz 2b",
                at = inout(reg) at,
                count = inout(reg) words / 32 => _,
                zero = in(reg) 0u64,
                options(nostack)
            );
            // Hardly ever is there more.
            if head + words % 32 + tail == 0 {
                return 0;
            }
        }
        for _ in 0..words % 32 {
            asm!("movnti [{0}], {1}", in(reg) at, in(reg) 0u64, options(nostack, preserves_flags));
            at += 8;
        }
        for (start, len) in [(to, head), (at, tail)] {
            asm!(
                "rep stosb",
                inout("rdi") start => _,
                inout("rcx") len => _,
                in("al") 0u8,
                options(nostack, preserves_flags)
            );
        }
        write_back(to, head) + write_back(at, tail)
    }
}

/// Returns whether the `words` numbers of 64 bits from `at` on are 0: 19 instructions for 16 of them.
///
/// # Safety
/// The range is mapped, and `at` a multiple of 8. A task may change it meanwhile: each number is loaded as
/// one.
pub unsafe fn are_zero(mut at: u64, words: u64) -> bool {
    let mut any = 0u64;
    // SAFETY: by the caller; the loops load `words` words.
    unsafe {
        if words >= 16 {
            asm!(
                "2:",
                ".set or_at, 0",
                ".rept 16",
                "or {any}, [{at} + or_at]",
                ".set or_at, or_at + 8",
                ".endr",
                "add {at}, 128",
                "dec {count}",
                "jnz 2b",
                at = inout(reg) at,
                count = inout(reg) words / 16 => _,
                any = inout(reg) any,
                options(nostack, readonly)
            );
        }
        for _ in 0..words % 16 {
            asm!("or {0}, [{1}]", inout(reg) any, in(reg) at, options(nostack, readonly));
            at += 8;
        }
    }
    any == 0
}

/// Splits a range into bytes before the first aligned word, words, and bytes after the last.
const fn parts(to: u64, bytes: u64) -> (u64, u64, u64) {
    let before = to.wrapping_neg() & 7;
    let head = if before < bytes { before } else { bytes };
    let words = (bytes - head) / 8;
    (head, words, bytes - head - words * 8)
}
