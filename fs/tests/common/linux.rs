//! Linux's own ext2, ext3 and ext4, through a loop device: who mounts what, and that it is over.
//!
//! A mount is its thread's alone (a mount namespace of its own): another process that copies the mounts of
//! the system can not keep a file system alive after it was unmounted here. A file that this thread has open
//! is also open in any child that another thread starts, until that child has called exec: so an unmount may
//! have to wait for a moment.

use super::Image;
use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Far longer than it takes on a machine that has a lot to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// An image mounted by Linux.
pub(crate) struct LinuxMount {
    point: PathBuf,
    image: PathBuf,
    mounted: bool,
}

impl LinuxMount {
    /// Mounts `image` with `options` (`rw` at least), or says why Linux does not.
    pub(crate) fn new(image: &Image, options: &str) -> Result<Self, String> {
        alone()?;
        let point = image.path().with_extension("mnt");
        std::fs::create_dir_all(&point).expect("a mount point");
        let mut command = Command::new("mount");
        command.args(["-n", "-t", image.kind(), "-o", &format!("loop,{options}")]);
        command.arg(image.path()).arg(&point);
        let output = command.output().map_err(|error| format!("mount: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let image = image.path().canonicalize().expect("it is there");
        Ok(Self { point, image, mounted: true })
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.point
    }

    /// Takes its memory away: from now on Linux writes nothing to the image. `flush`: the journal first.
    pub(crate) fn shut_down(&self, flush: bool) {
        const EXT4_IOC_SHUTDOWN: libc::Ioctl = 0x8004_587d;
        let how: u32 = if flush { 1 } else { 2 };
        let root = File::open(&self.point).expect("the root directory");
        // SAFETY: this request reads four bytes, which `how` has.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &raw const how) };
        assert_eq!(result, 0, "shutdown: {}", std::io::Error::last_os_error());
    }

    /// Unmounts, and returns when Linux has let go of the image. All files have to be closed.
    pub(crate) fn unmount(mut self) {
        wait_for("umount", || match umount2(&self.point, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => true,
            Err(Errno::EBUSY) => false,
            Err(error) => panic!("umount {}: {error}", self.point.display()),
        });
        self.mounted = false;
        wait_for("the loop device to let go", || !on_a_loop_device(&self.image));
    }
}

impl Drop for LinuxMount {
    fn drop(&mut self) {
        // Only a test that has failed already comes here; what it leaves goes with this process at the
        // latest.
        if self.mounted {
            let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        }
    }
}

/// Gives this thread mounts of its own.
fn alone() -> Result<(), String> {
    thread_local! {
        static ALONE: Cell<bool> = const { Cell::new(false) };
    }
    if !ALONE.get() {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("a mount namespace: {error}"))?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .map_err(|error| format!("private mounts: {error}"))?;
        ALONE.set(true);
    }
    Ok(())
}

/// Whether a loop device reads and writes this file.
fn on_a_loop_device(image: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").expect("/sys");
    devices.flatten().any(|device| {
        // A device that has none has no such file.
        std::fs::read_to_string(device.path().join("loop/backing_file"))
            .is_ok_and(|file| Path::new(file.trim_end_matches('\n')) == image)
    })
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}: {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
