//! A file to measure on, and a mapping of it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use fs::dax::Protocol;
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::{Fallocate, FileKind};
use fs::{PAGE_SIZE, dax};

use super::super::super::command::{CommandResult, Failure, On, complaint};
use super::{BenchClock, BenchSetting, Samples, make};
use crate::machine::File;
use crate::mm::aspace::{self, AddressSpace, MapRequest, Placement, Rights, VmaKind};
use crate::mounts;

/// Bytes of a huge page.
pub(super) const LARGE: u64 = 2 << 20;

impl BenchSetting<'_> {
    /// Returns how many samples are wanted, of which `usual` are enough.
    pub(super) fn wanted(&self, usual: usize) -> usize {
        self.count.unwrap_or(usual)
    }

    /// Returns how many pages a pass has, for `wanted` samples: all of them, if half of the space has room
    /// for their blocks.
    pub(super) fn pages(&self, wanted: usize) -> Result<u64, Failure> {
        let root = super::find(b"/")?;
        let mount = mounts::of(&root).ok_or_else(|| complaint("not mounted"))?;
        match mount.fs.stat_fs().blocks_available / 2 {
            0 => Err(complaint("no space left on device")),
            room => Ok((wanted as u64).min(room)),
        }
    }

    /// Passes of `pass`, which adds samples, until there are as many as `wanted`; the first one only warms
    /// up.
    pub(super) fn passes(
        &self,
        wanted: usize,
        mut pass: impl FnMut(&mut Vec<u64>) -> CommandResult,
    ) -> Result<Samples, Failure> {
        let mut values = Vec::with_capacity(2 * wanted);
        pass(&mut values)?;
        values.clear();
        while values.len() < wanted {
            self.clock.go_on()?;
            pass(&mut values)?;
        }
        Ok(Samples { values, data: 0 })
    }
}

/// Returns a new file of `pages` pages, all of them holes.
pub(super) fn sparse(pages: u64) -> Result<File, Failure> {
    let file = make(b"/.bench/mapped", FileKind::File)?;
    file.truncate(pages * PAGE_SIZE).on("truncate")?;
    Ok(file)
}

/// Returns a new file of `pages` pages with a block each.
pub(super) fn written(pages: u64) -> Result<File, Failure> {
    let file = make(b"/.bench/mapped", FileKind::File)?;
    let page = vec![0x5a; PAGE_SIZE as usize];
    for number in 0..pages {
        if file.write_at(number * PAGE_SIZE, &page).on("write")? != page.len() {
            return Err(complaint("no space left on device"));
        }
    }
    Ok(file)
}

/// Makes every page of the file a hole again.
pub(super) fn empty(file: &File) -> CommandResult {
    let size = file.attr().size;
    file.truncate(0).on("truncate")?;
    file.truncate(size).on("truncate")
}

/// Makes nothing of the file dirty any more.
pub(super) fn clean(file: &File) -> CommandResult {
    dax::fsync(&**file).map(|_| ()).on("fsync")
}

/// A mapping of a file from its first byte on.
pub(super) struct BenchMapping {
    pub(super) start: u64,
    pub(super) len: u64,
    step: u64,
}

/// How a measured file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MappingKind {
    /// By pages of 4 KiB.
    Small,
    /// By pages of 4 KiB, with `MAP_SYNC`.
    Sync,
    /// By pages of 4 KiB, private.
    Private,
    /// By huge pages (2 MiB).
    Large,
}

impl MappingKind {
    /// Returns the kind of VMA that the mapping is to be.
    pub(super) fn kind(self, protocol: Protocol) -> VmaKind {
        let (private, sync, large) = (self == Self::Private, self == Self::Sync, self == Self::Large);
        VmaKind { private, sync, large, ..VmaKind::shared(Rights::READ_WRITE, protocol) }
    }
}

/// Maps all of a file.
pub(super) fn map(
    space: &AddressSpace,
    file: &File,
    how: MappingKind,
    protocol: Protocol,
) -> Result<u64, Failure> {
    let (len, kind, name) = (file.mapping().size(), how.kind(protocol), &Arc::from("bench"));
    space
        .map(&MapRequest { file, name, offset: 0, len, at: Placement::Any, kind, populate: false })
        .on("mmap")
}

