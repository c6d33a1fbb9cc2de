//! Mount options, and what mounting says.

use tests::image::Image;
use tests::run::Run;

const MIB: u64 = 1 << 20;

#[test]
fn a_copy_of_the_superblock_mounts_what_has_lost_its_own() {
    let image = Image::ext2(160 * MIB);
    image.poke(1024, &[0; 1024]);
    // The first copy is in block 32768, which is 131072 KiB from the start.
    let script = "ls /
                  mount -o sb=131073 pmem0 /
                  mount -o sb=lots pmem0 /
                  mount -o sb=0 pmem0 /
                  mount -o sb pmem0 /
                  mount -o frob=1 pmem0 /
                  mount -o sb=131072,protocol=racy pmem0 /; mount; touch /f; umount /; mount pmem0 /; ls /";
    let outcome = Run::new(script).pmem(&image).args(["-k"]).outcome();
    let want = "pmem0 on / type ext2 (rw,protocol=racy)\nf\nlost+found\n";
    assert_eq!(outcome.text(), want, "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 6, "{}", outcome.stderr);
    assert!(lines[0].contains("not mounted: pmem0: corrupt superblock 0"), "{}", lines[0]);
    assert!(lines[1].starts_with("mount: pmem0: "), "{}", lines[1]);
    assert!(lines[2].starts_with("mount: sb=lots: not a number of KiB"), "{}", lines[2]);
    assert!(lines[3].starts_with("mount: sb=0: not a number of KiB"), "{}", lines[3]);
    assert_eq!(lines[4], "mount: unknown mount option 'sb'");
    assert_eq!(lines[5], "mount: unknown mount option 'frob=1'");
    image.expect_clean();
}

#[test]
fn who_keeps_memory_to_be_faster_is_asked_when_it_is_short() {
    let image = Image::ext2(16 * MIB);
    let printed = Run::new("stats reset; selftest; stats heap.shrinks").pmem(&image).ok();
    assert!(printed.ends_with("heap.shrinks 2\n"), "{printed}");
    image.expect_clean();
}
