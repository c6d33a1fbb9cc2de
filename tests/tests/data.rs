//! Bytes go in and out: what mke2fs put there reads back, what the guest writes debugfs reads, and e2fsck
//! finds nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::image::{Image, sha256};
use tests::run::QemuRun;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;

/// Bytes that differ from block to block and from file to file.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// `sha256sum` in the guest over all of `files`, against their contents on the host.
fn expect_same_digests(image: &Image, files: &BTreeMap<String, Vec<u8>>, args: &[&str]) {
    // Commands of bounded length: a few hundred files each.
    let names: Vec<&String> = files.keys().collect();
    let commands: Vec<String> = names
        .chunks(200)
        .map(|part| {
            let words: Vec<String> = part.iter().map(|name| format!("/{name}")).collect();
            format!("sha256sum {}", words.join(" "))
        })
        .collect();
    let printed = QemuRun::new(&commands.join("\n")).pmem(image).args(args).ok();
    let mut seen = 0;
    for line in printed.lines() {
        let (digest, name) =
            line.split_once("  /").unwrap_or_else(|| panic!("not a line of sha256sum: {line:?}"));
        let contents = files.get(name).unwrap_or_else(|| panic!("{name} is not ours"));
        assert_eq!(digest, sha256(contents), "{name}, {} bytes", contents.len());
        seen += 1;
    }
    assert_eq!(seen, files.len());
}

fn write_tree(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, contents) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        fs::write(path, contents).expect("a file");
    }
}

#[test]
fn a_tree_of_2000_files_up_to_200_mib_reads_back_bit_for_bit() {
    let mut files = BTreeMap::new();
    for number in 0..1990_u64 {
        // Mostly small, around block and indirect-block borders; a few of a megabyte or two.
        let len = match number % 10 {
            0 => number as usize % 7,
            1..=6 => (number * 37) as usize % 20_000,
            7 => 12 * 4096 - 1 + number as usize % 3,
            8 => (number * 1013) as usize % 150_000,
            _ => {
                if number % 100 == 9 {
                    2_000_000
                } else {
                    4096 * (number as usize % 40)
                }
            }
        };
        files.insert(format!("d{}/e{}/file-{number}", number % 7, number % 13), pattern(number, len));
    }
    for (index, mib) in [3_u64, 4, 5, 6, 8, 12, 20, 40, 64, 200].into_iter().enumerate() {
        files.insert(format!("large/{mib}"), pattern(5000 + index as u64, (mib * MIB) as usize));
    }
    assert_eq!(files.len(), 2000);
    let tree = tempfile::tempdir().expect("a folder");
    write_tree(tree.path(), &files);
    let image = Image::ext2_of(1024 * MIB, tree.path());
    expect_same_digests(&image, &files, &["--timeout", "900"]);
    image.expect_clean();
}

#[test]
fn a_sparse_file_reads_as_zeros_where_it_has_no_blocks() {
    use std::os::unix::fs::FileExt;
    let tree = tempfile::tempdir().expect("a folder");
    let file = fs::File::create(tree.path().join("sparse")).expect("a file");
    // One byte under each level of the block map: direct, indirect, double, triple.
    let places = [5_u64 * 4096, 500 * 4096, 500_000 * 4096, 2_000_000 * 4096];
    for place in places {
        file.write_all_at(b"X", place).expect("a byte");
    }
    let image = Image::ext2_of(64 * MIB, tree.path());
    let script =
        places.map(|place| format!("io -r -c 'pread -v {place} 2' -c 'pread -v {} 2' /sparse", place - 4096));
    let printed = QemuRun::new(&script.join("\n")).pmem(&image).ok();
    let bytes: Vec<&str> =
        printed.lines().filter_map(|line| line.split("  ").nth(1)).map(str::trim).collect();
    // The first is the last byte of the file: one byte there.
    assert_eq!(bytes, ["58 00", "00 00", "58 00", "00 00", "58 00", "00 00", "58", "00 00"], "{printed}");
    image.expect_clean();
}

#[test]
fn what_is_written_through_a_mapping_debugfs_reads() {
    let image = Image::ext2(64 * MIB);
    let script = "io -f -c 'truncate 64k' -c 'mmap 0 64k' -c 'mwrite -S 0x61 0 5000' -c 'mwrite -S 0x62 40000 100' \
                  -c 'msync 0 64k' -c munmap /f";
    QemuRun::new(script).pmem(&image).ok();
    let mut want = vec![0; 65536];
    want[..5000].fill(0x61);
    want[40000..40100].fill(0x62);
    assert!(image.file("/f") == want, "debugfs reads something else");
    image.expect_clean();
}

