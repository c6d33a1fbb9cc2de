//! Checksums and the hashes of names, by the definitions: one line of arithmetic after the other.

const fn table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut value, mut bit) = (byte as u32, 0);
        while bit < 8 {
            value = value >> 1 ^ if value & 1 == 1 { polynomial } else { 0 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

static CASTAGNOLI: [u32; 256] = table(0x82f6_3b78);
static CRC16: [u32; 256] = table(0xa001);

/// CRC32C from the register's value `start` on, without a final inversion.
pub(super) fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |crc, &byte| crc >> 8 ^ CASTAGNOLI[usize::from(crc as u8 ^ byte)])
}

/// CRC16 (that of `gdt_csum`) from the register's value `start` on.
pub(super) fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(u32::from(start), |crc, &byte| crc >> 8 ^ CRC16[usize::from(crc as u8 ^ byte)]) as u16
}

/// How a directory's names are hashed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashing {
    /// 0 legacy, 1 half MD4, 2 TEA.
    pub(super) version: u8,
    /// Bytes from 0x80 on are not negative.
    pub(super) unsigned: bool,
    /// `s_hash_seed`.
    pub(super) seed: [u32; 4],
}

impl Hashing {
    /// The hash and the minor hash of a name.
    pub(super) fn of(self, name: &[u8]) -> (u32, u32) {
        let initial = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        let mut state = if self.seed == [0; 4] { initial } else { self.seed };
        let (hash, minor) = match self.version {
            0 => (self.legacy(name), 0),
            1 => {
                for at in (0..name.len()).step_by(32) {
                    half_md4(&mut state, self.words(&name[at..]));
                }
                (state[1], state[2])
            }
            _ => {
                for at in (0..name.len()).step_by(16) {
                    tea(&mut state, self.words(&name[at..]));
                }
                (state[0], state[1])
            }
        };
        let hash = hash & !1;
        (if hash == 0xffff_fffe { 0xffff_fffc } else { hash }, minor)
    }

    fn byte(self, byte: u8) -> u32 {
        if self.unsigned { byte.into() } else { byte as i8 as u32 }
    }

    /// The next `N` words of a name, of which `rest` is left.
    fn words<const N: usize>(self, rest: &[u8]) -> [u32; N] {
        let pad = rest.len() as u32 * 0x0101_0101;
        std::array::from_fn(|word| {
            let bytes = rest.iter().skip(word * 4).take(4);
            bytes.fold(pad, |value, &byte| (value << 8).wrapping_add(self.byte(byte)))
        })
    }

    fn legacy(self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for &byte in name {
            let mut next = before.wrapping_add(last ^ self.byte(byte).wrapping_mul(7_152_373));
            if next & 0x8000_0000 != 0 {
                next = next.wrapping_sub(0x7fff_ffff);
            }
            (before, last) = (last, next);
        }
        last << 1
    }
}

fn half_md4(state: &mut [u32; 4], words: [u32; 8]) {
    type Mix = fn(u32, u32, u32) -> u32;
    let rounds: [(Mix, u32, [u32; 4], [usize; 8]); 3] = [
        (|x, y, z| z ^ (x & (y ^ z)), 0, [3, 7, 11, 19], [0, 1, 2, 3, 4, 5, 6, 7]),
        (|x, y, z| (x & y).wrapping_add((x ^ y) & z), 0x5a82_7999, [3, 5, 9, 13], [1, 3, 5, 7, 0, 2, 4, 6]),
        (|x, y, z| x ^ y ^ z, 0x6ed9_eba1, [3, 9, 11, 15], [3, 7, 2, 6, 1, 5, 0, 4]),
    ];
    let mut now = *state;
    for (mix, constant, shifts, order) in rounds {
        for (step, word) in order.into_iter().enumerate() {
            // The four registers take turns.
            let [a, b, c, d] = std::array::from_fn(|role| (role + 4 - step % 4) % 4);
            let sum = now[a].wrapping_add(mix(now[b], now[c], now[d]));
            let sum = sum.wrapping_add(words[word]).wrapping_add(constant);
            now[a] = sum.rotate_left(shifts[step % 4]);
        }
    }
    *state = std::array::from_fn(|at| state[at].wrapping_add(now[at]));
}

fn tea(state: &mut [u32; 4], words: [u32; 4]) {
    let [a, b, c, d] = words;
    let (mut x, mut y, mut sum) = (state[0], state[1], 0u32);
    let mixed = |value: u32, sum: u32, left: u32, right: u32| {
        (value << 4).wrapping_add(left) ^ value.wrapping_add(sum) ^ (value >> 5).wrapping_add(right)
    };
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        x = x.wrapping_add(mixed(y, sum, a, b));
        y = y.wrapping_add(mixed(x, sum, c, d));
    }
    state[0] = state[0].wrapping_add(x);
    state[1] = state[1].wrapping_add(y);
}

#[test]
fn checksums_and_hashes_are_those_of_the_vectors() {
    assert_eq!(crc32c(!0, b"123456789"), 0x1cf9_6d7c);
    assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    assert_eq!(crc16(!0, b"123456789"), 0x4b37);
    let seed = [0x3322_1100, 0x7766_5544, 0xbbaa_9988, 0xffee_ddcc];
    for (version, unsigned, seed, name, hash) in [
        (1, false, [0; 4], "hello", (0x1746_da32, 0x4200_13b5)),
        (1, false, [0; 4], "a_rather_long_name_for_a_file_123456789", (0x244c_fe50, 0x941f_87b3)),
        (1, false, [0; 4], "été", (0xa69a_4d3a, 0x22ba_c128)),
        (2, false, [0; 4], "hello", (0x6f5b_b1a8, 0x2319_17c2)),
        (0, false, [0; 4], "hello", (0x3225_2546, 0)),
        (1, false, seed, "hello", (0x344c_a36e, 0x2ef1_6de2)),
        // Plain ASCII has no signs.
        (1, true, [0; 4], "hello", (0x1746_da32, 0x4200_13b5)),
    ] {
        assert_eq!(Hashing { version, unsigned, seed }.of(name.as_bytes()), hash, "{version} {name}");
    }
}
