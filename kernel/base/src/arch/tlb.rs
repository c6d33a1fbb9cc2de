//! Forgetting translations, on every CPU that may hold them, before anybody relies on it.
//!
//! [`shootdown`] is where every removal of rights ends. It forgets locally, notes the request in this CPU's
//! [`Mailbox`](super::mailbox::Mailbox), sets its bit in the mailbox of each CPU concerned, interrupts those,
//! and waits until each has cleared its bit of the request. A CPU answers ([`answer`]) when the interrupt
//! comes, and also each time round while it waits for a lock or for another CPU, interrupts on or off
//! ([`crate::sync::Answering`]; docs/laws.md, law 7): two CPUs that shoot at each other answer each other.
//!
//! # Who is concerned
//! The kernel's half: every CPU. A task's half: the CPUs in its [`Holders`]. A CPU enters that set before it
//! loads CR3 and leaves it after it has loaded another root, which drops all but global translations. So
//! whoever changes an entry first and looks at the set then finds either the CPU in it, or a CPU that will
//! read the changed entry.
//!
//! Reference: Intel SDM volume 3A, "Invalidation of TLBs and Paging-Structure Caches": INVLPG drops a page's
//! entry, global or not, the whole translation of a large page that holds the address, and all
//! paging-structure-cache entries of the current PCID.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use fs::lab::{Mutant, Point};
use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::apic;
use super::interrupts::InterruptsOff;
use super::percpu::{self, PerCpu, stats};
use crate::steps;

/// More pages than this are cheaper to drop all at once.
const FLUSH_ALL_FROM: u64 = 64;

/// The CPUs that may hold translations of one address space.
#[derive(Debug)]
pub struct Holders(AtomicU64);

impl Holders {
    /// Makes an empty set.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds this CPU, which is about to load the address space's root.
    pub fn enter(&self, cpu: &PerCpu) {
        self.0.fetch_or(cpu.bit(), Ordering::SeqCst);
    }

    /// Takes this CPU out, which has loaded another root.
    pub fn leave(&self, cpu: &PerCpu) {
        self.0.fetch_and(!cpu.bit(), Ordering::SeqCst);
    }

    /// Returns the CPUs, a bit each.
    pub fn set(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Makes every CPU that may hold them forget its translations for `pages` pages of 4 KiB from `start`, before
/// it returns: `holders`, or all CPUs. One page is enough for a large one.
pub fn shootdown(holders: Option<&Holders>, start: u64, pages: u64) {
    stats().tlb_invalidations.inc();
    if steps::LAB.has(Mutant::NoShootdown) {
        return;
    }
    let _here = InterruptsOff::new();
    let own = percpu::this();
    // The entries were changed before; the set is read after.
    fence(Ordering::SeqCst);
    let concerned = holders.map_or(u64::MAX, Holders::set);
    if concerned & own.bit() != 0 {
        forget(start, pages);
    }
    let others = concerned & percpu::online_set() & !own.bit();
    if others != 0 {
        steps::at(Point::ShootdownBegin, start / 4096, others);
        ask(own, others, start, pages);
        steps::at(Point::ShootdownEnd, start / 4096, others);
    }
}

/// Has `others` forget, and waits for them. Interrupts are off.
fn ask(own: &PerCpu, others: u64, start: u64, pages: u64) {
    let request = &own.mailbox;
    request.start.store(start, Ordering::Relaxed);
    request.pages.store(pages, Ordering::Relaxed);
    request.unanswered.store(others, Ordering::Release);
    for cpu in percpu::all().filter(|cpu| others & cpu.bit() != 0) {
        // If somebody else's request waits there, an interrupt is on its way.
        if cpu.mailbox.asked_by.fetch_or(own.bit(), Ordering::SeqCst) == 0 {
            stats().tlb_ipis.inc();
            apic::send(cpu, apic::SHOOTDOWN);
        }
    }
    while request.unanswered.load(Ordering::Acquire) != 0 {
        answer();
        core::hint::spin_loop();
    }
}

/// Answers what other CPUs ask of this one.
#[inline]
pub fn answer() {
    if percpu::this().mailbox.asked_by.load(Ordering::Relaxed) != 0 {
        answer_all();
    }
}

#[cold]
fn answer_all() {
    let _here = InterruptsOff::new();
    let own = percpu::this();
    let asking = own.mailbox.asked_by.swap(0, Ordering::SeqCst);
    for cpu in percpu::all().filter(|cpu| asking & cpu.bit() != 0) {
        let request = &cpu.mailbox;
        let start = request.start.load(Ordering::Relaxed);
        forget(start, request.pages.load(Ordering::Relaxed));
        steps::at(Point::ShootdownAnswer, start / 4096, cpu.number() as u64);
        request.unanswered.fetch_and(!own.bit(), Ordering::Release);
    }
}

/// Drops this CPU's translations for the pages.
fn forget(start: u64, pages: u64) {
    if pages >= FLUSH_ALL_FROM {
        return flush_all(start >> 63 != 0);
    }
    for page in 0..pages {
        tlb::flush(VirtAddr::new_truncate(start + page * 4096));
    }
}

/// Drops everything this CPU knows; global entries too if `global`.
pub fn flush_all(global: bool) {
    let cr4 = Cr4::read();
    if global && cr4.contains(Cr4Flags::PAGE_GLOBAL) {
        // SAFETY: turning global pages off and on changes no translation, it only empties the TLB.
        unsafe {
            Cr4::write(cr4 - Cr4Flags::PAGE_GLOBAL);
            Cr4::write(cr4);
        }
    } else {
        tlb::flush_all();
    }
}
