//! Printing that several structures share: fixed-width names, bit sets, sizes, address ranges.

use core::fmt::{self, Write as _};

/// A name of fixed width as ACPI headers hold names. Printed without padding (spaces, zeros) at the end;
/// bytes that are not printable ASCII are escaped, for firmware is free to put anything there and a terminal
/// would act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FixedText<const N: usize>(
    /// The bytes as they are in the table.
    pub [u8; N],
);

impl<const N: usize> fmt::Display for FixedText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name: &[u8] = &self.0;
        while let [rest @ .., b' ' | 0] = name {
            name = rest;
        }
        if name.is_empty() { f.write_char('-') } else { name.escape_ascii().fmt(f) }
    }
}

/// Writes the names of the set bits, joined with `|`; bits without a name as one hexadecimal
/// number; `none` for none.
pub(crate) fn write_bits(f: &mut fmt::Formatter<'_>, bits: u64, names: &[(u64, &str)]) -> fmt::Result {
    if bits == 0 {
        return f.write_str("none");
    }
    let (mut rest, mut separator) = (bits, "");
    for (bit, name) in names {
        if bits & bit != 0 {
            write!(f, "{separator}{name}")?;
            rest &= !bit;
            separator = "|";
        }
    }
    if rest != 0 { write!(f, "{separator}{rest:#x}") } else { Ok(()) }
}

/// A number of bytes, in the largest unit that says it exactly: `64 MiB`, `1536 KiB`, `513 B`.
pub(crate) struct ByteSize(pub(crate) u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let (mut number, mut unit) = (self.0, 0);
        while number != 0 && number % 1024 == 0 && unit + 1 < UNITS.len() {
            number /= 1024;
            unit += 1;
        }
        write!(f, "{number} {}", UNITS.get(unit).copied().unwrap_or("B"))
    }
}

/// Base and length as `0x140000000..0x180000000 (1 GiB)`; the end is not part of the range.
pub(crate) struct ByteRange(pub(crate) u64, pub(crate) u64);

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In 128 bits, so that a range that overflows is shown as it is written and not wrapped.
        let end = u128::from(self.0) + u128::from(self.1);
        write!(f, "{:#x}..{end:#x} ({})", self.0, ByteSize(self.1))
    }
}

/// An index that refers to another structure, where 0 refers to none.
pub(crate) struct StructureIndex(pub(crate) u16);

impl fmt::Display for StructureIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("none") } else { write!(f, "{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn sizes_are_exact() {
        for (bytes, text) in [
            (0, "0 B"),
            (513, "513 B"),
            (4096, "4 KiB"),
            (1536 << 10, "1536 KiB"),
            (1 << 30, "1 GiB"),
            (1 << 63, "8 EiB"),
            (u64::MAX, "18446744073709551615 B"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_range_that_overflows_is_shown_unwrapped() {
        assert_eq!(
            ByteRange(u64::MAX - 0xfff, 0x2000).to_string(),
            "0xfffffffffffff000..0x10000000000001000 (8 KiB)"
        );
    }

    #[test]
    fn names_with_control_characters_are_escaped() {
        assert_eq!(FixedText(*b"BOCHS ").to_string(), "BOCHS");
        assert_eq!(FixedText(*b"\x1b[2J\0\0").to_string(), "\\x1b[2J");
        assert_eq!(FixedText([0; 6]).to_string(), "-");
    }

    #[test]
    fn bits_without_a_name_are_shown_as_a_number() {
        struct Bits(u64);
        impl fmt::Display for Bits {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_bits(f, self.0, &[(1, "one"), (4, "four")])
            }
        }
        assert_eq!(
            format!("{} {} {} {}", Bits(0), Bits(5), Bits(0x86), Bits(2)),
            "none one|four four|0x82 0x2"
        );
    }
}
