//! The shape of the indirect tree: which way leads to a logical block.

/// Pointers to data in the inode itself.
pub(crate) const DIRECT: u64 = 12;
/// Levels of indirection.
pub(crate) const LEVELS: usize = 3;

/// How far each level reaches: what follows from the block size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// An indirect block has 2 to this power pointers.
    pub pointer_bits: u32,
    /// The bits of a logical block's number that choose one of them.
    pub pointer_mask: u64,
    /// First logical block behind two levels, and behind three: a fault need not work them out.
    second: u64,
    third: u64,
    /// The most blocks a file may have.
    pub max_lblks: u64,
}

impl Reach {
    /// Returns the reach with blocks of 2 to the power `block_bits` bytes.
    pub(crate) const fn new(block_bits: u32) -> Self {
        let pointer_bits = block_bits - 2;
        let (one, two) = (1 << pointer_bits, 1 << (2 * pointer_bits));
        let (second, third) = (DIRECT + one, DIRECT + one + two);
        let mut reach = Self { pointer_bits, pointer_mask: one - 1, second, third, max_lblks: 0 };
        // `i_blocks` (32 bits, in units of 512 bytes) counts so many blocks, indirect ones among them:
        //     limit = (2^32 - 1) / (block size / 512)
        // Three levels lead to so many blocks of data:
        //     tree = 12 + p + p^2 + p^3, with p pointers in a block
        // Where that is too many to count, as with blocks of 4 KiB, a file has `limit` less the indirect
        // blocks that `limit` blocks of data would need: a few less than could be counted, but what Linux
        // keeps to. It opens no file that is larger.
        let limit = (u32::MAX >> (block_bits - 9)) as u64;
        let tree = reach.first_lblk(LEVELS) + reach.span(LEVELS);
        reach.max_lblks = match tree + reach.indirect_blocks(tree) <= limit {
            true => tree,
            false => limit - reach.indirect_blocks(limit),
        };
        reach
    }

    /// Returns how many blocks are below one pointer at `depth` levels above the data.
    #[inline]
    pub(crate) const fn span(&self, depth: usize) -> u64 {
        1 << self.span_bits(depth)
    }

    /// Returns what power of 2 [`span`](Self::span) is.
    #[inline]
    pub(crate) const fn span_bits(&self, depth: usize) -> u32 {
        self.pointer_bits * depth as u32
    }

    /// Returns the first logical block below the pointer in the inode with `depth` levels of indirection.
    #[inline]
    pub(crate) const fn first_lblk(&self, depth: usize) -> u64 {
        match depth {
            0 => 0,
            1 => DIRECT,
            2 => self.second,
            _ => self.third,
        }
    }

    /// Indirect blocks of a file of `lblks` blocks without holes.
    const fn indirect_blocks(&self, lblks: u64) -> u64 {
        let mut blocks = 0;
        let mut depth = 1;
        while depth <= LEVELS {
            let mut below = lblks.saturating_sub(self.first_lblk(depth));
            if depth < LEVELS && below > self.span(depth) {
                below = self.span(depth);
            }
            let mut level = 1;
            while level <= depth {
                blocks += below.div_ceil(self.span(level));
                level += 1;
            }
            depth += 1;
        }
        blocks
    }

    /// Counts the pointers from that at the end of `path`, which is included, to the end of its table.
    #[inline]
    pub(crate) fn left_in_table(&self, path: &Path) -> u64 {
        let len = if path.depth == 0 { DIRECT } else { self.span(1) };
        len - u64::from(path.slots[path.depth])
    }

    /// Returns the way to `lblk` in numbers: the pointer in the inode, what is counted below it, and how many
    /// levels that has. Returns `None` beyond what a file may have.
    #[inline(always)]
    pub(crate) fn way(&self, lblk: u64) -> Option<(u64, u64, u32)> {
        if lblk < DIRECT {
            Some((lblk, 0, 0))
        } else if lblk < self.first_lblk(2) {
            Some((DIRECT, lblk - DIRECT, 1))
        } else if lblk < self.first_lblk(3) {
            Some((DIRECT + 1, lblk - self.first_lblk(2), 2))
        } else if lblk < self.max_lblks {
            Some((DIRECT + 2, lblk - self.first_lblk(3), 3))
        } else {
            None
        }
    }

