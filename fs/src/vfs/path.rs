//! Walking a path: from a directory on, name by name, across mount points, symbolic links followed.
//!
//! A walk keeps where it is, not how it came there. `..` is looked up in the directory, which has that name;
//! at the root of a mounted file system it leads to where that is mounted; above `/` there is nothing. So
//! `..` behind a symbolic link goes up from where the link led, as in any Unix. An absolute link starts over
//! at the root.
//!
//! Only a symbolic link makes a walk allocate memory: for its target, with what is left of the path.

use super::{FileKind, InodeRef};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::ControlFlow;

/// The longest path, in bytes (`PATH_MAX` without its NUL).
pub const PATH_MAX: usize = 4095;
/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MAX_LINKS: u32 = 40;

/// One or more file systems that paths lead through.
pub trait Namespace<P: Platform> {
    /// What tells file systems apart.
    type Mount: Clone + PartialEq;

    /// The file system at `/`, and its root.
    fn root(&self) -> Result<Place<P, Self::Mount>>;

    /// The root of the file system that is mounted on inode `ino` of `mount`, a directory; `None` if none is.
    fn mounted_on(&self, mount: &Self::Mount, ino: u64) -> Option<Result<Place<P, Self::Mount>>>;

    /// What is called `name` in the directory `dir`; something built in may come before what the directory
    /// says.
    ///
    /// # Errors
    /// As [`Inode::lookup`](super::Inode::lookup).
    fn find_in(&self, dir: &Place<P, Self::Mount>, name: &[u8]) -> Result<Place<P, Self::Mount>> {
        Ok(Place { file: dir.file.lookup(name)?, mount: dir.mount.clone() })
    }

    /// What the directory `place` is called in `/`, if it is built in there.
    fn built_in(&self, _place: &Place<P, Self::Mount>) -> Option<&'static [u8]> {
        None
    }

    /// If `ino` is the root of `mount`: the directory that `mount` is mounted on, or `/` itself, of which
    /// nothing is above.
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
pub type DirAndName<'a, P, M> = (Place<P, M>, &'a [u8]);

impl<P: Platform, M> Place<P, M> {
    /// Returns whether the place is a directory.
    pub fn is_directory(&self) -> bool {
        self.file.kind() == FileKind::Directory
    }
}

/// Finds what `path` names, from `start` on, or from the root if there is no start or the path begins with
/// `/`. With `follow`, a symbolic link at its end is followed; one that more names or a `/` come after always
/// is. An empty path leads to the start.
///
/// # Errors
/// [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`], [`Errno::Loop`], and the file
/// systems' own.
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
        let Place { file: next, mount } = space.find_in(&here, name)?;
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
        here = Place { file: next, mount };
        enter_mounts(space, &mut here)?;
    }
}

/// Goes from a directory that something is mounted on to the root of that.
fn enter_mounts<P: Platform, N: Namespace<P>>(space: &N, here: &mut Place<P, N::Mount>) -> Result<()> {
    while here.is_directory()
        && let Some(root) = space.mounted_on(&here.mount, here.file.ino())
    {
        *here = root?;
    }
    Ok(())
}

/// Returns where a walk comes to that finds the directory `place`: the root of what is mounted on it, if
/// something is.
///
/// # Errors
/// The file systems' own.
pub fn across<P: Platform, N: Namespace<P>>(
    space: &N,
    mut place: Place<P, N::Mount>,
) -> Result<Place<P, N::Mount>> {
    enter_mounts(space, &mut place)?;
    Ok(place)
}

/// Finds what is called `name`, one name and not a path, in the directory `dir`; a link is not followed. For
/// trees: a name that an image made up can't lead elsewhere.
///
/// # Errors
/// As [`Inode::lookup`](super::Inode::lookup); [`Errno::Invalid`] for `.` and `..`.
pub fn child<P: Platform, N: Namespace<P>>(
    space: &N,
    dir: &Place<P, N::Mount>,
    name: &[u8],
) -> Result<Place<P, N::Mount>> {
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let mut found = space.find_in(dir, name)?;
    enter_mounts(space, &mut found)?;
    Ok(found)
}

