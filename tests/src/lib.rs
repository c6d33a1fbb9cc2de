//! The test kit: virtual machines that a test talks to as a user would, over `./qemu-run.sh`.
//!
//! | file | what it holds |
//! |---|---|
//! | [`image`] | file systems made by mke2fs and judged by e2fsck and debugfs |
//! | [`run`] | one `--exec` run: script in; output, errors and exit status out |
//! | [`vm`] | a machine on a serial line: send, expect, power cut |
//!
//! Every machine has an image and a folder of its own. Nothing here trusts QEMU's exit status 0 (a triple
//! fault gives it): success is what the guest said *and* what `qemu-run.sh` returned *and*, where an image
//! was written, what e2fsck finds.

pub mod image;
pub mod run;
pub mod vm;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the root of the checkout that is tested. Cargo says where that is now: a copy of a tree comes
/// with what was compiled in the original.
pub fn root() -> PathBuf {
    let now = std::env::var("CARGO_MANIFEST_DIR");
    let package = Path::new(now.as_deref().unwrap_or(env!("CARGO_MANIFEST_DIR")));
    let is_root = |folder: &&Path| folder.join("qemu-run.sh").is_file();
    package.ancestors().find(is_root).expect("a package of the checkout").to_path_buf()
}

/// Returns where `compiled`, a path in the checkout that this was compiled in, is in the one that is tested.
pub fn here(compiled: &str) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    match original.map(|root| Path::new(compiled).strip_prefix(root)) {
        Some(Ok(inside)) => root().join(inside),
        _ => compiled.into(),
    }
}

/// Returns every Rust source of the checkout: the path from its root, and the text.
pub fn sources() -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the checkout") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default();
            let is_hidden = name == "target" || name.as_encoded_bytes().starts_with(b".");
            if path.is_dir() && !is_hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((shown, std::fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    found.sort();
    found
}

/// Returns the folder that everything is built in.
pub fn build_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Returns whether root runs the tests: some then take on the part of an ordinary user, others can mount.
pub fn root_runs_this() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// Says that the test which calls this shows nothing here, and why: `./test.sh` counts it as skipped, not as
/// passed.
pub fn skip(why: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    eprint!("skipped: {line}");
    if let Some(list) = std::env::var_os("DAXIOM_SKIPPED") {
        let list = std::fs::File::options().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("the list of what is skipped");
    }
}

/// `./qemu-run.sh`, from the root of the checkout.
fn qemu_run() -> Command {
    let mut command = Command::new(root().join("qemu-run.sh"));
    command.current_dir(root());
    command
}
