//! Which parts of a file lie where: runs of neighbouring blocks, and holes, for fiemap and lseek.
//!
//! What is absent is skipped by whole subtrees, so a sparse file costs what is there.

use crate::PAGE_SIZE;
use crate::error::{Errno, Result};
use crate::ext2::disk::geometry::{DIRECT, LEVELS};
use crate::ext2::inode::Inode;
use crate::platform::{LARGE_PAGES, Platform};
use crate::vfs::{Backing, Extent, Seek};
use core::ops::ControlFlow;

/// Collects logical blocks into extents and hands them on.
struct Merger<'a> {
    block_bits: u32,
    current: Option<Extent>,
    /// Blocks met: not more than the file system has, whatever the pointers say.
    left: u64,
    f: &'a mut dyn FnMut(Extent) -> ControlFlow<()>,
}

impl Merger<'_> {
    fn add(&mut self, lblk: u64, lblks: u64, block: Option<u32>) -> ControlFlow<()> {
        let bits = self.block_bits;
        let backing = block.map_or(Backing::HOLE, |block| Backing::mapped(u64::from(block) << bits));
        let next = Extent { offset: lblk << bits, len: lblks << bits, backing };
        if let Some(extent) = &mut self.current {
            if extent.backing.after(extent.len) == next.backing {
                extent.len += next.len;
                return ControlFlow::Continue(());
            }
            (self.f)(*extent)?;
        }
        self.current = Some(next);
        ControlFlow::Continue(())
    }
}

/// The logical blocks looked for.
#[derive(Clone, Copy)]
struct Window {
    start: u64,
    end: u64,
}

impl<P: Platform> Inode<P> {
    /// `pages` blocks of the size of a page from logical block `page` on.
    #[inline(always)]
    pub(in crate::ext2) fn pages(&self, page: u64, pages: u64, backing: Backing) -> Extent {
        Extent { offset: page * PAGE_SIZE, len: pages * PAGE_SIZE, backing }
    }

    /// What is behind logical block `lblk`.
    #[inline(always)]
    pub(in crate::ext2) fn backing(&self, lblk: u64) -> Result<Backing> {
        Ok(self.find(lblk)?.map_or(Backing::HOLE, |block| Backing::mapped(self.fs.byte(block))))
    }

    /// What is behind several blocks of the size of a page. That of the first alone, if they are not one
    /// extent; what is wrong with the others is for whoever follows them to say.
    #[inline(always)]
    pub(in crate::ext2) fn look_up_pages(&self, page: u64, pages: u64) -> Result<Extent> {
        if pages == LARGE_PAGES
            && let Some(backing) = self.find_run(page)
        {
            return Ok(self.pages(page, pages, backing));
        }
        Ok(self.pages(page, 1, self.backing(page)?))
    }

    /// Fills the hole of 2 MiB from logical block `first` on, or looks it up if that cannot be: a hole if it
    /// is in pieces.
    pub(in crate::ext2) fn look_up_run_for_write(&self, first: u64) -> Result<Backing> {
        Ok(match self.fs.noted(self.fill_run(first))? {
            Some(block) => Backing::mapped(self.fs.byte(block)).new(),
            None => self.find_run(first).unwrap_or(Backing::HOLE),
        })
    }

    /// The first byte from `offset` on that is data, or in a hole, as lseek(2) finds it: blocks are data,
    /// whatever they hold.
    pub(in crate::ext2) fn seek_file(&self, offset: u64, what: Seek) -> Result<u64> {
        self.expect_file()?;
        let _shared = self.lock.shared();
        let (size, bits) = (self.load_size(), self.fs.sb.block_bits);
        if offset >= size {
            return Err(Errno::NoSuchAddress.into());
        }
        let (first, end) = (offset >> bits, size.div_ceil(self.fs.block_size()));
        if what == Seek::Data {
            let found = self.first_block_in(first..end)?;
            return found.map(|(lblk, _)| (lblk << bits).max(offset)).ok_or(Errno::NoSuchAddress.into());
        }
        let mut hole = size;
        self.walk_extents(first, end, &mut |extent| match extent.place() {
            Some(_) => ControlFlow::Continue(()),
            None => {
                hole = extent.offset.max(offset);
                ControlFlow::Break(())
            }
        })?;
        Ok(hole)
    }

    /// Calls `f` with each run and hole of the logical blocks `start..end`, in order.
    pub(in crate::ext2) fn walk_extents(
        &self,
        start: u64,
        end: u64,
        f: &mut dyn FnMut(Extent) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut merger = Merger {
            block_bits: self.fs.sb.block_bits,
            current: None,
            left: self.fs.sb.blocks_count.into(),
            f,
        };
        let window = Window { start, end };
        let root = self.raw().slot(0);
        let mut flow = self.walk_table(root, DIRECT, 0, 0, window, &mut merger)?;
        for depth in 1..=LEVELS {
            if flow.is_break() {
                return Ok(());
            }
            let slot = root + (DIRECT + depth as u64 - 1) * 4;
            flow =
                self.walk_table(slot, 1, self.fs.sb.reach.first_lblk(depth), depth, window, &mut merger)?;
        }
        if let (ControlFlow::Continue(()), Some(extent)) = (flow, merger.current) {
            let _ = (merger.f)(extent);
        }
        Ok(())
    }

    /// Walks the `count` pointers from byte offset `table` on, each with `depth` levels below, the first for
    /// logical block `base`.
    fn walk_table(
        &self,
        table: u64,
        count: u64,
        base: u64,
        depth: usize,
        window: Window,
        merger: &mut Merger<'_>,
    ) -> Result<ControlFlow<()>> {
        let each = self.fs.sb.reach.span(depth);
        let first = window.start.saturating_sub(base) / each;
        for index in first..count {
            let from = (base + index * each).max(window.start);
            let to = (base + (index + 1) * each).min(window.end);
            if from >= to {
                break;
            }
            let flow = match self.pointer_at(table + index * 4, depth)? {
                0 => merger.add(from, to - from, None),
                block => {
                    merger.left = merger
                        .left
                        .checked_sub(1)
                        .ok_or_else(|| self.corrupt("more blocks than the file system has", block.into()))?;
                    if depth == 0 {
                        merger.add(from, 1, Some(block))
                    } else {
                        self.walk_table(
                            self.fs.byte(block),
                            self.fs.sb.pointers(),
                            base + index * each,
                            depth - 1,
                            window,
                            merger,
                        )?
                    }
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