/// Returns whether the directory `place` is `dir` or in it, at any depth.
///
/// # Errors
/// [`Errno::Loop`] if a damaged image has a directory above itself, and the file systems' own.
pub fn is_within<P: Platform, N: Namespace<P>>(
    space: &N,
    place: &Place<P, N::Mount>,
    dir: &Place<P, N::Mount>,
) -> Result<bool> {
    let same =
        |a: &Place<P, N::Mount>, b: &Place<P, N::Mount>| a.file.ino() == b.file.ino() && a.mount == b.mount;
    let mut here = place.clone();
    // Brent's way to notice a circle: a mark that is moved up at every power of two.
    let (mut mark, mut steps, mut next_mark) = (here.clone(), 0_u64, 1_u64);
    loop {
        if same(&here, dir) {
            return Ok(true);
        }
        if !leave_mount(space, &mut here) {
            return Ok(same(&here, dir));
        }
        here.file = here.file.lookup(b"..")?;
        if same(&here, &mark) {
            return Err(Errno::Loop.into());
        }
        steps += 1;
        if steps == next_mark {
            (mark, next_mark) = (here.clone(), next_mark.saturating_mul(2));
        }
    }
}

/// Returns the path of a directory from `/` on, without links and dots, as getcwd(3) finds it: the
/// directories above it are searched for its number.
///
/// # Errors
/// [`Errno::NotFound`] for a directory that was removed, [`Errno::NameTooLong`] beyond [`PATH_MAX`] (which
/// ends the search in a damaged image's circle, too), and the file systems' own.
pub fn path_to<P: Platform, N: Namespace<P>>(space: &N, dir: &Place<P, N::Mount>) -> Result<Vec<u8>> {
    let mut here = dir.clone();
    // Last name first, each with its bytes the wrong way round.
    let mut path = Vec::new();
    if let Some(name) = space.built_in(&here) {
        return Ok([b"/", name].concat());
    }
    while leave_mount(space, &mut here) {
        let (above, ino) = (here.file.lookup(b"..")?, here.file.ino());
        let before = path.len();
        above.read_dir(0, &mut |entry| {
            if entry.ino != ino || entry.name == b"." || entry.name == b".." {
                return ControlFlow::Continue(());
            }
            path.extend(entry.name.iter().rev());
            ControlFlow::Break(())
        })?;
        if path.len() == before {
            return Err(Errno::NotFound.into());
        }
        path.push(b'/');
        if path.len() > PATH_MAX {
            return Err(Errno::NameTooLong.into());
        }
        here.file = above;
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path.reverse();
    Ok(path)
}

/// Goes from the root of a mounted file system to the directory it covers, which `..` is looked up in. False
/// at `/`, whose parent is `/`.
fn leave_mount<P: Platform, N: Namespace<P>>(space: &N, here: &mut Place<P, N::Mount>) -> bool {
    while let Some(covered) = space.covered_by(&here.mount, here.file.ino()) {
        match covered {
            Covered::Directory(place) => *here = place,
            Covered::Nothing => return false,
        }
    }
    true
}

/// Finds the directory that holds, or would hold, the last name of `path`, and that name. `start` is as in
/// [`walk`].
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is `/` itself, otherwise as
/// [`walk`].
pub fn parent_place<'a, P: Platform, N: Namespace<P>>(
    space: &N,
    start: Option<&Place<P, N::Mount>>,
    path: &'a [u8],
) -> Result<DirAndName<'a, P, N::Mount>> {
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

/// Finds what [`walk`] finds in the file system of `root`, a symbolic link at the end followed: just the
/// inode.
///
/// # Errors
/// As [`walk`].
pub fn resolve<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, None, path, true).map(|place| place.file)
}

/// Finds an inode as [`resolve`] does, but a symbolic link at the end is what is found.
///
/// # Errors
/// As [`walk`].
pub fn resolve_no_follow<P: Platform>(root: &InodeRef<P>, path: &[u8]) -> Result<InodeRef<P>> {
    walk(root, None, path, false).map(|place| place.file)
}

/// Finds what [`parent_place`] finds in the file system of `root`: just the directory's inode, and the name.
///
/// # Errors
/// As [`parent_place`].
pub fn parent<'a, P: Platform>(root: &InodeRef<P>, path: &'a [u8]) -> Result<(InodeRef<P>, &'a [u8])> {
    parent_place(root, None, path).map(|(dir, name)| (dir.file, name))
}
