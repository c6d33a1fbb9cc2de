//! Memory errors in the guest: injected by a command, told of by a machine check; what they do to files and
//! mappings.

use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

#[test]
fn a_bad_line_fails_reads_and_faults_of_its_page_until_it_is_overwritten() {
    let image = Image::ext2(64 * MIB);
    let script = "io -f -c 'pwrite -q -S 0x61 0 4m' /f; stats reset
        mmap /f; peek 0x10000001000 1; peek 0x10000000000 1; ptwalk 0x10000001000
        poison add /f 4200 1; poison list; ptwalk 0x10000001000
        peek 0x10000001000 1; peek 0x10000000000 1; peek 0x10000200000 1
        io -c 'pread -q 0 4096' -c 'pread -q 4160 1k' /f; io -c 'pwrite -q 4100 10' -c 'pwrite -q 4200 10' /f
        echo -- overwritten; io -c 'pwrite -q -S 0x62 4k 4k' -c 'pread -q 0 4m' /f; poison list; peek 0x10000001000 1
        stats pmd.fallback.poison; munmap 0x10000000000; poison add 1m 100; poison list; poison clear; poison list; echo end";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let (text, errors) = (outcome.text(), &outcome.stderr);
    let (before, after) = text.split_once("overwritten\n").unwrap_or_else(|| panic!("{text}"));
    assert!(before.contains(" large"), "it was no 2 MiB page: {text}");
    let list: Vec<&str> = text.lines().filter(|line| line.starts_with("pmem0 0x")).collect();
    assert_eq!(list.len(), 2, "{text}");
    assert!(list[0].ends_with(" 64") && list[1] == "pmem0 0x100000 128", "{text}");
    assert!(after.contains("62") && after.ends_with("end\n"), "{text}");
    // A fault, two reads' worth, a store to a part of the line.
    assert_eq!(errors.matches("uncorrectable memory error").count(), 3, "{errors}");
    assert!(errors.contains("read fault at 0x10000001000"), "{errors}");
    assert!(!text.contains("pmd.fallback.poison 0\n"), "{text}");
    image.expect_clean();
}
