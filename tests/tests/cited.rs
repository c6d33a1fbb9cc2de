//! What is cited is there: files, the places that Markdown links lead to, laws, decisions, races.
//!
//! Read are Markdown, Rust, shell and TOML; of Rust the comments, and texts that are a path as a whole.
//!
//! | what | must |
//! |---|---|
//! | a link in Markdown to a path | be there, with a heading for its anchor as GitHub makes it |
//! | a path from a folder of the root on | be there: from the root, or from the folder or crate of who cites it |
//! | another path, or the name of a file | be how the path of a file ends |
//! | a law, a decision, a race | have a number of docs/laws.md, docs/decisions, docs/races.md |
//! | who cites a law | link it in Markdown, name docs/laws.md elsewhere |
//! | a test or a mistake that docs/laws.md names | be one |

use fs::dax::Protocol;
use fs::lab::Mutant;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tests::root;

const LAWS: &str = "docs/laws.md";
const RACES: &str = "docs/races.md";
const DECISIONS: &str = "docs/decisions/";

/// How the names of files end that are cited as paths.
const ENDINGS: [&str; 6] = [".rs", ".md", ".sh", ".toml", ".json", ".awk"];

/// The files of a checkout by their paths from its root; of those that are read, the text.
struct Tree {
    files: BTreeMap<String, Option<String>>,
    folders: BTreeSet<String>,
}

/// A text that cites. What is left out is blanked, so that a place is the same in each form.
struct Source<'a> {
    path: &'a str,
    text: &'a str,
    /// Without code and the marks of comments.
    prose: String,
    /// Without what is between backticks and in fenced blocks, too.
    plain: String,
    /// What is between backticks, and where.
    spans: Vec<(usize, &'a str)>,
}

impl Tree {
    fn new(files: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let above = |path: &String| -> Vec<String> {
            path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
        };
        let folders = files.keys().flat_map(above).collect();
        Self { files, folders }
    }

    /// What git would know of: all but what is built.
    fn of_checkout() -> Self {
        let (mut folders, mut files) = (vec![root()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder of the checkout") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true if path.ends_with(".git") || path.ends_with("target") => {}
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        let read = |path: &Path| {
            let cites = ["md", "rs", "sh", "toml"].iter().any(|e| path.extension().is_some_and(|x| x == *e));
            cites.then(|| {
                std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            })
        };
        let name = |path: &Path| {
            path.strip_prefix(root()).expect("it is in the checkout").to_string_lossy().into_owned()
        };
        Self::new(files.iter().map(|path| (name(path), read(path))))
    }

    fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.folders.contains(path)
    }

    fn text(&self, path: &str) -> &str {
        self.files.get(path).and_then(Option::as_deref).unwrap_or_default()
    }

    fn sources(&self) -> Vec<Source<'_>> {
        let read = self.files.iter().filter_map(|(path, text)| Some((path, text.as_deref()?)));
        read.map(|(path, text)| Source::new(path, text)).collect()
    }

    /// Whether `path` leads somewhere from the root, from the folder of `from`, or from its crate.
    fn resolves(&self, from: &str, path: &str) -> bool {
        let mut folder = folder_of(from);
        let is_near = self.has(&joined(folder, path));
        while !folder.is_empty() && !self.has(&joined(folder, "Cargo.toml")) {
            folder = folder_of(folder);
        }
        is_near || self.has(path) || self.has(&joined(folder, path))
    }

    /// Whether it begins with a folder of the root.
    fn is_ours(&self, path: &str) -> bool {
        path.split_once('/').is_some_and(|(first, _)| self.folders.contains(first))
    }

