//! Checks of what only the machine can show: frames, page tables, recoverable faults, persistence primitives.
//!
//! The shell's `selftest` runs them all; each returns what it found wrong. Nothing of a file system is
//! touched: persistence primitives work on a frame of RAM.

mod tasks;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::counters::total;
use crate::entry::user_access::{self, FaultAt};
use crate::mm::fault::Refusal;
use crate::mm::layout::{TASK_END, TASK_START, direct};
use crate::mm::paging::{self, KernelTableMachine, LeafSize, SpaceTables};
use crate::mm::stack::KernelStack;
use crate::mm::{frames, heap};
use crate::pmem::flush;
use crate::sync::IrqLock;
use crate::task::NoPreempt;
use ::fs::crc32c;
use ::paging::task::{Copies, Partial};

type SelfCheck = fn() -> Result<(), String>;

/// Every check with its name.
const CHECKS: [(&str, SelfCheck); 12] = [
    ("frames", check_frames),
    ("heap", check_heap),
    ("memory pressure", check_pressure),
    ("stacks", check_stacks),
    ("address space", check_address_space),
    ("refused accesses", check_refusals),
    ("persistence primitives", check_flush),
    ("checksums", check_checksums),
    ("tasks", tasks::check_tasks),
    ("shootdowns", tasks::check_shootdowns),
    ("locks", tasks::check_locks),
    ("fairness", tasks::check_fairness),
];

/// Runs all checks, and tells `report` of each by name, until `report` says [`ControlFlow::Break`].
pub(crate) fn run(mut report: impl FnMut(&str, Result<(), String>) -> ControlFlow<()>) {
    // The tables above a stack stay for the next one in its place.
    drop(KernelStack::new(1));
    for (name, check) in CHECKS {
        let before = frames::counts().free;
        let mut result = check();
        // The heap keeps what it has grown by, and so do the tables above stacks; everything else gives back
        // what it took.
        let keeps =
            matches!(name, "heap" | "memory pressure" | "tasks" | "shootdowns" | "locks" | "fairness");
        if result.is_ok() && !keeps && frames::counts().free != before {
            result = Err(format!("{before} frames were free before, {} after", frames::counts().free));
        }
        if report(name, result).is_break() {
            break;
        }
    }
}

fn expect(condition: bool, what: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(String::from(what)) }
}

fn check_frames() -> Result<(), String> {
    let mut taken = [0; 64];
    for frame in &mut taken {
        *frame = frames::allocate_zeroed().ok_or("no frames")?;
    }
    let large = frames::allocate_large();
    let mut sorted = taken;
    sorted.sort_unstable();
    let distinct = sorted.windows(2).all(|pair| pair[0] != pair[1]);
    let sane =
        taken.iter().all(|frame| *frame != 0 && *frame != frames::TRAMPOLINE && frame.is_multiple_of(4096));
    taken.into_iter().for_each(frames::free);
    if let Some(large) = large {
        expect(LeafSize::Large.divides(large), "a 2 MiB block is not aligned")?;
        frames::free_large(large);
    }
    expect(distinct, "a frame was given out twice")?;
    expect(sane, "frame 0, the trampoline's, or one that is not aligned")
}

fn check_heap() -> Result<(), String> {
    let mut blocks: Vec<Vec<u8>> = (1..200).map(|i| alloc::vec![i as u8; i * 97]).collect();
    blocks.retain(|block| block.len() % 2 == 0);
    let intact = blocks.iter().all(|block| block.iter().all(|byte| usize::from(*byte) * 97 == block.len()));
    expect(intact, "a block's contents changed")?;
    let (used, mapped) = heap::usage();
    expect(used <= mapped, "more used than mapped")?;
    // More than there is: an error, not the end.
    expect(Vec::<u8>::new().try_reserve_exact(1 << 38).is_err(), "256 GiB were promised")
}

/// What [`check_pressure`] keeps until memory is short.
static BALLAST: IrqLock<Vec<Vec<u8>>> = IrqLock::new(Vec::new());

fn drop_ballast() -> usize {
    let Some(mut ballast) = BALLAST.try_lock() else { return 0 };
    ballast.drain(..).map(|piece| piece.capacity()).sum()
}

