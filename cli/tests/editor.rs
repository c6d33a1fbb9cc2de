//! The line editor against a simple model of its keys and a tiny terminal for its echo: after every key the
//! line is the model's, the terminal shows prompt and line, and its cursor is where it belongs.

mod common;

use cli::edit::{EditEvent, Editor, TerminalSize};
use common::Terminal;
use proptest::prelude::*;

fn candidates(_: &[String], word: &str) -> Vec<String> {
    ["alpha", "alphabet", "beta one", "dir/", "dir/x", "dir/y", "é€"]
        .iter()
        .filter(|candidate| candidate.starts_with(word))
        .map(|candidate| candidate.to_string())
        .collect()
}

/// An editor at a terminal.
struct Desk {
    editor: Editor,
    terminal: Terminal,
    width: usize,
    /// Everything echoed since it was last emptied.
    echo: String,
}

impl Desk {
    fn new(width: usize, row: usize, prompt: &str) -> Self {
        let mut editor = Editor::with_limits(100, 5);
        editor.set_size(TerminalSize { rows: 40, columns: width });
        let mut desk = Self { editor, terminal: Terminal::new(width, 40), width, echo: String::new() };
        desk.terminal.row = row;
        desk.start(prompt);
        desk
    }

    fn start(&mut self, prompt: &str) {
        let mut out = String::new();
        self.editor.start(prompt, &mut out);
        self.terminal.print(&out);
    }

    fn byte(&mut self, byte: u8) -> Option<EditEvent> {
        let mut out = String::new();
        let event = self.editor.feed_with(byte, &mut candidates, &mut out);
        self.terminal.print(&out);
        self.echo.push_str(&out);
        event
    }

    /// Types, checks the terminal after each byte and returns the events.
    fn keys(&mut self, keys: impl AsRef<[u8]>) -> Vec<EditEvent> {
        let mut events = Vec::new();
        for &byte in keys.as_ref() {
            if let Some(event) = self.byte(byte) {
                assert_eq!((self.terminal.column, self.terminal.text(self.terminal.row)), (0, String::new()));
                events.push(event);
                self.start("$ ");
            }
            self.check();
        }
        events
    }

    /// The terminal shows what the editor means to show, nothing beside it, and the cursor is right.
    fn check(&self) {
        let (text, cursor) = self.editor.view();
        let text: Vec<char> = text.chars().collect();
        let on = self.terminal.row * self.width + self.terminal.column;
        // A text that just fills its row leaves the cursor on its last character or after it.
        let fills = cursor == text.len() && cursor > 0 && cursor % self.width == 0;
        let start =
            if fills && self.terminal.column == self.width - 1 { on + 1 - cursor } else { on - cursor };
        assert_eq!(start % self.width, 0, "cursor at {} in {text:?}", self.terminal.column);
        let screen: Vec<char> = self.terminal.rows.concat();
        assert!(screen[start..].starts_with(&text), "{:?} instead of {text:?}", self.terminal.rows);
        assert!(screen[start + text.len()..].iter().all(|c| *c == ' '), "remains after {text:?}");
    }

    fn view(&self) -> (String, usize) {
        self.editor.view()
    }
}

fn line(text: &str) -> EditEvent {
    EditEvent::Line(text.into())
}

#[test]
fn typing_echoes_nothing_but_the_characters() {
    let mut desk = Desk::new(80, 0, "$ ");
    let typed = "pwrite -S 0x61 0 4k é€ ".repeat(4);
    desk.keys(&typed);
    assert_eq!(desk.echo, typed);
    assert_eq!(desk.keys("\r"), [line(&typed)]);
}

#[test]
fn every_line_end_ends_one_line() {
    let mut desk = Desk::new(80, 0, "$ ");
    assert_eq!(desk.keys("a\rb\nc\r\nd\r\r\n"), [line("a"), line("b"), line("c"), line("d"), line("")]);
}

#[test]
fn interrupt_shows_a_mark_and_drops_the_line() {
    let mut desk = Desk::new(80, 0, "$ ");
    assert_eq!(desk.keys("abc\x02\x03"), [EditEvent::Interrupt]);
    assert_eq!(desk.terminal.text(0), "$ abc^C");
    assert_eq!(desk.keys("\x10"), []);
    assert_eq!((desk.view().0.as_str(), desk.terminal.bells), ("$ ", 1));
}

#[test]
fn end_of_input_only_on_an_empty_line() {
    let mut desk = Desk::new(80, 0, "$ ");
    assert_eq!(desk.keys("ab\x01\x04\x04"), []);
    assert_eq!(desk.keys("\x04"), [EditEvent::EndOfInput]);
}

