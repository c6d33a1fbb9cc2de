//! Frames of page tables, whose entries are words that the scheduler owns.
//!
//! The crate `paging` stores to these words and reads them; here each access that another CPU could notice is
//! a step, and what a change leaves behind in TLBs is noted. Three kinds of words are no steps, for the order
//! of who stores to them and who reads them is settled by steps around them:
//!
//! - those of a table that no other table leads to: its owner alone knows it;
//! - those of the two upper levels: the ways to all page directories are there before anybody runs, and stay;
//! - loads of entries that nobody accesses, in page tables and directories: such an entry is only ever taken
//!   out or weakened, and who looks at it does that too, under the same lock, *removal*.
//!
//! That these are all is not taken on trust: a change that should not be there ends the run.

use super::tables::{Hardware, Says};
use crate::sched::engine::{self, Need, is_running, visible_as};
use crate::sched::touch::{SharedPlace, Touch};
use fs::platform::PageSize;
use paging::{EntryWord, PageTable, PageTableEntry};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Physical addresses of tables begin here.
const TABLES: u64 = 1 << 49;
/// As many tables as all address spaces of a world may have.
const MOST: usize = 512;
/// The level of a root.
const ROOT: u32 = 4;
const LARGE: u64 = PageSize::Large.bytes();

/// A word of a table.
#[derive(Debug)]
pub struct TableWord(AtomicU64);

/// Where a table is in the tree of an address space.
struct Owner {
    hardware: Weak<Hardware>,
    space: usize,
    level: u32,
    /// The first address that it translates.
    start: u64,
    /// Whether the CPU gets there: otherwise it is still, or again, somebody's own.
    linked: bool,
    /// The entry that accesses go by.
    hot: Option<usize>,
}

impl Owner {
    /// The first address that an entry translates.
    fn va(&self, index: usize) -> u64 {
        if self.level == 0 { 0 } else { self.start + ((index as u64) << (12 + 9 * (self.level - 1))) }
    }
}

/// The frames of a thread of the host: all machines of a thread use them one after the other.
struct Frames {
    tables: &'static [PageTable<TableWord>],
    owners: RefCell<Vec<Option<Owner>>>,
}

thread_local! {
    static FRAMES: Frames = {
        let tables: Vec<PageTable<TableWord>> = (0..MOST).map(|_| [const { TableWord(AtomicU64::new(0)) }; 512]).collect();
        Frames { tables: Vec::leak(tables), owners: RefCell::new((0..MOST).map(|_| None).collect()) }
    };
}

/// Allocates a frame for a table of an address space; its root, if it has none yet.
pub(super) fn allocate(hardware: &Arc<Hardware>, space: usize, is_root: bool) -> u64 {
    FRAMES.with(|frames| {
        let mut owners = frames.owners.borrow_mut();
        // Those of a machine that is gone are free: a mistake may have lost some.
        let is_free =
            |owner: &Option<Owner>| owner.as_ref().is_none_or(|owner| owner.hardware.strong_count() == 0);
        let number = owners.iter().position(is_free).expect("a frame for a table");
        frames.tables[number].iter().for_each(|slot| slot.0.store(0, Ordering::Relaxed));
        let (hardware, level) = (Arc::downgrade(hardware), if is_root { ROOT } else { 0 });
        owners[number] = Some(Owner { hardware, space, level, start: 0, linked: is_root, hot: None });
        TABLES + number as u64 * 4096
    })
}

fn number_of(frame: u64) -> usize {
    ((frame - TABLES) / 4096) as usize
}

/// Frees a table's frame.
pub(super) fn free(frame: u64) {
    let owner = FRAMES.with(|frames| frames.owners.borrow_mut()[number_of(frame)].take());
    match owner {
        None => engine::fail(|| "a page table is freed twice".into()),
        Some(owner) if owner.linked && owner.level != ROOT => {
            engine::fail(|| "a page table is freed that a CPU still gets to".into());
        }
        Some(_) => {}
    }
}

/// Returns the table in a frame.
pub(super) fn table(frame: u64) -> &'static PageTable<TableWord> {
    FRAMES.with(|frames| &frames.tables[number_of(frame)])
}

