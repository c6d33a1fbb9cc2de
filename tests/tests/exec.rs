//! The promise of `--exec`: what goes to stdout, what to stderr, and the exit status.

use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

#[test]
fn output_and_errors_go_apart_and_the_first_failure_ends_the_run() {
    let image = Image::ext2(32 * MIB);
    let outcome = QemuRun::new("echo one; cat /nothing; echo two").pmem(&image).outcome();
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.text(), "one\n");
    assert_eq!(outcome.stderr, "cat: /nothing: no such file or directory\n");
    image.expect_clean();
}

#[test]
fn with_k_the_run_goes_on_after_a_failure_and_still_reports_it() {
    let image = Image::ext2(32 * MIB);
    let outcome = QemuRun::new("echo one; cat /nothing; echo two").pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.text(), "one\ntwo\n");
    assert_eq!(outcome.stderr, "cat: /nothing: no such file or directory\n");
}

/// Through two pipes, the bytes of one came among those of the other.
#[test]
fn with_both_streams_in_one_everything_is_said_in_order() {
    let image = Image::ext2(32 * MIB);
    let script: String = (0..60).map(|n| format!("echo -n {n}; cat /{n}; echo; ")).collect();
    let (status, said) = QemuRun::new(&script).pmem(&image).args(["-k"]).merged();
    let expected: String = (0..60).map(|n| format!("{n}cat: /{n}: no such file or directory\n\n")).collect();
    assert_eq!((status, said), (1, expected));
}

#[test]
fn binary_output_comes_through_unchanged() {
    let tree = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> = (0..=255_u8).cycle().take(70_000).collect();
    std::fs::write(tree.path().join("bytes"), &bytes).expect("a file");
    let image = Image::ext2_of(32 * MIB, tree.path());
    let outcome = QemuRun::new("cat /bytes").pmem(&image).outcome();
    assert_eq!(outcome.status, 0);
    assert!(outcome.stdout == bytes, "{} bytes came", outcome.stdout.len());
}

#[test]
fn a_kernel_panic_ends_with_101_and_says_where_and_a_stack_overflow_is_called_one() {
    let image = Image::ext2(32 * MIB);
    for kind in ["panic", "null", "stack-overflow", "divide"] {
        let outcome = QemuRun::new(&format!("crash {kind}")).pmem(&image).outcome();
        assert_eq!(outcome.status, 101, "{kind}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("KERNEL PANIC"), "{kind}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("backtrace"), "{kind}: {}", outcome.stderr);
        // The names are the ELF file's: the image has none.
        assert!(outcome.stderr.contains(") base::crash::"), "{kind}: {}", outcome.stderr);
        let overflow = outcome.stderr.contains("kernel stack overflow");
        assert_eq!(overflow, kind == "stack-overflow", "{kind}: {}", outcome.stderr);
    }
}

#[test]
fn a_triple_fault_is_never_taken_as_success() {
    let image = Image::ext2(32 * MIB);
    let outcome = QemuRun::new("crash triple-fault").pmem(&image).outcome();
    assert_eq!(outcome.status, 101, "{}", outcome.stderr);
}

#[test]
fn a_run_that_does_not_end_is_ended_with_124() {
    let image = Image::ext2(32 * MIB);
    // A loaded machine boots slowly: more time until it got as far as to hang.
    for seconds in ["8", "40", "200"] {
        let outcome = QemuRun::new("crash hang").pmem(&image).args(["--timeout", seconds]).outcome();
        assert_eq!(outcome.status, 124, "{}", outcome.stderr);
        let (line, console) = outcome.stderr.split_once('\n').expect("a line");
        let wanted = format!("qemu-run.sh: time-out: no end after {seconds} s (--timeout); the console");
        assert!(line.starts_with(&wanted), "{line}");
        if console.ends_with("pmem0 mounted on / (rw, read-first)\n") {
            assert!(line.ends_with("'s last lines:") && console.lines().count() <= 10, "{}", outcome.stderr);
            return;
        }
    }
    panic!("the machine never got as far as to hang");
}

#[test]
fn a_script_with_a_syntax_error_runs_nothing() {
    let image = Image::ext2(32 * MIB);
    let outcome = QemuRun::new("echo one; echo 'two").pmem(&image).outcome();
    assert_eq!(outcome.status, 1);
    assert!(outcome.stdout.is_empty(), "{}", outcome.text());
    assert!(outcome.stderr.contains("unterminated"), "{}", outcome.stderr);
}
