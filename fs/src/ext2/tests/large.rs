//! 2 MiB at once: runs found at every border of the block map, refused for the least difference, allocated as
//! a whole or not at all.

use super::*;
use crate::PAGE_SIZE;
use crate::vfs::{Backing, Fallocate};

/// The first window whose blocks are behind three indirect ones, in part.
const TRIPLE: u64 = (12 + 1024 + 1024 * 1024) / 512;
/// Windows at the borders of levels and tables, and between.
const WINDOWS: [u64; 10] = [0, 1, 2, 3, 4, 5, TRIPLE - 1, TRIPLE, TRIPLE + 1, TRIPLE + 2048];

/// What is behind a window; `None` if it is in pieces.
fn find(file: &Node, window: u64) -> Option<Backing> {
    let shared = file.mapping().shared();
    // What is wrong with the first page is an error, with another is not told.
    let extent = file.look_up(shared.held(), window * 512, 512).ok()?;
    (extent.len == 2 << 20).then_some(extent.backing)
}

fn block(file: &Node, page: u64) -> Option<u64> {
    let shared = file.mapping().shared();
    file.place(shared.held(), page).expect("a sound block map")
}

fn allocate(file: &Node, window: u64) -> Option<u64> {
    let exclusive = file.mapping().exclusive();
    let backing = file
        .look_up_for_write(exclusive.alloc_ok(), &Transaction::none(), window * 512, 512)
        .expect("a sound file system");
    backing.place().filter(|_| backing.is_new())
}

/// An image whose free blocks are not zeros, and a sparse file on it.
fn stage(size: &str) -> (Machine, Fs, Node) {
    let (machine, fs) = open(&mke2fs(size, &["-m", "0"]));
    let soil = root(&fs).create(b"soil", FileKind::File, 0o644).unwrap();
    let mut at = 0;
    while let Ok(count @ 1..) = soil.write_at(at, &[0xdb; 1 << 20]) {
        at += count as u64;
    }
    drop(soil);
    root(&fs).unlink(b"soil").unwrap();
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    file.truncate((TRIPLE + 4096) * 512 * PAGE_SIZE).unwrap();
    (machine, fs, file)
}

#[test]
fn a_run_is_allocated_and_found_at_every_border_of_the_block_map() {
    let (machine, fs, file) = stage("64M");
    for window in WINDOWS {
        assert_eq!(find(&file, window), Some(Backing::HOLE));
        let free = fs.stat_fs().blocks_free;
        let place = allocate(&file, window).expect("a free run");
        assert!(machine.ram.frame(place).is_multiple_of(512 * PAGE_SIZE));
        assert_eq!(find(&file, window), Some(Backing::mapped(place)), "window {window}");
        assert!(fs.stat_fs().blocks_free <= free - 512);
        for page in 0..512 {
            assert_eq!(block(&file, window * 512 + page), Some(place + page * PAGE_SIZE));
        }
        let mut bytes = vec![0xee; 2 << 20];
        file.read_at(window * 512 * PAGE_SIZE, &mut bytes).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 0), "a run that was not zeroed");
        // It is no hole any more.
        assert_eq!(allocate(&file, window), None);
    }
    assert_eq!(find(&file, 6), Some(Backing::HOLE));
    assert_eq!(find(&file, 1 << 40), None, "beyond what a file may have");
    drop(file);
    assert!(!fs.met_errors());
    close(&machine, fs);
}

#[test]
fn one_page_that_is_missing_or_elsewhere_makes_pieces() {
    let (machine, fs, file) = stage("64M");
    for window in [0, 1, 2, TRIPLE] {
        let place = allocate(&file, window).expect("a free run");
        for page in [0, 1, 11, 12, 13, 255, 256, 257, 499, 500, 510, 511] {
            let at = (window * 512 + page) * PAGE_SIZE;
            file.fallocate(Fallocate::PunchHole, at, PAGE_SIZE).unwrap();
            assert_eq!(find(&file, window), None, "window {window} without page {page}");
            assert_eq!(allocate(&file, window), None);
            // The page comes back to where it was: the run is whole again.
            file.write_at(at, &[1; 4096]).unwrap();
            assert_eq!(find(&file, window), Some(Backing::mapped(place)), "window {window}, page {page}");
        }
    }
    // Another's block in its place.
    let ino = u32::try_from(file.ino()).unwrap();
    let raw = fs.raw_inode(ino).unwrap().at;
    for slot in [0, 5, 6, 11].map(|index| raw + I_BLOCK + index * 4) {
        let right = machine.ram.load_u32(slot);
        for wrong in [right + 1, right - 1, 1, u32::MAX, 0] {
            machine.ram.store_u32(slot, wrong);
            assert_eq!(find(&file, 0), None, "{wrong} for {right}");
        }
        machine.ram.store_u32(slot, right);
    }
    // A run of numbers that are no file's.
    let old: Vec<u32> = (0..12).map(|index| machine.ram.load_u32(raw + I_BLOCK + index * 4)).collect();
    let table = u64::from(machine.ram.load_u32(raw + I_BLOCK + 48)) * PAGE_SIZE;
    let fill = |first: u32| {
        (0..12).for_each(|index| {
            machine.ram.store_u32(raw + I_BLOCK + index * 4, first.wrapping_add(index as u32))
        });
        (0..500).for_each(|index| {
            machine.ram.store_u32(table + index * 4, first.wrapping_add(12 + index as u32))
        });
    };
    for first in [1, 64 * 256 - 511, u32::MAX - 100] {
        fill(first);
        assert_eq!(find(&file, 0), None, "a run from block {first} on");
    }
    fill(old[0]);
    assert_eq!(find(&file, 0), Some(Backing::mapped(byte(old[0]))));
    drop(file);
    close(&machine, fs);
}

