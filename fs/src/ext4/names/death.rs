//! Inodes that end: with the last name an inode becomes an orphan, in the same operation; with the last
//! handle what it holds is freed, and it, too.
//!
//! ```text
//! last name ──► orphan ──► last handle ──► blocks, a step at a time ──► attributes, orphan no more, free
//!                 │
//!                 └─ a crash, or a file system that cannot be changed then: the next mount
//! ```
//!
//! Freeing many blocks takes several operations, each of which leaves a sound tree. A file that is cut to its
//! size in steps is an orphan meanwhile, too. While the file system is frozen a drop changes nothing: whoever
//! froze it, or thaws it, does that later.
//!
//! # Locking
//! The mutex of the orphans comes after the operation, and before whatever the journal has.

use super::blocks::BLOCK;
use crate::error::{Corrupt, Error, Result, Unsupported};
use crate::ext::inode::CTIME;
use crate::ext::journal::runs;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::ext4::change::{EditBytes, InodeChange};
use crate::ext4::disk::checksum;
use crate::ext4::disk::extent::ALL;
use crate::ext4::edit::{Change, Edit};
use crate::ext4::fs::{Ext4, Ext4Shared};
use crate::ext4::inode::{Ext4Inode, InodeCopy};
use crate::ext4::map::Unfinished;
use crate::ext4::operation::Ext4Operation;
use crate::ext4::orphans::*;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use crate::vfs::{ChangeOk, FileKind};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

/// Blocks that an operation changes which makes an inode an orphan, or takes it off: those of either way, and
/// the inode's place.
pub(in crate::ext4) const ORPHAN: u32 = CHANGED_BY_LIST + CHANGED_BY_FILE + 1;
/// Blocks that the last operation on an inode changes: its place, bit and group's counts; its attributes.
const END: u32 = 3 + BLOCK + ORPHAN;

/// The orphan file's inode, and what is known of its blocks.
type OrphanFileInode<P> = (Ext4Inode<P>, OrphanFile);

/// Where in it each orphan is.
type Slots = BTreeMap<u32, OrphanSlot>;

/// The orphans of a mounted file system.
pub(in crate::ext4) struct Orphans<P: Platform> {
    list: OrphanList,
    /// What is in memory of those on the list, each of which may have to lead to another one.
    listed: BTreeMap<u32, InodeCopy>,
    file: Option<OrphanFileInode<P>>,
    /// Where in the file those are that are not on the list.
    slots: Slots,
    /// Those whose last handle went while nothing was to be changed.
    late: Vec<u32>,
    /// How many the mount has freed, and how many it has cut to their size.
    pub(in crate::ext4) found: (u32, u32),
    /// Why it has left some, if it has: nothing is to be changed then.
    pub(in crate::ext4) refused: Option<Error>,
}

impl<P: Platform> Default for Orphans<P> {
    fn default() -> Self {
        let (list, listed, slots) = (OrphanList::default(), BTreeMap::new(), BTreeMap::new());
        Self { list, listed, file: None, slots, late: Vec::new(), found: (0, 0), refused: None }
    }
}

impl<P: Platform> Orphans<P> {
    /// Tells whether there is none.
    pub(in crate::ext4) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.slots.is_empty()
    }

    /// Tells whether there may be one in the orphan file, as the next mount has to know.
    pub(in crate::ext4) fn may_be_in_file(&self) -> bool {
        !self.slots.is_empty() || self.refused.is_some()
    }
}

impl<P: Platform> Ext4Shared<P> {
    /// Forgets the orphan file: the file system goes away, of which that has a handle.
    pub(in crate::ext4) fn forget_orphan_file(&self) {
        let file = self.orphans.lock().file.take();
        drop(file);
    }
}

