//! The races that are known: for each, the story in which something is lost.

use super::{Story, StoryError};
use crate::dax::Protocol::{self, EntryLock, Racy, ReadFirst};
use alloc::format;

/// A race that is lost with a mistake, or by the racy protocol, and not without.
pub struct Race {
    /// Its scenario in docs/races.md (`R4`), or what it is about.
    pub name: &'static str,
    /// The protocols on which it is lost.
    pub on: &'static [Protocol],
    /// The story, without its protocol. Without an order it is lost in one of many: the explorer finds which.
    pub story: &'static str,
    /// What the explorer says of it, among other things.
    pub explored: &'static str,
    /// What the kernel's `race replay` begins its verdict with. None: real CPUs show it only at a power cut,
    /// by what their TLBs happen to hold, when held where there is no point, or where no operation looks.
    pub replayed: Option<&'static str>,
}

impl Race {
    /// Returns the story on a protocol.
    ///
    /// # Errors
    /// The text is none.
    pub fn on(&self, protocol: Protocol) -> Result<Story, StoryError> {
        format!("{protocol}/{}", self.story).parse()
    }
}

const fn race(
    name: &'static str,
    on: &'static [Protocol],
    story: &'static str,
    explored: &'static str,
    replayed: Option<&'static str>,
) -> Race {
    Race { name, on, story, explored, replayed }
}

const RACY: &[Protocol] = &[Racy];
const READ_FIRST: &[Protocol] = &[ReadFirst];
const ENTRY_LOCK: &[Protocol] = &[EntryLock];
const BOTH: &[Protocol] = &[ReadFirst, EntryLock];

