//! Orphans: inodes that are to be freed, or cut to their size, should nobody come to it before a crash. They
//! are in a list, or in a file of their own, so that a mount need not look for them.
//!
//! ```text
//! list  s_last_orphan ──► inode, i_dtime ──► inode, i_dtime ──► 0
//! file  u32 inode, or 0 | u32 … | u32 magic | u32 checksum       each of its blocks
//! ```
//!
//! What comes from the image is bounded: no inode is an orphan twice, and none is reserved. Nothing here
//! knows a mounted file system. Checksums of the superblock and of inodes are computed by the caller, who
//! changes more of them.
//!
//! Reference: the Linux kernel's `filesystems/ext4/orphan.rst`.

use super::disk::checksum;
use super::edit::{Change, Edit};
use super::inode::expect_checksum;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::ext::geometry::Geometry;
use crate::ext::layout::*;
use crate::ext::load::Load;
use alloc::vec::Vec;

/// Magic and checksum of a block of the file: bytes, and what the magic number is.
const TAIL: u64 = 8;
const BLOCK_MAGIC: u32 = 0x0b10_ca04;

/// The most blocks that adding an orphan to the list changes, or taking it out: the superblock's, and one
/// with an inode.
pub(crate) const CHANGED_BY_LIST: u32 = 2;
/// The most blocks that adding an orphan to the file changes, or taking it out.
pub(crate) const CHANGED_BY_FILE: u32 = 1;

/// Refuses `ino` as an orphan unless it may be one.
fn expect_orphan(sb: &Geometry, ino: u32) -> Result<()> {
    match (sb.first_ino..=sb.inodes_count).contains(&ino) {
        true => Ok(()),
        false => Err(twice_or_none(ino, "an orphan that cannot be one")),
    }
}

#[cold]
fn twice_or_none(ino: u32, why: &'static str) -> Error {
    Corrupt::new("orphan", ino.into(), why).into()
}

/// Who leads to an orphan of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanHolder {
    /// The superblock, by `s_last_orphan`.
    SuperBlock,
    /// This inode, by `i_dtime`.
    Inode(u32),
}

impl OrphanHolder {
    /// Lets the holder, which is at `at` of `bytes`, lead to `ino`: an orphan, or 0.
    fn lead_to(self, bytes: &(impl Edit + ?Sized), at: u64, ino: u32) {
        let field = match self {
            Self::SuperBlock => S_LAST_ORPHAN,
            Self::Inode(_) => I_DTIME,
        };
        bytes.store_u32(at + field, ino);
    }
}

/// The list, as it is on the disk: the newest orphan is the first there, and the last here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct OrphanList(Vec<u32>);

impl OrphanList {
    /// Reads the list that begins with inode `first`, or 0. `next` answers `i_dtime` of an inode, if that is
    /// in use.
    ///
    /// # Errors
    /// The list leads to what cannot be an orphan, or to itself; what `next` answers; no memory.
    pub(crate) fn read(sb: &Geometry, first: u32, next: &mut impl FnMut(u32) -> Result<u32>) -> Result<Self> {
        // A circle leads back to a milestone, of which there is one each time the way has doubled.
        let (mut list, mut ino, mut milestone, mut left) = (Vec::new(), first, 0, 1_u64);
        while ino != 0 {
            expect_orphan(sb, ino)?;
            if ino == milestone {
                return Err(twice_or_none(ino, "the list of orphans leads to itself"));
            }
            left -= 1;
            if left == 0 {
                (milestone, left) = (ino, list.len() as u64 + 2);
            }
            list.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            list.push(ino);
            ino = next(ino)?;
        }
        list.reverse();
        Ok(Self(list))
    }

    /// Returns the first of the list, or 0.
    pub(crate) fn first(&self) -> u32 {
        self.0.last().copied().unwrap_or(0)
    }

    /// Adds `ino`, which is not on the list. The superblock is at `superblock.1` of `superblock.0`, the inode
    /// likewise.
    ///
    /// # Errors
    /// No memory: nothing was changed.
    pub(crate) fn add(
        &mut self,
        ino: u32,
        superblock: (&(impl Edit + ?Sized), u64),
        inode: (&(impl Edit + ?Sized), u64),
    ) -> Result<()> {
        self.0.try_reserve(1).map_err(|_| Errno::NoMemory)?;
        OrphanHolder::Inode(ino).lead_to(inode.0, inode.1, self.first());
        OrphanHolder::SuperBlock.lead_to(superblock.0, superblock.1, ino);
        self.0.push(ino);
        Ok(())
    }

    /// Returns who leads to `ino`; `None` if it is not on the list.
    pub(crate) fn holder(&self, ino: u32) -> Option<OrphanHolder> {
        self.place(ino).map(|at| self.holder_at(at))
    }

    fn place(&self, ino: u32) -> Option<usize> {
        self.0.iter().rposition(|&orphan| orphan == ino)
    }

