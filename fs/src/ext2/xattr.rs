//! Extended attributes: in a block of their own (`i_file_acl`), and in the room behind an inode's fields,
//! where Linux's ext4 driver and mke2fs put them.
//!
//! Both are read, and a name is in one of them at a time. What is new goes into the block, which every driver
//! sees. What is in the inode is changed there if it fits; if not, that attribute moves to the block, or else
//! all of them.
//!
//! # Crashes
//! A change that a redo record can hold is made in place. Any other block is composed aside, durable, before
//! `i_file_acl` leads to it. `i_file_acl`, `i_blocks`, the inode's own attributes and the count of a shared
//! block's users change in one commit: a crash shows the old attributes or the new ones, and leaks a block at
//! worst.
//!
//! # Locking
//! Under the inode lock; changes hold it exclusively, and take `block map → xattr lock → group, superblock`.
//! The xattr lock guards what blocks of attributes hold, for a block may be several inodes'.

use super::facts::Cut;
use super::inode::Ext2Inode;
use super::redo::{Committed, Words};
use crate::error::{Errno, Error, Result, Unsupported};
use crate::ext::inode::CTIME;
use crate::ext::layout::*;
use crate::ext::xattr::{Attribute, Name, SECURITY, TRUSTED, USER, compose, parse, seal};
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::pmem::state::{Clean, Staged};
use crate::vfs::{ChangeOk, FileKind, InodeHeld, SetXattr};
use alloc::vec;
use alloc::vec::Vec;

/// Words of a commit that are not attributes: `i_file_acl`, `i_blocks`, a count of users.
const OTHER_WORDS: usize = 3;

/// The fact that what the words of a commit lead to is durable.
struct Composed;

/// Copies of an inode's attributes.
struct Raw {
    /// Byte offset of the inode's own, behind the magic number, and the bytes up to its end.
    own: Option<(u64, Vec<u8>)>,
    /// The block, and its bytes.
    block: Option<(u32, Vec<u8>)>,
}

/// What the attributes are to be; `None` leaves them as they are.
struct Plan<'a> {
    own: Option<Vec<Attribute<'a>>>,
    block: Option<Vec<Attribute<'a>>>,
}

/// The extended attributes of an inode.
pub(super) struct Xattrs<'a, P: Platform>(&'a Ext2Inode<P>);

view!(Xattrs of Ext2Inode);

impl<P: Platform> Ext2Inode<P> {
    /// Returns the inode's extended attributes.
    #[inline(always)]
    pub(super) fn xattrs(&self) -> Xattrs<'_, P> {
        Xattrs(self)
    }
}

