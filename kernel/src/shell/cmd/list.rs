//! `ls`.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::{date, human, mode};
use fs::vfs::{Attr, FileKind};

use super::super::command::{ANY, Command, Done, Failure, On};
use super::super::{Shell, text};
use crate::machine::File;
use crate::mounts::{self, Place};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "ls",
    operands: "[PATH...]",
    about: "list directories and files",
    options: &[
        ("-a", "names that start with a dot too"),
        ("-A", "as -a, without . and .."),
        ("-d", "directories themselves, not what is in them"),
        ("-h", "with -l: sizes with K, M, G"),
        ("-i", "inode numbers"),
        ("-l", "kind and permissions, links, owner, group, size, time"),
        ("-r", "the other way round"),
        ("-R", "directories in directories too"),
        ("-S", "sort by size, largest first"),
        ("-t", "sort by time, newest first"),
        ("-1", "a name per line, as without a terminal"),
    ],
    spec: "aAdhilrRSt1n",
    count: 0..=ANY,
    run: ls,
}];

/// A directory to be listed. Found by its name in the one above, which a path may be too short for.
struct Pending {
    /// None: it was typed.
    above: Option<Place>,
    path: String,
    /// Where its name begins in `path`.
    name: usize,
}

/// A name to be listed.
struct Entry {
    name: String,
    attr: Attr,
    file: Option<File>,
}

