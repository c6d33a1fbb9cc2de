//! What an edit of an inode's metadata gets of its operation: [`Change`], for a mounted file system.

use super::alloc::Purpose;
use super::disk::checksum::Seed;
use super::edit::{BlockSeal, Change, Edit};
use super::inode::Ext4Inode;
use super::meta::MetaBlock;
use super::operation::Ext4Operation;
use crate::error::Result;
use crate::ext::load::Load;
use crate::jbd2::BufferMut;
use crate::platform::Platform;
use crate::vfs::FileKind;
use core::ops::Deref;

/// An inode's metadata, in an operation.
pub(super) struct InodeChange<'a, P: Platform> {
    /// The operation.
    pub op: &'a Ext4Operation<'a, P>,
    /// The inode. Its `i_blocks` follow what is taken and freed.
    pub inode: &'a Ext4Inode<P>,
}

/// Bytes that an operation may change: of a block, or of an inode in memory.
pub(super) struct EditBytes<'a>(pub BufferMut<'a>);

impl Load for EditBytes<'_> {
    #[inline]
    fn load_u8(&self, at: u64) -> u8 {
        self.0.load_u8(at)
    }
    #[inline]
    fn load_u16(&self, at: u64) -> u16 {
        self.0.load_u16(at)
    }
    #[inline]
    fn load_u32(&self, at: u64) -> u32 {
        self.0.load_u32(at)
    }
    #[inline]
    fn read(&self, at: u64, to: &mut [u8]) {
        self.0.read(at, to);
    }
}

impl Edit for EditBytes<'_> {
    #[inline]
    fn store_u8(&self, at: u64, value: u8) {
        self.0.store_u8(at, value);
    }
    #[inline]
    fn store_u16(&self, at: u64, value: u16) {
        self.0.store_u16(at, value);
    }
    #[inline]
    fn store_u32(&self, at: u64, value: u32) {
        self.0.store_u32(at, value);
    }
    #[inline]
    fn write(&self, at: u64, from: &[u8]) {
        self.0.write(at, from);
    }
    #[inline]
    fn seal(&self, seal: BlockSeal, _: u64) {
        self.0.set_note(seal.to_note());
    }
}

/// A block that may be changed.
pub(super) struct ChangedBlock<'a>(EditBytes<'a>);

impl<'a> Deref for ChangedBlock<'a> {
    type Target = EditBytes<'a>;
    #[inline]
    fn deref(&self) -> &EditBytes<'a> {
        &self.0
    }
}

impl<'a, P: Platform> InodeChange<'a, P> {
    /// Returns the change of `inode`'s metadata in `op`.
    pub(super) fn new(op: &'a Ext4Operation<'a, P>, inode: &'a Ext4Inode<P>) -> Self {
        Self { op, inode }
    }

    /// Has no replay store to block `block` of metadata, which is free from now on, and nobody take it for
    /// checked.
    fn revoke(&self, block: u64) {
        let fs = self.op.fs();
        fs.forget_checked(block);
        let _ = fs.noted(self.op.handle().revoke(block));
    }

    /// Frees blocks to which nothing leads any more. What fails is noted: they are lost until e2fsck finds
    /// them, and nothing else.
    fn free(&self, block: u64, len: u64) {
        self.inode.add_blocks(-(len as i64));
        let fs = self.op.fs();
        let _ = fs.noted(fs.groups.free_blocks(self.op, block..block + len));
    }
}

impl<'a, P: Platform> Change for InodeChange<'a, P> {
    type Read = MetaBlock<'a, P>;
    type Block = ChangedBlock<'a>;

    fn block_size(&self) -> u64 {
        self.op.fs().sb.block_size()
    }

    fn seed(&self) -> Option<Seed> {
        self.inode.seed
    }

    fn read(
        &self,
        block: u64,
        check: impl FnOnce(&<Self::Read as Deref>::Target) -> Result<()>,
    ) -> Result<Self::Read> {
        let fs = self.op.fs();
        let read = fs.meta(block, "inode", self.inode.ino.into())?;
        fs.check_once(block, self.inode.ino, || check(&read))?;
        Ok(read)
    }

    fn change(&self, block: u64) -> Result<Self::Block> {
        Ok(ChangedBlock(EditBytes(self.op.change(block)?)))
    }

    fn create(&self, goal: u64) -> Result<(u64, Self::Block)> {
        let fs = self.op.fs();
        let block = fs.groups.take_blocks(self.op, goal, 1, Purpose::Metadata)?.start;
        match self.op.create(block) {
            Ok(buffer) => {
                self.inode.add_blocks(1);
                // What is made here need not be checked.
                fs.check_once(block, self.inode.ino, || Ok(()))?;
                Ok((block, ChangedBlock(EditBytes(buffer))))
            }
            Err(error) => {
                let _ = fs.noted(fs.groups.free_blocks(self.op, block..block + 1));
                Err(error)
            }
        }
    }

    fn forget(&self, block: u64) {
        self.revoke(block);
        self.free(block, 1);
    }

    fn free_data(&self, block: u64, len: u32) {
        if self.inode.kind != FileKind::File {
            // Names and targets are written through the journal.
            (block..block + u64::from(len)).for_each(|block| self.revoke(block));
        }
        self.free(block, len.into());
    }
}
