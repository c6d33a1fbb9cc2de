//! Bytes from a terminal into keys.
//!
//! UTF-8 is put together here, and so are the escape sequences of VT100, xterm, the Linux console, rxvt and
//! PuTTY. Sequences that mean nothing to the editor are swallowed whole, malformed UTF-8 is dropped. A
//! control character ends any sequence, so that Ctrl-C and Enter work whatever came before. A terminal's
//! answer to where the cursor is comes among the keys.
//!
//! References: ECMA-48, 5.4 "Control sequences"; xterm's ctlseqs, "PC-Style Function Keys"; console_codes(4).

/// What a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

impl TerminalSize {
    /// Of a terminal that says nothing.
    pub const USUAL: Self = Self { rows: 24, columns: 80 };
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D: the end of input on an empty line, else delete.
    DeleteOrEnd,
    /// Backspace, Ctrl-H.
    Backspace,
    /// Delete.
    Delete,
    /// Left, Ctrl-B.
    Left,
    /// Right, Ctrl-F.
    Right,
    /// Left with Ctrl or Alt, Alt-B.
    WordLeft,
    /// Right with Ctrl or Alt, Alt-F.
    WordRight,
    /// Home, Ctrl-A.
    Home,
    /// End, Ctrl-E.
    End,
    /// Up, Ctrl-P.
    Up,
    /// Down, Ctrl-N.
    Down,
    /// Ctrl-R.
    Search,
    /// Ctrl-G.
    Abort,
    /// Ctrl-K.
    KillToEnd,
    /// Ctrl-U.
    KillToStart,
    /// Back to a blank (Ctrl-W).
    KillBlankWord,
    /// Back to the start of a word of letters and digits (Alt-Backspace).
    KillWordLeft,
    /// Alt-D.
    KillWordRight,
    /// Ctrl-Y.
    Yank,
    /// Ctrl-T.
    Transpose,
    /// Ctrl-L.
    Clear,
    /// No key: the terminal's answer to [`ASK_SIZE`](super::ASK_SIZE).
    Size(TerminalSize),
}

#[derive(Clone, Copy, Debug, Default)]
enum KeyState {
    #[default]
    Ground,
    /// Inside a character: the bits so far, how many bytes are to come, the smallest valid result.
    Utf8 {
        bits: u32,
        missing: u8,
        least: u32,
    },
    Escape,
    /// `ESC [`, the first parameter and the one being read.
    Csi {
        first: Option<u16>,
        now: u16,
        any: bool,
    },
    /// `ESC O`.
    Ss3,
    /// `ESC [ [`: one more byte, a function key of the Linux console.
    Console,
    /// `ESC ]` or `ESC P`: text up to BEL or `ESC \`.
    Text,
}

/// The decoder: bytes in, keys out.
#[derive(Debug, Default)]
pub struct Decoder {
    state: KeyState,
    /// The last byte was a CR, which ended a line: an LF right after it belongs to it.
    after_cr: bool,
}

