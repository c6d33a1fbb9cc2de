//! ext2 on persistent memory: metadata is used in place, there is no buffer cache.
//!
//! Revisions 0 and 1 with blocks of 1, 2 and 4 KiB: files, directories, links of both kinds, devices, pipes and
//! extended attributes, all that changes them, and repair after a crash. A journal (ext3) is left alone if it is clean,
//! else the mount is refused. Hashed directories are read, and lose their hashes when they are changed. Reading does not
//! update access times.
//!
//! | file | what it holds |
//! |---|---|
//! | [`layout`] | where things are on the disk |
//! | [`features`] | feature bits and their names |
//! | [`superblock`] | the superblock, decoded and checked |
//! | `mount` | mounting, syncing, unmounting |
//! | `freeze` | freezing, thawing, remounting |
//! | `policy` | what becomes of it when a contradiction is met |
//! | `info` | what a superblock says, for people |
//! | `group`, `bitmap` | block groups and their bitmaps, in place |
//! | `alloc`, `ialloc` | taking and freeing blocks and inodes |
//! | `runs`, `place` | runs of 512 blocks, and where a file's next block had best be |
//! | `cache`, `nameindex` | which inodes are in memory; where in a directory a name is |
//! | `inode`, `times` | an inode's fields, in place |
//! | `map`, `extents` | from a page of a file to its block |
//! | `grow` | filling holes: fresh blocks and their publication |
//! | `large` | 2 MiB at once |
//! | `truncate` | cutting the block map, freeing what was cut |
//! | `fallocate`, `shift` | allocating ahead, punching holes, zeroing ranges; taking ranges out, putting holes in |
//! | `file` | reading and writing |
//! | `dir`, `dirent`, `diredit` | directories: entries found, added, taken out |
//! | `namei`, `rename` | create, unlink, rmdir; rename |
//! | `xattr` | extended attributes |
//! | `redo` | several stores that a crash shows all of, or none |
//! | `recover` | repair after a crash, at mount |
//! | `ops` | the traits of [`vfs`](crate::vfs) |
//!
//! Specification: the Linux kernel's `filesystems/ext2` and `filesystems/ext4` documents.
//!
//! # Locking
//!
//! ```text
//! freeze → rename → inode lock of a directory → inode lock of what is in it → block map or goal → group
//!                                              block map → attribute blocks → group, superblock
//!                                              inode lock → cache shard, superblock (leaves)
//! ```
//!
//! * *freeze* is held shared by every change, from before its first lock to after its last store.
//! * The *inode lock* is `dax_sem` ([`Mapping`](crate::vfs::Mapping)): content and size of a file, entries of
//!   a directory, and the number of links are changed under it, held exclusively. Who locks two
//!   directories (rename, rmdir) holds the *rename* lock: so no two of them wait for each other, however an image's
//!   directories point at each other. A rename locks the ancestor first, unrelated ones by number.
//! * The *block map* mutex of an inode guards the publishing of pointers and `i_blocks`; a *goal*'s where to look for
//!   the next block. Neither is held while a block is filled, nor the other one.
//! * A *group*'s mutex guards its bitmaps and counts. At most one is held.
//! * A *cache shard* guards which inodes are in memory; nothing is locked inside.
//!
//! # Invariants
//!
//! * A pointer is stored only with evidence that the block's content and its bitmap bit are durable (`grow`:
//!   `Staged<Chain, Clean>`); a block is freed only with evidence that the pointer to it is durably gone
//!   (`truncate`: `Staged<Cut, Clean>`). A name appears only with evidence that its inode is durable
//!   (`diredit`: `Staged<Nameable, Clean>`). That an inode is freed only after its name is durably gone is
//!   the order of steps in `namei` and `truncate`, not in a type: a handle is between.
//! * Bytes of the last block beyond the end of the file may hold anything; whoever makes the file longer
//!   zeroes them.
//! * What is read from the image is checked before it is used; a contradiction marks the image as in error, at once, and it
//!   is not marked clean again. What else becomes of it then, the superblock says: `policy`.
//! * Metadata that a memory error took is a contradiction in that structure. It is looked for where a structure is first
//!   met: the superblock at mount, a descriptor and a bitmap when they are used, an inode when it is loaded, a table of
//!   pointers, a directory's block or an attribute block in a group that has a memory error each time.