impl BenchMapping {
    /// Maps all of `file`, as `how` says.
    pub(super) fn new(setting: &BenchSetting<'_>, file: &File, how: MappingKind) -> Result<Self, Failure> {
        let start = map(&aspace::current(), file, how, setting.protocol)?;
        let step = if how == MappingKind::Large { LARGE } else { PAGE_SIZE };
        Ok(Self { start, len: file.mapping().size(), step })
    }

    /// Maps all of `file`, without huge pages.
    pub(super) fn small(setting: &BenchSetting<'_>, file: &File) -> Result<Self, Failure> {
        Self::new(setting, file, MappingKind::Small)
    }

    /// Returns the address of each page, of the size that is mapped.
    pub(super) fn pages(&self) -> impl Iterator<Item = u64> + use<> {
        (self.start..self.start + self.len).step_by(self.step as usize)
    }

    /// Loads from each page and adds what that takes to `samples`.
    pub(super) fn load(&self, clock: &BenchClock<'_>, samples: &mut Vec<u64>) -> CommandResult {
        self.pages().try_for_each(|at| {
            clock.go_on()?;
            clock.load(at).map(|value| samples.push(value))
        })
    }

    /// Stores to each page once, and adds what each store takes to `samples`.
    pub(super) fn store(&self, clock: &BenchClock<'_>, samples: &mut Vec<u64>) -> CommandResult {
        self.pages().try_for_each(|at| {
            clock.go_on()?;
            clock.store(at).map(|value| samples.push(value))
        })
    }
}

impl Drop for BenchMapping {
    fn drop(&mut self) {
        // It was mapped so; nothing can be wrong with it.
        let _ = aspace::current().munmap(self.start, self.len);
    }
}

/// Fails unless 2 MiB entries show all of the VMA, and nothing else does.
pub(super) fn expect_large(mapping: &BenchMapping) -> CommandResult {
    let count = aspace::current().count(mapping.start, mapping.len);
    match (count.large * LARGE == mapping.len, count.small) {
        (true, 0) => Ok(()),
        _ => Err(complaint("not served by 2 MiB entries: is there room, in whole aligned pieces?")),
    }
}

/// What `work` on `len` bytes of persistent memory takes, alone: the median. The bytes are a new file's.
fn alone(
    clock: &BenchClock<'_>,
    len: u64,
    work: impl Fn(&crate::pmem::MappedRegion, u64),
) -> Result<u64, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, len).on("fallocate")?;
    // What was only allocated is nowhere yet, where unwritten blocks can be told.
    for offset in (0..len).step_by(4096) {
        file.write_at(offset, &[0; 4096][..(len - offset).min(4096) as usize]).on("write")?;
    }
    let mut place = None;
    let first = &mut |extent: fs::vfs::Extent| {
        place = extent.place().filter(|_| extent.len >= len);
        core::ops::ControlFlow::Break(())
    };
    file.extents(0, first).on("file")?;
    let place = place.ok_or_else(|| complaint("no room in one piece"))?;
    let region = file.platform().pmem();
    let mut values: Vec<u64> = (0..64).map(|_| clock.time(|| work(region, place)).0).collect();
    values.sort_unstable();
    Ok(values[values.len() / 2])
}

/// Returns what zeroing `len` bytes of persistent memory takes, alone, in nanoseconds or instructions.
pub(super) fn zeroing(clock: &BenchClock<'_>, len: u64) -> Result<u64, Failure> {
    alone(clock, len, |region, place| region.zero_nt(place, len))
}

/// Returns what copying a page out of persistent memory takes, alone, in nanoseconds or instructions.
pub(super) fn copying(clock: &BenchClock<'_>) -> Result<u64, Failure> {
    let to = core::cell::RefCell::new(vec![0; PAGE_SIZE as usize]);
    alone(clock, PAGE_SIZE, |region, place| region.read(place, &mut to.borrow_mut()))
}
