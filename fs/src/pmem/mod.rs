//! Persistent memory, as the file system sees it.
//!
//! [`Pmem`] is one region of bytes with the processor's persistence primitives; offsets count from its start.
//! The kernel implements it over a mapped NVDIMM, host tests over RAM ([`ram`]). [`poison`] lists what lost
//! its content. [`state`] keeps the order of stores in the types: what was stored is dirty, then in flight,
//! then clean, and only clean things may be published.
//!
//! # Persistence, as assumed
//!
//! A store may reach memory at any time, in units of 8 aligned bytes, lines (64 bytes) in any order. It is
//! certain to be there after its line was flushed (or it was non-temporal) *and* a fence followed (Intel SDM
//! volume 2: CLWB, MOVNTI, SFENCE). Where the platform flushes caches on power loss (eADR) an implementation
//! may make [`flush`](Pmem::flush) do nothing; the fence stays.

pub mod poison;
#[cfg(any(test, feature = "sim"))]
pub mod ram;
pub mod state;

use crate::stats::Stats;

/// Bytes in a cache line: the unit of flushing.
pub const LINE: u64 = 64;

/// One region of persistent memory. All offsets and lengths are in bytes from its start.
///
/// Numbers are little-endian in memory and aligned to their size; a store of an aligned number is not torn by
/// a crash.
///
/// # Panics
///
/// An access that is not inside `0..len()`, or a number that is not aligned, is a bug of the caller and
/// panics: whoever follows a pointer found in an image has checked it before. A store to a region that is not
/// [`writable`](Pmem::writable) panics too.
pub trait Pmem: Send + Sync {
    /// Size in bytes.
    fn len(&self) -> u64;

    /// True for a region of no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// False for a DIMM that is not armed (it could not save its contents) and for one opened read-only.
    fn writable(&self) -> bool;

    /// The physical address that a page table holds for the page at `offset`, a multiple of the page size.
    fn frame(&self, offset: u64) -> u64;

    /// Loads one byte.
    fn load_u8(&self, offset: u64) -> u8;
    /// Loads a little-endian number.
    fn load_u16(&self, offset: u64) -> u16;
    /// Loads a little-endian number.
    fn load_u32(&self, offset: u64) -> u32;
    /// Loads a little-endian number.
    fn load_u64(&self, offset: u64) -> u64;
    /// True if the `count` little-endian numbers from `offset` on are `first` and what follows it by `step`,
    /// each loaded as one.
    fn is_series(&self, offset: u64, count: u64, first: u64, step: u64) -> bool {
        (0..count).all(|i| self.load_u64(offset + i * 8) == first.wrapping_add(step.wrapping_mul(i)))
    }
    /// Copies bytes out.
    fn read(&self, offset: u64, to: &mut [u8]);

    /// Stores one byte: dirty until flushed and fenced.
    fn store_u8(&self, offset: u64, value: u8);
    /// Stores a little-endian number: dirty until flushed and fenced.
    fn store_u16(&self, offset: u64, value: u16);
    /// Stores a little-endian number: dirty until flushed and fenced.
    fn store_u32(&self, offset: u64, value: u32);
    /// Stores a little-endian number: dirty until flushed and fenced.
    fn store_u64(&self, offset: u64, value: u64);
    /// Stores `count` little-endian numbers, each as one: `first` and what follows it by `step`. Dirty until
    /// flushed and fenced.
    fn store_series(&self, offset: u64, count: u64, first: u64, step: u64) {
        (0..count).for_each(|i| self.store_u64(offset + i * 8, first.wrapping_add(step.wrapping_mul(i))));
    }
    /// Stores a little-endian number and starts writing its line back: in flight until fenced.
    #[inline]
    fn put_u16(&self, offset: u64, value: u16) {
        self.store_u16(offset, value);
        self.flush(offset, 2);
    }
    /// Stores a little-endian number and starts writing its line back: in flight until fenced.
    #[inline]
    fn put_u32(&self, offset: u64, value: u32) {
        self.store_u32(offset, value);
        self.flush(offset, 4);
    }
    /// Stores a little-endian number and starts writing its line back: in flight until fenced.
    #[inline]
    fn put_u64(&self, offset: u64, value: u64) {
        self.store_u64(offset, value);
        self.flush(offset, 8);
    }
    /// Copies bytes in by ordinary stores: dirty until flushed and fenced.
    fn write(&self, offset: u64, from: &[u8]);

    /// Copies bytes in past the cache: in flight until fenced, whatever the alignment.
    fn write_nt(&self, offset: u64, from: &[u8]);
    /// Stores zeros past the cache: in flight until fenced, whatever the alignment.
    fn zero_nt(&self, offset: u64, len: u64);
    /// Starts writing back every line that holds a byte of `offset..offset + len`: in flight until fenced.
    fn flush(&self, offset: u64, len: u64);
    /// Waits until everything in flight from this CPU is persistent (SFENCE).
    fn fence(&self);

    /// The first byte of `offset..offset + len` that is known to have lost its content to a memory error.
    fn poisoned(&self, _offset: u64, _len: u64) -> Option<u64> {
        None
    }
    /// The lines that lie in `offset..offset + len` as a whole are about to be overwritten: their errors are
    /// forgotten.
    fn clear_poison(&self, _offset: u64, _len: u64) {}

    /// Where this region's lines, fences and bytes are counted. Implementations count in the functions above.
    fn stats(&self) -> &Stats;
}

/// The functions of [`Pmem`] on single numbers, by two of the type's own: `load(offset) -> [u8; N]` and
/// `store(offset, [u8; N])`.
#[cfg(any(test, feature = "sim"))]
#[macro_export]
macro_rules! numbers {
    ($load:ident, $store:ident) => {
        $crate::numbers!($load, $store, load_u8 store_u8 u8, load_u16 store_u16 u16);
        $crate::numbers!($load, $store, load_u32 store_u32 u32, load_u64 store_u64 u64);
    };
    ($load:ident, $store:ident, $($load_one:ident $store_one:ident $number:ident),*) => {$(
        fn $load_one(&self, offset: u64) -> $number {
            $number::from_le_bytes(self.$load(offset))
        }
        fn $store_one(&self, offset: u64, value: $number) {
            self.$store(offset, value.to_le_bytes());
        }
    )*};
}
