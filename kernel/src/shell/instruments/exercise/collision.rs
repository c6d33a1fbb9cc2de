//! mmap-collision: a mapping is the buffer of direct transfers, while its file loses the blocks.
//!
//! The transfer stores by physical address ([`direct`]); the other task punches, zeroes, truncates or
//! collapses the file, and each time gives the freed blocks to another file at once. No transfer may show in
//! that one. Before that, without any race: a truncation waits for a pinned page, and goes on when it is let
//! go.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use fs::vfs::Fallocate;
use fs::{Errno, Error, PAGE_SIZE};

use super::direct::{self, Pinned, Way};
use super::kit::{
    Ctx, RoundResult, SHARED, ScopedMapping, Sharing, contents, expect, expect_all, violation, write,
};
use crate::machine::File;
use crate::task;

/// Bytes of the buffer.
const BUFFER: u64 = 4 * PAGE_SIZE;
/// Bytes of the file before what only keeps collapsed ranges from reaching the end, which is as long.
const SIZE: u64 = 2 * BUFFER;
/// Transfers in a round.
const TRANSFERS: u64 = 12;

pub(super) fn round(ctx: &Ctx) -> RoundResult {
    let (file, source, victim) = (ctx.scratch("buffer")?, ctx.scratch("source")?, ctx.scratch("victim")?);
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, SIZE)?;
    write(&source, 0, &alloc::vec![b'B'; BUFFER as usize])?;
    let map = ScopedMapping::new(&file, 0, SIZE, SHARED)?;
    waits_for_pins(ctx, &file, &victim, map.at)?;

    file.truncate(0)?;
    refill(&file)?;
    let which = ctx.round % 4;
    let ended = Arc::new(AtomicBool::new(false));
    let (at, buffer, source, other) = (map.at, file.clone(), source.clone(), victim.clone());
    ctx.workers(2, Sharing::One, move |worker| {
        if worker.index == 0 {
            let outcome = transfers(&worker.ctx, &source, at);
            ended.store(true, Ordering::SeqCst);
            return outcome;
        }
        loop {
            let last = ended.load(Ordering::SeqCst);
            worker.go_on()?;
            lose_blocks(&buffer, which)?;
            // Takes what was freed, and keeps it for a while.
            write(&other, 0, &alloc::vec![b'V'; BUFFER as usize])?;
            (0..8).for_each(|_| task::yield_now());
            expect_all("another file", &contents(&other, 0, BUFFER)?, b'V')?;
            other.truncate(0)?;
            refill(&buffer)?;
            worker.ctx.note("changes", 1);
            if last {
                return Ok(());
            }
        }
    })?;
    let found = contents(&file, 0, file.attr().size)?;
    match found.iter().find(|byte| !matches!(byte, 0 | b'B')) {
        Some(byte) => violation(format_args!("the buffer's file holds {byte:#04x}")),
        None => Ok(()),
    }
}

fn transfers(ctx: &Ctx, source: &File, at: u64) -> RoundResult {
    let mut random = ctx.random(1);
    for _ in 0..TRANSFERS {
        match direct::read(source, 0, at, BUFFER) {
            Ok(done) => expect(done == BUFFER, format_args!("a transfer of {done} bytes"))?,
            // The file was shorter just then.
            Err(Error::Op(Errno::BadAddress | Errno::BeyondEnd)) => {}
            Err(other) => return Err(other.into()),
        }
        ctx.note("transfers", 1);
        // Whoever waits for the pins gets a turn, sooner or later in it.
        task::sleep_ns(random.below(400_000));
        ctx.beat();
    }
    Ok(())
}

fn lose_blocks(file: &File, which: u64) -> RoundResult {
    match which {
        0 => file.fallocate(Fallocate::PunchHole, 0, BUFFER)?,
        1 => file.fallocate(Fallocate::ZeroRange { keep_size: false }, 0, BUFFER)?,
        2 => file.truncate(0)?,
        _ => file.fallocate(Fallocate::CollapseRange, 0, BUFFER)?,
    }
    Ok(())
}

fn refill(file: &File) -> RoundResult {
    file.truncate(SIZE)?;
    Ok(file.fallocate(Fallocate::Allocate { keep_size: false }, 0, SIZE)?)
}

/// A truncation that meets a pinned page ends when the page is let go, not before.
fn waits_for_pins(ctx: &Ctx, file: &File, victim: &File, at: u64) -> RoundResult {
    let pinned = Arc::new(AtomicBool::new(false));
    let unpinned = AtomicBool::new(false);
    let (file, victim) = (file.clone(), victim.clone());
    ctx.workers(2, Sharing::One, move |worker| {
        if worker.index == 0 {
            let buffer = Pinned::new(at, BUFFER, Way::Into)?;
            pinned.store(true, Ordering::SeqCst);
            // Long enough for the other one to free the blocks and give them away.
            task::sleep_ns(2_000_000);
            buffer.fill(b'D');
            unpinned.store(true, Ordering::SeqCst);
            drop(buffer);
            return Ok(());
        }
        worker.wait_for(&pinned)?;
        file.truncate(0)?;
        let waited = unpinned.load(Ordering::SeqCst);
        write(&victim, 0, &alloc::vec![b'V'; BUFFER as usize])?;
        worker.wait_for(&unpinned)?;
        expect_all(
            "another file got the freed blocks, and a transfer",
            &contents(&victim, 0, BUFFER)?,
            b'V',
        )?;
        expect(waited, format_args!("a truncation did not wait for a pinned page"))?;
        Ok(victim.truncate(0)?)
    })
}
