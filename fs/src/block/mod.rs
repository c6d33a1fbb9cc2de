//! Raw devices: whole regions as files, without a file system between, and the directory they are in.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | [`Devices`]: a file system that is one directory of devices |
//! | `node` | its inodes: what a file system does, or refuses |
//!
//! Block *n* of a device is block *n* of its region: there is nothing to look up and nothing to allocate. A
//! fault that asks for an allocation nevertheless is a bug: it is counted (`device.retry`), told to the
//! platform, and refused.

mod node;

pub use node::DevNode;

use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::vfs::{DirEntry, FileSystem, Inode, InodeRef, Rename, StatFs};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// Tells whether somebody else is changing the region, so that nobody may store to it as a device.
pub type InUse = Box<dyn Fn() -> bool + Send + Sync>;

/// A directory of devices, as a file system.
pub struct Devices<P: Platform> {
    directory: Arc<DevNode<P>>,
}

impl<P: Platform + Clone> Devices<P> {
    /// Makes the directory of `devices`, each with its name, its machine (whose region it is), and whether it
    /// is in use. Returns `None` if there is no device.
    pub fn new(devices: Vec<(Vec<u8>, P, InUse)>) -> Option<Self> {
        let device =
            |(number, (name, platform, in_use))| Arc::new(DevNode::device(number, name, platform, in_use));
        let devices: Vec<_> = (0u32..).zip(devices).map(device).collect();
        Some(Self { directory: Arc::new(DevNode::directory(devices)?) })
    }

    /// Makes every store through a mapping of the region around physical address `frame` fault from now on:
    /// somebody else is about to change that region.
    ///
    /// # Errors
    /// What writing back met.
    pub fn protect(&self, frame: u64) -> Result<()> {
        self.directory
            .devices()
            .iter()
            .filter(|device| device.has_frame(frame))
            .try_for_each(|device| device.settle())
    }

    /// Does for the physical addresses `frames` what [`FileSystem::memory_failed`] does.
    pub fn memory_failed_at(&self, frames: &Range<u64>) {
        self.directory.devices().iter().for_each(|device| device.unmap_frames(frames));
    }
}

impl<P: Platform + Clone> FileSystem<P> for Devices<P> {
    fn type_name(&self) -> &'static str {
        "devices"
    }

    fn for_each_inode(&self, f: &mut dyn FnMut(&dyn Inode<P>)) {
        self.directory.devices().iter().for_each(|device| f(&**device));
    }

    fn root(&self) -> Result<InodeRef<P>> {
        Ok(self.directory.clone())
    }

    fn stat_fs(&self) -> StatFs {
        StatFs {
            block_size: crate::PAGE_SIZE,
            blocks: 0,
            blocks_free: 0,
            blocks_available: 0,
            inodes: self.directory.devices().len() as u64 + 1,
            inodes_free: 0,
            label: [0; 16],
            uuid: [0; 16],
        }
    }

    /// The directory does not change; what is in the devices may.
    fn read_only(&self) -> bool {
        false
    }

    fn sync(&self) -> Result<()> {
        self.directory.devices().iter().try_for_each(|device| device.settle())
    }

    fn unmount(&self) -> Result<()> {
        Err(Errno::Busy.into())
    }

    fn entry(&self, entry: &DirEntry<'_>) -> Result<InodeRef<P>> {
        let device = self.directory.devices().iter().find(|device| device.number() == Some(entry.ino));
        match device {
            Some(device) => Ok(device.clone()),
            None => Ok(self.directory.clone()),
        }
    }

    fn rename(&self, _: u64, _: &[u8], _: u64, _: &[u8], _: Rename) -> Result<()> {
        Err(Errno::NotPermitted.into())
    }
}
