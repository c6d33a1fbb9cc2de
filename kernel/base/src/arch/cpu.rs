//! What this CPU can do, by CPUID, and the control bits we rely on.
//!
//! References: Intel SDM volume 2 "CPUID"; volume 3A "Control Registers" and "IA32_EFER"; AMD APM volume 3,
//! appendix E for the 8000_xxxx leaves.

use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;

use spin::Once;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};

/// The features this kernel uses or prints.
#[derive(Clone, Debug)]
pub struct CpuFeatures {
    vendor: [u8; 12],
    brand: [u8; 48],
    /// Highest basic leaf.
    pub max_leaf: u32,
    /// Bytes that CLFLUSH and CLWB write back.
    pub line: u64,
    /// Bits of a physical address.
    pub physical_bits: u32,
    /// Execute-disable.
    pub nx: bool,
    /// 1 GiB pages.
    pub giant_pages: bool,
    /// Global pages.
    pub pge: bool,
    /// Process-context identifiers.
    pub pcid: bool,
    /// INVPCID.
    pub invpcid: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// CLFLUSH.
    pub clflush: bool,
    /// CLFLUSHOPT.
    pub clflushopt: bool,
    /// CLWB.
    pub clwb: bool,
    /// Fast REP MOVSB and STOSB.
    pub erms: bool,
    /// RDTSCP.
    pub rdtscp: bool,
    /// The TSC runs at a constant rate in all power states.
    pub invariant_tsc: bool,
    /// x2APIC mode.
    pub x2apic: bool,
    /// A hypervisor is underneath; QEMU's TCG says so too.
    pub hypervisor: bool,
    /// SFENCE (SSE).
    pub sfence: bool,
    /// MOVNTI (SSE2).
    pub movnti: bool,
    /// CRC32 (SSE4.2).
    pub sse4_2: bool,
    /// The time-stamp counter.
    pub tsc: bool,
    /// Model-specific registers.
    pub msr: bool,
    /// A local APIC.
    pub apic: bool,
    /// Machine-check exceptions.
    pub mce: bool,
}

static FEATURES: Once<CpuFeatures> = Once::new();

/// Returns the features of the CPU that booted.
pub fn features() -> &'static CpuFeatures {
    FEATURES.call_once(detect)
}

fn detect() -> CpuFeatures {
    let basic = __cpuid(0);
    let one = __cpuid(1);
    let seven = if basic.eax >= 7 { __cpuid_count(7, 0).ebx } else { 0 };
    let max_extended = __cpuid(0x8000_0000).eax;
    let extended = |leaf| (max_extended >= leaf).then(|| __cpuid(leaf));
    let ext1 = extended(0x8000_0001).map_or(0, |leaf| leaf.edx);
    let bit = |register: u32, bit: u32| register >> bit & 1 == 1;

    let mut vendor = [0; 12];
    for (part, register) in vendor.chunks_exact_mut(4).zip([basic.ebx, basic.edx, basic.ecx]) {
        part.copy_from_slice(&register.to_le_bytes());
    }
    let mut brand = [0; 48];
    for (part, leaf) in brand.chunks_exact_mut(16).zip(0x8000_0002..) {
        let Some(text) = extended(leaf) else { break };
        for (word, register) in part.chunks_exact_mut(4).zip([text.eax, text.ebx, text.ecx, text.edx]) {
            word.copy_from_slice(&register.to_le_bytes());
        }
    }
    CpuFeatures {
        vendor,
        brand,
        max_leaf: basic.eax,
        // CLFLUSH line size, in units of 8 bytes: CPUID.01H:EBX[15:8].
        line: if bit(one.edx, 19) { u64::from(one.ebx >> 8 & 0xff) * 8 } else { 64 },
        physical_bits: extended(0x8000_0008).map_or(36, |leaf| leaf.eax & 0xff),
        nx: bit(ext1, 20),
        giant_pages: bit(ext1, 26),
        rdtscp: bit(ext1, 27),
        pge: bit(one.edx, 13),
        clflush: bit(one.edx, 19),
        tsc: bit(one.edx, 4),
        msr: bit(one.edx, 5),
        apic: bit(one.edx, 9),
        sfence: bit(one.edx, 25),
        movnti: bit(one.edx, 26),
        mce: bit(one.edx, 7),
        pcid: bit(one.ecx, 17),
        sse4_2: bit(one.ecx, 20),
        x2apic: bit(one.ecx, 21),
        hypervisor: bit(one.ecx, 31),
        smep: bit(seven, 7),
        erms: bit(seven, 9),
        invpcid: bit(seven, 10),
        smap: bit(seven, 20),
        clflushopt: bit(seven, 23),
        clwb: bit(seven, 24),
        invariant_tsc: extended(0x8000_0007).is_some_and(|leaf| bit(leaf.edx, 8)),
    }
}

