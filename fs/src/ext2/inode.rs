//! An inode in memory: where its raw form is, its lock, and its fields, which are read and stored in place.
//!
//! # Locking
//! `i_size` and `i_links_count` change under the inode lock, held exclusively; `i_blocks` under the block-map
//! mutex.

use super::alloc::goals::Goals;
use super::alloc::taken::TakenInode;
use super::disk::descriptor::Group;
use super::facts::{LinksStored, NameGone, Nameless};
use super::fs::Ext2;
use super::names::nameindex::Names;
use crate::atomic::AtomicBool;
use crate::error::{Corrupt, Errno, Error, Result};
use crate::ext::cache::Cached;
use crate::ext::inode::{ATIME, CTIME, FaultTime, MTIME, RawInode, bad_inode};
use crate::ext::layout::*;
use crate::lab::mistake;
use crate::platform::{Mutex, Platform, Timestamp};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Dirty, Staged};
use crate::vfs::{
    AllocOk, Attr, ChangeOk, Exclusive, FileKind, InodeExclusive, InodeHeld, InodeLock, Mapping, SetAttr,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// An inode of a mounted ext2.
pub struct Ext2Inode<P: Platform> {
    pub(super) fs: Ext2<P>,
    pub(super) ino: u32,
    /// Byte offset of the raw inode.
    at: u64,
    pub(super) kind: FileKind,
    /// The inode lock.
    pub(super) lock: InodeLock<P>,
    pub(super) mapping: Mapping<P>,
    /// The block-map mutex.
    pub(super) map_lock: Mutex<P, Changes>,
    /// Where to look for the next blocks.
    pub(super) goals: Goals<P>,
    /// Nothing lies beyond `i_size`, though a crash or an error may have left something on this file system:
    /// see `BlockMap::trim`.
    pub(super) trimmed: AtomicBool,
    /// Evidence that it has no name, from whoever took the last one away.
    pub(super) nameless: Mutex<P, Option<Staged<Nameless, Clean>>>,
    /// Its drop has nothing to do: it was never initialised, or it is clean.
    stillborn: AtomicBool,
    /// There may be blocks beyond `i_size`, allocated ahead (`KEEP_SIZE`): freed when the inode leaves
    /// memory.
    pub(super) beyond: AtomicBool,
    /// The cache knows it no more.
    forgotten: AtomicBool,
    /// It was asked for since the cache last looked for one to let go.
    recent: AtomicBool,
    /// Its drop left something to do: see `freeze`.
    pub(super) left: bool,
    pub(super) fault_time: FaultTime,
    /// A directory's names.
    pub(super) names: Option<Arc<Names<P>>>,
}

/// What the block-map mutex guards: which pointers are stored, and `i_blocks`.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// How often something was published.
    pub count: u64,
}