    /// Returns the way to `lblk`; `None` beyond what a file may have.
    #[inline]
    pub(crate) fn path(&self, lblk: u64) -> Option<Path> {
        if lblk < DIRECT {
            return Some(Path { depth: 0, slots: [lblk as u16, 0, 0, 0] });
        }
        if lblk >= self.max_lblks {
            return None;
        }
        let slot = |rest: u64, level: usize| (rest / self.span(level) % self.span(1)) as u16;
        Some(if lblk < self.first_lblk(2) {
            Path { depth: 1, slots: [12, (lblk - self.first_lblk(1)) as u16, 0, 0] }
        } else if lblk < self.first_lblk(3) {
            let rest = lblk - self.first_lblk(2);
            Path { depth: 2, slots: [13, slot(rest, 1), slot(rest, 0), 0] }
        } else {
            let rest = lblk - self.first_lblk(3);
            Path { depth: 3, slots: [14, slot(rest, 2), slot(rest, 1), slot(rest, 0)] }
        })
    }
}

/// The way to a logical block's pointer: an index into `i_block`, then into `depth` indirect blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub depth: usize,
    pub slots: [u16; LEVELS + 1],
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: [Reach; 3] = [Reach::new(10), Reach::new(11), Reach::new(12)];

    #[test]
    fn the_ways_to_the_edges_of_each_level() {
        let reach = REACH[2];
        let way = |lblk| reach.path(lblk).map(|path| (path.depth, path.slots));
        assert_eq!(way(11), Some((0, [11, 0, 0, 0])));
        assert_eq!(way(12), Some((1, [12, 0, 0, 0])));
        assert_eq!(way(1035), Some((1, [12, 1023, 0, 0])));
        assert_eq!(way(1036), Some((2, [13, 0, 0, 0])));
        assert_eq!(way(1_049_611), Some((2, [13, 1023, 1023, 0])));
        assert_eq!(way(1_049_612), Some((3, [14, 0, 0, 0])));
        assert_eq!(way(reach.max_lblks), None);
        let way = |lblk| REACH[0].path(lblk).map(|path| (path.depth, path.slots));
        assert_eq!(way(267), Some((1, [12, 255, 0, 0])));
        assert_eq!(way(268), Some((2, [13, 0, 0, 0])));
        assert_eq!(way(65_804), Some((3, [14, 0, 0, 0])));
        assert_eq!(way(16_843_019), Some((3, [14, 255, 255, 255])));
        assert_eq!(way(16_843_020), None);
    }

    #[test]
    fn the_largest_file_is_what_linux_opens_with_every_block_size() {
        let largest = REACH.map(|reach| reach.max_lblks << (reach.pointer_bits + 2));
        assert_eq!(largest, [17_247_252_480, 275_415_851_008, 2_196_873_666_560]);
        for (reach, bits) in REACH.into_iter().zip(10..) {
            let (max, limit) = (reach.max_lblks, u64::from(u32::MAX >> (bits - 9)));
            assert!(max + reach.indirect_blocks(max) <= limit, "i_blocks counts it");
            assert_eq!(max == reach.first_lblk(3) + reach.span(3), bits < 12);
            assert!(bits < 12 || max < crate::vfs::index::MAX_PAGES);
        }
        assert_eq!(REACH[2].indirect_blocks(12), 0);
        assert_eq!(REACH[2].indirect_blocks(1036), 1);
        assert_eq!(REACH[2].indirect_blocks(1037), 3);
        assert_eq!(REACH[2].indirect_blocks(1_049_613), 1 + 1025 + 3);
    }
}
