//! Directories: names looked up and listed.

use super::Dir;
use super::nameindex::{Index, Names};
use super::room::FreeRow;
use crate::error::{Errno, Result};
use crate::ext::dirent::Dirent;
use crate::ext::layout::*;
use crate::ext2::inode::Ext2Inode;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{DirEntry, InodeHeld};
use alloc::sync::Arc;
use core::ops::ControlFlow;
use lock_api::RwLockWriteGuard;

/// A directory's index, locked for changes.
pub(in crate::ext2) type IndexGuard<'a, P> = RwLockWriteGuard<'a, <P as Platform>::RwLock, Option<Index>>;

/// A name that was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::ext2) struct FoundName {
    pub entry: Dirent,
}

impl<P: Platform> Dir<'_, P> {
    /// Finds the entry `name` through the index, which is built if there is none.
    pub(in crate::ext2) fn find_name(self, lock: InodeHeld<'_>, name: &[u8]) -> Result<Option<FoundName>> {
        let Some(names) = &self.names else { return self.scan_name(lock, name) };
        let tag = self.fs.names.tag(name);
        if let Some(index) = &*names.index.read() {
            names.note_use();
            return self.probe(index, tag, name);
        }
        if let Some(index) = &*self.indexed(lock, names) {
            return self.probe(index, tag, name);
        }
        self.scan_name(lock, name)
    }

    /// Returns the index, locked for changes, built if there is none and memory for one.
    pub(in crate::ext2) fn indexed<'a>(
        self,
        lock: InodeHeld<'_>,
        names: &'a Arc<Names<P>>,
    ) -> IndexGuard<'a, P> {
        names.note_use();
        let mut index = names.index.write();
        if index.is_none() && names.is_due() {
            *index = self.build_index(lock, names);
            if index.is_none() {
                names.give_up();
            }
        }
        index
    }

    /// Finds the entry called `name` among those remembered under `tag`, checked in place.
    #[inline]
    pub(in crate::ext2) fn probe(self, index: &Index, tag: u32, name: &[u8]) -> Result<Option<FoundName>> {
        let mut result = Ok(None);
        index.find(tag, |pos| match self.entry_at(pos) {
            Ok(entry) if entry.is_called(self.pmem(), name) => {
                result = Ok(Some(FoundName { entry }));
                true
            }
            Ok(_) => false,
            // It may be another name's.
            Err(error) => {
                result = Err(error);
                false
            }
        });
        result
    }

    /// An index of all names, and of all room. `None` without memory for it; and for a damaged directory, in
    /// which a search finds what is in its other blocks.
    fn build_index(self, lock: InodeHeld<'_>, names: &Arc<Names<P>>) -> Option<Index> {
        let budget = &self.fs.names;
        let mut index = Index::new();
        let mut buffer = [0; NAME_MAX];
        let (mut run, mut lblk, mut ok, mut any) = (FreeRow::default(), 0, true, false);
        let bits = self.fs.sb.block_bits;
        let walk = self.each_entry(lock, 0, |entry| {
            if entry.pos >> bits != lblk {
                ok = ok && index.set_room(budget, lblk, run.most);
                (run, lblk) = (FreeRow::default(), entry.pos >> bits);
            }
            run.add(entry, u16::MAX);
            any = true;
            if ok && entry.ino != 0 {
                let name = &mut buffer[..entry.name_len.into()];
                self.pmem().read(entry.at + D_NAME, name);
                ok = index.insert(budget, budget.tag(name), entry.pos);
            }
            if ok { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // The last block's.
        let ok = ok && walk.is_ok() && (!any || index.set_room(budget, lblk, run.most));
        if ok && budget.list(names) {
            return Some(index);
        }
        budget.drop_index(Some(index));
        None
    }

    /// Finds the entry called `name`, looking at entries one by one.
    pub(in crate::ext2) fn scan_name(self, lock: InodeHeld<'_>, name: &[u8]) -> Result<Option<FoundName>> {
        self.each_entry(lock, 0, |entry| {
            if entry.is_called(self.pmem(), name) {
                ControlFlow::Break(FoundName { entry: *entry })
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// Finds the entry called `name`, or fails with [`Errno::NotFound`].
    pub(in crate::ext2) fn expect_name(self, lock: InodeHeld<'_>, name: &[u8]) -> Result<FoundName> {
        Ok(self.find_name(lock, name)?.ok_or(Errno::NotFound)?)
    }

    /// Finds the inode that an entry names: the lock keeps it from being freed meanwhile.
    pub(in crate::ext2) fn named(self, _lock: InodeHeld<'_>, entry: &Dirent) -> Result<Arc<Ext2Inode<P>>> {
        self.fs.inode(entry.ino)
    }

    pub(in crate::ext2) fn list(
        self,
        lock: InodeHeld<'_>,
        from: u64,
        f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut name = [0; NAME_MAX];
        self.each_entry(lock, from, |entry| {
            if entry.pos < from || entry.ino == 0 {
                return ControlFlow::Continue(());
            }
            let name = &mut name[..entry.name_len.into()];
            self.pmem().read(entry.at + D_NAME, name);
            let next = entry.pos + u64::from(entry.rec_len);
            f(DirEntry { name, ino: entry.ino.into(), kind: entry.kind(), next })
        })?;
        Ok(())
    }
}
