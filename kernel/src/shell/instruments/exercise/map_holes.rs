//! map-holes: stores through mappings against truncate, punch and zero; what was freed is nowhere mapped any
//! more.
//!
//! First by one task, in every size of page: after each change the mapping shows what read(2) gives, and
//! nothing that was there before. Then a task stores all the time while the other one takes the blocks and
//! gives them to another file, which must not change.

use core::sync::atomic::{AtomicBool, Ordering};

use fs::vfs::Fallocate;
use fs::{PAGE_SIZE, dax};

use super::kit::{
    Ctx, LARGE, MapFlags, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect_all, expect_same,
    fill, load_bytes, write,
};
use crate::entry::user_access;
use crate::machine::File;

/// Changes in the second part.
const CHANGES: u64 = 8;
const PIECE: u64 = 8 * PAGE_SIZE;

#[derive(Clone, Copy, Debug)]
enum HoleChange {
    Punch,
    Zero,
    Truncate,
}

const CHANGE: [HoleChange; 3] = [HoleChange::Punch, HoleChange::Zero, HoleChange::Truncate];

fn change(file: &File, how: HoleChange, offset: u64, len: u64) -> RoundResult {
    match how {
        HoleChange::Punch => file.fallocate(Fallocate::PunchHole, offset, len)?,
        HoleChange::Zero => file.fallocate(Fallocate::ZeroRange { keep_size: true }, offset, len)?,
        HoleChange::Truncate => {
            let size = file.attr().size;
            file.truncate(offset)?;
            file.truncate(size)?;
        }
    }
    Ok(())
}

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let mut random = ctx.random(0);
    let file = ctx.scratch("holes")?;
    let victim = ctx.scratch("victim")?;
    let how = CHANGE[ctx.round as usize % 3];
    // 2 MiB whole, or a part of it.
    let large = ctx.round.is_multiple_of(2);
    let len = if large { LARGE } else { 2 * PIECE };
    file.truncate(len)?;
    {
        let map = ScopedMapping::new(&file, 0, len, MapFlags { large, ..SHARED })?;
        fill(map.at, b'a', len)?;
        ctx.note("2 MiB entries", map.large_entries());
        let from = random.below(len / PAGE_SIZE / 2) * PAGE_SIZE;
        let to = if matches!(how, HoleChange::Truncate) { len } else { from + PIECE.min(len - from) };
        change(&file, how, from, to - from)?;
        let mut seen = alloc::vec![0xee; len as usize];
        load_bytes(map.at, &mut seen)?;
        expect_all("before the range", &seen[..from as usize], b'a')?;
        expect_all("the range that went", &seen[from as usize..to as usize], 0)?;
        expect_all("after the range", &seen[to as usize..], b'a')?;
        expect_same("read(2) against the mapping", &contents(&file, 0, len)?, &seen)?;
        // What is stored now arrives, and nowhere else.
        fill(map.at + from, b'b', 8)?;
        dax::fsync(&**file)?;
        expect_all("what was stored then", &contents(&file, from, 8)?, b'b')?;
    }

    file.truncate(0)?;
    file.truncate(PIECE)?;
    let map = ScopedMapping::new(&file, 0, PIECE, SHARED)?;
    let ended = AtomicBool::new(false);
    let (at, handle, other) = (map.at, file.clone(), victim.clone());
    ctx.workers(2, Sharing::One, move |worker| {
        if worker.index == 0 {
            let mut byte = 0u8;
            while !ended.load(Ordering::SeqCst) {
                worker.go_on()?;
                byte = byte.wrapping_add(1) | 0x80;
                // The file is shorter from time to time: refused, and gone on.
                for page in 0..PIECE / PAGE_SIZE {
                    let _ = user_access::fill(at + page * PAGE_SIZE, byte, 64);
                }
            }
            return Ok(());
        }
        let outcome = (0..CHANGES).try_for_each(|_| {
            worker.go_on()?;
            change(&handle, how, 0, PIECE)?;
            write(&other, 0, &alloc::vec![b'V'; PIECE as usize])?;
            crate::task::sleep_ns(100_000);
            expect_all("another file", &contents(&other, 0, PIECE)?, b'V')?;
            Ok(other.truncate(0)?)
        });
        ended.store(true, Ordering::SeqCst);
        outcome
    })?;
    // A store leaves nothing between its bytes and the next page's.
    let seen = contents(&file, 0, PIECE)?;
    seen.chunks(PAGE_SIZE as usize).try_for_each(|page| expect_all("the rest of a page", &page[64..], 0))
}
