//! Commands about tasks: ps.

use core::fmt::Write;

use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{Command, Done};
use crate::task::{self, State};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "ps",
    operands: "",
    about: "list the tasks: number, CPU, state, CPU time in ms, name",
    options: &[],
    spec: "",
    count: 0..=0,
    run: ps,
}];

fn ps(sh: &mut Shell, _: &Opts<'_>) -> Done {
    writeln!(sh.out, "{:>5} {:>3} {:<8} {:>8}  NAME", "ID", "CPU", "STATE", "MS")?;
    for task in task::all() {
        let state = match task.state() {
            State::Running => "running",
            State::Ready => "ready",
            State::Waiting => "waiting",
            State::Done => "done",
        };
        let (id, cpu, ms) = (task.id(), task.cpu(), task.cpu_ns() / 1_000_000);
        writeln!(sh.out, "{id:>5} {cpu:>3} {state:<8} {ms:>8}  {}", task.name())?;
    }
    Ok(())
}
