//! fallocate(2) and lseek(2) of data and holes: every kind, on every block size, against a model; limits and
//! refusals; no space at any step.

use crate::common::{
    BLOCK, EXT2, Image, Rng, Scratch, View, create, expect_errno, mount, pattern, read_all, sample, seeds,
    session, session_of, write,
};
use fs::Errno;
use fs::platform::User;
use fs::vfs::{Fallocate, FileKind, FileSystem, InodeRef, Seek};
use fsx::{FileContents, FileOp, OpKind};
use std::ops::ControlFlow;

type File = InodeRef<crate::common::Machine>;

/// What is done, and whether the size is kept.
const OPS: [(OpKind, bool); 7] = [
    (OpKind::Allocate, false),
    (OpKind::Allocate, true),
    (OpKind::Punch, false),
    (OpKind::Zero, false),
    (OpKind::Zero, true),
    (OpKind::Collapse, false),
    (OpKind::Insert, false),
];

/// The same as flags of fallocate(2).
fn kinds() -> [Fallocate; 7] {
    OPS.map(|(kind, keep_size)| {
        FileOp { keep_size, ..FileOp::new(kind, 0, 1) }.fallocate().expect("one of fallocate's")
    })
}

/// Compares a file with what it is to hold.
fn compare(file: &File, contents: &FileContents, block: u64, rng: &mut Rng) {
    assert_eq!(file.attr().size, contents.size());
    assert!(read_all(&**file) == contents.bytes(), "contents");
    let mut blocks = Vec::new();
    file.extents(0, &mut |extent| {
        if extent.place().is_some() {
            blocks.extend(extent.offset / block..(extent.offset + extent.len) / block);
        }
        ControlFlow::Continue(())
    })
    .expect("extents");
    assert_eq!(blocks, contents.allocated(), "blocks");
    for what in [Seek::Data, Seek::Hole] {
        let at = rng.below(contents.size() + 2);
        assert_eq!(file.seek(at, what), contents.seek(at, what).map_err(Into::into), "{what:?} from {at}");
    }
}

fn one_sequence(seed: u64) {
    let mut rng = Rng::new(seed);
    let (option, block) = [("1024", 1024), ("2048", 2048), ("4096", 4096)][rng.below(3) as usize];
    let image = Image::with(Scratch::new(), 4096, &["-b", option]);
    let mut contents = FileContents::new(block);
    for _ in 0..3 {
        session_of(EXT2.mount, &image, |fs| {
            let root = fs.root().expect("root");
            let file = match root.lookup(b"f") {
                Ok(file) => file,
                Err(_) => create(fs, "f"),
            };
            // Blocks beyond the end went with the last handle.
            contents.keep_inside();
            for number in 1..26 {
                // Around the first tables of pointers, too.
                let reach = if rng.one_in(3) { (14 + block / 4) * block } else { 40 * block };
                let mut at = rng.below(reach);
                let mut len = 1 + rng.below(12 * block);
                if rng.one_in(2) {
                    (at, len) = (at / block * block, len.next_multiple_of(block));
                }
                let (kind, keep_size) = match rng.below(10) {
                    0..3 => (OpKind::Write, false),
                    3 => (OpKind::Truncate, false),
                    _ => *rng.pick(&OPS),
                };
                if kind == OpKind::Truncate {
                    (at, len) = (0, at);
                }
                let op = FileOp { keep_size, ..FileOp::new(kind, at, len) };
                let mut bytes =
                    if kind == OpKind::Write { pattern(rng.draw(), len as usize) } else { Vec::new() };
                let result = op.perform(&*file, &mut bytes);
                let line = op.line(contents.size()).to_string();
                let want = contents.apply(number, &op, &bytes).map(|()| bytes.len()).map_err(Into::into);
                assert_eq!(result, want, "{line}");
                compare(&file, &contents, block, &mut rng);
            }
        });
        assert!(image.cat("/f") == contents.bytes(), "debugfs reads something else");
    }
}

