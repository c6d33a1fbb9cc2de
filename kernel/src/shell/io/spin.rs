//! `mspin`: the same byte of a mapping, again and again, until an access is refused. What another CPU does to
//! the file meanwhile shows here, or a translation that should be gone.

use core::fmt::Write;

use cli::opts::Opts;

use super::super::command::{CommandResult, Failure};
use super::super::{Shell, task};
use super::IoSession;
use super::table::IoCommand;

pub(super) const COMMANDS: &[IoCommand] = &[IoCommand {
    name: "mspin",
    alias: "",
    operands: "[-w] off",
    about: "reads (-w: writes) a byte of the current memory mapping until that is refused",
    spec: "w",
    count: 1..=1,
    run: mspin,
}];

/// The keyboard is looked at after so many accesses.
const ACCESSES: u32 = 1 << 16;

fn mspin(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let map = session.maps.current()?;
    let offset = session.number(opts.operands().first().copied().unwrap_or_default())?;
    let address = map.start + offset.saturating_sub(map.offset);
    let mut byte = [0];
    let mut access = || match opts.has('w') {
        true => task::write(address, &[0x5a]),
        false => task::read(address, &mut byte),
    };
    access().map_err(refused)?;
    // Whoever reads this knows that the translation is there.
    writeln!(sh.out, "mspin at {address:#x}")?;
    loop {
        for _ in 0..ACCESSES {
            access().map_err(refused)?;
        }
        sh.out.poll()?;
    }
}

fn refused(why: task::Refused) -> Failure {
    Failure::Fault(alloc::format!("{why}"))
}
