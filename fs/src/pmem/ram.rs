//! Persistent memory in RAM, for host tests.
//!
//! Bytes live in 8-byte atoms, as the hardware guarantees them, so several threads may store to one region at
//! once without unsafe code. Nothing is ever lost here: crash tests log the calls and build their own images.

use super::poison::Poison;
use super::{LINE, Pmem};
use crate::PAGE_SIZE;
use crate::stats::Stats;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Where the region pretends to be in physical memory.
pub const BASE: u64 = 1 << 32;

/// A region in RAM.
pub struct Ram {
    words: Vec<AtomicU64>,
    writable: bool,
    stats: Arc<Stats>,
    /// What tests made bad, by offsets. Loads of it give what was there: nobody should look.
    pub poison: Poison,
}

impl Ram {
    /// A region that holds `image`, which is cut to a multiple of 8 bytes.
    pub fn from_bytes(image: &[u8]) -> Self {
        let words = image.as_chunks::<8>().0.iter().map(|bytes| AtomicU64::new(u64::from_le_bytes(*bytes)));
        Self { words: words.collect(), writable: true, stats: Arc::new(Stats::new()), poison: Poison::new() }
    }

    /// The same region, not writable.
    pub fn read_only(mut self) -> Self {
        self.writable = false;
        self
    }

    /// A copy of everything it holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.words.len() * 8];
        for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&self.words) {
            *to = word.load(SeqCst).to_le_bytes();
        }
        bytes
    }

    fn check(&self, offset: u64, len: u64) {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "{len} bytes at {offset:#x} of a region of {:#x}",
            self.len()
        );
    }

    /// Calls `f(word, shift in bits, byte count, position in the range)` for each atom of the range.
    fn atoms(&self, offset: u64, len: u64, mut f: impl FnMut(&AtomicU64, u32, usize, usize)) {
        self.check(offset, len);
        let mut at = offset;
        while at < offset + len {
            let within = at % 8;
            let count = (8 - within).min(offset + len - at);
            f(&self.words[(at / 8) as usize], within as u32 * 8, count as usize, (at - offset) as usize);
            at += count;
        }
    }

    fn load(&self, offset: u64, len: u64) -> u64 {
        assert!(offset.is_multiple_of(len), "{len} bytes at {offset:#x} are not aligned");
        let mut value = 0;
        self.atoms(offset, len, |word, shift, _, _| value = word.load(SeqCst) >> shift);
        value
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        assert!(self.writable, "a store to a read-only region at {offset:#x}");
        self.atoms(offset, bytes.len() as u64, |word, shift, count, at| {
            let mut new = [0; 8];
            new[..count].copy_from_slice(&bytes[at..at + count]);
            if count == 8 {
                return word.store(u64::from_le_bytes(new), SeqCst);
            }
            let mask = ((1u64 << (count * 8)) - 1) << shift;
            let new = u64::from_le_bytes(new) << shift;
            word.fetch_update(SeqCst, SeqCst, |old| Some(old & !mask | new))
                .expect("the closure always answers");
        });
    }

    fn put_aligned(&self, offset: u64, bytes: &[u8]) {
        assert!(
            offset.is_multiple_of(bytes.len() as u64),
            "{} bytes at {offset:#x} are not aligned",
            bytes.len()
        );
        self.put(offset, bytes);
    }
}

