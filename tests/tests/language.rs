//! The shell's language, the commands that it makes useful, and what a keyboard does.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::image::Image;
use tests::run::QemuRun;
use tests::vm::{PATIENCE, Vm};

use crate::shell::expect;

const MIB: u64 = 1 << 20;

/// A few files.
fn files() -> Image {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for dir in ["d/e", "dev"] {
        fs::create_dir_all(at(dir)).expect("a folder");
    }
    for (name, text) in
        [("a.c", "one\ntwo\nthree\n"), ("b.c", "Two\n"), ("c.h", ""), ("d/x.c", "deep\n"), (".hid", "")]
    {
        fs::write(at(name), text).expect("a file");
    }
    std::os::unix::fs::symlink("round", at("round")).expect("a link");
    std::os::unix::fs::symlink("nowhere", at("lost")).expect("a link");
    std::os::unix::fs::symlink("n".repeat(300), at("long")).expect("a link");
    Image::mke2fs(
        64 * MIB,
        &["-t", "ext2", "-b", "4096", "-d", folder.path().to_str().expect("a plain path")],
    )
}

#[test]
fn patterns_variables_lists_and_pipes_do_what_a_posix_shell_does() {
    let image = files();
    expect(
        &image,
        &[
            ("echo *.c ?.h /d/* *.none '*.c' \\*", "a.c b.c c.h /d/e /d/x.c *.none *.c *\n"),
            ("echo */ .h* [!a].c", "d/ dev/ lost+found/ .hid b.c\n"),
            ("x='a  b'; y=$x.c; echo $x \"$x\" '$x' ${x}s $none \"$y\"", "a b a  b $x a bs a  b.c\n"),
            ("true && echo yes; true || echo no; echo $?", "yes\n0\n"),
            ("cat /a.c | tail -n 2 | head -n 1", "two\n"),
            ("cat /*.c | wc -l; wc -l < /a.c; cat < /b.c > /copy; cat /copy; rm /copy", "4\n3\nTwo\n"),
            ("cat /a.c |\n grep w &&\n echo found", "two\nfound\n"),
            (
                "cat /a.c | cmp - /a.c; sha256sum < /c.h",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n",
            ),
            ("echo kept > /f | wc -c; cat /f; rm /f", "0\nkept\n"),
            ("run echo of a task | wc -c; run echo to a file > /f; cat /f; rm /f", "10\nto a file\n"),
            ("cat /a.c | run grep w; run wc -l < /a.c; cat /a.c | run cat - | wc -l", "two\n3\n3\n"),
            ("false || true & echo $?; wait > /f; rm /f", "0\n"),
            ("v=1; echo $v.x && v=2 & wait | grep -c 'exit 0 echo $v.x && v=2$'", "1.x\n1\n"),
            ("echo > *.c", "!echo: *.c: must stand for one name"),
            (
                "cat -",
                "!cat: -: there is no input (it comes from a command before |, or from a file after <)",
            ),
            (
                "dd if=/dev/pmem0 bs=64M status=none | wc -c",
                "!dd: |: holds no more than 16 MiB, and what there is of memory",
            ),
        ],
    );
}

/// What `||` answers is no failure of the run, and what nothing answers is one, in a list and in a pipeline.
#[test]
fn a_failure_that_is_answered_is_none_and_no_other_is_lost() {
    let image = files();
    let run = |script: &str| QemuRun::new(script).pmem(&image).outcome();
    let outcome = run("false || echo saved $?; nothing || echo $?; false || false || true; echo end");
    assert_eq!((outcome.status, outcome.text().as_str()), (0, "saved 1\n127\nend\n"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "nothing: command not found\n");
    let outcome = run("true && false && echo no; echo not reached");
    assert_eq!((outcome.status, outcome.text().as_str()), (1, ""), "{}", outcome.stderr);
    let outcome = run("cat /none | wc -c; echo not reached");
    assert_eq!((outcome.status, outcome.text().as_str()), (1, "0\n"), "{}", outcome.stderr);
    let outcome = run("echo not run; if true; then echo x; fi");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (1, "sh: if is not supported at column 15\n"));
}

