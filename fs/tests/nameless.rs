//! What has no name, or no end, and is not ours to free: from before our mount, or from another system's
//! crash; and the list of orphans, which goes with them.

use crate::common;
use crate::common::crash::{Recording, Step};
use crate::common::layout::{Layout, SUPERBLOCK, u32_at};
use crate::common::snapshot::Snapshot;
use crate::common::tape::Tape;
use crate::common::{
    BLOCK, Image, Machine, Scratch, at, create, mkdir, mount, mount_read_only, names, pattern, read_all,
    session, unlink, write,
};
use fs::platform::Timestamp;
use fs::pmem::ram::Ram;
use fs::vfs::{FileSystem, SetAttr};

const S_STATE: usize = SUPERBLOCK as usize + 0x3a;
const S_LAST_ORPHAN: u64 = SUPERBLOCK + 0xe8;
const I_DTIME: u64 = 0x14;

fn machine(image: &[u8]) -> Machine {
    Machine::new(Ram::from_bytes(image))
}

/// It was last changed long before any mount here.
fn make_old(inode: &fs::vfs::InodeRef<Machine>) {
    let long_ago = Some(Timestamp { secs: 1_700_000_000, nanos: 0 });
    inode.set_attr(&SetAttr { mtime: long_ago, ..SetAttr::default() }).expect("set_attr");
}

#[test]
fn what_had_no_name_before_our_mount_is_adopted_after_our_crash() {
    let image = Image::new(256);
    let inos = session(&image, |fs| {
        write(&*create(fs, "f"), 0, &pattern(1, 2 * BLOCK as usize));
        let link = fs.root().expect("root").symlink(b"s", &[b't'; 100]).expect("symlink");
        make_old(&at(fs, "f"));
        make_old(&link);
        // One from before 1970.
        let oldest = create(fs, "oldest");
        write(&*oldest, 0, &pattern(6, 100));
        let time = Some(Timestamp { secs: -5, nanos: 0 });
        oldest.set_attr(&SetAttr { mtime: time, ..SetAttr::default() }).expect("set_attr");
        [at(fs, "f").ino(), link.ino(), oldest.ino()]
    });
    // As the image says, it is sound: nobody looks.
    image.debugfs_write("unlink f");
    image.debugfs_write("unlink s");
    image.debugfs_write("unlink oldest");
    let before = image.machine();
    let fs = mount(before.clone());
    assert!(fs.was_clean() && fs.recovered().is_none());
    write(&*create(&fs, "ours"), 0, &pattern(2, 100));
    // The power goes.
    let after = machine(&before.ram.to_bytes());
    let fs = mount(after.clone());
    let recovered = *fs.recovered().expect("a repair");
    assert!(recovered.ours);
    assert_eq!((recovered.adopted, recovered.inodes, recovered.blocks), (3, 0, 0), "{recovered}");
    let found = |ino: u64| {
        let place = at(&fs, "lost+found").lookup(format!("#{ino}").as_bytes());
        place.unwrap_or_else(|error| panic!("#{ino}: {error}"))
    };
    assert_eq!(read_all(&*found(inos[0])), pattern(1, 2 * BLOCK as usize));
    assert_eq!(found(inos[1]).read_link(), Ok(vec![b't'; 100]));
    assert_eq!(read_all(&*found(inos[2])), pattern(6, 100));
    fs.unmount().expect("unmount");
    drop(fs);
    image.store(&after);
    image.expect_clean();
}

/// The last link of a file goes before its last name, each durably: without that order, a crash would show a
/// file of ours without a name but with a link, which is taken for one that was there before.
#[test]
fn the_fence_between_the_last_link_and_the_last_name_is_missed_when_it_is_left_out() {
    let image = Image::new(256);
    session(&image, |fs| {
        let file = create(fs, "file");
        write(&*file, 0, &pattern(1, 2 * BLOCK as usize));
        make_old(&file);
    });
    let unlinked: Step<'_> = ("unlink", Box::new(|fs| unlink(fs, "file").expect("unlink")));
    let recording = Recording::of(image, vec![unlinked]);
    recording.judge(&recording.tape, 0..usize::MAX, (3, 1), true).expect("every crash is repaired");
    let barriers = recording.tape.barriers();
    let first = barriers.iter().find(|barrier| barrier.flush.is_none()).expect("a fence");
    let mutant = recording.tape.without(first.at);
    let found = recording.judge(&mutant, 0..usize::MAX, (3, 1), false);
    assert!(found.is_err_and(|error| error.contains("lost+found")), "nobody misses it");
}