impl<P: Platform> Ext2<P> {
    /// Returns the raw inode `ino`, which is in `1..=inodes_count`.
    pub(super) fn raw_inode(&self, ino: u32) -> Result<RawInode<'_, P::Pmem>> {
        self.sb.expect_ino(ino)?;
        Ok(self.raw_in(&self.groups().group(self.sb.group_of_inode(ino))?, ino))
    }

    /// The raw inode `ino`, whose group is known: its table lies in the group, and the slot in the table.
    fn raw_in(&self, group: &Group, ino: u32) -> RawInode<'_, P::Pmem> {
        self.raw_at(ino, group.inode(&self.sb, (ino - 1) % self.sb.inodes_per_group))
    }

    /// Returns the raw inode `ino`, which is at byte offset `at`.
    #[inline(always)]
    pub(super) fn raw_at(&self, ino: u32, at: u64) -> RawInode<'_, P::Pmem> {
        RawInode::new(self.pmem(), &self.sb, ino, at)
    }

    /// Returns inode `ino`, in memory or loaded. The caller found the number under a lock that keeps the
    /// inode from being freed.
    pub(super) fn inode(&self, ino: u32) -> Result<Arc<Ext2Inode<P>>> {
        self.cache.get(&self.platform, ino, || self.load_inode(ino))
    }

    /// Returns inode `ino` as [`inode`](Self::inode) does, of a number that somebody tells.
    ///
    /// # Errors
    /// [`Errno::NotFound`] for that of nothing: it is his mistake, not the image's.
    pub(super) fn inode_if_in_use(&self, ino: u64) -> Result<Arc<Ext2Inode<P>>> {
        let ino = self.sb.ino_of(ino)?;
        self.cache.get(&self.platform, ino, || match self.groups().inode_in_use(ino)? {
            true => self.load_inode(ino),
            false => Err(Errno::NotFound.into()),
        })
    }

    fn load_inode(&self, ino: u32) -> Result<Arc<Ext2Inode<P>>> {
        let wrong = |why| Err(Corrupt::new("inode", ino.into(), why).into());
        self.sb.expect_ino(ino)?;
        let group = self.groups().group(self.sb.group_of_inode(ino))?;
        let raw = self.raw_in(&group, ino);
        if self.sb.is_reserved(ino) {
            return wrong("a name leads to it, but it is reserved");
        }
        raw.expect_readable()?;
        // That the bitmap cannot be read is not this inode's fault: what has a name and a link is in use.
        let marked_free =
            self.groups().expect_inode_bitmap(&group).is_ok() && !self.groups().is_inode_in_use(&group, ino);
        if marked_free || raw.links() == 0 {
            return wrong("a name leads to it, but it is free");
        }
        raw.expect_native()?;
        let kind = raw.expect_kind()?;
        let size = raw.size(kind);
        let limit = match kind {
            FileKind::File => self.max_file_size(),
            // Holes are not allowed in a directory, so it cannot be larger than the file system.
            FileKind::Directory if !size.is_multiple_of(self.block_size()) => {
                return Err(bad_inode(ino, "bad size of a directory", size));
            }
            FileKind::Directory => self.byte(self.sb.blocks_count),
            FileKind::Symlink => self.block_size(),
            _ => u64::MAX,
        };
        let size = raw.size_within(size, kind, limit, !self.was_clean())?;
        Ok(Arc::new(Ext2Inode::new(self.share(), ino, raw.at, kind, size)))
    }

    /// Makes the handle of an inode that was taken just now, which nobody else knows.
    pub(super) fn new_handle(&self, taken: &TakenInode, kind: FileKind) -> Result<Arc<Ext2Inode<P>>> {
        let make = || Ok(Arc::new(Ext2Inode::new(self.share(), taken.ino, taken.at, kind, 0)));
        self.cache.get(&self.platform, taken.ino, make)
    }
}

impl<P: Platform> Ext2Inode<P> {
    pub(super) fn new(fs: Ext2<P>, ino: u32, at: u64, kind: FileKind, size: u64) -> Self {
        Self {
            fs,
            ino,
            at,
            kind,
            lock: InodeLock::new(),
            mapping: Mapping::new(size),
            map_lock: Mutex::<P, _>::new(Changes::default()),
            goals: Goals::new(),
            trimmed: AtomicBool::new(false),
            nameless: Mutex::<P, _>::new(None),
            stillborn: AtomicBool::new(false),
            beyond: AtomicBool::new(false),
            forgotten: AtomicBool::new(false),
            recent: AtomicBool::new(false),
            left: false,
            fault_time: FaultTime::default(),
            names: (kind == FileKind::Directory).then(|| Arc::new(Names::new())),
        }
    }

    /// Abandons the inode, which will not be: its number is given back, its last handle changes nothing.
    pub(super) fn abandon(&self) {
        self.stillborn.store(true, Relaxed);
        self.fs.cache.unkeep(self.ino);
    }

    #[inline]
    pub(super) fn pmem(&self) -> &P::Pmem {
        self.fs.pmem()
    }

