//! times: a store through a mapping changes mtime and ctime, once for each write fault; loads change neither.
//!
//! The times come from a clock of some milliseconds, so it sleeps between the steps.

use fs::platform::Timestamp;
use fs::vfs::Attr;
use fs::{PAGE_SIZE, dax};

use super::kit::{Ctx, MapFlags, RoundResult, SHARED, ScopedMapping, expect, load, store, write};
use crate::machine::File;
use crate::task;

/// Longer than the clock's step.
const TICK_NS: u64 = 25_000_000;

fn times(file: &File) -> (Timestamp, Timestamp) {
    let Attr { mtime, ctime, .. } = file.attr();
    (mtime, ctime)
}

/// Does `step` after a while; tells whether both times changed, which must be what `wanted` says.
fn check(file: &File, what: &str, wanted: bool, step: impl FnOnce() -> RoundResult) -> RoundResult {
    let before = times(file);
    task::sleep_ns(TICK_NS);
    step()?;
    let after = times(file);
    let (mtime, ctime) = (before.0 != after.0, before.1 != after.1);
    expect(
        (mtime, ctime) == (wanted, wanted),
        format_args!("{what}: mtime changed: {mtime}, ctime: {ctime}, both should: {wanted}"),
    )
}

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let file = ctx.scratch("times")?;
    // A block, or a hole.
    match ctx.round % 2 {
        0 => write(&file, 0, &[1; 2 * PAGE_SIZE as usize])?,
        _ => file.truncate(2 * PAGE_SIZE)?,
    }
    let map = ScopedMapping::new(&file, 0, 2 * PAGE_SIZE, MapFlags { large: false, ..SHARED })?;
    let sync = || Ok(dax::msync(&**file, 0..2).map(|_| ())?);
    check(&file, "a load", false, || load(map.at).map(|_| ()))?;
    check(&file, "the first store", true, || store(map.at, 1))?;
    check(&file, "another store to the same page", false, || store(map.at + 8, 2))?;
    sync()?;
    check(&file, "msync", false, sync)?;
    check(&file, "a store after msync", true, || store(map.at, 3))?;
    check(&file, "a store to another page", true, || store(map.at + PAGE_SIZE, 4))?;
    sync()?;
    check(&file, "a load after msync", false, || load(map.at).map(|_| ()))
}
