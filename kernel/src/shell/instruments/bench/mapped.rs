//! Operations on mappings: msync, mmap and munmap, truncate.

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::PAGE_SIZE;

use super::super::super::command::{Failure, On};
use super::mapping::{BenchMapping, LARGE, MappingKind, sparse, written};
use super::{BenchMethod, BenchSetting, Operation, Samples};
use crate::mm::aspace::{self, MapRequest, Placement};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "msync-page", about: "msync, one dirty page", run: BenchMethod::Mapped(msync_page) },
    Operation {
        name: "msync-2048",
        about: "msync, 2048 dirty pages of 4 KiB",
        run: BenchMethod::Mapped(msync_many),
    },
    Operation {
        name: "mmap-munmap",
        about: "2 MiB mapped and unmapped, untouched",
        run: BenchMethod::Mapped(map_unmap),
    },
    Operation {
        name: "truncate-mapped",
        about: "2 MiB with 512 dirty pages that are mapped, to nothing",
        run: BenchMethod::Mapped(truncate),
    },
];

fn msync_page(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let wanted = setting.wanted(1024);
    let file = written(setting.pages(wanted)?)?;
    let mapping = BenchMapping::small(setting, &file)?;
    setting.passes(wanted, |samples| {
        mapping.pages().try_for_each(|at| {
            setting.clock.go_on()?;
            setting.clock.store(at)?;
            let (value, result) = setting.clock.time(|| aspace::current().msync(at, PAGE_SIZE));
            samples.push(value);
            result.on("msync")
        })
    })
}

fn msync_many(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = written(setting.pages(2048)?)?;
    let mapping = BenchMapping::small(setting, &file)?;
    setting.passes(setting.wanted(16), |samples| {
        mapping.store(&setting.clock, &mut Vec::new())?;
        let (value, result) = setting.clock.time(|| aspace::current().msync(mapping.start, mapping.len));
        samples.push(value);
        result.on("msync")
    })
}

fn map_unmap(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = &sparse(LARGE / PAGE_SIZE)?;
    // What a program names with its descriptor is there already: only mapping is measured.
    let (space, name) = (aspace::current(), &Arc::from("bench"));
    let kind = MappingKind::Small.kind(setting.protocol);
    setting.passes(setting.wanted(1024), |samples| {
        let request =
            MapRequest { file, name, offset: 0, len: LARGE, at: Placement::Any, kind, populate: false };
        let both = || space.map(&request).and_then(|start| space.munmap(start, LARGE));
        let (value, result) = setting.clock.time(both);
        samples.push(value);
        result.on("mmap")
    })
}

fn truncate(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = written(setting.pages(LARGE as usize / PAGE_SIZE as usize)?)?;
    let size = file.attr().size;
    let mapping = BenchMapping::small(setting, &file)?;
    setting.passes(setting.wanted(64), |samples| {
        file.truncate(size).on("truncate")?;
        mapping.store(&setting.clock, &mut Vec::new())?;
        let (value, result) = setting.clock.time(|| file.truncate(0));
        samples.push(value);
        result.on("truncate")
    })
}
