//! What takes and gives back a file's blocks: falloc, fpunch, fzero, fcollapse, finsert.

use cli::opts::Opts;
use fs::vfs::Fallocate;

use super::super::command::{CommandResult, complaint};
use super::IoSession;
use super::table::IoCommand;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "falloc",
        alias: "",
        operands: "[-c] [-i] [-k] [-p] off len",
        about: "allocates space associated with part of a file via fallocate",
        spec: "cikp",
        count: 2..=2,
        run: |session, _, opts| {
            let keep_size = opts.has('k');
            // The last of several counts; a hole changes no size anyway.
            let last = opts.options().iter().rev().find(|(option, _)| *option != 'k');
            fallocate(
                session,
                opts,
                match last {
                    Some(('c', _)) => Fallocate::CollapseRange,
                    Some(('i', _)) => Fallocate::InsertRange,
                    Some(('p', _)) => Fallocate::PunchHole,
                    _ => Fallocate::Allocate { keep_size },
                },
            )
        },
    },
    IoCommand {
        name: "fpunch",
        alias: "",
        operands: "off len",
        about: "de-allocates space associated with part of a file via fallocate",
        spec: "",
        count: 2..=2,
        run: |session, _, opts| fallocate(session, opts, Fallocate::PunchHole),
    },
    IoCommand {
        name: "fzero",
        alias: "",
        operands: "[-k] off len",
        about: "zeroes space and eliminates holes by preallocating",
        spec: "k",
        count: 2..=2,
        run: |session, _, opts| fallocate(session, opts, Fallocate::ZeroRange { keep_size: opts.has('k') }),
    },
    IoCommand {
        name: "fcollapse",
        alias: "",
        operands: "off len",
        about: "de-allocates space and eliminates the hole by shifting extents",
        spec: "",
        count: 2..=2,
        run: |session, _, opts| fallocate(session, opts, Fallocate::CollapseRange),
    },
    IoCommand {
        name: "finsert",
        alias: "",
        operands: "off len",
        about: "creates new space for writing within file by shifting extents",
        spec: "",
        count: 2..=2,
        run: |session, _, opts| fallocate(session, opts, Fallocate::InsertRange),
    },
];

fn fallocate(session: &IoSession, opts: &Opts<'_>, how: Fallocate) -> CommandResult {
    session.expect_writable()?;
    let (offset, len) = session.range(opts)?;
    session.file.fallocate(how, offset, len).map_err(complaint)
}
