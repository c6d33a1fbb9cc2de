//! Inodes that another system's crash left without a name get one in `lost+found`: `#` and their number, as
//! e2fsck does.
//!
//! They are sound by now, and so is the file system; names are made in the usual way.

use super::Repair;
use super::scan::ScanResult;
use crate::error::{Corrupt, Errno, Result};
use crate::ext2::facts::Nameable;
use crate::ext2::inode::Ext2Inode;
use crate::ext2::names::Dir;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::fence_all;
use crate::vfs::FileKind;
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::SeqCst;

impl<P: Platform> Repair<'_, P> {
    /// Refuses a `lost+found` that is no directory, where one is needed: before anything is changed.
    pub(super) fn can_adopt(self, found: &ScanResult) -> Result<()> {
        if found.nameless.is_empty() {
            return Ok(());
        }
        let root = self.root_inode()?;
        let root = root.dir()?;
        let shared = root.lock.shared();
        match root.find_name(shared.held(), b"lost+found")? {
            Some(found) if root.named(shared.held(), &found.entry)?.dir().is_err() => Err(Corrupt::new(
                "lost+found",
                found.entry.ino.into(),
                "not a directory, and inodes lost their names",
            )
            .into()),
            _ => Ok(()),
        }
    }

    /// Gives names to what is to be named. Returns how many.
    ///
    /// # Errors
    /// No space for a directory entry: the rest waits for a mount that finds some.
    pub(super) fn adopt(self, found: &ScanResult) -> Result<u32> {
        let nameless = &found.nameless;
        if !nameless.is_empty() {
            let home = self.lost_and_found()?;
            let home = home.dir()?;
            nameless.iter().try_for_each(|&ino| self.adopt_inode(home, ino))?;
        }
        Ok(nameless.len() as u32)
    }

    /// The directory `lost+found`, made if it is missing.
    fn lost_and_found(self) -> Result<Arc<Ext2Inode<P>>> {
        let root = self.root_inode()?;
        let root = root.dir()?;
        {
            let shared = root.lock.shared();
            if let Some(found) = root.find_name(shared.held(), b"lost+found")? {
                let home = root.named(shared.held(), &found.entry)?;
                home.dir()?;
                return Ok(home);
            }
        }
        // Nobody else knows of this file system yet.
        self.unwritable.store(false, SeqCst);
        let home = root.create_name(b"lost+found", FileKind::Directory, 0o700);
        self.unwritable.store(true, SeqCst);
        home
    }

    fn adopt_inode(self, home: Dir<'_, P>, ino: u32) -> Result<()> {
        let pmem = self.pmem();
        let child = self.inode(ino)?;
        let (home_lock, child_lock) = (home.lock.exclusive(), child.lock.exclusive());
        let lock = home_lock.change_ok();
        for attempt in 0..100 {
            let name = if attempt == 0 { format!("#{ino}") } else { format!("#{ino}.{attempt}") };
            if let Ok(room) = home.find_room(lock, name.as_bytes())? {
                let target = Nameable::new(&self.sb, ino, child.kind);
                let counted = child.store_links(child_lock.change_ok(), 1).flush(pmem).map(|_| target);
                let prepared = home.prepare(lock, room, name.as_bytes(), counted.fact())?;
                let (prepared, counted) = fence_all(pmem, (prepared, counted));
                home.publish_entry(lock, prepared, counted, name.as_bytes(), self.platform.now())?;
                pmem.fence();
                return Ok(());
            }
        }
        Err(Errno::Exists.into())
    }
}
