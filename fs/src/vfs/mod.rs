//! Files and file systems, as [`dax`](crate::dax) and the shell need them.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | the traits a file system implements: [`FileSystem`], [`Inode`] |
//! | `extent` | where a range of a file is |
//! | `inode_lock` | one inode's lock, and the proofs that it is held |
//! | [`mapping`] | one file's invalidate lock, `dax_sem`, and where the file is mapped |
//! | [`index`] | what is known of each mapped page: dirty, zero page |
//! | [`freeze`] | freezing and thawing |
//! | `mount` | types of file systems, the options of a mount |
//! | [`path`] | walking a path |
//! | `transfer` | where a read puts what a file holds |
//! | `transaction` | the transaction in which a fault changes a block map |

mod extent;
pub mod freeze;
pub mod index;
mod inode_lock;
pub mod mapping;
mod mount;
pub mod path;
mod transaction;
mod transfer;
#[cfg(feature = "watched")]
pub mod watched;

pub(crate) use extent::Joiner;
pub use extent::{Backing, Extent, State};
pub use freeze::{Freeze, Frozen, Thawed};
pub use inode_lock::{ChangeOk, InodeExclusive, InodeHeld, InodeLock, InodeShared};
pub use mapping::{AllocOk, Exclusive, Held, Mapping, Shared};
pub use mount::{Field, FileSystemType, JournalInfo, MountOptions, OnError, UnknownPolicy, uuid_text};
pub use transaction::{Transaction, Transactions};
pub use transfer::{Buffer, ReadTo};

use crate::error::{Errno, Error, Result, Unsupported};
use crate::platform::{Platform, Timestamp};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::{ControlFlow, Range};

/// A handle to an inode; as long as one lives, the inode stays in memory.
pub type InodeRef<P> = Arc<dyn Inode<P>>;

/// A handle to a mounted file system.
pub type FileSystemRef<P> = Arc<dyn FileSystem<P>>;

/// A mounted file system.
pub trait FileSystem<P: Platform>: Send + Sync {
    /// Returns the name of its type, as the [registry](crate::registry) has it.
    fn type_name(&self) -> &'static str;

    /// Calls `f` with each inode in memory: those that may be mapped are among them.
    fn for_each_inode(&self, f: &mut dyn FnMut(&dyn Inode<P>));

    /// Calls `tell` with what whoever mounted it should know: why it is read-only although nobody asked for
    /// that, what was repaired, what is wrong with it.
    fn mount_notes(&self, _tell: &mut dyn FnMut(&dyn Display)) {}

