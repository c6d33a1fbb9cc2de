//! The operations, and everything that others must know of one: [`Op::about`] is the one place that says it.
//!
//! To add an operation: its name in `Op`, its line in [`Op::about`], and the two functions that do it, the
//! explorer's `perform` (`verify/explore/src/world/ops.rs`) and the kernel's
//! (`kernel/lab/src/replay/acts.rs`). The compiler asks for all four. Where none of the [`Effect`]s is what
//! it does to a file, that is a new one, and the compiler asks everybody who judges what was seen.

use core::fmt;
use core::str::FromStr;

named! {
    /// What a CPU does.
    Op, UnknownOp {
        /// Loads the word through the shared mapping.
        Load => "load",
        /// Stores a word there.
        Store => "store",
        /// read(2) of the word.
        Read => "read",
        /// Reads the word as direct I/O does: pins the page, and reads from where it found its block.
        Direct => "direct",
        /// write(2) of the word.
        Write => "write",
        /// write(2) that fills a hole of a second file.
        WriteOther => "write-other",
        /// Truncates the file to the range's first byte.
        Truncate => "truncate",
        /// Truncates it to the size that it had at first.
        Grow => "grow",
        /// Punches the range.
        Punch => "punch",
        /// Punches the page after the word's page.
        PunchBeside => "punch-beside",
        /// Allocates the range, as fallocate(2) does.
        Fallocate => "fallocate",
        /// msync(2) of the range.
        Msync => "msync",
        /// fsync(2).
        Fsync => "fsync",
        /// Unmaps its area.
        Munmap => "munmap",
        /// Makes its area read-only.
        Mprotect => "mprotect",
        /// Maps the file over its area (mmap with MAP_FIXED).
        MapOver => "map-over",
        /// Moves its area elsewhere and back; then the private area of its address space, if there is one.
        Mremap => "mremap",
        /// Has the entries of its area forgotten (MADV_DONTNEED); then the copies of the private one, if
        /// there is one.
        Madvise => "madvise",
        /// Stores through a private area of the range and loads it back.
        Private => "private",
        /// Duplicates the address space; the child loads the word.
        Fork => "fork",
        /// Freezes the file system and thaws it.
        Freeze => "freeze",
        /// Takes the name away and closes its handle.
        Unlink => "unlink",
        /// The word's line of persistent memory goes bad.
        Poison => "poison",
    }
}

/// What an operation is to a file that does one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Loads the word through the shared area.
    Load,
    /// Stores its word there; durable after a sync.
    Store,
    /// Stores to a private area, and loads from it.
    Private,
    /// Copies the address space; its child loads the word.
    Fork,
    /// The shared area is gone.
    Unmap,
    /// The shared area is read-only.
    Protect,
    /// The shared area is there, whatever was there, for loads and stores.
    Remap,
    /// The shared area, and then the private one, is elsewhere for a while.
    Move,
    /// What is stored in private copies is forgotten.
    Forget,
    /// Reads the word, without a mapping.
    Read,
    /// Writes its word, durably; the file becomes longer if it ended before.
    Write,
    /// Writes its word to the second file.
    WriteOther,
    /// The range is zeros, durably, and its blocks are free.
    Zero,
    /// The file ends where the range begins, durably.
    Cut,
    /// The file has at least the length that it had at first: zeros where it had ended.
    Extend,
    /// The same, and the range has blocks.
    Allocate,
    /// The file's last name goes, and this CPU's handle.
    Close,
    /// The word is lost, and whoever accesses it may be refused, or not.
    Spoil,
    /// Nothing that anybody sees in the word.
    Nothing,
}

impl Effect {
    /// Returns whether the operation puts a word of its own somewhere: such words are all different.
    pub const fn stores(self) -> bool {
        match self {
            Self::Store | Self::Private | Self::Write | Self::WriteOther => true,
            Self::Load | Self::Fork | Self::Unmap | Self::Protect | Self::Read => false,
            Self::Remap | Self::Move | Self::Forget => false,
            Self::Zero | Self::Cut | Self::Extend | Self::Allocate | Self::Close => false,
            Self::Spoil | Self::Nothing => false,
        }
    }

    /// Returns whether the file's word may be the operation's own afterwards.
    pub const fn puts_word(self) -> bool {
        self.stores() && self.changes_file()
    }

