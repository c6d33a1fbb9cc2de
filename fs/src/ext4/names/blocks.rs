//! The blocks of a directory of a mounted file system, in an operation.

use super::edit::{AddedNameCredits, DirectoryBlocks};
use crate::error::{Errno, Error, Result};
use crate::ext::dirent::bad_dir;
use crate::ext::features::INCOMPAT_LARGEDIR;
use crate::ext::layout::*;
use crate::ext4::change::InodeChange;
use crate::ext4::disk::extent::{AllowedBlocks, DiskExtent, MAX_DEPTH};
use crate::ext4::disk::hash::hash;
use crate::ext4::edit::{Change, Edit};
use crate::ext4::extents::{ExtentTree, TreeCredits};
use crate::ext4::inode::Ext4Inode;
use crate::platform::Platform;
use crate::vfs::ChangeOk;

/// Blocks that an operation changes which takes or frees a block: itself, its bit, its group's counts.
pub(in crate::ext4) const BLOCK: u32 = 3;

/// An inode's tree of extents, to be changed in an operation.
type ChangedTree<'a, P> = ExtentTree<'a, InodeChange<'a, P>, &'a dyn Fn(u64, u32) -> bool>;

/// The largest directory without `largedir`: what Linux reads.
const MAX_SIZE: u64 = 1 << 31;

impl<P: Platform> Ext4Inode<P> {
    /// Returns how many blocks of metadata are changed at most when a name is added to this directory.
    pub(super) fn added_name_credits(&self) -> u32 {
        let AddedNameCredits { changed, appended } = AddedNameCredits::of(&self.fs.sb);
        // The tree may become deeper with each block.
        let tree = TreeCredits::of_filling(self.tree_depth() + 1);
        changed + appended * (BLOCK + tree.changed + BLOCK * tree.created)
    }
}

impl<P: Platform> Ext4Inode<P> {
    /// Returns how many levels of its tree of extents are below the root.
    pub(super) fn tree_depth(&self) -> u16 {
        // The upper half of the header's second word.
        self.bytes().load_u16(I_BLOCK + 6).min(MAX_DEPTH)
    }
}

impl<P: Platform> InodeChange<'_, P> {
    /// Calls `change` with the inode's tree of extents, new blocks of which are near `goal`.
    pub(super) fn with_tree<R>(
        &self,
        goal: u64,
        change: impl FnOnce(&ChangedTree<'_, P>) -> Result<R>,
    ) -> Result<R> {
        let (inode, sb) = (self.inode, &self.inode.fs.sb);
        let may_be_a_files = |block, len: u32| inode.fs.may_be_a_files(inode.ino, block, len.into());
        let allowed = AllowedBlocks {
            blocks: sb.first_data_block.into()..sb.blocks_count,
            may_be_a_files: &may_be_a_files as &dyn Fn(u64, u32) -> bool,
        };
        let bytes = inode.edit();
        let (ino, at, allowed) = (inode.ino, I_BLOCK, &allowed);
        change(&ExtentTree { change: self, inode: &bytes, at, ino, allowed, goal })
    }

    /// Takes a block for metadata, for logical block `lblk`, which is behind all others. Returns its bytes:
    /// zeros, to change.
    ///
    /// # Errors
    /// No space; something is there already. Nothing was changed.
    pub(super) fn append_block(&self, lblk: u32) -> Result<<Self as Change>::Block> {
        let inode = self.inode;
        let before = lblk.checked_sub(1).and_then(|last| inode.map().metadata(last.into()).ok()?);
        let home = inode.fs.sb.first_block(inode.fs.sb.group_of_inode(inode.ino));
        let goal = before.map_or(home, |block| block + 1);
        let (block, bytes) = self.create(goal)?;
        let run = DiskExtent { lblk, block, len: 1, unwritten: false };
        match self.with_tree(goal, |tree| tree.insert(run)) {
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