mod alloc;
mod bitmap;
mod cache;
mod dir;
mod diredit;
mod dirent;
mod extents;
mod fallocate;
pub mod features;
mod file;
mod freeze;
mod group;
mod grow;
mod ialloc;
mod info;
mod inode;
mod large;
pub mod layout;
mod map;
mod mount;
mod namei;
mod nameindex;
mod ops;
mod place;
mod policy;
mod recover;
mod redo;
mod rename;
mod runs;
mod shift;
pub mod superblock;
#[cfg(test)]
mod tests;
mod times;
mod truncate;
#[cfg(feature = "watched")]
mod watched;
#[cfg(any(daxiom_order = "right", daxiom_order = "wrong"))]
#[allow(dead_code)]
mod wrong_order;
mod xattr;

pub use features::ReadOnlyReason;
pub use inode::Inode;
pub use mount::{file_system_type, mount};
pub use recover::Recovered;
pub use superblock::{RawSuperBlock, SuperBlock};

use crate::atomic::{AtomicBool, AtomicI64, AtomicU32};
use crate::error::{Corrupt, Errno, Error, Result};
use crate::platform::{Mutex, Platform};
use crate::pmem::Pmem;
use crate::vfs::{Freeze, Frozen, Thawed};
use ::alloc::boxed::Box;
use ::alloc::sync::Arc;
use ::alloc::vec::Vec;
use core::sync::atomic::Ordering::SeqCst;
use freeze::Late;
use once_cell::race::OnceBox;
use recover::Recovery;

/// What the type is called.
const NAME: &str = "ext2";

/// A mounted ext2 file system.
///
/// A handle: what all handles share is [`Shared`]. The handle that [`mount`] returns keeps inodes in memory that nobody
/// holds; with it go those.
pub struct Ext2<P: Platform> {
    shared: Arc<Shared<P>>,
    /// It is the one that [`mount`] returned.
    is_first: bool,
}

