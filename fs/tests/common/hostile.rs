//! Damaged images: one sound image, and cases that each change some bytes of it.

use super::layout::{Layout, u32_at};
use super::tries::try_everything;
use super::{BLOCK, Image, LEVELS, Machine, Scratch, pattern};
use fs::pmem::Pmem;
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::{FileSystem, path};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Accesses to the memory that one case may take: some thousand times what a sound image of this size takes.
const MOST_ACCESSES: u64 = 3_000_000;

/// One way to damage the image: what it is, and the bytes to put where.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) damage: Vec<(u64, Vec<u8>)>,
}

/// What became of the cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: u64,
    /// Those that were mounted,
    pub(crate) mounted: u64,
    /// and the operations that worked on them.
    pub(crate) worked: u64,
}

enum Verdict {
    Refused,
    /// How many operations worked.
    Mounted(u32),
    Wrong(String),
}

/// The sound image: every kind of file, and a file behind each level of the block map.
pub(crate) fn sound_image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        std::fs::create_dir_all(tree.join("dir/sub")).expect("directories");
        std::fs::create_dir(tree.join("many")).expect("a directory");
        for number in 0..20 {
            let name = format!("many/{number}-{}", "n".repeat(230));
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
    let fs = super::mount_read_only(Machine::new(Ram::from_bytes(sound_image())));
    path::resolve_no_follow(&fs.root().expect("root"), path.as_bytes()).expect(path).ino()
}

/// The block that pointer `slot` of inode `ino` names in the sound image.
pub(crate) fn block_of(ino: u64, slot: u64) -> u64 {
    let image = sound_image();
    u32_at(image, Layout::of(image).pointer(image, ino, slot)).into()
}

thread_local! {
    // A case runs on one thread; counting on it alone is what keeps ten thousand cases quick.
    static ACCESSES: Cell<u64> = const { Cell::new(0) };
    static STORED_TO: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// Counts an access, and notes the blocks that a store changes.
fn watch(_: &Ram, touch: RamAccess<'_>) {
    ACCESSES.set(ACCESSES.get() + 1);
    assert!(ACCESSES.get() < MOST_ACCESSES, "more than {MOST_ACCESSES} accesses: it may never end");
    if let RamAccess::Store(offset, bytes) | RamAccess::Stream(offset, bytes) = touch {
        let blocks = offset / BLOCK..(offset + bytes.len() as u64).div_ceil(BLOCK);
        STORED_TO.with_borrow_mut(|stored| stored.extend(blocks));
    }
}

/// Memory that knows what was stored to it, so that the next case starts from the sound image again.
struct Bench(Machine);

impl Bench {
    fn new(image: &[u8]) -> Self {
        Self(Machine::new(Ram::watched(image, watch)))
    }

    /// Damages, mounts, tries everything, checks, restores.
    fn run(&self, case: &Case) -> Verdict {
        let ram = &self.0.ram;
        let len = ram.len() as usize;
        for (offset, bytes) in &case.damage {
            ram.poke(*offset, bytes);
        }
        ACCESSES.set(0);
        let result = catch_unwind(AssertUnwindSafe(|| try_everything(&self.0)));
        let mut changed = STORED_TO.take();
        let verdict = match result {
            Err(panic) => Verdict::Wrong(format!("{}: {}", case.name, message(&*panic))),
            Ok(Ok(worked)) => Verdict::Mounted(worked),
            // A refused image keeps every bit: nothing was stored at all.
            Ok(Err(_)) if changed.is_empty() => Verdict::Refused,
            Ok(Err(error)) => Verdict::Wrong(format!("{}: {error}, but wrote {changed:?}", case.name)),
        };
        for (offset, bytes) in &case.damage {
            changed.extend(offset / BLOCK..(offset + bytes.len() as u64).div_ceil(BLOCK));
        }
        for block in changed {
            let start = (block * BLOCK) as usize;
            ram.poke(block * BLOCK, &sound_image()[start..(start + BLOCK as usize).min(len)]);
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
pub(crate) fn run(cases: impl Iterator<Item = Case>) -> Tally {
    let bench = Bench::new(sound_image());
    let (mut tally, mut bad) = (Tally::default(), Vec::new());
    for case in cases {
        tally.cases += 1;
        match bench.run(&case) {
            Verdict::Refused => {}
            Verdict::Mounted(worked) => {
                tally.mounted += 1;
                tally.worked += u64::from(worked);
            }
            Verdict::Wrong(what) => bad.push(what),
        }
    }
    assert!(bad.is_empty(), "{} of {tally:?}: {:#?}", bad.len(), &bad[..bad.len().min(8)]);
    println!("{tally:?}");
    tally
}

/// Runs the sound image cut to `len` bytes; returns what went wrong.
pub(crate) fn run_cut(len: u64) -> Option<String> {
    let case = Case { name: format!("cut to {len} bytes"), damage: Vec::new() };
    match Bench::new(&sound_image()[..len as usize]).run(&case) {
        Verdict::Wrong(what) => Some(what),
        Verdict::Refused | Verdict::Mounted(_) => None,
    }
}
