//! Commands about memory: what the shell's task has mapped, and what the machine has left.
//!
//! `mmap` makes mappings that last, unlike those of `io`, which end with it. `peek` and `poke` are the task's
//! own loads and stores: they fault, and what a fault refuses is an error that names address, access and
//! reason.

use alloc::sync::Arc;
use core::fmt::Write;

use cli::dump::Dump;
use cli::opts::Opts;
use cli::size;
use fs::PAGE_SIZE;

use super::super::command::{ANY, Command, CommandResult, Failure, On};
use super::super::{Shell, task};
use crate::mm::aspace::{self, MapRequest, Placement, Rights};
use crate::mm::{frames, heap};
use crate::mounts;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "mmap",
        operands: "FILE [OFF [LEN]]",
        about: "map a file, until munmap; prints the address",
        options: &[
            ("-r", "for loads"),
            ("-w", "for stores"),
            ("-x", "for execution"),
            ("-p", "private: stores are not seen by others"),
            ("-S", "synchronous"),
            ("-P", "fill the page tables in at once"),
            ("-n", "no 2 MiB pages"),
            ("-a ADDR", "there; what is mapped there goes"),
        ],
        spec: "rwxpSPna:",
        count: 1..=3,
        run: mmap,
    },
    Command {
        name: "munmap",
        operands: "ADDR [LEN]",
        about: "take a mapping away, or a part of one",
        options: &[],
        spec: "",
        count: 1..=2,
        run: munmap,
    },
    Command {
        name: "maps",
        operands: "",
        about: "list what is mapped: rights, offset, entries of 4 KiB and 2 MiB, private copies",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| task::print_maps(sh),
    },
    Command {
        name: "peek",
        operands: "ADDR [LEN]",
        about: "load bytes (16) from memory and show them",
        options: &[],
        spec: "",
        count: 1..=2,
        run: peek,
    },
    Command {
        name: "poke",
        operands: "ADDR BYTE...",
        about: "store bytes to memory",
        options: &[],
        spec: "",
        count: 2..=ANY,
        run: poke,
    },
    Command {
        name: "ptwalk",
        operands: "ADDR",
        about: "show the page-table entries that lead to an address",
        options: &[],
        spec: "",
        count: 1..=1,
        run: |sh, opts| {
            let address = number(opts, 0)?;
            task::print_walk(address, &mut sh.out)?;
            Ok(())
        },
    },
    Command {
        name: "free",
        operands: "",
        about: "show how much memory is in use",
        options: &[("-b", "in bytes"), ("-m", "in MiB")],
        spec: "bkm",
        count: 0..=0,
        run: free,
    },
];

/// The operand at `index`, which must be there, as a number.
fn number(opts: &Opts<'_>, index: usize) -> Result<u64, Failure> {
    let text = opts.operands().get(index).copied().unwrap_or_default();
    size::parse(text, PAGE_SIZE, 512).on(text)
}

/// Returns the number that operand `index` is; `None` without that operand.
fn optional(opts: &Opts<'_>, index: usize) -> Result<Option<u64>, Failure> {
    opts.operands().get(index).map(|_| number(opts, index)).transpose()
}

fn mmap(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let path = opts.operands()[0];
    let place = sh.find(path)?;
    let offset = optional(opts, 1)?.unwrap_or(0);
    let rest = place.file.attr().size.saturating_sub(offset).max(1);
    let len = optional(opts, 2)?.unwrap_or(rest);
    let any = "rwx".chars().any(|right| opts.has(right));
    let stores = opts.has('p') || !place.mount.read_only();
    let rights =
        Rights { read: opts.has('r') || !any, write: opts.has('w') || (!any && stores), exec: opts.has('x') };
    let at = opts.value('a').map(|at| size::parse(at, PAGE_SIZE, 512).on(at)).transpose()?;
    let steady = mounts::steady();
    let request = MapRequest {
        file: &place.file,
        name: &Arc::from(sh.logical(path).as_str()),
        offset,
        len,
        at: at.map_or(Placement::Any, Placement::Exactly),
        kind: task::kind(&place.file, opts, rights, None, &steady),
        populate: opts.has('P'),
    };
    let start = aspace::current().map(&request).on(path)?;
    Ok(writeln!(sh.out, "{start:#x}")?)
}

fn munmap(_: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (start, operand) = (number(opts, 0)?, opts.operands()[0]);
    let len = match optional(opts, 1)? {
        Some(len) => len,
        None => {
            let vmas = aspace::current().vmas();
            let vma = vmas.iter().find(|vma| vma.start == start);
            vma.ok_or("no mapping begins there").on(operand)?.len
        }
    };
    aspace::current().munmap(start, len).on(operand)
}

fn peek(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mut address = number(opts, 0)?;
    let mut left = optional(opts, 1)?.unwrap_or(16);
    let mut dump = Dump::canonical(address);
    let mut page = [0; PAGE_SIZE as usize];
    // Page by page: what comes before an address that cannot be read is shown.
    let mut outcome = Ok(());
    while left > 0 && outcome.is_ok() {
        let len = left.min(PAGE_SIZE - address % PAGE_SIZE);
        let piece = &mut page[..len as usize];
        outcome = task::read(address, piece).map_err(fault);
        if outcome.is_ok() {
            dump.feed(piece, &mut sh.out)?;
            (address, left) = (address.wrapping_add(len), left - len);
        }
    }
    dump.finish(&mut sh.out)?;
    outcome
}

/// A refused access would have killed a program.
fn fault(why: task::Refused) -> Failure {
    Failure::Fault(alloc::format!("{why}"))
}

fn poke(_: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mut bytes = alloc::vec::Vec::new();
    for index in 1..opts.operands().len() {
        let byte = u8::try_from(number(opts, index)?);
        bytes.push(byte.map_err(|_| "more than a byte").on(opts.operands()[index])?);
    }
    task::write(number(opts, 0)?, &bytes).map_err(fault)
}

fn free(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let shift = match opts.options().last() {
        Some(('b', _)) => 0,
        Some(('m', _)) => 20,
        _ => 10,
    };
    let frames = frames::counts();
    let (heap_used, heap_mapped) = heap::usage();
    writeln!(sh.out, "{:6}{:>14}{:>14}{:>14}", "", "total", "used", "free")?;
    let mut row = |name, total: u64, free: u64| {
        let used = total.saturating_sub(free);
        writeln!(sh.out, "{name:6}{:>14}{:>14}{:>14}", total >> shift, used >> shift, free >> shift)
    };
    row("Mem:", frames.total * frames::FRAME, frames.free * frames::FRAME)?;
    row("Heap:", heap_mapped, heap_mapped.saturating_sub(heap_used))?;
    Ok(())
}
