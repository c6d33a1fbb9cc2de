//! The race of the RFC of 2016, step by step: two real threads, two address spaces, no timing.

use crate::common::rig::{Point, at_step};
use crate::common::stage::{Script, Stage};
use crate::common::{BLOCK, allocated_pages};
use fs::Result;
use fs::dax::{Outcome, Protocol};
use fs::platform::Platform;
use std::thread;

/// A reader looks a hole up and is stopped before it maps the zero page; a writer comes, as far as it can;
/// the reader goes on. Returns what the reader loads after the writer stored 0x5a.
fn load_beside_store(stage: &Stage) -> u8 {
    let (script, [reader, writer]) = (Script::default(), &stage.views);
    thread::scope(|scope| {
        let reads = scope.spawn({
            let script = script.clone();
            move || {
                let here = script.clone();
                at_step(fs::lab::Point::Marked, move || {
                    here.say("reader is about to map the zero page");
                    here.wait(&["writer is done", "writer waits"]);
                });
                assert_eq!(reader.fault(1, false), Ok(Outcome::ZeroPage));
                script.say("reader is done");
                script.wait(&["writer stored"]);
                reader.load_byte(BLOCK).expect("load")
            }
        });
        let writes = scope.spawn({
            let script = script.clone();
            move || {
                script.wait(&["reader is about to map the zero page"]);
                let here = script.clone();
                Point::WaitsExclusive.hook(move || here.say("writer waits"));
                let here = script.clone();
                at_step(fs::lab::Point::EntryWait, move || here.say("writer waits"));
                assert_eq!(writer.fault(1, true), Ok(Outcome::Allocated));
                script.say("writer is done");
                // Not before the reader is: it maps what it has found, whenever the writer finishes.
                script.wait(&["reader is done"]);
                writer.store(BLOCK, &[0x5a]).expect("store");
                script.say("writer stored");
            }
        });
        writes.join().expect("the writer");
        reads.join().expect("the reader")
    })
}

#[test]
fn with_read_first_the_writer_waits_for_the_reader_and_takes_its_zero_page_away() {
    let stage = Stage::new(Protocol::ReadFirst);
    assert_eq!(load_beside_store(&stage), 0x5a);
    let stats = stage.machine.stats();
    assert_eq!((stats.fault_retry.get(), stats.fault_retry_found.get()), (1, 0));
    assert_eq!(stats.zero_page_unmapped.get(), 1);
    let [reader, writer] = &stage.views;
    let frames = [reader, writer].map(|view| view.entry(1).map(|entry| entry.frame));
    assert_eq!(frames[0], frames[1]);
    stage.finish();
}

#[test]
fn with_the_entry_locked_the_writer_waits_for_the_reader_and_takes_its_zero_page_away() {
    let stage = Stage::new(Protocol::EntryLock);
    assert_eq!(load_beside_store(&stage), 0x5a);
    let stats = stage.machine.stats();
    assert_eq!((stats.fault_retry.get(), stats.entry_waits.get()), (0, 1));
    assert_eq!(stats.zero_page_unmapped.get(), 1);
    stage.finish();
}

#[test]
fn with_the_entry_locked_faults_on_different_pages_pass_each_other() {
    let stage = Stage::new(Protocol::EntryLock);
    let [slow, fast] = &stage.views;
    let script = Script::default();
    thread::scope(|scope| {
        scope.spawn({
            let script = script.clone();
            move || {
                let here = script.clone();
                at_step(fs::lab::Point::EntryLocked, move || {
                    here.say("page 1 is locked");
                    here.wait(&["page 2 is served"]);
                });
                assert_eq!(slow.fault(1, true), Ok(Outcome::Allocated));
            }
        });
        script.wait(&["page 1 is locked"]);
        assert_eq!(fast.fault(2, true), Ok(Outcome::Allocated));
        script.say("page 2 is served");
    });
    assert_eq!(stage.machine.stats().entry_waits.get(), 0);
    stage.finish();
}

/// Both threads fault for writing on one hole. Thread `first` gets the lock exclusively first; the other has
/// found the hole too, but is stopped before it takes the lock. Returns the outcomes, in the order of the
/// threads.
fn store_beside_store(stage: &Stage, first: usize) -> [Result<Outcome>; 2] {
    let script = Script::default();
    let run = |number: usize| {
        let (script, view) = (script.clone(), &stage.views[number]);
        move || {
            let here = script.clone();
            Point::BeforeExclusive.hook(move || {
                if number == first {
                    here.wait(&["second found the hole"]);
                } else {
                    here.say("second found the hole");
                    here.wait(&["first stored"]);
                }
            });
            let outcome = view.fault(2, true);
            view.store(2 * BLOCK + number as u64, &[0x11 * (number as u8 + 1)]).expect("store");
            if number == first {
                script.say("first stored");
            }
            outcome
        }
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(run(0)), scope.spawn(run(1))];
        threads.map(|thread| thread.join().expect("a thread"))
    })
}

#[test]
fn two_writers_of_one_hole_share_one_block_that_is_zeroed_once() {
    for first in [0, 1] {
        let stage = Stage::new(Protocol::ReadFirst);
        let outcomes = store_beside_store(&stage, first);
        assert_eq!(outcomes[first], Ok(Outcome::Allocated));
        assert_eq!(outcomes[1 - first], Ok(Outcome::Block));
        let stats = stage.machine.stats();
        assert_eq!((stats.fault_retry.get(), stats.fault_retry_found.get()), (2, 1));
        assert_eq!((stats.block_allocated.get(), stats.fault_allocated.get()), (1, 1));
        assert_eq!(stats.pmem_bytes_zeroed.get(), BLOCK, "zeroed twice: a store was lost, or luck");
        // Each address space shows both stores.
        for view in &stage.views {
            let mut bytes = [0; 3];
            view.load(2 * BLOCK, &mut bytes).expect("load");
            assert_eq!(bytes, [0x11, 0x22, 0]);
        }
        assert_eq!(allocated_pages(&*stage.views[0].file), [2]);
        stage.finish();
    }
}
