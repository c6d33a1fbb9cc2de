//! The mount table: which file system is where. [`walk`](mod@walk) finds files by path across them.
//!
//! # Locking
//! The table's lock is held just to copy the table or to change it, never while a file system works.

mod walk;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use fs::dax::{self, Protocol};
use fs::ext2::ReadOnlyReason;
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::FileSystem;
use fs::{Errno, Error};

use crate::klog;
use crate::machine::{File, Machine};
use crate::sync::IrqLock;
use fs::vfs::path::names_of;
use walk::path_of;
pub(crate) use walk::{Place, check_path, covers, parent, path_to, walk};

/// The file system type that is mounted.
type Ext2 = fs::ext2::Ext2<Machine>;

/// Why something about mounts or paths cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The file system's answer.
    File(Error),
    /// Nothing is mounted at `/`, for this reason.
    NotMounted(String),
    /// Something else.
    Other(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NotMounted(reason) => write!(f, "not mounted: {reason}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        Self::File(error)
    }
}

impl From<Errno> for Why {
    fn from(errno: Errno) -> Self {
        Self::File(errno.into())
    }
}

/// How to mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Change nothing.
    pub(crate) read_only: bool,
    /// Which fault protocol its files use.
    pub(crate) protocol: Protocol,
}

impl Options {
    /// Reads `ro,protocol=racy`.
    ///
    /// # Errors
    /// What is wrong with the first option that is.
    pub(crate) fn parse(&mut self, text: &str) -> Result<(), String> {
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                None if option == "ro" => self.read_only = true,
                None if matches!(option, "rw" | "defaults" | "dax" | "dax=always") => self.read_only = false,
                Some(("protocol", name)) => {
                    let names = || Protocol::ALL.map(|protocol| protocol.to_string()).join(", ");
                    let unknown = |_| alloc::format!("unknown protocol '{name}' (there are {})", names());
                    self.protocol = name.parse().map_err(unknown)?;
                }
                _ => return Err(alloc::format!("unknown mount option '{option}'")),
            }
        }
        Ok(())
    }
}

/// A mounted file system.
pub(crate) struct Mount {
    /// `pmem0`
    pub(crate) device: String,
    /// What it was mounted with; `read_only` is what came of it.
    pub(crate) options: Options,
    /// The file system.
    pub(crate) fs: Arc<Ext2>,
    /// The names that lead to the mount point.
    point: Vec<Vec<u8>>,
    /// The region's first frame: it tells whose file a file is.
    frame: u64,
}

impl Mount {
    /// The mount point's path.
    pub(crate) fn point(&self) -> Vec<u8> {
        path_of(&self.point)
    }

    /// True if `file` is on it.
    fn holds(&self, file: &File) -> bool {
        file.platform().pmem().frame(0) == self.frame
    }

    /// Makes what was stored through mappings of its files durable, then its metadata.
    ///
    /// # Errors
    /// The first error met; the rest was tried nevertheless.
    pub(crate) fn sync(&self) -> fs::Result<()> {
        let mut outcome = Ok(());
        self.fs.for_each_inode(|file| {
            let result = dax::fsync(&**file).map(|_| ());
            if outcome.is_ok() {
                outcome = result;
            }
        });
        outcome.and(self.fs.sync())
    }
}

static MOUNTS: IrqLock<Vec<Arc<Mount>>> = IrqLock::new(Vec::new());
/// Why `/` is not there.
static NO_ROOT: IrqLock<Option<String>> = IrqLock::new(None);

/// Everything that is mounted, in the order of mounting.
pub(crate) fn all() -> Vec<Arc<Mount>> {
    MOUNTS.lock().clone()
}

/// The mount that a file is on.
pub(crate) fn of(file: &File) -> Option<Arc<Mount>> {
    all().into_iter().find(|mount| mount.holds(file))
}

/// The fault protocol that a file's mount asks for.
pub(crate) fn protocol(file: &File) -> Protocol {
    of(file).map_or_else(Protocol::default, |mount| mount.options.protocol)
}

/// Mounts pmem0 at `/`, at the end of the kernel's start. What hinders it is logged and kept for those who
/// ask for a file.
pub(crate) fn init() {
    if let Err(why) = mount("pmem0", b"/", Options::default()) {
        let reason = alloc::format!("pmem0: {why}");
        klog!(Warn, "/ is not mounted: {reason}");
        *NO_ROOT.lock() = Some(reason);
    }
}

/// The region called `name` (`pmem0`, `/dev/pmem0`).
fn region(name: &str) -> Result<(String, &'static crate::pmem::Region), Why> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let number = name.strip_prefix("pmem").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let index = number.and_then(|number| number.parse::<usize>().ok());
    let index =
        index.ok_or_else(|| Why::Other("no such device: they are called pmem0, pmem1, ...".into()))?;
    let regions = crate::pmem::regions();
    match regions.get(index) {
        Some(region) => Ok((name.to_string(), region)),
        None => Err(Why::Other(why_no_region())),
    }
}

