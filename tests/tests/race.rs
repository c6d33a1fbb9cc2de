//! The race lab: each scenario fails on its broken variant every time, and never on a sound protocol.

use fs::dax::Protocol;
use std::time::Duration;
use tests::image::Image;
use tests::run::{QemuRun, RunOutcome, refusals};
use tests::vm::Vm;

const MIB: u64 = 1 << 20;

fn race(script: &str, cpus: &str) -> RunOutcome {
    let image = Image::ext2(64 * MIB);
    let outcome = QemuRun::new(script).pmem(&image).args(["--smp", cpus]).outcome();
    image.expect_clean();
    outcome
}

/// Every scenario by script, as `race all` does it, which fails if one verdict is not what it must be.
fn every_scenario(cpus: &str) {
    let outcome = race("race all", cpus);
    let text = outcome.text();
    assert!(outcome.status == 0, "{text}{}", outcome.stderr);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let verdicts = |on: &[&str]| -> Vec<(String, String)> {
        let of = rows.iter().filter(|row| row.len() > 3 && row[1..].starts_with(on));
        of.map(|row| {
            (
                row[0].to_owned(),
                row[row.iter().position(|cell| *cell == "script").unwrap_or(0) + 1].to_owned(),
            )
        })
        .collect()
    };
    // What the broken protocol is there for.
    let racy = verdicts(&["--protocol", "racy"]);
    for name in ["R1", "R4"] {
        assert!(racy.contains(&(name.to_owned(), "lost:".to_owned())), "{name}: {racy:?}");
    }
    for protocol in Protocol::SOUND {
        let sound = verdicts(&["--protocol", protocol.name(), "script"]);
        assert!(sound.len() >= 15 && sound.iter().all(|(_, verdict)| verdict == "kept"), "{sound:?}");
    }
    let stuck = rows.iter().filter(|row| row.contains(&"stuck:")).map(|row| row[0]).collect::<Vec<_>>();
    for name in ["R2", "R12", "R14", "R25"] {
        assert!(stuck.contains(&name), "{name} comes to an end: {stuck:?}");
    }
}

#[test]
fn every_scenario_fails_where_it_must_and_nowhere_else_on_one_cpu() {
    every_scenario("1");
}

#[test]
fn every_scenario_fails_where_it_must_and_nowhere_else_on_two_cpus() {
    every_scenario("2");
}

#[test]
fn every_scenario_fails_where_it_must_and_nowhere_else_on_four_cpus() {
    every_scenario("4");
}

#[test]
fn the_lost_store_is_shown_in_columns_and_fails_the_command() {
    let outcome = race("race R4 --script --protocol racy", "2");
    let text = outcome.text();
    assert_eq!(outcome.status, 1, "{text}{}", outcome.stderr);
    assert!(text.contains("CPU 0: load                           CPU 1: store\n"), "{text}");
    let place = |line: &str| text.find(line).unwrap_or_else(|| panic!("no {line:?} in {text}"));
    // The RFC's own order.
    let look = place("\nlooked-up: a hole\n");
    let stored = place("                                      has stored 0x2222\n");
    let loaded = place("\nhas loaded 0x0\n");
    assert!(look < stored && stored < loaded, "{text}");
    assert!(text.contains("R4 --protocol racy --script: lost: 0x2222 was stored, "), "{text}");
}

#[test]
fn a_sound_protocol_prevents_the_order_and_says_how() {
    let outcome = race("race R4 --script", "2");
    let text = outcome.text();
    assert_eq!(outcome.status, 0, "{text}{}", outcome.stderr);
    assert!(text.contains("the order was prevented: store waits for a lock\n"), "{text}");
    assert!(text.contains("R4 --protocol read-first --script: kept\n"), "{text}");
}

#[test]
fn by_chance_sound_protocols_lose_nothing_in_many_rounds() {
    for protocol in Protocol::SOUND {
        let outcome = race(&format!("race R1 R3 R4 R7 R8 R9 R13 flush -n 500 -p {protocol} --seed 5"), "2");
        let text = outcome.text();
        assert_eq!(outcome.status, 0, "{text}{}", outcome.stderr);
        assert_eq!(text.matches("500 rounds: kept\n").count(), 8, "{text}");
    }
}

