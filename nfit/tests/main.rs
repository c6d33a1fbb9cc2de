//! The tests of `nfit`, in one program.

mod common;
mod hostile;
mod pfn;
mod qemu;
mod regions;
mod structures;

/// A file that is not in the list above would never run.
#[test]
fn every_file_is_listed() {
    let listed = include_str!("main.rs");
    let now = std::env::var("CARGO_MANIFEST_DIR");
    let package = std::path::Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR")));
    for entry in std::fs::read_dir(package.join("tests")).expect("this folder") {
        let path = entry.expect("a file").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
        let source =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("mod.rs").exists();
        assert!(
            !source || name == "main" || listed.contains(&format!("\nmod {name};")),
            "{}",
            path.display()
        );
    }
}