/// With all but a few MiB taken, what cannot be had is given back by others, asked once.
fn check_pressure() -> Result<(), String> {
    const LEFT: u64 = 16 << 20;
    const PIECE: usize = 1 << 20;
    heap::on_pressure(drop_ballast);
    let mut large = Vec::with_capacity(((frames::counts().free * frames::FRAME) >> 21) as usize);
    while frames::counts().free * frames::FRAME > LEFT
        && let Some(frame) = frames::allocate_large()
    {
        large.push(frame);
    }
    let piece = || {
        let mut bytes = Vec::<u8>::new();
        bytes.try_reserve_exact(PIECE).ok().map(|()| bytes)
    };
    // Out of room for pieces before out of memory would be a failure, too.
    let mut ballast = Vec::with_capacity(4 * LEFT as usize / PIECE + heap_pieces(PIECE));
    let start = total().heap_shrinks.get();
    while ballast.len() < ballast.capacity()
        && let Some(bytes) = piece()
    {
        ballast.push(bytes);
    }
    let refused = total().heap_shrinks.get();
    let kept = ballast.len();
    *BALLAST.lock() = ballast;
    let served = piece();
    let given = total().heap_shrinks.get();
    // The machine has its memory back before anything is said.
    let left = BALLAST.lock().len();
    large.into_iter().for_each(frames::free_large);
    drop(core::mem::take(&mut *BALLAST.lock()));
    expect(kept > 0 && refused == start + 1, "memory was short, and nobody was asked once")?;
    expect(given == refused + 1 && left == 0, "the ballast was not given back")?;
    expect(served.is_some(), "what was given back was not used")
}

/// How many pieces of so many bytes the heap has room for as it is.
fn heap_pieces(bytes: usize) -> usize {
    let (used, mapped) = heap::usage();
    (mapped - used) as usize / bytes
}

fn check_stacks() -> Result<(), String> {
    let stack = KernelStack::new(4).map_err(|error| format!("{error}"))?;
    let tables = paging::kernel();
    expect(tables.leaf(stack.bottom()).is_some() && tables.leaf(stack.top() - 1).is_some(), "not mapped")?;
    expect(tables.leaf(stack.bottom() - 1).is_none(), "no guard page")?;
    drop(stack);
    Ok(())
}

/// An address space with one writable and one read-only page; loads, stores, and what is refused.
fn check_address_space() -> Result<(), String> {
    // A switch back to this task would load its own tables.
    let _stay = NoPreempt::new();
    let before = paging::active();
    let at = TASK_START + (5 << 30);
    let error = |error: paging::MapError| format!("{error}");
    let (one, two) =
        (frames::allocate_zeroed().ok_or("no frames")?, frames::allocate_zeroed().ok_or("no frames")?);
    let result = (|| {
        let tables = Arc::new(SpaceTables::new(KernelTableMachine::task()).map_err(error)?);
        let no_frames = |_| String::from("no frames");
        tables.map_small(at, one, true).map_err(no_frames)?;
        tables.map_small(at + 4096, two, false).map_err(no_frames)?;
        paging::activate(Some(tables.clone()));
        let fault = |fault: FaultAt| format!("{fault}");
        user_access::store_u64(at + 8, 0x1122_3344_5566_7788).map_err(fault)?;
        expect(user_access::load_u64(at + 8) == Ok(0x1122_3344_5566_7788), "a word read back differs")?;
        user_access::fill(at + 100, 0xab, 1001).map_err(fault)?;
        let mut bytes = [0; 1003];
        user_access::load(&mut bytes, at + 99).map_err(fault)?;
        let (first, middle, last) = (bytes[0], &bytes[1..1002], bytes[1002]);
        expect(first == 0 && last == 0 && middle.iter().all(|byte| *byte == 0xab), "fill differs")?;
        // A store that runs into the read-only page: everything before it is there.
        let refused = user_access::store(at + 4092, &[0xcd; 8]).map_err(|fault| (fault.address, fault.write));
        expect(refused == Err((at + 4096, true)), "wrong refusal")?;
        expect(user_access::load_u8(at + 4095) == Ok(0xcd), "a byte before the refused one is missing")?;
        expect(user_access::load_u64(at + 4096) == Ok(0), "the read-only page changed")?;
        // What takes no fault ends there, and with the task's half.
        let last = TASK_END - 4096;
        tables.map_small(last, two, true).map_err(no_frames)?;
        expect(user_access::zero_present(at + 4092, 8) == 4, "zeros went through write protection")?;
        expect(user_access::zero_present(last, 8192) == 4096, "zeros ended before the task's half")?;
        expect(user_access::zero_present(TASK_END, 8) == 0, "zeros went beyond the task's half")?;
        expect(tables.remove(last, 1, Partial::Whole, Copies::Free) == 1, "the last page was not unmapped")?;
        // Write protection takes effect at once.
        expect(tables.write_protect(at, 1) == 1, "a writable page was not protected")?;
        expect(user_access::store_u8(at, 1).is_err(), "a store went through write protection")?;
        expect(tables.remove(at, 2, Partial::Whole, Copies::Free) == 2, "two pages were not unmapped")?;
        expect(user_access::load_u8(at).is_err(), "a load went through an unmapped page")
    })();
    paging::activate(before);
    frames::free(one);
    frames::free(two);
    result
}

