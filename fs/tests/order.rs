//! docs/laws.md, law 3, watched store by store: when a pointer to a block is stored, the block's zeros and
//! its bit in the bitmap are durable; when a bit is cleared, no durable pointer leads to the block any more.
//!
//! The watcher follows what is certain to be in the memory ([`common::durable`]).

use crate::common;
use crate::common::durable::Durable;
use crate::common::layout::{Layout, SOIL, u32_at};
use crate::common::{BLOCK, Image, LEVELS, Machine, POINTERS, View, create, mount, write};
use fs::dax::Outcome;
use fs::pmem::ram::{Ram, RamAccess};
use fs::vfs::FileSystem;
use std::sync::{Arc, Mutex};

struct Watcher {
    layout: Layout,
    memory: Durable,
    /// Every place that may hold a pointer to a block: `i_block` of the file, and its pointer blocks as they
    /// come.
    pointers: Vec<u64>,
    pointer_blocks: Vec<u64>,
    published: u64,
    freed: u64,
    broken: Vec<String>,
}

impl Watcher {
    fn new(image: &[u8], ino: u64) -> Self {
        let layout = Layout::of(image);
        let pointers = (0..15).map(|slot| layout.pointer(image, ino, slot)).collect();
        Self {
            layout,
            memory: Durable::new(image),
            pointers,
            pointer_blocks: Vec::new(),
            published: 0,
            freed: 0,
            broken: Vec::new(),
        }
    }

    fn see(&mut self, touch: &RamAccess<'_>) {
        let old = match *touch {
            RamAccess::Store(offset, bytes) | RamAccess::Stream(offset, bytes) => {
                self.memory.live[offset as usize..offset as usize + bytes.len()].to_vec()
            }
            _ => Vec::new(),
        };
        self.memory.see(touch);
        if let RamAccess::Store(offset, bytes) | RamAccess::Stream(offset, bytes) = *touch {
            self.stored(offset, &old, bytes);
        }
    }

    /// `old` at `offset` became `bytes`.
    fn stored(&mut self, offset: u64, old: &[u8], bytes: &[u8]) {
        let touched = |place: &u64| offset <= *place + 3 && *place < offset + bytes.len() as u64;
        let before = |place: u64| {
            let mut word = self.memory.live[place as usize..place as usize + 4].to_vec();
            for (index, byte) in word.iter_mut().enumerate() {
                let at = (place + index as u64).checked_sub(offset);
                if let Some(at) = at.filter(|&at| at < old.len() as u64) {
                    *byte = old[at as usize];
                }
            }
            u32_at(&word, 0)
        };
        let stored: Vec<(u64, u32)> = self
            .pointers
            .iter()
            .filter(|place| touched(place))
            .map(|&place| (place, u32_at(&self.memory.live, place)))
            .filter(|&(place, block)| block != 0 && before(place) != block)
            .collect();
        for (place, block) in stored {
            self.publish(place, u64::from(block));
        }
        // Bits that go from 1 to 0 in the bitmap of the one group that these images have.
        let (bitmap, _) = self.layout.block_bit(&self.memory.live, 0);
        for (index, (&old, &new)) in old.iter().zip(bytes).enumerate() {
            let byte = (offset + index as u64).checked_sub(bitmap).filter(|&byte| byte < BLOCK);
            if let Some(byte) = byte {
                (0..8).filter(|bit| old & !new & 1 << bit != 0).for_each(|bit| self.free(byte * 8 + bit));
            }
        }
    }

    /// A pointer to `block` is being stored at `place`.
    fn publish(&mut self, place: u64, block: u64) {
        self.published += 1;
        let (byte, mask) = self.layout.block_bit(&self.memory.live, block);
        if self.memory.durable[byte as usize] & mask == 0 {
            self.broken.push(format!("block {block} is published while its bit may be lost"));
        }
        let start = (block * BLOCK) as usize;
        // Data may be there already, or pointers; what must not be there is what the image was soiled with.
        let content = &self.memory.durable[start..start + BLOCK as usize];
        if content.chunks(8).any(|bytes| bytes == [SOIL; 8]) {
            self.broken.push(format!("block {block} is published before its zeros are durable"));
        }
        let is_pointer_block = self.pointers[12..15].contains(&place) || self.leads_on(place);
        if is_pointer_block && !self.pointer_blocks.contains(&block) {
            self.pointer_blocks.push(block);
            let slots: Vec<u64> = (0..POINTERS).map(|slot| block * BLOCK + slot * 4).collect();
            self.pointers.extend(&slots);
            // A chain that was linked before it was hung up: all of it is published by this one store.
            for slot in slots {
                match u32_at(&self.memory.live, slot) {
                    0 => {}
                    inner => self.publish(slot, u64::from(inner)),
                }
            }
        }
    }

