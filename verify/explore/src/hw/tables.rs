//! TLBs, accesses through them and the page tables, and the machine that the crates `paging` and `vm` run on.
//!
//! # The rules, and where they are from
//! - A CPU may have in its TLB what a page table has said at any time since it last invalidated the address,
//!   whether it accessed it or not (Intel SDM volume 3, 4.10.2.3: speculative accesses; 4.10.3.1). So an
//!   entry that is taken out or weakened stays behind as *stale* in every CPU that runs the address space,
//!   until that CPU invalidates it.
//! - An access takes its translation and then the bytes; others may act in between. A CPU invalidates between
//!   its instructions, never inside one (4.10.4, the interrupt that asks for it is taken at an instruction's
//!   boundary).
//! - A page fault invalidates the address that faulted (4.10.4.1).
//! - A walk of the tables is one step: a CPU that has a table's address from before another one was put in
//!   its place is not simulated. Tables are taken out only while no fault works in the address space.
//!
//! Not simulated: a stale entry that allows less than the table does (it costs a fault that changes nothing);
//! accessed and dirty bits; CPUs that do not answer (docs/laws.md, law 7); want of memory.

use super::frames::{self, TableWord};
use super::local::Local;
use super::locks;
use super::memory::{BASE, Memory};
use crate::sched::engine::{self, Need, current, is_running, visible};
use crate::sched::touch::{SharedPlace, Touch};
use crate::sched::{CPUS, Cpu};
use fs::PAGE_SIZE;
use fs::lab::{Lab, Mutant};
use fs::platform::PageSize;
use fs::pmem::Pmem;
use paging::task::TableMistake;
use paging::{PageTable, TaskMachine, TaskTables};
use std::collections::BTreeMap;
use std::sync::Arc;
use vm::{SpaceMachine, SpaceTables};

const LARGE: u64 = PageSize::Large.bytes();

/// The frame of the zero page of 4 KiB; that of 2 MiB is [`LARGE_ZERO`].
pub const ZERO: u64 = 0;
/// The frame of the zero page of 2 MiB.
pub const LARGE_ZERO: u64 = LARGE;
/// Frames of copies begin here.
pub const COPIES: u64 = 1 << 50;

/// Where in a page the words are that a copy keeps: the one that operations are about, and one beside it.
pub const WORDS: [u64; 2] = [512, 1024];

/// What is in a frame that somebody else has by now.
const SOMEBODY_ELSES: u64 = 0xdead;

/// Areas begin at multiples of this, so that each has a page directory of its own.
pub const REGION: u64 = 1 << 30;

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Says {
    /// Physical address of the page.
    pub frame: u64,
    /// Stores go through.
    pub writable: bool,
}

impl Says {
    /// Returns whether it leads neither to a zero page nor to a copy.
    pub fn leads_to_a_block(&self) -> bool {
        (BASE..COPIES).contains(&self.frame)
    }

    /// Returns whether it leads to a zero page, of either size.
    pub fn is_zero(&self) -> bool {
        self.frame < BASE
    }

    /// Returns whether it leads to a private copy.
    pub fn is_copy(&self) -> bool {
        self.frame >= COPIES
    }

    pub(super) fn block(&self) -> Option<SharedPlace> {
        self.leads_to_a_block().then(|| SharedPlace::block((self.frame - BASE) / PAGE_SIZE))
    }

    /// The page at so many bytes of what it leads to.
    fn part(&self, within: u64) -> Self {
        Self { frame: self.frame + within / PAGE_SIZE * PAGE_SIZE, ..*self }
    }
}

/// What a CPU may still have in its TLB though no table says so any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stale {
    space: usize,
    va: u64,
    size: PageSize,
    says: Says,
}

impl Stale {
    fn overlaps(&self, space: usize, start: u64, end: u64) -> bool {
        self.space == space && self.va < end && self.va + self.size.bytes() > start
    }
}

/// What all address spaces of a machine share.
pub struct Hardware {
    lab: Arc<Lab>,
    memory: Arc<Memory>,
    state: Local<TablesState>,
    /// By its address: a CPU is inside an instruction.
    inside: [u8; CPUS],
}

#[derive(Default)]
struct TablesState {
    /// The address space that each CPU runs.
    runs: [Option<usize>; CPUS],
    tlbs: [Vec<Stale>; CPUS],
    copies: BTreeMap<u64, Copy>,
    next_copy: [u64; CPUS],
    next_space: [usize; CPUS],
    /// All leaves that CPUs get to, by address space, address and size; kept up with what the tables' words
    /// say.
    leaves: BTreeMap<(usize, u64, PageSize), Says>,
    /// Of what will be used: the page that accesses are about, counted from the beginning of its region, and
    /// the regions.
    page: u64,
    regions: Vec<u64>,
    /// Whether handles of a file are counted.
    handles: bool,
}