impl Pmem for Ram {
    fn len(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn writable(&self) -> bool {
        self.writable
    }

    fn frame(&self, offset: u64) -> u64 {
        self.check(offset, PAGE_SIZE);
        BASE + offset
    }

    fn load_u8(&self, offset: u64) -> u8 {
        self.load(offset, 1) as u8
    }

    fn load_u16(&self, offset: u64) -> u16 {
        self.load(offset, 2) as u16
    }

    fn load_u32(&self, offset: u64) -> u32 {
        self.load(offset, 4) as u32
    }

    fn load_u64(&self, offset: u64) -> u64 {
        self.load(offset, 8)
    }

    fn read(&self, offset: u64, to: &mut [u8]) {
        self.atoms(offset, to.len() as u64, |word, shift, count, at| {
            let bytes = (word.load(SeqCst) >> shift).to_le_bytes();
            to[at..at + count].copy_from_slice(&bytes[..count]);
        });
    }

    fn store_u8(&self, offset: u64, value: u8) {
        self.put_aligned(offset, &[value]);
    }

    fn store_u16(&self, offset: u64, value: u16) {
        self.put_aligned(offset, &value.to_le_bytes());
    }

    fn store_u32(&self, offset: u64, value: u32) {
        self.put_aligned(offset, &value.to_le_bytes());
    }

    fn store_u64(&self, offset: u64, value: u64) {
        self.put_aligned(offset, &value.to_le_bytes());
    }

    fn write(&self, offset: u64, from: &[u8]) {
        self.put(offset, from);
    }

    fn write_nt(&self, offset: u64, from: &[u8]) {
        self.put(offset, from);
        self.stats.pmem_bytes_nt.add(from.len() as u64);
    }

    fn zero_nt(&self, offset: u64, len: u64) {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut done = 0;
        while done < len {
            let step = (len - done).min(4096);
            self.put(offset + done, &ZEROS[..step as usize]);
            done += step;
        }
        self.stats.pmem_bytes_zeroed.add(len);
    }

    fn flush(&self, offset: u64, len: u64) {
        self.check(offset, len);
        if len != 0 {
            self.stats.pmem_lines_flushed.add((offset + len - 1) / LINE - offset / LINE + 1);
        }
    }

    fn fence(&self) {
        self.stats.pmem_fences.inc();
    }

    fn poisoned(&self, offset: u64, len: u64) -> Option<u64> {
        self.poison.first_in(offset, len)
    }

    fn clear_poison(&self, offset: u64, len: u64) {
        self.poison.clear(offset, len).expect("a list with room");
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_numbers_agree_at_every_alignment() {
        let ram = Ram::from_bytes(&[0; 64]);
        ram.write(3, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(ram.load_u32(4), u32::from_le_bytes([2, 3, 4, 5]));
        ram.store_u16(6, 0xaabb);
        let mut back = [0; 11];
        ram.read(2, &mut back);
        assert_eq!(back, [0, 1, 2, 3, 0xbb, 0xaa, 6, 7, 8, 9, 0]);
        ram.zero_nt(5, 4);
        ram.read(2, &mut back);
        assert_eq!(back, [0, 1, 2, 0, 0, 0, 0, 7, 8, 9, 0]);
    }

    #[test]
    fn a_flush_counts_the_lines_it_touches() {
        let ram = Ram::from_bytes(&[0; 256]);
        ram.flush(63, 2);
        ram.flush(64, 0);
        ram.flush(0, 64);
        assert_eq!(ram.stats().pmem_lines_flushed.get(), 3);
    }

    #[test]
    fn a_series_is_what_was_stored_and_nothing_else() {
        let ram = Ram::from_bytes(&[0; 256]);
        assert!(ram.is_series(0, 32, 0, 0) && ram.is_series(8, 0, 7, 7));
        ram.store_series(16, 20, 5 << 32 | 4, 2 << 32 | 2);
        assert_eq!((ram.load_u64(8), ram.load_u64(16), ram.load_u64(176)), (0, 5 << 32 | 4, 0));
        assert_eq!((ram.load_u32(168), ram.load_u32(172)), (42, 43));
        assert!(ram.is_series(16, 20, 5 << 32 | 4, 2 << 32 | 2));
        for at in 0..20 {
            ram.put_u32(20 + at * 8, 1);
            assert!(!ram.is_series(16, 20, 5 << 32 | 4, 2 << 32 | 2), "{at}");
            ram.put_u32(20 + at * 8, 5 + at as u32 * 2);
        }
        assert!(ram.is_series(16, 20, 5 << 32 | 4, 2 << 32 | 2) && !ram.is_series(8, 20, 0, 0));
        // One line for each number stored so.
        assert_eq!(ram.stats().pmem_lines_flushed.get(), 40);
    }
}
