//! Faults against truncation and unlink, step by step: a mapping never outlives its block.

use crate::common;
use crate::common::rig::{Point, at_step};
use crate::common::stage::{Script, Stage};
use crate::common::{BLOCK, create, unlink};
use fs::dax::{Outcome, Protocol};
use fs::vfs::FileSystem;
use std::thread;

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
            at_step(fs::lab::Point::Marked, move || {
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