/// A private copy: its bytes that matter, and how many address spaces have it.
struct Copy {
    words: [u64; 2],
    sharers: u32,
}

impl Hardware {
    /// Makes a machine whose CPUs run no address space yet.
    pub fn new(lab: Arc<Lab>, memory: Arc<Memory>) -> Arc<Self> {
        Arc::new(Self { lab, memory, state: Local::new(TablesState::default()), inside: [0; CPUS] })
    }

    /// Sets what there will be: accesses to that page of each region; and whether it matters who lets a file
    /// go last.
    pub(crate) fn expect(&self, page: u64, regions: Vec<u64>, handles: bool) {
        let mut state = self.state.get();
        (state.page, state.regions, state.handles) = (page, regions, handles);
    }

    /// Returns whether accesses go by the entry of that level for `va`.
    pub(super) fn is_hot(&self, va: u64, level: u32) -> bool {
        let page = self.state.get().page * PAGE_SIZE;
        let within = va % REGION;
        within == if level == 1 { page } else { page & !(LARGE - 1) }
    }

    /// Sets the address space that `cpu` runs from now on.
    pub(crate) fn run_in(&self, cpu: Cpu, space: usize) {
        self.state.get().runs[cpu] = Some(space);
    }

    pub(crate) fn inside(&self, cpu: Cpu) -> usize {
        std::ptr::from_ref(&self.inside[cpu]).addr()
    }

    /// CPUs that run the address space, as far as shootdowns are concerned.
    fn runners(&self, space: usize) -> impl Iterator<Item = Cpu> + use<> {
        let runs = self.state.get().runs;
        (0..CPUS).filter(move |&cpu| runs[cpu] == Some(space))
    }

    pub(super) fn says(&self, space: usize, va: u64, size: PageSize, says: Says) {
        self.state.get().leaves.insert((space, va, size), says);
    }

    pub(super) fn says_no_more(&self, space: usize, va: u64, size: PageSize) {
        self.state.get().leaves.remove(&(space, va, size));
    }

    /// Leaves what was there behind in TLBs, unless what is there now is as good.
    pub(super) fn left_behind(&self, space: usize, va: u64, size: PageSize, says: Says) {
        if !is_running() {
            return;
        }
        let now = self.state.get().leaves.get(&(space, va, size)).copied();
        if now.is_some_and(|now| now.frame == says.frame && (now.writable || !says.writable)) {
            return;
        }
        let runners = self.runners(space);
        let mut state = self.state.get();
        for cpu in runners {
            let stale = Stale { space, va, size, says };
            if !state.tlbs[cpu].contains(&stale) {
                state.tlbs[cpu].push(stale);
            }
        }
    }

    /// Returns what serves `va` in an address space, and the size of its entry, without a step.
    pub(crate) fn peek(&self, space: usize, va: u64) -> Option<(Says, PageSize)> {
        let state = self.state.get();
        let (large, small) = (va & !(LARGE - 1), va & !(PAGE_SIZE - 1));
        let found = state.leaves.get(&(space, large, PageSize::Large));
        let found = found.map(|says| (says.part(small - large), PageSize::Large));
        found.or_else(|| {
            state.leaves.get(&(space, small, PageSize::Small)).map(|&says| (says, PageSize::Small))
        })
    }

    /// Lists every leaf of an address space in the regions that are used, without a step.
    pub(crate) fn all(&self, space: usize) -> Vec<(u64, Says, PageSize)> {
        let state = self.state.get();
        let of_space = state.leaves.range((space, 0, PageSize::Small)..(space + 1, 0, PageSize::Small));
        let used = of_space.filter(|((_, va, _), _)| va % REGION != PREPARED);
        used.map(|(&(_, va, size), &says)| (va, says, size)).collect()
    }

    /// Returns the words of a copy.
    pub(crate) fn copied(&self, frame: u64, word: usize) -> u64 {
        visible(Touch::One(SharedPlace::copied(frame), false), Need::Nothing, 1, "loads from a copy");
        match self.state.get().copies.get(&frame) {
            Some(copy) => copy.words[word],
            None => {
                engine::fail(|| "a load from a copy that is freed".into());
                0
            }
        }
    }

    /// Stores to a word of a copy.
    pub(crate) fn store_copied(&self, frame: u64, word: usize, value: u64) {
        visible(Touch::One(SharedPlace::copied(frame), true), Need::Nothing, 1, "stores to a copy");
        match self.state.get().copies.get_mut(&frame) {
            Some(copy) => copy.words[word] = value,
            None => engine::fail(|| "a store to a copy that is freed".into()),
        }
    }

