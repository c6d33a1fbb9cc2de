//! The judge of ext4 images has nothing to say of sound ones, and says what is wrong with others.
//!
//! What Linux fills takes root and loop devices: `cargo test -p fs ext4_ -- --ignored`. Most
//! of that is judged where it is read, in ext4_reading.rs.

use crate::common::ext4::images::{FORMATS, Format, recovered_by_linux};
use crate::common::ext4::{expect_clean, judge};
use crate::common::{Image, Rng, Scratch};
use std::collections::BTreeMap;

fn format(name: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.name == name).expect("it is in the list")
}

#[test]
fn nothing_is_wrong_with_what_mke2fs_makes() {
    for format in FORMATS {
        expect_clean(&format.empty(), &format!("{}, empty", format.name));
    }
    for name in ["2 KiB", "^extent", "inline_data", "bigalloc", "meta_bg"] {
        expect_clean(&format(name).by_mke2fs(), &format!("{name}, filled by mke2fs"));
    }
    let mmp = Image::of_type("ext4", Scratch::new(), 2048, &["-O", "mmp"]);
    expect_clean(&mmp, "mmp");
}

#[test]
#[ignore = "needs root and loop devices"]
fn nothing_is_wrong_with_what_linux_and_e2fsck_recover() {
    for name in ["Debian's defaults", "upstream's defaults", "1 KiB", "^extent", "ext3"] {
        let image = format(name).cut_off();
        let complaints = judge(&image.bytes()).complaints;
        assert_eq!(complaints, ["superblock: the journal is to be replayed first"], "{name}");
        expect_clean(&recovered_by_linux(&image), &format!("{name}, recovered by Linux"));
        image.repair("-fp");
        expect_clean(&image, &format!("{name}, recovered by e2fsck"));
    }
}

/// Flips bits in some structures of each kind, one at a time, and expects a complaint of its checksum.
fn flip(image: &Image, kinds: &[&str]) {
    let mut bytes = image.bytes();
    let verdict = judge(&bytes);
    assert!(verdict.complaints.is_empty(), "{:?}", verdict.complaints);
    let mut places: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (name, place) in verdict.places {
        let kind: Vec<_> = name.split_whitespace().filter(|word| word.parse::<u64>().is_err()).collect();
        places.entry(kind.join(" ")).or_default().push((name, place));
    }
    for kind in kinds {
        assert!(places.contains_key(*kind), "there is no {kind}, only {:?}", places.keys());
    }
    let mut rng = Rng::new(4);
    for (kind, places) in places {
        for _ in 0..8 {
            let (name, place) = rng.pick(&places);
            let mut at = place.start + rng.below(place.len() as u64) as usize;
            match kind.as_str() {
                // A feature less, or another place for the descriptors: what is read then is something else.
                "superblock" => at = place.start + 0x78 + rng.below(16) as usize,
                // Where the second half of the checksum is, if it is.
                "inode" if (0x80..0x84).contains(&(at - place.start)) => at = place.start,
                _ => {}
            }
            let bit = 1 << rng.below(8);
            bytes[at] ^= bit;
            let complaints = judge(&bytes).complaints;
            bytes[at] ^= bit;
            // How far a node's checksum reaches, it says itself.
            let what = if kind.starts_with("htree") { "" } else { "checksum " };
            let start = format!("{name}: {what}");
            let said = complaints.iter().any(|complaint| complaint.starts_with(&start));
            assert!(said, "{name}, byte {}, bit {bit:x}: {complaints:?}", at - place.start);
        }
    }
}

