//! A group's blocks by runs of 512: what is remembered of them in DRAM, so that no bitmap is searched from
//! its start.
//!
//! A *run* is 512 blocks (2 MiB with blocks of 4 KiB) whose physical address is a multiple of their size:
//! data placed in one, page by page, can be mapped by one entry. Small data is packed into runs that are
//! broken already, so that whole ones stay for large files.
//!
//! ```text
//!              group of 32768 blocks
//! run    0        1        2        3       …  63
//!      |xxxxxxxx|x xx    |        |yyy     |   xx|
//! free                     1                          nothing in it is taken
//! full   1                                            known to have no free block
//! kept                              1                 an inode is filling it: others stay out of it
//! ```
//!
//! Where the region does not start on such an address, or a group is short, the pieces at its ends are runs
//! that are never free as a whole: they are for small data.
//!
//! # Locking
//! Part of what a group's mutex guards.

use super::bitmap::Bitmap;
use crate::ext2::disk::descriptor::Group;
use crate::pmem::Pmem;
use core::ops::Range;

/// Blocks in a run.
pub(in crate::ext2) const RUN: u32 = 512;
/// Runs that a group has at most: a bit each. One more piece, where a group starts inside a run, is part of
/// the last.
const MOST: u32 = 64;

/// What is remembered of a group's blocks; made on first use.
#[derive(Debug)]
pub(in crate::ext2) struct GroupRuns {
    /// The descriptor, checked.
    pub group: Group,
    /// Bit `i`: nothing in run `i` is taken.
    free: u64,
    /// Bit `i`: nothing in run `i` was free when it was last looked at, and nothing was freed since.
    full: u64,
    /// Bit `i`: an inode is filling run `i`.
    kept: u64,
    /// Bit `i`: there is a run `i`, or a piece of one.
    all: u64,
    /// Blocks by which the group starts inside run 0.
    skew: u32,
    /// No structure of the file system's own lies from this block (counted in the group) on.
    pub structures_end: u32,
}

/// Which runs may be looked into for small data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ext2) enum Into {
    /// Those that are broken already.
    Broken,
    /// Those that nobody keeps.
    Any,
    /// Kept ones too: there is nothing else.
    Kept,
}

fn bits(mut mask: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(bit)
    })
}

impl GroupRuns {
    /// Looks at the whole bitmap of `group`, once. `phase` is how many blocks the region starts after the
    /// start of a run.
    pub(in crate::ext2) fn new(
        pmem: &impl Pmem,
        group: Group,
        bitmap: &Bitmap,
        phase: u32,
        structures_end: u32,
    ) -> Self {
        let skew = ((u64::from(phase) + u64::from(group.start)) % u64::from(RUN)) as u32;
        let count = (group.blocks + skew).div_ceil(RUN).clamp(1, MOST);
        let all = u64::MAX >> (64 - count);
        let mut space = Self { group, free: 0, full: 0, kept: 0, all, skew, structures_end };
        for run in 0..count {
            space.look_whether_free(pmem, bitmap, run);
        }
        space
    }

    /// The run of the block `bit`, counted in the group.
    #[inline]
    fn run_of(&self, bit: u32) -> u32 {
        ((bit + self.skew) / RUN).min(MOST - 1)
    }

    /// The blocks of run `run`, counted in the group.
    #[inline]
    fn range(&self, run: u32) -> Range<u32> {
        let end = if self.all >> run == 1 { self.group.blocks } else { (run + 1) * RUN - self.skew };
        (run * RUN).saturating_sub(self.skew)..end
    }

    /// True if the run is no mere piece.
    fn is_whole(&self, run: u32) -> bool {
        self.range(run).len() == RUN as usize && (run > 0 || self.skew == 0)
    }

    fn look_whether_free(&mut self, pmem: &impl Pmem, bitmap: &Bitmap, run: u32) {
        if self.is_whole(run) && bitmap.is_clear(pmem, self.range(run)) {
            self.free |= 1 << run;
        }
    }

    /// Notes that the block `bit` is taken now.
    #[inline]
    pub(in crate::ext2) fn note_taken(&mut self, bit: u32) {
        self.free &= !(1 << self.run_of(bit));
    }

    /// Notes that the `count` blocks from `bit` on are free now.
    pub(in crate::ext2) fn note_freed(&mut self, pmem: &impl Pmem, bitmap: &Bitmap, bit: u32, count: u32) {
        for run in self.run_of(bit)..=self.run_of(bit + count.max(1) - 1) {
            self.full &= !(1 << run);
            self.look_whether_free(pmem, bitmap, run);
        }
    }