    /// The paths in a text that begin with a folder of the root, or with `./`.
    fn paths<'a>(&self, source: &Source<'a>) -> Vec<(usize, &'a str)> {
        let mut found = Vec::new();
        for (at, word) in words(source.text) {
            let before = source.text[..at].chars().next_back().unwrap_or(' ');
            let quoted = before == '"' && source.text[at + word.len()..].starts_with('"');
            // In a script, what comes after `$root/` is in the root.
            let word = match before {
                '$' => word.split_once('/').map_or("", |(_, rest)| rest),
                _ => word,
            };
            let (path, in_root) = word.strip_prefix("./").map_or((word, false), |path| (path, true));
            let is_path = ends_as_cited(path) || is_decision(path).is_some();
            let is_cited = source.is_prose(at) || (quoted && !in_root);
            if is_path && is_cited && (in_root || self.is_ours(path)) {
                found.push((at, path));
            }
        }
        // Between backticks, folders too.
        let folder = |name: &&str| {
            self.is_ours(name) && is_plain(name) && !name.rsplit('/').next().unwrap_or(name).contains('.')
        };
        let spans = source.spans.iter().map(|&(at, name)| (at, name.trim_end_matches('/')));
        found.extend(spans.filter(|(_, name)| folder(name) && is_decision(name).is_none()));
        found
    }

    /// Why a link leads nowhere, if it does.
    fn follow(&self, from: &str, target: &str) -> Option<String> {
        let (path, anchor) = target.split_once('#').map_or((target, None), |(path, a)| (path, Some(a)));
        let place = match path {
            "" => from.to_owned(),
            _ => joined(folder_of(from), path),
        };
        match anchor {
            _ if !self.has(&place) => Some(format!("{place} is not there")),
            Some(anchor) if !anchors(self.text(&place)).contains(anchor) => {
                Some(format!("{place} has no heading for it"))
            }
            _ => None,
        }
    }

    fn laws(&self) -> BTreeSet<u32> {
        let titles = headings(self.text(LAWS)).into_iter();
        titles.filter_map(|title| title.split_once(". ")?.0.parse().ok()).collect()
    }

    fn decisions(&self) -> BTreeSet<u32> {
        let names = self.files.keys().filter_map(|path| path.strip_prefix(DECISIONS));
        names.filter_map(|name| name.get(..4)?.parse().ok()).collect()
    }

    fn races(&self) -> BTreeSet<u32> {
        let rows = self.text(RACES).lines().filter_map(|line| line.strip_prefix("| R"));
        rows.filter_map(|row| row.split(' ').next()?.parse().ok()).collect()
    }

    /// How many citations there are, and what is wrong with which.
    fn check(&self) -> (usize, Vec<String>) {
        let (laws, decisions, races) = (self.laws(), self.decisions(), self.races());
        let (mut count, mut wrong) = (0, Vec::new());
        for source in self.sources() {
            let mut cite = |at: usize, is_right: bool, what: String| {
                count += 1;
                if !is_right {
                    wrong.push(format!("{}:{}: {what}", source.path, source.line(at)));
                }
            };
            for (at, target) in source.links() {
                let why = self.follow(source.path, target);
                cite(at, why.is_none(), format!("the link to {target}: {}", why.unwrap_or_default()));
            }
            for (at, path) in self.paths(&source) {
                let is_right = match is_decision(path) {
                    Some(number) => decisions.contains(&number),
                    None => self.resolves(source.path, path),
                };
                cite(at, is_right, format!("{path} is not there"));
            }
            for (at, name) in source.names().filter(|(_, name)| !self.is_ours(name)) {
                let (end, mut files) = (format!("/{name}"), self.files.keys());
                let is_there = files.any(|file| file == name || file.ends_with(&end));
                cite(at, is_there, format!("no file is called {name}"));
            }
            for (at, number) in source.numbers("decision") {
                cite(at, decisions.contains(&number), format!("there is no decision {number}"));
            }
            for (at, number) in source.races() {
                cite(at, races.contains(&number), format!("{RACES} has no R{number}"));
            }
            for (at, number) in source.numbers("law") {
                cite(at, laws.contains(&number), format!("{LAWS} has no law {number}"));
                let is_linked = match source.path {
                    LAWS => true,
                    path if path.ends_with(".md") => source.text.contains(&format!("laws.md#{number}-")),
                    _ => source.text.contains(LAWS),
                };
                cite(at, is_linked, format!("law {number} is cited and not linked"));
            }
        }
        (count, wrong)
    }

    /// How many tests and mistakes docs/laws.md names, and which there are not. A name of three words or more
    /// with `_` between them is a test's; one with `-` is a mistake's or a protocol's, which `knows` knows.
    fn check_laws(&self, knows: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
        let sources = self.sources();
        let tests: BTreeSet<&str> = sources.iter().flat_map(Source::tests).collect();
        let (mut count, mut wrong) = (0, Vec::new());
        for source in sources.iter().filter(|source| source.path == LAWS) {
            for &(at, name) in &source.spans {
                let is = |mark: char, least: usize| {
                    let is_of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                    let is_word = |part: &str| !part.is_empty() && part.bytes().all(is_of_name);
                    name.split(mark).count() >= least && name.split(mark).all(is_word)
                };
                let is_there = if is('_', 3) {
                    tests.contains(name)
                } else if is('-', 2) {
                    knows(name)
                } else {
                    continue;
                };
                count += 1;
                if !is_there {
                    wrong.push(format!("{LAWS}:{}: there is no {name}", source.line(at)));
                }
            }
        }
        (count, wrong)
    }
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let prose = prose_of(path, text);
        let mut this = Self { path, text, plain: String::new(), prose, spans: Vec::new() };
        this.find_spans();
        this
    }

    /// Fills `spans` and `plain`.
    fn find_spans(&mut self) {
        let mut plain = self.prose.clone().into_bytes();
        let (mut at, mut is_fenced) = (0, false);
        for line in self.prose.split_inclusive('\n') {
            let is_mark = line.trim_start().starts_with("```");
            if is_mark || is_fenced {
                blank(&mut plain[at..at + line.len()]);
            }
            is_fenced ^= is_mark;
            at += line.len();
        }
        let ticks = |plain: &[u8], at: usize| plain[at..].iter().take_while(|byte| **byte == b'`').count();
        let mut start = 0;
        while let Some(open) = (start..plain.len()).find(|at| plain[*at] == b'`') {
            // It ends with as many backticks as it begins with, in the same paragraph.
            let row = ticks(&plain, open);
            let from = open + row;
            let is_end =
                |at: &usize| plain[*at] == b'`' && plain[*at - 1] != b'`' && ticks(&plain, *at) == row;
            let stops = |at: &usize| is_end(at) || ends_paragraph(&plain[*at..]);
            match (from..plain.len()).find(stops).filter(is_end) {
                None => start = from,
                Some(to) => {
                    self.spans.push((from, &self.text[from..to]));
                    blank(&mut plain[open..to + row]);
                    start = to + row;
                }
            }
        }
        self.plain = String::from_utf8(plain).expect("characters are blanked as a whole");
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn is_prose(&self, at: usize) -> bool {
        self.prose.as_bytes()[at] != b' '
    }

    /// Where links to paths lead.
    fn links(&self) -> Vec<(usize, &str)> {
        let inline = self.plain.match_indices("](").filter_map(|(at, _)| {
            let (target, _) = self.plain[at + 2..].split_once(')')?;
            Some((at, target.split_whitespace().next().unwrap_or_default()))
        });
        // `[name]: target`, at the beginning of a line; `[^name]` is a footnote.
        let defined = self.plain.match_indices("\n[").filter_map(|(at, _)| {
            let (name, target) = self.plain[at + 1..].lines().next()?.split_once("]: ")?;
            Some((at + 1, target.split_whitespace().next()?)).filter(|_| !name.starts_with("[^"))
        });
        let is_path = |target: &str| match self.path.ends_with(".md") {
            true => !target.contains("://") && !target.starts_with("mailto:"),
            // In Rust most links lead to items, and in scripts this is no link.
            false => target.split('#').next().is_some_and(|path| path.ends_with(".md")),
        };
        inline.chain(defined).filter(|(_, target)| is_path(target)).collect()
    }

    /// Names of files, with or without some of their folders; not of what is built.
    fn names(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let is_name =
            |name: &str| ends_as_cited(name) && !name.starts_with(['.', '/']) && !name.starts_with("target/");
        words(self.text)
            .filter(move |&(at, name)| is_name(name) && self.is_prose(at) && !self.text[..at].ends_with('$'))
    }

    /// The numbers after `what`, as in "law 1" and "laws 1, 2 and 3".
    fn numbers(&self, what: &str) -> Vec<(usize, u32)> {
        let prose = self.prose.to_ascii_lowercase();
        let mut found = Vec::new();
        for (at, _) in prose.match_indices(what) {
            let rest = &prose[at + what.len()..];
            let several = rest.strip_prefix('s');
            let mut rest = several.unwrap_or(rest);
            if prose[..at].ends_with(is_of_word) || !rest.starts_with(char::is_whitespace) {
                continue;
            }
            loop {
                let from = rest.trim_start();
                let digits = from.bytes().take_while(u8::is_ascii_digit).count();
                let (Ok(number), false) = (from[..digits].parse(), from[digits..].starts_with(is_of_word))
                else {
                    break;
                };
                found.push((at, number));
                rest = from[digits..].trim_start_matches([',', ' ', '\n']);
                let next = ["and ", "or ", "to "].iter().find_map(|word| rest.strip_prefix(word));
                rest = next.unwrap_or(rest);
                if several.is_none() {
                    break;
                }
            }
        }
        found
    }

    /// The races that are cited: `R` and a number, a word of its own.
    fn races(&self) -> Vec<(usize, u32)> {
        let number = |(at, _): (usize, &str)| {
            let digits = self.prose[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            let (before, after) = (&self.prose[..at], &self.prose[at + 1 + digits..]);
            let is_word = !before.ends_with(is_of_word) && !after.starts_with(is_of_word);
            Some((at, self.prose[at + 1..at + 1 + digits].parse().ok()?)).filter(|_| is_word)
        };
        self.prose.match_indices('R').filter_map(number).collect()
    }

    /// The names of its tests.
    fn tests(&self) -> Vec<&'a str> {
        if !self.path.ends_with(".rs") {
            return Vec::new();
        }
        let after = self.text.split("#[test]\n").skip(1);
        after.filter_map(|text| Some(text.split_once("fn ")?.1.split_once('(')?.0)).collect()
    }
}

