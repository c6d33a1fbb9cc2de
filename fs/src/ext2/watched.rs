//! The locks by their names, for whoever watches who takes them.

use super::fs::Ext2;
use super::inode::Ext2Inode;
use crate::platform::Platform;
use crate::vfs::watched::{Tell, lies};

impl<P: Platform> Ext2<P> {
    /// Tells of the locks that are there as long as it is mounted.
    pub fn locks(&self, tell: Tell<'_>) {
        for (number, group) in self.groups.iter().enumerate() {
            tell(&alloc::format!("group {number}"), lies(group));
        }
        tell("freeze", self.freeze.lies());
        tell("rename", lies(&self.rename));
        tell("attributes", lies(&self.xattrs));
        tell("superblock", lies(&self.super_lock));
        tell("the frozen state", lies(&self.ice));
        tell("late drops", lies(&self.late));
        tell("inode cache", lies(&self.cache));
        tell("name indexes", lies(&self.names));
    }
}

impl<P: Platform> Ext2Inode<P> {
    pub(super) fn tell_locks(&self, tell: Tell<'_>) {
        self.lock.tell(tell);
        self.mapping.locks(tell);
        tell("block map", lies(&self.map_lock));
        tell("name", lies(&self.nameless));
        tell("goals", lies(&self.goals));
    }
}
