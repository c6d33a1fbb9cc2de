//! What a trap leaves on the stack: the registers of whoever was interrupted.
//!
//! Reference: Intel SDM volume 3A, "Interrupt and Exception Handling": error codes, stack layout.

use core::fmt;

use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};

/// All registers at the moment of a trap, in the order in which the entry code pushes them.
#[repr(C)]
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "registers")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// What the lean page-fault entry has saved: enough for the handler to know who was interrupted.
#[repr(C)]
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "registers")]
pub struct FaultFrame {
    pub cr2: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl fmt::Display for TrapFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vector {} error {:#x} rflags {:#x}", self.vector, self.error, self.rflags)?;
        writeln!(f, "rip {:04x}:{:016x}  rsp {:04x}:{:016x}", self.cs, self.rip, self.ss, self.rsp)?;
        let rows = [
            [("rax", self.rax), ("rbx", self.rbx), ("rcx", self.rcx), ("rdx", self.rdx)],
            [("rsi", self.rsi), ("rdi", self.rdi), ("rbp", self.rbp), ("r8 ", self.r8)],
            [("r9 ", self.r9), ("r10", self.r10), ("r11", self.r11), ("r12", self.r12)],
            [("r13", self.r13), ("r14", self.r14), ("r15", self.r15), ("cr2", Cr2::read_raw())],
        ];
        for row in rows {
            for (i, (name, value)) in row.into_iter().enumerate() {
                write!(f, "{}{name} {value:016x}", if i == 0 { "" } else { "  " })?;
            }
            writeln!(f)?;
        }
        write_control(f)
    }
}

/// Writes CR0, CR3 and CR4 on one line.
pub fn write_control(f: &mut dyn fmt::Write) -> fmt::Result {
    let cr3 = Cr3::read_raw().0.start_address().as_u64();
    writeln!(f, "cr0 {:016x}  cr3 {cr3:016x}  cr4 {:016x}", Cr0::read_raw(), Cr4::read_raw())
}
