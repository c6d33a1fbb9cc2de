//! `race replay`: a story's order on real CPUs. What it must lose is lost each time, on any number of CPUs;
//! sound protocols keep everything, and bad texts are refused before anything is done.

use fs::dax::Protocol;
use fs::lab::schedule::Op;
use fs::lab::schedule::races::{RACES, Race};
use tests::image::Image;
use tests::run::{QemuRun, RunOutcome, refusals};

const MIB: u64 = 1 << 20;

/// Replays all stories, on so many CPUs, and returns the verdict of each.
fn verdicts(stories: &[String], cpus: &str) -> Vec<(String, String)> {
    let image = Image::ext2(64 * MIB);
    let script: Vec<String> = stories.iter().map(|story| format!("race replay {story}")).collect();
    let outcome = QemuRun::new(&script.join("; ")).pmem(&image).args(["--smp", cpus, "-k"]).outcome();
    image.expect_clean();
    let text = outcome.text();
    let verdict = |story: &String| {
        let line = text.lines().find_map(|line| line.strip_prefix(story.as_str())?.strip_prefix(": "));
        let line = line.unwrap_or_else(|| panic!("no verdict on {story}: {text}{}", outcome.stderr));
        (story.clone(), line.to_owned())
    };
    let all: Vec<_> = stories.iter().map(verdict).collect();
    let lost = all.iter().any(|(_, verdict)| verdict != "kept");
    assert_eq!(outcome.status, i32::from(lost), "{text}{}", outcome.stderr);
    all
}

fn one(story: &str, cpus: &str) -> RunOutcome {
    let image = Image::ext2(64 * MIB);
    let outcome = QemuRun::new(&format!("race replay {story}")).pmem(&image).args(["--smp", cpus]).outcome();
    image.expect_clean();
    outcome
}

const RFC: &str = "page.hole/a:load/b:store@0:looked-up,1:end,0:end";

#[test]
fn the_order_of_the_rfc_loses_the_store_under_the_old_protocol_each_time() {
    for cpus in ["1", "2", "4"] {
        let again = vec![format!("racy/{RFC}"); 5];
        for (_, verdict) in verdicts(&again, cpus) {
            assert_eq!(verdict, "lost: the file has 0x2001, the mapping of a:load shows 0x0", "{cpus} CPUs");
        }
    }
    let text = one(&format!("racy/{RFC}"), "2").text();
    assert!(text.contains("CPU 0: a:load                         CPU 1: b:store\n"), "{text}");
    let place = |line: &str| text.find(line).unwrap_or_else(|| panic!("no {line:?} in {text}"));
    let look = place("\nlooked-up: a hole\n");
    let stored = place("                                      has stored 0x2001\n");
    let loaded = place("\nhas loaded 0x0\n");
    assert!(look < stored && stored < loaded, "{text}");
}

#[test]
fn a_sound_protocol_prevents_that_order_and_keeps_the_store() {
    for (protocol, cpus) in
        [("read-first", "1"), ("read-first", "2"), ("entry-lock", "2"), ("read-first", "4")]
    {
        let outcome = one(&format!("{protocol}/{RFC}"), cpus);
        let text = outcome.text();
        assert_eq!(outcome.status, 0, "{text}{}", outcome.stderr);
        assert!(text.contains("the order was prevented: b:store waits for a lock\n"), "{text}");
        assert!(text.ends_with(&format!("\n{protocol}/{RFC}: kept\n")), "{text}");
    }
}

#[test]
fn each_known_race_is_lost_and_nothing_is_without_its_mistake() {
    let lost = RACES.iter().filter_map(|race| Some((race, race.replayed?)));
    let played: Vec<(String, &str)> = lost
        .flat_map(|(race, says)| race.on.iter().map(move |on| (format!("{on}/{}", race.story), says)))
        .collect();
    let stories: Vec<String> = played.iter().map(|(story, _)| story.clone()).collect();
    for cpus in ["2", "4"] {
        for ((story, verdict), (_, must)) in verdicts(&stories, cpus).iter().zip(&played) {
            assert!(verdict.starts_with(must), "{story}: {verdict}, not {must}");
        }
    }
    let sound = |race: &Race| {
        let (world, rest) = race.story.split_once('!').unwrap_or((race.story, ""));
        let order = rest.find('@').map_or("", |at| &rest[at..]);
        race.on.iter().filter(|on| **on != Protocol::Racy).map(|on| format!("{on}/{world}{order}")).collect()
    };
    let stories: Vec<String> = RACES.iter().flat_map(|race| -> Vec<String> { sound(race) }).collect();
    for (story, verdict) in verdicts(&stories, "2") {
        assert_eq!(verdict, "kept", "{story}");
    }
}

