//! An operation: a handle of the journal, with the file system that it changes.
//!
//! # What is left to a commit
//! An inode in memory is changed there and [marked](Ext4Inode::mark); counts of groups are kept by
//! [`BlockGroups`]. Both go into the blocks of the transaction when it ends, once for all of its operations,
//! and their checksums with them: nobody reads them in between but us, and we look in memory.
//!
//! # Locking
//! `… → dax_sem → handle → mapping entry → block map → group, orphans, marked inodes → the journal's own`.
//! Whoever has a handle asks for no second one, and for no commit.

use super::alloc::BlockGroups;
use super::change::EditBytes;
use super::disk::superblock::SuperBlock;
use super::edit::BlockSeal;
use super::fs::Ext4Shared;
use super::inode::Ext4Inode;
use crate::atomic::AtomicBool;
use crate::error::{Errno, Result};
use crate::ext::layout::{ERROR_FS, S_CHECKSUM, S_STATE, SUPERBLOCK};
use crate::ext::superblock::{RawSuperBlock, write_block};
use crate::jbd2::{BufferMut, Handle, Journal, JournalOwner};
use crate::platform::{Mutex, Platform};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

/// An operation on a mounted file system; it ends when this is dropped. Blocks of files that it publishes are
/// durable before that.
#[must_use = "it ends when it is dropped"]
pub(super) struct Ext4Operation<'a, P: Platform> {
    fs: &'a Ext4Shared<P>,
    handle: Handle<'a, P>,
}

impl<P: Platform> Ext4Shared<P> {
    /// Returns the journal.
    ///
    /// # Errors
    /// [`Errno::ReadOnly`]: there is none that is written.
    pub(super) fn written_journal(&self) -> Result<&Journal<P>> {
        Ok(self.journal.get().ok_or(Errno::ReadOnly)?)
    }

    /// Begins an operation that changes up to `credits` blocks of metadata. Waits for a commit if the
    /// transaction has no room.
    ///
    /// # Errors
    /// [`Errno::ReadOnly`]; the journal was given up, or has no room for so many.
    pub(super) fn begin(&self, credits: u32) -> Result<Ext4Operation<'_, P>> {
        let journal = self.written_journal()?;
        let handle = journal.start(credits).inspect_err(|_| {
            if journal.failed().is_some() {
                self.unwritable.store(true, SeqCst);
            }
        })?;
        Ok(Ext4Operation { fs: self, handle })
    }

    /// Makes all operations durable that have ended.
    ///
    /// # Errors
    /// The journal was given up.
    pub(super) fn commit_all(&self) -> Result<()> {
        self.journal.get().map_or(Ok(()), Journal::force_commit)
    }

    /// Calls `operation`, and once more where there is no space but what the running transaction frees.
    pub(super) fn with_freed_space<T>(&self, mut operation: impl FnMut() -> Result<T>) -> Result<T> {
        match operation() {
            Err(error) if error == Errno::NoSpace.into() && self.groups.has_pending() => {
                self.commit_all()?;
                operation()
            }
            result => result,
        }
    }
}

impl<'a, P: Platform> Ext4Operation<'a, P> {
    /// Returns the operation again that was left open with these credits.
    pub(super) fn resume(fs: &'a Ext4Shared<P>, credits: u32) -> Result<Self> {
        Ok(Self { fs, handle: fs.written_journal()?.resume(credits) })
    }

    /// Leaves the operation open; returns its credits.
    pub(super) fn into_credits(self) -> u32 {
        self.handle.into_credits()
    }

    /// Returns the file system.
    pub(super) fn fs(&self) -> &'a Ext4Shared<P> {
        self.fs
    }

    /// Returns the handle.
    pub(super) fn handle(&self) -> &Handle<'a, P> {
        &self.handle
    }

    /// Returns block `block` of metadata as it is now, to change it.
    ///
    /// # Errors
    /// It is no block that may be changed, or cannot be read; the journal was given up.
    pub(super) fn change(&self, block: u64) -> Result<BufferMut<'_>> {
        self.handle.change(block)
    }

    /// Returns block `block`, which was free, full of zeros, to change it.
    ///
    /// # Errors
    /// As for [`change`](Self::change).
    pub(super) fn create(&self, block: u64) -> Result<BufferMut<'_>> {
        self.handle.create(block)
    }

    /// Asks for leave to change `credits` more blocks. False if there is no room: then this operation is to
    /// end, and another to begin, with everything as a crash may find it.
    pub(super) fn extend(&mut self, credits: u32) -> bool {
        self.handle.extend(credits)
    }

    /// Returns the superblock, to change it, and where it is there. Its checksum is the commit's part.
    ///
    /// # Errors
    /// As for [`change`](Self::change).
    pub(super) fn super_block(&self) -> Result<(BufferMut<'_>, u64)> {
        let bits = self.fs.sb.block_bits;
        let buffer = self.change(SUPERBLOCK >> bits)?;
        self.fs.unsealed.super_block.store(true, SeqCst);
        Ok((buffer, SUPERBLOCK & ((1 << bits) - 1)))
    }
}

