//! A trace in the Chrome trace-event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.
//!
//! Each CPU is a group ("process") with a row ("thread") for each task that ran there: tasks take turns in
//! the middle of faults, so that slices of one row would not lie one inside the other. A fault is a slice,
//! and so is each wait for a lock inside it, a commit of a journal, and a shootdown from the question to the
//! last answer; arrows lead from there to the CPUs that answer. Everything else is an instant. Slices are
//! written as complete events, so each has its end: one whose end is not in the trace (the fault goes on, or
//! the record made way) lasts until the last record. A fault whose task moved is shown where it began.
//!
//! Reference: "Trace Event Format" (Google), phases X, i, s, f, M.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt::{self, Write};

use fs::dax::Fallback;
use fs::lab::Point;

use super::trace::StepRecord;
use crate::arch::time;

/// What takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum TraceSlice {
    Fault,
    Shared,
    Exclusive,
    Entry,
    Shootdown,
    Commit,
}

impl TraceSlice {
    fn name(self, begin: &StepRecord) -> &'static str {
        match self {
            Self::Fault if begin.step.arg & 1 != 0 => "write fault",
            Self::Fault => "read fault",
            Self::Shared => "wait: dax_sem, shared",
            Self::Exclusive => "wait: dax_sem, exclusive",
            Self::Entry => "wait: entry",
            Self::Shootdown => "shootdown",
            Self::Commit => "commit",
        }
    }
}

/// What a record is in the picture.
enum Phase {
    Begin(TraceSlice),
    End(TraceSlice),
    Answer,
    Instant,
}

fn role(point: Point) -> Phase {
    match point {
        Point::FaultBegin => Phase::Begin(TraceSlice::Fault),
        Point::FaultEnd => Phase::End(TraceSlice::Fault),
        Point::SharedWait => Phase::Begin(TraceSlice::Shared),
        Point::SharedLocked => Phase::End(TraceSlice::Shared),
        Point::ExclusiveWait => Phase::Begin(TraceSlice::Exclusive),
        Point::ExclusiveLocked => Phase::End(TraceSlice::Exclusive),
        Point::EntryWait => Phase::Begin(TraceSlice::Entry),
        Point::EntryLocked => Phase::End(TraceSlice::Entry),
        Point::ShootdownBegin => Phase::Begin(TraceSlice::Shootdown),
        Point::ShootdownEnd => Phase::End(TraceSlice::Shootdown),
        Point::ShootdownAnswer => Phase::Answer,
        Point::CommitBegin => Phase::Begin(TraceSlice::Commit),
        Point::CommitEnd => Phase::End(TraceSlice::Commit),
        _ => Phase::Instant,
    }
}

/// Where and when.
#[derive(Clone, Copy)]
struct Occurrence {
    cpu: usize,
    task: u32,
    ticks: u64,
}

impl Occurrence {
    /// Returns the process identifier of a CPU's group: not 0, which stands for the idle process.
    fn group(self) -> usize {
        self.cpu + 1
    }

    /// Returns the thread identifier of a row, which no other group has.
    fn row(self) -> u64 {
        self.group() as u64 * 1_000_000 + u64::from(self.task)
    }
}

impl From<&StepRecord> for Occurrence {
    fn from(record: &StepRecord) -> Self {
        Self { cpu: record.cpu, task: record.task, ticks: record.ticks }
    }
}

/// Writes events, with commas between them.
struct Events<'a> {
    out: &'a mut dyn Write,
    any: bool,
    first: u64,
    arrows: u64,
}

