//! Page tables and TLBs.
//!
//! # The rules, and where they are from
//! - A CPU may have in its TLB what a page table has said at any time since it last invalidated the address, whether it
//!   accessed it or not (Intel SDM volume 3, 4.10.2.3: speculative accesses; 4.10.3.1). So an entry that is taken out or
//!   weakened stays behind as *stale* in every CPU that runs the address space, until that CPU invalidates it.
//! - An access takes its translation and then the bytes; others may act in between. A CPU invalidates between its
//!   instructions, never inside one (4.10.4, the interrupt that asks for it is taken at an instruction's boundary).
//! - A page fault invalidates the address that faulted (4.10.4.1).
//! - Tables change entry by entry, each in one step. What takes rights away holds the tables' *removal* lock until the
//!   shootdown is over (docs/decisions/0011).
//!
//! Not simulated: a stale entry that allows less than the table does (it costs a fault that changes nothing); accessed
//! and dirty bits; CPUs that do not answer (docs/laws.md, law 7).

use super::local::Local;
use super::memory::{BASE, Memory};
use crate::sched::engine::{self, Need, current, is_running, visible};
use crate::sched::touch::{Place, Touch};
use crate::sched::{CPUS, Cpu};
use fs::PAGE_SIZE;
use fs::lab::{Lab, Mutant};
use fs::platform::{LARGE_PAGES, Mapped, NoFrames, PageSize, PageTables};
use fs::pmem::Pmem;
use std::collections::BTreeMap;
use std::sync::Arc;

const LARGE: u64 = PageSize::Large.bytes();

/// The frame of the zero page of 4 KiB; that of 2 MiB is [`LARGE_ZERO`].
pub const ZERO: u64 = 0;
/// The frame of the zero page of 2 MiB.
pub const LARGE_ZERO: u64 = LARGE;
/// Frames of copies begin here.
pub const COPIES: u64 = 1 << 50;

/// Where in a page the words are that a copy keeps: the one that operations are about, and one beside it.
pub const WORDS: [u64; 2] = [512, 1024];

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Physical address of the page.
    pub frame: u64,
    /// Stores go through.
    pub writable: bool,
}

impl Entry {
    /// Not to a zero page, nor to a copy.
    pub fn leads_to_a_block(&self) -> bool {
        (BASE..COPIES).contains(&self.frame)
    }
}

/// What a CPU may still have in its TLB though no table says so any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    space: usize,
    va: u64,
    size: PageSize,
    entry: Entry,
}

/// What all address spaces of a machine share.
pub struct Hardware {
    lab: Arc<Lab>,
    memory: Arc<Memory>,
    state: Local<State>,
    /// By its address: a CPU is inside an instruction.
    inside: [u8; CPUS],
}

struct State {
    /// The address space that each CPU runs.
    runs: [usize; CPUS],
    tlbs: [Vec<Stale>; CPUS],
    /// The bytes of copies that matter.
    copies: BTreeMap<u64, [u64; 2]>,
    next_copy: u64,
}

/// The page tables of one address space.
pub struct Tables {
    hw: Arc<Hardware>,
    number: usize,
    entries: Local<Entries>,
    /// By its address: the removal lock.
    removal: u8,
}

#[derive(Clone, Default)]
struct Entries {
    small: BTreeMap<u64, Entry>,
    large: BTreeMap<u64, Entry>,
}

impl Entries {
    fn small_in(&self, start: u64) -> bool {
        self.small.range(start..start + LARGE).next().is_some()
    }

    /// What serves the page at `va`, as if it were a small entry.
    fn find(&self, va: u64) -> Option<(Entry, PageSize)> {
        let start = va & !(LARGE - 1);
        if let Some(large) = self.large.get(&start) {
            let frame = large.frame + (va - start) / PAGE_SIZE * PAGE_SIZE;
            return Some((Entry { frame, ..*large }, PageSize::Large));
        }
        self.small.get(&(va & !(PAGE_SIZE - 1))).map(|&entry| (entry, PageSize::Small))
    }
}

