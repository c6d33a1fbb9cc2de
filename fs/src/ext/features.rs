//! Feature bits of the superblock and their names, as `dumpe2fs -h` prints them.
//!
//! | set | an unknown bit means |
//! |---|---|
//! | compat | nothing |
//! | incompat | refuse to mount |
//! | ro_compat | mount read-only |

use crate::error::{Corrupt, Features};
use core::fmt;

/// compat: backups in two groups only (`s_backup_bgs`).
pub const COMPAT_SPARSE_SUPER2: u32 = 0x200;
/// compat: there is a journal (ext3); it is left alone.
pub const COMPAT_HAS_JOURNAL: u32 = 0x4;
/// compat: there are extended attributes.
pub const COMPAT_EXT_ATTR: u32 = 0x8;
/// compat: blocks are reserved for a growing descriptor table.
pub const COMPAT_RESIZE_INODE: u32 = 0x10;
/// compat: directories have indexes.
pub const COMPAT_DIR_INDEX: u32 = 0x20;
/// compat: some blocks of the journal are for small changes.
pub const COMPAT_FAST_COMMIT: u32 = 0x400;
/// compat: files without a name are in a file of their own.
pub const COMPAT_ORPHAN_FILE: u32 = 0x1000;

/// incompat: directory entries tell the file's type.
pub const INCOMPAT_FILETYPE: u32 = 0x2;
/// incompat: the journal must be replayed first.
pub const INCOMPAT_RECOVER: u32 = 0x4;
/// incompat: from some group on, descriptors lie in the groups that they describe.
pub const INCOMPAT_META_BG: u32 = 0x10;
/// incompat: files have extents.
pub const INCOMPAT_EXTENTS: u32 = 0x40;
/// incompat: block numbers of 64 bits, and larger descriptors.
pub const INCOMPAT_64BIT: u32 = 0x80;
/// incompat: several machines may have it, and one says so in a block of its own.
pub const INCOMPAT_MMP: u32 = 0x100;
/// incompat: structures of several groups lie in the first of them.
pub const INCOMPAT_FLEX_BG: u32 = 0x200;
/// incompat: large attributes have inodes of their own.
pub const INCOMPAT_EA_INODE: u32 = 0x400;
/// incompat: checksums start with `s_checksum_seed`.
pub const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// incompat: directories with three levels of hashes, of 2 GiB and more.
pub const INCOMPAT_LARGEDIR: u32 = 0x4000;
/// incompat: small files lie in their inodes.
pub const INCOMPAT_INLINE_DATA: u32 = 0x8000;
/// incompat: there may be encrypted files.
pub const INCOMPAT_ENCRYPT: u32 = 0x1_0000;
/// incompat: what only ext4 has, from `extents` on; `mke2fs -t ext2` and `-t ext3` set none of them.
pub const INCOMPAT_EXT4: u32 = 0x3_f7c0;

/// ro_compat: backups only in some groups.
pub const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
/// ro_compat: there are files of 2 GiB and more.
pub const RO_COMPAT_LARGE_FILE: u32 = 0x2;
/// ro_compat: `i_blocks` has 48 bits, and may count blocks.
pub const RO_COMPAT_HUGE_FILE: u32 = 0x8;
/// ro_compat: descriptors have checksums of 16 bits, and may say that bitmaps are not initialised.
pub const RO_COMPAT_GDT_CSUM: u32 = 0x10;
/// ro_compat: a directory may have more subdirectories than it can count.
pub const RO_COMPAT_DIR_NLINK: u32 = 0x20;
/// ro_compat: inodes have fields beyond the first 128 bytes.
pub const RO_COMPAT_EXTRA_ISIZE: u32 = 0x40;
/// ro_compat: all structures have checksums.
pub const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
/// ro_compat: some files are protected by hashes.
pub const RO_COMPAT_VERITY: u32 = 0x8000;
/// ro_compat: the orphan file may name some.
pub const RO_COMPAT_ORPHAN_PRESENT: u32 = 0x1_0000;
/// ro_compat: what only ext4 has; `mke2fs -t ext2` and `-t ext3` set none of them.
pub const RO_COMPAT_EXT4: u32 = 0x1_b778;
/// ro_compat: space is taken in clusters of blocks.
pub const RO_COMPAT_BIGALLOC: u32 = 0x200;

const INCOMPAT: [(u32, &str); 16] = [
    (0x1, "compression"),
    (INCOMPAT_FILETYPE, "filetype"),
    (INCOMPAT_RECOVER, "needs_recovery"),
    (0x8, "journal_dev"),
    (INCOMPAT_META_BG, "meta_bg"),
    (0x40, "extent"),
    (INCOMPAT_64BIT, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

const COMPAT: [(u32, &str); 13] = [
    (0x1, "dir_prealloc"),
    (0x2, "imagic_inodes"),
    (COMPAT_HAS_JOURNAL, "has_journal"),
    (COMPAT_EXT_ATTR, "ext_attr"),
    (COMPAT_RESIZE_INODE, "resize_inode"),
    (COMPAT_DIR_INDEX, "dir_index"),
    (0x40, "lazy_bg"),
    (0x80, "exclude_inode"),
    (0x100, "snapshot_bitmap"),
    (COMPAT_SPARSE_SUPER2, "sparse_super2"),
    (COMPAT_FAST_COMMIT, "fast_commit"),
    (0x800, "stable_inodes"),
    (COMPAT_ORPHAN_FILE, "orphan_file"),
];

const RO_COMPAT: [(u32, &str); 17] = [
    (RO_COMPAT_SPARSE_SUPER, "sparse_super"),
    (RO_COMPAT_LARGE_FILE, "large_file"),
    (0x4, "btree_dir"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (RO_COMPAT_BIGALLOC, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

/// Returns incompat bits that are not understood, with their names and what helps.
pub const fn missing(incompat: u32, hint: &'static str) -> Features {
    Features { bits: incompat, names: &INCOMPAT, hint }
}

/// Returns compat bits with their names.
pub const fn compat(bits: u32) -> Features {
    Features { bits, names: &COMPAT, hint: "" }
}

/// Returns incompat bits with their names.
pub const fn incompat(bits: u32) -> Features {
    Features { bits, names: &INCOMPAT, hint: "" }
}

/// Returns ro_compat bits with their names.
pub const fn ro_compat(bits: u32) -> Features {
    Features { bits, names: &RO_COMPAT, hint: "" }
}

/// Why a mount became read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOnlyReason {
    /// The caller asked for it.
    Asked,
    /// The region cannot be written.
    Region,
    /// These features could not be kept right.
    Features {
        /// Those of the incompatible ones.
        incompat: u32,
        /// Those of ro_compat.
        ro_compat: u32,
    },
    /// There is no journal in the file system: this driver changes nothing without.
    NoJournal,
    /// The image says that contradictions were met in it.
    Errors,
    /// It was not unmounted cleanly, and this contradiction is more than a crash can leave.
    Damaged(Corrupt),
}

impl fmt::Display for ReadOnlyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("mounted read-only"),
            Self::Region => f.write_str("the region cannot be written"),
            Self::Features { incompat: bits, ro_compat: others } => {
                write!(f, "features that allow reading only:{}{}", incompat(*bits), ro_compat(*others))
            }
            Self::NoJournal => f.write_str("it has no journal (tune2fs -O has_journal makes one)"),
            Self::Errors => f.write_str("errors were met in it: run e2fsck on the image"),
            Self::Damaged(what) => write!(f, "{what}: run e2fsck on the image"),
        }
    }
}
