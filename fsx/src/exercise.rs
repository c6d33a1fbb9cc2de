//! Doing operations, to the file and to the model.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | [`Fsx`]: from the first operation to the last |
//! | `choose.rs` | which operation comes next, and whether it can be done |
//! | `check.rs` | what is compared, and when |

mod check;
mod choose;

use crate::model::{FileModel, zeros};
use crate::op::{FileOp, OpKind};
use crate::options::Options;
use crate::report::{FailureKind, FsxFailure, OpLog, OpOutcome};
use crate::rng::SplitMix;
use crate::target::{Range, Target, TargetError};
use alloc::collections::TryReserveError;
use alloc::vec::{self, Vec};
use core::fmt::{self, Write};

/// How a run ends early.
#[derive(Debug)]
pub enum EarlyStop<E> {
    /// Something differed, or was refused.
    Failed(FsxFailure<E>),
    /// What was to be said could not be written.
    Output,
}

impl<E> From<fmt::Error> for EarlyStop<E> {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

/// [`Target::write`] or [`Target::map_write`].
type Store<T> = fn(&mut T, u64, &[u8]) -> Result<usize, TargetError<<T as Target>::Error>>;

/// The byte stored after the end of the file, to see the end zeroed.
const DIRT: u8 = 0xDB;
/// The whole file is compared in pieces of so many bytes.
const PIECE: u64 = 64 << 10;

/// An exerciser: a target, the model, and what comes next.
pub struct Fsx<T: Target> {
    options: Options,
    target: T,
    model: FileModel,
    rng: SplitMix,
    /// Operations to do instead of random ones.
    replay: Option<vec::IntoIter<FileOp>>,
    /// What is chosen from.
    kinds: Vec<OpKind>,
    /// What cannot keep the size.
    no_keep: Vec<OpKind>,
    number: u64,
    done: u64,
    counts: [u64; OpKind::ALL.len()],
    log: OpLog,
    buffer: Vec<u8>,
}

impl<T: Target> Fsx<T> {
    /// Returns an exerciser that does random operations.
    ///
    /// # Errors
    /// There is no memory for the model.
    pub fn new(options: Options, target: T) -> Result<Self, TryReserveError> {
        let mut rng = SplitMix::new(options.seed);
        let model = FileModel::new(options.max_len as usize, &mut rng)?;
        let buffer = zeros((options.max_op.max(PIECE) + target.page_size()) as usize)?;
        let off = &options.off;
        let on = |kind: &OpKind| match kind {
            OpKind::Read | OpKind::Write | OpKind::Fsync => true,
            OpKind::MapRead => !off.map_read,
            OpKind::MapWrite => !off.map_write,
            OpKind::Truncate => !options.lite,
            OpKind::Allocate => !off.allocate,
            OpKind::Punch => !off.punch,
            OpKind::Zero => !off.zero,
            OpKind::Collapse => !options.lite && !off.collapse,
            OpKind::Insert => !options.lite && !off.insert,
        };
        let kinds = OpKind::ALL.into_iter().filter(on).collect();
        Ok(Self {
            target,
            model,
            rng,
            replay: None,
            kinds,
            no_keep: Vec::new(),
            number: options.first - 1,
            done: 0,
            counts: [0; OpKind::ALL.len()],
            log: OpLog::default(),
            buffer,
            options,
        })
    }

    /// Does the operations in `ops`, not random ones. Operations that the file's state or the options do not
    /// allow are skipped.
    pub fn replay(mut self, ops: Vec<FileOp>) -> Self {
        self.replay = Some(ops.into_iter());
        self
    }

