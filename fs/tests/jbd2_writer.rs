//! The journal as a file system writes it: random transactions against a model, cut off anywhere; full logs,
//! aborts, threads; and what Linux's tools make of what was written.

use crate::common::craft::{BLOCKS, Craft, Form, Sums, get, image, log_map, replay_home};
use crate::common::tape::{Barrier, Tape};
use crate::common::{BLOCK, Image, Machine, Rng, Scratch, pattern, sample};
use crate::jbd2_interop::{compared, log_map as log_of, replayed_by_e2fsck};
use fs::jbd2::{Handle, Journal, JournalSuper, LogFeatures, LogMap, scan};
use fs::lab::Mutant;
use fs::platform::{Platform, Timestamp};
use fs::pmem::Pmem;
use fs::pmem::ram::Ram;
use fs::{Corrupt, Errno, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};

const SIZE: usize = 1024;
const V3: Form = Form { block_size: SIZE, sums: Sums::V3, wide: true, more: 0 };
const FEATURES: LogFeatures = LogFeatures { wide: true, checksums: true };

/// Runs of blocks that may be used again.
type Reusable = Arc<Mutex<Vec<Range<u64>>>>;

/// The journal on a machine, and what it said may be used again.
fn open(machine: &Machine, log: LogMap, features: LogFeatures) -> (Journal<Machine>, Reusable) {
    let reusable = Reusable::default();
    let told = reusable.clone();
    let tell = move |runs: &[Range<u64>]| told.lock().expect("the list").extend_from_slice(runs);
    let journal = Journal::open(Arc::new(machine.clone()), log, features, Box::new(tell));
    (journal.unwrap_or_else(|error| panic!("{error}")), reusable)
}

/// An image whose journal is empty.
fn empty(form: Form) -> Vec<u8> {
    let mut craft = Craft::new(form, 1);
    craft.superblock(|block| block[28..32].fill(0));
    craft.bytes
}

/// What a block is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// Metadata, which goes through the journal.
    Meta(Vec<u8>),
    /// A file's, which is stored in place.
    Data(Vec<u8>),
    Free,
}

/// What each block holds. Blocks 0 and 1 count transactions.
type World = BTreeMap<u64, Use>;

/// Random transactions, recorded.
struct Run {
    tape: Tape,
    machine: Machine,
    /// The world after so many transactions.
    worlds: Vec<World>,
    /// How many of them are durable for certain when so many marks are on the tape.
    durable: Vec<usize>,
    /// The fences that were the file system's, by their number on the tape.
    own: BTreeSet<usize>,
}

fn content(block: u64, seed: u64) -> Vec<u8> {
    let mut bytes = pattern(seed, SIZE);
    if seed % 5 == 1 {
        bytes[..4].copy_from_slice(&image(SIZE, 3, 1)[..4]);
    }
    bytes[SIZE - 8..].copy_from_slice(&block.to_le_bytes());
    bytes
}

impl Run {
    /// `count` transactions from `seed`, with a mistake or without.
    fn of(seed: u64, count: usize, mistake: Option<Mutant>) -> Self {
        let start = empty(V3);
        let (tape, machine) = Tape::record(&start);
        mistake.into_iter().for_each(|mutant| machine.lab.add(mutant));
        let log = log_map(SIZE);
        let home = |block: u64| start[block as usize * SIZE..][..SIZE].to_vec();
        let blocks = (0..BLOCKS).filter(|&block| log.is_home(block)).take(14);
        let world: World =
            blocks.map(|block| (block, if block < 6 { Use::Meta(home(block)) } else { Use::Free })).collect();
        let mut run = Self { tape, machine, worlds: vec![world], durable: vec![0], own: BTreeSet::new() };
        run.go(seed, count);
        run
    }

