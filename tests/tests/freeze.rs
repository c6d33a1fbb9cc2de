//! freeze, thaw and mount -o remount in the guest: changes and stores through mappings wait, or are refused.

use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

#[test]
fn changes_and_stores_wait_for_the_thaw_and_reading_goes_on() {
    let image = Image::ext2(32 * MIB);
    // Of what waits, each is seen waiting before the thaw.
    let script = "echo hello > /f; freeze /
        run touch /new & run io -c 'mmap 0 4k' -c 'mwrite -S 0x7a 0 2' /f &
        sleep 3; ps; cat /f; ls /; freeze /; sync; umount /; thaw /; wait; cat /f; ls /; thaw /; umount /";
    for cpus in ["1", "2"] {
        let outcome = QemuRun::new(script).pmem(&image).args(["-k", "--smp", cpus]).outcome();
        let text = outcome.text();
        let waits = |line: &&str| line.contains(" waiting ") && !line.ends_with("memory-errors");
        assert_eq!(text.lines().filter(waits).count(), 2, "{text}");
        let (before, after) = text.split_once("hello\nf\nlost+found\n").unwrap_or_else(|| panic!("{text}"));
        assert!(!before.contains("exit"), "{text}");
        assert_eq!(after.matches(" exit 0 ").count(), 2, "{text}");
        assert!(after.ends_with("zzllo\nf\nlost+found\nnew\n"), "{text}");
        let errors: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(errors.len(), 3, "{}", outcome.stderr);
        assert_eq!(errors[0], "freeze: /: device or resource busy");
        assert!(errors[1].starts_with("umount: /: device or resource busy"), "{}", errors[1]);
        assert_eq!(errors[2], "thaw: /: invalid argument");
        image.expect_clean();
        QemuRun::new("rm /new /f").pmem(&image).ok();
    }
}

#[test]
fn a_machine_that_stops_while_frozen_leaves_a_clean_image() {
    let image = Image::ext2(32 * MIB);
    QemuRun::new("echo text > /f; freeze /; crash panic").pmem(&image).outcome();
    image.expect_clean();
    assert_eq!(QemuRun::new("cat /f; dmesg").pmem(&image).ok().matches("not unmounted cleanly").count(), 0);
}

#[test]
fn remounted_read_only_a_store_through_a_mapping_is_refused() {
    let image = Image::ext2(32 * MIB);
    let script = "echo hello > /f; mmap /f; poke 0x10000000000 0x7a
        mount -o remount,ro /; mount; peek 0x10000000000 1; poke 0x10000000000 0x79; echo no > /g; rm /f
        mount -o remount,rw pmem0; mount; poke 0x10000000001 0x7a; munmap 0x10000000000; cat /f; touch /g";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    assert!(text.contains("pmem0 on / type ext2 (ro,"), "{text}");
    assert!(text.contains("pmem0 on / type ext2 (rw,"), "{text}");
    assert!(text.ends_with("zzllo\n"), "{text}");
    assert_eq!(outcome.stderr.matches("read-only file system").count(), 3, "{}", outcome.stderr);
    image.expect_clean();
}