impl Decoder {
    /// Takes a byte; the key that it ends.
    pub fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        let state = core::mem::take(&mut self.state);
        match byte {
            b'\n' if after_cr => return None,
            0x08 | 0x7f if matches!(state, KeyState::Escape) => return Some(Key::KillWordLeft),
            0x1b => {
                self.state = KeyState::Escape;
                return None;
            }
            0x07 if matches!(state, KeyState::Text) => return None,
            0x00..0x20 | 0x7f => return control(byte),
            _ => {}
        }
        match state {
            KeyState::Ground => self.start(byte),
            KeyState::Utf8 { bits, missing, least } if byte & 0xc0 == 0x80 => {
                let bits = bits << 6 | u32::from(byte & 0x3f);
                if missing > 1 {
                    self.state = KeyState::Utf8 { bits, missing: missing - 1, least };
                    return None;
                }
                char::from_u32(bits).filter(|c| bits >= least && !c.is_control()).map(Key::Char)
            }
            KeyState::Utf8 { .. } => self.start(byte),
            KeyState::Escape => self.escaped(byte),
            KeyState::Csi { first, now, any } => self.csi(byte, first, now, any),
            KeyState::Ss3 => motion(byte, false).filter(|_| byte.is_ascii_uppercase()).or(match byte {
                b'c' => Some(Key::WordRight), // rxvt, with Ctrl
                b'd' => Some(Key::WordLeft),
                b'M' => Some(Key::Enter), // keypad
                _ => None,
            }),
            KeyState::Console => None,
            KeyState::Text => {
                self.state = KeyState::Text;
                None
            }
        }
    }

    fn start(&mut self, byte: u8) -> Option<Key> {
        let (bits, missing, least) = match byte {
            0x20..0x7f => return Some(Key::Char(byte.into())),
            0xc2..=0xdf => (byte & 0x1f, 1, 0x80),
            0xe0..=0xef => (byte & 0x0f, 2, 0x800),
            0xf0..=0xf4 => (byte & 0x07, 3, 0x1_0000),
            _ => return None,
        };
        self.state = KeyState::Utf8 { bits: bits.into(), missing, least };
        None
    }

    fn escaped(&mut self, byte: u8) -> Option<Key> {
        match byte {
            b'[' => self.state = KeyState::Csi { first: None, now: 0, any: false },
            b'O' => self.state = KeyState::Ss3,
            b']' | b'P' => self.state = KeyState::Text,
            b'b' | b'B' => return Some(Key::WordLeft),
            b'f' | b'F' => return Some(Key::WordRight),
            b'd' | b'D' => return Some(Key::KillWordRight),
            _ => {}
        }
        None
    }

    fn csi(&mut self, byte: u8, first: Option<u16>, now: u16, any: bool) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let now = now.saturating_mul(10).saturating_add((byte - b'0').into());
                self.state = KeyState::Csi { first, now, any: true };
            }
            b';' => self.state = KeyState::Csi { first: Some(first.unwrap_or(now)), now: 0, any: true },
            b'[' if !any => self.state = KeyState::Console,
            // Other parameters and intermediate bytes: of no sequence known here, but it goes on.
            0x20..0x40 => self.state = KeyState::Csi { first, now, any: true },
            b'~' => return key_number(first.unwrap_or(now)),
            b'R' => return position(first, now),
            0x40..0x7f => {
                // The modifiers of `ESC [ 1 ; 5 C` are one more than a sum of 1 Shift, 2 Alt, 4 Ctrl.
                let words = first.is_some() && now.saturating_sub(1) & 6 != 0;
                return motion(byte, words);
            }
            _ => {} // not ASCII: the sequence is broken off
        }
        None
    }
}

/// `ESC [ row ; column R`: where the cursor is. xterm's F3 with Shift or Ctrl is written so too, with 1 and a
/// small number.
fn position(row: Option<u16>, column: u16) -> Option<Key> {
    let rows = row.filter(|row| *row > 1 && column > 8)?;
    Some(Key::Size(TerminalSize { rows: rows.into(), columns: column.into() }))
}

/// The final byte of a cursor key; with Alt or Ctrl, left and right go by words.
fn motion(last: u8, words: bool) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if words => Key::WordRight,
        b'D' if words => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

/// `ESC [ n ~`.
fn key_number(number: u16) -> Option<Key> {
    match number {
        1 | 7 => Some(Key::Home),
        3 => Some(Key::Delete),
        4 | 8 => Some(Key::End),
        _ => None, // Insert, Page Up, function keys, bracketed paste
    }
}

