//! cow-race: private mappings of a file with 2 MiB entries; two tasks load, store and forget their copies, at
//! random.
//!
//! A load gives the file's bytes or what one of the two has stored; the file stays as it is; once all copies
//! are forgotten, it shows again.

use fs::PAGE_SIZE;

use super::kit::{
    Ctx, LARGE, PRIVATE, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect, fill, load, pages,
    store,
};
use crate::mm::aspace::{self, Advice};
use crate::task;

/// Private mappings in a round.
const MAPS: u64 = 10;
/// Steps of each task on each.
const STEPS: u64 = 10;
/// Pages that the workers meet on.
const PAGES: u64 = 6;
/// The upper half of what tasks store.
const OURS: u64 = 0xc0de;

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let mut random = ctx.random(0);
    let file = ctx.scratch("cow")?;
    file.truncate(LARGE)?;
    // A hole, some pages, or everything; the last by one 2 MiB entry.
    let filled = [0, 3 * PAGE_SIZE, LARGE][ctx.round as usize % 3];
    let base = 0x4646_4646_4646_4646;
    if filled > 0 {
        let map = ScopedMapping::new(&file, 0, LARGE, SHARED)?;
        fill(map.at, base as u8, filled)?;
        ctx.note("2 MiB entries", map.large_entries());
    }
    let of_file = move |offset: u64| if offset < filled { base } else { 0 };

    for _ in 0..MAPS {
        let map = ScopedMapping::new(&file, 0, LARGE, PRIVATE)?;
        let (at, seed) = (map.at, random.next());
        ctx.workers(2, Sharing::One, move |worker| {
            let mut random = worker.ctx.random(seed ^ (worker.index as u64 + 1));
            for step in 0..STEPS {
                let offset = random.below(PAGES) * PAGE_SIZE;
                match random.below(4) {
                    0 => {
                        let found = load(at + offset)?;
                        let allowed = found == of_file(offset) || found >> 32 == OURS;
                        expect(allowed, format_args!("a private page at {offset:#x} shows {found:#x}"))?;
                    }
                    1 => store(at + offset, OURS << 32 | (worker.index as u64) << 16 | step)?,
                    2 => aspace::current().madvise(at + offset, PAGE_SIZE, Advice::DontNeed)?,
                    _ => task::sleep_ns(random.below(50_000)),
                }
            }
            Ok(())
        })?;
        aspace::current().madvise(map.at, LARGE, Advice::DontNeed)?;
        for page in pages(map.at, PAGES * PAGE_SIZE) {
            let found = load(page)?;
            let wanted = of_file(page - map.at);
            expect(found == wanted, format_args!("forgotten copy: {found:#x} at {:#x}", page - map.at))?;
        }
    }
    let found = contents(&file, 0, LARGE)?;
    super::kit::expect_all("the file", &found[..filled as usize], base as u8)?;
    super::kit::expect_all("the file's hole", &found[filled as usize..], 0)
}
