//! Edits of directories made by hand, byte by byte; names whose hashes are the same; damage.

use super::*;
use crate::Errno;
use crate::ext4::disk::htree::{HASH_VERSION, INDIRECT_LEVELS, ROOT_ENTRIES};
use std::collections::HashMap;
use std::format;
use std::string::String;

fn dir(has_sums: bool) -> TestBlocks {
    TestBlocks::new(superblock(1024, 0, false), has_sums).started()
}

/// Returns the entries of a block as text: inode, rec_len and name of each.
fn entries(dir: &TestBlocks, lblk: u32) -> String {
    let (bytes, mut all) = (dir.bytes(lblk), Vec::new());
    dir.edit()
        .form()
        .each(lblk.into(), &*bytes, &mut |entry| {
            let mut name = vec![0; if entry.ino == 0 { 0 } else { entry.name_len.into() }];
            bytes.read(entry.at + D_NAME, &mut name);
            all.push(format!("{}+{} {}", entry.ino, entry.rec_len, String::from_utf8_lossy(&name)));
            ControlFlow::<()>::Continue(())
        })
        .unwrap();
    all.join(", ")
}

#[test]
fn entries_are_where_they_are_expected_to_be() {
    let dir = dir(true);
    assert_eq!(entries(&dir, 0), "13+12 ., 2+1000 ..");
    assert_eq!(dir.bytes(0).load_u32(1024 - 8), 0xde00_000c);
    dir.add(b"abcd", 20).unwrap();
    dir.add(b"efghi", 21).unwrap();
    assert_eq!(entries(&dir, 0), "13+12 ., 2+12 .., 20+12 abcd, 21+976 efghi");
    let remove = |name: &[u8]| dir.edit().remove(dir.find(name).unwrap().pos).unwrap();
    remove(b"abcd");
    assert_eq!(entries(&dir, 0), "13+12 ., 2+24 .., 21+976 efghi");
    dir.add(b"x", 22).unwrap();
    dir.add(b"yyyyy", 23).unwrap();
    assert_eq!(entries(&dir, 0), "13+12 ., 2+12 .., 22+12 x, 21+16 efghi, 23+960 yyyyy");
    dir.edit().redirect(dir.find(b"..").unwrap().pos, 17, 2).unwrap();
    dir.edit().redirect(dir.find(b"x").unwrap().pos, 24, 7).unwrap();
    assert_eq!(entries(&dir, 0), "13+12 ., 17+12 .., 24+12 x, 21+16 efghi, 23+960 yyyyy");
    assert_eq!(dir.find(b"x").unwrap().file_type, 7);
    for name in [&b"efghi"[..], b"yyyyy", b"x"] {
        assert_eq!(dir.edit().is_empty(17), Ok(false));
        remove(name);
    }
    assert_eq!(entries(&dir, 0), "13+12 ., 17+1000 ..");
    assert_eq!(dir.edit().is_empty(17), Ok(true));
    assert!(dir.edit().is_empty(18).is_err(), "`..` names another inode");
    dir.expect_credits(AddedNameCredits { changed: 1, appended: 1 });
}

#[test]
fn the_first_entry_of_a_block_becomes_a_free_one_which_is_used_again() {
    // Without dir_index, which is another way for a directory to grow.
    let dir = TestBlocks::new(superblock_with(1024, 0, 0, false), true).started();
    let name = |letter: u8| vec![letter; 240];
    for letter in b'a'..=b'e' {
        dir.add(&name(letter), 20).unwrap();
    }
    assert!(!dir.is_indexed());
    let lens = || entries(&dir, 1).replace(['c', 'd', 'e', 'n'], "");
    assert_eq!((dir.blocks(), &*lens()), (2, "20+248 , 20+764 "));
    dir.edit().remove(1024).unwrap();
    assert_eq!(lens(), "0+248 , 20+764 ");
    dir.add(&name(b'n'), 30).unwrap();
    assert_eq!(lens(), "30+248 , 20+764 ");
    dir.edit().remove(1024).unwrap();
    dir.edit().remove(1024 + 248).unwrap();
    assert_eq!(lens(), "0+1012 ");
    assert!(dir.edit().remove(1024).is_err());
}

