//! Comments are as wide as one reads with ease: 110 columns. Tables and drawings are as wide as they have to
//! be. What a function's documentation says begins with a verb: "Returns", "Waits".

const WIDEST: usize = 110;
/// What ends like a verb and is none.
const NO_VERBS: &[&str] = &[
    "Addresses",
    "As",
    "Blocks",
    "Bytes",
    "Frames",
    "Its",
    "Lines",
    "Links",
    "Names",
    "Nanoseconds",
    "Options",
    "Pages",
    "Rows",
    "Segments",
    "Tables",
    "This",
    "Ticks",
    "Times",
    "Widths",
    "Words",
];

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

/// The first words of the documentation of functions that others see, where they are no verbs; with their
/// lines.
fn no_verbs(source: &str) -> Vec<(usize, &str)> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let (mut first, mut found) = (None, Vec::new());
    for (number, line) in (1..).zip(source.lines()) {
        let line = line.trim_start();
        if let Some(text) = line.strip_prefix("///") {
            first = first.or(text.split_whitespace().next().map(|word| (number, word)));
        } else if !line.starts_with("#[") {
            let is_function = line.starts_with("pub") && line.contains(" fn ");
            let first = first.take().filter(|_| is_function);
            found.extend(first.filter(|(_, word)| {
                let word = word.trim_end_matches([',', ':', ';', '.']);
                !word.ends_with('s') || !word.starts_with(char::is_uppercase) || NO_VERBS.contains(&word)
            }));
        }
    }
    found
}

#[test]
fn what_functions_do_is_said_by_a_verb() {
    let sources = tests::sources();
    let found: Vec<_> = sources
        .iter()
        .filter(|(path, _)| !path.contains("/tests/"))
        .flat_map(|(path, source)| {
            no_verbs(source).into_iter().map(move |(line, word)| format!("{path}:{line}: {word}"))
        })
        .collect();
    assert!(found.is_empty(), "no verb:\n{}", found.join("\n"));
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

#[test]
fn a_function_without_a_verb_is_found() {
    let first = |text: &str| no_verbs(text).into_iter().map(|(_, word)| word.to_owned()).collect::<Vec<_>>();
    for (text, word) in [
        ("/// The name.\npub fn name() {", "The"),
        ("    /// Its name,\n    /// Returns\n    #[inline]\n    pub(crate) const fn name() {", "Its"),
        ("/// `a`.\npub unsafe fn a() {", "`a`."),
        ("/// As [`b`].\npub fn a() {", "As"),
    ] {
        assert_eq!(first(text), [word], "{text}");
    }
    for text in [
        "/// Returns it.\npub fn a() {",
        "/// Write-protects: a step.\npub fn a() {",
        "/// The name.\npub struct A;\npub fn a() {",
        "/// The call.\npub call: fn(u8) -> u8,",
        "/// The name.\nfn a() {",
        "// The name.\npub fn a() {",
        "#[cfg(test)]\nmod tests {\n    /// A name.\n    pub fn a() {}\n}",
    ] {
        assert_eq!(first(text), [""; 0], "{text}");
    }
}
