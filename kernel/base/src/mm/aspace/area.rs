//! One area, and the sorted list of an address space's.
//!
//! Each area is noted in its file's mapping too, under its first address; [`Areas::cut`] and [`Areas::join`] keep the two
//! in step. All of it happens under the address space's lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use fs::dax::{self, Fault, Protocol};
use fs::{Errno, PAGE_SIZE};

use super::super::layout::TASK_END;
use super::super::paging::PageTables;
use crate::machine::File;

/// Areas are placed from here on.
const MMAP: u64 = 1 << 40;
/// Areas of at least this size lie congruent to their file offset modulo it, for 2 MiB pages.
const LARGE: u64 = 2 << 20;

/// What may be done in an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub read: bool,
    pub write: bool,
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
    pub rights: Rights,
    /// Stores go to copies of the address space's own (`MAP_PRIVATE`), not to the file.
    pub private: bool,
    /// What leads to a page is durable before a store can get there (`MAP_SYNC`). Where a file system's changes are durable one
    /// by one, as ext2's are, every shared area is like that.
    pub sync: bool,
    /// 2 MiB may be mapped by one entry (`MADV_HUGEPAGE`).
    pub large: bool,
    /// Why stores to the file are out of the question: it was not opened for them, or the mount is read-only.
    pub no_write: Option<Errno>,
    pub protocol: Protocol,
}

impl Kind {
    /// What is usual: stores reach the file, 2 MiB pages are welcome.
    pub const fn shared(rights: Rights, protocol: Protocol) -> Self {
        Self { rights, private: false, sync: false, large: true, no_write: None, protocol }
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

/// A range of addresses that shows a range of a file.
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The file's page at `start`.
    pub(super) first_page: u64,
    pub(super) kind: Kind,
    pub(super) file: File,
    pub(super) name: Arc<str>,
}

impl Area {
    /// The file's page at `va`.
    #[inline]
    pub(super) fn page(&self, va: u64) -> u64 {
        self.first_page + (va - self.start) / PAGE_SIZE
    }

    /// The file's pages it shows.
    pub(super) fn pages(&self) -> Range<u64> {
        self.first_page..self.page(self.end)
    }

    /// How many.
    pub(super) fn len_pages(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    /// A fault in it, at a page's address.
    #[inline]
    pub(super) fn fault(&self, va: u64, write: bool) -> Fault {
        let Kind { private, large, sync, .. } = self.kind;
        let area = dax::Area { start: self.start, end: self.end, private, large, sync };
        Fault { va, page: self.page(va), write, area }
    }

    /// Notes it in its file's mapping.
    pub(super) fn attach(&self, tables: &Arc<PageTables>) {
        self.file.mapping().attach(tables.clone(), self.start, self.pages());
    }

    /// `next` goes on where this one ends, in every respect.
    fn continues(&self, next: &Self) -> bool {
        self.end == next.start
            && self.page(self.end) == next.first_page
            && self.kind == next.kind
            && core::ptr::eq(self.file.mapping(), next.file.mapping())
            && self.name == next.name
    }
}

/// The areas of an address space, by address.
#[derive(Default)]
pub(super) struct Areas(Vec<Area>);

impl core::ops::Deref for Areas {
    type Target = Vec<Area>;
    fn deref(&self) -> &Vec<Area> {
        &self.0
    }
}

impl core::ops::DerefMut for Areas {
    fn deref_mut(&mut self) -> &mut Vec<Area> {
        &mut self.0
    }
}

impl Areas {
    /// The area that `va` is in.
    #[inline]
    pub(super) fn find(&self, va: u64) -> Option<&Area> {
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
    pub(super) fn insert(&mut self, tables: &Arc<PageTables>, area: Area) -> usize {
        area.attach(tables);
        let at = self.first_after(area.start);
        self.0.insert(at, area);
        at
    }

    /// Cuts areas at both ends of `range`; those inside it are whole then. Returns which they are.
    pub(super) fn cut(&mut self, tables: &Arc<PageTables>, range: &Range<u64>) -> Range<usize> {
        for at in [range.start, range.end] {
            let index = self.first_after(at);
            let Some(area) = self.0.get_mut(index).filter(|area| area.start < at) else { continue };
            let right = Area {
                start: at,
                end: area.end,
                first_page: area.page(at),
                kind: area.kind,
                file: area.file.clone(),
                name: area.name.clone(),
            };
            area.end = at;
            let parts = [(area.start, area.pages()), (right.start, right.pages())];
            area.file.mapping().detach(tables, area.start, parts);
            self.0.insert(index + 1, right);
        }
        self.overlap(range)
    }

    /// Takes out the areas inside `range`, of which nothing is mapped any more; those that reach beyond are cut.
    pub(super) fn take_out(&mut self, tables: &Arc<PageTables>, range: &Range<u64>) {
        let mut inside = self.overlap(range);
        let whole = |area: &Area| range.start <= area.start && area.end <= range.end;
        if !self.0[inside.clone()].iter().all(whole) {
            inside = self.cut(tables, range);
        }
        for area in self.0.drain(inside) {
            area.file.mapping().detach(tables, area.start, []);
        }
    }

    /// Gives the area at `index` another end.
    pub(super) fn set_end(&mut self, tables: &Arc<PageTables>, index: usize, end: u64) {
        let area = &mut self.0[index];
        area.end = end;
        area.file.mapping().detach(tables, area.start, [(area.start, area.pages())]);
    }

    /// Joins areas of `which`, and their neighbours, that continue each other.
    pub(super) fn join(&mut self, tables: &Arc<PageTables>, which: Range<usize>) {
        let first = which.start.saturating_sub(1);
        for index in (first..which.end).rev() {
            let Some([left, right]) = self.0.get(index..index + 2) else { continue };
            if left.continues(right) {
                // The longer one first: at every moment, the file finds all that is mapped.
                let (start, end) = (right.start, right.end);
                self.set_end(tables, index, end);
                self.0.remove(index + 1).file.mapping().detach(tables, start, []);
            }
        }
    }

    /// Where `len` bytes fit, congruent to `offset` modulo 2 MiB if large: above the last area, else in the first gap.
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
