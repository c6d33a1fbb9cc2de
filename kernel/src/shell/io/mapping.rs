//! What is done to mappings: mread, mwrite, msync, ptwalk.
//!
//! Offsets are the file's, and must lie in the current mapping. Whether a page can be accessed, the fault
//! decides.

use cli::dump::Dump;
use cli::opts::Opts;
use fs::PAGE_SIZE;

use super::super::command::{CommandResult, Failure, complaint};
use super::super::{Shell, task};
use super::IoSession;
use super::table::IoCommand;
use crate::mm::aspace;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "mread",
        alias: "mr",
        operands: "[-f|-v] [-r] [off len]",
        about: "reads data from a region in the current memory mapping",
        spec: "fvr",
        count: 0..=2,
        run: mread,
    },
    IoCommand {
        name: "mwrite",
        alias: "mw",
        operands: "[-r] [-S seed] [off len]",
        about: "writes data into a region in the current memory mapping",
        spec: "rS:",
        count: 0..=2,
        run: mwrite,
    },
    IoCommand {
        name: "msync",
        alias: "ms",
        operands: "[-ais] [off len]",
        about: "flush a region in the current memory mapping",
        spec: "ais",
        count: 0..=2,
        run: msync,
    },
    IoCommand {
        name: "ptwalk",
        alias: "",
        operands: "[off]",
        about: "shows the page-table entries that lead to a byte of the current memory mapping",
        spec: "",
        count: 0..=1,
        run: ptwalk,
    },
];

/// Splits `len` bytes at `address` at page boundaries, since a fault is one page's; the last page first if
/// `reverse`.
fn pages(address: u64, len: u64, reverse: bool) -> impl Iterator<Item = (u64, usize)> {
    let (mut start, mut end) = (address, address + len);
    core::iter::from_fn(move || {
        if start >= end {
            return None;
        }
        if reverse {
            let from = ((end - 1) & !(PAGE_SIZE - 1)).max(start);
            let len = end - from;
            end = from;
            Some((from, len as usize))
        } else {
            let to = ((start & !(PAGE_SIZE - 1)) + PAGE_SIZE).min(end);
            let from = core::mem::replace(&mut start, to);
            Some((from, (to - from) as usize))
        }
    })
}

/// A refused access would have killed a process.
fn fault(why: impl core::fmt::Display) -> Failure {
    Failure::Fault(alloc::format!("{why}"))
}

fn mread(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    let map = session.maps.current()?;
    let from = address - map.start;
    // The last of -f and -v says what the offsets count from.
    let shown = opts.options().iter().rev().find_map(|(option, _)| match option {
        'f' => Some(map.offset + from),
        'v' => Some(from),
        _ => None,
    });
    let mut dump = Dump::xfs(shown.unwrap_or(0));
    let mut page = [0; PAGE_SIZE as usize];
    let mut outcome = Ok(());
    for (address, len) in pages(address, len, opts.has('r')) {
        sh.out.poll()?;
        let bytes = &mut page[..len];
        outcome = task::read(address, bytes).map_err(fault);
        if outcome.is_err() {
            break;
        }
        // In the order of the accesses, as xfs_io shows them.
        if opts.has('r') {
            bytes.reverse();
        }
        if shown.is_some() {
            dump.feed(bytes, &mut sh.out)?;
        }
    }
    dump.finish(&mut sh.out)?;
    outcome
}

fn mwrite(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    let seed = session.option(opts, 'S')?.unwrap_or(u64::from(b'X')) as u8;
    for (address, len) in pages(address, len, opts.has('r')) {
        sh.out.poll()?;
        task::fill(address, seed, len).map_err(fault)?;
    }
    Ok(())
}

fn msync(session: &mut IoSession, _: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(complaint(format_args!("offset address ({address:#x}) is not page aligned")));
    }
    if opts.has('a') && opts.has('s') {
        return Err(complaint(fs::Errno::Invalid));
    }
    // MS_ASYNC promises nothing, and keeping the promise at once does no harm.
    aspace::current().msync(address, len).map_err(complaint)
}

fn ptwalk(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let map = session.maps.current()?;
    let offset = opts.operands().first().map_or(Ok(map.offset), |text| session.number(text))?;
    match offset.checked_sub(map.offset).filter(|from| *from < map.len) {
        Some(from) => Ok(task::print_walk(map.start + from, &mut sh.out)?),
        None => Err(complaint(format_args!("offset ({offset}) is outside of the mapping"))),
    }
}
