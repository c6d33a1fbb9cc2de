//! Commands about what is known of a file: stat, touch, truncate.

use core::fmt::Write;

use cli::date::DateTime;
use cli::mode::Letters;
use cli::opts::Opts;
use cli::size::Change;
use fs::platform::Timestamp;
use fs::vfs::{FileKind, SetAttr};
use fs::{Errno, Error};

use super::super::command::{ANY, Command, Done, On, complaint};
use super::super::{Shell, text};
use super::list::whole_mode;
use crate::mounts::Why;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "stat",
        operands: "FILE...",
        about: "show everything that is known of files",
        options: &[("-L", "follow links")],
        spec: "L",
        count: 1..=ANY,
        run: |sh, opts| sh.for_each("stat", opts.operands(), |sh, path| stat(sh, path, opts.has('L'))),
    },
    Command {
        name: "touch",
        operands: "FILE...",
        about: "set files' times to now; make files that are not there",
        options: &[
            ("-c", "make none"),
            ("-a", "time of the last read only"),
            ("-m", "time of the last change only"),
        ],
        spec: "cam",
        count: 1..=ANY,
        run: |sh, opts| sh.for_each("touch", opts.operands(), |sh, path| touch(sh, path, opts)),
    },
    Command {
        name: "truncate",
        operands: "FILE...",
        about: "set files' sizes; make files that are not there",
        options: &[("-s SIZE", "4096, 4k, +1M (longer by), -512 (shorter by)"), ("-c", "make none")],
        spec: "s:c",
        count: 1..=ANY,
        run: truncate,
    },
];

/// As stat(1) calls them.
pub(in super::super) fn kind_name(kind: FileKind, size: u64) -> &'static str {
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

fn stat(sh: &mut Shell, path: &str, follow: bool) -> Done {
    let place = sh.walk(path, follow).on(path)?;
    let attr = place.file.attr();
    let shown = sh.shown(path).into_owned();
    write!(sh.out, "  File: {shown}")?;
    if attr.kind == FileKind::Symlink {
        let target = text::decode(&place.file.read_link().on(path)?);
        let target = sh.shown(&target).into_owned();
        write!(sh.out, " -> {target}")?;
    }
    let (kind, blocks) = (kind_name(attr.kind, attr.size), attr.blocks);
    let block_size = fs::vfs::FileSystem::stat_fs(&*place.mount.fs).block_size;
    writeln!(sh.out, "\n  Size: {:<10}\tBlocks: {blocks:<10} IO Block: {block_size:<6} {kind}", attr.size)?;
    writeln!(sh.out, "Device: {}\tInode: {:<11} Links: {}", place.mount.device, attr.ino, attr.links)?;
    let owner = |id: u32| if id == 0 { "root" } else { "UNKNOWN" };
    let (letters, uid, gid) = (Letters(whole_mode(&attr)), attr.uid, attr.gid);
    write!(sh.out, "Access: ({:04o}/{letters})  Uid: ({uid:>5}/{:>8})", attr.mode & 0o7777, owner(uid))?;
    writeln!(sh.out, "   Gid: ({gid:>5}/{:>8})", owner(gid))?;
    for (what, time) in [("Access", attr.atime), ("Modify", attr.mtime), ("Change", attr.ctime)] {
        let Timestamp { secs, nanos } = time;
        writeln!(sh.out, "{what}: {}.{nanos:09} +0000", DateTime::from_epoch(secs))?;
    }
    Ok(())
}

fn touch(sh: &mut Shell, path: &str, opts: &Opts<'_>) -> Done {
    let file = match sh.walk(path, true) {
        Ok(place) => place.file,
        Err(Why::File(Error::Op(Errno::NotFound))) if opts.has('c') => return Ok(()),
        Err(_) => match sh.open_or_create(path)? {
            (_, true) => return Ok(()),
            (file, false) => file,
        },
    };
    if opts.has('a') == opts.has('m') {
        return sh.touch_times(&file, path);
    }
    let now = Some(fs::platform::Platform::now(file.platform()));
    let (atime, mtime) = if opts.has('a') { (now, None) } else { (None, now) };
    file.set_attr(&SetAttr { atime, mtime, ..SetAttr::default() }).on(path)
}

fn truncate(sh: &mut Shell, opts: &Opts<'_>) -> Done {
    let size = opts.value('s').ok_or_else(|| complaint("option -s SIZE is missing"))?;
    let change = Change::parse(size, 4096, 512).on(size)?;
    sh.for_each("truncate", opts.operands(), |sh, path| {
        if opts.has('c') && matches!(sh.walk(path, true), Err(Why::File(Error::Op(Errno::NotFound)))) {
            return Ok(());
        }
        let (file, _) = sh.open_or_create(path)?;
        if file.kind() == FileKind::Directory {
            return Err(Errno::IsDirectory).on(path);
        }
        let size = change.apply(file.attr().size).ok_or(Errno::FileTooBig).on(path)?;
        file.truncate(size).on(path)
    })
}