impl<P: Platform> Xattrs<'_, P> {
    pub(super) fn get(self, name: &[u8]) -> Result<Vec<u8>> {
        let name = known(name)?;
        let shared = self.lock.shared();
        let raw = self.load(shared.held())?;
        let (own, block) = self.parse(&raw)?;
        let found = own.iter().chain(&block).find(|attribute| attribute.name == name);
        Ok(found.ok_or(Errno::NoData)?.value.to_vec())
    }

    pub(super) fn list(self) -> Result<Vec<Vec<u8>>> {
        let shared = self.lock.shared();
        let raw = self.load(shared.held())?;
        let (own, block) = self.parse(&raw)?;
        let fresh = block.iter().filter(|here| own.iter().all(|there| there.name != here.name));
        Ok(own.iter().chain(fresh).filter_map(|attribute| attribute.name.whole()).collect())
    }

    /// Sets an attribute, or removes it (`None`).
    pub(super) fn change(self, name: &[u8], value: Option<&[u8]>, how: SetXattr) -> Result<()> {
        let _thawed = self.fs.start_change()?;
        let name = known(name)?;
        if !matches!(name.index, USER | TRUSTED | SECURITY) {
            return Err(Unsupported::Operation("changing an attribute with this prefix").into());
        }
        if name.index == USER && !matches!(self.kind, FileKind::File | FileKind::Directory) {
            return Err(Errno::NotPermitted.into());
        }
        let exclusive = self.lock.exclusive();
        let lock = exclusive.change_ok();
        self.expect_without(IMMUTABLE_FL | APPEND_FL)?;
        let (_map, _shared_blocks) = (self.map_lock.lock(), self.fs.xattrs.lock());
        let raw = self.load(lock.held())?;
        let (own, block) = self.parse(&raw)?;
        // 1. May it be made, or replaced?
        let is = |attribute: &Attribute<'_>| attribute.name == name;
        let (in_own, in_block) = (own.iter().any(is), block.iter().any(is));
        match how {
            SetXattr::Create if in_own || in_block => return Err(Errno::Exists.into()),
            SetXattr::Replace if !in_own && !in_block => return Err(Errno::NoData.into()),
            _ => {}
        }
        // 2. Ways to have it afterwards, the best first.
        let rest = |list| without(list, name);
        let with = |list| changed(list, name, value);
        let in_place = Plan { own: Some(with(&own)), block: in_block.then(|| rest(&block)) };
        if in_own && self.try_plan(lock, &raw, &in_place)? {
            return Ok(());
        }
        if (value.is_some() || in_block)
            && self.try_plan(
                lock,
                &raw,
                &Plan { own: in_own.then(|| rest(&own)), block: Some(with(&block)) },
            )?
        {
            return Ok(());
        }
        let moved = rest(&own).into_iter().map(|attribute| Attribute { at: 0, ..attribute });
        let all = moved.chain(with(&block)).collect();
        if in_own && self.try_plan(lock, &raw, &Plan { own: Some(Vec::new()), block: Some(all) })? {
            return Ok(());
        }
        Err(if in_own || in_block || value.is_some() { Errno::NoSpace } else { Errno::NoData }.into())
    }

    /// Copies the attributes' bytes; what is checked here is that they can be read at all.
    fn load(self, _lock: InodeHeld<'_>) -> Result<Raw> {
        let pmem = self.pmem();
        let (size, old) = (u64::from(self.fs.sb.inode_size), u64::from(GOOD_OLD_INODE_SIZE));
        let (inode, mut raw) = (self.raw(), Raw { own: None, block: None });
        if size > old {
            let extra = inode.extra();
            if !extra.is_multiple_of(4) || old + extra > size {
                return Err(self.corrupt("bad i_extra_isize", extra));
            }
            let start = old + extra + 4;
            if start <= size && pmem.load_u32(inode.at + start - 4) == XATTR_MAGIC {
                let mut bytes = vec![0; (size - start) as usize];
                pmem.read(inode.at + start, &mut bytes);
                raw.own = Some((inode.at + start, bytes));
            }
        }
        let block = inode.file_acl();
        if block != 0 {
            self.check_block(block)?;
            let mut bytes = vec![0; self.fs.block_size() as usize];
            pmem.read(self.fs.byte(block), &mut bytes);
            raw.block = Some((block, bytes));
        }
        Ok(raw)
    }

    /// Refuses what cannot be a block of attributes.
    fn check_block(self, block: u32) -> Result<()> {
        let (fs, pmem) = (&self.fs, self.pmem());
        let may_be = (fs.sb.first_data_block..fs.sb.blocks_count).contains(&block);
        if !may_be || fs.groups().holds_structures(block) || !fs.groups().block_in_use(block)? {
            return Err(self.corrupt("i_file_acl leads to no block of a file", block.into()));
        }
        fs.expect_readable(fs.byte(block), fs.block_size(), "attribute block", block.into())?;
        let field = |at| pmem.load_u32(fs.byte(block) + at);
        if field(H_MAGIC) != XATTR_MAGIC || field(H_BLOCKS) != 1 {
            return Err(self.corrupt("i_file_acl leads to no attribute block", block.into()));
        }
        Ok(())
    }

    #[allow(clippy::type_complexity)]
    fn parse<'a>(self, raw: &'a Raw) -> Result<(Vec<Attribute<'a>>, Vec<Attribute<'a>>)> {
        let bad = |(why, at): (&'static str, usize)| -> Error { self.corrupt(why, at as u64) };
        let own =
            raw.own.as_ref().map_or(Ok(Vec::new()), |(_, bytes)| parse(bytes, 0, false).map_err(bad))?;
        let block = raw.block.as_ref();
        let block = block.map_or(Ok(Vec::new()), |(_, bytes)| parse(bytes, H_ENTRIES, false).map_err(bad))?;
        Ok((own, block))
    }

    /// Carries `plan` out, durably, unless something does not fit: then nothing was changed, and it says so.
    fn try_plan(self, lock: ChangeOk<'_>, raw: &Raw, plan: &Plan<'_>) -> Result<bool> {
        let (fs, pmem) = (&self.fs, self.pmem());
        let mut words = Words::new();
        // 1. The inode's own.
        match (&raw.own, plan.own.as_deref()) {
            (Some((at, old)), Some([])) => {
                // Without the magic number. And without a first entry, for drivers that don't clear the room.
                words.push(at - 4, 0);
                if old.len() >= 4 {
                    words.push(*at, 0);
                }
            }
            (Some((at, old)), Some(list)) => {
                let new = compose(list, old.len(), 0, false);
                if !new.is_some_and(|new| differ(&mut words, *at, old, &new)) {
                    return Ok(false);
                }
            }
            _ => {}
        }
        // 2. The block: as it is, gone, changed in place, or another one.
        let new = match plan.block.as_deref() {
            None => {
                self.touch(&[CTIME], fs.platform.now());
                fs.redo().commit(words, Staged::nothing(Composed))?.into_fact();
                return Ok(true);
            }
            Some([]) => None,
            Some(list) => match compose(list, fs.block_size() as usize, H_ENTRIES, true) {
                Some(mut new) => {
                    seal(&mut new);
                    Some(new)
                }
                None => return Ok(false),
            },
        };
        let Some(new) = new else {
            self.lead_to(lock, raw, words, None)?;
            return Ok(true);
        };
        if let Some((block, old)) = &raw.block
            && pmem.load_u32(fs.byte(*block) + H_REFCOUNT) <= 1
        {
            let mut in_place = words.clone();
            if differ(&mut in_place, fs.byte(*block), old, &new) {
                self.touch(&[CTIME], fs.platform.now());
                // The words lead to nothing.
                fs.redo().commit(in_place, Staged::nothing(Composed))?.into_fact();
                return Ok(true);
            }
        }
        self.lead_to(lock, raw, words, Some(&new))?;
        Ok(true)
    }

    /// Makes `i_file_acl` lead to a fresh block with `new` in it, or to none, together with `words`.
    fn lead_to(self, _lock: ChangeOk<'_>, raw: &Raw, mut words: Words, new: Option<&[u8]>) -> Result<()> {
        let (fs, pmem) = (&self.fs, self.pmem());
        let old = raw.block.as_ref().map(|(block, _)| *block);
        // 1. A block that holds them, durable.
        let (block, ready) = match new {
            None => (0, Staged::nothing(Composed)),
            Some(bytes) => {
                fs.super_in_place().need_ext_attr()?;
                let taken = fs.groups().take_block(fs.sb.group_start(fs.sb.group_of_inode(self.ino)))?;
                let block = taken.fact().block();
                pmem.write_nt(fs.byte(block), bytes);
                let written = Staged::streamed((), fs.byte(block), fs.block_size());
                (block, taken.join(written, |_, ()| Composed).fence(pmem))
            }
        };
        // 2. The commit.
        self.touch(&[CTIME], fs.platform.now());
        let old = match old {
            None if block == 0 => None,
            None => {
                self.push_blocks(&mut words, 1);
                words.push(self.raw().at + I_FILE_ACL, block);
                None
            }
            Some(old) => {
                if block == 0 {
                    self.push_blocks(&mut words, -1);
                }
                words.push(self.raw().at + I_FILE_ACL, block);
                self.push_leaving(&mut words, old)
            }
        };
        let committed = fs.redo().commit(words, ready)?;
        // 3. What nobody uses any more.
        self.free_block(old, committed)?;
        if old.is_some() {
            pmem.fence();
        }
        Ok(())
    }

    /// `i_blocks` counts a block more or less.
    fn push_blocks(self, words: &mut Words, more: i32) {
        let units = more * (self.fs.block_size() / 512) as i32;
        let count = self.raw().units();
        words.push(self.raw().at + I_BLOCKS, count.saturating_add_signed(units));
    }

    /// A block of attributes loses a user: its count, or, of the last one, the block to free afterwards.
    fn push_leaving(self, words: &mut Words, block: u32) -> Option<u32> {
        let at = self.fs.byte(block) + H_REFCOUNT;
        match self.pmem().load_u32(at) {
            0 | 1 => Some(block),
            users => {
                words.push(at, users - 1);
                None
            }
        }
    }

    /// Frees what a commit took the last user from. The caller fences.
    fn free_block(self, block: Option<u32>, gone: Staged<Committed, Clean>) -> Result<()> {
        if let Some(block) = block {
            self.fs.groups().free_run(&gone.map(|Committed| Cut), block, 1)?;
        }
        Ok(())
    }

    /// Gives up the inode's share of a block of attributes, first of all, for the inode is going.
    pub(super) fn release(self, _lock: ChangeOk<'_>) -> Result<()> {
        let block = self.raw().file_acl();
        if block == 0 {
            return Ok(());
        }
        self.check_block(block)?;
        let (_map, _shared_blocks) = (self.map_lock.lock(), self.fs.xattrs.lock());
        let mut words = Words::new();
        words.push(self.raw().at + I_FILE_ACL, 0);
        let last = self.push_leaving(&mut words, block);
        let gone = self.fs.redo().commit(words, Staged::nothing(Composed))?;
        self.free_block(last, gone)
    }
}

