//! The stores of a repair: first what is wrong with inodes, durably; then what is nobody's any more is freed.
//! Each store is right alone, and the whole can be done again.

use super::Repair;
use super::claims::words;
use super::nodes::{InodeMarks, bitmap_word, bits, in_use};
use super::orphans::{Ended, Mended};
use super::outcome::Recovered;
use super::scan::{ScanResult, end_of};
use super::walk::TreeWalk;
use crate::error::Result;
use crate::ext::dirent::{Dirent, file_type};
use crate::ext::features::RO_COMPAT_LARGE_FILE;
use crate::ext::inode::RawInode;
use crate::ext::layout::*;
use crate::ext2::redo::Words;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use crate::vfs::FileKind;
use alloc::vec::Vec;

impl<P: Platform> Repair<'_, P> {
    /// Repairs what `found` says.
    pub(super) fn repair(self, found: &ScanResult) -> Result<Recovered> {
        let mut done = Recovered { ours: found.ours, ..Recovered::default() };
        let mended = self.mend(found, &mut done)?.fence(self.pmem());
        let ended = self.end_orphans(found, mended)?;
        done.flags += u32::from(self.sb.last_orphan != 0);
        self.free_what_is_nobodys(found, &ended, &mut done)?;
        self.pmem().fence();
        Ok(done)
    }

    /// Stores `count` unless it is there.
    fn set_count(self, at: u64, count: u32, is_wide: bool, done: &mut Recovered) {
        let pmem = self.pmem();
        let found = if is_wide { pmem.load_u32(at) } else { pmem.load_u16(at).into() };
        if found != count {
            if is_wide {
                pmem.store_u32(at, count);
            } else {
                pmem.store_u16(at, count as u16);
            }
            pmem.flush(at, 4);
            done.counts += 1;
        }
    }

    /// 1. Inodes, and attribute blocks.
    fn mend(self, found: &ScanResult, done: &mut Recovered) -> Result<Staged<Mended, InFlight>> {
        for index in 0..self.sb.group_count {
            for ino in in_use(self.0, index)? {
                let node = found.nodes.get(self.0, ino);
                let raw = self.raw_inode(ino)?;
                if node.is(InodeMarks::NAMED | InodeMarks::ADOPT) {
                    self.mend_inode(raw, node, found.ours, done)?;
                } else if !self.sb.is_reserved(ino) {
                    self.clear_links(raw, node.is(InodeMarks::ORPHAN));
                }
            }
            self.each_stale_inode(index, |raw| {
                self.clear_links(raw, false);
                done.inodes += 1;
                Ok(())
            })?;
        }
        for sharers in found.xattrs.chunk_by(|a, b| a == b) {
            let at = self.byte(sharers[0]) + H_REFCOUNT;
            if self.pmem().load_u32(at) as usize != sharers.len() {
                self.pmem().put_u32(at, sharers.len() as u32);
                done.xattrs += 1;
            }
        }
        Ok(Staged::streamed(Mended, SUPERBLOCK, 0))
    }

    /// An inode that nobody names shows no link, and when it went: not yet if it is on the list of orphans,
    /// nor by the number of another that was on one.
    fn clear_links(self, raw: RawInode<'_, P::Pmem>, is_orphan: bool) {
        self.pmem().put_u16(raw.at + I_LINKS_COUNT, 0);
        if !is_orphan && raw.dtime() <= self.sb.inodes_count {
            self.pmem().put_u32(raw.at + I_DTIME, self.time_of_deletion());
        }
    }

    fn mend_inode(
        self,
        raw: RawInode<'_, P::Pmem>,
        node: InodeMarks,
        ours: bool,
        done: &mut Recovered,
    ) -> Result<()> {
        let pmem = self.pmem();
        let Some(kind) = raw.kind() else { return Ok(()) };
        let links = raw.links();
        if links != node.links() {
            pmem.put_u16(raw.at + I_LINKS_COUNT, node.links());
            let count = if links > node.links() { &mut done.links } else { &mut done.flags };
            *count += 1;
        }
        if raw.dtime() != 0 && !node.is(InodeMarks::ORPHAN) {
            pmem.put_u32(raw.at + I_DTIME, 0);
            done.flags += 1;
        }
        if node.is(InodeMarks::GROW) {
            self.grow_to_blocks(raw, kind)?;
            done.grown += 1;
        }
        let end = end_of(self.0, raw, kind)?;
        if kind == FileKind::File {
            self.mend_size(raw, done);
        }
        // Another system may have changed a directory and not yet its index.
        let flags = raw.flags();
        if kind == FileKind::Directory && !ours && flags & INDEX_FL != 0 {
            pmem.put_u32(raw.at + I_FLAGS, flags & !INDEX_FL);
            done.flags += 1;
        }
        if node.is(InodeMarks::TRIM | InodeMarks::RECOUNT) {
            let mut blocks = u64::from(raw.file_acl() != 0);
            let mut walk = TreeWalk::new(self.0, raw, end);
            while let Some(at) = walk.next()? {
                if at.lblk < end { blocks += 1 } else { pmem.put_u32(at.slot, 0) }
            }
            done.trimmed += u32::from(node.is(InodeMarks::TRIM));
            if node.is(InodeMarks::RECOUNT) {
                pmem.put_u32(raw.at + I_BLOCKS, (blocks * (self.block_size() / 512)) as u32);
                done.block_counts += 1;
            }
        }
        if node.is(InodeMarks::RETYPE) {
            self.mend_types(raw, end)?;
            done.entry_types += 1;
        }
        Ok(())
    }

    /// Makes a file or directory as long as its blocks reach: both halves of its size at once.
    fn grow_to_blocks(self, raw: RawInode<'_, P::Pmem>, kind: FileKind) -> Result<()> {
        let (mut walk, mut data_end) = (TreeWalk::new(self.0, raw, u64::MAX), 0);
        while let Some(at) = walk.next()? {
            if at.height == 0 {
                data_end = at.lblk + 1;
            }
        }
        let size = data_end * self.block_size();
        let mut words = Words::new();
        words.push(raw.at + I_SIZE, size as u32);
        if kind == FileKind::File {
            words.push(raw.at + I_SIZE_HIGH, (size >> 32) as u32);
        }
        // They lead to what was there before.
        self.redo().commit(words, Staged::nothing(()))?.into_fact();
        Ok(())
    }

    /// A size that is torn, or for which a feature's flag is missing.
    fn mend_size(self, raw: RawInode<'_, P::Pmem>, done: &mut Recovered) {
        let (size, limit) = (raw.size(FileKind::File), self.max_file_size());
        if size > limit {
            self.pmem().put_u32(raw.at + I_SIZE, limit as u32);
            done.sizes += 1;
        }
        let at = SUPERBLOCK + S_FEATURE_RO_COMPAT;
        let features = self.pmem().load_u32(at);
        if size > i32::MAX as u64 && self.sb.rev_level > 0 && features & RO_COMPAT_LARGE_FILE == 0 {
            self.pmem().put_u32(at, features | RO_COMPAT_LARGE_FILE);
            done.flags += 1;
        }
    }

    /// Makes every entry of a directory tell the kind of what it names.
    fn mend_types(self, raw: RawInode<'_, P::Pmem>, end: u64) -> Result<()> {
        let pmem = self.pmem();
        let mut walk = TreeWalk::new(self.0, raw, end);
        while let Some(at) = walk.next()? {
            if at.lblk >= end || at.height > 0 {
                continue;
            }
            let mut within = 0;
            while within < self.block_size() {
                let entry = Dirent::load(
                    pmem,
                    &self.sb,
                    raw.ino,
                    at.lblk,
                    self.byte(at.block),
                    within,
                    self.block_size(),
                )?;
                within += u64::from(entry.rec_len);
                if entry.ino == 0 {
                    continue;
                }
                if let Some(tells) = self.raw_inode(entry.ino)?.kind().map(file_type)
                    && tells != entry.file_type
                {
                    pmem.store_u8(entry.at + D_FILE_TYPE, tells);
                    pmem.flush(entry.at + D_FILE_TYPE, 1);
                }
            }
        }
        Ok(())
    }

    /// 2. Bits of blocks and inodes that nobody claims, and every count.
    fn free_what_is_nobodys(
        self,
        found: &ScanResult,
        ended: &Staged<Ended, Clean>,
        done: &mut Recovered,
    ) -> Result<()> {
        let (mut free_blocks, mut free_inodes) = (0u32, 0u32);
        let mut room = Vec::new();
        for index in 0..self.sb.group_count {
            let blocks = self.free_blocks(found, index, &mut room, ended, done)?;
            let (inodes, dirs) = self.free_inodes(found, index, ended, done)?;
            let desc = self.sb.desc(index);
            self.set_count(desc + BG_FREE_BLOCKS_COUNT, blocks, false, done);
            self.set_count(desc + BG_FREE_INODES_COUNT, inodes, false, done);
            self.set_count(desc + BG_USED_DIRS_COUNT, dirs, false, done);
            free_blocks = free_blocks.saturating_add(blocks);
            free_inodes = free_inodes.saturating_add(inodes);
        }
        // The superblock's counts are brought up to date by every sync; that they are not is no damage.
        let before = done.counts;
        self.set_count(SUPERBLOCK + S_FREE_BLOCKS_COUNT, free_blocks, true, done);
        self.set_count(SUPERBLOCK + S_FREE_INODES_COUNT, free_inodes, true, done);
        done.counts = before;
        Ok(())
    }

    /// Makes the block bitmap of group `index` say what is claimed. Returns how many blocks are free.
    fn free_blocks(
        self,
        found: &ScanResult,
        index: u32,
        room: &mut Vec<u64>,
        _ended: &Staged<Ended, Clean>,
        done: &mut Recovered,
    ) -> Result<u32> {
        let (pmem, group) = (self.pmem(), self.groups().group(index)?);
        let bitmap = self.byte(group.block_bitmap);
        let mut used = 0;
        for (at, &claimed) in found.claims.of_group(self.0, index, room)?.iter().enumerate() {
            used += claimed.count_ones();
            let place = bitmap + at as u64 * 8;
            let leaked = bitmap_word(self.0, bitmap, at, group.blocks) & !claimed;
            if leaked != 0 {
                pmem.store_u64(place, pmem.load_u64(place) & !leaked);
                pmem.flush(place, 8);
                done.blocks += leaked.count_ones();
            }
        }
        Ok(group.blocks - used)
    }

    /// Takes inodes without a name out of the inode bitmap of group `index`. Returns how many are free, and
    /// how many directories there are.
    fn free_inodes(
        self,
        found: &ScanResult,
        index: u32,
        _ended: &Staged<Ended, Clean>,
        done: &mut Recovered,
    ) -> Result<(u32, u32)> {
        let (pmem, limit) = (self.pmem(), self.sb.inodes_per_group);
        let bitmap = self.byte(self.groups().group(index)?.inode_bitmap);
        let (mut used, mut dirs) = (0, 0);
        for at in 0..words(limit) {
            let word = bitmap_word(self.0, bitmap, at, limit);
            let mut nobodys = 0u64;
            for bit in bits(word) {
                let ino = index * limit + at as u32 * 64 + bit + 1;
                let node = found.nodes.get(self.0, ino);
                if node.is(InodeMarks::NAMED | InodeMarks::ADOPT) || self.sb.is_reserved(ino) {
                    used += 1;
                    dirs += u32::from(node.is(InodeMarks::DIRECTORY));
                } else {
                    nobodys |= 1 << bit;
                }
            }
            if nobodys != 0 {
                let place = bitmap + at as u64 * 8;
                pmem.store_u64(place, pmem.load_u64(place) & !nobodys);
                pmem.flush(place, 8);
                done.inodes += nobodys.count_ones();
            }
        }
        Ok((limit - used, dirs))
    }
}
