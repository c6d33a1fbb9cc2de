//! The mistakes that can be made on purpose, by name; only with the feature `lab`.
//!
//! A mistake in one step of the code is asked for there, by `mistake!`. A fault protocol that takes its steps
//! in a wrong order is written out beside the right ones, in `dax/protocol/mistaken.rs`.

use core::fmt;
use core::str::FromStr;

named! {
    /// A mistake that can be made on purpose.
    Mutant, UnknownMutant {
        /// A fault that holds the entry's lock uses what was looked up before it had it (R7).
        LookUpBeforeLock => "look-up-before-lock",
        /// The exclusive retry allocates without looking again (R1): the loser's zeroed block replaces the
        /// winner's.
        NoSecondLookUp => "no-second-look-up",
        /// A block is zeroed again by a fault that finds it there (R3).
        ZeroTwice => "zero-twice",
        /// A read fault allocates (R5).
        ReadAllocates => "read-allocates",
        /// A fault's allocation leaves the zero page in other address spaces.
        KeepZeroPage => "keep-zero-page",
        /// write(2) leaves the zero page in address spaces (R8).
        WriteKeepsZeroPage => "write-keeps-zero-page",
        /// Truncation and hole punching leave entries in page tables (R13).
        KeepMapping => "keep-mapping",
        /// Unmapping forgets dirty pages that stay in the file (R9).
        ForgetDirty => "forget-dirty",
        /// Write-back does not write-protect 2 MiB entries (R10).
        KeepLargeWritable => "keep-large-writable",
        /// Write-back flushes before it write-protects: a store between the two is lost to it.
        FlushBeforeProtect => "flush-before-protect",
        /// A write fault does not mark its page dirty.
        NoDirtyMark => "no-dirty-mark",
        /// The entry is installed before the page is marked dirty.
        MarkAfterInstall => "mark-after-install",
        /// The size is looked at before the lock is taken.
        SizeBeforeLock => "size-before-lock",
        /// A 2 MiB fault looks at the first 64 small entries only before it takes a range (R16).
        LargeOverSmall => "large-over-small",
        /// A 2 MiB fault does not keep 4 KiB faults out of its range (R17).
        LargeIgnoresSmallLocks => "large-ignores-small-locks",
        /// An entry's waiters are woken on the wrong key (R14, R15).
        WakeWrongKey => "wake-wrong-key",
        /// A fault waits for the exclusive lock while it holds the shared one.
        RetryHolding => "retry-holding",
        /// Translations are taken out of page tables, but not out of TLBs.
        NoShootdown => "no-shootdown",
        /// Truncation does not wait for pinned pages (R20).
        IgnorePins => "ignore-pins",
        /// A private write on a read-only mount is refused (R22).
        PrivateNeedsWritable => "private-needs-writable",
        /// A private write copies without the lock that keeps its source (R4's copy fault).
        CopyUnlocked => "copy-unlocked",
        /// Write-back does not advance past a clean page (R25).
        WriteBackStuck => "write-back-stuck",
        /// A block is published before its zeros are there.
        PublishBeforeZero => "publish-before-zero",
        /// A write fault does not wait for a frozen file system.
        IgnoreFreeze => "ignore-freeze",
        /// read(2) copies to its caller under the lock that a fault takes (R12).
        CopyUnderLock => "copy-under-lock",
        /// A read fault does not lock its entry: a store fills the hole between its look-up and its zero
        /// page.
        ReadTakesNoEntry => "read-takes-no-entry",
        /// An entry's waiters are woken before it is unlocked: who looks again finds it locked, and sleeps
        /// for ever.
        WakeBeforeUnlock => "wake-before-unlock",
        /// A fault lets go of the lock that it looked up under before it installs what it found.
        InstallUnlocked => "install-unlocked",
        /// A 2 MiB fault allocates under the shared lock.
        LargeAllocatesShared => "large-allocates-shared",
        /// A page is marked dirty after its fault let go of the lock: write-back in between finds it clean.
        MarkAfterUnlock => "mark-after-unlock",
        /// The zero page is mapped and the index is not told.
        NoZeroMark => "no-zero-mark",
        /// A fault that fills a page's hole looks for the zero page of 4 KiB only.
        KeepLargeZeroPage => "keep-large-zero-page",
        /// A page that has lost its content is mapped.
        IgnorePoison => "ignore-poison",
        /// A private store maps the file's own block.
        PrivateWritesThrough => "private-writes-through",
        /// What is known of a run of 2 MiB outlives its blocks.
        KeepRun => "keep-run",
        /// Truncation and hole punching unmap in the first of the address spaces only.
        FirstSpaceOnly => "first-space-only",
        /// Truncation unmaps under a lock of its own, before the one that it frees under: a fault comes in
        /// between.
        UnmapBeforeLock => "unmap-before-lock",
        /// Truncation frees blocks before it unmaps them.
        FreeBeforeUnmap => "free-before-unmap",
        /// Truncation leaves private copies of what is beyond the end.
        TruncateKeepsCopies => "truncate-keeps-copies",
        /// Punching a hole takes private copies out.
        PunchDropsCopies => "punch-drops-copies",
        /// write(2) fills holes under the shared invalidate lock, beside faults.
        WriteShared => "write-shared",
        /// read(2) lets go of the inode lock when it knows the size: blocks are freed while it copies them.
        ReadUnlocked => "read-unlocked",
        /// write(2) does not take the inode lock: blocks are freed while it copies to them.
        WriteUnlocked => "write-unlocked",
        /// Truncation and hole punching hold the invalidate lock shared: a fault maps what they free.
        FreeShared => "free-shared",
        /// Write-back holds the lock shared: it comes between a fault's dirty mark and its entry.
        WriteBackShared => "write-back-shared",
        /// msync does not wait for what it flushed.
        NoFence => "no-fence",
        /// msync waits for what it flushed after it let go of the lock: who finds a page clean by then relies
        /// on nothing.
        FenceAfterUnlock => "fence-after-unlock",
        /// A sync that finds nothing tagged returns, though another has taken the tags and is still writing
        /// back.
        SyncTrustsTags => "sync-trusts-tags",
        /// Freezing writes back before it waits for changes on their way: they leave pages that can be stored
        /// to.
        FlushBeforeFreeze => "flush-before-freeze",
        /// A file's blocks are freed with its last name, though a handle is left.
        FreeAtUnlink => "free-at-unlink",
        /// TLBs are shot down before the entries are taken out: they are filled again in between.
        ShootdownFirst => "shootdown-first",
        /// A 2 MiB entry takes the place of a table of 4 KiB entries.
        LargeOverTable => "large-over-table",
        /// munmap(2) frees private copies before TLBs have forgotten them.
        FreeBeforeShootdown => "free-before-shootdown",
        /// Private copies that a child shares after fork(2) stay writable for its parent.
        ForkKeepsWritable => "fork-keeps-writable",
        /// munmap(2) takes an area from its file's list before its entries are gone: who frees blocks in
        /// between finds nothing to unmap.
        DetachFirst => "detach-first",
        /// mremap(2) moves private copies before the file knows of the new place: a truncation in between
        /// finds them nowhere.
        MoveBeforeAttach => "move-before-attach",
        /// A store to a `MAP_SYNC` area is let through before what leads there is committed.
        IgnoreUncommitted => "ignore-uncommitted",
        /// A fault opens its transaction before it has `dax_sem`, whose holder may wait for its end.
        BeginBeforeLock => "begin-before-lock",
        /// A fault opens its transaction while it holds its entry (R11): a commit waits for whoever waits for
        /// that in a transaction of his own.
        BeginUnderEntry => "begin-under-entry",
        /// A sync does not commit the metadata that leads to what it wrote.
        NoCommit => "no-commit",
        /// A commit block is written before what it commits is durable.
        CommitBeforeData => "commit-before-data",
        /// A transaction goes home before its commit block is durable.
        NoCommitFence => "no-commit-fence",
        /// A journal's log is emptied before what it holds is home.
        TailTooEarly => "tail-too-early",
        /// A freed block of metadata is not revoked: a replay writes over what is there by then.
        NoRevoke => "no-revoke",
        /// A freed block is used again before the transaction that freed it is durable.
        ReuseBeforeCommit => "reuse-before-commit",
    }
}

