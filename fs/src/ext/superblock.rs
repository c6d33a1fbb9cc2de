//! The superblock, raw as it is on disk, and how features are taken out of it.
//!
//! # What a crash leaves of a change
//! With `metadata_csum` the superblock has a checksum, in another unit of 8 bytes than what changes: a crash
//! could leave one without the other, and nobody would mount that. So the bit of `metadata_csum` goes with
//! the store that changes the features, which lie beside it, and comes back when the new checksum is durable.
//! What a crash leaves between is a file system that is right, and has no checksums. Whoever finds that the
//! checksum is right but for the bit puts it back.

use super::features::{
    COMPAT_HAS_JOURNAL, INCOMPAT_RECOVER, RO_COMPAT_GDT_CSUM, RO_COMPAT_METADATA_CSUM,
    RO_COMPAT_ORPHAN_PRESENT,
};
use super::layout::*;
use super::unreadable;
use crate::crc32c;
use crate::error::{Corrupt, Errno, Error, Result};
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

    pub(crate) fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}

impl RawSuperBlock {
    /// Returns the inode of the journal that is to be replayed.
    ///
    /// # Errors
    /// [`Errno::NoDevice`] for a journal on another device; [`Corrupt`] for none at all.
    pub(crate) fn journal(&self) -> Result<u32> {
        let has_journal = self.u32(S_FEATURE_COMPAT) & COMPAT_HAS_JOURNAL != 0;
        match (self.u32(S_JOURNAL_INUM), self.u32(S_JOURNAL_DEV)) {
            (0, device) if has_journal && device != 0 => Err(Errno::NoDevice.into()),
            (ino, _) if has_journal && ino != 0 => Ok(ino),
            _ => Err(corrupt("a journal is to be replayed, and there is none", 0)),
        }
    }

    /// Returns the checksum that it should have.
    pub(crate) fn checksum(&self) -> u32 {
        crc32c::update(!0, &self.0[..S_CHECKSUM as usize])
    }

    /// Returns the first superblock, if it is in the block that starts at byte `start` of the region and
    /// holds `bytes`.
    pub(crate) fn in_block(start: u64, bytes: &[u8]) -> Option<Self> {
        let within = SUPERBLOCK.checked_sub(start)? as usize;
        Some(Self(*bytes.get(within..)?.first_chunk()?))
    }

