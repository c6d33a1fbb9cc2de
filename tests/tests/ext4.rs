//! ext4, as a user meets it: what is printed of it, what is mapped, what is refused. The images are those of
//! `mke2fs -t ext4 -b 4096`.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tests::image::{Image, tool};
use tests::run::{QemuRun, refusals, refusals_with};
use tests::vm::Vm;
use tests::{build_directory, root};

const MIB: u64 = 1 << 20;

/// A tree of a few files, made anew.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a folder");
    let at = |name: &str| tree.path().join(name);
    fs::create_dir_all(at("d/many")).expect("folders");
    for (name, text) in [("hello", "hello\n"), ("d/in d", "in d\n")] {
        fs::write(at(name), text).expect("a file");
    }
    for number in 0..400 {
        fs::write(at(&format!("d/many/{number}")), number.to_string()).expect("a file");
    }
    std::os::unix::fs::symlink("d/in d", at("link")).expect("a link");
    tree
}

/// 16 bytes for each line: the number of its first byte.
fn numbers(len: u64) -> Vec<u8> {
    (0..len).step_by(16).flat_map(|at| format!("{at:015}\n").into_bytes()).collect()
}

/// An image with a file `/large` of 4 MiB, whose blocks begin at a multiple of 2 MiB, in one extent; and
/// `/ahead`, whose blocks were never written.
fn with_large() -> Image {
    let make = |pad: u64| {
        let image = Image::ext4_of(64 * MIB, tree().path(), &[]);
        let content = image.folder().join("large");
        fs::write(&content, numbers(4 * MIB)).expect("a file");
        let nothing = image.folder().join("nothing");
        fs::write(&nothing, "").expect("a file");
        for name in ["pad", "ahead"] {
            image.debugfs_write(&format!("write {} {name}", nothing.display()));
        }
        if pad > 0 {
            image.debugfs_write(&format!("fallocate pad 0 {}", pad - 1));
        }
        image.debugfs_write(&format!("write {} large", content.display()));
        image.debugfs_write("fallocate ahead 0 3");
        image.debugfs_write("set_inode_field ahead size 16384");
        let start = String::from_utf8(image.debugfs("bmap large 0")).expect("text");
        (image, start.trim().parse::<u64>().expect("a block"))
    };
    let (_, start) = make(0);
    let (image, start) = make(512 - start % 512);
    assert!(start.is_multiple_of(512), "{start}");
    image.expect_clean();
    image
}

#[test]
fn what_mke2fs_made_is_listed_read_and_described() {
    let image = Image::ext4_of(64 * MIB, tree().path(), &[]);
    let before = image.digest();
    let script =
        "mount; dmesg | grep 'mounted read-only'; cat /hello /link; stat -c '%s %b %F' /hello /d; ls /d/many | wc -l
        find / -name 39*; df / | tail -n 1; cat /d/many/399; echo; echo ===; fsinfo";
    let printed = QemuRun::new(script).pmem_read_only(&image).ok();
    let (printed, info) = printed.split_once("===\n").expect("both");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[0], "pmem0 on / type ext4 (ro,protocol=read-first)");
    assert!(lines[1].ends_with("pmem0: mounted read-only: the region cannot be written"), "{printed}");
    assert_eq!(lines[2..7], ["hello", "in d", "6 8 regular file", "4096 8 directory", "400"], "{printed}");
    let mut found = lines[7..18].to_vec();
    found.sort_unstable();
    assert_eq!((found[0], found[10]), ("/d/many/39", "/d/many/399"), "{printed}");
    assert!(lines[18].starts_with("pmem0 ") && lines[18].ends_with("% /"), "{printed}");
    assert_eq!(lines[19..], ["399"], "{printed}");
    assert_eq!(info, as_dumpe2fs(&image));
    assert_eq!(image.digest(), before, "the image was changed");
}

#[test]
fn where_no_journal_is_written_its_command_says_so() {
    let said = |image: &Image, why: &str| {
        let lines = refusals(image, ["journal", "journal --json pmem0", "journal /lost+found"]);
        assert_eq!(lines, ["/", "pmem0", "/lost+found"].map(|name| format!("journal: {name}: {why}")));
    };
    said(&Image::ext2(16 * MIB), "no journal is written there (ext2, rw)");
    let without = Image::ext4_of(64 * MIB, tree().path(), &["-O", "^has_journal"]);
    said(&without, "no journal is written there (ext4, ro)");
}

