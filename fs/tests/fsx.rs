//! The exerciser on files of a mounted image: random operations against a model, e2fsck at the end of each
//! run.
//!
//! Each run's operations can be repeated: a failure prints the line. More of them, and other ones:
//!
//! ```text
//! DAXIOM_FSX_OPS=1000000 DAXIOM_SEED=7 cargo test --release -p fs fsx::a_long_run -- --nocapture
//! ```

use crate::common::exercised::Exercised;
use crate::common::{EXT2, Image, Machine, Scratch, create, sample, session_of, unlink, variable};
use fs::Errno;
use fs::vfs::FileSystemRef;
use fsx::report::FailureKind;
use fsx::{EarlyStop, FileOp, Fsx, FsxFailure, OpKind, Options, Target, TargetError, TargetResult};

/// The first seed: another one to look elsewhere.
fn seed() -> u64 {
    variable("DAXIOM_SEED").unwrap_or(1)
}

/// Runs the exerciser, which must find nothing; what was printed.
fn pass<T: Target>(options: Options, target: T) -> (String, T) {
    let line = options.to_string();
    let mut fsx = Fsx::new(options, target).expect("memory for the model");
    let mut out = String::new();
    match fsx.run(&mut out) {
        Ok(()) => (out, fsx.into_target()),
        Err(EarlyStop::Output) => unreachable!("a string takes everything"),
        Err(EarlyStop::Failed(failure)) => {
            let mut report = String::new();
            fsx.explain(&failure, &mut report).expect("a string takes everything");
            panic!("fsx {line}\n{out}{report}");
        }
    }
}

/// An image with blocks of `block` bytes, and about `mib` MiB.
fn image(mib: u64, block: u64) -> Image {
    Image::with(Scratch::new(), mib << 8, &["-b", &block.to_string()])
}

/// Runs the exerciser with each line of options on a new file of one image, with e2fsck's judgement at the
/// end. What is freed must be all that was taken.
fn runs(image: &Image, lines: &[String]) {
    session_of(EXT2.mount, image, |fs| {
        let free = fs.stat_fs().blocks_free;
        for line in lines {
            let options = Options::parse(line).unwrap_or_else(|why| panic!("{line}: {why}"));
            drop(create(fs, "f"));
            let mapped = options.one_mapping.then_some(options.max_len);
            let (out, target) = pass(options, Exercised::new(fs, "f", mapped));
            println!("fsx {line}\n{out}");
            assert!(!out.contains("not supported"), "{line}: it does not do everything:\n{out}");
            drop(target);
            unlink(fs, "f").expect("unlink");
            assert_eq!(fs.stat_fs().blocks_free, free, "{line}: blocks leaked");
        }
        // e2fsck shall have files to judge: the last run once more.
        drop(create(fs, "g"));
        pass(
            Options::parse(lines.last().expect("a run")).expect("parsed before"),
            Exercised::new(fs, "g", None),
        );
    });
}

/// The sets of options and how many operations, most after runs of xfstests; each does what is special about
/// it often.
const SETS: &[(&str, u64)] = &[
    // generic/075
    ("", 750),
    ("-l 10485760", 750),
    ("-x", 500),
    ("-l 10485760 -x", 500),
    // generic/127: small and dense, with and without mappings, with dropping
    ("-l 262144 -o 65536 -L", 750),
    ("-l 262144 -o 65536 -L -R -W", 500),
    ("-l 262144 -o 65536 -R -W", 750),
    ("-l 262144 -o 65536 -f", 750),
    // generic/091, 263
    ("-l 500000 -r 4096 -t 512 -w 512 -Z -R -W", 500),
    ("-o 8192 -l 500000 -r 4096 -t 4096 -w 4096 -Z", 500),
    ("-o 128000 -l 500000 -r 4096 -t 512 -w 512 -Z", 500),
    // generic/363
    ("-e 1", 1000),
    ("-e 1 -M -c 50", 1000),
    // A mapping that lives on while blocks are freed and moved under it.
    ("-M", 1500),
    ("-M -c 100 -l 2097152 -o 300000", 750),
    // Everything compared, everything small.
    ("-X -l 40000 -o 9000 -c 10 -M", 1500),
    ("-X -l 3000 -o 3000 -y", 500),
    // Around the single indirect block and the double one: 12 and 1036 pages.
    ("-l 6m -o 2m -s 1", 200),
];

