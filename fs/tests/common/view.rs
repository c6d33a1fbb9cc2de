//! A file mapped into an address space of its own, loaded and stored through the entries that faults put
//! there.

use super::{BLOCK, Machine};
use fs::Result;
use fs::dax::{Area, Fault, Outcome, Protocol, fault, msync};
use fs::platform::{PageSize, PageTables};
use fs::pmem::{Pmem, ram};
use fs::sim::{Entry, Tables, ZERO_FRAME};
use fs::vfs::InodeRef;
use std::ops::Range;
use std::sync::Arc;

/// The mapping of some pages of a file; unmapped on drop.
pub(crate) struct View {
    pub(crate) file: InodeRef<Machine>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) protocol: Protocol,
    /// Stores go to copies.
    pub(crate) private: bool,
    /// Pages of 2 MiB may be used.
    pub(crate) large: bool,
    /// Before a store gets to a page, what leads there is durable.
    pub(crate) sync: bool,
    va: u64,
    pages: Range<u64>,
}

impl View {
    /// Maps `pages` of `file` in a new address space.
    pub(crate) fn new(file: &InodeRef<Machine>, pages: Range<u64>) -> Self {
        Self::within(Arc::default(), 0x7000_0000_0000, file, pages)
    }

    /// Maps `pages` of `file` at `va` of the address space of `tables`.
    pub(crate) fn within(tables: Arc<Tables>, va: u64, file: &InodeRef<Machine>, pages: Range<u64>) -> Self {
        file.mapping().attach(tables.clone(), va, pages.clone());
        let (file, protocol) = (file.clone(), Protocol::default());
        Self { file, tables, protocol, private: false, large: false, sync: false, va, pages }
    }

    /// The pages of the file that it shows.
    pub(crate) fn pages(&self) -> Range<u64> {
        self.pages.clone()
    }

    /// The address at which page `page` of the file is seen.
    pub(crate) fn va(&self, page: u64) -> u64 {
        assert!(self.pages.contains(&page), "page {page} outside the view");
        self.va + (page - self.pages.start) * BLOCK
    }

    /// The entry through which page `page` of the file is seen now.
    pub(crate) fn entry(&self, page: u64) -> Option<Entry> {
        self.tables.entry(self.va(page))
    }

    /// One fault at page `page` of the file.
    pub(crate) fn fault(&self, page: u64, write: bool) -> Result<Outcome> {
        self.fault_sized(page, write).map(|(outcome, _)| outcome)
    }

    /// One fault at page `page` of the file, and the size that answered it.
    pub(crate) fn fault_sized(&self, page: u64, write: bool) -> Result<(Outcome, PageSize)> {
        let end = self.va + (self.pages.end - self.pages.start) * BLOCK;
        let area = Area { start: self.va, end, private: self.private, large: self.large, sync: self.sync };
        fault(self.protocol, &*self.file, &self.tables, Fault { va: self.va(page), page, write, area })
    }

    /// Loads from byte `offset` of the file, faulting where nothing is mapped.
    pub(crate) fn load(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        each_page(offset, to.len(), |page, within, part| {
            let entry = loop {
                match self.entry(page) {
                    Some(entry) => break entry,
                    // Another thread may take the zero page out again before it is looked at.
                    None => drop(self.fault(page, false)?),
                }
            };
            match entry.frame {
                // One of the zero pages.
                ..ram::BASE => to[part].fill(0),
                frame => self.pmem().read(frame - ram::BASE + within, &mut to[part]),
            }
            Ok(())
        })
    }

    /// Stores to byte `offset` of the file, faulting where nothing is mapped for writing.
    pub(crate) fn store(&self, offset: u64, from: &[u8]) -> Result<()> {
        each_page(offset, from.len(), |page, within, part| {
            // As a processor: faults until it may store. Another thread that freezes or writes back may
            // protect the page again before it is looked at; that often, it cannot be.
            let mut faults = 0;
            let entry = loop {
                match self.entry(page) {
                    Some(entry) if entry.writable => break entry,
                    _ => drop(self.fault(page, true)?),
                }
                faults += 1;
                assert!(faults < 10_000, "write faults leave page {page} read-only, or without an entry");
            };
            assert_ne!(entry.frame, ZERO_FRAME, "the zero page is mapped for writing");
            self.pmem().write(entry.frame - ram::BASE + within, &from[part]);
            Ok(())
        })
    }

    /// The byte at `offset`.
    pub(crate) fn load_byte(&self, offset: u64) -> Result<u8> {
        let mut byte = [0xEE];
        self.load(offset, &mut byte)?;
        Ok(byte[0])
    }

    /// Makes stores to all its pages durable; returns how many were dirty.
    pub(crate) fn msync(&self) -> Result<u64> {
        msync(&*self.file, self.pages.clone())
    }

    fn pmem(&self) -> &ram::Ram {
        &self.file.platform().ram
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.tables.unmap(self.va, self.pages.end - self.pages.start, true);
        self.file.mapping().detach(&self.tables, self.va, []);
    }
}

/// Calls `f(page, offset in the page, range in the buffer)` for each page that `len` bytes at `offset` touch.
fn each_page(offset: u64, len: usize, mut f: impl FnMut(u64, u64, Range<usize>) -> Result<()>) -> Result<()> {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let count = ((BLOCK - at % BLOCK) as usize).min(len - done);
        f(at / BLOCK, at % BLOCK, done..done + count)?;
        done += count;
    }
    Ok(())
}