    /// Lists every stale translation that a TLB may still serve: the CPU, the address space, what it says and
    /// its size.
    pub(crate) fn stale(&self) -> Vec<(Cpu, usize, Says, PageSize)> {
        let state = self.state.get();
        let mut all = Vec::new();
        for (cpu, tlb) in state.tlbs.iter().enumerate() {
            all.extend(
                tlb.iter()
                    .filter(|stale| !state.still(stale))
                    .map(|stale| (cpu, stale.space, stale.says, stale.size)),
            );
        }
        all
    }
}

impl TablesState {
    /// Whether the tables say the same again, by whatever entries: a large one that was split.
    fn still(&self, stale: &Stale) -> bool {
        let says = |va, size, says: Says| {
            let now = self.leaves.get(&(stale.space, va, size));
            now.is_some_and(|now| now.frame == says.frame && (now.writable || !says.writable))
        };
        says(stale.va, stale.size, stale.says)
            || stale.size == PageSize::Large
                && (0..LARGE)
                    .step_by(PAGE_SIZE as usize)
                    .all(|within| says(stale.va + within, PageSize::Small, stale.says.part(within)))
    }
}

/// Where in each region an entry is that keeps its page directory, and is nobody's business.
const PREPARED: u64 = REGION - LARGE;

/// The machine of one address space's page tables.
pub struct SpaceHardware {
    hw: Arc<Hardware>,
    number: usize,
    has_root: Local<bool>,
}

impl SpaceHardware {
    /// Makes that of address space `number`.
    pub(crate) fn new(hw: &Arc<Hardware>, number: usize) -> Self {
        Self { hw: hw.clone(), number, has_root: Local::new(false) }
    }

    /// Returns the number of the address space.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn invalidate_on(&self, cpu: Cpu, start: u64, end: u64) {
        let other = cpu != current();
        if other {
            engine::lock(self.hw.inside(cpu), false, "asks a CPU to invalidate");
        }
        let gone = |stale: &Stale| stale.overlaps(self.number, start, end);
        let tlb = (SharedPlace::tlb(cpu), true);
        let blocks: Vec<SharedPlace> = {
            let state = self.hw.state.get();
            let gone = state.tlbs[cpu].iter().filter(|stale| gone(stale));
            gone.filter_map(|stale| stale.says.block()).collect()
        };
        let touch = match blocks[..] {
            [] => Touch::One(tlb.0, tlb.1),
            [block] => Touch::Two([tlb, (block, false)]),
            [a, b, ..] => Touch::Three([tlb, (a, false), (b, false)]),
        };
        visible(touch, Need::Nothing, 1, "invalidates");
        self.hw.state.get().tlbs[cpu].retain(|stale| !gone(stale));
        if other {
            engine::unlock(self.hw.inside(cpu), false, "it has invalidated");
        }
    }

    fn counts(&self, frame: u64, change: bool, what: &'static str) {
        visible(Touch::One(SharedPlace::sharers(frame), change), Need::Nothing, 1, what);
    }
}

impl paging::TableMachine for SpaceHardware {
    type Word = TableWord;

    fn allocate_table(&self) -> Option<u64> {
        let is_root = !std::mem::replace(&mut *self.has_root.get(), true);
        Some(frames::allocate(&self.hw, self.number, is_root))
    }

    fn free_table(&self, frame: u64) {
        frames::free(frame);
    }

    fn table(&self, frame: u64) -> &PageTable<TableWord> {
        frames::table(frame)
    }

    fn invalidate(&self, start: u64, pages: u64) {
        if !is_running() || self.hw.lab.has(Mutant::NoShootdown) {
            return;
        }
        let end = start.saturating_add(pages.saturating_mul(PAGE_SIZE));
        for cpu in self.hw.runners(self.number) {
            self.invalidate_on(cpu, start, end);
        }
    }
}

impl TaskMachine for SpaceHardware {
    type Lock = locks::Mutex;

    fn new_copy(&self, from: Option<u64>) -> Option<u64> {
        let words = match from {
            None => [0; 2],
            Some(from) if from >= COPIES => {
                visible(Touch::One(SharedPlace::copied(from), false), Need::Nothing, 1, "copies a copy");
                // It may be gone: then so is the entry that led to it, and `paging` drops what was copied.
                self.hw.state.get().copies.get(&from).map_or([SOMEBODY_ELSES; 2], |copy| copy.words)
            }
            Some(from) => WORDS.map(|at| self.hw.memory.load_u64(from - BASE + at)),
        };
        let cpu = current();
        let mut state = self.hw.state.get();
        // Each CPU numbers its own: what the others do meanwhile changes nothing.
        let frame = COPIES + ((cpu as u64) << 40) + state.next_copy[cpu] * PAGE_SIZE;
        state.next_copy[cpu] += 1;
        state.copies.insert(frame, Copy { words, sharers: 1 });
        Some(frame)
    }

