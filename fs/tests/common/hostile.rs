//! Damaged images: one sound image, cases that each change some bytes of it, and everything done to them that can be.

use super::layout::{Layout, u32_at};
use super::rig::{Rig, Spy, Touch};
use super::{BLOCK, Image, LEVELS, Scratch, View, extents_up_to, pattern};
use fs::ext2::{Ext2, MountOptions};
use fs::vfs::{FileKind, FileSystem, InodeRef, SetAttr, path};
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

type Machine = Rig<Spy>;

/// Accesses to the memory that one case may take: some thousand times what a sound image of this size takes.
const MOST_ACCESSES: u64 = 3_000_000;

/// One way to damage the image: what it is, and the bytes to put where.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) damage: Vec<(u64, Vec<u8>)>,
}

/// The sound image: every kind of file, and a file behind each level of the block map.
pub(crate) fn sound_image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        std::fs::create_dir_all(tree.join("dir/sub")).expect("directories");
        std::fs::create_dir(tree.join("many")).expect("a directory");
        for number in 0..40 {
            let name = format!("many/{number}-{}", "n".repeat(120));
            std::fs::write(tree.join(name), "").expect("a file");
        }
        std::fs::write(tree.join("dir/file"), pattern(1, 3000)).expect("a file");
        std::fs::write(tree.join("long"), pattern(2, 20 * BLOCK as usize)).expect("a file");
        std::fs::hard_link(tree.join("long"), tree.join("dir/hard")).expect("a link");
        let sparse = std::fs::File::create(tree.join("sparse")).expect("a file");
        for page in LEVELS {
            sparse.write_all_at(&pattern(page, 100), page * BLOCK).expect("a sparse file");
        }
        symlink("dir/file", tree.join("fast")).expect("a link");
        symlink("dir/../".repeat(50) + "long", tree.join("slow")).expect("a link");
        Image::of_tree(scratch, &tree, 256, &["-N", "64"]).bytes()
    })
}

/// The number of the inode at `path` in the sound image.
pub(crate) fn inode_of(path: &str) -> u64 {
    let fs = super::mount_read_only(fs::sim::Machine::new(fs::pmem::ram::Ram::from_bytes(sound_image())));
    path::resolve_no_follow(&fs.root().expect("root"), path.as_bytes()).expect(path).ino()
}

/// The block that pointer `slot` of inode `ino` names in the sound image.
pub(crate) fn block_of(ino: u64, slot: u64) -> u64 {
    let image = sound_image();
    u32_at(image, Layout::of(image).pointer(image, ino, slot)).into()
}

/// Memory that knows what was stored to it, so that the next case starts from the sound image again.
struct Bench {
    machine: Machine,
    touched: Arc<Mutex<BTreeSet<u64>>>,
    accesses: Arc<AtomicU64>,
}

impl Bench {
    fn new(image: &[u8]) -> Self {
        let (touched, accesses): (Arc<Mutex<BTreeSet<u64>>>, Arc<AtomicU64>) = Default::default();
        let (pages, count) = (touched.clone(), accesses.clone());
        let machine = Rig::new(Spy::new(image, move |touch| {
            let count = count.fetch_add(1, SeqCst);
            assert!(count < MOST_ACCESSES, "more than {MOST_ACCESSES} accesses: it may never end");
            if let Touch::Store(offset, bytes) | Touch::Stream(offset, bytes) = touch {
                let pages_touched = offset / BLOCK..(offset + bytes.len() as u64).div_ceil(BLOCK);
                pages.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(pages_touched);
            }
        }));
        Self { machine, touched, accesses }
    }

