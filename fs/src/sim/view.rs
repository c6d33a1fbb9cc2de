//! A file mapped into an address space of its own, loaded and stored through the entries that faults put
//! there.

use super::{Entry, Kit, Machine, Tables, ZERO_FRAME};
use crate::dax::{Area, Fault, Outcome, Protocol, fault, msync};
use crate::platform::{PageSize, PageTables};
use crate::pmem::Pmem;
use crate::pmem::ram::{self, Ram};
use crate::vfs::InodeRef;
use crate::{PAGE_SIZE, Result};
use alloc::sync::Arc;
use core::ops::Range;

/// The mapping of some pages of a file; unmapped on drop.
pub struct View<K: Kit<Pmem = Ram, PageTables = Tables>> {
    /// The file.
    pub file: InodeRef<Machine<K>>,
    /// The address space.
    pub tables: Arc<Tables>,
    /// How its faults keep out of each other's way.
    pub protocol: Protocol,
    /// Stores go to copies.
    pub private: bool,
    /// Pages of 2 MiB may be used.
    pub large: bool,
    /// Before a store gets to a page, what leads there is durable.
    pub sync: bool,
    va: u64,
    pages: Range<u64>,
}

impl<K: Kit<Pmem = Ram, PageTables = Tables>> View<K> {
    /// Maps `pages` of `file` in a new address space.
    pub fn new(file: &InodeRef<Machine<K>>, pages: Range<u64>) -> Self {
        Self::within(Arc::default(), 0x7000_0000_0000, file, pages)
    }

    /// Maps `pages` of `file` at `va` of the address space of `tables`.
    pub fn within(tables: Arc<Tables>, va: u64, file: &InodeRef<Machine<K>>, pages: Range<u64>) -> Self {
        file.mapping().attach(tables.clone(), va, pages.clone());
        let (file, protocol) = (file.clone(), Protocol::default());
        Self { file, tables, protocol, private: false, large: false, sync: false, va, pages }
    }

    /// Returns the pages of the file that it shows.
    pub fn pages(&self) -> Range<u64> {
        self.pages.clone()
    }

    /// Returns the address at which page `page` of the file is seen.
    ///
    /// # Panics
    /// It is outside the view.
    pub fn va(&self, page: u64) -> u64 {
        assert!(self.pages.contains(&page), "page {page} outside the view");
        self.va + (page - self.pages.start) * PAGE_SIZE
    }

    /// Returns the entry through which page `page` of the file is seen now.
    pub fn entry(&self, page: u64) -> Option<Entry> {
        self.tables.entry(self.va(page))
    }

    /// Takes one fault at page `page` of the file.
    ///
    /// # Errors
    /// What the fault has.
    pub fn fault(&self, page: u64, write: bool) -> Result<Outcome> {
        self.fault_sized(page, write).map(|(outcome, _)| outcome)
    }

    /// Takes one fault at page `page` of the file; returns the size that answered it, too.
    ///
    /// # Errors
    /// What the fault has.
    pub fn fault_sized(&self, page: u64, write: bool) -> Result<(Outcome, PageSize)> {
        let end = self.va + (self.pages.end - self.pages.start) * PAGE_SIZE;
        let area = Area { start: self.va, end, private: self.private, large: self.large, sync: self.sync };
        fault(self.protocol, &*self.file, &self.tables, Fault { va: self.va(page), page, write, area })
    }

    /// Loads from byte `offset` of the file, faulting where nothing is mapped.
    ///
    /// # Errors
    /// What a fault has.
    pub fn load(&self, offset: u64, to: &mut [u8]) -> Result<()> {
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
    ///
    /// # Errors
    /// What a fault has.
    ///
    /// # Panics
    /// Faults leave nothing to store through.
    pub fn store(&self, offset: u64, from: &[u8]) -> Result<()> {
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

    /// Returns the byte at `offset`.
    ///
    /// # Errors
    /// What a fault has.
    pub fn load_byte(&self, offset: u64) -> Result<u8> {
        let mut byte = [0xEE];
        self.load(offset, &mut byte)?;
        Ok(byte[0])
    }

    /// Makes stores to all its pages durable; returns how many were dirty.
    ///
    /// # Errors
    /// What [`msync`] has.
    pub fn msync(&self) -> Result<u64> {
        msync(&*self.file, self.pages.clone())
    }

    fn pmem(&self) -> &Ram {
        &self.file.platform().ram
    }
}

impl<K: Kit<Pmem = Ram, PageTables = Tables>> Drop for View<K> {
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
        let count = ((PAGE_SIZE - at % PAGE_SIZE) as usize).min(len - done);
        f(at / PAGE_SIZE, at % PAGE_SIZE, done..done + count)?;
        done += count;
    }
    Ok(())
}
