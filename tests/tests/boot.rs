//! The machine comes up: both firmwares, one and two CPUs, little memory and much persistent memory.

use tests::image::Image;
use tests::run::QemuRun;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;

fn boots(args: &[&str]) {
    let image = Image::ext2(32 * MIB);
    assert_eq!(QemuRun::new("ls /").pmem(&image).args(args).ok(), "lost+found\n");
    image.expect_clean();
}

/// The firmware's, the boot loader's and the kernel's set-up of the serial port each empty it.
#[test]
fn what_comes_through_a_pipe_before_the_prompt_arrives_whole() {
    for firmware in [&[] as &[&str], &["--uefi"]] {
        let image = Image::ext2(8 * MIB);
        let mut vm = Vm::start(&image, firmware);
        vm.send("echo abcdefghijklmnopqrstuvwxyz\npoweroff\n");
        vm.expect("\r\nabcdefghijklmnopqrstuvwxyz\r\n");
        assert_eq!(vm.wait(), 0);
    }
}

/// With as little RAM as there may be, and the oldest 64-bit CPU that QEMU has: neither CLWB nor CLFLUSHOPT.
#[test]
fn boots_by_bios_on_one_cpu() {
    boots(&["--smp", "1", "--mem", "32M", "--", "-cpu", "core2duo"]);
}

/// Why there is no start on a CPU that lacks something.
fn refusal(cpu: &str) -> String {
    let line = QemuRun::new("ls /").args(["--pmem", "none", "--smp", "1", "--", "-cpu", cpu]).fails(125);
    line.strip_prefix("qemu-run.sh: kernel: cannot start: ").expect(&line).to_owned()
}

#[test]
fn a_cpu_without_what_the_kernel_needs_is_told_so() {
    let lacking = refusal("qemu64,-apic,-tsc,-sse,-sse2,-clflush");
    let all = [
        "tsc (the time-stamp counter)",
        "apic (the local APIC)",
        "sse (SFENCE)",
        "sse2 (MOVNTI)",
        "clflush (CLFLUSH, CLFLUSHOPT or CLWB)",
    ];
    assert_eq!(lacking, format!("this CPU lacks {}", all.join(", ")));
}

/// The boot loader cannot say so: qemu-run.sh knows that there was no kernel yet.
#[test]
fn a_cpu_without_what_the_boot_loader_needs_is_told_so() {
    let needs = "the boot loader needs a CPU with lm (64-bit mode) and nx (execute-disable)";
    for cpu in ["max,-nx", "pentium3"] {
        assert_eq!(refusal(cpu), format!("triple fault before its first line; {needs}"));
    }
}

/// An inode's time ends in 2038 where it has 128 bytes, in 2446 where it has 256. QEMU takes no date that is
/// further from today than 68 years, and has none after 2262: its monitor sets the century to 22 before the
/// machine begins.
#[test]
fn the_clock_knows_its_century_and_times_last_until_2446() {
    let large = Image::mke2fs(16 * MIB, &["-t", "ext2", "-b", "4096", "-I", "256"]);
    let small = Image::mke2fs(16 * MIB, &["-t", "ext2", "-b", "4096", "-I", "128"]);
    let monitor = large.folder().join("monitor");
    let (commands, answers) = (monitor.with_extension("in"), monitor.with_extension("out"));
    std::fs::write(commands, "o /b 0x70 0x32\no /b 0x71 0x22\nc\n").expect("a file of commands");
    std::fs::write(answers, "").expect("a file for what is said");
    let script = "date; mkdir /mnt; mount pmem1 /mnt; touch /now /mnt/now; ls -l /now /mnt/now; stat /now; \
                  touch -d '2446-05-10 22:38:55.5' /last; touch -d 2447-01-01 /late; touch -d 1902-01-01 /old; \
                  ls -l /last /late /old; find /now -mtime -1; date -s";
    let chardev = format!("pipe,id=monitor,path={}", monitor.display());
    let clock = ["-S", "-rtc", "base=2046-05-10T22:00:00", "-chardev", &chardev, "-mon", "chardev=monitor"];
    let run = QemuRun::new(script).pmem(&large).pmem(&small).args(["--icount", "--"]).args(clock);
    let printed = run.ok();
    let lines: Vec<_> = printed.lines().collect();
    let expect = |at: usize, parts: &[&str]| {
        assert!(parts.iter().all(|part| lines[at].contains(part)), "line {at} lacks {parts:?}: {printed}");
    };
    expect(0, &["Sun May 10 22:00:0", " UTC 2246"]);
    expect(1, &["Jan 19  2038 /mnt/now"]);
    expect(2, &["May 10 22:00 /now"]);
    assert!(printed.contains("Modify: 2246-05-10 22:00:0"), "{printed}");
    for line in ["May 10  2446 /last", "May 10  2446 /late", "Jan  1  1902 /old", "\n/now\n"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let now: i64 = lines[lines.len() - 1].parse().expect("seconds");
    assert!((8_720_949_600..8_720_949_660).contains(&now), "{now}");
    let told = String::from_utf8(large.debugfs("stat /last")).expect("text");
    assert!(told.contains("mtime: 0x7fffffff:"), "{told}");
}

#[test]
fn boots_by_bios_on_two_cpus() {
    boots(&["--smp", "2"]);
}

#[test]
fn boots_by_uefi_on_one_cpu() {
    boots(&["--uefi", "--smp", "1"]);
}

#[test]
fn boots_by_uefi_on_two_cpus() {
    boots(&["--uefi", "--smp", "2"]);
}

#[test]
fn boots_counting_instructions() {
    boots(&["--icount"]);
}

#[test]
fn boots_in_64_mib_with_a_1_gib_nvdimm() {
    let image = Image::ext2(1024 * MIB);
    let printed = QemuRun::new("ls /; df /").pmem(&image).args(["--mem", "64M"]).ok();
    assert!(printed.starts_with("lost+found\n"), "{printed}");
    image.expect_clean();
}

#[test]
fn boots_in_256_mib_with_a_128_gib_sparse_nvdimm() {
    let image = Image::ext2(128 << 30);
    let script = "io -f -c 'pwrite -q 0 1m' /f; stat /f; nfit";
    let printed = QemuRun::new(script).pmem(&image).args(["--mem", "256M"]).ok();
    assert!(printed.contains("1048576"), "{printed}");
    assert!(printed.contains("128 GiB"), "{printed}");
}

#[test]
fn the_shell_edits_lines_and_powers_off() {
    let image = Image::ext2(32 * MIB);
    let mut vm = Vm::boot(&image, &[]);
    // Typed with an error, which is then erased; then once more from the history.
    assert_eq!(vm.command("echo onf\x08e two"), "one two\n");
    assert_eq!(vm.command("\x1b[A"), "one two\n");
    assert_eq!(vm.command("mkdir /made; ls -1 /"), "lost+found\nmade\n");
    vm.send("poweroff\r");
    assert_eq!(vm.wait(), 0);
    image.expect_clean();
    assert!(!image.debugfs("stat /made").is_empty());
}

#[test]
fn a_command_that_fails_leaves_the_shell_alive() {
    let image = Image::ext2(32 * MIB);
    let mut vm = Vm::boot(&image, &[]);
    assert_eq!(vm.command("cat /nothing"), "cat: /nothing: no such file or directory\n");
    assert_eq!(vm.command("frobnicate"), "frobnicate: command not found\n");
    assert_eq!(vm.command("echo alive"), "alive\n");
}
