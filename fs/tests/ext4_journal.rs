//! What a mount does about the journal that a crash left, on ext3 and ext4: Linux wrote it, and was cut off.
//!
//! This takes root and loop devices: `cargo test -p fs ext4_journal:: -- --ignored`

use crate::common::crash::hash;
use crate::common::ext4::images::{FORMATS, recovered_by_linux};
use crate::common::linux::LinuxMount;
use crate::common::tape::Tape;
use crate::common::tree::{Tree, expect_equal, tree_of, tree_of_linux};
use crate::common::{Image, Machine, Scratch, pattern};
use fs::pmem::ram::Ram;
use fs::registry;
use fs::vfs::MountOptions;
use std::collections::HashSet;
use std::fs::{File, create_dir, remove_file, rename, write};
use tests::image::tool;

/// Where the superblock has its incompatible features, and behind them those that forbid writing.
const INCOMPAT: usize = 1024 + 0x60;
const RO_COMPAT: usize = INCOMPAT + 4;
const NEEDS_RECOVERY: u32 = 4;

fn incompat(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[INCOMPAT..INCOMPAT + 4].try_into().expect("four bytes"))
}

/// Mounts what is in `machine` and returns what is seen there.
fn seen(machine: &Machine) -> Result<Tree, String> {
    let fs = registry::mount(machine.clone(), MountOptions::default()).map_err(|error| error.to_string())?;
    let tree = tree_of(&*fs);
    fs.unmount().map_err(|error| error.to_string())?;
    Ok(tree)
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_linux_was_cut_off_from_is_replayed_and_handed_back() {
    let formats = ["Debian's defaults", "upstream's defaults", "1 KiB", "ext3"];
    for format in FORMATS.iter().filter(|format| formats.contains(&format.name)) {
        let (image, what) = (format.cut_off(), format.name);
        let linux = tree_of_linux(&recovered_by_linux(&image));
        let machine = image.machine();
        assert_ne!(incompat(&image.bytes()) & NEEDS_RECOVERY, 0, "{what}: Linux was cut off");
        let fs = registry::mount(machine.clone(), MountOptions::default())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut notes = String::new();
        fs.mount_notes(&mut |note| notes += &format!("{note}\n"));
        assert!(notes.contains("the journal was replayed: transactions "), "{what}: {notes}");
        expect_equal(&tree_of(&*fs), &linux, what);
        fs.unmount().unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(fs);
        // Whoever comes next has nothing to replay, and finds the same.
        image.store_bytes(&machine.ram.to_bytes());
        assert_eq!(incompat(&image.bytes()) & NEEDS_RECOVERY, 0, "{what}: it is replayed");
        if what == "ext3" {
            // It was mounted for writing, and unmounted: nothing is left to be said.
            image.judge().unwrap_or_else(|why| panic!("{what}: {why}"));
        } else {
            let checked = tool("e2fsck").arg("-fp").arg(image.path()).output().expect("e2fsck");
            assert!(matches!(checked.status.code(), Some(0 | 1)), "{what}: {checked:?}");
        }
        expect_equal(&tree_of_linux(&image), &linux, what);
    }
}

/// A small image that Linux was cut off from, with transactions that are not at home yet.
fn small(kind: &'static str) -> Image {
    let image = Image::of_type(kind, Scratch::new(), 3072, &[]);
    let mount = LinuxMount::new(&image, "rw").unwrap_or_else(|why| panic!("mount: {why}"));
    let root = mount.root();
    create_dir(root.join("dir")).expect("room");
    for number in 0..20 {
        write(root.join(format!("dir/file {number}")), pattern(number, 3000)).expect("room");
    }
    let sync = || File::open(root).and_then(|root| root.sync_all()).expect("sync");
    sync();
    for number in 0..10 {
        rename(root.join(format!("dir/file {number}")), root.join(format!("moved {number}"))).expect("there");
        remove_file(root.join(format!("dir/file {}", number + 10))).expect("there");
    }
    sync();
    mount.shut_down(true);
    mount.unmount();
    image
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_crash_during_the_replay_is_recovered_from_by_the_next_mount() {
    for kind in ["ext4", "ext3"] {
        let image = small(kind);
        let (tape, machine) = Tape::record(&image.bytes());
        let options = MountOptions::default();
        let fs = registry::mount(machine.clone(), options).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let expected = tree_of(&*fs);
        drop(fs);
        let (mut images, mut torn) = (HashSet::new(), 0);
        tape.crashes_at(0..usize::MAX, 4, 1, |moment, how, bytes| {
            let bytes = bytes();
            if !images.insert(hash(&bytes)) {
                return;
            }
            torn += u32::from(incompat(&bytes) & NEEDS_RECOVERY != 0);
            let machine = Machine::new(Ram::from_bytes(&bytes));
            let found = seen(&machine).unwrap_or_else(|why| panic!("{kind}, {moment:?}, {how}: {why}"));
            assert!(found == expected, "{kind}, {moment:?}, {how}: another tree");
            let left = machine.ram.to_bytes();
            assert_eq!(incompat(&left) & NEEDS_RECOVERY, 0, "{kind}, {moment:?}, {how}: it is replayed");
            assert!(
                left[RO_COMPAT..RO_COMPAT + 4] == image.bytes()[RO_COMPAT..RO_COMPAT + 4],
                "{kind}, {moment:?}, {how}: checksums were lost"
            );
        });
        assert!(images.len() > 50 && torn > 20, "{kind}: {} images, {torn} to be replayed", images.len());
    }
}
