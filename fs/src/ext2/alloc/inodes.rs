//! Taking and freeing inodes.
//!
//! # Locking
//! Takes one group's mutex at a time. An inode is taken, and given back, under the inode lock of the
//! directory that is to name it; it is freed when nobody has a handle of it.

use super::Groups;
use super::bitmap::Bitmap;
use super::taken::TakenInode;
use crate::error::{Corrupt, Errno, Result};
use crate::ext::inode::{Heir, encode};
use crate::ext::layout::*;
use crate::ext2::disk::descriptor::Group;
use crate::ext2::facts::{Nameable, Nameless};
use crate::ext2::inode::Ext2Inode;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use crate::vfs::{ChangeOk, FileKind};
use core::sync::atomic::Ordering::Relaxed;

/// What a new inode is to be.
pub(in crate::ext2) struct New {
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u16,
    /// All of its times.
    pub now: Timestamp,
    pub size: u32,
    /// Its space, in units of 512 bytes.
    pub units: u32,
    /// A pointer to a block that is durable, a short target, a device's numbers.
    pub i_block: [u8; I_BLOCK_BYTES as usize],
}

impl<P: Platform> Groups<'_, P> {
    fn inode_bitmap(self, group: &Group) -> Bitmap {
        Bitmap::new(self.byte(group.inode_bitmap), self.sb.inodes_per_group)
    }

    /// The group of inode `ino`, which is in `1..=inodes_count`, if its inode bitmap can be read.
    fn group_with_inode(self, ino: u32) -> Result<Group> {
        let group = self.group(self.sb.group_of_inode(ino))?;
        self.expect_inode_bitmap(&group)?;
        Ok(group)
    }

    pub(in crate::ext2) fn expect_inode_bitmap(self, group: &Group) -> Result<()> {
        let (at, index) = (self.byte(group.inode_bitmap), group.index.into());
        self.expect_readable(at, self.block_size(), "inode bitmap", index)
    }

    /// Returns whether the bitmap says that inode `ino` is in use.
    pub(in crate::ext2) fn inode_in_use(self, ino: u32) -> Result<bool> {
        Ok(self.is_inode_in_use(&self.group_with_inode(ino)?, ino))
    }

    /// Returns whether the bitmap of `group`, which is the group of inode `ino`, says that the inode is in
    /// use.
    pub(in crate::ext2) fn is_inode_in_use(self, group: &Group, ino: u32) -> bool {
        self.inode_bitmap(group).is_set(self.pmem(), (ino - 1) % self.sb.inodes_per_group)
    }

    /// Initialises an inode that was taken, all of its bytes past the cache. What it points to is durable.
    /// `parent` will name it, and is locked.
    pub(in crate::ext2) fn write_inode(
        self,
        _lock: ChangeOk<'_>,
        taken: Staged<TakenInode, InFlight>,
        parent: &Ext2Inode<P>,
        new: &New,
    ) -> Staged<Nameable, InFlight> {
        let (pmem, kind) = (self.pmem(), new.kind);
        // 160 bytes from here, the rest zeros.
        let mut bytes = [0; 160];
        let mut put =
            |at: u64, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        let Heir { mode, uid, gid, links, flags } = parent.raw().heir(kind, new.mode, self.platform.user());
        for (low, high, id) in [(I_UID, I_UID_HIGH, uid), (I_GID, I_GID_HIGH, gid)] {
            put(low, &(id as u16).to_le_bytes());
            put(high, &((id >> 16) as u16).to_le_bytes());
        }
        put(I_MODE, &mode.to_le_bytes());
        put(I_LINKS_COUNT, &links.to_le_bytes());
        put(I_SIZE, &new.size.to_le_bytes());
        put(I_BLOCKS, &new.units.to_le_bytes());
        put(I_BLOCK, &new.i_block);
        put(I_FLAGS, &flags.to_le_bytes());
        put(I_GENERATION, &self.next_generation.fetch_add(1, Relaxed).to_le_bytes());
        let has_extra = u64::from(self.sb.extra_isize) + u64::from(GOOD_OLD_INODE_SIZE) >= I_CRTIME_EXTRA + 4;
        let (secs, extra) = encode(new.now, has_extra);
        for at in [I_ATIME, I_CTIME, I_MTIME] {
            put(at, &secs.to_le_bytes());
        }
        if self.sb.extra_isize > 0 {
            put(I_EXTRA_ISIZE, &self.sb.extra_isize.to_le_bytes());
        }
        if has_extra {
            put(I_CRTIME, &secs.to_le_bytes());
            for at in [I_ATIME_EXTRA, I_CTIME_EXTRA, I_MTIME_EXTRA, I_CRTIME_EXTRA] {
                put(at, &extra.to_le_bytes());
            }
        }
        let size = u64::from(self.sb.inode_size);
        let known = (bytes.len() as u64).min(size);
        let at = taken.fact().at;
        pmem.clear_poison(at, size);
        pmem.write_nt(at, &bytes[..known as usize]);
        if size > known {
            pmem.zero_nt(at + known, size - known);
        }
        let written = Staged::streamed((), at, size);
        self.platform.stats().inode_allocated.inc();
        taken.join(written, |taken, ()| Nameable::new(&self.sb, taken.ino, kind))
    }

    /// Takes an inode: a file's near its directory, `parent`, which is locked; a directory's where there is
    /// room, the root's children spread.
    pub(in crate::ext2) fn take_inode(
        self,
        _lock: ChangeOk<'_>,
        parent: &Ext2Inode<P>,
        kind: FileKind,
    ) -> Result<Staged<TakenInode, InFlight>> {
        let is_dir = kind == FileKind::Directory;
        let home = self.sb.group_of_inode(parent.ino);
        let first = match is_dir {
            true if parent.ino == ROOT_INO => self.emptiest_group().unwrap_or(home),
            true => self.roomy_group(home),
            false => home,
        };
        let (count, mut bad) = (self.sb.group_count, None);
        for index in (0..count).map(|step| (first + step) % count) {
            if self.pmem().load_u16(self.sb.desc(index) + BG_FREE_INODES_COUNT) == 0 {
                continue;
            }
            match self.take_inode_in_group(index, is_dir) {
                Ok(Some(taken)) => return Ok(taken),
                Ok(None) => {}
                Err(error) => self.passed_over(index, |state| &mut state.inodes_noted, &mut bad, error),
            }
        }
        Err(bad.unwrap_or(Errno::NoSpace.into()))
    }

    /// The group with inodes to spare that has the fewest directories, then the most free blocks.
    fn emptiest_group(self) -> Option<u32> {
        let pmem = self.pmem();
        let usable = (0..self.sb.group_count).filter(|&group| {
            let desc = self.sb.desc(group);
            pmem.load_u16(desc + BG_FREE_INODES_COUNT) > 0 && pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT) > 0
        });
        usable.min_by_key(|&group| {
            let desc = self.sb.desc(group);
            (pmem.load_u16(desc + BG_USED_DIRS_COUNT), u16::MAX - pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT))
        })
    }

    /// `home`, or the first group after it with a quarter of its inodes and an eighth of its blocks free.
    fn roomy_group(self, home: u32) -> u32 {
        let (pmem, count) = (self.pmem(), self.sb.group_count);
        let mut groups = (0..count).map(|step| (home + step) % count);
        let found = groups.find(|&group| {
            let desc = self.sb.desc(group);
            u32::from(pmem.load_u16(desc + BG_FREE_INODES_COUNT)) >= self.sb.inodes_per_group.div_ceil(4)
                && u32::from(pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT)) >= self.sb.blocks_per_group / 8
        });
        found.unwrap_or(home)
    }

    fn take_inode_in_group(self, index: u32, is_dir: bool) -> Result<Option<Staged<TakenInode, InFlight>>> {
        let pmem = self.pmem();
        let group = self.group(index)?;
        self.expect_inode_bitmap(&group)?;
        let bitmap = self.inode_bitmap(&group);
        let mut state = self.groups[index as usize].lock();
        if pmem.load_u16(group.desc + BG_FREE_INODES_COUNT) == 0 {
            return Ok(None);
        }
        let Some(slot) = bitmap.find_clear(pmem, state.first_free_inode, self.sb.inodes_per_group) else {
            return Ok(None);
        };
        let ino = index * self.sb.inodes_per_group + slot + 1;
        if ino < self.sb.first_ino {
            let why = "a reserved inode is marked free";
            return Err(Corrupt::with("inode bitmap", index.into(), why, ino.into()).into());
        }
        state.first_free_inode = slot + 1;
        self.add_to_count(&group, BG_FREE_INODES_COUNT, -1);
        if is_dir {
            self.add_to_count(&group, BG_USED_DIRS_COUNT, 1);
        }
        let at = group.inode(&self.sb, slot);
        Ok(Some(bitmap.set(pmem, slot, 1, TakenInode { ino, at }).flush(pmem)))
    }

    /// Gives back an inode that was never initialised.
    pub(in crate::ext2) fn give_back_inode(self, taken: Staged<TakenInode, InFlight>, kind: FileKind) {
        let ino = taken.unfenced().ino;
        // It was taken a moment ago, so nothing about it can be wrong.
        let result = self.clear_inode(ino, kind);
        let _ = self.noted(result);
    }

    /// Frees an inode that has no blocks and no handle, and durably no name. The caller fences.
    pub(in crate::ext2) fn free_inode(
        self,
        ino: u32,
        kind: FileKind,
        _nameless: Staged<Nameless, Clean>,
    ) -> Result<()> {
        self.clear_inode(ino, kind)?;
        self.platform.stats().inode_freed.inc();
        Ok(())
    }

    fn clear_inode(self, ino: u32, kind: FileKind) -> Result<()> {
        let pmem = self.pmem();
        let group = self.group_with_inode(ino)?;
        let slot = (ino - 1) % self.sb.inodes_per_group;
        let mut state = self.groups[group.index as usize].lock();
        let Some(cleared) = self.inode_bitmap(&group).clear(pmem, slot, 1) else {
            let why = "an inode was freed that is free";
            return Err(Corrupt::with("inode bitmap", group.index.into(), why, ino.into()).into());
        };
        cleared.flush(pmem).unfenced();
        state.first_free_inode = state.first_free_inode.min(slot);
        self.add_to_count(&group, BG_FREE_INODES_COUNT, 1);
        if kind == FileKind::Directory {
            self.add_to_count(&group, BG_USED_DIRS_COUNT, -1);
        }
        Ok(())
    }
}
