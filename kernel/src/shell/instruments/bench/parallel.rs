//! `bench --parallel`: how many write faults on one file two CPUs serve in a second, and how many one does.
//!
//! One and two CPUs take turns, round by round, so that whatever else the machine does meets both. Two tasks
//! share an address space and have a half of the file each.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use cli::opts::Opts;
use cli::table::{CellAlign, Table};
use fs::PAGE_SIZE;
use fs::dax::Protocol;

use super::super::super::command::{CommandResult, Failure, On, complaint};
use super::mapping::{MappingKind, clean, empty, map, sparse, written};
use super::report::{Where, deviation, median, ratio};
use super::{BenchSetting, with_directory};
use crate::arch::{percpu, time};
use crate::entry::user_access;
use crate::machine::File;
use crate::mm::aspace::AddressSpace;
use crate::task::{self, Builder, ExitStatus, TaskSpace};

/// Rounds whose medians count, unless somebody says another number.
const ROUNDS: usize = 7;
/// Pages of the measured file.
const PAGES: usize = 4096;

/// What is measured: its name, how the file is made, and made ready again.
type ParallelCase = (&'static str, fn(u64) -> Result<File, Failure>, fn(&File) -> CommandResult);

const KINDS: [ParallelCase; 2] = [("write-hole", sparse, empty), ("write-block", written, clean)];

/// Runs the measurement for each of `protocols`.
pub(super) fn run(opts: &Opts<'_>, setting: &BenchSetting<'_>, protocols: &[Protocol]) -> CommandResult {
    if percpu::online() < 2 {
        return Err(complaint("--parallel needs two CPUs (./qemu-run.sh --smp 2)"));
    }
    if let Some(operation) = opts.operands().first() {
        return Err(complaint(format_args!("{operation}: --parallel measures its own two operations")));
    }
    let place = Where::new()?;
    let mut table = Table::new(&[&[CellAlign::Left; 2][..], &[CellAlign::Right; 7]].concat());
    table.row(["operation", "protocol", "n", "one CPU", "mad", "two CPUs", "mad", "ratio", "of medians"]);
    if opts.has('c') {
        let head = "operation,protocol,one,two,ratio,n,one_mad,two_mad,ratio_of_medians,device,image,cpus";
        writeln!(setting.clock.shell.borrow_mut().out, "{head}")?;
    }
    for (name, make, prepare) in KINDS {
        for &protocol in protocols {
            let rates = with_directory(|| measure(setting, protocol, make, prepare))?;
            let n = rates.len();
            let [(one, one_mad), (two, two_mad)] = [0, 1].map(|which: usize| {
                let mut values: Vec<u64> = rates.iter().map(|rate| rate[which]).collect();
                let middle = median(&mut values);
                (middle, deviation(&values, middle))
            });
            let mut ratios: Vec<u64> = rates.iter().map(|[one, two]| two * 100 / one.max(&1)).collect();
            let (of_rounds, of_medians) = (ratio(median(&mut ratios), 100), ratio(two, one));
            let out = &mut setting.clock.shell.borrow_mut().out;
            if opts.has('c') {
                let place = place.csv();
                writeln!(
                    out,
                    "{name},{protocol},{one},{two},{of_rounds},{n},{one_mad},{two_mad},{of_medians},{place}"
                )?;
            } else if opts.has('j') {
                let place = place.json();
                writeln!(
                    out,
                    "{{\"operation\":\"{name}\",\"protocol\":\"{protocol}\",\"one\":{one},\"two\":{two},\
                     \"ratio\":{of_rounds},\"n\":{n},\"one_mad\":{one_mad},\"two_mad\":{two_mad},\
                     \"ratio_of_medians\":{of_medians},\"unit\":\"faults/s\",{place}}}"
                )?;
            } else {
                let numbers = [n as u64, one, one_mad, two, two_mad].map(|number| number.to_string());
                let cells = [&[name.into(), protocol.to_string()][..], &numbers, &[of_rounds, of_medians]];
                table.row(cells.concat());
            }
        }
    }
    if !opts.has('c') && !opts.has('j') {
        let out = &mut setting.clock.shell.borrow_mut().out;
        let about = "faults in a second, medians of n rounds with their median absolute deviation (mad)";
        write!(out, "{about}; ratio: the median of the rounds' ratios\n{}\n{table}", place.text())?;
    }
    Ok(())
}

/// Faults in a second on one CPU and on two, a pair for each round; a round before them warms up.
fn measure(
    setting: &BenchSetting<'_>,
    protocol: Protocol,
    make: fn(u64) -> Result<File, Failure>,
    prepare: fn(&File) -> CommandResult,
) -> Result<Vec<[u64; 2]>, Failure> {
    let pages = setting.pages(setting.wanted(PAGES))? & !1;
    let file = make(pages.max(2))?;
    let mut rates = Vec::new();
    for round in 0..=ROUNDS {
        let mut pair = [0; 2];
        for (rate, cpus) in pair.iter_mut().zip([1, 2]) {
            setting.clock.go_on()?;
            prepare(&file)?;
            let ns = store_to_all(&file, protocol, cpus)?;
            *rate = file.attr().size / PAGE_SIZE * 1_000_000_000 / ns.max(1);
        }
        if round > 0 {
            rates.push(pair);
        }
    }
    Ok(rates)
}

/// Stores to each page of `file`, with `cpus` tasks on as many CPUs; the nanoseconds from the first one's
/// start to the last one's end.
fn store_to_all(file: &File, protocol: Protocol, cpus: usize) -> Result<u64, Failure> {
    let space = Arc::new(AddressSpace::new().on("address space")?);
    let (start, len) = (map(&space, file, MappingKind::Small, protocol)?, file.attr().size);
    // Everybody stands ready before anybody starts.
    let ready = Arc::new(AtomicUsize::new(0));
    let (share, mut tasks) = (len / cpus as u64, Vec::new());
    for (number, cpu) in percpu::all().filter(|cpu| cpu.is_online()).take(cpus).enumerate() {
        let from = start + share * number as u64;
        let (gate, span) = (ready.clone(), Arc::new([const { AtomicU64::new(0) }; 2]));
        let (name, space) = ("bench", TaskSpace::Shared(space.clone()));
        let times = span.clone();
        let body = move || {
            gate.fetch_add(1, Ordering::SeqCst);
            while gate.load(Ordering::SeqCst) < cpus {
                core::hint::spin_loop();
            }
            times[0].store(time::ticks(), Ordering::Relaxed);
            for page in (from..from + share).step_by(PAGE_SIZE as usize) {
                if let Err(fault) = user_access::store_u64(page, page) {
                    return fault.into();
                }
            }
            times[1].store(time::ticks(), Ordering::Relaxed);
            ExitStatus::SUCCESS
        };
        let task = task::spawn(Builder { name, space, cpu: Some(cpu.number()) }, body);
        if task.is_err() {
            // Those that stand ready wait for nobody else.
            ready.fetch_add(cpus, Ordering::SeqCst);
        }
        tasks.push((task, span));
    }
    let mut span = (u64::MAX, 0);
    let mut outcome = Ok(());
    for (task, times) in tasks {
        let ended = task.on("task").and_then(|task| match task.join() {
            ExitStatus::SUCCESS => Ok(()),
            other => Err(complaint(other)),
        });
        outcome = outcome.and(ended);
        let [from, to] = [0, 1].map(|at: usize| times[at].load(Ordering::Relaxed));
        span = (span.0.min(from), span.1.max(to));
    }
    outcome?;
    Ok(time::to_ns(span.1.saturating_sub(span.0)))
}
