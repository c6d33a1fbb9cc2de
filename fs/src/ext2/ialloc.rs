//! Taking and freeing inodes.
//!
//! # Locking
//! Takes one group's mutex at a time; called under the inode lock of the directory that will name the inode.

use super::Ext2;
use super::bitmap::Bitmap;
use super::dirent::file_type;
use super::group::Group;
use super::inode::Inode;
use super::layout::*;
use super::times::encode;
use crate::error::{Corrupt, Errno, Result};
use crate::platform::{Platform, User};
use crate::pmem::Pmem;
use crate::pmem::state::{InFlight, Staged};
use crate::vfs::FileKind;
use core::sync::atomic::Ordering::Relaxed;

/// The fact that an inode may be named: it is initialised, or it counts the new name already.
#[derive(Debug)]
pub(super) struct Nameable {
    pub ino: u32,
    /// What a directory entry says of it.
    pub file_type: u8,
}

/// The fact that an inode's bit is set.
struct TakenInode(u32);

const MODE_KIND: [(FileKind, u16); 7] = [
    (FileKind::File, 0x8000),
    (FileKind::Directory, 0x4000),
    (FileKind::Symlink, 0xa000),
    (FileKind::CharDevice, 0x2000),
    (FileKind::BlockDevice, 0x6000),
    (FileKind::Fifo, 0x1000),
    (FileKind::Socket, 0xc000),
];

/// `S_ISGID`: what is made in such a directory belongs to its group.
const S_ISGID: u16 = 0o2000;

impl<P: Platform> Ext2<P> {
    fn inode_bitmap(&self, group: &Group) -> Bitmap {
        Bitmap::new(self.byte(group.inode_bitmap), self.sb.inodes_per_group)
    }

    /// True if the bitmap says that `ino` is in use.
    pub(super) fn inode_in_use(&self, ino: u32) -> Result<bool> {
        let group = self.group(self.group_of_inode(ino))?;
        Ok(self.inode_bitmap(&group).is_set(self.pmem(), (ino - 1) % self.sb.inodes_per_group))
    }

    /// A new inode, with `links` names to come and nothing in it.
    pub(super) fn new_inode(
        &self,
        parent: &Inode<P>,
        kind: FileKind,
        mode: u16,
        links: u16,
    ) -> Result<Staged<Nameable, InFlight>> {
        // 1. Its bit.
        let taken = self.take_inode(parent, kind)?;
        let TakenInode(ino) = *taken.fact();
        let raw = self.raw_inode(ino)?;
        // 2. All of its bytes: 160 from here, the rest zeros.
        let pmem = self.pmem();
        let mut bytes = [0; 160];
        let mut put =
            |at: u64, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        let kind_bits = MODE_KIND.iter().find(|(of, _)| *of == kind).map_or(0, |(_, bits)| *bits);
        let mut mode = kind_bits | mode & 0o7777;
        let User { uid, gid } = self.platform.user();
        for (low, high, id) in [(I_UID, I_UID_HIGH, uid), (I_GID, I_GID_HIGH, gid)] {
            put(low, &(id as u16).to_le_bytes());
            put(high, &((id >> 16) as u16).to_le_bytes());
        }
        if pmem.load_u16(parent.raw + I_MODE) & S_ISGID != 0 {
            put(I_GID, &pmem.load_u16(parent.raw + I_GID).to_le_bytes());
            put(I_GID_HIGH, &pmem.load_u16(parent.raw + I_GID_HIGH).to_le_bytes());
            if kind == FileKind::Directory {
                mode |= S_ISGID;
            }
        }
        put(I_MODE, &mode.to_le_bytes());
        put(I_LINKS_COUNT, &links.to_le_bytes());
        put(I_GENERATION, &self.next_generation.fetch_add(1, Relaxed).to_le_bytes());
        let has_extra = u64::from(self.sb.extra_isize) + u64::from(GOOD_OLD_INODE_SIZE) >= I_CRTIME_EXTRA + 4;
        let (secs, extra) = encode(self.platform.now(), has_extra);
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
        pmem.write_nt(raw, &bytes[..known as usize]);
        if size > known {
            pmem.zero_nt(raw + known, size - known);
        }
        let written = Staged::streamed((), raw, size);
        self.platform.stats().inode_allocated.inc();
        Ok(taken.join(written, |TakenInode(ino), ()| Nameable { ino, file_type: self.entry_type(kind) }))
    }

    /// What a directory entry says of `kind`.
    pub(super) fn entry_type(&self, kind: FileKind) -> u8 {
        if self.sb.has_filetype() { file_type(kind) } else { 0 }
    }

    /// Takes an inode: a file's near its directory; a directory's where there is room, the root's children
    /// spread.
    fn take_inode(&self, parent: &Inode<P>, kind: FileKind) -> Result<Staged<TakenInode, InFlight>> {
        let is_dir = kind == FileKind::Directory;
        let home = self.group_of_inode(parent.ino);
        let first = match is_dir {
            true if parent.ino == ROOT_INO => self.emptiest_group().unwrap_or(home),
            true => self.roomy_group(home),
            false => home,
        };
        let count = self.sb.group_count;
        for index in (0..count).map(|step| (first + step) % count) {
            if self.pmem().load_u16(self.desc(index) + BG_FREE_INODES_COUNT) == 0 {
                continue;
            }
            if let Some(taken) = self.take_inode_in_group(index, is_dir)? {
                return Ok(taken);
            }
        }
        Err(Errno::NoSpace.into())
    }

    /// The group with inodes to spare that has the fewest directories, then the most free blocks.
    fn emptiest_group(&self) -> Option<u32> {
        let pmem = self.pmem();
        let usable = (0..self.sb.group_count).filter(|&group| {
            let desc = self.desc(group);
            pmem.load_u16(desc + BG_FREE_INODES_COUNT) > 0 && pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT) > 0
        });
        usable.min_by_key(|&group| {
            let desc = self.desc(group);
            (pmem.load_u16(desc + BG_USED_DIRS_COUNT), u16::MAX - pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT))
        })
    }

    /// `home`, or the first group after it with a quarter of its inodes and an eighth of its blocks free.
    fn roomy_group(&self, home: u32) -> u32 {
        let (pmem, count) = (self.pmem(), self.sb.group_count);
        let mut groups = (0..count).map(|step| (home + step) % count);
        let found = groups.find(|&group| {
            let desc = self.desc(group);
            u32::from(pmem.load_u16(desc + BG_FREE_INODES_COUNT)) >= self.sb.inodes_per_group.div_ceil(4)
                && u32::from(pmem.load_u16(desc + BG_FREE_BLOCKS_COUNT)) >= self.sb.blocks_per_group / 8
        });
        found.unwrap_or(home)
    }

    fn take_inode_in_group(&self, index: u32, is_dir: bool) -> Result<Option<Staged<TakenInode, InFlight>>> {
        let pmem = self.pmem();
        let group = self.group(index)?;
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
        Ok(Some(bitmap.set(pmem, slot, TakenInode(ino)).flush(pmem)))
    }

    /// Frees an inode that has no name, no blocks and no handle, durably. The caller fences.
    pub(super) fn free_inode(&self, ino: u32, kind: FileKind) -> Result<()> {
        let pmem = self.pmem();
        let group = self.group(self.group_of_inode(ino))?;
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
        self.platform.stats().inode_freed.inc();
        Ok(())
    }
}
