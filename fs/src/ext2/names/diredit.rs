//! Changing directories: entries added and taken out, each by one store that a crash cannot tear.
//!
//! * *Added* into the free space of a block: the entry is written where no reader looks, made durable, then
//!   uncovered by storing the `rec_len` of the entry before it, or the inode number of a free entry. Or into
//!   a fresh block, which is published as in `grow`. Free entries in a row are first made one, durably, if
//!   one alone is too short: by the `rec_len` of the first, or of the entry in front of them.
//! * *Taken out*: its inode number set to 0. No other entry is looked at.
//!
//! An entry keeps its place for as long as it is there, so whoever reads a directory in steps meets each
//! entry that stays exactly once.
//!
//! # Locking
//! Under the directory's inode lock, held exclusively.

use super::Dir;
use super::dir::FoundName;
use super::nameindex::{Index, Placed};
use super::room::{FreeRow, Room};
use crate::error::{Errno, Result};
use crate::ext::dirent::{Dirent, bad_dir};
use crate::ext::inode::{CTIME, MTIME};
use crate::ext::layout::*;
use crate::ext2::facts::{LinksStored, NameGone, Nameable};
use crate::ext2::map::grow::Chain;
use crate::ext2::redo::Words;
use crate::platform::{Platform, Timestamp};
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Dirty, Fenced, InFlight, InFlightGroup, Staged, fence_all};
use crate::vfs::{AllocOk, ChangeOk, InodeHeld};
use core::ops::ControlFlow;

/// The most bytes a directory may have.
const MAX_DIR_SIZE: u64 = 1 << 31;

/// A free entry, at this byte offset, has all but its inode number.
#[derive(Debug)]
pub(in crate::ext2) struct InFree(u64, Placed);

/// An entry is written behind the one at byte offset `at`, which will keep `rec_len`.
#[derive(Debug)]
pub(in crate::ext2) struct BehindOther {
    at: u64,
    rec_len: u16,
    placed: Placed,
}

/// An entry written where no reader looks yet, and how far that is from being durable.
pub(in crate::ext2) enum Prepared<S> {
    /// It appears when its inode number is stored.
    Free(Staged<InFree, S>),
    /// It appears when the entry before it is cut to its need.
    Behind(Staged<BehindOther, S>),
    /// It appears with its block.
    NewBlock(Staged<Chain, S>),
}

impl<S> Prepared<S> {
    /// Returns where the entry is, or will be. Blocks have `block_size` bytes.
    pub(in crate::ext2) fn placed(&self, block_size: u64) -> Placed {
        match self {
            Self::Free(entry) => entry.fact().1,
            Self::Behind(entry) => entry.fact().placed,
            Self::NewBlock(chain) => {
                let pos = chain.fact().lblk * block_size;
                Placed { source: pos, pos, rec_len: block_size as u16 }
            }
        }
    }
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

impl<P: Platform> Dir<'_, P> {
    /// Looks for `name`, and for room for it on the way.
    pub(in crate::ext2) fn find_room(
        self,
        lock: ChangeOk<'_>,
        name: &[u8],
    ) -> Result<core::result::Result<Room, FoundName>> {
        let need = Dirent::need(name.len());
        if let Some(names) = &self.names
            && let Some(index) = &mut *self.indexed(lock.held(), names)
        {
            return Ok(match self.probe(index, self.fs.names.tag(name), name)? {
                Some(found) => Err(found),
                None => Ok(self.room_by(index, need)?),
            });
        }
        let (mut room, mut run) = (None, FreeRow::default());
        let found = self.each_entry(lock.held(), 0, |entry| {
            if entry.is_called(self.pmem(), name) {
                return ControlFlow::Break(FoundName { entry: *entry });
            }
            if room.is_none() {
                room = run.add(entry, need);
            }
            ControlFlow::Continue(())
        })?;
        Ok(match found {
            Some(found) => Err(found),
            None => Ok(room.unwrap_or(Room::NewBlock)),
        })
    }

