//! A journal made block by block, with code of its own: every format, right or damaged.
//!
//! The file system around it is nothing but blocks of 1 or 4 KiB, each filled with its number. The log lies
//! in two pieces, the second before the first.

use fs::jbd2::{LogMap, LogRun, Recovery};
use fs::pmem::Pmem;
use fs::pmem::ram::Ram;

pub(crate) const MAGIC: u32 = 0xc03b_3998;
/// Blocks of the file system.
pub(crate) const BLOCKS: u64 = 96;
/// Blocks of the log, its superblock among them.
pub(crate) const LOG: u32 = 32;
const RUNS: [LogRun; 2] = [LogRun { log: 0, block: 60, count: 20 }, LogRun { log: 20, block: 20, count: 12 }];
/// The number of the first transaction: numbers go round soon.
pub(crate) const FIRST: u32 = u32::MAX - 1;

/// Checksums of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    No,
    Whole,
    V2,
    V3,
}

/// A format of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) block_size: usize,
    pub(crate) sums: Sums,
    pub(crate) wide: bool,
    /// More bits of the incompatible features.
    pub(crate) more: u32,
}

impl Form {
    /// All that there are.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for block_size in [1024, 4096] {
            for sums in [Sums::No, Sums::Whole, Sums::V2, Sums::V3] {
                all.extend([false, true].map(|wide| Self { block_size, sums, wide, more: 0 }));
            }
        }
        all
    }

    pub(crate) fn tag_len(self) -> usize {
        match self.sums {
            Sums::V3 => 16,
            Sums::V2 => 10 + if self.wide { 4 } else { 0 },
            _ => 8 + if self.wide { 4 } else { 0 },
        }
    }

    fn has_tails(self) -> bool {
        matches!(self.sums, Sums::V2 | Sums::V3)
    }
}

/// CRC by bits, with no inversion: reflected (`0x82f63b78` is Castagnoli's) or not.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

fn crc32_be(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        let step = |crc: u32, _| if crc >> 31 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 };
        (0..8).fold(crc ^ u32::from(byte) << 24, step)
    })
}

