//! A fault is compiled twice: without the lab, as it boots, and with it, as it is explored, traced and raced.
//! So is write-back. Here the same faults and syncs are played by both, and must do the same in the same
//! order: to locks, page tables, the index and memory (docs/exploration.md, "Two bodies").

use crate::common::journaled::Journaled;
use crate::common::rig::{called, with_each_call};
use crate::common::{BLOCK, Image, Machine, View, at, create, mount, mount_read_only, session, write};
use fs::dax::{Protocol, fsync};
use fs::lab::Mutant;
use fs::platform::{PageSize, Platform};
use fs::pmem::ram::{Ram, RamAccess};
use fs::sim::{Entry, Tables};
use fs::vfs::{Backing, Fallocate, Inode, InodeRef};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Pages in 2 MiB; the files here have two of these.
const RUN: u64 = 512;
const PAGES: u64 = 2 * RUN;
/// The page that faults are about, in the second 2 MiB.
const PAGE: u64 = RUN + 3;

/// The two address spaces of a case: the one whose kind it says, and a shared one.
struct Stage {
    machine: Machine,
    file: InodeRef<Machine>,
    me: View,
    other: View,
}

/// What is there before the faults, in a word.
type Start = (&'static str, fn(&mut Stage));
/// The same for a file system with a journal: what is behind the page at this place.
type Behind = (&'static str, fn(u64) -> Backing);

/// On ext2.
const STARTS: &[Start] = &[
    ("a hole", |_| {}),
    ("the zero page", |stage| fault(&stage.me, PAGE, false)),
    ("the zero page elsewhere", |stage| fault(&stage.other, PAGE, false)),
    ("the zero page of 2 MiB elsewhere", |stage| {
        fault(&stage.other, PAGE, false);
        stage.me.large = false;
    }),
    ("a block", block),
    ("a block, mapped for loads", |stage| {
        block(stage);
        fault(&stage.me, PAGE, false);
    }),
    ("a block, mapped for stores", |stage| {
        block(stage);
        fault(&stage.me, PAGE, true);
    }),
    ("a block, mapped elsewhere", |stage| {
        block(stage);
        fault(&stage.other, PAGE, true);
    }),
    ("a block, stored to and synced", |stage| {
        fault(&stage.other, PAGE, true);
        fsync(&*stage.file).expect("fsync");
    }),
    ("a run", run),
    ("a run, looked up page by page", |stage| {
        run(stage);
        stage.other.large = false;
        (RUN + 20..RUN + 40).for_each(|page| fault(&stage.other, page, false));
    }),
    ("pieces", |stage| write(&*stage.file, (RUN + 100) * BLOCK, b"in pieces")),
    ("a page of 4 KiB beside it", |stage| {
        let large = std::mem::replace(&mut stage.me.large, false);
        fault(&stage.me, RUN + 9, false);
        stage.me.large = large;
    }),
    ("bad memory", |stage| {
        block(stage);
        spoil(stage, PAGE);
    }),
    ("bad memory in another page of a run", |stage| {
        run(stage);
        spoil(stage, PAGE + 1);
    }),
    ("beyond the end", |stage| stage.file.truncate(2 * BLOCK).expect("truncate")),
    ("the end within the 2 MiB", |stage| stage.file.truncate((PAGE + 1) * BLOCK).expect("truncate")),
    ("no space", |stage| {
        let how = Fallocate::Allocate { keep_size: true };
        let filled = (PAGES..).take_while(|page| stage.file.fallocate(how, page * BLOCK, BLOCK).is_ok());
        assert!(filled.count() > RUN as usize);
    }),
    ("an address that does not suit", |stage| stage.replace(0x7000_0000_1000, 0..PAGES)),
    ("a small area", |stage| stage.replace(0x7000_0020_0000, RUN..RUN + 100)),
];

/// On a file system with a journal.
const JOURNALED: &[Behind] = &[
    ("a hole", |_| Backing::HOLE),
    ("unwritten", Backing::unwritten),
    ("not committed", |place| Backing::mapped(place).dirty()),
    ("settled", Backing::mapped),
];

fn fault(view: &View, page: u64, write: bool) {
    view.fault(page, write).expect("a fault");
}

/// The file's pages in an address space whose page tables tell what they are asked for.
fn view(file: &InodeRef<Machine>, va: u64, pages: std::ops::Range<u64>) -> View {
    View::within(Arc::new(Tables::watched(|what| called(|| what))), va, file, pages)
}

fn block(stage: &mut Stage) {
    write(&*stage.file, PAGE * BLOCK, &[0x5a; BLOCK as usize]);
}

fn run(stage: &mut Stage) {
    let how = Fallocate::Allocate { keep_size: true };
    stage.file.fallocate(how, 0, PAGES * BLOCK).expect("fallocate");
    block(stage);
}

/// The memory of a page goes bad.
fn spoil(stage: &Stage, page: u64) {
    let shared = stage.file.mapping().shared();
    let place = stage.file.place(shared.held(), page).expect("sound").expect("a block");
    stage.machine.ram.poison.add(place, 1).expect("room");
}

impl Stage {
    fn new(machine: Machine, file: InodeRef<Machine>, case: &Case) -> Self {
        let [mut me, mut other] = [(); 2].map(|()| view(&file, 0x7000_0000_0000, 0..PAGES));
        (me.protocol, me.large, me.private, me.sync) = (case.protocol, case.large, case.private, case.sync);
        (other.protocol, other.large) = (case.protocol, case.large);
        Self { machine, file, me, other }
    }

    /// Maps the file elsewhere instead.
    fn replace(&mut self, va: u64, pages: std::ops::Range<u64>) {
        let mut me = view(&self.file, va, pages);
        (me.protocol, me.large, me.private) = (self.me.protocol, self.me.large, self.me.private);
        self.me = me;
    }

    /// What is known of the page: dirty, zero page, entry locked.
    fn known(file: &dyn Inode<Machine>) -> [bool; 3] {
        let index = &file.mapping().index;
        let locked = index.existing(PAGE).is_some_and(|leaf| leaf.is_locked(PAGE, PageSize::Small));
        [index.is_dirty(PAGE), index.existing(PAGE).is_some_and(|leaf| leaf.is_zero(PAGE)), locked]
    }

    /// Faults of both kinds in both address spaces, and syncs; what came of it.
    fn play(self, write: bool, lab: &Use) -> Seen {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (to, file) = (log.clone(), self.file.clone());
        let Self { machine, file: inode, me, other } = self;
        let note = move |call: String| {
            to.borrow_mut().push(format!("{call} {:?}", Self::known(&*file)));
        };
        machine.stats().reset();
        lab.begin(&machine);
        let answers = with_each_call(note, || {
            let mut answers = Vec::new();
            let mut said = |what: &dyn std::fmt::Debug| answers.push(format!("{what:?}"));
            for (view, page, write) in [
                (&me, PAGE, write),
                (&me, PAGE, true),
                (&other, PAGE, !write),
                (&me, RUN + 40, false),
                (&me, RUN + 40, true),
                (&other, 2, write),
                (&other, 2, true),
            ] {
                said(&view.fault_sized(page, write));
            }
            said(&fs::dax::sync(&*inode, RUN..RUN + 10, true));
            said(&me.fault_sized(PAGE, true));
            said(&fsync(&*inode));
            said(&other.fault_sized(PAGE, true));
            answers
        });
        machine.lab().heal();
        machine.lab().set_hooks(false);
        let mut stats = Vec::new();
        machine.stats().each(|name, count| stats.push((name, count)));
        let entries = [&me, &other].into_iter().flat_map(|view| view.pages().map(|page| view.entry(page)));
        let entries = entries.collect();
        let index = &inode.mapping().index;
        let dirty = (0..PAGES).filter(|page| index.is_dirty(*page)).collect();
        let mut zeros = Vec::new();
        index.take_zero(0..PAGES, |range| zeros.push(range));
        let runs = [0, RUN].map(|page| index.existing(page).map(|leaf| (leaf.run(), leaf.known_pieces())));
        let index = format!("zero pages {zeros:?}, runs {runs:?}");
        let bytes = machine.ram.to_bytes();
        Seen { answers, calls: log.take(), stats, entries, dirty, index, bytes }
    }
}

/// Which body.
enum Use {
    Booted,
    Explored,
    Mistaken(Mutant),
}

impl Use {
    fn begin(&self, machine: &Machine) {
        let lab = machine.lab();
        match *self {
            Self::Booted => assert!(!lab.is_used()),
            Self::Explored => lab.set_hooks(true),
            Self::Mistaken(mutant) => lab.add(mutant),
        }
    }
}

/// What a body did, and left.
struct Seen {
    answers: Vec<String>,
    calls: Vec<String>,
    stats: Vec<(&'static str, u64)>,
    entries: Vec<Option<Entry>>,
    dirty: Vec<u64>,
    index: String,
    bytes: Vec<u8>,
}

impl Seen {
    /// The first thing in which they differ.
    fn difference(&self, other: &Self) -> Option<String> {
        fn of<T: PartialEq + std::fmt::Debug>(what: &str, a: &[T], b: &[T]) -> Option<String> {
            let at = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at))?;
            Some(format!("{what} {at}: {:?}, and {:?}", a.get(at), b.get(at)))
        }
        of("answer", &self.answers, &other.answers)
            .or_else(|| of("call", &self.calls, &other.calls))
            .or_else(|| of("counter", &self.stats, &other.stats))
            .or_else(|| of("entry", &self.entries, &other.entries))
            .or_else(|| of("dirty page", &self.dirty, &other.dirty))
            .or_else(|| of("index", &[&self.index], &[&other.index]))
            .or_else(|| (self.bytes != other.bytes).then(|| "the region's content".into()))
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    protocol: Protocol,
    large: bool,
    private: bool,
    sync: bool,
    write: bool,
}

/// Every kind of fault, as long as `go_on` says so.
fn each_case(go_on: &mut dyn FnMut(Case) -> bool) {
    for &protocol in Protocol::ALL {
        for bits in 0..16 {
            let [large, private, sync, write] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            if !go_on(Case { protocol, large, private, sync, write }) {
                return;
            }
        }
    }
}

/// A machine that tells what is done to its memory.
fn machine(image: &[u8]) -> Machine {
    Machine::new(Ram::watched(image, |_, touch| {
        called(|| match touch {
            RamAccess::Load(len) => format!("load {len}"),
            RamAccess::Store(place, bytes) => format!("store {place:x} {bytes:?}"),
            RamAccess::Stream(place, bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                format!("stream {place:x} {} {:x}", bytes.len(), hasher.finish())
            }
            RamAccess::Flush(place, len) => format!("flush {place:x} {len}"),
            RamAccess::Fence => "fence".into(),
        });
    }))
}

/// An ext2 with a file that is a hole.
fn image() -> Vec<u8> {
    let image = Image::new(8 << 8);
    session(&image, |fs| create(fs, "f").truncate(PAGES * BLOCK).expect("truncate"));
    image.bytes()
}

/// One case on ext2, by one body.
fn on_ext2(image: &[u8], start: &Start, case: &Case, lab: &Use) -> Seen {
    let fs = mount(machine(image));
    let file = at(&fs, "f");
    let mut stage = Stage::new(file.platform().clone(), file, case);
    start.1(&mut stage);
    stage.play(case.write, lab)
}

#[test]
fn a_fault_does_the_same_whether_it_is_booted_or_explored() {
    let image = image();
    let mut counted = BTreeMap::new();
    for start in STARTS {
        each_case(&mut |case| {
            // ext2 has nothing to commit.
            if !case.sync {
                let [booted, explored] =
                    [Use::Booted, Use::Explored].map(|lab| on_ext2(&image, start, &case, &lab));
                let differs = booted.difference(&explored);
                assert_eq!(differs, None, "{}, {case:?}", start.0);
                booted.stats.iter().for_each(|(name, count)| *counted.entry(*name).or_insert(0) += count);
            }
            true
        });
    }
    // Every way to answer was met but those of the next two tests, of address spaces, and of tables without
    // room, which there are none of here.
    let of_faults = |name: &str| name.starts_with("fault.") || name.starts_with("pmd.");
    let unmet = counted.into_iter().filter(|(name, count)| of_faults(name) && *count == 0);
    assert_eq!(
        unmet.map(|(name, _)| name).collect::<Vec<_>>(),
        ["fault.failed", "fault.no-area", "fault.no-right", "fault.sync", "pmd.fallback.memory"]
    );
}

#[test]
fn it_does_the_same_where_nothing_may_be_changed() {
    let image = image();
    each_case(&mut |case| {
        let [booted, explored] = [Use::Booted, Use::Explored].map(|lab| {
            let fs = mount_read_only(machine(&image));
            let file = at(&fs, "f");
            Stage::new(file.platform().clone(), file, &case).play(case.write, &lab)
        });
        assert_eq!(booted.difference(&explored), None, "{case:?}");
        true
    });
}

/// One case on the file system with a journal, by one body.
fn on_journal(backing: fn(u64) -> Backing, given_up: bool, case: &Case, lab: &Use) -> Seen {
    let file = Arc::new(Journaled::new(machine(&vec![0xab; (PAGES * BLOCK) as usize]), backing));
    file.given_up.store(given_up, SeqCst);
    Stage::new(file.platform().clone(), file, case).play(case.write, lab)
}

#[test]
fn it_does_the_same_where_a_journal_is_asked() {
    for (name, backing) in JOURNALED {
        for given_up in [false, true] {
            each_case(&mut |case| {
                let [booted, explored] =
                    [Use::Booted, Use::Explored].map(|lab| on_journal(*backing, given_up, &case, &lab));
                assert_eq!(booted.difference(&explored), None, "{name}, {case:?}");
                true
            });
        }
    }
}

/// Mistakes of the code that is compiled twice, but for those that only a second CPU could notice; and where
/// each does something else.
const MISTAKES: &[(Mutant, &str)] = &[
    (Mutant::LookUpBeforeLock, "a hole"),
    (Mutant::ReadTakesNoEntry, "a hole"),
    (Mutant::InstallUnlocked, "a block"),
    (Mutant::LargeAllocatesShared, "a hole"),
    (Mutant::CopyUnlocked, "a block"),
    (Mutant::MarkAfterUnlock, "a block"),
    (Mutant::ZeroTwice, "a block"),
    (Mutant::ReadAllocates, "a hole"),
    (Mutant::KeepZeroPage, "the zero page elsewhere"),
    (Mutant::KeepLargeZeroPage, "the zero page of 2 MiB elsewhere"),
    (Mutant::NoDirtyMark, "a block"),
    (Mutant::MarkAfterInstall, "a block"),
    (Mutant::PrivateNeedsWritable, "a block"),
    (Mutant::NoZeroMark, "a hole"),
    (Mutant::IgnorePoison, "bad memory"),
    (Mutant::PrivateWritesThrough, "a block"),
    (Mutant::WriteBackShared, "a block"),
    (Mutant::NoFence, "a block"),
    (Mutant::FenceAfterUnlock, "a block"),
    (Mutant::SyncTrustsTags, "a block"),
];

#[test]
fn a_body_that_differs_is_noticed() {
    let image = image();
    for (mutant, start) in MISTAKES {
        let start = STARTS.iter().find(|(name, _)| name == start).expect("it is in the list");
        let mut noticed = false;
        each_case(&mut |case| {
            if !case.sync {
                let [booted, mistaken] =
                    [Use::Booted, Use::Mistaken(*mutant)].map(|lab| on_ext2(&image, start, &case, &lab));
                noticed = booted.difference(&mistaken).is_some();
            }
            !noticed
        });
        assert!(noticed, "{mutant}");
    }
}

/// The same, of what only a journal notices.
const JOURNALED_MISTAKES: &[(Mutant, &str)] = &[
    (Mutant::IgnoreUncommitted, "not committed"),
    (Mutant::BeginBeforeLock, "a hole"),
    (Mutant::BeginUnderEntry, "a hole"),
    (Mutant::NoCommit, "settled"),
];

#[test]
fn a_body_that_differs_is_noticed_where_a_journal_is_asked() {
    for (mutant, start) in JOURNALED_MISTAKES {
        let (_, backing) = JOURNALED.iter().find(|(name, _)| name == start).expect("it is in the list");
        let mut noticed = false;
        each_case(&mut |case| {
            let [booted, mistaken] =
                [Use::Booted, Use::Mistaken(*mutant)].map(|lab| on_journal(*backing, false, &case, &lab));
            noticed = booted.difference(&mistaken).is_some();
            !noticed
        });
        assert!(noticed, "{mutant}");
    }
}
