//! How a CPU that was just reset comes to run the kernel's code: real mode, protected mode, long mode.
//!
//! STARTUP lets a CPU begin at a page below 1 MiB. There, at [`TRAMPOLINE`], lies a copy of the code below,
//! and in the page's last part what it needs to know; three more pages hold tables that show the first 2 MiB
//! where they are and the kernel's half where it always is. They must lie below 4 GiB, which the kernel's own
//! root need not.
//!
//! ```text
//! 0x8000 code       0x8f00 descriptor table and its pointer, control registers, stack, entry
//! 0x9000 root       0xa000 page-directory pointers       0xb000 page directory: one 2 MiB page
//! ```
//!
//! Reference: Intel SDM volume 3A, "Multiple-Processor (MP) Initialization", "Initializing IA-32e Mode".

use core::arch::{global_asm, naked_asm};

use paging::{Flags, PageTableEntry};
use x86_64::registers::control::{Cr0, Cr4, Cr4Flags, Efer, EferFlags};

use crate::arch::percpu::PerCpu;
use crate::mm::boot;
use crate::mm::frames::{FRAME, TRAMPOLINE, TRAMPOLINE_BYTES};
use crate::mm::layout::direct;
use crate::mm::paging as kernel_paging;

const DATA: u64 = 0xf00;
const GDT_POINTER: u64 = DATA;
const GDT: u64 = DATA + 0x10;
const CR4: u64 = DATA + 0x30;
const EFER: u64 = DATA + 0x34;
const CR0: u64 = DATA + 0x38;
const STACK: u64 = DATA + 0x40;
const ENTRY: u64 = DATA + 0x48;
const CPU: u64 = DATA + 0x50;
const ROOT: u64 = DATA + 0x58;
const STARTED: u64 = DATA + 0x60;

global_asm!(
    r#"
    .pushsection .rodata.trampoline, "a"
    .balign 16
    trampoline_code:
    .code16
        cli
        cld
        xor ax, ax
        mov ds, ax
        .byte 0x0f, 0x01, 0x16      /* lgdt [pointer] */
        .word {base} + {gdt_pointer}
        mov eax, cr0
        or eax, 1
        mov cr0, eax
        .byte 0x66, 0xea            /* jmp 0x08:protected */
        .long trampoline_protected - trampoline_code + {base}
        .word 0x08
    .code32
    trampoline_protected:
        mov ax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov eax, dword ptr [{base} + {cr4}]
        mov cr4, eax
        mov eax, {base} + 0x1000
        mov cr3, eax
        mov ecx, 0xc0000080
        mov eax, dword ptr [{base} + {efer}]
        xor edx, edx
        wrmsr
        mov eax, dword ptr [{base} + {cr0}]
        mov cr0, eax
        .byte 0xea                  /* jmp 0x18:long */
        .long trampoline_long - trampoline_code + {base}
        .word 0x18
    .code64
    trampoline_long:
        mov ebx, {base}
        mov rsp, [rbx + {stack}]
        mov rdi, [rbx + {cpu}]
        mov rsi, [rbx + {root}]
        mov rdx, [rbx + {started}]
        mov rax, [rbx + {entry}]
        jmp rax
    trampoline_end:
    .popsection
    "#,
    base = const TRAMPOLINE,
    gdt_pointer = const GDT_POINTER,
    cr4 = const CR4,
    efer = const EFER,
    cr0 = const CR0,
    stack = const STACK,
    entry = const ENTRY,
    cpu = const CPU,
    root = const ROOT,
    started = const STARTED,
);

unsafe extern "C" {
    static trampoline_code: u8;
    static trampoline_end: u8;
}

/// Null, 32-bit code, data, 64-bit code.
const DESCRIPTORS: [u64; 4] = [0, 0x00cf_9a00_0000_ffff, 0x00cf_9200_0000_ffff, 0x00af_9a00_0000_ffff];

/// Puts the page and its tables in place, for CPUs that are to come to `started` with the kernel's tables and
/// their stack. `false` if the memory is not RAM here: then no CPU can be started.
pub(super) fn prepare(started: extern "C" fn(&'static PerCpu) -> !) -> bool {
    if !boot::is_ram(TRAMPOLINE, TRAMPOLINE_BYTES) {
        return false;
    }
    let at = direct(TRAMPOLINE);
    let code = &raw const trampoline_code;
    let len = &raw const trampoline_end as usize - code as usize;
    assert!(len <= DATA as usize, "the trampoline's code and data overlap");
    let tables = TRAMPOLINE + FRAME;
    // SAFETY: the four pages are RAM in the direct map that the frame allocator never gives to anybody; the
    // kernel's root is a table of 512 entries.
    unsafe {
        core::ptr::write_bytes(at as *mut u8, 0, TRAMPOLINE_BYTES as usize);
        core::ptr::copy_nonoverlapping(code, at as *mut u8, len);
        let from = direct(kernel_paging::kernel().root()) as *const u64;
        let root = direct(tables) as *mut u64;
        core::ptr::copy_nonoverlapping(from.add(256), root.add(256), 256);
        let table = Flags::PRESENT | Flags::WRITE;
        root.write(PageTableEntry::new(tables + FRAME, table).0);
        (direct(tables + FRAME) as *mut u64).write(PageTableEntry::new(tables + 2 * FRAME, table).0);
        (direct(tables + 2 * FRAME) as *mut u64).write(PageTableEntry::new(0, table | Flags::LARGE).0);
        (at as *mut [u64; 4]).byte_add(GDT as usize).write_unaligned(DESCRIPTORS);
        put(GDT_POINTER, size_of_val(&DESCRIPTORS) as u16 - 1);
        put(GDT_POINTER + 2, (TRAMPOLINE + GDT) as u32);
        // PCIDE can only be set in long mode.
        put(CR4, (Cr4::read() - Cr4Flags::PCID).bits() as u32);
        put(EFER, (Efer::read() - EferFlags::LONG_MODE_ACTIVE).bits() as u32);
        put(CR0, Cr0::read().bits() as u32);
        put(ENTRY, entered as *const () as u64);
        put(ROOT, kernel_paging::kernel().root());
        put(STARTED, started as *const () as u64);
    }
    true
}

/// Tells the next CPU who it is and where its stack is.
pub(super) fn address_to(cpu: &'static PerCpu, stack_top: u64) {
    // SAFETY: in the trampoline's page; the CPU that reads this was not started yet, the one before is
    // through.
    unsafe {
        put(STACK, stack_top);
        put(CPU, core::ptr::from_ref(cpu) as u64);
    }
}

/// # Safety
/// `at` with `T`'s size lies in the trampoline's page, which is RAM.
unsafe fn put<T>(at: u64, value: T) {
    // SAFETY: by the caller.
    unsafe { ((direct(TRAMPOLINE) + at) as *mut T).write_unaligned(value) };
}

/// First code in the kernel's image: from the trampoline's tables to the kernel's. RDI: the CPU's area; RSI:
/// the root; RDX: where it goes on.
#[unsafe(naked)]
unsafe extern "C" fn entered() -> ! {
    naked_asm!("mov cr3, rsi", "xor ebp, ebp", "call rdx", "ud2");
}