pub(crate) fn set(block: &mut [u8], at: usize, value: u32) {
    block[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

pub(crate) fn get(block: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(block[at..at + 4].try_into().expect("four bytes"))
}

/// Where the log is.
pub(crate) fn log_map(block_size: usize) -> LogMap {
    LogMap::new(RUNS.to_vec(), block_size as u64, BLOCKS).expect("a sound log")
}

/// Byte offset of block `log` of the log.
pub(crate) fn place(block_size: usize, log: u32) -> usize {
    let run = RUNS.iter().rfind(|run| run.log <= log).expect("the first starts at 0");
    (run.block as usize + (log - run.log) as usize) * block_size
}

/// A journal that is being made.
#[derive(Clone)]
pub(crate) struct Craft {
    pub(crate) form: Form,
    pub(crate) bytes: Vec<u8>,
    pub(crate) log: LogMap,
    /// The block of the log that is next, and the transaction.
    pub(crate) at: u32,
    pub(crate) sequence: u32,
    /// What the next commit block says.
    pub(crate) seconds: u64,
    whole: u32,
    uuid: [u8; 16],
}

impl Craft {
    /// A log whose first transaction starts at block `start` of the log. Image 0 of each block is its number.
    pub(crate) fn new(form: Form, start: u32) -> Self {
        let size = form.block_size;
        let bytes = (0..BLOCKS).flat_map(|block| image(size, block, 0)).collect();
        let uuid = *b"an UUID of tests";
        let log = log_map(size);
        let mut craft = Self { form, bytes, log, at: start, sequence: FIRST, seconds: 1000, whole: !0, uuid };
        craft.superblock(|_| {});
        craft
    }

    /// Writes the superblock, with a change, and its checksum.
    pub(crate) fn superblock(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut block = vec![0; self.form.block_size];
        let numbers = [MAGIC, 4, 0, self.form.block_size as u32, LOG, 1, FIRST, self.at, 0];
        numbers.iter().enumerate().for_each(|(index, &number)| set(&mut block, index * 4, number));
        set(&mut block, 0x24, u32::from(self.form.sums == Sums::Whole));
        let sums = [(Sums::V2, 8), (Sums::V3, 0x10)].iter().find(|(sums, _)| *sums == self.form.sums);
        let wide = if self.form.wide { 2 } else { 0 };
        set(&mut block, 0x28, 1 | wide | sums.map_or(0, |(_, bit)| *bit) | self.form.more);
        block[0x30..0x40].copy_from_slice(&self.uuid);
        set(&mut block, 0x40, 1);
        block[0x50] = if self.form.has_tails() { 4 } else { 0 };
        change(&mut block);
        if self.form.has_tails() {
            set(&mut block, 0xfc, 0);
            let sum = crc32c(!0, &block[..1024]);
            set(&mut block, 0xfc, sum);
        }
        self.put(0, &block);
    }

    fn put(&mut self, log: u32, block: &[u8]) {
        let at = place(self.form.block_size, log);
        self.bytes[at..at + block.len()].copy_from_slice(block);
    }

    /// Byte offset of block `log` of the log.
    pub(crate) fn place(&self, log: u32) -> usize {
        place(self.form.block_size, log)
    }

    /// Writes the next block of the log; returns which that was.
    pub(crate) fn append(&mut self, block: &[u8]) -> u32 {
        let at = self.at;
        self.put(at, block);
        self.at = if at + 1 == LOG { 1 } else { at + 1 };
        at
    }

    fn header(&self, kind: u32) -> Vec<u8> {
        let mut block = vec![0; self.form.block_size];
        set(&mut block, 0, MAGIC);
        set(&mut block, 4, kind);
        set(&mut block, 8, self.sequence);
        block
    }

    fn seed(&self) -> u32 {
        crc32c(!0, &self.uuid)
    }

    /// Gives a descriptor or revoke block its checksum.
    pub(crate) fn finish(&self, block: &mut [u8]) {
        if self.form.has_tails() {
            let end = block.len() - 4;
            set(block, end, 0);
            let sum = crc32c(self.seed(), block);
            set(block, end, sum);
        }
    }

    /// Writes a descriptor and the images behind it; returns where it is.
    pub(crate) fn images(&mut self, images: &[(u64, Vec<u8>)]) -> u32 {
        let mut block = self.header(1);
        let (mut at, mut stored) = (12, Vec::new());
        for (index, (home, image)) in images.iter().enumerate() {
            let mut image = image.clone();
            let mut flags = if index + 1 == images.len() { 8 } else { 0 } | if index == 0 { 0 } else { 2 };
            if get(&image, 0) == MAGIC {
                set(&mut image, 0, 0);
                flags |= 1;
            }
            let sum = crc32c(crc32c(self.seed(), &self.sequence.to_be_bytes()), &image);
            set(&mut block, at, *home as u32);
            if self.form.wide {
                set(&mut block, at + 8, (*home >> 32) as u32);
            }
            match self.form.sums {
                Sums::V3 => {
                    set(&mut block, at + 4, flags);
                    set(&mut block, at + 12, sum);
                }
                Sums::V2 => set(&mut block, at + 4, sum << 16 | flags),
                _ => set(&mut block, at + 4, flags),
            }
            at += self.form.tag_len() + if index == 0 { 16 } else { 0 };
            stored.push(image);
        }
        self.finish(&mut block);
        self.whole = crc32_be(self.whole, &block);
        let place = self.append(&block);
        for image in stored {
            self.whole = crc32_be(self.whole, &image);
            self.append(&image);
        }
        place
    }

    /// Writes a revoke block; returns where it is.
    pub(crate) fn revoke(&mut self, blocks: &[u64]) -> u32 {
        let mut block = self.header(5);
        let len = if self.form.wide { 8 } else { 4 };
        set(&mut block, 12, (16 + blocks.len() * len) as u32);
        for (index, number) in blocks.iter().enumerate() {
            block[16 + index * len..][..len].copy_from_slice(&number.to_be_bytes()[8 - len..]);
        }
        self.finish(&mut block);
        self.append(&block)
    }

    /// Writes the commit block; returns where it is.
    pub(crate) fn commit(&mut self) -> u32 {
        let block = self.commit_block();
        let place = self.append(&block);
        self.sequence = self.sequence.wrapping_add(1);
        (self.seconds, self.whole) = (self.seconds + 5, !0);
        place
    }

    fn commit_block(&self) -> Vec<u8> {
        let mut block = self.header(2);
        set(&mut block, 0x34, self.seconds as u32);
        match self.form.sums {
            Sums::No => {}
            Sums::Whole => {
                block[12..14].copy_from_slice(&[1, 4]);
                set(&mut block, 16, self.whole);
            }
            Sums::V2 | Sums::V3 => {
                let sum = crc32c(self.seed(), &block);
                set(&mut block, 16, sum);
            }
        }
        block
    }

    /// A transaction of images `version` of `blocks`.
    pub(crate) fn transaction(&mut self, blocks: &[u64], version: u8) {
        let images = blocks.iter().map(|&block| (block, image(self.form.block_size, block, version)));
        self.images(&images.collect::<Vec<_>>());
        self.commit();
    }

    /// The region with it.
    pub(crate) fn ram(&self) -> Ram {
        Ram::from_bytes(&self.bytes)
    }
}

/// Image `version` of a block. Each third one begins like a block of the log.
pub(crate) fn image(block_size: usize, block: u64, version: u8) -> Vec<u8> {
    let mut bytes = vec![version; block_size];
    bytes[8..16].copy_from_slice(&block.to_le_bytes());
    if block.is_multiple_of(3) && version != 0 {
        set(&mut bytes, 0, MAGIC);
    }
    bytes
}

/// Which image of each block that is no part of the log is home; `None`: none of `image`.
pub(crate) fn versions(bytes: &[u8], block_size: usize) -> Vec<(u64, Option<u8>)> {
    let log = log_map(block_size);
    let blocks = (0..BLOCKS).filter(|&block| log.is_home(block));
    let version = |block: u64| {
        let bytes = &bytes[block as usize * block_size..][..block_size];
        let version = bytes[block_size - 1];
        (bytes == image(block_size, block, version)).then_some(version)
    };
    blocks.map(|block| (block, version(block))).filter(|&(_, version)| version != Some(0)).collect()
}

/// Replays what was found, every block as it is.
pub(crate) fn replay_home(found: Recovery, ram: &Ram, log: &LogMap) -> fs::Result<()> {
    found.replay(ram, log, &mut |block, bytes| ram.write_nt(block * log.block_size(), bytes))
}
