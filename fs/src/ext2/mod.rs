//! ext2 on persistent memory: metadata is used in place, there is no buffer cache.
//!
//! Revisions 0 and 1 with blocks of 1, 2 and 4 KiB: files, directories, links of both kinds, devices, pipes
//! and extended attributes, all that changes them, and repair after a crash. A journal (ext3) is left alone
//! if it is clean, else the mount is refused. Hashed directories are read, and lose their hashes when they
//! are changed. Reading does not update access times.
//!
//! From the bottom up; what is remembered of groups and of names is below `fs`, and the order is tested
//! (`tests/tests/layers.rs`).
//!
//! | folder | file | what it holds |
//! |---|---|---|
//! | `disk` | | what is on the disk and not as in ext4 ([`ext`](crate::ext) has the rest) |
//! | | `superblock`, `descriptor` | the superblock; a group's descriptor |
//! | | `facts` | what a step needs evidence of |
//! | | `fs`, `inode` | a mounted file system; an inode |
//! | | `times`, `policy` | an inode's times, in place; what becomes of it when a contradiction is met |
//! | | `redo` | several stores that a crash shows all of, or none |
//! | | `super_in_place` | the superblock's fields that change |
//! | `alloc` | | who has which block and which inode |
//! | | `groups`, `bitmap`, `state` | block groups and their bitmaps, in place; what is remembered of a group |
//! | | `blocks`, `inodes`, `taken` | taking and freeing blocks and inodes; what was taken |
//! | | `runs`, `goals` | runs of 512 blocks; what is remembered of where a file's next block had best be |
//! | `map` | | an inode's block map: the indirect tree |
//! | | `geometry`, `cursor` | where ways through the tree end; who follows them, and checks every pointer |
//! | | `lookup`, `extents` | from a page of a file to its block |
//! | | `place`, `grow`, `large` | filling holes: where a block had best be; its publication; 2 MiB at once |
//! | | `cut` | pointers cleared, blocks freed |
//! | | `shift` | taking ranges out, putting holes in |
//! | `file` | | a regular file: reading and writing |
//! | | `truncate`, `fallocate` | its size; allocating ahead, punching holes, zeroing ranges |
//! | `names` | | directories |
//! | | `dir`, `nameindex` | names looked up and listed; where in a directory each is |
//! | | `dirent`, `room`, `diredit` | entries checked; room for them; added and taken out |
//! | | `namei`, `rename` | create, unlink, rmdir; rename |
//! | `xattr` | | extended attributes |
//! | `recover` | | repair after a crash, at mount |
//! | | `mount`, `freeze` | mounting, unmounting; freezing, thawing, remounting |
//! | | `ops` | the traits of [`vfs`](crate::vfs) |
//!
//! Specification: the Linux kernel's `filesystems/ext2` and `filesystems/ext4` documents.
//!
//! # Locking
//!
//! ```text
//! freeze → rename → inode lock of a directory → inode lock of what is in it → dax_sem
//!                   dax_sem → block map or goal → group
//!                             block map → attribute blocks → group, superblock
//!                   inode lock → cache shard, superblock (leaves)
//! ```
//!
//! * *freeze* is held shared by every change, from before its first lock to after its last store.
//! * Content and size of a file, entries of a directory, attributes, and the number of links are changed by
//!   calls under the *inode lock*, held exclusively. Faults do not take it: they fill holes under `dax_sem`,
//!   the invalidate lock ([`Mapping`](crate::vfs::Mapping)). Blocks are freed and moved under both. Who locks
//!   two directories (rename, rmdir) holds the *rename* lock: so no two of them wait for each other, however
//!   an image's directories point at each other. A rename locks the ancestor first, unrelated ones by number.
//! * The *block map* mutex of an inode guards the publishing of pointers and `i_blocks`; a *goal*'s where to
//!   look for the next block. Neither is held while a block is filled, nor the other one.
//! * A *group*'s mutex guards its bitmaps and counts. At most one is held.
//! * A *cache shard* guards which inodes are in memory; nothing is locked inside.
//!
//! # Invariants
//!
//! * A pointer is stored only with evidence that the block's content and its bitmap bit are durable (`grow`:
//!   `Staged<Chain, Clean>`); a block is freed only with evidence that the pointer to it is durably gone
//!   (`cut`: `Staged<Cut, Clean>`). A name appears only with evidence that its inode is durable
//!   (`diredit`: `Staged<Nameable, Clean>`). An inode is freed only with evidence that its last name is
//!   durably gone (`inodes`: `Staged<Nameless, Clean>`), which waits in the inode for its last handle to go.
//! * Bytes of the last block beyond the end of the file may hold anything; whoever makes the file longer
//!   zeroes them.
//! * What is read from the image is checked before it is used; a contradiction marks the image as in error,
//!   at once, and it is not marked clean again. What else becomes of it then, the superblock says: `policy`.
//! * Metadata that a memory error took is a contradiction in that structure. It is looked for where a
//!   structure is first met: the superblock at mount, a descriptor and a bitmap when they are used, an inode
//!   when it is loaded, a table of pointers, a directory's block or an attribute block in a group that has a
//!   memory error each time.

mod alloc;
mod disk;
mod facts;
mod file;
mod freeze;
mod fs;
mod inode;
mod map;
mod mount;
mod names;
mod ops;
mod policy;
mod recover;
mod redo;
mod super_in_place;
#[cfg(test)]
mod tests;
mod times;
#[cfg(feature = "watched")]
mod watched;
#[cfg(any(daxiom_order = "right", daxiom_order = "wrong"))]
#[allow(dead_code)]
mod wrong_order;
mod xattr;

pub use disk::superblock::SuperBlock;
pub use fs::{Ext2, Ext2Shared};
pub use inode::Ext2Inode;
pub use mount::{file_system_type, mount};
pub use recover::outcome::Recovered;
