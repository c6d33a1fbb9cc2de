//! Numbers as `xfs_io` reads them: decimal, `0x` hexadecimal or leading-zero octal, with at most one suffix
//! letter.
//!
//! | suffix (either case) | times |
//! |---|---|
//! | `b` | the file system's block size |
//! | `s` | the sector size |
//! | `k` `m` `g` `t` `p` `e` | 2^10, 2^20, 2^30, 2^40, 2^50, 2^60 |
//!
//! In a hexadecimal number `b` and `e` are digits. Unlike `xfs_io`, a result that does not fit is an error
//! and not a wrapped number, and blanks or signs in front are refused where no sign makes sense.
//!
//! Reference: xfs_io(8), "NUMERIC PARAMETERS"; the suffixes as its `cvtnum` takes them.

use core::fmt;

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// There is no number at the start, or a digit does not belong to its base (`09`, `0x`).
    NotANumber,
    /// What follows the number is not one of the suffixes; also `b` or `s` where there is no block or sector
    /// size.
    UnknownSuffix(char),
    /// There is more after the suffix (`4kb`).
    AfterSuffix(char),
    /// The value needs more than 64 bits (63 for a signed one).
    Overflow,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANumber => write!(f, "not a number"),
            Self::UnknownSuffix(c) => write!(f, "unknown suffix '{}'", c.escape_debug()),
            Self::AfterSuffix(c) => write!(f, "'{}' after the suffix", c.escape_debug()),
            Self::Overflow => write!(f, "number too large"),
        }
    }
}

impl core::error::Error for SizeError {}

/// Reads a size or an offset, in bytes. A `block_size` or `sector_size` of 0 means there is none: its suffix
/// is then unknown.
///
/// # Errors
/// What of the text is no size.
pub fn parse(text: &str, block_size: u64, sector_size: u64) -> Result<u64, SizeError> {
    let (base, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..).unwrap_or_default()),
        [b'0', b'0'..=b'9', ..] => (8, text.get(1..).unwrap_or_default()),
        _ => (10, text),
    };
    // Decimal digits all belong to the number, so that `09` is a bad octal and not 0 with the suffix '9'.
    let mut rest = digits.chars();
    let mut value: Option<u64> = Some(0);
    let mut count = 0;
    let suffix = loop {
        let Some(c) = rest.next() else { break None };
        let Some(digit) = c.to_digit(base.max(10)) else { break Some(c) };
        if digit >= base {
            return Err(SizeError::NotANumber);
        }
        value = value.and_then(|v| v.checked_mul(base.into())?.checked_add(digit.into()));
        count += 1;
    };
    if count == 0 {
        return Err(SizeError::NotANumber);
    }
    let unit = match suffix.map(|c| (c, c.to_ascii_lowercase())) {
        None => 1,
        Some((_, 'b')) if block_size != 0 => block_size,
        Some((_, 's')) if sector_size != 0 => sector_size,
        Some((_, 'k')) => 1 << 10,
        Some((_, 'm')) => 1 << 20,
        Some((_, 'g')) => 1 << 30,
        Some((_, 't')) => 1 << 40,
        Some((_, 'p')) => 1 << 50,
        Some((_, 'e')) => 1 << 60,
        Some((c, _)) => return Err(SizeError::UnknownSuffix(c)),
    };
    // The form is judged before the magnitude: a text that is no size at all is never called too large.
    match rest.next() {
        Some(c) => Err(SizeError::AfterSuffix(c)),
        None => value.and_then(|v| v.checked_mul(unit)).ok_or(SizeError::Overflow),
    }
}

/// Reads a distance in bytes, with an optional sign: `-4k`, `+1b`, `512`.
///
/// # Errors
/// Those of [`parse`].
pub fn parse_signed(text: &str, block_size: u64, sector_size: u64) -> Result<i64, SizeError> {
    match SizeChange::parse(text, block_size, sector_size)? {
        SizeChange::To(n) | SizeChange::Grow(n) => i64::try_from(n).map_err(|_| SizeError::Overflow),
        SizeChange::Shrink(n) => 0i64.checked_sub_unsigned(n).ok_or(SizeError::Overflow),
    }
}

