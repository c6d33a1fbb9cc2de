//! Regular expressions: POSIX's, basic and extended, with what GNU's have besides (`\w`, `\b`, `\<`, `\|` in
//! basic ones). Back-references are not among them.
//!
//! An expression becomes a small program, all of whose ways are followed at once, a character at a time: it
//! takes time linear in text times expression, whatever the expression is. (The crates for this that build
//! without `std` add 300 KB to the kernel.)
//!
//! References: POSIX.1-2024, XBD 9 "Regular Expressions"; grep(1); R. Cox, "Regular Expression Matching Can
//! Be Simple And Fast".

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::pattern::{bracket, same};

/// How an expression is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `a\|b`, `a\+`, `\(a\)`.
    #[default]
    Basic,
    /// `a|b`, `a+`, `(a)`.
    Extended,
    /// Every character means itself.
    Fixed,
}

/// Why an expression cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegexError {
    /// The parenthesis, bracket or brace has no end, or no beginning.
    Unmatched(&'static str),
    /// The expression ends in a backslash.
    TrailingBackslash,
    /// `\1`: what a group matched cannot be asked for.
    BackReference(char),
    /// A `{` is not followed by numbers, the second not below the first, and `}`.
    BadCount,
    /// The expression is too long when written out, or its groups are too deep.
    TooLarge,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmatched(what) => write!(f, "unmatched {what}"),
            Self::TrailingBackslash => write!(f, "trailing backslash"),
            Self::BackReference(digit) => write!(f, "\\{digit}: back-references are not supported"),
            Self::BadCount => write!(f, "bad numbers between braces"),
            Self::TooLarge => write!(f, "the regular expression is too large"),
        }
    }
}

impl core::error::Error for RegexError {}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Regex {
    program: Vec<Instruction>,
    ignore_case: bool,
}

/// The most steps of a program, and the most groups and repetitions in each other: the stack is small.
const MOST_STEPS: usize = 20_000;
const MOST_DEEP: usize = 50;
/// The most work to write the program: `(){255}` takes time, but no step.
const MOST_WORK: usize = 10 * MOST_STEPS;
/// The largest count between braces.
const MOST_TIMES: usize = 255;

#[derive(Clone, Debug)]
enum Instruction {
    /// Takes a character.
    Take(Set),
    /// Goes on, if the place is so.
    At(Assertion),
    /// Goes on here and there, so many steps from here.
    Split(isize, isize),
    Found,
}

#[derive(Clone, Debug)]
enum Set {
    One(char),
    Any,
    /// A letter, digit or `_`; with `false`, none.
    Word(bool),
    /// White space; with `false`, none.
    Space(bool),
    /// A bracket expression from after its `[` on, as [`bracket`] takes it.
    Bracket(Vec<char>),
}

#[derive(Clone, Copy, Debug)]
enum Assertion {
    Start,
    End,
    /// Between a character of a word and another; with `false`, not.
    Boundary(bool),
    WordStart,
    WordEnd,
}

impl Regex {
    /// Reads expressions, one a line; a text matches if one of them does.
    ///
    /// # Errors
    /// [`RegexError`].
    pub fn parse(text: &str, language: Language, ignore_case: bool) -> Result<Self, RegexError> {
        if text.len() > MOST_WORK {
            return Err(RegexError::TooLarge);
        }
        let ways = text.split('\n').map(|line| {
            let chars: Vec<char> = line.chars().collect();
            let mut parser = RegexParser { chars: &chars, at: 0, language, deep: 0 };
            let (node, _) = parser.ways()?;
            match parser.at == chars.len() {
                true => Ok(node),
                false => Err(RegexError::Unmatched(")")),
            }
        });
        let mut program = Vec::new();
        RegexNode::Ways(ways.collect::<Result<_, _>>()?).write(&mut program, &mut 0)?;
        program.push(Instruction::Found);
        Ok(Self { program, ignore_case })
    }

