//! What an input says: three bytes of head, then patches, then operations, each of a fixed length.
//!
//! Every string of bytes is an input. Numbers that stand for something are stable: what is new gets a new
//! number, so that committed inputs keep their meaning.

use crate::images;
use std::fmt;

/// Bytes of the head.
pub const HEAD: usize = 3;
/// Bytes of a patch.
pub const PATCH: usize = 10;
/// Bytes of an operation.
pub const OP: usize = 12;
/// Patches are no more than this.
pub const MOST_PATCHES: usize = 12;
/// Operations are no more than this.
pub const MOST_OPS: usize = 40;
/// The longest input of which every byte counts.
pub const MOST_BYTES: usize = HEAD + MOST_PATCHES * PATCH + MOST_OPS * OP;

/// An input, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Which base image.
    pub image: u8,
    /// How it is mounted.
    pub mount: MountMode,
    /// Damage, in order.
    pub patches: Vec<Patch>,
    /// Operations, in order.
    pub ops: Vec<Op>,
}

/// How the image is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountMode {
    /// For reading and writing.
    Plain,
    /// Read-only, because it is asked for.
    ReadOnly,
    /// In a region that takes no stores.
    Protected,
    /// By a copy of the superblock: this one of them.
    Copy(u8),
}

impl MountMode {
    fn decode(byte: u8) -> Self {
        match byte & 15 {
            1 => Self::ReadOnly,
            2 => Self::Protected,
            3 | 4 => Self::Copy(byte >> 4),
            _ => Self::Plain,
        }
    }

    fn encode(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::ReadOnly => 1,
            Self::Protected => 2,
            Self::Copy(which) => 3 | which << 4,
        }
    }
}

/// One change to the image; `damage` says what the numbers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// What is changed.
    pub kind: u8,
    /// Which of them.
    pub object: u16,
    /// Which part of it.
    pub field: u8,
    /// Where its new value comes from.
    pub how: u8,
    /// A small number for that.
    pub extra: u8,
    /// A large one.
    pub value: u32,
}

impl Patch {
    fn decode(bytes: &[u8; PATCH]) -> Self {
        let &[kind, object @ .., field, how, extra, a, b, c, d] = bytes;
        let (object, value) = (u16::from_le_bytes(object), u32::from_le_bytes([a, b, c, d]));
        Self { kind, object, field, how, extra, value }
    }

    fn encode(&self, to: &mut Vec<u8>) {
        to.push(self.kind);
        to.extend(self.object.to_le_bytes());
        to.extend([self.field, self.how, self.extra]);
        to.extend(self.value.to_le_bytes());
    }
}

/// One operation; `ops` says what the numbers mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Op {
    /// What is done.
    pub code: u8,
    /// To which file.
    pub what: u8,
    /// The other name, for those with two.
    pub other: u8,
    /// Which kind of it.
    pub how: u8,
    /// Where.
    pub offset: u32,
    /// How much.
    pub len: u32,
}

impl Op {
    fn decode(bytes: &[u8; OP]) -> Self {
        let &[code, what, other, how, a, b, c, d, e, f, g, h] = bytes;
        let (offset, len) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        Self { code, what, other, how, offset, len }
    }

    fn encode(&self, to: &mut Vec<u8>) {
        to.extend([self.code, self.what, self.other, self.how]);
        to.extend(self.offset.to_le_bytes());
        to.extend(self.len.to_le_bytes());
    }
}

impl Input {
    /// Decodes what `data` says.
    pub fn decode(data: &[u8]) -> Self {
        let byte = |at: usize| data.get(at).copied().unwrap_or(0);
        let body = data.get(HEAD..).unwrap_or_default();
        let count = usize::from(byte(2)).min(MOST_PATCHES).min(body.len() / PATCH);
        let (patches, ops) = body.split_at(count * PATCH);
        Self {
            image: byte(0) % images::COUNT,
            mount: MountMode::decode(byte(1)),
            patches: patches.as_chunks().0.iter().map(Patch::decode).collect(),
            ops: ops.as_chunks().0.iter().take(MOST_OPS).map(Op::decode).collect(),
        }
    }

    /// Encodes it as the bytes that say this.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.image, self.mount.encode(), self.patches.len() as u8];
        self.patches.iter().for_each(|patch| patch.encode(&mut bytes));
        self.ops.iter().for_each(|op| op.encode(&mut bytes));
        bytes
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "image {}, mounted {:?}", images::name(self.image), self.mount)?;
        for patch in &self.patches {
            writeln!(f, "  damage {}: {patch:?}", crate::damage::name(patch.kind))?;
        }
        for op in &self.ops {
            writeln!(f, "  {}: {op:?}", crate::ops::name(op.code))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate;

    #[test]
    fn what_is_encoded_is_decoded() {
        for seed in 0..200 {
            let input = mutate::generate(seed);
            assert_eq!(Input::decode(&input.encode()), input, "seed {seed}");
        }
    }

    #[test]
    fn every_string_of_bytes_is_an_input() {
        for len in 0..60 {
            Input::decode(&vec![0xFF; len]);
        }
    }
}
