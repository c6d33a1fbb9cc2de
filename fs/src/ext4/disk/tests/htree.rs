//! Indexes of directories.

use super::{BLOCK, put, why};
use crate::error::Result;
use crate::ext4::disk::hash::HALF_MD4;
use crate::ext4::disk::htree::*;
use std::format;
use std::vec;
use std::vec::Vec;

/// A directory of 20 blocks, with the nodes that are in some of them.
struct Dir {
    directory: IndexedDirectory,
    blocks: Vec<Vec<u8>>,
}

/// Stores entries, of which the first one's key is not stored.
fn fill(block: &mut [u8], at: usize, entries: &[(u32, u32)]) {
    put(block, at, (((BLOCK - at - 8) / 8) as u16).to_le_bytes());
    for (i, (key, lblk)) in entries.iter().enumerate() {
        if i > 0 {
            put(block, at + 8 * i, key.to_le_bytes());
        }
        put(block, at + 8 * i + 4, lblk.to_le_bytes());
    }
    put(block, at + 2, (entries.len() as u16).to_le_bytes());
}

impl Dir {
    fn new(levels: u8, entries: &[(u32, u32)]) -> Self {
        let mut root = vec![0; BLOCK];
        put(&mut root, 4, 12u16.to_le_bytes());
        put(&mut root, 0x10, (BLOCK as u16 - 12).to_le_bytes());
        put(&mut root, 0x1c, [HALF_MD4, 8, levels, 0]);
        fill(&mut root, 0x20, entries);
        let mut blocks = vec![vec![0; BLOCK]; 20];
        blocks[0] = root;
        let block_size = BLOCK as u64;
        let directory = IndexedDirectory { ino: 13, blocks: 20, block_size, has_tails: true, max_levels: 1 };
        Self { directory, blocks }
    }

    fn with_node(mut self, lblk: usize, entries: &[(u32, u32)]) -> Self {
        put(&mut self.blocks[lblk], 4, (BLOCK as u16).to_le_bytes());
        fill(&mut self.blocks[lblk], 8, entries);
        self
    }

    /// Three leaves below one node and two below another: hashes of `0x300` are in four of them.
    fn example() -> Self {
        Self::new(1, &[(0, 1), (0x301, 2)])
            .with_node(1, &[(0, 10), (0x100, 11), (0x300, 12)])
            .with_node(2, &[(0, 13), (0x301, 14), (0x301, 15), (0x400, 16)])
    }

    fn root(&self) -> Result<HtreeNode<'_, &[u8]>> {
        Ok(self.directory.root(&self.blocks[0][..], 0)?.1)
    }

    fn get(&self, block: &HtreeBlock) -> Result<HtreeNode<'_, &[u8]>> {
        self.directory.node(block, &self.blocks[block.lblk as usize][..], 0)
    }

    /// The blocks that are looked through for `hash`, until one of them is `until`.
    fn leaves(&self, hash: u32, until: u32) -> Result<Vec<u32>> {
        let mut seen = Vec::new();
        let found = look_up(&self.root()?, hash, &mut |block| self.get(block), &mut |lblk| {
            seen.push(lblk);
            Ok((lblk == until).then_some(lblk))
        })?;
        assert_eq!(found, (seen.last() == Some(&until)).then_some(until));
        Ok(seen)
    }

    /// Checks each node as it is met, with looking up several hashes.
    fn check(&self) -> Result<()> {
        self.root()?.check()?;
        let mut get = |block: &HtreeBlock| {
            let node = self.get(block)?;
            node.check()?;
            Ok(node)
        };
        [0, 0x300]
            .into_iter()
            .try_for_each(|hash| look_up(&self.root()?, hash, &mut get, &mut |_| Ok(None::<()>)).map(drop))
    }
}

#[test]
fn a_hash_leads_to_its_block_and_to_those_that_go_on_with_it() {
    let dir = Dir::example();
    dir.check().unwrap();
    for (hash, blocks) in [
        (0, &[10][..]),
        (0xfe, &[10]),
        (0x100, &[11]),
        (0x2fe, &[11]),
        (0x300, &[12, 13, 14, 15]),
        (0x302, &[15]),
        (0x400, &[16]),
        (0xffff_fffc, &[16]),
    ] {
        assert_eq!(dir.leaves(hash, u32::MAX).unwrap(), blocks, "{hash:#x}");
    }
    assert_eq!(dir.leaves(0x300, 13).unwrap(), [12, 13], "it ends with the answer");
    let flat = Dir::new(0, &[(0, 5), (0x10, 6), (0x11, 7), (0x20, 8)]);
    flat.check().unwrap();
    assert_eq!(flat.leaves(0x10, 0).unwrap(), [6, 7]);
    assert_eq!(flat.leaves(0xe, 0).unwrap(), [5]);
    flat.root().unwrap();
    assert_eq!(ends(true, &flat.blocks[0][..], 0, BLOCK as u64, true), Some((0x40, BLOCK as u64 - 8)));
}

