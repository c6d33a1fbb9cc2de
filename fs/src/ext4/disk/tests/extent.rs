//! Extent trees.

use super::{BLOCK, put, why};
use crate::error::{Corrupt, Errno, Error, Result};
use crate::ext4::disk::extent::*;
use core::ops::Range;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::format;
use std::vec;
use std::vec::Vec;

const ALL: Range<u32> = 0..u32::MAX;
/// The blocks that are the file system's own.
const OWN: Range<u64> = 5000..5010;

fn allowed() -> AllowedBlocks<impl Fn(u64, u32) -> bool> {
    let may_be_a_files = |block, len: u32| block + u64::from(len) <= OWN.start || block >= OWN.end;
    AllowedBlocks { blocks: 1..1 << 40, may_be_a_files }
}

/// A tree: its root, and blocks by number.
struct Tree {
    root: Vec<u8>,
    blocks: BTreeMap<u64, Vec<u8>>,
}

fn node(len: usize, max: u16, depth: u16, entries: &[[u8; 12]]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    put(&mut bytes, 0, 0xf30au16.to_le_bytes());
    put(&mut bytes, 2, (entries.len() as u16).to_le_bytes());
    put(&mut bytes, 4, max.to_le_bytes());
    put(&mut bytes, 6, depth.to_le_bytes());
    for (i, entry) in entries.iter().enumerate() {
        put(&mut bytes, 12 + 12 * i, *entry);
    }
    bytes
}

fn root(depth: u16, entries: &[[u8; 12]]) -> Vec<u8> {
    node(60, 4, depth, entries)
}

fn block(depth: u16, entries: &[[u8; 12]]) -> Vec<u8> {
    node(BLOCK, 84, depth, entries)
}

fn leaf(extent: DiskExtent) -> [u8; 12] {
    let mut entry = [0; 12];
    let len = if extent.unwritten { 0x8000 + extent.len } else { extent.len };
    put(&mut entry, 0, extent.lblk.to_le_bytes());
    put(&mut entry, 4, (len as u16).to_le_bytes());
    put(&mut entry, 6, ((extent.block >> 32) as u16).to_le_bytes());
    put(&mut entry, 8, (extent.block as u32).to_le_bytes());
    entry
}

fn index(lblk: u32, block: u64) -> [u8; 12] {
    let mut entry = [0xff; 12];
    put(&mut entry, 0, lblk.to_le_bytes());
    put(&mut entry, 4, (block as u32).to_le_bytes());
    put(&mut entry, 8, ((block >> 32) as u16).to_le_bytes());
    entry
}

fn written(lblk: u32, block: u64, len: u32) -> DiskExtent {
    DiskExtent { lblk, block, len, unwritten: false }
}

fn unwritten(lblk: u32, block: u64, len: u32) -> DiskExtent {
    DiskExtent { unwritten: true, ..written(lblk, block, len) }
}

impl Tree {
    /// One of `extents` with two levels of blocks, each with a few entries.
    fn of(extents: &[DiskExtent]) -> Self {
        let mut blocks = BTreeMap::new();
        let mut level: Vec<_> = extents.iter().map(|extent| (extent.lblk, leaf(*extent))).collect();
        let per_node = [3, level.len().div_ceil(3).div_ceil(4).max(1)];
        for (depth, per_node) in (0..).zip(per_node) {
            let nodes = level.chunks(per_node).enumerate().map(|(number, entries)| {
                let number = 100 + 1000 * u64::from(depth) + number as u64;
                let raw: Vec<_> = entries.iter().map(|(_, entry)| *entry).collect();
                blocks.insert(number, block(depth, &raw));
                (entries[0].0, index(entries[0].0, number))
            });
            level = nodes.collect();
        }
        let raw: Vec<_> = level.iter().map(|(_, entry)| *entry).collect();
        Self { root: root(2, &raw), blocks }
    }

    /// That of the head of the module.
    fn example() -> Self {
        let a = block(0, &[leaf(written(0, 1000, 8)), leaf(unwritten(20, 1 << 39, 30))]);
        let b = block(0, &[leaf(written(100, 2000, 1))]);
        let root = root(1, &[index(0, 50), index(100, 51)]);
        Self { root, blocks: BTreeMap::from([(50, a), (51, b)]) }
    }

    fn open(&self) -> Result<ExtentNode<&[u8]>> {
        ExtentNode::root(&self.root[..], 0, 12)
    }

    fn get<'a>(&'a self, child: &ExtentBlock) -> Result<ExtentNode<&'a [u8]>> {
        match self.blocks.get(&child.block) {
            Some(bytes) => child.open(&bytes[..], 0, BLOCK as u64),
            None => Err(Corrupt::new("block", child.block, "not of the test").into()),
        }
    }

    fn look_up(&self, lblk: u32) -> Result<ExtentOrHole> {
        look_up(&self.open()?, lblk, &allowed(), &mut |child| self.get(child))
    }

    fn walk(&self, range: Range<u32>) -> Result<Vec<DiskExtent>> {
        let mut found = Vec::new();
        walk(&self.open()?, &range, &allowed(), &mut |child| self.get(child), &mut |extent| {
            found.push(extent);
            Ok(())
        })?;
        Ok(found)
    }

    /// Checks each node as it is met.
    fn check(&self) -> Result<()> {
        let root = self.open()?;
        root.check(&allowed())?;
        let mut get = |child: &ExtentBlock| {
            let node = self.get(child)?;
            node.check(&allowed())?;
            Ok(node)
        };
        walk(&root, &ALL, &allowed(), &mut get, &mut |_| Ok(()))
    }
}

