//! ext4 on persistent memory.

pub(crate) mod disk;
