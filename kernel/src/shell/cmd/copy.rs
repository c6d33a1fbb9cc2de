//! Commands that copy and move: cp, mv.

use alloc::string::ToString;
use alloc::vec::Vec;

use cli::opts::Opts;
use fs::vfs::{FileKind, Rename, Seek, SetAttr, SetXattr};
use fs::{Errno, Error};

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::files::{NamePlace, PathFrom};
use super::super::tree::{Tree, Visit};
use super::super::{Shell, text};
use crate::machine::File;
use crate::mounts::{self, Place, Why};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "cp",
        operands: "SOURCE... TARGET",
        about: "copy files; holes stay holes",
        options: &[
            ("-r", "directories with all that is in them"),
            ("-p", "keep mode, owner, times and extended attributes"),
            ("-a", "as -r -p"),
            ("-T", "the last operand is a name, even if it is a directory's"),
            ("-f", "ignored"),
        ],
        spec: "rRapfT",
        count: 1..=ANY,
        run: |sh, opts| to_target(sh, opts, "cp", &|sh, from, to| copy_tree(sh, from, to, opts)),
    },
    Command {
        name: "mv",
        operands: "SOURCE... TARGET",
        about: "rename files, or move them into a directory",
        options: &[
            ("-n", "replace nothing"),
            ("-T", "the last operand is a name, even if it is a directory's"),
            ("--exchange", "what has the names changes places"),
            ("-f", "ignored"),
        ],
        spec: "fnT exchange=X no-clobber=n no-target-directory=T",
        count: 1..=ANY,
        run: |sh, opts| {
            let how = match (opts.has('X'), opts.has('n')) {
                (true, true) => return Err(complaint("-n and --exchange exclude each other")),
                (true, _) => Rename::Exchange,
                (_, true) => Rename::NoReplace,
                _ => Rename::Replace,
            };
            to_target(sh, opts, "mv", &|sh, from, to| rename(sh, from, to, how))
        },
    },
];

/// Calls `f` with each source and its target, which is in the last operand if that is a directory.
pub(super) fn to_target(
    sh: &mut Shell,
    opts: &Opts<'_>,
    name: &str,
    f: &dyn Fn(&mut Shell, &str, &str) -> CommandResult,
) -> CommandResult {
    let Some((target, sources)) = opts.operands().split_last().filter(|(_, sources)| !sources.is_empty())
    else {
        let after = opts.operands().first().copied().unwrap_or_default();
        return Err(complaint(format_args!("missing target after '{after}'")));
    };
    if opts.has('T') && sources.len() > 1 {
        return Err(complaint(format_args!("extra operand '{target}'")));
    }
    let into = match sh.walk(target, true) {
        Ok(place) => place.is_directory() && !opts.has('T'),
        // What is not there is made; of a file with a slash behind it, whoever makes it says that it is no
        // directory.
        Err(Why::File(Error::Op(Errno::NotFound | Errno::NotDirectory))) => false,
        Err(why) => return Err(why).on(target),
    };
    if !into && sources.len() > 1 {
        return Err(Errno::NotDirectory).on(target);
    }
    sh.for_each(name, sources, |sh, source| {
        let target = if into { text::join(target, text::base_name(source)) } else { target.to_string() };
        f(sh, source, &target)
    })
}

/// Returns whether both places are the same file.
pub(super) fn same(a: &Place, b: &Place) -> bool {
    a.mount == b.mount && a.file.ino() == b.file.ino()
}

