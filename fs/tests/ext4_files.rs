//! Writing files of ext4: by copying, through mappings, by fallocate(2). The exerciser against its model;
//! which faults open handles; no space; crashes; e2fsck and the judge of ext4 at the end of each.

use crate::common::exercised::Exercised;
use crate::common::ext4::{expect_clean, judge};
use crate::common::tape::Tape;
use crate::common::{
    BLOCK, Image, Machine, Scratch, View, at, expect_errno, extents, pattern, read_all, read_range, sample,
    session_of, write,
};
use fs::dax::{Outcome, Protocol, fsync, sync};
use fs::ext4::Ext4;
use fs::lab::Mutant;
use fs::platform::{PageSize, Platform};
use fs::pmem::ram::Ram;
use fs::stats::Stats;
use fs::vfs::{Fallocate, FileSystem, FileSystemRef, InodeRef, MountOptions, State};
use fs::{Errno, Error};
use fsx::{Fsx, Options};
use std::sync::Arc;

const ALLOCATE: Fallocate = Fallocate::Allocate { keep_size: false };
const AHEAD: Fallocate = Fallocate::Allocate { keep_size: true };

/// The formats that files are written on.
const FORMATS: [&[&str]; 4] = [&[], &["-O", "^metadata_csum"], &["-O", "^64bit,^flex_bg"], &["-b", "1024"]];

/// An ext4 of `mib` MiB with the empty files `f` and `g`.
fn image(mib: u64, options: &[&str]) -> Image {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    for name in ["f", "g"] {
        std::fs::write(tree.join(name), "").expect("an empty file");
    }
    let tree = tree.to_str().expect("a plain path").to_owned();
    Image::of_type("ext4", scratch, mib << 8, &[&["-d", &tree], options].concat())
}

fn mount(machine: Machine) -> Arc<Ext4<Machine>> {
    fs::ext4::mount(machine, MountOptions::default()).unwrap_or_else(|error| panic!("mount: {error}"))
}

/// Mounts `image`, lets `work` change it, unmounts, and has it judged.
fn session<R>(image: &Image, work: impl FnOnce(&Arc<Ext4<Machine>>) -> R) -> R {
    let result = session_of(mount, image, work);
    expect_clean(image, "after a session");
    result
}

/// Fails unless the file holds these bytes, by copying and through a mapping.
#[track_caller]
fn expect_bytes(file: &InodeRef<Machine>, want: &[u8]) {
    assert!(read_all(&**file) == want, "read(2)");
    if file.expect_mappable().is_ok() && !want.is_empty() {
        let mut all = vec![1; want.len()];
        View::new(file, 0..(want.len() as u64).div_ceil(BLOCK)).load(0, &mut all).expect("load");
        assert!(all == want, "a mapping");
    }
}

#[test]
fn what_is_written_is_there_after_a_mount() {
    for options in FORMATS {
        let image = image(32, options);
        let mut want = Vec::new();
        session(&image, |fs| {
            let file = at(fs, "f");
            // Appended in pieces of all sizes, then over what is there, then far beyond the end.
            for (seed, len) in [1, 4095, 1, 4096, 10_000, 100_000, 3].into_iter().enumerate() {
                let bytes = pattern(seed as u64, len);
                write(&*file, want.len() as u64, &bytes);
                want.extend(bytes);
                expect_bytes(&file, &want);
            }
            write(&*file, 5000, &pattern(20, 9000));
            want[5000..14_000].copy_from_slice(&pattern(20, 9000));
            write(&*file, 1 << 20, b"far");
            want.resize(1 << 20, 0);
            want.extend(b"far");
            expect_bytes(&file, &want);
            // Into the hole.
            write(&*file, 500_001, &pattern(21, 40_000));
            want[500_001..540_001].copy_from_slice(&pattern(21, 40_000));
            expect_bytes(&file, &want);
        });
        assert!(image.cat("/f") == want, "{options:?}: debugfs reads something else");
        session(&image, |fs| expect_bytes(&at(fs, "f"), &want));
    }
}

/// Sets of options of the exerciser, and how many operations.
const SETS: &[(&str, u64)] = &[
    ("", 750),
    ("-l 10485760", 750),
    ("-l 262144 -o 65536 -L -R -W", 500),
    ("-l 262144 -o 65536 -f", 750),
    ("-e 1 -M -c 50", 1000),
    ("-M", 1500),
    ("-M -c 100 -l 2097152 -o 300000", 750),
];

