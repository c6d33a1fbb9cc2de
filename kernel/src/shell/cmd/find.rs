//! `find`.

use alloc::string::ToString;
use core::fmt::Write;
use core::ops::ControlFlow;

use cli::date;
use cli::find::{Action, Candidate, Facts, Find};
use cli::mode::Letters;
use cli::opts::Opts;
use fs::vfs::{Attr, FileKind};

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::tree::{Tree, Visit};
use super::super::{Shell, text};
use super::list::is_device;
use super::names;
use crate::mounts::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "find",
    operands: "[PATH...] [EXPRESSION]",
    about: "find files in directory trees",
    options: &[
        ("-name P", "the name matches a pattern: * ? [a-z]; -iname: in either case"),
        ("-path P", "the whole path does; -ipath: in either case"),
        ("-type K", "of kind f d l c b p s, several with commas"),
        ("-size N", "that size in 512 bytes, or with c w b k M G; +N more, -N less, here and below"),
        ("-links N", "that many names; -inum N -uid N -gid N"),
        ("-perm M", "that mode; -M all of its bits, /M any of them"),
        ("-empty", "an empty file or directory"),
        ("-newer F", "changed after file F; -mtime N: N days ago"),
        ("-maxdepth N", "not more directories down; -mindepth N -depth -xdev"),
        ("-print", "also -print0 -ls -delete -prune"),
        ("! E", "also E -o E, E -a E, ( E ); quote ( and )"),
    ],
    spec: "-",
    count: 0..=ANY,
    run: find,
}];

/// A file that was found.
struct FoundFile<'a> {
    sh: &'a mut Shell,
    place: &'a Place,
    /// The directory that it was found in; none for what was typed.
    dir: Option<&'a Place>,
    path: &'a str,
    attr: Attr,
    /// Something was complained about.
    failed: bool,
    pruned: bool,
}

