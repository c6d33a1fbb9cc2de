//! The laboratory: named steps at which whoever watches can look or hold a CPU, and named mistakes that can
//! be made on purpose.
//!
//! Both are always compiled in and off. A fault asks once whether the lab is used at all, and goes its way
//! without looking at steps and mutants if it is not; elsewhere each place costs a load and a branch. A
//! [`Step`] is reported when hooks are on: tracing writes it down, the race lab holds the CPU there until its
//! script goes on. A [`Mutant`] is the smallest change that brings a historic bug back, so that each test
//! which guards against it can be shown to fail. No mutant is on unless the lab's user turns it on.
//!
//! A [`schedule`] says in a line of text who does what and in which order, for whoever plays it.
//!
//! References: "R1" to "R25" are the regressions of Linux that docs/races.md tells of.

use core::fmt;
use core::str::FromStr;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $unknown:ident { $($(#[doc = $about:literal])* $item:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[doc = $about])* $item,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$item,)*];

            /// The name that is printed and parsed.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$item => $text,)* }
            }

            /// What it is, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$item => concat!($($about),*).trim_ascii_start(),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        /// Not a name of one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $unknown;

        impl FromStr for $name {
            type Err = $unknown;

            fn from_str(name: &str) -> Result<Self, $unknown> {
                Self::ALL.iter().copied().find(|one| one.name() == name).ok_or($unknown)
            }
        }
    };
}

pub mod schedule;

named! {
    /// A place in the code that a [`Step`] was taken at.
    Point, UnknownPoint {
        /// A fault begins. `arg`: 1 for a store, 2 added for a 2 MiB page, 4 for a private area.
        FaultBegin => "fault-begin",
        /// It waits for `dax_sem` shared.
        SharedWait => "shared-wait",
        /// It has it.
        SharedLocked => "shared-locked",
        /// It waits for the entry's lock.
        EntryWait => "entry-wait",
        /// It has it.
        EntryLocked => "entry-locked",
        /// The block was looked up. `arg`: its byte offset, or `u64::MAX` for a hole.
        LookedUp => "looked-up",
        /// It lets go of everything to come back with the exclusive lock.
        Retry => "retry",
        /// It waits for `dax_sem` exclusively.
        ExclusiveWait => "exclusive-wait",
        /// It has it.
        ExclusiveLocked => "exclusive-locked",
        /// A block was allocated, zeroed and published. `arg`: its byte offset.
        Allocated => "allocated",
        /// The zero page went from every address space. `arg`: how many entries.
        ZeroUnmapped => "zero-unmapped",
        /// The index knows what is about to be mapped.
        Marked => "marked",
        /// The entry is in the page table.
        Installed => "installed",
        /// A 2 MiB fault goes on with a 4 KiB page. `arg`: the reason, as [`Fallback`](crate::dax::Fallback)
        /// counts them.
        Fallback => "fallback",
        /// The fault ends. `arg`: 0 if it was served.
        FaultEnd => "fault-end",
        /// Write-back took the dirty mark from a page or range, in its lock.
        Cleaned => "cleaned",
        /// It write-protected it in every address space.
        Protected => "protected",
        /// It flushed it.
        Flushed => "flushed",
        /// A range was taken out of every address space. `arg`: how many entries.
        Unmapped => "unmapped",
        /// Blocks were freed. `page`: the first block; `arg`: how many.
        Freed => "freed",
        /// write(2) filled a hole. `arg`: its byte offset.
        WriteAllocated => "write-allocated",
        /// A shootdown begins. `arg`: the CPUs asked.
        ShootdownBegin => "shootdown-begin",
        /// Every CPU asked has answered.
        ShootdownEnd => "shootdown-end",
        /// This CPU answers another's shootdown. `arg`: the CPU that asked.
        ShootdownAnswer => "shootdown-answer",
    }
}

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
    }
}