    fn go(&mut self, seed: u64, count: usize) {
        let (journal, reusable) = open(&self.machine, log_map(SIZE), FEATURES);
        let mut rng = Rng::new(seed);
        // Freed blocks that are not reusable yet.
        let mut pending: BTreeSet<u64> = BTreeSet::new();
        let mut sequences = Vec::new();
        for number in 1..=count {
            let mut world = self.worlds[number - 1].clone();
            let credits = 1 + rng.below(3) as u32;
            let handle = journal.start(credits + 2).expect("room");
            for run in reusable.lock().expect("the list").drain(..) {
                run.for_each(|block| assert!(pending.remove(&block), "{block} was not freed"));
            }
            for block in [0, 1] {
                handle.change(block).expect("room").store_u64(16, number as u64);
                let Some(Use::Meta(bytes)) = world.get_mut(&block) else { panic!("block {block}") };
                bytes[16..24].copy_from_slice(&(number as u64).to_le_bytes());
            }
            for _ in 0..credits {
                let block = 2 + rng.below(12);
                let seed = rng.draw();
                let now = world[&block].clone();
                let next = self.change(&handle, block, &now, seed, &mut rng, &mut pending);
                world.insert(block, next);
            }
            let sequence = handle.sequence();
            drop(handle);
            for (&block, used) in &world {
                if let Use::Meta(bytes) = used {
                    let seen = journal.latest(block).map_or_else(
                        || {
                            (0..SIZE)
                                .map(|at| self.machine.ram.load_u8((block as usize * SIZE + at) as u64))
                                .collect()
                        },
                        |buffer| {
                            let mut seen = vec![0; SIZE];
                            buffer.read(0, &mut seen);
                            seen
                        },
                    );
                    assert_eq!(&seen, bytes, "block {block} as readers see it");
                }
            }
            sequences.push(sequence);
            match rng.below(8) {
                0 | 1 => journal.commit(sequence).expect("a commit"),
                2 if rng.one_in(4) => journal.flush().expect("a flush"),
                _ => {}
            }
            let committed = journal.info().committed;
            let is_durable = |&&sequence: &&u32| sequence.wrapping_sub(committed) as i32 <= 0;
            let durable = sequences.iter().take_while(is_durable).count();
            self.worlds.push(world);
            self.durable.push(durable);
            self.tape.mark();
        }
    }

    /// Does something with a block.
    fn change(
        &mut self,
        handle: &Handle<'_, Machine>,
        block: u64,
        now: &Use,
        seed: u64,
        rng: &mut Rng,
        pending: &mut BTreeSet<u64>,
    ) -> Use {
        match now {
            Use::Meta(bytes) if rng.below(3) > 0 => {
                let mut bytes = bytes.clone();
                let at = rng.below(SIZE as u64 - 40) as usize;
                let part = pattern(seed, 1 + rng.below(40) as usize);
                bytes[at..at + part.len()].copy_from_slice(&part);
                handle.change(block).expect("room").write(at as u64, &part);
                Use::Meta(bytes)
            }
            Use::Meta(_) => {
                handle.revoke(block).expect("room");
                handle.free(block..block + 1);
                pending.insert(block);
                Use::Free
            }
            Use::Data(_) => {
                handle.free(block..block + 1);
                pending.insert(block);
                Use::Free
            }
            Use::Free if pending.contains(&block) => Use::Free,
            Use::Free if rng.one_in(2) => {
                let bytes = content(block, seed);
                handle.create(block).expect("room").write(0, &bytes);
                Use::Meta(bytes)
            }
            Use::Free => {
                let bytes = content(block, seed);
                self.machine.ram.write_nt(block * SIZE as u64, &bytes);
                self.own.insert(self.tape.fences());
                self.machine.ram.fence();
                Use::Data(bytes)
            }
        }
    }

    /// The first crash of `tape` that is recovered to something that never was, or lost.
    fn first_wrong(&self, tape: &Tape, random: usize) -> Option<String> {
        let mut wrong = None;
        tape.crashes_at(0..usize::MAX, random, 1, |moment, how, bytes| {
            if wrong.is_none() {
                let least = self.durable[moment.marks.min(self.durable.len() - 1)];
                let result = self.examine(&bytes(), least, moment.marks + 1);
                wrong = result.err().map(|why| format!("{moment:?}, {how}: {why}"));
            }
        });
        wrong
    }

