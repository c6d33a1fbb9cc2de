//! What the terminal shows of the prompt and the line, and the least output that changes it.
//!
//! The text starts at column 0 of some row and wraps at the terminal's width. Every character is one column
//! wide. Terminals do not wrap when the last column is filled but when the next character comes (VT100 and
//! everything since). That is used as it is, so the echo of a long line is the line, unbroken, and readable
//! in a log; while the text just fills its row, the cursor stands on its last character.
//!
//! Positions are counted in characters from the start of the text: row = position / width, column = the rest.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// The part of the terminal that belongs to the editor.
#[derive(Debug)]
pub(super) struct Screen {
    width: usize,
    shown: Vec<char>,
    /// The terminal's cursor. Beyond `shown` only in the middle of a change.
    cursor: usize,
    /// The last column was just filled and the terminal has yet to wrap: the cursor is really one row up.
    pending: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { width: 80, shown: Vec::new(), cursor: 0, pending: false }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Sets the terminal's width, in columns; at least 2 are taken.
    pub(super) fn set_width(&mut self, columns: usize) {
        self.width = columns.max(2);
    }

    /// Takes the text away, to be shown anew, for a terminal that has become wider or narrower. Terminals
    /// wrap what they show anew, and move the cursor with it.
    pub(super) fn resize(&mut self, columns: usize, out: &mut String) {
        let columns = columns.max(2);
        if columns == self.width {
            return;
        }
        self.width = columns;
        self.pending &= self.cursor.is_multiple_of(columns);
        self.hide(out);
    }

    /// Forgets what is shown: a new text starts here, at column 0 of an empty row, where the terminal's
    /// cursor is.
    pub(super) fn forget(&mut self) {
        self.shown.clear();
        self.cursor = 0;
        self.pending = false;
    }

    /// Changes what is shown to `text`, with the cursor before the character number `cursor`, or at the end.
    pub(super) fn show(&mut self, text: &[char], cursor: usize, out: &mut String) {
        let same = self.shown.iter().zip(text).take_while(|(old, new)| old == new).count();
        if same < self.shown.len().max(text.len()) {
            self.go_to(same, out);
            for c in text.get(same..).unwrap_or_default() {
                out.push(*c);
                self.cursor += 1;
                self.pending = self.cursor.is_multiple_of(self.width);
            }
            self.erase(self.shown.len(), out);
            self.shown = text.into();
        }
        self.go_to(cursor.min(text.len()), out);
    }

    /// Erases from the cursor up to the end of the old text.
    fn erase(&mut self, old_end: usize, out: &mut String) {
        if old_end <= self.cursor {
            return;
        }
        if self.pending {
            // Erasing would begin with the character just written. The next row exists: the old text was
            // there.
            out.push_str("\r\n");
            self.pending = false;
        }
        let rest_of_row = self.width - self.cursor % self.width;
        match old_end - self.cursor {
            // The usual Backspace: a blank does it, on the dumbest of terminals too.
            1 if rest_of_row > 1 => {
                out.push(' ');
                self.cursor += 1;
            }
            n if n <= rest_of_row => out.push_str("\x1b[K"),
            _ => out.push_str("\x1b[J"),
        }
    }

    fn go_to(&mut self, target: usize, out: &mut String) {
        if target == self.cursor {
            return;
        }
        // The row after a full last one may not exist: go to the end by writing the last character again.
        let on_its_row = !self.pending && self.cursor / self.width == target / self.width;
        if target == self.shown.len()
            && target.is_multiple_of(self.width)
            && !on_its_row
            && let Some(last) = self.shown.last().copied()
        {
            self.go_to_character(target - 1, out);
            out.push(last);
            self.cursor = target;
            self.pending = true;
        } else {
            self.go_to_character(target, out);
        }
    }

    /// Moves to a position whose row exists.
    fn go_to_character(&mut self, target: usize, out: &mut String) {
        let (mut row, mut column) = (self.cursor / self.width, self.cursor % self.width);
        if self.pending {
            // A carriage return is the one motion that all terminals agree on in this state.
            out.push('\r');
            row = row.saturating_sub(1);
            column = 0;
        }
        let (to_row, to_column) = (target / self.width, target % self.width);
        if to_row < row {
            motion(row - to_row, 'A', out);
        }
        if to_row > row {
            motion(to_row - row, 'B', out);
        }
        if to_column == 0 && column > 0 {
            out.push('\r');
        } else if to_column < column {
            match column - to_column {
                n @ 1..4 => out.extend(core::iter::repeat_n('\x08', n)),
                n => motion(n, 'D', out),
            }
        } else if to_column > column {
            // Writing what is there already is shorter than a short motion.
            match self.shown.get(target - (to_column - column)..target) {
                Some(there @ ([_] | [_, _] | [_, _, _])) => out.extend(there),
                _ => motion(to_column - column, 'C', out),
            }
        }
        self.cursor = target;
        self.pending = false;
    }