    /// Calls `f` with the names and values that describe it, as its own tools print them (`tune2fs -l`).
    ///
    /// # Errors
    /// The region cannot be read.
    fn describe(&self, _f: &mut dyn FnMut(&'static str, Field)) -> Result<()> {
        Ok(())
    }

    /// Returns what is in its journal just now; `None` if it writes none. Waits for a commit that is on its
    /// way.
    fn journal_info(&self) -> Option<JournalInfo> {
        None
    }

    /// Makes durable what it has kept back for some seconds. Called about once a second, by a task that holds
    /// nothing. Returns whether it wants to be called again: `false` where nothing is kept back.
    fn tick(&self, _now: Timestamp) -> bool {
        false
    }

    /// Sets the policy that is followed when a contradiction is met (`errors=`). Returns the one before.
    ///
    /// # Errors
    /// Unsupported, where nothing can contradict itself.
    fn set_on_error(&self, _policy: OnError) -> Result<OnError> {
        Err(Unsupported::Operation("a policy on errors").into())
    }

    /// The root directory.
    fn root(&self) -> Result<InodeRef<P>>;

    /// Sizes and free space.
    fn stat_fs(&self) -> StatFs;

    /// True if nothing on it may be changed.
    fn read_only(&self) -> bool;

    /// Brings the image's summary up to date, so that nothing but its state says it is mounted. What was
    /// stored through mappings is [`dax::fsync`](crate::dax::fsync)'s part, for each file, before.
    fn sync(&self) -> Result<()>;

    /// Syncs and marks the image clean. Afterwards every change is refused with [`Errno::ReadOnly`].
    ///
    /// # Errors
    /// [`Errno::Busy`] while files are open (referenced) other than by the file system itself, or it is
    /// frozen; nothing changed.
    fn unmount(&self) -> Result<()>;

    /// Makes changes wait until the [`thaw`](FileSystem::thaw): those on their way end, what was stored
    /// through mappings is written back, stores fault from now on. The image is as after an unmount
    /// meanwhile, and marked clean unless a file without a name is open or errors were met: a copy of it is a
    /// sound file system. Reading goes on.
    ///
    /// # Errors
    /// [`Errno::Busy`] if it is frozen, [`Errno::ReadOnly`] if it cannot change anyway; what writing back
    /// met.
    fn freeze(&self) -> Result<()> {
        Err(Unsupported::Operation("freezing").into())
    }

    /// Lets changes go on.
    ///
    /// # Errors
    /// [`Errno::Invalid`] if it is not frozen.
    fn thaw(&self) -> Result<()> {
        Err(Errno::Invalid.into())
    }

    /// Makes a mounted file system read-only, or writable: as [`freeze`](FileSystem::freeze) it waits for
    /// changes and writes back; changes and stores after that are refused with [`Errno::ReadOnly`], those
    /// through mappings too.
    ///
    /// # Errors
    /// To read-only: [`Errno::Busy`] if it is frozen, or a file without a name is open: it could not go with
    /// its last handle. To writable: [`Errno::ReadOnly`] if something forbids it, unsupported if the image
    /// has to be repaired first.
    fn remount(&self, _read_only: bool) -> Result<()> {
        Err(Unsupported::Operation("remounting").into())
    }

    /// The inode that an entry leads to, without a search for its name. Called from inside the `read_dir`
    /// that gave the entry: the directory's lock keeps the number from being freed. It takes no inode's lock;
    /// let go of what it returns outside of `read_dir`, for the last handle may have work to do.
    fn entry(&self, entry: &DirEntry<'_>) -> Result<InodeRef<P>>;

    /// Moves the name `old` in directory `old_dir` to `new` in `new_dir` (inode numbers), as renameat2(2)
    /// does. After a crash it has happened as a whole or not at all.
    fn rename(&self, old_dir: u64, old: &[u8], new_dir: u64, new: &[u8], how: Rename) -> Result<()>;

    /// Memory from byte `place` of the region on, `len` bytes, has lost its content, and
    /// [`Pmem::poisoned`](crate::pmem::Pmem::poisoned) says so already: every entry of a page table that
    /// leads to it goes, so that the next access is refused. Slow; takes the `dax_sem` of files that are
    /// mapped, one at a time.
    fn memory_failed(&self, _place: u64, _len: u64) {}

    /// Gives back memory that only makes things faster: names, inodes nobody holds. Returns about how many
    /// bytes. Called where memory is short, under whatever locks: it waits for none.
    fn shrink(&self) -> usize {
        0
    }
}

/// A file, directory or other inode.
///
/// # Durability
/// Without a journal, a function that changes metadata makes the change durable before it lets go of its
/// lock, so that it is durable on return, and a sync need not know which CPU made it (docs/decisions/0005).
/// What is left to a sync: stores through mappings, and the times that
/// [`start_write_fault`](Inode::start_write_fault) stores. With a journal a crash shows all of the change or
/// nothing, and it is durable when [`commit`](Inode::commit) or a [sync](FileSystem::sync) was
/// (docs/decisions/0024).
///
/// # Locking
/// The functions under *Copying*, *Names* and *Extended attributes* take the [inode lock](InodeLock)
/// themselves; those under *Mapping* are called under the invalidate lock, `dax_sem`, and are given the
/// proof.
pub trait Inode<P: Platform>: Send + Sync {
    /// The machine it lives on.
    fn platform(&self) -> &P;
    /// Inode number.
    fn ino(&self) -> u64;
    /// What kind of inode it is; never changes.
    fn kind(&self) -> FileKind;
    /// All attributes.
    fn attr(&self) -> Attr;
    /// Changes the attributes that are given.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for an owner or group of 4294967295, who is nobody; [`Errno::NotPermitted`] where
    /// none can be changed.
    fn set_attr(&self, _change: &SetAttr) -> Result<()> {
        Err(Errno::NotPermitted.into())
    }

    // -- Mapping: what a fault needs
    // ---------------------------------------------------------------------------

    /// Its invalidate lock, and where it is mapped.
    fn mapping(&self) -> &Mapping<P>;
    /// Tells of its locks.
    #[cfg(feature = "watched")]
    fn locks(&self, tell: watched::Tell<'_>) {
        self.mapping().locks(tell);
    }
    /// Both at once, for a fault.
    #[inline]
    fn parts(&self) -> (&P, &Mapping<P>) {
        (self.platform(), self.mapping())
    }
    /// Returns the size in bytes. It does not shrink while the lock is held.
    #[inline]
    fn size(&self, _lock: Held<'_>) -> u64 {
        self.mapping().size()
    }
    /// Looks up where the file's pages from `page` on are, as far as they are in one extent, and not further
    /// than `pages` of them. It changes nothing. The answer is true as long as the lock is held. What is
    /// beyond the end of the file is whatever the block map says. Only for files that
    /// [can be mapped](Inode::expect_mappable).
    ///
    /// `pages` is 1, or more if all that is wanted is whether that many are one extent: where they are not,
    /// the answer may be shorter than the extent really is.
    ///
    /// # Errors
    /// The block map contradicts itself.
    fn look_up(&self, lock: Held<'_>, page: u64, pages: u64) -> Result<Extent>;
    /// As [`look_up`](Inode::look_up) of one page, in registers, for a fault; `None` if that says what is
    /// wrong.
    #[inline]
    fn peek(&self, lock: Held<'_>, page: u64) -> Option<Backing> {
        self.look_up(lock, page, 1).ok().map(|extent| extent.backing)
    }
    /// Returns the byte offset in the region of a page's content, as [`look_up`](Inode::look_up) tells it;
    /// `None` if the page reads as zeros.
    ///
    /// # Errors
    /// Those of [`look_up`](Inode::look_up).
    fn place(&self, lock: Held<'_>, page: u64) -> Result<Option<u64>> {
        Ok(self.look_up(lock, page, 1)?.place())
    }
    /// As [`look_up`](Inode::look_up), for a store: if the pages are a hole, takes blocks for them; if they
    /// are unwritten or a hole, makes their zeros durable and then publishes them, with the flag NEW.
    ///
    /// `pages` is 1, or 512 and `page` a multiple of that. Then the answer is for all of them, which are in
    /// one piece. 512 may not be to be had so: nothing is changed, and the answer is not mapped.
    ///
    /// # Errors
    /// [`Errno::NoSpace`], [`Errno::FileTooBig`], [`Errno::ReadOnly`]; the block map contradicts itself.
    fn look_up_for_write(
        &self,
        ok: AllocOk<'_>,
        transaction: &Transaction<'_>,
        page: u64,
        pages: u64,
    ) -> Result<Backing>;
    /// Opens the transaction in which [`look_up_for_write`](Inode::look_up_for_write) changes the block map
    /// for the `pages` from `page` on. Called under the invalidate lock, with no entry locked, if
    /// [`Mapping::has_transactions`] says so.
    ///
    /// # Errors
    /// The journal was given up; [`Errno::NoSpace`], where it has no room for so many.
    fn begin<'a>(&'a self, _lock: Held<'a>, _page: u64, _pages: u64) -> Result<Transaction<'a>> {
        Ok(Transaction::none())
    }
    /// A write fault is about to happen: waits while the file system is frozen, updates the times, refuses on
    /// a read-only file system. Called before `dax_sem` is taken; what it returns is held until the fault's
    /// end. The times are flushed, not waited for: they are advisory.
    fn start_write_fault(&self) -> Result<Thawed<'_, P>>;
    /// Makes durable the metadata by which `pages` are found after a crash, and unless `datasync` the inode's
    /// times and other attributes too: what [`look_up`](Inode::look_up) called DIRTY there is so no more.
    /// Called without any of the inode's locks, for a journal's commit waits for other changes. The caller
    /// has fenced what it flushed itself.
    ///
    /// # Errors
    /// The metadata could not be made durable: the journal was given up.
    fn commit(&self, pages: Range<u64>, datasync: bool) -> Result<()>;

    // -- Copying
    // -----------------------------------------------------------------------------------------------

    /// Reads `len` bytes at byte `offset` into `to`; returns how many it took: none at or beyond the end.
    /// Holes read as zeros.
    ///
    /// # Errors
    /// [`Errno::Invalid`] beyond 2⁶³ − 1, and what is wrong with the first byte.
    fn read_to(&self, offset: u64, len: usize, to: &mut dyn ReadTo<P>) -> Result<usize>;
    /// Reads at byte `offset` into the kernel's memory `to`, as [`read_to`](Inode::read_to) does.
    ///
    /// # Errors
    /// Those of [`read_to`](Inode::read_to).
    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        self.read_to(offset, to.len(), &mut Buffer::new(to))
    }
    /// Writes at byte `offset`, allocating and growing as needed. Returns how many bytes were written: fewer
    /// only when space ran out, or a contradiction in the image was met, after some.
    ///
    /// # Errors
    /// [`Errno::Invalid`] beyond 2⁶³ − 1, [`Errno::FileTooBig`] from the largest size on, and what is wrong
    /// with the first byte.
    fn write_at(&self, offset: u64, from: &[u8]) -> Result<usize>;
    /// Sets the size. Shrinking unmaps and frees what lies beyond; the tail of the last page reads as zeros.
    fn truncate(&self, size: u64) -> Result<()>;
    /// Changes which bytes have blocks, as fallocate(2) does with these flags. Done as a whole or not at all,
    /// but for what [`Fallocate`] says.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for `len` 0, for an offset or a length of 2⁶³ or more, for what is neither file nor
    /// directory, and for what [`Fallocate`] says; [`Errno::IsDirectory`]; [`Errno::FileTooBig`] if
    /// `offset + len` is beyond what a file may have; [`Errno::NoSpace`].
    fn fallocate(&self, how: Fallocate, offset: u64, len: u64) -> Result<()>;
    /// The first byte from `offset` on that is data, or in a hole (the end of the file is one), as lseek(2)
    /// finds it.
    ///
    /// # Errors
    /// [`Errno::NoSuchAddress`] at or beyond the end of the file, and if there is no more data.
    fn seek(&self, offset: u64, what: Seek) -> Result<u64>;
    /// The first hole at or after byte `from`, as its first byte and the first after it; `None` where there
    /// is only data up to the end of the file.
    ///
    /// # Errors
    /// As for [`seek`](Inode::seek).
    fn next_hole(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let found = |what, from| match self.seek(from, what) {
            Ok(offset) => Ok(Some(offset)),
            // No more data: the hole goes on to the end.
            Err(Error::Op(Errno::NoSuchAddress)) => Ok(None),
            Err(error) => Err(error),
        };
        let Some(start) = found(Seek::Hole, from)? else { return Ok(None) };
        let size = self.attr().size;
        if start == size {
            return Ok(None);
        }
        Ok(Some((start, found(Seek::Data, start)?.unwrap_or(size))))
    }
    /// Calls `f`, under the inode lock (it must not come back to this inode), with each run of blocks and
    /// each hole from byte `from` on, in order, up to the end of the file.
    fn extents(&self, from: u64, f: &mut dyn FnMut(Extent) -> ControlFlow<()>) -> Result<()>;

    // -- Names: whoever implements none of it keeps none, and has none made or removed
    // -------------------------------------------------------------------------------------------------

    /// Returns the inode called `name` in this directory.
    fn lookup(&self, _name: &[u8]) -> Result<InodeRef<P>> {
        self.expect_directory()?;
        Err(Errno::NotFound.into())
    }
    /// Calls `f`, under the inode lock (it must not come back to this inode), with each entry from position
    /// `from` on (0 is the first); an entry's `next` continues after it.
    fn read_dir(&self, _from: u64, _f: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>) -> Result<()> {
        self.expect_directory()
    }
    /// Makes a regular file, an empty directory, a named pipe or a socket called `name`, with permission bits
    /// `mode`.
    fn create(&self, _name: &[u8], _kind: FileKind, _mode: u16) -> Result<InodeRef<P>> {
        refuse_name(self.expect_directory())
    }
    /// Makes a device called `name`; `kind` tells which.
    fn make_device(&self, _name: &[u8], _kind: FileKind, _mode: u16, _device: Device) -> Result<InodeRef<P>> {
        refuse_name(self.expect_directory())
    }
    /// Makes a symbolic link called `name` that leads to `target`.
    ///
    /// # Errors
    /// [`Errno::NotFound`] for an empty target, [`Errno::NameTooLong`] for one that does not fit into a
    /// block.
    fn symlink(&self, _name: &[u8], _target: &[u8]) -> Result<InodeRef<P>> {
        refuse_name(self.expect_directory())
    }
    /// Gives the inode `ino`, to which the caller holds a handle, one more name here.
    ///
    /// # Errors
    /// [`Errno::NotPermitted`] for a directory, [`Errno::TooManyLinks`].
    fn link(&self, _name: &[u8], _ino: u64) -> Result<()> {
        refuse_name(self.expect_directory())
    }
    /// Removes the name of something that is not a directory; the inode goes with its last name and last
    /// handle.
    fn unlink(&self, _name: &[u8]) -> Result<()> {
        refuse_name(self.expect_directory())
    }
    /// Removes an empty directory.
    fn rmdir(&self, _name: &[u8]) -> Result<()> {
        refuse_name(self.expect_directory())
    }
    /// Returns the target of a symbolic link.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for anything else.
    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno::Invalid.into())
    }

