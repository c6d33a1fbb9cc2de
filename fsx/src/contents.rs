//! What a file is to hold: the reference for everything that is done to one file.

use crate::op::{FileOp, OpKind};
use alloc::collections::TryReserveError;
use alloc::collections::btree_map::{BTreeMap, Entry};
use alloc::vec::Vec;
use core::ops::Range;
use fs::Errno;
use fs::vfs::Seek;

/// What a file holds: its size, its blocks (beyond the end, too), and which operation stored what.
#[derive(Clone)]
pub struct FileContents {
    block: u64,
    size: u64,
    /// By their numbers; what is not there is a hole.
    blocks: BTreeMap<u64, Vec<u8>>,
    /// What a hole reads as: a block of zeros.
    zeros: Vec<u8>,
    /// The operation that last stored the bytes from each offset on, up to the next: 0 for none.
    writers: BTreeMap<u64, u64>,
    /// Set when a write stopped half-way for lack of space: which blocks are holes is not known any more.
    pub vague: bool,
}

/// Returns `len` zeros, or an error where a vector would panic.
pub(crate) fn zeros(len: u64) -> Result<Vec<u8>, TryReserveError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len as usize)?;
    list.resize(len as usize, 0);
    Ok(list)
}

/// Cuts out `len` keys from `start` on, or puts as many in: the later ones move.
fn move_keys<V>(map: &mut BTreeMap<u64, V>, start: u64, len: u64, collapse: bool) {
    let mut rest = map.split_off(&start);
    if collapse {
        rest = rest.split_off(&(start + len));
    }
    map.extend(rest.into_iter().map(|(at, value)| (if collapse { at - len } else { at + len }, value)));
}

impl FileContents {
    /// Returns an empty file, in blocks of `block` bytes.
    pub fn new(block: u64) -> Self {
        let (blocks, writers) = (BTreeMap::new(), BTreeMap::new());
        Self { block, size: 0, blocks, zeros: alloc::vec![0; block as usize], writers, vague: false }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns `len` bytes at `offset`, fewer at the end.
    pub fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let end = (offset + len).min(self.size).max(offset);
        self.parts(offset..end).flat_map(|(_, part)| part).copied().collect()
    }

    /// Returns all of it.
    pub fn bytes(&self) -> Vec<u8> {
        self.read(0, self.size)
    }

