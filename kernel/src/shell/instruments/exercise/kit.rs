//! What every exerciser works with: files of its own, mappings, tasks that start together, and answers.
//!
//! An exerciser runs in a task of its own. Nothing here holds a lock while a task's address is touched.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{ControlFlow, Deref};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use fs::vfs::FileKind;
use fs::{Errno, Error, PAGE_SIZE};

use super::Settings;
use crate::arch::percpu;
use crate::entry::transfer;
use crate::entry::user_access::{self, FaultAt};
use crate::machine::File;
use crate::mm::aspace::{self, AddressSpace, MapRequest, Placement, Rights, VmaKind};
use crate::mounts::{self, Place};
use crate::sync::Mutex;
use crate::task::{self, Builder, ExitStatus, TaskSpace};

/// What the names of files begin with; the task's number follows, and another `-`. No user calls a file so.
const PREFIX: &str = ".exercise-";

/// Takes away what a run that was cut off has left in `dir`: regular files of tasks that are not there.
///
/// # Errors
/// The directory's.
pub(super) fn clear(dir: &Place) -> fs::Result<()> {
    let tasks = task::all();
    let mut left = Vec::new();
    dir.file.read_dir(0, &mut |entry| {
        let rest = core::str::from_utf8(entry.name).ok().and_then(|name| name.strip_prefix(PREFIX));
        let id = rest.and_then(|rest| rest.split_once('-')).and_then(|(id, _)| id.parse::<u32>().ok());
        if id.is_some_and(|id| !tasks.iter().any(|task| task.id() == id)) {
            left.push(entry.name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    left.iter().try_for_each(|name| match dir.file.lookup(name)?.kind() {
        FileKind::File => dir.file.unlink(name),
        _ => Ok(()),
    })
}

/// Bytes of a huge page.
pub(super) const LARGE: u64 = 2 << 20;

/// Why a round did not end well.
#[derive(Clone, Debug)]
pub(super) enum RoundFailure {
    /// What must not happen has happened.
    Violation(String),
    /// The round could not be done: no space, no memory, a read-only file system.
    Cannot(String),
    /// Somebody asked to stop.
    Stopped,
}

/// What a step of an exerciser returns.
pub(super) type RoundResult<T = ()> = Result<T, RoundFailure>;

impl From<Error> for RoundFailure {
    fn from(error: Error) -> Self {
        match error {
            Error::Op(Errno::NoSpace | Errno::NoMemory | Errno::ReadOnly) | Error::Unsupported(_) => {
                Self::Cannot(format!("{error}"))
            }
            other => Self::Violation(format!("a file operation failed: {other}")),
        }
    }
}

impl From<transfer::TransferError> for RoundFailure {
    fn from(error: transfer::TransferError) -> Self {
        match error {
            transfer::TransferError::File(error) => error.into(),
            transfer::TransferError::Task(fault) => fault.into(),
        }
    }
}

impl From<FaultAt> for RoundFailure {
    fn from(fault: FaultAt) -> Self {
        match fault.why {
            crate::mm::fault::Refusal::File(error @ Error::Op(Errno::NoSpace | Errno::NoMemory)) => {
                Self::Cannot(format!("{error}"))
            }
            _ => Self::Violation(format!("an access was refused: {fault}")),
        }
    }
}

/// Returns a violation that says `what`.
pub(super) fn violation<T>(what: impl fmt::Display) -> RoundResult<T> {
    Err(RoundFailure::Violation(format!("{what}")))
}

/// Insists on something.
pub(super) fn expect(ok: bool, what: fmt::Arguments<'_>) -> RoundResult {
    if ok { Ok(()) } else { violation(what) }
}

/// What the shell sees of an exerciser that runs.
#[derive(Default)]
pub(super) struct ExerciseProgress {
    /// Grows as long as anything happens.
    pub(super) beats: AtomicU64,
    /// Rounds that are done.
    pub(super) rounds: AtomicU64,
    /// Set to end the exerciser soon, after its round at the latest.
    pub(super) stop: AtomicBool,
    /// How the exerciser ended.
    pub(super) outcome: Mutex<Option<RoundFailure>>,
    /// What is worth telling, with how often it happened.
    pub(super) notes: Mutex<Vec<(&'static str, u64)>>,
}

/// One exerciser at work.
#[derive(Clone)]
pub(super) struct Ctx {
    /// The directory that the exerciser makes its files in.
    pub(super) dir: Place,
    pub(super) settings: Settings,
    pub(super) progress: Arc<ExerciseProgress>,
    /// Which round, from 0 on.
    pub(super) round: u64,
}

impl Ctx {
    /// Tells the watchdog that something happened.
    pub(super) fn beat(&self) {
        self.progress.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns [`RoundFailure::Stopped`] if the exerciser is to end.
    pub(super) fn go_on(&self) -> RoundResult {
        if self.progress.stop.load(Ordering::Relaxed) { Err(RoundFailure::Stopped) } else { Ok(()) }
    }

    /// Counts what is worth telling.
    pub(super) fn note(&self, what: &'static str, count: u64) {
        let mut notes = self.progress.notes.lock();
        match notes.iter_mut().find(|(name, _)| *name == what) {
            Some((_, sum)) => *sum += count,
            None => notes.push((what, count)),
        }
    }

    /// Returns random numbers for this round; `stream` tells their users apart.
    pub(super) fn random(&self, stream: u64) -> Xorshift {
        let mut random = Xorshift(self.settings.seed ^ self.round << 20 ^ stream << 56 | 1);
        for _ in 0..4 {
            random.next();
        }
        random
    }

    /// Makes a new, empty file, which goes when the value is dropped.
    pub(super) fn scratch(&self, what: &str) -> RoundResult<Scratch> {
        let name = format!("{PREFIX}{}-{what}", task::current().id()).into_bytes();
        let file = self.dir.file.create(&name, FileKind::File, 0o644)?;
        Ok(Scratch { dir: self.dir.clone(), name, file })
    }

    /// Runs `body` in `count` tasks on different CPUs, as far as there are, which begin together. Returns the
    /// first failure.
    pub(super) fn workers(
        &self,
        count: usize,
        sharing: Sharing,
        body: impl Fn(&Worker) -> RoundResult + Send + Sync + 'static,
    ) -> RoundResult {
        let body = Arc::new(body);
        let shared = Arc::new(Together { count, arrived: AtomicUsize::new(0), failure: Mutex::new(None) });
        let cpus: Vec<usize> = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.number()).collect();
        let mut tasks = Vec::new();
        for index in 0..count {
            let space = match sharing {
                Sharing::One => aspace::current(),
                Sharing::Fork => aspace::current().fork()?,
            };
            let cpu = cpus[(index + self.round as usize) % cpus.len()];
            let worker = Worker { index, ctx: self.clone(), together: shared.clone() };
            let body = body.clone();
            let run = move || {
                worker.together.gather();
                if let Err(fail) = body(&worker) {
                    worker.together.failure.lock().get_or_insert(fail);
                }
                drop(body);
                ExitStatus::SUCCESS
            };
            let name = format!("exercise worker {index}");
            match task::spawn(Builder { name: &name, space: TaskSpace::Shared(space), cpu: Some(cpu) }, run) {
                Ok(task) => tasks.push(task),
                Err(error) => {
                    shared.failure.lock().get_or_insert(error.into());
                    shared.arrived.fetch_add(count, Ordering::SeqCst);
                    break;
                }
            }
        }
        tasks.iter().for_each(|task| drop(task.join()));
        self.beat();
        match shared.failure.lock().take() {
            Some(fail) => Err(fail),
            None => Ok(()),
        }
    }
}

/// Which address space workers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Their maker's, which they share as threads.
    One,
    /// A copy each, as processes.
    Fork,
}

/// What workers have in common.
struct Together {
    count: usize,
    arrived: AtomicUsize,
    failure: Mutex<Option<RoundFailure>>,
}

impl Together {
    fn gather(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        while self.arrived.load(Ordering::SeqCst) < self.count {
            task::yield_now();
        }
    }
}

/// One of several tasks.
pub(super) struct Worker {
    /// Which, from 0 on.
    pub(super) index: usize,
    pub(super) ctx: Ctx,
    together: Arc<Together>,
}

impl Worker {
    /// Waits until `ready`, or another worker has failed.
    pub(super) fn wait_for(&self, ready: &AtomicBool) -> RoundResult {
        while !ready.load(Ordering::SeqCst) {
            self.go_on()?;
            task::yield_now();
        }
        Ok(())
    }

    /// Returns [`RoundFailure::Stopped`] if another worker has failed, or all are to end.
    pub(super) fn go_on(&self) -> RoundResult {
        self.ctx.go_on()?;
        if self.together.failure.lock().is_some() { Err(RoundFailure::Stopped) } else { Ok(()) }
    }
}

/// A file of the exerciser's own.
pub(super) struct Scratch {
    dir: Place,
    name: Vec<u8>,
    file: File,
}

impl Deref for Scratch {
    type Target = File;
    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.dir.file.unlink(&self.name);
    }
}

/// How a file is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapFlags {
    pub(super) write: bool,
    pub(super) private: bool,
    /// Huge pages are welcome.
    pub(super) large: bool,
}

/// Loads and stores.
pub(super) const SHARED: MapFlags = MapFlags { write: true, private: false, large: true };
/// Loads only.
pub(super) const READ: MapFlags = MapFlags { write: false, ..SHARED };
/// Stores go to copies.
pub(super) const PRIVATE: MapFlags = MapFlags { private: true, ..SHARED };

/// A mapping of the task that made it; it goes when it is dropped.
pub(super) struct ScopedMapping {
    space: Arc<AddressSpace>,
    /// First address.
    pub(super) at: u64,
    /// Bytes.
    pub(super) len: u64,
}

impl ScopedMapping {
    /// Maps `len` bytes of `file` from byte `offset` on.
    pub(super) fn new(file: &File, offset: u64, len: u64, how: MapFlags) -> RoundResult<Self> {
        let (space, steady) = (aspace::current(), mounts::steady());
        let kind = VmaKind {
            rights: Rights { read: true, write: how.write, exec: false },
            private: how.private,
            sync: false,
            large: how.large,
            no_write: None,
            protocol: mounts::protocol(file, &steady),
        };
        let name: Arc<str> = Arc::from("exercise");
        let request =
            MapRequest { file, name: &name, offset, len, at: Placement::Any, kind, populate: false };
        let at = space.map(&request)?;
        Ok(Self { space, at, len })
    }

    /// Returns how many entries of 2 MiB the mapping has just now.
    pub(super) fn large_entries(&self) -> u64 {
        self.space.count(self.at, self.len).large
    }
}

impl Drop for ScopedMapping {
    fn drop(&mut self) {
        // It was mapped so; nothing can be wrong with it.
        let _ = self.space.munmap(self.at, self.len);
    }
}

/// Loads 8 bytes.
pub(super) fn load(at: u64) -> RoundResult<u64> {
    Ok(user_access::load_u64(at)?)
}

/// Stores 8 bytes.
pub(super) fn store(at: u64, value: u64) -> RoundResult {
    Ok(user_access::store_u64(at, value)?)
}

/// Loads bytes.
pub(super) fn load_bytes(at: u64, to: &mut [u8]) -> RoundResult {
    Ok(user_access::load(to, at)?)
}

/// Stores `byte` `len` times.
pub(super) fn fill(at: u64, byte: u8, len: u64) -> RoundResult {
    Ok(user_access::fill(at, byte, len as usize)?)
}

/// Returns the file's bytes from `offset` on, as read(2) gives them; all `len` must be there.
pub(super) fn contents(file: &File, offset: u64, len: u64) -> RoundResult<Vec<u8>> {
    let mut bytes = alloc::vec![0xee; len as usize];
    let mut done = 0;
    while done < bytes.len() {
        let got = file.read_at(offset + done as u64, &mut bytes[done..])?;
        expect(
            got > 0,
            format_args!("the file ends at {:#x}, not {:#x}", offset + done as u64, offset + len),
        )?;
        done += got;
    }
    Ok(bytes)
}

/// Writes all of `bytes`.
pub(super) fn write(file: &File, offset: u64, bytes: &[u8]) -> RoundResult {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(offset + done as u64, &bytes[done..])? {
            0 => return Err(Error::Op(Errno::NoSpace).into()),
            more => done += more,
        }
    }
    Ok(())
}

/// Checks that two contents are the same; the violation tells the first byte that is not as it should be.
pub(super) fn expect_same(what: &str, found: &[u8], wanted: &[u8]) -> RoundResult {
    match found.iter().zip(wanted).position(|(a, b)| a != b) {
        None if found.len() == wanted.len() => Ok(()),
        None => violation(format_args!("{what}: {} bytes, not {}", found.len(), wanted.len())),
        Some(at) => {
            violation(format_args!("{what}: byte {at:#x} is {:#04x}, not {:#04x}", found[at], wanted[at]))
        }
    }
}

/// Checks that all bytes are `byte`.
pub(super) fn expect_all(what: &str, found: &[u8], byte: u8) -> RoundResult {
    match found.iter().position(|other| *other != byte) {
        None => Ok(()),
        Some(at) => violation(format_args!("{what}: byte {at:#x} is {:#04x}, not {byte:#04x}", found[at])),
    }
}

/// Returns the addresses of the pages of a mapping.
pub(super) fn pages(at: u64, len: u64) -> impl Iterator<Item = u64> {
    (at..at + len).step_by(PAGE_SIZE as usize)
}

/// Random numbers (xorshift64*).
pub(super) struct Xorshift(u64);

impl Xorshift {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns one of `0..n`; `n` is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }
}
