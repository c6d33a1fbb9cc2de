//! A script into commands, and a command into words, by the grammar and the quoting rules of the POSIX shell.
//!
//! ```text
//! script     list, `;` or `&` or a newline after each; `&`: nobody waits for it
//! list       pipeline && pipeline || pipeline: from the left, each if what came before it went well, or did not
//! pipeline   command | command: each reads what the one before it wrote
//! command    words, NAME=value alone, < FILE, > FILE, >> FILE
//! ```
//!
//! Words end at blanks (a carriage return is one, for scripts with CRLF). `'...'` quotes everything, `"..."`
//! everything but variables and `\"`, `\\`, `\$`, `` \` `` and backslash-newline, a backslash the next
//! character; backslash-newline joins lines. `#` at the start of a word begins a comment. `''` is an empty
//! word. `$NAME`, `${NAME}` and `$?` are variables; what becomes of them, and of patterns, is in
//! [`expand`](super::expand).
//!
//! Everything else that a POSIX shell has is an error that names it: `$(...)`, `` `...` ``, `if`, `for`,
//! here-documents, redirections of numbers. `~` and braces stand for themselves.
//!
//! Reference: POSIX.1-2024, XCU 2.2 "Quoting", 2.3 "Token Recognition", 2.10 "Shell Grammar".

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Pipelines, each run or not by how the one before it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AndOrList {
    /// At least one; the first has [`Join::Always`].
    pub pipelines: Vec<Pipeline>,
    /// `&` follows: nobody waits for it.
    pub background: bool,
}

/// Commands, each of which reads what the one before it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// What the pipeline depends on.
    pub join: Join,
    /// At least one.
    pub commands: Vec<SimpleCommand>,
}

/// When a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// In any case.
    Always,
    /// `&&`: if what came before it went well.
    IfWell,
    /// `||`: if it did not.
    IfNot,
}

/// One command of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimpleCommand {
    /// The command's words. Without any, there are assignments.
    pub words: Vec<Word>,
    /// `NAME=value`; only if there are no words.
    pub assignments: Vec<(String, Word)>,
    /// The command's text in the script, from the first word to the last.
    pub source: String,
    /// Where `source` starts in the script, in bytes.
    pub start: usize,
    /// `< FILE`: where its input comes from. Of several, the last counts.
    pub input: Option<Word>,
    /// Where the command's output goes, if not to the terminal.
    pub redirect: Option<Redirect>,
}

/// `> FILE` or `>> FILE`. Of several, the last counts, and the others are not even made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The file's name.
    pub file: Word,
    /// `>>`: what is in the file stays.
    pub append: bool,
}

/// A word, and what of it is quoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    pub(crate) parts: Vec<WordPart>,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WordPart {
    Text { text: String, quoted: bool },
    Variable { name: String, quoted: bool },
}

impl Word {
    /// Returns the word's text, without quotes; variables are not looked up.
    pub fn text(&self) -> String {
        let mut all = String::new();
        for part in &self.parts {
            match part {
                WordPart::Text { text, .. } => all.push_str(text),
                WordPart::Variable { name, .. } => all.extend(["$", name]),
            }
        }
        all
    }

    /// Adds text.
    fn push(&mut self, c: &str, quote: bool) {
        match self.parts.last_mut() {
            Some(WordPart::Text { text, quoted }) if *quoted == quote => text.push_str(c),
            _ => self.parts.push(WordPart::Text { text: c.into(), quoted: quote }),
        }
    }