    /// Leaves the text where it is and goes to the row below.
    pub(super) fn leave(&mut self, out: &mut String) {
        self.go_to(self.shown.len(), out);
        out.push_str("\r\n");
        self.forget();
    }

    /// Removes the text from the terminal.
    pub(super) fn hide(&mut self, out: &mut String) {
        if !self.shown.is_empty() {
            self.go_to(0, out);
            out.push_str("\x1b[J");
        }
        self.forget();
    }

    /// Clears the whole terminal.
    pub(super) fn clear(&mut self, out: &mut String) {
        out.push_str("\x1b[H\x1b[2J");
        self.forget();
    }
}

/// `ESC [ n letter`.
fn motion(n: usize, letter: char, out: &mut String) {
    // Writing to a String does not fail.
    let _ = if n == 1 { write!(out, "\x1b[{letter}") } else { write!(out, "\x1b[{n}{letter}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a change from one text and cursor to another writes.
    fn change(from: (&str, usize), to: (&str, usize)) -> String {
        let mut screen = Screen::new();
        screen.set_width(10);
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        screen.show(&chars(from.0), from.1, &mut String::new());
        let mut out = String::new();
        screen.show(&chars(to.0), to.1, &mut out);
        out
    }

    #[test]
    fn appending_echoes_just_the_character() {
        assert_eq!(change(("$ a", 3), ("$ ab", 4)), "b");
        assert_eq!(change(("0123456789", 10), ("0123456789a", 11)), "a");
    }

    #[test]
    fn no_change_writes_nothing() {
        assert_eq!(change(("$ a", 2), ("$ a", 2)), "");
    }

    #[test]
    fn backspace_at_the_end_is_understood_by_every_terminal() {
        assert_eq!(change(("$ ab", 4), ("$ a", 3)), "\x08 \x08");
    }

    #[test]
    fn erasing_uses_the_least_that_does_it() {
        assert_eq!(change(("$ abc", 5), ("$ a", 3)), "\x08\x08\x1b[K");
        assert_eq!(change(("0123456789ab", 12), ("01234", 5)), "\x1b[A234\x1b[J");
        assert_eq!(change(("0123456789", 10), ("012345678", 9)), "\r\x1b[9C\x1b[K");
    }

    #[test]
    fn a_full_row_is_not_eaten_by_erasing_the_next() {
        assert_eq!(change(("012345678xa", 9), ("0123456789", 10)), "9\r\n \r");
        assert_eq!(change(("012345678xabc", 9), ("0123456789", 10)), "9\r\n\x1b[K");
    }

    #[test]
    fn the_end_of_a_full_row_is_reached_by_writing_its_last_character() {
        assert_eq!(change(("0123456789", 0), ("0123456789", 10)), "\x1b[9C9");
        assert_eq!(change(("0123456789", 10), ("0123456789", 0)), "\r");
    }

    #[test]
    fn a_change_of_width_takes_the_text_away_from_its_first_row_on() {
        let mut screen = Screen::new();
        screen.set_width(10);
        let text: Vec<char> = "0123456789abcdefghijklm".chars().collect();
        screen.show(&text, 23, &mut String::new());
        let mut out = String::new();
        screen.resize(10, &mut out);
        assert_eq!(out, "", "nothing has changed");
        screen.resize(8, &mut out);
        assert_eq!(out, "\x1b[2A\r\x1b[J", "character 23 is in the third row of 8");
        out.clear();
        screen.show(&text[..12], 12, &mut out);
        screen.show(&text[..12], 0, &mut out);
        assert_eq!(out, "0123456789ab\x1b[A\r");
    }

    #[test]
    fn motions_are_short() {
        assert_eq!(change(("abcdefgh", 8), ("abcdefgh", 0)), "\r");
        assert_eq!(change(("abcdefgh", 8), ("abcdefgh", 7)), "\x08");
        assert_eq!(change(("abcdefgh", 8), ("abcdefgh", 2)), "\x1b[6D");
        assert_eq!(change(("abcdefgh", 0), ("abcdefgh", 2)), "ab");
        assert_eq!(change(("abcdefgh", 0), ("abcdefgh", 7)), "\x1b[7C");
    }
}
