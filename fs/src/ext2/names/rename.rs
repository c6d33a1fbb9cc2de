//! Renaming, within a directory and across, replacing or exchanging.
//!
//! All that a rename changes is one commit of the redo record: the new entry (made, or made to name another
//! inode), the old one, `..` of a directory that moved, the links of both directories and of what was
//! replaced. A crash shows all of it or nothing. A new entry too long for the record is written aside and
//! durable before; a new block of a directory is there, empty, before. Both are free space if the commit does
//! not come.
//!
//! # Locking
//! `rename lock → both directories → what is moved, what is replaced → superblock`. Of the directories, the
//! one that contains the other comes first, otherwise the lower number: the rename lock keeps the tree as it
//! is meanwhile. What is moved and what is replaced (lower number first) are one level below a locked
//! directory, and not above either: see `trap`.

use super::Dir;
use crate::error::{Errno, Result};
use crate::ext::dirent::check_name;
use crate::ext::inode::{CTIME, MTIME};
use crate::ext::layout::*;
use crate::ext::names;
use crate::ext2::facts::{LinksStored, NameGone, Nameable};
use crate::ext2::fs::Ext2;
use crate::ext2::inode::Ext2Inode;
use crate::ext2::redo::Words;
use crate::platform::Platform;
use crate::pmem::state::Staged;
use crate::vfs::{ChangeOk, FileKind, Rename};
use alloc::sync::Arc;

/// The two names of a rename: each in a directory.
struct Pair<'a, P: Platform> {
    /// Both directories are locked.
    lock: ChangeOk<'a>,
    from: Dir<'a, P>,
    old: &'a [u8],
    to: Dir<'a, P>,
    new: &'a [u8],
    /// The child of one directory on the way to the other: moving it would move a directory into itself, and
    /// it is not empty.
    trap: Option<u32>,
}

/// What a rename found under its names. The handles are dropped after every lock: an inode may go with them.
struct Ends<P: Platform> {
    moved: Option<Arc<Ext2Inode<P>>>,
    replaced: Option<Arc<Ext2Inode<P>>>,
}

/// The directories of a mounted file system, as the tree that they are.
pub(in crate::ext2) struct DirTree<'a, P: Platform>(&'a Ext2<P>);

view!(DirTree of Ext2);

impl<P: Platform> Ext2<P> {
    /// Returns the file system's directories.
    #[inline(always)]
    pub(in crate::ext2) fn tree(&self) -> DirTree<'_, P> {
        DirTree(self)
    }
}

