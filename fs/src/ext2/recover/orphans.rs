//! The list of orphans: inodes that a journalling driver was about to free, or to cut to their sizes, when it
//! stopped. It begins in `s_last_orphan`, and each names the next one in `i_dtime`. Whoever follows it later
//! trusts it: `e2fsck -p` frees what is on it, whoever uses those inodes by then. So it goes with the inodes,
//! in an order that a crash survives:
//!
//! 1. what is to be cut is cut, as part of mending; the list is as it was; durable;
//! 2. the list ends: `s_last_orphan` is 0; durable;
//! 3. `i_dtime` of each is a time again, or 0; durable;
//! 4. bits of inodes and blocks are cleared.

use super::Repair;
use super::nodes::InodeMarks;
use super::scan::{Scan, ScanResult};
use crate::error::{Errno, Result};
use crate::ext::layout::*;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, InFlight, Staged};
use alloc::vec::Vec;

/// The fact that no inode with a name leads to anything that was not claimed for it, and that those without
/// one show no link.
pub(super) struct Mended;

/// The fact that nothing leads to an orphan.
pub(super) struct Ended;

impl<P: Platform> Scan<'_, P> {
    /// Marks the inodes on the list, up to a number that can be none's: what is behind that nobody can tell.
    /// On an image with errors e2fsck trusts none of it.
    pub(super) fn follow_orphans(&mut self) -> Result<Vec<u32>> {
        let (fs, mut list) = (self.fs, Vec::new());
        if fs.sb.state & ERROR_FS != 0 {
            return Ok(list);
        }
        let mut next = fs.sb.last_orphan;
        while next >= fs.sb.first_ino
            && let Some(node) = self.nodes.get_mut(fs, next).filter(|node| !node.is(InodeMarks::ORPHAN))
        {
            node.mark(InodeMarks::ORPHAN);
            list.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            list.push(next);
            let raw = fs.raw_inode(next)?;
            raw.expect_readable()?;
            next = raw.dtime();
        }
        Ok(list)
    }
}

impl<P: Platform> Repair<'_, P> {
    /// Ends the list, after all on it are as they are to stay.
    pub(super) fn end_orphans(
        self,
        found: &ScanResult,
        mended: Staged<Mended, Clean>,
    ) -> Result<Staged<Ended, Clean>> {
        if self.sb.last_orphan == 0 {
            return Ok(mended.map(|Mended| Ended));
        }
        let pmem = self.pmem();
        let ended = self.cut_off_orphans(mended).fence(pmem);
        Ok(self.date_orphans(found, &ended)?.fence(pmem).map(|()| Ended))
    }

    fn cut_off_orphans(self, _mended: Staged<Mended, Clean>) -> Staged<Ended, InFlight> {
        self.pmem().put_u32(SUPERBLOCK + S_LAST_ORPHAN, 0);
        Staged::streamed(Ended, SUPERBLOCK + S_LAST_ORPHAN, 4)
    }

    /// What was the number of the next one is the time at which it went, or none.
    fn date_orphans(self, found: &ScanResult, _ended: &Staged<Ended, Clean>) -> Result<Staged<(), InFlight>> {
        for &ino in &found.orphans {
            let is_named = found.nodes.get(self.0, ino).is(InodeMarks::NAMED | InodeMarks::ADOPT);
            let time = if is_named { 0 } else { self.time_of_deletion() };
            self.pmem().put_u32(self.raw_inode(ino)?.at + I_DTIME, time);
        }
        Ok(Staged::streamed((), SUPERBLOCK, 0))
    }

    /// Returns the time now, in seconds since 1970, as a number that nobody takes for an inode's.
    pub(super) fn time_of_deletion(self) -> u32 {
        (self.platform.now().secs as u32).max(self.sb.inodes_count.saturating_add(1))
    }
}
