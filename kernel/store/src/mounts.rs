//! The mount table: which file system is where. [`walk`](mod@walk) finds files by path across them.
//!
//! # Locking
//! The table's lock is held just to take a reference to the table or to put another in its place, never while
//! a file system works. What keeps protocols as they are ([`steady`]) is taken before an address space's
//! VMAs.

pub mod dev;
mod ticks;
mod walk;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use fs::dax::{self, Protocol};
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::{FileKind, FileSystemRef, MountOptions, OnError};
use fs::{Errno, Error, Unsupported, registry};
use lock_api::{RwLockReadGuard, RwLockWriteGuard};

use crate::klog;
use crate::machine::{File, KernelPlatform};
use crate::sync::{IrqLock, Mutex, RawRwLock, RwLock};
pub use walk::{Place, across, check_path, child, covers, is_within, parent, path_to, walk};

/// Why something about mounts or paths cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
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
pub struct MountRequest {
    /// The type to mount; the magic number tells it if nobody does.
    pub kind: Option<&'static str>,
    /// Change nothing, or change. If nobody says, a mount is for writing, and a remount leaves it as it is.
    pub read_only: Option<bool>,
    /// Use the copy of the superblock that is so many KiB from the start.
    pub super_block: Option<u64>,
    /// What to do when the image contradicts itself, instead of what its superblock says.
    pub on_error: Option<OnError>,
    /// Which fault protocol the mount's files use. If nobody says, the default one, and a remount leaves it.
    pub protocol: Option<Protocol>,
    /// What is mounted is to be changed so.
    pub remount: bool,
}

impl MountRequest {
    /// Reads `ro,sb=32768,protocol=racy`.
    ///
    /// # Errors
    /// What is wrong with the first option that is; two that contradict each other.
    pub fn parse(&mut self, text: &str) -> Result<(), String> {
        for option in text.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                None if option == "remount" => self.remount = true,
                None if option == "ro" => set(&mut self.read_only, true, "ro and rw")?,
                None if option == "rw" => set(&mut self.read_only, false, "ro and rw")?,
                // It is always so.
                None if matches!(option, "defaults" | "dax") => {}
                Some(("dax", "always")) => {}
                Some(("protocol", name)) => {
                    let names = || {
                        Protocol::ALL.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join(", ")
                    };
                    let unknown = |_| alloc::format!("unknown protocol '{name}' (there are {})", names());
                    set(&mut self.protocol, name.parse().map_err(unknown)?, "two protocols")?;
                }
                Some(("errors", name)) => {
                    let unknown = |_| {
                        let names = OnError::ALL.map(OnError::name).join(", ");
                        alloc::format!("unknown policy 'errors={name}' (there are {names})")
                    };
                    set(&mut self.on_error, name.parse().map_err(unknown)?, "two policies (errors=)")?;
                }
                Some(("sb", kib)) => {
                    let number = |kib: &str| kib.parse().ok().filter(|kib| *kib > 0);
                    let bad =
                        || alloc::format!("sb={kib}: not a number of KiB (a copy's block, times its KiB)");
                    set(&mut self.super_block, number(kib).ok_or_else(bad)?, "two superblocks (sb=)")?;
                }
                _ => return Err(alloc::format!("unknown mount option '{option}'")),
            }
        }
        Ok(())
    }

    /// Asks for the type called `name`; `auto` leaves that to the magic number.
    ///
    /// # Errors
    /// There is none; the text tells those that are there.
    pub fn set_type(&mut self, name: &str) -> Result<(), String> {
        let unknown = || alloc::format!("unknown file system type '{name}' (there is {})", types());
        self.kind = match name {
            "auto" => None,
            _ => Some(registry::find::<KernelPlatform>(name).ok_or_else(unknown)?.name),
        };
        Ok(())
    }
}

/// Notes an option's value; `both` says what would contradict each other.
fn set<T: PartialEq>(option: &mut Option<T>, value: T, both: &str) -> Result<(), String> {
    match option.replace(value) {
        Some(before) if option.as_ref() != Some(&before) => Err(alloc::format!("{both} exclude each other")),
        _ => Ok(()),
    }
}

