//! The NFIT: what the guest finds is what QEMU was told.

use tests::image::Image;
use tests::run::Run;

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
    let printed = Run::new("nfit").pmem(&images[0]).args(["--pmem", &ro]).pmem(&images[2]).ok();
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
    assert_eq!(Run::new(script).pmem(&first).pmem(&second).ok(), "");
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
        let printed = Run::new(script).pmem(&image).args(args).ok();
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
