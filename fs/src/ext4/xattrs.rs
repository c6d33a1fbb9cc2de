//! Extended attributes, read: in the room behind an inode's fields, in a block, and with values in inodes of
//! their own (`ea_inode`).

use super::disk::checksum::{self, Seed};
use super::inode::{Ext4Inode, expect_checksum};
use crate::error::{Corrupt, Errno, Result, Unsupported};
use crate::ext::features::INCOMPAT_EA_INODE;
use crate::ext::inode::ATIME;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crate::ext::xattr::{Attribute, Elsewhere, Name, SYSTEM, parse};
use crate::platform::Platform;
use crate::vfs::FileKind;
use alloc::vec;
use alloc::vec::Vec;

/// The attribute that holds what of an inode's content does not fit into `i_block`.
const INLINE: Name<'static> = Name { index: SYSTEM, suffix: b"data" };
/// What [`H_BLOCKS`] has to be.
const ONE: u32 = 1;

/// The extended attributes of an inode.
pub(super) struct Xattrs<'a, P: Platform>(&'a Ext4Inode<P>);

view!(Xattrs of Ext4Inode);

impl<P: Platform> Ext4Inode<P> {
    /// Returns its extended attributes.
    #[inline(always)]
    pub(super) fn xattrs(&self) -> Xattrs<'_, P> {
        Xattrs(self)
    }
}

impl<'a, P: Platform> Xattrs<'a, P> {
    /// Returns the value of the attribute called `name`.
    pub(super) fn get(self, name: &[u8]) -> Result<Vec<u8>> {
        let name = Name::of(name).ok_or(Unsupported::Operation("an attribute with this prefix"))?;
        let _shared = self.0.lock.shared();
        if !self.is_shown(&name) {
            return Err(Errno::NoData.into());
        }
        let is_it = |attribute: &Attribute<'_>| attribute.name == name;
        // A block that cannot be read hides none of those in the inode.
        let block;
        let own = self.own();
        let found = match self.in_own(&own)?.into_iter().find(is_it) {
            Some(found) => found,
            None => {
                block = self.block()?;
                self.in_block(&block)?.into_iter().find(is_it).ok_or(Errno::NoData)?
            }
        };
        match found.elsewhere {
            None => Ok(found.value.to_vec()),
            Some(elsewhere) => self.value_of(elsewhere),
        }
    }

    /// Returns the names of all attributes.
    pub(super) fn list(self) -> Result<Vec<Vec<u8>>> {
        let _shared = self.0.lock.shared();
        let block = self.block()?;
        let own = self.own();
        let own = self.in_own(&own)?;
        let in_block = self.in_block(&block)?;
        let fresh = in_block.iter().filter(|here| own.iter().all(|there| there.name != here.name));
        let all = own.iter().chain(fresh).filter(|attribute| self.is_shown(&attribute.name));
        Ok(all.filter_map(|attribute| attribute.name.whole()).collect())
    }

    /// Returns what of the inode's content does not fit into `i_block`.
    pub(super) fn inline_rest(self) -> Result<Option<Vec<u8>>> {
        let own = self.own();
        let found = self.in_own(&own)?.into_iter().find(|attribute| attribute.name == INLINE);
        Ok(found.map(|attribute| attribute.value.to_vec()))
    }

    /// Whether `name` is one for users to see.
    fn is_shown(self, name: &Name<'_>) -> bool {
        *name != INLINE
    }

    /// Returns the bytes of those in the inode, if it has some: a copy, for an operation may change the
    /// inode.
    fn own(self) -> Option<Vec<u8>> {
        let inode = self.0;
        let (size, old) = (u64::from(inode.fs.sb.inode_size), u64::from(GOOD_OLD_INODE_SIZE));
        let head = old + inode.raw().extra();
        if size == old || head + 4 > size || inode.bytes().load_u32(head) != XATTR_MAGIC {
            return None;
        }
        let mut bytes = vec![0; (size - head - 4) as usize];
        inode.bytes().read(head + 4, &mut bytes);
        Some(bytes)
    }

