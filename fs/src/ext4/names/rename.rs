//! Renaming, within a directory and across, replacing or exchanging: one operation.
//!
//! # Locking
//! `rename lock → both directories → what is moved, what is replaced → operation`. Of the directories, the
//! one that contains the other comes first, otherwise the lower number: the rename lock keeps the tree as it
//! is meanwhile. What is moved and what is replaced (lower number first) are one level below a locked
//! directory, and not above either: see `trap`.

use super::Dir;
use super::death::ORPHAN;
use super::edit::CHANGED_BY_ENTRY;
use crate::error::{Corrupt, Errno, Result};
use crate::ext::dirent::{Dirent, check_name, entry_type};
use crate::ext::inode::CTIME;
use crate::ext::layout::*;
use crate::ext::names;
use crate::ext4::change::InodeChange;
use crate::ext4::fs::Ext4;
use crate::ext4::inode::Ext4Inode;
use crate::ext4::operation::Ext4Operation;
use crate::platform::Platform;
use crate::vfs::{FileKind, Rename};
use alloc::sync::Arc;

/// The two names of a rename: each in a directory that is locked.
struct RenamedNames<'a, P: Platform> {
    from: Dir<'a, P>,
    old: &'a [u8],
    to: Dir<'a, P>,
    new: &'a [u8],
    /// The child of one directory on the way to the other: moving it would move a directory into itself, and
    /// it is not empty.
    trap: Option<u32>,
}

/// What a rename found under its names. The handles are dropped after every lock: an inode may go with them.
struct RenamedInodes<P: Platform> {
    moved: Option<Arc<Ext4Inode<P>>>,
    replaced: Option<Arc<Ext4Inode<P>>>,
}

impl<P: Platform> Ext4<P> {
    /// Renames `old` of directory number `old_dir`.
    pub(in crate::ext4) fn rename_name(
        &self,
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
        let mut ends = RenamedInodes { moved: None, replaced: None };
        // Within a directory too: a directory below it may be locked.
        let _rename = self.rename.lock();
        if from.ino == to.ino {
            let _exclusive = from.lock.exclusive();
            let names = RenamedNames { from: from_dir, old, to: to_dir, new, trap: None };
            return self.with_freed_space(|| names.rename(how, &mut ends));
        }
        // Which directory contains the other, and which of its children is on the way there?
        let above_to = self.way_up(&to, from.ino)?;
        let above_from = if above_to.is_some() { None } else { self.way_up(&from, to.ino)? };
        let from_first = above_to.is_some() || (above_from.is_none() && from.ino < to.ino);
        let (first, second) = if from_first { (&from, &to) } else { (&to, &from) };
        let _first = first.lock.exclusive();
        let _second = second.lock.exclusive();
        let names = RenamedNames { from: from_dir, old, to: to_dir, new, trap: above_to.or(above_from) };
        self.with_freed_space(|| names.rename(how, &mut ends))
    }

