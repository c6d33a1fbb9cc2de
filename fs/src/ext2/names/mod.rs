//! Directories and the names in them.

pub(super) mod dir;
pub(super) mod diredit;
pub(super) mod dirent;
pub(super) mod namei;
pub(super) mod nameindex;
pub(super) mod rename;
pub(super) mod room;