impl<P: Platform> core::ops::Deref for Ext2<P> {
    type Target = Shared<P>;
    #[inline]
    fn deref(&self) -> &Shared<P> {
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

/// A memory error took byte `bad` of the region, which belongs to structure `what` number `index`.
#[cold]
fn unreadable(what: &'static str, index: u64, bad: u64) -> Error {
    Corrupt::with(what, index, "an uncorrectable memory error at this byte of the region", bad).into()
}

/// What all handles to a mounted file system share.
pub struct Shared<P: Platform> {
    platform: P,
    sb: SuperBlock,
    groups: Box<[Mutex<P, group::GroupState>]>,
    /// Free blocks of all groups, less those that somebody is just taking.
    free_blocks: AtomicI64,
    /// For each group the first block after its own structures, if they are known to be all in front; else the largest
    /// number: see `group::holds_structures`.
    structures_end: Box<[AtomicU32]>,
    cache: cache::Cache<P>,
    /// Memory for name indexes.
    names: nameindex::Budget<P>,
    /// Held by whoever locks two directories: renames and rmdir.
    rename: Mutex<P, ()>,
    /// Guards what blocks of attributes hold, their counts of users among it.
    xattrs: Mutex<P, ()>,
    /// Guards the superblock's fields that change, the redo record among them.
    super_lock: Mutex<P, ()>,
    /// Nothing may be changed: asked for, forced, or unmounted.
    unwritable: AtomicBool,
    /// Changes wait while it is frozen.
    freeze: Freeze<P>,
    /// The proof that it is, for the thaw.
    ice: Mutex<P, Option<Frozen<P>>>,
    /// What drops could not finish while it was.
    late: Mutex<P, Vec<Late>>,
    reason: Option<ReadOnlyReason>,
    /// A crash left a redo record.
    redo_found: AtomicBool,
    /// What came of looking at an image that was not clean.
    recovery: OnceBox<Recovery>,
    /// A contradiction was met.
    errors: AtomicBool,
    /// One was met that is not told on the image yet: somebody held `ice`.
    unsaid: AtomicBool,
    /// What is done then: as `s_errors` numbers it.
    on_error: AtomicU32,
    /// It was done: nothing is changed any more.
    stopped: AtomicBool,
    next_generation: AtomicU32,
}

impl<P: Platform> Ext2<P> {
    /// Another handle, for an inode.
    #[inline]
    fn share(&self) -> Self {
        Self { shared: self.shared.clone(), is_first: false }
    }

    /// Bytes that name indexes take.
    pub fn name_index_bytes(&self) -> usize {
        self.names.used()
    }

    /// The superblock as it was at mount.
    pub fn super_block(&self) -> &SuperBlock {
        &self.sb
    }

    /// False if the image was not unmounted cleanly, or errors were noted on it: e2fsck should see it.
    pub fn was_clean(&self) -> bool {
        self.sb.is_clean()
    }

    /// Why it is read-only, if it was from the start.
    pub fn read_only_reason(&self) -> Option<ReadOnlyReason> {
        match self.recovery.get() {
            Some(Recovery::Damaged(what)) => Some(ReadOnlyReason::Damaged(*what)),
            _ => self.reason,
        }
    }

    /// What this mount repaired, if the image was not unmounted cleanly.
    pub fn recovered(&self) -> Option<&Recovered> {
        match self.recovery.get() {
            Some(Recovery::Sound(recovered)) => Some(recovered),
            _ => None,
        }
    }

    /// True if nothing is on the image but what the map of each file says: it was clean, or was repaired.
    fn is_sound(&self) -> bool {
        (self.was_clean() || self.recovered().is_some()) && !self.met_errors()
    }

    /// True if the mount finished a change that a crash had cut short (`redo`).
    pub fn redo_replayed(&self) -> bool {
        self.reason.is_none() && self.redo_found.load(SeqCst)
    }

    /// True if a crash cut a change short that this mount, which is read-only, could not finish: a name, or a piece of a
    /// file, may be missing or there twice until a mount for writing has finished it.
    pub fn redo_pending(&self) -> bool {
        self.reason.is_some() && self.redo_found.load(SeqCst)
    }

    /// True if a contradiction was met since the mount.
    pub fn met_errors(&self) -> bool {
        self.errors.load(SeqCst)
    }

    /// Bytes in a block.
    #[inline]
    fn block_size(&self) -> u64 {
        self.sb.block_size()
    }

    /// Byte offset of block `block`.
    #[inline]
    fn byte(&self, block: u32) -> u64 {
        self.sb.byte(block)
    }

    #[inline]
    fn pmem(&self) -> &P::Pmem {
        self.platform.pmem()
    }

    /// A change begins: waits while the file system is frozen, refuses if it may not be changed. Before the change's first
    /// lock; what it returns is held until after its last store.
    #[inline]
    fn start_change(&self) -> Result<Thawed<'_, P>> {
        let thawed = self.freeze.start_change();
        self.check_writable().map(|()| thawed)
    }

    /// Refuses on a file system that may not be changed.
    #[inline]
    fn check_writable(&self) -> Result<()> {
        if self.unwritable.load(SeqCst) { Err(Errno::ReadOnly.into()) } else { Ok(()) }
    }

    /// Refuses structure `what` number `index`, the `len` bytes at `at`, if a memory error took some of it.
    #[inline]
    fn expect_readable(&self, at: u64, len: u64, what: &'static str, index: u64) -> Result<()> {
        self.pmem().poisoned(at, len).map_or(Ok(()), |bad| Err(unreadable(what, index, bad)))
    }
}
