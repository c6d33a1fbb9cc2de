//! Finding files by path across mounts.
//!
//! A path is walked name by name from the root file system on; where the walk comes to a mount point, it goes
//! on in the root of what is mounted there. `..` goes back the way the walk came, so it leads out of a
//! mounted file system and out of a directory reached through a symbolic link as in any Unix. An absolute
//! link starts over at `/`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::Errno;
use fs::vfs::path::PATH_MAX;
use fs::vfs::{FileKind, FileSystem};

use super::{Mount, NO_ROOT, Why, all};
use crate::machine::File;

/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MOST_LINKS: u32 = 40;

/// What a walk found.
pub(crate) struct Place {
    /// The file, or directory, or link.
    pub(crate) file: File,
    /// What it is on.
    pub(crate) mount: Arc<Mount>,
    /// The names that lead to it from `/`, without links and dots.
    pub(super) names: Vec<Vec<u8>>,
}

impl Place {
    /// Its path, without links and dots.
    pub(crate) fn path(&self) -> Vec<u8> {
        path_of(&self.names)
    }

    /// True if something is mounted at `name` in this directory: the name must stay.
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        let is_it = |point: &[Vec<u8>]| {
            point.split_last().is_some_and(|(last, dir)| last.as_slice() == name && dir == self.names)
        };
        all().iter().any(|mount| is_it(&mount.point))
    }
}

/// The directory that holds, or would hold, the last name of the absolute path `path`, and that name.
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is `/` itself, otherwise as
/// [`walk`].
pub(crate) fn parent(path: &[u8]) -> Result<(Place, &[u8]), Why> {
    let end = path.iter().rposition(|byte| *byte != b'/').ok_or(Errno::Exists)? + 1;
    let trimmed = &path[..end];
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let name = &trimmed[start..];
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let dir = walk(&trimmed[..start], true)?;
    dir.file.expect_directory()?;
    Ok((dir, name))
}

/// Finds what the absolute path `path` names. With `follow`, a symbolic link at its end is followed.
///
/// # Errors
/// [`Why::NotMounted`], [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`],
/// [`Errno::Loop`], and the file systems' own.
pub(crate) fn walk(path: &[u8], follow: bool) -> Result<Place, Why> {
    let mounts = all();
    let Some(root) = mounts.iter().find(|mount| mount.point.is_empty()) else {
        let reason = NO_ROOT.lock().clone();
        return Err(Why::NotMounted(reason.unwrap_or_else(|| "nothing is mounted at /".into())));
    };
    let mut links = 0;
    // The way from the root to where we are, and what is left to walk, last name first, so that a link's
    // target can be pushed.
    let mut way = Vec::from([(root, root.fs.root()?)]);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut left = names_of(path);
    left.reverse();
    let mut ends_in_slash = path.ends_with(b"/");
    loop {
        let Some((mount, here)) = way.last() else { return Err(Errno::NotFound.into()) };
        let (mount, here) = (*mount, here.clone());
        let Some(name) = left.pop() else {
            if ends_in_slash {
                here.expect_directory()?;
            }
            return Ok(Place { file: here, mount: mount.clone(), names });
        };
        here.expect_directory()?;
        if name == b"." {
            continue;
        }
        if name == b".." {
            // The root's parent is the root.
            if names.pop().is_some() {
                way.pop();
            }
            continue;
        }
        let next = here.lookup(&name)?;
        if next.kind() == FileKind::Symlink && (follow || ends_in_slash || !left.is_empty()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::Loop.into());
            }
            let target = next.read_link()?;
            if target.is_empty() {
                return Err(Errno::NotFound.into());
            }
            if target.starts_with(b"/") {
                names.clear();
                way.truncate(1);
            }
            ends_in_slash |= left.is_empty() && target.ends_with(b"/");
            left.extend(names_of(&target).into_iter().rev());
            continue;
        }
        names.push(name);
        match mounts.iter().find(|mount| mount.point == names) {
            Some(mounted) => way.push((mounted, mounted.fs.root()?)),
            None => way.push((mount, next)),
        }
    }
}

/// Refuses what no Unix takes as a path.
pub(crate) fn check_path(path: &[u8]) -> Result<(), Why> {
    match path.len() {
        0 => Err(Errno::NotFound.into()),
        length if length > PATH_MAX => Err(Errno::NameTooLong.into()),
        _ => Ok(()),
    }
}

/// A path's names.
pub(super) fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The absolute path of names.
pub(super) fn path_of(names: &[Vec<u8>]) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().flat_map(|name| core::iter::once(&b'/').chain(name)).copied().collect()
}