#[test]
fn sound_protocols_keep_everything_whatever_two_cpus_do() {
    const STARTS: &[&str] = &["hole", "zero", "block", "dirty", "clean"];
    const ORDERS: &[&str] =
        &["@0:looked-up,1:end,0:end", "@1:shared-locked,0:end", "@0:marked,1:waits", "", "@0:end"];
    let mut stories = Vec::new();
    for (n, op) in Op::ALL.iter().enumerate() {
        let any = Op::ALL[(n * 7 + 3) % Op::ALL.len()];
        for (m, other) in [Op::Store, Op::Load, Op::Private, any].iter().enumerate() {
            // Each combination has turns with each of these.
            let k = n * 4 + m;
            let protocol = Protocol::SOUND[k % Protocol::SOUND.len()];
            let range = ["page", "pmd", "page"][k % 3];
            let space = ["b", "a", "b4"][(k / 2) % 3];
            let (start, order) = (STARTS[(n + m) % 5], ORDERS[(n + 2 * m) % 5]);
            stories.push(format!("{protocol}/{range}.{start}/a:{op}/{space}:{other}{order}"));
        }
    }
    for (story, verdict) in verdicts(&stories, "2") {
        assert_eq!(verdict, "kept", "{story}");
    }
}

#[test]
fn the_nth_time_at_a_point_is_counted() {
    let world = "read-first/pmd.hole/a:store/b:load";
    let replay = |time: u32| one(&format!("{world}@0:looked-up#{time},1:waits,0:end"), "2").text();
    // The first look-up is under the shared lock, for which nobody waits; the second under the exclusive one.
    let prevented = "the order was prevented: b:load does not come by there\n";
    let first = replay(1);
    assert!(first.contains(prevented), "{first}");
    let second = replay(2);
    assert!(!second.contains("prevented"), "{second}");
    assert!(second.contains("\nexclusive-locked\nlooked-up: a hole\n"), "{second}");
    let third = replay(3);
    assert!(third.contains("the order was prevented: a:store does not come by there\n"), "{third}");
}

#[test]
fn steps_finer_than_points_are_left_out_and_that_is_said() {
    let outcome = one("racy/page.hole/a:load/b:store@0:looked-up+3,1:+2,1:end,0:end", "2");
    let text = outcome.text();
    assert_eq!(outcome.status, 1, "{text}{}", outcome.stderr);
    let says = "left out are steps behind a point, and what a TLB serves, as in 0:looked-up+3\n";
    assert_eq!(text.matches(says).count(), 1, "{text}");
    assert!(text.ends_with(": lost: the file has 0x2001, the mapping of a:load shows 0x0\n"), "{text}");
}

#[test]
fn a_text_that_is_none_is_refused_in_one_line() {
    let refused = [
        ("", "race: replay: one STORY, as the explorer prints it"),
        ("racy/page.hole", "race: no CPUs: the form is PROTOCOL/RANGE.START/SPACE:OPERATION/..."),
        ("none/page.hole/a:load", "race: no such protocol: `none` (known: racy read-first entry-lock"),
        (
            "racy/page.hole/a:jump",
            "race: no such operation: `jump` in `a:jump` (known: load store read direct write ",
        ),
        ("racy/page.hole/a:load!none", "race: no such mistake: `none`"),
        ("racy/page.hole/a:load@0:nowhere", "race: no such point: `nowhere`"),
        ("racy/page.hole/a:load@1:end", "race: the schedule's `1:end`: the world's CPUs are 0 to 0"),
        ("racy/page.hole/a:load@0:shootdown-answer", "race: nobody can be held at shootdown-answer: "),
        (
            "read-first/page.hole/a:read!copy-under-lock",
            "race: copy-under-lock is made by the scenario R12 alone ",
        ),
        ("racy/page.hole/a:load -p racy", "race: -p: the story says that itself"),
    ];
    let image = Image::ext2(16 * MIB);
    let scripts = refused.map(|(story, _)| format!("race replay {story}"));
    let lines = refusals(&image, scripts.iter().map(String::as_str));
    for (line, (story, says)) in lines.iter().zip(refused) {
        assert!(line.starts_with(says), "{story}: {line}");
    }
    image.expect_clean();
    // 2 MiB and a file system that has no room for them.
    let image = Image::ext2(2 * MIB);
    let line = QemuRun::new("race replay racy/pmd.block/a:load").pmem(&image).fails(1);
    assert!(line.starts_with("race: the starting state: "), "{line}");
    image.expect_clean();
}
