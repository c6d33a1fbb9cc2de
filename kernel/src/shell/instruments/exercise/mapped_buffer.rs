//! mapped-buffer: read(2) and write(2) with a buffer that is a mapping: of another file, of the same file, of
//! the same page.
//!
//! Transfers go through the kernel, as read(2) and write(2) do, or directly ([`direct`]). A read into a
//! mapping without the right to store is refused and changes nothing. Every byte is compared with a model in
//! memory.

use alloc::vec;
use alloc::vec::Vec;

use fs::{Errno, PAGE_SIZE, dax};

use super::direct;
use super::kit::{
    Ctx, LARGE, READ, RoundFailure, RoundResult, SHARED, ScopedMapping, contents, expect, expect_same,
    load_bytes, violation, write,
};
use crate::entry::transfer;
use crate::entry::user_access;
use crate::machine::File;
use crate::mm::aspace;

/// What write(2) moves at once: no task address is loaded from under a lock.
const PIECE: usize = 64 << 10;

/// read(2) into memory of the task.
fn read_into(file: &File, offset: u64, to: u64, len: u64) -> RoundResult {
    let done = transfer::read(file, offset, to, len)?;
    expect(done == len, format_args!("read(2) ended after {done} bytes of {len}"))
}

/// write(2) from memory of the task.
fn write_from(file: &File, offset: u64, from: u64, len: u64) -> RoundResult {
    let mut piece = vec![0; PIECE.min(len as usize)];
    let mut done = 0;
    while done < len {
        let part = piece.len().min((len - done) as usize);
        user_access::load(&mut piece[..part], from + done)?;
        write(file, offset + done, &piece[..part])?;
        done += part as u64;
    }
    Ok(())
}

fn pattern(ctx: &Ctx, stream: u64, len: u64) -> Vec<u8> {
    let mut random = ctx.random(stream);
    (0..len / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    other_file(ctx)?;
    ctx.beat();
    same_file(ctx)?;
    ctx.beat();
    same_page(ctx)?;
    read_only_mapping(ctx)
}

/// A file's mapping is written to another file, and read back into a mapping.
fn other_file(ctx: &Ctx) -> RoundResult {
    let len = [1 << 10, PAGE_SIZE, 1 << 20, 2 * LARGE][ctx.round as usize % 4];
    let bytes = pattern(ctx, 1, len);
    let (from, to) = (ctx.scratch("from")?, ctx.scratch("to")?);
    write(&from, 0, &bytes)?;
    {
        let map = ScopedMapping::new(&from, 0, len, SHARED)?;
        let direct = len.is_multiple_of(PAGE_SIZE) && ctx.round % 8 >= 4;
        match direct {
            true => drop(direct::write(&to, 0, map.at, len)?),
            false => write_from(&to, 0, map.at, len)?,
        }
        dax::fsync(&**to)?;
        expect_same("what was written from a mapping", &contents(&to, 0, len)?, &bytes)?;
        write(&from, 0, &vec![0; len as usize])?;
        match direct {
            true => drop(direct::read(&to, 0, map.at, len)?),
            false => read_into(&to, 0, map.at, len)?,
        }
        aspace::current().msync(map.at, len)?;
    }
    expect_same("what was read into a mapping", &contents(&from, 0, len)?, &bytes)
}

/// Reads into a mapping of the file that is read, elsewhere or overlapping, some of it holes.
fn same_file(ctx: &Ctx) -> RoundResult {
    let mut random = ctx.random(2);
    let len = 16 * PAGE_SIZE;
    let file = ctx.scratch("same")?;
    file.truncate(2 * len)?;
    let bytes = pattern(ctx, 3, len);
    write(&file, 0, &bytes)?;
    let mut model = bytes;
    model.resize(2 * len as usize, 0);
    let map = ScopedMapping::new(&file, 0, 2 * len, SHARED)?;
    for _ in 0..8 {
        let count = 1 + random.below(PIECE as u64 / 2);
        let (from, to) = (random.below(2 * len - count), random.below(2 * len - count));
        let (source, place) = (from as usize..(from + count) as usize, to as usize);
        // A write of not more than a piece is as if the buffer had been copied first. A read copies straight:
        // of bytes that it reads and stores to, nobody says what becomes.
        if random.below(2) == 0 || from.abs_diff(to) < count {
            write_from(&file, to, map.at + from, count)?;
        } else {
            read_into(&file, from, map.at + to, count)?;
        }
        model.copy_within(source, place);
        let mut seen = vec![0; 2 * len as usize];
        load_bytes(map.at, &mut seen)?;
        expect_same("the mapping", &seen, &model)?;
    }
    // Whole pages, directly, from one half to the other.
    direct::write(&file, len, map.at, len)?;
    model.copy_within(..len as usize, len as usize);
    direct::read(&file, len, map.at + len / 2, len / 2)?;
    model.copy_within(len as usize..(len + len / 2) as usize, len as usize / 2);
    expect_same("the file", &contents(&file, 0, 2 * len)?, &model)
}

/// The buffer lies in the very page that is written.
fn same_page(ctx: &Ctx) -> RoundResult {
    let file = ctx.scratch("page")?;
    let bytes = pattern(ctx, 4, PAGE_SIZE);
    write(&file, 0, &bytes)?;
    let map = ScopedMapping::new(&file, 0, PAGE_SIZE, SHARED)?;
    write_from(&file, 0, map.at + 1, PAGE_SIZE - 1)?;
    let mut model = bytes;
    model.copy_within(1.., 0);
    expect_same("the page written from itself", &contents(&file, 0, PAGE_SIZE)?, &model)?;
    read_into(&file, 0, map.at + 1000, 1000)?;
    model.copy_within(..1000, 1000);
    expect_same("the page read into itself", &contents(&file, 0, PAGE_SIZE)?, &model)?;
    // Directly: from itself to itself, all of it.
    direct::write(&file, 0, map.at, PAGE_SIZE)?;
    expect_same("the page, directly", &contents(&file, 0, PAGE_SIZE)?, &model)
}

/// A read into a mapping that allows loads only.
fn read_only_mapping(ctx: &Ctx) -> RoundResult {
    let (file, source) = (ctx.scratch("ro")?, ctx.scratch("source")?);
    let bytes = pattern(ctx, 5, PAGE_SIZE);
    write(&file, 0, &bytes)?;
    write(&source, 0, &[b'X'; PAGE_SIZE as usize])?;
    let map = ScopedMapping::new(&file, 0, PAGE_SIZE, READ)?;
    let mut first = [0; 8];
    load_bytes(map.at, &mut first)?;
    match direct::read(&source, 0, map.at, PAGE_SIZE) {
        Err(fs::Error::Op(Errno::BadAddress)) => {}
        other => return violation(format_args!("a direct read into a read-only mapping: {other:?}")),
    }
    match read_into(&source, 0, map.at, PAGE_SIZE) {
        Err(RoundFailure::Violation(_)) => {}
        other => return violation(format_args!("a read into a read-only mapping: {other:?}")),
    }
    expect_same("the file behind a read-only mapping", &contents(&file, 0, PAGE_SIZE)?, &bytes)
}
