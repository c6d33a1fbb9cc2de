//! What is on the disk, decoded and checked. Nothing here knows a mounted
//! file system: bytes come through [`Load`](crate::ext::load::Load), of the region or of a copy.
//!
//! | file | what it holds |
//! |---|---|
//! | `hash` | the hashes of names that order an indexed directory |

pub(crate) mod hash;
