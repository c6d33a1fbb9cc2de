//! The way from the root to the leaf of a logical block.

use super::super::disk::extent::ExtentNode;
use super::super::edit::Change;
use super::ExtentTree;
use super::node::NodeBytes;
use crate::error::Result;
use alloc::vec::Vec;

/// A node on the way.
pub(super) struct TreeStep<'a, R> {
    /// Its block. The root has none: it is in the inode.
    pub block: u64,
    /// The node, as it was before the edit.
    pub node: ExtentNode<NodeBytes<'a, R>>,
    /// The entry that is followed. In the leaf, how many entries begin at the logical block or in front of
    /// it.
    pub slot: u16,
}

/// The way to a leaf. A node's block is that to which the entry of the one before leads.
pub(super) struct TreePath<'a, R> {
    /// The nodes above the leaf, the root first. There are none if the root is the leaf.
    pub above: Vec<TreeStep<'a, R>>,
    /// The leaf.
    pub leaf: TreeStep<'a, R>,
}

impl<'a, C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'a, C, F> {
    /// Returns the root, checked as a block is when it is first met.
    pub(super) fn root(&self) -> Result<ExtentNode<NodeBytes<'a, C::Read>>> {
        let root = ExtentNode::root(NodeBytes::Inode(self.inode), self.at, self.ino)?;
        root.check(self.allowed)?;
        Ok(root)
    }

    /// Returns the way to the leaf that logical block `lblk` is in, or would be.
    ///
    /// # Errors
    /// A node contradicts itself or cannot be read.
    pub(super) fn path(&self, lblk: u32) -> Result<TreePath<'a, C::Read>> {
        let (mut block, mut node, mut above) = (0, self.root()?, Vec::new());
        // The depth falls with each turn: opening a block sees to that.
        while node.depth() > 0 {
            let slot = node.entries_up_to(lblk).saturating_sub(1);
            let child = node.child(slot, self.allowed)?;
            let bytes = NodeBytes::Block(self.read(&child)?);
            let next = child.open(bytes, 0, self.change.block_size())?;
            above.push(TreeStep { block, node, slot });
            (block, node) = (child.block, next);
        }
        let slot = node.entries_up_to(lblk);
        Ok(TreePath { above, leaf: TreeStep { block, node, slot } })
    }
}
