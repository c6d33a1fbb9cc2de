//! The redo record: words that a crash shows all of, or none; void for everyone but the mount that wrote it.

use crate::common;
use crate::common::layout::{SUPERBLOCK, u32_at};
use crate::common::tape::Tape;
use crate::common::{Image, Machine, Scratch, create, mount, mount_read_only, pattern, write};
use fs::ext::layout::*;
use fs::pmem::ram::Ram;
use fs::vfs::FileSystem;
use fs::{Errno, Error};

const FIRST: u64 = SUPERBLOCK + S_OWNER;
const END: u64 = SUPERBLOCK + S_REDO_END;

/// An image, where a file's data is in it, and the words that tests commit there: all over its block, and its
/// last.
struct Stage {
    image: Image,
    words: Vec<(u64, u32)>,
}

impl Stage {
    fn new(options: &[&str]) -> Self {
        let image = Image::with(Scratch::new(), 64, options);
        common::session(&image, |fs| write(&*create(fs, "f"), 0, &pattern(1, 4096)));
        let block = image.bmap("f", 0).expect("a block") * 4096;
        let places = (0..26).map(|n| block + n * 68).chain([block + 4092]);
        Self { image, words: places.map(|at| (at, at as u32 ^ 0x5555)).collect() }
    }

    /// An image with a whole record on it, none of its words stored.
    fn pending(&self) -> Vec<u8> {
        let (mut tape, rig) = Tape::record(&self.image.bytes());
        let fs = mount(rig.clone());
        tape.rewind(&rig);
        fs.commit_words(&self.words).expect("a commit");
        let mut images = Vec::new();
        tape.crashes(0, |_, image| images.push(image));
        let has_record = |image: &&Vec<u8>| u32_at(image, SUPERBLOCK + S_REDO) != 0;
        let stored = |image: &[u8]| self.stored(image);
        let image = images
            .iter()
            .filter(has_record)
            .find(|image| stored(image) == Some(false) && mount(machine(image)).redo_replayed());
        image.expect("a crash between the record and its words").clone()
    }

    /// True if all words have the new values, false if none has.
    fn stored(&self, image: &[u8]) -> Option<bool> {
        let count = self.words.iter().filter(|&&(at, value)| u32_at(image, at) == value).count();
        (count == 0 || count == self.words.len()).then_some(count > 0)
    }
}

fn machine(image: &[u8]) -> Machine {
    Machine::new(Ram::from_bytes(image))
}

/// Mounts a copy of `image`. True if a record was replayed; and what the memory holds then.
fn mounted(image: &[u8]) -> (bool, Vec<u8>) {
    let machine = machine(image);
    let fs = mount(machine.clone());
    (fs.redo_replayed(), machine.ram.to_bytes())
}

#[test]
fn a_crash_at_any_point_of_a_commit_shows_all_words_or_none() {
    let stage = Stage::new(&[]);
    let (mut tape, rig) = Tape::record(&stage.image.bytes());
    let fs = mount(rig.clone());
    // A record before it, so that what is left of that is in the way.
    let before: Vec<_> = stage.words.iter().map(|&(at, value)| (at + 8, value)).collect();
    fs.commit_words(&before[..26]).expect("a commit");
    tape.rewind(&rig);
    fs.commit_words(&stage.words).expect("a commit");
    assert_eq!(tape.fences(), 3);
    let (mut none, mut replayed, mut all) = (0, 0, 0);
    tape.crashes(300, |at, image| {
        let (again, image) = mounted(&image);
        match stage.stored(&image) {
            Some(false) if !again => none += 1,
            Some(true) if again => replayed += 1,
            Some(true) => all += 1,
            _ => panic!("{at}: torn, or not stored by the replay ({again})"),
        }
        assert!(!mounted(&image).0, "{at}: a record was replayed twice");
    });
    assert!(none > 100 && replayed > 100 && all > 0, "{none} {replayed} {all}");
}

#[test]
fn a_crash_while_a_record_is_replayed_is_made_good_by_the_next_mount() {
    let stage = Stage::new(&[]);
    let (tape, rig) = Tape::record(&stage.pending());
    assert!(mount(rig).redo_replayed());
    let mut replayed = 0;
    tape.crashes(50, |at, image| {
        let (again, image) = mounted(&image);
        replayed += u32::from(again);
        assert_eq!(stage.stored(&image), Some(true), "{at}");
    });
    assert!(replayed > 50);
}

#[test]
fn a_change_of_any_bit_voids_a_record() {
    let stage = Stage::new(&[]);
    let pending = stage.pending();
    for bit in (SUPERBLOCK + S_REDO) * 8..END * 8 {
        let mut image = pending.clone();
        image[(bit / 8) as usize] ^= 1 << (bit % 8);
        let (replayed, image) = mounted(&image);
        assert!(!replayed, "bit {:#x}.{}", bit / 8 - SUPERBLOCK, bit % 8);
        assert_eq!(stage.stored(&image), Some(false));
    }
}

