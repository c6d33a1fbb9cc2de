//! `exercise`: programs that strain the fault path, after what the descriptions of xfstests and ndctl say
//! their test programs do (no code is theirs). Each ends with a verdict; a violation, or a hang, is status 1.
//!
//! | file | what |
//! |---|---|
//! | this one | the command, the table, the watchdog |
//! | `kit.rs` | files, mappings, tasks that start together, answers |
//! | `direct.rs` | transfers by physical address, with pinned pages |
//! | the others | an exerciser each: what it does is told in its head |
//!
//! An exerciser is a function that does a round. It runs in a task with an address space of its own, with the
//! protocol that the file system is mounted with; its workers are tasks pinned to different CPUs. `--mutant`
//! makes one of the mistakes of [`fs::lab`] meanwhile: so each is seen to find something.

mod collision;
mod cow_race;
mod direct;
mod falloc_store;
mod holetest;
mod kit;
mod map_holes;
mod mapped_buffer;
mod pmd_check;
mod resync;
mod stale_pmd;
mod times;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use core::sync::atomic::Ordering::Relaxed;

use cli::opts::Opts;
use fs::lab::Mutant;

use super::super::Shell;
use super::super::command::{Command, CommandResult, Failure, On, complaint};
use crate::arch::{percpu, time};
use crate::mounts::Place;
use crate::steps::LAB;
use crate::task::{self, Builder, ExitStatus, TaskSpace};
use holetest::HoletestMode;
use kit::{Ctx, ExerciseProgress, RoundFailure, RoundResult};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "exercise",
    operands: "list | all | EXERCISE",
    about: "strain mapped files by several tasks at once, and tell whether all was as it must be",
    options: &[
        ("--rounds N", "do that many rounds; with all: of each"),
        ("--seconds N", "stop after so long"),
        ("--minutes N", "the same in minutes; with all: how long altogether (default 1)"),
        ("--seed N", "seed of the random numbers (default 1)"),
        ("--dir DIR", "where it makes its files (default /)"),
        ("--size PAGES", "holetest: pages of the file"),
        ("-F", "holetest: workers are processes"),
        ("-r", "holetest: every page is read first"),
        ("-w", "holetest: one worker uses write(2)"),
        ("-p", "holetest: private mappings; without -F, -r, -w, -p: all ways in turn"),
        ("--mutant MISTAKE", "make this mistake of the lab's meanwhile"),
        ("--watchdog SECONDS", "call it a hang if nothing happens for so long (default 60)"),
    ],
    spec: "Frwp rounds=n: seconds=s: minutes=m: seed=S: dir=d: size=z: mutant=M: watchdog=W:",
    count: 1..=1,
    run,
}];

/// An exerciser.
struct Exercise {
    name: &'static str,
    about: &'static str,
    /// Rounds, unless told otherwise: about a second's work.
    rounds: u64,
    round: fn(&Ctx) -> RoundResult,
}

const ALL: &[Exercise] = &[
    Exercise {
        name: "holetest",
        about: "two workers store to every page of a hole; modes -F -r -w -p",
        rounds: 24,
        round: holetest::round,
    },
    Exercise {
        name: "stale-pmd",
        about: "a hole mapped by a 2 MiB entry shows what write(2) puts there",
        rounds: 16,
        round: stale_pmd::round,
    },
    Exercise {
        name: "cow-race",
        about: "private mappings: load, store, madvise by two tasks",
        rounds: 6,
        round: cow_race::round,
    },
    Exercise {
        name: "mmap-collision",
        about: "direct transfers into a mapping against punch, zero, truncate, collapse",
        rounds: 8,
        round: collision::round,
    },
    Exercise {
        name: "fallocate-store",
        about: "a file grows by bytes, each stored through a mapping, beside fsync",
        rounds: 6,
        round: falloc_store::round,
    },
    Exercise {
        name: "map-holes",
        about: "stores through mappings against truncate, punch, zero",
        rounds: 12,
        round: map_holes::round,
    },
    Exercise {
        name: "mapped-buffer",
        about: "read(2) and write(2) whose buffer is a mapping",
        rounds: 8,
        round: mapped_buffer::round,
    },
    Exercise {
        name: "resync",
        about: "a store after fsync is tracked again",
        rounds: 8,
        round: resync::round,
    },
    Exercise {
        name: "pmd-check",
        about: "mremap, direct transfers, fork, mprotect on 2 MiB entries",
        rounds: 3,
        round: pmd_check::round,
    },
    Exercise {
        name: "times",
        about: "mtime and ctime change once for each write fault",
        rounds: 2,
        round: times::round,
    },
];

/// Returns the names of the exercisers.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|exercise| exercise.name)
}

/// What exercisers are told.
#[derive(Clone, Copy, Debug)]
struct Settings {
    seed: u64,
    mode: Option<HoletestMode>,
    size: Option<u64>,
}

impl Settings {
    /// Returns how many pages the file has, if somebody has said.
    fn pages(&self) -> Option<u64> {
        self.size
    }
}

