//! The inode lock (Linux: `i_rwsem`): who changes an inode's content, size, names or attributes by a call
//! holds it exclusively, who reads them by a call shared.
//!
//! A fault does not take it, nor does msync: what keeps blocks where they are for those is the invalidate
//! lock ([`Mapping`](super::Mapping)), which comes after. Whoever frees or moves blocks holds both
//! exclusively, so either lock, held shared, is enough to look blocks up and use them. A hole is another
//! matter: faults fill it beside the inode lock.
//!
//! Who needs the lock asks for the proof that it is held: to look, [`InodeHeld`]; to change, [`ChangeOk`].

use crate::platform::Platform;
use core::marker::PhantomData;
use lock_api::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One inode's.
pub struct InodeLock<P: Platform>(RwLock<P::InodeLock, ()>);

/// Proof that an inode's lock is held, shared or exclusively, for `'a`, or that nobody else can reach the
/// inode. Which inode that is, it does not prove.
#[derive(Clone, Copy, Debug)]
pub struct InodeHeld<'a>(PhantomData<&'a ()>);

/// Leave to change an inode: its lock is held exclusively for `'a`, or nobody else can reach it. Which inode
/// that is, it does not prove. The one exception is `InodeWriter::Mistaken`, of the lab.
#[derive(Clone, Copy, Debug)]
pub struct ChangeOk<'a>(PhantomData<&'a ()>);

impl<'a> ChangeOk<'a> {
    /// Gives leave where nobody else can reach the inode. It was made just now, and no name leads to it yet;
    /// or its last handle is gone: no name leads to it any more, or whoever finds one waits until its drop is
    /// over.
    #[inline(always)]
    pub(crate) fn nobody_else() -> Self {
        Self(PhantomData)
    }

    /// Returns proof that the lock is held: whoever may change an inode may look at it.
    #[inline(always)]
    pub fn held(self) -> InodeHeld<'a> {
        InodeHeld(PhantomData)
    }
}

/// The inode lock, held shared.
#[must_use]
pub struct InodeShared<'a, P: Platform>(#[allow(dead_code)] RwLockReadGuard<'a, P::InodeLock, ()>);

/// The inode lock, held exclusively.
#[must_use]
pub struct InodeExclusive<'a, P: Platform>(#[allow(dead_code)] RwLockWriteGuard<'a, P::InodeLock, ()>);

impl<P: Platform> InodeShared<'_, P> {
    /// Returns proof of it.
    #[inline(always)]
    pub fn held(&self) -> InodeHeld<'_> {
        InodeHeld(PhantomData)
    }
}

impl<P: Platform> InodeExclusive<'_, P> {
    /// Gives leave to change the inode.
    #[inline(always)]
    pub fn change_ok(&self) -> ChangeOk<'_> {
        ChangeOk(PhantomData)
    }
}

/// The inode lock, held exclusively; or not at all, where that mistake is made.
pub(crate) enum InodeWriter<'a, P: Platform> {
    /// Exclusively.
    Exclusive(InodeExclusive<'a, P>),
    /// Not at all.
    #[cfg(feature = "lab")]
    Mistaken,
}

impl<P: Platform> InodeWriter<'_, P> {
    /// Gives leave to change the inode.
    #[inline(always)]
    pub(crate) fn change_ok(&self) -> ChangeOk<'_> {
        match self {
            Self::Exclusive(exclusive) => exclusive.change_ok(),
            #[cfg(feature = "lab")]
            Self::Mistaken => ChangeOk(PhantomData),
        }
    }
}

impl<P: Platform> InodeLock<P> {
    /// Returns one that nobody holds.
    pub fn new() -> Self {
        Self(RwLock::new(()))
    }

    /// Takes it shared.
    #[inline]
    pub fn shared(&self) -> InodeShared<'_, P> {
        InodeShared(self.0.read())
    }

    /// Takes it exclusively.
    #[inline]
    pub fn exclusive(&self) -> InodeExclusive<'_, P> {
        InodeExclusive(self.0.write())
    }

    /// Takes it exclusively, unless the mistake is made not to take it.
    #[inline(always)]
    pub(crate) fn exclusive_but_for(&self, mistake: bool) -> InodeWriter<'_, P> {
        match mistake {
            #[cfg(feature = "lab")]
            true => InodeWriter::Mistaken,
            _ => InodeWriter::Exclusive(self.exclusive()),
        }
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
