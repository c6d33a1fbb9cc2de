//! A file as the exerciser drives it: read and written by copying, loaded and stored through faults.

use super::{BLOCK, Machine, View, at};
use fs::dax::fsync;
use fs::vfs::{FileSystemRef, InodeRef};
use fs::{Errno, Error};
use fsx::{FileOp, OpKind, Target, TargetResult};

/// A file on a mounted image.
pub(crate) struct Exercised {
    pub(crate) fs: FileSystemRef<Machine>,
    path: String,
    /// `None` only while it is being closed and opened.
    file: Option<InodeRef<Machine>>,
    /// Mapped all the time, if so much of it is to be.
    pages: Option<u64>,
    view: Option<View>,
}

impl Exercised {
    /// The file at `path`, which is there. With `mapped`, one mapping of so many bytes serves all mapped
    /// accesses, and lives while the file changes under it; without, each makes its own.
    pub(crate) fn new(fs: &FileSystemRef<Machine>, path: &str, mapped: Option<u64>) -> Self {
        let pages = mapped.map(|len| len.div_ceil(BLOCK));
        let file = Some(at(fs, path));
        Self { fs: fs.clone(), path: path.into(), file, pages, view: None }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &InodeRef<Machine> {
        self.file.as_ref().expect("it is open")
    }

    /// Calls `f` with a mapping of these bytes.
    fn mapped<R>(&mut self, op: &FileOp, f: impl FnOnce(&View) -> TargetResult<R>) -> TargetResult<R> {
        self.file().expect_mappable()?;
        match self.pages {
            Some(pages) => {
                if self.view.is_none() {
                    self.view = Some(View::new(self.file(), 0..pages));
                }
                f(self.view.as_ref().expect("made just now"))
            }
            None => f(&View::new(self.file(), pages(op.offset, op.len))),
        }
    }

    fn close(&mut self, meanwhile: impl FnOnce(&FileSystemRef<Machine>)) {
        self.view = None;
        self.file = None;
        meanwhile(&self.fs);
        self.file = Some(at(&self.fs, &self.path));
    }
}

/// The pages that a range of bytes touches.
fn pages(offset: u64, len: u64) -> std::ops::Range<u64> {
    offset / BLOCK..(offset + len).div_ceil(BLOCK)
}

/// Stores page by page; what was stored before space ran out counts.
fn store(view: &View, offset: u64, from: &[u8]) -> TargetResult<usize> {
    let mut done = 0;
    while done < from.len() {
        let at = offset + done as u64;
        let count = ((BLOCK - at % BLOCK) as usize).min(from.len() - done);
        match view.store(at, &from[done..done + count]) {
            Ok(()) => done += count,
            Err(Error::Op(Errno::NoSpace)) if done > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

impl Target for Exercised {
    fn block_size(&self) -> u64 {
        self.fs.stat_fs().block_size
    }

    fn perform(&mut self, op: &FileOp, bytes: &mut [u8]) -> TargetResult<usize> {
        if matches!(op.kind, OpKind::Read | OpKind::MapRead) {
            // Bytes that are not written to shall not pass for zeros.
            bytes.fill(0xEE);
        }
        match op.kind {
            OpKind::MapRead => {
                self.mapped(op, |view| Ok(view.load(op.offset, bytes).map(|()| bytes.len())?))
            }
            OpKind::MapWrite => self.mapped(op, |view| store(view, op.offset, bytes)),
            _ => Ok(op.perform(&**self.file(), bytes)?),
        }
    }

    fn msync(&mut self, offset: u64, len: u64) -> TargetResult {
        fs::dax::msync(&**self.file(), pages(offset, len))?;
        Ok(())
    }

    fn size(&mut self) -> TargetResult<u64> {
        Ok(self.file().attr().size)
    }

    fn end(&mut self) -> TargetResult<u64> {
        let file = self.file();
        let lock = file.mapping().shared();
        Ok(file.size(lock.held()))
    }

    fn hole(&mut self, from: u64) -> TargetResult<Option<(u64, u64)>> {
        Ok(self.file().next_hole(from)?)
    }

    fn close_and_open(&mut self) -> TargetResult {
        self.close(|_| {});
        Ok(())
    }

    fn flush(&mut self) -> TargetResult {
        fsync(&**self.file())?;
        self.close(|fs| {
            fs.shrink();
        });
        Ok(())
    }
}
