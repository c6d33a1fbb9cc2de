//! `bench`: what each operation costs, inside the kernel.
//!
//! Operations on files are measured as a system call would do them, from a path or an open file to the result. A fault
//! is measured from the instruction before the access to the one after it: trap, look-up, page table, return.
//!
//! Each operation is done many times over, and once for all before that to warm up; the time-stamp counter is read
//! before and after, and what two readings alone take is taken off. With `--icount` (see `./qemu-run.sh --help`) the
//! figures are guest instructions, the same in every run; otherwise nanoseconds, which on an emulator say little.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the command, the clock, the table |
//! | [`files`] | names and open files |
//! | [`faults`] | page faults of 4 KiB |
//! | [`large`] | page faults of 2 MiB |
//! | [`mapped`] | msync, mmap, truncate |
//! | [`parallel`] | write faults on two CPUs |
//! | `area.rs` | a mapped file to measure on |

mod area;
mod faults;
mod files;
mod large;
mod mapped;
mod parallel;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::size;
use cli::table::{Align, Table};
use fs::dax::Protocol;
use fs::vfs::FileKind;

use super::super::command::{ANY, Command, Done, Failure, On, complaint};
use super::super::{Shell, task};
use crate::arch::time;
use crate::{fw_cfg, mounts};
use files::{find, make};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "bench",
    operands: "[OPERATION...]",
    about: "measure operations of the file system at / (in nanoseconds; with --icount: instructions)",
    options: &[
        ("-n N", "do each N times (1000; faults: 1024; of 2 MiB: 128)"),
        ("-p, --protocol PROTOCOL", "faults by this protocol, not the mount's"),
        ("--parallel", "write faults on one file by one CPU and by two"),
        ("-c, --csv", "values with commas"),
        ("-j, --json", "one JSON object a line"),
        ("-l", "list the operations"),
    ],
    spec: "n:p:cjl csv=c json=j protocol=p parallel=P",
    count: 0..=ANY,
    run: bench,
}];

/// Where the files are made.
const DIR: &[u8] = b"/.bench";

/// An operation: its name, what it is, and how it is measured.
struct Operation {
    name: &'static str,
    about: &'static str,
    run: Run,
}

/// How an operation is measured.
enum Run {
    /// So many times.
    Plain(fn(&Clock, usize) -> Result<Vec<u64>, Failure>),
    /// On a mapped file.
    Mapped(fn(&Setting) -> Result<Samples, Failure>),
}

/// What was measured, in the clock's unit.
struct Samples {
    values: Vec<u64>,
    /// What zeroing or copying the data takes that belongs to each, alone: the median.
    data: u64,
}

/// How mapped files are measured.
struct Setting {
    clock: Clock,
    /// How often, if somebody said it.
    count: Option<usize>,
    protocol: Protocol,
}

/// Reads the time, and knows what that takes.
struct Clock {
    /// Ticks between two readings of [`time::ticks`].
    overhead: u64,
    /// Ticks between the two readings around a task's access.
    around_access: u64,
    /// A tick is an instruction.
    instructions: bool,
}

impl Clock {
    fn new() -> Self {
        let least = |measure: &dyn Fn() -> u64| (0..64).map(|_| measure()).min().unwrap_or(0);
        let twice = || {
            let start = time::ticks();
            time::ticks() - start
        };
        let instructions = fw_cfg::asked_for("icount");
        Self { overhead: least(&twice), around_access: least(&task::timed_nothing), instructions }
    }

    /// What `work` takes, in nanoseconds or instructions, and what it returns.
    #[inline(always)]
    fn time<R>(&self, work: impl FnOnce() -> R) -> (u64, R) {
        let start = time::ticks();
        let result = work();
        let ticks = time::ticks() - start;
        (self.value(ticks.saturating_sub(self.overhead)), result)
    }

    fn value(&self, ticks: u64) -> u64 {
        if self.instructions { ticks } else { time::to_ns(ticks) }
    }

    /// What a load at `address` takes.
    fn load(&self, address: u64) -> Result<u64, Failure> {
        let ticks = task::timed_load(address).on("load")?;
        Ok(self.value(ticks.saturating_sub(self.around_access)))
    }

    /// What a store at `address` takes.
    fn store(&self, address: u64) -> Result<u64, Failure> {
        let ticks = task::timed_store(address, address).on("store")?;
        Ok(self.value(ticks.saturating_sub(self.around_access)))
    }
}

fn operations() -> impl Iterator<Item = &'static Operation> {
    [files::OPERATIONS, faults::OPERATIONS, large::OPERATIONS, mapped::OPERATIONS].into_iter().flatten()
}

/// The names of the operations.
pub(in super::super) fn names() -> impl Iterator<Item = &'static str> {
    operations().map(|operation| operation.name)
}