impl<P: Platform> Ext4<P> {
    /// Reads which inodes are orphans since before the mount, and frees them, or cuts them to their size.
    /// Where the image says that it has errors, the list is forgotten, as Linux does: e2fsck finds them.
    ///
    /// # Errors
    /// Damage: those that are left stay what they are.
    pub(in crate::ext4) fn end_orphans(&self) -> Result<()> {
        let sb = &self.sb;
        let first = {
            let op = self.begin(1)?;
            let (superblock, at) = op.super_block()?;
            if superblock.load_u16(at + S_STATE) & ERROR_FS != 0 {
                superblock.store_u32(at + S_LAST_ORPHAN, 0);
                return Ok(());
            }
            superblock.load_u32(at + S_LAST_ORPHAN)
        };
        // 1. All of them, before anything changes.
        let list = OrphanList::read(sb, first, &mut |ino| {
            self.expect_in_use(ino)?;
            Ok(self.read_inode(ino)?.raw().dtime())
        })?;
        let (mut file, mut slots) = (None, Slots::new());
        if sb.orphan_file_inum != 0 {
            let (read, found) = self.read_orphan_file()?;
            found.keys().try_for_each(|&ino| self.expect_in_use(ino))?;
            (file, slots) = (Some(read), found);
        }
        let mut left: Vec<u32> = slots.keys().copied().collect();
        *self.orphans.lock() = Orphans { list, slots, file, ..Orphans::default() };
        // 2. One after the other, the list from its first on.
        loop {
            let first = self.orphans.lock().list.first();
            let Some(ino) = Some(first).filter(|&ino| ino != 0).or_else(|| left.pop()) else { return Ok(()) };
            let inode = self.orphan(ino)?;
            let is_freed = inode.links() == 0;
            if is_freed {
                inode.release()?
            } else {
                inode.cut_to_size()?
            }
            let (freed, cut) = &mut self.orphans.lock().found;
            *(if is_freed { freed } else { cut }) += 1;
        }
    }

    fn expect_in_use(&self, ino: u32) -> Result<()> {
        let place = self.place_of_inode(ino)?;
        match self.is_in_use(&place.group, ino) {
            true => Ok(()),
            false => Err(Corrupt::new("orphan", ino.into(), "it is free").into()),
        }
    }

    /// Returns the orphan file, and the orphans there.
    fn read_orphan_file(&self) -> Result<(OrphanFileInode<P>, Slots)> {
        let inode = self.read_inode(self.sb.orphan_file_inum)?;
        let (bits, mut numbers) = (self.sb.block_bits, Vec::new());
        let lblks = 0..inode.mapping.size() >> bits;
        runs(inode.ino, "a hole in the orphan file", bits, |f| inode.map().extents(lblks, f), &mut |run| {
            numbers.extend(run)
        })?;
        let op = self.begin(0)?;
        let (blocks, found) =
            OrphanFile::read(&InodeChange::new(&op, &inode), &self.sb, numbers.into_iter())?;
        drop(op);
        Ok(((inode, blocks), found.into_iter().collect()))
    }

    /// Returns orphan `ino`, which is not in memory.
    fn orphan(&self, ino: u32) -> Result<Ext4Inode<P>> {
        let mut orphans = self.orphans.lock();
        let inode = self.read_inode(ino)?;
        if !orphans.slots.contains_key(&ino) {
            orphans.listed.insert(ino, inode.copy());
        }
        Ok(inode)
    }

    /// Frees the inodes whose last handles went while nothing was to be changed. No change but the caller's
    /// is on its way, or the caller holds a proof of his own that nothing is frozen.
    ///
    /// # Errors
    /// The first that is met; all are tried.
    pub(in crate::ext4) fn finish_late(&self) -> Result<()> {
        let mut result = Ok(());
        loop {
            let Some(ino) = self.orphans.lock().late.pop() else { return result };
            let one = self.orphan(ino).and_then(|inode| inode.release());
            if result.is_ok() {
                result = one;
            }
        }
    }
}

impl<P: Platform> Ext4Inode<P> {
    // -- Orphans

