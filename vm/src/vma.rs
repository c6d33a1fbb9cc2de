//! One VMA, and the sorted list of an address space's.
//!
//! Each VMA is noted in its file's mapping too, under its first address; [`VmaList::cut`] and
//! [`VmaList::join`] keep the two in step. All of it happens under the address space's lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use fs::dax::{self, Fault, Protocol};
use fs::vfs::{Inode, InodeRef};
use fs::{Errno, PAGE_SIZE, Result};

use super::tables::{SpaceMachine, SpacePlatform, SpaceTables};
use super::{MMAP, TASK_END};

/// VMAs of at least this size lie congruent to their file offset modulo that size, for huge pages.
const LARGE: u64 = 2 << 20;

/// What may be done in a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// The right to execute was asked for. Nothing is executed from a VMA.
    pub exec: bool,
}

impl Rights {
    /// Loads and stores.
    pub const READ_WRITE: Self = Self { read: true, write: true, exec: false };
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |on, letter| if on { letter } else { '-' };
        write!(f, "{}{}{}", letter(self.read, 'r'), letter(self.write, 'w'), letter(self.exec, 'x'))
    }
}

/// How a VMA shows its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmaKind {
    /// What may be done in the VMA.
    pub rights: Rights,
    /// Stores go to copies of the address space's own (`MAP_PRIVATE`), not to the file.
    pub private: bool,
    /// What leads to a page is durable before a store can get there (`MAP_SYNC`). Where a file system's
    /// changes are durable one by one, as ext2's are, every shared VMA is like that.
    pub sync: bool,
    /// 2 MiB may be mapped by one entry (`MADV_HUGEPAGE`).
    pub large: bool,
    /// Why stores to the file are out of the question: it was not opened for them, or the mount is read-only.
    pub no_write: Option<Errno>,
    /// How faults in the VMA are served.
    pub protocol: Protocol,
}

impl VmaKind {
    /// Returns the usual kind: stores reach the file, huge pages are welcome.
    pub const fn shared(rights: Rights, protocol: Protocol) -> Self {
        Self { rights, private: false, sync: false, large: true, no_write: None, protocol }
    }

    /// Refuses stores to a file that is not to be stored to.
    pub(super) fn check(&self) -> Result<()> {
        match self.no_write {
            Some(why) if self.rights.write && !self.private => Err(why.into()),
            _ => Ok(()),
        }
    }
}

/// `rw-s`, as Linux's /proc/PID/maps shows it, then words.
impl fmt::Display for VmaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on, word| if on { word } else { "" };
        let (sync, nohuge) = (word(self.sync, " sync"), word(!self.large, " nohuge"));
        write!(f, "{}{}{sync}{nohuge}", self.rights, if self.private { 'p' } else { 's' })
    }
}

/// What a VMA shows. All that there is to know of it is asked by [`Vma`]'s own functions: memory without a
/// file would be another variant, and the compiler would ask each of them what that means.
enum VmaBacking<P: SpacePlatform> {
    /// A file, from one of its pages on.
    File { file: InodeRef<P>, first_page: u64 },
}

impl<P: SpacePlatform> VmaBacking<P> {
    /// Returns what is `pages` pages further on in the file.
    fn after(&self, pages: u64) -> Self {
        let Self::File { file, first_page } = self;
        Self::File { file: file.clone(), first_page: first_page + pages }
    }
}

/// A range of addresses, and what is shown there.
pub(super) struct Vma<P: SpacePlatform> {
    pub(super) start: u64,
    pub(super) end: u64,
    backing: VmaBacking<P>,
    pub(super) kind: VmaKind,
    pub(super) name: Arc<str>,
}

impl<P: SpacePlatform> Vma<P> {
    /// Shows `file` from its page `first_page` on.
    pub(super) fn of_file(
        range: Range<u64>,
        file: InodeRef<P>,
        first_page: u64,
        kind: VmaKind,
        name: Arc<str>,
    ) -> Self {
        Self {
            start: range.start,
            end: range.end,
            backing: VmaBacking::File { file, first_page },
            kind,
            name,
        }
    }