impl Hardware {
    /// A machine whose CPUs run no address space yet.
    pub fn new(lab: Arc<Lab>, memory: Arc<Memory>) -> Arc<Self> {
        let state = State {
            runs: [usize::MAX; CPUS],
            tlbs: Default::default(),
            copies: BTreeMap::new(),
            next_copy: COPIES,
        };
        Arc::new(Self { lab, memory, state: Local::new(state), inside: [0; CPUS] })
    }

    /// From now on `cpu` runs the address space.
    pub fn run_in(&self, cpu: Cpu, tables: &Tables) {
        self.state.get().runs[cpu] = tables.number;
    }

    pub(crate) fn inside(&self, cpu: Cpu) -> usize {
        std::ptr::from_ref(&self.inside[cpu]).addr()
    }

    /// CPUs that run the address space, as far as shootdowns are concerned.
    fn runners(&self, space: usize) -> impl Iterator<Item = Cpu> + use<> {
        let runs = self.state.get().runs;
        (0..CPUS).filter(move |&cpu| runs[cpu] == space)
    }

    /// The words of a copy.
    pub fn copied(&self, frame: u64) -> [u64; 2] {
        self.state.get().copies.get(&frame).copied().unwrap_or_default()
    }

    /// Stores to a word of a copy.
    pub fn store_copied(&self, frame: u64, word: usize, value: u64) {
        self.state.get().copies.entry(frame).or_default()[word] = value;
    }

    /// The two words of a frame that a copy of it keeps.
    fn words(&self, frame: Option<u64>) -> [u64; 2] {
        let Some(frame) = frame else { return [0; 2] };
        WORDS.map(|at| self.memory.load_u64(frame - BASE + at))
    }

    fn new_copy(&self, words: [u64; 2]) -> u64 {
        let mut state = self.state.get();
        let frame = state.next_copy;
        state.next_copy += PAGE_SIZE;
        state.copies.insert(frame, words);
        frame
    }

    /// Every stale translation that a TLB may still serve: the CPU, the address space, the frame and its size.
    pub fn stale(&self) -> Vec<(Cpu, usize, Entry, PageSize)> {
        let state = self.state.get();
        let each = state.tlbs.iter().enumerate();
        each.flat_map(|(cpu, tlb)| tlb.iter().map(move |stale| (cpu, stale.space, stale.entry, stale.size)))
            .collect()
    }
}

fn block_of(frame: u64) -> Option<Place> {
    (BASE..COPIES).contains(&frame).then(|| Place::block((frame - BASE) / PAGE_SIZE))
}

impl Tables {
    /// Empty tables of address space `number`.
    pub fn new(hw: Arc<Hardware>, number: usize) -> Self {
        Self { hw, number, entries: Local::new(Entries::default()), removal: 0 }
    }

    /// The address of the lock that taking entries, or rights, away holds.
    pub(crate) fn removal_lock(&self) -> usize {
        std::ptr::from_ref(&self.removal).addr()
    }

    /// The number of the address space.
    pub fn number(&self) -> usize {
        self.number
    }

    fn place(&self, va: u64) -> Place {
        Place::table(self.number, va / LARGE)
    }

    /// A step that looks at, or changes, the tables around `va`, where `frame` comes or goes.
    fn step(&self, va: u64, change: bool, frame: Option<u64>, what: &'static str) {
        if !is_running() {
            return;
        }
        let table = (self.place(va), change);
        let block = frame.and_then(block_of);
        let touch = match block {
            Some(block) => Touch::Two([table, (block, false)]),
            None => Touch::One(table.0, change),
        };
        visible(touch, Need::Nothing, 1, what);
    }

    /// What serves `va` now, without a step: for checks.
    pub fn peek(&self, va: u64) -> Option<(Entry, PageSize)> {
        self.entries.get().find(va)
    }

    /// Every entry, without a step: for checks.
    pub fn all(&self) -> Vec<(u64, Entry, PageSize)> {
        let entries = self.entries.get();
        let small = entries.small.iter().map(|(&va, &entry)| (va, entry, PageSize::Small));
        small.chain(entries.large.iter().map(|(&va, &entry)| (va, entry, PageSize::Large))).collect()
    }

