//! A file mapped into an address space of its own.

use crate::machine::Machine;
use fs::dax::{Area, Fault, Protocol, fault, msync};
use fs::platform::{PageTables, Platform};
use fs::pmem::{Pmem, ram};
use fs::sim::{Tables, ZERO_FRAME};
use fs::vfs::InodeRef;
use fs::{PAGE_SIZE, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where it is mapped.
const VA: u64 = 0x10_0000_0000;
/// Pages that are mapped: more than double-indirect blocks reach.
const PAGES: u64 = 1 << 21;

/// The mapping; unmapped on drop.
pub(crate) struct View {
    /// What is mapped.
    pub(crate) file: InodeRef<Machine>,
    tables: Arc<Tables>,
    /// Pages that were touched.
    touched: BTreeSet<u64>,
}

impl View {
    /// Maps `file`.
    pub(crate) fn new(file: &InodeRef<Machine>) -> Self {
        let tables = Arc::new(Tables::default());
        file.mapping().attach(tables.clone(), VA, 0..PAGES);
        Self { file: file.clone(), tables, touched: BTreeSet::new() }
    }

    /// Loads from, or stores to, byte `offset`; nothing if it is not mapped.
    ///
    /// # Errors
    /// What the fault has.
    pub(crate) fn touch(&mut self, offset: u64, write: bool) -> Result<()> {
        let (page, within) = (offset / PAGE_SIZE, offset % PAGE_SIZE);
        if page >= PAGES {
            return Ok(());
        }
        let va = VA + page * PAGE_SIZE;
        let area = Area { start: VA, end: VA + PAGES * PAGE_SIZE, private: false, large: false, sync: false };
        fault(Protocol::default(), &*self.file, &self.tables, Fault { va, page, write, area })?;
        self.touched.insert(page);
        let entry = self.tables.entry(va).expect("a fault that succeeds leaves an entry");
        let pmem = self.file.platform().pmem();
        if write {
            assert!(entry.writable && entry.frame != ZERO_FRAME, "a write fault left {entry:?}");
            pmem.write(entry.frame - ram::BASE + within, &[0xDB]);
        } else if entry.frame != ZERO_FRAME {
            pmem.load_u8(entry.frame - ram::BASE + within);
        }
        Ok(())
    }

    /// Makes all stores durable.
    ///
    /// # Errors
    /// What [`msync`] has.
    pub(crate) fn msync(&self) -> Result<u64> {
        msync(&*self.file, 0..PAGES)
    }

    /// Finds mappings that outlived their block.
    pub(crate) fn check(&self) {
        for &page in &self.touched {
            let Some(entry) = self.tables.entry(VA + page * PAGE_SIZE) else { continue };
            let lock = self.file.mapping().shared();
            let place = self.file.place(lock.held(), page).expect("it was found when it was mapped");
            let expected = place.map_or(ZERO_FRAME, |place| ram::BASE + place);
            assert_eq!(entry.frame, expected, "page {page} is mapped to what is not its block");
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.tables.unmap(VA, PAGES, true);
        self.file.mapping().detach(&self.tables, VA, []);
    }
}