#[test]
fn the_tail_is_behind_what_there_is_room_for() {
    assert_eq!([1024, 2048, 4096].map(tail_at), [1020, 2040, 4092]);
}

#[test]
fn extents_and_holes_are_found() {
    let tree = Tree::example();
    let (first, second, third) = (written(0, 1000, 8), unwritten(20, 1 << 39, 30), written(100, 2000, 1));
    tree.check().unwrap();
    assert_eq!(tree.walk(ALL).unwrap(), [first, second, third]);
    let hole = |len, near| ExtentOrHole::Hole { len, near: Some(near) };
    for (lblk, expected) in [
        (0, ExtentOrHole::Extent(first)),
        (7, ExtentOrHole::Extent(first)),
        (8, hole(12, 1008)),
        (20, ExtentOrHole::Extent(second)),
        (49, ExtentOrHole::Extent(second)),
        (50, hole(50, (1 << 39) + 30)),
        (99, hole(1, (1 << 39) + 79)),
        (100, ExtentOrHole::Extent(third)),
        (101, hole(u32::MAX - 101, 2001)),
        (u32::MAX - 1, hole(1, 1900 + u64::from(u32::MAX - 1))),
    ] {
        assert_eq!(tree.look_up(lblk), Ok(expected), "{lblk}");
    }
    assert_eq!(tree.look_up(u32::MAX), Err(Error::Op(Errno::FileTooBig)));
    for (range, count) in [(8..20, 0), (7..21, 2), (50..100, 0), (49..101, 2), (101..u32::MAX, 0)] {
        assert_eq!(tree.walk(range.clone()).unwrap().len(), count, "{range:?}");
    }
    let levels: Vec<_> =
        [Tree::of(&[first, second, third]), tree].iter().map(|t| t.open().unwrap().depth()).collect();
    assert_eq!(levels, [2, 1]);
}

#[test]
fn a_file_without_blocks_is_a_hole_and_its_last_block_can_be_there() {
    let tree = |entries: &[DiskExtent]| {
        let raw: Vec<_> = entries.iter().copied().map(leaf).collect();
        Tree { root: root(0, &raw), blocks: BTreeMap::new() }
    };
    assert_eq!(tree(&[]).look_up(7), Ok(ExtentOrHole::Hole { len: u32::MAX - 7, near: None }));
    assert_eq!(tree(&[]).walk(ALL), Ok(vec![]));
    assert_eq!(tree(&[written(9, 7777, 1)]).look_up(7), Ok(ExtentOrHole::Hole { len: 2, near: None }));
    let last = written(u32::MAX - 0x8000, 6000, 0x8000);
    assert_eq!(tree(&[last]).look_up(u32::MAX - 1), Ok(ExtentOrHole::Extent(last)));
    let longest = unwritten(0, 6000, 0x7fff);
    assert_eq!(tree(&[longest]).look_up(5), Ok(ExtentOrHole::Extent(longest)));
    for lblk in [u32::MAX - 1, u32::MAX] {
        assert_eq!(
            why(tree(&[written(lblk, 6000, 2)]).check()),
            Some("an extent reaches beyond where the next one begins")
        );
    }
}

#[test]
fn each_contradiction_is_named() {
    let refused = |change: &dyn Fn(&mut Tree)| {
        let mut tree = Tree::example();
        change(&mut tree);
        tree.check().expect_err("a contradiction")
    };
    let in_root =
        |at: usize, value: u16| format!("{}", refused(&|tree| put(&mut tree.root, at, value.to_le_bytes())));
    let in_a = |at: usize, value: u16| {
        format!("{}", refused(&|tree| put(tree.blocks.get_mut(&50).unwrap(), at, value.to_le_bytes())))
    };
    for (found, expected) in [
        (in_root(0, 0xf30b), "extent root of inode 12: bad eh_magic (62219)"),
        (in_root(2, 5), "extent root of inode 12: eh_entries is larger than eh_max (5)"),
        (in_root(2, 0), "extent root of inode 12: levels below and no entries (1)"),
        (in_root(4, 84), "extent root of inode 12: eh_max is not what there is room for (84)"),
        (in_root(6, 6), "extent root of inode 12: eh_depth is too large (6)"),
        (in_root(6, 2), "extent block 50: eh_depth does not agree with the node above (0)"),
        (in_root(12, 1), "extent block 50: it does not begin where the node above says (1)"),
        (
            in_root(12, 100),
            "extent root of inode 12: an entry begins where the next one does, or behind it (100)",
        ),
        (in_root(16, 0), "extent root of inode 12: blocks outside of the file system (0)"),
        (in_root(16, 5000), "extent root of inode 12: blocks that belong to the file system itself (0)"),
        (in_root(20, 0xffff), "extent root of inode 12: blocks outside of the file system (0)"),
        (in_a(4, 83), "extent block 50: eh_max is not what there is room for (83)"),
        (in_a(2, 0), "extent block 50: it does not begin where the node above says (0)"),
        (in_a(16, 0), "extent block 50: an extent of no blocks (0)"),
        (in_a(16, 21), "extent block 50: an extent reaches beyond where the next one begins (0)"),
        (in_a(18, 0x8000), "extent block 50: blocks outside of the file system (0)"),
        (in_a(20, 4999), "extent block 50: blocks that belong to the file system itself (0)"),
        (in_a(24, 7), "extent block 50: an extent reaches beyond where the next one begins (0)"),
        (in_a(24, 71), "extent block 50: an extent reaches beyond where the next one begins (71)"),
    ] {
        assert_eq!(found, format!("corrupt {expected}"));
    }
}

