//! The line editor: a state machine from bytes typed on a serial terminal to lines, and to the echo.
//!
//! | keys | what they do |
//! |---|---|
//! | Left/Right, Ctrl-B/F; with Ctrl or Alt, Alt-B/F | move by characters; by words |
//! | Home/End, Ctrl-A/E | to the start, to the end |
//! | Backspace, Ctrl-H; Delete, Ctrl-D | delete back; delete under the cursor |
//! | Ctrl-K/U/W, Alt-D, Alt-Backspace; Ctrl-Y | cut to the end/start/blank, words; paste what was last cut |
//! | Ctrl-T; Ctrl-L | swap two characters; clear the screen |
//! | Up/Down, Ctrl-P/N; Ctrl-R | walk the history; search it (Ctrl-R: older, Ctrl-G: stop, others take it) |
//! | Tab; Tab Tab | complete; list the candidates |
//! | Enter; Ctrl-C; Ctrl-D on an empty line | [`EditEvent::Line`]; [`EditEvent::Interrupt`]; [`EditEvent::EndOfInput`] |
//!
//! Input is UTF-8; a character moves and goes as one and is taken to be one column wide (wide and combining
//! characters are displayed wrongly, but edited rightly). Lines wrap at the terminal's width: 80 columns,
//! unless the caller or the terminal says otherwise ([`ASK_SIZE`]); prompt and line together must fit the
//! terminal's height. The echo uses CR LF and a few VT100 sequences, is written with one `write_str` per key
//! and reports no errors: a terminal has none.
//!
//! | file | what it does |
//! |---|---|
//! | `keys.rs` | bytes into keys |
//! | `line.rs` | the characters and the cursor |
//! | `history.rs` | lines typed before |
//! | `search.rs` | Ctrl-R |
//! | `complete.rs` | the word before the cursor, and its candidates |
//! | `screen.rs` | what the terminal shows, and the least output that changes it |

mod complete;
mod history;
mod keys;
mod line;
mod screen;
mod search;

pub use complete::Completer;
pub use keys::{Decoder, Key, TerminalSize};

use alloc::string::String;
use alloc::vec::Vec;
use complete::Completion;
use core::fmt::Write;
use core::ops::Range;
use history::History;
use line::EditLine;
use screen::Screen;
use search::HistorySearch;

/// Has the terminal say how large it is, without a trace: the cursor goes as far down and right as the
/// terminal lets it, and is asked for. The answer comes among the keys, at any time; no terminal has to
/// answer.
pub const ASK_SIZE: &str = "\x1b7\x1b[999;999H\x1b[6n\x1b8";

const BELL: char = '\x07';

/// What a key led to, beyond a change of the line. The terminal's cursor is at the start of a new row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditEvent {
    /// A finished line, without its end.
    Line(String),
    /// Ctrl-C; the line typed so far is dropped.
    Interrupt,
    /// Ctrl-D on an empty line.
    EndOfInput,
}

/// A line being edited, the lines before it, and what the terminal shows of them.
#[derive(Debug)]
pub struct Editor {
    prompt: Vec<char>,
    line: EditLine,
    limit: usize,
    decoder: Decoder,
    history: History,
    search: Option<HistorySearch>,
    screen: Screen,
    size: TerminalSize,
    /// What was cut last.
    cut: Vec<char>,
    last: LastKey,
}

/// The last key, as far as the next one has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastKey {
    Cut,
    Tab,
    Other,
}

impl Default for Editor {
    fn default() -> Self {
        Self::new()
    }
}

impl Editor {
    /// Returns an editor with no prompt, for 80 columns, lines of up to 1024 characters and a history of 100
    /// lines.
    pub fn new() -> Self {
        Self::with_limits(1024, 100)
    }

    /// Returns an editor for lines of up to `line` characters, which keeps `history` of them.
    pub fn with_limits(line: usize, history: usize) -> Self {
        Self {
            prompt: Vec::new(),
            line: EditLine::default(),
            limit: line,
            decoder: Decoder::default(),
            history: History::new(history),
            search: None,
            screen: Screen::new(),
            size: TerminalSize::USUAL,
            cut: Vec::new(),
            last: LastKey::Other,
        }
    }

