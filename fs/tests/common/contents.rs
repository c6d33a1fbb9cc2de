//! What a file is to hold: the reference for everything that is done to one file.

use super::Machine;
use fs::Errno;
use fs::vfs::{Fallocate, Inode, Seek};
use fsx::{FileOp, OpKind};
use std::collections::BTreeMap;

/// What a file holds: its size, and its blocks (beyond the end, too).
#[derive(Clone)]
pub(crate) struct Contents {
    block: u64,
    pub(crate) size: u64,
    pub(crate) blocks: BTreeMap<u64, Vec<u8>>,
    /// A write stopped half-way for lack of space: which blocks are holes is not known any more.
    pub(crate) vague: bool,
}

/// The flags of fallocate(2) that an operation stands for.
pub(crate) fn how(op: &FileOp) -> Option<Fallocate> {
    let keep_size = op.keep_size;
    match op.kind {
        OpKind::Allocate => Some(Fallocate::Allocate { keep_size }),
        OpKind::Punch => Some(Fallocate::PunchHole),
        OpKind::Zero => Some(Fallocate::ZeroRange { keep_size }),
        OpKind::Collapse => Some(Fallocate::CollapseRange),
        OpKind::Insert => Some(Fallocate::InsertRange),
        OpKind::Read
        | OpKind::Write
        | OpKind::MapRead
        | OpKind::MapWrite
        | OpKind::Truncate
        | OpKind::Fsync => None,
    }
}

/// Does the operation, which goes through no mapping, to a file: those that write, with these bytes. Returns
/// how many were written.
pub(crate) fn perform(file: &dyn Inode<Machine>, op: &FileOp, bytes: &[u8]) -> fs::Result<usize> {
    match (op.kind, how(op)) {
        (_, Some(how)) => file.fallocate(how, op.offset, op.len).map(|()| 0),
        (OpKind::Write, _) => file.write_at(op.offset, bytes),
        (OpKind::Truncate, _) => file.truncate(op.len).map(|()| 0),
        _ => panic!("{} is no change, or one through a mapping", op.kind.name()),
    }
}

impl Contents {
    /// An empty file, in blocks of so many bytes.
    pub(crate) fn new(block: u64) -> Self {
        Self { block, size: 0, blocks: BTreeMap::new(), vague: false }
    }

