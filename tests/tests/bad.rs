//! Bad input: one clear line that names what and where, a defined exit status, and an image that nobody
//! touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use tests::image::Image;
use tests::run::QemuRun;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;

/// `ls /` on an image that cannot be mounted fails with 1 and a line that ends in `why`; nothing changes.
fn refused(image: &Image, why: &str) {
    let before = image.digest();
    let line = QemuRun::new("ls /").pmem(image).fails(1);
    assert_eq!(line, format!("ls: /: not mounted: pmem0: {why}"));
    assert_eq!(image.digest(), before, "the image was changed");
}

/// `qemu-run.sh` does not start a machine: 125, and a line with `part` in it.
fn not_started(run: QemuRun, part: &str) {
    let line = run.fails(125);
    assert!(line.starts_with("qemu-run.sh: ") && line.contains(part), "{line}");
}

/// An SPA range structure of the NFIT: 64 MiB of persistent memory at `base`.
fn spa_range(index: u16, base: u64) -> Vec<u8> {
    let persistent_memory: u128 = 0xdb8c_b718_330d_43ac_4074_b4f3_66f0_d379;
    let mut bytes = vec![0, 0, 56, 0];
    bytes.extend(index.to_le_bytes());
    bytes.extend([0; 10]);
    bytes.extend(persistent_memory.to_le_bytes());
    bytes.extend(base.to_le_bytes());
    bytes.extend((64_u64 << 20).to_le_bytes());
    bytes.extend(8_u64.to_le_bytes());
    bytes
}

#[test]
fn no_nvdimm() {
    let run = || QemuRun::new("ls /").args(["--pmem", "none"]);
    assert_eq!(run().fails(1), "ls: /: not mounted: pmem0: no NVDIMM found: start with --pmem FILE");
    assert!(QemuRun::new("nfit").args(["--pmem", "none"]).fails(1).starts_with("nfit: no NFIT table"));
}

#[test]
fn an_image_without_a_file_system() {
    refused(&Image::zeros(16 * MIB), "no file system of a known type (ext2, ext4)");
}

#[test]
fn a_block_size_above_the_page_size() {
    let image = Image::mke2fs(16 * MIB, &["-t", "ext2", "-b", "8192"]);
    refused(&image, "unsupported block size 8192: blocks of 1024, 2048 or 4096 bytes are (mke2fs -b 4096)");
}

#[test]
fn an_ext4_image_is_refused_by_the_names_of_its_features() {
    let options = ["-t", "ext4", "-b", "4096", "-O", "casefold", "-E", "encoding=utf8"];
    refused(&Image::mke2fs(64 * MIB, &options), "unsupported incompatible features: casefold");
}

#[test]
fn an_unknown_incompatible_feature_is_refused() {
    let image = Image::ext2(16 * MIB);
    // s_feature_incompat: byte 0x60 of the superblock.
    image.poke(1024 + 0x60, &0x4000_0002_u32.to_le_bytes());
    refused(&image, "unsupported incompatible features: 0x40000000");
}

#[test]
fn a_truncated_image() {
    let image = Image::ext2(64 * MIB);
    fs::OpenOptions::new()
        .write(true)
        .open(image.path())
        .and_then(|file| file.set_len(32 * MIB))
        .expect("shorter");
    let before = image.digest();
    let line = QemuRun::new("ls /").pmem(&image).fails(1);
    assert!(line.contains("67108864") && line.contains("33554432"), "{line}");
    assert_eq!(image.digest(), before);
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let image = Image::ext2(16 * MIB);
    let before = image.digest();
    let ro = format!("{},ro", image.path().display());
    let outcome =
        QemuRun::new("ls /; touch /x; mkdir /d; rm -r /lost+found; io -f -c stat /f; truncate -s 1 /x")
            .args(["--pmem", &ro, "-k"])
            .outcome();
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.text(), "lost+found\n");
    assert_eq!(outcome.stderr.lines().count(), 5, "{}", outcome.stderr);
    for line in outcome.stderr.lines().take(4) {
        assert!(line.ends_with(": read-only file system"), "{line}");
    }
    assert_eq!(image.digest(), before);
    let remounted = QemuRun::new("umount /; mount -o ro pmem0 /; touch /x").pmem(&image).fails(1);
    assert_eq!(remounted, "touch: /x: read-only file system");
    image.expect_clean();
}

#[test]
fn no_space_left() {
    let image = Image::ext2(MIB);
    let script = "io -f -c 'truncate 64m' -c 'mmap 0 64m' -c 'mwrite 0 64m' /big; rm /big; io -f -c 'pwrite -q 0 64k' /small";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.status, 1);
    let line = outcome.stderr.trim_end();
    assert!(line.starts_with("io: /big: ") && line.ends_with(": no space left on device"), "{line}");
    assert!(line.contains("write fault at 0x"), "{line}");
    image.expect_clean();
    assert_eq!(image.file("/small").len(), 65536);
}

