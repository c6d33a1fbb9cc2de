//! `ls`.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::{date, human, mode};
use fs::vfs::{Attr, FileKind};
use fs::{Errno, Error};

use super::super::command::{ANY, Command, CommandResult, Failure, On};
use super::super::{Shell, text};
use crate::mounts::{self, Place, Why};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "ls",
    operands: "[PATH...]",
    about: "list directories and files",
    options: &[
        ("-a", "names that start with a dot too"),
        ("-A", "as -a, without . and .."),
        ("-d", "directories themselves, not what is in them"),
        ("-F", "a character after the name: / directory, @ link, | pipe, = socket, * executable"),
        ("-h", "with -l: sizes with K, M, G"),
        ("-i", "inode numbers"),
        ("-l", "kind and permissions, links, owner, group, size or device, time"),
        ("-n", "as -l"),
        ("-r", "the other way round"),
        ("-R", "directories in directories too"),
        ("-S", "sort by size, largest first"),
        ("-t", "sort by time, newest first"),
        ("-1", "a name per line, as without a terminal"),
    ],
    spec: "aAdFhilnrRSt1",
    count: 0..=ANY,
    run: ls,
}];

/// A directory to be listed.
struct ListedDirectory {
    dir: Place,
    path: String,
    /// The directory was typed, not found in another.
    operand: bool,
}

/// A name to be listed.
struct ListedName {
    name: String,
    attr: Attr,
    /// Where a link leads, for -l.
    target: Option<String>,
}

impl ListedName {
    fn new(name: String, place: &Place, opts: &Opts<'_>) -> Result<Self, Why> {
        let attr = place.file.attr();
        let shows_target = long(opts) && attr.kind == FileKind::Symlink;
        let target = if shows_target { Some(text::decode(&place.file.read_link()?)) } else { None };
        Ok(Self { name, attr, target })
    }
}

/// With -l, or -n: there are only numbers anyway.
fn long(opts: &Opts<'_>) -> bool {
    opts.has('l') || opts.has('n')
}

