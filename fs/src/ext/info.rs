//! What a superblock says, field by field, under the names that `dumpe2fs -h` and `tune2fs -l` print.

use super::features::{self, *};
use super::geometry::Geometry;
use super::layout::*;
use super::superblock::RawSuperBlock;
use crate::vfs::{Field, uuid_text};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display};

const FLAGS: [(u32, &str); 3] =
    [(1, "signed_directory_hash"), (2, "unsigned_directory_hash"), (4, "test_filesystem")];
const MOUNT_OPTIONS: [(u32, &str); 9] = [
    (0x1, "debug"),
    (0x2, "bsdgroups"),
    (0x4, "user_xattr"),
    (0x8, "acl"),
    (0x10, "uid16"),
    (0x100, "nobarrier"),
    (0x200, "block_validity"),
    (0x400, "discard"),
    (0x800, "nodelalloc"),
];
const JOURNAL_MODES: [&str; 4] = ["", "journal_data", "journal_data_ordered", "journal_data_writeback"];
const SYSTEMS: [&str; 5] = ["Linux", "GNU/Hurd", "Masix", "FreeBSD", "Lites"];
const HASHES: [&str; 3] = ["legacy", "half_md4", "tea"];
/// What `s_first_error_errcode` and `s_last_error_errcode` stand for, from 1 on.
const ERROR_CODES: [&str; 17] = [
    "UNKNOWN",
    "EIO",
    "ENOMEM",
    "EFSBADCRC",
    "EFSCORRUPTED",
    "ENOSPC",
    "ENOKEY",
    "EROFS",
    "EFBIG",
    "EEXIST",
    "ERANGE",
    "EOVERFLOW",
    "EBUSY",
    "ENOTDIR",
    "ENOTEMPTY",
    "ESHUTDOWN",
    "EFAULT",
];

/// The names of the bits that are set, with `first` before them; "(none)" for no name.
fn names_of(bits: u32, names: &[(u32, &'static str)], first: &'static str) -> String {
    let set = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name);
    let all: Vec<&str> = core::iter::once(first).chain(set).filter(|name| !name.is_empty()).collect();
    if all.is_empty() { "(none)".to_string() } else { all.join(" ") }
}

/// Text in a field of fixed length, up to its first NUL; `none` if that is nothing.
fn text_of(bytes: &[u8], none: &str) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    if end == 0 { none.to_string() } else { String::from_utf8_lossy(&bytes[..end]).into_owned() }
}

