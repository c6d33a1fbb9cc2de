//! An image and what is known of it so far: its superblock, who owns which block, what is wrong.

use super::sums::crc32c;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::Range;

/// A little-endian number of `len` bytes; what is beyond the end reads as zero.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    (0..len).rev().fold(0, |value, byte| value << 8 | u64::from(*bytes.get(at + byte).unwrap_or(&0)))
}

pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    number(bytes, at, 2) as u16
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    number(bytes, at, 4) as u32
}

/// Whether this bit of a bitmap is set.
pub(super) fn bit(bitmap: &[u8], at: u64) -> bool {
    bitmap.get((at / 8) as usize).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// `bytes` with zeros in this range.
pub(super) fn without(bytes: &[u8], field: Range<usize>) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    if let Some(field) = copy.get_mut(field) {
        field.fill(0);
    }
    copy
}

/// What the superblock says, as the other structures need it.
pub(super) struct Super {
    pub(super) block: usize,
    pub(super) blocks: u64,
    pub(super) inodes: u32,
    pub(super) first_data: u64,
    /// Blocks of a cluster.
    pub(super) ratio: u64,
    pub(super) blocks_per_group: u64,
    pub(super) clusters_per_group: u64,
    pub(super) inodes_per_group: u64,
    pub(super) groups: u64,
    pub(super) inode_size: usize,
    pub(super) desc_size: usize,
    pub(super) first_ino: u32,
    pub(super) compat: u32,
    pub(super) incompat: u32,
    pub(super) ro_compat: u32,
    /// Where the checksums of this file system start.
    pub(super) seed: u32,
}

impl Super {
    /// Reads it, if it is one at all.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        if half(bytes, 0x38) != 0xef53 {
            return Err("no magic number".into());
        }
        let wide = word(bytes, 0x60) & 0x80 != 0;
        let log = word(bytes, 0x18);
        let block = 1024usize << log.min(6);
        let high = if wide { number(bytes, 0x150, 4) << 32 } else { 0 };
        let desc_size = if wide { half(bytes, 0xfe).into() } else { 32 };
        let dynamic = word(bytes, 0x4c) != 0;
        let seed = match word(bytes, 0x60) & 0x2000 {
            0 => crc32c(!0, &bytes[0x68..0x78]),
            _ => word(bytes, 0x270),
        };
        let mut found = Self {
            block,
            blocks: number(bytes, 4, 4) | high,
            inodes: word(bytes, 0),
            first_data: number(bytes, 0x14, 4),
            ratio: 1 << word(bytes, 0x1c).saturating_sub(log).min(20),
            blocks_per_group: number(bytes, 0x20, 4),
            clusters_per_group: number(bytes, 0x24, 4),
            inodes_per_group: number(bytes, 0x28, 4),
            groups: 0,
            inode_size: if dynamic { half(bytes, 0x58).into() } else { 128 },
            desc_size: if desc_size == 0 { 32 } else { desc_size },
            first_ino: if dynamic { word(bytes, 0x54) } else { 11 },
            compat: word(bytes, 0x5c),
            incompat: word(bytes, 0x60),
            ro_compat: word(bytes, 0x64),
            seed,
        };
        let bits = block as u64 * 8;
        let sound = [
            ("s_log_block_size", log <= 6),
            ("s_clusters_per_group", (1..=bits).contains(&found.clusters_per_group)),
            ("s_blocks_per_group", found.blocks_per_group == found.clusters_per_group * found.ratio),
            ("s_inodes_per_group", (1..=bits).contains(&found.inodes_per_group)),
            ("s_first_data_block", found.first_data == u64::from(block == 1024 && !found.has(BIGALLOC))),
            ("s_blocks_count", found.blocks > found.first_data),
            ("s_inode_size", found.inode_size.is_power_of_two() && (128..=block).contains(&found.inode_size)),
            ("s_desc_size", found.desc_size.is_power_of_two() && (32..=block).contains(&found.desc_size)),
        ];
        if let Some((field, _)) = sound.iter().find(|(_, sound)| !sound) {
            return Err(format!("{field} is nonsense"));
        }
        found.groups = (found.blocks - found.first_data).div_ceil(found.blocks_per_group);
        if u64::from(found.inodes) != found.groups * found.inodes_per_group {
            return Err("s_inodes_count is not the groups'".into());
        }
        Ok(found)
    }

    /// Whether a feature is there.
    pub(super) fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Compat(bit) => self.compat & bit != 0,
            Feature::Incompat(bit) => self.incompat & bit != 0,
            Feature::Ro(bit) => self.ro_compat & bit != 0,
        }
    }

    /// The first block of a group.
    pub(super) fn start(&self, group: u64) -> u64 {
        self.first_data + group * self.blocks_per_group
    }

    /// The clusters of a group.
    pub(super) fn clusters(&self, group: u64) -> u64 {
        (self.blocks - self.start(group)).min(self.blocks_per_group).div_ceil(self.ratio)
    }
}

