//! The shell's task: loads and stores at its addresses, through its page tables, faulting as any program's do.

use core::fmt;

use crate::arch::user_access::{self, FaultAt};
use crate::mm::aspace;

/// Loads bytes from `address` on.
///
/// # Errors
/// What the fault at the first address that could not be read said.
pub(super) fn read(address: u64, to: &mut [u8]) -> Result<(), FaultAt> {
    user_access::load(to, address)
}

/// Stores bytes from `address` on.
///
/// # Errors
/// As for [`read`]; what lies before was stored.
pub(super) fn write(address: u64, from: &[u8]) -> Result<(), FaultAt> {
    user_access::store(address, from)
}

/// Stores `len` times the same byte.
///
/// # Errors
/// As for [`write`].
pub(super) fn fill(address: u64, byte: u8, len: usize) -> Result<(), FaultAt> {
    user_access::fill(address, byte, len)
}

/// Writes the page-table entries that lead to `address`, a line each, and where it leads.
pub(super) fn print_walk(address: u64, out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "{}", aspace::current().tables().walk(address))
}
