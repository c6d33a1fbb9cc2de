//! Persistent memory: what CPUs see, and what is certain to be there after a power failure.
//!
//! A CPU's loads see every store before them (one order of all steps: what weaker orders allow is for the
//! tests under loom). Durable are the lines that were flushed, or stored past the cache, before a fence of
//! the same CPU: with what they held at the flush. What was stored since may be there or not; the worst is
//! kept here, that it is not (Intel SDM volume 2, CLWB, MOVNTI, SFENCE; a line may also be written back at
//! any time).
//!
//! A world begins with an image that many share; a page is copied when it is changed.

use super::local::Local;
use crate::sched::CPUS;
use crate::sched::engine::{self, Need, current, visible};
use crate::sched::races::Mix;
use crate::sched::touch::{SharedPlace, Touch};
use fs::PAGE_SIZE;
use fs::pmem::poison::Poison;
pub use fs::pmem::ram::BASE;
use fs::pmem::{LINE, Pmem};
use fs::stats::Stats;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

const PAGE: usize = PAGE_SIZE as usize;
const LINES: u64 = PAGE_SIZE / LINE;

/// What a page holds.
#[derive(Clone)]
enum PageContent {
    /// The same as the image.
    Image,
    Zeros,
    Own(Arc<[u8; PAGE]>),
}

/// Numbers by numbers.
type Numbers = HashMap<u64, u64, BuildHasherDefault<Mix>>;

/// What is certain to survive.
struct Durable {
    pages: Vec<PageContent>,
    /// For lines and whole pages: the number of the store up to which they are durable; for pages with such
    /// lines, the highest of them.
    lines: Numbers,
    whole: Numbers,
    highest: Numbers,
    /// What each CPU has flushed since its last fence.
    lines_in_flight: [Vec<(u64, u64, [u8; LINE as usize])>; CPUS],
    pages_in_flight: [Vec<(u64, u64, PageContent)>; CPUS],
}

struct MemoryState {
    pages: Vec<PageContent>,
    stores: u64,
    durable: Option<Durable>,
}

/// A region of persistent memory.
pub struct Memory {
    image: Arc<Vec<u8>>,
    state: Local<MemoryState>,
    stats: Stats,
    /// What lost its content.
    pub poison: Poison,
}

impl MemoryState {
    fn page<'a>(pages: &'a [PageContent], image: &'a [u8], number: usize) -> &'a [u8] {
        static ZEROS: [u8; PAGE] = [0; PAGE];
        match &pages[number] {
            PageContent::Image => &image[number * PAGE..][..PAGE],
            PageContent::Zeros => &ZEROS,
            PageContent::Own(bytes) => &**bytes,
        }
    }

    fn own<'a>(pages: &'a mut [PageContent], image: &[u8], number: usize) -> &'a mut [u8; PAGE] {
        if !matches!(pages[number], PageContent::Own(_)) {
            let bytes = Self::page(pages, image, number).try_into().expect("a page's bytes");
            pages[number] = PageContent::Own(Arc::new(bytes));
        }
        match &mut pages[number] {
            PageContent::Own(bytes) => Arc::make_mut(bytes),
            _ => unreachable!("it has just become its own"),
        }
    }
}

impl Memory {
    /// Makes a region that holds `image`, whole pages. `durable`: whether it is kept what a power failure
    /// leaves.
    pub fn new(image: Arc<Vec<u8>>, durable: bool) -> Self {
        let pages = vec![PageContent::Image; image.len() / PAGE];
        let durable = durable.then(|| Durable {
            pages: pages.clone(),
            lines: Numbers::default(),
            whole: Numbers::default(),
            highest: Numbers::default(),
            lines_in_flight: Default::default(),
            pages_in_flight: Default::default(),
        });
        let state = Local::new(MemoryState { pages, stores: 0, durable });
        Self { image, state, stats: Stats::new(), poison: Poison::new() }
    }

    /// Copies everything that CPUs see.
    pub fn bytes(&self) -> Vec<u8> {
        let state = self.state.get();
        (0..state.pages.len())
            .flat_map(|page| MemoryState::page(&state.pages, &self.image, page))
            .copied()
            .collect()
    }

