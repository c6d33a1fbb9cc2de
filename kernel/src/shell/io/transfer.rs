//! `pread` and `pwrite`: read(2) and write(2), without mappings.

use alloc::vec::Vec;
use core::fmt::Write;

use cli::dump::Dump;
use cli::human::TransferReport;
use cli::opts::Opts;

use super::super::Shell;
use super::super::command::{CommandResult, Failure, complaint};
use super::IoSession;
use super::table::IoCommand;
use crate::arch::time;

pub(super) const COMMANDS: &[IoCommand] = &[
    IoCommand {
        name: "pread",
        alias: "r",
        operands: "[-b bs] [-qvC] [-FBR [-Z N]] [-V N] off len",
        about: "reads a number of bytes at a specified offset",
        spec: "b:qvCFBRZ:V:u",
        count: 2..=2,
        run: pread,
    },
    IoCommand {
        name: "pwrite",
        alias: "w",
        operands: "[-i infile [-s skip]] [-b bs] [-S seed] [-qCwWO] [-FBR [-Z N]] [-V N] off len",
        about: "writes a number of bytes at a specified offset",
        spec: "i:s:b:S:qCwWODNdFBRZ:V:u",
        count: 2..=2,
        run: pwrite,
    },
];

/// The default pattern of pwrite.
const PATTERN: u64 = 0xcd;
/// No buffer is larger than that.
const LARGEST_BLOCK: u64 = 16 << 20;

/// The order of the pieces of a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PieceOrder {
    Forward,
    Backward,
    Random,
}

/// What -b, -F, -B, -R, -Z and -V say: which pieces, in which order.
struct TransferPlan {
    order: PieceOrder,
    /// Bytes in a piece.
    piece: u64,
    /// Bytes in a buffer; a piece is `-V` of them.
    buffer: u64,
    offset: u64,
    len: u64,
    seed: u64,
}

impl TransferPlan {
    fn new(session: &IoSession, opts: &Opts<'_>) -> Result<Self, Failure> {
        let (offset, mut len) = session.range(opts)?;
        offset.checked_add(len).ok_or_else(|| complaint("offset and length are too large"))?;
        let buffer = session.option(opts, 'b')?.unwrap_or(4096);
        let vectors = session.option(opts, 'V')?.unwrap_or(1);
        let piece = buffer.checked_mul(vectors).filter(|piece| (1..=LARGEST_BLOCK).contains(piece));
        let piece = piece.ok_or_else(|| complaint("the block size must be from 1 byte to 16m"))?;
        let last = opts.options().iter().rev().find_map(|(option, _)| match option {
            'F' => Some(PieceOrder::Forward),
            'B' => Some(PieceOrder::Backward),
            'R' => Some(PieceOrder::Random),
            _ => None,
        });
        let order = last.unwrap_or(PieceOrder::Forward);
        if order == PieceOrder::Backward {
            // From the offset down, as far as there is something.
            len = len.min(offset);
        }
        let seed = session.option(opts, 'Z')?.unwrap_or(0);
        Ok(Self { order, piece, buffer, offset, len, seed })
    }

    /// Calls `f` with offset and length of each piece, until it answers `false`.
    fn each(&self, mut f: impl FnMut(u64, u64) -> Result<bool, Failure>) -> CommandResult {
        let (mut done, mut random) = (0, self.seed.wrapping_mul(2).wrapping_add(1));
        while done < self.len {
            let left = self.len - done;
            let (at, len) = match self.order {
                PieceOrder::Forward => (self.offset + done, left.min(self.piece)),
                PieceOrder::Backward => {
                    // The first piece ends the last whole block; the others are whole.
                    let end = self.offset - done;
                    let len = match end % self.piece {
                        0 => self.piece,
                        part => part,
                    };
                    (end - len.min(left), len.min(left))
                }
                PieceOrder::Random => {
                    // xorshift64
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let block = random % self.len.div_ceil(self.piece);
                    (self.offset + block * self.piece, left.min(self.piece))
                }
            };
            if !f(at, len)? {
                break;
            }
            done += len;
        }
        Ok(())
    }

    /// Prints how the transfer went, unless nobody wants to know.
    fn report(
        &self,
        sh: &mut Shell,
        opts: &Opts<'_>,
        verb: &str,
        (done, ops): (u64, u64),
        start: u64,
    ) -> CommandResult {
        let elapsed = time::monotonic_ns().saturating_sub(start);
        let report = TransferReport { verb, done, requested: self.len, offset: self.offset, ops, elapsed };
        match (opts.has('q'), opts.has('C')) {
            (true, _) => Ok(()),
            (_, true) => Ok(writeln!(sh.out, "{}", report.condensed())?),
            _ => Ok(writeln!(sh.out, "{}", report.full())?),
        }
    }
}

fn pread(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    let plan = TransferPlan::new(session, opts)?;
    let mut bytes = alloc::vec![0; plan.piece.min(plan.len) as usize];
    let (mut done, mut ops) = (0, 0);
    let start = time::monotonic_ns();
    plan.each(|at, len| {
        sh.out.poll()?;
        let bytes = &mut bytes[..len as usize];
        let got = session.file.read_at(at, bytes).map_err(complaint)?;
        if got == 0 {
            return Ok(false);
        }
        // As xfs_io: a dump when reading forward, each buffer on lines of its own.
        if opts.has('v') && plan.order == PieceOrder::Forward {
            let mut dump = Dump::xfs(at);
            for buffer in bytes[..got].chunks(plan.buffer as usize) {
                dump.feed(buffer, &mut sh.out)?;
                dump.finish(&mut sh.out)?;
            }
        }
        (done, ops) = (done + got as u64, ops + 1);
        Ok(got as u64 == len)
    })?;
    plan.report(sh, opts, "read", (done, ops), start)
}

fn pwrite(session: &mut IoSession, sh: &mut Shell, opts: &Opts<'_>) -> CommandResult {
    session.expect_writable()?;
    let plan = TransferPlan::new(session, opts)?;
    let input = opts.value('i').map(|path| sh.open(path)).transpose()?;
    if input.is_none() && opts.has('s') {
        return Err(complaint("-s goes with -i only"));
    }
    let skip = session.option(opts, 's')?.unwrap_or(0);
    let seed = session.option(opts, 'S')?.unwrap_or(PATTERN) as u8;
    let mut bytes: Vec<u8> = alloc::vec![seed; plan.piece.min(plan.len) as usize];
    let (mut done, mut ops) = (0, 0);
    let start = time::monotonic_ns();
    plan.each(|at, len| {
        sh.out.poll()?;
        let mut bytes = &mut bytes[..len as usize];
        if let Some(input) = &input {
            let got = input.read_at(skip.saturating_add(done), bytes).map_err(complaint)?;
            bytes = &mut bytes[..got];
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        let written = session.file.write_at(at, bytes).map_err(complaint)?;
        (done, ops) = (done + written as u64, ops + 1);
        Ok(written as u64 == len && !opts.has('O'))
    })?;
    if opts.has('w') || opts.has('W') || opts.has('D') || session.synchronous {
        session.fsync(false)?;
    }
    plan.report(sh, opts, "wrote", (done, ops), start)
}