    /// Shows at `start..end` what this one shows from `from` on.
    pub(super) fn part(&self, from: u64, start: u64, end: u64) -> Self {
        let backing = self.backing.after((from - self.start) / PAGE_SIZE);
        Self { start, end, backing, kind: self.kind, name: self.name.clone() }
    }

    /// Returns the file that the VMA shows.
    #[inline]
    pub(super) fn file(&self) -> &InodeRef<P> {
        let VmaBacking::File { file, .. } = &self.backing;
        file
    }

    /// Returns the file's page at `va`.
    #[inline]
    pub(super) fn page(&self, va: u64) -> u64 {
        let VmaBacking::File { first_page, .. } = self.backing;
        first_page + (va - self.start) / PAGE_SIZE
    }

    /// Returns the byte of the file that the VMA begins with.
    pub(super) fn offset(&self) -> u64 {
        self.page(self.start) * PAGE_SIZE
    }

    /// Returns the file's pages that the VMA shows.
    pub(super) fn pages(&self) -> Range<u64> {
        self.page(self.start)..self.page(self.end)
    }

    /// Returns how many pages the VMA has.
    pub(super) fn len_pages(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// Returns a fault in the VMA at a page's address, and the file that serves it.
    #[inline]
    pub(super) fn fault(&self, va: u64, write: bool) -> (&dyn Inode<P>, Fault) {
        let VmaKind { private, large, sync, .. } = self.kind;
        let area = dax::Area { start: self.start, end: self.end, private, large, sync };
        (&**self.file(), Fault { va, page: self.page(va), write, area })
    }

    /// Notes the VMA in its file's mapping.
    fn attach(&self, tables: &Arc<SpaceTables<P::Machine>>) {
        self.file().mapping().attach(tables.clone(), self.start, self.pages());
    }

    /// Makes the file's mapping forget the VMA, but for `keep`: address and pages of each part.
    pub(super) fn detach(
        &self,
        tables: &Arc<SpaceTables<P::Machine>>,
        keep: impl IntoIterator<Item = (u64, Range<u64>)>,
    ) {
        self.file().mapping().detach(tables, self.start, keep);
    }

    /// Returns whether `next` goes on where the VMA ends, in every respect.
    fn continues(&self, next: &Self) -> bool {
        self.end == next.start
            && self.page(self.end) == next.page(next.start)
            && self.kind == next.kind
            && core::ptr::eq(self.file().mapping(), next.file().mapping())
            && self.name == next.name
    }
}

/// The VMAs of an address space, by address.
pub(super) struct VmaList<P: SpacePlatform>(Vec<Vma<P>>);

impl<P: SpacePlatform> Default for VmaList<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P: SpacePlatform> VmaList<P> {
    /// Returns an iterator over all VMAs, by address.
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Vma<P>> {
        self.0.iter()
    }

    /// Returns the VMAs with the numbers in `which`.
    pub(super) fn some(&self, which: Range<usize>) -> &[Vma<P>] {
        &self.0[which]
    }

    /// Returns the VMAs with the numbers in `which`, to change their kind.
    pub(super) fn some_mut(&mut self, which: Range<usize>) -> &mut [Vma<P>] {
        &mut self.0[which]
    }

    /// Gives all VMAs up.
    pub(super) fn drain(&mut self) -> alloc::vec::Drain<'_, Vma<P>> {
        self.0.drain(..)
    }

    /// Returns the VMA that `va` is in.
    #[inline]
    pub(super) fn find(&self, va: u64) -> Option<&Vma<P>> {
        self.0.get(self.first_after(va)).filter(|vma| vma.start <= va)
    }

    /// Returns the index of the first VMA that ends after `va`.
    #[inline]
    fn first_after(&self, va: u64) -> usize {
        self.0.partition_point(|vma| vma.end <= va)
    }

    /// Returns the VMAs that overlap `range`, by index.
    pub(super) fn overlap(&self, range: &Range<u64>) -> Range<usize> {
        let first = self.first_after(range.start);
        let count = self.0[first..].partition_point(|vma| vma.start < range.end);
        first..first + count
    }

