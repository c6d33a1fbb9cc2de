//! Recovery of journals that were made block by block: every format, and everything that can be wrong.

use crate::common::craft::{
    BLOCKS, Craft, FIRST, Form, LOG, MAGIC, Sums, get, image, place, replay_home, set, versions,
};
use fs::jbd2::{JournalSuper, LogMap, LogRun, scan};
use fs::pmem::Pmem;
use fs::pmem::ram::Ram;
use fs::{Error, Result, Unsupported};
use std::collections::BTreeMap;

/// Which image of each block is home, where it is not the first.
type Home = Vec<(u64, Option<u8>)>;

/// Replays; says how many transactions there were, and which images are home then.
fn replay(craft: &Craft, ram: &Ram) -> Result<(u32, Home)> {
    let before = ram.to_bytes();
    let found = scan(ram, &craft.log)?;
    assert_eq!(ram.to_bytes(), before, "a scan changes nothing");
    let count = found.transactions();
    let (blocks, sequence) = (found.blocks(), found.next_sequence());
    let size = craft.form.block_size;
    let mut seen = before;
    for block in (0..BLOCKS).filter(|&block| craft.log.is_home(block)) {
        found.read(ram, block, &mut seen[block as usize * size..][..size])?;
    }
    replay_home(found, ram, &craft.log)?;
    let home = versions(&ram.to_bytes(), size);
    assert_eq!(versions(&seen, size), home, "what is read through it is what is written home");
    assert!(blocks >= home.len());
    let sb = JournalSuper::read(ram, &craft.log).expect("a sound superblock");
    let next = sequence.wrapping_add(1);
    assert_eq!((sb.start, sb.sequence), (0, next), "the one that was cut short has its number for itself");
    let again = scan(ram, &craft.log).expect("a sound journal");
    assert!(again.is_empty() && again.blocks() == 0 && again.next_sequence() == next);
    Ok((count, home))
}

fn replayed(craft: &Craft) -> Home {
    replay(craft, &craft.ram()).unwrap_or_else(|error| panic!("{:?}: {error}", craft.form)).1
}

/// What is wrong with the journal: the structure, its number, why.
fn wrong(craft: &Craft) -> (&'static str, u64, &'static str) {
    match replay(craft, &craft.ram()) {
        Err(Error::Corrupt(corrupt)) => (corrupt.what, corrupt.index, corrupt.why),
        other => panic!("{:?}: {other:?}", craft.form),
    }
}

fn some(list: &[(u64, u8)]) -> Home {
    list.iter().map(|&(block, version)| (block, Some(version))).collect()
}

/// A form that has everything.
const V3: Form = Form { block_size: 1024, sums: Sums::V3, wide: true, more: 0 };

#[test]
fn every_format_is_replayed_around_the_end_of_the_log() {
    for form in Form::all() {
        for start in 1..LOG {
            let mut craft = Craft::new(form, start);
            craft.transaction(&[3, 5, 6], 1);
            // Two descriptors in one, and the same block in both.
            craft.images(&[(5, image(form.block_size, 5, 2)), (7, image(form.block_size, 7, 2))]);
            craft.transaction(&[7, 90], 3);
            craft.revoke(&[]);
            craft.commit();
            craft.transaction(&[9], 4);
            // Cut short: without its commit block.
            craft.images(&[(3, image(form.block_size, 3, 9))]);
            let expected = some(&[(3, 1), (5, 2), (6, 1), (7, 3), (9, 4), (90, 3)]);
            let found = replay(&craft, &craft.ram()).unwrap_or_else(|error| panic!("{form:?}: {error}"));
            assert_eq!(found, (4, expected), "{form:?}");
        }
    }
}

#[test]
fn the_first_version_of_the_superblock_has_no_features() {
    let mut craft = Craft::new(Form { sums: Sums::No, wide: false, ..V3 }, 4);
    craft.superblock(|block| {
        set(block, 4, 3);
        (0x24..0x100).for_each(|at| block[at] = 0xa5);
    });
    craft.transaction(&[8, 9], 1);
    assert_eq!(replayed(&craft), some(&[(8, 1), (9, 1)]));
}

