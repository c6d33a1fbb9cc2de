//! Mounting; the journal that a crash left.

use super::alloc::BlockGroups;
use super::disk::NAME;
use super::disk::superblock::SuperBlock;
use super::fs::{Ext4, Ext4Shared};
use super::meta::{Checked, Overlay};
use super::names::death::Orphans;
use super::operation::Unsealed;
use crate::atomic::{AtomicBool, AtomicU32};
use crate::error::{Errno, Result};
use crate::ext::cache::Cache;
use crate::ext::features::ReadOnlyReason;
use crate::ext::geometry::{self, Probe, superblock_at};
use crate::ext::indirect::Reach;
use crate::ext::journal::{FoundJournal, Replayed};
use crate::ext::layout::SUPERBLOCK;
use crate::ext::superblock::RawSuperBlock;
use crate::platform::{Mutex, Platform};
use crate::pmem::Pmem;
use crate::vfs::{FileSystemType, Freeze, MountOptions};
use alloc::sync::Arc;
use alloc::vec;
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

/// Mounts the file system in the platform's region. Groups are looked at when needed.
///
/// A journal that a crash left is replayed first. If nothing may be changed, what it holds is read instead of
/// what is at home.
///
/// # Errors
/// What [`SuperBlock::decode`] refuses; a journal that is damaged, or on another device; a root directory
/// that is none.
pub fn mount<P: Platform>(platform: P, options: MountOptions) -> Result<Arc<Ext4<P>>> {
    // 1. Believe nothing before it is checked.
    let (mut raw, sb) = read_super(platform.pmem(), &options)?;
    let may_write = !options.read_only && platform.pmem().writable();
    let platform = Arc::new(platform);
    let recovers = sb.needs_recovery();
    if may_write && !recovers {
        raw.put_back_checksum(platform.pmem());
    }
    let mut fs = assemble(platform, sb, &options);
    // 2. What a crash left in the journal comes before anything else is read.
    if recovers {
        fs.is_before_replay = true;
        fs = if may_write { replay(fs, &raw, &options)? } else { read_through(fs, raw, &options)? };
    }
    let fs = Arc::new(Ext4 { shared: Arc::new(fs), is_first: true });
    // 3. A root directory must be there.
    fs.root_inode()?;
    // 4. The journal is opened, and the image says so.
    if fs.read_only_reason().is_none() {
        fs.open_journal()?;
        fs.start_writing()?;
        fs.recover()?;
    }
    Ok(fs)
}

/// Reads the superblock that `options` say.
fn read_super(pmem: &impl Pmem, options: &MountOptions) -> Result<(RawSuperBlock, SuperBlock)> {
    let at = superblock_at(options)?;
    let raw = RawSuperBlock::load_at(pmem, at)?.with_lost_checksum();
    let sb = SuperBlock::decode(&raw, pmem.len())?;
    Ok((raw, if at == SUPERBLOCK { sb } else { sb.read_from_copy_at(at)? }))
}

/// Returns what handles to the file system share, nothing of it read yet.
fn assemble<P: Platform>(platform: Arc<P>, sb: SuperBlock, options: &MountOptions) -> Ext4Shared<P> {
    let reason = if options.read_only {
        Some(ReadOnlyReason::Asked)
    } else if !platform.pmem().writable() {
        Some(ReadOnlyReason::Region)
    } else {
        sb.read_only_reason()
    };
    let on_error = options.on_error.unwrap_or(sb.on_error);
    let next_generation = AtomicU32::new((platform.now().secs as u32).wrapping_mul(0x9e37_79b1));
    let sb = Arc::new(sb);
    let groups = Arc::new(BlockGroups::new(platform.clone(), sb.clone()));
    Ext4Shared {
        platform,
        unsealed: Arc::new(Unsealed::new(sb.clone(), groups.clone())),
        groups,
        unwritable: AtomicBool::new(reason.is_some()),
        freeze: Freeze::default(),
        ice: Mutex::<P, _>::new(None),
        rename: Mutex::<P, _>::new(()),
        orphans: Mutex::<P, _>::new(Orphans::default()),
        attributes: Mutex::<P, _>::new(()),
        sealing: Mutex::<P, _>::new(()),
        next_generation,
        reach: Reach::new(sb.block_bits),
        cache: Cache::new(options.cached_inodes.unwrap_or(CACHED_INODES)),
        checked: (0..sb.group_count).map(|_| Checked::default()).collect(),
        structures: OnceBox::new(),
        journal_zone: OnceBox::new(),
        journal: OnceBox::new(),
        is_before_replay: false,
        overlay: None,
        replayed: None,
        reason,
        errors: AtomicBool::new(false),
        on_error: AtomicU32::new(on_error as u32 + 1),
        sb,
    }
}

/// Looks through the journal of the file system that `shared` is of.
fn look<P: Platform>(shared: Ext4Shared<P>, raw: &RawSuperBlock) -> Result<(Ext4Shared<P>, FoundJournal)> {
    let fs = Ext4 { shared: Arc::new(shared), is_first: true };
    let size = (fs.sb.block_bits, fs.sb.blocks_count);
    let journal = FoundJournal::look(fs.platform.pmem(), size, |run| fs.journal_runs(raw.journal()?, run))?;
    let shared = fs.shared.clone();
    drop(fs);
    // Nobody else has a handle: the journal's inode is let go of.
    let shared = Arc::into_inner(shared).ok_or(Errno::Busy)?;
    Ok((shared, journal))
}

/// Replays the journal. All of the file system is looked at anew: its superblock may have been in the
/// journal.
fn replay<P: Platform>(
    shared: Ext4Shared<P>,
    raw: &RawSuperBlock,
    options: &MountOptions,
) -> Result<Ext4Shared<P>> {
    let (Ext4Shared { platform, .. }, journal) = look(shared, raw)?;
    let replayed = Some(journal.replay(platform.pmem())?);
    let (_, sb) = read_super(platform.pmem(), options)?;
    Ok(Ext4Shared { replayed, ..assemble(platform, sb, options) })
}

/// Has what the journal holds read instead of what is at home.
fn read_through<P: Platform>(
    shared: Ext4Shared<P>,
    mut raw: RawSuperBlock,
    options: &MountOptions,
) -> Result<Ext4Shared<P>> {
    let (Ext4Shared { platform, sb, .. }, FoundJournal { recovery, .. }) = look(shared, &raw)?;
    let (pmem, mut overlay) = (platform.pmem(), Overlay::new());
    for block in recovery.homes() {
        let mut bytes = vec![0; sb.block_size() as usize];
        recovery.read(pmem, block, &mut bytes)?;
        if let Some(newer) = RawSuperBlock::in_block(sb.byte(block), &bytes) {
            raw = newer;
        }
        overlay.insert(block, Arc::from(bytes));
    }
    let sb = SuperBlock::decode(&raw, pmem.len())?;
    let replayed = Some(Replayed::new(&recovery, false));
    Ok(Ext4Shared { replayed, overlay: Some(overlay), ..assemble(platform, sb, options) })
}
