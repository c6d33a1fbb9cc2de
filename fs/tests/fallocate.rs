//! fallocate(2) and lseek(2) of data and holes: every kind, on every block size, against a model; limits and
//! refusals; no space at any step.

use crate::common::sample;
use crate::common::{
    BLOCK, Image, Rng, Scratch, View, create, expect_errno, mount, pattern, read_all, session, write,
};
use fs::Errno;
use fs::platform::User;
use fs::vfs::{Fallocate, FileKind, FileSystem, InodeRef, Seek};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

type File = InodeRef<crate::common::Machine>;

const KINDS: [Fallocate; 7] = [
    Fallocate::Allocate { keep_size: false },
    Fallocate::Allocate { keep_size: true },
    Fallocate::PunchHole,
    Fallocate::ZeroRange { keep_size: false },
    Fallocate::ZeroRange { keep_size: true },
    Fallocate::CollapseRange,
    Fallocate::InsertRange,
];

/// What a file is to be: its bytes, and which of its blocks are there (beyond the end too).
struct Model {
    block: u64,
    bytes: Vec<u8>,
    blocks: BTreeSet<u64>,
}

impl Model {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn zero(&mut self, start: u64, end: u64) {
        let end = end.min(self.size());
        if start < end {
            self.bytes[start as usize..end as usize].fill(0);
        }
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        let end = at + from.len() as u64;
        if end > self.size() {
            self.bytes.resize(end as usize, 0);
        }
        self.bytes[at as usize..end as usize].copy_from_slice(from);
        self.blocks.extend(at / self.block..end.div_ceil(self.block));
    }

    fn truncate(&mut self, size: u64) {
        if size <= self.size() {
            let end = size.div_ceil(self.block);
            self.blocks.retain(|&block| block < end);
        }
        self.bytes.resize(size as usize, 0);
    }

    fn fallocate(&mut self, how: Fallocate, at: u64, len: u64) -> Result<(), Errno> {
        let (end, block) = (at + len, self.block);
        let aligned = at.is_multiple_of(block) && len.is_multiple_of(block);
        match how {
            Fallocate::Allocate { keep_size } | Fallocate::ZeroRange { keep_size } => {
                if matches!(how, Fallocate::ZeroRange { .. }) {
                    self.zero(at, end);
                }
                self.blocks.extend(at / block..end.div_ceil(block));
                if end > self.size() && !keep_size {
                    self.bytes.resize(end as usize, 0);
                }
            }
            Fallocate::PunchHole => {
                self.zero(at, end);
                self.blocks.retain(|&lblk| lblk * block < at || (lblk + 1) * block > end);
            }
            Fallocate::CollapseRange => {
                if !aligned || end >= self.size() {
                    return Err(Errno::Invalid);
                }
                self.keep_inside();
                self.bytes.drain(at as usize..end as usize);
                let (first, count) = (at / block, len / block);
                let moved = |&lblk: &u64| match lblk {
                    _ if lblk < first => Some(lblk),
                    _ if lblk < first + count => None,
                    _ => Some(lblk - count),
                };
                self.blocks = self.blocks.iter().filter_map(moved).collect();
            }
            Fallocate::InsertRange => {
                if !aligned || at >= self.size() {
                    return Err(Errno::Invalid);
                }
                self.keep_inside();
                self.bytes.splice(at as usize..at as usize, std::iter::repeat_n(0, len as usize));
                let (first, count) = (at / block, len / block);
                let moved = |&lblk: &u64| if lblk < first { lblk } else { lblk + count };
                self.blocks = self.blocks.iter().map(moved).collect();
            }
        }
        Ok(())
    }

    /// Blocks beyond the end go before anything moves.
    fn keep_inside(&mut self) {
        let end = self.size().div_ceil(self.block);
        self.blocks.retain(|&lblk| lblk < end);
    }

