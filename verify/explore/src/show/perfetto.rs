//! A run in the trace-event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.
//!
//! Each CPU is a group ("process"). Its first row holds operations, and inside them the locks that are held
//! and the waiting; a lock that is let go before one that was taken after it would cross that one, and is on
//! a row of its own. Other steps are instants; outside of every operation they are slices, for an arrow needs
//! a slice to hang on. Arrows lead from CPU to CPU where the run goes on with another one. A last group has a
//! row for each lock and each page-table entry: a slice says how it is until it changes. One visible step
//! takes 1 µs.
//!
//! Reference: "Trace Event Format" (Google), phases X, i, s, f, M.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::spans::{Sort, Span, spans};
use super::state::parts;
use super::{Kind, Trace};

/// The group of locks and page tables.
const STATES: usize = 1000;

/// Begin and end of something, in nanoseconds.
#[derive(Clone, Copy)]
struct Interval {
    begin: u64,
    end: u64,
}

/// When each step is: those with one number share its microsecond.
fn times(trace: &Trace) -> Vec<Interval> {
    let mut times: Vec<Interval> = Vec::new();
    for group in trace.steps.chunk_by(|a, b| a.number == b.number) {
        let last = times.last().map_or(0, |time| time.end);
        let first = group.first().map_or(0, |step| step.number * 1000).max(last);
        let count = group.len() as u64;
        let part = |part| first + 1000 * part / count;
        times.extend((0..count).map(|index| Interval { begin: part(index), end: part(index + 1) }));
    }
    times
}

/// Microseconds, as the format wants them.
fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// A slice that has no row yet.
struct Slice {
    time: Interval,
    name: String,
    args: Value,
}

/// Gives each slice the first row in which it lies wholly inside or outside of all others.
fn rows(mut slices: Vec<Slice>) -> Vec<(usize, Slice)> {
    slices.sort_by_key(|slice| (slice.time.begin, u64::MAX - slice.time.end));
    // The ends of those that go on, for each row, from the outermost inwards.
    let mut open: Vec<Vec<u64>> = Vec::new();
    let row_of = |slice: Slice| {
        let mut row = 0;
        loop {
            if row == open.len() {
                open.push(Vec::new());
            }
            open[row].retain(|&end| end > slice.time.begin);
            if open[row].last().is_none_or(|&end| slice.time.end <= end) {
                open[row].push(slice.time.end);
                return (row, slice);
            }
            row += 1;
        }
    };
    slices.into_iter().map(row_of).collect()
}

/// The number of a row: no other group has the same.
fn tid(cpu: usize, row: usize) -> usize {
    (cpu + 1) * 1000 + row
}

/// Writes the trace as JSON.
pub fn perfetto(trace: &Trace) -> String {
    let times = times(trace);
    let end = times.last().map_or(0, |time| time.end);
    let mut events = Vec::new();
    for (cpu, head) in trace.heads().iter().enumerate() {
        events.push(json!({"ph": "M", "name": "process_name", "pid": cpu + 1, "tid": tid(cpu, 0),
            "args": {"name": head}}));
        let placed = rows(slices(trace, &times, cpu));
        let last = placed.iter().map(|(row, _)| *row).max().unwrap_or(0);
        for row in 0..=last {
            let name =
                if row == 0 { format!("CPU {cpu}") } else { format!("CPU {cpu}: locks that cross others") };
            events.push(json!({"ph": "M", "name": "thread_name", "pid": cpu + 1, "tid": tid(cpu, row),
                "args": {"name": name}}));
        }
        events.extend(placed.into_iter().map(|(row, slice)| event(cpu + 1, tid(cpu, row), slice)));
    }
    instants(trace, &times, &mut events);
    switches(trace, &times, &mut events);
    states(trace, &times, end, &mut events);
    let other = json!({"replay": trace.story, "verdict": trace.verdict});
    json!({"displayTimeUnit": "ns", "otherData": other, "traceEvents": events}).to_string()
}

fn event(pid: usize, tid: usize, slice: Slice) -> Value {
    let Interval { begin, end } = slice.time;
    json!({"ph": "X", "name": slice.name, "pid": pid, "tid": tid, "ts": us(begin), "dur": us(end - begin),
        "args": slice.args})
}

