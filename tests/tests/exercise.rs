//! The exercisers in the guest: they find nothing, on one, two and four CPUs, with both sound protocols; and
//! each of them finds a mistake that is made on purpose.
//!
//! The long run, for which this is too short:
//!
//! ```text
//! ./qemu-run.sh --pmem IMAGE --smp 4 --timeout 4000 --exec 'exercise all --minutes 60'
//! ```

use fs::dax::Protocol::{self, EntryLock, ReadFirst};
use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

/// Room for the exercisers' files, in 2 MiB runs.
fn image() -> Image {
    Image::mke2fs(128 * MIB, &["-t", "ext2", "-b", "4096"])
}

fn mounted(protocol: Protocol, script: &str) -> String {
    format!("umount /; mount -o protocol={protocol} pmem0 /; {script}")
}

fn nothing_is_found(cpus: &str) {
    let image = image();
    for protocol in Protocol::SOUND {
        let script = mounted(protocol, "exercise all --seconds 1; ls -A /");
        let printed = QemuRun::new(&script).pmem(&image).args(["--smp", cpus]).ok();
        let verdict = printed.lines().find(|line| line.starts_with("all: ")).expect("a verdict");
        assert!(verdict.contains(protocol.name()) && verdict.ends_with(": OK"), "{printed}");
        for name in ["holetest", "mmap-collision", "pmd-check"] {
            let line = printed.lines().find(|line| line.starts_with(name)).expect("its rounds");
            assert!(!line.ends_with(" 0 rounds"), "{printed}");
        }
        assert!(
            printed.ends_with("lost+found\n") && !printed.contains("exercise-"),
            "files are left: {printed}"
        );
        image.expect_clean();
    }
}

#[test]
fn nothing_is_found_on_one_cpu() {
    nothing_is_found("1");
}

#[test]
fn nothing_is_found_on_two_cpus() {
    nothing_is_found("2");
}

#[test]
fn nothing_is_found_on_four_cpus() {
    nothing_is_found("4");
}

/// With rounds, it is rounds that end it: so many of each, whatever time that takes.
#[test]
fn all_counts_rounds() {
    let printed = QemuRun::new("exercise all --rounds 3").pmem(&image()).ok();
    let rounds = printed.lines().filter(|line| line.ends_with("  3 rounds")).count();
    assert_eq!(rounds, 10, "{printed}");
    assert!(printed.contains("\nall: 30 rounds, ") && printed.ends_with(": OK\n"), "{printed}");
}

/// Every exerciser that looks for 2 MiB entries had some: else it looked at nothing.
#[test]
fn large_pages_are_met() {
    let script =
        "exercise stale-pmd; exercise cow-race; exercise map-holes; exercise resync; exercise pmd-check";
    let printed = QemuRun::new(script).pmem(&image()).ok();
    assert_eq!(printed.lines().count(), 5, "{printed}");
    for line in printed.lines() {
        let (_, after) = line.split_once("2 MiB entries ").unwrap_or_else(|| panic!("{printed}"));
        assert!(!after.starts_with('0'), "{line}");
    }
}

/// Three exercisers of files at once, longer than 2 MiB, with one mapping each.
#[test]
fn fsx_runs_beside_itself_with_large_pages() {
    let image = image();
    for (cpus, protocol) in [("1", ReadFirst), ("2", EntryLock), ("4", ReadFirst)] {
        let one =
            |seed, options: &str, file| format!("fsx -q -N 400 -S {seed} -l 5m -o 256k {options} {file}");
        let script = format!(
            "{} & {} & {} & wait; stats; rm /a /b /c",
            one(1, "-L -M -x", "/a"),
            one(2, "-M -c 5 -y", "/b"),
            one(3, "-c 50", "/c")
        );
        let printed = QemuRun::new(&mounted(protocol, &script)).pmem(&image).args(["--smp", cpus]).ok();
        assert_eq!(printed.matches("All 400 operations completed A-OK!\n").count(), 3, "{printed}");
        let large = printed.lines().filter(|line| line.starts_with("pmd.") && !line.contains("fallback"));
        let sum: u64 = large.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
        assert!(sum > 0, "no 2 MiB fault was served: {printed}");
        image.expect_clean();
    }
}

