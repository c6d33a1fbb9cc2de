//! Commands about a file's times and size: touch, truncate, fallocate.

use cli::opts::Opts;
use cli::size::{self, SizeChange};
use cli::when;
use fs::platform::{Platform, Timestamp};
use fs::vfs::{Fallocate, FileKind, SetAttr};
use fs::{Errno, Error};

use super::super::Shell;
use super::super::command::{ANY, Command, CommandResult, Failure, On, complaint};
use crate::mounts::Why;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "touch",
        operands: "FILE...",
        about: "set files' times to now; make files that are not there",
        options: &[
            ("-c", "make none"),
            ("-a", "time of the last read only"),
            ("-m", "time of the last change only"),
            ("-d DATE", "2026-11-22 19:14:55.123456789, or @SECONDS, instead of now"),
            ("-t STAMP", "[[CC]YY]MMDDhhmm[.ss] instead of now"),
            ("-r FILE", "that file's times instead of now"),
            ("-h", "links themselves"),
        ],
        spec: "camd:t:r:h",
        count: 1..=ANY,
        run: touch,
    },
    Command {
        name: "truncate",
        operands: "FILE...",
        about: "set files' sizes; make files that are not there",
        options: &[
            ("-s SIZE", "4096, 4k, +1M (longer by), -512 (shorter by)"),
            ("-r FILE", "that file's size"),
            ("-c", "make none"),
        ],
        spec: "s:r:c",
        count: 1..=ANY,
        run: truncate,
    },
    Command {
        name: "fallocate",
        operands: "FILE",
        about: "give a range of a file blocks, or take them away",
        options: &[
            ("-l LEN", "so many bytes"),
            ("-o OFF", "from that byte on (0)"),
            ("-n", "the file does not become longer"),
            ("-p", "punch a hole"),
            ("-z", "zeros, with blocks"),
            ("-c", "cut the range out"),
            ("-i", "put a hole in"),
        ],
        spec: "l:o:npzci length=l offset=o keep-size=n punch-hole=p zero-range=z collapse-range=c insert-range=i",
        count: 1..=1,
        run: fallocate,
    },
];

/// Times to set: those of -d, -t or -r.
fn given_times(sh: &Shell, opts: &Opts<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp), Failure> {
    let given = opts.options().iter().rev().find(|(option, _)| matches!(option, 'd' | 't' | 'r'));
    let Some((option, Some(text))) = given else { return Ok((now, now)) };
    let moment = match option {
        'd' => when::parse_date(text, (now.secs, now.nanos)).ok_or("invalid date").on(text)?,
        't' => when::parse_stamp(text, now.secs).ok_or("invalid date").on(text)?,
        _ => {
            let attr = sh.walk(text, !opts.has('h')).on(text)?.file.attr();
            return Ok((attr.atime, attr.mtime));
        }
    };
    let time = Timestamp { secs: moment.0, nanos: moment.1 };
    Ok((time, time))
}

fn touch(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (atime, mtime) = given_times(sh, opts, crate::arch::time::now())?;
    let is_now = !['d', 't', 'r'].iter().any(|option| opts.has(*option));
    let both = opts.has('a') == opts.has('m');
    sh.for_each("touch", opts.operands(), |sh, path| {
        let (file, new) = match sh.walk(path, !opts.has('h')) {
            Ok(place) => (place.file, false),
            Err(Why::File(Error::Op(Errno::NotFound))) if opts.has('c') || opts.has('h') => return Ok(()),
            Err(_) => sh.open_or_create(path)?,
        };
        if is_now && new {
            return Ok(());
        }
        let (atime, mtime) = if is_now {
            let now = file.platform().now();
            (now, now)
        } else {
            (atime, mtime)
        };
        let atime = (both || opts.has('a')).then_some(atime);
        let mtime = (both || opts.has('m')).then_some(mtime);
        file.set_attr(&SetAttr { atime, mtime, ..SetAttr::default() }).on(path)
    })
}

fn truncate(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let base = opts.value('r').map(|path| Ok::<_, Failure>(sh.find(path)?.file.attr().size)).transpose()?;
    let change = opts.value('s').map(|size| SizeChange::parse(size, 4096, 512).on(size)).transpose()?;
    let to = match (base, change) {
        (None, None) => return Err(complaint("option -s SIZE is missing")),
        (Some(_), Some(SizeChange::To(_))) => {
            return Err(complaint("with -r, -s SIZE must be relative: +SIZE or -SIZE"));
        }
        (Some(base), None) => SizeChange::To(base),
        (Some(base), Some(change)) => {
            SizeChange::To(change.apply(base).ok_or_else(|| complaint(Errno::FileTooBig))?)
        }
        (None, Some(change)) => change,
    };
    sh.for_each("truncate", opts.operands(), |sh, path| {
        if opts.has('c') && matches!(sh.walk(path, true), Err(Why::File(Error::Op(Errno::NotFound)))) {
            return Ok(());
        }
        let (file, _) = sh.open_or_create(path)?;
        if file.kind() == FileKind::Directory {
            return Err(Errno::IsDirectory).on(path);
        }
        let size = to.apply(file.attr().size).ok_or(Errno::FileTooBig).on(path)?;
        file.truncate(size).on(path)
    })
}

fn fallocate(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let number = |option| match opts.value(option) {
        Some(text) => {
            // `4KiB` is `4K`.
            let number = size::parse(text.strip_suffix("iB").unwrap_or(text), 0, 0).on(text)?;
            i64::try_from(number).map_err(|_| Errno::FileTooBig).on(text)?;
            Ok(Some(number))
        }
        None => Ok::<_, Failure>(None),
    };
    let offset = number('o')?.unwrap_or(0);
    let len = number('l')?.ok_or_else(|| complaint("option -l LEN is missing"))?;
    let keep_size = opts.has('n');
    let ways = ['p', 'z', 'c', 'i'].map(|way| opts.has(way));
    let how = match ways {
        [false, false, false, false] => Fallocate::Allocate { keep_size },
        [true, false, false, false] => Fallocate::PunchHole,
        [false, true, false, false] => Fallocate::ZeroRange { keep_size },
        [false, false, true, false] if !keep_size => Fallocate::CollapseRange,
        [false, false, false, true] if !keep_size => Fallocate::InsertRange,
        [false, false, true, false] | [false, false, false, true] => {
            return Err(complaint("-c and -i change the size: not with -n"));
        }
        _ => return Err(complaint("one of -p, -z, -c and -i at most")),
    };
    let [path] = opts.operands() else { return Err(complaint("missing operand")) };
    let file = match how {
        Fallocate::Allocate { .. } | Fallocate::ZeroRange { .. } => sh.open_or_create(path)?.0,
        _ => sh.open(path)?,
    };
    match file.kind() {
        FileKind::File => file.fallocate(how, offset, len).on(path),
        FileKind::Directory => Err(Errno::IsDirectory).on(path),
        _ => Err("not a regular file").on(path),
    }
}
