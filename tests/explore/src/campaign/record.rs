//! What is kept of a world that was explored: one line of text.
//!
//! Fields with tabs between them: number, world, schedules, of them cut, places, longest, states, `whole` or `given-up` or
//! `found`, microseconds; and if something was found: the story, the exact order, and what.
//!
//! The exact order is a list of `CPU*STEPS`, or `CPU/WAY` for a step that can be taken in several ways and was not taken in
//! the first: `0*12,1*3,0/1,0*4`.

use crate::find::Report;
use crate::sched::{CPUS, Cpu};
use fs::lab::schedule::{Segment, Stop, Story, World};
use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

/// A world, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub number: usize,
    /// Its text.
    pub world: String,
    /// Runs.
    pub schedules: u64,
    /// Of them those that were broken off.
    pub cut: u64,
    /// Steps taken on new ground.
    pub places: u64,
    /// Steps of the longest run.
    pub longest: u64,
    /// Distinct states that runs ended in.
    pub states: u64,
    /// How far it came.
    pub came: Came,
    /// How long it took, in whole microseconds.
    pub time: Duration,
    /// What does not hold.
    pub found: Option<Finding>,
}

/// How far an exploration came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Every class of orders was run.
    Whole,
    /// It was given up at the bound.
    GivenUp,
    /// It ended at what it found.
    Found,
}

/// What was found, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// World and schedule; the ways of steps are not in it.
    pub story: String,
    /// Who took each step, in which way.
    pub order: Vec<(Cpu, u8)>,
    /// What does not hold.
    pub what: String,
}

impl Record {
    /// What is kept of `report`.
    pub fn new(number: usize, world: &World, report: &Report) -> Self {
        let found = report.found.as_ref().map(|found| Finding {
            story: story(&found.world, &found.order).to_string(),
            order: found.order.clone(),
            what: line(&found.what),
        });
        let came = match (&found, report.whole) {
            (Some(_), _) => Came::Found,
            (None, true) => Came::Whole,
            (None, false) => Came::GivenUp,
        };
        Self {
            number,
            world: world.to_string(),
            schedules: report.schedules,
            cut: report.cut,
            places: report.places,
            longest: report.longest,
            states: report.states.len() as u64,
            came,
            time: Duration::from_micros(report.time.as_micros() as u64),
            found,
        }
    }

    /// The explorer itself ended with a panic.
    pub fn panicked(number: usize, world: &World, text: &str) -> Self {
        let what = line(&format!("the explorer panicked: {text}"));
        let found = Finding { story: world.to_string(), order: Vec::new(), what };
        Self { came: Came::Found, found: Some(found), ..Self::new(number, world, &Report::default()) }
    }
}

