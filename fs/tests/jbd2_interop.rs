//! Journals that Linux wrote before its memory was taken away: replayed here and by e2fsck, they leave the
//! same bytes.
//!
//! Not compared are the log itself, whose blocks nobody reads after a replay, and these fields of the file
//! system's superblock, which e2fsck stores: times, counts of mounts and of written bytes, the state with the
//! bit that says that a replay is needed, and the checksum.
//!
//! `cargo test -p fs jbd2_interop:: -- --ignored`

use crate::common::craft::replay_home;
use crate::common::linux::LinuxMount;
use crate::common::{BLOCK, Image, Rng, Scratch, pattern, sample};
use fs::jbd2::{LogMap, LogRun, scan};
use fs::pmem::ram::Ram;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use tests::image::tool;

/// Blocks of 4 KiB in an image.
const BLOCKS: u64 = 16_384;
/// What mke2fs makes, and how Linux mounts it.
const FORMATS: [(&str, &[&str], &str); 9] = [
    ("ext4", &[], "rw"),
    ("ext4", &["-O", "^metadata_csum"], "rw"),
    ("ext4", &["-O", "^64bit"], "rw"),
    ("ext4", &["-O", "^metadata_csum,^64bit"], "rw,journal_checksum"),
    ("ext4", &["-b", "1024"], "rw"),
    ("ext4", &["-O", "fast_commit"], "rw,commit=1"),
    ("ext4", &[], "rw,data=writeback,journal_async_commit"),
    ("ext3", &[], "rw"),
    ("ext3", &["-b", "1024"], "rw"),
];

/// Something that is done until the memory goes.
type Work = fn(&Path, &dyn Fn());

/// Names: made, moved, removed.
fn names(root: &Path, sync: &dyn Fn()) {
    for round in 0..6 {
        let dir = root.join(format!("dir {round}"));
        std::fs::create_dir(&dir).expect("room");
        for number in 0..120 {
            std::fs::write(dir.join(format!("a rather long name {number}")), pattern(number, 100))
                .expect("room");
        }
        for number in (0..120).step_by(3) {
            let old = dir.join(format!("a rather long name {number}"));
            match number % 2 {
                0 => std::fs::remove_file(old).expect("it is there"),
                _ => std::fs::rename(old, root.join(format!("moved {round} {number}"))).expect("it is there"),
            }
        }
        sync();
    }
}

/// Blocks of directories and of block maps, freed and taken again by others.
fn reuse(root: &Path, sync: &dyn Fn()) {
    let mut rng = Rng::new(4);
    for round in 0..8_u64 {
        let dir = root.join("dir");
        std::fs::create_dir(&dir).expect("room");
        for number in 0..400 {
            std::fs::write(dir.join(format!("{number:0200}")), b"").expect("room");
        }
        sync();
        std::fs::remove_dir_all(&dir).expect("it is there");
        let file = std::fs::File::create(root.join(format!("file {}", round % 3))).expect("room");
        for piece in 0..40 {
            file.write_all_at(&pattern(round, 6000), rng.below(200) * 20_000 + piece).expect("room");
        }
        sync();
        file.set_len(30_000).expect("a file");
    }
}

/// Attributes in blocks of their own.
fn attributes(root: &Path, sync: &dyn Fn()) {
    for round in 0..5 {
        for number in 0..60 {
            let path = root.join(format!("file {number}"));
            std::fs::write(&path, b"x").expect("room");
            // One at a time: they are to fit into a block of 1 KiB.
            if round > 0 && number % 4 != 1 {
                let _ = xattr::remove(&path, format!("user.{}", round - 1));
                let value = pattern(round, 100 * (round as usize + 1));
                xattr::set(&path, format!("user.{round}"), &value).expect("room");
            }
            if number % 7 == 1 {
                std::fs::remove_file(&path).expect("it is there");
            }
        }
        sync();
    }
}

