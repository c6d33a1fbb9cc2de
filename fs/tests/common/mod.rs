//! What the tests of the storage code share: images made and judged by e2fsprogs, machines over them,
//! address spaces to fault in.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | mounting, and reading and writing whole files |
//! | [`image`] | images: mke2fs makes them, debugfs reads them, e2fsck judges them |
//! | [`rig`] | the machine: locks with hooks |
//! | [`exercised`] | a file as the exerciser `fsx` drives it |
//! | [`stage`] | two such address spaces, and a script for two threads |
//! | [`craft`] | a journal made block by block |
//! | [`durable`] | which stores a power failure leaves |
//! | [`tape`] | what was stored, to build every image that a crash can leave |
//! | [`hostile`], [`tries`] | damaged images, and everything tried on them |
//! | [`linux`] | Linux's own ext2 and ext4, to see what they make of an image |
//! | [`tree`] | all that Linux, or we, can see of a file system, to compare |
//! | [`ext4`] | a judge of ext4 images, and images for it |
//! | [`ext4_disk`], [`ext4_looks`] | an ext4 with everything in it, and where; all that is to be seen of it |
//! | [`layout`] | where ext2 keeps things, read straight from the bytes |
//!
//! Nothing here knows how `fs::ext2` works: layouts come from the specification, judgements from e2fsck.

pub(crate) mod craft;
pub(crate) mod crash;
pub(crate) mod durable;
pub(crate) mod exercised;
pub(crate) mod ext4;
pub(crate) mod ext4_disk;
pub(crate) mod ext4_looks;
pub(crate) mod hostile;
pub(crate) mod image;
pub(crate) mod journaled;
pub(crate) mod layout;
pub(crate) mod linux;
pub(crate) mod rig;
pub(crate) mod snapshot;
pub(crate) mod stage;
pub(crate) mod tape;
pub(crate) mod tree;
pub(crate) mod tries;

pub(crate) use fsx::Rng;
pub(crate) use fsx::rng::pattern;
pub(crate) use image::{Image, Scratch};
pub(crate) use rig::Machine;

/// A file mapped into an address space, loaded and stored through faults.
pub(crate) type View = fs::sim::view::View<rig::Hooked>;

use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::vfs::{Extent, FileKind, FileSystem, FileSystemRef, Inode, InodeRef, MountOptions, Rename, path};
use fs::{Errno, Error, Result};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes in a block of every image here.
pub(crate) const BLOCK: u64 = fs::PAGE_SIZE;
/// Pointers in an indirect block.
pub(crate) const POINTERS: u64 = BLOCK / 4;
/// The first page behind each level of the block map: direct, single, double, triple.
pub(crate) const LEVELS: [u64; 4] = [0, 12, 12 + POINTERS, 12 + POINTERS + POINTERS * POINTERS];

/// How much of something is tried: an ordinary run takes a sample, `./test.sh --long` (DAXIOM_LONG is set) a
/// lot.
pub(crate) fn sample<T>(ordinary: T, long: T) -> T {
    if std::env::var_os("DAXIOM_LONG").is_some() { long } else { ordinary }
}

/// A number that an environment variable gives.
pub(crate) fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// The sequences to run: the one that DAXIOM_SEED names, or DAXIOM_SEQUENCES of them, or as many as usual.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    match variable("DAXIOM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("DAXIOM_SEQUENCES").unwrap_or(usual),
    }
}

/// A type of file system, for tests that run on each.
pub(crate) struct Tested {
    /// Makes an image with the empty file `f`, and room for 1 MiB.
    pub(crate) image: fn() -> Image,
    /// Mounts for reading and writing.
    pub(crate) mount: fn(Machine) -> FileSystemRef<Machine>,
    /// How many blocks a file with blocks at these pages takes.
    pub(crate) blocks_for: fn(&[u64]) -> u64,
}

pub(crate) const EXT2: Tested =
    Tested { image: || with_empty_file("ext2", 512), mount: |machine| mount(machine), blocks_for };

