//! A DIMM that Linux uses in fsdax mode: its block is found, the file system behind it is used, the block
//! stays.

use tests::image::{Image, fsdax_block};
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;
const DATA: u64 = 2 * MIB;

/// The first bytes of an image, which nobody may change.
fn front(image: &Image) -> Vec<u8> {
    std::fs::read(image.path()).expect("the image")[..DATA as usize].to_vec()
}

#[test]
fn the_file_system_behind_the_block_is_read_written_and_mounted_again() {
    let image = Image::fsdax(64 * MIB, DATA);
    let before = front(&image);
    let script = "nfit; mkdir /d; io -f -c 'pwrite -q -S 0x41 0 3m' -c 'mmap 0 3m' -c 'mwrite -S 0x42 1m 4k' -c 'msync 0 3m' /d/f
                  mount; umount /; mount pmem0 /; sha256sum /d/f; df /; dmesg";
    let printed = QemuRun::new(script).pmem(&image).ok();
    let mut want = vec![0x41; 3 << 20];
    want[1 << 20..(1 << 20) + 4096].fill(0x42);
    assert!(printed.contains(&tests::image::sha256(&want)), "{printed}");
    assert!(
        printed.contains("pmem0: fsdax 1.4, data at byte 2097152, 65011712 bytes, page structures in RAM"),
        "{printed}"
    );
    assert!(printed.contains("pmem0 on / type ext2 (rw,protocol=read-first,offset=2097152)\n"), "{printed}");
    assert!(printed.contains("pmem0 mounted on / (rw, read-first, from byte 2097152)"), "{printed}");
    let next = QemuRun::new("sha256sum /d/f; io -f -c 'pwrite -q 0 1' /g").pmem(&image).ok();
    assert!(next.contains(&tests::image::sha256(&want)), "{next}");
    assert!(front(&image) == before, "what lies before the data was changed");
    let data = image.tail(DATA);
    data.expect_clean();
    assert!(data.file("/d/f") == want, "debugfs reads something else");
}

#[test]
fn page_structures_in_the_namespace_are_left_alone() {
    // 64 bytes for each of 16384 pages, 8 KiB before them, aligned to 2 MiB: as Linux reckons.
    let image = Image::fsdax(64 * MIB, DATA);
    let mut block = fsdax_block(64 * MIB, DATA);
    block[72] = 2;
    reseal(&mut block);
    image.poke(4096, &block);
    image.poke(8192, &vec![0x5a; (DATA - 8192) as usize]);
    let before = front(&image);
    let printed = QemuRun::new("nfit; io -f -c 'pwrite -q -S 0x41 0 1m' /f").pmem(&image).ok();
    assert!(printed.contains("page structures in the namespace"), "{printed}");
    assert!(front(&image) == before, "what lies before the data was changed");
    image.tail(DATA).expect_clean();
}

/// Makes a block's checksum right.
fn reseal(block: &mut [u8]) {
    block[4088..].fill(0);
    let (mut low, mut high) = (0_u32, 0_u32);
    for word in block.chunks(4) {
        low = low.wrapping_add(u32::from_le_bytes(word.try_into().expect("4 bytes")));
        high = high.wrapping_add(low);
    }
    block[4088..4092].copy_from_slice(&low.to_le_bytes());
    block[4092..].copy_from_slice(&high.to_le_bytes());
}

#[test]
fn a_damaged_block_is_named_and_the_region_is_taken_as_raw() {
    let image = Image::fsdax(16 * MIB, DATA);
    image.poke(4096 + 60, &[1]);
    let before = image.digest();
    let outcome = QemuRun::new("dmesg; ls /").pmem(&image).outcome();
    let text = outcome.text();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("fsdax information block")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("pmem0: fsdax information block at byte 4096: checksum is 0x"), "{text}");
    assert!(
        outcome.stderr.starts_with("ls: /: not mounted: pmem0: no file system of a known type"),
        "{}",
        outcome.stderr
    );
    assert_eq!((outcome.status, image.digest()), (1, before));
}

#[test]
fn a_region_without_a_block_is_mounted_from_its_first_byte() {
    let image = Image::ext2(16 * MIB);
    let printed = QemuRun::new("mount").pmem(&image).ok();
    assert_eq!(printed, "pmem0 on / type ext2 (rw,protocol=read-first)\n");
    image.expect_clean();
}

#[test]
fn a_region_in_device_dax_mode_is_refused_by_name() {
    let image = Image::fsdax(16 * MIB, DATA);
    let mut block = fsdax_block(16 * MIB, DATA);
    block[..16].copy_from_slice(b"NVDIMM_DAX_INFO\0");
    reseal(&mut block);
    image.poke(4096, &block);
    let before = image.digest();
    let line = QemuRun::new("ls /").pmem(&image).fails(1);
    assert!(
        line.ends_with("NVDIMM_DAX_INFO: the namespace is in device-dax mode")
            && line.contains("not mounted: pmem0: "),
        "{line}"
    );
    assert_eq!(image.digest(), before);
}

/// 2 MiB pages depend on physical addresses, not on where the data begins: no warning where they are
/// possible.
#[test]
fn large_pages_are_there_wherever_the_data_begins_and_missed_only_where_there_are_none() {
    let data = DATA + 0x3000;
    let image = Image::fsdax(64 * MIB, data);
    let mut block = fsdax_block(64 * MIB, data);
    block[84..88].copy_from_slice(&4096_u32.to_le_bytes());
    reseal(&mut block);
    image.poke(4096, &block);
    let script = "io -f -c 'truncate 16m' -c 'mmap 0 16m' -c 'madvise -W 0 16m' -c maps /f; mount; dmesg";
    let printed = QemuRun::new(script).pmem(&image).ok();
    assert!(printed.contains(&format!("offset={data}")), "{printed}");
    assert!(printed.contains(" 2m=8 ") && !printed.contains("no 2 MiB mappings"), "{printed}");
    image.tail(data).expect_clean();

    // A region is at least so large for QEMU; the file system in it need not be.
    let image = Image::zeros(16 * MIB);
    let small = Image::ext2(MIB);
    image.poke(0, &std::fs::read(small.path()).expect("an image"));
    let printed = QemuRun::new("dmesg").pmem(&image).ok();
    assert!(printed.contains("no 2 MiB of it begin at a multiple of 2 MiB: no 2 MiB mappings"), "{printed}");
}
