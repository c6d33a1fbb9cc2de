//! The shell: one task that runs commands, typed on the serial line or given by `./qemu-run.sh --exec`.
//!
//! Commands carry the names people know and behave as their namesakes do, as far as they go; `help` lists
//! them. A failure is one line on standard error, `CMD: what: why`. Left out: pipes, variables, patterns.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | [`Shell`]: running a line |
//! | `session.rs` | the two ways to get lines: exec mode, the prompt; leaving |
//! | `complete.rs` | what Tab offers |
//! | `command.rs` | a command's entry in the table, and how it fails |
//! | `output.rs` | where output goes; Ctrl-C |
//! | `files.rs` | files by path, as the commands need them; the current directory |
//! | `tree.rs` | directory trees of any depth |
//! | `jobs.rs` | commands in tasks of their own |
//! | `task.rs` | loads and stores at the task's addresses |
//! | `text.rs` | names that are not UTF-8 |
//! | `cmd/` | the commands, a file for each group |
//! | `io/` | the command `io`, after xfs_io(8) |

#![forbid(unsafe_code)]

mod cmd;
pub(crate) mod command;
mod complete;
mod files;
mod io;
mod jobs;
pub(crate) mod output;
mod session;
mod task;
mod text;
mod tree;

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cli::edit::Editor;
use cli::words::{self, Redirect};
use fs::vfs::FileKind;

use crate::console::{self, Stream};
use crate::mounts::Place;
use command::{Command, Done, Failure, On};
use jobs::Job;
use output::Output;

pub(crate) use session::run;

/// The shell's state.
pub(crate) struct Shell {
    /// Where commands write.
    pub(crate) out: Output,
    /// The current directory, as it was gone to: an absolute path without dots.
    cwd: String,
    /// The same as a place; none for `/`.
    here: Option<Place>,
    editor: Editor,
    /// Somebody wants to leave: with success?
    leave: Option<bool>,
    /// Commands come from a keyboard.
    interactive: bool,
    /// Commands that run beside it, and were not waited for.
    jobs: Vec<Job>,
}

/// The command called `name`.
fn find(name: &str) -> Option<&'static Command> {
    commands().find(|command| command.name == name)
}

/// Every command.
fn commands() -> impl Iterator<Item = &'static Command> {
    cmd::GROUPS.iter().flat_map(|(_, commands)| commands.iter())
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
            jobs: Vec::new(),
        }
    }

    /// Runs the commands of a script or line, one after the other; `true` if all succeeded. With
    /// `keep_going`, a failure does not keep the next ones from running.
    fn run_script(&mut self, script: &str, keep_going: bool) -> bool {
        let commands = match words::split(script) {
            Ok(commands) => commands,
            Err(error) => {
                self.complain("sh", &error.to_string());
                return false;
            }
        };
        let mut all_well = true;
        for command in &commands {
            if self.leave.is_some() {
                break;
            }
            let outcome = match command.background {
                true => self.start_job(&command.words, command.redirect.as_ref()),
                false => self.run_command(&command.words, command.redirect.as_ref()),
            };
            let name = command.words.first().map_or("", String::as_str);
            all_well &= outcome.is_ok();
            let interrupted = matches!(outcome, Err(Failure::Interrupted));
            if let Err(failure) = outcome {
                self.report(name, failure);
            }
            if interrupted || !(all_well || keep_going) {
                break;
            }
        }
        all_well
    }

    fn run_command(&mut self, words: &[String], redirect: Option<&Redirect>) -> Done {
        let Some((name, args)) = words.split_first() else { return Ok(()) };
        let command = find(name).ok_or_else(|| command::complaint("command not found"))?;
        if command.asks_for_help(args) {
            return self.explain(command).and(self.out.finish());
        }
        let opts = command.parse(args)?;
        if let Some(redirect) = redirect {
            self.redirect(redirect)?;
        }
        let outcome = (command.run)(self, &opts);
        let written = self.out.finish();
        match outcome {
            Ok(()) | Err(Failure::Output) => written,
            failed => failed,
        }
    }

    /// Sends the next command's output to a file.
    fn redirect(&mut self, redirect: &Redirect) -> Done {
        let name = redirect.file.as_str();
        let file = self.open_or_create(name)?.0;
        match file.kind() {
            FileKind::File => {}
            FileKind::Directory => return Err(fs::Errno::IsDirectory).on(name),
            _ => return Err("not a regular file").on(name),
        }
        let offset = if redirect.append { file.attr().size } else { 0 };
        if !redirect.append {
            file.truncate(0).on(name)?;
        }
        self.out.redirect(file, offset, name);
        Ok(())
    }

    /// Says what is to be said about a failure of command `name`.
    fn report(&mut self, name: &str, failure: Failure) {
        match failure {
            Failure::Complaint(text) | Failure::Fault(text) => self.complain(name, &text),
            Failure::Interrupted => console::write(Stream::Err, b"^C\n"),
            Failure::Said | Failure::Output => {}
        }
    }

    /// One line on standard error.
    pub(crate) fn complain(&mut self, name: &str, text: &str) {
        // What comes before the line was written before it.
        let _ = self.out.flush();
        // One line, whatever the names in it hold: nobody shall forge another.
        let line = alloc::format!("{name}: {text}");
        let mut bytes = text::encode(&text::harmless(&line)).into_owned();
        bytes.push(b'\n');
        console::write(Stream::Err, &bytes);
    }

    /// A name as it is printed: as it is, but on a terminal without what would control it.
    pub(crate) fn shown<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.interactive { text::harmless(name) } else { Cow::Borrowed(name) }
    }

    /// Runs `f` for each operand. A failure is reported, and the rest go on.
    pub(crate) fn for_each(
        &mut self,
        command: &str,
        operands: &[&str],
        mut f: impl FnMut(&mut Self, &str) -> Done,
    ) -> Done {
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
