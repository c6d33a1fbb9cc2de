//! Mistakes that no model finds, and why. Each is tried all the same: one that is found must leave this list.

const MARKS: &str = "the bit itself is all that is told; what it is about is ordered by dax_sem, which the models of marks leave out";
const WAITED: &str = "acquire is enough: before a waiter sleeps, the fences of the lists order the rest";
const LOCKED: &str = "under the lock of the number of readers that queue";
const SWAP: &str = "the swap that follows orders; the lists see to the wake-up";
const TIME: &str = "a count that is too high costs time only";

/// Places, by how their names begin; what is wrong there; why.
const KNOWN: &[(&str, &str, &str)] = &[
    ("fs/src/vfs/index.rs:is_dirty:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:mark_large_dirty:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:mark_large_zero:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:next_tagged:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:set:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:tag:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:take:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:take_large:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:take_zero:", "relaxed", MARKS),
    ("fs/src/vfs/index.rs:pin:", "relaxed", "under dax_sem, which orders it before whoever frees blocks"),
    ("fs/src/vfs/index.rs:is_pinned:", "acq-rel", WAITED),
    ("fs/src/vfs/index.rs:unpin:", "acq-rel", WAITED),
    (
        "fs/src/vfs/index.rs:unpin:fetch_sub:2",
        "skipped",
        "the leaf's count is what counts; this one saves looking at it",
    ),
    ("fs/src/vfs/index.rs:lock_slow:fetch_sub:1", "skipped", TIME),
    ("fs/src/vfs/index.rs:lock_slow:load:1", "relaxed", SWAP),
    ("locks/src/lists.rs:wait:fetch_sub:1", "skipped", TIME),
    ("locks/src/lists.rs:wake:fetch_sub:1", "skipped", TIME),
    ("locks/src/mutex.rs:lock_slowly:load:2", "relaxed", SWAP),
    ("locks/src/rwlock.rs:let_in:fetch_add:2", "acq-rel", WAITED),
    ("locks/src/rwlock.rs:let_in:fetch_add:2", "torn", LOCKED),
    ("locks/src/rwlock.rs:queue:compare_exchange:1", "relaxed", LOCKED),
    ("locks/src/rwlock.rs:queue:load:1", "relaxed", LOCKED),
    ("locks/src/rwlock.rs:queue:load:3", "acq-rel", WAITED),
];

/// Returns why `wrong` at `place` is not found, if it isn't.
pub(crate) fn known(place: &str, wrong: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(start, how, _)| place.starts_with(start) && *how == wrong).map(|(_, _, why)| *why)
}

/// Lists those that are about none of `mistakes`, each a place and what is wrong there.
pub(crate) fn stale(mistakes: &[(String, &str)]) -> Vec<String> {
    let about = |(start, how, _): &&(&str, &str, &str)| {
        !mistakes.iter().any(|(place, wrong)| place.starts_with(start) && how == wrong)
    };
    KNOWN.iter().filter(about).map(|(start, how, _)| format!("{start} {how}")).collect()
}