fn control(byte: u8) -> Option<Key> {
    Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        _ => match byte + b'@' {
            b'A' => Key::Home,
            b'B' => Key::Left,
            b'C' => Key::Interrupt,
            b'D' => Key::DeleteOrEnd,
            b'E' => Key::End,
            b'F' => Key::Right,
            b'G' => Key::Abort,
            b'K' => Key::KillToEnd,
            b'L' => Key::Clear,
            b'N' => Key::Down,
            b'P' => Key::Up,
            b'R' => Key::Search,
            b'T' => Key::Transpose,
            b'U' => Key::KillToStart,
            b'W' => Key::KillBlankWord,
            b'Y' => Key::Yank,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn keys(bytes: impl AsRef<[u8]>) -> Vec<Key> {
        let mut decoder = Decoder::default();
        bytes.as_ref().iter().filter_map(|byte| decoder.feed(*byte)).collect()
    }

    #[test]
    fn every_encoding_of_the_motion_keys() {
        for (key, encodings) in [
            (Key::Up, &["\x1b[A", "\x1bOA", "\x10", "\x1b[1;2A"][..]),
            (Key::Down, &["\x1b[B", "\x1bOB", "\x0e"]),
            (Key::Right, &["\x1b[C", "\x1bOC", "\x06", "\x1b[1;2C"]),
            (Key::Left, &["\x1b[D", "\x1bOD", "\x02"]),
            (Key::Home, &["\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~", "\x01"]),
            (Key::End, &["\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~", "\x05"]),
            (Key::Delete, &["\x1b[3~", "\x1b[3;5~"]),
            (Key::WordLeft, &["\x1bb", "\x1b[1;5D", "\x1b[1;3D", "\x1bOd"]),
            (Key::WordRight, &["\x1bf", "\x1b[1;5C", "\x1b[1;3C", "\x1bOc"]),
            (Key::KillWordLeft, &["\x1b\x7f", "\x1b\x08"]),
            (Key::Backspace, &["\x7f", "\x08"]),
        ] {
            for encoding in encodings {
                assert_eq!(keys(encoding), [key], "{encoding:?}");
            }
        }
    }

    #[test]
    fn cr_lf_and_crlf_are_one_enter_each() {
        assert_eq!(keys("\r"), [Key::Enter]);
        assert_eq!(keys("\n"), [Key::Enter]);
        assert_eq!(keys("\r\n"), [Key::Enter]);
        assert_eq!(keys("\r\n\r\n\n\r\r"), [Key::Enter; 5]);
        assert_eq!(keys("\ra\n"), [Key::Enter, Key::Char('a'), Key::Enter]);
    }

    #[test]
    fn unknown_sequences_are_swallowed_whole() {
        for bytes in
            ["\x1b[15~", "\x1b[200~", "\x1b[?1;2c", "\x1b[[A", "\x1bOP", "\x1b]0;title\x07", "\x1bPq\x1b\\"]
        {
            assert_eq!(keys([bytes.as_bytes(), b"x"].concat()), [Key::Char('x')], "{bytes:?}");
        }
        assert_eq!(keys("\x1b[99999999999999999;99999999~x"), [Key::Char('x')]);
        assert_eq!(keys("\x1b\x1b[Ax"), [Key::Up, Key::Char('x')]);
    }

    #[test]
    fn control_characters_work_inside_any_sequence() {
        for start in ["\x1b", "\x1b[", "\x1b[1;", "\x1bO", "\x1b[[", "\x1b]0;t", "\x1bPq"] {
            assert_eq!(keys([start, "\x03\r"].concat()), [Key::Interrupt, Key::Enter], "{start:?}");
        }
        assert_eq!(keys(b"\xe2\x82\x03"), [Key::Interrupt]);
    }

    #[test]
    fn characters_of_every_length() {
        assert_eq!(keys("aé€😀"), ['a', 'é', '€', '😀'].map(Key::Char));
    }

    #[test]
    fn malformed_utf8_is_dropped() {
        for bytes in [
            &b"\x80"[..],
            b"\xc0\x80",         // overlong
            b"\xe0\x80\x80",     // overlong
            b"\xed\xa0\x80",     // surrogate
            b"\xf4\x90\x80\x80", // beyond U+10FFFF
            b"\xff",
            b"\xc2\x85", // a C1 control
            b"\xe2\x82", // cut off
        ] {
            assert_eq!(keys([bytes, b"x"].concat()), [Key::Char('x')], "{bytes:?}");
        }
    }
}
