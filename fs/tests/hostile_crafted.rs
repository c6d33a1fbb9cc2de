//! Images that someone made with care: every structure is well-formed, and together they are a trap.

use crate::common;
use crate::common::hostile::{Case, block_of, inode_of, run, sound_image};
use crate::common::layout::{DESCRIPTORS, Layout};
use crate::common::{BLOCK, Machine, View, mount};
use fs::pmem::ram::Ram;
use fs::vfs::{FileKind, FileSystem};

/// Damage that makes slot `slot` of inode `ino` lead to a table whose pointers all lead to a table, and so
/// on, `depth` tables in all, down to `bottom`; the file then claims to have `size` bytes.
fn tree_of_one(ino: u64, slot: u64, depth: u64, bottom: u64, size: u64) -> Vec<(u64, Vec<u8>)> {
    let image = sound_image();
    let layout = Layout::of(image);
    // The last blocks are free.
    let table = |level: u64| (layout.blocks - 1 - level) as u32;
    let inode = layout.inode(image, ino);
    let mut damage = vec![
        (layout.pointer(image, ino, slot), table(depth - 1).to_le_bytes().to_vec()),
        (inode + 4, (size as u32).to_le_bytes().to_vec()),
        (inode + 108, ((size >> 32) as u32).to_le_bytes().to_vec()),
    ];
    for level in 0..depth {
        let below = if level == 0 { bottom as u32 } else { table(level - 1) };
        damage.push((u64::from(table(level)) * BLOCK, below.to_le_bytes().repeat(1024)));
    }
    damage
}

#[test]
fn a_block_map_in_which_everything_is_shared() {
    let data = block_of(inode_of("dir/file"), 0);
    let long = inode_of("long");
    run([0, data, 1].into_iter().flat_map(|bottom| {
        (1..=3).map(move |depth| Case {
            name: format!("{depth} tables that lead to {bottom} only"),
            damage: tree_of_one(long, 11 + depth, depth, bottom, 1 << 40),
        })
    }));
}

#[test]
fn a_directory_larger_than_the_file_system() {
    let dir = inode_of("dir");
    let block = block_of(dir, 0);
    run((1..=2).map(|depth| Case {
        name: format!("a directory of 2 GiB, {depth} tables of one block"),
        damage: tree_of_one(dir, 11 + depth, depth, block, 0x7FFF_F000),
    }));
}

#[test]
fn a_file_cannot_write_into_the_file_systems_own_blocks() {
    let image = sound_image();
    let layout = Layout::of(image);
    let descriptor = |field| u64::from(common::layout::u32_at(image, DESCRIPTORS + field));
    // Block 0 is no case: a pointer of 0 is a hole.
    let own = [1, descriptor(0), descriptor(4), descriptor(8), descriptor(8) + 1];
    let mut written = Vec::new();
    for block in own {
        let mut bytes = image.to_vec();
        let at = layout.pointer(image, inode_of("long"), 3) as usize;
        bytes[at..at + 4].copy_from_slice(&(block as u32).to_le_bytes());
        let machine = Machine::new(Ram::from_bytes(&bytes));
        let fs = mount(machine.clone());
        let file = common::at(&fs, "long");
        let copied = file.write_at(3 * BLOCK + 2048, &[0xDB; 512]).is_ok();
        let stored = View::new(&file, 0..9).store(3 * BLOCK + 3072, &[0xDB; 512]).is_ok();
        if copied || stored {
            written.push((block, copied, stored));
        }
    }
    assert!(written.is_empty(), "block, by copying, by a mapping: {written:?}");
}

#[test]
fn a_bitmap_that_offers_the_file_systems_own_blocks_is_not_believed() {
    let image = sound_image();
    let layout = Layout::of(image);
    let (bitmap, _) = layout.block_bit(image, 0);
    // The root's block is the first that is not the file system's own.
    let first_data = block_of(2, 0);
    let mut bytes = image.to_vec();
    bytes[bitmap as usize..][..first_data as usize / 8].fill(0);
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let fs = mount(machine.clone());
    let mut pages = Vec::new();
    if let Ok(file) = fs.root().and_then(|root| root.create(b"new", FileKind::File, 0o644)) {
        for page in 0..40 {
            let _ = file.write_at(page * BLOCK, &[0xDB; BLOCK as usize]);
        }
        pages = common::extents(&*file).into_iter().filter_map(|run| run.place()).collect();
    }
    assert!(pages.iter().all(|&place| place >= first_data * BLOCK), "given away: {pages:?}");
    let table = layout.inode(image, 1) as usize;
    let now = machine.ram.to_bytes();
    assert!(now[table..table + 128] == bytes[table..table + 128], "the inode table was overwritten");
}

#[test]
fn an_entry_that_reaches_into_the_next_block_brings_no_store_there() {
    let image = sound_image();
    let start = block_of(inode_of("dir"), 0) * BLOCK;
    let rec_len = |bytes: &[u8], at: u64| u64::from(common::layout::u32_at(bytes, at + 4) & 0xFFFF);
    let mut last = start;
    while last + rec_len(image, last) < start + BLOCK {
        last += rec_len(image, last);
    }
    let mut bytes = image.to_vec();
    let reaching = (rec_len(image, last) + 1024) as u16;
    bytes[last as usize + 4..][..2].copy_from_slice(&reaching.to_le_bytes());
    let machine = Machine::new(Ram::from_bytes(&bytes));
    let fs = mount(machine.clone());
    let dir = common::at(&fs, "dir");
    for number in 0..40 {
        let _ = dir.create(format!("{number:0200}").as_bytes(), FileKind::File, 0o644);
    }
    let (now, next) = (machine.ram.to_bytes(), (start + BLOCK) as usize);
    assert!(now[next..next + 1024] == bytes[next..next + 1024], "the block after the directory's changed");
}
