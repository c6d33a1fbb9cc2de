//! Operations on names and open files, as a system call would do them: from a path or a file to the result.
//! On ext2 that is durable. A journal makes it durable later: at the next commit, which `fsync` waits for.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use fs::crc32c;
use fs::dax;
use fs::platform::Platform;
use fs::pmem::Pmem;
use fs::vfs::{FileKind, MountOptions, Rename};

use super::super::super::command::{CommandResult, Failure, On, complaint};
use super::{BenchClock, BenchMethod, Operation};
use crate::machine::{File, KernelPlatform};
use crate::mounts::{self, MountRequest};

const BLOCK: usize = 4096;

pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "lookup", about: "a path of two names, cached", run: BenchMethod::Plain(lookup) },
    Operation { name: "stat", about: "the same, and all attributes", run: BenchMethod::Plain(stat) },
    Operation {
        name: "create",
        about: "an empty file in a growing directory",
        run: BenchMethod::Plain(create),
    },
    Operation {
        name: "rename",
        about: "within a directory, to a name that is free",
        run: BenchMethod::Plain(rename),
    },
    Operation { name: "link", about: "one more name for a file", run: BenchMethod::Plain(link) },
    Operation { name: "unlink", about: "an empty file", run: BenchMethod::Plain(unlink) },
    Operation { name: "mkdir", about: "an empty directory", run: BenchMethod::Plain(mkdir) },
    Operation { name: "rmdir", about: "an empty directory", run: BenchMethod::Plain(rmdir) },
    Operation { name: "append", about: "4 KiB to an open file", run: BenchMethod::Plain(append) },
    Operation { name: "overwrite", about: "4 KiB of an open file", run: BenchMethod::Plain(overwrite) },
    Operation {
        name: "fsync",
        about: "of an open file, after 4 KiB were appended",
        run: BenchMethod::Plain(fsync),
    },
    Operation { name: "read", about: "4 KiB of an open file", run: BenchMethod::Plain(read) },
    Operation {
        name: "copy-in",
        about: "4 KiB to persistent memory and nothing else, durable",
        run: BenchMethod::Plain(copy_in),
    },
    Operation {
        name: "copy-out",
        about: "4 KiB from persistent memory and nothing else",
        run: BenchMethod::Plain(copy_out),
    },
    Operation { name: "checksum", about: "4 KiB, by CRC-32C", run: BenchMethod::Plain(checksum) },
    Operation { name: "truncate", about: "from 8 KiB to 4 KiB", run: BenchMethod::Plain(truncate) },
    Operation { name: "mount", about: "the clean file system, again", run: BenchMethod::Plain(mount) },
];

pub(super) fn find(path: &[u8]) -> Result<File, Failure> {
    mounts::walk(None, path, true).map(|place| place.file).on("path")
}

pub(super) fn make(path: &[u8], kind: FileKind) -> Result<File, Failure> {
    let (dir, name) = mounts::parent(None, path).on("path")?;
    dir.file.create(name, kind, 0o755).on(&String::from_utf8_lossy(path))
}

/// The path of file number `number`.
fn path_of(prefix: &str, number: usize) -> Vec<u8> {
    format!("/.bench/{prefix}{number}").into_bytes()
}

/// Makes `count` files with the names of `prefix`.
fn make_files(clock: &BenchClock<'_>, prefix: &str, count: usize, kind: FileKind) -> CommandResult {
    (0..count).try_for_each(|number| {
        clock.go_on()?;
        make(&path_of(prefix, number), kind).map(|_| ())
    })
}

/// Measures `work` on each path of `prefix`.
fn each_path(
    clock: &BenchClock<'_>,
    prefix: &str,
    count: usize,
    work: impl Fn(&[u8]) -> CommandResult,
) -> Result<Vec<u64>, Failure> {
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        clock.go_on()?;
        let path = path_of(prefix, number);
        let (ns, result) = clock.time(|| work(&path));
        result?;
        samples.push(ns);
    }
    Ok(samples)
}

fn lookup(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    // A hundred names: each is looked up again and again, and stays cached.
    let names = count.min(100);
    make_files(clock, "f", names, FileKind::File)?;
    let round = || each_path(clock, "f", names, |path| find(path).map(|_| ()));
    repeat(count, names, round)
}

