//! Bytes as hexadecimal and text, in two formats.
//!
//! `xfs_io`'s, of `pread -v` and `mread -v` (eight digits of offset, a short last line is not padded, only
//! ASCII letters and digits are shown as text):
//! ```text
//! 00000000:  68 65 6c 6c 6f 2c 20 77 6f 72 6c 64 21 0a 00 00  hello..world....
//! 00000010:  61 62  ab
//! ```
//! and `hexdump -C`'s (a full line equal to the one before becomes a `*`, once; the end offset closes the
//! dump):
//! ```text
//! 00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
//! *
//! 00000020  61 62                                             |ab|
//! 00000022
//! ```
//! A dump takes its bytes in pieces of any size; the lines do not depend on where the pieces end.

use core::fmt;
use core::fmt::Write;

const LINE: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Xfs,
    Canonical,
}

/// A dump in progress: bytes go in with [`feed`](Self::feed), [`finish`](Self::finish) writes what is left.
#[derive(Clone, Debug)]
pub struct Dump {
    format: Format,
    /// Offset of the first byte of `line`.
    offset: u64,
    line: [u8; LINE],
    filled: usize,
    /// The last full line, and whether a `*` stands for its repetitions already. Canonical only.
    previous: Option<[u8; LINE]>,
    starred: bool,
    any: bool,
}

impl Dump {
    /// Returns a dump in `xfs_io`'s format; the first byte is shown as being at `offset`.
    pub fn xfs(offset: u64) -> Self {
        Self::new(Format::Xfs, offset)
    }

    /// Returns a dump in `hexdump -C`'s format; the first byte is shown as being at `offset`.
    pub fn canonical(offset: u64) -> Self {
        Self::new(Format::Canonical, offset)
    }

    fn new(format: Format, offset: u64) -> Self {
        Self { format, offset, line: [0; LINE], filled: 0, previous: None, starred: false, any: false }
    }

    /// Takes the next bytes and writes the lines they complete, each ended by `\n`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut impl Write) -> fmt::Result {
        for &byte in bytes {
            self.any = true;
            if let Some(place) = self.line.get_mut(self.filled) {
                *place = byte;
            }
            self.filled += 1;
            if self.filled >= LINE {
                self.flush(out)?;
            }
        }
        Ok(())
    }

    /// Writes an unfinished last line and, in `hexdump -C`'s format, the end offset. Nothing at all if there
    /// were no bytes. The dump is then ready for more bytes that follow.
    pub fn finish(&mut self, out: &mut impl Write) -> fmt::Result {
        self.flush(out)?;
        if self.format == Format::Canonical && self.any {
            writeln!(out, "{:08x}", self.offset)?;
        }
        self.previous = None;
        self.starred = false;
        Ok(())
    }

    fn flush(&mut self, out: &mut impl Write) -> fmt::Result {
        let (filled, offset) = (self.filled.min(LINE), self.offset);
        // Up to date before anything can fail: a writer's error loses its line but does not derail the dump.
        self.filled = 0;
        self.offset = offset.wrapping_add(filled as u64);
        let line = self.line;
        let bytes = line.get(..filled).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        match self.format {
            Format::Xfs => xfs_line(offset, bytes, out),
            Format::Canonical => {
                if filled == LINE && self.previous == Some(line) {
                    return if core::mem::replace(&mut self.starred, true) {
                        Ok(())
                    } else {
                        out.write_str("*\n")
                    };
                }
                self.previous = (filled == LINE).then_some(line);
                self.starred = false;
                canonical_line(offset, bytes, out)
            }
        }
    }
}

fn xfs_line(offset: u64, bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    write!(out, "{offset:08x}:  ")?;
    for byte in bytes {
        write!(out, "{byte:02x} ")?;
    }
    out.write_char(' ')?;
    for &byte in bytes {
        out.write_char(if byte.is_ascii_alphanumeric() { byte.into() } else { '.' })?;
    }
    out.write_char('\n')
}