    // -- Extended attributes: whoever implements none of it has none
    // -------------------------------------------------------------------------------------

    /// The value of the attribute called `name` (with its prefix: `user.x`, `trusted.y`).
    ///
    /// # Errors
    /// [`Errno::NoData`] if there is none, unsupported for a prefix that is not kept.
    fn xattr(&self, _name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::NoData.into())
    }
    /// Sets an attribute: after a crash it has its old value or the new one.
    ///
    /// # Errors
    /// [`Errno::Exists`] and [`Errno::NoData`] as `how` asks for, [`Errno::Range`] for a name that is empty
    /// or too long, [`Errno::NoSpace`] if the attributes do not fit into one block, [`Errno::NotPermitted`]
    /// for `user.` attributes of what is neither file nor directory.
    fn set_xattr(&self, _name: &[u8], _value: &[u8], _how: SetXattr) -> Result<()> {
        Err(Errno::NotPermitted.into())
    }
    /// Removes an attribute.
    ///
    /// # Errors
    /// [`Errno::NoData`] if there is none.
    fn remove_xattr(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::NoData.into())
    }
    /// Returns the names of all attributes.
    fn list_xattrs(&self) -> Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    /// Refuses what cannot be mapped: all but regular files, on blocks of the page size.
    fn expect_mappable(&self) -> Result<()>;

    /// Refuses with [`Errno::NotDirectory`] what is not a directory.
    fn expect_directory(&self) -> Result<()> {
        if self.kind() == FileKind::Directory { Ok(()) } else { Err(Errno::NotDirectory.into()) }
    }
}

