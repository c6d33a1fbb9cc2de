//! The hashes of names that order an indexed directory.
//!
//! ```text
//! legacy    name → a byte at a time → major
//! half MD4  name → chunks of 8 words → each mixed into 4 words, as MD4 does with fewer rounds → 2nd, 3rd
//! TEA       name → chunks of 4 words → each, as a key, enciphers 2 words                      → 1st, 2nd
//! ```
//!
//! The major hash is even: the low bit of a key in the index tells that a block goes on with the hash that
//! the one before ended with. Bytes of a name are signed or not, as the processor that made the file system
//! had it; the superblock says which. The words start from its seed.
//!
//! References: RFC 1320 (MD4's functions, constants and start); Wheeler and Needham, "TEA, a Tiny Encryption
//! Algorithm" (1994).

/// `hash_version` in an index's root: the hash of the first ones.
pub(crate) const LEGACY: u8 = 0;
/// `hash_version`: what is made today.
pub(crate) const HALF_MD4: u8 = 1;
/// `hash_version`
pub(crate) const TEA: u8 = 2;

/// What `s_hash_seed` stands for if it is zero: MD4's initial words.
const NO_SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The major hash that stands for "beyond the last name"; no name has it.
const END: u32 = 0xffff_fffe;

/// A name's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    /// What the index is ordered by; even.
    pub major: u32,
    /// What orders names of the same major hash for who lists a directory by hashes. The index has none of
    /// it.
    pub minor: u32,
}

/// Returns the hash of `name`, at most 255 bytes, under `hash_version` and `s_hash_seed`; `None` for a
/// version that is not known. `unsigned` tells how `s_flags` has bytes taken.
pub(crate) fn hash(version: u8, unsigned: bool, seed: &[u32; 4], name: &[u8]) -> Option<Hash> {
    let byte = if unsigned { |byte: u8| u32::from(byte) } else { |byte: u8| byte as i8 as u32 };
    let start = if *seed == [0; 4] { NO_SEED } else { *seed };
    let (major, minor) = match version {
        LEGACY => (legacy(name, byte), 0),
        HALF_MD4 => {
            let [_, major, minor, _] = chunks(name, byte).fold(start, half_md4);
            (major, minor)
        }
        TEA => {
            let [major, minor, ..] = chunks(name, byte).fold(start, tea);
            (major, minor)
        }
        _ => return None,
    };
    let major = match major & !1 {
        END => END - 2,
        major => major,
    };
    Some(Hash { major, minor })
}

/// A name in chunks of `N` words, its bytes the high ones first. A word that is not full, and what of a chunk
/// is beyond the name, have the number of bytes that are left to hash in each byte.
fn chunks<const N: usize>(name: &[u8], byte: fn(u8) -> u32) -> impl Iterator<Item = [u32; N]> {
    let left = (0..=name.len()).rev().step_by(4 * N);
    name.chunks(4 * N).zip(left).map(move |(chunk, left)| {
        let pad = (left as u32).wrapping_mul(0x0101_0101);
        let mut words = [pad; N];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks(4)) {
            *word = bytes.iter().fold(pad, |word, &next| (word << 8).wrapping_add(byte(next)));
        }
        words
    })
}

/// In which order each round takes the words of a chunk.
const ORDER: [[usize; 8]; 3] = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 5, 7, 0, 2, 4, 6], [3, 7, 2, 6, 1, 5, 0, 4]];
/// By how many bits a step of each round rotates; the four are taken twice.
const ROTATE: [[u32; 4]; 3] = [[3, 7, 11, 19], [3, 5, 9, 13], [3, 9, 11, 15]];
/// What each round adds.
const ADD: [u32; 3] = [0, 0x5a82_7999, 0x6ed9_eba1];
/// MD4's functions: choice, majority, parity.
const MIX: [fn(u32, u32, u32) -> u32; 3] =
    [|x, y, z| (x & y) | (!x & z), |x, y, z| (x & y) | (x & z) | (y & z), |x, y, z| x ^ y ^ z];

/// Mixes a chunk into four words: three rounds of eight steps, half of MD4's.
fn half_md4(old: [u32; 4], words: [u32; 8]) -> [u32; 4] {
    let mut state = old;
    for round in 0..3 {
        for (step, word) in ORDER[round].into_iter().enumerate() {
            let [a, b, c, d] = state;
            let sum = a.wrapping_add(MIX[round](b, c, d)).wrapping_add(words[word]).wrapping_add(ADD[round]);
            state = [d, sum.rotate_left(ROTATE[round][step % 4]), b, c];
        }
    }
    core::array::from_fn(|i| old[i].wrapping_add(state[i]))
}

