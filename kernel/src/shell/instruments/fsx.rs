//! `fsx`: random operations on a file, compared with a model in memory; see the crate of that name.
//!
//! What is exercised is the open file as any command has it, and mappings of the shell's own task: each
//! access goes through its page tables, and faults.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use fs::vfs::FileKind;
use fs::{Errno, Error, PAGE_SIZE, dax};
use fsx::{EarlyStop, FileOp, Fsx, OpKind, Options, Target, TargetError, TargetResult, op, options};

use super::super::command::{Command, CommandResult, Failure, On, complaint};
use super::super::{Shell, task, text};
use crate::arch::time;
use crate::machine::File;
use crate::mm::aspace::{self, Rights};
use crate::mounts::{self, Place};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "fsx",
    operands: "FILE",
    about: "exercise a file with random operations; what is in it is lost",
    options: options::HELP,
    spec: options::SPEC,
    count: 1..=1,
    run,
}];

/// A file of operations is not longer than that.
const LONGEST_SCRIPT: u64 = 64 << 20;
/// Recorded operations are written in pieces of about that.
const RECORD: usize = 64 << 10;

fn run(sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let name = opts.operands().first().copied().unwrap_or_default();
    let mut options = Options::new(opts).map_err(complaint)?;
    if options.seed == 0 {
        let now = time::now();
        options.seed = (now.secs as u64) << 20 ^ u64::from(now.nanos);
    }
    let ops = opts.value('<').map(|script| read_ops(sh, script)).transpose()?;
    let file = regular(sh.open_or_create(name)?.0, name)?;
    let mut record = match opts.value('>') {
        None => None,
        Some(to) => {
            let file = regular(sh.open_or_create(to)?.0, to)?;
            file.truncate(0).on(to)?;
            Some(OpRecorder { file, name: to.to_string(), lines: String::new(), offset: 0 })
        }
    };
    let others = record.as_ref().map(|record| &record.file);
    if sh.out.goes_to(&file) || others.is_some_and(|other| alloc::sync::Arc::ptr_eq(other, &file)) {
        return Err("output file is the file that is exercised").on(name);
    }
    let block_size = mounts::of(&file).map_or(PAGE_SIZE, |mount| mount.fs.stat_fs().block_size);
    let target = OpenFile {
        start: sh.here().cloned(),
        path: text::encode(name).into_owned(),
        name: name.to_string(),
        file: Some(file),
        block_size,
        whole: options.one_mapping.then_some(options.max_len),
        mapped: None,
    };
    let mut fsx = Fsx::new(options, target).map_err(|_| complaint("no memory for the model: -l is less"))?;
    if let Some(ops) = ops {
        fsx = fsx.replay(ops);
    }
    let outcome = exercise(sh, &mut fsx, &mut record);
    // What was done is kept whatever came of it.
    let kept = record.map_or(Ok(()), |mut record| record.write(sh));
    fsx.target().unmap();
    match outcome {
        Ok(()) => kept,
        Err(FsxEnd::Failure(failure)) => Err(failure),
        Err(FsxEnd::Found(EarlyStop::Output)) => Err(Failure::Output),
        Err(FsxEnd::Found(EarlyStop::Failed(failure))) => {
            fsx.explain(&failure, &mut sh.out)?;
            Err(complaint(format_args!("{name}: operation {} failed", failure.number)))
        }
    }
}

/// How exercising ends early.
enum FsxEnd {
    /// The exerciser found something.
    Found(EarlyStop),
    /// Ctrl-C; operations could not be recorded.
    Failure(Failure),
}

impl From<EarlyStop> for FsxEnd {
    fn from(stop: EarlyStop) -> Self {
        Self::Found(stop)
    }
}

/// All operations, one after the other, with an ear for Ctrl-C.
fn exercise(sh: &mut Shell, fsx: &mut Fsx<OpenFile>, record: &mut Option<OpRecorder>) -> Result<(), FsxEnd> {
    fsx.start(&mut sh.out)?;
    loop {
        sh.out.poll().map_err(FsxEnd::Failure)?;
        let more = fsx.step(&mut sh.out);
        if let Some(record) = record
            && !matches!(more, Ok(false))
            && let Some((op, size)) = fsx.last()
        {
            let _ = writeln!(record.lines, "{}", op.line(size));
            if record.lines.len() > RECORD {
                record.write(sh).map_err(FsxEnd::Failure)?;
            }
        }
        if !more? {
            return Ok(fsx.finish(&mut sh.out)?);
        }
    }
}

fn regular(file: File, name: &str) -> Result<File, Failure> {
    match file.kind() {
        FileKind::File => Ok(file),
        FileKind::Directory => Err(Errno::IsDirectory).on(name),
        _ => Err("not a regular file").on(name),
    }
}

/// The operations in a file.
fn read_ops(sh: &mut Shell, name: &str) -> Result<Vec<FileOp>, Failure> {
    let file = sh.open(name)?;
    let size = file.attr().size;
    let mut text: Vec<u8> = Vec::new();
    if size > LONGEST_SCRIPT || text.try_reserve_exact(size as usize).is_err() {
        return Err("too long").on(name);
    }
    sh.read_pieces(&file, name, 0, size, |_, bytes| {
        text.extend_from_slice(bytes);
        Ok(())
    })?;
    op::parse(&String::from_utf8_lossy(&text)).on(name)
}

