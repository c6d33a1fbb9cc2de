//! One logical block looked up, and those after it that go on in the same way.

use super::BlockMap;
use super::cursor::{LeadsTo, PathEnd, load};
use super::geometry::{Hole, Spot};
use crate::PAGE_SIZE;
use crate::error::{Errno, Result};
use crate::ext::indirect::Path;
use crate::platform::{LARGE_PAGES, Platform};
use crate::pmem::Pmem;
use crate::vfs::{Backing, Extent, FileKind};

impl<P: Platform> BlockMap<'_, P> {
    /// Finds what is at `lblk`, and the byte offset of the last pointer on the way.
    #[inline(always)]
    pub(in crate::ext2) fn locate(self, lblk: u64) -> Result<(Spot, u64)> {
        self.locate_by(lblk, self.fs.reach.path(lblk).ok_or(Errno::FileTooBig)?)
    }

    /// As [`locate`](Self::locate), by the way to `lblk`.
    #[inline(always)]
    fn locate_by(self, lblk: u64, path: Path) -> Result<(Spot, u64)> {
        let hole = |slot, level| (Spot::Hole(Hole { lblk, path, slot, level }), slot);
        Ok(match self.seek(&path)? {
            PathEnd::Missing { slot, level } => hole(slot, level),
            PathEnd::Slot(slot) => match load(&self.fs, self.ino, slot, || LeadsTo::Data)? {
                0 => hole(slot, path.depth),
                block => (Spot::Block(block), slot),
            },
        })
    }

    /// Finds what is at `lblk`, and for how many logical blocks of the `most` from it on the same goes:
    /// neighbouring blocks, or a hole, of one table of pointers at a time.
    #[inline]
    pub(in crate::ext2) fn look(self, lblk: u64, most: u64) -> Result<(Spot, u64)> {
        let path = self.fs.reach.path(lblk).ok_or(Errno::FileTooBig)?;
        let (spot, slot) = self.locate_by(lblk, path)?;
        let most = most.min(self.fs.reach.left_in_table(&path));
        if most == 1 {
            return Ok((spot, 1));
        }
        let mut count = 1;
        match spot {
            Spot::Block(block) => {
                let pointer = |count| load(&self.fs, self.ino, slot + count * 4, || LeadsTo::Data);
                while count < most && pointer(count)? == block + count as u32 {
                    count += 1;
                }
            }
            Spot::Hole(hole) if hole.missing() == 0 => {
                while count < most && self.pmem().load_u32(slot + count * 4) == 0 {
                    count += 1;
                }
            }
            Spot::Hole(_) => count = most,
        }
        Ok((spot, count))
    }

    /// Finds where logical block `lblk` is, as a fault asks; what is wrong with a pointer is for
    /// [`find`](Self::find) to say.
    #[inline]
    pub(in crate::ext2) fn peek(self, lblk: u64) -> Option<Backing> {
        let slot = match self.seek_slot(lblk) {
            Ok(slot) => slot,
            Err(backing) => return backing,
        };
        match self.pmem().load_u32(slot) {
            0 => Some(Backing::HOLE),
            block if self.fs.groups().may_be_a_files(block) => Some(Backing::mapped(self.fs.byte(block))),
            _ => None,
        }
    }

    /// Returns the byte offset of the empty pointer of `lblk`, where nothing but that is missing on the way,
    /// nor wrong.
    #[inline]
    pub(super) fn empty_slot(self, lblk: u64) -> Option<u64> {
        self.seek_slot(lblk).ok().filter(|&slot| self.pmem().load_u32(slot) == 0)
    }

    /// Finds the block of `lblk`; `None` for a hole. A direct block is one load, one behind an indirect block
    /// two, and so on.
    #[inline(always)]
    pub(in crate::ext2) fn find(self, lblk: u64) -> Result<Option<u32>> {
        self.find_as(lblk, || LeadsTo::Data)
    }

    /// Finds a block as [`find`](Self::find) does, of a directory, or of a symbolic link, which can be read
    /// as a whole.
    #[inline(always)]
    pub(in crate::ext2) fn find_metadata(self, lblk: u64) -> Result<Option<u32>> {
        self.find_as(lblk, || match self.kind {
            FileKind::Directory => LeadsTo::Entries,
            _ => LeadsTo::Target,
        })
    }

    #[inline(always)]
    fn find_as(self, lblk: u64, what: impl FnOnce() -> LeadsTo) -> Result<Option<u32>> {
        let Some(path) = self.fs.reach.path(lblk) else { return Ok(None) };
        Ok(match self.seek(&path)? {
            PathEnd::Missing { .. } => None,
            PathEnd::Slot(slot) => Some(load(&self.fs, self.ino, slot, what)?).filter(|&block| block != 0),
        })
    }

    /// Finds where the page at logical block `page` is, as write-back asks.
    pub(in crate::ext2) fn place(self, page: u64) -> Result<Option<u64>> {
        Ok(self.find(page)?.map(|block| self.fs.byte(block)))
    }

    /// Finds what is behind the page at logical block `page`.
    #[inline(always)]
    pub(in crate::ext2) fn page(self, page: u64) -> Result<Extent> {
        let backing = self.find(page)?.map_or(Backing::HOLE, |block| Backing::mapped(self.fs.byte(block)));
        Ok(extent(page, 1, backing))
    }

    /// Finds what is behind several pages: behind the first alone, if they are not one extent. What is wrong
    /// with the other pages is for whoever follows them to say.
    #[inline(always)]
    pub(in crate::ext2) fn pages(self, page: u64, pages: u64) -> Result<Extent> {
        if pages == LARGE_PAGES
            && let Some(backing) = self.find_run(page)
        {
            return Ok(extent(page, pages, backing));
        }
        self.page(page)
    }
}

/// `pages` blocks of the size of a page from logical block `page` on.
#[inline(always)]
fn extent(page: u64, pages: u64, backing: Backing) -> Extent {
    Extent { offset: page * PAGE_SIZE, len: pages * PAGE_SIZE, backing }
}
