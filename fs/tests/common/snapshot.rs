//! Everything that can be seen of a file system but times: to compare what is there after a crash with what
//! was.

use super::{names, read_all};
use fs::ext2::Ext2;
use fs::platform::Platform;
use fs::vfs::{Device, FileKind, FileSystem, InodeRef};
use std::collections::BTreeMap;

/// What is to be seen of one inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) ino: u64,
    pub(crate) kind: FileKind,
    pub(crate) mode: u16,
    pub(crate) links: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) device: Device,
    /// A file's bytes, a symbolic link's target.
    pub(crate) content: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// All inodes by their paths.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<String, Seen>);

impl Snapshot {
    /// Looks at all of `fs`, or says what cannot be looked at.
    pub(crate) fn of<P: Platform>(fs: &Ext2<P>) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        let root = fs.root().map_err(|error| format!("the root: {error}"))?;
        walk("", &root, &mut all, 0)?;
        Ok(Self(all))
    }

    /// What differs, in short.
    pub(crate) fn difference(&self, other: &Self) -> String {
        let mut list = Vec::new();
        for (path, seen) in &self.0 {
            match other.0.get(path) {
                None => list.push(format!("{path} is missing")),
                Some(found) if found == seen => {}
                Some(found) if found.content == seen.content => list.push(format!(
                    "{path}: {:?} {:o} links {} {:?}, found {:?} {:o} links {} {:?}",
                    seen.kind,
                    seen.mode,
                    seen.links,
                    seen.xattrs,
                    found.kind,
                    found.mode,
                    found.links,
                    found.xattrs
                )),
                Some(found) => {
                    let (a, b) = (&seen.content, &found.content);
                    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
                    list.push(format!(
                        "{path}: {} bytes, found {}, first difference at {at}",
                        a.len(),
                        b.len()
                    ));
                }
            }
        }
        list.extend(
            other.0.keys().filter(|path| !self.0.contains_key(*path)).map(|path| format!("{path} is new")),
        );
        list.join("; ")
    }

    /// True if it is `before` or `after`, or has of each file whose content alone changed the old size or the
    /// new one, and of each of its bytes the old one or the new one.
    pub(crate) fn is_between(&self, before: &Self, after: &Self) -> bool {
        let fits = |path: &String, seen: &Seen| {
            let (Some(old), Some(new)) = (before.0.get(path), after.0.get(path)) else { return false };
            let rest = Seen { content: Vec::new(), ..seen.clone() };
            let len = seen.content.len();
            rest == (Seen { content: Vec::new(), ..old.clone() })
                && rest == (Seen { content: Vec::new(), ..new.clone() })
                && (len == old.content.len() || len == new.content.len())
                && seen.content.iter().enumerate().all(|(at, byte)| {
                    let (old, new) = (old.content.get(at), new.content.get(at));
                    Some(byte) == new || Some(byte) == old
                })
        };
        self == before
            || self == after
            || (self.0.len() == after.0.len() && self.0.iter().all(|(path, seen)| fits(path, seen)))
    }
}

fn walk<P: Platform>(
    path: &str,
    inode: &InodeRef<P>,
    all: &mut BTreeMap<String, Seen>,
    depth: u32,
) -> Result<(), String> {
    if depth > 20 {
        return Err(format!("{path}: a circle of directories"));
    }
    let attr = inode.attr();
    let content = match attr.kind {
        FileKind::File => read_all(&**inode),
        FileKind::Symlink => inode.read_link().map_err(|error| format!("{path}: {error}"))?,
        _ => Vec::new(),
    };
    let mut xattrs = BTreeMap::new();
    for name in inode.list_xattrs().unwrap_or_default() {
        let value = inode.xattr(&name).map_err(|error| format!("{path}: {error}"))?;
        xattrs.insert(name, value);
    }
    let (ino, kind, mode, links) = (attr.ino, attr.kind, attr.mode, attr.links);
    let (owner, device) = ((attr.uid, attr.gid), attr.device);
    all.insert(path.to_owned(), Seen { ino, kind, mode, links, owner, device, content, xattrs });
    if kind == FileKind::Directory {
        for name in names(&**inode) {
            if name == b"." || name == b".." {
                continue;
            }
            let path = format!("{path}/{}", String::from_utf8_lossy(&name));
            let child = inode.lookup(&name).map_err(|error| format!("{path}: {error}"))?;
            walk(&path, &child, all, depth + 1)?;
        }
    }
    Ok(())
}