#[test]
fn a_log_that_is_full_to_the_last_block_is_replayed_once() {
    let mut craft = Craft::new(V3, 7);
    craft.transaction(&(0..18).collect::<Vec<_>>(), 1);
    craft.transaction(&(40..49).collect::<Vec<_>>(), 2);
    assert_eq!(craft.at, 7);
    let (count, home) = replay(&craft, &craft.ram()).expect("a sound journal");
    assert_eq!((count, home.len()), (2, 27));
}

#[test]
fn a_revoke_takes_images_of_its_transaction_and_of_older_ones() {
    for form in Form::all() {
        let mut craft = Craft::new(form, 2);
        craft.transaction(&[3, 4, 5], 1);
        craft.revoke(&[3, 4]);
        craft.transaction(&[6], 2);
        craft.transaction(&[4], 3);
        craft.revoke(&[6, 77, u64::from(u32::MAX)]);
        craft.commit();
        craft.images(&[(7, image(form.block_size, 7, 5))]);
        craft.revoke(&[7]);
        craft.commit();
        // One that was not committed says nothing.
        craft.revoke(&[5]);
        let ram = craft.ram();
        assert_eq!(scan(&ram, &craft.log).map(|found| found.revokes()), Ok(6), "{form:?}");
        assert_eq!(replayed(&craft), some(&[(4, 3), (5, 1)]), "{form:?}");
    }
}

#[test]
fn a_bad_checksum_is_told_unless_the_block_is_an_older_logs() {
    for form in Form::all().into_iter().filter(|form| form.sums != Sums::No) {
        let with = |where_: usize, bit: usize, older: bool| {
            let mut craft = Craft::new(form, 3);
            craft.transaction(&[4], 1);
            if older {
                craft.seconds -= 100;
            }
            let revokes = craft.revoke(&[60]);
            let descriptor = craft.images(&[(5, image(form.block_size, 5, 2))]);
            let commit = craft.commit();
            let log = [descriptor, descriptor + 1, commit, revokes][where_];
            let at = craft.place(log) + bit / 8;
            craft.bytes[at] ^= 1 << (bit % 8);
            (log, craft)
        };
        let tails = matches!(form.sums, Sums::V2 | Sums::V3);
        let end = form.block_size * 8 - 50;
        for (where_, bit, why) in [
            (0, end, if tails { "bad checksum" } else { "bad checksum of a commit block" }),
            (1, end, if tails { "bad checksum of an image" } else { "bad checksum of a commit block" }),
            (2, 16 * 8 + 3, "bad checksum of a commit block"),
            (3, end, if tails { "bad checksum" } else { "" }),
        ] {
            let (log, craft) = with(where_, bit, false);
            if why.is_empty() {
                assert_eq!(replayed(&craft), some(&[(4, 1), (5, 2)]));
                continue;
            }
            let (what, number, found) = wrong(&craft);
            let named = if tails { number == u64::from(log) } else { number > 3 };
            assert!(what == "journal block" && named && found == why, "{form:?} {where_}: {number} {found}");
            // An image is not looked at before the end of the log is known.
            if !(tails && where_ == 1) {
                assert_eq!(replayed(&with(where_, bit, true).1), some(&[(4, 1)]), "{form:?} {where_}");
            }
        }
    }
}

#[test]
fn an_image_that_is_not_written_home_may_be_damaged() {
    let mut craft = Craft::new(V3, 3);
    craft.transaction(&[4, 5], 1);
    craft.revoke(&[5]);
    craft.transaction(&[4], 2);
    for log in [4, 5] {
        let at = craft.place(log);
        craft.bytes[at + 77] ^= 1;
    }
    assert_eq!(replayed(&craft), some(&[(4, 2)]));
}

#[test]
fn a_commit_that_came_before_its_transaction_ends_an_asynchronous_log() {
    for sums in [Sums::Whole, Sums::V3] {
        let form = Form { sums, more: 4, ..V3 };
        let mut craft = Craft::new(form, 3);
        craft.transaction(&[4], 1);
        let commit = craft.at + 2;
        craft.transaction(&[5], 2);
        let at = craft.place(commit);
        craft.bytes[at + 18] ^= 1;
        assert_eq!(replayed(&craft), some(&[(4, 1)]), "{sums:?}");
    }
}

