//! `/dev`: the regions of persistent memory as devices, in a directory that is built in. An image's own
//! `/dev` is hidden by it.
//!
//! A device may be read and mapped at any time; stored to, only while nothing is mounted from it for writing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::AtomicUsize;

use fs::block::{Devices, InUse};
use fs::vfs::FileSystem;
use spin::Once;

use super::{Mount, MountRequest, all};
use crate::machine::KernelPlatform;
use crate::pmem::{self, MappedRegion};

/// The directory's name in `/`.
pub(super) const NAME: &[u8] = b"dev";

struct Dev {
    devices: Arc<Devices<KernelPlatform>>,
    mount: Arc<Mount>,
}

fn dev() -> Option<&'static Dev> {
    static DEV: Once<Option<Dev>> = Once::new();
    DEV.call_once(|| {
        let device = |(number, region): (usize, &'static MappedRegion)| {
            let in_use: InUse = Box::new(move || is_in_use(region));
            (alloc::format!("pmem{number}").into_bytes(), KernelPlatform::new(region), in_use)
        };
        let devices = Arc::new(Devices::new(pmem::regions().iter().enumerate().map(device).collect())?);
        let root = devices.root().ok()?.ino();
        let mount = Mount {
            device: "dev".into(),
            options: MountRequest::default(),
            protocol: AtomicUsize::new(0),
            offset: 0,
            fs: devices.clone(),
            point: None,
            point_then: b"/dev".to_vec(),
            root,
            // No region begins there.
            frame: u64::MAX,
            len: 0,
        };
        Some(Dev { devices, mount: Arc::new(mount) })
    })
    .as_ref()
}

/// True if a file system in the region is mounted for writing.
fn is_in_use(region: &MappedRegion) -> bool {
    all().iter().any(|mount| {
        mount.frame.wrapping_sub(region.base()) < fs::pmem::Pmem::len(region) && !mount.read_only()
    })
}

/// Returns the directory's file system, which is in no table. `None` if there are no regions.
pub(super) fn mount() -> Option<&'static Arc<Mount>> {
    dev().map(|dev| &dev.mount)
}

/// Protects mappings of the device that has this physical address: stores through them fault again.
///
/// # Errors
/// What writing back met.
pub(super) fn protect(frame: u64) -> fs::Result<()> {
    dev().map_or(Ok(()), |dev| dev.devices.protect(frame))
}

/// Unmaps the memory at these physical addresses, which has lost its content, from every mapping of a
/// device.
pub fn memory_failed(frames: &Range<u64>) {
    if let Some(dev) = dev() {
        dev.devices.memory_failed_at(frames);
    }
}
