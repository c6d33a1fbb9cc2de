//! Bytes that a structure on the disk is decoded from.
//!
//! ext2 decodes its structures where they lie, in persistent memory. A journal keeps what it has changed in
//! ordinary memory until a commit: the decoders do not see the difference.

use crate::jbd2::BlockBuffer;
use crate::pmem::Pmem;

/// Bytes to decode: the whole region, a block of it, or a copy of a block. Numbers are little-endian, and
/// aligned to their size.
///
/// # Panics
/// What is not inside is a bug of the caller, as for [`Pmem`].
pub(crate) trait Load {
    /// Loads one byte.
    fn load_u8(&self, at: u64) -> u8;
    /// Loads a number of two bytes.
    fn load_u16(&self, at: u64) -> u16;
    /// Loads a number of four bytes.
    fn load_u32(&self, at: u64) -> u32;
    /// Copies bytes out.
    fn read(&self, at: u64, to: &mut [u8]);
    /// Returns the first of the `len` bytes at `at` that is known to have lost its content, as the region
    /// counts.
    fn poisoned(&self, _at: u64, _len: u64) -> Option<u64> {
        None
    }
}

impl<M: Pmem> Load for M {
    #[inline(always)]
    fn load_u8(&self, at: u64) -> u8 {
        Pmem::load_u8(self, at)
    }
    #[inline(always)]
    fn load_u16(&self, at: u64) -> u16 {
        Pmem::load_u16(self, at)
    }
    #[inline(always)]
    fn load_u32(&self, at: u64) -> u32 {
        Pmem::load_u32(self, at)
    }
    #[inline(always)]
    fn read(&self, at: u64, to: &mut [u8]) {
        Pmem::read(self, at, to);
    }
    #[inline(always)]
    fn poisoned(&self, at: u64, len: u64) -> Option<u64> {
        Pmem::poisoned(self, at, len)
    }
}

/// Bytes in ordinary memory.
impl Load for [u8] {
    #[inline]
    fn load_u8(&self, at: u64) -> u8 {
        self[at as usize]
    }
    #[inline]
    fn load_u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(bytes(self, at))
    }
    #[inline]
    fn load_u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(bytes(self, at))
    }
    #[inline]
    fn read(&self, at: u64, to: &mut [u8]) {
        to.copy_from_slice(&self[at as usize..][..to.len()]);
    }
}

/// A block that a transaction has.
impl Load for BlockBuffer {
    #[inline]
    fn load_u8(&self, at: u64) -> u8 {
        BlockBuffer::load_u8(self, at)
    }
    #[inline]
    fn load_u16(&self, at: u64) -> u16 {
        BlockBuffer::load_u16(self, at)
    }
    #[inline]
    fn load_u32(&self, at: u64) -> u32 {
        BlockBuffer::load_u32(self, at)
    }
    #[inline]
    fn read(&self, at: u64, to: &mut [u8]) {
        BlockBuffer::read(self, at, to);
    }
}

#[inline]
fn bytes<const N: usize>(from: &[u8], at: u64) -> [u8; N] {
    let mut to = [0; N];
    to.copy_from_slice(&from[at as usize..][..N]);
    to
}
