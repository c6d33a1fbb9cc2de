//! Accesses made wrong, one at a time.
//!
//! loom runs all threads of a model on one thread of the host, so what is noted here is that thread's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::Ordering;

/// An access in the source: file, line, column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// As the compiler names it.
    pub file: &'static str,
    /// From 1.
    pub line: u32,
    /// From 1: where the method's name begins.
    pub column: u32,
}

/// What is wrong with an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// `SeqCst` is only acquire and release: the access orders what is around it, but is in no order that all
    /// agree on.
    NotSeqCst,
    /// It orders nothing: `Relaxed`. A fence isn't there.
    Relaxed,
    /// A change in one step is a load, then a store.
    Torn,
    /// It changes nothing, and says what it would have said.
    Skipped,
}

impl Wrong {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::NotSeqCst, Self::Relaxed, Self::Torn, Self::Skipped];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSeqCst => "acq-rel",
            Self::Relaxed => "relaxed",
            Self::Torn => "torn",
            Self::Skipped => "skipped",
        }
    }
}

/// What an access is, for what can be wrong with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessKind {
    Load,
    Store,
    Change,
    Fence,
}

thread_local! {
    static SEEN: RefCell<BTreeMap<Site, Vec<Wrong>>> = const { RefCell::new(BTreeMap::new()) };
    static WRONG: Cell<Option<(u32, u32, Wrong)>> = const { Cell::new(None) };
    static WRONG_FILE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes the access of this thread's models in `file` (the end of its path) at `line` and `column`, from now
/// on, `wrong`.
pub fn sabotage(file: &str, line: u32, column: u32, wrong: Wrong) {
    WRONG.set(Some((line, column, wrong)));
    WRONG_FILE.with_borrow_mut(|name| file.clone_into(name));
}

/// Lists the accesses that this thread's models have made, and what can be wrong with each.
pub fn sites() -> Vec<(Site, Vec<Wrong>)> {
    SEEN.with_borrow(|seen| seen.iter().map(|(site, wrongs)| (*site, wrongs.clone())).collect())
}

/// Notes the access; says what is wrong with it.
pub(crate) fn reached(at: &'static Location<'static>, access: AccessKind, order: Ordering) -> Option<Wrong> {
    let site = Site { file: at.file(), line: at.line(), column: at.column() };
    if let Some((line, column, wrong)) = WRONG.get() {
        let here = (line, column) == (site.line, site.column);
        return (here && WRONG_FILE.with_borrow(|file| site.file.ends_with(file.as_str()))).then_some(wrong);
    }
    SEEN.with_borrow_mut(|seen| {
        seen.entry(site).or_insert_with(|| {
            let mut wrongs = Vec::new();
            if order == Ordering::SeqCst {
                wrongs.push(Wrong::NotSeqCst);
            }
            if order != Ordering::Relaxed {
                wrongs.push(Wrong::Relaxed);
            }
            if access == AccessKind::Change {
                wrongs.push(Wrong::Torn);
            }
            if matches!(access, AccessKind::Change | AccessKind::Store) {
                wrongs.push(Wrong::Skipped);
            }
            wrongs
        });
    });
    None
}

/// Returns `order`, as it is if `wrong`.
pub(crate) fn weakened(order: Ordering, access: AccessKind, wrong: Option<Wrong>) -> Ordering {
    match wrong {
        Some(Wrong::Relaxed) => Ordering::Relaxed,
        Some(Wrong::NotSeqCst) if order == Ordering::SeqCst => match access {
            AccessKind::Load => Ordering::Acquire,
            AccessKind::Store => Ordering::Release,
            AccessKind::Change | AccessKind::Fence => Ordering::AcqRel,
        },
        _ => order,
    }
}
