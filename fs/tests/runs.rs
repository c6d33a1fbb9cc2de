//! Where a file's blocks come to lie: large files in runs that one entry of 2 MiB can map, small ones packed,
//! indirect blocks out of the way; still so with several writers, and no worse than slower on a disk full of
//! pieces.

use crate::common::{
    BLOCK, Image, LEVELS, Machine, Rng, Scratch, View, create, extents, mount, pattern, session, unlink,
    write,
};
use fs::pmem::{Pmem, ram};
use fs::vfs::{Fallocate, FileSystem, InodeRef};

const RUN: u64 = 512;

/// How many whole windows of 2 MiB the file has, and how many of them one entry can map.
fn windows(file: &InodeRef<Machine>) -> (u64, u64) {
    let whole = file.attr().size / (RUN * BLOCK);
    let pieces = extents(&**file);
    let mappable = (0..whole).filter(|window| {
        let (start, end) = (window * RUN * BLOCK, (window + 1) * RUN * BLOCK);
        pieces.iter().any(|piece| {
            let inside = piece.offset <= start && end <= piece.offset + piece.len;
            inside
                && piece.place().is_some_and(|place| {
                    (ram::BASE + place + start - piece.offset).is_multiple_of(RUN * BLOCK)
                })
        })
    });
    (whole, mappable.count() as u64)
}

#[track_caller]
fn expect_mappable(file: &InodeRef<Machine>, at_least: u64) {
    let (whole, mappable) = windows(file);
    assert!(whole >= at_least, "{whole} windows");
    assert!(mappable * 100 >= whole * 99, "{mappable} of {whole} windows can be mapped by one entry");
}

fn append(file: &InodeRef<Machine>, total: u64, step: impl Fn(u64) -> usize) {
    let bytes = pattern(1, 3 << 20);
    let mut size = 0;
    while size < total {
        let len = step(size).min((total - size) as usize);
        write(&**file, size, &bytes[..len]);
        size += len as u64;
    }
}

#[test]
fn a_file_written_in_order_is_mappable_by_large_entries_from_its_start() {
    assert!(ram::BASE.is_multiple_of(RUN * BLOCK));
    let image = Image::with(Scratch::new(), (400 << 20) / BLOCK, &["-m", "0"]);
    for (name, total, step) in [
        ("pages", 256 << 20, 4096),
        ("odd", 64 << 20, 7777),
        ("tiny", 8 << 20, 100),
        ("large", 64 << 20, 3 << 20),
    ] {
        let fs = mount(image.machine());
        let file = create(&fs, name);
        append(&file, total, |_| step);
        expect_mappable(&file, total / (RUN * BLOCK));
        let mut back = [0; 100];
        file.read_at(LEVELS[1] * BLOCK, &mut back).expect("read");
        drop(file);
        fs.unmount().expect("unmount");
    }
    // Allocated ahead at once, and by stores through a mapping in any order.
    let fs = mount(image.machine());
    let file = create(&fs, "ahead");
    file.fallocate(Fallocate::Allocate { keep_size: false }, 0, 64 << 20).expect("room");
    expect_mappable(&file, 32);
    let file = create(&fs, "mapped");
    file.truncate(4 * RUN * BLOCK).expect("truncate");
    let view = View::new(&file, 0..4 * RUN);
    for index in 0..4 * RUN {
        // Backwards within windows, which take turns.
        let page = index % 4 * RUN + (RUN - 1 - index / 4);
        view.store(page * BLOCK, b"x").expect("room");
    }
    expect_mappable(&file, 4);
}