    /// Climbs from `dir` to the root. If it passes `ancestor`: the inode just below that on the way.
    fn way_up(&self, dir: &Arc<Ext4Inode<P>>, ancestor: u32) -> Result<Option<u32>> {
        let parent = |here: &Ext4Inode<P>| here.dir()?.parent();
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
}

impl<P: Platform> RenamedNames<'_, P> {
    /// Renames.
    fn rename(&self, how: Rename, ends: &mut RenamedInodes<P>) -> Result<()> {
        let &Self { from, old, to, new, trap } = self;
        let fs = &from.fs;
        from.expect_alive()?;
        to.expect_alive()?;
        // 1. What is there?
        let found = from.expect_name(old)?;
        let there = to.find_entry(new)?;
        match (how, &there) {
            (Rename::NoReplace, Some(_)) => return Err(Errno::Exists.into()),
            (Rename::Exchange, None) => return Err(Errno::NotFound.into()),
            _ => to.expect_editable()?,
        }
        let source: &Arc<Ext4Inode<P>> = ends.moved.insert(fs.inode(found.ino)?);
        let target = match there {
            None => None,
            Some(there) => Some((there, &*ends.replaced.insert(fs.inode(there.ino)?))),
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
            from.expect_child(&found, source.dir()?)?;
        }
        let target_is_dir = target.is_some_and(|(_, target)| target.kind == FileKind::Directory);
        match &target {
            None => to.expect_without(IMMUTABLE_FL)?,
            Some((there, target)) => {
                to.expect_removable(target)?;
                if target_is_dir {
                    to.expect_child(there, target.dir()?)?;
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
        let is_within = from.ino == to.ino;
        let links = match is_within {
            true => [from.links_with(came - went)?; 2],
            false => [from.links_with(-went)?, to.links_with(came)?],
        };
        // 4. Files may have names in other directories too: two of them are locked by number.
        let (lower, upper) = match target {
            Some((_, target)) if target.ino < source.ino => (target, Some(source)),
            _ => (source, target.map(|(_, target)| target)),
        };
        let _lower = lower.lock.exclusive();
        let _upper = upper.map(|inode| inode.lock.exclusive());
        let credits = to.added_name_credits() + 3 * CHANGED_BY_ENTRY + ORPHAN + 4;
        let op = fs.begin(credits)?;
        if let Some((_, target)) = target.filter(|_| target_is_dir && !exchanged) {
            target.dir()?.expect_empty(&op, to.ino)?;
        }
        // 5. All that may fail. A new name comes last: it moves other entries.
        let (change_from, change_to) = (InodeChange::new(&op, &from), InodeChange::new(&op, &to));
        from.edit(&change_from).expect_entry(found.pos)?;
        let moves = [
            (is_dir && !is_within).then_some((source, to.ino)),
            target.map(|(_, target)| (target, from.ino)).filter(|_| exchanged && target_is_dir && !is_within),
        ];
        let mut dot_dots = [None, None];
        for (slot, (dir, parent)) in dot_dots.iter_mut().zip(moves.into_iter().flatten()) {
            let dir = dir.dir()?;
            dir.expect_editable()?;
            let pos = dir.dot_dot()?.pos;
            dir.edit(&InodeChange::new(&op, &dir)).expect_entry(pos)?;
            *slot = Some((dir, pos, parent));
        }
        let left = target.filter(|_| !exchanged).map(|(_, target)| match target_is_dir {
            true => 0,
            false => target.links().saturating_sub(1),
        });
        match &target {
            None => to.add_entry(&op, new, source)?,
            Some((there, target)) => {
                to.edit(&change_to).expect_entry(there.pos)?;
                if let Some(left) = left {
                    target.expect_losable(&op, left)?;
                }
            }
        }
        // 6. The names.
        let type_of = |inode: &Ext4Inode<P>| entry_type(&fs.sb, inode.kind);
        match &target {
            None => from.edit(&change_from).remove(self.again(&op, &found)?)?,
            Some((there, target)) => {
                to.edit(&change_to).redirect(there.pos, source.ino, type_of(source))?;
                match exchanged {
                    true => from.edit(&change_from).redirect(found.pos, target.ino, type_of(target))?,
                    false => from.edit(&change_from).remove(found.pos)?,
                }
            }
        }
        for (dir, pos, parent) in dot_dots.into_iter().flatten() {
            dir.edit(&InodeChange::new(&op, &dir)).redirect(pos, parent, type_of(&dir))?;
        }
        // 7. What they lead to, and where they are.
        let now = fs.platform.now();
        for (dir, links) in [from, to].into_iter().zip(links).take(if is_within { 1 } else { 2 }) {
            dir.store_links(links);
            dir.changed(&op, now)?;
        }
        source.touch(&[CTIME], now);
        source.mark(&op)?;
        if let Some((_, target)) = target {
            target.lose_name(&op, left.unwrap_or_else(|| target.links()), now)?;
        }
        Ok(())
    }

    /// Returns where the old name is now that the new one is there: that may have moved it.
    ///
    /// # Errors
    /// It cannot be found any more. The journal is given up, for a file with both names is not what anybody
    /// asked for.
    fn again(&self, op: &Ext4Operation<'_, P>, found: &Dirent) -> Result<u64> {
        if self.from.ino != self.to.ino {
            return Ok(found.pos);
        }
        let again = self.from.find_entry(self.old).and_then(|entry| {
            let gone = || Corrupt::new("directory", self.from.ino.into(), "a name was lost beside a new one");
            let pos = entry.ok_or_else(gone)?.pos;
            self.from.edit(&InodeChange::new(op, &self.from)).expect_entry(pos).map(|()| pos)
        });
        if let (Err(error), Ok(journal)) = (&again, self.from.fs.written_journal()) {
            journal.abort(*error);
        }
        again
    }
}
