//! One region of persistent memory: every access is checked, done by instructions the compiler knows nothing
//! of or by atomics (tasks may store to the same bytes through their mappings), and counted.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use fs::pmem::{LINE, Pmem};
use fs::stats::Stats;

use super::{flush, poison};
use crate::counters::stats;
use crate::klog;

/// A mapped region.
pub struct MappedRegion {
    physical: u64,
    len: u64,
    at: u64,
    armed: bool,
}

impl MappedRegion {
    /// Returns the region of `len` bytes at `physical`, mapped at `at`.
    ///
    /// # Safety
    /// The range is persistent memory that no other object of this kernel lies in; it is mapped at `at` for
    /// good, writable if `armed`, and `at` is a multiple of 4096.
    pub(super) const unsafe fn new(physical: u64, len: u64, at: u64, armed: bool) -> Self {
        Self { physical, len, at, armed }
    }

    /// Returns `len` bytes of the region from `offset` on as a region of their own; both are multiples of
    /// 4096.
    #[track_caller]
    pub(super) fn part(&self, offset: u64, len: u64) -> Self {
        let at = self.address(offset, len);
        assert!(offset.is_multiple_of(4096) && len.is_multiple_of(4096), "parts are of whole pages");
        Self { physical: self.physical + offset, len, at, armed: self.armed }
    }

    /// Returns the physical address of the first byte.
    pub fn base(&self) -> u64 {
        self.physical
    }

    /// Returns the address of `len` bytes at `offset`.
    #[inline]
    #[track_caller]
    pub(crate) fn address(&self, offset: u64, len: u64) -> u64 {
        if offset > self.len || len > self.len - offset {
            outside(offset, len, self.len);
        }
        self.at + offset
    }

    /// Returns the address of `len` bytes at `offset`, to be stored to.
    #[inline]
    #[track_caller]
    fn target(&self, offset: u64, len: u64) -> u64 {
        if !self.armed {
            read_only(offset);
        }
        self.address(offset, len)
    }

    /// Returns the aligned number at `offset` as an atomic.
    #[inline]
    #[track_caller]
    fn number<T>(&self, offset: u64) -> &T {
        // The region has whole pages: an aligned number that begins inside ends inside.
        if offset >= self.len || !offset.is_multiple_of(size_of::<T>() as u64) {
            outside(offset, size_of::<T>() as u64, self.len);
        }
        // SAFETY: the number lies inside the region, which is mapped as long as `self` lives; it is aligned,
        // as the region's start is to pages; `T` is an atomic, for which any bits are a value and sharing is
        // allowed.
        unsafe { &*((self.at + offset) as *const T) }
    }

    /// Returns the aligned number at `offset` as an atomic, to be stored to.
    #[inline]
    #[track_caller]
    fn number_to_store<T>(&self, offset: u64) -> &T {
        if !self.armed {
            read_only(offset);
        }
        self.number(offset)
    }

    /// Returns `count` aligned numbers from `offset` on.
    #[inline]
    #[track_caller]
    fn words(&self, offset: u64, count: u64) -> &[AtomicU64] {
        let at = self.address(offset, count.saturating_mul(8));
        if !offset.is_multiple_of(8) {
            outside(offset, 8, self.len);
        }
        // SAFETY: `address` checked the range, which is mapped as long as `self` lives; it is aligned, as the
        // region's start is to pages; any bits are a value of atomics, and sharing is allowed.
        unsafe { core::slice::from_raw_parts(at as *const AtomicU64, count as usize) }
    }
}

/// Starts writing back the line of an aligned number of a region: it lies in one.
#[inline(always)]
fn flush_number<T>(number: &T) {
    // SAFETY: it is mapped: there is a reference to it.
    let lines = unsafe { flush::write_back_line(core::ptr::from_ref(number) as u64) };
    stats().pmem_lines_flushed.add(lines);
}

#[cold]
#[inline(never)]
#[track_caller]
fn outside(offset: u64, len: u64, region: u64) -> ! {
    panic!("{len} bytes at {offset:#x} of a region of {region:#x}, or not aligned");
}

#[cold]
#[inline(never)]
#[track_caller]
fn read_only(offset: u64) -> ! {
    panic!("a store to a read-only region at {offset:#x}");
}

#[cold]
#[inline(never)]
fn full() {
    klog!(Warn, "memory errors: the list is full, some are forgotten");
}

impl fmt::Debug for MappedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({:#x}, {:#x} bytes)", self.physical, self.len)
    }
}

/// `128 GiB at 0x100000000, read-only`, with sizes in the largest unit that divides them.
impl fmt::Display for MappedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let (shift, unit) =
            units.into_iter().find(|(shift, _)| self.len.trailing_zeros() >= *shift).unwrap_or((0, "B"));
        write!(f, "{} {unit} at {:#x}", self.len >> shift, self.physical)?;
        if self.armed { Ok(()) } else { f.write_str(", read-only (not armed)") }
    }
}

impl Pmem for MappedRegion {
    fn len(&self) -> u64 {
        self.len
    }

    fn writable(&self) -> bool {
        self.armed
    }

    #[inline]
    fn frame(&self, offset: u64) -> u64 {
        self.address(offset, 1);
        self.physical + offset
    }

    #[inline]
    fn load_u8(&self, offset: u64) -> u8 {
        self.number::<AtomicU8>(offset).load(Ordering::Relaxed)
    }

