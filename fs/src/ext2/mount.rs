//! Mounting and unmounting.
//!
//! As Linux's ext2 does it: while mounted for writing, the state says "not clean"; unmounting sets back what
//! was found, or "errors" if contradictions were met.

use super::alloc::state::GroupState;
use super::disk::NAME;
use super::disk::superblock::SuperBlock;
use super::fs::{Ext2, Ext2Shared};
use super::inode::Ext2Inode;
use super::names::nameindex::Budget;
use super::recover::recover;
use crate::atomic::{AtomicBool, AtomicI64, AtomicU32};
use crate::error::{Corrupt, Errno, Result, Unsupported};
use crate::ext::cache::Cache;
use crate::ext::features::{INCOMPAT_RECOVER, ReadOnlyReason, missing};
use crate::ext::geometry::{self, Probe, superblock_at};
use crate::ext::indirect::Reach;
use crate::ext::inode::RawInode;
use crate::ext::journal::{self, FoundJournal};
use crate::ext::layout::*;
use crate::ext::superblock::RawSuperBlock;
use crate::ext::unreadable;
use crate::platform::{Mutex, Platform};
use crate::pmem::{LINE, Pmem};
use crate::vfs::{FileKind, FileSystemType, Freeze, MountOptions};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;
use once_cell::race::OnceBox;

/// Returns the type ext2, for the registry.
pub const fn file_system_type<P: Platform>() -> FileSystemType<P> {
    FileSystemType { name: NAME, probe: probe::<P>, mount: |platform, options| Ok(mount(platform, options)?) }
}

/// Whether there is an ext2 or ext3: the magic number that ext4 has too, and no feature that only ext4 has.
/// What they need otherwise, [`mount`] refuses by name.
fn probe<P: Platform>(pmem: &P::Pmem, options: &MountOptions) -> Result<bool> {
    Ok(geometry::probe(pmem, options)? == Some(Probe { is_ext4: false }))
}

const CACHED_INODES: usize = 1024;
const NAME_INDEX_BYTES: usize = 16 << 20;

/// Mounts the file system in the platform's region. Groups are looked at when needed: each costs a mutex and
/// a flag in memory.
///
/// # Errors
/// What [`SuperBlock::decode`] refuses, and a root directory that is none. The image is unchanged then,
/// unless a crash had left a redo record: that is done first.
pub fn mount<P: Platform>(platform: P, options: MountOptions) -> Result<Arc<Ext2<P>>> {
    // 1. Believe nothing before it is checked.
    let pmem = platform.pmem();
    let at = superblock_at(&options)?;
    let raw = RawSuperBlock::load_at(pmem, at)?;
    let mut sb = SuperBlock::decode(&raw, pmem.len())?;
    if at != SUPERBLOCK {
        sb = sb.read_from_copy_at(at)?;
    }
    let reason = if options.read_only {
        Some(ReadOnlyReason::Asked)
    } else if !platform.pmem().writable() {
        Some(ReadOnlyReason::Region)
    } else {
        sb.read_only_reason()
    };
    if at != SUPERBLOCK && reason.is_none() {
        sb = restore(platform.pmem(), &raw, &sb)?;
    }
    let (sb_groups, on_error) = (sb.group_count, options.on_error.unwrap_or(sb.on_error));
    let groups = (0..sb_groups).map(|_| Mutex::<P, _>::new(GroupState::default())).collect();
    let now = platform.now();
    let seed = (now.secs as u64) << 32 ^ u64::from(now.nanos).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let now = now.secs as u32;
    let shared = Arc::new(Ext2Shared {
        platform,
        reach: Reach::new(sb.block_bits),
        sb,
        groups,
        structures_end: (0..sb_groups).map(|_| AtomicU32::new(u32::MAX)).collect(),
        cache: Cache::new(options.cached_inodes.unwrap_or(CACHED_INODES)),
        names: Budget::new(options.name_index_bytes.unwrap_or(NAME_INDEX_BYTES), seed),
        rename: Mutex::<P, _>::new(()),
        xattrs: Mutex::<P, _>::new(()),
        super_lock: Mutex::<P, _>::new(()),
        unwritable: AtomicBool::new(true),
        freeze: Freeze::default(),
        ice: Mutex::<P, _>::new(None),
        late: Mutex::<P, _>::new(Vec::new()),
        reason,
        redo_found: AtomicBool::new(false),
        recovery: OnceBox::new(),
        replayed: OnceBox::new(),
        errors: AtomicBool::new(false),
        unsaid: AtomicBool::new(false),
        on_error: AtomicU32::new(on_error as u32 + 1),
        stopped: AtomicBool::new(false),
        free_blocks: AtomicI64::new(0),
        next_generation: AtomicU32::new(now.wrapping_mul(0x9e37_79b1)),
    });
    let fs = Arc::new(Ext2 { shared, is_first: true });
    if fs.sb.needs_recovery() {
        return replay(fs, &raw, options);
    }
    // 2. What a crash left to do is done before anything else is read.
    fs.redo_found.store(if reason.is_none() { fs.redo().replay() } else { fs.redo().is_there() }, SeqCst);
    // 3. What else it left is repaired.
    if reason.is_none() && !fs.was_clean() {
        let _ = fs.recovery.set(Box::new(recover(&fs)?));
        fs.errors.store(fs.recovered().is_none(), SeqCst);
    }
    // 4. A root directory must be there. (Frozen until now: nothing more is written if it is not.)
    fs.root_inode()?;
    // 5. Say on the image that it is mounted.
    if fs.read_only_reason().is_none() {
        fs.count_free_blocks(at == SUPERBLOCK);
        fs.super_in_place().mark_mounted();
        fs.unwritable.store(false, SeqCst);
    }
    Ok(fs)
}

