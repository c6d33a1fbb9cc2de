//! Finding files by path across mounts: the mount table as a [`Namespace`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::Errno;
use fs::vfs::path::{self, Covered, Namespace, PATH_MAX};

use super::{Mount, MountList, NO_ROOT, Why, all, dev};
use crate::machine::KernelPlatform;

/// A file, and the mount it is on.
pub type Place = path::Place<KernelPlatform, Arc<Mount>>;

/// The mounts as they were when the walk began, and which of them is at `/`.
struct MountTable {
    mounts: Arc<MountList>,
    root: Arc<Mount>,
}

impl MountTable {
    /// Takes the mount table for paths from `start` on; `from_root` begins with `/`, or is empty.
    fn now(start: Option<&Place>, from_root: &[u8]) -> Result<Self, Why> {
        let mounts = all();
        let root = mounts.iter().find(|mount| mount.is_root()).cloned();
        // Devices are there whatever is mounted.
        let asked = from_root.strip_prefix(b"/dev").is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        let devices = || dev::mount().filter(|dev| asked || start.is_some_and(|start| start.mount == **dev));
        match root.or_else(|| devices().cloned()) {
            Some(root) => Ok(Self { mounts, root }),
            None => {
                let reason = NO_ROOT.lock().clone();
                Err(Why::NotMounted(reason.unwrap_or_else(|| "nothing is mounted at /".into())))
            }
        }
    }
}

fn root_of(mount: &Arc<Mount>) -> fs::Result<Place> {
    Ok(Place { file: mount.fs.root()?, mount: mount.clone() })
}

impl Namespace<KernelPlatform> for MountTable {
    type Mount = Arc<Mount>;

    fn root(&self) -> fs::Result<Place> {
        root_of(&self.root)
    }

    fn mounted_on(&self, mount: &Arc<Mount>, ino: u64) -> Option<fs::Result<Place>> {
        self.mounts.iter().find(|other| other.is_on(mount, ino)).map(root_of)
    }

    fn find_in(&self, dir: &Place, name: &[u8]) -> fs::Result<Place> {
        match dev::mount() {
            Some(dev) if name == dev::NAME && dir.mount == self.root && dir.file.ino() == self.root.root => {
                root_of(dev)
            }
            _ => Ok(Place { file: dir.file.lookup(name)?, mount: dir.mount.clone() }),
        }
    }

    fn built_in(&self, place: &Place) -> Option<&'static [u8]> {
        let is_root = place.file.ino() == place.mount.root;
        dev::mount().filter(|dev| is_root && place.mount == **dev).map(|_| dev::NAME)
    }

    fn covered_by(&self, mount: &Arc<Mount>, ino: u64) -> Option<Covered<KernelPlatform, Arc<Mount>>> {
        if dev::mount().is_some_and(|dev| mount == dev && *mount != self.root && ino == dev.root) {
            // It is in `/`, and covers nothing.
            return Some(root_of(&self.root).map_or(Covered::Nothing, Covered::Directory));
        }
        (mount.root == ino).then(|| match &mount.point {
            Some(point) => Covered::Directory(point.clone()),
            None => Covered::Nothing,
        })
    }
}

/// Finds what `path` names, from `start` on (from `/` if there is none). With `follow`, a symbolic link at
/// its end is followed.
///
/// # Errors
/// [`Why::NotMounted`], otherwise as [`path::walk`].
pub fn walk(start: Option<&Place>, path: &[u8], follow: bool) -> Result<Place, Why> {
    Ok(path::walk(&MountTable::now(start, path)?, start, path, follow)?)
}

/// Returns the directory that holds, or would hold, the last name of `path` from `start` on, and that name.
///
/// # Errors
/// [`Why::NotMounted`], otherwise as [`path::parent_place`].
pub fn parent<'a>(start: Option<&Place>, path: &'a [u8]) -> Result<(Place, &'a [u8]), Why> {
    Ok(path::parent_place(&MountTable::now(start, path)?, start, path)?)
}

/// Returns what is called `name` in the directory `dir`; a link is not followed.
///
/// # Errors
/// Those of [`path::child`].
pub fn child(dir: &Place, name: &[u8]) -> Result<Place, Why> {
    Ok(path::child(&MountTable::now(Some(dir), b"")?, dir, name)?)
}

/// Returns where a walk comes to that finds the directory `place`, as [`path::across`] does.
///
/// # Errors
/// Those of [`path::across`].
pub fn across(place: Place) -> Result<Place, Why> {
    Ok(path::across(&MountTable::now(Some(&place), b"")?, place)?)
}

/// Returns whether the directory `place` is `dir` or in it.
///
/// # Errors
/// Those of [`path::is_within`].
pub fn is_within(place: &Place, dir: &Place) -> Result<bool, Why> {
    Ok(path::is_within(&MountTable::now(Some(place), b"")?, place, dir)?)
}

/// Returns a directory's path, without links and dots.
///
/// # Errors
/// Those of [`path::path_to`].
pub fn path_to(dir: &Place) -> Result<Vec<u8>, Why> {
    Ok(path::path_to(&MountTable::now(Some(dir), b"")?, dir)?)
}

/// Returns whether something is mounted at `name` in the directory `dir`: the name must stay.
pub fn covers(dir: &Place, name: &[u8]) -> bool {
    let mounts = all();
    // Hardly ever is there more than the root, which is on nothing.
    if mounts.iter().all(|mount| mount.is_root()) {
        return false;
    }
    dir.file.lookup(name).is_ok_and(|file| mounts.iter().any(|mount| mount.is_on(&dir.mount, file.ino())))
}

/// Refuses what no Unix takes as a path.
///
/// # Errors
/// [`Errno::NotFound`] for an empty path, [`Errno::NameTooLong`] for one that is too long.
pub fn check_path(path: &[u8]) -> Result<(), Why> {
    match path.len() {
        0 => Err(Errno::NotFound.into()),
        length if length > PATH_MAX => Err(Errno::NameTooLong.into()),
        _ => Ok(()),
    }
}
