//! ext4 on persistent memory: metadata is read in place, its checksums are verified, and it is changed in
//! transactions of its journal.
//!
//! | file | what it holds |
//! |---|---|
//! | `disk` | what is on the disk and not as in ext2 ([`ext`](crate::ext) has the rest); it knows no mounted file system |
//! | `edit` | what code that edits metadata asks of its transaction |
//! | `extents` | edits of a tree of extents |
//! | `zone` | the blocks that no file may have |
//! | `fs`, `inode` | a mounted file system; an inode |
//! | `alloc` | block groups: who has which block and which inode |
//! | `operation`, `change` | a handle of the journal with its file system; what an edit gets of it |
//! | `attr`, `times` | an inode's attributes, changed |
//! | `meta` | blocks of metadata: where they are read, which of them were checked |
//! | `map` | an inode's block map: extents, or tables of pointers; blocks put in, taken out, moved |
//! | `faults` | what a write fault asks of a file |
//! | `file`, `names`, `xattrs` | content; directories; extended attributes |
//! | `mount` | mounting; the journal that a crash left |
//! | `sync` | what the image says of itself while it is written; sync, freeze, remount, unmount |
//! | `orphans` | inodes that a mount frees, or cuts to their size: the list, and the file |
//! | `ops` | the traits of [`vfs`](crate::vfs) |
//!
//! Specification: the Linux kernel's `filesystems/ext4` documents.
//!
//! # Locking
//!
//! ```text
//! freeze → rename → inode lock → invalidate lock (dax_sem) → handle → mapping entry → block map
//!        → orphans, attributes → group → the journal's own locks
//! ```
//!
//! Reading takes the inode lock shared, faults the invalidate lock, and the lock of the block map shared; who
//! edits a tree of extents has that exclusively, in an operation. Nobody waits for a commit in an operation.
//! A shard of the inode cache is a leaf.
//!
//! # Invariants
//!
//! * What is read from the image is checked before it is used: the checksum of a structure before anything
//!   else in it, and then what it says. A contradiction is answered as one, with the structure's name and
//!   number, never as data.
//! * Metadata is changed in operations alone: a crash shows all of an operation, or nothing. A long change is
//!   several, each of which leaves a sound file system; an orphan tells what is left to do.
//! * Content is durable before the operation ends that publishes it. A block that is freed is nobody's before
//!   the commit.
//! * A change is durable when a commit was: fsync, sync, `MAP_SYNC`, a freeze, an unmount, 5 seconds.

mod alloc;
mod attr;
mod change;
pub(crate) mod disk;
pub(crate) mod edit;
pub(crate) mod extents;
mod faults;
mod file;
mod fs;
mod inode;
mod map;
mod meta;
mod mount;
mod names;
mod operation;
mod ops;
mod orphans;
mod sync;
mod times;
mod xattrs;
mod zone;

pub use disk::superblock::SuperBlock;
pub use fs::{Ext4, Ext4Shared};
pub use inode::Ext4Inode;
pub use mount::{file_system_type, mount};
