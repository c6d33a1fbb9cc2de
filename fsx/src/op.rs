//! One operation, and its line in a file of operations.
//!
//! A file of operations has one in each line:
//!
//! ```text
//! NAME OFFSET LENGTH [SIZE] [keep_size] [close_open] [# comment]
//! ```
//!
//! `NAME` is one of `read`, `write`, `mapread`, `mapwrite`, `truncate`, `fallocate`, `punch_hole`,
//! `zero_range`, `collapse_range`, `insert_range`, `fsync`. Numbers are decimal, or hexadecimal after `0x`.
//! For `truncate`, `OFFSET` is ignored and `LENGTH` is the new size. `SIZE`, the file's size before, is for
//! readers and ignored, as is a `*`. `close_open` closes the file after the operation and opens it again.
//! `skip` before `NAME` makes the line count, for the bytes that later operations write depend on their
//! numbers, but does nothing. Empty lines do not count.
//!
//! The log in a failure's report has this format too.

use alloc::vec::Vec;
use core::fmt;
use fs::platform::Platform;
use fs::vfs::{Fallocate, Inode};
use fs::{Unsupported, dax};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Loads through a mapping.
    MapRead,
    /// Stores through a mapping, after making the file long enough.
    MapWrite,
    /// Sets the size.
    Truncate,
    /// Allocates blocks.
    Allocate,
    /// Punches a hole.
    Punch,
    /// Zeroes a range.
    Zero,
    /// Cuts a range out.
    Collapse,
    /// Puts a hole in.
    Insert,
    /// Makes the file durable.
    Fsync,
}

impl OpKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::Write,
        Self::MapRead,
        Self::MapWrite,
        Self::Truncate,
        Self::Allocate,
        Self::Punch,
        Self::Zero,
        Self::Collapse,
        Self::Insert,
        Self::Fsync,
    ];

    /// Returns the kind's name in a file of operations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::MapRead => "mapread",
            Self::MapWrite => "mapwrite",
            Self::Truncate => "truncate",
            Self::Allocate => "fallocate",
            Self::Punch => "punch_hole",
            Self::Zero => "zero_range",
            Self::Collapse => "collapse_range",
            Self::Insert => "insert_range",
            Self::Fsync => "fsync",
        }
    }
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOp {
    /// What the operation does.
    pub kind: OpKind,
    /// First byte; 0 for a truncation.
    pub offset: u64,
    /// Bytes; the new size for a truncation.
    pub len: u64,
    /// The file does not become longer (allocating, zeroing).
    pub keep_size: bool,
    /// Afterwards the file is closed and opened again.
    pub close_open: bool,
    /// The operation has a number but is not done.
    pub skip: bool,
}

impl FileOp {
    /// Returns the operation on a range, without flags.
    pub fn new(kind: OpKind, offset: u64, len: u64) -> Self {
        Self { kind, offset, len, keep_size: false, close_open: false, skip: false }
    }

    /// Returns what fallocate(2) is to do, if the operation is one of its.
    pub fn fallocate(&self) -> Option<Fallocate> {
        let keep_size = self.keep_size;
        match self.kind {
            OpKind::Allocate => Some(Fallocate::Allocate { keep_size }),
            OpKind::Punch => Some(Fallocate::PunchHole),
            OpKind::Zero => Some(Fallocate::ZeroRange { keep_size }),
            OpKind::Collapse => Some(Fallocate::CollapseRange),
            OpKind::Insert => Some(Fallocate::InsertRange),
            OpKind::Read | OpKind::Write | OpKind::MapRead | OpKind::MapWrite => None,
            OpKind::Truncate | OpKind::Fsync => None,
        }
    }

    /// Returns the size of a file of `size` bytes after the operation. A mapping's file is long enough.
    pub fn size_after(&self, size: u64) -> u64 {
        let end = self.offset.saturating_add(self.len);
        match self.kind {
            OpKind::Write if self.len > 0 => size.max(end),
            OpKind::Allocate | OpKind::Zero if !self.keep_size => size.max(end),
            OpKind::Truncate => self.len,
            OpKind::Collapse => size.saturating_sub(self.len),
            OpKind::Insert => size.saturating_add(self.len),
            _ => size,
        }
    }

