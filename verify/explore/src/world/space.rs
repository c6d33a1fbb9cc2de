//! Address spaces: areas, and what an access does that finds no translation.
//!
//! The part of the kernel's `mm::aspace` that meets the storage code, with the same locks in the same order: areas shared for a
//! fault, alone for whatever changes them; a file knows of an area before the first fault in it, and until nothing is mapped.

use super::{BESIDE, WORD, image, ops};
use crate::hw::memory::BASE;
use crate::hw::tables::{COPIES, LARGE_ZERO, ZERO};
use crate::hw::{Entry, Machine, Tables, locks};
use crate::model::Seen;
use fs::PAGE_SIZE;
use fs::dax::{self, Fault, Protocol, fault};
use fs::lab::schedule::{Range, Uses, World};
use fs::platform::{PageSize, PageTables};
use fs::pmem::Pmem;
use fs::vfs::InodeRef;
use lock_api::RwLock;
use std::sync::Arc;

/// Which area of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The file, with 2 MiB pages where they fit.
    Shared,
    /// The file, by 4 KiB alone.
    Small,
    /// Copies.
    Private,
}

/// All areas, each at an address of its own.
pub(crate) const ALL: [Which; 3] = [Which::Shared, Which::Small, Which::Private];

impl Which {
    /// Its first address: a multiple of 2 MiB.
    pub(crate) fn start(self) -> u64 {
        (self as u64 + 1) << 30
    }
}

struct Area {
    which: Which,
    writable: bool,
    file: InodeRef<Machine>,
}

/// An address space.
pub(crate) struct Space {
    pub(crate) number: usize,
    pub(crate) tables: Arc<Tables>,
    machine: Machine,
    areas: RwLock<locks::RwLock, Vec<Area>>,
    world: World,
    protocol: Protocol,
    pages: u64,
    word_page: u64,
    large: bool,
}

/// What an access does with the entry it has.
#[derive(Clone, Copy)]
enum What {
    Load(u64),
    Store(u64),
}

impl Space {
    /// An address space with the areas that the world's parts use.
    pub(crate) fn new(machine: &Machine, number: usize, world: &World, file: &InodeRef<Machine>) -> Self {
        let space = Self {
            number,
            tables: Arc::new(Tables::new(machine.hw.clone(), number)),
            machine: machine.clone(),
            areas: RwLock::new(Vec::new()),
            world: world.clone(),
            protocol: world.protocol,
            pages: image::file_size(world.range) / PAGE_SIZE,
            word_page: world.range.word_page(),
            large: world.range == Range::Pmd,
        };
        let parts = || world.parts.iter().filter(|part| usize::from(part.space) == number);
        let uses = [
            parts().any(|part| !part.small),
            parts().any(|part| part.small),
            parts().any(|part| part.ops.iter().any(|op| op.about().uses == Uses::Private)),
        ];
        for (which, _) in ALL.into_iter().zip(uses).filter(|(_, used)| *used) {
            space.map(which, file);
        }
        space
    }

    /// Where the lock of its areas lies.
    pub(crate) fn areas_lie(&self) -> std::ops::Range<usize> {
        let start = std::ptr::from_ref(&self.areas).addr();
        start..start + size_of_val(&self.areas)
    }

    fn map(&self, which: Which, file: &InodeRef<Machine>) {
        let mut areas = self.areas.write();
        file.mapping().attach(self.tables.clone(), which.start(), 0..self.pages);
        areas.push(Area { which, writable: true, file: file.clone() });
    }

    fn address(&self, which: Which) -> u64 {
        which.start() + self.word_page * PAGE_SIZE
    }

    /// Loads the word.
    pub(crate) fn load(&self, small: bool) -> Result<u64, Seen> {
        self.access(area(small), What::Load(WORD))
    }

    /// Stores to the word.
    pub(crate) fn store(&self, small: bool, value: u64) -> Result<(), Seen> {
        self.access(area(small), What::Store(value)).map(|_| ())
    }

    /// Stores to the private area's word; what it and the word beside it are afterwards.
    pub(crate) fn store_private(&self, value: u64) -> Seen {
        match self.access(Which::Private, What::Store(value)) {
            Ok(_) => self.load_private(),
            Err(seen) => seen,
        }
    }

    fn access(&self, which: Which, what: What) -> Result<u64, Seen> {
        let va = self.address(which);
        let write = matches!(what, What::Store(_));
        for _ in 0..100 {
            let served = self.tables.access(va, write, |entry| self.touch(entry, what));
            if let Some(result) = served {
                return result;
            }
            let areas = self.areas.read();
            let area = areas.iter().find(|area| area.which == which).ok_or(Seen::Segv)?;
            if write && !area.writable {
                return Err(Seen::Segv);
            }
            let large = self.large && which != Which::Small;
            let (start, private) = (which.start(), which == Which::Private);
            let end = start + self.pages * PAGE_SIZE;
            let extent = dax::Area { start, end, private, large, sync: false };
            let request = Fault { va, page: self.word_page, write, area: extent };
            fault(self.protocol, &*area.file, &self.tables, request).map_err(|error| match error {
                fs::Error::Op(fs::Errno::BeyondEnd) | fs::Error::Poisoned(_) => Seen::Bus,
                other => Seen::Error(other.to_string()),
            })?;
        }
        Err(Seen::Error("faults again and again".into()))
    }