    fn examine(&self, image: &[u8], least: usize, most: usize) -> Result<(), String> {
        let (ram, log) = (Ram::from_bytes(image), log_map(SIZE));
        let found = scan(&ram, &log).map_err(|error| error.to_string())?;
        replay_home(found, &ram, &log).map_err(|error| error.to_string())?;
        let number = ram.load_u64(16) as usize;
        if number < least || number > most {
            return Err(format!("{number} transactions of {least} to {most}"));
        }
        for (&block, used) in self.worlds.get(number).ok_or("an unknown world")? {
            let mut bytes = vec![0; SIZE];
            ram.read(block * SIZE as u64, &mut bytes);
            match used {
                Use::Meta(right) | Use::Data(right) if *right != bytes => {
                    let kind = if matches!(used, Use::Meta(_)) { "metadata" } else { "data" };
                    return Err(format!("{number} transactions: block {block} of {kind} is wrong"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[test]
fn a_crash_leaves_the_first_transactions_and_every_one_that_was_committed() {
    for seed in 0..sample(6, 100) {
        let run = Run::of(seed, 60, None);
        assert_eq!(run.first_wrong(&run.tape, 3), None, "seed {seed}");
        let stats = run.machine.stats();
        assert!(stats.journal_commits.get() > 10 && stats.journal_checkpoints.get() > 2, "seed {seed}");
        assert_eq!(stats.journal_handles.get(), 60);
    }
}

#[test]
fn each_mistake_is_found() {
    for mutant in [
        Mutant::CommitBeforeData,
        Mutant::NoCommitFence,
        Mutant::TailTooEarly,
        Mutant::NoRevoke,
        Mutant::ReuseBeforeCommit,
    ] {
        let found = (0..sample(12, 40)).find_map(|seed| {
            let run = Run::of(seed, 60, Some(mutant));
            run.first_wrong(&run.tape, 3).map(|why| (seed, why))
        });
        println!("{mutant}: {found:?}");
        assert!(found.is_some(), "{mutant}");
    }
}

/// What a barrier is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A flush or fence of a change of the log's superblock.
    Restart,
    /// Of those: the flush of the type of checksums, which is what it was; the last flush and the last fence,
    /// by which the bit for checksums comes back.
    ChecksumType,
    RestartEnd,
    /// The three fences of a commit, and its only flush. The last fence is apart if the log is emptied next,
    /// and the flush counts as the second fence then.
    Images,
    CommitFlush,
    Commit,
    Home,
    HomeThenRestart,
    /// The file system's own.
    Own,
}

/// Says of each barrier what it is for. The log's superblock is at `sb`.
fn classify(barriers: &[Barrier], own: &BTreeSet<usize>, sb: u64) -> Vec<What> {
    let (mut list, mut in_commit, mut bits) = (Vec::new(), 0, 0);
    let mut in_restart = false;
    for (index, barrier) in barriers.iter().enumerate() {
        let bit = barrier.flush == Some((sb + 0x28, 8));
        let what = match barrier.flush {
            Some(_) if in_commit == 1 => What::CommitFlush,
            Some((at, _)) if at == sb + 0x50 => What::ChecksumType,
            Some(_) => {
                in_restart = true;
                bits += usize::from(bit);
                if bits == 2 { What::RestartEnd } else { What::Restart }
            }
            None if own.contains(&barrier.fences) => What::Own,
            None if in_restart && bits == 2 => {
                (in_restart, bits) = (false, 0);
                What::RestartEnd
            }
            None if in_restart => What::Restart,
            None => {
                in_commit = (in_commit + 1) % 3;
                let is_last = barriers.get(index + 1).is_some_and(|next| next.flush.is_some());
                match in_commit {
                    1 => What::Images,
                    2 => What::Commit,
                    _ if is_last => What::HomeThenRestart,
                    _ => What::Home,
                }
            }
        };
        list.push(what);
        if let [.., flush, What::Commit, What::HomeThenRestart] = &mut list[..] {
            *flush = What::Commit;
        }
    }
    list
}

#[test]
fn every_flush_and_fence_left_out_of_a_commit_is_found_but_these() {
    let mut outcomes: BTreeMap<(What, bool), usize> = BTreeMap::new();
    for seed in 0..sample(2, 12) {
        let run = Run::of(seed, 30, None);
        let barriers = run.tape.barriers();
        let sb = 60 * SIZE as u64;
        for (barrier, what) in barriers.iter().zip(classify(&barriers, &run.own, sb)) {
            let found = run.first_wrong(&run.tape.without(barrier.at), 3).is_some();
            *outcomes.entry((what, found)).or_insert(0) += 1;
        }
    }
    let with = |right| outcomes.keys().filter(move |(_, found)| *found == right).map(|(what, _)| *what);
    let found = [What::Restart, What::Images, What::CommitFlush, What::Commit, What::HomeThenRestart];
    assert_eq!(with(true).collect::<Vec<_>>(), found, "{outcomes:?}");
    // The bit is known to be missing if it is. A commit's fence is not missed if the log has older images of
    // all its blocks: what is half home by then is mended with those; nor its flush, if the log is emptied
    // before anybody was promised anything. What goes home is in the log, too, until that is emptied. And a
    // fence is for all that its CPU stored, the file system included: on one CPU, the commit's comes in time.
    let missed = [What::ChecksumType, What::RestartEnd, What::Commit, What::Home, What::Own];
    assert_eq!(with(false).collect::<Vec<_>>(), missed, "{outcomes:?}");
}

/// A journal on plain memory.
fn plain(form: Form) -> (Machine, Journal<Machine>, Reusable) {
    let machine = Machine::new(Ram::from_bytes(&empty(form)));
    let (journal, reusable) = open(&machine, log_map(form.block_size), FEATURES);
    (machine, journal, reusable)
}

#[test]
fn what_was_committed_is_home_and_a_flush_empties_the_log() {
    for checksums in [false, true] {
        for wide in [false, true] {
            let machine = Machine::new(Ram::from_bytes(&empty(Form { sums: Sums::No, wide: false, ..V3 })));
            let (journal, _) = open(&machine, log_map(SIZE), LogFeatures { wide, checksums });
            for round in 0..40_u64 {
                let handle = journal.start(4).expect("room");
                for block in 0..1 + round % 4 {
                    handle.change(round % 7 + block).expect("room").store_u64(8, round);
                }
                drop(handle);
                journal.force_commit().expect("a commit");
                for block in 0..1 + round % 4 {
                    assert_eq!(machine.ram.load_u64((round % 7 + block) * SIZE as u64 + 8), round);
                    assert!(journal.latest(round % 7 + block).is_none());
                }
                let found = scan(&*machine.ram, &log_map(SIZE)).expect("a sound journal");
                assert_eq!(found.next_sequence(), journal.info().running);
            }
            journal.flush().expect("a flush");
            let sb = JournalSuper::read(&*machine.ram, &log_map(SIZE)).expect("sound");
            let info = journal.info();
            assert_eq!((sb.start, sb.sequence, info.tail), (0, info.running, 0));
            assert_eq!((info.free, info.handles, info.credits, info.buffers), (info.blocks, 0, 0, 0));
            // Nothing to commit is no commit.
            let before = (machine.ram.to_bytes(), journal.info());
            journal.force_commit().expect("nothing");
            drop(journal.start(3).expect("room"));
            journal.force_commit().expect("nothing");
            assert_eq!((machine.ram.to_bytes(), journal.info()), before);
        }
    }
}

#[test]
fn a_transaction_takes_a_quarter_of_the_log_and_no_more() {
    let (machine, journal, _) = plain(V3);
    let most = journal.info().blocks / 4;
    assert_eq!(journal.start(most + 1).err(), Some(Errno::Overflow.into()));
    let mut first = journal.start(most - 2).expect("room");
    assert!(first.extend(2) && !first.extend(1));
    let sequence = first.sequence();
    (0..most.into()).for_each(|block| first.change(block).expect("room").store_u8(9, 1));
    drop(first);
    // The next one does not fit beside it: that is committed.
    let second = journal.start(1).expect("room");
    assert_eq!(second.sequence(), sequence + 1);
    assert_eq!(machine.stats().journal_commits.get(), 1);
    // Who changes more than he said is stopped before the log is too short.
    let blocks = (0..BLOCKS).filter(|&block| log_map(SIZE).is_home(block));
    let refused = blocks.map(|block| second.change(block).err()).find(Option::is_some).flatten();
    assert_eq!(refused, Some(Errno::Overflow.into()));
    drop(second);
    journal.flush().expect("it fits");
}

#[test]
fn a_handle_can_be_left_open_and_resumed() {
    let (_, journal, _) = plain(V3);
    let handle = journal.start(3).expect("room");
    let sequence = handle.sequence();
    let credits = handle.into_credits();
    assert_eq!((journal.info().handles, credits), (1, 3));
    let handle = journal.resume(credits);
    assert_eq!(handle.sequence(), sequence);
    drop(handle);
    assert_eq!((journal.info().handles, journal.info().credits), (0, 0));
}

#[test]
fn metadata_in_the_log_or_on_bad_memory_is_an_error_and_nothing_changes() {
    let (machine, journal, _) = plain(V3);
    let handle = journal.start(3).expect("room");
    for block in [60, 21, BLOCKS, u64::MAX] {
        let error = handle.change(block).err().or(handle.create(block).err());
        let Some(Error::Corrupt(corrupt)) = error else { panic!("{block}: {error:?}") };
        assert_eq!((corrupt.what, corrupt.value), ("journal", Some(block)));
    }
    machine.ram.poison.add(5 << 10, 1).expect("room");
    assert_eq!(handle.change(5).err(), Some(Error::Poisoned(5 << 10)));
    // A new block overwrites it.
    handle.create(5).expect("room").store_u8(3, 7);
    drop(handle);
    journal.flush().expect("a commit");
    assert_eq!((machine.ram.poisoned(5 << 10, 1024), machine.ram.load_u8((5 << 10) + 3)), (None, 7));
}

#[test]
fn what_is_old_is_committed_by_the_timer() {
    let (machine, journal, _) = plain(V3);
    machine.set_clock(1000);
    journal.start(1).expect("room").change(4).expect("room").store_u8(1, 1);
    let at = |secs| Timestamp { secs, nanos: 0 };
    journal.tick(at(1003)).expect("nothing");
    assert_eq!(machine.stats().journal_commits.get(), 0);
    journal.tick(at(1010)).expect("a commit");
    journal.tick(at(2000)).expect("nothing");
    assert_eq!(machine.stats().journal_commits.get(), 1);
}

#[test]
fn an_aborted_journal_refuses_everything_and_is_told_once() {
    let (machine, journal, reusable) = plain(V3);
    let handle = journal.start(2).expect("room");
    handle.change(4).expect("room").store_u8(1, 1);
    drop(handle);
    journal.force_commit().expect("a commit");
    let handle = journal.start(2).expect("room");
    handle.change(4).expect("room").store_u8(1, 2);
    handle.free(7..8);
    let why: Error = Corrupt::new("inode", 12, "for the test").into();
    journal.abort(why);
    let before = machine.ram.to_bytes();
    journal.abort(Errno::Busy.into());
    assert_eq!(handle.change(5).err(), Some(why));
    assert_eq!(handle.create(5).err(), Some(why));
    assert_eq!(handle.revoke(4).err(), Some(why));
    drop(handle);
    assert_eq!(journal.start(1).err(), Some(why));
    assert_eq!(journal.force_commit(), Err(why));
    assert_eq!(journal.flush(), Err(why));
    assert_eq!(journal.failed(), Some(why));
    // What it changed is still to be seen, and not on the disk.
    assert_eq!(journal.latest(4).map(|block| block.load_u8(1)), Some(2));
    assert!(machine.ram.to_bytes() == before && reusable.lock().expect("the list").is_empty());
    let found = scan(&*machine.ram, &log_map(SIZE)).expect("sound");
    assert_eq!((found.errno(), found.is_empty(), machine.ram.load_u8((4 << 10) + 1)), (-5, true, 1));
}

#[test]
fn a_region_that_takes_no_stores_any_more_aborts() {
    let (machine, journal, _) = plain(V3);
    let handle = journal.start(2).expect("room");
    handle.change(4).expect("room").store_u8(1, 1);
    drop(handle);
    machine.ram.set_writable(false);
    assert_eq!(journal.force_commit(), Err(Errno::ReadOnly.into()));
    assert_eq!(journal.start(1).err(), Some(Errno::ReadOnly.into()));
    assert_eq!(journal.latest(4).map(|block| block.load_u8(1)), Some(1));
}

#[test]
fn a_journal_that_is_to_be_replayed_or_too_short_is_not_opened() {
    let why = |craft: &Craft| {
        let machine = Machine::new(craft.ram());
        let journal = Journal::open(
            Arc::new(machine),
            craft.log.clone(),
            FEATURES,
            Box::new(|_: &[std::ops::Range<u64>]| {}),
        );
        journal.err().expect("it is refused").to_string()
    };
    assert_eq!(why(&Craft::new(V3, 3)), "device or resource busy");
    let mut craft = Craft::new(V3, 3);
    craft.superblock(|block| {
        block[28..32].fill(0);
        block[16..20].copy_from_slice(&16_u32.to_be_bytes());
    });
    assert_eq!(why(&craft), "corrupt journal 0: too short (15, limit 16)");
    let mut craft = Craft::new(Form { sums: Sums::No, wide: false, ..V3 }, 3);
    craft.superblock(|block| {
        block[28..32].fill(0);
        block[4..8].copy_from_slice(&3_u32.to_be_bytes());
    });
    assert_eq!(why(&craft), "writing to a journal of the first version: operation not supported");
}

#[test]
fn features_are_set_with_the_first_transaction() {
    // A log that had the old checksums, and one that had none.
    for (form, features, incompat) in [
        (Form { sums: Sums::Whole, wide: false, ..V3 }, FEATURES, 0x13),
        (Form { sums: Sums::V2, wide: true, ..V3 }, FEATURES, 0x13),
        (V3, LogFeatures { wide: false, checksums: false }, 1),
    ] {
        let machine = Machine::new(Ram::from_bytes(&empty(form)));
        let before = machine.ram.to_bytes();
        let (journal, _) = open(&machine, log_map(SIZE), features);
        assert!(machine.ram.to_bytes() == before);
        journal.start(1).expect("room").change(4).expect("room").store_u8(1, 1);
        journal.force_commit().expect("a commit");
        let bytes = machine.ram.to_bytes();
        let sb = &bytes[60 * SIZE..];
        assert_eq!((get(sb, 0x24), get(sb, 0x28)), (0, incompat), "{form:?}");
        assert_eq!(scan(&*machine.ram, &log_map(SIZE)).map(|found| found.blocks()), Ok(1), "{form:?}");
    }
}

#[test]
fn threads_share_transactions_and_commits_and_lose_nothing() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 300;
    let (machine, journal, _) = plain(V3);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let journal = &journal;
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for round in 1..=ROUNDS {
                    let handle = journal.start(2).expect("room");
                    for block in [2, 3 + thread % 2] {
                        let buffer = handle.change(block).expect("room");
                        assert_eq!(u64::from(buffer.load_u16(64 + thread * 2)), round - 1);
                        buffer.store_u16(64 + thread * 2, round as u16);
                    }
                    let sequence = handle.sequence();
                    drop(handle);
                    match rng.below(12) {
                        0 | 1 => journal.commit(sequence).expect("a commit"),
                        2 => journal.flush().expect("a flush"),
                        _ => {}
                    }
                }
            });
        }
    });
    journal.flush().expect("a flush");
    for thread in 0..THREADS {
        for block in [2, 3 + thread % 2] {
            let at = block * SIZE as u64 + 64 + thread * 2;
            assert_eq!(u64::from(machine.ram.load_u16(at)), ROUNDS, "{thread}");
        }
    }
    let info = journal.info();
    assert_eq!((info.handles, info.credits, info.tail), (0, 0, 0));
    assert_eq!(machine.stats().journal_handles.get(), THREADS * ROUNDS);
}

