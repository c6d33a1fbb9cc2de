//! Page faults of 4 KiB: one access to each page of a mapped file. Pages of 2 MiB are not used in the area.

use alloc::vec::Vec;

use super::super::super::command::{Done, Failure};
use super::area::{Area, How, clean, copying, empty, sparse, written, zeroing};
use super::{Operation, Run, Samples, Setting};
use crate::machine::File;

/// So many samples, unless somebody says another number.
const USUAL: usize = 1024;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "read-hole", about: "read fault, hole", run: Run::Mapped(read_hole) },
    Operation { name: "read-block", about: "read fault, allocated", run: Run::Mapped(read_block) },
    Operation { name: "write-block", about: "write fault, allocated", run: Run::Mapped(write_block) },
    Operation { name: "write-hole", about: "write fault, hole: allocates", run: Run::Mapped(write_hole) },
    Operation {
        name: "write-after-read",
        about: "write fault, hole that was read: its zero page goes",
        run: Run::Mapped(write_after_read),
    },
    Operation { name: "mkwrite", about: "write fault, block that was read", run: Run::Mapped(mkwrite) },
    Operation {
        name: "write-after-sync",
        about: "write fault, block that fsync has write-protected",
        run: Run::Mapped(write_after_sync),
    },
    Operation {
        name: "sync-write-hole",
        about: "write fault, hole, MAP_SYNC: what leads to the block is durable before the entry is there",
        run: Run::Mapped(sync_write_hole),
    },
    Operation {
        name: "private-write",
        about: "write fault, private: copies an allocated page",
        run: Run::Mapped(private_write),
    },
];

/// Passes over a file: `prepare` it, map it, `before` what is measured, `measure`.
fn passes(
    setting: &Setting<'_>,
    how: How,
    file: impl FnOnce(u64) -> Result<File, Failure>,
    prepare: impl Fn(&File) -> Done,
    before: impl Fn(&Area, &File) -> Done,
    measure: impl Fn(&Area, &mut Vec<u64>) -> Done,
) -> Result<Samples, Failure> {
    let wanted = setting.wanted(USUAL);
    let file = file(setting.pages(wanted)?)?;
    setting.passes(wanted, |samples| {
        prepare(&file)?;
        let area = Area::new(setting, &file, how)?;
        before(&area, &file)?;
        measure(&area, samples)
    })
}

fn as_it_is(_: &Area, _: &File) -> Done {
    Ok(())
}

fn read_hole(setting: &Setting<'_>) -> Result<Samples, Failure> {
    passes(
        setting,
        How::Small,
        sparse,
        |_| Ok(()),
        as_it_is,
        |area, samples| area.load(&setting.clock, samples),
    )
}

fn read_block(setting: &Setting<'_>) -> Result<Samples, Failure> {
    passes(
        setting,
        How::Small,
        written,
        |_| Ok(()),
        as_it_is,
        |area, samples| area.load(&setting.clock, samples),
    )
}

fn write_block(setting: &Setting<'_>) -> Result<Samples, Failure> {
    passes(setting, How::Small, written, clean, as_it_is, |area, samples| area.store(&setting.clock, samples))
}

fn write_hole(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let measured = passes(setting, How::Small, sparse, empty, as_it_is, |area, samples| {
        area.store(&setting.clock, samples)
    })?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn write_after_read(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let before = |area: &Area, _: &File| area.load(&setting.clock, &mut Vec::new());
    let measured = passes(setting, How::Small, sparse, empty, before, |area, samples| {
        area.store(&setting.clock, samples)
    })?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn mkwrite(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let before = |area: &Area, _: &File| area.load(&setting.clock, &mut Vec::new());
    passes(setting, How::Small, written, clean, before, |area, samples| area.store(&setting.clock, samples))
}

fn write_after_sync(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let before = |area: &Area, file: &File| {
        area.store(&setting.clock, &mut Vec::new())?;
        clean(file)
    };
    passes(
        setting,
        How::Small,
        written,
        |_| Ok(()),
        before,
        |area, samples| area.store(&setting.clock, samples),
    )
}

fn sync_write_hole(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let store = |area: &Area, samples: &mut Vec<u64>| area.store(&setting.clock, samples);
    let measured = passes(setting, How::Sync, sparse, empty, as_it_is, store)?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn private_write(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let store = |area: &Area, samples: &mut Vec<u64>| area.store(&setting.clock, samples);
    let measured = passes(setting, How::Private, written, |_| Ok(()), as_it_is, store)?;
    Ok(Samples { data: copying(&setting.clock)?, ..measured })
}
