//! Mounting.

use super::disk::NAME;
use super::disk::superblock::SuperBlock;
use super::fs::{Ext4, Ext4Shared};
use super::meta::Checked;
use crate::atomic::{AtomicBool, AtomicU32};
use crate::error::{Result, Unsupported};
use crate::ext::cache::Cache;
use crate::ext::features::ReadOnlyReason;
use crate::ext::geometry::{self, Probe, superblock_at};
use crate::ext::indirect::Reach;
use crate::ext::layout::SUPERBLOCK;
use crate::ext::superblock::RawSuperBlock;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::{FileSystemType, MountOptions};
use alloc::sync::Arc;
use once_cell::race::OnceBox;

/// Returns ext4, for the registry.
pub const fn file_system_type<P: Platform>() -> FileSystemType<P> {
    FileSystemType { name: NAME, probe: probe::<P>, mount: |platform, options| Ok(mount(platform, options)?) }
}

/// Whether there is an ext4: the magic number that ext2 has too, and a feature that ext2 does not have.
fn probe<P: Platform>(pmem: &P::Pmem, options: &MountOptions) -> Result<bool> {
    Ok(geometry::probe(pmem, options)? == Some(Probe { is_ext4: true }))
}

const CACHED_INODES: usize = 1024;

/// Mounts the file system in the platform's region, for reading. Groups are looked at when needed.
///
/// # Errors
/// What [`SuperBlock::decode`] refuses, and a root directory that is none.
pub fn mount<P: Platform>(platform: P, options: MountOptions) -> Result<Arc<Ext4<P>>> {
    // 1. Believe nothing before it is checked.
    let pmem = platform.pmem();
    let at = superblock_at(&options)?;
    let raw = RawSuperBlock::load_at(pmem, at)?;
    let mut sb = SuperBlock::decode(&raw, pmem.len())?;
    if at != SUPERBLOCK {
        sb = sb.read_from_copy_at(at)?;
    }
    let reason = if options.read_only {
        ReadOnlyReason::Asked
    } else if !pmem.writable() {
        ReadOnlyReason::Region
    } else {
        sb.read_only_reason().unwrap_or(ReadOnlyReason::Driver)
    };
    if sb.needs_recovery() {
        return Err(Unsupported::Operation("replaying a journal").into());
    }
    let on_error = options.on_error.unwrap_or(sb.on_error);
    let shared = Arc::new(Ext4Shared {
        platform,
        reach: Reach::new(sb.block_bits),
        cache: Cache::new(options.cached_inodes.unwrap_or(CACHED_INODES)),
        checked: (0..sb.group_count).map(|_| Checked::default()).collect(),
        structures: OnceBox::new(),
        journal: OnceBox::new(),
        overlay: None,
        replayed: None,
        reason: Some(reason),
        errors: AtomicBool::new(false),
        on_error: AtomicU32::new(on_error as u32 + 1),
        sb,
    });
    let fs = Arc::new(Ext4 { shared, is_first: true });
    // 2. A root directory must be there.
    fs.root_inode()?;
    Ok(fs)
}