/// Copies a file, or a directory with what is in it.
fn copy_tree(sh: &mut Shell, from: &str, to: &str, opts: &Opts<'_>) -> CommandResult {
    let recursive = recursive(opts);
    let keeps = opts.has('p') || opts.has('a');
    // A link in a tree is not followed: it could lead up and around.
    let source = sh.walk(from, !recursive).on(from)?;
    if !source.is_directory() {
        // Held for as long as the copy takes, and so is what `to` begins at.
        let here = sh.here().cloned();
        return copy_one(sh, &source, from, PathFrom { start: here.as_ref(), path: to, shown: to }, opts);
    }
    if !recursive {
        return Err(Errno::IsDirectory).on(from);
    }
    // The directories that were made for those that are being visited.
    let mut made = Vec::from([copy_dir(&source, from, PathFrom::path(sh, to), true)?]);
    let mut tree = Tree::new(from);
    tree.enter(sh, source)?;
    let mut failed = false;
    loop {
        let mut step = |sh: &mut Shell| {
            let Some(visit) = tree.next(sh)? else { return Ok(true) };
            let below = tree.path()[from.len()..].trim_start_matches('/');
            let shown = if below.is_empty() { to.to_string() } else { text::join(to, below) };
            match visit {
                Visit::Found(place) => {
                    let at = PathFrom { start: made.last(), path: tree.name(), shown: &shown };
                    if !place.is_directory() {
                        return copy_one(sh, &place, tree.path(), at, opts).map(|()| false);
                    }
                    let copy = copy_dir(&place, tree.path(), at, false)?;
                    tree.enter(sh, place)?;
                    made.push(copy);
                }
                // Now, for making what is in it changed its times.
                Visit::Left(source) => {
                    if let Some(copy) = made.pop().filter(|_| keeps) {
                        keep(&source.file, &copy.file, &shown)?;
                    }
                }
            }
            Ok(false)
        };
        match step(sh) {
            Ok(false) => {}
            Ok(true) => break,
            Err(Failure::Complaint(text)) => {
                sh.complain("cp", &text);
                failed = true;
            }
            Err(other) => return Err(other),
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Copies what is no directory.
fn copy_one(sh: &mut Shell, source: &Place, from: &str, to: PathFrom<'_>, opts: &Opts<'_>) -> CommandResult {
    match source.file.kind() {
        FileKind::File => copy_file(sh, source, from, to, opts),
        // As they are, not what is behind them; which is meant only where a tree is copied.
        kind if recursive(opts) => {
            let slot = to.slot()?;
            let attr = source.file.attr();
            let (dir, name) = (&slot.dir.file, &slot.name[..]);
            let copy = match kind {
                FileKind::Symlink => dir.symlink(name, &source.file.read_link().on(from)?),
                FileKind::CharDevice | FileKind::BlockDevice => {
                    dir.make_device(name, kind, attr.mode, attr.device)
                }
                _ => dir.create(name, kind, attr.mode),
            };
            let copy = copy.on(to.shown)?;
            if opts.has('p') || opts.has('a') { keep(&source.file, &copy, to.shown) } else { Ok(()) }
        }
        _ => Err("not a regular file").on(from),
    }
}

/// True if directories are copied with what is in them.
fn recursive(opts: &Opts<'_>) -> bool {
    opts.has('r') || opts.has('R') || opts.has('a')
}

/// Makes the directory `to` like `from`, if it is not there. What is not `top` is in a directory that was
/// made so.
fn copy_dir(source: &Place, from: &str, to: PathFrom<'_>, top: bool) -> Result<Place, Failure> {
    let into_itself = |place: &Place| match mounts::is_within(place, source) {
        Ok(true) => Err(alloc::format!("cannot copy a directory into itself, {}", to.shown)).on(from),
        Ok(false) => Ok(()),
        Err(why) => Err(why).on(to.shown),
    };
    match to.walk(true) {
        Ok(place) if place.is_directory() && same(&place, source) => {
            return Err("source and target are the same directory").on(from);
        }
        Ok(place) if place.is_directory() => {
            into_itself(&place)?;
            return Ok(place);
        }
        Ok(_) => return Err(Errno::NotDirectory).on(to.shown),
        Err(Why::File(Error::Op(Errno::NotFound))) => {}
        Err(why) => return Err(why).on(to.shown),
    }
    let slot = to.slot()?;
    if top {
        into_itself(&slot.dir)?;
    }
    let mode = source.file.attr().mode | 0o700;
    let file = slot.dir.file.create(&slot.name, FileKind::Directory, mode).on(to.shown)?;
    Ok(Place { file, mount: slot.dir.mount })
}

fn copy_file(sh: &mut Shell, source: &Place, from: &str, to: PathFrom<'_>, opts: &Opts<'_>) -> CommandResult {
    if let Ok(target) = to.walk(true) {
        if same(&target, source) {
            return Err(alloc::format!("is the same file as {}", to.shown)).on(from);
        }
        if target.is_directory() {
            return Err(Errno::IsDirectory).on(to.shown);
        }
    }
    let (target, new) = to.open_or_create()?;
    let to = to.shown;
    let attr = source.file.attr();
    if !new {
        target.truncate(0).on(to)?;
    }
    // Data is copied, holes are left out, and the size makes the last hole.
    let found = |what, at| match source.file.seek(at, what) {
        Err(Error::Op(Errno::NoSuchAddress)) => Ok(attr.size),
        found => found.on(from),
    };
    let mut end = 0;
    loop {
        let start = found(Seek::Data, end)?;
        if start >= attr.size {
            break;
        }
        end = found(Seek::Hole, start)?.min(attr.size);
        let mut at = start;
        sh.read_pieces(&source.file, from, start, end - start, |sh, bytes| {
            sh.write_all(&target, to, at, bytes)?;
            at += bytes.len() as u64;
            Ok(())
        })?;
    }
    if target.attr().size < attr.size {
        target.truncate(attr.size).on(to)?;
    }
    if opts.has('p') || opts.has('a') {
        return keep(&source.file, &target, to);
    }
    if new {
        let mode = Some(attr.mode & 0o777);
        target.set_attr(&SetAttr { mode, ..SetAttr::default() }).on(to)?;
    }
    Ok(())
}

/// Gives the copy what the original has: mode, owner, times, extended attributes.
fn keep(source: &File, target: &File, to: &str) -> CommandResult {
    let names = match source.list_xattrs() {
        // Not every file system has them.
        Err(Error::Unsupported(_)) => Vec::new(),
        names => names.on(to)?,
    };
    for name in names {
        target.set_xattr(&name, &source.xattr(&name).on(to)?, SetXattr::Any).on(to)?;
    }
    let attr = source.attr();
    let change = SetAttr {
        mode: Some(attr.mode),
        uid: Some(attr.uid),
        gid: Some(attr.gid),
        atime: Some(attr.atime),
        mtime: Some(attr.mtime),
    };
    target.set_attr(&change).on(to)
}

fn rename(sh: &mut Shell, from: &str, to: &str, how: Rename) -> CommandResult {
    let source = sh.walk(from, false).on(from)?;
    // A slash at the end changes nothing: there is something, and it stays.
    let bare = to.trim_end_matches('/');
    if how == Rename::NoReplace && sh.walk(if bare.is_empty() { "/" } else { bare }, false).is_ok() {
        return Ok(());
    }
    if let Ok(target) = sh.walk(to, false) {
        let same_name = |old: NamePlace, new: NamePlace| same(&old.dir, &new.dir) && old.name == new.name;
        if same(&source, &target) && same_name(sh.slot(from)?, sh.slot(to)?) {
            return Err(alloc::format!("is the same file as {to}")).on(from);
        }
    }
    let is_dir = source.is_directory();
    drop(source);
    let old = sh.slot(from)?;
    let new = sh.slot(to)?;
    if to.ends_with('/') && !is_dir && how != Rename::Exchange {
        return Err(Errno::NotDirectory).on(to);
    }
    if mounts::covers(&old.dir, &old.name) || mounts::covers(&new.dir, &new.name) {
        return Err(Errno::Busy).on(from);
    }
    if old.dir.mount != new.dir.mount {
        return Err(Errno::CrossDevice).on(&alloc::format!("{from} to {to}"));
    }
    let (old_dir, new_dir) = (old.dir.file.ino(), new.dir.file.ino());
    old.dir
        .mount
        .fs
        .rename(old_dir, &old.name, new_dir, &new.name, how)
        .map_err(|error| Failure::Complaint(alloc::format!("{from} to {to}: {error}")))
}