    /// Does the operation to a file: reads into `bytes`, or writes them. Returns how many were read or
    /// written.
    ///
    /// # Errors
    /// What the file system has; unsupported for what goes through a mapping.
    pub fn perform<P: Platform>(&self, file: &dyn Inode<P>, bytes: &mut [u8]) -> fs::Result<usize> {
        if let Some(how) = self.fallocate() {
            return file.fallocate(how, self.offset, self.len).map(|()| 0);
        }
        match self.kind {
            OpKind::Read => file.read_at(self.offset, bytes),
            OpKind::Write => file.write_at(self.offset, bytes),
            OpKind::Truncate => file.truncate(self.len).map(|()| 0),
            OpKind::Fsync => dax::fsync(file).map(|_| 0),
            _ => Err(Unsupported::Operation("an access through a mapping").into()),
        }
    }

    /// Returns the operation's line, with the file's size before.
    pub fn line(&self, size: u64) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| {
            let Self { kind, offset, len, keep_size, close_open, skip } = *self;
            let skip = if skip { "skip " } else { "" };
            write!(f, "{skip}{} {offset:#x} {len:#x} {size:#x}", kind.name())?;
            if keep_size {
                f.write_str(" keep_size")?;
            }
            if close_open {
                f.write_str(" close_open")?;
            }
            Ok(())
        })
    }
}

/// What is wrong with a line of a file of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The line's number, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl core::error::Error for BadLine {}

/// Returns the operations in a text.
///
/// # Errors
/// The first line that is none, or for which there is no memory.
pub fn parse(text: &str) -> Result<Vec<FileOp>, BadLine> {
    let mut ops = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let bad = |why| BadLine { line: index + 1, why };
        if let Some(op) = parse_line(line).map_err(bad)? {
            // However long the text is, this must not be where memory ends.
            ops.try_reserve(1).map_err(|_| bad("there is no memory for more"))?;
            ops.push(op);
        }
    }
    Ok(ops)
}

fn parse_line(line: &str) -> Result<Option<FileOp>, &'static str> {
    let mut words = line.split_ascii_whitespace().peekable();
    let skip = words.next_if_eq(&"skip").is_some();
    let Some(name) = words.next() else {
        return if skip { Err("'skip' without an operation") } else { Ok(None) };
    };
    let kind = OpKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("no such operation")?;
    let mut next = || number(words.next().ok_or("an offset and a length are needed")?);
    let (offset, len) = (next()?, next()?);
    let mut op = FileOp { skip, ..FileOp::new(kind, offset, len) };
    if words.peek().is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit())) {
        number(words.next().unwrap_or_default())?;
    }
    for word in words {
        match word {
            "keep_size" => op.keep_size = true,
            "close_open" => op.close_open = true,
            "*" => {}
            _ => return Err("unknown flag"),
        }
    }
    Ok(Some(op))
}

fn number(word: &str) -> Result<u64, &'static str> {
    let parsed = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    parsed.map_err(|_| "not a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use std::vec;

    #[test]
    fn what_is_written_reads_back() {
        for kind in OpKind::ALL {
            for flags in 0..8 {
                let op = FileOp {
                    keep_size: flags & 1 != 0,
                    close_open: flags & 2 != 0,
                    skip: flags & 4 != 0,
                    ..FileOp::new(kind, 0x1234, u64::MAX)
                };
                assert_eq!(parse(&op.line(77).to_string()), Ok(vec![op]));
            }
        }
    }

    #[test]
    fn comments_sizes_and_marks_are_optional() {
        let text = "# a comment\n\n write 10 0x10\nwrite 10 16 0x55 # and more\n\twrite 0xa 16 *\n";
        assert_eq!(parse(text), Ok(vec![FileOp::new(OpKind::Write, 10, 16); 3]));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (line, why) in [
            ("wryte 0 1", "no such operation"),
            ("write 0", "an offset and a length are needed"),
            ("write", "an offset and a length are needed"),
            ("skip", "'skip' without an operation"),
            ("write 0 0x", "not a number"),
            ("write -1 0", "not a number"),
            ("write 0 18446744073709551616", "not a number"),
            ("write 0 1 2x", "not a number"),
            ("write 0 1 2 3", "unknown flag"),
            ("write 0 1 keepsize", "unknown flag"),
        ] {
            let text = ["fsync 0 0\n", line].concat();
            assert_eq!(parse(&text), Err(BadLine { line: 2, why }), "{line}");
        }
    }
}
