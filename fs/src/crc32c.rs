//! CRC-32C (Castagnoli), the checksum of ext4's structures and of its journal.
//!
//! Formats of Linux keep the *register*: it starts at what they say, and is not inverted at the end, so a
//! checksum of two pieces is the second's that starts with the first's. The crate `crc` computes it from 16
//! tables of 1 KiB each, 16 bytes a step, in ordinary instructions. The processor's own `crc32` instruction
//! takes 8 bytes at once, but is unsafe code, which this crate has none of: the machine that has it says so
//! ([`compute_by`]).
//!
//! References: the catalogue of parametrised CRC algorithms, CRC-32/ISCSI.

use crc::{Algorithm, CRC_32_ISCSI, Crc, Table};
use once_cell::race::OnceRef;

/// Without the inversions at start and end.
static REGISTER: Algorithm<u32> = Algorithm { init: 0, xorout: 0, ..CRC_32_ISCSI };
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&REGISTER);

/// A way to compute it: [`update`]'s arguments, and what it returns.
pub type Update = fn(u32, &[u8]) -> u32;

/// The machine's own way, if it has one.
static MACHINE: OnceRef<'static, Update> = OnceRef::new();

/// Computes every checksum by `update` from now on, which must return what [`by_tables`] does. Only the first
/// call counts: there is one machine.
pub fn compute_by(update: &'static Update) {
    let _ = MACHINE.set(update);
}

/// Returns the register after `bytes`, which was `crc` before. Most checksums start with `!0`.
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    MACHINE.get().map_or_else(|| by_tables(crc, bytes), |update| update(crc, bytes))
}

/// Returns what [`update`] does, on any machine.
pub fn by_tables(crc: u32, bytes: &[u8]) -> u32 {
    // The crate's register is mirrored where the algorithm is.
    let mut digest = CRC.digest_with_initial(crc.reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bit at a time, as the definition has it.
    fn slow(crc: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(crc, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78))
        })
    }

    #[test]
    fn the_register_is_as_defined_for_every_length_and_start() {
        assert_eq!(update(!0, b"123456789"), 0x1cf9_6d7c);
        assert_eq!(!update(!0, b"123456789"), 0xe306_9283);
        let bytes: std::vec::Vec<u8> = (0..=255).cycle().take(200).map(|byte: u8| byte ^ 0x5a).collect();
        for len in 0..bytes.len() {
            for start in [0, !0, 0x1234_5678] {
                assert_eq!(update(start, &bytes[..len]), slow(start, &bytes[..len]), "{len} from {start:#x}");
            }
        }
    }

    #[test]
    fn pieces_follow_each_other() {
        let whole = update(!0, b"123456789");
        assert_eq!(update(update(!0, b"1234"), b"56789"), whole);
        assert_eq!(update(7, b""), 7);
    }
}
