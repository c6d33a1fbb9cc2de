//! Freezing a file system: changes wait, reads go on.
//!
//! Whoever changes something holds [`Thawed`] from before its first lock to after its last store.
//! [`Freeze::freeze`] waits for those that are on their way and keeps the others waiting until the thaw.
//! Changing from writable to read-only and back is done the same way.
//!
//! Nobody asks for a second [`Thawed`] while he holds one: with somebody waiting to freeze in between, each
//! would wait for the other. Where that is not known (a handle's drop), [`Freeze::try_change`] does not wait.
//!
//! # Locking
//! `address space → freeze → inode lock → …`: taken before any inode's lock.

use crate::platform::{Platform, RwLock};
use alloc::sync::Arc;
use lock_api::{ArcRwLockWriteGuard, RwLockReadGuard};

/// Whether a file system is frozen.
pub struct Freeze<P: Platform>(Arc<RwLock<P, ()>>);

/// Proof that the file system is not frozen, and will not be as long as this lives.
#[must_use]
pub struct Thawed<'a, P: Platform>(#[allow(dead_code)] Option<RwLockReadGuard<'a, P::RwLock, ()>>);

/// A file system is frozen until this is dropped.
#[must_use]
pub struct Frozen<P: Platform>(#[allow(dead_code)] ArcRwLockWriteGuard<P::RwLock, ()>);

impl<P: Platform> Default for Freeze<P> {
    fn default() -> Self {
        Self(Arc::new(RwLock::<P, ()>::new(())))
    }
}

impl<P: Platform> Freeze<P> {
    /// Waits until it is not frozen.
    #[inline]
    pub fn start_change(&self) -> Thawed<'_, P> {
        Thawed(Some(self.0.read()))
    }

    /// Starts a change as [`start_change`](Self::start_change) does, where nobody may wait: `None` while the
    /// file system is frozen, or about to be.
    #[inline]
    pub fn try_change(&self) -> Option<Thawed<'_, P>> {
        self.0.try_read().map(|guard| Thawed(Some(guard)))
    }

    /// Returns the addresses that the freeze's lock has.
    #[cfg(feature = "watched")]
    pub(crate) fn lies(&self) -> core::ops::Range<usize> {
        super::watched::lies(&*self.0)
    }

    /// Waits for all changes that are on their way; new ones wait.
    pub fn freeze(&self) -> Frozen<P> {
        Frozen(RwLock::<P, ()>::write_arc(&self.0))
    }
}

impl<P: Platform> Thawed<'_, P> {
    /// Makes the proof for what is never frozen.
    pub const fn always() -> Self {
        Self(None)
    }
}