/// A word's place in its tree.
struct EntryPlace {
    hardware: Arc<Hardware>,
    space: usize,
    level: u32,
    /// The first address that it translates.
    va: u64,
    linked: bool,
    is_hot: bool,
}

impl EntryPlace {
    /// Who looks at the word, or changes it, touches this.
    fn place(&self) -> SharedPlace {
        SharedPlace::entry(self.space, self.level, self.va)
    }
}

/// What a word says, in a table of `level`.
fn says(word: u64, level: u32) -> Option<(Says, PageSize)> {
    let entry = PageTableEntry(word);
    let size = match level {
        1 => PageSize::Small,
        2 => PageSize::Large,
        _ => return None,
    };
    let leaf = entry.is_present() && entry.is_leaf(level);
    leaf.then(|| (Says { frame: entry.address(), writable: entry.is_writable() }, size))
}

/// The table that an entry leads to.
fn below(word: u64, level: u32) -> Option<u64> {
    let entry = PageTableEntry(word);
    (level > 1 && entry.is_present() && !entry.is_leaf(level)).then(|| entry.address())
}

impl TableWord {
    fn at(&self) -> EntryPlace {
        FRAMES.with(|frames| {
            let bytes = std::ptr::from_ref(self).addr() - frames.tables.as_ptr().addr();
            let owners = frames.owners.borrow();
            let owner = owners[bytes / 4096].as_ref().expect("a table that is in use");
            let (level, index) = (owner.level, bytes % 4096 / 8);
            let va = owner.va(index);
            let hardware = owner.hardware.upgrade().expect("the table's machine");
            let is_hot = owner.hot == Some(index);
            EntryPlace { hardware, space: owner.space, level, va, linked: owner.linked, is_hot }
        })
    }

    /// It is about to be loaded.
    fn look(&self) {
        if !is_running() {
            return;
        }
        let place = FRAMES.with(|frames| {
            let bytes = std::ptr::from_ref(self).addr() - frames.tables.as_ptr().addr();
            let owners = frames.owners.borrow();
            let owner = owners[bytes / 4096].as_ref().expect("a table that is in use");
            let is_seen = owner.linked && owner.hot == Some(bytes % 4096 / 8);
            is_seen.then(|| SharedPlace::entry(owner.space, owner.level, owner.va(bytes % 4096 / 8)))
        });
        if let Some(place) = place {
            engine::visible(Touch::One(place, false), Need::Nothing, 1, "looks at the tables");
        }
    }

    /// Changes it in one step. `change` may be asked more than once.
    fn change(&self, change: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        let change = RefCell::new(change);
        let new = || (change.borrow_mut())(self.0.load(Ordering::Relaxed));
        let at = self.at();
        if is_running() && at.linked {
            let (old, new_now) = (self.0.load(Ordering::Relaxed), new());
            let touched = |changes| at.touch(changes, old, new_now.unwrap_or(old));
            let taken = || touched(new().is_some_and(|new| new != self.0.load(Ordering::Relaxed)));
            let what = at.what(old, new_now.unwrap_or(old));
            visible_as(touched(true), Need::Nothing, 1, what, &taken);
        }
        let old = self.0.load(Ordering::Relaxed);
        let Some(new) = (change.borrow_mut())(old) else { return Err(old) };
        self.0.store(new, Ordering::Relaxed);
        if at.linked && new != old {
            at.changed(old, new);
        }
        Ok(old)
    }
}

impl EntryPlace {
    /// What a change touches: the entry, and the blocks that it leads to, before and after.
    fn touch(&self, changes: bool, old: u64, new: u64) -> Touch {
        let block =
            |word| says(word, self.level).and_then(|(says, _)| says.block()).map(|block| (block, false));
        let entry = (self.place(), changes);
        match (block(old), block(new)) {
            (None, None) => Touch::One(entry.0, entry.1),
            (Some(one), None) | (None, Some(one)) => Touch::Two([entry, one]),
            (Some(one), Some(other)) if one == other => Touch::Two([entry, one]),
            (Some(one), Some(other)) => Touch::Three([entry, one, other]),
        }
    }

