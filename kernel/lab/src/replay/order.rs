//! A schedule as the order of a script.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use fs::lab::Point;
use fs::lab::schedule::{Segment, Stop, Story};

use super::super::script::{Event, Milestone};

/// What a schedule comes to here.
pub struct ScriptedOrder {
    pub events: Vec<Event>,
    /// The first segment with steps that are finer than points, or a TLB's choice, as text: they are left
    /// out.
    pub finer: Option<String>,
}

/// Where a CPU is at a place of the schedule.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Unbegun,
    /// Held at a point, the n-th time.
    Held(Point, u32),
    /// The actor goes on by itself when it can.
    Free,
    Through,
}

/// Returns the order in which the CPUs of `story` come to their places. When the schedule is over, the CPU
/// that went last goes on to its end, and the others after it, one by one.
///
/// # Errors
/// A point at which nobody can be held.
pub fn order(story: &Story) -> Result<ScriptedOrder, &'static str> {
    let mut is: Vec<Is> = story.world.parts.iter().map(|_| Is::Unbegun).collect();
    let mut events: Vec<Event> = Vec::new();
    let is_finer = |segment: &&Segment| {
        matches!(segment.until, Stop::Place { steps: 1.., .. }) || !segment.ways.is_empty()
    };
    let finer = story.schedule.iter().find(is_finer).map(Segment::to_string);
    let rest = story.schedule.last().map(|last| last.cpu).into_iter().chain(0..is.len());
    let rest = rest.map(|cpu| (cpu, Stop::End));
    for (cpu, until) in story.schedule.iter().map(|segment| (segment.cpu, segment.until)).chain(rest) {
        // A place that it has not left, or its very beginning: nothing happens between points.
        let stays = match until {
            Stop::Place { point: None, .. } => true,
            Stop::Place { point: Some((point, time)), .. } => is[cpu] == Is::Held(point, time),
            Stop::End | Stop::Waits => false,
        };
        if stays || is[cpu] == Is::Through {
            continue;
        }
        match is[cpu] {
            Is::Unbegun => events.push((cpu, Milestone::Start)),
            Is::Held(point, time) => events.push((cpu, Milestone::GoesAgain(point, time))),
            Is::Free | Is::Through => {}
        }
        let (now, at) = match until {
            Stop::Place { point: Some((Point::ShootdownAnswer, _)), .. } => {
                return Err("nobody can be held at shootdown-answer: interrupts are off there");
            }
            Stop::Place { point: Some((point, time)), .. } => {
                (Is::Held(point, time), Milestone::ComesAgain(point, time))
            }
            Stop::Waits => (Is::Free, Milestone::Sleeps),
            Stop::End | Stop::Place { point: None, .. } => (Is::Through, Milestone::Done),
        };
        is[cpu] = now;
        events.push((cpu, at));
    }
    // Behind the last one's end nobody waits.
    if matches!(events.last(), Some((_, Milestone::Done))) {
        events.pop();
    }
    Ok(ScriptedOrder { events, finer })
}