/// With a mistake made on purpose, the verdict is a violation that says `says`, or one of what stands there
/// between bars, and the status is 1. What the mistake did to the image is its own affair.
fn finds(mutant: &str, cpus: &str, protocol: Protocol, exercise: &str, says: &str) {
    let script = mounted(protocol, &format!("exercise {exercise} --mutant {mutant}"));
    let outcome = QemuRun::new(&script).pmem(&image()).args(["--smp", cpus]).outcome();
    let text = outcome.text();
    let said = says.split('|').any(|one| text.contains(one));
    assert!(text.contains("VIOLATION in round") && said, "{mutant}: {text}{}", outcome.stderr);
    assert_eq!(outcome.status, 1, "{mutant}: {text}");
}

#[test]
fn a_zero_page_that_stays_is_found() {
    for protocol in Protocol::SOUND {
        finds("keep-zero-page", "1", protocol, "holetest -F -r --size 16", "the mapping, page");
        finds("write-keeps-zero-page", "1", protocol, "stale-pmd", "the mapping after write(2)");
    }
}

#[test]
fn a_mapping_that_outlives_its_block_is_found() {
    finds("keep-mapping", "1", ReadFirst, "map-holes", "the range that went");
    // Who sees it first is luck: the truncation that should have waited, or who looks at what the transfer
    // has read.
    finds(
        "ignore-pins",
        "2",
        EntryLock,
        "mmap-collision --rounds 500",
        "transfer|a truncation did not wait for a pinned page",
    );
    finds(
        "ignore-pins",
        "1",
        ReadFirst,
        "mmap-collision --rounds 500",
        "transfer|a truncation did not wait for a pinned page",
    );
}

#[test]
fn a_store_that_is_not_tracked_is_found() {
    finds("no-dirty-mark", "1", ReadFirst, "resync", "flushed nothing");
    finds("keep-large-writable", "1", EntryLock, "resync", "flushed nothing");
    finds("forget-dirty", "1", EntryLock, "resync", "after a hole beside the store flushed nothing");
    finds("no-dirty-mark", "1", ReadFirst, "pmd-check", "found nothing dirty");
}

/// The bug that all this began with: two faults on one hole, on two CPUs, without a protocol; and the
/// mistakes that bring it back with one.
#[test]
fn a_lost_store_is_found() {
    let script = mounted(Protocol::Racy, "exercise holetest --rounds 2000");
    let outcome = QemuRun::new(&script).pmem(&image()).args(["--smp", "2"]).outcome();
    let text = outcome.text();
    assert!(
        text.contains("holetest: VIOLATION in round") && text.contains("racy"),
        "{text}{}",
        outcome.stderr
    );
    assert_eq!(outcome.status, 1, "{text}");
    finds("no-second-look-up", "2", ReadFirst, "holetest --rounds 2000", "page");
    finds("zero-twice", "2", ReadFirst, "holetest --rounds 2000", "page");
}

#[test]
fn a_read_fault_that_allocates_is_found() {
    finds("read-allocates", "1", ReadFirst, "holetest -r --size 16", "reading took");
}

/// Frozen, nothing goes on: that is told, with the tasks that wait. Thawed, it ends by itself.
#[test]
fn a_hang_is_a_verdict() {
    let image = image();
    let script = "freeze /; exercise resync --watchdog 2; thaw /; sleep 20; ps; ls -A /";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    assert!(text.contains("resync: HANG in round 0"), "{text}{}", outcome.stderr);
    assert!(text.contains("Waiting exercise resync\n"), "the tasks are listed: {text}");
    assert!(text.ends_with("lost+found\n") && !text.contains("exercise-"), "files are left: {text}");
    assert_eq!(outcome.status, 1, "{text}");
    image.expect_clean();
}
