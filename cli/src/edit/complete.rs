//! Completion of the word before the cursor: what the caller provides, and what is made of it.

use super::line::EditLine;
use crate::words;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Knows what words can be completed to. Any closure `FnMut(&[String], &str) -> Vec<String>` is one.
pub trait Completer {
    /// Returns the words that `word`, unquoted and still being typed, can become: whole and unquoted, in any
    /// order. Those that do not start with `word` or contain control characters are ignored. `before` has
    /// the words before it in the same command: none means that `word` is the command's name. After a
    /// candidate that ends in `/` no blank is added: more will follow.
    fn complete(&mut self, before: &[String], word: &str) -> Vec<String>;
}

impl<F: FnMut(&[String], &str) -> Vec<String>> Completer for F {
    fn complete(&mut self, before: &[String], word: &str) -> Vec<String> {
        self(before, word)
    }
}

/// What completing a line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    Nothing,
    /// The text from `start`, in characters, to the cursor becomes `text`.
    Replace {
        start: usize,
        text: String,
    },
    /// There are several words, and no more in common than what was typed.
    Choice(Vec<String>),
}

/// Completes the word before the cursor.
pub(super) fn complete(line: &EditLine, completer: &mut dyn Completer) -> Completion {
    let before = line.before();
    let Some(last) = words::last_word(&before) else { return Completion::Nothing };
    let mut candidates = completer.complete(&last.before, &last.text);
    candidates.retain(|c| !c.is_empty() && c.starts_with(&last.text) && !c.contains(char::is_control));
    candidates.sort_unstable();
    candidates.dedup();
    let (Some(first), Some(final_one)) = (candidates.first(), candidates.last()) else {
        return Completion::Nothing;
    };
    // Sorted: what the first and the last have in common, all have.
    let pairs = first.chars().zip(final_one.chars());
    let common: String = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    let unique = candidates.len() == 1;
    if !unique && common.len() <= last.text.len() {
        return Completion::Choice(candidates);
    }
    let mut text = words::escape(&common);
    if unique && !common.ends_with('/') && line.under() != Some(' ') {
        text.push(' ');
    }
    let typed = before.get(last.start..).unwrap_or_default();
    if typed == text {
        return Completion::Nothing;
    }
    Completion::Replace { start: line.cursor().saturating_sub(typed.chars().count()), text }
}

/// Writes candidates in columns, down and then across; of paths only the last part. Rows end in CR LF.
pub(super) fn list(candidates: &[String], width: usize, out: &mut String) {
    const MOST: usize = 100;
    let names: Vec<&str> = candidates.iter().take(MOST).map(|candidate| last_part(candidate)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // One column less than there is, so that no row fills the last one and wraps.
    let columns = (width.saturating_sub(1) / (longest + 2)).max(1);
    let rows = names.len().div_ceil(columns).max(1);
    for row in 0..rows {
        let mut owed = 0;
        for name in names.iter().skip(row).step_by(rows) {
            out.extend(core::iter::repeat_n(' ', owed));
            out.push_str(name);
            owed = longest + 2 - name.chars().count();
        }
        out.push_str("\r\n");
    }
    if candidates.len() > MOST {
        let _ = write!(out, "... and {} more\r\n", candidates.len() - MOST);
    }
}

fn last_part(path: &str) -> &str {
    let body = path.strip_suffix('/').unwrap_or(path);
    path.get(body.rfind('/').map_or(0, |slash| slash + 1)..).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str, candidates: &[&str]) -> Completion {
        let mut completer =
            |_: &[String], _: &str| candidates.iter().map(|c| String::from(*c)).collect::<Vec<_>>();
        complete(&EditLine::new(line), &mut completer)
    }

    fn replaced(start: usize, text: &str) -> Completion {
        Completion::Replace { start, text: text.into() }
    }

    #[test]
    fn one_candidate_is_completed_with_a_blank_and_a_folder_without() {
        assert_eq!(completed("cat fo", &["foo", "bar"]), replaced(4, "foo "));
        assert_eq!(completed("cat fo", &["foo/"]), replaced(4, "foo/"));
        assert_eq!(completed("cat foo/", &["foo/"]), Completion::Nothing);
        assert_eq!(completed("cat foo", &["foo"]), replaced(4, "foo "));
    }

    #[test]
    fn several_are_completed_to_what_they_share() {
        assert_eq!(completed("é f", &["foox", "fooy", "fooyz"]), replaced(2, "foo"));
        let choice = Completion::Choice(["foox".into(), "fooy".into()].into());
        assert_eq!(completed("x foo", &["fooy", "foox", "fooy"]), choice);
    }

    #[test]
    fn special_characters_are_quoted_and_quotes_replaced() {
        assert_eq!(completed("cat 'a b", &["a bc"]), replaced(4, "a\\ bc "));
        assert_eq!(completed("cat a\\ b", &["a b$"]), replaced(4, "a\\ b\\$ "));
    }

    #[test]
    fn useless_candidates_are_ignored() {
        assert_eq!(completed("cat f", &["bar", "", "f\x1b[2J"]), Completion::Nothing);
        assert_eq!(completed("cat # f", &["foo"]), Completion::Nothing);
    }

    #[test]
    fn the_completer_learns_the_command() {
        let mut seen = Vec::new();
        let mut completer = |before: &[String], word: &str| {
            seen.extend_from_slice(before);
            seen.push(word.into());
            Vec::new()
        };
        complete(&EditLine::new("ls; cat -n 'a"), &mut completer);
        assert_eq!(seen, ["cat", "-n", "a"]);
    }

    #[test]
    fn lists_go_down_and_fit_the_width() {
        let names = ["d/a", "d/bb", "d/c/", "d/d", "d/e"].map(String::from);
        let mut out = String::new();
        list(&names, 13, &mut out);
        assert_eq!(out, "a   c/  e\r\nbb  d\r\n");
        out.clear();
        list(&names, 2, &mut out);
        assert_eq!(out, "a\r\nbb\r\nc/\r\nd\r\ne\r\n");
    }
}
