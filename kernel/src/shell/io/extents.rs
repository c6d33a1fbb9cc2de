//! `fiemap`: where a file's bytes are in the region, in units of 512 bytes.
//!
//! Extents that meet the range asked for are shown whole; a hole at its ends only as far as the range goes.
//! Blocks that were never written have a flag in the table of -v, and the word "unwritten" elsewhere.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::ControlFlow;

use cli::opts::Opts;
use fs::vfs::{Extent, State};

use super::super::Shell;
use super::super::command::{CommandResult, Failure, complaint};
use super::IoSession;
use super::table::IoCommand;

pub(super) const COMMANDS: &[IoCommand] = &[IoCommand {
    name: "fiemap",
    alias: "",
    operands: "[-alv] [-n nx] [offset [len]]",
    about: "print block mapping for a file",
    spec: "alvn:",
    count: 0..=2,
    run: fiemap,
}];

/// Lines kept for the table of -v, whose columns are as wide as the widest.
const MOST_LINES: usize = 100_000;
const SECTOR: u64 = 512;
/// The last extent of a file (`FIEMAP_EXTENT_LAST`).
const LAST: u32 = 1;
/// Its blocks were never written, and read as zeros (`FIEMAP_EXTENT_UNWRITTEN`).
const UNWRITTEN: u32 = 0x800;

/// A line of the listing, in sectors; the ends are inclusive.
struct ExtentLine {
    first: u64,
    last: u64,
    place: Option<u64>,
    flags: u32,
}

impl ExtentLine {
    fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    fn blocks(&self) -> String {
        match self.place {
            Some(place) => alloc::format!("{place}..{}", place + self.count() - 1),
            None => "hole".into(),
        }
    }
}

fn fiemap(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let operand = |index: usize| opts.operands().get(index).map(|text| session.number(text)).transpose();
    let from = operand(0)?.unwrap_or(0);
    let to = operand(1)?.map_or(u64::MAX, |len| from.saturating_add(len));
    let most =
        session.option(opts, 'n')?.map_or(MOST_LINES, |most| most.clamp(1, MOST_LINES as u64) as usize);
    let name = sh.shown(&session.name).into_owned();
    writeln!(sh.out, "{name}:")?;
    if opts.has('a') {
        return Ok(());
    }
    let lines = lines(session, from, to)?;
    let lines = &lines[..lines.len().min(most)];
    if opts.has('v') {
        return table(sh, lines);
    }
    for (number, line) in lines.iter().enumerate() {
        let count = if opts.has('l') { alloc::format!(" {} blocks", line.count()) } else { String::new() };
        let state = if line.flags & UNWRITTEN != 0 { " unwritten" } else { "" };
        writeln!(sh.out, "\t{number}: [{}..{}]: {}{count}{state}", line.first, line.last, line.blocks())?;
    }
    Ok(())
}

fn lines(session: &IoSession, from: u64, to: u64) -> Result<Vec<ExtentLine>, Failure> {
    let size = session.file.attr().size;
    let mut lines: Vec<ExtentLine> = Vec::new();
    let mut last_extent = None;
    let mut add = |extent: Extent| {
        let end = extent.end();
        let (place, flags) = match extent.backing.state() {
            State::Hole => (None, 0),
            State::Unwritten(place) => (Some(place / SECTOR), UNWRITTEN),
            State::Mapped(place) => (Some(place / SECTOR), 0),
        };
        if place.is_some() {
            last_extent = Some(extent.offset);
        }
        if end <= from || extent.offset >= to || lines.len() >= MOST_LINES {
            return ControlFlow::Continue(());
        }
        // A hole is as long as was asked for, and not longer than the file.
        let (start, end) = match place {
            Some(_) => (extent.offset, end),
            None => (extent.offset.max(from), end.min(to).min(size)),
        };
        if end <= start {
            return ControlFlow::Continue(());
        }
        lines.push(ExtentLine { first: start / SECTOR, last: (end - 1) / SECTOR, place, flags });
        ControlFlow::Continue(())
    };
    session.file.extents(0, &mut add).map_err(complaint)?;
    for line in lines.iter_mut().filter(|line| line.place.is_some()) {
        line.flags |= if Some(line.first * SECTOR) == last_extent { LAST } else { 0 };
    }
    Ok(lines)
}

/// The listing of -v.
fn table(sh: &mut Shell, lines: &[ExtentLine]) -> CommandResult {
    const NARROWEST: usize = 16;
    let offsets = |line: &ExtentLine| alloc::format!("[{}..{}]:", line.first, line.last);
    let widest = |f: &dyn Fn(&ExtentLine) -> usize| lines.iter().map(f).max().unwrap_or(0).max(NARROWEST);
    let left = widest(&|line| offsets(line).len());
    let middle = widest(&|line| line.blocks().len());
    writeln!(sh.out, " EXT: {:left$} {:middle$} TOTAL FLAGS", "FILE-OFFSET", "BLOCK-RANGE")?;
    for (number, line) in lines.iter().enumerate() {
        write!(sh.out, "{number:4}: {:left$} {:middle$} {:5}", offsets(line), line.blocks(), line.count())?;
        match line.place {
            Some(_) => writeln!(sh.out, " {:>5}", alloc::format!("{:#x}", line.flags))?,
            None => writeln!(sh.out)?,
        }
    }
    Ok(())
}
