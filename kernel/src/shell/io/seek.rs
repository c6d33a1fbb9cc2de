//! `seek`: where data and holes begin.

use core::fmt::Write;

use cli::opts::Opts;
use fs::vfs::Seek;
use fs::{Errno, Error};

use super::super::Shell;
use super::super::command::{CommandResult, Failure, complaint};
use super::IoSession;
use super::table::IoCommand;

pub(super) const COMMANDS: &[IoCommand] = &[IoCommand {
    name: "seek",
    alias: "",
    operands: "-a | -d | -h [-r] [-s] off",
    about: "locate the next data and/or hole",
    spec: "adhrs",
    count: 1..=1,
    run: seek,
}];

/// Where `what` begins from `from` on; `None` if there is none before the end.
fn next(session: &IoSession, what: Seek, from: u64) -> Result<Option<u64>, Failure> {
    match session.file.seek(from, what) {
        Ok(found) => Ok(Some(found)),
        Err(Error::Op(Errno::NoSuchAddress)) => Ok(None),
        Err(why) => Err(complaint(why)),
    }
}

fn seek(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let data = opts.has('a') || opts.has('d');
    let hole = opts.has('a') || opts.has('h');
    if !data && !hole {
        return Err(complaint("one of -a, -d and -h is missing"));
    }
    let mut from = session.number(opts.operands()[0])?;
    let print = |sh: &mut Shell, what: Seek, start: u64, found: Option<u64>| {
        write!(sh.out, "{}", if what == Seek::Data { "DATA" } else { "HOLE" })?;
        if opts.has('s') {
            write!(sh.out, "\t{start}")?;
        }
        match found {
            Some(found) => writeln!(sh.out, "\t{found}"),
            None => writeln!(sh.out, "\tEOF"),
        }
    };
    // Data and holes take turns. Which is first, data tells: at its own beginning, it is.
    let first_data = next(session, Seek::Data, from)?;
    let mut what = if first_data == Some(from) || !hole { Seek::Data } else { Seek::Hole };
    let first = if what == Seek::Data { first_data } else { next(session, what, from)? };
    writeln!(sh.out, "Whence{}\tResult", if opts.has('s') { "\tStart" } else { "" })?;
    if first.is_none() {
        // At the end, or behind it; a hole is only spoken of if nothing else was asked for.
        return Ok(print(sh, if data { Seek::Data } else { Seek::Hole }, from, None)?);
    }
    let (mut found, mut shown) = (first, 0);
    while let Some(at) = found {
        sh.out.poll()?;
        if (what == Seek::Data && data) || (what == Seek::Hole && hole) {
            print(sh, what, from, Some(at))?;
            shown += 1;
            let enough = if data && hole { 2 } else { 1 };
            if shown == enough && !opts.has('r') {
                break;
            }
        }
        from = at;
        what = if what == Seek::Data { Seek::Hole } else { Seek::Data };
        found = next(session, what, from)?;
    }
    Ok(())
}
