//! What publishes a block or a name, frees one, or commits a record asks for evidence that what has to be
//! durable before is durable: the wrong order of stores does not compile. Nor does a change under too weak a
//! lock. The functions that try are in `src/ext2/wrong_order.rs`; they call the real ones.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use tests::here;

const FILE: &str = "src/ext2/wrong_order.rs";

/// Checks the crate with the functions in this order.
fn check(order: &str) -> Output {
    let target = here(env!("CARGO_TARGET_TMPDIR")).join("wrong-order");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(here(env!("CARGO_MANIFEST_DIR"))).env("CARGO_TARGET_DIR", target);
    // Checking is enough, and much faster than building.
    command.args([
        "rustc",
        "--quiet",
        "--offline",
        "--lib",
        "--profile",
        "check",
        "--message-format",
        "short",
    ]);
    command.arg("--").arg("--cfg").arg(format!("daxiom_order=\"{order}\""));
    command.output().expect("cargo runs")
}

#[test]
fn the_wrong_order_of_stores_does_not_compile() {
    let right = check("right");
    assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
    let wrong = check("wrong");
    assert!(!wrong.status.success());
    let printed = String::from_utf8_lossy(&wrong.stderr);
    let errors = printed.lines().filter(|line| line.contains(": error"));
    let mismatched: BTreeSet<usize> = errors
        .map(|line| {
            let place = line.split_once(FILE).filter(|_| line.contains("error[E0308]"));
            let number = place.and_then(|(_, rest)| rest.split(':').nth(1)?.parse().ok());
            number.unwrap_or_else(|| panic!("another error: {line}"))
        })
        .collect();
    let source = std::fs::read_to_string(here(env!("CARGO_MANIFEST_DIR")).join(FILE)).expect("the source");
    let expected: BTreeSet<usize> = (1..)
        .zip(source.lines())
        .filter(|(_, line)| line.ends_with("// WRONG"))
        .map(|(number, _)| number)
        .collect();
    assert!(expected.len() >= 10);
    assert_eq!(mismatched, expected, "{printed}");
}