/// A text without code and the marks of comments. Markdown is prose as it is; so are scripts.
fn prose_of(path: &str, text: &str) -> String {
    let mut prose = text.as_bytes().to_vec();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = line.len() - line.trim_start().len();
        let marks =
            |from: usize, marks: &[u8]| line[from..].bytes().take_while(|b| marks.contains(b)).count();
        let blanks = match path.rsplit('.').next() {
            Some("rs") => {
                let is_comment = line[start..].starts_with("//");
                let comment = if is_comment { start } else { line.find(" // ").unwrap_or(line.len()) };
                0..comment + marks(comment, b" /!")
            }
            Some("sh" | "toml") => start..start + marks(start, b"#"),
            _ => 0..0,
        };
        blank(&mut prose[at + blanks.start..at + blanks.end]);
        at += line.len();
    }
    String::from_utf8(prose).expect("characters are blanked as a whole")
}

/// Blanks all but the ends of lines.
fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Whether it begins with the end of a line, and an empty line after that.
fn ends_paragraph(bytes: &[u8]) -> bool {
    bytes[0] == b'\n' && matches!(bytes[1..].iter().find(|byte| **byte != b' '), None | Some(b'\n'))
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./-".contains(&byte)
}

/// Whether it could be a path as a whole.
fn is_plain(name: &str) -> bool {
    name.bytes().all(is_of_path)
}

