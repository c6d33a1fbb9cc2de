//! What ext2, ext3 and ext4 have in common.
//!
//! | file | what it holds |
//! |---|---|
//! | `load` | bytes that a structure is decoded from: of the region, or a copy of some of it |

pub(crate) mod load;
