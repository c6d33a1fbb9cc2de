//! The expressions of find(1): read once, asked about each file.
//!
//! Tests:
//! `-name -iname -path -ipath -type -size -links -inum -uid -gid -perm -empty -newer -mtime -true -false`.
//! Actions: `-print -print0 -ls -delete -prune`. Options: `-maxdepth -mindepth -depth -xdev`. Operators:
//! `( )`, `!`, `-a`, `-o`. An expression without an action prints.
//!
//! The tree of a parsed expression is as deep as its parentheses, of which there may be few: neither reading
//! nor asking needs more stack than that.
//!
//! References: POSIX.1-2024 `find`; find(1) of GNU for what POSIX lacks.

use crate::mode;
use crate::pattern::glob;
use crate::when::Moment;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Parentheses inside each other.
const DEEPEST: usize = 32;
const DAY: i128 = 86_400_000_000_000;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindError {
    /// There is no such test, action or option.
    Unknown(String),
    /// The predicate's argument is missing.
    Missing(String),
    /// The predicate's argument is not one: predicate, argument, and what it should be.
    Bad(String, String, String),
    /// A path after the expression began.
    LatePath(String),
    /// Nothing follows an operator, or nothing is in parentheses.
    NothingAfter(String),
    /// An operator has nothing before it.
    NothingBefore(String),
    /// A `(` without its `)`.
    Unclosed,
    /// A `)` without its `(`.
    Unopened,
    /// More parentheses inside each other than are taken.
    TooDeep,
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(what) => write!(f, "unknown predicate {what}"),
            Self::Missing(what) => write!(f, "missing argument to {what}"),
            Self::Bad(what, given, why) => write!(f, "{what}: {given}: {why}"),
            Self::LatePath(path) => write!(f, "paths must precede the expression: {path}"),
            Self::NothingAfter(what) => write!(f, "nothing follows {what}"),
            Self::NothingBefore(what) => write!(f, "nothing precedes {what}"),
            Self::Unclosed => write!(f, "( without )"),
            Self::Unopened => write!(f, ") without ("),
            Self::TooDeep => write!(f, "more than {DEEPEST} parentheses inside each other"),
        }
    }
}

impl core::error::Error for FindError {}

/// What an expression may ask to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Print the path.
    Print,
    /// Print the path and a NUL.
    Print0,
    /// Print a line with everything.
    List,
    /// Remove the file.
    Delete,
    /// Do not go into the directory.
    Prune,
}

/// What an expression wants to know of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// The path as find reached it.
    pub path: &'a str,
    /// The last name of the path.
    pub name: &'a str,
    /// `f` `d` `l` `c` `b` `p` `s`.
    pub kind: char,
    /// Bytes.
    pub size: u64,
    /// Names.
    pub links: u64,
    /// Inode number.
    pub ino: u64,
    /// Low 12 bits of the mode.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of contents.
    pub mtime: Moment,
}

/// A file that an expression is asked about.
pub trait Candidate {
    /// How looking at the file, or doing something with it, fails.
    type Error;

    /// Returns what is known of the file.
    fn facts(&self) -> Facts<'_>;
    /// Returns whether the file is an empty directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn is_empty_directory(&mut self) -> Result<bool, Self::Error>;
    /// Does something with the file; returns whether that is true, as an expression takes it.
    ///
    /// # Errors
    /// What ends find as a whole.
    fn act(&mut self, action: Action) -> Result<bool, Self::Error>;
}

/// A number to compare with: `+5` more than, `-5` less than, `5` exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CountTest {
    sign: Option<char>,
    value: u64,
}

impl CountTest {
    fn parse(text: &str) -> Option<Self> {
        let sign = text.chars().next().filter(|c| matches!(c, '+' | '-'));
        let digits = if sign.is_some() { text.get(1..)? } else { text };
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some(Self { sign, value: digits.parse().ok().filter(|_| all_digits)? })
    }

    fn fits(self, number: impl Into<i128>) -> bool {
        let (number, value) = (number.into(), i128::from(self.value));
        match self.sign {
            Some('+') => number > value,
            Some(_) => number < value,
            None => number == value,
        }
    }
}

