//! `io`: reading, writing and mapping one file, with the commands of xfs_io(8).
//!
//! Commands, options, sizes and what is printed are those of xfs_io 6.1. What differs: complaints have the
//! shell's form (`io: FILE: CMD: why`); an access that a fault refuses does not kill, it is a complaint with
//! address, access and reason, after which only the `-c` commands that are left are dropped; one file is
//! open; and `ptwalk` and `mspin` are new.
//!
//! | file | commands |
//! |---|---|
//! | this one | opening the file, running commands, the prompt |
//! | `table.rs` | what a command is, the list of them, help |
//! | `transfer.rs` | pread, pwrite |
//! | `maps.rs` | the session's mappings: mmap, munmap |
//! | `mapping.rs` | what is done to them: mread, mwrite, msync, ptwalk |
//! | `protect.rs` | mprotect, mremap, madvise, fork, maps |
//! | `file.rs` | fsync, fdatasync, truncate, stat, statfs, chmod, utimes |
//! | `falloc.rs` | falloc, fpunch, fzero, fcollapse, finsert |
//! | `spin.rs` | mspin |
//! | `extents.rs`, `seek.rs` | fiemap, seek |
//!
//! References: xfs_io(8), and what xfs_io 6.1 prints.

mod extents;
mod falloc;
mod file;
mod mapping;
mod maps;
mod protect;
mod seek;
mod spin;
mod table;
mod transfer;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cli::edit::{EditEvent, Editor};
use cli::opts::{OptError, Opts};
use cli::{size, words};
use fs::vfs::FileKind;
use fs::{Errno, PAGE_SIZE};

use super::Shell;
use super::command::{ANY, Command, CommandResult, Failure, HELP, On, complaint};
use super::complete::owned;
use crate::machine::File;
use crate::mounts;
use table::find;
pub(super) use table::{all, more_help};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "io",
    operands: "FILE",
    about: "read, write and map a file, as xfs_io does",
    options: &[
        ("-c CMD", "run an io command; several times for several. Without: a prompt"),
        ("-f", "make the file if it is not there"),
        ("-r", "open it to read only"),
        ("-t", "truncate it to nothing first"),
    ],
    // Those of xfs_io that change nothing here are taken as well: -d direct, -s synchronous, -i, -n, -x.
    spec: "c:C:frtdsinxp:m:",
    count: 1..=ANY,
    run,
}];

/// The open file and its mappings.
struct IoSession {
    file: File,
    name: String,
    read_only: bool,
    synchronous: bool,
    direct: bool,
    maps: maps::Maps,
    over: bool,
}

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let [name] = opts.operands() else {
        return Err(complaint("one file at a time"));
    };
    let commands = || opts.options().iter().filter(|(option, _)| matches!(option, 'c' | 'C'));
    if commands().next().is_none() && !sh.interactive {
        return Err(complaint("option -c CMD is missing"));
    }
    let mut session = open(sh, name, opts)?;
    let outcome = if commands().next().is_none() {
        session.prompt(sh)
    } else {
        // As in xfs_io, one that fails does not keep the next ones from running.
        let mut outcome = Ok(());
        for (_, command) in commands() {
            match session.execute(sh, command.unwrap_or_default()) {
                Ok(()) => {}
                Err(Failure::Complaint(text)) => {
                    sh.complain("io", &text);
                    outcome = Err(Failure::Said);
                }
                Err(Failure::Said) => outcome = Err(Failure::Said),
                Err(other) => {
                    outcome = Err(other);
                    break;
                }
            }
            if session.over {
                break;
            }
        }
        outcome
    };
    session.maps.unmap_all();
    outcome
}

/// Opens the file as the options say.
fn open(sh: &Shell, name: &str, opts: &Opts<'_>) -> Result<IoSession, Failure> {
    let read_only = opts.has('r');
    let file = if opts.has('f') && !read_only {
        sh.open_or_create(name)?.0
    } else {
        let place = sh.find(name)?;
        if !read_only && !place.is_directory() && place.mount.read_only() {
            return Err(Errno::ReadOnly).on(name);
        }
        place.file
    };
    let read_only = read_only || file.kind() == FileKind::Directory;
    if opts.has('t') {
        match read_only {
            true => return Err("cannot be truncated: it is open to read only").on(name),
            false => file.truncate(0).on(name)?,
        }
    }
    let (name, maps) = (name.to_string(), maps::Maps::default());
    Ok(IoSession {
        file,
        name,
        read_only,
        synchronous: opts.has('s'),
        direct: opts.has('d'),
        maps,
        over: false,
    })
}

