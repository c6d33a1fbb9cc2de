//! All inodes: what is right, what is to be repaired, and what nobody but e2fsck should touch. Reads only.

use super::Repair;
use super::claims::Claims;
use super::nodes::{InodeMarks, Nodes, in_use};
use super::walk::TreeWalk;
use crate::error::{Corrupt, Errno, Result};
use crate::ext::dirent::Dirent;
use crate::ext::indirect::DIRECT;
use crate::ext::inode::{MTIME, RawInode, bad_inode};
use crate::ext::layout::*;
use crate::ext2::fs::Ext2;
use crate::platform::Platform;
use crate::pmem::Pmem;
use crate::vfs::FileKind;
use alloc::vec::Vec;

/// The inode of the blocks that cannot be used.
const BAD_BLOCKS_INO: u32 = 1;
/// The inode that holds blocks for more descriptors: all but its double-indirect block are structures.
const RESIZE_INO: u32 = 7;
/// How far beyond the last inode in use one may be that a crash caught in the making: more than there are
/// processors.
const WINDOW: u32 = 64;

/// A scan on its way.
pub(super) struct Scan<'a, P: Platform> {
    pub(super) fs: &'a Ext2<P>,
    pub(super) ours: bool,
    pub(super) claims: Claims,
    pub(super) nodes: Nodes,
    xattrs: Vec<u32>,
    nameless: Vec<u32>,
    orphans: Vec<u32>,
}

/// What a scan found: a sound file system, but for what is to be repaired.
pub(super) struct ScanResult {
    pub(super) ours: bool,
    pub(super) claims: Claims,
    pub(super) nodes: Nodes,
    /// Attribute blocks, each as often as it is shared, in order.
    pub(super) xattrs: Vec<u32>,
    /// Inodes that are to get a name. (Their nodes cannot be found any more when the bitmaps are repaired.)
    pub(super) nameless: Vec<u32>,
    /// The list of orphans, as far as it is one.
    pub(super) orphans: Vec<u32>,
}

/// Returns how many logical blocks an inode of kind `kind` may have.
pub(super) fn end_of<P: Platform>(fs: &Ext2<P>, raw: RawInode<'_, P::Pmem>, kind: FileKind) -> Result<u64> {
    let block_size = fs.block_size();
    Ok(match kind {
        FileKind::File => {
            raw.size_within(raw.size(kind), kind, fs.max_file_size(), true)?.div_ceil(block_size)
        }
        FileKind::Directory => raw.size(kind) / block_size,
        FileKind::Symlink => {
            raw.target_len(block_size)?;
            u64::from(!raw.is_fast_symlink(block_size))
        }
        _ => 0,
    })
}

impl<P: Platform> Repair<'_, P> {
    /// Looks at everything. An error is what makes the image beyond repair, or no memory.
    pub(super) fn scan(self, ours: bool) -> Result<ScanResult> {
        let (claims, nodes) = (Claims::new(self.0)?, Nodes::new(self.0)?);
        let [xattrs, nameless, orphans] = [const { Vec::new() }; 3];
        let mut scan = Scan { fs: self.0, ours, claims, nodes, xattrs, nameless, orphans };
        scan.orphans = scan.follow_orphans()?;
        scan.walk_tree()?;
        for index in 0..self.sb.group_count {
            for ino in in_use(self.0, index)? {
                scan.look_at(ino)?;
            }
            self.each_stale_inode(index, |raw| {
                let links = raw.links();
                if links > 0 && !ours {
                    return Err(bad_inode(raw.ino, "a free inode has links", links.into()));
                }
                Ok(())
            })?;
        }
        scan.claim_xattrs()?;
        scan.compare_bitmaps()?;
        let Scan { claims, nodes, xattrs, nameless, orphans, .. } = scan;
        Ok(ScanResult { ours, claims, nodes, xattrs, nameless, orphans })
    }

    /// Calls `f` with each inode of group `index` that is marked free and does not look so: its bit was lost
    /// in a crash, not all of its content. Inodes are taken from the front, so beyond the last in use there
    /// are few.
    pub(super) fn each_stale_inode(
        self,
        index: u32,
        mut f: impl FnMut(RawInode<'_, P::Pmem>) -> Result<()>,
    ) -> Result<()> {
        let limit = self.sb.inodes_per_group;
        let first = index * limit + 1;
        let group = self.groups().group(index)?;
        let mut check = |slot: u32| -> Result<bool> {
            let raw = self.raw_at(first + slot, group.inode(&self.sb, slot));
            if raw.expect_readable().is_err() {
                // Whoever takes it overwrites all of it.
                return Ok(false);
            }
            let (mode, links, never) = (raw.mode(), raw.links(), raw.dtime() == 0);
            if links != 0 || (mode != 0 && never) {
                f(raw)?;
            }
            Ok(mode == 0 && links == 0 && never)
        };
        let mut next = 0;
        for ino in in_use(self.0, index)? {
            for slot in next..ino - first {
                check(slot)?;
            }
            next = ino - first + 1;
        }
        let mut fresh = 0;
        for slot in next..limit {
            fresh = if check(slot)? { fresh + 1 } else { 0 };
            if fresh == WINDOW {
                break;
            }
        }
        Ok(())
    }
}

