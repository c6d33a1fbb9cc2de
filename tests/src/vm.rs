//! A machine on a serial line.

use crate::image::Image;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long anything the guest does may take before the test gives up. Generous: machines are slow and
/// shared, and only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A running machine with its console. Killed when dropped.
pub struct Vm {
    child: Child,
    stdin: ChildStdin,
    output: Receiver<Vec<u8>>,
    transcript: String,
    consumed: usize,
}

impl Vm {
    /// Boots with `image` as the only NVDIMM, and waits for the prompt.
    pub fn boot(image: &Image, args: &[&str]) -> Self {
        let mut vm = Self::start(image, args);
        vm.prompt();
        vm
    }

    /// Starts a machine like [`boot`](Vm::boot), without waiting.
    pub fn start(image: &Image, args: &[&str]) -> Self {
        let mut command = crate::qemu_run();
        command.arg("--no-build").arg("--pmem").arg(image.path()).args(args);
        Self::spawn(command)
    }

    /// Returns a machine that `command` starts, on its standard input and output.
    pub fn spawn(mut command: Command) -> Self {
        // A process group of its own, so that QEMU goes with the script.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("qemu-run.sh starts");
        let (stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, output, transcript: String::new(), consumed: 0 }
    }

    /// Types bytes.
    pub fn send(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).and_then(|()| self.stdin.flush()).expect("the machine listens");
    }

    /// Waits for `pattern` after what was consumed so far; consumes it and returns what came before it.
    ///
    /// # Panics
    /// With the transcript, when it does not come in time or the machine ends first.
    pub fn expect(&mut self, pattern: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.transcript[self.consumed..].find(pattern) {
                let before = self.transcript[self.consumed..self.consumed + at].to_owned();
                self.consumed += at + pattern.len();
                return before;
            }
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.transcript.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no {pattern:?} in {PATIENCE:?}")),
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(&format!("the machine ended before {pattern:?}"))
                }
            }
        }
    }

    /// Waits for the shell's prompt; returns what came before it.
    pub fn prompt(&mut self) -> String {
        self.expect("daxiom:/# ")
    }

    /// Types a command, waits until the command is done, and returns what it printed.
    pub fn command(&mut self, line: &str) -> String {
        self.send(line);
        self.send("\r");
        // The echo of the line comes first.
        let printed = self.prompt();
        printed.split_once("\r\n").map_or(String::new(), |(_, output)| output.replace("\r\n", "\n"))
    }

    /// Pulls the plug: SIGKILL for QEMU, no chance to write anything. What reached the memory stays in the
    /// image.
    pub fn power_cut(mut self) {
        self.kill();
    }

    /// Waits for the machine to end by itself; returns the exit status of `qemu-run.sh`.
    pub fn wait(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("the child is ours") {
                Some(status) => return status.code().unwrap_or(-1),
                None if Instant::now() > deadline => self.fail("the machine did not end"),
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn kill(&mut self) {
        // The group may be gone already; then there is nothing to kill.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
        // QEMU is the script's child, not ours: until it has gone, too, it has the image open and locked.
        let deadline = Instant::now() + PATIENCE;
        while lives(self.child.id()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n--- transcript\n{}\n--- end of transcript", self.transcript)
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a process of this group still runs; one that only waits to be noticed by its parent does not.
fn lives(group: u32) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc");
    processes.flatten().any(|process| {
        // PID (NAME) STATE PARENT GROUP ...; whoever has gone meanwhile has no such file.
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(2).and_then(|field| field.parse().ok()) == Some(group) && !matches!(fields[0], "Z" | "X")
    })
}