    /// Makes it an orphan in `op`, if it is none.
    ///
    /// # Errors
    /// No memory; damage. Nothing was changed.
    pub(in crate::ext4) fn add_orphan(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        let mut orphans = self.fs.orphans.lock();
        let Orphans { list, listed, file, slots, .. } = &mut *orphans;
        if listed.contains_key(&self.ino) || slots.contains_key(&self.ino) {
            return Ok(());
        }
        if let Some((inode, blocks)) = file
            && let Some(slot) = blocks.add(&InodeChange::new(op, inode), self.ino)?
        {
            slots.insert(self.ino, slot);
            return Ok(());
        }
        self.copy().expect_place(op)?;
        let (superblock, at) = op.super_block()?;
        list.add(self.ino, (&EditBytes(superblock), at), (&self.edit(), 0))?;
        listed.insert(self.ino, self.copy());
        self.mark(op)
    }

    /// Makes it no orphan any more in `op`, if it is one.
    ///
    /// # Errors
    /// Damage. Nothing was changed.
    pub(in crate::ext4) fn remove_orphan(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        let mut orphans = self.fs.orphans.lock();
        let Orphans { list, listed, file, slots, .. } = &mut *orphans;
        if let Some((&slot, (inode, blocks))) = slots.get(&self.ino).zip(file.as_mut()) {
            blocks.remove(&InodeChange::new(op, inode), slot, self.ino)?;
            slots.remove(&self.ino);
            return Ok(());
        }
        self.copy().expect_place(op)?;
        match list.holder(self.ino) {
            None => return Ok(()),
            Some(OrphanHolder::SuperBlock) => {
                let (superblock, at) = op.super_block()?;
                list.remove(self.ino, (&EditBytes(superblock), at));
            }
            Some(OrphanHolder::Inode(newer)) => {
                let gone = || Corrupt::new("orphan", newer.into(), "it is not in memory");
                let holder = listed.get(&newer).ok_or_else(gone)?;
                holder.expect_place(op)?;
                list.remove(self.ino, (&holder.edit(), 0));
                holder.seal(&self.fs, op.handle())?;
            }
        }
        listed.remove(&self.ino);
        self.edit().store_u32(I_DTIME, 0);
        self.mark(op)
    }

    // -- The last name

    /// Gets all that it takes to lose a name, after which `left` links are left: without one it is an orphan
    /// now.
    ///
    /// # Errors
    /// It could not be freed; no memory; damage. Nothing was changed.
    pub(super) fn expect_losable(&self, op: &Ext4Operation<'_, P>, left: u16) -> Result<()> {
        if left > 0 {
            return Ok(());
        }
        self.expect_no_tables()?;
        self.copy().expect_place(op)?;
        self.add_orphan(op)
    }

    /// Takes away the links of a name, after which `left` are left; with the last one, the inode goes with
    /// its last handle.
    pub(super) fn lose_name(&self, op: &Ext4Operation<'_, P>, left: u16, now: Timestamp) -> Result<()> {
        self.store_links(left);
        self.touch(&[CTIME], now);
        self.mark(op)?;
        if left == 0 {
            self.nameless.store(true, SeqCst);
            self.fs.cache.unkeep(self.ino);
        }
        Ok(())
    }

    /// Takes back what `op` made of an inode that gets no name.
    pub(super) fn take_back(&self, op: &Ext4Operation<'_, P>) {
        let fs = &self.fs;
        // It has one block at most, in its root.
        if self.has(EXTENTS_FL)
            && let Ok(Some(block)) = self.map().metadata(0)
        {
            InodeChange::new(op, self).forget(block);
            self.edit().store_u16(I_BLOCK + 2, 0);
        }
        let _ = fs.noted(self.end(op));
        fs.cache.unkeep(self.ino);
    }

    // -- The last handle

    /// Refuses an inode whose content is in blocks to which tables lead, as in ext2: nobody would free them.
    fn expect_no_tables(&self) -> Result<()> {
        let is_mapped = match self.kind {
            FileKind::File | FileKind::Directory => true,
            FileKind::Symlink => self.mapping.size() >= I_BLOCK_BYTES,
            _ => false,
        };
        match is_mapped && !self.has(EXTENTS_FL | INLINE_DATA_FL) {
            true => Err(Unsupported::Operation("freeing the blocks of a file without extents").into()),
            false => Ok(()),
        }
    }

