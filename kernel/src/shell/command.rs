//! What a command is: its entry in the table, and how it fails.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeInclusive;

use cli::opts::{OptError, Opts};
use cli::synopsis::Synopsis;

use super::Shell;

/// What a command's function returns.
pub(crate) type CommandResult = Result<(), Failure>;

/// How a command fails.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With something still to be said, after `CMD: `.
    Complaint(String),
    /// With something still to be said, after `CMD: `, which ends a program with more to do, as a signal
    /// would.
    Fault(String),
    /// There is no such command.
    Unknown,
    /// Everything was said already.
    Said,
    /// The command's output could not be written; [`Output`](super::output::Output) knows why.
    Output,
    /// Ctrl-C.
    Interrupted,
}

impl Failure {
    /// Returns what is left of the failure when everything is said.
    pub(crate) fn ended(&self) -> Self {
        match self {
            Self::Fault(why) => Self::Fault(why.clone()),
            Self::Unknown => Self::Unknown,
            Self::Interrupted => Self::Interrupted,
            Self::Complaint(_) | Self::Said | Self::Output => Self::Said,
        }
    }

    /// Returns `$?` after the failure, as in a POSIX shell.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Unknown => 127,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

impl From<fmt::Error> for Failure {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

/// Makes a complaint of any text.
pub(crate) fn complaint(text: impl fmt::Display) -> Failure {
    Failure::Complaint(alloc::format!("{text}"))
}

/// Names what a failure is about: `what: why`.
pub(crate) trait On<T> {
    /// Returns the failure, about `what`.
    fn on(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> On<T> for Result<T, E> {
    fn on(self, what: &str) -> Result<T, Failure> {
        self.map_err(|why| Failure::Complaint(alloc::format!("{what}: {why}")))
    }
}

/// A command.
pub(crate) struct Command {
    /// What is typed.
    pub(crate) name: &'static str,
    /// The command's operands, for people.
    pub(crate) operands: &'static str,
    /// What the command does, in a line.
    pub(crate) about: &'static str,
    /// The command's options, for people: letter with value, and what the option does.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// The command's options, as [`Opts::parse`] takes them.
    pub(crate) spec: &'static str,
    /// How many operands the command takes.
    pub(crate) count: RangeInclusive<usize>,
    /// Runs the command.
    pub(crate) run: fn(&mut Shell, &Opts<'_>) -> CommandResult,
}

/// Commands of one kind, which the shell joins with others.
pub(crate) struct CommandSet {
    /// The commands in groups with titles, in the order in which `help` shows them; a group without a title
    /// belongs to the one before.
    pub(crate) groups: &'static [(&'static str, &'static [Command])],
    /// What a word of the commands' help can stand for (for completion), if the set knows.
    pub(crate) words: fn(&str) -> Option<Vec<String>>,
}

/// The option that every command takes.
pub(crate) const HELP: &str = "--help";

/// More operands than anyone types.
pub(crate) const ANY: usize = usize::MAX;

impl Command {
    /// Returns the command's synopsis: `ls [-l] [-a] [PATH...]`.
    pub(crate) fn synopsis(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| {
            f.write_str(self.name)?;
            for (option, _) in self.options {
                write!(f, " [{option}]")?;
            }
            if self.operands.is_empty() { Ok(()) } else { write!(f, " {}", self.operands) }
        })
    }

    /// Returns what the help says, for completion.
    pub(crate) fn help(&self) -> Synopsis<'static> {
        Synopsis { spec: self.spec, options: self.options, operands: self.operands }
    }

    /// Returns whether `--help` is among the arguments, where an option can be.
    pub(crate) fn asks_for_help(&self, args: &[String]) -> bool {
        match self.spec {
            // With a language of its own.
            "-" => matches!(args, [arg] if arg == HELP),
            spec => matches!(Opts::parse(spec, args), Err(OptError::UnknownLong(name)) if name == HELP),
        }
    }

    /// Sorts the arguments.
    ///
    /// # Errors
    /// An unknown option, too few operands, too many.
    pub(crate) fn parse<'a>(&self, args: &'a [String]) -> Result<Opts<'a>, Failure> {
        let opts = Opts::parse(self.spec, args).map_err(complaint)?;
        check_count(&opts, &self.count)?;
        Ok(opts)
    }
}

/// Complains about a missing operand or the first that is too much.
pub(crate) fn check_count(opts: &Opts<'_>, count: &RangeInclusive<usize>) -> CommandResult {
    let operands = opts.operands();
    if operands.len() < *count.start() {
        return Err(complaint("missing operand"));
    }
    match operands.get(*count.end()) {
        Some(extra) => Err(complaint(format_args!("extra operand '{extra}'"))),
        None => Ok(()),
    }
}
