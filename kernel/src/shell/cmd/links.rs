//! Commands that make names: ln, readlink, mknod, mkfifo.

use alloc::string::String;
use core::fmt::Write;

use cli::mode::ModeChange;
use cli::opts::Opts;
use cli::size;
use fs::vfs::{Device, FileKind};
use fs::{Errno, Error};

use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use super::super::files::FILE_MODE;
use super::super::{Shell, text};
use super::copy::{same, to_target};
use crate::mounts::{self, Why};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "ln",
        operands: "TARGET... [NAME|DIRECTORY]",
        about: "give files another name, or make symbolic links",
        options: &[
            ("-s", "symbolic links: TARGET is stored as it is typed"),
            ("-f", "replace what is there"),
            ("-T", "the last operand is a name, even if it is a directory's"),
        ],
        spec: "sfTn",
        count: 1..=ANY,
        run: ln,
    },
    Command {
        name: "readlink",
        operands: "LINK...",
        about: "print where symbolic links lead",
        options: &[
            ("-f", "the whole path, all links followed; the last name need not be there"),
            ("-n", "without a newline"),
        ],
        spec: "fn",
        count: 1..=ANY,
        run: |sh, opts| {
            sh.for_each("readlink", opts.operands(), |sh, path| {
                let target = match opts.has('f') {
                    true => canonical(sh, path).on(path)?,
                    false => link_target(sh, path).on(path)?,
                };
                let target = sh.shown(&target).into_owned();
                let end = if opts.has('n') && opts.operands().len() == 1 { "" } else { "\n" };
                Ok(write!(sh.out, "{target}{end}")?)
            })
        },
    },
    Command {
        name: "mknod",
        operands: "NAME b|c MAJOR MINOR | NAME p",
        about: "make a device or a named pipe",
        options: &[("-m MODE", "permissions (644)")],
        spec: "m:",
        count: 2..=4,
        run: mknod,
    },
    Command {
        name: "mkfifo",
        operands: "NAME...",
        about: "make named pipes",
        options: &[("-m MODE", "permissions (644)")],
        spec: "m:",
        count: 1..=ANY,
        run: |sh, opts| {
            let mode = mode(opts)?;
            sh.for_each("mkfifo", opts.operands(), |sh, path| {
                let slot = sh.slot(path)?;
                slot.dir.file.create(&slot.name, FileKind::Fifo, mode).map(|_| ()).on(path)
            })
        },
    },
];

/// What -m says about a new file.
fn mode(opts: &Opts<'_>) -> Result<u16, Failure> {
    let Some(text) = opts.value('m') else { return Ok(FILE_MODE) };
    // Letters change what everyone may do with a file.
    Ok(ModeChange::parse(text).on(text)?.apply(0o666, false, super::UMASK))
}

fn ln(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let f = |sh: &mut Shell, target: &str, name: &str| {
        if opts.has('s') {
            symlink(sh, target, name, opts.has('f'))
        } else {
            link(sh, target, name, opts.has('f'))
        }
    };
    match opts.operands() {
        // Its last name, here.
        [target] => f(sh, target, &text::join(".", text::base_name(target))),
        _ => to_target(sh, opts, "ln", &f),
    }
}

fn symlink(sh: &mut Shell, target: &str, name: &str, force: bool) -> CommandResult {
    let slot = sh.slot(name)?;
    if name.ends_with('/') {
        return Err(Errno::NotFound).on(name);
    }
    if force {
        make_way(sh, name)?;
    }
    slot.dir.file.symlink(&slot.name, &text::encode(target)).map(|_| ()).on(name)
}

fn link(sh: &mut Shell, target: &str, name: &str, force: bool) -> CommandResult {
    let source = sh.walk(target, false).on(target)?;
    if source.is_directory() {
        return Err("hard link not allowed for directory").on(target);
    }
    let slot = sh.slot(name)?;
    if name.ends_with('/') {
        return Err(Errno::NotDirectory).on(name);
    }
    if slot.dir.mount != source.mount {
        return Err(Errno::CrossDevice).on(&alloc::format!("{name} to {target}"));
    }
    if force {
        let same_name =
            |old: super::super::files::NamePlace| same(&old.dir, &slot.dir) && old.name == slot.name;
        match sh.walk(name, false) {
            Ok(there) if same(&there, &source) && same_name(sh.slot(target)?) => {
                return Err(alloc::format!("is the same file as {name}")).on(target);
            }
            // It is there already.
            Ok(there) if same(&there, &source) => return Ok(()),
            _ => make_way(sh, name)?,
        }
    }
    slot.dir.file.link(&slot.name, source.file.ino()).on(name)
}