/// What lasts on one CPU, and its steps outside of any operation.
fn slices(trace: &Trace, times: &[Interval], cpu: usize) -> Vec<Slice> {
    let end = times.last().map_or(0, |time| time.end);
    let spans = spans(trace);
    let slice = |span: &Span<'_>| {
        let until = span.last.map_or(end, |last| match span.sort {
            Sort::Waiting => times[last].begin,
            _ => times[last].end,
        });
        let (name, args) = match span.sort {
            Sort::Operation => {
                let result = span.last.map(|last| &trace.steps[last].what);
                (span.name.to_string(), json!({"result": result}))
            }
            Sort::Lock { shared } => (trace.steps[span.first].what.clone(), json!({"shared": shared})),
            Sort::Waiting => (format!("wait: {}", span.name), json!({"ended": span.last.is_some()})),
        };
        Slice { time: Interval { begin: times[span.first].begin, end: until }, name, args }
    };
    let mut slices: Vec<Slice> = spans.iter().filter(|span| span.cpu == cpu).map(slice).collect();
    for (index, inside) in trace.inside().into_iter().enumerate() {
        let step = &trace.steps[index];
        let begins = spans.iter().any(|span| span.first == index);
        let ends = step.kind == Kind::Ends && spans.iter().any(|span| span.last == Some(index));
        if step.cpu == cpu && !inside && !begins && !ends {
            slices.push(Slice { time: times[index], name: step.text(), args: json!({"state": step.state}) });
        }
    }
    slices
}

/// Steps inside an operation that last for no time.
fn instants(trace: &Trace, times: &[Interval], events: &mut Vec<Value>) {
    for ((step, inside), time) in trace.steps.iter().zip(trace.inside()).zip(times) {
        if !inside || matches!(step.kind, Kind::Lock | Kind::Waits) {
            continue;
        }
        // A line through all rows where it went wrong.
        let scope = if step.kind == Kind::Wrong { "g" } else { "t" };
        events.push(json!({"ph": "i", "name": step.text(), "pid": step.cpu + 1, "tid": tid(step.cpu, 0),
            "ts": us(time.begin), "s": scope, "args": {"step": step.number, "state": step.state}}));
    }
}

/// An arrow where the run goes on with another CPU.
fn switches(trace: &Trace, times: &[Interval], events: &mut Vec<Value>) {
    for (index, pair) in trace.steps.windows(2).enumerate() {
        let [from, to] = pair else { continue };
        if from.cpu == to.cpu {
            continue;
        }
        let mut arrow = |phase: &str, cpu: usize, at: u64| {
            events.push(json!({"ph": phase, "name": "switch", "cat": "switch", "id": index + 1, "bp": "e",
                "pid": cpu + 1, "tid": tid(cpu, 0), "ts": us(at)}));
        };
        let time = times[index];
        arrow("s", from.cpu, time.begin.midpoint(time.end));
        arrow("f", to.cpu, times[index + 1].begin);
    }
}

/// How each lock and each page-table entry is, and until when.
fn states(trace: &Trace, times: &[Interval], end: u64, events: &mut Vec<Value>) {
    let mut open: BTreeMap<&str, (usize, u64, &str)> = BTreeMap::new();
    let mut done: Vec<(usize, u64, u64, &str)> = Vec::new();
    for (step, time) in trace.steps.iter().zip(times) {
        for (name, part) in parts(&step.state) {
            let row = open.len();
            let (row, since, was) = *open.entry(name).or_insert((row, time.begin, part));
            if was != part {
                done.push((row, since, time.begin, was));
                open.insert(name, (row, time.begin, part));
            }
        }
    }
    if open.is_empty() {
        return;
    }
    let named = |kind: &str, row: usize, name: &str| json!({"ph": "M", "name": kind, "pid": STATES, "tid": tid(STATES, row), "args": {"name": name}});
    events.push(named("process_name", 0, "locks and page tables"));
    events.extend(open.iter().map(|(name, (row, ..))| named("thread_name", *row, name)));
    done.extend(open.into_values().map(|(row, since, part)| (row, since, end, part)));
    for (row, since, until, part) in done {
        let slice = Slice { time: Interval { begin: since, end: until }, name: part.into(), args: json!({}) };
        events.push(event(STATES, tid(STATES, row), slice));
    }
}