/// Every race. `explore mutants` looks for each mistake in the first world that has it alone.
#[rustfmt::skip]
pub const RACES: &[Race] = &[
    // Faults that meet faults; the one of before 2016 first.
    race("R4", RACY, "page.hole/a:load/b:store@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R1", RACY, "page.hole/a:store+load/b:store",
        "CPU 0 loaded 0x0 after CPU 0 had stored 0x1001", None),
    race("R1", READ_FIRST, "page.hole/a:store+load/b:store!no-second-look-up",
        "CPU 0 loaded 0x0 after CPU 0 had stored 0x1001", None),
    race("R2", READ_FIRST, "page.hole/a:store!retry-holding@0:end",
        "nobody can go on", Some("stuck: everybody waits")),
    race("R3", BOTH, "page.block/a:load/b:store!zero-twice@1:fault-end,0:end,1:end",
        "CPU 0 loaded 0x0, while", Some("lost: a:load: load saw 0x0, which nobody stored")),
    race("R3", BOTH, "page.hole/a:store/b:store/c:read!zero-twice@0:end,1:installed,2:end",
        "CPU 2 read 0x0 after CPU 0 had stored 0x1001", Some("lost: 0x1001 was stored, then c:read: read saw 0x0")),
    race("R4", BOTH, "page.hole/a:load/b:store!keep-zero-page@0:end,1:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R4", BOTH, "page.zero/a:load/b:store!keep-zero-page@0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R5", BOTH, "page.hole/a:load/b:freeze!read-allocates",
        "something was stored while the file system was frozen", Some("lost: the hole was only read, and has a block")),
    race("R6", BOTH, "pmd.zero/a:load/b:store!keep-zero-page@0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R7", ENTRY_LOCK, "page.hole/a:load/b:store!look-up-before-lock@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R14", ENTRY_LOCK, "page.hole/a:load/b:load!wake-wrong-key@0:installed,1:waits,0:end",
        "nobody can go on", Some("stuck: everybody waits")),
    race("R14", ENTRY_LOCK, "page.hole/a:load/b:load/c:load!wake-wrong-key@0:entry-locked,1:waits,2:waits",
        "nobody can go on", Some("stuck: everybody waits")),
    race("R15", ENTRY_LOCK, "pmd.hole/a4:load/b:load!wake-wrong-key@0:entry-locked,1:waits,0:end",
        "nobody can go on", Some("stuck: everybody waits")),
    race("R16", ENTRY_LOCK, "pmd.hole/a4:load/b:store!large-over-small@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("R17", ENTRY_LOCK, "pmd.hole/a4:load/b:store!large-ignores-small-locks@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("entry", ENTRY_LOCK, "page.hole/a:load/b:store!read-takes-no-entry@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("entry", ENTRY_LOCK, "page.hole/a:load/b:load!wake-before-unlock",
        "nobody can go on", None),
    race("lock", READ_FIRST, "page.hole/a:load/b:store!install-unlocked@0:marked,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("lock", READ_FIRST, "pmd.hole/a:load/b:store!large-allocates-shared@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("mark", BOTH, "page.hole/a:store!no-dirty-mark@0:end",
        "the index does not know them as dirty", Some("lost: a:store has a page mapped writable")),
    race("mark", BOTH, "page.hole/a:store!mark-after-install@0:end",
        "the index does not know them as dirty", None),
    race("mark", BOTH, "page.hole/a:store!mark-after-unlock@0:end",
        "the index does not know them as dirty", None),
    race("zero", BOTH, "page.clean/a:store/b:punch!publish-before-zero@1:end,0:end",
        "after a power failure there is 0x101", None),
    race("zero", BOTH, "page.hole/a:load/b:store!no-zero-mark@0:end,1:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("zero", BOTH, "pmd.hole/a:load/b4:store!keep-large-zero-page@0:end,1:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("poison", BOTH, "page.block/a:poison/b:load!ignore-poison@0:end,1:end",
        "a fault has mapped a page that had lost", Some("lost: the mapping of b:load shows 0x101")),

    // Private copies.
    race("copy", BOTH, "page.hole/a:truncate/b:private!copy-unlocked@0:end,1:end",
        "beside it after CPU 0 had truncated the file", Some("lost: b:private has a private copy")),
    race("copy", BOTH, "page.block/a:private/b:truncate!copy-unlocked@0:marked,1:end",
        "beside it after CPU 1 had truncated the file", Some("lost: a:private has a private copy")),
    race("copy", BOTH, "page.hole/a:private!private-writes-through@0:end",
        "in the end read(2) gives 0x1001", Some("lost: the file has 0x1001, which nobody stored")),
    race("copy", BOTH, "page.hole/a:truncate/b:private!truncate-keeps-copies@1:end,0:end",
        "in the end address space b's private area has 0x2001", Some("lost: b:private has a private copy")),
    race("copy", BOTH, "page.hole/a:punch/b:private!punch-drops-copies@1:end,0:end",
        "in the end address space b's private area has 0x0", None),

    // Faults that meet read(2), write(2), truncation, holes that are punched, unlink.
    race("R8", BOTH, "page.zero/a:write!write-keeps-zero-page@0:end",
        "address space a shows a hole", Some("lost: the file has 0x1001")),
    race("R13", BOTH, "page.dirty/a:truncate!keep-mapping@0:end",
        "was freed while address space a maps it", Some("lost: the mapping of a:truncate shows 0x101")),
    race("R13", BOTH, "page.block/a:load/b:punch!keep-mapping@0:end,1:end",
        "was freed while address space a maps it", Some("lost: the file has 0x0")),
    race("R20", BOTH, "page.block/a:direct/b:punch!ignore-pins",
        "was freed while CPU 0 has it pinned", None),
    race("size", BOTH, "page.hole/a:load/b:truncate!size-before-lock@0:shared-wait,1:end,0:end",
        "a loads 0x0 after CPU 1 had truncated the file", Some("lost: the mapping of a:load shows 0x0")),
    race("run", BOTH, "pmd.dirty/a:punch!keep-run@0:end",
        "in the end address space a loads 0x101", Some("lost: the file has 0x0")),
    race("unmap", BOTH, "page.dirty/a:load/b:truncate!first-space-only@1:end",
        "was freed while address space b maps it", Some("lost: the mapping of b:truncate shows 0x101")),
    race("unmap", BOTH, "page.hole/a:load/b:truncate!unmap-before-lock",
        "a loads 0x0 after CPU 1 had truncated the file", None),
    race("unmap", BOTH, "page.block/a:load/b:truncate!free-shared@0:marked,1:end,0:end",
        "address space a shows block", Some("lost: the mapping of a:load shows 0x101")),
    race("unmap", BOTH, "page.dirty/a:truncate!free-before-unmap@0:end",
        "was freed while address space a maps it", None),
    race("write", BOTH, "page.hole/a:load/b:write!write-shared@0:looked-up,1:end,0:end",
        "address space a shows a hole", Some("lost: the file has 0x2001")),
    race("write", BOTH, "page.block/a:write/b:truncate+write-other!write-unlocked",
        "the other file has", None),
    race("read", BOTH, "page.block/a:read/b:truncate!read-unlocked",
        "CPU 0 read 0x0, while CPU 1 truncated the file", None),
    race("unlink", BOTH, "page.block/a:unlink!free-at-unlink@0:end",
        "in the end address space a loads 0x0", Some("lost: the file has 0x0, which nobody stored")),

    // Stores that meet write-back, or a frozen file system.
    race("R9", BOTH, "page.dirty/a:punch-beside!forget-dirty@0:end",
        "is mapped for stores, and not known as dirty", Some("lost: a:punch-beside has a page mapped writable")),
    race("R10", BOTH, "pmd.dirty/a:msync+store!keep-large-writable@0:end",
        "is mapped for stores, and not known as dirty", Some("lost: a:msync+store has a page mapped writable")),
    race("R25", BOTH, "page.dirty/a:fsync!write-back-stuck",
        "somebody goes round and round", Some("stuck: somebody goes round and round")),
    race("flush", BOTH, "page.dirty/a:msync/b:store!flush-before-protect@0:flushed,1:end,0:end",
        "the page is not known as dirty", None),
    race("sync", BOTH, "page.block/a:store/b:msync!write-back-shared@0:marked,1:end,0:end",
        "the index does not know them as dirty", Some("lost: a:store has a page mapped writable")),
    race("sync", BOTH, "page.dirty/a:msync!no-fence@0:end",
        "a sync has returned, and the store that the world began with", None),
    race("sync", BOTH, "page.dirty/a:msync/b:msync!fence-after-unlock",
        "a sync has returned, and the store that the world began with", None),
    race("sync", BOTH, "page.dirty/a:fsync/b:fsync!sync-trusts-tags@0:flushed,1:end",
        "a sync has returned, and the store that the world began with", None),
    race("freeze", BOTH, "page.hole/a:store/b:freeze!ignore-freeze",
        "something was stored while the file system was frozen", None),
    race("freeze", BOTH, "page.hole/a:store/b:freeze!flush-before-freeze",
        "the file system is frozen, and address space a can store to a page", None),

    // Page tables and TLBs.
    race("TLB", BOTH, "page.dirty/a:truncate!no-shootdown@0:end",
        "was freed while the TLB of CPU 0 may lead to it", None),
    race("TLB", BOTH, "page.dirty/a:truncate!shootdown-first@0:end",
        "was freed while the TLB of CPU 0 may lead to it", None),
    race("table", BOTH, "pmd.block/a:load/a:punch-beside+load+fallocate!large-over-table@0:shared-wait,1:end,0:end",
        "may still have in its TLB what no table says any more", None),
    race("TLB", BOTH, "page.block/a:private+fork/a:madvise!free-before-shootdown",
        "a copy is freed that a table or a TLB leads to", None),

    // Address spaces.
    race("fork", BOTH, "page.block/a:private+fork!fork-keeps-writable@0:end",
        "a copy is shared that an address space can store to", None),
    race("areas", BOTH, "page.dirty/a:munmap/b:truncate!detach-first",
        "was freed while the TLB of CPU 0 may lead to it", None),
    race("areas", BOTH, "page.block/a:private+mremap/b:truncate!move-before-attach",
        "in the end address space a's private area has", None),
];