    /// Sets the terminal's size; at least 2 columns count. To be called before [`start`](Self::start).
    pub fn set_size(&mut self, size: TerminalSize) {
        self.size = size;
        self.screen.set_width(size.columns);
    }

    /// Returns the terminal's size, as [`set_size`](Self::set_size) was told last.
    pub fn size(&self) -> TerminalSize {
        self.size
    }

    /// Shows the prompt, plain text without control characters, on the empty row the cursor is on. To be
    /// called before the first key and after every event.
    pub fn start(&mut self, prompt: &str, out: &mut impl Write) {
        self.prompt = prompt.chars().filter(|c| !c.is_control()).collect();
        self.redraw(out);
    }

    /// Takes the prompt and the line off the terminal, so that a message can be printed in their place. After
    /// it, and its newline: [`redraw`](Self::redraw).
    pub fn hide(&mut self, out: &mut impl Write) {
        let mut echo = String::new();
        self.screen.hide(&mut echo);
        let _ = out.write_str(&echo);
    }

    /// Shows the prompt and the line again, on the empty row the cursor is on.
    pub fn redraw(&mut self, out: &mut impl Write) {
        let mut echo = String::new();
        self.screen.forget();
        self.show(&mut echo);
        let _ = out.write_str(&echo);
    }

    /// Returns what has been typed.
    pub fn line(&self) -> String {
        self.line.text()
    }

    /// Returns what the terminal shows now: the text, prompt included, and how many characters are before
    /// the cursor.
    pub fn view(&self) -> (String, usize) {
        let (text, cursor) = self.shown();
        (text.into_iter().collect(), cursor)
    }

