//! What goes wrong around the machine: disks that are full, directories of others, KVM that is none, panics
//! and time-outs. Each is one clear line, its detail, and the status that the help promises.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tests::image::Image;
use tests::run::QemuRun;
use tests::{build_directory, root, root_runs_this};

const MIB: u64 = 1 << 20;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `./qemu-run.sh` with a file system of `size` at `place` that no other process sees. None, and a word,
/// where that takes rights we have not.
fn with_disk(place: &Path, size: &str, before: &str, arguments: &str) -> Option<Output> {
    let mut command = Command::new("unshare");
    command.args(if root_runs_this() { &["-m"][..] } else { &["-rm"] });
    let script = format!(
        "mount -t tmpfs -o size={size} none \"$0\" || exit 77; {before}; exec ./qemu-run.sh --no-build --timeout 200 {arguments}"
    );
    let output =
        command.args(["bash", "-c", &script]).arg(place).current_dir(root()).output().expect("unshare");
    if output.status.code() == Some(77) || stderr(&output).starts_with("unshare:") {
        eprintln!("skipped: mounting takes root or a user namespace: {}", stderr(&output));
        return None;
    }
    Some(output)
}

#[test]
fn a_full_disk_under_a_sparse_image_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = "truncate -s 64M \"$0/image\"; mke2fs -qF -t ext2 -b 4096 \"$0/image\"";
    let arguments = "--pmem \"$0/image\" --exec \"io -f -c 'pwrite -q 0 32m' big\"";
    let Some(output) = with_disk(folder.path(), "6m", before, arguments) else { return };
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    let line = format!("qemu-run.sh: {0}/image: the disk under it is full ({0}), ", folder.path().display());
    assert!(text.starts_with(&line) && text.lines().count() == 1, "{text}");
}

#[test]
fn a_full_temporary_directory_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = "head -c 2M /dev/zero >\"$0/fill\" 2>/dev/null; export TMPDIR=$0";
    let Some(output) = with_disk(folder.path(), "1m", before, "--pmem none --exec true") else { return };
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    let line = format!("qemu-run.sh: {}: no space left there for temporary files", folder.path().display());
    assert!(text.starts_with(&line) && text.lines().count() == 1, "{text}");
}

#[test]
fn a_temporary_directory_that_fills_up_with_the_sample_files_is_named() {
    let (folder, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::write(target.path().join("daxiom-bios.img"), "").expect("a file");
    // QEMU may be one that was unpacked.
    std::os::unix::fs::symlink(build_directory().join("tools"), target.path().join("tools")).expect("a link");
    let before = format!("export TMPDIR=$0 CARGO_TARGET_DIR='{}'", target.path().display());
    let Some(output) = with_disk(folder.path(), "512k", &before, "--exec true") else { return };
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    let line = format!("qemu-run.sh: {}: no space left there for temporary files", folder.path().display());
    assert!(text.lines().last().is_some_and(|last| last.starts_with(&line)), "{text}");
    assert!(!target.path().join("pmem.img").exists(), "half an image was taken for one");
}

#[test]
fn a_temporary_directory_that_is_not_there_is_named() {
    let output = Command::new(root().join("qemu-run.sh"))
        .args(["--no-build", "--pmem", "none", "--exec", "true"])
        .env("TMPDIR", "/nonexistent")
        .output()
        .expect("qemu-run.sh starts");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.starts_with("qemu-run.sh: /nonexistent: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn a_build_directory_of_another_user_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let parts = ["qemu-run.sh", "test.sh", "scripts"].map(|name| root().join(name));
    let copied = Command::new("cp").arg("-r").args(parts).arg(folder.path()).status();
    assert!(copied.expect("cp").success());
    // Everybody's own is made, and a part of it is root's: as after one run with sudo.
    let root_run = root_runs_this();
    let target = if root_run { folder.path().join("target") } else { "/usr/lib".into() };
    if root_run {
        fs::create_dir_all(target.join("debug")).expect("a folder");
        fs::set_permissions(&target, fs::Permissions::from_mode(0o777)).expect("ours");
    }
    for line in [&["./qemu-run.sh", "--pmem", "none", "--exec", "true"] as &[&str], &["./test.sh", "--fast"]]
    {
        let mut command = if root_run {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).args(line);
            command
        } else {
            let mut command = Command::new(line[0]);
            command.args(&line[1..]);
            command
        };
        let output =
            command.current_dir(folder.path()).env("CARGO_TARGET_DIR", &target).output().expect("it starts");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{text}");
        assert!(text.contains("belongs to root, and ") && text.contains("CARGO_TARGET_DIR"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// Either KVM is the processor's own and the machine runs, or that it is not is told within seconds.
#[test]
fn kvm_works_or_is_said_not_to() {
    if fs::OpenOptions::new().write(true).open("/dev/kvm").is_err() {
        let line = QemuRun::new("echo hello").args(["--accel", "kvm"]).fails(125);
        assert_eq!(line, "qemu-run.sh: --accel kvm: /dev/kvm is not there or not writable");
        return;
    }
    let outcome = QemuRun::new("echo hello").args(["--pmem", "none", "--accel", "kvm"]).outcome();
    if outcome.status == 0 {
        assert_eq!(outcome.text(), "hello\n");
    } else {
        let begins = "qemu-run.sh: --accel kvm: KVM is not usable here: ";
        assert!(outcome.status == 125 && outcome.stderr.starts_with(begins), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

/// On a terminal the machine has only addresses; their names come when it has ended.
#[test]
fn a_panic_in_the_shell_gets_its_names_at_the_end() {
    let image = Image::ext2(16 * MIB);
    let mut child = Command::new(root().join("qemu-run.sh"))
        .args(["--no-build", "--timeout", "200", "--pmem"])
        .arg(image.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("qemu-run.sh starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains("daxiom:/# ") {
        let count = stdout.read(&mut buffer).expect("the console");
        assert!(count > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend(&buffer[..count]);
    }
    stdin.write_all(b"crash panic\r").and_then(|()| stdin.flush()).expect("the machine listens");
    std::io::copy(&mut stdout, &mut seen).expect("the console");
    let output = child.wait_with_output().expect("our child");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(101), "{text}");
    assert!(text.contains("backtrace:\n") && text.contains(" base::crash::trigger"), "{text}");
}
