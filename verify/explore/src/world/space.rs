//! Address spaces: the crate `vm`, with an area for each way to see the file; and what an access does that
//! finds no translation.

use super::{BESIDE, WORD, image};
use crate::hw::memory::BASE;
use crate::hw::tables::{COPIES, REGION, access};
use crate::hw::{Machine, Says, SpaceHardware};
use crate::model::Seen;
use crate::sched::Cpu;
use fs::PAGE_SIZE;
use fs::lab::schedule::{Effect, Range, Uses, World};
use fs::platform::PageSize;
use fs::pmem::Pmem;
use fs::vfs::InodeRef;
use paging::FaultCode;
use std::sync::Arc;
use vm::{AddressSpace, Advice, MapRequest, Placement, Refusal, Rights, VmaKind};

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
    /// Returns the shared area that a part of a world uses.
    pub(crate) const fn shared(small: bool) -> Self {
        if small { Self::Small } else { Self::Shared }
    }

    /// Returns its first address.
    pub(crate) fn start(self) -> u64 {
        (self as u64 + 1) * REGION
    }

    /// Where a CPU moves it.
    fn elsewhere(self, cpu: Cpu) -> u64 {
        self.start() + (cpu as u64 + 1) * PLACES * REGION
    }
}

/// Regions from one place of all areas to the next.
const PLACES: u64 = 8;

/// An address space.
pub(crate) struct Space {
    pub(crate) space: AddressSpace<Machine>,
    machine: Machine,
    range: Range,
    kind: VmaKind,
}

/// What an access does with the translation it has.
#[derive(Clone, Copy)]
enum What {
    Load(u64),
    Store(u64),
}

/// Tells the machine what the address spaces of a world will use.
pub(crate) fn expect(machine: &Machine, world: &World) {
    let is_used = |which: &Which| world.parts.iter().any(|part| uses(world, part.space, *which));
    let moves = |cpu: &usize| world.parts[*cpu].ops.iter().any(|op| op.effect() == Effect::Move);
    let mut regions = Vec::new();
    for which in ALL.into_iter().filter(is_used) {
        regions.push(which.start());
        regions.extend((0..world.parts.len()).filter(moves).map(|cpu| which.elsewhere(cpu)));
    }
    machine.kit.hw.expect(world.range.word_page(), regions, world.has(Effect::Close));
}

/// Returns whether address space `number` has that area.
pub(crate) fn uses(world: &World, number: u8, which: Which) -> bool {
    let mut parts = world.parts.iter().filter(|part| part.space == number);
    parts.any(|part| match which {
        Which::Shared => !part.small,
        Which::Small => part.small,
        Which::Private => part.ops.iter().any(|op| op.about().uses == Uses::Private),
    })
}

impl Space {
    /// Makes an address space with the areas that the world's parts use.
    pub(crate) fn new(machine: &Machine, number: u8, world: &World, file: &InodeRef<Machine>) -> Self {
        let hardware = SpaceHardware::new(&machine.kit.hw, number.into());
        let kind = VmaKind::shared(Rights::READ_WRITE, world.protocol);
        let space = AddressSpace::new(hardware).expect("frames are not short");
        let space = Self { space, machine: machine.clone(), range: world.range, kind };
        for which in ALL.into_iter().filter(|&which| uses(world, number, which)) {
            space.map(which, file).expect("there is room");
        }
        space
    }

    /// Returns its number.
    pub(crate) fn number(&self) -> usize {
        self.space.page_tables().machine().number()
    }

    /// Returns its name.
    pub(crate) fn letter(&self) -> char {
        // Children come after as many spaces as there are CPUs.
        char::from(b'a' + self.number() as u8)
    }

    /// Bytes of an area.
    fn len(&self) -> u64 {
        image::file_size(self.range)
    }

    /// Maps the whole file, over whatever is there.
    pub(crate) fn map(&self, which: Which, file: &InodeRef<Machine>) -> fs::Result<u64> {
        let large = self.range == Range::Pmd && which != Which::Small;
        let kind = VmaKind { large, private: which == Which::Private, ..self.kind };
        let (name, at, len) = (Arc::from("f"), Placement::Exactly(which.start()), self.len());
        self.space.map(&MapRequest { file, name: &name, offset: 0, len, at, kind, populate: false })
    }

    fn address(&self, which: Which) -> u64 {
        which.start() + self.range.word_page() * PAGE_SIZE
    }

