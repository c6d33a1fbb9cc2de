//! `trace`: steps of the storage code, written down as they are taken.

use core::fmt::Write;

use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{Command, Done, On, complaint};
use crate::arch::time;
use crate::lab::{Listener, chrome, listens, trace};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "trace",
    operands: "[on|off|dump|clear]",
    about: "write down each step of faults, write-back and shootdowns; show how much there is",
    options: &[("-j, --json", "dump for Perfetto: the Chrome trace-event format")],
    spec: "j json=j",
    count: 0..=1,
    run,
}];

fn run(sh: &mut Shell, opts: &Opts<'_>) -> Done {
    match opts.operands().first().copied() {
        None => {
            let (kept, lost) = trace::counts();
            let state = if listens(Listener::Trace) { "on" } else { "off" };
            writeln!(sh.out, "trace is {state}: {kept} records, {lost} lost")?;
            Ok(())
        }
        Some("on") => trace::start().on("on"),
        Some("off") => {
            trace::stop();
            Ok(())
        }
        Some("clear") => {
            trace::clear();
            Ok(())
        }
        Some("dump") => dump(sh, opts.has('j')),
        Some(other) => Err(complaint(format_args!("{other}: neither on, off, dump nor clear"))),
    }
}

fn dump(sh: &mut Shell, json: bool) -> Done {
    // Rings are not read while they are filled; and printing to a file would go on filling them.
    let was_on = listens(Listener::Trace);
    trace::stop();
    let records = trace::records().on("dump")?;
    let (_, lost) = trace::counts();
    if json {
        chrome::write(&mut sh.out, &records, lost)?;
    } else {
        if lost > 0 {
            writeln!(sh.out, "{lost} older records lost")?;
        }
        let first = records.first().map_or(0, |record| record.ticks);
        for record in &records {
            let (ns, step) = (time::to_ns(record.ticks - first), record.step);
            writeln!(
                sh.out,
                "{:>10}.{:03} cpu {} task {:<3} {:<16} inode {:<4} page {:<6} {:#x}",
                ns / 1000,
                ns % 1000,
                record.cpu,
                record.task,
                step.point,
                step.ino,
                step.page,
                step.arg
            )?;
        }
    }
    if was_on { trace::start().on("on") } else { Ok(()) }
}
