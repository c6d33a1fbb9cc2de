//! fallocate-store: a file grows byte by byte by fallocate, each new byte is stored through a mapping, and
//! fsync runs all the time beside it. At the end every byte is there. It grows across the border of a page,
//! or of 2 MiB.

use core::sync::atomic::{AtomicBool, Ordering};

use fs::vfs::Fallocate;
use fs::{PAGE_SIZE, dax};

use super::kit::{Ctx, LARGE, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect_all, fill};

/// Bytes by which the file grows.
const BYTES: u64 = 600;

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let file = ctx.scratch("grow")?;
    let start = [PAGE_SIZE, LARGE, 3 * PAGE_SIZE][ctx.round as usize % 3] - BYTES / 2;
    file.truncate(start)?;
    let end = start + BYTES;
    let map = ScopedMapping::new(&file, 0, end, SHARED)?;
    let grown = AtomicBool::new(false);
    let (at, handle) = (map.at, file.clone());
    ctx.workers(2, Sharing::One, move |worker| {
        if worker.index == 1 {
            while !grown.load(Ordering::SeqCst) {
                worker.go_on()?;
                dax::fsync(&*handle)?;
                worker.ctx.note("fsyncs", 1);
            }
            return Ok(());
        }
        for byte in start..end {
            handle.fallocate(Fallocate::Allocate { keep_size: false }, byte, 1)?;
            fill(at + byte, 0x78, 1)?;
        }
        grown.store(true, Ordering::SeqCst);
        Ok(())
    })?;
    drop(map);
    let found = contents(&file, 0, end)?;
    expect_all("what was there before", &found[..start as usize], 0)?;
    expect_all("what was stored", &found[start as usize..], 0x78)?;
    super::kit::expect(file.attr().size == end, format_args!("the size is {}", file.attr().size))
}