#[test]
fn who_asks_for_a_commit_waits_for_open_handles() {
    let (machine, journal, _) = plain(V3);
    let handle = journal.start(2).expect("room");
    handle.change(4).expect("room").store_u8(1, 1);
    let sequence = handle.sequence();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| journal.commit(sequence));
        while machine.stats().journal_waits.get() == 0 {
            std::thread::yield_now();
        }
        // Nobody joins meanwhile.
        let joining = scope.spawn(|| journal.start(1).map(|handle| handle.sequence()));
        while machine.stats().journal_waits.get() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(machine.stats().journal_commits.get(), 0);
        handle.change(4).expect("room").store_u8(2, 2);
        drop(handle);
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
        assert_eq!(joining.join().expect("no panic"), Ok(sequence + 1));
    });
    assert_eq!(machine.ram.load_u16(4 << 10), 0x0100);
}

/// An ext4 of 16 MiB, said to need its journal, and where that is.
fn ext4(options: &[&str]) -> (Image, LogMap) {
    let image = Image::of_type("ext4", Scratch::new(), 4096, options);
    let log = log_of(&image, BLOCK);
    image.debugfs_write("feature needs_recovery");
    (image, log)
}

#[test]
fn e2fsck_replays_what_was_written_here_to_the_same_bytes() {
    for (options, features) in [
        (&[][..], FEATURES),
        (&["-O", "^metadata_csum,^64bit"][..], LogFeatures { wide: false, checksums: false }),
    ] {
        let (image, log) = ext4(options);
        let (tape, machine) = Tape::record(&image.bytes());
        let (journal, _) = open(&machine, log.clone(), features);
        // Blocks that are free: nobody asks what is in them.
        let free = image.free_blocks();
        let mut rng = Rng::new(9);
        for round in 0..9_u64 {
            // One that needs two descriptors; others are small.
            let count = if round == 3 { 254 } else { 1 + rng.below(6) };
            let handle = journal.start(count as u32).expect("room");
            for index in 0..count {
                let block = free[if round == 3 { index as usize + 40 } else { rng.below(30) as usize }];
                if round % 4 == 2 && index == 0 {
                    handle.revoke(block).expect("room");
                    continue;
                }
                let buffer = handle.change(block).expect("room");
                buffer.write(rng.below(4000), &pattern(rng.draw(), 60));
                if rng.one_in(3) {
                    buffer.write(0, &0xc03b_3998_u32.to_be_bytes());
                }
            }
            drop(handle);
            journal.force_commit().expect("a commit");
            if round == 5 {
                journal.flush().expect("a flush");
            }
            tape.mark();
        }
        let mut judged = 0;
        tape.at_fences(|fence, bytes| {
            image.store_bytes(bytes);
            let theirs = compared(replayed_by_e2fsck(&image), &log);
            let ram = Ram::from_bytes(bytes);
            let found = scan(&ram, &log).unwrap_or_else(|error| panic!("fence {fence}: {error}"));
            replay_home(found, &ram, &log).unwrap_or_else(|error| panic!("fence {fence}: {error}"));
            let ours = compared(ram.to_bytes(), &log);
            let differs = (0..ours.len()).find(|&at| ours[at] != theirs[at]);
            assert_eq!(differs.map(|at| format!("{at:#x}")), None, "{options:?}, before fence {fence}");
            judged += 1;
        });
        assert!(judged > 30, "{judged}");
    }
}