#[test]
fn without_a_run_or_room_for_tables_nothing_changes() {
    let (machine, fs, file) = stage("16M");
    // 1. One page here and there: no window is a hole any more.
    for (window, page) in [(0, 0), (1, 511), (2, 11), (3, 300)] {
        file.write_at((window * 512 + page) * PAGE_SIZE, b"x").unwrap();
        let free = fs.stat_fs().blocks_free;
        assert_eq!(allocate(&file, window), None);
        assert_eq!(fs.stat_fs().blocks_free, free);
    }
    // 2. All goes but one run: there is no block for a table.
    assert!(allocate(&file, 10).is_some());
    let other = root(&fs).create(b"other", FileKind::File, 0o644).unwrap();
    let mut at = 0;
    while fs.stat_fs().blocks_free > 0 {
        at += other.write_at(at, &[1; 4096]).unwrap() as u64;
    }
    file.fallocate(Fallocate::PunchHole, 10 * 512 * PAGE_SIZE, 2 << 20).unwrap();
    other.write_at(at, &vec![1; BLOCK as usize * (fs.stat_fs().blocks_free - 512) as usize]).unwrap();
    assert_eq!(fs.stat_fs().blocks_free, 512);
    assert_eq!(allocate(&file, TRIPLE), None);
    assert_eq!(fs.stat_fs().blocks_free, 512);
    // Where there is a table, the run is enough.
    file.fallocate(Fallocate::PunchHole, 1023 * PAGE_SIZE, PAGE_SIZE).unwrap();
    assert!(allocate(&file, 1).is_some());
    drop(other);
    drop(file);
    close(&machine, fs);
}

#[test]
fn blocks_of_another_size_make_no_run() {
    let (machine, fs) = open(&mke2fs("16M", &["-b", "1024"]));
    let file = root(&fs).create(b"file", FileKind::File, 0o644).unwrap();
    file.truncate(4 << 20).unwrap();
    assert_eq!((find(&file, 0), allocate(&file, 0)), (None, None));
    drop(file);
    close(&machine, fs);
}

/// Wherever a region begins, runs are found in it unless it is too short for one: only then it has no pages
/// of 2 MiB.
#[test]
fn a_region_has_runs_unless_it_is_too_short_for_one() {
    let has = |size: &str, phase| open(&mke2fs(size, &[])).1.sb.has_run(phase);
    for phase in [0, 1, 255, 511] {
        assert!(has("16M", phase) && !has("1M", phase), "{phase}");
    }
    // 768 blocks: one run, if it begins in the first 256.
    assert!(has("3M", 0) && has("3M", 256) && !has("3M", 255));
    let (_, fs) = open(&mke2fs("16M", &[]));
    assert!(fs.has_large_runs());
    assert!(!open(&mke2fs("16M", &["-b", "1024"])).1.has_large_runs());
}

#[test]
fn only_regular_files_are_mapped_and_the_others_are_no_such_device() {
    let (_, fs) = open(&mke2fs("16M", &[]));
    let made = |name: &[u8], kind| root(&fs).create(name, kind, 0o644).unwrap().expect_mappable();
    assert_eq!(made(b"file", FileKind::File), Ok(()));
    assert_eq!(root(&fs).expect_mappable(), Err(Errno::NoDevice.into()));
    assert_eq!(made(b"fifo", FileKind::Fifo), Err(Errno::NoDevice.into()));
    assert_eq!(Error::from(Errno::NoDevice).to_string(), "no such device");
    let refused = Error::from(crate::error::Unsupported::Mapping(1024)).to_string();
    assert!(
        refused.starts_with("the file system's blocks have 1024 bytes"),
        "who says it names what: {refused}"
    );
}
