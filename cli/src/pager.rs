//! A pager: a long text, a screenful at a time, with less's keys.
//!
//! | keys | what they do |
//! |---|---|
//! | Space, f; b | a screen on; back |
//! | Enter, Down, j; Up, k | a row on; back |
//! | d; u | half a screen on; back |
//! | g, Home; G, End | to the start; to the end |
//! | /TEXT Enter; n; N | search on for TEXT, small letters for any; again; backwards |
//! | h; q, Ctrl-C | the keys; leave |
//!
//! Lines wrap at the terminal's width. Control characters are shown as `?`, a tab as blanks up to the next
//! eighth column.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::edit::{Key, TerminalSize};

/// What the last row says for help.
const KEYS: &str = "Space b: screens  Enter k: rows  g G: ends  /TEXT n N: search  q: leave";

/// A text on a terminal.
#[derive(Debug)]
pub struct Pager {
    text: String,
    /// Where each line begins, and at the end where one more would.
    starts: Vec<u32>,
    size: TerminalSize,
    /// The first row shown: a line, and which of its rows.
    top: (usize, usize),
    /// What is typed after `/`.
    typing: Option<String>,
    /// What was searched for last.
    wanted: String,
    message: Option<String>,
}

impl Pager {
    /// Returns a pager at the start of a text, which has less than 4 GiB.
    pub fn new(mut text: String, size: TerminalSize) -> Self {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        let starts = core::iter::once(0).chain(ends).collect();
        Self { text, starts, size, top: (0, 0), typing: None, wanted: String::new(), message: None }
    }

    /// Returns the text that is paged through.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the terminal's size, as the pager was told last.
    pub fn size(&self) -> TerminalSize {
        self.size
    }

    /// Returns how many lines there are.
    fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Returns line `number` as the text has it, without its end.
    fn raw(&self, number: usize) -> &str {
        let at = |number: usize| self.starts.get(number).map_or(self.text.len(), |start| *start as usize);
        self.text.get(at(number)..at(number + 1)).unwrap_or_default().trim_end_matches(['\r', '\n'])
    }

    /// Returns whether all of the text is on the screen at once: there is nothing to page.
    pub fn fits(&self) -> bool {
        let mut rows = self.rows();
        (0..self.len()).all(|line| {
            let needed = self.rows_of(line);
            let fits = needed <= rows;
            rows = rows.saturating_sub(needed);
            fits
        })
    }

    /// Returns how many rows of the screen are for the text.
    fn rows(&self) -> usize {
        self.size.rows.saturating_sub(1).max(1)
    }

    /// Returns how many rows a line takes.
    fn rows_of(&self, line: usize) -> usize {
        shown(self.raw(line)).chars().count().div_ceil(self.size.columns.max(1)).max(1)
    }

    /// Takes a key; false if it ends the pager.
    pub fn press(&mut self, key: Key) -> bool {
        self.message = None;
        if let Some(mut typed) = self.typing.take() {
            match key {
                Key::Enter => {
                    if !typed.is_empty() {
                        self.wanted = typed;
                    }
                    self.search(true);
                }
                Key::Backspace if typed.pop().is_none() => {}
                Key::Interrupt | Key::Abort => {}
                Key::Char(c) => {
                    typed.push(c);
                    self.typing = Some(typed);
                }
                Key::Size(size) => {
                    self.size = size;
                    self.typing = Some(typed);
                }
                _ => self.typing = Some(typed),
            }
            return true;
        }
        let page = self.rows();
        match key {
            Key::Char('q' | 'Q') | Key::Interrupt | Key::DeleteOrEnd => return false,
            Key::Char(' ' | 'f') => self.down(page),
            Key::Char('b') => self.up(page),
            Key::Enter | Key::Down | Key::Char('j') => self.down(1),
            Key::Up | Key::Char('k') => self.up(1),
            Key::Char('d') => self.down(page / 2),
            Key::Char('u') | Key::KillToStart => self.up(page / 2),
            Key::Char('g' | '<') | Key::Home => self.top = (0, 0),
            Key::Char('G' | '>') | Key::End => {
                self.top = (self.len(), 0);
                self.up(page);
            }
            Key::Char('/') => self.typing = Some(String::new()),
            Key::Char('n') => self.search(true),
            Key::Char('N') => self.search(false),
            Key::Char('h') => self.message = Some(KEYS.into()),
            Key::Size(size) => {
                self.size = size;
                self.top.1 = 0;
            }
            _ => {}
        }
        true
    }

