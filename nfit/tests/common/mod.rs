//! A builder of NFITs for tests: structures are appended, length and checksum come with `finish`.
//! It knows the specification's layouts by itself and shares nothing with the parser.
#![allow(dead_code, unreachable_pub)]

/// GUIDs as they lie in the table.
pub const VOLATILE: [u8; 16] = *b"\x4f\x94\x05\x73\xda\xfd\xe3\x44\xb1\x6c\x3f\x22\xd2\x52\xe5\xd0";
pub const PERSISTENT: [u8; 16] = *b"\x79\xd3\xf0\x66\xf3\xb4\x74\x40\xac\x43\x0d\x33\x18\xb7\x8c\xdb";
pub const PERSISTENT_DISK: [u8; 16] = *b"\xc9\x02\xea\x5c\x07\x4d\xd3\x69\x26\x9f\x44\x96\xfb\xe0\x96\xf9";

/// Offset of the first structure, and lengths of the structures of fixed length.
pub const HEADER: usize = 40;
pub const SPA: usize = 56;
pub const MAPPING: usize = 48;

pub const GIB: u64 = 1 << 30;

#[derive(Clone)]
pub struct Table(Vec<u8>);

/// Sets length and checksum of a table, whatever else is in it.
pub fn fix_up(bytes: &mut [u8]) {
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    fix_checksum(bytes);
}

pub fn fix_checksum(bytes: &mut [u8]) {
    bytes[9] = 0;
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
}

impl Table {
    pub fn new() -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(b"NFIT");
        bytes[8] = 1;
        bytes[10..16].copy_from_slice(b"DAXIOM");
        bytes[16..24].copy_from_slice(b"TEST    ");
        bytes[24..28].copy_from_slice(&7u32.to_le_bytes());
        Self(bytes)
    }

    pub fn finish(mut self) -> Vec<u8> {
        fix_up(&mut self.0);
        self.0
    }

    /// Bytes as they are, for structures that are wrong.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A structure of any type: type and length are put before `body`.
    pub fn structure(self, structure_type: u16, body: &[u8]) -> Self {
        let length = u16::try_from(body.len() + 4).unwrap();
        self.raw(&structure_type.to_le_bytes()).raw(&length.to_le_bytes()).raw(body)
    }

    /// An SPA range with flags 2, proximity domain 5 and attribute WB|NV.
    pub fn spa(self, guid: &[u8; 16], index: u16, base: u64, length: u64) -> Self {
        let mut body = [0; SPA - 4];
        body[0..2].copy_from_slice(&index.to_le_bytes());
        body[2..4].copy_from_slice(&2u16.to_le_bytes());
        body[8..12].copy_from_slice(&5u32.to_le_bytes());
        body[12..28].copy_from_slice(guid);
        body[28..36].copy_from_slice(&base.to_le_bytes());
        body[36..44].copy_from_slice(&length.to_le_bytes());
        body[44..52].copy_from_slice(&0x8008u64.to_le_bytes());
        self.structure(0, &body)
    }

    pub fn mapping(self, handle: u32, spa: u16, control: u16, interleave: u16, state: u16) -> Self {
        let mut body = [0; MAPPING - 4];
        body[0..4].copy_from_slice(&handle.to_le_bytes());
        body[4..6].copy_from_slice(&17u16.to_le_bytes());
        body[6..8].copy_from_slice(&4u16.to_le_bytes());
        body[8..10].copy_from_slice(&spa.to_le_bytes());
        body[10..12].copy_from_slice(&control.to_le_bytes());
        body[12..20].copy_from_slice(&GIB.to_le_bytes());
        body[20..28].copy_from_slice(&0x1000u64.to_le_bytes());
        body[28..36].copy_from_slice(&0x2000u64.to_le_bytes());
        body[36..38].copy_from_slice(&interleave.to_le_bytes());
        body[38..40].copy_from_slice(&1u16.to_le_bytes());
        body[40..42].copy_from_slice(&state.to_le_bytes());
        self.structure(1, &body)
    }

    pub fn interleave(self, index: u16, offsets: &[u32]) -> Self {
        let mut body = vec![0; 12];
        body[0..2].copy_from_slice(&index.to_le_bytes());
        body[4..8].copy_from_slice(&u32::try_from(offsets.len()).unwrap().to_le_bytes());
        body[8..12].copy_from_slice(&256u32.to_le_bytes());
        body.extend(offsets.iter().flat_map(|offset| offset.to_le_bytes()));
        self.structure(2, &body)
    }

    /// A control region without block control windows, cut after their number.
    pub fn control(self, index: u16) -> Self {
        let mut body = [0; 28];
        for (field, value) in [index, 0x8086, 2, 3, 0x1af4, 5, 6].into_iter().enumerate() {
            body[2 * field..2 * field + 2].copy_from_slice(&value.to_le_bytes());
        }
        body[14] = 1;
        body[15] = 0x21;
        body[16..18].copy_from_slice(&0x4223u16.to_le_bytes());
        body[20..24].copy_from_slice(&0xdead_beef_u32.to_le_bytes());
        body[24..26].copy_from_slice(&0x101u16.to_le_bytes());
        self.structure(4, &body)
    }

    /// A control region with two block control windows.
    pub fn control_with_windows(self, index: u16) -> Self {
        let mut body = [0; 76];
        body[0..2].copy_from_slice(&index.to_le_bytes());
        body[26..28].copy_from_slice(&2u16.to_le_bytes());
        for (field, value) in [0x2000u64, 8, 9, 10, 11].into_iter().enumerate() {
            body[28 + 8 * field..36 + 8 * field].copy_from_slice(&value.to_le_bytes());
        }
        body[68] = 1;
        self.structure(4, &body)
    }

    pub fn data_window(self, control: u16) -> Self {
        let mut body = [0; 36];
        body[0..2].copy_from_slice(&control.to_le_bytes());
        body[2..4].copy_from_slice(&2u16.to_le_bytes());
        for (field, value) in [0x40u64, 0x2000, GIB, 0x80].into_iter().enumerate() {
            body[4 + 8 * field..12 + 8 * field].copy_from_slice(&value.to_le_bytes());
        }
        self.structure(5, &body)
    }

    pub fn flush_hints(self, handle: u32, addresses: &[u64]) -> Self {
        let mut body = vec![0; 12];
        body[0..4].copy_from_slice(&handle.to_le_bytes());
        body[4..6].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_le_bytes());
        body.extend(addresses.iter().flat_map(|address| address.to_le_bytes()));
        self.structure(6, &body)
    }

    pub fn capabilities(self, highest: u8, bits: u32) -> Self {
        let mut body = [0; 12];
        body[0] = highest;
        body[4..8].copy_from_slice(&bits.to_le_bytes());
        self.structure(7, &body)
    }

    /// One of everything; parses and resolves.
    pub fn everything() -> Self {
        Self::new()
            .spa(&PERSISTENT, 1, 4 * GIB, GIB)
            .mapping(0x0001_2345, 1, 9, 3, 0)
            .interleave(3, &[0, 2, 4])
            .structure(3, b"\0\0\0\0smbios")
            .control(9)
            .control_with_windows(10)
            .data_window(10)
            .flush_hints(0x0001_2345, &[0xfed0_0000, 0xfed0_0040])
            .capabilities(1, 3)
            .structure(0x7777, b"whatever it is")
    }
}