#[test]
fn cuts_in_a_row_are_pasted_together() {
    let mut desk = Desk::new(80, 0, "$ ");
    assert_eq!(desk.keys("one two three\x17\x17\x19\x19\r"), [line("one two threetwo three")]);
    assert_eq!(desk.keys("abc def\x01\x1bd\x1bd\x05 \x19\r"), [line(" abc def")]);
    assert_eq!(desk.keys("/a/b\x1b\x7f\x0bx\x15\x19\x19\r"), [line("/a/x/a/x")]);
}

#[test]
fn history_walks_without_duplicates_and_keeps_what_was_typed() {
    let mut desk = Desk::new(80, 0, "$ ");
    desk.keys("a\rb\rb\rtyp\x1b[A\x1b[A");
    assert_eq!(desk.view().0, "$ a");
    desk.keys("\x1bOB\x1bOB");
    assert_eq!(desk.view(), ("$ typ".into(), 5));
    assert!(desk.editor.history().eq(["a", "b"]));
}

#[test]
fn search_finds_older_lines_and_can_be_left_both_ways() {
    let mut desk = Desk::new(80, 0, "$ ");
    desk.keys("mount /a\rls\rumount /a\rdf\r");
    desk.keys("typ\x12mo");
    assert_eq!(desk.view(), ("(reverse-i-search)`mo': umount /a".into(), 25));
    desk.keys("\x12");
    assert_eq!(desk.view(), ("(reverse-i-search)`mo': mount /a".into(), 24));
    desk.keys("\x12");
    assert_eq!(desk.view().0, "(failed reverse-i-search)`mo': mount /a");
    desk.keys("\x07");
    assert_eq!(desk.view(), ("$ typ".into(), 5));
    assert_eq!(desk.keys("\x12mo\x12\r"), [line("mount /a")]);
    // A key of motion takes the match; the walk goes on from there.
    desk.keys("x\x12ls\x05s");
    assert_eq!(desk.view().0, "$ lss");
    desk.keys("\x0e");
    assert_eq!(desk.view().0, "$ umount /a");
}

#[test]
fn tab_completes_and_a_second_one_lists() {
    let mut desk = Desk::new(80, 0, "$ ");
    desk.keys("al\t");
    assert_eq!((desk.view().0.as_str(), desk.terminal.bells), ("$ alpha", 0));
    desk.keys("\t");
    assert_eq!(desk.terminal.text(0), "$ alpha");
    assert_eq!(desk.terminal.text(1), "alpha     alphabet");
    assert_eq!(desk.terminal.text(2), "$ alpha");
    assert_eq!(desk.keys("\x15cat be\tx\r"), [line("cat beta\\ one x")]);
    desk.keys("zz\t");
    assert_eq!(desk.terminal.bells, 1);
}

#[test]
fn the_line_is_bounded_with_a_bell() {
    let mut desk = Desk::new(80, 0, "$ ");
    desk.keys("x".repeat(101));
    assert_eq!((desk.editor.line().len(), desk.terminal.bells), (100, 1));
    desk.keys("\x17\x19\x19");
    assert_eq!((desk.editor.line().len(), desk.terminal.bells), (100, 2));
}

#[test]
fn messages_can_take_the_place_of_the_line() {
    let mut desk = Desk::new(20, 0, "$ ");
    desk.keys("a line of more than twenty\x01");
    let mut out = String::new();
    desk.editor.hide(&mut out);
    out.push_str("message\r\n");
    desk.editor.redraw(&mut out);
    desk.terminal.print(&out);
    desk.check();
    assert_eq!(
        (desk.terminal.text(0), desk.terminal.text(1)),
        ("message".into(), "$ a line of more tha".into())
    );
}

#[test]
fn clearing_the_screen_keeps_the_line() {
    let mut desk = Desk::new(80, 7, "$ ");
    desk.keys("abc\x02\x0c");
    assert_eq!((desk.terminal.row, desk.terminal.text(0)), (0, "$ abc".into()));
}

#[test]
fn lines_at_the_bottom_scroll() {
    let mut desk = Desk::new(10, 39, "$ ");
    desk.keys("0123456789012345678901234567\x01x\x05y\x01\x0b");
    assert_eq!(desk.view().0, "$ ");
}

/// Keys whose effect the model knows.
const KEYS: [&str; 20] = [
    "\x1b[C", "\x1bOD", "\x02", "\x06", "\x01", "\x1b[F", "\x7f", "\x08", "\x1b[3~", "\x14", "\x0b", "\x15",
    "\x17", "\x1bb", "\x1bf", "a", "é", " ", "b", "\x0c",
];