#[test]
fn mistakes_are_healed_afterwards_and_nobody_is_left_waiting() {
    let script =
        "race R14 --script --mutant wake-wrong-key; race R2 -s -m retry-holding; race R4 --script; ps; trace";
    let image = Image::ext2(64 * MIB);
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    image.expect_clean();
    let text = outcome.text();
    assert_eq!(text.matches(": stuck: everybody waits").count(), 2, "{text}");
    assert!(text.contains("R4 --protocol read-first --script: kept"), "{text}");
    let after = text.split("  NAME\n").last().expect("the tasks").to_owned();
    assert!(!after.contains("load") && !after.contains("store"), "{text}");
    assert!(text.contains("trace is off: 0 records"), "{text}");
}

/// A first try shows what goes wrong, five times of five, on two CPUs and on one: who races is held at a step
/// by chance.
#[test]
fn by_chance_a_few_hundred_rounds_show_each_loss() {
    let seeds: String = (1..=5).map(|seed| format!("race R4 -p racy -n 300 --seed {seed}\n")).collect();
    let others = "race R1 -p racy -n 300\nrace R1 -m no-second-look-up -n 300\nrace R7 -m look-up-before-lock -n 300\n\
                  race R16 -m large-over-small -n 300\nrace R17 -m large-ignores-small-locks -n 300\n\
                  race size -m size-before-lock -n 300\nrace flush -m flush-before-protect -n 600\n\
                  race copy -m copy-unlocked -n 300";
    let image = Image::ext2(64 * MIB);
    for (cpus, script, races) in [("2", seeds.clone() + others, 13), ("1", seeds, 5)] {
        let outcome = QemuRun::new(&script).pmem(&image).args(["-k", "--smp", cpus]).outcome();
        let text = outcome.text();
        let lost = text.lines().filter(|line| line.contains(" of them): lost: ")).count();
        assert_eq!(lost, races, "{cpus} CPUs: {text}{}", outcome.stderr);
        assert_eq!(outcome.status, 1, "a loss fails the command");
        image.expect_clean();
    }
}

/// Whatever cut a run off, the next one begins with what it needs, and leaves nothing.
#[test]
fn what_a_run_that_was_cut_off_has_left_is_cleared() {
    let image = Image::ext2(64 * MIB);
    let script = "echo > /.race; echo > /.race-other; mkdir /.bench; echo > /.bench/f0; mkdir /.bench/d0
                  echo > /.exercise-4711-hole; echo > /.exercise-mine; mkdir /.exercise-4711-dir
                  echo > /exercise-12-notes
                  race R4 --script > /dev/null; bench -n 8 create > /dev/null; exercise times --rounds 1 > /dev/null
                  race replay read-first/page.hole/a:load/b:write-other@0:end,1:end > /dev/null
                  ls -A /";
    let script = script.replace(" > /dev/null", " > /.exercise-mine");
    let left = ".exercise-4711-dir\n.exercise-mine\nexercise-12-notes\nlost+found\n";
    assert_eq!(QemuRun::new(&script).pmem(&image).ok(), left, "a user's files stay");
    image.expect_clean();
}