#[test]
fn small_files_are_packed_and_large_ones_leave_no_gap() {
    let image = Image::with(Scratch::new(), (64 << 20) / BLOCK, &["-m", "0"]);
    session(&image, |fs| {
        // 1. 100 small files, all open, and a large one in between: their blocks are in as few runs as hold
        //    them.
        let mut files = Vec::new();
        for number in 0..100 {
            let file = create(fs, &format!("small{number}"));
            (0..4).for_each(|at| write(&*file, at * BLOCK, &[1; 4096]));
            files.push(file);
            if number == 50 {
                let large = create(fs, "large");
                append(&large, 9 << 20, |_| 4096);
                expect_mappable(&large, 4);
                files.push(large);
            }
        }
        let runs = |file: &InodeRef<Machine>| {
            extents(&**file)
                .iter()
                .filter_map(|piece| piece.place())
                .map(|place| place / BLOCK / RUN)
                .collect::<Vec<_>>()
        };
        let mut small: Vec<u64> =
            files.iter().filter(|file| file.attr().size == 4 * BLOCK).flat_map(runs).collect();
        small.sort();
        small.dedup();
        assert!(small.len() <= 3, "small files in runs {small:?}");
        // 2. One of them grows slowly: it moves, with what it holds, and keeps what is stored through
        //    mappings.
        let view = View::new(&files[0], 0..600);
        view.store(5, b"stored").expect("store");
        append_after(&files[0], 4 * BLOCK, 2 << 20);
        expect_mappable(&files[0], 1);
        let mut back = [0; 12];
        view.load(0, &mut back).expect("load");
        assert_eq!(&back, b"\x01\x01\x01\x01\x01stored\x01");
        files[0].read_at(0, &mut back).expect("read");
        assert_eq!(&back, b"\x01\x01\x01\x01\x01stored\x01");
    });
}

fn append_after(file: &InodeRef<Machine>, from: u64, to: u64) {
    for at in (from..to).step_by(BLOCK as usize) {
        write(&**file, at, &[1; 4096]);
    }
}

#[test]
fn several_writers_keep_to_runs_of_their_own() {
    let image = Image::with(Scratch::new(), (300 << 20) / BLOCK, &["-m", "0"]);
    let machine = image.machine();
    let fs = mount(machine.clone());
    // In turns, then beside each other.
    let files = ["a", "b"].map(|name| create(&fs, name));
    for at in (0..16 << 20).step_by(BLOCK as usize) {
        files.iter().for_each(|file| write(&**file, at, &[1; 4096]));
    }
    files.iter().for_each(|file| expect_mappable(file, 8));
    std::thread::scope(|scope| {
        for name in ["c", "d", "e"] {
            let file = create(&fs, name);
            scope.spawn(move || {
                append(&file, 24 << 20, |size| if size % 3 == 0 { 4096 } else { 12_000 });
                expect_mappable(&file, 12);
            });
        }
    });
    drop(files);
    fs.unmount().expect("unmount");
    image.store(&machine);
    image.expect_clean();
}

#[test]
fn on_an_aged_disk_all_space_is_still_found() {
    let image = Image::with(Scratch::new(), (48 << 20) / BLOCK, &["-m", "0", "-N", "4096"]);
    let machine = image.machine();
    let fs = mount(machine.clone());
    let mut rng = Rng::new(5);
    let mut there = Vec::new();
    for number in 0..1500 {
        let name = format!("f{number}");
        let file = create(&fs, &name);
        let most = *rng.pick(&[9_000, 60_000, 900_000]);
        let len = rng.below(most);
        if file.write_at(0, &vec![3; len as usize]).is_err() || rng.one_in(3) {
            drop(file);
            unlink(&fs, &name).expect("unlink");
        } else {
            there.push(name);
        }
        while there.len() > 100 || rng.one_in(3) && !there.is_empty() {
            let which = rng.below(there.len() as u64) as usize;
            unlink(&fs, &there.swap_remove(which)).expect("unlink");
        }
    }
    // Whatever is left goes to one file, to the last block.
    let file = create(&fs, "rest");
    let (free, mut size) = (fs.stat_fs().blocks_free, 0);
    while let Ok(count) = file.write_at(size, &[4; 4096]) {
        size += count as u64;
    }
    assert!(fs.stat_fs().blocks_free <= 1, "{:?}", fs.stat_fs());
    assert!(size / BLOCK + 20 > free, "{free} blocks were free, {} got in", size / BLOCK);
    drop(file);
    fs.unmount().expect("unmount");
    assert!(machine.ram.len() > 0);
    image.store(&machine);
    image.expect_clean();
}