#[test]
fn grep_tail_tree_dd_less_and_help() {
    let image = files();
    let zeros = format!("{:07x}", 1024);
    expect(
        &image,
        &[
            ("grep -n t /a.c", "2:two\n3:three\n"),
            (
                "grep -i two /a.c /b.c; grep -vc t /a.c; grep -l o /a.c /b.c /c.h",
                "/a.c:two\n/b.c:Two\n1\n/a.c\n/b.c\n",
            ),
            (
                "grep -E '^(one|t.*e)$' /a.c; grep -F . /a.c || echo none; grep -r deep /d",
                "one\nthree\nnone\n/d/x.c:deep\n",
            ),
            ("grep -q zero /a.c; echo", "\n"),
            ("grep '[a' /a.c", "!grep: [a: unmatched ["),
            ("tail -n 1 /a.c; tail -n +3 /a.c; tail -c 4 /b.c; tail -c +3 /b.c", "three\nthree\nTwo\no\n"),
            ("tail -n 1 /a.c /b.c", "==> /a.c <==\nthree\n\n==> /b.c <==\nTwo\n"),
            ("less /b.c; cat /b.c | more", "Two\nTwo\n"),
            (
                "rm /long /lost; tree /d; tree -a -L 1 /",
                "/d\n├── e\n└── x.c\n\n1 directory, 1 file\n/\n├── .hid\n├── a.c\n├── b.c\n├── c.h\n├── d\n├── dev\n├── lost+found\n└── round -> round\n\n3 directories, 5 files\n",
            ),
            (
                "dd if=/a.c of=/f bs=4 count=1 skip=1 seek=2 status=none; hexdump -C /f",
                "00000000  00 00 00 00 00 00 00 00  74 77 6f 0a              |........two.|\n0000000c\n",
            ),
            (
                "dd if=/b.c of=/f conv=notrunc status=none; stat -c %s /f; dd if=/b.c of=/f status=none; stat -c %s /f; rm /f",
                "12\n4\n",
            ),
            (
                "dd if=/dev/pmem0 bs=512 skip=2 count=2 status=none | tail -c 1 | wc -c; echo x | dd status=none",
                "1\nx\n",
            ),
            ("dd if=/dev/pmem0 bs=1k count=1 status=none | hexdump | tail -n 1", &format!("{zeros}\n")),
            ("dd ibs=3", "!dd: unknown operand 'ibs=3'"),
            (
                "true --help; help true; io -c 'fsync --help' /a.c",
                "true\n    succeed\ntrue\n    succeed\nfsync -- calls fsync(2) to flush all in-core file state to disk\n",
            ),
            (
                "chmod --help | head -n 1; find --help | head -n 1 | wc -l; run --help | wc -l",
                "chmod [-R] MODE FILE...\n1\n3\n",
            ),
        ],
    );
    // A directory that is in two places is drawn once, and the run has failed.
    image.debugfs_write("ln /d /d2");
    let outcome = QemuRun::new("tree -L 2 /").pmem(&image).outcome();
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with("the image is damaged: this directory is in more than one place\n"));
    image.debugfs_write("unlink /d2");
    let outcome = QemuRun::new("dd if=/a.c bs=8 > /f").pmem(&image).outcome();
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines[..2], ["1+1 records in", "1+1 records out"], "{}", outcome.stderr);
    assert!(lines[2].starts_with("14 bytes copied, ") && lines.len() == 3, "{}", outcome.stderr);
}

