//! The fsdax information block: what is right is read, each field that is wrong is refused by name, nothing
//! panics.

use nfit::{PFN_BYTES, PfnError, PfnInfo, PfnMode, pfn_checksum};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const LEN: u64 = 64 * MIB;
const BASE: u64 = 0x1_0000_0000;

type Block = [u8; PFN_BYTES];

fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The block with its checksum made right.
fn sealed(mut block: Block) -> Block {
    let sum = pfn_checksum(&block);
    put(&mut block, 4088, &sum.to_le_bytes());
    block
}

/// As `ndctl create-namespace --mode=fsdax --map=mem` leaves it on 64 MiB.
fn unsealed() -> Block {
    let mut block = [0; PFN_BYTES];
    put(&mut block, 0, b"NVDIMM_PFN_INFO\0");
    put(&mut block, 16, &core::array::from_fn::<u8, 16, _>(|index| index as u8 + 0xa0));
    put(&mut block, 52, &1_u16.to_le_bytes());
    put(&mut block, 54, &4_u16.to_le_bytes());
    put(&mut block, 56, &(2 * MIB).to_le_bytes());
    put(&mut block, 64, &(62 * MIB / 4096).to_le_bytes());
    put(&mut block, 72, &1_u32.to_le_bytes());
    put(&mut block, 84, &(2 * MIB as u32).to_le_bytes());
    put(&mut block, 88, &4096_u32.to_le_bytes());
    put(&mut block, 92, &64_u16.to_le_bytes());
    block
}

/// What comes of the block with these bytes put into it, the checksum made right again.
fn with(changes: &[(usize, &[u8])]) -> Result<Option<PfnInfo>, PfnError> {
    let mut block = unsealed();
    changes.iter().for_each(|(at, bytes)| put(&mut block, *at, bytes));
    PfnInfo::parse(&sealed(block), BASE, LEN)
}

fn read(changes: &[(usize, &[u8])]) -> PfnInfo {
    with(changes).expect("a block that is right").expect("a block")
}

#[test]
fn a_block_is_read() {
    let info = read(&[]);
    assert_eq!(info.version, (1, 4));
    assert_eq!(info.mode, PfnMode::Ram);
    assert_eq!((info.data_offset, info.data_len, info.align), (2 * MIB, 62 * MIB, 2 << 20));
    assert_eq!(
        info.to_string(),
        "fsdax 1.4, data at byte 2097152, 65011712 bytes, page structures in RAM, \
         uuid a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
    );
    let in_namespace = read(&[(72, &[2])]);
    assert_eq!(in_namespace.mode, PfnMode::Pmem);
    // Tools that only fill in what Linux looks at.
    assert_eq!(read(&[(52, &[0, 0, 2, 0]), (64, &[0; 8])]).data_offset, 2 * MIB);
}

#[test]
fn the_checksum_is_fletchers_over_words_of_32_bits() {
    let mut block = [0; PFN_BYTES];
    assert_eq!(pfn_checksum(&block), 0);
    // The last word before the field counts itself, and again for each of the field's two words.
    put(&mut block, 4084, &7_u32.to_le_bytes());
    assert_eq!(pfn_checksum(&block), 21 << 32 | 7);
    // The first word counts once for each of the 1024; both sums wrap at 32 bits.
    put(&mut block, 4084, &[0; 4]);
    put(&mut block, 0, &0x8000_0001_u32.to_le_bytes());
    assert_eq!(pfn_checksum(&block), 1024 << 32 | 0x8000_0001);
    // The field itself does not count.
    put(&mut block, 4088, &[0xff; 8]);
    assert_eq!(pfn_checksum(&block), 1024 << 32 | 0x8000_0001);
}

#[test]
fn padding_makes_the_data_later_and_shorter() {
    let pad = 2 * MIB as u32;
    let info = read(&[(64, &[0; 8]), (76, &pad.to_le_bytes()), (80, &(4 * MIB as u32).to_le_bytes())]);
    assert_eq!((info.data_offset, info.data_len), (4 * MIB, 56 * MIB));
    // Version 1.0 had neither, nor an alignment, nor a page size: whatever is there means nothing.
    let junk = 0x0012_3456_u32.to_le_bytes();
    let info = read(&[(54, &[0, 0]), (76, &junk), (80, &junk), (84, &junk), (88, &junk)]);
    assert_eq!((info.data_offset, info.data_len, info.align), (2 * MIB, 62 * MIB, 0));
}

