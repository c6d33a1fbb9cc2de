//! Commands that read files and show what is in them.

use alloc::string::{String, ToString};
use core::fmt::Write;

use cli::dump::Dump;
use cli::opts::Opts;
use cli::size;
use sha2::{Digest, Sha256};

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "cat",
        operands: "[FILE...]",
        about: "print files, or the input",
        options: &[],
        spec: "u",
        count: 0..=ANY,
        run: |sh, opts| {
            let inputs = sh.inputs(opts.operands())?;
            sh.for_each("cat", &inputs, |sh, path| {
                let input = sh.open_input(path)?;
                sh.read_input(&input, path, 0, u64::MAX, |sh, bytes| sh.out.bytes(bytes))
            })
        },
    },
    Command {
        name: "head",
        operands: "[FILE...]",
        about: "print the first lines of files",
        options: &[("-n N", "that many lines (10)"), ("-c N", "that many bytes")],
        spec: "n:c:",
        count: 0..=ANY,
        run: head,
    },
    Command {
        name: "hexdump",
        operands: "[FILE...]",
        about: "show bytes in hexadecimal",
        options: &[
            ("-C", "bytes and characters"),
            ("-n LEN", "at most that many bytes"),
            ("-s OFF", "from that byte on"),
        ],
        spec: "Cn:s:v",
        count: 0..=ANY,
        run: hexdump,
    },
    Command {
        name: "cmp",
        operands: "FILE1 FILE2",
        about: "compare two files byte by byte; fails if they differ",
        options: &[("-s", "say nothing")],
        spec: "s",
        count: 2..=2,
        run: cmp,
    },
    Command {
        name: "sha256sum",
        operands: "[FILE...]",
        about: "print SHA-256 sums",
        options: &[],
        spec: "b",
        count: 0..=ANY,
        run: |sh, opts| {
            let inputs = sh.inputs(opts.operands())?;
            sh.for_each("sha256sum", &inputs, sha256sum)
        },
    },
    Command {
        name: "wc",
        operands: "[FILE...]",
        about: "count lines, words and bytes",
        options: &[("-l", "lines only"), ("-w", "words only"), ("-c", "bytes only")],
        spec: "lwc",
        count: 0..=ANY,
        run: |sh, opts| {
            let inputs = sh.inputs(opts.operands())?;
            sh.for_each("wc", &inputs, |sh, path| wc(sh, path, opts))
        },
    },
];

/// Compares two files; what differs is said, and fails.
fn cmp(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let [a, b] = opts.operands() else { return Err(complaint("missing operand")) };
    let (first, second) = (sh.open_input(a)?, sh.open_input(b)?);
    let (mut at, mut line, mut ended) = (0u64, 1u64, false);
    let mut other = alloc::vec![0; super::super::files::BUFFER];
    let outcome = sh.read_input(&first, a, 0, u64::MAX, |sh, bytes| {
        let mut got = 0;
        // A read may bring less than there is only at the end.
        while got < bytes.len() {
            match second.read_at(at + got as u64, &mut other[got..bytes.len()]).on(b)? {
                0 => break,
                more => got += more,
            }
        }
        let same = bytes.iter().zip(&other[..got]).take_while(|(one, two)| one == two).count();
        line += bytes[..same].iter().filter(|byte| **byte == b'\n').count() as u64;
        at += same as u64;
        if same == bytes.len() {
            return Ok(());
        }
        ended = true;
        if same < got && !opts.has('s') {
            let (a, b) = (sh.shown(a).into_owned(), sh.shown(b).into_owned());
            writeln!(sh.out, "{a} {b} differ: byte {}, line {line}", at + 1)?;
        } else if same == got && !opts.has('s') {
            return Err(alloc::format!("ends after byte {at}, line {line}")).on(b);
        }
        Err(Failure::Said)
    });
    outcome?;
    if !ended && second.len() > at {
        if opts.has('s') {
            return Err(Failure::Said);
        }
        return Err(alloc::format!("ends after byte {at}, line {line}")).on(a);
    }
    Ok(())
}

/// Returns a number that is an option's value.
pub(super) fn number(opts: &Opts<'_>, option: char) -> Result<Option<u64>, Failure> {
    opts.value(option).map(|value| size::parse(value, 4096, 512).on(value)).transpose()
}

