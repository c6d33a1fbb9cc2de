//! Files by path, as the commands need them: paths are the shell's text, relative to its current directory,
//! and errors name the path.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use fs::vfs::FileKind;
use fs::{Errno, Error};

use super::command::{CommandResult, Failure, On};
use super::input::ShellInput;
use super::{Shell, text};
use crate::machine::File;
use crate::mounts::{self, Mount, Place, Why};

/// Permissions of new files and directories: the usual umask 022 applied.
pub(super) const FILE_MODE: u16 = 0o644;
/// Permissions of new directories: the usual umask 022 applied.
pub(super) const DIR_MODE: u16 = 0o755;
/// How much of a file is moved at once. On the heap: the stack is small.
pub(super) const BUFFER: usize = 256 << 10;

/// Where a name is, or would be.
pub(super) struct NamePlace {
    /// The directory.
    pub(super) dir: Place,
    /// The name, as bytes.
    pub(super) name: Vec<u8>,
}

/// A name in a directory, and what it leads to.
pub(super) type Named = (String, Result<Place, Why>);

/// A path, where it begins, and how it is shown.
#[derive(Clone, Copy)]
pub(super) struct PathFrom<'a> {
    /// The directory; none for `/`.
    pub(super) start: Option<&'a Place>,
    /// The path from there.
    pub(super) path: &'a str,
    /// What messages call the path.
    pub(super) shown: &'a str,
}

impl<'a> PathFrom<'a> {
    /// Returns a path as it was typed.
    pub(super) fn path(sh: &'a Shell, path: &'a str) -> Self {
        Self { start: sh.here(), path, shown: path }
    }

    /// Finds the file; `follow` a symbolic link at the end.
    pub(super) fn walk(self, follow: bool) -> Result<Place, Why> {
        let path = text::encode(self.path);
        mounts::check_path(&path)?;
        mounts::walk(self.start, &path, follow)
    }

    /// Returns the directory and the name in it.
    pub(super) fn slot(self) -> Result<NamePlace, Failure> {
        let split = || {
            let path = text::encode(self.path);
            mounts::check_path(&path)?;
            let (dir, name) = mounts::parent(self.start, &path)?;
            Ok::<_, Why>(NamePlace { name: name.to_vec(), dir })
        };
        split().on(self.shown)
    }

    /// Opens a file to write to, making the file if need be; the flag tells whether it is new. What exists
    /// may be of any kind.
    pub(super) fn open_or_create(self) -> Result<(File, bool), Failure> {
        match self.walk(true) {
            Ok(place) => {
                // As open(2) for writing does, rather than at the first write.
                if place.mount.read_only() {
                    return Err(Errno::ReadOnly).on(self.shown);
                }
                Ok((place.file, false))
            }
            Err(Why::File(Error::Op(Errno::NotFound))) => {
                if self.path.ends_with('/') {
                    return Err(Errno::IsDirectory).on(self.shown);
                }
                let slot = self.slot()?;
                // A link that leads nowhere is in the way.
                let file = slot.dir.file.create(&slot.name, FileKind::File, FILE_MODE).on(self.shown)?;
                Ok((file, true))
            }
            Err(why) => Err(why).on(self.shown),
        }
    }
}