fn bench(sh: &mut Shell, opts: &Opts<'_>) -> Done {
    if opts.has('l') {
        for Operation { name, about, .. } in operations() {
            writeln!(sh.out, "{name:<16} {about}")?;
        }
        return Ok(());
    }
    let count = |text| match size::parse(text, 4096, 512).on(text)?.try_into() {
        Ok(count @ 1..=1_000_000_usize) => Ok(count),
        _ => Err(complaint("-n: between 1 and 1000000")),
    };
    let count = opts.value('n').map(count).transpose()?;
    let protocol = match opts.value('p') {
        None => mounts::protocol(&find(b"/")?),
        Some(name) => name.parse().map_err(|_| complaint(format_args!("{name}: no such protocol")))?,
    };
    let setting = Setting { clock: Clock::new(), count, protocol };
    if opts.has('P') {
        return parallel::run(sh, opts, &setting);
    }
    let wanted: Vec<&Operation> = if opts.operands().is_empty() {
        operations().collect()
    } else {
        let find = |name: &&str| operations().find(|operation| operation.name == *name);
        let all = opts.operands().iter();
        let all = all.map(|name| {
            find(name).ok_or_else(|| complaint(format_args!("{name}: no such operation (-l lists them)")))
        });
        all.collect::<Result<_, _>>()?
    };
    let mut report = Report::new(opts);
    report.start(sh)?;
    for operation in wanted {
        sh.out.poll()?;
        let samples = with_directory(|| match operation.run {
            Run::Plain(run) => {
                let values = run(&setting.clock, setting.count.unwrap_or(1000))?;
                Ok(Samples { values, data: 0 })
            }
            Run::Mapped(run) => run(&setting),
        });
        let samples = samples.map_err(|failure| match failure {
            Failure::Complaint(text) => complaint(format_args!("{}: {text}", operation.name)),
            other => other,
        })?;
        report.add(sh, operation.name, samples, setting.clock.instructions)?;
    }
    report.end(sh)
}

/// The figures, on their way out.
struct Report {
    csv: bool,
    json: bool,
    table: Table,
}

impl Report {
    fn new(opts: &Opts<'_>) -> Self {
        let numbers = [Align::Right; 6];
        let mut table = Table::new(&[&[Align::Left][..], &numbers].concat());
        table.row(["operation", "count", "min", "median", "p99", "data", "rest"]);
        Self { csv: opts.has('c'), json: opts.has('j'), table }
    }

    fn start(&self, sh: &mut Shell) -> Done {
        if self.csv {
            writeln!(sh.out, "operation,count,min,median,p99,data")?;
        }
        Ok(())
    }

    fn add(&mut self, sh: &mut Shell, name: &str, samples: Samples, instructions: bool) -> Done {
        let Samples { mut values, data } = samples;
        values.sort_unstable();
        let at = |share: usize| values.get((values.len() * share / 100).min(values.len() - 1)).copied();
        let [min, median, p99] = [0, 50, 99].map(|share| at(share).unwrap_or(0));
        let count = values.len();
        if self.csv {
            writeln!(sh.out, "{name},{count},{min},{median},{p99},{data}")?;
        } else if self.json {
            let unit = if instructions { "instructions" } else { "ns" };
            writeln!(
                sh.out,
                "{{\"operation\":\"{name}\",\"count\":{count},\"min\":{min},\"median\":{median},\"p99\":{p99},\
                 \"data\":{data},\"unit\":\"{unit}\"}}"
            )?;
        } else {
            let mut cells = [name.to_string(), count.to_string()].to_vec();
            cells.extend([min, median, p99].map(|value| value.to_string()));
            if data != 0 {
                // What is left when the data's own zeroing or copying is taken off.
                cells.extend([data, median.saturating_sub(data)].map(|value| value.to_string()));
            }
            self.table.row(cells);
        }
        Ok(())
    }

    fn end(&self, sh: &mut Shell) -> Done {
        if !self.csv && !self.json {
            write!(sh.out, "{}", self.table)?;
        }
        Ok(())
    }
}

/// Runs `work` with the directory there, and takes it away afterwards.
fn with_directory<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    make(DIR, FileKind::Directory)?;
    let result = work();
    let cleaned = remove_all();
    result.and_then(|result| cleaned.map(|()| result))
}

/// Removes what the operations left, and the directory.
fn remove_all() -> Done {
    let dir = find(DIR)?;
    let mut left = Vec::new();
    let each = &mut |entry: fs::vfs::DirEntry<'_>| {
        if entry.name != b"." && entry.name != b".." {
            left.push(entry.name.to_vec());
        }
        core::ops::ControlFlow::Continue(())
    };
    dir.read_dir(0, each).on("the directory")?;
    for name in left {
        dir.unlink(&name).or_else(|_| dir.rmdir(&name)).on("a file")?;
    }
    drop(dir);
    let (parent, name) = mounts::parent(None, DIR).on("the directory")?;
    parent.file.rmdir(name).on("the directory")
}
