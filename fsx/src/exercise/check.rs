//! What is compared, and when.

use super::{Fsx, PIECE, called};
use crate::op::{FileOp, OpKind};
use crate::report::{FailureKind, OpOutcome};
use crate::target::{Target, TargetError};
use fs::PAGE_SIZE;

impl<T: Target> Fsx<T> {
    /// Does what follows an operation: flushing, closing, comparing.
    pub(super) fn after(&mut self, op: &FileOp, outcome: OpOutcome) -> Result<(), FailureKind> {
        match outcome {
            OpOutcome::Done => self.counts[op.kind as usize] += 1,
            OpOutcome::Skipped(_) => {}
            // Nothing changed, it was said: that is seen to.
            OpOutcome::NoSpace(_) => self.compare_all()?,
            OpOutcome::Unsupported => {
                if op.keep_size {
                    self.no_keep.push(op.kind);
                } else {
                    self.kinds.retain(|kind| *kind != op.kind);
                }
                self.compare_all()?;
            }
        }
        if self.options.sync {
            called("fsync", self.ask(OpKind::Fsync, 0, 0))?;
        }
        if self.options.flush {
            called("flush", self.target.flush())?;
        }
        if op.close_open && !op.skip {
            called("close and open", self.target.close_and_open())?;
        }
        if !self.options.no_size {
            self.check_size()?;
        }
        if self.options.compare { self.compare_all() } else { Ok(()) }
    }

    pub(super) fn check_size(&mut self) -> Result<(), FailureKind> {
        let good = self.model.size();
        let answers = [
            ("stat", called("stat", self.target.size())?),
            ("seeking to the end", called("seek", self.target.end())?),
        ];
        match answers.into_iter().find(|(_, bad)| *bad != good) {
            Some((by, bad)) => Err(FailureKind::Size { by, good, bad }),
            None => Ok(()),
        }
    }

    /// Looks through a mapping at the bytes after the end of the file.
    pub(super) fn check_tail(&mut self) -> Result<(), FailureKind> {
        let size = self.model.size();
        let len = (size.next_multiple_of(PAGE_SIZE) - size) as usize;
        if len == 0 {
            return Ok(());
        }
        called("mapread after the end", self.ask(OpKind::MapRead, size, len))?;
        self.judge("mapread", size, len)
    }

    /// Compares the whole file, and the holes that seeking finds.
    pub(super) fn compare_all(&mut self) -> Result<(), FailureKind> {
        self.compare(0, self.model.size())?;
        self.check_holes()
    }

    /// Compares with the model: holes that the target tells of must hold zeros there.
    fn check_holes(&mut self) -> Result<(), FailureKind> {
        let (mut from, size) = (0, self.model.size());
        while from < size {
            let (start, end) = match self.target.hole(from) {
                Ok(Some(hole)) => hole,
                Ok(None) | Err(TargetError::Unsupported) => return Ok(()),
                Err(why) => return Err(FailureKind::Refused { call: "seek", why }),
            };
            if start < from || end <= start || end > size {
                return Err(FailureKind::Hole { from, start, end });
            }
            from = start;
            while from < end {
                let len = (end - from).min(PIECE) as usize;
                self.buffer[..len].fill(0);
                self.judge("seeking holes", from, len)?;
                from += len as u64;
            }
        }
        Ok(())
    }

    /// Reads bytes `from..to`, which are in the file, and compares them.
    pub(super) fn compare(&mut self, mut from: u64, to: u64) -> Result<(), FailureKind> {
        while from < to {
            let len = (to - from).min(PIECE) as usize;
            let done = called("read", self.ask(OpKind::Read, from, len))?;
            if done != len {
                return Err(FailureKind::Short { asked: len as u64, done: done as u64 });
            }
            self.judge("read", from, len)?;
            from += len as u64;
        }
        Ok(())
    }

    /// Loads the whole file through a mapping, to the end of its last page.
    pub(super) fn compare_mapped(&mut self) -> Result<(), FailureKind> {
        let end = self.model.size().next_multiple_of(PAGE_SIZE);
        let mut from = 0;
        while from < end {
            let len = (end - from).min(PIECE) as usize;
            match self.ask(OpKind::MapRead, from, len) {
                Ok(_) => self.judge("mapread", from, len)?,
                Err(TargetError::Unsupported) => return Ok(()),
                Err(why) => return Err(FailureKind::Refused { call: "mapread", why }),
            }
            from += len as u64;
        }
        Ok(())
    }

    /// Compares the first `len` bytes of the buffer, which `by` returned for `offset`.
    pub(super) fn judge(&self, by: &'static str, offset: u64, len: usize) -> Result<(), FailureKind> {
        let bytes = &self.buffer[..len];
        match self.model.differs(offset, bytes) {
            Some(first) => Err(FailureKind::data(by, &self.model, offset, bytes, first)),
            None => Ok(()),
        }
    }
}