/// What goes into a transaction when it ends.
pub(super) struct Unsealed<P: Platform> {
    sb: Arc<SuperBlock>,
    groups: Arc<BlockGroups<P>>,
    /// Inodes that are not in their tables as they are in memory. One without a name is never among them.
    inodes: Mutex<P, BTreeMap<u32, Arc<Ext4Inode<P>>>>,
    /// The superblock has changed.
    super_block: AtomicBool,
    /// A contradiction was met that the image does not tell of.
    error: AtomicBool,
}

impl<P: Platform> Unsealed<P> {
    /// Returns that of a file system in which nothing has changed.
    pub(super) fn new(sb: Arc<SuperBlock>, groups: Arc<BlockGroups<P>>) -> Self {
        let super_block = AtomicBool::new(false);
        let error = AtomicBool::new(false);
        Self { sb, groups, inodes: Mutex::<P, _>::new(BTreeMap::new()), super_block, error }
    }

    /// Has the next commit say on the image that it has errors.
    pub(super) fn note_error(&self) {
        self.error.store(true, SeqCst);
    }

    /// Adds an inode.
    pub(super) fn add(&self, inode: Arc<Ext4Inode<P>>) {
        self.inodes.lock().insert(inode.ino, inode);
    }

    /// Takes inode `ino` out.
    pub(super) fn take(&self, ino: u32) -> Option<Arc<Ext4Inode<P>>> {
        self.inodes.lock().remove(&ino)
    }

    /// Forgets all inodes: the file system goes away, or is not written any more.
    pub(super) fn forget(&self) {
        let _inodes = core::mem::take(&mut *self.inodes.lock());
    }
}

/// [`Unsealed`], as the journal has it.
pub(super) struct CommitOwner<P: Platform>(pub Arc<Unsealed<P>>);

impl<P: Platform> JournalOwner<P> for CommitOwner<P> {
    fn is_dirty(&self) -> bool {
        self.0.error.load(SeqCst) || !self.0.inodes.lock().is_empty()
    }

    fn seal(&self, handle: &Handle<'_, P>) -> Result<()> {
        let unsealed = &*self.0;
        let inodes = core::mem::take(&mut *unsealed.inodes.lock());
        for inode in inodes.values() {
            inode.seal(handle)?;
        }
        // Their last handles may go now, with no lock held.
        drop(inodes);
        unsealed.groups.seal(handle)?;
        let has_error = unsealed.error.swap(false, SeqCst);
        if unsealed.super_block.swap(false, SeqCst) || has_error {
            let bits = unsealed.sb.block_bits;
            let (buffer, at) = (handle.change(SUPERBLOCK >> bits)?, SUPERBLOCK & ((1 << bits) - 1));
            if has_error {
                buffer.store_u16(at + S_STATE, buffer.load_u16(at + S_STATE) | ERROR_FS);
            }
            if unsealed.sb.seed.is_some() {
                let mut bytes = [0; 1024];
                buffer.read(at, &mut bytes);
                buffer.store_u32(at + S_CHECKSUM, RawSuperBlock::from_bytes(bytes).checksum());
            }
        }
        Ok(())
    }

    fn finish(&self, block: BufferMut<'_>, note: u64) {
        if let Some(seal) = BlockSeal::of_note(note) {
            seal.store(&EditBytes(block), self.0.sb.block_size());
        }
    }

    fn write_home(&self, pmem: &P::Pmem, at: u64, bytes: &[u8]) {
        write_block(pmem, at, bytes);
    }

    fn reusable(&self, blocks: &[Range<u64>]) {
        self.0.groups.reusable(blocks);
    }
}
