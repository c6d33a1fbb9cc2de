//! Who claims which block: a bitmap for each group in which a file has one, made when the first is claimed.
//! The file system's own structures are in it from the start.

use crate::error::{Corrupt, Errno, Result};
use crate::ext::inode::bad_inode;
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use alloc::vec::Vec;

/// The claims of all groups.
pub(super) struct Claims {
    groups: Vec<Vec<u64>>,
}

/// Returns how many words a bitmap for `bits` bits has.
pub(super) fn words(bits: u32) -> usize {
    bits.div_ceil(64) as usize
}

/// Returns `len` zeros, or that there is no memory for them.
pub(super) fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| Errno::NoMemory)?;
    list.resize(len, T::default());
    Ok(list)
}

fn set(bitmap: &mut [u64], bit: u32) -> bool {
    let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
    match bitmap.get_mut(word) {
        Some(word) if *word & mask == 0 => {
            *word |= mask;
            true
        }
        _ => false,
    }
}

impl Claims {
    pub(super) fn new<P: Platform>(fs: &Ext2<P>) -> Result<Self> {
        Ok(Self { groups: zeros(fs.sb.group_count as usize)? })
    }

    /// Claims `block` for inode `ino`.
    ///
    /// # Errors
    /// It cannot be a file's, or is claimed already.
    pub(super) fn claim<P: Platform>(&mut self, fs: &Ext2<P>, ino: u32, block: u32) -> Result<()> {
        let index = fs.sb.group_of_block(block);
        let Some(group) = self.groups.get_mut(index as usize) else {
            return Err(bad_inode(ino, "block pointer out of range", block.into()));
        };
        if group.is_empty() {
            *group = structures(fs, index)?;
        }
        if !set(group, block - fs.sb.group_start(index)) {
            return Err(bad_inode(ino, "a block is claimed twice", block.into()));
        }
        Ok(())
    }

    /// Lets go of `block`: nobody claims it any more.
    pub(super) fn let_go<P: Platform>(&mut self, fs: &Ext2<P>, block: u32) {
        let index = fs.sb.group_of_block(block);
        let bit = block.saturating_sub(fs.sb.group_start(index));
        if let Some(word) =
            self.groups.get_mut(index as usize).and_then(|group| group.get_mut(bit as usize / 64))
        {
            *word &= !(1 << (bit % 64));
        }
    }

    /// Returns what is claimed of group `index`.
    pub(super) fn of_group<'a, P: Platform>(
        &'a self,
        fs: &Ext2<P>,
        index: u32,
        room: &'a mut Vec<u64>,
    ) -> Result<&'a [u64]> {
        match self.groups.get(index as usize) {
            Some(group) if !group.is_empty() => Ok(group),
            _ => {
                *room = structures(fs, index)?;
                Ok(room)
            }
        }
    }
}

/// The bitmap of group `index` with nothing in it but the file system's own structures.
fn structures<P: Platform>(fs: &Ext2<P>, index: u32) -> Result<Vec<u64>> {
    let group = fs.groups().group(index)?;
    let mut bitmap = zeros(words(fs.sb.blocks_per_group))?;
    for relative in (0..fs.sb.backup_blocks().min(group.blocks)).filter(|&at| fs.sb.in_backup(index, at)) {
        set(&mut bitmap, relative);
    }
    let table = group.inode_table..group.inode_table + fs.sb.inode_table_blocks;
    for block in [group.block_bitmap, group.inode_bitmap].into_iter().chain(table) {
        if !set(&mut bitmap, block - group.start) {
            let why = "the group's structures overlap";
            return Err(Corrupt::with("group descriptor", index.into(), why, block.into()).into());
        }
    }
    Ok(bitmap)
}