/// How `-perm` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermissionTest {
    Exactly,
    All,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FindExpression {
    And(Vec<FindExpression>),
    Or(Vec<FindExpression>),
    Not(Box<FindExpression>),
    Name {
        pattern: String,
        ignore_case: bool,
    },
    Path {
        pattern: String,
        ignore_case: bool,
    },
    Kinds(String),
    Size(CountTest, u64),
    Links(CountTest),
    Ino(CountTest),
    Uid(CountTest),
    Gid(CountTest),
    Perm(PermissionTest, u16),
    Empty,
    Newer(Moment),
    /// The days, and what is now.
    Mtime(CountTest, Moment),
    Always(bool),
    Do(Action),
}

/// An expression, with the paths before it and the options in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// Where to begin; `.` if nothing was said.
    pub paths: Vec<String>,
    /// How many directories down to go; 0 is the paths themselves.
    pub deepest: usize,
    /// How many directories down to begin to ask.
    pub shallowest: usize,
    /// A directory is asked about after what is in it.
    pub depth_first: bool,
    /// Stay on one file system.
    pub one_file_system: bool,
    root: FindExpression,
}

impl Find {
    /// Reads paths and expression. `now` is what `-mtime` counts from; `changed` tells when the file after
    /// `-newer` was changed.
    ///
    /// # Errors
    /// [`FindError`]: the first thing that is wrong. What `changed` answers comes as [`FindError::Bad`].
    pub fn parse(
        args: &[&str],
        now: Moment,
        changed: &mut dyn FnMut(&str) -> Result<Moment, String>,
    ) -> Result<Self, FindError> {
        let begins = |arg: &&str| (arg.starts_with('-') && arg.len() > 1) || matches!(*arg, "(" | ")" | "!");
        let start = args.iter().position(begins).unwrap_or(args.len());
        let (paths, expression) = args.split_at(start);
        let mut paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        if paths.is_empty() {
            paths.push(".".into());
        }
        let mut parser = FindParser {
            args: expression.iter(),
            found: Self {
                paths,
                deepest: usize::MAX,
                shallowest: 0,
                depth_first: false,
                one_file_system: false,
                root: FindExpression::Always(true),
            },
            now,
            changed,
            acts: false,
            open: 0,
        };
        if !expression.is_empty() {
            let root = parser.any()?;
            if parser.args.next().is_some() {
                return Err(FindError::Unopened);
            }
            parser.found.root = root;
        }
        let FindParser { acts, mut found, .. } = parser;
        if !acts {
            found.root = FindExpression::And(Vec::from([found.root, FindExpression::Do(Action::Print)]));
        }
        Ok(found)
    }

    /// Asks about a file, and does with the file what the expression says.
    ///
    /// # Errors
    /// The file's own.
    pub fn ask<C: Candidate>(&self, file: &mut C) -> Result<bool, C::Error> {
        self.root.ask(file)
    }
}

