//! `grep`: lines that match.

use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::regex::{Language, Regex};
use fs::vfs::FileKind;

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::input::ShellInput;
use super::super::tree::each_of_tree;
use super::super::{Shell, text};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "grep",
    operands: "PATTERN [FILE...]",
    about: "print lines that match a regular expression, of files or of the input; fails if there are none",
    options: &[
        ("-i", "in either case"),
        ("-v", "lines that do not match"),
        ("-n", "with their numbers"),
        ("-c", "only how many"),
        ("-l", "only names of files with such lines"),
        ("-q", "nothing: only succeed or fail"),
        ("-r", "in directories with all that is in them"),
        ("-E", "an extended expression: a|b, a+, (a)"),
        ("-F", "a text, not an expression"),
        ("-e PATTERN", "that one; several times for several"),
        ("-h", "without names of files; -H: with them"),
    ],
    spec: "ivnclqrREFe:hHG",
    count: 0..=ANY,
    run,
}];

/// A line is cut there: an image may hold one of gigabytes.
const LONGEST: usize = 1 << 20;

/// What is looked for, and how it is shown.
struct GrepSearch<'a> {
    regex: Regex,
    opts: &'a Opts<'a>,
    named: bool,
    found: bool,
}

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mut files = opts.operands();
    let given = opts.options().iter().filter(|(letter, _)| *letter == 'e').filter_map(|(_, value)| *value);
    let mut patterns: Vec<&str> = given.collect();
    if patterns.is_empty() {
        let (first, rest) = files.split_first().ok_or_else(|| complaint("missing pattern"))?;
        (patterns, files) = ([*first].into(), rest);
    }
    let patterns = patterns.join("\n");
    let language = match (opts.has('F'), opts.has('E')) {
        (true, _) => Language::Fixed,
        (_, true) => Language::Extended,
        _ => Language::Basic,
    };
    let recursive = opts.has('r') || opts.has('R');
    let files = if files.is_empty() && recursive { Vec::from(["."]) } else { sh.inputs(files)? };
    let named = (files.len() > 1 || recursive || opts.has('H')) && !opts.has('h');
    let regex = Regex::parse(&patterns, language, opts.has('i')).on(&patterns)?;
    let mut search = GrepSearch { regex, opts, named, found: false };
    sh.for_each("grep", &files, |sh, path| {
        if recursive && path != "-" {
            let place = sh.find(path)?;
            return each_of_tree(sh, "grep", path, place, |sh, place, path| match place.file.kind() {
                FileKind::File => search.file(sh, &ShellInput::File(place.file.clone()), path),
                _ => Ok(()),
            });
        }
        let input = sh.open_input(path)?;
        search.file(sh, &input, path)
    })?;
    if search.found { Ok(()) } else { Err(Failure::Said) }
}

impl GrepSearch<'_> {
    fn file(&mut self, sh: &mut Shell, input: &ShellInput, path: &str) -> CommandResult {
        let (mut line, mut number, mut count) = (Vec::new(), 0u64, 0u64);
        let mut over = false;
        let outcome = sh.read_input(input, path, 0, u64::MAX, |sh, bytes| {
            for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                let ends = piece.ends_with(b"\n");
                line.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
                if ends || line.len() >= LONGEST {
                    number += 1;
                    over = self.line(sh, &line, number, path, &mut count)?;
                    line.clear();
                }
                if over {
                    // Nobody reads on: a failure of no name ends it.
                    return Err(Failure::Said);
                }
            }
            Ok(())
        });
        if !over {
            outcome?;
            if !line.is_empty() {
                self.line(sh, &line, number + 1, path, &mut count)?;
            }
        }
        if self.opts.has('c') && !self.opts.has('q') && !self.opts.has('l') {
            self.name(sh, path)?;
            writeln!(sh.out, "{count}")?;
        }
        Ok(())
    }

    /// Looks at a line; true if the rest of the file need not be read.
    fn line(
        &mut self,
        sh: &mut Shell,
        line: &[u8],
        number: u64,
        path: &str,
        count: &mut u64,
    ) -> Result<bool, Failure> {
        let line_text = text::decode(line);
        if self.regex.matches(&line_text) == self.opts.has('v') {
            return Ok(false);
        }
        self.found = true;
        *count += 1;
        if self.opts.has('q') {
            return Ok(true);
        }
        let shown = sh.shown(path).into_owned();
        if self.opts.has('l') {
            writeln!(sh.out, "{shown}")?;
            return Ok(true);
        }
        if self.opts.has('c') {
            return Ok(false);
        }
        if line.contains(&0) {
            writeln!(sh.out, "grep: {shown}: binary file matches")?;
            return Ok(true);
        }
        self.name(sh, path)?;
        if self.opts.has('n') {
            write!(sh.out, "{number}:")?;
        }
        // What controls a terminal shall not reach one.
        let tabs_stay = line_text.split('\t').map(|part| sh.shown(part)).collect::<Vec<_>>().join("\t");
        writeln!(sh.out, "{tabs_stay}")?;
        Ok(false)
    }

    fn name(&self, sh: &mut Shell, path: &str) -> CommandResult {
        if self.named {
            let path = if path == "-" { "(standard input)" } else { path };
            let shown = sh.shown(path).into_owned();
            write!(sh.out, "{shown}:")?;
        }
        Ok(())
    }
}
