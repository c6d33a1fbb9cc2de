//! The machine: RAM for the file system, tables and copies in numbered frames, a TLB for each address space
//! that forgets only what it is told to forget.

use fs::lab::Lab;
use fs::pmem::{Pmem, ram};
use fs::sim::{self, SimMutex, SimRwLock};
use paging::task::TableMistake;
use paging::{FaultCode, PageTable, PageTableEntry, TaskMachine};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use tests::image::Image;
use vm::{AddressSpace, Refusal, SpaceMachine, SpaceTables};

/// Frames of tables are numbered from here on.
const TABLES: u64 = 1 << 40;
/// Frames of private copies.
const COPIES: u64 = 1 << 41;
const ZERO: u64 = 0;
const LARGE_ZERO: u64 = 2 << 20;
const MOST_TABLES: usize = 4096;
/// The next TLB's number: one for each address space.
static NEXT_TLB: AtomicU64 = AtomicU64::new(0);

/// Blocks of the image: some runs of 2 MiB are free.
const BLOCKS: u64 = 4 << 10;

/// An empty ext2.
pub(crate) fn image() -> Vec<u8> {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| std::fs::read(Image::ext2(BLOCKS * 4096).path()).expect("the image can be read"))
        .clone()
}

/// Frames and TLBs, of all address spaces of a machine.
pub(crate) struct Memory {
    ram: Arc<ram::Ram>,
    tables: Vec<OnceLock<Box<PageTable>>>,
    free: Mutex<Vec<u64>>,
    copies: Mutex<HashMap<u64, Copy>>,
    next_copy: AtomicU64,
    /// Page tables and copies that may still be taken.
    room: AtomicU64,
    pub(crate) lab: Arc<Lab>,
    /// By address space and page.
    tlb: Mutex<HashMap<(u64, u64), PageTableEntry>>,
}

struct Copy {
    references: u64,
    bytes: Box<[u8]>,
}

impl Memory {
    /// From now on so many more frames can be taken.
    pub(crate) fn leave(&self, frames: u64) {
        self.room.store(frames, SeqCst);
    }

    /// Tables that are in use.
    pub(crate) fn tables(&self) -> usize {
        MOST_TABLES - self.free.lock().expect("no panic").len()
    }

    /// Copies that there are.
    pub(crate) fn copies(&self) -> usize {
        self.copies.lock().expect("no panic").len()
    }

    fn take(&self) -> Option<()> {
        self.room.fetch_update(SeqCst, SeqCst, |room| room.checked_sub(1)).ok().map(drop)
    }

    fn read(&self, frame: u64, at: u64) -> u64 {
        let mut bytes = [0; 8];
        match frame {
            ..ram::BASE => {}
            COPIES.. => {
                let copies = self.copies.lock().expect("no panic");
                bytes.copy_from_slice(&copies[&frame].bytes[at as usize..][..8]);
            }
            _ => self.ram.read(frame - ram::BASE + at, &mut bytes),
        }
        u64::from_le_bytes(bytes)
    }

    fn write(&self, frame: u64, at: u64, value: u64) {
        match frame {
            ..ram::BASE => panic!("a store to the zero page"),
            COPIES.. => {
                let mut copies = self.copies.lock().expect("no panic");
                let copy = copies.get_mut(&frame).expect("a copy that is there");
                copy.bytes[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
            }
            _ => self.ram.write(frame - ram::BASE + at, &value.to_le_bytes()),
        }
    }
}

/// The machine of one address space.
pub(crate) struct Hardware {
    pub(crate) memory: Arc<Memory>,
    tlb: u64,
    /// Whether it has been told to prepare its tables.
    prepared: AtomicBool,
}

impl Hardware {
    pub(crate) fn new(memory: &Arc<Memory>) -> Self {
        let tlb = NEXT_TLB.fetch_add(1, SeqCst);
        Self { memory: memory.clone(), tlb, prepared: AtomicBool::new(false) }
    }
}

impl paging::TableMachine for Hardware {
    type Word = AtomicU64;

    fn allocate_table(&self) -> Option<u64> {
        self.memory.take()?;
        let frame =
            self.memory.free.lock().expect("no panic").pop().expect("more tables than any test needs");
        self.table(frame).iter().for_each(|slot| slot.store(0, SeqCst));
        Some(frame)
    }

    fn free_table(&self, frame: u64) {
        let mut free = self.memory.free.lock().expect("no panic");
        assert!(!free.contains(&frame), "a table is freed twice");
        free.push(frame);
        self.memory.room.fetch_add(1, SeqCst);
    }

    fn table(&self, frame: u64) -> &PageTable {
        let table = &self.memory.tables[((frame - TABLES) / 4096) as usize];
        table.get_or_init(|| Box::new([const { AtomicU64::new(0) }; 512]))
    }

    fn invalidate(&self, start: u64, pages: u64) {
        let end = start.saturating_add(pages.saturating_mul(4096));
        let mut tlb = self.memory.tlb.lock().expect("no panic");
        tlb.retain(|&(space, at), entry| {
            // A large entry goes by any of its pages.
            let (at, len) = if entry.is_leaf(2) { (at & !(LARGE_ZERO - 1), LARGE_ZERO) } else { (at, 4096) };
            space != self.tlb || at >= end || at + len <= start
        });
    }
}

impl TaskMachine for Hardware {
    type Lock = SimMutex;

