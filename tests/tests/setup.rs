//! Set-up: what apt cannot install is fetched, unpacked and run from the build directory.
//!
//! Nothing is ever installed here: apt sees a package database of the test's own, and a dpkg that only fails.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::{build_directory, root, root_runs_this};

/// The user who may do least, when root runs the tests; everybody else is an ordinary user already.
const NOBODY: &str = "65534";

/// A machine as set-up sees it: a checkout in a path with a blank and a comma, a PATH without QEMU, a package
/// database in which a newer `qemu-utils` stands in the way.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// `packages` are entries of the database beside those of this system.
    fn new(packages: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = Self { folder };
        fs::set_permissions(machine.folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        for name in
            ["checkout, mine/target", "checkout, mine/scripts", "bin", "home", "apt/state", "apt/cache"]
        {
            fs::create_dir_all(machine.path(name)).expect("a folder");
        }
        let checkout = machine.path("checkout, mine");
        let parts = ["qemu-run.sh", "scripts"].map(|name| root().join(name));
        let copied = Command::new("cp").arg("-r").args(parts).arg(&checkout).status();
        assert!(copied.expect("cp").success());
        for place in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name();
                // Through sudo, the system's own apt would install.
                if !name.to_string_lossy().starts_with("qemu-system") && name != "sudo" {
                    // /bin is often /usr/bin.
                    let _ = symlink(entry.path(), machine.path("bin").join(name));
                }
            }
        }
        let system = fs::read_to_string("/var/lib/dpkg/status").unwrap_or_default();
        let mut status: String = system
            .split_inclusive("\n\n")
            .filter(|entry| {
                !entry.starts_with("Package: qemu-system") && !entry.starts_with("Package: qemu-utils\n")
            })
            .collect();
        status.push_str(packages);
        fs::write(machine.path("apt/status"), status).expect("a package database");
        let text = machine.folder.path().display().to_string();
        let mut configuration = String::new();
        for (name, value) in [
            ("Dir::State", format!("{text}/apt/state")),
            ("Dir::State::status", format!("{text}/apt/status")),
            ("Dir::Cache", format!("{text}/apt/cache")),
            ("Dir::Bin::dpkg", "/bin/false".into()),
            ("APT::Sandbox::User", "root".into()),
        ] {
            writeln!(configuration, "{name} \"{value}\";").expect("a string grows");
        }
        fs::write(machine.path("apt/apt.conf"), configuration).expect("apt's configuration");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tools(&self) -> PathBuf {
        self.path("checkout, mine/target/tools/packages")
    }

    /// Lets apt know no source but one that answers nobody.
    fn offline(self) -> Self {
        fs::write(self.path("apt/sources.list"), "deb http://127.0.0.1:9/debian stable main\n")
            .expect("a file");
        let more = format!(
            "Dir::Etc::sourcelist \"{0}/apt/sources.list\";\nDir::Etc::sourceparts \"{0}/apt/none/\";\n",
            self.folder.path().display()
        );
        let file = self.path("apt/apt.conf");
        let text = fs::read_to_string(&file).expect("apt's configuration") + &more;
        fs::write(file, text).expect("apt's configuration");
        self
    }

    /// A shell in the checkout, as this user.
    fn shell(&self, script: &str) -> Command {
        self.prepared(Command::new("bash"), script)
    }

    /// A shell in the checkout, as a user without any rights.
    fn ordinary_shell(&self, script: &str) -> Command {
        if !root_runs_this() {
            return self.shell(script);
        }
        let ours = Command::new("chown").args(["-R", NOBODY]).arg(self.folder.path()).status();
        assert!(ours.expect("chown").success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--", "bash"]);
        self.prepared(command, script)
    }

    fn prepared(&self, mut command: Command, script: &str) -> Command {
        command.arg("-c").arg(script).current_dir(self.path("checkout, mine")).env_clear();
        command.env("PATH", self.path("bin")).env("HOME", self.path("home"));
        command.env("APT_CONFIG", self.path("apt/apt.conf")).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What stands in the way on a Debian 12 with `qemu-utils` from backports.
const NEWER_QEMU_UTILS: &str = "Package: qemu-utils
Status: install ok installed
Priority: optional
Section: otherosfs
Maintainer: nobody <nobody@localhost>
Architecture: amd64
Multi-Arch: foreign
Source: qemu
Version: 1:10.0.2+ds-2+deb13u1~bpo12+1
Breaks: qemu-system-common (<< 1:8.0+dfsg-5~)
Description: a stub

";

const SETUP: &str = "set -euo pipefail; program=set-up.test; . scripts/setup.sh; setup qemu";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether this is a Debian whose archive answers; says so if not.
fn archive_answers(machine: &Machine) -> bool {
    let debian = fs::read_to_string("/etc/os-release")
        .is_ok_and(|text| text.contains("ID=debian\n") && text.contains("VERSION_ID=\"12\""));
    let script = "apt-get -qq -o Acquire::http::Timeout=10 -o Acquire::Retries=0 update >&2; apt-cache show qemu-system-x86 | grep -q ^Version";
    let answers = debian && machine.shell(script).output().expect("bash").status.success();
    if !answers {
        tests::skip("this is no Debian 12, or its archive cannot be reached");
    }
    answers
}

fn wait(mut child: Child, limit: Duration) -> Output {
    let end = Instant::now() + limit;
    while child.try_wait().expect("our child").is_none() {
        assert!(Instant::now() < end, "no end after {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().expect("our child")
}

/// A package that apt would have to take away; nobody's rights; a path with a blank and a comma; a download
/// that was broken off; and the line that is printed. In one test, for each fetch costs seconds.
#[test]
fn what_apt_cannot_install_is_unpacked_and_boots() {
    let machine = Machine::new(NEWER_QEMU_UTILS);
    if !archive_answers(&machine) {
        return;
    }

    // The line to paste: apt finds a solution to it, and it names what that takes away.
    let output = machine.shell(&format!("export DAXIOM_INSTALL=no; {SETUP}")).output().expect("bash");
    assert_eq!(output.status.code(), Some(125), "{}", stderr(&output));
    let text = stderr(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    let words = text.split_once("apt-get install ").expect("the line").1.trim_end().trim_end_matches('\'');
    assert!(words.contains("qemu-system-x86") && words.ends_with(" qemu-utils-"), "{words}");
    let simulated = machine.shell(&format!("apt-get -s install {words}")).output().expect("bash");
    let plan = String::from_utf8_lossy(&simulated.stdout).into_owned();
    assert!(simulated.status.success() && plan.contains("Remv qemu-utils "), "{plan}{}", stderr(&simulated));

    // As root, apt is asked first; it must refuse, not take qemu-utils away.
    if root_runs_this() {
        let script =
            "set -euo pipefail; program=set-up.test; . scripts/setup.sh; packages=(qemu-system-x86) refused=
            install_missing || echo \"refused: $refused\"";
        let output = machine.shell(script).output().expect("bash");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
        assert_eq!(text, "refused: Packages need to be removed but remove is disabled.\n");
    }

    // Broken off while it fetches or unpacks: nothing is taken for whole.
    let mut child = {
        use std::os::unix::process::CommandExt;
        machine.ordinary_shell(SETUP).process_group(0).spawn().expect("bash")
    };
    let archives = machine.tools().join("apt/cache/archives");
    let fetched = || {
        fs::read_dir(&archives).is_ok_and(|files| {
            files.flatten().any(|file| file.path().extension().is_some_and(|e| e == "deb"))
        })
    };
    let end = Instant::now() + Duration::from_secs(1200);
    while !fetched() && child.try_wait().expect("our child").is_none() {
        assert!(Instant::now() < end, "no package came");
        std::thread::sleep(Duration::from_millis(2));
    }
    let group = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("our children");
    child.wait().expect("our child");
    assert!(!machine.tools().join("bin/qemu-system-x86_64").exists(), "broken off too late to show anything");

    // Again, in full: one line, and QEMU is there.
    let child = machine
        .ordinary_shell(&format!("{SETUP}; command -v qemu-system-x86_64; qemu-system-x86_64 --version"))
        .spawn();
    let output = wait(child.expect("bash"), Duration::from_secs(1800));
    let (text, found) = (stderr(&output), String::from_utf8_lossy(&output.stdout).into_owned());
    assert!(output.status.success(), "{text}");
    assert!(text.lines().count() == 1 && text.starts_with("set-up.test: set-up: fetching "), "{text}");
    assert!(
        found.starts_with(&format!(
            "{}/bin/qemu-system-x86_64\nQEMU emulator version ",
            machine.tools().display()
        )),
        "{found}"
    );

    // A third time nothing is left to do, and no network is needed.
    let apt = machine.path("bin/apt-get");
    fs::remove_file(&apt).expect("a link");
    fs::write(&apt, "#!/bin/sh\necho apt-get >&2\nfalse\n").expect("a program");
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).expect("ours");
    let output = machine.ordinary_shell(SETUP).output().expect("bash");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));

    boots(&machine);
}

/// Boots the image that ./test.sh built with the QEMU that was unpacked, after the tree was moved.
fn boots(machine: &Machine) {
    let moved = machine.path("moved");
    fs::rename(machine.path("checkout, mine"), &moved).expect("moved");
    fs::copy(build_directory().join("daxiom-bios.img"), moved.join("target/daxiom-bios.img"))
        .expect("the image, built");
    symlink(&moved, machine.path("checkout, mine")).expect("a link");
    let script = "exec ./qemu-run.sh --no-build --timeout 200 --pmem none --exec 'echo hello from there'";
    let output = machine.ordinary_shell(script).output().expect("bash");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello from there\n");
}

/// Nothing works: 125 at once, the reason, and the line to paste.
#[test]
fn without_network_the_reason_and_the_line_to_paste_are_told() {
    let machine = Machine::new("").offline();
    let child = machine.ordinary_shell(SETUP).spawn().expect("bash");
    let output = wait(child, Duration::from_secs(900));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    let last = text.lines().last().expect("a line");
    assert!(last.starts_with("set-up.test: set-up: something is missing and could not be fetched"), "{text}");
    assert!(last.contains("apt-get install -y --no-install-recommends qemu-system-x86"), "{text}");
    assert!(text.lines().count() <= 6 && text.contains("qemu-system-x86"), "{text}");
}

/// The library path cannot hold a colon: that is told before anything is fetched.
#[test]
fn a_path_with_a_colon_is_refused_by_name() {
    let machine = Machine::new("").offline();
    let script = format!("export CARGO_TARGET_DIR=$PWD/a:b; {SETUP}");
    let output = machine.ordinary_shell(&script).output().expect("bash");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("a:b") && text.contains("':'"), "{text}");
}

/// A QEMU in PATH is used as it is, whatever its version; nothing is asked of apt.
#[test]
fn a_qemu_in_the_path_is_used_as_it_is() {
    let machine = Machine::new("").offline();
    let qemu: &Path = &machine.path("bin/qemu-system-x86_64");
    fs::write(qemu, "#!/bin/sh\necho QEMU emulator version 9.9\n").expect("a program");
    fs::set_permissions(qemu, fs::Permissions::from_mode(0o755)).expect("ours");
    let output =
        machine.ordinary_shell(&format!("{SETUP}; command -v qemu-system-x86_64")).output().expect("bash");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), qemu.display().to_string());
}

/// cargo keeps crates in the home; an account without one builds too.
#[test]
fn who_has_no_home_has_crates_in_the_build_directory() {
    let machine = Machine::new("").offline();
    let script = "set -euo pipefail; . scripts/setup.sh; toolchain=debian rust_bin=/usr/bin; use_toolchain; echo ${CARGO_HOME:-unset}";
    let told = |home: &Path| {
        let output = machine.ordinary_shell(script).env("HOME", home).output().expect("bash");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(told(&machine.path("home")), "unset");
    assert_eq!(PathBuf::from(told(Path::new("/nonexistent"))), machine.tools().with_file_name("cargo"));
}
