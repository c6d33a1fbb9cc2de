//! The block map: from a page of a file to its block.
//!
//! ```text
//! i_block[0..12]  → data                                        pages 0..12
//! i_block[12]     → 1024 × data                                 pages 12..1036
//! i_block[13]     → 1024 × 1024 × data                          pages 1036..1049612
//! i_block[14]     → 1024 × 1024 × 1024 × data                   the rest
//! ```
//!
//! A pointer of 0 is a hole, of whatever hangs below it.

use super::inode::Inode;
use super::layout::*;
use crate::error::Result;
use crate::platform::Platform;
use crate::pmem::Pmem;

/// Pointers to data in the inode itself.
pub(super) const DIRECT: u64 = 12;
/// Levels of indirection.
pub(super) const LEVELS: usize = 3;

/// Pages below one pointer at `depth` levels above the data.
pub(super) const fn span(depth: usize) -> u64 {
    POINTERS.pow(depth as u32)
}

/// First page below the pointer in the inode with `depth` levels of indirection.
pub(super) const fn first_page(depth: usize) -> u64 {
    match depth {
        0 => 0,
        1 => DIRECT,
        2 => DIRECT + span(1),
        _ => DIRECT + span(1) + span(2),
    }
}

/// Indirect blocks of a file of `pages` pages without holes.
const fn indirect_blocks(pages: u64) -> u64 {
    let mut blocks = 0;
    let mut depth = 1;
    while depth <= LEVELS {
        let mut below = pages.saturating_sub(first_page(depth));
        if depth < LEVELS && below > span(depth) {
            below = span(depth);
        }
        let mut level = 1;
        while level <= depth {
            blocks += below.div_ceil(span(level));
            level += 1;
        }
        depth += 1;
    }
    blocks
}

/// The most pages a file may have so that `i_blocks` (32 bits, in units of 512 bytes) can count it without
/// holes.
const MAX_PAGES: u64 = {
    let limit = u32::MAX as u64 / (BLOCK / 512);
    let mut low = 0;
    let mut high = limit;
    while low < high {
        let middle = (low + high).div_ceil(2);
        if middle + indirect_blocks(middle) <= limit {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
};

/// The largest size of a file, in bytes: a little less than 2 TiB.
pub(super) const MAX_SIZE: u64 = MAX_PAGES * BLOCK;

/// The way to a page's pointer: an index into `i_block`, then into `depth` indirect blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub depth: usize,
    pub slots: [u16; LEVELS + 1],
}

impl Path {
    /// The way to `page`; `None` beyond what a file may have.
    #[inline]
    pub(super) fn of(page: u64) -> Option<Self> {
        if page < DIRECT {
            return Some(Self { depth: 0, slots: [page as u16, 0, 0, 0] });
        }
        if page >= MAX_PAGES {
            return None;
        }
        let slot = |rest: u64, level: usize| (rest / span(level) % POINTERS) as u16;
        Some(if page < first_page(2) {
            Self { depth: 1, slots: [12, (page - first_page(1)) as u16, 0, 0] }
        } else if page < first_page(3) {
            let rest = page - first_page(2);
            Self { depth: 2, slots: [13, slot(rest, 1), slot(rest, 0), 0] }
        } else {
            let rest = page - first_page(3);
            Self { depth: 3, slots: [14, slot(rest, 2), slot(rest, 1), slot(rest, 0)] }
        })
    }
}

/// Where a way ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// At a block.
    Block(u32),
    /// At an empty pointer.
    Hole {
        /// Byte offset of the pointer.
        slot: u64,
        /// How far along the way: 0 is in the inode.
        level: usize,
    },
}

impl<P: Platform> Inode<P> {
    /// Loads the pointer at byte offset `slot`: 0, or a block that can be a file's.
    #[inline]
    pub(super) fn pointer(&self, slot: u64) -> Result<u32> {
        let block = self.pmem().load_u32(slot);
        if block >= self.fs.sb.blocks_count {
            return Err(self.corrupt("block pointer out of range", block.into()));
        }
        if block != 0 && self.fs.holds_structures(block) {
            return Err(self.corrupt("block pointer into the file system's own structures", block.into()));
        }
        Ok(block)
    }

    /// Follows `path` as far as there are blocks.
    #[inline]
    pub(super) fn locate(&self, path: &Path) -> Result<Spot> {
        let mut slot = self.raw + I_BLOCK + u64::from(path.slots[0]) * 4;
        let mut level = 0;
        loop {
            match self.pointer(slot)? {
                0 => return Ok(Spot::Hole { slot, level }),
                block if level == path.depth => return Ok(Spot::Block(block)),
                block => {
                    level += 1;
                    slot = byte(block) + u64::from(path.slots[level]) * 4;
                }
            }
        }
    }

    /// The block of `page`; `None` for a hole. A direct block is one load, one behind an indirect block two,
    /// and so on.
    #[inline]
    pub(super) fn find(&self, page: u64) -> Result<Option<u32>> {
        let Some(path) = Path::of(page) else { return Ok(None) };
        Ok(match self.locate(&path)? {
            Spot::Block(block) => Some(block),
            Spot::Hole { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_the_edges_of_each_level() {
        let way = |page| Path::of(page).map(|path| (path.depth, path.slots));
        assert_eq!(way(11), Some((0, [11, 0, 0, 0])));
        assert_eq!(way(12), Some((1, [12, 0, 0, 0])));
        assert_eq!(way(1035), Some((1, [12, 1023, 0, 0])));
        assert_eq!(way(1036), Some((2, [13, 0, 0, 0])));
        assert_eq!(way(1_049_611), Some((2, [13, 1023, 1023, 0])));
        assert_eq!(way(1_049_612), Some((3, [14, 0, 0, 0])));
        assert_eq!(way(MAX_PAGES), None);
    }

    #[test]
    fn the_largest_file_is_as_large_as_its_count_of_blocks_allows() {
        let limit = u64::from(u32::MAX) / 8;
        assert!(MAX_PAGES + indirect_blocks(MAX_PAGES) <= limit);
        assert!(MAX_PAGES + 1 + indirect_blocks(MAX_PAGES + 1) > limit);
        assert_eq!(indirect_blocks(12), 0);
        assert_eq!(indirect_blocks(1036), 1);
        assert_eq!(indirect_blocks(1037), 3);
        assert_eq!(indirect_blocks(1_049_613), 1 + 1025 + 3);
        const { assert!(MAX_PAGES < crate::vfs::index::MAX_PAGES) };
    }
}