/// Where operations are recorded.
struct OpRecorder {
    file: File,
    name: String,
    lines: String,
    offset: u64,
}

impl OpRecorder {
    fn write(&mut self, sh: &Shell) -> CommandResult {
        let lines = core::mem::take(&mut self.lines);
        sh.write_all(&self.file, &self.name, self.offset, lines.as_bytes())?;
        self.offset += lines.len() as u64;
        Ok(())
    }
}

/// The exercised file.
struct OpenFile {
    /// Where the file's path begins.
    start: Option<Place>,
    path: Vec<u8>,
    name: String,
    block_size: u64,
    /// The file; `None` only while it is being closed and opened.
    file: Option<File>,
    /// Bytes of the mapping that lives on from operation to operation, with `-M`.
    whole: Option<u64>,
    /// Where the mapping is.
    mapped: Option<u64>,
}

/// What a refused access says.
fn refused(why: &task::Refused) -> TargetError {
    match why.error() {
        Some(error @ (Error::Op(Errno::NoSpace) | Error::Unsupported(_))) => error.into(),
        _ => TargetError::Other(why.to_string()),
    }
}

impl OpenFile {
    fn file(&self) -> TargetResult<&File> {
        self.file.as_ref().ok_or_else(|| TargetError::Other("closed".to_string()))
    }

    /// Calls `f` with the address at which byte `offset` is seen, `len` bytes from there on being mapped.
    fn at<R>(&mut self, offset: u64, len: u64, f: impl FnOnce(u64) -> TargetResult<R>) -> TargetResult<R> {
        if let Some(start) = self.mapped {
            return f(start + offset);
        }
        let file = self.file()?;
        let rights = Rights::READ_WRITE;
        let from = self.whole.map_or(offset & !(PAGE_SIZE - 1), |_| 0);
        let bytes = self.whole.unwrap_or(offset + len - from);
        let (space, steady) = (aspace::current(), mounts::steady());
        let protocol = mounts::protocol(file, &steady);
        let start = space.mmap(file, protocol, &self.name, from, bytes, rights)?;
        drop(steady);
        if self.whole.is_some() {
            self.mapped = Some(start);
            return f(start + offset);
        }
        let answer = f(start + (offset - from));
        space.munmap(start, bytes)?;
        answer
    }

    /// Ends the mapping that lives on.
    fn unmap(&mut self) {
        if let (Some(start), Some(bytes)) = (self.mapped.take(), self.whole) {
            // It was mapped so; nothing can be wrong with it.
            let _ = aspace::current().munmap(start, bytes);
        }
    }

    fn close(&mut self) {
        self.unmap();
        self.file = None;
    }

    fn open(&mut self) -> TargetResult {
        let place = mounts::walk(self.start.as_ref(), &self.path, true)
            .map_err(|why| TargetError::Other(why.to_string()))?;
        self.file = Some(place.file);
        Ok(())
    }
}

impl Target for OpenFile {
    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn perform(&mut self, op: &FileOp, bytes: &mut [u8]) -> TargetResult<usize> {
        let len = bytes.len();
        match op.kind {
            OpKind::MapRead => self.at(op.offset, op.len, |address| {
                task::read(address, bytes).map(|()| len).map_err(|why| refused(&why))
            }),
            OpKind::MapWrite => self.at(op.offset, op.len, |address| {
                let Err(why) = task::write(address, bytes) else { return Ok(len) };
                let done = why.address().saturating_sub(address) as usize;
                match refused(&why) {
                    TargetError::NoSpace if (1..len).contains(&done) => Ok(done),
                    other => Err(other),
                }
            }),
            _ => Ok(op.perform(&**self.file()?, bytes)?),
        }
    }

    fn msync(&mut self, offset: u64, len: u64) -> TargetResult {
        match self.mapped {
            // As a program does it, at the addresses.
            Some(start) => {
                let first = (start + offset) & !(PAGE_SIZE - 1);
                aspace::current().msync(first, start + offset + len - first)?;
            }
            None => {
                let pages = offset / PAGE_SIZE..(offset + len).div_ceil(PAGE_SIZE);
                dax::msync(&**self.file()?, pages)?;
            }
        }
        Ok(())
    }

    fn size(&mut self) -> TargetResult<u64> {
        Ok(self.file()?.attr().size)
    }

    fn end(&mut self) -> TargetResult<u64> {
        let file = self.file()?;
        let lock = file.mapping().shared();
        Ok(file.size(lock.held()))
    }

    fn hole(&mut self, from: u64) -> TargetResult<Option<(u64, u64)>> {
        Ok(self.file()?.next_hole(from)?)
    }

    fn close_and_open(&mut self) -> TargetResult {
        self.close();
        self.open()
    }

    fn flush(&mut self) -> TargetResult {
        dax::fsync(&**self.file()?)?;
        let mount = self.file().ok().and_then(mounts::of);
        self.close();
        if let Some(mount) = mount {
            mount.fs.shrink();
        }
        self.open()
    }
}
