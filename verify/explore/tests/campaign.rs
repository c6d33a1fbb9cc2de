//! The explorer's command line: campaigns in shards, what is kept of them, and what is refused.

use std::path::PathBuf;
use std::process::{Command, Output};
use tests::here;

/// A few worlds that take no time.
const SMALL: [&str; 9] =
    ["pairs", "--range", "page", "--start", "block", "--protocol", "read-first", "--op", "msync"];

fn explore(arguments: &[&str]) -> Output {
    Command::new(here(env!("CARGO_BIN_EXE_explore"))).args(arguments).output().expect("the explorer")
}

/// What it said, having ended with that status.
fn says(arguments: &[&str], status: i32) -> String {
    let output = explore(arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {out}{err}");
    assert_eq!(err.is_empty(), status != 2, "{err}");
    if status == 2 { err } else { out }
}

fn with<'a>(one: &[&'a str], other: &[&'a str]) -> Vec<&'a str> {
    [one, other].concat()
}

/// A place for a file that is not there yet.
fn file(name: &str) -> (PathBuf, String) {
    let path = here(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let text = path.to_str().expect("text").to_owned();
    (path, text)
}

/// The number after `name: ` in a line of the summary.
fn count(summary: &str, name: &str) -> u64 {
    let line = summary.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let digits = line.and_then(|line| line.split(|c: char| !c.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no {name} in {summary}"))
}

#[test]
fn shards_together_are_the_campaign() {
    let whole = says(&SMALL, 0);
    let names: Vec<(PathBuf, String)> = (1..=3).map(|nth| file(&format!("shard-{nth}"))).collect();
    for (nth, (_, name)) in names.iter().enumerate() {
        says(&with(&SMALL, &["--jobs", "1", "--shard", &format!("{}/3", nth + 1), "--save", name]), 0);
    }
    let names: Vec<&str> = names.iter().map(|(_, name)| &name[..]).collect();
    let merged = says(&with(&["merge"], &names), 0);
    for what in ["worlds", "schedules", "end states", "findings"] {
        assert_eq!(count(&merged, what), count(&whole, what), "{what}: {merged}\n{whole}");
    }
    assert!(count(&whole, "worlds") > 15 && count(&whole, "schedules") > count(&whole, "worlds"), "{whole}");
    let some = says(&with(&["merge"], &names[..2]), 1);
    assert!(some.contains("missing: shard 3/3, all of its"), "{some}");
    let other = file("other");
    says(&with(&SMALL, &["--most", "7", "--save", &other.1]), 0);
    let refused = says(&["merge", names[0], &other.1], 2);
    assert!(refused.contains("another campaign") && refused.lines().count() == 1, "{refused}");
}

/// It ends wherever it ends; what is there counts, and is not run again.
#[test]
fn who_is_interrupted_goes_on() {
    let (path, name) = file("torn");
    let arguments = with(&SMALL, &["--save", &name]);
    let whole = says(&arguments, 0);
    let text = std::fs::read(&path).expect("the file");
    let lines = text.iter().filter(|&&byte| byte == b'\n').count();
    for left in [0, 5, text.len() / 3, text.len() / 2, text.len() - 1, text.len()] {
        std::fs::write(&path, &text[..left]).expect("the file");
        let kept = text[..left].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
        let again = says(&arguments, 0);
        let on = format!("goes on: {kept} of {} worlds", lines - 1);
        assert_eq!(again.contains("goes on"), kept > 0, "{left}: {again}");
        assert!(kept == 0 || again.contains(&on), "{left}: {again}");
        for what in ["worlds", "schedules", "end states"] {
            assert_eq!(count(&again, what), count(&whole, what), "{what} after {left} bytes");
        }
        let now = std::fs::read(&path).expect("the file");
        assert_eq!(now.iter().filter(|&&byte| byte == b'\n').count(), lines);
    }
    // What is in the middle is no interruption.
    let mut broken = text.clone();
    let at = text.iter().position(|&byte| byte == b'\n').expect("a line");
    broken[at + 1] = b'x';
    std::fs::write(&path, &broken).expect("the file");
    let refused = says(&arguments, 2);
    assert!(refused.contains("line 2 is not a result"), "{refused}");
}

#[test]
fn what_is_found_is_told_with_a_story_and_a_status() {
    let out = says(&["world", "racy/page.hole/a:load/b:store"], 1);
    assert!(out.contains("racy/page.hole/a:load/b:store: lost: address space"), "{out}");
    assert!(out.contains("racy/page.hole/a:load/b:store: lost; "), "{out}");
    assert!(out.contains("story: racy/page.hole/a:load/b:store@"), "{out}");
    assert!(out.contains("mode: exhaustive") && out.contains("does not cover: "), "{out}");
    let out = says(&["world", "racy/page.hole/a:load/b:store", "--random", "2000"], 1);
    assert!(out.contains("mode: random (PCT): 2000 schedules a world, depth 3, seed 1"), "{out}");
    let out = says(&["world", "read-first/page.hole/a:load/b:store"], 0);
    assert!(out.contains("read-first/page.hole/a:load/b:store: kept; "), "{out}");
}

/// The kernel's races say `kept`, `lost` and `stuck`, and so does everything that the explorer prints.
#[test]
fn verdicts_are_the_kernels_words() {
    let racy = "racy/page.hole/a:load/b:store";
    let story = |out: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix("  story: ")).expect("a story");
        line.to_owned()
    };
    let lost = says(&["world", racy], 1);
    let told = says(&["replay", &story(&lost)], 1);
    assert!(told.lines().any(|line| line.starts_with("lost: address space a shows a hole")), "{told}");
    // Waiters are woken on another key than they sleep on.
    let stuck = says(&["world", "entry-lock/page.hole/a:load/b:load!wake-wrong-key"], 1);
    assert!(
        stuck.contains("!wake-wrong-key: stuck; ") && stuck.contains(": stuck: nobody can go on"),
        "{stuck}"
    );
    let told = says(&["replay", &story(&stuck)], 1);
    assert!(told.lines().any(|line| line.starts_with("stuck: nobody can go on")), "{told}");
    let kept = says(&["replay", "read-first/page.hole/a:load/b:store@0:end,1:end"], 0);
    assert!(kept.lines().any(|line| line == "kept"), "{kept}");
    let mutant = says(&["mutants", "shootdown-first"], 0);
    assert!(mutant.starts_with("shootdown-first: lost: block"), "{mutant}");
    let summary = says(&SMALL, 0);
    assert!(summary.contains(" kept, 0 given up, 0 lost or stuck)"), "{summary}");
}

#[test]
fn bad_use_is_one_line() {
    let (_, name) = file("kept");
    says(&with(&SMALL, &["--save", &name]), 0);
    for (arguments, part) in [
        (vec![], "which command?"),
        (vec!["quads"], "no such command: `quads`"),
        (vec!["pairs", "--op", "stoer"], "no such operation: `stoer`"),
        (vec!["pairs", "--protocol", "racey"], "no such protocol: `racey`"),
        (vec!["pairs", "--shard", "4/3"], "shard 4/3 is outside of 1/3 to 3/3"),
        (vec!["pairs", "--shard", "0/3"], "shard 0/3 is outside of 1/3 to 3/3"),
        (vec!["pairs", "--shard", "1/0"], "shard 1/0"),
        (vec!["pairs", "--shard", "third"], "no shard: `third` (the form is 2/8)"),
        (vec!["pairs", "--jobs", "0"], "--jobs: `0` is no number from 1 on"),
        (vec!["pairs", "--op", "load", "--op", "load", "--op", "load"], "no pairs are like that"),
        (vec!["pairs", "--save", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
        (vec!["pairs", "--save", "/proc/version"], "/proc/version: "),
        (vec!["pairs", "--quick"], "--quick"),
        (
            vec!["pairs", "--start", "block", "--save", &name],
            "holds another campaign: pairs protocol=read-first ",
        ),
        (with(&SMALL, &["--shard", "1/2", "--save", &name]), "holds shard 1/1, not 1/2"),
        (vec!["pairs", "--save", "Cargo.toml"], "Cargo.toml: not a file of results"),
        (vec!["merge"], "merge: which files?"),
        (vec!["merge", "/nowhere/at/all"], "/nowhere/at/all: No such file"),
        (vec!["merge", "Cargo.toml"], "Cargo.toml: not a file of results"),
        (vec!["world"], "world: which?"),
        (vec!["world", "read-first/page.hole/a:laod"], "no such operation: `laod`"),
        (vec!["world", "read-first/page.hole/a:load!no-such"], "no such mistake: `no-such`"),
        (
            vec!["world", "read-first/page.hole/a:load@0:end"],
            "a schedule (`@`) where a world alone is asked for",
        ),
        (vec!["world", "read-first/page.hole/a:load", "--depth", "2"], "--depth and --seed go with --random"),
    ] {
        let err = says(&arguments, 2);
        assert!(
            err.starts_with("explore: ") && err.contains(part) && err.lines().count() == 1,
            "{arguments:?}: {err}"
        );
    }
}
