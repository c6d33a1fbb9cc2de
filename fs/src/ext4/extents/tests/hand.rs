//! Trees made by hand: each case by itself.

use super::*;

/// A seed of no file system in particular.
fn seed() -> Option<Seed> {
    Some(Seed::new(None, b"an UUID: 16 byte").of_inode(12, 34))
}

/// A tree with `extents`, put in one after the other.
fn tree(block_size: u64, extents: &[DiskExtent]) -> TestTree {
    let tree = TestTree::new(block_size, seed(), None);
    extents.iter().for_each(|extent| tree.edit().insert(*extent).unwrap());
    tree
}

/// Extents of one block each, at every third, that cannot be joined.
fn scattered(count: u32) -> Vec<DiskExtent> {
    (0..count).map(|i| written(10 + 3 * i, 1000 + 2 * u64::from(i), 1)).collect()
}

/// What is there after `range` was removed, `most` extents at a time; and the blocks that were freed.
fn removed(tree: &TestTree, range: core::ops::Range<u32>, most: u16) -> (Vec<DiskExtent>, Vec<u64>) {
    let mut left = Some(range);
    while let Some(range) = left {
        left = tree.edit().remove(&range, most).unwrap();
        tree.extents().unwrap();
    }
    let mut freed = core::mem::take(&mut tree.change.asked.borrow_mut().freed);
    freed.sort();
    (tree.extents().unwrap(), freed)
}

#[test]
fn neighbours_are_joined_where_that_is_one_extent() {
    let first = written(10, 100, 5);
    for (next, joined) in [
        (written(15, 105, 3), Some(written(10, 100, 8))),
        (written(15, 106, 3), None),
        (written(16, 105, 3), None),
        (unwritten(15, 105, 3), None),
        (written(15, 105, 0x8000 - 5), Some(written(10, 100, 0x8000))),
        (written(15, 105, 0x8000 - 4), None),
    ] {
        assert_eq!(first.joined(&next), joined, "{next:?}");
    }
    let first = unwritten(10, 100, 5);
    assert_eq!(first.joined(&unwritten(15, 105, 0x7fff - 5)), Some(unwritten(10, 100, 0x7fff)));
    assert_eq!(first.joined(&unwritten(15, 105, 0x7fff - 4)), None);
}

#[test]
fn what_fills_the_gap_between_two_makes_them_one() {
    let one = tree(REAL, &[written(0, 100, 4), written(8, 108, 4), written(4, 104, 4)]);
    assert_eq!(one.extents(), Ok(vec![written(0, 100, 12)]));
    let two = tree(REAL, &[written(0, 100, 4), written(8, 0x9000, 4), written(4, 104, 4)]);
    assert_eq!(two.extents(), Ok(vec![written(0, 100, 8), written(8, 0x9000, 4)]));
    let longest = [unwritten(0, 100, 0x7fff), unwritten(0x7fff, 100 + 0x7fff, 1)];
    assert_eq!(tree(REAL, &longest).extents(), Ok(longest.to_vec()));
}

#[test]
fn only_a_hole_is_filled() {
    let there = [written(10, 100, 5), written(20, 200, 5)];
    let tree = tree(REAL, &there);
    for (lblk, len) in [(10, 1), (9, 2), (14, 1), (5, 100), (12, 3), (16, 5), (15, 6), (24, 1)] {
        assert_eq!(tree.edit().insert(written(lblk, 5000, len)), Err(Errno::Exists.into()), "{lblk}+{len}");
    }
    assert_eq!(tree.edit().insert(written(u32::MAX - 1, 5000, 2)), Err(Errno::FileTooBig.into()));
    for run in [written(100, 5000, 0), written(100, 5000, 0x8001), unwritten(100, 5000, 0x8000)] {
        assert_eq!(tree.edit().insert(run), Err(Errno::Invalid.into()));
    }
    assert_eq!(tree.extents(), Ok(there.to_vec()));
    tree.edit().insert(written(u32::MAX - 1, 5000, 1)).unwrap();
    tree.edit().insert(written(15, 5000, 5)).unwrap();
    assert_eq!(tree.extents().unwrap().len(), 4);
}

