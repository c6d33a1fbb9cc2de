//! holetest: two workers store to every page of a file at the same time, and neither loses a store.
//!
//! Worker i stores its number, 8 bytes, at 1024 + 2048·i of each page. It is done with threads and with
//! processes; after every page was read, which must give 0; with one worker that uses write(2); with private
//! mappings, where the file stays as it was and a process sees its own numbers alone. The file was made by
//! storing zeros, by fallocate, or by truncate.
//!
//! Besides: the mapping of who started them shows the same as read(2), whatever it showed before; nothing
//! else appears in a page; reading allocates nothing.

use fs::PAGE_SIZE;
use fs::vfs::Fallocate;

use super::kit::{
    Ctx, PRIVATE, RoundResult, SHARED, ScopedMapping, Sharing, Worker, contents, expect, expect_same, fill,
    load, load_bytes, pages, store,
};
use crate::machine::File;

/// Which of its ways holetest goes; none: all in turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HoletestMode {
    /// Workers are processes.
    pub(super) processes: bool,
    /// Every page is read before.
    pub(super) prefault: bool,
    /// The first worker uses write(2).
    pub(super) write: bool,
    /// Mappings are private.
    pub(super) private: bool,
}

/// How the file comes to its length.
#[derive(Clone, Copy, Debug)]
enum Make {
    Store,
    Fallocate,
    Truncate,
}

const MAKES: [Make; 3] = [Make::Truncate, Make::Fallocate, Make::Store];
/// Pages of the file; the last ones have room for 2 MiB entries.
const SIZES: [u64; 4] = [16, 100, 700, 1100];

/// Modes that make sense: write(2) does not go to a private mapping.
fn modes() -> impl Iterator<Item = HoletestMode> {
    let all = (0..16).map(|bits| HoletestMode {
        processes: bits & 1 != 0,
        prefault: bits & 2 != 0,
        write: bits & 4 != 0,
        private: bits & 8 != 0,
    });
    all.filter(|mode| !(mode.private && mode.write))
}

/// What worker `i` stores.
const fn id(i: usize) -> u64 {
    0x0101_0101_0101_0101 * (i as u64 + 1)
}

/// Where in a page.
const fn slot(i: usize) -> u64 {
    1024 + 2048 * i as u64
}

/// A page that holds these numbers.
fn page_with(ids: [bool; 2]) -> [u8; PAGE_SIZE as usize] {
    let mut page = [0; PAGE_SIZE as usize];
    for i in (0..2).filter(|i| ids[*i]) {
        let at = slot(i) as usize;
        page[at..at + 8].copy_from_slice(&id(i).to_le_bytes());
    }
    page
}

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let mode = ctx.settings.mode.unwrap_or_else(|| {
        let count = modes().count();
        modes().nth(ctx.round as usize % count).unwrap_or_default()
    });
    let mut random = ctx.random(0);
    let make = MAKES[random.below(3) as usize];
    let page_count = ctx.settings.pages().unwrap_or_else(|| SIZES[random.below(4) as usize]);
    let len = page_count * PAGE_SIZE;

    let file = ctx.scratch("hole")?;
    match make {
        Make::Truncate => file.truncate(len)?,
        Make::Fallocate => file.fallocate(Fallocate::Allocate { keep_size: false }, 0, len)?,
        Make::Store => {
            file.truncate(len)?;
            let map = ScopedMapping::new(&file, 0, len, SHARED)?;
            fill(map.at, 0, len)?;
        }
    }
    let map = ScopedMapping::new(&file, 0, len, if mode.private { PRIVATE } else { SHARED })?;
    if mode.prefault {
        let blocks = file.attr().blocks;
        for page in pages(map.at, len) {
            ctx.go_on()?;
            expect(load(page)? == 0, format_args!("prefault: page {:#x} is not 0", page - map.at))?;
        }
        let now = file.attr().blocks;
        expect(blocks == now, format_args!("reading took {} blocks", now.wrapping_sub(blocks)))?;
    }

    let sharing = if mode.processes { Sharing::Fork } else { Sharing::One };
    let (at, handle) = (map.at, file.clone());
    ctx.workers(2, sharing, move |worker| work(worker, mode, &handle, at, len))?;

    // A process's private stores are its own affair.
    let seen = !(mode.private && mode.processes);
    let mut found = [0; PAGE_SIZE as usize];
    for page in pages(map.at, len) {
        ctx.go_on()?;
        load_bytes(page, &mut found)?;
        expect_page("the mapping", page - map.at, &found, [seen; 2])?;
    }
    drop(map);
    for (index, page) in contents(&file, 0, len)?.chunks(PAGE_SIZE as usize).enumerate() {
        expect_page("the file", index as u64 * PAGE_SIZE, page, [!mode.private; 2])?;
    }
    Ok(())
}

fn work(worker: &Worker, mode: HoletestMode, file: &File, at: u64, len: u64) -> RoundResult {
    let (own, other) = (worker.index, 1 - worker.index);
    if mode.prefault {
        for page in pages(at, len) {
            worker.go_on()?;
            let found = load(page + slot(own))?;
            expect(found == 0, format_args!("prefault: {found:#x} at {:#x}", page - at))?;
        }
    }
    for page in pages(at, len) {
        worker.ctx.go_on()?;
        if mode.write && own == 0 {
            super::kit::write(file, page - at + slot(own), &id(own).to_le_bytes())?;
        } else {
            store(page + slot(own), id(own))?;
        }
    }
    worker.ctx.beat();
    for page in pages(at, len) {
        worker.ctx.go_on()?;
        let found = load(page + slot(own))?;
        expect(found == id(own), format_args!("worker {own} lost page {:#x}: {found:#x}", page - at))?;
        let foreign = load(page + slot(other))?;
        let allowed = foreign == 0 || foreign == id(other) && !(mode.private && mode.processes);
        expect(allowed, format_args!("worker {own} sees {foreign:#x} in page {:#x}", page - at))?;
    }
    Ok(())
}

fn expect_page(what: &str, offset: u64, found: &[u8], ids: [bool; 2]) -> RoundResult {
    let wanted = page_with(ids);
    if found == wanted {
        return Ok(());
    }
    expect_same(&alloc::format!("{what}, page {offset:#x}"), found, &wanted)
}