    /// Returns whether the operation shows the file's word to who does it.
    pub const fn looks(self) -> bool {
        match self {
            Self::Load | Self::Fork | Self::Read => true,
            Self::Store | Self::Private | Self::Write | Self::WriteOther => false,
            Self::Unmap | Self::Protect | Self::Remap | Self::Move | Self::Forget => false,
            Self::Zero | Self::Cut | Self::Extend | Self::Allocate | Self::Close => false,
            Self::Spoil | Self::Nothing => false,
        }
    }

    /// Returns whether others see the file changed.
    pub const fn changes_file(self) -> bool {
        match self {
            Self::Store | Self::Write | Self::Zero | Self::Cut | Self::Extend => true,
            Self::Allocate | Self::Spoil => true,
            Self::Load | Self::Private | Self::Fork | Self::Unmap | Self::Protect | Self::Read => false,
            Self::Remap | Self::Move | Self::Forget => false,
            Self::WriteOther | Self::Close | Self::Nothing => false,
        }
    }

    /// Returns whether the word may be zeros, or an older one, or nothing, after it was stored.
    pub const fn erases(self) -> bool {
        match self {
            Self::Zero | Self::Cut | Self::Spoil => true,
            Self::Load | Self::Store | Self::Private | Self::Fork | Self::Unmap | Self::Protect => false,
            Self::Remap | Self::Move | Self::Forget => false,
            Self::Read | Self::Write | Self::WriteOther | Self::Extend | Self::Allocate => false,
            Self::Close | Self::Nothing => false,
        }
    }

    /// Returns whether a hole in the range may have a block afterwards.
    pub const fn fills(self) -> bool {
        match self {
            Self::Store | Self::Write | Self::Allocate => true,
            Self::Load | Self::Private | Self::Fork | Self::Unmap | Self::Protect | Self::Read => false,
            Self::Remap | Self::Move | Self::Forget => false,
            Self::WriteOther | Self::Zero | Self::Cut | Self::Extend | Self::Close => false,
            Self::Spoil | Self::Nothing => false,
        }
    }
}

/// Of an address space, what an operation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// Nothing: it is the same from whichever address space it is done.
    Nothing,
    /// The shared area, with or without pages of 2 MiB.
    Shared,
    /// A private area, which it has for itself.
    Private,
}

/// What there is to know of an operation.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// What it is to a file that does one thing at a time.
    pub effect: Effect,
    /// What of its address space it uses.
    pub uses: Uses,
    /// Whether it needs an open file: after an [`Effect::Close`] on the same CPU it has none.
    pub handle: bool,
    /// Whether stores that ended before it began are durable when it returns.
    pub syncs: bool,
    /// Whether a world of such operations alone has durability judged as soon as a sync returns: it neither
    /// moves nor frees blocks, nor puts anything into the file but by a store.
    pub judged_at_once: bool,
    /// What can make it fail. Itself: a second one finds it done. A bad line can make any fail.
    pub refused_after: &'static [Op],
    /// What whoever has done it has done, as in "CPU 0 had truncated the file"; what it stored or saw comes
    /// after that.
    pub had: &'static str,
}

/// All of an [`About`]: none has a default, so that whoever adds an operation is asked for each.
macro_rules! about {
    ($effect:ident, uses: $uses:ident, handle: $handle:literal, syncs: $syncs:literal,
     judged_at_once: $judged:literal, refused_after: $refused_after:expr, had: $had:literal) => {
        About {
            effect: Effect::$effect,
            uses: Uses::$uses,
            handle: $handle,
            syncs: $syncs,
            judged_at_once: $judged,
            refused_after: $refused_after,
            had: $had,
        }
    };
}

/// What takes a word, or the area, away under whoever accesses it.
const GONE: &[Op] = &[Op::Truncate, Op::Munmap, Op::Mremap];
/// The same, and the right to store.
const READ_ONLY: &[Op] = &[Op::Truncate, Op::Munmap, Op::Mremap, Op::Mprotect];
/// What takes the area away under whoever changes it.
const NO_AREA: &[Op] = &[Op::Munmap, Op::Mremap];

