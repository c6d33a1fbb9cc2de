//! The traits of [`vfs`](crate::vfs): locks are taken, contradictions noted, the work is done elsewhere.

use super::disk::NAME;
use super::fs::Ext2;
use super::inode::Ext2Inode;
use crate::PAGE_SIZE;
use crate::error::{Errno, Result, Unsupported};
use crate::ext::dirent::check_name;
use crate::ext::features::ReadOnlyReason;
use crate::ext::info;
use crate::ext::layout::{APPEND_FL, IMMUTABLE_FL};
use crate::ext::superblock::RawSuperBlock;
use crate::ext::unreadable;
use crate::lab::mistake;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{
    self, AllocOk, Attr, Backing, Buffer, Device, DirEntry, Extent, Fallocate, Field, FileKind, FileSystem,
    Held, InodeRef, Mapping, OnError, ReadTo, Rename, Seek, SetAttr, SetXattr, StatFs, Thawed, Transaction,
};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::{ControlFlow, Range};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

impl<P: Platform> FileSystem<P> for Ext2<P> {
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
        if let Some(replayed) = self.replayed.get() {
            tell(replayed);
        }
        if let Some(recovered) = self.recovered() {
            tell(&format_args!("was not unmounted cleanly, or had errors: {recovered}"));
        } else if !self.was_clean() {
            tell(&"was not unmounted cleanly, or has errors: nothing was repaired");
        }
        if self.redo_pending() {
            tell(&"a change was cut short by a crash; a mount for writing finishes it");
        }
        if self.block_size() == PAGE_SIZE && !self.has_large_runs() {
            tell(&"no 2 MiB of it begin at a multiple of 2 MiB: no 2 MiB mappings");
        }
    }

    fn describe(&self, f: &mut dyn FnMut(&'static str, Field)) -> Result<()> {
        let (blocks, inodes) = self.groups().sum_free();
        let raw = RawSuperBlock::load(self.platform.pmem())?;
        info::describe(&raw, &self.sb, (blocks.into(), inodes.into()), f);
        if let Some(recovered) = self.recovered() {
            f("Repaired at mount:", Field::Text(recovered.to_string()));
        }
        Ok(())
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
        self.super_in_place().stat()
    }

    fn read_only(&self) -> bool {
        self.unwritable.load(SeqCst)
    }

    fn sync(&self) -> Result<()> {
        // While it is frozen, or about to be, the summary is right without.
        if let Some(_thawed) = self.freeze.try_change() {
            self.super_in_place().sync(None);
        }
        Ok(())
    }

    fn freeze(&self) -> Result<()> {
        let result = self.freezer().freeze();
        self.say_unsaid();
        result
    }

    fn thaw(&self) -> Result<()> {
        let result = self.freezer().thaw();
        self.say_unsaid();
        result
    }

    fn remount(&self, read_only: bool) -> Result<()> {
        let result = if read_only { self.freezer().make_read_only() } else { self.freezer().make_writable() };
        self.say_unsaid();
        result
    }

    fn unmount(&self) -> Result<()> {
        let result = self.do_unmount();
        self.say_unsaid();
        result
    }

    fn entry(&self, entry: &DirEntry<'_>) -> Result<InodeRef<P>> {
        let ino = u32::try_from(entry.ino).map_err(|_| Errno::Invalid)?;
        Ok(self.noted(self.inode(ino))?)
    }

    fn memory_failed(&self, place: u64, len: u64) {
        self.cache.for_each(|inode| {
            let result =
                if inode.mapping.is_mapped() { inode.unmap_place(place..place + len) } else { Ok(()) };
            let _ = self.noted(result);
        });
        // What is not a file's is told as well: an inode that nobody holds is loaded again, and found bad, by
        // the next who asks for it.
        self.groups().forget_groups(place, len, &mut |what, index| {
            let bad = self.pmem().poisoned(place, len).unwrap_or(place);
            let _ = self.noted::<()>(Err(unreadable(what, index, bad)));
        });
    }

    fn shrink(&self) -> usize {
        // Indexes first: inodes take theirs along.
        let bytes = self.names.shrink();
        bytes + self.cache.shrink() * size_of::<Ext2Inode<P>>()
    }

    fn rename(&self, old_dir: u64, old: &[u8], new_dir: u64, new: &[u8], how: Rename) -> Result<()> {
        self.noted(self.tree().rename_name(old_dir, old, new_dir, new, how))
    }
}