/// When a run is over, and when it hangs.
#[derive(Clone, Copy, Debug)]
struct Limits {
    rounds: u64,
    /// Time at which no round begins any more, in ns.
    end: u64,
    /// Without a sign of life for so long the exerciser hangs, in nanoseconds.
    hang: u64,
}

const SECOND_NS: u64 = 1_000_000_000;
/// Who pressed Ctrl-C waits no longer than that.
const PATIENCE_NS: u64 = SECOND_NS / 2;

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let name = opts.operands().first().copied().unwrap_or_default();
    if name == "list" {
        return ALL.iter().try_for_each(|one| Ok(writeln!(sh.out, "{:<16} {}", one.name, one.about)?));
    }
    let one = ALL.iter().find(|one| one.name == name);
    if one.is_none() && name != "all" {
        return Err("no such exerciser; `exercise list` lists them").on(name);
    }
    let seconds = match (number(opts, 's')?, number(opts, 'm')?) {
        (Some(_), Some(_)) => return Err(complaint("--seconds and --minutes exclude each other")),
        (seconds, minutes) => seconds.or(minutes.map(|minutes| minutes.saturating_mul(60))),
    };
    if seconds == Some(0) {
        return Err(complaint("--seconds, --minutes: 1 at least"));
    }
    let rounds = number(opts, 'n')?;
    if rounds == Some(0) {
        return Err(complaint("--rounds: 1 at least"));
    }
    let flag = |letter| opts.has(letter);
    let mode = ['F', 'r', 'w', 'p'].iter().any(|letter| flag(*letter)).then(|| HoletestMode {
        processes: flag('F'),
        prefault: flag('r'),
        write: flag('w'),
        private: flag('p'),
    });
    if mode.is_some_and(|mode| mode.write && mode.private) {
        return Err(complaint("-w and -p exclude each other"));
    }
    let size = number(opts, 'z')?;
    if size.is_some_and(|pages| pages == 0 || pages > 1 << 20) {
        return Err(complaint("--size: 1 to 1048576 pages"));
    }
    if (mode.is_some() || size.is_some()) && !matches!(name, "holetest" | "all") {
        return Err(complaint("-F, -r, -w, -p and --size are for holetest"));
    }
    let settings = Settings { seed: number(opts, 'S')?.unwrap_or(1), mode, size };
    let dir_name = opts.value('d').unwrap_or("/");
    let dir = sh.find(dir_name)?;
    dir.file.expect_directory().on(dir_name)?;
    let mutants = opts.options().iter().filter(|(letter, _)| *letter == 'M').filter_map(|(_, name)| *name);
    let mutants: Result<alloc::vec::Vec<Mutant>, Failure> =
        mutants.map(|name| name.parse().map_err(|_| "no such mutant").on(name)).collect();
    let mutants = mutants?;
    // Without the mistakes, which are for the exercisers alone.
    kit::clear(&dir).on(dir_name)?;
    let _healed = Healed::new(&mutants);

    let start = time::monotonic_ns();
    let end = seconds.map(|seconds| start.saturating_add(seconds.saturating_mul(SECOND_NS)));
    let limits = Limits {
        rounds: rounds.unwrap_or(u64::MAX),
        end: end.unwrap_or(u64::MAX),
        hang: number(opts, 'W')?.unwrap_or(60).max(1).saturating_mul(SECOND_NS),
    };
    match one {
        Some(one) => {
            let default = if rounds.is_none() && end.is_none() { one.rounds } else { limits.rounds };
            exercise(sh, one, &dir, settings, 0, Limits { rounds: default, ..limits }, true).map(|_| ())
        }
        None => {
            let minute = if rounds.is_none() { start + 60 * SECOND_NS } else { u64::MAX };
            all(sh, &dir, settings, Limits { end: end.unwrap_or(minute), ..limits })
        }
    }
}

fn number(opts: &Opts<'_>, letter: char) -> Result<Option<u64>, Failure> {
    opts.value(letter).map(|text| text.parse().map_err(|_| "not a number").on(text)).transpose()
}

/// Mistakes that are made as long as the value lives.
struct Healed(bool);

impl Healed {
    fn new(mutants: &[Mutant]) -> Self {
        mutants.iter().for_each(|mutant| LAB.add(*mutant));
        Self(!mutants.is_empty())
    }
}

impl Drop for Healed {
    fn drop(&mut self) {
        if self.0 {
            LAB.heal();
        }
    }
}

