//! Commands about the shell itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;

use super::super::command::{ANY, Command, CommandResult, Failure, On};
use super::super::{Shell, find, groups, text};
use crate::mounts;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        operands: "[COMMAND...]",
        about: "list the commands, or explain some",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: help,
    },
    Command {
        name: "cd",
        operands: "[DIRECTORY]",
        about: "change the current directory (to /)",
        options: &[],
        spec: "",
        count: 0..=1,
        run: |sh, opts| sh.change_dir(opts.operands().first().copied().unwrap_or("/")),
    },
    Command {
        name: "pwd",
        operands: "",
        about: "print the current directory",
        options: &[("-P", "without symbolic links"), ("-L", "as it was gone to (the default)")],
        spec: "LP",
        count: 0..=0,
        run: |sh, opts| {
            let cwd = match sh.here() {
                Some(here) if opts.has('P') => text::decode(&mounts::path_to(here).on(&sh.cwd)?),
                _ => sh.cwd.clone(),
            };
            let cwd = sh.shown(&cwd).into_owned();
            Ok(writeln!(sh.out, "{cwd}")?)
        },
    },
    Command {
        name: "echo",
        operands: "[TEXT...] [> FILE | >> FILE]",
        about: "print text; any command's output can go to a file",
        options: &[("-n", "without a newline")],
        // What begins with a dash in the middle is text.
        spec: "+n",
        count: 0..=ANY,
        run: |sh, opts| {
            let end = if opts.has('n') { "" } else { "\n" };
            let line = opts.operands().join(" ");
            Ok(write!(sh.out, "{line}{end}")?)
        },
    },
    Command {
        name: "history",
        operands: "",
        about: "list the lines typed before",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| {
            let lines: Vec<String> = sh.editor.history().map(ToString::to_string).collect();
            for (number, line) in lines.iter().enumerate() {
                writeln!(sh.out, "{:5}  {line}", number + 1)?;
            }
            Ok(())
        },
    },
    Command {
        name: "clear",
        operands: "",
        about: "clear the terminal",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| Ok(sh.out.write_str("\x1b[H\x1b[2J")?),
    },
    Command {
        name: "true",
        operands: "",
        about: "succeed",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: |_, _| Ok(()),
    },
    Command {
        name: "false",
        operands: "",
        about: "fail",
        options: &[],
        spec: "",
        count: 0..=ANY,
        run: |_, _| Err(Failure::Said),
    },
    Command {
        name: "poweroff",
        operands: "",
        about: "write everything back, unmount and switch off",
        options: &[],
        spec: "",
        count: 0..=0,
        run: |sh, _| {
            sh.leave = Some(true);
            Ok(())
        },
    },
    Command {
        name: "exit",
        operands: "[STATUS]",
        about: "as poweroff; with a STATUS other than 0, as after a failure",
        options: &[],
        spec: "",
        count: 0..=1,
        run: |sh, opts| {
            let status = opts.operands().first().copied().unwrap_or("0");
            let status: u8 = status.parse().map_err(|_| "not a number from 0 to 255").on(status)?;
            sh.leave = Some(status == 0);
            Ok(())
        },
    },
];

/// What the shell's language has.
const LANGUAGE: &str = "\
Between commands, as in sh: ; & && || |    files: < > >>    patterns: * ? [a-z]    variables: NAME=value $NAME ${NAME} $?
  A pipe's commands run one after the other, and it fails if one of them does. Not supported: $(...) `...` if for while, 2>.";

fn help(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    if !opts.operands().is_empty() {
        return sh.for_each("help", opts.operands(), |sh, name| {
            sh.explain(find(name).ok_or("no such command").on(name)?)
        });
    }
    for (group, commands) in groups() {
        if !group.is_empty() {
            writeln!(sh.out, "{group}:")?;
        }
        for command in commands.iter() {
            let left = alloc::format!("{} {}", command.name, command.operands);
            writeln!(sh.out, "  {left:<36} {}", command.about)?;
        }
    }
    writeln!(sh.out, "{LANGUAGE}")?;
    writeln!(sh.out, "help COMMAND, or COMMAND --help, shows a command's options.")?;
    Ok(())
}

impl Shell {
    /// Returns what `help COMMAND` prints.
    pub(in super::super) fn explain(&mut self, command: &Command) -> CommandResult {
        writeln!(self.out, "{}\n    {}", command.synopsis(), command.about)?;
        for (option, meaning) in command.options {
            writeln!(self.out, "    {option:<12} {meaning}")?;
        }
        super::super::io::more_help(self, command.name)
    }
}