fn ls(sh: &mut Shell, opts: &Opts<'_>) -> Done {
    let operands = if opts.operands().is_empty() { &["."] } else { opts.operands() };
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    // With -l, a link is what is listed; but `ls -l link/` and `ls link` are about what it leads to.
    let follow = !(opts.has('l') || opts.has('d'));
    let outcome = sh.for_each("ls", operands, |sh, path| {
        let place = sh
            .walk(path, follow)
            .or_else(|why| if follow { sh.walk(path, false) } else { Err(why) })
            .on(path)?;
        if place.is_directory() && !opts.has('d') {
            dirs.push(path.to_string());
        } else {
            let attr = place.file.attr();
            files.push(Entry { name: path.to_string(), attr, file: Some(place.file) });
        }
        Ok(())
    });
    let some_failed = match outcome {
        Ok(()) => false,
        Err(Failure::Said) => true,
        Err(other) => return Err(other),
    };
    sort(&mut files, opts);
    print(sh, &files, opts)?;
    let headed = operands.len() > 1 || opts.has('R');
    let mut first = files.is_empty();
    if !opts.has('S') && !opts.has('t') {
        dirs.sort_unstable();
    }
    let mut pending: Vec<Pending> =
        dirs.into_iter().rev().map(|path| Pending { above: None, name: 0, path }).collect();
    // What was listed below an operand: a damaged image can have a directory in several places, or in itself.
    let mut seen = BTreeSet::new();
    let mut failed = some_failed;
    while let Some(next) = pending.pop() {
        if next.above.is_none() {
            seen.clear();
        }
        if headed {
            if !core::mem::take(&mut first) {
                writeln!(sh.out)?;
            }
            let shown = sh.shown(&next.path).into_owned();
            writeln!(sh.out, "{shown}:")?;
        }
        let path = next.path.as_str();
        let mut step = |sh: &mut Shell| {
            let dir = match &next.above {
                None => sh.find(path)?,
                Some(above) => mounts::child(above, &text::encode(&path[next.name..])).on(path)?,
            };
            if !seen.insert((dir.mount.id(), dir.file.ino())) {
                return Err("the image is damaged: this directory is in more than one place").on(path);
            }
            let below = list(sh, &dir, path, opts)?;
            pending.extend(below.into_iter().rev().map(|name| {
                let path = text::join(path, &name);
                Pending { above: Some(dir.clone()), name: path.len() - name.len(), path }
            }));
            Ok(())
        };
        match step(sh) {
            Ok(()) => {}
            Err(Failure::Complaint(why)) => {
                sh.complain("ls", &why);
                failed = true;
            }
            Err(other) => return Err(other),
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Lists a directory. With -R, returns the directories in it.
fn list(sh: &mut Shell, dir: &Place, path: &str, opts: &Opts<'_>) -> Result<Vec<String>, Failure> {
    let mut names = sh.names(&dir.file, path)?;
    let all = opts.has('a') || opts.has('A');
    names.retain(|name| all || !name.starts_with('.'));
    // Inodes are only looked at where something of them is asked for.
    let cheap = !"lRStidh".chars().any(|option| opts.has(option));
    if cheap && !opts.has('a') {
        if opts.has('r') {
            names.reverse();
        }
        return print_names(sh, &names, opts).map(|()| Vec::new());
    }
    let mut entries = Vec::with_capacity(names.len() + 2);
    if opts.has('a') {
        for name in [".", ".."] {
            let file = mounts::walk(Some(dir), name.as_bytes(), true).on(&text::join(path, name))?.file;
            entries.push(Entry { name: name.to_string(), attr: file.attr(), file: None });
        }
    }
    for name in names {
        sh.out.poll()?;
        // Through the mount table: a mount point shows what is mounted.
        let file = match mounts::child(dir, &text::encode(&name)) {
            Ok(place) => place.file,
            Err(why) => {
                sh.complain("ls", &alloc::format!("{}: {why}", text::join(path, &name)));
                continue;
            }
        };
        let attr = file.attr();
        let link = attr.kind == FileKind::Symlink;
        entries.push(Entry { name, attr, file: link.then_some(file) });
    }
    sort(&mut entries, opts);
    if opts.has('l') {
        let blocks: u64 = entries.iter().map(|entry| entry.attr.blocks).sum();
        writeln!(sh.out, "total {}", blocks.div_ceil(2))?;
    }
    print(sh, &entries, opts)?;
    let below =
        |entry: &Entry| entry.attr.kind == FileKind::Directory && entry.name != "." && entry.name != "..";
    if !opts.has('R') {
        return Ok(Vec::new());
    }
    Ok(entries.into_iter().filter(below).map(|entry| entry.name).collect())
}

fn sort(entries: &mut [Entry], opts: &Opts<'_>) {
    if opts.has('S') {
        entries.sort_by_key(|entry| core::cmp::Reverse(entry.attr.size));
    } else if opts.has('t') {
        entries.sort_by_key(|entry| core::cmp::Reverse(entry.attr.mtime));
    }
    if opts.has('r') {
        entries.reverse();
    }
}

/// The mode as on disk, type bits included.
pub(in super::super) fn whole_mode(attr: &Attr) -> u16 {
    let kind = match attr.kind {
        FileKind::Fifo => 0x1000,
        FileKind::CharDevice => 0x2000,
        FileKind::Directory => 0x4000,
        FileKind::BlockDevice => 0x6000,
        FileKind::File => 0x8000,
        FileKind::Symlink => 0xa000,
        FileKind::Socket => 0xc000,
    };
    kind | attr.mode & 0o7777
}

fn print(sh: &mut Shell, entries: &[Entry], opts: &Opts<'_>) -> Done {
    if !opts.has('l') {
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        if !opts.has('i') {
            return print_names(sh, &names, opts);
        }
        for entry in entries {
            let shown = sh.shown(&entry.name).into_owned();
            writeln!(sh.out, "{} {shown}", entry.attr.ino)?;
        }
        return Ok(());
    }
    let size =
        |attr: &Attr| if opts.has('h') { human::short(attr.size).to_string() } else { attr.size.to_string() };
    let width = |f: &dyn Fn(&Attr) -> usize| entries.iter().map(|entry| f(&entry.attr)).max().unwrap_or(0);
    let digits = |n: u64| n.checked_ilog10().map_or(1, |log| log as usize + 1);
    let links = width(&|attr| digits(attr.links.into()));
    let uid = width(&|attr| digits(attr.uid.into()));
    let gid = width(&|attr| digits(attr.gid.into()));
    let sizes = width(&|attr| size(attr).len());
    let inodes = width(&|attr| digits(attr.ino));
    let now = crate::arch::time::now().secs;
    for Entry { name, attr, file } in entries {
        if opts.has('i') {
            write!(sh.out, "{:inodes$} ", attr.ino)?;
        }
        write!(sh.out, "{} {:links$} ", mode::Letters(whole_mode(attr)), attr.links)?;
        write!(sh.out, "{:<uid$} {:<gid$} {:>sizes$} ", attr.uid, attr.gid, size(attr))?;
        write!(sh.out, "{} {}", date::ls_style(attr.mtime.secs, now), sh_name(sh, name))?;
        if attr.kind == FileKind::Symlink
            && let Some(file) = file
        {
            let target = text::decode(&file.read_link().on(name)?);
            write!(sh.out, " -> {}", sh_name(sh, &target))?;
        }
        writeln!(sh.out)?;
    }
    Ok(())
}

fn sh_name(sh: &Shell, name: &str) -> String {
    sh.shown(name).into_owned()
}

/// A name per line; on a terminal in columns.
fn print_names(sh: &mut Shell, names: &[String], opts: &Opts<'_>) -> Done {
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
