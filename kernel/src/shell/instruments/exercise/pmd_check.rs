//! pmd-check: what must go on working where 2 MiB are mapped by one entry.
//!
//! One page of such a mapping moves elsewhere by mremap, and both can be stored to; direct transfers from a
//! mapping that was not touched, and from one that was; into one that was not; a copy of the address space
//! sees the data; a mapping that was for loads becomes one for stores.

use fs::vfs::Fallocate;
use fs::{PAGE_SIZE, dax};

use super::direct;
use super::kit::{
    Ctx, LARGE, READ, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect, expect_all, fill, load,
    store,
};
use crate::machine::File;
use crate::mm::aspace::{self, Rights};

/// Bytes of the mappings: two huge pages.
const LEN: u64 = 2 * LARGE;
/// Bytes of a transfer.
const PART: u64 = 4 * PAGE_SIZE;

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let file = ctx.scratch("pmd")?;
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, LEN)?;
    moves(ctx, &file)?;
    ctx.beat();
    transfers(ctx, &file)?;
    forks(ctx, &file)?;
    becomes_writable(ctx, &file)
}

fn moves(ctx: &Ctx, file: &File) -> RoundResult {
    let map = ScopedMapping::new(file, 0, LEN, SHARED)?;
    fill(map.at, b'm', LEN)?;
    ctx.note("2 MiB entries", map.large_entries());
    // A page in the middle of the first huge page goes behind the mapping.
    let page = LARGE / 2;
    let space = aspace::current();
    let to = space.mremap(map.at + page, PAGE_SIZE, PAGE_SIZE, true, Some(map.at + LEN + 16 * PAGE_SIZE))?;
    let outcome = (|| {
        store(to, 0x1111)?;
        store(map.at + page - PAGE_SIZE, 0x2222)?;
        store(map.at + page + PAGE_SIZE, 0x3333)?;
        store(map.at + LARGE, 0x4444)?;
        expect(
            load(to + 8)? == u64::from_le_bytes([b'm'; 8]),
            format_args!("the moved page shows others' bytes"),
        )
    })();
    space.munmap(to, PAGE_SIZE)?;
    outcome?;
    for (at, value) in
        [(page, 0x1111u64), (page - PAGE_SIZE, 0x2222), (page + PAGE_SIZE, 0x3333), (LARGE, 0x4444)]
    {
        let found = contents(file, at, 8)?;
        expect(found == value.to_le_bytes(), format_args!("the file at {at:#x} holds {found:x?}"))?;
    }
    expect(dax::fsync(&**file)? > 0, format_args!("fsync found nothing dirty"))
}

fn transfers(ctx: &Ctx, file: &File) -> RoundResult {
    let other = ctx.scratch("other")?;
    {
        let map = ScopedMapping::new(file, 0, LEN, SHARED)?;
        fill(map.at, b't', LEN)?;
    }
    // From a mapping that nobody touched.
    let map = ScopedMapping::new(file, 0, LEN, SHARED)?;
    direct::write(&other, 0, map.at + LARGE, PART)?;
    expect_all("written from an untouched mapping", &contents(&other, 0, PART)?, b't')?;
    // From one that was.
    fill(map.at + LARGE, b'u', PART)?;
    direct::write(&other, 0, map.at + LARGE, PART)?;
    expect_all("written from a touched mapping", &contents(&other, 0, PART)?, b'u')?;
    drop(map);
    // Into one that nobody touched.
    let map = ScopedMapping::new(file, 0, LEN, SHARED)?;
    direct::read(&other, 0, map.at, PART)?;
    expect(load(map.at)? == u64::from_le_bytes([b'u'; 8]), format_args!("a read did not reach the mapping"))?;
    expect_all("read into an untouched mapping", &contents(file, 0, PART)?, b'u')
}

fn forks(ctx: &Ctx, file: &File) -> RoundResult {
    let map = ScopedMapping::new(file, 0, LEN, SHARED)?;
    store(map.at + 64, 0xf04c)?;
    let at = map.at;
    ctx.workers(2, Sharing::Fork, move |worker| {
        let found = load(at + 64)?;
        expect(found == 0xf04c, format_args!("a child sees {found:#x}"))?;
        store(at + 128 + 8 * worker.index as u64, worker.index as u64 + 1)
    })?;
    let found = [load(at + 128)?, load(at + 136)?];
    expect(found == [1, 2], format_args!("what children stored: {found:?}"))
}

fn becomes_writable(ctx: &Ctx, file: &File) -> RoundResult {
    let map = ScopedMapping::new(file, 0, LEN, READ)?;
    let before = load(map.at + 2 * PAGE_SIZE)?;
    if super::kit::store(map.at + 2 * PAGE_SIZE, !before).is_ok() {
        return super::kit::violation("a store to a read-only mapping was let through");
    }
    aspace::current().mprotect(map.at, LEN, Rights::READ_WRITE)?;
    store(map.at + 2 * PAGE_SIZE, !before)?;
    ctx.note("2 MiB entries", map.large_entries());
    let found = contents(file, 2 * PAGE_SIZE, 8)?;
    expect(found == (!before).to_le_bytes(), format_args!("a store after mprotect did not arrive"))?;
    expect(dax::fsync(&**file)? > 0, format_args!("fsync found nothing dirty after mprotect"))
}
