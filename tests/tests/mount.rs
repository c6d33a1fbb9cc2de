//! Mount options, and what mounting says.

use tests::image::Image;
use tests::run::QemuRun;

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
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let want = "pmem0 on / type ext2 (rw,protocol=racy)\nf\nlost+found\n";
    assert_eq!(outcome.text(), want, "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 6, "{}", outcome.stderr);
    assert!(lines[0].contains("not mounted: pmem0: no file system of a known type (ext2"), "{}", lines[0]);
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
    let printed = QemuRun::new("stats reset; selftest; stats heap.shrinks").pmem(&image).ok();
    assert!(printed.ends_with("heap.shrinks 2\n"), "{printed}");
    image.expect_clean();
}

#[test]
fn a_remount_changes_what_it_says_or_says_why_not() {
    let image = Image::ext2(64 * MIB);
    let cases = [
        ("mount -o remount,protocol=entry-lock /; mount", "", "(rw,protocol=entry-lock)"),
        // What is not said stays as it is.
        ("mount -o remount,ro /; mount -o remount,protocol=racy /; mount", "", "(ro,protocol=racy)"),
        ("mount -o remount,rw,protocol=read-first pmem0; mount", "", "(rw,protocol=read-first)"),
        (
            "echo x > f; mmap f; mount -o remount,protocol=racy /; mount",
            "mount: /: device or resource busy: the protocol stays read-first: /f is mapped at 0x10000000000",
            "(rw,protocol=read-first)",
        ),
        // The one that there is already is no change.
        (
            "mount -o remount,ro,protocol=read-first /; mount; mount -o remount,rw /",
            "",
            "(ro,protocol=read-first)",
        ),
        ("munmap 0x10000000000; mount -o remount,protocol=racy /; mount", "", "(rw,protocol=racy)"),
        (
            "freeze /; mount -o remount,ro,protocol=entry-lock /; mount; thaw /",
            "mount: /: device or resource busy",
            "(rw,protocol=racy)",
        ),
        ("mount -o remount,protocol=no /", "mount: unknown protocol 'no' (there are ", ""),
        ("mount -o remount,frob /", "mount: unknown mount option 'frob'", ""),
        (
            "mount -o remount,sb=131072 /",
            "mount: /: sb= is for a mount: the superblock is in use already",
            "",
        ),
        (
            "mount -o remount /",
            "mount: -o remount: nothing to change (ro, rw, protocol=PROTOCOL or errors=POLICY)",
            "",
        ),
        ("mount -o remount,ro,rw /", "mount: ro and rw exclude each other", ""),
        ("mount -r -o remount,rw /", "mount: ro and rw exclude each other", ""),
        ("mount -o protocol=racy,protocol=entry-lock pmem0 /", "mount: two protocols exclude each other", ""),
        ("mount -o ro", "mount: missing operand", ""),
        ("mount -t xfs -o remount,ro /", "mount: unknown file system type 'xfs' (there is ", ""),
        ("mount -t xfs", "", ""),
        ("mount -t ext2", "", "(rw,protocol=racy)"),
        ("mount -t auto", "", "(rw,protocol=racy)"),
        ("umount /; mount -t frob pmem0 /", "mount: unknown file system type 'frob' (there is ", ""),
        ("mount -t ext2 pmem0 /; mount", "", "(rw,protocol=read-first)"),
        ("umount /; mount -t auto pmem0 /; mount", "", "(rw,protocol=read-first)"),
    ];
    let script = cases.map(|(script, ..)| format!("{script}; echo ===")).join("\n");
    let outcome = QemuRun::new(&script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    let shown: Vec<&str> = text.split("===\n").collect();
    let said: Vec<&str> = outcome.stderr.lines().collect();
    let mut next = said.iter();
    for ((script, says, shows), shown) in cases.iter().zip(shown) {
        if !says.is_empty() {
            assert!(next.next().is_some_and(|line| line.starts_with(says)), "{script}: {}", outcome.stderr);
        }
        let mounted = shown.lines().filter(|line| line.starts_with("pmem0 on ")).collect::<Vec<_>>();
        let right = if shows.is_empty() {
            mounted.is_empty()
        } else {
            mounted.iter().any(|line| line.ends_with(shows))
        };
        assert!(right, "{script}: {shown}");
    }
    assert_eq!(next.next(), None, "{}", outcome.stderr);
    image.expect_clean();
}

/// What a contradiction leads to stays as it was too, where something else that was asked for is refused.
#[test]
fn a_remount_that_is_refused_leaves_the_policy_for_errors() {
    let image = Image::ext2(16 * MIB);
    image.debugfs_write("set_inode_field <11> block[0] 99999999");
    let script = "freeze /; mount -o remount,ro,errors=remount-ro /; thaw /
        echo x > /f; mmap /f; mount -o remount,protocol=racy,errors=remount-ro /; ls /lost+found; mount
        mount -o remount,errors=remount-ro /; ls /lost+found; mount";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    let mounted: Vec<&str> = text.lines().filter(|line| line.starts_with("pmem0 on ")).collect();
    assert_eq!(mounted.len(), 2, "{text}{}", outcome.stderr);
    assert!(mounted[0].ends_with("(rw,protocol=read-first)"), "refused, and yet it holds: {text}");
    assert!(mounted[1].ends_with("(ro,protocol=read-first)"), "{text}{}", outcome.stderr);
    let said: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("mount: ")).collect();
    assert_eq!(said[0], "mount: /: device or resource busy");
    assert!(said[1].contains("the protocol stays read-first: /f is mapped") && said.len() == 2, "{said:?}");
}

/// While faults run on all CPUs, the protocol of their file system is asked to change again and again: where
/// a file is mapped it does not, between two mappings it does, and no store is lost.
#[test]
fn a_protocol_that_changes_beside_faults_loses_nothing() {
    let image = Image::mke2fs(128 * MIB, &["-t", "ext2", "-b", "4096"]);
    let change = "mount -o remount,protocol=entry-lock /; sleep 0.03; mount -o remount,protocol=read-first /; sleep 0.05\n";
    let script = format!(
        "exercise holetest --rounds 80 --seed 7 & exercise map-holes --rounds 40 &\n{}wait",
        change.repeat(25)
    );
    let outcome = QemuRun::new(&script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    assert_eq!(text.matches(": OK\n").count(), 2, "{text}{}", outcome.stderr);
    let refused = "mount: /: device or resource busy: the protocol stays ";
    assert!(outcome.stderr.lines().all(|line| line.starts_with(refused)), "{}", outcome.stderr);
    assert!(outcome.stderr.lines().count() > 5, "nothing was mapped meanwhile: {}", outcome.stderr);
    image.expect_clean();
}
