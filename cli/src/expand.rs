//! What words become before a command gets them: variables, then patterns, as in the POSIX shell.
//!
//! A variable that is not quoted is split at blanks. An unquoted `*`, `?` or `[...]` makes the word a
//! pattern: it becomes the names that match, sorted by their bytes, or stays as it is if there are none. A
//! name with a leading dot is matched by a pattern with one, and a slash by a slash alone.
//!
//! Reference: POSIX.1-2024, XCU 2.6 "Word Expansions", 2.14 "Pattern Matching Notation".

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::pattern;
use crate::words::{Word, WordPart};

/// More names are more than anyone means.
const MOST: usize = 1 << 16;
/// The longest that a command may become, in bytes.
const LONGEST: usize = 2 << 20;
/// The most that all variables may hold, in bytes with their names.
pub const MOST_HELD: usize = 1 << 20;

/// What is known of variables and files.
pub trait Environment {
    /// Returns the value of a variable; of `?` too.
    fn variable(&self, name: &str) -> Option<String>;
    /// Calls `each` with every name in a directory but `.` and `..`; the current one is called `""`. Where
    /// there is no directory, there are no names.
    fn names(&self, dir: &str, each: &mut dyn FnMut(&str));
    /// Returns whether something is called `path`, a link that leads nowhere included; with a slash at the
    /// path's end, whether a directory is.
    fn exists(&self, path: &str) -> bool;
}

/// Why words cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// A pattern matches too many names.
    TooMany(String),
    /// One name is wanted: this word becomes none, or several.
    Ambiguous(String),
    /// With this word the command becomes too long.
    TooLong(String),
    /// The variables would hold too much.
    TooMuch,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(word) => write!(f, "{word}: more than {MOST} names match"),
            Self::Ambiguous(word) => write!(f, "{word}: must stand for one name"),
            Self::TooLong(word) => write!(f, "{word}: the command becomes longer than {} MiB", LONGEST >> 20),
            Self::TooMuch => write!(f, "the variables would hold more than {} MiB", MOST_HELD >> 20),
        }
    }
}

impl core::error::Error for ExpandError {}

/// Returns the words that a command gets.
///
/// # Errors
/// [`ExpandError::TooMany`], [`ExpandError::TooLong`].
pub fn words(words: &[Word], world: &dyn Environment) -> Result<Vec<String>, ExpandError> {
    let mut all = Vec::new();
    let mut left = LONGEST;
    for word in words {
        for field in fields(word, world, left).ok_or_else(|| ExpandError::TooLong(word.text()))? {
            let mut found = names(&field, world).ok_or_else(|| ExpandError::TooMany(word.text()))?;
            if found.is_empty() {
                found.push(field.text());
            }
            // As in exec(2), an empty word counts too.
            let len = found.iter().map(|name| name.len() + 1).sum();
            left = left.checked_sub(len).ok_or_else(|| ExpandError::TooLong(word.text()))?;
            all.extend(found);
        }
    }
    Ok(all)
}

/// Returns the one word that a redirection gets.
///
/// # Errors
/// [`ExpandError::Ambiguous`] if it becomes none or several; as for [`words`].
pub fn one(word: &Word, world: &dyn Environment) -> Result<String, ExpandError> {
    let mut found = words(core::slice::from_ref(word), world)?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(ExpandError::Ambiguous(word.text())),
    }
}

/// Returns the value that an assignment gives, of `most` bytes: nothing is split, and there are no patterns.
///
/// # Errors
/// [`ExpandError::TooMuch`].
pub fn value(word: &Word, world: &dyn Environment, most: usize) -> Result<String, ExpandError> {
    let mut text = String::new();
    for part in &word.parts {
        let looked_up;
        let piece = match part {
            WordPart::Text { text, .. } => text,
            WordPart::Variable { name, .. } => {
                looked_up = world.variable(name).unwrap_or_default();
                &looked_up
            }
        };
        if piece.len() > most.saturating_sub(text.len()) {
            return Err(ExpandError::TooMuch);
        }
        text.push_str(piece);
    }
    Ok(text)
}

/// A word with its variables replaced: characters, and whether they are quoted.
#[derive(Default)]
struct WordField(Vec<(char, bool)>);

impl WordField {
    fn push(&mut self, text: &str, quoted: bool) {
        self.0.extend(text.chars().map(|c| (c, quoted)));
    }