#[test]
fn the_exerciser_finds_nothing() {
    for options in FORMATS {
        let image = image(48, options);
        for (set, count) in SETS {
            session_of(
                |machine| mount(machine) as FileSystemRef<Machine>,
                &image,
                |fs| {
                    let line = format!("{set} -N {} -S {}", sample(*count, count * 20), 1);
                    let options = Options::parse(&line).unwrap_or_else(|why| panic!("{line}: {why}"));
                    let mapped = options.one_mapping.then_some(options.max_len);
                    let mut fsx = Fsx::new(options, Exercised::new(fs, "f", mapped)).expect("memory");
                    let mut out = String::new();
                    if let Err(fsx::EarlyStop::Failed(failure)) = fsx.run(&mut out) {
                        let mut report = String::new();
                        fsx.explain(&failure, &mut report).expect("a string takes everything");
                        panic!("fsx {line}\n{out}{report}");
                    }
                    let is_mappable = fs.stat_fs().block_size == BLOCK;
                    assert!(!is_mappable || !out.contains("not supported"), "{line}:\n{out}");
                    drop(fsx);
                    at(fs, "f").truncate(0).expect("truncate");
                },
            );
            expect_clean(&image, set);
        }
    }
}

/// A file of 8 MiB of unwritten blocks, or of a hole, for each sound protocol.
fn with_file(unwritten: bool, work: impl Fn(&Arc<Ext4<Machine>>, InodeRef<Machine>, Protocol, &Stats)) {
    for protocol in Protocol::SOUND {
        let image = image(32, &[]);
        session(&image, |fs| {
            let file = at(fs, "f");
            match unwritten {
                true => file.fallocate(ALLOCATE, 0, 8 << 20).expect("allocate"),
                false => file.truncate(8 << 20).expect("truncate"),
            }
            let machine = file.platform().clone();
            work(fs, file, protocol, machine.stats());
        });
    }
}

#[test]
fn a_fault_opens_a_handle_only_to_fill_what_is_not_there() {
    for unwritten in [false, true] {
        with_file(unwritten, |fs, file, protocol, stats| {
            fs.sync().expect("sync");
            let before = file.platform().ram.to_bytes();
            let mut view = View::new(&file, 0..2048);
            view.protocol = protocol;
            let handles = stats.journal_handles.get();
            assert_eq!(view.fault(3, false), Ok(Outcome::ZeroPage), "{protocol}");
            assert_eq!(stats.journal_handles.get(), handles, "a load");
            assert!(file.platform().ram.to_bytes() == before, "a load changed the image");
            let other = View::new(&file, 0..2048);
            assert_eq!(other.fault(3, false), Ok(Outcome::ZeroPage));
            assert_eq!(view.fault(3, true), Ok(Outcome::Allocated), "{protocol}");
            assert_eq!(stats.journal_handles.get(), handles + 1);
            assert_eq!(other.entry(3), None, "{protocol}: the zero page over a block");
            let mut page = [1; BLOCK as usize];
            view.load(3 * BLOCK, &mut page).expect("load");
            assert!(page == [0; BLOCK as usize], "{protocol}: old bytes");
            // What is there takes none.
            assert_eq!(
                (other.fault(3, true), view.fault(3, true)),
                (Ok(Outcome::Block), Ok(Outcome::Spurious))
            );
            assert_eq!(stats.journal_handles.get(), handles + 1);
            view.store(3 * BLOCK + 7, b"stored").expect("store");
            view.store(700 * BLOCK - 3, b"across").expect("store");
            assert_eq!(read_range(&*file, 3 * BLOCK + 7, 6), b"stored");
            assert_eq!(read_range(&*file, 700 * BLOCK - 3, 6), b"across");
        });
    }
}