/// A mounted file system.
pub struct Mount {
    /// `pmem0`
    pub device: String,
    /// What the file system was mounted with; [`read_only`](Mount::read_only) and
    /// [`protocol`](Mount::protocol) are how it is now.
    pub options: MountRequest,
    /// The number of the mount's protocol in [`Protocol::ALL`].
    protocol: AtomicUsize,
    /// Where the file system begins in the region, in bytes: not 0 for a DIMM in fsdax mode.
    pub offset: u64,
    /// The file system.
    pub fs: FileSystemRef<KernelPlatform>,
    /// The directory that the file system is mounted on; `/` is on none.
    point: Option<Place>,
    /// Where that was at the mount.
    point_then: Vec<u8>,
    /// The root directory's inode number.
    root: u64,
    /// The region's first frame: it tells whose file a file is.
    frame: u64,
    /// How many bytes the file system has.
    len: u64,
}

impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        self.frame == other.frame
    }
}

impl Mount {
    /// Returns the mount point's path.
    pub fn point(&self) -> Vec<u8> {
        // A directory above it may have been renamed.
        self.point.as_ref().and_then(|point| path_to(point).ok()).unwrap_or_else(|| self.point_then.clone())
    }

    /// Returns the physical addresses of the region.
    pub fn region(&self) -> Range<u64> {
        self.frame..self.frame + self.len
    }

    /// Returns whether nothing on the mount may be changed.
    pub fn read_only(&self) -> bool {
        self.fs.read_only()
    }

    /// Returns the fault protocol that the mount's files are mapped with just now.
    pub fn protocol(&self) -> Protocol {
        Protocol::ALL.get(self.protocol.load(SeqCst)).copied().unwrap_or_default()
    }

    fn set_protocol(&self, protocol: Protocol) {
        let number = Protocol::ALL.iter().position(|other| *other == protocol);
        self.protocol.store(number.unwrap_or_default(), SeqCst);
    }

    /// Returns what of the mount is mapped, if anything is.
    fn mapped(&self) -> Option<String> {
        let mut vmas = crate::task::spaces().into_iter().flat_map(|space| space.vmas());
        if let Some(vma) = vmas.find(|vma| self.holds(&vma.file)) {
            return Some(alloc::format!("{} is mapped at {:#x}", vma.name, vma.start));
        }
        let mut any = false;
        self.fs.for_each_inode(&mut |file| any |= file.mapping().is_mapped());
        any.then(|| "a file of it is mapped".into())
    }

    /// Returns a number that no other mount has.
    pub fn id(&self) -> u64 {
        self.frame
    }

    /// Returns whether the mount is at `/`.
    pub fn is_root(&self) -> bool {
        self.point.is_none()
    }

    /// Returns whether the mount is on inode `ino` of `mount`.
    fn is_on(&self, mount: &Mount, ino: u64) -> bool {
        self.point.as_ref().is_some_and(|point| point.file.ino() == ino && *point.mount == *mount)
    }

    /// Returns whether `file` is on the mount.
    fn holds(&self, file: &File) -> bool {
        file.kind() != FileKind::BlockDevice && file.platform().pmem().frame(0) == self.frame
    }

    /// Makes what was stored through mappings of its files durable, then its metadata.
    ///
    /// # Errors
    /// The first error met; the rest was tried nevertheless.
    pub fn sync(&self) -> fs::Result<()> {
        let mut outcome = Ok(());
        self.fs.for_each_inode(&mut |file| {
            let result = dax::fsync(file).map(|_| ());
            if outcome.is_ok() {
                outcome = result;
            }
        });
        outcome.and(self.fs.sync())
    }
}

/// Everything that is mounted, in the order of mounting.
type MountList = Vec<Arc<Mount>>;

/// All mounts. The list is never changed but replaced, so that a walk can use it without a lock and without
/// a copy. `None`: nothing is mounted.
static MOUNTS: IrqLock<Option<Arc<MountList>>> = IrqLock::new(None);
/// Why `/` is not there.
static NO_ROOT: IrqLock<Option<String>> = IrqLock::new(None);

/// Returns all mounts, in the order of mounting. Allocates nothing while something is mounted.
pub fn all() -> Arc<MountList> {
    let mounts = MOUNTS.lock().clone();
    mounts.unwrap_or_default()
}