#[test]
fn a_file_written_from_start_to_end_has_full_leaves() {
    let small = tree(SMALL, &scattered(6 * 6 * 4 + 1));
    assert_eq!(small.extents(), Ok(scattered(145)));
    let levels = small.levels();
    assert_eq!(levels[0][..24], [6; 24]);
    assert_eq!(levels[1..], [[6, 6, 6, 6, 1].to_vec(), vec![5], vec![1]]);
    let real = tree(REAL, &scattered(340 * 4));
    assert_eq!(real.levels(), [vec![340; 4], vec![4]]);
}

#[test]
fn a_file_written_from_end_to_start_has_half_full_leaves_and_right_keys() {
    let backwards: Vec<_> = scattered(400).into_iter().rev().collect();
    let tree = tree(SMALL, &backwards);
    assert_eq!(tree.extents(), Ok(scattered(400)));
    let levels = tree.levels();
    assert!(tree.depth() > 3 && levels[0].iter().all(|&entries| entries >= 3), "{levels:?}");
}

#[test]
fn five_levels_are_the_most() {
    let tree = tree(SMALL, &scattered(4 * 6_u32.pow(5)));
    assert_eq!(tree.depth(), 5);
    let before = tree.image();
    assert_eq!(tree.edit().insert(written(1 << 30, 100, 1)), Err(Errno::FileTooBig.into()));
    assert!(tree.image() == before);
    while tree.edit().remove(&(0..u32::MAX), 100).unwrap().is_some() {}
    assert_eq!((tree.extents(), tree.depth()), (Ok(vec![]), 0));
}

#[test]
fn any_part_of_an_unwritten_extent_is_written() {
    let (w, u) = (written, unwritten);
    for (range, expected) in [
        (10..20, vec![w(0, 90, 30)]),
        (10..12, vec![w(0, 90, 12), u(12, 102, 8), w(20, 110, 10)]),
        (18..20, vec![w(0, 90, 10), u(10, 100, 8), w(18, 108, 12)]),
        (12..14, vec![w(0, 90, 10), u(10, 100, 2), w(12, 102, 2), u(14, 104, 6), w(20, 110, 10)]),
        (0..10, vec![w(0, 90, 10), u(10, 100, 10), w(20, 110, 10)]),
    ] {
        let tree = tree(REAL, &[w(0, 90, 10), u(10, 100, 10), w(20, 110, 10)]);
        assert_eq!(tree.edit().convert(&range, false), Ok(range.end));
        assert_eq!(tree.extents(), Ok(expected), "{range:?}");
    }
}

#[test]
fn conversions_go_on_behind_holes_and_what_is_converted() {
    let tree = tree(SMALL, &[written(5, 100, 5), unwritten(20, 200, 0x7fff)]);
    let convert = |range: core::ops::Range<u32>, unwritten| tree.edit().convert(&range, unwritten);
    assert_eq!(convert(0..30, false), Ok(10));
    assert_eq!(convert(10..15, false), Ok(15));
    assert_eq!(convert(10..30, false), Ok(30));
    assert_eq!(tree.extents().unwrap().len(), 3);
    assert_eq!(convert(0..0x10000, true), Ok(10));
    assert_eq!(tree.extents().unwrap()[0], unwritten(5, 100, 5));
    assert_eq!(convert(0x9000..u32::MAX, true), Ok(u32::MAX));
}

#[test]
fn an_unwritten_extent_has_a_block_less_than_a_written_one() {
    let tree = tree(REAL, &[written(0, 100, 0x8000)]);
    assert_eq!(tree.edit().convert(&(0..0x8000), true), Ok(0x7fff));
    assert_eq!(tree.edit().convert(&(0x7fff..0x8000), true), Ok(0x8000));
    assert_eq!(tree.extents(), Ok(vec![unwritten(0, 100, 0x7fff), unwritten(0x7fff, 100 + 0x7fff, 1)]));
}

#[test]
fn a_range_goes_from_its_end_to_its_start() {
    let all = [written(0, 100, 8), written(8, 200, 4), written(20, 300, 9), written(40, 400, 8)];
    let (left, freed) = removed(&tree(SMALL, &all), 10..45, 1);
    assert_eq!(left, [all[0], written(8, 200, 2), written(45, 405, 3)]);
    assert_eq!(freed, (202..204).chain(300..309).chain(400..405).collect::<Vec<_>>());
    let (left, freed) = removed(&tree(SMALL, &all), 22..25, 9);
    assert_eq!(left, [all[0], all[1], written(20, 300, 2), written(25, 305, 4), all[3]]);
    assert_eq!(freed, [302, 303, 304]);
    assert_eq!(removed(&tree(SMALL, &all), 12..20, 9), (all.to_vec(), vec![]));
    assert_eq!(removed(&tree(SMALL, &[]), 0..u32::MAX, 9), (vec![], vec![]));
}