impl<'a, P: Platform> Scan<'a, P> {
    /// Looks at inode `ino`, which is in use. The tree was walked before.
    fn look_at(&mut self, ino: u32) -> Result<()> {
        let fs = self.fs;
        let raw = fs.raw_inode(ino)?;
        raw.expect_readable()?;
        if fs.sb.is_reserved(ino) {
            return self.claim_reserved(raw);
        }
        let node = self.nodes.get(fs, ino);
        let (links, kind) = (raw.links(), raw.kind());
        if node.is(InodeMarks::NAMED) {
            // Ours says that it has no link any more before its last name goes: it has not lost that, and
            // keeps it.
            let was_going = self.ours && links == 0 && node.links() == 1 && kind != Some(FileKind::Directory);
            if links < node.links() && !was_going {
                let why = "fewer links than names";
                return Err(
                    Corrupt::against("inode", ino.into(), why, links.into(), node.links().into()).into()
                );
            }
            return match raw.expect_kind()? {
                FileKind::Directory => Ok(()),
                kind => self.claim_content(raw, kind),
            };
        }
        match kind {
            _ if links == 0 => Ok(()),
            Some(FileKind::Directory) if self.ours => self.expect_nothing_in(raw),
            // Ours loses its last link before its last name: without a name, but with a link, it is one that
            // we were about to make, or it was so before we mounted.
            _ if self.ours && !self.was_there_before(raw) => Ok(()),
            Some(FileKind::Directory) => Err(bad_inode(ino, "a directory has no name", links.into())),
            None => raw.expect_kind().map(|_| ()),
            // What has nothing in it is not worth a name.
            Some(FileKind::File) if raw.units() == 0 => Ok(()),
            Some(kind) => {
                self.nameless.try_reserve(1).map_err(|_| Errno::NoMemory)?;
                self.nameless.push(ino);
                if let Some(node) = self.nodes.get_mut(fs, ino) {
                    node.mark(InodeMarks::ADOPT);
                    node.add_link();
                }
                self.claim_content(raw, kind)
            }
        }
    }

    /// True if an inode, which is in use, was there before the last mount. A crash
    /// shows `i_mtime` and `i_dtime` together, old or new: with none of the latter, the former is that of
    /// whatever has a link here.
    fn was_there_before(&self, raw: RawInode<'_, P::Pmem>) -> bool {
        // The file's may be from before 1970; the superblock's never is.
        let (mtime, mounted) = (raw.time(MTIME).secs, self.fs.super_in_place().mounted_at());
        raw.dtime() == 0 && mtime != 0 && mtime <= mounted
    }

    /// Returns whether what lies beyond the end of inode `ino` is its content: another system lost its size,
    /// and was not about to cut it.
    pub(super) fn may_grow(&self, ino: u32) -> bool {
        !self.ours && !self.nodes.get(self.fs, ino).is(InodeMarks::ORPHAN)
    }

    /// Claims the blocks of an inode that is no directory.
    fn claim_content(&mut self, raw: RawInode<'a, P::Pmem>, kind: FileKind) -> Result<()> {
        let (fs, ino) = (self.fs, raw.ino);
        raw.expect_native()?;
        let end = end_of(fs, raw, kind)?;
        let (mut blocks, mut beyond, mut data_end) = (0, false, 0);
        let may_grow = kind == FileKind::File && self.may_grow(ino);
        if kind == FileKind::File || end > 0 {
            let mut walk = TreeWalk::new(fs, raw, if may_grow { u64::MAX } else { end });
            while let Some(at) = walk.next()? {
                beyond |= at.lblk >= end;
                if at.lblk < end || may_grow {
                    self.claims.claim(fs, ino, at.block)?;
                    blocks += 1;
                    if at.height == 0 {
                        data_end = at.lblk + 1;
                    }
                }
            }
        }
        if beyond && may_grow {
            // As e2fsck has it: a whole block beyond the end is content; what begins where the file ends is
            // not.
            if raw.size(kind) < data_end.saturating_sub(1) * fs.block_size() {
                if data_end > fs.reach.max_lblks {
                    return Err(bad_inode(ino, "it has blocks beyond what a file may have", data_end - 1));
                }
                if let Some(node) = self.nodes.get_mut(fs, ino) {
                    node.mark(InodeMarks::GROW);
                }
                beyond = false;
            } else {
                let mut walk = TreeWalk::new(fs, raw, u64::MAX);
                while let Some(at) = walk.next()? {
                    if at.lblk >= end {
                        self.claims.let_go(fs, at.block);
                        blocks -= 1;
                    }
                }
            }
        }
        if kind == FileKind::Symlink && blocks != end {
            return Err(bad_inode(ino, "a symbolic link without its block", blocks));
        }
        self.settle(raw, blocks, beyond)
    }

