//! Memory that is watched: for the order of stores, for what was changed, for loops without end.

use fs::pmem::Pmem;
use fs::pmem::ram::Ram;
use fs::stats::Stats;

/// One access to watched memory.
pub(crate) enum Touch<'a> {
    /// Bytes are read.
    Load,
    /// An ordinary store.
    Store(u64, &'a [u8]),
    /// A store past the cache, of zeros too.
    Stream(u64, &'a [u8]),
    /// Lines of this range are written back: offset, length.
    Flush(u64, u64),
    /// What is in flight becomes durable.
    Fence,
}

/// Calls its watcher before each access.
pub(crate) struct Spy {
    pub(crate) ram: Ram,
    watch: Box<dyn Fn(Touch<'_>) + Send + Sync>,
}

impl Spy {
    /// Memory with `image` in it, watched by `watch`.
    pub(crate) fn new(image: &[u8], watch: impl Fn(Touch<'_>) + Send + Sync + 'static) -> Self {
        Self { ram: Ram::from_bytes(image), watch: Box::new(watch) }
    }
}

macro_rules! spied {
    ($($load:ident $store:ident $number:ident),*) => {$(
        fn $load(&self, offset: u64) -> $number {
            (self.watch)(Touch::Load);
            self.ram.$load(offset)
        }
        fn $store(&self, offset: u64, value: $number) {
            (self.watch)(Touch::Store(offset, &value.to_le_bytes()));
            self.ram.$store(offset, value);
        }
    )*};
}

impl Pmem for Spy {
    spied!(load_u8 store_u8 u8, load_u16 store_u16 u16, load_u32 store_u32 u32, load_u64 store_u64 u64);

    fn len(&self) -> u64 {
        self.ram.len()
    }
    fn writable(&self) -> bool {
        self.ram.writable()
    }
    fn frame(&self, offset: u64) -> u64 {
        self.ram.frame(offset)
    }
    fn read(&self, offset: u64, to: &mut [u8]) {
        (self.watch)(Touch::Load);
        self.ram.read(offset, to);
    }
    fn write(&self, offset: u64, from: &[u8]) {
        (self.watch)(Touch::Store(offset, from));
        self.ram.write(offset, from);
    }
    fn write_nt(&self, offset: u64, from: &[u8]) {
        (self.watch)(Touch::Stream(offset, from));
        self.ram.write_nt(offset, from);
    }
    fn zero_nt(&self, offset: u64, len: u64) {
        // A length beyond the region is the caller's bug, and `Ram` says so: it is not to end in a huge
        // vector.
        let zeros = vec![0; len.min(self.len()) as usize];
        (self.watch)(Touch::Stream(offset, &zeros));
        self.ram.zero_nt(offset, len);
    }
    fn flush(&self, offset: u64, len: u64) {
        (self.watch)(Touch::Flush(offset, len));
        self.ram.flush(offset, len);
    }
    fn fence(&self) {
        (self.watch)(Touch::Fence);
        self.ram.fence();
    }
    fn poisoned(&self, offset: u64, len: u64) -> Option<u64> {
        self.ram.poisoned(offset, len)
    }
    fn clear_poison(&self, offset: u64, len: u64) {
        self.ram.clear_poison(offset, len);
    }
    fn stats(&self) -> &Stats {
        self.ram.stats()
    }
}
