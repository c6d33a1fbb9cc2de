//! The mount table: which file system is where, and finding files by path across them.
//!
//! A path is walked name by name from the root file system on; where the walk comes to a mount point, it goes on in the
//! root of what is mounted there. `..` goes back the way the walk came, so it leads out of a mounted file system and out
//! of a directory reached through a symbolic link as in any Unix. An absolute link starts over at `/`.
//!
//! # Locking
//! The table's lock is held just to copy the table or to change it, never while a file system works.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use fs::dax::{self, Protocol};
use fs::ext2::ReadOnlyReason;
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::path::PATH_MAX;
use fs::vfs::{FileKind, FileSystem};
use fs::{Errno, Error};

use crate::klog;
use crate::machine::{File, Machine};
use crate::sync::IrqLock;

/// Symbolic links followed in one walk before it is called a loop, as Linux does.
const MOST_LINKS: u32 = 40;

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

/// Mounts pmem0 at `/`, at the end of the kernel's start. What hinders it is logged and kept for those who ask for a
/// file.
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
    let fs = fs::ext2::mount(machine, fs::ext2::MountOptions { read_only: options.read_only })?;
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
/// Busy if something is mounted below it, a file of it is mapped or `cwd` is inside; the file system's errors. It is then
/// still mounted.
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

/// What a walk found.
pub(crate) struct Place {
    /// The file, or directory, or link.
    pub(crate) file: File,
    /// What it is on.
    pub(crate) mount: Arc<Mount>,
    /// The names that lead to it from `/`, without links and dots.
    names: Vec<Vec<u8>>,
}

impl Place {
    /// Its path, without links and dots.
    pub(crate) fn path(&self) -> Vec<u8> {
        path_of(&self.names)
    }

    /// True if something is mounted at `name` in this directory: the name must stay.
    pub(crate) fn covers(&self, name: &[u8]) -> bool {
        let is_it = |point: &[Vec<u8>]| {
            point.split_last().is_some_and(|(last, dir)| last.as_slice() == name && dir == self.names)
        };
        all().iter().any(|mount| is_it(&mount.point))
    }
}

/// The directory that holds, or would hold, the last name of the absolute path `path`, and that name.
///
/// # Errors
/// [`Errno::Invalid`] if the path ends in `.` or `..`, [`Errno::Exists`] if it is `/` itself, otherwise as [`walk`].
pub(crate) fn parent(path: &[u8]) -> Result<(Place, &[u8]), Why> {
    let end = path.iter().rposition(|byte| *byte != b'/').ok_or(Errno::Exists)? + 1;
    let trimmed = &path[..end];
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let name = &trimmed[start..];
    if name == b"." || name == b".." {
        return Err(Errno::Invalid.into());
    }
    let dir = walk(&trimmed[..start], true)?;
    dir.file.expect_directory()?;
    Ok((dir, name))
}

/// Finds what the absolute path `path` names. With `follow`, a symbolic link at its end is followed.
///
/// # Errors
/// [`Why::NotMounted`], [`Errno::NotFound`], [`Errno::NotDirectory`], [`Errno::NameTooLong`], [`Errno::Loop`], and the
/// file systems' own.
pub(crate) fn walk(path: &[u8], follow: bool) -> Result<Place, Why> {
    let mounts = all();
    let Some(root) = mounts.iter().find(|mount| mount.point.is_empty()) else {
        let reason = NO_ROOT.lock().clone();
        return Err(Why::NotMounted(reason.unwrap_or_else(|| "nothing is mounted at /".into())));
    };
    let mut links = 0;
    // The way from the root to where we are, and what is left to walk, last name first, so that a link's target can
    // be pushed.
    let mut way = Vec::from([(root, root.fs.root()?)]);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut left = names_of(path);
    left.reverse();
    let mut ends_in_slash = path.ends_with(b"/");
    loop {
        let Some((mount, here)) = way.last() else { return Err(Errno::NotFound.into()) };
        let (mount, here) = (*mount, here.clone());
        let Some(name) = left.pop() else {
            if ends_in_slash {
                here.expect_directory()?;
            }
            return Ok(Place { file: here, mount: mount.clone(), names });
        };
        here.expect_directory()?;
        if name == b"." {
            continue;
        }
        if name == b".." {
            // The root's parent is the root.
            if names.pop().is_some() {
                way.pop();
            }
            continue;
        }
        let next = here.lookup(&name)?;
        if next.kind() == FileKind::Symlink && (follow || ends_in_slash || !left.is_empty()) {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::Loop.into());
            }
            let target = next.read_link()?;
            if target.is_empty() {
                return Err(Errno::NotFound.into());
            }
            if target.starts_with(b"/") {
                names.clear();
                way.truncate(1);
            }
            ends_in_slash |= left.is_empty() && target.ends_with(b"/");
            left.extend(names_of(&target).into_iter().rev());
            continue;
        }
        names.push(name);
        match mounts.iter().find(|mount| mount.point == names) {
            Some(mounted) => way.push((mounted, mounted.fs.root()?)),
            None => way.push((mount, next)),
        }
    }
}

/// Refuses what no Unix takes as a path.
pub(crate) fn check_path(path: &[u8]) -> Result<(), Why> {
    match path.len() {
        0 => Err(Errno::NotFound.into()),
        length if length > PATH_MAX => Err(Errno::NameTooLong.into()),
        _ => Ok(()),
    }
}

fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

fn path_of(names: &[Vec<u8>]) -> Vec<u8> {
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().flat_map(|name| core::iter::once(&b'/').chain(name)).copied().collect()
}
