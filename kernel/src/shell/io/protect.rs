//! What changes mappings: mprotect, mremap, madvise, fork; and maps, which shows them as they are.

use alloc::sync::Arc;
use alloc::vec;

use cli::dump::Dump;
use cli::opts::Opts;

use super::super::command::{CommandResult, Failure, complaint};
use super::super::{Shell, task};
use super::IoSession;
use super::table::IoCommand;
use crate::mm::aspace::{self, Advice, Rights};
use crate::sync::IrqLock;
use crate::task::{Builder, ExitStatus, TaskSpace};

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "mprotect",
        alias: "",
        operands: "[-rwx] [off len]",
        about: "changes what may be done in a region of the current memory mapping; without an option: nothing",
        spec: "rwx",
        count: 0..=2,
        run: mprotect,
    },
    IoCommand {
        name: "mremap",
        alias: "mrm",
        operands: "[-m|-f address] newsize",
        about: "alters the size of the current memory mapping; -m: which may move, -f: to there",
        spec: "mf:",
        count: 1..=1,
        run: mremap,
    },
    IoCommand {
        name: "madvise",
        alias: "ma",
        operands: "-d|-R|-W|-H|-N [off len]",
        about: "forget (-d), fill in for loads (-R) or stores (-W), 2 MiB pages (-H) or none (-N)",
        spec: "dRWHN",
        count: 0..=2,
        run: madvise,
    },
    IoCommand {
        name: "fork",
        alias: "",
        operands: "[-S seed] off len",
        about: "writes and dumps a region in a task with a copy of the address space",
        spec: "S:",
        count: 2..=2,
        run: fork,
    },
    IoCommand {
        name: "maps",
        alias: "",
        operands: "",
        about: "lists the task's mappings, and how many entries of the page tables serve each",
        spec: "",
        count: 0..=0,
        run: |_, sh, _| task::print_maps(sh),
    },
];

fn mprotect(session: &mut IoSession, _: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    let rights = Rights { read: opts.has('r'), write: opts.has('w'), exec: opts.has('x') };
    aspace::current().mprotect(address, len, rights).map_err(complaint)
}

fn mremap(session: &mut IoSession, _: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let new_len = session.number(opts.operands()[0])?;
    let to = session.option(opts, 'f')?;
    let map = session.maps.current_mut()?;
    let moved = aspace::current().mremap(map.start, map.len, new_len, opts.has('m'), to);
    (map.start, map.len) = (moved.map_err(complaint)?, new_len);
    Ok(())
}

fn madvise(session: &mut IoSession, _: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    let advice = match opts.options() {
        [('d', _)] => Advice::DontNeed,
        [('R', _)] => Advice::PopulateRead,
        [('W', _)] => Advice::PopulateWrite,
        [('H', _)] => Advice::HugePage,
        [('N', _)] => Advice::NoHugePage,
        _ => return Err(complaint("one of -d, -R, -W, -H and -N is needed")),
    };
    aspace::current().madvise(address, len, advice).map_err(complaint)
}

/// More than this is not dumped.
const MOST: u64 = 1 << 16;

fn fork(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let (address, len) = session.mapped(opts)?;
    let offset = address - session.maps.current()?.start;
    let seed = session.option(opts, 'S')?.map(|seed| seed as u8);
    if len > MOST {
        return Err(complaint("more than 64 KiB are not dumped"));
    }
    let child = aspace::current().fork().map_err(complaint)?;
    let answer = Arc::new(IrqLock::new(None));
    let result = answer.clone();
    let body = move || {
        let mut bytes = vec![0; len as usize];
        let stored = seed.map_or(Ok(()), |seed| task::fill(address, seed, bytes.len()));
        let done = stored.and_then(|()| task::read(address, &mut bytes)).map(|()| bytes);
        *result.lock() = Some(done.map_err(|refused| alloc::format!("{refused}")));
        ExitStatus::SUCCESS
    };
    let builder = Builder { name: "fork", space: TaskSpace::Shared(child), cpu: None };
    crate::task::spawn(builder, body).map_err(complaint)?.join();
    let bytes = match answer.lock().take() {
        Some(Ok(bytes)) => bytes,
        Some(Err(why)) => return Err(Failure::Fault(why)),
        None => return Err(complaint("the task came to nothing")),
    };
    let mut dump = Dump::xfs(offset);
    dump.feed(&bytes, &mut sh.out)?;
    Ok(dump.finish(&mut sh.out)?)
}