/// Rounds without end, by hand: Ctrl-C ends each at once, says what came of it until then, and leaves
/// nothing.
#[test]
fn ctrl_c_ends_whatever_goes_on_for_long() {
    let image = Image::ext2(64 * MIB);
    let mut vm = Vm::boot(&image, &[]);
    for (command, begins) in [
        ("race R4 -n 100000000", None),
        ("race R14 -m wake-wrong-key -p entry-lock -n 100000000", None),
        ("race all -n 100000000", None),
        ("bench -n 1000000 lookup", None),
        ("bench -n 1000000 write-hole", None),
        ("bench --parallel -n 4000", None),
        ("exercise holetest -F --size 8000 --rounds 100000", None),
        ("exercise all --minutes 100", None),
        ("exercise resync --rounds 100000000", None),
        ("fsx -N 100000000 /fsx", Some("Seed set")),
        ("selftest", Some("frames: ok")),
    ] {
        vm.send(command);
        vm.send("\r");
        vm.expect(begins.unwrap_or("\r\n"));
        std::thread::sleep(Duration::from_millis(300));
        vm.send("\u{3}");
        // Most would not end by themselves before the prompt is given up.
        let said = vm.prompt();
        let ended_before = command == "selftest" || command.starts_with("race R14");
        assert!(said.contains("^C") || ended_before, "{command}: {said}");
        if command.starts_with("race R4") {
            assert!(said.contains(" rounds: kept\r\n"), "what came of the rounds until then: {said}");
        }
        // A command that ended before its Ctrl-C leaves two prompts: the next command's is the second.
        vm.send("echo at the\\ prompt\r");
        vm.expect("at the prompt\r\n");
        vm.prompt();
    }
    assert_eq!(vm.command("ls -A /").split_whitespace().collect::<Vec<_>>(), ["fsx", "lost+found"]);
    let played = vm.command("race R4 --script");
    assert!(played.contains("R4 --protocol read-first --script: kept\n"), "{played}");
    vm.send("poweroff\r");
    assert_eq!(vm.wait(), 0);
    image.expect_clean();
}

#[test]
fn scenarios_are_listed_in_order_and_mistakes_with_what_is_wrong_and_where() {
    let printed = QemuRun::new("race list; echo; echo ===; race mistakes").pmem(&Image::ext2(16 * MIB)).ok();
    let (scenarios, mistakes) = printed.split_once("===\n").expect("both");
    let here = scenarios.split("\nnot here:").next().expect("a list");
    let names = here.lines().filter(|line| !line.starts_with(' ') && !line.is_empty());
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    let (numbered, named): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with('R'));
    let numbers: Vec<u32> = numbered.iter().map(|name| name[1..].parse().expect("a number")).collect();
    assert!(numbers.is_sorted() && numbers.len() > 15 && named.is_sorted() && named.len() > 4, "{names:?}");
    assert_eq!([&numbered[..], &named].concat(), names, "numbers, then words");
    let lines: Vec<&str> = here.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "each once: {here}");

    let mut lines = mistakes.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let (name, place) = line.split_once(' ').expect("a name and a file");
        assert!(place.trim().ends_with(".rs") && !name.is_empty(), "{line}");
        let what = lines.next().expect("what is wrong");
        assert!(what.starts_with("       ") && what.len() > 20, "{name}: {what}");
        while lines.next_if(|line| line.starts_with("       race ")).is_some() {}
        count += 1;
    }
    assert!(count > 45, "{count} mistakes");
    assert!(mistakes.contains("race R14 --script --mutant wake-wrong-key"), "{mistakes}");
}

#[test]
fn what_is_not_there_or_would_be_ignored_is_refused_with_a_reason() {
    let refused = [
        ("race R99", "race: R99: no such scenario (`race list`)"),
        ("race R23", "race: R23 cannot exist here: a file changes between DAX and the page cache"),
        ("race R4 -p none", "race: none: no such protocol"),
        ("race R4 -m none", "race: none: no such mistake"),
        ("race R4 -n 0", "race: --rounds: 1 at least"),
        ("race R4 -s -n 5", "race: --rounds is not for this (--script: it is played once"),
        ("race R4 -s --seed 5", "race: --seed is not for this"),
        ("race all -p racy", "race: --protocol is not for this (all goes through protocols"),
        ("race list -m zero-twice", "race: --mutant is not for this"),
        ("exercise all --rounds 0", "exercise: --rounds: 1 at least"),
        ("exercise all --seconds 0", "exercise: --seconds, --minutes: 1 at least"),
        ("exercise resync --minutes 0", "exercise: --seconds, --minutes: 1 at least"),
        ("exercise all --seconds 1 --minutes 1", "exercise: --seconds and --minutes exclude each other"),
        ("exercise resync --size 5", "exercise: -F, -r, -w, -p and --size are for holetest"),
    ];
    let image = Image::ext2(16 * MIB);
    let lines = refusals(&image, refused.map(|(script, _)| script));
    for (line, (script, says)) in lines.iter().zip(refused) {
        assert!(line.starts_with(says), "{script}: {line}");
    }
    image.expect_clean();
}