#[test]
fn accesses_that_no_file_can_serve_are_errors_and_the_kernel_lives_on() {
    let image = Image::ext2(16 * MIB);
    let script = "peek 0xdead0000
                  io -f -c 'truncate 5000' -c 'mmap 0 16k' -c 'mread 8k 8' /f
                  io -c 'mmap -r 0 4k' -c 'mwrite 0 8' /f
                  peek 0
                  peek 0xffff800000000000
                  echo alive";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.text(), "alive\n");
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{}", outcome.stderr);
    assert!(lines[0].contains("read fault at 0xdead0000: nothing is mapped there"), "{}", lines[0]);
    assert!(
        lines[1].contains("read fault at 0x") && lines[1].ends_with(": beyond the end of the file"),
        "{}",
        lines[1]
    );
    assert!(lines[2].contains("write fault at 0x") && lines[2].contains("r--"), "{}", lines[2]);
    assert!(lines[3].contains("read fault at 0x0: nothing is mapped there"), "{}", lines[3]);
    assert!(lines[4].contains("read fault at 0xffff800000000000: nothing is mapped there"), "{}", lines[4]);
    image.expect_clean();
}

#[test]
fn commands_with_wrong_arguments() {
    let image = Image::ext2(16 * MIB);
    let commands = [
        ("frobnicate", "frobnicate: command not found"),
        ("ls -Z", "ls: unknown option -Z"),
        ("cp /a", "cp: missing target after '/a'"),
        ("cat", "cat: missing operand"),
        ("truncate -s lots /x", "truncate: lots: not a number"),
        ("mkdir /lost+found", "mkdir: /lost+found: file exists"),
        ("rmdir /nothing", "rmdir: /nothing: no such file or directory"),
        ("cat /lost+found", "cat: /lost+found: is a directory"),
        ("io -c frob /lost+found", ""),
        ("mount pmem7 /lost+found", ""),
        ("umount /nowhere", ""),
        ("stats nonsense", ""),
    ];
    let script = commands.map(|(command, _)| command).join("\n");
    let outcome = QemuRun::new(&script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.status, 1);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), commands.len(), "one line for each command:\n{}", outcome.stderr);
    for (line, (command, want)) in lines.iter().zip(commands) {
        let name = command.split(' ').next().unwrap_or_default();
        assert!(line.starts_with(&format!("{name}: ")), "{command}: {line}");
        assert!(want.is_empty() || *line == want, "{command}: {line}");
    }
    image.expect_clean();
}

#[test]
fn image_files_that_qemu_cannot_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |path: &std::path::Path| QemuRun::new("ls /").args(["--pmem".as_ref(), path.as_os_str()]);
    not_started(run(&folder.path().join("missing")), "missing");
    not_started(run(folder.path()), "directory");
    let small = folder.path().join("small");
    fs::write(&small, [0; 100]).expect("a file");
    not_started(run(&small), "small");
    let odd = folder.path().join("odd");
    fs::write(&odd, vec![0; 1_000_001]).expect("a file");
    not_started(run(&odd), "4096");
    assert_eq!(fs::metadata(&odd).expect("still there").len(), 1_000_001);
}

#[test]
fn a_write_protected_image_file_is_used_only_if_asked_read_only() {
    let image = Image::ext2(16 * MIB);
    let before = image.digest();
    fs::set_permissions(image.path(), fs::Permissions::from_mode(0o444)).expect("write-protected");
    not_started(QemuRun::new("ls /").pmem(&image), ",ro");
    let ro = format!("{},ro", image.path().display());
    assert_eq!(QemuRun::new("ls /").args(["--pmem", &ro]).ok(), "lost+found\n");
    assert_eq!(image.digest(), before);
}

#[test]
fn an_image_in_use_by_another_machine() {
    let image = Image::ext2(16 * MIB);
    let vm = Vm::boot(&image, &[]);
    not_started(QemuRun::new("ls /").pmem(&image), "is busy");
    vm.power_cut();
    assert_eq!(QemuRun::new("ls /").pmem(&image).ok(), "lost+found\n");
}