/// The bits of a word that are the mutants': all but the last two.
const BITS: usize = 62;

impl Mutant {
    /// Returns which word of a lab it is in, and its bit there.
    pub(super) const fn bit(self) -> (usize, u64) {
        (self as usize / BITS, 1 << (self as usize % BITS))
    }

    /// Returns the file whose code makes the mistake.
    pub const fn place(self) -> &'static str {
        match self {
            Self::LookUpBeforeLock
            | Self::ReadTakesNoEntry
            | Self::WakeBeforeUnlock
            | Self::InstallUnlocked
            | Self::LargeAllocatesShared
            | Self::RetryHolding
            | Self::CopyUnlocked
            | Self::MarkAfterUnlock
            | Self::BeginBeforeLock
            | Self::BeginUnderEntry => "fs/src/dax/protocol/mistaken.rs",
            Self::NoSecondLookUp
            | Self::ZeroTwice
            | Self::ReadAllocates
            | Self::KeepZeroPage
            | Self::NoDirtyMark
            | Self::MarkAfterInstall
            | Self::SizeBeforeLock
            | Self::LargeOverSmall
            | Self::LargeIgnoresSmallLocks
            | Self::PrivateNeedsWritable
            | Self::NoZeroMark
            | Self::KeepLargeZeroPage
            | Self::IgnorePoison
            | Self::IgnoreUncommitted
            | Self::PrivateWritesThrough => "fs/src/dax/fault.rs",
            Self::WriteBackStuck
            | Self::WriteBackShared
            | Self::NoFence
            | Self::FenceAfterUnlock
            | Self::NoCommit
            | Self::SyncTrustsTags => "fs/src/dax/writeback.rs",
            Self::KeepMapping
            | Self::ForgetDirty
            | Self::KeepLargeWritable
            | Self::FlushBeforeProtect
            | Self::IgnorePins
            | Self::FreeShared
            | Self::KeepRun
            | Self::FirstSpaceOnly => "fs/src/vfs/mapping.rs",
            Self::WakeWrongKey => "fs/src/vfs/index.rs",
            Self::WriteKeepsZeroPage | Self::PublishBeforeZero => "fs/src/ext2/map/grow.rs",
            Self::UnmapBeforeLock | Self::FreeBeforeUnmap | Self::TruncateKeepsCopies => {
                "fs/src/ext2/file/truncate.rs"
            }
            Self::PunchDropsCopies => "fs/src/ext2/file/fallocate.rs",
            Self::WriteShared | Self::WriteUnlocked | Self::ReadUnlocked => "fs/src/ext2/file/mod.rs",
            Self::IgnoreFreeze => "fs/src/ext2/ops.rs",
            Self::FlushBeforeFreeze => "fs/src/ext2/freeze.rs",
            Self::FreeAtUnlink => "fs/src/ext2/inode.rs",
            Self::CommitBeforeData | Self::NoCommitFence | Self::TailTooEarly => "fs/src/jbd2/commit.rs",
            Self::NoRevoke | Self::ReuseBeforeCommit => "fs/src/jbd2/handle.rs",
            Self::NoShootdown => "kernel/base/src/arch/tlb.rs",
            Self::ShootdownFirst
            | Self::LargeOverTable
            | Self::FreeBeforeShootdown
            | Self::ForkKeepsWritable => "vm/src/tables.rs",
            Self::DetachFirst | Self::MoveBeforeAttach => "vm/src/map.rs",
            Self::CopyUnderLock => "kernel/lab/src/scenarios/changes.rs",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_mutant_is_found_by_the_name_it_prints() {
        for &mutant in Mutant::ALL {
            assert_eq!(mutant.to_string().parse(), Ok(mutant));
        }
        assert_eq!("".parse::<Mutant>(), Err(UnknownMutant));
        assert!(Mutant::ALL.len() <= 2 * BITS, "two words, less the bits that are not the mutants'");
    }

    #[test]
    fn every_mistake_says_what_is_wrong_and_is_made_where_it_says() {
        let now = std::env::var("CARGO_MANIFEST_DIR");
        let root = std::path::Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR"))).join("..");
        for &mutant in Mutant::ALL {
            let about = mutant.meaning();
            assert!(about.ends_with(['.', ')']) && !about.starts_with(' '), "{mutant}: {about:?}");
            let code = std::fs::read_to_string(root.join(mutant.place())).expect("a file");
            let of_fs = std::format!(", {mutant:?})");
            let asks = |line: &str| line.contains("mistake!(") && line.contains(&of_fs);
            let made = match mutant.place().starts_with("fs/") {
                true => code.lines().any(asks),
                false => code.contains(&std::format!("Mutant::{mutant:?}")),
            };
            assert!(made, "{mutant}: {}", mutant.place());
        }
    }
}