    fn holder_at(&self, at: usize) -> OrphanHolder {
        self.0.get(at + 1).map_or(OrphanHolder::SuperBlock, |&newer| OrphanHolder::Inode(newer))
    }

    /// Takes `ino` out, if it is on the list. `holder.0` at `holder.1` are its [`holder`](Self::holder). Its
    /// own `i_dtime` stays, for the caller to make a time of it, or 0.
    pub(crate) fn remove(&mut self, ino: u32, holder: (&(impl Edit + ?Sized), u64)) {
        let Some(place) = self.place(ino) else { return };
        let older = place.checked_sub(1).map_or(0, |older| self.0[older]);
        self.holder_at(place).lead_to(holder.0, holder.1, older);
        self.0.remove(place);
    }
}

/// A place for an orphan in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrphanSlot {
    /// Which of its blocks.
    index: usize,
    /// Byte in the block.
    at: u64,
}

/// A block of the file.
struct OrphanBlock {
    number: u64,
    /// Slots without an orphan.
    free: u64,
}

/// The file: where its blocks are, and how much room is in each.
pub(crate) struct OrphanFile(Vec<OrphanBlock>);

impl OrphanFile {
    /// Reads the file, whose blocks are `numbers`, all of which the caller knows to be the file's, in order.
    /// Returns also the orphans in it, by their numbers.
    ///
    /// # Errors
    /// A block that is none; what cannot be an orphan, or is one twice; no memory.
    pub(crate) fn read(
        changes: &impl Change,
        sb: &Geometry,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<(Self, Vec<(u32, OrphanSlot)>)> {
        let (mut blocks, mut orphans) = (Vec::new(), Vec::new());
        for (index, number) in numbers.enumerate() {
            let bytes = read_block(changes, number)?;
            let mut free = 0;
            for at in slots(changes) {
                match bytes.load_u32(at) {
                    0 => free += 1,
                    ino => {
                        expect_orphan(sb, ino)?;
                        orphans.try_reserve(1).map_err(|_| Errno::NoMemory)?;
                        orphans.push((ino, OrphanSlot { index, at }));
                    }
                }
            }
            blocks.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            blocks.push(OrphanBlock { number, free });
        }
        orphans.sort_unstable();
        match orphans.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(twice_or_none(pair[0].0, "it is twice in the orphan file")),
            None => Ok((Self(blocks), orphans)),
        }
    }

    /// Adds `ino`, which is not there, and returns where; `None` if there is no room: then it goes to the
    /// list.
    ///
    /// # Errors
    /// As [`Change::change`]; the block is damaged.
    pub(crate) fn add(&mut self, changes: &impl Change, ino: u32) -> Result<Option<OrphanSlot>> {
        let Some(index) = self.0.iter().position(|block| block.free > 0) else { return Ok(None) };
        let block = &mut self.0[index];
        let bytes = read_block(changes, block.number)?;
        let Some(at) = slots(changes).find(|&at| bytes.load_u32(at) == 0) else {
            return Err(bad_block(block.number, "fewer free slots than there were"));
        };
        store(changes, block.number, at, ino)?;
        block.free -= 1;
        Ok(Some(OrphanSlot { index, at }))
    }

    /// Takes `ino` out of `slot`.
    ///
    /// # Errors
    /// It is not there; as [`add`](Self::add).
    pub(crate) fn remove(&mut self, changes: &impl Change, slot: OrphanSlot, ino: u32) -> Result<()> {
        let gone = || twice_or_none(ino, "it is not in its place in the orphan file");
        let block = self.0.get_mut(slot.index).ok_or_else(gone)?;
        if read_block(changes, block.number)?.load_u32(slot.at) != ino {
            return Err(gone());
        }
        store(changes, block.number, slot.at, 0)?;
        block.free += 1;
        Ok(())
    }
}

/// Returns where the slots of a block are.
fn slots(changes: &impl Change) -> impl Iterator<Item = u64> {
    (0..changes.block_size() - TAIL).step_by(4)
}

#[cold]
fn bad_block(number: u64, why: &'static str) -> Error {
    Corrupt::new("orphan block", number, why).into()
}

fn read_block<C: Change>(changes: &C, number: u64) -> Result<C::Read> {
    let size = changes.block_size();
    changes.read(number, |bytes| {
        if bytes.load_u32(size - TAIL) != BLOCK_MAGIC {
            return Err(bad_block(number, "bad magic number"));
        }
        let Some(seed) = changes.seed() else { return Ok(()) };
        let real = checksum::orphan_block(seed, number, bytes, 0, size);
        expect_checksum("orphan block", number, bytes.load_u32(size - 4), real)
    })
}

/// Stores `ino` at byte `at` of block `number`, and its checksum.
fn store(changes: &impl Change, number: u64, at: u64, ino: u32) -> Result<()> {
    let (bytes, size) = (changes.change(number)?, changes.block_size());
    bytes.store_u32(at, ino);
    if let Some(seed) = changes.seed() {
        bytes.store_u32(size - 4, checksum::orphan_block(seed, number, &*bytes, 0, size));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