    /// `len` bytes at `offset`, fewer at the end.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let block = self.block;
        let end = (offset + len).min(self.size).max(offset);
        let mut bytes = vec![0; (end - offset) as usize];
        for (&number, content) in self.blocks.range(offset / block..end.div_ceil(block)) {
            let (start, stop) = ((number * block).max(offset), ((number + 1) * block).min(end));
            if start < stop {
                let within = (start - number * block) as usize..(stop - number * block) as usize;
                bytes[(start - offset) as usize..(stop - offset) as usize].copy_from_slice(&content[within]);
            }
        }
        bytes
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.read(0, self.size)
    }

    /// Puts `from` at `offset`; the size stays.
    pub(crate) fn store(&mut self, offset: u64, from: &[u8]) {
        let mut rest = from;
        while !rest.is_empty() {
            let at = offset + (from.len() - rest.len()) as u64;
            let within = at % self.block;
            let (part, left) = rest.split_at(rest.len().min((self.block - within) as usize));
            self.fill(at / self.block)[within as usize..][..part.len()].copy_from_slice(part);
            rest = left;
        }
    }

    /// A block that is there now: zeros, if it was a hole.
    pub(crate) fn fill(&mut self, number: u64) -> &mut Vec<u8> {
        self.blocks.entry(number).or_insert_with(|| vec![0; self.block as usize])
    }

    /// Does what the operation does to a file: those that write, with these bytes.
    pub(crate) fn apply(&mut self, op: &FileOp, bytes: &[u8]) -> Result<(), Errno> {
        match op.kind {
            OpKind::Read | OpKind::MapRead | OpKind::Fsync => {}
            OpKind::Write => {
                self.store(op.offset, bytes);
                if !bytes.is_empty() {
                    self.size = self.size.max(op.offset + bytes.len() as u64);
                }
            }
            // Stores beyond the end, in the last page, go nowhere.
            OpKind::MapWrite => {
                let inside = self.size.saturating_sub(op.offset).min(bytes.len() as u64) as usize;
                self.store(op.offset, &bytes[..inside]);
                self.fill(op.offset / self.block);
            }
            OpKind::Truncate => self.truncate(op.len),
            OpKind::Allocate | OpKind::Punch | OpKind::Zero => self.change(op),
            OpKind::Collapse | OpKind::Insert => return self.shift(op),
        }
        Ok(())
    }

    fn truncate(&mut self, size: u64) {
        if size <= self.size {
            self.blocks.retain(|&number, _| number < size.div_ceil(self.block));
            self.zero(size, self.size);
        }
        self.size = size;
        self.vague &= size != 0;
    }

    /// Zeroes what is there from one byte up to another.
    fn zero(&mut self, start: u64, end: u64) {
        let block = self.block;
        for (&number, content) in self.blocks.range_mut(start / block..end.div_ceil(block).max(start / block))
        {
            let from = start.saturating_sub(number * block).min(block);
            let to = end.saturating_sub(number * block).min(block);
            content[from as usize..to as usize].fill(0);
        }
    }

    fn change(&mut self, op: &FileOp) {
        let (block, end) = (self.block, op.offset + op.len);
        if op.kind != OpKind::Allocate {
            self.zero(op.offset, end);
        }
        if op.kind == OpKind::Punch {
            return self.blocks.retain(|&number, _| number * block < op.offset || (number + 1) * block > end);
        }
        for number in op.offset / block..end.div_ceil(block) {
            self.fill(number);
        }
        if !op.keep_size {
            self.size = self.size.max(end);
        }
    }

    /// Moves what comes behind a range that is cut out or put in.
    fn shift(&mut self, op: &FileOp) -> Result<(), Errno> {
        let (block, collapse) = (self.block, op.kind == OpKind::Collapse);
        let inside = if collapse { op.offset + op.len < self.size } else { op.offset < self.size };
        if !(op.offset.is_multiple_of(block) && op.len.is_multiple_of(block) && inside) {
            return Err(Errno::Invalid);
        }
        self.keep_inside();
        let (first, count) = (op.offset / block, op.len / block);
        let moved = |(number, content)| match number {
            _ if number < first => Some((number, content)),
            _ if !collapse => Some((number + count, content)),
            _ if number < first + count => None,
            _ => Some((number - count, content)),
        };
        self.blocks = std::mem::take(&mut self.blocks).into_iter().filter_map(moved).collect();
        self.size = if collapse { self.size - op.len } else { self.size + op.len };
        Ok(())
    }

    /// Blocks beyond the end go: before anything moves, and with the last handle.
    pub(crate) fn keep_inside(&mut self) {
        self.blocks.retain(|&number, _| number < self.size.div_ceil(self.block));
    }

    /// The blocks that are there, up to the end.
    pub(crate) fn allocated(&self) -> Vec<u64> {
        self.blocks.range(..self.size.div_ceil(self.block)).map(|(&number, _)| number).collect()
    }

    /// As lseek(2).
    pub(crate) fn seek(&self, at: u64, what: Seek) -> Result<u64, Errno> {
        if at >= self.size {
            return Err(Errno::NoSuchAddress);
        }
        let mut place = at;
        while place < self.size {
            if self.blocks.contains_key(&(place / self.block)) == (what == Seek::Data) {
                return Ok(place);
            }
            place = (place / self.block + 1) * self.block;
        }
        if what == Seek::Hole { Ok(self.size) } else { Err(Errno::NoSuchAddress) }
    }
}