    /// Returns the inode's fields.
    #[inline(always)]
    pub(super) fn raw(&self) -> RawInode<'_, P::Pmem> {
        self.fs.raw_at(self.ino, self.at)
    }

    /// Returns whether a mistake is to be made.
    #[cfg(feature = "lab")]
    #[inline]
    pub(super) fn has(&self, mutant: crate::lab::Mutant) -> bool {
        self.fs.platform.lab().has(mutant)
    }

    /// Makes a contradiction in this inode.
    pub(super) fn corrupt(&self, why: &'static str, value: u64) -> Error {
        bad_inode(self.ino, why, value)
    }

    /// Refuses what has no name any more: nothing is named in such a directory, nor is it named again.
    pub(super) fn expect_alive(&self) -> Result<()> {
        if self.links() == 0 { Err(Errno::NotFound.into()) } else { Ok(()) }
    }

    /// Returns `i_size`. Under the inode lock it is stable.
    #[inline]
    pub(super) fn load_size(&self) -> u64 {
        self.mapping.size()
    }

    /// Stores `i_size` and flushes it, so that at no time a crash shows a size below both the old and the new
    /// one: its halves are apart, and the larger upper half is on its own first.
    pub(super) fn store_size(&self, lock: ChangeOk<'_>, size: u64) -> Result<()> {
        let pmem = self.pmem();
        let (low, high) = (size as u32, (size >> 32) as u32);
        let store = |at, value| {
            pmem.store_u32(self.at + at, value);
            pmem.flush(self.at + at, 4);
        };
        if self.kind != FileKind::File {
            if high != 0 {
                return Err(Errno::FileTooBig.into());
            }
            store(I_SIZE, low);
            self.mapping.set_size(lock, size);
            return Ok(());
        }
        if size > i32::MAX as u64 {
            self.fs.super_in_place().need_large_file()?;
        }
        let old = pmem.load_u32(self.at + I_SIZE_HIGH);
        if high > old {
            store(I_SIZE_HIGH, high);
            pmem.fence();
        }
        store(I_SIZE, low);
        if high < old {
            pmem.fence();
            store(I_SIZE_HIGH, high);
        }
        self.mapping.set_size(lock, size);
        Ok(())
    }

    #[inline]
    pub(super) fn links(&self) -> u16 {
        self.raw().links()
    }

    /// Adds a link for a name to come, up to the format's limit.
    pub(super) fn raise_links(&self, lock: ChangeOk<'_>) -> Result<Staged<LinksStored, Dirty>> {
        let links = self.links();
        if links >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        Ok(self.store_links(lock, links + 1))
    }

    /// Stores `left` links, for a name is gone. An inode with none of them says from when on.
    pub(super) fn lose_name(
        &self,
        lock: ChangeOk<'_>,
        _gone: &Staged<NameGone, Clean>,
        left: u16,
        now: Timestamp,
    ) -> Staged<LinksStored, Dirty> {
        if left == 0 {
            // In the line of the links.
            self.pmem().store_u32(self.at + I_DTIME, (now.secs as u32).max(1));
        }
        self.touch(&[CTIME], now);
        self.store_links(lock, left)
    }

    /// Says that the last name is about to go: no link is left, and from when on. The directory with the name
    /// is locked too.
    pub(super) fn say_it_goes(&self, lock: ChangeOk<'_>, now: Timestamp) -> Staged<LinksStored, Dirty> {
        self.pmem().store_u32(self.at + I_DTIME, (now.secs as u32).max(1));
        self.touch(&[CTIME], now);
        self.store_links(lock, 0)
    }

    /// Stores the number of links.
    pub(super) fn store_links(&self, _lock: ChangeOk<'_>, links: u16) -> Staged<LinksStored, Dirty> {
        self.pmem().store_u16(self.at + I_LINKS_COUNT, links);
        Staged::stored(LinksStored(links), self.at + I_LINKS_COUNT, 2)
    }

    /// Lets the inode go with its last handle if the number of links, which is durable, is 0; the name is
    /// gone.
    pub(super) fn links_left(
        &self,
        lock: ChangeOk<'_>,
        stored: Staged<LinksStored, Clean>,
        _gone: &Staged<NameGone, Clean>,
    ) {
        if stored.fact().0 == 0 {
            if mistake!(self, FreeAtUnlink) {
                // Whoever looks through its handle finds a file of holes.
                let exclusive = self.mapping.exclusive();
                let _ = self.fs.noted(self.map().cut(lock, exclusive.alloc_ok(), 0));
            }
            *self.nameless.lock() = Some(stored.map(|_| Nameless));
            self.fs.cache.unkeep(self.ino);
        }
    }

    /// Refuses what one of `flags` forbids.
    #[inline]
    pub(super) fn expect_without(&self, flags: u32) -> Result<()> {
        if self.raw().flags() & flags == 0 { Ok(()) } else { Err(Errno::NotPermitted.into()) }
    }

    /// Returns the target of a symbolic link.
    pub(super) fn target(&self) -> Result<Vec<u8>> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::Invalid.into());
        }
        let (raw, block_size) = (self.raw(), self.fs.block_size());
        let len = raw.target_len(block_size)?;
        let from = if raw.is_fast_symlink(block_size) {
            raw.slot(0)
        } else {
            let block = self.map().find_metadata(0)?;
            self.fs.byte(block.ok_or_else(|| self.corrupt("a symbolic link without its block", len))?)
        };
        let mut target = alloc::vec![0; len as usize];
        self.pmem().read(from, &mut target);
        Ok(target)
    }

    /// Returns all attributes.
    pub(super) fn load_attr(&self, _lock: InodeHeld<'_>) -> Attr {
        let raw = self.raw();
        raw.attr(self.kind, self.load_size(), raw.units().into())
    }

    /// Changes attributes. They have no order among other stores; durable on return.
    pub(super) fn change_attr(&self, lock: ChangeOk<'_>, change: &SetAttr, now: Timestamp) {
        let pmem = self.pmem();
        if let Some(mode) = change.mode {
            let kind = self.raw().mode() & !0o7777;
            pmem.store_u16(self.at + I_MODE, kind | mode & 0o7777);
        }
        for (id, low, high) in [(change.uid, I_UID, I_UID_HIGH), (change.gid, I_GID, I_GID_HIGH)] {
            if let Some(id) = id {
                pmem.store_u16(self.at + low, id as u16);
                pmem.store_u16(self.at + high, (id >> 16) as u16);
            }
        }
        if change.atime.is_some() || change.mtime.is_some() {
            self.make_room_for_times(lock);
        }
        if let Some(time) = change.atime {
            self.touch(&[ATIME], time);
        }
        if let Some(time) = change.mtime {
            self.touch(&[MTIME], time);
        }
        self.touch(&[CTIME], now);
        pmem.flush(self.at, GOOD_OLD_INODE_SIZE.into());
        pmem.fence();
    }
}