/// A change waits in memory, until a second task commits it; the task goes with the mount.
#[test]
fn what_was_changed_is_committed_after_seconds() {
    let image = Image::ext4_of(64 * MIB, tree().path(), &[]);
    let script = "sync; mkdir /new; journal --json; echo =; sleep 8; journal --json; echo =; ps; umount /; sleep 2; ps";
    let file = image.folder().join("trace.json");
    let run = QemuRun::new(script).pmem(&image);
    let printed = run.args(["--trace".as_ref(), file.as_os_str()]).ok();
    image.expect_clean();
    let parts: Vec<&str> = printed.split("=\n").collect();
    let [before, after, tasks] = parts[..] else { panic!("three parts: {printed}") };
    let number = |text: &str, name: &str| {
        let object: Value = serde_json::from_str(text).expect("JSON");
        object[name].as_u64().unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let running = number(before, "running");
    assert!(number(before, "committed") < running && number(before, "buffers") > 0, "{printed}");
    assert!(number(after, "committed") >= running && number(after, "buffers") == 0, "{printed}");
    assert_eq!(tasks.lines().filter(|line| line.ends_with(" commit")).count(), 1, "{printed}");
    let trace = fs::read_to_string(&file).expect("a trace");
    let commit = format!("\"transaction\":{running},");
    assert!(
        trace.lines().any(|line| line.contains("\"name\":\"commit\"") && line.contains(&commit)),
        "{trace}"
    );
}

/// What `dumpe2fs -h` prints of an image; the tab in it as the blanks that it stands for.
fn as_dumpe2fs(image: &Image) -> String {
    let output = tool("dumpe2fs").env("TZ", "UTC").arg("-h").arg(image.path()).output().expect("dumpe2fs");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim_end().replace('\t', "     ") + "\n"
}

#[test]
fn a_mapping_shows_what_is_there_by_4_kib_and_by_2_mib() {
    let image = with_large();
    let before = image.digest();
    let script = "io -r -c 'mmap -r 0 4m' -c 'madvise -R 0 4m' -c maps -c 'mread -v 3145728 16' /large
        io -r -c 'mmap -r 4k 4k' -c 'mread -v 4112 16' -c maps /large
        io -r -c 'mmap -r 0 16k' -c 'mread -v 8k 16' /ahead
        io -r -c fiemap -c 'fiemap -v' -c 'seek -a -r 0' /ahead
        io -r -c 'fiemap -v' /large";
    let printed = QemuRun::new(script).pmem_read_only(&image).ok();
    assert!(printed.contains("4k=0 2m=2 "), "{printed}");
    assert!(printed.contains("4k=1 2m=0 "), "{printed}");
    assert!(printed.contains("000000003145728."), "{printed}");
    assert!(printed.contains("000000000004112."), "{printed}");
    assert!(printed.contains("00002000:  00 00 00 00 "), "{printed}");
    let lines: Vec<&str> = printed.lines().collect();
    let line = |what: &str| *lines.iter().find(|line| line.contains(what)).expect(what);
    // Blocks that were never written are no hole to fiemap, and are one to seek.
    assert!(line("\t0: [0..31]: ").ends_with(" unwritten"), "{printed}");
    assert!(line("   0: [0..31]: ").ends_with("    32 0x801"), "{printed}");
    assert!(printed.contains("Whence\tResult\nHOLE\t0\n"), "{printed}");
    assert!(line("   0: [0..8191]: ").ends_with("  8192   0x1"), "{printed}");
    assert_eq!(image.digest(), before, "the image was changed");
}

#[test]
fn what_would_change_it_is_refused_where_it_is_read_only() {
    let image = with_large();
    let before = image.digest();
    let lines = refusals_with(
        |run| run.pmem_read_only(&image),
        [
            "mmap /large; poke 0x10000000000 1",
            "io -c 'pwrite 0 8' /large",
            "echo x > /new",
            "echo x > /hello",
            "mkdir /e",
            "rm /hello",
            "mv /hello /bye",
            "chmod 600 /hello",
            "truncate -s 0 /hello",
            "mount -o remount,rw /",
            "munmap 0x10000000000 4194304; umount /; mount -t ext2 pmem0 /",
        ],
    );
    assert!(lines[0].ends_with("write fault at 0x10000000000: the mapping allows r--"), "{}", lines[0]);
    for line in &lines[1..10] {
        assert!(line.ends_with("read-only file system"), "{line}");
    }
    let why = "unsupported incompatible features: extent 64bit flex_bg (an ext4 file system: mount -t ext4)";
    assert!(lines[10].ends_with(why), "{}", lines[10]);
    assert_eq!(image.digest(), before, "the image was changed");
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let image = Image::ext4_of(64 * MIB, tree().path(), &["-O", "inline_data,encrypt"]);
    image.debugfs_write("set_inode_field /d/many/7 flags 0x10000800");
    let lines = refusals(&image, ["mmap /hello", "mmap /d/many/7", "cat /d/many/7"]);
    assert!(lines[0].contains(": mapping a file whose content is in its inode: "), "{lines:?}");
    assert!(lines[1].contains(": reading what is encrypted: "), "{lines:?}");
    assert!(lines[2].contains(": reading what is encrypted: "), "{lines:?}");
    // Copied is what is read, though no block holds it.
    let other = Image::ext2(16 * MIB);
    let script = "mount pmem1 /d; cp /hello /d/hello; cat /hello /d/hello";
    let printed = QemuRun::new(script).pmem(&image).pmem(&other).ok();
    assert_eq!(printed, "hello\nhello\n");
    assert_eq!(other.file("/hello"), b"hello\n");
}

/// `qemu-run.sh` with a build directory in which nothing is but what boots, and `arguments`.
fn fresh(folder: &Path, arguments: &[&str]) -> Output {
    for name in ["daxiom-bios.img", "tools"] {
        let place = folder.join(name);
        if !place.exists() {
            std::os::unix::fs::symlink(build_directory().join(name), place).expect("a link");
        }
    }
    let mut command = Command::new(root().join("qemu-run.sh"));
    command.args(["--no-build", "--timeout", "900"]).args(arguments).env("CARGO_TARGET_DIR", folder);
    command.output().expect("qemu-run.sh starts")
}

#[test]
fn the_default_image_is_an_ext4_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "mount; ls /; cat hello; tail -c 9 sparse; fsinfo | grep features";
    let output = fresh(folder.path(), &["--fs", "ext4", "--size", "64M", "--exec", script]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    assert!(text.starts_with("pmem0 on / type ext4 (rw,"), "{text}");
    assert!(text.contains("\npattern\n") && text.contains("the end\n"), "{text}");
    assert!(text.contains(" extent 64bit flex_bg "), "{text}");
    assert!(errors.contains("making an ext4 image of 64 MiB with sample files"), "{errors}");
    assert!(folder.path().join("pmem-ext4.img").exists() && !folder.path().join("pmem.img").exists());
    let again = ["--fs=ext4", "--exec", "echo x > /hello; cat /hello"];
    let output = fresh(folder.path(), &again);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), &*text), (Some(0), "x\n"));
}

