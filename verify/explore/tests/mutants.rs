//! The named mistakes: the first of all is found within a second, and told in two columns; what survives is
//! told too.

use explore::find::{Mode, explore};
use explore::mutants::{Quarry, all, home};
use explore::replay::{Telling, replay};
use explore::story::tell;
use explore::world::Images;
use fs::lab::Mutant;
use std::sync::Mutex;

#[test]
fn the_corruption_of_before_the_rfc_is_found_and_told_in_its_two_columns() {
    let images = Images::make().expect("images");
    let world = home(Quarry::Racy).expect("a world");
    let report = explore(&world, &images, Mode::Exhaustive { most: 1000 });
    let found = report.found.expect("the racy protocol loses a store");
    let (story, again) = tell(&world, &images, found.order);
    assert_eq!(again.wrong.as_deref(), Some(found.what.as_str()));
    let (table, wrong) = replay(&story, &images, &Telling::default()).expect("its own story fits");
    assert!(wrong);
    // The load has found a hole, the store comes and goes, the load maps the zero page.
    let line = |what: &str| {
        table.lines().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {table}"))
    };
    let order = [
        "looked-up: a hole",
        "store 0x2001",
        "allocated",
        "ends: store: done",
        "zero page",
        "ends: load: 0x0",
    ];
    assert!(order.map(line).is_sorted(), "{table}");
    let column = |what: &str| table.lines().find_map(|line| line.find(what)).expect("it is there");
    assert!(column("ends: store") > column("ends: load") + 8, "{table}");
}

#[test]
fn a_mistake_that_does_nothing_survives_and_is_told() {
    // Found by the sound protocol's own world, it is no survivor; in a world without it, it is.
    let images = Images::make().expect("images");
    let lines = Mutex::new(Vec::new());
    let say = |line| lines.lock().expect("one thread").push(line);
    assert!(!all(&[Quarry::Mutant(Mutant::NoDirtyMark)], &images, &say));
    assert_eq!(lines.lock().expect("one thread").last().map(String::as_str), Some("1 of 1 mistakes found"));
    let mut world = home(Quarry::Mutant(Mutant::LookUpBeforeLock)).expect("a world");
    // Only entry-lock has the place where this is done wrong.
    world.protocol = fs::dax::Protocol::ReadFirst;
    let report = explore(&world, &images, Mode::Exhaustive { most: 10_000 });
    assert!(report.whole && report.found.is_none());
}
