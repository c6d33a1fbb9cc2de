//! A copy of the address space, as fork makes it.

use fs::{Errno, Result};

use super::space::AddressSpace;
use super::tables::{SpaceMachine, SpacePlatform};

impl<P: SpacePlatform> AddressSpace<P> {
    /// Another address space with the same areas. What is shared with the file faults in again; private
    /// copies are shared, read-only, until one of the two stores.
    ///
    /// # Errors
    /// [`Errno::NoMemory`]: nothing is left of it; this one's next stores to private copies fault once more.
    pub fn fork(&self) -> Result<Self> {
        // Exclusively: no fault of ours decides meanwhile that a copy is nobody else's.
        let areas = self.areas.write();
        // Whatever fails, dropping it undoes what has been done.
        let child = Self::new(self.tables.machine().another())?;
        {
            let mut copies = child.areas.write();
            for area in areas.iter() {
                // The file knows of the new area, after the old one, before copies are there: a truncation
                // that has been at the old one before finds none to share, any other comes to the new one
                // too.
                copies.insert(&child.tables, area.part(area.start, area.start, area.end));
                if area.kind.private {
                    let shared = self.tables.share_copies(&child.tables, area.start, area.len_pages());
                    shared.map_err(|_| Errno::NoMemory)?;
                }
            }
        }
        Ok(child)
    }
}
