//! What the CPUs see, and what is certain to be in the memory.
//!
//! A line goes from the first to the second when it was flushed (or streamed) and a fence followed, on the
//! same CPU: one is a thread.

use super::{Image, Machine};
use fs::pmem::ram::{Ram, RamAccess};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

const LINE: usize = 64;

/// Two images: as seen, and as a power failure would leave it.
pub(crate) struct Durable {
    pub(crate) live: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    in_flight: HashMap<ThreadId, Vec<(usize, [u8; LINE])>>,
}

impl Durable {
    /// All of `image` is in the memory.
    pub(crate) fn new(image: &[u8]) -> Self {
        Self { live: image.to_vec(), durable: image.to_vec(), in_flight: HashMap::new() }
    }

    /// Follows what a CPU did.
    pub(crate) fn see(&mut self, touch: &RamAccess<'_>) {
        match *touch {
            RamAccess::Load(_) => {}
            RamAccess::Store(offset, bytes) => self.store(offset, bytes),
            RamAccess::Stream(offset, bytes) => {
                self.store(offset, bytes);
                self.flush(offset, bytes.len() as u64);
            }
            RamAccess::Flush(offset, len) => self.flush(offset, len),
            RamAccess::Fence => {
                let mine = self.in_flight.remove(&std::thread::current().id());
                for (line, content) in mine.unwrap_or_default() {
                    self.durable[line..line + LINE].copy_from_slice(&content);
                }
            }
        }
    }

    fn store(&mut self, offset: u64, bytes: &[u8]) {
        self.live[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn flush(&mut self, offset: u64, len: u64) {
        let mine = self.in_flight.entry(std::thread::current().id()).or_default();
        for line in (offset as usize / LINE * LINE..(offset + len) as usize).step_by(LINE) {
            mine.push((line, self.live[line..line + LINE].try_into().expect("a line")));
        }
    }

    /// A machine over `image` that is followed.
    pub(crate) fn watch(image: &Image) -> (Arc<Mutex<Self>>, Machine) {
        let bytes = image.bytes();
        let followed = Arc::new(Mutex::new(Self::new(&bytes)));
        let following = followed.clone();
        let spy = Ram::watched(&bytes, move |_, touch| following.lock().expect("the model").see(&touch));
        (followed, Machine::new(spy))
    }
}
