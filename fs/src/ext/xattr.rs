//! Extended attributes as bytes: parsed, with every offset and length checked, and composed.
//!
//! ```text
//! | head | entry | entry | … | 0 0 0 0 |     free     | … value | value |
//!          16 bytes and the name, padded to 4            padded to 4, offsets count from `base`
//! ```
//!
//! A block has a head of 32 bytes, and offsets count from its start. In an inode, a magic number comes
//! before; the list and its offsets start behind it, and hashes are 0.
//!
//! Specification: "Extended Attributes" in the ext4 layout document.

use super::layout::*;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// One attribute, as borrowed from bytes that were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    pub name: Name<'a>,
    pub value: &'a [u8],
    /// Where its value was; 0 for a new one. Composing keeps values in place as far as it can.
    pub at: usize,
    /// Where the value is, if it is not here.
    pub elsewhere: Option<Elsewhere>,
}

/// A value in an inode of its own (ext4's `ea_inode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// `e_value_inum`: the inode.
    pub ino: u32,
    /// Bytes.
    pub len: u32,
}

/// A name without its prefix, which is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// `e_name_index`
    pub index: u8,
    pub suffix: &'a [u8],
}

/// The prefixes that are shown. The two access control lists have no suffix.
const PREFIXES: [(u8, &[u8]); 6] = [
    (USER, b"user."),
    (ACL_ACCESS, b"system.posix_acl_access"),
    (ACL_DEFAULT, b"system.posix_acl_default"),
    (TRUSTED, b"trusted."),
    (SECURITY, b"security."),
    (SYSTEM, b"system."),
];

pub(crate) const USER: u8 = 1;
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;
pub(crate) const TRUSTED: u8 = 4;
pub(crate) const SECURITY: u8 = 6;
pub(crate) const SYSTEM: u8 = 7;

impl<'a> Name<'a> {
    /// Returns the index and suffix of a whole name; `None` for a prefix that is not kept.
    pub(crate) fn of(whole: &'a [u8]) -> Option<Self> {
        PREFIXES.iter().find_map(|&(index, prefix)| {
            let suffix = whole.strip_prefix(prefix)?;
            let is_list = matches!(index, ACL_ACCESS | ACL_DEFAULT);
            (!is_list || suffix.is_empty()).then_some(Self { index, suffix })
        })
    }

    /// Returns the whole name; `None` for a prefix that is not shown.
    pub(crate) fn whole(&self) -> Option<Vec<u8>> {
        let (_, prefix) = PREFIXES.iter().find(|(index, _)| *index == self.index)?;
        Some([prefix, self.suffix].concat())
    }

    /// The order in which blocks have them.
    fn order(&self) -> (u8, usize, &[u8]) {
        (self.index, self.suffix.len(), self.suffix)
    }
}

const fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize)
}

/// Returns the attributes in `bytes`, whose entries start at `head`; with `inodes`, values may be in inodes
/// of their own.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse(
    bytes: &[u8],
    head: usize,
    inodes: bool,
) -> Result<Vec<Attribute<'_>>, (&'static str, usize)> {
    let (mut list, mut at) = (Vec::new(), head);
    loop {
        let field = |offset| u32_at(bytes, at + offset).ok_or(("the list of attributes has no end", at));
        if field(0)? == 0 {
            break;
        }
        let (name_len, index) = (field(0)? & 0xff, (field(0)? >> 8) as u8);
        let (value_at, value_block, size) = (field(0)? >> 16, field(E_VALUE_BLOCK)?, field(E_VALUE_SIZE)?);
        let Some(suffix) = bytes.get(at + E_NAME..at + E_NAME + name_len) else {
            return Err(("an attribute's name reaches beyond the end", at));
        };
        if value_block != 0 {
            if !inodes {
                return Err(("an attribute's value is in another block", at));
            }
            let elsewhere = Some(Elsewhere { ino: value_block as u32, len: size as u32 });
            list.push(Attribute { name: Name { index, suffix }, value: &[], at: 0, elsewhere });
            at += padded(E_NAME + name_len);
            continue;
        }
        let value = match size {
            0 => Some(&[][..]),
            size => value_at.checked_add(size).and_then(|end| bytes.get(value_at..end)),
        };
        let Some(value) = value else {
            return Err(("an attribute's value reaches beyond the end", at));
        };
        list.push(Attribute { name: Name { index, suffix }, value, at: value_at, elsewhere: None });
        at += padded(E_NAME + name_len);
    }
    // Values lie behind the list.
    match list.iter().find(|attribute| !attribute.value.is_empty() && attribute.at < at + 4) {
        Some(attribute) => Err(("an attribute's value lies among the names", attribute.at)),
        None => Ok(list),
    }
}