    /// What was there stays behind in TLBs.
    fn left_behind(&self, va: u64, size: PageSize, entry: Entry) {
        if !is_running() {
            return;
        }
        let runners = self.hw.runners(self.number);
        let mut state = self.hw.state.get();
        for cpu in runners {
            let stale = Stale { space: self.number, va, size, entry };
            if !state.tlbs[cpu].contains(&stale) {
                state.tlbs[cpu].push(stale);
            }
        }
    }

    /// Takes stale translations of `va..va + len` from every CPU that runs the address space, one after the other. `gone`: the
    /// frames they may lead to.
    fn shoot_down(&self, va: u64, len: u64, gone: &[Entry]) {
        if !is_running() || self.hw.lab.has(Mutant::NoShootdown) {
            return;
        }
        for cpu in self.hw.runners(self.number) {
            self.invalidate(cpu, va, len, gone);
        }
    }

    fn invalidate(&self, cpu: Cpu, va: u64, len: u64, gone: &[Entry]) {
        let other = cpu != current();
        if other {
            engine::lock(self.hw.inside(cpu), false, "asks a CPU to invalidate");
        }
        let blocks: Vec<Place> = gone.iter().filter_map(|entry| block_of(entry.frame)).collect();
        let touch = match blocks[..] {
            [] => Touch::One(Place::tlb(cpu), true),
            [block] => Touch::Two([(Place::tlb(cpu), true), (block, false)]),
            [a, b, ..] => Touch::Three([(Place::tlb(cpu), true), (a, false), (b, false)]),
        };
        visible(touch, Need::Nothing, 1, "invalidates");
        let end = va.saturating_add(len);
        self.hw.state.get().tlbs[cpu].retain(|stale| {
            stale.space != self.number || stale.va >= end || stale.va + stale.size.bytes() <= va
        });
        if other {
            engine::unlock(self.hw.inside(cpu), false, "it has invalidated");
        }
    }

    /// An access by the CPU that runs: its translation of `va`, from a table or a TLB, for as long as `access` takes; `None` if
    /// there is none that allows it.
    pub fn access<R>(&self, va: u64, write: bool, access: impl FnOnce(Entry) -> R) -> Option<R> {
        let cpu = current();
        engine::lock(self.hw.inside(cpu), false, "an instruction begins");
        let tlb = Place::tlb(cpu);
        if is_running() {
            visible(
                Touch::Two([(self.place(va), false), (tlb, false)]),
                Need::Nothing,
                1,
                "walks the tables",
            );
        }
        let now = self.entries.get().find(va).map(|(entry, _)| entry);
        let allows = |entry: &Entry| !write || entry.writable;
        let mut found: Vec<Entry> = now.into_iter().filter(allows).collect();
        for stale in &self.hw.state.get().tlbs[cpu] {
            let within = va.wrapping_sub(stale.va);
            if stale.space == self.number && within < stale.size.bytes() {
                let frame = stale.entry.frame + within / PAGE_SIZE * PAGE_SIZE;
                let entry = Entry { frame, ..stale.entry };
                if allows(&entry) && !found.contains(&entry) {
                    found.push(entry);
                }
            }
        }
        // Where a TLB alone would do, it may have forgotten: then it is a fault.
        let ways = found.len() + usize::from(!now.is_some_and(|entry| allows(&entry)));
        let way = match ways {
            1 => 0,
            _ => visible(Touch::Nothing, Need::Nothing, ways as u8, "takes a translation"),
        };
        let entry = found.get(usize::from(way)).copied();
        let result = entry.map(access);
        if result.is_none() {
            // The fault forgets the address.
            let page = va & !(PAGE_SIZE - 1);
            self.hw.state.get().tlbs[cpu].retain(|stale| {
                stale.space != self.number || page.wrapping_sub(stale.va) >= stale.size.bytes()
            });
        }
        engine::unlock(self.hw.inside(cpu), false, "the instruction ends");
        result
    }

    /// Shares the copies in `pages` pages from `va` on with a child's tables: both keep them read-only.
    pub fn share_copies(&self, child: &Self, va: u64, pages: u64) {
        let read_only = |entry: Entry| Some(Entry { writable: false, ..entry });
        self.remove(va, pages, |entry| entry.frame >= COPIES, read_only, "shares a copy");
        let found = self.touched(va, va + pages * PAGE_SIZE, |entry| entry.frame >= COPIES);
        for (at, size, entry) in found {
            child.step(at, true, None, "has a part in a copy");
            child.install(at, Entry { writable: false, ..entry }, size);
        }
    }

