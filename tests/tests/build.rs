//! What is built, and how much of it: the image that a BIOS reads, a copied tree, the line that tells how far
//! it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::root;

/// Each MiB costs a tenth of a second at every start in QEMU.
const MOST_OF_THE_IMAGE: usize = 7 << 19;
const SECTOR: usize = 512;

fn le32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

fn bash(script: &str) -> Output {
    Command::new("bash").args(["-c", script]).current_dir(root()).output().expect("bash runs")
}

/// The builds of `side_by_side`, here by two that only say what cargo says.
/// Two builds, which take until what is said of them has been said: TOLD finds that.
const BUILDS: &str = r"
    set -euo pipefail; program=test; . scripts/setup.sh; . scripts/progress.sh
    until_told() { until TOLD; do sleep 0.1; done; }
    one() { printf '    Building [==>  ] 6/45: core, base\r'; until_told; }
    two() { printf 'stage 2/4\n    Building [=>  ] 3/9: byteorder\r'; until_told; FAIL; }
    side_by_side 'building for a test' kernel one loader two
    echo failed: $failed
";

#[test]
fn the_bios_reads_a_small_image_with_a_kernel_without_names() {
    let image = fs::read(target().join("daxiom-bios.img")).expect("the image");
    assert!(image.len() <= MOST_OF_THE_IMAGE, "{} bytes", image.len());
    let partition = |number: usize| {
        let entry = &image[446 + 16 * number..][..16];
        &image[le32(entry, 8) * SECTOR..][..le32(entry, 12) * SECTOR]
    };
    // Stage 2 without the empty rest of its memory.
    assert!(partition(0).len() <= 64 * 1024, "stage 2: {} bytes", partition(0).len());
    // Clusters as large as may be, one sector of names: stage 2 reads both again and again.
    let fat = partition(1);
    assert_eq!(fat[13], 64, "sectors in a cluster");
    assert_eq!(u16::from_le_bytes([fat[17], fat[18]]), 16, "names in the root folder");
    let fat = fatfs::FileSystem::new(Cursor::new(fat.to_vec()), fatfs::FsOptions::new()).expect("FAT");
    let mut kernel = Vec::new();
    fat.root_dir()
        .open_file("kernel-x86_64")
        .expect("the kernel")
        .read_to_end(&mut kernel)
        .expect("readable");
    assert!(kernel.starts_with(b"\x7fELF"));
    let short = |at: usize| usize::from(u16::from_le_bytes([kernel[at], kernel[at + 1]]));
    let sections = u64::from_le_bytes(kernel[40..48].try_into().expect("8 bytes")) as usize;
    for number in 0..short(60) {
        const SYMTAB: usize = 2;
        assert_ne!(le32(&kernel, sections + number * short(58) + 4), SYMTAB, "section {number} holds names");
    }
    let names = |bytes: &[u8]| bytes.windows(11).any(|window| window == b".debug_line");
    assert!(!names(&kernel), "line numbers");
    let elf = fs::read(target().join("x86_64-unknown-none/release/kernel")).expect("the ELF file");
    assert!(names(&elf), "the file beside it has them");
}

/// In a copy all files are new, and lie somewhere else.
#[test]
fn a_copied_tree_is_not_built_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("a copy");
    let (from, to) = (root(), copy.display());
    let script = format!(
        "set -e; mkdir -p '{to}/target'; cd '{}'; tar --exclude=./target --exclude=./.git -cf - . | tar -xf - -C '{to}'
         cd '{}'; [ ! -d tools ] || ln -s \"$PWD/tools\" '{to}/target/tools'; mkdir '{to}/target/x86_64-unknown-none'; cp -r x86_64-unknown-none/release '{to}/target/x86_64-unknown-none'
         cp -r loader release daxiom-bios.img daxiom-bios.img.stamp .place '{to}/target'
         rm -rf '{to}'/target/x86_64-unknown-none/release/incremental",
        from.display(),
        target().display()
    );
    let copied = bash(&script);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    products(&copy.join("target"), &mut before);
    assert!(before.len() > 50, "{before:#?}");
    let built = Command::new(copy.join("scripts/build.sh"))
        .env_remove("CARGO_TARGET_DIR")
        .env("DAXIOM_INSTALL", "no")
        .output()
        .expect("scripts/build.sh runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    products(&copy.join("target"), &mut after);
    // What is built again is a new file in the old one's place.
    after.retain(|path, inode| before.get(path) != Some(inode));
    assert!(after.is_empty(), "built again: {after:#?}");
}