impl Op {
    /// Returns what there is to know of the operation.
    #[rustfmt::skip]
    pub const fn about(self) -> About {
        match self {
            Self::Load => about!(Load, uses: Shared, handle: false, syncs: false, judged_at_once: true,
                refused_after: GONE, had: "loaded"),
            Self::Store => about!(Store, uses: Shared, handle: false, syncs: false, judged_at_once: true,
                refused_after: READ_ONLY, had: "stored"),
            Self::Read => about!(Read, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "read"),
            Self::Direct => about!(Read, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "read"),
            Self::Write => about!(Write, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "written"),
            Self::WriteOther => about!(WriteOther, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "written to the second file"),
            Self::Truncate => about!(Cut, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "truncated the file"),
            Self::Grow => about!(Extend, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "made the file longer"),
            Self::Punch => about!(Zero, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "punched the range"),
            Self::PunchBeside => about!(Nothing, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "punched the page beside"),
            Self::Fallocate => about!(Allocate, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "allocated the range"),
            Self::Msync => about!(Nothing, uses: Nothing, handle: true, syncs: true, judged_at_once: true,
                refused_after: &[], had: "come through its msync"),
            Self::Fsync => about!(Nothing, uses: Nothing, handle: true, syncs: true, judged_at_once: true,
                refused_after: &[], had: "come through its fsync"),
            Self::Munmap => about!(Unmap, uses: Shared, handle: false, syncs: false, judged_at_once: false,
                refused_after: &[], had: "unmapped the area"),
            Self::Mprotect => about!(Protect, uses: Shared, handle: false, syncs: false, judged_at_once: false,
                refused_after: NO_AREA, had: "made the area read-only"),
            Self::MapOver => about!(Remap, uses: Shared, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "mapped the file over its area"),
            Self::Mremap => about!(Move, uses: Shared, handle: false, syncs: false, judged_at_once: false,
                refused_after: NO_AREA, had: "moved the area and back"),
            Self::Madvise => about!(Forget, uses: Shared, handle: false, syncs: false, judged_at_once: false,
                refused_after: NO_AREA, had: "forgotten what is mapped"),
            Self::Private => about!(Private, uses: Private, handle: false, syncs: false, judged_at_once: false,
                refused_after: GONE, had: "stored to its copy"),
            Self::Fork => about!(Fork, uses: Shared, handle: true, syncs: false, judged_at_once: false,
                refused_after: GONE, had: "forked a child that loaded"),
            Self::Freeze => about!(Nothing, uses: Nothing, handle: false, syncs: true, judged_at_once: false,
                refused_after: &[Op::Freeze], had: "come through its freeze"),
            Self::Unlink => about!(Close, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[Op::Unlink], had: "unlinked the file"),
            Self::Poison => about!(Spoil, uses: Nothing, handle: true, syncs: false, judged_at_once: false,
                refused_after: &[], had: "made the line go bad"),
        }
    }

    /// Returns what the operation is to a file that does one thing at a time.
    pub const fn effect(self) -> Effect {
        self.about().effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows from one another is said once, and agrees.
    #[test]
    fn what_is_said_of_an_operation_agrees_with_itself() {
        for &op in Op::ALL {
            let About { effect, uses, syncs, judged_at_once, refused_after, had, .. } = op.about();
            assert!(!had.is_empty() && !had.contains(char::is_numeric), "{op}");
            // Words of an access come through an area; whoever uses one says which.
            let through_area = matches!(
                effect,
                Effect::Load | Effect::Store | Effect::Fork | Effect::Unmap | Effect::Protect
            ) || matches!(effect, Effect::Remap | Effect::Move | Effect::Forget);
            assert!(!through_area || uses == Uses::Shared, "{op}");
            assert_eq!(effect == Effect::Private, uses == Uses::Private, "{op}");
            // A word that is in the file is in a block.
            assert!(!effect.puts_word() || effect.fills(), "{op}");
            let moves_nothing = effect == Effect::Load || effect == Effect::Store || syncs;
            assert!(!judged_at_once || moves_nothing, "{op}");
            // What takes effect on the word or its mapping is all that can refuse it, or itself.
            for other in refused_after {
                let does = other.effect() != Effect::Nothing && !other.effect().looks();
                assert!(does || *other == op, "{op} refused after {other}");
            }
        }
    }

    #[test]
    fn words_go_to_the_file_a_copy_or_another_file() {
        let put: std::vec::Vec<Op> = Op::ALL.iter().copied().filter(|op| op.effect().puts_word()).collect();
        assert_eq!(put, [Op::Store, Op::Write]);
        let stored = Op::ALL.iter().filter(|op| op.effect().stores()).count();
        assert_eq!(stored, 4, "store, write, write-other, private");
    }
}
