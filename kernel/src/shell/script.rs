//! Running a script: lists of pipelines of commands, as [`words`] reads them.
//!
//! The commands of a pipeline run one after the other; what one writes is kept in memory for the next. A
//! pipeline fails if one of its commands does, a list if the last of its pipelines that ran did: so a failure
//! that `||` answers is none, and no other is lost.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use cli::expand::{self, Environment};
use cli::words::{self, AndOrList, Join, Pipeline, SimpleCommand};
use fs::vfs::FileKind;

use super::command::{CommandResult, Failure, On, complaint};
use super::input::ShellInput;
use super::{Shell, find, text};

/// A command whose words are what they are.
#[derive(Clone, Default)]
pub(super) struct Simple {
    /// The command's name and its arguments.
    pub(super) words: Vec<String>,
    /// The file after `<`.
    pub(super) input: Option<String>,
    /// The file after `>`, and whether what is in it stays.
    pub(super) output: Option<(String, bool)>,
}

impl Shell {
    /// Runs a script or line; `true` if all succeeded. With `keep_going`, a failure does not keep what comes
    /// after it from running.
    pub(super) fn run_script(&mut self, script: &str, keep_going: bool) -> bool {
        let lists = match words::split(script) {
            Ok(lists) => lists,
            Err(error) => {
                self.complain("sh", &error.to_string());
                self.status = 2;
                return false;
            }
        };
        let mut all_well = true;
        for list in &lists {
            if self.leave.is_some() {
                break;
            }
            let outcome = match list.background {
                true => {
                    let started = self.start_job(list);
                    self.status = started.as_ref().err().map_or(0, Failure::status);
                    started.map_err(|failure| self.told(&list.pipelines[0].commands[0], failure))
                }
                false => self.run_list(list),
            };
            all_well &= outcome.is_ok();
            if matches!(outcome, Err(Failure::Interrupted)) || !(all_well || keep_going) {
                break;
            }
        }
        all_well
    }

    /// Runs a list; what there is to be said of failures is said.
    pub(super) fn run_list(&mut self, list: &AndOrList) -> CommandResult {
        let mut outcome = Ok(());
        for pipeline in &list.pipelines {
            let runs = match pipeline.join {
                Join::Always => true,
                Join::IfWell => outcome.is_ok(),
                Join::IfNot => outcome.is_err(),
            };
            if self.leave.is_some() || matches!(outcome, Err(Failure::Interrupted)) {
                break;
            }
            if runs {
                outcome = self.run_pipeline(pipeline);
            }
        }
        outcome
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline) -> CommandResult {
        let mut outcome = Ok(());
        let mut input = None;
        for (number, command) in pipeline.commands.iter().enumerate() {
            // A pipe around us, if we are a task, is not ours.
            let last = number + 1 == pipeline.commands.len();
            let outer = if last { None } else { self.out.swap_pipe(Some(Vec::new())) };
            self.input = input.take();
            let done = self.run_one(command);
            self.input = None;
            if !last {
                input = self.out.swap_pipe(outer).map(ShellInput::Bytes);
            }
            self.status = done.as_ref().err().map_or(0, |failure| failure.status());
            if let Err(failure) = done {
                // Half of an input would be counted as a whole one.
                let stops = matches!(failure, Failure::Interrupted) || self.out.take_overflow();
                outcome = Err(failure);
                if stops {
                    break;
                }
            }
        }
        if outcome.is_err() && self.status == 0 {
            self.status = 1;
        }
        outcome
    }

    /// Runs a command; what there is to be said of a failure is said.
    fn run_one(&mut self, command: &SimpleCommand) -> CommandResult {
        if command.words.is_empty() {
            for (name, value) in &command.assignments {
                let others = self.variables.iter().filter(|(other, _)| *other != name);
                let held: usize = others.map(|(name, value)| name.len() + value.len()).sum();
                let most = expand::MOST_HELD.saturating_sub(held + name.len());
                let value = expand::value(value, self, most).map_err(complaint);
                let value = value.map_err(|failure| self.say(name, failure))?;
                self.variables.insert(name.clone(), value);
            }
            return Ok(());
        }
        let simple = self.expand(command).map_err(|failure| self.told(command, failure))?;
        self.run_reported(&simple)
    }

    /// Says what is to be said of a failure to start `command`.
    fn told(&mut self, command: &SimpleCommand, failure: Failure) -> Failure {
        let name = command.words.first().map(words::Word::text).unwrap_or_default();
        self.say(&name, failure)
    }

    fn say(&mut self, name: &str, failure: Failure) -> Failure {
        let ended = failure.ended();
        self.report(name, failure);
        ended
    }

    /// Runs a command like [`run_simple`](Self::run_simple), and says what there is to be said of a failure.
    pub(super) fn run_reported(&mut self, simple: &Simple) -> CommandResult {
        let name = simple.words.first().map_or("", String::as_str);
        self.run_simple(simple).map_err(|failure| self.say(name, failure))
    }

    /// Returns the words of a command, with variables and patterns replaced.
    pub(super) fn expand(&self, command: &SimpleCommand) -> Result<Simple, Failure> {
        let name = |word| expand::one(word, self).map_err(complaint);
        Ok(Simple {
            words: expand::words(&command.words, self).map_err(complaint)?,
            input: command.input.as_ref().map(name).transpose()?,
            output: match &command.redirect {
                Some(redirect) => Some((name(&redirect.file)?, redirect.append)),
                None => None,
            },
        })
    }

    fn run_simple(&mut self, simple: &Simple) -> CommandResult {
        // A variable may have been all, and empty.
        let Some((name, args)) = simple.words.split_first() else { return Ok(()) };
        let command = find(name).ok_or(Failure::Unknown)?;
        if command.asks_for_help(args) {
            if let Some((file, append)) = &simple.output {
                self.redirect(file, *append)?;
            }
            return self.explain(command).and(self.out.finish());
        }
        let opts = command.parse(args)?;
        if let Some(file) = &simple.input {
            self.input = Some(ShellInput::File(self.open(file)?));
        }
        if let Some((file, append)) = &simple.output {
            self.redirect(file, *append)?;
        }
        let outcome = (command.run)(self, &opts);
        let written = self.out.finish();
        match outcome {
            Ok(()) | Err(Failure::Output) => written,
            failed => failed,
        }
    }

    /// Sends the next command's output to a file.
    fn redirect(&mut self, name: &str, append: bool) -> CommandResult {
        let file = self.open_or_create(name)?.0;
        match file.kind() {
            FileKind::File => {}
            FileKind::Directory => return Err(fs::Errno::IsDirectory).on(name),
            _ => return Err("not a regular file").on(name),
        }
        let offset = if append { file.attr().size } else { 0 };
        if !append {
            file.truncate(0).on(name)?;
        }
        self.out.redirect(file, offset, name);
        Ok(())
    }
}

impl Environment for Shell {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            _ => self.variables.get(name).cloned(),
        }
    }

    fn names(&self, dir: &str, each: &mut dyn FnMut(&str)) {
        let Ok(place) = self.walk(if dir.is_empty() { "." } else { dir }, true) else { return };
        // A directory that cannot be read has no names that match.
        let _ = place.file.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                each(&text::decode(entry.name));
            }
            ControlFlow::Continue(())
        });
    }

    fn exists(&self, path: &str) -> bool {
        self.walk(path, false).is_ok()
    }
}