    /// Returns the lines typed before, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.history.lines()
    }

    /// Adds a line to the history, as if it had been typed.
    pub fn add_history(&mut self, line: &str) {
        self.history.add(line);
    }

    /// Takes one byte from the terminal and writes the echo. Tab completes nothing.
    pub fn feed(&mut self, byte: u8, out: &mut impl Write) -> Option<EditEvent> {
        self.feed_with(byte, &mut |_: &[String], _: &str| Vec::new(), out)
    }

    /// Takes one byte from the terminal and writes the echo. Tab asks the completer.
    pub fn feed_with(
        &mut self,
        byte: u8,
        completer: &mut dyn Completer,
        out: &mut impl Write,
    ) -> Option<EditEvent> {
        let key = self.decoder.feed(byte)?;
        let mut echo = String::new();
        let event = if self.search.is_some() && !matches!(key, Key::Size(_)) {
            self.press_in_search(key, &mut echo)
        } else {
            Some(key)
        }
        .and_then(|key| self.press(key, completer, &mut echo));
        if event.is_none() {
            self.show(&mut echo);
        }
        if !echo.is_empty() {
            let _ = out.write_str(&echo);
        }
        event
    }

    fn press(&mut self, key: Key, completer: &mut dyn Completer, echo: &mut String) -> Option<EditEvent> {
        let last = core::mem::replace(&mut self.last, LastKey::Other);
        let (cursor, end) = (self.line.cursor(), self.line.len());
        let done = match key {
            Key::Enter => return Some(self.finish(echo)),
            Key::Interrupt => {
                self.leave("^C", echo);
                return Some(EditEvent::Interrupt);
            }
            Key::DeleteOrEnd if self.line.is_empty() => {
                self.leave("", echo);
                return Some(EditEvent::EndOfInput);
            }
            Key::Char(c) => self.insert(cursor..cursor, &[c]),
            Key::Backspace => self.delete(cursor.saturating_sub(1)..cursor),
            Key::Delete | Key::DeleteOrEnd => self.delete(cursor..cursor + 1),
            Key::Left => cursor > 0 && self.go_to(cursor - 1),
            Key::Right => cursor < end && self.go_to(cursor + 1),
            Key::WordLeft => self.go_to(self.line.word_left()),
            Key::WordRight => self.go_to(self.line.word_right()),
            Key::Home => self.go_to(0),
            Key::End => self.go_to(end),
            Key::KillToEnd => self.cut(cursor..end, last),
            Key::KillToStart => self.cut(0..cursor, last),
            Key::KillBlankWord => self.cut(self.line.blank_word_left()..cursor, last),
            Key::KillWordLeft => self.cut(self.line.word_left()..cursor, last),
            Key::KillWordRight => self.cut(cursor..self.line.word_right(), last),
            Key::Yank => {
                let cut = self.cut.clone();
                self.insert(cursor..cursor, &cut)
            }
            Key::Transpose => self.line.transpose(),
            Key::Up => self.history.up(&self.line).map(|line| self.line = line).is_some(),
            Key::Down => self.history.down(&self.line).map(|line| self.line = line).is_some(),
            Key::Search => {
                self.start_search();
                true
            }
            Key::Clear => {
                self.screen.clear(echo);
                true
            }
            Key::Tab => self.complete(completer, last, echo),
            Key::Abort => false,
            // Nobody has pressed it.
            Key::Size(size) => {
                self.last = last;
                self.size = size;
                self.screen.resize(size.columns, echo);
                true
            }
        };
        if !done {
            echo.push(BELL);
        }
        None
    }

    fn finish(&mut self, echo: &mut String) -> EditEvent {
        let line = self.line.text();
        self.leave("", echo);
        self.history.add(&line);
        EditEvent::Line(line)
    }

    /// Ends the line on the terminal, with a mark, and begins an empty one.
    fn leave(&mut self, mark: &str, echo: &mut String) {
        self.line.move_to(self.line.len());
        let (mut text, _) = self.shown();
        text.extend(mark.chars());
        self.screen.show(&text, text.len(), echo);
        self.screen.leave(echo);
        self.line = EditLine::default();
        self.prompt.clear();
        self.history.stop();
    }

    fn go_to(&mut self, cursor: usize) -> bool {
        self.line.move_to(cursor);
        true
    }

    /// Replaces a range, unless the line would get too long.
    fn insert(&mut self, range: Range<usize>, text: &[char]) -> bool {
        let fits = self.line.len() - range.len().min(self.line.len()) + text.len() <= self.limit;
        if fits {
            self.line.replace(range, text.iter().copied());
        }
        fits
    }

    fn delete(&mut self, range: Range<usize>) -> bool {
        !self.line.replace(range, []).is_empty()
    }

    /// Deletes characters like `delete`, but keeps them for Ctrl-Y; cuts in a row are kept together.
    fn cut(&mut self, range: Range<usize>, last: LastKey) -> bool {
        let backwards = range.end == self.line.cursor();
        let mut cut = self.line.replace(range, []);
        self.last = LastKey::Cut;
        if cut.is_empty() {
            return false;
        }
        if last != LastKey::Cut {
            self.cut = cut;
        } else if backwards {
            cut.append(&mut self.cut);
            self.cut = cut;
        } else {
            self.cut.append(&mut cut);
        }
        true
    }

    fn complete(&mut self, completer: &mut dyn Completer, last: LastKey, echo: &mut String) -> bool {
        match complete::complete(&self.line, completer) {
            Completion::Nothing => false,
            Completion::Replace { start, text } => {
                self.last = LastKey::Tab;
                let text: Vec<char> = text.chars().collect();
                self.insert(start..self.line.cursor(), &text)
            }
            Completion::Choice(candidates) => {
                self.last = LastKey::Tab;
                if last == LastKey::Tab {
                    self.screen.leave(echo);
                    complete::list(&candidates, self.screen.width(), echo);
                }
                last == LastKey::Tab
            }
        }
    }

    fn shown(&self) -> (Vec<char>, usize) {
        let mut text: Vec<char> = match &self.search {
            None => self.prompt.clone(),
            Some(search) => search.prompt().chars().collect(),
        };
        let cursor = text.len() + self.line.cursor();
        text.extend_from_slice(self.line.chars());
        (text, cursor)
    }

    fn show(&mut self, echo: &mut String) {
        let (text, cursor) = self.shown();
        self.screen.show(&text, cursor, echo);
    }
}