/// Libraries and images below a folder, with their inode numbers.
fn products(folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, data) = (entry.path(), entry.metadata().expect("there"));
        if data.is_dir() {
            products(&path, found);
        } else if ["rlib", "rmeta", "img"].iter().any(|ending| path.extension().is_some_and(|e| e == *ending))
        {
            found.insert(path, data.ino());
        }
    }
}

#[test]
fn a_terminal_is_shown_how_far_the_build_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let [file, shown] = ["builds", "shown"].map(|name| folder.path().join(name));
    let line = "6 of 45: core, base | loader 2/4 3 of 9: byteorder";
    let told = format!("grep -qF '{line}' '{}'", shown.display());
    fs::write(&file, BUILDS.replace("TOLD", &told).replace("FAIL", "true")).expect("written");
    let output = bash(&format!("TERM=xterm script -qfec 'bash {}' '{}'", file.display(), shown.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\rbuilding ") && text.contains(line), "{text:?}");
    assert!(text.contains("\r\u{1b}[Kfailed:\r\n"), "the line is gone at the end: {text:?}");
}

/// Runs the two builds elsewhere than on a terminal; the second ends with `end`.
fn builds(end: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let told = folder.path().join("told");
    let script = BUILDS.replace("TOLD", &format!("[[ -s '{}' ]]", told.display())).replace("FAIL", end);
    let mut output = bash(&format!("exec 2>'{}'\n{script}", told.display()));
    output.stderr = fs::read(&told).expect("what was told");
    output
}

#[test]
fn elsewhere_one_line_tells_of_the_build_and_errors_are_shown_whole() {
    let output = builds("printf 'error: no such thing\\n --> here\\n'; false");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "failed: loader\n");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told, "test: build: building for a test\nerror: no such thing\n --> here\n");
    // A warning of ours is shown, cargo's of the font that scripts/loader.sh puts in a place of its own is
    // not.
    let font = "warning: patch `noto-sans-mono-bitmap v0.1.6 (here)` was not used in the crate graph\\nhelp: Check that \
                the patched package version and\\n      a\\n      b\\n      c\\nwarning: unused\\n --> there\\n";
    let output = builds(&format!("printf '{font}'"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told, "test: build: building for a test\nwarning: unused\n --> there\n");
}

#[test]
fn ctrl_c_ends_the_compilers_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = r"
        set -euo pipefail; program=test; . scripts/setup.sh; . scripts/progress.sh
        one() { bash -c 'sleep 300; true'; }
        two() { touch $0/begun; sleep 300; }
        (side_by_side 'building for a test' kernel one loader two)
    ";
    // Whoever runs the tests in the background has them ignore the signal, which bash cannot undo.
    let mut build = Command::new("env")
        .args(["--default-signal=INT", "bash", "-c", script])
        .arg(folder.path())
        .current_dir(root())
        .env("TMPDIR", folder.path())
        .process_group(0)
        .spawn()
        .expect("bash runs");
    let begun = folder.path().join("begun");
    while !begun.exists() {
        assert!(build.try_wait().expect("our child").is_none(), "it ended before it began");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let group = nix::unistd::Pid::from_raw(build.id().cast_signed());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).expect("it runs");
    assert_eq!(build.wait().expect("our child").code(), Some(130));
    fs::remove_file(begun).expect("there");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(left.is_empty(), "temporary files: {left:?}");
    let mine = format!("TMPDIR={}", folder.path().display());
    let lives = || {
        fs::read_dir("/proc").expect("/proc").flatten().map(|process| process.path()).find(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mine.as_bytes())
        })
    };
    // They were sent a signal; a busy machine takes its time to deliver it to all.
    for _ in 0..600 {
        if lives().is_none() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("a process lives on: {:?}", lives());
}