    #[inline]
    fn load_u16(&self, offset: u64) -> u16 {
        self.number::<AtomicU16>(offset).load(Ordering::Relaxed)
    }

    #[inline]
    fn load_u32(&self, offset: u64) -> u32 {
        self.number::<AtomicU32>(offset).load(Ordering::Relaxed)
    }

    #[inline]
    fn load_u64(&self, offset: u64) -> u64 {
        self.number::<AtomicU64>(offset).load(Ordering::Relaxed)
    }

    fn is_series(&self, offset: u64, count: u64, first: u64, step: u64) -> bool {
        let words = self.words(offset, count);
        if (first, step) == (0, 0) {
            // SAFETY: they are mapped, and aligned.
            return unsafe { flush::are_zero(words.as_ptr().addr() as u64, count) };
        }
        let (pieces, rest) = words.as_chunks::<8>();
        let mut expected = first;
        let mut next = |word: &AtomicU64| {
            let difference = word.load(Ordering::Relaxed) ^ expected;
            expected = expected.wrapping_add(step);
            difference
        };
        // Eight are looked at before it branches.
        pieces.iter().all(|piece| piece.iter().fold(0, |any, word| any | next(word)) == 0)
            && rest.iter().all(|word| next(word) == 0)
    }

    #[inline]
    fn read(&self, offset: u64, to: &mut [u8]) {
        let from = self.address(offset, to.len() as u64);
        // SAFETY: `address` checked the source; `to` is the caller's.
        unsafe { flush::copy(to.as_mut_ptr() as u64, from, to.len() as u64) };
    }

    #[inline]
    fn store_u8(&self, offset: u64, value: u8) {
        self.number_to_store::<AtomicU8>(offset).store(value, Ordering::Release);
    }

    #[inline]
    fn store_u16(&self, offset: u64, value: u16) {
        self.number_to_store::<AtomicU16>(offset).store(value, Ordering::Release);
    }

    #[inline]
    fn store_u32(&self, offset: u64, value: u32) {
        self.number_to_store::<AtomicU32>(offset).store(value, Ordering::Release);
    }

    #[inline]
    fn store_u64(&self, offset: u64, value: u64) {
        self.number_to_store::<AtomicU64>(offset).store(value, Ordering::Release);
    }

    #[inline(always)]
    fn put_u16(&self, offset: u64, value: u16) {
        let number = self.number_to_store::<AtomicU16>(offset);
        number.store(value, Ordering::Release);
        flush_number(number);
    }

    #[inline(always)]
    fn put_u32(&self, offset: u64, value: u32) {
        let number = self.number_to_store::<AtomicU32>(offset);
        number.store(value, Ordering::Release);
        flush_number(number);
    }

    #[inline(always)]
    fn put_u64(&self, offset: u64, value: u64) {
        let number = self.number_to_store::<AtomicU64>(offset);
        number.store(value, Ordering::Release);
        flush_number(number);
    }

    fn store_series(&self, offset: u64, count: u64, first: u64, step: u64) {
        if !self.armed {
            read_only(offset);
        }
        let (pieces, rest) = self.words(offset, count).as_chunks::<8>();
        let mut number = first;
        let mut next = |word: &AtomicU64| {
            word.store(number, Ordering::Release);
            number = number.wrapping_add(step);
        };
        pieces.iter().for_each(|piece| piece.iter().for_each(&mut next));
        rest.iter().for_each(&mut next);
    }

    #[inline]
    fn write(&self, offset: u64, from: &[u8]) {
        let to = self.target(offset, from.len() as u64);
        // SAFETY: `target` checked the range and the right to write; `from` is the caller's.
        unsafe { flush::copy(to, from.as_ptr() as u64, from.len() as u64) };
    }

    #[inline]
    fn write_nt(&self, offset: u64, from: &[u8]) {
        let to = self.target(offset, from.len() as u64);
        // SAFETY: as in `write`.
        let lines = unsafe { flush::copy_past_cache(to, from.as_ptr() as u64, from.len() as u64) };
        stats().pmem_bytes_nt.add(from.len() as u64);
        stats().pmem_lines_flushed.add(lines);
    }

    #[inline]
    fn zero_nt(&self, offset: u64, len: u64) {
        let to = self.target(offset, len);
        // SAFETY: `target` checked the range and the right to write.
        let lines = unsafe { flush::zero_past_cache(to, len) };
        stats().pmem_bytes_zeroed.add(len);
        stats().pmem_lines_flushed.add(lines);
    }

    #[inline(always)]
    fn flush(&self, offset: u64, len: u64) {
        // SAFETY: the region begins and ends in whole pages, which are mapped: so are a line of which it has
        // a byte, and the lines of a range that `address` checked.
        let lines = unsafe {
            match offset % LINE + len {
                1..=LINE if offset < self.len => flush::write_back_line(self.at + offset),
                _ => flush::write_back_lines(self.address(offset, len), len),
            }
        };
        stats().pmem_lines_flushed.add(lines);
    }

    #[inline]
    fn fence(&self) {
        flush::fence();
        stats().pmem_fences.inc();
    }

    // Each fault asks.
    #[inline(always)]
    fn poisoned(&self, offset: u64, len: u64) -> Option<u64> {
        poison::first_in(self.physical + offset, len).map(|bad| bad - self.physical)
    }

    #[inline]
    fn clear_poison(&self, offset: u64, len: u64) {
        if poison::clear(self.physical + offset, len).is_err() {
            full();
        }
    }

    fn stats(&self) -> &Stats {
        stats()
    }
}
