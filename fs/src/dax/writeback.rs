//! msync and fsync: make what was stored through mappings durable.
//!
//! A page that a write fault mapped is dirty in the file's index, and so are the 2 MiB that one mapped. Write-back first
//! tags what is dirty: so it comes to an end however fast others store. Then it goes on by 64 pages, or by the 2 MiB that
//! are dirty as one, each under the exclusive `dax_sem` ([`Mapping::write_back`](crate::vfs::Mapping::write_back)); in between, faults get in. The fence comes before each lock
//! is let go: whoever finds the tag gone, and has had the lock after that, may rely on it.
//!
//! # Locking
//! `dax_sem` (exclusive) `→ areas → page tables`, once for each 64 pages that have something to write; then once shared.

use crate::error::Result;
use crate::lab::Mutant;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::Inode;
use crate::vfs::index::MAX_PAGES;
use core::ops::Range;

/// Makes stores to `pages` of `file` durable, through whatever address space they came; the metadata that leads to them
/// is durable already. Returns how many pages were dirty.
///
/// # Errors
/// What looking a block up can meet ([`Error::Corrupt`](crate::Error::Corrupt)); the pages not reached stay dirty.
pub fn msync<P: Platform>(file: &dyn Inode<P>, pages: Range<u64>) -> Result<u64> {
    let platform = file.platform();
    platform.stats().sync_calls.inc();
    match platform.lab().is_used() {
        false => sync::<P, false>(file, pages),
        true => sync::<P, true>(file, pages),
    }
}

/// `LAB` is whether the laboratory is used.
#[inline(always)]
fn sync<P: Platform, const LAB: bool>(file: &dyn Inode<P>, pages: Range<u64>) -> Result<u64> {
    if pages.end.saturating_sub(1) / 64 == pages.start / 64 && pages.start < pages.end.min(MAX_PAGES) {
        return few::<P, LAB>(file, pages);
    }
    let (platform, mapping) = (file.platform(), file.mapping());
    let has = |mutant| LAB && platform.lab().has(mutant);
    mapping.index.tag(pages.clone());
    let (mut from, mut flushed, mut fenced, mut result) = (pages.start, 0, has(Mutant::NoFence), Ok(()));
    while let Some(part) = mapping.index.next_tagged(from, pages.end) {
        from = part.end;
        let lock = mapping.exclusive_but_for(has(Mutant::WriteBackShared));
        match mapping.write_back(platform, lock.held(), &part, true, |page| file.place(lock.held(), page)) {
            Ok(count) => flushed += count,
            Err(error) => result = result.and(Err(error)),
        }
        let _kept = (!has(Mutant::FenceAfterUnlock)).then_some(lock);
        if !has(Mutant::NoFence) {
            file.commit();
        }
        fenced = true;
        if has(Mutant::WriteBackStuck) {
            from = part.start;
            mapping.index.existing(from).into_iter().for_each(|leaf| leaf.mark_dirty(from));
            mapping.index.tag(part);
        }
    }
    // What another write-back took is not tagged any more, and durable when that one lets go of the lock.
    if !platform.lab().has(Mutant::SyncTrustsTags) {
        drop(mapping.shared());
    }
    // The times of write faults were flushed, not waited for. Pointers and size need no fence: whichever CPU stored them
    // waited for them under the lock.
    if !fenced {
        file.commit();
    }
    result.map(|()| flushed)
}

/// Pages that share a word of the index: nothing to tag, for it is done in one go.
fn few<P: Platform, const LAB: bool>(file: &dyn Inode<P>, pages: Range<u64>) -> Result<u64> {
    let (platform, mapping) = file.parts();
    let has = |mutant| LAB && platform.lab().has(mutant);
    let lock = mapping.exclusive_but_for(has(Mutant::WriteBackShared));
    let result =
        mapping.write_back(platform, lock.held(), &pages, false, |page| file.place(lock.held(), page));
    let _kept = (!has(Mutant::FenceAfterUnlock)).then_some(lock);
    if !has(Mutant::NoFence) {
        platform.pmem().fence();
    }
    result
}

/// As [`msync`], for the whole file.
///
/// # Errors
/// As for [`msync`].
pub fn fsync<P: Platform>(file: &dyn Inode<P>) -> Result<u64> {
    msync(file, 0..u64::MAX)
}