impl FindExpression {
    fn ask<C: Candidate>(&self, file: &mut C) -> Result<bool, C::Error> {
        match self {
            Self::And(nodes) => {
                for node in nodes {
                    if !node.ask(file)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            Self::Or(nodes) => {
                for node in nodes {
                    if node.ask(file)? {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            Self::Not(node) => return node.ask(file).map(|answer| !answer),
            Self::Do(action) => return file.act(*action),
            Self::Empty if file.facts().kind == 'd' => return file.is_empty_directory(),
            _ => {}
        }
        let facts = file.facts();
        Ok(match self {
            Self::Name { pattern, ignore_case } => glob(pattern, facts.name, *ignore_case),
            Self::Path { pattern, ignore_case } => glob(pattern, facts.path, *ignore_case),
            Self::Kinds(kinds) => kinds.contains(facts.kind),
            Self::Size(count, unit) => count.fits(facts.size.div_ceil(*unit)),
            Self::Links(count) => count.fits(facts.links),
            Self::Ino(count) => count.fits(facts.ino),
            Self::Uid(count) => count.fits(facts.uid),
            Self::Gid(count) => count.fits(facts.gid),
            Self::Perm(PermissionTest::Exactly, bits) => facts.mode == *bits,
            Self::Perm(PermissionTest::All, bits) => facts.mode & bits == *bits,
            Self::Perm(PermissionTest::Any, bits) => *bits == 0 || facts.mode & bits != 0,
            Self::Empty => facts.kind == 'f' && facts.size == 0,
            Self::Newer(moment) => facts.mtime > *moment,
            Self::Mtime(days, now) => {
                let nanoseconds =
                    |(secs, nanos): Moment| i128::from(secs) * 1_000_000_000 + i128::from(nanos);
                days.fits((nanoseconds(*now) - nanoseconds(facts.mtime)).div_euclid(DAY))
            }
            Self::Always(answer) => *answer,
            Self::And(_) | Self::Or(_) | Self::Not(_) | Self::Do(_) => false, // answered above
        })
    }
}

struct FindParser<'a> {
    args: core::slice::Iter<'a, &'a str>,
    found: Find,
    now: Moment,
    changed: &'a mut dyn FnMut(&str) -> Result<Moment, String>,
    /// Something is done: no printing unless asked for.
    acts: bool,
    /// Parentheses that are open.
    open: usize,
}

impl<'a> FindParser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.args.as_slice().first().copied()
    }

    /// Parses `a -o b -o c`.
    fn any(&mut self) -> Result<FindExpression, FindError> {
        let mut nodes = Vec::from([self.all()?]);
        while let Some(operator @ ("-o" | "-or")) = self.peek() {
            self.args.next();
            if matches!(self.peek(), None | Some(")")) {
                return Err(FindError::NothingAfter(operator.into()));
            }
            nodes.push(self.all()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { FindExpression::Or(nodes) })
    }

    /// Parses `a -a b c`.
    fn all(&mut self) -> Result<FindExpression, FindError> {
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                None | Some(")") => break,
                Some(operator @ ("-o" | "-or" | "-a" | "-and")) if nodes.is_empty() => {
                    return Err(FindError::NothingBefore(operator.into()));
                }
                Some("-o" | "-or") => break,
                Some(operator @ ("-a" | "-and")) => {
                    self.args.next();
                    match self.peek() {
                        None | Some(")") => return Err(FindError::NothingAfter(operator.into())),
                        Some(next @ ("-o" | "-or" | "-a" | "-and")) => {
                            return Err(FindError::NothingBefore(next.into()));
                        }
                        Some(_) => {}
                    }
                }
                Some(_) => nodes.push(self.one()?),
            }
        }
        match nodes.len() {
            0 if self.open == 0 => Err(FindError::Unopened),
            0 => Err(FindError::NothingAfter("(".into())),
            1 => Ok(nodes.remove(0)),
            _ => Ok(FindExpression::And(nodes)),
        }
    }

    /// Parses `! ! a`, `( … )`, or a predicate.
    fn one(&mut self) -> Result<FindExpression, FindError> {
        let mut negated = false;
        while let Some(operator @ ("!" | "-not")) = self.peek() {
            self.args.next();
            negated = !negated;
            if matches!(self.peek(), None | Some(")" | "-o" | "-or" | "-a" | "-and")) {
                return Err(FindError::NothingAfter(operator.into()));
            }
        }
        let node = if self.peek() == Some("(") {
            self.args.next();
            self.open += 1;
            if self.open > DEEPEST {
                return Err(FindError::TooDeep);
            }
            if self.peek().is_none() {
                return Err(FindError::Unclosed);
            }
            let node = self.any()?;
            if self.args.next() != Some(&")") {
                return Err(FindError::Unclosed);
            }
            self.open -= 1;
            node
        } else {
            self.predicate()?
        };
        Ok(if negated { FindExpression::Not(Box::new(node)) } else { node })
    }

    fn predicate(&mut self) -> Result<FindExpression, FindError> {
        let Some(name) = self.args.next().copied() else { return Err(FindError::Missing("find".into())) };
        if !name.starts_with('-') {
            return Err(FindError::LatePath(name.into()));
        }
        let ignore_case = name.starts_with("-i");
        Ok(match name {
            "-name" | "-iname" => FindExpression::Name { pattern: self.argument(name)?.into(), ignore_case },
            "-path" | "-ipath" => FindExpression::Path { pattern: self.argument(name)?.into(), ignore_case },
            "-type" => self.kinds(name)?,
            "-size" => self.size(name)?,
            "-links" => FindExpression::Links(self.count(name)?),
            "-inum" => FindExpression::Ino(self.count(name)?),
            "-uid" => FindExpression::Uid(self.count(name)?),
            "-gid" => FindExpression::Gid(self.count(name)?),
            "-perm" => self.perm(name)?,
            "-empty" => FindExpression::Empty,
            "-newer" => {
                let path = self.argument(name)?;
                let moment = (self.changed)(path);
                FindExpression::Newer(moment.map_err(|why| FindError::Bad(name.into(), path.into(), why))?)
            }
            "-mtime" => FindExpression::Mtime(self.count(name)?, self.now),
            "-true" => FindExpression::Always(true),
            "-false" => FindExpression::Always(false),
            "-print" => self.action(Action::Print),
            "-print0" => self.action(Action::Print0),
            "-ls" => self.action(Action::List),
            "-delete" => {
                self.found.depth_first = true;
                self.action(Action::Delete)
            }
            "-prune" => FindExpression::Do(Action::Prune),
            "-maxdepth" => {
                self.found.deepest = self.level(name)?;
                FindExpression::Always(true)
            }
            "-mindepth" => {
                self.found.shallowest = self.level(name)?;
                FindExpression::Always(true)
            }
            "-depth" => {
                self.found.depth_first = true;
                FindExpression::Always(true)
            }
            "-xdev" | "-mount" => {
                self.found.one_file_system = true;
                FindExpression::Always(true)
            }
            _ => return Err(FindError::Unknown(name.into())),
        })
    }

    fn action(&mut self, action: Action) -> FindExpression {
        self.acts = true;
        FindExpression::Do(action)
    }

    fn argument(&mut self, name: &str) -> Result<&'a str, FindError> {
        self.args.next().copied().ok_or_else(|| FindError::Missing(name.into()))
    }

