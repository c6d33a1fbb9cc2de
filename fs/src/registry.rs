//! The registry of file-system types: everything that can be mounted, and which of them a region holds.
//!
//! A new type is a folder beside `ext2` and one line of [`all`] (docs/extending.md).

use crate::error::{Error, Result, Unsupported};
use crate::platform::Platform;
use crate::vfs::{FileSystemRef, FileSystemType, MountOptions};

/// Returns every type, in the order in which a region is asked for them.
pub const fn all<P: Platform>() -> [FileSystemType<P>; 2] {
    [crate::ext2::file_system_type(), crate::ext4::file_system_type()]
}

/// Returns the type called `name`, if there is one.
pub fn find<P: Platform>(name: &str) -> Option<FileSystemType<P>> {
    all().into_iter().find(|kind| kind.name == name)
}

/// Returns the first type whose magic number the region has.
///
/// # Errors
/// [`Unsupported::Unrecognised`] if it has none; what a type met that could not look for its own.
pub fn detect<P: Platform>(pmem: &P::Pmem, options: &MountOptions) -> Result<FileSystemType<P>> {
    let mut why = Error::from(Unsupported::Unrecognised);
    for kind in all::<P>() {
        match (kind.probe)(pmem, options) {
            Ok(true) => return Ok(kind),
            Ok(false) => {}
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Mounts what is in the platform's region.
///
/// # Errors
/// As [`detect`], and as the type's own mount.
pub fn mount<P: Platform>(platform: P, options: MountOptions) -> Result<FileSystemRef<P>> {
    let kind = detect::<P>(platform.pmem(), &options)?;
    (kind.mount)(platform, options)
}