#[test]
fn two_mib_are_filled_by_one_fault() {
    for unwritten in [false, true] {
        with_file(unwritten, |_, file, protocol, stats| {
            let mut view = View::new(&file, 0..2048);
            (view.protocol, view.large) = (protocol, true);
            let handles = stats.journal_handles.get();
            assert_eq!(view.fault_sized(600, false), Ok((Outcome::ZeroPage, PageSize::Large)));
            assert_eq!(view.fault_sized(600, true), Ok((Outcome::Allocated, PageSize::Large)), "{unwritten}");
            assert_eq!(stats.journal_handles.get(), handles + 1);
            view.store(600 * BLOCK, &pattern(1, 10_000)).expect("store");
            // In pieces: one page at a time.
            write(&*file, 1030 * BLOCK, b"one");
            assert_eq!(view.fault_sized(1031, true), Ok((Outcome::Allocated, PageSize::Small)));
            view.msync().expect("msync");
            let mut want = vec![0; 8 << 20];
            want[600 * BLOCK as usize..][..10_000].copy_from_slice(&pattern(1, 10_000));
            want[1030 * BLOCK as usize..][..3].copy_from_slice(b"one");
            expect_bytes(&file, &want);
        });
    }
}

#[test]
fn a_map_sync_store_waits_for_the_commit_and_then_no_more() {
    for large in [false, true] {
        with_file(false, |_, file, protocol, stats| {
            let mut view = View::new(&file, 0..2048);
            (view.protocol, view.large, view.sync) = (protocol, large, true);
            let commits = stats.journal_commits.get();
            view.fault(5, true).expect("a fault");
            assert_eq!(stats.journal_commits.get(), commits + 1);
            view.fault(5, true).expect("a fault");
            assert_eq!(stats.journal_commits.get(), commits + 1, "it is durable already");
        });
    }
}

#[test]
fn what_was_synced_is_there_after_a_crash() {
    for datasync in [false, true] {
        let image = image(32, &[]);
        let machine = image.machine();
        let fs = mount(machine.clone());
        let file = at(&fs, "f");
        write(&*file, 0, &pattern(1, 50_000));
        let view = View::new(&file, 0..20);
        view.store(20_000, &pattern(2, 9000)).expect("store");
        sync(&*file, 0..u64::MAX, datasync).expect("sync");
        // Nothing of this is promised.
        write(&*file, 50_000, &pattern(3, 50_000));
        let after = machine.ram.to_bytes();
        drop((view, file));
        image.store_bytes(&after);
        image.repair("-fp");
        expect_clean(&image, "after a crash");
        let mut want = pattern(1, 50_000);
        want[20_000..29_000].copy_from_slice(&pattern(2, 9000));
        assert!(image.cat("/f") == want);
    }
}

#[test]
fn blocks_ahead_of_the_end_last_and_are_filled_without_taking_more() {
    let image = image(32, &[]);
    session(&image, |fs| {
        let file = at(fs, "f");
        file.fallocate(AHEAD, 0, 100 * BLOCK).expect("allocate");
        assert_eq!((file.attr().size, file.attr().blocks), (0, 800));
    });
    session(&image, |fs| {
        let file = at(fs, "f");
        assert_eq!((file.attr().size, file.attr().blocks), (0, 800));
        write(&*file, 0, &pattern(3, 5 * BLOCK as usize));
        assert_eq!((file.attr().size, file.attr().blocks), (5 * BLOCK, 800));
        expect_bytes(&file, &pattern(3, 5 * BLOCK as usize));
        file.truncate(5 * BLOCK).expect("truncate");
        assert_eq!(file.attr().blocks, 40, "a truncation to the same size");
        file.fallocate(ALLOCATE, 0, 7 * BLOCK).expect("allocate");
        let states: Vec<_> = extents(&*file).iter().map(|extent| extent.backing.state()).collect();
        assert!(matches!(states[..], [State::Mapped(_), State::Unwritten(_)]), "{states:?}");
        file.fallocate(Fallocate::ZeroRange { keep_size: false }, BLOCK + 9, 3 * BLOCK).expect("zero");
        let mut want = pattern(3, 5 * BLOCK as usize);
        want[BLOCK as usize + 9..][..3 * BLOCK as usize].fill(0);
        want.resize(7 * BLOCK as usize, 0);
        expect_bytes(&file, &want);
        assert_eq!(file.attr().blocks, 56);
    });
}

