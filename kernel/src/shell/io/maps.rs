//! The mappings of a session: mmap, munmap.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use fs::Errno;

use super::super::command::{CommandResult, Failure, complaint};
use super::super::{Shell, task};
use super::IoSession;
use super::table::IoCommand;
use crate::mm::aspace::{self, MapRequest, Placement, Rights};
use crate::mounts;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "mmap",
        alias: "mm",
        operands: "[N] | [-rwxSpPn] [-s size] [-a|-A address] [off len]",
        about: "mmap a range in the current file, show mappings; -S: synchronous, -p: private, -P: filled in at once, \
                -n: no 2 MiB pages, -a: there, -A: there if there is room",
        spec: "rwxSpPns:a:A:",
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
];

/// A mapping of the session, as it was asked for.
pub(super) struct IoMapping {
    /// The address that the mapping begins at.
    pub(super) start: u64,
    /// The file's byte there.
    pub(super) offset: u64,
    pub(super) len: u64,
    rights: Rights,
}

/// The mappings of a session, one of them current.
#[derive(Default)]
pub(super) struct Maps {
    maps: Vec<IoMapping>,
    current: usize,
}

impl Maps {
    /// Returns the current mapping.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn current(&self) -> Result<&IoMapping, Failure> {
        self.maps.get(self.current).ok_or_else(|| complaint("no mapped regions, try 'help mmap'"))
    }

    /// Returns the current mapping like [`current`](Self::current), to be changed.
    pub(super) fn current_mut(&mut self) -> Result<&mut IoMapping, Failure> {
        self.maps.get_mut(self.current).ok_or_else(|| complaint("no mapped regions, try 'help mmap'"))
    }

    /// Unmaps everything, at the session's end.
    pub(super) fn unmap_all(&mut self) {
        for map in self.maps.drain(..) {
            // It was mapped so; nothing can be wrong with it.
            let _ = aspace::current().munmap(map.start, map.len);
        }
    }
}

impl IoSession {
    /// Returns the address and the length of a range of the current mapping: that of `off len`, or all of
    /// it.
    pub(super) fn mapped(&self, opts: &Opts<'_>) -> Result<(u64, u64), Failure> {
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

fn mmap(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    if opts.operands().len() < 2 {
        return show_or_choose(session, sh, opts);
    }
    // Without an option, all rights.
    let all = !"rwx".chars().any(|option| opts.has(option));
    let rights =
        Rights { read: all || opts.has('r'), write: all || opts.has('w'), exec: all || opts.has('x') };
    let count = session.maps.maps.len();
    let (offset, len) = session.range(opts)?;
    // xfs_io reserves and frees that much first, to move the mapping; where it goes is the kernel's choice
    // here.
    session.option(opts, 's')?;
    let no_write = session.read_only.then_some(Errno::NoAccess);
    let steady = mounts::steady();
    let request = MapRequest {
        file: &session.file,
        name: &Arc::from(session.name.as_str()),
        offset,
        len,
        at: match (session.option(opts, 'a')?, session.option(opts, 'A')?) {
            (Some(at), _) => Placement::Exactly(at),
            (None, Some(at)) => Placement::Near(at),
            (None, None) => Placement::Any,
        },
        kind: task::kind(&session.file, opts, rights, no_write, &steady),
        populate: opts.has('P'),
    };
    let start = aspace::current().map(&request).map_err(complaint)?;
    session.maps.maps.push(IoMapping { start, offset, len, rights });
    session.maps.current = count;
    Ok(())
}

fn show_or_choose(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
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
    show(session, sh)
}

fn show(session: &IoSession, sh: &mut Shell) -> CommandResult {
    let name: String = sh.shown(&session.name).into_owned();
    for (number, map) in session.maps.maps.iter().enumerate() {
        let (left, right) = if number == session.maps.current { ('[', ']') } else { (' ', ' ') };
        let IoMapping { start, offset, len, rights } = map;
        let end = start + len;
        writeln!(
            sh.out,
            "{left}{number:03}{right} {start:#x} - {end:#x} {rights}  {name:>14} ({offset} : {len})"
        )?;
    }
    Ok(())
}

/// Unmaps the current mapping; the next one becomes the current one, or the last. The mappings that are left
/// are shown.
fn munmap(session: &mut IoSession, sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    let map = session.maps.current()?;
    aspace::current().munmap(map.start, map.len).map_err(complaint)?;
    session.maps.maps.remove(session.maps.current);
    session.maps.current = session.maps.current.min(session.maps.maps.len().saturating_sub(1));
    show(session, sh)
}
