//! What is remembered of a block group: its counts, which its descriptor gets with a commit, and which of its
//! freed blocks are kept back.

use crate::error::{Corrupt, Errno, Result};
use crate::ext::layout::*;
use crate::ext::unreadable;
use crate::ext4::disk::checksum;
use crate::ext4::disk::descriptor::Group;
use crate::ext4::disk::superblock::SuperBlock;
use crate::ext4::operation::Ext4Operation;
use crate::jbd2::{BufferMut, Handle};
use crate::platform::Platform;
use crate::pmem::Pmem;
use alloc::vec::Vec;

use super::bits::GroupBits;

/// A group, whose descriptor and bitmaps were checked.
pub(super) struct WrittenGroup {
    /// Its descriptor as it was loaded: where its structures are.
    pub group: Group,
    /// Blocks in it.
    pub group_blocks: u32,
    pub free_blocks: u32,
    pub free_inodes: u32,
    /// Inodes at the end of its table that were never in use.
    pub unused_inodes: u32,
    pub directories: u32,
    flags: u16,
    /// No block before this one is free, and no inode.
    pub first_free: u32,
    pub first_free_inode: u32,
    /// Blocks that are freed by a transaction which is not durable: a bit each, or nothing at all.
    pub kept_back: Vec<u64>,
    /// The next commit is to write its descriptor, and the checksums of what changed.
    pub is_unsealed: bool,
    pub has_new_blocks: bool,
    pub has_new_inodes: bool,
}

/// A number in two halves, of a descriptor.
type Halves = (u64, u64);

const BLOCKS_CSUM: Halves = (BG_BLOCK_BITMAP_CSUM, BG_BLOCK_BITMAP_CSUM_HI);
const INODES_CSUM: Halves = (BG_INODE_BITMAP_CSUM, BG_INODE_BITMAP_CSUM_HI);

/// Stores `value` where a descriptor at `at` has these halves.
fn store(bytes: &BufferMut<'_>, sb: &SuperBlock, at: u64, (low, high): Halves, value: u32) {
    bytes.store_u16(at + low, value as u16);
    if sb.desc_bits >= 6 {
        bytes.store_u16(at + high, (value >> 16) as u16);
    }
}

/// Returns the checksum of a bitmap of so many bits.
fn bitmap_checksum(sb: &SuperBlock, bytes: &impl crate::ext::load::Load, at: u64, bits: u32) -> Option<u32> {
    sb.seed.map(|seed| checksum::bitmap(seed, bytes, at, bits, 1 << sb.desc_bits))
}

impl WrittenGroup {
    /// Reads and checks the descriptor of group `index` at home: nothing changes it before the group is
    /// loaded.
    ///
    /// # Errors
    /// [`Corrupt`]: it is damaged.
    pub(super) fn descriptor(pmem: &impl Pmem, sb: &SuperBlock, index: u32) -> Result<Group> {
        let at = sb.desc(index);
        match pmem.poisoned(at, 1 << sb.desc_bits) {
            Some(bad) => Err(unreadable("group descriptor", index.into(), bad)),
            None => Group::decode(sb, pmem, at, index),
        }
    }

    /// Reads and checks group `index`.
    ///
    /// # Errors
    /// [`Corrupt`]: its descriptor or a bitmap is damaged, or has another count than it tells.
    pub(super) fn load(pmem: &impl Pmem, sb: &SuperBlock, index: u32) -> Result<Self> {
        let (at, group) = (sb.desc(index), Self::descriptor(pmem, sb, index)?);
        let is_wide = sb.desc_bits >= 6;
        let two = |(low, high): Halves| {
            let above = if is_wide { u32::from(pmem.load_u16(at + high)) } else { 0 };
            above << 16 | u32::from(pmem.load_u16(at + low))
        };
        let group_blocks = sb.group_blocks(index) as u32;
        let bitmaps = [
            ("block bitmap", group.block_bitmap, BG_BLOCK_UNINIT, BLOCKS_CSUM, sb.blocks_per_group),
            ("inode bitmap", group.inode_bitmap, BG_INODE_UNINIT, INODES_CSUM, sb.inodes_per_group),
        ];
        let counts = [(group_blocks, group.free_blocks), (sb.inodes_per_group, group.free_inodes)];
        for ((what, block, uninit, csum, bits), (count, free)) in bitmaps.into_iter().zip(counts) {
            if group.is(uninit) {
                continue;
            }
            let start = sb.byte(block);
            if let Some(bad) = pmem.poisoned(start, sb.block_size()) {
                return Err(unreadable(what, index.into(), bad));
            }
            if let Some(real) = bitmap_checksum(sb, pmem, start, bits) {
                crate::ext4::inode::expect_checksum(what, index.into(), two(csum), real)?;
            }
            let clear: u32 = (0..count.div_ceil(64))
                .map(|word| {
                    let last = count - word * 64;
                    let mask = if last >= 64 { u64::MAX } else { (1 << last) - 1 };
                    (!pmem.load_u64(start + u64::from(word) * 8) & mask).count_ones()
                })
                .sum();
            if clear != free {
                let why = "another count of free bits than the descriptor's";
                return Err(Corrupt::against(what, index.into(), why, clear.into(), free.into()).into());
            }
        }
        Ok(Self {
            group_blocks,
            free_blocks: group.free_blocks,
            free_inodes: group.free_inodes,
            unused_inodes: group.unused_inodes,
            directories: two((BG_USED_DIRS_COUNT, BG_USED_DIRS_COUNT_HI)),
            flags: group.flags,
            group,
            first_free: 0,
            first_free_inode: 0,
            kept_back: Vec::new(),
            is_unsealed: false,
            has_new_blocks: false,
            has_new_inodes: false,
        })
    }

