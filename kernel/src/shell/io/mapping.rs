//! `mmap` and what is done to mappings: mread, mwrite, msync, munmap, ptwalk.
//!
//! Offsets are the file's, and must lie in the current mapping. Whether a page can be accessed, the fault decides.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::dump::Dump;
use cli::opts::Opts;
use fs::PAGE_SIZE;

use super::super::command::{Done, Failure, complaint};
use super::super::{Shell, task};
use super::{IoCommand, Session};
use crate::mm::aspace::{self, Rights};
use crate::mounts;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "mmap",
        alias: "mm",
        operands: "[N] | [-rwxS] [-s size] [off len]",
        about: "mmap a range in the current file, show mappings",
        spec: "rwxSs:",
        count: 0..=2,
        run: mmap,
    },
    IoCommand {
        name: "munmap",
        alias: "mu",
        operands: "",
        about: "unmaps the current memory mapping",
        spec: "",
        count: 0..=0,
        run: munmap,
    },
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

/// One mapping, as it was asked for.
struct Map {
    start: u64,
    offset: u64,
    len: u64,
    rights: Rights,
}

/// The mappings of a session, one of them current.
#[derive(Default)]
pub(super) struct Maps {
    maps: Vec<Map>,
    current: usize,
}

impl Maps {
    fn current(&self) -> Result<&Map, Failure> {
        self.maps.get(self.current).ok_or_else(|| complaint("no mapped regions, try 'help mmap'"))
    }

    /// The session is over.
    pub(super) fn unmap_all(&mut self) {
        for map in self.maps.drain(..) {
            // It was mapped so; nothing can be wrong with it.
            let _ = aspace::current().munmap(map.start, map.len);
        }
    }
}

impl Session {
    /// The address and the length of a range of the current mapping: that of `off len`, or all of it.
    fn mapped(&self, opts: &Opts<'_>) -> Result<(u64, u64), Failure> {
        let map = self.maps.current()?;
        let (offset, len) = match opts.operands() {
            [] => (map.offset, map.len),
            [_] => return Err(complaint("length is missing")),
            _ => self.range(opts)?,
        };
        let Some(from) = offset.checked_sub(map.offset) else {
            return Err(complaint(format_args!(
                "offset ({offset}) is before start of mapping ({})",
                map.offset
            )));
        };
        if from > map.len || len > map.len - from {
            let (start, size) = (map.offset, map.len);
            return Err(complaint(format_args!("range ({offset}:{len}) is beyond mapping ({start}:{size})")));
        }
        Ok((map.start + from, len))
    }
}

fn mmap(session: &mut Session, sh: &mut Shell, opts: &Opts<'_>) -> Done {
    if opts.operands().len() < 2 {
        return show_or_choose(session, sh, opts);
    }
    // Without an option, all rights.
    let all = !"rwx".chars().any(|option| opts.has(option));
    let rights =
        Rights { read: all || opts.has('r'), write: all || opts.has('w'), exec: all || opts.has('x') };
    let count = session.maps.maps.len();
    if rights.write {
        session.expect_writable()?;
    }
    let (offset, len) = session.range(opts)?;
    session.option(opts, 's')?; // where it would go is the kernel's choice; xfs_io reserves and frees that much
    let protocol = mounts::protocol(&session.file);
    let space = aspace::current();
    let start = space.mmap(&session.file, protocol, &session.name, offset, len, rights).map_err(complaint)?;
    session.maps.maps.push(Map { start, offset, len, rights });
    session.maps.current = count;
    Ok(())
}

fn show_or_choose(session: &mut Session, sh: &mut Shell, opts: &Opts<'_>) -> Done {
    if !opts.options().is_empty() {
        return Err(complaint("offset and length are missing"));
    }
    session.maps.current()?;
    if let [number] = opts.operands() {
        let (number, count) = (session.number(number)?, session.maps.maps.len());
        if number >= count as u64 {
            return Err(complaint(format_args!("value {number} is out of range (0-{})", count - 1)));
        }
        session.maps.current = number as usize;
    }
    let name: String = sh.shown(&session.name).into_owned();
    for (number, map) in session.maps.maps.iter().enumerate() {
        let (left, right) = if number == session.maps.current { ('[', ']') } else { (' ', ' ') };
        let Map { start, offset, len, rights } = map;
        let end = start + len;
        writeln!(
            sh.out,
            "{left}{number:03}{right} {start:#x} - {end:#x} {rights}  {name:>14} ({offset} : {len})"
        )?;
    }
    Ok(())
}

fn munmap(session: &mut Session, _: &mut Shell, _: &Opts<'_>) -> Done {
    let map = session.maps.current()?;
    aspace::current().munmap(map.start, map.len).map_err(complaint)?;
    session.maps.maps.remove(session.maps.current);
    session.maps.current = session.maps.current.min(session.maps.maps.len().saturating_sub(1));
    Ok(())
}

/// Splits `len` bytes at `address` at page boundaries, since a fault is one page's; the last page first if `reverse`.
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

fn mread(session: &mut Session, sh: &mut Shell, opts: &Opts<'_>) -> Done {
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

fn mwrite(session: &mut Session, sh: &mut Shell, opts: &Opts<'_>) -> Done {
    let (address, len) = session.mapped(opts)?;
    let seed = session.option(opts, 'S')?.unwrap_or(u64::from(b'X')) as u8;
    for (address, len) in pages(address, len, opts.has('r')) {
        sh.out.poll()?;
        task::fill(address, seed, len).map_err(fault)?;
    }
    Ok(())
}

fn msync(session: &mut Session, _: &mut Shell, opts: &Opts<'_>) -> Done {
    let (address, len) = session.mapped(opts)?;
    if !address.is_multiple_of(PAGE_SIZE) {
        return Err(complaint(format_args!("offset address ({address:#x}) is not page aligned")));
    }
    if opts.has('a') && opts.has('s') {
        return Err(complaint(fs::Errno::Invalid));
    }
    // MS_ASYNC promises nothing, and keeping the promise at once does no harm.
    if len == 0 { Ok(()) } else { aspace::current().msync(address, len).map_err(complaint) }
}

fn ptwalk(session: &mut Session, sh: &mut Shell, opts: &Opts<'_>) -> Done {
    let map = session.maps.current()?;
    let offset = opts.operands().first().map_or(Ok(map.offset), |text| session.number(text))?;
    match offset.checked_sub(map.offset).filter(|from| *from < map.len) {
        Some(from) => Ok(task::print_walk(map.start + from, &mut sh.out)?),
        None => Err(complaint(format_args!("offset ({offset}) is outside of the mapping"))),
    }
}
