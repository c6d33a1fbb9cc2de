//! Lines typed before: bounded, without consecutive duplicates, walked with Up and Down, searched with
//! Ctrl-R.

use super::line::EditLine;
use alloc::collections::VecDeque;
use alloc::string::String;

/// The lines, oldest first, and the place of the walk among them.
#[derive(Debug)]
pub(super) struct History {
    lines: VecDeque<String>,
    limit: usize,
    /// The line shown; the number of lines while the one being typed is.
    at: usize,
    /// The line being typed, kept while others are shown.
    typed: EditLine,
}

impl History {
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), limit, at: 0, typed: EditLine::default() }
    }

    /// Adds a finished line, unless the line is blank or the same as the last, and ends the walk.
    pub(super) fn add(&mut self, line: &str) {
        if !line.trim().is_empty() && self.lines.back().is_none_or(|last| last != line) && self.limit > 0 {
            while self.lines.len() >= self.limit {
                self.lines.pop_front();
            }
            self.lines.push_back(line.into());
        }
        self.stop();
    }

    /// Ends the walk: the next line is a new one.
    pub(super) fn stop(&mut self) {
        self.at = self.lines.len();
        self.typed = EditLine::default();
    }

    pub(super) fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        self.lines.get(index).map(String::as_str)
    }

    /// Returns the line before the one shown, if there is one.
    pub(super) fn up(&mut self, shown: &EditLine) -> Option<EditLine> {
        let index = self.at.checked_sub(1)?;
        self.go_to(index, shown)
    }

    /// Returns the line after the one shown, at last the one being typed.
    pub(super) fn down(&mut self, shown: &EditLine) -> Option<EditLine> {
        let index = self.at + 1;
        if index == self.lines.len() {
            self.at = index;
            return Some(core::mem::take(&mut self.typed));
        }
        self.go_to(index, shown)
    }

    /// Makes `index` the line shown; `shown` is kept if it is the one being typed.
    pub(super) fn go_to(&mut self, index: usize, shown: &EditLine) -> Option<EditLine> {
        let line = EditLine::new(self.lines.get(index)?);
        if self.at >= self.lines.len() {
            self.typed = shown.clone();
        }
        self.at = index;
        Some(line)
    }

    /// Returns the newest line before `end` that contains `text` and is not `unlike`: its index, and the
    /// place of the last occurrence in characters.
    pub(super) fn find(&self, text: &str, end: usize, unlike: Option<&str>) -> Option<(usize, usize)> {
        let lines = self.lines.iter().enumerate().take(end).rev();
        lines.filter(|(_, line)| unlike != Some(line.as_str())).find_map(|(index, line)| {
            let (before, _) = line.rsplit_once(text)?;
            Some((index, before.chars().count()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        let mut history = History::new(3);
        for line in lines {
            history.add(line);
        }
        history
    }

    #[test]
    fn bounded_and_without_blanks_and_consecutive_duplicates() {
        let history = history(&["a", "b", "b", "", "  ", "a", "c", "d"]);
        assert!(history.lines().eq(["a", "c", "d"]));
        let mut none = History::new(0);
        none.add("a");
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn walking_keeps_the_line_being_typed() {
        let mut history = history(&["a", "b"]);
        let typed = EditLine::new("typ");
        assert_eq!(history.down(&typed), None);
        let b = history.up(&typed).unwrap();
        let a = history.up(&b).unwrap();
        assert_eq!((b.text().as_str(), a.text().as_str()), ("b", "a"));
        assert_eq!(history.up(&a), None);
        assert_eq!(history.down(&a), Some(b.clone()));
        assert_eq!(history.down(&b), Some(typed.clone()));
        assert_eq!(history.down(&typed), None);
    }

    #[test]
    fn finding_goes_from_new_to_old() {
        let history = history(&["ls /é", "cat", "ls /é"]);
        assert_eq!(history.find("s", 3, None), Some((2, 1)));
        assert_eq!(history.find("é", 2, None), Some((0, 4)));
        assert_eq!(history.find("s", 3, Some("ls /é")), None);
        assert_eq!(history.find("x", 3, None), None);
        assert_eq!(history.find("a", 99, None), Some((1, 1)));
    }
}