/// Refuses to change the names in a directory that takes no changes.
fn refuse_name<T>(is_directory: Result<()>) -> Result<T> {
    is_directory.and(Err(Errno::NotPermitted.into()))
}

/// What kind of inode it is (`S_IFMT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

impl FileKind {
    /// Returns the kind's bits in `i_mode` and `st_mode`.
    pub const fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0x1000,
            Self::CharDevice => 0x2000,
            Self::Directory => 0x4000,
            Self::BlockDevice => 0x6000,
            Self::File => 0x8000,
            Self::Symlink => 0xa000,
            Self::Socket => 0xc000,
        }
    }
}

/// An inode's attributes, as stat(2) shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: u64,
    /// Kind.
    pub kind: FileKind,
    /// Permission bits, with set-uid, set-gid and sticky: the low 12 bits of `i_mode`.
    pub mode: u16,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Space taken, indirect blocks included, in units of 512 bytes (`i_blocks`).
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last change of contents.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// When it was made, where the inode has room for that.
    pub crtime: Option<Timestamp>,
    /// The device, of a device.
    pub device: Device,
}

impl Attr {
    /// Returns kind and permission bits together, as `st_mode` has them.
    pub const fn whole_mode(&self) -> u16 {
        self.kind.mode_bits() | self.mode & 0o7777
    }
}