impl<P: Platform> DirTree<'_, P> {
    /// Renames `old` of directory number `old_dir`.
    pub(in crate::ext2) fn rename_name(
        self,
        old_dir: u64,
        old: &[u8],
        new_dir: u64,
        new: &[u8],
        how: Rename,
    ) -> Result<()> {
        check_name(old)?;
        check_name(new)?;
        let _thawed = self.start_change()?;
        names::expect_renamable(old, new, how)?;
        // A name leads to a directory, and holds it, on its way here; what is wrong with it is the image's
        // fault.
        let (from, to) = (self.inode_if_in_use(old_dir)?, self.inode_if_in_use(new_dir)?);
        let (from_dir, to_dir) = (from.dir()?, to.dir()?);
        // Once more, now that there are handles: from here on no unmount comes in between.
        self.check_writable()?;
        let mut ends = Ends { moved: None, replaced: None };
        // Within a directory too: a directory below it may be locked.
        let _rename = self.rename.lock();
        if from.ino == to.ino {
            let exclusive = from.lock.exclusive();
            let names =
                Pair { lock: exclusive.change_ok(), from: from_dir, old, to: to_dir, new, trap: None };
            return self.rename_locked(&names, how, &mut ends);
        }
        // Which directory contains the other, and which of its children is on the way there?
        let above_to = self.way_up(&to, from.ino)?;
        let above_from = if above_to.is_some() { None } else { self.way_up(&from, to.ino)? };
        let from_first = above_to.is_some() || (above_from.is_none() && from.ino < to.ino);
        let (first, second) = if from_first { (&from, &to) } else { (&to, &from) };
        let _first = first.lock.exclusive();
        let second = second.lock.exclusive();
        let (lock, trap) = (second.change_ok(), above_to.or(above_from));
        let names = Pair { lock, from: from_dir, old, to: to_dir, new, trap };
        self.rename_locked(&names, how, &mut ends)
    }

    /// Climbs from `dir` to the root. If it passes `ancestor`: the inode just below that on the way.
    fn way_up(self, dir: &Arc<Ext2Inode<P>>, ancestor: u32) -> Result<Option<u32>> {
        let parent = |here: &Ext2Inode<P>| {
            let shared = here.lock.shared();
            Ok(here.dir()?.dot_dot(shared.held())?.ino)
        };
        let directory = |ino| {
            let inode = self.inode(ino)?;
            Ok(inode.dir().is_ok().then_some(inode))
        };
        let way = names::climb(dir, ancestor, parent, directory);
        // Above a directory that was removed meanwhile nothing need be right.
        if way.is_err() {
            dir.expect_alive()?;
        }
        way
    }

    /// Renames under the directories' locks.
    fn rename_locked(self, names: &Pair<'_, P>, how: Rename, ends: &mut Ends<P>) -> Result<()> {
        let &Pair { lock, from, old, to, new, trap } = names;
        from.expect_alive()?;
        to.expect_alive()?;
        // 1. What is there?
        let found = from.expect_name(lock.held(), old)?;
        let room = to.find_room(lock, new)?;
        match (how, &room) {
            (Rename::NoReplace, Err(_)) => return Err(Errno::Exists.into()),
            (Rename::Exchange, Ok(_)) => return Err(Errno::NotFound.into()),
            _ => {}
        }
        let source: &Arc<Ext2Inode<P>> = ends.moved.insert(from.named(lock.held(), &found.entry)?);
        let target = match &room {
            Ok(_) => None,
            Err(found) => Some((found, &*ends.replaced.insert(to.named(lock.held(), &found.entry)?))),
        };
        // 2. May it be?
        let is_dir = source.kind == FileKind::Directory;
        let exchanged = how == Rename::Exchange;
        if trap == Some(source.ino) || source.ino == to.ino {
            return Err(Errno::Invalid.into());
        }
        if let Some((_, target)) = target {
            if target.ino == source.ino {
                return Ok(());
            }
            if trap == Some(target.ino) || target.ino == from.ino {
                return Err(if exchanged { Errno::Invalid } else { Errno::NotEmpty }.into());
            }
        }
        from.expect_removable(source)?;
        if is_dir {
            from.expect_child(lock.held(), &found, source.dir()?)?;
        }
        let target_is_dir = target.is_some_and(|(_, target)| target.kind == FileKind::Directory);
        match target {
            None => to.expect_without(IMMUTABLE_FL)?,
            Some((found, target)) => {
                to.expect_removable(target)?;
                if target_is_dir {
                    to.expect_child(lock.held(), found, target.dir()?)?;
                }
            }
        }
        match (target.is_some() && !exchanged, is_dir, target_is_dir) {
            (true, true, false) => return Err(Errno::NotDirectory.into()),
            (true, false, true) => return Err(Errno::IsDirectory.into()),
            _ => {}
        }
        // 3. Subdirectories that each directory has more or less: links of it.
        let came = i32::from(is_dir) - i32::from(target_is_dir);
        let went = if exchanged { came } else { i32::from(is_dir) };
        let links = |dir: Dir<'_, P>, more: i32| i32::from(dir.links()).saturating_add(more).max(0);
        let changes = match from.ino == to.ino {
            true => [(from, came - went), (to, 0)],
            false => [(from, -went), (to, came)],
        };
        if changes.iter().any(|&(dir, more)| more > 0 && links(dir, more) > LINK_MAX.into()) {
            return Err(Errno::TooManyLinks.into());
        }
        // 4. Files may have names in other directories too: two of them are locked by number.
        let (lower, upper) = match target {
            Some((_, target)) if target.ino < source.ino => (target, Some(source)),
            _ => (source, target.map(|(_, target)| target)),
        };
        let lower = lower.lock.exclusive();
        let _upper = upper.map(|inode| inode.lock.exclusive());
        // Of what is moved, and of what is replaced, if there is such.
        let ends_lock = lower.change_ok();
        if let Some((_, target)) = target.filter(|_| target_is_dir && !exchanged)
            && !target.dir()?.is_empty_dir(ends_lock.held(), to.ino)?
        {
            return Err(Errno::NotEmpty.into());
        }

        // 5. What is to change at once.
        let (pmem, now) = (self.pmem(), self.platform.now());
        let mut words = Words::new();
        for (dir, more) in changes.into_iter().filter(|&(_, more)| more != 0) {
            words.push_u16(pmem, dir.raw().at + I_LINKS_COUNT, links(dir, more) as u16);
        }
        if from.ino != to.ino {
            let moves = [
                is_dir.then_some((source, to)),
                target.map(|(_, t)| (t, from)).filter(|_| exchanged && target_is_dir),
            ];
            for (dir, parent) in moves.into_iter().flatten() {
                words.push(dir.dir()?.dot_dot(ends_lock.held())?.at + D_INODE, parent.ino);
            }
        }
        let left = match target {
            Some((_, target)) if !exchanged => {
                let left = if target_is_dir { 0 } else { target.links().saturating_sub(1) };
                words.push_u16(pmem, target.raw().at + I_LINKS_COUNT, left);
                if left == 0 {
                    words.push(target.raw().at + I_DTIME, (now.secs as u32).max(1));
                }
                Some(left)
            }
            _ => None,
        };
        let renamed = Nameable::new(&self.sb, source.ino, source.kind);
        from.drop_index(lock);
        to.drop_index(lock);
        match (&room, target) {
            (Err(there), Some((_, target))) => {
                to.rename_entry(&there.entry, &renamed, &mut words);
                if exchanged {
                    from.rename_entry(
                        &found.entry,
                        &Nameable::new(&self.sb, target.ino, target.kind),
                        &mut words,
                    );
                } else {
                    words.push(found.entry.at + D_INODE, 0);
                }
            }
            _ => words.push(found.entry.at + D_INODE, 0),
        }
        // 6. The new entry, with them or before them; then all at once, durable. Times may be earlier.
        let ready = match room {
            Ok(room) => {
                let (ready, placed) = to.place(lock, room, new, &renamed, &mut words)?;
                (ready, Some(placed))
            }
            Err(_) => (Staged::nothing(()), None),
        };
        let (ready, placed) = ready;
        let changed = [from, to];
        changed[..1 + usize::from(from.ino != to.ino)].iter().for_each(|dir| dir.touch(&[MTIME, CTIME], now));
        source.touch(&[CTIME], now);
        if let Some((_, target)) = target {
            target.touch(&[CTIME], now);
        }
        let committed = self.redo().commit(words, ready)?;
        if !exchanged {
            from.index_removed(lock, old, &found);
        }
        if let Some(placed) = placed {
            to.index_added(lock, new, &placed);
        }
        if let Some((left, (_, target))) = left.zip(target) {
            let gone = committed.implies(NameGone);
            target.links_left(ends_lock, committed.map(|_| LinksStored(left)), &gone);
        }
        Ok(())
    }
}
