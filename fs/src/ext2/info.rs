//! What a superblock says, field by field, under the names that `tune2fs -l` prints.

use super::super_in_place::SuperInPlace;
use crate::error::Result;
use crate::ext::features;
use crate::ext::layout::*;
use crate::ext::superblock::RawSuperBlock;
use crate::platform::Platform;
use crate::vfs::{Field, uuid_text};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Display};

const S_DEFAULT_MOUNT_OPTS: u64 = 0x100;
const S_MIN_EXTRA_ISIZE: u64 = 0x15c;
const S_RAID_STRIDE: u64 = 0x164;
const S_RAID_STRIPE_WIDTH: u64 = 0x170;
const S_OVERHEAD: u64 = 0x248;

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

/// The names of the bits that are set, or "(none)".
fn names_of(bits: u32, names: &[(u32, &str)]) -> Vec<String> {
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name.to_string()).collect()
}

/// As tune2fs prints a list: each name followed by a blank.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "(none)".to_string();
    }
    names.iter().map(|name| alloc::format!("{name} ")).collect()
}

/// Text in a field of fixed length, up to its first NUL; `none` if that is nothing.
fn text_of(bytes: &[u8], none: &str) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    if end == 0 { none.to_string() } else { String::from_utf8_lossy(&bytes[..end]).into_owned() }
}