/// What the keys above do, in the plainest way.
fn model(line: &mut Vec<char>, cursor: &mut usize, key: &str) {
    let word = |c: char| c.is_alphanumeric();
    match key {
        "\x1b[C" | "\x06" => *cursor = (*cursor + 1).min(line.len()),
        "\x1bOD" | "\x02" => *cursor = cursor.saturating_sub(1),
        "\x01" => *cursor = 0,
        "\x1b[F" => *cursor = line.len(),
        "\x7f" | "\x08" if *cursor > 0 => {
            *cursor -= 1;
            line.remove(*cursor);
        }
        "\x1b[3~" if *cursor < line.len() => drop(line.remove(*cursor)),
        "\x14" if *cursor > 0 && line.len() > 1 => {
            *cursor = (*cursor + 1).min(line.len());
            line.swap(*cursor - 2, *cursor - 1);
        }
        "\x0b" => line.truncate(*cursor),
        "\x15" => {
            line.drain(..std::mem::take(cursor));
        }
        "\x17" => {
            let end = *cursor;
            while *cursor > 0 && line[*cursor - 1] == ' ' {
                *cursor -= 1;
            }
            while *cursor > 0 && line[*cursor - 1] != ' ' {
                *cursor -= 1;
            }
            line.drain(*cursor..end);
        }
        "\x1bb" => {
            while *cursor > 0 && !word(line[*cursor - 1]) {
                *cursor -= 1;
            }
            while *cursor > 0 && word(line[*cursor - 1]) {
                *cursor -= 1;
            }
        }
        "\x1bf" => {
            while *cursor < line.len() && !word(line[*cursor]) {
                *cursor += 1;
            }
            while *cursor < line.len() && word(line[*cursor]) {
                *cursor += 1;
            }
        }
        "a" | "é" | " " | "b" if line.len() < 100 => {
            line.insert(*cursor, key.chars().next().unwrap());
            *cursor += 1;
        }
        _ => {}
    }
}

/// Bytes that are often the start, the middle or the end of something.
fn likely_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => prop::sample::select(&b"ab dlr/'\\#"[..]),
        3 => prop::sample::select(&b"\x1b[O;135~ABCDHF\t\r\n\x12\x10\x0e\x7f\x01\x05\x17\x19\x14\x02"[..]),
        1 => prop::sample::select(&b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"[..]),
        1 => any::<u8>(),
    ]
}

proptest! {
    #[test]
    fn known_keys_do_what_the_model_does(
        width in 2usize..30,
        row in 0usize..40,
        text in "[a-z é]{0,60}",
        keys in prop::collection::vec(prop::sample::select(&KEYS[..]), 0..80),
    ) {
        // Narrow terminals have fewer rows than the line could need.
        let width = width.max((text.chars().count() + keys.len() + 2).div_ceil(30));
        let mut desk = Desk::new(width, row, "$ ");
        desk.keys(&text);
        let mut line: Vec<char> = text.chars().collect();
        let mut cursor = line.len();
        for key in keys {
            desk.keys(key);
            model(&mut line, &mut cursor, key);
            let expected = format!("$ {}", line.iter().collect::<String>());
            prop_assert_eq!(desk.view(), (expected, cursor + 2));
        }
    }

    #[test]
    fn random_bytes_never_panic_and_the_terminal_stays_right(
        width in 6usize..90,
        row in 0usize..40,
        bytes in prop::collection::vec(likely_byte(), 0..150),
    ) {
        let mut desk = Desk::new(width, row, "$ ");
        desk.keys("ls dir\rcat alpha\r");
        desk.keys(&bytes);
        prop_assert!(desk.editor.line().chars().count() <= 100);
        prop_assert!(desk.editor.history().count() <= 5);
    }

    #[test]
    fn bytes_at_random_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        width in any::<u8>(),
    ) {
        let mut editor = Editor::with_limits(20, 2);
        editor.set_size(TerminalSize { rows: 40, columns: width.into() });
        let mut out = String::new();
        for byte in bytes {
            editor.feed(byte, &mut out);
        }
    }
}

/// The answer comes in the middle of what is typed, and nothing of it is taken for keys.
#[test]
fn the_terminal_says_how_wide_it_is() {
    let mut desk = Desk::new(80, 0, "$ ");
    (desk.terminal, desk.width) = (Terminal::new(20, 40), 20);
    desk.terminal.print("$ ");
    desk.keys("ec");
    for byte in *b"\x1b[40;20R" {
        assert_eq!(desk.byte(byte), None);
    }
    assert_eq!(desk.editor.size(), TerminalSize { rows: 40, columns: 20 });
    // Each key checks that the terminal, which wraps at 20, shows the line.
    let events = desk.keys("ho a line that is longer than the terminal is wide\x1b[D\x08x\r");
    assert_eq!(events, [EditEvent::Line("echo a line that is longer than the terminal is wixe".into())]);
    // F3 with Shift, as xterm sends it, is no answer.
    desk.keys("a\x1b[1;2Rb");
    assert_eq!((desk.editor.size().columns, desk.editor.line()), (20, "ab".into()));
}

/// A search goes on over an answer.
#[test]
fn an_answer_does_not_end_a_search() {
    let mut desk = Desk::new(80, 0, "$ ");
    desk.keys("first\rsecond\r\x12fi\x1b[24;80Rr");
    assert_eq!(desk.editor.line(), "first");
}
