//! ext4 images that someone made with care: each structure is well-formed, and together they are a trap.
//! Without checksums, or with the right ones.

use crate::common::ext4_disk::{Disk, FORMATS};
use crate::common::ext4_looks::{look, mount, sights};
use crate::common::{Machine, at, names, read_all};
use fs::ext4::Ext4;
use fs::pmem::ram::Ram;
use fs::vfs::{FileSystem, Inode, Seek, path};
use fs::{Error, Result};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

type Damage = Vec<(u64, Vec<u8>)>;

/// The image of format `number`.
fn disk(number: usize) -> &'static Disk {
    static DISKS: [OnceLock<Disk>; 4] = [const { OnceLock::new() }; 4];
    DISKS[number].get_or_init(|| Disk::of(FORMATS[number].image()))
}

/// Blocks of 4 KiB, extents, content in inodes, and no checksums.
fn plain() -> &'static Disk {
    disk(1)
}

fn machine(disk: &Disk, damage: &Damage) -> Machine {
    let machine = Machine::new(Ram::from_bytes(&disk.bytes));
    damage.iter().for_each(|(at, bytes)| machine.ram.poke(*at, bytes));
    machine
}

fn mounted(disk: &Disk, damage: &Damage) -> Arc<Ext4<Machine>> {
    mount(&machine(disk, damage)).unwrap_or_else(|error| panic!("{error}"))
}

fn ino(disk: &Disk, path: &str) -> u64 {
    let fs = mounted(disk, &Damage::new());
    let found = path::resolve_no_follow(&fs.root().expect("root"), path.as_bytes());
    found.unwrap_or_else(|error| panic!("{path}: {error}")).ino()
}

/// The last blocks are free.
fn free_block(disk: &Disk, number: u64) -> u64 {
    let block = disk.bytes.len() as u64 / disk.block - 1 - number;
    assert!(disk.bytes[(block * disk.block) as usize..].iter().all(|&byte| byte == 0));
    block
}

#[track_caller]
fn expect_corrupt<T>(name: &str, result: Result<T>, what: &str, index: u64, why: &str) {
    match result.map(drop) {
        Err(Error::Corrupt(told)) => {
            assert_eq!((told.what, told.index, told.why), (what, index, why), "{name}")
        }
        other => panic!("{name}: {other:?}, not {what} {index}: {why}"),
    }
}

/// The whole file in each way that there is.
fn read_whole(file: &dyn Inode<Machine>) -> Result<Vec<u8>> {
    file.seek(0, Seek::Hole)?;
    file.extents(0, &mut |_| ControlFlow::Continue(()))?;
    let (mut all, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match file.read_at(all.len() as u64, &mut piece)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&piece[..count]),
        }
    }
}

// -- Extents

fn leaf(lblk: u32, len: u16, start: u64) -> Vec<u8> {
    let mut bytes = lblk.to_le_bytes().to_vec();
    bytes.extend(len.to_le_bytes());
    bytes.extend(((start >> 32) as u16).to_le_bytes());
    bytes.extend((start as u32).to_le_bytes());
    bytes
}