    fn text(&self) -> String {
        self.0.iter().map(|(c, _)| *c).collect()
    }
}

/// The fields of a word; `None` if their text is longer than `left`.
fn fields(word: &Word, world: &dyn Environment, mut left: usize) -> Option<Vec<WordField>> {
    let mut done = Vec::new();
    let mut now: Option<WordField> = None;
    for part in &word.parts {
        let (name, quoted) = match part {
            WordPart::Text { text, quoted } => {
                left = left.checked_sub(text.len())?;
                now.get_or_insert_default().push(text, *quoted);
                continue;
            }
            WordPart::Variable { name, quoted } => (name, *quoted),
        };
        let value = world.variable(name).unwrap_or_default();
        left = left.checked_sub(value.len())?;
        if quoted {
            now.get_or_insert_default().push(&value, true);
            continue;
        }
        let blank = |c: char| matches!(c, ' ' | '\t' | '\n');
        if value.starts_with(blank) {
            done.extend(now.take());
        }
        let mut pieces = value.split(blank).filter(|piece| !piece.is_empty()).peekable();
        while let Some(piece) = pieces.next() {
            now.get_or_insert_default().push(piece, false);
            if pieces.peek().is_some() || value.ends_with(blank) {
                done.extend(now.take());
            }
        }
    }
    done.extend(now);
    Some(done)
}

/// Whether a component of a path is a pattern.
fn is_pattern(component: &[(char, bool)]) -> bool {
    let has = |wanted| component.iter().any(|(c, quoted)| *c == wanted && !quoted);
    has('*') || has('?') || (has('[') && has(']'))
}

/// The component for [`pattern::glob`]: what is quoted means itself.
fn escaped(component: &[(char, bool)]) -> String {
    let mut text = String::new();
    for (c, quoted) in component {
        if *quoted && matches!(c, '*' | '?' | '[' | ']' | '\\' | '!' | '^' | '-') {
            text.push('\\');
        }
        text.push(*c);
    }
    text
}

