//! What Tab offers: commands, options, and what a command's help says can stand there. `PROTOCOL` in a help
//! text is completed to the names of the protocols, `FILE` to files, `on|off` to those two words: the table
//! is [`Shell::of_kind`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use cli::synopsis::{Typed, is_placeholder, kinds};
use fs::dax::Protocol;
use fs::lab::Mutant;
use fs::vfs::FileKind;

use super::{Shell, commands, find, rooms, text};
use crate::arch::percpu;
use crate::counters;
use crate::crash::CrashKind;

impl Shell {
    /// Returns what `word`, after the words `before`, may become.
    pub(super) fn completions(&self, before: &[String], word: &str) -> Vec<String> {
        let Some((name, args)) = before.split_first() else {
            return if word.contains('/') {
                self.paths(word)
            } else {
                owned(commands().map(|command| command.name))
            };
        };
        if matches!(args.last().map(String::as_str), Some(">" | ">>" | "<")) {
            return self.paths(word);
        }
        let Some(command) = find(name) else { return self.paths(word) };
        let help = command.help();
        match help.typed(args, word) {
            Typed::Option => help.option_names(),
            Typed::Value(kind, head) => {
                let (head, value) = word.split_at(head);
                self.of_help(kind, value).into_iter().map(|value| alloc::format!("{head}{value}")).collect()
            }
            Typed::Operand => self.of_help(help.operands, word),
            Typed::Command(from) => self.completions(&args[from..], word),
        }
    }

    /// Returns what the words of a piece of help stand for.
    fn of_help(&self, help: &str, word: &str) -> Vec<String> {
        let mut found = Vec::new();
        for kind in kinds(help) {
            match is_placeholder(kind) {
                true => found.extend(self.of_kind(kind, word)),
                false => found.push(kind.to_string()),
            }
        }
        found
    }

    /// Returns what can stand where a help says `kind`.
    fn of_kind(&self, kind: &str, word: &str) -> Vec<String> {
        match kind {
            "COMMAND" => owned(commands().map(|command| command.name)),
            "PROTOCOL" => owned(Protocol::ALL.iter().map(|protocol| protocol.name())),
            "MISTAKE" => owned(Mutant::ALL.iter().map(|mutant| mutant.name())),
            "KIND" => owned(CrashKind::ALL.iter().map(|(name, _)| *name)),
            "CPU" => percpu::all().enumerate().map(|(number, _)| number.to_string()).collect(),
            "COUNTER" => {
                let mut names = Vec::new();
                counters::total().each(|name, _| names.push(name.to_string()));
                names
            }
            "DEVICE" => {
                let regions = crate::pmem::regions();
                (0..regions.len()).map(|number| alloc::format!("pmem{number}")).collect()
            }
            "OPTIONS" => {
                // Of several with commas, the last.
                let done = &word[..word.rfind(',').map_or(0, |comma| comma + 1)];
                let protocols = Protocol::ALL.iter().map(|protocol| alloc::format!("protocol={protocol}"));
                let policies = ["errors=continue", "errors=remount-ro", "errors=panic"];
                let options =
                    owned(["ro", "rw", "remount"].into_iter().chain(policies)).into_iter().chain(protocols);
                options.map(|option| alloc::format!("{done}{option}")).collect()
            }
            "DIR" | "DIRECTORY" | "FILE" | "FILE1" | "FILE2" | "LINK" | "NAME" | "PATH" | "SOURCE"
            | "TARGET" | "F" => self.paths(word),
            // What only those know who have the command; else numbers, text: what nobody can know.
            _ => rooms().find_map(|room| (room.words)(kind)).unwrap_or_default(),
        }
    }

    fn paths(&self, word: &str) -> Vec<String> {
        let (dir, prefix) = match word.rfind('/') {
            Some(slash) => word.split_at(slash + 1),
            None => ("", word),
        };
        let Ok(place) = self.walk(if dir.is_empty() { "." } else { dir }, true) else { return Vec::new() };
        let mut found = Vec::new();
        let _ = place.file.read_dir(0, &mut |entry| {
            let name = text::decode(entry.name);
            let hidden = name.starts_with('.') && !prefix.starts_with('.');
            if name.starts_with(prefix) && !hidden && name != "." && name != ".." {
                found.push((name, entry.kind));
            }
            // More than that nobody reads.
            if found.len() < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // Where the directory does not tell kinds, the inodes do; looked at now that the directory's lock is
        // let go.
        let is_dir = |name: &str, kind| match kind {
            Some(kind) => kind == FileKind::Directory,
            None => self.walk(&text::join(dir, name), true).is_ok_and(|place| place.is_directory()),
        };
        let slash = |name: &str, kind| if is_dir(name, kind) { "/" } else { "" };
        found.into_iter().map(|(name, kind)| alloc::format!("{dir}{name}{}", slash(&name, kind))).collect()
    }
}

pub(super) fn owned<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.map(ToString::to_string).collect()
}