#[test]
fn a_record_that_leads_out_of_the_file_system_or_into_the_superblock_is_never_written() {
    let stage = Stage::new(&[]);
    let machine = stage.image.machine();
    let fs = mount(machine.clone());
    let before = machine.ram.to_bytes();
    let end = before.len() as u64;
    let good = stage.words[0];
    for bad in [1, 1022, 1024, 2044, end, end + 4, u64::MAX - 3, u64::MAX, end - 2] {
        assert_eq!(fs.commit_words(&[good, (bad, 1)]), Err(Error::Op(Errno::Overflow)), "{bad:#x}");
    }
    assert_eq!(fs.commit_words(&[good; 28]), Err(Error::Op(Errno::Overflow)));
    assert!(machine.ram.to_bytes() == before, "a refused commit changed the image");
    for sound in [1020, 2048, end - 4] {
        let value = u32_at(&before, sound);
        fs.commit_words(&[(sound, value), good]).unwrap_or_else(|error| panic!("{sound:#x}: {error}"));
    }
}

/// A record with a right checksum whose words are hostile: made by committing on a larger file system's
/// image.
#[test]
fn a_record_with_a_right_checksum_that_leads_out_of_the_file_system_is_void() {
    let image = Image::with(Scratch::new(), 1024, &[]);
    let (mut tape, rig) = Tape::record(&image.bytes());
    let fs = mount(rig.clone());
    tape.rewind(&rig);
    fs.commit_words(&[(900 * 4096, 0x1234_5678), (900 * 4096 + 64, 5)]).expect("a commit");
    let mut seen = 0;
    tape.crashes(0, |at, image| {
        let sound = mounted(&image).0;
        // The same superblock, but for the number of blocks: the record itself stays right.
        let mut short = image.clone();
        short[SUPERBLOCK as usize + 4..SUPERBLOCK as usize + 8].copy_from_slice(&512u32.to_le_bytes());
        if sound {
            seen += 1;
            assert!(!mounted(&short).0, "{at}");
        }
    });
    assert!(seen > 0);
}

#[test]
fn another_mount_or_a_check_voids_a_record() {
    let stage = Stage::new(&[]);
    let pending = stage.pending();
    for (what, at) in
        [("mounted", 0x34), ("mounted at another time", 0x2c), ("checked", 0x40), ("written", 0x30)]
    {
        let mut image = pending.clone();
        let at = (SUPERBLOCK + at) as usize;
        image[at] = image[at].wrapping_add(1);
        let (replayed, image) = mounted(&image);
        assert!(!replayed, "{what}");
        assert_eq!(stage.stored(&image), Some(false), "{what}");
        assert!(!mounted(&image).0, "{what}: a void record came back");
    }
}

#[test]
fn e2fsck_voids_a_record() {
    let stage = Stage::new(&[]);
    stage.image.store_bytes(&stage.pending());
    stage.image.index_directories();
    let (replayed, image) = mounted(&stage.image.bytes());
    assert!(!replayed);
    assert_eq!(stage.stored(&image), Some(false));
}

#[test]
fn e2fsprogs_has_nothing_to_say_of_a_record_in_either_revision() {
    for options in [&[][..], &["-r", "0"], &["-O", "^resize_inode,^sparse_super"]] {
        let stage = Stage::new(options);
        let header = |image: &[u8]| {
            stage.image.store_bytes(image);
            stage.image.expect_clean();
            let text = stage.image.debugfs("stats -h");
            // What a mount changes is not the record's doing.
            let changes = ["Filesystem state:", "Mount count:", "Last mount time:", "Last write time:"];
            text.lines()
                .filter(|line| !changes.iter().any(|what| line.starts_with(what)))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let pending = stage.pending();
        let cleared = mounted(&pending).1;
        assert!(cleared[FIRST as usize..END as usize].iter().any(|&byte| byte != 0));
        let (mut bare_pending, mut bare_cleared) = (pending.clone(), cleared.clone());
        bare_pending[FIRST as usize..END as usize].fill(0);
        bare_cleared[FIRST as usize..END as usize].fill(0);
        assert_eq!(header(&pending), header(&bare_pending), "{options:?}");
        assert_eq!(header(&cleared), header(&bare_cleared), "{options:?}");
        stage.image.store_bytes(&pending);
        assert!(mounted(&stage.image.bytes()).0, "{options:?}: e2fsck -fn voided the record");
    }
}

#[test]
fn a_mount_for_reading_changes_nothing_and_says_that_a_record_is_pending() {
    let stage = Stage::new(&[]);
    let pending = stage.pending();
    let machine = machine(&pending);
    let fs = mount_read_only(machine.clone());
    assert!(fs.redo_pending() && !fs.redo_replayed() && fs.read_only());
    assert!(machine.ram.to_bytes() == pending);
    drop(fs);
    let fs = fs::ext2::mount(Machine::new(Ram::from_bytes(&pending).read_only()), Default::default());
    assert!(fs.expect("mount").redo_pending());
    // The next mount for writing finishes it.
    let (replayed, image) = mounted(&machine.ram.to_bytes());
    assert!(replayed);
    assert_eq!(stage.stored(&image), Some(true));
    assert!(!mount_read_only(stage.image.machine()).redo_pending());
}
