//! A run in the words of [`show`](crate::show).

use crate::sched::engine::Noted;
use crate::sched::touch::{SharedPlace, Touch};
use crate::show::{Kind, ShownStep, Trace};
use crate::world::{Lock, WorldOutcome};
use fs::lab::schedule::{Story, World};
use fs::lab::{Point, Step as Reached};

/// Tells what happened in a run that was written down.
pub fn trace(story: &Story, outcome: &WorldOutcome) -> Trace {
    let mut names = PlaceNames { known: &outcome.locks, others: Vec::new() };
    let mut known: Vec<(String, String)> = Vec::new();
    let mut steps: Vec<ShownStep> = Vec::new();
    for note in &outcome.log {
        let (kind, what) = match &note.what {
            Noted::State(state) => {
                let changed = changes(&mut known, state);
                if let Some(last) = steps.iter_mut().rev().find(|step| step.cpu == note.cpu) {
                    if !last.state.is_empty() && !changed.is_empty() {
                        last.state.push_str("; ");
                    }
                    last.state.push_str(&changed);
                }
                continue;
            }
            Noted::Begins(what) => (Kind::Begins, what.clone()),
            Noted::Ends(what) => (Kind::Ends, what.clone()),
            Noted::Wrong(what) => (Kind::Wrong, what.clone()),
            Noted::Point(step) => (sort(step.point), point(step)),
            Noted::Waits(what, touch) => (Kind::Waits, names.awaited(what, touch)),
            Noted::Step(what, touch) => match touch {
                Touch::Try(place, _) => (Kind::Memory, format!("{} is not free", names.of(*place))),
                Touch::Take(place, shared) | Touch::Got(place, shared) => {
                    (Kind::Lock, format!("{}{}", names.of(*place), if *shared { " shared" } else { "" }))
                }
                Touch::LetGo(place, _) => (Kind::Unlock, names.of(*place)),
                _ if what.contains("entry") || what.contains("maps") => (Kind::Table, (*what).to_owned()),
                _ if what.contains("TLB") || what.contains("invalidat") || what.contains("translation") => {
                    (Kind::Tlb, (*what).to_owned())
                }
                _ if *what == "fence" => (Kind::Fence, String::new()),
                _ => (Kind::Memory, (*what).to_owned()),
            },
        };
        steps.push(ShownStep { cpu: note.cpu, kind, what, state: String::new(), number: note.step as u64 });
    }
    if let Some(wrong) = &outcome.wrong
        && !steps.iter().any(|step| step.kind == Kind::Wrong)
        && let Some(last) = steps.last()
    {
        let (cpu, number) = (last.cpu, last.number);
        steps.push(ShownStep { cpu, kind: Kind::Wrong, what: wrong.clone(), state: String::new(), number });
    }
    let wrong = outcome.wrong.as_ref().map(|wrong| format!("{}: {wrong}", outcome.end.verdict()));
    let verdict = wrong.unwrap_or_else(|| "kept".into());
    Trace { story: story.to_string(), cpus: heads(&story.world), steps, verdict }
}

fn heads(world: &World) -> Vec<String> {
    let parts = world.parts.iter().enumerate();
    parts
        .map(|(cpu, part)| {
            let ops: Vec<String> = part.ops.iter().map(ToString::to_string).collect();
            format!("CPU {cpu}, space {}: {}", char::from(b'a' + part.space), ops.join(", "))
        })
        .collect()
}

struct PlaceNames<'a> {
    known: &'a [Lock],
    /// Those that came to be during the run.
    others: Vec<SharedPlace>,
}

impl PlaceNames<'_> {
    fn of(&mut self, place: SharedPlace) -> String {
        // A lock may lie in what another one guards: the smallest is meant.
        let mut around: Vec<&Lock> = self.known.iter().filter(|lock| lock.holds(place)).collect();
        around.sort_by_key(|lock| lock.at.len());
        if let Some(lock) = around.first() {
            return lock.name.clone();
        }
        let known = self.others.iter().position(|other| *other == place);
        let number = known.unwrap_or_else(|| {
            self.others.push(place);
            self.others.len() - 1
        });
        format!("lock {}", number + 1)
    }

    fn awaited(&mut self, what: &str, touch: &Touch) -> String {
        match touch {
            Touch::Take(place, shared) => {
                format!("{}{}", self.of(*place), if *shared { " shared" } else { "" })
            }
            // Whoever sleeps is told so by the step with which it goes on.
            _ if what == "is awake" => "a wake-up".into(),
            _ => what.to_owned(),
        }
    }
}

/// Whether a named step decides something, or only says how far a lock or a fault is.
fn sort(point: Point) -> Kind {
    match point {
        Point::FaultBegin | Point::FaultEnd => Kind::Passing,
        Point::SharedWait | Point::SharedLocked | Point::ExclusiveWait | Point::ExclusiveLocked => {
            Kind::Passing
        }
        Point::EntryWait | Point::ShootdownBegin | Point::ShootdownEnd | Point::ShootdownAnswer => {
            Kind::Passing
        }
        Point::EntryLocked | Point::LookedUp | Point::Retry | Point::Allocated | Point::ZeroUnmapped => {
            Kind::Point
        }
        Point::Marked | Point::Installed | Point::Fallback | Point::Cleaned | Point::Protected => Kind::Point,
        Point::Flushed | Point::Unmapped | Point::Freed | Point::WriteAllocated => Kind::Point,
        Point::CommitBegin | Point::CommitEnd => Kind::Point,
    }
}

/// A named step, with what there is to say of it.
fn point(Reached { point, page, arg, .. }: &Reached) -> String {
    match point {
        Point::LookedUp if *arg == u64::MAX => format!("{point}: a hole"),
        Point::LookedUp | Point::Allocated => format!("{point}: block {}", arg / fs::PAGE_SIZE),
        Point::Freed => format!("{point}: {arg} from block {page} on"),
        Point::Unmapped | Point::ZeroUnmapped | Point::Protected | Point::Flushed => {
            format!("{point}: {arg}")
        }
        _ => point.to_string(),
    }
}

/// The parts of `state` that are other than before, and those that are gone.
fn changes(known: &mut Vec<(String, String)>, state: &str) -> String {
    let split = |part: &str| -> (String, String) {
        let (name, at) = match part.find(" →") {
            Some(at) => (part[..at].to_owned(), at),
            None => {
                let at = part.find(": ").unwrap_or(part.len());
                (part[..at].to_owned(), at)
            }
        };
        (name, part[at..].to_owned())
    };
    let now: Vec<(String, String)> = state.split("; ").filter(|part| !part.is_empty()).map(split).collect();
    let mut changed: Vec<String> = Vec::new();
    for (name, text) in &now {
        if !known.iter().any(|(other, before)| other == name && before == text) {
            changed.push(format!("{name}{text}"));
        }
    }
    for (name, text) in known.iter() {
        if !now.iter().any(|(other, _)| other == name) {
            changed.push(if text.starts_with(" →") {
                format!("{name} → nothing")
            } else {
                format!("{name}: free")
            });
        }
    }
    *known = now;
    changed.join("; ")
}
