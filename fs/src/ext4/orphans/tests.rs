//! The list and the file, against what they should hold; and e2fsck, which frees what is in them.

use super::*;
use crate::ext::features::RO_COMPAT_ORPHAN_PRESENT;
use crate::ext::superblock::RawSuperBlock;
use crate::ext4::disk::superblock::SuperBlock;
use crate::ext4::edit::tests::TestBytes;
use crate::ext4::names::edit::tests::{TestBlocks, superblock};
use ::tests::image::{Image, tool};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::{format, fs};

fn bytes(len: usize) -> TestBytes {
    TestBytes(vec![0; len].into())
}

/// Reads a list of inodes that lead to each other as `links` say.
fn read(first: u32, links: &BTreeMap<u32, u32>) -> Result<OrphanList> {
    OrphanList::read(&superblock(1024, 0, false), first, &mut |ino| Ok(links.get(&ino).copied().unwrap_or(0)))
}

#[test]
fn the_list_is_what_is_read_back_after_every_change() {
    let (sb, inodes) = (bytes(1024), BTreeMap::from_iter((11..40).map(|ino| (ino, bytes(256)))));
    let (mut list, mut expected, mut random) = (OrphanList::default(), Vec::new(), 7_u32);
    for _ in 0..2000 {
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12345);
        let ino = 11 + (random >> 16) % 29;
        let all = || inodes.values().chain([&sb]).map(|bytes| bytes.0.borrow().clone());
        let before: Vec<_> = all().collect();
        match list.holder(ino) {
            None => {
                list.add(ino, (&sb, 0), (&inodes[&ino], 0)).unwrap();
                expected.push(ino);
            }
            Some(OrphanHolder::SuperBlock) => list.remove(ino, (&sb, 0)),
            Some(OrphanHolder::Inode(newer)) => list.remove(ino, (&inodes[&newer], 0)),
        }
        if list.holder(ino).is_none() {
            expected.retain(|&orphan| orphan != ino);
        }
        let changed = all().zip(before).filter(|(now, before)| now != before).count();
        assert!(changed <= CHANGED_BY_LIST as usize);
        let mut next = |ino| Ok(inodes[&ino].load_u32(I_DTIME));
        let found = OrphanList::read(&superblock(1024, 0, false), sb.load_u32(S_LAST_ORPHAN), &mut next);
        assert_eq!(found.unwrap(), list);
        assert_eq!(list.0, expected);
        assert_eq!(list.first(), expected.last().copied().unwrap_or(0));
    }
}

#[test]
fn a_list_that_is_none_is_noticed() {
    for circle in 1..70 {
        for before in [0, 1, 2, 30] {
            let mut links: BTreeMap<_, _> = (11..11 + before + circle).map(|ino| (ino, ino + 1)).collect();
            links.insert(10 + before + circle, 11 + before);
            assert!(read(11, &links).is_err(), "{before} and then a circle of {circle}");
        }
    }
    let long: BTreeMap<_, _> = (11..4096).map(|ino| (ino, ino + 1)).chain([(4096, 0)]).collect();
    assert_eq!(read(11, &long).unwrap().0.len(), 4086);
    for ino in [1, 10, 4097, u32::MAX] {
        assert!(read(ino, &long).is_err());
        assert!(read(20, &BTreeMap::from([(20, ino)])).is_err());
    }
    let unreadable = OrphanList::read(&superblock(1024, 0, false), 20, &mut |_| Err(Errno::NoMemory.into()));
    assert_eq!(unreadable, Err(Errno::NoMemory.into()));
}

/// An orphan file of three blocks, without orphans.
fn empty_file(has_sums: bool) -> TestBlocks {
    let file = TestBlocks::new(superblock(1024, 0, false), has_sums);
    for number in [70, 60, 50] {
        let block = bytes(1024);
        block.store_u32(1024 - 8, BLOCK_MAGIC);
        file.numbers.borrow_mut().push(number);
        file.bytes.borrow_mut().insert(number, Rc::new(block));
        store(&file, number, 0, 0).unwrap();
    }
    file
}

fn read_file(file: &TestBlocks) -> Result<(OrphanFile, Vec<(u32, OrphanSlot)>)> {
    OrphanFile::read(file, &file.sb, file.numbers.borrow().iter().copied())
}

#[test]
fn the_file_is_what_is_read_back_and_says_when_it_is_full() {
    for has_sums in [false, true] {
        let file = empty_file(has_sums);
        let (mut orphans, found) = read_file(&file).unwrap();
        assert!(found.is_empty());
        file.changed.take();
        let mut slots = BTreeMap::new();
        for ino in 100..100 + 3 * 254 {
            slots.insert(ino, orphans.add(&file, ino).unwrap().expect("a slot"));
            assert!(file.changed.take().len() <= CHANGED_BY_FILE as usize);
        }
        assert_eq!(orphans.add(&file, 99), Ok(None));
        assert!(read_file(&file).unwrap().1.into_iter().eq(slots.clone()));
        for ino in (100..400).rev().step_by(3) {
            let slot = slots.remove(&ino).unwrap();
            assert!(orphans.remove(&file, slot, ino + 1).is_err());
            orphans.remove(&file, slot, ino).unwrap();
            assert!(orphans.remove(&file, slot, ino).is_err());
        }
        let (mut again, found) = read_file(&file).unwrap();
        assert!(found.into_iter().eq(slots.clone()));
        for ino in 900..1000 {
            let first = free_slots(&again, &file)[0];
            assert_eq!(again.add(&file, ino), Ok(Some(first)));
        }
        assert_eq!(again.add(&file, 99), Ok(None));
    }
}

