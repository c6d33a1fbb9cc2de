//! `poison`: memory errors, made and shown, to see what they do.

use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::{ControlFlow, Range};

use cli::opts::Opts;
use cli::size;
use fs::PAGE_SIZE;
use fs::platform::Platform;
use fs::pmem::Pmem;

use super::super::Shell;
use super::super::command::{Command, CommandResult, Failure, On, complaint};
use crate::bad_memory;
use crate::machine::File;
use crate::pmem::poison;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "poison",
    operands: "list | add [FILE] OFFSET LEN | clear [[FILE] OFFSET LEN]",
    about: "memory errors: show them; make some, at an offset of a file (pmem0, if there is none); forget them",
    options: &[],
    spec: "",
    count: 1..=4,
    run: poison,
}];

fn poison(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let full = |_| complaint("there is no room in the list");
    match opts.operands() {
        ["list"] => {
            for bad in poison::ranges() {
                match crate::pmem::place_of(bad.start) {
                    Some((number, offset)) => {
                        writeln!(sh.out, "pmem{number} {offset:#x} {}", bad.end - bad.start)?
                    }
                    None => writeln!(sh.out, "{:#x} {}", bad.start, bad.end - bad.start)?,
                }
            }
            Ok(())
        }
        ["clear"] => {
            let everything = |bad: &Range<u64>| poison::clear(bad.start, bad.end - bad.start);
            poison::ranges().iter().try_for_each(everything).map_err(full)
        }
        ["add", place @ ..] => {
            let places = places(sh, place)?;
            places.iter().try_for_each(|at| bad_memory::add(at.start, at.end - at.start)).map_err(full)
        }
        ["clear", place @ ..] => {
            let places = places(sh, place)?;
            places.iter().try_for_each(|at| poison::clear(at.start, at.end - at.start)).map_err(full)
        }
        _ => Err(complaint("list, add or clear?")),
    }
}

/// The physical addresses of bytes of a file.
fn places(sh: &Shell, operands: &[&str]) -> Result<Vec<Range<u64>>, Failure> {
    let (path, offset, len) = match operands {
        [offset, len] => ("/dev/pmem0", offset, len),
        [path, offset, len] => (*path, offset, len),
        _ => return Err(complaint("an offset and a length are needed")),
    };
    let number = |text: &str| size::parse(text, PAGE_SIZE, 512).on(text);
    let (from, len) = (number(offset)?, number(len)?);
    let end = from.checked_add(len).ok_or_else(|| complaint("too large"))?;
    let file: File = sh.find(path)?.file;
    let (mut found, mut covered) = (Vec::new(), 0);
    let outcome = file.extents(from, &mut |extent| {
        let (start, stop) = (extent.offset.max(from), extent.end().min(end));
        if start < stop
            && let Some(place) = extent.place()
        {
            let at = file.platform().pmem().frame(0) + place + (start - extent.offset);
            covered += stop - start;
            found.push(at..at + (stop - start));
        }
        if stop < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.on(path)?;
    if covered == len { Ok(found) } else { Err("there is a hole, or it is beyond the end").on(path) }
}
