//! Comments are as wide as one reads with ease: 110 columns. Tables and drawings are as wide as they have to
//! be.

const WIDEST: usize = 110;

/// The comment that a line is, without its mark; `None` for code.
fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//")?;
    Some(text.strip_prefix(['/', '!']).unwrap_or(text).trim())
}

/// The numbers of comment lines of `source` that are too wide.
fn too_wide(source: &str) -> Vec<usize> {
    let mut drawing = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let Some(text) = comment(line) else {
            drawing = false;
            continue;
        };
        if text.starts_with("```") {
            drawing = !drawing;
        }
        // What has no blank, an address for one, cannot be broken.
        let whole = drawing || text.starts_with('|') || !text.contains(' ');
        if !whole && line.chars().count() > WIDEST {
            found.push(number);
        }
    }
    found
}

#[test]
fn comments_are_within_110_columns() {
    let wide: Vec<_> = tests::sources()
        .into_iter()
        .flat_map(|(path, source)| too_wide(&source).into_iter().map(move |line| format!("{path}:{line}")))
        .collect();
    assert!(wide.is_empty(), "wider than {WIDEST} columns: {}", wide.join(", "));
}

#[test]
fn what_is_too_wide_is_found_and_what_may_be_wide_is_not() {
    let long = "a word and ".repeat(12);
    for wide in [format!("// {long}"), format!("    /// {long}"), format!("//! {long}")] {
        assert_eq!(too_wide(&format!("code();\n{wide}\n")), [2], "{wide}");
    }
    for fits in [
        format!("let text = \"{long}\";"),
        format!("//! | {long} |"),
        format!("// https://example.org/{}", "a".repeat(200)),
        format!("/// ```text\n/// {long}\n/// ```"),
    ] {
        assert_eq!(too_wide(&fits), [0; 0], "{fits}");
    }
    assert_eq!(too_wide(&format!("/// ```text\n/// ```\n/// {long}")), [3], "after a drawing");
}
