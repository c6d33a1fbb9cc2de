//! The NFIT: what the guest finds is what QEMU was told.

use tests::image::Image;
use tests::run::QemuRun;

/// The builder of tables that the parser's own tests use.
#[path = "../../nfit/tests/common/mod.rs"]
mod table;

use table::{PERSISTENT, Table};

const MIB: u64 = 1 << 20;

/// Sizes and rights of the regions that `nfit` lists as `pmemN: BASE, SIZE, RIGHTS`.
fn regions(printed: &str) -> Vec<(String, String)> {
    let lines = printed.lines().filter(|line| line.starts_with("pmem"));
    let parts = lines.map(|line| line.splitn(3, ", ").map(str::to_owned).collect::<Vec<_>>());
    parts.map(|parts| (parts[1].clone(), parts[2].clone())).collect()
}

#[test]
fn each_nvdimm_is_a_region_of_its_size() {
    let images = [Image::ext2(48 * MIB), Image::ext2(3 * MIB), Image::zeros(2048 * MIB)];
    let ro = format!("{},ro", images[1].path().display());
    let printed = QemuRun::new("nfit").pmem(&images[0]).args(["--pmem", &ro]).pmem(&images[2]).ok();
    let of = |size: &str, rights: &str| (size.to_owned(), rights.to_owned());
    assert_eq!(
        regions(&printed),
        [of("48 MiB", "read and write"), of("3 MiB", "read only"), of("2 GiB", "read and write")],
        "{printed}"
    );
}

#[test]
fn a_second_nvdimm_can_be_mounted_and_is_written() {
    let (first, second) = (Image::ext2(16 * MIB), Image::ext2(16 * MIB));
    let script = "mkdir /mnt; mount pmem1 /mnt; io -f -c 'pwrite -q -S 0x31 0 10' /mnt/here; cp /mnt/here /copy; umount /mnt; ls /mnt";
    assert_eq!(QemuRun::new(script).pmem(&first).pmem(&second).ok(), "");
    first.expect_clean();
    second.expect_clean();
    assert_eq!(second.file("/here"), b"1111111111");
    assert_eq!(first.file("/copy"), b"1111111111");
}

#[test]
fn the_platforms_promise_is_read_and_decides_about_flushing() {
    let lines = |args: &[&str]| {
        let image = Image::ext2(16 * MIB);
        let script = "stats reset; io -f -c 'pwrite -q 0 4k' -c 'mmap 0 4k' -c 'mwrite 0 4k' -c 'msync 0 4k' /f; nfit; stats pmem";
        let printed = QemuRun::new(script).pmem(&image).args(args).ok();
        let flushed =
            printed.lines().find_map(|line| line.strip_prefix("pmem.lines-flushed ")).map(str::to_owned);
        image.expect_clean();
        (printed, flushed.and_then(|count| count.parse::<u64>().ok()).expect("a number"))
    };
    let (printed, flushed) = lines(&["--persistence", "mem-ctrl"]);
    assert!(printed.contains("capabilities: memory controller flush\n"), "{printed}");
    assert!(flushed >= 64, "a page has 64 lines: {printed}");
    let (printed, flushed) = lines(&["--persistence", "cpu"]);
    assert!(printed.contains("capabilities: cpu cache flush"), "{printed}");
    assert_eq!(flushed, 0, "caches are persistent: {printed}");
}

/// QEMU makes no bad tables itself: these describe memory that it puts where firmware's memory map does not
/// look.
#[test]
fn what_a_bad_table_says_before_its_end_is_used_and_one_bad_range_costs_no_other() {
    const GIB: u64 = 1 << 30;
    let images = [Image::ext2(16 * MIB), Image::ext2(16 * MIB)];
    let bad = Table::new()
        .spa(&PERSISTENT, 1, 4 * GIB, 16 * MIB)
        .mapping(1, 1, 0, 0, 0)
        .spa(&PERSISTENT, 2, 5 * GIB + 512, 16 * MIB)
        .spa(&PERSISTENT, 3, 6 * GIB, u64::MAX)
        .spa(&PERSISTENT, 4, 7 * GIB, 32 * MIB)
        .spa(&PERSISTENT, 5, 7 * GIB + 16 * MIB, 32 * MIB)
        .spa(&PERSISTENT, 6, 8 * GIB, 16 * MIB)
        .structure(6, &[])
        .raw(&[1, 0, 0, 0])
        .mapping(2, 6, 0, 0, 0)
        .spa(&PERSISTENT, 7, 9 * GIB, 16 * MIB);
    let folder = images[0].folder();
    let mut args = vec!["--pmem".into(), "none".into(), "--".into()];
    args.extend(["-m".into(), "256M,slots=2,maxmem=16G".into()]);
    for (number, image) in images.iter().enumerate() {
        let path = image.path().display();
        args.extend([
            "-object".into(),
            format!("memory-backend-file,id=m{number},share=on,size=16M,mem-path={path}"),
            "-device".into(),
            format!("pc-dimm,memdev=m{number},addr={:#x}", (4 + 4 * number as u64) * GIB),
        ]);
    }
    let second = Table::new().spa(&PERSISTENT, 1, 10 * GIB, 16 * MIB).finish();
    for (name, bytes) in [("bad", bad.finish()), ("second", second)] {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("a table");
        args.extend(["-acpitable".into(), format!("file={}", path.display())]);
    }
    let script = "echo made >/here; cat /here; mkdir /mnt; mount pmem1 /mnt; nfit";
    let outcome = QemuRun::new(script).args(&args).outcome();
    let printed = outcome.text();
    assert!(printed.starts_with("made\n"), "{printed}\n{}", outcome.stderr);
    let of = |rights: &str| ("16 MiB".to_owned(), rights.to_owned());
    assert_eq!(regions(&printed), [of("read and write"), of("read only")], "{printed}");
    assert!(!printed.contains("spa 7"), "what comes after the end was looked at: {printed}");
    let wanted = [
        "2 NFIT tables: only number 1 is used",
        "flush hints structure (type 6, ordinal 7, byte offset 424): length is 4, needs 16",
        "region mapping structure (type 1, ordinal 8, byte offset 428): length is 0",
        "spa 2 0x140000200..0x141000200 (16 MiB) does not start and end on a multiple of 4096",
        "spa 3 0x180000000..0x1000000017fffffff (18446744073709551615 B) ends beyond 64-bit addresses",
        "spa 4 0x1c0000000..0x1c2000000 (32 MiB) overlaps spa 5",
        "spa 5 0x1c1000000..0x1c3000000 (32 MiB) overlaps spa 4",
    ];
    let told: Vec<_> = outcome.stderr.lines().filter(|line| line.starts_with("nfit: ")).collect();
    assert_eq!(told.len(), wanted.len(), "{}", outcome.stderr);
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.contains(wanted), "{told}\n{wanted}");
    }
    assert_eq!(outcome.status, 1);
    images.iter().for_each(Image::expect_clean);
    assert_eq!(images[0].file("/here"), b"made\n");
}
