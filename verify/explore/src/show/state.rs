//! Locks and page tables, part by part, as [`ShownStep::state`](super::ShownStep::state) tells of them.

use std::collections::BTreeMap;

/// Lists each part's name and the whole part: "a: page 1" of "a: page 1 → zero page, r", "dax_sem" of
/// "dax_sem: 1 shared".
pub(super) fn parts(state: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = state.split("; ").map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| {
        let name = part.split_once(" →").or_else(|| part.split_once(": ")).map_or(part, |(name, _)| name);
        (name, part)
    })
}

/// What is known of all parts, and which of them have changed since they were last shown.
#[derive(Default)]
pub(super) struct PartStates<'a> {
    parts: BTreeMap<&'a str, &'a str>,
    /// In the order in which they changed.
    news: Vec<&'a str>,
}

impl<'a> PartStates<'a> {
    /// Notes that a step left these parts so.
    pub(super) fn now(&mut self, state: &'a str) {
        for (name, part) in parts(state) {
            if self.parts.insert(name, part) != Some(part) && !self.news.contains(&name) {
                self.news.push(name);
            }
        }
    }

    /// Returns what changed since this was last asked: empty if nothing did.
    pub(super) fn news(&mut self) -> String {
        let news: Vec<&str> = self.news.drain(..).map(|name| self.parts[name]).collect();
        news.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_the_latest_of_each_part_once() {
        let mut state = PartStates::default();
        state.now("dax_sem: 1 shared; a: page 1 → zero page, r");
        state.now("dax_sem: free; a: page 2 → block 9, rw");
        assert_eq!(state.news(), "dax_sem: free; a: page 1 → zero page, r; a: page 2 → block 9, rw");
        state.now("dax_sem: free");
        assert_eq!(state.news(), "", "it was free before");
    }
}
