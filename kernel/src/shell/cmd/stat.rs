//! `stat`.

use alloc::string::String;
use core::fmt::Write;

use cli::date::DateTime;
use cli::format::{Value, expand};
use cli::mode::Letters;
use cli::opts::Opts;
use fs::platform::Timestamp;
use fs::vfs::{Attr, FileKind};

use super::super::command::{ANY, Command, CommandResult, Failure, On};
use super::super::files::device_number;
use super::super::{Shell, text};
use super::list::is_device;
use crate::mounts::Place;

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "stat",
    operands: "FILE...",
    about: "show everything that is known of files",
    options: &[
        ("-L", "follow links"),
        (
            "-c FORMAT",
            "%a %A %b %B %d %D %f %F %g %G %h %i %m %n %N %o %s %t %T %u %U %w %x %y %z (%W %X %Y %Z: seconds)",
        ),
        ("--printf FORMAT", "as -c, with \\n and other escapes, and no newline of its own"),
    ],
    spec: "Lc: format=c printf=P:",
    count: 1..=ANY,
    run: |sh, opts| sh.for_each("stat", opts.operands(), |sh, path| stat(sh, path, opts)),
}];

/// Returns a kind's name, as stat(1) calls it.
fn kind_name(kind: FileKind, size: u64) -> &'static str {
    match kind {
        FileKind::File if size == 0 => "regular empty file",
        FileKind::File => "regular file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symbolic link",
        FileKind::CharDevice => "character special file",
        FileKind::BlockDevice => "block special file",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}

fn moment(time: Timestamp) -> String {
    let Timestamp { secs, nanos } = time;
    alloc::format!("{}.{nanos:09} +0000", DateTime::from_epoch(secs))
}

fn birth(attr: &Attr) -> String {
    attr.crtime.map_or_else(|| "-".into(), moment)
}

fn owner(id: u32) -> &'static str {
    if id == 0 { "root" } else { "UNKNOWN" }
}

fn stat(sh: &mut Shell, path: &str, opts: &Opts<'_>) -> CommandResult {
    let place = sh.walk(path, opts.has('L')).on(path)?;
    let attr = place.file.attr();
    let target = match attr.kind {
        FileKind::Symlink => Some(text::decode(&place.file.read_link().on(path)?)),
        _ => None,
    };
    let last = opts.options().iter().rev().find(|(option, _)| matches!(option, 'c' | 'P'));
    if let Some((option, Some(format))) = last {
        let escapes = *option == 'P';
        let line = expand(format, escapes, |letter| {
            Ok::<_, Failure>(directive(letter, path, &place, &attr, target.as_deref()))
        })?;
        let line = sh.shown(&line).into_owned();
        return Ok(write!(sh.out, "{line}{}", if escapes { "" } else { "\n" })?);
    }
    let shown = sh.shown(path).into_owned();
    write!(sh.out, "  File: {shown}")?;
    if let Some(target) = target {
        let target = sh.shown(&target).into_owned();
        write!(sh.out, " -> {target}")?;
    }
    let (kind, blocks) = (kind_name(attr.kind, attr.size), attr.blocks);
    let block_size = place.mount.fs.stat_fs().block_size;
    writeln!(sh.out, "\n  Size: {:<10}\tBlocks: {blocks:<10} IO Block: {block_size:<6} {kind}", attr.size)?;
    write!(sh.out, "Device: {}\tInode: {:<11} Links: {}", place.mount.device, attr.ino, attr.links)?;
    if is_device(&attr) {
        write!(sh.out, "     Device type: {},{}", attr.device.major, attr.device.minor)?;
    }
    let (letters, uid, gid) = (Letters(attr.whole_mode()), attr.uid, attr.gid);
    write!(sh.out, "\nAccess: ({:04o}/{letters})  Uid: ({uid:>5}/{:>8})", attr.mode & 0o7777, owner(uid))?;
    writeln!(sh.out, "   Gid: ({gid:>5}/{:>8})", owner(gid))?;
    for (what, time) in [("Access", attr.atime), ("Modify", attr.mtime), ("Change", attr.ctime)] {
        writeln!(sh.out, "{what}: {}", moment(time))?;
    }
    Ok(writeln!(sh.out, " Birth: {}", birth(&attr))?)
}

/// What a directive of -c stands for.
fn directive(letter: char, path: &str, place: &Place, attr: &Attr, target: Option<&str>) -> Option<Value> {
    let time = |time: Timestamp| Value::Time(time.secs, time.nanos);
    let number = |n: u64| Value::Number(n.into());
    let (major, minor) = device_number(&place.mount);
    // As Linux's makedev puts them together: minor numbers are small here.
    let device = u64::from(major << 8 | minor & 0xff);
    Some(match letter {
        'a' => Value::Octal((attr.mode & 0o7777).into()),
        'A' => Value::Text(alloc::format!("{}", Letters(attr.whole_mode()))),
        'b' => number(attr.blocks),
        'B' => number(512),
        'd' => number(device),
        'D' => Value::Hex(device),
        'f' => Value::Hex(attr.whole_mode().into()),
        'F' => Value::Text(kind_name(attr.kind, attr.size).into()),
        'g' => number(attr.gid.into()),
        'G' => Value::Text(owner(attr.gid).into()),
        'h' => number(attr.links.into()),
        'i' => number(attr.ino),
        'm' => Value::Text(text::decode(&place.mount.point())),
        'n' => Value::Text(path.into()),
        'N' => {
            let quoted = |name: &str| alloc::format!("'{}'", name.replace('\'', "'\\''"));
            let arrow = target.map(|target| alloc::format!(" -> {}", quoted(target))).unwrap_or_default();
            Value::Text(quoted(path) + &arrow)
        }
        'o' => number(place.mount.fs.stat_fs().block_size),
        's' => number(attr.size),
        't' => Value::Hex(attr.device.major.into()),
        'T' => Value::Hex(attr.device.minor.into()),
        'u' => number(attr.uid.into()),
        'U' => Value::Text(owner(attr.uid).into()),
        'w' => Value::Text(birth(attr)),
        'W' => time(attr.crtime.unwrap_or_default()),
        'x' => Value::Text(moment(attr.atime)),
        'X' => time(attr.atime),
        'y' => Value::Text(moment(attr.mtime)),
        'Y' => time(attr.mtime),
        'z' => Value::Text(moment(attr.ctime)),
        'Z' => time(attr.ctime),
        _ => return None,
    })
}
