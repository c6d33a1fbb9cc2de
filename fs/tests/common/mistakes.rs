//! Mistakes made on purpose: the same test with one and without.

use super::Machine;
use super::rig::{self, at_first_of, on_each_step};
use super::stage::{Script, Stage};
use fs::dax::Protocol;
use fs::lab::{Mutant, Point};
use fs::platform::Platform;
use fs::vfs::Inode;
use std::thread;

/// The protocols under which each mistake does harm that is not about one of them. One that came later may be
/// immune to some: it is tested without mistakes.
pub(crate) const HARMED: [Protocol; 2] = [Protocol::ReadFirst, Protocol::EntryLock];

/// Before a fault takes `dax_sem`, shared or not.
pub(crate) const BEFORE_LOCK: &[Point] = &[Point::SharedWait, Point::ExclusiveWait];

/// Runs `harm` for all sound protocols without a mistake, where it must be false; then with `mutant` on each
/// of `protocols`, where it must be true.
pub(crate) fn on(mutant: Mutant, protocols: &[Protocol], harm: impl Fn(&Stage) -> bool) {
    on_stages(Stage::new, mutant, protocols, harm);
}

/// As [`on`], on stages for pages of 2 MiB.
pub(crate) fn on_large(mutant: Mutant, protocols: &[Protocol], harm: impl Fn(&Stage) -> bool) {
    on_stages(Stage::large, mutant, protocols, harm);
}

fn on_stages(
    new: fn(Protocol) -> Stage,
    mutant: Mutant,
    protocols: &[Protocol],
    harm: impl Fn(&Stage) -> bool,
) {
    for protocol in Protocol::SOUND {
        let stage = new(protocol);
        assert!(!harm(&stage), "harm done by {protocol} without {mutant}");
        stage.finish();
    }
    for &protocol in protocols {
        let stage = new(protocol);
        stage.machine.lab().add(mutant);
        assert!(harm(&stage), "{mutant} goes unnoticed under {protocol}");
        stage.machine.lab().heal();
    }
}

/// The stage's file.
pub(crate) fn file(stage: &Stage) -> &dyn Inode<Machine> {
    &*stage.views[0].file
}

/// The first thread gets to one of `points` and is held there until the second is done with `then`, or waits
/// for a lock.
pub(crate) fn overtaken<R: Send>(
    first: impl FnOnce() -> R + Send,
    points: &[Point],
    then: impl FnOnce() + Send,
) -> R {
    let script = Script::default();
    thread::scope(|scope| {
        let slow = scope.spawn({
            let (script, points) = (script.clone(), points.to_vec());
            move || {
                let here = script.clone();
                at_first_of(points, move || {
                    here.say("first is there");
                    here.wait(&["second is done", "second waits"]);
                });
                first()
            }
        });
        scope.spawn(move || {
            script.wait(&["first is there"]);
            let here = script.clone();
            on_each_step(move |step| {
                if matches!(step.point, Point::EntryWait) {
                    here.say("second waits");
                }
            });
            let here = script.clone();
            rig::Point::WaitsExclusive.hook(move || here.say("second waits"));
            then();
            script.say("second is done");
        });
        slow.join().expect("the first thread")
    })
}
