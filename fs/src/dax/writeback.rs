//! msync and fsync: make what was stored through mappings durable.
//!
//! A page that a write fault mapped is dirty in the file's index. Write-back forgets that, write-protects the page in every
//! address space, so that the next store faults and marks it dirty again, flushes its cache lines, and ends with a fence.
//!
//! It runs under the exclusive `dax_sem`: a write fault marks the page dirty and installs its entry under the shared one,
//! so no fault can be between the two while write-back takes both away.
//!
//! # Locking
//! `dax_sem` (exclusive) `→ areas → page tables`.

use crate::PAGE_SIZE;
use crate::error::Result;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::Inode;
use core::ops::Range;

/// Makes stores to `pages` of `file` durable, through whatever address space they came; the metadata that leads to them
/// is durable already. Returns how many pages were dirty.
///
/// # Errors
/// What looking a block up can meet ([`Error::Corrupt`](crate::Error::Corrupt)); the pages not reached stay dirty.
pub fn msync<P: Platform>(file: &dyn Inode<P>, pages: Range<u64>) -> Result<u64> {
    let (platform, mapping) = (file.platform(), file.mapping());
    let stats = platform.stats();
    stats.sync_calls.inc();
    let lock = mapping.exclusive();
    let (mut flushed, mut failed) = (0, None);
    mapping.index.take_dirty(pages, |run| {
        stats.write_protected.add(mapping.write_protect(lock.held(), run.clone()));
        for page in run {
            match file.block(lock.held(), page) {
                // Freed since: nothing to keep. Truncation clears the index, so this is not expected.
                Ok(None) => {}
                Ok(Some(place)) => {
                    platform.pmem().flush(place, PAGE_SIZE);
                    flushed += 1;
                }
                Err(error) => {
                    // Its node is there: it was dirty a moment ago.
                    let _ = mapping.index.mark_dirty(page);
                    failed = failed.or(Some(error));
                }
            }
        }
    });
    stats.sync_pages.add(flushed);
    // The pages were flushed here, so the fence must be here too. Pointers and size need none: whichever CPU stored them
    // waited for them under the lock.
    file.commit();
    match failed {
        None => Ok(flushed),
        Some(error) => Err(error),
    }
}

/// As [`msync`], for the whole file.
///
/// # Errors
/// As for [`msync`].
pub fn fsync<P: Platform>(file: &dyn Inode<P>) -> Result<u64> {
    msync(file, 0..u64::MAX)
}