#[test]
fn each_contradiction_is_named() {
    let refused = |lblk: usize, at: usize, value: u16| {
        let mut dir = Dir::example();
        put(&mut dir.blocks[lblk], at, value.to_le_bytes());
        format!("{}", dir.check().expect_err("a contradiction"))
    };
    for (lblk, at, value, expected) in [
        (0, 0x04, 16, "its root does not begin with `.` and `..` (0)"),
        (0, 0x10, 0xffff, "its root does not begin with `.` and `..` (0)"),
        (0, 0x1a, 1, "its root's reserved bytes are not zero (0)"),
        (0, 0x1c, 0x0803, "a hash_version that is not known (0)"),
        (0, 0x1c, 0x0701, "bad info_length (0)"),
        (0, 0x1e, 2, "indirect_levels is too large (0)"),
        (0, 0x1e, 0x101, "flags that are not known (0)"),
        (0, 0x20, 124, "a node's limit is not what there is room for (0)"),
        (0, 0x22, 0, "a node's count is zero, or larger than its limit (0)"),
        (0, 0x22, 124, "a node's count is zero, or larger than its limit (0)"),
        (0, 0x24, 0, "a node leads out of the directory (0)"),
        (0, 0x24, 20, "a node leads out of the directory (0)"),
        (1, 0x02, 1, "a node does not begin with an entry without a name (1)"),
        (1, 0x04, 12, "a node does not begin with an entry without a name (1)"),
        (1, 0x08, 123, "a node's limit is not what there is room for (1)"),
        (1, 0x14, 0, "a node leads out of the directory (1)"),
        (1, 0x10, 0x302, "a node's hashes are not in order (1)"),
        (1, 0x10, 0x300, "a node's hashes are not in order (1)"),
        (1, 0x10, 0, "a node's hashes are not in order (1)"),
        (1, 0x18, 0x302, "a node's hashes are not in order (1)"),
        (2, 0x10, 0x2ff, "a node's hashes are not in order (2)"),
    ] {
        assert_eq!(refused(lblk, at, value), format!("corrupt index of directory 13: {expected}"));
    }
}

#[test]
fn a_third_level_needs_largedir() {
    let mut dir = Dir::new(2, &[(0, 1)]).with_node(1, &[(0, 2)]).with_node(2, &[(0, 3)]);
    assert_eq!(why(dir.check()), Some("indirect_levels is too large"));
    dir.directory.max_levels = 2;
    assert_eq!(dir.leaves(6, 0).unwrap(), [3]);
}

#[test]
fn what_leads_to_itself_ends() {
    // A node that names itself is taken for a leaf one level down: its entry without a name fills it.
    assert_eq!(Dir::new(1, &[(0, 1)]).with_node(1, &[(0, 1)]).leaves(6, 0).unwrap(), [1]);
    let again = vec![(0x301, 10); 100];
    let dir = Dir::new(1, &vec![(0x301, 1); 100]).with_node(1, &again);
    assert_eq!(why(dir.leaves(0x300, 0)), Some("more blocks with names than the directory has"));
}

#[test]
fn no_byte_makes_it_panic_or_leave_its_bounds() {
    let mut dir = Dir::example();
    for (lblk, len) in [(0, 0x20 + 2 * 8), (1, 8 + 3 * 8), (2, 8 + 4 * 8)] {
        for at in 0..len {
            for value in 0..=u8::MAX {
                let before = core::mem::replace(&mut dir.blocks[lblk][at], value);
                let is_sound = dir.check().is_ok();
                for hash in [0, 0xfe, 0x300, 0x302, 0xffff_fffc] {
                    match dir.leaves(hash, u32::MAX) {
                        Ok(leaves) => {
                            assert!((1..=20).contains(&leaves.len()));
                            assert!(leaves.iter().all(|leaf| (1..20).contains(leaf)));
                        }
                        Err(_) => assert!(!is_sound || [0x302, 0xfe, 0xffff_fffc].contains(&hash)),
                    }
                }
                dir.blocks[lblk][at] = before;
            }
        }
    }
}
