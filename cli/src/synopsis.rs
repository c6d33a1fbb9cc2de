//! What is being typed, by a command's own help: an option, an option's value, or an operand.
//!
//! Help names what can stand somewhere: `-p, --protocol PROTOCOL`, `on|off|dump`, `[FILE...]`. Words in
//! capitals stand for something, the others for themselves. Completion reads that, so that it offers what the
//! help says.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What a command's help says of the command.
#[derive(Clone, Copy, Debug)]
pub struct Synopsis<'a> {
    /// The command's options, as [`Opts::parse`](crate::opts::Opts::parse) takes them.
    pub spec: &'a str,
    /// The command's options for people: names and value, and what the option does.
    pub options: &'a [(&'a str, &'a str)],
    /// The command's operands for people.
    pub operands: &'a str,
}

/// What the word at a command line's end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed<'a> {
    /// An option's name.
    Option,
    /// An option's value, from this byte of the word on; of what kind, says this piece of help.
    Value(&'a str, usize),
    /// An operand.
    Operand,
    /// A word of a command that is the operands, from this argument on.
    Command(usize),
}

impl<'a> Synopsis<'a> {
    /// Returns what `word` is, typed after the arguments `before`.
    pub fn typed(&self, before: &[String], word: &str) -> Typed<'a> {
        let mut value = None;
        let mut ended = self.spec == "-";
        for (at, arg) in before.iter().enumerate() {
            if value.take().is_some() || (ended && !self.spec.starts_with('+')) {
                continue;
            }
            match arg.strip_prefix('-').filter(|cluster| !cluster.is_empty() && !ended) {
                None if self.spec.starts_with('+') => return Typed::Command(at),
                None => {}
                Some("-") => ended = true,
                Some(cluster) => value = self.awaits_value(cluster),
            }
        }
        if let Some(letter) = value {
            return Typed::Value(self.value_of(letter), 0);
        }
        match word.split_once('=') {
            Some((name, _)) if !ended && name.starts_with("--") => {
                let letter = self.long(&name[2..]).map_or('\0', |(letter, _)| letter);
                Typed::Value(self.value_of(letter), name.len() + 1)
            }
            _ if word.starts_with('-') && (!ended || self.spec == "-") => Typed::Option,
            _ if self.spec.starts_with('+') => Typed::Command(before.len()),
            _ => Typed::Operand,
        }
    }

    /// Returns the names of the command's options, `-a` and `--name`.
    pub fn option_names(&self) -> Vec<String> {
        let shown = self.options.iter().flat_map(|(names, _)| names.split([' ', ',']));
        let mut names: Vec<String> =
            shown.filter(|name| name.len() > 1 && name.starts_with('-')).map(ToString::to_string).collect();
        if self.spec == "-" {
            // Predicates are told of in passing too.
            let words = self.options.iter().flat_map(|(_, meaning)| meaning.split([' ', ':', ',', ';']));
            names.extend(
                words.filter(|word| word.len() > 2 && word.starts_with('-')).map(ToString::to_string),
            );
        }
        names.extend(self.longs().map(|(name, _)| alloc::format!("--{name}")));
        names.push("--help".into());
        names
    }

    /// Returns the letter of the option that takes the next argument as its value, after `-cluster`.
    fn awaits_value(&self, cluster: &str) -> Option<char> {
        if let Some(name) = cluster.strip_prefix('-') {
            // With `=` the value is there.
            return self.long(name).filter(|(_, valued)| *valued).map(|(letter, _)| letter);
        }
        let valued =
            |letter: char| self.letters().split_once(letter).is_some_and(|(_, rest)| rest.starts_with(':'));
        let (at, letter) = cluster.char_indices().find(|(_, letter)| valued(*letter))?;
        (at + letter.len_utf8() == cluster.len()).then_some(letter)
    }

    fn letters(&self) -> &'a str {
        self.spec.split(' ').next().unwrap_or_default()
    }

    /// Returns the long options: names, and the letters they stand for.
    fn longs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.spec.split(' ').skip(1).filter_map(|entry| entry.split_once('='))
    }

    /// Returns the letter of a long option, and whether it takes a value.
    fn long(&self, name: &str) -> Option<(char, bool)> {
        let (_, letters) = self.longs().find(|(known, _)| *known == name)?;
        let letter = letters.chars().next()?;
        let valued = self.letters().split_once(letter).is_some_and(|(_, rest)| rest.starts_with(':'));
        Some((letter, valued || letters.ends_with(':')))
    }

    /// Returns what the help says of an option's value.
    fn value_of(&self, letter: char) -> &'a str {
        let names = |name: &str| match name.strip_prefix("--") {
            Some(long) => self.long(long).is_some_and(|(stands_for, _)| stands_for == letter),
            None => name.strip_prefix('-').is_some_and(|name| name.chars().eq([letter])),
        };
        let told = self.options.iter().find(|(left, _)| left.split([' ', ',']).any(names));
        // The value is the last word on the left.
        told.and_then(|(left, _)| left.rsplit_once(' ')).map_or("", |(_, value)| value)
    }
}

