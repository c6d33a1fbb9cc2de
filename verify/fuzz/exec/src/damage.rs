//! From a patch to the bytes it changes.
//!
//! A patch names a structure of the undamaged image, a field of it, and where the field's new value comes
//! from: the patch itself, the old value, a number at which something ends, the number of a block or an inode
//! that is used for something else.

use crate::anatomy::Anatomy;
use crate::input::Patch;

/// Offset and bytes of a superblock's fields.
const SUPER_FIELDS: [(u64, u64); 36] = [
    (0x00, 4),
    (0x04, 4),
    (0x08, 4),
    (0x0c, 4),
    (0x10, 4),
    (0x14, 4),
    (0x18, 4),
    (0x1c, 4),
    (0x20, 4),
    (0x24, 4),
    (0x28, 4),
    (0x2c, 4),
    (0x30, 4),
    (0x34, 2),
    (0x36, 2),
    (0x38, 2),
    (0x3a, 2),
    (0x3c, 2),
    (0x40, 4),
    (0x48, 4),
    (0x4c, 4),
    (0x50, 2),
    (0x54, 4),
    (0x58, 2),
    (0x5a, 2),
    (0x5c, 4),
    (0x60, 4),
    (0x64, 4),
    (0xcc, 2),
    (0xce, 2),
    (0xe0, 4),
    (0xe8, 4),
    (0xfc, 2),
    (0x104, 4),
    (0x15c, 2),
    (0x15e, 2),
];
const DESCRIPTOR_FIELDS: [(u64, u64); 8] =
    [(0, 4), (4, 4), (8, 4), (12, 2), (14, 2), (16, 2), (18, 2), (28, 4)];
const INODE_FIELDS: [(u64, u64); 24] = [
    (0x00, 2),
    (0x02, 2),
    (0x04, 4),
    (0x08, 4),
    (0x0c, 4),
    (0x10, 4),
    (0x14, 4),
    (0x18, 2),
    (0x1a, 2),
    (0x1c, 4),
    (0x20, 4),
    (0x64, 4),
    (0x68, 4),
    (0x6c, 4),
    (0x74, 2),
    (0x76, 2),
    (0x78, 2),
    (0x80, 2),
    (0x82, 2),
    (0x84, 4),
    (0x90, 4),
    (0x94, 4),
    (0xa0, 4),
    (0xa4, 4),
];
const ENTRY_FIELDS: [(u64, u64); 6] = [(0, 4), (4, 2), (6, 1), (7, 1), (8, 1), (9, 4)];
/// Of an attribute block: the head, then the first entry, then the second where the first has a short name.
const ATTRIBUTE_FIELDS: [(u64, u64); 20] = [
    (0, 4),
    (4, 4),
    (8, 4),
    (12, 4),
    (32, 1),
    (33, 1),
    (34, 2),
    (36, 4),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 1),
    (53, 1),
    (54, 2),
    (56, 4),
    (60, 4),
    (64, 4),
    (72, 4),
    (76, 4),
    (80, 4),
];
/// Of a directory's first block with a hash index: the root's head, its limits, its first pointers.
const INDEX_FIELDS: [(u64, u64); 12] = [
    (0x18, 4),
    (0x1c, 1),
    (0x1d, 1),
    (0x1e, 1),
    (0x1f, 1),
    (0x20, 2),
    (0x22, 2),
    (0x24, 4),
    (0x28, 4),
    (0x2c, 4),
    (0x30, 4),
    (0x34, 4),
];

/// Kinds of damage; the number is the place in the list, for ever.
const KINDS: [&str; 16] = [
    "superblock",
    "group descriptor",
    "inode",
    "pointer of an inode",
    "directory entry",
    "pointer of an indirect block",
    "attribute block",
    "redo record, well-formed",
    "redo record, bytes",
    "bitmap",
    "bytes of a directory or link",
    "anywhere",
    "block full of one number",
    "inode copied over another",
    "block copied over another",
    "hash index",
];

/// How many kinds there are.
pub const COUNT: u8 = KINDS.len() as u8;

