//! `bench`: what each operation of the file system costs, inside the kernel, as a system call would do it: from a path
//! or an open file to the result.
//!
//! Each operation is done many times over; the time-stamp counter is read before and after, and what two readings alone
//! take is taken off. With `--icount` (see `./qemu-run.sh --help`) a nanosecond is one guest instruction, the same in
//! every run; otherwise it is time, and on an emulator says little.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use cli::opts::Opts;
use cli::size;
use cli::table::{Align, Table};
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::{FileKind, FileSystem, Rename};

use super::super::Shell;
use super::super::command::{ANY, Command, Done, Failure, On, complaint};
use crate::arch::time;
use crate::machine::{File, Machine};
use crate::mounts::{self, Options};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "bench",
    operands: "[OPERATION...]",
    about: "measure operations of the file system at / (in nanoseconds; with --icount: instructions)",
    options: &[
        ("-n N", "do each N times (1000)"),
        ("-c, --csv", "values with commas"),
        ("-j, --json", "one JSON object a line"),
        ("-l", "list the operations"),
    ],
    spec: "n:cjl csv=c json=j",
    count: 0..=ANY,
    run: bench,
}];

/// Where the files are made.
const DIR: &[u8] = b"/.bench";
const BLOCK: usize = 4096;

/// An operation: its name, what it is, and how it is measured.
struct Operation {
    name: &'static str,
    about: &'static str,
    run: fn(&Clock, usize) -> Result<Vec<u64>, Failure>,
}

const OPERATIONS: &[Operation] = &[
    Operation { name: "lookup", about: "a path of two names, cached", run: lookup },
    Operation { name: "stat", about: "the same, and all attributes", run: stat },
    Operation { name: "create", about: "an empty file in a growing directory", run: create },
    Operation { name: "rename", about: "within a directory, to a name that is free", run: rename },
    Operation { name: "link", about: "one more name for a file", run: link },
    Operation { name: "unlink", about: "an empty file", run: unlink },
    Operation { name: "mkdir", about: "an empty directory", run: mkdir },
    Operation { name: "rmdir", about: "an empty directory", run: rmdir },
    Operation { name: "append", about: "4 KiB to an open file, durable", run: append },
    Operation { name: "overwrite", about: "4 KiB of an open file, durable", run: overwrite },
    Operation { name: "read", about: "4 KiB of an open file", run: read },
    Operation {
        name: "copy-in",
        about: "4 KiB to persistent memory and nothing else, durable",
        run: copy_in,
    },
    Operation { name: "copy-out", about: "4 KiB from persistent memory and nothing else", run: copy_out },
    Operation { name: "truncate", about: "from 8 KiB to 4 KiB", run: truncate },
    Operation { name: "mount", about: "the clean file system, again", run: mount },
];

/// Reads the time, and knows what that takes.
struct Clock {
    overhead: u64,
}

impl Clock {
    fn new() -> Self {
        let empty = (0..64).map(|_| {
            let start = time::ticks();
            time::ticks() - start
        });
        Self { overhead: empty.min().unwrap_or(0) }
    }

    /// Nanoseconds that `work` takes, and what it returns.
    #[inline(always)]
    fn time<R>(&self, work: impl FnOnce() -> R) -> (u64, R) {
        let start = time::ticks();
        let result = work();
        let ticks = time::ticks() - start;
        (time::to_ns(ticks.saturating_sub(self.overhead)), result)
    }
}