    /// Room for an entry of `need` bytes, by what the index remembers of it, each place checked.
    fn room_by(self, index: &mut Index, need: u16) -> Result<Room> {
        // 1. Where there was room last.
        for hint in &mut index.hints {
            if hint.len >= need {
                match self.entry_at(hint.pos) {
                    Ok(entry) if entry.rec_len - entry.used() >= need => {
                        return Ok(Room::At { entry, rec_len: entry.rec_len });
                    }
                    // Used up, or in a block that cannot be read.
                    _ => hint.len = 0,
                }
            }
        }
        // 2. In the first block that may have some.
        let blocks = self.load_size() / self.fs.block_size();
        let mut from = None;
        while let Some(lblk) = index.next_with_room(need, from, blocks) {
            let mut run = FreeRow::default();
            let found = self.each_in_block(lblk, &mut |entry| match run.add(entry, need) {
                Some(room) => ControlFlow::Break(room),
                None => ControlFlow::Continue(()),
            });
            let most = match found {
                Ok(Some(room)) => return Ok(room),
                Ok(None) => run.most,
                // A block that cannot be read has room for nothing, and is no reason not to look at the
                // others.
                Err(error) => {
                    let _ = self.fs.noted::<()>(Err(error));
                    0
                }
            };
            index.set_room(&self.fs.names, lblk, most);
            from = Some(lblk);
        }
        Ok(Room::NewBlock)
    }

    /// Tells the index of the entry `name`, which appeared at `placed`.
    pub(in crate::ext2) fn index_added(self, _lock: ChangeOk<'_>, name: &[u8], placed: &Placed) {
        let Some(names) = &self.names else { return };
        let mut guard = names.index.write();
        let Some(index) = &mut *guard else { return };
        let budget = &self.fs.names;
        let lblk = placed.pos >> self.fs.sb.block_bits;
        // A new block is all room; of another one stays true what is known.
        let is_whole = u64::from(placed.rec_len) == self.fs.block_size();
        let ok = index.insert(budget, budget.tag(name), placed.pos)
            && (!is_whole || index.set_room(budget, lblk, placed.rec_len));
        index.placed(placed, Dirent::need(name.len()));
        if !ok {
            budget.drop_index(guard.take());
        }
    }

    /// The entry at `pos` reaches over free ones now: none of them is one any more.
    fn index_swallowed(self, pos: u64, rec_len: u16) {
        let Some(names) = &self.names else { return };
        if let Some(index) = &mut *names.index.write() {
            index.swallowed(pos, rec_len);
        }
    }

    /// Tells the index of the entry `name`, which was taken out. As [`index_added`](Self::index_added).
    pub(in crate::ext2) fn index_removed(self, _lock: ChangeOk<'_>, name: &[u8], found: &FoundName) {
        let Some(names) = &self.names else { return };
        if let Some(index) = &mut *names.index.write() {
            index.remove(self.fs.names.tag(name), found.entry.pos);
            index.freed(&found.entry, self.fs.sb.block_bits);
        }
    }

