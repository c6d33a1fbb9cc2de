//! Files by path, as the commands need them: paths are the shell's text, relative to its current directory,
//! and errors name the path.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use fs::vfs::{FileKind, SetAttr};
use fs::{Errno, Error};

use super::command::{Done, Failure, On};
use super::{Shell, text};
use crate::machine::File;
use crate::mounts::{self, Place, Why};

/// Permissions of new files and directories: the usual umask 022 applied.
pub(super) const FILE_MODE: u16 = 0o644;
/// As [`FILE_MODE`].
pub(super) const DIR_MODE: u16 = 0o755;
/// How much of a file is moved at once. On the heap: the stack is small.
pub(super) const BUFFER: usize = 256 << 10;

/// Where a name is, or would be.
pub(super) struct Slot {
    /// The directory.
    pub(super) dir: Place,
    /// The name, as bytes.
    pub(super) name: Vec<u8>,
}

impl Shell {
    /// The path as bytes, from `/` on.
    pub(super) fn absolute<'a>(&self, path: &'a str) -> Cow<'a, [u8]> {
        let bytes = text::encode(path);
        if bytes.starts_with(b"/") {
            return bytes;
        }
        let mut absolute = text::encode(&self.cwd).into_owned();
        absolute.push(b'/');
        absolute.extend_from_slice(&bytes);
        Cow::Owned(absolute)
    }

    /// Finds a file; `follow` a symbolic link at the end.
    pub(super) fn walk(&self, path: &str, follow: bool) -> Result<Place, Why> {
        mounts::check_path(&text::encode(path))?;
        mounts::walk(&self.absolute(path), follow)
    }

    /// As [`walk`](Self::walk), following, with the path in the error.
    pub(super) fn find(&self, path: &str) -> Result<Place, Failure> {
        self.walk(path, true).on(path)
    }

    /// The directory and the name in it that `path` means.
    pub(super) fn slot(&self, path: &str) -> Result<Slot, Failure> {
        let split = || {
            mounts::check_path(&text::encode(path))?;
            let absolute = self.absolute(path);
            let (dir, name) = mounts::parent(&absolute)?;
            Ok::<_, Why>(Slot { name: name.to_vec(), dir })
        };
        split().on(path)
    }

    /// Opens what can be read as bytes.
    pub(super) fn open(&self, path: &str) -> Result<File, Failure> {
        let file = self.find(path)?.file;
        match file.kind() {
            FileKind::File => Ok(file),
            FileKind::Directory => Err(Errno::IsDirectory).on(path),
            _ => Err("not a regular file").on(path),
        }
    }

    /// Opens a file to write to it, making it if need be; the flag tells whether it is new. What exists may
    /// be of any kind.
    pub(super) fn open_or_create(&self, path: &str) -> Result<(File, bool), Failure> {
        match self.walk(path, true) {
            Ok(place) => {
                // As open(2) for writing does, rather than at the first write.
                if place.mount.options.read_only {
                    return Err(Errno::ReadOnly).on(path);
                }
                Ok((place.file, false))
            }
            Err(Why::File(Error::Op(Errno::NotFound))) => {
                if path.ends_with('/') {
                    return Err(Errno::IsDirectory).on(path);
                }
                let slot = self.slot(path)?;
                // A link that leads nowhere is in the way.
                let file = slot.dir.file.create(&slot.name, FileKind::File, FILE_MODE).on(path)?;
                Ok((file, true))
            }
            Err(why) => Err(why).on(path),
        }
    }

    /// Calls `f` with each piece of a file from byte `from` on, up to `limit` bytes.
    pub(super) fn read_pieces(
        &mut self,
        file: &File,
        path: &str,
        mut from: u64,
        mut limit: u64,
        mut f: impl FnMut(&mut Self, &[u8]) -> Done,
    ) -> Done {
        if self.out.goes_to(file) && file.attr().size > from {
            // It would grow as fast as it is read.
            return Err("input file is output file").on(path);
        }
        let mut buffer = alloc::vec![0; (limit.min(BUFFER as u64) as usize).max(1)];
        while limit > 0 {
            self.out.poll()?;
            let want = limit.min(buffer.len() as u64) as usize;
            let got = file.read_at(from, &mut buffer[..want]).on(path)?;
            if got == 0 {
                break;
            }
            f(self, &buffer[..got])?;
            from += got as u64;
            limit -= got as u64;
        }
        Ok(())
    }

    /// The names in a directory, `.` and `..` left out, sorted by their bytes.
    pub(super) fn names(&mut self, dir: &File, path: &str) -> Result<Vec<String>, Failure> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        dir.read_dir(0, &mut |entry| {
            if entry.name != b"." && entry.name != b".." {
                names.push(entry.name.to_vec());
            }
            ControlFlow::Continue(())
        })
        .on(path)?;
        self.out.poll()?;
        names.sort_unstable();
        Ok(names.iter().map(|name| text::decode(name)).collect())
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all(&self, file: &File, path: &str, mut offset: u64, mut bytes: &[u8]) -> Done {
        while !bytes.is_empty() {
            let done = file.write_at(offset, bytes).on(path)?;
            if done == 0 {
                return Err(Errno::NoSpace).on(path);
            }
            offset += done as u64;
            bytes = &bytes[done..];
        }
        Ok(())
    }

    /// Sets the times of `file` to now.
    pub(super) fn touch_times(&self, file: &File, path: &str) -> Done {
        let now = fs::platform::Platform::now(file.platform());
        file.set_attr(&SetAttr { atime: Some(now), mtime: Some(now), ..SetAttr::default() }).on(path)
    }
}
