//! The superblock, raw as it is on disk.

use super::layout::*;
use super::unreadable;
use crate::error::{Corrupt, Error, Result};
use crate::pmem::Pmem;
use core::ops::Range;

/// The 1,024 bytes as they are on disk.
pub struct RawSuperBlock([u8; 1024]);

const _: () = assert!(size_of::<RawSuperBlock>() == 1024);

impl RawSuperBlock {
    /// Copies it out of a region.
    ///
    /// # Errors
    /// The region is too small to hold one.
    pub fn load(pmem: &impl Pmem) -> Result<Self> {
        Self::load_at(pmem, SUPERBLOCK)
    }

    /// Copies the one at byte `at` out of a region.
    ///
    /// # Errors
    /// The region ends before it does.
    pub fn load_at(pmem: &impl Pmem, at: u64) -> Result<Self> {
        Self::expect_at(pmem, at, 0..1024)?;
        let mut bytes = [0; 1024];
        pmem.read(at, &mut bytes);
        Ok(Self(bytes))
    }

    /// Refuses byte `at` as the place of one of which `bytes` are to be read.
    ///
    /// # Errors
    /// The region ends before it does, or a memory error took some of the bytes.
    pub(crate) fn expect_at(pmem: &impl Pmem, at: u64, bytes: Range<u64>) -> Result<()> {
        if at.checked_add(1024).is_none_or(|end| end > pmem.len()) {
            let why = if at == SUPERBLOCK {
                "the region is too small for a file system"
            } else {
                "the region ends before this copy of it"
            };
            return Err(corrupt(why, pmem.len()));
        }
        if let Some(bad) = pmem.poisoned(at + bytes.start, bytes.end - bytes.start) {
            return Err(unreadable("superblock", at / 1024, bad));
        }
        Ok(())
    }

    /// Returns the superblock's bytes.
    pub(crate) fn bytes(&self) -> &[u8; 1024] {
        &self.0
    }

    /// Returns the time of which these fields hold the low 32 bits and the 8 above, in seconds since 1970.
    pub(crate) fn time(&self, (low, high): (u64, u64)) -> u64 {
        let above = if self.u32(S_REV_LEVEL) == 0 { 0 } else { self.array::<1>(high)[0] };
        u64::from(above) << 32 | u64::from(self.u32(low))
    }

    /// Makes a raw superblock from bytes, for tests and fuzzers.
    pub fn from_bytes(bytes: [u8; 1024]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut out = [0; N];
        if let Some(from) = self.0.get(at as usize..at as usize + N) {
            out.copy_from_slice(from);
        }
        out
    }

    pub(crate) fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    pub(crate) fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.array(at))
    }
}

/// Makes a contradiction in the superblock.
pub(crate) fn corrupt(why: &'static str, value: u64) -> Error {
    Corrupt::with("superblock", 0, why, value).into()
}
