//! Page faults of 2 MiB, and what is done to what they map. Each pass proves by the page table that it was
//! served by 2 MiB entries and nothing else.

use alloc::vec::Vec;

use fs::PAGE_SIZE;
use fs::vfs::Fallocate;

use super::super::super::command::{CommandResult, Failure, On, complaint};
use super::mapping::{BenchMapping, LARGE, MappingKind, clean, empty, expect_large, sparse, zeroing};
use super::{BenchMethod, BenchSetting, Operation, Samples};
use crate::machine::File;
use crate::mm::aspace;

/// So many samples, unless somebody says another number.
const USUAL: usize = 128;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        name: "large-read-hole",
        about: "2 MiB read fault, hole",
        run: BenchMethod::Mapped(read_hole),
    },
    Operation { name: "large-read", about: "2 MiB read fault, allocated", run: BenchMethod::Mapped(read) },
    Operation { name: "large-write", about: "2 MiB write fault, allocated", run: BenchMethod::Mapped(write) },
    Operation {
        name: "large-write-hole",
        about: "2 MiB write fault, hole: allocates",
        run: BenchMethod::Mapped(write_hole),
    },
    Operation {
        name: "msync-large",
        about: "msync, one byte dirty under a 2 MiB entry",
        run: BenchMethod::Mapped(msync),
    },
];

/// Makes a new file of up to `wanted` pieces of 2 MiB, all of them holes: as many as half of the space has
/// room for.
fn pieces(setting: &BenchSetting<'_>, wanted: usize) -> Result<File, Failure> {
    const PIECE: u64 = LARGE / PAGE_SIZE;
    match setting.pages(wanted * PIECE as usize)? / PIECE {
        0 => Err(complaint("no room for 2 MiB")),
        pieces => sparse(pieces * PIECE),
    }
}

/// Makes a new file of up to `wanted` pieces of 2 MiB, with blocks.
fn allocated(setting: &BenchSetting<'_>, wanted: usize) -> Result<File, Failure> {
    let file = pieces(setting, wanted)?;
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, file.attr().size).on("fallocate")?;
    Ok(file)
}

fn passes(
    setting: &BenchSetting<'_>,
    file: &File,
    prepare: impl Fn(&File) -> CommandResult,
    measure: impl Fn(&BenchMapping, &mut Vec<u64>) -> CommandResult,
) -> Result<Samples, Failure> {
    setting.passes(setting.wanted(USUAL), |samples| {
        prepare(file)?;
        let mapping = BenchMapping::new(setting, file, MappingKind::Large)?;
        measure(&mapping, samples)?;
        expect_large(&mapping)
    })
}

fn read_hole(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = pieces(setting, setting.wanted(USUAL))?;
    passes(setting, &file, |_| Ok(()), |mapping, samples| mapping.load(&setting.clock, samples))
}

fn read(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = allocated(setting, setting.wanted(USUAL))?;
    passes(setting, &file, |_| Ok(()), |mapping, samples| mapping.load(&setting.clock, samples))
}

fn write(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = allocated(setting, setting.wanted(USUAL))?;
    passes(setting, &file, clean, |mapping, samples| mapping.store(&setting.clock, samples))
}

fn write_hole(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = pieces(setting, setting.wanted(USUAL))?;
    let measured = passes(setting, &file, empty, |mapping, samples| mapping.store(&setting.clock, samples))?;
    drop(file);
    Ok(Samples { data: zeroing(&setting.clock, LARGE)?, ..measured })
}

fn msync(setting: &BenchSetting<'_>) -> Result<Samples, Failure> {
    let file = allocated(setting, 8)?;
    let mapping = BenchMapping::new(setting, &file, MappingKind::Large)?;
    setting.passes(setting.wanted(USUAL), |samples| {
        mapping.pages().try_for_each(|at| {
            setting.clock.store(at)?;
            let (value, result) = setting.clock.time(|| aspace::current().msync(at, LARGE));
            samples.push(value);
            result.on("msync")
        })?;
        expect_large(&mapping)
    })
}
