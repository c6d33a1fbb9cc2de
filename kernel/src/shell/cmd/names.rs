//! Commands that make and remove names: mkdir, rmdir, rm.

use cli::mode::ModeChange;
use cli::opts::Opts;
use fs::vfs::FileKind;
use fs::{Errno, Error};

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::files::{DIR_MODE, NamePlace};
use super::super::tree::{Tree, Visit};
use super::super::{Shell, text};
use crate::mounts::{self, Place, Why};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "mkdir",
        operands: "DIRECTORY...",
        about: "make directories",
        options: &[("-p", "those on the way too; fine if it exists"), ("-m MODE", "permissions (755)")],
        spec: "pm:",
        count: 1..=ANY,
        run: mkdir,
    },
    Command {
        name: "rmdir",
        operands: "DIRECTORY...",
        about: "remove empty directories",
        options: &[("-p", "those on the way too")],
        spec: "p",
        count: 1..=ANY,
        run: |sh, opts| {
            sh.for_each("rmdir", opts.operands(), |sh, path| {
                remove_dir(sh, path)?;
                let mut path = path.trim_end_matches('/');
                while opts.has('p')
                    && let Some((above, _)) = path.rsplit_once('/')
                {
                    path = above.trim_end_matches('/');
                    // The root stays, and so does where we are.
                    if path.is_empty() || path == "." {
                        break;
                    }
                    remove_dir(sh, path)?;
                }
                Ok(())
            })
        },
    },
    Command {
        name: "rm",
        operands: "FILE...",
        about: "remove files",
        options: &[("-r", "directories with all that is in them"), ("-f", "fine if there is none")],
        spec: "rRf",
        count: 0..=ANY,
        run: rm,
    },
];

fn mkdir(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mode = match opts.value('m') {
        Some(text) => ModeChange::parse(text).on(text)?.apply(0o777, true, super::UMASK),
        None => DIR_MODE,
    };
    sh.for_each("mkdir", opts.operands(), |sh, path| {
        if !opts.has('p') {
            return make_dir(sh, path, mode);
        }
        // Every prefix in turn; what is there already is fine if it is a directory.
        let ends = path.char_indices().filter(|(at, c)| *c == '/' && *at > 0).map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let prefix = &path[..end];
            match sh.walk(prefix, true) {
                Ok(place) if place.is_directory() => {}
                Ok(_) if end == path.len() => return Err(Errno::Exists).on(path),
                Ok(_) => return Err(Errno::NotDirectory).on(prefix),
                Err(Why::File(Error::Op(Errno::NotFound))) => {
                    make_dir(sh, prefix, if end == path.len() { mode } else { DIR_MODE })?;
                }
                Err(why) => return Err(why).on(prefix),
            }
        }
        Ok(())
    })
}

fn make_dir(sh: &Shell, path: &str, mode: u16) -> CommandResult {
    // `mkdir .` and `mkdir /` exist; slot would find the first invalid.
    if sh.walk(path, false).is_ok() {
        return Err(Errno::Exists).on(path);
    }
    let slot = sh.slot(path)?;
    slot.dir.file.create(&slot.name, FileKind::Directory, mode).map(|_| ()).on(path)
}

fn remove_dir(sh: &Shell, path: &str) -> CommandResult {
    let slot = sh.slot(path)?;
    remove(&slot.dir, &slot.name, true).on(path)
}

/// Removes a name: a directory's or another.
pub(super) fn remove(dir: &Place, name: &[u8], is_dir: bool) -> fs::Result<()> {
    if mounts::covers(dir, name) {
        return Err(Errno::Busy.into());
    }
    if is_dir { dir.file.rmdir(name) } else { dir.file.unlink(name) }
}

fn rm(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (recursive, force) = (opts.has('r') || opts.has('R'), opts.has('f'));
    if opts.operands().is_empty() && !force {
        return Err(complaint("missing operand"));
    }
    sh.for_each("rm", opts.operands(), |sh, path| {
        let last = text::base_name(path);
        if matches!(last, "." | ".." | "/") {
            return Err(alloc::format!("refusing to remove '{last}'")).on(path);
        }
        let place = match sh.walk(path, false) {
            Ok(place) => place,
            Err(Why::File(Error::Op(Errno::NotFound | Errno::NotDirectory))) if force => return Ok(()),
            Err(why) => return Err(why).on(path),
        };
        if place.is_directory() && !recursive {
            return Err(Errno::IsDirectory).on(path);
        }
        let slot = sh.slot(path)?;
        if !place.is_directory() {
            return remove(&slot.dir, &slot.name, false).on(path);
        }
        if mounts::covers(&slot.dir, &slot.name) {
            // Before anything is lost: the directory itself could not go.
            return Err(Errno::Busy).on(path);
        }
        remove_tree(sh, path, place, &slot)
    })
}

/// Removes a directory and what is in it, the deepest first.
fn remove_tree(sh: &mut Shell, path: &str, top: Place, slot: &NamePlace) -> CommandResult {
    let mut tree = Tree::new(path);
    tree.enter(sh, top)?;
    let mut failed = false;
    loop {
        let done = match tree.next(sh) {
            Ok(None) => break,
            Ok(Some(Visit::Found(place))) if place.is_directory() => tree.enter(sh, place),
            Ok(Some(visit)) => {
                let is_dir = matches!(visit, Visit::Left(_));
                let done = match tree.dir() {
                    Some(dir) => remove(dir, &text::encode(tree.name()), is_dir),
                    None => remove(&slot.dir, &slot.name, is_dir),
                };
                done.on(tree.path())
            }
            Err(failure) => Err(failure),
        };
        failed |= note(sh, done)?;
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Says what failed, so that the rest can go on; whether something did.
fn note(sh: &mut Shell, done: CommandResult) -> Result<bool, Failure> {
    match done {
        Ok(()) => Ok(false),
        Err(Failure::Complaint(text)) => {
            sh.complain("rm", &text);
            Ok(true)
        }
        Err(other) => Err(other),
    }
}
