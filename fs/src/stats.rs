//! Every counter of the storage code, so that a claim about it is something it printed (docs/laws.md, law 9).
//!
//! A counter is one relaxed atomic add; [`Stats::each`] lists all of them by the names that `stats` prints,
//! which are a promise to scripts: new ones may be added, none renamed.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows, until it is cleared.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Returns the count since the start or the last [`Stats::reset`].
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $field:ident => $name:literal,)*) => {
        /// All counters of one machine.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $field: Counter,)*
        }

        impl Stats {
            /// Makes the counters, all of them at zero.
            pub const fn new() -> Self {
                Self { $($field: Counter::new(),)* }
            }

            /// Calls `f` with each counter's name and value, in the order of declaration.
            pub fn each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f($name, self.$field.get());)*
            }

            /// Adds every count of `other`: one CPU's to the sum of all.
            pub fn add(&self, other: &Self) {
                $(self.$field.add(other.$field.get());)*
            }

            /// Clears every counter. Counts made meanwhile by other CPUs may be lost.
            pub fn reset(&self) {
                $(self.$field.0.store(0, Relaxed);)*
            }
        }
    };
}

stats! {
    /// Read faults that reached the DAX engine.
    fault_read => "fault.read",
    /// Write faults that reached the DAX engine.
    fault_write => "fault.write",
    /// Faults answered with the shared zero page.
    fault_zero_page => "fault.zero-page",
    /// Faults answered with a block that was there.
    fault_block => "fault.block",
    /// Faults that allocated the block they mapped.
    fault_allocated => "fault.allocated",
    /// Write faults that made an entry writable which was mapped for reading (mkwrite).
    fault_mkwrite => "fault.mkwrite",
    /// Faults that found their entry in place already.
    fault_spurious => "fault.spurious",
    /// Faults that gave up under the shared lock and took it exclusively.
    fault_retry => "fault.retry",
    /// Exclusive retries that found the block there: someone was faster.
    fault_retry_found => "fault.retry-found",
    /// Stores to a `MAP_SYNC` area that had the file system commit what leads to the page, and began anew.
    fault_sync => "fault.sync",
    /// Faults beyond the end of the file.
    fault_beyond_end => "fault.beyond-end",
    /// Faults for which there was no space.
    fault_no_space => "fault.no-space",
    /// Faults that failed for any other reason of the file's.
    fault_failed => "fault.failed",
    /// Faults outside every area.
    fault_no_area => "fault.no-area",
    /// Faults against an area's rights.
    fault_no_right => "fault.no-right",
    /// 2 MiB faults answered with the large zero page.
    pmd_zero_page => "pmd.zero-page",
    /// 2 MiB faults answered with the run that was there.
    pmd_block => "pmd.block",
    /// 2 MiB faults that allocated the run they mapped.
    pmd_allocated => "pmd.allocated",
    /// 2 MiB write faults that made an entry writable which was mapped for reading.
    pmd_mkwrite => "pmd.mkwrite",
    /// 2 MiB faults that found their entry in place already.
    pmd_spurious => "pmd.spurious",
    /// Faults that went on with 4 KiB, since address and file offset differ modulo 2 MiB.
    pmd_fallback_alignment => "pmd.fallback.alignment",
    /// … since the 2 MiB reach beyond the area.
    pmd_fallback_area => "pmd.fallback.area",
    /// … since a store to a private area copies 4 KiB.
    pmd_fallback_private => "pmd.fallback.private",
    /// … since the 2 MiB reach beyond the end of the file.
    pmd_fallback_end => "pmd.fallback.end",
    /// … since pages of 4 KiB are mapped there.
    pmd_fallback_small => "pmd.fallback.small",
    /// … since the blocks do not lie in one aligned piece.
    pmd_fallback_pieces => "pmd.fallback.pieces",
    /// … since no aligned run was free.
    pmd_fallback_space => "pmd.fallback.space",
    /// … since there was no large zero page, or no memory for a table.
    pmd_fallback_memory => "pmd.fallback.memory",
    /// … since a memory error lies in the 2 MiB: only its page is to fail.
    pmd_fallback_poison => "pmd.fallback.poison",
    /// Faults on a poisoned page.
    fault_poisoned => "fault.poisoned",
    /// Stores to private areas that got a copy of their page.
    fault_copied => "fault.copied",
    /// Waits for the lock of an entry.
    entry_waits => "entry.waits",
    /// Waits for a transfer to end that had pinned pages.
    pin_waits => "pin.waits",
    /// Faults that asked a raw device to allocate: a bug.
    device_retry => "device.retry",
    /// Entries of the zero page taken out again because a block took its place.
    zero_page_unmapped => "zero-page.unmapped",
    /// Entries write-protected again by write-back.
    write_protected => "write-protected",
    /// Entries taken out because a file became shorter.
    mapping_unmapped => "mapping.unmapped",
    /// Blocks allocated.
    block_allocated => "block.allocated",
    /// Blocks freed.
    block_freed => "block.freed",
    /// Blocks whose content began to count: they were allocated ahead, and unwritten.
    block_converted => "block.converted",
    /// Inodes allocated.
    inode_allocated => "inode.allocated",
    /// Inodes freed.
    inode_freed => "inode.freed",
    /// Calls of msync, fsync and fdatasync.
    sync_calls => "sync.calls",
    /// Dirty pages they flushed.
    sync_pages => "sync.pages",
    /// Handles of a journal that were opened.
    journal_handles => "journal.handles",
    /// Transactions that were committed.
    journal_commits => "journal.commits",
    /// Blocks that were written to a log.
    journal_blocks => "journal.blocks",
    /// Revokes among them.
    journal_revokes => "journal.revokes",
    /// Times that a log was emptied.
    journal_checkpoints => "journal.checkpoints",
    /// Waits for a commit, or for handles to end.
    journal_waits => "journal.waits",
    /// Cache lines flushed.
    pmem_lines_flushed => "pmem.lines-flushed",
    /// Store fences.
    pmem_fences => "pmem.fences",
    /// Bytes zeroed with non-temporal stores.
    pmem_bytes_zeroed => "pmem.bytes-zeroed",
    /// Bytes written with non-temporal stores, zeroing apart.
    pmem_bytes_nt => "pmem.bytes-nontemporal",
    /// Shootdowns: times that translations were made to be forgotten, whether of one page or of all.
    tlb_invalidations => "tlb.invalidations",
    /// Interrupts sent to other CPUs for shootdowns.
    tlb_ipis => "tlb.ipis",
    /// Switches from one task to another, idle ones among them.
    task_switches => "task.switches",
    /// Tasks that had to leave their CPU because their time was over.
    task_preemptions => "task.preemptions",
    /// Times that memory was short and caches were asked to give some back.
    heap_shrinks => "heap.shrinks",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_a_name_of_its_own_and_reset_clears_it() {
        let stats = Stats::new();
        stats.fault_retry.add(3);
        let mut names = std::collections::BTreeSet::new();
        let mut sum = 0;
        stats.each(|name, value| {
            assert!(names.insert(name), "{name} is listed twice");
            sum += value;
        });
        assert_eq!(sum, 3);
        stats.reset();
        stats.each(|_, value| assert_eq!(value, 0));
    }
}