    /// Damages, mounts, tries everything, checks, restores. Returns what went wrong.
    fn run(&self, case: &Case) -> Option<String> {
        let ram = &self.machine.pmem.ram;
        let mut damaged = sound_image()[..fs::pmem::Pmem::len(ram) as usize].to_vec();
        for (offset, bytes) in &case.damage {
            fs::pmem::Pmem::write(ram, *offset, bytes);
            damaged[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
        }
        self.accesses.store(0, SeqCst);
        let result = catch_unwind(AssertUnwindSafe(|| try_everything(&self.machine)));
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let verdict = match result {
            Err(panic) => Some(format!("{}: {}", case.name, message(&*panic))),
            // A refused image keeps every bit.
            Ok(Err(_)) => touched.iter().find_map(|&page| {
                let mut now = [0; BLOCK as usize];
                fs::pmem::Pmem::read(ram, page * BLOCK, &mut now);
                let was = &damaged[(page * BLOCK) as usize..][..BLOCK as usize];
                (now != *was).then(|| format!("{}: refused, but block {page} was changed", case.name))
            }),
            Ok(Ok(())) => None,
        };
        let damaged_pages = case.damage.iter().map(|(offset, bytes)| {
            offset / BLOCK..(offset + bytes.len() as u64).div_ceil(BLOCK)
        });
        for page in touched.into_iter().chain(damaged_pages.flatten()) {
            let start = (page * BLOCK) as usize;
            let end = (start + BLOCK as usize).min(damaged.len());
            fs::pmem::Pmem::write(ram, page * BLOCK, &sound_image()[start..end]);
        }
        verdict
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

/// Runs all cases and fails with the first few that went wrong.
pub(crate) fn run(cases: impl Iterator<Item = Case>) {
    let bench = Bench::new(sound_image());
    let (mut count, mut bad) = (0, Vec::new());
    for case in cases {
        count += 1;
        bad.extend(bench.run(&case));
    }
    assert!(bad.is_empty(), "{} of {count} cases: {:#?}", bad.len(), &bad[..bad.len().min(8)]);
    println!("{count} cases");
}

/// Runs the sound image cut to `len` bytes; returns what went wrong.
pub(crate) fn run_cut(len: u64) -> Option<String> {
    let name = format!("cut to {len} bytes");
    Bench::new(&sound_image()[..len as usize]).run(&Case { name, damage: Vec::new() })
}

/// Mounts, walks, reads, writes, removes, unmounts. An error of the mount is returned; later ones are answers too.
fn try_everything(machine: &Machine) -> fs::Result<()> {
    let fs = fs::ext2::mount(machine.clone(), MountOptions::default())?;
    fs.stat_fs();
    if let Ok(root) = fs.root() {
        let mut left = 150;
        walk(&root, &mut left, 0);
        change(&fs, &root);
        walk(&root, &mut left, 0);
    }
    let _ = (fs.sync(), fs.unmount());
    Ok(())
}

/// Looks at everything below `dir`, as far as `left` entries reach: directories may go in circles.
fn walk(dir: &InodeRef<Machine>, left: &mut u32, depth: u32) {
    let mut found = Vec::new();
    let mut entries = 0;
    let _ = dir.read_dir(0, &mut |entry| {
        entries += 1;
        found.push(entry.name.to_vec());
        if entries < 60 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    for name in found {
        if *left == 0 || depth > 5 {
            return;
        }
        *left -= 1;
        let Ok(inode) = dir.lookup(&name) else { continue };
        look(&inode);
        if inode.kind() == FileKind::Directory && name != b"." && name != b".." {
            walk(&inode, left, depth + 1);
        }
    }
}

fn look(inode: &InodeRef<Machine>) {
    let size = inode.attr().size;
    let _ = inode.read_link();
    let mut buffer = [0; 200];
    let last = size.saturating_sub(100);
    for offset in LEVELS.map(|page| page * BLOCK).into_iter().chain([last, size, u64::MAX - 10]) {
        let _ = inode.read_at(offset, &mut buffer);
    }
    let _ = extents_up_to(&**inode, 40);
}

/// Changes what can be changed, whether it works or not.
fn change(fs: &Arc<Ext2<Machine>>, root: &InodeRef<Machine>) {
    let find = |path: &str| path::resolve_no_follow(root, path.as_bytes());
    for name in ["dir/file", "long", "sparse", "fast"] {
        let Ok(file) = find(name) else { continue };
        let view = View::new(&file, 0..LEVELS[3] + 10);
        for page in [0, 13, LEVELS[2], LEVELS[3]] {
            let _ = (view.load_byte(page * BLOCK), view.store(page * BLOCK + 7, b"store"));
        }
        let _ = (view.msync(), file.write_at(50, b"over"), file.write_at(25 * BLOCK, b"hole"));
        let _ = file.set_attr(&SetAttr { mode: Some(0o600), ..SetAttr::default() });
        let _ = (file.truncate(14 * BLOCK + 5), file.truncate(u64::MAX / 2), file.truncate(100));
    }
    if let Ok(new) = root.create(b"new", FileKind::File, 0o644) {
        let _ = (new.write_at(0, &[1; 5000]), new.write_at(LEVELS[2] * BLOCK, b"far"));
    }
    let _ = root.create(b"made", FileKind::Directory, 0o755).map(|_| ());
    let dir = find("dir").map_or(0, |dir| dir.ino());
    let _ = (fs.rename(2, b"new", dir, b"moved"), fs.rename(2, b"dir", 2, b"renamed"));
    let _ = (fs.rename(2, b"sparse", 2, b"long"), fs.rename(2, b"renamed", 2, b"made"));
    for path in ["long", "sparse", "fast", "slow", "made/moved", "made/hard"] {
        let _ = super::unlink(fs, path);
    }
    for path in ["many", "made/sub", "made", "lost+found"] {
        let _ = super::rmdir(fs, path);
    }
}