/// Removes what has a name already, unless it is a directory.
fn make_way(sh: &Shell, name: &str) -> CommandResult {
    match sh.walk(name, false) {
        Ok(place) if place.is_directory() => Err("cannot be replaced: is a directory").on(name),
        Ok(place) => {
            drop(place);
            let slot = sh.slot(name)?;
            slot.dir.file.unlink(&slot.name).on(name)
        }
        Err(_) => Ok(()),
    }
}

fn link_target(sh: &Shell, path: &str) -> Result<String, Why> {
    let place = sh.walk(path, false)?;
    if place.file.kind() != FileKind::Symlink {
        return Err(Why::Other("not a symbolic link".into()));
    }
    Ok(text::decode(&place.file.read_link()?))
}

/// The path that all links of `path` lead to. A link at the end may lead to a name that is not there.
fn canonical(sh: &Shell, path: &str) -> Result<String, Why> {
    /// How many links a path may go through, as in a walk.
    const MAX_LINKS: usize = 40;
    let mut at = sh.here().cloned();
    let mut path = text::encode(path).into_owned();
    mounts::check_path(&path)?;
    for _ in 0..=MAX_LINKS {
        match mounts::walk(at.as_ref(), &path, true) {
            Ok(place) if place.is_directory() => return Ok(text::decode(&mounts::path_to(&place)?)),
            Ok(_) | Err(Why::File(Error::Op(Errno::NotFound))) => {}
            Err(why) => return Err(why),
        }
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
        let (dir, name) = mounts::parent(at.as_ref(), &path[..end])?;
        match mounts::child(&dir, name) {
            Ok(place) if place.file.kind() == FileKind::Symlink => {
                path = place.file.read_link()?;
                at = Some(dir);
            }
            Ok(_) | Err(Why::File(Error::Op(Errno::NotFound))) => {
                let mut whole = mounts::path_to(&dir)?;
                if !whole.ends_with(b"/") {
                    whole.push(b'/');
                }
                whole.extend_from_slice(name);
                return Ok(text::decode(&whole));
            }
            Err(why) => return Err(why),
        }
    }
    Err(Errno::Loop.into())
}

fn mknod(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let mode = mode(opts)?;
    let number = |text: &str, most: u32, what: &str| {
        let number = size::parse(text, 0, 0).ok().and_then(|number| u32::try_from(number).ok());
        let why = || alloc::format!("invalid {what} device number: 0 to {most}");
        number.filter(|number| *number <= most).ok_or_else(why).on(text)
    };
    let (name, kind, numbers) = match opts.operands() {
        [name, kind, numbers @ ..] => (*name, *kind, numbers.to_vec()),
        _ => return Err(complaint("missing operand")),
    };
    let kind = match (kind, numbers.as_slice()) {
        ("b", [_, _]) => FileKind::BlockDevice,
        ("c" | "u", [_, _]) => FileKind::CharDevice,
        ("p", []) => FileKind::Fifo,
        ("b" | "c" | "u", _) => return Err("a major and a minor device number are missing").on(name),
        ("p", _) => return Err("a named pipe has no device numbers").on(name),
        _ => return Err(alloc::format!("invalid kind '{kind}': b, c or p")).on(name),
    };
    let slot = sh.slot(name)?;
    match numbers.as_slice() {
        [major, minor] => {
            let device =
                Device { major: number(major, 0xfff, "major")?, minor: number(minor, 0xf_ffff, "minor")? };
            slot.dir.file.make_device(&slot.name, kind, mode, device).map(|_| ()).on(name)
        }
        _ => slot.dir.file.create(&slot.name, kind, mode).map(|_| ()).on(name),
    }
}