#[test]
fn a_tree_whose_blocks_lead_to_themselves_ends() {
    let loops = block(4, &[index(0, 50)]);
    let tree = Tree { root: root(5, &[index(0, 50)]), blocks: BTreeMap::from([(50, loops)]) };
    let expected = Some("eh_depth does not agree with the node above");
    assert_eq!(why(tree.look_up(0)), expected);
    assert_eq!(why(tree.walk(ALL)), expected);
}

#[test]
fn no_byte_makes_it_panic_or_leave_its_bounds() {
    let lblks = [0, 7, 8, 20, 49, 50, 99, 100, 101, u32::MAX - 1];
    let keeps = |extent: DiskExtent| {
        assert!(extent.len > 0 && extent.lblk.checked_add(extent.len).is_some());
        assert!((allowed().may_be_a_files)(extent.block, extent.len));
    };
    let mut tree = Tree::example();
    for (node, len) in [(0, 60), (50, 12 + 2 * 12), (51, 12 + 12)] {
        for at in 0..len {
            for value in 0..=u8::MAX {
                let byte = |tree: &mut Tree, value| {
                    let bytes = if node == 0 { &mut tree.root } else { tree.blocks.get_mut(&node).unwrap() };
                    core::mem::replace(&mut bytes[at], value)
                };
                let before = byte(&mut tree, value);
                let is_sound = tree.check().is_ok();
                for lblk in lblks {
                    match tree.look_up(lblk) {
                        Ok(ExtentOrHole::Extent(extent)) => {
                            keeps(extent);
                            assert!(extent.lblk <= lblk && lblk < extent.end());
                        }
                        Ok(ExtentOrHole::Hole { len, .. }) => assert!(len > 0 && len <= u32::MAX - lblk),
                        Err(_) => assert!(!is_sound),
                    }
                }
                let walked = tree.walk(ALL);
                assert!(walked.is_ok() || !is_sound);
                walked.into_iter().flatten().for_each(keeps);
                byte(&mut tree, before);
            }
        }
    }
}

proptest! {
    #[test]
    fn look_ups_and_walks_agree_with_a_list(
        parts in prop::collection::vec((0u32..5, 1u32..=0x7fff, any::<bool>(), 6000u64..1 << 39), 1..40),
        probes in prop::collection::vec((0usize..40, 0u32..0x8000), 20),
    ) {
        let mut next = 0;
        let extents: Vec<_> = parts.into_iter().map(|(hole, len, unwritten, block)| {
            let lblk = next + hole;
            next = lblk + len;
            DiskExtent { lblk, block, len, unwritten }
        }).collect();
        let tree = Tree::of(&extents);
        tree.check().unwrap();
        prop_assert_eq!(&tree.walk(ALL).unwrap(), &extents);
        for (near, offset) in probes {
            let lblk = extents[near % extents.len()].lblk.saturating_sub(3) + offset;
            let expected = match extents.iter().find(|extent| extent.lblk <= lblk && lblk < extent.end()) {
                Some(extent) => ExtentOrHole::Extent(*extent),
                None => {
                    let end = extents.iter().map(|extent| extent.lblk).find(|start| *start > lblk);
                    ExtentOrHole::Hole { len: end.unwrap_or(u32::MAX) - lblk, near: None }
                }
            };
            // Whether there is an extent in front of it, depends on where its leaf begins.
            let found = match tree.look_up(lblk).unwrap() {
                ExtentOrHole::Hole { len, .. } => ExtentOrHole::Hole { len, near: None },
                found => found,
            };
            prop_assert_eq!(found, expected);
            let end = lblk + offset + 1;
            let inside: Vec<_> = extents.iter().copied()
                .filter(|extent| extent.lblk < end && extent.end() > lblk).collect();
            prop_assert_eq!(tree.walk(lblk..end).unwrap(), inside);
        }
    }
}