#[test]
fn files_with_blocks_of_a_page_hold_what_the_model_holds() {
    let lines: Vec<String> = SETS
        .iter()
        .zip(seed()..)
        .map(|((set, ops), seed)| format!("-N {} -S {seed} {set}", ops * sample(1, 40)))
        .collect();
    runs(&image(64, 4096), &lines);
}

#[test]
fn files_with_smaller_blocks_hold_what_the_model_holds() {
    for block in [1024, 2048] {
        let sets =
            ["-X -l 40000 -o 9000 -c 10", "-l 262144", "-l 500000 -o 128000 -x", "-l 3m -o 1m -s 1", "-L -f"];
        let lines: Vec<String> = sets
            .iter()
            .zip(seed()..)
            .map(|(set, seed)| format!("-N {} -S {seed} -R -W {set}", sample(500, 20_000)))
            .collect();
        runs(&image(64, block), &lines);
    }
}

#[test]
fn a_full_file_system_changes_nothing_it_refuses() {
    for (block, seed) in [(4096, seed()), (4096, seed() + 1), (1024, seed()), (2048, seed())] {
        let image = image(1, block);
        session_of(EXT2.mount, &image, |fs| {
            let free = fs.stat_fs().blocks_free;
            drop(create(fs, "f"));
            // Greater than the image.
            let options = format!("-N {} -S {seed} -l 3m -o 500000 -M", sample(700, 20_000));
            let options = Options::parse(&options).expect("good options");
            let debug = Options { debug_from: Some(1), ..options };
            let (out, target) = pass(debug, Exercised::new(fs, "f", Some(3 << 20)));
            assert!(out.matches("no space after").count() > 20, "it was never full:\n{out}");
            drop(target);
            unlink(fs, "f").expect("unlink");
            assert_eq!(fs.stat_fs().blocks_free, free, "blocks leaked");
        });
    }
}

#[test]
fn six_files_at_a_time() {
    // generic/127: lite and standard, with and without mappings, standard also with dropping.
    let sets = ["-L", "-L -R -W", "", "-R -W", "-f", "-f -R -W"];
    let image = image(64, 4096);
    session_of(EXT2.mount, &image, |fs| {
        std::thread::scope(|scope| {
            for (number, set) in sets.iter().enumerate() {
                let path = format!("f{number}");
                drop(create(fs, &path));
                let line = format!("-q -l 262144 -o 65536 -S 191110531 -N 1500 {set}");
                scope.spawn(move || {
                    pass(Options::parse(&line).expect("good options"), Exercised::new(fs, &path, None));
                });
            }
        });
    });
}

/// `DAXIOM_FSX_OPS` operations (8,000 if it is not set), as generic/521 and 522 do a million.
#[test]
fn a_long_run() {
    let ops = variable("DAXIOM_FSX_OPS").unwrap_or(sample(8000, 1_000_000));
    let seed = seed();
    // A mapping of its own for each operation, one for all, and none, with blocks of each size.
    let run = |block, set: &str, part: u64| {
        let line = format!("-N {} -S {seed} -l 600000 -o 128000 -c 1000 -p 100000 {set}", ops * part / 10);
        runs(&image(64, block), &[line]);
    };
    run(4096, "", 3);
    run(4096, "-M -e 1", 5);
    run(2048, "-R -W", 1);
    run(1024, "-R -W", 1);
}

/// What a broken file system does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// Truncating leaves what is in the last block after the end.
    TailStays,
    /// One write in 50 is answered, and not done.
    LostWrite,
    /// One store in 50 is, too.
    LostStore,
    /// Collapsing cuts the block after the right one.
    CollapseOffByOne,
    /// Allocating with KEEP_SIZE does not keep it.
    Grows,
    /// What a truncation cut off is still mapped: the old block is seen.
    MappingOutlivesBlock,
}

/// A file that is exercised, with a mistake between the exerciser and it.
struct Broken {
    inner: Exercised,
    bug: Bug,
    calls: u64,
    /// The first page as it was mapped once.
    seen: Option<[u8; 4096]>,
}

impl Broken {
    fn now_and_then(&mut self, bug: Bug) -> bool {
        self.calls += u64::from(self.bug == bug);
        self.bug == bug && self.calls.is_multiple_of(50)
    }

    /// Truncates, and puts back what was in the last page after the new end.
    fn truncate(&mut self, op: &FileOp) -> TargetResult<usize> {
        let end = op.len.next_multiple_of(4096).min(self.inner.size()?);
        let mut tail = vec![0; end.saturating_sub(op.len) as usize];
        let access = |kind, tail: &[u8]| FileOp::new(kind, op.len, tail.len() as u64);
        self.inner.perform(&access(OpKind::Read, &tail), &mut tail)?;
        self.inner.perform(op, &mut [])?;
        if !tail.is_empty() {
            // A file that was never mapped can be stored to after its end.
            self.inner.perform(&access(OpKind::MapWrite, &tail), &mut tail)?;
        }
        Ok(0)
    }
}