impl<P: Platform> Cached for Ext2Inode<P> {
    #[inline]
    fn ino(&self) -> u32 {
        self.ino
    }

    #[inline]
    fn recent(&self) -> &AtomicBool {
        &self.recent
    }

    fn may_be_kept(&self) -> bool {
        self.links() != 0 && !self.beyond.load(Relaxed)
    }

    fn has_nothing_to_do(&self) -> bool {
        // A long directory may keep a run of blocks, which its drop would give back under locks.
        self.kind != FileKind::File && self.goals.are_idle()
    }

    fn detach(&self) {
        self.stillborn.store(true, Relaxed);
        self.forgotten.store(true, Relaxed);
    }
}

impl<P: Platform> Ext2Inode<P> {
    /// Takes the inode lock and the invalidate lock exclusively: nobody else uses its blocks.
    pub(super) fn alone(&self) -> (InodeExclusive<'_, P>, Exclusive<'_, P>) {
        (self.lock.exclusive(), self.mapping.exclusive())
    }

    /// Makes the dirty pages durable; a store that follows faults.
    pub(super) fn flush_dirty(&self) -> Result<()> {
        let lock = self.mapping.exclusive();
        let flushed = self
            .mapping
            .write_back_all(&self.fs.platform, lock.held(), 0..u64::MAX, |page| self.map().place(page))?;
        if flushed > 0 {
            self.pmem().fence();
        }
        Ok(())
    }