#[test]
fn an_index_begins_when_the_first_block_is_full() {
    let dir = dir(true);
    let mut model = Model::new();
    for number in 0..4 {
        assert!(!dir.is_indexed());
        let name = vec![b'a' + number; 240];
        dir.add(&name, 20).unwrap();
        model.insert(name, (20, 1));
    }
    assert!(dir.is_indexed());
    let root = dir.bytes(0);
    let word = |at| root.load_u32(at);
    assert_eq!((root.load_u16(4), root.load_u16(0x10)), (12, 1012));
    assert_eq!([word(0x18), word(0x1c)], [0, 0x0000_0801], "half MD4, 8 bytes, no levels");
    assert_eq!(word(0x20), 123 | u32::from(root.load_u16(0x22)) << 16);
    dir.verify(&model);
    dir.verify_found(model.iter());
    // Its `..` is in the root.
    dir.edit().redirect(12, 3, 2).unwrap();
    assert_eq!(dir.find(b"..").unwrap().ino, 3);
    assert_eq!(dir.edit().is_empty(3), Ok(false));
}

/// Returns `count` numbered names of 8 bytes, two of which have the same hash, and those two: half of the
/// others have lower hashes, half higher ones.
fn names_around_a_pair(count: usize, hash: impl Fn(&[u8]) -> u32) -> (Vec<Vec<u8>>, [Vec<u8>; 2]) {
    let mut by_hash: HashMap<u32, Vec<u8>> = HashMap::new();
    let mut pair = None;
    for number in 0..600_000 {
        let name = format!("{number:08}").into_bytes();
        if let Some(other) = by_hash.insert(hash(&name), name.clone()) {
            pair = Some((hash(&name), [other, name]));
            break;
        }
    }
    let (shared, pair) = pair.expect("two names of 600,000");
    let side = |is_side: &dyn Fn(u32) -> bool, count| {
        let names = by_hash.iter().filter(|(hash, _)| is_side(**hash)).map(|(_, name)| name.clone());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.truncate(count);
        names
    };
    let mut names = side(&|hash| hash < shared, count / 2 - 1);
    names.extend(side(&|hash| hash > shared, count.div_ceil(2) - 1));
    names.extend(pair.clone());
    (names, pair)
}

/// Adds names to an empty directory so that its first block of names is split between two names of the same
/// hash, which it returns.
pub(super) fn split_a_pair(dir: &TestBlocks, add: &mut dyn FnMut(&[u8])) -> [Vec<u8>; 2] {
    let count = dir.edit().form().names_end() / u64::from(Dirent::need(8));
    let (names, pair) = names_around_a_pair(count as usize, |name| dir.hash(HALF_MD4, name).unwrap());
    names.iter().for_each(|name| add(name));
    add(b"one more");
    pair
}

#[test]
fn two_halves_that_share_a_hash_are_known_by_the_low_bit() {
    let dir = dir(true);
    let mut model = Model::new();
    let hash = |name: &[u8]| dir.hash(HALF_MD4, name).unwrap();
    let mut add = |name: &[u8]| {
        dir.add(name, 20).unwrap();
        model.insert(name.to_vec(), (20, 1));
    };
    let pair = split_a_pair(&dir, &mut add);
    assert_eq!(dir.blocks(), 3);
    let key = dir.bytes(0).load_u32(ROOT_ENTRIES + 8);
    assert_eq!(key, hash(&pair[0]) | 1, "{pair:?}");
    assert_eq!(dir.verify(&model), (1, 1));
    let blocks = pair.clone().map(|name| dir.find(&name).unwrap().pos / 1024);
    assert_eq!(BTreeSet::from(blocks), BTreeSet::from([1, 2]));
}

