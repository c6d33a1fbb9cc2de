//! ext2 against e2fsprogs: images from mke2fs, changed here, judged by e2fsck and debugfs.

use super::{Ext2, mount};
use crate::error::{Errno, Error, Result};
use crate::ext::layout::*;
use crate::pmem::Pmem;
use crate::pmem::ram::Ram;
use crate::sim::Machine;
use crate::vfs::{FileKind, FileSystem, InodeRef, MountOptions, Transaction, path};
use core::ops::ControlFlow;
use std::format;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::string::{String, ToString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec;
use std::vec::Vec;

mod damage;
mod large;
mod names;
mod parallel;
mod read;
mod write;

type Fs = Arc<Ext2<Machine>>;
type Node = InodeRef<Machine>;

/// Bytes in a block of the images made here.
const BLOCK: u64 = 4096;

/// Byte offset of block `block` of those.
fn byte(block: u32) -> u64 {
    u64::from(block) * BLOCK
}

/// A folder of its own for a test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("daxiom-ext2-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(tool: &str, args: &[&str]) -> Output {
    let usual = format!("/usr/sbin/{tool}");
    let tool = if fs::exists(&usual).unwrap_or(false) { usual } else { tool.to_string() };
    Command::new(&tool).args(args).output().unwrap_or_else(|error| panic!("{tool}: {error}"))
}

/// An image of `size` (as mke2fs takes it), with `options` beside `-b 4096`.
fn mke2fs(size: &str, options: &[&str]) -> Vec<u8> {
    let folder = Folder::new();
    let file = folder.0.join("image").display().to_string();
    let mut args = vec!["-q", "-F"];
    if !options.contains(&"-t") {
        args.extend(["-t", "ext2"]);
    }
    if !options.contains(&"-b") {
        args.extend(["-b", "4096"]);
    }
    args.extend(options);
    args.extend([&*file, size]);
    let output = run("mke2fs", &args);
    assert!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(&file).expect("the image")
}

fn try_mount(image: &[u8]) -> Result<(Machine, Fs)> {
    let machine = Machine::new(Ram::from_bytes(image));
    let fs = mount(machine.clone(), MountOptions::default())?;
    Ok((machine, fs))
}

fn open(image: &[u8]) -> (Machine, Fs) {
    try_mount(image).unwrap_or_else(|error| panic!("mount: {error}"))
}

fn root(fs: &Fs) -> Node {
    FileSystem::root(&**fs).expect("the root")
}

fn at(fs: &Fs, path: &str) -> Node {
    path::resolve(&root(fs), path.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What e2fsck says of `image`, if it says anything.
fn e2fsck(image: &[u8]) -> core::result::Result<(), String> {
    let folder = Folder::new();
    let file = folder.0.join("image").display().to_string();
    fs::write(&file, image).expect("a copy of the image");
    let output = run("e2fsck", &["-fn", &file]);
    if output.status.code() == Some(0) {
        return Ok(());
    }
    Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// What debugfs prints for `request`, which reads.
fn debugfs(image: &[u8], request: &str) -> Vec<u8> {
    let folder = Folder::new();
    let file = folder.0.join("image").display().to_string();
    fs::write(&file, image).expect("a copy of the image");
    run("debugfs", &["-R", request, &file]).stdout
}

/// `image` after debugfs ran `request`, which writes.
fn debugfs_write(image: &[u8], request: &str) -> Vec<u8> {
    let folder = Folder::new();
    let file = folder.0.join("image").display().to_string();
    fs::write(&file, image).expect("a copy of the image");
    let output = run("debugfs", &["-w", "-R", request, &file]);
    assert!(output.status.success());
    fs::read(&file).expect("the image")
}

/// Syncs, asks e2fsck (the state flag aside), unmounts, asks e2fsck again; returns the image.
fn close(machine: &Machine, fs: Fs) -> Vec<u8> {
    fs.sync().expect("sync");
    let mut synced = machine.ram.to_bytes();
    synced[(SUPERBLOCK + S_STATE) as usize] |= VALID_FS as u8;
    if let Err(what) = e2fsck(&synced) {
        panic!("after sync: {what}");
    }
    fs.unmount().expect("unmount");
    drop(fs);
    let image = machine.ram.to_bytes();
    if let Err(what) = e2fsck(&image) {
        panic!("after unmount: {what}");
    }
    image
}

/// Bytes that differ from page to page and from seed to seed.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn content(file: &Node) -> Vec<u8> {
    let mut bytes = vec![0; file.attr().size as usize];
    assert_eq!(file.read_at(0, &mut bytes).expect("read"), bytes.len());
    bytes
}

fn names(dir: &Node) -> Vec<String> {
    let mut names = Vec::new();
    dir.read_dir(0, &mut |entry| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        ControlFlow::Continue(())
    })
    .expect("read_dir");
    names
}

fn errno<T>(result: Result<T>) -> Errno {
    match result {
        Err(Error::Op(errno)) => errno,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no error"),
    }
}
