//! The machine comes up: both firmwares, one and two CPUs, little memory and much persistent memory.

use tests::image::Image;
use tests::run::Run;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;

fn boots(args: &[&str]) {
    let image = Image::ext2(32 * MIB);
    assert_eq!(Run::new("ls /").pmem(&image).args(args).ok(), "lost+found\n");
    image.expect_clean();
}

#[test]
fn boots_by_bios_on_one_cpu() {
    boots(&["--smp", "1"]);
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
    let printed = Run::new("ls /; df /").pmem(&image).args(["--mem", "64M"]).ok();
    assert!(printed.starts_with("lost+found\n"), "{printed}");
    image.expect_clean();
}

#[test]
fn boots_in_256_mib_with_a_128_gib_sparse_nvdimm() {
    let image = Image::ext2(128 << 30);
    let script = "io -f -c 'pwrite -q 0 1m' /f; stat /f; nfit";
    let printed = Run::new(script).pmem(&image).args(["--mem", "256M"]).ok();
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