#[test]
fn an_image_that_belongs_nowhere_is_told() {
    for form in Form::all() {
        let far = if form.wide { 1 << 40 | 5 } else { 1 << 30 };
        for home in [BLOCKS, far, 60, 79, 20, 31] {
            let mut craft = Craft::new(form, 3);
            craft.transaction(&[4], 1);
            let at = craft.images(&[(home, image(form.block_size, 5, 2))]);
            craft.commit();
            let why = "an image belongs into the journal, or out of the file system";
            assert_eq!(wrong(&craft), ("journal block", at.into(), why), "{form:?}");
            assert!(!craft.log.is_home(home));
        }
        // Not committed, it does not count.
        let mut craft = Craft::new(form, 3);
        craft.transaction(&[4], 1);
        craft.images(&[(60, image(form.block_size, 5, 2))]);
        assert_eq!(replayed(&craft), some(&[(4, 1)]));
    }
}

#[test]
fn a_log_that_goes_in_a_circle_ends() {
    // Every block is a revoke block of one and the same transaction; or a descriptor that has no end.
    for form in Form::all() {
        let mut craft = Craft::new(form, 5);
        (1..LOG).for_each(|_| {
            craft.revoke(&[1]);
        });
        assert_eq!(wrong(&craft).2, "its transaction is longer than the log", "{form:?}");
        let mut craft = Craft::new(form, 5);
        let many: Vec<_> = (2..LOG).map(|_| (4, image(form.block_size, 4, 1))).collect();
        let descriptor = craft.images(&many);
        let place = craft.place(descriptor);
        let mut block = craft.bytes[place..place + form.block_size].to_vec();
        let last = 12 + 16 + 29 * form.tag_len() + 4;
        let flags = get(&block, last);
        assert_eq!(flags & 0xffff, 8 | 2);
        set(&mut block, last, flags & !8);
        craft.finish(&mut block);
        craft.bytes[place..place + form.block_size].copy_from_slice(&block);
        assert_eq!(wrong(&craft), ("journal block", 5, "its transaction is longer than the log"), "{form:?}");
    }
}

#[test]
fn a_revoke_block_whose_length_lies_is_told() {
    for form in Form::all() {
        let len = if form.wide { 8 } else { 4 };
        for used in [0, 15, 17, 16 + len as u32 + 1, form.block_size as u32 + 1, u32::MAX] {
            let mut craft = Craft::new(form, 3);
            let at = craft.revoke(&[5]);
            let place = craft.place(at);
            let mut block = craft.bytes[place..place + form.block_size].to_vec();
            set(&mut block, 12, used);
            craft.finish(&mut block);
            craft.bytes[place..place + form.block_size].copy_from_slice(&block);
            craft.commit();
            assert_eq!(wrong(&craft), ("journal block", at.into(), "bad length of its revokes"), "{form:?}");
        }
    }
}

#[test]
fn a_superblock_of_nonsense_is_told_and_nothing_is_touched() {
    let cases: [(&str, usize, u32); 12] = [
        ("bad magic number", 0, MAGIC + 1),
        ("its first block is no superblock, by its type", 4, 2),
        ("another block size than the file system's", 12, 2048),
        ("it is longer than its inode", 16, LOG + 1),
        ("its log is empty, by its first block", 16, 0),
        ("its log is empty, by its first block", 20, 0),
        ("its log is empty, by its first block", 20, LOG),
        ("its log starts outside of itself", 28, LOG),
        ("its log starts outside of itself", 28, u32::MAX),
        ("two kinds of checksums", 0x24, 1),
        ("two kinds of checksums", 0x28, 0x18),
        ("unknown type of checksums", 0x50, 0x0300_0000),
    ];
    for (why, at, value) in cases {
        let mut craft = Craft::new(V3, 3);
        craft.transaction(&[4], 1);
        craft.at = 3;
        craft.superblock(|block| set(block, at, value));
        assert_eq!(wrong(&craft), ("journal", 0, why));
    }
    for (at, bits, names) in [
        (0x28, 0x51, "unsupported incompatible features: 0x40 (of the journal)"),
        (0x2c, 1, "unsupported incompatible features: journal_incompat_revoke (of the journal)"),
    ] {
        let mut craft = Craft::new(V3, 3);
        craft.superblock(|block| set(block, at, bits));
        let error = replay(&craft, &craft.ram()).expect_err("unknown features");
        assert_eq!(error.to_string(), names);
    }
    // Compatible features that are not known are none of our business.
    let mut craft = Craft::new(V3, 3);
    craft.superblock(|block| set(block, 0x24, 0xff00));
    craft.transaction(&[4], 1);
    assert_eq!(replayed(&craft), some(&[(4, 1)]));
    // A log of bare zeros.
    let (ram, log) = (Ram::from_bytes(&[0; 96 << 10]), Craft::new(V3, 3).log);
    assert!(matches!(scan(&ram, &log), Err(Error::Corrupt(corrupt)) if corrupt.why == "bad magic number"));
}