/// Work, a power cut, a mount that replays: nothing that was synced is lost, and the image is sound.
#[test]
fn what_was_synced_outlives_a_power_cut() {
    let image = Image::ext4_of(64 * MIB, tree().path(), &[]);
    let mut vm = Vm::boot(&image, &[]);
    vm.command("mkdir /new; echo kept > /new/a; rm /d/many/7; mv /d/many/8 /new/eight; sync");
    vm.command("truncate -s 1m /new/b; exercise holetest --size 64 --rounds 2; sync");
    vm.command("echo late > /new/late");
    vm.power_cut();
    let script = "dmesg | grep replayed; cat /new/a /new/eight; echo; stat -c %s /new/b; ls /d/many | wc -l";
    let printed = QemuRun::new(script).pmem(&image).ok();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].contains("the journal was replayed: transactions "), "{printed}");
    assert_eq!(lines[1..], ["kept", "8", "1048576", "398"], "{printed}");
    image.expect_clean();
}

#[test]
fn other_words_than_ext2_and_ext4_are_refused() {
    let fails = |args: &[&str]| QemuRun::new("true").args(args).fails(125);
    assert_eq!(fails(&["--fs", "xfs"]), "qemu-run.sh: --fs: 'xfs' is none of ext2 ext4");
    assert_eq!(fails(&["--fs="]), "qemu-run.sh: --fs: '' is none of ext2 ext4");
    let line = fails(&["--pmem", "x", "--fs", "ext4"]);
    assert_eq!(line, "qemu-run.sh: --fs: is for the image made without --pmem; mke2fs makes others");
}
