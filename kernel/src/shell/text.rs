//! The shell's text: names are bytes, but words, lines and messages are `str`.
//!
//! A byte that is not part of valid UTF-8 becomes a character of plane 16's end (U+10FF80 to U+10FFFF, which
//! nobody uses), and the same byte again on the way out. So every name can be shown, typed by a script and
//! found again.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The character of byte 0.
const ESCAPE: u32 = 0x10_ff00;

/// The byte that a character stands for.
fn escaped(c: char) -> Option<u8> {
    u8::try_from(u32::from(c).checked_sub(ESCAPE)?).ok().filter(|byte| *byte >= 0x80)
}

/// Returns `bytes` as the shell's text, which [`encode`] turns back.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        text.extend(bytes.iter().filter_map(|byte| char::from_u32(ESCAPE + u32::from(*byte))));
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // A name that really has such a character keeps its bytes.
            match escaped(c) {
                Some(_) => escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => text.push(c),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Returns the bytes of the shell's text.
pub(crate) fn encode(text: &str) -> Cow<'_, [u8]> {
    // All escapes start with this byte in UTF-8, and hardly anything else does.
    if !text.as_bytes().contains(&0xf4) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match escaped(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// Returns the text with its control characters made harmless, for a terminal.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { '?' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns `dir/name`, without doubling the slash.
pub(crate) fn join(dir: &str, name: &str) -> String {
    let slash = if dir.ends_with('/') { "" } else { "/" };
    alloc::format!("{dir}{slash}{name}")
}

/// Returns the last name of a path, as basename(1) has it.
pub(crate) fn base_name(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() && !path.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}