/// A device's numbers, as mknod(2) takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Which driver: 12 bits.
    pub major: u32,
    /// Which of its devices: 20 bits.
    pub minor: u32,
}

/// How a rename treats what has the new name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// It is replaced: a file by a file, an empty directory by a directory.
    Replace,
    /// The rename is refused with [`Errno::Exists`] (`RENAME_NOREPLACE`).
    NoReplace,
    /// It gets the old name: both are there, of whatever kind (`RENAME_EXCHANGE`).
    Exchange,
}

/// What fallocate(2) does with a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallocate {
    /// Fills its holes with blocks of zeros. On [`Errno::NoSpace`] some may have been filled.
    Allocate {
        /// The file does not become longer. Blocks beyond its end stay for as long as a handle does.
        keep_size: bool,
    },
    /// Whole blocks become holes, the rest reads as zeros; the size stays (`PUNCH_HOLE | KEEP_SIZE`).
    PunchHole,
    /// It reads as zeros and has blocks.
    ZeroRange {
        /// The file does not become longer.
        keep_size: bool,
    },
    /// It is cut out, what comes after moves down. Whole blocks only, not up to the end: [`Errno::Invalid`].
    CollapseRange,
    /// A hole is put in, what comes after moves up. Whole blocks only, not at or beyond the end:
    /// [`Errno::Invalid`].
    InsertRange,
}

