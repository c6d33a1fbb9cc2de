//! `less` and `more`, a long text a screenful at a time; `tail`, its end.

use alloc::vec::Vec;
use core::fmt::Write;

use cli::edit::{ASK_SIZE, Decoder};
use cli::opts::Opts;
use cli::pager::Pager;
use cli::size;

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::input::ShellInput;
use super::super::{Shell, text};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "less",
        operands: "[FILE...]",
        about: "show files, or the input, a screenful at a time (h: the keys)",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: less,
    },
    Command {
        name: "more",
        operands: "[FILE...]",
        about: "as less",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: less,
    },
    Command {
        name: "tail",
        operands: "[FILE...]",
        about: "print the last lines of files, or of the input",
        options: &[
            ("-n N", "that many lines (10); +N: from line N on"),
            ("-c N", "that many bytes; +N: from byte N on"),
        ],
        spec: "n:c:",
        count: 0..=ANY,
        run: tail,
    },
];

/// The most that is paged: it is in memory.
const MOST: u64 = 4 << 20;

fn less(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let inputs = sh.inputs(opts.operands())?;
    let paged = sh.interactive && sh.out.is_console();
    sh.for_each("less", &inputs, |sh, path| {
        let input = sh.open_input(path)?;
        // Where nobody presses keys, it is cat.
        let limit = if paged { MOST } else { u64::MAX };
        let mut all = Vec::new();
        sh.read_input(&input, path, 0, limit, |sh, bytes| match paged {
            true => {
                all.extend_from_slice(bytes);
                Ok(())
            }
            false => sh.out.bytes(bytes),
        })?;
        if !paged {
            return Ok(());
        }
        page(sh, text::decode(&all))?;
        match input.len() > MOST {
            true => Err("only the first 4 MiB can be paged").on(path),
            false => Ok(()),
        }
    })
}

fn page(sh: &mut Shell, text: alloc::string::String) -> CommandResult {
    let mut pager = Pager::new(text, sh.terminal_size());
    if pager.fits() {
        return Ok(write!(sh.out, "{}", pager.text())?);
    }
    let mut keys = Decoder::default();
    // On a screen of its own, where the terminal has one.
    sh.out.write_str("\x1b[?1049h")?;
    if sh.is_terminal() {
        sh.out.write_str(ASK_SIZE)?;
    }
    let mut show = |sh: &mut Shell| -> CommandResult {
        loop {
            sh.out.write_str(&pager.draw().replace("\r\n", "\n"))?;
            sh.out.flush()?;
            let key = loop {
                if let Some(key) = keys.feed(sh.out.read_key()) {
                    break key;
                }
            };
            if !pager.press(key) {
                return Ok(());
            }
        }
    };
    let shown = show(sh);
    // Back from there, also after Ctrl-C while a screen was drawn.
    let left = sh.out.write_str("\x1b[?1049l");
    let flushed = sh.out.flush();
    sh.set_terminal_size(pager.size());
    shown.and(Ok(left?)).and(flushed)
}

/// `10`, `-10` or `+10`: from the start on, and how many.
fn count(text: &str) -> Result<(bool, u64), Failure> {
    let from_start = text.starts_with('+');
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    Ok((from_start, size::parse(number, 4096, 512).on(text)?))
}

fn tail(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let bytes = opts.value('c').map(count).transpose()?;
    let lines = opts.value('n').map(count).transpose()?;
    if bytes.is_some() && lines.is_some() {
        return Err(complaint("one of -n and -c at most"));
    }
    let inputs = sh.inputs(opts.operands())?;
    let headed = inputs.len() > 1;
    let mut first = true;
    sh.for_each("tail", &inputs, |sh, path| {
        let input = sh.open_input(path)?;
        if headed {
            let gap = if core::mem::take(&mut first) { "" } else { "\n" };
            let shown = sh.shown(path).into_owned();
            writeln!(sh.out, "{gap}==> {shown} <==")?;
        }
        let from = match (bytes, lines.unwrap_or((false, 10))) {
            (Some((true, number)), _) => number.saturating_sub(1),
            (Some((false, number)), _) => input.len().saturating_sub(number),
            (None, (true, number)) => line_from_start(sh, &input, path, number)?,
            (None, (false, number)) => line_from_end(sh, &input, path, number)?,
        };
        sh.read_input(&input, path, from, u64::MAX, |sh, bytes| sh.out.bytes(bytes))
    })
}

/// Where line `number` begins, from 1.
fn line_from_start(sh: &mut Shell, input: &ShellInput, path: &str, number: u64) -> Result<u64, Failure> {
    let (mut left, mut at) = (number.saturating_sub(1), 0);
    let mut found = left == 0;
    let outcome = sh.read_input(input, path, 0, u64::MAX, |_, bytes| {
        for byte in bytes {
            if found {
                return Err(Failure::Said);
            }
            at += 1;
            left -= u64::from(*byte == b'\n');
            found = left == 0;
        }
        Ok(())
    });
    if !found {
        outcome?;
    }
    Ok(at)
}

/// Where the last `number` lines begin.
fn line_from_end(sh: &mut Shell, input: &ShellInput, path: &str, number: u64) -> Result<u64, Failure> {
    let len = input.len();
    if number == 0 {
        return Ok(len);
    }
    let (mut end, mut left) = (len, number);
    let mut buffer = alloc::vec![0; 64 << 10];
    while end > 0 {
        sh.out.poll()?;
        let start = end.saturating_sub(buffer.len() as u64);
        let piece = &mut buffer[..(end - start) as usize];
        let got = input.read_at(start, piece).on(path)?;
        for (at, _) in piece[..got].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let line = start + at as u64 + 1;
            // The end of the last line begins none.
            if line < len {
                left -= 1;
                if left == 0 {
                    return Ok(line);
                }
            }
        }
        end = start;
    }
    Ok(0)
}
