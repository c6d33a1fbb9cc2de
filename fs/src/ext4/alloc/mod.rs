//! Stub for tests until the allocator is there.
#![allow(dead_code, missing_docs)]
use super::disk::{checksum, descriptor::Group, superblock::SuperBlock};
use super::operation::Operation;
use crate::error::{Corrupt, Errno, Result};
use crate::ext::layout::*;
use crate::jbd2::Handle;
use crate::platform::{Mutex, Platform};
use crate::pmem::Pmem;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::ops::Range;

#[derive(Default)]
struct Stub {
    used: BTreeMap<u32, bool>,
    inodes: BTreeMap<u32, (i64, i64, u32)>,
    delta: BTreeMap<u32, i64>,
    pending: BTreeSet<u64>,
    rr: u64,
}
pub(super) struct Groups<P: Platform>(Arc<P>, Arc<SuperBlock>, Mutex<P, Stub>);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Metadata,
    Data,
    HugePage,
}
impl<P: Platform> Groups<P> {
    pub(super) fn new(p: Arc<P>, sb: Arc<SuperBlock>) -> Self {
        Self(p, sb, Mutex::<P, _>::new(Stub::default()))
    }
    fn group(&self, index: u32) -> Result<Group> {
        Group::decode(&self.1, self.0.pmem(), self.1.desc(index), index).or_else(|_| self.lax(index))
    }
    fn lax(&self, index: u32) -> Result<Group> {
        Group::decode(&self.1, self.0.pmem(), self.1.desc(index), index)
    }
    pub(super) fn take_blocks(
        &self,
        op: &Operation<'_, P>,
        goal: u64,
        most: u32,
        why: Purpose,
    ) -> Result<Range<u64>> {
        let sb = &self.1;
        let mut s = self.2.lock();
        let first = sb.group_of_block(goal);
        for i in 0..=sb.group_count {
            let g = (first + i) % sb.group_count;
            let d = self.group(g)?;
            if d.is(BG_BLOCK_UNINIT) {
                continue;
            }
            let start = sb.first_block(g);
            let len = sb.group_blocks(g);
            let bitmap = op.change(d.block_bitmap)?;
            let free =
                |b: u64| bitmap.load_u8(b / 8) & 1 << (b % 8) == 0 && !s.pending.contains(&(start + b));
            let mut b = if i == 0 { goal - start } else { 0 };
            while b < len {
                if why == Purpose::HugePage {
                    let ph = self.0.pmem().frame(sb.byte(start + b));
                    if !ph.is_multiple_of(2 << 20) {
                        b += 1;
                        continue;
                    }
                    if b + 512 > len {
                        break;
                    }
                }
                let want = if why == Purpose::HugePage { 512 } else { most.into() };
                let n = (b..len.min(b + want)).take_while(|&b| free(b)).count() as u64;
                if n == 0 || why == Purpose::HugePage && n < 512 {
                    b += 1;
                    continue;
                }
                for b in b..b + n {
                    let byte = bitmap.load_u8(b / 8);
                    bitmap.store_u8(b / 8, byte | 1 << (b % 8));
                }
                *s.delta.entry(g).or_default() -= n as i64;
                return Ok(start + b..start + b + n);
            }
        }
        Err(Errno::NoSpace.into())
    }
    pub(super) fn free_blocks(&self, op: &Operation<'_, P>, range: Range<u64>) -> Result<()> {
        let sb = &self.1;
        let mut s = self.2.lock();
        for block in range.clone() {
            let g = sb.group_of_block(block);
            let d = self.group(g)?;
            let bitmap = op.change(d.block_bitmap)?;
            let b = block - sb.first_block(g);
            let byte = bitmap.load_u8(b / 8);
            if byte & 1 << (b % 8) == 0 {
                return Err(Corrupt::new("block bitmap", g.into(), "free already").into());
            }
            bitmap.store_u8(b / 8, byte & !(1 << (b % 8)));
            *s.delta.entry(g).or_default() += 1;
            s.pending.insert(block);
        }
        op.handle().free(range);
        Ok(())
    }
    pub(super) fn reusable(&self, ranges: &[Range<u64>]) {
        let mut s = self.2.lock();
        for r in ranges {
            for b in r.clone() {
                s.pending.remove(&b);
            }
        }
    }
    pub(super) fn take_inode(&self, op: &Operation<'_, P>, parent: u32, is_dir: bool) -> Result<u32> {
        let sb = &self.1;
        let mut s = self.2.lock();
        for i in 0..sb.group_count {
            let g = (sb.group_of_inode(parent) + i) % sb.group_count;
            let d = self.group(g)?;
            if d.is(BG_INODE_UNINIT) {
                continue;
            }
            let bitmap = op.change(d.inode_bitmap)?;
            for b in 0..sb.inodes_per_group {
                let ino = g * sb.inodes_per_group + b + 1;
                let byte = bitmap.load_u8((b / 8).into());
                if ino >= sb.first_ino && byte & 1 << (b % 8) == 0 {
                    bitmap.store_u8((b / 8).into(), byte | 1 << (b % 8));
                    s.used.insert(ino, true);
                    let e = s.inodes.entry(g).or_default();
                    e.0 -= 1;
                    e.1 += i64::from(is_dir);
                    e.2 = e.2.max(b + 1);
                    return Ok(ino);
                }
            }
        }
        Err(Errno::NoSpace.into())
    }
    pub(super) fn free_inode(&self, op: &Operation<'_, P>, ino: u32, is_dir: bool) -> Result<()> {
        let sb = &self.1;
        let mut s = self.2.lock();
        let g = sb.group_of_inode(ino);
        let d = self.group(g)?;
        let bitmap = op.change(d.inode_bitmap)?;
        let b = (ino - 1) % sb.inodes_per_group;
        let byte = bitmap.load_u8((b / 8).into());
        if byte & 1 << (b % 8) == 0 {
            return Err(Corrupt::new("inode bitmap", g.into(), "free already").into());
        }
        bitmap.store_u8((b / 8).into(), byte & !(1 << (b % 8)));
        s.used.insert(ino, false);
        let e = s.inodes.entry(g).or_default();
        e.0 += 1;
        e.1 -= i64::from(is_dir);
        Ok(())
    }
    pub(super) fn free(&self) -> (u64, u64) {
        let s = self.2.lock();
        let (mut b, mut i) = (0_i64, 0);
        for g in 0..self.1.group_count {
            if let Ok(d) = self.group(g) {
                b += i64::from(d.free_blocks) + s.delta.get(&g).copied().unwrap_or(0);
                i += (i64::from(d.free_inodes) + s.inodes.get(&g).map_or(0, |e| e.0)) as u64;
            }
        }
        (b as u64, i)
    }
    pub(super) fn seal(&self, handle: &Handle<'_, P>) -> Result<()> {
        let sb = &self.1;
        let deltas = core::mem::take(&mut self.2.lock().delta);
        for (g, delta) in deltas {
            let d = self.group(g)?;
            let at = sb.desc(g);
            let buffer = handle.change(at >> sb.block_bits)?;
            let at = at & (sb.block_size() - 1);
            let free = (i64::from(buffer.load_u16(at + BG_FREE_BLOCKS_COUNT)) + delta) as u16;
            buffer.store_u16(at + BG_FREE_BLOCKS_COUNT, free);
            if let Some(seed) = sb.seed {
                let bitmap = handle.change(d.block_bitmap)?;
                let crc = checksum::bitmap(seed, &*bitmap, 0, sb.blocks_per_group, 1 << sb.desc_bits);
                buffer.store_u16(at + BG_BLOCK_BITMAP_CSUM, crc as u16);
                if sb.desc_bits >= 6 {
                    buffer.store_u16(at + BG_BLOCK_BITMAP_CSUM_HI, (crc >> 16) as u16);
                }
                buffer.store_u16(
                    at + BG_CHECKSUM,
                    checksum::descriptor(seed, g, &*buffer, at, 1 << sb.desc_bits),
                );
            }
        }
        let inodes = core::mem::take(&mut self.2.lock().inodes);
        for (g, (free, dirs, last)) in inodes {
            let d = self.group(g)?;
            let at = sb.desc(g);
            let buffer = handle.change(at >> sb.block_bits)?;
            let at = at & (sb.block_size() - 1);
            buffer.store_u16(
                at + BG_FREE_INODES_COUNT,
                (i64::from(buffer.load_u16(at + BG_FREE_INODES_COUNT)) + free) as u16,
            );
            buffer.store_u16(
                at + BG_USED_DIRS_COUNT,
                (i64::from(buffer.load_u16(at + BG_USED_DIRS_COUNT)) + dirs) as u16,
            );
            if let Some(seed) = sb.seed {
                let unused =
                    u32::from(buffer.load_u16(at + BG_ITABLE_UNUSED)).min(sb.inodes_per_group - last);
                buffer.store_u16(at + BG_ITABLE_UNUSED, unused as u16);
                let bitmap = handle.change(d.inode_bitmap)?;
                let crc = checksum::bitmap(seed, &*bitmap, 0, sb.inodes_per_group, 1 << sb.desc_bits);
                buffer.store_u16(at + BG_INODE_BITMAP_CSUM, crc as u16);
                if sb.desc_bits >= 6 {
                    buffer.store_u16(at + BG_INODE_BITMAP_CSUM_HI, (crc >> 16) as u16);
                }
                buffer.store_u16(
                    at + BG_CHECKSUM,
                    checksum::descriptor(seed, g, &*buffer, at, 1 << sb.desc_bits),
                );
            }
        }
        Ok(())
    }
    pub(super) fn is_inode_in_use(&self, ino: u32) -> Result<bool> {
        if let Some(&used) = self.2.lock().used.get(&ino) {
            return Ok(used);
        }
        let d = self.group(self.1.group_of_inode(ino))?;
        let slot = u64::from((ino - 1) % self.1.inodes_per_group);
        Ok(!d.is(BG_INODE_UNINIT)
            && self.0.pmem().load_u8(self.1.byte(d.inode_bitmap) + slot / 8) & 1 << (slot % 8) != 0)
    }
    pub(super) fn has_pending(&self) -> bool {
        !self.2.lock().pending.is_empty()
    }
}
