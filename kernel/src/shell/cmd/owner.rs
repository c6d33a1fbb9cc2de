//! Commands that change who may do what: chmod, chown.

use alloc::vec::Vec;

use cli::mode::ModeChange;
use cli::opts::Opts;
use cli::owner::NewOwner;
use fs::vfs::{FileKind, SetAttr};

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, On, complaint};
use super::super::tree::each_of_tree;
use crate::machine::File;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "chmod",
        operands: "MODE FILE...",
        about: "change permissions: 644, u+x, go=,a+rX",
        options: &[("-R", "directories with all that is in them")],
        // A mode may begin with a dash.
        spec: "-",
        count: 0..=ANY,
        run: chmod,
    },
    Command {
        name: "chown",
        operands: "USER[:GROUP] FILE...",
        about: "change owners, given in numbers",
        options: &[("-R", "directories with all that is in them"), ("-h", "links themselves")],
        spec: "Rh",
        count: 2..=ANY,
        run: chown,
    },
];

fn chmod(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (mut recursive, mut only_operands) = (false, false);
    let mut operands: Vec<&str> = Vec::new();
    for &word in opts.operands() {
        match word {
            _ if only_operands => operands.push(word),
            "--" => only_operands = true,
            "-R" => recursive = true,
            _ if word.starts_with("--") => return Err(complaint(alloc::format!("unknown option {word}"))),
            // `-x`, `-w,u+x`: the first operand, if it reads like one.
            _ if word.starts_with('-') && (ModeChange::parse(word).is_err() || !operands.is_empty()) => {
                return Err(complaint(alloc::format!("unknown option {word}")));
            }
            _ => operands.push(word),
        }
    }
    let (mode, files) = match operands.as_slice() {
        [mode, files @ ..] if !files.is_empty() => (*mode, files),
        [mode] => return Err(complaint(alloc::format!("missing operand after '{mode}'"))),
        _ => return Err(complaint("missing operand")),
    };
    let change = ModeChange::parse(mode).on(mode)?;
    let set = |file: &File| {
        let attr = file.attr();
        let mode = change.apply(attr.mode, attr.kind == FileKind::Directory, super::UMASK);
        file.set_attr(&SetAttr { mode: Some(mode), ..SetAttr::default() })
    };
    sh.for_each("chmod", files, |sh, path| {
        let place = sh.find(path)?;
        if !recursive || !place.is_directory() {
            return set(&place.file).on(path);
        }
        each_of_tree(sh, "chmod", path, place, |_, place, path| match place.file.kind() {
            // Nobody asks for the permissions of a link.
            FileKind::Symlink => Ok(()),
            _ => set(&place.file).on(path),
        })
    })
}

fn chown(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let Some((owner, files)) = opts.operands().split_first() else {
        return Err(complaint("missing operand"));
    };
    let owner = NewOwner::parse(owner).on(owner)?;
    let set = |file: &File| {
        let attr = file.attr();
        // Who gets a program shall not get it with its former owner's rights.
        let drops = attr.kind == FileKind::File && attr.mode & 0o6000 != 0;
        let kept = if attr.mode & 0o010 == 0 { 0o3777 } else { 0o1777 };
        let mode = drops.then_some(attr.mode & kept);
        file.set_attr(&SetAttr { uid: owner.uid, gid: owner.gid, mode, ..SetAttr::default() })
    };
    let recursive = opts.has('R');
    sh.for_each("chown", files, |sh, path| {
        let place = sh.walk(path, !(opts.has('h') || recursive)).on(path)?;
        if !recursive || !place.is_directory() {
            return set(&place.file).on(path);
        }
        each_of_tree(sh, "chown", path, place, |_, place, path| set(&place.file).on(path))
    })
}
