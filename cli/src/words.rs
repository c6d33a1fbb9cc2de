//! A script into commands, and a command into words, by the quoting rules of the POSIX shell.
//!
//! Commands end at `;`, `&` or a newline, words at blanks (a carriage return is one, for scripts with CRLF).
//! `'...'` quotes everything, `"..."` everything but `\"`, `\\`, `\$`, `` \` `` and backslash-newline, a
//! backslash the next character; backslash-newline joins lines. `#` at the start of a word begins a comment.
//! `''` is an empty word.
//!
//! Left out: every expansion (`$`, `*`, `~` and backquotes stand for themselves) and every operator: an
//! unquoted `&&`, `|`, `<`, `(` or `)` is an error that names it.
//!
//! Reference: POSIX.1-2024, XCU 2.2 "Quoting" and 2.3 "Token Recognition".

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One command of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// Its words, unquoted; at least one.
    pub words: Vec<String>,
    /// Its text in the script, from the first word to the last.
    pub source: &'a str,
    /// Where `source` starts in the script, in bytes.
    pub start: usize,
    /// Where its output goes, if not to the terminal.
    pub redirect: Option<Redirect>,
    /// `&` follows: nobody waits for it.
    pub background: bool,
}

/// `> FILE` or `>> FILE`. Of several, the last counts, and the others are not even made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The file's name, unquoted.
    pub file: String,
    /// `>>`: what is in the file stays.
    pub append: bool,
}

/// Why a script cannot be split, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordsError {
    /// What is wrong.
    pub kind: WordsErrorKind,
    /// The line of the script, from 1.
    pub line: usize,
    /// The column in that line, in bytes, from 1: of the opening quote, the backslash or the operator.
    pub column: usize,
}

/// What is wrong with a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordsErrorKind {
    /// The quote (`'` or `"`) is not closed.
    Unterminated(char),
    /// The script ends in a backslash that quotes nothing.
    TrailingBackslash,
    /// The shell has no such operator.
    Unsupported(&'static str),
    /// No file's name follows this operator.
    NoFile(&'static str),
    /// There is a redirection, but no command.
    NoCommand,
    /// This operator follows no command.
    NothingBefore(&'static str),
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WordsErrorKind::Unterminated(quote) => write!(f, "unterminated {quote}")?,
            WordsErrorKind::TrailingBackslash => write!(f, "nothing after \\")?,
            WordsErrorKind::Unsupported(operator) => write!(f, "{operator} is not supported")?,
            WordsErrorKind::NoFile(operator) => write!(f, "no file after {operator}")?,
            WordsErrorKind::NoCommand => write!(f, "no command for the redirection")?,
            WordsErrorKind::NothingBefore(operator) => write!(f, "no command before {operator}")?,
        }
        match self.line {
            1 => write!(f, " at column {}", self.column),
            line => write!(f, " at line {line}, column {}", self.column),
        }
    }
}

impl core::error::Error for WordsError {}

/// Splits a script. Commands without words are left out. Fails as a whole, so that no half of a script is run.
pub fn split(script: &str) -> Result<Vec<Command<'_>>, WordsError> {
    let mut lexer = Lexer { script, at: 0 };
    let mut commands: Vec<Command<'_>> = Vec::new();
    let mut open = false;
    let mistake = |kind, at| Mistake { kind, at, word: None }.locate(script);
    while let Some(token) = lexer.next().map_err(|mistake| mistake.locate(script))? {
        let (start, text, redirect) = match token {
            Token::Word { start, text } => (start, text, None),
            Token::Redirect { start, operator } => {
                match lexer.next().map_err(|mistake| mistake.locate(script))? {
                    Some(Token::Word { text, .. }) => (start, text, Some(operator)),
                    _ => return Err(mistake(WordsErrorKind::NoFile(operator), start)),
                }
            }
            Token::Separator | Token::Comment => {
                open = false;
                continue;
            }
            Token::Background { start } => {
                match commands.last_mut().filter(|_| open) {
                    Some(command) => command.background = true,
                    None => return Err(mistake(WordsErrorKind::NothingBefore("&"), start)),
                }
                open = false;
                continue;
            }
        };
        if !open {
            commands.push(Command {
                words: Vec::new(),
                source: "",
                start,
                redirect: None,
                background: false,
            });
            open = true;
        }
        let Some(command) = commands.last_mut() else { continue };
        match redirect {
            None => command.words.push(text),
            Some(operator) => command.redirect = Some(Redirect { file: text, append: operator == ">>" }),
        }
        command.source = script.get(command.start..lexer.at).unwrap_or_default();
    }
    match commands.iter().find(|command| command.words.is_empty()) {
        Some(command) => Err(mistake(WordsErrorKind::NoCommand, command.start)),
        None => Ok(commands),
    }
}

