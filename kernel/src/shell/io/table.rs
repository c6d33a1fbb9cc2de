//! What one of io's commands is, the list of them, and `help`.

use core::fmt::Write;
use core::ops::RangeInclusive;

use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{CommandResult, On};
use super::{IoSession, extents, falloc, file, mapping, maps, protect, seek, spin, transfer};

/// One of io's commands.
pub(in super::super) struct IoCommand {
    pub(in super::super) name: &'static str,
    pub(super) alias: &'static str,
    pub(super) operands: &'static str,
    pub(super) about: &'static str,
    /// Options, as [`Opts::parse`] takes them.
    pub(super) spec: &'static str,
    pub(super) count: RangeInclusive<usize>,
    pub(super) run: fn(&mut IoSession, &mut Shell, &Opts<'_>) -> CommandResult,
}

const GROUPS: &[&[IoCommand]] = &[
    transfer::COMMANDS,
    maps::COMMANDS,
    mapping::COMMANDS,
    protect::COMMANDS,
    file::COMMANDS,
    falloc::COMMANDS,
    extents::COMMANDS,
    seek::COMMANDS,
    spin::COMMANDS,
    OWN,
];

const OWN: &[IoCommand] = &[
    IoCommand {
        name: "help",
        alias: "?",
        operands: "[command]",
        about: "help for one or all commands",
        spec: "",
        count: 0..=1,
        run: |_, sh, opts| match opts.operands().first() {
            Some(name) => write_help(sh, find(name).ok_or("command not found").on(name)?),
            None => all().try_for_each(|command| write_help(sh, command)),
        },
    },
    IoCommand {
        name: "quit",
        alias: "q",
        operands: "",
        about: "end io",
        spec: "",
        count: 0..=0,
        run: |session, _, _| {
            session.over = true;
            Ok(())
        },
    },
];

pub(in super::super) fn all() -> impl Iterator<Item = &'static IoCommand> {
    GROUPS.iter().flat_map(|group| group.iter())
}

/// Returns the command called `name`, or by its short name.
pub(super) fn find(name: &str) -> Option<&'static IoCommand> {
    all().find(|command| command.name == name || (!command.alias.is_empty() && command.alias == name))
}

pub(super) fn write_help(sh: &mut Shell, command: &IoCommand) -> CommandResult {
    let gap = if command.operands.is_empty() { "" } else { " " };
    Ok(writeln!(sh.out, "{}{gap}{} -- {}", command.name, command.operands, command.about)?)
}

/// Returns what `help io` adds.
pub(in super::super) fn more_help(sh: &mut Shell, name: &str) -> CommandResult {
    if name != "io" {
        return Ok(());
    }
    writeln!(sh.out, "    Commands:")?;
    all().try_for_each(|command| {
        write!(sh.out, "    ")?;
        write_help(sh, command)
    })
}
