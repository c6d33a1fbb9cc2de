//! Page tables in a map, without TLBs.

use crate::PAGE_SIZE;
use crate::platform::{Mapped, NoFrames, PageSize, PageTables};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The frame number under which the zero page shows up in [`Tables`].
pub const ZERO_FRAME: u64 = 0;

/// The frame number under which the zero page of 2 MiB shows up.
pub const LARGE_ZERO_FRAME: u64 = 2 << 20;

/// Copies have frames from here on.
pub const COPIES: u64 = 1 << 60;

/// One page's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Physical address, or [`ZERO_FRAME`], or a copy's number above [`COPIES`].
    pub frame: u64,
    /// Stores go through.
    pub writable: bool,
}

/// Is called with what is asked of page tables, before it is done.
type EntryWatch = Box<dyn Fn(String) + Send + Sync>;

/// An address space's page tables: two maps from address to entry. There are no TLBs.
#[derive(Default)]
pub struct Tables {
    small: spin::Mutex<BTreeMap<u64, Entry>>,
    large: spin::Mutex<BTreeMap<u64, Entry>>,
    copies: AtomicU64,
    watch: Option<EntryWatch>,
}

const LARGE: u64 = PageSize::Large.bytes();

impl Tables {
    /// Returns page tables without an entry; `watch` is called with each change that is asked for.
    pub fn watched(watch: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self { watch: Some(Box::new(watch)), ..Self::default() }
    }

    fn tell(&self, what: core::fmt::Arguments<'_>) {
        if let Some(watch) = &self.watch {
            watch(alloc::format!("{what}"));
        }
    }

    /// Returns the entry that serves the page at `va`, as if it were a small one.
    pub fn entry(&self, va: u64) -> Option<Entry> {
        if let Some(entry) = self.large_entry(va) {
            return Some(Entry { frame: entry.frame + va % LARGE, ..entry });
        }
        self.small.lock().get(&va).copied()
    }

    /// Returns the large entry that serves `va`.
    pub fn large_entry(&self, va: u64) -> Option<Entry> {
        self.large.lock().get(&(va & !(LARGE - 1))).copied()
    }

    /// Returns how many entries there are, of both sizes.
    pub fn count(&self) -> usize {
        self.small.lock().len() + self.large.lock().len()
    }

    fn install(map: &mut BTreeMap<u64, Entry>, va: u64, new: Entry) -> Mapped {
        let answer = match map.get(&va).copied() {
            None => Mapped::New,
            Some(old) if old.frame != new.frame => Mapped::Replaced,
            Some(old) if new.writable && !old.writable => Mapped::Upgraded,
            Some(_) => return Mapped::Already,
        };
        map.insert(va, new);
        answer
    }
}

impl PageTables for Tables {
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        self.tell(format_args!("map {va:x} to {frame:x}, {size:?}, {writable}"));
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let new = Entry { frame, writable };
        match size {
            PageSize::Large if small.range(va..va + LARGE).next().is_some() => Ok(Mapped::Table),
            PageSize::Large => Ok(Self::install(&mut large, va, new)),
            PageSize::Small => {
                let start = va & !(LARGE - 1);
                let Some(around) = large.get(&start).copied() else {
                    return Ok(Self::install(&mut small, va, new));
                };
                let same = around.frame + (va - start) == frame;
                if same && (around.writable || !writable) {
                    return Ok(Mapped::Already);
                }
                large.remove(&start);
                if same {
                    // Split: the others keep what they had.
                    let part = |at| Entry { frame: around.frame + at, writable: false };
                    small.extend((0..LARGE).step_by(PAGE_SIZE as usize).map(|at| (start + at, part(at))));
                }
                small.insert(va, new);
                Ok(if same { Mapped::Upgraded } else { Mapped::Replaced })
            }
        }
    }

    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        self.tell(format_args!("map {va:x} to zeros, {size:?}"));
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let (frame, start) =
            (if size == PageSize::Small { ZERO_FRAME } else { LARGE_ZERO_FRAME }, va & !(LARGE - 1));
        let taken = match size {
            PageSize::Small => small.contains_key(&va) || large.contains_key(&start),
            PageSize::Large if small.range(va..va + LARGE).next().is_some() => return Ok(Mapped::Table),
            PageSize::Large => large.contains_key(&va),
        };
        if taken {
            return Ok(Mapped::Already);
        }
        let map = if size == PageSize::Small { &mut small } else { &mut large };
        map.insert(va, Entry { frame, writable: false });
        Ok(Mapped::New)
    }

    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        self.tell(format_args!("map {va:x} to a copy of {from:x?}"));
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let around = large.remove(&(va & !(LARGE - 1)));
        let frame = COPIES + self.copies.fetch_add(PAGE_SIZE, SeqCst);
        match small.get(&va) {
            Some(old) if old.frame >= COPIES => Ok(Mapped::Already),
            old => {
                let answer = if old.is_some() || around.is_some() { Mapped::Replaced } else { Mapped::New };
                small.insert(va, Entry { frame, writable: true });
                Ok(answer)
            }
        }
    }

    fn has_small(&self, va: u64) -> bool {
        self.small.lock().range(va..va + LARGE).next().is_some()
    }

    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        self.tell(format_args!("unmap {va:x}, {pages}, {copies}"));
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let before = small.len() + large.len();
        let end = va + pages * PAGE_SIZE;
        small.retain(|&at, entry| !(va..end).contains(&at) || entry.frame >= COPIES && !copies);
        large.retain(|&at, _| at + LARGE <= va || at >= end);
        (before - small.len() - large.len()) as u64
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        self.tell(format_args!("protect {va:x}, {pages}"));
        let (mut small, mut large) = (self.small.lock(), self.large.lock());
        let end = va + pages * PAGE_SIZE;
        let small = small.range_mut(va..end).filter(|(_, entry)| entry.writable && entry.frame < COPIES);
        let large = large.range_mut(va & !(LARGE - 1)..end).filter(|(_, entry)| entry.writable);
        small.chain(large).map(|(_, entry)| entry.writable = false).count() as u64
    }
}
