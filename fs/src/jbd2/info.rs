//! What the journal's superblock says, field by field, under the names that `dumpe2fs -h` prints.

use super::format::{MAGIC, be32};
use super::superblock::*;
use crate::error::{Error, Features, Result};
use crate::pmem::Pmem;
use alloc::string::{String, ToString};
use core::fmt::Display;

/// How many file systems use the journal.
const NR_USERS: usize = 0x40;
/// What [`CHECKSUM_TYPE`] stands for, from 1 on.
const CHECKSUM_TYPES: [&str; 4] = ["crc32", "md5", "sha1", "crc32c"];

/// Calls `f` with the name and value of each field of the journal's superblock, which is at byte `at`; with
/// none if it is not there. `has_fast_commits` says that the file system has blocks for them.
///
/// # Errors
/// A memory error took some of it.
pub fn describe(
    pmem: &impl Pmem,
    at: u64,
    has_fast_commits: bool,
    f: &mut dyn FnMut(&'static str, String),
) -> Result<()> {
    if let Some(bad) = pmem.poisoned(at, LEN as u64) {
        return Err(Error::Poisoned(bad));
    }
    let mut bytes = [0; LEN];
    pmem.read(at, &mut bytes);
    let field = |at| be32(&bytes, at);
    if field(0) != MAGIC {
        return Ok(());
    }
    let mut tell = |name, value: &dyn Display| f(name, value.to_string());
    let (compat, incompat) = (field(COMPAT), field(INCOMPAT));
    let features = |bits, names| Features { bits, names, hint: "" };
    let names = [
        features(compat, &[(COMPAT_CHECKSUM, "journal_checksum")]),
        features(incompat, NAMES),
        features(field(RO_COMPAT), &[]),
    ];
    let names: String = names.iter().map(Features::to_string).collect();
    tell("Journal features:", &if names.is_empty() { "(none)" } else { names.trim_start() });
    let blocks = field(MAXLEN);
    match u64::from(field(BLOCKSIZE) / 1024) * u64::from(blocks) {
        kib @ ..8192 => tell("Total journal size:", &format_args!("{kib}k")),
        kib => tell("Total journal size:", &format_args!("{}M", kib >> 10)),
    }
    let fast = match field(FAST_BLOCKS) {
        _ if !has_fast_commits => 0,
        0 => FAST_BLOCKS_DEFAULT,
        fast => fast,
    };
    tell("Total journal blocks:", &blocks);
    tell("Max transaction length:", &blocks.saturating_sub(fast));
    tell("Fast commit length:", &fast);
    if field(FIRST) != 1 {
        tell("Journal first block:", &field(FIRST));
    }
    tell("Journal sequence:", &format_args!("{:#010x}", field(SEQUENCE)));
    tell("Journal start:", &field(START));
    if field(NR_USERS) != 1 {
        tell("Journal number of users:", &field(NR_USERS));
    }
    if compat & COMPAT_CHECKSUM != 0 {
        tell("Journal checksum type:", &"crc32");
    }
    if incompat & (CSUM_V2 | CSUM_V3) != 0 {
        let kind = usize::from(bytes[CHECKSUM_TYPE]);
        tell("Journal checksum type:", CHECKSUM_TYPES.get(kind.wrapping_sub(1)).unwrap_or(&"unknown"));
        tell("Journal checksum:", &format_args!("{:#010x}", field(CHECKSUM)));
    }
    if field(ERRNO) != 0 {
        tell("Journal errno:", &(field(ERRNO) as i32));
    }
    Ok(())
}