impl Candidate for FoundFile<'_> {
    type Error = Failure;

    fn facts(&self) -> Facts<'_> {
        let attr = &self.attr;
        Facts {
            path: self.path,
            name: text::base_name(self.path),
            kind: kind_letter(attr.kind),
            size: attr.size,
            links: attr.links.into(),
            ino: attr.ino,
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            mtime: (attr.mtime.secs, attr.mtime.nanos),
        }
    }

    fn is_empty_directory(&mut self) -> Result<bool, Failure> {
        let mut empty = true;
        let read = self.place.file.read_dir(0, &mut |entry| {
            empty = entry.name == b"." || entry.name == b"..";
            if empty { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match read {
            Ok(()) => Ok(empty),
            Err(why) => Ok(self.complain(&why)),
        }
    }

    fn act(&mut self, action: Action) -> Result<bool, Failure> {
        match action {
            Action::Print => {
                let shown = self.sh.shown(self.path).into_owned();
                writeln!(self.sh.out, "{shown}")?;
            }
            Action::Print0 => write!(self.sh.out, "{}\0", self.path)?,
            Action::List => self.list()?,
            Action::Prune => self.pruned = true,
            Action::Delete => return self.delete(),
        }
        Ok(true)
    }
}

impl FoundFile<'_> {
    fn complain(&mut self, why: &dyn core::fmt::Display) -> bool {
        self.sh.complain("find", &alloc::format!("{}: {why}", self.path));
        self.failed = true;
        false
    }

    /// Returns a line as `ls -dils` writes it, in find's columns.
    fn list(&mut self) -> CommandResult {
        // What cannot be read is said before the line, which is a whole one all the same.
        let target = match self.attr.kind {
            FileKind::Symlink => match self.place.file.read_link() {
                Ok(target) => Some(text::decode(&target)),
                Err(why) => {
                    self.complain(&why);
                    None
                }
            },
            _ => None,
        };
        let attr = &self.attr;
        let (ino, blocks, links) = (attr.ino, attr.blocks.div_ceil(2), attr.links);
        write!(self.sh.out, "{ino:>9} {blocks:>6} {} {links:>3} ", Letters(attr.whole_mode()))?;
        write!(self.sh.out, "{:<8} {:<8} ", attr.uid, attr.gid)?;
        match is_device(attr) {
            true => write!(self.sh.out, "{:>3}, {:>3}", attr.device.major, attr.device.minor)?,
            false => write!(self.sh.out, "{:>8}", attr.size)?,
        }
        let date = date::ls_style(attr.mtime.secs, crate::arch::time::now().secs);
        let shown = self.sh.shown(self.path).into_owned();
        write!(self.sh.out, " {date} {shown}")?;
        if let Some(target) = target {
            let target = self.sh.shown(&target).into_owned();
            write!(self.sh.out, " -> {target}")?;
        }
        Ok(writeln!(self.sh.out)?)
    }

    fn delete(&mut self) -> Result<bool, Failure> {
        let name = text::base_name(self.path);
        if matches!(name, "." | ".." | "/") {
            return Ok(match name {
                // As find(1): `find . -delete` empties the directory.
                "." => true,
                _ => self.complain(&"cannot be removed"),
            });
        }
        let is_dir = self.place.is_directory();
        let done = match self.dir {
            Some(dir) => names::remove(dir, &text::encode(name), is_dir).on(self.path),
            None => {
                let slot = self.sh.slot(self.path)?;
                names::remove(&slot.dir, &slot.name, is_dir).on(self.path)
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(Failure::Complaint(text)) => {
                self.sh.complain("find", &text);
                self.failed = true;
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }
}

fn kind_letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => 'f',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    }
}

fn find(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let now = crate::arch::time::now();
    let mut changed = |path: &str| match sh.walk(path, true) {
        Ok(place) => {
            let time = place.file.attr().mtime;
            Ok((time.secs, time.nanos))
        }
        Err(why) => Err(why.to_string()),
    };
    let find = Find::parse(opts.operands(), (now.secs, now.nanos), &mut changed).map_err(complaint)?;
    let mut failed = false;
    for path in &find.paths {
        match search(sh, &find, path) {
            Ok(well) => failed |= !well,
            Err(Failure::Complaint(text)) => {
                sh.complain("find", &text);
                failed = true;
            }
            Err(other) => return Err(other),
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Asks the expression about `place`: whether all went well, and whether to stay out of it.
fn ask(
    sh: &mut Shell,
    find: &Find,
    place: &Place,
    dir: Option<&Place>,
    path: &str,
) -> Result<(bool, bool), Failure> {
    let mut found = FoundFile { sh, place, dir, path, attr: place.file.attr(), failed: false, pruned: false };
    find.ask(&mut found)?;
    Ok((!found.failed, found.pruned))
}

/// Searches a tree; whether all went well.
fn search(sh: &mut Shell, find: &Find, path: &str) -> Result<bool, Failure> {
    let top = sh.walk(path, false).on(path)?;
    let mount = top.mount.clone();
    let goes_in = |place: &Place, depth: usize| {
        place.is_directory() && depth < find.deepest && !(find.one_file_system && place.mount != mount)
    };
    let mut tree = Tree::new(path);
    let mut well = true;
    // The top first: it is in no directory of the tree.
    if !goes_in(&top, 0) {
        return if find.shallowest == 0 { Ok(ask(sh, find, &top, None, path)?.0) } else { Ok(true) };
    }
    if !find.depth_first && find.shallowest == 0 {
        let (fine, pruned) = ask(sh, find, &top, None, path)?;
        if pruned {
            return Ok(fine);
        }
        well &= fine;
    }
    tree.enter(sh, top)?;
    loop {
        let mut step = |sh: &mut Shell| {
            let Some(visit) = tree.next(sh)? else { return Ok(None) };
            let depth = tree.depth();
            let asked = depth >= find.shallowest;
            match visit {
                Visit::Left(place) if find.depth_first && asked => {
                    Ok(Some(ask(sh, find, &place, tree.dir(), tree.path())?.0))
                }
                Visit::Left(_) => Ok(Some(true)),
                Visit::Found(place) => {
                    let inside = goes_in(&place, depth);
                    let (mut fine, mut pruned) = (true, false);
                    if asked && !(find.depth_first && inside) {
                        (fine, pruned) = ask(sh, find, &place, tree.dir(), tree.path())?;
                    }
                    if inside && !pruned {
                        tree.enter(sh, place)?;
                    }
                    Ok(Some(fine))
                }
            }
        };
        match step(sh) {
            Ok(Some(fine)) => well &= fine,
            Ok(None) => return Ok(well),
            Err(Failure::Complaint(text)) => {
                sh.complain("find", &text);
                well = false;
            }
            Err(other) => return Err(other),
        }
    }
}