    /// Tells whether its inode bitmap was never written.
    pub(super) fn has_no_inode_bitmap(&self) -> bool {
        self.flags & BG_INODE_UNINIT != 0
    }

    /// Sees to memory for bits of blocks that are kept back.
    ///
    /// # Errors
    /// [`Errno::NoMemory`]
    pub(super) fn make_room_to_keep_back(&mut self, sb: &SuperBlock) -> Result<()> {
        if self.kept_back.is_empty() {
            let words = sb.blocks_per_group.div_ceil(64) as usize;
            self.kept_back.try_reserve_exact(words).map_err(|_| Errno::NoMemory)?;
            self.kept_back.resize(words, 0);
        }
        Ok(())
    }

    /// Returns the block bitmap, to change it. One that was never written is made.
    ///
    /// # Errors
    /// It cannot be read; the journal was given up; a descriptor is damaged.
    pub(super) fn block_bitmap<'h, P: Platform>(
        &mut self,
        op: &'h Ext4Operation<'_, P>,
        platform: &P,
        sb: &SuperBlock,
    ) -> Result<BufferMut<'h>> {
        let block = self.group.block_bitmap;
        if self.flags & BG_BLOCK_UNINIT == 0 {
            return op.change(block);
        }
        // What is in use of it are structures: its own, and others' that lie in it.
        let start = sb.first_block(self.group.index);
        let own = start..start + u64::from(self.group_blocks);
        let mut used = alloc::vec![start..start + u64::from(sb.front_blocks(self.group.index))];
        for index in 0..sb.group_count {
            let group = Group::decode_places(sb, platform.pmem(), sb.desc(index), index)?;
            let one = |block: u64| block..block + 1;
            used.extend([one(group.block_bitmap), one(group.inode_bitmap), group.table(sb)]);
        }
        let bitmap = op.create(block)?;
        let bits = GroupBits::new(&bitmap, &[]);
        for range in used {
            let inside = range.start.max(own.start)..range.end.min(own.end);
            if !inside.is_empty() {
                bits.set((inside.start - start) as u32..(inside.end - start) as u32);
            }
        }
        bits.set(self.group_blocks..sb.block_size() as u32 * 8);
        self.flags &= !BG_BLOCK_UNINIT;
        self.has_new_blocks = true;
        Ok(bitmap)
    }

    /// Returns the inode bitmap, to change it. One that was never written is made.
    ///
    /// # Errors
    /// It cannot be read; the journal was given up.
    pub(super) fn inode_bitmap<'h, P: Platform>(
        &mut self,
        op: &'h Ext4Operation<'_, P>,
        sb: &SuperBlock,
    ) -> Result<BufferMut<'h>> {
        let block = self.group.inode_bitmap;
        if self.flags & BG_INODE_UNINIT == 0 {
            return op.change(block);
        }
        let bitmap = op.create(block)?;
        GroupBits::new(&bitmap, &[]).set(sb.inodes_per_group..sb.block_size() as u32 * 8);
        self.flags &= !BG_INODE_UNINIT;
        self.has_new_inodes = true;
        Ok(bitmap)
    }

    /// Writes what changed to the descriptor, in the transaction of `handle`.
    ///
    /// # Errors
    /// A block cannot be read; the journal was given up.
    pub(super) fn seal<P: Platform>(&mut self, handle: &Handle<'_, P>, sb: &SuperBlock) -> Result<()> {
        let (index, at) = (self.group.index, sb.desc(self.group.index));
        let (bytes, at) = (handle.change(at >> sb.block_bits)?, at & (sb.block_size() - 1));
        store(&bytes, sb, at, (BG_FREE_BLOCKS_COUNT, BG_FREE_BLOCKS_COUNT_HI), self.free_blocks);
        store(&bytes, sb, at, (BG_FREE_INODES_COUNT, BG_FREE_INODES_COUNT_HI), self.free_inodes);
        store(&bytes, sb, at, (BG_USED_DIRS_COUNT, BG_USED_DIRS_COUNT_HI), self.directories);
        let bitmaps = [
            (self.has_new_blocks, self.group.block_bitmap, BLOCKS_CSUM, sb.blocks_per_group),
            (self.has_new_inodes, self.group.inode_bitmap, INODES_CSUM, sb.inodes_per_group),
        ];
        for (_, block, csum, bits) in bitmaps.into_iter().filter(|(is_new, ..)| *is_new) {
            if let Some(real) = bitmap_checksum(sb, &*handle.change(block)?, 0, bits) {
                store(&bytes, sb, at, csum, real);
            }
        }
        // Without checksums nobody keeps these; and what has the older ones (`uninit_bg`) is not written.
        if let Some(seed) = sb.seed {
            bytes.store_u16(at + BG_FLAGS, self.flags);
            store(&bytes, sb, at, (BG_ITABLE_UNUSED, BG_ITABLE_UNUSED_HI), self.unused_inodes);
            let real = checksum::descriptor(seed, index, &*bytes, at, 1 << sb.desc_bits);
            bytes.store_u16(at + BG_CHECKSUM, real);
        }
        (self.is_unsealed, self.has_new_blocks, self.has_new_inodes) = (false, false, false);
        Ok(())
    }
}
