//! The race lab: each scenario fails on its broken variant every time, and never on a sound protocol.

use fs::dax::Protocol;
use tests::image::Image;
use tests::run::{Outcome, Run, refusals};

const MIB: u64 = 1 << 20;

fn race(script: &str, cpus: &str) -> Outcome {
    let image = Image::ext2(64 * MIB);
    let outcome = Run::new(script).pmem(&image).args(["--smp", cpus]).outcome();
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
    let outcome = Run::new(script).pmem(&image).args(["-k"]).outcome();
    image.expect_clean();
    let text = outcome.text();
    assert_eq!(text.matches(": stuck: everybody waits").count(), 2, "{text}");
    assert!(text.contains("R4 --protocol read-first --script: kept"), "{text}");
    let after = text.split("  NAME\n").last().expect("the tasks").to_owned();
    assert!(!after.contains("load") && !after.contains("store"), "{text}");
    assert!(text.contains("trace is off: 0 records"), "{text}");
}

#[test]
fn what_is_not_there_is_refused_with_a_reason() {
    let refused = [
        ("race R99", "race: R99: no such scenario (`race list`)"),
        ("race R23", "race: R23 cannot exist here: a file changes between DAX and the page cache"),
        ("race R4 -p none", "race: none: no such protocol"),
        ("race R4 -m none", "race: none: no such mistake"),
    ];
    let image = Image::ext2(16 * MIB);
    let lines = refusals(&image, refused.map(|(script, _)| script));
    for (line, (script, says)) in lines.iter().zip(refused) {
        assert!(line.starts_with(says), "{script}: {line}");
    }
    image.expect_clean();
}
