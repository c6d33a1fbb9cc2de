//! What is said when a campaign ends: what it covers and what it does not, how much was run, what was found.

use super::record::{Came, Record};
use crate::find::Mode;
use std::fmt::Write as _;
use std::time::Duration;

/// Everything that was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Worlds that are through.
    pub worlds: u64,
    /// Worlds that were given up.
    pub given_up: u64,
    /// Runs.
    pub schedules: u64,
    /// Of them those that were broken off.
    pub cut: u64,
    /// Steps taken on new ground.
    pub places: u64,
    /// The longest run of all, in steps.
    pub longest: u64,
    /// Distinct end states of each world, added up.
    pub states: u64,
    /// The worlds' own time: with two threads twice as much as it took.
    pub time: Duration,
    /// The dearest world.
    pub dearest: Option<(Duration, String)>,
    /// Worlds in which something was found.
    pub found: u64,
}

impl Totals {
    /// Adds everything up.
    pub fn of(records: &[Record]) -> Self {
        let mut totals = Self::default();
        for record in records {
            totals.worlds += 1;
            totals.given_up += u64::from(record.came == Came::GivenUp);
            totals.schedules += record.schedules;
            totals.cut += record.cut;
            totals.places += record.places;
            totals.longest = totals.longest.max(record.longest);
            totals.states += record.states;
            totals.time += record.time;
            totals.found += u64::from(record.found.is_some());
            if totals.dearest.as_ref().is_none_or(|(time, _)| *time < record.time) {
                totals.dearest = Some((record.time, record.world.clone()));
            }
        }
        totals
    }

    /// Writes a few lines, each beginning with what it is about.
    pub fn text(&self) -> String {
        let Self { worlds, given_up, schedules, cut, places, longest, states, time, found, .. } = self;
        let mut text = String::new();
        let kept = worlds - given_up - found;
        let _ = writeln!(text, "worlds: {worlds} ({kept} kept, {given_up} given up, {found} lost or stuck)");
        let _ = writeln!(
            text,
            "schedules: {schedules} ({cut} of them broken off as known), {places} places, longest {longest} steps"
        );
        let _ = writeln!(text, "end states: {states} (distinct within each world)");
        let _ = writeln!(text, "worlds' own time: {:.1} s", time.as_secs_f64());
        if let Some((time, world)) = &self.dearest {
            let _ = writeln!(text, "dearest world: {:.1} s, {world}", time.as_secs_f64());
        }
        text
    }
}

/// Writes what was found: a line for each world, and one that repeats it.
pub fn findings(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records {
        if let Some(found) = &record.found {
            let _ = writeln!(text, "{}: {}: {}", record.world, record.came, found.what);
            let _ = writeln!(text, "  story: {}", found.story);
        }
    }
    text
}

/// Says what such an exploration covers, and what it does not: no claim beyond what ran. `several`: a CPU
/// does several operations.
pub fn coverage(mode: Mode, several: bool) -> String {
    let mut text = format!("mode: {mode}\n");
    let _ = match mode {
        Mode::Exhaustive { .. } => writeln!(
            text,
            "covers: one run of each class of orders that are the same to everybody; properties are looked at when blocks come \
             and go, when entries are installed, and in the end"
        ),
        Mode::Random { .. } => writeln!(
            text,
            "covers: the orders that were drawn; one that needs d orderings among n steps of k CPUs is met by a run with a \
             probability of at least 1/(k*n^(d-1))"
        ),
    };
    let mut not = Vec::new();
    match mode {
        Mode::Exhaustive { most: u64::MAX } => {}
        Mode::Exhaustive { .. } => not.push("what is beyond the bound in worlds that are given up"),
        Mode::Random { .. } => not.push("every other order"),
    }
    if several {
        not.push("with several operations a CPU: what came before what in real time, but for one order of preference each");
    }
    not.extend([
        "what comes after the first finding in a world",
        "memory orders weaker than sequential consistency",
        "interrupts within a step, NMIs and machine checks",
        "power failures before the end of a run",
    ]);
    let _ = writeln!(text, "does not cover: {}", not.join("; "));
    text
}

/// Returns the most memory that this process had, in KiB; 0 where the system does not say.
pub fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
