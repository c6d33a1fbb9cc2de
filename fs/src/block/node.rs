//! The inodes of a directory of devices.
//!
//! # Locking
//! Reading takes the inode lock shared, writing exclusively, as for any file; nothing is locked below. Faults
//! run beside them.

use super::InUse;
use crate::PAGE_SIZE;
use crate::error::{Errno, Result, Unsupported};
use crate::platform::{Platform, Timestamp};
use crate::pmem::{Pmem, poison};
use crate::vfs::{
    AllocOk, Attr, Backing, Device, DirEntry, Extent, Fallocate, FileKind, Held, Inode, InodeLock, InodeRef,
    Mapping, ReadTo, Seek, Thawed, Transaction, check_range,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

/// The directory's number.
const DIRECTORY: u64 = 2;
/// The first device's.
const FIRST: u64 = 11;
/// What Linux gives block devices without a number of their own (`BLOCK_EXT_MAJOR`).
const MAJOR: u32 = 259;

/// The directory, or a device in it.
pub struct DevNode<P: Platform> {
    platform: P,
    lock: InodeLock<P>,
    mapping: Mapping<P>,
    made: Timestamp,
    what: NodeKind<P>,
}

enum NodeKind<P: Platform> {
    Directory(Vec<Arc<DevNode<P>>>),
    Device { number: u32, name: Vec<u8>, in_use: InUse },
}

impl<P: Platform> DevNode<P> {
    /// Makes device number `number`: all of its machine's region.
    pub(super) fn device(number: u32, name: Vec<u8>, platform: P, in_use: InUse) -> Self {
        let (mapping, made) = (Mapping::new(platform.pmem().len()), platform.now());
        Self {
            platform,
            lock: InodeLock::new(),
            mapping,
            made,
            what: NodeKind::Device { number, name, in_use },
        }
    }

    /// Makes the directory of `devices`; returns `None` if there is no device.
    pub(super) fn directory(devices: Vec<Arc<Self>>) -> Option<Self>
    where
        P: Clone,
    {
        let first = devices.first()?;
        let (platform, made) = (first.platform.clone(), first.made);
        let (lock, mapping) = (InodeLock::new(), Mapping::new(0));
        Some(Self { platform, lock, mapping, made, what: NodeKind::Directory(devices) })
    }

    pub(super) fn devices(&self) -> &[Arc<Self>] {
        match &self.what {
            NodeKind::Directory(devices) => devices,
            NodeKind::Device { .. } => &[],
        }
    }

    /// Returns a device's inode number; `None` for the directory.
    pub(super) fn number(&self) -> Option<u64> {
        match self.what {
            NodeKind::Directory(_) => None,
            NodeKind::Device { number, .. } => Some(FIRST + u64::from(number)),
        }
    }

    /// The region's physical addresses.
    fn frames(&self) -> Range<u64> {
        let start = self.platform.pmem().frame(0);
        start..start + self.platform.pmem().len()
    }

    pub(super) fn has_frame(&self, frame: u64) -> bool {
        self.frames().contains(&frame)
    }

    fn size(&self) -> u64 {
        self.mapping.size()
    }

    /// Refuses to change it while somebody else does, and where nobody may.
    fn expect_unused(&self) -> Result<()> {
        match &self.what {
            NodeKind::Directory(_) => Err(Errno::IsDirectory.into()),
            NodeKind::Device { .. } if !self.platform.pmem().writable() => Err(Errno::ReadOnly.into()),
            NodeKind::Device { in_use, .. } if in_use() => Err(Errno::Busy.into()),
            NodeKind::Device { .. } => Ok(()),
        }
    }

    fn expect_device(&self) -> Result<()> {
        match self.what {
            NodeKind::Directory(_) => Err(Errno::IsDirectory.into()),
            NodeKind::Device { .. } => Ok(()),
        }
    }

    /// Makes what was stored through mappings durable; the next store faults. No write(2) is on its way.
    pub(super) fn settle(&self) -> Result<()> {
        let _written = self.lock.exclusive();
        let lock = self.mapping.exclusive();
        let place = |page| Ok(Some(page * PAGE_SIZE));
        self.mapping.write_back_all(&self.platform, lock.held(), 0..u64::MAX, place)?;
        self.platform.pmem().fence();
        Ok(())
    }

    /// Takes what lies at physical addresses `frames` out of every address space.
    pub(super) fn unmap_frames(&self, frames: &Range<u64>) {
        let own = self.frames();
        let (from, to) = (frames.start.max(own.start), frames.end.min(own.end));
        if from >= to || !self.mapping.is_mapped() {
            return;
        }
        let pages = (from - own.start) / PAGE_SIZE..(to - own.start).div_ceil(PAGE_SIZE);
        let lock = self.mapping.exclusive();
        let place = |page| Ok(Some(page * PAGE_SIZE));
        // It looks nothing up that could be wrong.
        let _ = self.mapping.write_back_all(&self.platform, lock.held(), pages.clone(), place);
        self.mapping.unmap_shared(&self.platform, lock.alloc_ok(), pages);
        self.platform.pmem().fence();
    }
}

impl<P: Platform> Inode<P> for DevNode<P> {
    fn platform(&self) -> &P {
        &self.platform
    }

    fn ino(&self) -> u64 {
        self.number().unwrap_or(DIRECTORY)
    }

    fn kind(&self) -> FileKind {
        match self.what {
            NodeKind::Directory(_) => FileKind::Directory,
            NodeKind::Device { .. } => FileKind::BlockDevice,
        }
    }

    fn attr(&self) -> Attr {
        let (mode, links, device) = match self.what {
            NodeKind::Directory(_) => (0o755, 2, Device::default()),
            NodeKind::Device { number, .. } => (0o660, 1, Device { major: MAJOR, minor: number }),
        };
        Attr {
            ino: self.ino(),
            kind: self.kind(),
            mode,
            links,
            uid: 0,
            gid: 0,
            size: self.size(),
            blocks: 0,
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
            crtime: None,
            device,
        }
    }

    fn mapping(&self) -> &Mapping<P> {
        &self.mapping
    }

    fn look_up(&self, _: Held<'_>, page: u64, pages: u64) -> Result<Extent> {
        let offset = page * PAGE_SIZE;
        Ok(match (self.size() / PAGE_SIZE).checked_sub(page) {
            None | Some(0) => Extent { offset, len: pages * PAGE_SIZE, backing: Backing::HOLE },
            Some(left) => {
                Extent { offset, len: pages.min(left) * PAGE_SIZE, backing: Backing::mapped(offset) }
            }
        })
    }

    fn look_up_for_write(&self, _: AllocOk<'_>, _: &Transaction<'_>, _: u64, _: u64) -> Result<Backing> {
        self.platform.stats().device_retry.inc();
        self.platform.bug("a fault asked a device, which has no holes, to allocate a block");
        Err(Unsupported::Operation("allocating a block of a device").into())
    }

    fn start_write_fault(&self) -> Result<Thawed<'_, P>> {
        self.expect_unused().map(|()| Thawed::always())
    }

    /// A device has no metadata.
    fn commit(&self, _: Range<u64>, _: bool) -> Result<()> {
        Ok(())
    }

    fn read_to(&self, offset: u64, len: usize, to: &mut dyn ReadTo<P>) -> Result<usize> {
        self.expect_device()?;
        check_range(offset, len)?;
        let _shared = self.lock.shared();
        let len = (len as u64).min(self.size().saturating_sub(offset)) as usize;
        let (pmem, offset) = (self.platform.pmem(), offset.min(self.size()));
        Ok(to.take(pmem, Some(offset), poison::good(pmem, offset, len)?))
    }

    /// Writes as far as the device reaches: beyond it there is no space.
    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize> {
        self.expect_device()?;
        check_range(offset, from.len())?;
        let _exclusive = self.lock.exclusive();
        self.expect_unused()?;
        let len = (from.len() as u64).min(self.size().saturating_sub(offset)) as usize;
        if len == 0 {
            return if from.is_empty() { Ok(0) } else { Err(Errno::NoSpace.into()) };
        }
        let pmem = self.platform.pmem();
        poison::overwrite(pmem, offset, len as u64)?;
        pmem.write_nt(offset, &from[..len]);
        pmem.fence();
        Ok(len)
    }

    fn truncate(&self, _: u64) -> Result<()> {
        self.expect_device()?;
        Err(Errno::Invalid.into())
    }

    fn fallocate(&self, _: Fallocate, _: u64, _: u64) -> Result<()> {
        self.expect_device()?;
        Err(Unsupported::Operation("fallocate on a device").into())
    }

    fn seek(&self, offset: u64, what: Seek) -> Result<u64> {
        self.expect_device()?;
        match what {
            _ if offset >= self.size() => Err(Errno::NoSuchAddress.into()),
            Seek::Data => Ok(offset),
            Seek::Hole => Ok(self.size()),
        }
    }

    fn extents(&self, from: u64, f: &mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()> {
        self.expect_device()?;
        let from = from & !(PAGE_SIZE - 1);
        if from < self.size() {
            // There is no more to stop.
            let _ = f(Extent { offset: from, len: self.size() - from, backing: Backing::mapped(from) });
        }
        Ok(())
    }

    fn lookup(&self, wanted: &[u8]) -> Result<InodeRef<P>> {
        self.expect_directory()?;
        let is = |node: &&Arc<Self>| matches!(&node.what, NodeKind::Device { name, .. } if name == wanted);
        match self.devices().iter().find(is) {
            Some(device) => Ok(device.clone()),
            None => Err(Errno::NotFound.into()),
        }
    }

    fn read_dir(&self, from: u64, f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        self.expect_directory()?;
        let dots = [&b"."[..], b".."].map(|name| (name, DIRECTORY, FileKind::Directory));
        let devices = self.devices().iter().filter_map(|node| match &node.what {
            NodeKind::Device { name, .. } => Some((&name[..], node.ino(), FileKind::BlockDevice)),
            NodeKind::Directory(_) => None,
        });
        for ((name, ino, kind), at) in dots.into_iter().chain(devices).zip(0..).skip(from as usize) {
            if f(DirEntry { name, ino, kind: Some(kind), next: at + 1 }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn expect_mappable(&self) -> Result<()> {
        self.expect_device().map_err(|_| Errno::NoDevice.into())
    }
}
