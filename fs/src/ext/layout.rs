//! Where things are on the disk, under the specification's names. All numbers are little-endian.
//!
//! Specification: "ext2" in the Linux kernel's documentation (`filesystems/ext2`, `filesystems/ext4/*.rst`).
//!
//! ```text
//! group 0 | boot (1024) superblock | group descriptors | room | block bitmap | inode bitmap | inodes | data
//! group 1 | a copy, in some groups | a copy            | room | block bitmap | inode bitmap | inodes | data
//! ```

#![allow(missing_docs)]

/// Where the first superblock is.
pub const SUPERBLOCK: u64 = 1024;
/// The root directory's inode.
pub const ROOT_INO: u32 = 2;

// Superblock: offsets from its start.
pub const S_INODES_COUNT: u64 = 0x00;
pub const S_BLOCKS_COUNT: u64 = 0x04;
pub const S_R_BLOCKS_COUNT: u64 = 0x08;
pub const S_FREE_BLOCKS_COUNT: u64 = 0x0c;
pub const S_FREE_INODES_COUNT: u64 = 0x10;
pub const S_FIRST_DATA_BLOCK: u64 = 0x14;
pub const S_LOG_BLOCK_SIZE: u64 = 0x18;
pub const S_LOG_CLUSTER_SIZE: u64 = 0x1c;
pub const S_BLOCKS_PER_GROUP: u64 = 0x20;
pub const S_INODES_PER_GROUP: u64 = 0x28;
pub const S_MTIME: u64 = 0x2c;
pub const S_WTIME: u64 = 0x30;
pub const S_MNT_COUNT: u64 = 0x34;
pub const S_MAGIC: u64 = 0x38;
pub const S_MAX_MNT_COUNT: u64 = 0x36;
pub const S_STATE: u64 = 0x3a;
pub const S_ERRORS: u64 = 0x3c;
pub const S_LASTCHECK: u64 = 0x40;
pub const S_CHECKINTERVAL: u64 = 0x44;
pub const S_CREATOR_OS: u64 = 0x48;
pub const S_REV_LEVEL: u64 = 0x4c;
pub const S_DEF_RESUID: u64 = 0x50;
pub const S_DEF_RESGID: u64 = 0x52;
pub const S_FIRST_INO: u64 = 0x54;
pub const S_INODE_SIZE: u64 = 0x58;
pub const S_BLOCK_GROUP_NR: u64 = 0x5a;
pub const S_FEATURE_COMPAT: u64 = 0x5c;
pub const S_FEATURE_INCOMPAT: u64 = 0x60;
pub const S_FEATURE_RO_COMPAT: u64 = 0x64;
pub const S_UUID: u64 = 0x68;
pub const S_VOLUME_NAME: u64 = 0x78;
pub const S_LAST_MOUNTED: u64 = 0x88;
pub const S_RESERVED_GDT_BLOCKS: u64 = 0xce;
pub const S_JOURNAL_UUID: u64 = 0xd0;
/// The first inode of the list of those that were to be freed or cut when a journalling driver stopped; each
/// names the next one in `i_dtime`.
pub const S_LAST_ORPHAN: u64 = 0xe8;
pub const S_JOURNAL_INUM: u64 = 0xe0;
pub const S_JOURNAL_DEV: u64 = 0xe4;
pub const S_HASH_SEED: u64 = 0xec;
pub const S_DEF_HASH_VERSION: u64 = 0xfc;
pub const S_JNL_BACKUP_TYPE: u64 = 0xfd;
pub const S_DESC_SIZE: u64 = 0xfe;
pub const S_DEFAULT_MOUNT_OPTS: u64 = 0x100;
pub const S_FIRST_META_BG: u64 = 0x104;
pub const S_MKFS_TIME: u64 = 0x108;
pub const S_BLOCKS_COUNT_HI: u64 = 0x150;
pub const S_R_BLOCKS_COUNT_HI: u64 = 0x154;
pub const S_FREE_BLOCKS_COUNT_HI: u64 = 0x158;
pub const S_MIN_EXTRA_ISIZE: u64 = 0x15c;
pub const S_WANT_EXTRA_ISIZE: u64 = 0x15e;
pub const S_FLAGS: u64 = 0x160;
pub const S_RAID_STRIDE: u64 = 0x164;
pub const S_MMP_INTERVAL: u64 = 0x166;
pub const S_MMP_BLOCK: u64 = 0x168;
pub const S_RAID_STRIPE_WIDTH: u64 = 0x170;
pub const S_LOG_GROUPS_PER_FLEX: u64 = 0x174;
pub const S_CHECKSUM_TYPE: u64 = 0x175;
/// What [`S_CHECKSUM_TYPE`] is for CRC-32C.
pub const CRC32C: u8 = 1;
pub const S_KBYTES_WRITTEN: u64 = 0x178;
/// How many errors were met, and when, at which inode and block, in which line of which function the first
/// was, and the last (ext4's fields).
pub const S_ERROR_COUNT: u64 = 0x194;
pub const S_FIRST_ERROR_TIME: u64 = 0x198;
pub const S_FIRST_ERROR_INO: u64 = 0x19c;
pub const S_FIRST_ERROR_BLOCK: u64 = 0x1a0;
pub const S_FIRST_ERROR_FUNC: u64 = 0x1a8;
pub const S_FIRST_ERROR_LINE: u64 = 0x1c8;
pub const S_LAST_ERROR_TIME: u64 = 0x1cc;
pub const S_LAST_ERROR_INO: u64 = 0x1d0;
pub const S_LAST_ERROR_LINE: u64 = 0x1d4;
pub const S_LAST_ERROR_BLOCK: u64 = 0x1d8;
pub const S_LAST_ERROR_FUNC: u64 = 0x1e0;
pub const S_ERRORS_END: u64 = 0x200;
/// Bytes of each function's name.
pub const S_ERROR_FUNC_LEN: usize = 32;
pub const S_MOUNT_OPTS: u64 = 0x200;
pub const S_USR_QUOTA_INUM: u64 = 0x240;
pub const S_GRP_QUOTA_INUM: u64 = 0x244;
pub const S_OVERHEAD_CLUSTERS: u64 = 0x248;
pub const S_BACKUP_BGS: u64 = 0x24c;
pub const S_ENCRYPT_PW_SALT: u64 = 0x258;
pub const S_PRJ_QUOTA_INUM: u64 = 0x26c;
/// Bits 32 to 39 of the times above (ext4's fields; revision 0 has none).
pub const S_WTIME_HI: u64 = 0x274;
pub const S_MTIME_HI: u64 = 0x275;
pub const S_MKFS_TIME_HI: u64 = 0x276;
pub const S_LASTCHECK_HI: u64 = 0x277;
pub const S_FIRST_ERROR_TIME_HI: u64 = 0x278;
pub const S_LAST_ERROR_TIME_HI: u64 = 0x279;
/// Which kind the first error was, and the last.
pub const S_FIRST_ERROR_ERRCODE: u64 = 0x27a;
pub const S_LAST_ERROR_ERRCODE: u64 = 0x27b;
pub const S_CHECKSUM_SEED: u64 = 0x270;
pub const S_ORPHAN_FILE_INUM: u64 = 0x280;
pub const S_CHECKSUM: u64 = 0x3fc;
/// From here on the superblock has reserved bytes, which Linux and e2fsprogs leave alone: the redo record is
/// there.
pub const S_DAXIOM: u64 = 0x290;