    /// Picks up to `want` free neighbouring blocks for small data: the first from `from` on in its run, else
    /// in another run that `into` allows, the next ones first.
    #[inline]
    pub(in crate::ext2) fn pick(
        &mut self,
        pmem: &impl Pmem,
        bitmap: &Bitmap,
        from: u32,
        want: u32,
        into: Into,
    ) -> Option<(u32, u32)> {
        let allowed = self.all
            & !self.full
            & match into {
                Into::Broken => !(self.free | self.kept),
                Into::Any => !self.kept,
                Into::Kept => u64::MAX,
            };
        let home = self.run_of(from);
        if allowed & 1 << home != 0
            && let Some(bit) = bitmap.find_clear(pmem, from, self.range(home).end)
        {
            return Some((bit, bitmap.clear_len(pmem, bit, want.min(self.range(home).end - bit))));
        }
        let ahead = allowed & u64::MAX << home & !(1 << home);
        for run in bits(ahead).chain(bits(allowed & !ahead)) {
            let range = self.range(run);
            match bitmap.find_clear(pmem, range.start, range.end) {
                Some(bit) => return Some((bit, bitmap.clear_len(pmem, bit, want.min(range.end - bit)))),
                None => self.full |= 1 << run,
            }
        }
        None
    }

    /// Keeps a run that is free as a whole, the one at `prefer` if it is: its first block. With `alone`, only
    /// in a group in which nobody keeps one.
    pub(in crate::ext2) fn keep_free(&mut self, prefer: Option<u32>, alone: bool) -> Option<u32> {
        let usable = self.free & !self.kept;
        let preferred = prefer.map(|bit| self.run_of(bit)).filter(|&run| usable & 1 << run != 0);
        let run = match preferred {
            Some(run) => run,
            None if usable == 0 || alone && self.kept != 0 => return None,
            None => usable.trailing_zeros(),
        };
        self.kept |= 1 << run;
        Some(self.range(run).start)
    }

    /// Keeps the run that starts at block `first`, whatever is in it; false if it is none, or somebody keeps
    /// it.
    pub(in crate::ext2) fn keep(&mut self, first: u32) -> bool {
        let run = self.run_of(first);
        let can = self.range(run).start == first && self.is_whole(run) && self.kept & 1 << run == 0;
        if can {
            self.kept |= 1 << run;
        }
        can
    }

    /// Lets go of the run of block `bit`: nobody keeps it any more.
    pub(in crate::ext2) fn let_go(&mut self, bit: u32) {
        self.kept &= !(1 << self.run_of(bit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmem::ram::Ram;

    fn space(ram: &Ram, start: u32, blocks: u32, phase: u32) -> (GroupRuns, Bitmap) {
        let bitmap = Bitmap::new(0, blocks);
        (GroupRuns::new(ram, Group::for_tests(start, blocks), &bitmap, phase, 0), bitmap)
    }

    #[test]
    fn runs_cover_a_group_whatever_address_it_starts_at() {
        let ram = Ram::from_bytes(&[0; 4096]);
        for (start, blocks, phase, whole) in [
            (0, 32768, 0, 64),
            (1, 8192, 0, 15),
            (32768, 32768, 3, 62),
            (0, 700, 0, 1),
            (0, 256, 0, 0),
            (0, 513, 511, 1),
        ] {
            let (space, _) = space(&ram, start, blocks, phase);
            let mut next = 0;
            for run in bits(space.all) {
                let range = space.range(run);
                assert_eq!(range.start, next, "{start} {blocks} {phase}: run {run}");
                next = range.end;
                assert!(range.clone().all(|bit| space.run_of(bit) == run));
                if space.is_whole(run) {
                    assert_eq!((phase + start + range.start) % RUN, 0);
                }
            }
            assert_eq!(next, blocks);
            assert_eq!(space.free.count_ones(), whole, "{start} {blocks} {phase}");
        }
    }

    #[test]
    fn small_data_breaks_no_run_while_a_broken_one_has_room() {
        let ram = Ram::from_bytes(&[0; 4096]);
        let (mut space, bitmap) = space(&ram, 0, 2048, 0);
        let take = |space: &mut GroupRuns, from, want, into| {
            let (bit, count) = space.pick(&ram, &bitmap, from, want, into)?;
            bitmap.set(&ram, bit, count, ()).unordered();
            space.note_taken(bit);
            Some((bit, count))
        };
        assert_eq!(take(&mut space, 600, 3, Into::Broken), None);
        assert_eq!(take(&mut space, 600, 3, Into::Any), Some((600, 3)));
        // Run 1 is broken: small data goes there, from wherever it was meant to be.
        assert_eq!(take(&mut space, 0, 1000, Into::Broken), Some((512, 88)));
        assert_eq!(take(&mut space, 0, 1000, Into::Broken), Some((603, 421)));
        assert_eq!(take(&mut space, 0, 1, Into::Broken), None);
        assert_eq!(space.keep_free(Some(1024), true), Some(1024));
        assert_eq!(space.keep_free(None, true), None);
        assert_eq!(space.keep_free(None, false), Some(0));
        assert!(!space.keep(0) && space.keep(512));
        assert_eq!(take(&mut space, 5, 1, Into::Any), Some((1536, 1)));
        space.let_go(0);
        bitmap.clear(&ram, 512, 512).unwrap().unordered();
        space.note_freed(&ram, &bitmap, 512, 512);
        space.let_go(512);
        // The next piece of what somebody writes in order goes on where it is, whoever else is there.
        assert_eq!(space.keep_free(None, true), None);
        assert_eq!(space.keep_free(Some(700), true), Some(512));
        assert_eq!(take(&mut space, 0, 512, Into::Kept), Some((0, 512)));
    }
}
