//! The explorer's own tests, in one program.

mod campaign;
mod found;
mod model;
mod mutants;
mod reduction;
mod runs;
mod show;

/// A file that is not in the list above would never run.
#[test]
fn every_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("this folder") {
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
