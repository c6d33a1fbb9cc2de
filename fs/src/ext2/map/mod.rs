//! The indirect tree: from a logical block of a file to its block, and everything that changes that.

pub(super) mod extents;
pub(super) mod fallocate;
pub(super) mod grow;
pub(super) mod large;
pub(super) mod lookup;
pub(super) mod shift;
pub(super) mod truncate;