/// Two orphans to be freed and a file to be cut to 5,000 bytes, in a list, on an image that another system
/// left.
fn with_orphans(state: u8) -> (Image, Vec<u8>, [u64; 3]) {
    let image = Image::new(256);
    let inos = session(&image, |fs| {
        let files = ["one", "two", "cut"].map(|name| create(fs, name));
        files.iter().for_each(|file| write(&**file, 0, &pattern(file.ino(), 3 * BLOCK as usize)));
        drop(mkdir(fs, "other"));
        files.map(|file| file.ino())
    });
    let [one, two, cut] = inos;
    for (ino, next) in [(one, cut), (cut, two), (two, 0)] {
        image.debugfs_write(&format!("sif <{ino}> dtime @{next}"));
    }
    image.debugfs_write("unlink one");
    image.debugfs_write("unlink two");
    image.debugfs_write(&format!("sif <{one}> links_count 0"));
    image.debugfs_write(&format!("sif <{two}> links_count 0"));
    image.debugfs_write(&format!("sif <{cut}> size 5000"));
    image.debugfs_write(&format!("ssv last_orphan {one}"));
    image.debugfs_write("ssv mnt_count 7");
    let mut bytes = image.bytes();
    bytes[S_STATE] = state;
    (image, bytes, inos)
}

/// The inodes on the list of orphans of `image`.
fn orphans(image: &[u8]) -> Vec<u64> {
    let layout = Layout::of(image);
    let (mut list, mut next) = (Vec::new(), u64::from(u32_at(image, S_LAST_ORPHAN)));
    while next != 0 && list.len() < 10 {
        list.push(next);
        // What is no inode's number ends it.
        next = match u64::from(u32_at(image, layout.inode(image, next) + I_DTIME)) {
            next if next <= 1024 => next,
            other => panic!("the list leads to {other}"),
        };
    }
    list
}

#[test]
fn a_list_of_orphans_goes_with_its_inodes_on_a_clean_image_too() {
    for state in [1, 0] {
        let (image, bytes, [one, two, cut]) = with_orphans(state);
        assert_eq!(orphans(&bytes), [one, cut, two]);
        let machine = machine(&bytes);
        let fs = mount(machine.clone());
        let recovered = *fs.recovered().expect("a repair");
        assert_eq!((recovered.inodes, recovered.trimmed, recovered.grown), (2, 1, 0), "{recovered}");
        assert_eq!(read_all(&*at(&fs, "cut")), pattern(cut, 3 * BLOCK as usize)[..5000]);
        // Their numbers are other files' soon.
        let new: Vec<u64> = (0..4).map(|n| create(&fs, &format!("new{n}")).ino()).collect();
        assert!(new.contains(&one) && new.contains(&two), "{new:?}");
        let crashed = machine.ram.to_bytes();
        assert_eq!(orphans(&crashed), [0u64; 0]);
        fs.unmount().expect("unmount");
        drop(fs);
        image.store(&machine);
        image.expect_clean();
        let layout = Layout::of(&crashed);
        let dtime = |ino| u32_at(&crashed, layout.inode(&crashed, ino) + I_DTIME);
        assert_eq!((dtime(one), dtime(two), dtime(cut)), (0, 0, 0));
    }
}

#[test]
fn of_orphans_on_an_image_with_errors_the_list_is_forgotten_and_not_followed() {
    let (image, bytes, [.., cut]) = with_orphans(2);
    let machine = machine(&bytes);
    let fs = mount(machine.clone());
    let recovered = *fs.recovered().expect("a repair");
    // As e2fsck has it, which grows what it finds beyond the end then.
    assert_eq!((recovered.inodes, recovered.trimmed, recovered.grown), (2, 0, 1), "{recovered}");
    assert_eq!(read_all(&*at(&fs, "cut")), pattern(cut, 3 * BLOCK as usize));
    fs.unmount().expect("unmount");
    drop(fs);
    image.store(&machine);
    image.expect_clean();
    assert_eq!(orphans(&machine.ram.to_bytes()), [0u64; 0]);
}

