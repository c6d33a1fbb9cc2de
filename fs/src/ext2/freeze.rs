//! Freezing and thawing; from writable to read-only and back.
//!
//! All of them hold [`Freeze`](crate::vfs::Freeze) exclusively: no change is on its way, and none begins.
//! What a handle's drop has to change waits too, but not the drop itself, which may be anywhere: it is
//! written down ([`Late`]) and done by whoever freezes, before he says that the image is clean, or thaws.
//!
//! # Locking
//! `ice → freeze (exclusively) → inode locks, one at a time → block map → …`

use super::facts::Nameless;
use super::fs::{Ext2, Late};
use super::inode::Ext2Inode;
use crate::error::{Errno, Result, Unsupported};
use crate::ext::cache::Cached;
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// A mounted file system that is to be frozen, thawed or remounted.
pub(super) struct Freezer<'a, P: Platform>(&'a Ext2<P>);

view!(Freezer of Ext2);

impl<P: Platform> Ext2<P> {
    /// Returns the file system, to be frozen, thawed or remounted.
    #[inline(always)]
    pub(super) fn freezer(&self) -> Freezer<'_, P> {
        Freezer(self)
    }
}

impl<P: Platform> Freezer<'_, P> {
    pub(super) fn freeze(self) -> Result<()> {
        let mut ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let early = mistake!(self.platform.lab(), FlushBeforeFreeze);
        let flushed = if early { self.flush_all() } else { Ok(()) };
        let frozen = self.freeze.freeze();
        self.check_writable()?;
        let settled = if early { flushed.and(self.finish_late()) } else { self.settle_all() };
        settled.or_else(|error| self.finish_late().and(Err(error)))?;
        // A file without a name, or with blocks beyond its end, is for a recovery to put right.
        let state = if self.has_unfinished() { None } else { Some(self.super_in_place().final_state()) };
        self.super_in_place().sync(state);
        self.pmem().fence();
        *ice = Some(frozen);
        Ok(())
    }

    pub(super) fn thaw(self) -> Result<()> {
        let mut ice = self.ice.lock();
        let frozen = ice.take().ok_or(Errno::Invalid)?;
        // Before anything changes, the image says that it is in use.
        self.super_in_place().mark_in_use();
        let result = self.finish_late();
        drop(frozen);
        self.noted(result)
    }

    pub(super) fn make_read_only(self) -> Result<()> {
        let ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let _frozen = self.freeze.freeze();
        if self.check_writable().is_err() {
            return Ok(());
        }
        let settled = self.settle_all().and_then(|()| self.cut_all_beyond());
        if settled.is_err() || self.has_unfinished() {
            // Handles may have gone meanwhile.
            let late = self.finish_late();
            return settled.and(self.noted(late)).and(Err(Errno::Busy.into()));
        }
        // Before the state is looked at: whoever meets an error from here on leaves the image as it is.
        self.unwritable.store(true, SeqCst);
        self.super_in_place().sync(Some(self.super_in_place().final_state()));
        self.pmem().fence();
        Ok(())
    }

    pub(super) fn make_writable(self) -> Result<()> {
        let ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        let _frozen = self.freeze.freeze();
        if self.check_writable().is_ok() {
            return Ok(());
        }
        if !self.pmem().writable() || self.sb.read_only_reason().is_some() {
            return Err(Errno::ReadOnly.into());
        }
        if !self.is_sound() || self.redo_pending() {
            let why = "remounting for writing an image that has to be repaired: unmount and mount it";
            return Err(Unsupported::Operation(why).into());
        }
        self.count_free_blocks(false);
        self.super_in_place().mark_mounted();
        self.unwritable.store(false, SeqCst);
        Ok(())
    }

    /// Writes back what was stored to files through mappings, so that the next store faults, and does what
    /// drops left.
    fn settle_all(self) -> Result<()> {
        let result = self.flush_all();
        let late = self.finish_late();
        self.noted(result.and(late))
    }

    fn flush_all(self) -> Result<()> {
        self.cache.try_for_each(|inode| inode.flush_dirty())
    }

    /// Does what drops left to do. No change but the caller's is on its way, or the caller holds a proof of
    /// its own that nothing is frozen.
    pub(super) fn finish_late(self) -> Result<()> {
        let mut result = Ok(());
        if self.stopped.load(SeqCst) {
            self.late.lock().clear();
        }
        loop {
            let Some(Late { ino, kind, size, nameless }) = self.late.lock().pop() else { return result };
            let one = match nameless {
                Some(nameless) => self.raw_inode(ino).and_then(|raw| {
                    self.release_late(Ext2Inode::new(self.share(), ino, raw.at, kind, size), nameless)
                }),
                // It may be open again: the handle that is there is the one to cut through.
                None => self.inode(ino).and_then(|inode| {
                    let (lock, invalidate) = inode.alone();
                    inode.beyond.store(true, Relaxed);
                    let cut = inode.map().cut_beyond(lock.change_ok(), invalidate.alloc_ok());
                    // What could not be cut is not tried again.
                    inode.beyond.store(false, Relaxed);
                    cut
                }),
            };
            if result.is_ok() {
                result = one;
            }
        }
    }

    fn release_late(self, inode: Ext2Inode<P>, nameless: Staged<Nameless, Clean>) -> Result<()> {
        let result = inode.release(nameless);
        inode.detach();
        result
    }

    /// Frees blocks beyond the ends of files.
    fn cut_all_beyond(self) -> Result<()> {
        let mut result = Ok(());
        self.cache.for_each(|inode| {
            let (lock, invalidate) = inode.alone();
            if result.is_ok() && inode.links() != 0 {
                result = inode.map().cut_beyond(lock.change_ok(), invalidate.alloc_ok());
            }
        });
        self.noted(result)
    }

    /// True if the last handle of some inode will have something to change.
    fn has_unfinished(self) -> bool {
        let mut any = false;
        self.cache.for_each(|inode| any |= !inode.may_be_kept());
        any || !self.late.lock().is_empty()
    }
}

impl<P: Platform> Ext2Inode<P> {
    /// Leaves the rest of the inode's drop to whoever froze the file system, or thaws it: the last handle is
    /// gone while nothing may change.
    pub(super) fn leave_for_later(&mut self, nameless: Option<Staged<Nameless, Clean>>) {
        let (ino, kind, size) = (self.ino, self.kind, self.load_size());
        let mut late = self.fs.late.lock();
        // Without memory for that, its blocks and its number leak until a recovery.
        if late.try_reserve(1).is_ok() {
            late.push(Late { ino, kind, size, nameless });
        }
        self.left = true;
    }
}
