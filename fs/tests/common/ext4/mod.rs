//! What judges ext4 images: reads the bytes, computes every checksum anew and looks at every structure.
//! Written from the description of the format alone; it shares no code with any driver.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the order in which an image is judged |
//! | [`sums`] | CRC32C, CRC16, hashes of names |
//! | [`disk`] | the superblock's fields, inodes, who owns which block, the list of complaints |
//! | [`groups`] | superblocks and their copies, descriptors, what they own, bitmaps and counts |
//! | [`inodes`] | inodes: checksum, size, blocks, links |
//! | [`maps`] | extent trees and block maps |
//! | [`dirs`], [`htree`] | directories, linear and hashed |
//! | [`xattrs`] | extended attributes, in the inode, in blocks, in inodes of their own |
//! | [`orphans`] | orphan list and file, the journal's superblock |
//! | [`images`], [`fill`] | images to judge: made by mke2fs, filled by Linux |

mod dirs;
mod disk;
pub(crate) mod fill;
mod groups;
mod htree;
pub(crate) mod images;
mod inodes;
mod maps;
mod orphans;
mod sums;
mod xattrs;

use crate::common::Image;
use disk::{Oracle, RECOVER, Super};
use std::ops::Range;

/// What was found.
pub(crate) struct Verdict {
    /// What is wrong: the structure, a colon, and what it is.
    pub(crate) complaints: Vec<String>,
    /// Every structure that has a checksum, as complaints name it, and the bytes that the checksum covers.
    pub(crate) places: Vec<(String, Range<usize>)>,
}

/// Judges an image that is not mounted.
pub(crate) fn judge(image: &[u8]) -> Verdict {
    let refuse = |why: &str| Verdict { complaints: vec![format!("superblock: {why}")], places: Vec::new() };
    let Some(bytes) = image.get(1024..2048) else { return refuse("the image is too short") };
    let sup = match Super::read(bytes) {
        Ok(sup) => sup,
        Err(why) => return refuse(&why),
    };
    if sup.blocks.checked_mul(sup.block as u64).is_none_or(|len| len > image.len() as u64) {
        return refuse("more blocks than the image has");
    }
    let mut oracle = Oracle::new(image, sup);
    oracle.super_blocks();
    if oracle.has(RECOVER) {
        // Until then the rest is old.
        oracle.say("superblock", "the journal is to be replayed first");
        return Verdict { complaints: oracle.complaints, places: oracle.places };
    }
    let groups = oracle.descriptors();
    oracle.claim_metadata(&groups);
    oracle.read_inodes(&groups);
    oracle.map_inodes();
    oracle.orphan_list();
    oracle.orphan_file();
    oracle.journal();
    oracle.check_inodes();
    oracle.shared_attributes();
    oracle.directories();
    oracle.links();
    oracle.bitmaps(&groups);
    Verdict { complaints: oracle.complaints, places: oracle.places }
}

/// Fails the test if our judge, or e2fsck, has something to say of the image.
#[track_caller]
pub(crate) fn expect_clean(image: &Image, what: &str) {
    let complaints = judge(&image.bytes()).complaints;
    assert!(complaints.is_empty(), "{what}:\n{}", complaints.join("\n"));
    if let Err(complaints) = image.judge() {
        panic!("{what}: {complaints}");
    }
}