#[test]
fn space_that_a_transaction_frees_is_had_when_there_is_no_other() {
    for protocol in Protocol::SOUND {
        let image = image(32, &[]);
        session(&image, |fs| {
            let (file, big) = (at(fs, "f"), at(fs, "g"));
            file.truncate(64 * BLOCK).expect("truncate");
            let piece = vec![7; 64 << 10];
            while big.write_at(big.attr().size, &piece).is_ok() {}
            expect_errno(big.write_at(big.attr().size.next_multiple_of(BLOCK), &piece), Errno::NoSpace);
            let mut view = View::new(&file, 0..64);
            view.protocol = protocol;
            expect_errno(view.fault(3, true), Errno::NoSpace);
            big.truncate(big.attr().size - 10 * BLOCK).expect("truncate");
            assert_eq!(view.fault(3, true), Ok(Outcome::Allocated), "{protocol}");
            big.truncate(big.attr().size - 30 * BLOCK).expect("truncate");
            write(&*file, 10 * BLOCK, &pattern(2, 20 * BLOCK as usize));
            big.truncate(big.attr().size - 30 * BLOCK).expect("truncate");
            file.fallocate(ALLOCATE, 30 * BLOCK, 20 * BLOCK).expect("allocate");
        });
    }
}

/// Extents that cannot be joined: every second block.
fn scattered(file: &InodeRef<Machine>, count: u64) {
    for page in 0..count {
        write(&**file, page * 2 * BLOCK, &pattern(page, BLOCK as usize));
    }
}

#[test]
fn what_takes_many_operations_is_done_as_a_whole() {
    for options in [&[][..], &["-J", "size=4"]] {
        let image = image(96, options);
        session(&image, |fs| {
            fs.sync().expect("sync");
            let (file, free) = (at(fs, "f"), fs.stat_fs().blocks_free);
            scattered(&file, 6000);
            file.fallocate(Fallocate::PunchHole, 100 * BLOCK, 9000 * BLOCK).expect("punch");
            assert_eq!(extents(&*file).iter().filter(|extent| extent.place().is_some()).count(), 1500);
            file.fallocate(Fallocate::CollapseRange, 50 * BLOCK, 9000 * BLOCK).expect("collapse");
            file.fallocate(Fallocate::InsertRange, 20 * BLOCK, 5 * BLOCK).expect("insert");
            file.fallocate(Fallocate::ZeroRange { keep_size: true }, 0, 1500 * BLOCK).expect("zero");
            scattered(&file, 6000);
            file.truncate(3 * BLOCK + 1).expect("truncate");
            let mut want = pattern(0, BLOCK as usize);
            want.resize(2 * BLOCK as usize, 0);
            want.extend(pattern(1, BLOCK as usize));
            want.push(0);
            assert!(read_all(&*file)[..want.len()] == want);
            file.truncate(0).expect("truncate");
            fs.sync().expect("sync");
            assert_eq!((file.attr().blocks, fs.stat_fs().blocks_free), (0, free));
        });
    }
}

#[test]
fn a_file_without_extents_is_overwritten_and_no_more() {
    let image = image(32, &["-O", "^extent,^64bit"]);
    image.debugfs_write("write /etc/passwd h");
    let len = image.cat("/h").len();
    session(&image, |fs| {
        let file = at(fs, "h");
        write(&*file, 1, &pattern(1, len - 1));
        assert!(read_all(&*file)[1..] == pattern(1, len - 1));
        assert!(file.write_at(1 << 20, b"far").is_err());
        assert!(file.truncate(0).is_err());
        fsync(&*file).expect("fsync");
    });
}

/// A store whose handle cannot be opened is refused, and leaves everything as it was.
#[test]
fn a_store_that_gets_no_handle_is_refused_and_the_hole_stays() {
    for protocol in Protocol::SOUND {
        let image = image(32, &[]);
        let told = image.debugfs("imap /f");
        let table = told.split("located at block ").nth(1).and_then(|rest| rest.split(',').next());
        let table: u64 = table.and_then(|number| number.parse().ok()).expect("the block of the inode");
        let machine = image.machine();
        let fs = mount(machine.clone());
        let file = at(&fs, "f");
        file.truncate(8 * BLOCK).expect("truncate");
        // The commit cannot write the inode: the journal is given up.
        machine.ram.poison.add(table * BLOCK, BLOCK).expect("room");
        assert_eq!(fsync(&*file), Err(Error::Poisoned(table * BLOCK)));
        machine.ram.poison.clear(table * BLOCK, BLOCK).expect("room");
        let mut view = View::new(&file, 0..8);
        for large in [false, true] {
            (view.protocol, view.large) = (protocol, large);
            assert!(view.fault(3, true).is_err(), "{protocol}");
            assert_eq!(view.entry(3), None);
        }
        // No lock is left behind.
        assert_eq!(view.fault(3, false), Ok(Outcome::ZeroPage));
        drop(file.mapping().exclusive());
        assert!(extents(&*file).iter().all(|extent| extent.place().is_none()));
    }
}