impl Mutant {
    /// The file whose code makes the mistake.
    pub const fn place(self) -> &'static str {
        match self {
            Self::LookUpBeforeLock | Self::ReadTakesNoEntry | Self::WakeBeforeUnlock => {
                "fs/src/dax/protocol/entry_lock.rs"
            }
            Self::InstallUnlocked | Self::LargeAllocatesShared | Self::RetryHolding => {
                "fs/src/dax/protocol/read_first.rs"
            }
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
            | Self::CopyUnlocked
            | Self::MarkAfterUnlock
            | Self::NoZeroMark
            | Self::KeepLargeZeroPage
            | Self::IgnorePoison
            | Self::PrivateWritesThrough => "fs/src/dax/fault.rs",
            Self::WriteBackStuck
            | Self::WriteBackShared
            | Self::NoFence
            | Self::FenceAfterUnlock
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
            Self::NoShootdown => "kernel/base/src/arch/tlb.rs",
            Self::ShootdownFirst | Self::LargeOverTable => "vm/src/tables.rs",
            Self::CopyUnderLock => "kernel/lab/src/scenarios/changes.rs",
        }
    }
}

/// A step that was taken somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub point: Point,
    /// The file's inode number.
    pub ino: u64,
    /// The page of the file.
    pub page: u64,
    /// What else there is to say, as `point` says.
    pub arg: u64,
}

/// What is on: nothing, unless the lab's user asks for it.
#[derive(Debug, Default)]
pub struct Lab(AtomicU64);

/// The bit of the hooks; those below are the mutants'.
const HOOKS: u64 = 1 << 63;

impl Lab {
    /// Everything off.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether anything is on at all: the one question that a fault asks of a lab nobody uses.
    #[inline]
    pub fn is_used(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Whether steps are reported.
    #[inline]
    pub fn hooks(&self) -> bool {
        self.0.load(Relaxed) & HOOKS != 0
    }

    /// From now on steps are reported, or not.
    pub fn set_hooks(&self, on: bool) {
        if on {
            self.0.fetch_or(HOOKS, Relaxed)
        } else {
            self.0.fetch_and(!HOOKS, Relaxed)
        };
    }

    /// Whether a mistake is to be made.
    #[inline]
    pub fn has(&self, mutant: Mutant) -> bool {
        self.0.load(Relaxed) & 1 << mutant as u8 != 0
    }

    /// Makes a mistake from now on.
    pub fn add(&self, mutant: Mutant) {
        self.0.fetch_or(1 << mutant as u8, Relaxed);
    }

    /// No mistakes any more.
    pub fn heal(&self) {
        self.0.fetch_and(HOOKS, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_point_and_mutant_is_found_by_the_name_it_prints() {
        for &point in Point::ALL {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        for &mutant in Mutant::ALL {
            assert_eq!(mutant.to_string().parse(), Ok(mutant));
        }
        assert_eq!("".parse::<Mutant>(), Err(UnknownMutant));
        assert!(Mutant::ALL.len() < 64, "the bits of a word, less the hooks'");
    }

    #[test]
    fn every_mistake_says_what_is_wrong_and_is_made_where_it_says() {
        let now = std::env::var("CARGO_MANIFEST_DIR");
        let root = std::path::Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR"))).join("..");
        for &mutant in Mutant::ALL {
            let about = mutant.meaning();
            assert!(about.ends_with(['.', ')']) && !about.starts_with(' '), "{mutant}: {about:?}");
            let code = std::fs::read_to_string(root.join(mutant.place())).expect("a file");
            assert!(code.contains(&std::format!("Mutant::{mutant:?}")), "{mutant}: {}", mutant.place());
        }
    }

    #[test]
    fn a_mutant_is_on_alone_and_healing_ends_it() {
        let lab = Lab::new();
        lab.add(Mutant::NoDirtyMark);
        let on = Mutant::ALL.iter().filter(|&&mutant| lab.has(mutant)).count();
        assert!(on == 1 && lab.has(Mutant::NoDirtyMark));
        lab.heal();
        assert!(!lab.has(Mutant::NoDirtyMark));
    }
}
