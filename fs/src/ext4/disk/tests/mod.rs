//! Decoders on structures made by hand, damaged in every way, and on what mke2fs and e2fsck make.

mod extent;
mod htree;
mod image;

use crate::error::{Error, Result};

/// Bytes in a block of the structures made by hand.
const BLOCK: usize = 1024;

/// Stores `value` at `at`.
fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// Why an image was refused as corrupt.
fn why<T>(result: Result<T>) -> Option<&'static str> {
    match result {
        Err(Error::Corrupt(corrupt)) => Some(corrupt.why),
        _ => None,
    }
}
