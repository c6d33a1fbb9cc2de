//! Changing directories: entries added and taken out, each by one store that a crash cannot tear.
//!
//! * *Added* into the free space of a block: the entry is written where no reader looks, made durable, then
//!   uncovered by storing the `rec_len` of the entry before it, or the inode number of a free entry. Or into
//!   a fresh block, which is published as in `grow`.
//! * *Taken out*: covered by the `rec_len` of the entry before it, or its inode number set to 0.
//!
//! # Locking
//! Under the directory's inode lock, held exclusively.

use super::dir::Found;
use super::dirent::Entry;
use super::grow::{Chain, Fill};
use super::ialloc::Nameable;
use super::inode::Inode;
use super::layout::*;
use super::map::Spot;
use super::times::{CTIME, MTIME};
use crate::error::{Errno, Result};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Dirty, Fenced, InFlight, InFlightGroup, Staged};
use core::ops::ControlFlow;

/// The most bytes a directory may have.
const MAX_DIR_SIZE: u64 = 1 << 31;

/// Where a new entry fits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// Into a free entry.
    Free(Entry),
    /// Behind what this entry needs itself.
    Behind(Entry),
    /// Into a new block.
    NewBlock,
}

/// A free entry, at this byte offset, has all but its inode number.
#[derive(Debug)]
pub(super) struct InFree(u64);

/// An entry is written behind the one at byte offset `at`, which will keep `rec_len`.
#[derive(Debug)]
pub(super) struct BehindOther {
    at: u64,
    rec_len: u16,
}

/// An entry written where no reader looks yet, and how far that is from being durable.
pub(super) enum Prepared<S> {
    /// It appears when its inode number is stored.
    Free(Staged<InFree, S>),
    /// It appears when the entry before it is cut to its need.
    Behind(Staged<BehindOther, S>),
    /// It appears with its block.
    NewBlock(Staged<Chain, S>),
}

impl InFlightGroup for Prepared<InFlight> {
    type Clean = Prepared<Clean>;
    fn landed(self, fenced: Fenced) -> Prepared<Clean> {
        match self {
            Self::Free(staged) => Prepared::Free(staged.landed(fenced)),
            Self::Behind(staged) => Prepared::Behind(staged.landed(fenced)),
            Self::NewBlock(staged) => Prepared::NewBlock(staged.landed(fenced)),
        }
    }
}

/// The fact that an entry is gone or names another inode.
#[derive(Debug)]
pub(super) struct EntryChanged;