/// Returns what this kernel cannot do without and the CPU lacks, as QEMU's `-cpu` names it and in words. All
/// 64-bit CPUs have all of it, but a hypervisor may keep some from its guests. The boot loader needs `lm`
/// and `nx` before there is a kernel.
pub fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    let has = features();
    let write_back = has.clflush || has.clflushopt || has.clwb;
    let needed = [
        (has.nx, "nx", "execute-disable"),
        (has.tsc, "tsc", "the time-stamp counter"),
        (has.msr, "msr", "model-specific registers"),
        (has.apic, "apic", "the local APIC"),
        (has.sfence, "sse", "SFENCE"),
        (has.movnti, "sse2", "MOVNTI"),
        (write_back, "clflush", "CLFLUSH, CLFLUSHOPT or CLWB"),
    ];
    needed.into_iter().filter(|(has, ..)| !has).map(|(_, name, words)| (name, words))
}

/// Turns on what the page tables rely on: write protection in ring 0, execute-disable, global pages. Machine
/// checks become exceptions. SMEP comes along where it exists: nothing is mapped for ring 3, so it can only
/// catch mistakes.
pub fn init() {
    let features = features();
    // SAFETY: WP, NXE, PGE, MCE and SMEP change no translation of the boot loader's tables that this kernel
    // depends on: it stores through writable entries only and has no user pages. NXE, PGE and SMEP are
    // supported, by CPUID, as is MCE, whose exception has a handler.
    unsafe {
        Cr0::update(|cr0| *cr0 |= Cr0Flags::WRITE_PROTECT);
        if features.nx {
            Efer::update(|efer| *efer |= EferFlags::NO_EXECUTE_ENABLE);
        }
        Cr4::update(|cr4| {
            cr4.set(Cr4Flags::PAGE_GLOBAL, features.pge);
            cr4.set(Cr4Flags::MACHINE_CHECK_EXCEPTION, features.mce);
            cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, features.smep);
        });
    }
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or("?").trim_matches(['\0', ' '])
}

impl CpuFeatures {
    /// Returns the vendor's name: `GenuineIntel`, `AuthenticAMD`, …
    pub fn vendor(&self) -> &str {
        text(&self.vendor)
    }

    /// Returns the name printed on the box.
    pub fn brand(&self) -> &str {
        text(&self.brand)
    }
}

impl fmt::Display for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vendor    {}", self.vendor())?;
        writeln!(f, "brand     {}", self.brand())?;
        writeln!(f, "physical  {} bits, cache line {} bytes", self.physical_bits, self.line)?;
        write!(f, "features ")?;
        let names = [
            (self.nx, "nx"),
            (self.giant_pages, "pdpe1gb"),
            (self.pge, "pge"),
            (self.pcid, "pcid"),
            (self.invpcid, "invpcid"),
            (self.smep, "smep"),
            (self.smap, "smap"),
            (self.clflush, "clflush"),
            (self.clflushopt, "clflushopt"),
            (self.clwb, "clwb"),
            (self.movnti, "movnti"),
            (self.sse4_2, "sse4_2"),
            (self.mce, "mce"),
            (self.erms, "erms"),
            (self.rdtscp, "rdtscp"),
            (self.invariant_tsc, "invariant-tsc"),
            (self.x2apic, "x2apic"),
            (self.hypervisor, "hypervisor"),
        ];
        names.iter().filter(|(has, _)| *has).try_for_each(|(_, name)| write!(f, " {name}"))
    }
}