/// Returns the words of a piece of help: those in capitals stand for something, the others for themselves.
pub fn kinds(help: &str) -> impl Iterator<Item = &str> {
    help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty())
}

/// Returns whether a word of [`kinds`] stands for something else: `FILE`, not `list`.
pub fn is_placeholder(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const RACE: Synopsis<'_> = Synopsis {
        spec: "p:m:sn:S: protocol=p mutant=m rounds=n seed=S",
        options: &[
            ("-p, --protocol PROTOCOL", "the protocol"),
            ("-m, --mutant MISTAKE", "make this mistake"),
            ("-s", "by a script"),
            ("--seed N", "of the waits"),
        ],
        operands: "[list | all | SCENARIO... | replay STORY]",
    };

    fn typed(synopsis: Synopsis<'static>, line: &str) -> Typed<'static> {
        let mut words: Vec<String> = line.split(' ').map(String::from).collect();
        let word = words.pop().unwrap_or_default();
        synopsis.typed(&words, &word)
    }

    #[test]
    fn options_values_and_operands_are_told_apart() {
        assert_eq!(typed(RACE, ""), Typed::Operand);
        assert_eq!(typed(RACE, "R4 -"), Typed::Option);
        assert_eq!(typed(RACE, "--pro"), Typed::Option);
        assert_eq!(typed(RACE, "-p "), Typed::Value("PROTOCOL", 0));
        assert_eq!(typed(RACE, "-sp ra"), Typed::Value("PROTOCOL", 0));
        assert_eq!(typed(RACE, "-pracy "), Typed::Operand);
        assert_eq!(typed(RACE, "--mutant x"), Typed::Value("MISTAKE", 0));
        assert_eq!(typed(RACE, "--mutant=x"), Typed::Value("MISTAKE", 9));
        assert_eq!(typed(RACE, "--seed "), Typed::Value("N", 0));
        assert_eq!(typed(RACE, "-n "), Typed::Value("", 0), "an option that the help does not tell of");
        assert_eq!(typed(RACE, "-- -"), Typed::Operand);
    }

    #[test]
    fn the_operands_can_be_a_command() {
        let run = Synopsis { spec: "+c:", options: &[("-c CPU", "")], operands: "COMMAND [ARGUMENT...]" };
        assert_eq!(typed(run, "l"), Typed::Command(0));
        assert_eq!(typed(run, "-c 1 ls -"), Typed::Command(2));
        assert_eq!(typed(run, "-c "), Typed::Value("CPU", 0));
        let find = Synopsis { spec: "-", options: &[("-name P", "")], operands: "[PATH...]" };
        assert_eq!(typed(find, "/ -n"), Typed::Option);
        let find = Synopsis {
            options: &[("-name P", "so called; -iname: in either case"), ("-perm M", "-M: all")],
            ..find
        };
        assert_eq!(find.option_names(), ["-name", "-perm", "-iname", "--help"]);
        assert_eq!(typed(find, "/ -name "), Typed::Operand);
    }

    #[test]
    fn names_and_kinds_are_read_from_the_help() {
        assert_eq!(
            RACE.option_names(),
            [
                "-p",
                "--protocol",
                "-m",
                "--mutant",
                "-s",
                "--seed",
                "--protocol",
                "--mutant",
                "--rounds",
                "--seed",
                "--help"
            ]
        );
        let words: Vec<_> = kinds(RACE.operands).map(|word| (word, is_placeholder(word))).collect();
        assert_eq!(
            words,
            vec![("list", false), ("all", false), ("SCENARIO", true), ("replay", false), ("STORY", true)]
        );
        assert_eq!(kinds("DEVICE|DIRECTORY...").collect::<Vec<_>>(), ["DEVICE", "DIRECTORY"]);
    }
}
