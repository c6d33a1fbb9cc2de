//! Recovery beyond crashes of ours: other systems' crashes, damage that no crash explains, and what a look
//! through an image costs.

use crate::common;
use crate::common::layout::{Layout, SUPERBLOCK};
use crate::common::snapshot::Snapshot;
use crate::common::{
    BLOCK, Image, Machine, Scratch, at, create, mkdir, mount, mount_read_only, pattern, read_all, unlink,
    write,
};
use fs::ext::features::ReadOnlyReason;
use fs::pmem::Pmem;
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::FileSystem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const S_MTIME: usize = SUPERBLOCK as usize + 0x2c;
const S_STATE: usize = SUPERBLOCK as usize + 0x3a;
const I_LINKS: u64 = 26;
const I_BLOCK: u64 = 40;

fn machine(image: &[u8]) -> Machine {
    Machine::new(Ram::from_bytes(image))
}

/// An image whose power went: it holds `f` with three blocks, `g` with one, and `d/h`; and where what is.
fn crashed() -> (Vec<u8>, Layout, [u64; 3]) {
    let image = Image::new(256);
    let machine = image.machine();
    let fs = mount(machine.clone());
    write(&*create(&fs, "f"), 0, &pattern(1, 3 * BLOCK as usize));
    write(&*create(&fs, "g"), 0, &pattern(2, 100));
    drop(mkdir(&fs, "d"));
    drop(create(&fs, "d/h"));
    let inos = ["f", "g", "d"].map(|path| at(&fs, path).ino());
    let bytes = machine.ram.to_bytes();
    (bytes.clone(), Layout::of(&bytes), inos)
}

/// Another system mounted `bytes` since, and the power went again.
fn of_another_system(bytes: &mut [u8]) {
    bytes[S_MTIME] ^= 1;
}

fn put(bytes: &mut [u8], at: u64, new: &[u8]) {
    bytes[at as usize..at as usize + new.len()].copy_from_slice(new);
}

/// Takes the entry for inode `ino` out of the directory block at `block`.
fn forget_name(bytes: &mut [u8], block: u64, ino: u64) {
    let entry = (0..BLOCK).step_by(4).find(|within| {
        let entry = &bytes[(block * BLOCK + within) as usize..];
        entry[..4] == (ino as u32).to_le_bytes() && entry[6] < 5 && (entry[7] == 1 || entry[7] == 2)
    });
    put(bytes, block * BLOCK + entry.expect("the entry"), &[0; 4]);
}

fn root_block(bytes: &[u8], layout: &Layout) -> u64 {
    u64::from(common::layout::u32_at(bytes, layout.inode(bytes, 2) + I_BLOCK))
}

fn expect_e2fsck_clean(machine: &Machine) {
    let image = Image::new(256);
    image.store(machine);
    image.expect_clean();
}

#[test]
fn ours_without_a_name_are_freed_anothers_get_one_in_lost_and_found() {
    let (bytes, layout, [f, g, _]) = crashed();
    for (ours, remove) in [(true, false), (false, false), (false, true)] {
        let mut bytes = bytes.clone();
        let root = root_block(&bytes, &layout);
        forget_name(&mut bytes, root, f);
        forget_name(&mut bytes, root, g);
        if remove {
            // `lost+found`, inode 11, is not there either.
            let links = layout.inode(&bytes, 11) + I_LINKS;
            put(&mut bytes, links, &[0; 2]);
            forget_lost_and_found(&mut bytes, root, &layout);
        }
        if !ours {
            of_another_system(&mut bytes);
        }
        let machine = machine(&bytes);
        let fs = mount(machine.clone());
        let recovered = *fs.recovered().unwrap_or_else(|| panic!("{:?}", fs.read_only_reason()));
        assert_eq!(recovered.ours, ours);
        if ours {
            assert_eq!((recovered.inodes, recovered.blocks, recovered.adopted), (2, 4, 0), "{recovered}");
        } else {
            assert_eq!(recovered.adopted, 2, "{recovered}");
            assert_eq!(read_all(&*at(&fs, &format!("lost+found/#{f}"))), pattern(1, 3 * BLOCK as usize));
            assert_eq!(read_all(&*at(&fs, &format!("lost+found/#{g}"))), pattern(2, 100));
        }
        fs.unmount().expect("unmount");
        drop(fs);
        expect_e2fsck_clean(&machine);
    }
}

/// Removes `lost+found` as rmdir would, its link in the root included.
fn forget_lost_and_found(bytes: &mut [u8], root: u64, layout: &Layout) {
    let start = (root * BLOCK) as usize;
    let within = bytes[start..start + BLOCK as usize].windows(10).position(|name| name == b"lost+found");
    let within = within.expect("the name") - 8;
    bytes[start + within..start + within + 4].fill(0);
    let links = layout.inode(bytes, 2) + I_LINKS;
    bytes[links as usize] -= 1;
}

