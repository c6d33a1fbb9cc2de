//! README.md is typed as it stands, and what is printed is compared with what it shows; so are
//! docs/exploration.md's commands.
//!
//! In code blocks, `$ LINE` is for the host's shell and `daxiom:/# LINE` for the machine that
//! `$ ./qemu-run.sh` has started; what stands under such a line is what it prints. A line `...` stands for
//! any lines. Blanks in a row count as one. Numbers: integers below 100 must be the same, for "1 retry" is
//! not "2 retries". Others must be numbers too: those of 100 and more, with a decimal point, or with 0x
//! differ from build to build. Dates must be dates. With `--icount`, where every run gives the same, a number
//! of 100 and more may be a quarter off, not more: then README is stale.
//!
//! What is too dear, or asks for a person, is in [`NOT_TYPED`] with the reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::root;
use tests::vm::Vm;

/// Lines of the host's that are not typed, by how they begin, and why.
const NOT_TYPED: [(&str, &str); 5] = [
    ("./test.sh", "it is what runs this"),
    ("./qemu-run.sh --pmem ex.img", "an hour; exercise.rs runs each exerciser"),
    ("./qemu-run.sh --pmem mine.img --uefi", "ends at a prompt; boot.rs boots by UEFI"),
    ("explore triples", "minutes; campaign.rs runs shards"),
    ("explore merge", "merges these; campaign.rs does"),
];

/// A line that is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who<'a> {
    Host(&'a str),
    Guest(&'a str),
    /// Nobody: what is there before the first prompt.
    Boot,
}

/// A line that is typed, and what is printed.
#[derive(Debug)]
struct Typed<'a> {
    who: Who<'a>,
    prints: Vec<&'a str>,
}

/// All that is typed in the code blocks of `text`, in order.
fn typed(text: &str) -> Vec<Typed<'_>> {
    let mut all: Vec<Typed<'_>> = Vec::new();
    let (mut inside, mut known) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            (inside, known) = (!inside, false);
            continue;
        }
        let who = match line.strip_prefix("$ ") {
            _ if !inside => continue,
            Some(command) => Some(Who::Host(command)),
            None if line == "daxiom:/#" => continue,
            None => line.strip_prefix("daxiom:/# ").map(Who::Guest),
        };
        match who {
            Some(who) => {
                known = true;
                all.push(Typed { who, prints: Vec::new() });
            }
            None if known => all.last_mut().expect("one is known").prints.push(line),
            // A block that begins with a boot message shows the boot.
            None if line.starts_with("[  ") => {
                known = true;
                all.push(Typed { who: Who::Boot, prints: vec![line] });
            }
            None => {}
        }
    }
    all
}

/// A piece of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Piece<'a> {
    Word(&'a str),
    /// Below 100.
    Small(u64),
    Large(u64),
    Date,
}

fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if let Some(count) = date(&words[at - 1..]) {
            pieces.push(Piece::Date);
            at += count - 1;
            continue;
        }
        let mut rest = *word;
        while !rest.is_empty() {
            let end = |is: fn(char) -> bool| rest.find(|letter| !is(letter)).unwrap_or(rest.len());
            let end = if let Some(hex) = rest.strip_prefix("0x") {
                pieces.push(Piece::Large(0));
                2 + hex.find(|letter: char| !letter.is_ascii_hexdigit()).unwrap_or(hex.len())
            } else if rest.starts_with(|letter: char| letter.is_ascii_digit()) {
                let digits = end(|letter| letter.is_ascii_digit());
                let more = rest[digits..].strip_prefix('.').map_or(0, |rest| {
                    rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len())
                });
                let number = rest[..digits].parse().unwrap_or(u64::MAX);
                pieces.push(match number {
                    _ if more > 0 => Piece::Large(0),
                    0..100 => Piece::Small(number),
                    _ => Piece::Large(number),
                });
                digits + if more > 0 { 1 + more } else { 0 }
            } else {
                let letters = end(|letter| letter.is_alphabetic());
                let end = if letters == 0 { rest.chars().next().map_or(1, char::len_utf8) } else { letters };
                pieces.push(Piece::Word(&rest[..end]));
                end
            };
            rest = &rest[end..];
        }
        pieces.push(Piece::Word(" "));
    }
    pieces
}

/// How many words a date takes that they begin with: `Nov 22 20:44`, or with a year.
fn date(words: &[&str]) -> Option<usize> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let [month, day, time, ..] = words else { return None };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == ':');
    (month.len() == 3 && MONTHS.contains(month) && digits(day) && digits(time)).then_some(3)
}