    fn seek(&self, at: u64, what: Seek) -> Result<u64, Errno> {
        if at >= self.size() {
            return Err(Errno::NoSuchAddress);
        }
        let is_data = |byte: u64| self.blocks.contains(&(byte / self.block));
        let mut place = at;
        while place < self.size() {
            if is_data(place) == (what == Seek::Data) {
                return Ok(place);
            }
            place = (place / self.block + 1) * self.block;
        }
        if what == Seek::Hole { Ok(self.size()) } else { Err(Errno::NoSuchAddress) }
    }

    fn compare(&self, file: &File, rng: &mut Rng) {
        assert_eq!(file.attr().size, self.size());
        assert!(read_all(&**file) == self.bytes, "contents");
        let mut blocks = BTreeSet::new();
        file.extents(0, &mut |extent| {
            if extent.place().is_some() {
                blocks.extend(extent.offset / self.block..(extent.offset + extent.len) / self.block);
            }
            ControlFlow::Continue(())
        })
        .expect("extents");
        let inside = self.size().div_ceil(self.block);
        assert_eq!(blocks, self.blocks.range(..inside).copied().collect(), "blocks");
        for what in [Seek::Data, Seek::Hole] {
            let at = rng.below(self.size() + 2);
            assert_eq!(file.seek(at, what), self.seek(at, what).map_err(Into::into), "{what:?} from {at}");
        }
    }
}

fn one_sequence(seed: u64) {
    let mut rng = Rng::new(seed);
    let (option, block) = [("1024", 1024), ("2048", 2048), ("4096", 4096)][rng.below(3) as usize];
    let image = Image::with(Scratch::new(), 4096, &["-b", option]);
    let mut model = Model { block, bytes: Vec::new(), blocks: BTreeSet::new() };
    for _ in 0..3 {
        session(&image, |fs| {
            let root = fs.root().expect("root");
            let file = match root.lookup(b"f") {
                Ok(file) => file,
                Err(_) => create(fs, "f"),
            };
            // Blocks beyond the end went with the last handle.
            model.keep_inside();
            for _ in 0..25 {
                // Around the first tables of pointers, too.
                let reach = if rng.one_in(3) { (14 + block / 4) * block } else { 40 * block };
                let mut at = rng.below(reach);
                let mut len = 1 + rng.below(12 * block);
                if rng.one_in(2) {
                    (at, len) = (at / block * block, len.next_multiple_of(block));
                }
                match rng.below(10) {
                    0..3 => {
                        let bytes = pattern(rng.next(), len as usize);
                        write(&*file, at, &bytes);
                        model.write(at, &bytes);
                    }
                    3 => {
                        file.truncate(at).expect("truncate");
                        model.truncate(at);
                    }
                    _ => {
                        let how = *rng.pick(&KINDS);
                        let result = file.fallocate(how, at, len);
                        assert_eq!(
                            result,
                            model.fallocate(how, at, len).map_err(Into::into),
                            "{how:?} {at} {len} of {}",
                            model.size()
                        );
                    }
                }
                model.compare(&file, &mut rng);
            }
        });
        assert!(image.cat("/f") == model.bytes, "debugfs reads something else");
    }
}

#[test]
fn every_kind_does_what_the_model_does_on_every_block_size() {
    let sequences =
        std::env::var("DAXIOM_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(sample(30, 1000));
    for seed in 0..sequences {
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
        for how in KINDS {
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
        expect_errno(pipe.fallocate(KINDS[0], 0, 1), Errno::Invalid);
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
                2 => file.fallocate(KINDS[0], longer - 10, 10).expect("allocate"),
                3 => file.fallocate(KINDS[3], longer - 10, 10).expect("zero"),
                _ => file.fallocate(KINDS[0], longer + 5 * BLOCK, 10).expect("allocate"),
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
        file.fallocate(KINDS[1], 0, 100 * BLOCK).expect("allocate");
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
    for kind in KINDS {
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
    expect_errno(file.fallocate(KINDS[0], 0, 512 * BLOCK), Errno::NoSpace);
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
