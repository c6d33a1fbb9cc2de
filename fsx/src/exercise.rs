//! Doing operations, to the file and to the model.
//!
//! | file | what it holds |
//! |---|---|
//! | this one | [`Fsx`]: from the first operation to the last |
//! | `choose.rs` | which operation comes next, and whether it can be done |
//! | `check.rs` | what is compared, and when |

mod check;
mod choose;

use crate::contents::{FileContents, zeros};
use crate::op::{FileOp, OpKind};
use crate::options::Options;
use crate::report::{FailureKind, FsxFailure, OpLog, OpOutcome};
use crate::rng::Rng;
use crate::target::{Target, TargetError, TargetResult};
use alloc::collections::TryReserveError;
use alloc::vec::{self, Vec};
use core::fmt::{self, Write};
use fs::PAGE_SIZE;

/// How a run ends early.
#[derive(Debug)]
pub enum EarlyStop {
    /// Something differed, or was refused.
    Failed(FsxFailure),
    /// What was to be said could not be written.
    Output,
}

impl From<fmt::Error> for EarlyStop {
    fn from(_: fmt::Error) -> Self {
        Self::Output
    }
}

/// The byte stored after the end of the file, to see the end zeroed.
const DIRT: u8 = 0xDB;
/// The whole file is compared in pieces of so many bytes.
const PIECE: u64 = 64 << 10;

