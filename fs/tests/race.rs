//! The race of the RFC of 2016, step by step: two real threads, two address spaces, no timing.
//!
//! Each thread's script hooks into the places where it can be overtaken (`rig::Point`) and waits there for the other
//! thread to get somewhere. A wait that never ends is a deadlock: it is reported, after a time that no sound run needs.

mod common;

use common::rig::{HookedLock, PausingTables, Point, Rig};
use common::{BLOCK, Image, View, allocated_pages, create, mount, unlink};
use fs::dax::{Outcome, Protocol};
use fs::ext2::Ext2;
use fs::pmem::ram::Ram;
use fs::sim::ZERO_FRAME;
use fs::vfs::FileSystem;
use fs::{Result, platform::Platform};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

type Machine = Rig<Ram, HookedLock, PausingTables>;

/// What has happened so far, for threads to wait on.
#[derive(Clone, Default)]
struct Script(Arc<(Mutex<Vec<&'static str>>, Condvar)>);

impl Script {
    fn say(&self, event: &'static str) {
        self.0.0.lock().expect("the script").push(event);
        self.0.1.notify_all();
    }

    /// Waits until one of `events` has been said.
    fn wait(&self, events: &[&'static str]) {
        let said = self.0.0.lock().expect("the script");
        let missing = |said: &mut Vec<&'static str>| !said.iter().any(|event| events.contains(event));
        let result = self.0.1.wait_timeout_while(said, Duration::from_secs(60), missing);
        let (said, timeout) = result.expect("the script");
        assert!(!timeout.timed_out(), "deadlock: waiting for {events:?} after {:?}", *said);
    }
}

/// An image, a file on it that is one hole, and two address spaces that show it.
struct Stage {
    image: Image,
    machine: Machine,
    fs: Arc<Ext2<Machine>>,
    views: [View<Machine>; 2],
}

impl Stage {
    fn new(protocol: Protocol) -> Self {
        let image = Image::new(256);
        let machine = Machine::new(Ram::from_bytes(&image.bytes()));
        let fs = mount(machine.clone());
        let file = create(&fs, "f");
        file.truncate(4 * BLOCK).expect("truncate");
        let views = [(); 2].map(|()| {
            let mut view = View::new(&file, 0..4);
            view.protocol = protocol;
            view
        });
        machine.stats().reset();
        Self { image, machine, fs, views }
    }

    /// Whatever was raced for: the image must be sound in the end, and nothing may have leaked.
    fn finish(self) {
        drop(self.views);
        self.fs.sync().expect("sync");
        self.fs.unmount().expect("unmount");
        self.image.store_bytes(&self.machine.pmem.to_bytes());
        self.image.expect_clean();
    }
}

/// A reader looks a hole up and is stopped before it maps the zero page; a writer comes, as far as it can; the reader
/// goes on. Returns what the reader loads after the writer stored 0x5a.
fn load_beside_store(stage: &Stage) -> u8 {
    let (script, [reader, writer]) = (Script::default(), &stage.views);
    thread::scope(|scope| {
        let reads = scope.spawn({
            let script = script.clone();
            move || {
                let here = script.clone();
                Point::BeforeZeroPage.hook(move || {
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
fn before_the_rfc_a_reader_keeps_the_zero_page_and_never_sees_the_store() {
    let stage = Stage::new(Protocol::Racy);
    assert_eq!(load_beside_store(&stage), 0, "the bug is gone from the broken protocol: what is the test worth?");
    let [reader, writer] = &stage.views;
    assert_eq!(reader.entry(1).map(|entry| entry.frame), Some(ZERO_FRAME));
    assert_eq!(writer.load_byte(BLOCK), Ok(0x5a), "the two address spaces disagree");
    assert_eq!(stage.machine.stats().fault_retry.get(), 0);
    stage.finish();
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

/// Both threads fault for writing on one hole. Thread `first` gets the lock exclusively first; the other has found the
/// hole too, but is stopped before it takes the lock. Returns the outcomes, in the order of the threads.
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

#[test]
fn a_truncation_between_look_up_and_lock_turns_the_write_fault_away() {
    let stage = Stage::new(Protocol::ReadFirst);
    let free = stage.fs.stat_fs().blocks_free;
    let (script, [writer, other]) = (Script::default(), &stage.views);
    thread::scope(|scope| {
        let here = script.clone();
        let writes = scope.spawn(move || {
            Point::BeforeExclusive.hook(move || {
                here.say("writer found the hole");
                here.wait(&["truncated"]);
            });
            writer.fault(3, true)
        });
        script.wait(&["writer found the hole"]);
        other.file.truncate(BLOCK).expect("truncate");
        script.say("truncated");
        common::expect_errno(writes.join().expect("the writer"), fs::Errno::BeyondEnd);
    });
    assert_eq!(writer.entry(3), None);
    assert_eq!(stage.fs.stat_fs().blocks_free, free, "a block beyond the end");
    stage.finish();
}

#[test]
fn a_truncation_waits_for_a_read_fault_and_takes_what_it_mapped() {
    let stage = Stage::new(Protocol::ReadFirst);
    let (script, [reader, other]) = (Script::default(), &stage.views);
    thread::scope(|scope| {
        let (here, there) = (script.clone(), script.clone());
        let reads = scope.spawn(move || {
            Point::BeforeZeroPage.hook(move || {
                here.say("reader is about to map the zero page");
                here.wait(&["truncation waits"]);
            });
            reader.fault(3, false)
        });
        scope.spawn(move || {
            there.wait(&["reader is about to map the zero page"]);
            let here = there.clone();
            Point::WaitsExclusive.hook(move || here.say("truncation waits"));
            other.file.truncate(BLOCK).expect("truncate");
        });
        assert_eq!(reads.join().expect("the reader"), Ok(Outcome::ZeroPage));
    });
    assert_eq!(reader.entry(3), None, "a page beyond the end stayed mapped");
    stage.finish();
}

#[test]
fn a_store_through_a_mapping_of_an_unlinked_file_hits_no_one_else() {
    let stage = Stage::new(Protocol::ReadFirst);
    let [one, two] = &stage.views;
    one.store(0, b"old").expect("store");
    unlink(&stage.fs, "f").expect("unlink");
    let other = create(&stage.fs, "g");
    common::write(&*other, 0, &[7; 9 * BLOCK as usize]);
    two.store(BLOCK, b"unlinked").expect("store");
    assert_eq!(two.load_byte(0), Ok(b'o'));
    assert!(common::read_all(&*other) == [7; 9 * BLOCK as usize]);
    drop(other);
    stage.finish();
}