/// The names that match; none if it is no pattern. `None` if there are too many.
fn names(field: &WordField, world: &dyn Environment) -> Option<Vec<String>> {
    if !is_pattern(&field.0) {
        return Some(Vec::new());
    }
    // What matches so far, with a slash at its end where one is in the word.
    let mut found = alloc::vec![String::new()];
    let mut components = field.0.split(|(c, _)| *c == '/').peekable();
    while let Some(component) = components.next() {
        let slash = if components.peek().is_some() { "/" } else { "" };
        if !is_pattern(component) {
            let literal: String = component.iter().map(|(c, _)| *c).collect();
            for path in &mut found {
                path.push_str(&literal);
                path.push_str(slash);
            }
            continue;
        }
        let wanted = escaped(component);
        let mut next = Vec::new();
        for dir in &found {
            world.names(dir, &mut |name| {
                let hidden = name.starts_with('.') && !wanted.starts_with('.');
                if next.len() <= MOST && !hidden && pattern::glob(&wanted, name, false) {
                    next.push(alloc::format!("{dir}{name}{slash}"));
                }
            });
            if next.len() > MOST {
                return None;
            }
        }
        found = next;
    }
    // What follows the last pattern may not be there.
    found.retain(|path| world.exists(path));
    found.sort_unstable();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::split;
    use alloc::string::ToString;

    /// A few files and variables.
    struct Few;

    const FILES: [&str; 9] = ["a.c", "b.c", "b.h", ".hidden", "dir/", "dir/x.c", "dir/y z", "other/", "st*r"];

    impl Environment for Few {
        fn variable(&self, name: &str) -> Option<String> {
            match name {
                "?" => Some("1".into()),
                "two" => Some(" one  two ".into()),
                "pattern" => Some("*.c".into()),
                "empty" => Some(String::new()),
                "long" => Some("a".repeat(MOST_HELD / 2)),
                _ => None,
            }
        }

        fn names(&self, dir: &str, each: &mut dyn FnMut(&str)) {
            let inside = FILES.iter().filter_map(|path| path.strip_prefix(dir));
            let names = inside.map(|path| path.trim_end_matches('/'));
            names.filter(|name| !name.is_empty() && !name.contains('/')).for_each(each);
        }

        fn exists(&self, path: &str) -> bool {
            FILES.iter().any(|file| *file == path || file.strip_suffix('/') == Some(path))
        }
    }

    fn expanded(line: &str) -> Vec<String> {
        let lists = split(line).unwrap();
        words(&lists[0].pipelines[0].commands[0].words, &Few).unwrap()
    }

    #[test]
    fn patterns_become_the_names_that_match() {
        assert_eq!(expanded("ls *.c"), ["ls", "a.c", "b.c"]);
        assert_eq!(expanded("ls ?.[ch]"), ["ls", "a.c", "b.c", "b.h"]);
        assert_eq!(expanded("ls [!a].c b.[a-c]"), ["ls", "b.c", "b.c"]);
        assert_eq!(expanded("ls *"), ["ls", "a.c", "b.c", "b.h", "dir", "other", "st*r"]);
        assert_eq!(expanded("ls .h*"), ["ls", ".hidden"], "a leading dot is matched by one");
        assert_eq!(expanded("ls */"), ["ls", "dir/", "other/"], "with a slash, directories");
        assert_eq!(expanded("ls */*.c d*/x.c d*/none"), ["ls", "dir/x.c", "dir/x.c", "d*/none"]);
    }

    #[test]
    fn what_matches_nothing_or_is_quoted_stays() {
        assert_eq!(expanded("ls *.none [ a]"), ["ls", "*.none", "[", "a]"]);
        assert_eq!(expanded("ls '*.c' \"?.c\" \\*.c"), ["ls", "*.c", "?.c", "*.c"]);
        assert_eq!(expanded("ls st'*'* 'a'*"), ["ls", "st*r", "a.c"], "a part can be quoted");
        assert_eq!(expanded("ls b'?'*"), ["ls", "b?*"]);
    }

    #[test]
    fn variables_are_split_unless_quoted() {
        assert_eq!(expanded("echo $two x$two"), ["echo", "one", "two", "x", "one", "two"]);
        assert_eq!(expanded("echo \"$two\" ${two}y"), ["echo", " one  two ", "one", "two", "y"]);
        assert_eq!(expanded("echo $none $empty \"$empty\" ''"), ["echo", "", ""]);
        assert_eq!(
            expanded("echo $? $pattern '$pattern' \"$pattern\""),
            ["echo", "1", "a.c", "b.c", "$pattern", "*.c"]
        );
        assert_eq!(expanded("echo a$ $ \"$\" $,"), ["echo", "a$", "$", "$", "$,"]);
    }

    #[test]
    fn an_assignment_and_a_file_get_one_word() {
        let command = |line: &str| split(line).unwrap()[0].pipelines[0].commands[0].clone();
        let assignment = |line: &str| value(&command(line).assignments[0].1, &Few, 15);
        assert_eq!(assignment("x=*.c"), Ok("*.c".into()));
        assert_eq!(assignment("x=a$two'b c'"), Ok("a one  two b c".into()));
        let error = assignment("x=a$two'b c'$two").unwrap_err();
        assert_eq!(error.to_string(), "the variables would hold more than 1 MiB");
        assert_eq!(assignment("x=1234567890123456"), Err(ExpandError::TooMuch));
        let file =
            |line: &str| one(&command(line).redirect.unwrap().file, &Few).map_err(|error| error.to_string());
        assert_eq!(file("ls > d*"), Ok("dir".into()));
        assert_eq!(file("ls > $none"), Err("$none: must stand for one name".into()));
        assert_eq!(file("ls > *.c"), Err("*.c: must stand for one name".into()));
    }

    #[test]
    fn no_command_becomes_longer_than_there_is_memory() {
        let expand = |line: &str| words(&split(line).unwrap()[0].pipelines[0].commands[0].words, &Few);
        let lens = |line: &str| expand(line).map(|words| words.iter().map(String::len).collect::<Vec<_>>());
        assert_eq!(lens("$long$long \"$long\" $empty"), Ok([1 << 20, 1 << 19].into()));
        let error = lens("x $long $long $long $long").unwrap_err();
        assert_eq!(error.to_string(), "$long: the command becomes longer than 2 MiB");
        for line in ["$long$long$long$long$two", "\"$long$long$long$long$long\"", "$long$long$long$long''"] {
            assert!(matches!(expand(line), Err(ExpandError::TooLong(_))), "{line}");
        }
        let command = split("a < $long$long$long$long$long").unwrap()[0].pipelines[0].commands[0].clone();
        assert!(matches!(one(&command.input.unwrap(), &Few), Err(ExpandError::TooLong(_))));
    }
}