    /// Returns the word's text, if nothing of it is quoted and no variable is in it.
    fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [WordPart::Text { text, quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// Returns the name and the value of `NAME=value`.
    fn assignment(&self) -> Option<(String, Self)> {
        let Some(WordPart::Text { text, quoted: false }) = self.parts.first() else { return None };
        let (name, value) = text.split_once('=').filter(|(name, _)| is_name(name))?;
        let mut parts = self.parts.clone();
        parts[0] = WordPart::Text { text: value.into(), quoted: false };
        Some((name.into(), Self { parts }))
    }
}

/// Whether a variable can be called so.
fn is_name(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What begins something that this shell has not, as the first word of a command.
const KEYWORDS: [&str; 18] = [
    "if", "then", "else", "elif", "fi", "for", "do", "done", "while", "until", "case", "esac", "function",
    "select", "{", "}", "!", "[[",
];

/// Why a script cannot be split, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordsError {
    /// What is wrong.
    pub kind: WordsErrorKind,
    /// The line of the script, from 1.
    pub line: usize,
    /// The column in that line, in bytes, from 1: of the opening quote, the backslash or the operator.
    pub column: usize,
}

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordsErrorKind {
    /// The quote (`'` or `"`) is not closed.
    Unterminated(char),
    /// The script ends in a backslash that quotes nothing.
    TrailingBackslash,
    /// The shell has no such operator, expansion or keyword.
    Unsupported(String),
    /// No file's name follows this operator.
    NoFile(&'static str),
    /// There is a redirection, but no command.
    NoCommand,
    /// This operator follows no command.
    NothingBefore(&'static str),
    /// No command follows this operator.
    NothingAfter(&'static str),
    /// A command follows `NAME=value`.
    CommandAfterAssignment,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            WordsErrorKind::Unterminated(quote) => write!(f, "unterminated {quote}")?,
            WordsErrorKind::TrailingBackslash => write!(f, "nothing after \\")?,
            WordsErrorKind::Unsupported(what) => write!(f, "{what} is not supported")?,
            WordsErrorKind::NoFile(operator) => write!(f, "no file after {operator}")?,
            WordsErrorKind::NoCommand => write!(f, "no command for the redirection")?,
            WordsErrorKind::NothingBefore(operator) => write!(f, "no command before {operator}")?,
            WordsErrorKind::NothingAfter(operator) => write!(f, "no command after {operator}")?,
            WordsErrorKind::CommandAfterAssignment => {
                write!(f, "a command after NAME=value is not supported (put ; between them)")?;
            }
        }
        match self.line {
            1 => write!(f, " at column {}", self.column),
            line => write!(f, " at line {line}, column {}", self.column),
        }
    }
}

impl core::error::Error for WordsError {}

/// Splits a script. Commands without words are left out. Fails as a whole, so that no half of a script is
/// run.
///
/// # Errors
/// What the shell does not have, and what makes no sense, with the place.
pub fn split(script: &str) -> Result<Vec<AndOrList>, WordsError> {
    ScriptParser {
        lexer: Lexer { script, at: 0, plain: false },
        lists: Vec::new(),
        list: AndOrList::default(),
        next: None,
    }
    .run()
    .map_err(|mistake| mistake.locate(script))
}

/// Splits a line of a language without operators, variables and patterns into commands, at `;` and newlines,
/// and these into words, unquoted.
///
/// # Errors
/// An open quote, or an operator of the shell.
pub fn plain(script: &str) -> Result<Vec<Vec<String>>, WordsError> {
    let mut lexer = Lexer { script, at: 0, plain: true };
    let mut commands: Vec<Vec<String>> = Vec::new();
    let mut open = false;
    loop {
        let start = lexer.at;
        match lexer.next().map_err(|mistake| mistake.locate(script))? {
            None => return Ok(commands),
            Some(Token::Word { word, .. }) => match commands.last_mut().filter(|_| open) {
                Some(command) => command.push(word.text()),
                None => {
                    commands.push([word.text()].into());
                    open = true;
                }
            },
            Some(Token::Separator | Token::Newline | Token::Comment) => open = false,
            Some(Token::Operator { operator, .. }) => {
                let at = start + script[start..].find(operator).unwrap_or(0);
                return Err(
                    SyntaxMistake::new(WordsErrorKind::Unsupported(operator.into()), at).locate(script)
                );
            }
        }
    }
}

/// Puts tokens together.
struct ScriptParser<'a> {
    lexer: Lexer<'a>,
    lists: Vec<AndOrList>,
    /// The list that is being read.
    list: AndOrList,
    /// The operator after which a command must come, and where it is.
    next: Option<(&'static str, usize)>,
}

impl ScriptParser<'_> {
    fn run(mut self) -> Result<Vec<AndOrList>, SyntaxMistake> {
        // What is being read.
        let mut command: Option<SimpleCommand> = None;
        loop {
            let token = self.lexer.next()?;
            let ends = match &token {
                None | Some(Token::Separator | Token::Newline | Token::Comment) => true,
                Some(Token::Operator { operator, .. }) => matches!(*operator, "&&" | "||" | "|" | "&"),
                Some(Token::Word { .. }) => false,
            };
            if ends && let Some(command) = command.take() {
                self.add(command)?;
            }
            match token {
                None => {
                    self.end(false)?;
                    return Ok(self.lists);
                }
                // After an operator a command may come on a line of its own.
                Some(Token::Newline | Token::Comment) if self.next.is_some() => {}
                Some(Token::Separator | Token::Newline | Token::Comment) => self.end(false)?,
                Some(Token::Operator { operator: operator @ (">" | ">>" | "<"), start }) => {
                    let file = match self.lexer.next()? {
                        Some(Token::Word { word, .. }) => word,
                        _ => return Err(SyntaxMistake::new(WordsErrorKind::NoFile(operator), start)),
                    };
                    let command =
                        command.get_or_insert_with(|| SimpleCommand { start, ..SimpleCommand::default() });
                    match operator {
                        "<" => command.input = Some(file),
                        _ => command.redirect = Some(Redirect { file, append: operator == ">>" }),
                    }
                    command.source = self.lexer.since(command.start);
                }
                Some(Token::Operator { operator, start }) => {
                    if self.list.pipelines.is_empty() || self.next.is_some() {
                        return Err(SyntaxMistake::new(WordsErrorKind::NothingBefore(operator), start));
                    }
                    match operator {
                        "&" => self.end(true)?,
                        _ => self.next = Some((operator, start)),
                    }
                }
                Some(Token::Word { word, start }) => {
                    let command =
                        command.get_or_insert_with(|| SimpleCommand { start, ..SimpleCommand::default() });
                    if command.words.is_empty()
                        && let Some(keyword) = word.plain().filter(|word| KEYWORDS.contains(word))
                    {
                        return Err(SyntaxMistake::new(WordsErrorKind::Unsupported(keyword.into()), start));
                    }
                    match word.assignment().filter(|_| command.words.is_empty()) {
                        Some(assignment) => command.assignments.push(assignment),
                        None if command.assignments.is_empty() => command.words.push(word),
                        None => {
                            return Err(SyntaxMistake::new(WordsErrorKind::CommandAfterAssignment, start));
                        }
                    }
                    command.source = self.lexer.since(command.start);
                }
            }
        }
    }

    /// Adds the command that was read, which is at its end.
    fn add(&mut self, command: SimpleCommand) -> Result<(), SyntaxMistake> {
        let redirected = command.input.is_some() || command.redirect.is_some();
        if command.words.is_empty() && (redirected || command.assignments.is_empty()) {
            return Err(SyntaxMistake::new(WordsErrorKind::NoCommand, command.start));
        }
        let join = match self.next.take() {
            Some(("|", _)) => {
                if let Some(pipeline) = self.list.pipelines.last_mut() {
                    pipeline.commands.push(command);
                }
                return Ok(());
            }
            Some(("&&", _)) => Join::IfWell,
            Some(_) => Join::IfNot,
            None => Join::Always,
        };
        self.list.pipelines.push(Pipeline { join, commands: [command].into() });
        Ok(())
    }

    /// Adds the list that was read, which is at its end.
    fn end(&mut self, background: bool) -> Result<(), SyntaxMistake> {
        if let Some((operator, at)) = self.next {
            return Err(SyntaxMistake::new(WordsErrorKind::NothingAfter(operator), at));
        }
        let list = core::mem::take(&mut self.list);
        if !list.pipelines.is_empty() {
            self.lists.push(AndOrList { background, ..list });
        }
        Ok(())
    }
}

/// Quotes a word so that [`split`] gives it back; returns a word that needs no quotes as it is.
pub fn quote(word: &str) -> String {
    let means_more = KEYWORDS.contains(&word) || word.split_once('=').is_some_and(|(name, _)| is_name(name));
    if !word.is_empty() && word.chars().all(is_plain) && !means_more {
        return word.into();
    }
    let mut quoted = String::new();
    if word.contains('\'') {
        quoted.push('"');
        for c in word.chars() {
            if matches!(c, '"' | '\\' | '$' | '`') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
    } else {
        quoted.push('\'');
        quoted.push_str(word);
        quoted.push('\'');
    }
    quoted
}

/// Quotes a word with backslashes, so that more can be typed after it. A newline cannot be quoted like this
/// and stays.
pub(crate) fn escape(word: &str) -> String {
    let mut escaped = String::new();
    for c in word.chars() {
        if !is_plain(c) && c != '\n' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Characters that mean nothing to this shell nor, as a courtesy to who pastes them, to others.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:,+=@%^".contains(c) || (!c.is_ascii() && !c.is_control())
}

/// The word at the end of a line that is still being typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LastWord {
    /// The words of the same command before the last one.
    pub(crate) before: Vec<String>,
    /// Where the last word starts, in bytes; the line's length if no word has been begun.
    pub(crate) start: usize,
    /// What the last word says so far, unquoted.
    pub(crate) text: String,
}

/// Finds the word that ends at the end of `line`, whose quotes may still be open. `None` inside a comment.
pub(crate) fn last_word(line: &str) -> Option<LastWord> {
    let mut lexer = Lexer { script: line, at: 0, plain: false };
    let mut last = LastWord::default();
    loop {
        match lexer.next() {
            Ok(Some(Token::Word { start, word })) if lexer.at == line.len() => {
                return Some(LastWord { start, text: word.text(), ..last });
            }
            Ok(Some(Token::Word { word, .. })) => last.before.push(word.text()),
            // The file's name is a word after the command's: a path, in any case.
            Ok(Some(Token::Operator { operator: operator @ ("<" | ">" | ">>"), .. })) => {
                last.before.push(operator.into());
            }
            Ok(Some(Token::Comment)) if lexer.at == line.len() => return None,
            Ok(Some(Token::Separator | Token::Newline | Token::Operator { .. })) => last.before.clear(),
            Ok(Some(Token::Comment)) => {}
            Ok(None) => return Some(LastWord { start: line.len(), ..last }),
            Err(mistake) => match mistake.word {
                Some((start, word)) => return Some(LastWord { start, text: word.text(), ..last }),
                None => last.before.clear(), // an operator: a command could follow it
            },
        }
    }
}

enum Token {
    Word { start: usize, word: Word },
    Operator { start: usize, operator: &'static str },
    Separator,
    Newline,
    Comment,
}

struct SyntaxMistake {
    kind: WordsErrorKind,
    at: usize,
    /// Where the unfinished word starts, and what it says so far.
    word: Option<(usize, Word)>,
}

impl SyntaxMistake {
    fn new(kind: WordsErrorKind, at: usize) -> Self {
        Self { kind, at, word: None }
    }

    fn locate(self, script: &str) -> WordsError {
        let before = script.get(..self.at).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        WordsError { kind: self.kind, line, column: self.at - line_start + 1 }
    }
}

/// Reads tokens from `at` on; after each, `at` is its end. Goes on after an operator that is not supported.
struct Lexer<'a> {
    script: &'a str,
    at: usize,
    /// There are no variables: `$` and `` ` `` are text.
    plain: bool,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.script.get(self.at..).unwrap_or_default()
    }

    /// Returns what was read from byte `start` on.
    fn since(&self, start: usize) -> String {
        self.script.get(start..self.at).unwrap_or_default().into()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn skip_joint(&mut self) -> bool {
        self.skip("\\\n") || self.skip("\\\r\n")
    }

    fn next(&mut self) -> Result<Option<Token>, SyntaxMistake> {
        while self.skip_joint() || [" ", "\t", "\r"].iter().any(|blank| self.skip(blank)) {}
        let start = self.at;
        match self.rest().chars().next() {
            None => Ok(None),
            Some(';') => {
                self.at += 1;
                Ok(Some(Token::Separator))
            }
            Some('\n') => {
                self.at += 1;
                Ok(Some(Token::Newline))
            }
            Some('#') => {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                Ok(Some(Token::Comment))
            }
            _ => match self.operator() {
                Some(operator @ ("&&" | "||" | "|" | "&" | "<" | ">" | ">>")) => {
                    Ok(Some(Token::Operator { start, operator }))
                }
                Some(operator) => {
                    Err(SyntaxMistake::new(WordsErrorKind::Unsupported(operator.into()), start))
                }
                None => self.word(start).map(Some),
            },
        }
    }

    fn operator(&mut self) -> Option<&'static str> {
        const OPERATORS: [&str; 17] =
            ["&&", "&>", "||", "|&", "<<", "<&", "<>", "<(", ">>", ">&", ">|", ">(", "&", "|", "<", ">", "("];
        OPERATORS.into_iter().chain([")"]).find(|operator| self.skip(operator))
    }

    fn word(&mut self, start: usize) -> Result<Token, SyntaxMistake> {
        let mut word = Word::default();
        loop {
            if self.skip_joint() {
                continue;
            }
            let at = self.at;
            let next = self.rest().chars().next();
            if matches!(next, None | Some(' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')'))
            {
                // `2>`: a number that touches the operator is no word.
                if matches!(next, Some('<' | '>'))
                    && self.since(start).bytes().all(|byte| byte.is_ascii_digit())
                    && let Some(c) = next
                {
                    let kind = WordsErrorKind::Unsupported(alloc::format!("{}{c}", word.text()));
                    return Err(SyntaxMistake::new(kind, start));
                }
                return Ok(Token::Word { start, word });
            }
            let done = match self.bump() {
                Some('\\') => match self.bump() {
                    Some(c) => {
                        word.push(c.encode_utf8(&mut [0; 4]), true);
                        Ok(())
                    }
                    None => Err(WordsErrorKind::TrailingBackslash),
                },
                Some('\'') => {
                    let mut text = String::new();
                    let closed = self.single_quoted(&mut text);
                    word.push(&text, true);
                    closed.ok_or(WordsErrorKind::Unterminated('\''))
                }
                Some('"') => self.double_quoted(&mut word),
                Some('$') if !self.plain => self.dollar(&mut word, false),
                Some('`') if !self.plain => Err(WordsErrorKind::Unsupported("`".into())),
                c => {
                    let text: String = c.into_iter().collect();
                    word.push(&text, false);
                    Ok(())
                }
            };
            if let Err(kind) = done {
                return Err(SyntaxMistake { kind, at, word: Some((start, word)) });
            }
        }
    }

    /// Reads what stands after a `$`.
    fn dollar(&mut self, word: &mut Word, quoted: bool) -> Result<(), WordsErrorKind> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let unsupported = |what: &str| Err(WordsErrorKind::Unsupported(what.into()));
        let name = match rest.chars().next() {
            Some('{') => {
                let Some(end) = rest.find('}') else { return Err(WordsErrorKind::Unterminated('{')) };
                let name = rest[1..end].to_owned();
                if !is_name(&name) && name != "?" {
                    return unsupported(&alloc::format!("${}", &rest[..=end]));
                }
                self.at += end + 1;
                name
            }
            Some('?') => {
                self.at += 1;
                "?".to_string()
            }
            Some('(') if rest.starts_with("((") => return unsupported("$(("),
            Some('(') => return unsupported("$("),
            Some(c @ ('\'' | '"')) if !quoted => return unsupported(&alloc::format!("${c}")),
            Some(c @ ('0'..='9' | '@' | '*' | '#' | '$' | '!' | '-')) => {
                return unsupported(&alloc::format!("${c}"));
            }
            _ if len > 0 => {
                let name = rest[..len].to_owned();
                self.at += len;
                name
            }
            _ => {
                word.push("$", quoted);
                return Ok(());
            }
        };
        word.parts.push(WordPart::Variable { name, quoted });
        Ok(())
    }

    /// Reads up to the closing quote; `None` if the quote is not closed.
    fn single_quoted(&mut self, text: &mut String) -> Option<()> {
        loop {
            match self.bump()? {
                '\'' => return Some(()),
                c => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), WordsErrorKind> {
        // Also an empty one makes a word.
        word.push("", true);
        loop {
            if self.skip_joint() {
                continue;
            }
            match self.bump().ok_or(WordsErrorKind::Unterminated('"'))? {
                '"' => return Ok(()),
                '$' if !self.plain => self.dollar(word, true)?,
                '`' if !self.plain => return Err(WordsErrorKind::Unsupported("`".into())),
                '\\' => match self.rest().chars().next() {
                    Some(c @ ('"' | '\\' | '$' | '`')) => {
                        self.at += 1;
                        word.push(c.encode_utf8(&mut [0; 4]), true);
                    }
                    _ => word.push("\\", true),
                },
                c => word.push(c.encode_utf8(&mut [0; 4]), true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn commands(script: &str) -> Vec<SimpleCommand> {
        let lists = split(script).unwrap();
        lists.into_iter().flat_map(|list| list.pipelines).flat_map(|pipeline| pipeline.commands).collect()
    }

    fn texts(command: &SimpleCommand) -> Vec<String> {
        command.words.iter().map(Word::text).collect()
    }

    fn words(script: &str) -> Vec<Vec<String>> {
        commands(script).iter().map(texts).collect()
    }

    fn text(text: &str) -> Word {
        Word { parts: vec![WordPart::Text { text: text.into(), quoted: false }] }
    }

    fn error(script: &str) -> String {
        split(script).unwrap_err().to_string()
    }

    #[test]
    fn commands_and_words_end_where_they_should() {
        assert_eq!(
            words("ls -l;cat  a\tb ; ;\n\r\necho é"),
            [vec!["ls", "-l"], vec!["cat", "a", "b"], vec!["echo", "é"]]
        );
        assert_eq!(words(" ;; \n"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn quotes_follow_posix() {
        assert_eq!(words(r#"'a b' "c d" e\ f g'h'"i"j"#), [["a b", "c d", "e f", "ghij"]]);
        assert_eq!(words(r#""\" \\ \$ \` \n '" '\ "' \'\""#), [["\" \\ $ ` \\n '", "\\ \"", "'\""]]);
        assert_eq!(words("'a;b\nc' \"d#e\""), [["a;b\nc", "d#e"]]);
    }

    #[test]
    fn empty_words_are_words() {
        assert_eq!(words("echo '' \"\" ''''"), [["echo", "", "", ""]]);
    }

    #[test]
    fn comments_start_only_at_a_word() {
        assert_eq!(words("a b#c # d ; e\nf;#g\n'#' \\#"), [vec!["a", "b#c"], vec!["f"], vec!["#", "#"]]);
        assert_eq!(words("# 'not a quote"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn backslash_newline_joins() {
        assert_eq!(
            words("ec\\\nho a \\\n b \\\r\nc \"d\\\ne\" 'f\\\ng'"),
            [["echo", "a", "b", "c", "de", "f\\\ng"]]
        );
    }

    #[test]
    fn every_command_keeps_its_source() {
        let commands = commands("  ls  -l 'a b'  ; cat x # y");
        assert_eq!((&*commands[0].source, commands[0].start), ("ls  -l 'a b'", 2));
        assert_eq!((&*commands[1].source, commands[1].start), ("cat x", 18));
    }

    #[test]
    fn errors_say_what_and_where() {
        assert_eq!(error("echo 'a"), "unterminated ' at column 6");
        assert_eq!(error("é \"a"), "unterminated \" at column 4");
        assert_eq!(error("a\nb\\"), "nothing after \\ at line 2, column 2");
        assert_eq!(error("a; & b"), "no command before & at column 4");
        assert_eq!(error("a & & b"), "no command before & at column 5");
        assert_eq!(error("a&&"), "no command after && at column 2");
        assert_eq!(error("ls;\n ls|"), "no command after | at line 2, column 4");
        assert_eq!(error("a && ; b"), "no command after && at column 3");
        assert_eq!(error("a | || b"), "no command before || at column 5");
        assert_eq!(error("| b"), "no command before | at column 1");
        assert_eq!(error("a <"), "no file after < at column 3");
        assert_eq!(error("a >& b"), ">& is not supported at column 3");
        assert_eq!(error("a >; b"), "no file after > at column 3");
        assert_eq!(error("a;\nb >> > c"), "no file after >> at line 2, column 3");
        assert_eq!(error("a; > b"), "no command for the redirection at column 4");
        assert_eq!(error("a; x=1 > b"), "no command for the redirection at column 4");
        assert_eq!(error("< b x=1; a"), "no command for the redirection at column 1");
        assert_eq!(error("a\n\"${x"), "unterminated { at line 2, column 1");
        assert_eq!(
            error("x=1 ls"),
            "a command after NAME=value is not supported (put ; between them) at column 5"
        );
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (script, what) in [
            ("(a)", "("),
            ("a <<b", "<<"),
            ("a &> b", "&>"),
            ("a 2> b", "2>"),
            ("a 2>&1", "2>"),
            ("a <(b)", "<("),
            ("a >| b", ">|"),
            ("a |& b", "|&"),
            ("echo $(a)", "$("),
            ("echo \"$((1))\"", "$(("),
            ("echo `a`", "`"),
            ("echo \"`\"", "`"),
            ("echo $1", "$1"),
            ("echo $@", "$@"),
            ("echo ${x:-y}", "${x:-y}"),
            ("echo $'a'", "$'"),
            ("if a", "if"),
            ("a; for x in y", "for"),
            ("a && while b", "while"),
            ("{ a", "{"),
            ("! a", "!"),
            ("[[ a", "[["),
        ] {
            let said = error(script);
            assert!(
                said.starts_with(&alloc::format!("{what} is not supported at column ")),
                "{script}: {said}"
            );
        }
        assert_eq!(
            words("echo if 2 > f; 'if' '`' \\` '$(' \\$1 a$"),
            [vec!["echo", "if", "2"], vec!["if", "`", "`", "$(", "$1", "a$"]]
        );
    }

    #[test]
    fn pipelines_and_lists_are_put_together() {
        let shape = |script: &str| {
            let lists = split(script).unwrap();
            let pipeline = |pipeline: &Pipeline| {
                (pipeline.join, pipeline.commands.iter().map(|c| c.source.clone()).collect())
            };
            lists
                .iter()
                .map(|list| list.pipelines.iter().map(pipeline).collect())
                .collect::<Vec<Vec<(Join, Vec<String>)>>>()
        };
        assert_eq!(
            shape("a x | b|c && d ||\n # why\n e; f"),
            [
                vec![
                    (Join::Always, vec!["a x".into(), "b".into(), "c".into()]),
                    (Join::IfWell, vec!["d".into()]),
                    (Join::IfNot, vec!["e".into()]),
                ],
                vec![(Join::Always, vec!["f".into()])],
            ]
        );
        let lists = split("a && b & c").unwrap();
        assert_eq!((lists[0].background, lists[1].background, lists[0].pipelines.len()), (true, false, 2));
        assert_eq!(commands("cat < f > g")[0].input, Some(text("f")));
    }

    #[test]
    fn variables_and_assignments_are_told_from_text() {
        let parts = |script: &str| commands(script)[0].words[1].parts.clone();
        let variable = |name: &str, quoted| WordPart::Variable { name: name.into(), quoted };
        assert_eq!(parts("echo $ab_1.c"), [variable("ab_1", false), text(".c").parts[0].clone()]);
        assert_eq!(parts("echo \"$?\"")[1], variable("?", true));
        assert_eq!(parts("echo ${x}y")[0], variable("x", false));
        let command = &commands("x=a y=$z _1=")[0];
        let names: Vec<&str> = command.assignments.iter().map(|(name, _)| &**name).collect();
        assert_eq!((names, command.words.len()), (vec!["x", "y", "_1"], 0));
        assert_eq!(words("'x'=1; echo x=1; 1x=2"), [vec!["x=1"], vec!["echo", "x=1"], vec!["1x=2"]]);
    }

    #[test]
    fn a_plain_language_has_no_operators_and_no_variables() {
        assert_eq!(
            plain("pread -v '0 1';b $x `\n# c").unwrap(),
            [vec!["pread", "-v", "0 1"], vec!["b", "$x", "`"]]
        );
        assert_eq!(plain("a &").unwrap_err().to_string(), "& is not supported at column 3");
        assert_eq!(plain("a > b").unwrap_err().to_string(), "> is not supported at column 3");
    }

    #[test]
    fn redirections_are_taken_out_of_the_words() {
        let found = commands("echo a>b d; e 2 >> f > g # h");
        assert_eq!(texts(&found[0]), ["echo", "a", "d"]);
        assert_eq!(found[0].redirect, Some(Redirect { file: text("b"), append: false }));
        assert_eq!(found[0].source, "echo a>b d");
        assert_eq!(texts(&found[1]), ["e", "2"]);
        assert_eq!(found[1].redirect, Some(Redirect { file: text("g"), append: false }));
        assert_eq!(commands("echo > 'b c'")[0].redirect.as_ref().unwrap().file.text(), "b c");
        assert!(commands("echo >>f")[0].redirect.as_ref().unwrap().append);
        assert_eq!(commands("a '>' b")[0].redirect, None);
    }

    #[test]
    fn what_runs_in_the_background_is_marked() {
        let script = "a b& c '&';d > f & # e";
        let background: Vec<bool> = split(script).unwrap().iter().map(|list| list.background).collect();
        assert_eq!(background, [true, false, true]);
        assert_eq!(commands(script)[0].source, "a b");
        assert_eq!(texts(&commands(script)[1]), ["c", "&"]);
    }

    #[test]
    fn quoted_operators_are_text() {
        assert_eq!(words(r#"a'&'b "|<" \> "#), [["a&b", "|<", ">"]]);
    }

    #[test]
    fn quote_uses_the_lightest_quotes() {
        assert_eq!(quote("/a-b.c"), "/a-b.c");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $1"), "\"it's \\$1\"");
        assert_eq!(escape("a b'é"), "a\\ b\\'é");
    }

    #[test]
    fn the_last_word_is_found_in_open_quotes_and_after_operators() {
        let last = |line| last_word(line).map(|last| (last.before.len(), last.start, last.text));
        assert_eq!(last(""), Some((0, 0, "".into())));
        assert_eq!(last("ca"), Some((0, 0, "ca".into())));
        assert_eq!(last("cat "), Some((1, 4, "".into())));
        assert_eq!(last("a; cat x 'b c"), Some((2, 9, "b c".into())));
        assert_eq!(last("cat a\\ "), Some((1, 4, "a ".into())));
        assert_eq!(last("cat a\\"), Some((1, 4, "a".into())));
        assert_eq!(last("cat a | gr"), Some((0, 8, "gr".into())));
        assert_eq!(last("cat # x"), None);
        assert_eq!(last("cat #\nx"), Some((0, 6, "x".into())));
    }
}
