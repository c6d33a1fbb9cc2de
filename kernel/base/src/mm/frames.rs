//! Physical frames: a buddy allocator with blocks from 4 KiB to 2 MiB.
//!
//! One byte for each frame says what it is, and eight more link free blocks to lists. Free memory itself is
//! not touched: under an emulator, the first touch of each 2 MiB costs the host milliseconds. Allocating and
//! freeing take a number of steps bounded by the ten orders. Only RAM that the boot loader calls usable is
//! managed, and what it used itself once [`reclaim`] is called; never frame 0, nor those at [`TRAMPOLINE`],
//! where other CPUs start.
//!
//! # Locking
//! One [`IrqLock`] around everything; it is a leaf.
//!
//! # Invariants
//! - A block of order `n` begins at a multiple of its size.
//! - The byte of a block's first frame is `FREE | n` or `USED | n`; the bytes of its others are `INSIDE`.
//! - A free block is on the list of its order; no two free buddies exist.

use core::fmt;
use core::mem::MaybeUninit;

use super::layout::direct;
use crate::sync::IrqLock;

/// Bytes in a frame.
pub const FRAME: u64 = 4096;
/// Where application processors start: pages below 1 MiB that nobody else gets.
pub const TRAMPOLINE: u64 = 0x8000;
/// Code and data in one page, tables in three.
pub const TRAMPOLINE_BYTES: u64 = 4 * FRAME;
/// Order of a 2 MiB block.
const LARGE: u8 = 9;
const ORDERS: usize = LARGE as usize + 1;

const INSIDE: u8 = 0x00;
const FREE: u8 = 0x80;
const USED: u8 = 0x40;
/// Not RAM, not ours, or not yet.
const RESERVED: u8 = 0xff;
/// RAM that is never given out: the kernel's image.
const PINNED: u8 = 0xfe;
const NONE: u32 = u32::MAX;

/// Neighbours of a free block on its order's list, by frame number.
#[derive(Clone, Copy)]
#[repr(C)]
struct Links {
    next: u32,
    previous: u32,
}

struct Buddy {
    states: &'static mut [u8],
    /// Of the head of a free block, its neighbours; of a frame that holds a private copy, in `next` its
    /// reference count: how many address spaces have it.
    links: &'static mut [MaybeUninit<Links>],
    heads: [u32; ORDERS],
    free_blocks: [u64; ORDERS],
    total: u64,
    free: u64,
}

static FRAMES: IrqLock<Option<Buddy>> = IrqLock::new(None);

/// How much memory there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames managed.
    pub total: u64,
    /// Frames free.
    pub free: u64,
    /// Free blocks of each order: 4 KiB, 8 KiB, … 2 MiB.
    pub free_blocks: [u64; ORDERS],
}

impl fmt::Display for FrameCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kib = FRAME / 1024;
        writeln!(f, "{:>12}{:>12}{:>12}", "total KiB", "used KiB", "free KiB")?;
        let used = self.total - self.free;
        writeln!(f, "{:>12}{:>12}{:>12}", self.total * kib, used * kib, self.free * kib)?;
        write!(f, "free blocks:")?;
        for (order, count) in self.free_blocks.iter().enumerate() {
            write!(f, " {}K {count}", kib << order)?;
        }
        Ok(())
    }
}

impl Buddy {
    fn push(&mut self, frame: u64, order: u8) {
        let next = self.heads[usize::from(order)];
        self.links[frame as usize].write(Links { next, previous: NONE });
        if next != NONE {
            self.set_previous(next, frame as u32);
        }
        self.heads[usize::from(order)] = frame as u32;
        self.free_blocks[usize::from(order)] += 1;
        self.states[frame as usize] = FREE | order;
    }

    fn unlink(&mut self, frame: u64, order: u8) {
        let Links { next, previous } = self.links_of(frame as u32);
        if previous == NONE {
            self.heads[usize::from(order)] = next;
        } else {
            let older = self.links_of(previous).previous;
            self.links[previous as usize].write(Links { next, previous: older });
        }
        if next != NONE {
            self.set_previous(next, previous);
        }
        self.free_blocks[usize::from(order)] -= 1;
        self.states[frame as usize] = INSIDE;
    }

    fn links_of(&self, frame: u32) -> Links {
        // SAFETY: `frame` is the head of a free block (it came from a list, or its state says so), and `push`
        // has written its links; or it holds a copy, and `set_references` has.
        unsafe { self.links[frame as usize].assume_init() }
    }

    fn set_previous(&mut self, frame: u32, previous: u32) {
        let next = self.links_of(frame).next;
        self.links[frame as usize].write(Links { next, previous });
    }

    fn references(&self, physical: u64) -> u32 {
        self.links_of((physical / FRAME) as u32).next
    }

