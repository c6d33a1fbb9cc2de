//! stale-pmd: a mapping that shows a hole, by one 2 MiB entry, shows what write(2) puts there.
//!
//! Once by one task, then by two: one looks through its mapping, of its own or shared, while the other one
//! writes. As soon as write(2) has returned, the old zeros must not be seen any more.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use super::kit::{
    Ctx, LARGE, MapFlags, READ, RoundResult, ScopedMapping, Sharing, expect, expect_all, expect_same, load,
    load_bytes, write,
};

const TEXT: &[u8; 16] = b"HELLO WORLD!\0\0\0\0";

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let mut random = ctx.random(0);
    let file = ctx.scratch("stale")?;
    file.truncate(2 * LARGE)?;
    let how = MapFlags { large: ctx.round % 4 != 3, ..READ };
    let map = ScopedMapping::new(&file, LARGE, LARGE, how)?;
    expect(load(map.at)? == 0, format_args!("a hole is not 0"))?;
    ctx.note("2 MiB entries", map.large_entries());
    write(&file, LARGE, TEXT)?;
    let mut found = [0; 16];
    load_bytes(map.at, &mut found)?;
    expect_same("the mapping after write(2)", &found, TEXT)?;
    drop(map);

    file.truncate(0)?;
    file.truncate(2 * LARGE)?;
    let map = ScopedMapping::new(&file, LARGE, LARGE, how)?;
    let place = random.below(LARGE / 16) * 16;
    let (looking, written) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let (at, handle) = (map.at + place, file.clone());
    let sharing = if ctx.round.is_multiple_of(2) { Sharing::One } else { Sharing::Fork };
    ctx.workers(2, sharing, move |worker| {
        if worker.index == 0 {
            worker.wait_for(&looking)?;
            write(&handle, LARGE + place, TEXT)?;
            written.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let mut found = [0; 16];
        loop {
            // Asked before it is loaded: what was written by then must be there.
            let must = written.load(Ordering::SeqCst);
            load_bytes(at, &mut found)?;
            looking.store(true, Ordering::SeqCst);
            if must {
                return expect_same("the other task's mapping after write(2)", &found, TEXT);
            }
            worker.go_on()?;
        }
    })?;
    load_bytes(map.at + place, &mut found)?;
    expect_same("the mapping at the end", &found, TEXT)?;
    // The rest is a hole still, or zeros.
    let mut page = [0; 4096];
    let other = ((place + LARGE / 2) % LARGE) & !4095;
    load_bytes(map.at + other, &mut page)?;
    expect_all("the rest of the mapping", &page, 0)
}
