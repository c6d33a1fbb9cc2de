//! Commands about tasks: ps, run, wait, sleep, cpus.

use core::fmt::Write;

use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, On};
use crate::arch::{percpu, time};
use crate::task::{self, TaskState};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "ps",
        operands: "",
        about: "list the tasks: number, CPU, state, CPU time in ms, name",
        options: &[],
        spec: "",
        count: 0..=0,
        run: ps,
    },
    Command {
        name: "run",
        operands: "COMMAND [ARGUMENT...] [&]",
        about: "run a command as a task with an address space of its own; with &, do not wait for it",
        options: &[("-c CPU", "on this CPU and no other")],
        // What comes after the command is the command's.
        spec: "+c:",
        count: 1..=ANY,
        run: |sh, opts| sh.run_as_task(opts),
    },
    Command {
        name: "wait",
        operands: "[ID...]",
        about: "wait for tasks started with &, all or these, and tell how they ended",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: |sh, opts| sh.wait_for_jobs(opts.operands()),
    },
    Command {
        name: "sleep",
        operands: "SECONDS",
        about: "do nothing for so long; parts of a second go after a point",
        options: &[],
        spec: "",
        count: 1..=1,
        run: sleep,
    },
    Command {
        name: "cpus",
        operands: "",
        about: "list the CPUs: number, local APIC, what runs",
        options: &[],
        spec: "",
        count: 0..=0,
        run: cpus,
    },
];

fn ps(sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    writeln!(sh.out, "{:>5} {:>3} {:<8} {:>8}  NAME", "ID", "CPU", "STATE", "MS")?;
    for task in task::all() {
        let state = match task.state() {
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
            TaskState::Done => "done",
        };
        let (id, cpu, ms) = (task.id(), task.cpu(), task.cpu_ns() / 1_000_000);
        writeln!(sh.out, "{id:>5} {cpu:>3} {state:<8} {ms:>8}  {}", task.name())?;
    }
    Ok(())
}

fn cpus(sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    writeln!(sh.out, "{:>3} {:>5}  TASK", "CPU", "APIC")?;
    let tasks = task::all();
    for cpu in percpu::all() {
        let here = |task: &&task::TaskRef| task.state() == TaskState::Running && task.cpu() == cpu.number();
        let running = tasks.iter().find(here);
        write!(sh.out, "{:>3} {:>5}  ", cpu.number(), cpu.apic_id())?;
        match running {
            _ if !cpu.is_online() => writeln!(sh.out, "(off)")?,
            Some(task) => writeln!(sh.out, "{} {}", task.id(), task.name())?,
            None => writeln!(sh.out, "(idle)")?,
        }
    }
    Ok(())
}

/// Sleeps in short pieces, so that Ctrl-C ends it.
fn sleep(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    const PIECE_NS: u64 = 20_000_000;
    let text = opts.operands().first().copied().unwrap_or_default();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = match (whole.is_empty(), digits(whole) && digits(part)) {
        (false, true) => whole.parse::<u32>().ok(),
        (true, true) if !part.is_empty() => Some(0),
        _ => None,
    };
    let seconds = seconds.ok_or("not a number of seconds").on(text)?;
    let nanos = part
        .bytes()
        .chain(core::iter::repeat(b'0'))
        .take(9)
        .fold(0, |ns, digit| ns * 10 + u64::from(digit - b'0'));
    let end = time::monotonic_ns() + u64::from(seconds) * 1_000_000_000 + nanos;
    loop {
        sh.out.poll()?;
        match end.saturating_sub(time::monotonic_ns()) {
            0 => return Ok(()),
            left => task::sleep_ns(left.min(PIECE_NS)),
        }
    }
}