#[test]
fn a_transaction_of_another_number_ends_the_log() {
    for off in [1, u32::MAX, 1 << 31] {
        let mut craft = Craft::new(V3, 3);
        craft.transaction(&[4], 1);
        craft.sequence = craft.sequence.wrapping_add(off);
        craft.transaction(&[5], 2);
        assert_eq!(replayed(&craft), some(&[(4, 1)]));
    }
    let mut craft = Craft::new(V3, 3);
    craft.transaction(&[4], 1);
    craft.transaction(&[5], 1);
    let found = scan(&craft.ram(), &craft.log).expect("a sound journal");
    assert_eq!(found.next_sequence(), FIRST.wrapping_add(2), "numbers go round");
}

#[test]
fn why_a_journal_was_aborted_is_told() {
    let mut craft = Craft::new(V3, 3);
    craft.superblock(|block| set(block, 0x20, -5_i32 as u32));
    assert_eq!(scan(&craft.ram(), &craft.log).map(|found| found.errno()), Ok(-5));
}

#[test]
fn fast_commits_are_refused_if_there_are_any() {
    let form = Form { more: 0x20, ..V3 };
    let make = |tag: u8, tid: u32| {
        let mut craft = Craft::new(form, 3);
        craft.at = 3;
        craft.superblock(|block| set(block, 0x54, 5));
        craft.transaction(&[4], 1);
        let at = craft.place(LOG - 5);
        craft.bytes[at..at + 4].copy_from_slice(&[tag, 0, 8, 0]);
        craft.bytes[at + 8..at + 12].copy_from_slice(&tid.to_le_bytes());
        craft
    };
    let next = FIRST.wrapping_add(1);
    for (tag, tid) in [(9, next.wrapping_add(1)), (8, next), (9, FIRST)] {
        assert_eq!(replayed(&make(tag, tid)), some(&[(4, 1)]), "{tag} {tid}");
    }
    let craft = make(9, next);
    let ram = craft.ram();
    assert_eq!(scan(&ram, &craft.log).map(|found| found.has_fast_commits()), Ok(true));
    let error = replay(&craft, &ram).expect_err("there are some");
    assert!(matches!(error, Error::Unsupported(Unsupported::Features(_))));
    assert!(
        error
            .to_string()
            .ends_with("fast_commit (fast commits to replay: mount it once with Linux, or e2fsck -fp)")
    );
    assert_eq!(ram.to_bytes(), craft.bytes);
    // They take blocks from the log: 256 where it is not said how many, which is more than there are.
    let mut craft = Craft::new(form, 3);
    assert_eq!(wrong(&craft), ("journal", 0, "fast commits fill it"));
    craft.superblock(|block| set(block, 0x54, LOG - 1));
    assert_eq!(wrong(&craft).2, "its log is empty, by its first block");
    // The ring is shorter: the transaction goes on at its start.
    craft.at = LOG - 7;
    craft.superblock(|block| set(block, 0x54, 5));
    craft.images(&[(4, image(1024, 4, 1))]);
    craft.at = 1;
    craft.commit();
    assert_eq!(replayed(&craft), some(&[(4, 1)]));
}

