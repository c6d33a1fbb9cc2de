//! Renaming, within a directory and across.
//!
//! While two names show one inode, it counts both; so whatever a crash leaves has a name and enough links:
//!
//! 1. one more link, durable;
//! 2. the new name (an entry made, or one redirected), durable;
//! 3. the old name gone, durable;
//! 4. links as before; what was replaced loses one.
//!
//! # Locking
//! `rename lock → both directories → what is moved, what is replaced`. Of the directories, the one that
//! contains the other comes first, otherwise the lower number: the rename lock keeps the tree as it is
//! meanwhile. What is moved and what is replaced (lower number first) are one level below a locked directory,
//! and not above either: see `trap`.

use super::Ext2;
use super::dir::{Found, check_name, is_dot_name};
use super::ialloc::Nameable;
use super::inode::Inode;
use super::layout::*;
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::pmem::state::fence_all;
use crate::vfs::FileKind;
use alloc::sync::Arc;

impl<P: Platform> Ext2<P> {
    pub(super) fn rename_name(&self, old_dir: u64, old: &[u8], new_dir: u64, new: &[u8]) -> Result<()> {
        check_name(old)?;
        check_name(new)?;
        self.check_writable()?;
        if is_dot_name(old) || is_dot_name(new) {
            return Err(Errno::Invalid.into());
        }
        // Numbers that lead to no directory are the caller's mistake, not the image's.
        let directory = |ino: u64| -> Result<Arc<Inode<P>>> {
            let ino = u32::try_from(ino).map_err(|_| Errno::NotFound)?;
            // A name leads to a directory, and holds it, on its way here; what is wrong with it is the image's fault.
            let is_name = ino == ROOT_INO || (self.sb.first_ino..=self.sb.inodes_count).contains(&ino);
            let exists = is_name && self.inode_in_use(ino)?;
            if exists { self.inode(ino) } else { Err(Errno::NotFound.into()) }
        };
        let (from, to) = (directory(old_dir)?, directory(new_dir)?);
        from.expect_dir()?;
        to.expect_dir()?;
        // Once more, now that there are handles: from here on no unmount comes in between.
        self.check_writable()?;
        // Handles are dropped after every lock: an inode may go with them.
        let (mut moved, mut replaced) = (None, None);
        // Within a directory too: a directory below it may be locked.
        let _rename = self.rename.lock();
        if from.ino == to.ino {
            let _exclusive = from.mapping.exclusive();
            return self.rename_locked(&from, old, &to, new, None, &mut moved, &mut replaced);
        }
        // Which directory contains the other, and which of its children is on the way there?
        let above_to = self.way_up(&to, from.ino)?;
        let above_from = if above_to.is_some() { None } else { self.way_up(&from, to.ino)? };
        let from_first = above_to.is_some() || (above_from.is_none() && from.ino < to.ino);
        let (first, second) = if from_first { (&from, &to) } else { (&to, &from) };
        let _first = first.mapping.exclusive();
        let _second = second.mapping.exclusive();
        self.rename_locked(&from, old, &to, new, above_to.or(above_from), &mut moved, &mut replaced)
    }

    /// Climbs from `dir` to the root. If it passes `ancestor`: the inode just below that on the way.
    fn way_up(&self, dir: &Arc<Inode<P>>, ancestor: u32) -> Result<Option<u32>> {
        let way = self.climb(dir, ancestor);
        // Above a directory that was removed meanwhile nothing need be right.
        if way.is_err() {
            dir.expect_alive()?;
        }
        way
    }

    fn climb(&self, dir: &Arc<Inode<P>>, ancestor: u32) -> Result<Option<u32>> {
        let mut here = dir.clone();
        // Brent's way to notice a circle: a mark that is moved up at every power of two.
        let (mut mark, mut steps, mut next_mark) = (0, 0u32, 1u32);
        while here.ino != ROOT_INO {
            let parent = {
                let _shared = here.mapping.shared();
                here.dot_dot()?.ino
            };
            if parent == ancestor {
                return Ok(Some(here.ino));
            }
            if parent == mark || parent == here.ino {
                return Err(here.bad_dir("a directory is above itself", 0));
            }
            steps += 1;
            if steps == next_mark {
                (mark, next_mark) = (parent, next_mark.saturating_mul(2));
            }
            let above = self.inode(parent)?;
            above.expect_dir().map_err(|_| here.bad_dir("`..` names no directory", 0))?;
            here = above;
        }
        Ok(None)
    }