    /// Returns the bytes of a range, which may go on beyond the end, block by block with their offsets.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = (u64, &[u8])> {
        (range.start / self.block..range.end.div_ceil(self.block)).map(move |number| {
            let first = number * self.block;
            let (start, end) = (range.start.max(first), range.end.min(first + self.block));
            let content = self.blocks.get(&number).unwrap_or(&self.zeros);
            (start, &content[(start - first) as usize..(end - first) as usize])
        })
    }

    /// Returns the first byte from `offset` on that is not as it should be. `bytes` may go on after the end
    /// of the file, where zeros should be.
    pub(crate) fn differs(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        self.parts(offset..offset + bytes.len() as u64).find_map(|(start, want)| {
            let found = &bytes[(start - offset) as usize..][..want.len()];
            // Equal most of the time, which is one fast comparison.
            let first = if found == want { None } else { found.iter().zip(want).position(|(a, b)| a != b) };
            first.map(|at| start + at as u64)
        })
    }

    /// Returns the byte that should be at `offset`, and who put it there; `None` after the end.
    pub(crate) fn expected(&self, offset: u64) -> (u8, Option<u64>) {
        let byte = self.parts(offset..offset + 1).next().map_or(0, |(_, part)| part[0]);
        (byte, (offset < self.size).then(|| self.writer(offset)))
    }

    fn writer(&self, offset: u64) -> u64 {
        self.writers.range(..=offset).next_back().map_or(0, |(_, number)| *number)
    }

    /// Notes who stored a range.
    fn credit(&mut self, number: u64, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let after = self.writer(range.end);
        let mut rest = self.writers.split_off(&range.start);
        self.writers.insert(range.start, number);
        self.writers.insert(range.end, after);
        self.writers.append(&mut rest.split_off(&range.end));
    }

    /// Does what the operation, the one of this number, does to a file: those that write, with these bytes.
    ///
    /// # Errors
    /// [`Errno::Invalid`] where a range cannot be cut out or put in: nothing changed. [`Errno::NoMemory`].
    pub fn apply(&mut self, number: u64, op: &FileOp, bytes: &[u8]) -> Result<(), Errno> {
        let mut op = *op;
        if matches!(op.kind, OpKind::Write | OpKind::MapWrite) {
            op.len = bytes.len() as u64;
        }
        let (start, end, before) = (op.offset, op.offset.saturating_add(op.len), self.size);
        match op.kind {
            OpKind::Read | OpKind::MapRead | OpKind::Fsync => return Ok(()),
            OpKind::Write => self.store(start, bytes)?,
            // Stores beyond the end, in the last page, go nowhere.
            OpKind::MapWrite => {
                let inside = before.saturating_sub(start).min(op.len) as usize;
                self.store(start, &bytes[..inside])?;
                self.fill(start / self.block)?;
            }
            OpKind::Truncate => self.truncate(op.len),
            OpKind::Allocate | OpKind::Punch | OpKind::Zero => self.change(&op)?,
            OpKind::Collapse | OpKind::Insert => self.shift(&op)?,
        }
        self.size = op.size_after(before);
        if !matches!(op.kind, OpKind::Allocate | OpKind::Truncate | OpKind::Collapse) {
            self.credit(number, start..end.min(self.size));
        }
        if op.kind != OpKind::Insert {
            self.credit(number, before..self.size);
        }
        Ok(())
    }

    /// Puts `from` at `offset`; the size stays.
    fn store(&mut self, offset: u64, from: &[u8]) -> Result<(), Errno> {
        let mut rest = from;
        while !rest.is_empty() {
            let at = offset + (from.len() - rest.len()) as u64;
            let within = at % self.block;
            let (part, left) = rest.split_at(rest.len().min((self.block - within) as usize));
            self.fill(at / self.block)?[within as usize..][..part.len()].copy_from_slice(part);
            rest = left;
        }
        Ok(())
    }

    /// Returns a block, which is there from now on: zeros, if it was a hole.
    fn fill(&mut self, number: u64) -> Result<&mut Vec<u8>, Errno> {
        match self.blocks.entry(number) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(hole) => Ok(hole.insert(zeros(self.block).map_err(|_| Errno::NoMemory)?)),
        }
    }

    fn truncate(&mut self, size: u64) {
        if size <= self.size {
            self.blocks.retain(|&number, _| number < size.div_ceil(self.block));
            self.zero(size, self.size);
        }
        self.vague &= size != 0;
    }

    /// Zeroes what is there from one byte up to another.
    fn zero(&mut self, start: u64, end: u64) {
        let block = self.block;
        let numbers = start / block..end.div_ceil(block).max(start / block);
        for (&number, content) in self.blocks.range_mut(numbers) {
            let from = start.saturating_sub(number * block).min(block);
            let to = end.saturating_sub(number * block).min(block);
            content[from as usize..to as usize].fill(0);
        }
    }

    fn change(&mut self, op: &FileOp) -> Result<(), Errno> {
        let (block, end) = (self.block, op.offset + op.len);
        if op.kind != OpKind::Allocate {
            self.zero(op.offset, end);
        }
        if op.kind == OpKind::Punch {
            self.blocks.retain(|&number, _| number * block < op.offset || (number + 1) * block > end);
            return Ok(());
        }
        (op.offset / block..end.div_ceil(block)).try_for_each(|number| self.fill(number).map(|_| ()))
    }

    /// Moves what comes behind a range that is cut out or put in.
    fn shift(&mut self, op: &FileOp) -> Result<(), Errno> {
        let (block, start, end) = (self.block, op.offset, op.offset + op.len);
        let collapse = op.kind == OpKind::Collapse;
        let (from, to) = if collapse { (end, start) } else { (start, end) };
        if !((start | op.len).is_multiple_of(block) && from < self.size) {
            return Err(Errno::Invalid);
        }
        self.keep_inside();
        move_keys(&mut self.blocks, start / block, op.len / block, collapse);
        let first = self.writer(from);
        move_keys(&mut self.writers, start, op.len, collapse);
        self.writers.insert(to, first);
        Ok(())
    }

    /// Lets the blocks beyond the end go: before anything moves, and with the last handle.
    pub fn keep_inside(&mut self) {
        self.blocks.retain(|&number, _| number < self.size.div_ceil(self.block));
    }

    /// Returns the numbers of the blocks that are there, beyond the end too.
    pub fn blocks(&self) -> impl Iterator<Item = u64> {
        self.blocks.keys().copied()
    }

    /// Returns the numbers of the blocks that are there, up to the end.
    pub fn allocated(&self) -> Vec<u64> {
        self.blocks().take_while(|number| *number < self.size.div_ceil(self.block)).collect()
    }

    /// Seeks as lseek(2) does.
    ///
    /// # Errors
    /// [`Errno::NoSuchAddress`], as lseek(2) has it.
    pub fn seek(&self, at: u64, what: Seek) -> Result<u64, Errno> {
        let mut place = at;
        while place < self.size {
            if self.blocks.contains_key(&(place / self.block)) == (what == Seek::Data) {
                return Ok(place);
            }
            place = (place / self.block + 1) * self.block;
        }
        if what == Seek::Hole && at < self.size { Ok(self.size) } else { Err(Errno::NoSuchAddress) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::vec;

    /// The same operations on a vector, which knows how to move bytes about.
    #[test]
    fn it_does_what_a_vector_does() {
        let mut rng = Rng::new(7);
        let mut model = FileContents::new(16);
        // Who stored a byte stands beside it.
        let mut want: Vec<(u8, u64)> = Vec::new();
        for number in 1..5000 {
            let kind = OpKind::ALL[(rng.draw() % OpKind::ALL.len() as u64) as usize];
            let mut op = FileOp::new(kind, rng.draw() % 300, rng.draw() % 100 + 1);
            op.keep_size = rng.one_in(2);
            if matches!(kind, OpKind::Collapse | OpKind::Insert) {
                (op.offset, op.len) = (op.offset / 16 * 16, op.len.next_multiple_of(16));
            }
            let (start, size) = (op.offset as usize, want.len());
            let (end, bytes) = (start + op.len as usize, vec![number as u8; op.len as usize]);
            let result = model.apply(number, &op, &bytes);
            if op.size_after(size as u64) > size as u64 && kind != OpKind::Insert {
                want.resize(op.size_after(size as u64) as usize, (0, number));
            }
            let inside = start.min(want.len())..end.min(want.len());
            match kind {
                OpKind::Read | OpKind::MapRead | OpKind::Fsync | OpKind::Allocate => {}
                OpKind::Write | OpKind::MapWrite => want[inside].fill((number as u8, number)),
                OpKind::Truncate => want.truncate(op.len as usize),
                OpKind::Punch | OpKind::Zero => want[inside].fill((0, number)),
                OpKind::Collapse if end < size => drop(want.drain(start..end)),
                OpKind::Insert if start < size => {
                    want.splice(start..start, vec![(0, number); end - start]);
                }
                OpKind::Collapse | OpKind::Insert => assert_eq!(result, Err(Errno::Invalid)),
            }
            let mut bytes: Vec<u8> = want.iter().map(|(byte, _)| *byte).collect();
            assert_eq!(model.bytes(), bytes);
            for (at, &(byte, number)) in want.iter().enumerate() {
                assert_eq!(model.expected(at as u64), (byte, Some(number)), "byte {at}");
            }
            bytes.resize(bytes.len().max(500), 0);
            assert_eq!(model.differs(0, &bytes), None);
            assert_eq!(model.expected(bytes.len() as u64), (0, None));
            bytes[start] ^= 1;
            assert_eq!(model.differs(0, &bytes), Some(start as u64));
        }
    }
}
