//! Ctrl-R: the incremental search through the history.
//!
//! While it goes on, the prompt says what is searched for and the line is the match. Ctrl-R goes on to an
//! older line, Backspace starts again with less, Ctrl-G gives back the line from before; any other key takes
//! the match and then does what it always does.

use super::keys::Key;
use super::line::EditLine;
use super::{BELL, Editor};
use alloc::format;
use alloc::string::String;

/// Ctrl-R. The editor's line is the match, its cursor at the place of the match.
#[derive(Debug)]
pub(super) struct HistorySearch {
    wanted: String,
    /// The line before the search.
    before: EditLine,
    /// The history line shown; the number of lines if it is none yet.
    at: usize,
    failed: bool,
}

impl HistorySearch {
    /// Returns what stands before the line while the search goes on.
    pub(super) fn prompt(&self) -> String {
        format!("({}reverse-i-search)`{}': ", if self.failed { "failed " } else { "" }, self.wanted)
    }
}

impl Editor {
    pub(super) fn start_search(&mut self) {
        let (before, at) = (self.line.clone(), self.history.len());
        self.search = Some(HistorySearch { wanted: String::new(), before, at, failed: false });
    }

    /// Acts on a key during a search. Returns a key that ends the search and is still to be acted on.
    pub(super) fn press_in_search(&mut self, key: Key, echo: &mut String) -> Option<Key> {
        let mut search = self.search.take()?;
        match key {
            Key::Abort => {
                self.line = search.before;
                return None;
            }
            Key::Char(c) if search.wanted.chars().count() < self.limit => {
                search.wanted.push(c);
                // The line shown may contain the longer text as well.
                self.find(&mut search, false);
            }
            Key::Char(_) => search.failed = true,
            Key::Backspace => {
                search.wanted.pop();
                search.at = self.history.len();
                self.line = search.before.clone();
                search.failed = false;
                if !search.wanted.is_empty() {
                    self.find(&mut search, false);
                }
            }
            Key::Search => self.find(&mut search, true),
            _ => {
                let cursor = self.line.cursor();
                // The walk through the history goes on from here, and back to what was being typed.
                if search.at < self.history.len()
                    && let Some(line) = self.history.go_to(search.at, &search.before)
                {
                    self.line = line;
                    self.line.move_to(cursor);
                }
                return Some(key);
            }
        }
        if search.failed {
            echo.push(BELL);
        }
        self.search = Some(search);
        None
    }

    /// Finds the wanted text in the line shown or an older one; with `older`, in one that says something
    /// else.
    fn find(&mut self, search: &mut HistorySearch, older: bool) {
        let shown = self.history.get(search.at).filter(|_| older);
        let end = if older { search.at } else { search.at.saturating_add(1) };
        let found = self.history.find(&search.wanted, end, shown);
        search.failed = found.is_none();
        if let Some((index, place)) = found {
            search.at = index;
            self.line = EditLine::new(self.history.get(index).unwrap_or_default());
            self.line.move_to(place);
        }
    }
}
