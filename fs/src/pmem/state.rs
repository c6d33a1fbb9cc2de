//! Persistence in the types: dirty → in flight → clean.
//!
//! Whoever stores metadata gets a [`Staged`] value back. It says *what* was done (`T`, e.g. "block 7 is
//! zeroed") and how far that is from being durable (`S`). [`flush`](Staged::flush) and
//! [`fence`](Staged::fence) consume it and return the next state, so a step cannot be forgotten, and what
//! publishes a thing asks for `Staged<_, Clean>`.
//!
//! One fence serves everything in flight: [`fence_all`] takes a tuple.
//!
//! The order of a store and its publication is what this proves; that two CPUs do not interleave them is the
//! locks' part.

use super::Pmem;
use core::marker::PhantomData;

/// Stored, perhaps still in the cache.
#[derive(Debug)]
pub enum Dirty {}
/// Flushed or stored past the cache, not yet fenced.
#[derive(Debug)]
pub enum InFlight {}
/// Persistent.
#[derive(Debug)]
pub enum Clean {}

/// The fact `T` about some bytes of persistent memory, in state `S`.
#[derive(Debug)]
#[must_use = "what was stored must be flushed and fenced, or given up by name (`unordered`)"]
pub struct Staged<T, S> {
    fact: T,
    offset: u64,
    len: u64,
    state: PhantomData<S>,
}

impl<T, S> Staged<T, S> {
    #[inline(always)]
    fn next<N>(self) -> Staged<T, N> {
        Staged { fact: self.fact, offset: self.offset, len: self.len, state: PhantomData }
    }

    /// Returns what was stored; says nothing of its durability.
    #[inline(always)]
    pub fn fact(&self) -> &T {
        &self.fact
    }

    /// Returns the same bytes, seen as another fact.
    #[inline(always)]
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Staged<U, S> {
        Staged { fact: f(self.fact), offset: self.offset, len: self.len, state: PhantomData }
    }
}

impl<T> Staged<T, Dirty> {
    /// Returns the fact that `offset..offset + len` was just written with ordinary stores.
    #[inline(always)]
    pub(crate) fn stored(fact: T, offset: u64, len: u64) -> Self {
        Self { fact, offset, len, state: PhantomData }
    }

    /// Starts writing the lines back.
    #[inline(always)]
    pub fn flush(self, pmem: &impl Pmem) -> Staged<T, InFlight> {
        pmem.flush(self.offset, self.len);
        self.next()
    }

    /// Gives up knowing when this becomes durable, for stores that recovery does not depend on (times, free
    /// counts).
    #[inline(always)]
    pub fn unordered(self) -> T {
        self.fact
    }
}

impl<T> Staged<T, InFlight> {
    /// Returns the fact that `offset..offset + len` was just written past the cache.
    #[inline(always)]
    pub(crate) fn streamed(fact: T, offset: u64, len: u64) -> Self {
        Self { fact, offset, len, state: PhantomData }
    }

    /// Waits until it is persistent.
    #[inline(always)]
    pub fn fence(self, pmem: &impl Pmem) -> Staged<T, Clean> {
        pmem.fence();
        self.next()
    }

    /// Returns two things in flight, as one fact.
    #[inline(always)]
    pub(crate) fn join<U, V>(
        self,
        other: Staged<U, InFlight>,
        f: impl FnOnce(T, U) -> V,
    ) -> Staged<V, InFlight> {
        Staged { fact: f(self.fact, other.fact), offset: self.offset, len: self.len, state: PhantomData }
    }

    /// Leaves the fence to a later one of the same operation, on the same CPU: another CPU's does not land
    /// it.
    #[inline(always)]
    pub fn unfenced(self) -> T {
        self.fact
    }
}

impl<T> Staged<T, Clean> {
    /// Returns the fact that there is nothing to wait for: whoever publishes shows only what was durable
    /// before.
    #[inline(always)]
    pub(crate) fn nothing(fact: T) -> Self {
        Self { fact, offset: 0, len: 0, state: PhantomData }
    }

    /// Returns another fact about the same bytes, which holds since this one does.
    #[inline(always)]
    pub(crate) fn implies<U>(&self, fact: U) -> Staged<U, Clean> {
        Staged { fact, offset: self.offset, len: self.len, state: PhantomData }
    }

    /// Returns the durable fact.
    #[inline(always)]
    pub fn into_fact(self) -> T {
        self.fact
    }
}

/// A group of things in flight that one fence makes clean.
pub trait InFlightGroup {
    /// The same group, clean.
    type Clean;
    /// Marks all members clean; only [`fence_all`] may, right after a fence.
    #[doc(hidden)]
    fn landed(self, fenced: Fenced) -> Self::Clean;
}

/// Proof that a fence was just made; only [`fence_all`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Fenced(());

impl<T> InFlightGroup for Staged<T, InFlight> {
    type Clean = Staged<T, Clean>;
    #[inline(always)]
    fn landed(self, _: Fenced) -> Self::Clean {
        self.next()
    }
}

impl<A: InFlightGroup, B: InFlightGroup> InFlightGroup for (A, B) {
    type Clean = (A::Clean, B::Clean);
    #[inline(always)]
    fn landed(self, fenced: Fenced) -> Self::Clean {
        (self.0.landed(fenced), self.1.landed(fenced))
    }
}

impl<G: InFlightGroup> InFlightGroup for Option<G> {
    type Clean = Option<G::Clean>;
    #[inline(always)]
    fn landed(self, fenced: Fenced) -> Self::Clean {
        self.map(|group| group.landed(fenced))
    }
}

impl<G: InFlightGroup, const N: usize> InFlightGroup for [G; N] {
    type Clean = [G::Clean; N];
    #[inline(always)]
    fn landed(self, fenced: Fenced) -> Self::Clean {
        self.map(|group| group.landed(fenced))
    }
}

impl<G: InFlightGroup> InFlightGroup for alloc::vec::Vec<G> {
    type Clean = alloc::vec::Vec<G::Clean>;
    #[inline(always)]
    fn landed(self, fenced: Fenced) -> Self::Clean {
        self.into_iter().map(|group| group.landed(fenced)).collect()
    }
}

/// Fences once for everything in `group`.
#[inline]
pub fn fence_all<G: InFlightGroup>(pmem: &impl Pmem, group: G) -> G::Clean {
    pmem.fence();
    group.landed(Fenced(()))
}