/// Makes `mounts` what is mounted.
fn replace(mounts: MountList) {
    let mounts = (!mounts.is_empty()).then(|| Arc::new(mounts));
    let old = core::mem::replace(&mut *MOUNTS.lock(), mounts);
    // Not under the lock: handles may go with it.
    drop(old);
}

/// Returns the mount that a file is on.
pub fn of(file: &File) -> Option<Arc<Mount>> {
    all().iter().find(|mount| mount.holds(file)).cloned()
}

/// Proof that, as long as the value lives, no mount gets another protocol.
pub type Steady = RwLockReadGuard<'static, RawRwLock, ()>;

/// Guards the mounts' protocols. Whoever maps a file holds the lock shared, from asking for the protocol
/// until the file knows of the VMA; whoever changes a mount's protocol holds it exclusively. So nobody maps
/// a file with a protocol that is not the mount's any more.
static PROTOCOLS: RwLock<()> = RwLock::new(());

/// Keeps every mount's protocol as it is. Taken before an address space's lock.
pub fn steady() -> Steady {
    PROTOCOLS.read()
}

/// Returns the fault protocol that a file's mount asks for.
pub fn protocol(file: &File, _: &Steady) -> Protocol {
    of(file).map_or_else(Protocol::default, |mount| mount.protocol())
}

/// Has every mounted file system give back memory that it only keeps to be faster. Waits for no lock.
fn shrink() -> usize {
    // Under the lock, so that no last reference to a mount goes here. Whoever holds it now is changing the
    // table.
    let Some(mounts) = MOUNTS.try_lock() else { return 0 };
    mounts.iter().flat_map(|list| list.iter()).fold(0, |sum, mount| sum.saturating_add(mount.fs.shrink()))
}

/// Mounts pmem0 at `/`, at the end of the kernel's start. What hinders it is logged and kept for those who
/// ask for a file.
pub fn init() {
    crate::mm::heap::on_pressure(shrink);
    if let Err(why) = mount("pmem0", None, b"/", MountRequest::default()) {
        let reason = alloc::format!("pmem0: {why}");
        klog!(Warn, "/ is not mounted: {reason}");
        *NO_ROOT.lock() = Some(reason);
    }
}

