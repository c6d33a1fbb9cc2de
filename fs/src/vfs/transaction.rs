//! The transaction in which a fault changes a block map: a journal's handle, as `dax` sees it.
//!
//! A handle may have to wait for a commit, and the commit for whoever holds another. So it comes before the
//! lock of an entry, which a fault holds while it changes the map (R11 of docs/races.md is the other order),
//! and after the invalidate lock: `dax_sem → transaction → mapping entry`. Every protocol opens it there, and
//! only for a store to what is not mapped.

/// What ends transactions: the journal.
pub trait Transactions: Send + Sync {
    /// The transaction that [`Transaction::new`] was given this number for is over.
    fn end(&self, number: u64);
}

/// A transaction that is open; it ends when this is dropped.
#[must_use = "it ends when it is dropped"]
pub struct Transaction<'a>(Option<(&'a dyn Transactions, u64)>);

impl<'a> Transaction<'a> {
    /// Returns none: for file systems whose changes are durable one by one.
    #[inline(always)]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Returns transaction `number` of `journal`.
    pub const fn new(journal: &'a dyn Transactions, number: u64) -> Self {
        Self(Some((journal, number)))
    }

    /// Returns its number, if there is one.
    pub fn number(&self) -> Option<u64> {
        self.0.map(|(_, number)| number)
    }
}

impl Drop for Transaction<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some((journal, number)) = self.0 {
            journal.end(number);
        }
    }
}
