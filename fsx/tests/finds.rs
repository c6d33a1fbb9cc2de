//! The exerciser passes an honest file and finds every way in which a dishonest one fails.

use fsx::report::FailureKind;
use fsx::{EarlyStop, FileOp, Fsx, FsxFailure, OpKind, Options, Target, TargetError, TargetResult, op};

const PAGE: usize = 4096;
const SEEN: usize = 64 * PAGE;

/// One mistake that a file system could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Growing shows again what shrinking cut off.
    TailComesBack,
    /// What was stored after the end through a mapping is in the file when it grows.
    DirtComesBack,
    /// One write in 40 is lost.
    LostWrite,
    /// One store through a mapping in 40 is lost.
    LostStore,
    /// Collapsing moves the rest down to one block too high.
    CollapseOffByOne,
    /// The range that inserting makes still has its old bytes.
    InsertNotZeroed,
    /// Punching leaves the bytes that are not whole blocks.
    PunchWholeBlocksOnly,
    /// Zeroing leaves the last byte.
    ZeroShort,
    /// Zeroing grows the file though it was told not to.
    ZeroGrows,
    /// Allocating grows the file though it was told not to.
    AllocateGrows,
    /// Allocating does not grow the file.
    AllocateStays,
    /// A mapping still shows what was there before a punch.
    StaleMapping,
    /// What was written last is gone after closing.
    CloseForgets,
    /// Seeking to the end still finds the old one after a truncation.
    EndIsOld,
    /// Reads stop at 60000 bytes.
    ShortRead,
    /// There is no space for one write in 40, which stored a byte before it said so.
    NoSpaceAfterChange,
    /// There is no space for one range in ten, which is true.
    HonestNoSpace,
    /// Nothing of fallocate is there, and no mapping; which is true.
    HonestUnsupported,
    /// A block with something in its second half only passes for a hole.
    HoleWithData,
    /// Writing fails.
    Broken,
}

/// A file in memory.
struct File {
    bug: Bug,
    block: usize,
    /// Whole pages: what is after the end is not always zeros.
    pages: Vec<u8>,
    size: usize,
    old_end: usize,
    calls: u64,
    /// The first [`SEEN`] bytes as a mapping shows them.
    mapped: Option<Vec<u8>>,
    before_write: Option<(usize, Vec<u8>)>,
}

impl File {
    fn new(bug: Bug, block: usize) -> Self {
        let pages = vec![0; 4 << 20];
        Self { bug, block, pages, size: 0, old_end: 0, calls: 0, mapped: None, before_write: None }
    }

    fn resize(&mut self, size: usize) {
        self.old_end = self.size;
        let page_end = self.size.next_multiple_of(PAGE);
        // What is after the end is zeroed when the end moves; blocks that are cut off are gone.
        let keep = self.bug == Bug::DirtComesBack && size > self.size;
        if self.bug != Bug::TailComesBack && !keep {
            self.pages[self.size..page_end].fill(0);
        }
        if size < self.size && self.bug != Bug::TailComesBack {
            self.pages[size..page_end].fill(0);
        }
        self.size = size;
    }

    fn now_and_then(&mut self, bug: Bug, often: u64) -> bool {
        self.calls += u64::from(self.bug == bug);
        self.bug == bug && self.calls.is_multiple_of(often)
    }

    fn store(&mut self, offset: usize, from: &[u8]) {
        self.pages[offset..offset + from.len()].copy_from_slice(from);
        if let Some(mapped) = &mut self.mapped
            && offset < SEEN
        {
            let len = from.len().min(SEEN - offset);
            mapped[offset..offset + len].copy_from_slice(&from[..len]);
        }
    }

