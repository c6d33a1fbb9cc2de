//! The explorer's own tests, in one program.

mod campaign;
mod found;
mod model;
mod mutants;
mod races;
mod reduction;
mod runs;
mod show;

use std::path::{Path, PathBuf};

/// Where `compiled`, a path in the checkout that this was compiled in, is in the one that is tested: a copy
/// of a tree comes with what was built in the original.
fn here(compiled: &str) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR"));
    let now = std::env::var("CARGO_MANIFEST_DIR").map_or_else(|_| original.into(), PathBuf::from);
    let (original, now) = (original.ancestors().nth(2), now.ancestors().nth(2));
    match original.map(|root| Path::new(compiled).strip_prefix(root)) {
        Some(Ok(inside)) => now.expect("a package of the checkout").join(inside),
        _ => compiled.into(),
    }
}