#[test]
fn a_firmware_table_that_lies() {
    // QEMU passes a table of ours on, and makes the checksum right: what is wrong is inside.
    let folder = tempfile::tempdir().expect("a folder");
    let body = |structures: &[&[u8]]| {
        let path = folder.path().join("nfit.bin");
        fs::write(&path, [&[0; 4], structures.concat().as_slice()].concat()).expect("a file");
        path
    };
    let nfit = |structures: &[&[u8]]| {
        let path = body(structures);
        let table = format!("sig=NFIT,rev=1,data={}", path.display());
        QemuRun::new("nfit").args(["--pmem", "none", "--", "-acpitable", &table]).outcome()
    };
    // A structure without a length, and one that is longer than the table.
    let zero_length = nfit(&[&[1, 0, 0, 0]]);
    let too_long = nfit(&[&[0, 0, 56, 0, 1, 2, 3, 4]]);
    // Persistent memory twice at the same place.
    let overlap = nfit(&[&spa_range(1, 8 << 30), &spa_range(2, (8 << 30) + (32 << 20))]);
    // Of two that overlap, both are told.
    for (outcome, part, lines) in
        [(zero_length, "length is 0", 1), (too_long, "only 8 bytes", 1), (overlap, "overlap", 2)]
    {
        assert_eq!(outcome.status, 1, "{part}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), lines, "{part}: {}", outcome.stderr);
        for line in outcome.stderr.lines() {
            assert!(line.starts_with("nfit: ") && line.contains(part), "{part}: {line}");
        }
    }
}

#[test]
fn a_region_that_cannot_be_used_is_named_and_the_kernel_boots() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |structures: &[Vec<u8>]| {
        let path = folder.path().join("nfit.bin");
        fs::write(&path, [vec![0; 4], structures.concat()].concat()).expect("a file");
        let table = format!("sig=NFIT,rev=1,data={}", path.display());
        QemuRun::new("nfit; ls /").args(["-k", "--pmem", "none", "--", "-acpitable", &table]).outcome()
    };
    // Where no CPU can address it; where RAM is; where the APIC's registers are.
    for (base, why) in [
        (0x2000_0000_0000, "outside"),
        (0x10_0000, "the memory map says its addresses are RAM"),
        (0xfee0_0000, "devices are at its addresses"),
    ] {
        let outcome = run(&[spa_range(1, base)]);
        assert_eq!(outcome.status, 1, "{base:#x}: {}", outcome.stderr);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{base:#x}: {}", outcome.stderr);
        assert!(lines[0].starts_with("nfit: region 1: not used: ") && lines[0].contains(why), "{}", lines[0]);
        assert!(
            lines[1].starts_with("ls: /: not mounted: pmem0: ") && lines[1].contains(why),
            "{}",
            lines[1]
        );
    }
}

#[test]
fn memory_that_runs_out_under_mappings_is_an_error_and_comes_back() {
    let image = Image::ext2(64 * MIB);
    // Without 2 MiB pages, a read in every 2 MiB of a sparse file takes a page-table page each, until there
    // is none.
    let mut script = String::from("truncate -s 100g /big; mmap -n -r /big\n");
    for step in 0..12_000_u64 {
        script += &format!("peek {:#x} 1\n", (1_u64 << 40) + step * (2 << 20));
    }
    script += "munmap 0x10000000000\nmmap -n -r /big\npeek 0x10000000000 1; echo alive";
    let file = image.folder().join("script");
    fs::write(&file, script).expect("the script");
    let outcome = QemuRun::from_file(&file).pmem(&image).args(["-k", "--mem", "40M"]).outcome();
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let mut errors = outcome.stderr.lines();
    assert!(errors.all(|line| line.ends_with(": cannot allocate memory")), "{}", outcome.stderr);
    assert!(outcome.text().ends_with("alive\n"), "{}", outcome.text().lines().last().unwrap_or_default());
    image.expect_clean();
}

#[test]
fn a_store_that_runs_into_nothing_keeps_every_byte_before_it() {
    let image = Image::ext2(16 * MIB);
    let script = "truncate -s 4096 /one; mmap /one; poke 0x10000000ffb 1 2 3 4 5 6 7 8; peek 0x10000000ff8 8";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("write fault at 0x10000001000: "), "{}", outcome.stderr);
    assert!(outcome.text().contains("00 00 00 01 02 03 04 05"), "{}", outcome.text());
}

#[test]
fn names_cannot_forge_an_error_line_nor_output_feed_itself() {
    let image = Image::ext2(16 * MIB);
    assert_eq!(
        QemuRun::new("cat \"/a\nls: forged\"").pmem(&image).fails(1),
        "cat: /a?ls: forged: no such file or directory"
    );
    let line = QemuRun::new("echo text > /f; cat /f >> /f").pmem(&image).fails(1);
    assert_eq!(line, "cat: /f: input file is output file");
}

#[test]
fn options_that_make_no_sense() {
    for (args, part) in [
        (vec!["--smp", "0"], "--smp"),
        (vec!["--mem", "lots"], "--mem"),
        (vec!["--icount", "--smp", "2"], "--icount"),
        (vec!["--accel", "magic"], "--accel"),
        (vec!["--frobnicate"], "--frobnicate"),
    ] {
        not_started(QemuRun::new("ls /").args(args), part);
    }
}