// Superblock: ours, in bytes that nobody else uses. See `redo`.
/// Who mounted last: [`OWNER_MAGIC`], then `s_mnt_count` and `s_mtime` of that mount.
pub const S_OWNER: u64 = 0x290;
pub const S_OWNER_MNT_COUNT: u64 = 0x294;
pub const S_OWNER_MTIME: u64 = 0x298;
/// The redo record: its checksum (8 bytes), 0 if there is none.
pub const S_REDO: u64 = 0x2a0;
pub const S_REDO_COUNT: u64 = 0x2a8;
pub const S_REDO_MNT_COUNT: u64 = 0x2aa;
pub const S_REDO_MTIME: u64 = 0x2ac;
pub const S_REDO_LASTCHECK: u64 = 0x2b0;
pub const S_REDO_WTIME: u64 = 0x2b4;
/// Its words, 12 bytes each.
pub const S_REDO_WORDS: u64 = 0x2b8;
/// Here the superblock's own checksum starts.
pub const S_REDO_END: u64 = 0x3fc;
/// What [`S_OWNER`] holds.
pub const OWNER_MAGIC: u32 = u32::from_le_bytes(*b"Daxm");

/// What [`S_MAGIC`] holds.
pub const MAGIC: u16 = 0xef53;
/// [`S_STATE`]: cleanly unmounted.
pub const VALID_FS: u16 = 1;
/// [`S_STATE`]: errors were detected.
pub const ERROR_FS: u16 = 2;