    /// Returns whether some part of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let mut now = Steps::new(self.program.len());
        let mut next = Steps::new(self.program.len());
        let mut before = None;
        let mut chars = text.chars();
        loop {
            let after = chars.clone().next();
            // A match may begin anywhere.
            if self.follow(0, before, after, &mut now) {
                return true;
            }
            let Some(c) = chars.next() else { return false };
            let then = chars.clone().next();
            next.clear();
            for &at in &now.list {
                if matches!(&self.program[at], Instruction::Take(set) if set.has(c, self.ignore_case))
                    && self.follow(at + 1, Some(c), then, &mut next)
                {
                    return true;
                }
            }
            core::mem::swap(&mut now, &mut next);
            before = Some(c);
        }
    }

    /// Adds the steps that take a character and that `from` leads to, between these two characters; true if
    /// it leads to the end.
    fn follow(&self, from: usize, before: Option<char>, after: Option<char>, to: &mut Steps) -> bool {
        let mut todo = core::mem::take(&mut to.todo);
        todo.push(from);
        let mut found = false;
        while let Some(at) = todo.pop() {
            if core::mem::replace(&mut to.seen[at], to.round) == to.round {
                continue;
            }
            match &self.program[at] {
                Instruction::Take(_) => to.list.push(at),
                Instruction::At(place) if place.is(before, after) => todo.push(at + 1),
                Instruction::At(_) => {}
                Instruction::Split(here, there) => {
                    todo.extend([*here, *there].map(|by| at.saturating_add_signed(by)));
                }
                Instruction::Found => found = true,
            }
        }
        to.todo = todo;
        found
    }
}

/// Steps that wait for a character.
struct Steps {
    list: Vec<usize>,
    /// In which round each step was come to last.
    seen: Vec<u64>,
    round: u64,
    todo: Vec<usize>,
}

impl Steps {
    fn new(len: usize) -> Self {
        Self { list: Vec::new(), seen: alloc::vec![0; len], round: 1, todo: Vec::new() }
    }

