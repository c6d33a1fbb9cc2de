//! Little-endian reading with bounds checks. Whoever reads past the end learns how many bytes it
//! would have taken.
//!
//! All integers of ACPI tables are little-endian (ACPI 6.5, section 5.2.1) and lie at any
//! alignment.

/// A structure was shorter than what had to be read: it needs at least this many bytes, counted
/// from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs(pub(crate) usize);

/// Returns the `N` bytes at `offset`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Needs> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>());
    found.copied().ok_or(Needs(offset.saturating_add(N)))
}

pub(crate) fn u8_at(bytes: &[u8], offset: usize) -> Result<u8, Needs> {
    array_at(bytes, offset).map(u8::from_le_bytes)
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Needs> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Needs> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Result<u64, Needs> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// Fails unless `bytes` holds `needed` bytes: decoders say so first, so that the error names the
/// whole need and not the first field that was missing.
pub(crate) fn at_least(bytes: &[u8], needed: usize) -> Result<(), Needs> {
    if bytes.len() < needed { Err(Needs(needed)) } else { Ok(()) }
}

/// Returns `count` entries of `size` bytes that begin at `offset`.
pub(crate) fn entries(bytes: &[u8], offset: usize, count: usize, size: usize) -> Result<&[u8], Needs> {
    let end = count.saturating_mul(size).saturating_add(offset);
    bytes.get(offset..end).ok_or(Needs(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_says_what_is_needed() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u8_at(&bytes, 7), Ok(8));
        assert_eq!(u16_at(&bytes, 1), Ok(0x0302));
        assert_eq!(u32_at(&bytes, 4), Ok(0x0807_0605));
        assert_eq!(u64_at(&bytes, 0), Ok(0x0807_0605_0403_0201));
        assert_eq!(u8_at(&bytes, 8), Err(Needs(9)));
        assert_eq!(u64_at(&bytes, 1), Err(Needs(9)));
        assert_eq!(u64_at(&bytes, usize::MAX), Err(Needs(usize::MAX)));
    }

    #[test]
    fn a_huge_count_of_entries_does_not_wrap() {
        let bytes = [0; 32];
        assert_eq!(entries(&bytes, 16, 2, 8).map(<[u8]>::len), Ok(16));
        assert_eq!(entries(&bytes, 16, 3, 8), Err(Needs(40)));
        assert_eq!(entries(&bytes, 16, usize::MAX, 8), Err(Needs(usize::MAX)));
    }
}
