//! Rules about names that do not depend on what is on the disk: what may be made, what may be renamed, which
//! directory is above which.

use super::cache::Cached;
use super::dirent::{bad_dir, is_dot_name};
use super::layout::ROOT_INO;
use crate::error::{Errno, Result};
use crate::vfs::{Device, FileKind, Rename};
use alloc::sync::Arc;

/// Refuses what is made with more than a name: devices and symbolic links.
///
/// # Errors
/// [`Errno::Invalid`]
pub(crate) fn expect_nameable(kind: FileKind) -> Result<()> {
    match kind {
        FileKind::File | FileKind::Directory | FileKind::Fifo | FileKind::Socket => Ok(()),
        _ => Err(Errno::Invalid.into()),
    }
}

/// Refuses `device` as the numbers of an inode of `kind`.
///
/// # Errors
/// [`Errno::Invalid`]: no device's kind, or numbers that no inode has room for.
pub(crate) fn expect_device(kind: FileKind, device: Device) -> Result<()> {
    let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
    if !is_device || device.major > 0xfff || device.minor > 0xf_ffff {
        return Err(Errno::Invalid.into());
    }
    Ok(())
}

/// Refuses `target` as that of a symbolic link, with blocks of `block_size` bytes.
///
/// # Errors
/// Those of [`Inode::symlink`](crate::vfs::Inode::symlink); [`Errno::Invalid`] for a NUL.
pub(crate) fn expect_target(target: &[u8], block_size: u64) -> Result<()> {
    if target.is_empty() {
        return Err(Errno::NotFound.into());
    }
    // With its NUL it has to fit into a block.
    if target.len() as u64 >= block_size {
        return Err(Errno::NameTooLong.into());
    }
    if target.contains(&0) {
        return Err(Errno::Invalid.into());
    }
    Ok(())
}

/// Refuses `.` and `..` as names to rename from or to, in a directory that may be changed.
///
/// # Errors
/// [`Errno::Busy`]; [`Errno::Exists`] where the new name is to be none that is there.
pub(crate) fn expect_renamable(old: &[u8], new: &[u8], how: Rename) -> Result<()> {
    if is_dot_name(old) || is_dot_name(new) {
        let is_there = !is_dot_name(old) && how == Rename::NoReplace;
        return Err(if is_there { Errno::Exists } else { Errno::Busy }.into());
    }
    Ok(())
}

/// Climbs from directory `dir` to the root. If it passes `ancestor`: the inode just below that on the way.
/// `parent` returns the inode that `..` names, `directory` that inode, or `None` if it is no directory.
///
/// # Errors
/// What those answer; a directory is above itself, or `..` names no directory.
pub(crate) fn climb<I: Cached>(
    dir: &Arc<I>,
    ancestor: u32,
    parent: impl Fn(&I) -> Result<u32>,
    directory: impl Fn(u32) -> Result<Option<Arc<I>>>,
) -> Result<Option<u32>> {
    let mut here = dir.clone();
    // Brent's way to notice a circle: a mark that is moved up at every power of two.
    let (mut mark, mut steps, mut next_mark) = (0, 0_u32, 1_u32);
    while here.ino() != ROOT_INO {
        let above = parent(&here)?;
        if above == ancestor {
            return Ok(Some(here.ino()));
        }
        if above == mark || above == here.ino() {
            return Err(bad_dir(here.ino(), "a directory is above itself", 0));
        }
        steps += 1;
        if steps == next_mark {
            (mark, next_mark) = (above, next_mark.saturating_mul(2));
        }
        let none = || bad_dir(here.ino(), "`..` names no directory", 0);
        here = directory(above)?.ok_or_else(none)?;
    }
    Ok(None)
}
