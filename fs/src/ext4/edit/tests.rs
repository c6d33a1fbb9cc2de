//! Bytes of a test that can be edited, and that they are moved as they should be.

use super::*;
use std::cell::RefCell;
use std::vec::Vec;

/// Bytes of a test.
pub(crate) struct TestBytes(pub RefCell<Vec<u8>>);

impl Load for TestBytes {
    fn load_u8(&self, at: u64) -> u8 {
        self.0.borrow().load_u8(at)
    }
    fn load_u16(&self, at: u64) -> u16 {
        self.0.borrow().load_u16(at)
    }
    fn load_u32(&self, at: u64) -> u32 {
        self.0.borrow().load_u32(at)
    }
    fn read(&self, at: u64, to: &mut [u8]) {
        Load::read(&self.0.borrow()[..], at, to);
    }
}

impl Edit for TestBytes {
    fn store_u8(&self, at: u64, value: u8) {
        self.write(at, &[value]);
    }
    fn store_u16(&self, at: u64, value: u16) {
        self.write(at, &value.to_le_bytes());
    }
    fn store_u32(&self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }
    fn seal(&self, seal: BlockSeal, block_size: u64) {
        seal.store(self, block_size);
    }
    fn write(&self, at: u64, from: &[u8]) {
        self.0.borrow_mut()[at as usize..][..from.len()].copy_from_slice(from);
    }
}

#[test]
fn bytes_are_moved_as_by_a_copy_of_them() {
    let bytes: Vec<u8> = (0..8192_u32).map(|i| (i ^ i >> 8) as u8).collect();
    for range in [0..0, 0..1, 5..260, 100..356, 1000..1257, 700..3000] {
        let (from, count) = (range.start as u64..range.end as u64, range.len());
        for to in [0, 4, range.start, range.start + 4, range.start + 300, range.end, 1096] {
            let (within, from_another) = (TestBytes(bytes.clone().into()), TestBytes(bytes.clone().into()));
            within.move_within(from.clone(), to as u64);
            from_another.copy_from(&TestBytes(bytes.clone().into()), from.clone(), to as u64);
            let mut expected = bytes.clone();
            expected[to..to + count].copy_from_slice(&bytes[range.clone()]);
            assert!(*within.0.borrow() == expected, "{range:?} to {to}");
            assert!(*from_another.0.borrow() == expected, "{range:?} to {to}");
        }
    }
}

#[test]
fn a_note_tells_what_it_was_made_of() {
    for block in BlockSeal::KINDS {
        for number in [0, 7, u32::MAX] {
            let seal = BlockSeal { block, seed: Seed::of_number(number) };
            let again = BlockSeal::of_note(seal.to_note()).expect("a note");
            assert_eq!((again.block, again.seed), (block, seal.seed));
            assert_ne!(seal.to_note(), 0);
        }
    }
    assert!(BlockSeal::of_note(0).is_none() && BlockSeal::of_note(5 << 32).is_none());
}