    /// Makes a region as a power failure leaves it at the worst.
    ///
    /// # Panics
    /// If that was not kept.
    pub fn after_power_failure(&self, durable: bool) -> Self {
        let state = self.state.get();
        let kept = state.durable.as_ref().expect("it is kept what survives");
        let after = Self::new(self.image.clone(), durable);
        after.state.get().pages.clone_from(&kept.pages);
        after
    }

    /// Loads 8 bytes, without a step: for checks.
    pub fn peek(&self, offset: u64) -> u64 {
        let state = self.state.get();
        let page = MemoryState::page(&state.pages, &self.image, offset as usize / PAGE);
        u64::from_le_bytes(page[offset as usize % PAGE..][..8].try_into().expect("8 bytes"))
    }

    /// Returns whether it is kept what survives.
    pub fn keeps_durable(&self) -> bool {
        self.state.get().durable.is_some()
    }

    /// Loads 8 bytes as a power failure leaves them at the worst, without a step.
    ///
    /// # Panics
    /// If that was not kept.
    pub fn durable_word(&self, offset: u64) -> u64 {
        let state = self.state.get();
        let kept = state.durable.as_ref().expect("it is kept what survives");
        let page = MemoryState::page(&kept.pages, &self.image, offset as usize / PAGE);
        u64::from_le_bytes(page[offset as usize % PAGE..][..8].try_into().expect("8 bytes"))
    }

    /// Loads a byte, without a step: for checks.
    pub fn peek_u8(&self, offset: u64) -> u8 {
        let state = self.state.get();
        MemoryState::page(&state.pages, &self.image, offset as usize / PAGE)[offset as usize % PAGE]
    }

    /// Returns a number that is the same for the same content of the page.
    pub fn digest(&self, page: u64) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let state = self.state.get();
        let mut hasher = DefaultHasher::new();
        MemoryState::page(&state.pages, &self.image, page as usize).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns how many pages it has.
    pub fn pages(&self) -> u64 {
        self.len() / PAGE_SIZE
    }

    /// Returns how often anything was stored.
    pub fn stores(&self) -> u64 {
        self.state.get().stores
    }

    /// Takes a step that meets every change of every page: whoever has one to make can make it before or
    /// after.
    pub fn look_whole(&self) {
        visible(Touch::Pages(0, self.len() / PAGE_SIZE, false), Need::Nothing, 1, "looks at everything");
    }

