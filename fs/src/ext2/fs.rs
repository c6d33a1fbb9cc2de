//! A mounted file system: what its handles share, and what everything else here asks of it.

use super::alloc::state::GroupState;
use super::disk::superblock::SuperBlock;
use super::facts::Nameless;
use super::inode::Ext2Inode;
use super::names::nameindex::Budget;
use super::recover::outcome::{Recovered, RecoveryOutcome};
use crate::atomic::{AtomicBool, AtomicI64, AtomicU32};
use crate::error::{Errno, Result};
use crate::ext::cache::Cache;
use crate::ext::features::ReadOnlyReason;
use crate::ext::indirect::Reach;
use crate::ext::journal::Replayed;
use crate::ext::unreadable;
use crate::platform::{Mutex, Platform};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use crate::vfs::{FileKind, Freeze, Frozen, Thawed};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::SeqCst;
use once_cell::race::OnceBox;

/// A mounted ext2 file system.
///
/// A handle: what all handles share is [`Ext2Shared`]. The handle that [`mount`](fn@super::mount) returns
/// keeps inodes in memory that nobody holds; with it go those.
pub struct Ext2<P: Platform> {
    pub(super) shared: Arc<Ext2Shared<P>>,
    /// It is the one that [`mount`](fn@super::mount) returned.
    pub(super) is_first: bool,
}

impl<P: Platform> core::ops::Deref for Ext2<P> {
    type Target = Ext2Shared<P>;
    #[inline]
    fn deref(&self) -> &Ext2Shared<P> {
        &self.shared
    }
}

impl<P: Platform> Drop for Ext2<P> {
    fn drop(&mut self) {
        if self.is_first {
            self.cache.close();
        }
    }
}

/// What all handles to a mounted file system share.
pub struct Ext2Shared<P: Platform> {
    pub(super) platform: P,
    pub(super) sb: SuperBlock,
    /// How far an indirect tree reaches.
    pub(super) reach: Reach,
    pub(super) groups: Box<[Mutex<P, GroupState>]>,
    /// Free blocks of all groups, less those that somebody is just taking.
    pub(super) free_blocks: AtomicI64,
    /// For each group the first block after its own structures, if they are known to be all in front; else
    /// the largest number: see `alloc::groups`.
    pub(super) structures_end: Box<[AtomicU32]>,
    pub(super) cache: Cache<P, Ext2Inode<P>>,
    /// Memory for name indexes.
    pub(super) names: Budget<P>,
    /// Held by whoever locks two directories: renames and rmdir.
    pub(super) rename: Mutex<P, ()>,
    /// Guards what blocks of attributes hold, their counts of users among it.
    pub(super) xattrs: Mutex<P, ()>,
    /// Guards the superblock's fields that change, the redo record among them.
    pub(super) super_lock: Mutex<P, ()>,
    /// Nothing may be changed: asked for, forced, or unmounted.
    pub(super) unwritable: AtomicBool,
    /// Changes wait while it is frozen.
    pub(super) freeze: Freeze<P>,
    /// The proof that it is, for the thaw.
    pub(super) ice: Mutex<P, Option<Frozen<P>>>,
    /// What drops could not finish while it was.
    pub(super) late: Mutex<P, Vec<Late>>,
    pub(super) reason: Option<ReadOnlyReason>,
    /// A crash left a redo record.
    pub(super) redo_found: AtomicBool,
    /// What came of looking at an image that was not clean.
    pub(super) recovery: OnceBox<RecoveryOutcome>,
    /// What was done about the journal that an ext3 has.
    pub(super) replayed: OnceBox<Replayed>,
    /// A contradiction was met.
    pub(super) errors: AtomicBool,
    /// One was met that is not told on the image yet: somebody held `ice`.
    pub(super) unsaid: AtomicBool,
    /// What is done then: as `s_errors` numbers it.
    pub(super) on_error: AtomicU32,
    /// It was done: nothing is changed any more.
    pub(super) stopped: AtomicBool,
    pub(super) next_generation: AtomicU32,
}

