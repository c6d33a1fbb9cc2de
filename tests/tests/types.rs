//! A type's name means one thing: no two types of the product have the same.
//!
//! Read are the sources of all crates, without their tests. What counts is where a `struct`, `enum`, `trait`
//! or `type` is declared. Not an associated type, which has its trait's name; nor an alias for the type of
//! that name elsewhere (`type Mutex<T> = lock_api::Mutex<RawMutex, T>`).

use std::collections::BTreeMap;

/// Names that more than one type may have, and why.
const SHARED: &[(&str, &str)] = &[
    ("AddressSpace", "base wraps vm's, so that generic code is compiled once (decision 19)"),
    ("BlockMap", EACH),
    ("Dir", EACH),
    ("Error", "each crate's, and of the firmware's tables"),
    ("Group", EACH),
    ("RegularFile", EACH),
    ("SuperBlock", EACH),
    ("Xattrs", EACH),
];

/// Why a name is ext2's and ext4's.
const EACH: &str = "what a file system made for Linux consists of: ext2 has one, and ext4 another";

/// The names of the types that a source declares, with their lines.
fn declared(source: &str) -> impl Iterator<Item = (&str, usize)> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    (1..).zip(source.lines()).filter_map(|(number, line)| {
        let mut words = line.split_whitespace().skip_while(|word| {
            word.starts_with("pub") || word.starts_with("in") || word.ends_with(')') || *word == "unsafe"
        });
        let keyword = words.next().filter(|word| ["struct", "enum", "trait", "type"].contains(word))?;
        let name = words.next()?;
        let name = &name[..name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len())];
        let is_associated = keyword == "type" && line.starts_with(' ');
        let is_alias = keyword == "type"
            && line.split_once(" = ").is_some_and(|(_, meant)| {
                let path = &meant[..meant.find(['<', ';']).unwrap_or(meant.len())];
                path.rsplit_once("::").is_some_and(|(_, last)| last == name)
            });
        (!is_associated && !is_alias && name.starts_with(char::is_uppercase)).then_some((name, number))
    })
}

/// What is wrong with the names in `sources`, each a path and its text, a line each.
fn wrong(sources: &[(String, String)], allowed: &[&str]) -> Vec<String> {
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, source) in sources.iter().filter(|(path, _)| !is_test(path)) {
        for (name, line) in declared(source) {
            places.entry(name).or_default().push(format!("{path}:{line}"));
        }
    }
    places.retain(|_, places| places.len() > 1);
    let idle = allowed.iter().filter(|name| !places.contains_key(**name));
    let idle: Vec<_> = idle.map(|name| format!("{name} may have two meanings and has not")).collect();
    let twice = places.iter().filter(|(name, _)| !allowed.contains(name));
    twice.map(|(name, places)| format!("{name}: {}", places.join(", "))).chain(idle).collect()
}

#[test]
fn a_types_name_is_used_once() {
    let allowed: Vec<_> = SHARED.iter().map(|(name, _)| *name).collect();
    let sources = tests::sources();
    assert!(sources.len() > 300, "{} sources", sources.len());
    let wrong = wrong(&sources, &allowed);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_name_that_two_types_have_is_found() {
    let wrong = |files: &[(&str, &str)], allowed: &[&str]| {
        let files: Vec<_> = files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect();
        wrong(&files, allowed)
    };
    let first = ("a/src/lib.rs", "/// One.\npub struct Part<T>(T);");
    for second in
        ["enum Part {", "    struct Part;", "pub(in crate::x) trait Part: Sized {", "type Part = [u8; 4];"]
    {
        let found = wrong(&[first, ("b/src/c.rs", second)], &[]);
        assert_eq!(found, ["Part: a/src/lib.rs:2, b/src/c.rs:1"], "{second}");
        assert_eq!(wrong(&[first, ("b/src/c.rs", second)], &["Part"]), [""; 0]);
        assert_eq!(wrong(&[first, ("b/src/tests/c.rs", second)], &[]), [""; 0]);
    }
    for other in [
        "    type Part = u8;",
        "pub type Part = a::Part<u8>;",
        "struct Parts;",
        "// struct Part;",
        "#[cfg(test)]\nmod tests {\n    struct Part;\n}",
    ] {
        assert_eq!(wrong(&[first, ("b/src/c.rs", other)], &[]), [""; 0], "{other}");
    }
    assert_eq!(wrong(&[first], &["Part"]), ["Part may have two meanings and has not"]);
}
