//! The inode lock (Linux: `i_rwsem`): who changes an inode's content, size, names or attributes by a call
//! holds it exclusively, who reads them by a call shared.
//!
//! A fault does not take it, nor does msync: what keeps blocks where they are for those is the invalidate
//! lock ([`Mapping`](super::Mapping)), which comes after. Whoever frees or moves blocks holds both
//! exclusively, so either lock, held shared, is enough to look blocks up and use them. A hole is another
//! matter: faults fill it beside the inode lock.

use crate::platform::Platform;
use lock_api::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One inode's.
pub struct InodeLock<P: Platform>(RwLock<P::InodeLock, ()>);

/// The inode lock, held shared.
pub type InodeShared<'a, P> = RwLockReadGuard<'a, <P as Platform>::InodeLock, ()>;

/// The inode lock, held exclusively.
pub type InodeExclusive<'a, P> = RwLockWriteGuard<'a, <P as Platform>::InodeLock, ()>;

impl<P: Platform> InodeLock<P> {
    /// Returns one that nobody holds.
    pub fn new() -> Self {
        Self(RwLock::new(()))
    }

    /// Takes it shared.
    #[inline]
    pub fn shared(&self) -> InodeShared<'_, P> {
        self.0.read()
    }

    /// Takes it exclusively.
    #[inline]
    pub fn exclusive(&self) -> InodeExclusive<'_, P> {
        self.0.write()
    }

    /// Tells where it lies.
    #[cfg(feature = "watched")]
    pub fn tell(&self, tell: super::watched::Tell<'_>) {
        tell("inode lock", super::watched::lies(&self.0));
    }
}

impl<P: Platform> Default for InodeLock<P> {
    fn default() -> Self {
        Self::new()
    }
}