/// A feature bit.
#[derive(Clone, Copy)]
pub(super) enum Feature {
    Compat(u32),
    Incompat(u32),
    Ro(u32),
}

pub(super) const SPARSE_SUPER2: Feature = Feature::Compat(0x200);
pub(super) const ORPHAN_FILE: Feature = Feature::Compat(0x1000);
pub(super) const JOURNAL: Feature = Feature::Compat(0x4);
pub(super) const FILETYPE: Feature = Feature::Incompat(0x2);
pub(super) const RECOVER: Feature = Feature::Incompat(0x4);
pub(super) const META_BG: Feature = Feature::Incompat(0x10);
pub(super) const MMP: Feature = Feature::Incompat(0x100);
pub(super) const LARGEDIR: Feature = Feature::Incompat(0x4000);
pub(super) const SPARSE_SUPER: Feature = Feature::Ro(0x1);
pub(super) const LARGE_FILE: Feature = Feature::Ro(0x2);
pub(super) const HUGE_FILE: Feature = Feature::Ro(0x8);
pub(super) const GDT_CSUM: Feature = Feature::Ro(0x10);
pub(super) const DIR_NLINK: Feature = Feature::Ro(0x20);
pub(super) const BIGALLOC: Feature = Feature::Ro(0x200);
pub(super) const METADATA_CSUM: Feature = Feature::Ro(0x400);
pub(super) const ORPHAN_PRESENT: Feature = Feature::Ro(0x10000);

/// Who owns a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A structure of a group.
    Group(&'static str, u64),
    Inode(u32),
    /// Attributes, which inodes may share.
    Xattrs,
}

impl Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Group(what, group) => write!(f, "the {what} of group {group}"),
            Self::Inode(ino) => write!(f, "inode {ino}"),
            Self::Xattrs => f.write_str("an xattr block"),
        }
    }
}

/// An inode's bytes.
#[derive(Clone, Copy)]
pub(super) struct Inode<'a> {
    pub(super) ino: u32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Inode<'a> {
    pub(super) fn kind(self) -> u16 {
        half(self.bytes, 0) & 0xf000
    }
    pub(super) fn is_dir(self) -> bool {
        self.kind() == 0x4000
    }
    pub(super) fn flags(self) -> u32 {
        word(self.bytes, 0x20)
    }
    pub(super) fn links(self) -> u16 {
        half(self.bytes, 0x1a)
    }
    pub(super) fn dtime(self) -> u32 {
        word(self.bytes, 0x14)
    }
    pub(super) fn size(self) -> u64 {
        number(self.bytes, 4, 4) | number(self.bytes, 0x6c, 4) << 32
    }
    pub(super) fn map(self) -> &'a [u8] {
        &self.bytes[0x28..0x64]
    }
    pub(super) fn extra(self) -> usize {
        half(self.bytes, 0x80).into()
    }
    pub(super) fn xattr_block(self) -> u64 {
        number(self.bytes, 0x68, 4) | number(self.bytes, 0x76, 2) << 32
    }
}

/// Blocks of a file that follow each other in the file and in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) logical: u64,
    pub(super) physical: u64,
    pub(super) len: u64,
    pub(super) written: bool,
}

