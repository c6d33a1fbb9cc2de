//! Commands that copy and move: cp, mv.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use cli::opts::Opts;
use fs::vfs::{FileKind, FileSystem, SetAttr};
use fs::{Errno, Error};

use super::super::command::{ANY, Command, Done, Failure, On, complaint};
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
            ("-p", "keep mode, owner and times"),
            ("-f", "ignored"),
        ],
        spec: "rRapf",
        count: 1..=ANY,
        run: |sh, opts| to_target(sh, opts, "cp", &|sh, from, to| copy_tree(sh, from, to, opts)),
    },
    Command {
        name: "mv",
        operands: "SOURCE... TARGET",
        about: "rename files, or move them into a directory",
        options: &[("-n", "replace nothing"), ("-f", "ignored")],
        spec: "fn",
        count: 1..=ANY,
        run: |sh, opts| to_target(sh, opts, "mv", &|sh, from, to| rename(sh, from, to, opts.has('n'))),
    },
];

/// Calls `f` with each source and its target, which is in the last operand if that is a directory.
fn to_target(
    sh: &mut Shell,
    opts: &Opts<'_>,
    name: &str,
    f: &dyn Fn(&mut Shell, &str, &str) -> Done,
) -> Done {
    let Some((target, sources)) = opts.operands().split_last().filter(|(_, sources)| !sources.is_empty())
    else {
        let after = opts.operands().first().copied().unwrap_or_default();
        return Err(complaint(format_args!("missing target after '{after}'")));
    };
    let into = match sh.walk(target, true) {
        Ok(place) => place.is_directory(),
        Err(Why::File(Error::Op(Errno::NotFound))) => false,
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

fn same(a: &Place, b: &Place) -> bool {
    a.mount.device == b.mount.device && a.file.ino() == b.file.ino()
}

/// Copies a file, or a directory with what is in it. No recursion: the depth is the image's, not ours.
fn copy_tree(sh: &mut Shell, from: &str, to: &str, opts: &Opts<'_>) -> Done {
    let recursive = opts.has('r') || opts.has('R') || opts.has('a');
    let mut pending: Vec<(String, String)> = Vec::from([(from.to_string(), to.to_string())]);
    let mut made: Vec<(File, File, String)> = Vec::new();
    let mut failed = false;
    while let Some((from, to)) = pending.pop() {
        // A link in a tree is not followed: it could lead up and around.
        let mut step = |sh: &mut Shell| {
            let source = sh.walk(&from, !recursive).on(&from)?;
            match source.file.kind() {
                FileKind::Directory if !recursive => Err(Errno::IsDirectory).on(&from),
                FileKind::Directory => {
                    let dir = copy_dir(sh, &source, &from, &to)?;
                    let names = sh.names(&source.file, &from)?;
                    pending.extend(
                        names.iter().rev().map(|name| (text::join(&from, name), text::join(&to, name))),
                    );
                    made.push((source.file, dir, to.clone()));
                    Ok(())
                }
                FileKind::File => copy_file(sh, &source, &from, &to, opts),
                FileKind::Symlink => Err("links cannot be made yet").on(&to),
                _ => Err("special files cannot be made yet").on(&to),
            }
        };
        match step(sh) {
            Ok(()) => {}
            Err(Failure::Complaint(text)) => {
                sh.complain("cp", &text);
                failed = true;
            }
            Err(other) => return Err(other),
        }
    }
    // Afterwards, for making what is in them changed their times.
    for (source, dir, to) in made.iter().rev().filter(|_| opts.has('p') || opts.has('a')) {
        keep(source, dir, to)?;
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Makes the directory `to` like `from`, if it is not there.
fn copy_dir(sh: &Shell, source: &Place, from: &str, to: &str) -> Result<File, Failure> {
    match sh.walk(to, true) {
        Ok(place) if place.is_directory() && same(&place, source) => {
            return Err("source and target are the same directory").on(from);
        }
        Ok(place) if place.is_directory() => return Ok(place.file),
        Ok(_) => return Err(Errno::NotDirectory).on(to),
        Err(Why::File(Error::Op(Errno::NotFound))) => {}
        Err(why) => return Err(why).on(to),
    }
    let slot = sh.slot(to)?;
    let (dir, inside) = (mounts::path_to(&slot.dir), mounts::path_to(source));
    if slot.dir.mount.device == source.mount.device
        && (dir == inside || dir.starts_with(&[&inside[..], b"/"].concat()))
    {
        return Err(alloc::format!("cannot copy a directory into itself, {to}")).on(from);
    }
    slot.dir.file.create(&slot.name, FileKind::Directory, source.file.attr().mode | 0o700).on(to)
}

fn copy_file(sh: &mut Shell, source: &Place, from: &str, to: &str, opts: &Opts<'_>) -> Done {
    if let Ok(target) = sh.walk(to, true) {
        if same(&target, source) {
            return Err(alloc::format!("is the same file as {to}")).on(from);
        }
        if target.is_directory() {
            return Err(Errno::IsDirectory).on(to);
        }
    }
    let (target, new) = sh.open_or_create(to)?;
    let attr = source.file.attr();
    if !new {
        target.truncate(0).on(to)?;
    }
    // Blocks are copied, holes are left out, and the size makes the last hole.
    let mut runs = Vec::new();
    source
        .file
        .extents(0, &mut |extent| {
            if extent.place.is_some() {
                runs.push((extent.offset, extent.len));
            }
            ControlFlow::Continue(())
        })
        .on(from)?;
    for (offset, len) in runs {
        let len = len.min(attr.size.saturating_sub(offset));
        let mut at = offset;
        sh.read_pieces(&source.file, from, offset, len, |sh, bytes| {
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

fn keep(source: &File, target: &File, to: &str) -> Done {
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

fn rename(sh: &mut Shell, from: &str, to: &str, keep_existing: bool) -> Done {
    let source = sh.walk(from, false).on(from)?;
    if let Ok(target) = sh.walk(to, false) {
        if same(&source, &target) && mounts::path_to(&source) == mounts::path_to(&target) {
            return Err(alloc::format!("is the same file as {to}")).on(from);
        }
        if keep_existing {
            return Ok(());
        }
    }
    let is_dir = source.is_directory();
    drop(source);
    let old = sh.slot(from)?;
    let new = sh.slot(to)?;
    if to.ends_with('/') && !is_dir {
        return Err(Errno::NotDirectory).on(to);
    }
    if mounts::covers(&old.dir, &old.name) || mounts::covers(&new.dir, &new.name) {
        return Err(Errno::Busy).on(from);
    }
    if old.dir.mount.device != new.dir.mount.device {
        return Err(Errno::CrossDevice).on(&alloc::format!("{from} to {to}"));
    }
    let (old_dir, new_dir) = (old.dir.file.ino(), new.dir.file.ino());
    old.dir
        .mount
        .fs
        .rename(old_dir, &old.name, new_dir, &new.name, fs::vfs::Rename::Replace)
        .map_err(|error| Failure::Complaint(alloc::format!("{from} to {to}: {error}")))
}
