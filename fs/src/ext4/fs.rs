//! A mounted file system: what its handles share.

use super::alloc::BlockGroups;
use super::disk::checksum;
use super::disk::descriptor::Group;
use super::disk::superblock::SuperBlock;
use super::inode::{Ext4Inode, expect_checksum};
use super::meta::{Checked, MetaBlock, Overlay};
use super::names::death::Orphans;
use super::operation::Unsealed;
use super::zone::Zone;
use crate::atomic::{AtomicBool, AtomicU32};
use crate::error::{Corrupt, Errno, Result};
use crate::ext::cache::Cache;
use crate::ext::features::ReadOnlyReason;
use crate::ext::geometry::on_error_of;
use crate::ext::indirect::Reach;
use crate::ext::journal::{self, Replayed};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::jbd2::Journal;
use crate::platform::{Mutex, Platform};
use crate::vfs::{Freeze, Frozen, OnError, StatFs, Thawed};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use once_cell::race::OnceBox;

/// A mounted ext4 file system.
///
/// A handle: what all handles share is [`Ext4Shared`]. The handle that [`mount`](fn@super::mount) returns
/// keeps inodes in memory that nobody holds; with it go those.
pub struct Ext4<P: Platform> {
    pub(super) shared: Arc<Ext4Shared<P>>,
    /// It is the one that [`mount`](fn@super::mount) returned.
    pub(super) is_first: bool,
}

impl<P: Platform> core::ops::Deref for Ext4<P> {
    type Target = Ext4Shared<P>;
    #[inline]
    fn deref(&self) -> &Ext4Shared<P> {
        &self.shared
    }
}

impl<P: Platform> Drop for Ext4<P> {
    fn drop(&mut self) {
        if self.is_first {
            self.unsealed.forget();
            self.forget_orphan_file();
            self.cache.close();
        }
    }
}

/// What all handles to a mounted file system share.
pub struct Ext4Shared<P: Platform> {
    pub(super) platform: Arc<P>,
    pub(super) sb: Arc<SuperBlock>,
    /// How far an indirect tree reaches.
    pub(super) reach: Reach,
    pub(super) cache: Cache<P, Ext4Inode<P>>,
    /// For each group what is known of its blocks.
    pub(super) checked: Box<[Checked]>,
    /// The blocks that no file may have; not looked for before the first map is.
    pub(super) structures: OnceBox<Zone>,
    /// The journal's, which no other file may have.
    pub(super) journal_zone: OnceBox<Zone>,
    /// The journal, if it is written.
    pub(super) journal: OnceBox<Journal<P>>,
    pub(super) groups: Arc<BlockGroups<P>>,
    /// What the next commit is to write, besides blocks.
    pub(super) unsealed: Arc<Unsealed<P>>,
    /// Nothing may be changed: asked for, forced, or unmounted.
    pub(super) unwritable: AtomicBool,
    /// Changes wait while it is frozen.
    pub(super) freeze: Freeze<P>,
    /// Who renames or removes directories.
    pub(super) rename: Mutex<P, ()>,
    pub(super) orphans: Mutex<P, Orphans<P>>,
    /// Held by who reads or changes a block of attributes: several inodes may share it.
    pub(super) attributes: Mutex<P, ()>,
    /// Who writes an inode to its table, in a transaction.
    pub(super) sealing: Mutex<P, ()>,
    pub(super) next_generation: AtomicU32,
    /// The proof that it is, for the thaw.
    pub(super) ice: Mutex<P, Option<Frozen<P>>>,
    /// It serves to find the journal that is to be replayed, and nothing else.
    pub(super) is_before_replay: bool,
    /// What a journal holds that is not replayed.
    pub(super) overlay: Option<Overlay>,
    pub(super) replayed: Option<Replayed>,
    pub(super) reason: Option<ReadOnlyReason>,
    /// A contradiction was met.
    pub(super) errors: AtomicBool,
    /// What is done then: as `s_errors` numbers it.
    pub(super) on_error: AtomicU32,
}

/// Where an inode is.
pub(super) struct InodePlace {
    /// The block of its group's table.
    pub block: u64,
    /// Its first byte there.
    pub at: u64,
    pub group: Group,
}

