//! A file mapped into an address space of its own.

use crate::machine::{FuzzKit, Machine};
use fs::platform::Platform;
use fs::pmem::{Pmem, ram};
use fs::sim::{self, ZERO_FRAME};
use fs::vfs::InodeRef;
use fs::{PAGE_SIZE, Result};
use std::collections::BTreeSet;

/// Pages that are mapped: more than double-indirect blocks reach.
const PAGES: u64 = 1 << 21;

/// The mapping; unmapped on drop.
pub(crate) struct FuzzView {
    pub(crate) of: sim::view::View<FuzzKit>,
    /// Pages that were touched.
    touched: BTreeSet<u64>,
}

impl FuzzView {
    /// Maps `file`.
    pub(crate) fn new(file: &InodeRef<Machine>) -> Self {
        Self { of: sim::view::View::new(file, 0..PAGES), touched: BTreeSet::new() }
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
        self.of.fault(page, write)?;
        self.touched.insert(page);
        let entry = self.of.entry(page).expect("a fault that succeeds leaves an entry");
        let pmem = self.of.file.platform().pmem();
        if write {
            assert!(entry.writable && entry.frame != ZERO_FRAME, "a write fault left {entry:?}");
            pmem.write(entry.frame - ram::BASE + within, &[0xDB]);
        } else if entry.frame != ZERO_FRAME {
            pmem.load_u8(entry.frame - ram::BASE + within);
        }
        Ok(())
    }

    /// Finds mappings that outlived their block.
    pub(crate) fn check(&self) {
        for &page in &self.touched {
            let Some(entry) = self.of.entry(page) else { continue };
            let lock = self.of.file.mapping().shared();
            let place = self.of.file.place(lock.held(), page).expect("it was found when it was mapped");
            let expected = place.map_or(ZERO_FRAME, |place| ram::BASE + place);
            assert_eq!(entry.frame, expected, "page {page} is mapped to what is not its block");
        }
    }
}
