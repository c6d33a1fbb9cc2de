//! `/dev/pmem0`: the region as a file, whatever is mounted.

use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

#[test]
fn the_device_shows_the_image_and_refuses_stores_while_it_is_mounted_for_writing() {
    let image = Image::ext2(32 * MIB);
    let script = "ls /dev; stat -c '%F %s %t' /dev/pmem0; cd /dev; pwd; cd ..; pwd
        io -c 'pread -v 1080 2' /dev/pmem0; hexdump -C -n 2 -s 1080 /dev/pmem0
        io -c 'mmap 0 4m' -c 'mread -v 1080 2' -c ptwalk /dev/pmem0
        io -c 'pwrite -q 0 1k' /dev/pmem0; io -c 'mmap 0 4m' -c 'mwrite 0 1' /dev/pmem0
        io -c 'truncate 0' /dev/pmem0; touch /dev/x; rm /dev/pmem0; umount /dev
        stats device.retry";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    assert!(text.starts_with("pmem0\nblock special file 33554432 103\n/dev\n/\n"), "{text}");
    assert_eq!(text.matches("53 ef").count(), 3, "{text}");
    // As large a page as there is.
    assert!(text.contains("(2 MiB, r-- large"), "{text}");
    assert!(text.ends_with("device.retry 0\n"), "{text}");
    let errors = &outcome.stderr;
    assert_eq!(errors.matches("device or resource busy").count(), 3, "{errors}");
    assert_eq!(errors.matches("invalid argument").count(), 1, "{errors}");
    assert_eq!(errors.matches("operation not permitted").count(), 2, "{errors}");
    image.expect_clean();
}

#[test]
fn stores_to_the_device_reach_the_image_when_nobody_mounts_it_for_writing() {
    let image = Image::ext2(32 * MIB);
    // Behind the boot block's first bytes nothing looks.
    let script = "mount -o remount,ro /; io -c 'pwrite -q -S 0x41 0 64' /dev/pmem0
        umount /; ls /; ls /dev; io -c 'mmap 0 4m' -c 'mwrite -S 0x42 64 64' -c 'msync 0 4k' /dev/pmem0
        mount pmem0 /; echo back > /f; cat /f";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(outcome.text(), "pmem0\nback\n", "{}", outcome.stderr);
    assert!(outcome.stderr.contains("ls: /: not mounted"), "{}", outcome.stderr);
    let bytes = std::fs::read(image.path()).expect("the image");
    assert_eq!((&bytes[..64], &bytes[64..128]), (&[0x41; 64][..], &[0x42; 64][..]));
    image.expect_clean();
}