    /// Takes a step for the bytes of `offset..offset + len`.
    #[inline]
    fn touch(&self, offset: u64, len: u64, change: bool, what: &'static str) {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len()),
            "{len} bytes at {offset:#x} of a region of {:#x}",
            self.len()
        );
        if !engine::is_running() || len == 0 {
            return;
        }
        let (first, last) = (offset / LINE, (offset + len - 1) / LINE);
        if last - first < 8 {
            for line in first..=last {
                visible(Touch::line(line, change), Need::Nothing, 1, what);
            }
        } else {
            let pages = first / LINES..last / LINES + 1;
            visible(Touch::Pages(pages.start, pages.end - pages.start, change), Need::Nothing, 1, what);
        }
    }

    /// Takes a step to store `bytes`, if they lie in a line: where that changes nothing, it is no more than a
    /// look.
    fn touch_to_put(&self, offset: u64, bytes: &[u8], what: &'static str) {
        let (len, line) = (bytes.len() as u64, offset / LINE);
        if len == 0 || !engine::is_running() || (offset + len - 1) / LINE != line {
            return self.touch(offset, len, true, what);
        }
        let changes = || {
            let state = self.state.get();
            let page = MemoryState::page(&state.pages, &self.image, offset as usize / PAGE);
            page[offset as usize % PAGE..][..bytes.len()] != *bytes
        };
        engine::visible_as(Touch::line(line, true), Need::Nothing, 1, what, &|| Touch::line(line, changes()));
    }

    /// Calls `f(page, first byte in it, bytes, position in the range)` for each page of the range.
    fn pieces(offset: u64, len: usize, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (mut at, mut done) = (offset as usize, 0);
        while done < len {
            let count = (PAGE - at % PAGE).min(len - done);
            f(at / PAGE, at % PAGE, count, done);
            (at, done) = (at + count, done + count);
        }
    }

    fn load<const N: usize>(&self, offset: u64) -> [u8; N] {
        assert!(offset.is_multiple_of(N as u64), "{N} bytes at {offset:#x} are not aligned");
        self.touch(offset, N as u64, false, "load");
        let state = self.state.get();
        let page = MemoryState::page(&state.pages, &self.image, offset as usize / PAGE);
        page[offset as usize % PAGE..][..N].try_into().expect("as many bytes")
    }

    fn store<const N: usize>(&self, offset: u64, bytes: [u8; N]) {
        assert!(offset.is_multiple_of(N as u64), "{N} bytes at {offset:#x} are not aligned");
        self.touch_to_put(offset, &bytes, "store");
        self.put(offset, &bytes);
    }

    fn put(&self, offset: u64, bytes: &[u8]) {
        let state = &mut *self.state.get();
        state.stores += 1;
        Self::pieces(offset, bytes.len(), |page, within, count, at| {
            MemoryState::own(&mut state.pages, &self.image, page)[within..within + count]
                .copy_from_slice(&bytes[at..at + count]);
        });
    }

    /// What the lines of the range hold now survives the next fence.
    fn in_flight(&self, offset: u64, len: u64) {
        let state = &mut *self.state.get();
        let Some(durable) = &mut state.durable else { return };
        let (first, end) = (offset / LINE, (offset + len).div_ceil(LINE));
        let mut line = first;
        while line < end {
            let (page, within) = ((line / LINES) as usize, (line % LINES * LINE) as usize);
            if within == 0 && end - line >= LINES {
                let whole = (page as u64, state.stores, state.pages[page].clone());
                durable.pages_in_flight[current()].push(whole);
                line += LINES;
                continue;
            }
            let bytes = &MemoryState::page(&state.pages, &self.image, page)[within..within + LINE as usize];
            let bytes = bytes.try_into().expect("a line's bytes");
            durable.lines_in_flight[current()].push((line, state.stores, bytes));
            line += 1;
        }
    }
}

impl Durable {
    fn fence(&mut self, image: &[u8], cpu: usize) {
        for (page, stores, content) in std::mem::take(&mut self.pages_in_flight[cpu]) {
            if self.whole.get(&page) >= Some(&stores) {
                continue;
            }
            self.whole.insert(page, stores);
            if self.highest.get(&page) <= Some(&stores) {
                self.pages[page as usize] = content;
                continue;
            }
            // Some lines of it are durable with something later.
            let content = [content];
            for line in 0..LINES {
                if self.lines.get(&(page * LINES + line)) <= Some(&stores) {
                    let bytes = (line * LINE) as usize..((line + 1) * LINE) as usize;
                    let from = MemoryState::page(&content, &image[page as usize * PAGE..], 0);
                    MemoryState::own(&mut self.pages, image, page as usize)[bytes.clone()]
                        .copy_from_slice(&from[bytes]);
                }
            }
        }
        for (line, stores, bytes) in std::mem::take(&mut self.lines_in_flight[cpu]) {
            let page = line / LINES;
            if self.lines.get(&line).max(self.whole.get(&page)).is_none_or(|&known| known <= stores) {
                let within = (line % LINES * LINE) as usize;
                MemoryState::own(&mut self.pages, image, page as usize)[within..within + LINE as usize]
                    .copy_from_slice(&bytes);
                self.lines.insert(line, stores);
                let highest = self.highest.entry(page).or_default();
                *highest = stores.max(*highest);
            }
        }
    }
}

impl Pmem for Memory {
    fs::numbers!(load, store);

    fn len(&self) -> u64 {
        self.image.len() as u64
    }

    fn writable(&self) -> bool {
        true
    }

    fn frame(&self, offset: u64) -> u64 {
        BASE + offset
    }

    fn is_series(&self, offset: u64, count: u64, first: u64, step: u64) -> bool {
        self.touch(offset, count * 8, false, "load a series");
        (0..count).all(|i| self.peek(offset + i * 8) == first.wrapping_add(step.wrapping_mul(i)))
    }

    fn read(&self, offset: u64, to: &mut [u8]) {
        self.touch(offset, to.len() as u64, false, "read");
        let state = self.state.get();
        Self::pieces(offset, to.len(), |page, within, count, at| {
            let bytes = &MemoryState::page(&state.pages, &self.image, page)[within..within + count];
            to[at..at + count].copy_from_slice(bytes);
        });
    }