impl<P: Platform> vfs::Inode<P> for Ext2Inode<P> {
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
        // The size has two halves: under the lock they belong together.
        let shared = self.lock.shared();
        self.load_attr(shared.held())
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        // All ones are nobody: chown(2) takes them for "as it is", which is `None` here.
        if change.uid == Some(u32::MAX) || change.gid == Some(u32::MAX) {
            return Err(Errno::Invalid.into());
        }
        let _thawed = self.fs.start_change()?;
        let exclusive = self.lock.exclusive();
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        self.change_attr(exclusive.change_ok(), change, self.fs.platform.now());
        Ok(())
    }

    #[inline]
    fn mapping(&self) -> &Mapping<P> {
        &self.mapping
    }

    #[cfg(feature = "watched")]
    fn locks(&self, tell: vfs::watched::Tell<'_>) {
        self.tell_locks(tell);
    }

    fn expect_mappable(&self) -> Result<()> {
        match self.kind {
            FileKind::File if self.fs.block_size() == PAGE_SIZE => Ok(()),
            FileKind::File => Err(Unsupported::Mapping(self.fs.block_size()).into()),
            _ => Err(Errno::NoDevice.into()),
        }
    }

    #[inline]
    fn look_up(&self, _lock: Held<'_>, page: u64, pages: u64) -> Result<Extent> {
        match pages {
            1 => self.fs.noted(self.map().page(page)),
            _ => self.map().pages(page, pages),
        }
    }

    #[inline]
    fn peek(&self, _lock: Held<'_>, page: u64) -> Option<Backing> {
        self.map().peek(page)
    }

    #[inline]
    fn look_up_for_write(
        &self,
        ok: AllocOk<'_>,
        _transaction: &Transaction<'_>,
        page: u64,
        pages: u64,
    ) -> Result<Backing> {
        if pages != 1 {
            return self.map().look_up_run_for_write(ok, page);
        }
        if let Some(block) = self.map().fill_next(ok, page) {
            return Ok(Backing::mapped(self.fs.byte(block)).new());
        }
        let (block, fresh) = self.fs.noted(self.map().fill_hole(ok, page))?;
        let backing = Backing::mapped(self.fs.byte(block));
        Ok(if fresh { backing.new() } else { backing })
    }

    fn start_write_fault(&self) -> Result<Thawed<'_, P>> {
        let thawed = match mistake!(self.fs.platform.lab(), IgnoreFreeze) {
            false => self.fs.start_change()?,
            true => {
                self.fs.check_writable()?;
                Thawed::always()
            }
        };
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        self.touch_for_fault();
        Ok(thawed)
    }

    /// Every change was durable when its function returned, and write faults flush the times they store
    /// (docs/decisions/0005): the caller's fence was all that was missing.
    fn commit(&self, _pages: Range<u64>, _datasync: bool) -> Result<()> {
        Ok(())
    }

    fn read_to(&self, offset: u64, len: usize, to: &mut dyn ReadTo<P>) -> Result<usize> {
        self.fs.noted(self.file()?.read(offset, len, to))
    }

    // In one piece: what most ask for.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        self.fs.noted(self.file()?.read(offset, to.len(), &mut Buffer::new(to)))
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
        let pages = self.load_size().div_ceil(self.fs.block_size());
        self.fs.noted(self.map().extents(from / self.fs.block_size()..pages, f))
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef<P>> {
        let dir = self.dir()?;
        check_name(name)?;
        let shared = self.lock.shared();
        // What `..` of a removed directory names may be gone, or something else by now.
        self.expect_alive()?;
        let lock = shared.held();
        let found =
            self.fs.noted(dir.expect_name(lock, name).and_then(|found| dir.named(lock, &found.entry)))?;
        Ok(found)
    }

    fn read_dir(&self, from: u64, f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        let dir = self.dir()?;
        let shared = self.lock.shared();
        self.fs.noted(dir.list(shared.held(), from, f))
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

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        self.fs.noted(self.xattrs().get(name))
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], how: SetXattr) -> Result<()> {
        self.fs.noted(self.xattrs().change(name, Some(value), how))
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.fs.noted(self.xattrs().change(name, None, SetXattr::Replace))
    }

    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        self.fs.noted(self.xattrs().list())
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
}
