//! Commands in tasks of their own: `run CMD`, `CMD &`, `wait`.
//!
//! Such a command has a shell of its own, with the same current directory, and an address space of its own. Its output
//! comes in whole lines. Its status is 0 or 1; one that an access ended has that of a program killed by SIGSEGV or SIGBUS
//! (139, 135).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use cli::opts::Opts;
use cli::words::Redirect;

use super::command::{Done, Failure, On, complaint};
use super::output::Output;
use super::{Shell, find};
use crate::task::{self, Builder, ExitStatus, Signal, Space, TaskRef};

/// How often a waiting shell looks at the keyboard.
const LOOK_NS: u64 = 10_000_000;

/// A command that runs beside the shell.
pub(super) struct Job {
    task: TaskRef,
    /// Set to end it, as by Ctrl-C.
    stop: Arc<AtomicBool>,
}

impl Shell {
    /// Starts `words` in a task; nobody waits for it. `run [-c CPU]` before them is looked through.
    pub(super) fn start_job(&mut self, words: &[String], redirect: Option<&Redirect>) -> Done {
        let Some((name, args)) = words.split_first() else { return Ok(()) };
        let command = find(name).ok_or_else(|| complaint("command not found"))?;
        let opts = command.parse(args)?;
        let job = match name.as_str() {
            "run" => self.spawn(cpu(&opts)?, &owned(opts.operands()), redirect)?,
            _ => self.spawn(None, words, redirect)?,
        };
        if self.interactive {
            writeln!(self.out, "[{}]", job.task.id())?;
        }
        self.jobs.push(job);
        self.out.finish()
    }

    /// `run [-c CPU] COMMAND...`, waited for.
    pub(super) fn run_as_task(&mut self, opts: &Opts<'_>) -> Done {
        let job = self.spawn(cpu(opts)?, &owned(opts.operands()), None)?;
        match self.join(&job)? {
            ExitStatus::Code(0) => Ok(()),
            _ => Err(Failure::Said),
        }
    }

    /// Waits for the jobs with these numbers, or all, and prints a line for each: its number, status and command.
    pub(super) fn wait_for_jobs(&mut self, ids: &[&str]) -> Done {
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

    /// The shell leaves: ends what somebody at a keyboard has left running, lets a script's jobs finish.
    pub(super) fn end_jobs(&mut self) {
        for job in core::mem::take(&mut self.jobs) {
            if self.interactive {
                job.stop.store(true, Ordering::Relaxed);
            }
            job.task.join();
        }
    }

    /// Waits for a job. Ctrl-C ends it.
    fn join(&mut self, job: &Job) -> Result<ExitStatus, Failure> {
        self.out.flush()?;
        while self.interactive && job.task.status().is_none() {
            if let Err(failure) = self.out.poll() {
                job.stop.store(true, Ordering::Relaxed);
                job.task.join();
                return Err(failure);
            }
            task::sleep_ns(LOOK_NS);
        }
        Ok(job.task.join())
    }

    fn spawn(
        &self,
        cpu: Option<usize>,
        words: &[String],
        redirect: Option<&Redirect>,
    ) -> Result<Job, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut shell = Self::new(false);
        shell.out = Output::of_task(stop.clone());
        (shell.cwd, shell.here) = (self.cwd.clone(), self.here.clone());
        let (command, redirect) = (words.to_vec(), redirect.cloned());
        let builder = Builder { name: &words.join(" "), space: Space::New, cpu };
        let task = task::spawn(builder, move || shell.run_alone(&command, redirect.as_ref()))
            .on(&cpu.map_or_else(|| String::from("task"), |cpu| alloc::format!("CPU {cpu}")))?;
        Ok(Job { task, stop })
    }

    /// Runs one command, as all that a task does.
    fn run_alone(&mut self, words: &[String], redirect: Option<&Redirect>) -> ExitStatus {
        let Err(failure) = self.run_command(words, redirect) else {
            return ExitStatus::Code(u8::from(self.leave == Some(false)));
        };
        let status = match &failure {
            Failure::Fault(why) => {
                let signal = task::try_current().and_then(task::Task::signal).unwrap_or(Signal::Segv);
                ExitStatus::Killed(signal, why.clone())
            }
            _ => ExitStatus::Code(1),
        };
        // A task that was told to stop has been talked about.
        if !matches!(failure, Failure::Interrupted) {
            self.report(words.first().map_or("", String::as_str), failure);
        }
        status
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