impl IoSession {
    /// Runs a line of io commands; the first that fails ends it.
    fn execute(&mut self, sh: &mut Shell, line: &str) -> CommandResult {
        let file = self.name.clone();
        for command in words::plain(line).on(&file)? {
            let Some((name, args)) = command.split_first() else { continue };
            let about = |text| alloc::format!("{file}: {name}: {text}");
            self.dispatch(sh, name, args).map_err(|failure| match failure {
                Failure::Complaint(text) => Failure::Complaint(about(text)),
                Failure::Fault(text) => Failure::Fault(about(text)),
                other => other,
            })?;
            if self.over {
                break;
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, sh: &mut Shell, name: &str, args: &[String]) -> CommandResult {
        let command = find(name).ok_or_else(|| complaint("command not found"))?;
        let opts = match Opts::parse(command.spec, args) {
            Err(OptError::UnknownLong(name)) if name == HELP => return table::write_help(sh, command),
            opts => opts.map_err(complaint)?,
        };
        let given = opts.operands().len();
        let (least, most) = (*command.count.start(), *command.count.end());
        if !(least..=most).contains(&given) {
            let expected = match (least, most) {
                (least, most) if least == most => alloc::format!("{least}"),
                (least, most) => alloc::format!("{least} to {most}"),
            };
            return Err(complaint(format_args!("bad argument count {given}, expected {expected} arguments")));
        }
        (command.run)(self, sh, &opts)
    }

    /// Reads and runs lines until `quit` or Ctrl-D.
    fn prompt(&mut self, sh: &mut Shell) -> CommandResult {
        let mut editor = Editor::new();
        while !self.over {
            match sh.read_line(&mut editor, "io> ", completions) {
                EditEvent::Line(line) => {
                    let outcome = self.execute(sh, &line).and(sh.out.flush());
                    match outcome {
                        Ok(()) => {}
                        // The output is unusable for whoever comes next, unless its failure is taken.
                        Err(Failure::Output) => {
                            if let Err(failure) = sh.out.finish() {
                                sh.report("io", failure);
                            }
                        }
                        Err(failure) => sh.report("io", failure),
                    }
                }
                EditEvent::Interrupt => {}
                EditEvent::EndOfInput => break,
            }
        }
        Ok(())
    }

    /// Returns a number that is a size or an offset.
    fn number(&self, text: &str) -> Result<u64, Failure> {
        let block_size = mounts::of(&self.file).map_or(PAGE_SIZE, |mount| mount.fs.stat_fs().block_size);
        let number = size::parse(text, block_size, 512).on(text)?;
        // Offsets are signed, as in any Unix.
        i64::try_from(number).map_err(|_| size::SizeError::Overflow).on(text)?;
        Ok(number)
    }

    /// Returns the value of an option, as a number.
    fn option(&self, opts: &Opts<'_>, option: char) -> Result<Option<u64>, Failure> {
        opts.value(option).map(|value| self.number(value)).transpose()
    }

    /// Returns the operands `off len`.
    fn range(&self, opts: &Opts<'_>) -> Result<(u64, u64), Failure> {
        match opts.operands() {
            [offset, len, ..] => Ok((self.number(offset)?, self.number(len)?)),
            _ => Err(complaint("offset and length are missing")),
        }
    }

    /// Refuses what would change a file that is open to read only.
    fn expect_writable(&self) -> CommandResult {
        if self.read_only { Err(complaint("the file is open to read only")) } else { Ok(()) }
    }

    /// Makes everything about the file durable; if `datasync`, only what its content hangs on.
    fn fsync(&self, datasync: bool) -> CommandResult {
        fs::dax::sync(&*self.file, 0..u64::MAX, datasync).map(|_| ()).map_err(complaint)
    }
}

/// What a word may become, after the words `before`.
fn completions(_: &Shell, before: &[String], _: &str) -> Vec<String> {
    let is_name = before.is_empty() || before == ["help"];
    if is_name { owned(all().map(|command| command.name)) } else { Vec::new() }
}