/// The index and suffix of `name`.
fn known(name: &[u8]) -> Result<Name<'_>> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(Errno::Range.into());
    }
    let known = Name::of(name).ok_or(Unsupported::Operation("extended attributes with this prefix"))?;
    let is_whole = known.suffix.is_empty() && matches!(known.index, USER | TRUSTED | SECURITY);
    if is_whole { Err(Errno::Invalid.into()) } else { Ok(known) }
}

/// Adds the words in which `new` differs from `old`, which is at byte `at`. False if there are too many for a
/// commit.
fn differ(words: &mut Words, at: u64, old: &[u8], new: &[u8]) -> bool {
    let pairs = old.as_chunks::<4>().0.iter().zip(new.as_chunks::<4>().0);
    for (index, (_, new)) in pairs.enumerate().filter(|(_, (old, new))| old != new) {
        if words.room() <= OTHER_WORDS {
            return false;
        }
        words.push(at + index as u64 * 4, u32::from_le_bytes(*new));
    }
    true
}

/// `list` without what is called `name`.
fn without<'a>(list: &[Attribute<'a>], name: Name<'_>) -> Vec<Attribute<'a>> {
    list.iter().copied().filter(|attribute| attribute.name != name).collect()
}

/// `list` with `value` under `name`, or without it; the value is in the old one's place, if that fits.
fn changed<'a>(list: &[Attribute<'a>], name: Name<'a>, value: Option<&'a [u8]>) -> Vec<Attribute<'a>> {
    let at = list.iter().find(|attribute| attribute.name == name).map_or(0, |old| old.at);
    let new = value.map(|value| Attribute { name, value, at, elsewhere: None });
    without(list, name).into_iter().chain(new).collect()
}
