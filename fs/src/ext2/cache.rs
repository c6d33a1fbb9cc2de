//! Which inodes are in memory: each at most once, for as long as somebody holds it.
//!
//! A number has one instance at a time, from its loading to the end of its drop: two would have two locks. Whoever asks
//! for an inode whose last handle is just being dropped waits until that is over (Linux's `I_FREEING`), which it is
//! soon: a drop takes no inode lock and asks for no inode.
//!
//! # Locking
//! One mutex a shard, a leaf: nothing is locked inside, and no inode is dropped inside. It is let go between two looks
//! at an inode that is being dropped. Only [`Cache::if_empty`] holds more than one, in order.

use super::inode::Inode;
use crate::error::Result;
use crate::platform::{Mutex, Platform};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

const SHARDS: usize = 16;

type Shard<P> = Mutex<P, BTreeMap<u32, Weak<Inode<P>>>>;

pub(super) struct Cache<P: Platform> {
    shards: [Shard<P>; SHARDS],
}

impl<P: Platform> Cache<P> {
    pub(super) fn new() -> Self {
        Self { shards: core::array::from_fn(|_| Shard::<P>::new(BTreeMap::new())) }
    }

    fn shard(&self, ino: u32) -> &Shard<P> {
        &self.shards[ino as usize % SHARDS]
    }

    /// The inode in memory, or the one that `load` makes. `load` locks nothing.
    pub(super) fn get(
        &self,
        platform: &P,
        ino: u32,
        load: impl FnOnce() -> Result<Inode<P>>,
    ) -> Result<Arc<Inode<P>>> {
        loop {
            let mut shard = self.shard(ino).lock();
            match shard.get(&ino).map(Weak::upgrade) {
                Some(Some(inode)) => return Ok(inode),
                None => {
                    let inode = Arc::new(load()?);
                    shard.insert(ino, Arc::downgrade(&inode));
                    return Ok(inode);
                }
                // Its drop is running: until `forget`, the number is taken.
                Some(None) => drop(shard),
            }
            platform.relax();
        }
    }

    /// The drop of `inode` is over: its number may be loaded, or given to another inode, from here on.
    pub(super) fn forget(&self, inode: &Inode<P>) {
        self.shard(inode.ino).lock().remove(&inode.ino);
    }

    /// Calls `f` if no inode is in memory; none comes into it meanwhile. True if it was called.
    pub(super) fn if_empty(&self, f: impl FnOnce()) -> bool {
        let shards = self.shards.each_ref().map(|shard| shard.lock());
        let empty = shards.iter().all(|shard| shard.is_empty());
        if empty {
            f();
        }
        empty
    }

    /// Calls `f` with each inode in memory, no lock held.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Arc<Inode<P>>)) {
        for shard in &self.shards {
            let inodes: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            inodes.iter().for_each(&mut f);
        }
    }
}