    fn install(&self, va: u64, new: Entry, size: PageSize) -> Mapped {
        let mut entries = self.entries.get();
        let map = match size {
            PageSize::Small => &mut entries.small,
            PageSize::Large => &mut entries.large,
        };
        match map.get(&va).copied() {
            None => {
                map.insert(va, new);
                Mapped::New
            }
            Some(old) if old.frame == new.frame && new.writable && !old.writable => {
                map.insert(va, new);
                Mapped::Upgraded
            }
            Some(old) if old.frame == new.frame => Mapped::Already,
            Some(old) => {
                map.insert(va, new);
                drop(entries);
                self.left_behind(va, size, old);
                Mapped::Replaced
            }
        }
    }

    /// What would be taken out of, or weakened in, `va..end`.
    fn touched(&self, va: u64, end: u64, which: impl Fn(Entry) -> bool) -> Vec<(u64, PageSize, Entry)> {
        let entries = self.entries.get();
        let small = entries.small.range(va..end).map(|(&at, &entry)| (at, PageSize::Small, entry));
        let large =
            entries.large.range(va & !(LARGE - 1)..end).map(|(&at, &entry)| (at, PageSize::Large, entry));
        small.chain(large).filter(|&(.., entry)| which(entry)).collect()
    }

    /// Takes away: entry by entry, then everywhere from TLBs; in one with regard to others who take away.
    fn remove(
        &self,
        va: u64,
        pages: u64,
        which: impl Fn(Entry) -> bool,
        left: impl Fn(Entry) -> Option<Entry>,
        what: &'static str,
    ) -> u64 {
        let end = va.saturating_add(pages.saturating_mul(PAGE_SIZE));
        let removal = self.removal_lock();
        engine::lock(removal, false, "removal lock");
        // An empty range is looked at as well: what comes later is not seen.
        for large in (va & !(LARGE - 1)..end).step_by(LARGE as usize) {
            self.step(large, false, None, "looks for entries");
        }
        let early = self.hw.lab.has(Mutant::ShootdownFirst);
        let found = self.touched(va, end, &which);
        let gone: Vec<Entry> = found.iter().map(|&(.., entry)| entry).collect();
        if early {
            self.shoot_down(va, end - va, &gone);
        }
        let mut count = 0;
        for (at, size, _) in found {
            self.step(at, true, Some(gone[count].frame), what);
            let mut entries = self.entries.get();
            let map = if size == PageSize::Small { &mut entries.small } else { &mut entries.large };
            let Some(&old) = map.get(&at) else { continue };
            match left(old) {
                Some(weaker) => map.insert(at, weaker),
                None => map.remove(&at),
            };
            drop(entries);
            self.left_behind(at, size, old);
            count += 1;
        }
        if count > 0 && !early {
            let (first, last) = (va & !(LARGE - 1), end);
            self.shoot_down(first, last.saturating_sub(first), &gone);
        }
        engine::unlock(removal, false, "removal lock");
        count as u64
    }
}

