//! The blocks of a directory of a mounted file system, in an operation.

use super::edit::{AddedNameCredits, DirectoryBlocks};
use crate::error::{Errno, Error, Result};
use crate::ext::dirent::bad_dir;
use crate::ext::features::INCOMPAT_LARGEDIR;
use crate::ext::layout::*;
use crate::ext4::change::InodeChange;
use crate::ext4::disk::extent::DiskExtent;
use crate::ext4::disk::hash::hash;
use crate::ext4::edit::{Change, Edit};
use crate::ext4::extents::TreeCredits;
use crate::ext4::inode::Ext4Inode;
use crate::platform::Platform;
use crate::vfs::ChangeOk;

/// Blocks that an operation changes which takes or frees a block: itself, its bit, its group's counts.
pub(in crate::ext4) const BLOCK: u32 = 3;

/// The largest directory without `largedir`: what Linux reads.
const MAX_SIZE: u64 = 1 << 31;

impl<P: Platform> Ext4Inode<P> {
    /// Returns how many blocks of metadata are changed at most when a name is added to this directory.
    pub(super) fn added_name_credits(&self) -> u32 {
        let AddedNameCredits { changed, appended } = AddedNameCredits::of(&self.fs.sb);
        // The tree may become deeper with each block.
        let tree = TreeCredits::of_filling(self.map().depth() + 1);
        changed + appended * (BLOCK + tree.changed + BLOCK * tree.created)
    }
}

impl<P: Platform> InodeChange<'_, P> {
    /// Takes a block for metadata, for logical block `lblk`, which is behind all others. Returns its bytes:
    /// zeros, to change.
    ///
    /// # Errors
    /// No space; something is there already. Nothing was changed.
    pub(super) fn append_block(&self, lblk: u32) -> Result<<Self as Change>::Block> {
        let inode = self.inode;
        let before = lblk.checked_sub(1).and_then(|last| inode.map().metadata(last.into()).ok()?);
        let goal = before.map_or_else(|| inode.map().home(), |block| block + 1);
        let (block, bytes) = self.create(goal)?;
        let run = DiskExtent { lblk, block, len: 1, unwritten: false };
        match inode.map().edit_tree(self.op, |tree| tree.insert(run)) {
            Ok(()) => Ok(bytes),
            Err(error) => {
                self.forget(block);
                Err(match error {
                    Error::Op(Errno::Exists) => inode.corrupt("a block behind its end", lblk.into()),
                    error => error,
                })
            }
        }
    }
}

impl<P: Platform> DirectoryBlocks for InodeChange<'_, P> {
    fn blocks(&self) -> u32 {
        (self.inode.mapping.size() >> self.inode.fs.sb.block_bits) as u32
    }

    fn block(&self, lblk: u32) -> Result<u64> {
        let inode = self.inode;
        let hole = || bad_dir(inode.ino, "a hole in a directory", inode.fs.sb.byte(lblk.into()));
        inode.map().metadata(lblk.into())?.ok_or_else(hole)
    }

    fn append(&self) -> Result<(u32, Self::Block)> {
        let (inode, lblk) = (self.inode, self.blocks());
        let size = inode.fs.sb.byte(u64::from(lblk) + 1);
        if size > MAX_SIZE && !inode.fs.sb.has(INCOMPAT_LARGEDIR) {
            return Err(Errno::NoSpace.into());
        }
        let bytes = self.append_block(lblk)?;
        inode.store_size(ChangeOk::nobody_else(), size);
        inode.mark_data(self.op)?;
        Ok((lblk, bytes))
    }

    fn is_indexed(&self) -> bool {
        self.inode.has(INDEX_FL)
    }

    fn set_indexed(&self) {
        self.inode.edit().store_u32(I_FLAGS, self.inode.raw().flags() | INDEX_FL);
    }

    fn hash(&self, version: u8, name: &[u8]) -> Option<u32> {
        let sb = &self.inode.fs.sb;
        hash(version, sb.hash_unsigned, &sb.hash_seed, name).map(|hash| hash.major)
    }
}