    fn new_copy(&self, from: Option<u64>) -> Option<u64> {
        self.memory.take()?;
        let mut bytes = vec![0; 4096].into_boxed_slice();
        if let Some(from) = from {
            for (at, part) in (0..).step_by(8).zip(bytes.chunks_exact_mut(8)) {
                part.copy_from_slice(&self.memory.read(from, at).to_le_bytes());
            }
        }
        let frame = self.memory.next_copy.fetch_add(4096, SeqCst);
        self.memory.copies.lock().expect("no panic").insert(frame, Copy { references: 1, bytes });
        Some(frame)
    }

    fn share_copy(&self, frame: u64) {
        self.memory.copies.lock().expect("no panic").get_mut(&frame).expect("a copy").references += 1;
    }

    fn is_shared(&self, frame: u64) -> bool {
        self.memory.copies.lock().expect("no panic")[&frame].references > 1
    }

    fn release_copy(&self, frame: u64) {
        let tlb = self.memory.tlb.lock().expect("no panic");
        let leads = |(&(space, _), entry): (&(u64, u64), &PageTableEntry)| {
            space == self.tlb && entry.address() == frame
        };
        assert!(!tlb.iter().any(leads), "a copy is let go that a TLB leads to");
        let mut copies = self.memory.copies.lock().expect("no panic");
        let copy = copies.get_mut(&frame).expect("a copy");
        copy.references -= 1;
        if copy.references == 0 {
            copies.remove(&frame);
            self.memory.room.fetch_add(1, SeqCst);
        }
    }

    fn makes(&self, mistake: TableMistake) -> bool {
        self.memory.lab.has(vm::tables::mutant(mistake))
    }
}

impl SpaceMachine for Hardware {
    fn another(&self) -> Self {
        Self::new(&self.memory)
    }

    fn prepare(&self, tables: &paging::TaskTables<Self>) {
        assert!(tables.tables().translate(vm::TASK_START).is_none(), "new tables are empty");
        self.prepared.store(true, SeqCst);
    }

    fn zero_page(&self) -> u64 {
        ZERO
    }

    fn large_zero_page(&self) -> Option<u64> {
        Some(LARGE_ZERO)
    }

    fn lab(&self) -> &Lab {
        &self.memory.lab
    }
}

/// The machine as the file system sees it.
pub(crate) type Host = sim::Machine<Spaces>;

/// Frames, and the page tables in them.
#[derive(Clone)]
pub(crate) struct Spaces {
    pub(crate) memory: Arc<Memory>,
}

impl sim::Kit for Spaces {
    type Pmem = ram::Ram;
    type Mutex = SimMutex;
    type RwLock = SimRwLock;
    type PageTables = SpaceTables<Hardware>;
}

/// A machine with a copy of `image`.
pub(crate) fn host(image: &[u8]) -> Host {
    let ram = Arc::new(ram::Ram::from_bytes(image));
    let memory = Arc::new(Memory {
        ram: ram.clone(),
        tables: (0..MOST_TABLES).map(|_| OnceLock::new()).collect(),
        free: Mutex::new((0..MOST_TABLES as u64).rev().map(|nth| TABLES + nth * 4096).collect()),
        copies: Mutex::default(),
        next_copy: AtomicU64::new(COPIES),
        room: AtomicU64::new(u64::from(u32::MAX)),
        lab: Arc::default(),
        tlb: Mutex::default(),
    });
    Host::with(ram, memory.lab.clone(), Spaces { memory })
}

/// A load, or a store of a value, as a CPU does it: by its TLB, by the tables, or after a fault.
pub(crate) fn access(space: &AddressSpace<Host>, va: u64, store: Option<u64>) -> Result<u64, Refusal> {
    let tables = space.page_tables();
    let (hardware, page) = (tables.machine(), va & !4095);
    assert!(hardware.prepared.load(SeqCst), "tables are in use that were not prepared");
    let memory = &hardware.memory;
    for _ in 0..4 {
        let key = (hardware.tlb, page);
        let known = memory.tlb.lock().expect("no panic").get(&key).copied();
        let entry = known.or_else(|| tables.tables().leaf(va).map(|(entry, _)| entry));
        if let Some(entry) = entry.filter(|entry| store.is_none() || entry.is_writable()) {
            memory.tlb.lock().expect("no panic").insert(key, entry);
            let within = if entry.is_leaf(2) { page & (LARGE_ZERO - 1) } else { 0 };
            let frame = if entry.address() == LARGE_ZERO { ZERO } else { entry.address() + within };
            return Ok(match store {
                Some(value) => {
                    memory.write(frame, va & 4095, value);
                    value
                }
                None => memory.read(frame, va & 4095),
            });
        }
        // A fault forgets the address.
        memory.tlb.lock().expect("no panic").remove(&key);
        space.fault(va, if store.is_some() { FaultCode::STORE } else { FaultCode::LOAD })?;
    }
    panic!("the fault at {va:#x} was served, and the access still faults");
}
