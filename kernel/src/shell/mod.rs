//! The shell: one task that runs commands, typed on the serial line or given by `./qemu-run.sh --exec`.
//!
//! Commands carry the names people know and behave as their namesakes do, as far as they go; `help` lists
//! them. A failure is one line on standard error, `CMD: what: why`.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | [`Shell`], and what it says |
//! | `script.rs` | running a script: lists, pipes, variables, redirections |
//! | `session.rs` | the two ways to get lines: exec mode, the prompt; leaving |
//! | `complete.rs` | what Tab offers |
//! | `command.rs` | a command's entry in the table, and how it fails |
//! | `output.rs` | where output goes; Ctrl-C |
//! | `input.rs` | what a command reads that is told no file |
//! | `files.rs` | files by path, as the commands need them; the current directory |
//! | `tree.rs` | directory trees of any depth |
//! | `jobs.rs` | commands in tasks of their own |
//! | `task.rs` | loads and stores at the task's addresses |
//! | `text.rs` | names that are not UTF-8 |
//! | `cmd/` | the commands, a file for each group |
//! | `instruments/` | those that try, count and watch: bench, race, trace, exercise, fsx, poison |
//! | `io/` | the command `io`, after xfs_io(8) |

#![forbid(unsafe_code)]

pub(crate) mod cmd;
pub(crate) mod command;
mod complete;
mod files;
mod input;
pub(crate) mod instruments;
mod io;
mod jobs;
pub(crate) mod output;
mod script;
mod session;
mod task;
mod text;
mod tree;

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cli::edit::{Editor, TerminalSize};
use spin::Once;

use crate::console::{self, Stream};
use crate::mounts::Place;
use command::{Command, CommandResult, CommandSet, Failure};
use input::ShellInput;
use jobs::Job;
use output::Output;

pub(crate) use session::run;

/// The shell's state.
pub(crate) struct Shell {
    /// Where commands write.
    pub(crate) out: Output,
    /// The current directory, as somebody went there: an absolute path without dots.
    cwd: String,
    /// The current directory as a place; none for `/`.
    here: Option<Place>,
    editor: Editor,
    /// Somebody wants to leave: with success?
    leave: Option<bool>,
    /// Commands come from a keyboard.
    interactive: bool,
    /// The size of the terminal at the other end of the console, if one is there that answers when asked.
    terminal: Option<TerminalSize>,
    /// `NAME=value`.
    variables: BTreeMap<String, String>,
    /// `$?`: how the last command ended.
    status: u8,
    /// What the command that runs reads, if the command is told no file.
    input: Option<ShellInput>,
    /// Commands that run beside the shell, and were not waited for.
    jobs: Vec<Job>,
}

/// The command called `name`.
fn find(name: &str) -> Option<&'static Command> {
    commands().find(|command| command.name == name)
}

/// The commands that there are, as whoever starts the shell has them.
static ROOMS: Once<&'static [&'static CommandSet]> = Once::new();

fn rooms() -> impl Iterator<Item = &'static &'static CommandSet> {
    ROOMS.get().copied().unwrap_or_default().iter()
}

/// Every group of commands, with a title where `help` has one, in its order.
fn groups() -> impl Iterator<Item = &'static (&'static str, &'static [Command])> {
    rooms().flat_map(|room| room.groups)
}

/// Every command.
fn commands() -> impl Iterator<Item = &'static Command> {
    groups().flat_map(|(_, commands)| commands.iter())
}

impl Shell {
    fn new(interactive: bool) -> Self {
        let editor = Editor::with_limits(4096, 200);
        Self {
            out: Output::default(),
            cwd: "/".to_string(),
            here: None,
            editor,
            leave: None,
            interactive,
            terminal: None,
            variables: BTreeMap::new(),
            status: 0,
            input: None,
            jobs: Vec::new(),
        }
    }

    /// Says what is to be said about a failure of command `name`.
    fn report(&mut self, name: &str, failure: Failure) {
        match failure {
            Failure::Complaint(text) | Failure::Fault(text) => self.complain(name, &text),
            Failure::Unknown => self.complain(name, "command not found"),
            // A task that was told to stop has been talked about.
            Failure::Interrupted if self.interactive => console::write(Stream::Err, b"^C\n"),
            Failure::Interrupted | Failure::Said | Failure::Output => {}
        }
    }

    /// Writes one line on standard error.
    pub(crate) fn complain(&mut self, name: &str, text: &str) {
        // What comes before the line was written before it.
        let _ = self.out.flush();
        // One line, whatever the names in it hold: nobody shall forge another.
        let line = alloc::format!("{name}: {text}");
        let mut bytes = text::encode(&text::harmless(&line)).into_owned();
        bytes.push(b'\n');
        console::write(Stream::Err, &bytes);
    }

    /// Returns a name as it is printed: as it is, but on a terminal without what would control it.
    pub(crate) fn shown<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.interactive { text::harmless(name) } else { Cow::Borrowed(name) }
    }

    /// Runs `f` for each operand. A failure is reported, and the rest go on.
    pub(crate) fn for_each(
        &mut self,
        command: &str,
        operands: &[&str],
        mut f: impl FnMut(&mut Self, &str) -> CommandResult,
    ) -> CommandResult {
        let mut all_well = true;
        for operand in operands {
            match f(self, operand) {
                Ok(()) => {}
                Err(Failure::Complaint(text)) => {
                    self.complain(command, &text);
                    all_well = false;
                }
                Err(Failure::Said) => all_well = false,
                Err(other) => return Err(other),
            }
        }
        if all_well { Ok(()) } else { Err(Failure::Said) }
    }
}
