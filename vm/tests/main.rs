//! The address space over a simulated machine. Files are those of a real ext2, made by mke2fs.

mod machine;

mod advising;
mod changing;
mod copies;
mod faults;
mod placing;
mod random;
mod refused;

use fs::PAGE_SIZE;
use fs::dax::Protocol;
use fs::vfs::{FileKind, FileSystem, Inode, InodeRef};
use machine::{Hardware, Host, Memory};
use std::sync::Arc;
use vm::{AddressSpace, MapRequest, Placement, Rights, VmaKind};

type Space = AddressSpace<Host>;
type File = InodeRef<Host>;

const PAGE: u64 = PAGE_SIZE;
const LARGE: u64 = 2 << 20;
const RW: Rights = Rights::READ_WRITE;
const RO: Rights = Rights { write: false, ..Rights::READ_WRITE };
const NONE: Rights = Rights { read: false, write: false, exec: false };

/// A machine with a file system on it.
struct Stage {
    memory: Arc<Memory>,
    fs: Arc<fs::ext2::Ext2<Host>>,
}

impl Stage {
    fn new() -> Self {
        let host = machine::host(&machine::image());
        let memory = host.kit.memory.clone();
        let fs = fs::ext2::mount(host, fs::vfs::MountOptions::default()).expect("a new image");
        Self { memory, fs }
    }

    /// A new file of so many pages, each of which begins with its number and the file's name.
    fn file(&self, name: &str, pages: u64) -> File {
        let file = self.sparse(name, pages);
        for page in 0..pages {
            file.write_at(page * PAGE, &word(name, page).to_le_bytes()).expect("room");
        }
        file
    }

    /// A new file of so many pages that has no block.
    fn sparse(&self, name: &str, pages: u64) -> File {
        let root = self.fs.root().expect("root");
        let file = root.create(name.as_bytes(), FileKind::File, 0o644).expect("a new file");
        file.truncate(pages * PAGE).expect("a size");
        file
    }

    fn space(&self) -> Space {
        Space::new(Hardware::new(&self.memory)).expect("frames")
    }
}

/// What page `page` of file `name` begins with.
fn word(name: &str, page: u64) -> u64 {
    u64::from(name.as_bytes()[0]) << 32 | page
}

fn kind(rights: Rights) -> VmaKind {
    VmaKind::shared(rights, Protocol::default())
}

fn private(rights: Rights) -> VmaKind {
    VmaKind { private: true, ..kind(rights) }
}

/// Maps `pages` pages of the file from page `first` on.
fn map(space: &Space, file: &File, first: u64, pages: u64, at: Placement, kind: VmaKind) -> fs::Result<u64> {
    let name = Arc::from("f");
    let (offset, len) = (first * PAGE, pages * PAGE);
    space.map(&MapRequest { file, name: &name, offset, len, at, kind, populate: false })
}

/// What a CPU that runs in the space gets.
trait Cpu {
    fn load(&self, va: u64) -> Result<u64, vm::Refusal>;
    fn store(&self, va: u64, value: u64) -> Result<(), vm::Refusal>;
    /// First address, pages and first page of each VMA.
    fn listed(&self) -> Vec<(u64, u64, u64)>;
}

impl Cpu for Space {
    fn load(&self, va: u64) -> Result<u64, vm::Refusal> {
        machine::access(self, va, None)
    }

    fn store(&self, va: u64, value: u64) -> Result<(), vm::Refusal> {
        machine::access(self, va, Some(value)).map(|_| ())
    }

    fn listed(&self) -> Vec<(u64, u64, u64)> {
        let vmas = self.vmas();
        vmas.iter().map(|vma| (vma.start, vma.len / PAGE, vma.offset / PAGE)).collect()
    }
}

fn errno(result: fs::Result<impl std::fmt::Debug>) -> fs::Errno {
    match result {
        Err(fs::Error::Op(errno)) => errno,
        other => panic!("an error number was expected, not {other:?}"),
    }
}

/// Whether some address space shows pages of the file.
fn is_mapped(file: &dyn Inode<Host>) -> bool {
    file.mapping().is_mapped()
}
