//! Repair at mount of an image that was not unmounted cleanly, or has errors noted on it: before anything
//! else uses it, on one CPU, without a lock.
//!
//! First a *scan*, which only reads: the directory tree from the root, then every inode in use with its block
//! map. What it finds is one of two things.
//!
//! * What our order of stores can leave behind: blocks and inodes that are nobody's, an inode without a name
//!   yet or any more, link counts that are too high, blocks beyond the end of a file, counts that were not
//!   waited for, a changed entry that tells the old kind of file, attribute blocks that count too many
//!   sharers. Then the *repair*: a few ordered stores, each of which leaves an image that the next mount can
//!   repair, so a crash in the middle is no other case.
//! * What it cannot leave: a block claimed twice or marked free, pointers out of range, damaged directories,
//!   too few links, a directory with two names. Then nothing is changed, and the mount is read-only: e2fsck's
//!   task.
//!
//! Whose crash it was decides what becomes of an inode without a name, and of blocks beyond an end. Ours: we
//! say that an inode has no link before its last name goes, so one with a link is in the making, and is
//! freed, unless it was there before we mounted: then it is not ours. Blocks are cut. Another system's: the
//! inode gets a name in `lost+found` if there is something in it, and a file or directory becomes as long as
//! its blocks reach, as e2fsck has it.
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
//! | `outcome` | what is told of it |
//!
//! Memory: a bitmap for each group in which files have blocks, 4 bytes for each inode in use and 2 for each
//! 64 inodes of their groups, 4 for each inode with attributes and each directory not yet walked. Time: the
//! same, and the blocks of directories, the indirect blocks of files, the bitmaps of every group.

mod adopt;
mod claims;
mod nodes;
mod orphans;
pub(super) mod outcome;
mod repair;
mod scan;
mod tree;
mod walk;

use super::fs::Ext2;
use crate::error::{Corrupt, Error, Result};
use crate::ext::layout::*;
use crate::platform::Platform;
use outcome::RecoveryOutcome;

/// A mounted file system under repair.
struct Repair<'a, P: Platform>(&'a Ext2<P>);

view!(Repair of Ext2);

/// Repairs the image, or finds that it is beyond that. At mount, after the redo record, before anything else.
///
/// # Errors
/// [`Errno::NoMemory`](crate::Errno::NoMemory): nothing was changed.
pub(super) fn recover<P: Platform>(fs: &Ext2<P>) -> Result<RecoveryOutcome> {
    Repair(fs).recover()
}

impl<P: Platform> Repair<'_, P> {
    fn recover(self) -> Result<RecoveryOutcome> {
        let ours = self.super_in_place().last_mount_was_ours();
        let found = match self.scan(ours).and_then(|found| self.can_adopt(&found).map(|()| found)) {
            Ok(found) => found,
            Err(Error::Corrupt(what)) => return Ok(RecoveryOutcome::Damaged(what)),
            Err(error) => return Err(error),
        };
        let mut recovered = self.repair(&found)?;
        recovered.finished = self.redo_replayed();
        self.count_free_blocks(false);
        match self.adopt(&found) {
            Ok(adopted) => recovered.adopted = adopted,
            Err(Error::Corrupt(what)) => return Ok(RecoveryOutcome::Damaged(what)),
            // Not refused for a full disk: what is there can be read.
            Err(_) => {
                let why = "no room for the name of an inode that lost its own";
                return Ok(RecoveryOutcome::Damaged(Corrupt::new("lost+found", ROOT_INO.into(), why)));
            }
        }
        Ok(RecoveryOutcome::Sound(recovered))
    }
}