#[test]
fn a_log_must_lie_in_the_file_system_once() {
    let run = |log, block, count| LogRun { log, block, count };
    let why = |runs: &[LogRun]| match LogMap::new(runs.to_vec(), 4096, 100) {
        Err(Error::Corrupt(corrupt)) => (corrupt.what, corrupt.index, corrupt.why),
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&[]), ("journal", 0, "it has no blocks"));
    assert_eq!(why(&[run(1, 5, 5)]), ("journal", 0, "its blocks have a gap"));
    assert_eq!(why(&[run(0, 5, 5), run(5, 20, 0)]), ("journal", 1, "its blocks have a gap"));
    assert_eq!(why(&[run(0, 5, 5), run(6, 20, 1)]), ("journal", 1, "its blocks have a gap"));
    assert_eq!(why(&[run(0, 99, 2)]).2, "blocks beyond the end of the file system");
    assert_eq!(why(&[run(0, u64::MAX, 2)]).2, "blocks beyond the end of the file system");
    assert_eq!(
        why(&[run(0, 5, u32::MAX), run(u32::MAX, 6, 1)]).2,
        "blocks beyond the end of the file system"
    );
    assert_eq!(why(&[run(0, 5, 5), run(5, 50, 9), run(14, 3, 3)]).2, "a block is in it twice");
    let log = LogMap::new(vec![run(0, 99, 1), run(1, 0, 99)], 4096, 100).expect("all of it");
    assert_eq!((log.blocks(), log.is_home(50), log.is_home(100)), (100, false, false));
}

#[test]
fn bad_memory_under_the_log_is_an_error_of_its_block() {
    let mut craft = Craft::new(V3, 3);
    craft.transaction(&[4, 5], 1);
    craft.transaction(&[4], 2);
    // Superblock, descriptor, an image, the commit, where the log ends.
    for (log, line) in [(0, 3), (3, 9), (5, 0), (6, 15), (8, 2), (10, 1)] {
        let ram = craft.ram();
        let at = craft.place(log) as u64 + line * 64;
        ram.poison.add(at, 1).expect("room");
        let error = replay(&craft, &ram).expect_err("bad memory");
        assert_eq!(error, Error::Poisoned(at), "{log}");
        assert_eq!(ram.to_bytes(), craft.bytes);
    }
    // An image that a newer one replaces; beyond the superblock; at home, where it is overwritten.
    let ram = craft.ram();
    for at in [craft.place(4), craft.place(0) + 1024, 4 << 10, craft.place(20)] {
        ram.poison.add(at as u64, 1).expect("room");
    }
    assert_eq!(replay(&craft, &ram).expect("good memory").1, some(&[(4, 2), (5, 1)]));
    assert_eq!(ram.poisoned(4 << 10, 1024), None);
}

#[test]
fn a_region_that_is_not_writable_is_read_through_the_recovery() {
    let mut craft = Craft::new(V3, 3);
    craft.transaction(&[6], 1);
    let ram = craft.ram().read_only();
    let found = scan(&ram, &craft.log).expect("a sound journal");
    let mut block = [0; 1024];
    found.read(&ram, 6, &mut block).expect("good memory");
    assert_eq!((block.to_vec(), get(&block, 0)), (image(1024, 6, 1), MAGIC));
    found.read(&ram, 7, &mut block).expect("good memory");
    assert_eq!(block.to_vec(), image(1024, 7, 0));
    assert_eq!(replay_home(found, &ram, &craft.log), Err(fs::Errno::ReadOnly.into()));
}

/// The log whose bits are flipped: each kind of block, and the states that its transactions lead to.
fn with_all(form: Form) -> (Craft, Vec<Home>) {
    let mut craft = Craft::new(form, 3);
    let mut states = vec![Vec::new()];
    for version in 1..4 {
        craft.revoke(&[40, 4]);
        craft.transaction(&[4, 5 + u64::from(version)], version);
        states.push(replayed(&craft));
    }
    (craft, states)
}