/// The region called `name` (`pmem0`, `/dev/pmem0`): its name, its data, and where in it that begins.
fn region(name: &str) -> Result<(String, &'static crate::pmem::MappedRegion, u64), Why> {
    let name = name.strip_prefix("/dev/").unwrap_or(name);
    let number = name.strip_prefix("pmem").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let index = number.and_then(|number| number.parse::<usize>().ok());
    let index =
        index.ok_or_else(|| Why::Other("no such device: they are called pmem0, pmem1, ...".into()))?;
    match crate::pmem::data(index) {
        Some(Ok(data)) => {
            let whole = crate::pmem::regions().get(index).map_or(data.base(), |region| region.base());
            Ok((name.to_string(), data, data.base() - whole))
        }
        Some(Err(why)) => Err(Why::Other(why.to_string())),
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

/// The names of the types of file systems that can be mounted.
fn types() -> String {
    registry::all::<KernelPlatform>().map(|kind| kind.name).join(", ")
}

/// Mounts the file system that is on a machine's region at no directory: of the type called `kind`, else of
/// the one that its magic number tells. All file systems are compiled into this crate alone by that.
///
/// # Errors
/// Those of [`registry::mount`].
pub fn read(
    machine: KernelPlatform,
    kind: Option<&str>,
    options: MountOptions,
) -> fs::Result<FileSystemRef<KernelPlatform>> {
    match kind.and_then(registry::find::<KernelPlatform>) {
        None => registry::mount(machine, options),
        Some(kind) => (kind.mount)(machine, options),
    }
}

/// Mounts the file system on a device at a directory, or at `/` if nothing is there. `start` and `path` as in
/// [`walk`].
///
/// # Errors
/// Whatever stands against it; nothing changed.
pub fn mount(device: &str, start: Option<&Place>, path: &[u8], options: MountRequest) -> Result<(), Why> {
    let (device, region, offset) = region(device)?;
    let mounts = all();
    let machine = KernelPlatform::new(region);
    let frame = machine.pmem().frame(0);
    if let Some(mount) = mounts.iter().find(|mount| mount.frame == frame) {
        let point = String::from_utf8_lossy(&mount.point()).into_owned();
        return Err(Why::Other(alloc::format!("already mounted on {point}")));
    }
    let point = if !mounts.iter().any(|mount| mount.is_root()) {
        // The first one is the root, wherever it was asked for.
        if path.iter().any(|byte| *byte != b'/') {
            return Err(Why::Other("nothing is mounted at / yet".into()));
        }
        None
    } else {
        let place = walk(start, path, true)?;
        place.file.expect_directory()?;
        if place.file.ino() == place.mount.root {
            return Err(Errno::Busy.into());
        }
        Some(place)
    };
    let at = point.as_ref().map_or_else(|| Ok(b"/".to_vec()), path_to)?;
    // Whoever stores to it as a device is stopped, before and again when the table says that it is mounted.
    dev::protect(frame)?;
    let how = MountOptions {
        read_only: options.read_only == Some(true),
        super_block: options.super_block,
        on_error: options.on_error,
        ..Default::default()
    };
    let fs = read(machine, options.kind, how).map_err(|error| match error {
        Error::Unsupported(Unsupported::Unrecognised) => Why::Other(alloc::format!("{error} ({})", types())),
        _ => error.into(),
    })?;
    fs.mount_notes(&mut |note| klog!(Warn, "{device}: {note}"));
    let mode = if fs.read_only() { "ro" } else { "rw" };
    let behind = if offset == 0 { String::new() } else { alloc::format!(", from byte {offset}") };
    klog!(
        Info,
        "{device} mounted on {} ({mode}, {}{behind})",
        String::from_utf8_lossy(&at),
        options.protocol.unwrap_or_default()
    );
    let top = fs.root()?;
    let root = top.ino();
    if point.is_none() {
        *NO_ROOT.lock() = None;
        if dev::mount().is_some() && top.lookup(dev::NAME).is_ok() {
            klog!(Warn, "{device}: its own /dev is hidden: /dev has the regions of persistent memory");
        }
    }
    let (protocol, len) = (AtomicUsize::new(0), region.len());
    let mount = Mount { device, options, protocol, offset, fs, point, point_then: at, root, frame, len };
    mount.set_protocol(options.protocol.unwrap_or_default());
    let mount = Arc::new(mount);
    replace(mounts.iter().cloned().chain([mount.clone()]).collect());
    ticks::start();
    let Err(error) = dev::protect(frame) else { return Ok(()) };
    match unmount(mount, None) {
        Ok(()) => Err(error.into()),
        Err(stays) => Err(Why::Other(alloc::format!("{error}; it is mounted all the same: {stays}"))),
    }
}

/// Returns the mount that `name` means: its device or its mount point, which `path` is, from `start` on.
///
/// # Errors
/// There is none.
pub fn find(name: &str, start: Option<&Place>, path: &[u8]) -> Result<Arc<Mount>, Why> {
    let device = name.strip_prefix("/dev/").unwrap_or(name);
    let mounts = all();
    if let Some(mount) = mounts.iter().find(|mount| mount.device == device) {
        return Ok(mount.clone());
    }
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if device.strip_prefix("pmem").is_some_and(is_number) {
        return Err(Why::Other("not mounted".into()));
    }
    let place = walk(start, path, true)?;
    if place.file.ino() == place.mount.root { Ok(place.mount) } else { Err(Why::Other("not mounted".into())) }
}

/// Changes what `options` say of a mount, and leaves the rest. Who maps files of a mount that becomes
/// read-only for writing meets an error at the next store. The protocol changes only while no file is mapped:
/// two faults on one file that follow different protocols do not keep out of each other's way.
///
/// # Errors
/// Busy if the protocol is to change and something is mapped; a superblock was asked for; the file system's:
/// see [`fs::vfs::FileSystem::remount`]; what writing a mapped device back met. Nothing changed, or the error
/// says what did.
pub fn remount(mount: &Mount, options: MountRequest) -> Result<(), Why> {
    if options.super_block.is_some() {
        return Err(Why::Other("sb= is for a mount: the superblock is in use already".into()));
    }
    // What can be refused comes first. The guard is held to the end: nobody maps a file before all is done or
    // refused.
    let protocol = options.protocol.filter(|protocol| *protocol != mount.protocol());
    let _nobody_maps = protocol.map(|_| unmapped(mount)).transpose()?;
    let policy = options.on_error.map(|policy| mount.fs.set_on_error(policy)).transpose()?;
    if let Some(read_only) = options.read_only
        && let Err(why) = set_read_only(mount, read_only)
    {
        policy.map(|before| mount.fs.set_on_error(before)).transpose()?;
        return Err(why);
    }
    if let Some(protocol) = protocol {
        mount.set_protocol(protocol);
    }
    ticks::start();
    let mode = if mount.read_only() { "ro" } else { "rw" };
    klog!(Info, "{} remounted ({mode}, {})", mount.device, mount.protocol());
    Ok(())
}

/// Keeps everybody from mapping files, none of the mount's being mapped.
///
/// # Errors
/// Busy: one is mapped, or is being mapped for long.
fn unmapped(mount: &Mount) -> Result<RwLockWriteGuard<'static, RawRwLock, ()>, Why> {
    let busy = |why: &str| {
        let (busy, protocol) = (Error::Op(Errno::Busy), mount.protocol());
        Why::Other(alloc::format!("{busy}: the protocol stays {protocol}: {why}"))
    };
    // Who is mapping a file may wait for a thaw, and so for us.
    for _ in 0..200 {
        if let Some(guard) = PROTOCOLS.try_write() {
            return mount.mapped().map_or(Ok(guard), |what| Err(busy(&what)));
        }
        crate::task::sleep_ns(1_000_000);
    }
    Err(busy("a file is being mapped"))
}

/// Makes a mount read-only, or writable.
///
/// # Errors
/// The file system's; what writing a mapped device back met. It is as it was, or the error says that it is
/// not.
fn set_read_only(mount: &Mount, read_only: bool) -> Result<(), Why> {
    // One after the other: what one takes back is not what another has made.
    static CHANGING: Mutex<()> = Mutex::new(());
    let _changing = CHANGING.lock();
    let before = mount.read_only();
    mount.fs.remount(read_only)?;
    let Err(error) = dev::protect(mount.frame) else { return Ok(()) };
    if before != read_only
        && let Err(stays) = mount.fs.remount(before)
    {
        let mode = if read_only { "ro" } else { "rw" };
        return Err(Why::Other(alloc::format!("{error}; it is {mode} all the same: {stays}")));
    }
    Err(error.into())
}

/// Writes everything back, marks the image clean, and takes the mount out of the table.
///
/// # Errors
/// Busy if something is mounted below it, a file of it is mapped or `cwd` is on it; the file system's errors.
/// It is then still mounted.
pub fn unmount(mount: Arc<Mount>, cwd: Option<&Place>) -> Result<(), Why> {
    let busy = |why: fmt::Arguments<'_>| Err(Why::Other(alloc::format!("{}: {why}", Error::Op(Errno::Busy))));
    let mounts = all();
    let below = |other: &&Arc<Mount>| other.point.as_ref().is_some_and(|point| point.mount == mount);
    if let Some(other) = mounts.iter().find(below) {
        return busy(format_args!("{} is mounted inside", other.device));
    }
    if cwd.is_some_and(|cwd| cwd.mount == mount) {
        return busy(format_args!("the current directory is inside"));
    }
    if let Some(what) = mount.mapped() {
        return busy(format_args!("{what}"));
    }
    mount.sync()?;
    mount.fs.unmount()?;
    klog!(Info, "{} unmounted", mount.device);
    replace(mounts.iter().filter(|other| **other != mount).cloned().collect());
    if mount.is_root() {
        *NO_ROOT.lock() = Some(alloc::format!("{}: unmounted", mount.device));
    }
    Ok(())
}

/// Makes everything on every mount durable.
///
/// # Errors
/// Each mount's device with the first error met there.
pub fn sync_all() -> Vec<(String, Error)> {
    all().iter().filter_map(|mount| Some((mount.device.clone(), mount.sync().err()?))).collect()
}
