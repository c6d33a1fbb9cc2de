//! Page faults of 4 KiB: one access to each page of a mapped file. Huge pages are not used in the mapping.

use alloc::vec::Vec;

use super::super::super::command::{CommandResult, Failure};
use super::mapping::{BenchMapping, MappingKind, clean, copying, empty, sparse, written, zeroing};
use super::{BenchMethod, BenchSetting, Operation, Samples};
use crate::machine::File;

/// So many samples, unless somebody says another number.
const USUAL: usize = 1024;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "read-hole", about: "read fault, hole", run: BenchMethod::Mapped(read_hole) },
    Operation { name: "read-block", about: "read fault, allocated", run: BenchMethod::Mapped(read_block) },
    Operation { name: "write-block", about: "write fault, allocated", run: BenchMethod::Mapped(write_block) },
    Operation {
        name: "write-hole",
        about: "write fault, hole: allocates",
        run: BenchMethod::Mapped(write_hole),
    },
    Operation {
        name: "write-after-read",
        about: "write fault, hole that was read: its zero page goes",
        run: BenchMethod::Mapped(write_after_read),
    },
    Operation {
        name: "mkwrite",
        about: "write fault, block that was read",
        run: BenchMethod::Mapped(mkwrite),
    },
    Operation {
        name: "write-after-sync",
        about: "write fault, block that fsync has write-protected",
        run: BenchMethod::Mapped(write_after_sync),
    },
    Operation {
        name: "sync-write-hole",
        about: "write fault, hole, MAP_SYNC: what leads to the block is durable before the entry is there",
        run: BenchMethod::Mapped(sync_write_hole),
    },
    Operation {
        name: "private-write",
        about: "write fault, private: copies an allocated page",
        run: BenchMethod::Mapped(private_write),
    },
];

/// Passes over a file: `prepare` it, map it, `before` what is measured, `measure`.
fn passes(
    setting: &BenchSetting<'_>,
    how: MappingKind,
    file: impl FnOnce(u64) -> Result<File, Failure>,
    prepare: impl Fn(&File) -> CommandResult,
    before: impl Fn(&BenchMapping, &File) -> CommandResult,
    measure: impl Fn(&BenchMapping, &mut Vec<u64>) -> CommandResult,
) -> Result<Samples, Failure> {
    let wanted = setting.wanted(USUAL);
    let file = file(setting.pages(wanted)?)?;
    setting.passes(wanted, |samples| {
        prepare(&file)?;
        let mapping = BenchMapping::new(setting, &file, how)?;
        before(&mapping, &file)?;
        measure(&mapping, samples)
    })
}

fn as_it_is(_: &BenchMapping, _: &File) -> CommandResult {
    Ok(())
}

fn read_hole(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    passes(
        setting,
        MappingKind::Small,
        sparse,
        |_| Ok(()),
        as_it_is,
        |mapping, samples| mapping.load(&setting.clock, samples),
    )
}

fn read_block(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    passes(
        setting,
        MappingKind::Small,
        written,
        |_| Ok(()),
        as_it_is,
        |mapping, samples| mapping.load(&setting.clock, samples),
    )
}

fn write_block(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    passes(setting, MappingKind::Small, written, clean, as_it_is, |mapping, samples| {
        mapping.store(&setting.clock, samples)
    })
}

fn write_hole(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let measured = passes(setting, MappingKind::Small, sparse, empty, as_it_is, |mapping, samples| {
        mapping.store(&setting.clock, samples)
    })?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn write_after_read(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let before = |mapping: &BenchMapping, _: &File| mapping.load(&setting.clock, &mut Vec::new());
    let measured = passes(setting, MappingKind::Small, sparse, empty, before, |mapping, samples| {
        mapping.store(&setting.clock, samples)
    })?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn mkwrite(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let before = |mapping: &BenchMapping, _: &File| mapping.load(&setting.clock, &mut Vec::new());
    passes(setting, MappingKind::Small, written, clean, before, |mapping, samples| {
        mapping.store(&setting.clock, samples)
    })
}

fn write_after_sync(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let before = |mapping: &BenchMapping, file: &File| {
        mapping.store(&setting.clock, &mut Vec::new())?;
        clean(file)
    };
    passes(
        setting,
        MappingKind::Small,
        written,
        |_| Ok(()),
        before,
        |mapping, samples| mapping.store(&setting.clock, samples),
    )
}

fn sync_write_hole(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let store = |mapping: &BenchMapping, samples: &mut Vec<u64>| mapping.store(&setting.clock, samples);
    let measured = passes(setting, MappingKind::Sync, sparse, empty, as_it_is, store)?;
    Ok(Samples { data: zeroing(&setting.clock, fs::PAGE_SIZE)?, ..measured })
}

fn private_write(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let store = |mapping: &BenchMapping, samples: &mut Vec<u64>| mapping.store(&setting.clock, samples);
    let measured = passes(setting, MappingKind::Private, written, |_| Ok(()), as_it_is, store)?;
    Ok(Samples { data: copying(&setting.clock)?, ..measured })
}
