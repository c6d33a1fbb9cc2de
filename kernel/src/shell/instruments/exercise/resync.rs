//! resync: after fsync, the next store is tracked again: fsync tells that it has something to flush.
//!
//! With 4 KiB and 2 MiB entries; by the task that synced and by another one, whose TLB still has the entry;
//! beside stores to other pages that never end; and with a hole punched into the same 2 MiB in between.

use core::sync::atomic::{AtomicBool, Ordering};

use fs::vfs::Fallocate;
use fs::{PAGE_SIZE, dax};

use super::kit::{
    Ctx, LARGE, MapFlags, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect, expect_same, store,
};
use crate::machine::File;

/// Stores, each followed by a sync.
const STORES: u64 = 20;

/// fsync, which must find something, or must not.
fn sync(file: &File, dirty: bool, when: &str) -> RoundResult {
    let flushed = dax::fsync(&**file)?;
    match dirty {
        true => expect(flushed > 0, format_args!("fsync {when} flushed nothing: the store is not durable")),
        false => expect(flushed == 0, format_args!("fsync {when} flushed {flushed} pages again")),
    }
}

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let file = ctx.scratch("resync")?;
    let large = ctx.round.is_multiple_of(2);
    file.truncate(LARGE)?;
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, LARGE)?;
    let map = ScopedMapping::new(&file, 0, LARGE, MapFlags { large, ..SHARED })?;
    store(map.at, 1)?;
    ctx.note("2 MiB entries", map.large_entries());
    sync(&file, true, "after the first store")?;
    sync(&file, false, "without a store")?;
    store(map.at, 2)?;
    sync(&file, true, "after a store to a page that was synced")?;
    store(map.at, 3)?;
    store(map.at + 9 * PAGE_SIZE, 3)?;
    file.fallocate(Fallocate::PunchHole, 9 * PAGE_SIZE, PAGE_SIZE)?;
    sync(&file, true, "after a hole beside the store")?;

    let ended = AtomicBool::new(false);
    let (at, handle) = (map.at, file.clone());
    ctx.workers(2, Sharing::One, move |worker| {
        if worker.index == 1 {
            for count in 0.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                worker.go_on()?;
                store(at + 100 * PAGE_SIZE + 8 * (count % 16), count)?;
            }
            return Ok(());
        }
        let page = 3;
        let outcome = (0..STORES).try_for_each(|count| {
            store(at + page * PAGE_SIZE, count)?;
            // Nobody else syncs: what this store made dirty is still so.
            let flushed = dax::msync(&*handle, page..page + 1)?;
            expect(flushed > 0, format_args!("msync after store {count} flushed nothing"))
        });
        ended.store(true, Ordering::SeqCst);
        outcome
    })?;
    dax::fsync(&**file)?;
    let place = 3 * PAGE_SIZE;
    expect_same("the file", &contents(&file, place, 8)?, &(STORES - 1).to_le_bytes())
}