    /// Notes what is to be done about an inode with `blocks` blocks of its own, and pointers beyond its end
    /// or none.
    pub(super) fn settle(&mut self, raw: RawInode<'_, P::Pmem>, blocks: u64, beyond: bool) -> Result<()> {
        let fs = self.fs;
        let xattrs = raw.file_acl();
        if xattrs != 0 {
            self.xattrs.try_reserve(1).map_err(|_| Errno::NoMemory)?;
            self.xattrs.push(xattrs);
        }
        let units = (blocks + u64::from(xattrs != 0)) * (fs.block_size() / 512);
        let wrong = units != u64::from(raw.units());
        if let Some(node) = self.nodes.get_mut(fs, raw.ino) {
            if beyond {
                node.mark(InodeMarks::TRIM);
            }
            if wrong {
                node.mark(InodeMarks::RECOUNT);
            }
        }
        Ok(())
    }

    /// Claims the blocks of an inode that is the file system's own: bad blocks, a journal, room for
    /// descriptors.
    fn claim_reserved(&mut self, raw: RawInode<'a, P::Pmem>) -> Result<()> {
        let (fs, ino) = (self.fs, raw.ino);
        if raw.units() == 0 {
            return Ok(());
        }
        if ino == RESIZE_INO {
            let block = fs.pmem().load_u32(raw.slot(13));
            return if block == 0 { Ok(()) } else { self.claims.claim(fs, ino, block) };
        }
        let mut walk = TreeWalk::new(fs, raw, u64::MAX);
        while let Some(at) = walk.next()? {
            if ino != BAD_BLOCKS_INO || !fs.groups().holds_structures(at.block) {
                self.claims.claim(fs, ino, at.block)?;
            }
        }
        Ok(())
    }

    /// Refuses a directory without a name that has entries: it is not ours to free.
    fn expect_nothing_in(&self, raw: RawInode<'_, P::Pmem>) -> Result<()> {
        let (fs, ino) = (self.fs, raw.ino);
        let lblks = raw.size(FileKind::Directory) / fs.block_size();
        let mut second = u64::MAX;
        for lblk in 0..lblks.min(DIRECT) {
            let block = fs.pmem().load_u32(raw.slot(lblk));
            if block == 0 || block >= fs.sb.blocks_count {
                break;
            }
            let mut within = 0;
            while within < fs.block_size() {
                let entry =
                    Dirent::load(fs.pmem(), &fs.sb, ino, lblk, fs.byte(block), within, fs.block_size())?;
                // Its own `.` and its `..`, and no other that is called so.
                let is_own = match entry.pos {
                    0 => entry.is_called(fs.pmem(), b".") && entry.ino == ino,
                    pos if pos == second => entry.is_called(fs.pmem(), b".."),
                    _ => false,
                };
                if entry.ino != 0 && !is_own {
                    return Err(bad_inode(ino, "a directory with entries has no name", entry.pos));
                }
                if entry.pos == 0 {
                    second = entry.rec_len.into();
                }
                within += u64::from(entry.rec_len);
            }
        }
        Ok(())
    }

    /// Claims each attribute block once; it must count at least those who share it.
    fn claim_xattrs(&mut self) -> Result<()> {
        let fs = self.fs;
        self.xattrs.sort_unstable();
        for sharers in self.xattrs.chunk_by(|a, b| a == b) {
            let block = sharers[0];
            let bad =
                |why, value: u64| Err(Corrupt::with("attribute block", block.into(), why, value).into());
            if !(fs.sb.first_data_block..fs.sb.blocks_count).contains(&block) {
                return bad("i_file_acl leads out of the file system", block.into());
            }
            let header = fs.byte(block);
            fs.expect_readable(header, fs.block_size(), "attribute block", block.into())?;
            let magic = fs.pmem().load_u32(header + H_MAGIC);
            if magic != XATTR_MAGIC {
                return bad("bad magic number", magic.into());
            }
            let count = fs.pmem().load_u32(header + H_REFCOUNT);
            if (count as usize) < sharers.len() {
                return bad("more inodes share it than it counts", count.into());
            }
            self.claims.claim(fs, 0, block).map_err(|_| {
                Corrupt::new("attribute block", block.into(), "it is something else's block too")
            })?;
        }
        Ok(())
    }

    /// Everything that is claimed must be in use.
    fn compare_bitmaps(&self) -> Result<()> {
        let fs = self.fs;
        let mut room = Vec::new();
        for index in 0..fs.sb.group_count {
            let bitmap = fs.byte(fs.groups().group(index)?.block_bitmap);
            fs.expect_readable(bitmap, fs.block_size(), "block bitmap", index.into())?;
            let claimed = self.claims.of_group(fs, index, &mut room)?;
            for (at, &word) in claimed.iter().enumerate().filter(|(_, word)| **word != 0) {
                let lost = word & !fs.pmem().load_u64(bitmap + at as u64 * 8);
                if lost != 0 {
                    let block = fs.sb.group_start(index) + at as u32 * 64 + lost.trailing_zeros();
                    let why = "a block in use is marked free";
                    return Err(Corrupt::with("block bitmap", index.into(), why, block.into()).into());
                }
            }
        }
        Ok(())
    }
}