/// Threads that fill holes of one file, through mappings and by copying, beside one that syncs and one that
/// cuts another file: each page holds what its thread stored.
#[test]
fn threads_fill_one_file_side_by_side() {
    const THREADS: u64 = 4;
    for (protocol, unwritten) in Protocol::SOUND.into_iter().flat_map(|one| [(one, false), (one, true)]) {
        let image = image(64, &["-J", "size=4"]);
        let page = |number: u64| pattern(number, BLOCK as usize);
        session(&image, |fs| {
            let (file, other) = (at(fs, "f"), at(fs, "g"));
            match unwritten {
                true => file.fallocate(ALLOCATE, 0, 2048 * BLOCK).expect("allocate"),
                false => file.truncate(2048 * BLOCK).expect("truncate"),
            }
            std::thread::scope(|scope| {
                for number in 0..THREADS {
                    let file = &file;
                    scope.spawn(move || {
                        let mut view = View::new(file, 0..2048);
                        view.protocol = protocol;
                        for step in 0..256 {
                            let at = (step * 37 % 256 * 4 + number) * 2;
                            match step % 8 {
                                0 => write(&**file, at * BLOCK, &page(at)),
                                _ => view.store(at * BLOCK, &page(at)).expect("store"),
                            }
                            if step % 100 == 99 {
                                fsync(&**file).expect("fsync");
                            }
                        }
                    });
                }
                scope.spawn(|| {
                    for step in 0..60 {
                        write(&*other, step * 10_000, &pattern(step, 30_000));
                        other.truncate(step * 5000).expect("truncate");
                    }
                });
            });
            for number in 0..1024 {
                let found = read_range(&*file, number * 2 * BLOCK, BLOCK as usize);
                assert!(found == page(number * 2), "page {}", number * 2);
            }
            assert!(!fs.met_errors());
        });
    }
}

/// Free blocks of the image hold this.
const JUNK: u8 = 0xab;

/// A file changes in every way, with a mistake or without, on a file system that is nearly full of junk; the
/// power fails before each fence. Tells what is wrong with what is there then: it is to be sound, each byte
/// is to be one that was there at some time since the last commit, and none what a free block held.
fn crash_a_file(mistake: Option<Mutant>) -> Result<u64, String> {
    let image = image(16, &["-J", "size=4"]);
    session(&image, |fs| {
        let junk = at(fs, "g");
        while junk.write_at(junk.attr().size, &[JUNK; 1 << 16]).is_ok() {}
        junk.truncate(junk.attr().size - 72 * BLOCK).expect("truncate");
    });
    let (tape, machine) = Tape::record(&image.bytes());
    mistake.into_iter().for_each(|mutant| machine.lab.add(mutant));
    let fs = mount(machine.clone());
    let file = at(&fs, "f");
    // What it held after each step, and how many steps were done at each mark.
    let (mut states, mut marks) = (vec![Vec::new()], vec![0]);
    let view = View::new(&file, 0..256);
    let block = BLOCK as usize;
    let steps: [&dyn Fn(); 16] = [
        &|| write(&*file, 0, &pattern(1, 3 * block + 100)),
        &|| write(&*file, 3 * BLOCK + 100, &pattern(2, block)),
        &|| file.fallocate(ALLOCATE, 10 * BLOCK, 30 * BLOCK).expect("allocate"),
        &|| view.store(20 * BLOCK + 9, &pattern(3, 2 * block)).expect("store"),
        &|| _ = fsync(&*file).expect("fsync"),
        &|| write(&*file, 12 * BLOCK + 5, &pattern(4, 3 * block)),
        &|| write(&*file, 200 * BLOCK, &pattern(5, block)),
        &|| view.store(100 * BLOCK, &pattern(6, block)).expect("store"),
        &|| file.fallocate(Fallocate::PunchHole, 2 * BLOCK, 12 * BLOCK).expect("punch"),
        &|| file.fallocate(Fallocate::ZeroRange { keep_size: false }, 19 * BLOCK, 2 * BLOCK).expect("zero"),
        &|| write(&*file, 150 * BLOCK, &pattern(7, 40 * block)),
        &|| _ = fsync(&*file).expect("fsync"),
        &|| file.fallocate(Fallocate::InsertRange, BLOCK, 4 * BLOCK).expect("insert"),
        &|| file.fallocate(Fallocate::CollapseRange, 3 * BLOCK, 30 * BLOCK).expect("collapse"),
        &|| file.truncate(100 * BLOCK + 77).expect("truncate"),
        &|| write(&*file, 0, &pattern(8, 40 * block)),
    ];
    for step in steps {
        let commits = machine.stats().journal_commits.get();
        step();
        states.push(read_all(&*file));
        if machine.stats().journal_commits.get() > commits {
            tape.mark();
            // A commit in the middle of a step is one of what was before.
            marks.push(states.len() - 2);
        }
    }
    drop((view, file));
    fs.unmount().expect("unmount");
    drop(fs);
    let (mut count, mut result) = (0_u64, Ok(0));
    tape.crashes_at(0..usize::MAX, 2, 1, |moment, how, bytes| {
        count += 1;
        if result.is_err() || !count.is_multiple_of(sample(47, 3)) {
            return;
        }
        let bytes = bytes();
        let judged = judge_crash(&bytes, &states[marks[moment.marks.min(marks.len() - 1)]..]);
        result =
            judged.map(|()| count).map_err(|why| format!("before fence {}, {how}: {why}", moment.fences));
        if count.is_multiple_of(47 * 20) && mistake.is_none() {
            image.store_bytes(&bytes);
            image.repair("-fp");
            expect_clean(&image, "recovered by e2fsck");
        }
    });
    result
}