/// Why there are fewer regions than wanted.
fn why_no_region() -> String {
    let Some(found) = crate::pmem::found() else { return "no such device".into() };
    match (&found.table, found.problems.first()) {
        (Err(crate::acpi::Error::NoTable(_)), _) => "no NVDIMM found: start with --pmem FILE".into(),
        (_, Some(problem)) => alloc::format!("no usable region: {problem}"),
        (_, None) => alloc::format!("no such device (there are {})", found.regions.len()),
    }
}

/// Mounts the file system on a device at a directory, or at `/` if nothing is there.
///
/// # Errors
/// Whatever stands against it; nothing changed.
pub(crate) fn mount(device: &str, point: &[u8], mut options: Options) -> Result<(), Why> {
    let (device, region) = region(device)?;
    let mounts = all();
    let machine = Machine::new(region);
    let frame = machine.pmem().frame(0);
    if let Some(mount) = mounts.iter().find(|mount| mount.frame == frame) {
        let point = String::from_utf8_lossy(&mount.point()).into_owned();
        return Err(Why::Other(alloc::format!("already mounted on {point}")));
    }
    let names = if mounts.iter().all(|mount| !mount.point.is_empty()) {
        // The first one is the root, wherever it was asked for.
        if point.iter().any(|byte| *byte != b'/') {
            return Err(Why::Other("nothing is mounted at / yet".into()));
        }
        Vec::new()
    } else {
        let place = walk(point, true)?;
        place.file.expect_directory()?;
        if mounts.iter().any(|mount| mount.point == place.names) {
            return Err(Errno::Busy.into());
        }
        place.names
    };
    let fs = fs::ext2::mount(
        machine,
        fs::ext2::MountOptions { read_only: options.read_only, ..Default::default() },
    )?;
    if let Some(reason) = fs.read_only_reason().filter(|reason| *reason != ReadOnlyReason::Asked) {
        klog!(Warn, "{device}: mounted read-only: {reason}");
    }
    if !fs.was_clean() {
        klog!(Warn, "{device}: was not unmounted cleanly, or has errors: run e2fsck");
    }
    options.read_only = fs.read_only();
    let at = path_of(&names);
    let mode = if options.read_only { "ro" } else { "rw" };
    klog!(Info, "{device} mounted on {} ({mode}, {})", String::from_utf8_lossy(&at), options.protocol);
    if names.is_empty() {
        *NO_ROOT.lock() = None;
    }
    MOUNTS.lock().push(Arc::new(Mount { device, options, fs, point: names, frame }));
    Ok(())
}

/// The mount that `name` means: its device or its mount point.
///
/// # Errors
/// There is none.
pub(crate) fn find(name: &str, path: &[u8]) -> Result<Arc<Mount>, Why> {
    let device = name.strip_prefix("/dev/").unwrap_or(name);
    let mounts = all();
    if let Some(mount) = mounts.iter().find(|mount| mount.device == device) {
        return Ok(mount.clone());
    }
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if device.strip_prefix("pmem").is_some_and(is_number) {
        return Err(Why::Other("not mounted".into()));
    }
    let place = walk(path, true)?;
    let mount = mounts.iter().find(|mount| mount.point == place.names);
    mount.cloned().ok_or_else(|| Why::Other("not mounted".into()))
}

/// Writes everything back, marks the image clean, and takes the mount out of the table.
///
/// # Errors
/// Busy if something is mounted below it, a file of it is mapped or `cwd` is inside; the file system's
/// errors. It is then still mounted.
pub(crate) fn unmount(mount: Arc<Mount>, cwd: &[u8]) -> Result<(), Why> {
    let busy = |why: fmt::Arguments<'_>| Err(Why::Other(alloc::format!("{}: {why}", Error::Op(Errno::Busy))));
    let inside = |names: &[Vec<u8>]| names.starts_with(&mount.point);
    if let Some(other) = all().iter().find(|other| other.frame != mount.frame && inside(&other.point)) {
        return busy(format_args!("{} is mounted inside", other.device));
    }
    if !mount.point.is_empty() && inside(&names_of(cwd)) {
        return busy(format_args!("the current directory is inside"));
    }
    if let Some(area) = crate::mm::aspace::current().areas().iter().find(|area| mount.holds(&area.file)) {
        return busy(format_args!("{} is mapped at {:#x}", area.name, area.start));
    }
    mount.sync()?;
    mount.fs.unmount()?;
    klog!(Info, "{} unmounted", mount.device);
    MOUNTS.lock().retain(|other| other.frame != mount.frame);
    if mount.point.is_empty() {
        *NO_ROOT.lock() = Some(alloc::format!("{}: unmounted", mount.device));
    }
    Ok(())
}

/// Makes everything on every mount durable.
///
/// # Errors
/// Each mount's device with the first error met there.
pub(crate) fn sync_all() -> Vec<(String, Error)> {
    all().iter().filter_map(|mount| Some((mount.device.clone(), mount.sync().err()?))).collect()
}