/// Whether a printed line is what is shown. `exact`: numbers are the same in every run.
fn same(shown: &str, printed: &str, exact: bool) -> bool {
    let (shown, printed) = (pieces(shown), pieces(printed));
    let close = |a: u64, b: u64| !exact || a.abs_diff(b) * 4 <= a.max(b);
    shown.len() == printed.len()
        && shown.iter().zip(&printed).all(|pair| match pair {
            (Piece::Large(a), Piece::Large(b)) => close(*a, *b),
            (a, b) => a == b,
        })
}

/// Whether the lines are those that are shown. Which comes first of output and errors, a terminal does not
/// promise.
fn all_same(shown: &[&str], [out, err]: [&[&str]; 2], exact: bool) -> bool {
    let [first, rest @ ..] = shown else { return out.is_empty() && err.is_empty() };
    if *first == "..." {
        // None, or one more.
        return all_same(rest, [out, err], exact)
            || !out.is_empty() && all_same(shown, [&out[1..], err], exact)
            || !err.is_empty() && all_same(shown, [out, &err[1..]], exact);
    }
    let next = |lines: &[&str]| lines.first().is_some_and(|line| same(first, line, exact));
    next(out) && all_same(rest, [&out[1..], err], exact)
        || next(err) && all_same(rest, [out, &err[1..]], exact)
}

/// What is wrong with what was printed, if anything.
fn compare(line: &str, shown: &[&str], [out, err]: [&str; 2], wrong: &mut Vec<String>) {
    let is_text = |line: &&str| !line.trim().is_empty();
    let shown: Vec<&str> = shown.iter().copied().filter(is_text).collect();
    let lines = [out, err].map(|text| text.lines().filter(is_text).collect::<Vec<&str>>());
    if !all_same(&shown, [&lines[0], &lines[1]], line.contains("--icount")) {
        wrong.push(format!("{line}\n--- shown\n{}\n--- printed\n{out}{err}\n", shown.join("\n")));
    }
}

/// A folder in which README is followed as in a checkout that is built: nothing of the user's is touched.
struct Checkout {
    folder: tempfile::TempDir,
    target: PathBuf,
}

impl Checkout {
    fn new() -> Self {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("target");
        fs::create_dir(&inner).expect("a folder");
        for name in ["daxiom-bios.img", "x86_64-unknown-none", "explore"] {
            std::os::unix::fs::symlink(target.join(name), inner.join(name)).expect("a link");
        }
        Self { folder, target }
    }

    /// The command that the line is, in the folder. The build is test.sh's; QEMU's processor is the one that
    /// is shown.
    fn host(&self, line: &str) -> Command {
        let explorer = self.target.join("explore/explore");
        let script = root().join("qemu-run.sh");
        let line = line.replace("./qemu-run.sh", "\"$RUN\" --no-build --accel tcg");
        let line = match line.strip_prefix("explore ") {
            Some(rest) => format!("\"$EXPLORE\" {rest}"),
            None => line,
        };
        let mut command = Command::new("bash");
        command.args(["-c", &line]).env("RUN", script).env("EXPLORE", explorer);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        // What is built is built in the checkout.
        let builds = line.starts_with("cargo ");
        command.env("CARGO_TARGET_DIR", if builds { self.target.clone() } else { self.inner() });
        command.current_dir(if builds { root() } else { self.folder.path().to_path_buf() });
        command
    }