/// Quotes a word so that [`split`] gives it back; as it is if it needs no quotes.
pub fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
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

/// Quotes with backslashes, so that more can be typed after it. A newline cannot be quoted like this and
/// stays.
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
    /// The words of the same command before it.
    pub(crate) before: Vec<String>,
    /// Where it starts, in bytes; the line's length if no word has been begun.
    pub(crate) start: usize,
    /// What it says so far, unquoted.
    pub(crate) text: String,
}

/// Finds the word that ends at the end of `line`, whose quotes may still be open. `None` inside a comment.
pub(crate) fn last_word(line: &str) -> Option<LastWord> {
    let mut lexer = Lexer { script: line, at: 0 };
    let mut last = LastWord::default();
    loop {
        match lexer.next() {
            Ok(Some(Token::Word { start, text })) if lexer.at == line.len() => {
                return Some(LastWord { start, text, ..last });
            }
            Ok(Some(Token::Word { text, .. })) => last.before.push(text),
            Ok(Some(Token::Separator | Token::Background { .. })) => last.before.clear(),
            // The file's name is a word after the command's: a path, in any case.
            Ok(Some(Token::Redirect { operator, .. })) => last.before.push(operator.into()),
            Ok(Some(Token::Comment)) if lexer.at == line.len() => return None,
            Ok(Some(Token::Comment)) => {}
            Ok(None) => return Some(LastWord { start: line.len(), ..last }),
            Err(mistake) => match mistake.word {
                Some((start, text)) => return Some(LastWord { start, text, ..last }),
                None => last.before.clear(), // an operator: a command could follow it
            },
        }
    }
}

enum Token {
    Word { start: usize, text: String },
    Redirect { start: usize, operator: &'static str },
    Separator,
    Background { start: usize },
    Comment,
}

struct Mistake {
    kind: WordsErrorKind,
    at: usize,
    /// Where the unfinished word starts, and what it says so far.
    word: Option<(usize, String)>,
}

impl Mistake {
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
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.script.get(self.at..).unwrap_or_default()
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

    fn next(&mut self) -> Result<Option<Token>, Mistake> {
        while self.skip_joint() || [" ", "\t", "\r"].iter().any(|blank| self.skip(blank)) {}
        let start = self.at;
        match self.rest().chars().next() {
            None => Ok(None),
            Some(';' | '\n') => {
                self.at += 1;
                Ok(Some(Token::Separator))
            }
            Some('#') => {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                Ok(Some(Token::Comment))
            }
            _ => match self.operator() {
                Some(operator @ (">" | ">>")) => Ok(Some(Token::Redirect { start, operator })),
                Some("&") => Ok(Some(Token::Background { start })),
                Some(operator) => {
                    Err(Mistake { kind: WordsErrorKind::Unsupported(operator), at: start, word: None })
                }
                None => self.word(start).map(Some),
            },
        }
    }

    fn operator(&mut self) -> Option<&'static str> {
        const OPERATORS: [&str; 12] = ["&&", "||", "<<", ">>", "<&", ">&", "&", "|", "<", ">", "(", ")"];
        OPERATORS.into_iter().find(|operator| self.skip(operator))
    }

