//! `du`.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::human;
use cli::opts::Opts;
use fs::vfs::Attr;

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::tree::{Tree, Visit};
use super::show::number;
use crate::mounts::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "du",
    operands: "[FILE...]",
    about: "show the space that files and directories take",
    options: &[
        ("-s", "only the operands, not what is in them"),
        ("-a", "files too, not only directories"),
        ("-b", "sizes in bytes instead of space taken"),
        ("-c", "a total at the end"),
        ("-d N", "only so many directories down"),
        ("-h", "sizes with K, M, G"),
        ("-k", "in units of 1024 bytes, as without"),
        ("-x", "stay on one file system"),
    ],
    spec: "sabcd:hkx max-depth=d",
    count: 0..=ANY,
    run: du,
}];

/// What is counted, and how it is shown.
struct UsageCounter<'a, 'b> {
    opts: &'a Opts<'b>,
    /// Directories shown below an operand.
    deepest: u64,
    /// Mount and number of files with several names that were counted.
    counted: BTreeSet<(u64, u64)>,
    total: u64,
}

impl UsageCounter<'_, '_> {
    /// Returns the bytes that a file counts for: none, if the file was counted under another name.
    fn count(&mut self, place: &Place, attr: &Attr) -> Option<u64> {
        let several = attr.links > 1 && !place.is_directory();
        if several && !self.counted.insert((place.mount.id(), attr.ino)) {
            return None;
        }
        Some(if self.opts.has('b') { attr.size } else { attr.blocks.saturating_mul(512) })
    }

    fn print(&self, sh: &mut Shell, bytes: u64, path: &str) -> CommandResult {
        let shown = sh.shown(path).into_owned();
        let size = match (self.opts.has('h'), self.opts.has('b')) {
            (true, _) => human::short(bytes).to_string(),
            (_, true) => bytes.to_string(),
            _ => bytes.div_ceil(1024).to_string(),
        };
        Ok(writeln!(sh.out, "{size}\t{shown}")?)
    }

    /// Counts an operand; whether all went well.
    fn operand(&mut self, sh: &mut Shell, path: &str) -> Result<bool, Failure> {
        let top = sh.walk(path, false).on(path)?;
        let attr = top.file.attr();
        if !top.is_directory() {
            let Some(bytes) = self.count(&top, &attr) else { return Ok(true) };
            self.total = self.total.saturating_add(bytes);
            return self.print(sh, bytes, path).map(|()| true);
        }
        let mount = top.mount.clone();
        let mut tree = Tree::new(path);
        // What each directory that is being visited holds so far.
        let mut sums = Vec::from([self.count(&top, &attr).unwrap_or(0)]);
        tree.enter(sh, top)?;
        let mut well = true;
        loop {
            let mut step = |sh: &mut Shell| {
                let Some(visit) = tree.next(sh)? else { return Ok(false) };
                let depth = tree.depth() as u64;
                match visit {
                    Visit::Found(place) => {
                        if self.opts.has('x') && place.mount != mount {
                            return Ok(true);
                        }
                        let attr = place.file.attr();
                        let Some(bytes) = self.count(&place, &attr) else { return Ok(true) };
                        if place.is_directory() {
                            // Counted though it may not be read.
                            sums.push(bytes);
                            let entered = tree.enter(sh, place);
                            if entered.is_err() {
                                add(&mut sums);
                            }
                            entered?;
                        } else {
                            if let Some(sum) = sums.last_mut() {
                                *sum = sum.saturating_add(bytes);
                            }
                            if self.opts.has('a') && depth <= self.deepest {
                                self.print(sh, bytes, tree.path())?;
                            }
                        }
                    }
                    Visit::Left(_) => {
                        let sum = add(&mut sums);
                        if depth == 0 {
                            self.total = self.total.saturating_add(sum);
                        }
                        if depth <= self.deepest {
                            self.print(sh, sum, tree.path())?;
                        }
                    }
                }
                Ok(true)
            };
            match step(sh) {
                Ok(true) => {}
                Ok(false) => return Ok(well),
                Err(Failure::Complaint(text)) => {
                    sh.complain("du", &text);
                    well = false;
                }
                Err(other) => return Err(other),
            }
        }
    }
}

/// Ends the last sum and adds it to the one before.
fn add(sums: &mut Vec<u64>) -> u64 {
    let sum = sums.pop().unwrap_or(0);
    if let Some(above) = sums.last_mut() {
        *above = above.saturating_add(sum);
    }
    sum
}

fn du(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let deepest = match (opts.has('s'), number(opts, 'd')?) {
        (true, Some(1..)) => return Err(complaint("-s and -d exclude each other")),
        (true, _) if opts.has('a') => return Err(complaint("-s and -a exclude each other")),
        (true, _) => 0,
        (_, deepest) => deepest.unwrap_or(u64::MAX),
    };
    let operands = if opts.operands().is_empty() { &["."] } else { opts.operands() };
    let mut counter = UsageCounter { opts, deepest, counted: BTreeSet::new(), total: 0 };
    let outcome = sh.for_each("du", operands, |sh, path| match counter.operand(sh, path)? {
        true => Ok(()),
        false => Err(Failure::Said),
    });
    if let Err(other) = &outcome
        && !matches!(other, Failure::Said)
    {
        return outcome;
    }
    if opts.has('c') {
        let total = counter.total;
        counter.print(sh, total, "total")?;
    }
    outcome
}