    fn down(&mut self, rows: usize) {
        for _ in 0..rows {
            if self.at_end() {
                break;
            }
            self.top = match self.top.1 + 1 < self.rows_of(self.top.0) {
                true => (self.top.0, self.top.1 + 1),
                false => (self.top.0 + 1, 0),
            };
        }
    }

    fn up(&mut self, rows: usize) {
        for _ in 0..rows {
            self.top = match self.top {
                (0, 0) => break,
                (line, 0) => (line - 1, self.rows_of(line - 1) - 1),
                (line, row) => (line, row - 1),
            };
        }
    }

    /// Returns whether the last row is on the screen.
    fn at_end(&self) -> bool {
        let lines = self.top.0..self.len().min(self.top.0 + self.rows() + 1);
        let rows = lines.map(|line| self.rows_of(line));
        rows.sum::<usize>().saturating_sub(self.top.1) <= self.rows()
    }

    /// Goes to the next line with what is wanted, or to the one before.
    fn search(&mut self, on: bool) {
        let any_case = !self.wanted.contains(char::is_uppercase);
        let has = |line: &usize| match any_case {
            true => self.raw(*line).to_lowercase().contains(&self.wanted),
            false => self.raw(*line).contains(&self.wanted),
        };
        let found = match on {
            true => (self.top.0 + 1..self.len()).find(has),
            false => (0..self.top.0).rev().find(has),
        };
        match found {
            _ if self.wanted.is_empty() => self.message = Some("nothing to search for".into()),
            Some(line) => self.top = (line, 0),
            None => self.message = Some("not found".into()),
        }
    }