    fn set(&mut self, at: u64, value: u32) {
        self.0[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    /// Returns it with the bit of `metadata_csum`, if a crash took that and nothing changed since: as it was
    /// before [`store_recovered`](Self::store_recovered), or as it is afterwards.
    pub(crate) fn with_lost_checksum(self) -> Self {
        let features = self.u32(S_FEATURE_RO_COMPAT);
        let looks = self.u32(S_REV_LEVEL) > 0
            && features & (RO_COMPAT_METADATA_CSUM | RO_COMPAT_GDT_CSUM) == 0
            && self.array::<1>(S_CHECKSUM_TYPE) == [CRC32C];
        let incompat = self.u32(S_FEATURE_INCOMPAT) & !INCOMPAT_RECOVER;
        // The checksum is that from before the change, or that from after it.
        let recovers = [incompat, incompat | INCOMPAT_RECOVER];
        let others = features & !RO_COMPAT_ORPHAN_PRESENT | RO_COMPAT_METADATA_CSUM;
        let orphans = [others, others | RO_COMPAT_ORPHAN_PRESENT];
        let mut states =
            recovers.into_iter().flat_map(|incompat| orphans.map(|ro_compat| (incompat, ro_compat)));
        let right = states.find_map(|(incompat, ro_compat)| {
            let mut whole = Self(self.0);
            whole.set(S_FEATURE_INCOMPAT, incompat);
            whole.set(S_FEATURE_RO_COMPAT, ro_compat);
            (looks && whole.checksum() == whole.u32(S_CHECKSUM)).then_some(whole)
        });
        right.unwrap_or(self)
    }

    /// Says in the first superblock of the region, which this is, that no journal has to be replayed.
    /// Durable on return.
    pub(crate) fn store_recovered(&mut self, pmem: &impl Pmem) {
        let orphans = self.u32(S_FEATURE_RO_COMPAT) & RO_COMPAT_ORPHAN_PRESENT != 0;
        self.store_in_use(pmem, false, orphans);
    }

    /// Says in the first superblock of the region, which this is, whether a journal has to be replayed after
    /// a crash, and whether the orphan file is to be looked into. Durable on return.
    pub(crate) fn store_in_use(&mut self, pmem: &impl Pmem, recovers: bool, orphans: bool) {
        let with = |features: u32, bit: u32, is_set: bool| features & !bit | if is_set { bit } else { 0 };
        let incompat = with(self.u32(S_FEATURE_INCOMPAT), INCOMPAT_RECOVER, recovers);
        let ro_compat = with(self.u32(S_FEATURE_RO_COMPAT), RO_COMPAT_ORPHAN_PRESENT, orphans);
        self.set(S_FEATURE_INCOMPAT, incompat);
        self.set(S_FEATURE_RO_COMPAT, ro_compat);
        self.store_features(pmem, !RO_COMPAT_METADATA_CSUM);
        if ro_compat & RO_COMPAT_METADATA_CSUM != 0 {
            let checksum = self.checksum();
            self.set(S_CHECKSUM, checksum);
            pmem.put_u32(SUPERBLOCK + S_CHECKSUM, checksum);
            pmem.fence();
            self.store_features(pmem, !0);
        }
    }

    /// Puts the bit of `metadata_csum` back into the first superblock of the region, if that has lost it and
    /// this is what [`with_lost_checksum`](Self::with_lost_checksum) made of it.
    pub(crate) fn put_back_checksum(&mut self, pmem: &impl Pmem) {
        let is_first = self.u32(S_CHECKSUM) == pmem.load_u32(SUPERBLOCK + S_CHECKSUM);
        if is_first && self.u32(S_FEATURE_RO_COMPAT) != pmem.load_u32(SUPERBLOCK + S_FEATURE_RO_COMPAT) {
            self.store_recovered(pmem);
        }
    }

    /// Stores the incompatible features, and of the others (ro_compat) those of `mask`: one store, durable on
    /// return.
    fn store_features(&self, pmem: &impl Pmem, mask: u32) {
        let (incompat, ro_compat) = (self.u32(S_FEATURE_INCOMPAT), self.u32(S_FEATURE_RO_COMPAT));
        pmem.put_u64(
            SUPERBLOCK + S_FEATURE_INCOMPAT,
            u64::from(ro_compat & mask) << 32 | u64::from(incompat),
        );
        pmem.fence();
    }
}

/// Stores `bytes`, a block that a journal holds, at byte `start` of the region: past the cache, in flight
/// until fenced; but what a crash leaves of the first superblock can be mounted, so that it is replayed
/// again.
pub(crate) fn write_block(pmem: &impl Pmem, start: u64, bytes: &[u8]) {
    let Some(image) = RawSuperBlock::in_block(start, bytes) else {
        return pmem.write_nt(start, bytes);
    };
    let mut home = [0; 1024];
    pmem.read(SUPERBLOCK, &mut home);
    RawSuperBlock(home).store_features(pmem, !RO_COMPAT_METADATA_CSUM);
    let features = SUPERBLOCK + S_FEATURE_INCOMPAT - start;
    let (before, after) = (&bytes[..features as usize], &bytes[features as usize + 8..]);
    pmem.write_nt(start, before);
    pmem.write_nt(start + features + 8, after);
    pmem.fence();
    image.store_features(pmem, !0);
}

/// Returns a contradiction in the superblock.
pub(crate) fn corrupt(why: &'static str, value: u64) -> Error {
    Corrupt::with("superblock", 0, why, value).into()
}
