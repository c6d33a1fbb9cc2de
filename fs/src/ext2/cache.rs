//! Which inodes are in memory: each at most once, for as long as somebody holds it.
//!
//! # Locking
//! One mutex a shard, a leaf: nothing is locked inside, and no inode is dropped inside.

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
    pub(super) fn get(&self, ino: u32, load: impl FnOnce() -> Result<Inode<P>>) -> Result<Arc<Inode<P>>> {
        let mut shard = self.shard(ino).lock();
        if let Some(inode) = shard.get(&ino).and_then(Weak::upgrade) {
            return Ok(inode);
        }
        let inode = Arc::new(load()?);
        shard.insert(ino, Arc::downgrade(&inode));
        Ok(inode)
    }

    /// `inode` is being dropped. Its number may have been given to another one meanwhile, which stays.
    pub(super) fn forget(&self, inode: &Inode<P>) {
        let mut shard = self.shard(inode.ino).lock();
        if shard.get(&inode.ino).is_some_and(|weak| core::ptr::eq(weak.as_ptr(), inode)) {
            shard.remove(&inode.ino);
        }
    }

    /// True if no inode is in memory.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().is_empty())
    }

    /// Calls `f` with each inode in memory, no lock held.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Arc<Inode<P>>)) {
        for shard in &self.shards {
            let inodes: Vec<_> = shard.lock().values().filter_map(Weak::upgrade).collect();
            inodes.iter().for_each(&mut f);
        }
    }
}
