//! What the file should hold.

use crate::rng::SplitMix;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::ops::Range;

/// The contents of the file, and which operation put each byte there.
pub(crate) struct FileModel {
    /// The contents, as long as the file may become; zeros from `size` on.
    bytes: Vec<u8>,
    /// For each byte, the operation that last stored it; 0 for the start.
    writers: Vec<u32>,
    /// What is added to an operation's number at odd offsets.
    original: Vec<u8>,
    size: usize,
}

/// Returns `len` zeros, or an error where a vector would panic.
pub(crate) fn zeros<N: Clone + Default>(len: usize) -> Result<Vec<N>, TryReserveError> {
    let mut list = Vec::new();
    list.try_reserve_exact(len)?;
    list.resize(len, N::default());
    Ok(list)
}

impl FileModel {
    /// Returns an empty file that may become `max` bytes long.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(crate) fn new(max: usize, rng: &mut SplitMix) -> Result<Self, TryReserveError> {
        let mut original = zeros(max)?;
        rng.fill(&mut original);
        Ok(Self { bytes: zeros(max)?, writers: zeros(max)?, original, size: 0 })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size as u64
    }

    /// Returns the byte at `offset`, and the operation that put it there.
    pub(crate) fn at(&self, offset: u64) -> (u8, u32) {
        (self.bytes[offset as usize], self.writers[offset as usize])
    }

    /// Fills in the bytes that operation `number` writes at `offset`; all the same if `fill` is given.
    pub(crate) fn generate(&self, number: u64, fill: Option<u8>, offset: u64, to: &mut [u8]) {
        if let Some(byte) = fill {
            return to.fill(byte);
        }
        for (index, byte) in to.iter_mut().enumerate() {
            let at = offset as usize + index;
            let original = if at % 2 == 1 { self.original[at] } else { 0 };
            *byte = (number as u8).wrapping_add(original);
        }
    }

    /// Writes; the file becomes longer if need be.
    pub(crate) fn put(&mut self, number: u64, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let range = offset as usize..offset as usize + bytes.len();
        self.grow(number, range.end as u64);
        self.bytes[range.clone()].copy_from_slice(bytes);
        self.writers[range].fill(number as u32);
    }

    /// Makes the file at least `size` bytes long.
    pub(crate) fn grow(&mut self, number: u64, size: u64) {
        let size = size as usize;
        if size > self.size {
            self.writers[self.size..size].fill(number as u32);
            self.size = size;
        }
    }

    /// Makes the file `size` bytes long.
    pub(crate) fn truncate(&mut self, number: u64, size: u64) {
        self.grow(number, size);
        self.bytes[size as usize..self.size].fill(0);
        self.size = size as usize;
    }

    /// Zeroes what of the range is in the file.
    pub(crate) fn zero(&mut self, number: u64, offset: u64, len: u64) {
        let range = self.inside(offset, len);
        self.bytes[range.clone()].fill(0);
        self.writers[range].fill(number as u32);
    }

    /// Cuts the range, which lies in the file, out.
    pub(crate) fn collapse(&mut self, number: u64, offset: u64, len: u64) {
        let Range { start, end } = self.inside(offset, len);
        self.bytes.copy_within(end..self.size, start);
        self.writers.copy_within(end..self.size, start);
        self.truncate(number, (self.size - (end - start)) as u64);
    }

    /// Puts zeros in; there must be room.
    pub(crate) fn insert(&mut self, number: u64, offset: u64, len: u64) {
        let (start, len) = (offset as usize, len as usize);
        self.bytes.copy_within(start..self.size, start + len);
        self.writers.copy_within(start..self.size, start + len);
        self.size += len;
        self.zero(number, offset, len as u64);
    }

    /// Returns the first byte from `offset` on that is not as it should be. `bytes` may go on after the end
    /// of the file, where zeros should be.
    pub(crate) fn differs(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let start = (offset as usize).min(self.bytes.len());
        let known = &self.bytes[start..(start + bytes.len()).min(self.bytes.len())];
        let (inside, beyond) = bytes.split_at(known.len());
        // Equal most of the time, which is one fast comparison.
        let first = if inside == known { None } else { inside.iter().zip(known).position(|(a, b)| a != b) };
        let first = first.or_else(|| beyond.iter().position(|byte| *byte != 0).map(|at| inside.len() + at));
        first.map(|at| offset + at as u64)
    }

    /// Returns the byte that should be at `offset`, and who put it there; `None` after the end.
    pub(crate) fn expected(&self, offset: u64) -> (u8, Option<u32>) {
        if offset < self.size() {
            let (byte, writer) = self.at(offset);
            (byte, Some(writer))
        } else {
            (0, None)
        }
    }

    fn inside(&self, offset: u64, len: u64) -> Range<usize> {
        let start = offset.min(self.size());
        start as usize..(start + len.min(self.size() - start)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// The same operations on a vector, which knows how to move bytes about.
    #[test]
    fn it_does_what_a_vector_does() {
        let mut rng = SplitMix::new(7);
        let mut model = FileModel::new(500, &mut rng).unwrap();
        let mut want: Vec<u8> = Vec::new();
        for number in 1..5000 {
            let offset = (rng.next() % 300) as usize;
            let len = (rng.next() % 100 + 1) as usize;
            match rng.next() % 5 {
                0 => {
                    let mut bytes = vec![0; len];
                    model.generate(number, None, offset as u64, &mut bytes);
                    assert!((0..len).all(|at| (offset + at) % 2 == 1 || bytes[at] == number as u8));
                    model.put(number, offset as u64, &bytes);
                    want.resize(want.len().max(offset + len), 0);
                    want[offset..offset + len].copy_from_slice(&bytes);
                }
                1 => {
                    model.truncate(number, offset as u64);
                    want.resize(offset, 0);
                }
                2 => {
                    model.zero(number, offset as u64, len as u64);
                    let size = want.len();
                    want[offset.min(size)..(offset + len).min(size)].fill(0);
                }
                3 if offset + len <= want.len() => {
                    model.collapse(number, offset as u64, len as u64);
                    want.drain(offset..offset + len);
                }
                4 if offset < want.len() && want.len() + len <= 500 => {
                    model.insert(number, offset as u64, len as u64);
                    want.splice(offset..offset, vec![0; len]);
                }
                _ => {}
            }
            assert_eq!(model.size(), want.len() as u64);
            assert_eq!(&model.bytes[..want.len()], want);
            assert!(model.bytes[want.len()..].iter().all(|byte| *byte == 0));
            want.resize(500, 0);
            assert_eq!(model.differs(0, &want), None);
            want[offset] ^= 1;
            assert_eq!(model.differs(0, &want), Some(offset as u64));
            want[offset] ^= 1;
            want.truncate(model.size);
        }
    }

    #[test]
    fn it_knows_who_wrote_a_byte_even_after_it_moved() {
        let mut model = FileModel::new(100, &mut SplitMix::new(1)).unwrap();
        model.put(1, 0, &[1; 40]);
        model.put(2, 20, &[2; 10]);
        model.collapse(3, 0, 10);
        assert_eq!((model.at(10), model.at(9)), ((2, 2), (1, 1)));
        model.insert(4, 5, 10);
        assert_eq!((model.at(20), model.at(5), model.at(4)), ((2, 2), (0, 4), (1, 1)));
        model.truncate(5, 3);
        model.truncate(6, 30);
        assert_eq!((model.at(2), model.expected(10), model.expected(30)), ((1, 1), (0, Some(6)), (0, None)));
    }
}