fn ends_as_cited(name: &str) -> bool {
    ENDINGS.iter().filter_map(|ending| name.strip_suffix(ending)).any(|stem| stem.ends_with(is_of_word))
}

/// The number of a decision that is cited by the beginning of its file's path.
fn is_decision(path: &str) -> Option<u32> {
    path.strip_prefix(DECISIONS).filter(|number| number.len() == 4)?.parse().ok()
}

/// What could be a path, and where.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let runs = text.split(|c: char| !u8::try_from(c).is_ok_and(is_of_path)).filter(|run| !run.is_empty());
    runs.map(|run| (run.as_ptr().addr() - text.as_ptr().addr(), run.trim_end_matches('.')))
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// `path` as it is meant in `folder`, from the root.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// The headings of a Markdown text, without their marks.
fn headings(text: &str) -> Vec<&str> {
    let (mut titles, mut is_fenced) = (Vec::new(), false);
    for line in text.lines() {
        is_fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if !is_fenced && title.len() < line.len() && title.starts_with(' ') {
            titles.push(title.trim());
        }
    }
    titles
}

/// The anchors that GitHub gives to headings: letters, digits, `-` and `_` stay, blanks become `-`; of some
/// that are alike, the second ends with `-1`.
fn anchors(text: &str) -> BTreeSet<String> {
    let (mut all, mut seen) = (BTreeSet::new(), BTreeMap::new());
    for title in headings(text) {
        // Of a link in it, what is shown.
        let parts = title.split("](").enumerate();
        let shown =
            parts.map(|(i, part)| if i == 0 { part } else { part.split_once(')').map_or("", |p| p.1) });
        let kept = |c: &char| is_of_word(*c) || "- ".contains(*c);
        let shown = shown.collect::<String>().to_lowercase();
        let anchor = shown.chars().filter(kept).collect::<String>().replace(' ', "-");
        let count = seen.entry(anchor.clone()).and_modify(|count| *count += 1).or_insert(0);
        all.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
    }
    all
}

