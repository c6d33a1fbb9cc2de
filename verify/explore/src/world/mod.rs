//! Worlds: what is there before anybody runs, what each CPU does, what is looked at in the end.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | one run of a world, from mounting to the last check |
//! | [`image`] | the images |
//! | [`space`] | address spaces: the crate `vm`; accesses |
//! | [`ops`] | the operations |
//! | [`order`] | when operations began and ended, in the orders that are the same run |
//! | [`tell`] | how locks, page tables and TLBs are, in words |
//! | [`check`] | what must hold, at every step and in the end |

pub mod check;
pub mod image;
mod ops;
mod order;
mod space;
mod tell;

use crate::hw::tables::WORDS;
use crate::hw::{Local, Machine, Memory, machine};
use crate::model::{Done, START_WORD, Seen};
use crate::sched::CPUS;
use crate::sched::engine::{self, Chooser, End, Note, Ran};
use crate::sched::touch::SharedPlace;
use fs::dax::fsync;
use fs::ext2::Ext2;
use fs::lab::schedule::{Op, Start, World};
use fs::vfs::InodeRef;
use std::ops::Range;
use std::sync::Arc;

pub use image::Images;
use space::Space;

/// Where the word is in its page, and the one beside it.
pub const WORD: u64 = WORDS[0];
/// The word beside it, which nobody stores to.
pub const BESIDE: u64 = WORDS[1];
/// What is durable where the start is a store that was not synced.
pub const BEFORE_START: u64 = 0x0100;
/// The page of the other file that `write-other` fills.
pub const OTHER_PAGE: u64 = 0;

/// An operation, and what it came to.
#[derive(Clone, Debug)]
pub(crate) struct Performed {
    /// By whom.
    pub cpu: usize,
    /// In which address space.
    pub space: u8,
    /// What.
    pub op: Op,
    /// What it stored or wrote.
    pub value: u64,
    /// What it came to.
    pub seen: Seen,
    /// Steps that its CPU had taken before it, and with it.
    pub steps: std::ops::Range<u32>,
    /// Steps that all had taken before it, and with it.
    pub times: std::ops::Range<usize>,
}

impl Performed {
    /// The same, with these times.
    fn at(&self, begun: u64, ended: u64) -> Done {
        let Self { cpu, space, op, value, .. } = *self;
        Done { cpu, space, op, value, seen: self.seen.clone(), begun, ended }
    }
}

/// A lock that is there from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it is called: `dax_sem`, `block map`, `areas of a`.
    pub name: String,
    /// Where it lies, with what it guards.
    pub at: Range<usize>,
}

impl Lock {
    /// Returns whether `place` is it.
    pub fn holds(&self, place: SharedPlace) -> bool {
        place.is_lock_in(&self.at)
    }
}

/// Everything that is there during a run.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) machine: Machine,
    pub(crate) fs: Arc<Ext2<Machine>>,
    /// Handles of the CPUs: an `unlink` drops its own.
    pub(crate) handles: Vec<Local<Option<InodeRef<Machine>>>>,
    pub(crate) other: InodeRef<Machine>,
    /// Which block each CPU has pinned, by its place.
    pub(crate) pinned: Local<[Option<u64>; CPUS]>,
    /// Whether the word's line was bad when a CPU's fault began.
    pub(crate) was_bad: Local<[bool; CPUS]>,
    pub(crate) spaces: Local<Vec<Arc<Space>>>,
    pub(crate) history: Local<Vec<Performed>>,
    /// Where the file's `dax_sem` is.
    pub(crate) dax_sem: usize,
    /// Address spaces that the world begins with.
    pub(crate) world_spaces: usize,
    /// Blocks in use that are no file's.
    pub(crate) own_blocks: u64,
}

/// What came of one run.
pub struct WorldOutcome {
    /// How it ended.
    pub end: End,
    /// What does not hold.
    pub wrong: Option<String>,
    /// Who decided.
    pub chooser: Option<Box<dyn Chooser>>,
    /// Who is not through, as bits.
    pub waits: u32,
    /// Steps taken.
    pub steps: usize,
    /// The same for runs that ended in the same state.
    pub state: u64,
    /// What happened, if that was wanted.
    pub log: Vec<Note>,
    /// The locks that there were.
    pub locks: Vec<Lock>,
}