/// An exerciser: a target, the model, and what comes next.
pub struct Fsx<T: Target> {
    options: Options,
    target: T,
    model: FileContents,
    /// What is added to an operation's number at odd offsets.
    noise: Vec<u8>,
    rng: Rng,
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
    /// There is no memory for what it needs from the start.
    pub fn new(options: Options, target: T) -> Result<Self, TryReserveError> {
        let mut rng = Rng::new(options.seed);
        let mut noise = zeros(options.max_len)?;
        rng.fill(&mut noise);
        let buffer = zeros(options.max_op.max(PIECE) + PAGE_SIZE)?;
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
            model: FileContents::new(target.block_size()),
            target,
            noise,
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
    pub fn run(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop> {
        self.start(out)?;
        while self.step(out)? {}
        self.finish(out)
    }

    /// Makes the file empty, or with `-L` as long as it may be.
    ///
    /// # Errors
    /// What the target refuses.
    pub fn start(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop> {
        if !self.options.quiet {
            writeln!(out, "Seed set to {}", self.options.seed)?;
        }
        let max = self.options.max_len;
        let truncate = |size| FileOp::new(OpKind::Truncate, 0, size);
        if self.options.preallocate {
            self.target.perform(&truncate(0), &mut []).map_err(|why| self.refused("truncate", why))?;
            let allocate = FileOp { keep_size: true, ..FileOp::new(OpKind::Allocate, 0, max) };
            match self.target.perform(&allocate, &mut []) {
                Ok(_) => {}
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
                self.target.perform(&truncate(size), &mut []).map_err(|why| self.refused("truncate", why))?;
            }
        }
        self.model.apply(0, &truncate(size), &[]).map_err(|why| self.refused("the model", why.into()))?;
        self.check_size().map_err(|what| self.failed(None, what))
    }

    /// Does and checks the next operation; `false` if there is none.
    ///
    /// # Errors
    /// The first failure: more steps mean nothing.
    pub fn step(&mut self, out: &mut dyn Write) -> Result<bool, EarlyStop> {
        let op = match &mut self.replay {
            Some(ops) => ops.next(),
            None => (self.done < self.options.ops).then(|| self.draw()),
        };
        let Some(op) = op else { return Ok(false) };
        self.number += 1;
        self.done += 1;
        let before = self.model.size();
        let outcome = self.execute(&op);
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
    pub fn finish(&mut self, out: &mut dyn Write) -> Result<(), EarlyStop> {
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
    pub fn explain(&self, failure: &FsxFailure, out: &mut dyn Write) -> fmt::Result {
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
    fn execute(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind> {
        if let Some(why) = self.unfit(op) {
            return Ok(OpOutcome::Skipped(why));
        }
        let before = self.model.size();
        let after = match op.kind {
            // It is made long enough first.
            OpKind::MapWrite => op.offset + op.len,
            OpKind::Insert => before,
            _ => op.size_after(before),
        };
        // Where the file grows, what others stored there through a mapping must not be in it.
        let grows = after > before && self.options.pollute;
        let tail = before.next_multiple_of(PAGE_SIZE).min(after.max(before));
        let dirty = grows && self.store_tail(tail, DIRT)?;
        let outcome = match op.kind {
            OpKind::Read | OpKind::MapRead => self.read(op),
            OpKind::Write => self.store(op),
            OpKind::MapWrite => self.map_write(op),
            _ => self.change(op),
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

    /// Has the target do an operation of this kind, with the first `len` bytes of the buffer.
    fn ask(&mut self, kind: OpKind, offset: u64, len: usize) -> TargetResult<usize> {
        self.target.perform(&FileOp::new(kind, offset, len as u64), &mut self.buffer[..len])
    }

    /// Does an operation to the model, with the first `len` bytes of the buffer.
    fn note(&mut self, op: &FileOp, len: usize) -> Result<(), FailureKind> {
        let result = self.model.apply(self.number, op, &self.buffer[..len]);
        called("the model", result.map_err(TargetError::from))
    }

    fn read(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind> {
        let mut len = op.len as usize;
        // The last page of a mapping is looked at to its end.
        let (end, call) = (op.offset + op.len, op.kind.name());
        if op.kind == OpKind::MapRead && end.next_multiple_of(PAGE_SIZE) >= self.model.size() {
            len += (end.next_multiple_of(PAGE_SIZE) - end) as usize;
        }
        match self.ask(op.kind, op.offset, len) {
            Ok(done) if done == len => {}
            Ok(done) => return Err(FailureKind::Short { asked: len as u64, done: done as u64 }),
            Err(TargetError::Unsupported) => return Ok(OpOutcome::Unsupported),
            Err(why) => return Err(FailureKind::Refused { call, why }),
        }
        self.judge(call, op.offset, len)?;
        Ok(OpOutcome::Done)
    }

    fn map_write(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind> {
        let end = op.offset + op.len;
        if end > self.model.size() {
            let outcome = self.change(&FileOp::new(OpKind::Truncate, 0, end))?;
            if outcome != OpOutcome::Done {
                return Ok(outcome);
            }
        }
        let outcome = self.store(op)?;
        if outcome != OpOutcome::Unsupported {
            called("msync", self.target.msync(op.offset, op.len))?;
            if end.next_multiple_of(PAGE_SIZE) >= self.model.size() {
                self.check_tail()?;
            }
        }
        Ok(outcome)
    }

    /// Stores this operation's bytes; what was stored before space ran out counts.
    fn store(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind> {
        let len = op.len as usize;
        self.generate(op.offset, len);
        let mut done = 0;
        let mut outcome = OpOutcome::Done;
        while done < len && outcome == OpOutcome::Done {
            let rest = FileOp::new(op.kind, op.offset + done as u64, (len - done) as u64);
            match self.target.perform(&rest, &mut self.buffer[done..len]) {
                Ok(count) if (1..=len - done).contains(&count) => done += count,
                Ok(count) => return Err(FailureKind::Short { asked: rest.len, done: count as u64 }),
                Err(TargetError::NoSpace) => outcome = OpOutcome::NoSpace(done as u64),
                Err(TargetError::Unsupported) if done == 0 => outcome = OpOutcome::Unsupported,
                Err(why) => return Err(FailureKind::Refused { call: op.kind.name(), why }),
            }
        }
        self.note(op, done)?;
        Ok(outcome)
    }

    /// Fills the buffer with the bytes that this operation writes at `offset`.
    fn generate(&mut self, offset: u64, len: usize) {
        for ((byte, noise), at) in
            self.buffer[..len].iter_mut().zip(&self.noise[offset as usize..]).zip(offset..)
        {
            let noise = if at % 2 == 1 { *noise } else { 0 };
            *byte = self.options.fill.unwrap_or((self.number as u8).wrapping_add(noise));
        }
    }

    /// Does what changes the file as a whole or not at all.
    fn change(&mut self, op: &FileOp) -> Result<OpOutcome, FailureKind> {
        match self.target.perform(op, &mut []) {
            Ok(_) => self.note(op, 0).map(|()| OpOutcome::Done),
            Err(TargetError::NoSpace) => Ok(OpOutcome::NoSpace(0)),
            Err(TargetError::Unsupported) => Ok(OpOutcome::Unsupported),
            Err(why) => Err(FailureKind::Refused { call: op.kind.name(), why }),
        }
    }

    /// Fills the last page from the end of the file up to byte `to`; `false` if that cannot be.
    fn store_tail(&mut self, to: u64, byte: u8) -> Result<bool, FailureKind> {
        let size = self.model.size();
        if to == size {
            return Ok(false);
        }
        let len = (to - size) as usize;
        self.buffer[..len].fill(byte);
        match self.ask(OpKind::MapWrite, size, len) {
            Ok(done) if done == len => Ok(true),
            Ok(done) => Err(FailureKind::Short { asked: len as u64, done: done as u64 }),
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

    fn failed(&self, op: Option<FileOp>, what: FailureKind) -> EarlyStop {
        EarlyStop::Failed(FsxFailure { number: self.number, op, what })
    }

    fn refused(&self, call: &'static str, why: TargetError) -> EarlyStop {
        self.failed(None, FailureKind::Refused { call, why })
    }
}

/// Names the call in a failure.
fn called<V>(call: &'static str, result: TargetResult<V>) -> Result<V, FailureKind> {
    result.map_err(|why| FailureKind::Refused { call, why })
}
