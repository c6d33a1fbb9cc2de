//! `trace`: steps of the storage code, written down as they are taken.

use core::fmt::Write;

use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{Command, CommandResult, On, complaint};
use crate::arch::time;
use crate::lab::chrome;
use crate::lab::trace::{self, TraceCounts};
use crate::steps::{Listener, listens};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "trace",
    operands: "[on|off|dump|clear]",
    about: "write down each step of faults, write-back and shootdowns; show how much there is",
    options: &[
        ("-j, --json", "dump for Perfetto: the Chrome trace-event format"),
        ("-n, --records N", "on: keep the latest N of each CPU (16384)"),
    ],
    spec: "jn: json=j records=n",
    count: 0..=1,
    run,
}];

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let word = opts.operands().first().copied();
    if opts.has('j') && word != Some("dump") {
        return Err(complaint("--json is for dump"));
    }
    if opts.has('n') && word != Some("on") {
        return Err(complaint("--records is for on"));
    }
    match word {
        None => {
            let TraceCounts { kept, lost, .. } = trace::counts();
            let state = if listens(Listener::Trace) { "on" } else { "off" };
            writeln!(sh.out, "trace is {state}: {kept} records, {lost} lost")?;
            Ok(())
        }
        Some("on") => {
            let number = |text: &str| match text.parse() {
                Ok(records @ 1..=trace::MOST) => Ok(records),
                _ => Err(alloc::format!("not a number from 1 to {}", trace::MOST)).on(text),
            };
            trace::start(opts.value('n').map(number).transpose()?).on("on")
        }
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

fn dump(sh: &mut Shell, json: bool) -> CommandResult {
    // Rings are not read while they are filled; and printing to a file would go on filling them.
    let was_on = listens(Listener::Trace);
    trace::stop();
    let records = trace::records().on("dump")?;
    let lost = trace::counts().lost;
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
    if was_on { trace::start(None).on("on") } else { Ok(()) }
}