/// Returns what kind `kind` damages.
pub fn name(kind: u8) -> &'static str {
    KINDS.get(usize::from(kind & 31)).copied().unwrap_or("nothing")
}

/// Where in the superblock the redo record starts: its checksum.
const REDO: u64 = 0x2a0;
/// Where its words start.
const REDO_WORDS: u64 = 0x2b8;
/// Words that fit.
const REDO_CAPACITY: u64 = 27;

/// One of `list`; 0 if there is none.
fn pick<T: Copy + Default>(list: &[T], which: impl Into<u64>) -> T {
    if list.is_empty() { T::default() } else { list[(which.into() % list.len() as u64) as usize] }
}

/// Returns the offset, in an undamaged image, and the new bytes.
pub fn apply(patch: &Patch, it: &Anatomy, image: &[u8]) -> (u64, Vec<u8>) {
    let object = u64::from(patch.object);
    let one_of = |fields: &[(u64, u64)], base: u64| {
        let (at, len) = pick(fields, patch.field);
        number(patch, it, image, base + at, len.max(1))
    };
    // Which superblock: mostly the first one.
    let base = if object < 0xC000 { 1024 } else { pick(&it.supers, patch.object) };
    match name(patch.kind) {
        "superblock" => one_of(&SUPER_FIELDS, base),
        "group descriptor" => one_of(&DESCRIPTOR_FIELDS, pick(&it.descriptors, patch.object)),
        "inode" => one_of(&INODE_FIELDS, pick(&it.inodes, patch.object)),
        "pointer of an inode" => {
            let slot = u64::from(patch.field % 15);
            number(patch, it, image, pick(&it.inodes, patch.object) + 0x28 + slot * 4, 4)
        }
        "directory entry" => one_of(&ENTRY_FIELDS, pick(&it.entries, patch.object)),
        "pointer of an indirect block" => {
            // The first words, the last ones.
            let word = (i64::from(patch.field as i8)).rem_euclid((it.block / 4) as i64) as u64;
            number(patch, it, image, pick(&it.tables, patch.object) + word * 4, 4)
        }
        "attribute block" => one_of(&ATTRIBUTE_FIELDS, pick(&it.attributes, patch.object)),
        "redo record, well-formed" => (1024 + REDO, redo_record(patch, it, image)),
        "redo record, bytes" => number(patch, it, image, 1024 + 0x290 + u64::from(patch.field % 92) * 4, 4),
        "bitmap" => {
            let at = pick(&it.bitmaps, patch.object);
            number(patch, it, image, at + u64::from(patch.field), if patch.how & 0x80 == 0 { 1 } else { 4 })
        }
        "bytes of a directory or link" => {
            let at = u64::from(patch.value >> 16) % it.block;
            number(patch, it, image, pick(&it.contents, patch.object) + at, 1 + u64::from(patch.field % 4))
        }
        "anywhere" => {
            let at = (object << 8 | u64::from(patch.field)) * 4;
            number(patch, it, image, at, 4)
        }
        "block full of one number" => {
            let at = pick(&it.block_numbers, patch.object);
            let (_, bytes) = number(patch, it, image, u64::from(at) * it.block, 4);
            (u64::from(at) * it.block, bytes.repeat((it.block / 4) as usize))
        }
        "inode copied over another" => {
            copy(image, pick(&it.inodes, patch.value), pick(&it.inodes, patch.object), it.inode_size)
        }
        "block copied over another" => {
            let byte = |number: u32| u64::from(number) * it.block;
            let (from, to) = (pick(&it.block_numbers, patch.value), pick(&it.block_numbers, patch.object));
            copy(image, byte(from), byte(to), it.block)
        }
        "hash index" => one_of(&INDEX_FIELDS, pick(&it.contents, patch.object)),
        _ => (0, Vec::new()),
    }
}

fn copy(image: &[u8], from: u64, to: u64, len: u64) -> (u64, Vec<u8>) {
    let bytes = image.get(from as usize..(from + len) as usize).unwrap_or_default();
    (to, bytes.to_vec())
}

