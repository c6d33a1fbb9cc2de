//! ACPI tables: the NFIT as bytes, how many CPUs the MADT lists, where the FADT says the century is.
//!
//! The `acpi` crate walks from the RSDP to the table headers. It trusts lengths and addresses, so what it is
//! given here is bounded: an address outside firmware's memory map reads as zeros, a length is cut to
//! [`LONGEST`]. The tables' contents are then taken as bytes, whose parsers trust nothing.
//!
//! References: ACPI 6.5, 5.2.5 (RSDP), 5.2.6 (headers), 5.2.9 (FADT), 5.2.12 (MADT), 5.2.25 (NFIT).

use alloc::vec::Vec;
use core::fmt;
use core::ptr::NonNull;

use acpi::{AcpiError, AcpiTables, Handler, PciAddress, PhysicalMapping};
use spin::Once;

use crate::arch::time;
use crate::mm::boot;
use crate::mm::paging::{self, Flags};

/// No table is longer than this.
const LONGEST: usize = 1 << 20;
const HEADER: usize = 36;

/// Why there is no table.
#[derive(Clone, Debug)]
pub enum Error {
    /// The boot loader found no RSDP.
    NoRsdp,
    /// The RSDP is bad.
    Rsdp(AcpiError),
    /// No table has this signature.
    NoTable(&'static str),
    /// A table's address is outside what firmware's memory map tells of.
    Address(u64),
    /// A table's length is impossible.
    Length(&'static str, u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRsdp => f.write_str("no ACPI: the firmware gave no RSDP"),
            Self::Rsdp(error) => write!(f, "bad RSDP: {error:?}"),
            Self::NoTable("NFIT") => f.write_str("no NFIT table: start QEMU with -device nvdimm"),
            Self::NoTable(name) => write!(f, "no {name} table"),
            Self::Address(at) => write!(f, "table at {at:#x} lies outside the memory map"),
            Self::Length(name, length) => write!(f, "{name} table with a length of {length} bytes"),
        }
    }
}

impl core::error::Error for Error {}

static RSDP: Once<u64> = Once::new();

/// Remembers where the RSDP is, as the boot loader found it.
pub fn init(rsdp: Option<u64>) {
    if let Some(rsdp) = rsdp {
        RSDP.call_once(|| rsdp);
    }
}

/// Returns the first table with this signature, header included.
///
/// # Errors
/// Each way in which there can be none.
pub fn table(signature: &'static str) -> Result<Vec<u8>, Error> {
    tables(signature)?.next().unwrap_or(Err(Error::NoTable(signature)))
}

/// Returns every table with this signature, header included; an error for one that can't be read.
///
/// # Errors
/// The tables can't be looked for.
pub fn tables(signature: &'static str) -> Result<impl Iterator<Item = Result<Vec<u8>, Error>>, Error> {
    let rsdp = *RSDP.get().ok_or(Error::NoRsdp)?;
    if !boot::covers(rsdp, 36) && rsdp >= 1 << 20 {
        return Err(Error::Address(rsdp));
    }
    // SAFETY: the address is the boot loader's, and `Mapper` shows only memory that is there.
    let tables = unsafe { AcpiTables::from_rsdp(Mapper, rsdp as usize) }.map_err(Error::Rsdp)?;
    let headers = tables.table_headers().filter(|(_, header)| header.signature.as_str() == signature);
    let found: Vec<_> = headers.map(|(at, header)| (at as u64, header.length)).collect();
    Ok(found.into_iter().map(move |(at, length)| {
        if !(HEADER..=LONGEST).contains(&(length as usize)) {
            return Err(Error::Length(signature, length));
        }
        bytes(at, length as usize)
    }))
}

/// Copies firmware's memory.
fn bytes(at: u64, len: usize) -> Result<Vec<u8>, Error> {
    let from = map(at, len).ok_or(Error::Address(at))?;
    // SAFETY: `map` has made `len` bytes readable, and the tables don't change.
    Ok(unsafe { core::slice::from_raw_parts(from.as_ptr(), len) }.to_vec())
}

/// Shows firmware's memory in the direct map, if it is memory.
fn map(at: u64, len: usize) -> Option<NonNull<u8>> {
    let low = at.checked_add(len as u64)? <= 1 << 20;
    if !low && !boot::covers(at, len as u64) {
        return None;
    }
    let start = paging::map_direct(at, len as u64, Flags::KERNEL_DATA).ok()?;
    NonNull::new(start as *mut u8)
}

