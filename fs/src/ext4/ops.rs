//! The traits of [`vfs`](crate::vfs): locks are taken, contradictions noted, the work is done elsewhere.

use super::disk::NAME;
use super::fs::Ext4;
use super::inode::Ext4Inode;
use crate::error::{Errno, Result, Unsupported};
use crate::ext::dirent::check_name;
use crate::ext::features::{COMPAT_FAST_COMMIT, ReadOnlyReason};
use crate::ext::info;
use crate::ext::layout::{APPEND_FL, IMMUTABLE_FL, INLINE_DATA_FL};
use crate::ext::superblock::RawSuperBlock;
use crate::jbd2::{self, Journal};
use crate::platform::{Platform, Timestamp};
use crate::vfs::{
    self, AllocOk, Attr, Backing, Device, DirEntry, Extent, Fallocate, Field, FileKind, FileSystem, Held,
    InodeRef, JournalInfo, Mapping, OnError, ReadTo, Rename, Seek, SetAttr, SetXattr, StatFs, Thawed,
    Transaction,
};
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::{ControlFlow, Range};
use core::sync::atomic::Ordering::Relaxed;

/// Refuses to change extended attributes.
fn keep_attributes<P: Platform>(fs: &Ext4<P>) -> Result<()> {
    fs.check_writable()?;
    Err(Unsupported::Operation("changing extended attributes on ext4").into())
}

impl<P: Platform> FileSystem<P> for Ext4<P> {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn for_each_inode(&self, f: &mut dyn FnMut(&dyn vfs::Inode<P>)) {
        self.cache.for_each(|inode| f(&**inode));
    }

    fn mount_notes(&self, tell: &mut dyn FnMut(&dyn Display)) {
        if let Some(reason) = self.read_only_reason().filter(|reason| *reason != ReadOnlyReason::Asked) {
            tell(&format_args!("mounted read-only: {reason}"));
        }
        if let Some(replayed) = self.replayed() {
            tell(&replayed);
        }
        if let Some(error) = self.orphans.lock().refused {
            tell(&format_args!("mounted read-only: not all that a crash left could be freed: {error}"));
        }
        let (freed, cut) = self.orphans.lock().found;
        if freed + cut > 0 {
            tell(&format_args!("{freed} inodes without a name were freed, {cut} files cut to their sizes"));
        }
    }

    fn describe(&self, f: &mut dyn FnMut(&'static str, Field)) -> Result<()> {
        let raw = RawSuperBlock::load(self.platform.pmem())?;
        info::describe(&raw, &self.sb, self.sum_free(), f);
        let (ino, mut start) = (self.sb.journal_inum, None);
        if ino != 0 {
            self.noted(self.journal_runs(ino, &mut |run| _ = start.get_or_insert(run.start)))?;
        }
        match start {
            None => Ok(()),
            Some(block) => {
                let has_fast_commits = self.sb.feature_compat & COMPAT_FAST_COMMIT != 0;
                let at = self.sb.byte(block);
                let f = &mut |name, value| f(name, Field::Text(value));
                jbd2::describe(self.platform.pmem(), at, has_fast_commits, f)
            }
        }
    }

    fn journal_info(&self) -> Option<JournalInfo> {
        self.journal.get().map(Journal::info)
    }

    /// Commits what was changed 5 seconds ago, until the journal is given up.
    fn tick(&self, now: Timestamp) -> bool {
        self.journal.get().is_some_and(|journal| journal.tick(now).is_ok())
    }

    fn set_on_error(&self, policy: OnError) -> Result<OnError> {
        let before = self.on_error();
        self.on_error.store(policy as u32 + 1, Relaxed);
        Ok(before)
    }

    fn root(&self) -> Result<InodeRef<P>> {
        Ok(self.noted(self.root_inode())?)
    }

    fn stat_fs(&self) -> StatFs {
        self.stat()
    }

    fn read_only(&self) -> bool {
        self.check_writable().is_err()
    }

    fn sync(&self) -> Result<()> {
        self.sync_all()
    }

    fn unmount(&self) -> Result<()> {
        self.unmount_all()
    }

    fn freeze(&self) -> Result<()> {
        self.freeze_all()
    }

    fn thaw(&self) -> Result<()> {
        self.thaw_all()
    }

    fn remount(&self, read_only: bool) -> Result<()> {
        self.remount_all(read_only)
    }

    fn entry(&self, entry: &DirEntry<'_>) -> Result<InodeRef<P>> {
        let ino = u32::try_from(entry.ino).map_err(|_| Errno::Invalid)?;
        Ok(self.noted(self.inode(ino))?)
    }

    fn memory_failed(&self, place: u64, len: u64) {
        self.cache.for_each(|inode| {
            if inode.mapping.is_mapped() {
                let lblks = inode.mapping.size().div_ceil(self.sb.block_size());
                let unmapped = inode
                    .mapping
                    .unmap_place(&self.platform, place..place + len, |f| inode.map().extents(0..lblks, f));
                // What is wrong with the map was noted, and every fault meets it.
                let _ = self.noted(unmapped);
            }
        });
    }

    fn shrink(&self) -> usize {
        self.cache.shrink() * size_of::<Ext4Inode<P>>()
    }

    fn rename(&self, old_dir: u64, old: &[u8], new_dir: u64, new: &[u8], how: Rename) -> Result<()> {
        self.noted(self.rename_name(old_dir, old, new_dir, new, how))
    }
}

impl<P: Platform> vfs::Inode<P> for Ext4Inode<P> {
    fn platform(&self) -> &P {
        &self.fs.platform
    }

