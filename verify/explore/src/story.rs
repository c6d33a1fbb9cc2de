//! An order of steps as a schedule that people can read and repeat, and back.

use crate::find::with;
use crate::sched::engine::{Choice, Chooser, ChooserView, Noted};
use crate::sched::other::Given;
use crate::sched::{CPUS, Cpu};
use crate::world::{Images, WorldOutcome};
use fs::lab::Point;
use fs::lab::schedule::{Segment, Stop, Story, World};

/// Who takes each step, in which way.
pub type Order = Vec<(Cpu, u8)>;

/// Tells the order as a schedule, and the run that it is. If something is wrong with it, of places that show
/// the same those are taken that have a name.
pub fn tell(world: &World, images: &Images, order: Order) -> (Story, WorldOutcome) {
    let (mut story, mut outcome) = exactly(world, images, order);
    for nth in 0..story.schedule.len() {
        let mut named = story.clone();
        if let Stop::Place { point: Some(_), steps } = &mut named.schedule[nth].until
            && std::mem::take(steps) > 0
            && outcome.wrong.is_some()
        {
            let (again, fits) = follow(&named, images);
            if fits.is_ok() && again.wrong == outcome.wrong {
                (story, outcome) = (named, again);
            }
        }
    }
    (story, outcome)
}

/// The order as a schedule, step by step.
fn exactly(world: &World, images: &Images, order: Order) -> (Story, WorldOutcome) {
    let (outcome, given) = with(world, images, Box::new(Given::new(order)), true);
    let Given { taken: order, able, ways, .. } = *given;
    let mut points: [Vec<(Point, u32)>; CPUS] = Default::default();
    let mut own = [0_u32; CPUS];
    for note in &outcome.log {
        match &note.what {
            Noted::Step(..) => own[note.cpu] += 1,
            Noted::Point(step) => points[note.cpu].push((step.point, own[note.cpu])),
            _ => {}
        }
    }
    let mut schedule = Vec::new();
    let mut own = [0_u32; CPUS];
    let mut at = 0;
    while at < order.len() {
        let cpu = order[at].0;
        let mut taken = Vec::new();
        while at < order.len() && order[at].0 == cpu {
            if ways[at] > 1 {
                taken.push(order[at].1);
            }
            own[cpu] += 1;
            at += 1;
        }
        let over = order[at..].iter().all(|step| step.0 != cpu);
        let until = if over && (at == order.len() || able[at] & 1 << cpu == 0 && is_through(&outcome, cpu)) {
            Stop::End
        } else if able.get(at).is_some_and(|able| able & 1 << cpu == 0) {
            Stop::Waits
        } else {
            place(&points[cpu], own[cpu])
        };
        while taken.last() == Some(&0) {
            taken.pop();
        }
        schedule.push(Segment { cpu, until, ways: taken });
    }
    (Story { world: world.clone(), schedule }, outcome)
}

/// Whether the CPU has done all of its part.
fn is_through(outcome: &WorldOutcome, cpu: Cpu) -> bool {
    outcome.waits & 1 << cpu == 0
}

/// Where a CPU is that has taken `own` steps.
fn place(points: &[(Point, u32)], own: u32) -> Stop {
    let Some(last) = points.iter().rposition(|&(_, at)| at <= own) else {
        return Stop::Place { point: None, steps: own };
    };
    let (point, at) = points[last];
    let time = points[..=last].iter().filter(|(other, _)| *other == point).count() as u32;
    Stop::Place { point: Some((point, time)), steps: own - at }
}

/// Follows a schedule.
struct Following {
    schedule: Vec<Segment>,
    next: usize,
    own: [u32; CPUS],
    /// Choices among translations in this segment.
    choices: usize,
    misfit: Option<String>,
}

impl Following {
    fn is_there(&self, view: &ChooserView<'_>, cpu: Cpu, until: Stop) -> bool {
        match until {
            Stop::End | Stop::Waits => false,
            Stop::Place { point: None, steps } => self.own[cpu] >= steps,
            Stop::Place { point: Some((point, time)), steps } => {
                let mut times = view.points[cpu].iter().filter(|(other, _)| *other == point);
                times.nth(time as usize - 1).is_some_and(|&(_, at)| self.own[cpu] >= at + steps)
            }
        }
    }
}

impl Chooser for Following {
    fn choose(&mut self, view: &ChooserView<'_>) -> Choice {
        let can = |cpu: Cpu| view.enabled & 1 << cpu != 0;
        let chosen = loop {
            let Some(segment) = self.schedule.get(self.next) else {
                break if can(view.last) { view.last } else { view.enabled.trailing_zeros() as Cpu };
            };
            let (cpu, until) = (segment.cpu, segment.until);
            let through = view.pending[cpu].is_none();
            if can(cpu) && !self.is_there(view, cpu, until) {
                break cpu;
            }
            if let Stop::Place { .. } = until
                && !self.is_there(view, cpu, until)
            {
                let why =
                    if through { "is through without coming there" } else { "waits before it comes there" };
                self.misfit.get_or_insert_with(|| format!("`{segment}`: CPU {cpu} {why}"));
            } else if until == Stop::End && !through {
                self.misfit.get_or_insert_with(|| format!("`{segment}`: CPU {cpu} waits before its end"));
            }
            (self.next, self.choices) = (self.next + 1, 0);
        };
        self.own[chosen] += 1;
        let ways = view.pending[chosen].map_or(1, |pending| pending.ways);
        let mut way = 0;
        if ways > 1 {
            let segment = self.schedule.get(self.next);
            way = segment.and_then(|segment| segment.ways.get(self.choices)).copied().unwrap_or(0);
            self.choices += 1;
            if way >= ways {
                self.misfit.get_or_insert_with(|| {
                    format!("translation {way} of CPU {chosen}: there are {ways} to choose from")
                });
                way = 0;
            }
        }
        Choice::Go(chosen, way)
    }
}

/// Repeats a story exactly.
///
/// # Errors
/// Where the schedule does not fit the world; what came of the run all the same.
pub fn follow(story: &Story, images: &Images) -> (WorldOutcome, Result<(), String>) {
    let following =
        Following { schedule: story.schedule.clone(), next: 0, own: [0; CPUS], choices: 0, misfit: None };
    let (outcome, following) = with(&story.world, images, Box::new(following), true);
    let left = story.schedule.get(following.next + 1..).unwrap_or_default();
    let misfit = following.misfit.or_else(|| {
        // What fails ends where it fails.
        let unused = left.first().filter(|_| outcome.wrong.is_none());
        unused.map(|segment| format!("`{segment}`: everybody is through before"))
    });
    (outcome, misfit.map_or(Ok(()), Err))
}