    fn count(&mut self, name: &str) -> Result<CountTest, FindError> {
        let text = self.argument(name)?;
        CountTest::parse(text).ok_or_else(|| FindError::Bad(name.into(), text.into(), "not a number".into()))
    }

    fn level(&mut self, name: &str) -> Result<usize, FindError> {
        let text = self.argument(name)?;
        let count = CountTest::parse(text).filter(|count| count.sign.is_none());
        let level = count.and_then(|count| usize::try_from(count.value).ok());
        level.ok_or_else(|| FindError::Bad(name.into(), text.into(), "not a number from 0 on".into()))
    }

    fn kinds(&mut self, name: &str) -> Result<FindExpression, FindError> {
        let text = self.argument(name)?;
        let good = text.split(',').all(|kind| matches!(kind, "f" | "d" | "l" | "c" | "b" | "p" | "s"));
        if !good {
            let why = "not of f, d, l, c, b, p and s, commas between".into();
            return Err(FindError::Bad(name.into(), text.into(), why));
        }
        Ok(FindExpression::Kinds(text.into()))
    }

    fn size(&mut self, name: &str) -> Result<FindExpression, FindError> {
        let text = self.argument(name)?;
        let (digits, unit) = match text.char_indices().last() {
            Some((at, 'c')) => (&text[..at], 1),
            Some((at, 'w')) => (&text[..at], 2),
            Some((at, 'b')) => (&text[..at], 512),
            Some((at, 'k')) => (&text[..at], 1 << 10),
            Some((at, 'M')) => (&text[..at], 1 << 20),
            Some((at, 'G')) => (&text[..at], 1 << 30),
            _ => (text, 512),
        };
        let count = CountTest::parse(digits);
        let why = || "not a number with at most one of c, w, b, k, M, G after it".into();
        let count = count.ok_or_else(|| FindError::Bad(name.into(), text.into(), why()))?;
        Ok(FindExpression::Size(count, unit))
    }

