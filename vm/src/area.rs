//! One area, and the sorted list of an address space's.
//!
//! Each area is noted in its file's mapping too, under its first address; [`Areas::cut`] and [`Areas::join`]
//! keep the two in step. All of it happens under the address space's lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use fs::dax::{self, Fault, Protocol};
use fs::vfs::{Inode, InodeRef};
use fs::{Errno, PAGE_SIZE, Result};

use super::tables::{SpaceMachine, SpacePlatform, SpaceTables};
use super::{MMAP, TASK_END};

/// Areas of at least this size lie congruent to their file offset modulo it, for 2 MiB pages.
const LARGE: u64 = 2 << 20;

/// What may be done in an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// It was asked for. Nothing is executed from an area.
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

/// How an area shows its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What may be done in it.
    pub rights: Rights,
    /// Stores go to copies of the address space's own (`MAP_PRIVATE`), not to the file.
    pub private: bool,
    /// What leads to a page is durable before a store can get there (`MAP_SYNC`). Where a file system's
    /// changes are durable one by one, as ext2's are, every shared area is like that.
    pub sync: bool,
    /// 2 MiB may be mapped by one entry (`MADV_HUGEPAGE`).
    pub large: bool,
    /// Why stores to the file are out of the question: it was not opened for them, or the mount is read-only.
    pub no_write: Option<Errno>,
    /// How its faults are served.
    pub protocol: Protocol,
}

impl Kind {
    /// What is usual: stores reach the file, 2 MiB pages are welcome.
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
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on, word| if on { word } else { "" };
        let (sync, nohuge) = (word(self.sync, " sync"), word(!self.large, " nohuge"));
        write!(f, "{}{}{sync}{nohuge}", self.rights, if self.private { 'p' } else { 's' })
    }
}

/// What an area shows. All that there is to know of it is asked by [`Area`]'s own functions: memory without a
/// file would be another variant, and the compiler would ask each of them what that means.
enum Backing<P: SpacePlatform> {
    /// A file, from one of its pages on.
    File { file: InodeRef<P>, first_page: u64 },
}

impl<P: SpacePlatform> Backing<P> {
    /// The same, so many pages further on.
    fn after(&self, pages: u64) -> Self {
        let Self::File { file, first_page } = self;
        Self::File { file: file.clone(), first_page: first_page + pages }
    }
}

/// A range of addresses, and what it shows.
pub(super) struct Area<P: SpacePlatform> {
    pub(super) start: u64,
    pub(super) end: u64,
    backing: Backing<P>,
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
}

impl<P: SpacePlatform> Area<P> {
    /// Shows `file` from its page `first_page` on.
    pub(super) fn of_file(
        range: Range<u64>,
        file: InodeRef<P>,
        first_page: u64,
        kind: Kind,
        name: Arc<str>,
    ) -> Self {
        Self { start: range.start, end: range.end, backing: Backing::File { file, first_page }, kind, name }
    }

    /// Shows at `start..end` what this one shows from `from` on.
    pub(super) fn part(&self, from: u64, start: u64, end: u64) -> Self {
        let backing = self.backing.after((from - self.start) / PAGE_SIZE);
        Self { start, end, backing, kind: self.kind, name: self.name.clone() }
    }

    /// The file.
    #[inline]
    pub(super) fn file(&self) -> &InodeRef<P> {
        let Backing::File { file, .. } = &self.backing;
        file
    }

    /// The file's page at `va`.
    #[inline]
    pub(super) fn page(&self, va: u64) -> u64 {
        let Backing::File { first_page, .. } = self.backing;
        first_page + (va - self.start) / PAGE_SIZE
    }

    /// First byte of the file.
    pub(super) fn offset(&self) -> u64 {
        self.page(self.start) * PAGE_SIZE
    }

    /// The file's pages it shows.
    pub(super) fn pages(&self) -> Range<u64> {
        self.page(self.start)..self.page(self.end)
    }

    /// How many.
    pub(super) fn len_pages(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// A fault in it, at a page's address, and whose it is.
    #[inline]
    pub(super) fn fault(&self, va: u64, write: bool) -> (&dyn Inode<P>, Fault) {
        let Kind { private, large, sync, .. } = self.kind;
        let area = dax::Area { start: self.start, end: self.end, private, large, sync };
        (&**self.file(), Fault { va, page: self.page(va), write, area })
    }

    /// Notes it in its file's mapping.
    fn attach(&self, tables: &Arc<SpaceTables<P::Machine>>) {
        self.file().mapping().attach(tables.clone(), self.start, self.pages());
    }

    /// Its file's mapping forgets it, but for `keep`: address and pages of each part.
    pub(super) fn detach(
        &self,
        tables: &Arc<SpaceTables<P::Machine>>,
        keep: impl IntoIterator<Item = (u64, Range<u64>)>,
    ) {
        self.file().mapping().detach(tables, self.start, keep);
    }

    /// `next` goes on where this one ends, in every respect.
    fn continues(&self, next: &Self) -> bool {
        self.end == next.start
            && self.page(self.end) == next.page(next.start)
            && self.kind == next.kind
            && core::ptr::eq(self.file().mapping(), next.file().mapping())
            && self.name == next.name
    }
}

/// The areas of an address space, by address.
pub(super) struct Areas<P: SpacePlatform>(Vec<Area<P>>);

impl<P: SpacePlatform> Default for Areas<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<P: SpacePlatform> Areas<P> {
    /// All of them.
    pub(super) fn iter(&self) -> core::slice::Iter<'_, Area<P>> {
        self.0.iter()
    }