    /// Does what the last handle leaves to do where the last name is gone.
    pub(in crate::ext4) fn finish(&self) -> Result<()> {
        let fs = &self.fs;
        if fs.check_writable().is_err() {
            // It is an orphan for the next mount.
            return Ok(());
        }
        if let Some(_thawed) = fs.freeze.try_change() {
            return self.release();
        }
        fs.orphans.lock().late.push(self.ino);
        // Whoever froze it may have looked for the last time before that.
        fs.freeze.try_change().map_or(Ok(()), |_thawed| fs.finish_late())
    }

    /// Frees the inode and all that it holds: it has no name, and no handle any more.
    ///
    /// # Errors
    /// Damage: what was not freed yet is lost, until e2fsck finds it.
    fn release(&self) -> Result<()> {
        let all = match self.kind {
            FileKind::File => ALL,
            _ => 0..self.mapping.size().div_ceil(self.fs.sb.block_size()) as u32,
        };
        self.cut_and(all, END, |op| self.end(op))?;
        self.fs.platform.stats().inode_freed.inc();
        Ok(())
    }

    /// Frees what is behind the end of a file that is an orphan with a name, and makes it none.
    fn cut_to_size(&self) -> Result<()> {
        let size = self.mapping.size();
        if self.kind == FileKind::File && self.has(EXTENTS_FL) {
            self.file()?.zero_gap(size, u64::MAX)?;
            self.fs.platform.pmem().fence();
        }
        let behind = if self.kind == FileKind::File {
            size.div_ceil(self.fs.sb.block_size()) as u32..ALL.end
        } else {
            0..0
        };
        self.cut_and(behind, ORPHAN, |op| self.remove_orphan(op))
    }

    /// Takes the logical blocks `range` out of its tree of extents, if it has one, in as many operations as
    /// that takes. Does `last`, which changes `credits` blocks, in the last one.
    fn cut_and(
        &self,
        range: Range<u32>,
        credits: u32,
        last: impl FnOnce(&Ext4Operation<'_, P>) -> Result<()>,
    ) -> Result<()> {
        self.expect_no_tables()?;
        let map = self.map();
        if !self.has(EXTENTS_FL) {
            return last(&self.fs.begin(credits)?);
        }
        let op = self.fs.begin(map.credits_to_remove() + credits)?;
        last(&map.remove(op, range, Unfinished::Sound, credits)?)
    }

    /// Frees the inode, which has no blocks any more but that of its attributes, in `op`.
    fn end(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        let fs = &self.fs;
        self.release_attributes(op)?;
        self.remove_orphan(op)?;
        let now = fs.platform.now().secs as u32;
        let edit = self.edit();
        edit.store_u16(I_LINKS_COUNT, 0);
        // What could be an inode's number looks like an orphan's next one.
        edit.store_u32(I_DTIME, now.max(fs.sb.inodes_count + 1));
        self.store_size(ChangeOk::nobody_else(), 0);
        self.mark(op)?;
        // Last: whoever takes the number writes the same place in the table.
        fs.groups.free_inode(op, self.ino, self.kind == FileKind::Directory)
    }

    /// Gives up its share of a block of attributes.
    fn release_attributes(&self, op: &Ext4Operation<'_, P>) -> Result<()> {
        let (fs, number) = (&self.fs, self.raw().wide_file_acl());
        let _shared = fs.attributes.lock();
        let Some(users) = self.xattrs().block_held()?.map(|bytes| bytes.load_u32(H_REFCOUNT)) else {
            return Ok(());
        };
        if users <= 1 {
            InodeChange::new(op, self).forget(number);
        } else {
            let bytes = op.change(number)?;
            bytes.store_u32(H_REFCOUNT, users - 1);
            if let Some(seed) = fs.sb.seed {
                let sum = checksum::attribute_block(seed, number, &*bytes, 0, fs.sb.block_size());
                bytes.store_u32(H_CHECKSUM, sum);
            }
            self.add_blocks(-1);
        }
        self.edit().store_u32(I_FILE_ACL, 0);
        self.edit().store_u16(I_FILE_ACL_HIGH, 0);
        Ok(())
    }
}