/// Returns the register of the clock chip that holds the century, if the FADT names one that can.
pub fn century_register() -> Option<u8> {
    /// `CENTURY`, in the FADT.
    const CENTURY: usize = 108;
    // Below are the clock's own registers; above, those that the index port can't select.
    table("FACP").ok()?.get(CENTURY).copied().filter(|register| (0x0e..0x80).contains(register))
}

/// Returns the CPUs that can be used, by the MADT: enabled local APIC (type 0) and x2APIC (type 9) entries.
/// The two kinds may list the same CPU; duplicates by identifier are counted once.
///
/// # Errors
/// Those of [`table`].
pub fn cpu_apic_ids() -> Result<Vec<u32>, Error> {
    let madt = table("APIC")?;
    let mut ids = Vec::new();
    let mut rest = madt.get(HEADER + 8..).unwrap_or(&[]);
    while let [kind, length, ..] = *rest {
        let Some(entry) = rest.get(..usize::from(length)).filter(|entry| entry.len() >= 2) else { break };
        let word = |at: usize| {
            entry.get(at..at + 4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        };
        let found = match kind {
            0 => entry.get(3).zip(word(4)).map(|(id, flags)| (u32::from(*id), flags)),
            9 => word(4).zip(word(8)),
            _ => None,
        };
        if let Some((id, flags)) = found
            && flags & 1 != 0
            && !ids.contains(&id)
        {
            ids.push(id);
        }
        rest = &rest[usize::from(length)..];
    }
    Ok(ids)
}

/// What the `acpi` crate gets instead of an address that is no memory.
static ZEROS: [u64; 512] = [0; 512];

/// The `acpi` crate's view of the machine. Only memory is ever asked for, since no AML runs.
#[derive(Clone, Copy, Debug)]
struct Mapper;

impl Handler for Mapper {
    unsafe fn map_physical_region<T>(
        &self,
        physical_address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        // Neither a table shorter than its header, nor one of gigabytes: the crate computes with this length.
        let least = core::mem::size_of::<T>().max(if size == 0 { HEADER } else { 0 });
        let length = size.clamp(least, LONGEST);
        let (start, length) = match map(physical_address as u64, length) {
            Some(start) => (start, length),
            None => (NonNull::from(&ZEROS).cast(), least.min(core::mem::size_of_val(&ZEROS))),
        };
        PhysicalMapping {
            physical_start: physical_address,
            virtual_start: start.cast(),
            region_length: length,
            mapped_length: length,
            handler: *self,
        }
    }

    // The direct map keeps what it shows.
    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}

    fn nanos_since_boot(&self) -> u64 {
        time::monotonic_ns()
    }

    fn stall(&self, microseconds: u64) {
        time::stall_us(microseconds);
    }

    fn sleep(&self, milliseconds: u64) {
        time::stall_us(milliseconds * 1000);
    }

    // Registers are only for AML, which we don't run: reads give all ones, writes nothing.
    fn read_u8(&self, _: usize) -> u8 {
        u8::MAX
    }
    fn read_u16(&self, _: usize) -> u16 {
        u16::MAX
    }
    fn read_u32(&self, _: usize) -> u32 {
        u32::MAX
    }
    fn read_u64(&self, _: usize) -> u64 {
        u64::MAX
    }
    fn write_u8(&self, _: usize, _: u8) {}
    fn write_u16(&self, _: usize, _: u16) {}
    fn write_u32(&self, _: usize, _: u32) {}
    fn write_u64(&self, _: usize, _: u64) {}
    fn read_io_u8(&self, _: u16) -> u8 {
        u8::MAX
    }
    fn read_io_u16(&self, _: u16) -> u16 {
        u16::MAX
    }
    fn read_io_u32(&self, _: u16) -> u32 {
        u32::MAX
    }
    fn write_io_u8(&self, _: u16, _: u8) {}
    fn write_io_u16(&self, _: u16, _: u16) {}
    fn write_io_u32(&self, _: u16, _: u32) {}
    fn read_pci_u8(&self, _: PciAddress, _: u16) -> u8 {
        u8::MAX
    }
    fn read_pci_u16(&self, _: PciAddress, _: u16) -> u16 {
        u16::MAX
    }
    fn read_pci_u32(&self, _: PciAddress, _: u16) -> u32 {
        u32::MAX
    }
    fn write_pci_u8(&self, _: PciAddress, _: u16, _: u8) {}
    fn write_pci_u16(&self, _: PciAddress, _: u16, _: u16) {}
    fn write_pci_u32(&self, _: PciAddress, _: u16, _: u32) {}
}
