//! Several CPUs: all run, tasks share them, and what one takes away the others no longer have.

use tests::image::Image;
use tests::run::QemuRun;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;
const CPUS: [&str; 3] = ["1", "2", "4"];

#[test]
fn every_cpu_of_the_madt_runs() {
    let image = Image::ext2(32 * MIB);
    for cpus in ["1", "2", "4", "9"] {
        let printed = QemuRun::new("cpus").pmem(&image).args(["--smp", cpus]).ok();
        let count: usize = cpus.parse().expect("a number");
        assert_eq!(printed.lines().count(), count + 1, "{printed}");
        assert!(!printed.contains("off"), "{printed}");
    }
}

#[test]
fn every_cpu_of_the_madt_runs_by_uefi() {
    let image = Image::ext2(32 * MIB);
    let printed = QemuRun::new("cpus; selftest").pmem(&image).args(["--uefi", "--smp", "3"]).ok();
    assert!(printed.lines().any(|line| line.trim_start().starts_with("2 ")), "{printed}");
}

/// Tasks on all CPUs that wait for each other, joins, sleepers, both locks, and that neither readers nor
/// writers starve: the kernel's own checks, on one, two and four CPUs, and counting instructions.
#[test]
fn tasks_and_locks_pass_the_self_test() {
    let image = Image::ext2(32 * MIB);
    for cpus in CPUS {
        QemuRun::new("selftest; selftest; selftest").pmem(&image).args(["--smp", cpus]).ok();
    }
    QemuRun::new("selftest").pmem(&image).args(["--icount"]).ok();
}

#[test]
fn a_command_in_a_task_of_its_own_has_a_status() {
    let image = Image::ext2(32 * MIB);
    let script = "run echo here; run -c 0 ps; run true & run false & sleep 0.01 & wait; echo not-reached";
    let outcome = QemuRun::new(script).pmem(&image).args(["-k"]).outcome();
    let text = outcome.text();
    assert!(text.starts_with("here\n"), "{text}");
    assert!(text.contains(" 0 running") && text.contains(" ps\n"), "{text}");
    let ended: Vec<&str> = text.lines().filter(|line| line.contains(" exit ")).collect();
    assert_eq!(ended.len(), 3, "{text}");
    assert!(ended[0].ends_with("exit 0 true"), "{text}");
    assert!(ended[1].ends_with("exit 1 false"), "{text}");
    assert!(ended[2].ends_with("exit 0 sleep 0.01"), "{text}");
    assert_eq!(outcome.status, 1, "false failed");
}

#[test]
fn a_task_killed_by_a_fault_says_so_while_another_goes_on() {
    let image = Image::ext2(32 * MIB);
    for cpus in CPUS {
        let script = "io -f -c 'pwrite -q 0 4k' /f
            run io -c 'mmap -rw 0 4k' -c 'mwrite 0 4k' -c fsync /f & run peek 0x10000 &
            run io -c 'mmap -r 0 8k' -c 'mread 4k 1' /f &
            wait; run true; echo alive";
        let outcome = QemuRun::new(script).pmem(&image).args(["-k", "--smp", cpus]).outcome();
        let text = outcome.text();
        let ended: Vec<&str> = text.lines().filter(|line| line.contains(" exit ")).collect();
        assert_eq!(ended.len(), 3, "{text}");
        assert!(ended[0].contains("exit 0 io"), "{text}");
        assert!(ended[1].contains("exit 139 (SIGSEGV) peek"), "{text}");
        assert!(ended[2].contains("exit 135 (SIGBUS) io"), "{text}");
        assert!(text.ends_with("alive\n"), "{text}");
        assert!(outcome.stderr.contains("read fault at 0x10000"), "{}", outcome.stderr);
    }
    image.expect_clean();
}

/// A task reads, or writes, a mapped page all the time; the file is truncated. Without a shootdown the task
/// would go on with its old translation for ever.
#[test]
fn a_page_taken_away_is_gone_on_every_cpu() {
    let image = Image::ext2(32 * MIB);
    for (cpus, pin) in [("1", "-c 0"), ("2", "-c 0"), ("2", "-c 1"), ("4", "-c 3"), ("4", "")] {
        let mut vm = Vm::boot(&image, &["--smp", cpus]);
        for access in ["", "-w "] {
            vm.command("io -f -c 'pwrite -q 0 64k' /f");
            vm.send(&format!("run {pin} io -c 'mmap -rw 0 64k' -c 'mspin {access}32k' /f &\r"));
            vm.expect("mspin at ");
            // The prompt came before that, or comes after.
            vm.send("echo do''ne\r");
            vm.expect("done");
            vm.prompt();
            vm.command("truncate -s 16k /f");
            let printed = vm.command("wait");
            assert!(printed.contains("exit 135 (SIGBUS) io"), "{cpus} CPUs, {pin}: {printed}");
        }
        vm.send("poweroff\r");
        assert_eq!(vm.wait(), 0);
        image.expect_clean();
    }
}

/// Lines of tasks that write at the same time stay whole.
#[test]
fn output_of_tasks_is_not_torn() {
    let tree = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        let line = format!("{}\n", name.repeat(77));
        std::fs::write(tree.path().join(name), line.repeat(400)).expect("a file");
    }
    let image = Image::ext2_of(32 * MIB, tree.path());
    let printed = QemuRun::new("cat /a & cat /b & cat /c & wait").pmem(&image).args(["--smp", "4"]).ok();
    let whole = |line: &&str| line.len() == 77 && line.bytes().all(|byte| byte == line.as_bytes()[0]);
    assert_eq!(printed.lines().filter(whole).count(), 1200);
    assert_eq!(printed.lines().count(), 1203);
}

#[test]
fn a_panic_on_another_cpu_stops_all() {
    let image = Image::ext2(32 * MIB);
    for kind in ["panic", "stack-overflow", "execute-data"] {
        let script = format!("run -c 0 sleep 60 & run -c 1 crash {kind}");
        let outcome = QemuRun::new(&script).pmem(&image).args(["--smp", "3"]).outcome();
        assert_eq!(outcome.status, 101, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("KERNEL PANIC"), "{}", outcome.stderr);
        assert_eq!(kind == "stack-overflow", outcome.stderr.contains("kernel stack overflow"));
    }
}