impl Target for Broken {
    fn block_size(&self) -> u64 {
        self.inner.block_size()
    }
    fn perform(&mut self, op: &FileOp, bytes: &mut [u8]) -> TargetResult<usize> {
        let mut op = *op;
        let lost = match op.kind {
            OpKind::Write => self.now_and_then(Bug::LostWrite),
            OpKind::MapWrite => self.now_and_then(Bug::LostStore),
            _ => false,
        };
        match op.kind {
            _ if lost => return Ok(bytes.len()),
            OpKind::Truncate if self.bug == Bug::TailStays => return self.truncate(&op),
            OpKind::Allocate if self.bug == Bug::Grows => op.keep_size = false,
            OpKind::Collapse if self.bug == Bug::CollapseOffByOne => {
                op.offset = op.offset.saturating_sub(4096)
            }
            _ => {}
        }
        let done = self.inner.perform(&op, bytes)?;
        let whole = op.kind == OpKind::MapRead && op.offset == 0 && bytes.len() >= 4096;
        if self.bug == Bug::MappingOutlivesBlock && whole {
            let seen = self.seen.get_or_insert_with(|| bytes[..4096].try_into().expect("a page"));
            bytes[..4096].copy_from_slice(&*seen);
        }
        Ok(done)
    }
    fn msync(&mut self, offset: u64, len: u64) -> TargetResult {
        self.inner.msync(offset, len)
    }
    fn size(&mut self) -> TargetResult<u64> {
        self.inner.size()
    }
    fn end(&mut self) -> TargetResult<u64> {
        self.inner.end()
    }
    fn hole(&mut self, from: u64) -> TargetResult<Option<(u64, u64)>> {
        self.inner.hole(from)
    }
    fn close_and_open(&mut self) -> TargetResult {
        self.inner.close_and_open()
    }
    fn flush(&mut self) -> TargetResult {
        self.inner.flush()
    }
}

/// How the exerciser fails with this mistake.
fn find(fs: &FileSystemRef<Machine>, bug: Bug, line: &str) -> FsxFailure {
    drop(create(fs, "f"));
    let target = Broken { inner: Exercised::new(fs, "f", None), bug, calls: 0, seen: None };
    let mut fsx = Fsx::new(Options::parse(line).expect("good options"), target).expect("memory");
    let result = fsx.run(&mut String::new());
    drop(fsx);
    unlink(fs, "f").expect("unlink");
    match result {
        Err(EarlyStop::Failed(failure)) => failure,
        other => panic!("{bug:?} was not found: {other:?}"),
    }
}

#[test]
fn mistakes_under_the_exerciser_are_found() {
    session_of(EXT2.mount, &image(16, 4096), |fs| {
        for (bug, line) in [
            (Bug::TailStays, "-N 2000"),
            (Bug::LostWrite, "-N 10000"),
            (Bug::LostStore, "-N 10000"),
            (Bug::CollapseOffByOne, "-N 2000"),
            (Bug::Grows, "-N 2000"),
            (Bug::MappingOutlivesBlock, "-N 5000 -l 32768"),
        ] {
            let failure = find(fs, bug, line);
            let right = match bug {
                Bug::Grows => matches!(failure.what, FailureKind::Size { .. }),
                Bug::LostWrite => matches!(failure.what, FailureKind::Data { .. } | FailureKind::Size { .. }),
                _ => matches!(failure.what, FailureKind::Data { .. }),
            };
            assert!(right, "{bug:?}: {failure}");
        }
    });
}

#[test]
fn a_refusal_that_is_no_lack_of_space_ends_the_run() {
    // A file system that is read-only since a contradiction was met must not pass for one that holds what was
    // written.
    let image = image(16, 4096);
    let fs = (EXT2.mount)(image.machine());
    drop(create(&fs, "f"));
    fs.unmount().expect("unmount");
    let mut fsx = Fsx::new(Options::default(), Exercised::new(&fs, "f", None)).expect("memory");
    let Err(EarlyStop::Failed(failure)) = fsx.run(&mut String::new()) else { panic!("it passed") };
    let refused = TargetError::from(Errno::ReadOnly);
    assert!(matches!(&failure.what, FailureKind::Refused { why, .. } if *why == refused), "{failure}");
}
