//! What is remembered of a group in DRAM.

use super::runs::GroupRuns;

/// One group's. CPUs that are busy in different groups share no line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::ext2) struct GroupState {
    /// Its blocks; `None` until the first is taken or freed.
    pub space: Option<GroupRuns>,
    /// No inode before this one (counted in the group, from 0) is free.
    pub first_free_inode: u32,
    /// It is passed over when blocks are taken, and that was noted.
    pub blocks_noted: bool,
    /// As for blocks, of inodes.
    pub inodes_noted: bool,
}
