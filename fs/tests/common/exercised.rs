//! A file as the exerciser drives it: read and written by copying, loaded and stored through faults.

use super::{BLOCK, Machine, View, at};
use fs::dax::fsync;
use fs::ext2::Ext2;
use fs::vfs::{Fallocate, FileSystem, InodeRef};
use fs::{Errno, Error};
use fsx::{Range, Target, TargetError};
use std::sync::Arc;

/// A file on a mounted image.
pub(crate) struct Exercised {
    pub(crate) fs: Arc<Ext2<Machine>>,
    path: String,
    /// `None` only while it is being closed and opened.
    file: Option<InodeRef<Machine>>,
    /// Mapped all the time, if so much of it is to be.
    pages: Option<u64>,
    view: Option<View>,
}

/// What a function of `fs` said, as the exerciser understands it.
fn fail(error: Error) -> TargetError<Error> {
    match error {
        Error::Op(Errno::NoSpace) => TargetError::NoSpace,
        Error::Unsupported(_) => TargetError::Unsupported,
        other => TargetError::Other(other),
    }
}

impl Exercised {
    /// The file at `path`, which is there. With `mapped`, one mapping of so many bytes serves all mapped
    /// accesses, and lives while the file changes under it; without, each makes its own.
    pub(crate) fn new(fs: &Arc<Ext2<Machine>>, path: &str, mapped: Option<u64>) -> Self {
        let pages = mapped.map(|len| len.div_ceil(BLOCK));
        let file = Some(at(fs, path));
        Self { fs: fs.clone(), path: path.into(), file, pages, view: None }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &InodeRef<Machine> {
        self.file.as_ref().expect("it is open")
    }

    /// Calls `f` with a mapping of these bytes.
    fn mapped<R>(
        &mut self,
        offset: u64,
        len: usize,
        f: impl FnOnce(&View) -> Result<R, TargetError<Error>>,
    ) -> Result<R, TargetError<Error>> {
        self.file().expect_mappable().map_err(fail)?;
        match self.pages {
            Some(pages) => {
                if self.view.is_none() {
                    self.view = Some(View::new(self.file(), 0..pages));
                }
                f(self.view.as_ref().expect("made just now"))
            }
            None => f(&View::new(self.file(), offset / BLOCK..(offset + len as u64).div_ceil(BLOCK))),
        }
    }

    fn close(&mut self, meanwhile: impl FnOnce(&Ext2<Machine>)) {
        self.view = None;
        self.file = None;
        meanwhile(&self.fs);
        self.file = Some(at(&self.fs, &self.path));
    }
}

impl Target for Exercised {
    type Error = Error;

    fn block_size(&self) -> u64 {
        self.fs.stat_fs().block_size
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> Result<usize, TargetError<Error>> {
        // Bytes that are not written to shall not pass for zeros.
        to.fill(0xEE);
        self.file().read_at(offset, to).map_err(fail)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<usize, TargetError<Error>> {
        self.file().write_at(offset, from).map_err(fail)
    }

    fn map_read(&mut self, offset: u64, to: &mut [u8]) -> Result<(), TargetError<Error>> {
        to.fill(0xEE);
        self.mapped(offset, to.len(), |view| view.load(offset, to).map_err(fail))
    }

    fn map_write(&mut self, offset: u64, from: &[u8]) -> Result<usize, TargetError<Error>> {
        self.mapped(offset, from.len(), |view| {
            let mut done = 0;
            while done < from.len() {
                let at = offset + done as u64;
                let count = ((BLOCK - at % BLOCK) as usize).min(from.len() - done);
                match view.store(at, &from[done..done + count]) {
                    Ok(()) => done += count,
                    Err(Error::Op(Errno::NoSpace)) if done > 0 => break,
                    Err(error) => return Err(fail(error)),
                }
            }
            Ok(done)
        })
    }

    fn msync(&mut self, offset: u64, len: u64) -> Result<(), TargetError<Error>> {
        let pages = offset / BLOCK..(offset + len).div_ceil(BLOCK);
        fs::dax::msync(&**self.file(), pages).map(|_| ()).map_err(fail)
    }

    fn truncate(&mut self, size: u64) -> Result<(), TargetError<Error>> {
        self.file().truncate(size).map_err(fail)
    }

    fn fallocate(&mut self, how: Range, offset: u64, len: u64) -> Result<(), TargetError<Error>> {
        let how = match how {
            Range::Allocate { keep_size } => Fallocate::Allocate { keep_size },
            Range::Punch => Fallocate::PunchHole,
            Range::Zero { keep_size } => Fallocate::ZeroRange { keep_size },
            Range::Collapse => Fallocate::CollapseRange,
            Range::Insert => Fallocate::InsertRange,
        };
        self.file().fallocate(how, offset, len).map_err(fail)
    }

    fn size(&mut self) -> Result<u64, TargetError<Error>> {
        Ok(self.file().attr().size)
    }

    fn end(&mut self) -> Result<u64, TargetError<Error>> {
        let file = self.file();
        let lock = file.mapping().shared();
        Ok(file.size(lock.held()))
    }

    fn hole(&mut self, from: u64) -> Result<Option<(u64, u64)>, TargetError<Error>> {
        self.file().next_hole(from).map_err(fail)
    }

    fn fsync(&mut self) -> Result<(), TargetError<Error>> {
        fsync(&**self.file()).map(|_| ()).map_err(fail)
    }

    fn close_and_open(&mut self) -> Result<(), TargetError<Error>> {
        self.close(|_| {});
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TargetError<Error>> {
        fsync(&**self.file()).map_err(fail)?;
        self.close(|fs| {
            fs.shrink();
        });
        Ok(())
    }
}
