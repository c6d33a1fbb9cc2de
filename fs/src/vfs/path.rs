//! Walking a path: from a directory on, name by name, across mount points, symbolic links followed.
//!
//! A walk keeps where it is, not how it came there. `..` is looked up in the directory, which has that name; at the
//! root of a mounted file system it leads to where that is mounted; above `/` there is nothing. So `..` behind a
//! symbolic link goes up from where the link led, as in any Unix. An absolute link starts over at the root.
//!
//! Only a symbolic link makes a walk allocate memory: for its target, with what is left of the path.

use super::{FileKind, InodeRef};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use alloc::borrow::Cow;

/// The longest path, in bytes (`PATH_MAX` without its NUL).
pub const PATH_MAX: usize = 4095;
/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MAX_LINKS: u32 = 40;

/// One or more file systems that paths lead through.
pub trait Namespace<P: Platform> {
    /// What tells file systems apart.
    type Mount: Clone;

    /// The file system at `/`, and its root.
    fn root(&self) -> Result<Place<P, Self::Mount>>;

    /// The root of the file system that is mounted on inode `ino` of `mount`, a directory; `None` if none is.
    fn mounted_on(&self, mount: &Self::Mount, ino: u64) -> Option<Result<Place<P, Self::Mount>>>;

    /// If `ino` is the root of `mount`: the directory that `mount` is mounted on, or `/` itself, of which nothing is
    /// above.
    fn covered_by(&self, mount: &Self::Mount, ino: u64) -> Option<Covered<P, Self::Mount>>;
}

/// What is under a mounted file system's root.
pub enum Covered<P: Platform, M> {
    /// A directory of another file system.
    Directory(Place<P, M>),
    /// Nothing: it is mounted at `/`.
    Nothing,
}

/// A file, and the file system it is on: what a walk finds, and where one can start.
pub struct Place<P: Platform, M = ()> {
    /// The file, or directory, or link.
    pub file: InodeRef<P>,
    /// The file system it is on.
    pub mount: M,
}

impl<P: Platform, M: Clone> Clone for Place<P, M> {
    fn clone(&self) -> Self {
        Self { file: self.file.clone(), mount: self.mount.clone() }
    }
}

/// A directory, and a name in it that may or may not be there.
pub type Slot<'a, P, M> = (Place<P, M>, &'a [u8]);

impl<P: Platform, M> Place<P, M> {
    /// True if it is a directory.
    pub fn is_directory(&self) -> bool {
        self.file.kind() == FileKind::Directory
    }
}

/// Finds what `path` names, from `start` on, or from the root if there is no start or the path begins with `/`. With
/// `follow`, a symbolic link at its end is followed; one that more names or a `/` come after always is. An empty path
/// leads to the start.
///
/// # Errors
/// [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`], [`Errno::Loop`], and the file systems' own.
pub fn walk<P: Platform, N: Namespace<P>>(
    space: &N,
    start: Option<&Place<P, N::Mount>>,
    path: &[u8],
    follow: bool,
) -> Result<Place<P, N::Mount>> {
    if path.len() > PATH_MAX {
        return Err(Errno::NameTooLong.into());
    }
    let mut here = match start {
        Some(start) if !path.starts_with(b"/") => start.clone(),
        _ => space.root()?,
    };
    // The names that are left to walk are in `text` from `at` on.
    let (mut text, mut at, mut links) = (Cow::Borrowed(path), 0, 0);
    loop {
        at += text[at..].iter().take_while(|&&byte| byte == b'/').count();
        if at == text.len() {
            if text.ends_with(b"/") {
                here.file.expect_directory()?;
            }
            return Ok(here);
        }
        let end = text[at..].iter().position(|&byte| byte == b'/').map_or(text.len(), |len| at + len);
        let name = &text[at..end];
        here.file.expect_directory()?;
        if name == b"." {
            at = end;
            continue;
        }
        if name == b".." && !leave_mount(space, &mut here) {
            at = end;
            continue;
        }
        let next = here.file.lookup(name)?;
        // A `/` after it, and be it the last byte, means what the link leads to.
        if next.kind() == FileKind::Symlink && (follow || end < text.len()) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::Loop.into());
            }
            let mut target = next.read_link()?;
            if target.is_empty() {
                return Err(Errno::NotFound.into());
            }
            if target.starts_with(b"/") {
                here = space.root()?;
            }
            target.extend_from_slice(&text[end..]);
            (text, at) = (Cow::Owned(target), 0);
            continue;
        }
        at = end;
        here.file = next;
        // A mount point may itself be the root of what is mounted below it.
        while here.is_directory()
            && let Some(root) = space.mounted_on(&here.mount, here.file.ino())
        {
            here = root?;
        }
    }
}

/// Goes from the root of a mounted file system to the directory it covers, which `..` is looked up in. False at `/`,
/// whose parent is `/`.
fn leave_mount<P: Platform, N: Namespace<P>>(space: &N, here: &mut Place<P, N::Mount>) -> bool {
    while let Some(covered) = space.covered_by(&here.mount, here.file.ino()) {
        match covered {
            Covered::Directory(place) => *here = place,
            Covered::Nothing => return false,
        }
    }
    true
}

/// The directory that holds, or would hold, the last name of `path`, and that name. `start` as in [`walk`].
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is `/` itself, otherwise as [`walk`].
pub fn parent_place<'a, P: Platform, N: Namespace<P>>(
    space: &N,
    start: Option<&Place<P, N::Mount>>,
    path: &'a [u8],
) -> Result<Slot<'a, P, N::Mount>> {
    if path.len() > PATH_MAX {
        return Err(Errno::NameTooLong.into());
    }
    let end = path.iter().rposition(|&byte| byte != b'/').ok_or(Errno::Exists)? + 1;
    let trimmed = &path[..end];
    let at = trimmed.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    let name = &trimmed[at..];
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let dir = walk(space, start, &trimmed[..at], true)?;
    dir.file.expect_directory()?;
    Ok((dir, name))
}

/// One file system alone: its root directory.
impl<P: Platform> Namespace<P> for InodeRef<P> {
    type Mount = ();

    fn root(&self) -> Result<Place<P>> {
        Ok(Place { file: self.clone(), mount: () })
    }

    fn mounted_on(&self, (): &(), _: u64) -> Option<Result<Place<P>>> {
        None
    }

    fn covered_by(&self, (): &(), ino: u64) -> Option<Covered<P, ()>> {
        (ino == self.ino()).then_some(Covered::Nothing)
    }
}

/// [`walk`] in the file system of `root`, a symbolic link at the end followed: just the inode.
///
/// # Errors
/// As [`walk`].
pub fn resolve<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, None, path, true).map(|place| place.file)
}

/// As [`resolve`], but a symbolic link at the end is what is found.
///
/// # Errors
/// As [`walk`].
pub fn resolve_no_follow<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, None, path, false).map(|place| place.file)
}

/// [`parent_place`] in the file system of `root`: just the directory's inode, and the name.
///
/// # Errors
/// As [`parent_place`].
pub fn parent<'a, P: Platform>(root: &InodeRef<P>, path: &'a [u8]) -> Result<(InodeRef<P>, &'a [u8])> {
    parent_place(root, None, path).map(|(dir, name)| (dir.file, name))
}
