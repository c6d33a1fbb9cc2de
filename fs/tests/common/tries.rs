//! Everything that can be done to an image, tried whether it works or not.

use super::{BLOCK, LEVELS, Machine, View, extents_up_to, rmdir, unlink};
use fs::ext2::Ext2;
use fs::vfs::{FileKind, FileSystem, InodeRef, MountOptions, Rename, SetAttr, path};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Mounts, walks, reads, writes, removes, unmounts. An error of the mount is returned; later ones are answers
/// too: of the operations it is counted how many worked.
pub(crate) fn try_everything(machine: &Machine) -> fs::Result<u32> {
    let fs = fs::ext2::mount(machine.clone(), MountOptions::default())?;
    let mut tries = Tries { worked: 0, left: 100 };
    fs.stat_fs();
    if let Ok(root) = fs.root() {
        tries.walk(&root, 0);
        tries.change(&fs, &root);
        tries.walk(&root, 0);
    }
    tries.note(fs.sync());
    tries.note(fs.unmount());
    Ok(tries.worked)
}

/// What was tried on one image.
struct Tries {
    /// Operations that succeeded.
    worked: u32,
    /// Names still to be looked at: directories may go in circles.
    left: u32,
}

impl Tries {
    fn note<T>(&mut self, result: fs::Result<T>) -> Option<T> {
        self.worked += u32::from(result.is_ok());
        result.ok()
    }

    fn walk(&mut self, dir: &InodeRef<Machine>, depth: u32) {
        let mut found = Vec::new();
        let result = dir.read_dir(0, &mut |entry| {
            found.push(entry.name.to_vec());
            if found.len() < 30 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.note(result);
        for name in found {
            if self.left == 0 || depth > 5 {
                return;
            }
            self.left -= 1;
            let Some(inode) = self.note(dir.lookup(&name)) else { continue };
            self.look(&inode);
            if inode.kind() == FileKind::Directory && name != b"." && name != b".." {
                self.walk(&inode, depth + 1);
            }
        }
    }

    fn look(&mut self, inode: &InodeRef<Machine>) {
        let size = inode.attr().size;
        let mut buffer = [0; 200];
        let last = size.saturating_sub(100);
        for offset in LEVELS.map(|page| page * BLOCK).into_iter().chain([last, size, u64::MAX - 10]) {
            self.note(inode.read_at(offset, &mut buffer));
        }
        self.note(inode.read_link());
        self.note(extents_up_to(&**inode, 40));
    }

    /// Changes what can be changed.
    fn change(&mut self, fs: &Arc<Ext2<Machine>>, root: &InodeRef<Machine>) {
        let find = |path: &str| path::resolve_no_follow(root, path.as_bytes());
        for name in ["dir/file", "long", "sparse", "fast"] {
            let Some(file) = self.note(find(name)) else { continue };
            let view = View::new(&file, 0..LEVELS[3] + 10);
            for page in [0, 13, LEVELS[2], LEVELS[3]] {
                self.note(view.load_byte(page * BLOCK));
                self.note(view.store(page * BLOCK + 7, b"store"));
            }
            self.note(view.msync());
            for offset in [50, 25 * BLOCK] {
                self.note(file.write_at(offset, b"written"));
            }
            self.note(file.set_attr(&SetAttr { mode: Some(0o600), ..SetAttr::default() }));
            for size in [14 * BLOCK + 5, u64::MAX / 2, 100] {
                self.note(file.truncate(size));
            }
        }
        if let Some(new) = self.note(root.create(b"new", FileKind::File, 0o644)) {
            self.note(new.write_at(0, &[1; 5000]));
            self.note(new.write_at(LEVELS[2] * BLOCK, b"far"));
        }
        self.note(root.create(b"made", FileKind::Directory, 0o755));
        let dir = find("dir").map_or(0, |dir| dir.ino());
        self.note(fs.rename(2, b"new", dir, b"moved", Rename::Replace));
        self.note(fs.rename(2, b"dir", 2, b"renamed", Rename::Replace));
        self.note(fs.rename(2, b"sparse", 2, b"long", Rename::Replace));
        self.note(fs.rename(2, b"renamed", 2, b"made", Rename::Replace));
        for path in ["long", "made/sub/none", "fast", "slow", "made/moved", "made/hard"] {
            self.note(unlink(fs, path));
        }
        for path in ["many", "made/sub", "made", "lost+found"] {
            self.note(rmdir(fs, path));
        }
    }
}