fn head(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let bytes = number(opts, 'c')?;
    let lines = number(opts, 'n')?.unwrap_or(10);
    let inputs = sh.inputs(opts.operands())?;
    let headed = inputs.len() > 1;
    let mut first = true;
    sh.for_each("head", &inputs, |sh, path| {
        let file = sh.open_input(path)?;
        if headed {
            let gap = if core::mem::take(&mut first) { "" } else { "\n" };
            let shown = sh.shown(path).into_owned();
            writeln!(sh.out, "{gap}==> {shown} <==")?;
        }
        let mut left = lines;
        let mut ended = lines == 0 && bytes.is_none();
        let outcome = sh.read_input(&file, path, 0, bytes.unwrap_or(u64::MAX), |sh, piece| {
            let mut end = if ended { 0 } else { piece.len() };
            if bytes.is_none() && !ended {
                for (at, _) in piece.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                    left -= 1;
                    if left == 0 {
                        (end, ended) = (at + 1, true);
                        break;
                    }
                }
            }
            sh.out.bytes(&piece[..end])?;
            // Nobody reads on: a failure of no name ends it.
            if ended { Err(Failure::Said) } else { Ok(()) }
        });
        if ended { Ok(()) } else { outcome }
    })
}

fn hexdump(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let from = number(opts, 's')?.unwrap_or(0);
    let limit = number(opts, 'n')?.unwrap_or(u64::MAX);
    let inputs = sh.inputs(opts.operands())?;
    sh.for_each("hexdump", &inputs, |sh, path| {
        let file = sh.open_input(path)?;
        if opts.has('C') {
            let mut dump = Dump::canonical(from);
            sh.read_input(&file, path, from, limit, |sh, bytes| Ok(dump.feed(bytes, &mut sh.out)?))?;
            return Ok(dump.finish(&mut sh.out)?);
        }
        let mut words = HexdumpLines { offset: from, ..HexdumpLines::default() };
        sh.read_input(&file, path, from, limit, |sh, bytes| words.feed(sh, bytes))?;
        words.finish(sh)
    })
}

/// hexdump's own format: eight little-endian words a line, repeated lines as one `*`.
#[derive(Default)]
struct HexdumpLines {
    offset: u64,
    line: [u8; 16],
    filled: usize,
    previous: Option<[u8; 16]>,
    starred: bool,
    any: bool,
}

impl HexdumpLines {
    fn feed(&mut self, sh: &mut Shell, bytes: &[u8]) -> CommandResult {
        for byte in bytes {
            self.line[self.filled] = *byte;
            self.filled += 1;
            if self.filled == self.line.len() {
                self.flush(sh)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, sh: &mut Shell) -> CommandResult {
        let filled = core::mem::take(&mut self.filled);
        if filled == 0 {
            return Ok(());
        }
        self.any = true;
        let (offset, line) = (self.offset, self.line);
        self.offset += filled as u64;
        if filled == line.len() && self.previous == Some(line) {
            if !core::mem::replace(&mut self.starred, true) {
                writeln!(sh.out, "*")?;
            }
            return Ok(());
        }
        (self.previous, self.starred) = (Some(line), false);
        let mut text = String::new();
        for word in line[..filled].chunks(2) {
            let high = word.get(1).copied().unwrap_or(0);
            write!(text, " {:04x}", u16::from_le_bytes([word[0], high]))?;
        }
        // hexdump pads a short line's places.
        writeln!(sh.out, "{offset:07x}{text:<40}")?;
        Ok(())
    }

    fn finish(&mut self, sh: &mut Shell) -> CommandResult {
        self.flush(sh)?;
        if self.any {
            writeln!(sh.out, "{:07x}", self.offset)?;
        }
        Ok(())
    }
}

fn sha256sum(sh: &mut Shell, path: &str) -> CommandResult {
    let file = sh.open_input(path)?;
    let mut hash = Sha256::new();
    sh.read_input(&file, path, 0, u64::MAX, |_, bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    for byte in hash.finalize() {
        write!(sh.out, "{byte:02x}")?;
    }
    let shown = sh.shown(path).into_owned();
    Ok(writeln!(sh.out, "  {shown}")?)
}

fn wc(sh: &mut Shell, path: &str, opts: &Opts<'_>) -> CommandResult {
    if opts.options().len() > 1 {
        return Err(complaint("one of -l, -w and -c at most"));
    }
    let file = sh.open_input(path)?;
    let (mut lines, mut words, mut bytes, mut in_word) = (0u64, 0u64, 0u64, false);
    sh.read_input(&file, path, 0, u64::MAX, |_, piece| {
        bytes += piece.len() as u64;
        for byte in piece {
            lines += u64::from(*byte == b'\n');
            let blank = byte.is_ascii_whitespace() || *byte == 0x0b;
            words += u64::from(!blank && !in_word);
            in_word = !blank;
        }
        Ok(())
    })?;
    let counts = match opts.options().first() {
        Some(('l', _)) => lines.to_string(),
        Some(('w', _)) => words.to_string(),
        Some(_) => bytes.to_string(),
        None => alloc::format!("{lines:7} {words:7} {bytes:7}"),
    };
    if opts.operands().is_empty() {
        return Ok(writeln!(sh.out, "{counts}")?);
    }
    let shown = sh.shown(path).into_owned();
    Ok(writeln!(sh.out, "{counts} {shown}")?)
}