impl<P: Platform> Ext4<P> {
    /// Returns another handle, for an inode.
    #[inline]
    pub(super) fn share(&self) -> Self {
        Self { shared: self.shared.clone(), is_first: false }
    }

    /// Returns the superblock as it was at mount.
    pub fn super_block(&self) -> &SuperBlock {
        &self.sb
    }

    /// Returns why it is read-only, if it was from the start.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        self.reason
    }

    /// Returns what was done about a journal that was not empty.
    pub fn replayed(&self) -> Option<Replayed> {
        self.replayed
    }

    /// Returns true if a contradiction was met since the mount.
    pub fn met_errors(&self) -> bool {
        self.errors.load(SeqCst)
    }

    /// Tells whether the `count` blocks from `start` on may be inode `ino`'s: none of them belongs to the
    /// file system itself.
    pub(super) fn may_be_a_files(&self, ino: u32, start: u64, count: u64) -> bool {
        !self.structures().meets(start, count)
            && (ino == self.sb.journal_inum || !self.journal_blocks().meets(start, count))
    }

    /// Returns the journal's blocks. Of one that cannot be read none are known.
    fn journal_blocks(&self) -> &Zone {
        self.journal_zone.get_or_init(|| {
            let mut blocks = Vec::new();
            if self.sb.journal_inum != 0 {
                let _ = self.noted(self.journal_runs(self.sb.journal_inum, &mut |run| blocks.push(run)));
            }
            Box::new(Zone::of(blocks))
        })
    }

    /// Calls `f` with each run of the blocks of the journal, which is inode `ino`, in order.
    ///
    /// # Errors
    /// Its map is wrong, or has a hole.
    pub(super) fn journal_runs(&self, ino: u32, f: &mut dyn FnMut(Range<u64>)) -> Result<()> {
        let inode = self.read_inode(ino)?;
        let (bits, size) = (self.sb.block_bits, inode.mapping.size());
        journal::runs(
            ino,
            "a hole in the journal",
            bits,
            |each| inode.map().extents(0..size >> bits, each),
            f,
        )
    }

    /// Returns space and inodes, used and free.
    pub(super) fn stat(&self) -> StatFs {
        self.counts(self.journal_blocks().blocks())
    }
}

impl<P: Platform> Ext4Shared<P> {
    /// Returns the descriptor of group `index`, checked.
    pub(super) fn group(&self, index: u32) -> Result<Group> {
        let what = "group descriptor";
        if index >= self.sb.group_count {
            return Err(Corrupt::new(what, index.into(), "no such group").into());
        }
        if self.journal.get().is_some() {
            return self.groups.descriptor(index);
        }
        let at = self.sb.desc(index);
        let (block, at) = (at >> self.sb.block_bits, at & (self.sb.block_size() - 1));
        let block = self.part(block, at..at + (1 << self.sb.desc_bits), what, index.into())?;
        match self.is_before_replay {
            true => Group::decode_places(&self.sb, &*block, at, index),
            false => Group::decode(&self.sb, &*block, at, index),
        }
    }

    /// Returns the blocks that hold the groups' structures.
    fn structures(&self) -> &Zone {
        self.structures.get_or_init(|| {
            let groups = (0..self.sb.group_count).map(|index| self.noted(self.group(index)).ok());
            Box::new(Zone::of_groups(&self.sb, groups))
        })
    }

    /// Returns what is done when a contradiction is met.
    pub(super) fn on_error(&self) -> OnError {
        on_error_of(self.on_error.load(Relaxed) as u16)
    }

