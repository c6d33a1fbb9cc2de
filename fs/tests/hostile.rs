//! Damaged images get an answer: no panic, no endless loop, no giant allocation, and a refused image keeps
//! every bit.
//!
//! Every case is a change of a few bytes of one sound image, made in the places that steer a file system; all
//! of them are the same in every run. Loops are found by counting accesses to the memory, not by a clock.

use crate::common;
use crate::common::hostile::{Case, block_of, inode_of, run, run_cut, sound_image};
use crate::common::layout::{DESCRIPTORS, I_BLOCK, Layout, SUPERBLOCK};
use crate::common::{BLOCK, Rng};
use fuzz_exec::meter::largest_allocation;

/// The image is 1 MiB: nobody who checks what it says needs more than this at once.
const LARGEST_ALLOCATION: usize = 8 << 20;

fn run_all(cases: impl Iterator<Item = Case>) {
    let (largest, _) = largest_allocation(|| run(cases));
    assert!(largest <= LARGEST_ALLOCATION, "{largest} bytes were allocated at once");
}

/// Each byte of `len` bytes from `start` on, set to several values.
fn bytes(what: &'static str, start: u64, len: u64) -> impl Iterator<Item = Case> {
    (start..start + len).flat_map(move |offset| {
        let old = sound_image()[offset as usize];
        let mut values = vec![0, 0xFF, old ^ 0x80, old.wrapping_add(1), old ^ 0x10];
        values.sort_unstable();
        values.dedup();
        values.into_iter().filter(move |&new| new != old).map(move |new| Case {
            name: format!("{what}: byte {} set from {old:#x} to {new:#x}", offset - start),
            damage: vec![(offset, vec![new])],
        })
    })
}

/// Each number of 32 bits in `len` bytes from `start` on, set to values that are edges of something.
fn words(what: &'static str, start: u64, len: u64) -> impl Iterator<Item = Case> {
    let blocks = Layout::of(sound_image()).blocks as u32;
    let edges = [1, 2, blocks - 1, blocks, 0x8000_0000, u32::MAX];
    (start..start + len).step_by(4).flat_map(move |offset| {
        edges.into_iter().map(move |new| Case {
            name: format!("{what}: word {} set to {new:#x}", offset - start),
            damage: vec![(offset, new.to_le_bytes().into())],
        })
    })
}

#[test]
fn every_byte_of_the_superblock() {
    // Up to s_mkfs_time and what follows for ext3; the rest of the 1024 bytes belongs to ext4's features.
    run_all(bytes("superblock", SUPERBLOCK, 0x110));
    run_all(words("superblock", SUPERBLOCK, 0x110));
    run_all(bytes("superblock", SUPERBLOCK + 0x110, 1024 - 0x110).step_by(2));
}

#[test]
fn every_byte_of_the_group_descriptors() {
    // The second descriptor of an image with one group is nobody's.
    run_all(bytes("descriptors", DESCRIPTORS, 64));
    run_all(words("descriptors", DESCRIPTORS, 64));
}

#[test]
fn every_byte_of_inodes_of_each_kind() {
    let image = sound_image();
    for path in ["/", "dir", "long", "sparse", "fast", "slow", "many"] {
        let name: &'static str = format!("inode of {path}").leak();
        let at = Layout::of(image).inode(image, inode_of(path));
        run_all(bytes(name, at, 128));
        run_all(words(name, at + I_BLOCK, 60));
        run_all(words(name, at, 40));
    }
}

#[test]
fn pointers_of_indirect_blocks() {
    for (path, slot) in [("long", 12), ("sparse", 12), ("sparse", 13), ("sparse", 14)] {
        let block = block_of(inode_of(path), slot);
        let inner = u64::from(common::layout::u32_at(sound_image(), block * BLOCK));
        for block in [block, inner] {
            let name: &'static str = format!("block {block}, pointers of {path}").leak();
            run_all(words(name, block * BLOCK, 48));
            run_all(words(name, (block + 1) * BLOCK - 8, 8));
            // All pointers lead to the block itself, or to one and the same block of another file.
            let own = [block, block_of(inode_of("dir/file"), 0), 1];
            run_all(own.into_iter().map(|target| Case {
                name: format!("{name}: all lead to {target}"),
                damage: vec![(block * BLOCK, (target as u32).to_le_bytes().repeat(1024))],
            }));
        }
    }
}

#[test]
fn entries_of_directories() {
    for path in ["/", "dir", "many"] {
        let name: &'static str = format!("directory {path}").leak();
        let at = block_of(inode_of(path), 0) * BLOCK;
        run_all(bytes(name, at, 160));
        run_all(words(name, at, 160));
        // Entries that circle: a name that leads back up, or to its own directory.
        run_all((0..40).map(|word| Case {
            name: format!("{name}: word {word} leads to the root"),
            damage: vec![(at + word * 4, 2u32.to_le_bytes().into())],
        }));
    }
}

#[test]
fn bitmaps_that_lie() {
    let image = sound_image();
    let block_bitmap = u64::from(common::layout::u32_at(image, DESCRIPTORS)) * BLOCK;
    let inode_bitmap = u64::from(common::layout::u32_at(image, DESCRIPTORS + 4)) * BLOCK;
    for (name, at) in [("block bitmap", block_bitmap), ("inode bitmap", inode_bitmap)] {
        run_all(bytes(name, at, 36));
        run_all([0x00, 0xFF, 0x55].into_iter().map(|value| Case {
            name: format!("{name}: full of {value:#x}"),
            damage: vec![(at, vec![value; BLOCK as usize])],
        }));
    }
}

#[test]
fn images_cut_short() {
    let full = sound_image().len() as u64;
    let lengths =
        (0..full).step_by(4096).chain([8, 512, 1016, 1024, 1032, 2040, 4088, 8200, full - 8, full - 4]);
    let bad: Vec<String> = lengths.filter_map(run_cut).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn random_garbage() {
    let full = sound_image().len() as u64;
    // Blocks of garbage where the structures are (they come first), and bits that flipped anywhere among
    // them.
    run_all((0..400).map(|seed| {
        let mut rng = Rng::new(seed);
        let mut damage = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let mut block = vec![0; BLOCK as usize];
            rng.fill(&mut block);
            let places = if rng.one_in(2) { 10 } else { full / BLOCK };
            // Not over the superblock: that would only test its magic number.
            damage.push((rng.below(places - 1) * BLOCK + BLOCK, block));
        }
        Case { name: format!("garbage, seed {seed}"), damage }
    }));
    run_all((0..2000).map(|seed| {
        let mut rng = Rng::new(seed);
        let flips = 1 + rng.below(30);
        let damage = (0..flips).map(|_| {
            let offset = 1024 + rng.below(full / 4);
            (offset, vec![sound_image()[offset as usize] ^ (1 << rng.below(8))])
        });
        Case { name: format!("flipped bits, seed {seed}"), damage: damage.collect() }
    }));
}

#[test]
fn on_the_sound_image_nearly_everything_works() {
    // If what is tried did not work on a sound image, trying it on damaged ones would be worth little.
    let tally = run(std::iter::once(Case { name: "sound".into(), damage: Vec::new() }));
    assert!(tally.mounted == 1 && tally.worked > 400, "{tally:?}");
}
