//! One fault's way: look up under the lock, install under the same lock, or retry exclusively.
//!
//! # Invariants
//! - What is installed was looked up under the lock that is still held (law 2): [`attempt`] does both.
//! - [`Attempt::Retry`] leaves nothing behind: `attempt` has changed nothing, and its caller drops the lock (law 4).
//! - A block is mapped only after the file system made its zeros durable and published it (law 3): `Inode::allocate`.

use super::Protocol;
use crate::PAGE_SIZE;
use crate::error::{Errno, Error, Result};
use crate::platform::{Mapped, NoFrames, PageTables, Platform};
use crate::pmem::Pmem;
use crate::vfs::index::MAX_PAGES;
use crate::vfs::{AllocOk, Held, Inode};

/// A fault inside an area, whose rights were checked already.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The page's virtual address, a multiple of the page size.
    pub va: u64,
    /// The page of the file that belongs there.
    pub page: u64,
    /// A store (the area allows it), not a load.
    pub write: bool,
}

/// How a fault was answered. In every case the access can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A load from a hole: the shared zero page, read-only.
    ZeroPage,
    /// The block that was there.
    Block,
    /// A store to a hole: a block was allocated for it.
    Allocated,
    /// The block was mapped for reading and now is for writing.
    MkWrite,
    /// The entry was there already: another CPU was faster, or the TLB was behind.
    Spurious,
}

/// What came of one try under one lock.
enum Attempt {
    Done(Outcome),
    /// A store met a hole where it may not allocate: nothing was changed, take the lock exclusively.
    Retry,
}

/// Serves one fault on `file` in the address space of `tables`.
///
/// # Errors
/// [`Errno::BeyondEnd`] beyond the page that holds the last byte, [`Errno::NoSpace`], [`Errno::ReadOnly`],
/// [`Errno::NoMemory`] when there is no frame for a table page or no memory for the index, [`Error::Corrupt`],
/// [`Error::Poisoned`]. The file's bytes and the page tables are as they were; a refused store has updated the times, and
/// after `NoMemory` the hole may have got a block of zeros.
#[inline]
pub fn fault<P: Platform>(
    protocol: Protocol,
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
) -> Result<Outcome> {
    let stats = file.platform().stats();
    if fault.write { &stats.fault_write } else { &stats.fault_read }.inc();
    let result = serve(protocol, file, tables, fault);
    match result {
        Ok(Outcome::ZeroPage) => &stats.fault_zero_page,
        Ok(Outcome::Block) => &stats.fault_block,
        Ok(Outcome::Allocated) => &stats.fault_allocated,
        Ok(Outcome::MkWrite) => &stats.fault_mkwrite,
        Ok(Outcome::Spurious) => &stats.fault_spurious,
        Err(Error::Op(Errno::BeyondEnd)) => &stats.fault_beyond_end,
        Err(Error::Op(Errno::NoSpace)) => &stats.fault_no_space,
        Err(_) => &stats.fault_failed,
    }
    .inc();
    result
}

#[inline]
fn serve<P: Platform>(
    protocol: Protocol,
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
) -> Result<Outcome> {
    if fault.write {
        file.start_write_fault()?;
    }

    // 1. Shared: serve it if that takes no allocation.
    let shared = file.mapping().shared();
    let alloc_ok = match protocol {
        Protocol::Racy => Some(AllocOk::racy(shared.held())),
        Protocol::ReadFirst => None,
    };
    if let Attempt::Done(outcome) = attempt(file, tables, fault, shared.held(), alloc_ok)? {
        return Ok(outcome);
    }

    // 2. Let go of everything before waiting for the lock exclusively: other faults must be able to finish.
    drop(shared);
    file.platform().stats().fault_retry.inc();

    // 3. Exclusive: from here on no other fault is between its look-up and its installing. Look again, allocate.
    let exclusive = file.mapping().exclusive();
    match attempt(file, tables, fault, exclusive.held(), Some(exclusive.alloc_ok()))? {
        Attempt::Done(outcome) => {
            if outcome != Outcome::Allocated {
                file.platform().stats().fault_retry_found.inc();
            }
            Ok(outcome)
        }
        Attempt::Retry => unreachable!("with leave to allocate, a hole is filled or an error"),
    }
}

#[inline]
fn attempt<P: Platform>(
    file: &dyn Inode<P>,
    tables: &P::PageTables,
    fault: Fault,
    lock: Held<'_>,
    alloc_ok: Option<AllocOk<'_>>,
) -> Result<Attempt> {
    // The size is looked at under the lock: a truncation that has finished is seen, one to come waits.
    // What the index cannot hold, no file system may make a file of: it is refused before the index is touched.
    if fault.page >= file.size(lock).div_ceil(PAGE_SIZE).min(MAX_PAGES) {
        return Err(Errno::BeyondEnd.into());
    }
    let (place, fresh) = match (fault.write, alloc_ok) {
        // Looks up before it allocates: the second look-up after the retry is this one.
        (true, Some(ok)) => {
            let (place, fresh) = file.allocate(ok, fault.page)?;
            if fresh {
                // Law 6: the zero page goes from every address space before anyone can store to the block.
                let gone = file.mapping().unmap_zero(ok, fault.page);
                file.platform().stats().zero_page_unmapped.add(gone);
            }
            (place, fresh)
        }
        _ => match file.block(lock, fault.page)? {
            Some(place) => (place, false),
            None if fault.write => return Ok(Attempt::Retry),
            None => return map_zero_page(file, tables, fault),
        },
    };
    if fault.write {
        // Before the entry: a store through it must never find the page clean.
        file.mapping().index.mark_dirty(fault.page)?;
    }
    // A load maps read-only even where stores are allowed: the first store must come here to mark the page dirty.
    let frame = file.platform().pmem().frame(place);
    let mapped = tables.map(fault.va, frame, fault.write).map_err(no_frames)?;
    Ok(Attempt::Done(match mapped {
        _ if fresh => Outcome::Allocated,
        Mapped::New | Mapped::Replaced => Outcome::Block,
        Mapped::Upgraded => Outcome::MkWrite,
        Mapped::Already => Outcome::Spurious,
    }))
}

fn map_zero_page<P: Platform>(file: &dyn Inode<P>, tables: &P::PageTables, fault: Fault) -> Result<Attempt> {
    // Before the entry: whoever allocates a block here must know that there is something to unmap.
    file.mapping().index.mark_zero(fault.page)?;
    Ok(Attempt::Done(match tables.map_zero(fault.va).map_err(no_frames)? {
        Mapped::Already => Outcome::Spurious,
        _ => Outcome::ZeroPage,
    }))
}

fn no_frames(_: NoFrames) -> Error {
    Errno::NoMemory.into()
}
