//! Repair at mount of an image that was not unmounted cleanly, or has errors noted on it: before anything else uses it,
//! on one CPU, without a lock.
//!
//! First a *scan*, which only reads: the directory tree from the root, then every inode in use with its block map. What
//! it finds is one of two things.
//!
//! * What our order of stores can leave behind: blocks and inodes that are nobody's, an inode without a name yet or any
//!   more, link counts that are too high, blocks beyond the end of a file, counts that were not waited for, a changed
//!   entry that tells the old kind of file, attribute blocks that count too many sharers. Then the *repair*: a few
//!   ordered stores, each of which leaves an image that the next mount can repair, so a crash in the middle is no other
//!   case.
//! * What it cannot leave: a block claimed twice or marked free, pointers out of range, damaged directories, too few
//!   links, a directory with two names. Then nothing is changed, and the mount is read-only: e2fsck's task.
//!
//! Whose crash it was decides what becomes of an inode without a name, and of blocks beyond an end. Ours: we say that an
//! inode has no link before its last name goes, so one with a link is in the making, and is freed, unless it was there
//! before we mounted: then it is not ours. Blocks are cut. Another system's: the inode gets a name in `lost+found` if
//! there is something in it, and a file or directory becomes as long as its blocks reach, as e2fsck has it.
//!
//! | file | what it holds |
//! |---|---|
//! | `claims` | who claims which block: a bitmap for each group with files' blocks |
//! | `nodes` | what was found of each inode in use: 4 bytes each |
//! | `walk` | the block map of an inode, block by block |
//! | `tree` | the directory tree |
//! | `scan` | all inodes; what is right and what is not |
//! | `repair` | the stores |
//! | `orphans` | the list of those to be freed or cut |
//! | `adopt` | names in `lost+found` |
//!
//! Memory: a bitmap for each group in which files have blocks, 4 bytes for each inode in use and 2 for each 64 inodes of
//! their groups, 4 for each inode with attributes and each directory not yet walked. Time: the same, and the blocks of
//! directories, the indirect blocks of files, the bitmaps of every group.

mod adopt;
mod claims;
mod nodes;
mod orphans;
mod repair;
mod scan;
mod tree;
mod walk;

use super::Ext2;
use super::layout::*;
use crate::error::{Corrupt, Error, Result};
use crate::platform::Platform;
use core::fmt;

/// What a mount repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The crash was ours, not another system's.
    pub ours: bool,
    /// A change that a crash had cut short was finished, from its redo record.
    pub finished: bool,
    /// Blocks that were nobody's.
    pub blocks: u32,
    /// Inodes without a name, or with one that was never made.
    pub inodes: u32,
    /// Link counts that were too high.
    pub links: u32,
    /// Files and directories with blocks beyond their end.
    pub trimmed: u32,
    /// Files and directories that another system left shorter than their blocks reach.
    pub grown: u32,
    /// Sizes that a crash had torn.
    pub sizes: u32,
    /// Inodes that counted their blocks wrongly.
    pub block_counts: u32,
    /// Directories with entries that told the wrong kind of file.
    pub entry_types: u32,
    /// Attribute blocks that counted too many sharers.
    pub xattrs: u32,
    /// Free blocks, free inodes or directories counted wrongly: by a group, or by the superblock.
    pub counts: u32,
    /// Smaller things: a time of deletion, a feature flag, a hash index that nobody vouches for.
    pub flags: u32,
    /// Inodes that got a name in `lost+found`.
    pub adopted: u32,
}

impl Recovered {
    fn numbers(&self) -> [(u32, &'static str, &'static str); 12] {
        [
            (self.blocks, "block freed", "blocks freed"),
            (self.inodes, "inode freed", "inodes freed"),
            (self.links, "link count lowered", "link counts lowered"),
            (self.trimmed, "file trimmed to its size", "files trimmed to their sizes"),
            (self.grown, "file made as long as its blocks", "files made as long as their blocks"),
            (self.sizes, "torn size mended", "torn sizes mended"),
            (self.block_counts, "inode's block count corrected", "inodes' block counts corrected"),
            (self.entry_types, "directory's file types corrected", "directories' file types corrected"),
            (self.xattrs, "attribute block's sharers recounted", "attribute blocks' sharers recounted"),
            (self.counts, "free count corrected", "free counts corrected"),
            (self.flags, "flag corrected", "flags corrected"),
            (self.adopted, "file put into lost+found", "files put into lost+found"),
        ]
    }

    /// True if nothing had to be changed.
    pub fn is_nothing(&self) -> bool {
        !self.finished && self.numbers().iter().all(|&(count, ..)| count == 0)
    }
}

/// `recovered: 12 blocks freed, 2 inodes freed`
impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recovered:")?;
        let mut comma = "";
        if self.finished {
            f.write_str(" a change finished")?;
            comma = ",";
        }
        for (count, one, many) in self.numbers() {
            if count > 0 {
                write!(f, "{comma} {count} {}", if count == 1 { one } else { many })?;
                comma = ",";
            }
        }
        if comma.is_empty() { f.write_str(" nothing had to be repaired") } else { Ok(()) }
    }
}

/// What came of looking at an unclean image.
#[derive(Debug)]
pub(super) enum Recovery {
    /// It is sound now.
    Sound(Recovered),
    /// It contradicts itself, and nothing was changed; or what has no name finds no room for one, and the rest was
    /// repaired.
    Damaged(Corrupt),
}

impl<P: Platform> Ext2<P> {
    /// Repairs the image, or finds that it is beyond that. At mount, after the redo record, before anything else.
    ///
    /// # Errors
    /// [`Errno::NoMemory`](crate::Errno::NoMemory): nothing was changed.
    pub(super) fn recover(&self) -> Result<Recovery> {
        let ours = self.last_mount_was_ours();
        let found = match self.scan(ours).and_then(|found| self.can_adopt(&found).map(|()| found)) {
            Ok(found) => found,
            Err(Error::Corrupt(what)) => return Ok(Recovery::Damaged(what)),
            Err(error) => return Err(error),
        };
        let mut recovered = self.repair(&found)?;
        recovered.finished = self.redo_replayed();
        self.count_free_blocks(false);
        match self.adopt(&found) {
            Ok(adopted) => recovered.adopted = adopted,
            Err(Error::Corrupt(what)) => return Ok(Recovery::Damaged(what)),
            // Not refused for a full disk: what is there can be read.
            Err(_) => {
                let why = "no room for the name of an inode that lost its own";
                return Ok(Recovery::Damaged(Corrupt::new("lost+found", ROOT_INO.into(), why)));
            }
        }
        Ok(Recovery::Sound(recovered))
    }

    /// A contradiction in inode `ino`.
    fn bad_inode(&self, ino: u32, why: &'static str, value: u64) -> Error {
        Corrupt::with("inode", ino.into(), why, value).into()
    }

    /// True if `ino` is the file system's own: nobody names it.
    fn is_reserved(&self, ino: u32) -> bool {
        ino != ROOT_INO && ino < self.sb.first_ino
    }
}
