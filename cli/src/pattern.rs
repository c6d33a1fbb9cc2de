//! Patterns for names: the shell's (`*.rs`, `[a-f]?`).
//!
//! Matching takes time linear in text times pattern, whatever the pattern is.
//!
//! Reference: POSIX.1-2024, XCU 2.14 "Pattern Matching Notation".

use alloc::vec::Vec;

/// Returns whether the shell's pattern matches all of `text`. Neither a leading dot nor a slash is special,
/// as find(1) wants it. A `[` without a `]` means itself.
pub fn glob(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // After a star: where to go on in the pattern, and how much of the text the star has.
    let mut star = None;
    loop {
        match pattern.get(p) {
            Some('*') => {
                p += 1;
                star = Some((p, t));
                continue;
            }
            Some(_) if t < text.len() => {
                if let Some(next) = one(&pattern, p, text[t], ignore_case) {
                    (p, t) = (next, t + 1);
                    continue;
                }
            }
            None if t == text.len() => return true,
            _ => {}
        }
        // The last star takes one character more; those before need not, for it can take what they would.
        match star {
            Some((after, taken)) if taken < text.len() => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

pub(crate) fn same(a: char, b: char, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.to_lowercase().eq(b.to_lowercase()))
}

/// Matches one character at `pattern[p]`; where the pattern goes on.
fn one(pattern: &[char], p: usize, c: char, ignore_case: bool) -> Option<usize> {
    match pattern[p] {
        '?' => Some(p + 1),
        '[' => match bracket(pattern, p + 1, c, ignore_case) {
            Some((true, next)) => Some(next),
            Some((false, _)) => None,
            None => (c == '[').then_some(p + 1),
        },
        '\\' if p + 1 < pattern.len() => same(pattern[p + 1], c, ignore_case).then_some(p + 2),
        literal => same(literal, c, ignore_case).then_some(p + 1),
    }
}

/// Returns whether `c` is in the bracket expression that begins after its `[` at `p`, and where it ends;
/// `None` if it does not.
pub(crate) fn bracket(pattern: &[char], mut p: usize, c: char, ignore_case: bool) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(p), Some('!' | '^'));
    p += usize::from(negated);
    let mut found = false;
    let mut first = true;
    loop {
        let mut low = *pattern.get(p)?;
        if low == ']' && !first {
            return Some((found != negated, p + 1));
        }
        first = false;
        if low == '[' && pattern.get(p + 1) == Some(&':') {
            let end = (p + 2..pattern.len()).find(|at| pattern[*at..].starts_with(&[':', ']']))?;
            found |= class(&pattern[p + 2..end], c);
            p = end + 2;
            continue;
        }
        if low == '\\' && p + 1 < pattern.len() {
            p += 1;
            low = pattern[p];
        }
        p += 1;
        let mut high = low;
        if pattern.get(p) == Some(&'-') && pattern.get(p + 1).is_some_and(|next| *next != ']') {
            p += 1;
            if pattern[p] == '\\' && p + 1 < pattern.len() {
                p += 1;
            }
            high = pattern[p];
            p += 1;
        }
        let inside = |c: char| (low..=high).contains(&c);
        found |= inside(c) || (ignore_case && (c.to_lowercase().any(inside) || c.to_uppercase().any(inside)));
    }
}

fn class(name: &[char], c: char) -> bool {
    let is = |text: &str| name.iter().copied().eq(text.chars());
    (is("alpha") && c.is_alphabetic())
        || (is("digit") && c.is_ascii_digit())
        || (is("alnum") && (c.is_alphabetic() || c.is_ascii_digit()))
        || (is("upper") && c.is_uppercase())
        || (is("lower") && c.is_lowercase())
        || (is("space") && c.is_whitespace())
        || (is("punct") && c.is_ascii_punctuation())
        || (is("xdigit") && c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with fnmatch(3).
    #[test]
    fn globs() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", ".hidden/x", true),
            ("*.rs", "main.rs", true),
            ("*.rs", "main.rst", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[]a]", "]", true),
            ("[a", "[a", true),
            ("[a-]", "-", true),
            ("[[:digit:]]*", "7z", true),
            ("[[:digit:]]*", "z7", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("\\", "\\", true),
            ("[\\]]", "]", true),
            ("[ -\\!]", "!", true),
            ("[ -\\!]", "\\", false),
            ("A", "a", false),
        ] {
            assert_eq!(glob(pattern, text, false), matches, "{pattern} {text}");
        }
        assert!(glob("A[B-C]*", "abX", true) && glob("É", "é", true) && !glob("A", "b", true));
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!glob(&pattern, &"a".repeat(5000), false));
    }
}
