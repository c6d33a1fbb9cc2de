//! Machine checks, raised through QEMU's monitor.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tests::image::Image;
use tests::vm::Vm;

const MIB: u64 = 1 << 20;
/// Where q35 puts the first NVDIMM of a machine with little RAM.
const PMEM: u64 = 0x1_0000_0000;

// IA32_MCi_STATUS: valid, uncorrected, enabled, MISC and ADDR valid, signalled; a memory scrubbing error.
const OPTIONAL: u64 = 0xbd00_0000_0000_00c0;
const CONTEXT_CORRUPT: u64 = 1 << 57;

struct Monitor(UnixStream);

impl Monitor {
    fn connect(path: &Path) -> Self {
        let start = Instant::now();
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Self(stream),
                Err(error) if start.elapsed() > tests::vm::PATIENCE => panic!("no monitor: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Restart address valid, machine check in progress; the address's low 12 bits say nothing.
    fn machine_check(&mut self, cpu: u32, status: u64, address: u64) {
        writeln!(self.0, "mce {cpu} 9 {status:#x} 0x5 {address:#x} 0x8c").expect("the monitor listens");
    }
}

fn boot(image: &Image, socket: &Path, cpus: &str) -> (Vm, Monitor) {
    let chardev = format!("socket,id=mce,server=on,wait=off,path={}", socket.display());
    let vm = Vm::boot(image, &["--smp", cpus, "--", "-chardev", &chardev, "-mon", "chardev=mce"]);
    let monitor = Monitor::connect(socket);
    (vm, monitor)
}

#[test]
fn an_error_in_persistent_memory_is_logged_and_the_kernel_lives() {
    let image = Image::ext2(32 * MIB);
    let folder = tempfile::tempdir().expect("a folder");
    for cpus in [1, 2] {
        let socket = folder.path().join(format!("monitor{cpus}"));
        let (mut vm, mut monitor) = boot(&image, &socket, &cpus.to_string());
        monitor.machine_check(cpus - 1, OPTIONAL, PMEM + 0x12_3456);
        vm.expect("machine check: 4096 bytes of persistent memory at 0x100123000 are bad");
        assert_eq!(vm.command("echo ali''ve").lines().last(), Some("alive"));
        // Who keeps the list of what is bad knows it.
        assert_eq!(vm.command("poison list").lines().last(), Some("pmem0 0x123000 4096"));
        // Once more: the banks were cleared.
        monitor.machine_check(0, OPTIONAL, PMEM + 0x40_0000);
        vm.expect("machine check: 4096 bytes of persistent memory at 0x100400000 are bad");
    }
}

#[test]
fn an_error_that_leaves_nothing_to_go_on_with_is_a_panic() {
    let image = Image::ext2(32 * MIB);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut vm, mut monitor) = boot(&image, &folder.path().join("monitor"), "2");
    monitor.machine_check(1, OPTIONAL | CONTEXT_CORRUPT, PMEM);
    vm.expect("KERNEL PANIC: machine check");
    assert_eq!(vm.wait(), 101);
}