    /// True if `place` is in the top block of a double- or triple-indirect tree, or below it in the triple
    /// one.
    fn leads_on(&self, place: u64) -> bool {
        let block = (place / BLOCK) as u32;
        let top = |slot: usize| u32_at(&self.memory.live, self.pointers[slot]);
        let triple = top(14);
        let second = triple != 0
            && (0..POINTERS)
                .any(|slot| u32_at(&self.memory.live, u64::from(triple) * BLOCK + slot * 4) == block);
        block != 0 && (block == top(13) || block == triple || second)
    }

    /// The bit of `block` is being cleared.
    fn free(&mut self, block: u64) {
        self.freed += 1;
        let leads = |place: &&u64| u64::from(u32_at(&self.memory.durable, **place)) == block;
        // A pointer inside a block that is itself unreachable leads nowhere: only those of the inode count
        // for it.
        if let Some(place) = self.pointers[..15].iter().find(leads) {
            self.broken.push(format!("block {block} is freed while the pointer at {place:#x} may survive"));
        }
    }
}

#[test]
fn blocks_are_zeroed_and_marked_durably_before_they_are_published_and_unpublished_before_freed() {
    let image = Image::new(512);
    let mut bytes = image.bytes();
    Layout::of(&bytes).soil_free_blocks(&mut bytes);
    image.store_bytes(&bytes);
    let ino = common::session(&image, |fs| create(fs, "f").ino());
    let bytes = image.bytes();
    let watcher = Arc::new(Mutex::new(Watcher::new(&bytes, ino)));
    let watching = watcher.clone();
    let spy = Ram::watched(&bytes, move |_, touch| watching.lock().expect("the watcher").see(&touch));
    let rig = Machine::new(spy);
    let fs = mount(rig.clone());
    let file = common::at(&fs, "f");
    file.truncate((LEVELS[3] + 3000) * BLOCK).expect("truncate");
    let view = View::new(&file, 0..LEVELS[3] + 3000);
    let mut blocks = 0;
    for (level, &page) in LEVELS.iter().enumerate() {
        assert_eq!(view.fault(page, true), Ok(Outcome::Allocated));
        assert_eq!(view.fault(page + 1, true), Ok(Outcome::Allocated));
        blocks += level as u64 + 2;
    }
    assert_eq!(view.fault(LEVELS[3] + 2048, true), Ok(Outcome::Allocated));
    blocks += 2;
    // Copying writes allocate in the same order; their data may be there instead of zeros.
    write(&*file, 5 * BLOCK + 10, b"inside a fresh page");
    write(&*file, 6 * BLOCK, &vec![7; 3 * BLOCK as usize]);
    blocks += 4;
    {
        let seen = watcher.lock().expect("the watcher");
        assert_eq!(seen.broken, [""; 0]);
        assert_eq!(seen.published, blocks, "the watcher missed some pointers");
        assert!(seen.memory.live == rig.ram.to_bytes(), "the watcher missed some stores");
    }
    for page in [LEVELS[3] + 1, LEVELS[2] + 1, LEVELS[1] + 1, 7, 0] {
        file.truncate(page * BLOCK + 1).expect("truncate");
    }
    file.truncate(0).expect("truncate");
    drop((view, file));
    fs.unmount().expect("unmount");
    let seen = watcher.lock().expect("the watcher");
    assert_eq!(seen.broken, [""; 0]);
    assert_eq!(seen.freed, blocks);
    assert!(seen.memory.durable == seen.memory.live, "something was not durable at the end of unmount");
    image.store_bytes(&seen.memory.live);
    image.expect_clean();
}