#[test]
fn damage_that_no_crash_explains_is_left_alone() {
    let (sound, layout, [f, g, d]) = crashed();
    let pointer = |ino, slot| layout.pointer(&sound, ino, slot);
    let block_of = |ino| sound[pointer(ino, 0) as usize..pointer(ino, 0) as usize + 4].to_vec();
    let (bit, mask) = layout.block_bit(&sound, u64::from(common::layout::u32_at(&sound, pointer(f, 1))));
    let root = root_block(&sound, &layout);
    let d_block = u64::from(common::layout::u32_at(&sound, pointer(d, 0)));
    let cases: [(&str, u64, Vec<u8>); 9] = [
        ("a block of two files", pointer(f, 1), block_of(g)),
        ("a pointer out of range", pointer(f, 2), vec![0xff; 4]),
        ("a pointer into the inode table", pointer(f, 2), vec![4, 0, 0, 0]),
        ("a block in use that is marked free", bit, vec![sound[bit as usize] & !mask]),
        ("fewer links than names", layout.inode(&sound, d) + I_LINKS, vec![1, 0]),
        ("no kind", layout.inode(&sound, g) + 1, vec![0]),
        ("a hole in a directory", pointer(d, 0), vec![0; 4]),
        ("`..` leads elsewhere", d_block * BLOCK + 12, vec![d as u8, 0, 0, 0]),
        ("rec_len of 2", root * BLOCK + 4, vec![2, 0]),
    ];
    for (what, place, new) in cases {
        let mut bytes = sound.clone();
        put(&mut bytes, place, &new);
        let machine = machine(&bytes);
        let outcome = common::try_mount(machine.clone());
        if let Ok(fs) = outcome {
            let reason = fs.read_only_reason();
            assert!(matches!(reason, Some(ReadOnlyReason::Damaged(_))), "{what}: {:?}", fs.recovered());
            assert!(reason.is_some_and(|reason| reason.to_string().ends_with("run e2fsck on the image")));
            assert!(fs.read_only() && fs.met_errors() && fs.recovered().is_none(), "{what}");
            fs.unmount().expect("unmount");
        }
        assert!(machine.ram.to_bytes() == bytes, "{what}: something was changed");
    }
}

#[test]
fn a_directory_with_entries_is_never_freed() {
    let (mut bytes, layout, [.., d]) = crashed();
    let root = root_block(&bytes, &layout);
    forget_name(&mut bytes, root, d);
    let links = layout.inode(&bytes, 2) + I_LINKS;
    bytes[links as usize] -= 1;
    let fs = mount(machine(&bytes));
    assert!(matches!(fs.read_only_reason(), Some(ReadOnlyReason::Damaged(_))), "{:?}", fs.recovered());
}

#[test]
fn a_read_only_mount_of_an_unclean_image_changes_nothing() {
    let (bytes, ..) = crashed();
    let machine = machine(&bytes);
    let fs = mount_read_only(machine.clone());
    assert!(!fs.was_clean() && fs.recovered().is_none());
    assert_eq!(read_all(&*at(&fs, "g")), pattern(2, 100));
    fs.unmount().expect("unmount");
    assert!(machine.ram.to_bytes() == bytes);
}

#[test]
fn noted_errors_are_looked_into_and_forgotten_if_there_are_none() {
    let image = Image::new(256);
    let mut bytes = image.bytes();
    bytes[S_STATE] = 3;
    let machine = machine(&bytes);
    let fs = mount(machine.clone());
    assert!(fs.recovered().is_some_and(|recovered| recovered.is_nothing()));
    fs.unmount().expect("unmount");
    drop(fs);
    assert_eq!(machine.ram.to_bytes()[S_STATE], 1);
    expect_e2fsck_clean(&machine);
}

#[test]
fn every_format_is_sound_to_the_scan() {
    let formats: [&[&str]; 9] = [
        &["-r", "0"],
        &["-b", "1024"],
        &["-b", "2048", "-I", "128"],
        &["-O", "^resize_inode,^sparse_super"],
        &["-O", "sparse_super2,^resize_inode"],
        &["-O", "has_journal", "-J", "size=4"],
        &["-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "1024"],
        &["-O", "^filetype"],
        &["-N", "5000", "-g", "4096"],
    ];
    for options in formats {
        let image = Image::with(Scratch::new(), 8192, options);
        let machine = image.machine();
        let fs = mount(machine.clone());
        write(&*create(&fs, "f"), 300 * BLOCK, &pattern(1, 9000));
        drop(mkdir(&fs, "d"));
        drop(at(&fs, "d").symlink(b"s", &[b'y'; 100]).expect("symlink"));
        unlink(&fs, "f").expect("unlink");
        let want = Snapshot::of(&fs).expect("sound");
        let (machine, fs) = {
            let again = Machine::new(Ram::from_bytes(&machine.ram.to_bytes()));
            (again.clone(), mount(again))
        };
        let recovered = fs.recovered().unwrap_or_else(|| panic!("{options:?}: {:?}", fs.read_only_reason()));
        assert!(recovered.is_nothing(), "{options:?}: {recovered}");
        assert!(Snapshot::of(&fs).expect("sound") == want, "{options:?}");
        fs.unmount().expect("unmount");
        drop(fs);
        image.store(&machine);
        image.expect_clean();
    }
}

#[test]
fn a_look_through_an_image_costs_its_groups_and_what_is_in_use() {
    let loads = Arc::new(AtomicU64::new(0));
    let mut costs = Vec::new();
    // 64 groups of 2,048 blocks each; 16 as many.
    for blocks in [64 * 2048, 16 * 2048] {
        let image = Image::with(Scratch::new(), blocks, &["-g", "2048", "-N", "65536"]);
        let mut bytes = image.bytes();
        bytes[S_STATE] = 0;
        let counter = loads.clone();
        let rig = Machine::new(Ram::watched(&bytes, move |_, touch| {
            if matches!(touch, RamAccess::Load(_)) {
                counter.fetch_add(1, SeqCst);
            }
        }));
        loads.store(0, SeqCst);
        let fs = mount(rig.clone());
        assert!(fs.recovered().is_some_and(|recovered| recovered.is_nothing()), "{:?}", fs.recovered());
        assert!(rig.ram.len() > 0);
        costs.push(loads.load(SeqCst));
    }
    let [large, small] = costs[..] else { unreachable!("two images") };
    println!("{large} loads for 64 groups, {small} for 16");
    // 1,024 inodes and 2,048 blocks a group: reading each would be thousands more.
    assert!(large - small < 48 * 1000, "{large} loads for 64 groups, {small} for 16");
}
