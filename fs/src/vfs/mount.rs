//! What there is to know of a file system before it is mounted, and how it is told: its type, the options of
//! a mount, the policy on errors, and the fields that describe a mounted one.

use super::FileSystemRef;
use crate::error::Result;
use crate::platform::Platform;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// A type of file system: what the registry ([`crate::registry`]) has of each.
pub struct FileSystemType<P: Platform> {
    /// Its name, as `mount -t` takes it.
    pub name: &'static str,
    /// Whether a region holds one, as far as its magic number tells. Reads only where `options` say that it
    /// begins.
    ///
    /// # Errors
    /// The place of the magic number cannot be read.
    pub probe: fn(&P::Pmem, &MountOptions) -> Result<bool>,
    /// Mounts the one in the platform's region.
    ///
    /// # Errors
    /// Whatever is wrong with it; the image is unchanged, but for what a crash left to be finished.
    pub mount: fn(P, MountOptions) -> Result<FileSystemRef<P>>,
}

/// How to mount.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Change nothing on the image, not even its mount count.
    pub read_only: bool,
    /// Use the copy of the superblock that is this many KiB from the start (Linux's `sb=`), and the
    /// descriptors after it. Mounted for writing, both are first put in the place of the damaged ones, and
    /// the image is looked through as after a crash.
    pub super_block: Option<u64>,
    /// How many inodes stay in memory although nobody holds them; the type's choice unless told. Some hundred
    /// bytes each, and what is known of their pages.
    pub cached_inodes: Option<usize>,
    /// What to do when a contradiction is met, instead of what the superblock says.
    pub on_error: Option<OnError>,
    /// Memory for the name indexes of all directories, in bytes; the type's choice unless told. A name takes
    /// 10 to 20.
    pub name_index_bytes: Option<usize>,
}

/// What a file system does when it meets a contradiction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It goes on: what the contradiction is about is refused.
    Continue,
    /// It is read-only from then on.
    ReadOnly,
    /// The machine stops.
    Panic,
}

impl OnError {
    /// All of them, in the order of their numbers in ext2's `s_errors`, which begin with 1.
    pub const ALL: [Self; 3] = [Self::Continue, Self::ReadOnly, Self::Panic];

    /// Returns its name, as the mount option `errors=` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::ReadOnly => "remount-ro",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is no [`OnError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl FromStr for OnError {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> core::result::Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy)
    }
}

/// What a field of a mounted file system's description holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Text, as it is printed.
    Text(String),
    /// Seconds since 1970-01-01 00:00:00 UTC; 0 is "never".
    Time(u64),
}

/// What is in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalInfo {
    /// The number of the running transaction.
    pub running: u32,
    /// The number of the last transaction that is durable.
    pub committed: u32,
    /// Handles that are open.
    pub handles: u32,
    /// Blocks that the open handles may still change.
    pub credits: u32,
    /// Blocks that the running transaction changes.
    pub buffers: usize,
    /// Blocks that the running transaction revokes.
    pub revokes: usize,
    /// The block of the log where a recovery would start; 0: there is nothing to recover.
    pub tail: u32,
    /// The block of the log where the next transaction goes.
    pub head: u32,
    /// Blocks of the log that are free.
    pub free: u32,
    /// All blocks of the log.
    pub blocks: u32,
}

impl JournalInfo {
    /// Calls `f` with each field's name and value.
    pub fn each(&self, mut f: impl FnMut(&'static str, u64)) {
        f("running", self.running.into());
        f("committed", self.committed.into());
        f("handles", self.handles.into());
        f("credits", self.credits.into());
        f("buffers", self.buffers as u64);
        f("revokes", self.revokes as u64);
        f("tail", self.tail.into());
        f("head", self.head.into());
        f("free", self.free.into());
        f("blocks", self.blocks.into());
    }
}

/// Writes a UUID as five groups of hexadecimal digits.
pub fn uuid_text(uuid: &[u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &alloc::format!("{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_found_by_the_name_it_prints() {
        for policy in OnError::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert!("".parse::<OnError>().is_err() && "ro".parse::<OnError>().is_err());
    }
}
