//! Commands about the machine: nfit, cpuid, dmesg, stats, date, uptime, selftest, crash.

use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::ControlFlow;

use cli::date::DateTime;
use cli::human;
use cli::opts::Opts;
use fs::pmem::Pmem;

use super::super::Shell;
use super::super::command::{Command, CommandResult, Failure, On, complaint};
use crate::arch::{cpu, time};
use crate::counters;
use crate::{crash, klog, pmem};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "nfit",
        operands: "",
        about: "show the NVDIMM firmware table and the regions made of it",
        options: &[],
        spec: "",
        count: 0..=0,
        run: nfit,
    },
    Command {
        name: "cpuid",
        operands: "",
        about: "show what the processor can do",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| Ok(writeln!(sh.out, "{}", cpu::features())?),
    },
    Command {
        name: "dmesg",
        operands: "",
        about: "show the kernel's log",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| {
            let mut outcome = Ok(());
            klog::replay(|bytes| {
                if outcome.is_ok() {
                    outcome = sh.out.bytes(bytes);
                }
            });
            outcome
        },
    },
    Command {
        name: "stats",
        operands: "[reset | COUNTER]",
        about: "show every counter, or those whose names start so; reset clears them",
        options: &[("-j, --json", "as one JSON object")],
        spec: "j json=j",
        count: 0..=1,
        run: stats,
    },
    Command {
        name: "date",
        operands: "",
        about: "show the date and the time (UTC)",
        options: &[("-u", "ignored"), ("-s", "seconds since 1970")],
        spec: "us",
        count: 0..=0,
        run: date,
    },
    Command {
        name: "uptime",
        operands: "",
        about: "show the seconds since the start",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| {
            let ns = time::monotonic_ns();
            Ok(writeln!(sh.out, "{}.{:06}", ns / 1_000_000_000, ns / 1000 % 1_000_000)?)
        },
    },
    Command {
        name: "selftest",
        operands: "",
        about: "check frames, page tables, faults and flushing on this machine",
        options: &[],
        spec: "",
        count: 0..=0,
        run: selftest,
    },
    Command {
        name: "crash",
        operands: "[KIND]",
        about: "let the kernel crash; without KIND, say how it can",
        options: &[],
        spec: "",
        count: 0..=1,
        run: crash,
    },
];

fn nfit(sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    let found = pmem::found().ok_or_else(|| complaint("the tables were not looked at"))?;
    let bytes = found.table.as_ref().map_err(complaint)?;
    let table = nfit::Nfit::parse(bytes).map_err(complaint)?;
    writeln!(sh.out, "{table}")?;
    // What is wrong is among the problems.
    for structure in table.structures().flatten() {
        writeln!(sh.out, "{structure}")?;
    }
    for region in table.contents().map_err(complaint)?.regions {
        writeln!(sh.out, "{region}")?;
    }
    for (number, region) in pmem::regions().iter().enumerate() {
        writeln!(
            sh.out,
            "pmem{number}: {:#x}, {}, {}",
            region.base(),
            human::iec(region.len()),
            access(region)
        )?;
        match found.layouts.get(number) {
            None | Some(pmem::NamespaceLayout::Raw) => {}
            Some(pmem::NamespaceLayout::Fsdax(info, _)) => writeln!(sh.out, "pmem{number}: {info}")?,
            Some(pmem::NamespaceLayout::Damaged(error) | pmem::NamespaceLayout::Devdax(error)) => {
                writeln!(sh.out, "pmem{number}: {error}")?;
            }
        }
    }
    for problem in &found.problems {
        sh.complain("nfit", problem);
    }
    if found.problems.is_empty() { Ok(()) } else { Err(Failure::Said) }
}

/// How a region can be used.
fn access(region: &pmem::MappedRegion) -> &'static str {
    if region.writable() { "read and write" } else { "read only" }
}

fn stats(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let prefix = match opts.operands() {
        ["reset"] => {
            if opts.has('j') {
                return Err("shows nothing, so --json does not go with it").on("reset");
            }
            counters::reset();
            return Ok(());
        }
        [prefix] => *prefix,
        _ => "",
    };
    let mut values = Vec::new();
    counters::total().each(|name, value| {
        if name.starts_with(prefix) {
            values.push((name, value));
        }
    });
    if values.is_empty() {
        return Err("no counter starts so").on(prefix);
    }
    show_values(sh, opts.has('j'), &values)
}

/// Prints names and values, of which there is one at least: a line each, or as one JSON object.
pub(super) fn show_values(sh: &mut Shell, as_json: bool, values: &[(&str, u64)]) -> CommandResult {
    for (number, (name, value)) in values.iter().enumerate() {
        match (as_json, number) {
            (false, _) => writeln!(sh.out, "{name} {value}"),
            (true, 0) => write!(sh.out, "{{\n\"{name}\": {value}"),
            (true, _) => write!(sh.out, ",\n\"{name}\": {value}"),
        }?;
    }
    if as_json {
        writeln!(sh.out, "\n}}")?;
    }
    Ok(())
}

fn date(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let now = time::now();
    if opts.has('s') {
        return Ok(writeln!(sh.out, "{}", now.secs)?);
    }
    let date = DateTime::from_epoch(now.secs);
    let DateTime { year, day, hour, minute, second, .. } = date;
    let (weekday, month) = (date.weekday().unwrap_or("???"), date.month_name());
    Ok(writeln!(sh.out, "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} UTC {year}")?)
}

fn selftest(sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    let mut outcome = Ok(());
    crate::selftest::run(|name, result| {
        match result {
            Ok(()) => {
                if let (Ok(()), Err(error)) = (&outcome, writeln!(sh.out, "{name}: ok")) {
                    outcome = Err(error.into());
                }
            }
            Err(why) => {
                sh.complain("selftest", &alloc::format!("{name}: {why}"));
                outcome = Err(Failure::Said);
            }
        }
        match sh.out.poll() {
            Ok(()) => ControlFlow::Continue(()),
            Err(interrupted) => {
                outcome = Err(interrupted);
                ControlFlow::Break(())
            }
        }
    });
    outcome
}

fn crash(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let names = crash::CrashKind::ALL.map(|(name, _)| name).join(", ");
    let Some(name) = opts.operands().first() else {
        return Ok(writeln!(sh.out, "{names}")?);
    };
    let kind = crash::CrashKind::from_name(name)
        .ok_or_else(|| alloc::format!("unknown kind (there are {names})"))
        .on(name)?;
    sh.out.flush()?;
    crash::trigger(kind);
    Err(complaint(format_args!("{name}: the machine did not notice")))
}