/// Each where GNU's differed from ours.
#[test]
fn paths_that_lead_nowhere_and_modes_are_treated_as_gnu_does() {
    let image = files();
    let name = "n".repeat(300);
    let too_long = |command: &str, path: &str| {
        (format!("{command} {path}"), format!("!{command}: {path}: file name too long"))
    };
    let (ls, ls_link) = (too_long("ls", &format!("/{name}")), too_long("ls", "/long"));
    let link = format!("/{name}/x");
    let below = too_long("ls", &link);
    expect(
        &image,
        &[
            ("ls /round", "!ls: /round: too many levels of symbolic links"),
            ("ls /round/x", "!ls: /round/x: too many levels of symbolic links"),
            ("ls -d /round /lost; ls /lost", "/lost\n/round\n/lost\n"),
            (&ls.0, &ls.1),
            (&ls_link.0, &ls_link.1),
            (&below.0, &below.1),
            (
                "echo s > /s; mv -n /s /a.c/; mv -n /s /s; mv -n /s /d/; cat /d/s; mv -n /b.c /d/s; cat /b.c",
                "s\nTwo\n",
            ),
            ("mv -nT /d/s /d/; mv -n /d/s /dev2/", "!mv: /dev2/: not a directory"),
            ("chmod 6755 /d; chmod 755 /d; stat -c %a /d; chmod =755 /d; stat -c %a /d", "6755\n755\n"),
            ("chmod +2000 /d; stat -c %a /d; chmod 00755 /d; stat -c %a /d", "2755\n755\n"),
        ],
    );
    // A symbolic link whose target cannot be read: the line is whole, and so is what comes after it.
    image.debugfs_write("sif /lost size 0");
    let outcome = QemuRun::new("find /a.c /lost /b.c -ls").pmem(&image).outcome();
    let text = outcome.text();
    let ends: Vec<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!((ends, outcome.status), (vec!["/a.c", "/lost", "/b.c"], 1), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    // The image has a directory of that name.
    let log = QemuRun::new("dmesg").pmem(&image).ok();
    assert!(
        log.contains("pmem0: its own /dev is hidden: /dev has the regions of persistent memory"),
        "{log}"
    );
}

#[test]
fn tab_completes_options_values_and_topics_and_less_pages() {
    let image = files();
    let mut vm = Vm::boot(&image, &[]);
    for (typed, completed) in [
        ("race -p ra\t", "race -p racy "),
        ("race --pro\t", "race --protocol "),
        ("mount -o remount,protocol=en\t", "mount -o remount,protocol=entry-lock "),
        ("exercise hole\t", "exercise holetest "),
        ("bench large-r\t", "bench large-read"),
        ("stats fault.zero\t", "stats fault.zero-page "),
        ("exercise all --mutant copy-under\t", "exercise all --mutant copy-under-lock "),
        ("crash double\t", "crash double-panic "),
        ("help exer\t", "help exercise "),
        ("run -c 0 exer\t", "run -c 0 exercise "),
        ("true | wc -l < a\t", "true | wc -l < a.c "),
        ("find / -inam\t", "find / -iname "),
        ("trace of\t", "trace off "),
    ] {
        vm.send(typed);
        vm.expect(completed);
        // Ctrl-A belongs to the editor: the line is cut from its start on.
        vm.send("\x01\x0b\r");
        vm.prompt();
    }
    // Long output, a screenful at a time.
    vm.send("find /d / | cat /a.c /a.c /a.c /a.c /a.c /a.c /a.c /a.c /a.c /a.c | less\r");
    vm.expect("line 1 of 30");
    vm.send("G");
    vm.expect("(end; q leaves, h helps)");
    vm.send("q");
    vm.prompt();
    assert_eq!(vm.command("less /a.c"), "one\ntwo\nthree\n", "what fits is printed");
    vm.send("poweroff\r");
    assert_eq!(vm.wait(), 0);
}

/// Without a serial port nobody can type: the machine waits with its CPU halted, as at any prompt.
#[test]
fn without_a_serial_port_the_cpu_halts() {
    let image = files();
    let disk = tests::build_directory().join("daxiom-bios.img");
    let drive = format!("format=raw,snapshot=on,file={}", disk.display());
    let memory = format!(
        "memory-backend-file,id=pmem0,share=on,size={},mem-path={}",
        64 * MIB,
        image.path().display()
    );
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35,nvdimm=on", "-m", "256M,slots=1,maxmem=2G", "-cpu", "max", "-accel", "tcg"])
        .args(["-display", "none", "-no-reboot", "-nic", "none", "-serial", "none", "-monitor", "stdio"])
        .args(["-drive", &drive, "-object", &memory, "-device", "nvdimm,id=nvdimm0,memdev=pmem0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("QEMU starts");
    let (mut monitor, mut answers) =
        (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (sender, text) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_err() {
                break;
            }
        }
    });
    // In the kernel, halted, and so again and again: 20 looks in a row.
    let deadline = Instant::now() + PATIENCE;
    let (mut halts, mut seen) = (0, String::new());
    while halts < 20 && Instant::now() < deadline {
        monitor.write_all(b"info registers\n").expect("the monitor listens");
        std::thread::sleep(Duration::from_millis(200));
        seen = text.try_iter().collect();
        let halted = seen.contains("HLT=1") && seen.contains("RIP=ffffffff8");
        halts = if halted { halts + 1 } else { 0 };
    }
    let _ = monitor.write_all(b"quit\n");
    child.wait().expect("QEMU ends");
    assert!(halts == 20, "{seen}");
}