    fn what(&self, old: u64, new: u64) -> &'static str {
        match (says(old, self.level), says(new, self.level)) {
            _ if below(new, self.level).is_some() => "links a table",
            (None, Some((says, _))) if says.is_zero() => "maps the zero page",
            (None, Some((says, _))) if says.is_copy() => "maps a copy",
            (None, Some((says, _))) if says.writable => "maps for stores",
            (None, Some(_)) => "maps for loads",
            (Some((old, _)), Some((new, _))) if old.frame != new.frame => "replaces an entry",
            (Some((old, _)), Some(_)) if old.writable => "write-protects an entry",
            (Some(_), Some(_)) => "maps for stores",
            (Some(_), None) => "takes an entry out",
            (None, None) => "changes an entry",
        }
    }

    /// The word has changed: so has what tables say, and what TLBs may still say.
    fn changed(&self, old: u64, new: u64) {
        if is_running() {
            if self.level > 2 {
                engine::fail(|| "the way to a page directory has changed while CPUs ran".into());
            }
            if old == 0 && !self.is_hot {
                engine::fail(|| "an entry was made where the explorer looks for none".into());
            }
        }
        let (hw, space) = (&self.hardware, self.space);
        // 1. What it led to.
        if let Some((_, size)) = says(old, self.level) {
            hw.says_no_more(space, self.va, size);
        }
        if let Some(table) = below(old, self.level) {
            self.each_leaf(table, |va, _| hw.says_no_more(space, va, PageSize::Small));
            unlink(table);
        }
        // 2. What it leads to.
        if let Some((says, size)) = says(new, self.level) {
            if says.writable && says.is_zero() {
                engine::fail(|| "the zero page is mapped for stores".into());
            }
            hw.says(space, self.va, size, says);
        }
        if let Some(table) = below(new, self.level) {
            let (level, start) = (self.level - 1, self.va);
            with_owner(table, |owner| {
                (owner.level, owner.start, owner.linked) = (level, start, true);
                owner.hot = (0..512).find(|&index| level <= 2 && hw.is_hot(owner.va(index), level));
            });
            self.each_leaf(table, |va, says| hw.says(space, va, PageSize::Small, says));
        }
        // 3. What TLBs may still have.
        match (says(old, self.level), below(old, self.level)) {
            (Some((says, size)), _) => hw.left_behind(space, self.va, size, says),
            (None, Some(table)) => {
                self.each_leaf(table, |va, says| hw.left_behind(space, va, PageSize::Small, says));
            }
            (None, None) => {}
        }
    }

    /// The leaves of a page table that this word led or leads to. (Larger tables are linked, and unlinked,
    /// empty.)
    fn each_leaf(&self, table: u64, mut f: impl FnMut(u64, Says)) {
        if self.level == 2 {
            for (slot, va) in self::table(table).iter().zip((self.va..self.va + LARGE).step_by(4096)) {
                if let Some((says, _)) = says(slot.0.load(Ordering::Relaxed), 1) {
                    f(va, says);
                }
            }
        }
    }
}

/// No CPU gets to the table any more, nor to those below it.
fn unlink(frame: u64) {
    let mut level = 0;
    with_owner(frame, |owner| (owner.linked, level) = (false, owner.level));
    let words = table(frame).iter().map(|slot| slot.0.load(Ordering::Relaxed));
    words.filter_map(|word| below(word, level)).for_each(unlink);
}

fn with_owner(frame: u64, f: impl FnOnce(&mut Owner)) {
    FRAMES.with(|frames| {
        f(frames.owners.borrow_mut()[number_of(frame)].as_mut().expect("a table that is in use"))
    });
}

impl EntryWord for TableWord {
    fn load(&self, _: Ordering) -> u64 {
        self.look();
        self.0.load(Ordering::Relaxed)
    }

    fn store(&self, value: u64, _: Ordering) {
        self.swap(value, Ordering::Relaxed);
    }

    fn swap(&self, value: u64, _: Ordering) -> u64 {
        self.change(&mut |_| Some(value)).unwrap_or_else(|old| old)
    }

    fn compare_exchange(&self, old: u64, new: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        self.change(&mut |now| (now == old).then_some(new))
    }

    fn fetch_and(&self, value: u64, _: Ordering) -> u64 {
        self.change(&mut |now| Some(now & value)).unwrap_or_else(|old| old)
    }

    fn fetch_update(
        &self,
        _: Ordering,
        _: Ordering,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        self.change(&mut change)
    }
}
