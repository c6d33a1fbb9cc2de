//! The exerciser in the guest: loads and stores through the machine's own page tables, with real faults.
//!
//! The long run, for which this is too short:
//!
//! ```text
//! ./qemu-run.sh --pmem IMAGE --timeout 3600 --exec 'fsx -N 1000000 -l 600000 -o 128000 -c 1000 -M -p 100000 /f'
//! ```

use tests::image::Image;
use tests::run::{QemuRun, refusals};

const MIB: u64 = 1 << 20;

#[test]
fn files_hold_what_the_model_holds() {
    let image = Image::ext2(64 * MIB);
    let sets = [
        "",
        "-M",
        "-e 1 -M -c 20",
        "-L",
        "-f -y",
        "-R -W -x -Z -r 512 -w 512 -t 512",
        "-X -l 40000 -o 9000 -M",
    ];
    let script: Vec<String> = sets
        .iter()
        .enumerate()
        .map(|(seed, set)| format!("fsx -q -N 1500 -S {} {set} /f{seed}", seed + 1))
        .collect();
    let printed = QemuRun::new(&script.join("\n")).pmem(&image).ok();
    assert_eq!(printed, "All 1500 operations completed A-OK!\n".repeat(sets.len()));
    image.expect_clean();
}

#[test]
fn blocks_smaller_than_a_page_are_exercised_without_mappings() {
    for block in ["1024", "2048"] {
        let image = Image::mke2fs(16 * MIB, &["-t", "ext2", "-b", block]);
        let printed = QemuRun::new("fsx -N 1000 /f").pmem(&image).ok();
        // Asked for, refused by name, and left out.
        assert!(
            printed.contains("fsx: mapwrite: not supported by this file system, switched off\n"),
            "{printed}"
        );
        assert!(printed.ends_with("All 1000 operations completed A-OK!\n"), "{printed}");
        image.expect_clean();
    }
}

#[test]
fn recorded_operations_are_replayed() {
    let image = Image::ext2(64 * MIB);
    let script = "fsx -q -N 500 -S 77 --record-ops /ops /a; fsx -q -S 77 --replay-ops /ops /b; sha256sum /a /b; wc -l /ops";
    let printed = QemuRun::new(script).pmem(&image).ok();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["All 500 operations completed A-OK!"; 2], "{printed}");
    let digest = |line: &str| line.split_once(' ').map(|(digest, _)| digest.to_owned());
    assert_eq!(digest(lines[2]), digest(lines[3]), "{printed}");
    assert!(lines[4].starts_with("500"), "{printed}");
    // The host reads the same operations.
    let ops = String::from_utf8(image.file("/ops")).expect("text");
    assert!(
        ops.lines().all(|line| line.split(' ').nth(1).is_some_and(|word| word.starts_with("0x"))),
        "{ops}"
    );
    image.expect_clean();
}

#[test]
fn what_cannot_be_exercised_is_one_line_and_status_1() {
    let image = Image::ext2(64 * MIB);
    QemuRun::new("io -f -c 'pwrite -q -S 0x78 0 10' /bad").pmem(&image).ok();
    let refused = [
        ("fsx /", "fsx: /: is a directory"),
        ("fsx", "fsx: missing operand"),
        ("fsx -N x /f", "fsx: -N x: not a number"),
        ("fsx -l 1g /f", "fsx: -l 1g: must be from 1 to 268435456"),
        ("fsx --replay-ops /none /f", "fsx: /none: no such file or directory"),
        ("fsx --replay-ops /bad /f", "fsx: /bad: line 1: no such operation"),
        ("fsx --record-ops /f /f", "fsx: /f: output file is the file that is exercised"),
        ("fsx -d /f > /f", "fsx: /f: output file is the file that is exercised"),
    ];
    assert_eq!(refusals(&image, refused.map(|(script, _)| script)), refused.map(|(_, complaint)| complaint));
    image.expect_clean();
}