/// What a crash of the repair on `tape` leaves: a list that leads to orphans only, as long as there is one.
fn check_orphans(tape: &Tape, whole: &[u64], want: &Snapshot) -> Result<usize, String> {
    let (mut count, mut failure) = (0, None);
    tape.crashes(2, |how, image| {
        if failure.is_some() {
            return;
        }
        count += 1;
        common::quiet(true);
        let (list, layout) = (std::panic::catch_unwind(|| orphans(&image)), Layout::of(&image));
        common::quiet(false);
        let list = list.unwrap_or_else(|_| vec![0]);
        let in_use = |ino: u64| {
            let bitmap = u64::from(u32_at(&image, common::layout::DESCRIPTORS + 4)) * BLOCK;
            image[(bitmap + (ino - 1) / 8) as usize] & 1 << ((ino - 1) % 8) != 0
        };
        if !list.is_empty() && (list != whole || !list.iter().all(|&ino| in_use(ino))) {
            failure = Some(format!("{how}: the list is {list:?}, which is not that of the orphans"));
            return;
        }
        if !list.is_empty() && list.iter().any(|&ino| !layout.in_use(&image, first_block(&image, ino))) {
            failure = Some(format!("{how}: blocks of what is on the list are free"));
            return;
        }
        let fs = mount(machine(&image));
        let found = Snapshot::of(&fs).unwrap_or_else(|error| panic!("{how}: {error}"));
        if found != *want {
            failure = Some(format!("{how}: {}", want.difference(&found)));
        }
    });
    failure.map_or(Ok(count), Err)
}

fn first_block(image: &[u8], ino: u64) -> u64 {
    u32_at(image, Layout::of(image).pointer(image, ino, 0)).into()
}

#[test]
fn a_crash_while_orphans_are_freed_leaves_their_list_or_none() {
    let (_, bytes, [one, two, cut]) = with_orphans(0);
    let (tape, rig) = Tape::record(&bytes);
    let fs = mount(rig);
    let want = Snapshot::of(&fs).expect("a repaired image");
    drop(fs);
    let whole = [one, cut, two];
    let count = check_orphans(&tape, &whole, &want).unwrap_or_else(|error| panic!("{error}"));
    assert!(count > 20, "{count} crashes");
    // Without the flush that ends the list, or the fence after it, or the one before, somebody's inode is on
    // it.
    let barriers = tape.barriers();
    let end = barriers
        .iter()
        .position(|barrier| barrier.flush == Some((S_LAST_ORPHAN, 4)))
        .expect("the flush of s_last_orphan");
    let fence_after = barriers[end..].iter().position(|barrier| barrier.flush.is_none()).expect("a fence");
    let outcomes =
        [end, end + fence_after].map(|at| check_orphans(&tape.without(barriers[at].at), &whole, &want));
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
}

/// Files and a directory whose sizes another system lost, and what e2fsck makes of them.
#[test]
fn after_anothers_crash_a_file_is_as_long_as_e2fsck_makes_it() {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    for name in ["one", "two", "three", "part", "long", "same"] {
        let blocks = if name == "long" { 20 } else { 3 };
        std::fs::write(tree.join(name), pattern(7, blocks * BLOCK as usize)).expect("a file");
    }
    std::fs::create_dir(tree.join("dir")).expect("a directory");
    for number in 0..40 {
        std::fs::write(tree.join(format!("dir/{number:0200}")), "").expect("a file");
    }
    let image = Image::of_tree(scratch, &tree, 256, &["-N", "128"]);
    let sizes =
        [("one", 4096), ("two", 8192), ("three", 12288), ("part", 4097), ("long", 100), ("same", 8193)];
    for (name, size) in sizes {
        image.debugfs_write(&format!("sif {name} size {size}"));
    }
    image.debugfs_write("sif dir size 4096");
    image.debugfs_write("ssv state 0");
    // Ours, on a copy of its own.
    let machine = image.machine();
    let fs = mount(machine.clone());
    let recovered = *fs.recovered().unwrap_or_else(|| panic!("{:?}", fs.read_only_reason()));
    assert!(!recovered.ours);
    assert_eq!((recovered.grown, recovered.trimmed), (4, 1), "{recovered}");
    let ours = sizes.map(|(name, _)| read_all(&*at(&fs, name)));
    let entries = names(&*at(&fs, "dir")).len();
    assert_eq!((ours[0].len(), ours[4].len(), entries), (12288, 20 * BLOCK as usize, 42));
    fs.unmount().expect("unmount");
    drop(fs);
    // e2fsck's.
    image.index_directories();
    for ((name, _), ours) in sizes.into_iter().zip(&ours) {
        assert!(
            image.cat(name) == *ours,
            "{name}: {} bytes, e2fsck has {}",
            ours.len(),
            image.cat(name).len()
        );
    }
    let theirs = mount_read_only(image.machine());
    assert_eq!(names(&*at(&theirs, "dir")).len(), entries);
    image.store(&machine);
    image.expect_clean();
}
