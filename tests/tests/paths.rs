//! Paths and trees in the guest: mount points, the current directory, trees deeper than a path is long.

use std::os::unix::fs::symlink;
use tests::image::Image;
use tests::run::QemuRun;

const MIB: u64 = 1 << 20;

/// Lines that make directories in each other, 40 times 250 bytes deep, a file in the last, and go back to
/// `/`.
fn deep_tree() -> String {
    let down: String =
        (10..50).map(|number| format!("mkdir {0}{1}\ncd {0}{1}\n", number, "d".repeat(248))).collect();
    format!("mkdir /top\ncd /top\n{down}io -f -c 'pwrite -q -S 0x61 0 5000' bottom\ncd /\n")
}

#[test]
fn a_tree_deeper_than_a_path_is_copied_listed_and_removed() {
    let image = Image::ext2(64 * MIB);
    let script = format!("{}cp -r /top /copy; ls -R /copy; rm -r /top; ls /; df -i /", deep_tree());
    let file = image.folder().join("script");
    std::fs::write(&file, script).expect("a script");
    let printed = QemuRun::from_file(&file).pmem(&image).ok();
    assert!(printed.lines().any(|line| line == "bottom"), "the end of the copy was not listed");
    assert!(printed.contains("copy\nlost+found\nFilesystem"), "something is left of the tree");
    image.expect_clean();
    QemuRun::new("rm -r /copy; ls /").pmem(&image).ok();
    image.expect_clean();
}

#[test]
fn the_current_directory_is_where_the_shell_went() {
    let tree = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(tree.path().join("a/b/c")).expect("directories");
    symlink("a/b", tree.path().join("link")).expect("a link");
    symlink("../../..", tree.path().join("a/b/up")).expect("a link");
    let image = Image::ext2_of(16 * MIB, tree.path());
    let script = "cd /link/c; pwd; pwd -P; ls ..; cd ../..; pwd; cd link; cd ./..//.; pwd
                  cd /a/b/c; rmdir /a/b/c; pwd; cd ..; pwd; mkdir x; cd x; rm -r /a; cd /link/nothing
                  cd ..; cd /; pwd; mkdir -p p/q; cd p; touch here q/there; rm q/../here; ls; ls q; cd q/..; pwd";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    assert_eq!(
        outcome.text(),
        "/link/c\n/a/b/c\nc\nup\n/\n/\n/a/b/c\n/a/b\n/\nq\nthere\n/p\n",
        "{}",
        outcome.stderr
    );
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines, ["cd: /link/nothing: no such file or directory", "cd: ..: no such file or directory"]);
    image.expect_clean();
}

#[test]
fn mount_points_hold_their_directory_and_follow_it_when_it_moves() {
    let (first, second) = (Image::ext2(16 * MIB), Image::ext2(16 * MIB));
    let script = "mkdir -p /a/b/mnt; mount pmem1 /a/b/mnt; touch /a/b/mnt/here; rmdir /a/b/mnt; mv /a/b/mnt /x
                  mount pmem1 /a; mv /a/b /a/moved; ls /a/moved/mnt; mount; ls /a/moved/mnt/..
                  cd /a/moved/mnt; umount /a/moved/mnt; umount /; cd ..; cp -r /a /a/moved/mnt; umount mnt
                  ls mnt; umount /; mount pmem0 /; ls /; mount pmem1 /lost+found; mount pmem2 /lost+found; ls /lost+found";
    let third = Image::ext2(16 * MIB);
    let outcome = QemuRun::new(script).pmem(&first).pmem(&second).pmem(&third).args(["-k"]).outcome();
    let text = outcome.text();
    let want = "here\nlost+found\n\
        pmem0 on / type ext2 (rw,protocol=read-first)\n\
        pmem1 on /a/moved/mnt type ext2 (rw,protocol=read-first)\n\
        mnt\na\nlost+found\nhere\nlost+found\n";
    assert_eq!(text, want, "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "rmdir: /a/b/mnt: device or resource busy",
            "mv: /a/b/mnt: device or resource busy",
            "mount: pmem1: already mounted on /a/b/mnt",
            "umount: /a/moved/mnt: device or resource busy: the current directory is inside",
            "umount: /: device or resource busy: pmem1 is mounted inside",
            "cp: /a: cannot copy a directory into itself, /a/moved/mnt/a",
            "mount: pmem2: device or resource busy",
        ]
    );
    for image in [first, second, third] {
        image.expect_clean();
    }
}