    /// Takes the pages that lie at `place`, bytes of the region, out of every address space, after what was
    /// stored to others around them is durable.
    pub(super) fn unmap_place(&self, place: Range<u64>) -> Result<()> {
        let lblks = self.load_size().div_ceil(self.fs.block_size());
        self.mapping.unmap_place(&self.fs.platform, place, |f| self.map().extents(0..lblks, f))
    }

    /// Frees the inode and all that it holds: it has durably no name, and no handle any more.
    pub(super) fn release(&self, nameless: Staged<Nameless, Clean>) -> Result<()> {
        let (pmem, lock) = (self.pmem(), ChangeOk::nobody_else());
        // 1. Its blocks.
        let has_blocks = matches!(self.kind, FileKind::File | FileKind::Directory | FileKind::Symlink);
        let in_place = self.kind == FileKind::Symlink && self.raw().is_fast_symlink(self.fs.block_size());
        if has_blocks && !in_place && self.map().has_pointers() {
            self.store_size(lock, 0)?;
            self.map().cut(lock, AllocOk::of_unmapped(lock), 0)?;
        }
        // 2. Its share of an attribute block.
        self.xattrs().release(lock)?;
        // 3. The inode. A pointer that is gone is so durably: what was freed came after.
        self.fs.groups().free_inode(self.ino, self.kind, nameless)?;
        pmem.fence();
        Ok(())
    }

    /// What the last handle leaves to do.
    fn finish(&mut self) -> Result<()> {
        let nameless = self.nameless.get_mut().take();
        if nameless.is_none() {
            // Nobody has a handle: the lock is there for the asking.
            self.flush_dirty()?;
            if !*self.beyond.get_mut() {
                return Ok(());
            }
        }
        // The handle: `self` is needed as a whole.
        let fs = self.fs.share();
        if fs.stopped.load(SeqCst) {
            // What is left is for a repair.
            return Ok(());
        }
        let Some(_thawed) = fs.freeze.try_change() else {
            self.leave_for_later(nameless);
            return Ok(());
        };
        match nameless {
            // An error leaks its blocks and its number, which hurts nobody.
            Some(nameless) => self.release(nameless),
            None => {
                let lock = ChangeOk::nobody_else();
                self.map().cut_beyond(lock, AllocOk::of_unmapped(lock))
            }
        }
    }
}

/// The last handle is gone: an inode without a name is freed; what was stored to another through mappings and
/// not synced is flushed, for afterwards nobody knows that it is dirty; blocks beyond the end are freed.
/// Nobody is there to be told if that fails; the error is noted on the file system.
impl<P: Platform> Drop for Ext2Inode<P> {
    fn drop(&mut self) {
        if !*self.stillborn.get_mut() {
            let result = self.finish();
            let _ = self.fs.noted(result);
        }
        self.map().forget_goals();
        if let Some(names) = &self.names {
            let index = names.index.write().take();
            self.fs.names.drop_index(index);
        }
        if !*self.forgotten.get_mut() {
            self.fs.cache.forget(self);
        }
        // Whoever froze it may have looked for the last time before it was left to him.
        if self.left
            && let Some(_thawed) = self.fs.freeze.try_change()
        {
            let result = self.fs.freezer().finish_late();
            let _ = self.fs.noted(result);
        }
    }
}