    /// Returns those in the bytes that `own` returned.
    fn in_own(self, own: &Option<Vec<u8>>) -> Result<Vec<Attribute<'_>>> {
        own.as_ref().map_or(Ok(Vec::new()), |bytes| self.parse(bytes, 0))
    }

    /// Returns the bytes of its block, if it has one.
    fn block(self) -> Result<Option<Vec<u8>>> {
        // Others may use it, and one of them may be giving it up: its count and its checksum change.
        let _shared = self.0.fs.attributes.lock();
        self.block_held()
    }

    /// Returns what [`block`](Self::block) does, where the mutex of attribute blocks is held.
    pub(super) fn block_held(self) -> Result<Option<Vec<u8>>> {
        let (inode, sb) = (self.0, &self.0.fs.sb);
        let block = inode.raw().wide_file_acl();
        if block == 0 {
            return Ok(None);
        }
        let what = "attribute block";
        if !sb.holds(block, 1) || !inode.fs.may_be_a_files(inode.ino, block, 1) {
            return Err(inode.corrupt("i_file_acl leads to no block of attributes", block));
        }
        let mut bytes = vec![0; sb.block_size() as usize];
        inode.fs.meta(block, what, block)?.read(0, &mut bytes);
        if bytes.load_u32(H_MAGIC) != XATTR_MAGIC || bytes.load_u32(H_BLOCKS) != ONE {
            return Err(Corrupt::new(what, block, "it is none").into());
        }
        if let Some(seed) = sb.seed {
            let real = checksum::attribute_block(seed, block, &*bytes, 0, sb.block_size());
            expect_checksum(what, block, bytes.load_u32(H_CHECKSUM), real)?;
        }
        Ok(Some(bytes))
    }

    /// Returns those in `block`.
    fn in_block(self, block: &Option<Vec<u8>>) -> Result<Vec<Attribute<'_>>> {
        block.as_ref().map_or(Ok(Vec::new()), |bytes| self.parse(bytes, H_ENTRIES))
    }

    /// Returns the attributes in `bytes`, whose entries start at `head`.
    fn parse(self, bytes: &[u8], head: usize) -> Result<Vec<Attribute<'_>>> {
        let inodes = self.0.fs.sb.has(INCOMPAT_EA_INODE);
        parse(bytes, head, inodes).map_err(|(why, at)| self.0.corrupt(why, at as u64))
    }

    /// Returns the value that another inode holds.
    fn value_of(self, Elsewhere { ino, len }: Elsewhere) -> Result<Vec<u8>> {
        let fs = &self.0.fs;
        let holder = fs.read_inode(ino)?;
        let is_value = holder.kind == FileKind::File
            && holder.has(EA_INODE_FL)
            && !holder.has(INLINE_DATA_FL | ENCRYPT_FL);
        if !is_value || holder.raw().links() == 0 || holder.mapping.size() != len.into() {
            return Err(holder.corrupt("it does not hold the attribute that leads to it", len.into()));
        }
        // As large as Linux lets one be.
        if len > 1 << 16 {
            return Err(holder.corrupt("the value of an attribute is too large", len.into()));
        }
        let mut value = vec![0; len as usize];
        let (size, bits) = (fs.sb.block_size(), fs.sb.block_bits);
        for (lblk, piece) in (0..).zip(value.chunks_mut(size as usize)) {
            let (backing, _) = holder.map().look(lblk, 1)?;
            let place = backing.place().ok_or_else(|| holder.corrupt("a hole in a value", lblk << bits))?;
            fs.part(place >> bits, 0..piece.len() as u64, "inode", ino.into())?.read(0, piece);
        }
        // Values have checksums, whether structures have or not.
        let seed = fs.sb.seed.unwrap_or_else(|| Seed::new(None, &fs.sb.uuid));
        let told = holder.raw().time(ATIME).secs as u32;
        expect_checksum("attribute value in inode", ino.into(), told, checksum::value(seed, &value))?;
        Ok(value)
    }
}