    /// Does a whole run: [`start`](Self::start), [`step`](Self::step) until the last,
    /// [`finish`](Self::finish).
    ///
    /// # Errors
    /// The first failure.
    pub fn run(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop<T::Error>> {
        self.start(out)?;
        while self.step(out)? {}
        self.finish(out)
    }

    /// Makes the file empty, or with `-L` as long as it may be.
    ///
    /// # Errors
    /// What the target refuses.
    pub fn start(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop<T::Error>> {
        if !self.options.quiet {
            writeln!(out, "Seed set to {}", self.options.seed)?;
        }
        let max = self.options.max_len;
        if self.options.preallocate {
            self.target.truncate(0).map_err(|why| self.refused("truncate", why))?;
            match self.target.fallocate(Range::Allocate { keep_size: true }, 0, max) {
                Ok(()) => {}
                Err(TargetError::Unsupported) if self.options.quiet => {}
                Err(TargetError::Unsupported) => {
                    writeln!(out, "fsx: preallocation: not supported by this file system")?;
                }
                Err(why) => return Err(self.refused("fallocate", why)),
            }
        }
        let size = if self.options.lite { max } else { 0 };
        for size in [0, size] {
            // Not twice the same: cutting an empty file would free what was preallocated.
            if self.target.size().map_err(|why| self.refused("stat", why))? != size {
                self.target.truncate(size).map_err(|why| self.refused("truncate", why))?;
            }
        }
        self.model.truncate(0, size);
        self.check_size().map_err(|what| self.failed(None, what))
    }

    /// Does and checks the next operation; `false` if there is none.
    ///
    /// # Errors
    /// The first failure: more steps mean nothing.
    pub fn step(&mut self, out: &mut dyn Write) -> Result<bool, EarlyStop<T::Error>> {
        let op = match &mut self.replay {
            Some(ops) => ops.next(),
            None => (self.done < self.options.ops).then(|| self.draw()),
        };
        let Some(op) = op else { return Ok(false) };
        self.number += 1;
        self.done += 1;
        let before = self.model.size();
        let outcome = self.perform(&op);
        // In the log before it is judged: a failing one is the log's last.
        self.log.push(self.number, op, before, *outcome.as_ref().unwrap_or(&OpOutcome::Done));
        let outcome = outcome.map_err(|what| self.failed(Some(op), what))?;
        self.tell(out, &op, before, outcome)?;
        self.after(&op, outcome).map_err(|what| self.failed(Some(op), what))?;
        Ok(true)
    }

    /// Compares the whole file, once more after closing and opening it, and sums up.
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    pub fn finish(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop<T::Error>> {
        let mut last = || {
            self.compare_all()?;
            if self.kinds.contains(&OpKind::MapRead) {
                self.compare_mapped()?;
            }
            called("close and open", self.target.close_and_open())?;
            self.check_size()?;
            self.compare_all()
        };
        last().map_err(|what| self.failed(None, what))?;
        if !self.options.quiet {
            for (kind, count) in OpKind::ALL.iter().zip(self.counts).filter(|(_, count)| *count > 0) {
                write!(out, "{} {count}, ", kind.name())?;
            }
            writeln!(out, "skipped {}", self.done - self.counts.iter().sum::<u64>())?;
        }
        writeln!(out, "All {} operations completed A-OK!", self.done)?;
        Ok(())
    }

    /// Returns the operation done last, and the file's size before it.
    pub fn last(&self) -> Option<(FileOp, u64)> {
        self.log.last()
    }

    /// Returns how often an operation of this kind was done, skipped ones left out.
    pub fn count(&self, kind: OpKind) -> u64 {
        self.counts[kind as usize]
    }

    /// Returns the target that is exercised.
    pub fn target(&mut self) -> &mut T {
        &mut self.target
    }

    /// Ends the exerciser, and returns its target.
    pub fn into_target(self) -> T {
        self.target
    }

    /// Says what a failure is, what came before it, and how to have the failure again.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn explain(&self, failure: &FsxFailure<T::Error>, out: &mut dyn Write) -> fmt::Result {
        writeln!(out, "{failure}")?;
        writeln!(out, "LOG DUMP ({} total operations), as --replay-ops takes it:", self.done)?;
        write!(out, "{}", self.log)?;
        let options = Options { ops: self.done, ..self.options.clone() };
        let replay = if self.replay.is_some() { " --replay-ops OPS" } else { "" };
        writeln!(out, "repeat: fsx {options}{replay} FILE")
    }

    // -- Doing
    // -------------------------------------------------------------------------------------------------

    /// Does an operation, to the file and to the model.
    fn perform(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind<T::Error>> {
        if let Some(why) = self.unfit(op) {
            return Ok(OpOutcome::Skipped(why));
        }
        let before = self.model.size();
        let after = self.size_after(op);
        // Where the file grows, what others stored there through a mapping must not be in it.
        let grows = after > before && op.kind != OpKind::Insert && self.options.pollute;
        let tail = before.next_multiple_of(self.target.page_size()).min(after.max(before));
        let dirty = grows && self.store_tail(tail, DIRT)?;
        let outcome = match op.kind {
            OpKind::Read | OpKind::MapRead => self.read(op),
            OpKind::Write => self.write(op),
            OpKind::MapWrite => self.map_write(op),
            OpKind::Truncate => self.change(op, "truncate", |target| target.truncate(op.len)),
            OpKind::Fsync => self.change(op, "fsync", T::fsync),
            OpKind::Allocate => self.fallocate(op, Range::Allocate { keep_size: op.keep_size }),
            OpKind::Punch => self.fallocate(op, Range::Punch),
            OpKind::Zero => self.fallocate(op, Range::Zero { keep_size: op.keep_size }),
            OpKind::Collapse => self.fallocate(op, Range::Collapse),
            OpKind::Insert => self.fallocate(op, Range::Insert),
        }?;
        if dirty {
            if self.model.size() == before {
                // Nothing came of it, so nothing zeroed it: what comes next finds it as it was.
                self.store_tail(tail, 0)?;
            } else {
                self.compare(before, tail.min(self.model.size()))?;
            }
        }
        Ok(outcome)
    }

    fn read(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind<T::Error>> {
        let size = self.model.size();
        let mut len = op.len as usize;
        let result = if op.kind == OpKind::Read {
            self.target.read(op.offset, &mut self.buffer[..len])
        } else {
            // The last page is looked at to its end.
            let (end, page) = (op.offset + op.len, self.target.page_size());
            if end.next_multiple_of(page) >= size {
                len += (end.next_multiple_of(page) - end) as usize;
            }
            self.target.map_read(op.offset, &mut self.buffer[..len]).map(|()| len)
        };
        match result {
            Ok(done) if done == len => {}
            Ok(done) => return Err(FailureKind::Short { asked: len as u64, done: done as u64 }),
            Err(TargetError::Unsupported) => return Ok(OpOutcome::Unsupported),
            Err(why) => return Err(FailureKind::Refused { call: op.kind.name(), why }),
        }
        self.judge(op.kind.name(), op.offset, len)?;
        Ok(OpOutcome::Done)
    }

    fn write(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind<T::Error>> {
        self.store(op, T::write)
    }

    fn map_write(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind<T::Error>> {
        let end = op.offset + op.len;
        if end > self.model.size() {
            match self.target.truncate(end) {
                Ok(()) => self.model.grow(self.number, end),
                Err(TargetError::NoSpace) => return Ok(OpOutcome::NoSpace(0)),
                Err(why) => return Err(FailureKind::Refused { call: "truncate", why }),
            }
        }
        let outcome = self.store(op, T::map_write)?;
        if outcome != OpOutcome::Unsupported {
            called("msync", self.target.msync(op.offset, op.len))?;
            let page = self.target.page_size();
            if end.next_multiple_of(page) >= self.model.size() {
                self.check_tail()?;
            }
        }
        Ok(outcome)
    }

    /// Stores this operation's bytes; what was stored before space ran out counts.
    fn store(&mut self, op: &FileOp, call: Store<T>) -> Result<OpOutcome, FailureKind<T::Error>> {
        let len = op.len as usize;
        let bytes = &mut self.buffer[..len];
        self.model.generate(self.number, self.options.fill, op.offset, bytes);
        let mut done = 0;
        let mut outcome = OpOutcome::Done;
        while done < len && outcome == OpOutcome::Done {
            match call(&mut self.target, op.offset + done as u64, &bytes[done..]) {
                Ok(count) if (1..=len - done).contains(&count) => done += count,
                Ok(count) => {
                    return Err(FailureKind::Short { asked: (len - done) as u64, done: count as u64 });
                }
                Err(TargetError::NoSpace) => outcome = OpOutcome::NoSpace(done as u64),
                Err(TargetError::Unsupported) if done == 0 => outcome = OpOutcome::Unsupported,
                Err(why) => return Err(FailureKind::Refused { call: op.kind.name(), why }),
            }
        }
        self.model.put(self.number, op.offset, &bytes[..done]);
        Ok(outcome)
    }

    fn fallocate(&mut self, op: &FileOp, how: Range) -> Result<OpOutcome, FailureKind<T::Error>> {
        self.change(op, op.kind.name(), |target| target.fallocate(how, op.offset, op.len))
    }

    /// Does what changes the file as a whole or not at all.
    fn change(
        &mut self,
        op: &FileOp,
        call: &'static str,
        f: impl FnOnce(&mut T) -> Result<(), TargetError<T::Error>>,
    ) -> Result<OpOutcome, FailureKind<T::Error>> {
        match f(&mut self.target) {
            Ok(()) => {}
            Err(TargetError::NoSpace) => return Ok(OpOutcome::NoSpace(0)),
            Err(TargetError::Unsupported) => return Ok(OpOutcome::Unsupported),
            Err(why) => return Err(FailureKind::Refused { call, why }),
        }
        let (number, size) = (self.number, self.size_after(op));
        match op.kind {
            OpKind::Truncate => self.model.truncate(number, size),
            OpKind::Allocate => self.model.grow(number, size),
            OpKind::Zero => {
                self.model.grow(number, size);
                self.model.zero(number, op.offset, op.len);
            }
            OpKind::Punch => self.model.zero(number, op.offset, op.len),
            OpKind::Collapse => self.model.collapse(number, op.offset, op.len),
            OpKind::Insert => self.model.insert(number, op.offset, op.len),
            OpKind::Read | OpKind::Write | OpKind::MapRead | OpKind::MapWrite | OpKind::Fsync => {}
        }
        Ok(OpOutcome::Done)
    }

    /// Fills the last page from the end of the file up to byte `to`; `false` if that cannot be.
    fn store_tail(&mut self, to: u64, byte: u8) -> Result<bool, FailureKind<T::Error>> {
        let size = self.model.size();
        if to == size {
            return Ok(false);
        }
        let tail = &mut self.buffer[..(to - size) as usize];
        tail.fill(byte);
        match self.target.map_write(size, tail) {
            Ok(done) if done == tail.len() => Ok(true),
            Ok(done) => Err(FailureKind::Short { asked: tail.len() as u64, done: done as u64 }),
            Err(TargetError::NoSpace | TargetError::Unsupported) => Ok(false),
            Err(why) => Err(FailureKind::Refused { call: "mapwrite after the end", why }),
        }
    }

    // -- Telling
    // -----------------------------------------------------------------------------------------------

    fn tell(&self, out: &mut dyn Write, op: &FileOp, before: u64, outcome: OpOutcome) -> fmt::Result {
        let Options { progress, debug_from, quiet, .. } = self.options;
        let number = self.number;
        if outcome == OpOutcome::Unsupported && !quiet {
            let keep = if op.keep_size { " keep_size" } else { "" };
            writeln!(out, "fsx: {}{keep}: not supported by this file system, switched off", op.kind.name())?;
        }
        let wanted = progress > 0 && number.is_multiple_of(progress);
        if !wanted && debug_from.is_none_or(|from| number < from) {
            return Ok(());
        }
        write!(out, "{number} {}", op.kind.name())?;
        let (from, len) = (op.offset, op.len);
        match op.kind {
            OpKind::Fsync => {}
            OpKind::Truncate => write!(out, " from {before:#x} to {len:#x}")?,
            _ if len == 0 => write!(out, " at {from:#x}")?,
            _ => write!(out, " {from:#x} thru {:#x} ({len:#x} bytes)", from.saturating_add(len - 1))?,
        }
        if op.keep_size {
            out.write_str(" keep_size")?;
        }
        if op.close_open {
            out.write_str(" close_open")?;
        }
        match outcome {
            OpOutcome::Done => {}
            OpOutcome::Skipped(why) => write!(out, ": skipped, {why}")?,
            OpOutcome::NoSpace(done) => write!(out, ": no space after {done:#x} bytes")?,
            OpOutcome::Unsupported => out.write_str(": not supported")?,
        }
        out.write_str("\n")
    }

    fn failed(&self, op: Option<FileOp>, what: FailureKind<T::Error>) -> EarlyStop<T::Error> {
        EarlyStop::Failed(FsxFailure { number: self.number, op, what })
    }

    fn refused(&self, call: &'static str, why: TargetError<T::Error>) -> EarlyStop<T::Error> {
        self.failed(None, FailureKind::Refused { call, why })
    }
}

/// Names the call in a failure.
fn called<V, E>(call: &'static str, result: Result<V, TargetError<E>>) -> Result<V, FailureKind<E>> {
    result.map_err(|why| FailureKind::Refused { call, why })
}
