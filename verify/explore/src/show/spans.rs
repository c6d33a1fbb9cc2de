//! What lasts: an operation from its beginning to its end, a lock from when it is taken until it is let go,
//! waiting until the CPU's next step.

use super::{Kind, Trace};

/// What lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Operation,
    Lock { shared: bool },
    Waiting,
}

/// From one step of a CPU to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'a> {
    pub(super) sort: Sort,
    pub(super) cpu: usize,
    /// The operation, the lock's name, or what is waited for.
    pub(super) name: &'a str,
    /// The index of the step with which it begins.
    pub(super) first: usize,
    /// That with which it ends; `None`: it lasts.
    pub(super) last: Option<usize>,
}

/// Returns a lock's name, and whether it is held shared.
pub(super) fn lock(what: &str) -> (&str, bool) {
    match what.strip_suffix(" shared") {
        Some(name) => (name, true),
        None => (what.strip_suffix(" exclusive").unwrap_or(what), false),
    }
}

/// Lists all that lasts, in the order in which it begins. What is let go without having been taken is left
/// out.
pub(super) fn spans(trace: &Trace) -> Vec<Span<'_>> {
    let mut spans: Vec<Span<'_>> = Vec::new();
    // The one that began last, of those that go on.
    fn end(spans: &mut [Span<'_>], index: usize, which: impl Fn(&Span<'_>) -> bool) {
        let open = spans.iter_mut().rev().find(|span| span.last.is_none() && which(span));
        if let Some(span) = open {
            span.last = Some(index);
        }
    }
    for (index, step) in trace.steps.iter().enumerate() {
        let cpu = step.cpu;
        // That a property broke is no step of the CPU's own.
        if step.kind != Kind::Wrong {
            end(&mut spans, index, |span| span.cpu == cpu && span.sort == Sort::Waiting);
        }
        let (sort, name) = match step.kind {
            Kind::Begins => (Sort::Operation, step.what.as_str()),
            Kind::Waits => (Sort::Waiting, step.what.as_str()),
            Kind::Lock => {
                let (name, shared) = lock(&step.what);
                (Sort::Lock { shared }, name)
            }
            Kind::Ends => {
                end(&mut spans, index, |span| span.cpu == cpu && span.sort == Sort::Operation);
                continue;
            }
            Kind::Unlock => {
                let name = lock(&step.what).0;
                let held = |span: &Span<'_>| matches!(span.sort, Sort::Lock { .. }) && span.name == name;
                end(&mut spans, index, |span| span.cpu == cpu && held(span));
                continue;
            }
            _ => continue,
        };
        spans.push(Span { sort, cpu, name, first: index, last: None });
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::ShownStep;

    #[test]
    fn of_a_lock_that_is_held_twice_the_later_one_goes_first() {
        let step = |kind, what: &str, number| ShownStep {
            cpu: 0,
            kind,
            what: what.into(),
            state: String::new(),
            number,
        };
        let steps = vec![
            step(Kind::Lock, "freeze shared", 1),
            step(Kind::Lock, "freeze shared", 2),
            step(Kind::Unlock, "freeze", 3),
            step(Kind::Unlock, "freeze", 4),
            step(Kind::Unlock, "freeze", 5),
        ];
        let trace = Trace { steps, ..Trace::default() };
        let held: Vec<_> = spans(&trace).iter().map(|span| (span.first, span.last)).collect();
        assert_eq!(held, [(0, Some(3)), (1, Some(2))]);
    }
}