    /// Returns the screen: what is to be written to the terminal. Rows end in CR LF.
    pub fn draw(&self) -> String {
        let mut out = String::from("\x1b[H");
        let (columns, mut left) = (self.size.columns.max(1), self.rows());
        for number in self.top.0..self.len() {
            let chars: Vec<char> = shown(self.raw(number)).chars().collect();
            let skipped = if number == self.top.0 { self.top.1 } else { 0 };
            let mut rows = chars.chunks(columns);
            let none: &[char] = &[];
            for row in 0..self.rows_of(number) {
                let row_chars = rows.next().unwrap_or(none);
                if row < skipped || left == 0 {
                    continue;
                }
                out.extend(row_chars);
                // After a full row, erasing would begin with its last character.
                out.push_str(if row_chars.len() < columns { "\x1b[K\r\n" } else { "\r\n" });
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        for _ in 0..left {
            out.push_str("~\x1b[K\r\n");
        }
        let status = match (&self.typing, &self.message) {
            (Some(typed), _) => alloc::format!("/{typed}"),
            (_, Some(message)) => message.clone(),
            _ if self.at_end() => "(end; q leaves, h helps)".into(),
            _ => {
                let percent = (self.top.0 * 100).checked_div(self.len()).unwrap_or(100);
                alloc::format!("line {} of {}, {percent}% (h helps)", self.top.0 + 1, self.len())
            }
        };
        let status: String = status.chars().take(columns.saturating_sub(1)).collect();
        let _ = write!(out, "\x1b[7m{status}\x1b[m\x1b[K");
        out
    }
}

fn shown(line: &str) -> String {
    let mut text = String::new();
    let mut column = 0;
    for c in line.chars() {
        match c {
            '\t' => {
                let blanks = 8 - column % 8;
                text.extend(core::iter::repeat_n(' ', blanks));
                column += blanks;
            }
            c => {
                // The last characters of Unicode stand for bytes that are no text.
                text.push(if c.is_control() || c > '\u{10feff}' { '?' } else { c });
                column += 1;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: TerminalSize = TerminalSize { rows: 4, columns: 10 };

    fn pager(text: &str) -> Pager {
        Pager::new(text.into(), SIZE)
    }

    /// The rows on the screen, the last one for the pager.
    fn rows(pager: &Pager) -> Vec<String> {
        let text = pager
            .draw()
            .replace("\x1b[H", "")
            .replace("\x1b[K", "")
            .replace("\x1b[7m", "")
            .replace("\x1b[m", "");
        text.split("\r\n").map(String::from).collect()
    }

    fn keys(pager: &mut Pager, keys: &str) {
        for c in keys.chars() {
            assert!(pager.press(if c == '\r' { Key::Enter } else { Key::Char(c) }));
        }
    }

    #[test]
    fn screens_rows_and_ends() {
        let mut pager = pager("1\n2\n3\n4\n5\n6\n7\n");
        assert_eq!(rows(&pager)[..3], ["1", "2", "3"]);
        keys(&mut pager, " ");
        assert_eq!(rows(&pager)[..3], ["4", "5", "6"]);
        keys(&mut pager, "    ");
        assert_eq!(rows(&pager)[..3], ["5", "6", "7"], "the end stays at the bottom");
        assert_eq!(rows(&pager)[3], "(end; q l");
        keys(&mut pager, "bk");
        assert_eq!(rows(&pager)[..3], ["1", "2", "3"]);
        keys(&mut pager, "\rG");
        assert_eq!(rows(&pager)[..3], ["5", "6", "7"]);
        keys(&mut pager, "g");
        assert_eq!(rows(&pager)[..3], ["1", "2", "3"]);
        assert!(!pager.press(Key::Char('q')) && !pager.press(Key::Interrupt));
    }

    #[test]
    fn long_lines_wrap_and_control_characters_do_nothing() {
        let mut pager = pager("0123456789abcdefghijk\n\x1b[2J\ta");
        assert_eq!(rows(&pager)[..3], ["0123456789", "abcdefghij", "k"]);
        assert!(
            pager.draw().contains("9\r\nabcdefghij\r\nk\x1b[K"),
            "a full row's last character is not erased"
        );
        keys(&mut pager, "jj");
        assert_eq!(rows(&pager)[..3], ["abcdefghij", "k", "?[2J    a"], "the end");
        assert!(pager.press(Key::Size(TerminalSize { rows: 6, columns: 40 })));
        assert_eq!(rows(&pager)[..3], ["0123456789abcdefghijk", "?[2J    a", "~"], "after a change of size");
    }

    #[test]
    fn a_search_goes_on_again_and_back() {
        let mut pager = pager("x\na\nx\nFox\nb\nc\nfoX\nd\ne\nf");
        keys(&mut pager, "/fox\r");
        assert_eq!(rows(&pager)[0], "Fox", "small letters stand for both");
        keys(&mut pager, "n");
        assert_eq!(rows(&pager)[0], "foX");
        keys(&mut pager, "n");
        assert_eq!((rows(&pager)[0].as_str(), rows(&pager)[3].as_str()), ("foX", "not found"));
        keys(&mut pager, "N");
        assert_eq!(rows(&pager)[0], "Fox");
        keys(&mut pager, "/Fo");
        assert_eq!(rows(&pager)[3], "/Fo");
        keys(&mut pager, "X\r");
        assert_eq!(rows(&pager)[3], "not found");
    }

    #[test]
    fn what_fits_needs_no_pager() {
        assert!(pager("1\n2\n3\n").fits() && !pager("1\n2\n3\n4\n").fits());
        assert!(!pager("0123456789abcdefghijk\n1").fits() && pager("").fits());
    }
}
