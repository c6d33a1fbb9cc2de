//! The checksums of structures (`metadata_csum`): what each covers, and with what it starts.
//!
//! All are the register of CRC-32C, not inverted at the end. They start with what tells structures of the
//! same form apart, so that one in another's place is noticed:
//!
//! ```text
//! !0 ── UUID ──► file system ─┬─ number of a group ──► its descriptor
//!   (or s_checksum_seed)      ├─ ────────────────────► its bitmaps
//!                             ├─ number of a block ──► an attribute block
//!                             └─ number, generation of an inode ──► inode
//! !0 ─────────► superblock    inode ─┬─► itself, its extent blocks, its blocks of names and of index
//!                                    └─ number of a block ──► a block of the orphan file
//! ```
//!
//! | structure | covered | stored |
//! |---|---|---|
//! | superblock | what is in front of `s_checksum` | 32 bits: `s_checksum` |
//! | descriptor | all, `bg_checksum` taken for 0 | the low 16: `bg_checksum` |
//! | bitmaps | a bit for each block, or inode, of a full group | 16 + 16; with descriptors of 32 bytes the low 16 |
//! | inode | all, both fields taken for 0 | 16 + 16; without room for the high field the low 16 |
//! | extent block | what is in front of the tail | 32: the tail |
//! | block of names | what is in front of the tail, the last 12 bytes | 32: the tail's last 4 bytes |
//! | index block | up to the last entry that is used, and the tail with the checksum taken for 0 | 32: the same |
//! | attribute block | all, `h_checksum` taken for 0 | 32: `h_checksum` |
//! | orphan block | all but the last 8 bytes | 32: the last 4 bytes |
//!
//! A function returns what is to be stored: where that is 16 bits, the upper half is zero.
//!
//! Reference: the Linux kernel's `filesystems/ext4/checksums.rst`.

use super::extent;
use crate::crc32c::update;
use crate::ext::layout::*;
use crate::ext::load::Load;
use crc::{CRC_16_MODBUS, Crc};

/// CRC-16 with the polynomial 0x8005, mirrored, starting with all ones.
static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_MODBUS);
/// From this size on a descriptor has high halves.
const DESC_SIZE_64: u32 = 64;
/// The least `i_extra_isize` with which `i_checksum_hi` is there.
const EXTRA_ISIZE_WITH_HI: u16 = 4;
/// Attribute block: where `h_checksum` is.
const H_CHECKSUM: u64 = 0x10;
/// Bytes of a tail of a block of names, and of an orphan block.
const NAMES_TAIL: u64 = 12;
/// What is in front of the checksum in a block of names: it looks like an entry.
pub(crate) const NAMES_TAIL_WORDS: [u32; 2] = [0, 0xde00_000c];
const ORPHAN_TAIL: u64 = 8;

/// What the checksums of one file system, or of one inode, start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    /// Returns the file system's: `s_checksum_seed` where there is one (`metadata_csum_seed`), else what
    /// follows from `s_uuid`.
    pub(crate) fn new(checksum_seed: Option<u32>, uuid: &[u8; 16]) -> Self {
        Self(checksum_seed.unwrap_or_else(|| update(!0, uuid)))
    }

    /// Returns inode `ino`'s, which has this `i_generation`, from the file system's.
    pub(crate) fn of_inode(self, ino: u32, generation: u32) -> Self {
        self.and(&ino.to_le_bytes()).and(&generation.to_le_bytes())
    }

    /// Returns it as a number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Returns the one that a number is.
    pub(crate) fn of_number(number: u32) -> Self {
        Self(number)
    }

    fn and(self, bytes: &[u8]) -> Self {
        Self(update(self.0, bytes))
    }

    /// Goes on with `len` bytes from `at` on.
    fn bytes(self, from: &(impl Load + ?Sized), at: u64, len: u64) -> Self {
        let mut chunk = [0; 256];
        let (mut crc, end) = (self.0, at + len);
        for start in (at..end).step_by(chunk.len()) {
            let part = &mut chunk[..(end - start).min(256) as usize];
            from.read(start, part);
            crc = update(crc, part);
        }
        Self(crc)
    }

    /// Goes on with `len` bytes from `at` on, of which those of `field`, `N` bytes, are taken for 0.
    fn without<const N: usize>(self, from: &(impl Load + ?Sized), at: u64, len: u64, field: u64) -> Self {
        let after = field + N as u64;
        self.bytes(from, at, field).and(&[0; N]).bytes(from, at + after, len - after)
    }
}