/// What is wrong with the file on an image that a crash left, if it may be in any of `states`, or between.
fn judge_crash(bytes: &[u8], states: &[Vec<u8>]) -> Result<(), String> {
    let machine = Machine::new(Ram::from_bytes(bytes));
    let fs = fs::ext4::mount(machine.clone(), MountOptions::default()).map_err(|error| error.to_string())?;
    let found = read_all(&*at(&fs, "f"));
    if !states.iter().any(|state| state.len() == found.len()) {
        return Err(format!("{} bytes", found.len()));
    }
    for (at, byte) in found.iter().enumerate() {
        if *byte != 0 && states.iter().all(|state| state.get(at) != Some(byte)) {
            return Err(format!("{byte:#x} at {at}, of {} bytes", found.len()));
        }
    }
    fs.unmount().map_err(|error| error.to_string())?;
    let complaints = judge(&machine.ram.to_bytes()).complaints;
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

#[test]
fn a_crash_shows_what_was_there_and_no_free_block() {
    let count = crash_a_file(None).unwrap_or_else(|why| panic!("{why}"));
    assert!(count > 500, "{count} images");
}

#[test]
fn a_crash_shows_that_blocks_were_used_again_too_early() {
    crash_a_file(Some(Mutant::ReuseBeforeCommit)).expect_err("nobody has seen it");
}

/// A truncation that takes more than one transaction: after a crash in between, the next mount finishes it.
#[test]
fn a_truncation_in_several_transactions_is_finished_after_a_crash() {
    let image = image(64, &["-b", "1024", "-g", "256", "-J", "size=1", "-O", "^metadata_csum"]);
    let bytes = pattern(1, 16 << 10);
    session(&image, |fs| {
        for extent in 0..3000 {
            write(&*at(fs, "f"), (extent * 17) << 10, &bytes);
        }
    });
    let (tape, machine) = Tape::record(&image.bytes());
    let fs = mount(machine.clone());
    let file = at(&fs, "f");
    let before = file.attr().size;
    file.truncate(5000).expect("truncate");
    drop(file);
    fs.unmount().expect("unmount");
    drop(fs);
    let mut finished = 0;
    tape.at_fences(|fence, bytes| {
        let crashed = Machine::new(Ram::from_bytes(bytes));
        let fs = mount(crashed.clone());
        fs.mount_notes(&mut |note| finished += u32::from(note.to_string().contains("1 files cut")));
        let size = at(&fs, "f").attr().size;
        assert!(size == 5000 || size == before, "fence {fence}: {size}");
        fs.unmount().expect("unmount");
        let complaints = judge(&crashed.ram.to_bytes()).complaints;
        assert!(complaints.is_empty(), "fence {fence}:\n{}", complaints.join("\n"));
    });
    assert!(finished > 2, "{finished}");
}