pub(crate) const EXT4: Tested = Tested {
    image: || with_empty_file("ext4", 4096),
    mount: |machine| {
        let mounted = fs::ext4::mount(machine, MountOptions::default());
        mounted.unwrap_or_else(|error| panic!("mount: {error}"))
    },
    blocks_for: |pages| pages.len() as u64,
};

fn with_empty_file(kind: &'static str, blocks: u64) -> Image {
    let scratch = Scratch::new();
    let tree = scratch.tree();
    std::fs::write(tree.join("f"), "").expect("an empty file");
    let tree = tree.to_str().expect("a plain path").to_owned();
    Image::of_type(kind, scratch, blocks, &["-d", &tree])
}

/// Mounts for reading and writing.
pub(crate) fn mount<P: Platform>(platform: P) -> Arc<Ext2<P>> {
    try_mount(platform).unwrap_or_else(|error| panic!("mount: {error}"))
}

/// Mounts for reading and writing, or says why not.
pub(crate) fn try_mount<P: Platform>(platform: P) -> Result<Arc<Ext2<P>>> {
    fs::ext2::mount(platform, MountOptions::default())
}

/// Mounts for reading.
pub(crate) fn mount_read_only<P: Platform>(platform: P) -> Arc<Ext2<P>> {
    let options = MountOptions { read_only: true, ..MountOptions::default() };
    fs::ext2::mount(platform, options).unwrap_or_else(|error| panic!("mount -o ro: {error}"))
}

/// Mounts `image`, lets `work` change it, unmounts, writes it back and has e2fsck judge it.
pub(crate) fn session<R>(image: &Image, work: impl FnOnce(&Arc<Ext2<Machine>>) -> R) -> R {
    session_of(mount, image, work)
}

/// As [`session`], with what `mount` mounts.
pub(crate) fn session_of<F: FileSystem<Machine> + ?Sized, R>(
    mount: impl FnOnce(Machine) -> Arc<F>,
    image: &Image,
    work: impl FnOnce(&Arc<F>) -> R,
) -> R {
    let machine = image.machine();
    let fs = mount(machine.clone());
    let result = work(&fs);
    fs.unmount().expect("unmount, with every handle dropped");
    drop(fs);
    image.store(&machine);
    image.expect_clean();
    result
}

/// The inode at `path`.
pub(crate) fn at<P: Platform>(fs: &Arc<impl FileSystem<P> + ?Sized>, path: &str) -> InodeRef<P> {
    let found = path::resolve(&fs.root().expect("root"), path.as_bytes());
    found.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A new file at `path`.
pub(crate) fn create<P: Platform>(fs: &Arc<impl FileSystem<P> + ?Sized>, path: &str) -> InodeRef<P> {
    make(fs, path, FileKind::File, 0o644)
}

/// A new directory at `path`.
pub(crate) fn mkdir<P: Platform>(fs: &Arc<impl FileSystem<P> + ?Sized>, path: &str) -> InodeRef<P> {
    make(fs, path, FileKind::Directory, 0o755)
}

fn make<P: Platform>(
    fs: &Arc<impl FileSystem<P> + ?Sized>,
    path: &str,
    kind: FileKind,
    mode: u16,
) -> InodeRef<P> {
    let root = fs.root().expect("root");
    let (dir, name) = path::parent(&root, path.as_bytes()).expect("the parent directory");
    dir.create(name, kind, mode).unwrap_or_else(|error| panic!("create {path}: {error}"))
}

/// Renames by path.
pub(crate) fn rename<P: Platform>(fs: &Ext2<P>, old: &str, new: &str) -> Result<()> {
    let root = fs.root()?;
    let (old_dir, old_name) = path::parent(&root, old.as_bytes())?;
    let (new_dir, new_name) = path::parent(&root, new.as_bytes())?;
    fs.rename(old_dir.ino(), old_name, new_dir.ino(), new_name, Rename::Replace)
}

/// Unlinks by path.
pub(crate) fn unlink<P: Platform>(fs: &Arc<impl FileSystem<P> + ?Sized>, path: &str) -> Result<()> {
    let root = fs.root()?;
    let (dir, name) = path::parent(&root, path.as_bytes())?;
    dir.unlink(name)
}

/// Removes a directory by path.
pub(crate) fn rmdir<P: Platform>(fs: &Arc<impl FileSystem<P> + ?Sized>, path: &str) -> Result<()> {
    let root = fs.root()?;
    let (dir, name) = path::parent(&root, path.as_bytes())?;
    dir.rmdir(name)
}

/// The whole file, read in pieces of `step` bytes.
pub(crate) fn read_in_steps<P: Platform>(file: &dyn Inode<P>, step: usize) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0xEE; step];
    loop {
        let count = file.read_at(all.len() as u64, &mut piece).expect("read");
        if count == 0 {
            return all;
        }
        all.extend_from_slice(&piece[..count]);
    }
}