/// Returns the checksum of the descriptor of group `group` at `at`, which has `s_desc_size` bytes:
/// 32 or more.
pub(crate) fn descriptor(
    seed: Seed,
    group: u32,
    from: &(impl Load + ?Sized),
    at: u64,
    desc_size: u32,
) -> u16 {
    seed.and(&group.to_le_bytes()).without::<2>(from, at, desc_size.into(), BG_CHECKSUM).0 as u16
}

/// Returns the checksum that the descriptor has where descriptors alone have one (`uninit_bg`): 16 bits, over
/// what [`descriptor`]'s is over.
pub(crate) fn old_descriptor(
    uuid: &[u8; 16],
    group: u32,
    from: &(impl Load + ?Sized),
    at: u64,
    desc_size: u32,
) -> u16 {
    let mut bytes = [0; 1024];
    let bytes = &mut bytes[..desc_size as usize];
    from.read(at, bytes);
    let (before, after) = bytes.split_at(BG_CHECKSUM as usize);
    let mut digest = CRC16.digest();
    digest.update(uuid);
    digest.update(&group.to_le_bytes());
    digest.update(before);
    digest.update(&after[2..]);
    digest.finalize()
}

/// Returns the checksum of the bitmap at `at`: of `s_blocks_per_group` or `s_inodes_per_group` bits, in whole
/// bytes, however many the group has.
pub(crate) fn bitmap(
    seed: Seed,
    from: &(impl Load + ?Sized),
    at: u64,
    bits_per_group: u32,
    desc_size: u32,
) -> u32 {
    let crc = seed.bytes(from, at, (bits_per_group / 8).into()).0;
    if desc_size < DESC_SIZE_64 { crc & 0xffff } else { crc }
}

/// Tells whether the inode at `at`, of `s_inode_size` bytes, has `i_checksum_hi`.
pub(crate) fn has_checksum_hi(from: &(impl Load + ?Sized), at: u64, inode_size: u32) -> bool {
    inode_size > GOOD_OLD_INODE_SIZE && from.load_u16(at + I_EXTRA_ISIZE) >= EXTRA_ISIZE_WITH_HI
}

/// Returns the checksum of the inode at `at`, of `s_inode_size` bytes.
pub(crate) fn inode(inode_seed: Seed, from: &(impl Load + ?Sized), at: u64, inode_size: u32) -> u32 {
    let (old, all) = (u64::from(GOOD_OLD_INODE_SIZE), u64::from(inode_size));
    let first = inode_seed.without::<2>(from, at, old, I_CHECKSUM_LO);
    if has_checksum_hi(from, at, inode_size) {
        first.without::<2>(from, at + old, all - old, I_CHECKSUM_HI - old).0
    } else {
        first.bytes(from, at + old, all - old).0 & 0xffff
    }
}

/// Returns the checksum of the extent block at `at`, a node of the inode's tree.
pub(crate) fn extent_block(inode_seed: Seed, from: &(impl Load + ?Sized), at: u64, block_size: u64) -> u32 {
    inode_seed.bytes(from, at, extent::tail_at(block_size)).0
}

/// Returns where entries end in a block of names, which has a tail if there are checksums.
pub(crate) fn names_end(block_size: u64, has_tail: bool) -> u64 {
    block_size - if has_tail { NAMES_TAIL } else { 0 }
}

/// Returns the checksum of the block of names at `at`, one of the directory's that is no node of its index.
pub(crate) fn names_block(inode_seed: Seed, from: &(impl Load + ?Sized), at: u64, block_size: u64) -> u32 {
    inode_seed.bytes(from, at, block_size - NAMES_TAIL).0
}

/// Returns the checksum of the block at `at` with a node of the directory's index. Of its bytes, `used` are
/// up to the end of the last entry that is used; the tail is at byte `tail` of it.
pub(crate) fn index_block(
    inode_seed: Seed,
    from: &(impl Load + ?Sized),
    at: u64,
    used: u64,
    tail: u64,
) -> u32 {
    inode_seed.bytes(from, at, used).without::<4>(from, at + tail, 8, 4).0
}

/// Returns the checksum of the attribute block at `at`, which is block `block` of the file system.
pub(crate) fn attribute_block(
    seed: Seed,
    block: u64,
    from: &(impl Load + ?Sized),
    at: u64,
    block_size: u64,
) -> u32 {
    seed.and(&block.to_le_bytes()).without::<4>(from, at, block_size, H_CHECKSUM).0
}