    fn inner(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    /// Types what is not too dear, in order; what differs.
    fn follow(&self, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut vm: Option<Vm> = None;
        let mut boot = String::new();
        for Typed { who, prints } in typed(text) {
            match who {
                Who::Host(line) if NOT_TYPED.iter().any(|(not, _)| line.starts_with(not)) => {}
                Who::Host(line) if line.split(" #").next().map(str::trim) == Some("./qemu-run.sh") => {
                    let machine = vm.insert(Vm::spawn(self.host(line)));
                    boot = machine.prompt();
                }
                Who::Host(line) => {
                    let output = self.host(line).output().expect("bash");
                    let [out, err] =
                        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
                    compare(line, &prints, [&out, &err], &mut wrong);
                }
                Who::Boot => compare("the boot", &prints, [&boot.replace('\r', ""), ""], &mut wrong),
                Who::Guest("poweroff") => {
                    let mut machine = vm.take().expect("a machine runs");
                    machine.send("poweroff\r");
                    assert_eq!(machine.wait(), 0);
                }
                Who::Guest(line) => {
                    let machine = vm.as_mut().unwrap_or_else(|| panic!("no machine runs: {line}"));
                    compare(line, &prints, [&machine.command(line), ""], &mut wrong);
                }
            }
        }
        assert!(vm.is_none(), "the machine is left running");
        wrong
    }
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn readme_prints_what_it_shows() {
    let text = read("README.md");
    let wrong = Checkout::new().follow(&text);
    assert!(wrong.is_empty(), "README.md shows other things:\n{}", wrong.concat());
}

#[test]
fn the_exploration_chapter_prints_what_it_shows() {
    let text = read("docs/exploration.md");
    let checkout = Checkout::new();
    // README builds it; whoever runs this test alone does it here.
    let built = checkout.host("cargo build -q --profile explore -p explore").status().expect("bash");
    assert!(built.success());
    let wrong = checkout.follow(&text);
    assert!(wrong.is_empty(), "docs/exploration.md shows other things:\n{}", wrong.concat());
}

/// What is left out is there, and is worth the reason.
#[test]
fn what_is_not_typed_is_there() {
    let texts = read("README.md") + &read("docs/exploration.md");
    let all = typed(&texts);
    for (not, why) in NOT_TYPED {
        let is = |one: &Typed<'_>| matches!(one.who, Who::Host(line) if line.starts_with(not));
        assert!(all.iter().any(is), "nobody shows `{not}` ({why})");
    }
    assert!(all.iter().filter(|one| matches!(one.who, Who::Guest(_))).count() > 10);
}

#[test]
fn numbers_are_compared_by_shape_and_small_ones_as_they_are() {
    for (shown, printed) in [
        ("fault.retry 1", "fault.retry  1"),
        ("   1: [8..15]:   19056..19063   8   0x1", "1: [8..15]: 20000..20007 8 0x1"),
        ("drwx 2 0 0 4096 Nov 22 20:44 notes", "drwx 2 0 0 4096 Jan  3 01:02 notes"),
        ("[  0.005609] Daxiom 0.1.0", "[ 11.1] Daxiom 0.2.0"),
    ] {
        assert!(same(shown, printed, false), "{shown}: {printed}");
    }
    for (shown, printed) in [
        ("fault.retry 1", "fault.retry 2"),
        ("fault.retry 1", "fault.retries 1"),
        ("kept", "lost"),
        ("0x10 r--", "0x10 rw-"),
        ("9 0x1", "9"),
        ("Nov 22 20:44 a", "22 20:44 a"),
        ("12 files", "112 files"),
    ] {
        assert!(!same(shown, printed, false), "{shown}: {printed}");
    }
    assert!(same("create 1000 5242", "create 1000 5000", true));
    assert!(!same("create 1000 5242", "create 1000 3000", true));
    assert!(all_same(&["a", "...", "c"], [&["a", "b", "b", "c"], &[]], false));
    assert!(all_same(&["a", "..."], [&["a"], &[]], false));
    assert!(!all_same(&["a", "...", "c"], [&["a", "b"], &[]], false));
    assert!(!all_same(&["a"], [&["a", "b"], &[]], false));
    assert!(all_same(&["a", "x", "b"], [&["a", "b"], &["x"]], false), "errors stand where they come");
    assert!(!all_same(&["b", "a"], [&["a", "b"], &[]], false) && !all_same(&["a"], [&["a"], &["x"]], false));
}

/// Lines of the Rust files under a path.
fn lines_under(path: &Path) -> usize {
    if path.is_dir() {
        return fs::read_dir(path)
            .expect("a folder")
            .map(|entry| lines_under(&entry.expect("an entry").path()))
            .sum();
    }
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    if is_rust { fs::read_to_string(path).expect("a file").lines().count() } else { 0 }
}

/// README's table of rooms: within a tenth of what is there.
#[test]
fn the_table_of_rooms_tells_their_sizes() {
    let text = read("README.md");
    let table = text.split("| room | what | lines |").nth(1).expect("the table");
    let mut rooms = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let [_, names, _, told, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("no row: {row}")
        };
        let told: usize = told.replace(',', "").parse().unwrap_or_else(|_| panic!("no number: {row}"));
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        let beside = Path::new(names[0]).parent().expect("a path");
        // `kernel/base/src/arch`, `mm`: the second is beside the first.
        let path = |name: &&str| {
            let (whole, sibling) = (root().join(name), root().join(beside).join(name));
            if whole.exists() { whole } else { sibling }
        };
        let there: usize = names.iter().map(path).map(|path| lines_under(&path)).sum();
        assert!(told.abs_diff(there) * 10 <= there, "{row}: there are {there} lines");
        rooms += names.len();
    }
    assert!(rooms > 15, "{rooms}");
}

/// Each regression of docs/races.md says where it comes from.
#[test]
fn every_race_is_cited() {
    let text = read("docs/races.md");
    let (before, after) = text.split_once("## Where they come from").expect("the chapter");
    let numbers = |text: &str| -> BTreeSet<u32> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("| R")?.split(' ').next()?.parse().ok());
        rows.collect()
    };
    let after = after.split("\n## ").next().expect("a chapter");
    assert_eq!(numbers(after), (1..=25).collect(), "cited");
    assert_eq!(numbers(before), numbers(after), "told");
}
