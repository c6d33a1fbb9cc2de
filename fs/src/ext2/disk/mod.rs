//! What is on the disk and ext2's own: where fields are, and their raw values, decoded and checked, is shared
//! with ext4 ([`crate::ext`]). Nothing here knows a mounted file system.

pub(super) mod descriptor;
pub(super) mod superblock;

use crate::ext::features::*;
use crate::ext::geometry::DiskFormat;

/// What the type is called.
pub(super) const NAME: &str = "ext2";

/// What this implementation understands.
pub(super) const INCOMPAT_KNOWN: u32 = INCOMPAT_FILETYPE | INCOMPAT_META_BG | INCOMPAT_RECOVER;
/// What this implementation keeps right when it writes. `btree_dir` was never used.
pub(super) const RO_COMPAT_KNOWN: u32 = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE | 0x4;

/// ext2, among those whose superblocks look like its own.
pub(super) const FORMAT: DiskFormat = DiskFormat { name: NAME, incompat: INCOMPAT_KNOWN, hint };

/// Returns what is to be done about an image that needs what this implementation does not do.
fn hint(incompat: u32) -> &'static str {
    if incompat & INCOMPAT_EXT4 != 0 { "an ext4 file system: mount -t ext4" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Unsupported;
    use std::string::ToString;

    fn unsupported(incompat: u32) -> Unsupported {
        Unsupported::Features(missing(incompat, hint(incompat)))
    }

    #[test]
    fn features_are_named_and_unknown_ones_shown_as_bits() {
        assert_eq!(
            unsupported(0x2c0 | 0x10_0000).to_string(),
            "unsupported incompatible features: extent 64bit flex_bg 0x100000 \
             (an ext4 file system: mount -t ext4)"
        );
        // No ext4, whatever they are.
        for (bits, names) in [(0x1, "compression"), (0x8, "journal_dev"), (0x4000_0000, "0x40000000")] {
            let told = unsupported(bits).to_string();
            assert_eq!(told, std::format!("unsupported incompatible features: {names}"));
        }
        assert_eq!(
            ReadOnlyReason::Features { incompat: 0, ro_compat: 0x408 }.to_string(),
            "features that allow reading only: huge_file metadata_csum"
        );
    }
}