/// Returns the checksum of an attribute's value that has an inode of its own.
pub(crate) fn value(seed: Seed, value: &[u8]) -> u32 {
    seed.and(value).0
}

/// Returns the checksum of the block of the orphan file at `at`, which is block `block` of the file system.
pub(crate) fn orphan_block(
    inode_seed: Seed,
    block: u64,
    from: &(impl Load + ?Sized),
    at: u64,
    block_size: u64,
) -> u32 {
    inode_seed.and(&block.to_le_bytes()).bytes(from, at, block_size - ORPHAN_TAIL).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const SEED: Seed = Seed(0x1234_5678);

    /// Which of so many bytes the checksum does not depend on. `i_extra_isize` is where an inode has it.
    fn not_covered(len: usize, extra_isize: u8, checksum: impl Fn(&[u8]) -> u32) -> Vec<usize> {
        let mut bytes = vec![0x5a; len];
        bytes[I_EXTRA_ISIZE as usize..][..2].copy_from_slice(&[extra_isize, 0]);
        let before = checksum(&bytes);
        let mut depends = |at: usize| {
            bytes[at] ^= 0xff;
            let is_other = checksum(&bytes) != before;
            bytes[at] ^= 0xff;
            is_other
        };
        (0..len).filter(|&at| !depends(at)).collect()
    }

    #[test]
    fn all_is_covered_but_the_checksum_itself_and_what_is_said() {
        let covers = |len, checksum: &dyn Fn(&[u8]) -> u32, except: Vec<usize>| {
            assert_eq!(not_covered(len, 32, checksum), except);
        };
        for size in [32, 64] {
            let of = |bytes: &[u8]| descriptor(SEED, 3, bytes, 64, size).into();
            let outside = (0..64).chain([64 + 0x1e, 64 + 0x1f]).chain(64 + size as usize..192).collect();
            covers(192, &of, outside);
        }
        covers(256, &|bytes| bitmap(SEED, bytes, 0, 2040, 64), vec![255]);
        covers(256, &|bytes| inode(SEED, bytes, 0, 256), vec![0x7c, 0x7d, 0x82, 0x83]);
        covers(256, &|bytes| inode(SEED, bytes, 0, 128), [0x7c, 0x7d].into_iter().chain(128..256).collect());
        assert_eq!(not_covered(256, 0, |bytes| inode(SEED, bytes, 0, 256)), [0x7c, 0x7d]);
        covers(2048, &|bytes| extent_block(SEED, bytes, 0, 2048), (2040..2048).collect());
        covers(1024, &|bytes| names_block(SEED, bytes, 0, 1024), (1012..1024).collect());
        let index = |bytes: &[u8]| index_block(SEED, bytes, 0, 0x40, 1016);
        covers(1024, &index, (0x40..1016).chain(1020..1024).collect());
        covers(1024, &|bytes| attribute_block(SEED, 7, bytes, 0, 1024), (0x10..0x14).collect());
        covers(1024, &|bytes| orphan_block(SEED, 7, bytes, 0, 1024), (1016..1024).collect());
    }

    #[test]
    fn the_place_matters_and_16_bits_are_16_bits() {
        let bytes = &[0x5a; 256][..];
        assert_ne!(SEED.of_inode(12, 1), SEED.of_inode(12, 2));
        assert_ne!(SEED.of_inode(12, 1), SEED.of_inode(13, 1));
        assert_ne!(descriptor(SEED, 0, bytes, 0, 64), descriptor(SEED, 1, bytes, 0, 64));
        assert_ne!(attribute_block(SEED, 7, bytes, 0, 256), attribute_block(SEED, 8, bytes, 0, 256));
        assert_ne!(orphan_block(SEED, 7, bytes, 0, 256), orphan_block(SEED, 8, bytes, 0, 256));
        assert_eq!(bitmap(SEED, bytes, 0, 2048, 32), bitmap(SEED, bytes, 0, 2048, 64) & 0xffff);
        assert_eq!(inode(SEED, bytes, 0, 128) >> 16, 0);
        assert_eq!(Seed::new(Some(7), &[0; 16]), Seed(7));
        assert_eq!(Seed::new(None, &[0; 16]), Seed(update(!0, &[0; 16])));
    }
}