impl<P: Platform> Inode<P> {
    /// Looks for `name`, and for room for it on the way.
    pub(super) fn find_room(&self, name: &[u8]) -> Result<core::result::Result<Room, Found>> {
        let need = Entry::need(name.len());
        let mut room = None;
        let found = self.each_entry(0, |entry, before| {
            if entry.is_called(self.pmem(), name) {
                return Ok(ControlFlow::Break(Found { entry: *entry, before: before.copied() }));
            }
            if room.is_none() && entry.rec_len - entry.used() >= need {
                room = Some(if entry.ino == 0 { Room::Free(*entry) } else { Room::Behind(*entry) });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(match found {
            Some(found) => Err(found),
            None => Ok(room.unwrap_or(Room::NewBlock)),
        })
    }

    /// Writes an entry where no reader looks yet. On an error nothing was changed.
    pub(super) fn prepare(&self, room: Room, name: &[u8], target: &Nameable) -> Result<Prepared<InFlight>> {
        self.drop_index();
        let pmem = self.pmem();
        let mut buffer = [0; D_NAME as usize + NAME_MAX];
        let len = D_NAME as usize + name.len();
        let mut compose = |ino: u32, rec_len: u16| {
            buffer[..4].copy_from_slice(&ino.to_le_bytes());
            buffer[4..6].copy_from_slice(&rec_len.to_le_bytes());
            buffer[6] = name.len() as u8;
            buffer[7] = target.file_type;
            buffer[D_NAME as usize..len].copy_from_slice(name);
        };
        Ok(match room {
            Room::Free(entry) => {
                compose(0, entry.rec_len);
                // All but the inode number and rec_len, which stay.
                let at = entry.at + D_NAME_LEN;
                pmem.write(at, &buffer[D_NAME_LEN as usize..len]);
                let written = Staged::stored(InFree(entry.at), at, len as u64 - D_NAME_LEN);
                Prepared::Free(written.flush(pmem))
            }
            Room::Behind(entry) => {
                let keep = entry.used();
                let at = entry.at + u64::from(keep);
                compose(target.ino, entry.rec_len - keep);
                pmem.write(at, &buffer[..len]);
                let written = Staged::stored(BehindOther { at: entry.at, rec_len: keep }, at, len as u64);
                Prepared::Behind(written.flush(pmem))
            }
            Room::NewBlock => {
                let size = self.load_size();
                if size >= MAX_DIR_SIZE {
                    return Err(Errno::NoSpace.into());
                }
                self.trim(size)?;
                compose(target.ino, self.fs.block_size() as u16);
                Prepared::NewBlock(self.fresh_dir_block(size / self.fs.block_size(), &buffer[..len])?)
            }
        })
    }

    /// A fresh block for logical block `lblk` of the directory, which is a hole, that starts with `bytes`.
    pub(super) fn fresh_dir_block(&self, lblk: u64, bytes: &[u8]) -> Result<Staged<Chain, InFlight>> {
        let path = self.fs.sb.reach.path(lblk).ok_or(Errno::FileTooBig)?;
        let mut goal = self.map_lock.lock();
        match self.locate(&path)? {
            Spot::Block(_) => {
                Err(self.bad_dir("a block beyond the end of a directory", lblk * self.fs.block_size()))
            }
            Spot::Hole { slot, level } => {
                self.fresh(&mut goal, lblk, &path, slot, level, Fill::Bytes(0, bytes))
            }
        }
    }

    /// Publishes a fresh block at the end of the directory, then makes the directory longer.
    pub(super) fn publish_dir_block(&self, chain: Staged<Chain, Clean>) -> Result<()> {
        let pmem = self.pmem();
        let size = (chain.fact().lblk + 1) * self.fs.block_size();
        let published = self.publish(&mut self.map_lock.lock(), chain);
        published.fence(pmem).into_fact();
        self.store_size(size)
    }

    /// Uncovers a prepared entry that is durable, as is what it names.
    pub(super) fn publish_entry(
        &self,
        entry: Prepared<Clean>,
        target: Staged<Nameable, Clean>,
    ) -> Result<()> {
        let pmem = self.pmem();
        match entry {
            Prepared::Free(entry) => {
                let InFree(at) = entry.into_fact();
                pmem.store_u32(at + D_INODE, target.into_fact().ino);
                pmem.flush(at + D_INODE, 4);
            }
            Prepared::Behind(entry) => {
                let BehindOther { at, rec_len } = entry.into_fact();
                pmem.store_u16(at + D_REC_LEN, rec_len);
                pmem.flush(at + D_REC_LEN, 2);
            }
            Prepared::NewBlock(chain) => self.publish_dir_block(chain)?,
        }
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        Ok(())
    }

    /// Takes an entry out. It was found under the lock that is still held.
    pub(super) fn take_out(&self, found: &Found) -> Staged<EntryChanged, Dirty> {
        self.drop_index();
        let (pmem, entry) = (self.pmem(), &found.entry);
        let changed = match &found.before {
            Some(before) => {
                pmem.store_u16(before.at + D_REC_LEN, before.rec_len + entry.rec_len);
                Staged::stored(EntryChanged, before.at + D_REC_LEN, 2)
            }
            None => {
                pmem.store_u32(entry.at + D_INODE, 0);
                Staged::stored(EntryChanged, entry.at + D_INODE, 4)
            }
        };
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        changed
    }

    /// Makes an entry name another inode, which is durable.
    pub(super) fn redirect(
        &self,
        entry: &Entry,
        target: Staged<Nameable, Clean>,
    ) -> Staged<EntryChanged, Dirty> {
        self.drop_index();
        let (pmem, target) = (self.pmem(), target.into_fact());
        if entry.file_type != target.file_type {
            pmem.store_u8(entry.at + D_FILE_TYPE, target.file_type);
        }
        pmem.store_u32(entry.at + D_INODE, target.ino);
        self.touch(&[MTIME, CTIME], self.fs.platform.now());
        Staged::stored(EntryChanged, entry.at, 8)
    }

    /// A changed directory has no hash index any more: it would be wrong. Durable before the first change.
    fn drop_index(&self) {
        let pmem = self.pmem();
        let flags = pmem.load_u32(self.raw + I_FLAGS);
        if flags & INDEX_FL != 0 {
            pmem.store_u32(self.raw + I_FLAGS, flags & !INDEX_FL);
            pmem.flush(self.raw + I_FLAGS, 4);
            pmem.fence();
        }
    }

    /// True if there is nothing in it but `.` and `..`.
    pub(super) fn is_empty_dir(&self) -> Result<bool> {
        let found = self.each_entry(0, |entry, _| {
            let counts = entry.ino != 0 && !entry.is_dot(self.pmem());
            Ok(if counts { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found.is_none())
    }

    /// The entry `..`.
    pub(super) fn dot_dot(&self) -> Result<Entry> {
        match self.find_name(b"..")? {
            Some(found) => Ok(found.entry),
            None => Err(self.bad_dir("no entry `..`", 0)),
        }
    }
}