    fn set_references(&mut self, physical: u64, next: u32) {
        self.links[(physical / FRAME) as usize].write(Links { next, previous: NONE });
    }

    fn allocate(&mut self, order: u8) -> Option<u64> {
        let found = (order..=LARGE).find(|order| self.heads[usize::from(*order)] != NONE)?;
        let frame = u64::from(self.heads[usize::from(found)]);
        self.unlink(frame, found);
        for half in (order..found).rev() {
            self.push(frame + (1 << half), half);
        }
        self.states[frame as usize] = USED | order;
        self.free -= 1 << order;
        Some(frame)
    }

    fn release(&mut self, mut frame: u64, mut order: u8) {
        self.free += 1 << order;
        self.states[frame as usize] = INSIDE;
        while order < LARGE {
            let buddy = frame ^ (1 << order);
            if self.states.get(buddy as usize) != Some(&(FREE | order)) {
                break;
            }
            self.unlink(buddy, order);
            frame = frame.min(buddy);
            order += 1;
        }
        self.push(frame, order);
    }

    /// Takes frames into management that were reserved so far, in blocks as large as fit.
    fn add(&mut self, start: u64, end: u64) {
        let end = end.min(self.states.len() as u64);
        let mut frame = start.max(1);
        while frame < end {
            let kept = TRAMPOLINE / FRAME..(TRAMPOLINE + TRAMPOLINE_BYTES) / FRAME;
            let ours = |frame: u64| self.states[frame as usize] == RESERVED && !kept.contains(&frame);
            let aligned = (frame.trailing_zeros() as u8).min(LARGE);
            let limit = end.min(frame + (1 << aligned));
            let run = (frame..limit).take_while(|frame| ours(*frame)).count() as u64;
            if run == 0 {
                frame += 1;
                continue;
            }
            // The largest power of two in the run is aligned, since the frame is aligned to more.
            let order = run.ilog2() as u8;
            self.states[frame as usize..(frame + (1 << order)) as usize].fill(INSIDE);
            self.total += 1 << order;
            self.release(frame, order);
            frame += 1 << order;
        }
    }
}

/// Gets the first address and the first beyond of each range.
pub(super) type EachRange<'a> = &'a mut dyn FnMut(u64, u64);