    fn perm(&mut self, name: &str) -> Result<FindExpression, FindError> {
        let text = self.argument(name)?;
        let (how, mode) = match (text.strip_prefix('-'), text.strip_prefix('/')) {
            (Some(mode), _) => (PermissionTest::All, mode),
            (_, Some(mode)) => (PermissionTest::Any, mode),
            _ => (PermissionTest::Exactly, text),
        };
        let change = mode::ModeChange::parse(mode);
        let change = change.map_err(|why| FindError::Bad(name.into(), text.into(), why.to_string()))?;
        Ok(FindExpression::Perm(how, change.apply(0, false, 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = (1_000_000, 0);

    struct Fake {
        facts: Facts<'static>,
        entries: usize,
        done: Vec<Action>,
    }

    impl Candidate for Fake {
        type Error = ();

        fn facts(&self) -> Facts<'_> {
            self.facts
        }

        fn is_empty_directory(&mut self) -> Result<bool, ()> {
            Ok(self.entries == 0)
        }

        fn act(&mut self, action: Action) -> Result<bool, ()> {
            self.done.push(action);
            Ok(true)
        }
    }

    fn file() -> Fake {
        let facts = Facts {
            path: "./src/Main.rs",
            name: "Main.rs",
            kind: 'f',
            size: 1025,
            links: 2,
            ino: 12,
            mode: 0o4644,
            uid: 1000,
            gid: 100,
            mtime: (NOW.0 - 86_400 * 2, 0),
        };
        Fake { facts, entries: 0, done: Vec::new() }
    }

    fn parse(expression: &str) -> Result<Find, FindError> {
        let args: Vec<&str> = expression.split_whitespace().collect();
        Find::parse(&args, NOW, &mut |path| match path {
            "old" => Ok((5, 0)),
            "young" => Ok(NOW),
            _ => Err("no such file".into()),
        })
    }

    /// What is done with a file.
    fn done(expression: &str, mut file: Fake) -> Vec<Action> {
        let find = parse(expression).unwrap_or_else(|why| panic!("{expression}: {why}"));
        find.ask(&mut file).unwrap();
        file.done
    }

    #[test]
    fn every_test_both_ways() {
        for (expression, matches) in [
            ("-name *.rs", true),
            ("-name main*", false),
            ("-iname main*", true),
            ("-path */src/*", true),
            ("-path src", false),
            ("-ipath ./SRC/*", true),
            ("-type f", true),
            ("-type d,l", false),
            ("-size 3", true),
            ("-size 2k", true),
            ("-size 1025c", true),
            ("-size -1025c", false),
            ("-size +1024c", true),
            ("-size 1M", true),
            ("-size -1M", false),
            ("-size 513w", true),
            ("-links 2", true),
            ("-links +2", false),
            ("-inum 12", true),
            ("-inum -12", false),
            ("-uid 1000", true),
            ("-gid +100", false),
            ("-perm 4644", true),
            ("-perm 644", false),
            ("-perm -600", true),
            ("-perm -111", false),
            ("-perm /111", false),
            ("-perm /222", true),
            ("-perm /000", true),
            ("-perm -u+s", true),
            ("-perm u=rws,go=r", true),
            ("-empty", false),
            ("-newer old", true),
            ("-newer young", false),
            ("-mtime 2", true),
            ("-mtime +1", true),
            ("-mtime +2", false),
            ("-mtime -3", true),
            ("-true", true),
            ("-false", false),
        ] {
            assert_eq!(!done(expression, file()).is_empty(), matches, "{expression}");
            assert_eq!(done(&alloc::format!("! {expression}"), file()).is_empty(), matches, "! {expression}");
        }
    }

    #[test]
    fn empty_is_about_files_and_directories_only() {
        let empty = |kind, size, entries| {
            let mut fake = file();
            (fake.facts.kind, fake.facts.size, fake.entries) = (kind, size, entries);
            !done("-empty", fake).is_empty()
        };
        assert!(empty('f', 0, 0) && !empty('f', 1, 0));
        assert!(empty('d', 4096, 0) && !empty('d', 4096, 1));
        assert!(!empty('p', 0, 0));
    }

    #[test]
    fn a_change_in_the_future_is_less_than_any_day_ago() {
        let mut fake = file();
        fake.facts.mtime = (NOW.0, 1);
        assert_eq!(done("-mtime -0", fake), [Action::Print]);
    }

    #[test]
    fn operators_bind_as_they_should() {
        for (expression, matches) in [
            ("-false -o -true", true),
            ("-true -o -false -a -false", true),
            ("( -true -o -false ) -false", false),
            ("! -false -false", false),
            ("! ( -false -o -false )", true),
            ("! ! -true", true),
            ("-not -true -or -true -and -true", true),
            ("( ( -true ) )", true),
        ] {
            assert_eq!(
                !done(&alloc::format!("( {expression} ) -print"), file()).is_empty(),
                matches,
                "{expression}"
            );
        }
    }

    #[test]
    fn what_is_done_is_what_is_said_and_printing_if_nothing_is() {
        assert_eq!(done("", file()), [Action::Print]);
        assert_eq!(done("-name x -o -true", file()), [Action::Print]);
        assert_eq!(done("-name x -print -o -ls", file()), [Action::List]);
        assert_eq!(done("-print0 -delete", file()), [Action::Print0, Action::Delete]);
        assert_eq!(done("-prune", file()), [Action::Prune, Action::Print]);
        assert_eq!(done("-false -print", file()), []);
    }

    #[test]
    fn paths_and_options() {
        let find = parse("a /b -maxdepth 2 -mindepth 1 -xdev -name x").unwrap();
        assert_eq!(find.paths, ["a", "/b"]);
        assert_eq!((find.deepest, find.shallowest), (2, 1));
        assert!(find.one_file_system && !find.depth_first);
        let find = parse("-delete").unwrap();
        assert_eq!(find.paths, ["."]);
        assert!(find.depth_first && parse("-depth").unwrap().depth_first);
        assert_eq!(parse("-").unwrap().paths, ["-"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (expression, error) in [
            ("-frob", "unknown predicate -frob"),
            ("-name", "missing argument to -name"),
            ("-size", "missing argument to -size"),
            ("-type q", "-type: q: not of f, d, l, c, b, p and s, commas between"),
            ("-type f,", "-type: f,: not of f, d, l, c, b, p and s, commas between"),
            ("-size x", "-size: x: not a number with at most one of c, w, b, k, M, G after it"),
            ("-size é", "-size: é: not a number with at most one of c, w, b, k, M, G after it"),
            ("-size --1", "-size: --1: not a number with at most one of c, w, b, k, M, G after it"),
            ("-links 99999999999999999999", "-links: 99999999999999999999: not a number"),
            ("-inum +", "-inum: +: not a number"),
            ("-maxdepth -1", "-maxdepth: -1: not a number from 0 on"),
            ("-perm 9", "-perm: 9: '9' is not an octal digit"),
            ("-newer gone", "-newer: gone: no such file"),
            ("-true x", "paths must precede the expression: x"),
            ("-true -o", "nothing follows -o"),
            ("-o -true", "nothing precedes -o"),
            ("-a", "nothing precedes -a"),
            ("-true -a -a -true", "nothing precedes -a"),
            ("-true -a", "nothing follows -a"),
            ("!", "nothing follows !"),
            ("( ! )", "nothing follows !"),
            ("! -o -true", "nothing follows !"),
            ("( -true", "( without )"),
            ("(", "( without )"),
            ("( )", "nothing follows ("),
            (")", ") without ("),
            ("-true )", ") without ("),
        ] {
            assert_eq!(parse(expression).unwrap_err().to_string(), error, "{expression}");
        }
    }

    #[test]
    fn depth_is_bounded_and_length_is_not() {
        assert!(parse(&("( ".repeat(DEEPEST) + "-true" + &" )".repeat(DEEPEST))).is_ok());
        assert_eq!(parse(&"( ".repeat(100_000)), Err(FindError::TooDeep));
        assert_eq!(done(&("! ".repeat(100_000) + "-true"), file()), [Action::Print]);
        assert_eq!(done(&("-false -o ".repeat(20_000) + "-true"), file()), [Action::Print]);
    }
}