impl Events<'_> {
    /// Writes one event: its phase and name, where and when, and what else there is.
    fn event(&mut self, phase: char, name: &str, at: Occurrence, more: fmt::Arguments<'_>) -> fmt::Result {
        let comma = if self.any { "," } else { "" };
        self.any = true;
        let ns = time::to_ns(at.ticks.saturating_sub(self.first));
        let (us, rest) = (ns / 1000, ns % 1000);
        writeln!(
            self.out,
            "{comma}{{\"ph\":\"{phase}\",\"name\":\"{name}\",\"pid\":{},\"tid\":{},\"ts\":{us}.{rest:03}{more}}}",
            at.group(),
            at.row()
        )
    }

    fn slice(
        &mut self,
        slice: TraceSlice,
        begin: &StepRecord,
        end: u64,
        served: Option<bool>,
    ) -> fmt::Result {
        let ns = time::to_ns(end.saturating_sub(begin.ticks));
        let (us, rest) = (ns / 1000, ns % 1000);
        let (task, step) = (begin.task, begin.step);
        let served = fmt::from_fn(|f| served.map_or(Ok(()), |served| write!(f, ",\"served\":{served}")));
        let about = fmt::from_fn(|f| match slice {
            TraceSlice::Shootdown => write!(f, "\"page\":{},\"cpus\":{}", step.page, step.arg.count_ones()),
            TraceSlice::Commit => write!(f, "\"transaction\":{},\"blocks\":{}", step.page, step.arg),
            _ => write!(f, "\"inode\":{},\"page\":{}", step.ino, step.page),
        });
        self.event(
            'X',
            slice.name(begin),
            begin.into(),
            format_args!(",\"dur\":{us}.{rest:03},\"args\":{{\"task\":{task},{about}{served}}}"),
        )
    }

    fn instant(&mut self, record: &StepRecord) -> fmt::Result {
        let step = record.step;
        let arg = fmt::from_fn(|f| match (step.point, Fallback::ALL.get(step.arg as usize)) {
            (Point::Fallback, Some(why)) => write!(f, "\"{why}\""),
            _ => write!(f, "\"{:#x}\"", step.arg),
        });
        self.event(
            'i',
            step.point.name(),
            record.into(),
            format_args!(
                ",\"s\":\"t\",\"args\":{{\"task\":{},\"inode\":{},\"page\":{},\"arg\":{arg}}}",
                record.task, step.ino, step.page
            ),
        )
    }

    /// Writes that a shootdown which began as `asked` is answered as `answer` says.
    fn answer(&mut self, asked: Option<&StepRecord>, answer: &StepRecord) -> fmt::Result {
        let here = Occurrence::from(answer);
        let task = answer.task;
        self.event(
            'X',
            "shootdown answered",
            here,
            format_args!(",\"dur\":0.001,\"args\":{{\"task\":{task}}}"),
        )?;
        let Some(asked) = asked else { return Ok(()) };
        self.arrows += 1;
        let id = self.arrows;
        let from = Occurrence::from(asked);
        self.event('s', "asks", from, format_args!(",\"cat\":\"shootdown\",\"id\":{id}"))?;
        self.event('f', "asks", here, format_args!(",\"cat\":\"shootdown\",\"bp\":\"e\",\"id\":{id}"))
    }
}

/// Writes the trace; `lost` records made way for later ones.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, records: &[StepRecord], lost: usize) -> fmt::Result {
    writeln!(out, "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"lost\":{lost}}},\"traceEvents\":[")?;
    let first = records.first().map_or(0, |record| record.ticks);
    let last = records.last().map_or(0, |record| record.ticks);
    let mut events = Events { out, any: false, first, arrows: 0 };
    let rows: BTreeSet<(usize, u32)> = records.iter().map(|record| (record.cpu, record.task)).collect();
    for &(cpu, task) in &rows {
        let at = Occurrence { cpu, task, ticks: first };
        let name = format_args!(",\"args\":{{\"name\":\"CPU {cpu}\"}}");
        events.event('M', "process_name", at, name)?;
        let name = format_args!(",\"args\":{{\"name\":\"task {task}\"}}");
        events.event('M', "thread_name", at, name)?;
    }
    // Who is in the middle of what: a task; a shootdown belongs to its CPU.
    let mut open: BTreeMap<(u64, TraceSlice), &StepRecord> = BTreeMap::new();
    let who = |record: &StepRecord, slice| match (slice, record.task) {
        (TraceSlice::Shootdown, _) | (_, 0) => (1 << 32 | record.cpu as u64, slice),
        (_, task) => (u64::from(task), slice),
    };
    for record in records {
        match role(record.step.point) {
            Phase::Begin(slice) => {
                open.insert(who(record, slice), record);
            }
            Phase::End(slice) => {
                let served = (slice == TraceSlice::Fault).then_some(record.step.arg == 0);
                if let Some(begin) = open.remove(&who(record, slice)) {
                    events.slice(slice, begin, record.ticks, served)?;
                }
            }
            Phase::Answer => {
                let asked = open.get(&(1 << 32 | record.step.arg, TraceSlice::Shootdown)).copied();
                events.answer(asked, record)?;
            }
            Phase::Instant => events.instant(record)?,
        }
    }
    for ((_, slice), begin) in open {
        events.slice(slice, begin, last, None)?;
    }
    writeln!(events.out, "]}}")
}