fn canonical_line(offset: u64, bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    write!(out, "{offset:08x} ")?;
    for place in 0..LINE {
        if place % 8 == 0 {
            out.write_char(' ')?;
        }
        match bytes.get(place) {
            Some(byte) => write!(out, "{byte:02x} ")?,
            None => out.write_str("   ")?,
        }
    }
    out.write_str(" |")?;
    for &byte in bytes {
        out.write_char(if byte.is_ascii_graphic() || byte == b' ' { byte.into() } else { '.' })?;
    }
    out.write_str("|\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    fn dumped(mut dump: Dump, bytes: &[u8], piece: usize) -> String {
        let mut out = String::new();
        for piece in bytes.chunks(piece) {
            dump.feed(piece, &mut out).unwrap();
        }
        dump.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn xfs_lines_are_those_of_pread_v() {
        let text = "00000200:  61 61 61 61 61 61 61 61 61 61 61 61 61 61 61 61  aaaaaaaaaaaaaaaa\n\
                    00000210:  7a 20 ff 39  z..9\n";
        assert_eq!(dumped(Dump::xfs(512), b"aaaaaaaaaaaaaaaaz \xff9", 99), text);
    }

    #[test]
    fn xfs_offsets_grow_beyond_eight_digits() {
        assert_eq!(dumped(Dump::xfs(1 << 32), b"a", 1), "100000000:  61  a\n");
    }

    /// Compared with util-linux 2.38 `hexdump -C`.
    #[test]
    fn canonical_lines_are_those_of_hexdump() {
        let text = "00000000  61 62 e9 7f 7e 20                                 |ab..~ |\n00000006\n";
        assert_eq!(dumped(Dump::canonical(0), b"ab\xe9\x7f~ ", 99), text);
        let text =
            "00000000  61 62 63 64 65 66 67 68  69 6a 6b 6c 6d 6e 6f 70  |abcdefghijklmnop|\n00000010\n";
        assert_eq!(dumped(Dump::canonical(0), b"abcdefghijklmnop", 99), text);
    }

    #[test]
    fn repeated_lines_become_one_star_and_a_short_line_never_does() {
        let zeros = "00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|";
        let text = alloc::format!(
            "00000000  {zeros}\n*\n\
             00000030  00 00 00 00                                       |....|\n00000034\n"
        );
        assert_eq!(dumped(Dump::canonical(0), &[0; 52], 99), text);
        let text = alloc::format!("00000000  {zeros}\n*\n00000030\n");
        assert_eq!(dumped(Dump::canonical(0), &[0; 48], 99), text);
    }

    #[test]
    fn a_star_ends_with_the_run() {
        let mut bytes = vec![0; 48];
        bytes.extend_from_slice(&[1; 16]);
        bytes.extend_from_slice(&[0; 48]);
        let out = dumped(Dump::canonical(0), &bytes, 16);
        let starts: Vec<&str> = out.lines().map(|line| line.get(..8).unwrap_or(line)).collect();
        assert_eq!(starts, ["00000000", "*", "00000030", "00000040", "*", "00000070"]);
    }

    #[test]
    fn no_bytes_no_output() {
        assert_eq!(dumped(Dump::canonical(7), b"", 1), "");
        assert_eq!(dumped(Dump::xfs(7), b"", 1), "");
    }

    #[test]
    fn pieces_do_not_show() {
        let bytes: Vec<u8> = (0..100).map(|i| if i < 64 { 0 } else { i }).collect();
        for piece in 1..40 {
            assert_eq!(dumped(Dump::canonical(3), &bytes, piece), dumped(Dump::canonical(3), &bytes, 100));
            assert_eq!(dumped(Dump::xfs(3), &bytes, piece), dumped(Dump::xfs(3), &bytes, 100));
        }
    }

    #[test]
    fn offsets_at_the_end_of_u64_do_not_panic() {
        assert!(dumped(Dump::canonical(u64::MAX), &[7; 40], 7).starts_with("ffffffffffffffff  07"));
    }
}