/// What the drop of an inode left to do.
pub(super) struct Late {
    pub ino: u32,
    pub kind: FileKind,
    pub size: u64,
    /// It has no name: it is to be freed. Otherwise there are blocks beyond its end.
    pub nameless: Option<Staged<Nameless, Clean>>,
}

impl<P: Platform> Ext2<P> {
    /// Returns another handle of the file system, for an inode.
    #[inline]
    pub(super) fn share(&self) -> Self {
        Self { shared: self.shared.clone(), is_first: false }
    }

    /// Returns how many bytes the name indexes take.
    pub fn name_index_bytes(&self) -> usize {
        self.names.used()
    }

    /// Returns the superblock as it was at mount.
    pub fn super_block(&self) -> &SuperBlock {
        &self.sb
    }

    /// Returns the largest size of a file, in bytes: what Linux opens, a little less than 2 TiB with blocks
    /// of 4 KiB.
    #[inline]
    pub fn max_file_size(&self) -> u64 {
        self.reach.max_lblks << self.sb.block_bits
    }

    /// Returns false if the image was not unmounted cleanly, or errors were noted on it: e2fsck should see
    /// it.
    pub fn was_clean(&self) -> bool {
        self.sb.is_clean()
    }

    /// Returns why the file system is read-only, if it was from the start.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        match self.recovery.get() {
            Some(RecoveryOutcome::Damaged(what)) => Some(ReadOnlyReason::Damaged(*what)),
            _ => self.reason,
        }
    }

    /// Returns what this mount repaired, if the image was not unmounted cleanly.
    pub fn recovered(&self) -> Option<&Recovered> {
        match self.recovery.get() {
            Some(RecoveryOutcome::Sound(recovered)) => Some(recovered),
            _ => None,
        }
    }

    /// Returns whether nothing is on the image but what the map of each file says: it was clean, or was
    /// repaired.
    pub(super) fn is_sound(&self) -> bool {
        (self.was_clean() || self.recovered().is_some()) && !self.met_errors()
    }

    /// Returns whether the mount finished a change that a crash had cut short (`redo`).
    pub fn redo_replayed(&self) -> bool {
        self.reason.is_none() && self.redo_found.load(SeqCst)
    }

    /// Returns whether a crash cut a change short that this mount, which is read-only, could not finish: a
    /// name, or a piece of a file, may be missing or there twice until a mount for writing has finished it.
    pub fn redo_pending(&self) -> bool {
        self.reason.is_some() && self.redo_found.load(SeqCst)
    }

    /// Returns whether a contradiction was met since the mount.
    pub fn met_errors(&self) -> bool {
        self.errors.load(SeqCst)
    }

    /// Returns the size of a block in bytes.
    #[inline]
    pub(super) fn block_size(&self) -> u64 {
        self.sb.block_size()
    }

    /// Returns the byte offset of block `block`.
    #[inline]
    pub(super) fn byte(&self, block: u32) -> u64 {
        self.sb.byte(block)
    }

    #[inline]
    pub(super) fn pmem(&self) -> &P::Pmem {
        self.platform.pmem()
    }

    /// Begins a change: waits while the file system is frozen, refuses if it may not be changed. Called
    /// before the change's first lock; what is returned is held until after the change's last store.
    #[inline]
    pub(super) fn start_change(&self) -> Result<Thawed<'_, P>> {
        let thawed = self.freeze.start_change();
        self.check_writable().map(|()| thawed)
    }

    /// Refuses on a file system that may not be changed.
    #[inline]
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.unwritable.load(SeqCst) { Err(Errno::ReadOnly.into()) } else { Ok(()) }
    }

    /// Refuses structure `what` number `index`, the `len` bytes at `at`, if a memory error took some of it.
    #[inline]
    pub(super) fn expect_readable(&self, at: u64, len: u64, what: &'static str, index: u64) -> Result<()> {
        self.pmem().poisoned(at, len).map_or(Ok(()), |bad| Err(unreadable(what, index, bad)))
    }
}
