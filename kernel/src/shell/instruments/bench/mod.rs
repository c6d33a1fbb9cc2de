//! `bench`: what each operation costs, inside the kernel.
//!
//! Operations on files are measured as a system call would do them, from a path or an open file to the
//! result. A fault is measured from the instruction before the access to the one after it: trap, look-up,
//! page table, return.
//!
//! Each operation is done many times over, and once for all before that to warm up; the time-stamp counter is
//! read before and after, and what two readings alone take is taken off. With `--icount` (see
//! `./qemu-run.sh --help`) the figures are guest instructions, the same in every run; otherwise nanoseconds,
//! which on an emulator say little.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the command, the clock, the table |
//! | [`files`] | names and open files |
//! | [`faults`] | page faults of 4 KiB |
//! | [`large`] | page faults of 2 MiB |
//! | [`mapped`] | msync, mmap, truncate |
//! | [`parallel`] | write faults on two CPUs |
//! | `mapping.rs` | a mapped file to measure on |
//! | `report.rs` | the figures, on their way out |

mod faults;
mod files;
mod large;
mod mapped;
mod mapping;
mod parallel;
mod report;

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;
use core::sync::atomic::AtomicBool;

use cli::opts::Opts;
use cli::size;
use fs::dax::Protocol;
use fs::vfs::FileKind;

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::{Shell, task};
use crate::arch::time;
use crate::lab::Alone;
use crate::{fw_cfg, mounts};
use files::{find, make};
use report::BenchReport;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "bench",
    operands: "[OPERATION...]",
    about: "measure operations of the file system at / (in nanoseconds; with --icount: instructions)",
    options: &[
        ("-n N", "do each N times (1000; faults: 1024; of 2 MiB: 128)"),
        (
            "-p, --protocol PROTOCOL",
            "faults by this protocol, not the mount's; several: each, and the ratio to the first",
        ),
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

/// Two would measure each other, in one directory.
static BUSY: AtomicBool = AtomicBool::new(false);

/// An operation: its name, what it is, and how it is measured.
struct Operation {
    name: &'static str,
    about: &'static str,
    run: BenchMethod,
}

/// How an operation is measured.
enum BenchMethod {
    /// So many times.
    Plain(fn(&BenchClock<'_>, usize) -> Result<Vec<u64>, Failure>),
    /// On a mapped file.
    Mapped(fn(&BenchSetting<'_>) -> Result<Samples, Failure>),
}

/// What was measured, in the clock's unit.
struct Samples {
    values: Vec<u64>,
    /// What zeroing or copying the data takes that belongs to each, alone: the median.
    data: u64,
}

/// How mapped files are measured.
struct BenchSetting<'a> {
    clock: BenchClock<'a>,
    /// How often, if somebody said it.
    count: Option<usize>,
    protocol: Protocol,
}

/// Reads the time, and knows what that takes; looks at the keyboard now and then, between what is measured.
struct BenchClock<'a> {
    shell: RefCell<&'a mut Shell>,
    /// When the clock looks at the keyboard again, in nanoseconds.
    look: Cell<u64>,
    /// Ticks between two readings of [`time::ticks`].
    overhead: u64,
    /// Ticks between the two readings around a task's access.
    around_access: u64,
    /// A tick is an instruction.
    instructions: bool,
}

impl<'a> BenchClock<'a> {
    fn new(sh: &'a mut Shell) -> Self {
        let least = |measure: &dyn Fn() -> u64| (0..64).map(|_| measure()).min().unwrap_or(0);
        let twice = || {
            let start = time::ticks();
            time::ticks() - start
        };
        let instructions = fw_cfg::asked_for("icount");
        let (overhead, around_access) = (least(&twice), least(&task::timed_nothing));
        Self { shell: RefCell::new(sh), look: Cell::new(0), overhead, around_access, instructions }
    }

    /// Prepares for an operation's measurements. Where instructions are counted, the time of day has just
    /// been worked out: otherwise chance would say which of the measured times of change has to do it.
    fn start(&self) {
        if self.instructions {
            time::await_coarse();
        }
    }

    /// Looks whether Ctrl-C was pressed. Whatever goes on for long calls it, outside of what is measured.
    fn go_on(&self) -> CommandResult {
        const EVERY_NS: u64 = 5_000_000;
        let now = time::monotonic_ns();
        if now < self.look.get() {
            return Ok(());
        }
        self.look.set(now + EVERY_NS);
        self.shell.borrow_mut().out.poll()
    }

    /// Returns what `work` takes, in nanoseconds or instructions, and what it returns.
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

    /// Returns what a load at `address` takes, in nanoseconds or instructions.
    fn load(&self, address: u64) -> Result<u64, Failure> {
        let ticks = task::timed_load(address).on("load")?;
        Ok(self.value(ticks.saturating_sub(self.around_access)))
    }

    /// Returns what a store at `address` takes, in nanoseconds or instructions.
    fn store(&self, address: u64) -> Result<u64, Failure> {
        let ticks = task::timed_store(address, address).on("store")?;
        Ok(self.value(ticks.saturating_sub(self.around_access)))
    }
}

fn operations() -> impl Iterator<Item = &'static Operation> {
    [files::OPERATIONS, faults::OPERATIONS, large::OPERATIONS, mapped::OPERATIONS].into_iter().flatten()
}

/// Returns the names of the operations.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    operations().map(|operation| operation.name)
}

fn bench(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
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
    let protocols = protocols(opts)?;
    if opts.has('c') && opts.has('j') {
        return Err(complaint("--csv and --json exclude each other"));
    }
    let _alone = Alone::new(&BUSY).ok_or_else(|| complaint("another bench is running"))?;
    let mut setting = BenchSetting { clock: BenchClock::new(sh), count, protocol: protocols[0] };
    if opts.has('P') {
        let protocols = if opts.has('p') { &protocols } else { &Protocol::SOUND[..] };
        return parallel::run(opts, &setting, protocols);
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
    let mut report = BenchReport::new(opts, &protocols, setting.clock.instructions)?;
    report.start(&mut setting.clock.shell.borrow_mut())?;
    for operation in wanted {
        for &protocol in &protocols {
            setting.protocol = protocol;
            let measured = with_directory(|| {
                setting.clock.start();
                match operation.run {
                    BenchMethod::Plain(run) => {
                        let values = run(&setting.clock, setting.count.unwrap_or(1000))?;
                        Ok(Samples { values, data: 0 })
                    }
                    BenchMethod::Mapped(run) => run(&setting),
                }
            });
            let samples = measured.map_err(|failure| match failure {
                Failure::Complaint(text) => complaint(format_args!("{}: {text}", operation.name)),
                other => other,
            })?;
            report.add(&mut setting.clock.shell.borrow_mut(), operation.name, protocol, samples)?;
        }
    }
    report.end(&mut setting.clock.shell.borrow_mut())
}

/// The protocols that are to be measured: those that were said, or the mount's.
fn protocols(opts: &Opts<'_>) -> Result<Vec<Protocol>, Failure> {
    let mut protocols = Vec::new();
    for name in opts.options().iter().filter(|(letter, _)| *letter == 'p').filter_map(|(_, name)| *name) {
        let protocol = name.parse().map_err(|_| complaint(format_args!("{name}: no such protocol")))?;
        if !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    if protocols.is_empty() {
        protocols.push(mounts::protocol(&find(b"/")?, &mounts::steady()));
    }
    Ok(protocols)
}

/// Runs `work` with bench's directory there, and takes the directory away afterwards.
fn with_directory<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    // A run that was cut off has left it, and files in it.
    if mounts::walk(None, DIR, true).is_ok() {
        remove_all()?;
    }
    make(DIR, FileKind::Directory)?;
    let result = work();
    let cleaned = remove_all();
    result.and_then(|result| cleaned.map(|()| result))
}

/// Removes what the operations left, and the directory.
fn remove_all() -> CommandResult {
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