fn bench(sh: &mut Shell, opts: &Opts<'_>) -> Done {
    if opts.has('l') {
        for Operation { name, about, .. } in OPERATIONS {
            writeln!(sh.out, "{name:<10} {about}")?;
        }
        return Ok(());
    }
    let count = match opts.value('n') {
        None => 1000,
        Some(text) => size::parse(text, 4096, 512).on(text)?,
    };
    let count = match usize::try_from(count) {
        Ok(count @ 1..=1_000_000) => count,
        _ => return Err(complaint("-n: between 1 and 1000000")),
    };
    let wanted: Vec<&Operation> = if opts.operands().is_empty() {
        OPERATIONS.iter().collect()
    } else {
        let find = |name: &&str| OPERATIONS.iter().find(|operation| operation.name == *name);
        let all = opts.operands().iter();
        let all = all.map(|name| {
            find(name).ok_or_else(|| complaint(format_args!("{name}: no such operation (-l lists them)")))
        });
        all.collect::<Result<_, _>>()?
    };
    let clock = Clock::new();
    let mut table = Table::new(&[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right]);
    table.row(["operation", "count", "min", "median", "p99"]);
    if opts.has('c') {
        writeln!(sh.out, "operation,count,min,median,p99")?;
    }
    for operation in wanted {
        let mut samples =
            with_directory(|| (operation.run)(&clock, count)).map_err(|failure| match failure {
                Failure::Complaint(text) => complaint(format_args!("{}: {text}", operation.name)),
                other => other,
            })?;
        samples.sort_unstable();
        let at = |share: usize| samples[(samples.len() * share / 100).min(samples.len() - 1)];
        let (name, count, min, median, p99) = (operation.name, samples.len(), samples[0], at(50), at(99));
        if opts.has('c') {
            writeln!(sh.out, "{name},{count},{min},{median},{p99}")?;
        } else if opts.has('j') {
            writeln!(
                sh.out,
                "{{\"operation\":\"{name}\",\"count\":{count},\"min\":{min},\"median\":{median},\"p99\":{p99}}}"
            )?;
        } else {
            table.row([
                name.to_string(),
                count.to_string(),
                min.to_string(),
                median.to_string(),
                p99.to_string(),
            ]);
        }
    }
    if !opts.has('c') && !opts.has('j') {
        write!(sh.out, "{table}")?;
    }
    Ok(())
}

/// Runs `work` with the directory there, and takes it away afterwards.
fn with_directory<R>(work: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    make(DIR, FileKind::Directory)?;
    let result = work();
    let cleaned = remove_all();
    result.and_then(|result| cleaned.map(|()| result))
}

/// Removes what the operations left, and the directory.
fn remove_all() -> Done {
    let dir = find(DIR)?;
    let mut left = Vec::new();
    let each = &mut |entry: fs::vfs::DirEntry<'_>| {
        if entry.name != b"." && entry.name != b".." {
            left.push(entry.name.to_vec());
        }
        core::ops::ControlFlow::Continue(())
    };
    dir.read_dir(0, each).on("the directory")?;
    for name in left {
        dir.unlink(&name).or_else(|_| dir.rmdir(&name)).on("a file")?;
    }
    drop(dir);
    let (parent, name) = mounts::parent(None, DIR).on("the directory")?;
    parent.file.rmdir(name).on("the directory")
}

fn find(path: &[u8]) -> Result<File, Failure> {
    mounts::walk(None, path, true).map(|place| place.file).on("path")
}

fn make(path: &[u8], kind: FileKind) -> Result<File, Failure> {
    let (dir, name) = mounts::parent(None, path).on("path")?;
    dir.file.create(name, kind, 0o755).on(&String::from_utf8_lossy(path))
}

/// The path of file number `number`.
fn path_of(prefix: &str, number: usize) -> Vec<u8> {
    format!("/.bench/{prefix}{number}").into_bytes()
}

/// Makes `count` files with the names of `prefix`.
fn make_files(prefix: &str, count: usize) -> Done {
    (0..count).try_for_each(|number| make(&path_of(prefix, number), FileKind::File).map(|_| ()))
}

/// Measures `work` on each path of `prefix`.
fn each_path(
    clock: &Clock,
    prefix: &str,
    count: usize,
    work: impl Fn(&[u8]) -> Done,
) -> Result<Vec<u64>, Failure> {
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let path = path_of(prefix, number);
        let (ns, result) = clock.time(|| work(&path));
        result?;
        samples.push(ns);
    }
    Ok(samples)
}

fn lookup(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    // A hundred names: each is looked up again and again, and stays cached.
    let names = count.min(100);
    make_files("f", names)?;
    let round = || each_path(clock, "f", names, |path| find(path).map(|_| ()));
    repeat(count, names, round)
}

fn stat(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    let names = count.min(100);
    make_files("f", names)?;
    let round = || {
        each_path(clock, "f", names, |path| {
            core::hint::black_box(find(path)?.attr());
            Ok(())
        })
    };
    repeat(count, names, round)
}

/// Samples of as many rounds as it takes to have `count`; one round before them warms up.
fn repeat(
    count: usize,
    each: usize,
    round: impl Fn() -> Result<Vec<u64>, Failure>,
) -> Result<Vec<u64>, Failure> {
    round()?;
    let mut samples = Vec::with_capacity(count + each);
    while samples.len() < count {
        samples.extend(round()?);
    }
    Ok(samples)
}

fn create(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_path(clock, "f", count, |path| make(path, FileKind::File).map(|_| ()))
}

fn mkdir(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_path(clock, "d", count, |path| make(path, FileKind::Directory).map(|_| ()))
}