    /// Returns whether every address of `range` is in a VMA.
    pub(super) fn cover(&self, range: &Range<u64>) -> bool {
        let mut reached = range.start;
        for vma in &self.0[self.overlap(range)] {
            if vma.start > reached {
                return false;
            }
            reached = vma.end;
        }
        reached >= range.end
    }

    /// Puts a new VMA in its place in the list, and notes it in its file's mapping. Returns its number.
    pub(super) fn insert(&mut self, tables: &Arc<SpaceTables<P::Machine>>, vma: Vma<P>) -> usize {
        vma.attach(tables);
        let at = self.first_after(vma.start);
        self.0.insert(at, vma);
        at
    }

    /// Cuts VMAs at both ends of `range`; those inside it are whole then. Returns which they are.
    pub(super) fn cut(&mut self, tables: &Arc<SpaceTables<P::Machine>>, range: &Range<u64>) -> Range<usize> {
        for at in [range.start, range.end] {
            let index = self.first_after(at);
            let Some(vma) = self.0.get_mut(index).filter(|vma| vma.start < at) else { continue };
            let right = vma.part(at, at, vma.end);
            vma.end = at;
            let parts = [(vma.start, vma.pages()), (right.start, right.pages())];
            vma.detach(tables, parts);
            self.0.insert(index + 1, right);
        }
        self.overlap(range)
    }

    /// Takes out the VMAs inside `range`, of which nothing is mapped any more; those that reach beyond are
    /// cut. `inside` is which they are: what [`overlap`](Self::overlap) says.
    pub(super) fn take_out(
        &mut self,
        tables: &Arc<SpaceTables<P::Machine>>,
        range: &Range<u64>,
        mut inside: Range<usize>,
    ) {
        let whole = |vma: &Vma<P>| range.start <= vma.start && vma.end <= range.end;
        if !self.0[inside.clone()].iter().all(whole) {
            inside = self.cut(tables, range);
        }
        self.0[inside.clone()].iter().for_each(|vma| vma.detach(tables, []));
        tables.machine().let_go(self.0.drain(inside));
    }

    /// Gives the VMA at `index` another end.
    pub(super) fn set_end(&mut self, tables: &Arc<SpaceTables<P::Machine>>, index: usize, end: u64) {
        let vma = &mut self.0[index];
        vma.end = end;
        vma.detach(tables, [(vma.start, vma.pages())]);
    }

    /// Joins VMAs of `which`, and their neighbours, that continue each other.
    pub(super) fn join(&mut self, tables: &Arc<SpaceTables<P::Machine>>, which: Range<usize>) {
        let first = which.start.saturating_sub(1);
        for index in (first..which.end).rev() {
            let Some([left, right]) = self.0.get(index..index + 2) else { continue };
            if left.continues(right) {
                // The longer one first: at every moment, the file finds all that is mapped.
                let end = right.end;
                self.set_end(tables, index, end);
                self.0.remove(index + 1).detach(tables, []);
            }
        }
    }

    /// Returns where `len` bytes fit, congruent to `offset` modulo 2 MiB if large: above the last VMA, else
    /// in the first gap.
    pub(super) fn place(&self, offset: u64, len: u64) -> Option<u64> {
        let fit = |from: u64, to: u64| {
            let from = from.max(MMAP);
            let start = if len < LARGE { from } else { from + (offset.wrapping_sub(from) & (LARGE - 1)) };
            (start.checked_add(len)? <= to).then_some(start)
        };
        let above = self.0.last().map_or(MMAP, |last| last.end + PAGE_SIZE);
        fit(above, TASK_END).or_else(|| {
            let ends = core::iter::once(MMAP).chain(self.0.iter().map(|vma| vma.end + PAGE_SIZE));
            let starts = self.0.iter().map(|vma| vma.start.saturating_sub(PAGE_SIZE));
            ends.zip(starts).find_map(|(from, to)| fit(from, to))
        })
    }
}
