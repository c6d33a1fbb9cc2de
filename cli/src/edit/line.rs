//! The line being edited: characters and a cursor. No terminal here.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Characters, and the cursor before one of them or at the end: never beyond it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EditLine {
    chars: Vec<char>,
    cursor: usize,
}

impl EditLine {
    /// Returns a line with the cursor at its end.
    pub(super) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        Self { cursor: chars.len(), chars }
    }

    pub(super) fn chars(&self) -> &[char] {
        &self.chars
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// Returns what stands before the cursor.
    pub(super) fn before(&self) -> String {
        self.chars.iter().take(self.cursor).collect()
    }

    /// Returns the character under the cursor.
    pub(super) fn under(&self) -> Option<char> {
        self.chars.get(self.cursor).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.chars.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    pub(super) fn move_to(&mut self, cursor: usize) {
        self.cursor = cursor.min(self.chars.len());
    }

    /// Replaces the range and leaves the cursor after the replacement. Returns what was there.
    pub(super) fn replace(&mut self, range: Range<usize>, with: impl IntoIterator<Item = char>) -> Vec<char> {
        let end = range.end.min(self.chars.len());
        let start = range.start.min(end);
        let before = self.chars.len();
        let removed: Vec<char> = self.chars.splice(start..end, with).collect();
        self.cursor = (end + self.chars.len()).saturating_sub(before);
        removed
    }

    /// Returns where a word of letters and digits before the cursor starts.
    pub(super) fn word_left(&self) -> usize {
        self.back_over(self.back_over(self.cursor, |c| !c.is_alphanumeric()), char::is_alphanumeric)
    }

    /// Returns where a word of letters and digits after the cursor ends.
    pub(super) fn word_right(&self) -> usize {
        let over = |at: usize, wanted: fn(char) -> bool| {
            at + self.chars.iter().skip(at).take_while(|c| wanted(**c)).count()
        };
        over(over(self.cursor, |c| !c.is_alphanumeric()), char::is_alphanumeric)
    }

    /// Returns where a word between blanks before the cursor starts.
    pub(super) fn blank_word_left(&self) -> usize {
        self.back_over(self.back_over(self.cursor, char::is_whitespace), |c| !c.is_whitespace())
    }

    fn back_over(&self, at: usize, wanted: fn(char) -> bool) -> usize {
        let before = self.chars.get(..at).unwrap_or_default();
        at - before.iter().rev().take_while(|c| wanted(**c)).count()
    }

    /// Swaps the characters around the cursor, or the last two if the cursor is at the end, and moves the
    /// cursor on. False if there are none to swap.
    pub(super) fn transpose(&mut self) -> bool {
        let right = self.cursor.min(self.chars.len().saturating_sub(1));
        if self.cursor == 0 || right == 0 {
            return false;
        }
        self.chars.swap(right - 1, right);
        self.cursor = right + 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_ends_stop_at_letters_and_blank_words_at_blanks() {
        let mut line = EditLine::new("cat /a-b.c  ");
        assert_eq!((line.word_left(), line.blank_word_left()), (9, 4));
        line.move_to(0);
        assert_eq!((line.word_left(), line.blank_word_left(), line.word_right()), (0, 0, 3));
        line.move_to(3);
        assert_eq!(line.word_right(), 6);
        line.move_to(99);
        assert_eq!((line.cursor(), line.word_right()), (12, 12));
    }

    #[test]
    fn transposing_at_the_edges() {
        let mut line = EditLine::new("abc");
        assert!(line.transpose());
        assert_eq!((line.text().as_str(), line.cursor()), ("acb", 3));
        line.move_to(1);
        assert!(line.transpose());
        assert_eq!((line.text().as_str(), line.cursor()), ("cab", 2));
        line.move_to(0);
        assert!(!line.transpose());
        assert!(!EditLine::new("a").transpose());
        assert!(!EditLine::new("").transpose());
    }

    #[test]
    fn replacing_beyond_the_end_is_cut() {
        let mut line = EditLine::new("abc");
        assert_eq!(line.replace(2..9, "xy".chars()), ['c']);
        assert_eq!((line.text().as_str(), line.cursor()), ("abxy", 4));
        assert_eq!(line.replace(7..9, "z".chars()), []);
        assert_eq!(line.text(), "abxyz");
    }
}
