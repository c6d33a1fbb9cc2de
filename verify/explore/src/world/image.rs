//! The images that worlds begin with: made by mke2fs, filled by the storage code itself.

use super::{BESIDE, OTHER_PAGE, WORD};
use crate::hw::{Machine, Memory, machine};
use crate::model::{START_BESIDE, START_WORD};
use crate::sched::engine;
use fs::PAGE_SIZE;
use fs::ext2::Ext2;
use fs::lab::schedule::Range;
use fs::vfs::{Fallocate, FileKind, FileSystem, InodeRef, MountOptions};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Blocks of an image: three aligned runs of 2 MiB, and what the file system needs.
const BLOCKS: u64 = 2048;

/// The images, by range, as a hole and with blocks.
#[derive(Clone)]
pub struct Images {
    images: [[Arc<Vec<u8>>; 2]; 2],
    own_blocks: u64,
}

impl Images {
    /// Makes them.
    ///
    /// # Errors
    /// What mke2fs says, or that it is not here.
    pub fn make() -> Result<Self, String> {
        engine::watch_words();
        let empty = Arc::new(empty()?);
        let ranges = [Range::Page, Range::Pmd];
        let images = ranges.map(|range| [false, true].map(|blocks| Arc::new(filled(&empty, range, blocks))));
        let own_blocks = {
            let memory = Memory::new(images[0][0].clone(), false);
            let in_use = in_use(&memory);
            (0..BLOCKS).filter(|&block| in_use(block)).count() as u64
        };
        Ok(Self { images, own_blocks })
    }

    /// Returns how many blocks are in use and no file's: both files are holes.
    pub fn own_blocks(&self) -> u64 {
        self.own_blocks
    }

    /// Returns the one for a range that is a hole, or has blocks.
    pub fn of(&self, range: Range, blocks: bool) -> Arc<Vec<u8>> {
        self.images[range as usize][usize::from(blocks)].clone()
    }
}

/// Returns which blocks the bitmap has as used, without a step. (ext2: the descriptors are in the block after
/// the superblock's; there is one group.)
pub(crate) fn in_use(memory: &Memory) -> impl Fn(u64) -> bool + '_ {
    let bitmap = u64::from(memory.peek(PAGE_SIZE) as u32) * PAGE_SIZE;
    move |block| memory.peek_u8(bitmap + block / 8) >> (block % 8) & 1 != 0
}

/// Returns the size of the file under test, in bytes.
pub fn file_size(range: Range) -> u64 {
    let (first, pages) = range.pages();
    match range {
        // Two pages behind, so that one can be punched, and one before.
        Range::Page => (first + pages + 2) * PAGE_SIZE,
        Range::Pmd => (first + pages) * PAGE_SIZE,
    }
}

/// Opens the file of that name.
pub(crate) fn open(fs: &Ext2<Machine>, name: &[u8]) -> InodeRef<Machine> {
    fs.root().and_then(|root| root.lookup(name)).expect("a file of the image")
}

/// Mounts.
pub(crate) fn mount(machine: Machine) -> fs::Result<Arc<Ext2<Machine>>> {
    fs::ext2::mount(machine, MountOptions::default())
}

fn empty() -> Result<Vec<u8>, String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| format!("a temporary file: {error}"))?;
    make(file.path())?;
    std::fs::read(file.path()).map_err(|error| format!("{}: {error}", file.path().display()))
}

fn make(path: &Path) -> Result<(), String> {
    let file = std::fs::OpenOptions::new().write(true).open(path);
    let file = file.and_then(|file| file.set_len(BLOCKS * PAGE_SIZE));
    file.map_err(|error| format!("{}: {error}", path.display()))?;
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).chain(["/usr/sbin".into(), "/sbin".into()]);
    let tool = folders.map(|folder| folder.join("mke2fs")).find(|tool| tool.is_file());
    let tool = tool.ok_or("mke2fs: not here; `apt-get install e2fsprogs` brings it")?;
    // Few inodes: their table is no part of the story.
    let options =
        ["-q", "-F", "-t", "ext2", "-b", "4096", "-N", "64", "-U", "6461786d-0000-4000-8000-000000000001"];
    let made = Command::new(tool).env("E2FSPROGS_FAKE_TIME", "1767225600").args(options).arg(path).output();
    let made = made.map_err(|error| format!("mke2fs: {error}"))?;
    if made.status.success() {
        Ok(())
    } else {
        Err(format!("mke2fs: {}", String::from_utf8_lossy(&made.stderr)))
    }
}

/// The image with file `f`, which has blocks in the range or none, and file `g`, which is a hole.
fn filled(empty: &Arc<Vec<u8>>, range: Range, blocks: bool) -> Vec<u8> {
    let memory = Arc::new(Memory::new(empty.clone(), false));
    let fs = mount(machine(memory.clone())).expect("a new image");
    {
        let root = fs.root().expect("root");
        let [f, g] = [b"f", b"g"].map(|name| root.create(name, FileKind::File, 0o644).expect("a new file"));
        f.truncate(file_size(range)).expect("a size");
        g.truncate((OTHER_PAGE + 1) * PAGE_SIZE).expect("a size");
        if blocks {
            let (first, pages) = range.pages();
            let how = Fallocate::Allocate { keep_size: false };
            f.fallocate(how, first * PAGE_SIZE, pages * PAGE_SIZE).expect("blocks");
            let page = range.word_page() * PAGE_SIZE;
            for (at, value) in [(WORD, START_WORD), (BESIDE, START_BESIDE)] {
                f.write_at(page + at, &value.to_le_bytes()).expect("a word");
            }
        }
    }
    fs.unmount().expect("nobody uses it");
    drop(fs);
    memory.bytes()
}