fn index(lblk: u32, block: u64) -> Vec<u8> {
    let mut bytes = lblk.to_le_bytes().to_vec();
    bytes.extend((block as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn node(max: u16, depth: u16, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for half in [0xf30a, entries.len() as u16, max, depth, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(entries.concat());
    bytes
}

#[test]
fn extents_that_cannot_be_are_refused_by_the_name_of_their_node() {
    let disk = plain();
    let long = ino(disk, "long");
    let root = disk.inode(long) + 0x28;
    let own = disk.blocks(long).0[0];
    let blocks = disk.bytes.len() as u64 / disk.block;
    let (journal, table) = (disk.blocks(8).0[3], disk.inode(2) / disk.block);
    let (metadata, outside) =
        ("blocks that belong to the file system itself", "blocks outside of the file system");
    let beyond = "an extent reaches beyond where the next one begins";
    let unordered = "an entry begins where the next one does, or behind it";
    let cases = [
        ("overlap", node(4, 0, &[leaf(0, 8, own), leaf(4, 9, own + 20)]), beyond),
        ("backwards", node(4, 0, &[leaf(8, 1, own), leaf(0, 1, own + 1)]), beyond),
        ("twice", node(4, 0, &[leaf(0, 1, own), leaf(0, 1, own + 1)]), beyond),
        ("at the end of all", node(4, 0, &[leaf(0, 1, own), leaf(u32::MAX - 1, 2, own)]), beyond),
        ("inode table", node(4, 0, &[leaf(0, 13, table)]), metadata),
        ("descriptors", node(4, 0, &[leaf(0, 13, 1)]), metadata),
        ("superblock", node(4, 0, &[leaf(0, 13, 0)]), metadata),
        ("journal", node(4, 0, &[leaf(0, 13, journal)]), metadata),
        ("unwritten journal", node(4, 0, &[leaf(0, 0x8000 + 13, journal)]), metadata),
        ("beyond", node(4, 0, &[leaf(0, 13, blocks - 12)]), outside),
        ("48 bits", node(4, 0, &[leaf(0, 13, 0xffff_ffff_ffff)]), outside),
        ("no blocks", node(4, 0, &[leaf(0, 0, own)]), "an extent of no blocks"),
        ("depth 6", node(4, 6, &[index(0, own)]), "eh_depth is too large"),
        ("depth 65535", node(4, u16::MAX, &[index(0, own)]), "eh_depth is too large"),
        ("nothing below", node(4, 1, &[]), "levels below and no entries"),
        ("eh_max", node(340, 0, &[leaf(0, 13, own)]), "eh_max is not what there is room for"),
        ("node in the table", node(4, 1, &[index(0, table)]), metadata),
        ("node outside", node(4, 1, &[index(0, blocks)]), outside),
        ("nodes backwards", node(4, 1, &[index(9, own), index(0, own)]), unordered),
    ];
    for (name, i_block, why) in cases {
        let fs = mounted(disk, &vec![(root, i_block)]);
        expect_corrupt(name, read_whole(&*at(&fs, "long")), "extent root of inode", long, why);
        assert!(fs.met_errors() && !read_all(&*at(&fs, "dir/file")).is_empty(), "{name}");
    }
    let mut bytes = node(4, 0, &[leaf(0, 13, own)]);
    bytes[2] = 5;
    let fs = mounted(disk, &vec![(root, bytes)]);
    let why = "eh_entries is larger than eh_max";
    expect_corrupt("entries", read_whole(&*at(&fs, "long")), "extent root of inode", long, why);
}

#[test]
fn nodes_of_extents_that_lie_about_their_place_are_refused_and_circles_end() {
    let disk = plain();
    let long = ino(disk, "long");
    let root = disk.inode(long) + 0x28;
    let own = disk.blocks(long).0[0];
    let free = free_block(disk, 0);
    let below = |depth, entries: &[Vec<u8>]| node(340, depth, entries);
    let (depth, begin) =
        ("eh_depth does not agree with the node above", "it does not begin where the node above says");
    let beyond = "an extent reaches beyond where the next one begins";
    let cases = [
        ("circle", 1, below(1, &[index(0, free)]), depth),
        ("circle of five", 5, below(4, &[index(0, free)]), depth),
        ("too deep", 1, below(5, &[index(0, free)]), depth),
        ("a leaf where a node is", 2, below(0, &[leaf(0, 13, own)]), depth),
        ("elsewhere", 1, below(0, &[leaf(1, 12, own)]), begin),
        ("empty", 1, below(0, &[]), begin),
        ("overlap below", 1, below(0, &[leaf(0, 9, own), leaf(8, 1, own)]), beyond),
        ("eh_max", 1, node(341, 0, &[leaf(0, 13, own)]), "eh_max is not what there is room for"),
        ("content", 1, vec![0x55; 4096], "bad eh_magic"),
    ];
    for (name, levels, block, why) in cases {
        let damage = vec![(root, node(4, levels, &[index(0, free)])), (free * disk.block, block)];
        let fs = mounted(disk, &damage);
        expect_corrupt(name, read_whole(&*at(&fs, "long")), "extent block", free, why);
    }
    // One node twice: it begins where one of the two says.
    let twice = node(4, 1, &[index(0, free), index(8, free)]);
    let damage = vec![(root, twice), (free * disk.block, below(0, &[leaf(0, 8, own)]))];
    let fs = mounted(disk, &damage);
    expect_corrupt("twice", read_whole(&*at(&fs, "long")), "extent block", free, begin);
    let mut start = vec![0; 8 * 4096];
    assert_eq!(at(&fs, "long").read_at(0, &mut start), Ok(8 * 4096));
}

#[test]
fn a_size_that_no_file_has_is_refused_and_one_beyond_its_blocks_is_a_hole() {
    let disk = plain();
    let long = ino(disk, "long");
    let size = |low: u32, high: u32| {
        let at = disk.inode(long);
        vec![(at + 4, low.to_le_bytes().to_vec()), (at + 0x6c, high.to_le_bytes().to_vec())]
    };
    for (low, high) in [(0, u32::MAX), (0, 0x8000_0000), (0, 0x1000), (u32::MAX, 0x0fff)] {
        let fs = mounted(disk, &size(low, high));
        let found = fs.root().and_then(|root| root.lookup(b"long"));
        expect_corrupt("huge", found, "inode", long, "i_size is too large");
    }
    let fs = mounted(disk, &size(0xffff_f000, 0x0fff));
    let file = at(&fs, "long");
    let last = 0xfff_ffff_effe;
    assert_eq!(file.read_at(last, &mut [1; 9]), Ok(2));
    assert_eq!(file.seek(1 << 20, Seek::Hole), Ok(1 << 20));
    assert!(file.seek(1 << 20, Seek::Data).is_err());
    let mut count = 0;
    file.extents(0, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .expect("extents");
    assert!(count < 5 && !fs.met_errors(), "{count}");
}

#[test]
fn tables_of_pointers_that_lead_to_each_other_have_an_end() {
    let disk = disk(3);
    assert!(!FORMATS[3].has_checksums() && disk.block == 1024, "an inode is changed as it is");
    let (long, table) = (ino(disk, "long"), free_block(disk, 0));
    let (inode, pointer) = (disk.inode(long), (table as u32).to_le_bytes());
    // Three levels of tables, of which each is the same, up to the largest size.
    let damage = vec![
        (inode + 0x28 + 14 * 4, pointer.to_vec()),
        (inode + 0x6c, 3_u32.to_le_bytes().to_vec()),
        (table * disk.block, pointer.repeat(256)),
    ];
    let fs = mounted(disk, &damage);
    let file = at(&fs, "long");
    let listed = file.extents(0, &mut |_| ControlFlow::Continue(()));
    expect_corrupt("a circle", listed, "inode", long, "tables that lead to each other");
}

// -- Directories

/// Name `number` of those in `many`.
fn name(number: u32) -> Vec<u8> {
    format!("{number:0200}").into_bytes()
}

#[test]
fn an_index_that_cannot_be_is_named_and_hides_no_name() {
    let disk = plain();
    let many = ino(disk, "many");
    let (blocks, _) = disk.blocks(many);
    let root = blocks[0] * disk.block;
    let word = |at: u64, value: u32| (at, value.to_le_bytes().to_vec());
    let half = |at: u64, value: u16| (at, value.to_le_bytes().to_vec());
    let count = disk.u16(root + 0x22);
    assert!(count >= 3, "{count} blocks");
    let (out, unordered) = ("a node leads out of the directory", "a node's hashes are not in order");
    let (limit, counts) =
        ("a node's limit is not what there is room for", "a node's count is zero, or larger than its limit");
    let first = root + 0x24;
    let levels = |levels: u8| (root + 0x1e, vec![levels]);
    let no_node = "a node does not begin with an entry without a name";
    let names_only = "a node where names should be";
    // A node that leads to itself.
    let own = blocks[1] * disk.block;
    let mut circle = vec![0; 16];
    circle[4..6].copy_from_slice(&4096u16.to_le_bytes());
    // limit, count
    circle[8..12].copy_from_slice(&[0xff, 1, 1, 0]);
    circle[12] = 1;
    let cases: Vec<(&str, Damage, &str)> = vec![
        ("root", vec![word(first, 0)], out),
        ("beyond", vec![word(first, 1000)], out),
        ("no entries", vec![half(root + 0x22, 0)], counts),
        ("more than fit", vec![half(root + 0x22, 600)], counts),
        ("limit", vec![half(root + 0x20, 507)], limit),
        ("unordered", vec![word(root + 0x28, 0xffff_fff0)], unordered),
        ("levels", vec![levels(1)], no_node),
        ("more levels", vec![levels(2)], "indirect_levels is too large"),
        ("version", vec![(root + 0x1c, vec![9])], "a hash_version that is not known"),
        ("info_length", vec![(root + 0x1d, vec![7])], "bad info_length"),
        ("reserved", vec![word(root + 0x18, 1)], "its root's reserved bytes are not zero"),
    ];
    for (case, damage, why) in cases {
        let fs = mounted(disk, &damage);
        let dir = at(&fs, "many");
        expect_corrupt(case, dir.lookup(b"absent"), "index of directory", many, why);
        for number in 0..60 {
            assert!(dir.lookup(&name(number)).is_ok(), "{case}: {number}");
        }
        assert!(fs.met_errors() && names(&*dir).len() == 62, "{case}");
    }
    // A circle ends, and is no block of names.
    for depth in [0, 1] {
        let damage = vec![levels(depth), word(first, 1), half(root + 0x22, 1), (own, circle.clone())];
        let fs = mounted(disk, &damage);
        let result = at(&fs, "many").lookup(b"absent");
        expect_corrupt("circle", result, "index of directory", many, names_only);
    }
}

#[test]
fn a_directory_with_a_hole_or_nonsense_in_a_block_loses_that_block_alone() {
    let disk = plain();
    let many = ino(disk, "many");
    let (blocks, _) = disk.blocks(many);
    let size = disk.u32(disk.inode(many) + 4);
    let list = |damage: &Damage| {
        let fs = mounted(disk, damage);
        let (dir, mut count) = (at(&fs, "many"), 0);
        let result = dir.read_dir(0, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        (count, result)
    };
    let longer = |bytes: u64| vec![(disk.inode(many) + 4, ((size + bytes) as u32).to_le_bytes().to_vec())];
    let (count, result) = list(&longer(2 * 4096));
    assert_eq!((count, result), (62, Ok(())), "the index does not lead there");
    let (leaf, reaches) = (blocks[2] * disk.block, "rec_len reaches beyond the block");
    for (value, why) in [
        (0u16, "bad rec_len"),
        (3, "bad rec_len"),
        (8, "bad rec_len"),
        (210, "bad rec_len"),
        (12, "name_len does not fit into rec_len"),
        (4100, reaches),
        (4088, reaches),
        (0xffff, "bad rec_len"),
        (0xfffc, reaches),
    ] {
        let (count, result) = list(&vec![(leaf + 4, value.to_le_bytes().to_vec())]);
        expect_corrupt(&format!("{value}"), result, "directory", many, why);
        assert!((20..62).contains(&count), "{value}: {count}");
    }
    for bytes in [0u32, 1, 100, 4095, 0x8000_0000, 0xffff_f000] {
        let damage = vec![(disk.inode(many) + 4, bytes.to_le_bytes().to_vec())];
        let fs = mounted(disk, &damage);
        let result = fs.root().and_then(|root| root.lookup(b"many"));
        let why = if bytes > 1 << 30 { "i_size is too large" } else { "bad size of a directory" };
        expect_corrupt(&format!("{bytes}"), result, "inode", many, why);
    }
}

#[test]
fn names_of_inodes_that_nobody_may_name_lead_nowhere() {
    let disk = plain();
    let many = ino(disk, "many");
    let leaf = disk.blocks(many).0[1] * disk.block;
    let len = disk.bytes[leaf as usize + 6];
    let name = disk.bytes[leaf as usize + 8..][..len.into()].to_vec();
    for (number, why) in [
        (8u32, "a name leads to it, but it is reserved"),
        (7, "a name leads to it, but it is reserved"),
        (1, "a name leads to it, but it is reserved"),
        (127, "a name leads to it, but it is free"),
    ] {
        let fs = mounted(disk, &vec![(leaf, number.to_le_bytes().to_vec())]);
        let result = at(&fs, "many").lookup(&name);
        expect_corrupt("a name", result, "inode", number.into(), why);
    }
    let fs = mounted(disk, &vec![(leaf, 129u32.to_le_bytes().to_vec())]);
    let why = "an entry names an inode that cannot be";
    expect_corrupt("beyond", at(&fs, "many").lookup(&name), "directory", many, why);
}

// -- What is in inodes

#[test]
fn content_in_inodes_that_cannot_be_all_there_is_refused() {
    let disk = plain();
    let sized = |path: &str, size: u32| {
        let number = ino(disk, path);
        (number, vec![(disk.inode(number) + 4, size.to_le_bytes().to_vec())])
    };
    for size in [61, 200, 256] {
        let (number, damage) = sized("tiny", size);
        let fs = mounted(disk, &damage);
        let why = "its content is not all in it";
        expect_corrupt("tiny", read_whole(&*at(&fs, "tiny")), "inode", number, why);
    }
    let (number, damage) = sized("tiny", 257);
    let result = mounted(disk, &damage).root().and_then(|root| root.lookup(b"tiny"));
    expect_corrupt("more than an inode", result, "inode", number, "i_size is too large");
    for size in [0, 4, 10, 12, 56, 58, 62, 64, 68, 74] {
        let (number, damage) = sized("inline", size);
        let result = mounted(disk, &damage).root().and_then(|root| root.lookup(b"inline"));
        expect_corrupt(&format!("{size}"), result, "inode", number, "bad size of a directory");
    }
    for (path, flags, why) in [
        ("long", 0x1008_0000u32, "i_flags tell of extents and of content in the inode"),
        ("long", 0x0028_0000, "i_flags of a feature that the file system does not have"),
        ("long", 0x0008_0800, "i_flags of a feature that the file system does not have"),
        ("long", 0x0018_0000, "i_flags of a feature that the file system does not have"),
    ] {
        let number = ino(disk, path);
        let damage = vec![(disk.inode(number) + 0x20, flags.to_le_bytes().to_vec())];
        let result = mounted(disk, &damage).root().and_then(|root| root.lookup(path.as_bytes()));
        expect_corrupt(&format!("{flags:#x}"), result, "inode", number, why);
    }
    for extra in [1u16, 30, 132, 0xfffc] {
        let number = ino(disk, "long");
        let damage = vec![(disk.inode(number) + 0x80, extra.to_le_bytes().to_vec())];
        let result = mounted(disk, &damage).root().and_then(|root| root.lookup(b"long"));
        expect_corrupt(&format!("{extra}"), result, "inode", number, "bad i_extra_isize");
    }
    for (len, why) in [
        (0u32, "bad length of a symbolic link"),
        (10, "bad length of a symbolic link"),
        (30, "a NUL in the target of a symbolic link"),
        (4096, "bad length of a symbolic link"),
    ] {
        let (number, damage) = sized("fast", len);
        let fs = mounted(disk, &damage);
        let link = fs.root().and_then(|root| root.lookup(b"fast")).expect("the link");
        expect_corrupt(&format!("{len}"), link.read_link(), "inode", number, why);
    }
}

#[test]
fn a_value_in_an_inode_that_holds_none_is_refused() {
    let disk = disk(3);
    let long = ino(disk, "long");
    let block = disk.u32(disk.inode(long) + 0x68) * disk.block;
    let inode = disk.inode(long);
    let entry = (block + 32..block + 1000)
        .chain(inode + 0xa0..inode + 0xec)
        .step_by(4)
        .find(|&at| &disk.bytes[at as usize + 16..][..4] == b"huge")
        .expect("the entry");
    let dir = ino(disk, "many");
    let no_value = "it does not hold the attribute that leads to it";
    let holder = disk.u32(entry + 4);
    for number in [long, dir, 2, 8, 11] {
        let fs = mounted(disk, &vec![(entry + 4, (number as u32).to_le_bytes().to_vec())]);
        let file = at(&fs, "long");
        expect_corrupt("holder", file.xattr(b"user.huge"), "inode", number, no_value);
        assert!(file.xattr(b"user.large").is_ok() && file.list_xattrs().is_ok());
    }
    let fs = mounted(disk, &vec![(entry + 4, u32::MAX.to_le_bytes().to_vec())]);
    let result = at(&fs, "long").xattr(b"user.huge");
    expect_corrupt("beyond", result, "inode", u32::MAX.into(), "no such inode");
    // A value has a checksum, whether structures have or not.
    let content = disk.blocks(holder).0[0] * disk.block;
    let fs = mounted(disk, &vec![(content + 9, vec![disk.bytes[content as usize + 9] ^ 1])]);
    let result = at(&fs, "long").xattr(b"user.huge");
    expect_corrupt("content", result, "attribute value in inode", holder, "wrong checksum");
    for len in [0u32, 1 << 20, u32::MAX] {
        let fs = mounted(disk, &vec![(entry + 8, len.to_le_bytes().to_vec())]);
        expect_corrupt("size", at(&fs, "long").xattr(b"user.huge"), "inode", holder, no_value);
    }
}

// -- Superblock and groups

#[test]
fn descriptors_that_lead_to_the_file_systems_front_or_to_each_other_are_refused() {
    let disk = plain();
    let (front, table, last) =
        (1u32, disk.u32(disk.descriptor(0) + 8) as u32, disk.bytes.len() as u32 / 4096 - 1);
    for (field, value, why) in [
        (0, front, "the block bitmap is not where one can be"),
        (4, front, "the inode bitmap is not where one can be"),
        (8, front, "the inode table is not where one can be"),
        (8, last, "the inode table is not where one can be"),
        (8, u32::MAX, "the inode table is not where one can be"),
        (8, 0, "the inode table is not where one can be"),
        (0, table + 1, "bitmaps and inode table overlap"),
        (4, table, "bitmaps and inode table overlap"),
        (4, disk.u32(disk.descriptor(0)) as u32, "bitmaps and inode table overlap"),
    ] {
        let damage = vec![(disk.descriptor(0) + field, value.to_le_bytes().to_vec())];
        let result = mount(&machine(disk, &damage)).map(|fs| fs.root().map(drop));
        expect_corrupt(&format!("{field}: {value}"), result, "group descriptor", 0, why);
    }
}

#[test]
fn a_superblock_with_the_right_checksum_and_odd_numbers_is_refused_by_name() {
    let odd = |number: usize, changes: &[(u64, Vec<u8>)]| {
        let mut disk = Disk::of(disk(number).bytes.clone());
        changes
            .iter()
            .for_each(|(at, bytes)| disk.bytes[1024 + *at as usize..][..bytes.len()].copy_from_slice(bytes));
        let checksum = fs::crc32c::update(!0, &disk.bytes[1024..2044]);
        disk.bytes[2044..2048].copy_from_slice(&checksum.to_le_bytes());
        Machine::new(Ram::from_bytes(&disk.bytes))
    };
    let half = |at: u64, value: u16| vec![(at, value.to_le_bytes().to_vec())];
    let word = |at: u64, value: u32| vec![(at, value.to_le_bytes().to_vec())];
    for size in [0, 1, 31, 32, 48, 63, 65, 96, 2048, 4096, u16::MAX] {
        expect_corrupt(
            &format!("{size}"),
            mount(&odd(0, &half(0xfe, size))),
            "superblock",
            0,
            "bad s_desc_size",
        );
    }
    let inodes = disk(0).u32(1024);
    let no = "s_inodes_count does not agree with the groups";
    for count in [0, 1, inodes as u32 - 1, inodes as u32 + 1, 2 * inodes as u32, u32::MAX] {
        expect_corrupt(&format!("{count}"), mount(&odd(0, &word(0, count))), "superblock", 0, no);
    }
    // Clusters: whatever the exponent says, an answer.
    let ro_compat = disk(0).u32(1024 + 0x64) as u32;
    for log in 0..=u32::BITS {
        let mut changes = word(0x64, ro_compat | 0x200);
        changes.extend(word(0x1c, log));
        if let Ok(fs) = mount(&odd(0, &changes)) {
            fs.stat_fs();
            let _ = fs.root().map(|root| names(&*root));
        }
    }
    // Numbers of inodes and groups that are not there, or of others: what has a name is there.
    let sound = odd(0, &[]);
    let sights = sights(&sound);
    let (answers, _) = look(&sound, &sights).expect("sound");
    for number in [0, 2, 7, 11, 12, 127, 128, 129, u32::MAX] {
        // With another inode for the journal, other files' blocks may be taken for its own.
        let _ = look(&odd(0, &word(0xe0, number)), &sights);
        let (seen, _) = look(&odd(0, &word(0xe8, number)), &sights).expect("s_last_orphan");
        assert!(seen == answers, "{number}");
    }
    for first in [1, 2, 100, u32::MAX] {
        let machine = odd(3, &word(0x104, first));
        let _ = mount(&machine).map(|fs| fs.root().map(|root| names(&*root)));
    }
}

/// A tail that an entry swallows, under the right checksum.
#[test]
fn an_entry_that_reaches_over_the_checksum_of_its_block_is_refused() {
    let original = disk(0);
    let many = ino(original, "many");
    let block = original.blocks(many).0[1];
    let mut disk = Disk::of(original.bytes.clone());
    let start = (block * disk.block) as usize;
    let mut entry = start;
    while entry + disk.u16(entry as u64 + 4) as usize != start + 4084 {
        entry += disk.u16(entry as u64 + 4) as usize;
    }
    let rec_len = (disk.u16(entry as u64 + 4) + 12) as u16;
    disk.bytes[entry + 4..entry + 6].copy_from_slice(&rec_len.to_le_bytes());
    let generation = disk.u32(disk.inode(many) + 0x64) as u32;
    let mut crc = fs::crc32c::update(!0, &disk.bytes[1024 + 0x68..1024 + 0x78]);
    crc = fs::crc32c::update(crc, &(many as u32).to_le_bytes());
    crc = fs::crc32c::update(crc, &generation.to_le_bytes());
    crc = fs::crc32c::update(crc, &disk.bytes[start..start + 4084]);
    disk.bytes[start + 4092..start + 4096].copy_from_slice(&crc.to_le_bytes());
    let fs = mounted(&disk, &Damage::new());
    let result = at(&fs, "many").read_dir(0, &mut |_| ControlFlow::Continue(()));
    expect_corrupt("the tail", result, "directory", many, "rec_len reaches beyond the block");
}