#[test]
fn every_kind_does_what_the_model_does_on_every_block_size() {
    for seed in seeds(sample(30, 1000)) {
        let result = std::panic::catch_unwind(|| one_sequence(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn limits_and_mistakes_are_told_as_fallocate_tells_them() {
    let image = Image::new(512);
    session(&image, |fs| {
        let file = create(fs, "f");
        write(&*file, 0, &pattern(1, 10_000));
        let max = fs.max_file_size();
        for how in kinds() {
            expect_errno(file.fallocate(how, 0, 0), Errno::Invalid);
            expect_errno(file.fallocate(how, 1 << 63, BLOCK), Errno::Invalid);
            expect_errno(file.fallocate(how, 0, 1 << 63), Errno::Invalid);
            expect_errno(file.fallocate(how, u64::MAX, u64::MAX), Errno::Invalid);
            expect_errno(file.fallocate(how, (1 << 63) - 1, (1 << 63) - 1), Errno::FileTooBig);
            expect_errno(file.fallocate(how, max & !(BLOCK - 1), BLOCK), Errno::FileTooBig);
            expect_errno(fs.root().expect("root").fallocate(how, 0, BLOCK), Errno::IsDirectory);
        }
        // Moving asks for whole blocks, inside the file.
        for (at, len) in [(1, BLOCK), (0, 100), (0, 3 * BLOCK), (BLOCK, 2 * BLOCK), (4 * BLOCK, BLOCK)] {
            expect_errno(file.fallocate(Fallocate::CollapseRange, at, len), Errno::Invalid);
        }
        for (at, len) in [(1, BLOCK), (0, 100), (3 * BLOCK, BLOCK), (4 * BLOCK, BLOCK)] {
            expect_errno(file.fallocate(Fallocate::InsertRange, at, len), Errno::Invalid);
        }
        let much = (max - BLOCK) & !(BLOCK - 1);
        expect_errno(file.fallocate(Fallocate::InsertRange, 0, much), Errno::FileTooBig);
        for what in [Seek::Data, Seek::Hole] {
            for at in [10_000, 1 << 40, 1 << 63, u64::MAX] {
                expect_errno(file.seek(at, what), Errno::NoSuchAddress);
            }
        }
        assert!(read_all(&*file) == pattern(1, 10_000));
        // A pipe has no bytes to allocate.
        let pipe = fs.root().expect("root").create(b"p", FileKind::Fifo, 0o600).expect("a pipe");
        expect_errno(pipe.fallocate(kinds()[0], 0, 1), Errno::Invalid);
    });
}

#[test]
fn mappings_show_what_was_punched_zeroed_and_moved() {
    let image = Image::new(1024);
    let mut want = pattern(7, 40 * BLOCK as usize);
    session(&image, |fs| {
        let file = create(fs, "f");
        write(&*file, 0, &want);
        let views = [View::new(&file, 0..60), View::new(&file, 0..60)];
        let check = |want: &[u8], view: &View| {
            let mut all = vec![1; want.len()];
            view.load(0, &mut all).expect("load");
            assert!(all == want);
        };
        let page = |n: u64| n as usize * BLOCK as usize;
        for round in 0..3 {
            for view in &views {
                for at in [2, 9, 30] {
                    view.store(at * BLOCK + 5, &[round + 1; 9]).expect("store");
                    want[page(at) + 5..page(at) + 14].fill(round + 1);
                }
                check(&want, view);
            }
            match round {
                0 => {
                    file.fallocate(Fallocate::PunchHole, BLOCK + 7, 9 * BLOCK).expect("punch");
                    want[page(1) + 7..page(10) + 7].fill(0);
                }
                1 => {
                    file.fallocate(Fallocate::InsertRange, 2 * BLOCK, 3 * BLOCK).expect("insert");
                    want.splice(page(2)..page(2), vec![0; page(3)]);
                }
                _ => {
                    file.fallocate(Fallocate::CollapseRange, BLOCK, 5 * BLOCK).expect("collapse");
                    want.drain(page(1)..page(6));
                }
            }
            views.iter().for_each(|view| check(&want, view));
        }
        // Bytes beyond the end, stored through a mapping, are not there when the file grows, however it does.
        let size = page(20) + 100;
        for grow in 0..5 {
            file.truncate(size as u64).expect("truncate");
            views[0].store(size as u64 + 3, b"beyond").expect("the last page is mapped whole");
            let longer = size as u64 + 500;
            match grow {
                0 => file.truncate(longer).expect("truncate"),
                1 => write(&*file, longer - 1, &[0]),
                2 => file.fallocate(kinds()[0], longer - 10, 10).expect("allocate"),
                3 => file.fallocate(kinds()[3], longer - 10, 10).expect("zero"),
                _ => file.fallocate(kinds()[0], longer + 5 * BLOCK, 10).expect("allocate"),
            }
            let mut tail = [1; 400];
            assert_eq!(file.read_at(size as u64, &mut tail), Ok(400));
            assert_eq!(tail, [0; 400], "way {grow}");
        }
        want.truncate(size);
        want.resize(file.attr().size as usize, 0);
        check(&want, &views[1]);
    });
    assert!(image.cat("/f") == want);
}

#[test]
fn blocks_beyond_the_end_live_as_long_as_a_handle() {
    let image = Image::new(1024);
    session(&image, |fs| {
        let free = fs.stat_fs().blocks_free;
        let file = create(fs, "f");
        file.fallocate(kinds()[1], 0, 100 * BLOCK).expect("allocate");
        assert_eq!((file.attr().size, fs.stat_fs().blocks_free), (0, free - 101));
        // What is written into them takes nothing more.
        write(&*file, 0, &pattern(3, 5 * BLOCK as usize));
        assert_eq!(fs.stat_fs().blocks_free, free - 101);
        drop(file);
        fs.shrink();
        assert_eq!(fs.stat_fs().blocks_free, free - 5);
    });
    assert!(image.cat("/f") == pattern(3, 5 * BLOCK as usize));
}

#[test]
fn without_space_nothing_is_half_done() {
    // More and more blocks left, until each kind has what it needs.
    for kind in kinds() {
        for leave in 0.. {
            let image = Image::new(256);
            let mut done = false;
            session(&image, |fs| {
                let file = create(fs, "f");
                let bytes = pattern(9, 30 * BLOCK as usize);
                write(&*file, 0, &bytes);
                file.fallocate(Fallocate::PunchHole, 5 * BLOCK, 3 * BLOCK).expect("punch");
                let mut before = bytes.clone();
                before[5 * BLOCK as usize..8 * BLOCK as usize].fill(0);
                let big = create(fs, "big");
                while big.write_at(big.attr().size, &[7; 4096]).is_ok() {}
                while fs.stat_fs().blocks_free < leave {
                    big.truncate(big.attr().size - BLOCK).expect("truncate");
                }
                let (free, blocks) = (fs.stat_fs().blocks_free, file.attr().blocks);
                let moves = matches!(kind, Fallocate::CollapseRange | Fallocate::InsertRange);
                // Beyond the end too, where that can be.
                let result = file.fallocate(kind, 4 * BLOCK, if moves { 20 } else { 40 } * BLOCK);
                match result {
                    Ok(()) => done = true,
                    Err(error) => {
                        assert_eq!(error, Errno::NoSpace.into());
                        assert!(read_all(&*file) == before, "{kind:?} with {leave} left");
                        let held = (file.attr().blocks - blocks) / 8;
                        assert_eq!(fs.stat_fs().blocks_free + held, free, "{kind:?} with {leave} left");
                        assert!(!moves || held == 0);
                    }
                }
            });
            if done {
                break;
            }
            assert!(leave < 30, "{kind:?} never succeeds");
        }
    }
}

#[test]
fn blocks_reserved_for_root_are_roots() {
    let image = Image::with(Scratch::new(), 512, &["-m", "10"]);
    let machine = image.machine();
    let fs = mount(machine.clone());
    machine.become_user(User { uid: 1000, gid: 1000 });
    let file = create(&fs, "f");
    assert_eq!((file.attr().uid, file.attr().gid), (1000, 1000));
    while let Ok(count) = file.write_at(file.attr().size, &[7; 30_000]) {
        assert!(count > 0);
    }
    let stat = fs.stat_fs();
    assert_eq!((stat.blocks_free, stat.blocks_available), (51, 0));
    expect_errno(file.write_at(file.attr().size.next_multiple_of(BLOCK), &[7]), Errno::NoSpace);
    expect_errno(file.fallocate(kinds()[0], 0, 512 * BLOCK), Errno::NoSpace);
    assert_eq!(fs.stat_fs().blocks_free, 51);
    machine.become_user(User::default());
    write(&*file, file.attr().size.next_multiple_of(BLOCK), &[7; 40 * BLOCK as usize]);
    assert!(fs.stat_fs().blocks_free <= 11);
    machine.become_user(User { uid: 1000, gid: 1000 });
    file.truncate(BLOCK).expect("truncate");
    write(&*file, 0, &[8; 10 * BLOCK as usize]);
    drop(file);
    fs.unmount().expect("unmount");
    image.store(&machine);
    image.expect_clean();
}