/// Replays the journal that ext3 has, and mounts what there is afterwards.
///
/// # Errors
/// The mount may change nothing; the journal is damaged, or on another device.
fn replay<P: Platform>(fs: Arc<Ext2<P>>, raw: &RawSuperBlock, options: MountOptions) -> Result<Arc<Ext2<P>>> {
    if fs.reason.is_some() {
        let hint = "the journal must be replayed first: mount it for writing, or run e2fsck on the image";
        return Err(Unsupported::Features(missing(INCOMPAT_RECOVER, hint)).into());
    }
    let size = (fs.sb.block_bits, fs.sb.blocks_count.into());
    let journal = FoundJournal::look(fs.pmem(), size, |run| fs.journal_runs(raw.journal()?, run))?;
    let shared = fs.shared.clone();
    drop(fs);
    // Nobody else has a handle: the journal's inode is let go of.
    let Ext2Shared { platform, .. } = Arc::into_inner(shared).ok_or(Errno::Busy)?;
    let replayed = journal.replay(platform.pmem())?;
    let fs = mount(platform, options)?;
    let _ = fs.replayed.set(Box::new(replayed));
    Ok(fs)
}

/// Puts a copy of superblock and descriptors in the place of the first ones, marked as not clean: what was
/// counted since the copy was made is not in it.
///
/// # Errors
/// A descriptor of the copy makes no sense, or they lead to no root directory; nothing was changed.
fn restore(pmem: &impl Pmem, raw: &RawSuperBlock, copy: &SuperBlock) -> Result<SuperBlock> {
    // 1. Is the copy any better?
    for group in 0..copy.group_count {
        copy.group(pmem, group)?;
    }
    expect_root(pmem, copy)?;
    // 2. The descriptors, then the superblock that says where they are. What the superblock has beyond the
    //    copied fields is the redo record's: it stays.
    let first = copy.first_data_block + 1;
    let mut line = [0; LINE as usize];
    let len = u64::from(copy.gdt_blocks) << copy.block_bits;
    pmem.clear_poison(copy.byte(first), len);
    for at in (0..len).step_by(line.len()) {
        pmem.read((copy.gdt_start << copy.block_bits) + at, &mut line);
        pmem.write_nt(copy.byte(first) + at, &line);
    }
    pmem.fence();
    let mut bytes = *raw.bytes();
    bytes[S_BLOCK_GROUP_NR as usize..][..2].fill(0);
    let state = raw.u16(S_STATE) & !VALID_FS;
    bytes[S_STATE as usize..][..2].copy_from_slice(&state.to_le_bytes());
    let mut len = S_DAXIOM;
    if pmem.poisoned(SUPERBLOCK, 1024).is_some() {
        // Nor is the record to be had: all of it is overwritten.
        pmem.clear_poison(SUPERBLOCK, 1024);
        bytes[S_DAXIOM as usize..].fill(0);
        len = 1024;
    }
    pmem.write(SUPERBLOCK, &bytes[..len as usize]);
    pmem.flush(SUPERBLOCK, len);
    pmem.fence();
    SuperBlock::decode(&RawSuperBlock::load(pmem)?, pmem.len())
}