    fn store_series(&self, offset: u64, count: u64, first: u64, step: u64) {
        self.touch(offset, count * 8, true, "store a series");
        let bytes = (0..count).flat_map(|i| first.wrapping_add(step.wrapping_mul(i)).to_le_bytes());
        self.put(offset, &bytes.collect::<Vec<u8>>());
    }

    fn write(&self, offset: u64, from: &[u8]) {
        self.touch_to_put(offset, from, "write");
        self.put(offset, from);
    }

    fn write_nt(&self, offset: u64, from: &[u8]) {
        self.touch_to_put(offset, from, "write past the cache");
        self.put(offset, from);
        self.in_flight(offset, from.len() as u64);
    }

    fn zero_nt(&self, offset: u64, len: u64) {
        self.touch(offset, len, true, "zero past the cache");
        if offset.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE) {
            let state = &mut *self.state.get();
            state.stores += 1;
            for page in offset / PAGE_SIZE..(offset + len) / PAGE_SIZE {
                state.pages[page as usize] = PageContent::Zeros;
                if let Some(durable) = &mut state.durable {
                    durable.pages_in_flight[current()].push((page, state.stores, PageContent::Zeros));
                }
            }
        } else {
            self.put(offset, &vec![0; len as usize]);
            self.in_flight(offset, len);
        }
    }

    fn flush(&self, offset: u64, len: u64) {
        if len != 0 {
            self.touch(offset, len, false, "flush");
            self.in_flight(offset, len);
        }
    }

    fn fence(&self) {
        if self.keeps_durable() {
            visible(Touch::One(SharedPlace::durable(), false), Need::Nothing, 1, "fence");
        }
        let state = &mut *self.state.get();
        if let Some(durable) = &mut state.durable {
            durable.fence(&self.image, current());
        }
    }

    fn poisoned(&self, offset: u64, len: u64) -> Option<u64> {
        self.poison.first_in(offset, len)
    }

    fn clear_poison(&self, offset: u64, len: u64) {
        self.poison.clear(offset, len).expect("a list with room");
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory::new(Arc::new(vec![7; 4 * PAGE]), true)
    }

    #[test]
    fn what_was_flushed_survives_with_what_it_held_at_the_flush() {
        let memory = memory();
        memory.store_u64(64, 1);
        memory.flush(64, 8);
        memory.store_u64(64, 2);
        assert_ne!(memory.after_power_failure(false).load_u64(64), 1, "no fence yet");
        memory.fence();
        let after = memory.after_power_failure(false);
        assert_eq!((after.load_u64(64), after.load_u8(0), memory.load_u64(64)), (1, 7, 2));
        memory.fence();
        assert_eq!(memory.after_power_failure(false).load_u64(64), 1, "what was stored since is not flushed");
    }

    #[test]
    fn whole_pages_and_lines_of_them_become_durable_in_the_order_of_the_stores() {
        let memory = memory();
        memory.zero_nt(PAGE_SIZE, PAGE_SIZE);
        memory.write_nt(PAGE_SIZE + 8, &[5; 8]);
        memory.fence();
        let after = memory.after_power_failure(false);
        assert_eq!((after.load_u64(PAGE_SIZE), after.load_u8(PAGE_SIZE + 8)), (0, 5));
        memory.zero_nt(0, 3 * PAGE_SIZE);
        memory.fence();
        assert_eq!(memory.after_power_failure(false).load_u8(PAGE_SIZE + 8), 0);
    }

    #[test]
    fn bytes_and_numbers_agree() {
        let memory = memory();
        memory.write(PAGE_SIZE - 3, &[1, 2, 3, 4, 5]);
        let mut back = [0; 7];
        memory.read(PAGE_SIZE - 4, &mut back);
        assert_eq!(back, [7, 1, 2, 3, 4, 5, 7]);
        assert_eq!(memory.load_u16(PAGE_SIZE), 0x0504);
        memory.store_series(2 * PAGE_SIZE, 3, 9, 2);
        assert!(memory.is_series(2 * PAGE_SIZE, 3, 9, 2) && memory.peek(2 * PAGE_SIZE + 16) == 13);
    }
}
