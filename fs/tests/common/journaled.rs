//! A file of a file system that does not exist: with unwritten extents, and metadata that is durable only
//! after a commit.
//!
//! It shows what `dax` does for file systems with a journal before there is one. Its blocks are the region's
//! own, page for page, in one piece; what is behind each is in memory. It writes down, in order, what it was
//! asked.

use super::BLOCK;
use super::rig::called;
use fs::platform::{LARGE_PAGES, Platform, Timestamp};
use fs::pmem::Pmem;
use fs::vfs::{
    AllocOk, Attr, Backing, Device, Extent, Fallocate, FileKind, Held, Inode, Mapping, ReadTo, Seek, State,
    Thawed, Transaction, Transactions,
};
use fs::{Errno, Result, Unsupported};
use std::ops::{ControlFlow, Range};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// What it was asked, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A transaction for so many pages was opened.
    Begin(u64),
    /// Blocks were published in it for this page and those after it.
    Fill(u64, u64),
    End,
    /// The metadata for these pages, and the rest unless the flag says so, was made durable.
    Commit(Range<u64>, bool),
}

pub(crate) struct Journaled<P: Platform> {
    platform: P,
    mapping: Mapping<P>,
    /// What is behind each page.
    pages: Mutex<Vec<Backing>>,
    events: Mutex<Vec<Event>>,
    /// A commit fails.
    pub(crate) given_up: AtomicBool,
}

impl<P: Platform> Journaled<P> {
    /// A file of the whole region of `platform`, whose pages are behind `backing` at their own places.
    pub(crate) fn new(platform: P, backing: fn(u64) -> Backing) -> Self {
        let len = platform.pmem().len();
        let pages = Mutex::new((0..len / BLOCK).map(|page| backing(page * BLOCK)).collect());
        let mapping = Mapping::with_transactions(len);
        Self { platform, mapping, pages, events: Mutex::default(), given_up: AtomicBool::new(false) }
    }

    /// What happened since the last call.
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().expect("the events"))
    }

    /// What is behind a page.
    pub(crate) fn backing(&self, page: u64) -> Backing {
        self.pages.lock().expect("the pages")[page as usize]
    }

    fn note(&self, event: Event) {
        called(|| format!("{event:?}"));
        self.events.lock().expect("the events").push(event);
    }

    fn no<T>(&self) -> Result<T> {
        Err(Unsupported::Operation("what no test of faults asks for").into())
    }
}

impl<P: Platform> Transactions for Journaled<P> {
    fn end(&self, number: u64) {
        assert_eq!(number, 7);
        self.note(Event::End);
    }
}

impl<P: Platform> Inode<P> for Journaled<P> {
    fn platform(&self) -> &P {
        &self.platform
    }
    fn ino(&self) -> u64 {
        12
    }
    fn kind(&self) -> FileKind {
        FileKind::File
    }
    fn mapping(&self) -> &Mapping<P> {
        &self.mapping
    }

    fn look_up(&self, _: Held<'_>, page: u64, most: u64) -> Result<Extent> {
        let pages = self.pages.lock().expect("the pages");
        let (first, offset) = (pages[page as usize], page * BLOCK);
        let goes_on = |nth: &u64| pages.get((page + nth) as usize) == Some(&first.after(nth * BLOCK));
        let len = (0..most).take_while(goes_on).count() as u64 * BLOCK;
        Ok(Extent { offset, len, backing: first })
    }

    fn look_up_for_write(
        &self,
        _: AllocOk<'_>,
        transaction: &Transaction<'_>,
        page: u64,
        count: u64,
    ) -> Result<Backing> {
        let mut pages = self.pages.lock().expect("the pages");
        let here = page as usize..(page + count) as usize;
        if pages[page as usize].is_mapped() {
            return Ok(pages[page as usize]);
        }
        if count == LARGE_PAGES && pages[here.clone()].iter().any(|backing| backing.is_mapped()) {
            return Ok(Backing::HOLE);
        }
        assert_eq!(transaction.number(), Some(7), "without a transaction");
        self.platform.pmem().zero_nt(page * BLOCK, count * BLOCK);
        self.platform.pmem().fence();
        let places = (page..page + count).map(|page| Backing::mapped(page * BLOCK).dirty());
        pages.splice(here, places);
        self.note(Event::Fill(page, count));
        Ok(Backing::mapped(page * BLOCK).dirty().new())
    }

    fn begin<'a>(&'a self, _: Held<'a>, _: u64, pages: u64) -> Result<Transaction<'a>> {
        self.note(Event::Begin(pages));
        Ok(Transaction::new(self, 7))
    }

    fn start_write_fault(&self) -> Result<Thawed<'_, P>> {
        Ok(Thawed::always())
    }

    fn commit(&self, range: Range<u64>, datasync: bool) -> Result<()> {
        if self.given_up.load(SeqCst) {
            return Err(Errno::ReadOnly.into());
        }
        self.note(Event::Commit(range, datasync));
        for backing in self.pages.lock().expect("the pages").iter_mut() {
            if let State::Mapped(place) = backing.state() {
                *backing = Backing::mapped(place);
            }
        }
        Ok(())
    }

    fn expect_mappable(&self) -> Result<()> {
        Ok(())
    }

    fn attr(&self) -> Attr {
        let now = Timestamp::default();
        Attr {
            ino: self.ino(),
            kind: self.kind(),
            mode: 0o644,
            links: 1,
            uid: 0,
            gid: 0,
            size: self.mapping.size(),
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: None,
            device: Device::default(),
        }
    }

    fn read_to(&self, _: u64, _: usize, _: &mut dyn ReadTo<P>) -> Result<usize> {
        self.no()
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<usize> {
        self.no()
    }
    fn truncate(&self, _: u64) -> Result<()> {
        self.no()
    }
    fn fallocate(&self, _: Fallocate, _: u64, _: u64) -> Result<()> {
        self.no()
    }
    fn seek(&self, _: u64, _: Seek) -> Result<u64> {
        self.no()
    }
    fn extents(&self, _: u64, _: &mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()> {
        self.no()
    }
}
