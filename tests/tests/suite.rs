//! ./test.sh itself: what it says of a step, of a test that failed, of a NAME that nothing has; that it
//! counts what runs, and that nothing is left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::root;

/// Runs `script` in bash, where the functions of scripts/steps.sh are; `tree` is what they take for the
/// checkout.
fn steps(tree: &Path, script: &str) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder for the logs");
    let scripts = root().join("scripts");
    let script = format!(
        "set -euo pipefail
         die() {{ echo \"$*\"; exit 125; }}
         root='{}'
         . '{}/steps.sh'
         {script}",
        tree.display(),
        scripts.display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("CARGO_TARGET_DIR", folder.path())
        .output()
        .expect("bash runs");
    said(&output)
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn every_step_runs_its_cost_is_told_and_the_last_lines_sum_up() {
    let script = "step good true; step bad false; step 'good too' true; skip more 'there is none'; summary";
    let (status, text) = steps(&root(), script);
    assert_eq!(status, 1, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"steps: 2 passed, 1 failed, 1 skipped"), "{text}");
    assert!(lines[lines.len() - 2].starts_with("test.sh: FAILED: bad ("), "{text}");
    let cost =
        text.split_once("-- good: passed (").and_then(|(_, rest)| rest.split_once(')')).expect(&text).0;
    assert_eq!(cost.replace(|c: char| c.is_ascii_digit(), "0"), "0 s, 0 s of CPU time", "{text}");
    assert!(text.contains("\nskipped: more: there is none\n"), "{text}");
    let table: Vec<Vec<&str>> = lines
        .iter()
        .skip_while(|line| !line.starts_with("step "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(table[0], ["step", "wall", "s", "CPU", "s"], "{text}");
    assert!(
        ["good", "bad", "good", "all"].iter().zip(&table[1..]).all(|(name, row)| row[0] == *name),
        "{text}"
    );

    let (status, text) = steps(&root(), "step good true; summary");
    assert_eq!(status, 0, "{text}");
    assert!(
        text.contains("\ntest.sh: all passed (") && text.ends_with("steps: 1 passed, 0 failed, 0 skipped\n"),
        "{text}"
    );
}

#[test]
fn cpu_time_is_that_of_all_who_were_started() {
    let script = "milliseconds 0m0.078s; echo; milliseconds 61m2,345s; echo
        step busy bash -c 'bash -c \"for ((i = 0; i < 400000; i++)); do :; done\"'; cpu; echo \"used $cpu_ms\"";
    let (_, text) = steps(&root(), script);
    assert!(text.starts_with("78\n3662345\n"), "{text}");
    let used = text.lines().find_map(|line| line.strip_prefix("used ")).expect("the last line");
    assert!(used.parse::<u32>().expect("a number") >= 100, "{text}");
}

/// What cargo prints of two programs, one test of which fails.
const FAILING: &str = "   Compiling fs v0.1.0 (/somewhere/fs)
     Running unittests src/lib.rs (target/debug/deps/fs-0123456789abcdef)

running 2 tests
test dax::first ... ok
test dax::second ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/main.rs (target/debug/deps/fs_tests-0123456789abcdef)

running 3 tests
test crash::one ... ok
test crash::two ... FAILED
test interop::three ... ignored, needs root

failures:

---- crash::two stdout ----
thread 'crash::two' panicked at fs/tests/crash.rs:1:1:
two is wrong


failures:
    crash::two

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

error: test failed, to rerun pass `-p fs --test fs-tests`
     Running tests/editor.rs (target/debug/deps/editor-0123456789abcdef)

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s

error: 1 target failed:
    `-p fs --test fs-tests`
";

#[test]
fn a_failing_test_is_told_in_full_with_the_line_that_runs_it_alone() {
    let script =
        format!("cargo() {{ cat <<'END'\n{FAILING}END\nreturn 101; }}; step tests cargo_tests --; summary");
    let (status, text) = steps(&root(), &script);
    assert_eq!(status, 1, "{text}");
    let start = text.find("test result: ok").expect("the first program");
    let want =
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s  [fs]
FAILED: fs-tests: crash::two
---- crash::two stdout ----
thread 'crash::two' panicked at fs/tests/crash.rs:1:1:
two is wrong
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s  [fs-tests]
alone: ./test.sh 'crash::two'
   or: cargo test --test fs-tests -- --exact 'crash::two'
-- tests: FAILED";
    let got: Vec<&str> = text[start..].lines().filter(|line| !line.is_empty()).collect();
    let got = got.join("\n");
    assert!(got.starts_with(want), "{text}");
    // Of a package that is not cargo's default, that is said, too.
    let (_, text) =
        steps(&root(), &script.replace("cargo_tests --;", "cargo_tests -p tests -- --test-threads=2;"));
    assert!(
        text.contains("\n   or: cargo test -p tests --test fs-tests -- --exact 'crash::two'\n"),
        "{text}"
    );
}

#[test]
fn what_does_not_compile_is_told() {
    let script =
        "cargo() { printf 'error[E0308]: mismatched types\\n --> fs/src/lib.rs:1:1\\n'; return 101; }
        step tests cargo_tests --; summary";
    let (status, text) = steps(&root(), script);
    assert!(status == 1 && text.contains("mismatched types\n --> fs/src/lib.rs:1:1\n"), "{text}");
}

#[test]
fn a_test_that_could_show_nothing_is_counted_as_skipped() {
    let script = r#"cargo() { echo 'setup::boots: no Debian' >>"$DAXIOM_SKIPPED"
            printf '\nrunning 1 test\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\n'; }
        step tests cargo_tests --; summary"#;
    let (status, text) = steps(&root(), script);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("\nskipped: setup::boots: no Debian\n"), "{text}");
    assert!(text.ends_with("steps: 1 passed, 0 failed, 1 skipped\n"), "{text}");
}

#[test]
fn a_name_that_no_test_has_is_a_failure() {
    let script = "names=(nothing); cargo() { printf '\\nrunning 0 tests\\n\\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\\n'; }
        step tests cargo_tests -- nothing; summary";
    let (status, text) = steps(&root(), script);
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("test.sh: FAILED: no test's name contains \"nothing\" ("), "{text}");
    assert!(text.ends_with("steps: 0 passed, 1 failed, 1 skipped\n"), "{text}");
}

#[test]
fn a_file_that_the_run_changes_is_a_failure_and_one_changed_before_is_not() {
    if Command::new("git").arg("--version").output().is_err() {
        return tests::skip("there is no git here");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments).current_dir(&folder);
        let output = command.output().expect("git");
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q"]);
    for name in ["kept", "lock"] {
        std::fs::write(folder.path().join(name), "1").expect("a file");
    }
    git(&["add", "."]);
    git(&["commit", "-qm", "start"]);
    std::fs::write(folder.path().join("kept"), "2").expect("a file");
    let script = "step tree unchanged; echo 3 >\"$root/lock\"; : >\"$root/new\"; step tree unchanged
        rm \"$root/new\"; echo 1 | tr -d '\\n' >\"$root/lock\"; echo 3 >\"$root/kept\"; step tree unchanged; summary";
    let (status, text) = steps(folder.path(), script);
    assert_eq!(status, 1, "{text}");
    let changes: Vec<&str> = text.lines().filter(|line| line.contains("changed")).collect();
    let want = [
        "changed by this run:  M lock",
        "changed by this run: ?? new",
        "a file that was changed before has other contents now, or is as committed",
    ];
    assert_eq!(changes, want, "{text}");
    assert!(text.ends_with("steps: 1 passed, 2 failed, 0 skipped\n"), "{text}");
}

#[test]
fn help_names_every_option_and_what_is_unknown_is_one_line() {
    let run = |arguments: &[&str]| {
        said(&Command::new(root().join("test.sh")).args(arguments).output().expect("test.sh starts"))
    };
    let (status, help) = run(&["--help"]);
    assert!(status == 0 && help.starts_with("Runs everything that must pass.\n"), "{help}");
    let source = std::fs::read_to_string(root().join("test.sh")).expect("test.sh");
    let options: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_suffix("=yes ;;")?.split_once(')'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(options, ["--fast", "--long"]);
    assert!(options.iter().all(|option| help.contains(option)), "{help}");
    for wrong in [&["--frob"] as &[&str], &["one", "two"], &["--fast", "--long"], &[""]] {
        let (status, text) = run(wrong);
        assert!(
            status == 125 && text.lines().count() == 1 && text.starts_with("test.sh: "),
            "{wrong:?}: {text}"
        );
    }
}

/// A copy of a tree with its build directory comes with tests that were compiled in the original.
#[test]
fn a_copied_tree_runs_its_own_scripts() {
    let copy = tempfile::tempdir().expect("a folder for the copy");
    let made = Command::new("bash")
        .args(["-c", "mkdir tests && printf '#!/bin/sh\npwd > ran\n' > qemu-run.sh && chmod +x qemu-run.sh"])
        .current_dir(copy.path())
        .status();
    assert!(made.expect("bash runs").success());
    let this = std::env::current_exe().expect("this program");
    let (_, text) = said(
        &Command::new(this)
            .args(["--exact", "bad::no_nvdimm"])
            .env("CARGO_MANIFEST_DIR", copy.path().join("tests"))
            .output()
            .expect("it runs once more"),
    );
    let ran =
        std::fs::read_to_string(copy.path().join("ran")).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(Path::new(ran.trim_end()), copy.path().canonicalize().expect("the copy"));
}

/// Every source of the checkout.
fn sources() -> Vec<PathBuf> {
    let (mut folders, mut sources) = (vec![root()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match path.is_dir() {
                true if !name.starts_with('.') && name != "target" => folders.push(path),
                false if name.ends_with(".rs") => sources.push(path),
                _ => {}
            }
        }
    }
    sources
}

/// Of a package with one program of all tests: a file that its main.rs does not list would never run.
#[test]
fn every_file_is_listed() {
    let sources = sources();
    let mains: Vec<&PathBuf> = sources.iter().filter(|path| path.ends_with("tests/main.rs")).collect();
    for main in &mains {
        let listed = std::fs::read_to_string(main).expect("a source");
        let folder = main.parent().expect("a file is in a folder");
        let inside = sources.iter().filter_map(|path| path.strip_prefix(folder).ok());
        for path in inside.filter(|path| **path != *"main.rs") {
            let module = path.iter().next().expect("a path").to_str().expect("a plain name");
            let is_listed = listed.contains(&format!("\nmod {};", module.trim_end_matches(".rs")));
            assert!(is_listed, "{}: {}", main.display(), path.display());
        }
    }
    assert!(mains.len() >= 5, "{mains:?}");
}

/// The same for every test: who takes a path from the compiler asks where it is now.
#[test]
fn no_test_takes_the_tree_that_it_was_compiled_in_for_its_own() {
    let mut asked = 0;
    for file in sources() {
        let text = std::fs::read_to_string(&file).expect("a source");
        let asks = text.contains(r#"env::var("CARGO_MANIFEST_DIR")"#);
        for name in ["MANIFEST_DIR", "TARGET_TMPDIR", "BIN_EXE_explore"] {
            for (at, _) in text.match_indices(&format!("env!(\"CARGO_{name}\")")) {
                let is_here = text[..at].ends_with("here(");
                assert!(
                    is_here || (asks && name == "MANIFEST_DIR"),
                    "{}: {name} as it was compiled",
                    file.display()
                );
                asked += 1;
            }
        }
    }
    assert!(asked > 10, "{asked} such paths");
}
