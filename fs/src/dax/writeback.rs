//! msync and fsync: make what was stored through mappings durable.
//!
//! A page that a write fault mapped is dirty in the file's index, and so are the 2 MiB that one mapped.
//! Write-back first tags what is dirty: so it comes to an end however fast others store. Then it goes on by
//! 64 pages, or by the 2 MiB that are dirty as one, each under the exclusive `dax_sem`
//! ([`Mapping::write_back`](crate::vfs::Mapping::write_back)); in between, faults get in. The fence comes
//! before each lock is let go: whoever finds the tag gone, and has had the lock after that, may rely on it.
//! Last, with no lock, the file system commits the metadata by which the pages are found.
//!
//! # Locking
//! `dax_sem` (exclusive) `→ areas → page tables`, once for each 64 pages that have something to write; then
//! once shared.

use crate::error::Result;
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::index::MAX_PAGES;
use crate::vfs::{Inode, Mapping};
use core::ops::Range;

/// Makes stores to `pages` of `file` durable, through whatever address space they came, with the metadata
/// that leads to them, and all other metadata of the inode unless `datasync`. Returns how many pages were
/// dirty.
///
/// # Errors
/// What looking a block up can meet ([`Error::Corrupt`](crate::Error::Corrupt)): the pages not reached stay
/// dirty. What [`Inode::commit`] met.
pub fn sync<P: Platform>(file: &dyn Inode<P>, pages: Range<u64>, datasync: bool) -> Result<u64> {
    let (platform, mapping) = file.parts();
    platform.stats().sync_calls.inc();
    match platform.lab().is_used() {
        false => write_back_and_commit::<P, false>(platform, mapping, file, pages, datasync),
        true => in_the_lab(platform, mapping, file, pages, datasync),
    }
}

/// Makes `pages` durable as [`sync`] does, for msync(2).
///
/// # Errors
/// As for [`sync`].
pub fn msync<P: Platform>(file: &dyn Inode<P>, pages: Range<u64>) -> Result<u64> {
    sync(file, pages, false)
}

/// Makes the whole file durable, as [`sync`] does.
///
/// # Errors
/// As for [`sync`].
pub fn fsync<P: Platform>(file: &dyn Inode<P>) -> Result<u64> {
    sync(file, 0..u64::MAX, false)
}

/// [`write_back_and_commit`], where the laboratory is used.
#[cold]
#[inline(never)]
fn in_the_lab<P: Platform>(
    platform: &P,
    mapping: &Mapping<P>,
    file: &dyn Inode<P>,
    pages: Range<u64>,
    datasync: bool,
) -> Result<u64> {
    write_back_and_commit::<P, true>(platform, mapping, file, pages, datasync)
}

/// [`sync`]; `LAB` is whether the laboratory is used.
#[inline(always)]
fn write_back_and_commit<P: Platform, const LAB: bool>(
    platform: &P,
    mapping: &Mapping<P>,
    file: &dyn Inode<P>,
    pages: Range<u64>,
    datasync: bool,
) -> Result<u64> {
    let result = write_back::<P, LAB>(platform, mapping, file, &pages);
    // Also if a page could not be written back: what was is to be found.
    if !(LAB && mistake!(platform.lab(), NoCommit)) {
        file.commit(pages, datasync)?;
    }
    result
}

/// Writes `pages` back: they are durable, and so is whatever this CPU had flushed before.
#[inline(always)]
fn write_back<P: Platform, const LAB: bool>(
    platform: &P,
    mapping: &Mapping<P>,
    file: &dyn Inode<P>,
    pages: &Range<u64>,
) -> Result<u64> {
    let lab = platform.lab();
    let shares = || LAB && mistake!(lab, WriteBackShared);
    let keeps = || !(LAB && mistake!(lab, FenceAfterUnlock));
    let fence = || {
        if !(LAB && mistake!(lab, NoFence)) {
            platform.pmem().fence();
        }
    };
    if pages.end.saturating_sub(1) / 64 == pages.start / 64 && pages.start < pages.end.min(MAX_PAGES) {
        // They share a word of the index: nothing to tag, for it is done in one go.
        let lock = mapping.exclusive_but_for(shares());
        let find = |page| file.place(lock.held(), page);
        let result = mapping.write_back(platform, lock.held(), pages, false, find);
        let _kept = keeps().then_some(lock);
        fence();
        return result;
    }
    mapping.index.tag(pages.clone());
    let (mut from, mut flushed, mut fenced, mut result) = (pages.start, 0, false, Ok(()));
    while let Some(part) = mapping.index.next_tagged(from, pages.end) {
        from = part.end;
        let lock = mapping.exclusive_but_for(shares());
        match mapping.write_back(platform, lock.held(), &part, true, |page| file.place(lock.held(), page)) {
            Ok(count) => flushed += count,
            Err(error) => result = result.and(Err(error)),
        }
        let _kept = keeps().then_some(lock);
        fence();
        fenced = true;
        if LAB && mistake!(lab, WriteBackStuck) {
            from = part.start;
            mapping.index.existing(from).into_iter().for_each(|leaf| leaf.mark_dirty(from));
            mapping.index.tag(part);
        }
    }
    // What another write-back took is not tagged any more, and durable when that one lets go of the lock.
    if !(LAB && mistake!(lab, SyncTrustsTags)) {
        drop(mapping.shared());
    }
    // The times of write faults were flushed, not waited for.
    if !fenced {
        fence();
    }
    result.map(|()| flushed)
}
