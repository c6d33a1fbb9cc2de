//! Entries of a node replaced by others, and what that comes to for the nodes above.
//!
//! ```text
//! fits       [a|b|c| ] ── b becomes b', b" ──► [a|b'|b"|c]     above: a new first key, if there is one
//! is full    [a|b|c|d] ── d becomes d, e ────► [a|b|c|d] [e]   above: one entry becomes two
//!            [a|b|c|d] ── a becomes a', a" ──► [a'|a"|b] [c|d]
//! is empty   [a]       ── a goes ────────────► freed           above: an entry goes
//! the root   [a|b|c|d] ── d becomes d, e ────► [→]             one level more
//!                                               └► [a|b|c|d|e]
//! ```
//!
//! A full node is split in the middle; but where something is put behind its last entry, it stays full, and
//! the new one begins with what did not fit: a file that is written from its start to its end has dense
//! leaves. The root is not split: all that it has goes into a new block.
//!
//! A splice adds at most two entries, and a block has room for six at least, so for all of a root's and two.

use super::super::disk::extent::*;
use super::super::edit::{BlockSeal, Change, SealedBlock};
use super::ExtentTree;
use super::node::{NodeEdit, RawEntry, index_entry};
use super::path::{TreePath, TreeStep};
use crate::error::{Errno, Result};
use crate::ext::load::Load;
use core::ops::{Deref, Range};

/// What becomes of the entries of a node.
pub(super) struct Splice {
    /// These go.
    slots: Range<u16>,
    /// The first `count` of these come in their place.
    new: [RawEntry; 3],
    count: u16,
    /// This is added to the keys of all that follow; what does not fit goes round.
    shift: u32,
}

/// Returns how many entries `slots` are.
fn len(slots: &Range<u16>) -> u16 {
    slots.end - slots.start
}

/// Returns what is in both.
fn common(a: Range<u16>, b: &Range<u16>) -> Option<Range<u16>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (!both.is_empty()).then_some(both)
}

impl Splice {
    /// Makes one that replaces the entries `slots` by those of `new` that there are, in order.
    pub(super) fn new(slots: Range<u16>, new: [Option<RawEntry>; 3]) -> Self {
        let mut splice = Self { slots, new: [[0; 3]; 3], count: 0, shift: 0 };
        for (to, entry) in splice.new.iter_mut().zip(new.into_iter().flatten()) {
            *to = entry;
            splice.count += 1;
        }
        splice
    }

    /// Makes one that replaces extents of a leaf.
    pub(super) fn of_extents(slots: Range<u16>, new: [Option<DiskExtent>; 3]) -> Self {
        Self::new(slots, new.map(|extent| extent.as_ref().map(DiskExtent::entry)))
    }

    /// Makes one that also adds `shift` to the keys of all that follow.
    pub(super) fn shifting(self, shift: u32) -> Self {
        Self { shift, ..self }
    }

    /// Where the new entries are in what comes out.
    fn place(&self) -> Range<u16> {
        self.slots.start..self.slots.start + self.count
    }

    /// How many entries come out of `entries`.
    fn outcome(&self, entries: u16) -> u16 {
        entries - len(&self.slots) + self.count
    }

    /// The key of entry `i` of what comes out of `node`.
    fn key<B: Deref<Target: Load>>(&self, node: &ExtentNode<B>, i: u16) -> u32 {
        let place = self.place();
        if i < place.start {
            node.begin(i)
        } else if i < place.end {
            self.new[usize::from(i - place.start)][0]
        } else {
            node.begin(i - place.end + self.slots.end).wrapping_add(self.shift)
        }
    }

    /// Stores the entries `part` of what comes out of the `entries` of `source` into `node`, from its first
    /// one on. Without a source they are the node's own, of which those in front of the splice stay.
    fn store(&self, node: NodeEdit<'_>, source: Option<NodeEdit<'_>>, entries: u16, part: Range<u16>) {
        let place = self.place();
        if let Some(tail) = common(place.end..self.outcome(entries), &part) {
            let old = |i: u16| i - place.end + self.slots.end;
            let (from, to) = (old(tail.start)..old(tail.end), tail.start - part.start);
            match source {
                Some(source) => node.copy_entries(source.bytes, source.at, from, to),
                None if from.start != to => node.move_entries(from, to),
                None => {}
            }
            if self.shift != 0 {
                node.shift_keys(to..to + len(&tail), self.shift);
            }
        }
        if let (Some(source), Some(head)) = (source, common(0..place.start, &part)) {
            let to = head.start - part.start;
            node.copy_entries(source.bytes, source.at, head, to);
        }
        for (i, entry) in place.zip(self.new).filter(|(i, _)| part.contains(i)) {
            node.put(i - part.start, entry);
        }
    }
}