// Group descriptor: offsets from its start.
pub const DESC_SIZE: u64 = 32;
pub const BG_BLOCK_BITMAP: u64 = 0x0;
pub const BG_INODE_BITMAP: u64 = 0x4;
pub const BG_INODE_TABLE: u64 = 0x8;
pub const BG_FREE_BLOCKS_COUNT: u64 = 0xc;
pub const BG_FREE_INODES_COUNT: u64 = 0xe;
pub const BG_USED_DIRS_COUNT: u64 = 0x10;
// Group descriptor: ext4's fields; the upper halves are in descriptors of 64 bytes.
pub const BG_FLAGS: u64 = 0x12;
pub const BG_BLOCK_BITMAP_CSUM: u64 = 0x18;
pub const BG_INODE_BITMAP_CSUM: u64 = 0x1a;
pub const BG_ITABLE_UNUSED: u64 = 0x1c;
pub const BG_CHECKSUM: u64 = 0x1e;
pub const BG_BLOCK_BITMAP_HI: u64 = 0x20;
pub const BG_INODE_BITMAP_HI: u64 = 0x24;
pub const BG_INODE_TABLE_HI: u64 = 0x28;
pub const BG_FREE_BLOCKS_COUNT_HI: u64 = 0x2c;
pub const BG_FREE_INODES_COUNT_HI: u64 = 0x2e;
pub const BG_USED_DIRS_COUNT_HI: u64 = 0x30;
pub const BG_ITABLE_UNUSED_HI: u64 = 0x32;
pub const BG_BLOCK_BITMAP_CSUM_HI: u64 = 0x38;
pub const BG_INODE_BITMAP_CSUM_HI: u64 = 0x3a;
/// [`BG_FLAGS`]: the inode bitmap was never written: no inode of the group is in use.
pub const BG_INODE_UNINIT: u16 = 1;
/// [`BG_FLAGS`]: the block bitmap was never written: only structures are in the group.
pub const BG_BLOCK_UNINIT: u16 = 2;

// Inode: offsets from its start.
pub const I_MODE: u64 = 0x00;
pub const I_UID: u64 = 0x02;
pub const I_SIZE: u64 = 0x04;
pub const I_ATIME: u64 = 0x08;
pub const I_CTIME: u64 = 0x0c;
pub const I_MTIME: u64 = 0x10;
pub const I_DTIME: u64 = 0x14;
pub const I_GID: u64 = 0x18;
pub const I_LINKS_COUNT: u64 = 0x1a;
pub const I_BLOCKS: u64 = 0x1c;
pub const I_FLAGS: u64 = 0x20;
pub const I_BLOCK: u64 = 0x28;
pub const I_GENERATION: u64 = 0x64;
pub const I_FILE_ACL: u64 = 0x68;
/// `i_dir_acl` in the oldest images.
pub const I_SIZE_HIGH: u64 = 0x6c;
pub const I_BLOCKS_HIGH: u64 = 0x74;
pub const I_FILE_ACL_HIGH: u64 = 0x76;
pub const I_UID_HIGH: u64 = 0x78;
pub const I_GID_HIGH: u64 = 0x7a;
pub const I_CHECKSUM_LO: u64 = 0x7c;
pub const I_EXTRA_ISIZE: u64 = 0x80;
pub const I_CHECKSUM_HI: u64 = 0x82;
pub const I_CTIME_EXTRA: u64 = 0x84;
pub const I_MTIME_EXTRA: u64 = 0x88;
pub const I_ATIME_EXTRA: u64 = 0x8c;
pub const I_CRTIME: u64 = 0x90;
pub const I_CRTIME_EXTRA: u64 = 0x94;