    fn read(&mut self, offset: u64, to: &mut [u8]) -> TargetResult<usize> {
        let offset = offset as usize;
        let mut len = to.len().min(self.size.saturating_sub(offset));
        if self.bug == Bug::ShortRead {
            len = len.min(60000);
        }
        to[..len].copy_from_slice(&self.pages[offset..offset + len]);
        Ok(len)
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> TargetResult<usize> {
        let offset = offset as usize;
        if self.bug == Bug::Broken {
            return Err(TargetError::Other("it smokes".into()));
        }
        if self.now_and_then(Bug::NoSpaceAfterChange, 40) {
            self.pages[offset] = self.pages[offset].wrapping_add(1);
            return Err(TargetError::NoSpace);
        }
        if self.now_and_then(Bug::HonestNoSpace, 10) {
            return Err(TargetError::NoSpace);
        }
        if self.now_and_then(Bug::LostWrite, 40) {
            return Ok(from.len());
        }
        if offset + from.len() > self.size {
            self.resize(offset + from.len());
        }
        self.before_write = Some((offset, self.pages[offset..offset + from.len()].to_vec()));
        self.store(offset, from);
        Ok(from.len())
    }

    fn map_read(&mut self, offset: u64, to: &mut [u8]) -> TargetResult<usize> {
        if self.bug == Bug::HonestUnsupported {
            return Err(TargetError::Unsupported);
        }
        let offset = offset as usize;
        assert!(offset + to.len() <= self.size.next_multiple_of(PAGE), "SIGBUS");
        to.copy_from_slice(&self.pages[offset..offset + to.len()]);
        let stale = self.mapped.get_or_insert_with(|| self.pages[..SEEN].to_vec());
        if self.bug == Bug::StaleMapping && offset < SEEN {
            let len = to.len().min(SEEN - offset);
            to[..len].copy_from_slice(&stale[offset..offset + len]);
        }
        Ok(to.len())
    }

    fn map_write(&mut self, offset: u64, from: &[u8]) -> TargetResult<usize> {
        if self.bug == Bug::HonestUnsupported {
            return Err(TargetError::Unsupported);
        }
        let offset = offset as usize;
        assert!(offset + from.len() <= self.size.next_multiple_of(PAGE), "SIGBUS");
        if !self.now_and_then(Bug::LostStore, 40) {
            self.store(offset, from);
        }
        Ok(from.len())
    }

    fn fallocate(&mut self, op: &FileOp) -> TargetResult<usize> {
        if self.bug == Bug::HonestUnsupported {
            return Err(TargetError::Unsupported);
        }
        if self.now_and_then(Bug::HonestNoSpace, 10) {
            return Err(TargetError::NoSpace);
        }
        let (start, end) = (op.offset as usize, (op.offset + op.len) as usize);
        if self.bug != Bug::StaleMapping || op.kind != OpKind::Punch {
            self.mapped = None;
        }
        let within = |at: usize| at.min(self.size);
        match op.kind {
            OpKind::Allocate => {
                let grows =
                    (!op.keep_size || self.bug == Bug::AllocateGrows) && self.bug != Bug::AllocateStays;
                if grows && end > self.size {
                    self.resize(end);
                }
            }
            OpKind::Punch if self.bug == Bug::PunchWholeBlocksOnly => {
                let (start, end) = (start.next_multiple_of(self.block), end - end % self.block);
                if start < end {
                    self.pages[start..end].fill(0);
                }
            }
            OpKind::Punch => {
                let range = within(start)..within(end);
                self.pages[range].fill(0);
            }
            OpKind::Zero => {
                if end > self.size && (!op.keep_size || self.bug == Bug::ZeroGrows) {
                    self.resize(end);
                }
                let short = usize::from(self.bug == Bug::ZeroShort);
                let range = start.min(self.size)..(end - short).min(self.size);
                if !range.is_empty() {
                    self.pages[range].fill(0);
                }
            }
            OpKind::Collapse | OpKind::Insert if !(start | (end - start)).is_multiple_of(self.block) => {
                return Err(TargetError::Other("invalid".into()));
            }
            OpKind::Collapse => {
                assert!(end < self.size);
                let size = self.size;
                self.resize(size);
                let to = start + if self.bug == Bug::CollapseOffByOne { self.block } else { 0 };
                self.pages.copy_within(end..size, to);
                let new = size - (end - start);
                self.pages[new..size].fill(0);
                self.size = new;
            }
            OpKind::Insert => {
                assert!(start < self.size);
                let size = self.size;
                self.resize(size + (end - start));
                self.pages.copy_within(start..size, end);
                if self.bug != Bug::InsertNotZeroed {
                    self.pages[start..end].fill(0);
                }
            }
            _ => unreachable!("none of fallocate's"),
        }
        self.old_end = self.size;
        Ok(0)
    }
}

impl Target for File {
    fn block_size(&self) -> u64 {
        self.block as u64
    }

    fn perform(&mut self, op: &FileOp, bytes: &mut [u8]) -> TargetResult<usize> {
        match op.kind {
            OpKind::Read => self.read(op.offset, bytes),
            OpKind::Write => self.write(op.offset, bytes),
            OpKind::MapRead => self.map_read(op.offset, bytes),
            OpKind::MapWrite => self.map_write(op.offset, bytes),
            OpKind::Truncate => {
                self.resize(op.len as usize);
                self.mapped = None;
                Ok(0)
            }
            OpKind::Fsync => Ok(0),
            _ => self.fallocate(op),
        }
    }

    fn msync(&mut self, _: u64, _: u64) -> TargetResult {
        Ok(())
    }

    fn size(&mut self) -> TargetResult<u64> {
        Ok(self.size as u64)
    }

