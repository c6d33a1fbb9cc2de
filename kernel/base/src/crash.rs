//! Faults on purpose, for tests and for those who want to see a panic: the shell's `crash KIND`.

use core::arch::asm;

use x86_64::VirtAddr;
use x86_64::structures::DescriptorTablePointer;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// `panic!`.
    Panic,
    /// A panic while a panic is printed.
    DoublePanic,
    /// A load from address 0.
    NullDereference,
    /// Recursion without end.
    StackOverflow,
    /// An integer division by zero that the compiler does not see.
    Divide,
    /// An invalid opcode.
    InvalidOpcode,
    /// A store into the kernel's code.
    WriteCode,
    /// A jump to data.
    ExecuteData,
    /// A non-canonical address.
    GeneralProtection,
    /// An exception without an interrupt table: the CPU resets.
    TripleFault,
    /// No exception at all: a loop without end, interrupts off.
    Hang,
}

impl CrashKind {
    /// Every kind with its name.
    pub const ALL: [(&'static str, Self); 11] = [
        ("panic", Self::Panic),
        ("double-panic", Self::DoublePanic),
        ("null", Self::NullDereference),
        ("stack-overflow", Self::StackOverflow),
        ("divide", Self::Divide),
        ("invalid-opcode", Self::InvalidOpcode),
        ("write-code", Self::WriteCode),
        ("execute-data", Self::ExecuteData),
        ("general-protection", Self::GeneralProtection),
        ("triple-fault", Self::TripleFault),
        ("hang", Self::Hang),
    ];

    /// Returns the kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// Panics again while its message is printed.
struct Nasty;

impl core::fmt::Display for Nasty {
    fn fmt(&self, _: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        panic!("a panic inside a panic");
    }
}

/// Lets something go wrong. On return, the machine did not notice.
#[inline(never)]
pub fn trigger(kind: CrashKind) {
    match kind {
        CrashKind::Panic => panic!("crash panic was typed"),
        CrashKind::DoublePanic => panic!("{Nasty}"),
        CrashKind::StackOverflow => {
            core::hint::black_box(recurse(1));
        }
        // SAFETY: this and the next ones break the rules to end the kernel; none of them returns, because
        // each raises an exception for which there is no fixup.
        CrashKind::NullDereference => unsafe {
            asm!("mov {0}, [{0}]", inout(reg) 0u64 => _);
        },
        // SAFETY: as above.
        CrashKind::Divide => unsafe {
            asm!("div {0}", in(reg) 0u64, inout("rax") 1u64 => _, inout("rdx") 0u64 => _);
        },
        // SAFETY: as above.
        CrashKind::InvalidOpcode => unsafe { asm!("ud2") },
        // SAFETY: as above.
        CrashKind::WriteCode => unsafe {
            asm!("mov byte ptr [{0}], 0xcc", in(reg) trigger as fn(CrashKind) as usize);
        },
        // SAFETY: as above.
        CrashKind::ExecuteData => unsafe {
            let data = 0xc3u8;
            asm!("call {0}", in(reg) &raw const data, clobber_abi("C"));
        },
        // SAFETY: as above.
        CrashKind::GeneralProtection => unsafe {
            asm!("mov {0}, [{0}]", inout(reg) 0x8000_0000_0000_0000u64 => _);
        },
        // SAFETY: as above; with an empty table neither the exception nor the double fault finds a handler.
        CrashKind::TripleFault => unsafe {
            let empty = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
            x86_64::instructions::tables::lidt(&empty);
            asm!("ud2");
        },
        CrashKind::Hang => {
            x86_64::instructions::interrupts::disable();
            loop {
                core::hint::spin_loop();
            }
        }
    }
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn recurse(depth: u64) -> u64 {
    let mut local = [depth; 32];
    core::hint::black_box(&mut local);
    recurse(depth + 1) + local[(depth % 32) as usize]
}
