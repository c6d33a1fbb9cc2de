//! The base images: made by images.sh, kept in runs, as most of their bytes are alike.
//!
//! A run is a number and a byte: `n << 1` stands for `n` times the byte that follows, `n << 1 | 1` for the
//! `n` bytes that follow. The number has 7 bits in a byte, lowest first; the top bit says that more come.

/// Number, name and packed bytes of each. A number is for ever: committed inputs name it.
const IMAGES: [(&str, &[u8]); 8] = [
    ("b4k", include_bytes!("../images/b4k.pack")),
    ("b1k", include_bytes!("../images/b1k.pack")),
    ("b2k", include_bytes!("../images/b2k.pack")),
    ("meta_bg", include_bytes!("../images/meta_bg.pack")),
    ("rev0", include_bytes!("../images/rev0.pack")),
    ("index", include_bytes!("../images/index.pack")),
    ("journal", include_bytes!("../images/journal.pack")),
    ("unclean", include_bytes!("../images/unclean.pack")),
];

/// How many there are.
pub const COUNT: u8 = IMAGES.len() as u8;

/// Returns the name of image `number`.
pub fn name(number: u8) -> &'static str {
    IMAGES[usize::from(number)].0
}

/// Unpacks the bytes of image `number`.
pub fn unpack(number: u8) -> Vec<u8> {
    let mut left = IMAGES[usize::from(number)].1;
    let mut bytes = Vec::new();
    while !left.is_empty() {
        let (mut head, mut shift) = (0, 0);
        loop {
            let (byte, rest) = left.split_first().expect("a committed image is whole");
            left = rest;
            head |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let (run, taken) = if head & 1 == 0 {
            (vec![left[0]; head >> 1], 1)
        } else {
            (left[..head >> 1].to_vec(), head >> 1)
        };
        bytes.extend(run);
        left = &left[taken..];
    }
    bytes
}

/// Packs the bytes of an image.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    /// A shorter run of one byte is cheaper among the others.
    const WORTH: usize = 4;
    fn number(to: &mut Vec<u8>, mut value: usize) {
        while value >= 0x80 {
            to.push(value as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }
    fn literal(to: &mut Vec<u8>, bytes: &[u8]) {
        if !bytes.is_empty() {
            number(to, bytes.len() << 1 | 1);
            to.extend(bytes);
        }
    }
    let (mut packed, mut at, mut start) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let same = bytes[at..].iter().take_while(|&&byte| byte == bytes[at]).count();
        if same >= WORTH {
            literal(&mut packed, &bytes[start..at]);
            number(&mut packed, same << 1);
            packed.push(bytes[at]);
            start = at + same;
        }
        at += same;
    }
    literal(&mut packed, &bytes[start..]);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_packs_into_what_is_committed() {
        for (number, (name, packed)) in IMAGES.iter().enumerate() {
            let bytes = unpack(number as u8);
            assert!(bytes.len() >= 1 << 19, "{name}");
            assert!(pack(&bytes) == *packed, "{name}");
        }
    }
}