#[test]
fn what_is_cited_is_there() {
    let (count, wrong) = Tree::of_checkout().check();
    assert!(wrong.is_empty(), "of {count} citations are wrong:\n{}", wrong.join("\n"));
    assert!(count > 700, "{count} citations are all");
}

#[test]
fn what_fails_when_a_law_is_broken_is_there() {
    let tree = Tree::of_checkout();
    let is_name = |name: &str| name.parse::<Mutant>().is_ok() || name.parse::<Protocol>().is_ok();
    let (count, wrong) = tree.check_laws(is_name);
    assert!(wrong.is_empty(), "of {count} names are wrong:\n{}", wrong.join("\n"));
    assert!(count > 20, "{count} names are all");
    let laws: Vec<&str> =
        tree.text(LAWS).split("\n## ").filter(|part| part.starts_with(char::is_numeric)).collect();
    for (law, number) in laws.iter().zip(1..) {
        assert!(law.starts_with(&format!("{number}. ")), "one after the other: {law}");
        assert!(law.contains("\n- *Why*: ") && law.contains("\n- *Fails*: "), "{law}");
    }
    assert_eq!(laws.len(), 10);
}

/// What is wrong in `text`, as the file `path` of a small checkout.
fn wrong(path: &str, text: &str) -> Vec<String> {
    let others = [
        (
            LAWS,
            "# Laws\n\n## 1. One code\n\n## 2. Look up after locking\n\n## `a`, b_c (d)\n\n## `a`, b_c (d)\n",
        ),
        (RACES, "| | what |\n|---|---|\n| R1 | two stores |\n| R25 | nothing |\n"),
        ("docs/decisions/0001-mapping-state-in-vfs.md", "# One"),
        ("fs/Cargo.toml", ""),
        ("fs/src/lib.rs", ""),
        ("fs/tests/main.rs", ""),
        ("scripts/setup.sh", ""),
        ("test.sh", ""),
        ("tests/Cargo.toml", ""),
        (path, text),
    ];
    Tree::new(others.map(|(path, text)| (path.to_owned(), Some(text.to_owned())))).check().1
}