#[test]
fn every_bit_flipped_is_an_error_or_leaves_a_state_that_was() {
    for form in Form::all().into_iter().filter(|form| form.block_size == 1024) {
        let (craft, states) = with_all(form);
        let mut outcomes = BTreeMap::new();
        // The superblock, and the second transaction: revokes, descriptor, image, image, commit.
        for log in [0, 8, 9, 11, 12] {
            let ram = craft.ram();
            for bit in 0..1024 * 8 {
                ram.poke(0, &craft.bytes);
                let at = place(1024, log) + bit / 8;
                ram.poke(at as u64, &[craft.bytes[at] ^ 1 << (bit % 8)]);
                let outcome = match scan(&ram, &craft.log) {
                    Err(Error::Corrupt(_) | Error::Unsupported(_)) => "error",
                    Err(error) => panic!("{form:?} {log} {bit}: {error}"),
                    Ok(found) => {
                        replay_home(found, &ram, &craft.log).expect("it was scanned");
                        let home = versions(&ram.to_bytes(), 1024);
                        if states.contains(&home) { "state" } else { "other" }
                    }
                };
                *outcomes.entry((log, outcome)).or_insert(0) += 1;
                let is_checked = matches!(form.sums, Sums::V2 | Sums::V3);
                assert!(outcome != "other" || !is_checked, "{form:?} block {log} of the log, bit {bit}");
            }
        }
        let errors = |log| outcomes.get(&(log, "error")).copied().unwrap_or(0);
        if matches!(form.sums, Sums::V2 | Sums::V3) {
            // Less magic, type, sequence and time of the commit: what has those otherwise is no block of this
            // log, or an older one's.
            assert!(errors(0) > 8180 && errors(8) > 8000 && errors(11) == 8192, "{form:?}: {outcomes:?}");
        }
    }
}

#[test]
fn a_replay_cut_short_anywhere_is_replayed_again() {
    use crate::common::tape::Tape;
    for form in Form::all().into_iter().filter(|form| form.block_size == 1024) {
        let (craft, states) = with_all(form);
        let (tape, machine) = Tape::record(&craft.bytes);
        scan(&*machine.ram, &craft.log)
            .and_then(|found| replay_home(found, &machine.ram, &craft.log))
            .expect("sound");
        assert_eq!(tape.fences(), if matches!(form.sums, Sums::V2 | Sums::V3) { 5 } else { 4 });
        let mut images = 0;
        tape.crashes(20, |how, bytes| {
            images += 1;
            let ram = Ram::from_bytes(&bytes);
            let found = scan(&ram, &craft.log).unwrap_or_else(|error| panic!("{form:?} {how}: {error}"));
            replay_home(found, &ram, &craft.log).unwrap_or_else(|error| panic!("{form:?} {how}: {error}"));
            assert_eq!(Some(&versions(&ram.to_bytes(), 1024)), states.last(), "{form:?} {how}");
        });
        assert!(images > 50, "{images}");
    }
}

#[test]
fn every_flush_and_fence_left_out_of_a_replay_is_missed() {
    use crate::common::tape::Tape;
    let (craft, states) = with_all(V3);
    let (tape, machine) = Tape::record(&craft.bytes);
    scan(&*machine.ram, &craft.log)
        .and_then(|found| replay_home(found, &machine.ram, &craft.log))
        .expect("sound");
    let is_found = |tape: &Tape| {
        let mut found = false;
        tape.crashes(40, |_, bytes| {
            let ram = Ram::from_bytes(&bytes);
            let result = scan(&ram, &craft.log).and_then(|found| replay_home(found, &ram, &craft.log));
            found |= result.is_err() || Some(&versions(&ram.to_bytes(), 1024)) != states.last();
        });
        found
    };
    assert!(!is_found(&tape));
    let barriers = tape.barriers();
    let missed: Vec<_> = barriers.iter().filter(|barrier| !is_found(&tape.without(barrier.at))).collect();
    // The type of checksums is what it was, and the bit that comes last is known to be missing if it is.
    let found: Vec<_> = missed.iter().map(|barrier| barrier.flush).collect();
    let bit = (craft.place(0) + 0x28) as u64;
    let checksum_type = (craft.place(0) + 0x50) as u64;
    assert_eq!(found, [Some((checksum_type, 8)), Some((bit, 8)), None]);
}