/// A new length, absolute or relative to the present one, as `truncate -s` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeChange {
    /// `4k`: to this many bytes.
    To(u64),
    /// `+4k`: longer by this many bytes.
    Grow(u64),
    /// `-4k`: shorter by this many bytes, down to empty.
    Shrink(u64),
}

impl SizeChange {
    /// Reads a length with an optional sign. The sizes are those of [`parse`].
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn parse(text: &str, block_size: u64, sector_size: u64) -> Result<Self, SizeError> {
        let size = |text| parse(text, block_size, sector_size);
        if let Some(text) = text.strip_prefix('+') {
            size(text).map(Self::Grow)
        } else if let Some(text) = text.strip_prefix('-') {
            size(text).map(Self::Shrink)
        } else {
            size(text).map(Self::To)
        }
    }

    /// Returns the length, in bytes, that something `current` bytes long gets. `None` if it would need more
    /// than 64 bits.
    pub fn apply(self, current: u64) -> Option<u64> {
        match self {
            Self::To(n) => Some(n),
            Self::Grow(n) => current.checked_add(n),
            Self::Shrink(n) => Some(current.saturating_sub(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SizeError::*;
    use super::*;

    fn size(text: &str) -> Result<u64, SizeError> {
        parse(text, 4096, 512)
    }

    #[test]
    fn bases_are_those_of_strtoll() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("0x10"), Ok(16));
        assert_eq!(size("0XfF"), Ok(255));
        assert_eq!(size("010"), Ok(8));
        assert_eq!(size("00"), Ok(0));
        assert_eq!(size("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn every_suffix_in_both_cases() {
        for (text, value) in [
            ("2b", 8192),
            ("2B", 8192),
            ("3s", 1536),
            ("3S", 1536),
            ("1k", 1 << 10),
            ("1K", 1 << 10),
            ("1m", 1 << 20),
            ("1G", 1 << 30),
            ("1t", 1 << 40),
            ("1P", 1 << 50),
            ("1e", 1 << 60),
            ("0k", 0),
            ("010k", 8192),
            ("0x10k", 16384),
        ] {
            assert_eq!(size(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn hexadecimal_digits_win_over_suffixes() {
        assert_eq!(size("0x1b"), Ok(0x1b));
        assert_eq!(size("0x1e"), Ok(0x1e));
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        for text in ["", "k", "-1", "+1", " 1", "x", "08", "0x", "0xk", "é"] {
            assert_eq!(size(text), Err(NotANumber), "{text:?}");
        }
        assert_eq!(size("1q"), Err(UnknownSuffix('q')));
        assert_eq!(size("1é"), Err(UnknownSuffix('é')));
        assert_eq!(size("1 "), Err(UnknownSuffix(' ')));
        assert_eq!(size("4kb"), Err(AfterSuffix('b')));
        assert_eq!(size("99999999999999999999q"), Err(UnknownSuffix('q')));
        for text in ["18446744073709551616", "16e", "0x10000000000000000", "17592186044416m"] {
            assert_eq!(size(text), Err(Overflow), "{text}");
        }
    }

    #[test]
    fn without_a_block_size_b_is_unknown() {
        assert_eq!(parse("1b", 0, 512), Err(UnknownSuffix('b')));
        assert_eq!(parse("1S", 4096, 0), Err(UnknownSuffix('S')));
    }

    #[test]
    fn signed_sizes_reach_both_ends_of_i64() {
        assert_eq!(parse_signed("-4k", 0, 0), Ok(-4096));
        assert_eq!(parse_signed("+1s", 0, 512), Ok(512));
        assert_eq!(parse_signed("-8e", 0, 0), Ok(i64::MIN));
        assert_eq!(parse_signed("8e", 0, 0), Err(Overflow));
        assert_eq!(parse_signed("-9e", 0, 0), Err(Overflow));
        assert_eq!(parse_signed("--1", 0, 0), Err(NotANumber));
        assert_eq!(parse_signed("-", 0, 0), Err(NotANumber));
    }

    #[test]
    fn changes_apply_without_wrapping() {
        let change = |text, current| SizeChange::parse(text, 4096, 512).unwrap().apply(current);
        assert_eq!(change("1k", 7), Some(1024));
        assert_eq!(change("+1", 7), Some(8));
        assert_eq!(change("-1k", 7), Some(0));
        assert_eq!(change("-1", 7), Some(6));
        assert_eq!(change("+1", u64::MAX), None);
    }
}