/// Enciphers the first two of four words with a chunk as the key, in 16 rounds.
fn tea(old: [u32; 4], [a, b, c, d]: [u32; 4]) -> [u32; 4] {
    const DELTA: u32 = 0x9e37_79b9;
    let half = |x: u32, sum: u32, high: u32, low: u32| {
        (x << 4).wrapping_add(high) ^ x.wrapping_add(sum) ^ (x >> 5).wrapping_add(low)
    };
    let ([mut x, mut y, ..], mut sum) = (old, 0u32);
    for _ in 0..16 {
        sum = sum.wrapping_add(DELTA);
        x = x.wrapping_add(half(y, sum, a, b));
        y = y.wrapping_add(half(x, sum, c, d));
    }
    [old[0].wrapping_add(x), old[1].wrapping_add(y), old[2], old[3]]
}

/// The first ones' hash. It has no seed.
fn legacy(name: &[u8], byte: fn(u8) -> u32) -> u32 {
    let (mut before, mut last) = (0x37ab_e8f9u32, 0x12a3_fe2du32);
    for &next in name {
        let mut hash = before.wrapping_add(last ^ byte(next).wrapping_mul(7_152_373));
        if hash >> 31 != 0 {
            hash = hash.wrapping_sub(0x7fff_ffff);
        }
        (before, last) = (last, hash);
    }
    last << 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: &str = "a_rather_long_name_for_a_file_123456789";
    const ZERO: [u32; 4] = [0; 4];
    /// The UUID 00112233-4455-6677-8899-aabbccddeeff, as `s_hash_seed` has it.
    const SEED: [u32; 4] = [0x3322_1100, 0x7766_5544, 0xbbaa_9988, 0xffee_ddcc];

    /// What debugfs's `dx_hash` says, version by version.
    #[test]
    fn names_have_the_hashes_that_e2fsprogs_gives_them() {
        for (version, unsigned, seed, name, major, minor) in [
            (HALF_MD4, false, ZERO, "hello", 0x1746_da32, 0x4200_13b5),
            (HALF_MD4, false, ZERO, LONG, 0x244c_fe50, 0x941f_87b3),
            (HALF_MD4, false, ZERO, "exactly_thirty_two_bytes_of_it__", 0x2625_55b2, 0x2267_6c32),
            (HALF_MD4, false, ZERO, "été", 0xa69a_4d3a, 0x22ba_c128),
            (HALF_MD4, false, SEED, "hello", 0x344c_a36e, 0x2ef1_6de2),
            (HALF_MD4, true, ZERO, "hello", 0x1746_da32, 0x4200_13b5),
            (HALF_MD4, true, ZERO, "été", 0x3eb3_5f16, 0x634a_9ed3),
            (TEA, false, ZERO, "hello", 0x6f5b_b1a8, 0x2319_17c2),
            (TEA, false, ZERO, LONG, 0x20b3_016e, 0xf393_c50d),
            (TEA, false, ZERO, "exactly16bytes__", 0x459a_5d20, 0x02f1_cafe),
            (TEA, false, ZERO, "été", 0x04d3_37a6, 0x0615_a017),
            (TEA, true, ZERO, "été", 0x2ed2_feac, 0x3a92_21a3),
            (LEGACY, false, ZERO, "hello", 0x3225_2546, 0),
            (LEGACY, false, SEED, "hello", 0x3225_2546, 0),
            (LEGACY, false, ZERO, LONG, 0xcedf_e246, 0),
            (LEGACY, false, ZERO, "été", 0x70d7_b7fc, 0),
            (LEGACY, true, ZERO, "été", 0x40d0_f40c, 0),
        ] {
            let found = hash(version, unsigned, &seed, name.as_bytes());
            assert_eq!(found, Some(Hash { major, minor }), "{version} {unsigned} {seed:x?} {name}");
        }
    }

    #[test]
    fn no_name_has_the_hash_that_means_the_end() {
        // Found by trying.
        let name = [0xe3, 0x42, 0x23, 0x1d, 0xd6, 0xcd, 0x6a, 0x9d];
        assert_eq!(legacy(&name, u32::from), END);
        let found = hash(LEGACY, true, &ZERO, &name);
        assert_eq!(found, Some(Hash { major: END - 2, minor: 0 }));
    }

    #[test]
    fn other_versions_are_not_known() {
        for version in 3..=u8::MAX {
            assert_eq!(hash(version, false, &SEED, b"hello"), None);
        }
    }

    proptest! {
        #[test]
        fn every_name_has_an_even_hash_and_the_sign_matters_to_high_bytes_alone(
            name in prop::collection::vec(any::<u8>(), 0..=255),
            seed in any::<[u32; 4]>(),
        ) {
            for version in [LEGACY, HALF_MD4, TEA] {
                let [signed, unsigned] =
                    [false, true].map(|unsigned| hash(version, unsigned, &seed, &name).unwrap());
                prop_assert_eq!(signed.major & 1, 0);
                prop_assert!(signed.major < END && unsigned.major < END);
                prop_assert!(!name.is_ascii() || signed == unsigned);
            }
        }
    }
}
