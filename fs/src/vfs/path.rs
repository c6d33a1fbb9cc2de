//! Walking a path: `/`-separated names from a directory on, symbolic links followed.

use super::{FileKind, InodeRef};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use alloc::vec::Vec;

/// The longest path, in bytes (`PATH_MAX` without its NUL).
pub const PATH_MAX: usize = 4095;
/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MAX_LINKS: u32 = 40;

/// The inode at `path`, from `root` on (a leading `/` changes nothing). A symbolic link at the end is followed.
///
/// # Errors
/// [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`], [`Errno::Loop`], and the file system's own.
pub fn resolve<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, path, true)
}

/// As [`resolve`], but a symbolic link at the end is what is found.
pub fn resolve_no_follow<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, path, false)
}

/// The directory that holds, or would hold, the last name of `path`, and that name.
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is the root itself, otherwise as
/// [`resolve`].
pub fn parent<'a, P: Platform>(root: &InodeRef<P>, path: &'a [u8]) -> Result<(InodeRef<P>, &'a [u8])> {
    let end = path.iter().rposition(|&byte| byte != b'/').ok_or(Errno::Exists)? + 1;
    let trimmed = &path[..end];
    let start = trimmed.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let name = &trimmed[start..];
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let dir = walk(root, &trimmed[..start], true)?;
    dir.expect_directory()?;
    Ok((dir, name))
}

fn walk<P: Platform>(root: &InodeRef<P>, path: &[u8], follow_last: bool) -> Result<InodeRef<P>> {
    if path.len() > PATH_MAX {
        return Err(Errno::NameTooLong.into());
    }
    let mut links = 0;
    // The directory we are in, and what is left to walk, last name first, so that a link's target can be pushed.
    let mut here = root.clone();
    let mut left: Vec<Vec<u8>> = Vec::new();
    let mut ends_in_slash = path.ends_with(b"/");
    push_names(&mut left, path);
    while let Some(name) = left.pop() {
        here.expect_directory()?;
        if name == b"." {
            continue;
        }
        let next = here.lookup(&name)?;
        if next.kind() == FileKind::Symlink && (follow_last || ends_in_slash || !left.is_empty()) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::Loop.into());
            }
            let target = next.read_link()?;
            if target.starts_with(b"/") {
                here = root.clone();
            }
            ends_in_slash |= left.is_empty() && target.ends_with(b"/");
            push_names(&mut left, &target);
        } else {
            here = next;
        }
    }
    if ends_in_slash {
        here.expect_directory()?;
    }
    Ok(here)
}

fn push_names(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    left.extend(path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec));
}