    fn ino(&self) -> u64 {
        self.ino.into()
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn attr(&self) -> Attr {
        let _shared = self.lock.shared();
        self.load_attr()
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        self.fs.noted(self.change_attr(change))
    }

    #[inline]
    fn mapping(&self) -> &Mapping<P> {
        &self.mapping
    }

    fn expect_mappable(&self) -> Result<()> {
        self.check_mappable()
    }

    fn look_up(&self, _lock: Held<'_>, page: u64, pages: u64) -> Result<Extent> {
        let (backing, count) = self.fs.noted(self.map().look(page, pages))?;
        let bytes = |pages| self.fs.sb.byte(pages);
        Ok(Extent { offset: bytes(page), len: bytes(count), backing: self.with_flags(backing) })
    }

    fn look_up_for_write(
        &self,
        ok: AllocOk<'_>,
        transaction: &Transaction<'_>,
        page: u64,
        pages: u64,
    ) -> Result<Backing> {
        self.fs.noted(self.fill_for_fault(ok, transaction, page, pages))
    }

    fn begin<'a>(&'a self, _lock: Held<'a>, _page: u64, pages: u64) -> Result<Transaction<'a>> {
        self.begin_fault(pages)
    }

    fn start_write_fault(&self) -> Result<Thawed<'_, P>> {
        self.let_fault_write()
    }

    fn commit(&self, _pages: Range<u64>, datasync: bool) -> Result<()> {
        self.commit_changes(datasync)
    }

    fn read_to(&self, offset: u64, len: usize, to: &mut dyn ReadTo<P>) -> Result<usize> {
        self.fs.noted(self.file()?.read(offset, len, to))
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize> {
        self.fs.noted(self.file()?.write(offset, from))
    }

    fn truncate(&self, size: u64) -> Result<()> {
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        self.fs.noted(self.file()?.set_size(size))
    }

    fn fallocate(&self, how: Fallocate, offset: u64, len: u64) -> Result<()> {
        self.fs.noted(self.file()?.change_range(how, offset, len))
    }

    fn seek(&self, offset: u64, what: Seek) -> Result<u64> {
        self.fs.noted(self.file()?.seek(offset, what))
    }

    fn extents(&self, from: u64, f: &mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()> {
        self.file()?;
        let _shared = self.lock.shared();
        if self.has(INLINE_DATA_FL) {
            return Ok(());
        }
        let bits = self.fs.sb.block_bits;
        let lblks = self.mapping.size().div_ceil(self.fs.sb.block_size());
        self.fs.noted(self.map().extents(from >> bits..lblks, f))
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef<P>> {
        let dir = self.dir()?;
        check_name(name)?;
        let _shared = self.lock.shared();
        // What `..` of a removed directory names may be gone, or something else by now.
        self.expect_alive()?;
        Ok(self.fs.noted(dir.find(name).and_then(|ino| self.fs.inode(ino)))?)
    }

    fn read_dir(&self, from: u64, f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        let dir = self.dir()?;
        let _shared = self.lock.shared();
        self.fs.noted(dir.list(from, f))
    }

    fn create(&self, name: &[u8], kind: FileKind, mode: u16) -> Result<InodeRef<P>> {
        Ok(self.fs.noted(self.dir()?.create_name(name, kind, mode))?)
    }

    fn make_device(&self, name: &[u8], kind: FileKind, mode: u16, device: Device) -> Result<InodeRef<P>> {
        Ok(self.fs.noted(self.dir()?.make_device_name(name, kind, mode, device))?)
    }

    fn symlink(&self, name: &[u8], target: &[u8]) -> Result<InodeRef<P>> {
        Ok(self.fs.noted(self.dir()?.symlink_name(name, target))?)
    }

    fn link(&self, name: &[u8], ino: u64) -> Result<()> {
        self.fs.noted(self.dir()?.link_name(name, ino))
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.fs.noted(self.dir()?.unlink_name(name))
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.fs.noted(self.dir()?.rmdir_name(name))
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        let _shared = self.lock.shared();
        self.fs.noted(self.target())
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.fs.noted(self.xattrs().get(name))
    }

    fn set_xattr(&self, _: &[u8], _: &[u8], _: SetXattr) -> Result<()> {
        keep_attributes(&self.fs)
    }

    fn remove_xattr(&self, _: &[u8]) -> Result<()> {
        keep_attributes(&self.fs)
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        self.fs.noted(self.xattrs().list())
    }
}