/// Returns a directory of 20 blocks whose names are long.
fn large() -> TestBlocks {
    let dir = dir(false);
    let mut number = 0;
    while dir.blocks() < 20 {
        dir.add(format!("{number:0240}").as_bytes(), 20).unwrap();
        number += 1;
    }
    dir
}

/// What is wrong with a large directory, as it is told, and how it became so.
type Damage<'a> = (&'a str, &'a dyn Fn(&TestBlocks));

#[test]
fn damage_is_named_and_nothing_is_changed() {
    let (version, count) = (HASH_VERSION, ROOT_ENTRIES + 2);
    let cases: [Damage<'_>; 6] = [
        ("a hash_version that is not known (0)", &|dir| dir.bytes(0).store_u8(version, 6)),
        ("indirect_levels is too large (0)", &|dir| dir.bytes(0).store_u8(INDIRECT_LEVELS, 9)),
        ("a node's count is zero, or larger than its limit (0)", &|dir| dir.bytes(0).store_u16(count, 0)),
        ("a node leads out of the directory (0)", &|dir| dir.numbers.borrow_mut().truncate(1)),
        ("its root does not begin with `.` and `..` (0)", &|dir| dir.bytes(0).store_u16(0x10, 12)),
        ("a node's hashes are not in order (0)", &|dir| {
            dir.bytes(0).store_u32(ROOT_ENTRIES + 8 * 5, 2);
        }),
    ];
    for (why, damage) in cases {
        let dir = large();
        damage(&dir);
        let bytes = |dir: &TestBlocks| -> Vec<_> {
            dir.bytes.borrow().values().map(|bytes| bytes.0.borrow().clone()).collect()
        };
        let before = bytes(&dir);
        let error = dir.add(b"name", 20).expect_err(why);
        assert_eq!(format!("{error}"), format!("corrupt index of directory 13: {why}"));
        assert!(bytes(&dir) == before, "{why}");
    }
}

#[test]
fn names_that_are_in_anothers_block_are_not_sorted() {
    let dir = large();
    for lblk in 2..20 {
        dir.bytes(1).0.swap(&dir.bytes(lblk).0);
    }
    let wrong = (0..200).find_map(|number| dir.add(format!("{number:0250}").as_bytes(), 20).err());
    let wrong = format!("{}", wrong.expect("a block was split"));
    assert!(wrong.contains("a name is not where its hash leads"), "{wrong}");
}

#[test]
fn a_node_that_leads_to_itself_is_noticed() {
    let dir = large();
    dir.bytes(1).store_u32(D_INODE, 0);
    IndexNodeEdit::make(&*dir.bytes(1), &dir.edit().form().index(20)).set_only(1);
    dir.bytes(0).store_u8(INDIRECT_LEVELS, 1);
    IndexNodeEdit::of(0, &*dir.bytes(0)).set_only(1);
    let error = dir.add(b"name", 20).expect_err("a circle");
    assert!(format!("{error}").contains("a node of the index leads to itself"), "{error}");
}

#[test]
fn what_is_no_entry_is_not_removed() {
    let dir = dir(true);
    dir.add(b"name", 20).unwrap();
    dir.changed.take();
    for pos in [1, 4, 28, 1012, 1024, u64::MAX] {
        assert!(dir.edit().remove(pos).is_err(), "{pos}");
        assert!(dir.edit().redirect(pos, 3, 1).is_err(), "{pos}");
    }
    assert!(dir.changed.borrow().is_empty());
    dir.left.set(0);
    let other = TestBlocks::new(superblock(1024, 0, false), true);
    other.left.set(0);
    assert_eq!(other.edit().start(2), Err(Errno::NoSpace.into()));
}

#[test]
fn a_block_that_is_not_sealed_is_noticed() {
    let dir = dir(true);
    dir.bytes(0).store_u8(20, b'x');
    assert!(dir.add(b"name", 20).is_err());
}
