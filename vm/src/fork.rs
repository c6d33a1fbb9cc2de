//! A copy of the address space, as fork makes it.

use fs::{Errno, Result};

use super::space::AddressSpace;
use super::tables::{SpaceMachine, SpacePlatform};

impl<P: SpacePlatform> AddressSpace<P> {
    /// Makes another address space with the same VMAs. What is shared with the file faults in again; private
    /// copies are shared, read-only, until one of the two address spaces stores there.
    ///
    /// # Errors
    /// [`Errno::NoMemory`]: nothing is left of it; this one's next stores to private copies fault once more.
    pub fn fork(&self) -> Result<Self> {
        // Exclusively: no fault of ours decides meanwhile that a copy is nobody else's.
        let vmas = self.vmas.write();
        // Whatever fails, dropping it undoes what has been done.
        let child = Self::new(self.tables.machine().another())?;
        {
            let mut copies = child.vmas.write();
            for vma in vmas.iter() {
                // The file knows of the new VMA, after the old one, before copies are there: a truncation
                // that has been at the old one before finds none to share, any other comes to the new one
                // too.
                copies.insert(&child.tables, vma.part(vma.start, vma.start, vma.end));
                if vma.kind.private {
                    let shared = self.tables.share_copies(&child.tables, vma.start, vma.len_pages());
                    shared.map_err(|_| Errno::NoMemory)?;
                }
            }
        }
        Ok(child)
    }
}