/// Runs `world` once.
pub fn run(world: &World, images: &Images, chooser: Box<dyn Chooser>, log: bool) -> WorldOutcome {
    let stage = Arc::new(prepare(world, images));
    world.mutants.iter().for_each(|&mutant| stage.machine.lab.add(mutant));
    let bodies = (0..world.parts.len()).map(|cpu| ops::body(stage.clone(), cpu)).collect();
    check::watch(&stage);
    let locks = if log { tell::locks(&stage) } else { Vec::new() };
    if log {
        tell::state_of(&stage);
    }
    let Ran { end, mut wrong, chooser, pending, log } = engine::run(bodies, chooser, log);
    engine::tell_state(None);
    stage.machine.kit.watch(None);
    stage.machine.lab.heal();
    let steps = engine::steps();
    let mut state = 0;
    let waits = (0..pending.len()).filter(|&cpu| pending[cpu].is_some()).fold(0, |bits, cpu| bits | 1 << cpu);
    match end {
        End::Through => match check::finish(&stage) {
            Ok(digest) => state = digest,
            Err(why) => wrong = Some(why),
        },
        End::Stuck => {
            let waits =
                (0..world.parts.len()).filter_map(|cpu| pending[cpu].map(|pending| (cpu, pending.what)));
            let waits: Vec<String> = waits.map(|(cpu, what)| format!("CPU {cpu} waits ({what})")).collect();
            wrong = Some(format!("nobody can go on: {}", waits.join(", ")));
        }
        End::Endless => wrong = Some("somebody goes round and round".into()),
        End::Stopped | End::Failed => {}
    }
    WorldOutcome { end, wrong, chooser: Some(chooser), waits, steps, state, log, locks }
}

fn prepare(world: &World, images: &Images) -> Stage {
    let blocks = !matches!(world.start, Start::Hole | Start::Zero);
    let memory = Arc::new(Memory::new(images.of(world.range, blocks), check::wants_durable(world)));
    let machine = machine(memory);
    let fs = image::mount(machine.clone()).expect("an image of the explorer's own");
    let file = image::open(&fs, b"f");
    let other = image::open(&fs, b"g");
    let count = world.parts.iter().map(|part| usize::from(part.space) + 1).max().unwrap_or(0);
    space::expect(&machine, world);
    let numbers = 0..u8::try_from(count).expect("no more address spaces than parts");
    let spaces: Vec<Arc<Space>> =
        numbers.map(|number| Arc::new(Space::new(&machine, number, world, &file))).collect();
    for (cpu, part) in world.parts.iter().enumerate() {
        machine.kit.hw.run_in(cpu, part.space.into());
    }
    let at = world.range.word_page() * fs::PAGE_SIZE + WORD;
    match world.start {
        Start::Hole | Start::Block => {}
        Start::Zero => each_area(world, &spaces, |space, small| {
            space.load(small).expect("a load from a hole");
        }),
        Start::Dirty | Start::Clean => {
            file.write_at(at, &BEFORE_START.to_le_bytes()).expect("a word");
            each_area(world, &spaces, |space, small| {
                space.store(small, START_WORD).expect("a store to a block");
            });
            if world.start == Start::Clean {
                fsync(&*file).expect("nothing is wrong with it");
            }
        }
    }
    // The index's nodes are there: how they come to be is once_cell's, and no step here.
    for page in [0, fs::platform::LARGE_PAGES] {
        file.mapping().index.leaf(page, || true).expect("memory for the index");
    }
    // The clock stands still: from here on write faults leave the times alone.
    drop(fs::vfs::Inode::start_write_fault(&*file));
    drop(file.mapping().shared());
    let dax_sem = crate::hw::locks::last_shared();
    let handles = world.parts.iter().map(|_| Local::new(Some(file.clone()))).collect();
    Stage {
        world: world.clone(),
        machine,
        fs,
        handles,
        other,
        pinned: Local::new([None; CPUS]),
        was_bad: Local::new([false; CPUS]),
        spaces: Local::new(spaces),
        history: Local::new(Vec::new()),
        dax_sem,
        world_spaces: count,
        own_blocks: images.own_blocks(),
    }
}

/// Calls `f` with each address space, and whether the area is the one without large pages, that a part uses.
fn each_area(world: &World, spaces: &[Arc<Space>], mut f: impl FnMut(&Space, bool)) {
    let mut areas: Vec<(u8, bool)> = world.parts.iter().map(|part| (part.space, part.small)).collect();
    areas.sort_unstable();
    areas.dedup();
    areas.into_iter().for_each(|(space, small)| f(&spaces[usize::from(space)], small));
}
