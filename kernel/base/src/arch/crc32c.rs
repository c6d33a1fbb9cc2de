//! CRC-32C by the `crc32` instruction, which came with SSE4.2 and uses none of its registers.
//!
//! Reference: Intel SDM volume 2 "CRC32".

use core::arch::asm;

use fs::crc32c::{self, Update};

use super::cpu;

/// Has the storage code compute its checksums by the instruction, if the CPU has it.
pub fn init() {
    // SAFETY: only a CPU that has the instruction hands this function out, and all CPUs are of one kind.
    static UPDATE: Update = |crc, bytes| unsafe { update(crc, bytes) };
    if cpu::features().sse4_2 {
        crc32c::compute_by(&UPDATE);
    }
}

/// Returns what [`crc32c::update`] does: 11 instructions for 64 bytes.
///
/// # Safety
/// The CPU has SSE4.2.
unsafe fn update(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = u64::from(crc);
    let (pieces, rest) = bytes.as_chunks::<64>();
    for piece in pieces {
        // SAFETY: the instruction is there, by the caller; it reads the 64 bytes of `piece`.
        unsafe {
            asm!(
                "crc32 {crc}, qword ptr [{piece}]",
                "crc32 {crc}, qword ptr [{piece} + 8]",
                "crc32 {crc}, qword ptr [{piece} + 16]",
                "crc32 {crc}, qword ptr [{piece} + 24]",
                "crc32 {crc}, qword ptr [{piece} + 32]",
                "crc32 {crc}, qword ptr [{piece} + 40]",
                "crc32 {crc}, qword ptr [{piece} + 48]",
                "crc32 {crc}, qword ptr [{piece} + 56]",
                crc = inout(reg) crc,
                piece = in(reg) piece.as_ptr(),
                options(pure, readonly, nostack, preserves_flags)
            );
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: the instruction is there, by the caller; it reads no memory.
        unsafe {
            asm!(
                "crc32 {crc}, {word}",
                crc = inout(reg) crc,
                word = in(reg) word,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
    for byte in rest {
        // SAFETY: as for a word.
        unsafe {
            asm!(
                "crc32 {crc}, {byte}",
                crc = inout(reg) crc,
                byte = in(reg_byte) *byte,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
    }
    crc as u32
}
