//! Which inodes are in memory: each at most once, for as long as somebody holds it, and the most recently
//! used ones longer, so that a look-up of what was looked up before loads nothing and allocates nothing.
//!
//! A number has one instance at a time, from its loading to the end of its drop: two would have two locks.
//! Whoever asks for an inode whose last handle is just being dropped waits until that is over (Linux's
//! `I_FREEING`), which it is soon: a drop takes no inode lock and asks for no inode.
//!
//! An inode that lost its last name is not kept, so that it is freed with its last handle; nor is one with
//! blocks beyond its end, which go then.
//!
//! # Locking
//! One mutex a shard, a leaf: nothing is locked inside, and no inode is dropped inside. It is let go between
//! two looks at an inode that is being dropped. Only [`Cache::if_idle`] holds more than one, in order. An
//! inode that has to make room for another is dropped by whoever asked for that one, perhaps under a
//! directory's inode lock: the drop takes block map and groups, which come after it.

use crate::atomic::{AtomicBool, AtomicUsize};
use crate::error::{Errno, Result};
use crate::platform::{Mutex, Platform};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use hashbrown::HashTable;

const SHARDS: usize = 16;
/// In the place of an index: it is not kept.
const NOT_KEPT: u32 = u32::MAX;

/// What the cache asks of an inode.
pub(crate) trait Cached {
    /// Its number.
    fn ino(&self) -> u32;
    /// It was asked for since the cache last looked for one to let go.
    fn recent(&self) -> &AtomicBool;
    /// True if its last handle has nothing to free: it may stay in memory without one.
    fn may_be_kept(&self) -> bool;
    /// True if nothing is lost when it goes, and its drop would take no lock.
    fn has_nothing_to_do(&self) -> bool;
    /// The cache, which has the only handle, let go of it, and has forgotten it already.
    fn detach(&self);
}

struct CacheEntry<I> {
    ino: u32,
    /// Its place among the kept ones, or [`NOT_KEPT`].
    kept: u32,
    inode: Weak<I>,
}

struct Shard<I> {
    table: HashTable<CacheEntry<I>>,
    /// Kept in memory, a clock: the hand looks for one that was not asked for since it came by.
    kept: Vec<Arc<I>>,
    hand: usize,
}

/// The inodes of type `I` that are in memory.
pub(crate) struct Cache<P: Platform, I> {
    shards: [Mutex<P, Shard<I>>; SHARDS],
    /// How many each shard keeps.
    keep: AtomicUsize,
}