fn check_refusals() -> Result<(), String> {
    let refused = |address, write| Err(FaultAt { address, write, fetch: false, why: Refusal::NoVma });
    expect(user_access::load_u64(0) == refused(0, false).map(|()| 0), "null load")?;
    expect(user_access::store_u8(TASK_START, 1) == refused(TASK_START, true), "store outside every area")?;
    expect(user_access::store_u8(TASK_END, 1) == refused(TASK_END, true), "store beyond the end")?;
    expect(user_access::load_u8(u64::MAX).is_err(), "load at the end of the address space")?;
    expect(user_access::load_u8(direct(0x1000)).is_err(), "load from the kernel's half")?;
    let jump = user_access::call(TASK_START + 16);
    expect(
        jump.fetch && jump.address == TASK_START + 16 && jump.why == Refusal::NoVma,
        "a jump into nothing",
    )?;
    expect(user_access::fill(TASK_START, 0, 1 << 20) == refused(TASK_START, true), "fill")
}

/// Checksums of random lengths, alignments and starts: what this machine says against the tables.
fn check_checksums() -> Result<(), String> {
    let mut random = fsx::Rng::new(1);
    let bytes: [u8; 512] = core::array::from_fn(|_| random.draw() as u8);
    for _ in 0..1000 {
        let (start, crc) = (random.below(bytes.len() as u64) as usize, random.draw() as u32);
        let len = random.below((bytes.len() - start) as u64 + 1) as usize;
        let piece = &bytes[start..start + len];
        if crc32c::update(crc, piece) != crc32c::by_tables(crc, piece) {
            return Err(format!("CRC-32C of {len} bytes from byte {start} on, after {crc:#x}, differs"));
        }
    }
    Ok(())
}

/// Copies and zeros of every alignment, on a page of RAM.
fn check_flush() -> Result<(), String> {
    let frame = frames::allocate_zeroed().ok_or("no frames")?;
    let page = direct(frame);
    let source: [u8; 600] = core::array::from_fn(|i| (i % 251) as u8 + 1);
    let mut result = Ok(());
    for (to, from, bytes) in
        [(0, 0, 600), (1, 3, 7), (5, 2, 3), (63, 1, 130), (8, 8, 512), (7, 0, 1), (9, 9, 0), (2, 5, 593)]
    {
        let mut expected = [0u8; 4096];
        expected[to..to + bytes].copy_from_slice(&source[from..from + bytes]);
        let mut seen = [0u8; 4096];
        // SAFETY: the frame is ours and in the direct map; all ranges lie in it or in the arrays.
        unsafe {
            flush::zero_past_cache(page, 4096);
            flush::copy_past_cache(page + to as u64, source[from..].as_ptr() as u64, bytes as u64);
            flush::write_back(page, 4096);
            flush::fence();
            flush::copy(seen.as_mut_ptr() as u64, page, 4096);
        }
        if seen != expected {
            result = Err(format!("copy of {bytes} bytes to {to} differs"));
        }
        let mut zeroed = [0xffu8; 4096];
        zeroed[to..to + bytes].fill(0);
        // SAFETY: as above.
        unsafe {
            core::ptr::write_bytes(page as *mut u8, 0xff, 4096);
            flush::zero_past_cache(page + to as u64, bytes as u64);
            flush::copy(seen.as_mut_ptr() as u64, page, 4096);
        }
        if seen != zeroed {
            result = Err(format!("zeroing {bytes} bytes at {to} differs"));
        }
    }
    frames::free(frame);
    result
}