/// Composes `len` bytes with all of `list`, whose entries start at `head`, which is left to be filled in;
/// `None` if the list does not fit.
pub(crate) fn compose(list: &[Attribute<'_>], len: usize, head: usize, hashes: bool) -> Option<Vec<u8>> {
    let names: usize = list.iter().map(|attribute| padded(E_NAME + attribute.name.suffix.len())).sum();
    let values: usize = list.iter().map(|attribute| padded(attribute.value.len())).sum();
    if head + names + 4 + values > len {
        return None;
    }
    let mut bytes = vec![0; len];
    // 1. Values from the end, those that were there before in their old order: the fewer bytes change.
    let mut by_place: Vec<&Attribute<'_>> = list.iter().collect();
    by_place.sort_by_key(|attribute| Reverse(attribute.at));
    let mut end = len;
    let mut placed: Vec<(&Attribute<'_>, usize)> = Vec::with_capacity(list.len());
    for attribute in by_place {
        end -= padded(attribute.value.len());
        bytes[end..end + attribute.value.len()].copy_from_slice(attribute.value);
        placed.push((attribute, if attribute.value.is_empty() { 0 } else { end }));
    }
    // 2. Entries, in order.
    placed.sort_by(|(a, _), (b, _)| a.name.order().cmp(&b.name.order()));
    let mut at = head;
    for (Attribute { name, value, .. }, value_at) in placed {
        let hash = if hashes { entry_hash(name, value) } else { 0 };
        let next = at + padded(E_NAME + name.suffix.len());
        let entry = &mut bytes[at..next];
        entry[0] = name.suffix.len() as u8;
        entry[1] = name.index;
        entry[2..4].copy_from_slice(&(value_at as u16).to_le_bytes());
        entry[E_VALUE_SIZE..][..4].copy_from_slice(&(value.len() as u32).to_le_bytes());
        entry[E_HASH..][..4].copy_from_slice(&hash.to_le_bytes());
        entry[E_NAME..][..name.suffix.len()].copy_from_slice(name.suffix);
        at = next;
    }
    Some(bytes)
}

/// Fills in the head of a block of attributes: one user, and the hash over its entries.
pub(crate) fn seal(block: &mut [u8]) {
    let (mut hash, mut at) = (0u32, H_ENTRIES);
    while let Some(name_len) = block.get(at).copied().filter(|_| u32_at(block, at) != Some(0)) {
        let entry = u32_at(block, at + E_HASH).unwrap_or(0) as u32;
        // An entry without a hash: the block is like no other.
        if entry == 0 {
            hash = 0;
            break;
        }
        hash = hash.rotate_left(16) ^ entry;
        at += padded(E_NAME + usize::from(name_len));
    }
    for (at, value) in [(H_MAGIC, XATTR_MAGIC), (H_REFCOUNT, 1), (H_BLOCKS, 1), (H_HASH, hash)] {
        block[at as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }
}

fn entry_hash(name: &Name<'_>, value: &[u8]) -> u32 {
    let hash = name.suffix.iter().fold(0u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
    value.chunks(4).fold(hash, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute<'a>(suffix: &'a [u8], value: &'a [u8]) -> Attribute<'a> {
        Attribute { name: Name { index: USER, suffix }, value, at: 0, elsewhere: None }
    }

    #[test]
    fn what_is_composed_is_parsed_again_and_a_full_block_is_full() {
        let value = [7; 100];
        let list = [attribute(b"bb", &value), attribute(b"c", b""), attribute(b"a", b"12345")];
        // Entries of 20, values of 100 and 8, the end of the list.
        let need = H_ENTRIES + 3 * 20 + 108 + 4;
        assert_eq!(compose(&list, need - 4, H_ENTRIES, true), None);
        let bytes = compose(&list, need, H_ENTRIES, true).expect("it fits");
        let parsed = parse(&bytes, H_ENTRIES, false).expect("sound");
        let names: Vec<_> = parsed.iter().map(|attribute| attribute.name.suffix).collect();
        assert_eq!(names, [&b"a"[..], b"c", b"bb"]);
        assert_eq!(parsed[2].value, value);
        assert_eq!(parsed[0].value, b"12345");
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_refused_or_stays_inside() {
        let list = [attribute(b"name", b"value"), attribute(b"other", b"")];
        let bytes = compose(&list, 128, 0, false).expect("it fits");
        for len in 0..bytes.len() {
            let _ = parse(&bytes[..len], 0, false);
        }
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = parse(&bytes, 0, false);
                let _ = parse(&bytes, H_ENTRIES, false);
            }
        }
    }

    #[test]
    fn prefixes_are_known_and_shown() {
        for name in [&b"user.a"[..], b"trusted.b", b"security.c", b"system.posix_acl_access", b"system.x"] {
            assert_eq!(Name::of(name).and_then(|name| name.whole()).as_deref(), Some(name));
        }
        assert_eq!(Name::of(b"btrfs.x"), None);
        assert_eq!(Name::of(b"user"), None);
        // Not the list itself: a name of its own.
        assert_eq!(Name::of(b"system.posix_acl_access2").map(|name| name.index), Some(SYSTEM));
    }
}
