//! Persistent memory in RAM, for host tests.
//!
//! Bytes live in 8-byte atoms, as the hardware guarantees them, so several threads may store to one region at
//! once without unsafe code. Nothing is ever lost here: whoever wants to know what a crash leaves watches the
//! accesses ([`RamAccess`]), and makes images of its own.

use super::poison::Poison;
use super::{LINE, Pmem};
use crate::PAGE_SIZE;
use crate::stats::Stats;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Where the region pretends to be in physical memory.
pub const BASE: u64 = 1 << 32;

/// One access to a region that is watched.
pub enum RamAccess<'a> {
    /// So many bytes are loaded.
    Load(u64),
    /// An ordinary store: offset, bytes.
    Store(u64, &'a [u8]),
    /// A store past the cache, of zeros too.
    Stream(u64, &'a [u8]),
    /// Lines of this range are written back: offset, length.
    Flush(u64, u64),
    /// What is in flight becomes durable.
    Fence,
}

/// Is called before each access.
type RamWatch = Box<dyn Fn(&Ram, RamAccess<'_>) + Send + Sync>;

/// A region in RAM.
pub struct Ram {
    words: Vec<AtomicU64>,
    writable: AtomicBool,
    stats: Stats,
    watch: Option<RamWatch>,
    /// What tests made bad, by offsets. Loads of it give what was there: nobody should look.
    pub poison: Poison,
}

impl Ram {
    /// Returns a region that holds `image`, which is cut to a multiple of 8 bytes.
    pub fn from_bytes(image: &[u8]) -> Self {
        let words = image.as_chunks::<8>().0.iter().map(|bytes| AtomicU64::new(u64::from_le_bytes(*bytes)));
        Self {
            words: words.collect(),
            writable: AtomicBool::new(true),
            stats: Stats::new(),
            watch: None,
            poison: Poison::new(),
        }
    }

    /// Returns a region that holds `image`; `watch` is called before each access.
    pub fn watched(image: &[u8], watch: impl Fn(&Self, RamAccess<'_>) + Send + Sync + 'static) -> Self {
        Self { watch: Some(Box::new(watch)), ..Self::from_bytes(image) }
    }

    /// Returns the same region, not writable.
    pub fn read_only(self) -> Self {
        self.set_writable(false);
        self
    }

    /// Sets whether the region takes stores.
    pub fn set_writable(&self, writable: bool) {
        self.writable.store(writable, Ordering::Relaxed);
    }

    /// Returns a copy of everything it holds.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.words.len() * 8];
        self.peek(0, &mut bytes);
        bytes
    }

    fn touch(&self, touch: RamAccess<'_>) {
        if let Some(watch) = &self.watch {
            watch(self, touch);
        }
    }

    fn check(&self, offset: u64, len: u64) {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "{len} bytes at {offset:#x} of a region of {:#x}",
            self.len()
        );
    }

    /// The word with the byte at `offset`, and how many bits come before that.
    fn word(&self, offset: u64) -> (&AtomicU64, u32) {
        (&self.words[(offset / 8) as usize], offset as u32 % 8 * 8)
    }

    /// Copies bytes out, unwatched.
    pub fn peek(&self, offset: u64, to: &mut [u8]) {
        self.check(offset, to.len() as u64);
        let load = |offset, part: &mut [u8]| {
            if !part.is_empty() {
                let (word, shift) = self.word(offset);
                let bytes = (word.load(Ordering::Acquire) >> shift).to_le_bytes();
                part.copy_from_slice(&bytes[..part.len()]);
            }
        };
        let (first, rest) = to.split_at_mut(up_to_a_word(offset, to.len()));
        load(offset, first);
        let start = offset + first.len() as u64;
        let (whole, last) = rest.as_chunks_mut::<8>();
        let words = &self.words[(start / 8) as usize..];
        for (bytes, word) in whole.iter_mut().zip(words) {
            *bytes = word.load(Ordering::Acquire).to_le_bytes();
        }
        load(start + whole.len() as u64 * 8, last);
    }

    /// Copies bytes in, unwatched.
    pub fn poke(&self, offset: u64, from: &[u8]) {
        self.check(offset, from.len() as u64);
        let store = |offset, part: &[u8]| {
            if !part.is_empty() {
                let (word, shift) = self.word(offset);
                let mut new = [0; 8];
                new[..part.len()].copy_from_slice(part);
                let mask = ((1u64 << (part.len() * 8)) - 1) << shift;
                let new = u64::from_le_bytes(new) << shift;
                let change = |old| Some(old & !mask | new);
                word.fetch_update(Ordering::AcqRel, Ordering::Acquire, change)
                    .expect("the closure always answers");
            }
        };
        let (first, rest) = from.split_at(up_to_a_word(offset, from.len()));
        store(offset, first);
        let start = offset + first.len() as u64;
        let (whole, last) = rest.as_chunks::<8>();
        let words = &self.words[(start / 8) as usize..];
        for (bytes, word) in whole.iter().zip(words) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Release);
        }
        store(start + whole.len() as u64 * 8, last);
    }

    fn expect_writable(&self, offset: u64) {
        assert!(self.writable(), "a store to a read-only region at {offset:#x}");
    }

    fn load<const N: usize>(&self, offset: u64) -> [u8; N] {
        self.touch(RamAccess::Load(N as u64));
        assert!(offset.is_multiple_of(N as u64), "{N} bytes at {offset:#x} are not aligned");
        let mut bytes = [0; N];
        self.peek(offset, &mut bytes);
        bytes
    }

    fn store<const N: usize>(&self, offset: u64, bytes: [u8; N]) {
        assert!(offset.is_multiple_of(N as u64), "{N} bytes at {offset:#x} are not aligned");
        self.write(offset, &bytes);
    }
}

/// Of `len` bytes from `offset` on, those before the first whole word.
fn up_to_a_word(offset: u64, len: usize) -> usize {
    len.min((offset.wrapping_neg() % 8) as usize)
}

impl Pmem for Ram {
    crate::numbers!(load, store);

    fn len(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    fn frame(&self, offset: u64) -> u64 {
        self.check(offset, PAGE_SIZE);
        BASE + offset
    }

    fn read(&self, offset: u64, to: &mut [u8]) {
        self.touch(RamAccess::Load(to.len() as u64));
        self.peek(offset, to);
    }

    fn write(&self, offset: u64, from: &[u8]) {
        self.touch(RamAccess::Store(offset, from));
        self.expect_writable(offset);
        self.poke(offset, from);
    }

    fn write_nt(&self, offset: u64, from: &[u8]) {
        self.touch(RamAccess::Stream(offset, from));
        self.expect_writable(offset);
        self.poke(offset, from);
        self.stats.pmem_bytes_nt.add(from.len() as u64);
    }

    fn zero_nt(&self, offset: u64, len: u64) {
        static ZEROS: [u8; 2 << 20] = [0; 2 << 20];
        let mut done = 0;
        while done < len {
            let zeros = &ZEROS[..(len - done).min(2 << 20) as usize];
            self.touch(RamAccess::Stream(offset + done, zeros));
            self.expect_writable(offset);
            self.poke(offset + done, zeros);
            done += zeros.len() as u64;
        }
        self.stats.pmem_bytes_zeroed.add(len);
    }

    fn flush(&self, offset: u64, len: u64) {
        self.touch(RamAccess::Flush(offset, len));
        self.check(offset, len);
        if len != 0 {
            self.stats.pmem_lines_flushed.add((offset + len - 1) / LINE - offset / LINE + 1);
        }
    }

    fn fence(&self) {
        self.touch(RamAccess::Fence);
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