/// A time span as tune2fs prints it.
fn span_text(mut seconds: u32) -> String {
    if seconds == 0 {
        return "<none>".to_string();
    }
    let mut parts = Vec::new();
    let units = [
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    for (unit, name) in units {
        let count = seconds / unit;
        seconds %= unit;
        if count > 0 {
            parts.push(alloc::format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.join(", ")
}

/// The names of all features, as tune2fs lists them.
struct FeatureNames(u32, u32, u32);

impl Display for FeatureNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(compat, incompat, ro_compat) = *self;
        write!(f, "{}{}", features::compat(compat), features::incompat(incompat))?;
        features::ro_compat(ro_compat).fmt(f)
    }
}

impl<P: Platform> SuperInPlace<'_, P> {
    /// Calls `f` with the name and value of each field, in the order of `tune2fs -l`, and what was repaired.
    /// Free counts are those of this moment.
    ///
    /// # Errors
    /// The region cannot be read.
    pub(super) fn describe(self, f: &mut dyn FnMut(&'static str, Field)) -> Result<()> {
        let raw = RawSuperBlock::load(self.pmem())?;
        let sb = &self.sb;
        let (free_blocks, free_inodes) = self.groups().sum_free();
        let mut text = |name, value: &dyn Display| f(name, Field::Text(value.to_string()));
        text("Filesystem volume name:", &text_of(&raw.array::<16>(S_VOLUME_NAME), "<none>"));
        text("Last mounted on:", &text_of(&raw.array::<64>(S_LAST_MOUNTED), "<not available>"));
        text("Filesystem UUID:", &uuid_text(&raw.array(S_UUID)));
        text(
            "Filesystem magic number:",
            &format_args!("{:#06X}", raw.u16(S_MAGIC)).to_string().replace('X', "x"),
        );
        let kind = if sb.rev_level == 0 { "original" } else { "dynamic" };
        text("Filesystem revision #:", &format_args!("{} ({kind})", sb.rev_level));
        let features =
            FeatureNames(sb.feature_compat, sb.feature_incompat, raw.u32(S_FEATURE_RO_COMPAT)).to_string();
        text("Filesystem features:", &if features.is_empty() { " (none)" } else { &features }.trim_start());
        if raw.u32(S_FLAGS) != 0 {
            text("Filesystem flags:", &list(&names_of(raw.u32(S_FLAGS), &FLAGS)));
        }
        let bits = raw.u32(S_DEFAULT_MOUNT_OPTS);
        let mut options = names_of(bits & 0x1f, &MOUNT_OPTIONS);
        options.extend(
            JOURNAL_MODES
                .get((bits >> 5 & 3) as usize)
                .filter(|mode| !mode.is_empty())
                .map(|mode| mode.to_string()),
        );
        options.extend(names_of(bits & !0x1f, &MOUNT_OPTIONS));
        let options = if options.is_empty() { "(none)".to_string() } else { options.join(" ") };
        text("Default mount options:", &options);
        let state = raw.u16(S_STATE);
        let clean = if state & VALID_FS != 0 { "clean" } else { "not clean" };
        text(
            "Filesystem state:",
            &format_args!("{clean}{}", if state & ERROR_FS != 0 { " with errors" } else { "" }),
        );
        text(
            "Errors behavior:",
            &["Continue", "Remount read-only", "Panic"]
                .get(usize::from(raw.u16(S_ERRORS)).wrapping_sub(1))
                .unwrap_or(&"Unknown (continue)"),
        );
        let systems = ["Linux", "GNU/Hurd", "Masix", "FreeBSD", "Lites"];
        text("Filesystem OS type:", systems.get(raw.u32(S_CREATOR_OS) as usize).unwrap_or(&"unknown"));
        text("Inode count:", &sb.inodes_count);
        text("Block count:", &sb.blocks_count);
        text("Reserved block count:", &raw.u32(S_R_BLOCKS_COUNT));
        if raw.u32(S_OVERHEAD) != 0 {
            text("Overhead clusters:", &raw.u32(S_OVERHEAD));
        }
        text("Free blocks:", &free_blocks);
        text("Free inodes:", &free_inodes);
        text("First block:", &sb.first_data_block);
        text("Block size:", &sb.block_size());
        text("Fragment size:", &sb.block_size());
        if sb.reserved_gdt_blocks != 0 {
            text("Reserved GDT blocks:", &sb.reserved_gdt_blocks);
        }
        text("Blocks per group:", &sb.blocks_per_group);
        text("Fragments per group:", &sb.blocks_per_group);
        text("Inodes per group:", &sb.inodes_per_group);
        text("Inode blocks per group:", &sb.inode_table_blocks);
        if raw.u32(S_FIRST_META_BG) != 0 {
            text("First meta block group:", &raw.u32(S_FIRST_META_BG));
        }
        if raw.u16(S_RAID_STRIDE) != 0 {
            text("RAID stride:", &raw.u16(S_RAID_STRIDE));
        }
        if raw.u32(S_RAID_STRIPE_WIDTH) != 0 {
            text("RAID stripe width:", &raw.u32(S_RAID_STRIPE_WIDTH));
        }
        let created = raw.time((S_MKFS_TIME, S_MKFS_TIME_HI));
        if created != 0 {
            f("Filesystem created:", Field::Time(created));
        }
        f("Last mount time:", Field::Time(raw.time((S_MTIME, S_MTIME_HI))));
        f("Last write time:", Field::Time(raw.time((S_WTIME, S_WTIME_HI))));
        let mut text = |name, value: &dyn Display| f(name, Field::Text(value.to_string()));
        text("Mount count:", &raw.u16(S_MNT_COUNT));
        text("Maximum mount count:", &(raw.u16(S_MAX_MNT_COUNT) as i16));
        let checked = raw.time((S_LASTCHECK, S_LASTCHECK_HI));
        f("Last checked:", Field::Time(checked));
        let interval = raw.u32(S_CHECKINTERVAL);
        f("Check interval:", Field::Text(alloc::format!("{interval} ({})", span_text(interval))));
        if interval != 0 {
            f("Next check after:", Field::Time(checked + u64::from(interval)));
        }
        let mut text = |name, value: &dyn Display| f(name, Field::Text(value.to_string()));
        let owner = |kind: &str, id: u16| {
            alloc::format!("{id} ({kind} {})", if id == 0 { "root" } else { "unknown" })
        };
        text("Reserved blocks uid:", &owner("user", raw.u16(S_DEF_RESUID)));
        text("Reserved blocks gid:", &owner("group", raw.u16(S_DEF_RESGID)));
        if sb.rev_level > 0 {
            text("First inode:", &sb.first_ino);
            text("Inode size:", &sb.inode_size);
            if raw.u16(S_MIN_EXTRA_ISIZE) != 0 {
                text("Required extra isize:", &raw.u16(S_MIN_EXTRA_ISIZE));
            }
            if raw.u16(S_WANT_EXTRA_ISIZE) != 0 {
                text("Desired extra isize:", &raw.u16(S_WANT_EXTRA_ISIZE));
            }
            if raw.u32(S_JOURNAL_INUM) != 0 {
                text("Journal inode:", &raw.u32(S_JOURNAL_INUM));
            }
        }
        let hashes = ["legacy", "half_md4", "tea"];
        let [version] = raw.array::<1>(S_DEF_HASH_VERSION);
        if let Some(hash) = hashes.get(usize::from(version)).filter(|_| version != 0) {
            text("Default directory hash:", hash);
        }
        let seed = raw.array(S_HASH_SEED);
        if seed != [0; 16] {
            text("Directory Hash Seed:", &uuid_text(&seed));
        }
        if raw.u32(S_ERROR_COUNT) != 0 {
            text("FS Error count:", &raw.u32(S_ERROR_COUNT));
        }
        let first = ("First error time:", "First error function:", "First error inode #:");
        let last = ("Last error time:", "Last error function:", "Last error inode #:");
        let fields = [
            (first, (S_FIRST_ERROR_TIME, S_FIRST_ERROR_TIME_HI), S_FIRST_ERROR_FUNC, S_FIRST_ERROR_INO),
            (last, (S_LAST_ERROR_TIME, S_LAST_ERROR_TIME_HI), S_LAST_ERROR_FUNC, S_LAST_ERROR_INO),
        ];
        for (names, time, function, ino) in fields {
            let time = raw.time(time);
            if time != 0 {
                f(names.0, Field::Time(time));
                f(names.1, Field::Text(text_of(&raw.array::<S_ERROR_FUNC_LEN>(function), "")));
                if raw.u32(ino) != 0 {
                    f(names.2, Field::Text(raw.u32(ino).to_string()));
                }
            }
        }
        if let Some(recovered) = self.recovered() {
            f("Repaired at mount:", Field::Text(recovered.to_string()));
        }
        Ok(())
    }
}