impl PageTables for Tables {
    fn map(&self, va: u64, frame: u64, size: PageSize, writable: bool) -> Result<Mapped, NoFrames> {
        self.step(va, true, Some(frame), if writable { "maps for stores" } else { "maps for loads" });
        let new = Entry { frame, writable };
        if writable && (frame == ZERO || (LARGE_ZERO..2 * LARGE_ZERO).contains(&frame)) {
            engine::fail(|| "the zero page is mapped for stores".into());
        }
        let start = va & !(LARGE - 1);
        match size {
            PageSize::Large => {
                if self.entries.get().small_in(va) {
                    if !self.hw.lab.has(Mutant::LargeOverTable) {
                        return Ok(Mapped::Table);
                    }
                    let lost = self.touched(va, va + LARGE, |_| true);
                    self.entries.get().small.retain(|&at, _| !(va..va + LARGE).contains(&at));
                    lost.into_iter().for_each(|(at, size, entry)| self.left_behind(at, size, entry));
                }
                let old = self.peek(va).map(|(entry, _)| entry);
                let mapped = self.install(va, new, size);
                if mapped == Mapped::Replaced {
                    self.shoot_down(va, LARGE, old.as_slice());
                }
                Ok(mapped)
            }
            PageSize::Small => {
                let around = self.entries.get().large.get(&start).copied();
                let Some(around) = around else {
                    let old = self.peek(va).map(|(entry, _)| entry);
                    let mapped = self.install(va, new, size);
                    if mapped == Mapped::Replaced {
                        self.shoot_down(va, PAGE_SIZE, old.as_slice());
                    }
                    return Ok(mapped);
                };
                let same = around.frame + (va - start) == frame;
                if same && (around.writable || !writable) {
                    return Ok(Mapped::Already);
                }
                {
                    let mut entries = self.entries.get();
                    entries.large.remove(&start);
                    if same {
                        // Split: the others keep what they had.
                        for page in 0..LARGE_PAGES {
                            let part = Entry { frame: around.frame + page * PAGE_SIZE, writable: false };
                            entries.small.insert(start + page * PAGE_SIZE, part);
                        }
                    }
                    entries.small.insert(va, new);
                }
                self.left_behind(start, PageSize::Large, around);
                self.shoot_down(start, LARGE, &[around]);
                Ok(if same { Mapped::Upgraded } else { Mapped::Replaced })
            }
        }
    }

    fn map_zero(&self, va: u64, size: PageSize) -> Result<Mapped, NoFrames> {
        self.step(va, true, None, "maps the zero page");
        let mut entries = self.entries.get();
        let start = va & !(LARGE - 1);
        match size {
            PageSize::Small if entries.small.contains_key(&va) || entries.large.contains_key(&start) => {
                return Ok(Mapped::Already);
            }
            PageSize::Small => entries.small.insert(va, Entry { frame: ZERO, writable: false }),
            PageSize::Large if entries.small_in(va) => return Ok(Mapped::Table),
            PageSize::Large if entries.large.contains_key(&va) => return Ok(Mapped::Already),
            PageSize::Large => entries.large.insert(va, Entry { frame: LARGE_ZERO, writable: false }),
        };
        Ok(Mapped::New)
    }

    fn map_copy(&self, va: u64, from: Option<u64>) -> Result<Mapped, NoFrames> {
        // The bytes are copied before the entry is there.
        let old = self.peek(va);
        if old.is_some_and(|(entry, _)| entry.frame >= COPIES && entry.writable) {
            self.step(va, false, None, "finds its copy");
            return Ok(Mapped::Already);
        }
        let words = match old {
            Some((entry, _)) if entry.frame >= COPIES => self.hw.copied(entry.frame),
            _ => self.hw.words(from),
        };
        let frame = self.hw.new_copy(words);
        self.step(va, true, None, "maps a copy");
        // Another CPU of the address space may have been faster: its copy stays.
        let now = self.peek(va);
        if now != old && now.is_some_and(|(entry, _)| entry.frame >= COPIES) {
            return Ok(Mapped::Already);
        }
        let start = va & !(LARGE - 1);
        let around = self.entries.get().large.remove(&start);
        if let Some(around) = around {
            self.left_behind(start, PageSize::Large, around);
        }
        let mapped = self.install(va, Entry { frame, writable: true }, PageSize::Small);
        if around.is_some() || mapped == Mapped::Replaced {
            let gone: Vec<Entry> = around.into_iter().chain(old.map(|(entry, _)| entry)).collect();
            self.shoot_down(start, LARGE, &gone);
            return Ok(Mapped::Replaced);
        }
        Ok(mapped)
    }

    fn has_small(&self, va: u64) -> bool {
        self.step(va, false, None, "asks for a table");
        self.entries.get().small_in(va)
    }

    fn unmap(&self, va: u64, pages: u64, copies: bool) -> u64 {
        self.remove(va, pages, |entry| copies || entry.frame < COPIES, |_| None, "takes an entry out")
    }

    fn write_protect(&self, va: u64, pages: u64) -> u64 {
        let weaker = |entry: Entry| Some(Entry { writable: false, ..entry });
        self.remove(
            va,
            pages,
            |entry| entry.writable && entry.frame < COPIES,
            weaker,
            "write-protects an entry",
        )
    }
}