fn rename(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    make_files("f", count)?;
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let (old, new) = (path_of("f", number), path_of("g", number));
        let work = || -> Done {
            let (from, old) = mounts::parent(None, &old).on("path")?;
            let (to, new) = mounts::parent(None, &new).on("path")?;
            to.mount.fs.rename(from.file.ino(), old, to.file.ino(), new, Rename::Replace).on("rename")
        };
        let (ns, result) = clock.time(work);
        result?;
        samples.push(ns);
    }
    Ok(samples)
}

fn link(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    make_files("f", 1)?;
    // A file has not more than 32,000 names.
    each_path(clock, "l", count.min(30_000), |path| {
        let file = find(b"/.bench/f0")?;
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.link(name, file.ino()).on("link")
    })
}

fn unlink(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    make_files("f", count)?;
    each_path(clock, "f", count, |path| {
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.unlink(name).on("unlink")
    })
}

fn rmdir(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    (0..count).try_for_each(|number| make(&path_of("d", number), FileKind::Directory).map(|_| ()))?;
    each_path(clock, "d", count, |path| {
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.rmdir(name).on("rmdir")
    })
}

/// Measures `work(file, byte offset, 4 KiB buffer)` at each block of a file of `count` blocks, written or not.
fn each_block(
    clock: &Clock,
    count: usize,
    written: bool,
    work: impl Fn(&File, u64, &mut [u8]) -> fs::Result<usize>,
) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let mut buffer = vec![0x5a; BLOCK];
    let offset = |number: usize| (number * BLOCK) as u64;
    if written {
        for number in 0..count {
            file.write_at(offset(number), &buffer).on("write")?;
        }
    }
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        let (ns, result) = clock.time(|| work(&file, offset(number), &mut buffer));
        if result.on("file")? != BLOCK {
            return Err(complaint("no space left on device"));
        }
        samples.push(ns);
    }
    Ok(samples)
}

fn append(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, false, |file, offset, buffer| file.write_at(offset, buffer))
}

fn overwrite(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, true, |file, offset, buffer| file.write_at(offset, buffer))
}

fn read(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, true, |file, offset, buffer| file.read_at(offset, buffer))
}

/// Measures `work(region, byte offset, buffer)` on the one block of a file: what the copying itself costs.
fn each_copy(
    clock: &Clock,
    count: usize,
    work: impl Fn(&crate::pmem::Region, u64, &mut [u8]),
) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let mut buffer = vec![0x5a; BLOCK];
    file.write_at(0, &buffer).on("write")?;
    let mut place = None;
    let first = &mut |extent: fs::vfs::Extent| {
        place = extent.place;
        core::ops::ControlFlow::Break(())
    };
    file.extents(0, first).on("file")?;
    let place = place.ok_or_else(|| complaint("a file without its block"))?;
    let region = file.platform().pmem();
    Ok((0..count).map(|_| clock.time(|| work(region, place, &mut buffer)).0).collect())
}

fn copy_in(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_copy(clock, count, |region, place, buffer| {
        region.write_nt(place, buffer);
        region.fence();
    })
}

fn copy_out(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    each_copy(clock, count, |region, place, buffer| region.read(place, buffer))
}

fn truncate(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let buffer = vec![0x5a; 2 * BLOCK];
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        file.write_at(0, &buffer).on("write")?;
        let (ns, result) = clock.time(|| file.truncate(BLOCK as u64));
        result.on("truncate")?;
        samples.push(ns);
    }
    Ok(samples)
}

/// Takes `/` out of the mount table, mounts its region over and over, and puts it back.
fn mount(clock: &Clock, count: usize) -> Result<Vec<u64>, Failure> {
    let place = mounts::walk(None, b"/", true).on("/")?;
    let (mount, machine) = (place.mount.clone(), *place.file.platform());
    drop(place);
    let (device, options) = (mount.device.clone(), mount.options);
    // The directory of this command is on it: nothing else may be.
    mounts::unmount(mount, None).on("/")?;
    let samples = (0..count).map(|_| mount_once(clock, machine)).collect();
    mounts::mount(&device, None, b"/", Options { ..options }).on("/")?;
    samples
}

fn mount_once(clock: &Clock, machine: Machine) -> Result<u64, Failure> {
    let (ns, fs) = clock.time(|| fs::ext2::mount(machine, fs::ext2::MountOptions::default()));
    let fs = fs.on("/")?;
    fs.unmount().on("/")?;
    Ok(ns)
}
