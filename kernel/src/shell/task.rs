//! The shell's task: loads and stores at its addresses, through its page tables, faulting as any program's
//! do; and its mappings.

use core::fmt::{self, Write};

use cli::opts::Opts;
use fs::Errno;

use super::Shell;
use super::command::CommandResult;
use crate::entry::user_access::{self, FaultAt};
use crate::machine::File;
use crate::mm::aspace::{self, Rights, VmaKind};
use crate::mm::fault::Refusal;
use crate::mounts;

/// A refused access: `write fault at 0x10000000: beyond the end of the file`.
pub(super) struct Refused(FaultAt);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.0.write { "write" } else { "read" };
        write!(f, "{access} fault at {:#x}: {}", self.0.address, self.0.why)
    }
}

impl Refused {
    /// Returns the first address that was not reached.
    pub(super) fn address(&self) -> u64 {
        self.0.address
    }

    /// Returns what the file said, if the file refused the access.
    pub(super) fn error(&self) -> Option<fs::Error> {
        match self.0.why {
            Refusal::File(error) => Some(error),
            _ => None,
        }
    }
}

/// Loads bytes from `address` on.
///
/// # Errors
/// What the fault at the first address that could not be read said.
pub(super) fn read(address: u64, to: &mut [u8]) -> Result<(), Refused> {
    user_access::load(to, address).map_err(Refused)
}

/// Stores bytes from `address` on.
///
/// # Errors
/// Those of [`read`]; what lies before was stored.
pub(super) fn write(address: u64, from: &[u8]) -> Result<(), Refused> {
    user_access::store(address, from).map_err(Refused)
}

/// Stores `byte` `len` times from `address` on.
///
/// # Errors
/// Those of [`write`].
pub(super) fn fill(address: u64, byte: u8, len: usize) -> Result<(), Refused> {
    user_access::fill(address, byte, len).map_err(Refused)
}

/// Loads 8 bytes; the ticks of the time-stamp counter that it took, and those of [`timed_nothing`].
///
/// # Errors
/// What the fault said.
pub(super) fn timed_load(address: u64) -> Result<u64, Refused> {
    user_access::timed_load(address).map_err(Refused)
}

/// Stores 8 bytes; the ticks as for [`timed_load`].
///
/// # Errors
/// What the fault said.
pub(super) fn timed_store(address: u64, value: u64) -> Result<u64, Refused> {
    user_access::timed_store(address, value).map_err(Refused)
}

/// Returns the ticks that reading the counter around an access takes.
pub(super) fn timed_nothing() -> u64 {
    user_access::timed_nothing()
}

/// Writes the page-table entries that lead to `address`, a line each, and where it leads.
pub(super) fn print_walk(address: u64, out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "{}", aspace::current().walk(address))
}

/// Returns how a mapping is to be, by the options: -S synchronous, -p private, -n without huge pages.
/// `no_write` is why the file, as it was opened, is not to be stored to.
pub(super) fn kind(
    file: &File,
    opts: &Opts<'_>,
    rights: Rights,
    no_write: Option<Errno>,
    steady: &mounts::Steady,
) -> VmaKind {
    let mount = mounts::of(file);
    let read_only = mount.as_ref().is_some_and(|mount| mount.read_only()).then_some(Errno::ReadOnly);
    VmaKind {
        rights,
        private: opts.has('p'),
        sync: opts.has('S'),
        large: !opts.has('n'),
        no_write: no_write.or(read_only),
        protocol: mounts::protocol(file, steady),
    }
}

/// Lists the task's VMAs, a line each: addresses, rights as in Linux's /proc/PID/maps, byte offset, then how
/// many entries of 4 KiB and 2 MiB are in the page tables, how many private copies, and the name.
pub(super) fn print_maps(sh: &mut Shell) -> CommandResult {
    let space = aspace::current();
    for vma in space.vmas() {
        let (end, name) = (vma.start + vma.len, sh.shown(&vma.name).into_owned());
        let count = space.count(vma.start, vma.len);
        write!(sh.out, "{:#x}-{end:#x} {} {:#x}", vma.start, vma.kind, vma.offset)?;
        writeln!(sh.out, " 4k={} 2m={} copies={} {name}", count.small, count.large, count.copies)?;
    }
    Ok(())
}