/// Numbers of a shard's inodes differ in what is above the shard's.
fn hash(ino: u32) -> u64 {
    u64::from(ino / SHARDS as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<I: Cached> Shard<I> {
    #[inline]
    fn find(&mut self, ino: u32) -> Option<&mut CacheEntry<I>> {
        self.table.find_mut(hash(ino), |entry| entry.ino == ino)
    }

    /// Makes room for one more.
    fn reserve(&mut self) -> Result<()> {
        let room = self.table.try_reserve(1, |entry| hash(entry.ino));
        Ok(room.map_err(|_| Errno::NoMemory)?)
    }

    /// Adds `inode`, and keeps it. What had to make room is returned, to be dropped without the lock.
    fn insert(&mut self, inode: &Arc<I>, limit: usize) -> Result<Option<Arc<I>>> {
        self.reserve()?;
        let entry = CacheEntry { ino: inode.ino(), kept: NOT_KEPT, inode: Arc::downgrade(inode) };
        self.table.insert_unique(hash(inode.ino()), entry, |entry| hash(entry.ino));
        Ok(self.keep(inode, limit))
    }

    fn set_kept(&mut self, ino: u32, kept: usize) {
        if let Some(entry) = self.find(ino) {
            entry.kept = kept as u32;
        }
    }

    /// Keeps `inode`. What had to make room is returned, to be dropped without the lock.
    fn keep(&mut self, inode: &Arc<I>, limit: usize) -> Option<Arc<I>> {
        if self.kept.len() < limit {
            if self.kept.try_reserve(1).is_ok() {
                self.kept.push(inode.clone());
                self.set_kept(inode.ino(), self.kept.len() - 1);
            }
            return None;
        }
        let len = self.kept.len();
        if len == 0 {
            return None;
        }
        while self.kept[self.hand % len].recent().swap(false, Relaxed) {
            self.hand = (self.hand + 1) % len;
        }
        let place = self.hand % len;
        self.hand = (place + 1) % len;
        let old = core::mem::replace(&mut self.kept[place], inode.clone());
        self.set_kept(old.ino(), NOT_KEPT as usize);
        self.set_kept(inode.ino(), place);
        Some(old)
    }

    /// Keeps `ino` no longer.
    fn unkeep(&mut self, ino: u32) -> Option<Arc<I>> {
        let place = match self.find(ino) {
            Some(entry) if entry.kept != NOT_KEPT => core::mem::replace(&mut entry.kept, NOT_KEPT) as usize,
            _ => return None,
        };
        let inode = self.kept.swap_remove(place);
        if let Some(moved) = self.kept.get(place).map(|inode| inode.ino()) {
            self.set_kept(moved, place);
        }
        Some(inode)
    }

    fn remove(&mut self, ino: u32) {
        if let Ok(entry) = self.table.find_entry(hash(ino), |entry| entry.ino == ino) {
            entry.remove();
        }
    }
}

impl<P: Platform, I: Cached> Cache<P, I> {
    /// Makes a cache that keeps about `keep` inodes.
    pub(crate) fn new(keep: usize) -> Self {
        let shard = |_| Mutex::<P, _>::new(Shard { table: HashTable::new(), kept: Vec::new(), hand: 0 });
        Self { shards: core::array::from_fn(shard), keep: AtomicUsize::new(keep.div_ceil(SHARDS)) }
    }

    fn shard(&self, ino: u32) -> &Mutex<P, Shard<I>> {
        &self.shards[ino as usize % SHARDS]
    }

    /// Returns the inode in memory, or the one that `load` makes. `load` locks nothing.
    pub(crate) fn get(
        &self,
        platform: &P,
        ino: u32,
        load: impl FnOnce() -> Result<Arc<I>>,
    ) -> Result<Arc<I>> {
        loop {
            let mut guard = self.shard(ino).lock();
            let shard = &mut *guard;
            let known = match shard.table.find(hash(ino), |entry| entry.ino == ino) {
                Some(entry) if entry.kept != NOT_KEPT => {
                    let inode = &shard.kept[entry.kept as usize];
                    if !inode.recent().load(Relaxed) {
                        inode.recent().store(true, Relaxed);
                    }
                    return Ok(inode.clone());
                }
                Some(entry) => Some(entry.inode.upgrade()),
                None => None,
            };
            let limit = self.keep.load(Relaxed);
            match known {
                Some(Some(inode)) => {
                    // Whoever takes the last name away ends the keeping after that: either that sees this, or
                    // this sees that.
                    let old = if inode.may_be_kept() { shard.keep(&inode, limit) } else { None };
                    drop(guard);
                    drop(old);
                    return Ok(inode);
                }
                None => {
                    // Before there is an inode: none may be dropped here.
                    shard.reserve()?;
                    let inode = load()?;
                    let old = shard.insert(&inode, limit)?;
                    drop(guard);
                    drop(old);
                    return Ok(inode);
                }
                // Its drop is running: until `forget`, the number is taken.
                Some(None) => drop(guard),
            }
            platform.relax();
        }
    }

    /// Adds a new inode, and returns the one that had to make room for it: for the caller to let go of with
    /// no lock held.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn add(&self, platform: &P, inode: &Arc<I>) -> Result<Option<Arc<I>>> {
        let ino = inode.ino();
        loop {
            let mut shard = self.shard(ino).lock();
            // Else the drop of the one before is running.
            if shard.find(ino).is_none() {
                return shard.insert(inode, self.keep.load(Relaxed));
            }
            drop(shard);
            platform.relax();
        }
    }

    /// Stops keeping inode `ino`, which lost its last name, or never gets one: its last handle is somebody
    /// else's from now on.
    pub(crate) fn unkeep(&self, ino: u32) {
        let inode = self.shard(ino).lock().unkeep(ino);
        drop(inode);
    }

    /// Forgets `inode`, whose drop is over: its number may be loaded, or given to another inode, from here
    /// on.
    pub(crate) fn forget(&self, inode: &I) {
        self.shard(inode.ino()).lock().remove(inode.ino());
    }

    /// Calls `f` if nobody holds an inode; nobody gets one meanwhile. True if it was called.
    pub(crate) fn if_idle(&self, f: impl FnOnce()) -> bool {
        let shards = self.shards.each_ref().map(|shard| shard.lock());
        // One that is not kept is held, or its drop is running. Of one that is kept there are no weak handles
        // but ours, and those become strong ones under the lock only.
        let idle = shards.iter().all(|shard| {
            shard.kept.len() == shard.table.len()
                && shard.kept.iter().all(|inode| Arc::strong_count(inode) == 1)
        });
        if idle {
            f();
        }
        idle
    }

    /// Keeps nothing any more.
    pub(crate) fn close(&self) {
        self.keep.store(0, Relaxed);
        for shard in &self.shards {
            let kept = {
                let mut shard = shard.lock();
                shard.table.iter_mut().for_each(|entry| entry.kept = NOT_KEPT);
                core::mem::take(&mut shard.kept)
            };
            drop(kept);
        }
    }

    /// Lets go of inodes that nobody holds and whose drop has nothing to do; returns how many. Waits for no
    /// lock.
    pub(crate) fn shrink(&self) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            while let Some(inode) = Self::take_idle(shard) {
                count += 1;
                drop(inode);
            }
        }
        count
    }

    fn take_idle(shard: &Mutex<P, Shard<I>>) -> Option<Arc<I>> {
        let mut shard = shard.try_lock()?;
        let idle = |inode: &&Arc<I>| Arc::strong_count(inode) == 1 && inode.has_nothing_to_do();
        let ino = shard.kept.iter().find(idle)?.ino();
        let inode = shard.unkeep(ino)?;
        // Nobody gets it any more, so nobody waits for the end of its drop.
        shard.remove(ino);
        inode.detach();
        Some(inode)
    }

    /// Calls `f` with each inode in memory, no lock held; also after an error, of which the first is
    /// returned.
    pub(crate) fn try_for_each(&self, mut f: impl FnMut(&Arc<I>) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        self.for_each(|inode| {
            let one = f(inode);
            if result.is_ok() {
                result = one;
            }
        });
        result
    }

    /// Calls `f` with each inode in memory, no lock held.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Arc<I>)) {
        for shard in &self.shards {
            let inodes: Vec<_> =
                shard.lock().table.iter().filter_map(|entry| entry.inode.upgrade()).collect();
            inodes.iter().for_each(&mut f);
        }
    }
}