fn stat(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    let names = count.min(100);
    make_files(clock, "f", names, FileKind::File)?;
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

fn create(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_path(clock, "f", count, |path| make(path, FileKind::File).map(|_| ()))
}

fn mkdir(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_path(clock, "d", count, |path| make(path, FileKind::Directory).map(|_| ()))
}

fn rename(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    make_files(clock, "f", count, FileKind::File)?;
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        clock.go_on()?;
        let (old, new) = (path_of("f", number), path_of("g", number));
        let work = || -> CommandResult {
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

fn link(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    make_files(clock, "f", 1, FileKind::File)?;
    // A file has not more than 32,000 names.
    each_path(clock, "l", count.min(30_000), |path| {
        let file = find(b"/.bench/f0")?;
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.link(name, file.ino()).on("link")
    })
}

fn unlink(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    make_files(clock, "f", count, FileKind::File)?;
    each_path(clock, "f", count, |path| {
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.unlink(name).on("unlink")
    })
}

fn rmdir(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    make_files(clock, "d", count, FileKind::Directory)?;
    each_path(clock, "d", count, |path| {
        let (dir, name) = mounts::parent(None, path).on("path")?;
        dir.file.rmdir(name).on("rmdir")
    })
}

/// Measures `work(file, byte offset, 4 KiB buffer)` at each block of a file of `count` blocks, written or
/// not.
fn each_block(
    clock: &BenchClock<'_>,
    count: usize,
    written: bool,
    work: impl Fn(&File, u64, &mut [u8]) -> fs::Result<usize>,
) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let mut buffer = vec![0x5a; BLOCK];
    let offset = |number: usize| (number * BLOCK) as u64;
    if written {
        for number in 0..count {
            clock.go_on()?;
            file.write_at(offset(number), &buffer).on("write")?;
        }
    }
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        clock.go_on()?;
        let (ns, result) = clock.time(|| work(&file, offset(number), &mut buffer));
        if result.on("file")? != BLOCK {
            return Err(complaint("no space left on device"));
        }
        samples.push(ns);
    }
    Ok(samples)
}

fn append(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, false, |file, offset, buffer| file.write_at(offset, buffer))
}

fn fsync(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let buffer = vec![0x5a; BLOCK];
    let mut samples = Vec::with_capacity(count);
    for number in 0..count {
        clock.go_on()?;
        file.write_at((number * BLOCK) as u64, &buffer).on("write")?;
        let (ns, result) = clock.time(|| dax::fsync(&*file));
        result.on("fsync")?;
        samples.push(ns);
    }
    Ok(samples)
}

fn overwrite(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, true, |file, offset, buffer| file.write_at(offset, buffer))
}

fn read(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_block(clock, count, true, |file, offset, buffer| file.read_at(offset, buffer))
}

/// Measures `work(region, byte offset, buffer)` on the one block of a file: what the copying itself costs.
fn each_copy(
    clock: &BenchClock<'_>,
    count: usize,
    work: impl Fn(&crate::pmem::MappedRegion, u64, &mut [u8]),
) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let mut buffer = vec![0x5a; BLOCK];
    file.write_at(0, &buffer).on("write")?;
    let mut place = None;
    let first = &mut |extent: fs::vfs::Extent| {
        place = extent.place();
        core::ops::ControlFlow::Break(())
    };
    file.extents(0, first).on("file")?;
    let place = place.ok_or_else(|| complaint("a file without its block"))?;
    let region = file.platform().pmem();
    let copy = |_| {
        clock.go_on()?;
        Ok(clock.time(|| work(region, place, &mut buffer)).0)
    };
    (0..count).map(copy).collect()
}

fn copy_in(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_copy(clock, count, |region, place, buffer| {
        region.write_nt(place, buffer);
        region.fence();
    })
}

fn copy_out(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    each_copy(clock, count, |region, place, buffer| region.read(place, buffer))
}

fn checksum(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    let buffer = vec![0x5a; BLOCK];
    let each = |_| {
        clock.go_on()?;
        Ok(clock.time(|| core::hint::black_box(crc32c::update(!0, &buffer))).0)
    };
    (0..count).map(each).collect()
}

fn truncate(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    let file = make(b"/.bench/data", FileKind::File)?;
    let buffer = vec![0x5a; 2 * BLOCK];
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        clock.go_on()?;
        file.write_at(0, &buffer).on("write")?;
        let (ns, result) = clock.time(|| file.truncate(BLOCK as u64));
        result.on("truncate")?;
        samples.push(ns);
    }
    Ok(samples)
}

/// Takes `/` out of the mount table, mounts its region over and over, and puts it back.
fn mount(clock: &BenchClock<'_>, count: usize) -> Result<Vec<u64>, Failure> {
    let place = mounts::walk(None, b"/", true).on("/")?;
    let (mount, machine) = (place.mount.clone(), *place.file.platform());
    drop(place);
    let (device, protocol) = (mount.device.clone(), mount.protocol());
    let options = MountRequest { protocol: Some(protocol), ..mount.options };
    // The directory of this command is on it: nothing else may be.
    mounts::unmount(mount, None).on("/")?;
    let samples = (0..count).map(|_| clock.go_on().and_then(|()| mount_once(clock, machine))).collect();
    mounts::mount(&device, None, b"/", options).on("/")?;
    samples
}

fn mount_once(clock: &BenchClock<'_>, machine: KernelPlatform) -> Result<u64, Failure> {
    let (ns, fs) = clock.time(|| mounts::read(machine, None, MountOptions::default()));
    let fs = fs.on("/")?;
    fs.unmount().on("/")?;
    Ok(ns)
}