/// Where the journal is, as debugfs finds it.
pub(crate) fn log_map(image: &Image, block_size: u64) -> LogMap {
    let bytes = image.bytes();
    let first = image.debugfs("bmap <8> 0").trim().parse::<u64>().expect("a block");
    let maxlen = (first * block_size) as usize + 0x10;
    let blocks = u32::from_be_bytes(bytes[maxlen..maxlen + 4].try_into().expect("four bytes"));
    let requests = image.path().with_extension("requests");
    let text: String = (0..blocks).map(|block| format!("bmap <8> {block}\n")).collect();
    std::fs::write(&requests, text).expect("a file for debugfs");
    let output = tool("debugfs").arg("-f").args([&requests, image.path()]).output().expect("debugfs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().filter_map(|line| line.trim().parse::<u64>().ok());
    let mut runs: Vec<LogRun> = Vec::new();
    for (log, block) in (0..).zip(found) {
        match runs.last_mut() {
            Some(run) if run.block + u64::from(run.count) == block => run.count += 1,
            _ => runs.push(LogRun { log, block, count: 1 }),
        }
    }
    let log = LogMap::new(runs, block_size, bytes.len() as u64 / block_size).expect("a sound journal");
    assert_eq!(log.blocks(), blocks);
    log
}

/// Fields of the superblock that e2fsck stores: times, state, mount count, features with "recover", written
/// bytes, the high bytes of times, the checksum.
const STORED: [Range<usize>; 7] =
    [0x2c..0x36, 0x3a..0x3c, 0x40..0x44, 0x60..0x64, 0x178..0x180, 0x274..0x27c, 0x3fc..0x400];

/// The bytes that are compared.
pub(crate) fn compared(mut bytes: Vec<u8>, log: &LogMap) -> Vec<u8> {
    let size = log.block_size() as usize;
    for block in (0..bytes.len() / size).filter(|&block| !log.is_home(block as u64)) {
        bytes[block * size..][..size].fill(0);
    }
    STORED.into_iter().for_each(|field| bytes[1024 + field.start..1024 + field.end].fill(0));
    bytes
}

/// What e2fsck makes of it when it replays and does nothing else.
pub(crate) fn replayed_by_e2fsck(image: &Image) -> Vec<u8> {
    let copy = image.path().with_extension("copy");
    std::fs::copy(image.path(), &copy).expect("room");
    let output = tool("e2fsck").args(["-y", "-E", "journal_only"]).arg(&copy).output().expect("e2fsck");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("corrupt") && !said.contains("invalid"), "{said}");
    std::fs::read(&copy).expect("the copy")
}

fn sync(root: &Path) {
    let status = Command::new("sync").arg("-f").arg(root).status().expect("sync");
    assert!(status.success());
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_linux_left_in_a_journal_is_replayed_as_e2fsck_does() {
    let works: [(&str, Work); 3] = [("names", names), ("reuse", reuse), ("attributes", attributes)];
    let mut revokes = 0;
    for (number, (kind, options, how)) in FORMATS.into_iter().enumerate() {
        // An ordinary run has each format once, and each kind of work three times.
        for (index, (name, work)) in works.into_iter().enumerate() {
            if index != number % 3 && !sample(false, true) {
                continue;
            }
            let image = Image::of_type(kind, Scratch::new(), BLOCKS, options);
            let what = format!("{kind} {options:?} {how}, {name}");
            let mount = LinuxMount::new(&image, how).unwrap_or_else(|why| panic!("mount {what}: {why}"));
            let root = mount.root().to_owned();
            work(&root, &|| sync(&root));
            mount.shut_down(index != 1);
            mount.unmount();
            let block_size = if options.contains(&"1024") { 1024 } else { BLOCK };
            let log = log_map(&image, block_size);
            let ram = Ram::from_bytes(&image.bytes());
            let found = scan(&ram, &log).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(
                found.transactions() >= 1 && found.blocks() > 4 && found.errno() == 0,
                "{what}: {found:?}"
            );
            revokes += found.revokes();
            replay_home(found, &ram, &log).unwrap_or_else(|error| panic!("{what}: {error}"));
            let (ours, theirs) = (compared(ram.to_bytes(), &log), compared(replayed_by_e2fsck(&image), &log));
            let differs = (0..ours.len()).find(|&at| ours[at] != theirs[at]);
            assert_eq!(differs.map(|at| format!("{at:#x}")), None, "{what}");
        }
    }
    assert!(revokes > 100, "{revokes}");
}