    /// Renames under the directories' locks. `trap` is the child of one directory on the way to the other:
    /// moving it would move a directory into itself, and it is not empty.
    #[allow(clippy::too_many_arguments)]
    fn rename_locked(
        &self,
        from: &Inode<P>,
        old: &[u8],
        to: &Inode<P>,
        new: &[u8],
        trap: Option<u32>,
        moved: &mut Option<Arc<Inode<P>>>,
        replaced: &mut Option<Arc<Inode<P>>>,
    ) -> Result<()> {
        from.expect_alive()?;
        to.expect_alive()?;
        // 1. What is moved, what is replaced, and may they?
        let found = from.expect_name(old)?;
        let source: &Arc<Inode<P>> = moved.insert(from.named(&found.entry)?);
        let is_dir = source.kind == FileKind::Directory;
        if trap == Some(source.ino) || source.ino == to.ino {
            return Err(Errno::Invalid.into());
        }
        from.expect_removable(source)?;
        if is_dir {
            from.expect_child(&found, source)?;
        }
        let room = to.find_room(new)?;
        let target = match &room {
            Ok(_) => None,
            Err(found) => Some((found, &*replaced.insert(to.named(&found.entry)?))),
        };
        if target.is_none() {
            to.expect_without(IMMUTABLE_FL)?;
        }
        if let Some((found, target)) = target {
            if target.ino == source.ino {
                return Ok(());
            }
            to.expect_removable(target)?;
            match (is_dir, target.kind == FileKind::Directory) {
                (true, false) => return Err(Errno::NotDirectory.into()),
                (false, true) => return Err(Errno::IsDirectory.into()),
                (true, true) if trap == Some(target.ino) || target.ino == from.ino => {
                    return Err(Errno::NotEmpty.into());
                }
                (true, true) => to.expect_child(found, target)?,
                (false, false) => {}
            }
        }
        let gains_dir = is_dir && from.ino != to.ino && target.is_none();
        if gains_dir && to.links() >= LINK_MAX {
            return Err(Errno::TooManyLinks.into());
        }
        // Files may have names in other directories too: two of them are locked by number.
        let (mut lower, mut upper) = (Some(source), target.map(|(_, target)| target));
        if upper.is_some_and(|target| target.ino < source.ino) {
            core::mem::swap(&mut lower, &mut upper);
        }
        let _lower = lower.map(|inode| inode.mapping.exclusive());
        let _upper = upper.map(|inode| inode.mapping.exclusive());
        if let Some((_, target)) = target
            && is_dir
            && !target.is_empty_dir()?
        {
            return Err(Errno::NotEmpty.into());
        }
        // `..` is found before anything changes, so that nothing can fail halfway.
        let dot_dot = if is_dir && from.ino != to.ino { Some(source.dot_dot()?) } else { None };

        let (pmem, now) = (self.pmem(), self.platform.now());
        let nameable = |ino| Nameable { ino, file_type: self.entry_type(source.kind) };
        // 2. Two names for a moment: two links.
        let links = source.links();
        let raised = source.store_links(links.saturating_add(1)).flush(pmem).map(|_| nameable(source.ino));
        // 3. The new name.
        let replaced_gone = match room {
            Ok(room) => {
                let prepared = match to.prepare(room, new, raised.fact()) {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        source.store_links(links).flush(pmem).fence(pmem).into_fact();
                        return Err(error);
                    }
                };
                if gains_dir {
                    to.raise_links()?.flush(pmem).unfenced();
                }
                let (prepared, raised) = fence_all(pmem, (prepared, raised));
                to.publish_entry(prepared, raised, new, now)?;
                None
            }
            Err(Found { entry, .. }) => {
                let raised = raised.fence(pmem);
                Some(to.redirect(&entry, raised, now).flush(pmem))
            }
        };
        // 4. `..` of a directory that moved: the new parent has its link for it by now.
        if let Some(dot_dot) = &dot_dot {
            let parent = Nameable { ino: to.ino, file_type: dot_dot.file_type };
            let parent = to.store_links(to.links()).flush(pmem).map(|_| parent).fence(pmem);
            source.redirect(dot_dot, parent, now).flush(pmem).unfenced();
        }
        let replaced_gone = fence_all(pmem, replaced_gone);
        // 5. The old name goes. Making the new one may have changed the entry before it: found again.
        let found = from.expect_name(old)?;
        let gone = from.take_out(&found, old, now).flush(pmem).fence(pmem);
        // 6. Links.
        source.lose_name(&gone, links, now).flush(pmem).unfenced();
        if is_dir && (from.ino != to.ino || target.is_some()) {
            from.lose_name(&gone, from.links().saturating_sub(1), now).flush(pmem).unfenced();
        }
        let left = target.zip(replaced_gone.as_ref()).map(|((_, target), gone)| {
            let left = if is_dir { 0 } else { target.links().saturating_sub(1) };
            target.lose_name(gone, left, now).flush(pmem)
        });
        if let Some(((_, target), left)) = target.zip(fence_all(pmem, left)) {
            target.links_left(left);
        }
        Ok(())
    }
}