/// The free slots of a file.
fn free_slots(orphans: &OrphanFile, file: &TestBlocks) -> Vec<OrphanSlot> {
    let mut free = Vec::new();
    for (index, block) in orphans.0.iter().enumerate() {
        let bytes = &file.bytes.borrow()[&block.number];
        free.extend(slots(file).filter(|&at| bytes.load_u32(at) == 0).map(|at| OrphanSlot { index, at }));
    }
    free
}

#[test]
fn a_file_that_is_none_is_noticed() {
    for (at, value) in [(0, 10), (0, 4097), (1016, 0), (1020, 1), (8, 21)] {
        let file = empty_file(true);
        let (mut orphans, _) = read_file(&file).unwrap();
        orphans.add(&file, 20).unwrap();
        orphans.add(&file, 21).unwrap();
        file.bytes.borrow()[&70].store_u32(at, value);
        assert!(read_file(&file).is_err(), "{at}: {value}");
        if at < 1016 {
            store(&file, 70, at, value).unwrap();
            assert!(read_file(&file).is_err(), "{at}: {value}, with its checksum");
        }
    }
}

/// An image with an inode that is in use and has no name, and where in it that is.
fn image_with_an_orphan(args: &[&str]) -> (Image, u32, u64) {
    let tree = Image::zeros(0);
    fs::write(tree.folder().join("file"), vec![1; 9000]).unwrap();
    fs::remove_file(tree.path()).unwrap();
    let args = [&["-t", "ext4", "-b", "4096", "-d", tree.folder().to_str().unwrap()], args].concat();
    let image = Image::mke2fs(64 << 20, &args);
    let stat = String::from_utf8(image.debugfs("stat /file")).unwrap();
    let ino: u32 = stat.split_whitespace().nth(1).unwrap().parse().unwrap();
    image.debugfs_write("unlink /file");
    image.debugfs_write(&format!("set_inode_field <{ino}> links_count 0"));
    let place = String::from_utf8(image.debugfs(&format!("imap <{ino}>"))).unwrap();
    let behind = |label: &str| place.split_once(label).unwrap().1.split([',', '\n']).next().unwrap().trim();
    let block: u64 = behind("located at block").parse().unwrap();
    let offset = u64::from_str_radix(behind("offset 0x"), 16).unwrap();
    (image, ino, block * 4096 + offset)
}

/// Lets `change` change the image's bytes, and computes the superblock's checksum.
fn change(image: &Image, change: impl FnOnce(&TestBytes, &SuperBlock)) {
    let all = TestBytes(fs::read(image.path()).unwrap().into());
    let raw = || {
        let bytes = all.0.borrow();
        RawSuperBlock::from_bytes(bytes[SUPERBLOCK as usize..][..1024].try_into().unwrap())
    };
    let sb = SuperBlock::decode(&raw(), all.0.borrow().len() as u64).unwrap();
    change(&all, &sb);
    all.store_u32(SUPERBLOCK + S_CHECKSUM, raw().checksum());
    image.poke(0, &all.0.borrow());
}

/// Lets e2fsck do what it does without asking, and checks that it frees inode `ino`.
fn expect_freed(image: &Image, ino: u32) {
    let output = tool("e2fsck").arg("-fp").arg(image.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    assert!(said.contains(&format!("Clearing orphaned inode {ino}")), "{said}");
    image.expect_clean();
}

#[test]
fn e2fsck_frees_what_is_on_the_list() {
    let (image, ino, at) = image_with_an_orphan(&[]);
    change(&image, |all, sb| {
        OrphanList::default().add(ino, (all, SUPERBLOCK), (all, at)).unwrap();
        let seed = sb.seed.unwrap().of_inode(ino, all.load_u32(at + I_GENERATION));
        let sum = checksum::inode(seed, all, at, sb.inode_size);
        all.store_u16(at + I_CHECKSUM_LO, sum as u16);
        all.store_u16(at + I_CHECKSUM_HI, (sum >> 16) as u16);
    });
    expect_freed(&image, ino);
}

#[test]
fn e2fsck_frees_what_is_in_the_file() {
    let (image, ino, _) = image_with_an_orphan(&["-O", "orphan_file"]);
    let say = |request: &str| String::from_utf8(image.debugfs(request)).unwrap();
    let file = TestBlocks::new(superblock(4096, 0, false), false);
    change(&image, |all, sb| {
        let mut file = file;
        let own = sb.orphan_file_inum;
        let blocks = say(&format!("blocks <{own}>"));
        file.numbers
            .borrow_mut()
            .extend(blocks.split_whitespace().map(|number| number.parse::<u64>().unwrap()));
        let stat = say(&format!("stat <{own}>"));
        let generation = stat.split_once("Generation:").unwrap().1.split_whitespace().next().unwrap();
        file.seed = sb.seed.map(|seed| seed.of_inode(own, generation.parse().unwrap()));
        for &number in file.numbers.borrow().iter() {
            let block = all.0.borrow()[number as usize * 4096..][..4096].to_vec();
            file.bytes.borrow_mut().insert(number, Rc::new(TestBytes(block.into())));
        }
        let (mut orphans, found) = read_file(&file).unwrap();
        assert!(found.is_empty());
        orphans.add(&file, ino).unwrap().expect("a slot");
        for (number, block) in file.bytes.borrow().iter() {
            all.write(number * 4096, &block.0.borrow());
        }
        let features = SUPERBLOCK + S_FEATURE_RO_COMPAT;
        all.store_u32(features, all.load_u32(features) | RO_COMPAT_ORPHAN_PRESENT);
    });
    expect_freed(&image, ino);
}
