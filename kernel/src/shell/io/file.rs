//! What is done to the file as a whole: fsync, fdatasync, truncate, stat, statfs, chmod, utimes.

use core::fmt::Write;

use cli::date::DateTime;
use cli::opts::Opts;
use fs::platform::Timestamp;
use fs::vfs::{FileKind, SetAttr};

use super::super::Shell;
use super::super::command::{CommandResult, Failure, On, complaint};
use super::super::files::device_number;
use super::IoSession;
use super::table::IoCommand;
use crate::mounts;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "fsync",
        alias: "s",
        operands: "",
        about: "calls fsync(2) to flush all in-core file state to disk",
        spec: "",
        count: 0..=0,
        run: |session, _, _| session.fsync(false),
    },
    IoCommand {
        name: "fdatasync",
        alias: "ds",
        operands: "",
        about: "calls fdatasync(2) to flush the files in-core data to disk",
        spec: "",
        count: 0..=0,
        run: |session, _, _| session.fsync(true),
    },
    IoCommand {
        name: "truncate",
        alias: "t",
        operands: "off",
        about: "truncates the current file at the given offset",
        spec: "",
        count: 1..=1,
        run: |session, _, opts| {
            session.expect_writable()?;
            let size = session.number(opts.operands()[0])?;
            session.file.truncate(size).map_err(complaint)
        },
    },
    IoCommand {
        name: "stat",
        alias: "",
        operands: "[-v|-r]",
        about: "statistics on the currently open file",
        spec: "vr",
        count: 0..=0,
        run: stat,
    },
    IoCommand {
        name: "statfs",
        alias: "",
        operands: "[-s]",
        about: "statistics on the filesystem of the currently open file",
        spec: "s",
        count: 0..=0,
        run: statfs,
    },
    IoCommand {
        name: "chmod",
        alias: "",
        operands: "-r | -w",
        about: "change the read/write permissions on the currently open file",
        spec: "rw",
        count: 0..=0,
        run: |session, _, opts| {
            let mode = match (opts.has('r'), opts.has('w')) {
                (true, false) => 0o444,
                (false, true) => 0o664,
                _ => return Err(complaint("one of -r and -w")),
            };
            session.file.set_attr(&SetAttr { mode: Some(mode), ..SetAttr::default() }).map_err(complaint)
        },
    },
    IoCommand {
        name: "utimes",
        alias: "",
        operands: "atime_sec atime_nsec mtime_sec mtime_nsec",
        about: "Update file times of the current file",
        // A number may be negative.
        spec: "-",
        count: 4..=4,
        run: utimes,
    },
];

fn utimes(session: &mut IoSession, _: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let time = |at: usize| -> Result<Timestamp, Failure> {
        let [secs, nanos] = [opts.operands()[at], opts.operands()[at + 1]];
        let nanos_of = |text: &str| text.parse().ok().filter(|nanos| *nanos < 1_000_000_000);
        Ok(Timestamp {
            secs: secs.parse().map_err(|_| "not a number of seconds").on(secs)?,
            nanos: nanos_of(nanos).ok_or("not a number of nanoseconds below 1000000000").on(nanos)?,
        })
    };
    let (atime, mtime) = (Some(time(0)?), Some(time(2)?));
    session.file.set_attr(&SetAttr { atime, mtime, ..SetAttr::default() }).map_err(complaint)
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "regular file",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symbolic link",
        FileKind::CharDevice => "char device",
        FileKind::BlockDevice => "block device",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
    }
}

fn stat(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let attr = session.file.attr();
    if opts.has('r') {
        let block_size = mounts::of(&session.file).map_or(4096, |mount| mount.fs.stat_fs().block_size);
        writeln!(sh.out, "stat.blksize = {block_size}")?;
        writeln!(sh.out, "stat.nlink = {}", attr.links)?;
        writeln!(sh.out, "stat.uid = {}\nstat.gid = {}", attr.uid, attr.gid)?;
        writeln!(sh.out, "stat.mode: 0{:o}", attr.whole_mode())?;
        writeln!(sh.out, "stat.ino = {}", attr.ino)?;
        writeln!(sh.out, "stat.size = {}\nstat.blocks = {}", attr.size, attr.blocks)?;
        for (name, time) in [("atime", attr.atime), ("ctime", attr.ctime), ("mtime", attr.mtime)] {
            writeln!(sh.out, "stat.{name}.tv_sec = {}\nstat.{name}.tv_nsec = {}", time.secs, time.nanos)?;
        }
        writeln!(sh.out, "stat.rdev_major = {}\nstat.rdev_minor = {}", attr.device.major, attr.device.minor)?;
        let (major, minor) = mounts::of(&session.file).map_or((0, 0), |mount| device_number(&mount));
        writeln!(sh.out, "stat.dev_major = {major}\nstat.dev_minor = {minor}")?;
        return Ok(());
    }
    let name = sh.shown(&session.name).into_owned();
    writeln!(sh.out, "fd.path = \"{name}\"")?;
    let synchronous = if session.synchronous { "sync" } else { "non-sync" };
    let direct = if session.direct { "direct" } else { "non-direct" };
    let write = if session.read_only { "read-only" } else { "read-write" };
    writeln!(sh.out, "fd.flags = {synchronous},{direct},{write}")?;
    writeln!(sh.out, "stat.ino = {}", attr.ino)?;
    writeln!(sh.out, "stat.type = {}", kind(attr.kind))?;
    writeln!(sh.out, "stat.size = {}\nstat.blocks = {}", attr.size, attr.blocks)?;
    if opts.has('v') {
        for (name, time) in [("atime", attr.atime), ("mtime", attr.mtime), ("ctime", attr.ctime)] {
            write!(sh.out, "stat.{name} = ")?;
            ctime(sh, time)?;
        }
    }
    Ok(())
}

/// Writes a line as ctime(3) writes it.
fn ctime(sh: &mut Shell, time: Timestamp) -> CommandResult {
    let date = DateTime::from_epoch(time.secs);
    let DateTime { year, day, hour, minute, second, .. } = date;
    let (weekday, month) = (date.weekday().unwrap_or("???"), date.month_name());
    Ok(writeln!(sh.out, "{weekday} {month} {day:2} {hour:02}:{minute:02}:{second:02} {year}")?)
}

fn statfs(session: &mut IoSession, sh: &mut Shell, _: &Opts<'_>) -> CommandResult {
    let mount = mounts::of(&session.file).ok_or_else(|| complaint("not mounted"))?;
    let stat = mount.fs.stat_fs();
    let name = sh.shown(&session.name).into_owned();
    writeln!(sh.out, "fd.path = \"{name}\"")?;
    writeln!(sh.out, "statfs.f_bsize = {}", stat.block_size)?;
    writeln!(sh.out, "statfs.f_blocks = {}\nstatfs.f_bavail = {}", stat.blocks, stat.blocks_available)?;
    writeln!(sh.out, "statfs.f_files = {}\nstatfs.f_ffree = {}", stat.inodes, stat.inodes_free)?;
    // ST_RDONLY; ST_VALID; ST_NOATIME, for reading changes no times.
    let flags = u32::from(mount.fs.read_only()) | 0x20 | 0x400;
    Ok(writeln!(sh.out, "statfs.f_flags = {flags:#x}")?)
}