/// Starts with the usable ranges of physical memory `[start, end)`; the direct map shows them already. The
/// bytes for the frames' states, up to `top`, are taken from one of the ranges. `false` if none is large
/// enough.
pub(super) fn init(usable: &dyn Fn(EachRange<'_>), top: u64) -> bool {
    // Frame numbers have 32 bits: 16 TiB of RAM.
    let count = top.div_ceil(FRAME).min(u64::from(NONE));
    let link_bytes = count * size_of::<Links>() as u64;
    let bytes = (link_bytes + count).next_multiple_of(FRAME);
    let mut place = None;
    usable(&mut |start, end| {
        let fits = start >= 1 << 20 && end.saturating_sub(start.next_multiple_of(FRAME)) >= bytes;
        if fits && place.is_none() {
            place = Some(start.next_multiple_of(FRAME));
        }
    });
    let Some(place) = place else { return false };
    let at = direct(place);
    // SAFETY: the range is usable RAM of the right length, in the direct map, and not yet given to anybody.
    // The links lie at its start, which is a multiple of 4096, and the states behind them.
    let (links, states) = unsafe {
        let states = (at + link_bytes) as *mut u8;
        core::ptr::write_bytes(states, RESERVED, count as usize);
        let states = core::slice::from_raw_parts_mut(states, count as usize);
        (core::slice::from_raw_parts_mut(at as *mut MaybeUninit<Links>, count as usize), states)
    };
    let own = place / FRAME..(place + bytes) / FRAME;
    states[own.start as usize..own.end.min(count) as usize].fill(PINNED);
    let empty = [0; ORDERS];
    let mut buddy = Buddy { states, links, heads: [NONE; ORDERS], free_blocks: empty, total: 0, free: 0 };
    usable(&mut |start, end| buddy.add(start.div_ceil(FRAME), end / FRAME));
    *FRAMES.lock() = Some(buddy);
    true
}

/// Makes sure a frame is never taken into management by [`reclaim`].
pub(super) fn pin(physical: u64) {
    if let Some(buddy) = FRAMES.lock().as_mut()
        && let Some(state) = buddy.states.get_mut((physical / FRAME) as usize)
        && *state == RESERVED
    {
        *state = PINNED;
    }
}

/// Takes RAM `[start, end)` into management, but what is pinned.
pub(super) fn reclaim(start: u64, end: u64) {
    if let Some(buddy) = FRAMES.lock().as_mut() {
        buddy.add(start.div_ceil(FRAME), end / FRAME);
    }
}

fn allocate_order(order: u8) -> Option<u64> {
    FRAMES.lock().as_mut()?.allocate(order).map(|frame| frame * FRAME)
}

fn free_order(physical: u64, order: u8) {
    if let Some(buddy) = FRAMES.lock().as_mut() {
        give_back(buddy, physical, order);
    }
}

fn give_back(buddy: &mut Buddy, physical: u64, order: u8) {
    let frame = physical / FRAME;
    let state = buddy.states.get(frame as usize).copied();
    // A wrong free would hand one frame to two owners: better to end here.
    assert!(
        physical.is_multiple_of(FRAME << order) && state == Some(USED | order),
        "frame {physical:#x} of order {order} freed twice or never allocated (state {state:02x?})"
    );
    buddy.release(frame, order);
}

/// Returns the physical address of a frame with whatever is in it.
pub fn allocate() -> Option<u64> {
    allocate_order(0)
}

/// Returns the physical address of a frame of zeros.
pub fn allocate_zeroed() -> Option<u64> {
    allocate().inspect(|frame| zero(*frame, FRAME))
}

/// Zeroes frames that were allocated a moment ago.
fn zero(physical: u64, bytes: u64) {
    // SAFETY: the frames are RAM in the direct map, and nobody else has them yet.
    unsafe { core::ptr::write_bytes(direct(physical) as *mut u8, 0, bytes as usize) };
}

/// Frames that tasks leave to the kernel: its heap can't do without.
const RESERVE: u64 = 256;

/// Tells whether tasks are left a frame.
pub fn has_some_for_tasks() -> bool {
    counts().free > RESERVE
}

/// A block for a task: `None` before the kernel itself runs out.
fn allocate_for_task(buddy: &mut Buddy, order: u8) -> Option<u64> {
    let enough = buddy.free > RESERVE + (1 << order) - 1;
    if enough { buddy.allocate(order).map(|frame| frame * FRAME) } else { None }
}

/// Returns a frame of zeros for a task's page table: `None` before the kernel itself runs out.
pub fn allocate_zeroed_for_task() -> Option<u64> {
    let frame = allocate_for_task(FRAMES.lock().as_mut()?, 0)?;
    zero(frame, FRAME);
    Some(frame)
}

/// Returns the physical address of 2 MiB of zeros in one piece, aligned to that: `None` before the kernel
/// itself runs out.
#[inline(always)] // for its one caller, as if it were private to this crate
pub fn allocate_zeroed_large() -> Option<u64> {
    let block = allocate_for_task(FRAMES.lock().as_mut()?, LARGE)?;
    zero(block, FRAME << LARGE);
    Some(block)
}

/// Returns a frame for one address space's private copy, with whatever is in it: `None` before the kernel
/// itself runs out.
#[inline(always)] // a private copy's fault
pub fn allocate_copy() -> Option<u64> {
    let mut guard = FRAMES.lock();
    let buddy = guard.as_mut()?;
    let frame = allocate_for_task(buddy, 0)?;
    buddy.set_references(frame, 1);
    Some(frame)
}

/// Counts one more address space that has the copy in this frame, which [`allocate_copy`] gave.
pub fn share_copy(physical: u64) {
    if let Some(buddy) = FRAMES.lock().as_mut() {
        buddy.set_references(physical, buddy.references(physical) + 1);
    }
}

/// Returns whether more than one address space has the copy in this frame, which [`allocate_copy`] gave.
pub fn is_shared(physical: u64) -> bool {
    FRAMES.lock().as_ref().is_some_and(|buddy| buddy.references(physical) > 1)
}

/// Counts one address space less that has the copy in this frame; the last one frees the frame.
///
/// # Panics
/// If it is not one that [`allocate_copy`] gave.
#[inline(always)]
pub fn release_copy(physical: u64) {
    let mut guard = FRAMES.lock();
    let Some(buddy) = guard.as_mut() else { return };
    match buddy.references(physical) {
        0 | 1 => give_back(buddy, physical, 0),
        more => buddy.set_references(physical, more - 1),
    }
}

/// Returns the physical address of 2 MiB in one piece, aligned to that, with whatever is in it.
pub fn allocate_large() -> Option<u64> {
    allocate_order(LARGE)
}

/// Gives a frame back.
///
/// # Panics
/// If it is not one that [`allocate`] gave.
pub fn free(physical: u64) {
    free_order(physical, 0);
}

/// Gives 2 MiB back.
///
/// # Panics
/// If [`allocate_large`] did not give it.
pub fn free_large(physical: u64) {
    free_order(physical, LARGE);
}

/// Returns how many frames there are, and how many of them are free.
pub fn counts() -> FrameCounts {
    FRAMES.lock().as_ref().map_or(FrameCounts::default(), |buddy| FrameCounts {
        total: buddy.total,
        free: buddy.free,
        free_blocks: buddy.free_blocks,
    })
}