impl Shell {
    /// Returns the path as the shell shows it: from `/` on, through the current directory as somebody went
    /// there, without dots.
    pub(super) fn logical(&self, path: &str) -> String {
        let mut whole = if path.starts_with('/') { String::new() } else { self.cwd.clone() };
        for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
            if name == ".." {
                whole.truncate(whole.rfind('/').unwrap_or(0));
            } else {
                if !whole.ends_with('/') {
                    whole.push('/');
                }
                whole.push_str(name);
            }
        }
        if whole.is_empty() { "/".to_string() } else { whole }
    }

    /// Goes to a directory as `cd -L` does: `..` goes back the way that the shell came, also behind a link,
    /// and out of a directory that was removed.
    pub(super) fn change_dir(&mut self, path: &str) -> CommandResult {
        let logical = self.logical(path);
        let place = if path.split('/').any(|name| name == "..") {
            // What `..` goes back over must be there, but for where we are.
            for (at, _) in path.match_indices("/..") {
                let before = &path[..at];
                let dots = before.split('/').all(|name| matches!(name, "" | "." | ".."));
                if path[at + 3..].bytes().next().is_none_or(|byte| byte == b'/') && !dots {
                    let before = self.logical(before);
                    self.walk(&before, true).and_then(|place| Ok(place.file.expect_directory()?)).on(path)?;
                }
            }
            self.walk(&logical, true).on(path)?
        } else {
            self.find(path)?
        };
        place.file.expect_directory().on(path)?;
        self.here = (logical != "/").then_some(place);
        self.cwd = logical;
        Ok(())
    }

    /// Finds a file; `follow` a symbolic link at the end.
    pub(super) fn walk(&self, path: &str, follow: bool) -> Result<Place, Why> {
        PathFrom::path(self, path).walk(follow)
    }

    /// Walks to a file like [`walk`](Self::walk), following links, with the path in the error.
    pub(super) fn find(&self, path: &str) -> Result<Place, Failure> {
        self.walk(path, true).on(path)
    }

    /// Returns what the path begins at: the current directory.
    pub(super) fn here(&self) -> Option<&Place> {
        self.here.as_ref()
    }

    /// Returns the directory and the name in it that `path` means.
    pub(super) fn slot(&self, path: &str) -> Result<NamePlace, Failure> {
        PathFrom::path(self, path).slot()
    }

    /// Opens what can be read as bytes.
    pub(super) fn open(&self, path: &str) -> Result<File, Failure> {
        let file = self.find(path)?.file;
        match file.kind() {
            FileKind::File => Ok(file),
            FileKind::Directory => Err(Errno::IsDirectory).on(path),
            // A raw device; a node of an image leads nowhere.
            FileKind::BlockDevice if file.expect_mappable().is_ok() => Ok(file),
            _ => Err("not a regular file").on(path),
        }
    }

    /// Opens a file to write to, making the file if need be; the flag tells whether it is new. What exists
    /// may be of any kind.
    pub(super) fn open_or_create(&self, path: &str) -> Result<(File, bool), Failure> {
        PathFrom::path(self, path).open_or_create()
    }

    /// Calls `f` with each piece of a file from byte `from` on, up to `limit` bytes.
    pub(super) fn read_pieces(
        &mut self,
        file: &File,
        path: &str,
        from: u64,
        limit: u64,
        f: impl FnMut(&mut Self, &[u8]) -> CommandResult,
    ) -> CommandResult {
        self.read_input(&ShellInput::File(file.clone()), path, from, limit, f)
    }

    /// Returns the names in a directory, `.` and `..` left out, sorted by their bytes.
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

    /// Returns up to `most` names in a directory from position `from` on, `.` and `..` left out, with what
    /// they lead to: links are not followed, mount points are crossed. And the position to go on from,
    /// unless that was all.
    pub(super) fn read_some(
        &mut self,
        dir: &Place,
        mut from: u64,
        most: usize,
    ) -> Result<(Vec<Named>, Option<u64>), Why> {
        let mut found = Vec::new();
        // Under the directory's lock nothing else is done.
        dir.file.read_dir(from, &mut |entry| {
            from = entry.next;
            if entry.name != b"." && entry.name != b".." {
                found.push((text::decode(entry.name), dir.mount.fs.entry(&entry)));
            }
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let next = (found.len() == most).then_some(from);
        let across = |file| {
            let place = Place { file, mount: dir.mount.clone() };
            if place.is_directory() { mounts::across(place) } else { Ok(place) }
        };
        let found = found.into_iter().map(|(name, file)| {
            if name.is_empty() || name.contains(['/', '\0']) {
                // An image made it up: in a path it would mean something else.
                return (name, Err(Why::Other("the image is damaged: this is no name".into())));
            }
            (name, file.map_err(Why::from).and_then(across))
        });
        Ok((found.collect(), next))
    }

    /// Calls `f` with all the names in a directory, in the directory's order, as
    /// [`read_some`](Self::read_some) finds them.
    pub(super) fn entries(
        &mut self,
        dir: &Place,
        path: &str,
        mut f: impl FnMut(&mut Self, String, Result<Place, Why>) -> CommandResult,
    ) -> CommandResult {
        const SOME: usize = 256;
        let mut next = Some(0);
        while let Some(from) = next {
            self.out.poll()?;
            let (found, more) = self.read_some(dir, from, SOME).on(path)?;
            next = more;
            for (name, place) in found {
                f(self, name, place)?;
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_all(
        &self,
        file: &File,
        path: &str,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> CommandResult {
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
}

/// The major number that Linux gives to pmem devices.
const PMEM_MAJOR: u32 = 259;

/// Returns the number of the device that a file system is on: major, minor.
pub(super) fn device_number(mount: &Mount) -> (u32, u32) {
    let digits = mount.device.trim_start_matches(|c: char| !c.is_ascii_digit());
    (PMEM_MAJOR, digits.parse().unwrap_or(0))
}