    fn word(&mut self, start: usize) -> Result<Token, Mistake> {
        let mut text = String::new();
        loop {
            if self.skip_joint() {
                continue;
            }
            let at = self.at;
            let ended = matches!(
                self.rest().chars().next(),
                None | Some(' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')')
            );
            if ended {
                return Ok(Token::Word { start, text });
            }
            let closed = match self.bump() {
                Some('\\') => self.bump().map(|c| text.push(c)).ok_or(WordsErrorKind::TrailingBackslash),
                Some('\'') => self.single_quoted(&mut text).ok_or(WordsErrorKind::Unterminated('\'')),
                Some('"') => self.double_quoted(&mut text).ok_or(WordsErrorKind::Unterminated('"')),
                c => {
                    text.extend(c);
                    Ok(())
                }
            };
            if let Err(kind) = closed {
                return Err(Mistake { kind, at, word: Some((start, text)) });
            }
        }
    }

    /// `None` if the quote is not closed.
    fn single_quoted(&mut self, text: &mut String) -> Option<()> {
        loop {
            match self.bump()? {
                '\'' => return Some(()),
                c => text.push(c),
            }
        }
    }

    /// `None` if the quote is not closed.
    fn double_quoted(&mut self, text: &mut String) -> Option<()> {
        loop {
            if self.skip_joint() {
                continue;
            }
            match self.bump()? {
                '"' => return Some(()),
                '\\' => match self.rest().chars().next() {
                    Some('"' | '\\' | '$' | '`') => text.extend(self.bump()),
                    _ => text.push('\\'),
                },
                c => text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn words(script: &str) -> Vec<Vec<String>> {
        split(script).unwrap().into_iter().map(|command| command.words).collect()
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
        let commands = split("  ls  -l 'a b'  ; cat x # y").unwrap();
        assert_eq!((commands[0].source, commands[0].start), ("ls  -l 'a b'", 2));
        assert_eq!((commands[1].source, commands[1].start), ("cat x", 18));
    }

    #[test]
    fn errors_say_what_and_where() {
        assert_eq!(error("echo 'a"), "unterminated ' at column 6");
        assert_eq!(error("é \"a"), "unterminated \" at column 4");
        assert_eq!(error("a\nb\\"), "nothing after \\ at line 2, column 2");
        assert_eq!(error("a; & b"), "no command before & at column 4");
        assert_eq!(error("a & & b"), "no command before & at column 5");
        assert_eq!(error("a&&b"), "&& is not supported at column 2");
        assert_eq!(error("ls;\n ls|cat"), "| is not supported at line 2, column 4");
        assert_eq!(error("a <b"), "< is not supported at column 3");
        assert_eq!(error("a >& b"), ">& is not supported at column 3");
        assert_eq!(error("a >; b"), "no file after > at column 3");
        assert_eq!(error("a;\nb >> > c"), "no file after >> at line 2, column 3");
        assert_eq!(error("a; > b"), "no command for the redirection at column 4");
        assert_eq!(error("(a)"), "( is not supported at column 1");
    }

    #[test]
    fn redirections_are_taken_out_of_the_words() {
        let commands = split("echo a>'b c' d; e 2 >> f > g # h").unwrap();
        assert_eq!(commands[0].words, ["echo", "a", "d"]);
        assert_eq!(commands[0].redirect, Some(Redirect { file: "b c".into(), append: false }));
        assert_eq!(commands[0].source, "echo a>'b c' d");
        assert_eq!(commands[1].words, ["e", "2"]);
        assert_eq!(commands[1].redirect, Some(Redirect { file: "g".into(), append: false }));
        assert!(split("echo >>f").unwrap()[0].redirect.as_ref().unwrap().append);
        assert_eq!(split("a '>' b").unwrap()[0].redirect, None);
    }

    #[test]
    fn what_runs_in_the_background_is_marked() {
        let commands = split("a b& c '&';d > f & # e").unwrap();
        let background: Vec<bool> = commands.iter().map(|command| command.background).collect();
        assert_eq!(background, [true, false, true]);
        assert_eq!(commands[0].source, "a b");
        assert_eq!(commands[1].words, ["c", "&"]);
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
