//! Finding files by path across mounts: the mount table as a [`Namespace`].

use alloc::sync::Arc;
use alloc::vec::Vec;

use fs::Errno;
use fs::vfs::FileSystem;
use fs::vfs::path::{self, Namespace, PATH_MAX};

use super::{Mount, NO_ROOT, Why, all};
use crate::machine::{File, Machine};

/// What a walk found.
pub(crate) type Place = path::Place<Machine, Arc<Mount>>;

/// The mount table, as it was when the walk began, and which of it is at `/`.
struct Table {
    mounts: Vec<Arc<Mount>>,
    root: Arc<Mount>,
}

impl Table {
    fn now() -> Result<Self, Why> {
        let mounts = all();
        match mounts.iter().find(|mount| mount.point.is_empty()).cloned() {
            Some(root) => Ok(Self { mounts, root }),
            None => {
                let reason = NO_ROOT.lock().clone();
                Err(Why::NotMounted(reason.unwrap_or_else(|| "nothing is mounted at /".into())))
            }
        }
    }
}

fn root_of(mount: &Arc<Mount>) -> fs::Result<(Arc<Mount>, File)> {
    Ok((mount.clone(), mount.fs.root()?))
}

impl Namespace<Machine> for Table {
    type Mount = Arc<Mount>;

    fn root(&self) -> fs::Result<(Arc<Mount>, File)> {
        root_of(&self.root)
    }

    fn mounted_at(&self, names: &[Vec<u8>]) -> Option<fs::Result<(Arc<Mount>, File)>> {
        self.mounts.iter().find(|mount| mount.point == names).map(root_of)
    }
}

/// Finds what the absolute path `path` names. With `follow`, a symbolic link at its end is followed.
///
/// # Errors
/// [`Why::NotMounted`], otherwise as [`path::walk`].
pub(crate) fn walk(path: &[u8], follow: bool) -> Result<Place, Why> {
    Ok(path::walk(&Table::now()?, path, follow)?)
}

/// The directory that holds, or would hold, the last name of the absolute path `path`, and that name.
///
/// # Errors
/// [`Why::NotMounted`], otherwise as [`path::parent_place`].
pub(crate) fn parent(path: &[u8]) -> Result<(Place, &[u8]), Why> {
    Ok(path::parent_place(&Table::now()?, path)?)
}

/// A place's path, without links and dots.
pub(crate) fn path_to(place: &Place) -> Vec<u8> {
    path_of(&place.names)
}

/// True if something is mounted at `name` in the directory `place`: the name must stay.
pub(crate) fn covers(place: &Place, name: &[u8]) -> bool {
    let is_it = |point: &[Vec<u8>]| {
        point.split_last().is_some_and(|(last, dir)| last.as_slice() == name && dir == place.names)
    };
    all().iter().any(|mount| is_it(&mount.point))
}

/// Refuses what no Unix takes as a path.
pub(crate) fn check_path(path: &[u8]) -> Result<(), Why> {
    match path.len() {
        0 => Err(Errno::NotFound.into()),
        length if length > PATH_MAX => Err(Errno::NameTooLong.into()),
        _ => Ok(()),
    }
}

/// The absolute path of names.
pub(super) fn path_of(names: &[Vec<u8>]) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().flat_map(|name| core::iter::once(&b'/').chain(name)).copied().collect()
}