    fn share_copy(&self, frame: u64) {
        self.counts(frame, true, "shares a copy");
        let mut state = self.hw.state.get();
        state.copies.get_mut(&frame).expect("a copy that is shared is there").sharers += 1;
        let writable = state.leaves.values().any(|says| says.frame == frame && says.writable);
        drop(state);
        if writable {
            engine::fail(|| "a copy is shared that an address space can store to".into());
        }
    }

    fn is_shared(&self, frame: u64) -> bool {
        self.counts(frame, false, "asks whether a copy is shared");
        self.hw.state.get().copies.get(&frame).is_some_and(|copy| copy.sharers > 1)
    }

    fn release_copy(&self, frame: u64) {
        self.counts(frame, true, "lets a copy go");
        let mut state = self.hw.state.get();
        let copy = state.copies.get_mut(&frame).expect("a copy that is let go is there");
        copy.sharers -= 1;
        if copy.sharers > 0 {
            return;
        }
        state.copies.remove(&frame);
        let leads = state.leaves.values().any(|says| says.frame == frame);
        let stale = state.tlbs.iter().flatten().any(|stale| stale.says.frame == frame);
        drop(state);
        if leads || stale {
            engine::fail(|| "a copy is freed that a table or a TLB leads to".into());
        }
    }

    fn makes(&self, mistake: TableMistake) -> bool {
        self.hw.lab.has(vm::tables::mutant(mistake))
    }
}

impl SpaceMachine for SpaceHardware {
    fn another(&self) -> Self {
        let cpu = current();
        let mut state = self.hw.state.get();
        let number = CPUS * (1 + state.next_space[cpu]) + cpu;
        state.next_space[cpu] += 1;
        Self::new(&self.hw, number)
    }

    /// The way to each page directory that will be used is there from the beginning, and stays.
    fn prepare(&self, tables: &TaskTables<Self>) {
        let regions = self.hw.state.get().regions.clone();
        engine::unwatched(|| {
            for region in regions {
                tables.keep_large(region + PREPARED, LARGE_ZERO).expect("frames are not short");
            }
        });
    }

    fn zero_page(&self) -> u64 {
        ZERO
    }

    fn large_zero_page(&self) -> Option<u64> {
        Some(LARGE_ZERO)
    }

    fn lab(&self) -> &Lab {
        &self.hw.lab
    }

    fn let_go<T>(&self, vmas: T) {
        if self.hw.state.get().handles {
            visible(Touch::One(SharedPlace::handles(), true), Need::Nothing, 1, "a handle goes");
        }
        drop(vmas);
    }
}

/// Performs an access by the CPU that runs: its translation of `va`, from a table or a TLB, for as long as
/// `access` takes; `None` if there is none that allows it.
pub(crate) fn access<R>(
    tables: &SpaceTables<SpaceHardware>,
    va: u64,
    write: bool,
    access: impl FnOnce(Says) -> R,
) -> Option<R> {
    let (cpu, SpaceHardware { hw, number, .. }) = (current(), tables.machine());
    engine::lock(hw.inside(cpu), false, "an instruction begins");
    let entries = [2, 1].map(|level| (SharedPlace::entry(*number, level, va), false));
    let walked = Touch::Three([entries[0], entries[1], (SharedPlace::tlb(cpu), false)]);
    visible(walked, Need::Nothing, 1, "walks the tables");
    let now = engine::unwatched(|| tables.tables().leaf(va)).map(|(entry, size)| {
        Says { frame: entry.address(), writable: entry.is_writable() }.part(va & (size.bytes() - 1))
    });
    let allows = |says: &Says| !write || says.writable;
    let mut found: Vec<Says> = now.into_iter().filter(allows).collect();
    for stale in &hw.state.get().tlbs[cpu] {
        let within = va.wrapping_sub(stale.va);
        if stale.space == *number && within < stale.size.bytes() {
            let says = stale.says.part(within);
            if allows(&says) && !found.contains(&says) {
                found.push(says);
            }
        }
    }
    // Where a TLB alone would do, it may have forgotten: then it is a fault.
    let ways = found.len() + usize::from(!now.is_some_and(|says| allows(&says)));
    let way = match ways {
        1 => 0,
        _ => visible(Touch::Nothing, Need::Nothing, ways as u8, "takes a translation"),
    };
    let result = found.get(usize::from(way)).copied().map(access);
    if result.is_none() {
        // The fault forgets the address.
        let page = va & !(PAGE_SIZE - 1);
        hw.state.get().tlbs[cpu].retain(|stale| !stale.overlaps(*number, page, page + PAGE_SIZE));
    }
    engine::unlock(hw.inside(cpu), false, "the instruction ends");
    result
}
