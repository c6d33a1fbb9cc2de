//! The tests in QEMU and of the scripts, in one program: `./test.sh mmap::` runs tests/mmap.rs alone.

mod bad;
mod bench;
mod boot;
mod build;
mod cited;
mod comments;
mod data;
mod device;
mod errors;
mod exec;
mod exercise;
mod freeze;
mod fsdax;
mod fsx;
mod language;
mod layers;
mod mce;
mod mmap;
mod mount;
mod nfit;
mod paths;
mod poison;
mod race;
mod readme;
mod replay;
mod setup;
mod shell;
mod smp;
mod suite;
mod trace;

/// A file that is not in the list above would never run.
#[test]
fn every_file_is_listed() {
    let listed = include_str!("main.rs");
    for entry in std::fs::read_dir(tests::root().join("tests/tests")).expect("this folder") {
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
