//! A run as text: a column for each CPU, so that who runs is seen from where a line stands, as in the RFC.

use std::fmt::Write;

use super::state::PartStates;
use super::text::{fit, wrap};
use super::{Kind, ShownStep, Trace};

/// Between columns.
const GAP: usize = 2;
/// No column is made narrower.
const LEAST: usize = 12;
/// What stands over the state.
const STATE: &str = "locks and page tables";

/// The width of a table, in characters: 120 with two CPUs, 150 with three. One that needs less is narrower.
fn room(cpus: usize) -> usize {
    (60 + 30 * cpus).max(120)
}

/// One line of the table, before it is wrapped.
struct Line {
    number: String,
    cpu: usize,
    indent: usize,
    text: String,
    state: String,
}

/// Whether the short table tells of such steps.
fn is_told(kind: Kind) -> bool {
    match kind {
        Kind::Begins | Kind::Ends | Kind::Point | Kind::Passing => true,
        Kind::Waits | Kind::Table | Kind::Wrong => true,
        Kind::Lock | Kind::Unlock | Kind::Tlb | Kind::Memory | Kind::Fence => false,
    }
}

/// Writes a run as a table, with the verdict and the replay string under it.
///
/// Only `full` tells of each step: without it locks, TLBs and memory are left out, and what became of locks
/// and page tables meanwhile stands beside the next step that is told. The replay string is never broken,
/// however long it is.
pub fn table(trace: &Trace, full: bool) -> String {
    let heads = trace.heads();
    let lines = lines(trace, full);
    let numbers = lines.iter().map(|line| line.number.len()).max().unwrap_or(0);
    let column = |cpu: usize, head: &String| {
        let lines = lines.iter().filter(|line| line.cpu == cpu);
        let widest = lines.map(|line| line.indent + line.text.chars().count()).max().unwrap_or(0);
        widest.max(head.chars().count())
    };
    let mut widths: Vec<usize> = heads.iter().enumerate().map(|(cpu, head)| column(cpu, head)).collect();
    let states = lines.iter().map(|line| line.state.chars().count());
    widths.push(states.max().unwrap_or(0).max(STATE.len()));
    let widths = fit(&widths, room(heads.len()) - numbers - GAP * widths.len(), LEAST);

    let mut out = String::new();
    let titles: Vec<&str> = heads.iter().map(String::as_str).chain([STATE]).collect();
    let titles: Vec<Vec<String>> =
        titles.iter().zip(&widths).map(|(title, &width)| wrap(title, width)).collect();
    row(&mut out, "", numbers, &titles, &widths);
    let rule = |lines: &Vec<String>| {
        vec!["-".repeat(lines.iter().map(|line| line.chars().count()).max().unwrap_or(0))]
    };
    row(&mut out, "", numbers, &titles.iter().map(rule).collect::<Vec<_>>(), &widths);
    for line in &lines {
        let mut cells = vec![Vec::new(); widths.len()];
        let text = wrap(&line.text, widths[line.cpu] - line.indent);
        cells[line.cpu] = text.iter().map(|text| format!("{:1$}{text}", "", line.indent)).collect();
        cells[heads.len()] = wrap(&line.state, widths[heads.len()]);
        row(&mut out, &line.number, numbers, &cells, &widths);
    }
    out.push('\n');
    for line in wrap(&trace.verdict, room(heads.len())) {
        let _ = writeln!(out, "{line}");
    }
    let _ = writeln!(out, "replay: {}", trace.story);
    out
}

/// The lines there are.
fn lines(trace: &Trace, full: bool) -> Vec<Line> {
    let mut state = PartStates::default();
    let mut lines: Vec<Line> = Vec::new();
    for (step, inside) in trace.steps.iter().zip(trace.inside()) {
        state.now(&step.state);
        if full || is_told(step.kind) {
            lines.push(line(step, inside, state.news()));
        }
    }
    lines
}

fn line(step: &ShownStep, inside: bool, state: String) -> Line {
    // What went wrong is seen at once: it stands where an operation begins.
    let indent = if inside && step.kind != Kind::Wrong { 2 } else { 0 };
    Line { number: step.number.to_string(), cpu: step.cpu, indent, text: step.text(), state }
}

/// Writes one row, of as many lines as its longest cell has.
fn row(out: &mut String, number: &str, numbers: usize, cells: &[Vec<String>], widths: &[usize]) {
    let high = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
    for index in 0..high {
        let mut line = format!("{:>numbers$}", if index == 0 { number } else { "" });
        for (cell, width) in cells.iter().zip(widths) {
            let text = cell.get(index).map_or("", String::as_str);
            let _ = write!(line, "{:GAP$}{text:<width$}", "");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}