/// Each of `lines` is right in `path`, or is not, as `is_right` has it.
fn each(path: &str, is_right: bool, lines: &[&str]) {
    for line in lines {
        let found = wrong(path, &format!("\n{line}\n"));
        assert_eq!(found.is_empty(), is_right, "{line}: {found:?}");
        assert!(found.iter().all(|what| what.starts_with(&format!("{path}:2: "))), "{found:?}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    each(
        "docs/fuzzing.md",
        true,
        &[
            "[a](laws.md)",
            "[a](laws.md#1-one-code), [a](../docs/laws.md#2-look-up-after-locking)",
            "[a](laws.md#a-b_c-d), [a](laws.md#a-b_c-d-1)",
            "[`a`](../fs/src), [b](../fs/src/lib.rs \"title\")",
            "# A heading\n[a](#a-heading)",
            "[a](https://example.com/laws.md#x)",
            "`[a](gone.html)`",
            "[a]: ../test.sh\n[^b]: no link",
        ],
    );
    each(
        "docs/fuzzing.md",
        false,
        &[
            "[a](law.md)",
            "[a](docs/laws.md)",
            "[a](laws.md#1-two-codes)",
            "[a](laws.md#a-b_c-d-2)",
            "[a](#a-heading)",
            "[`a`](../../laws.md)",
            "[a]: ../test",
        ],
    );
    each("fs/src/stats.rs", true, &["//! [a](../../docs/laws.md), [`b`](crate::c), [d](super::e)"]);
    each("fs/src/stats.rs", false, &["//! [a](../docs/laws.md)"]);
}

#[test]
fn a_path_that_leads_nowhere_is_found() {
    each(
        "docs/fuzzing.md",
        true,
        &[
            "fs/src/lib.rs, `fs/src/`, `fs/tests/main.rs`.",
            "`src/lib.rs`, `lib.rs`, `main.rs`, `other/gone.txt`, target/gone.json",
            "./test.sh a, https://example.com/fs/src/gone.rs",
            "docs/decisions/0001.",
        ],
    );
    each(
        "docs/fuzzing.md",
        false,
        &[
            "see fs/src/gone.rs.",
            "`fs/gone/`",
            "`gone/lib.rs`",
            "`gone.rs`",
            "`ib.rs`",
            "(GONE.md, law)",
            "./tests.sh",
            "docs/decisions/0002",
        ],
    );
    // Of its crate, of its folder; in a text, as a whole.
    let right = [
        "/// As in `tests/main.rs`: lib.rs",
        "let a = (\"fs/src/lib.rs\", \"gone of fs/src/gone.rs\"); /\u{2f} fs/src/lib.rs",
    ];
    each("fs/src/stats.rs", true, &right);
    each(
        "fs/src/stats.rs",
        false,
        &["/// tests/gone.rs", "let a = \"fs/src/gone.rs\";", "let a = 1; /\u{2f} fs/src/gone.rs"],
    );
    each(
        "scripts/build.sh",
        true,
        &[". \"$root/scripts/setup.sh\" # in scripts/setup.sh", "\"$folder/src/gone.rs\""],
    );
    each("scripts/build.sh", false, &[". \"$root/scripts/gone.sh\"", "# scripts/gone.sh"]);
    each("boot/Cargo.toml", false, &["# `fs/src/gone.rs`"]);
}

#[test]
fn a_law_a_decision_a_race_that_there_is_not_is_found() {
    let link = "[a](laws.md#1-one-code) [b](laws.md#2-look-up-after-locking)";
    for (right, wrong) in [("law 1", "law 3"), ("Laws 1 and 2", "laws 1, 2 and 3"), ("law\n2", "(law 0)")] {
        each("docs/fuzzing.md", true, &[&format!("{link} {right}")]);
        each("docs/fuzzing.md", false, &[&format!("{link} {wrong}")]);
    }
    each("docs/fuzzing.md", true, &["decision 1, R1 to R25, decisions 1 and 1, AR99, R99a"]);
    each("docs/fuzzing.md", false, &["decision 2", "decisions 1 and 12", "R2", "(R26)"]);
    each("fs/src/stats.rs", true, &["//! (docs/laws.md, law 2; R25)", "let a = \"law 9, R9\";"]);
    each("fs/src/stats.rs", false, &["//! docs/laws.md, law 3", "a(); // R3", "//! decision 3"]);
    each("scripts/build.sh", false, &["# docs/laws.md, law 3", "# docs/decisions/0003"]);
}

#[test]
fn a_law_without_a_link_to_it_is_found() {
    each("docs/fuzzing.md", false, &["law 1", "[a](laws.md#1-one-code) and law 2", "[law 2](laws.md)"]);
    each("fs/src/stats.rs", false, &["//! law 2"]);
}

#[test]
fn a_test_or_mistake_that_a_law_names_and_there_is_not_is_found() {
    let tests =
        "#[test]\nfn one_2_three() {}\nmod a {\n    #[test]\n    #[ignore]\n    fn four_five_six() {}\n}
                 fn no_test_here() {}";
    let names = |laws: &str| {
        let files = [(LAWS, laws), ("fs/src/lib.rs", tests)];
        let tree = Tree::new(files.map(|(path, text)| (path.to_owned(), Some(text.to_owned()))));
        tree.check_laws(|name| name == "made-up")
    };
    assert_eq!(names("`one_2_three`, `four_five_six`, `made-up`, `dax_sem`, `fs`"), (3, Vec::new()));
    for name in ["no_test_here", "seven_eight_nine", "made-down"] {
        assert_eq!(names(&format!("\n`{name}`")), (1, vec![format!("{LAWS}:2: there is no {name}")]));
    }
}
