//! Where read(2) puts what a file holds: memory of the kernel, or of a task.

use crate::platform::Platform;
use crate::pmem::Pmem;
use core::mem;

/// Memory that a read fills, from its start to its end.
pub trait ReadTo<P: Platform> {
    /// Takes the next `bytes` bytes: those of the region from byte offset `place` on, all of them good; or
    /// zeros, if there is none. Called under the inode lock, which a fault may wait for: where taking them
    /// would take a fault, it ends. Returns how many were taken; fewer than `bytes` end the read.
    fn take(&mut self, pmem: &P::Pmem, place: Option<u64>, bytes: usize) -> usize;
    /// Takes `bytes`, which are a copy in the kernel's memory; as [`take`](ReadTo::take).
    fn take_copy(&mut self, bytes: &[u8]) -> usize;
}

/// Memory of the kernel, which is always there.
pub struct Buffer<'a>(&'a mut [u8]);

impl<'a> Buffer<'a> {
    /// Returns the memory `to`, nothing of it filled.
    pub fn new(to: &'a mut [u8]) -> Self {
        Self(to)
    }
}

impl<P: Platform> ReadTo<P> for Buffer<'_> {
    #[inline]
    fn take(&mut self, pmem: &P::Pmem, place: Option<u64>, bytes: usize) -> usize {
        let (piece, rest) = mem::take(&mut self.0).split_at_mut(bytes);
        match place {
            Some(place) => pmem.read(place, piece),
            None => piece.fill(0),
        }
        self.0 = rest;
        bytes
    }

    fn take_copy(&mut self, bytes: &[u8]) -> usize {
        let (piece, rest) = mem::take(&mut self.0).split_at_mut(bytes.len());
        piece.copy_from_slice(bytes);
        self.0 = rest;
        bytes.len()
    }
}