/// The field of `len` bytes at `at`, and what it becomes.
fn number(patch: &Patch, it: &Anatomy, image: &[u8], at: u64, len: u64) -> (u64, Vec<u8>) {
    let mut old = [0; 4];
    for (to, from) in old.iter_mut().zip(image.get(at as usize..).unwrap_or_default()).take(len as usize) {
        *to = *from;
    }
    let new = value(patch, it, u32::from_le_bytes(old));
    (at, new.to_le_bytes()[..len as usize].to_vec())
}

fn value(patch: &Patch, it: &Anatomy, old: u32) -> u32 {
    match patch.how % 8 {
        0 => patch.value,
        1 => old.wrapping_add_signed(i32::from(patch.extra as i8)),
        2 => old ^ 1 << (patch.extra % 32),
        3 => pick(&it.edges, patch.extra),
        4 => pick(&it.block_numbers, patch.value),
        5 => pick(&it.inode_numbers, patch.value),
        6 => 0,
        _ => u32::MAX,
    }
}

/// A record as a crash in the middle of a commit leaves it (`fs::ext2`'s redo.rs tells the format): its words
/// go on from a structure chosen by `object`, the first has the patch's value.
fn redo_record(patch: &Patch, it: &Anatomy, image: &[u8]) -> Vec<u8> {
    let count = u64::from(patch.field) % (REDO_CAPACITY + 1);
    let target = match patch.how >> 3 & 7 {
        0 => pick(&it.inodes, patch.object),
        1 => pick(&it.descriptors, patch.object),
        2 => pick(&it.entries, patch.object),
        3 => pick(&it.tables, patch.object),
        4 => pick(&it.bitmaps, patch.object),
        5 => 0x400 + u64::from(patch.object),
        6 => (image.len() as u64).wrapping_sub(u64::from(patch.object)),
        _ => u64::from(patch.object) << 48 | u64::from(patch.value),
    };
    let mut record = vec![0; (REDO_WORDS - REDO) as usize];
    record[0x08..0x0a].copy_from_slice(&(count as u16).to_le_bytes());
    record[0x0a..0x0c].copy_from_slice(&image[1024 + 0x34..1024 + 0x36]);
    record[0x0c..0x10].copy_from_slice(&image[1024 + 0x2c..1024 + 0x30]);
    record[0x10..0x14].copy_from_slice(&image[1024 + 0x40..1024 + 0x44]);
    record[0x14..0x18].copy_from_slice(&image[1024 + 0x30..1024 + 0x34]);
    for word in 0..count {
        let at = target.wrapping_add(word * 4);
        record.extend(at.to_le_bytes());
        record.extend(value(patch, it, 0).wrapping_add(word as u32).to_le_bytes());
    }
    let (numbers, rest) = record[8..].as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let sum = numbers.iter().chain([&last]).fold(0x6461_7869_6f6d_0001_u64, |sum, number| {
        let sum = (sum ^ u64::from_le_bytes(*number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        sum ^ sum >> 29
    });
    record[..8].copy_from_slice(&sum.max(1).to_le_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Input, MountMode};
    use crate::{images, run_to_image};

    #[test]
    fn a_well_formed_redo_record_is_one_to_the_file_system() {
        let image = images::unpack(0);
        let it = Anatomy::of(&image);
        let word = |image: &[u8], at: u64| {
            let at = at as usize;
            u32::from_le_bytes([image[at], image[at + 1], image[at + 2], image[at + 3]])
        };
        // The word of i_mode and i_uid, of a file.
        let file = it.inodes.iter().position(|&at| word(&image, at) >> 12 & 0xF == 8).expect("a file");
        let (at, value) = (it.inodes[file], word(&image, it.inodes[file]) & 0xFFFF | 77 << 16);
        let kind = KINDS.iter().position(|&kind| kind == "redo record, well-formed").expect("the kind") as u8;
        let patch = Patch { kind, object: file as u16, field: 1, value, ..Patch::default() };
        let input = Input { image: 0, mount: MountMode::Plain, patches: vec![patch], ops: Vec::new() };
        let (report, after) = run_to_image(&input.encode());
        assert!(report.unmounted, "{report:?}");
        assert_eq!(word(&after, at), value);
    }
}