    /// Writes an entry where no reader looks yet. On an error nothing was changed.
    pub(in crate::ext2) fn prepare(
        self,
        lock: ChangeOk<'_>,
        room: Room,
        name: &[u8],
        target: &Nameable,
    ) -> Result<Prepared<InFlight>> {
        self.drop_index(lock);
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
            Room::At { entry, rec_len } => {
                if entry.rec_len != rec_len {
                    // 1. The entries after it are none any more, durably: what is written over them is
                    //    nothing's.
                    pmem.store_u16(entry.at + D_REC_LEN, rec_len);
                    pmem.flush(entry.at + D_REC_LEN, 2);
                    pmem.fence();
                    self.index_swallowed(entry.pos, rec_len);
                }
                // 2. All that a reader does not see.
                if entry.ino == 0 {
                    compose(0, rec_len);
                    // All but the inode number and rec_len, which stay.
                    let at = entry.at + D_NAME_LEN;
                    pmem.write(at, &buffer[D_NAME_LEN as usize..len]);
                    let placed = Placed { source: entry.pos, pos: entry.pos, rec_len };
                    let written = Staged::stored(InFree(entry.at, placed), at, len as u64 - D_NAME_LEN);
                    Prepared::Free(written.flush(pmem))
                } else {
                    let keep = entry.used();
                    let at = entry.at + u64::from(keep);
                    compose(target.ino, rec_len - keep);
                    pmem.write(at, &buffer[..len]);
                    let pos = entry.pos + u64::from(keep);
                    let placed = Placed { source: entry.pos, pos, rec_len: rec_len - keep };
                    let written = BehindOther { at: entry.at, rec_len: keep, placed };
                    let written = Staged::stored(written, at, len as u64);
                    Prepared::Behind(written.flush(pmem))
                }
            }
            Room::NewBlock => {
                let size = self.load_size();
                if size >= MAX_DIR_SIZE {
                    return Err(Errno::NoSpace.into());
                }
                self.map().trim(lock, AllocOk::of_unmapped(lock), size)?;
                compose(target.ino, self.fs.block_size() as u16);
                Prepared::NewBlock(self.fresh_dir_block(lock, size / self.fs.block_size(), &buffer[..len])?)
            }
        })
    }

    /// Takes a fresh block that starts with `bytes` for logical block `lblk` of the directory, which is a
    /// hole.
    pub(in crate::ext2) fn fresh_dir_block(
        self,
        lock: ChangeOk<'_>,
        lblk: u64,
        bytes: &[u8],
    ) -> Result<Staged<Chain, InFlight>> {
        self.map().fresh_block(lock, lblk, bytes)?.ok_or_else(|| {
            bad_dir(self.ino, "a block beyond the end of a directory", lblk * self.fs.block_size())
        })
    }

    /// Publishes a fresh block at the end of the directory, then makes the directory longer.
    pub(in crate::ext2) fn publish_dir_block(
        self,
        lock: ChangeOk<'_>,
        chain: Staged<Chain, Clean>,
    ) -> Result<()> {
        let pmem = self.pmem();
        let size = (chain.fact().lblk + 1) * self.fs.block_size();
        let published = self.map().publish(&mut self.map_lock.lock(), chain);
        published.fence(pmem).into_fact();
        self.store_size(lock, size)
    }

    /// Uncovers a prepared entry called `name` that is durable, as is what it names.
    pub(in crate::ext2) fn publish_entry(
        self,
        lock: ChangeOk<'_>,
        entry: Prepared<Clean>,
        target: Staged<Nameable, Clean>,
        name: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        let pmem = self.pmem();
        let placed = entry.placed(self.fs.block_size());
        match entry {
            Prepared::Free(entry) => {
                let InFree(at, _) = entry.into_fact();
                pmem.store_u32(at + D_INODE, target.into_fact().ino);
                pmem.flush(at + D_INODE, 4);
            }
            Prepared::Behind(entry) => {
                let BehindOther { at, rec_len, .. } = entry.into_fact();
                pmem.store_u16(at + D_REC_LEN, rec_len);
                pmem.flush(at + D_REC_LEN, 2);
            }
            Prepared::NewBlock(chain) => self.publish_dir_block(lock, chain)?,
        }
        self.index_added(lock, name, &placed);
        self.touch(&[MTIME, CTIME], now);
        Ok(())
    }

    /// Takes the entry called `name` out. It was found under the lock that is still held.
    pub(in crate::ext2) fn take_out(
        self,
        lock: ChangeOk<'_>,
        found: &FoundName,
        name: &[u8],
        now: Timestamp,
    ) -> Staged<NameGone, Dirty> {
        self.drop_index(lock);
        let (pmem, entry) = (self.pmem(), &found.entry);
        pmem.store_u32(entry.at + D_INODE, 0);
        self.index_removed(lock, name, found);
        self.touch(&[MTIME, CTIME], now);
        Staged::stored(NameGone, entry.at + D_INODE, 4)
    }

    /// Takes out, as [`take_out`](Self::take_out), the last name of an inode that durably counts no link.
    pub(in crate::ext2) fn take_out_last(
        self,
        lock: ChangeOk<'_>,
        found: &FoundName,
        name: &[u8],
        now: Timestamp,
        _goes: &Staged<LinksStored, Clean>,
    ) -> Staged<NameGone, Dirty> {
        self.take_out(lock, found, name, now)
    }

    /// Puts into `words` what makes an entry called `name` in `room`: all of it, in free space, or, if it is
    /// too long for a record, its uncovering: the rest is written where no reader looks. Returns the evidence
    /// that that is durable, and what the index is to know when the words are stored.
    pub(in crate::ext2) fn place(
        self,
        lock: ChangeOk<'_>,
        room: Room,
        name: &[u8],
        target: &Nameable,
        words: &mut Words,
    ) -> Result<(Staged<(), Clean>, Placed)> {
        let pmem = self.pmem();
        let (entry, rec_len) = match room {
            Room::At { entry, rec_len } => (entry, rec_len),
            Room::NewBlock => self.grow_dir(lock)?,
        };
        let keep = entry.used();
        let pos = entry.pos + u64::from(keep);
        let placed = Placed { source: entry.pos, pos, rec_len: rec_len - keep };
        // 1. Its own words, its name's, and that of the entry before it.
        if words.room() >= 3 + name.len().div_ceil(4) {
            let at = entry.at + u64::from(keep);
            words.push(at + D_INODE, target.ino);
            let lens = u32::from(rec_len - keep) | (name.len() as u32) << 16;
            words.push(at + D_REC_LEN, lens | u32::from(target.file_type) << 24);
            for (index, chunk) in name.chunks(4).enumerate() {
                let mut word = [0; 4];
                word[..chunk.len()].copy_from_slice(chunk);
                words.push(at + D_NAME + 4 * index as u64, u32::from_le_bytes(word));
            }
            if keep > 0 {
                words.push_u16(pmem, entry.at + D_REC_LEN, keep);
            }
            return Ok((Staged::nothing(()), placed));
        }
        // 2. Aside.
        let prepared = self.prepare(lock, Room::At { entry, rec_len }, name, target)?;
        let ready = match fence_all(pmem, prepared) {
            Prepared::Free(free) => {
                words.push(free.fact().0 + D_INODE, target.ino);
                free.map(|_| ())
            }
            Prepared::Behind(behind) => {
                words.push_u16(pmem, behind.fact().at + D_REC_LEN, behind.fact().rec_len);
                behind.map(|_| ())
            }
            // Not into a room that is there.
            Prepared::NewBlock(chain) => chain.map(|_| ()),
        };
        Ok((ready, placed))
    }

    /// Adds an empty block at the end, durably. Returns its one free entry, which is all of it.
    fn grow_dir(self, lock: ChangeOk<'_>) -> Result<(Dirent, u16)> {
        let (size, len) = (self.load_size(), self.fs.block_size());
        if size >= MAX_DIR_SIZE {
            return Err(Errno::NoSpace.into());
        }
        self.map().trim(lock, AllocOk::of_unmapped(lock), size)?;
        let mut bytes = [0; D_NAME as usize];
        bytes[D_REC_LEN as usize..][..2].copy_from_slice(&(len as u16).to_le_bytes());
        let chain = self.fresh_dir_block(lock, size / len, &bytes)?.fence(self.pmem());
        self.publish_dir_block(lock, chain)?;
        self.pmem().fence();
        let lblk = size / len;
        if let Some(names) = &self.names {
            let mut index = names.index.write();
            if index.as_mut().is_some_and(|index| !index.set_room(&self.fs.names, lblk, len as u16)) {
                self.fs.names.drop_index(index.take());
            }
        }
        Ok((self.entry(lblk, self.dir_block(lblk)?, 0)?, len as u16))
    }

    /// Puts into `words` what makes `entry` name `target`.
    pub(in crate::ext2) fn rename_entry(self, entry: &Dirent, target: &Nameable, words: &mut Words) {
        words.push(entry.at + D_INODE, target.ino);
        if entry.file_type != target.file_type {
            let lens = u16::from(entry.name_len) | u16::from(target.file_type) << 8;
            words.push_u16(self.pmem(), entry.at + D_NAME_LEN, lens);
        }
    }

    /// Drops the hash index of a directory that changes: it would be wrong. Durable before the first change.
    pub(in crate::ext2) fn drop_index(self, _lock: ChangeOk<'_>) {
        let pmem = self.pmem();
        let raw = self.raw();
        let flags = raw.flags();
        if flags & INDEX_FL != 0 {
            pmem.put_u32(raw.at + I_FLAGS, flags & !INDEX_FL);
            pmem.fence();
        }
    }

    /// Returns whether nothing is in the directory but its own `.`, and the `..` that names `parent`.
    ///
    /// # Errors
    /// An entry is called so and names another inode: that may have no other name, so it is not to be lost.
    pub(in crate::ext2) fn is_empty_dir(self, lock: InodeHeld<'_>, parent: u32) -> Result<bool> {
        let found = self.each_entry(lock, 0, |entry| {
            let is_own = match entry.ino {
                0 => true,
                ino if ino == self.ino => entry.is_called(self.pmem(), b"."),
                ino if ino == parent => entry.is_called(self.pmem(), b".."),
                _ => false,
            };
            if is_own { ControlFlow::Continue(()) } else { ControlFlow::Break(*entry) }
        })?;
        match found {
            None => Ok(true),
            Some(entry) if entry.is_dot(self.pmem()) => {
                Err(bad_dir(self.ino, "`.` or `..` names another inode", entry.pos))
            }
            Some(_) => Ok(false),
        }
    }

    /// Finds the entry `..`. The lock is this directory's, or that of the one above it: `..` changes under
    /// both.
    pub(in crate::ext2) fn dot_dot(self, lock: InodeHeld<'_>) -> Result<Dirent> {
        // Where it always is. Not through the index: this directory's own lock may be somebody else's.
        let block = self.dir_block(0)?;
        let first = self.entry(0, block, 0)?;
        if u64::from(first.rec_len) < self.fs.block_size() {
            let second = self.entry(0, block, first.rec_len.into())?;
            if second.is_called(self.pmem(), b"..") {
                return Ok(second);
            }
        }
        match self.scan_name(lock, b"..")? {
            Some(found) => Ok(found.entry),
            None => Err(bad_dir(self.ino, "no entry `..`", 0)),
        }
    }
}