/// The whole file.
pub(crate) fn read_all<P: Platform>(file: &dyn Inode<P>) -> Vec<u8> {
    read_in_steps(file, 1 << 20)
}

/// `len` bytes at `offset`, fewer at the end of the file.
pub(crate) fn read_range<P: Platform>(file: &dyn Inode<P>, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xEE; len];
    let count = file.read_at(offset, &mut bytes).expect("read");
    bytes.truncate(count);
    bytes
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write<P: Platform>(file: &dyn Inode<P>, offset: u64, bytes: &[u8]) {
    let count = file.write_at(offset, bytes).expect("write");
    assert_eq!(count, bytes.len(), "a short write with space left");
}

/// The runs and holes of a file from its start.
pub(crate) fn extents<P: Platform>(file: &dyn Inode<P>) -> Vec<Extent> {
    extents_up_to(file, usize::MAX).expect("extents")
}

/// As [`extents`], but no more than `most`.
pub(crate) fn extents_up_to<P: Platform>(file: &dyn Inode<P>, most: usize) -> Result<Vec<Extent>> {
    let mut list = Vec::new();
    file.extents(0, &mut |extent| {
        list.push(extent);
        if list.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(list)
}

/// The pages of a file that have blocks; checks on the way that the runs follow each other up to the end.
pub(crate) fn allocated_pages<P: Platform>(file: &dyn Inode<P>) -> Vec<u64> {
    let (mut pages, mut end) = (Vec::new(), 0);
    for extent in extents(file) {
        assert_eq!(extent.offset, end, "a gap or an overlap between extents");
        assert!(extent.len > 0 && extent.len.is_multiple_of(BLOCK), "{extent:?}");
        end += extent.len;
        if extent.place().is_some() {
            pages.extend(extent.offset / BLOCK..end / BLOCK);
        }
    }
    assert_eq!(end, file.attr().size.next_multiple_of(BLOCK), "extents end elsewhere than the file");
    pages
}

/// Blocks that a file with blocks at `pages` takes, pointer blocks included: none of those is kept empty.
pub(crate) fn blocks_for(pages: &[u64]) -> u64 {
    let mut tables = BTreeSet::new();
    for &page in pages {
        let depth = LEVELS.iter().rposition(|&first| first <= page).expect("from 0 on");
        let below = page - LEVELS[depth];
        tables.extend((1..=depth as u32).map(|level| (depth, level, below / POINTERS.pow(level))));
    }
    (pages.len() + tables.len()) as u64
}

/// The names in a directory, in its order, `.` and `..` too.
pub(crate) fn names<P: Platform>(dir: &dyn Inode<P>) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    let result = dir.read_dir(0, &mut |entry| {
        list.push(entry.name.to_vec());
        ControlFlow::Continue(())
    });
    result.expect("read_dir");
    list
}

/// Asserts that `result` is this error.
#[track_caller]
pub(crate) fn expect_errno<T>(result: Result<T>, errno: Errno) {
    assert_eq!(result.map(|_| ()), Err(Error::Op(errno)));
}

/// Whether this thread's panics are told. The hook is the process's: other tests' panics go on to be told.
pub(crate) fn quiet(yes: bool) {
    thread_local! {
        static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                others(panic);
            }
        }));
    });
    QUIET.set(yes);
}
