//! Errors in four kinds that stay apart: the caller's mistake, a failing device, something unsupported, and
//! something corrupt, which names the structure and its index.

use core::fmt;

/// What every fallible function of this crate returns.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an operation was refused or failed. Nothing was changed unless the function says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for something that cannot be: the errno a Unix program would see.
    Op(Errno),
    /// The memory itself failed: an uncorrectable error at this byte offset of the region.
    Poisoned(u64),
    /// An image of something else, or a sound one that needs what this implementation does not do.
    Unsupported(Unsupported),
    /// The image contradicts itself or the format.
    Corrupt(Corrupt),
}

/// The caller's mistakes and the limits met, with the names POSIX gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errno {
    /// `ENOENT`
    NotFound,
    /// `EEXIST`
    Exists,
    /// `ENOTDIR`
    NotDirectory,
    /// `EISDIR`
    IsDirectory,
    /// `ENOTEMPTY`
    NotEmpty,
    /// `ENAMETOOLONG`
    NameTooLong,
    /// `EINVAL`
    Invalid,
    /// `ENOSPC`: no free block, or no free inode.
    NoSpace,
    /// `ENOSPC`: the index of a directory has as many blocks as it can lead to.
    IndexFull,
    /// `EFBIG`: beyond what the block map can address.
    FileTooBig,
    /// `EMLINK`
    TooManyLinks,
    /// `EROFS`
    ReadOnly,
    /// `EBUSY`
    Busy,
    /// `ENOMEM`: no memory for a table page or an index node.
    NoMemory,
    /// `EOVERFLOW`: a number does not fit.
    Overflow,
    /// `EXDEV`
    CrossDevice,
    /// `ELOOP`
    Loop,
    /// `EPERM`: the kind of file, or its flags, do not allow it to anyone.
    NotPermitted,
    /// `EACCES`: the file was not opened for this.
    NoAccess,
    /// `EFAULT`: nothing is mapped at an address.
    BadAddress,
    /// `ENODATA`: no such extended attribute.
    NoData,
    /// `ERANGE`
    Range,
    /// `ENXIO`: a seek beyond the data.
    NoSuchAddress,
    /// `ENODEV`: the kind of file cannot be mapped.
    NoDevice,
    /// A mapped access beyond the page that holds the file's last byte (`SIGBUS`).
    BeyondEnd,
}

/// What an image is, or needs, that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsupported {
    /// No type of file system recognises it.
    Unrecognised,
    /// No file system of the type that was asked for.
    Magic {
        /// The type's name.
        of: &'static str,
        /// What is in the magic number's place.
        found: u64,
    },
    /// Features that must be understood to read it at all.
    Features(Features),
    /// A revision of the format that is not known.
    Revision {
        /// The type's name.
        of: &'static str,
        /// Its number.
        revision: u32,
    },
    /// A block size.
    BlockSize {
        /// Bytes in a block.
        bytes: u64,
        /// Those that are supported, and how to make such a file system.
        supported: &'static str,
    },
    /// Mapping a file on blocks that are smaller than a page: their size in bytes.
    Mapping(u64),
    /// The operation does not exist for this kind of file or in this version.
    Operation(&'static str),
}

/// Features of an image, by the names that its format gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// A bit for each.
    pub bits: u32,
    /// Bits and their names.
    pub names: &'static [(u32, &'static str)],
    /// What helps, in parentheses; or nothing.
    pub hint: &'static str,
}

/// Writes the names, each after a blank; what has none is shown bit by bit. Then the hint.
impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.bits;
        for &(bit, name) in self.names {
            if left & bit != 0 {
                write!(f, " {name}")?;
                left &= !bit;
            }
        }
        while left != 0 {
            let bit = left & left.wrapping_neg();
            write!(f, " {bit:#x}")?;
            left &= !bit;
        }
        match self.hint {
            "" => Ok(()),
            hint => write!(f, " ({hint})"),
        }
    }
}

/// A contradiction in an image: which structure, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The structure, as the layout document calls it ("superblock", "group descriptor", "inode",
    /// "directory", …).
    pub what: &'static str,
    /// Its index: group number, inode number, block number, as `what` implies.
    pub index: u64,
    /// What is wrong with it.
    pub why: &'static str,
    /// The offending value, where one tells more than `why` alone.
    pub value: Option<u64>,
    /// What the value should have kept to.
    pub limit: Option<u64>,
}

impl Corrupt {
    /// Makes a contradiction in structure `what` number `index`.
    pub const fn new(what: &'static str, index: u64, why: &'static str) -> Self {
        Self { what, index, why, value: None, limit: None }
    }

    /// Makes a contradiction as [`new`](Self::new) does, with the value that gave it away.
    pub const fn with(what: &'static str, index: u64, why: &'static str, value: u64) -> Self {
        Self { what, index, why, value: Some(value), limit: None }
    }

    /// Makes a contradiction as [`new`](Self::new) does, with the value and what it should have kept to.
    pub const fn against(what: &'static str, index: u64, why: &'static str, value: u64, limit: u64) -> Self {
        Self { what, index, why, value: Some(value), limit: Some(limit) }
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::Op(errno)
    }
}

impl From<Unsupported> for Error {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Op(errno) => errno.fmt(f),
            Self::Poisoned(offset) => {
                write!(f, "uncorrectable memory error at byte {offset:#x} of the region")
            }
            Self::Unsupported(what) => what.fmt(f),
            Self::Corrupt(what) => what.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::Exists => "file exists",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::NotEmpty => "directory not empty",
            Self::NameTooLong => "file name too long",
            Self::Invalid => "invalid argument",
            Self::NoSpace => "no space left on device",
            Self::IndexFull => "no space left in the directory's index",
            Self::FileTooBig => "file too large",
            Self::TooManyLinks => "too many links",
            Self::ReadOnly => "read-only file system",
            Self::Busy => "device or resource busy",
            Self::NoMemory => "cannot allocate memory",
            Self::Overflow => "value too large",
            Self::CrossDevice => "invalid cross-device link",
            Self::Loop => "too many levels of symbolic links",
            Self::NotPermitted => "operation not permitted",
            Self::NoAccess => "permission denied",
            Self::BadAddress => "bad address",
            Self::NoData => "no such attribute",
            Self::Range => "numerical result out of range",
            Self::NoSuchAddress => "no such device or address",
            Self::NoDevice => "no such device",
            Self::BeyondEnd => "beyond the end of the file",
        })
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecognised => f.write_str("no file system of a known type"),
            Self::Magic { of, found } => write!(f, "no {of} file system (bad magic number {found:#x})"),
            Self::Features(features) => write!(f, "unsupported incompatible features:{features}"),
            Self::Revision { of, revision } => write!(f, "unsupported {of} revision {revision}"),
            Self::BlockSize { bytes, supported } => {
                write!(f, "unsupported block size {bytes}: {supported}")
            }
            Self::Mapping(bytes) => {
                write!(f, "the file system's blocks have {bytes} bytes, mapping needs 4096")
            }
            Self::Operation(what) => write!(f, "{what}: operation not supported"),
        }
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "corrupt {} {}: {}", self.what, self.index, self.why)?;
        match (self.value, self.limit) {
            (Some(value), Some(limit)) => write!(f, " ({value}, limit {limit})"),
            (Some(value), None) => write!(f, " ({value})"),
            (None, _) => Ok(()),
        }
    }
}