    /// Those with these numbers.
    pub(super) fn some(&self, which: Range<usize>) -> &[Area<P>] {
        &self.0[which]
    }

    /// The same, to change their kind.
    pub(super) fn some_mut(&mut self, which: Range<usize>) -> &mut [Area<P>] {
        &mut self.0[which]
    }

    /// Gives all of them up.
    pub(super) fn drain(&mut self) -> alloc::vec::Drain<'_, Area<P>> {
        self.0.drain(..)
    }

    /// The area that `va` is in.
    #[inline]
    pub(super) fn find(&self, va: u64) -> Option<&Area<P>> {
        self.0.get(self.first_after(va)).filter(|area| area.start <= va)
    }

    /// Index of the first area that ends after `va`.
    #[inline]
    fn first_after(&self, va: u64) -> usize {
        self.0.partition_point(|area| area.end <= va)
    }

    /// The areas that overlap `range`, by index.
    pub(super) fn overlap(&self, range: &Range<u64>) -> Range<usize> {
        let first = self.first_after(range.start);
        let count = self.0[first..].partition_point(|area| area.start < range.end);
        first..first + count
    }

    /// Whether every address of `range` is in an area.
    pub(super) fn cover(&self, range: &Range<u64>) -> bool {
        let mut reached = range.start;
        for area in &self.0[self.overlap(range)] {
            if area.start > reached {
                return false;
            }
            reached = area.end;
        }
        reached >= range.end
    }

    /// Puts a new area in its place, and notes it in its file's mapping.
    pub(super) fn insert(&mut self, tables: &Arc<SpaceTables<P::Machine>>, area: Area<P>) -> usize {
        area.attach(tables);
        let at = self.first_after(area.start);
        self.0.insert(at, area);
        at
    }

    /// Cuts areas at both ends of `range`; those inside it are whole then. Returns which they are.
    pub(super) fn cut(&mut self, tables: &Arc<SpaceTables<P::Machine>>, range: &Range<u64>) -> Range<usize> {
        for at in [range.start, range.end] {
            let index = self.first_after(at);
            let Some(area) = self.0.get_mut(index).filter(|area| area.start < at) else { continue };
            let right = area.part(at, at, area.end);
            area.end = at;
            let parts = [(area.start, area.pages()), (right.start, right.pages())];
            area.detach(tables, parts);
            self.0.insert(index + 1, right);
        }
        self.overlap(range)
    }

    /// Takes out the areas inside `range`, of which nothing is mapped any more; those that reach beyond are
    /// cut.
    pub(super) fn take_out(&mut self, tables: &Arc<SpaceTables<P::Machine>>, range: &Range<u64>) {
        let mut inside = self.overlap(range);
        let whole = |area: &Area<P>| range.start <= area.start && area.end <= range.end;
        if !self.0[inside.clone()].iter().all(whole) {
            inside = self.cut(tables, range);
        }
        for area in self.0.drain(inside) {
            area.detach(tables, []);
            tables.machine().let_go(area);
        }
    }

    /// Gives the area at `index` another end.
    pub(super) fn set_end(&mut self, tables: &Arc<SpaceTables<P::Machine>>, index: usize, end: u64) {
        let area = &mut self.0[index];
        area.end = end;
        area.detach(tables, [(area.start, area.pages())]);
    }

    /// Joins areas of `which`, and their neighbours, that continue each other.
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

    /// Where `len` bytes fit, congruent to `offset` modulo 2 MiB if large: above the last area, else in the
    /// first gap.
    pub(super) fn place(&self, offset: u64, len: u64) -> Option<u64> {
        let fit = |from: u64, to: u64| {
            let from = from.max(MMAP);
            let start = if len < LARGE { from } else { from + (offset.wrapping_sub(from) & (LARGE - 1)) };
            (start.checked_add(len)? <= to).then_some(start)
        };
        let above = self.0.last().map_or(MMAP, |last| last.end + PAGE_SIZE);
        fit(above, TASK_END).or_else(|| {
            let ends = core::iter::once(MMAP).chain(self.0.iter().map(|area| area.end + PAGE_SIZE));
            let starts = self.0.iter().map(|area| area.start.saturating_sub(PAGE_SIZE));
            ends.zip(starts).find_map(|(from, to)| fit(from, to))
        })
    }
}
