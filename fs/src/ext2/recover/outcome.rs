//! What came of a repair.

use crate::error::Corrupt;
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

    /// Returns whether nothing had to be changed.
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
pub(in crate::ext2) enum RecoveryOutcome {
    /// It is sound now.
    Sound(Recovered),
    /// It contradicts itself, and nothing was changed; or what has no name finds no room for one, and the
    /// rest was repaired.
    Damaged(Corrupt),
}
