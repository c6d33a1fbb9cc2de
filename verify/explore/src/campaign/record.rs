//! What is kept of a world that was explored: one line of text.
//!
//! Fields with tabs between them: number, world, schedules, of them cut, places, longest, states, `kept` or
//! `given-up` or `lost` or `stuck`, microseconds; and if something was found: the story that repeats it, and
//! what.

use crate::find::{Report, Verdict};
use fs::lab::schedule::{Story, World};
use std::fmt;
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
    /// Every class of orders was run, and nothing was lost.
    Kept,
    /// It was given up at the bound.
    GivenUp,
    /// It ended at what it found.
    Found(Verdict),
}

/// What was found, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// World and schedule: repeats it.
    pub story: String,
    /// What does not hold.
    pub what: String,
}

impl Record {
    /// Makes what is kept of `report`; `story` repeats what was found, if something was.
    pub fn new(number: usize, world: &World, report: &Report, story: Option<&Story>) -> Self {
        let story = story.map_or_else(|| world.to_string(), Story::to_string);
        let found = report.found.as_ref().map(|found| Finding { story, what: line(&found.what) });
        let came = match (&report.found, report.whole) {
            (Some(found), _) => Came::Found(found.verdict),
            (None, true) => Came::Kept,
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

    /// Makes the record of a world in which the explorer itself ended with a panic.
    pub fn panicked(number: usize, world: &World, text: &str) -> Self {
        let what = line(&format!("the explorer panicked: {text}"));
        let found = Finding { story: world.to_string(), what };
        let came = Came::Found(Verdict::Lost);
        Self { came, found: Some(found), ..Self::new(number, world, &Report::default(), None) }
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

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.pad("kept"),
            Self::GivenUp => f.pad("given-up"),
            Self::Found(verdict) => verdict.fmt(f),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, world, schedules, cut, places, longest, states, came, time, found } = self;
        let time = time.as_micros();
        write!(f, "{number}\t{world}\t{schedules}\t{cut}\t{places}\t{longest}\t{states}\t{came}\t{time}")?;
        if let Some(Finding { story, what }) = found {
            write!(f, "\t{story}\t{what}")?;
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
        let all = [Came::Kept, Came::GivenUp, Came::Found(Verdict::Lost), Came::Found(Verdict::Stuck)];
        let came = all.into_iter().find(|one| one.to_string() == came);
        let found = match *found {
            [] => None,
            [story, what] => Some(Finding { story: story.into(), what: what.into() }),
            _ => return Err(()),
        };
        let came = came.filter(|&came| matches!(came, Came::Found(_)) == found.is_some()).ok_or(())?;
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
        let story: Story = format!("{world}@0:+2,1:+2~12,0:end").parse().unwrap();
        let what = "first line\n\tand the second".to_owned();
        let verdict = Verdict::Lost;
        let found = crate::find::Found { world: world.clone(), verdict, what, order: Vec::new() };
        let time = Duration::from_nanos(1_234_567);
        let report =
            Report { schedules: 7, cut: 1, longest: 6, time, found: Some(found), ..Report::default() };
        Record::new(3, &world, &report, Some(&story))
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let record = found();
        let text = record.to_string();
        assert_eq!(text.parse(), Ok(record.clone()));
        assert!(
            !text.contains('\n') && text.ends_with("@0:+2,1:+2~12,0:end\tfirst line and the second"),
            "{text}"
        );
        let kept = Record { came: Came::Kept, found: None, ..found() };
        assert_eq!(kept.to_string().parse(), Ok(kept));
        let stuck = Record { came: Came::Found(Verdict::Stuck), ..found() };
        assert_eq!(stuck.to_string().parse(), Ok(stuck));
    }

    #[test]
    fn a_line_that_lacks_something_is_none() {
        let text = found().to_string();
        // Only what was found may have lost its end: which is why a line counts only with its newline.
        let all_but_what = text.rfind('\t').unwrap();
        for end in 0..=all_but_what {
            let cut = &text[..end];
            assert_eq!(cut.parse::<Record>(), Err(()), "{cut}");
        }
        for wrong in ["", "1\t2", &text.replace("\tlost\t", "\tkept\t"), &format!("{text}\t")] {
            assert_eq!(wrong.parse::<Record>(), Err(()), "{wrong}");
        }
    }
}