/// On one line, without tabs.
fn line(text: &str) -> String {
    text.split(['\n', '\t', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The order as a schedule: each stretch of one CPU up to so many steps from its beginning.
pub fn story(world: &World, order: &[(Cpu, u8)]) -> Story {
    let mut steps = [0; CPUS];
    let mut schedule: Vec<Segment> = Vec::new();
    for &(cpu, _) in order {
        steps[cpu] += 1;
        let until = Stop::Place { point: None, steps: steps[cpu] };
        match schedule.last_mut() {
            Some(last) if last.cpu == cpu => last.until = until,
            _ => schedule.push(Segment { cpu, until }),
        }
    }
    Story { world: world.clone(), schedule }
}

/// The exact order as text.
pub fn order_text(order: &[(Cpu, u8)]) -> String {
    let mut text = String::new();
    for stretch in order.chunk_by(|one, next| one == next && one.1 == 0) {
        let between = if text.is_empty() { "" } else { "," };
        let _ = match stretch[0] {
            (cpu, 0) => write!(text, "{between}{cpu}*{}", stretch.len()),
            (cpu, way) => write!(text, "{between}{cpu}/{way}"),
        };
    }
    text
}

/// And back.
pub fn order_of(text: &str) -> Option<Vec<(Cpu, u8)>> {
    let mut order = Vec::new();
    for piece in text.split(',').filter(|piece| !piece.is_empty()) {
        let (cpu, count, way) = match (piece.split_once('*'), piece.split_once('/')) {
            (Some((cpu, count)), None) => (cpu, count.parse().ok().filter(|&count| count <= 1 << 20)?, 0),
            (None, Some((cpu, way))) => (cpu, 1, way.parse().ok()?),
            _ => return None,
        };
        let cpu = cpu.parse().ok().filter(|&cpu| cpu < CPUS)?;
        order.extend(std::iter::repeat_n((cpu, way), count));
    }
    Some(order)
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Whole => "whole",
            Self::GivenUp => "given-up",
            Self::Found => "found",
        })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, world, schedules, cut, places, longest, states, came, time, found } = self;
        let time = time.as_micros();
        write!(f, "{number}\t{world}\t{schedules}\t{cut}\t{places}\t{longest}\t{states}\t{came}\t{time}")?;
        if let Some(Finding { story, order, what }) = found {
            write!(f, "\t{story}\t{}\t{what}", order_text(order))?;
        }
        Ok(())
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        fn parsed<T: FromStr>(text: &str) -> Result<T, ()> {
            text.parse().map_err(|_| ())
        }
        let fields: Vec<&str> = text.split('\t').collect();
        let (&[number, world, schedules, cut, places, longest, states, came, time], found) =
            fields.split_first_chunk::<9>().ok_or(())?;
        let came = [Came::Whole, Came::GivenUp, Came::Found].into_iter().find(|one| one.to_string() == came);
        let found = match *found {
            [] => None,
            [story, order, what] => {
                Some(Finding { story: story.into(), order: order_of(order).ok_or(())?, what: what.into() })
            }
            _ => return Err(()),
        };
        let came = came.filter(|&came| (came == Came::Found) == found.is_some()).ok_or(())?;
        Ok(Self {
            number: parsed(number)?,
            world: world.into(),
            schedules: parsed(schedules)?,
            cut: parsed(cut)?,
            places: parsed(places)?,
            longest: parsed(longest)?,
            states: parsed(states)?,
            came,
            time: Duration::from_micros(parsed(time)?),
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Record {
        let world: World = "racy/page.hole/a:load/b:store".parse().unwrap();
        let order = [(0, 0), (0, 0), (1, 2), (1, 2), (0, 1), (0, 0)];
        let what = "first line\n\tand the second".to_owned();
        let found = crate::find::Found { world: world.clone(), what, order: order.into() };
        let time = Duration::from_nanos(1_234_567);
        let report =
            Report { schedules: 7, cut: 1, longest: 6, time, found: Some(found), ..Report::default() };
        Record::new(3, &world, &report)
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let record = found();
        let text = record.to_string();
        assert_eq!(text.parse(), Ok(record.clone()));
        assert!(
            !text.contains('\n') && text.ends_with("\t0*2,1/2,1/2,0/1,0*1\tfirst line and the second"),
            "{text}"
        );
        assert_eq!(record.found.unwrap().story, "racy/page.hole/a:load/b:store@0:+2,1:+2,0:+4");
        let whole = Record { came: Came::Whole, found: None, ..found() };
        assert_eq!(whole.to_string().parse(), Ok(whole));
    }

    #[test]
    fn a_line_that_lacks_something_is_none() {
        let text = found().to_string();
        for end in 0..text.len() {
            if let Ok(other) = text[..end].parse::<Record>() {
                // Only what was found may have lost its end: which is why a line counts only with its newline.
                assert_eq!(other.order(), found().order(), "{}", &text[..end]);
            }
        }
        for wrong in [
            "",
            "1\t2",
            &text.replace("\tfound\t", "\twhole\t"),
            &text.replace("1/2", "9/2"),
            &format!("{text}\t"),
        ] {
            assert_eq!(wrong.parse::<Record>(), Err(()), "{wrong}");
        }
    }

    impl Record {
        fn order(&self) -> Option<&[(Cpu, u8)]> {
            self.found.as_ref().map(|found| &found.order[..])
        }
    }
}