#[test]
fn the_datas_address_is_aligned_not_its_distance() {
    let offset = (MIB + 2 * MIB).to_le_bytes();
    let mut block = unsealed();
    put(&mut block, 56, &offset);
    put(&mut block, 64, &[0; 8]);
    let block = sealed(block);
    let error = PfnError::DataOffset { found: 3 * MIB };
    assert_eq!(PfnInfo::parse(&block, BASE, LEN), Err(error));
    let info = PfnInfo::parse(&block, BASE + MIB, LEN).expect("right there").expect("a block");
    assert_eq!(info.data_offset, 3 * MIB);
}

#[test]
fn each_field_that_is_wrong_is_named() {
    let word = |value: u32| value.to_le_bytes();
    let long = |value: u64| value.to_le_bytes();
    assert_eq!(with(&[(0, b"NVDIMM_PFN_INFX\0")]), Ok(None), "no signature");
    assert_eq!(with(&[(0, b"NVDIMM_DAX_INFO\0")]), Err(PfnError::DeviceDax));
    assert_eq!(with(&[(52, &[2])]), Err(PfnError::Version { found: (2, 4) }));
    for mode in [0, 3, u32::MAX] {
        assert_eq!(with(&[(72, &word(mode))]), Err(PfnError::Mode { found: mode }));
    }
    for size in [0, 8192, 65536] {
        assert_eq!(with(&[(88, &word(size))]), Err(PfnError::PageSize { found: size }));
    }
    for align in [1, 2048, 3 << 20, 128 << 20, u32::MAX] {
        assert_eq!(with(&[(84, &word(align))]), Err(PfnError::Align { found: align }));
    }
    for offset in [0, 4096, 8192, 2 * MIB + 4096, 2 * MIB + 1, LEN, LEN + 2 * MIB, u64::MAX, 1 << 63] {
        assert_eq!(with(&[(56, &long(offset))]), Err(PfnError::DataOffset { found: offset }));
    }
    let pages = 62 * MIB / 4096 + 1;
    assert_eq!(with(&[(64, &long(pages))]), Err(PfnError::Pages { found: pages, limit: pages - 1 }));
    assert_eq!(with(&[(64, &long(u64::MAX))]), Err(PfnError::Pages { found: u64::MAX, limit: pages - 1 }));
    for (start, end) in
        [(1, 0), (0, 1), (62 << 20, 0), (0, 62 << 20), (32 << 20, 30 << 20), (0, u32::MAX - 4095)]
    {
        let error = Err(PfnError::Padding { start, end });
        assert_eq!(with(&[(76, &word(start)), (80, &word(end))]), error);
    }
    for error in [
        PfnError::DeviceDax,
        PfnError::Checksum { found: 1, expected: 2 },
        PfnError::Version { found: (2, 0) },
        PfnError::Pages { found: 2, limit: 1 },
    ] {
        let text = error.to_string();
        assert!(text.starts_with("fsdax information block at byte 4096: ") && !text.contains('\n'), "{text}");
    }
}

#[test]
fn every_byte_that_is_damaged_is_noticed() {
    let block = sealed(unsealed());
    for at in 0..PFN_BYTES {
        let mut damaged = block;
        damaged[at] ^= 0x40;
        match PfnInfo::parse(&damaged, BASE, LEN) {
            Ok(None) => assert!(at < 16, "byte {at}: the signature is still there"),
            Err(PfnError::Checksum { found, expected }) => assert!(at >= 16 && found != expected),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

proptest! {
    /// Whatever is in it, with a right checksum: an answer, and one that can be used.
    #[test]
    fn any_block_gets_an_answer_that_holds(
        bytes in proptest::collection::vec(any::<u8>(), 80),
        keep in any::<[bool; 10]>(),
        base in any::<u64>(),
        len in prop_oneof![any::<u64>(), 0..LEN, Just(LEN)],
        signed in any::<bool>(),
    ) {
        let mut block = unsealed();
        let fields = [(16, 16), (32, 16), (48, 4), (52, 4), (56, 8), (64, 8), (72, 4), (76, 8), (84, 4), (88, 6)];
        for ((at, size), keep) in fields.into_iter().zip(keep) {
            if !keep {
                put(&mut block, at, &bytes[at - 16..at - 16 + size]);
            }
        }
        let block = if signed { sealed(block) } else { block };
        match PfnInfo::parse(&block, base, len) {
            Ok(None) => prop_assert!(false, "the signature is there"),
            Ok(Some(info)) => {
                prop_assert!(info.data_offset >= 8192 && info.data_len > 0);
                prop_assert!(info.data_offset % 4096 == 0 && info.data_len % 4096 == 0);
                prop_assert!(info.data_offset.checked_add(info.data_len).is_some_and(|end| end <= len));
                prop_assert!(!info.to_string().contains('\n'));
            }
            Err(error) => prop_assert!(!error.to_string().contains('\n')),
        }
    }
}