    /// Loads the word.
    pub(crate) fn load(&self, small: bool) -> Result<u64, Seen> {
        self.access(Which::shared(small), What::Load(WORD))
    }

    /// Stores to the word.
    pub(crate) fn store(&self, small: bool, value: u64) -> Result<(), Seen> {
        self.access(Which::shared(small), What::Store(value)).map(|_| ())
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
            let served = access(self.space.page_tables(), va, write, |says| self.touch(says, what));
            if let Some(result) = served {
                return result;
            }
            let fault = self.space.fault(va, if write { FaultCode::STORE } else { FaultCode::LOAD });
            fault.map_err(|refusal| match refusal {
                Refusal::NoVma | Refusal::NoRight(_) => Seen::Segv,
                Refusal::File(fs::Error::Op(fs::Errno::BeyondEnd) | fs::Error::Poisoned(_)) => Seen::Bus,
                Refusal::File(other) => Seen::Error(other.to_string()),
            })?;
        }
        Err(Seen::Error("faults again and again".into()))
    }

    /// Loads from, or stores to, the frame.
    fn touch(&self, says: Says, what: What) -> Result<u64, Seen> {
        let memory = &self.machine.ram;
        let hw = &self.machine.kit.hw;
        let word = |at| usize::from(at == BESIDE);
        match (what, says.frame) {
            (What::Load(_), ..BASE) => Ok(0),
            (What::Store(_), ..BASE) => {
                crate::sched::engine::fail(|| "a store went to the zero page".into());
                Ok(0)
            }
            (What::Load(at), COPIES..) => Ok(hw.copied(says.frame, word(at))),
            (What::Store(value), COPIES..) => {
                hw.store_copied(says.frame, 0, value);
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

    /// Loads both words, through the private area.
    pub(crate) fn load_private(&self) -> Seen {
        let own = self.access(Which::Private, What::Load(WORD));
        own.and_then(|own| {
            Ok(Seen::Private { own, beside: self.access(Which::Private, What::Load(BESIDE))? })
        })
        .unwrap_or_else(|seen| seen)
    }

    /// Returns whether it has such an area.
    pub(crate) fn has(&self, which: Which) -> bool {
        self.space.vmas().iter().any(|vma| vma.start == which.start())
    }

    /// Takes an area away.
    pub(crate) fn unmap(&self, which: Which) -> fs::Result<()> {
        self.space.munmap(which.start(), self.len())
    }

    /// Takes the right to store away.
    pub(crate) fn protect(&self, which: Which) -> fs::Result<()> {
        let rights = Rights { write: false, ..Rights::READ_WRITE };
        self.space.mprotect(which.start(), self.len(), rights)
    }

    /// Moves an area to the CPU's own place for it, and back.
    pub(crate) fn move_and_back(&self, which: Which, cpu: Cpu) -> fs::Result<()> {
        let (here, there, len) = (which.start(), which.elsewhere(cpu), self.len());
        self.space.mremap(here, len, len, true, Some(there))?;
        self.space.mremap(there, len, len, true, Some(here)).map(|_| ())
    }

    /// Has what is mapped in an area forgotten.
    pub(crate) fn forget(&self, which: Which) -> fs::Result<()> {
        self.space.madvise(which.start(), self.len(), Advice::DontNeed)
    }

    /// Copies it, as fork(2): what is shared with the file faults in again.
    pub(crate) fn fork(&self) -> fs::Result<Self> {
        let Self { machine, range, kind, .. } = self;
        Ok(Self { space: self.space.fork()?, machine: machine.clone(), range: *range, kind: *kind })
    }

    /// Takes every area away.
    pub(crate) fn unmap_all(&self) {
        for area in self.space.vmas() {
            self.space.munmap(area.start, area.len).expect("an area");
        }
    }

    /// Returns the page of the file that `va` shows, if that is not a copy's.
    pub(crate) fn page_at(&self, va: u64) -> Option<u64> {
        (va % REGION < self.len()).then_some(va % REGION / PAGE_SIZE)
    }

    /// Returns what serves the word's page in an area now, and the size of its entry.
    pub(crate) fn peek(&self, which: Which) -> Option<(Says, PageSize)> {
        self.machine.kit.hw.peek(self.number(), self.address(which))
    }

    /// Lists all entries: address, what it says, size.
    pub(crate) fn entries(&self) -> Vec<(u64, Says, PageSize)> {
        self.machine.kit.hw.all(self.number())
    }
}