/// The image, and all that was found.
pub(super) struct Oracle<'a> {
    pub(super) image: &'a [u8],
    pub(super) sup: Super,
    /// The inodes in use.
    pub(super) inodes: BTreeMap<u32, Inode<'a>>,
    /// Where their content is.
    pub(super) runs: BTreeMap<u32, Vec<Run>>,
    /// How many clusters that takes.
    pub(super) clusters: BTreeMap<u32, u64>,
    /// How many entries lead to each inode, `.` and `..` too.
    pub(super) names: BTreeMap<u32, u64>,
    /// What holds each directory, and what its `..` says.
    pub(super) parents: BTreeMap<u32, u32>,
    pub(super) dotdot: BTreeMap<u32, u32>,
    pub(super) orphans: BTreeSet<u32>,
    /// How many inodes refer to an xattr block, and to an inode that holds a value.
    pub(super) shared: BTreeMap<u64, u32>,
    pub(super) values: BTreeMap<u32, u64>,
    pub(super) owners: Vec<Option<Owner>>,
    pub(super) complaints: Vec<String>,
    /// Where every structure is that has a checksum.
    pub(super) places: Vec<(String, Range<usize>)>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(image: &'a [u8], sup: Super) -> Self {
        let clusters = (sup.blocks - sup.first_data).div_ceil(sup.ratio) as usize;
        Self {
            image,
            owners: vec![None; clusters],
            sup,
            inodes: BTreeMap::new(),
            runs: BTreeMap::new(),
            clusters: BTreeMap::new(),
            names: BTreeMap::new(),
            parents: BTreeMap::new(),
            dotdot: BTreeMap::new(),
            orphans: BTreeSet::new(),
            shared: BTreeMap::new(),
            values: BTreeMap::new(),
            complaints: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Complains of `what`.
    pub(super) fn say(&mut self, what: impl Display, complaint: impl Display) {
        if self.complaints.len() < 300 {
            self.complaints.push(format!("{what}: {complaint}"));
        }
    }

    /// Complains of `what` unless `sound`.
    pub(super) fn expect(&mut self, sound: bool, what: impl Display, complaint: impl Display) {
        if !sound {
            self.say(what, complaint);
        }
    }

    /// Compares a checksum, and notes where the structure is.
    pub(super) fn compare(&mut self, what: &str, place: Range<usize>, stored: u32, computed: u32) {
        self.places.push((what.to_owned(), place));
        if stored != computed {
            self.say(what, format_args!("checksum {stored:08x}, should be {computed:08x}"));
        }
    }

    /// The superblock.
    pub(super) fn super_bytes(&self) -> &'a [u8] {
        &self.image[1024..2048]
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.sup.has(feature)
    }

    /// Where a block is; nowhere if there is none.
    pub(super) fn place(&self, block: u64) -> Range<usize> {
        let inside = block < self.sup.blocks;
        let start = if inside { block as usize * self.sup.block } else { 0 };
        start..start + if inside { self.sup.block } else { 0 }
    }

    /// The bytes of a block; none if there is no such block.
    pub(super) fn bytes(&self, block: u64) -> &'a [u8] {
        &self.image[self.place(block)]
    }

    /// Where the checksums of an inode's blocks start.
    pub(super) fn seed_of(&self, inode: Inode<'_>) -> u32 {
        crc32c(crc32c(self.sup.seed, &inode.ino.to_le_bytes()), &inode.bytes[0x64..0x68])
    }

    /// Gives blocks to an owner; returns how many clusters are new to it.
    pub(super) fn claim(&mut self, start: u64, len: u64, owner: Owner) -> u64 {
        if start < self.sup.first_data || start.checked_add(len).is_none_or(|end| end > self.sup.blocks) {
            self.say(owner, format_args!("blocks {start}+{len} are not in the file system"));
            return 0;
        }
        let (first, last) = (start - self.sup.first_data, start + len - self.sup.first_data);
        let mut new = 0;
        for cluster in first / self.sup.ratio..last.div_ceil(self.sup.ratio) {
            let before = self.owners[cluster as usize].replace(owner);
            // Of a cluster, an owner may use one block here and another there.
            let may_share = self.sup.ratio > 1
                && before.is_some_and(|before| {
                    before == owner || matches!((before, owner), (Owner::Group(..), Owner::Group(..)))
                });
            new += u64::from(before.is_none());
            if let (Some(before), false) = (before, may_share) {
                let block = self.sup.first_data + cluster * self.sup.ratio;
                self.say(owner, format_args!("block {block} belongs to {before}, too"));
            }
        }
        new
    }
}