impl Fallocate {
    /// Returns the `len` bytes from `offset` on, of a file that may have `most` bytes.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for none, and for an offset or a length of 2⁶³ or more: they are signed for whoever
    /// asks; [`Errno::FileTooBig`].
    pub(crate) fn range(offset: u64, len: u64, most: u64) -> Result<Range<u64>> {
        let signed = |number: u64| i64::try_from(number).is_ok();
        if len == 0 || !signed(offset) || !signed(len) {
            return Err(Errno::Invalid.into());
        }
        match offset + len <= most {
            true => Ok(offset..offset + len),
            false => Err(Errno::FileTooBig.into()),
        }
    }

    /// Tells whether it changes what is read of a file, or how much; `has_grown`: the file became longer.
    pub(crate) fn changes_content(self, has_grown: bool) -> bool {
        has_grown || !matches!(self, Self::Allocate { .. })
    }

    /// Tells whether it may be done to a file that only gets longer.
    pub(crate) fn only_adds(self) -> bool {
        matches!(self, Self::Allocate { .. })
    }
}

/// What lseek(2) looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// `SEEK_DATA`
    Data,
    /// `SEEK_HOLE`
    Hole,
}

/// How setxattr(2) treats an attribute that is there, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetXattr {
    /// Made or replaced.
    Any,
    /// Made; [`Errno::Exists`] if it is there (`XATTR_CREATE`).
    Create,
    /// Replaced; [`Errno::NoData`] if it is not there (`XATTR_REPLACE`).
    Replace,
}

/// Refuses `len` bytes at `offset` that reach beyond 2⁶³ − 1: offsets are signed for whoever asks. What lies
/// in a file need not be asked about.
///
/// # Errors
/// [`Errno::Invalid`]
pub(crate) fn check_range(offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::Invalid.into()),
    }
}

/// Changes to attributes; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetAttr {
    /// Permission bits (low 12).
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last read.
    pub atime: Option<Timestamp>,
    /// Last change of contents.
    pub mtime: Option<Timestamp>,
}

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// The name, as stored: bytes of any value; an honest image has no `/` and NUL in it.
    pub name: &'a [u8],
    /// The inode it names.
    pub ino: u64,
    /// Its kind, where the directory says (feature `filetype`).
    pub kind: Option<FileKind>,
    /// The position after this entry.
    pub next: u64,
}

/// Sizes and free space, as statfs(2) shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatFs {
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks, the file system's own structures left out.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks beyond those reserved for root.
    pub blocks_available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
    /// Volume label: up to 16 bytes, NUL-padded.
    pub label: [u8; 16],
    /// Volume UUID.
    pub uuid: [u8; 16],
}