#[test]
fn a_hole_that_was_read_through_a_mapping_can_be_written_through_it() {
    let image = Image::ext2(64 * MIB);
    let script = "stats reset; io -f -c 'truncate 16k' -c 'mmap 0 16k' -c 'mread -v 4k 4' -c 'mwrite -S 0x7a 4k 4' \
                  -c 'mread -v 4k 4' -c 'pread -v 4k 8' /hole; stats";
    let printed = QemuRun::new(script).pmem(&image).ok();
    assert!(printed.contains("00 00 00 00") && printed.contains("7a 7a 7a 7a 00 00 00 00"), "{printed}");
    let counter = |name: &str| {
        let line =
            printed.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse::<u64>().expect("a number")
    };
    assert_eq!(counter("fault.zero-page "), 1);
    assert_eq!(counter("fault.retry "), 1);
    assert_eq!(counter("fault.allocated "), 1);
    assert_eq!(counter("zero-page.unmapped "), 1);
    assert!(counter("tlb.invalidations ") >= 1, "the zero page's translation was forgotten");
    image.expect_clean();
    assert_eq!(&image.file("/hole")[4096..4104], b"zzzz\0\0\0\0");
}

#[test]
fn files_made_in_the_guest_are_sound_on_the_host() {
    let image = Image::ext2(64 * MIB);
    let script = "mkdir -p /a/b/c; io -f -c 'pwrite -q -S 0x41 0 3m' /a/b/big; cp /a/b/big /a/copy; mv /a/copy /a/b/c/moved
                  touch /empty; truncate -s 1g /sparse; io -c 'pwrite -q -S 0x42 1000000000 10' /sparse
                  rm /empty; mkdir /gone; rmdir /gone; cp -r /a /d; rm -r /a; sync; sha256sum /d/b/big /d/b/c/moved; ls -l /d/b";
    let printed = QemuRun::new(script).pmem(&image).ok();
    let digest = sha256(&vec![0x41; 3 << 20]);
    assert_eq!(printed.lines().filter(|line| line.starts_with(&digest)).count(), 2, "{printed}");
    image.expect_clean();
    assert!(image.file("/d/b/c/moved") == vec![0x41; 3 << 20]);
    assert!(String::from_utf8_lossy(&image.debugfs("stat /sparse")).contains("Size: 1073741824"));
}

#[test]
fn a_power_cut_right_after_msync_keeps_the_data() {
    for round in 0..3 {
        let image = Image::ext2(64 * MIB);
        let mut vm = Vm::boot(&image, &[]);
        vm.command("io -f -c 'pwrite -q 0 4k' /old");
        let printed = vm.command(&format!(
            "io -f -c 'truncate 1m' -c 'mmap 0 1m' -c 'mwrite -S 0x{:x} 8k 600k' -c 'msync 8k 600k' /f; echo synced",
            0x30 + round
        ));
        assert_eq!(printed, "synced\n");
        vm.power_cut();
        let contents = image.file("/f");
        assert_eq!(contents.len(), 1 << 20);
        assert!(contents[8192..8192 + 600 * 1024].iter().all(|&byte| byte == 0x30 + round));
        assert!(contents[..8192].iter().all(|&byte| byte == 0));
    }
}

/// Commands that write, create, rename and remove for a few seconds, and then go on with one file for as long
/// as they may.
fn changes() -> String {
    let mut script = "echo started; ".to_owned();
    for number in 0..500 {
        let (dir, moved) = (format!("/d{}", number % 7), format!("/m{}", number % 13));
        let (fill, at, len) = (number % 256, number % 90, number % 150 + 1);
        script += &format!(
            "mkdir -p {dir}; io -f -c 'pwrite -q -S 0x{fill:02x} {at}k {len}k' {dir}/f; mv {dir}/f {moved}; "
        );
        match number % 6 {
            0 => script += &format!("truncate -s {}k {moved}; ", number % 60),
            1 => script += &format!("rm -r {dir}; "),
            2 => script += &format!("ln {moved} {dir}/l; ln -s {moved} {dir}/s; "),
            3 => script += &format!("rm {moved}; "),
            _ => {}
        }
    }
    script + "fsx -q -N 1000000000 /x"
}

#[test]
fn a_power_cut_in_the_middle_of_changes_leaves_e2fsck_nothing_to_find() {
    for round in 0..4 {
        let image = Image::ext2(64 * MIB);
        QemuRun::new("io -f -c 'pwrite -q -S 0x77 0 300k' /before").pmem(&image).ok();
        // Links that are there already and directories that are gone: refused, which is all right.
        let mut vm = Vm::start(&image, &["--timeout", "300", "-k", "--exec", &changes()]);
        vm.expect("started");
        std::thread::sleep(Duration::from_millis(400 + 650 * round));
        vm.power_cut();
        let printed = QemuRun::new("dmesg; umount /").pmem(&image).ok();
        let recovered = printed.lines().find(|line| line.contains("recovered:"));
        println!("{}", recovered.unwrap_or_else(|| panic!("nobody looked through the image: {printed}")));
        image.expect_clean();
        assert!(image.file("/before") == vec![0x77; 300 << 10], "what was there before is gone");
    }
}