#[test]
fn a_flipped_bit_is_found_in_every_kind_of_structure() {
    let common = [
        "superblock",
        "superblock of group",
        "descriptor of group",
        "block bitmap of group",
        "inode bitmap of group",
        "inode",
        "extent block of inode",
        "directory block of inode",
        "htree root of inode",
        "htree node of inode",
        "xattr block",
    ];
    flip(&format("1 KiB, orphan_file").by_mke2fs(), &[&common[..], &["orphan block of inode"]].concat());
    // 32-byte descriptors have half of the bitmaps' checksums.
    flip(&format("^64bit").by_mke2fs(), &common[..9]);
    flip(&format("inodes of 128").by_mke2fs(), &common[..9]);
    flip(&format("uninit_bg").by_mke2fs(), &["descriptor of group"]);
    flip(&Image::of_type("ext4", Scratch::new(), 2048, &["-O", "mmp"]), &["mmp block"]);
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_flipped_bit_is_found_in_what_only_linux_makes() {
    flip(
        &format("Debian's defaults").by_linux(),
        &["journal superblock", "xattr block", "extent block of inode"],
    );
}

/// debugfs changes a field, and makes checksums right again: what is wrong is what was changed.
#[test]
fn what_is_wrong_under_right_checksums_is_said() {
    let sound = format("2 KiB").by_mke2fs();
    let block = sound.bmap("files/4096", 0).expect("it has one");
    for (request, said) in [
        ("set_inode_field files/1000 links_count 3", "3 links, found 1"),
        ("set_inode_field files/1000 blocks 10", "i_blocks 10, should be 4"),
        ("set_inode_field files/1000 size 0", "1 blocks written, its size 0 is less"),
        ("set_inode_field files/1000 mode 0170644", "mode f000"),
        ("set_inode_field files/1000 dtime 5", "dtime 5"),
        ("set_inode_field files/1000 extra_isize 33", "i_extra_isize 33"),
        ("set_inode_field files/1000 file_acl 2", "belongs to"),
        ("set_inode_field some size 2047", "a directory of 2047 bytes"),
        ("set_inode_field many size 2048", "blocks for 1"),
        ("set_inode_field deep block[0] 0x0001f30b", "no magic number"),
        ("set_inode_field deep block[1] 0x00020005", "room for 5 entries, should be 4"),
        ("set_inode_field deep block[1] 0x00060004", "depth 6"),
        ("set_inode_field deep block[1] 0x00010004", "depth 1, should be 0"),
        ("set_inode_field deep block[3] 7", "starts at 0, its parent says 7"),
        ("set_inode_field files/1000 block[4] 0", "has no length"),
        ("set_inode_field some block[4] 0x8001", "a hole at block 0"),
        ("set_inode_field files/1000 block[5] 1", "belongs to the"),
        ("set_inode_field files/1000 block[5] 0x7fffffff", "are not in the file system"),
        (&format!("set_inode_field files/1000 block[5] {block}"), "too"),
        (&format!("freeb {block}"), "is free (1 like that)"),
        ("setb 8000", "block 8000 is nobody's, and marked as used"),
        ("freei files/1000", "is used, and the bitmap says it is free"),
        ("unlink files/1000", "1 links, found 0"),
        ("link files/1000 files/again", "1 links, found 2"),
        ("link files few/there", "is a second name of a directory"),
        ("set_super_value free_blocks_count 5", "5 free blocks, should be"),
        ("set_super_value free_inodes_count 5", "5 free inodes, should be"),
        ("set_super_value last_orphan 1900", "orphan 1900: is not in use"),
        ("set_block_group 1 free_blocks_count 5", "5 free blocks, should be"),
        ("set_block_group 0 used_dirs_count 5", "5 directories, should be"),
    ] {
        let image = sound.copy();
        image.debugfs_write(request);
        let complaints = judge(&image.bytes()).complaints;
        let found = complaints.iter().any(|complaint| complaint.contains(said));
        assert!(found, "{request}: {complaints:?}");
    }
}

/// Without checksums nothing hides behind them: names and keys are changed in place.
#[test]
fn names_that_are_not_where_their_hash_leads_are_found() {
    let image = format("^metadata_csum").by_mke2fs();
    let sound = image.bytes();
    let name = format!("36{}", "-".repeat(36));
    let at = sound.windows(38).position(|window| window == name.as_bytes()).expect("it is there");
    let root = image.bmap("many", 0).expect("it has one") as usize * 4096;
    for (at, new, said) in [
        (at + 37, b'x', "which is not in"),
        (at + 20, b'/', "is no name"),
        (at - 1, 2, "has the type 2, should be 1"),
        (at - 2, 200, "bytes long"),
        (root + 0x1c, 7, "hash version 7"),
        (root + 0x1e, 3, "3 levels"),
        (root + 0x20, 0, "limit"),
        (root + 0x22, 0, "0 entries"),
        (root + 0x24, 200, "block 1 is not in the tree"),
        (root + 0x2b, 0xff, "out of order"),
    ] {
        let mut bytes = sound.clone();
        bytes[at] = new;
        let complaints = judge(&bytes).complaints;
        let found = complaints.iter().any(|complaint| complaint.contains(said));
        assert!(found, "{said}: {complaints:?}");
    }
}