/// A time span: months, weeks and days, and what is left of a day.
fn span_text(mut seconds: u32) -> String {
    if seconds == 0 {
        return "<none>".to_string();
    }
    let mut parts = Vec::new();
    for (unit, name) in [(30 * 86_400, "month"), (7 * 86_400, "week"), (86_400, "day")] {
        let count = seconds / unit;
        seconds %= unit;
        if count > 0 {
            parts.push(alloc::format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if seconds > 0 {
        parts.push(alloc::format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    }
    parts.join(", ")
}

/// Kibibytes in the unit that leaves four to seven digits.
fn size_text(kib: u64) -> String {
    let unit = (0..4).find(|unit| kib < 1 << (13 + 10 * unit)).unwrap_or(4);
    let rounded = if unit == 0 { kib } else { (kib + (1 << (10 * unit - 1))) >> (10 * unit) };
    alloc::format!("{rounded} {}B", ["k", "M", "G", "T", "P"][unit])
}

/// The names of all features.
struct FeatureNames(u32, u32, u32);

impl Display for FeatureNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(compat, incompat, ro_compat) = *self;
        write!(f, "{}{}", features::compat(compat), features::incompat(incompat))?;
        features::ro_compat(ro_compat).fmt(f)
    }
}

/// Who is told the fields.
struct Fields<'a>(&'a mut dyn FnMut(&'static str, Field));

impl Fields<'_> {
    fn text(&mut self, name: &'static str, value: impl Display) {
        (self.0)(name, Field::Text(value.to_string()));
    }

    /// Tells a number, unless it is 0.
    fn number(&mut self, name: &'static str, value: impl Into<u64>) {
        match value.into() {
            0 => {}
            value => self.text(name, value),
        }
    }

    /// Tells a UUID, unless it is 0.
    fn uuid(&mut self, name: &'static str, value: [u8; 16]) {
        if value != [0; 16] {
            self.text(name, uuid_text(&value));
        }
    }

    fn time(&mut self, name: &'static str, time: u64) {
        (self.0)(name, Field::Time(time));
    }
}

/// Calls `f` with the name and value of each field of `raw`, in the order of the tools. `sb` follows from it;
/// `free` has the blocks and inodes that are free at this moment.
pub(crate) fn describe(
    raw: &RawSuperBlock,
    sb: &Geometry,
    (free_blocks, free_inodes): (u64, u64),
    f: &mut dyn FnMut(&'static str, Field),
) {
    let f = &mut Fields(f);
    let byte = |at| raw.array::<1>(at)[0];
    let (compat, incompat, ro_compat) =
        (raw.u32(S_FEATURE_COMPAT), raw.u32(S_FEATURE_INCOMPAT), raw.u32(S_FEATURE_RO_COMPAT));
    let has = |set: u32, feature: u32| set & feature != 0;
    f.text("Filesystem volume name:", text_of(&raw.array::<16>(S_VOLUME_NAME), "<none>"));
    f.text("Last mounted on:", text_of(&raw.array::<64>(S_LAST_MOUNTED), "<not available>"));
    f.text("Filesystem UUID:", uuid_text(&raw.array(S_UUID)));
    f.text("Filesystem magic number:", format_args!("0x{:X}", raw.u16(S_MAGIC)));
    let kind = if sb.rev_level == 0 { "original" } else { "dynamic" };
    f.text("Filesystem revision #:", format_args!("{} ({kind})", sb.rev_level));
    let names = FeatureNames(compat, incompat, ro_compat).to_string();
    f.text("Filesystem features:", if names.is_empty() { "(none)" } else { names.trim_start() });
    if raw.u32(S_FLAGS) != 0 {
        // A blank at the end, as the tools have it, here and below.
        f.text("Filesystem flags:", format_args!("{} ", names_of(raw.u32(S_FLAGS), &FLAGS, "")));
    }
    let options = raw.u32(S_DEFAULT_MOUNT_OPTS);
    let mode = JOURNAL_MODES[(options >> 5 & 3) as usize];
    f.text("Default mount options:", names_of(options, &MOUNT_OPTIONS, mode));
    if byte(S_MOUNT_OPTS) != 0 {
        f.text("Mount options:", text_of(&raw.array::<64>(S_MOUNT_OPTS), ""));
    }
    let state = raw.u16(S_STATE);
    let clean = if state & VALID_FS != 0 { "clean" } else { "not clean" };
    let errors = if state & ERROR_FS != 0 { " with errors" } else { "" };
    f.text("Filesystem state:", format_args!("{clean}{errors}"));
    let policies = ["Continue", "Remount read-only", "Panic"];
    let policy = policies.get(usize::from(raw.u16(S_ERRORS)).wrapping_sub(1));
    f.text("Errors behavior:", policy.unwrap_or(&"Unknown (continue)"));
    f.text("Filesystem OS type:", SYSTEMS.get(raw.u32(S_CREATOR_OS) as usize).unwrap_or(&"unknown"));
    f.text("Inode count:", sb.inodes_count);
    f.text("Block count:", sb.blocks_count);
    let is_64bit = has(incompat, INCOMPAT_64BIT);
    let high = if is_64bit { raw.u32(S_R_BLOCKS_COUNT_HI) } else { 0 };
    f.text("Reserved block count:", u64::from(high) << 32 | u64::from(raw.u32(S_R_BLOCKS_COUNT)));
    f.number("Overhead clusters:", raw.u32(S_OVERHEAD_CLUSTERS));
    f.text("Free blocks:", free_blocks);
    f.text("Free inodes:", free_inodes);
    f.text("First block:", sb.first_data_block);
    f.text("Block size:", sb.block_size());
    let has_clusters = has(ro_compat, RO_COMPAT_BIGALLOC);
    let name = if has_clusters { "Cluster size:" } else { "Fragment size:" };
    f.text(name, sb.block_size() << sb.cluster_bits);
    if is_64bit {
        f.text("Group descriptor size:", 1 << sb.desc_bits);
    }
    f.number("Reserved GDT blocks:", raw.u16(S_RESERVED_GDT_BLOCKS));
    f.text("Blocks per group:", sb.blocks_per_group);
    let name = if has_clusters { "Clusters per group:" } else { "Fragments per group:" };
    f.text(name, sb.blocks_per_group >> sb.cluster_bits);
    f.text("Inodes per group:", sb.inodes_per_group);
    f.text("Inode blocks per group:", sb.inode_table_blocks);
    f.number("RAID stride:", raw.u16(S_RAID_STRIDE));
    f.number("RAID stripe width:", raw.u32(S_RAID_STRIPE_WIDTH));
    f.number("First meta block group:", raw.u32(S_FIRST_META_BG));
    match byte(S_LOG_GROUPS_PER_FLEX) {
        0 => {}
        log => f.text("Flex block group size:", 1_u64.checked_shl(log.into()).unwrap_or(0)),
    }
    match raw.time((S_MKFS_TIME, S_MKFS_TIME_HI)) {
        0 => {}
        made => f.time("Filesystem created:", made),
    }
    f.time("Last mount time:", raw.time((S_MTIME, S_MTIME_HI)));
    f.time("Last write time:", raw.time((S_WTIME, S_WTIME_HI)));
    f.text("Mount count:", raw.u16(S_MNT_COUNT));
    f.text("Maximum mount count:", raw.u16(S_MAX_MNT_COUNT) as i16);
    let checked = raw.time((S_LASTCHECK, S_LASTCHECK_HI));
    f.time("Last checked:", checked);
    let interval = raw.u32(S_CHECKINTERVAL);
    f.text("Check interval:", format_args!("{interval} ({})", span_text(interval)));
    if interval != 0 {
        f.time("Next check after:", checked + u64::from(interval));
    }
    match raw.u64(S_KBYTES_WRITTEN) {
        0 => {}
        written => f.text("Lifetime writes:", size_text(written)),
    }
    for (name, kind, id) in [
        ("Reserved blocks uid:", "user", raw.u16(S_DEF_RESUID)),
        ("Reserved blocks gid:", "group", raw.u16(S_DEF_RESGID)),
    ] {
        f.text(name, format_args!("{id} ({kind} {})", if id == 0 { "root" } else { "unknown" }));
    }
    if sb.rev_level > 0 {
        f.text("First inode:", sb.first_ino);
        f.text("Inode size:", sb.inode_size);
        f.number("Required extra isize:", raw.u16(S_MIN_EXTRA_ISIZE));
        f.number("Desired extra isize:", raw.u16(S_WANT_EXTRA_ISIZE));
    }
    f.uuid("Journal UUID:", raw.array(S_JOURNAL_UUID));
    f.number("Journal inode:", raw.u32(S_JOURNAL_INUM));
    match raw.u32(S_JOURNAL_DEV) {
        0 => {}
        device => f.text("Journal device:", format_args!("{device:#06x}")),
    }
    f.number("First orphan inode:", raw.u32(S_LAST_ORPHAN));
    let hash = byte(S_DEF_HASH_VERSION);
    if hash != 0 || has(compat, COMPAT_DIR_INDEX) {
        match HASHES.get(usize::from(hash)) {
            Some(name) => f.text("Default directory hash:", name),
            None => f.text("Default directory hash:", format_args!("HASHALG_{hash}")),
        }
    }
    f.uuid("Directory Hash Seed:", raw.array(S_HASH_SEED));
    match byte(S_JNL_BACKUP_TYPE) {
        0 => {}
        1 => f.text("Journal backup:", "inode blocks"),
        other => f.text("Journal backup:", format_args!("type {other}")),
    }
    let backups = [raw.u32(S_BACKUP_BGS), raw.u32(S_BACKUP_BGS + 4)];
    let backups: Vec<String> = backups.iter().filter(|group| **group != 0).map(u32::to_string).collect();
    if !backups.is_empty() {
        f.text("Backup block groups:", format_args!("{} ", backups.join(" ")));
    }
    f.number("FS Error count:", raw.u32(S_ERROR_COUNT));
    errors_met(raw, f);
    if has(incompat, INCOMPAT_MMP) {
        f.text("MMP block number:", raw.u64(S_MMP_BLOCK));
        f.text("MMP update interval:", raw.u16(S_MMP_INTERVAL));
    }
    f.number("User quota inode:", raw.u32(S_USR_QUOTA_INUM));
    f.number("Group quota inode:", raw.u32(S_GRP_QUOTA_INUM));
    f.number("Project quota inode:", raw.u32(S_PRJ_QUOTA_INUM));
    if has(ro_compat, RO_COMPAT_METADATA_CSUM) {
        f.text("Checksum type:", if byte(S_CHECKSUM_TYPE) == CRC32C { "crc32c" } else { "Unknown" });
        f.text("Checksum:", format_args!("{:#010x}", raw.u32(S_CHECKSUM)));
    }
    f.uuid("Encryption PW Salt:", raw.array(S_ENCRYPT_PW_SALT));
    if has(incompat, INCOMPAT_CSUM_SEED) {
        f.text("Checksum seed:", format_args!("{:#010x}", raw.u32(S_CHECKSUM_SEED)));
    }
    if has(compat, COMPAT_ORPHAN_FILE) {
        f.text("Orphan file inode:", raw.u32(S_ORPHAN_FILE_INUM));
    }
}

/// Tells of the first error that was met, and of the last.
fn errors_met(raw: &RawSuperBlock, f: &mut Fields<'_>) {
    let fields = [
        (
            [
                "First error time:",
                "First error function:",
                "First error line #:",
                "First error inode #:",
                "First error block #:",
                "First error err:",
            ],
            (S_FIRST_ERROR_TIME, S_FIRST_ERROR_TIME_HI),
            [S_FIRST_ERROR_FUNC, S_FIRST_ERROR_LINE, S_FIRST_ERROR_INO, S_FIRST_ERROR_BLOCK],
            S_FIRST_ERROR_ERRCODE,
        ),
        (
            [
                "Last error time:",
                "Last error function:",
                "Last error line #:",
                "Last error inode #:",
                "Last error block #:",
                "Last error err:",
            ],
            (S_LAST_ERROR_TIME, S_LAST_ERROR_TIME_HI),
            [S_LAST_ERROR_FUNC, S_LAST_ERROR_LINE, S_LAST_ERROR_INO, S_LAST_ERROR_BLOCK],
            S_LAST_ERROR_ERRCODE,
        ),
    ];
    for (names, time, [function, line, ino, block], code) in fields {
        let time = raw.time(time);
        if time == 0 {
            continue;
        }
        f.time(names[0], time);
        f.text(names[1], text_of(&raw.array::<S_ERROR_FUNC_LEN>(function), ""));
        f.text(names[2], raw.u32(line));
        f.number(names[3], raw.u32(ino));
        f.number(names[4], raw.u64(block));
        let [code] = raw.array::<1>(code);
        match ERROR_CODES.get(usize::from(code).wrapping_sub(1)) {
            _ if code == 0 => {}
            Some(name) => f.text(names[5], name),
            None => f.text(names[5], format_args!("UNKNOWN_ERRCODE_{code}")),
        }
    }
}