    /// Remembers that a contradiction was met, and does what is to be done then. The next commit says so on
    /// the image.
    #[inline]
    pub(super) fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(crate::Error::Corrupt(what)) = result {
            self.note(what);
        }
        result
    }

    #[cold]
    fn note(&self, what: Corrupt) {
        self.errors.store(true, SeqCst);
        self.unsealed.note_error();
        let was_writable = self.check_writable().is_ok();
        let policy = self.on_error();
        if policy != OnError::Continue {
            self.unwritable.store(true, SeqCst);
        }
        match policy {
            OnError::Panic => self.platform.fatal(&what),
            OnError::ReadOnly if was_writable => self.platform.stopped(&what),
            _ => {}
        }
    }

    /// Begins a change: waits while the file system is frozen, refuses if it may not be changed. Called
    /// before the change's first lock; what is returned is held until the end of its last operation.
    pub(super) fn start_change(&self) -> Result<Thawed<'_, P>> {
        let thawed = self.freeze.start_change();
        self.check_writable().map(|()| thawed)
    }

    /// Refuses on a file system that may not be changed.
    #[inline]
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.unwritable.load(SeqCst) { Err(Errno::ReadOnly.into()) } else { Ok(()) }
    }

    /// Sums free blocks and free inodes over the descriptors that are right.
    pub(super) fn sum_free(&self) -> (u64, u64) {
        if self.journal.get().is_some() {
            return self.groups.free();
        }
        let groups = (0..self.sb.group_count).filter_map(|index| self.noted(self.group(index)).ok());
        groups.fold((0, 0), |(blocks, inodes), group| {
            let more = u64::from(group.free_blocks) << self.sb.cluster_bits;
            (blocks + more, inodes + u64::from(group.free_inodes))
        })
    }

    /// Returns space and inodes, used and free, as the groups count them.
    fn counts(&self, journal_blocks: u64) -> StatFs {
        let (blocks, inodes) = self.sum_free();
        let all = self.sb.blocks_count.saturating_sub(self.sb.overhead() + journal_blocks);
        let blocks = blocks.min(all);
        StatFs {
            block_size: self.sb.block_size(),
            blocks: all,
            blocks_free: blocks,
            blocks_available: blocks.saturating_sub(self.sb.r_blocks_count),
            inodes: self.sb.inodes_count.into(),
            inodes_free: inodes,
            label: self.sb.volume_name,
            uuid: self.sb.uuid,
        }
    }

    /// Returns where inode `ino` is.
    ///
    /// # Errors
    /// There is no such inode, or its group's descriptor is wrong.
    pub(super) fn place_of_inode(&self, ino: u32) -> Result<InodePlace> {
        self.sb.expect_ino(ino)?;
        let group = self.group(self.sb.group_of_inode(ino))?;
        let slot = u64::from((ino - 1) % self.sb.inodes_per_group);
        let bytes = slot * u64::from(self.sb.inode_size);
        let block = group.inode_table + (bytes >> self.sb.block_bits);
        Ok(InodePlace { block, at: bytes & (self.sb.block_size() - 1), group })
    }

    /// Tells whether inode `ino` of `group` is marked as in use. Without a readable bitmap, what has a name
    /// and links is.
    pub(super) fn is_in_use(&self, group: &Group, ino: u32) -> bool {
        let slot = (ino - 1) % self.sb.inodes_per_group;
        let is_set = |bitmap: &MetaBlock<'_, P>| bitmap.load_u8(u64::from(slot / 8)) & 1 << (slot % 8) != 0;
        if self.journal.get().is_some() {
            // The descriptor and the bitmap's checksum may be older than the bitmap.
            let bitmap = self.groups.bitmap_of_inode(ino).and_then(|block| {
                block.map(|block| self.meta(block, "inode bitmap", group.index.into())).transpose()
            });
            return match self.noted(bitmap) {
                Ok(bitmap) => bitmap.is_some_and(|bitmap| is_set(&bitmap)),
                Err(_) => true,
            };
        }
        if group.is(BG_INODE_UNINIT) || slot >= self.sb.inodes_per_group - group.unused_inodes {
            return false;
        }
        match self.noted(self.inode_bitmap(group)) {
            Ok(bitmap) => is_set(&bitmap),
            Err(_) => true,
        }
    }

    /// Returns the inode bitmap of `group`, whose checksum was looked at once.
    fn inode_bitmap(&self, group: &Group) -> Result<MetaBlock<'_, P>> {
        let (what, index) = ("inode bitmap", group.index.into());
        let bitmap = self.meta(group.inode_bitmap, what, index)?;
        let Some(seed) = self.sb.seed else { return Ok(bitmap) };
        // No inode has this number: whose it is, is a group's.
        self.check_once(group.inode_bitmap, u32::MAX - group.index, || {
            let size = 1 << self.sb.desc_bits;
            let real = checksum::bitmap(seed, &*bitmap, 0, self.sb.inodes_per_group, size);
            expect_checksum(what, index, group.inode_bitmap_csum, real)
        })?;
        Ok(bitmap)
    }
}
