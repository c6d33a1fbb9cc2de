//! Everything that can be seen of an ext4, looked at one after the other: the answers of a damaged image are
//! held against those of a sound one.

use super::ext4_disk::{PIECES, STEP};
use super::{BLOCK, Machine, View};
use fs::ext4::Ext4;
use fs::vfs::{FileKind, FileSystem, Inode, InodeRef, MountOptions, Seek};
use fs::{Error, Result};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Names in a directory of more than this are not all looked up.
const MANY: usize = 100;

/// What is looked at, by its path: the directory's place in this list, the name, the inode's number and kind.
pub(crate) struct Sight {
    pub(crate) parent: usize,
    name: Vec<u8>,
    pub(crate) ino: u64,
    kind: FileKind,
}

/// What each look gave: the place of what was looked at, and a digest or an error; none, if its inode could
/// not be looked up.
pub(crate) type Answers = Vec<(usize, Option<Result<u64>>)>;

pub(crate) fn mount(machine: &Machine) -> Result<Arc<Ext4<Machine>>> {
    fs::ext4::mount(machine.clone(), MountOptions { read_only: true, ..MountOptions::default() })
}

/// All that there is to look at in a sound image.
pub(crate) fn sights(machine: &Machine) -> Vec<Sight> {
    let fs = mount(machine).unwrap_or_else(|error| panic!("{error}"));
    let mut list = vec![Sight { parent: 0, name: Vec::new(), ino: 2, kind: FileKind::Directory }];
    let mut inodes = vec![fs.root().expect("root")];
    let mut next = 0;
    while next < inodes.len() {
        if inodes[next].kind() == FileKind::Directory {
            let names = super::names(&*inodes[next]);
            let step = if names.len() > MANY { 40 } else { 1 };
            for name in names.into_iter().filter(|name| name != b"." && name != b"..").step_by(step) {
                let inode = inodes[next].lookup(&name).unwrap_or_else(|error| panic!("{error}"));
                list.push(Sight { parent: next, name, ino: inode.ino(), kind: inode.kind() });
                inodes.push(inode);
            }
        }
        next += 1;
    }
    list
}

/// Looks at everything. True if a contradiction was noted.
pub(crate) fn look(machine: &Machine, sights: &[Sight]) -> Result<(Answers, bool)> {
    let fs = mount(machine)?;
    fs.stat_fs();
    let mut answers = Vec::new();
    let mut found: Vec<Option<InodeRef<Machine>>> = Vec::new();
    // A file with several names is looked into once.
    let mut seen = BTreeMap::new();
    for (place, sight) in sights.iter().enumerate() {
        let result = match found.get(sight.parent).filter(|_| place > 0) {
            None => Some(fs.root()),
            Some(parent) => parent.as_ref().map(|parent| parent.lookup(&sight.name)),
        };
        let first = seen.insert(sight.ino, ()).is_none();
        let looked_up = result.as_ref().map(|result| match result {
            Ok(inode) => Ok(inode.ino()),
            Err(error) => Err(*error),
        });
        answers.push((place, looked_up));
        let inode = result.and_then(Result::ok);
        if first {
            look_into(inode.as_ref(), sight.kind, &mut |answer| answers.push((place, answer)));
        }
        found.push(inode);
    }
    Ok((answers, fs.met_errors()))
}

fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn look_into(inode: Option<&InodeRef<Machine>>, kind: FileKind, answer: &mut dyn FnMut(Option<Result<u64>>)) {
    let mut add = |ask: &dyn Fn(&InodeRef<Machine>) -> Result<u64>| answer(inode.map(ask));
    add(&|inode| Ok(digest(format!("{:?}", inode.attr()))));
    add(&|inode| Ok(digest(inode.list_xattrs()?)));
    for name in ["user.small", "user.large", "user.huge", "system.data"] {
        add(&|inode| Ok(digest(inode.xattr(name.as_bytes())?)));
    }
    match kind {
        FileKind::File => {
            add(&|inode| Ok(digest(read(&**inode)?)));
            add(&|inode| {
                let mut all = Vec::new();
                inode.extents(0, &mut |extent| {
                    all.push(format!("{extent:?}"));
                    if all.len() < 1000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                Ok(digest(all))
            });
            add(&|inode| inode.seek(5, Seek::Hole));
            add(&|inode| inode.seek(5, Seek::Data));
            add(&|inode| inode.seek(20_000, Seek::Data));
            add(&|inode| {
                inode.expect_mappable()?;
                let view = View::new(inode, 0..8);
                let bytes: Vec<Result<u8>> = [0, 3, 7].map(|page| view.load_byte(page * BLOCK)).into();
                match bytes
                    .iter()
                    .find_map(|byte| byte.err().filter(|error| matches!(error, Error::Corrupt(_))))
                {
                    Some(error) => Err(error),
                    None => Ok(digest(format!("{bytes:?}"))),
                }
            });
        }
        FileKind::Directory => {
            add(&|inode| {
                let mut all = Vec::new();
                inode.read_dir(0, &mut |entry| {
                    all.push((entry.name.to_vec(), entry.ino, format!("{:?}", entry.kind)));
                    if all.len() < 5000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                Ok(digest(all))
            });
            for name in [".", "..", "absent"] {
                add(&|inode| Ok(inode.lookup(name.as_bytes())?.ino()));
            }
        }
        _ => add(&|inode| Ok(digest(inode.read_link()?))),
    }
}

/// What of a file fits, and of one in pieces what is at each.
fn read(file: &dyn Inode<Machine>) -> Result<Vec<u8>> {
    let (mut all, size) = (Vec::new(), file.attr().size);
    let (step, len) = if size > 1 << 20 { (STEP, 100) } else { (60_000, 60_000) };
    for start in (0..size.min(PIECES * STEP)).step_by(step as usize) {
        let (mut bytes, mut done) = (vec![0; len], 0);
        loop {
            match file.read_at(start + done as u64, &mut bytes[done..])? {
                0 => break,
                count => done += count,
            }
        }
        all.extend_from_slice(&bytes[..done]);
    }
    Ok(all)
}
