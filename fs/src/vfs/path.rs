//! Walking a path: names from the root of a namespace on, across mount points, symbolic links followed.
//!
//! `..` goes back the way the walk came, so it leads out of a mounted file system, and out of a directory that was
//! reached through a symbolic link, as in any Unix. An absolute link starts over at the root.

use super::{FileKind, InodeRef};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use alloc::vec::Vec;

/// The longest path, in bytes (`PATH_MAX` without its NUL).
pub const PATH_MAX: usize = 4095;
/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MAX_LINKS: u32 = 40;

/// One or more file systems that paths lead through.
pub trait Namespace<P: Platform> {
    /// What tells file systems apart.
    type Mount: Clone;

    /// The file system at `/`, and its root.
    fn root(&self) -> Result<(Self::Mount, InodeRef<P>)>;

    /// The file system mounted at the directory to which `names` lead from `/`, and its root.
    fn mounted_at(&self, names: &[Vec<u8>]) -> Option<Result<(Self::Mount, InodeRef<P>)>>;
}

/// What a walk found.
pub struct Place<P: Platform, M = ()> {
    /// The file, or directory, or link.
    pub file: InodeRef<P>,
    /// The file system it is on.
    pub mount: M,
    /// The names that lead to it from `/`, without links and dots.
    pub names: Vec<Vec<u8>>,
}

/// A directory, and a name in it that may or may not be there.
pub type Slot<'a, P, M> = (Place<P, M>, &'a [u8]);

impl<P: Platform, M> Place<P, M> {
    /// True if it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file.kind() == FileKind::Directory
    }
}

/// Finds what `path` names, from the root on (a leading `/` changes nothing). With `follow`, a symbolic link at its
/// end is followed; one that more names or a `/` come after always is.
///
/// # Errors
/// [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`], [`Errno::Loop`], and the file systems' own.
pub fn walk<P: Platform, N: Namespace<P>>(
    space: &N,
    path: &[u8],
    follow: bool,
) -> Result<Place<P, N::Mount>> {
    if path.len() > PATH_MAX {
        return Err(Errno::NameTooLong.into());
    }
    let mut links = 0;
    // The way from the root to where we are, and what is left to walk, last name first, so that a link's target can be
    // pushed.
    let mut way = Vec::from([space.root()?]);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut left = Vec::new();
    push_names(&mut left, path);
    let mut ends_in_slash = path.ends_with(b"/");
    loop {
        let (mount, here) = way.last().cloned().ok_or(Errno::NotFound)?;
        let Some(name) = left.pop() else {
            if ends_in_slash {
                here.expect_directory()?;
            }
            return Ok(Place { file: here, mount, names });
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
            if links > MAX_LINKS {
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
            push_names(&mut left, &target);
            continue;
        }
        names.push(name);
        way.push(space.mounted_at(&names).unwrap_or(Ok((mount, next)))?);
    }
}

/// The directory that holds, or would hold, the last name of `path`, and that name.
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is `/` itself, otherwise as [`walk`].
pub fn parent_place<'a, P: Platform, N: Namespace<P>>(
    space: &N,
    path: &'a [u8],
) -> Result<Slot<'a, P, N::Mount>> {
    let end = path.iter().rposition(|&byte| byte != b'/').ok_or(Errno::Exists)? + 1;
    let trimmed = &path[..end];
    let start = trimmed.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let name = &trimmed[start..];
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let dir = walk(space, &trimmed[..start], true)?;
    dir.file.expect_directory()?;
    Ok((dir, name))
}

/// A path's names, first to last.
pub fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    push_names(&mut names, path);
    names.reverse();
    names
}

/// Pushes a path's names, last name first.
fn push_names(left: &mut Vec<Vec<u8>>, path: &[u8]) {
    left.extend(path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec));
}

/// One file system alone: its root directory.
impl<P: Platform> Namespace<P> for InodeRef<P> {
    type Mount = ();

    fn root(&self) -> Result<((), InodeRef<P>)> {
        Ok(((), self.clone()))
    }

    fn mounted_at(&self, _: &[Vec<u8>]) -> Option<Result<((), InodeRef<P>)>> {
        None
    }
}

/// [`walk`] in the file system of `root`, a symbolic link at the end followed: just the inode.
///
/// # Errors
/// As [`walk`].
pub fn resolve<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, path, true).map(|place| place.file)
}

/// As [`resolve`], but a symbolic link at the end is what is found.
///
/// # Errors
/// As [`walk`].
pub fn resolve_no_follow<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, path, false).map(|place| place.file)
}

/// [`parent_place`] in the file system of `root`: just the directory's inode, and the name.
///
/// # Errors
/// As [`parent_place`].
pub fn parent<'a, P: Platform>(root: &InodeRef<P>, path: &'a [u8]) -> Result<(InodeRef<P>, &'a [u8])> {
    parent_place(root, path).map(|(dir, name)| (dir.file, name))
}