/// Refuses a superblock by which [`Ext2::root_inode`] would find none.
fn expect_root(pmem: &impl Pmem, sb: &SuperBlock) -> Result<()> {
    let group = sb.group(pmem, 0)?;
    let index = ROOT_INO - 1;
    let raw = RawInode::new(pmem, sb, ROOT_INO, group.inode(sb, index));
    raw.expect_readable()?;
    if let Some(bad) = pmem.poisoned(sb.byte(group.inode_bitmap), 1) {
        return Err(unreadable("inode bitmap", 0, bad));
    }
    let size = raw.size(FileKind::Directory);
    let is_there = raw.kind() == Some(FileKind::Directory)
        && raw.links() != 0
        && pmem.load_u8(sb.byte(group.inode_bitmap)) & 1 << index != 0
        && raw.expect_native().is_ok()
        && size.is_multiple_of(sb.block_size())
        && size <= sb.byte(sb.blocks_count);
    if is_there { Ok(()) } else { Err(Corrupt::new("inode", ROOT_INO.into(), "no root directory").into()) }
}

impl<P: Platform> Ext2<P> {
    pub(super) fn root_inode(&self) -> Result<Arc<Ext2Inode<P>>> {
        let root = self.inode(ROOT_INO)?;
        if root.dir().is_err() {
            return Err(Corrupt::new("inode", ROOT_INO.into(), "the root is not a directory").into());
        }
        Ok(root)
    }

    /// Calls `f` with each run of blocks of the journal, which is inode `ino`, in order.
    fn journal_runs(&self, ino: u32, f: &mut dyn FnMut(Range<u64>)) -> Result<()> {
        let raw = self.raw_inode(ino)?;
        let (kind, bits) = (FileKind::File, self.sb.block_bits);
        raw.expect_readable()?;
        raw.expect_native()?;
        let size = raw.size(kind).min(self.max_file_size());
        let inode = Ext2Inode::new(self.share(), ino, raw.at, kind, size);
        inode.abandon();
        journal::runs(
            ino,
            "a hole in the journal",
            bits,
            |each| inode.map().extents(0..size >> bits, each),
            f,
        )
    }

    /// Starts the count of free blocks: what the superblock says if the image is clean (and it was not a copy
    /// that was read), else what its groups say. After recovery, before anything is taken.
    pub(super) fn count_free_blocks(&self, believe: bool) {
        let believe = believe && self.sb.is_clean();
        let count = match believe {
            true => self.sb.free_blocks_count.min(self.sb.blocks_count),
            false => self.groups().sum_free().0,
        };
        self.free_blocks.store(count.into(), SeqCst);
    }

    pub(super) fn do_unmount(&self) -> Result<()> {
        let ice = self.ice.lock();
        if ice.is_some() {
            return Err(Errno::Busy.into());
        }
        // 1. Whoever is in the middle of a change holds a handle. With none there, and none to come, it is
        //    frozen: a refused unmount is never seen by anyone.
        let mut was_frozen = false;
        if !self.cache.if_idle(|| was_frozen = self.unwritable.swap(true, SeqCst)) {
            return Err(Errno::Busy.into());
        }
        // 2. What only the cache held goes, and leaves nothing behind.
        self.cache.close();
        // 3. The state that was found, unless there is more to say.
        if !was_frozen {
            let late = self.freezer().finish_late();
            let _ = self.noted(late);
            self.super_in_place().sync(Some(self.super_in_place().final_state()));
        }
        Ok(())
    }
}
