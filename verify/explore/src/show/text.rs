//! Text in columns: wrapped at words, never cut. A character counts as one column.

/// Breaks a text into lines of at most `width` characters: between words, and inside a word that is longer
/// than a line. An empty text has no line.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if long < room {
            room -= long + 1;
            if let Some(line) = lines.last_mut() {
                line.extend([" ", word]);
            }
            continue;
        }
        let letters: Vec<char> = word.chars().collect();
        lines.extend(letters.chunks(width).map(|piece| piece.iter().collect::<String>()));
        room = width - lines.last().map_or(0, |line| line.chars().count());
    }
    lines
}

/// Returns the widths of columns that would be `natural` and have `room` together: the widest give way first.
/// None is made narrower than `least`, even if `room` is too small for that.
pub(super) fn fit(natural: &[usize], room: usize, least: usize) -> Vec<usize> {
    let under = |cap: usize| natural.iter().map(|&width| width.min(cap)).sum::<usize>();
    let widest = natural.iter().copied().max().unwrap_or(0);
    let cap = (least..=widest).rev().find(|&cap| under(cap) <= room).unwrap_or(least);
    let mut left = room.saturating_sub(under(cap));
    let width = |&width: &usize| {
        let more = usize::from(width > cap && left > 0);
        left -= more;
        width.min(cap) + more
    };
    natural.iter().map(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_full_and_lose_nothing() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"], "exactly full");
        assert_eq!(wrap("aa bb cc", 4), ["aa", "bb", "cc"]);
        assert_eq!(wrap("abcdefgh ij k", 5), ["abcde", "fgh", "ij k"], "a long word, then the next line");
        assert_eq!(wrap("  ", 5), [""; 0]);
        assert_eq!(wrap("→→→ →", 3), ["→→→", "→"], "characters, not bytes");
    }

    #[test]
    fn the_widest_column_gives_way() {
        assert_eq!(fit(&[10, 20], 40, 8), [10, 20], "all fit");
        assert_eq!(fit(&[10, 50, 40], 71, 8), [10, 31, 30], "what is left over goes to the first");
        assert_eq!(fit(&[50, 50], 10, 8), [8, 8]);
        assert_eq!(fit(&[], 10, 8), [0; 0]);
    }
}
