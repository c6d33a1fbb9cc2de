//! Values of extended attributes as setfattr takes them and getfattr shows them.
//!
//! | encoding | typed | shown |
//! |---|---|---|
//! | text | `hello`, `"a\012b"` | `"a\012b"`: quotes, backslashes, NUL and line ends escaped |
//! | hexadecimal | `0x68656c` | `0x68656c` |
//! | base64 | `0saGVs` | `0saGVs` |
//!
//! References: setfattr(1), getfattr(1); RFC 4648 for base64.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// In quotes.
    Text,
    /// After `0x`.
    Hex,
    /// After `0s`.
    Base64,
}

impl Encoding {
    /// Returns the encoding called `text`, `hex` or `base64`, or by as much of the word as tells it apart.
    pub fn parse(name: &str) -> Option<Self> {
        let is = |whole: &str| !name.is_empty() && whole.starts_with(name);
        [("text", Self::Text), ("hex", Self::Hex), ("base64", Self::Base64)]
            .into_iter()
            .find_map(|(whole, encoding)| is(whole).then_some(encoding))
    }

    /// Returns the encoding that getfattr takes if nothing is asked for: text, unless more than an eighth of
    /// the value cannot be printed.
    pub fn fitting(value: &[u8]) -> Self {
        let text = value.strip_suffix(&[0]).unwrap_or(value);
        let odd = text.iter().filter(|byte| !(b' '..=b'~').contains(*byte)).count();
        if text.len() >= odd * 8 { Self::Text } else { Self::Base64 }
    }
}

/// What was typed is not a value: an odd number of digits, or a character that is none of the encoding's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue;

impl core::fmt::Display for BadValue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("bad input encoding")
    }
}

impl core::error::Error for BadValue {}

/// Reads a value; `text` makes bytes of the shell's text.
///
/// # Errors
/// [`BadValue`], in hexadecimal and base64.
pub fn decode(typed: &str, text: impl Fn(&str) -> Vec<u8>) -> Result<Vec<u8>, BadValue> {
    match typed.get(..2) {
        Some("0x" | "0X") => from_hex(&typed.as_bytes()[2..]).ok_or(BadValue),
        Some("0s" | "0S") => from_base64(&typed.as_bytes()[2..]).ok_or(BadValue),
        _ => {
            let bytes = text(typed);
            let quoted = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            Ok(unescape(quoted.unwrap_or(&bytes)))
        }
    }
}

/// A backslash makes what follows mean itself, or three octal digits a byte.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        match (byte, text.get(at..).unwrap_or_default()) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 3;
            }
            (b'\\', [escaped @ (b'\\' | b'"'), ..]) => {
                bytes.push(*escaped);
                at += 1;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    // Blanks between bytes are fine.
    let digits: Vec<u8> = digits.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let filled = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(&text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in filled.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        let whole = bits << (6 * (4 - group.len()));
        bytes.extend_from_slice(&whole.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// Returns a value as getfattr shows it; `text` makes the shell's text of bytes.
pub fn encode(value: &[u8], encoding: Encoding, text: impl Fn(&[u8]) -> String) -> String {
    let mut shown = String::new();
    match encoding {
        Encoding::Hex => {
            shown.push_str("0x");
            for byte in value {
                let _ = write!(shown, "{byte:02x}"); // a String takes everything
            }
        }
        Encoding::Base64 => {
            shown.push_str("0s");
            to_base64(value, &mut shown);
        }
        Encoding::Text => {
            let mut escaped = Vec::with_capacity(value.len() + 2);
            escaped.push(b'"');
            // A NUL at the end is a C string's, and not shown.
            for byte in value.strip_suffix(&[0]).unwrap_or(value) {
                match byte {
                    b'"' | b'\\' => escaped.extend([b'\\', *byte]),
                    0 | b'\n' | b'\r' => {
                        escaped.extend([b'\\', b'0', b'0' + (byte >> 3), b'0' + (byte & 7)]);
                    }
                    _ => escaped.push(*byte),
                }
            }
            escaped.push(b'"');
            shown = text(&escaped);
        }
    }
    shown
}

fn to_base64(value: &[u8], shown: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in value.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let six = bits >> (18 - 6 * place) & 63;
            shown.push(if place <= group.len() { char::from(DIGITS[six as usize]) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn typed(text: &str) -> Result<Vec<u8>, BadValue> {
        decode(text, |text| text.as_bytes().to_vec())
    }

    fn shown(value: &[u8], encoding: Encoding) -> String {
        encode(value, encoding, |bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Compared with setfattr 2.5.1.
    #[test]
    fn values_as_they_are_typed() {
        for (text, value) in [
            ("hello \"q\"", b"hello \"q\"".as_slice()),
            ("", b""),
            ("0x616200", b"ab\0"),
            ("0X6a 6B", b"jk"),
            ("0x", b""),
            ("0saGVsbG8=", b"hello"),
            ("0s", b""),
            ("0sAP8B", b"\0\xff\x01"),
            ("\"quoted\\101\\n\"", b"quotedA\\n"),
            ("un\\101\\\\q\\x", b"unA\\q\\x"),
            ("\"", b"\""),
            ("0", b"0"),
            ("é", "é".as_bytes()),
        ] {
            assert_eq!(typed(text).as_deref(), Ok(value), "{text}");
        }
        for text in ["0xzz", "0x1", "0s=", "0sA", "0sA===", "0s====", "0sAA=A", "0s\u{e9}", "0x\u{e9}"] {
            assert_eq!(typed(text), Err(BadValue), "{text}");
        }
    }

    /// Compared with getfattr 2.5.1.
    #[test]
    fn values_as_they_are_shown() {
        for (value, fitting, text) in [
            (b"hello \"q\" \\ back".as_slice(), Encoding::Text, "\"hello \\\"q\\\" \\\\ back\""),
            (b"", Encoding::Text, "\"\""),
            (b"ab\0", Encoding::Text, "\"ab\""),
            (b"\0\xff\x01", Encoding::Base64, "0sAP8B"),
            (b"a\nb", Encoding::Base64, "0sYQpi"),
            ("é".as_bytes(), Encoding::Base64, "0sw6k="),
        ] {
            assert_eq!(Encoding::fitting(value), fitting, "{text}");
            assert_eq!(shown(value, fitting), text);
        }
        assert_eq!(shown(b"a\nb\r\0c", Encoding::Text), "\"a\\012b\\015\\000c\"");
        assert_eq!(shown(b"\0\xff\x01", Encoding::Hex), "0x00ff01");
        assert_eq!(shown(b"", Encoding::Base64), "0s");
    }

    #[test]
    fn encodings_by_name() {
        assert_eq!(Encoding::parse("text"), Some(Encoding::Text));
        assert_eq!(Encoding::parse("h"), Some(Encoding::Hex));
        assert_eq!(Encoding::parse("base64"), Some(Encoding::Base64));
        assert_eq!((Encoding::parse(""), Encoding::parse("hexx")), (None, None));
    }

    proptest! {
        /// What is shown in hexadecimal and base64, typed again, is the same value.
        #[test]
        fn shown_and_typed_again(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            for encoding in [Encoding::Hex, Encoding::Base64] {
                prop_assert_eq!(typed(&shown(&value, encoding)), Ok(value.clone()));
            }
        }
    }
}
