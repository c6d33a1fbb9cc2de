//! Where a range of a file is: the one answer that a file system gives to whoever asks (Linux:
//! `struct iomap`).

use core::fmt;
use core::ops::ControlFlow;

/// A range of a file, all of it backed in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte in the file; a multiple of the block size.
    pub offset: u64,
    /// Bytes; a multiple of the block size.
    pub len: u64,
    /// What is behind its first byte. Behind the others is what follows that.
    pub backing: Backing,
}

impl Extent {
    /// Returns the byte offset in the region where its content begins; `None` if it reads as zeros.
    #[inline]
    pub fn place(&self) -> Option<u64> {
        self.backing.place()
    }

    /// Returns the first byte of the file after the extent.
    pub const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

/// What is behind bytes of a file, to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: it reads as zeros.
    Hole,
    /// Blocks that were never written, from this byte offset of the region on: whatever they hold, it reads
    /// as zeros.
    Unwritten(u64),
    /// Blocks with the content, from this byte offset of the region on.
    Mapped(u64),
}

/// What is behind bytes of a file: a [`State`] and two flags.
///
/// A number and a place, so that a fault gets both, and `Option` of them, in registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Backing {
    how: How,
    /// Byte offset in the region; 0 for a hole.
    place: u64,
}

/// States and flags together. The mapped ones come last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Hole,
    Unwritten,
    Mapped,
    New,
    Dirty,
    NewDirty,
}

impl Backing {
    /// Nothing.
    pub const HOLE: Self = Self { how: How::Hole, place: 0 };

    /// Returns the backing by blocks with the content, from byte offset `place` of the region on.
    #[inline(always)]
    pub const fn mapped(place: u64) -> Self {
        Self { how: How::Mapped, place }
    }

    /// Returns the backing by blocks that were never written, from byte offset `place` of the region on.
    #[inline]
    pub const fn unwritten(place: u64) -> Self {
        Self { how: How::Unwritten, place }
    }

    /// Returns the same blocks with the flag NEW: until just now it was a hole or unwritten. They hold zeros,
    /// or what they were filled with; an address space may still show the zero page there. What is not mapped
    /// stays as it is.
    #[inline(always)]
    pub const fn new(self) -> Self {
        let how = match self.how {
            How::Mapped => How::New,
            How::Dirty => How::NewDirty,
            how => how,
        };
        Self { how, ..self }
    }

    /// Returns the same blocks with the flag DIRTY: after a crash the file may not lead there, until the file
    /// system has [committed](super::Inode::commit) it. What is not mapped stays as it is.
    #[inline]
    pub const fn dirty(self) -> Self {
        let how = match self.how {
            How::Mapped => How::Dirty,
            How::New => How::NewDirty,
            how => how,
        };
        Self { how, ..self }
    }

    /// Returns whether the backing has the flag NEW.
    #[inline(always)]
    pub fn is_new(self) -> bool {
        matches!(self.how, How::New | How::NewDirty)
    }

    /// Returns whether the backing has the flag DIRTY.
    #[inline(always)]
    pub fn is_dirty(self) -> bool {
        self.how >= How::Dirty
    }

    /// Returns whether there are blocks with the content, and neither flag: what a fault finds most of the
    /// time.
    #[inline(always)]
    pub fn is_settled(self) -> bool {
        self.how == How::Mapped
    }

    /// Returns whether there are blocks with the content.
    #[inline(always)]
    pub fn is_mapped(self) -> bool {
        self.how >= How::Mapped
    }

    /// Returns its state.
    #[inline]
    pub const fn state(self) -> State {
        match self.how {
            How::Hole => State::Hole,
            How::Unwritten => State::Unwritten(self.place),
            How::Mapped | How::New | How::Dirty | How::NewDirty => State::Mapped(self.place),
        }
    }

    /// Returns the byte offset in the region of blocks with the content; `None` if it reads as zeros.
    #[inline(always)]
    pub fn place(self) -> Option<u64> {
        self.is_mapped().then_some(self.place)
    }

    /// Returns the backing of what lies `bytes` further on in the same extent.
    #[inline]
    pub fn after(self, bytes: u64) -> Self {
        match self.how {
            How::Hole => self,
            _ => Self { place: self.place.saturating_add(bytes), ..self },
        }
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)?;
        f.write_str(if self.is_new() { " NEW" } else { "" })?;
        f.write_str(if self.is_dirty() { " DIRTY" } else { "" })
    }
}

/// Joins pieces of a file to extents, and hands them on.
pub(crate) struct Joiner<'a> {
    current: Option<Extent>,
    f: &'a mut dyn FnMut(Extent) -> ControlFlow<()>,
}

impl<'a> Joiner<'a> {
    /// Returns one that calls `f` with each extent.
    pub(crate) fn new(f: &'a mut dyn FnMut(Extent) -> ControlFlow<()>) -> Self {
        Self { current: None, f }
    }

    /// Takes the piece that follows what it has.
    pub(crate) fn add(&mut self, next: Extent) -> ControlFlow<()> {
        if next.len == 0 {
            return ControlFlow::Continue(());
        }
        if let Some(extent) = &mut self.current {
            if extent.backing.after(extent.len) == next.backing {
                extent.len += next.len;
                return ControlFlow::Continue(());
            }
            (self.f)(*extent)?;
        }
        self.current = Some(next);
        ControlFlow::Continue(())
    }

    /// Hands the last extent on.
    pub(crate) fn finish(self) {
        if let Some(extent) = self.current {
            let _ = (self.f)(extent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backing_keeps_state_place_and_flags_apart() {
        assert_eq!(size_of::<Option<Backing>>(), 16, "two registers");
        for place in [0, 1024, 5 << 20] {
            let mapped = Backing::mapped(place);
            for (backing, new, dirty) in [
                (mapped, false, false),
                (mapped.new(), true, false),
                (mapped.dirty(), false, true),
                (mapped.new().dirty(), true, true),
                (mapped.dirty().new(), true, true),
            ] {
                assert_eq!((backing.is_new(), backing.is_dirty(), backing.is_mapped()), (new, dirty, true));
                assert_eq!((backing.state(), backing.place()), (State::Mapped(place), Some(place)));
            }
            for (backing, state) in
                [(Backing::HOLE, State::Hole), (Backing::unwritten(place), State::Unwritten(place))]
            {
                for same in [backing, backing.new(), backing.dirty()] {
                    assert_eq!((same.is_new(), same.is_dirty(), same.is_mapped()), (false, false, false));
                    assert_eq!((same.state(), same.place()), (state, None));
                }
            }
        }
    }

    #[test]
    fn what_lies_further_on_has_the_same_state_and_flags() {
        assert_eq!(Backing::mapped(4096).dirty().after(8192), Backing::mapped(12_288).dirty());
        assert_eq!(Backing::unwritten(4096).after(4096), Backing::unwritten(8192));
        assert_eq!(Backing::HOLE.after(4096), Backing::HOLE);
    }
}