/// Every exerciser in turn, until each has done its rounds, the time is up or one finds something.
fn all(sh: &mut Shell, dir: &Place, settings: Settings, limits: Limits) -> CommandResult {
    let start = time::monotonic_ns();
    let mut rounds = alloc::vec![0; ALL.len()];
    let mut told = start;
    let mut passes = 0;
    // Those that had no turn yet have one though the time is up.
    'passes: while passes == 0 || time::monotonic_ns() < limits.end {
        if rounds.iter().all(|done| *done >= limits.rounds) {
            break;
        }
        for (one, done) in ALL.iter().zip(&mut rounds) {
            if passes > 0 && time::monotonic_ns() >= limits.end {
                break 'passes;
            }
            let end = if passes == 0 { u64::MAX } else { limits.end };
            let limits = Limits { rounds: one.rounds.min(limits.rounds - *done), end, ..limits };
            let settings = Settings { seed: settings.seed.wrapping_add(passes), ..settings };
            *done += exercise(sh, one, dir, settings, *done, limits, false)?;
        }
        passes += 1;
        let now = time::monotonic_ns();
        if now - told > 60 * SECOND_NS {
            told = now;
            let sum: u64 = rounds.iter().sum();
            writeln!(sh.out, "{} min: {sum} rounds", (now - start) / SECOND_NS / 60)?;
            sh.out.flush()?;
        }
    }
    for (one, done) in ALL.iter().zip(&rounds) {
        writeln!(sh.out, "{:<16} {done:>9} rounds", one.name)?;
    }
    let sum: u64 = rounds.iter().sum();
    let seconds = (time::monotonic_ns() - start) / SECOND_NS;
    writeln!(sh.out, "all: {sum} rounds, {seconds} s, {}: OK", machine(dir))?;
    Ok(())
}

/// `2 CPUs, read-first`.
fn machine(dir: &Place) -> String {
    let cpus = percpu::online();
    format!("{cpus} {}, {}", if cpus == 1 { "CPU" } else { "CPUs" }, dir.mount.protocol())
}

/// Runs one exerciser, from round `first` on, and prints its verdict; with `tell`, also if all was well.
/// Returns how many rounds were done.
///
/// # Errors
/// It found something, and has said what; Ctrl-C.
fn exercise(
    sh: &mut Shell,
    one: &'static Exercise,
    dir: &Place,
    settings: Settings,
    first: u64,
    limits: Limits,
    tell: bool,
) -> Result<u64, Failure> {
    sh.out.flush()?;
    let progress = Arc::new(ExerciseProgress::default());
    let mut ctx = Ctx { dir: dir.clone(), settings, progress: progress.clone(), round: first };
    let body = move || {
        let last = first.saturating_add(limits.rounds);
        while ctx.round < last && time::monotonic_ns() < limits.end && !ctx.progress.stop.load(Relaxed) {
            if let Err(fail) = (one.round)(&ctx) {
                *ctx.progress.outcome.lock() = Some(fail);
                return ExitStatus::Code(1);
            }
            ctx.round += 1;
            ctx.progress.rounds.fetch_add(1, Relaxed);
            ctx.beat();
        }
        ExitStatus::SUCCESS
    };
    let name = format!("exercise {}", one.name);
    let builder = Builder { name: &name, space: TaskSpace::New, cpu: None };
    let task = task::spawn(builder, body).on(one.name)?;
    let hung = watch(sh, &task, &progress, limits.hang)?;

    let rounds = progress.rounds.load(Relaxed);
    let machine = machine(dir);
    let place = format!("round {} (seed {}, {machine})", first + rounds, settings.seed);
    let bad = match progress.outcome.lock().take() {
        _ if hung => Some(format!("HANG in {place}")),
        Some(RoundFailure::Violation(what)) => Some(format!("VIOLATION in {place}: {what}")),
        Some(RoundFailure::Cannot(why)) => Some(format!("NOT DONE in {place}: {why}")),
        Some(RoundFailure::Stopped) | None => None,
    };
    if let Some(what) = bad {
        writeln!(sh.out, "{}: {what}", one.name)?;
        if hung {
            for task in task::all() {
                let (id, cpu) = (task.id(), task.cpu());
                writeln!(sh.out, "  {id} CPU {cpu} {:?} {}", task.state(), task.name())?;
            }
        }
        sh.out.flush()?;
        return Err(Failure::Said);
    }
    if tell {
        write!(sh.out, "{}: {rounds} rounds, {machine}, seed {}", one.name, settings.seed)?;
        for (what, count) in progress.notes.lock().iter() {
            write!(sh.out, ", {what} {count}")?;
        }
        writeln!(sh.out, ": OK")?;
    }
    Ok(rounds)
}

/// Waits until the task has ended; `true` if it hangs instead. After Ctrl-C it ends soon; what does not is
/// left behind.
fn watch(
    sh: &mut Shell,
    task: &task::TaskRef,
    progress: &ExerciseProgress,
    hang: u64,
) -> Result<bool, Failure> {
    let (mut seen, mut since) = (0, time::monotonic_ns());
    let mut interrupted = None;
    while task.status().is_none() {
        if interrupted.is_none()
            && let Err(failure) = sh.out.poll()
        {
            progress.stop.store(true, Relaxed);
            interrupted = Some((failure, time::monotonic_ns()));
        }
        if let Some((failure, _)) = interrupted.take_if(|(_, at)| time::monotonic_ns() - *at > PATIENCE_NS) {
            return Err(failure);
        }
        let (beats, now) = (progress.beats.load(Relaxed), time::monotonic_ns());
        if beats != seen {
            (seen, since) = (beats, now);
        }
        if now - since > hang {
            // Nobody waits for it any more; should it go on after all, it ends soon.
            progress.stop.store(true, Relaxed);
            return Ok(true);
        }
        task::sleep_ns(5_000_000);
    }
    match interrupted {
        Some((failure, _)) => Err(failure),
        None => Ok(false),
    }
}
