//! Operations on mappings: msync, mmap and munmap, truncate.

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::PAGE_SIZE;

use super::super::super::command::{Failure, On};
use super::area::{Area, How, LARGE, sparse, written};
use super::{Operation, Run, Samples, Setting};
use crate::mm::aspace::{self, At, Request};

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "msync-page", about: "msync, one dirty page", run: Run::Mapped(msync_page) },
    Operation { name: "msync-2048", about: "msync, 2048 dirty pages of 4 KiB", run: Run::Mapped(msync_many) },
    Operation {
        name: "mmap-munmap",
        about: "2 MiB mapped and unmapped, untouched",
        run: Run::Mapped(map_unmap),
    },
    Operation {
        name: "truncate-mapped",
        about: "2 MiB with 512 dirty pages that are mapped, to nothing",
        run: Run::Mapped(truncate),
    },
];

fn msync_page(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let wanted = setting.wanted(1024);
    let file = written(setting.pages(wanted)?)?;
    let area = Area::small(setting, &file)?;
    setting.passes(wanted, |samples| {
        area.pages().try_for_each(|at| {
            setting.clock.go_on()?;
            setting.clock.store(at)?;
            let (value, result) = setting.clock.time(|| aspace::current().msync(at, PAGE_SIZE));
            samples.push(value);
            result.on("msync")
        })
    })
}

fn msync_many(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let file = written(setting.pages(2048)?)?;
    let area = Area::small(setting, &file)?;
    setting.passes(setting.wanted(16), |samples| {
        area.store(&setting.clock, &mut Vec::new())?;
        let (value, result) = setting.clock.time(|| aspace::current().msync(area.start, area.len));
        samples.push(value);
        result.on("msync")
    })
}

fn map_unmap(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let file = &sparse(LARGE / PAGE_SIZE)?;
    // What a program names with its descriptor is there already: only mapping is measured.
    let (space, name) = (aspace::current(), &Arc::from("bench"));
    let kind = How::Small.kind(setting.protocol);
    setting.passes(setting.wanted(1024), |samples| {
        let request = Request { file, name, offset: 0, len: LARGE, at: At::Any, kind, populate: false };
        let both = || space.map(&request).and_then(|start| space.munmap(start, LARGE));
        let (value, result) = setting.clock.time(both);
        samples.push(value);
        result.on("mmap")
    })
}

fn truncate(setting: &Setting<'_>) -> Result<Samples, Failure> {
    let file = written(setting.pages(LARGE as usize / PAGE_SIZE as usize)?)?;
    let size = file.attr().size;
    let area = Area::small(setting, &file)?;
    setting.passes(setting.wanted(64), |samples| {
        file.truncate(size).on("truncate")?;
        area.store(&setting.clock, &mut Vec::new())?;
        let (value, result) = setting.clock.time(|| file.truncate(0));
        samples.push(value);
        result.on("truncate")
    })
}