impl<C: Change, F: Fn(u64, u32) -> bool> ExtentTree<'_, C, F> {
    /// Does `splice` to the leaf at the end of `path`.
    ///
    /// # Errors
    /// No space or no memory; a block cannot be read. Nothing was changed.
    pub(super) fn splice(&self, path: &TreePath<'_, C::Read>, splice: &Splice) -> Result<()> {
        self.carry(&path.above, &path.leaf, splice)
    }

    /// Does `splice` to the node `step`, and what it comes to for those above.
    fn carry(
        &self,
        above: &[TreeStep<'_, C::Read>],
        step: &TreeStep<'_, C::Read>,
        splice: &Splice,
    ) -> Result<()> {
        let Some((parent, above)) = above.split_last() else { return self.carry_into_root(step, splice) };
        let up = |slots, entries| self.carry(above, parent, &Splice::new(slots, entries));
        let (slot, behind) = (parent.slot, parent.slot + 1);
        let (node, entries, max) = (&step.node, step.node.entries(), self.capacity());
        let count = splice.outcome(entries);
        if count == 0 {
            up(slot..behind, [None; 3])?;
            self.change.forget(step.block);
            return Ok(());
        }
        let key = splice.key(node, 0);
        let first = (key != node.begin(0)).then(|| index_entry(key, step.block));
        if count > max {
            let start = if first.is_some() { slot } else { behind };
            return self.split(step, splice, |second| up(start..behind, [first, Some(second), None]));
        }
        let changed = self.change.change(step.block)?;
        if first.is_some() {
            up(slot..behind, [first, None, None])?;
        }
        let edit = NodeEdit { bytes: &*changed, at: 0 };
        splice.store(edit, None, entries, 0..count);
        self.finish(edit, count, node.depth());
        Ok(())
    }

    /// Does `splice`, which is too much for the node `step`, to it and a new one behind it, for which `up` is
    /// given the entry.
    fn split(
        &self,
        step: &TreeStep<'_, C::Read>,
        splice: &Splice,
        up: impl FnOnce(RawEntry) -> Result<()>,
    ) -> Result<()> {
        let (entries, depth) = (step.node.entries(), step.node.depth());
        let count = splice.outcome(entries);
        let left = if splice.slots.end == entries { self.capacity() } else { count - count / 2 };
        // Where something is only put behind a full node, that stays as it is.
        let changed = match splice.slots.start < entries {
            true => Some(self.change.change(step.block)?),
            false => None,
        };
        let (block, created) = self.change.create(self.goal)?;
        up(index_entry(splice.key(&step.node, left), block)).inspect_err(|_| self.change.forget(block))?;
        let beside = NodeEdit { bytes: &*created, at: 0 };
        let edit = changed.as_deref().map(|bytes| NodeEdit { bytes, at: 0 });
        splice.store(beside, edit, entries, left..count);
        self.finish(beside, count - left, depth);
        if let Some(edit) = edit {
            splice.store(edit, None, entries, 0..left);
            self.finish(edit, left, depth);
        }
        Ok(())
    }

    /// How many entries a block has room for.
    fn capacity(&self) -> u16 {
        capacity(self.change.block_size()) as u16
    }

    /// Does `splice` to the root.
    fn carry_into_root(&self, step: &TreeStep<'_, C::Read>, splice: &Splice) -> Result<()> {
        let (entries, depth, max) = (step.node.entries(), step.node.depth(), ROOT_MAX as u16);
        let count = splice.outcome(entries);
        let root = NodeEdit { bytes: self.inode, at: self.at };
        if count <= max {
            splice.store(root, None, entries, 0..count);
            root.set_header(count, max, if count == 0 { 0 } else { depth });
            return Ok(());
        }
        if depth == MAX_DEPTH {
            return Err(Errno::FileTooBig.into());
        }
        let (number, created) = self.change.create(self.goal)?;
        let (child, first) = (NodeEdit { bytes: &*created, at: 0 }, splice.key(&step.node, 0));
        splice.store(child, Some(root), entries, 0..count);
        self.finish(child, count, depth);
        root.put(0, index_entry(first, number));
        root.set_header(1, max, depth + 1);
        Ok(())
    }

    /// Stores the header of a block, whose entries are stored, and seals it.
    fn finish(&self, node: NodeEdit<'_>, entries: u16, depth: u16) {
        node.set_header(entries, self.capacity(), depth);
        if let Some(seed) = self.change.seed() {
            let seal = BlockSeal { block: SealedBlock::Extents, seed };
            node.bytes.seal(seal, self.change.block_size());
        }
    }

    /// Takes the entries of the root's child into the root as long as it is the only one and they fit. A
    /// child that cannot be read stays where it is: who looks something up there will be told.
    pub(super) fn fold(&self) {
        while let Ok(root) = self.root()
            && root.depth() > 0
            && root.entries() == 1
            && let Ok(child) = root.child(0, self.allowed)
            && let Ok(bytes) = self.read(&child)
            && let Ok(node) = child.open(&*bytes, 0, self.change.block_size())
            && u64::from(node.entries()) <= ROOT_MAX
        {
            let (entries, depth) = (node.entries(), node.depth());
            let root = NodeEdit { bytes: self.inode, at: self.at };
            root.copy_entries(&*bytes, 0, 0..entries, 0);
            root.set_header(entries, ROOT_MAX as u16, depth);
            self.change.forget(child.block);
        }
    }
}