fn ls(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let operands = if opts.operands().is_empty() { &["."] } else { opts.operands() };
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    // With -l, a link is what is listed; but `ls -l link/` and `ls link` are about what it leads to.
    let follow = !(long(opts) || opts.has('d') || opts.has('F'));
    let outcome = sh.for_each("ls", operands, |sh, path| {
        let place = sh
            .walk(path, follow)
            // Of a link that leads nowhere the name is there; of one in a circle, nobody knows what is meant.
            .or_else(|why| match why {
                Why::File(Error::Op(Errno::NotFound)) if follow => sh.walk(path, false),
                why => Err(why),
            })
            .on(path)?;
        if place.is_directory() && !opts.has('d') {
            dirs.push((
                place.file.attr(),
                ListedDirectory { dir: place, path: path.to_string(), operand: true },
            ));
        } else {
            files.push(ListedName::new(path.to_string(), &place, opts).on(path)?);
        }
        Ok(())
    });
    let some_failed = match outcome {
        Ok(()) => false,
        Err(Failure::Said) => true,
        Err(other) => return Err(other),
    };
    sort(&mut files, opts, |entry| (&entry.name, &entry.attr));
    print(sh, &files, opts)?;
    let headed = operands.len() > 1 || opts.has('R');
    let mut first = files.is_empty();
    sort(&mut dirs, opts, |(attr, pending)| (&pending.path, attr));
    let mut pending: Vec<ListedDirectory> = dirs.into_iter().rev().map(|(_, pending)| pending).collect();
    // What was listed below an operand: a damaged image can have a directory in several places, or in itself.
    let mut seen = BTreeSet::new();
    let mut failed = some_failed;
    while let Some(ListedDirectory { dir, path, operand }) = pending.pop() {
        if operand {
            seen.clear();
        }
        if headed {
            if !core::mem::take(&mut first) {
                writeln!(sh.out)?;
            }
            let shown = sh.shown(&path).into_owned();
            writeln!(sh.out, "{shown}:")?;
        }
        let step = if seen.insert((dir.mount.id(), dir.file.ino())) {
            list(sh, &dir, &path, opts, &mut pending)
        } else {
            Err("the image is damaged: this directory is in more than one place").on(&path)
        };
        match step {
            Ok(()) => {}
            Err(Failure::Complaint(why)) => {
                sh.complain("ls", &why);
                failed = true;
            }
            Err(Failure::Said) => failed = true,
            Err(other) => return Err(other),
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Lists a directory. With -R, the directories in it become the next to be listed.
fn list(
    sh: &mut Shell,
    dir: &Place,
    path: &str,
    opts: &Opts<'_>,
    pending: &mut Vec<ListedDirectory>,
) -> CommandResult {
    let all = opts.has('a') || opts.has('A');
    // Inodes are only looked at where something of them is asked for.
    let cheap = !"lRStidhFn".chars().any(|option| opts.has(option));
    if cheap {
        let mut names = sh.names(&dir.file, path)?;
        names.retain(|name| all || !name.starts_with('.'));
        if opts.has('a') {
            names.splice(0..0, [".".to_string(), "..".to_string()]);
        }
        if opts.has('r') {
            names.reverse();
        }
        return print_names(sh, &names, opts);
    }
    let (mut entries, mut failed) = (Vec::new(), false);
    let mut below = Vec::new();
    if opts.has('a') {
        for name in [".", ".."] {
            let above = mounts::walk(Some(dir), name.as_bytes(), true);
            let entry = above.and_then(|place| ListedName::new(name.to_string(), &place, opts));
            entries.push((entry.on(&text::join(path, name))?, None));
        }
    }
    sh.entries(dir, path, |sh, name, place| {
        if !all && name.starts_with('.') {
            return Ok(());
        }
        let entry = place.and_then(|place| Ok((ListedName::new(name.clone(), &place, opts)?, place)));
        match entry {
            Ok((entry, place)) => {
                let goes_on = opts.has('R') && place.is_directory();
                entries.push((entry, goes_on.then_some(place)));
            }
            Err(why) => {
                sh.complain("ls", &alloc::format!("{}: {why}", text::join(path, &name)));
                failed = true;
            }
        }
        Ok(())
    })?;
    sort(&mut entries, opts, |(entry, _)| (&entry.name, &entry.attr));
    if long(opts) {
        let blocks: u64 = entries.iter().map(|(entry, _)| entry.attr.blocks).sum();
        writeln!(sh.out, "total {}", blocks.div_ceil(2))?;
    }
    let mut listed = Vec::with_capacity(entries.len());
    for (entry, place) in entries {
        if let Some(dir) = place {
            below.push(ListedDirectory { dir, path: text::join(path, &entry.name), operand: false });
        }
        listed.push(entry);
    }
    print(sh, &listed, opts)?;
    pending.extend(below.into_iter().rev());
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// By name, size or time; `key` tells the name and the attributes of what is sorted.
fn sort<T>(entries: &mut [T], opts: &Opts<'_>, key: impl Fn(&T) -> (&String, &Attr)) {
    entries.sort_unstable_by(|a, b| {
        let ((a, of_a), (b, of_b)) = (key(a), key(b));
        let first = if opts.has('S') {
            of_b.size.cmp(&of_a.size)
        } else if opts.has('t') {
            of_b.mtime.cmp(&of_a.mtime)
        } else {
            core::cmp::Ordering::Equal
        };
        // By bytes, dots first: they are in front of every other name that begins with a dot.
        let by_name = || text::encode(a).cmp(&text::encode(b));
        first.then_with(by_name)
    });
    if opts.has('r') {
        entries.reverse();
    }
}

/// The character that -F puts after a name.
fn mark(attr: &Attr) -> &'static str {
    match attr.kind {
        FileKind::Directory => "/",
        FileKind::Symlink => "@",
        FileKind::Fifo => "|",
        FileKind::Socket => "=",
        FileKind::File if attr.mode & 0o111 != 0 => "*",
        _ => "",
    }
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Returns whether the file has device numbers.
pub(super) fn is_device(attr: &Attr) -> bool {
    matches!(attr.kind, FileKind::CharDevice | FileKind::BlockDevice)
}

fn print(sh: &mut Shell, entries: &[ListedName], opts: &Opts<'_>) -> CommandResult {
    let width = |f: &dyn Fn(&Attr) -> usize| entries.iter().map(|entry| f(&entry.attr)).max().unwrap_or(0);
    let inodes = width(&|attr| digits(attr.ino));
    let marked = |entry: &ListedName| if opts.has('F') { mark(&entry.attr) } else { "" };
    if !long(opts) {
        let whole = |entry: &ListedName| {
            let (name, mark) = (&entry.name, marked(entry));
            match opts.has('i') {
                true => alloc::format!("{:inodes$} {name}{mark}", entry.attr.ino),
                false => alloc::format!("{name}{mark}"),
            }
        };
        let names: Vec<String> = entries.iter().map(whole).collect();
        return print_names(sh, &names, opts);
    }
    let devices =
        |f: &dyn Fn(&Attr) -> u32| width(&|attr| if is_device(attr) { digits(f(attr).into()) } else { 0 });
    let (majors, minors) = (devices(&|attr| attr.device.major), devices(&|attr| attr.device.minor));
    let size = |attr: &Attr| match (is_device(attr), opts.has('h')) {
        (true, _) => alloc::format!("{:>majors$}, {:>minors$}", attr.device.major, attr.device.minor),
        (_, true) => human::short(attr.size).to_string(),
        _ => attr.size.to_string(),
    };
    let links = width(&|attr| digits(attr.links.into()));
    let uid = width(&|attr| digits(attr.uid.into()));
    let gid = width(&|attr| digits(attr.gid.into()));
    let sizes = width(&|attr| size(attr).len());
    let now = crate::arch::time::now().secs;
    for entry in entries {
        let ListedName { name, attr, target } = entry;
        if opts.has('i') {
            write!(sh.out, "{:inodes$} ", attr.ino)?;
        }
        write!(sh.out, "{} {:links$} ", mode::Letters(attr.whole_mode()), attr.links)?;
        write!(sh.out, "{:<uid$} {:<gid$} {:>sizes$} ", attr.uid, attr.gid, size(attr))?;
        write!(sh.out, "{} {}", date::ls_style(attr.mtime.secs, now), sh_name(sh, name))?;
        match target {
            Some(target) => writeln!(sh.out, " -> {}", sh_name(sh, target))?,
            None => writeln!(sh.out, "{}", marked(entry))?,
        }
    }
    Ok(())
}

fn sh_name(sh: &Shell, name: &str) -> String {
    sh.shown(name).into_owned()
}

/// A name per line; on a terminal in columns.
fn print_names(sh: &mut Shell, names: &[String], opts: &Opts<'_>) -> CommandResult {
    const TERMINAL: usize = 80;
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let columns = if sh.interactive && !opts.has('1') { (TERMINAL / (longest + 2)).max(1) } else { 1 };
    let rows = names.len().div_ceil(columns);
    for row in 0..rows {
        let mut owed = 0;
        for name in names.iter().skip(row).step_by(rows.max(1)) {
            let shown = sh_name(sh, name);
            write!(sh.out, "{:owed$}{shown}", "")?;
            owed = longest + 2 - shown.chars().count();
        }
        writeln!(sh.out)?;
    }
    Ok(())
}
