//! Forgetting translations. Every removal of rights ends in [`shootdown`], the one place that will know about
//! other CPUs.
//!
//! Reference: Intel SDM volume 3A, "Invalidation of TLBs and Paging-Structure Caches": INVLPG drops a page's
//! entry, global or not, and all paging-structure-cache entries of the current PCID.

use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr4, Cr4Flags};

use crate::machine::STATS;

/// More pages than this are cheaper to drop all at once.
const FLUSH_ALL_FROM: u64 = 64;

/// Makes every CPU forget what it knows of `pages` pages of 4 KiB from `start`, in every address space,
/// before it returns. One CPU runs so far, so this is the local flush.
pub(crate) fn shootdown(start: u64, pages: u64) {
    STATS.tlb_invalidations.inc();
    if pages >= FLUSH_ALL_FROM {
        flush_all(start >> 63 != 0);
        return;
    }
    for page in 0..pages {
        tlb::flush(VirtAddr::new_truncate(start + page * 4096));
    }
}

/// Drops everything; global entries too if `global`.
fn flush_all(global: bool) {
    let cr4 = Cr4::read();
    if global && cr4.contains(Cr4Flags::PAGE_GLOBAL) {
        // SAFETY: turning global pages off and on changes no translation, it only empties the TLB.
        unsafe {
            Cr4::write(cr4 - Cr4Flags::PAGE_GLOBAL);
            Cr4::write(cr4);
        }
    } else {
        tlb::flush_all();
    }
}