    fn end(&mut self) -> TargetResult<u64> {
        Ok(if self.bug == Bug::EndIsOld { self.old_end } else { self.size } as u64)
    }

    fn hole(&mut self, from: u64) -> TargetResult<Option<(u64, u64)>> {
        let first = from as usize / self.block;
        for block in first..self.size.div_ceil(self.block) {
            let (start, end) = (block * self.block, (block + 1) * self.block);
            // Whether a block of zeros is a hole, the file may say as it likes.
            let looked = if self.bug == Bug::HoleWithData { start + self.block / 2 } else { end };
            if self.pages[start..looked].iter().all(|byte| *byte == 0) {
                return Ok(Some((from.max(start as u64), end.min(self.size) as u64)));
            }
        }
        Ok(None)
    }

    fn close_and_open(&mut self) -> TargetResult {
        self.mapped = None;
        if let Some((offset, bytes)) = self.before_write.take()
            && self.bug == Bug::CloseForgets
        {
            self.store(offset, &bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> TargetResult {
        self.mapped = None;
        Ok(())
    }
}

/// A run; what it printed, and how it failed, with the report.
fn run(bug: Bug, line: &str) -> (String, Option<(FsxFailure, String)>) {
    let options = Options::parse(line).unwrap();
    replay(bug, options, None)
}

fn replay(bug: Bug, options: Options, ops: Option<Vec<FileOp>>) -> (String, Option<(FsxFailure, String)>) {
    let mut fsx = Fsx::new(options, File::new(bug, 1024)).unwrap();
    if let Some(ops) = ops {
        fsx = fsx.replay(ops);
    }
    let mut out = String::new();
    match fsx.run(&mut out) {
        Ok(()) => (out, None),
        Err(EarlyStop::Output) => panic!("a string takes everything"),
        Err(EarlyStop::Failed(failure)) => {
            let mut report = String::new();
            fsx.explain(&failure, &mut report).unwrap();
            (out, Some((failure, report)))
        }
    }
}

/// Options that between them use everything.
const RUNS: &[&str] = &[
    "-N 3000",
    "-N 2000 -S 2 -X -c 7",
    "-N 2000 -e 1 -M",
    "-N 1000 -L -l 100000",
    "-N 1000 -r 4k -w 512 -t 512 -Z -R -W -f",
    "-N 1000 -R -W -x -y",
    "-N 1000 -o 8192 -O -s 1 -l 1m -g Q",
    "-N 500 -KRWFHzCI",
    "-N 500 -l 1",
    "-N 0",
];

#[test]
fn an_honest_file_passes_whatever_the_options() {
    for bug in [Bug::None, Bug::HonestNoSpace, Bug::HonestUnsupported] {
        for line in RUNS {
            let (out, failure) = run(bug, line);
            if let Some((_, report)) = failure {
                panic!("{bug:?}, {line}:\n{out}{report}");
            }
            assert!(out.ends_with(" operations completed A-OK!\n"), "{out}");
            let told = out.matches("not supported").count();
            assert_eq!(
                told > 0,
                bug == Bug::HonestUnsupported && !line.contains("-KRWFHzCI") && *line != "-N 0",
                "{out}"
            );
        }
    }
}

#[test]
fn every_mistake_is_found() {
    for (bug, line) in [
        (Bug::TailComesBack, "-N 1000"),
        (Bug::DirtComesBack, "-N 1000 -e 1"),
        (Bug::LostWrite, "-N 5000"),
        (Bug::LostStore, "-N 5000"),
        (Bug::CollapseOffByOne, "-N 1000"),
        (Bug::InsertNotZeroed, "-N 1000"),
        (Bug::PunchWholeBlocksOnly, "-N 1000"),
        (Bug::ZeroShort, "-N 1000"),
        (Bug::ZeroGrows, "-N 1000"),
        (Bug::AllocateGrows, "-N 1000"),
        (Bug::AllocateStays, "-N 1000"),
        (Bug::StaleMapping, "-N 20000"),
        (Bug::CloseForgets, "-N 1000 -c 10"),
        (Bug::EndIsOld, "-N 1000"),
        (Bug::ShortRead, "-N 1000"),
        (Bug::NoSpaceAfterChange, "-N 2000"),
        (Bug::HoleWithData, "-N 1000 -X -l 5000"),
        (Bug::Broken, "-N 100"),
    ] {
        for seed in 1..4 {
            let (_, failure) = run(bug, &format!("{line} -S {seed} -q"));
            let (failure, report) = failure.unwrap_or_else(|| panic!("{bug:?} was not found, seed {seed}"));
            let right = match bug {
                Bug::ZeroGrows | Bug::AllocateGrows | Bug::AllocateStays | Bug::EndIsOld => {
                    matches!(failure.what, FailureKind::Size { .. })
                }
                Bug::ShortRead => matches!(failure.what, FailureKind::Short { done: 60000, .. }),
                Bug::Broken => matches!(failure.what, FailureKind::Refused { .. }),
                // A lost write that would have grown the file.
                Bug::LostWrite => matches!(failure.what, FailureKind::Data { .. } | FailureKind::Size { .. }),
                _ => matches!(failure.what, FailureKind::Data { .. }),
            };
            assert!(right, "{bug:?}: {report}");
            // The last line of the report repeats it, to the byte.
            let line =
                report.lines().last().and_then(|line| line.strip_prefix("repeat: fsx ")).expect("repeat");
            let again = run(bug, line.strip_suffix(" FILE").expect("FILE")).1.expect("the same failure").1;
            assert_eq!(again, report, "{bug:?}");
        }
    }
}

#[test]
fn without_dirt_beyond_the_end_it_goes_unnoticed() {
    // What -e 1 is for.
    assert!(run(Bug::DirtComesBack, "-N 1000").1.is_none());
}

#[test]
fn the_log_of_a_report_can_be_replayed() {
    let options = Options::parse("-N 150 -S 5").unwrap();
    let (_, failure) = replay(Bug::CollapseOffByOne, options.clone(), None);
    let (failure, report) = failure.expect("found within the log's length");
    let log: Vec<&str> = report.lines().filter(|line| line.contains(" # ")).collect();
    let ops = op::parse(&log.join("\n")).unwrap();
    assert_eq!(ops.len() as u64, failure.number);
    let again = replay(Bug::CollapseOffByOne, options, Some(ops)).1.expect("the same failure");
    assert_eq!(again.0.number, failure.number);
    assert!(again.1.contains("--replay-ops OPS FILE"), "{}", again.1);
    let first = |report: &str| {
        report.lines().take_while(|line| !line.starts_with("LOG")).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(first(&again.1), first(&report));
}

#[test]
fn a_report_tells_where_and_who() {
    let ops = "write 0 0x3000\nwrite 0x1000 0x1000 # the one that is looked for\nfsync 0 0\n\
               collapse_range 0 0x400\nread 0xc00 0x400";
    let (_, failure) = replay(Bug::CollapseOffByOne, Options::default(), Some(op::parse(ops).unwrap()));
    let (failure, report) = failure.expect("it is found");
    let FailureKind::Data { range, count, bytes, .. } = &failure.what else { panic!("{report}") };
    assert_eq!((failure.number, *range), (5, (0xc00, 0x400)));
    // At odd offsets, bytes of two operations may be equal by chance.
    assert!((0x3e0..=0x400).contains(count), "{report}");
    let first = bytes[0];
    assert_eq!((first.offset, first.writer, first.good, first.bad), (0xc00, Some(2), 2, 1));
    assert!(report.contains("0x00000c00  0x02  0x01  operation 2"), "{report}");
    assert!(report.contains("\ncollapse_range 0x0 0x400 0x3000 # 4\n"), "{report}");
    assert!(report.ends_with("repeat: fsx -N 5 -S 1 -l 262144 -o 65536 --replay-ops OPS FILE\n"), "{report}");
}

#[test]
fn what_cannot_be_done_is_skipped_and_said() {
    let ops = "read 0 1\nwrite 0 100\nread 50 51\nread 18446744073709551615 2\ncollapse_range 0 100\n\
               collapse_range 0 1024\ninsert_range 0 512\ninsert_range 1024 1024\nskip write 0 50\n\
               truncate 0 1000000000\nwrite 0 65537\nwrite 0 0\nwrite 262143 2";
    let options = Options { debug_from: Some(1), ..Options::default() };
    let (out, failure) = replay(Bug::None, options, Some(op::parse(ops).unwrap()));
    assert!(failure.is_none(), "{out}");
    assert_eq!(out.matches(": skipped, ").count(), 12, "{out}");
    assert!(out.contains("\n2 write 0x0 thru 0x63 (0x64 bytes)\n"), "{out}");
    assert!(out.ends_with("write 1, skipped 12\nAll 13 operations completed A-OK!\n"), "{out}");
}

#[test]
fn every_kind_of_operation_is_done() {
    let mut fsx = Fsx::new(Options::parse("-N 2000 -q").unwrap(), File::new(Bug::None, 4096)).unwrap();
    let mut out = String::new();
    fsx.run(&mut out).expect("an honest file");
    assert_eq!(out, "All 2000 operations completed A-OK!\n");
    for kind in OpKind::ALL {
        assert!(fsx.count(kind) > 50, "{} only {} times", kind.name(), fsx.count(kind));
    }
}