/// Bytes of an inode in revision 0, and of the part every inode has.
pub const GOOD_OLD_INODE_SIZE: u32 = 128;
/// The first inode that is not reserved, in revision 0.
pub const GOOD_OLD_FIRST_INO: u32 = 11;
/// Bytes of `i_block`: 15 pointers, or a short symbolic link's target.
pub const I_BLOCK_BYTES: u64 = 60;
/// [`I_FLAGS`]: nothing of it may be changed, nor may it get or lose a name.
pub const IMMUTABLE_FL: u32 = 0x10;
/// [`I_FLAGS`]: it only grows: a file at its end, a directory by names.
pub const APPEND_FL: u32 = 0x20;
/// [`I_FLAGS`]: what is below the directory's subdirectories has nothing to do with each other.
pub const TOPDIR_FL: u32 = 0x2_0000;
/// [`I_FLAGS`] that a new directory has from its parent: secure deletion, undelete, compress and do not,
/// synchronous, no dump, no access times, data journalled, no tail merging, synchronous directory.
pub const INHERITED_FL: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x1_0000;
/// Those of [`INHERITED_FL`] that a regular file has too: all but the last.
pub const INHERITED_BY_FILES_FL: u32 = INHERITED_FL & !0x1_0000;
/// Those of [`INHERITED_FL`] that everything else has: no dump, no access times.
pub const INHERITED_BY_OTHERS_FL: u32 = 0x40 | 0x80;
/// [`I_FLAGS`]: the directory has a hash index.
pub const INDEX_FL: u32 = 0x1000;
/// [`I_FLAGS`]: the content is encrypted.
pub const ENCRYPT_FL: u32 = 0x800;
/// [`I_FLAGS`]: the content is written through the journal.
pub const JOURNAL_DATA_FL: u32 = 0x4000;
/// [`I_FLAGS`]: `i_blocks` counts blocks, not units of 512 bytes.
pub const HUGE_FILE_FL: u32 = 0x4_0000;
/// [`I_FLAGS`]: `i_block` is the root of a tree of extents.
pub const EXTENTS_FL: u32 = 0x8_0000;
/// [`I_FLAGS`]: the content is protected by hashes.
pub const VERITY_FL: u32 = 0x10_0000;
/// [`I_FLAGS`]: it holds the value of another inode's attribute.
pub const EA_INODE_FL: u32 = 0x20_0000;
/// [`I_FLAGS`]: the content is in the inode.
pub const INLINE_DATA_FL: u32 = 0x1000_0000;
/// [`I_FLAGS`]: what `i_block` holds is no block map (extents, data).
pub const FOREIGN_FL: u32 = 0x1008_0000;
/// The most names an inode may have.
pub const LINK_MAX: u16 = 32_000;

// Directory entry: offsets from its start.
pub const D_INODE: u64 = 0;
pub const D_REC_LEN: u64 = 4;
pub const D_NAME_LEN: u64 = 6;
pub const D_FILE_TYPE: u64 = 7;
pub const D_NAME: u64 = 8;
/// The longest name.
pub const NAME_MAX: usize = 255;

// Extended attribute block: offsets from its start.
pub const H_MAGIC: u64 = 0;
pub const H_REFCOUNT: u64 = 4;
pub const H_BLOCKS: u64 = 8;
pub const H_HASH: u64 = 12;
pub const H_CHECKSUM: u64 = 16;
/// Here the entries start.
pub const H_ENTRIES: usize = 32;
// An attribute's entry: offsets from its start, where `e_name_len`, `e_name_index` and `e_value_offs` are.
pub const E_VALUE_BLOCK: usize = 4;
pub const E_VALUE_SIZE: usize = 8;
pub const E_HASH: usize = 12;
pub const E_NAME: usize = 16;
/// What [`H_MAGIC`] holds.
pub const XATTR_MAGIC: u32 = 0xea02_0000;