    fn clear(&mut self) {
        self.list.clear();
        self.round += 1;
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

impl Assertion {
    fn is(self, before: Option<char>, after: Option<char>) -> bool {
        match self {
            Self::Start => before.is_none(),
            Self::End => after.is_none(),
            Self::Boundary(wanted) => (is_word(before) != is_word(after)) == wanted,
            Self::WordStart => !is_word(before) && is_word(after),
            Self::WordEnd => is_word(before) && !is_word(after),
        }
    }
}

impl Set {
    fn has(&self, c: char, ignore_case: bool) -> bool {
        match self {
            Self::One(wanted) => same(*wanted, c, ignore_case),
            Self::Any => true,
            Self::Word(wanted) => is_word(Some(c)) == *wanted,
            Self::Space(wanted) => c.is_whitespace() == *wanted,
            Self::Bracket(chars) => bracket(chars, 0, c, ignore_case).is_some_and(|(has, _)| has),
        }
    }
}

enum RegexNode {
    Take(Set),
    At(Assertion),
    Row(Vec<RegexNode>),
    /// One of these.
    Ways(Vec<RegexNode>),
    /// So often at least, and at most.
    Times(Box<RegexNode>, usize, Option<usize>),
}

impl RegexNode {
    /// Returns the node repeated so often, and whether it is deeper than before: `a**` is `a*`.
    fn times(self, least: usize, most: Option<usize>) -> (Self, bool) {
        match self {
            Self::Times(node, inner @ (0 | 1), None) if most != Some(0) => {
                (Self::Times(node, inner * least, None), false)
            }
            Self::Times(node, 0, Some(1)) => (Self::Times(node, 0, most), false),
            node => (Self::Times(Box::new(node), least, most), true),
        }
    }

    /// Appends the steps, and counts the work.
    fn write(&self, program: &mut Vec<Instruction>, work: &mut usize) -> Result<(), RegexError> {
        *work += match self {
            Self::Take(Set::Bracket(chars)) => chars.len(),
            _ => 1,
        };
        if program.len() >= MOST_STEPS || *work > MOST_WORK {
            return Err(RegexError::TooLarge);
        }
        match self {
            Self::Take(set) => program.push(Instruction::Take(set.clone())),
            Self::At(place) => program.push(Instruction::At(*place)),
            Self::Row(nodes) => nodes.iter().try_for_each(|node| node.write(program, work))?,
            Self::Ways(nodes) => {
                // split (this, next); this; to the end: for all but the last.
                let mut ends = Vec::new();
                for (number, node) in nodes.iter().enumerate() {
                    let split = program.len();
                    let last = number + 1 == nodes.len();
                    if !last {
                        program.push(Instruction::Split(1, 1));
                    }
                    node.write(program, work)?;
                    if !last {
                        ends.push(program.len());
                        program.push(Instruction::Split(1, 1));
                        program[split] = Instruction::Split(1, distance(split, program.len()));
                    }
                }
                for end in ends {
                    let by = distance(end, program.len());
                    program[end] = Instruction::Split(by, by);
                }
            }
            Self::Times(node, least, most) => {
                for _ in 0..*least {
                    node.write(program, work)?;
                }
                match most {
                    None => {
                        let split = program.len();
                        program.push(Instruction::Split(1, 1));
                        node.write(program, work)?;
                        program.push(Instruction::Split(distance(program.len(), split), 1));
                        program[split] = Instruction::Split(1, distance(split, program.len()));
                    }
                    Some(most) => {
                        let mut splits = Vec::new();
                        for _ in *least..*most {
                            splits.push(program.len());
                            program.push(Instruction::Split(1, 1));
                            node.write(program, work)?;
                        }
                        for split in splits {
                            program[split] = Instruction::Split(1, distance(split, program.len()));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// From one step to another: a program is short.
fn distance(from: usize, to: usize) -> isize {
    to as isize - from as isize
}

struct RegexParser<'a> {
    chars: &'a [char],
    at: usize,
    language: Language,
    deep: usize,
}

/// What an operator is, in whatever way it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Open,
    Close,
    Or,
    Star,
    Plus,
    Question,
    Brace,
}

impl RegexParser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    /// Returns the operator that comes next, and how many characters it has.
    fn operator(&self) -> Option<(Operator, usize)> {
        let c = *self.chars.get(self.at)?;
        let (c, len) = match (self.language, c) {
            (Language::Fixed, _) => return None,
            (_, '*') => return Some((Operator::Star, 1)),
            (Language::Basic, '\\') => (*self.chars.get(self.at + 1)?, 2),
            (Language::Basic, _) => return None,
            (Language::Extended, c) => (c, 1),
        };
        let operator = match c {
            '(' => Operator::Open,
            ')' => Operator::Close,
            '|' => Operator::Or,
            '+' => Operator::Plus,
            '?' => Operator::Question,
            '{' => Operator::Brace,
            _ => return None,
        };
        Some((operator, len))
    }

    fn skip(&mut self, wanted: Operator) -> bool {
        match self.operator() {
            Some((operator, len)) if operator == wanted => {
                self.at += len;
                true
            }
            _ => false,
        }
    }

    /// Returns rows, and how deep groups and repetitions are in each other.
    fn ways(&mut self) -> Result<(RegexNode, usize), RegexError> {
        let (row, mut deepest) = self.row()?;
        let mut ways = Vec::from([row]);
        while self.skip(Operator::Or) {
            let (row, deep) = self.row()?;
            ways.push(row);
            deepest = deepest.max(deep);
        }
        Ok((RegexNode::Ways(ways), deepest))
    }

    fn row(&mut self) -> Result<(RegexNode, usize), RegexError> {
        let mut row: Vec<RegexNode> = Vec::new();
        // How deep the last node is, and the deepest.
        let (mut deep, mut deepest) = (0, 0);
        // Only places so far: what says how often means itself here.
        let mut start = true;
        loop {
            match self.operator() {
                Some((Operator::Or | Operator::Close, _)) => break,
                Some((Operator::Open, len)) => {
                    self.at += len;
                    self.deep += 1;
                    if self.deep > MOST_DEEP {
                        return Err(RegexError::TooLarge);
                    }
                    let (group, inside) = self.ways()?;
                    if !self.skip(Operator::Close) {
                        return Err(RegexError::Unmatched("("));
                    }
                    self.deep -= 1;
                    row.push(group);
                    deep = inside + 1;
                    start = false;
                }
                Some((
                    operator @ (Operator::Star | Operator::Plus | Operator::Question | Operator::Brace),
                    len,
                )) if !start => {
                    self.at += len;
                    let (least, most) = match operator {
                        Operator::Star => (0, None),
                        Operator::Plus => (1, None),
                        Operator::Question => (0, Some(1)),
                        _ => self.counts()?,
                    };
                    if let Some(node) = row.pop() {
                        let (node, deeper) = node.times(least, most);
                        row.push(node);
                        deep += usize::from(deeper);
                    }
                }
                _ => {
                    let Some(node) = self.one(start)? else { break };
                    start &= matches!(node, RegexNode::At(Assertion::Start));
                    row.push(node);
                    deep = 0;
                }
            }
            deepest = deepest.max(deep);
            if deepest > MOST_DEEP {
                return Err(RegexError::TooLarge);
            }
        }
        Ok((RegexNode::Row(row), deepest))
    }

    /// Returns a character, a bracket expression or a place.
    fn one(&mut self, start: bool) -> Result<Option<RegexNode>, RegexError> {
        let Some(c) = self.next() else { return Ok(None) };
        let extended = self.language == Language::Extended;
        let node = match c {
            _ if self.language == Language::Fixed => RegexNode::Take(Set::One(c)),
            '.' => RegexNode::Take(Set::Any),
            '[' => RegexNode::Take(Set::Bracket(self.bracket()?)),
            '^' if start || extended => RegexNode::At(Assertion::Start),
            '$' if extended || self.ends() => RegexNode::At(Assertion::End),
            '\\' => match self.next().ok_or(RegexError::TrailingBackslash)? {
                'w' => RegexNode::Take(Set::Word(true)),
                'W' => RegexNode::Take(Set::Word(false)),
                's' => RegexNode::Take(Set::Space(true)),
                'S' => RegexNode::Take(Set::Space(false)),
                'b' => RegexNode::At(Assertion::Boundary(true)),
                'B' => RegexNode::At(Assertion::Boundary(false)),
                '<' => RegexNode::At(Assertion::WordStart),
                '>' => RegexNode::At(Assertion::WordEnd),
                digit @ '1'..='9' => return Err(RegexError::BackReference(digit)),
                c => RegexNode::Take(Set::One(c)),
            },
            c => RegexNode::Take(Set::One(c)),
        };
        Ok(Some(node))
    }

    /// Returns whether a basic expression, or a group or way of it, ends here.
    fn ends(&self) -> bool {
        self.at == self.chars.len() || matches!(self.operator(), Some((Operator::Close | Operator::Or, _)))
    }

    /// Returns a bracket expression after its `[`. In one of POSIX's a backslash means itself, and so does
    /// `!`.
    fn bracket(&mut self) -> Result<Vec<char>, RegexError> {
        let mut out = Vec::new();
        let mut first = true;
        loop {
            let c = self.next().ok_or(RegexError::Unmatched("["))?;
            match c {
                '^' if out.is_empty() => {
                    out.push('^');
                    continue;
                }
                ']' if !first => {
                    out.push(']');
                    return Ok(out);
                }
                '[' if self.chars.get(self.at) == Some(&':') => {
                    let rest = &self.chars[self.at..];
                    let end = rest.windows(2).skip(1).position(|two| two == [':', ']']);
                    let end = end.ok_or(RegexError::Unmatched("[:"))? + 3;
                    out.push('[');
                    out.extend_from_slice(&rest[..end]);
                    self.at += end;
                }
                '\\' | '!' | '^' => out.extend(['\\', c]),
                c => out.push(c),
            }
            first = false;
        }
    }

    /// Parses `N}`, `N,}`, `,M}` or `N,M}`, after the brace.
    fn counts(&mut self) -> Result<(usize, Option<usize>), RegexError> {
        let end = if self.language == Language::Basic { "\\}" } else { "}" };
        let rest: String = self.chars[self.at..].iter().collect();
        let (inside, _) = rest.split_once(end).ok_or(RegexError::Unmatched("{"))?;
        self.at += inside.chars().count() + end.len();
        let number = |text: &str| text.parse::<usize>().map_err(|_| RegexError::BadCount);
        let (least, most) = match inside.split_once(',') {
            None => number(inside).map(|times| (times, Some(times)))?,
            Some((least, "")) => (number(least)?, None),
            Some(("", most)) => (0, Some(number(most)?)),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        if most.is_some_and(|most| most < least) {
            return Err(RegexError::BadCount);
        }
        match least.max(most.unwrap_or(0)) > MOST_TIMES {
            true => Err(RegexError::TooLarge),
            false => Ok((least, most)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn found(pattern: &str, language: Language, line: &str) -> bool {
        Regex::parse(pattern, language, false).unwrap().matches(line)
    }

    /// Pattern, line, whether grep finds it as a basic expression and as an extended one.
    const CASES: &[(&str, &str, bool, bool)] = &[
        ("", "x", true, true),
        ("^user\\.", "user.a", true, true),
        ("^user\\.", "userxa", false, false),
        ("^user\\.", "trusted.user.a", false, false),
        ("a$", "ab", false, false),
        ("^$", "", true, true),
        ("^a*$", "aab", false, false),
        ("b.*d", "abcd", true, true),
        ("a+b", "aab", false, true),
        ("a+b", "a+b", true, false),
        ("a\\+b", "aab", true, false),
        ("a\\+b", "a+b", false, true),
        ("x|y", "y", false, true),
        ("x\\|y", "y", true, false),
        ("^(a|bc)*$", "abcbca", false, true),
        ("\\(ab\\)\\{2\\}", "abab", true, false),
        ("^(ab){2,3}$", "ababab", false, true),
        ("^(ab){2,3}$", "abababab", false, false),
        ("^a{2,}b{,1}$", "aaa", false, true),
        ("*a", "*a", true, true),
        ("^*a", "*a", true, true),
        ("a*^b", "a^b", true, false),
        ("a$b", "a$b", true, false),
        ("\\(^a\\)b$", "ab", true, false),
        ("(a$|b)", "ba", false, true),
        ("[]a]x", "]x", true, true),
        ("[^]a]x", "]x", false, false),
        ("[^a]x", "bx", true, true),
        ("[a\\]", "\\", true, true),
        ("[!a]", "a", true, true),
        ("[a^]", "^", true, true),
        ("[a-c-]", "-", true, true),
        ("[[:digit:]]x", "7x", true, true),
        ("[[:upper:][:digit:]_]$", "A", true, true),
        ("\\<two\\>", "one two", true, true),
        ("\\<wo", "one two", false, false),
        ("\\bt\\w*", "one two", true, true),
        ("e\\Sw|e\\s+t", "one  two", false, true),
        ("#a b", "#a b", true, true),
        ("caf.$", "caf\u{e9}", true, true),
        ("(a*)*b", "aab", false, true),
        ("(a*)+$", "b", false, true),
        ("^a**$", "aaa", true, true),
        ("^a+?$", "", false, true),
        ("^a?{2,3}$", "aaa", false, true),
        ("^a?{2,3}$", "aaaa", false, false),
        ("^a+{2}$", "a", false, false),
        ("^a+{2}$", "aaa", false, true),
        ("^a*{0}$", "a", false, false),
        ("^a{2}*$", "aaa", false, false),
        ("^a{2,}*$", "a", false, false),
        ("^(){2}$", "", false, true),
        ("[ -!]", "!", true, true),
        ("^[ -!]$", "\\", false, false),
        ("^[X-^]$", "Z", true, true),
        ("^[X-\\]$", "\\", true, true),
    ];

    #[test]
    fn basic_and_extended_expressions_match_as_greps_do() {
        for (pattern, line, basic, extended) in CASES {
            assert_eq!(found(pattern, Language::Basic, line), *basic, "basic {pattern} {line}");
            assert_eq!(found(pattern, Language::Extended, line), *extended, "extended {pattern} {line}");
        }
    }

    #[test]
    fn fixed_strings_several_patterns_and_either_case() {
        assert!(found("a.*[\\", Language::Fixed, "xa.*[\\y") && !found("a.*[", Language::Fixed, "aaa["));
        assert!(found("x\ny", Language::Basic, "y") && !found("x\ny", Language::Fixed, "z"));
        let any_case = |pattern, line| Regex::parse(pattern, Language::Basic, true).unwrap().matches(line);
        assert!(any_case("Ab", "xaB") && any_case("[a-c]É", "Bé") && !any_case("a", "b"));
    }

    #[test]
    fn what_is_no_expression_says_why() {
        let error = |pattern: &str, language| Regex::parse(pattern, language, false).unwrap_err().to_string();
        assert_eq!(error("[a", Language::Basic), "unmatched [");
        assert_eq!(error("a\\", Language::Basic), "trailing backslash");
        assert_eq!(error("\\(a\\)\\1", Language::Basic), "\\1: back-references are not supported");
        assert_eq!(error("(a", Language::Extended), "unmatched (");
        assert_eq!(error("a\\)", Language::Basic), "unmatched )");
        assert_eq!(error("a)", Language::Extended), "unmatched )");
        assert_eq!(error("a{2,1}", Language::Extended), "bad numbers between braces");
        assert_eq!(error("a{x}", Language::Extended), "bad numbers between braces");
        let large = "the regular expression is too large";
        assert_eq!(error("((a{200}){200}){200}", Language::Extended), large);
        assert_eq!(error(&("(".repeat(60) + &")".repeat(60)), Language::Extended), large);
        assert_eq!(error(&("(){255}".to_string() + &"{255}".repeat(5)), Language::Extended), large);
        assert_eq!(error(&("^".to_string() + &"(|){0,255}".repeat(900)), Language::Extended), large);
        assert_eq!(error(&("a".to_string() + &"{1,2}".repeat(20_000)), Language::Extended), large);
        let deep = "(".repeat(45) + "a" + &"{1,2}".repeat(20) + &")".repeat(45);
        assert_eq!(error(&deep, Language::Extended), large);
        assert_eq!(error(&("[".to_string() + &"a".repeat(2000) + "]{255}"), Language::Extended), large);
        assert_eq!(error(&"a".repeat(1 << 20), Language::Fixed), large);
    }

    #[test]
    fn no_expression_takes_long() {
        assert!(!found(&("a*".repeat(200) + "b"), Language::Basic, &"a".repeat(5000)));
        assert!(!found("(a*)*(a|a)*b", Language::Extended, &"a".repeat(5000)));
        // On a stack that is small.
        let any = "a".to_string() + &"*+?".repeat(20_000) + "$";
        assert!(found(&any, Language::Extended, "aaa"));
    }
}