    /// Loads from, or stores to, the frame.
    fn touch(&self, entry: Entry, what: What) -> Result<u64, Seen> {
        let memory = &self.machine.memory;
        let hw = &self.machine.hw;
        let word = |at| usize::from(at == BESIDE);
        match (what, entry.frame) {
            (What::Load(_), ZERO) => Ok(0),
            (What::Load(_), LARGE_ZERO..BASE) => Ok(0),
            (What::Store(_), ..BASE) => {
                crate::sched::engine::fail(|| "a store went to the zero page".into());
                Ok(0)
            }
            (What::Load(at), COPIES..) => Ok(hw.copied(entry.frame)[word(at)]),
            (What::Store(value), COPIES..) => {
                hw.store_copied(entry.frame, 0, value);
                Ok(0)
            }
            (what, frame) => {
                let at = frame - BASE + if let What::Load(at) = what { at } else { WORD };
                if memory.poison.first_in(at, 8).is_some() {
                    return Err(Seen::Bus);
                }
                match what {
                    What::Load(_) => Ok(memory.load_u64(at)),
                    What::Store(value) => {
                        memory.store_u64(at, value);
                        Ok(0)
                    }
                }
            }
        }
    }

    /// Both words, through the private area.
    pub(crate) fn load_private(&self) -> Seen {
        let own = self.access(Which::Private, What::Load(WORD));
        own.and_then(|own| {
            Ok(Seen::Private { own, beside: self.access(Which::Private, What::Load(BESIDE))? })
        })
        .unwrap_or_else(|seen| seen)
    }

    /// Whether it has such an area.
    pub(crate) fn has(&self, which: Which) -> bool {
        self.areas.read().iter().any(|area| area.which == which)
    }

    /// Takes an area away, as munmap(2).
    pub(crate) fn unmap(&self, small: bool) {
        self.take_away(area(small));
    }

    fn take_away(&self, which: Which) {
        let mut areas = self.areas.write();
        if let Some(at) = areas.iter().position(|area| area.which == which) {
            self.tables.unmap(which.start(), self.pages, true);
            areas[at].file.mapping().detach(&self.tables, which.start(), []);
            ops::let_go(&self.world, areas.remove(at));
        }
    }

    /// Takes the right to store away, as mprotect(2).
    pub(crate) fn protect(&self, small: bool) -> Result<(), Seen> {
        let which = area(small);
        let mut areas = self.areas.write();
        let found = areas.iter_mut().find(|area| area.which == which).ok_or(Seen::Segv)?;
        found.writable = false;
        self.tables.write_protect(which.start(), self.pages);
        Ok(())
    }

    /// A copy of it, as fork(2): what is shared with the file faults in again.
    pub(crate) fn fork(&self, number: usize) -> Self {
        // Alone: no fault decides meanwhile that a copy is nobody else's.
        let areas = self.areas.write();
        let child = Self {
            number,
            tables: Arc::new(Tables::new(self.machine.hw.clone(), number)),
            machine: self.machine.clone(),
            areas: RwLock::new(Vec::new()),
            world: self.world.clone(),
            ..*self
        };
        for area in areas.iter() {
            let mut copies = child.areas.write();
            area.file.mapping().attach(child.tables.clone(), area.which.start(), 0..self.pages);
            copies.push(Area { which: area.which, writable: area.writable, file: area.file.clone() });
            if area.which == Which::Private {
                self.tables.share_copies(&child.tables, area.which.start(), self.pages);
            }
        }
        child
    }

    /// Takes every area away.
    pub(crate) fn unmap_all(&self) {
        ALL.into_iter().for_each(|which| self.take_away(which));
    }

    /// Its name.
    pub(crate) fn letter(&self) -> char {
        char::from(b'a' + self.number as u8)
    }

    /// The page of the file that `va` shows, if that is not a copy's.
    pub(crate) fn page_at(&self, va: u64) -> Option<u64> {
        let which = ALL.into_iter().find(|which| (which.start()..which.start() + (1 << 30)).contains(&va))?;
        Some((va - which.start()) / PAGE_SIZE)
    }

    /// Entries that lead to the file: address, entry, size.
    pub(crate) fn entries(&self) -> Vec<(u64, Entry, PageSize)> {
        self.tables.all()
    }
}

fn area(small: bool) -> Which {
    if small { Which::Small } else { Which::Shared }
}
