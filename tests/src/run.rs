//! One `./qemu-run.sh --exec` run.

use crate::image::Image;
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

/// A run being put together.
pub struct QemuRun {
    command: Command,
    script: String,
    stdin: Option<File>,
}

/// What came of a run.
pub struct RunOutcome {
    /// Exit status of `qemu-run.sh`.
    pub status: i32,
    /// The commands' output.
    pub stdout: Vec<u8>,
    /// The commands' errors, and `qemu-run.sh`'s own.
    pub stderr: String,
}

impl QemuRun {
    /// Runs `script` in a machine with no NVDIMM but those given by [`pmem`](Run::pmem).
    pub fn new(script: &str) -> Self {
        let mut command = crate::qemu_run();
        // The build is test.sh's business; a run that hangs must not hang the suite.
        command.args(["--no-build", "--timeout", "900", "--exec", script]);
        Self { command, script: script.to_owned(), stdin: None }
    }

    /// Runs the script in a file, as [`new`](QemuRun::new) runs `script`: one that is too long for a command
    /// line.
    pub fn from_file(script: &Path) -> Self {
        let mut run = Self::new("-");
        run.stdin = Some(File::open(script).expect("the script can be read"));
        run
    }

    /// Adds an NVDIMM backed by `image`.
    pub fn pmem(self, image: &Image) -> Self {
        self.args(["--pmem".as_ref(), image.path().as_os_str()])
    }

    /// Adds an NVDIMM backed by `image`, which nobody can write.
    pub fn pmem_read_only(self, image: &Image) -> Self {
        self.args(["--pmem".to_owned(), format!("{},ro", image.path().display())])
    }

    /// Adds options of `qemu-run.sh`.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Runs the script and hands over whatever came of it.
    pub fn outcome(mut self) -> RunOutcome {
        let output = self.command.stdin(self.stdin.take().map_or_else(Stdio::null, Stdio::from)).output();
        let output = output.expect("qemu-run.sh starts");
        RunOutcome {
            status: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs the script as `2>&1` does, and returns the exit status and all that was said, in order.
    pub fn merged(mut self) -> (i32, String) {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        self.command.stdin(Stdio::null()).stderr(writer.try_clone().expect("its other end")).stdout(writer);
        let mut child = self.command.spawn().expect("qemu-run.sh starts");
        // The command holds the writing end open.
        drop(self);
        let mut said = String::new();
        std::io::Read::read_to_string(&mut reader, &mut said).expect("text");
        (child.wait().expect("the child is ours").code().unwrap_or(-1), said)
    }

    /// Runs the script, insists on success and silence on stderr, and returns the output as text.
    pub fn ok(self) -> String {
        let script = self.script.clone();
        let outcome = self.outcome();
        let text = outcome.text();
        assert!(
            outcome.status == 0 && outcome.stderr.is_empty(),
            "{script:?} ended with {}\n--- stdout\n{text}\n--- stderr\n{}",
            outcome.status,
            outcome.stderr
        );
        text
    }

    /// Runs the script, insists on exit status `status` and exactly one line on stderr, and returns that
    /// line.
    pub fn fails(self, status: i32) -> String {
        let script = self.script.clone();
        let outcome = self.outcome();
        assert!(
            outcome.status == status && outcome.stderr.trim_end().lines().count() == 1,
            "{script:?} ended with {}, not {status} and one line\n--- stdout\n{}\n--- stderr\n{}",
            outcome.status,
            outcome.text(),
            outcome.stderr
        );
        outcome.stderr.trim_end().to_owned()
    }
}

/// Runs `commands` one after the other in one machine, insists that each fails with one line on stderr, and
/// returns the lines in that order.
pub fn refusals<'a>(image: &Image, commands: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    refusals_with(|run| run.pmem(image), commands)
}

/// Returns what [`refusals`] does, of a machine that `add` adds something to.
pub fn refusals_with<'a>(
    add: impl FnOnce(QemuRun) -> QemuRun,
    commands: impl IntoIterator<Item = &'a str>,
) -> Vec<String> {
    let commands: Vec<&str> = commands.into_iter().collect();
    let outcome = add(QemuRun::new(&commands.join("\n"))).args(["-k"]).outcome();
    let lines: Vec<String> = outcome.stderr.lines().map(Into::into).collect();
    assert!(
        outcome.status == 1 && lines.len() == commands.len(),
        "{commands:#?} ended with {}, not 1 and a line for each\n--- stdout\n{}\n--- stderr\n{}",
        outcome.status,
        outcome.text(),
        outcome.stderr
    );
    lines
}

impl RunOutcome {
    /// Returns the output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
