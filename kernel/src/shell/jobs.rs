//! Commands in tasks of their own: `run CMD`, `CMD &`, `wait`.
//!
//! Such a command has a shell of its own, with the same current directory, and an address space of its own.
//! Its output comes in whole lines. Its status is 0 or 1; one that an access ended has that of a program
//! killed by SIGSEGV or SIGBUS (139, 135).

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use cli::opts::Opts;
use cli::words::{AndOrList, Join};

use super::command::{CommandResult, Failure, On};
use super::output::Output;
use super::script::Simple;
use super::{Shell, find};
use crate::sync::IrqLock;
use crate::task::{self, Builder, ExitStatus, Signal, TaskRef, TaskSpace};

/// How often a waiting shell looks at the keyboard.
const LOOK_NS: u64 = 10_000_000;

/// A command that runs beside the shell.
pub(super) struct Job {
    task: TaskRef,
    /// Set to end the job, as by Ctrl-C.
    stop: Arc<AtomicBool>,
}

impl Shell {
    /// Starts a list in a task; nobody waits for it. `run [-c CPU]` before a command is looked through.
    pub(super) fn start_job(&mut self, list: &AndOrList) -> CommandResult {
        let job = match &list.pipelines[..] {
            [pipeline] if pipeline.commands.len() == 1 => {
                let command = &pipeline.commands[0];
                let mut simple = self.expand(command)?;
                let Some((name, args)) = simple.words.split_first() else { return Ok(()) };
                let command = find(name).ok_or(Failure::Unknown)?;
                let opts = command.parse(args)?;
                let mut on = None;
                if name == "run" {
                    (on, simple.words) = (cpu(&opts)?, owned(opts.operands()));
                }
                self.spawn(on, Work::Command(simple))?.0
            }
            _ => self.spawn(None, Work::List(list.clone()))?.0,
        };
        if self.interactive {
            writeln!(self.out, "[{}]", job.task.id())?;
        }
        self.jobs.push(job);
        self.out.finish()
    }

    /// Runs `run [-c CPU] COMMAND...` and waits for the command.
    pub(super) fn run_as_task(&mut self, opts: &Opts<'_>) -> CommandResult {
        let words = owned(opts.operands());
        let (job, kept) = self.spawn(cpu(opts)?, Work::Command(Simple { words, ..Simple::default() }))?;
        let status = self.join(&job)?;
        let kept = core::mem::take(&mut *kept.lock());
        self.out.bytes(&kept)?;
        match status {
            ExitStatus::Code(0) => Ok(()),
            _ => Err(Failure::Said),
        }
    }

    /// Waits for the jobs with these numbers, or all, and prints a line for each: its number, status and
    /// command.
    pub(super) fn wait_for_jobs(&mut self, ids: &[&str]) -> CommandResult {
        let mut jobs = Vec::new();
        if ids.is_empty() {
            jobs = core::mem::take(&mut self.jobs);
        }
        for id in ids {
            let of = |job: &Job| id.parse() == Ok(job.task.id());
            let at = self.jobs.iter().position(of).ok_or("no such task was started here").on(id)?;
            jobs.push(self.jobs.remove(at));
        }
        let mut all_well = true;
        for job in jobs {
            let status = self.join(&job)?;
            all_well &= status == ExitStatus::SUCCESS;
            let (id, name) = (job.task.id(), job.task.name());
            match status {
                ExitStatus::Code(code) => writeln!(self.out, "{id} exit {code} {name}")?,
                ExitStatus::Killed(signal, _) => {
                    writeln!(self.out, "{id} exit {} ({signal}) {name}", status_code(signal))?;
                }
            }
        }
        if all_well { Ok(()) } else { Err(Failure::Said) }
    }

    /// Ends what somebody at a keyboard has left running, and lets a script's jobs finish, before the shell
    /// leaves.
    pub(super) fn end_jobs(&mut self) {
        for job in core::mem::take(&mut self.jobs) {
            if self.interactive {
                job.stop.store(true, Ordering::Relaxed);
            }
            job.task.join();
        }
    }

    /// Waits for a job. Ctrl-C ends it, and so does what ends us, if we are a task.
    fn join(&mut self, job: &Job) -> Result<ExitStatus, Failure> {
        self.out.flush()?;
        while (self.interactive || self.out.is_task()) && job.task.status().is_none() {
            if let Err(failure) = self.out.poll() {
                job.stop.store(true, Ordering::Relaxed);
                job.task.join();
                return Err(failure);
            }
            task::sleep_ns(LOOK_NS);
        }
        Ok(job.task.join())
    }

    /// Starts a task; what the command that runs would read, it reads. What it writes, if our output is kept
    /// for somebody, is in the second when it has ended.
    fn spawn(&mut self, cpu: Option<usize>, work: Work) -> Result<(Job, Kept), Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut shell = Self::new(false);
        shell.out = Output::of_task(stop.clone());
        if self.out.is_kept() {
            shell.out.swap_pipe(Some(Vec::new()));
        }
        (shell.cwd, shell.here) = (self.cwd.clone(), self.here.clone());
        (shell.variables, shell.status) = (self.variables.clone(), self.status);
        shell.input = self.input.take();
        let name = work.to_string();
        let builder = Builder { name: &name, space: TaskSpace::New, cpu };
        let kept: Kept = Arc::new(IrqLock::new(Vec::new()));
        let keeps = kept.clone();
        let body = move || {
            let status = shell.run_alone(&work);
            let written = shell.out.swap_pipe(None).unwrap_or_default();
            *keeps.lock() = written;
            status
        };
        let task = task::spawn(builder, body)
            .on(&cpu.map_or_else(|| String::from("task"), |cpu| alloc::format!("CPU {cpu}")))?;
        Ok((Job { task, stop }, kept))
    }

    /// Does one thing, as all that a task does.
    fn run_alone(&mut self, work: &Work) -> ExitStatus {
        let outcome = match work {
            Work::Command(simple) => self.run_reported(simple),
            Work::List(list) => self.run_list(list),
        };
        match outcome {
            Ok(()) => ExitStatus::Code(u8::from(self.leave == Some(false))),
            Err(Failure::Fault(why)) => {
                let signal = task::try_current().and_then(task::Task::signal).unwrap_or(Signal::Segv);
                ExitStatus::Killed(signal, why)
            }
            Err(_) => ExitStatus::Code(1),
        }
    }
}

/// What a task has written for somebody.
type Kept = Arc<IrqLock<Vec<u8>>>;

/// What a task does.
enum Work {
    Command(Simple),
    List(AndOrList),
}

/// The work as `ps` shows it.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self {
            Self::Command(simple) => return f.write_str(&simple.words.join(" ")),
            Self::List(list) => list,
        };
        for pipeline in &list.pipelines {
            f.write_str(match pipeline.join {
                Join::Always => "",
                Join::IfWell => " && ",
                Join::IfNot => " || ",
            })?;
            let sources: Vec<&str> = pipeline.commands.iter().map(|command| &*command.source).collect();
            f.write_str(&sources.join(" | "))?;
        }
        Ok(())
    }
}

fn status_code(signal: Signal) -> u8 {
    ExitStatus::Killed(signal, String::new()).code()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| String::from(*word)).collect()
}

/// The value of `-c`.
fn cpu(opts: &Opts<'_>) -> Result<Option<usize>, Failure> {
    opts.value('c').map(|cpu| cpu.parse().map_err(|_| "not the number of a CPU").on(cpu)).transpose()
}
