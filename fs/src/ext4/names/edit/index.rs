//! A name added through the index, and the steps in which the index grows.

use super::entries::{PackedEntry, Packer};
use super::node::IndexNodeEdit;
use super::{DirectoryBlocks, DirectoryEdit, NewEntry};
use crate::error::{Errno, Result};
use crate::ext::dirent::{Dirent, bad_dir};
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::ext4::disk::htree::*;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// The way from the root to a block of names.
struct IndexPath {
    /// The index's hash_version, and the hash that led there.
    version: u8,
    hash: u32,
    nodes: [PathNode; MAX_NODES],
    len: usize,
    leaf: HtreeBlock,
}

/// The most nodes on a way: two levels, and the root.
const MAX_NODES: usize = 3;

/// A node on the way.
#[derive(Clone, Copy, Default)]
struct PathNode {
    lblk: u32,
    /// The entry that was followed.
    entry: u16,
    is_full: bool,
}

impl<D: DirectoryBlocks> DirectoryEdit<'_, D> {
    /// Adds an entry to a directory with an index.
    pub(super) fn add_by_index(self, new: &NewEntry<'_>) -> Result<()> {
        // At most one turn for each level, and one that adds a level: none is full where the turn before has
        // split.
        loop {
            let index = self.form().index(self.blocks.blocks().into());
            let path = self.find_way(&index, new.name)?;
            if self.form().is_index(path.leaf.lblk.into(), &*self.read(path.leaf.lblk)?) {
                return Err(index.corrupt("a node where names should be", path.leaf.lblk));
            }
            if self.add_to_block(path.leaf.lblk, new)? {
                return Ok(());
            }
            // What is full is split from the top, so that there is room for what the split leads to.
            let nodes = &path.nodes[..path.len];
            match nodes.iter().rposition(|node| !node.is_full) {
                Some(lowest) if lowest + 1 == nodes.len() => {
                    return self.split_names(&nodes[lowest], &path, new);
                }
                Some(above) => self.split_node(&index, &nodes[above], &nodes[above + 1])?,
                None if nodes.len() <= usize::from(index.max_levels) => self.add_level(&index)?,
                None => return Err(Errno::IndexFull.into()),
            }
        }
    }

    fn hash(&self, version: u8, name: &[u8]) -> Result<u32> {
        let unknown = || bad_dir(self.ino, "a hash_version that is not known", version.into());
        self.blocks.hash(version, name).ok_or_else(unknown)
    }

    /// Returns the way to the block of names that `name` belongs to.
    fn find_way(&self, index: &IndexedDirectory, name: &[u8]) -> Result<IndexPath> {
        let root = self.read_with(0, |bytes| index.root(bytes, 0)?.1.check())?;
        let (version, mut node) = index.root(root, 0)?;
        let hash = self.hash(version, name)?;
        let (mut nodes, mut len) = ([PathNode::default(); MAX_NODES], 0);
        // The levels fall with each turn.
        loop {
            let entry = node.last_up_to(hash);
            let child = node.child(entry)?;
            nodes[len] = PathNode { lblk: node.lblk(), entry, is_full: node.is_full() };
            len += 1;
            if nodes[..len].iter().any(|node| node.lblk == child.lblk) {
                return Err(bad_dir(self.ino, "a node of the index leads to itself", child.lblk.into()));
            }
            if node.is_lowest() {
                return Ok(IndexPath { version, hash, nodes, len, leaf: child });
            }
            let bytes = self.read_with(child.lblk, |bytes| index.node(&child, bytes, 0)?.check())?;
            node = index.node(&child, bytes, 0)?;
        }
    }

    /// Makes the only block of a directory the root of an index. A new block has the names.
    pub(super) fn make_index(self) -> Result<()> {
        let (bytes, mut dots) = (self.read(0)?, 0);
        let entries = self.packed(0, &bytes, &mut |entry, name| {
            let is_dots = entry.at == 0 && name == b"." || u64::from(entry.at) == DOT_LEN && name == b"..";
            dots += u8::from(is_dots);
            Ok(!is_dots)
        })?;
        if dots != 2 {
            return Err(bad_dir(self.ino, "its first block does not begin with `.` and `..`", 0));
        }
        // 1. All that is needed.
        self.hash(self.sb.hash_version, b"")?;
        let root = self.change(0)?;
        let (lblk, names) = self.blocks.append()?;
        // 2. The names, then what is where they were.
        let mut packer = Packer::new(&*names);
        entries.iter().for_each(|&entry| packer.copy(&*root, entry));
        packer.finish(self.form().names_end());
        self.blocks.set_indexed();
        let index = self.form().index(self.blocks.blocks().into());
        IndexNodeEdit::make_root(&*root, &index, self.sb.hash_version).set_only(lblk);
        self.seal(0, &root);
        self.seal(lblk, &names);
        Ok(())
    }

    /// Moves the root's entries to a new node, which is all that is below it.
    fn add_level(&self, index: &IndexedDirectory) -> Result<()> {
        // 1. All that is needed.
        let bytes = self.change(0)?;
        let (lblk, new_bytes) = self.blocks.append()?;
        // 2.
        let (root, new) = (IndexNodeEdit::of(0, &*bytes), IndexNodeEdit::make(&*new_bytes, index));
        new.take(&root, 0..root.count());
        root.set_only(lblk);
        root.add_level();
        self.seal(0, &bytes);
        self.seal(lblk, &new_bytes);
        Ok(())
    }

    /// Moves the upper half of `node` to a new one; `above` gets an entry for it.
    fn split_node(&self, index: &IndexedDirectory, above: &PathNode, node: &PathNode) -> Result<()> {
        // 1. All that is needed.
        let (above_bytes, bytes) = (self.change(above.lblk)?, self.change(node.lblk)?);
        let (lblk, new_bytes) = self.blocks.append()?;
        // 2.
        let old = IndexNodeEdit::of(node.lblk, &*bytes);
        let middle = old.count() / 2;
        let key = old.key(middle);
        IndexNodeEdit::make(&*new_bytes, index).take(&old, middle..old.count());
        IndexNodeEdit::of(above.lblk, &*above_bytes).insert(above.entry + 1, key, lblk);
        self.seal(above.lblk, &above_bytes);
        self.seal(node.lblk, &bytes);
        self.seal(lblk, &new_bytes);
        Ok(())
    }

    /// Moves the half of a block of names that has the higher hashes to a new one, adds `new` to the one of
    /// the two that it belongs to, and to `node`, the last on the way, an entry for the new block.
    fn split_names(&self, node: &PathNode, path: &IndexPath, new: &NewEntry<'_>) -> Result<()> {
        let leaf = path.leaf.lblk;
        // 1. The names by their hashes.
        let mut entries = self.packed(leaf, &self.read(leaf)?, &mut |entry, name| {
            entry.hash = self.hash(path.version, name)?;
            if path.leaf.may_have(entry.hash) {
                return Ok(true);
            }
            let pos = self.sb.byte(leaf.into()) + u64::from(entry.at);
            Err(bad_dir(self.ino, "a name is not where its hash leads", pos))
        })?;
        entries.sort_unstable_by_key(|entry| (entry.hash, entry.at));
        let no_names = || bad_dir(self.ino, "no room beside a name", self.sb.byte(leaf.into()));
        let middle = middle_of(&entries).ok_or_else(no_names)?;
        let (last, first) = (entries[middle - 1].hash, entries[middle].hash);
        let (lower, upper) = entries.split_at_mut(middle);
        // 2. All that is needed.
        let (node_bytes, lower_bytes) = (self.change(node.lblk)?, self.change(leaf)?);
        let (lblk, upper_bytes) = self.blocks.append()?;
        // 3. The upper half goes, the lower moves together, from the front.
        lower.sort_unstable_by_key(|entry| entry.at);
        let mut packers = (Packer::new(&*lower_bytes), Packer::new(&*upper_bytes));
        upper.iter().for_each(|&entry| packers.1.copy(&*lower_bytes, entry));
        lower.iter().for_each(|&entry| packers.0.copy(&*lower_bytes, entry));
        if path.hash < first { &mut packers.0 } else { &mut packers.1 }.add(new);
        packers.0.finish(self.form().names_end());
        packers.1.finish(self.form().names_end());
        // 4. The low bit of the key tells that the lower half ends with the same hash.
        let key = first | u32::from(first == last);
        IndexNodeEdit::of(node.lblk, &*node_bytes).insert(node.entry + 1, key, lblk);
        self.seal(leaf, &lower_bytes);
        self.seal(lblk, &upper_bytes);
        self.seal(node.lblk, &node_bytes);
        Ok(())
    }

    /// Returns the entries of logical block `lblk` that are in use and that `keep` wants, who is told their
    /// names.
    pub(super) fn packed(
        &self,
        lblk: u32,
        bytes: &D::Read,
        keep: &mut dyn FnMut(&mut PackedEntry, &[u8]) -> Result<bool>,
    ) -> Result<Vec<PackedEntry>> {
        let (mut entries, mut name) = (Vec::new(), [0; NAME_MAX]);
        let mut add = |entry: &Dirent| {
            let name = &mut name[..entry.name_len.into()];
            bytes.read(entry.at + D_NAME, name);
            let mut packed = PackedEntry { hash: 0, at: entry.within, need: entry.used() };
            if entry.ino != 0 && keep(&mut packed, name)? {
                entries.try_reserve(1).map_err(|_| Errno::NoMemory)?;
                entries.push(packed);
            }
            Ok(())
        };
        let failed = self.form().each(lblk.into(), &**bytes, &mut |entry| match add(entry) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        })?;
        failed.map_or(Ok(entries), Err)
    }
}

/// Returns how many of `entries` are the lower half, by their bytes; `None` if they are not two. So the
/// larger half has at most an entry's length more than the other: there is room for one more in either.
fn middle_of(entries: &[PackedEntry]) -> Option<usize> {
    let all: u32 = entries.iter().map(|entry| u32::from(entry.need)).sum();
    let mut lower = 0;
    (1..entries.len()).min_by_key(|&count| {
        lower += u32::from(entries[count - 1].need);
        lower.max(all - lower)
    })
}
