//! Blocks that hold the file system's own structures: no file's map may lead there.
//!
//! With `flex_bg` a group's structures may be in any group, so a block's group does not tell. They lie
//! together, so that all of them are a few ranges.

use super::disk::descriptor::Group;
use super::disk::superblock::SuperBlock;
use alloc::vec::Vec;
use core::ops::Range;

/// The blocks, as ranges: in order, none next to another.
#[derive(Debug, Default)]
pub(super) struct Zone(Vec<Range<u64>>);

impl Zone {
    /// Returns the blocks that the groups' structures take. Of a group that has no descriptor any more, only
    /// those are known that are in front.
    pub(super) fn of_groups(sb: &SuperBlock, groups: impl Iterator<Item = Option<Group>>) -> Self {
        let mut ranges = Vec::new();
        for (index, group) in (0..sb.group_count).zip(groups) {
            let (start, front) = (sb.first_block(index), u64::from(sb.front_blocks(index)));
            ranges.push(start..start + front.min(sb.group_blocks(index)));
            if let Some(group) = group {
                let one = |block: u64| block..block + 1;
                ranges.extend([one(group.block_bitmap), one(group.inode_bitmap), group.table(sb)]);
            }
            // What lies together becomes one before there is much of it.
            if ranges.len() > 1024 {
                merge(&mut ranges);
            }
        }
        Self::of(ranges)
    }

    /// Returns the blocks of `ranges`.
    pub(super) fn of(mut ranges: Vec<Range<u64>>) -> Self {
        merge(&mut ranges);
        ranges.shrink_to_fit();
        Self(ranges)
    }

    /// Returns how many there are.
    pub(super) fn blocks(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Tells whether one of the `count` blocks from `start` on is among them.
    pub(super) fn meets(&self, start: u64, count: u64) -> bool {
        let next = self.0.partition_point(|range| range.end <= start);
        self.0.get(next).is_some_and(|range| range.start < start.saturating_add(count))
    }
}

fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, last| {
        let joins = next.start <= last.end;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_is_one_range_and_only_what_is_inside_is_met() {
        let mut ranges = alloc::vec![9..12, 3..5, 5..6, 20..20, 10..11, 5..6];
        merge(&mut ranges);
        assert_eq!(ranges, [3..6, 9..12]);
        let zone = Zone(ranges);
        let met: Vec<u64> = (0..14).filter(|&block| zone.meets(block, 1)).collect();
        assert_eq!(met, [3, 4, 5, 9, 10, 11]);
        assert!(zone.meets(0, 4) && !zone.meets(0, 3) && !zone.meets(6, 3) && zone.meets(6, 4));
        assert!(!zone.meets(12, u64::MAX) && zone.meets(0, u64::MAX));
        assert!(!Zone::default().meets(0, u64::MAX));
    }
}