#[test]
fn emptied_blocks_are_freed_and_few_extents_are_in_the_inode() {
    let tree = tree(SMALL, &scattered(300));
    assert!(tree.depth() >= 3);
    // Where a leaf begins.
    let middle = 10 + 3 * 102;
    removed(&tree, 0..middle, 4);
    let first = tree.extents().unwrap()[0];
    assert_eq!(first.lblk, middle);
    removed(&tree, middle + 12..u32::MAX, 100);
    assert_eq!((tree.depth(), tree.extents().unwrap().len()), (0, 4));
    assert_eq!(removed(&tree, 0..u32::MAX, 100).0, []);
}

#[test]
fn a_collapsed_range_joins_what_was_around_it() {
    let tree =
        tree(SMALL, &[written(0, 100, 20), written(30, 120, 5), written(40, 200, 8), written(50, 300, 9)]);
    assert_eq!(tree.edit().shift_down(&(30..u32::MAX), 10), Ok(None));
    assert_eq!(tree.extents(), Ok(vec![written(0, 100, 25), written(30, 200, 8), written(40, 300, 9)]));
    for (start, by) in [(30, 6), (40, 3), (5, 6), (10, 1)] {
        assert_eq!(tree.edit().shift_down(&(start..u32::MAX), by), Err(Errno::Exists.into()), "{start}");
    }
    assert_eq!(tree.edit().shift_down(&(49..u32::MAX), 1), Ok(None));
}

#[test]
fn room_is_made_in_the_middle_of_an_extent() {
    let tree = tree(SMALL, &scattered(20));
    tree.edit().insert(written(100, 9000, 10)).unwrap();
    let before = tree.extents().unwrap();
    assert_eq!(tree.edit().make_room(105, u32::MAX - 109), Err(Errno::FileTooBig.into()));
    assert_eq!(tree.extents().as_ref(), Ok(&before));
    tree.edit().make_room(105, u32::MAX - 110).unwrap();
    let mut left = Some(16..u32::MAX);
    let mut steps = 0;
    while let Some(range) = left {
        left = tree.edit().shift_up(&range, u32::MAX - 110).unwrap();
        tree.extents().unwrap();
        steps += 1;
    }
    assert!(steps > 2, "a leaf at a time");
    let after = tree.extents().unwrap();
    assert_eq!(after[..2], before[..2]);
    assert_eq!(after[2].lblk, 16 + (u32::MAX - 110));
    assert_eq!(after[after.len() - 1], written(u32::MAX - 5, 9005, 5));
}

#[test]
fn damage_is_met_before_anything_is_changed() {
    let tree = tree(SMALL, &scattered(30));
    tree.change.checked.borrow_mut().clear();
    let (&block, bytes) = tree.change.blocks.borrow().iter().next().map(|(b, o)| (b, o.clone())).unwrap();
    let block = &block;
    for at in 0..tail_at(SMALL) {
        bytes.store_u8(at, bytes.load_u8(at) ^ 0x10);
        let before = tree.image();
        assert!(tree.edit().insert(written(11, 1, 1)).is_err(), "byte {at} of block {block}");
        assert!(tree.edit().remove(&(10..11), 1).is_err());
        assert!(tree.edit().convert(&(10..11), true).is_err());
        assert!(tree.image() == before);
        bytes.store_u8(at, bytes.load_u8(at) ^ 0x10);
    }
    tree.edit().insert(written(11, 1, 1)).unwrap();
}

#[test]
fn the_root_is_refused_as_a_whole() {
    let tree = tree(SMALL, &[written(0, 100, 1), written(5, 200, 1), written(9, 300, 1)]);
    let third = I_BLOCK + 12 + 24;
    tree.inode.store_u16(third + 4, 0);
    let before = tree.image();
    for result in [tree.edit().insert(written(1, 101, 1)), tree.edit().remove(&(0..1), 1).map(drop)] {
        let why = "corrupt extent root of inode 12: an extent of no blocks (9)";
        assert_eq!(format!("{}", result.unwrap_err()), why);
    }
    assert!(tree.image() == before);
}
